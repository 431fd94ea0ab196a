/*
 * test_http_client.c -- the client against a server that behaves: each protocol, encodings, caching,
 * tokens, redirections, priorities, proxies, cancelling.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "http_lab.h"
#include "support/fault_alloc.h"

static registry_server server;

/* --- one request ---------------------------------------------------------------------------- */

static void test_each_protocol(void **state)
{
    (void)state;
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        brisk_http_client *client = lab_client(&server, p, NULL);
        const char *base = lab_base(&server, p);
        static const size_t sizes[] = {0, 1, 16384, 300000, 5000000};
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            char path[64];
            (void)snprintf(path, sizeof path, "-/try/size/%zu", sizes[i]);
            brisk_http_response *r = lab_ask(client, base, path, NULL);
            CHECK_OK(r->err);
            CHECK(r->status == 200 && r->attempts == 1 && r->encoding == BRISK_HTTP_IDENTITY);
            CHECK_U64(r->http_version, ==, lab_is_h2(p) ? 20 : 11);
            CHECK(r->reused == (i > 0) && r->first_byte_ns > 0 && r->total_ns > 0);
            CHECK((r->tls_ns > 0) == (i == 0 && p <= LAB_TLS1));
            lab_check_letters(r->body, r->body_size, sizes[i]);
            CHECK((r->body == NULL) == (sizes[i] == 0));
            CHECK(r->body == NULL || r->body[r->body_size + 15] == 0);
            brisk_http_response_destroy(r);
        }
        brisk_http_response *r =
            lab_ask(client, base, "-/try/size/1000", &(brisk_http_request){.method = "HEAD"});
        CHECK(r->err == BRISK_OK && r->status == 200 && r->body == NULL);
        brisk_http_response_destroy(r);
        brisk_http_stats stats = lab_stats(client);
        CHECK(stats.submitted == 6 && stats.answered == 6 && stats.failed == 0);
        CHECK(stats.connections == 1 && stats.reused == 5 && stats.in_flight == 0);
        CHECK(stats.bytes_in > 5316385 && stats.bytes_per_second > 0 && stats.bytes_out > 0);
        brisk_http_client_destroy(client);
    }
}

static bool has_line(const brisk_http_response *r, const char *line)
{
    return r->body != NULL && memmem(r->body, r->body_size, line, strlen(line)) != NULL;
}

static void test_what_is_sent(void **state)
{
    (void)state;
    static const char *const ours[] = {"X-One: 1", "X-Two: 2"};
    static const char *const theirs[] = {"x-two: two", "X-Empty:"};
    static char big[300000];
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        const char *base = lab_base(&server, p);
        brisk_http_client *client =
            lab_client(&server, p, &(brisk_http_client_opts){.headers = ours, .header_count = 2});
        brisk_http_response *r = lab_ask(client, base, "-/try/echo",
                                         &(brisk_http_request){.method = "POST",
                                                               .body = big,
                                                               .body_size = sizeof big,
                                                               .headers = theirs,
                                                               .header_count = 2});
        CHECK(r->err == BRISK_OK && has_line(r, "POST /-/try/echo"));
        const char *expected[] = {lab_is_h2(p) ? "x-one: 1\n" : "X-One: 1\n",
                                  "x-two: two\n",
                                  lab_is_h2(p) ? "user-agent: brisk/" : "User-Agent: brisk/",
                                  lab_is_h2(p) ? "accept-encoding: gzip, br, zstd\n"
                                               : "Accept-Encoding: gzip, br, zstd\n",
                                  lab_is_h2(p) ? "content-length: 300000\n"
                                               : "Content-Length: 300000\n",
                                  lab_is_h2(p) ? "x-empty: \n" : "X-Empty:\n"};
        for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
            if (!has_line(r, expected[i])) {
                fail_msg("%d: no '%s' in %.*s", (int)p, expected[i], (int)r->body_size,
                         (char *)r->body);
            }
        }
        static const char *const absent[] = {"Two: 2",      "Expect",      "expect",
                                             "ontent-type", "ontent-Type", "uthorization"};
        for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
            CHECK(!has_line(r, absent[i]));
        }
        brisk_http_response_destroy(r);
        r = lab_ask(client, base, "-/try/echo",
                    &(brisk_http_request){.method = "PUT", .plain = true});
        CHECK(r->err == BRISK_OK && has_line(r, "PUT") && has_line(r, "body=0"));
        CHECK(!has_line(r, "ncoding") && has_line(r, "ength: 0"));
        brisk_http_response_destroy(r);
        r = lab_ask(client, base, "-/try/echo",
                    &(brisk_http_request){.method = "GET", .body = "two", .body_size = 3});
        CHECK(r->err == BRISK_OK && has_line(r, "GET /-/try/echo") && has_line(r, "body=3"));
        brisk_http_response_destroy(r);
        brisk_http_client_destroy(client);
    }
}

