/*
 * brisk/loader.h -- a cache that fills itself: one load per key, and answers while it lasts.
 *
 *     age 0 ──────────────── ttl ─────────── + stale_ns ────────── + stale_if_error_ns ──►
 *     answered from the cache │ answered stale │ loaded; if that    │ loaded, or the error
 *        refreshed early, by  │ while one      │ fails, answered    │
 *        chance, near the end │ refreshes      │ stale              │
 *
 * Many may ask for one key; one loads, the others get its answer.  A failed load poisons nothing:
 * who waits gets the error (or tries in turn, BRISK_LOADER_RETRY), and the next call loads again.
 *
 * Entries that a loader stores are ordinary entries of the cache.  Only when they need it (a life
 * beyond the ttl, user meta data that looks like it) their meta data begins with 12 bytes of the
 * loader's, which it takes off again: write such keys through the loader.
 *
 * When the data behind a key changes: write it there first, then call brisk_loader_put or _remove,
 * or invalidate a tag.  A load that began before cannot store what it read; put and remove of the
 * loader (not those of the cache) see to it, too, that who asks afterwards does not wait for it.
 *
 * Threads: every function from any thread.  A load that asks for other keys is fine; one that asks
 * for its own, or in a circle with loads of other threads, gets CYCLE instead of a deadlock.
 * Sources: A. Vattani, F. Chierichetti, K. Lowenstein, Optimal Probabilistic Cache Stampede
 *          Prevention (VLDB 2015); RFC 5861 (stale-while-revalidate, stale-if-error); R. Nishtala
 *          et al., Scaling Memcache at Facebook (NSDI 2013; leases).
 */
#ifndef BRISK_LOADER_H
#define BRISK_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/cache.h>
#include <brisk/clock.h>
#include <brisk/err.h>
#include <brisk/hash.h>
#include <brisk/ttl.h>
#include <brisk/value.h>

BRISK_BEGIN_DECLS

enum {
    BRISK_LOADER_META_BYTES = 12, /**< Of BRISK_ENTRY_META_MAX, when the loader needs them. */
    BRISK_LOAD_META_MAX = BRISK_ENTRY_META_MAX - BRISK_LOADER_META_BYTES,
    BRISK_RACE_THREADS_MAX = 64,
};

/** What a load is told, and what it gives back. */
typedef struct brisk_load {
    const brisk_hit *stale; /**< What the cache still has (not fresh any more), or NULL. */
    void *arg;              /**< Of the call that loads. */
    bool early;             /**< A refresh before anybody found the answer expired. */
    uint64_t deadline_ns;   /**< Of the call that loads, on the loader's clock; 0: none. */
    brisk_errinfo *info;    /**< Never NULL; may be filled when the load fails. */

    brisk_value *value; /**< The answer: the reference goes to the loader. */
    bool unchanged;     /**< Instead of a value: `stale` is right and lives for another ttl. */
    bool no_store;      /**< The answer is for those who wait, not for the cache. */
    uint64_t ttl_ns;    /**< 0: the loader's. */
    /** Flags, meta (up to BRISK_LOAD_META_MAX), tags, dependencies; cost_ns 0: what the load took;
     *  as_of 0: its begin; expires_at_ns and tiers are the loader's. */
    brisk_entry_opts opts;
    void (*release)(void *ctx); /**< Called when what opts points at is no longer needed. */
    void *release_ctx;
    const void *lost_; /**< Private. */
} brisk_load;

/** With race_tiers: the far tiers have answered.  A load that asks now and then can return CANCELLED
 *  at once, and their answer is taken. */
BRISK_API bool brisk_load_is_lost(const brisk_load *load);

/**
 * Compute or fetch the value of `key`.  OK with ret->value (or ret->unchanged); NOT_FOUND: there is
 * none (which can be cached, negative_ttl_ns); any other error: it could not be found out.
 */
typedef brisk_err (*brisk_load_fn)(void *ctx, const brisk_key *key, brisk_load *ret);

/**
 * Who may load a key, among many processes.  All three from any thread; may block.
 */
typedef struct brisk_lease {
    /** OK: ours, for at most `ttl_ns`.  CONFLICT: another has it.  Other errors: as if it were ours. */
    brisk_err (*acquire)(void *ctx, const brisk_key *key, uint64_t ttl_ns);
    void (*release)(void *ctx, const brisk_key *key);
    void *ctx;
} brisk_lease;

