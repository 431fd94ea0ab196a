/*
 * predict_fetch.c -- the prefetcher behind <brisk/predict.h>.
 *
 *     note ─► ring[thread] ─► worker ─► predictor ─► guess: cached? ─► tell CACHED
 *                                                      trusted, slot free, idle? ─► LOADING ─► load
 *                                                      otherwise ─► tell SKIPPED
 *
 * The request path copies a note into a ring and is done.  The worker goes round the rings; while
 * requests come it looks every POLL_NS, after a while without any it sleeps until a note wakes it.
 * A wake-up that is missed by a hair (the note came between the worker's last look and its sleep)
 * costs SLEEP_NS: notes are advice, so no fence on the request path is worth more than that.
 *
 * Loads run on `run`, or on threads of our own, which are started with the prefetcher.  Each takes
 * one of loads_max slots; a slot is FREE, QUEUED (for our own threads) or BUSY.
 *
 * Inline: the note is worked on by the caller, and the load too when there is no `run`.
 *
 * What a load asks of the cache must not be noted as a request: brisk_prefetcher_note does nothing
 * on a thread that is inside a load.
 *
 * Threads: any.  Locks: `lock` for slots and sleep; the predictor's after it, never inside.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <brisk/clock.h>
#include <brisk/counter.h>
#include <brisk/predict.h>

#include "base/assert.h"
#include "base/thread.h"
#include "cache/note_ring.h"
#include "metrics/thread_id.h"

enum {
    RINGS = 8, /* power of two */
    RING_BYTES = 65536,
    LOADS_DEFAULT = 4,
    BATCH = 256,          /* notes of one ring before the next one's turn */
    POLL_NS = 200000,     /* between looks while requests come */
    IDLE_ROUNDS = 50,     /* looks in vain before the worker sleeps */
    SLEEP_NS = 100000000, /* and at most so long */
    NS_PER_S = 1000000000,
};

typedef struct predict_note {
    uint64_t hash_hi;
    uint64_t stream;
    uint64_t hit;
} predict_note;

typedef enum load_state { LOAD_FREE = 0, LOAD_QUEUED, LOAD_BUSY } load_state;

typedef struct load_slot {
    brisk_prefetcher *owner;
    load_state state; /* under `lock` */
    uint32_t id;
    size_t key_size;
    unsigned char key[BRISK_PREDICT_KEY_MAX];
} load_slot;

struct brisk_prefetcher {
    brisk_prefetcher_opts opts;
    const brisk_alloc *alloc;
    pthread_mutex_t lock;
    pthread_cond_t wake;   /* the worker: notes, stop */
    pthread_cond_t queued; /* load threads: a slot is queued, stop */
    pthread_cond_t quiet;  /* drain, destroy: nothing in flight, a round is over */
    uint32_t in_flight;
    uint64_t rounds; /* of the worker over all rings */
    bool stop;
    bool own_threads;
    uint32_t threads_started;
    _Atomic bool asleep; /* the worker waits for `wake` */
    brisk_counter noted;
    brisk_counter dropped;
    _Atomic uint64_t no_capacity;
    brisk_thread worker;
    brisk_thread loaders[BRISK_PREFETCH_LOADS_MAX];
    load_slot slots[BRISK_PREFETCH_LOADS_MAX];
    note_ring rings[RINGS];
    _Alignas(64) unsigned char ring_bytes[RINGS][RING_BYTES];
};

static _Thread_local bool inside_load;

static void lock(brisk_prefetcher *f)
{
    int failed = pthread_mutex_lock(&f->lock);
    BRISK_ASSERT(failed == 0);
}

static void unlock(brisk_prefetcher *f)
{
    int failed = pthread_mutex_unlock(&f->lock);
    BRISK_ASSERT(failed == 0);
}

/* Under `lock`. */
static void wait_ns(brisk_prefetcher *f, pthread_cond_t *cond, uint64_t ns)
{
    uint64_t until = brisk_clock_now_ns(NULL) + ns;
    struct timespec time = {.tv_sec = (time_t)(until / NS_PER_S),
                            .tv_nsec = (long)(until % NS_PER_S)};
    (void)pthread_cond_timedwait(cond, &f->lock, &time);
}

/* --- loads --------------------------------------------------------------------------------- */