static void test_encodings(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        brisk_http_encoding encoding;
    } kinds[] = {{"gzip", BRISK_HTTP_GZIP},
                 {"deflate", BRISK_HTTP_DEFLATE},
                 {"br", BRISK_HTTP_BROTLI},
                 {"zstd", BRISK_HTTP_ZSTD}};
    brisk_http_client *client = lab_client(&server, LAB_TLS2, NULL);
    brisk_http_buffer buffer = {.alloc = NULL};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "-/try/encoded/%s/1000000", kinds[i].name);
        brisk_http_response *r = lab_ask(client, server.https, path, NULL);
        CHECK(r->err == BRISK_OK && r->encoding == kinds[i].encoding);
        CHECK(r->body_size < 20000 && r->wire_size == r->body_size);
        CHECK_OK(brisk_http_response_expand_into(r, &buffer, NULL));
        lab_check_letters(buffer.data, buffer.size, 1000000);
        CHECK_OK(brisk_http_response_expand(r, NULL));
        CHECK(r->encoding == BRISK_HTTP_IDENTITY);
        lab_check_letters(r->body, r->body_size, 1000000);
        CHECK_OK(brisk_http_response_expand(r, NULL)); /* nothing to do */
        lab_check_letters(r->body, r->body_size, 1000000);
        brisk_http_response_destroy(r);
    }
    brisk_errinfo info = {.text = ""};
    brisk_http_response *r = lab_ask(client, server.https, "-/try/unknown", NULL);
    CHECK(brisk_http_response_expand(r, &info) == BRISK_ERR_UNSUPPORTED && info.text[0] != '\0');
    CHECK(r->body_size == 5);
    brisk_http_response_destroy(r);
    r = lab_ask(client, server.https, "-/try/size/26", NULL);
    CHECK_OK(brisk_http_response_expand_into(r, &buffer, NULL)); /* a copy */
    lab_check_letters(buffer.data, buffer.size, 26);
    brisk_http_response_destroy(r);
    brisk_http_buffer_deinit(&buffer);
    brisk_http_client_destroy(client);
}

static void test_caching_is_told_and_asked_for(void **state)
{
    (void)state;
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        const char *base = lab_base(&server, p);
        brisk_http_client *client = lab_client(&server, p, NULL);
        brisk_http_response *r = lab_ask(client, base, "-/try/cached", NULL);
        const brisk_http_caching *c = &r->caching;
        CHECK(r->status == 200 && c->max_age_s == 30 && c->s_maxage_s == 9 && c->age_s == 12);
        CHECK(c->must_revalidate && !c->no_store && c->has_expires);
        CHECK(c->date_s == 784111837 && c->expires_s == 784111897);
        assert_string_equal(c->etag, "W/\"seven\"");
        assert_string_equal(c->last_modified, "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_string_equal(r->content_type, "text/plain");
        brisk_http_response *again =
            lab_ask(client, base, "-/try/cached", &(brisk_http_request){.etag = c->etag});
        CHECK(again->err == BRISK_OK && again->status == 304 && again->body == NULL);
        CHECK_OK(brisk_http_response_expand(again, NULL));
        brisk_http_response_destroy(again);
        again = lab_ask(client, base, "-/try/cached",
                        &(brisk_http_request){.last_modified = c->last_modified, .etag = ""});
        CHECK(again->status == 304);
        brisk_http_response_destroy(again);
        again = lab_ask(client, base, "-/try/cached", &(brisk_http_request){.etag = "\"other\""});
        CHECK(again->status == 200 && again->body_size == 5);
        brisk_http_response_destroy(again);
        brisk_http_response_destroy(r);
        brisk_http_client_destroy(client);
    }
}

/* --- many ----------------------------------------------------------------------------------- */

