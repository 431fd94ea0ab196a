/*
 * exchange.c -- exchanges: their memory, their beginning, what handlers call.
 *
 *     exchange_begin:  method ─► path ─► route ─► method allowed? ─► right? ─► body small enough? ─► route.begin
 *                         400 ◄────┘  404 ◄┘     405, OPTIONS ◄┘    401 ◄┘                413 ◄┘
 *
 * What is refused on the way never reaches a handler, and has no `gone`.
 *
 * An exchange is a block with room behind it for its head and for what its handler asks for; only what does not fit is
 * allocated.  Blocks go back to their worker, which keeps BLOCKS_KEPT of them.
 *
 * Invariants: `begun` is true from route.begin to route.gone.  After DONE the carrier is not called any more.
 */
#include "daemon/http/exchange.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "daemon/api/api.h"
#include "daemon/http/carrier.h"
#include "daemon/http/priority.h"
#include "daemon/http/routes.h"
#include "daemon/server.h"

enum { ROOM = 4096, ALIGN = 16, BLOCKS_KEPT = 256, FAIL_TEXT_MAX = 512 };

/* Memory beyond the room. */
typedef struct chunk {
    struct chunk *next;
    size_t size;
    _Alignas(ALIGN) unsigned char data[];
} chunk;

typedef struct block {
    exchange x; /* first */
    struct block *next;
    chunk *chunks;
    size_t used;
    bool begun;
    _Alignas(ALIGN) unsigned char room[ROOM];
} block;

struct http_worker {
    worker *worker;
    block *free;
    uint32_t free_count;
    uint64_t next_id;
    uint64_t date_ns; /* monotonic; when the date was made */
    char date[HTTP_DATE_SIZE + 1];
    http_known known;
    http_field fields[HTTP1_FIELDS_MAX];
};

/* --- a worker's --------------------------------------------------------------------------- */

