/*
 * cache.c -- an entry over HTTP: GET, HEAD, PUT, DELETE, PURGE of /v1/cache/{key}.
 *
 *     begin ─► is the key in memory, or is there no disk? ─yes─► answer
 *                  └─ no: disk_want, and the answer comes from the task it posts
 *
 * A value up to KEYSPACE_SCRATCH is copied under the server's lock; a larger one is answered from where it lies, by
 * reference.  What a PUT sends is collected outside of the keyspace and counted with the unfinished requests of all
 * (server_keep), then stored whole: nobody sees half a value.  Its condition is judged under the same lock.
 *
 * An ETag is the hash of the bytes, so it is the same for the same value whoever stored it, and after a restart.
 *
 * Sources: RFC 9110 (9.3 methods, 13 conditions), RFC 5861 is not used here.
 */
#include "daemon/api/cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/api/answer.h"
#include "daemon/api/openapi.h"
#include "daemon/disk.h"
#include "daemon/server.h"

enum { FIELDS_MAX = 8, BODY_MAX = 512 << 20, GROW_MIN = 65536 };

/* An entry's request, from begin to gone. */
typedef struct request {
    disk_waiter waiter; /* first */
    server *server;
    exchange *x; /* NULL: it is gone, and the waiter's task frees this */
    resp_bytes key;
    bool waiting;
    bool looked; /* on disk: what memory says now is final */
    /* PUT */
    cache_life life;
    brisk_value *value;   /* of a body whose length was said */
    unsigned char *bytes; /* where it is filled in, or what has come so far */
    size_t size;
    size_t room;
    size_t kept;  /* counted by server_keep */
    bool refused; /* answered already */
    uint32_t tag_count;
    brisk_tag *tags;
    bool borrowed; /* it lies in the exchange's memory, and waits for nothing */
} request;

static void run_method(request *r);

/* Is it about many entries? */
static bool is_list(const exchange *x)
{
    return x->rest.size == 0 || x->method == HTTP_POST;
}

/* --- life --------------------------------------------------------------------------------- */

static void free_request(request *r)
{
    const brisk_alloc *alloc = r->server->alloc;
    brisk_value_unref(r->waiter.value);
    brisk_value_unref(r->value);
    if (r->value == NULL && r->bytes != NULL) {
        alloc->release(alloc->ctx, r->bytes, r->room, 1);
    }
    if (r->kept != 0) {
        server_let_go(r->server, r->kept);
    }
    if (!r->borrowed) {
        alloc->release(alloc->ctx, r, sizeof *r, _Alignof(request));
    }
}

static void run_waiter(loop_task *task)
{
    request *r = (request *)task;
    r->waiting = false;
    if (r->x == NULL) {
        free_request(r);
        return;
    }
    r->looked = true;
    run_method(r);
}

static void gone(exchange *x)
{
    if (is_list(x)) {
        cache_list_gone(x);
        return;
    }
    request *r = x->handler;
    if (r == NULL) {
        return;
    }
    x->handler = NULL;
    r->x = NULL;
    if (r->waiting) {
        server_lock(r->server);
        bool removed = disk_unwant(r->server, r->key, &r->waiter);
        server_unlock(r->server);
        if (!removed) {
            return; /* its task was posted: freed there.  The key went with the exchange, nobody reads it. */
        }
    }
    free_request(r);
}

static void fail_store(request *r, brisk_err err)
{
    switch ((int)err) {
    case BRISK_ERR_FULL: api_fail(r->x, 507, "full", "there is no room for the entry"); break;
    case BRISK_ERR_DECLINED:
    case BRISK_ERR_LIMIT: api_fail(r->x, 413, "too_large", "the value is too large"); break;
    case BRISK_ERR_INVALID: api_fail(r->x, 400, "invalid", "a tag is wrong"); break;
    default: api_fail_err(r->x, err, "the entry"); break;
    }
}

static void not_found(request *r)
{
    api_fail(r->x, 404, "not_found", "there is no such entry");
}

/* Under the lock: the entry in memory, or what the disk gave and memory did not keep. */
static bool open_view(request *r, keyspace_view *ret)
{
    if (keyspace_view_open(&r->server->keys, r->key, ret)) {
        return true;
    }
    brisk_value *value = r->waiter.value;
    if (value == NULL) {
        return false;
    }
    *ret = (keyspace_view){.data = brisk_value_data(value),
                           .size = (size_t)brisk_value_size(value),
                           .expires_at_ns = r->waiter.expires_at_ns,
                           .held = brisk_value_ref(value)};
    return true;
}