static void test_many_share_a_connection(void **state)
{
    (void)state;
    enum { MANY = 600 };
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        brisk_http_queue *queue = NULL;
        bool seen[MANY] = {false};
        CHECK_OK(brisk_http_queue_create(NULL, &queue));
        brisk_http_client *client =
            lab_client(&server, p, &(brisk_http_client_opts){.connections_max = 8});
        lab_url url = lab_join(lab_base(&server, p), "-/try/size/3000");
        for (uint64_t i = 0; i < MANY; i++) {
            CHECK_OK(brisk_http_submit(
                client,
                &(brisk_http_request){.url = url.text, .queue = queue, .tag = i, .user = seen},
                NULL, NULL));
        }
        for (int i = 0; i < MANY; i++) {
            brisk_http_response *r = NULL;
            CHECK_OK(brisk_http_queue_take(queue, BRISK_HTTP_FOREVER, &r));
            CHECK(r->err == BRISK_OK && r->tag < MANY && !seen[r->tag] && r->user == seen);
            seen[r->tag] = true;
            lab_check_letters(r->body, r->body_size, 3000);
            brisk_http_response_destroy(r);
        }
        brisk_http_response *none = NULL;
        CHECK(brisk_http_queue_take(queue, 0, &none) == BRISK_ERR_DEADLINE && none == NULL);
        brisk_http_stats stats = lab_stats(client);
        CHECK_U64(stats.answered, ==, MANY);
        CHECK_U64(stats.connections, <=, lab_is_h2(p) ? 1 : 8);
        CHECK_U64(stats.in_flight_peak, <=, lab_is_h2(p) ? 256 : 8);
        brisk_http_host_stats host;
        CHECK_OK(brisk_http_client_read_host(client, url.text, &host));
        CHECK(host.http_version == (lab_is_h2(p) ? 20 : 11) && host.latency_ns > 0);
        CHECK(host.in_flight == 0 && host.waiting == 0);
        CHECK(brisk_http_client_read_host(client, "http://other.test/", &host) ==
              BRISK_ERR_NOT_FOUND);
        brisk_http_client_destroy(client);
        brisk_http_queue_destroy(queue);
    }
}

/* What a server allows on a connection is less than we want: not a connection for each request. */
static void test_few_streams_are_not_many_connections(void **state)
{
    (void)state;
    enum { MANY = 300 };
    registry_server narrow;
    brisk_http_queue *queue = NULL;
    registry_server_start(&narrow, (const char *const[]){"--streams", "10", NULL});
    CHECK_OK(brisk_http_queue_create(NULL, &queue));
    brisk_http_client *client = lab_client(&narrow, LAB_TLS2, NULL);
    lab_url url = lab_join(narrow.https, "-/try/size/3000");
    for (int i = 0; i < MANY; i++) {
        CHECK_OK(brisk_http_submit(client, &(brisk_http_request){.url = url.text, .queue = queue},
                                   NULL, NULL));
    }
    for (int i = 0; i < MANY; i++) {
        brisk_http_response *r = NULL;
        CHECK_OK(brisk_http_queue_take(queue, BRISK_HTTP_FOREVER, &r));
        CHECK(r->err == BRISK_OK && r->http_version == 20);
        lab_check_letters(r->body, r->body_size, 3000);
        brisk_http_response_destroy(r);
    }
    CHECK_U64(lab_stats(client).connections, <=, 4);
    brisk_http_client_destroy(client);
    brisk_http_queue_destroy(queue);
    registry_server_stop(&narrow);
}

typedef struct order {
    pthread_mutex_t lock;
    int count;
    uint64_t tags[8];
} order;

static void note(void *ctx, brisk_http_response *response)
{
    order *o = ctx;
    (void)pthread_mutex_lock(&o->lock);
    o->tags[o->count++] = response->tag;
    (void)pthread_mutex_unlock(&o->lock);
    brisk_http_response_destroy(response);
}

