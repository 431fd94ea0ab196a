/*
 * http_test_server.c -- a server with routes that do what handlers may do, for test_http.py.
 *
 *   http_test_server [NAME=VALUE...]     limits of http; prints "ready PORT" and runs until standard input ends;
 *                                        a "d" there begins to drain
 *
 *     /echo          the body, as it comes (chunked) and with its length (?sized)
 *     /hello         "hello\n"; /hello?size=N that many bytes
 *     /later         answers from a task of the loop
 *     /stream?n=N    N pieces of 1000 bytes, each when it may; ?cut: gives up in between
 *     /file          a file of 3,000,000 bytes; /value the same as a value
 *     /show          method, path, query, rest, fields
 *     /hints         103 before the answer
 *     /slow          pauses the body for a while
 *     /tunnel        takes the connection over and echoes
 *     /never         is answered by nobody
 *     /events        a stream of events that does not end
 *     /gone          how many exchanges began and how many went
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/drain.h"
#include "daemon/server.h"

static _Atomic uint64_t begun;
static _Atomic uint64_t gone;

typedef struct state {
    loop_task task; /* first */
    exchange *x;    /* NULL: gone */
    uint64_t left;
    uint64_t taken;
    uint32_t waits;
    bool posted;
    bool cut;
    bool sized;
} state;

static state *new_state(exchange *x)
{
    state *st = calloc(1, sizeof *st);
    if (st == NULL) {
        abort();
    }
    st->x = x;
    x->handler = st;
    atomic_fetch_add(&begun, 1);
    return st;
}

static void count_begin(exchange *x)
{
    (void)new_state(x);
}

static void count_gone(exchange *x)
{
    state *st = x->handler;
    atomic_fetch_add(&gone, 1);
    if (st->posted) {
        st->x = NULL; /* the task frees it */
    } else {
        free(st);
    }
}

static uint64_t number_of(const exchange *x, const char *name, uint64_t otherwise)
{
    char text[128];
    (void)snprintf(text, sizeof text, "%.*s", (int)x->query.size, x->query.data);
    const char *at = strstr(text, name);
    return at != NULL && at[strlen(name)] == '=' ? strtoull(at + strlen(name) + 1, NULL, 10)
                                                 : otherwise;
}

static bool has(const void *data, size_t size, const char *word)
{
    const char *at = data;
    size_t wanted = strlen(word);
    for (size_t i = 0; i + wanted <= size; i++) {
        if (memcmp(at + i, word, wanted) == 0) {
            return true;
        }
    }
    return false;
}

static void answer_bytes(exchange *x, uint16_t status, const void *data, size_t size)
{
    http_field type = {.name = HTTP_TEXT("content-type"), .value = HTTP_TEXT("text/plain")};
    exchange_answer(x,
                    &(http_answer){.status = status,
                                   .fields = &type,
                                   .field_count = 1,
                                   .body = {.kind = HTTP_BODY_BYTES, .data = data, .size = size}});
}

/* --- hello, show, gone, hints ------------------------------------------------------------- */

static void hello_begin(exchange *x)
{
    static char much[8 * 1048576];
    count_begin(x);
    uint64_t size = number_of(x, "size", 0);
    if (size == 0) {
        answer_bytes(x, 200, "hello\n", 6);
        return;
    }
    memset(much, 'x', sizeof much);
    answer_bytes(x, 200, much, size < sizeof much ? size : sizeof much);
}

