/*
 * loader_internal.h -- what the files of the loader share.
 *
 *     loader.c         asking: the cache, ages, stale answers, waiting
 *     loader_async.c   asking without a thread that waits
 *     loader_run.c     one load: lease, callback, publish, store, land
 *     loader_entry.c   what a loader adds to an entry; when it is refreshed early
 *     loader_errors.c  errors that are repeated for a while
 *     loader_race.c    far tiers and loading, side by side
 */
#ifndef BRISK_SRC_CACHE_LOADER_INTERNAL_H
#define BRISK_SRC_CACHE_LOADER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include <brisk/flight.h>
#include <brisk/loader.h>

/* --- loader_errors.c ----------------------------------------------------------------------- */

enum { LOADER_ERRORS_MAX = 256 /* power of two */ };

typedef struct loader_error {
    void *bytes; /* the key's, our own copy; NULL: free */
    brisk_key key;
    brisk_err err;
    uint64_t until_ns; /* on the monotonic clock */
} loader_error;

/* One place per hash: a later error takes the place of an earlier one. */
typedef struct loader_errors {
    pthread_mutex_t lock;
    const brisk_alloc *alloc;
    _Atomic uint32_t count;
    loader_error slots[LOADER_ERRORS_MAX];
} loader_errors;

BRISK_NODISCARD brisk_err loader_errors_init(loader_errors *errors, const brisk_alloc *alloc);
void loader_errors_deinit(loader_errors *errors);
/* Without memory it is not remembered. */
void loader_errors_add(loader_errors *errors, const brisk_key *key, brisk_err err,
                       uint64_t until_ns);
void loader_errors_forget(loader_errors *errors, const brisk_key *key);
void loader_errors_forget_all(loader_errors *errors);
/* The error remembered for `key`, or OK. */
brisk_err loader_errors_find(loader_errors *errors, const brisk_key *key, uint64_t now_ns);

/* --- the loader ----------------------------------------------------------------------------- */

typedef struct loader_counters {
    _Atomic uint64_t loads, load_errors, load_ns, shared, negative, stale, stale_errors, early,
        refreshes, refresh_drops, error_hits, outdated, cycles, lease_waits, race_tiers, race_loads,
        race_full;
} loader_counters;

typedef struct loader_race loader_race;

struct brisk_loader {
    brisk_loader_opts opts;
    loader_race *race;           /* NULL: there is none */
    uint32_t near_tiers;         /* with a race: those that are asked first */
    brisk_background background; /* run NULL: there is none */
    brisk_lease lease;           /* acquire NULL: there is none */
    const brisk_alloc *alloc;
    brisk_flights *flights;
    brisk_value *none; /* of negative entries */
    loader_errors errors;
    _Atomic uint64_t draws; /* of the chance of early refreshes */
    pthread_mutex_t lock;   /* of the two below, and of waiting for a lease */
    pthread_cond_t idle;
    uint32_t running; /* jobs in the background */
    _Alignas(64) loader_counters counters;
};

