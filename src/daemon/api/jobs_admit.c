/*
 * jobs_admit.c -- what a request asks for becomes a job in the queue.
 *
 *     {"workload": "rom", "request": {...}, "class": "batch", "priority": 3, "deadline_ms": 30000,
 *      "no_cache": false, "profile": false}
 *
 * Everything here runs in the admission thread: reading JSON and forms takes time in proportion to
 * the request, and a module is loaded with the first job of its workload.
 *
 * What a job may open is the node's decision: parts of the request, entries of the cache, and files
 * below serve.jobs.paths.
 */
#include "daemon/api/jobs_internal.h"

#include <stdarg.h>
#include <string.h>

#include <brisk/json_read.h>

#include "base/assert.h"
#include "daemon/api/multipart.h"
#include "daemon/engine.h"

enum { DEADLINE_MAX_MS = 86400000 };

void job_refuse(job_refusal *ret, uint16_t status, const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(ret->text, sizeof ret->text, format, args);
    va_end(args);
    ret->status = status;
    ret->code = code;
}

static void refuse_err(job_refusal *ret, brisk_err err, const char *text)
{
    const char *words = text[0] != '\0' ? text : brisk_err_message(err);
    if (err == BRISK_ERR_NOMEM) {
        job_refuse(ret, 503, "no_memory", "%s", words);
    } else if (err == BRISK_ERR_LIMIT) {
        job_refuse(ret, 413, "too_large", "%s", words);
    } else if (err == BRISK_ERR_PERMISSION) {
        job_refuse(ret, 403, "forbidden", "%s", words);
    } else {
        job_refuse(ret, 422, "invalid", "%s", words);
    }
}

/* --- the body ----------------------------------------------------------------------------- */

bool job_read_body(const job_body *body, const char *boundary, brisk_arena *arena,
                   const brisk_json_node **ret, brisk_form_part **ret_parts, uint32_t *ret_count,
                   job_refusal *refusal)
{
    const char *text = (const char *)body->data;
    size_t size = body->size;
    brisk_errinfo info = {.text = ""};
    brisk_err err = BRISK_OK;
    *ret_parts = NULL;
    *ret_count = 0;
    if (boundary[0] != '\0') {
        err = multipart_read(boundary, text, size, arena, ret_parts, ret_count, &info);
        uint32_t i = 0;
        while (err == BRISK_OK && i < *ret_count && strcmp((*ret_parts)[i].name, "job") != 0) {
            i++;
        }
        if (err == BRISK_OK && i == *ret_count) {
            err = brisk_errinfo_set(&info, BRISK_ERR_INVALID, "there is no part \"job\"");
        }
        if (err == BRISK_OK) {
            text = (*ret_parts)[i].data;
            size = (*ret_parts)[i].size;
        }
    }
    if (err == BRISK_OK) {
        err = brisk_json_read(text, size, brisk_arena_as_alloc(arena), ret, &info);
    }
    if (err != BRISK_OK) {
        refuse_err(refusal, err, info.text);
        refusal->status = refusal->status == 422 ? 400 : refusal->status;
    }
    return err == BRISK_OK;
}

/* --- what is asked for -------------------------------------------------------------------- */

static brisk_err read_order(job_entry *e, const brisk_json_node *node, brisk_errinfo *info)
{
    uint64_t priority = QUEUE_PRIORITY_DEFAULT;
    uint64_t deadline_ms = 0;
    brisk_err err = brisk_json_member_u64(node, "priority", 0, QUEUE_PRIORITY_MAX, &priority, info);
    err = err == BRISK_OK
              ? brisk_json_member_u64(node, "deadline_ms", 1, DEADLINE_MAX_MS, &deadline_ms, info)
              : err;
    err = err == BRISK_OK ? brisk_json_member_bool(node, "no_cache", &e->job_opts.no_cache, info)
                          : err;
    err =
        err == BRISK_OK ? brisk_json_member_bool(node, "profile", &e->job_opts.profile, info) : err;
    if (err == BRISK_OK && deadline_ms != 0) {
        e->job_opts.deadline_ns = deadline_ms * 1000000;
        e->item.deadline_ns = e->created_ns + e->job_opts.deadline_ns;
        e->deadline_wall_ns = e->created_wall_ns + e->job_opts.deadline_ns;
    }
    e->item.priority = (uint32_t)priority;
    return err;
}

