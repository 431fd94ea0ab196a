/*
 * test_api_routes.c -- every route of the API is in its document, and every path of the document has a route.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/api/openapi.h"
#include "daemon/server.h"
#include "support/check.h"

static uint32_t seen;

static bool begins(const char *path, const char *prefix)
{
    size_t size = strlen(prefix);
    return strncmp(path, prefix, size) == 0 && (path[size] == '\0' || path[size] == '/');
}

/* Does the document have a path at or below the prefix? */
static bool is_described(const char *prefix)
{
    for (const api_set *const *set = api_sets; *set != NULL; set++) {
        for (uint32_t i = 0; i < (*set)->operation_count; i++) {
            if (begins((*set)->operations[i].path, prefix)) {
                return true;
            }
        }
    }
    return false;
}

static void check_route(void *ctx, const char *host, const char *prefix, const http_route *route)
{
    (void)ctx;
    (void)host;
    if (strncmp(route->name, "api.", 4) != 0 && strncmp(prefix, "/v1", 3) != 0) {
        return; /* files, a proxy, the dashboard */
    }
    seen++;
    if (!is_described(prefix)) {
        fail_msg("%s (%s) is not in the document", prefix, route->name);
    }
    bool changes =
        (route->methods & (HTTP_POST | HTTP_PUT | HTTP_DELETE | HTTP_PATCH | HTTP_PURGE)) != 0;
    if (changes && route->right_change != HTTP_RIGHT_CHANGE) {
        fail_msg("%s may be changed by anybody", prefix);
    }
}

static uint32_t method_bit(const char *name)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } rows[] = {{"get", HTTP_GET},       {"put", HTTP_PUT},     {"post", HTTP_POST},
                {"delete", HTTP_DELETE}, {"patch", HTTP_PATCH}, {"head", HTTP_HEAD}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return rows[i].bit;
        }
    }
    return 0;
}

static void check_operations(const server *s)
{
    for (const api_set *const *set = api_sets; *set != NULL; set++) {
        for (uint32_t i = 0; i < (*set)->operation_count; i++) {
            const api_operation *o = &(*set)->operations[i];
            exchange x = {.path = {o->path, strlen(o->path)}};
            const http_route *route = http_routes_find(s->http_routes, &x);
            if (route == NULL || (route->methods & method_bit(o->method)) == 0) {
                fail_msg("nobody answers %s %s", o->method, o->path);
            }
            bool reads = strcmp(o->method, "get") == 0;
            if ((reads ? route->right : route->right_change) != o->right) {
                fail_msg("%s %s needs another right than it says", o->method, o->path);
            }
        }
    }
}

static void test_routes_and_document(void **state)
{
    (void)state;
    sockets listening = {.backlog = 16};
    server *s;
    brisk_errinfo info = {.text = ""};
    server_opts opts = {.sockets = &listening,
                        .memory_bytes = 4 * 1048576,
                        .workers = 1,
                        .limits = {.clients_max = 10,
                                   .output_max = 1048576,
                                   .output_high = 1048576,
                                   .output_total = 1048576,
                                   .input_max = 1048576,
                                   .input_total = 1048576,
                                   .bulk_max = 1048576,
                                   .args_max = 16,
                                   .batch_max = 1}};
    CHECK_OK(sockets_open(&listening, "127.0.0.1:0", &info));
    if (server_create(&opts, &s, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    http_routes_each(s->http_routes, check_route, NULL);
    CHECK_U64(seen, >, 10);
    check_operations(s);
    server_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes_and_document),
    };
    char folder[] = "/tmp/brisk-routes-XXXXXX"; /* where its token is made */
    if (mkdtemp(folder) == NULL || setenv("XDG_RUNTIME_DIR", folder, 1) != 0) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/brisk/token", folder);
    (void)remove(path);
    (void)snprintf(path, sizeof path, "%s/brisk", folder);
    (void)remove(path);
    (void)remove(folder);
    return failed;
}
