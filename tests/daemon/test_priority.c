/*
 * test_priority.c -- the Priority field and the rules of serve.priorities.
 *
 * With the public cases of structured fields at hand ($BRISK_CORPUS/net/structured-fields), what is
 * a dictionary there is one here, and what is none is none.
 */
#include <string.h>

#include <brisk/file.h>
#include <brisk/yaml.h>

#include "daemon/http/priority.h"
#include "support/check.h"
#include "support/fault_alloc.h"

static http_text text(const char *s)
{
    return (http_text){.data = s, .size = strlen(s)};
}

static void test_field(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool good;
        uint8_t urgency;
        bool incremental;
    } table[] = {
        {"", true, 3, false},
        {"u=0", true, 0, false},
        {"u=7, i", true, 7, true},
        {"i", true, 3, true},
        {"i=?0", true, 3, false},
        {"i=?1,u=1", true, 1, true},
        {"u=8", true, 3, false},
        {"u=-1", true, 3, false},
        {"u=1.0", true, 3, false},
        {"u=\"1\"", true, 3, false},
        {"i=1", true, 3, false},
        {"u=1, u=5", true, 5, false},
        {"u=2;x=\"y\", zz=(1 2);q, i", true, 2, true},
        {"u=2 , \t i", true, 2, true},
        {" u=2 ", true, 2, false},
        {"foo=:aGVsbG8=:, u=4", true, 4, false},
        {"u", true, 3, false},
        {"uu=1", true, 3, false},
        {"u=1,", false, 3, false},
        {"u=1 i", false, 3, false},
        {"u=1, U=2", false, 3, false},
        {"u=", false, 3, false},
        {"u=1, =2", false, 3, false},
        {"u=1, x=\"", false, 3, false},
        {"u=1, x=(1", false, 3, false},
        {"u=1, x=?2", false, 3, false},
        {"u=1234567890123456", false, 3, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        http_priority p = {.urgency = 3};
        bool good = http_priority_read(text(table[i].value), &p);
        if (good != table[i].good || p.urgency != table[i].urgency ||
            p.incremental != table[i].incremental) {
            fail_msg("'%s': %d u=%d i=%d", table[i].value, good, p.urgency, p.incremental);
        }
    }
}

static void test_public_cases(void **state)
{
    (void)state;
    const char *corpus = getenv("BRISK_CORPUS");
    static const char *const names[] = {"dictionary", "param-dict"};
    for (size_t i = 0; i < 2; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/net/structured-fields/%s.json",
                       corpus != NULL ? corpus : "", names[i]);
        brisk_file_view view;
        if (brisk_file_view_open(path, 1 << 20, &view, NULL) != BRISK_OK) {
            skip();
        }
        brisk_yaml_doc *doc;
        CHECK_OK(brisk_yaml_parse(path, view.data, view.size, NULL, &doc, NULL));
        for (const brisk_yaml_node *n = brisk_yaml_root(doc)->child; n != NULL; n = n->next) {
            const brisk_yaml_node *raw = brisk_yaml_get(n, "raw");
            bool must_fail = brisk_yaml_get(n, "must_fail") != NULL;
            bool may_fail = brisk_yaml_get(n, "can_fail") != NULL;
            http_priority p = {.urgency = 3};
            if (raw->count == 1 && http_priority_read(text(raw->child->text), &p) == must_fail &&
                !may_fail) {
                fail_msg("%s: '%s'", brisk_yaml_get(n, "name")->text, raw->child->text);
            }
        }
        brisk_yaml_destroy(doc);
        brisk_file_view_close(&view);
    }
}

/* As the server makes them of a setting. */
static brisk_err create(const char *rules, const brisk_alloc *alloc, http_priorities **ret,
                        brisk_errinfo *info)
{
    brisk_yaml_doc *doc = NULL;
    brisk_err err = brisk_yaml_parse("rules", rules, strlen(rules), alloc, &doc, info);
    if (err == BRISK_OK) {
        err = http_priorities_create(doc, alloc, ret, info);
        if (err != BRISK_OK) {
            brisk_yaml_destroy(doc);
        }
    }
    return err;
}

static const char rules_text[] =
    "[{at: /v1/, urgency: 1}, {header: {name: x-class, value: batch}, urgency: 6},"
    " {at: /assets/, header: {name: save-data}, urgency: 7, incremental: true}, {at: /assets/}]";

static void check_rule(const http_priorities *rules, const char *path, const char *name,
                       const char *value, int urgency)
{
    http_field field = {.name = text(name), .value = text(value)};
    exchange x = {.path = text(path), .fields = &field, .field_count = name[0] != '\0'};
    http_priority p = {.urgency = 9};
    CHECK(http_priorities_find(rules, &x, &p) == (urgency != 9));
    CHECK_U64(p.urgency, ==, urgency);
    CHECK(p.incremental == (urgency == 7));
}

static void test_rules(void **state)
{
    (void)state;
    http_priorities *rules = NULL;
    CHECK_OK(create(rules_text, brisk_alloc_libc(), &rules, NULL));
    check_rule(rules, "/v1/jobs", "x-class", "batch", 1);
    check_rule(rules, "/v1", "", "", 9);
    check_rule(rules, "/v2/jobs", "x-class", "batch", 6);
    check_rule(rules, "/v2/jobs", "x-class", "batched", 9);
    check_rule(rules, "/assets/a.js", "", "", 3);
    check_rule(rules, "/assets/a.js", "save-data", "on", 7);
    http_priority p;
    exchange x = {.path = text("/v1/")};
    CHECK(!http_priorities_find(NULL, &x, &p));
    http_priorities_destroy(rules);
    CHECK_OK(create("", brisk_alloc_libc(), &rules, NULL));
    CHECK(!http_priorities_find(rules, &x, &p));
    http_priorities_destroy(rules);
}

static void test_bad_rules(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } table[] = {
        {"{at: /}", "list"},
        {"[1]", "a rule is"},
        {"[{urgency: 1}]", "'at' or 'header'"},
        {"[{at: v1}]", "begins with '/'"},
        {"[{at: /, urgency: 8}]", "urgency is 0"},
        {"[{at: /, urgency: x}]", "number"},
        {"[{at: /, incremental: 3}]", "true or false"},
        {"[{at: /, urgencyy: 3}]", "urgencyy"},
        {"[{header: x}]", "header is"},
        {"[{header: {name: X-Y}}]", "lower case"},
        {"[{header: {value: x}}]", "needs a name"},
        {"[{at: /", "rules:"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        brisk_errinfo info = {.code = BRISK_OK};
        http_priorities *rules = NULL;
        CHECK(create(table[i].text, brisk_alloc_libc(), &rules, &info) == BRISK_ERR_INVALID);
        CHECK(rules == NULL);
        if (strstr(info.text, table[i].says) == NULL) {
            fail_msg("%s: %s", table[i].text, info.text);
        }
    }
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        http_priorities *rules = NULL;
        err = create(rules_text, &fault.base, &rules, NULL);
        CHECK((rules != NULL) == (err == BRISK_OK));
        http_priorities_destroy(rules);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_field),
        cmocka_unit_test(test_public_cases),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_bad_rules),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
