/*
 * jobs.c -- the table of jobs: made, found, kept, forgotten; threads; the end.
 *
 * Threads begin with the first job, so that a node without jobs has none of them.
 *
 * Invariants: an entry that is in_table has the table's reference; done_count and done_bytes are those
 * of the list of done entries; every call is in the list `all` until it is freed.
 */
#include "daemon/api/jobs_internal.h"

#include <string.h>
#include <time.h>

#include <brisk/executor.h>

#include "base/assert.h"
#include "daemon/api/api.h"
#include "daemon/api/sse.h"
#include "daemon/engine.h"

#define MIB       UINT64_C(1048576)
#define SECOND_NS UINT64_C(1000000000)

void *jobs_take(const jobs_table *j, size_t size, size_t align)
{
    return j->alloc->acquire(j->alloc->ctx, size, align);
}

void jobs_give(const jobs_table *j, void *at, size_t size, size_t align)
{
    if (at != NULL) {
        j->alloc->release(j->alloc->ctx, at, size, align);
    }
}

uint64_t jobs_now_ns(const jobs_table *j)
{
    return brisk_clock_now_ns(j->server->clock);
}

/* --- bodies and entries ------------------------------------------------------------------- */

void job_body_unref(job_body *body)
{
    /* Acquire and release: the last one sees what the others did. */
    if (body == NULL || atomic_fetch_sub_explicit(&body->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    const jobs_table *j = body->jobs;
    brisk_arena_destroy(body->arena);
    jobs_give(j, body->data, body->room, 1);
    if (body->kept > 0) {
        server_let_go(j->server, body->kept);
    }
    jobs_give(j, body, sizeof *body, _Alignof(job_body));
}

job_entry *jobs_new_entry(jobs_table *j)
{
    job_entry *e = jobs_take(j, sizeof *e, _Alignof(job_entry));
    if (e == NULL) {
        return NULL;
    }
    memset(e, 0, sizeof *e);
    e->jobs = j;
    e->refs = 2; /* the table's and the caller's */
    e->number = ++j->next_number;
    (void)snprintf(e->id, sizeof e->id, "%s-%llx", j->prefix, (unsigned long long)e->number);
    e->created_ns = jobs_now_ns(j);
    e->created_wall_ns = brisk_clock_wall_ns(j->server->clock);
    e->item.priority = QUEUE_PRIORITY_DEFAULT;
    e->in_table = true;
    job_entry **bucket = &j->by_id[e->number % JOBS_BUCKETS];
    e->next_id = *bucket;
    *bucket = e;
    e->older = j->newest;
    *(j->newest != NULL ? &j->newest->newer : &j->oldest) = e;
    j->newest = e;
    j->submitted++;
    return e;
}

void job_entry_free(job_entry *e)
{
    if (e == NULL) {
        return;
    }
    jobs_table *j = e->jobs;
    BRISK_ASSERT(e->refs == 0 && e->waiters == NULL && e->item.state == QUEUE_OUT);
    brisk_job_destroy(e->job);
    if (e->has_request && e->workload->form->release != NULL) {
        e->workload->form->release(e->request);
    }
    brisk_arena_destroy(e->arena);
    job_body_unref(e->body);
    brisk_value_unref(e->value);
    jobs_give(j, e->final, e->final_size, 1);
    jobs_give(j, e->trace, e->trace_size, 1);
    jobs_give(j, e->spans, e->span_count * sizeof *e->spans, _Alignof(trace_span));
    jobs_give(j, e, sizeof *e, _Alignof(job_entry));
}

job_entry *job_entry_drop(job_entry *e)
{
    BRISK_ASSERT(e->refs > 0);
    return --e->refs == 0 ? e : NULL;
}

void job_entry_unref(job_entry *e)
{
    if (e == NULL) {
        return;
    }
    jobs_table *j = e->jobs;
    (void)pthread_mutex_lock(&j->lock);
    job_entry *gone = job_entry_drop(e);
    (void)pthread_mutex_unlock(&j->lock);
    job_entry_free(gone);
}

/* --- the table ---------------------------------------------------------------------------- */

/* "prefix-hex"; false: it is no id.  *ret_ours: of this run. */
static bool parse_id(const jobs_table *j, http_text id, uint64_t *ret, bool *ret_ours)
{
    size_t size = strlen(j->prefix);
    uint64_t number = 0;
    if (id.size < size + 2 || id.size > size + 17 || id.data[size] != '-') {
        return false;
    }
    for (size_t i = size + 1; i < id.size; i++) {
        char c = id.data[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (digit > 15) {
            return false;
        }
        number = number << 4 | digit;
    }
    *ret = number;
    *ret_ours = memcmp(id.data, j->prefix, size) == 0;
    return true;
}

job_entry *jobs_find(jobs_table *j, http_text id, bool *ret_earlier)
{
    uint64_t number;
    bool ours = false;
    *ret_earlier = false;
    if (!parse_id(j, id, &number, &ours)) {
        return NULL;
    }
    *ret_earlier = !ours;
    if (!ours) {
        return NULL;
    }
    (void)pthread_mutex_lock(&j->lock);
    *ret_earlier = number <= j->next_number && number > 0;
    job_entry *e = j->by_id[number % JOBS_BUCKETS];
    while (e != NULL && e->number != number) {
        e = e->next_id;
    }
    if (e != NULL) {
        e->refs++;
    }
    (void)pthread_mutex_unlock(&j->lock);
    return e;
}

job_entry *jobs_find_key(jobs_table *j, brisk_hash128 key)
{
    job_entry *e = j->by_key[key.lo % JOBS_BUCKETS];
    while (e != NULL && (e->key.lo != key.lo || e->key.hi != key.hi)) {
        e = e->next_key;
    }
    return e;
}

void jobs_add_key(jobs_table *j, job_entry *e)
{
    job_entry **bucket = &j->by_key[e->key.lo % JOBS_BUCKETS];
    e->next_key = *bucket;
    *bucket = e;
}

void jobs_unlist(jobs_table *j, job_entry *e)
{
    BRISK_ASSERT(e->in_table);
    e->in_table = false;
    job_entry **at = &j->by_id[e->number % JOBS_BUCKETS];
    while (*at != e) {
        at = &(*at)->next_id;
    }
    *at = e->next_id;
    if (e->has_key) {
        at = &j->by_key[e->key.lo % JOBS_BUCKETS];
        while (*at != e) {
            at = &(*at)->next_key;
        }
        *at = e->next_key;
    }
    *(e->older != NULL ? &e->older->newer : &j->oldest) = e->newer;
    *(e->newer != NULL ? &e->newer->older : &j->newest) = e->older;
}

/* Out of the list of done ones, whose predecessor there is `before`. */
static void unlist_done(jobs_table *j, job_entry *before, job_entry *e)
{
    *(before != NULL ? &before->next_done : &j->done_first) = e->next_done;
    if (j->done_last == e) {
        j->done_last = before;
    }
    j->done_count--;
    j->done_bytes -= e->bytes;
    jobs_unlist(j, e);
}

job_entry *jobs_sweep(jobs_table *j, uint64_t now_ns)
{
    job_entry *list = NULL;
    for (;;) {
        job_entry *e = j->done_first;
        if (e == NULL || (j->done_count <= j->opts.kept && j->done_bytes <= j->opts.kept_bytes &&
                          (now_ns < e->ended_ns || now_ns - e->ended_ns <= j->opts.kept_ns))) {
            return list;
        }
        unlist_done(j, NULL, e);
        job_entry *gone = job_entry_drop(e);
        if (gone != NULL) {
            gone->next_done = list;
            list = gone;
        }
    }
}

void jobs_free_list(job_entry *list)
{
    while (list != NULL) {
        job_entry *next = list->next_done;
        job_entry_free(list);
        list = next;
    }
}

/* --- threads ------------------------------------------------------------------------------ */

static void admit_calls(void *ctx)
{
    jobs_table *j = ctx;
    (void)pthread_mutex_lock(&j->lock);
    for (;;) {
        job_call *call = j->away_first;
        if (call != NULL) {
            j->away_first = call->next_away;
            j->away_last = j->away_first != NULL ? j->away_last : NULL;
            (void)pthread_mutex_unlock(&j->lock);
            call->away(call);
            loop_post(&call->worker->loop, &call->task);
            (void)pthread_mutex_lock(&j->lock);
        } else if (j->stopping) {
            break;
        } else { /* runners may all be busy, so deadlines of those who wait are kept here, too */
            jobs_end_expired(j);
            if (j->away_first == NULL && !j->stopping) {
                jobs_wait(j, &j->admit);
            }
        }
    }
    (void)pthread_mutex_unlock(&j->lock);
}

bool jobs_need_admission(jobs_table *j)
{
    if (!j->admission_started) {
        brisk_thread_opts opts = {.name = "jobs-admit", .run = admit_calls, .ctx = j};
        j->admission_started = brisk_thread_start(&j->admission, &opts) == BRISK_OK;
    }
    return j->admission_started;
}

bool jobs_need_runner(jobs_table *j)
{
    if (j->idle_runners == 0 && j->runner_count < j->runners_max) {
        char name[16];
        (void)snprintf(name, sizeof name, "jobs-%u", j->runner_count % 1000);
        brisk_thread_opts opts = {.name = name, .run = jobs_run, .ctx = j};
        if (brisk_thread_start(&j->runners[j->runner_count], &opts) == BRISK_OK) {
            j->runner_count++;
        }
    }
    return j->runner_count > 0;
}

void jobs_publish(const job_entry *e, job_state state)
{
    events_hub *hub = e->jobs->server->api != NULL ? e->jobs->server->api->events : NULL;
    if (hub == NULL || !events_wanted(hub, EVENTS_JOBS)) {
        return;
    }
    brisk_str text;
    brisk_json json;
    brisk_str_init(&text, e->jobs->alloc, JOBS_TEXT_MAX);
    brisk_json_init(&json, brisk_str_out(&text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "id", e->id);
    brisk_json_str(&json, "workload", e->workload_name);
    brisk_json_str(&json, "status", job_state_name(state));
    brisk_json_str(&json, "class", queue_class_name(e->item.class));
    brisk_json_object_end(&json);
    if (brisk_json_finish(&json) == BRISK_OK) {
        (void)events_publish(hub, EVENTS_JOBS, brisk_str_text(&text), brisk_str_size(&text));
    }
    brisk_str_deinit(&text);
}

/* --- life --------------------------------------------------------------------------------- */

static void set_defaults(jobs_table *j, const jobs_opts *opts)
{
    j->opts = *opts;
    jobs_opts *o = &j->opts;
    o->waiting = o->waiting != 0 ? o->waiting : 1000;
    o->kept = o->kept != 0 ? o->kept : 1000;
    o->kept_bytes = o->kept_bytes != 0 ? o->kept_bytes : 256 * MIB;
    o->kept_ns = o->kept_ns != 0 ? o->kept_ns : 3600 * SECOND_NS;
    o->body_max = o->body_max != 0 ? o->body_max : 64 * MIB;
    o->drain_ns = o->drain_ns != 0 ? o->drain_ns : 5 * SECOND_NS;
    (void)snprintf(j->paths, sizeof j->paths, "%s", o->paths != NULL ? o->paths : "");
    brisk_engine *engine = server_engine(j->server);
    uint32_t workers = engine != NULL ? brisk_executor_workers(brisk_engine_executor(engine)) : 1;
    uint32_t running = o->running != 0 ? o->running : workers + 1;
    j->runners_max = running < JOBS_RUNNERS_MAX ? running : JOBS_RUNNERS_MAX;
}

static void init_locks(jobs_table *j)
{
    pthread_condattr_t monotonic;
    int failed = pthread_condattr_init(&monotonic);
    failed |= pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    failed |= pthread_mutex_init(&j->lock, NULL);
    failed |= pthread_cond_init(&j->work, &monotonic);
    failed |= pthread_cond_init(&j->drained, &monotonic);
    failed |= pthread_cond_init(&j->admit, &monotonic);
    failed |= pthread_condattr_destroy(&monotonic);
    BRISK_ASSERT(failed == 0); /* they cannot fail on Linux */
}

brisk_err jobs_create(server *s, const jobs_opts *opts, jobs_table **ret, brisk_errinfo *info)
{
    jobs_table *j = s->alloc->acquire(s->alloc->ctx, sizeof *j, _Alignof(jobs_table));
    if (j == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    memset(j, 0, sizeof *j);
    j->server = s;
    j->alloc = s->alloc;
    (void)snprintf(j->prefix, sizeof j->prefix, "%.8s", s->run_id);
    set_defaults(j, opts);
    init_locks(j);
    queue_opts how = {.running_max = j->runners_max,
                      .waiting_max = j->opts.waiting,
                      .client_running_max = j->opts.client_running,
                      .client_waiting_max = j->opts.client_waiting,
                      .alloc = s->alloc};
    brisk_err err = queue_create(&how, &j->queue);
    if (err == BRISK_OK && opts->workloads != NULL) {
        err = jobs_setup_workloads(j, opts->workloads, info);
    } else if (err != BRISK_OK) {
        (void)brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
    }
    if (err != BRISK_OK) {
        jobs_destroy(j);
        return err;
    }
    j->opts.workloads = NULL;
    jobs_metrics_begin(j);
    *ret = j;
    return BRISK_OK;
}

/* Those who wait are taken out and linked by next_done.  Under the lock. */
static job_entry *take_waiting(jobs_table *j)
{
    job_entry *list = NULL;
    for (job_entry *e = j->newest; e != NULL; e = e->older) {
        if (e->state == JOB_WAITING && e->item.state == QUEUE_WAITING) {
            queue_remove(j->queue, &e->item);
            e->next_done = list;
            list = e;
        }
    }
    return list;
}

static bool anybody_runs(const jobs_table *j)
{
    queue_figures f;
    if (j->queue == NULL) {
        return false; /* it could not be made */
    }
    queue_read(j->queue, 0, &f);
    return f.running > 0;
}

/* For running jobs to end by themselves. */
static void drain(jobs_table *j)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + j->opts.drain_ns;
    until.tv_sec += (time_t)(ns / SECOND_NS);
    until.tv_nsec = (long)(ns % SECOND_NS);
    int failed = 0;
    while (anybody_runs(j) && failed == 0) {
        failed = pthread_cond_timedwait(&j->drained, &j->lock, &until);
    }
}

void jobs_refuse(jobs_table *j)
{
    if (j == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&j->lock);
    j->stopping = true;
    job_entry *list = take_waiting(j);
    (void)pthread_cond_broadcast(&j->work);
    (void)pthread_cond_broadcast(&j->admit);
    (void)pthread_mutex_unlock(&j->lock);
    while (list != NULL) {
        job_entry *next = list->next_done;
        job_end(list, BRISK_ERR_CANCELLED);
        list = next;
    }
}

void jobs_stop(jobs_table *j)
{
    if (j == NULL) {
        return;
    }
    jobs_refuse(j);
    (void)pthread_mutex_lock(&j->lock);
    drain(j);
    for (job_entry *e = j->newest; e != NULL; e = e->older) {
        if (e->state == JOB_RUNNING && e->job != NULL) {
            brisk_job_cancel(e->job);
        }
    }
    (void)pthread_mutex_unlock(&j->lock);
    if (j->admission_started) {
        brisk_thread_join(&j->admission);
        j->admission_started = false;
    }
    for (uint32_t i = 0; i < j->runner_count; i++) {
        brisk_thread_join(&j->runners[i]);
    }
    j->runner_count = 0;
}

void jobs_destroy(jobs_table *j)
{
    if (j == NULL) {
        return;
    }
    jobs_stop(j);
    jobs_metrics_end(j);
    job_calls_destroy(j);
    while (j->newest != NULL) {
        job_entry *e = j->newest;
        jobs_unlist(j, e);
        job_entry_unref(e);
    }
    queue_destroy(j->queue);
    (void)pthread_cond_destroy(&j->admit);
    (void)pthread_cond_destroy(&j->drained);
    (void)pthread_cond_destroy(&j->work);
    (void)pthread_mutex_destroy(&j->lock);
    jobs_give(j, j, sizeof *j, _Alignof(jobs_table));
}
