/*
 * jobs_http.c -- /v1/jobs and what is below it.
 *
 *     POST   /v1/jobs               202 with its status; with Prefer: wait=N, or when the memory tier has
 *                                   the answer, 200 with the result
 *     GET    /v1/jobs               newest first: ?status= ?workload= ?class= ?limit=
 *     GET    /v1/jobs/ID            its status
 *     DELETE /v1/jobs/ID            cancel it; one that is over is forgotten
 *     GET    /v1/jobs/ID/result     what it gave; 202 while it is not over (Prefer: wait)
 *     GET    /v1/jobs/ID/events     its progress, as a stream
 *     GET    /v1/jobs/ID/trace      its spans, as Chrome trace JSON
 *
 * An Idempotency-Key makes a POST safe to repeat: the same key of the same client with the same body is
 * the same job, with another body it is refused.
 *
 * Sources: RFC 9110, RFC 7240 (Prefer), draft-ietf-httpapi-idempotency-key-header.
 */
#include "daemon/api/jobs_internal.h"

#include <string.h>

#include "daemon/api/answer.h"
#include "daemon/api/sse.h"

enum { FIELDS_MAX = 8, TEXT_MAX = 512 };

static http_text text_of(const char *text)
{
    return (http_text){.data = text, .size = strlen(text)};
}