static void test_priorities(void **state)
{
    (void)state;
    order o = {.lock = PTHREAD_MUTEX_INITIALIZER};
    brisk_http_client *client =
        lab_client(&server, LAB_TLS2, &(brisk_http_client_opts){.in_flight_max = 1});
    lab_url slow = lab_join(server.https, "-/try/slow/150");
    lab_url quick = lab_join(server.https, "-/try/size/1");
    static const brisk_http_priority priorities[] = {
        BRISK_HTTP_LOW, BRISK_HTTP_NORMAL, BRISK_HTTP_HIGH, BRISK_HTTP_LOW, BRISK_HTTP_HIGH};
    CHECK_OK(brisk_http_submit(
        client, &(brisk_http_request){.url = slow.text, .done = note, .user = &o, .tag = 9}, NULL,
        NULL));
    while (lab_stats(client).in_flight == 0) { /* until it is on its way */
        (void)sched_yield();
    }
    for (uint64_t i = 0; i < 5; i++) {
        CHECK_OK(brisk_http_submit(
            client,
            &(brisk_http_request){
                .url = quick.text, .done = note, .user = &o, .tag = i, .priority = priorities[i]},
            NULL, NULL));
    }
    brisk_http_response *last = lab_ask(client, server.https, "-/try/size/1",
                                        &(brisk_http_request){.priority = BRISK_HTTP_LOW});
    brisk_http_response_destroy(last);
    static const uint64_t expected[] = {9, 2, 4, 1, 0, 3};
    CHECK(o.count == 6 && memcmp(o.tags, expected, sizeof expected) == 0);
    brisk_http_client_destroy(client);
}

/* The urgent one is for another host than those before it. */
static void test_priorities_hold_across_hosts(void **state)
{
    (void)state;
    order o = {.lock = PTHREAD_MUTEX_INITIALIZER};
    brisk_http_client *client =
        lab_client(&server, LAB_TLS2, &(brisk_http_client_opts){.in_flight_max = 1});
    lab_url slow = lab_join(server.https, "-/try/slow/150");
    lab_url here = lab_join(server.https, "-/try/size/1");
    lab_url there = lab_join(other_name(server.https).text, "-/try/size/1");
    const struct {
        const char *url;
        brisk_http_priority priority;
    } asked[] = {{slow.text, BRISK_HTTP_NORMAL}, {here.text, BRISK_HTTP_LOW},
                 {there.text, BRISK_HTTP_LOW},   {here.text, BRISK_HTTP_NORMAL},
                 {there.text, BRISK_HTTP_HIGH},  {here.text, BRISK_HTTP_HIGH}};
    for (uint64_t i = 0; i < 6; i++) {
        CHECK_OK(brisk_http_submit(client,
                                   &(brisk_http_request){.url = asked[i].url,
                                                         .done = note,
                                                         .user = &o,
                                                         .tag = i,
                                                         .priority = asked[i].priority},
                                   NULL, NULL));
        while (i == 0 && lab_stats(client).in_flight == 0) {
            (void)sched_yield();
        }
    }
    brisk_http_response *last = lab_ask(client, server.https, "-/try/size/1",
                                        &(brisk_http_request){.priority = BRISK_HTTP_LOW});
    brisk_http_response_destroy(last);
    bool urgent = o.tags[1] + o.tags[2] == 4 + 5 && o.tags[1] != o.tags[2];
    CHECK(o.count >= 5 && o.tags[0] == 0 && urgent && o.tags[3] == 3);
    brisk_http_client_destroy(client);
}

static void test_priorities_are_told(void **state)
{
    (void)state;
    static const char *const own[] = {"Priority: u=2, i"};
    static const struct {
        brisk_http_priority priority;
        uint32_t own;
        const char *line; /* of HTTP/2; NULL: none */
    } cases[] = {{BRISK_HTTP_NORMAL, 0, NULL},
                 {BRISK_HTTP_HIGH, 0, "riority: u=1\n"},
                 {BRISK_HTTP_LOW, 0, "riority: u=5\n"},
                 {BRISK_HTTP_HIGH, 1, "riority: u=2, i\n"}};
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        brisk_http_client *client = lab_client(&server, p, NULL);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            brisk_http_response *r = lab_ask(client, lab_base(&server, p), "-/try/echo",
                                             &(brisk_http_request){.priority = cases[i].priority,
                                                                   .headers = own,
                                                                   .header_count = cases[i].own});
            CHECK_OK(r->err);
            CHECK(has_line(r, cases[i].line != NULL ? cases[i].line : "riority:") ==
                  (cases[i].line != NULL));
            CHECK(!has_line(r, "u=1") || i == 1);
            brisk_http_response_destroy(r);
        }
        brisk_http_client_destroy(client);
    }
}