brisk_err http_worker_create(worker *w, http_worker **ret)
{
    const brisk_alloc *alloc = w->server->alloc;
    http_worker *http = alloc->acquire(alloc->ctx, sizeof *http, _Alignof(http_worker));
    if (http == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(http, 0, sizeof *http);
    http->worker = w;
    http_known_init(&http->known, alloc, &w->http_known);
    *ret = http;
    return BRISK_OK;
}

void http_worker_destroy(http_worker *http)
{
    if (http == NULL) {
        return;
    }
    const brisk_alloc *alloc = http->worker->server->alloc;
    while (http->free != NULL) {
        block *b = http->free;
        http->free = b->next;
        alloc->release(alloc->ctx, b, sizeof *b, _Alignof(block));
    }
    http_known_forget(&http->known);
    alloc->release(alloc->ctx, http, sizeof *http, _Alignof(http_worker));
}

http_known *http_worker_known(http_worker *http)
{
    return &http->known;
}

http_field *http_worker_fields(http_worker *http)
{
    return http->fields;
}

void http_date_format(char text[HTTP_DATE_SIZE + 1], uint64_t seconds)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t when = (time_t)seconds;
    struct tm tm;
    if (gmtime_r(&when, &tm) == NULL || tm.tm_year > 8099 || tm.tm_year < -900) {
        when = 0;
        (void)gmtime_r(&when, &tm);
    }
    (void)snprintf(text, HTTP_DATE_SIZE + 1, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
                   days + 3 * (tm.tm_wday % 7), (unsigned)tm.tm_mday % 100,
                   months + 3 * (tm.tm_mon % 12), ((unsigned)tm.tm_year + 1900) % 10000,
                   (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
                   (unsigned)tm.tm_sec % 100);
}

const char *http_worker_date(http_worker *http)
{
    worker *w = http->worker;
    /* Half a second at most behind: w->now_ns is of this round. */
    if (http->date[0] == '\0' || w->now_ns - http->date_ns >= UINT64_C(500000000)) {
        http->date_ns = w->now_ns;
        http_date_format(http->date, brisk_clock_wall_ns(w->server->clock) / 1000000000);
    }
    return http->date;
}

/* --- memory ------------------------------------------------------------------------------- */

static const brisk_alloc *alloc_of(const exchange *x)
{
    return x->worker->server->alloc;
}

exchange *exchange_open(worker *w, conn *c, const http_carrier *carrier)
{
    http_worker *http = w->http;
    block *b = http->free;
    if (b != NULL) {
        http->free = b->next;
        http->free_count--;
    } else {
        const brisk_alloc *alloc = w->server->alloc;
        b = alloc->acquire(alloc->ctx, sizeof *b, _Alignof(block));
        if (b == NULL) {
            return NULL;
        }
    }
    b->next = NULL;
    b->chunks = NULL;
    b->used = 0;
    b->begun = false;
    b->x = (exchange){.carrier = carrier,
                      .conn = c,
                      .worker = w,
                      .content_length = HTTP_LENGTH_UNKNOWN,
                      .id = ++http->next_id << 6 | w->index};
    return &b->x;
}

void *exchange_alloc(exchange *x, size_t size)
{
    block *b = (block *)x;
    if (size <= ROOM && b->used <= ROOM - size) {
        void *at = b->room + b->used;
        b->used += (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
        return at;
    }
    if (size > SIZE_MAX - sizeof(chunk)) {
        return NULL;
    }
    chunk *more = alloc_of(x)->acquire(alloc_of(x)->ctx, sizeof *more + size, _Alignof(chunk));
    if (more == NULL) {
        return NULL;
    }
    more->size = size;
    more->next = b->chunks;
    b->chunks = more;
    return more->data;
}

void *exchange_keep(exchange *x, const void *data, size_t size)
{
    void *copy = exchange_alloc(x, size);
    if (copy != NULL && size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

void exchange_close(exchange *x)
{
    block *b = (block *)x;
    const brisk_alloc *alloc = alloc_of(x);
    http_worker *http = x->worker->http;
    x->state = EXCHANGE_DONE;
    if (x->worker->server->api != NULL) {
        x->worker->clock_ns = brisk_clock_now_ns(x->worker->server->clock);
        http_observe_over(x->worker->server->api->observer, x->worker->index, x,
                          x->worker->clock_ns);
    }
    if (x->undo != NULL) {
        x->undo(x);
    }
    if (b->begun && x->route->gone != NULL) {
        x->route->gone(x);
    }
    b->begun = false;
    while (b->chunks != NULL) {
        chunk *more = b->chunks;
        b->chunks = more->next;
        alloc->release(alloc->ctx, more, sizeof *more + more->size, _Alignof(chunk));
    }
    if (http->free_count < BLOCKS_KEPT) {
        b->next = http->free;
        http->free = b;
        http->free_count++;
    } else {
        alloc->release(alloc->ctx, b, sizeof *b, _Alignof(block));
    }
}

/* --- the request -------------------------------------------------------------------------- */

const http_text *exchange_field_sized(const exchange *x, const char *name, size_t size)
{
    for (uint32_t i = 0; i < x->field_count; i++) {
        const http_field *f = &x->fields[i];
        if (f->name.size == size && memcmp(f->name.data, name, size) == 0) {
            return &f->value;
        }
    }
    return NULL;
}

brisk_err exchange_fields(const exchange *x, const char *name, brisk_arena *arena, http_text *ret)
{
    size_t name_size = strlen(name);
    size_t size = 0;
    for (uint32_t i = 0; i < x->field_count; i++) {
        const http_field *f = &x->fields[i];
        if (f->name.size == name_size && memcmp(f->name.data, name, name_size) == 0) {
            size += f->value.size + 2;
        }
    }
    char *all = brisk_arena_alloc(arena, size + 1);
    if (all == NULL) {
        return BRISK_ERR_NOMEM;
    }
    size = 0;
    bool any = false;
    for (uint32_t i = 0; i < x->field_count; i++) {
        const http_field *f = &x->fields[i];
        if (f->name.size != name_size || memcmp(f->name.data, name, name_size) != 0) {
            continue;
        }
        if (any) {
            memcpy(all + size, ", ", 2);
            size += 2;
        }
        any = true;
        memcpy(all + size, f->value.data, f->value.size);
        size += f->value.size;
    }
    all[size] = '\0';
    *ret = (http_text){.data = all, .size = size};
    return BRISK_OK;
}

static bool changes_something(http_method method)
{
    return (method & (HTTP_GET | HTTP_HEAD | HTTP_OPTIONS)) == 0;
}

/* "allow" for the route, or for OPTIONS of everything. */
static http_text list_methods(uint32_t methods, char *text, size_t size)
{
    static const struct {
        http_method method;
        const char *name;
    } names[] = {
        {HTTP_GET, "GET"},     {HTTP_HEAD, "HEAD"},       {HTTP_POST, "POST"},
        {HTTP_PUT, "PUT"},     {HTTP_DELETE, "DELETE"},   {HTTP_PATCH, "PATCH"},
        {HTTP_PURGE, "PURGE"}, {HTTP_OPTIONS, "OPTIONS"}, {HTTP_CONNECT, "CONNECT"},
    };
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((methods & names[i].method) != 0) {
            used += (size_t)snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "",
                                     names[i].name);
        }
    }
    return (http_text){.data = text, .size = used};
}

/* The method is not the route's: OPTIONS is answered for it. */
static void answer_methods(exchange *x, uint32_t methods)
{
    char text[96];
    http_field allow = {.name = HTTP_TEXT("allow"),
                        .value = list_methods(methods | HTTP_OPTIONS, text, sizeof text)};
    http_answer answer = {.status = 204, .fields = &allow, .field_count = 1};
    if (x->method != HTTP_OPTIONS) {
        static const char words[] = "this method is not for this path\n";
        answer.status = x->method == HTTP_OTHER ? 501 : 405;
        answer.body = (http_body){.kind = HTTP_BODY_BYTES, .data = words, .size = sizeof words - 1};
    }
    exchange_answer(x, &answer);
}

/* Has who asks the right that the route wants?  False: it was answered. */
static bool check_right(exchange *x)
{
    const server *s = x->worker->server;
    http_right wanted = changes_something(x->method) ? x->route->right_change : x->route->right;
    if (wanted == HTTP_RIGHT_NONE) {
        return true;
    }
    if (s->http_admit != NULL) {
        return s->http_admit(x);
    }
    x->right = s->http_right_of != NULL ? s->http_right_of(x)
               : s->unprotected         ? HTTP_RIGHT_CHANGE
                                        : HTTP_RIGHT_NONE;
    if (x->right >= wanted) {
        return true;
    }
    exchange_fail(x, 401, "this needs a token");
    return false;
}

/* "example.org." and "example.org.:80" without the root's dot: one host has one name here, in routes, in caches' keys and
 * for upstreams.  False: no memory. */
static bool drop_root_dot(exchange *x)
{
    http_text *a = &x->authority;
    const char *colon = a->size > 0 ? memrchr(a->data, ':', a->size) : NULL;
    size_t host = colon != NULL ? (size_t)(colon - a->data) : a->size;
    if (host < 2 || a->data[host - 1] != '.') {
        return true;
    }
    if (host == a->size) {
        a->size--;
        return true;
    }
    char *copy = exchange_alloc(x, a->size);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, a->data, host - 1);
    memcpy(copy + host - 1, a->data + host, a->size - host);
    *a = (http_text){copy, a->size - 1};
    return true;
}

void exchange_begin(exchange *x)
{
    x->begun_ns = worker_clock(x->worker); /* when the one before it was over */
    x->method = http_method_of(x->method_text);
    if (!drop_root_dot(x)) {
        exchange_fail(x, 503, "out of memory");
        return;
    }
    if (x->target.size == 1 && x->target.data[0] == '*') {
        x->path = x->target;
        answer_methods(x, HTTP_GET | HTTP_HEAD | HTTP_POST | HTTP_PUT | HTTP_DELETE | HTTP_PATCH);
        return;
    }
    if (x->method == HTTP_CONNECT && (x->target.size == 0 || x->target.data[0] != '/')) {
        x->path = HTTP_TEXT("");
        exchange_fail(x, 501, "this is no tunnel");
        return;
    }
    if (!exchange_set_path(x)) {
        exchange_fail(x, 400, "the path is wrong");
        return;
    }
    x->route = http_routes_find(x->worker->server->http_routes, x);
    if (x->route == NULL) {
        exchange_fail(x, 404, "there is nothing here");
        return;
    }
    http_priority_choose(x, x->worker->server->http_priorities);
    uint32_t methods = x->route->methods;
    methods |= (methods & HTTP_GET) != 0 ? (uint32_t)HTTP_HEAD : 0U;
    if ((methods & x->method) == 0) {
        answer_methods(x, methods);
        return;
    }
    if (!check_right(x)) {
        return;
    }
    if (x->has_body && x->content_length > 0 && (uint64_t)x->content_length > x->route->body_max) {
        exchange_fail(x, 413, "the body is too large");
        return;
    }
    ((block *)x)->begun = true;
    x->route->begin(x);
}

void exchange_note(exchange *x, exchange_mark mark)
{
    x->marks[mark] = x->worker->loop.now_ns;
}

static bool is_begun(const exchange *x)
{
    return ((const block *)x)->begun;
}

void exchange_take_body(exchange *x, const void *data, size_t size)
{
    if (size == 0) {
        return;
    }
    x->body_read += size;
    if (x->state == EXCHANGE_DONE || !is_begun(x)) {
        return;
    }
    if (x->body_read > x->route->body_max) {
        if (x->state == EXCHANGE_OPEN) {
            exchange_fail(x, 413, "the body is too large");
        } else {
            exchange_abort(x);
        }
        return;
    }
    if (x->route->body != NULL) {
        x->route->body(x, data, size);
    }
}

void exchange_end_body(exchange *x)
{
    x->body_over = true;
    exchange_note(x, EXCHANGE_BODY_OVER);
    if (x->state != EXCHANGE_DONE && is_begun(x) && x->route->end != NULL) {
        x->route->end(x);
    }
}

void exchange_tell_writable(exchange *x)
{
    if (x->state == EXCHANGE_STARTED && is_begun(x) && x->route->writable != NULL) {
        x->route->writable(x);
    }
}

/* --- the answer --------------------------------------------------------------------------- */

/* Whatever an answer's body holds is given back. */
static void drop_body(const http_body *body)
{
    if (body->kind == HTTP_BODY_VALUE) {
        brisk_value_unref(body->value);
    } else if (body->kind == HTTP_BODY_FILE && body->release != NULL) {
        body->release(body->ctx);
    }
}

static bool is_carriers(http_text name)
{
    return (name.size == 14 && memcmp(name.data, "content-length", 14) == 0) ||
           (name.size == 17 && memcmp(name.data, "transfer-encoding", 17) == 0) ||
           (name.size == 10 && memcmp(name.data, "connection", 10) == 0);
}

static void check_answer(const http_answer *answer, uint16_t lowest)
{
    BRISK_ASSERT(answer->status >= lowest && answer->status <= 999);
    for (uint32_t i = 0; i < answer->field_count; i++) {
        BRISK_ASSERT(!is_carriers(answer->fields[i].name));
    }
}

void exchange_answer(exchange *x, const http_answer *answer)
{
    check_answer(answer, 200);
    if (x->state != EXCHANGE_OPEN) {
        drop_body(&answer->body); /* it was given up already, or answered for the handler */
        return;
    }
    x->status = answer->status;
    x->state = EXCHANGE_DONE;
    exchange_note(x, EXCHANGE_ANSWERED);
    x->carrier->answer(x, answer);
}

/* `text` as the inside of a string of JSON; at most `size` - 1 bytes. */
static void escape(const char *text, char *to, size_t size)
{
    size_t used = 0;
    for (; *text != '\0' && used + 7 < size; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            to[used++] = '\\';
            to[used++] = *text;
        } else if (c < 0x20) {
            used += (size_t)snprintf(to + used, size - used, "\\u%04x", c);
        } else {
            to[used++] = *text;
        }
    }
    to[used] = '\0';
}

