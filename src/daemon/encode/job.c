/*
 * job.c -- bodies that are made on the executor.
 *
 *     loop: encode_job_start ─► executor: read, sample, choose, make ─► loop: answer, free
 *
 * A job belongs to its worker's loop but while `run` is called.  Its exchange may go meanwhile: then
 * `undo` forgets it, and what was made is only kept.  A job without an exchange frees itself.
 *
 * Tries of methods that little is known of (calibrate) are jobs too: one at a time.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <brisk/engine.h>
#include <brisk/file.h>

#include "base/assert.h"
#include "daemon/encode/internal.h"
#include "daemon/engine.h"
#include "daemon/http/bandwidth.h"
#include "daemon/server.h"

enum {
    CALIBRATE_BYTES = 262144,
    CALIBRATE_SAMPLES = 2,
    BODY_ALIGN = 16,
    JOB_BYTES_MAX = 256 << 20, /* bodies of all jobs: what comes beyond goes plain */
};

struct encode_job {
    brisk_task task;
    loop_task home;
    encode *self;
    encode_job *next;
    encode_job *previous;
    worker *worker;
    exchange *x; /* NULL: gone, or there was none */
    http_answer answer;
    encode_plan plan;
    brisk_value *value; /* the body, or NULL: */
    int fd;             /* the body from `offset` on */
    bool own_fd;
    bool calibrate;
    bool offer; /* the value is a dictionary */
    bool begun; /* variants_begin was called */
    uint64_t offset;
    size_t size;
    brisk_value *made;
};

/* --- lists ------------------------------------------------------------------------------------ */

static encode_job *job_create(encode *self)
{
    encode_job *job = self->alloc->acquire(self->alloc->ctx, sizeof *job, _Alignof(encode_job));
    if (job != NULL) {
        *job = (encode_job){.self = self, .fd = -1};
    }
    return job;
}

static void job_free(encode_job *job)
{
    encode *self = job->self;
    brisk_value_unref(job->value);
    brisk_value_unref(job->made);
    encode_dictionary_unref(job->plan.dictionary);
    if (job->own_fd) {
        (void)close(job->fd);
    }
    self->alloc->release(self->alloc->ctx, job, sizeof *job, _Alignof(encode_job));
}

/* Is there room for one more body? */
static bool has_room(encode *self, uint64_t size)
{
    (void)pthread_mutex_lock(&self->lock);
    bool room = self->job_bytes + size <= JOB_BYTES_MAX;
    (void)pthread_mutex_unlock(&self->lock);
    return room;
}

static void enlist(encode_job *job)
{
    encode *self = job->self;
    (void)pthread_mutex_lock(&self->lock);
    self->job_bytes += job->size;
    job->next = self->jobs;
    if (job->next != NULL) {
        job->next->previous = job;
    }
    self->jobs = job;
    self->running++;
    (void)pthread_mutex_unlock(&self->lock);
}

/* Under the lock. */
static void delist(encode_job *job)
{
    job->self->job_bytes -= job->size;
    *(job->previous != NULL ? &job->previous->next : &job->self->jobs) = job->next;
    if (job->next != NULL) {
        job->next->previous = job->previous;
    }
}

/* The executor's part is over; a job that nobody waits for is gone. */
static void end_run(encode_job *job, bool forget)
{
    encode *self = job->self;
    worker *home = job->worker;
    (void)pthread_mutex_lock(&self->lock);
    if (forget) {
        delist(job);
    } else {
        loop_post(&home->loop, &job->home);
    }
    if (forget) {
        job_free(job);
    }
    self->running--;
    if (self->running == 0) {
        (void)pthread_cond_broadcast(&self->idle);
    }
    (void)pthread_mutex_unlock(&self->lock);
}

void encode_wait(encode *self)
{
    if (self == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&self->lock);
    while (self->running > 0) {
        (void)pthread_cond_wait(&self->idle, &self->lock);
    }
    (void)pthread_mutex_unlock(&self->lock);
}

void encode_jobs_end(encode *self)
{
    encode_wait(self);
    encode_job *job = self->jobs;
    self->jobs = NULL;
    while (job != NULL) { /* their loops do not run any more */
        encode_job *next = job->next;
        encode_drop_body(&job->answer.body);
        job_free(job);
        job = next;
    }
}

/* --- on the executor -------------------------------------------------------------------------- */

brisk_value *encode_make(encode *self, codec_bytes body, const encode_plan *plan)
{
    encode_measure measure;
    brisk_value *value = NULL;
    encode_bench *bench = encode_take_bench(self);
    bool plain = (plan->question.codings & 1u << ENCODE_IDENTITY) != 0;
    encode_task task = {
        .method = plan->method, .body = body, .dictionary = plan->dictionary, .forced = !plain};
    brisk_err err =
        bench != NULL ? encode_squeeze(bench, &task, &measure, &value) : BRISK_ERR_NOMEM;
    if (bench != NULL) {
        encode_give_bench(self, bench);
    }
    if (err == BRISK_OK) {
        encode_learn(&self->chooser, body.size, &plan->question.probe, plan->method, &measure);
        atomic_fetch_add_explicit(&self->bytes_in, body.size, memory_order_relaxed);
        atomic_fetch_add_explicit(&self->bytes_out, brisk_value_size(value), memory_order_relaxed);
    }
    if (plan->keep) {
        variants_end(self->variants, plan->identity, plan->method, plan->dictionary, value,
                     err == BRISK_ERR_LIMIT);
    }
    return value;
}

