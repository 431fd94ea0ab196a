/*
 * test_http_parts.c -- heads, dates, origins and tokens, without a network.
 */
#include <string.h>
#include <time.h>

#include "io/http_curl.h"
#include "io/http_head.h"
#include "io/http_url.h"
#include "support/check.h"

static void read_lines(http_head *head, const char *text)
{
    http_head_init(head);
    while (*text != '\0') {
        size_t size = strcspn(text, "\n") + 1;
        http_head_read(head, text, size);
        text += size;
    }
    http_head_end(head);
}

static void test_dates_are_those_of_the_library(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (int i = 0; i < 2000; i++) {
        int64_t expected = (int64_t)(check_random(&random) % UINT64_C(253402300799)); /* to 9999 */
        time_t when = (time_t)expected;
        struct tm parts;
        char text[64];
        int64_t got = -1;
        (void)gmtime_r(&when, &parts);
        CHECK(strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts) == 29);
        CHECK(http_head_read_date(text, 29, &got));
        CHECK(got == expected);
        for (size_t cut = 0; cut < 29; cut++) {
            CHECK(!http_head_read_date(text, cut, &got));
        }
    }
    static const char *const bad[] = {
        "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 EST",
        "Sun, 06 Nov -994 08:49:37 GMT", "Sun, 06 Nov 1969 08:49:37 GMT",
        "Sun; 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08.49.37 GMT"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t got;
        CHECK(!http_head_read_date(bad[i], 29, &got));
    }
}

static void test_caching_words(void **state)
{
    (void)state;
    http_head head;
    read_lines(&head, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60, s-maxage=90\r\n"
                      "cache-control:public,MAX-AGE=30 , s-maxage=95\r\nAGE: 50\r\n\r\n");
    CHECK(head.status == 200 && head.caching.has_max_age && head.caching.has_s_maxage);
    CHECK(head.caching.max_age_s == 30 && head.caching.s_maxage_s == 90);
    CHECK(head.caching.age_s == 50 && !head.caching.no_store && !head.caching.has_expires);
    read_lines(&head, "HTTP/2 200 \r\nCache-Control: no-cache=\"x\", private, no-store\r\n"
                      "Expires: 0\r\nCache-Control: max-age=x\r\nAge: -1\r\n");
    CHECK(head.caching.no_cache && head.caching.is_private && head.caching.no_store);
    CHECK(head.caching.has_expires && head.caching.expires_s == 0 && !head.caching.has_max_age);
    read_lines(&head, "HTTP/1.1 200 OK\nCache-Control: max-age=99999999999999999999999\n");
    CHECK(head.caching.max_age_s == UINT64_C(365) * 86400 * 100);
    read_lines(&head, "HTTP/1.1 103 Early\nETag: \"a\"\nCache-Control: no-store\n\n"
                      "HTTP/1.1 200 OK\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\n");
    CHECK(head.status == 200 && head.caching.etag[0] == '\0' && !head.caching.no_store);
    assert_string_equal(head.caching.last_modified, "Sun, 06 Nov 1994 08:49:37 GMT");
}

