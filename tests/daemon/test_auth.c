/*
 * test_auth.c -- rights: tokens, this machine, names that were rebound, pages from elsewhere.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/http/auth.h"
#include "fake_exchange.h"
#include "support/check.h"
#include "support/fault_alloc.h"

#define CHANGER "0123456789abcdef-change"
#define READER  "0123456789abcdef-reads"

static http_auth *auth;
static http_peer peer;
static uint32_t begun;
static http_right seen;
static char token_file[] = "/tmp/brisk-auth-XXXXXX";

static bool admit(exchange *x)
{
    return http_auth_admit(auth, x, peer);
}

static void begin(exchange *x)
{
    begun++;
    seen = x->right;
    exchange_answer(x, &(http_answer){.status = 204});
}

static const http_route api_route = {.name = "api",
                                     .methods = HTTP_GET | HTTP_POST | HTTP_PUT | HTTP_DELETE,
                                     .right = HTTP_RIGHT_READ,
                                     .right_change = HTTP_RIGHT_CHANGE,
                                     .body_max = 100,
                                     .begin = begin};
static const http_route open_route = {
    .name = "open", .methods = HTTP_GET | HTTP_POST, .begin = begin};

static void make(const char *hosts, bool certificates, bool local_needs_token)
{
    brisk_errinfo info = {0};
    http_auth_opts opts = {.token_file = token_file,
                           .hosts = hosts,
                           .certificates = certificates,
                           .local_needs_token = local_needs_token,
                           .alloc = brisk_alloc_libc()};
    CHECK_OK(http_auth_create(&opts, &auth, &info));
}

static void set_up(fake_http *fake)
{
    fake_http_init(fake);
    fake->server.http_admit = admit;
    CHECK_OK(http_routes_add(fake->server.http_routes, "", "/v1/x", &api_route));
    CHECK_OK(http_routes_add(fake->server.http_routes, "", "/open", &open_route));
}

static void tear_down(fake_http *fake)
{
    fake_http_deinit(fake);
    http_auth_destroy(auth);
    auth = NULL;
}

/* What an answer says when the handler was not asked; 0: it was. */
#define ASK(fake, method, ...)                                                                     \
    __extension__({                                                                                \
        uint32_t before_ = begun;                                                                  \
        CHECK(fake_ask(fake, method, "/v1/x", __VA_ARGS__, NULL) != NULL);                         \
        begun != before_ ? 0 : (fake)->status;                                                     \
    })

static void test_tokens(void **state)
{
    (void)state;
    fake_http fake;
    make(NULL, false, false);
    set_up(&fake);
    peer = HTTP_PEER_REMOTE;
    CHECK_U64(ASK(&fake, "GET", "a", "b"), ==, 401);
    CHECK(fake_field_is(&fake, "www-authenticate", "Bearer realm=\"brisk\""));
    CHECK_U64(ASK(&fake, "GET", "authorization", "Bearer " READER), ==, 0);
    CHECK(seen == HTTP_RIGHT_READ);
    CHECK_U64(ASK(&fake, "GET", "authorization", "bearer   " CHANGER), ==, 0);
    CHECK(seen == HTTP_RIGHT_CHANGE);
    CHECK_U64(ASK(&fake, "POST", "authorization", "Bearer " CHANGER), ==, 0);
    CHECK_U64(ASK(&fake, "POST", "authorization", "Bearer " READER), ==, 403);
    CHECK_U64(ASK(&fake, "GET", "authorization", "Bearer " CHANGER "x"), ==, 401);
    CHECK(fake_field_is(&fake, "www-authenticate",
                        "Bearer realm=\"brisk\", error=\"invalid_token\""));
    CHECK_U64(ASK(&fake, "GET", "authorization", "Basic " CHANGER), ==, 401);
    CHECK_U64(ASK(&fake, "GET", "authorization", "Bearer"), ==, 401);
    /* A wrong token is not forgiven because of where it comes from. */
    peer = HTTP_PEER_LOOPBACK;
    CHECK_U64(ASK(&fake, "GET", "authorization", "Bearer " CHANGER "x"), ==, 401);
    tear_down(&fake);
}