/* The workload of that name, loaded; its place in the queue. */
static bool find_workload(job_entry *e, const brisk_json_node *name, job_refusal *refusal)
{
    jobs_table *j = e->jobs;
    brisk_engine *engine = server_engine(j->server);
    brisk_errinfo info = {.text = ""};
    if (engine == NULL) {
        job_refuse(refusal, 503, "no_engine", "this node has no engine");
        return false;
    }
    if (name->size >= sizeof e->workload_name || memchr(name->text, '\0', name->size) != NULL) {
        job_refuse(refusal, 404, "no_workload", "there is no such workload");
        return false;
    }
    memcpy(e->workload_name, name->text, name->size);
    brisk_err err = brisk_engine_load(engine, e->workload_name, &e->workload, &info);
    if (err != BRISK_OK || e->workload == NULL || e->workload->form == NULL) {
        bool none = err == BRISK_ERR_NOT_FOUND || err == BRISK_ERR_INVALID || err == BRISK_OK;
        job_refuse(refusal, none ? 404 : 500, none ? "no_workload" : "failed",
                   none ? "there is no workload '%.60s' that takes jobs"
                        : "workload '%.60s' cannot be used",
                   e->workload_name);
        return false;
    }
    (void)pthread_mutex_lock(&j->lock);
    err = BRISK_OK;
    if (!queue_find_workload(j->queue, e->workload->name, &e->item.workload)) {
        queue_workload_opts opts = {.name = e->workload->name, .weight = 1};
        err = queue_add_workload(j->queue, &opts, &e->item.workload);
    }
    (void)pthread_mutex_unlock(&j->lock);
    if (err != BRISK_OK) {
        job_refuse(refusal, 503, "full", "too many workloads");
    }
    return err == BRISK_OK;
}

static bool read_class(job_entry *e, const brisk_json_node *node, job_refusal *refusal)
{
    const brisk_json_node *name = brisk_json_get(node, "class");
    (void)pthread_mutex_lock(&e->jobs->lock);
    e->item.class = queue_class_of(e->jobs->queue, e->item.workload);
    (void)pthread_mutex_unlock(&e->jobs->lock);
    if (name == NULL || name->kind == BRISK_JSON_NULL) {
        return true;
    }
    if (name->kind != BRISK_JSON_STRING ||
        !queue_class_parse(name->text, name->size, &e->item.class)) {
        job_refuse(refusal, 400, "invalid", "\"class\" has to be one of interactive, batch, idle");
        return false;
    }
    return true;
}

/* --- entries of the cache ----------------------------------------------------------------- */

