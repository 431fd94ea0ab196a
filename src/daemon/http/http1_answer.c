/*
 * http1_answer.c -- the carrier of HTTP/1.1: answers.
 *
 * Where bytes go: while the connection is worked on, behind what its worker writes; else behind what is pending, and the
 * connection is looked at after this round.
 *
 * How an answer ends is said in its head: by content-length when the size is known, in chunks when it is not, by the
 * connection's end for HTTP/1.0.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/http/http1.h"
#include "daemon/server.h"

enum {
    REST_MAX = 65536,
    COPIED_MAX = 16384, /* values up to this size are copied: cheaper than one more conn_part */
};

void h1_put(h1 *h, const void *data, size_t size)
{
    conn *c = h->conn;
    if (c->working) {
        resp_put_raw(&c->worker->out, data, size);
    } else {
        conn_append(c, data, size);
        conn_soon(c);
    }
}

static void put_text(h1 *h, const char *text)
{
    h1_put(h, text, strlen(text));
}

size_t h1_unsent(const h1 *h)
{
    const conn *c = h->conn;
    const worker *w = c->worker;
    return conn_unsent(c) + (c->working ? w->out.size + w->out_parts.left : 0);
}

/* --- heads -------------------------------------------------------------------------------- */

static void put_status(h1 *h, uint16_t status)
{
    char line[96];
    int size = snprintf(line, sizeof line, "HTTP/1.1 %u %s\r\n", status, http_reason(status));
    h1_put(h, line, (size_t)size);
}

static void put_date(h1 *h, const http_answer *answer)
{
    for (uint32_t i = 0; i < answer->field_count; i++) {
        http_text name = answer->fields[i].name;
        if (name.size == 4 && memcmp(name.data, "date", 4) == 0) {
            return; /* a proxy passes on the origin's */
        }
    }
    put_text(h, "date: ");
    h1_put(h, http_worker_date(h->conn->worker->http), HTTP_DATE_SIZE);
    put_text(h, "\r\n");
}

static void put_fields(h1 *h, const http_field *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        BRISK_ASSERT(http1_is_token(fields[i].name));
        if (!http1_is_value(fields[i].value)) {
            continue; /* it would end the line: a handler passed on what it should have looked at */
        }
        h1_put(h, fields[i].name.data, fields[i].name.size);
        h1_put(h, ": ", 2);
        h1_put(h, fields[i].value.data, fields[i].value.size);
        h1_put(h, "\r\n", 2);
    }
}

static void put_length(h1 *h, int64_t length)
{
    char line[64];
    int size = snprintf(line, sizeof line, "content-length: %" PRId64 "\r\n", length);
    h1_put(h, line, (size_t)size);
}

/* Is so little of the request's body left that it is read and dropped? */
static bool rest_is_short(const h1 *h)
{
    return h->x->body_over || (!h->chunked && h->body_left <= REST_MAX && !h->expects);
}

/* May the connection go on after the answer that is about to be written? */
static bool goes_on(const h1 *h)
{
    const server *s = h->conn->worker->server;
    return h->client_keeps && !h->conn->ended &&
           !atomic_load_explicit(&s->stopping, memory_order_relaxed);
}

/* Status, date, fields, and what is said of the connection. */
static void put_head(h1 *h, const http_answer *answer)
{
    const exchange *x = h->x;
    put_status(h, answer->status);
    put_date(h, answer);
    put_fields(h, answer->fields, answer->field_count);
    if (!h->keep) {
        put_text(h, "connection: close\r\n");
    } else if (x->version == 10) {
        put_text(h, "connection: keep-alive\r\n");
    }
}

void h1_refuse(h1 *h, uint16_t status, const char *words)
{
    put_status(h, status);
    put_text(h, "date: ");
    h1_put(h, http_worker_date(h->conn->worker->http), HTTP_DATE_SIZE);
    put_text(h, "\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n");
    put_length(h, (int64_t)strlen(words) + 1);
    put_text(h, "\r\n");
    put_text(h, words);
    put_text(h, "\n");
}

/* --- bodies ------------------------------------------------------------------------------- */

static void give_back(const http_body *body)
{
    if (body->kind == HTTP_BODY_VALUE) {
        brisk_value_unref(body->value);
    } else if (body->kind == HTTP_BODY_FILE && body->release != NULL) {
        body->release(body->ctx);
    }
}