static inline void loader_count(_Atomic uint64_t *counter, uint64_t amount)
{
    (void)atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

/* --- loader_entry.c ------------------------------------------------------------------------- */

typedef enum loader_age {
    LOADER_FRESH = 0,
    LOADER_EARLY,   /* fresh, and to be refreshed */
    LOADER_STALE,   /* may be answered while somebody refreshes */
    LOADER_EXPIRED, /* may be answered when loading fails */
    LOADER_USELESS,
} loader_age;

bool loader_entry_get_with(const brisk_loader *loader, const brisk_key *key,
                           const brisk_loader_call *call, brisk_hit *ret);

/* What the cache has for a call.  Inline, as the next one: the way of a hit. */
static inline bool loader_entry_get(const brisk_loader *loader, const brisk_key *key,
                                    const brisk_loader_call *call, brisk_hit *ret)
{
    bool plain = (loader->opts.flags & BRISK_LOADER_OUTDATED_IF_ERROR) == 0 &&
                 call->tag_count == 0 && loader->opts.race_tiers == 0;
    return plain ? brisk_cache_get(loader->opts.cache, key, loader->opts.tiers, ret)
                 : loader_entry_get_with(loader, key, call, ret);
}

loader_age loader_entry_judge(brisk_loader *loader, brisk_hit *hit);

/* Judge what the cache answered, and make of it what the user stored. */
static inline loader_age loader_entry_read(brisk_loader *loader, brisk_hit *hit)
{
    bool for_ever =
        hit->expires_at_ns == 0 && hit->meta_size < BRISK_LOADER_META_BYTES && !hit->stale;
    return for_ever ? LOADER_FRESH : loader_entry_judge(loader, hit);
}

/* Store `hit`, which lives until hit->expires_at_ns (0: for ever), with the tags of `opts`. */
void loader_entry_store(brisk_loader *loader, const brisk_key *key, const brisk_hit *hit,
                        const brisk_entry_opts *opts);
/* Store that there is none for `key`, or forget what there was. */
void loader_entry_store_none(brisk_loader *loader, const brisk_key *key,
                             const brisk_entry_opts *opts);
/* The end of a life that begins now; ttl_ns 0: the loader's; 0 when it does not end. */
uint64_t loader_entry_end(const brisk_loader *loader, uint64_t ttl_ns);
/* One more owner of the value, and what is set of the meta data. */
void loader_copy_hit(brisk_hit *to, const brisk_hit *from);
void loader_drop_hit(brisk_hit *hit);

/* --- loader_run.c --------------------------------------------------------------------------- */

/* Somebody who leads or waits. */
typedef struct loader_call {
    brisk_flight flight; /* first */
    brisk_loader *loader;
    brisk_err err; /* the answer: OK and `hit`, NOT_FOUND, or why there is none */
    brisk_hit hit;
} loader_call;

/* What a load is given besides the key. */
typedef struct loader_request {
    const brisk_hit *stale;
    void *arg;
    uint64_t deadline_ns;
    brisk_errinfo *info;
    bool early;
    bool reload; /* whatever the cache has */
} loader_request;

/* loader_call is the leader of its flight: load, tell the others, store, land.  The answer is then
 * in `lead`, which is out of the table. */
void loader_run(loader_call *lead, const loader_request *request);
/* Load while the far tiers are asked.  *from_tiers: they were first, and `lead` has their answer. */
BRISK_NODISCARD brisk_err loader_race_load(loader_call *lead, brisk_load *load, bool *from_tiers);
BRISK_NODISCARD brisk_err loader_race_create(const brisk_loader_opts *opts,
                                             const brisk_alloc *alloc, loader_race **ret);
void loader_race_destroy(loader_race *race); /* waits for its threads; NULL is accepted */
/* For brisk_flight.copy. */
void loader_copy_answer(brisk_flight *self, const brisk_flight *leader);
/* Refresh in the background what `stale` is an answer of.  False: no room, no memory. */
bool loader_refresh_later(brisk_loader *loader, const brisk_key *key, const brisk_hit *stale,
                          bool early);

/* A job in the background is counted, and destroy waits for it. */
void loader_job_begins(brisk_loader *loader);
void loader_job_ends(brisk_loader *loader);

/* --- loader.c ------------------------------------------------------------------------------- */

/* What a call knows on its way. */
typedef struct loader_ask {
    brisk_loader *loader;
    const brisk_key *key;
    const brisk_loader_call *call;
    brisk_hit old; /* an answer for want of a better one; value NULL: none */
    bool may_give_old;
    uint32_t looks;
} loader_ask;

void loader_ask_init(loader_ask *ask, brisk_loader *loader, const brisk_key *key,
                     const brisk_loader_call *call);
/* Look into the cache; `age` is USELESS on a miss. */
void loader_look(loader_ask *ask, loader_age *age, brisk_hit *hit);
/* Likewise, since somebody's answer landed.  Returns what to enter the flight with. */
uint64_t loader_look_again(loader_ask *ask, loader_age *age, brisk_loaded *ret);
/* ret->hit is what the cache had, of that age.  False: it has to be loaded, or waited for. */
bool loader_answer_at_once(loader_ask *ask, loader_age age, brisk_loaded *ret, brisk_err *err);
bool loader_remembers_error(loader_ask *ask, brisk_loaded *ret, brisk_err *err);
/* The end of an ask: with the answer of a load, or without one. */
brisk_err loader_give_answer(loader_ask *ask, loader_call *call, brisk_loaded_from how,
                             brisk_loaded *ret);
brisk_err loader_give_old(loader_ask *ask, brisk_err err, brisk_loaded *ret);
brisk_err loader_give_fresh(brisk_loader *loader, brisk_loaded *ret);

#endif /* BRISK_SRC_CACHE_LOADER_INTERNAL_H */
