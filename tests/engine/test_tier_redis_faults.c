/*
 * test_tier_redis_faults.c -- servers that lie, stall, vanish and come back.
 *
 * The stub answers the greeting as an old server does and everything else with bytes that the
 * test gives it.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include <brisk/clock.h>

#include "engine/tier_redis_test.h"
#include "wire/resp.h"

static temp_dir *folder;

enum { DRIP_BYTES = 40 };

typedef enum stub_way {
    STUB_ANSWER, /* the bytes, and go on */
    STUB_CLOSE,  /* the bytes, then the end */
    STUB_DRIP,   /* a byte now and then, without an end */
    STUB_HANG_UP /* at once, at accept */
} stub_way;

typedef struct stub {
    pthread_t thread;
    int listener;
    uint16_t port;
    _Atomic bool stop;
    _Atomic int way;
    const char *_Atomic bytes;
    _Atomic uint32_t connections;
    _Atomic uint32_t asked;
    _Atomic uint32_t kills; /* CLIENT KILL of the connection before this one */
    char before[64];        /* that one's address */
} stub;

static void send_text(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static bool is_greeting(resp_bytes word)
{
    return resp_bytes_equal(word, "HELLO") || resp_bytes_equal(word, "CLIENT");
}

/* CLIENT KILL ID 7 ADDR address */
static bool kills_the_last(const stub *s, const resp_bytes *words, size_t count)
{
    return count == 6 && resp_bytes_equal(words[1], "KILL") && resp_bytes_equal(words[2], "ID") &&
           resp_bytes_equal(words[3], "7") && resp_bytes_equal(words[4], "ADDR") &&
           resp_bytes_equal(words[5], s->before);
}

/* False: the connection is over. */
static bool answer(stub *s, int fd, const resp_bytes *words, size_t count)
{
    resp_bytes word = words[0];
    if (is_greeting(word)) {
        atomic_fetch_add(&s->kills, kills_the_last(s, words, count) ? 1 : 0);
        send_text(fd, resp_bytes_equal(word, "HELLO") ? "-ERR unknown command\r\n" : ":7\r\n");
        return true;
    }
    atomic_fetch_add(&s->asked, 1);
    switch ((stub_way)atomic_load(&s->way)) {
    case STUB_ANSWER: send_text(fd, atomic_load(&s->bytes)); return true;
    case STUB_CLOSE: send_text(fd, atomic_load(&s->bytes)); return false;
    case STUB_DRIP:
        send_text(fd, "$100000\r\n");
        for (int i = 0; i < DRIP_BYTES && !atomic_load(&s->stop); i++) {
            send_text(fd, "x");
            redis_server_sleep(20);
        }
        return false;
    case STUB_HANG_UP:
    default: return false;
    }
}

static void serve(stub *s, int fd)
{
    unsigned char bytes[65536];
    size_t size = 0;
    resp_requests requests;
    resp_requests_init(&requests, NULL, NULL);
    bool open = atomic_load(&s->way) != STUB_HANG_UP;
    while (open && !atomic_load(&s->stop)) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, 20) <= 0) {
            continue;
        }
        ssize_t got = recv(fd, bytes + size, sizeof bytes - size, 0);
        if (got <= 0) {
            break;
        }
        size += (size_t)got;
        while (open && resp_requests_read(&requests, bytes, size) == RESP_DONE) {
            open = answer(s, fd, &requests.args.items[requests.first], requests.count);
            memmove(bytes, bytes + requests.used, size - requests.used);
            size -= requests.used;
            resp_requests_clear(&requests);
        }
    }
    resp_requests_deinit(&requests);
    struct sockaddr_in peer;
    socklen_t peer_size = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_size) == 0) {
        (void)snprintf(s->before, sizeof s->before, "127.0.0.1:%u", ntohs(peer.sin_port));
    }
    (void)close(fd);
}

