/*
 * loader_race.c -- far tiers and loading, side by side: the first answer is taken.
 *
 *     near tiers: miss ─┬─► a thread of ours asks the far tiers ──────────► answer ─► taken if first
 *                       └─ head start ─► the caller's thread loads ─► answer ─► taken if first
 *
 * The load stays in the thread of its caller: what it was given may live there, and a circle of
 * loads is found by threads (flight.c).  When the far tiers answer meanwhile, the load is told so
 * if it asks (brisk_load_is_lost) and can stop at once; one that does not ask is waited for, and
 * its answer counts, being there.
 *
 * Threads that ask are started one by one, up to race_threads, and kept.  When all are busy (a tier
 * that hangs, say), the far tiers are not asked: computing goes on without them.
 *
 * A run is counted: by the caller until it has its answer, and by the thread that asks.
 *
 * Locks: `lock`, a leaf.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/thread.h"
#include "cache/loader_internal.h"

enum { NS_PER_S = 1000000000, THREADS_DEFAULT = 4 };

typedef struct race_run {
    struct race_run *next;
    brisk_loader *loader;
    uint32_t refs;
    bool done;
    bool found;
    _Atomic bool lost; /* the load's affair: the far tiers have answered */
    brisk_hit hit;
    brisk_key key;
    size_t bytes; /* of this block */
    unsigned char key_bytes[];
} race_run;

struct loader_race {
    const brisk_alloc *alloc;
    pthread_mutex_t lock;
    pthread_cond_t work; /* a run was added, or stop */
    pthread_cond_t done; /* a run is done; monotonic clock */
    race_run *first;
    race_run **last;
    uint32_t waiting; /* runs in the list */
    uint32_t idle;    /* threads without one */
    uint32_t thread_count;
    uint32_t thread_max;
    bool stop;
    brisk_thread threads[BRISK_RACE_THREADS_MAX];
};

/* Under the lock: one owner less; true: free it, without the lock. */
static bool let_go(race_run *run)
{
    BRISK_ASSERT(run->refs > 0);
    return --run->refs == 0;
}

static void free_run(const loader_race *race, race_run *run)
{
    if (run->found) {
        loader_drop_hit(&run->hit);
    }
    race->alloc->release(race->alloc->ctx, run, run->bytes, _Alignof(race_run));
}

/* An answer that is fresh; stale ones are what the load is for. */
static bool ask_tiers(race_run *run)
{
    brisk_loader *loader = run->loader;
    const brisk_loader_opts *opts = &loader->opts;
    if (!brisk_cache_get(opts->cache, &run->key, opts->tiers, &run->hit)) {
        return false;
    }
    loader_age age = loader_entry_read(loader, &run->hit);
    if (age != LOADER_FRESH && age != LOADER_EARLY) {
        loader_drop_hit(&run->hit);
        return false;
    }
    return true;
}

static void run_thread(void *ctx)
{
    loader_race *race = ctx;
    (void)pthread_mutex_lock(&race->lock);
    for (;;) {
        race->idle++;
        while (race->first == NULL && !race->stop) {
            (void)pthread_cond_wait(&race->work, &race->lock);
        }
        race->idle--;
        race_run *run = race->first;
        if (run == NULL) {
            break;
        }
        race->first = run->next;
        race->last = race->first == NULL ? &race->first : race->last;
        race->waiting--;
        (void)pthread_mutex_unlock(&race->lock);
        bool found = ask_tiers(run);
        (void)pthread_mutex_lock(&race->lock);
        run->found = found;
        run->done = true;
        /* Relaxed: a hint; the answer is read under the lock. */
        atomic_store_explicit(&run->lost, found, memory_order_relaxed);
        (void)pthread_cond_broadcast(&race->done);
        if (let_go(run)) {
            (void)pthread_mutex_unlock(&race->lock);
            free_run(race, run);
            (void)pthread_mutex_lock(&race->lock);
        }
    }
    (void)pthread_mutex_unlock(&race->lock);
}

/* Under the lock: somebody will take one more run soon. */
static bool has_room(loader_race *race)
{
    if (race->idle > race->waiting) {
        return true;
    }
    if (race->thread_count == race->thread_max) {
        return false;
    }
    brisk_thread_opts opts = {.name = "brisk-race", .run = run_thread, .ctx = race};
    if (brisk_thread_start(&race->threads[race->thread_count], &opts) != BRISK_OK) {
        return false;
    }
    race->thread_count++;
    return true;
}

/* NULL: no room, or no memory. */
static race_run *start(loader_race *race, brisk_loader *loader, const brisk_key *key)
{
    size_t bytes = sizeof(race_run) + key->size;
    race_run *run = race->alloc->acquire(race->alloc->ctx, bytes, _Alignof(race_run));
    if (run == NULL) {
        return NULL;
    }
    memset(run, 0, sizeof *run);
    run->loader = loader;
    run->refs = 2;
    run->bytes = bytes;
    memcpy(run->key_bytes, key->bytes, key->size);
    run->key = (brisk_key){.bytes = run->key_bytes, .size = key->size, .hash = key->hash};
    (void)pthread_mutex_lock(&race->lock);
    bool room = has_room(race);
    if (room) {
        *race->last = run;
        race->last = &run->next;
        race->waiting++;
        (void)pthread_cond_signal(&race->work);
    }
    (void)pthread_mutex_unlock(&race->lock);
    if (!room) {
        free_run(race, run);
        return NULL;
    }
    return run;
}

