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
 * Invalidation: an entry may have tags, and may depend on keys.  When a tag is invalidated, or a
 * key is put, removed or invalidated, whatever has that tag or depends on that key is a miss in
 * every tier from then on, and so is what depends on that in turn, at a cost that does not depend
 * on how many entries there are.  Whoever computes a value from things that may change asks
 * brisk_cache_epoch BEFORE it looks at them and gives the answer as `as_of` with the value: then a
 * change in between is noticed too.
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
    BRISK_STATS_HOURS = 24,
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
    /** Cannot be told to forget (a CDN): the generation is part of the key that it is given, so
     *  entries with tags are found only by a get that names the same tags. */
    BRISK_TIER_KEYED = 1u << 2,
    /** Far away: a hit's promotion, and with WRITE_BEHIND its puts, need not be waited for. */
    BRISK_TIER_SLOW = 1u << 3,
};

enum { BRISK_TAGS_MAX = 64 };

enum {
    /** The keys of depends_on are names of things outside, and depend on nothing themselves.
     *  Without it, a key that is in none of this machine's tiers might have depended on anything:
     *  then the entry ends with the next invalidation of whatever tag or key. */
    BRISK_DEPENDS_NAMES = 1u << 0,
};

/** A tag is its bytes; 1 .. BRISK_KEY_BYTES_MAX of them. */
typedef struct brisk_tag {
    const void *bytes;
    size_t size;
} brisk_tag;

/** Where a value goes besides the cache, and when.  See brisk_cache_write. */
typedef enum brisk_write {
    BRISK_WRITE_DEFAULT = 0,
    BRISK_WRITE_ASIDE,   /**< Nowhere: the caller keeps its own store. */
    BRISK_WRITE_THROUGH, /**< First into the store; when that fails nothing has changed. */
    BRISK_WRITE_BEHIND,  /**< Into the cache at once, into the store later. */
} brisk_write;

/** What goes with a value into a tier.  Zeroed means: no limits, no meta data. */
typedef struct brisk_entry_opts {
    uint32_t flags;         /**< BRISK_ENTRY_... */
    uint32_t meta_size;     /**< 0 .. BRISK_ENTRY_META_MAX. */
    const void *meta;       /**< Copied. */
    uint64_t cost_ns;       /**< What computing the value took; 0 when unknown. */
    uint64_t expires_at_ns; /**< On the wall clock; 0 means never. */
    uint32_t tiers;         /**< Bit i: tier i may be used; 0 means all. */
    uint16_t era;           /**< The stack's: which invalidations of prefixes came before. */
    uint16_t depends_flags; /**< BRISK_DEPENDS_... */
    /** Names of groups that the entry goes with.  Tiers never see these nor the next fields. */
    const brisk_tag *tags;
    const brisk_key *depends_on; /**< Keys whose change makes the entry outdated. */
    uint32_t tag_count;          /**< 0 .. BRISK_TAGS_MAX. */
    uint32_t depends_count;      /**< 0 .. BRISK_TAGS_MAX. */
    uint64_t as_of;              /**< From brisk_cache_epoch; 0 means the moment of the call. */
    brisk_write write;           /**< For brisk_cache_write; 0 means as the cache was told. */
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
    bool stale;   /**< With brisk_get_opts.stale: was invalidated since. */
    uint16_t era; /**< As stored. */
    uint32_t meta_size;
    unsigned char meta[BRISK_TIER_META_MAX + 1]; /**< Only meta_size bytes are set. */
} brisk_hit;

