/*
 * websocket.c -- GET /v1/ws: events and the progress of jobs over one connection, both ways.
 *
 *     client   {"subscribe": ["metrics", "jobs"]}    what /v1/events has, anew with each message
 *              {"job": "ID"}                         the progress of that job, until its end
 *     server   {"event": "metrics", "data": {...}}   {"event": "progress", "data": {...}}
 *              {"event": "error", "data": {"message": "..."}}
 *
 * A message that is wrong is answered with an error; frames that are wrong end the connection with
 * the code that RFC 6455 names.  A page of another origin gets no connection (403): browsers send cookies
 * and reach this machine's own ports whatever page they show.
 *
 * Threads: the worker's.  Source: RFC 6455.
 */
#include "daemon/api/jobs_internal.h"

#include <string.h>

#include <brisk/json_read.h>

#include "daemon/api/answer.h"
#include "daemon/api/api.h"
#include "wire/websocket.h"

enum { JOBS_WATCHED_MAX = 64 };

typedef struct watched {
    job_entry *entry; /* with a reference */
    uint64_t signature;
    uint64_t sent_ns;
} watched;

typedef struct session {
    jobs_table *jobs;
    exchange *x;
    ws_reader reader;
    events_subscriber *events; /* NULL: none are wanted */
    uint32_t topics;
    watched watched[JOBS_WATCHED_MAX];
    uint32_t watched_count;
    bool choked;
    bool over;            /* a close was sent */
    struct session *next; /* of the worker */
    struct session *previous;
} session;

/* --- sending ------------------------------------------------------------------------------ */

static bool send_frame(session *s, ws_opcode opcode, const void *data, size_t size)
{
    unsigned char head[WS_HEAD_MAX];
    if (s->over) {
        return false;
    }
    bool open = exchange_write(s->x, head, ws_head(head, opcode, size));
    open = exchange_write(s->x, data, size) && open;
    s->choked = !open;
    return open;
}

static void close_with(session *s, uint16_t code)
{
    unsigned char payload[2] = {(unsigned char)(code >> 8), (unsigned char)code};
    if (!s->over) {
        (void)send_frame(s, WS_CLOSE, payload, code == WS_CODE_NONE ? 0 : sizeof payload);
        s->over = true;
        exchange_finish(s->x);
    }
}

/* {"event": ..., "data": ...}; the data is JSON. */
static bool send_event(session *s, const char *event, const char *json, size_t size)
{
    brisk_str text;
    brisk_str_init(&text, s->jobs->alloc, JOBS_TEXT_MAX);
    brisk_str_printf(&text, "{\"event\":\"%s\",\"data\":", event);
    brisk_str_append(&text, json, size);
    brisk_str_add(&text, "}");
    bool open = true;
    if (brisk_str_err(&text) == BRISK_OK) {
        open = send_frame(s, WS_TEXT, brisk_str_text(&text), brisk_str_size(&text));
    }
    brisk_str_deinit(&text);
    return open;
}

