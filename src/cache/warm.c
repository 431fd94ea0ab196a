/*
 * warm.c -- keys from a source, loaded by a few threads: <brisk/warm.h>.
 *
 * The caller and up to parallel - 1 helpers from the background take one key after another, under
 * a lock, with a copy of its bytes, and load it without the lock.
 *
 * Helpers may stand in a queue behind the caller (who may be a worker of the same pool), so the
 * caller never waits for one that has not begun: what they share is counted by reference, and a
 * helper who comes when it is closed only lets go of it.  A helper that has begun is waited for,
 * since it uses the caller's source and callbacks.
 *
 * Locks: `lock` over source, report, progress and cancelled; nothing is taken under it here.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <brisk/warm.h>

#include "base/assert.h"

enum { PARALLEL_DEFAULT = 4, PARALLEL_MAX = 64 };

typedef struct warm_run {
    brisk_warm_opts opts; /* no pointer in it is followed after `closed` */
    const brisk_alloc *alloc;
    pthread_mutex_t lock;
    pthread_cond_t left; /* a helper has ended */
    uint32_t refs;
    uint32_t active;
    bool closed;
    uint64_t begin_ns;
    uint64_t taken;
    brisk_warm_report report;
} warm_run;

/* The bytes of a worker's key. */
typedef struct warm_key {
    unsigned char *bytes;
    size_t room;
    brisk_key key;
} warm_key;

static void lock_run(warm_run *run)
{
    int failed = pthread_mutex_lock(&run->lock);
    BRISK_ASSERT(failed == 0);
}

static void unlock_run(warm_run *run)
{
    int failed = pthread_mutex_unlock(&run->lock);
    BRISK_ASSERT(failed == 0);
}

/* --- sources ---------------------------------------------------------------------------------- */

static brisk_err next_of_list(void *ctx, brisk_key *ret)
{
    brisk_key_list *list = ctx;
    if (list->at >= list->count) {
        return BRISK_ERR_NOT_FOUND;
    }
    *ret = list->keys[list->at++];
    return BRISK_OK;
}

brisk_keys brisk_keys_of_list(brisk_key_list *list)
{
    return (brisk_keys){.next = next_of_list, .ctx = list};
}

static brisk_err next_of_tags(void *ctx, brisk_key *ret)
{
    brisk_key_tags *tags = ctx;
    while (tags->at < tags->count) {
        bool first = !tags->begun;
        tags->begun = true;
        brisk_err err = tags->next(tags->ctx, &tags->tags[tags->at], first, ret);
        if (err != BRISK_ERR_NOT_FOUND) {
            return err;
        }
        tags->at++;
        tags->begun = false;
    }
    return BRISK_ERR_NOT_FOUND;
}

brisk_keys brisk_keys_of_tags(brisk_key_tags *tags)
{
    return (brisk_keys){.next = next_of_tags, .ctx = tags};
}

/* --- one key after another --------------------------------------------------------------------- */

static bool copy_key(const warm_run *run, warm_key *to, const brisk_key *from)
{
    if (from->size > to->room) {
        void *bytes = run->alloc->acquire(run->alloc->ctx, from->size, 1);
        if (bytes == NULL) {
            return false;
        }
        if (to->bytes != NULL) {
            run->alloc->release(run->alloc->ctx, to->bytes, to->room, 1);
        }
        to->bytes = bytes;
        to->room = from->size;
    }
    memcpy(to->bytes, from->bytes, from->size);
    to->key = (brisk_key){.bytes = to->bytes, .size = from->size, .hash = from->hash};
    return true;
}