static void *run_stub(void *ctx)
{
    stub *s = ctx;
    while (!atomic_load(&s->stop)) {
        struct pollfd wait = {.fd = s->listener, .events = POLLIN};
        if (poll(&wait, 1, 20) > 0) {
            int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0) {
                atomic_fetch_add(&s->connections, 1);
                serve(s, fd);
            }
        }
    }
    return NULL;
}

static void stub_start(stub *s, stub_way way, const char *bytes)
{
    memset(s, 0, sizeof *s);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    CHECK(bind(s->listener, (struct sockaddr *)&address, size) == 0);
    CHECK(listen(s->listener, 8) == 0);
    CHECK(getsockname(s->listener, (struct sockaddr *)&address, &size) == 0);
    s->port = ntohs(address.sin_port);
    atomic_store(&s->way, way);
    atomic_store(&s->bytes, bytes);
    CHECK(pthread_create(&s->thread, NULL, run_stub, s) == 0);
}

static void stub_stop(stub *s)
{
    atomic_store(&s->stop, true);
    CHECK(pthread_join(s->thread, NULL) == 0);
    (void)close(s->listener);
}

static brisk_tier *open_stub(const stub *s, const char *scheme, uint64_t timeout_ms)
{
    char url[128];
    (void)snprintf(url, sizeof url, "%s127.0.0.1:%u", scheme, s->port);
    return open_with(&(brisk_redis_tier_opts){.url = url,
                                              .connections = 1,
                                              .no_events = true,
                                              .timeout_ns = timeout_ms * 1000000,
                                              .connect_timeout_ns = UINT64_C(2000000000)});
}

static brisk_err get_error(brisk_tier *tier)
{
    brisk_key key = brisk_key_of("a", 1);
    brisk_hit hit;
    brisk_err err = tier->ops->get(tier, &key, &hit);
    CHECK(err != BRISK_OK);
    return err;
}

static void check_answer(stub_way way, const char *bytes, brisk_err expected)
{
    stub s;
    stub_start(&s, way, bytes);
    brisk_tier *tier = open_stub(&s, "redis://", 2000);
    brisk_err err = get_error(tier);
    if (err != expected) {
        fail_msg("'%s' gives %s", bytes, brisk_err_name(err));
    }
    brisk_tier_stats stats = stats_of(tier);
    CHECK(stats.hits == 0);
    CHECK(expected == BRISK_ERR_NOT_FOUND ? stats.errors == 0 : stats.errors == 1);
    brisk_tier_destroy(tier);
    stub_stop(&s);
}

static void test_lies_are_errors_or_misses(void **state)
{
    (void)state;
    check_answer(STUB_ANSWER, "$-1\r\n", BRISK_ERR_NOT_FOUND);
    check_answer(STUB_ANSWER, "_\r\n", BRISK_ERR_NOT_FOUND);
    check_answer(STUB_ANSWER, ":5\r\n", BRISK_ERR_NOT_FOUND);
    check_answer(STUB_ANSWER, "+OK\r\n", BRISK_ERR_NOT_FOUND);
    check_answer(STUB_ANSWER, "$3\r\nabc\r\n", BRISK_ERR_NOT_FOUND);
    check_answer(STUB_ANSWER, "*2\r\n$1\r\na\r\n*1\r\n:1\r\n", BRISK_ERR_NOT_FOUND);
    check_answer(STUB_ANSWER, "-LOADING Redis is loading\r\n", BRISK_ERR_IO);
    check_answer(STUB_ANSWER, "-READONLY You can't write\r\n", BRISK_ERR_IO);
    check_answer(STUB_ANSWER, "-NOAUTH Authentication required\r\n", BRISK_ERR_PERMISSION);
    check_answer(STUB_ANSWER, "-OOM command not allowed\r\n", BRISK_ERR_FULL);
    check_answer(STUB_ANSWER, "-ERR unknown command\r\n", BRISK_ERR_UNSUPPORTED);
    check_answer(STUB_ANSWER, "-MOVED 1 127.0.0.1:1\r\n", BRISK_ERR_UNSUPPORTED);
    check_answer(STUB_ANSWER, "HTTP/1.1 400 Bad Request\r\n", BRISK_ERR_CORRUPT);
    check_answer(STUB_ANSWER, "$-2\r\n", BRISK_ERR_CORRUPT);
    check_answer(STUB_ANSWER, "$99999999999\r\n", BRISK_ERR_CORRUPT);
    check_answer(STUB_ANSWER, "*1000000000\r\n", BRISK_ERR_CORRUPT);
    check_answer(STUB_ANSWER, "$3\r\nabcde", BRISK_ERR_CORRUPT);
    check_answer(STUB_ANSWER, "$-1\r\n$-1\r\n", BRISK_ERR_NOT_FOUND); /* the second is a stray */
    check_answer(STUB_CLOSE, "$5\r\nab", BRISK_ERR_IO);
    check_answer(STUB_CLOSE, "", BRISK_ERR_IO);
}

