/*
 * jobs_run.c -- runners: take the next job, run it, say how it ended.
 *
 * What a job ended with (result, details, report, trace) is made by its runner before anybody is told
 * and while nobody else can reach it; then, under the lock, the state changes, the slot is free, and
 * those who wait are detached; then its memory is given back: the request, which may be large, goes at once.
 */
#include "daemon/api/jobs_internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <brisk/trace.h>

#include "base/assert.h"
#include "daemon/api/sse.h"

/* --- what it ended with ------------------------------------------------------------------- */

static uint16_t status_of(brisk_err err)
{
    static const struct {
        brisk_err err;
        uint16_t status;
    } rows[] = {
        {BRISK_ERR_CONFLICT, 409},  {BRISK_ERR_INVALID, 422},    {BRISK_ERR_MISMATCH, 422},
        {BRISK_ERR_NOT_FOUND, 422}, {BRISK_ERR_CORRUPT, 422},    {BRISK_ERR_UNSUPPORTED, 422},
        {BRISK_ERR_LIMIT, 413},     {BRISK_ERR_PERMISSION, 403}, {BRISK_ERR_CANCELLED, 410},
        {BRISK_ERR_DEADLINE, 504},  {BRISK_ERR_NOMEM, 503},      {BRISK_ERR_FULL, 507},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].err == err) {
            return rows[i].status;
        }
    }
    return 500;
}

/* An ETag is of the bytes: the same result has the same, whoever computed it. */
static void tag_value(job_entry *e)
{
    uint64_t size = brisk_value_size(e->value);
    const void *data = brisk_value_data(e->value);
    void *map = MAP_FAILED;
    if (data == NULL && size > 0) {
        map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, brisk_value_fd(e->value), 0);
        data = map != MAP_FAILED ? map : NULL;
    }
    if (data != NULL || size == 0) {
        brisk_hash128 hash = brisk_hash128_of(data, (size_t)size, 0);
        (void)snprintf(e->etag, sizeof e->etag, "\"%016llx%016llx\"", (unsigned long long)hash.hi,
                       (unsigned long long)hash.lo);
    }
    if (map != MAP_FAILED) {
        (void)munmap(map, size);
    }
}

/* A name for Content-Disposition: no path, nothing that ends a quoted string. */
static void copy_name(char *to, size_t size, const char *name)
{
    const char *slash = strrchr(name, '/');
    size_t used = 0;
    for (const char *at = slash != NULL ? slash + 1 : name; *at != '\0' && used + 1 < size; at++) {
        unsigned char c = (unsigned char)*at;
        to[used++] = c < 0x20 || c >= 0x7f || c == '"' || c == '\\' ? '_' : *at;
    }
    to[used] = '\0';
}

static brisk_err take_result(job_entry *e, brisk_job *job)
{
    const brisk_form *form = e->workload->form;
    brisk_form_output out = {.type = "application/octet-stream"};
    brisk_err err = BRISK_OK;
    if (form->result != NULL) {
        err = form->result(job, e->request, &out);
    } else {
        out.value = brisk_job_value(job);
        err = out.value != NULL ? BRISK_OK : BRISK_ERR_NOT_FOUND;
        out.value = out.value != NULL ? brisk_value_ref(out.value) : NULL;
    }
    if (err != BRISK_OK) {
        return err;
    }
    e->value = out.value;
    (void)snprintf(e->type, sizeof e->type, "%s", out.type);
    copy_name(e->name, sizeof e->name, out.name != NULL ? out.name : "");
    tag_value(e);
    return BRISK_OK;
}

static void take_trace(job_entry *e, brisk_job *job)
{
    brisk_str text;
    brisk_str_init(&text, e->jobs->alloc, JOBS_TEXT_MAX);
    brisk_err err = brisk_trace_write_chrome(brisk_job_trace(job), brisk_str_out(&text));
    size_t size = brisk_str_size(&text);
    if (err == BRISK_OK && brisk_str_err(&text) == BRISK_OK && size > 0) {
        e->trace = jobs_take(e->jobs, size, 1);
        if (e->trace != NULL) {
            memcpy(e->trace, brisk_str_text(&text), size);
            e->trace_size = size;
        }
    }
    brisk_str_deinit(&text);
}

/* --- the end ------------------------------------------------------------------------------ */

/* Everything that is not under the lock; `job` is done, or NULL. */
static job_state conclude(job_entry *e, brisk_job *job, brisk_err err)
{
    bool ran = job != NULL && e->started_ns != 0;
    e->ended_ns = jobs_now_ns(e->jobs);
    if (err == BRISK_OK) {
        err = take_result(e, job);
    }
    const char *text = ran ? brisk_job_error_text(job) : "";
    (void)snprintf(e->error_text, sizeof e->error_text, "%s",
                   text[0] != '\0' ? text : brisk_err_message(err));
    e->err = err;
    e->error_status = err != BRISK_OK ? status_of(err) : 200;
    if (ran) {
        take_trace(e, job);
    }
    job_take_spans(e, ran ? job : NULL);
    job_state state = err == BRISK_OK              ? JOB_SUCCEEDED
                      : err == BRISK_ERR_CANCELLED ? JOB_CANCELLED
                                                   : JOB_FAILED;
    job_write_final(e, state, ran ? job : NULL);
    e->bytes = sizeof *e + e->final_size + e->trace_size + e->span_count * sizeof *e->spans +
               (e->value != NULL ? (size_t)brisk_value_size(e->value) : 0);
    return state;
}

