/*
 * test_deb_control.c -- stanzas and relations, well-formed and not.
 */
#include <brisk/brisk.h>

#include "support/check.h"
#include "workload/pkg/deb/deb.h"

static deb_control open_text(const char *text)
{
    return (deb_control){.at = text, .end = text + strlen(text)};
}

static void check_field(const deb_stanza *stanza, deb_field field, const char *want)
{
    if (!pkg_text_is(stanza->fields[field], want)) {
        fail_msg("'%.*s' is not '%s'", (int)stanza->fields[field].size, stanza->fields[field].data,
                 want);
    }
}

static void test_stanzas(void **state)
{
    (void)state;
    deb_control control = open_text("\n\nPackage: a\nVersion:  1.0 \nDescription: x\n Depends: no\n"
                                    "\nPACKAGE: b\nDepends: c,\n d |\n\te\nSize: 1\n\n\n"
                                    "# what\nno colon\n: empty\nPackage: z\r\n\r\nVersion: 2");
    deb_stanza stanza;
    CHECK(deb_control_next(&control, &stanza));
    CHECK_U64(stanza.line, ==, 3);
    check_field(&stanza, DEB_FIELD_PACKAGE, "a");
    check_field(&stanza, DEB_FIELD_VERSION, "1.0");
    check_field(&stanza, DEB_FIELD_DEPENDS, "");
    CHECK(deb_control_next(&control, &stanza));
    CHECK_U64(stanza.line, ==, 8);
    check_field(&stanza, DEB_FIELD_PACKAGE, "b");
    check_field(&stanza, DEB_FIELD_DEPENDS, "c,\n d |\n\te");
    check_field(&stanza, DEB_FIELD_SIZE, "1");
    CHECK(deb_control_next(&control, &stanza));
    check_field(&stanza, DEB_FIELD_PACKAGE, "z");
    CHECK(deb_control_next(&control, &stanza));
    check_field(&stanza, DEB_FIELD_PACKAGE, "");
    check_field(&stanza, DEB_FIELD_VERSION, "2");
    CHECK(!deb_control_next(&control, &stanza));
    control = open_text("");
    CHECK(!deb_control_next(&control, &stanza));
}

static void check_relation(const char *text, const char *name, deb_op op, const char *version)
{
    deb_relation r;
    if (!deb_relation_parse(pkg_text_of(text), &r) || !pkg_text_is(r.name, name) || r.op != op ||
        !pkg_text_is(r.version, version)) {
        fail_msg("%s", text);
    }
}

static void test_relations(void **state)
{
    (void)state;
    check_relation("a", "a", DEB_ANY, "");
    check_relation("a (>= 1)", "a", DEB_GE, "1");
    check_relation("a(<<1)", "a", DEB_LT, "1");
    check_relation("a (= 1:1-1)", "a", DEB_EQ, "1:1-1");
    check_relation("a ( >> 2 )", "a", DEB_GT, "2");
    check_relation("a (<= 2)", "a", DEB_LE, "2");
    check_relation("a (< 2)", "a", DEB_LE, "2"); /* as dpkg reads the old form */
    check_relation("a\n (> 2)", "a", DEB_GE, "2");
    deb_relation r;
    CHECK(deb_relation_parse(PKG_TEXT("python3:any (>= 3)"), &r));
    CHECK(pkg_text_is(r.arch, "any") && pkg_text_is(r.name, "python3"));
    static const char *const bad[] = {"",    "(= 1)", "a (1)", "a (= )",    "a (= 1", "a = 1",
                                      "a b", "a:",    ":any",  "a (= 1) b", "a (~ 1)"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (deb_relation_parse(pkg_text_of(bad[i]), &r)) {
            fail_msg("'%s' is no relation", bad[i]);
        }
    }
}

static void test_lists(void **state)
{
    (void)state;
    pkg_text rest = PKG_TEXT(" a , ,b|c,\n d,");
    pkg_text part;
    CHECK(deb_list_next(&rest, ',', &part) && pkg_text_is(part, "a"));
    CHECK(deb_list_next(&rest, ',', &part) && pkg_text_is(part, "b|c"));
    pkg_text inner = part;
    CHECK(deb_list_next(&inner, '|', &part) && pkg_text_is(part, "b"));
    CHECK(deb_list_next(&inner, '|', &part) && pkg_text_is(part, "c"));
    CHECK(!deb_list_next(&inner, '|', &part));
    CHECK(deb_list_next(&rest, ',', &part) && pkg_text_is(part, "d"));
    CHECK(!deb_list_next(&rest, ',', &part));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stanzas),
        cmocka_unit_test(test_relations),
        cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