static void test_this_machine(void **state)
{
    (void)state;
    static const char *const good[] = {"localhost",      "LOCALHOST:80", "a.localhost",
                                       "127.0.0.1:6380", "127.200.3.4",  "[::1]",
                                       "[::1]:6380",     "localhost.",   "node.example:6380"};
    static const char *const bad[] = {"evil.example", "127.0.0.1.evil.example",
                                      "xlocalhost",   "localhost.evil.example",
                                      "128.0.0.1",    "127.0.0.256",
                                      "127.1",        "0x7f.0.0.1",
                                      "[::2]",        "127.0.0.1.",
                                      ".localhost.x", "node.example.evil"};
    fake_http fake;
    make("node.example, other.example", false, false);
    set_up(&fake);
    peer = HTTP_PEER_LOOPBACK;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK_U64(ASK(&fake, "GET", "host", good[i]), ==, 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (strcmp(bad[i], "127.0.0.1.") == 0) {
            continue; /* the root's dot behind an address: browsers resolve it to the same */
        }
        CHECK_U64(ASK(&fake, "GET", "host", bad[i]), ==, 403);
        /* With a token the name does not matter. */
        CHECK_U64(ASK(&fake, "GET", "host", bad[i], "authorization", "Bearer " READER), ==, 0);
    }
    CHECK_U64(ASK(&fake, "POST", "host", "localhost"), ==, 401);
    static const char *const relays[] = {"via", "forwarded", "x-forwarded-for", "x-real-ip"};
    for (size_t i = 0; i < sizeof relays / sizeof relays[0]; i++) {
        CHECK_U64(ASK(&fake, "GET", relays[i], "1"), ==, 401);
    }
    peer = HTTP_PEER_UNIX;
    CHECK_U64(ASK(&fake, "GET", "host", "whatever"), ==, 0);
    CHECK_U64(ASK(&fake, "DELETE", "host", "whatever"), ==, 401);
    peer = HTTP_PEER_REMOTE;
    CHECK_U64(ASK(&fake, "GET", "host", "localhost"), ==, 401);
    tear_down(&fake);
    make(NULL, false, true);
    set_up(&fake);
    peer = HTTP_PEER_LOOPBACK;
    CHECK_U64(ASK(&fake, "GET", "host", "localhost"), ==, 401);
    tear_down(&fake);
}

static void test_pages_from_elsewhere(void **state)
{
    (void)state;
    fake_http fake;
    make("node.example", false, false);
    set_up(&fake);
    peer = HTTP_PEER_LOOPBACK;
#define TOKEN "authorization", "Bearer " CHANGER, "host", "localhost:1"
    CHECK_U64(ASK(&fake, "POST", TOKEN, "origin", "http://localhost:1"), ==, 0);
    CHECK_U64(ASK(&fake, "POST", TOKEN, "origin", "https://node.example:99"), ==, 0);
    CHECK_U64(ASK(&fake, "POST", TOKEN, "origin", "http://localhost:2"), ==, 403);
    CHECK_U64(ASK(&fake, "POST", TOKEN, "origin", "http://evil.example"), ==, 403);
    CHECK_U64(ASK(&fake, "POST", TOKEN, "origin", "null"), ==, 403);
    CHECK_U64(ASK(&fake, "POST", TOKEN, "sec-fetch-site", "cross-site"), ==, 403);
    CHECK_U64(ASK(&fake, "POST", TOKEN, "sec-fetch-site", "same-site"), ==, 403);
    CHECK_U64(ASK(&fake, "POST", TOKEN, "sec-fetch-site", "same-origin"), ==, 0);
    CHECK_U64(ASK(&fake, "POST", TOKEN, "sec-fetch-site", "none"), ==, 0);
    CHECK_U64(ASK(&fake, "GET", TOKEN, "origin", "http://evil.example"), ==, 0);
    CHECK(fake_field(&fake, "access-control-allow-origin") == NULL);
    CHECK_U64(ASK(&fake, "GET", TOKEN, "origin", "http://evil.example", "sec-websocket-key", "x"),
              ==, 403);
    /* What everybody may ask for is not looked at. */
    uint32_t before = begun;
    CHECK(fake_ask(&fake, "POST", "/open", "origin", "http://evil.example", NULL) != NULL);
    CHECK_U64(begun, ==, before + 1);
    CHECK(seen == HTTP_RIGHT_NONE);
    tear_down(&fake);
}