/** Whether a tier is asked: CLOSED yes, OPEN no, HALF_OPEN one call in a while, to find out. */
typedef enum brisk_breaker_state {
    BRISK_BREAKER_CLOSED = 0,
    BRISK_BREAKER_OPEN,
    BRISK_BREAKER_HALF_OPEN,
} brisk_breaker_state;

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
    /* What `evictions` and `expired` are made of, and what is done against them; the disk tier's. */
    uint64_t evicted_room;      /**< Their segment was the oldest. */
    uint64_t evicted_expired;   /**< Their segment had only expired entries. */
    uint64_t evicted_displaced; /**< No place in the index. */
    uint64_t evicted_damaged;   /**< Damaged, or their dictionary is lost. */
    uint64_t reinserted;        /**< Hot entries saved from a segment that was dropped. */
    uint64_t compacted;         /**< Entries moved out of segments that were mostly dead ... */
    uint64_t compacted_bytes;   /**< ... and what was read and written for that. */
    uint64_t syncs;             /**< Group commits: calls of fdatasync. */
    uint32_t dictionary;        /**< Number of the dictionary in use; 0: none. */
    uint32_t dictionary_gain_permille; /**< What it saved of the size without it, at its making. */
    /* From here on the stack's; zero from a tier alone. */
    uint64_t get_p999_ns;
    uint64_t promotions;         /**< Entries copied here from a farther tier. */
    uint64_t promotions_dropped; /**< Not copied: outdated meanwhile, or too many under way. */
    uint64_t stale;              /**< Hits refused because they were invalidated. */
    uint64_t skipped;            /**< Calls not made, the breaker being open. */
    uint64_t trips;              /**< How often the breaker opened. */
    uint64_t replayed;           /**< Writes missed while open, made good afterwards. */
    brisk_breaker_state breaker;
    bool off;                               /**< Switched off for good. */
    uint32_t hour;                          /**< Index of the current hour in the two rings. */
    uint64_t evicted_by[BRISK_STATS_HOURS]; /**< Dropped for room; by hour of the wall clock. */
    uint64_t expired_by[BRISK_STATS_HOURS]; /**< Dropped for age. */
} brisk_tier_stats;

typedef struct brisk_tier brisk_tier;

/* --- generations in shared tiers ------------------------------------------------------------ */

/**
 * Tags and depended-on keys are known by the slot that their hash falls into, the same on every
 * machine.  A shared tier keeps a counter for each slot that was ever bumped.
 */
enum {
    BRISK_GENERATION_SLOTS = 1 << 20,
    /** One more, whose low 16 bits are the era: how many prefixes were invalidated. */
    BRISK_GENERATION_ERA = BRISK_GENERATION_SLOTS,
};

typedef enum brisk_bump_kind {
    BRISK_BUMP_SLOT = 1, /**< Something with this slot changed. */
    BRISK_BUMP_PREFIX,   /**< All keys with this prefix are outdated; the era counts up. */
    BRISK_BUMP_KEY,      /**< Only told, never given: somebody else changed this key. */
    BRISK_BUMP_ALL,      /**< Everything is outdated (told: or changes may have been missed). */
} brisk_bump_kind;

typedef struct brisk_bump {
    brisk_bump_kind kind;
    uint32_t slot;        /**< SLOT: below BRISK_GENERATION_SLOTS. */
    uint32_t prefix_size; /**< PREFIX: bytes of it, and their brisk_hash64 with seed 0. */
    uint64_t prefix_hash;
    uint16_t era; /**< PREFIX, told: the era that it began; entries of older ones are outdated. */
    const brisk_key *key; /**< KEY; borrowed during the call. */
    uint64_t token; /**< Told: the tier's own count of bumps, this one included; 0: it has none. */
} brisk_bump;

/** How a tier tells what others did.  From any thread, not from inside the tier's own calls. */
typedef void (*brisk_bump_fn)(void *ctx, const brisk_bump *bump);

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
    /* The rest is optional: NULL where a tier has no such thing. */
    /** The folder whose processes share this tier; the stack keeps its generations there. */
    const char *(*folder)(const brisk_tier *tier);
    /**
     * The counters of `slots`, as the tier's view has them: of all slots or an error, and without
     * asking anybody.  The view may lag behind by a second.  The tier first tells the listener of
     * a bump by somebody else and then shows it in the view.  A SHARED tier without this op and
     * `bump` keeps no entry with tags, and is emptied when a prefix is invalidated.
     */
    brisk_err (*generations)(brisk_tier *tier, const uint32_t *slots, uint32_t count,
                             uint64_t *ret);
    /** Tell everybody; OK when it is certain.  The view shows it at return. */
    brisk_err (*bump)(brisk_tier *tier, const brisk_bump *bump);
    /**
     * Whom to tell of bumps by others, and of keys that others put or removed.  NULL: nobody, and
     * no call is under way any more at return.  Told at once, or as soon as the view is complete:
     * the bumps with a token above `since`, the latest that this machine knew of (0: all slots
     * that were ever bumped), and all prefixes, whatever their token.  What comes while the rest is
     * being read may be told twice: acting on it twice must do no harm.
     */
    void (*listen)(brisk_tier *tier, brisk_bump_fn fn, void *ctx, uint64_t since);
} brisk_tier_ops;