static void send_error(session *s, const char *message)
{
    brisk_str text;
    brisk_json json;
    brisk_str_init(&text, s->jobs->alloc, JOBS_TEXT_MAX);
    brisk_json_init(&json, brisk_str_out(&text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "message", message);
    brisk_json_object_end(&json);
    if (brisk_json_finish(&json) == BRISK_OK) {
        (void)send_event(s, "error", brisk_str_text(&text), brisk_str_size(&text) - 1);
    }
    brisk_str_deinit(&text);
}

static bool write_event(exchange *x, const char *event, const char *json, size_t size)
{
    session *s = x->handler;
    return size == 0 ? send_frame(s, WS_PING, "", 0) : send_event(s, event, json, size);
}

/* --- jobs --------------------------------------------------------------------------------- */

/* What has changed of a job; true: it is over. */
static bool tell_job(session *s, watched *w, uint64_t now_ns)
{
    job_entry *e = w->entry;
    (void)pthread_mutex_lock(&s->jobs->lock);
    bool over = job_state_is_over(e->state);
    uint64_t signature = job_signature(e);
    (void)pthread_mutex_unlock(&s->jobs->lock);
    if (!over && signature == w->signature && now_ns - w->sent_ns < UINT64_C(1000000000)) {
        return false;
    }
    w->signature = signature;
    w->sent_ns = now_ns;
    brisk_str text;
    brisk_str_init(&text, s->jobs->alloc, JOBS_TEXT_MAX);
    job_write_status(e, &text);
    size_t size = brisk_str_size(&text);
    if (brisk_str_err(&text) == BRISK_OK && size > 0) {
        (void)send_event(s, over ? "end" : "progress", brisk_str_text(&text), size - 1);
    }
    brisk_str_deinit(&text);
    return over;
}

static void tell_jobs(session *s)
{
    uint64_t now_ns = jobs_now_ns(s->jobs);
    for (uint32_t i = 0; i < s->watched_count && !s->choked && !s->over;) {
        if (tell_job(s, &s->watched[i], now_ns)) {
            job_entry_unref(s->watched[i].entry);
            s->watched[i] = s->watched[--s->watched_count];
        } else {
            i++;
        }
    }
}

static void watch_job(session *s, const brisk_json_node *id)
{
    bool earlier;
    job_entry *e = NULL;
    if (s->watched_count == JOBS_WATCHED_MAX) {
        send_error(s, "too many jobs are watched");
        return;
    }
    if (id->kind == BRISK_JSON_STRING) {
        e = jobs_find(s->jobs, (http_text){id->text, id->size}, &earlier);
    }
    if (e == NULL) {
        send_error(s, "there is no such job");
        return;
    }
    s->watched[s->watched_count++] = (watched){.entry = e};
    tell_jobs(s);
}

/* --- messages ----------------------------------------------------------------------------- */

static void subscribe(session *s, const brisk_json_node *list)
{
    char names[128] = "";
    size_t used = 0;
    const brisk_json_node *at = list->kind == BRISK_JSON_ARRAY ? list->child : NULL;
    for (; at != NULL; at = at->next) {
        int length = snprintf(names + used, sizeof names - used, "%s%.*s", used > 0 ? "," : "",
                              at->kind == BRISK_JSON_STRING ? (int)at->size : 1,
                              at->kind == BRISK_JSON_STRING ? at->text : "?");
        used += length > 0 ? (size_t)length : 0;
        if (used >= sizeof names) {
            break;
        }
    }
    uint32_t topics = used > 0 && used < sizeof names ? events_parse_topics(names) : 0;
    if (topics == 0 && (used > 0 || list->kind != BRISK_JSON_ARRAY)) {
        send_error(s, "topics are metrics, jobs, alerts, log");
        return;
    }
    if (s->events != NULL) {
        events_unsubscribe(s->events);
        s->events = NULL;
    }
    if (topics != 0) {
        s->events = events_subscribe(s->jobs->server->api->events, s->x, topics, write_event);
        if (s->events == NULL) {
            send_error(s, "too many listen already");
        }
    }
}

static void take_message(session *s)
{
    brisk_arena *arena = NULL;
    const brisk_json_node *root = NULL;
    brisk_errinfo info = {.text = "out of memory"};
    brisk_err err = brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 16384}, &arena);
    if (err == BRISK_OK) {
        err = brisk_json_read((const char *)s->reader.payload, s->reader.payload_size,
                              brisk_arena_as_alloc(arena), &root, &info);
    }
    const brisk_json_node *topics = err == BRISK_OK ? brisk_json_get(root, "subscribe") : NULL;
    const brisk_json_node *job = err == BRISK_OK ? brisk_json_get(root, "job") : NULL;
    if (err != BRISK_OK) {
        send_error(s, info.text);
    } else if (topics == NULL && job == NULL) {
        send_error(s, "{\"subscribe\": [...]} or {\"job\": ...} is expected");
    }
    if (topics != NULL) {
        subscribe(s, topics);
    }
    if (job != NULL) {
        watch_job(s, job);
    }
    brisk_arena_destroy(arena);
}

static void body(exchange *x, const void *data, size_t size)
{
    session *s = x->handler;
    const unsigned char *at = data;
    while (s != NULL && size > 0 && !s->over) {
        size_t used = 0;
        switch (ws_read(&s->reader, at, size, &used)) {
        case WS_MORE:
        case WS_EVENT_PONG: break;
        case WS_EVENT_TEXT: take_message(s); break;
        case WS_EVENT_BINARY: close_with(s, WS_CODE_UNSUPPORTED); break;
        case WS_EVENT_PING:
            (void)send_frame(s, WS_PONG, s->reader.payload, s->reader.payload_size);
            break;
        case WS_EVENT_CLOSE:
            close_with(s, s->reader.code == WS_CODE_NONE ? WS_CODE_NORMAL : s->reader.code);
            break;
        case WS_EVENT_ERROR: close_with(s, s->reader.code); break;
        }
        at += used;
        size -= used;
    }
}

