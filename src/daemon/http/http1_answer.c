/*
 * http1_answer.c -- the carrier of HTTP/1.1: answers.
 *
 * Where bytes go: while the connection is worked on, behind what its worker writes; else behind what is pending, and the
 * connection is looked at after this round.
 *
 * How an answer ends is said in its head: by content-length when the size is known, in chunks when it is not, by the
 * connection's end for HTTP/1.0.
 */
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

size_t h1_unsent(const h1 *h)
{
    const conn *c = h->conn;
    const worker *w = c->worker;
    return conn_unsent(c) + (c->working ? w->out.size + w->out_parts.left : 0);
}

/* --- heads -------------------------------------------------------------------------------- */

/* A head is measured, then written into one piece of room. */
typedef struct head {
    h1 *h;
    char *at; /* NULL: no memory, which the writer remembers */
    char *start;
} head;

enum {
    /* A status' line that no table has, a date, a length, what is said of the connection, an end. */
    HEAD_FIXED = 64 + 40 + 48 + 64 + 8,
};

static void add(head *to, const char *text, size_t size)
{
    memcpy(to->at, text, size);
    to->at += size;
}

#define ADD(to, literal) add(to, literal, sizeof(literal) - 1)

static void add_number(head *to, uint64_t number)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[sizeof digits - ++count] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    add(to, digits + sizeof digits - count, count);
}

static size_t size_of_fields(const http_field *fields, uint32_t count)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        size += fields[i].name.size + fields[i].value.size + 4;
    }
    return size;
}

/* Room for a head with those fields, and its first line; false: no memory. */
static bool open_head(head *to, h1 *h, uint16_t status, size_t fields_size)
{
    to->h = h;
    to->start = (char *)conn_room(h->conn, HEAD_FIXED + fields_size);
    to->at = to->start;
    if (to->start == NULL) {
        h->aborted = true;
        return false;
    }
    http_text line = http_status_line(status);
    add(to, line.data, line.size);
    if (line.size == 0) {
        ADD(to, "HTTP/1.1 ");
        add_number(to, status);
        ADD(to, " \r\n");
    }
    return true;
}

static void close_head(head *to)
{
    ADD(to, "\r\n");
    conn_filled(to->h->conn, (size_t)(to->at - to->start));
}

static void add_date(head *to)
{
    ADD(to, "date: ");
    add(to, http_worker_date(to->h->conn->worker->http), HTTP_DATE_SIZE);
    ADD(to, "\r\n");
}

/* Is there a date among them?  A proxy passes on the origin's. */
static bool add_fields(head *to, const http_field *fields, uint32_t count)
{
    bool dated = false;
    for (uint32_t i = 0; i < count; i++) {
        http_text name = fields[i].name;
        http_text value = fields[i].value;
        const unsigned char *bytes = (const unsigned char *)value.data;
        if (http1_find_control(HTTP1_BEST, bytes, value.size) != value.size) {
            continue; /* it would end the line: a handler passed on what it should have looked at */
        }
        dated = dated || (name.size == 4 && memcmp(name.data, "date", 4) == 0);
        add(to, name.data, name.size);
        ADD(to, ": ");
        add(to, value.data, value.size);
        ADD(to, "\r\n");
    }
    return dated;
}

static void add_length(head *to, int64_t length)
{
    ADD(to, "content-length: ");
    add_number(to, (uint64_t)length);
    ADD(to, "\r\n");
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
    uint32_t most = s->limits.http.requests_max;
    return h->client_keeps && !h->conn->ended && (most == 0 || h->requests < most) &&
           !atomic_load_explicit(&s->stopping, memory_order_relaxed);
}

/* How an answer's head says where it ends. */
typedef enum ending { BY_NOTHING, BY_LENGTH, BY_CHUNKS } ending;

static void put_head(h1 *h, const http_answer *answer, ending how, int64_t length)
{
    head to;
    if (!open_head(&to, h, answer->status, size_of_fields(answer->fields, answer->field_count))) {
        return;
    }
    if (!add_fields(&to, answer->fields, answer->field_count)) {
        add_date(&to);
    }
    if (how == BY_LENGTH) {
        add_length(&to, length);
    } else if (how == BY_CHUNKS) {
        ADD(&to, "transfer-encoding: chunked\r\n");
    }
    if (!h->keep) {
        ADD(&to, "connection: close\r\n");
    } else if (h->x->version == 10) {
        ADD(&to, "connection: keep-alive\r\n");
    }
    close_head(&to);
}

void h1_refuse(h1 *h, uint16_t status, const char *words)
{
    static const http_field type = {.name = HTTP_TEXT_INIT("content-type"),
                                    .value = HTTP_TEXT_INIT("text/plain; charset=utf-8")};
    head to;
    if (!open_head(&to, h, status, size_of_fields(&type, 1))) {
        return;
    }
    add_date(&to);
    (void)add_fields(&to, &type, 1);
    ADD(&to, "connection: close\r\n");
    add_length(&to, (int64_t)strlen(words) + 1);
    close_head(&to);
    h1_put(h, words, strlen(words));
    h1_put(h, "\n", 1);
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
    bool unknown = x->method == HTTP_HEAD && answer->body.kind == HTTP_BODY_NONE &&
                   answer->length == HTTP_LENGTH_UNKNOWN;
    bool says_length = !unknown && (!bodiless || (answer->status == 304 && length > 0));
    put_head(h, answer, says_length ? BY_LENGTH : BY_NOTHING, length);
    put_body(h, &answer->body, http_has_body(x, answer->status));
    awake(h);
}

static bool says_events(const http_answer *answer)
{
    static const http_text type = HTTP_TEXT_INIT("text/event-stream");
    for (uint32_t i = 0; i < answer->field_count; i++) {
        const http_field *f = &answer->fields[i];
        if (f->name.size == 12 && memcmp(f->name.data, "content-type", 12) == 0 &&
            f->value.size >= type.size && memcmp(f->value.data, type.data, type.size) == 0) {
            return true;
        }
    }
    return false;
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
    h->events = unknown && says_events(answer);
    bool says_length = !unknown && answer->status != 204;
    put_head(h, answer,
             says_length     ? BY_LENGTH
             : h->chunks_out ? BY_CHUNKS
                             : BY_NOTHING,
             answer->length);
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
        char line[24];
        int line_size = snprintf(line, sizeof line, "%zx\r\n", size);
        h1_put(h, line, (size_t)line_size);
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
        h1_put(h, "0\r\n\r\n", 5);
    }
    h->keep = h->keep && rest_is_short(h); /* a handler that began before the body was over */
    awake(h);
}

static void inform(exchange *x, uint16_t status, const http_field *fields, uint32_t count)
{
    h1 *h = x->conn->session;
    head to;
    if (open_head(&to, h, status, size_of_fields(fields, count))) {
        (void)add_fields(&to, fields, count);
        close_head(&to);
    }
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
    head to;
    if (open_head(&to, h, answer->status, size_of_fields(answer->fields, answer->field_count))) {
        (void)add_fields(&to, answer->fields, answer->field_count);
        ADD(&to, "connection: upgrade\r\n");
        close_head(&to);
    }
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