static void test_heads_of_other_kinds(void **state)
{
    (void)state;
    http_head head;
    read_lines(&head, "HTTP/1.1 200 OK\r\nContent-Encoding: GZIP\r\nContent-Length: 12\r\n"
                      "Content-Type: text/x\r\nnot a header\r\n: empty\r\nETag:\r\n");
    CHECK(head.encoding == BRISK_HTTP_GZIP && head.has_length && head.length == 12);
    assert_string_equal(head.content_type, "text/x");
    read_lines(&head, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Encoding: br\r\n"
                      "Content-Length: 12x\r\nETag: \"a\x01\"\r\n");
    CHECK(head.encoding == BRISK_HTTP_UNKNOWN && !head.has_length);
    CHECK(head.caching.etag[0] == '\0');
    read_lines(&head, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip, br\r\n"
                      "Content-Length: 99999999999999999999\r\n");
    CHECK(head.encoding == BRISK_HTTP_UNKNOWN && !head.has_length);
    read_lines(&head, "HTTP/1.1 503 No\r\nRetry-After: 120\r\n");
    CHECK(head.has_retry_after && head.retry_after_s == 120);
    read_lines(&head, "HTTP/1.1 503 No\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                      "Retry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\n");
    CHECK(head.has_retry_after && head.retry_after_s == 60);
    read_lines(&head, "HTTP/1.1 503 No\r\nRetry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\n");
    CHECK(!head.has_retry_after);
    read_lines(&head, "HTTP/1.1 503 No\r\nRetry-After: soon\r\n");
    CHECK(!head.has_retry_after);
    static char line[HTTP_LOCATION_MAX + 64];
    memset(line, 'x', sizeof line - 1);
    memcpy(line, "location: /", 11);
    http_head_init(&head);
    http_head_read(&head, line, strlen(line));
    CHECK(head.location_too_long && head.location[0] == '\0');
}

static void test_tokens_go_where_they_belong(void **state)
{
    (void)state;
    static const struct {
        const char *prefix;
        const char *url;
        bool sent;
    } cases[] = {
        {"https://registry.test/", "https://registry.test/a", true},
        {"https://registry.test", "https://registry.test/a?b=c", true},
        {"https://registry.test", "https://REGISTRY.test:443/a", true},
        {"https://Registry.Test:443/", "https://registry.test/a", true},
        {"https://registry.test", "http://registry.test/a", false},
        {"https://registry.test", "http://registry.test:443/a", false},
        {"https://registry.test", "https://registry.test:444/a", false},
        {"https://registry.test", "https://registry.test.evil.test/a", false},
        {"https://registry.test", "https://evil.test/https://registry.test/", false},
        {"https://registry.test", "https://registry.test@evil.test/", false},
        {"https://registry.test", "https://evil.test@registry.test/", true},
        {"https://registry.test", "https://evil.test#@registry.test/", false},
        {"https://registry.test", "https://evil.test?@registry.test/", false},
        {"https://registry.test", "https://evil.test\\@registry.test/", false}, /* refused */
        {"https://registry.test/team", "https://registry.test/team/a", true},
        {"https://registry.test/team/", "https://registry.test/team", true},
        {"https://registry.test/team", "https://registry.test/teams", false},
        {"https://registry.test/team", "https://registry.test/", false},
        {"https://registry.test/team", "https://registry.test/team/../a", false},
        {"https://registry.test/team", "https://registry.test/team/%2e%2E/a", false},
        {"https://registry.test/team", "https://registry.test/x?/team/a", false},
        {"https://registry.test/.npm/a%20b/", "https://registry.test/.npm/a%20b/c", true},
        {"http://[::1]:8080", "http://[::1]:8080/x", true},
        {"http://[::1]", "http://[::1]:8080/x", false},
    };
    const http_curl *so = http_curl_get();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        http_token token = {.origin = ""};
        http_url url;
        CHECK(http_token_place(&token, cases[i].prefix));
        brisk_err err = http_url_parse(so, cases[i].url, &url);
        bool sent = err == BRISK_OK && http_token_find(&token, 1, &url) != NULL;
        if (sent != cases[i].sent) {
            fail_msg("%s for %s", cases[i].prefix, cases[i].url);
        }
    }
    static const char *const bad[] = {"registry.test",
                                      "ftp://registry.test",
                                      "https://",
                                      "https://a@registry.test",
                                      "https://registry.test?a",
                                      "https://registry.test/a/../b",
                                      "https://registry.test:",
                                      "https://registry.test:0/",
                                      "https://registry.test:99999/",
                                      "https://:80/",
                                      "https://registry.test:8a/",
                                      "https://registry.test/a/%2E%2e/b",
                                      "https://registry.test/a/.",
                                      "https://registry.test/./a",
                                      "https://[::1/",
                                      "https://registry.test:080"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        http_token token;
        if (http_token_place(&token, bad[i])) {
            fail_msg("%s is a place", bad[i]);
        }
    }
}

static void test_the_longest_place_wins(void **state)
{
    (void)state;
    static const char *const places[] = {"https://registry.test/a", "https://registry.test",
                                         "https://registry.test/a/b"};
    http_token tokens[3] = {{.origin = ""}};
    http_url url;
    for (int i = 0; i < 3; i++) {
        CHECK(http_token_place(&tokens[i], places[i]));
    }
    CHECK_OK(http_url_parse(http_curl_get(), "https://registry.test/a/b/c", &url));
    CHECK(http_token_find(tokens, 3, &url) == &tokens[2]);
    CHECK_OK(http_url_parse(http_curl_get(), "https://registry.test/a/c", &url));
    CHECK(http_token_find(tokens, 3, &url) == &tokens[0]);
    CHECK_OK(http_url_parse(http_curl_get(), "https://registry.test/", &url));
    CHECK(http_token_find(tokens, 3, &url) == &tokens[1]);
}

static void test_redirections_resolve_without_passwords(void **state)
{
    (void)state;
    static const struct {
        const char *base;
        const char *location;
        const char *expected; /* NULL: refused */
    } cases[] = {
        {"http://h.test/a/b?c", "d", "http://h.test/a/d"},
        {"http://h.test/a/b", "/d#e", "http://h.test/d"},
        {"http://h.test/a/b", "//x.test/y", "http://x.test/y"},
        {"http://u:p@h.test/a", "/d", "http://u:p@h.test/d"},
        {"http://u:p@h.test/a", "//x.test/y", "http://x.test/y"},
        {"http://u:p@h.test/a", "http://x.test/y", "http://x.test/y"},
        {"http://h.test/a", "http://u:p@x.test/y", "http://x.test/y"},
        {"https://h.test/a", "ftp://x.test/y", NULL},
        {"https://h.test/a", "file:///etc/passwd", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char next[BRISK_HTTP_URL_MAX] = "";
        brisk_err err = http_url_follow(http_curl_get(), cases[i].base, cases[i].location, next);
        CHECK((err == BRISK_OK) == (cases[i].expected != NULL));
        if (cases[i].expected != NULL) {
            assert_string_equal(next, cases[i].expected);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dates_are_those_of_the_library),
        cmocka_unit_test(test_caching_words),
        cmocka_unit_test(test_heads_of_other_kinds),
        cmocka_unit_test(test_tokens_go_where_they_belong),
        cmocka_unit_test(test_the_longest_place_wins),
        cmocka_unit_test(test_redirections_resolve_without_passwords),
    };
    brisk_errinfo info = {.text = ""};
    if (http_curl_load(&info) != BRISK_OK) {
        print_message("skipped: %s\n", info.text);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