static void test_a_hang_up_is_an_error(void **state)
{
    (void)state;
    brisk_log_set_sink(quiet, NULL, NULL);
    stub s;
    stub_start(&s, STUB_HANG_UP, "");
    brisk_tier *tier = open_stub(&s, "redis://", 2000);
    CHECK(get_error(tier) == BRISK_ERR_IO);
    brisk_tier_destroy(tier);
    stub_stop(&s);
    brisk_log_set_sink(NULL, NULL, NULL);
}

static void test_slow_servers_are_given_up(void **state)
{
    (void)state;
    stub s;
    stub_start(&s, STUB_ANSWER, "");
    brisk_tier *tier = open_stub(&s, "redis://", 50);
    CHECK(get_error(tier) == BRISK_ERR_DEADLINE);
    brisk_tier_destroy(tier);
    stub_stop(&s);
    stub_start(&s, STUB_DRIP, "");
    tier = open_stub(&s, "redis://", 50);
    CHECK(get_error(tier) == BRISK_ERR_DEADLINE);
    atomic_store(&s.stop, true);
    brisk_tier_destroy(tier);
    stub_stop(&s);
}

static void test_redirections_end(void **state)
{
    (void)state;
    brisk_log_set_sink(quiet, NULL, NULL);
    stub s;
    static char reply[256];
    stub_start(&s, STUB_ANSWER, "-CLUSTERDOWN The cluster is down\r\n");
    brisk_tier *tier = open_stub(&s, "redis-cluster://", 2000);
    CHECK(get_error(tier) == BRISK_ERR_IO);
    brisk_tier_destroy(tier);
    /* One answer serves as the map and as that of GET: all slots are here, and it is no bulk. */
    (void)snprintf(reply, sizeof reply,
                   "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n", s.port);
    atomic_store(&s.bytes, reply);
    tier = open_stub(&s, "redis-cluster://", 2000);
    CHECK(get_error(tier) == BRISK_ERR_NOT_FOUND);
    CHECK_U64(stats_of(tier).corrupt, ==, 1);
    /* From here to here, for ever: which slot it is does not matter. */
    static char moved[2][64];
    for (int ask = 0; ask < 2; ask++) {
        (void)snprintf(moved[ask], sizeof moved[ask], "-%s 15495 127.0.0.1:%u\r\n",
                       ask ? "ASK" : "MOVED", s.port);
        atomic_store(&s.bytes, moved[ask]);
        uint32_t before = atomic_load(&s.asked);
        CHECK(get_error(tier) == BRISK_ERR_IO);
        CHECK_U64(atomic_load(&s.asked) - before, <=, 24);
    }
    static const char *const bad[] = {
        "-MOVED\r\n",      "-MOVED \r\n",          "-MOVED x 127.0.0.1:1\r\n",
        "-MOVED 1\r\n",    "-MOVED 99999 a:1\r\n", "-MOVED 1 127.0.0.1:99999\r\n",
        "-MOVED 1 a b\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        atomic_store(&s.bytes, bad[i]);
        CHECK(get_error(tier) == BRISK_ERR_IO);
    }
    brisk_tier_destroy(tier);
    stub_stop(&s);
    brisk_log_set_sink(NULL, NULL, NULL);
}

