/*
 * brisk/sizing.h -- a memory tier that is watched, and kept at the size that a target needs.
 *
 * Joins what brisk/mrc.h and brisk/sizer.h do to a tier at work: the tier's tap feeds a miss-ratio
 * curve with one in some keys, and now and then the sizer reads a size off it.  With target 0 the
 * tier is only watched.
 *
 * The size follows LRU's curve, the one that is known at every size.  Other policies are simulated
 * in small besides, to say which would do better.
 *
 *     brisk_memory gets ─► tap ─► curve ─► brisk_sizing_tend ─► brisk_memory_resize
 *
 * A tier has one tap, so it is watched once.  Create the tier with bytes_reserve for the largest
 * size that may come.
 *
 * Threads: any, for every function but destroy.
 */
#ifndef BRISK_SIZING_H
#define BRISK_SIZING_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/cache.h>
#include <brisk/err.h>
#include <brisk/sizer.h>

BRISK_BEGIN_DECLS

typedef struct brisk_sizing brisk_sizing;

typedef struct brisk_sizing_opts {
    brisk_tier *memory;    /**< Of brisk_memory_tier_create; borrowed. */
    double target;         /**< Hit rate wanted; 0: watch only. */
    uint64_t bytes_max;    /**< How large the tier may become; 0: as large as it is now. */
    uint64_t entries_max;  /**< The tier's, which stays. */
    uint64_t requests_min; /**< Between two looks, beside once per entry; 0 means 4096. */
    uint32_t one_in; /**< Of how many keys one is seen; 0: 16; 1 below 32 MiB, 64 from 1 GiB on. */
    bool simple;     /**< The simple rule instead of the curve. */
    /** Makes the size so; NULL: brisk_memory_resize.  INVALID: too small, a larger one is tried. */
    brisk_err (*resize)(void *ctx, uint64_t bytes);
    void *ctx;
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_sizing_opts;

typedef struct brisk_sizing_report {
    double target; /**< 0: watched only. */
    uint64_t bytes_max;
    uint64_t requests; /**< Gets that the curve stands for, about. */
    uint64_t keys;     /**< Different ones, about, of those that are remembered. */
    double one_in;     /**< Of so many keys one is followed. */
    uint64_t entries;  /**< In the tier now ... */
    uint64_t bytes;    /**< ... with so many bytes ... */
    uint64_t size;     /**< ... of so many. */
    uint64_t looks;    /**< How often the size was thought about ... */
    uint64_t resizes;  /**< ... and changed. */
    /** Of the last look: "target 94 % reached with 210 MiB"; "" before the first. */
    char text[BRISK_SIZER_TEXT_MAX];
} brisk_sizing_report;

/** Watching begins.  Errors: INVALID (target not in 0 .. 1), NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_sizing_create(const brisk_sizing_opts *opts,
                                                        brisk_sizing **ret);
/** When nobody asks the tier any more, or after the tier itself is gone.  NULL is accepted. */
BRISK_API void brisk_sizing_destroy(brisk_sizing *sizing);
/** Another target (0: none) or limit, from the next look on.  Errors: INVALID; nothing changed. */
BRISK_API BRISK_NODISCARD brisk_err brisk_sizing_set(brisk_sizing *sizing, double target,
                                                     uint64_t bytes_max, bool simple);
/** To be called now and then (every second, say).  True: the size has changed. */
BRISK_API bool brisk_sizing_tend(brisk_sizing *sizing);
BRISK_API void brisk_sizing_read(brisk_sizing *sizing, brisk_sizing_report *ret);
/**
 * What the size should be for any target in 0 .. 1; changes nothing.  `policy` NULL: by the curve,
 * which is LRU's; else by the small simulation of a policy.  Errors: INVALID.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_sizing_advise(brisk_sizing *sizing, double target,
                                                        const char *policy,
                                                        brisk_sizer_advice *ret);
/** Miss ratio with so many entries, likewise; -1: this policy is not simulated. */
BRISK_API double brisk_sizing_miss_ratio(brisk_sizing *sizing, const char *policy,
                                         uint64_t entries);
/** The policies that are simulated in small, LRU first; NULL: no more. */
BRISK_API const char *brisk_sizing_policy(uint32_t index);

BRISK_END_DECLS

#endif /* BRISK_SIZING_H */
