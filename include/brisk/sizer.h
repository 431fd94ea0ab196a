/*
 * brisk/sizer.h -- a size for the memory tier, from a hit rate that is wanted.
 *
 * With a miss-ratio curve: the smallest size whose predicted hit rate is the target.  Where no
 * size within the limit reaches it, growing stops where it stops paying (the curve's knee), and
 * that is said: "target 94 % unreachable; best 71 % at any size; knee 63 % at 210 MiB".
 *
 * Without a curve, the simple rule: below 0.7 grow by a fifth, above 0.95 shrink by a tenth.
 *
 * Changes of less than a tenth are not made, and growing takes effect at once while shrinking
 * must have been advised `patience` times in a row: the sizer does not swing.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SIZER_H
#define BRISK_SIZER_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>
#include <brisk/mrc.h>

BRISK_BEGIN_DECLS

enum { BRISK_SIZER_TEXT_MAX = 160 };

typedef struct brisk_sizer_opts {
    double target;      /**< Hit rate wanted; 0 means 0.94. */
    uint64_t bytes_min; /**< 0 means 1 MiB. */
    uint64_t bytes_max; /**< The memory limit; must be set. */
    uint32_t patience;  /**< 0 means 3. */
    bool simple;        /**< The simple rule, even with a curve. */
    /** Makes the size so, as brisk_memory_resize does; NULL: advice only. */
    brisk_err (*resize)(void *ctx, uint64_t bytes);
    void *ctx;
} brisk_sizer_opts;

/** What is known now. */
typedef struct brisk_sizer_state {
    uint64_t bytes;      /**< The size now: the tier's limit. */
    uint64_t bytes_used; /**< Of which so much is used ... */
    uint64_t entries;    /**< ... by so many entries. */
    uint64_t hits;       /**< Since the step before. */
    uint64_t misses;
    const brisk_mrc *curve; /**< NULL: the simple rule. */
    const char *policy;     /**< Of the curve; NULL: LRU. */
} brisk_sizer_state;

typedef struct brisk_sizer_advice {
    uint64_t bytes;  /**< What the size should be, and is now when `resized`. */
    double hit_rate; /**< Predicted there; the measured one with the simple rule. */
    bool reachable;  /**< The target, within bytes_max. */
    bool resized;
    double best;                     /**< Hit rate with room for everything. */
    double knee;                     /**< Hit rate where growing stops paying ... */
    uint64_t knee_bytes;             /**< ... and that size. */
    char text[BRISK_SIZER_TEXT_MAX]; /**< One line for people. */
} brisk_sizer_advice;

typedef struct brisk_sizer {
    brisk_sizer_opts opts_;
    uint32_t shrinks_;
} brisk_sizer;

/** Errors: INVALID (target not in 0 .. 1, bytes_max 0 or below bytes_min). */
BRISK_API BRISK_NODISCARD brisk_err brisk_sizer_init(brisk_sizer *sizer,
                                                     const brisk_sizer_opts *opts);
/** One step; now and then, after some thousand requests.  Errors: those of resize. */
BRISK_API BRISK_NODISCARD brisk_err brisk_sizer_step(brisk_sizer *sizer,
                                                     const brisk_sizer_state *state,
                                                     brisk_sizer_advice *ret);

BRISK_END_DECLS

#endif /* BRISK_SIZER_H */
