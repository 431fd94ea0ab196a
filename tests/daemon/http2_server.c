/*
 * http2_server.c -- a server whose handlers do everything a handler may, for tests of the carriers.
 *
 *     http2_server [NAME=VALUE...]     limits, cert, key; prints its port; ends with its standard
 *                                      input, drains when that has a 'd', and with an 'r' reads its
 *                                      certificate again
 *
 *     /hello          1 KiB, a value                /big?size=N     N bytes, a value
 *     /file?size=N    likewise, from a file         /bytes          a few bytes, copied
 *     /echo           what comes goes               /stream?size=N  piece by piece, as fast as it is taken
 *     /count          the bytes of the body         /pause?ms=N     likewise, but it sleeps after the first
 *     /later?ms=N     answers after a while         /never          does not answer
 *     /abort          gives up in the middle        /short          says more than it sends
 *     /inform         103 first                     /fields         what the request was
 *     /small          takes bodies of 10 bytes      /counts         {"begun", "ended", "gone", "released"}
 *     /urgent, /lazy  64 KiB, of priority 0 and 7
 *
 * Byte i of every generated body is 'a' + i % 23.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/drain.h"
#include "daemon/listen.h"
#include "daemon/server.h"

enum { PIECE = 16384, HELLO = 1024, PERIOD = 23, LAZY = 65536 };

static const brisk_alloc *alloc;
static _Atomic uint64_t begun;
static _Atomic uint64_t ended;
static _Atomic uint64_t gone;
static _Atomic uint64_t released;
static unsigned char pattern[PIECE + PERIOD];
static brisk_value *hello;
static brisk_value *lazy;

/* What a handler remembers of an exchange.  The thread that waits may outlive it. */
typedef struct request {
    loop_task task; /* first */
    exchange *x;    /* NULL: gone */
    loop *home;
    uint64_t size;
    uint64_t done;
    uint64_t ms;
    bool paused;
    bool waiting;
} request;

static void fill(unsigned char *to, uint64_t from, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        to[i] = (unsigned char)('a' + (from + i) % PERIOD);
    }
}

static uint64_t number(const exchange *x, const char *name)
{
    char text[128];
    size_t size = x->query.size < sizeof text ? x->query.size : sizeof text - 1;
    memcpy(text, x->query.data, size);
    text[size] = '\0';
    const char *at = strstr(text, name);
    return at != NULL && at[strlen(name)] == '=' ? strtoull(at + strlen(name) + 1, NULL, 10) : 0;
}

static request *remember(exchange *x)
{
    request *r = calloc(1, sizeof *r);
    if (r == NULL) {
        abort();
    }
    *r = (request){.x = x, .home = &x->worker->loop};
    x->handler = r;
    atomic_fetch_add(&begun, 1);
    return r;
}

static void on_gone(exchange *x)
{
    request *r = x->handler;
    r->x = NULL;
    if (!r->waiting) {
        free(r);
    }
    atomic_fetch_add(&gone, 1);
}