/* The state changes, those who wait are detached.  Under the lock. */
static job_call *tell(job_entry *e, job_state state)
{
    jobs_table *j = e->jobs;
    e->state = state;
    j->ended[state - JOB_SUCCEEDED]++;
    if (e->item.state == QUEUE_RUNNING) {
        queue_done(j->queue, &e->item, e->ended_ns);
        (void)pthread_cond_broadcast(&j->drained);
        (void)pthread_cond_broadcast(&j->work); /* a quota may be free */
    }
    if (e->in_table) {
        e->next_done = NULL;
        *(j->done_last != NULL ? &j->done_last->next_done : &j->done_first) = e;
        j->done_last = e;
        j->done_count++;
        j->done_bytes += e->bytes;
    }
    job_call *waiters = e->waiters;
    e->waiters = NULL;
    return waiters;
}

static void poke_streams(const jobs_table *j)
{
    if (atomic_load_explicit(&j->streams, memory_order_relaxed) == 0) {
        return;
    }
    for (uint32_t i = 0; i < j->server->worker_count; i++) {
        sse_poke(&j->server->workers[i]);
    }
}

void job_end(job_entry *e, brisk_err err)
{
    jobs_table *j = e->jobs;
    brisk_job *job = e->job;
    job_state state = conclude(e, job, err);
    (void)pthread_mutex_lock(&j->lock);
    e->refs++; /* it may be swept at once, being larger than all that is kept */
    job_call *waiters = tell(e, state);
    brisk_arena *arena = e->arena;
    const void *request = e->has_request ? e->request : NULL;
    job_body *body = e->body;
    e->job = NULL;
    e->arena = NULL;
    e->has_request = false;
    e->body = NULL;
    job_entry *swept = jobs_sweep(j, e->ended_ns);
    (void)pthread_mutex_unlock(&j->lock);
    job_calls_post(waiters);
    poke_streams(j);
    jobs_publish(e, state);
    brisk_job_destroy(job);
    if (request != NULL && e->workload->form->release != NULL) {
        e->workload->form->release(request);
    }
    brisk_arena_destroy(arena);
    job_body_unref(body);
    jobs_free_list(swept);
    job_entry_unref(e);
}

bool job_cancel(job_entry *e)
{
    jobs_table *j = e->jobs;
    (void)pthread_mutex_lock(&j->lock);
    bool over = job_state_is_over(e->state);
    bool waited = e->state == JOB_WAITING && e->item.state == QUEUE_WAITING;
    if (waited) {
        queue_remove(j->queue, &e->item);
        e->refs++; /* the queue's hold on it: job_end needs it until it returns */
    } else if (e->state == JOB_RUNNING && e->job != NULL) {
        brisk_job_cancel(e->job);
    }
    e->cancel = true;
    (void)pthread_mutex_unlock(&j->lock);
    if (waited) {
        job_end(e, BRISK_ERR_CANCELLED);
        job_entry_unref(e);
    }
    return !over;
}

/* --- runners ------------------------------------------------------------------------------ */

void jobs_end_expired(jobs_table *j)
{
    queue_item *item;
    while ((item = queue_expire(j->queue, jobs_now_ns(j))) != NULL) {
        (void)pthread_mutex_unlock(&j->lock);
        job_end((job_entry *)item, BRISK_ERR_DEADLINE);
        (void)pthread_mutex_lock(&j->lock);
    }
}

void jobs_wait(jobs_table *j, pthread_cond_t *cond)
{
    uint64_t deadline_ns = queue_next_deadline_ns(j->queue);
    if (deadline_ns == 0) {
        (void)pthread_cond_wait(cond, &j->lock);
    } else {
        uint64_t now_ns = jobs_now_ns(j);
        uint64_t ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until); /* the server's clock may be another */
        ns += (uint64_t)until.tv_nsec;
        until.tv_sec += (time_t)(ns / 1000000000);
        until.tv_nsec = (long)(ns % 1000000000);
        (void)pthread_cond_timedwait(cond, &j->lock, &until);
    }
}

void jobs_run(void *jobs_of)
{
    jobs_table *j = jobs_of;
    (void)pthread_mutex_lock(&j->lock);
    for (;;) {
        jobs_end_expired(j);
        queue_item *item = queue_pop(j->queue, jobs_now_ns(j));
        if (item != NULL) {
            job_entry *e = (job_entry *)item;
            e->state = JOB_RUNNING;
            e->started_ns = item->started_ns;
            e->refs++;
            (void)pthread_mutex_unlock(&j->lock);
            jobs_publish(e, JOB_RUNNING);
            job_end(e, brisk_job_run(e->job));
            job_entry_unref(e);
            (void)pthread_mutex_lock(&j->lock);
        } else if (j->stopping) {
            break;
        } else {
            j->idle_runners++;
            jobs_wait(j, &j->work);
            j->idle_runners--;
        }
    }
    (void)pthread_mutex_unlock(&j->lock);
}
