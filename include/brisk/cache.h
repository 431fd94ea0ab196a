/*
 * brisk/cache.h -- tiers, and the stack of them that answers.
 *
 * A tier keeps entries: key bytes, a value, up to BRISK_ENTRY_META_MAX bytes of meta data, and
 * what computing and storing it cost.  The cache asks its tiers in order; a hit is copied into
 * the tiers above.  A fault of a tier (no room, damage, no permission) is counted, logged and
 * otherwise a miss: brisk_cache_get knows hit and miss only, and put cannot fail.
 *
 * A `release` of a wrapped value may run inside any call that drops an entry; it must not call the
 * cache.  A key is LOCAL always or never: nothing about a LOCAL entry, not even its removal,
 * reaches a SHARED tier by put.
 *
 * Threads: every function of a cache and of the two built-in tiers from any thread.
 */
#ifndef BRISK_CACHE_H
#define BRISK_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/clock.h>
#include <brisk/err.h>
#include <brisk/hash.h>
#include <brisk/value.h>

BRISK_BEGIN_DECLS

enum {
    BRISK_ENTRY_META_MAX = 256,
    BRISK_TIER_META_MAX = 511, /**< What a tier keeps: meta data and what the stack adds to it. */
    BRISK_CACHE_TIERS_MAX = 8,
    BRISK_TIER_NAME_MAX = 16,
};

/** Entry flags. */
enum {
    BRISK_ENTRY_LOCAL = 1u << 0, /**< Must never leave this machine (ROM bytes, private data). */
    BRISK_ENTRY_TAGGED =
        1u << 1, /**< Set by the stack: what it must check follows the meta data. */
    BRISK_ENTRY_NEGATIVE = 1u << 2, /**< The answer is that there is none. */
};

/** Tier flags. */
enum {
    BRISK_TIER_SHARED = 1u << 0, /**< Leaves the machine: never sees LOCAL entries. */
    BRISK_TIER_FAST = 1u << 1,   /**< Answers faster than a clock does: timed by samples. */
};

/** What goes with a value into a tier.  Zeroed means: no limits, no meta data. */
typedef struct brisk_entry_opts {
    uint32_t flags;         /**< BRISK_ENTRY_... */
    uint32_t meta_size;     /**< 0 .. BRISK_ENTRY_META_MAX. */
    const void *meta;       /**< Copied. */
    uint64_t cost_ns;       /**< What computing the value took; 0 when unknown. */
    uint64_t expires_at_ns; /**< On the wall clock; 0 means never. */
    uint32_t tiers;         /**< Bit i: tier i may be used; 0 means all. */
    uint16_t era;           /**< The stack's: which invalidations of prefixes came before. */
} brisk_entry_opts;

/** An answer.  The caller owns a reference to `value`. */
typedef struct brisk_hit {
    brisk_value *value;
    uint32_t flags;
    uint32_t tier;          /**< Position in the stack; 0 from a single tier. */
    const char *tier_name;  /**< Static for the life of the tier. */
    uint64_t elapsed_ns;    /**< What the lookup took; set by brisk_cache_get, see there. */
    uint64_t cost_ns;       /**< As stored. */
    uint64_t store_ns;      /**< What storing it in that tier took; 0 when unknown. */
    uint64_t expires_at_ns; /**< As stored. */
    /** With has_content (large values of the disk tier): XXH3-128, seed 0, of the bytes that were
     *  stored.  The tier has checked their number only; who reads or copies them compares. */
    brisk_hash128 content;
    bool has_content;
    uint16_t era; /**< As stored. */
    uint32_t meta_size;
    unsigned char meta[BRISK_TIER_META_MAX + 1]; /**< Only meta_size bytes are set. */
} brisk_hit;

typedef struct brisk_tier_stats {
    uint64_t hits;
    uint64_t misses;
    uint64_t puts;
    uint64_t removes;
    uint64_t evictions; /**< Entries dropped for room. */
    uint64_t expired;   /**< Entries dropped for age. */
    uint64_t rejects;   /**< Puts that were not stored: too large, no room, tier off. */
    uint64_t corrupt;   /**< Entries or files found damaged. */
    uint64_t errors;    /**< System calls that failed. */
    uint64_t entries;   /**< Alive now; an estimate for the disk tier. */
    uint64_t bytes;     /**< Held now; of the disk tier without its index. */
    uint64_t bytes_max;
    uint64_t raw_bytes;    /**< Value bytes given to the tier ... */
    uint64_t stored_bytes; /**< ... and what they became after compression. */
    uint64_t get_p50_ns;   /**< Sampled; 0 when nothing was sampled. */
    uint64_t get_p99_ns;
} brisk_tier_stats;

typedef struct brisk_tier brisk_tier;