static bool load_key(brisk_prefetcher *f, const void *bytes, size_t size)
{
    brisk_key key = brisk_key_of(bytes, size);
    bool outer = inside_load;
    inside_load = true;
    brisk_err err = f->opts.load(f->opts.ctx, &key);
    inside_load = outer;
    return err == BRISK_OK;
}

static void run_slot(void *arg)
{
    load_slot *slot = arg;
    brisk_prefetcher *f = slot->owner;
    bool ok = load_key(f, slot->key, slot->key_size);
    brisk_predictor_loaded(f->opts.predictor, slot->id, ok);
    lock(f);
    slot->state = LOAD_FREE;
    f->in_flight--;
    (void)pthread_cond_broadcast(&f->quiet);
    unlock(f); /* the last touch: who destroys waits for in_flight under the lock */
}

static load_slot *queued_slot(brisk_prefetcher *f)
{
    for (uint32_t i = 0; i < f->opts.loads_max; i++) {
        if (f->slots[i].state == LOAD_QUEUED) {
            return &f->slots[i];
        }
    }
    return NULL;
}

static void run_loader(void *ctx)
{
    brisk_prefetcher *f = ctx;
    lock(f);
    for (;;) {
        load_slot *slot = queued_slot(f);
        if (slot != NULL) {
            slot->state = LOAD_BUSY;
            unlock(f);
            run_slot(slot);
            lock(f);
        } else if (f->stop) {
            break;
        } else {
            (void)pthread_cond_wait(&f->queued, &f->lock);
        }
    }
    unlock(f);
}

/* A free slot with the guess in it, or NULL. */
static load_slot *take_slot(brisk_prefetcher *f, const brisk_guess *guess)
{
    load_slot *slot = NULL;
    lock(f);
    for (uint32_t i = 0; i < f->opts.loads_max && slot == NULL && !f->stop; i++) {
        if (f->slots[i].state == LOAD_FREE) {
            slot = &f->slots[i];
        }
    }
    if (slot != NULL) {
        *slot = (load_slot){.owner = f, .state = LOAD_BUSY, .id = guess->id};
        slot->key_size = guess->key_size;
        memcpy(slot->key, guess->key, guess->key_size);
        f->in_flight++;
    }
    unlock(f);
    return slot;
}

static void start_slot(brisk_prefetcher *f, load_slot *slot)
{
    if (f->own_threads) {
        lock(f);
        slot->state = LOAD_QUEUED;
        (void)pthread_cond_signal(&f->queued);
        unlock(f);
    } else if (!f->opts.run(f->opts.run_ctx, run_slot, slot)) {
        brisk_predictor_loaded(f->opts.predictor, slot->id, false);
        lock(f);
        slot->state = LOAD_FREE;
        f->in_flight--;
        unlock(f);
        atomic_fetch_add_explicit(&f->no_capacity, 1, memory_order_relaxed);
    }
}

static void load_guess(brisk_prefetcher *f, const brisk_guess *guess)
{
    load_slot *slot = NULL;
    bool idle = f->opts.is_idle == NULL || f->opts.is_idle(f->opts.ctx);
    if (idle && f->opts.inline_ && f->opts.run == NULL) {
        brisk_predictor_tell(f->opts.predictor, guess, BRISK_GUESS_LOADING);
        bool ok = load_key(f, guess->key, guess->key_size);
        brisk_predictor_loaded(f->opts.predictor, guess->id, ok);
        return;
    }
    slot = idle ? take_slot(f, guess) : NULL;
    if (slot == NULL) {
        atomic_fetch_add_explicit(&f->no_capacity, 1, memory_order_relaxed);
        brisk_predictor_tell(f->opts.predictor, guess, BRISK_GUESS_SKIPPED);
        return;
    }
    brisk_predictor_tell(f->opts.predictor, guess, BRISK_GUESS_LOADING);
    start_slot(f, slot);
}

/* --- notes --------------------------------------------------------------------------------- */