/* Under the lock: true when the disk is asked first. */
static bool wait_for_disk(request *r)
{
    r->waiting = !r->looked && disk_want(r->server, r->key, &r->waiter);
    r->looked = true; /* once */
    return r->waiting;
}

/* What waits may outlive its exchange: NULL: no memory for that. */
static request *to_own_memory(request *r)
{
    const brisk_alloc *alloc = r->server->alloc;
    request *own = alloc->acquire(alloc->ctx, sizeof *own, _Alignof(request));
    if (own != NULL) {
        *own = *r;
        own->borrowed = false;
        own->x->handler = own;
    }
    return own;
}

/* --- GET and HEAD -------------------------------------------------------------------------- */

/* An entry that was found; `value` NULL: the bytes are a copy in the exchange's memory. */
typedef struct found {
    const unsigned char *data;
    size_t size;
    brisk_value *value;
    uint64_t left_ns; /* of its life; UINT64_MAX: no end */
} found;

/* Under the lock.  Errors: NOT_FOUND, NOMEM. */
static brisk_err look_up(request *r, found *ret)
{
    server *s = r->server;
    keyspace_view view;
    if (!open_view(r, &view)) {
        return BRISK_ERR_NOT_FOUND;
    }
    *ret = (found){.data = view.data, .size = view.size, .left_ns = UINT64_MAX};
    if (view.expires_at_ns != 0) {
        ret->left_ns = view.expires_at_ns > s->wall_ns ? view.expires_at_ns - s->wall_ns : 0;
    }
    if (view.held != NULL) {
        ret->value = view.held; /* ours now */
        return BRISK_OK;
    }
    unsigned char *copy = exchange_alloc(r->x, view.size + 1);
    if (copy == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memcpy(copy, view.data, view.size);
    ret->data = copy;
    return BRISK_OK;
}

typedef struct fields {
    http_field list[FIELDS_MAX];
    uint32_t count;
    char etag[CACHE_ETAG_SIZE + 1];
    char control[48];
    char range[80];
} fields;

static void add_field(fields *f, const char *name, const char *value)
{
    BRISK_ASSERT(f->count < FIELDS_MAX);
    f->list[f->count++] = (http_field){{name, strlen(name)}, {value, strlen(value)}};
}

/* What says what the entry is: ETag and how long it lives. */
static void describe(fields *f, const found *entry)
{
    if (entry->size <= CACHE_ETAG_BYTES_MAX) {
        cache_etag(entry->data, entry->size, f->etag);
        add_field(f, "etag", f->etag);
    }
    if (entry->left_ns != UINT64_MAX) {
        (void)snprintf(f->control, sizeof f->control, "max-age=%" PRIu64,
                       entry->left_ns / UINT64_C(1000000000));
        add_field(f, "cache-control", f->control);
    }
}

static void send_entry(request *r, found *entry, fields *f)
{
    uint64_t first = 0;
    uint64_t count = entry->size;
    http_answer answer = {.status = 200};
    cache_range range =
        cache_read_range(r->x, entry->size, f->etag[0] != '\0' ? f->etag : NULL, &first, &count);
    if (range != CACHE_RANGE_ALL) {
        answer.status = range == CACHE_RANGE_PART ? 206 : 416;
        if (range == CACHE_RANGE_PART) {
            (void)snprintf(f->range, sizeof f->range, "bytes %" PRIu64 "-%" PRIu64 "/%zu", first,
                           first + count - 1, entry->size);
        } else {
            (void)snprintf(f->range, sizeof f->range, "bytes */%zu", entry->size);
            count = 0;
        }
        add_field(f, "content-range", f->range);
    }
    add_field(f, "content-type", "application/octet-stream");
    add_field(f, "x-content-type-options", "nosniff"); /* it is whatever somebody stored */
    add_field(f, "accept-ranges", "bytes");
    answer.fields = f->list;
    answer.field_count = f->count;
    if (entry->value != NULL) {
        answer.body = (http_body){.kind = HTTP_BODY_VALUE,
                                  .value = entry->value, /* given away */
                                  .offset = first,
                                  .size = count};
        entry->value = NULL;
    } else {
        answer.body =
            (http_body){.kind = HTTP_BODY_BYTES, .data = entry->data + first, .size = count};
    }
    answer.length = (int64_t)count;
    exchange_answer(r->x, &answer);
}

/* 304, 412 and the like: what the entry is, without it. */
static void send_condition(request *r, uint16_t status, const fields *f)
{
    http_answer answer = {.status = status, .fields = f->list, .field_count = f->count};
    exchange_answer(r->x, &answer);
}

/* Under the lock: 0, or what a condition on an entry is answered with. */
static uint16_t judge(const exchange *x, const char *etag)
{
    bool reads = x->method == HTTP_GET || x->method == HTTP_HEAD;
    const http_text *match = exchange_field(x, "if-match");
    const http_text *none = exchange_field(x, "if-none-match");
    if (match != NULL && !cache_etag_matches(*match, etag, true)) {
        return 412;
    }
    if (none != NULL && cache_etag_matches(*none, etag, false)) {
        return reads ? 304 : 412;
    }
    return 0;
}

static void get_entry(request *r)
{
    server *s = r->server;
    found entry;
    fields f;
    f.count = 0;
    f.etag[0] = '\0';
    server_lock_at(s, worker_clock(r->x->worker));
    brisk_err err = look_up(r, &entry);
    if (err == BRISK_ERR_NOT_FOUND && !r->looked && s->disk != NULL) {
        request *own = r->borrowed ? to_own_memory(r) : r;
        if (own != NULL && wait_for_disk(own)) {
            server_unlock(s);
            return;
        }
        r = own != NULL ? own : r;
        err = own != NULL ? look_up(r, &entry) : BRISK_ERR_NOMEM;
    }
    s->stats.hits += err == BRISK_ERR_NOT_FOUND ? 0 : 1;
    s->stats.misses += err == BRISK_ERR_NOT_FOUND ? 1 : 0;
    if (err == BRISK_ERR_NOT_FOUND && (s->notify & NOTIFY_MISS) != 0) {
        notify(s, NOTIFY_MISS, "keymiss", r->key);
    }
    server_unlock(s);
    if (err == BRISK_ERR_NOT_FOUND) {
        if (exchange_field(r->x, "if-match") != NULL) {
            send_condition(r, 412, &f);
        } else {
            not_found(r);
        }
        return;
    }
    if (err != BRISK_OK) {
        api_fail_err(r->x, err, "the entry");
        return;
    }
    describe(&f, &entry);
    /* A value without a tag of its own is there all the same: "*" is met, nothing else. */
    uint16_t status = judge(r->x, f.etag[0] != '\0' ? f.etag : "\"\"");
    if (status != 0) {
        send_condition(r, status, &f);
    } else {
        send_entry(r, &entry, &f);
    }
    brisk_value_unref(entry.value);
}

/* --- DELETE and PURGE ---------------------------------------------------------------------- */

/* Under the lock.  Is the condition met by what is there?  `present` becomes whether there is anything. */
static uint16_t judge_present(request *r, bool *present)
{
    keyspace_view view;
    char etag[CACHE_ETAG_SIZE + 1] = "\"\"";
    const exchange *x = r->x;
    bool asked =
        exchange_field(x, "if-match") != NULL || exchange_field(x, "if-none-match") != NULL;
    if (!asked) {
        *present = keyspace_has(&r->server->keys, r->key) || r->waiter.value != NULL;
        return 0;
    }
    *present = open_view(r, &view);
    if (!*present) {
        return judge(x, NULL);
    }
    if (view.size <= CACHE_ETAG_BYTES_MAX) {
        cache_etag(view.data, view.size, etag);
    }
    keyspace_view_close(&view);
    return judge(x, etag);
}

static void delete_entry(request *r)
{
    server *s = r->server;
    bool present = false;
    server_lock(s);
    if (wait_for_disk(r)) {
        server_unlock(s);
        return;
    }
    uint16_t status = judge_present(r, &present);
    if (status == 0 && present) {
        (void)keyspace_remove(&s->keys, r->key);
        changed_by_nobody(s, r->key, NOTIFY_GENERIC, "del");
        tell_drops(s);
    }
    server_unlock(s);
    if (status != 0) {
        api_fail(r->x, status, "changed", "the entry is not what the condition says");
    } else if (present) {
        api_answer_empty(r->x, 204);
    } else {
        not_found(r);
    }
}

/* --- PUT ---------------------------------------------------------------------------------- */

static bool keep(request *r, size_t bytes)
{
    if (!server_keep(r->server, bytes)) {
        return false;
    }
    r->kept += bytes;
    return true;
}

static void refuse(request *r, uint16_t status, const char *code, const char *message)
{
    if (!r->refused) {
        r->refused = true;
        api_fail(r->x, status, code, "%s", message);
    }
}

/* Room for `more` bytes; false: refused. */
static bool make_room_for(request *r, size_t more)
{
    const brisk_alloc *alloc = r->server->alloc;
    size_t wanted = r->size + more;
    if (wanted > r->server->limits.bulk_max) {
        refuse(r, 413, "too_large", "the value is too large");
        return false;
    }
    if (wanted <= r->room) {
        return true;
    }
    size_t room = r->room * 2 > wanted ? r->room * 2 : wanted;
    room = room > GROW_MIN ? room : GROW_MIN;
    unsigned char *bytes = keep(r, room - r->room) ? alloc->acquire(alloc->ctx, room, 1) : NULL;
    if (bytes == NULL) {
        refuse(r, 503, "no_memory", "there is no memory for more unfinished requests");
        return false;
    }
    if (r->bytes != NULL) {
        memcpy(bytes, r->bytes, r->size);
        alloc->release(alloc->ctx, r->bytes, r->room, 1);
    }
    r->bytes = bytes;
    r->room = room;
    return true;
}

static void begin_put(request *r)
{
    exchange *x = r->x;
    const char *wrong = cache_read_life(x, &r->life);
    r->tags = exchange_alloc(x, BRISK_TAGS_MAX * sizeof *r->tags);
    if (r->tags == NULL) {
        refuse(r, 503, "no_memory", "there is no memory for more unfinished requests");
        return;
    }
    wrong = wrong != NULL ? wrong : cache_read_tags(x, r->tags, &r->tag_count);
    if (wrong != NULL) {
        refuse(r, 400, "invalid", wrong);
        return;
    }
    if (x->content_length == HTTP_LENGTH_UNKNOWN) {
        return; /* it grows as it comes */
    }
    uint64_t size = (uint64_t)x->content_length;
    if (size > r->server->limits.bulk_max) {
        refuse(r, 413, "too_large", "the value is too large");
        return;
    }
    void *data;
    if (!keep(r, size) ||
        brisk_value_reserve(size, library_alloc(r->server->alloc), &data, &r->value) != BRISK_OK) {
        refuse(r, 503, "no_memory", "there is no memory for more unfinished requests");
        return;
    }
    r->bytes = data;
    r->room = size;
}

static void take_body(exchange *x, const void *data, size_t size)
{
    if (is_list(x)) {
        cache_list_body(x, data, size);
        return;
    }
    request *r = x->handler;
    if (r == NULL || r->refused || x->method != HTTP_PUT) {
        return;
    }
    if (r->value != NULL && size > r->room - r->size) {
        refuse(r, 400, "invalid", "the body is longer than it said");
        return;
    }
    if (r->value != NULL || make_room_for(r, size)) {
        memcpy(r->bytes + r->size, data, size);
        r->size += size;
    }
}

/* Under the lock. */
static brisk_err store(request *r)
{
    server *s = r->server;
    bool keeps = s->evict_volatile || s->evict_never || s->evict_any;
    if (s->maxmemory != 0 && keeps && !make_room(s)) {
        return BRISK_ERR_FULL;
    }
    if (r->life.given && r->life.ns == 0) {
        (void)keyspace_remove(&s->keys, r->key); /* it is over already */
        changed_by_nobody(s, r->key, NOTIFY_GENERIC, "del");
        return BRISK_OK;
    }
    keyspace_extra extra = {.expires_at_ns = r->life.given ? s->wall_ns + r->life.ns : 0,
                            .tags = r->tags,
                            .tag_count = r->tag_count};
    brisk_err err = keyspace_put_value(&s->keys, r->key, r->value, &extra);
    if (err != BRISK_OK) {
        changed_by_nobody(s, r->key, 0, NULL); /* whatever was there is gone */
        return err;
    }
    changed_by_nobody(s, r->key, NOTIFY_STRING, "set");
    if (r->life.given) {
        notify(s, NOTIFY_GENERIC, "expire", r->key);
    }
    return BRISK_OK;
}

static void put_entry(request *r)
{
    server *s = r->server;
    bool present = false;
    fields f;
    f.count = 0;
    f.etag[0] = '\0';
    describe(&f, &(found){.data = r->bytes, .size = r->size, .left_ns = UINT64_MAX});
    server_lock(s);
    bool paused = s->pause_until_ns > s->now_ns;
    bool conditional =
        exchange_field(r->x, "if-match") != NULL || exchange_field(r->x, "if-none-match") != NULL;
    if (conditional && wait_for_disk(r)) {
        server_unlock(s);
        return;
    }
    uint16_t status = paused ? 503 : judge_present(r, &present);
    brisk_err err = status == 0 ? store(r) : BRISK_OK;
    if (s->keys.drops.count > 0) {
        tell_drops(s);
    }
    server_unlock(s);
    if (paused) {
        api_fail(r->x, 503, "paused", "changes are paused");
    } else if (status != 0) {
        api_fail(r->x, status, "changed", "the entry is not what the condition says");
    } else if (err != BRISK_OK) {
        fail_store(r, err);
    } else {
        send_condition(r, present ? 204 : 201, &f);
    }
}

static void end_body(exchange *x)
{
    if (is_list(x)) {
        cache_list_end(x);
        return;
    }
    request *r = x->handler;
    if (r == NULL || r->refused || x->method != HTTP_PUT) {
        return;
    }
    if (r->value != NULL && r->size != r->room) {
        refuse(r, 400, "invalid", "the body is shorter than it said");
        return;
    }
    if (r->value == NULL) {
        static const unsigned char nothing[1] = {0};
        brisk_err err = brisk_value_copy(r->bytes != NULL ? r->bytes : nothing, r->size,
                                         library_alloc(r->server->alloc), &r->value);
        if (err != BRISK_OK) {
            fail_store(r, err);
            return;
        }
        if (r->bytes != NULL) {
            r->server->alloc->release(r->server->alloc->ctx, r->bytes, r->room, 1);
        }
        r->bytes =
            (unsigned char *)(uintptr_t)brisk_value_data(r->value); /* read only from here on */
    }
    put_entry(r);
}

/* --- the route ---------------------------------------------------------------------------- */

static void run_method(request *r)
{
    switch ((int)r->x->method) {
    case HTTP_GET:
    case HTTP_HEAD: get_entry(r); break;
    case HTTP_PUT: put_entry(r); break;
    default: delete_entry(r); break;
    }
}

static void begin(exchange *x)
{
    server *s = x->worker->server;
    resp_bytes key;
    x->handler = NULL;
    if (is_list(x)) {
        cache_list_begin(x);
        return;
    }
    const char *wrong = cache_read_key(x, &key);
    if (wrong != NULL) {
        api_fail(x, 400, "invalid", "%s", wrong);
        return;
    }
    bool reads = x->method == HTTP_GET || x->method == HTTP_HEAD;
    request *r = reads ? exchange_alloc(x, sizeof *r)
                       : s->alloc->acquire(s->alloc->ctx, sizeof *r, _Alignof(request));
    if (r == NULL) {
        api_fail_err(x, BRISK_ERR_NOMEM, "the request");
        return;
    }
    memset(r, 0, sizeof *r);
    r->borrowed = reads;
    r->waiter.task.run = run_waiter;
    r->waiter.loop = &x->worker->loop;
    r->server = s;
    r->x = x;
    r->key = key;
    x->handler = r;
    if (x->method == HTTP_PUT) {
        begin_put(r);
    } else {
        run_method(r);
    }
}

static const http_route cache_route = {
    .name = "api.cache",
    .methods = HTTP_GET | HTTP_PUT | HTTP_DELETE | HTTP_PURGE | HTTP_POST,
    .right = HTTP_RIGHT_READ,
    .right_change = HTTP_RIGHT_CHANGE,
    .priority = {.urgency = 2},
    .body_max = BODY_MAX,
    .begin = begin,
    .body = take_body,
    .end = end_body,
    .gone = gone,
};

brisk_err api_cache_add_routes(http_routes *routes)
{
    return http_routes_add(routes, "", "/v1/cache", &cache_route);
}