/* The body in memory: its own, or read into `*read`, which the caller frees.  NULL: it cannot. */
static const void *body_of(const encode_job *job, void **read)
{
    const encode *self = job->self;
    *read = NULL;
    if (job->value != NULL && brisk_value_data(job->value) != NULL) {
        return (const char *)brisk_value_data(job->value) + job->offset;
    }
    void *bytes = self->alloc->acquire(self->alloc->ctx, job->size, BODY_ALIGN);
    if (bytes == NULL) {
        return NULL;
    }
    if (brisk_file_pread_all(job->fd, bytes, job->size, job->offset) != BRISK_OK) {
        self->alloc->release(self->alloc->ctx, bytes, job->size, BODY_ALIGN);
        return NULL;
    }
    *read = bytes;
    return bytes;
}

/* Try what little is known of, on this content. */
static void calibrate(encode *self, const encode_job *job, const void *body)
{
    size_t size = job->size < CALIBRATE_BYTES ? job->size : CALIBRATE_BYTES;
    encode_bench *bench = encode_take_bench(self);
    for (int i = ENCODE_PLAIN + 1; bench != NULL && i < ENCODE_DCZ_3; i++) {
        encode_method method = (encode_method)i;
        if (method == ENCODE_ZSTD_19 || method == ENCODE_BROTLI_9 || method == ENCODE_BROTLI_11 ||
            encode_samples(&self->chooser, size, &job->plan.question.probe, method) >=
                CALIBRATE_SAMPLES) {
            continue;
        }
        encode_task task = {.method = method, .body = {body, size}, .expand = true};
        encode_measure measure;
        brisk_value *value;
        if (encode_squeeze(bench, &task, &measure, &value) == BRISK_OK) {
            brisk_value_unref(value);
            encode_learn(&self->chooser, size, &job->plan.question.probe, method, &measure);
        }
    }
    if (bench != NULL) {
        encode_give_bench(self, bench);
    }
}

/* Sample and choose, for a body that was on disk. */
static bool decide_here(encode *self, codec_bytes body, encode_plan *plan)
{
    encode_bench *bench = encode_take_bench(self);
    if (bench == NULL) {
        return false;
    }
    brisk_err err = encode_probe_bytes(bench->kit, body, &plan->question.probe);
    encode_give_bench(self, bench);
    if (err != BRISK_OK) {
        return false;
    }
    encode_chooser_note(&self->chooser, &plan->question.probe);
    if (plan->keep) {
        variants_know(self->variants, plan->identity, &plan->question.probe);
    }
    plan->method = encode_choose(&self->chooser, &plan->question);
    plan->decided = true;
    return plan->method != ENCODE_PLAIN;
}

static void start_calibration(encode *self, const encode_job *job, const void *body);

static void run_job(brisk_task *task)
{
    encode_job *job = task->ctx;
    encode *self = job->self;
    void *read;
    const void *body = body_of(job, &read);
    if (job->offer) {
        encode_offer_dictionary(self, job->value);
    } else if (body != NULL && job->calibrate) {
        calibrate(self, job, body);
        atomic_store_explicit(&self->calibrating, false, memory_order_release);
    } else if (body != NULL) {
        bool wanted = job->plan.decided || decide_here(self, (codec_bytes){body, job->size}, //
                                                       &job->plan);
        if (wanted) {
            job->made = encode_make(self, (codec_bytes){body, job->size}, &job->plan);
            atomic_fetch_add_explicit(job->worker != NULL ? &self->made : &self->background, 1,
                                      memory_order_relaxed);
            start_calibration(self, job, body);
        }
    } else if (job->begun) {
        variants_end(self->variants, job->plan.identity, job->plan.method, NULL, NULL, false);
    }
    if (read != NULL) {
        self->alloc->release(self->alloc->ctx, read, job->size, BODY_ALIGN);
    }
    end_run(job, job->worker == NULL);
}

static void submit(encode_job *job)
{
    server *s = job->self->server;
    brisk_engine *engine = s->engine != NULL ? server_engine(s) : NULL;
    job->task = (brisk_task){.run = run_job, .ctx = job};
    enlist(job);
    if (engine != NULL) {
        brisk_executor_submit(brisk_engine_executor(engine), &job->task);
    } else {
        run_job(&job->task);
    }
}