static bool is_api(const exchange *x)
{
    return x->path.size >= 3 && memcmp(x->path.data, "/v1", 3) == 0 &&
           (x->path.size == 3 || x->path.data[3] == '/');
}

void exchange_fail(exchange *x, uint16_t status, const char *format, ...)
{
    char words[FAIL_TEXT_MAX];
    char escaped[2 * FAIL_TEXT_MAX];
    char text[2 * FAIL_TEXT_MAX + 96];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(words, sizeof words, format, list);
    va_end(list);
    http_field fields[2] = {
        {.name = HTTP_TEXT("content-type"), .value = HTTP_TEXT("text/plain; charset=utf-8")},
        {.name = HTTP_TEXT("www-authenticate"), .value = HTTP_TEXT("Bearer")}};
    if (is_api(x)) {
        fields[0].value = HTTP_TEXT("application/json");
        escape(words, escaped, sizeof escaped);
        (void)snprintf(text, sizeof text, "{\"error\": {\"code\": \"%s\", \"message\": \"%s\"}}\n",
                       http_error_code(status), escaped);
    } else {
        (void)snprintf(text, sizeof text, "%s\n", words);
    }
    http_answer answer = {
        .status = status,
        .fields = fields,
        .field_count = status == 401 ? 2 : 1,
        .body = {.kind = HTTP_BODY_BYTES, .data = text, .size = strlen(text)},
    };
    exchange_answer(x, &answer);
}