/* Under the lock: why no other key is to be taken, or OK. */
static brisk_err must_end(const warm_run *run)
{
    const brisk_warm_opts *opts = &run->opts;
    if (run->report.ended != BRISK_OK) {
        return run->report.ended;
    }
    if (opts->cancelled != NULL && opts->cancelled(opts->ctx)) {
        return BRISK_ERR_CANCELLED;
    }
    if (opts->deadline_ns != 0 && brisk_clock_now_ns(opts->clock) >= opts->deadline_ns) {
        return BRISK_ERR_DEADLINE;
    }
    bool limit = (opts->items_max != 0 && run->taken >= opts->items_max) ||
                 (opts->bytes_max != 0 && run->report.bytes >= opts->bytes_max) ||
                 (opts->failed_max != 0 && run->report.failed >= opts->failed_max);
    return limit ? BRISK_ERR_LIMIT : BRISK_OK;
}

/* The next key for a worker; false: it is over.  NOT_FOUND in `ended` stands for the end. */
static bool take(warm_run *run, warm_key *to)
{
    lock_run(run);
    brisk_err err = run->closed ? BRISK_ERR_NOT_FOUND : must_end(run);
    brisk_key key;
    err = err == BRISK_OK ? run->opts.keys.next(run->opts.keys.ctx, &key) : err;
    if (err == BRISK_OK && (key.size == 0 || key.size > BRISK_KEY_BYTES_MAX)) {
        err = BRISK_ERR_INVALID;
    }
    if (err == BRISK_OK && !copy_key(run, to, &key)) {
        err = BRISK_ERR_NOMEM;
    }
    if (err == BRISK_OK) {
        run->taken++;
    } else if (run->report.ended == BRISK_OK) {
        run->report.ended = err;
    }
    unlock_run(run);
    return err == BRISK_OK;
}

typedef struct warm_result {
    brisk_err err;
    bool present;
    uint64_t bytes;
    brisk_errinfo info;
} warm_result;

static void warm_one(const warm_run *run, const brisk_key *key, warm_result *ret)
{
    const brisk_warm_opts *opts = &run->opts;
    ret->present = false;
    ret->bytes = 0;
    ret->info.text[0] = '\0';
    if (opts->warm != NULL) {
        ret->err = opts->warm(opts->ctx, key, &ret->present, &ret->bytes, &ret->info);
        return;
    }
    brisk_loader_call call = {.deadline_ns = opts->deadline_ns, .info = &ret->info};
    brisk_loaded got;
    ret->err = brisk_loader_get(opts->loader, key, &call, &got);
    if (ret->err == BRISK_OK) {
        ret->present = got.from != BRISK_LOADED_HERE;
        ret->bytes = ret->present ? 0 : brisk_value_size(got.hit.value);
        ret->err = got.from == BRISK_LOADED_STALE_ERROR ? got.err : BRISK_OK;
        brisk_value_unref(got.hit.value);
    }
}

static void note_error(brisk_warm_report *report, const brisk_key *key, const warm_result *result)
{
    report->failed++;
    if (report->error_count == BRISK_WARM_ERRORS_MAX) {
        return;
    }
    brisk_warm_error *error = &report->errors[report->error_count++];
    const unsigned char *bytes = key->bytes;
    size_t size = key->size < sizeof error->key - 1 ? key->size : sizeof error->key - 1;
    for (size_t i = 0; i < size; i++) {
        error->key[i] = bytes[i] >= ' ' && bytes[i] < 0x7f ? (char)bytes[i] : '?';
    }
    error->key[size] = '\0';
    error->err = result->err;
    const char *text =
        result->info.text[0] != '\0' ? result->info.text : brisk_err_message(result->err);
    (void)snprintf(error->text, sizeof error->text, "%.*s", (int)sizeof error->text - 1, text);
}

static void tell(warm_run *run)
{
    uint64_t now = brisk_clock_now_ns(run->opts.clock);
    run->report.elapsed_ns = now > run->begin_ns ? now - run->begin_ns : 0;
    if (run->opts.progress != NULL) {
        run->opts.progress(run->opts.ctx, &run->report);
    }
}

