/*
 * brisk/warm.h -- filling a cache before anybody asks: now, or when there is nothing else to do.
 *
 * Warming takes keys from a source (a list, what was popular in a recorded history, the keys of
 * tags, a callback) and loads those that the cache does not have, several at a time, with progress,
 * a deadline, cancellation and a report.
 *
 * Precomputing takes keys that will perhaps be wanted into a small queue, and loads them one by one
 * while somebody says that the machine is idle.  What has waited too long, or finds the queue full
 * of newer wishes, is dropped: nobody depends on it.
 *
 * Source: A. Metwally, D. Agrawal, A. El Abbadi, Efficient Computation of Frequent and Top-k
 *         Elements in Data Streams (ICDT 2005; Space-Saving).
 */
#ifndef BRISK_WARM_H
#define BRISK_WARM_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/cache.h>
#include <brisk/clock.h>
#include <brisk/err.h>
#include <brisk/hash.h>
#include <brisk/loader.h>

BRISK_BEGIN_DECLS

/* --- where keys come from --------------------------------------------------------------------- */

/** A sequence of keys, read by one thread at a time. */
typedef struct brisk_keys {
    /** OK and *ret, whose bytes stay until the next call; NOT_FOUND at the end; or an error. */
    brisk_err (*next)(void *ctx, brisk_key *ret);
    void *ctx;
} brisk_keys;

/** Keys in memory.  Zero `at`; borrowed. */
typedef struct brisk_key_list {
    const brisk_key *keys;
    uint64_t count;
    uint64_t at;
} brisk_key_list;

BRISK_API brisk_keys brisk_keys_of_list(brisk_key_list *list);

/** The keys of each of some tags, by whoever knows them (an index, a database). */
typedef struct brisk_key_tags {
    const brisk_tag *tags;
    uint32_t count;
    /** As brisk_keys.next, for the keys of one tag; `first` in the first call for it. */
    brisk_err (*next)(void *ctx, const brisk_tag *tag, bool first, brisk_key *ret);
    void *ctx;
    uint32_t at; /**< Zero; the next two too. */
    bool begun;
} brisk_key_tags;

BRISK_API brisk_keys brisk_keys_of_tags(brisk_key_tags *tags);

/** The keys that a history has most often. */
typedef struct brisk_popular brisk_popular;