struct brisk_tier {
    const brisk_tier_ops *ops;
    char name[BRISK_TIER_NAME_MAX];
    uint32_t flags; /**< BRISK_TIER_... */
};

BRISK_API void brisk_tier_destroy(brisk_tier *tier); /**< NULL is accepted. */

/* --- disk tier --------------------------------------------------------------------------- */

/** What an acknowledgement of the disk tier means. */
typedef enum brisk_disk_sync {
    /** It survives the death of the process.  A power loss may empty the folder. */
    BRISK_DISK_SYNC_NONE = 0,
    /** It survives a power loss: writers wait for the disk, one fdatasync for all who wait.  Counts
     *  for the folder: whoever opens it meanwhile does the same. */
    BRISK_DISK_SYNC_GROUP = 1,
} brisk_disk_sync;

typedef struct brisk_disk_tier_opts {
    /** Folder; created when missing, otherwise the caller's own and not writable by all.  Copied. */
    const char *path;
    uint64_t bytes_max; /**< All files together, the index too; 0 means 4 GiB; 64 KiB or more. */
    uint64_t segment_bytes;   /**< 0 means 64 MiB; smaller ones are for tests. */
    int zstd_level;           /**< The codec's level; 0: its default; negative: no compression. */
    const brisk_clock *clock; /**< Borrowed; NULL means the system's. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
    /**
     * "auto" (NULL too): by size, a look at the bytes and measured speed, of plain, lz4 and zstd;
     * or one of "plain", "zstd", "lz4", "brotli", "deflate", "gzip".  What does not shrink by an
     * eighth is stored as it is.
     */
    const char *codec;
    bool no_dictionary; /**< Do not train dictionaries for zstd (none below 16 MiB of bound). */
    bool tended;        /**< brisk_disk_tier_tend is called: leave to it what can wait. */
    /** How much of a segment entries that were hit may fill again when the oldest one goes; 0 means
     *  20, at most 50; negative: none. */
    int reinsert_percent;
    brisk_disk_sync sync; /**< 0 means BRISK_DISK_SYNC_NONE. */
} brisk_disk_tier_opts;

/**
 * Open or create a disk tier.  Several processes may have one folder open.
 * Errors: whatever made it unusable, with `info`; the caller goes on without it.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_disk_tier_open(const brisk_disk_tier_opts *opts,
                                                         brisk_tier **ret, brisk_errinfo *info);

/**
 * Work that can wait, for whoever has a thread to spare, about once a second: drop what has expired,
 * keep room for the next segment and save the entries of the oldest one that were hit, rewrite
 * segments that are mostly dead, train dictionaries.  Reads and writes about `budget_bytes`; gets go
 * on meanwhile, puts wait for a few moves at most.  True: more is to be done right now.  `tier` must
 * be a disk tier.
 */
BRISK_API bool brisk_disk_tier_tend(brisk_tier *tier, uint64_t budget_bytes);

/** An entry on disk seen by a walk; the key's bytes are borrowed for the call. */
typedef struct brisk_disk_visit {
    const void *key;
    size_t key_size;
    uint64_t expires_at_ns; /**< Wall clock; 0: never. */
} brisk_disk_visit;

/**
 * One step of a walk through the keys of a disk tier: begin with cursor 0, go on with what comes
 * back until that is 0 again.  About `count` entries are looked at; values are not read.  What is
 * there during the whole walk is visited, once unless two processes store it at the same time; what
 * comes or goes may be visited or not; what has expired is not.  The callback runs without a lock.
 */
BRISK_API uint64_t brisk_disk_tier_scan(brisk_tier *tier, uint64_t cursor, uint32_t count,
                                        void (*visit)(void *ctx, const brisk_disk_visit *entry),
                                        void *ctx);