static void test_maps_that_lie(void **state)
{
    (void)state;
    brisk_log_set_sink(quiet, NULL, NULL);
    static const char *const maps[] = {
        "*0\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*3\r\n:-1\r\n:16383\r\n*2\r\n$1\r\na\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\na\r\n:1\r\n",
        "*1\r\n*3\r\n:9\r\n:8\r\n*2\r\n$1\r\na\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\na\r\n:0\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\na\r\n:65536\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\na\r\n",
        "*1\r\n*3\r\n:0\r\n*1\r\n:5\r\n*2\r\n$1\r\na\r\n:1\r\n",
        "*1\r\n*2\r\n:0\r\n:16383\r\n",
        "+OK\r\n",
    };
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        stub s;
        stub_start(&s, STUB_ANSWER, maps[i]);
        brisk_tier *tier = open_stub(&s, "redis-cluster://", 2000);
        CHECK(get_error(tier) == BRISK_ERR_IO);
        brisk_tier_destroy(tier);
        stub_stop(&s);
    }
    brisk_log_set_sink(NULL, NULL, NULL);
}

/* Nobody is there: an error at once, and few tries. */
static void test_tries_are_spread(void **state)
{
    (void)state;
    brisk_log_set_sink(quiet, NULL, NULL);
    stub s;
    stub_start(&s, STUB_HANG_UP, "");
    brisk_tier *tier = open_stub(&s, "redis://", 2000);
    for (int i = 0; i < 200; i++) {
        CHECK(get_error(tier) == BRISK_ERR_IO);
    }
    /* Without a pause it would be 200. */
    CHECK_U64(atomic_load(&s.connections), <, 100);
    brisk_tier_destroy(tier);
    stub_stop(&s);
    brisk_log_set_sink(NULL, NULL, NULL);
}

typedef struct victim {
    pthread_t thread;
    brisk_tier *tier;
    brisk_err err;
} victim;

static void *suffer(void *ctx)
{
    victim *v = ctx;
    brisk_key key = brisk_key_of("a", 1);
    brisk_hit hit;
    v->err = v->tier->ops->get(v->tier, &key, &hit);
    return NULL;
}

static void test_all_threads_get_their_errors(void **state)
{
    (void)state;
    static const struct {
        stub_way way;
        const char *bytes;
    } cases[] = {{STUB_ANSWER, ""}, {STUB_CLOSE, "$3"}, {STUB_ANSWER, "?"}};
    brisk_log_set_sink(quiet, NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum { THREADS = 8 };
        victim victims[THREADS];
        stub s;
        stub_start(&s, cases[i].way, cases[i].bytes);
        brisk_tier *tier = open_stub(&s, "redis://", 100);
        for (int t = 0; t < THREADS; t++) {
            victims[t].tier = tier;
            CHECK(pthread_create(&victims[t].thread, NULL, suffer, &victims[t]) == 0);
        }
        for (int t = 0; t < THREADS; t++) {
            CHECK(pthread_join(victims[t].thread, NULL) == 0);
            CHECK(victims[t].err != BRISK_OK && victims[t].err != BRISK_ERR_NOT_FOUND);
        }
        brisk_tier_destroy(tier);
        stub_stop(&s);
    }
    brisk_log_set_sink(NULL, NULL, NULL);
}