static void test_certificates(void **state)
{
    (void)state;
    fake_http fake;
    http_identity id;
    make(NULL, true, false);
    set_up(&fake);
    peer = HTTP_PEER_REMOTE;
    CHECK_U64(ASK(&fake, "POST", "a", "b"), ==, 401); /* plain */
    fake.x->secure = true;
    http_auth_identify(auth, fake.x, peer, &id);
    CHECK(id.right == HTTP_RIGHT_CHANGE);
    assert_string_equal(id.who, "certificate");
    tear_down(&fake);
}

static void test_reload(void **state)
{
    (void)state;
    fake_http fake;
    brisk_errinfo info;
    make(NULL, false, false);
    set_up(&fake);
    peer = HTTP_PEER_REMOTE;
    int fd = open(token_file, O_WRONLY | O_TRUNC);
    CHECK(fd >= 0 && write(fd, "bad\n", 4) == 4);
    CHECK(http_auth_reload(auth, &info) == BRISK_ERR_INVALID);
    CHECK_U64(ASK(&fake, "GET", "authorization", "Bearer " READER), ==, 0); /* as before */
    CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, "another-token-here\n", 19, 0) == 19);
    (void)close(fd);
    CHECK_OK(http_auth_reload(auth, &info));
    CHECK_U64(ASK(&fake, "GET", "authorization", "Bearer " READER), ==, 401);
    CHECK_U64(ASK(&fake, "POST", "authorization", "Bearer another-token-here"), ==, 0);
    tear_down(&fake);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    brisk_errinfo info;
    http_auth_opts opts = {.token_file = "/nonexistent/token", .alloc = brisk_alloc_libc()};
    CHECK(http_auth_create(&opts, &auth, &info) == BRISK_ERR_NOT_FOUND);
    opts = (http_auth_opts){.hosts = "a/b", .alloc = brisk_alloc_libc()};
    CHECK(http_auth_create(&opts, &auth, &info) == BRISK_ERR_INVALID);
    char many[HTTP_HOSTS_MAX * 2 + 4];
    for (size_t i = 0; i + 2 < sizeof many; i += 2) {
        memcpy(many + i, "h,", 2);
    }
    many[sizeof many - 2] = '\0';
    many[sizeof many - 1] = '\0';
    opts.hosts = many;
    CHECK(http_auth_create(&opts, &auth, &info) == BRISK_ERR_LIMIT);
    fault_alloc fault;
    fault_alloc_init(&fault, 0);
    opts = (http_auth_opts){.alloc = &fault.base};
    CHECK(http_auth_create(&opts, &auth, &info) == BRISK_ERR_NOMEM);
    CHECK_U64(fault.bytes_held, ==, 0);
    auth = NULL;
}

static void test_peers(void **state)
{
    (void)state;
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(http_peer_of(pair[0]) == HTTP_PEER_UNIX);
    (void)close(pair[0]);
    (void)close(pair[1]);
    CHECK(http_peer_of(-1) == HTTP_PEER_REMOTE);
}

int main(void)
{
    static const char tokens[] = CHANGER "\n" READER " read reader\n";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),       cmocka_unit_test(test_this_machine),
        cmocka_unit_test(test_certificates), cmocka_unit_test(test_pages_from_elsewhere),
        cmocka_unit_test(test_peers),        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_reload),
    };
    int fd = mkstemp(token_file);
    if (fd < 0 || write(fd, tokens, sizeof tokens - 1) != (ssize_t)(sizeof tokens - 1)) {
        return 1;
    }
    (void)close(fd);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(token_file);
    return failed;
}
