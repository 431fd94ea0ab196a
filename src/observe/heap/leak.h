/*
 * leak.h -- does a place leak?  From how its live bytes grew and from how old what lives is, with a confidence.
 *
 * No threshold on size: a place is suspected when, after the warm-up,
 *   - the floor of its live bytes rises: minima of blocks of time have a trend (Mann-Kendall, corrected for
 *     autocorrelation) or go up in steps more and farther than down (Wilcoxon); p < 0.01, one-sided, for both
 *     together; the slope is Theil-Sen's;
 *   - it still rises in the last half of the time: a cache that has filled does not;
 *   - what lives was born all along: with replacement or short lives the survivors are young;
 *   - the growth stands above the noise of sampling: at least eight samples' worth.
 * A saw whose teeth are longer than a thirty-second of the time watched hides a slow leak beneath it; watch longer.
 * What cannot be told from a leak within the time watched (a cache that is still filling) is suspected, too: the
 * confidence is about growth that nothing ended, not about intentions.
 *
 * Sources: H. B. Mann 1945, M. G. Kendall 1975; H. Theil 1950, P. K. Sen 1968; F. Wilcoxon 1945.
 */
#ifndef BRISK_SRC_OBSERVE_HEAP_LEAK_H
#define BRISK_SRC_OBSERVE_HEAP_LEAK_H

#include <stdbool.h>
#include <stdint.h>

enum { HEAP_TREND_POINTS = 32, HEAP_LEAK_POINTS_MIN = 20 };

/* One block that lives at the end. */
typedef struct heap_survivor {
    double born; /* seconds, as in `times` */
    double weight;
} heap_survivor;

typedef struct heap_growth {
    const double *times; /* seconds, rising */
    const double *live;  /* bytes */
    uint32_t count;
    const heap_survivor *survivors;
    uint32_t survivor_count;
    double sample_bytes; /* what a sample stands for, typically */
} heap_growth;

typedef struct heap_verdict {
    bool enough; /* data to say anything */
    bool suspected;
    double confidence; /* 0 .. 1; 0 when not suspected */
    double slope;      /* bytes a second, after the warm-up */
    double slope_low;  /* its 95 % interval */
    double slope_high;
    double p;          /* chance of so steady a rise without a trend */
    double late_slope; /* of the last half */
    double
        old_share; /* of what was born after the warm-up and lives: its older half's part; a leak has half */
} heap_verdict;

heap_verdict heap_leak_judge(const heap_growth *growth);

#endif /* BRISK_SRC_OBSERVE_HEAP_LEAK_H */
