/*
 * loader.c -- asking a loader: <brisk/loader.h>.
 *
 *     cache ─ fresh ───────────────────────────────────────────────► answer
 *        ├─ due early, or stale ─► somebody refreshes (one only) ──► answer, as it is
 *        └─ miss, or expired ─► enter the flight of the key
 *                                  ├─ lead ──► load
 *                                  ├─ wait ──► the leader's answer, or lead when it gives up
 *                                  └─ landed ─► look again
 *        no answer ─► the expired one, within stale_if_error_ns ─► or the error
 *
 * The way of a hit is a lookup and, if the entry ends at all, a reading of the clock.
 *
 * A thread that waits sleeps on a condition of its own, so that a landing wakes only those whom it
 * concerns.  It looks up every 5 ms only when it has a deadline on a clock that is not the
 * system's, or may be cancelled.
 *
 * Locks: those of the flights and of the errors are leaves; `lock` counts jobs in the background.
 */
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "cache/loader_internal.h"

enum {
    FLIGHT_BUCKETS = 1024,
    LOOKS_MAX = 8, /* lookups of one call before it leads whatever landed meanwhile */
    NS_PER_S = 1000000000,
};

#define LOOK_AGAIN_NS         UINT64_C(5000000)
#define LEASE_TTL_DEFAULT_NS  UINT64_C(10000000000)
#define LEASE_WAIT_DEFAULT_NS UINT64_C(2000000000)

/* --- life ------------------------------------------------------------------------------------ */

static void free_loader(brisk_loader *loader)
{
    const brisk_alloc *alloc = loader->alloc;
    loader_race_destroy(loader->race);
    brisk_flights_destroy(loader->flights);
    brisk_value_unref(loader->none);
    loader_errors_deinit(&loader->errors);
    (void)pthread_mutex_destroy(&loader->lock);
    (void)pthread_cond_destroy(&loader->idle);
    alloc->release(alloc->ctx, loader, sizeof *loader, _Alignof(brisk_loader));
}

static brisk_err init_locks(brisk_loader *loader)
{
    int failed = pthread_mutex_init(&loader->lock, NULL);
    if (failed != 0) {
        return brisk_err_from_errno(failed);
    }
    failed = pthread_cond_init(&loader->idle, NULL);
    if (failed != 0) {
        (void)pthread_mutex_destroy(&loader->lock);
        return brisk_err_from_errno(failed);
    }
    brisk_err err = loader_errors_init(&loader->errors, loader->alloc);
    if (err != BRISK_OK) {
        (void)pthread_mutex_destroy(&loader->lock);
        (void)pthread_cond_destroy(&loader->idle);
    }
    return err;
}

static void set_defaults(brisk_loader *loader)
{
    brisk_loader_opts *opts = &loader->opts;
    uint32_t all = (1u << BRISK_CACHE_TIERS_MAX) - 1;
    loader->near_tiers = (opts->tiers != 0 ? opts->tiers : all) & ~opts->race_tiers;
    opts->refresh_beta = opts->refresh_beta != 0 ? opts->refresh_beta : 1;
    opts->lease_ttl_ns = opts->lease_ttl_ns != 0 ? opts->lease_ttl_ns : LEASE_TTL_DEFAULT_NS;
    opts->lease_wait_ns = opts->lease_wait_ns != 0 ? opts->lease_wait_ns : LEASE_WAIT_DEFAULT_NS;
    opts->clock = opts->clock != NULL ? opts->clock : brisk_clock_system();
    if (opts->background != NULL) {
        loader->background = *opts->background;
    }
    if (opts->lease != NULL) {
        loader->lease = *opts->lease;
    }
    opts->background = NULL;
    opts->lease = NULL;
}