static void *sleep_and_post(void *ctx)
{
    request *r = ctx;
    struct timespec time = {.tv_sec = (time_t)(r->ms / 1000),
                            .tv_nsec = (long)(r->ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL);
    loop_post(r->home, &r->task);
    return NULL;
}

static void call_later(request *r, uint64_t ms, void (*run)(loop_task *task))
{
    pthread_t thread;
    r->waiting = true;
    r->ms = ms;
    r->task.run = run;
    if (pthread_create(&thread, NULL, sleep_and_post, r) != 0) {
        abort();
    }
    (void)pthread_detach(thread);
}

/* False: it is gone. */
static bool came_home(request *r)
{
    r->waiting = false;
    if (r->x == NULL) {
        free(r);
        return false;
    }
    return true;
}

static void answer_text(exchange *x, const char *text)
{
    http_field field = {.name = HTTP_TEXT("content-type"), .value = HTTP_TEXT("text/plain")};
    http_answer answer = {.status = 200,
                          .fields = &field,
                          .field_count = 1,
                          .body = {.kind = HTTP_BODY_BYTES, .data = text, .size = strlen(text)}};
    exchange_answer(x, &answer);
}

static void answer_value(exchange *x, brisk_value *value)
{
    static const http_field fields[] = {
        {.name = {"content-type", 12}, .value = {"text/plain", 10}},
        {.name = {"etag", 4}, .value = {"\"5b1f-2c9a41\"", 13}},
        {.name = {"cache-control", 13}, .value = {"max-age=60", 10}},
    };
    http_answer answer = {
        .status = 200,
        .fields = fields,
        .field_count = 3,
        .body = {.kind = HTTP_BODY_VALUE, .value = value, .size = brisk_value_size(value)}};
    exchange_answer(x, &answer);
}

static void begin_hello(exchange *x)
{
    answer_value(x, brisk_value_ref(hello));
}

static void begin_lazy(exchange *x)
{
    answer_value(x, brisk_value_ref(lazy));
}

static brisk_value *make_value(uint64_t size)
{
    void *data;
    brisk_value *value;
    if (brisk_value_reserve((size_t)size, alloc, &data, &value) != BRISK_OK) {
        abort();
    }
    fill(data, 0, (size_t)size);
    return value;
}

static void begin_big(exchange *x)
{
    answer_value(x, make_value(number(x, "size")));
}

static void release_file(void *ctx)
{
    (void)close((int)(intptr_t)ctx);
    atomic_fetch_add(&released, 1);
}

static void begin_file(exchange *x)
{
    uint64_t size = number(x, "size");
    int fd = memfd_create("file", MFD_CLOEXEC);
    for (uint64_t at = 0; at < size;) {
        size_t part = size - at < PIECE ? (size_t)(size - at) : PIECE;
        ssize_t n = write(fd, pattern + at % PERIOD, part);
        if (n <= 0) {
            abort();
        }
        at += (uint64_t)n;
    }
    http_answer answer = {.status = 200,
                          .body = {.kind = HTTP_BODY_FILE,
                                   .fd = fd,
                                   .release = release_file,
                                   .ctx = (void *)(intptr_t)fd,
                                   .size = size}};
    if (number(x, "shorter") > 0 && ftruncate(fd, (off_t)(size / 2)) != 0) {
        abort();
    }
    exchange_answer(x, &answer);
}

static void begin_bytes(exchange *x)
{
    answer_text(x, "a few bytes\n");
}

/* --- bodies ------------------------------------------------------------------------------- */

static void begin_echo(exchange *x)
{
    (void)remember(x);
    http_answer answer = {.status = 200, .length = x->content_length};
    exchange_start(x, &answer);
}

static void body_echo(exchange *x, const void *data, size_t size)
{
    if (!exchange_write(x, data, size)) {
        exchange_pause(x, true);
    }
}

static void writable_echo(exchange *x)
{
    exchange_pause(x, false);
}

static void end_echo(exchange *x)
{
    atomic_fetch_add(&ended, 1);
    exchange_finish(x);
}

static void begin_count(exchange *x)
{
    (void)remember(x);
}

static void body_count(exchange *x, const void *data, size_t size)
{
    request *r = x->handler;
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 'a' + (r->done + i) % PERIOD) {
            exchange_abort(x); /* something was lost, or came twice */
            return;
        }
    }
    r->done += size;
}

static void end_count(exchange *x)
{
    const request *r = x->handler;
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRIu64, r->done);
    atomic_fetch_add(&ended, 1);
    answer_text(x, text);
}

static void go_on(loop_task *task)
{
    request *r = (request *)task;
    if (came_home(r)) {
        exchange_pause(r->x, false);
    }
}

static void body_pause(exchange *x, const void *data, size_t size)
{
    request *r = x->handler;
    body_count(x, data, size);
    if (!r->paused) {
        r->paused = true;
        exchange_pause(x, true);
        call_later(r, number(x, "ms"), go_on);
    }
}

/* --- answers ------------------------------------------------------------------------------ */

static void begin_fields(exchange *x)
{
    char text[8192];
    size_t used = (size_t)snprintf(
        text, sizeof text, "%.*s %.*s|%.*s|%.*s|%.*s|%d|u=%d,i=%d\n", (int)x->method_text.size,
        x->method_text.data, (int)x->target.size, x->target.data, (int)x->path.size, x->path.data,
        (int)x->query.size, x->query.data, (int)x->authority.size, x->authority.data, x->version,
        x->priority.urgency, x->priority.incremental);
    for (uint32_t i = 0; i < x->field_count && used < sizeof text; i++) {
        const http_field *f = &x->fields[i];
        used += (size_t)snprintf(text + used, sizeof text - used, "%.*s: %.*s\n", (int)f->name.size,
                                 f->name.data, (int)f->value.size, f->value.data);
    }
    answer_text(x, text);
}