void exchange_start(exchange *x, const http_answer *answer)
{
    check_answer(answer, 200);
    BRISK_ASSERT(answer->body.kind == HTTP_BODY_NONE);
    if (x->state != EXCHANGE_OPEN) {
        return;
    }
    x->status = answer->status;
    x->state = EXCHANGE_STARTED;
    exchange_note(x, EXCHANGE_ANSWERED);
    x->carrier->start(x, answer);
}

bool exchange_write(exchange *x, const void *data, size_t size)
{
    if (x->state != EXCHANGE_STARTED || size == 0) {
        return x->state == EXCHANGE_STARTED;
    }
    return x->carrier->write(x, data, size);
}

void exchange_finish(exchange *x)
{
    if (x->state == EXCHANGE_STARTED) {
        x->state = EXCHANGE_DONE;
        x->carrier->finish(x);
    }
}

void exchange_abort(exchange *x)
{
    if (x->state != EXCHANGE_DONE) {
        x->state = EXCHANGE_DONE;
        x->carrier->abort(x);
    }
}

void exchange_inform(exchange *x, uint16_t status, const http_field *fields, uint32_t count)
{
    BRISK_ASSERT(status > 101 && status < 200);
    if (x->state == EXCHANGE_OPEN && x->version > 10) {
        x->carrier->inform(x, status, fields, count);
    }
}

void exchange_pause(exchange *x, bool paused)
{
    if (x->state != EXCHANGE_DONE) {
        x->carrier->pause(x, paused);
    }
}

void exchange_take_over(exchange *x, const http_answer *answer)
{
    check_answer(answer, 101);
    if (x->state != EXCHANGE_OPEN) {
        return;
    }
    x->status = answer->status;
    x->state = EXCHANGE_STARTED;
    x->carrier->take_over(x, answer);
}