static void put_body(h1 *h, const http_body *body, bool wanted)
{
    const char *bytes = body->kind == HTTP_BODY_BYTES   ? body->data
                        : body->kind == HTTP_BODY_VALUE ? brisk_value_data(body->value)
                                                        : NULL;
    if (!wanted || body->size == 0 || body->kind == HTTP_BODY_NONE) {
        give_back(body);
        return;
    }
    h->x->body_sent += body->size;
    if (body->kind == HTTP_BODY_BYTES || (bytes != NULL && body->size <= COPIED_MAX)) {
        h1_put(h, bytes + body->offset, body->size);
        give_back(body);
        return;
    }
    conn_part p = {.left = body->size, .offset = body->offset, .fd = -1};
    if (body->kind == HTTP_BODY_VALUE) {
        p.value = body->value;
        p.fd = bytes != NULL ? -1 : brisk_value_fd(body->value);
    } else {
        p.fd = body->fd;
        p.release = body->release;
        p.ctx = body->ctx;
    }
    if (!conn_put_part(h->conn, &p)) {
        h->aborted = true;
    }
}

/* --- the carrier -------------------------------------------------------------------------- */

/* A handler spoke from elsewhere: the connection is looked at after this round. */
static void awake(h1 *h)
{
    if (!h->conn->working) {
        conn_soon(h->conn);
    }
}

static void answer_all(exchange *x, const http_answer *answer)
{
    h1 *h = x->conn->session;
    bool bodiless = answer->status == 204 || answer->status == 304;
    int64_t length = answer->body.kind != HTTP_BODY_NONE ? (int64_t)answer->body.size : 0;
    if (answer->body.kind == HTTP_BODY_NONE && answer->length > 0 &&
        (x->method == HTTP_HEAD || answer->status == 304)) {
        length = answer->length;
    }
    h->keep = goes_on(h) && rest_is_short(h);
    put_head(h, answer);
    if (!bodiless || (answer->status == 304 && length > 0)) {
        put_length(h, length);
    }
    put_text(h, "\r\n");
    put_body(h, &answer->body, http_has_body(x, answer->status));
    awake(h);
}

static void start(exchange *x, const http_answer *answer)
{
    h1 *h = x->conn->session;
    bool has_body = http_has_body(x, answer->status);
    bool unknown = answer->length < 0;
    h->to_the_end = has_body && unknown && x->version == 10;
    h->chunks_out = has_body && unknown && x->version > 10;
    h->answer_left = has_body && !unknown ? answer->length : HTTP_LENGTH_UNKNOWN;
    h->keep = goes_on(h) && !h->to_the_end;
    put_head(h, answer);
    if (!unknown && answer->status != 204) {
        put_length(h, answer->length);
    } else if (h->chunks_out) {
        put_text(h, "transfer-encoding: chunked\r\n");
    }
    put_text(h, "\r\n");
    awake(h);
}

static void abort_answer(exchange *x)
{
    h1 *h = x->conn->session;
    h->aborted = true;
    h->keep = false;
    awake(h);
}

static bool write_some(exchange *x, const void *data, size_t size)
{
    h1 *h = x->conn->session;
    if (!http_has_body(x, x->status) && !h->tunnel) {
        return true;
    }
    if (h->answer_left != HTTP_LENGTH_UNKNOWN) {
        if (size >
            (uint64_t)
                h->answer_left) { /* more than was said: nobody must take it for another answer */
            exchange_abort(x);
            return false;
        }
        h->answer_left -= (int64_t)size;
    }
    if (h->chunks_out) {
        char head[24];
        int head_size = snprintf(head, sizeof head, "%zx\r\n", size);
        h1_put(h, head, (size_t)head_size);
    }
    h1_put(h, data, size);
    if (h->chunks_out) {
        h1_put(h, "\r\n", 2);
    }
    x->body_sent += size;
    if (h1_unsent(h) > HTTP_UNSENT_HIGH) {
        h->full = true;
        h->conn->tell_room = true;
    }
    return !h->full;
}

static void finish(exchange *x)
{
    h1 *h = x->conn->session;
    if (h->answer_left > 0) {
        abort_answer(x);
        return;
    }
    if (h->chunks_out) {
        put_text(h, "0\r\n\r\n");
    }
    h->keep = h->keep && rest_is_short(h); /* a handler that began before the body was over */
    awake(h);
}

static void inform(exchange *x, uint16_t status, const http_field *fields, uint32_t count)
{
    h1 *h = x->conn->session;
    put_status(h, status);
    put_fields(h, fields, count);
    put_text(h, "\r\n");
    awake(h);
}

static void pause_body(exchange *x, bool paused)
{
    h1 *h = x->conn->session;
    h->paused = paused;
    if (!paused) {
        awake(h);
    }
}

static void take_over(exchange *x, const http_answer *answer)
{
    h1 *h = x->conn->session;
    h->tunnel = true;
    h->keep = false;
    put_status(h, answer->status);
    put_fields(h, answer->fields, answer->field_count);
    put_text(h, "connection: upgrade\r\n\r\n");
    awake(h);
}

const http_carrier h1_carrier = {
    .name = "h1",
    .answer = answer_all,
    .start = start,
    .write = write_some,
    .finish = finish,
    .abort = abort_answer,
    .inform = inform,
    .pause = pause_body,
    .take_over = take_over,
};