static void write_on(exchange *x)
{
    request *r = x->handler;
    bool go = true;
    while (go && r->done < r->size) {
        size_t part = r->size - r->done < PIECE ? (size_t)(r->size - r->done) : PIECE;
        go = exchange_write(x, pattern + r->done % PERIOD, part);
        r->done += part;
    }
    if (r->done == r->size) {
        exchange_finish(x);
    }
}

static void begin_stream(exchange *x)
{
    request *r = remember(x);
    r->size = number(x, "size");
    http_answer answer = {.status = 200,
                          .length = number(x, "known") > 0 ? (int64_t)r->size
                                                           : (int64_t)HTTP_LENGTH_UNKNOWN};
    exchange_start(x, &answer);
    write_on(x);
}

static void answer_later(loop_task *task)
{
    request *r = (request *)task;
    if (came_home(r)) {
        answer_text(r->x, "later\n");
    }
}

static void begin_later(exchange *x)
{
    call_later(remember(x), number(x, "ms"), answer_later);
}

static void begin_never(exchange *x)
{
    (void)remember(x);
}

static void begin_abort(exchange *x)
{
    (void)remember(x);
    http_answer answer = {.status = 200, .length = HTTP_LENGTH_UNKNOWN};
    exchange_start(x, &answer);
    (void)!exchange_write(x, pattern, 100);
    exchange_abort(x);
}

static void begin_short(exchange *x)
{
    (void)remember(x);
    http_answer answer = {.status = 200, .length = 100};
    exchange_start(x, &answer);
    (void)!exchange_write(x, pattern, 10);
    exchange_finish(x);
}

static void begin_inform(exchange *x)
{
    http_field link = {.name = HTTP_TEXT("link"), .value = HTTP_TEXT("</a.css>; rel=preload")};
    exchange_inform(x, 103, &link, 1);
    answer_text(x, "informed\n");
}

static void begin_nothing(exchange *x)
{
    http_answer answer = {.status = number(x, "status") > 0 ? (uint16_t)number(x, "status") : 204,
                          .length = 77};
    exchange_answer(x, &answer);
}

static void begin_counts(exchange *x)
{
    char text[256];
    (void)snprintf(text, sizeof text,
                   "{\"begun\": %" PRIu64 ", \"ended\": %" PRIu64 ", \"gone\": %" PRIu64
                   ", \"released\": %" PRIu64 ", \"direct\": %" PRIu64 ", \"known\": %zu}\n",
                   atomic_load(&begun), atomic_load(&ended), atomic_load(&gone),
                   atomic_load(&released), x->worker->http2_direct, x->worker->http_known);
    answer_text(x, text);
}

#define BODY_MAX (UINT64_C(1) << 40)

static const struct {
    const char *prefix;
    http_route route;
} places[] = {
    {"/hello", {.begin = begin_hello}},
    {"/urgent", {.begin = begin_lazy, .priority = {.urgency = 0}}},
    {"/lazy", {.begin = begin_lazy, .priority = {.urgency = 7}}},
    {"/big", {.begin = begin_big}},
    {"/file", {.begin = begin_file}},
    {"/bytes", {.begin = begin_bytes}},
    {"/fields", {.begin = begin_fields, .priority = {.urgency = 3}}},
    {"/counts", {.begin = begin_counts}},
    {"/nothing", {.begin = begin_nothing}},
    {"/inform", {.begin = begin_inform}},
    {"/echo",
     {.begin = begin_echo,
      .body = body_echo,
      .end = end_echo,
      .writable = writable_echo,
      .gone = on_gone,
      .body_max = BODY_MAX}},
    {"/count",
     {.begin = begin_count,
      .body = body_count,
      .end = end_count,
      .gone = on_gone,
      .body_max = BODY_MAX}},
    {"/small",
     {.begin = begin_count, .body = body_count, .end = end_count, .gone = on_gone, .body_max = 10}},
    {"/pause",
     {.begin = begin_count,
      .body = body_pause,
      .end = end_count,
      .gone = on_gone,
      .body_max = BODY_MAX}},
    {"/stream", {.begin = begin_stream, .writable = write_on, .gone = on_gone}},
    {"/later", {.begin = begin_later, .gone = on_gone}},
    {"/never", {.begin = begin_never, .gone = on_gone, .body_max = BODY_MAX}},
    {"/abort", {.begin = begin_abort, .gone = on_gone}},
    {"/short", {.begin = begin_short, .gone = on_gone}},
};

