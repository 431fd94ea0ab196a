/*
 * brisk/ttl.h -- how long an answer should live.
 *
 * A time to live is a guess about a change that nobody tells us of.  Too long: stale answers.  Too
 * short: loads that find what was there before.  A brisk_ttl watches each key's loads: did the value
 * change since the load before, and how soon was the key asked for again after it had expired?
 *
 * ADAPTIVE estimates how often a key changes and how often it is asked for, and chooses the life
 * that gives the most hits for the stale answers it risks: longer for what was found unchanged,
 * shorter for what was found changed, shorter too for the very hot (their staleness hurts most and
 * their loads are shared by most), and for the cold nothing is lost.  The exchange rate between a
 * stale answer and a load is moved until the share of stale answers is `staleness`.
 *
 * The other modes are simple rules: see brisk_ttl_mode.
 *
 *     at each load:   entry.ttl = brisk_ttl_loaded(ttl, &key, &(brisk_ttl_load){.content = hash})
 *
 * Nothing is done on a hit.  State per key: 32 bytes in a table of a bounded size, or the caller's
 * brisk_ttl_state wherever it likes (in the meta data of the entry, say).
 *
 * Threads: any, for every function; a brisk_ttl_state is one thread's at a time.
 */
#ifndef BRISK_TTL_H
#define BRISK_TTL_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/clock.h>
#include <brisk/err.h>
#include <brisk/hash.h>

BRISK_BEGIN_DECLS

typedef enum brisk_ttl_mode {
    BRISK_TTL_ADAPTIVE = 0,
    BRISK_TTL_FIXED, /**< `first_ns` for all. */
    /** Frequent and recent: x 1.5; rare and old: x 0.5; otherwise as it was. */
    BRISK_TTL_USE,
    /** By the key's hit rate since the load before: 7,200 s from 0.9 on, 3,600 s from 0.7 on,
     *  1,800 s from 0.5 on, otherwise 600 s. */
    BRISK_TTL_HIT_RATE,
} brisk_ttl_mode;

typedef struct brisk_ttl_opts {
    brisk_ttl_mode mode;
    double staleness;         /**< ADAPTIVE: share of stale answers aimed at; 0 means 0.01. */
    uint64_t min_ns;          /**< Limits of what is chosen; 0 means 1 s. */
    uint64_t max_ns;          /**< 0 means 24 h. */
    uint64_t first_ns;        /**< What the other modes begin with; 0 means 60 s. */
    uint64_t bytes_max;       /**< Of the table; 0 means 4 MiB (131,072 keys); 16 KiB or more. */
    const brisk_clock *clock; /**< Borrowed; its wall clock counts; NULL means the system's. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_ttl_opts;

/** What is remembered of a key.  Zeroed: nothing.  May be kept as bytes. */
typedef struct brisk_ttl_state {
    uint64_t loaded_ns_; /* wall clock */
    float life_s_;       /* chosen then */
    float gap_s_;        /* between two requests; 0: unknown */
    uint32_t content_;   /* of the value loaded last; 0: unknown */
    uint8_t unlikely_[8];
    uint32_t tag_; /* the table's; 0 in states of callers */
} brisk_ttl_state;

/** What is known of a load. */
typedef struct brisk_ttl_load {
    uint64_t content;     /**< A hash of the value, to see whether it changed; 0: not known. */
    uint64_t modified_ns; /**< When the value changed last, on the wall clock; 0: not known. */
    bool unchanged;       /**< The source said so (a 304, brisk_load.unchanged). */
    bool early;           /**< The entry was refreshed before anybody found it expired. */
    bool hits_known;
    uint64_t hits; /**< With hits_known: answers from the cache since the load before. */
} brisk_ttl_load;

typedef struct brisk_ttl brisk_ttl;

typedef struct brisk_ttl_stats {
    uint64_t loads;
    uint64_t first;      /**< Of keys that nothing was known of. */
    uint64_t changed;    /**< Loads that found another value ... */
    uint64_t unchanged;  /**< ... and the same. */
    double requests;     /**< Answers expected of the lives chosen ... */
    double stale;        /**< ... and of them stale. */
    double stale_cost;   /**< Loads that one stale answer is worth now (ADAPTIVE). */
    double change_error; /**< Changes found / changes expected: 1 when the model is right. */
} brisk_ttl_stats;

/** Errors: INVALID (min above max, staleness outside 0 .. 1, unknown mode ...), NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_ttl_create(const brisk_ttl_opts *opts, brisk_ttl **ret);
BRISK_API void brisk_ttl_destroy(brisk_ttl *ttl); /**< NULL is accepted. */
/** `key` was loaded: how long to keep it, in nanoseconds, within the limits. */
BRISK_API uint64_t brisk_ttl_loaded(brisk_ttl *ttl, const brisk_key *key,
                                    const brisk_ttl_load *load);
/** Likewise, with state that the caller keeps. */
BRISK_API uint64_t brisk_ttl_loaded_state(brisk_ttl *ttl, brisk_ttl_state *state,
                                          const brisk_ttl_load *load);
BRISK_API void brisk_ttl_read_stats(brisk_ttl *ttl, brisk_ttl_stats *ret);

BRISK_END_DECLS

#endif /* BRISK_TTL_H */