/** What a tier is.  A tier of one's own embeds brisk_tier as its first member. */
typedef struct brisk_tier_ops {
    /** OK and *ret (with a reference), or NOT_FOUND; other errors are counted and mean a miss. */
    brisk_err (*get)(brisk_tier *tier, const brisk_key *key, brisk_hit *ret);
    /**
     * Store or replace; a reference of its own if it keeps `value`; `opts` may be NULL.  After any
     * error the tier must answer a miss or the new value.  DECLINED: the tier does not keep such
     * entries (too large, a file): counted in `rejects`, and nothing is wrong with the tier.
     */
    brisk_err (*put)(brisk_tier *tier, const brisk_key *key, brisk_value *value,
                     const brisk_entry_opts *opts);
    /** OK when the key is gone (also when it never was); afterwards it is a miss. */
    brisk_err (*remove)(brisk_tier *tier, const brisk_key *key);
    /** Drop every entry. */
    brisk_err (*clear)(brisk_tier *tier);
    void (*read_stats)(brisk_tier *tier, brisk_tier_stats *ret);
    void (*destroy)(brisk_tier *tier);
} brisk_tier_ops;

struct brisk_tier {
    const brisk_tier_ops *ops;
    char name[BRISK_TIER_NAME_MAX];
    uint32_t flags; /**< BRISK_TIER_... */
};

BRISK_API void brisk_tier_destroy(brisk_tier *tier); /**< NULL is accepted. */

/* --- disk tier --------------------------------------------------------------------------- */

typedef struct brisk_disk_tier_opts {
    /** Folder; created when missing, otherwise the caller's own and not writable by all.  Copied. */
    const char *path;
    uint64_t bytes_max; /**< All files together, the index too; 0 means 4 GiB; 64 KiB or more. */
    uint64_t segment_bytes;   /**< 0 means 64 MiB; smaller ones are for tests. */
    int zstd_level;           /**< 0 means 1; negative: no compression. */
    const brisk_clock *clock; /**< Borrowed; NULL means the system's. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_disk_tier_opts;

/**
 * Open or create a disk tier.  Several processes may have one folder open.
 * Errors: whatever made it unusable, with `info`; the caller goes on without it.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_disk_tier_open(const brisk_disk_tier_opts *opts,
                                                         brisk_tier **ret, brisk_errinfo *info);

/* --- the stack --------------------------------------------------------------------------- */

typedef struct brisk_cache brisk_cache;

/** Somebody who runs things later, on a thread that may wait.  False: not taken. */
typedef struct brisk_background {
    bool (*run)(void *ctx, void (*fn)(void *arg), void *arg);
    void *ctx;
} brisk_background;

typedef struct brisk_cache_opts {
    brisk_tier *const *tiers; /**< From nearest to farthest; owned by the cache on success. */
    uint32_t tier_count;      /**< 0 .. BRISK_CACHE_TIERS_MAX. */
    const brisk_clock *clock; /**< Borrowed; NULL means the system's. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_cache_opts;

/** Errors: INVALID, NOMEM; the tiers then still belong to the caller. */
BRISK_API BRISK_NODISCARD brisk_err brisk_cache_create(const brisk_cache_opts *opts,
                                                       brisk_cache **ret);
BRISK_API void brisk_cache_destroy(brisk_cache *cache);
/**
 * True and *ret on a hit.  `tiers`: bit i asks tier i; 0 means all.
 * A hit is stored in the tiers above that were asked and may have it.
 *
 * elapsed_ns: what asking took, from the first tier that is not BRISK_TIER_FAST; promotion is not
 * in it.  Reading a clock twice would cost a good part of a hit in a FAST tier, so there the first
 * hit and then one get in 64 of each thread are timed; the others report the latest such figure.
 */
BRISK_API bool brisk_cache_get(brisk_cache *cache, const brisk_key *key, uint32_t tiers,
                               brisk_hit *ret);
/**
 * Store in every tier that may have it; in all others that could hold an older value of `key` it
 * is removed.  A tier that cannot is counted and logged; if it then cannot remove the key either,
 * it is switched off (logged) until the cache is destroyed, because it might answer an older value.
 */
BRISK_API void brisk_cache_put(brisk_cache *cache, const brisk_key *key, brisk_value *value,
                               const brisk_entry_opts *opts);
/**
 * Afterwards `key` is a miss in every tier.  Errors: the first tier's that could not promise it.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_cache_remove(brisk_cache *cache, const brisk_key *key);
/** Drop everything in every tier.  Errors: the first tier's. */
BRISK_API BRISK_NODISCARD brisk_err brisk_cache_clear(brisk_cache *cache);
BRISK_API uint32_t brisk_cache_tier_count(const brisk_cache *cache);
/** Tier `index`, owned by the cache; NULL when there is none. */
BRISK_API brisk_tier *brisk_cache_tier(const brisk_cache *cache, uint32_t index);
/** The figures of tier `index`, which must exist; faults that the stack saw are in `errors`. */
BRISK_API void brisk_cache_read_stats(const brisk_cache *cache, uint32_t index,
                                      brisk_tier_stats *ret);

BRISK_END_DECLS

#endif /* BRISK_CACHE_H */
