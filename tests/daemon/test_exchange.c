/*
 * test_exchange.c -- routes, paths, methods, rights, bodies: what happens before and around a handler.
 */
#include <string.h>

#include "fake_exchange.h"
#include "support/check.h"
#include "support/fault_alloc.h"

static uint32_t begun;
static uint32_t gone;
static uint64_t got;

static void begin(exchange *x)
{
    begun++;
    got = 0;
    x->handler = &begun;
}

static void body(exchange *x, const void *data, size_t size)
{
    (void)x;
    (void)data;
    got += size;
}

static void end(exchange *x)
{
    char *text = exchange_alloc(x, 10000); /* more than the room */
    if (text == NULL) {
        exchange_fail(x, 500, "out of memory");
        return;
    }
    text[0] = 'a';
    exchange_answer(x, &(http_answer){.status = 200,
                                      .body = {.kind = HTTP_BODY_BYTES, .data = text, .size = 1}});
}

static void over(exchange *x)
{
    assert_ptr_equal(x->handler, &begun);
    gone++;
}

static const http_route route = {.name = "test",
                                 .methods = HTTP_GET | HTTP_POST,
                                 .body_max = 5,
                                 .begin = begin,
                                 .body = body,
                                 .end = end,
                                 .gone = over};
static const http_route other = {
    .name = "other", .methods = HTTP_GET, .begin = begin, .gone = over};
static const http_route closed = {.name = "closed",
                                  .methods = HTTP_GET | HTTP_POST,
                                  .right = HTTP_RIGHT_READ,
                                  .right_change = HTTP_RIGHT_CHANGE,
                                  .begin = begin,
                                  .gone = over};

static void test_routes(void **state)
{
    (void)state;
    fake_http fake;
    fake_http_init(&fake);
    http_routes *routes = fake.server.http_routes;
    CHECK_OK(http_routes_add(routes, "", "/", &other));
    CHECK_OK(http_routes_add(routes, "", "/a", &route));
    CHECK_OK(http_routes_add(routes, "", "/a/b/", &other));
    CHECK_OK(http_routes_add(routes, "Site.example", "/a", &other));
    CHECK(http_routes_add(routes, "", "/a/", &other) == BRISK_ERR_CONFLICT);
    CHECK(http_routes_add(routes, "", "a", &other) == BRISK_ERR_INVALID);
    CHECK(http_routes_add(routes, "", "", &other) == BRISK_ERR_INVALID);
    static const struct {
        const char *host;
        const char *target;
        const http_route *route;
        const char *rest;
    } table[] = {
        {"x", "/", &other, ""},
        {"x", "/ab", &other, "ab"},
        {"x", "/a", &route, ""},
        {"x", "/a/", &route, ""},
        {"x", "/a/c/d?e", &route, "c/d"},
        {"x", "/a/b", &other, ""},
        {"x", "/a/b/c", &other, "c"},
        {"site.EXAMPLE", "/a/c", &other, "c"},
        {"site.example:8080", "/a/c", &other, "c"},
        {"site.example.", "/a/c", &other, "c"},
        {"Site.example.:8080", "/a/c", &other, "c"},
        {"site.example..", "/a/c", &route, "c"},
        {"[::1]:80", "/a/c", &route, "c"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const exchange *x = fake_ask(&fake, "GET", table[i].target, "host", table[i].host, NULL);
        assert_ptr_equal(x->route, table[i].route);
        CHECK(x->rest.size == strlen(table[i].rest) &&
              memcmp(x->rest.data, table[i].rest, x->rest.size) == 0);
    }
    fake_http_deinit(&fake);
}

static void test_paths(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        const char *path; /* NULL: refused */
    } table[] = {
        {"/", "/"},
        {"/a", "/a"},
        {"/a//b/", "/a//b/"},
        {"/.a", "/.a"},
        {"/a..b/...", "/a..b/..."},
        {"/.", "/"},
        {"/./", "/"},
        {"/a/.", "/a/"},
        {"/a/..", "/"},
        {"/a/../", "/"},
        {"/a/b/../c", "/a/c"},
        {"/a/b/../../c", "/c"},
        {"/a/./b", "/a/b"},
        {"/a/%2e/b", "/a/b"},
        {"/a/%2E%2e/b", "/b"},
        {"/a%2f..%2fb", "/b"},
        {"/%25%32%66", "/%2f"}, /* once */
        {"/%ff%80", "/\xff\x80"},
        {"/..", NULL},
        {"/a/../..", NULL},
        {"/a/../../b", NULL},
        {"/%2e%2e/b", NULL},
        {"/a%2f..%2f..%2f", NULL},
        {"/%00", NULL},
        {"/a%", NULL},
        {"/a%4", NULL},
        {"/a%4g", NULL},
        {"/a%g4", NULL},
        {"a", NULL},
        {"?a", NULL},
    };
    fake_http fake;
    fake_http_init(&fake);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        exchange *x = fake_ask(&fake, "GET", table[i].target, NULL);
        bool good = exchange_set_path(x);
        CHECK(good == (table[i].path != NULL));
        CHECK_U64(fake.status, ==, good ? 404 : 400);
        if (good) {
            CHECK(x->path.size == strlen(table[i].path) &&
                  memcmp(x->path.data, table[i].path, x->path.size) == 0);
        }
    }
    fake_http_deinit(&fake);
}