/* What the way to a host is like is told for each host. */
static void test_figures_of_hosts(void **state)
{
    (void)state;
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        const char *base = lab_base(&server, p);
        brisk_http_client *client = lab_client(&server, p, NULL);
        for (int i = 0; i < 3; i++) {
            brisk_http_response *r = lab_ask(client, base, "-/try/size/400000", NULL);
            CHECK_OK(r->err);
            brisk_http_response_destroy(r);
        }
        brisk_http_response *r = lab_ask(client, other_name(base).text, "-/try/size/10", NULL);
        CHECK_OK(r->err);
        brisk_http_response_destroy(r);
        brisk_http_host_stats host;
        CHECK_OK(brisk_http_client_read_host(client, base, &host));
        CHECK(host.bytes_in > 1200000 && host.bytes_in < 1300000 && host.bytes_out > 100);
        CHECK(host.bytes_per_second > 0 && host.connections == 1 && host.reused == 2);
        CHECK(host.rtt_ns > 0 && host.health == BRISK_HTTP_WELL);
        CHECK_OK(brisk_http_client_read_host(client, other_name(base).text, &host));
        CHECK(host.bytes_in >= 10 && host.bytes_in < 1000 && host.connections == 1);
        brisk_http_client_destroy(client);
    }
}

/* --- secrets and redirections --------------------------------------------------------------- */

#define SECRET "hunter2"

static void test_tokens(void **state)
{
    (void)state;
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        const char *base = lab_base(&server, p);
        lab_url elsewhere = other_name(base);
        lab_url place = lab_join(base, "-/try/");
        brisk_http_token tokens[] = {{place.text, "Bearer " SECRET}};
        brisk_http_client *client =
            lab_client(&server, p, &(brisk_http_client_opts){.tokens = tokens, .token_count = 1});
        static const char *const own[] = {"Authorization: Basic mine"};
        brisk_http_response *r = lab_ask(client, base, "-/try/echo", NULL);
        CHECK(has_line(r, "Bearer " SECRET));
        brisk_http_response_destroy(r);
        r = lab_ask(client, base, "-/try/echo",
                    &(brisk_http_request){.headers = own, .header_count = 1});
        CHECK(!has_line(r, SECRET) && has_line(r, "Basic mine"));
        brisk_http_response_destroy(r);
        r = lab_ask(client, elsewhere.text, "-/try/echo", NULL);
        CHECK(r->err == BRISK_OK && has_line(r, "echo") && !has_line(r, SECRET));
        brisk_http_response_destroy(r);
        brisk_http_client_destroy(client);
    }
}

static void test_redirections(void **state)
{
    (void)state;
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        const char *base = lab_base(&server, p);
        brisk_http_client *client = lab_client(&server, p, NULL);
        brisk_http_response *r =
            lab_ask(client, base, "-/try/redirect/3", &(brisk_http_request){.redirects_max = 3});
        CHECK(r->err == BRISK_OK && r->status == 200 && r->redirects == 3 && r->location == NULL);
        brisk_http_response_destroy(r);
        r = lab_ask(client, base, "-/try/redirect/3", &(brisk_http_request){.redirects_max = 2});
        CHECK(r->err == BRISK_ERR_LIMIT && r->redirects == 2 && r->body == NULL);
        brisk_http_response_destroy(r);
        r = lab_ask(client, base, "-/try/redirect/3", NULL);
        CHECK(r->err == BRISK_OK && r->status == 302 && r->redirects == 0);
        assert_string_equal(r->location, "2");
        brisk_http_response_destroy(r);
        r = lab_ask(client, base, "-/try/loop", &(brisk_http_request){.redirects_max = 20});
        CHECK(r->err == BRISK_ERR_LIMIT && r->redirects == 20);
        brisk_http_response_destroy(r);
        r = lab_ask(client, base, "-/try/redirect?/-/try/echo",
                    &(brisk_http_request){.redirects_max = 3, .method = "POST"});
        CHECK(r->err == BRISK_OK && r->status == 302); /* a POST is not sent elsewhere */
        brisk_http_response_destroy(r);
        r = lab_ask(client, base, "-/try/redirect?ftp://registry.test/",
                    &(brisk_http_request){.redirects_max = 3});
        CHECK(r->err == BRISK_ERR_INVALID);
        brisk_http_response_destroy(r);
        brisk_http_client_destroy(client);
    }
}