static brisk_err copy_view(const keyspace_view *view, uint64_t max, brisk_arena *arena,
                           brisk_form_part *ret)
{
    if (view->size > max) {
        return BRISK_ERR_LIMIT;
    }
    void *copy = brisk_arena_alloc(arena, view->size + 1);
    if (copy == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memcpy(copy, view->data, view->size);
    *ret = (brisk_form_part){.name = "", .type = "", .data = copy, .size = view->size};
    return BRISK_OK;
}

static brisk_err find_cache_entry(void *ctx, const char *name, size_t name_size, brisk_arena *arena,
                                  brisk_form_part *ret)
{
    jobs_table *j = ctx;
    server *s = j->server;
    keyspace_view view;
    resp_bytes key = {.data = (const unsigned char *)name, .size = name_size};
    if (!keyspace_key_fits(key)) {
        return BRISK_ERR_NOT_FOUND;
    }
    brisk_err err = BRISK_ERR_NOT_FOUND;
    server_lock(s);
    bool found = keyspace_view_open(&s->keys, key, &view);
    bool held = found && view.held != NULL;
    if (found && !held) {
        err = copy_view(&view, j->opts.body_max, arena, ret);
    }
    server_unlock(s);
    if (held) { /* a large value: no loop has to wait until it is copied */
        err = copy_view(&view, j->opts.body_max, arena, ret);
    }
    if (found) {
        keyspace_view_close(&view);
    }
    return err;
}

brisk_err job_entry_bytes(jobs_table *j, const brisk_json_node *node, brisk_arena *arena,
                          uint64_t *used, brisk_form_part *ret, brisk_errinfo *info)
{
    brisk_form_input in = {.arena = arena,
                           .bytes_max = j->opts.body_max,
                           .entry = find_cache_entry,
                           .ctx = j,
                           .used = used};
    return brisk_form_bytes(&in, node, "entry", ret, info);
}

/* --- a job -------------------------------------------------------------------------------- */

static bool parse_request(job_entry *e, const brisk_json_node *node, const brisk_form_part *parts,
                          uint32_t part_count, job_refusal *refusal)
{
    static const brisk_json_node nothing = {.kind = BRISK_JSON_OBJECT, .raw = "{}", .raw_size = 2};
    const brisk_json_node *request = brisk_json_get(node, "request");
    jobs_table *j = e->jobs;
    uint64_t used = 0;
    brisk_errinfo info = {.text = ""};
    brisk_form_input in = {.request = request != NULL ? request : &nothing,
                           .parts = parts,
                           .part_count = part_count,
                           .arena = e->arena,
                           .engine = server_engine(j->server),
                           .root = j->paths[0] != '\0' ? j->paths : NULL,
                           .bytes_max = j->opts.body_max,
                           .entry = find_cache_entry,
                           .ctx = j,
                           .used = &used};
    brisk_err err = e->workload->form->parse(&in, &e->request, &info);
    if (err != BRISK_OK) {
        refuse_err(refusal, err, info.text);
        return false;
    }
    e->has_request = true;
    err = brisk_job_create(in.engine, e->workload, e->request, &e->job_opts, &e->job);
    if (err != BRISK_OK) {
        refuse_err(refusal, err, e->job != NULL ? brisk_job_error_text(e->job) : "");
        return false;
    }
    return true;
}

/* Into the queue. */
static bool enqueue(job_entry *e, job_refusal *refusal)
{
    jobs_table *j = e->jobs;
    (void)pthread_mutex_lock(&j->lock);
    bool stopping = j->stopping || !jobs_need_runner(j);
    brisk_err err = stopping ? BRISK_ERR_CANCELLED : queue_push(j->queue, &e->item, jobs_now_ns(j));
    if (err == BRISK_OK) {
        e->state = JOB_WAITING;
        jobs_publish(e, JOB_WAITING); /* under the lock: before a runner says that it runs */
        (void)pthread_cond_signal(&j->work);
    }
    uint32_t retry_after_s = queue_retry_after_s(j->queue);
    bool cancel = e->cancel;
    (void)pthread_mutex_unlock(&j->lock);
    if (err == BRISK_OK && cancel) {
        (void)job_cancel(e);
    }
    if (err == BRISK_OK) {
        return true;
    }
    if (stopping) {
        job_refuse(refusal, 503, "stopping", "this node takes no jobs now");
    } else if (err == BRISK_ERR_NOMEM) {
        job_refuse(refusal, 503, "no_memory", "out of memory");
    } else {
        job_refuse(refusal, 429, err == BRISK_ERR_FULL ? "queue_full" : "client_limit",
                   err == BRISK_ERR_FULL ? "%u jobs wait already"
                                         : "%u jobs of this client wait already",
                   err == BRISK_ERR_FULL ? j->opts.waiting : j->opts.client_waiting);
        refusal->retry_after_s = retry_after_s;
    }
    return false;
}

void job_refuse_entry(job_entry *e, const job_refusal *refusal)
{
    jobs_table *j = e->jobs;
    (void)pthread_mutex_lock(&j->lock);
    job_call *waiters = e->waiters; /* the same request again, that waits for this one */
    e->waiters = NULL;
    e->state = JOB_FAILED;
    e->error_status = refusal->status;
    (void)snprintf(e->error_text, sizeof e->error_text, "%s", refusal->text);
    jobs_unlist(j, e);
    e->refs--; /* the table's; the caller has one */
    (void)pthread_mutex_unlock(&j->lock);
    job_calls_post(waiters);
}

static bool admit(job_entry *e, const brisk_json_node *node, const brisk_form_part *parts,
                  uint32_t part_count, job_refusal *refusal)
{
    static const char *const members[] = {"workload",    "request",  "class",   "priority",
                                          "deadline_ms", "no_cache", "profile", NULL};
    const brisk_json_node *name = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_err err = brisk_json_check_members(node, members, &info);
    err = err == BRISK_OK ? brisk_json_member(node, "workload", BRISK_JSON_STRING, &name, &info)
                          : err;
    err = err == BRISK_OK ? read_order(e, node, &info) : err;
    if (err == BRISK_OK && name == NULL) {
        err = brisk_errinfo_set(&info, BRISK_ERR_INVALID, "\"workload\" is missing");
    }
    if (err != BRISK_OK) {
        job_refuse(refusal, 400, "invalid", "%s", info.text);
        return false;
    }
    return find_workload(e, name, refusal) && read_class(e, node, refusal) &&
           parse_request(e, node, parts, part_count, refusal);
}

void job_admit(job_entry *e, const brisk_json_node *node, const brisk_form_part *parts,
               uint32_t part_count, job_refusal *ret)
{
    jobs_table *j = e->jobs;
    ret->status = 0;
    bool good = admit(e, node, parts, part_count, ret);
    if (good && !e->job_opts.no_cache && brisk_job_lookup(e->job) == BRISK_OK) {
        (void)pthread_mutex_lock(&j->lock);
        e->started_ns = jobs_now_ns(j);
        e->state = JOB_RUNNING;
        (void)pthread_mutex_unlock(&j->lock);
        job_end(e, BRISK_OK); /* the memory tier had it */
        return;
    }
    if (good && enqueue(e, ret)) {
        return;
    }
    job_refuse_entry(e, ret);
}