static void work_on(brisk_prefetcher *f, uint64_t stream, const brisk_key *key, bool hit)
{
    brisk_guess guesses[BRISK_PREDICT_DEPTH_MAX];
    uint32_t count =
        brisk_predictor_note(f->opts.predictor, stream, key, hit, guesses, BRISK_PREDICT_DEPTH_MAX);
    for (uint32_t i = 0; i < count; i++) {
        brisk_key guessed = brisk_key_of(guesses[i].key, guesses[i].key_size);
        if (f->opts.is_cached(f->opts.ctx, &guessed)) {
            brisk_predictor_tell(f->opts.predictor, &guesses[i], BRISK_GUESS_CACHED);
        } else if (guesses[i].trusted) {
            load_guess(f, &guesses[i]);
        } else {
            brisk_predictor_tell(f->opts.predictor, &guesses[i], BRISK_GUESS_SKIPPED);
        }
    }
}

/* Up to BATCH notes of one ring; were there any? */
static bool work_on_ring(brisk_prefetcher *f, note_ring *ring)
{
    predict_note note;
    unsigned char bytes[NOTE_KEY_MAX];
    uint32_t size = 0;
    uint32_t done = 0;
    while (done < BATCH && note_ring_pop(ring, &note, sizeof note, bytes, &size)) {
        /* A key that was too long for the ring still has its hash, which is all that learning
         * needs; with no bytes it is never guessed. */
        brisk_key key = {.bytes = bytes, .size = size, .hash = {.hi = note.hash_hi}};
        work_on(f, note.stream, &key, note.hit != 0);
        done++;
    }
    return done > 0;
}

static void run_worker(void *ctx)
{
    brisk_prefetcher *f = ctx;
    uint32_t vain = 0;
    for (;;) {
        bool any = false;
        for (uint32_t i = 0; i < RINGS; i++) {
            any = work_on_ring(f, &f->rings[i]) || any;
        }
        vain = any ? 0 : vain + 1;
        lock(f);
        f->rounds++;
        (void)pthread_cond_broadcast(&f->quiet);
        if (f->stop) {
            unlock(f);
            return;
        }
        if (vain > IDLE_ROUNDS) {
            atomic_store_explicit(&f->asleep, true, memory_order_relaxed);
            wait_ns(f, &f->wake, SLEEP_NS);
            atomic_store_explicit(&f->asleep, false, memory_order_relaxed);
        } else if (!any) {
            wait_ns(f, &f->wake, POLL_NS);
        }
        unlock(f);
    }
}

static void wake_worker(brisk_prefetcher *f)
{
    /* Relaxed: see the file's head. */
    if (atomic_load_explicit(&f->asleep, memory_order_relaxed) &&
        atomic_exchange_explicit(&f->asleep, false, memory_order_relaxed)) {
        (void)pthread_cond_signal(&f->wake);
    }
}

void brisk_prefetcher_note(brisk_prefetcher *f, uint64_t stream, const brisk_key *key, bool hit)
{
    if (inside_load) {
        return;
    }
    uint32_t thread = metrics_thread_id();
    stream = stream != 0 ? stream : UINT64_C(1) << 63 | thread;
    if (f->opts.inline_) {
        work_on(f, stream, key, hit);
        brisk_counter_add(&f->noted, 1);
        return;
    }
    predict_note note = {.hash_hi = key->hash.hi, .stream = stream, .hit = hit ? 1 : 0};
    note_parts parts = {.head = &note,
                        .head_size = sizeof note,
                        .key = key->bytes,
                        .key_size = key->size <= NOTE_KEY_MAX ? (uint32_t)key->size : 0};
    bool pushed = note_ring_push(&f->rings[thread & (RINGS - 1)], &parts);
    brisk_counter_add(pushed ? &f->noted : &f->dropped, 1);
    wake_worker(f);
}

void brisk_prefetcher_drain(brisk_prefetcher *f)
{
    if (f->opts.inline_) {
        return;
    }
    lock(f);
    for (;;) {
        bool empty = true;
        for (uint32_t i = 0; i < RINGS; i++) {
            empty = empty && note_ring_is_empty(&f->rings[i]);
        }
        if (empty && f->in_flight == 0) {
            break;
        }
        (void)pthread_cond_signal(&f->wake);
        wait_ns(f, &f->quiet, POLL_NS);
    }
    /* The last note was taken from its ring, but perhaps not worked on: two ends of rounds from
     * now on, it was; what it started is then in flight. */
    uint64_t seen = f->rounds;
    while (f->rounds < seen + 2 || f->in_flight != 0) {
        (void)pthread_cond_signal(&f->wake);
        wait_ns(f, &f->quiet, POLL_NS);
    }
    unlock(f);
}