static void test_a_redirection_takes_no_secret_along(void **state)
{
    (void)state;
    static const char *const own[] = {"Cookie: " SECRET, "X-Token: " SECRET, "Accept: text/x",
                                      "Authorization: " SECRET};
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        const char *base = lab_base(&server, p);
        lab_url elsewhere = other_name(base);
        lab_url path;
        brisk_http_token tokens[] = {{base, "Bearer " SECRET}};
        brisk_http_client *client =
            lab_client(&server, p, &(brisk_http_client_opts){.tokens = tokens, .token_count = 1});
        (void)snprintf(path.text, sizeof path.text, "-/try/redirect?%.100s-/try/echo",
                       elsewhere.text);
        for (uint32_t count = 0; count <= 4; count += 4) { /* the token, or headers of its own */
            brisk_http_request request = {
                .redirects_max = 1, .headers = own, .header_count = count};
            brisk_http_response *r = lab_ask(client, base, path.text, &request);
            CHECK(r->err == BRISK_OK && r->status == 200 && r->redirects == 1);
            CHECK(has_line(r, "localhost") && !has_line(r, SECRET));
            CHECK(has_line(r, "text/x") == (count == 4));
            brisk_http_response_destroy(r);
        }
        /* And back: the token belongs there, the request's own headers went lost on the way. */
        lab_url round;
        (void)snprintf(round.text, sizeof round.text,
                       "-/try/redirect?%.100s-/try/redirect?%.100s-/try/echo", elsewhere.text,
                       base);
        brisk_http_request request = {.redirects_max = 2, .headers = own, .header_count = 2};
        brisk_http_response *r = lab_ask(client, base, round.text, &request);
        CHECK(r->err == BRISK_OK && r->redirects == 2 && has_line(r, "Bearer " SECRET));
        CHECK(!has_line(r, "ookie"));
        brisk_http_response_destroy(r);
        brisk_http_client_destroy(client);
    }
    lab_url down;
    (void)snprintf(down.text, sizeof down.text, "-/try/redirect?%s-/try/echo", server.http);
    brisk_http_client *client = lab_client(&server, LAB_TLS2, NULL);
    brisk_http_response *r =
        lab_ask(client, server.https, down.text, &(brisk_http_request){.redirects_max = 1});
    CHECK(r->err == BRISK_ERR_PERMISSION);
    brisk_http_response_destroy(r);
    brisk_http_client_destroy(client);
}

static void test_errors_hold_no_secrets(void **state)
{
    (void)state;
    brisk_http_token tokens[] = {{server.http, "Bearer " SECRET}};
    brisk_http_client *client =
        lab_client(&server, LAB_PLAIN1,
                   &(brisk_http_client_opts){.tokens = tokens,
                                             .token_count = 1,
                                             .retries = BRISK_HTTP_NONE,
                                             .first_byte_timeout_ns = 30 * 1000000});
    static const char *const paths[] = {("-/try/stall?" SECRET), "-/try/garbage", "-/try/stall",
                                        "-/try/cut"};
    lab_url base;
    (void)snprintf(base.text, sizeof base.text, "http://me:" SECRET "@%s", server.http + 7);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        brisk_http_response *r = lab_ask(client, base.text, paths[i], NULL);
        CHECK(strstr(r->why, SECRET) == NULL);
        CHECK((r->err != BRISK_OK) == (r->why[0] != '\0'));
        CHECK(i == 0 || r->err != BRISK_OK);
        CHECK(r->err == BRISK_OK || strstr(r->why, "http://127.0.0.1:") == r->why);
        brisk_http_response_destroy(r);
    }
    brisk_errinfo info = {.text = ""};
    brisk_http_queue *queue = NULL;
    CHECK_OK(brisk_http_queue_create(NULL, &queue));
    CHECK(brisk_http_submit(client, &(brisk_http_request){.url = "ftp://" SECRET, .queue = queue},
                            NULL, &info) == BRISK_ERR_INVALID);
    CHECK(strstr(info.text, SECRET) == NULL && info.text[0] != '\0');
    brisk_http_queue_destroy(queue);
    brisk_http_client_destroy(client);
}

static void test_proxies(void **state)
{
    (void)state;
    brisk_http_client *client =
        lab_client(&server, LAB_PLAIN1,
                   &(brisk_http_client_opts){.http_proxy = server.http, .no_proxy = "127.0.0.1"});
    brisk_http_response *r = lab_ask(client, "http://registry.test/", "-/try/echo", NULL);
    CHECK(r->err == BRISK_OK && has_line(r, "GET http://registry.test/-/try/echo"));
    CHECK(has_line(r, "Host: registry.test"));
    brisk_http_response_destroy(r);
    r = lab_ask(client, server.http, "-/try/echo", NULL);
    CHECK(r->err == BRISK_OK && has_line(r, "GET /-/try/echo"));
    brisk_http_response_destroy(r);
    brisk_http_client_destroy(client);
}