enum { PLACES = sizeof places / sizeof places[0] };

static http_route routes[PLACES];

static bool add_routes(server *s)
{
    for (size_t i = 0; i < PLACES; i++) {
        routes[i] = places[i].route;
        routes[i].name = places[i].prefix;
        routes[i].methods = HTTP_GET | HTTP_POST | HTTP_PUT;
        if (http_routes_add(s->http_routes, "", places[i].prefix, &routes[i]) != BRISK_OK) {
            return false;
        }
    }
    return true;
}

static bool set_limit(server_opts *opts, const char *text)
{
    const char *value = strchr(text, '=');
    if (value == NULL) {
        return false;
    }
    size_t size = (size_t)(value++ - text);
    uint64_t n = strtoull(value, NULL, 10);
    http_limits *http = &opts->limits.http;
    struct {
        const char *name;
        uint64_t *ns;
    } times[] = {{"head_ms", &http->head_ns},
                 {"idle_ms", &http->idle_ns},
                 {"body_ms", &http->body_ns},
                 {"write_ms", &http->write_ns}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        if (strlen(times[i].name) == size && memcmp(times[i].name, text, size) == 0) {
            *times[i].ns = n * 1000000;
            return true;
        }
    }
    if (memcmp(text, "cert", 4) == 0) {
        opts->tls_cert = value;
    } else if (memcmp(text, "key", 3) == 0) {
        opts->tls_key = value;
    } else if (memcmp(text, "requests_max", size) == 0) {
        http->requests_max = (uint32_t)n;
    } else if (memcmp(text, "streams_max", size) == 0) {
        http->streams_max = (uint32_t)n;
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    alloc = brisk_alloc_libc();
    sockets listening = {.backlog = 511};
    server_opts opts = {
        .sockets = &listening,
        .memory_bytes = 1 << 24,
        .no_curve = true,
        .workers = 1,
        .unprotected = true,
        .limits = {.clients_max = 2000,
                   .output_max = 1 << 28,
                   .output_high = 1 << 23,
                   .output_total = 1 << 29,
                   .input_max = 1 << 28,
                   .input_total = 1 << 29,
                   .bulk_max = 1 << 28,
                   .args_max = RESP_ARGS_MAX,
                   .batch_max = BATCH_MAX},
        .alloc = alloc,
    };
    opts.limits.http.min_rate = 1000;
    for (int i = 1; i < argc; i++) {
        if (!set_limit(&opts, argv[i])) {
            (void)fprintf(stderr, "usage: http2_server [NAME=VALUE...]\n");
            return 2;
        }
    }
    fill(pattern, 0, sizeof pattern);
    hello = make_value(HELLO);
    lazy = make_value(LAZY);
    server *s = NULL;
    brisk_errinfo info = {.code = BRISK_OK};
    if (sockets_open(&listening, "127.0.0.1:0", &info) != BRISK_OK ||
        server_create(&opts, &s, &info) != BRISK_OK || !add_routes(s) ||
        server_start(s, &info) != BRISK_OK) {
        (void)fprintf(stderr, "http2_server: %s\n", info.text);
        return 1;
    }
    (void)printf("%u\n", listen_port(s));
    (void)fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
        if (byte == 'd') {
            drain_begin(s, true);
        } else if (byte == 'r' && server_reload_tls(s, &info) != BRISK_OK) {
            (void)fprintf(stderr, "http2_server: %s\n", info.text);
        }
    }
    server_destroy(s);
    brisk_value_unref(hello);
    brisk_value_unref(lazy);
    return 0;
}