static bool is_word(http_text text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

/* --- answers ------------------------------------------------------------------------------ */

void job_answer_refusal(exchange *x, const job_refusal *refusal)
{
    char seconds[16];
    char body[2 * BRISK_ERRINFO_TEXT_MAX + 256];
    brisk_str text;
    brisk_json json;
    brisk_str_init(&text, NULL, sizeof body);
    brisk_json_init(&json, brisk_str_out(&text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_object_begin(&json, "error");
    brisk_json_str(&json, "code", refusal->code);
    brisk_json_str(&json, "message", refusal->text);
    brisk_json_object_end(&json);
    brisk_json_object_end(&json);
    bool good = brisk_json_finish(&json) == BRISK_OK;
    (void)snprintf(seconds, sizeof seconds, "%u", refusal->retry_after_s);
    http_field fields[] = {
        {text_of("content-type"), text_of("application/json")},
        {text_of("cache-control"), text_of("no-store")},
        {text_of("retry-after"), text_of(seconds)},
    };
    http_answer answer = {.status = refusal->status,
                          .fields = fields,
                          .field_count = refusal->retry_after_s != 0 ? 3 : 2,
                          .body = {.kind = HTTP_BODY_BYTES,
                                   .data = brisk_str_text(&text),
                                   .size = good ? brisk_str_size(&text) : 0}};
    exchange_answer(x, &answer);
    brisk_str_deinit(&text);
}

static void answer_json(job_call *call, uint16_t status, const char *data, size_t size)
{
    char location[64];
    (void)snprintf(location, sizeof location, "/v1/jobs/%s", call->entry->id);
    http_field fields[] = {
        {text_of("content-type"), text_of("application/json")},
        {text_of("cache-control"), text_of("no-store")},
        {text_of("location"), text_of(location)},
        {text_of("retry-after"), text_of("1")},
    };
    http_answer answer = {.status = status,
                          .fields = fields,
                          .field_count = status == 202 ? 4 : 3,
                          .body = {.kind = HTTP_BODY_BYTES, .data = data, .size = size}};
    exchange_answer(call->x, &answer);
}

void job_answer_status(job_call *call, uint16_t status)
{
    brisk_str text;
    brisk_str_init(&text, call->jobs->alloc, JOBS_TEXT_MAX);
    job_write_status(call->entry, &text);
    if (brisk_str_err(&text) != BRISK_OK) {
        api_fail_err(call->x, BRISK_ERR_NOMEM, "the status");
    } else {
        answer_json(call, status, brisk_str_text(&text), brisk_str_size(&text));
    }
    brisk_str_deinit(&text);
}

static bool has_tag(const exchange *x, const char *etag)
{
    const http_text *tags = exchange_field(x, "if-none-match");
    return tags != NULL && etag[0] != '\0' &&
           (is_word(*tags, "*") || memmem(tags->data, tags->size, etag, strlen(etag)) != NULL);
}

static void answer_value(job_call *call)
{
    const job_entry *e = call->entry;
    char location[64];
    char name[JOBS_TYPE_MAX + 32];
    (void)snprintf(location, sizeof location, "/v1/jobs/%s", e->id);
    (void)snprintf(name, sizeof name, "attachment; filename=\"%s\"", e->name);
    http_field fields[FIELDS_MAX];
    uint32_t count = 0;
    fields[count++] = (http_field){text_of("cache-control"), text_of("private, no-cache")};
    fields[count++] = (http_field){text_of("location"), text_of(location)};
    if (e->etag[0] != '\0') {
        fields[count++] = (http_field){text_of("etag"), text_of(e->etag)};
    }
    if (has_tag(call->x, e->etag)) {
        http_answer same = {.status = 304,
                            .fields = fields,
                            .field_count = count,
                            .length = (int64_t)brisk_value_size(e->value)};
        exchange_answer(call->x, &same);
        return;
    }
    fields[count++] = (http_field){text_of("content-type"), text_of(e->type)};
    fields[count++] = (http_field){text_of("x-content-type-options"), text_of("nosniff")};
    if (e->name[0] != '\0') {
        fields[count++] = (http_field){text_of("content-disposition"), text_of(name)};
    }
    http_answer answer = {.status = 200,
                          .fields = fields,
                          .field_count = count,
                          .body = {.kind = HTTP_BODY_VALUE,
                                   .value = brisk_value_ref(e->value),
                                   .size = brisk_value_size(e->value)}};
    exchange_answer(call->x, &answer);
}

static job_state state_of(job_entry *e)
{
    (void)pthread_mutex_lock(&e->jobs->lock);
    job_state state = e->state;
    (void)pthread_mutex_unlock(&e->jobs->lock);
    return state;
}

/* It is over. */
void job_answer_result(job_call *call)
{
    const job_entry *e = call->entry;
    if (e->value != NULL) {
        answer_value(call);
    } else if (e->final != NULL) {
        answer_json(call, e->error_status, e->final, e->final_size);
    } else {
        uint16_t status = e->error_status >= 400 ? e->error_status : 500;
        api_fail(call->x, status, status == 503 ? "no_memory" : "failed", "%s", e->error_text);
    }
}

/* The result when it is there, or will be soon enough; else where the job is. */
static void answer_when_over(job_call *call)
{
    if (job_state_is_over(state_of(call->entry)) || (call->wait_ns != 0 && !job_call_wait(call))) {
        job_answer_result(call);
    } else if (call->phase != CALL_WAITING) {
        job_answer_status(call, 202);
    }
}

/* --- POST --------------------------------------------------------------------------------- */

static void admit_away(job_call *call)
{
    job_entry *e = call->entry;
    const brisk_json_node *node = NULL;
    brisk_form_part *parts = NULL;
    uint32_t count = 0;
    brisk_err err = brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 65536}, &e->arena);
    if (err != BRISK_OK) {
        job_refuse(&call->refusal, 503, "no_memory", "out of memory");
    } else if (job_read_body(e->body, call->boundary, e->arena, &node, &parts, &count,
                             &call->refusal)) {
        job_admit(e, node, parts, count, &call->refusal);
        return;
    }
    job_refuse_entry(e, &call->refusal);
}

static void admitted(job_call *call)
{
    if (call->refusal.status != 0) {
        job_answer_refusal(call->x, &call->refusal);
        return;
    }
    answer_when_over(call);
}

/* A key and the body, as hashes; false: the key is wrong, and that was answered. */
static bool read_key(job_call *call, bool *ret_has, brisk_hash128 *ret)
{
    const http_text *key = exchange_field(call->x, "idempotency-key");
    *ret_has = key != NULL;
    if (key == NULL) {
        return true;
    }
    if (key->size == 0 || key->size > JOBS_KEY_MAX) {
        api_fail(call->x, 400, "invalid", "an Idempotency-Key has 1 to %d bytes", JOBS_KEY_MAX);
        return false;
    }
    brisk_hasher hasher;
    brisk_hasher_init(&hasher, 0);
    brisk_hasher_update(&hasher, &call->client, sizeof call->client);
    brisk_hasher_update(&hasher, key->data, key->size);
    *ret = brisk_hasher_digest128(&hasher);
    return true;
}

typedef enum taken {
    TAKEN_NEW,
    TAKEN_SAME,
    TAKEN_OTHER, /* the key was another body's */
    TAKEN_NONE,  /* no memory */
} taken;

/* call->entry becomes a new job, or the one that has the key. */
static taken take_entry(job_call *call, bool has_key, brisk_hash128 key)
{
    jobs_table *j = call->jobs;
    brisk_hash128 hash = brisk_hasher_digest128(&call->hasher);
    taken how = TAKEN_NONE;
    (void)pthread_mutex_lock(&j->lock);
    job_entry *e = has_key ? jobs_find_key(j, key) : NULL;
    if (e != NULL) {
        bool same = e->body_hash.lo == hash.lo && e->body_hash.hi == hash.hi;
        how = same ? TAKEN_SAME : TAKEN_OTHER;
        e->refs += same ? 1 : 0;
        call->entry = same ? e : NULL;
    } else if ((e = jobs_new_entry(j)) != NULL) {
        how = TAKEN_NEW;
        call->entry = e;
        e->item.client = call->client;
        e->parent = call->parent;
        e->body_hash = hash;
        e->has_key = has_key;
        e->key = key;
        if (has_key) {
            jobs_add_key(j, e);
        }
    }
    (void)pthread_mutex_unlock(&j->lock);
    return how;
}

static void submit(job_call *call)
{
    bool has_key;
    brisk_hash128 key = {0};
    if (call->body == NULL) {
        api_fail(call->x, 400, "invalid",
                 "the body is empty: {\"workload\": ..., \"request\": ...}");
        return;
    }
    if (!read_key(call, &has_key, &key)) {
        return;
    }
    switch (take_entry(call, has_key, key)) {
    case TAKEN_NONE: api_fail_err(call->x, BRISK_ERR_NOMEM, "the job"); return;
    case TAKEN_OTHER:
        api_fail(call->x, 422, "idempotency_key_reused",
                 "this Idempotency-Key was used with another body");
        return;
    case TAKEN_SAME: answer_when_over(call); return;
    case TAKEN_NEW: break;
    }
    call->entry->body = call->body;
    call->body = NULL;
    call->away = admit_away;
    call->home = admitted;
    if (!job_call_send(call)) { /* nobody admits it; the same request of others may wait for it */
        job_refuse(&call->refusal, 503, "stopping", "this node takes no jobs now");
        job_refuse_entry(call->entry, &call->refusal);
    }
}

/* --- GET of the list ---------------------------------------------------------------------- */

typedef struct filter {
    char status[16];
    char workload[JOBS_NAME_MAX];
    char class[16];
    uint64_t limit;
} filter;

static bool fits(const job_entry *e, const filter *f)
{
    return e->state != JOB_ADMITTING &&
           (f->status[0] == '\0' || strcmp(f->status, job_state_name(e->state)) == 0) &&
           (f->workload[0] == '\0' || strcmp(f->workload, e->workload_name) == 0) &&
           (f->class[0] == '\0' || strcmp(f->class, queue_class_name(e->item.class)) == 0);
}

static void list(jobs_table *j, exchange *x)
{
    filter f = {.limit = 100};
    if (!api_query_text(x, "status", f.status, sizeof f.status) ||
        !api_query_text(x, "workload", f.workload, sizeof f.workload) ||
        !api_query_text(x, "class", f.class, sizeof f.class) ||
        !api_query_u64(x, "limit", 1, JOBS_LIST_MAX, &f.limit)) {
        return;
    }
    brisk_str text;
    brisk_json json;
    brisk_str_init(&text, j->alloc, JOBS_TEXT_MAX);
    brisk_json_init(&json, brisk_str_out(&text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_array_begin(&json, "jobs");
    (void)pthread_mutex_lock(&j->lock);
    for (const job_entry *e = j->newest; e != NULL && f.limit > 0; e = e->older) {
        if (fits(e, &f)) {
            brisk_json_object_begin(&json, NULL);
            job_write_live(e, &json);
            brisk_json_object_end(&json);
            f.limit--;
        }
    }
    (void)pthread_mutex_unlock(&j->lock);
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    api_answer_text(x, brisk_json_finish(&json), &text);
    brisk_str_deinit(&text);
}

/* --- one job ------------------------------------------------------------------------------ */

static void answer_trace(job_call *call)
{
    const job_entry *e = call->entry;
    if (!job_state_is_over(state_of(call->entry))) {
        api_fail(call->x, 409, "not_over", "the job is not over");
        return;
    }
    if (e->trace == NULL) {
        api_fail(call->x, 404, "not_found", "there is no trace of this job: it did not run");
        return;
    }
    answer_json(call, 200, e->trace, e->trace_size);
}

/* One that is over, out of the table.  False: somebody else did. */
static bool forget(job_entry *e)
{
    jobs_table *j = e->jobs;
    (void)pthread_mutex_lock(&j->lock);
    bool there = e->in_table;
    if (there) {
        job_entry *before = NULL;
        for (job_entry *at = j->done_first; at != e; at = at->next_done) {
            before = at;
        }
        *(before != NULL ? &before->next_done : &j->done_first) = e->next_done;
        j->done_last = j->done_last == e ? before : j->done_last;
        j->done_count--;
        j->done_bytes -= e->bytes;
        jobs_unlist(j, e);
        e->refs--; /* the call has one */
    }
    (void)pthread_mutex_unlock(&j->lock);
    return there;
}

static void delete_job(job_call *call)
{
    if (job_cancel(call->entry)) {
        job_answer_status(call, 200);
        return;
    }
    (void)forget(call->entry);
    api_answer_empty(call->x, 204);
}

static void not_found(exchange *x, bool earlier)
{
    api_fail(x, 404, "not_found", "%s",
             earlier ? "this job is not kept any more (or was of an earlier run of this node); "
                       "submit it again: what it computed may still be in the cache"
                     : "there is no such job");
}

static void begin_one(jobs_table *j, exchange *x)
{
    const char *slash = memchr(x->rest.data, '/', x->rest.size);
    size_t size = slash != NULL ? (size_t)(slash - x->rest.data) : x->rest.size;
    http_text what = {slash != NULL ? slash + 1 : "", slash != NULL ? x->rest.size - size - 1 : 0};
    bool reads = x->method == HTTP_GET || x->method == HTTP_HEAD;
    bool earlier = false;
    if (x->method == HTTP_POST || (what.size > 0 && !reads)) {
        api_fail(x, 405, "method_not_allowed", "this method is not for this path");
        return;
    }
    job_entry *e = jobs_find(j, (http_text){x->rest.data, size}, &earlier);
    if (e == NULL) {
        not_found(x, earlier);
        return;
    }
    job_call *call = job_call_open(j, x);
    if (call == NULL) {
        job_entry_unref(e);
        return;
    }
    call->entry = e;
    if (slash == NULL) {
        if (reads) {
            job_answer_status(call, 200);
        } else {
            delete_job(call);
        }
    } else if (is_word(what, "result")) {
        answer_when_over(call);
    } else if (is_word(what, "events")) {
        job_events_open(call);
    } else if (is_word(what, "trace")) {
        answer_trace(call);
    } else {
        not_found(x, false);
    }
}

/* --- the route ---------------------------------------------------------------------------- */

static void begin(exchange *x)
{
    jobs_table *j = x->route->ctx;
    x->handler = NULL;
    if (x->rest.size > 0) {
        begin_one(j, x);
    } else if (x->method == HTTP_POST) {
        (void)job_call_collect(j, x);
    } else if (x->method == HTTP_DELETE) {
        api_fail(x, 405, "method_not_allowed", "this method is not for this path");
    } else {
        list(j, x);
    }
}

static void body(exchange *x, const void *data, size_t size)
{
    job_call *call = x->handler;
    if (call != NULL && call->phase == CALL_COLLECTING && !job_call_take(call, data, size)) {
        call->phase = CALL_IDLE;
    }
}

static void end(exchange *x)
{
    job_call *call = x->handler;
    if (call != NULL && call->phase == CALL_COLLECTING) {
        call->phase = CALL_IDLE;
        if (call->home != NULL) {
            call->home(call); /* batch.c */
        } else {
            submit(call);
        }
    }
}

static void writable(exchange *x)
{
    job_call *call = x->handler;
    if (call != NULL) {
        sse_writable(call->stream);
    }
}

brisk_err jobs_add_routes(jobs_table *j, http_routes *routes)
{
    j->route_jobs = (http_route){.name = "api.jobs",
                                 .methods = HTTP_GET | HTTP_POST | HTTP_DELETE,
                                 .right = HTTP_RIGHT_READ,
                                 .right_change = HTTP_RIGHT_CHANGE,
                                 .priority = {.urgency = 1},
                                 .body_max = j->opts.body_max,
                                 .begin = begin,
                                 .body = body,
                                 .end = end,
                                 .writable = writable,
                                 .gone = job_call_gone,
                                 .ctx = j};
    j->route_queue = (http_route){.name = "api.queue",
                                  .methods = HTTP_GET,
                                  .right = HTTP_RIGHT_READ,
                                  .right_change = HTTP_RIGHT_CHANGE,
                                  .priority = {.urgency = 1},
                                  .begin = jobs_queue_begin,
                                  .ctx = j};
    j->route_batch = j->route_jobs;
    j->route_batch.name = "api.batch";
    j->route_batch.methods = HTTP_POST;
    j->route_batch.begin = job_batch_begin;
    j->route_batch.writable = job_batch_writable;
    j->route_workloads = j->route_queue;
    j->route_workloads.name = "api.workloads";
    j->route_workloads.begin = jobs_workloads_begin;
    j->route_workloads.gone = job_call_gone;
    brisk_err err = http_routes_add(routes, "", "/v1/jobs", &j->route_jobs);
    err = err == BRISK_OK ? http_routes_add(routes, "", "/v1/queue", &j->route_queue) : err;
    err = err == BRISK_OK ? http_routes_add(routes, "", "/v1/batch", &j->route_batch) : err;
    err = err == BRISK_OK ? job_sockets_add_route(j, routes) : err;
    return err == BRISK_OK ? http_routes_add(routes, "", "/v1/workloads", &j->route_workloads)
                           : err;
}