/** Flags of a loader. */
enum {
    BRISK_LOADER_RETRY = 1u << 0, /**< After a failed load the next who waits loads. */
    /** Within stale_if_error_ns, answers that were invalidated too are given when loading fails. */
    BRISK_LOADER_OUTDATED_IF_ERROR = 1u << 1,
};

typedef struct brisk_loader_opts {
    brisk_cache *cache; /**< Borrowed; required. */
    brisk_load_fn load; /**< Required. */
    void *ctx;          /**< Passed to load. */
    uint32_t flags;     /**< BRISK_LOADER_... */
    uint32_t tiers;     /**< Bit i: tier i is used; 0 means all. */

    uint64_t ttl_ns;            /**< How long an answer is fresh; 0: for ever. */
    brisk_ttl *ttl;             /**< Borrowed: chooses it for each answer instead; NULL: ttl_ns. */
    uint64_t negative_ttl_ns;   /**< How long "there is none" is kept; 0: not at all. */
    uint64_t error_ttl_ns;      /**< How long an error is repeated instead of loading; 0: not. */
    uint64_t stale_ns;          /**< How long after its ttl an answer is given while one loads. */
    uint64_t stale_if_error_ns; /**< How long after its ttl it is given when loading fails. */
    /**
     * Early refresh: an answer is refreshed before its ttl ends with the chance that
     * now - cost * beta * ln(random) >= end of ttl.  0 means 1; larger: earlier; negative: never.
     */
    double refresh_beta;
    /**
     * Where refreshes run; they are left out when it has no room.  NULL: in the one call that
     * finds the answer due, while others get the old one.
     */
    const brisk_background *background;
    /**
     * Race: bit i: tier i is far, and asked by a thread of the loader's while the call already loads;
     * the first answer is taken.  Answers are stored there like everywhere.  0: no race.  Not for
     * refreshes, which the tiers have nothing newer for, nor for calls with RELOAD.
     */
    uint32_t race_tiers;
    uint32_t race_threads;    /**< That ask at once, up to BRISK_RACE_THREADS_MAX; 0 means 4. */
    uint64_t race_start_ns;   /**< How long far tiers have before the load begins; 0: not at all. */
    const brisk_lease *lease; /**< Copied; NULL: none. */
    uint64_t lease_ttl_ns;    /**< 0 means 10 s: the longest a load takes. */
    uint64_t lease_wait_ns;   /**< How long to wait for another's answer; 0 means 2 s. */
    uint64_t seed;            /**< Of the chances above. */
    const brisk_clock *clock; /**< Borrowed; NULL means the system's. */
    const brisk_alloc *alloc; /**< Borrowed, thread-safe; NULL means libc. */
} brisk_loader_opts;

/** Flags of a call. */
enum {
    BRISK_CALL_FRESH = 1u << 0,  /**< No stale answers, not even when loading fails. */
    BRISK_CALL_RELOAD = 1u << 1, /**< Load whatever the cache has (joining a load under way). */
    BRISK_CALL_CACHED = 1u << 2, /**< Never load nor wait: what the cache has, stale ones too. */
};

/** How to ask.  Zeroed means: wait as long as it takes. */
typedef struct brisk_loader_call {
    uint32_t flags;       /**< BRISK_CALL_... */
    uint64_t deadline_ns; /**< Of waiting for another's load, on the loader's clock; 0: none. */
    /** Asked before and while waiting for another's load, about every 5 ms; NULL: never. */
    bool (*cancelled)(void *ctx);
    void *ctx;
    /** Passed to load if this call loads.  With it, a refresh runs in this call. */
    void *arg;
    brisk_errinfo *info;   /**< May be NULL; what the load that this call ran had to say. */
    const brisk_tag *tags; /**< For KEYED tiers, as in brisk_get_opts. */
    uint32_t tag_count;
} brisk_loader_call;

typedef enum brisk_loaded_from {
    BRISK_LOADED_CACHE = 0,
    BRISK_LOADED_STALE,       /**< From the cache, beyond its ttl, while somebody refreshes. */
    BRISK_LOADED_STALE_ERROR, /**< From the cache, since loading failed: see `err`. */
    BRISK_LOADED_HERE,        /**< This call loaded. */
    BRISK_LOADED_SHARED,      /**< Another call loaded. */
} brisk_loaded_from;

/** An answer.  The caller owns a reference to hit.value. */
typedef struct brisk_loaded {
    brisk_hit hit; /**< expires_at_ns: the end of its ttl.  Meta data: the user's alone. */
    brisk_loaded_from from;
    brisk_err err;
} brisk_loaded;