void brisk_prefetcher_read_stats(brisk_prefetcher *f, brisk_prefetch_stats *ret)
{
    lock(f);
    *ret = (brisk_prefetch_stats){
        .noted = brisk_counter_read(&f->noted),
        .dropped = brisk_counter_read(&f->dropped),
        .no_capacity = atomic_load_explicit(&f->no_capacity, memory_order_relaxed),
        .in_flight = f->in_flight,
    };
    unlock(f);
}

/* --- life ---------------------------------------------------------------------------------- */

static brisk_err init_locks(brisk_prefetcher *f)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0) {
        return BRISK_ERR_NOMEM;
    }
    /* None of these can fail on Linux once the attribute exists. */
    int failed = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    failed |= pthread_mutex_init(&f->lock, NULL);
    failed |= pthread_cond_init(&f->wake, &attr);
    failed |= pthread_cond_init(&f->quiet, &attr);
    failed |= pthread_cond_init(&f->queued, NULL);
    BRISK_ASSERT(failed == 0);
    (void)pthread_condattr_destroy(&attr);
    return BRISK_OK;
}

static brisk_err start_threads(brisk_prefetcher *f)
{
    brisk_thread_opts worker = {.name = "brisk-predict", .run = run_worker, .ctx = f};
    brisk_thread_opts loader = {.name = "brisk-prefetch", .run = run_loader, .ctx = f};
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; f->own_threads && i < f->opts.loads_max && err == BRISK_OK; i++) {
        err = brisk_thread_start(&f->loaders[i], &loader);
        f->threads_started += err == BRISK_OK ? 1 : 0;
    }
    return err == BRISK_OK ? brisk_thread_start(&f->worker, &worker) : err;
}

brisk_err brisk_prefetcher_create(const brisk_prefetcher_opts *opts, brisk_prefetcher **ret)
{
    BRISK_ASSERT(ret != NULL && opts != NULL);
    if (opts->predictor == NULL || opts->is_cached == NULL || opts->load == NULL ||
        opts->loads_max > BRISK_PREFETCH_LOADS_MAX) {
        return BRISK_ERR_INVALID;
    }
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    brisk_prefetcher *f = alloc->acquire(alloc->ctx, sizeof *f, _Alignof(brisk_prefetcher));
    if (f == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(f, 0, sizeof *f);
    f->opts = *opts;
    f->opts.loads_max = opts->loads_max != 0 ? opts->loads_max : LOADS_DEFAULT;
    f->alloc = alloc;
    for (uint32_t i = 0; i < RINGS; i++) {
        note_ring_init(&f->rings[i], f->ring_bytes[i], RING_BYTES);
    }
    f->own_threads = opts->run == NULL && !opts->inline_;
    brisk_err err = init_locks(f);
    if (err != BRISK_OK) {
        alloc->release(alloc->ctx, f, sizeof *f, _Alignof(brisk_prefetcher));
        return err;
    }
    err = f->opts.inline_ ? BRISK_OK : start_threads(f);
    if (err != BRISK_OK) {
        brisk_prefetcher_destroy(f);
        return err;
    }
    *ret = f;
    return BRISK_OK;
}

void brisk_prefetcher_destroy(brisk_prefetcher *f)
{
    if (f == NULL) {
        return;
    }
    lock(f);
    f->stop = true;
    (void)pthread_cond_broadcast(&f->wake);
    (void)pthread_cond_broadcast(&f->queued);
    unlock(f);
    brisk_thread_join(&f->worker);
    for (uint32_t i = 0; i < f->threads_started; i++) {
        brisk_thread_join(&f->loaders[i]);
    }
    lock(f);
    while (f->in_flight != 0) {
        wait_ns(f, &f->quiet, POLL_NS);
    }
    unlock(f);
    (void)pthread_cond_destroy(&f->quiet);
    (void)pthread_cond_destroy(&f->queued);
    (void)pthread_cond_destroy(&f->wake);
    (void)pthread_mutex_destroy(&f->lock);
    f->alloc->release(f->alloc->ctx, f, sizeof *f, _Alignof(brisk_prefetcher));
}
