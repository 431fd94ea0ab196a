/*
 * test_openapi.c -- the API's document against its own rules; memory that runs out while it is written.
 */
#include <string.h>

#include <brisk/arena.h>
#include <brisk/json_read.h>

#include "base/str.h"
#include "daemon/api/openapi.h"
#include "support/check.h"
#include "support/fault_alloc.h"

static bool is(const brisk_json_node *node, const char *text)
{
    return node != NULL && node->key_size == strlen(text) &&
           memcmp(node->key, text, node->key_size) == 0;
}

/* Every "$ref" below `node` is the name of a schema. */
static void check_refs(const brisk_json_node *schemas, const brisk_json_node *node)
{
    static const char head[] = "#/components/schemas/";
    for (const brisk_json_node *child = node->child; child != NULL; child = child->next) {
        if (is(child, "$ref")) {
            char name[128];
            CHECK(child->size > sizeof head - 1 && memcmp(child->text, head, sizeof head - 1) == 0);
            (void)snprintf(name, sizeof name, "%.*s", (int)(child->size - sizeof head + 1),
                           child->text + sizeof head - 1);
            if (brisk_json_get(schemas, name) == NULL) {
                fail_msg("no schema %s", name);
            }
        }
        check_refs(schemas, child);
    }
}

/* Does the operation declare each {name} of its path? */
static void check_parameters(const api_operation *o)
{
    for (const char *at = strchr(o->path, '{'); at != NULL; at = strchr(at + 1, '{')) {
        size_t size = strcspn(at + 1, "}");
        bool found = false;
        for (uint32_t i = 0; i < o->parameter_count; i++) {
            const api_parameter *p = &o->parameters[i];
            found = found || (strcmp(p->where, "path") == 0 && strlen(p->name) == size &&
                              memcmp(p->name, at + 1, size) == 0);
        }
        if (!found) {
            fail_msg("%s %s does not say what %.*s is", o->method, o->path, (int)size, at + 1);
        }
    }
}

static void check_operation(const brisk_json_node *paths, const api_operation *o)
{
    const brisk_json_node *entry = brisk_json_get(brisk_json_get(paths, o->path), o->method);
    CHECK(entry != NULL);
    CHECK(brisk_json_is(brisk_json_get(entry, "operationId"), o->id));
    CHECK(o->summary != NULL && o->summary[0] != '\0');
    CHECK(o->response_count > 0);
    check_parameters(o);
    bool changes = strcmp(o->method, "get") != 0 && strcmp(o->method, "head") != 0;
    CHECK(!changes || o->right == HTTP_RIGHT_CHANGE || brisk_json_get(entry, "security") == NULL);
    for (const api_set *const *set = api_sets; *set != NULL; set++) {
        for (uint32_t i = 0; i < (*set)->operation_count; i++) {
            const api_operation *other = &(*set)->operations[i];
            CHECK(other == o || strcmp(other->id, o->id) != 0);
        }
    }
}

static void test_the_document(void **state)
{
    (void)state;
    brisk_str text;
    brisk_arena *arena;
    const brisk_json_node *root;
    brisk_errinfo info = {0};
    brisk_str_init(&text, NULL, 8 << 20);
    CHECK_OK(api_openapi_write(api_sets, brisk_str_out(&text)));
    CHECK_OK(brisk_arena_create(&(brisk_arena_opts){0}, &arena));
    brisk_err err = brisk_json_read(brisk_str_text(&text), brisk_str_size(&text),
                                    brisk_arena_as_alloc(arena), &root, &info);
    if (err != BRISK_OK) { /* a schema that is no JSON, a path twice */
        fail_msg("%s", info.text);
    }
    const brisk_json_node *paths = brisk_json_get(root, "paths");
    const brisk_json_node *schemas = brisk_json_get(brisk_json_get(root, "components"), "schemas");
    CHECK(brisk_json_is(brisk_json_get(root, "openapi"), "3.1.0"));
    uint32_t operations = 0;
    for (const api_set *const *set = api_sets; *set != NULL; set++) {
        for (uint32_t i = 0; i < (*set)->operation_count; i++) {
            check_operation(paths, &(*set)->operations[i]);
            operations++;
        }
    }
    uint32_t written = 0;
    for (const brisk_json_node *path = paths->child; path != NULL; path = path->next) {
        written += path->count;
    }
    CHECK_U64(written, ==, operations);
    check_refs(schemas, root);
    brisk_arena_destroy(arena);
    brisk_str_deinit(&text);
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t after = 0; err == BRISK_ERR_NOMEM; after++) {
        fault_alloc fault;
        brisk_str text;
        fault_alloc_init(&fault, after);
        brisk_str_init(&text, &fault.base, 8 << 20);
        err = api_openapi_write(api_sets, brisk_str_out(&text));
        brisk_str_deinit(&text);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_document),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