/* Until the far tiers have answered, at most `wait_ns`; UINT64_MAX: as long as it takes. */
static bool wait_done(loader_race *race, const race_run *run, uint64_t wait_ns)
{
    int failed = 0;
    uint64_t now = brisk_clock_now_ns(NULL);
    uint64_t until_ns = wait_ns < UINT64_MAX - now ? now + wait_ns : UINT64_MAX;
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S),
                             .tv_nsec = (long)(until_ns % NS_PER_S)};
    (void)pthread_mutex_lock(&race->lock);
    while (!run->done && failed != ETIMEDOUT) {
        failed = until_ns != UINT64_MAX ? pthread_cond_timedwait(&race->done, &race->lock, &until)
                                        : pthread_cond_wait(&race->done, &race->lock);
    }
    bool done = run->done;
    (void)pthread_mutex_unlock(&race->lock);
    return done;
}

static void leave(loader_race *race, race_run *run)
{
    (void)pthread_mutex_lock(&race->lock);
    bool last = let_go(run);
    (void)pthread_mutex_unlock(&race->lock);
    if (last) {
        free_run(race, run);
    }
}

/* The far tiers' answer, which is there, becomes the leader's. */
static brisk_err take_hit(loader_call *lead, race_run *run)
{
    loader_count(&lead->loader->counters.race_tiers, 1);
    if ((run->hit.flags & BRISK_ENTRY_NEGATIVE) != 0) {
        return BRISK_ERR_NOT_FOUND;
    }
    loader_copy_hit(&lead->hit, &run->hit);
    return BRISK_OK;
}

brisk_err loader_race_load(loader_call *lead, brisk_load *load, bool *from_tiers)
{
    brisk_loader *loader = lead->loader;
    loader_race *race = loader->race;
    race_run *run = start(race, loader, &lead->flight.key);
    *from_tiers = false;
    if (run == NULL) {
        loader_count(&loader->counters.race_full, 1);
        return loader->opts.load(loader->opts.ctx, &lead->flight.key, load);
    }
    brisk_err err = BRISK_ERR_CANCELLED;
    if (!wait_done(race, run, loader->opts.race_start_ns) || !run->found) {
        load->lost_ = &run->lost;
        err = loader->opts.load(loader->opts.ctx, &lead->flight.key, load);
        load->lost_ = NULL;
    }
    bool answered = err == BRISK_OK || err == BRISK_ERR_NOT_FOUND;
    if (answered) {
        loader_count(&loader->counters.race_loads, 1);
    } else if (wait_done(race, run, UINT64_MAX) && run->found) {
        *from_tiers = true;
        err = take_hit(lead, run);
    }
    leave(race, run);
    return err;
}

bool brisk_load_is_lost(const brisk_load *load)
{
    const _Atomic bool *lost = load->lost_;
    return lost != NULL && atomic_load_explicit(lost, memory_order_relaxed);
}

brisk_err loader_race_create(const brisk_loader_opts *opts, const brisk_alloc *alloc,
                             loader_race **ret)
{
    if (opts->race_threads > BRISK_RACE_THREADS_MAX) {
        return BRISK_ERR_INVALID;
    }
    loader_race *race = alloc->acquire(alloc->ctx, sizeof *race, _Alignof(loader_race));
    if (race == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *race = (loader_race){
        .alloc = alloc,
        .thread_max = opts->race_threads != 0 ? opts->race_threads : THREADS_DEFAULT,
    };
    race->last = &race->first;
    pthread_condattr_t attr;
    int failed = pthread_mutex_init(&race->lock, NULL);
    failed |= pthread_cond_init(&race->work, NULL);
    failed |= pthread_condattr_init(&attr);
    failed |= pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    failed |= pthread_cond_init(&race->done, &attr);
    failed |= pthread_condattr_destroy(&attr);
    BRISK_ASSERT(failed == 0); /* none of them can fail on Linux */
    *ret = race;
    return BRISK_OK;
}

void loader_race_destroy(loader_race *race)
{
    if (race == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&race->lock);
    race->stop = true;
    (void)pthread_cond_broadcast(&race->work);
    (void)pthread_mutex_unlock(&race->lock);
    for (uint32_t i = 0; i < race->thread_count; i++) {
        brisk_thread_join(&race->threads[i]);
    }
    (void)pthread_mutex_destroy(&race->lock);
    (void)pthread_cond_destroy(&race->work);
    (void)pthread_cond_destroy(&race->done);
    race->alloc->release(race->alloc->ctx, race, sizeof *race, _Alignof(loader_race));
}
