/*
 * test_proxy_rules.c -- the rules of RFC 9111 and its kin, as tables of what was said and what follows.
 */
#include "support/check.h"

#include <string.h>

#include "daemon/proxy/condition.h"
#include "daemon/proxy/head.h"
#include "daemon/proxy/life.h"
#include "daemon/proxy/vary.h"

enum { FIELDS_MAX = 16 };
#define NOW_S INT64_C(1796000000)

/* A head written as "name: value\n..."; the storage is the test's. */
typedef struct head {
    http_field items[FIELDS_MAX];
    uint32_t count;
} head;

static http_text text_of(const char *text)
{
    return (http_text){text, strlen(text)};
}

static proxy_fields fields_of(head *h, const char *text)
{
    h->count = 0;
    while (*text != '\0') {
        const char *colon = strchr(text, ':');
        const char *end = strchr(text, '\n');
        end = end != NULL ? end : text + strlen(text);
        h->items[h->count].name = (http_text){text, (size_t)(colon - text)};
        h->items[h->count].value = proxy_trim((http_text){colon + 1, (size_t)(end - colon - 1)});
        h->count++;
        text = *end == '\n' ? end + 1 : end;
    }
    return (proxy_fields){h->items, h->count};
}

static void test_lists_are_cut_outside_of_quotes(void **state)
{
    (void)state;
    head h;
    proxy_list list = proxy_list_of(
        fields_of(&h, "a: x, \"y, z\" ,,w\nb: no\na: \"\\\",\", last\na: \"open, end"), "a");
    static const char *const wanted[] = {"x", "\"y, z\"", "w", "\"\\\",\"", "last", "\"open, end"};
    http_text item;
    for (size_t i = 0; i < 6; i++) {
        CHECK(proxy_list_next(&list, &item));
        CHECK(proxy_same(item, text_of(wanted[i])));
    }
    CHECK(!proxy_list_next(&list, &item));
}

static void test_dates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds; /* -1: refused */
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"sun, 06 NOV 1994 08:49:37 gmt", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Sun Nov 16 08:49:37 1994", 784975777},
        {"Thursday, 18-Aug-50 02:01:18 GMT", 2544400878},
        {"Thu, 29 Feb 2024 00:00:00 GMT", 1709164800},
        {"Thu, 29 Feb 2023 00:00:00 GMT", -1},
        {"Thu, 18 Aug 2050 02:01:18 UTC", -1},
        {"Thu, 18 Aug 50 02:01:18 GMT", -1},
        {"Thu 18 Aug 2050 02:01:18 GMT", -1},
        {"Thu, 18  Aug  2050 02:01:18 GMT", -1},
        {"Thu, 18-Aug-2050 02:01:18 GMT", -1},
        {"Thu, 18 Aug 2050 02.01.18 GMT", -1},
        {"Thu, 18 Aug 2050 2:01:18 GMT", -1},
        {"Thu, 18 Aug 2050 24:01:18 GMT", -1},
        {"Thu, 18 Aug 2050 02:01:18 GMT ", -1},
        {"Thu, 00 Aug 2050 02:01:18 GMT", -1},
        {"0", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t got = -1;
        bool good = proxy_date(text_of(cases[i].text), NOW_S, &got);
        if (good != (cases[i].seconds >= 0) || got != cases[i].seconds) {
            fail_msg("'%s' gives %lld", cases[i].text, (long long)got);
        }
    }
}