static void note(warm_run *run, const brisk_key *key, const warm_result *result)
{
    brisk_warm_report *report = &run->report;
    lock_run(run);
    report->items++;
    report->bytes += result->bytes;
    if (result->err == BRISK_ERR_NOT_FOUND) {
        report->none++;
    } else if (result->err != BRISK_OK) {
        note_error(report, key, result);
    } else if (result->present) {
        report->present++;
    } else {
        report->loaded++;
    }
    uint64_t every = run->opts.progress_every != 0 ? run->opts.progress_every : 1;
    if (report->items % every == 0) {
        tell(run);
    }
    unlock_run(run);
}

static void work(warm_run *run)
{
    warm_key key = {0};
    while (take(run, &key)) {
        warm_result result;
        warm_one(run, &key.key, &result);
        note(run, &key.key, &result);
    }
    if (key.bytes != NULL) {
        run->alloc->release(run->alloc->ctx, key.bytes, key.room, 1);
    }
}

/* --- helpers ------------------------------------------------------------------------------------ */

/* Under the lock, which is released; the last one frees. */
static void let_go(warm_run *run)
{
    bool last = --run->refs == 0;
    unlock_run(run);
    if (last) {
        (void)pthread_cond_destroy(&run->left);
        (void)pthread_mutex_destroy(&run->lock);
        run->alloc->release(run->alloc->ctx, run, sizeof *run, _Alignof(warm_run));
    }
}

static bool begin_work(warm_run *run)
{
    if (run->closed) {
        return false;
    }
    run->active++;
    run->report.parallel = run->active > run->report.parallel ? run->active : run->report.parallel;
    return true;
}

static void help(void *arg)
{
    warm_run *run = arg;
    lock_run(run);
    if (begin_work(run)) {
        unlock_run(run);
        work(run);
        lock_run(run);
        run->active--;
        (void)pthread_cond_signal(&run->left);
    }
    let_go(run);
}

/* NULL: no memory. */
static warm_run *make_run(const brisk_warm_opts *opts)
{
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    warm_run *run = alloc->acquire(alloc->ctx, sizeof *run, _Alignof(warm_run));
    if (run == NULL) {
        return NULL;
    }
    memset(run, 0, sizeof *run);
    run->opts = *opts;
    run->alloc = alloc;
    run->refs = 1;
    int failed = pthread_mutex_init(&run->lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex and condition on Linux */
    failed = pthread_cond_init(&run->left, NULL);
    BRISK_ASSERT(failed == 0);
    return run;
}

static void start_helpers(warm_run *run)
{
    const brisk_background *background = run->opts.background;
    uint32_t parallel = run->opts.parallel != 0 ? run->opts.parallel : PARALLEL_DEFAULT;
    for (uint32_t i = 1; background != NULL && i < parallel; i++) {
        lock_run(run);
        run->refs++;
        unlock_run(run);
        if (!background->run(background->ctx, help, run)) {
            lock_run(run);
            let_go(run); /* not the last: the caller has one */
            return;
        }
    }
}

brisk_err brisk_warm_run(const brisk_warm_opts *opts, brisk_warm_report *ret)
{
    if (opts == NULL || opts->keys.next == NULL || (opts->loader == NULL && opts->warm == NULL) ||
        opts->parallel > PARALLEL_MAX) {
        return BRISK_ERR_INVALID;
    }
    warm_run *run = make_run(opts);
    if (run == NULL) {
        return BRISK_ERR_NOMEM;
    }
    run->begin_ns = brisk_clock_now_ns(opts->clock);
    (void)begin_work(run); /* nobody else knows it yet */
    start_helpers(run);
    work(run);
    lock_run(run);
    run->active--;
    while (run->active != 0) {
        (void)pthread_cond_wait(&run->left, &run->lock);
    }
    run->closed = true;
    if (run->report.ended == BRISK_ERR_NOT_FOUND) {
        run->report.ended = BRISK_OK;
    }
    tell(run);
    *ret = run->report;
    let_go(run);
    return BRISK_OK;
}
