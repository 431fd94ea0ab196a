/*
 * brisk/mrc.h -- the miss ratio at every size, from a sample of the requests that come by.
 *
 * Keys are chosen by their hash, and as many of them are followed as there is memory for; the rate
 * halves when there are more (SHARDS).  For LRU one pass gives the whole curve (stack distances);
 * other policies are simulated in small at several sizes.
 *
 * With 8192 keys followed the LRU curve is usually within 0.01 of the truth.  Old requests count
 * half after `half_life` requests, so that the curve follows what happens now.
 *
 * Threads: one at a time for each curve.
 * Source:  Waldspurger et al., "Efficient MRC construction with SHARDS", FAST 2015.
 */
#ifndef BRISK_MRC_H
#define BRISK_MRC_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

enum {
    BRISK_MRC_KEYS_MIN = 64,
    BRISK_MRC_KEYS_MAX = 1 << 24,
    BRISK_MRC_POLICIES_MAX = 10,
};

typedef struct brisk_mrc_opts {
    uint32_t keys_max;           /**< Followed at once, 24 bytes each; 0 means 8192. */
    uint64_t half_life;          /**< In requests; 0: nothing is forgotten. */
    const char *const *policies; /**< Simulated besides, some 100 bytes a key; may be NULL. */
    uint32_t policy_count;
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_mrc_opts;

typedef struct brisk_mrc brisk_mrc;

/** `opts` may be NULL.  Errors: INVALID, NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_mrc_create(const brisk_mrc_opts *opts, brisk_mrc **ret);
BRISK_API void brisk_mrc_destroy(brisk_mrc *mrc); /**< NULL is accepted. */
/** A request.  `key` is a hash of which the upper half counts. */
BRISK_API void brisk_mrc_request(brisk_mrc *mrc, uint64_t key);
/**
 * Likewise for a stream of which somebody else passes on only keys with such hashes, one in
 * `one_in`, as the memory tier's tap does.
 */
BRISK_API void brisk_mrc_sampled(brisk_mrc *mrc, uint32_t hash, uint32_t one_in);
/** Miss ratio of LRU with so many entries; 1 when nothing was seen. */
BRISK_API double brisk_mrc_lru(const brisk_mrc *mrc, uint64_t entries);
/** Of a simulated policy, between the simulated sizes by a line over log(entries); -1 when it is
 *  none of them. */
BRISK_API double brisk_mrc_policy(const brisk_mrc *mrc, const char *policy, uint64_t entries);
/** Miss ratio with room for everything: keys that came for the first time. */
BRISK_API double brisk_mrc_least(const brisk_mrc *mrc);
/** How many entries "room for everything" is, about. */
BRISK_API uint64_t brisk_mrc_keys(const brisk_mrc *mrc);
/** Of how many keys one is followed now. */
BRISK_API double brisk_mrc_one_in(const brisk_mrc *mrc);

BRISK_END_DECLS

#endif /* BRISK_MRC_H */