static void test_certificates_are_checked(void **state)
{
    (void)state;
    brisk_http_client *client = NULL;
    CHECK_OK(brisk_http_client_create(NULL, &client, NULL));
    brisk_http_response *r = lab_ask(client, server.https, "-/try/size/1", NULL);
    CHECK(r->err == BRISK_ERR_PERMISSION && r->attempts == 1);
    brisk_http_response_destroy(r);
    brisk_http_client_destroy(client);
    client = lab_client(&server, LAB_TLS2, &(brisk_http_client_opts){.ca_file = "/nonexistent"});
    r = lab_ask(client, server.https, "-/try/size/1", NULL);
    CHECK(r->err == BRISK_ERR_PERMISSION);
    brisk_http_response_destroy(r);
    brisk_http_client_destroy(client);
}

/* --- the rest of the door ------------------------------------------------------------------- */

static void test_bad_options_and_requests(void **state)
{
    (void)state;
    static const char *const split[] = {"X: 1\r\nY: 2"};
    static const char *const nameless[] = {": x"};
    static const char *const spaced[] = {"X : x"};
    static const brisk_http_token token = {"https://registry.test", "a\nb"};
    static const brisk_http_token place = {"registry.test", "a"};
    const brisk_http_client_opts bad[] = {{.headers = split, .header_count = 1},
                                          {.headers = nameless, .header_count = 1},
                                          {.headers = spaced, .header_count = 1},
                                          {.tokens = &token, .token_count = 1},
                                          {.tokens = &place, .token_count = 1},
                                          {.cert_file = "x"},
                                          {.in_flight_max = 100000},
                                          {.user_agent = "a\r\nb"},
                                          {.header_count = BRISK_HTTP_HEADERS_MAX + 1}};
    brisk_http_client *client = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        brisk_errinfo info = {.text = ""};
        CHECK(brisk_http_client_create(&bad[i], &client, &info) == BRISK_ERR_INVALID);
        CHECK(client == NULL && info.text[0] != '\0');
    }
    client = lab_client(&server, LAB_PLAIN1, &(brisk_http_client_opts){.queue_max = 2});
    order o = {.lock = PTHREAD_MUTEX_INITIALIZER};
    const brisk_http_request wrong[] = {
        {.url = NULL, .done = note},
        {.url = "http://", .done = note},
        {.url = "http:///x", .done = note},
        {.url = "file:///etc/passwd", .done = note},
        {.url = "http://h.test/a b", .done = note},
        {.url = "http://h.test/\r\nX: y", .done = note},
        {.url = "http://h.test/"},
        {.url = "http://h.test/", .done = note, .method = "GET /"},
        {.url = "http://h.test/", .done = note, .headers = split, .header_count = 1},
        {.url = "http://h.test/", .done = note, .etag = "a\r\nb"},
        {.url = "http://h.test/", .done = note, .body_size = 1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        brisk_errinfo info = {.text = ""};
        CHECK(brisk_http_submit(client, &wrong[i], NULL, &info) == BRISK_ERR_INVALID);
        CHECK(info.text[0] != '\0');
    }
    lab_url stall = lab_join(server.http, "-/try/stall");
    brisk_http_request open = {.url = stall.text, .done = note, .user = &o};
    CHECK_OK(brisk_http_submit(client, &open, NULL, NULL));
    CHECK_OK(brisk_http_submit(client, &open, NULL, NULL));
    CHECK(brisk_http_submit(client, &open, NULL, NULL) == BRISK_ERR_FULL);
    brisk_http_client_destroy(client);
    CHECK(o.count == 2); /* CANCELLED, both */
    brisk_http_client_destroy(NULL);
    brisk_http_response_destroy(NULL);
    brisk_http_queue_destroy(NULL);
}

