/*
 * fuzz_http2.c -- frames through the whole carrier, without sockets: guard, nghttp2, exchanges, handlers.
 *
 * The first byte says in pieces of how many bytes the rest comes (0: whole), the second which allocation
 * fails (0: none); then come frames behind a good preface and SETTINGS.  Between two pieces handlers go
 * on: who paused reads again, who kept its exchange answers.
 *
 * At the end the connection dies: every exchange that began is gone, exactly once, and all memory is
 * back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEPT_MAX = 64, SIZE_MAX_TRIED = 1 << 16, BIG = 20000 };

static size_t held;      /* bytes of memory */
static uint64_t fail_in; /* allocations until one fails; 0: never */
static int begun;
static int gone;
static exchange *kept[KEPT_MAX];
static uint8_t big[BIG];

static void *acquire(void *ctx, size_t size, size_t align)
{
    (void)ctx;
    if (fail_in > 0 && --fail_in == 0) {
        return NULL;
    }
    void *at = aligned_alloc(align < 16 ? 16 : align, (size + 63) / 64 * 64);
    held += at != NULL ? size : 0;
    return at;
}

static void release(void *ctx, void *at, size_t size, size_t align)
{
    (void)ctx;
    (void)align;
    held -= size;
    free(at);
}

static const brisk_alloc alloc = {.acquire = acquire, .release = release};

static void keep(exchange *x)
{
    begun++;
    x->handler = NULL;
    for (size_t i = 0; i < KEPT_MAX; i++) {
        if (kept[i] == NULL) {
            kept[i] = x;
            return;
        }
    }
}

static void forget(exchange *x)
{
    gone++;
    for (size_t i = 0; i < KEPT_MAX; i++) {
        kept[i] = kept[i] == x ? NULL : kept[i];
    }
}

static void answer(exchange *x, size_t size)
{
    http_field field = {.name = HTTP_TEXT("content-type"), .value = HTTP_TEXT("text/plain")};
    http_answer a = {.status = 200,
                     .fields = &field,
                     .field_count = 1,
                     .body = {.kind = HTTP_BODY_BYTES, .data = big, .size = size}};
    exchange_answer(x, &a);
}

static void begin_small(exchange *x)
{
    answer(x, 10);
}

static void begin_big(exchange *x)
{
    exchange_inform(x, 103, NULL, 0);
    answer(x, BIG);
}

static void begin_echo(exchange *x)
{
    keep(x);
    http_answer a = {.status = 200, .length = HTTP_LENGTH_UNKNOWN};
    exchange_start(x, &a);
}

static void body_echo(exchange *x, const void *data, size_t size)
{
    if (!exchange_write(x, data, size) || size > 100) {
        exchange_pause(x, true);
    }
}

static void end_echo(exchange *x)
{
    exchange_finish(x);
}

static void body_abort(exchange *x, const void *data, size_t size)
{
    (void)data;
    if (size % 2 == 1) {
        exchange_abort(x);
    }
}

static const http_route routes[] = {
    {.name = "small", .methods = HTTP_GET | HTTP_POST, .begin = begin_small, .body_max = 100},
    {.name = "big", .methods = HTTP_GET, .begin = begin_big},
    {.name = "echo",
     .methods = HTTP_POST,
     .begin = begin_echo,
     .body = body_echo,
     .end = end_echo,
     .gone = forget,
     .body_max = UINT64_MAX},
    {.name = "keep",
     .methods = HTTP_GET | HTTP_POST,
     .begin = keep,
     .body = body_abort,
     .gone = forget,
     .body_max = 1000},
};
static const char *const prefixes[] = {"/", "/big", "/echo", "/keep"};

typedef struct rig {
    server server;
    worker worker;
    conn conn;
    unsigned char in[SIZE_MAX_TRIED + 64];
    size_t in_size;
    bool over;
} rig;

/* Time passes for those who wait. */
static void go_on(rig *r)
{
    for (size_t i = 0; i < KEPT_MAX; i++) {
        exchange *x = kept[i];
        if (x == NULL) {
            continue;
        }
        exchange_pause(x, false);
        if (kept[i] == x && x->state == EXCHANGE_OPEN && x->id % 2 == 0) {
            answer(x, 100);
        }
    }
    r->worker.now_ns += 300000000;
    protocol_http2.tick(&r->conn, r->worker.now_ns);
}

/* As conn.c does it: what is not used is given again. */
static void take(rig *r, const uint8_t *data, size_t size)
{
    memcpy(r->in + r->in_size, data, size);
    r->in_size += size;
    size_t used = 0;
    protocol_next next = protocol_http2.take(&r->conn, r->in, r->in_size, &used);
    BRISK_ASSERT(used <= r->in_size);
    memmove(r->in, r->in + used, r->in_size - used);
    r->in_size -= used;
    r->over = next == PROTOCOL_CLOSE || r->conn.dead;
    resp_writer_reset(&r->worker.out, 0);
}

static void feed(rig *r, const uint8_t *data, size_t size, size_t step)
{
    static const uint8_t hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    take(r, hello, sizeof hello); /* the NUL is the last byte of SETTINGS */
    for (size_t at = 0; at < size && !r->over;) {
        size_t part = step > 0 && step < size - at ? step : size - at;
        take(r, data + at, part);
        at += part;
        if (!r->over && !r->conn.dead) {
            go_on(r);
        }
    }
    if (!r->over && !r->conn.dead) {
        take(r, hello, 0);
    }
}

static bool set_up(rig *r)
{
    server *s = &r->server;
    s->alloc = &alloc;
    s->clock = brisk_clock_system();
    s->workers = &r->worker;
    s->worker_count = 1;
    s->unprotected = true;
    s->limits.output_max = 1 << 24;
    s->limits.output_high = 1 << 23;
    s->limits.output_total = 1 << 28;
    r->worker.server = s;
    r->worker.loop.epoll_fd = -1;
    r->worker.loop.event_fd = -1;
    r->worker.now_ns = 1000000000;
    r->conn = (conn){.worker = &r->worker, .protocol = &protocol_http2, .fd = -1};
    resp_writer_init(&r->worker.out, &alloc, 1 << 24);
    resp_writer_init(&r->conn.pending, &alloc, 1 << 24);
    if (http_routes_create(&alloc, &s->http_routes) != BRISK_OK ||
        http_worker_create(&r->worker, &r->worker.http) != BRISK_OK) {
        return false;
    }
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (http_routes_add(s->http_routes, "", prefixes[i], &routes[i]) != BRISK_OK) {
            return false;
        }
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rig r;
    if (size < 2 || size > SIZE_MAX_TRIED) {
        return 0;
    }
    memset(&r, 0, sizeof r);
    memset(kept, 0, sizeof kept);
    begun = gone = 0;
    fail_in = 0;
    BRISK_ASSERT(set_up(&r));
    fail_in = data[1];
    r.conn.working = true;
    if (protocol_http2.open(&r.conn)) {
        feed(&r, data + 2, size - 2, data[0]);
    }
    if (!r.conn.dead) {
        protocol_http2.close(&r.conn);
    }
    fail_in = 0;
    BRISK_ASSERT(begun == gone);
    resp_writer_deinit(&r.worker.out);
    resp_writer_deinit(&r.conn.pending);
    http_worker_destroy(r.worker.http);
    http_routes_destroy(r.server.http_routes);
    BRISK_ASSERT(held == 0);
    return 0;
}