/* What a stopped server had received must not overwrite what came after it. */
static void test_given_up_writes_stay_undone(void **state)
{
    (void)state;
    redis_server server;
    char url[128];
    char text[256];
    if (!redis_server_start(&server, folder->path, NULL)) {
        skip();
    }
    brisk_log_set_sink(quiet, NULL, NULL);
    brisk_tier *tier = open_with(&(brisk_redis_tier_opts){.url = url_of(&server, "redis://", url),
                                                          .connections = 1,
                                                          .no_events = true,
                                                          .timeout_ns = 100000000,
                                                          .connect_timeout_ns = 100000000});
    for (int round = 0; round < 5; round++) {
        brisk_err err = BRISK_ERR_IO;
        for (int i = 0; i < 1000 && err != BRISK_OK; i++) {
            err = put_text(tier, "a", "before");
            redis_server_sleep(err != BRISK_OK ? 10 : 0);
        }
        CHECK_OK(err);
        (void)kill(server.pid, SIGSTOP);
        CHECK(put_text(tier, "a", "given up") == BRISK_ERR_DEADLINE);
        (void)kill(server.pid, SIGCONT);
        err = BRISK_ERR_IO;
        for (int i = 0; i < 1000 && err != BRISK_OK; i++) {
            err = put_text(tier, "a", "newer");
            redis_server_sleep(err != BRISK_OK ? 10 : 0);
        }
        CHECK_OK(err);
        for (int i = 0; i < 20; i++) {
            get_text(tier, "a", text);
            CHECK(strcmp(text, "newer") == 0 || strcmp(text, "!") == 0);
            redis_server_sleep(2);
        }
    }
    brisk_tier_destroy(tier);
    brisk_log_set_sink(NULL, NULL, NULL);
    redis_server_stop(&server);
}

/* ... because the server is told to forget the connection that was given up. */
static void test_the_connection_before_is_killed(void **state)
{
    (void)state;
    stub s;
    stub_start(&s, STUB_ANSWER, "");
    brisk_tier *tier = open_stub(&s, "redis://", 50);
    CHECK(get_error(tier) == BRISK_ERR_DEADLINE);
    CHECK_U64(atomic_load(&s.kills), ==, 0);
    CHECK(get_error(tier) == BRISK_ERR_DEADLINE);
    CHECK_U64(atomic_load(&s.kills), ==, 1);
    CHECK_U64(atomic_load(&s.connections), ==, 2);
    brisk_tier_destroy(tier);
    stub_stop(&s);
}

static void test_a_server_that_comes_back_is_used_again(void **state)
{
    (void)state;
    redis_server server;
    char url[128];
    char text[256];
    if (!redis_server_start(&server, folder->path, NULL)) {
        skip();
    }
    uint16_t port = server.port;
    brisk_log_set_sink(quiet, NULL, NULL);
    for (int events = 0; events < 2; events++) {
        brisk_tier *tier = open_with(&(brisk_redis_tier_opts){
            .url = url_of(&server, "redis://", url), .no_events = events == 0});
        CHECK_OK(put_text(tier, "a", "1"));
        redis_server_stop(&server);
        assert_string_equal(get_text(tier, "a", text), "!");
        assert_string_equal(get_text(tier, "a", text), "!");
        CHECK(redis_server_start_at(&server, folder->path, port, false, NULL));
        brisk_err err = BRISK_ERR_IO;
        for (int i = 0; i < 1000 && err != BRISK_OK; i++) {
            err = put_text(tier, "a", "2");
            redis_server_sleep(err != BRISK_OK ? 10 : 0);
        }
        CHECK_OK(err);
        assert_string_equal(get_text(tier, "a", text), "2");
        brisk_tier_destroy(tier);
    }
    brisk_log_set_sink(NULL, NULL, NULL);
    redis_server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lies_are_errors_or_misses),
        cmocka_unit_test(test_a_hang_up_is_an_error),
        cmocka_unit_test(test_slow_servers_are_given_up),
        cmocka_unit_test(test_redirections_end),
        cmocka_unit_test(test_maps_that_lie),
        cmocka_unit_test(test_tries_are_spread),
        cmocka_unit_test(test_all_threads_get_their_errors),
        cmocka_unit_test(test_given_up_writes_stay_undone),
        cmocka_unit_test(test_the_connection_before_is_killed),
        cmocka_unit_test(test_a_server_that_comes_back_is_used_again),
    };
    folder = temp_dir_make();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    temp_dir_remove(folder);
    return failed;
}