static void show_begin(exchange *x)
{
    char text[8192];
    count_begin(x);
    int size = snprintf(text, sizeof text, "%.*s|%.*s|%.*s|%.*s|%.*s|%d\n",
                        (int)x->method_text.size, x->method_text.data, (int)x->path.size,
                        x->path.data, (int)x->query.size, x->query.data, (int)x->rest.size,
                        x->rest.data, (int)x->authority.size, x->authority.data, x->version);
    for (uint32_t i = 0; i < x->field_count && size < 8000; i++) {
        size += snprintf(text + size, sizeof text - (size_t)size, "%.*s=%.*s\n",
                         (int)x->fields[i].name.size, x->fields[i].name.data,
                         (int)x->fields[i].value.size, x->fields[i].value.data);
    }
    answer_bytes(x, 200, text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
}

static void events_begin(exchange *x)
{
    http_field type = {.name = HTTP_TEXT("content-type"), .value = HTTP_TEXT("text/event-stream")};
    count_begin(x);
    exchange_start(
        x, &(http_answer){
               .status = 200, .fields = &type, .field_count = 1, .length = HTTP_LENGTH_UNKNOWN});
    if (!exchange_write(x, "data: 1\n\n", 9)) {
        exchange_abort(x);
    }
}

static void gone_begin(exchange *x)
{
    char text[64];
    int size = snprintf(text, sizeof text, "%llu %llu\n", (unsigned long long)atomic_load(&begun),
                        (unsigned long long)atomic_load(&gone));
    answer_bytes(x, 200, text, (size_t)size);
}

static void hints_begin(exchange *x)
{
    http_field link = {.name = HTTP_TEXT("link"), .value = HTTP_TEXT("</a.css>; rel=preload")};
    count_begin(x);
    exchange_inform(x, 103, &link, 1);
    answer_bytes(x, 200, "hinted\n", 7);
}

/* --- echo --------------------------------------------------------------------------------- */

static void echo_begin(exchange *x)
{
    state *st = new_state(x);
    st->sized = has(x->query.data, x->query.size, "sized");
    http_answer answer = {.status = 200,
                          .length = st->sized ? x->content_length : HTTP_LENGTH_UNKNOWN};
    exchange_start(x, &answer);
}

static void echo_body(exchange *x, const void *data, size_t size)
{
    if (!exchange_write(x, data, size)) {
        exchange_pause(x, true);
    }
}

static void echo_writable(exchange *x)
{
    exchange_pause(x, false);
}

static void echo_end(exchange *x)
{
    exchange_finish(x);
}

/* --- later -------------------------------------------------------------------------------- */

static void run_later(loop_task *task)
{
    state *st = (state *)task;
    exchange *x = st->x;
    if (x == NULL) {
        free(st);
        return;
    }
    if (st->waits-- > 0) {
        loop_post(&x->worker->loop, &st->task);
        return;
    }
    st->posted = false;
    answer_bytes(x, 200, "later\n", 6);
}

static void later_end(exchange *x)
{
    state *st = x->handler;
    st->task.run = run_later;
    st->waits = 3;
    st->posted = true;
    loop_post(&x->worker->loop, &st->task);
}

/* --- streams ------------------------------------------------------------------------------ */

static void stream_on(exchange *x)
{
    state *st = x->handler;
    char piece[1000];
    memset(piece, 's', sizeof piece);
    while (st->left > 0) {
        st->left--;
        if (st->cut && st->left == 0) {
            exchange_abort(x);
            return;
        }
        if (!exchange_write(x, piece, sizeof piece)) {
            return;
        }
    }
    exchange_finish(x);
}

static void stream_begin(exchange *x)
{
    state *st = new_state(x);
    st->left = number_of(x, "n", 10);
    st->cut = has(x->query.data, x->query.size, "cut");
    exchange_start(x, &(http_answer){.status = 200, .length = HTTP_LENGTH_UNKNOWN});
    stream_on(x);
}

/* --- files -------------------------------------------------------------------------------- */

enum { FILE_SIZE = 3000000 };

static int file_fd = -1;
static brisk_value *file_value;
static _Atomic uint64_t files_open;

static void file_done(void *ctx)
{
    (void)ctx;
    atomic_fetch_sub(&files_open, 1);
}

static void make_file(void)
{
    char path[] = "/tmp/brisk-http-XXXXXX";
    file_fd = mkstemp(path);
    if (file_fd < 0 || unlink(path) != 0) {
        abort();
    }
    unsigned char *data = malloc(FILE_SIZE);
    if (data == NULL) {
        abort();
    }
    for (size_t i = 0; i < FILE_SIZE; i++) {
        data[i] = (unsigned char)(i % 251);
    }
    if (pwrite(file_fd, data, FILE_SIZE, 0) != FILE_SIZE ||
        brisk_value_copy(data, FILE_SIZE, NULL, &file_value) != BRISK_OK) {
        abort();
    }
    free(data);
}

static void file_begin(exchange *x)
{
    count_begin(x);
    uint64_t from = number_of(x, "from", 0);
    atomic_fetch_add(&files_open, 1);
    exchange_answer(x, &(http_answer){.status = 200,
                                      .body = {.kind = HTTP_BODY_FILE,
                                               .fd = file_fd,
                                               .release = file_done,
                                               .offset = from,
                                               .size = number_of(x, "size", FILE_SIZE - from)}});
}

static void value_begin(exchange *x)
{
    count_begin(x);
    uint64_t from = number_of(x, "from", 0);
    exchange_answer(x, &(http_answer){.status = 200,
                                      .body = {.kind = HTTP_BODY_VALUE,
                                               .value = brisk_value_ref(file_value),
                                               .offset = from,
                                               .size = number_of(x, "size", FILE_SIZE - from)}});
}

/* --- slow, tunnel ------------------------------------------------------------------------- */

static void run_slow(loop_task *task)
{
    state *st = (state *)task;
    if (st->x == NULL) {
        free(st);
        return;
    }
    st->posted = false;
    exchange_pause(st->x, false);
}

static void slow_body(exchange *x, const void *data, size_t size)
{
    state *st = x->handler;
    (void)data;
    st->taken += size;
    exchange_pause(x, true);
    if (!st->posted) {
        st->posted = true;
        st->task.run = run_slow;
        loop_post(&x->worker->loop, &st->task);
    }
}

static void slow_end(exchange *x)
{
    char text[32];
    int size =
        snprintf(text, sizeof text, "%llu\n", (unsigned long long)((state *)x->handler)->taken);
    answer_bytes(x, 200, text, (size_t)size);
}

static void tunnel_begin(exchange *x)
{
    http_field upgrade = {.name = HTTP_TEXT("upgrade"), .value = HTTP_TEXT("echo")};
    count_begin(x);
    exchange_take_over(x, &(http_answer){.status = 101, .fields = &upgrade, .field_count = 1});
}

static void tunnel_body(exchange *x, const void *data, size_t size)
{
    (void)!exchange_write(x, data, size);
    if (has(data, size, "bye")) {
        exchange_finish(x);
    }
}

/* --- all ---------------------------------------------------------------------------------- */

static void any_end(exchange *x)
{
    answer_bytes(x, 200, "any\n", 4);
}

/* Of the host "any.test": everything, with any method, once its body is read. */
static const http_route any_route = {.name = "any",
                                     .methods = 1023,
                                     .body_max = 1048576,
                                     .begin = count_begin,
                                     .end = any_end,
                                     .gone = count_gone};

static const struct {
    const char *prefix;
    http_route route;
} routes[] = {
    {"/hello", {.name = "/hello", .methods = HTTP_GET, .begin = hello_begin, .gone = count_gone}},
    {"/show",
     {.name = "/show",
      .methods = HTTP_GET | HTTP_POST | HTTP_OPTIONS,
      .body_max = 100,
      .begin = show_begin,
      .gone = count_gone}},
    {"/gone", {.name = "/gone", .methods = HTTP_GET, .begin = gone_begin}},
    {"/events",
     {.name = "/events", .methods = HTTP_GET, .begin = events_begin, .gone = count_gone}},
    {"/hints", {.name = "/hints", .methods = HTTP_GET, .begin = hints_begin, .gone = count_gone}},
    {"/echo",
     {.name = "/echo",
      .methods = HTTP_POST | HTTP_PUT,
      .body_max = 64 * 1048576,
      .begin = echo_begin,
      .body = echo_body,
      .end = echo_end,
      .writable = echo_writable,
      .gone = count_gone}},
    {"/later",
     {.name = "/later",
      .methods = HTTP_GET | HTTP_POST,
      .body_max = 1000,
      .begin = count_begin,
      .end = later_end,
      .gone = count_gone}},
    {"/stream",
     {.name = "/stream",
      .methods = HTTP_GET,
      .begin = stream_begin,
      .writable = stream_on,
      .gone = count_gone}},
    {"/file", {.name = "/file", .methods = HTTP_GET, .begin = file_begin, .gone = count_gone}},
    {"/value", {.name = "/value", .methods = HTTP_GET, .begin = value_begin, .gone = count_gone}},
    {"/slow",
     {.name = "/slow",
      .methods = HTTP_POST,
      .body_max = 1048576,
      .begin = count_begin,
      .body = slow_body,
      .end = slow_end,
      .gone = count_gone}},
    {"/tunnel",
     {.name = "/tunnel",
      .methods = HTTP_GET,
      .begin = tunnel_begin,
      .body = tunnel_body,
      .gone = count_gone}},
    {"/never", {.name = "/never", .methods = HTTP_GET, .begin = count_begin, .gone = count_gone}},
    {"/v1/secret",
     {.name = "/v1/secret",
      .methods = HTTP_GET,
      .right = HTTP_RIGHT_CHANGE,
      .begin = hello_begin,
      .gone = count_gone}},
};

/* NAME=VALUE; false: there is no such limit. */
static bool set_limit(server_opts *opts, const char *text)
{
    const char *equals = strchr(text, '=');
    uint64_t value = equals != NULL ? strtoull(equals + 1, NULL, 10) : 0;
    size_t size = equals != NULL ? (size_t)(equals - text) : 0;
    const struct {
        const char *name;
        uint32_t *at;
    } names[] = {
        {"workers", &opts->workers},
        {"fields_max", &opts->limits.http_head.fields_max},
        {"head_max", &opts->limits.http_head.head_max},
        {"line_max", &opts->limits.http_head.line_max},
        {"min_rate", &opts->limits.http.min_rate},
        {"requests_max", &opts->limits.http.requests_max},
        {"per_address", &opts->limits.http.per_address},
    };
    const struct {
        const char *name;
        uint64_t *at;
    } times[] = {
        {"head_ms", &opts->limits.http.head_ns},
        {"idle_ms", &opts->limits.http.idle_ns},
        {"body_ms", &opts->limits.http.body_ns},
        {"write_ms", &opts->limits.http.write_ns},
    };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        if (strlen(times[i].name) == size && strncmp(times[i].name, text, size) == 0) {
            *times[i].at = value * 1000000;
            return true;
        }
    }
    if (size == 3 && strncmp(text, "tls", 3) == 0) {
        opts->tls_cert = equals + 1; /* with its key */
        return true;
    }
    if (size == 5 && strncmp(text, "local", 5) == 0) {
        opts->limits.http.per_address_local = value != 0;
        return true;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i].name) == size && strncmp(names[i].name, text, size) == 0) {
            *names[i].at = (uint32_t)value;
            return true;
        }
    }
    return false;
}