/* --- life --------------------------------------------------------------------------------- */

static void writable(exchange *x)
{
    session *s = x->handler;
    if (s != NULL) {
        s->choked = false;
        if (s->events != NULL) {
            events_resume(s->events);
        }
        tell_jobs(s);
    }
}

static void gone(exchange *x)
{
    session *s = x->handler;
    if (s == NULL) {
        return;
    }
    x->handler = NULL;
    if (s->events != NULL) {
        events_unsubscribe(s->events);
    }
    for (uint32_t i = 0; i < s->watched_count; i++) {
        job_entry_unref(s->watched[i].entry);
    }
    session **first = (session **)&s->jobs->sockets[x->worker->index];
    *(s->previous != NULL ? &s->previous->next : first) = s->next;
    if (s->next != NULL) {
        s->next->previous = s->previous;
    }
    jobs_give(s->jobs, s, sizeof *s, _Alignof(session));
}

void job_sockets_tick(jobs_table *j, worker *w)
{
    bool stopping = atomic_load_explicit(&j->server->stopping, memory_order_relaxed);
    for (session *s = j->sockets[w->index], *next; s != NULL; s = next) {
        next = s->next;
        if (stopping) {
            close_with(s, WS_CODE_GOING_AWAY);
        } else {
            tell_jobs(s);
        }
    }
}

/* The page that asks is this node's own, or there is no page. */
static bool is_own_origin(const exchange *x)
{
    const http_text *origin = exchange_field(x, "origin");
    if (origin == NULL) {
        return true;
    }
    const char *host = memmem(origin->data, origin->size, "://", 3);
    size_t skip = host != NULL ? (size_t)(host - origin->data) + 3 : 0;
    return host != NULL && origin->size - skip == x->authority.size &&
           memcmp(origin->data + skip, x->authority.data, x->authority.size) == 0;
}

static bool has_word(const exchange *x, const char *name, const char *word)
{
    const http_text *field = exchange_field(x, name);
    return field != NULL && field->size == strlen(word) &&
           strncasecmp(field->data, word, field->size) == 0;
}

static bool open_session(jobs_table *j, exchange *x)
{
    session *s = jobs_take(j, sizeof *s, _Alignof(session));
    if (s == NULL) {
        return false;
    }
    memset(s, 0, sizeof *s);
    s->jobs = j;
    s->x = x;
    ws_reader_init(&s->reader);
    s->next = j->sockets[x->worker->index];
    if (s->next != NULL) {
        s->next->previous = s;
    }
    j->sockets[x->worker->index] = s;
    x->handler = s;
    return true;
}

static void begin(exchange *x)
{
    jobs_table *j = x->route->ctx;
    const http_text *key = exchange_field(x, "sec-websocket-key");
    char accept[WS_ACCEPT_SIZE + 1];
    x->handler = NULL;
    if (x->version != 11 || !has_word(x, "upgrade", "websocket") || key == NULL ||
        !ws_accept(key->data, key->size, accept)) {
        api_fail(x, 400, "invalid", "a WebSocket of HTTP/1.1 is expected");
    } else if (!has_word(x, "sec-websocket-version", "13")) {
        static const http_field version = {{"sec-websocket-version", 21}, {"13", 2}};
        exchange_answer(x, &(http_answer){.status = 426, .fields = &version, .field_count = 1});
    } else if (!is_own_origin(x)) {
        api_fail(x, 403, "forbidden", "not from a page of another origin");
    } else if (!open_session(j, x)) {
        api_fail_err(x, BRISK_ERR_NOMEM, "the connection");
    } else {
        http_field fields[] = {{{"upgrade", 7}, {"websocket", 9}},
                               {{"sec-websocket-accept", 20}, {accept, WS_ACCEPT_SIZE}}};
        exchange_take_over(x, &(http_answer){.status = 101, .fields = fields, .field_count = 2});
    }
}

brisk_err job_sockets_add_route(jobs_table *j, http_routes *routes)
{
    j->route_socket = (http_route){.name = "api.ws",
                                   .methods = HTTP_GET,
                                   .right = HTTP_RIGHT_READ,
                                   .right_change = HTTP_RIGHT_CHANGE,
                                   .priority = {.urgency = 1},
                                   .body_max = UINT64_MAX,
                                   .begin = begin,
                                   .body = body,
                                   .writable = writable,
                                   .gone = gone,
                                   .ctx = j};
    return http_routes_add(routes, "", "/v1/ws", &j->route_socket);
}