/* Only when something is not known, and nobody is at it. */
static void start_calibration(encode *self, const encode_job *job, const void *body)
{
    const encode_probe *probe = &job->plan.question.probe;
    size_t size = job->size < CALIBRATE_BYTES ? job->size : CALIBRATE_BYTES;
    if (encode_samples(&self->chooser, size, probe, ENCODE_ZSTD_6) >= CALIBRATE_SAMPLES ||
        atomic_exchange_explicit(&self->calibrating, true, memory_order_acquire)) {
        return;
    }
    encode_job *other = job_create(self);
    if (other == NULL || brisk_value_copy(body, size, self->alloc, &other->value) != BRISK_OK) {
        if (other != NULL) {
            job_free(other);
        }
        atomic_store_explicit(&self->calibrating, false, memory_order_release);
        return;
    }
    other->calibrate = true;
    other->size = size;
    other->plan = (encode_plan){.question = job->plan.question};
    submit(other);
}

void encode_offer_dictionary_later(encode *self, brisk_value *value)
{
    encode_job *job = job_create(self);
    if (job != NULL) {
        job->value = brisk_value_ref(value);
        job->size = brisk_value_size(value);
        job->offer = true;
        submit(job);
    }
}

/* --- in the loop ------------------------------------------------------------------------------ */

static void forget(exchange *x)
{
    encode_job *job = x->undone;
    x->undo = NULL;
    x->undone = NULL;
    job->x = NULL;
}

/* The answer with what was made, or as it is. */
static void finish(encode_job *job)
{
    exchange *x = job->x;
    http_answer encoded;
    x->undo = NULL;
    x->undone = NULL;
    encode_coding coding =
        job->made != NULL ? encode_ways[job->plan.method].coding : ENCODE_IDENTITY;
    bool good = encode_fields(x, &job->answer, coding, &encoded);
    if (!good || job->made == NULL) {
        bandwidth_sent(x, job->answer.body.size);
        exchange_answer(x, good ? &encoded : &job->answer);
        return;
    }
    encode_drop_body(&job->answer.body);
    encoded.body = (http_body){.kind = HTTP_BODY_VALUE,
                               .value = brisk_value_ref(job->made),
                               .fd = -1,
                               .size = brisk_value_size(job->made)};
    bandwidth_sent(x, encoded.body.size);
    exchange_answer(x, &encoded);
}

static void come_home(loop_task *task)
{
    encode_job *job = (encode_job *)((char *)task - offsetof(encode_job, home));
    encode *self = job->self;
    (void)pthread_mutex_lock(&self->lock);
    delist(job);
    (void)pthread_mutex_unlock(&self->lock);
    if (job->x != NULL) {
        finish(job);
    } else {
        encode_drop_body(&job->answer.body);
    }
    job_free(job);
}

/* The job's answer has the body, and its own view of it; false: no memory. */
static bool take_body(encode_job *job)
{
    http_body *body = &job->answer.body;
    if (body->kind == HTTP_BODY_BYTES) {
        brisk_value *copy;
        if (brisk_value_copy(body->data, body->size, job->self->alloc, &copy) != BRISK_OK) {
            return false;
        }
        *body = (http_body){.kind = HTTP_BODY_VALUE, .value = copy, .fd = -1, .size = body->size};
    }
    if (body->kind == HTTP_BODY_VALUE) {
        job->value = brisk_value_ref(body->value);
        job->fd = brisk_value_fd(body->value);
    } else {
        job->fd = body->fd;
    }
    job->offset = body->offset;
    job->size = body->size;
    return true;
}

bool encode_job_start(encode *self, exchange *x, const http_answer *answer, const encode_plan *plan)
{
    encode_job *job = has_room(self, answer->body.size) ? job_create(self) : NULL;
    if (job == NULL) {
        return false;
    }
    if (!encode_fields(x, answer, ENCODE_IDENTITY, &job->answer) || !take_body(job)) {
        job_free(job);
        return false;
    }
    job->answer.field_count--; /* vary comes at the end again */
    job->plan = *plan;
    job->begun = plan->keep && plan->decided;
    job->worker = x->worker;
    job->x = x;
    job->home.run = come_home;
    x->undo = forget;
    x->undone = job;
    submit(job);
    return true;
}

void encode_job_later(encode *self, const http_body *body, const encode_plan *plan)
{
    encode_job *job = has_room(self, body->size) ? job_create(self) : NULL;
    if (job == NULL) {
        return;
    }
    if (body->kind == HTTP_BODY_VALUE) {
        job->value = brisk_value_ref(body->value);
        job->fd = brisk_value_fd(body->value);
    } else if (body->kind == HTTP_BODY_FILE) {
        job->fd = fcntl(body->fd, F_DUPFD_CLOEXEC, 0);
        job->own_fd = job->fd >= 0;
    }
    bool good = job->value != NULL || job->fd >= 0;
    if (!good || !variants_begin(self->variants, plan->identity, plan->method)) {
        job_free(job);
        return;
    }
    job->offset = body->offset;
    job->size = body->size;
    job->plan = *plan;
    job->plan.dictionary = NULL;
    job->begun = true;
    submit(job);
}