static int fail(const char *what)
{
    (void)fprintf(stderr, "%s\n", what);
    return 1;
}

int main(int argc, char **argv)
{
    sockets listening = {.backlog = 511};
    server_opts opts = {
        .sockets = &listening,
        .memory_bytes = 16 * 1048576,
        .workers = 2,
        .limits =
            {
                .clients_max = 10000,
                .output_max = 64 * 1048576,
                .output_high = 8 * 1048576,
                .output_total = 512 * 1048576,
                .input_max = 64 * 1048576,
                .input_total = 512 * 1048576,
                .bulk_max = 1048576,
                .args_max = 1024,
                .batch_max = BATCH_MAX,
            },
    };
    for (int i = 1; i < argc; i++) {
        if (!set_limit(&opts, argv[i])) {
            return fail("usage: http_test_server [NAME=VALUE...]");
        }
    }
    make_file();
    server *s = NULL;
    brisk_errinfo info;
    if (sockets_open(&listening, "127.0.0.1:0", &info) != BRISK_OK) {
        return fail(info.text);
    }
    if (server_create(&opts, &s, &info) != BRISK_OK) {
        return fail(info.text);
    }
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (http_routes_add(s->http_routes, "", routes[i].prefix, &routes[i].route) != BRISK_OK) {
            return fail("a route cannot be added");
        }
    }
    if (http_routes_add(s->http_routes, "any.test", "/", &any_route) != BRISK_OK) {
        return fail("a route cannot be added");
    }
    if (server_start(s, &info) != BRISK_OK) {
        return fail(info.text);
    }
    (void)printf("ready %u\n", listen_port(s));
    (void)fflush(stdout);
    for (int c; (c = getchar()) != EOF;) {
        if (c == 'd') {
            drain_begin(s, false);
        }
    }
    server_destroy(s);
    brisk_value_unref(file_value);
    (void)close(file_fd);
    if (atomic_load(&begun) != atomic_load(&gone) || atomic_load(&files_open) != 0) {
        return fail("an exchange was not told that it is over, or a file not given back");
    }
    return 0;
}