/** Some entry on disk, chosen by a random `number`, about uniformly.  False: none. */
BRISK_API bool brisk_disk_tier_random(brisk_tier *tier, uint64_t number,
                                      void (*visit)(void *ctx, const brisk_disk_visit *entry),
                                      void *ctx);
/** How many entries there are, with what has expired and was not asked for since.  O(capacity). */
BRISK_API uint64_t brisk_disk_tier_count(brisk_tier *tier);

/* --- the stack --------------------------------------------------------------------------- */

typedef struct brisk_cache brisk_cache;

/** Somebody who runs things later, on a thread that may wait.  False: not taken. */
typedef struct brisk_background {
    bool (*run)(void *ctx, void (*fn)(void *arg), void *arg);
    void *ctx;
} brisk_background;

/** Where values live for good: a database, say.  Called from any thread, without a lock held. */
typedef struct brisk_store {
    /** The value (with a reference), or NOT_FOUND. */
    brisk_err (*load)(void *ctx, const brisk_key *key, brisk_value **ret);
    brisk_err (*save)(void *ctx, const brisk_key *key, brisk_value *value);
    brisk_err (*remove)(void *ctx, const brisk_key *key);
    void *ctx;
} brisk_store;

/** When a tier is left alone for a while.  Zeroes mean the defaults. */
typedef struct brisk_breaker_opts {
    uint32_t errors;   /**< Failures in a row that open it; 0 means 5. */
    uint32_t rate_pct; /**< Or this share of the last 64 calls failed or were slow; 0: 50. */
    uint64_t slow_ns;  /**< A call that took longer counts as slow; 0: 100 ms, FAST tiers none. */
    uint64_t open_ns;  /**< How long at first; 0 means 1 s; doubles up to 32 times that. */
    uint32_t probes;   /**< Good calls in a row that close it again; 0 means 3. */
    uint32_t missed_keys; /**< Writes remembered while it is open; 0 means 4096. */
    bool disabled;        /**< Every tier is always asked. */
} brisk_breaker_opts;

/** BRISK_WRITE_BEHIND.  Zeroes mean the defaults. */
typedef struct brisk_behind_opts {
    uint32_t entries_max; /**< Writes waiting; 0 means 65536. */
    uint64_t bytes_max;   /**< Bytes of their keys and values; 0 means 64 MiB. */
    uint32_t tries_max;   /**< Then a write is given up, counted and logged; 0 means 8. */
    uint64_t backoff_ns;  /**< Before the second try; 0: 10 ms; doubles, with jitter, up to 10 s. */
    uint64_t full_wait_ns; /**< How long brisk_cache_write waits when full; 0: not at all. */
    uint64_t flush_ns;     /**< At most that long brisk_cache_destroy tries; 0 means 5 s. */
} brisk_behind_opts;

/** Told of requests, for recorders and predictors: see brisk_cache_add_tap. */
enum { BRISK_TAPS_MAX = 4 };

typedef struct brisk_request {
    const brisk_key *key;
    uint64_t size; /**< Of the value; 0 for a miss. */
    uint32_t tier; /**< Which answered; UINT32_MAX for a miss. */
    bool hit;
} brisk_request;

typedef void (*brisk_tap_fn)(void *ctx, const brisk_request *request);

typedef struct brisk_cache_opts {
    brisk_tier *const *tiers; /**< From nearest to farthest; owned by the cache on success. */
    uint32_t tier_count;      /**< 0 .. BRISK_CACHE_TIERS_MAX. */
    const brisk_clock *clock; /**< Borrowed; NULL means the system's. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
    /** Folder of the generations, shared by all processes that have one disk tier; NULL: that of
     *  the nearest tier that has a folder, or memory when none has. */
    const char *folder;
    const brisk_background *background; /**< Copied; NULL: everything is done at once. */
    const brisk_store *store;           /**< Copied; NULL: there is none. */
    brisk_write write;                  /**< What brisk_cache_write does; 0: ASIDE. */
    /** With a background: puts reach tiers behind the nearest one later (reads see them at once). */
    bool tiers_behind;
    brisk_breaker_opts breaker;
    brisk_behind_opts behind;
} brisk_cache_opts;