brisk_err brisk_loader_create(const brisk_loader_opts *opts, brisk_loader **ret)
{
    BRISK_ASSERT(ret != NULL);
    if (opts == NULL || opts->cache == NULL || opts->load == NULL) {
        return BRISK_ERR_INVALID;
    }
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    brisk_loader *loader = alloc->acquire(alloc->ctx, sizeof *loader, _Alignof(brisk_loader));
    if (loader == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(loader, 0, sizeof *loader);
    loader->opts = *opts;
    loader->alloc = alloc;
    set_defaults(loader);
    brisk_err err = init_locks(loader);
    if (err != BRISK_OK) {
        alloc->release(alloc->ctx, loader, sizeof *loader, _Alignof(brisk_loader));
        return err;
    }
    brisk_flights_opts flights = {
        .buckets = FLIGHT_BUCKETS,
        .clock = loader->opts.clock,
        .alloc = alloc,
    };
    err = brisk_flights_create(&flights, &loader->flights);
    err = err == BRISK_OK ? brisk_value_copy("", 0, alloc, &loader->none) : err;
    if (err == BRISK_OK && opts->race_tiers != 0) {
        err = loader_race_create(opts, alloc, &loader->race);
    }
    if (err != BRISK_OK) {
        free_loader(loader);
        return err;
    }
    *ret = loader;
    return BRISK_OK;
}

void brisk_loader_destroy(brisk_loader *loader)
{
    if (loader == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&loader->lock);
    while (loader->running != 0) {
        (void)pthread_cond_wait(&loader->idle, &loader->lock);
    }
    (void)pthread_mutex_unlock(&loader->lock);
    free_loader(loader);
}

/* --- a thread that waits ---------------------------------------------------------------------- */

typedef struct loader_thread {
    loader_call call; /* first */
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool is_told;
    brisk_flight_event event;
} loader_thread;

/* The thread may be gone as soon as the lock is released: nothing is touched after that. */
static void thread_event(brisk_flight *self, brisk_flight_event event)
{
    loader_thread *thread = (loader_thread *)self;
    (void)pthread_mutex_lock(&thread->lock);
    thread->event = event;
    thread->is_told = true;
    (void)pthread_cond_signal(&thread->told);
    (void)pthread_mutex_unlock(&thread->lock);
}

static void thread_init(loader_thread *thread, brisk_loader *loader, const brisk_key *key)
{
    thread->call.flight = (brisk_flight){
        .key = *key,
        .blocks = true,
        .copy = loader_copy_answer,
        .on_event = thread_event,
    };
    thread->call.loader = loader;
    thread->call.err = BRISK_ERR_NOT_FOUND;
    thread->call.hit.value = NULL;
    thread->is_told = false;
    pthread_condattr_t attr;
    int failed = pthread_condattr_init(&attr);
    BRISK_ASSERT(failed == 0); /* glibc's cannot fail with these arguments */
    failed = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    BRISK_ASSERT(failed == 0);
    failed = pthread_cond_init(&thread->told, &attr);
    BRISK_ASSERT(failed == 0);
    (void)pthread_condattr_destroy(&attr);
    failed = pthread_mutex_init(&thread->lock, NULL);
    BRISK_ASSERT(failed == 0);
}

static void thread_deinit(loader_thread *thread)
{
    (void)pthread_mutex_destroy(&thread->lock);
    (void)pthread_cond_destroy(&thread->told);
}

/* Why a call must not wait any longer, or OK. */
static brisk_err must_stop(const brisk_loader *loader, const brisk_loader_call *call)
{
    if (call->cancelled != NULL && call->cancelled(call->ctx)) {
        return BRISK_ERR_CANCELLED;
    }
    if (call->deadline_ns != 0 && brisk_clock_now_ns(loader->opts.clock) >= call->deadline_ns) {
        return BRISK_ERR_DEADLINE;
    }
    return BRISK_OK;
}

/* Sleep, under the lock, until told or until it is time to look at deadline and cancellation. */
static void sleep_once(loader_thread *thread, const brisk_loader_call *call)
{
    const brisk_loader *loader = thread->call.loader;
    if (call->deadline_ns == 0 && call->cancelled == NULL) {
        (void)pthread_cond_wait(&thread->told, &thread->lock);
        return;
    }
    uint64_t until_ns = brisk_clock_now_ns(NULL) + LOOK_AGAIN_NS;
    if (call->cancelled == NULL && loader->opts.clock == brisk_clock_system()) {
        until_ns = call->deadline_ns;
    }
    struct timespec until = {
        .tv_sec = (time_t)(until_ns / NS_PER_S),
        .tv_nsec = (long)(until_ns % NS_PER_S),
    };
    (void)pthread_cond_timedwait(&thread->told, &thread->lock, &until);
}

/* Until something happened.  OK: see thread->event; otherwise the call gave up, and is out. */
static brisk_err wait_told(loader_thread *thread, const brisk_loader_call *call)
{
    brisk_flights *flights = thread->call.loader->flights;
    brisk_err stop = BRISK_OK;
    (void)pthread_mutex_lock(&thread->lock);
    while (!thread->is_told) {
        if (stop != BRISK_OK) {
            (void)pthread_cond_wait(&thread->told, &thread->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&thread->lock);
        stop = must_stop(thread->call.loader, call);
        if (stop != BRISK_OK) {
            (void)brisk_flight_leave(flights, &thread->call.flight); /* which tells it */
        }
        (void)pthread_mutex_lock(&thread->lock);
        if (stop == BRISK_OK && !thread->is_told) {
            sleep_once(thread, call);
        }
    }
    thread->is_told = false;
    (void)pthread_mutex_unlock(&thread->lock);
    if (stop != BRISK_OK && thread->event == BRISK_FLIGHT_LEAD) {
        brisk_flight_abandon(flights, &thread->call.flight); /* just now it would have led */
        return stop;
    }
    return thread->event == BRISK_FLIGHT_LEFT ? stop : BRISK_OK;
}

/* --- asking ----------------------------------------------------------------------------------- */

static bool wants(const loader_ask *ask, uint32_t flag)
{
    return (ask->call->flags & flag) != 0;
}

static brisk_err give(brisk_hit *from, brisk_loaded_from how, brisk_err err, brisk_loaded *ret)
{
    loader_copy_hit(&ret->hit, from);
    loader_drop_hit(from);
    ret->from = how;
    ret->err = err;
    return BRISK_OK;
}

/* There is no fresh answer.  That there is none at all is an answer, too. */
brisk_err loader_give_old(loader_ask *ask, brisk_err err, brisk_loaded *ret)
{
    if (ask->old.value != NULL && ask->may_give_old && err != BRISK_ERR_NOT_FOUND &&
        err != BRISK_ERR_CANCELLED) {
        loader_count(&ask->loader->counters.stale_errors, 1);
        return give(&ask->old, BRISK_LOADED_STALE_ERROR, err, ret);
    }
    loader_drop_hit(&ask->old);
    return err;
}

brisk_err loader_give_answer(loader_ask *ask, loader_call *call, brisk_loaded_from how,
                             brisk_loaded *ret)
{
    loader_counters *counters = &ask->loader->counters;
    loader_count(&counters->shared, how == BRISK_LOADED_SHARED);
    if (call->err != BRISK_OK) {
        loader_count(&counters->negative, call->err == BRISK_ERR_NOT_FOUND);
        return loader_give_old(ask, call->err, ret);
    }
    loader_drop_hit(&ask->old);
    return give(&call->hit, how, BRISK_OK, ret);
}

static brisk_err load_here(loader_ask *ask, loader_call *lead, bool early, brisk_loaded *ret)
{
    loader_request request = {
        .stale = ask->old.value != NULL ? &ask->old : NULL,
        .arg = ask->call->arg,
        .deadline_ns = ask->call->deadline_ns,
        .info = ask->call->info,
        .early = early,
        .reload = (ask->call->flags & BRISK_CALL_RELOAD) != 0,
    };
    loader_run(lead, &request);
    /* Another process may have loaded (a lease), or far tiers were faster. */
    bool cached = lead->err == BRISK_OK && lead->hit.tier != UINT32_MAX;
    return loader_give_answer(ask, lead, cached ? BRISK_LOADED_CACHE : BRISK_LOADED_HERE, ret);
}

/* Look into the cache; `age` is USELESS on a miss. */
void loader_look(loader_ask *ask, loader_age *age, brisk_hit *hit)
{
    *age = LOADER_USELESS;
    if (wants(ask, BRISK_CALL_RELOAD) && ask->looks == 0) {
        return;
    }
    if (!loader_entry_get(ask->loader, ask->key, ask->call, hit)) {
        return;
    }
    *age = loader_entry_read(ask->loader, hit);
    if (*age == LOADER_USELESS) {
        loader_drop_hit(hit);
    }
}

static brisk_err refresh_here(loader_ask *ask, loader_call *lead, loader_age age, brisk_loaded *ret)
{
    bool early = age == LOADER_EARLY;
    loader_count(&ask->loader->counters.refreshes, 1);
    loader_count(&ask->loader->counters.early, early);
    ask->may_give_old = true;
    brisk_err err = load_here(ask, lead, early, ret);
    if (err == BRISK_OK && early && ret->from == BRISK_LOADED_STALE_ERROR) {
        ret->from = BRISK_LOADED_CACHE; /* it is fresh still */
    }
    return err;
}

/*
 * The answer in ask->old is good enough to give, and should be refreshed by one of those who get
 * it: in the background if there is one.
 */
static brisk_err refresh(loader_ask *ask, loader_age age, brisk_loaded *ret)
{
    brisk_loader *loader = ask->loader;
    loader_counters *counters = &loader->counters;
    brisk_loaded_from how = age == LOADER_EARLY ? BRISK_LOADED_CACHE : BRISK_LOADED_STALE;
    uint64_t now = brisk_clock_now_ns(loader->opts.clock);
    if (loader_errors_find(&loader->errors, ask->key, now) != BRISK_OK) {
        /* It failed a moment ago. */
    } else if (loader->background.run != NULL && ask->call->arg == NULL) {
        bool begun = loader_refresh_later(loader, ask->key, &ask->old, age == LOADER_EARLY);
        loader_count(&counters->refresh_drops, !begun);
    } else {
        loader_thread thread;
        thread_init(&thread, loader, ask->key);
        bool lead = brisk_flight_try_lead(loader->flights, &thread.call.flight);
        brisk_err err = lead ? refresh_here(ask, &thread.call, age, ret) : BRISK_OK;
        thread_deinit(&thread);
        if (lead) {
            return err;
        }
    }
    loader_count(&counters->stale, age == LOADER_STALE);
    return give(&ask->old, how, BRISK_OK, ret);
}

/* Lead, wait, or find that the answer has been stored: then *again. */
static brisk_err join(loader_ask *ask, loader_thread *thread, uint64_t landed, bool *again,
                      brisk_loaded *ret)
{
    brisk_loader *loader = ask->loader;
    loader_call *call = &thread->call;
    switch (brisk_flight_enter(loader->flights, &call->flight, landed)) {
    case BRISK_FLIGHT_JOIN_LEAD: return load_here(ask, call, false, ret);
    case BRISK_FLIGHT_JOIN_ANSWERED: return loader_give_answer(ask, call, BRISK_LOADED_SHARED, ret);
    case BRISK_FLIGHT_JOIN_LANDED: *again = true; return BRISK_OK;
    case BRISK_FLIGHT_JOIN_CYCLE:
        loader_count(&loader->counters.cycles, 1);
        return loader_give_old(ask, BRISK_ERR_CYCLE, ret);
    case BRISK_FLIGHT_JOIN_WAITING: {
        brisk_err stop = wait_told(thread, ask->call);
        if (stop != BRISK_OK) {
            return loader_give_old(ask, stop, ret);
        }
        return thread->event == BRISK_FLIGHT_LEAD
                   ? load_here(ask, call, false, ret)
                   : loader_give_answer(ask, call, BRISK_LOADED_SHARED, ret);
    }
    case BRISK_FLIGHT_JOIN_ALONE: break; /* only with may_wait or a deadline of the flight */
    }
    BRISK_ASSERT(false);
    return BRISK_ERR_INVALID;
}

static brisk_err load_or_wait(loader_ask *ask, uint64_t landed, bool *again, brisk_loaded *ret)
{
    brisk_loader *loader = ask->loader;
    brisk_err err = must_stop(loader, ask->call);
    if (err != BRISK_OK) {
        return loader_give_old(ask, err, ret);
    }
    if (loader_remembers_error(ask, ret, &err)) {
        return err;
    }
    loader_thread thread;
    thread_init(&thread, loader, ask->key);
    err = join(ask, &thread, landed, again, ret);
    thread_deinit(&thread);
    return err;
}

brisk_err loader_give_fresh(brisk_loader *loader, brisk_loaded *ret)
{
    if ((ret->hit.flags & BRISK_ENTRY_NEGATIVE) != 0) {
        loader_drop_hit(&ret->hit);
        loader_count(&loader->counters.negative, 1);
        return BRISK_ERR_NOT_FOUND;
    }
    ret->from = BRISK_LOADED_CACHE;
    ret->err = BRISK_OK;
    return BRISK_OK;
}

bool loader_answer_at_once(loader_ask *ask, loader_age age, brisk_loaded *ret, brisk_err *err)
{
    if (age == LOADER_FRESH) {
        *err = loader_give_fresh(ask->loader, ret);
        return true;
    }
    if (age != LOADER_USELESS) {
        loader_copy_hit(&ask->old, &ret->hit);
        loader_drop_hit(&ret->hit);
    }
    ask->may_give_old = !wants(ask, BRISK_CALL_FRESH);
    bool good = age == LOADER_EARLY || (age != LOADER_USELESS && ask->may_give_old);
    if (good && wants(ask, BRISK_CALL_CACHED)) {
        loader_count(&ask->loader->counters.stale, age != LOADER_EARLY);
        *err = give(&ask->old, age == LOADER_EARLY ? BRISK_LOADED_CACHE : BRISK_LOADED_STALE,
                    BRISK_OK, ret);
        return true;
    }
    if (wants(ask, BRISK_CALL_CACHED)) {
        loader_drop_hit(&ask->old);
        *err = BRISK_ERR_NOT_FOUND;
        return true;
    }
    if (good && age != LOADER_EXPIRED) {
        *err = refresh(ask, age, ret);
        return true;
    }
    return false;
}

bool loader_remembers_error(loader_ask *ask, brisk_loaded *ret, brisk_err *err)
{
    brisk_loader *loader = ask->loader;
    if (wants(ask, BRISK_CALL_RELOAD)) {
        return false;
    }
    *err = loader_errors_find(&loader->errors, ask->key, brisk_clock_now_ns(loader->opts.clock));
    if (*err == BRISK_OK) {
        return false;
    }
    loader_count(&loader->counters.error_hits, 1);
    *err = loader_give_old(ask, *err, ret);
    return true;
}

/* Everything but a fresh hit: `ret->hit` holds what the cache answered, if `age` says so. */
static brisk_err get_slowly(loader_ask *ask, loader_age age, uint64_t landed, brisk_loaded *ret)
{
    for (;;) {
        brisk_err err;
        if (loader_answer_at_once(ask, age, ret, &err)) {
            return err;
        }
        bool again = false;
        err = load_or_wait(ask, landed, &again, ret);
        if (!again) {
            return err;
        }
        landed = loader_look_again(ask, &age, ret);
    }
}

uint64_t loader_look_again(loader_ask *ask, loader_age *age, brisk_loaded *ret)
{
    const brisk_flights *flights = ask->loader->flights;
    loader_drop_hit(&ask->old);
    ask->looks++;
    uint64_t seen = brisk_flight_landed(flights, ask->key);
    loader_look(ask, age, &ret->hit);
    return ask->looks < LOOKS_MAX ? seen : brisk_flight_landed(flights, ask->key);
}

void loader_ask_init(loader_ask *ask, brisk_loader *loader, const brisk_key *key,
                     const brisk_loader_call *call)
{
    ask->loader = loader;
    ask->key = key;
    ask->call = call;
    ask->old.value = NULL;
    ask->may_give_old = false;
    ask->looks = 0;
}

/* What the lookup of a call found. */
typedef struct loader_found {
    loader_age age;
    uint64_t landed;
} loader_found;

/* Apart, so that a hit does not make room on the stack for all that. */
static __attribute__((noinline)) brisk_err get_missed(brisk_loader *loader, const brisk_key *key,
                                                      const brisk_loader_call *call,
                                                      loader_found found, brisk_loaded *ret)
{
    loader_ask ask;
    loader_ask_init(&ask, loader, key, call);
    return get_slowly(&ask, found.age, found.landed, ret);
}

brisk_err brisk_loader_get(brisk_loader *loader, const brisk_key *key,
                           const brisk_loader_call *call, brisk_loaded *ret)
{
    static const brisk_loader_call plain = {0};
    call = call != NULL ? call : &plain;
    /* Before the lookup: see flight.h. */
    loader_found found = {
        .age = LOADER_USELESS,
        .landed = brisk_flight_landed(loader->flights, key),
    };
    if ((call->flags & BRISK_CALL_RELOAD) == 0 && loader_entry_get(loader, key, call, &ret->hit)) {
        found.age = loader_entry_read(loader, &ret->hit);
        if (found.age == LOADER_FRESH) {
            return loader_give_fresh(loader, ret);
        }
        if (found.age == LOADER_USELESS) {
            loader_drop_hit(&ret->hit);
        }
    }
    return get_missed(loader, key, call, found, ret);
}

/* --- changes ---------------------------------------------------------------------------------- */

void brisk_loader_put(brisk_loader *loader, const brisk_key *key, brisk_value *value,
                      uint64_t ttl_ns, const brisk_entry_opts *opts)
{
    static const brisk_entry_opts plain = {0};
    opts = opts != NULL ? opts : &plain;
    BRISK_ASSERT(opts->meta_size <= BRISK_LOAD_META_MAX);
    brisk_hit hit;
    hit.value = value;
    hit.flags = opts->flags;
    hit.cost_ns = opts->cost_ns;
    hit.expires_at_ns = loader_entry_end(loader, ttl_ns);
    hit.meta_size = opts->meta_size;
    if (hit.meta_size != 0) {
        memcpy(hit.meta, opts->meta, hit.meta_size);
    }
    brisk_flight_outdate(loader->flights, key);
    loader_errors_forget(&loader->errors, key);
    loader_entry_store(loader, key, &hit, opts);
}

brisk_err brisk_loader_remove(brisk_loader *loader, const brisk_key *key)
{
    brisk_flight_outdate(loader->flights, key);
    loader_errors_forget(&loader->errors, key);
    return brisk_cache_remove(loader->opts.cache, key);
}

void brisk_loader_outdate(brisk_loader *loader)
{
    brisk_flight_outdate_all(loader->flights);
    loader_errors_forget_all(&loader->errors);
}

brisk_cache *brisk_loader_cache(const brisk_loader *loader)
{
    return loader->opts.cache;
}

void brisk_loader_read_stats(const brisk_loader *loader, brisk_loader_stats *ret)
{
    const loader_counters *from = &loader->counters;
    *ret = (brisk_loader_stats){
#define READ(name) .name = atomic_load_explicit(&from->name, memory_order_relaxed)
        READ(loads),      READ(load_errors),  READ(load_ns), READ(shared),      READ(negative),
        READ(stale),      READ(stale_errors), READ(early),   READ(refreshes),   READ(refresh_drops),
        READ(error_hits), READ(outdated),     READ(cycles),  READ(lease_waits), READ(race_tiers),
        READ(race_loads), READ(race_full),
#undef READ
    };
}