typedef struct brisk_popular_opts {
    brisk_keys history;
    uint32_t top;             /**< How many keys; 0 means 1000. */
    uint32_t counters;        /**< Keys counted at a time; 0 means 8 times `top`; up to 2^24. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_popular_opts;

/**
 * Read the whole history and keep the `top` keys.  With `counters` or fewer different keys the
 * counts are exact; otherwise a key's count is too high by at most N / counters after N keys, and
 * every key that came more often than that is among those counted.
 * Errors: the history's, INVALID, NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_popular_create(const brisk_popular_opts *opts,
                                                         brisk_popular **ret);
BRISK_API void brisk_popular_destroy(brisk_popular *popular); /**< NULL is accepted. */
/** From the most popular on; from the beginning each time this is called. */
BRISK_API brisk_keys brisk_keys_of_popular(brisk_popular *popular);
/** The key at `rank` from 0 and its count; false: there is none. */
BRISK_API bool brisk_popular_read(const brisk_popular *popular, uint32_t rank, brisk_key *key,
                                  uint64_t *count);

/* --- warming ---------------------------------------------------------------------------------- */

enum { BRISK_WARM_ERRORS_MAX = 8, BRISK_WARM_KEY_MAX = 48 };

typedef struct brisk_warm_error {
    brisk_err err;
    char key[BRISK_WARM_KEY_MAX]; /**< Its beginning, what is not printable as '?'. */
    char text[160];               /**< What the load had to say, or the error's message. */
} brisk_warm_error;

typedef struct brisk_warm_report {
    uint64_t items;   /**< Keys taken from the source and dealt with. */
    uint64_t loaded;  /**< Of them, loaded now. */
    uint64_t present; /**< The cache had it (or somebody else loaded it just then). */
    uint64_t none;    /**< There is nothing under this key. */
    uint64_t failed;  /**< Could not be loaded. */
    uint64_t bytes;   /**< Of the loaded values. */
    uint64_t elapsed_ns;
    uint32_t parallel; /**< Most loads at a time. */
    brisk_err ended;   /**< OK: the source ended; or why warming did before. */
    uint32_t error_count;
    brisk_warm_error errors[BRISK_WARM_ERRORS_MAX]; /**< The first ones. */
} brisk_warm_report;

typedef struct brisk_warm_opts {
    brisk_loader *loader; /**< Required, but with `warm`. */
    brisk_keys keys;      /**< Required. */
    /** Instead of the loader: make the key present; true in *present if it was. */
    brisk_err (*warm)(void *ctx, const brisk_key *key, bool *present, uint64_t *bytes,
                      brisk_errinfo *info);
    void *ctx;                          /**< Of warm, progress and cancelled. */
    const brisk_background *background; /**< Helpers; NULL: the calling thread alone. */
    uint32_t parallel;                  /**< Loads at a time; 0 means 4; up to 64. */
    uint64_t items_max;                 /**< 0: no limit. */
    uint64_t bytes_max;                 /**< Stop after so many bytes were loaded; 0: no limit. */
    uint64_t failed_max;                /**< Stop (LIMIT) after so many failures; 0: never. */
    uint64_t deadline_ns;               /**< On the clock; 0: none. */
    /** Asked before every item, under a lock. */
    bool (*cancelled)(void *ctx);
    /** Told after every `progress_every` items (0 means 1), under a lock, and at the end. */
    void (*progress)(void *ctx, const brisk_warm_report *so_far);
    uint64_t progress_every;
    const brisk_clock *clock; /**< Borrowed; NULL means the system's. */
    const brisk_alloc *alloc; /**< Borrowed, thread-safe; NULL means libc. */
} brisk_warm_opts;

/**
 * Warm, with the calling thread and up to parallel - 1 jobs of the background; returns when no load
 * is running any more.  Errors: INVALID, NOMEM (nothing was done).  Whatever else happens stands in
 * the report.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_warm_run(const brisk_warm_opts *opts,
                                                   brisk_warm_report *ret);

/* --- precomputing when idle -------------------------------------------------------------------- */

typedef struct brisk_idle brisk_idle;

typedef struct brisk_idle_opts {
    brisk_loader *loader; /**< Borrowed; required. */
    /** Whether there is nothing better to do.  Required; any thread. */
    bool (*is_idle)(void *ctx);
    void *ctx;
    const brisk_background *background; /**< NULL: loads run in brisk_idle_tend. */
    uint32_t parallel;                  /**< Loads at a time in the background; 0 means 1. */
    uint32_t entries_max;               /**< Keys that wait; 0 means 1024; up to 2^20. */
    uint64_t wait_max_ns;               /**< Dropped when they have waited so long; 0: 60 s. */
    const brisk_clock *clock;           /**< Borrowed; NULL means the system's. */
    const brisk_alloc *alloc;           /**< Borrowed, thread-safe; NULL means libc. */
} brisk_idle_opts;

typedef struct brisk_idle_stats {
    uint64_t added;
    uint64_t doubles;       /**< Asked for while waiting already. */
    uint64_t dropped_full;  /**< The oldest, when a new one found the queue full. */
    uint64_t dropped_stale; /**< Waited too long. */
    uint64_t loaded;
    uint64_t present; /**< The cache had it when its turn came. */
    uint64_t failed;
    uint64_t waiting; /**< Now. */
} brisk_idle_stats;

/** Errors: INVALID, NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_idle_create(const brisk_idle_opts *opts,
                                                      brisk_idle **ret);
/** Waits for loads under way; what waits is dropped.  NULL is accepted. */
BRISK_API void brisk_idle_destroy(brisk_idle *idle);
/** `key` will perhaps be wanted.  Errors: NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_idle_add(brisk_idle *idle, const brisk_key *key);
/** Nobody wants it any more.  False: it was not waiting. */
BRISK_API bool brisk_idle_drop(brisk_idle *idle, const brisk_key *key);
/**
 * Go on if idle: to be called when work ends, or now and then.  A job in the background goes on
 * by itself as long as is_idle says so.  Returns how many loads this call ran or started.
 */
BRISK_API uint32_t brisk_idle_tend(brisk_idle *idle);
BRISK_API void brisk_idle_read_stats(brisk_idle *idle, brisk_idle_stats *ret);

BRISK_END_DECLS

#endif /* BRISK_WARM_H */