/**
 * Errors: INVALID, NOMEM, and whatever made the generations in the folder unusable; the tiers then
 * still belong to the caller.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_cache_create(const brisk_cache_opts *opts,
                                                       brisk_cache **ret);
/** Writes that wait are tried for behind.flush_ns more; the background must be at work still. */
BRISK_API void brisk_cache_destroy(brisk_cache *cache);

/* --- reading ------------------------------------------------------------------------------ */

typedef struct brisk_get_opts {
    uint32_t tiers; /**< Bit i asks tier i; 0 means all. */
    bool stale;     /**< An answer that was invalidated is better than none: hit.stale says so. */
    /** For KEYED tiers: the tags that the entry was put with, in the same order. */
    const brisk_tag *tags;
    uint32_t tag_count;
} brisk_get_opts;

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
/** Likewise; `opts` may be NULL. */
BRISK_API bool brisk_cache_get_with(brisk_cache *cache, const brisk_key *key,
                                    const brisk_get_opts *opts, brisk_hit *ret);

/* --- writing ------------------------------------------------------------------------------ */

/**
 * Store in every tier that may have it; in all others that could hold an older value of `key` it
 * is removed.  A tier that cannot is counted and logged; if it then cannot remove the key either,
 * it is not asked again before that has been made good.
 */
BRISK_API void brisk_cache_put(brisk_cache *cache, const brisk_key *key, brisk_value *value,
                               const brisk_entry_opts *opts);
/**
 * Afterwards `key` is a miss in every tier.  Errors: the first tier's that could not promise it.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_cache_remove(brisk_cache *cache, const brisk_key *key);
/** Drop everything in every tier.  Errors: the first tier's. */
BRISK_API BRISK_NODISCARD brisk_err brisk_cache_clear(brisk_cache *cache);

/* --- invalidation ------------------------------------------------------------------------- */

/**
 * A token for brisk_entry_opts.as_of: "everything that changes from now on, I have not seen".
 * Never 0.
 */
BRISK_API uint64_t brisk_cache_epoch(brisk_cache *cache);
/** `key`, and whatever depends on it.  The same as brisk_cache_remove. */
BRISK_API BRISK_NODISCARD brisk_err brisk_cache_invalidate_key(brisk_cache *cache,
                                                               const brisk_key *key);
/** Every entry with this tag, and whatever depends on one.  Errors: INVALID (size), or the first
 *  shared tier's that could not be told; here it is done in any case, with IO only if the mark on
 *  disk could not be made. */
BRISK_API BRISK_NODISCARD brisk_err brisk_cache_invalidate_tag(brisk_cache *cache, const void *tag,
                                                               size_t size);
/** Every entry whose key begins with these bytes, and whatever depends on a key that does.
 *  Errors: likewise. */
BRISK_API BRISK_NODISCARD brisk_err brisk_cache_invalidate_prefix(brisk_cache *cache,
                                                                  const void *prefix, size_t size);

/* For those who read and write a tier of the stack directly (a server its memory tier): */

/** What a tier returned for a key. */
typedef struct brisk_entry_mark {
    uint32_t flags;
    uint32_t meta_size;
    const void *meta;
    uint16_t era;
} brisk_entry_mark;

/** Whether an entry of `key`, as a local tier returned it, was not invalidated.  For an entry
 *  without tags and of the current era that is one comparison. */
BRISK_API bool brisk_cache_is_current(brisk_cache *cache, const brisk_key *key,
                                      const brisk_entry_mark *mark);
/** Of the `meta_size` bytes that a tier returned, how many are the user's. */
BRISK_API uint32_t brisk_entry_meta_size(const brisk_entry_mark *mark);

/** Options as a tier wants them, with room for the meta data that they point at. */
typedef struct brisk_sealed {
    brisk_entry_opts opts;
    unsigned char meta[BRISK_TIER_META_MAX + 1];
} brisk_sealed;

/**
 * Put tags, dependencies, epoch and era of `opts` (may be NULL) into the form in which a local tier
 * keeps them.  False: what the entry comes from has changed since opts->as_of, do not store it.
 * For an entry without tags and dependencies nothing is copied: sealed->opts.meta is opts->meta.
 */
