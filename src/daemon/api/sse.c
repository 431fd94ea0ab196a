/*
 * sse.c -- streams of events: pulled from their sources, written as the client keeps up.
 *
 * The streams of a worker hang in a list that ticks and pokes walk.  A source may finish its stream
 * while it is asked; its exchange goes afterwards (a carrier never ends one inside a call), but what a
 * write does to a connection may end others: the walk's next stream is kept in the worker, where
 * sse_gone moves it on.
 *
 * Invariant: a stream is in its worker's list from sse_open to sse_gone.
 */
#include "daemon/api/sse.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/server.h"

enum { HEARTBEAT_NS_S = 15, HEAD_MAX = 128 };

struct sse {
    exchange *x;
    const sse_source *source;
    void *ctx;
    sse *next;
    sse *previous;
    uint64_t sent_ns; /* when something was */
    bool choked;      /* until `writable` */
    bool polling;
    bool over; /* finished or broken off */
};

static void unlink_stream(sse *stream)
{
    worker *w = stream->x->worker;
    if (w->next_stream == stream) {
        w->next_stream = stream->next;
    }
    if (stream->previous != NULL) {
        stream->previous->next = stream->next;
    } else {
        w->streams = stream->next;
    }
    if (stream->next != NULL) {
        stream->next->previous = stream->previous;
    }
}

static void ask(sse *stream)
{
    if (!stream->over && !stream->choked && !stream->polling) {
        stream->polling = true;
        stream->source->poll(stream, stream->ctx);
        stream->polling = false;
    }
}

sse *sse_open(exchange *x, const sse_source *source, void *ctx)
{
    static const http_field fields[] = {
        {{"content-type", 12}, {"text/event-stream", 17}},
        {{"cache-control", 13}, {"no-store", 8}},
        {{"x-accel-buffering", 17}, {"no", 2}}, /* nginx in front must not keep events back */
    };
    worker *w = x->worker;
    sse *stream = exchange_alloc(x, sizeof *stream);
    if (stream == NULL) {
        exchange_fail(x, 503, "out of memory");
        return NULL;
    }
    *stream = (sse){.x = x, .source = source, .ctx = ctx, .next = w->streams, .sent_ns = w->now_ns};
    if (w->streams != NULL) {
        w->streams->previous = stream;
    }
    w->streams = stream;
    http_answer answer = {.status = 200,
                          .fields = fields,
                          .field_count = sizeof fields / sizeof fields[0],
                          .length = HTTP_LENGTH_UNKNOWN};
    exchange_start(x, &answer);
    if (x->method == HTTP_HEAD) {
        sse_finish(stream);
    } else {
        ask(stream);
    }
    return stream;
}

static bool put(sse *stream, const char *data, size_t size)
{
    if (!exchange_write(stream->x, data, size)) {
        stream->choked = true;
    }
    return !stream->choked;
}

bool sse_send(sse *stream, const char *event, uint64_t id, const char *data, size_t size)
{
    if (stream->over) {
        return false;
    }
    char head[HEAD_MAX];
    int used = 0;
    if (id != 0) {
        used = snprintf(head, sizeof head, "id: %llu\n", (unsigned long long)id);
    }
    if (event != NULL) {
        BRISK_ASSERT(strlen(event) < HEAD_MAX / 2); /* ours */
        used += snprintf(head + used, sizeof head - (size_t)used, "event: %s\n", event);
    }
    stream->sent_ns = stream->x->worker->now_ns;
    (void)put(stream, head, (size_t)used);
    const char *end = data + size;
    do { /* a line break of any kind inside would end the field */
        const char *line = data;
        while (data < end && *data != '\n' && *data != '\r') {
            data++;
        }
        (void)put(stream, "data: ", 6);
        (void)put(stream, line, (size_t)(data - line));
        (void)put(stream, "\n", 1);
        data += data < end ? 1 : 0;
    } while (data < end);
    (void)put(stream, "\n", 1);
    return !stream->choked;
}

void sse_finish(sse *stream)
{
    if (!stream->over) {
        stream->over = true;
        exchange_finish(stream->x);
    }
}

uint64_t sse_last_id(const exchange *x)
{
    const http_text *text = exchange_field(x, "last-event-id");
    uint64_t id = 0;
    for (size_t i = 0; text != NULL && i < text->size; i++) {
        char c = text->data[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(id, 10, &id) ||
            __builtin_add_overflow(id, (uint64_t)(c - '0'), &id)) {
            return 0;
        }
    }
    return id;
}

void sse_writable(sse *stream)
{
    if (stream != NULL) {
        stream->choked = false;
        ask(stream);
    }
}

void sse_gone(sse *stream)
{
    if (stream != NULL) {
        stream->over = true;
        unlink_stream(stream);
    }
}

/* --- of the worker ------------------------------------------------------------------------ */

static void walk(worker *w, uint64_t now_ns, bool stopping)
{
    for (sse *stream = w->streams; stream != NULL; stream = w->next_stream) {
        w->next_stream = stream->next;
        if (stopping) {
            sse_finish(stream);
            continue;
        }
        if (!stream->over && !stream->choked && now_ns > stream->sent_ns &&
            now_ns - stream->sent_ns >= HEARTBEAT_NS_S * UINT64_C(1000000000)) {
            stream->sent_ns = now_ns;
            (void)put(stream, ": alive\n\n", 9);
        }
        ask(stream);
    }
    w->next_stream = NULL;
}

static void poked(loop_task *task)
{
    worker *w = (worker *)((char *)task - offsetof(worker, poke));
    /* Before the walk: what is poked for later is seen by the next one; acquire: what was poked for
     * until now is seen by this one. */
    (void)atomic_exchange_explicit(&w->poked, false, memory_order_acq_rel);
    walk(w, w->now_ns, false);
}

void sse_poke(worker *w)
{
    /* Acquire and release: what was changed before the poke is seen by the walk. */
    if (!atomic_exchange_explicit(&w->poked, true, memory_order_acq_rel)) {
        w->poke.run = poked;
        loop_post(&w->loop, &w->poke);
    }
}

void sse_tick(worker *w, uint64_t now_ns, bool stopping)
{
    if (w->streams != NULL) {
        walk(w, now_ns, stopping);
    }
}