typedef struct brisk_loader_stats {
    uint64_t loads;         /**< Calls of load that ended, refreshes included. */
    uint64_t load_errors;   /**< Of them, those that failed (NOT_FOUND is an answer). */
    uint64_t load_ns;       /**< Sum of what they took. */
    uint64_t shared;        /**< Calls that got another's answer or error. */
    uint64_t negative;      /**< Answers "there is none", from the cache or loaded. */
    uint64_t stale;         /**< Answers beyond their ttl while one refreshed. */
    uint64_t stale_errors;  /**< Answers beyond their ttl since loading failed. */
    uint64_t early;         /**< Refreshes begun before the ttl ended. */
    uint64_t refreshes;     /**< Refreshes begun, early ones included. */
    uint64_t refresh_drops; /**< Refreshes that found no room in the background. */
    uint64_t error_hits;    /**< Calls that got an error remembered from before. */
    uint64_t outdated;      /**< Loads not stored, since put or remove came meanwhile. */
    uint64_t cycles;
    uint64_t lease_waits; /**< Loads that waited for another process's. */
    uint64_t race_tiers;  /**< Races that the far tiers won ... */
    uint64_t race_loads;  /**< ... and those that loading won. */
    uint64_t race_full;   /**< Loads without a race, since all its threads were busy. */
} brisk_loader_stats;

typedef struct brisk_loader brisk_loader;

/** Errors: INVALID (no cache, no load, too many threads), NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_loader_create(const brisk_loader_opts *opts,
                                                        brisk_loader **ret);
/** After every call has returned; waits for refreshes and tickets.  NULL is accepted. */
BRISK_API void brisk_loader_destroy(brisk_loader *loader);

/**
 * The value of `key`, from the cache or loaded.  `call` may be NULL.
 * Errors: NOT_FOUND (there is none, or, with BRISK_CALL_CACHED, it is not in the cache), DEADLINE,
 * CANCELLED, CYCLE, NOMEM, and whatever load returned.  *ret then holds nothing.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_loader_get(brisk_loader *loader, const brisk_key *key,
                                                     const brisk_loader_call *call,
                                                     brisk_loaded *ret);
/** Asking without a thread that waits: for event loops, and for thousands at a time. */
typedef struct brisk_load_ticket brisk_load_ticket;

typedef struct brisk_load_done {
    /** Called once: OK and *loaded, whose value is now the callee's; or an error of loader_get. */
    void (*fn)(void *ctx, brisk_err err, const brisk_loaded *loaded);
    void *ctx;
} brisk_load_done;

/**
 * As brisk_loader_get, but whoever has the answer calls `done`: this call, when the cache has it;
 * the job in the background that loads; or the thread that had been loading.  Without a background,
 * or when it has no room, this call loads if nobody does.  The key is copied; call->arg and
 * call->cancelled must be NULL.  Errors: INVALID, NOMEM; `done` is then not called.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_loader_start(brisk_loader *loader, const brisk_key *key,
                                                       const brisk_loader_call *call,
                                                       const brisk_load_done *done,
                                                       brisk_load_ticket **ret);
/**
 * Nobody wants this answer any more: if it waits for another's load, or its own has not begun,
 * `done` is called with CANCELLED, perhaps here.  A load that has begun goes on.
 */
BRISK_API void brisk_load_ticket_cancel(brisk_load_ticket *ticket);
/** Every ticket, once, before or after `done`.  NULL is accepted. */
BRISK_API void brisk_load_ticket_release(brisk_load_ticket *ticket);

/**
 * Store a value as if it had been loaded; loads of `key` under way will not replace it.  ttl_ns 0:
 * the loader's.  `opts` may be NULL; its expires_at_ns and tiers are the loader's.
 */
BRISK_API void brisk_loader_put(brisk_loader *loader, const brisk_key *key, brisk_value *value,
                                uint64_t ttl_ns, const brisk_entry_opts *opts);
/** Forget `key`, a remembered error too; a load under way is for those who wait already. */
BRISK_API BRISK_NODISCARD brisk_err brisk_loader_remove(brisk_loader *loader, const brisk_key *key);
/** What is being loaded now will not be stored: before the cache itself is cleared. */
BRISK_API void brisk_loader_outdate(brisk_loader *loader);
BRISK_API void brisk_loader_read_stats(const brisk_loader *loader, brisk_loader_stats *ret);
BRISK_API brisk_cache *brisk_loader_cache(const brisk_loader *loader);

BRISK_END_DECLS

#endif /* BRISK_LOADER_H */