BRISK_API bool brisk_cache_seal(brisk_cache *cache, const brisk_key *key,
                                const brisk_entry_opts *opts, brisk_sealed *ret);
/**
 * Around every change of `key` in a tier that is not made by the functions above.  Where nobody
 * can read the tier in between, end alone with ticket 0 is enough.
 */
typedef uint32_t brisk_change;
BRISK_API brisk_change brisk_cache_change_begin(brisk_cache *cache, const brisk_key *key);
BRISK_API void brisk_cache_change_end(brisk_cache *cache, const brisk_key *key,
                                      brisk_change change);

/* --- write strategies --------------------------------------------------------------------- */

/**
 * Put, and bring it to the store by the strategy of opts->write or of the cache.  With ASIDE, or
 * without a store, it is brisk_cache_put.
 *
 * THROUGH: the store's error is returned and the entry is then a miss.  BEHIND: OK means that the
 * write waits in a queue and that every read of this cache sees it; FULL that the queue is, and
 * nothing has changed.  Writes of one key become one write.  What waits is lost when the process
 * is killed.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_cache_write(brisk_cache *cache, const brisk_key *key,
                                                      brisk_value *value,
                                                      const brisk_entry_opts *opts);
/** Remove from cache and store by the strategy `write` (DEFAULT: the cache's). */
BRISK_API BRISK_NODISCARD brisk_err brisk_cache_erase(brisk_cache *cache, const brisk_key *key,
                                                      brisk_write write);
/** Get, or else load from the store and put.  NOT_FOUND, or the store's error. */
BRISK_API BRISK_NODISCARD brisk_err brisk_cache_fetch(brisk_cache *cache, const brisk_key *key,
                                                      const brisk_entry_opts *opts, brisk_hit *ret);
/** Wait until everything that was written before the call is where it belongs, or was given up.
 *  Errors: DEADLINE (`wait_ns` have passed). */
BRISK_API BRISK_NODISCARD brisk_err brisk_cache_flush(brisk_cache *cache, uint64_t wait_ns);

/* --- figures ------------------------------------------------------------------------------ */

typedef struct brisk_cache_stats {
    uint64_t invalidated_tags; /**< Calls. */
    uint64_t invalidated_prefixes;
    uint64_t outdated_puts;  /**< Not stored: what they came from had changed. */
    uint64_t behind_entries; /**< Waiting now. */
    uint64_t behind_bytes;
    uint64_t behind_coalesced; /**< Writes replaced by later ones while waiting. */
    uint64_t behind_done;
    uint64_t behind_retries;
    uint64_t behind_lost;        /**< Given up after all tries, or left over at destroy. */
    uint64_t behind_full;        /**< Refused. */
    uint64_t background_dropped; /**< Promotions that the background did not take. */
    uint64_t foreign_changes;    /**< Keys that other processes or machines changed. */
} brisk_cache_stats;

BRISK_API void brisk_cache_read_totals(const brisk_cache *cache, brisk_cache_stats *ret);
BRISK_API uint32_t brisk_cache_tier_count(const brisk_cache *cache);
/** Tier `index`, owned by the cache; NULL when there is none. */
BRISK_API brisk_tier *brisk_cache_tier(const brisk_cache *cache, uint32_t index);
/** The figures of tier `index`, which must exist; faults that the stack saw are in `errors`. */
BRISK_API void brisk_cache_read_stats(brisk_cache *cache, uint32_t index, brisk_tier_stats *ret);
/**
 * Call `fn` for every get from now on, in the caller's thread: short, and not back into the cache.
 * Costs a load and a branch where there is none.  Errors: LIMIT (BRISK_TAPS_MAX are there).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_cache_add_tap(brisk_cache *cache, brisk_tap_fn fn,
                                                        void *ctx);
/** No longer; when this returns, no call is under way.  Not from inside a tap. */
BRISK_API void brisk_cache_drop_tap(brisk_cache *cache, brisk_tap_fn fn, void *ctx);
/** Tell the taps of a request that was answered without the cache (a server's own lookups). */
BRISK_API void brisk_cache_note(brisk_cache *cache, const brisk_request *request);

BRISK_END_DECLS

#endif /* BRISK_CACHE_H */