static void test_dates_go_both_ways(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (int i = 0; i < 20000; i++) {
        int64_t wanted = (int64_t)(check_random(&seed) % UINT64_C(253402300800));
        char text[PROXY_DATE_SIZE + 1];
        proxy_date_write(wanted, text);
        int64_t got = -1;
        CHECK_U64(strlen(text), ==, PROXY_DATE_SIZE);
        CHECK(proxy_date(text_of(text), wanted, &got));
        CHECK_U64(got, ==, wanted);
    }
    char text[PROXY_DATE_SIZE + 1];
    proxy_date_write(784111777, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
}

static void test_directives(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t flags;
        uint32_t max_age;
    } cases[] = {
        {"max-age=60", CONTROL_MAX_AGE, 60},
        {"MaX-aGe=60", CONTROL_MAX_AGE, 60},
        {"max-age=\"60\"", CONTROL_MAX_AGE, 60},
        {"max-age=0060", CONTROL_MAX_AGE, 60},
        {"max-age=99999999999", CONTROL_MAX_AGE, PROXY_SECONDS_MAX},
        {"max-age=99999999999999999999999999", CONTROL_MAX_AGE, PROXY_SECONDS_MAX},
        {"max-age=-1", CONTROL_MAX_AGE, 0},
        {"max-age='60'", CONTROL_MAX_AGE, 0},
        {"max-age=60.5", CONTROL_MAX_AGE, 0},
        {"max-age=", CONTROL_MAX_AGE, 0},
        {"max-age", CONTROL_MAX_AGE, 0},
        {"max-age= 60", CONTROL_MAX_AGE, 0},
        {"max-age =60", 0, 0},
        {"max-age=60, max-age=1", CONTROL_MAX_AGE, 60},
        {"max-age=1\ncache-control: max-age=60", CONTROL_MAX_AGE, 1},
        {"x=\"max-age=60\", max-age=1", CONTROL_MAX_AGE, 1},
        {"x=\"a, no-store, max-age=60", 0, 0},
        {"no-store , private,public", CONTROL_NO_STORE | CONTROL_PRIVATE | CONTROL_PUBLIC, 0},
        {"no-cache=\"a, b\"", CONTROL_NO_CACHE_FIELDS, 0},
        {"no-cache=\"\"", CONTROL_NO_CACHE, 0},
        {"private=x", CONTROL_PRIVATE_FIELDS, 0},
        {"no-storex, xno-store", 0, 0},
        {",,, ,", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        head h;
        char line[256];
        (void)snprintf(line, sizeof line, "cache-control: %s", cases[i].text);
        proxy_control c = proxy_control_read(fields_of(&h, line), "cache-control");
        if (c.flags != cases[i].flags || c.max_age != cases[i].max_age) {
            fail_msg("%s: %x, %u", cases[i].text, c.flags, c.max_age);
        }
    }
    head h;
    proxy_control c = proxy_control_read(
        fields_of(&h, "cache-control: max-stale, min-fresh=x, stale-if-error=5, s-maxage=7"),
        "cache-control");
    CHECK_U64(c.max_stale, ==, PROXY_SECONDS_MAX);
    CHECK_U64(c.min_fresh, ==, PROXY_SECONDS_MAX); /* what cannot be read asks for the most */
    CHECK_U64(c.stale_error, ==, 5);
    CHECK_U64(c.s_maxage, ==, 7);
}

static void test_pragma_stands_in(void **state)
{
    (void)state;
    head h;
    CHECK(proxy_control_of_request(fields_of(&h, "pragma: no-cache")).flags == CONTROL_NO_CACHE);
    CHECK(proxy_control_of_request(fields_of(&h, "pragma: no-cache\ncache-control: x")).flags == 0);
    CHECK(proxy_control_of_request(fields_of(&h, "pragma: other")).flags == 0);
}

static void test_targeted_fields_are_strict(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        uint32_t flags;
        uint32_t max_age;
    } cases[] = {
        {"max-age=60", true, CONTROL_MAX_AGE, 60},
        {"foobar, max-age=60;x=\"y\"; z", true, CONTROL_MAX_AGE, 60},
        {"max-age=1, max-age=60", true, CONTROL_MAX_AGE, 60},
        {"max-age=99999999999", true, CONTROL_MAX_AGE, PROXY_SECONDS_MAX},
        {"a=(1 \"b\";q=1 tok), no-store", true, CONTROL_NO_STORE, 0},
        {"a=:aGk=:, private=?0, no-cache=?1", true, CONTROL_NO_CACHE, 0},
        {"max-age=60, &&&&&", false, 0, 0},
        {"max-age=\"60\"", false, 0, 0},
        {"max-age=60.0", false, 0, 0},
        {"max-age =60", false, 0, 0},
        {"max-age= 60", false, 0, 0},
        {"max-age=60,", false, 0, 0},
        {"Max-Age=60", false, 0, 0},
        {"a=\"x", false, 0, 0},
        {"a=(1", false, 0, 0},
        {"a=1234567890123456", false, 0, 0},
        {"", false, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        head h;
        char line[256];
        (void)snprintf(line, sizeof line, "cdn-cache-control: %s", cases[i].text);
        proxy_control c = {0};
        bool good = proxy_control_targeted(fields_of(&h, line), "cdn-cache-control", &c);
        if (good != cases[i].good || (good && (c.flags != (cases[i].flags | CONTROL_TARGETED) ||
                                               c.max_age != cases[i].max_age))) {
            fail_msg("%s: %d %x, %u", cases[i].text, good, c.flags, c.max_age);
        }
    }
}

/* --- keeping ----------------------------------------------------------------------------- */

static const proxy_policy policy = {
    .heuristic_percent = 10, .heuristic_max_s = 86400, .stale_error_s = 60};

static proxy_got got_of(head *h, uint16_t status, const char *text)
{
    proxy_got got = {.status = status,
                     .fields = fields_of(h, text),
                     .request_ms = NOW_S * 1000,
                     .response_ms = NOW_S * 1000};
    got.control = proxy_control_of_response(got.fields);
    return got;
}

static proxy_asked asked_of(head *h, http_method method, const char *text)
{
    proxy_asked asked = {.method = method, .fields = fields_of(h, text)};
    asked.control = proxy_control_of_request(asked.fields);
    return asked;
}

#define LM "\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT"

static void test_what_is_kept(void **state)
{
    (void)state;
    static const struct {
        http_method method;
        const char *request;
        uint16_t status;
        const char *response;
        proxy_keep keep;
    } cases[] = {
        {HTTP_GET, "", 200, "cache-control: max-age=1", PROXY_KEEP},
        {HTTP_HEAD, "", 200, "cache-control: max-age=1", PROXY_KEEP_METHOD},
        {HTTP_POST, "", 200, "cache-control: max-age=1", PROXY_KEEP_METHOD},
        {HTTP_GET, "", 599, "cache-control: max-age=1", PROXY_KEEP},
        {HTTP_GET, "", 599, "cache-control: max-age=1, must-understand", PROXY_KEEP_STATUS},
        {HTTP_GET, "", 200, "cache-control: max-age=1, no-store", PROXY_KEEP_NO_STORE},
        {HTTP_GET, "", 200, "cache-control: max-age=1, no-store, must-understand", PROXY_KEEP},
        {HTTP_GET, "", 599, "cache-control: max-age=1, no-store, must-understand",
         PROXY_KEEP_NO_STORE},
        {HTTP_GET, "cache-control: no-store", 200, "cache-control: max-age=1", PROXY_KEEP_NO_STORE},
        {HTTP_GET, "", 200, "cache-control: max-age=1, private", PROXY_KEEP_PRIVATE},
        {HTTP_GET, "", 200, "cache-control: max-age=1, private=\"x\"", PROXY_KEEP},
        {HTTP_GET, "authorization: x", 200, "cache-control: max-age=1", PROXY_KEEP_AUTHORIZATION},
        {HTTP_GET, "authorization: x", 200, "cache-control: max-age=1, public", PROXY_KEEP},
        {HTTP_GET, "authorization: x", 200, "cache-control: s-maxage=1", PROXY_KEEP},
        {HTTP_GET, "authorization: x", 200, "cache-control: max-age=1, must-revalidate",
         PROXY_KEEP},
        {HTTP_GET, "", 200, "cache-control: max-age=1\nvary: *", PROXY_KEEP_VARY},
        {HTTP_GET, "", 200, "cache-control: max-age=1\nvary: a, *", PROXY_KEEP_VARY},
        {HTTP_GET, "", 200, "a: b" LM, PROXY_KEEP},
        {HTTP_GET, "", 201, "a: b" LM, PROXY_KEEP_STATUS},
        {HTTP_GET, "", 599, "cache-control: public" LM, PROXY_KEEP},
        {HTTP_GET, "", 200, "a: b", PROXY_KEEP_NO_LIFE},
        {HTTP_GET, "", 200, "etag: \"x\"", PROXY_KEEP},
        {HTTP_GET, "", 200, "cache-control: max-age=0", PROXY_KEEP_NO_LIFE},
        {HTTP_GET, "", 200, "cache-control: no-cache", PROXY_KEEP_NO_LIFE},
        {HTTP_GET, "", 200, "cache-control: no-cache\netag: \"x\"", PROXY_KEEP},
        {HTTP_GET, "", 200, "set-cookie: a=b" LM, PROXY_KEEP_COOKIES},
        {HTTP_GET, "", 200, "set-cookie: a=b\ncache-control: max-age=9", PROXY_KEEP},
        {HTTP_GET, "", 200, "cdn-cache-control: max-age=9\ncache-control: no-store", PROXY_KEEP},
        {HTTP_GET, "", 200, "cdn-cache-control: no-store\ncache-control: max-age=9",
         PROXY_KEEP_NO_STORE},
        {HTTP_GET, "", 200, "cdn-cache-control: x=&\ncache-control: no-store", PROXY_KEEP_NO_STORE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        head a;
        head b;
        proxy_asked asked = asked_of(&a, cases[i].method, cases[i].request);
        proxy_got got = got_of(&b, cases[i].status, cases[i].response);
        proxy_keep keep = proxy_may_keep(&asked, &got, &policy);
        if (keep != cases[i].keep) {
            fail_msg("case %zu: %s", i, proxy_keep_text(keep));
        }
    }
    head a;
    head b;
    proxy_policy strict = policy;
    strict.no_cookies = true;
    proxy_asked asked = asked_of(&a, HTTP_GET, "");
    proxy_got got = got_of(&b, 200, "set-cookie: a=b\ncache-control: max-age=9");
    CHECK(proxy_may_keep(&asked, &got, &strict) == PROXY_KEEP_COOKIES);
    strict.deaf = true;
    asked = asked_of(&a, HTTP_GET, "cache-control: no-store");
    got = got_of(&b, 200, "cache-control: max-age=9");
    CHECK(proxy_may_keep(&asked, &got, &strict) == PROXY_KEEP);
}

static void test_how_long(void **state)
{
    (void)state;
    char dates[3][PROXY_DATE_SIZE + 1];
    proxy_date_write(NOW_S - 100, dates[0]);
    proxy_date_write(NOW_S + 500, dates[1]);
    proxy_date_write(NOW_S - 1100, dates[2]);
    static const struct {
        const char *text; /* %d, %e, %m: 100 s ago, in 500 s, 1100 s ago */
        uint32_t lifetime_s;
        uint32_t age_s;
    } cases[] = {
        {"cache-control: max-age=60", 60, 0},
        {"cache-control: max-age=60, s-maxage=5", 5, 0},
        {"cache-control: max-age=60\nexpires: %e", 60, 0},
        {"cache-control: max-age=60\nage: 7", 60, 7},
        {"cache-control: max-age=60\nage: 7\ndate: %d", 60, 100},
        {"cache-control: max-age=60\nage: 700\ndate: %d", 60, 700},
        {"cache-control: max-age=60\nage: 7, 9", 60, 7},
        {"cache-control: max-age=60\nage: 7\nage: 9", 60, 7},
        {"cache-control: max-age=60\nage: 7;x=y", 60, 7},
        {"cache-control: max-age=60\nage: -7", 60, 0},
        {"cache-control: max-age=60\nage: 7.0", 60, 0},
        {"cache-control: max-age=60\nage: abc", 60, 0},
        {"cache-control: max-age=60\nage: 99999999999", 60, PROXY_SECONDS_MAX},
        {"expires: %e\ndate: %d", 600, 100},
        {"expires: %e", 500, 0},
        {"expires: %d\ndate: %d", 0, 100},
        {"expires: 0\ndate: %d", 0, 100},
        {"expires: %e\nexpires: %d", 0, 0},
        {"expires: %e\nexpires: %e", 500, 0},
        {"last-modified: %m\ndate: %d", 100, 100},
        {"last-modified: %e", 0, 0},
        {"last-modified: Sun, 06 Nov 1994 08:49:37 GMT", 86400, 0},
        {"cdn-cache-control: x\nexpires: %e", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        size_t used = 0;
        for (const char *c = cases[i].text; *c != '\0'; c++) {
            const char *date = NULL;
            if (*c == '%') {
                c++;
                date = dates[*c == 'd' ? 0 : *c == 'e' ? 1 : 2];
                memcpy(text + used, date, PROXY_DATE_SIZE);
                used += PROXY_DATE_SIZE;
            } else {
                text[used++] = *c;
            }
        }
        text[used] = '\0';
        head h;
        proxy_got got = got_of(&h, 200, text);
        proxy_life life = proxy_life_of(&got, &policy);
        uint32_t age = proxy_age_s(&life, NOW_S * 1000);
        if (life.lifetime_s != cases[i].lifetime_s || age != cases[i].age_s) {
            fail_msg("%s: lifetime %u age %u", text, life.lifetime_s, age);
        }
    }
}

static proxy_verdict judge(const char *response, const char *request, int64_t later_s)
{
    head a;
    head b;
    proxy_got got = got_of(&a, 200, response);
    proxy_asked asked = asked_of(&b, HTTP_GET, request);
    proxy_life life = proxy_life_of(&got, &policy);
    return proxy_judge(&life, &asked.control, (NOW_S + later_s) * 1000);
}

static void test_use(void **state)
{
    (void)state;
    CHECK(judge("cache-control: max-age=10", "", 9) == PROXY_USE);
    CHECK(judge("cache-control: max-age=10", "", 10) == PROXY_VALIDATE);
    CHECK(judge("cache-control: max-age=10", "", -10) == PROXY_USE); /* the clock went back */
    CHECK(judge("cache-control: max-age=10, no-cache", "", 0) == PROXY_VALIDATE);
    CHECK(judge("cache-control: max-age=10", "cache-control: no-cache", 0) == PROXY_VALIDATE);
    CHECK(judge("cache-control: max-age=10", "cache-control: max-age=0", 0) == PROXY_VALIDATE);
    CHECK(judge("cache-control: max-age=10", "cache-control: max-age=4", 4) == PROXY_USE);
    CHECK(judge("cache-control: max-age=10", "cache-control: max-age=4", 5) == PROXY_VALIDATE);
    CHECK(judge("cache-control: max-age=10", "cache-control: min-fresh=6", 4) == PROXY_USE);
    CHECK(judge("cache-control: max-age=10", "cache-control: min-fresh=6", 5) == PROXY_VALIDATE);
    CHECK(judge("cache-control: max-age=10", "cache-control: max-stale=5", 15) == PROXY_USE);
    CHECK(judge("cache-control: max-age=10", "cache-control: max-stale=5", 16) == PROXY_VALIDATE);
    CHECK(judge("cache-control: max-age=10", "cache-control: max-stale", 999) == PROXY_USE);
    static const char *const strict[] = {"must-revalidate", "proxy-revalidate", "s-maxage=10"};
    for (size_t i = 0; i < 3; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "cache-control: max-age=10, %s, stale-while-revalidate=9",
                       strict[i]);
        CHECK(judge(text, "cache-control: max-stale", 11) == PROXY_VALIDATE);
        CHECK(judge(text, "", 9) == PROXY_USE);
    }
    static const char swr[] = "cache-control: max-age=10, stale-while-revalidate=5";
    CHECK(judge(swr, "", 14) == PROXY_USE_AND_RENEW);
    CHECK(judge(swr, "", 15) == PROXY_VALIDATE);
}

static bool on_failure(const char *response, proxy_failure failure, int64_t later_s)
{
    head a;
    proxy_got got = got_of(&a, 200, response);
    proxy_life life = proxy_life_of(&got, &policy);
    return proxy_use_on_failure(&life, &policy, failure, (NOW_S + later_s) * 1000);
}

static void test_failures(void **state)
{
    (void)state;
    CHECK(on_failure("cache-control: max-age=10", PROXY_FAILED_REACH, 69));
    CHECK(!on_failure("cache-control: max-age=10", PROXY_FAILED_REACH, 70));
    CHECK(!on_failure("cache-control: max-age=10", PROXY_FAILED_STATUS, 11));
    CHECK(on_failure("cache-control: max-age=10, stale-if-error=100", PROXY_FAILED_STATUS, 109));
    CHECK(!on_failure("cache-control: max-age=10, stale-if-error=100", PROXY_FAILED_REACH, 110));
    CHECK(!on_failure("cache-control: max-age=10, stale-if-error=0", PROXY_FAILED_REACH, 11));
    CHECK(!on_failure("cache-control: max-age=10, must-revalidate", PROXY_FAILED_REACH, 11));
    CHECK(!on_failure("cache-control: s-maxage=10", PROXY_FAILED_REACH, 11));
    CHECK(!on_failure("cache-control: max-age=10, no-cache", PROXY_FAILED_REACH, 1));
}

/* --- Vary -------------------------------------------------------------------------------- */

static void test_vary_specs(void **state)
{
    (void)state;
    head h;
    char spec[PROXY_VARY_SPEC_MAX];
    CHECK(proxy_vary_spec(fields_of(&h, "vary: Foo, bar\nvary: FOO , ,a"), spec));
    assert_string_equal(spec, "a,bar,foo");
    CHECK(proxy_vary_spec(fields_of(&h, "a: b"), spec));
    assert_string_equal(spec, "");
    CHECK(!proxy_vary_spec(fields_of(&h, "vary: a\nvary: *"), spec));
    char many[400] = "vary: ";
    for (int i = 0; i < 17; i++) {
        (void)snprintf(many + strlen(many), sizeof many - strlen(many), "n%d,", i);
    }
    CHECK(!proxy_vary_spec(fields_of(&h, many), spec));
    char wide[400] = "vary: ";
    memset(wide + 6, 'x', 300);
    wide[306] = '\0';
    CHECK(!proxy_vary_spec(fields_of(&h, wide), spec));
}

static bool share(const char *spec, const char *a, const char *b)
{
    head h;
    brisk_hash128 x;
    brisk_hash128 y;
    CHECK(proxy_vary_hash(spec, fields_of(&h, a), &x));
    CHECK(proxy_vary_hash(spec, fields_of(&h, b), &y));
    return x.lo == y.lo && x.hi == y.hi;
}

static void test_vary_values(void **state)
{
    (void)state;
    CHECK(share("foo", "foo: 1", "foo: 1\nother: 2"));
    CHECK(!share("foo", "foo: 1", "foo: 2"));
    CHECK(!share("foo", "foo: 1", "other: 1"));
    CHECK(!share("foo", "foo:", "other: 1"));
    CHECK(!share("bar,foo", "foo: 1", "bar: 1"));
    CHECK(!share("bar,foo", "bar: 1\nfoo: 2", "bar: 1,foo\nfoo: 2"));
    CHECK(share("foo", "foo: 1, 2", "foo: 1\nfoo: 2"));
    CHECK(share("foo", "foo: 1,2", "foo:  1,  2 "));
    CHECK(!share("foo", "foo: \"1,2\"", "foo: \"1, 2\""));
    CHECK(share("accept-language", "accept-language: en, de", "accept-language: De , eN"));
    CHECK(share("accept-language", "accept-language: en;q=1.0, de", "accept-language: de, en"));
    CHECK(!share("accept-language", "accept-language: en;q=0.5, de", "accept-language: de, en"));
    CHECK(!share("accept-language", "accept-language: en;q=0.5, de",
                 "accept-language: en, de;q=0.5"));
    CHECK(
        share("accept-encoding", "accept-encoding: gzip, br", "accept-encoding: br;q=0.2,x-gzip"));
    CHECK(share("accept-encoding", "accept-encoding: gzip, foo", "accept-encoding: gzip"));
    CHECK(!share("accept-encoding", "accept-encoding: gzip, br", "accept-encoding: br, gzip;q=0"));
    CHECK(!share("accept-encoding", "accept-encoding: identity;q=0", "accept-encoding: gzip;q=0"));
    CHECK(share("accept-encoding", "accept-encoding: *",
                "accept-encoding: br,dcb,dcz,deflate,gzip,zstd"));
    head h;
    brisk_hash128 x;
    static char large[PROXY_VARY_TEXT_MAX + 16] = "foo: ";
    memset(large + 5, 'x', PROXY_VARY_TEXT_MAX);
    CHECK(!proxy_vary_hash("foo", fields_of(&h, large), &x));
    /* It is in keys on disk: the first half of SHA-256 of "foo+1,\n". */
    static const unsigned char digest[16] = {0x9d, 0x32, 0x7e, 0x0b, 0x2d, 0xfb, 0x36, 0x24,
                                             0xd5, 0xf2, 0x37, 0x95, 0x39, 0x4c, 0x0e, 0x5a};
    CHECK(proxy_vary_hash("foo", fields_of(&h, "foo: 1"), &x));
    assert_memory_equal(&x, digest, sizeof digest);
}

/* --- conditions, ranges, heads ----------------------------------------------------------- */

static void test_conditions(void **state)
{
    (void)state;
    head h;
    proxy_validators v = {.etag = text_of("\"a,b\""),
                          .modified = text_of("Sun, 06 Nov 1994 08:49:37 GMT"),
                          .date_s = NOW_S};
    static const struct {
        const char *request;
        bool holds;
    } cases[] = {
        {"if-none-match: \"a,b\"", true},
        {"if-none-match: W/\"a,b\"", true},
        {"if-none-match: \"x\", \"a,b\"", true},
        {"if-none-match: *", true},
        {"if-none-match: \"x\"", false},
        {"if-none-match: a,b", false},
        {"if-none-match: \"x\"\nif-modified-since: Sun, 06 Nov 1994 08:49:37 GMT", false},
        {"if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT", true},
        {"if-modified-since: Sunday, 06-Nov-94 08:49:37 GMT", true},
        {"if-modified-since: Sun, 06 Nov 1994 08:49:38 GMT", true},
        {"if-modified-since: Sun, 06 Nov 1994 08:49:36 GMT", false},
        {"if-modified-since: yesterday", false},
        {"a: b", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        http_text etag;
        if (proxy_condition_holds(fields_of(&h, cases[i].request), &v, &etag) != cases[i].holds) {
            fail_msg("%s", cases[i].request);
        }
    }
    CHECK(proxy_condition_is_origins(fields_of(&h, "if-match: *")));
    CHECK(!proxy_condition_is_origins(fields_of(&h, "if-none-match: *")));
    CHECK(proxy_confirms(fields_of(&h, "etag: \"a,b\""), &v));
    CHECK(proxy_confirms(fields_of(&h, "etag: W/\"a,b\""), &v));
    CHECK(!proxy_confirms(fields_of(&h, "etag: \"other\""), &v));
    CHECK(proxy_confirms(fields_of(&h, "a: b"), &v));
    CHECK(!proxy_confirms(fields_of(&h, "last-modified: Sun, 06 Nov 1994 08:49:39 GMT"), &v));
}

/* A tag with a coding's name is that of what was compressed. */
static void test_tags_of_codings(void **state)
{
    (void)state;
    head h;
    static const struct {
        const char *stored;
        const char *tag;
        bool same;
    } cases[] = {
        {"\"a\"", "W/\"a-gzip\"", true},      {"\"a\"", "W/\"a-zstd\"", true},
        {"\"a\"", "W/\"a-br\"", true},        {"W/\"a\"", "W/\"a-dcz\"", true},
        {"\"\"", "W/\"-gzip\"", true},        {"\"a\"", "\"a-gzip\"", false},
        {"\"a\"", "W/\"a-identity\"", false}, {"\"a\"", "W/\"a-gzi\"", false},
        {"\"a\"", "W/\"b-gzip\"", false},     {"\"a\"", "W/\"agzip\"", false},
        {"\"a\"", "W/\"a-gzip", false},       {"\"a\"", "W/", false},
        {"a", "W/\"a-gzip\"", false},         {"", "W/\"-gzip\"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char request[64];
        http_text etag;
        (void)snprintf(request, sizeof request, "if-none-match: %s", cases[i].tag);
        proxy_validators v = {.etag = text_of(cases[i].stored), .date_s = NOW_S};
        CHECK(!proxy_condition_holds(fields_of(&h, request), &v, &etag));
        v.coded = true;
        if (proxy_condition_holds(fields_of(&h, request), &v, &etag) != cases[i].same) {
            fail_msg("%s and %s", cases[i].stored, cases[i].tag);
        }
        CHECK(etag.size == strlen(cases[i].same ? cases[i].tag : cases[i].stored));
    }
}

static void test_ranges(void **state)
{
    (void)state;
    proxy_validators v = {.etag = text_of("\"a\""),
                          .modified = text_of("Sun, 06 Nov 1994 08:49:37 GMT"),
                          .date_s = NOW_S};
    static const struct {
        const char *request;
        proxy_part part;
        uint64_t first;
        uint64_t size;
    } cases[] = {
        {"range: bytes=0-1", PROXY_PART_ONE, 0, 2},
        {"range: bytes=3-", PROXY_PART_ONE, 3, 7},
        {"range: bytes=-3", PROXY_PART_ONE, 7, 3},
        {"range: bytes=-30", PROXY_PART_ONE, 0, 10},
        {"range: bytes=9-99", PROXY_PART_ONE, 9, 1},
        {"range: bytes=10-", PROXY_PART_NONE, 0, 0},
        {"range: bytes=-0", PROXY_PART_NONE, 0, 0},
        {"range: bytes=2-1", PROXY_PART_ALL, 0, 0},
        {"range: bytes=-", PROXY_PART_ALL, 0, 0},
        {"range: bytes=0-1,3-4", PROXY_PART_ALL, 0, 0},
        {"range: lines=0-1", PROXY_PART_ALL, 0, 0},
        {"range: bytes=0-99999999999999999999", PROXY_PART_ALL, 0, 0},
        {"range: bytes=0-1\nrange: bytes=2-3", PROXY_PART_ALL, 0, 0},
        {"range: bytes=0-1\nif-range: \"a\"", PROXY_PART_ONE, 0, 2},
        {"range: bytes=0-1\nif-range: W/\"a\"", PROXY_PART_ALL, 0, 0},
        {"range: bytes=0-1\nif-range: \"b\"", PROXY_PART_ALL, 0, 0},
        {"range: bytes=0-1\nif-range: Sun, 06 Nov 1994 08:49:37 GMT", PROXY_PART_ONE, 0, 2},
        {"range: bytes=0-1\nif-range: Sun, 06 Nov 1994 08:49:38 GMT", PROXY_PART_ALL, 0, 0},
        {"a: b", PROXY_PART_ALL, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        head h;
        proxy_range r = {0};
        proxy_part part = proxy_part_of(fields_of(&h, cases[i].request), &v, 10, &r);
        if (part != cases[i].part || r.first != cases[i].first || r.size != cases[i].size) {
            fail_msg("%s: %d %llu+%llu", cases[i].request, part, (unsigned long long)r.first,
                     (unsigned long long)r.size);
        }
    }
    proxy_range r;
    uint64_t total;
    CHECK(proxy_content_range(text_of("bytes 4-9/10"), &r, &total));
    CHECK(r.first == 4 && r.size == 6 && total == 10);
    CHECK(!proxy_content_range(text_of("bytes 4-10/10"), &r, &total));
    CHECK(!proxy_content_range(text_of("bytes 4-3/10"), &r, &total));
    CHECK(!proxy_content_range(text_of("bytes 4-9/*"), &r, &total));
    CHECK(!proxy_content_range(text_of("bytes */10"), &r, &total));
}

static void check_block(proxy_head *made, const char *wanted)
{
    CHECK_OK(proxy_head_err(made));
    assert_string_equal(brisk_str_text(&made->block), wanted);
    http_field fields[FIELDS_MAX];
    uint32_t count = 0;
    CHECK(proxy_block_fields(brisk_str_text(&made->block), brisk_str_size(&made->block), fields,
                             FIELDS_MAX, &count));
    CHECK_U64(count, ==, made->count);
    proxy_head_deinit(made);
}

static void test_heads(void **state)
{
    (void)state;
    head a;
    head b;
    proxy_head made;
    proxy_head_init(&made, brisk_alloc_libc());
    proxy_head_keep(&made,
                    fields_of(&a, "connection: x, close\nx: 1\ny: 2\nage: 7\nte: z\n"
                                  "content-length: 9\nsurrogate-key: k\n"
                                  "cache-control: no-cache=\"p, q\", max-age=5\nq: 3\nempty:"));
    check_block(
        &made,
        "y: 2\r\nsurrogate-key: k\r\ncache-control: no-cache=\"p, q\", max-age=5\r\nempty: \r\n");

    proxy_head_init(&made, brisk_alloc_libc());
    proxy_head_pass(&made,
                    fields_of(&a, "connection: x\nx: 1\nage: 7\ncontent-length: 9\n"
                                  "surrogate-key: k\nupgrade: h\nset-cookie: a\nset-cookie: b"));
    check_block(&made, "age: 7\r\nset-cookie: a\r\nset-cookie: b\r\n");

    proxy_head_init(&made, brisk_alloc_libc());
    proxy_head_merge(&made, fields_of(&a, "a: 1\nb: 2\nb: 3\ncontent-encoding: gzip\netag: \"x\""),
                     fields_of(&b, "b: 4\ncontent-encoding: br\ncontent-length: 0\nnew: 5\n"
                                   "connection: new\nage: 9\nc: 6"));
    check_block(&made, "a: 1\r\ncontent-encoding: gzip\r\netag: \"x\"\r\nb: 4\r\nc: 6\r\n");
}

static void test_blocks_are_bounded(void **state)
{
    (void)state;
    http_field fields[2];
    uint32_t count;
    static const char *const wrong[] = {"a", "a: b", "a: b\r", "a:\r\n", "a b\r\n", "a: b\r\nc"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK(!proxy_block_fields(wrong[i], strlen(wrong[i]), fields, 2, &count));
    }
    static const char three[] = "a: b\r\nc: d\r\ne: f\r\n";
    CHECK(!proxy_block_fields(three, sizeof three - 1, fields, 2, &count));
    CHECK(proxy_block_fields(three, 12, fields, 2, &count));
    CHECK_U64(count, ==, 2);
    proxy_head made;
    proxy_head_init(&made, brisk_alloc_libc());
    for (int i = 0; i <= PROXY_HEAD_FIELDS_MAX; i++) {
        proxy_head_add(&made, HTTP_TEXT("a"), HTTP_TEXT("b"));
    }
    CHECK(proxy_head_err(&made) == BRISK_ERR_LIMIT);
    proxy_head_deinit(&made);
}

static void test_cache_status(void **state)
{
    (void)state;
    char text[PROXY_STATUS_SIZE];
    size_t size = proxy_status_write(&(proxy_status){.has_ttl = true, .ttl_s = -3}, text);
    assert_string_equal(text, "brisk; hit; ttl=-3");
    CHECK_U64(size, ==, strlen(text));
    (void)proxy_status_write(&(proxy_status){.forward = "stale",
                                             .forward_status = 304,
                                             .stored = true,
                                             .collapsed = true,
                                             .detail = "cookies"},
                             text);
    assert_string_equal(text,
                        "brisk; fwd=stale; fwd-status=304; stored; collapsed; detail=cookies");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_are_cut_outside_of_quotes),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_dates_go_both_ways),
        cmocka_unit_test(test_directives),
        cmocka_unit_test(test_pragma_stands_in),
        cmocka_unit_test(test_targeted_fields_are_strict),
        cmocka_unit_test(test_what_is_kept),
        cmocka_unit_test(test_how_long),
        cmocka_unit_test(test_use),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_vary_specs),
        cmocka_unit_test(test_vary_values),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_tags_of_codings),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_blocks_are_bounded),
        cmocka_unit_test(test_cache_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