static void test_query(void **state)
{
    (void)state;
    fake_http fake;
    brisk_arena *arena = NULL;
    http_text text;
    fake_http_init(&fake);
    CHECK_OK(brisk_arena_create(NULL, &arena));
    const exchange *x = fake_ask(&fake, "GET", "/x?a=1&bb=%41%2F&c&d=&a=2&e=%zz", NULL);
    CHECK(exchange_query(x, "a", arena, &text) && text.size == 1 && text.data[0] == '1');
    CHECK(exchange_query(x, "bb", arena, &text) && text.size == 2 &&
          memcmp(text.data, "A/", 2) == 0);
    CHECK(exchange_query(x, "c", arena, &text) && text.size == 0);
    CHECK(exchange_query(x, "d", arena, &text) && text.size == 0);
    CHECK(!exchange_query(x, "b", arena, &text));
    CHECK(!exchange_query(x, "e", arena, &text));
    x = fake_ask(&fake, "GET", "/x", "vary", "a", "other", "b", "vary", "c", NULL);
    CHECK_OK(exchange_fields(x, "vary", arena, &text));
    CHECK(text.size == 4 && memcmp(text.data, "a, c", 4) == 0);
    CHECK_OK(exchange_fields(x, "none", arena, &text));
    CHECK(text.size == 0 && exchange_field(x, "none") == NULL);
    brisk_arena_destroy(arena);
    fake_http_deinit(&fake);
}

static http_right no_right(exchange *x)
{
    return x->method == HTTP_GET ? HTTP_RIGHT_READ : HTTP_RIGHT_NONE;
}

static void test_methods_and_rights(void **state)
{
    (void)state;
    fake_http fake;
    fake_http_init(&fake);
    CHECK_OK(http_routes_add(fake.server.http_routes, "", "/a", &route));
    CHECK_OK(http_routes_add(fake.server.http_routes, "", "/v1/c", &closed));
    begun = gone = 0;
    fake_ask(&fake, "DELETE", "/a", NULL);
    CHECK_U64(fake.status, ==, 405);
    CHECK(fake_field_is(&fake, "allow", "GET, HEAD, POST, OPTIONS"));
    fake_ask(&fake, "OPTIONS", "/a", NULL);
    CHECK_U64(fake.status, ==, 204);
    fake_ask(&fake, "get", "/a", NULL);
    CHECK_U64(fake.status, ==, 501);
    CHECK_U64(begun, ==, 0);
    fake_ask(&fake, "HEAD", "/a", NULL);
    fake_end(&fake);
    CHECK(fake.status == 200 && fake.body_size == 0);
    fake.server.http_right_of = no_right;
    fake_ask(&fake, "POST", "/v1/c", NULL);
    CHECK_U64(fake.status, ==, 401);
    CHECK(fake_body_is(&fake, "{\"error\": {\"code\": \"unauthorized\", \"message\": \"this needs "
                              "a token\"}}\n"));
    fake_ask(&fake, "HEAD", "/v1/c", NULL);
    CHECK_U64(fake.status, ==, 401);
    fake_ask(&fake, "GET", "/v1/c", NULL);
    CHECK_U64(fake.status, ==, 0);
    fake_close(&fake);
    CHECK(begun == 2 && gone == 2);
    fake_http_deinit(&fake);
}

static void test_bodies(void **state)
{
    (void)state;
    fake_http fake;
    fake_http_init(&fake);
    CHECK_OK(http_routes_add(fake.server.http_routes, "", "/a", &route));
    begun = gone = 0;
    fake_ask(&fake, "POST", "/a", "content-length", "5", NULL);
    fake_body(&fake, "abc", 3);
    fake_body(&fake, "de", 2);
    fake_end(&fake);
    CHECK(got == 5 && fake.status == 200 && fake_body_is(&fake, "a"));
    fake_ask(&fake, "POST", "/a", "content-length", "6", NULL);
    CHECK(fake.status == 413 && begun == 1 && gone == 1);
    exchange *x = fake_ask(&fake, "POST", "/a", "content-length", "1", NULL);
    x->content_length = HTTP_LENGTH_UNKNOWN; /* as in chunks */
    fake_body(&fake, "abc", 3);
    fake_body(&fake, "def", 3);
    fake_body(&fake, "ghi", 3);
    fake_end(&fake);
    CHECK(got == 3 && fake.status == 413);
    fake_close(&fake);
    CHECK(begun == 2 && gone == 2);
    fake_http_deinit(&fake);
}

static void test_dates(void **state)
{
    (void)state;
    char text[HTTP_DATE_SIZE + 1];
    http_date_format(text, 784111777);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    http_date_format(text, 0);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    http_date_format(text, UINT64_MAX);
    CHECK_U64(strlen(text), ==, HTTP_DATE_SIZE);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    uint16_t status = 0;
    for (uint64_t fail_after = 0; status != 200; fail_after++) {
        fault_alloc fault;
        fake_http fake;
        fault_alloc_init(&fault, UINT64_MAX);
        fake_http_init_with(&fake, &fault.base);
        CHECK_OK(http_routes_add(fake.server.http_routes, "", "/a", &route));
        fault.fail_after = fail_after;
        status = 0;
        if (fake_ask(&fake, "GET", "/%61", NULL) != NULL) {
            fake_end(&fake);
            status = fake.status;
            CHECK(status == 200 || status == 500);
        }
        http_route more = route;
        brisk_err err = http_routes_add(fake.server.http_routes, "h", "/b", &more);
        CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
        fake_http_deinit(&fake);
        CHECK_U64(fault.bytes_held, ==, 0);
        CHECK_U64(fail_after, <, 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_methods_and_rights),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
