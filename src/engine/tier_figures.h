/*
 * tier_figures.h -- what shared tiers count, and how long they take.
 *
 * Threads: any.  Locks: `lock`, a leaf, around the histogram.
 */
#ifndef BRISK_SRC_ENGINE_TIER_FIGURES_H
#define BRISK_SRC_ENGINE_TIER_FIGURES_H

#include <pthread.h>

#include <brisk/cache.h>
#include <brisk/counter.h>
#include <brisk/hist.h>

typedef struct tier_figures {
    brisk_counter hits;
    brisk_counter misses;
    brisk_counter puts;
    brisk_counter removes;
    brisk_counter expired;
    brisk_counter rejects;
    brisk_counter corrupt;
    brisk_counter errors;
    brisk_counter raw_bytes;
    brisk_counter stored_bytes;
    pthread_mutex_t lock;
    brisk_hist *hist; /* of gets */
} tier_figures;

/* `figures` is zeroed.  Errors: NOMEM; deinit is needed in any case. */
BRISK_NODISCARD brisk_err tier_figures_init(tier_figures *figures, const brisk_alloc *alloc);
void tier_figures_deinit(tier_figures *figures);
/* A get that began then. */
void tier_figures_time(tier_figures *figures, uint64_t begin_ns);
/* Count an error and return it. */
brisk_err tier_figures_failed(tier_figures *figures, brisk_err err);
/* Count how a put went and return that; `stored_bytes` when it is OK. */
brisk_err tier_figures_put(tier_figures *figures, brisk_err err, uint64_t raw_bytes,
                           uint64_t stored_bytes);
void tier_figures_read(tier_figures *figures, brisk_tier_stats *ret);

#endif /* BRISK_SRC_ENGINE_TIER_FIGURES_H */