static void test_cancel(void **state)
{
    (void)state;
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        brisk_http_queue *queue = NULL;
        uint64_t ids[8];
        CHECK_OK(brisk_http_queue_create(NULL, &queue));
        brisk_http_client *client =
            lab_client(&server, p, &(brisk_http_client_opts){.in_flight_max = 4});
        lab_url stall = lab_join(lab_base(&server, p), "-/try/stall");
        for (uint64_t i = 0; i < 8; i++) { /* four run, four wait */
            CHECK_OK(brisk_http_submit(
                client, &(brisk_http_request){.url = stall.text, .queue = queue, .tag = i}, &ids[i],
                NULL));
        }
        brisk_http_response *r = NULL;
        brisk_http_cancel(client, ids[7]);
        CHECK_OK(brisk_http_queue_take(queue, BRISK_HTTP_FOREVER, &r));
        CHECK(r->err == BRISK_ERR_CANCELLED && r->tag == 7 && r->id == ids[7]);
        brisk_http_response_destroy(r);
        brisk_http_cancel(client, ids[0]);
        CHECK_OK(brisk_http_queue_take(queue, BRISK_HTTP_FOREVER, &r));
        CHECK(r->err == BRISK_ERR_CANCELLED && r->tag == 0);
        brisk_http_response_destroy(r);
        brisk_http_cancel(client, ids[0]); /* of the past */
        brisk_http_cancel(client, 999999);
        CHECK(brisk_http_queue_take(queue, 1000000, &r) == BRISK_ERR_DEADLINE);
        brisk_http_cancel_all(client);
        for (int i = 0; i < 6; i++) {
            CHECK_OK(brisk_http_queue_take(queue, BRISK_HTTP_FOREVER, &r));
            CHECK(r->err == BRISK_ERR_CANCELLED && r->tag >= 1 && r->tag <= 6);
            brisk_http_response_destroy(r);
        }
        r = lab_ask(client, lab_base(&server, p), "-/try/size/10", NULL); /* it still works */
        CHECK_OK(r->err);
        brisk_http_response_destroy(r);
        CHECK_U64(lab_stats(client).cancelled, ==, 8);
        brisk_http_queue_close(queue);
        CHECK(brisk_http_queue_take(queue, BRISK_HTTP_FOREVER, &r) == BRISK_ERR_CANCELLED);
        brisk_http_client_destroy(client);
        brisk_http_queue_destroy(queue);
    }
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    uint64_t fail_after = 0;
    for (bool all = false; !all; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_http_token tokens[] = {{server.http, "Bearer " SECRET}};
        brisk_http_client_opts opts = {
            .tokens = tokens, .token_count = 1, .alloc = &fault.base, .seed = 1};
        brisk_http_client *client = NULL;
        brisk_err err = brisk_http_client_create(&opts, &client, NULL);
        CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
        static const char *const paths[] = {"-/try/redirect/1", "-/try/encoded/gzip/100000",
                                            "-/try/size/100000", "-/try/redirect/1"};
        for (size_t i = 0; err == BRISK_OK && i < 4; i++) {
            lab_url url = lab_join(server.http, paths[i]);
            brisk_http_request request = {.url = url.text, .redirects_max = i == 0 ? 1 : 0};
            brisk_http_response *r = NULL;
            err = brisk_http_run(client, &request, &r, NULL);
            CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
            if (err == BRISK_OK && r->err == BRISK_OK) {
                brisk_err expanded = brisk_http_response_expand(r, NULL);
                CHECK(expanded == BRISK_OK || expanded == BRISK_ERR_NOMEM);
            } else {
                CHECK(err != BRISK_OK || r->err == BRISK_ERR_NOMEM);
            }
            brisk_http_response_destroy(r);
        }
        brisk_http_client_destroy(client);
        CHECK_U64(fault.bytes_held, ==, 0);
        all = fault.fail_after <= fail_after && fault.fail_after != UINT64_MAX;
    }
    CHECK_U64(fail_after, >, 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_protocol),
        cmocka_unit_test(test_what_is_sent),
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_caching_is_told_and_asked_for),
        cmocka_unit_test(test_many_share_a_connection),
        cmocka_unit_test(test_few_streams_are_not_many_connections),
        cmocka_unit_test(test_priorities),
        cmocka_unit_test(test_priorities_hold_across_hosts),
        cmocka_unit_test(test_priorities_are_told),
        cmocka_unit_test(test_figures_of_hosts),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_redirections),
        cmocka_unit_test(test_a_redirection_takes_no_secret_along),
        cmocka_unit_test(test_errors_hold_no_secrets),
        cmocka_unit_test(test_proxies),
        cmocka_unit_test(test_certificates_are_checked),
        cmocka_unit_test(test_bad_options_and_requests),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    if (!lab_is_possible()) {
        return 77;
    }
    registry_server_start(&server, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    registry_server_stop(&server);
    return failed;
}
