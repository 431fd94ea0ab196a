/*
 * brisk/metrics.h -- a registry of named figures: counters, gauges, histograms, with labels.
 *
 *     static brisk_counter *served;
 *     brisk_metrics_counter(brisk_metrics_default(),
 *                           &(brisk_metric_desc){.name = "shop.orders", .help = "Orders taken"}, &served);
 *     brisk_counter_add(served, 1);
 *
 * An instrument is made once (the same name and labels give the same one again), kept by whoever
 * uses it, and lives as long as its registry.  Recording costs a few nanoseconds and knows nothing of the
 * registry; names are looked up when instruments are made and when a snapshot is taken.
 *
 * Names are words [a-zA-Z_][a-zA-Z0-9_]* joined by dots ("cache.memory.hits"); texts for other programs
 * have '_' for '.', therefore "a.b" and "a_b" are one name and conflict.  Labels keep series of one name
 * apart.  A name has at most `series_max` series; whatever comes beyond (or beyond BRISK_METRICS_TOTAL_MAX of all
 * names) shares the one whose only label is overflow="true", so that labels with user input cannot fill the memory.
 *
 * Rates: brisk_metrics_tick, called about once a second by whoever watches, keeps the totals of the last
 * minute; so every counter and histogram has rates and none pays for them.  Who never ticks has none (NaN).
 *
 * Threads: every function from any thread.  Locks: one for the registry; collectors run under a second
 * one that is taken first, and may use the registry, except for taking snapshots, ticking and removing.
 */
#ifndef BRISK_METRICS_H
#define BRISK_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/clock.h>
#include <brisk/counter.h>
#include <brisk/err.h>
#include <brisk/hist.h>
#include <brisk/histogram.h>

BRISK_BEGIN_DECLS

enum {
    BRISK_METRIC_NAME_MAX = 128,    /**< Bytes, terminator included. */
    BRISK_METRIC_HELP_MAX = 512,    /**< Likewise; longer ones are cut. */
    BRISK_LABEL_NAME_MAX = 64,      /**< Likewise. */
    BRISK_LABEL_VALUE_MAX = 256,    /**< Likewise; longer ones are cut. */
    BRISK_LABELS_MAX = 16,          /**< Of one series. */
    BRISK_METRICS_NAMES_MAX = 4096, /**< Of one registry. */
    BRISK_METRICS_TOTAL_MAX =
        16384, /**< Series of one registry before each name has only its shared one. */
    BRISK_METRICS_SERIES_DEFAULT = 256,
    BRISK_METRIC_WINDOWS = 3, /**< Rates over 1, 10 and 60 seconds. */
    BRISK_RATIO_PARTS_MAX = 4,
};

typedef enum brisk_metric_kind {
    BRISK_METRIC_COUNTER = 0, /**< A total that only grows. */
    BRISK_METRIC_GAUGE,       /**< A number that goes up and down. */
    BRISK_METRIC_HISTOGRAM,   /**< A distribution. */
} brisk_metric_kind;

/** What the number counts.  Texts for other programs convert to base units: NS to seconds. */
typedef enum brisk_unit {
    BRISK_UNIT_NONE = 0, /**< Things: requests, entries, orders. */
    BRISK_UNIT_NS,       /**< Nanoseconds. */
    BRISK_UNIT_BYTES,
    BRISK_UNIT_RATIO, /**< 0 .. 1 */
    BRISK_UNIT_CELSIUS,
    BRISK_UNIT_HERTZ,
} brisk_unit;

/** "counter", "gauge", "histogram"; "", "ns", "bytes", "ratio", "celsius", "hertz".  Static storage. */
BRISK_API const char *brisk_metric_kind_name(brisk_metric_kind kind);
BRISK_API const char *brisk_unit_name(brisk_unit unit);

typedef struct brisk_label {
    const char *name; /**< [a-zA-Z_][a-zA-Z0-9_]* */
    const char *value;
} brisk_label;

/** What an instrument is; everything is copied. */
typedef struct brisk_metric_desc {
    const char *name;
    const char *help; /**< One phrase; NULL: none.  The first one of a name stays. */
    brisk_unit unit;
    const brisk_label *labels; /**< In any order, no name twice. */
    uint32_t label_count;
} brisk_metric_desc;

/** A number of 64-bit floating point.  Fields are private and accessed atomically. */
typedef struct brisk_gauge {
    uint64_t bits_;
} brisk_gauge;

BRISK_API void brisk_gauge_set(brisk_gauge *gauge, double value);
BRISK_API void brisk_gauge_add(brisk_gauge *gauge, double amount);
BRISK_API double brisk_gauge_read(const brisk_gauge *gauge);

/** A total that is counted elsewhere (by the kernel, say) and copied here by a collector. */
typedef struct brisk_total {
    uint64_t value_;
} brisk_total;

BRISK_API void brisk_total_set(brisk_total *total, uint64_t value);
BRISK_API uint64_t brisk_total_read(const brisk_total *total);

typedef struct brisk_metrics brisk_metrics;

typedef struct brisk_metrics_opts {
    uint32_t series_max;      /**< Of one name; 0 means BRISK_METRICS_SERIES_DEFAULT. */
    const brisk_clock *clock; /**< Borrowed; NULL means the system's. */
    const brisk_alloc *alloc; /**< Borrowed, must serve several threads; NULL means libc. */
} brisk_metrics_opts;

/** The registry of this process: always there, never destroyed. */
BRISK_API brisk_metrics *brisk_metrics_default(void);
/** One of your own.  `opts` may be NULL.  Errors: NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_metrics_create(const brisk_metrics_opts *opts,
                                                         brisk_metrics **ret);
/** Its instruments go with it.  NULL is accepted. */
BRISK_API void brisk_metrics_destroy(brisk_metrics *metrics);

/*
 * Make an instrument, or find it again.  Errors of all four: INVALID (a name, a label), CONFLICT (the name
 * has another kind or unit, or is spelt with other dots), LIMIT (too many names), NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_metrics_counter(brisk_metrics *metrics,
                                                          const brisk_metric_desc *desc,
                                                          brisk_counter **ret);
/** Of kind COUNTER, but set instead of added to. */
BRISK_API BRISK_NODISCARD brisk_err brisk_metrics_total(brisk_metrics *metrics,
                                                        const brisk_metric_desc *desc,
                                                        brisk_total **ret);
BRISK_API BRISK_NODISCARD brisk_err brisk_metrics_gauge(brisk_metrics *metrics,
                                                        const brisk_metric_desc *desc,
                                                        brisk_gauge **ret);
BRISK_API BRISK_NODISCARD brisk_err brisk_metrics_histogram(brisk_metrics *metrics,
                                                            const brisk_metric_desc *desc,
                                                            brisk_histogram **ret);

/** Counters, totals and gauges by name and labels; of histograms the count. */
typedef struct brisk_ratio {
    const brisk_metric_desc *over; /**< Summed. */
    uint32_t over_count;           /**< 1 .. BRISK_RATIO_PARTS_MAX */
    const brisk_metric_desc *under;
    uint32_t under_count;
} brisk_ratio;

/**
 * A gauge that is `over` divided by `under` whenever it is read: hits of hits and misses, orders of visits,
 * revenue for each request.  NaN while `under` is 0.  The same name again is fine (its first parts stay).
 * Errors: as above, and NOT_FOUND (a part is no metric yet, or is itself a ratio).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_metrics_ratio(brisk_metrics *metrics,
                                                        const brisk_metric_desc *desc,
                                                        const brisk_ratio *ratio);

/** Called before each snapshot and tick, to set gauges and totals.  May make instruments. */
typedef void (*brisk_metrics_collector)(void *ctx, brisk_metrics *metrics);

/** Errors: NOMEM, LIMIT (64), CONFLICT (there already). */
BRISK_API BRISK_NODISCARD brisk_err brisk_metrics_collect(brisk_metrics *metrics,
                                                          brisk_metrics_collector collector,
                                                          void *ctx);
/** Afterwards it does not run and will not.  Not from a collector.  Unknown ones are ignored. */
BRISK_API void brisk_metrics_collect_stop(brisk_metrics *metrics, brisk_metrics_collector collector,
                                          void *ctx);

/** Keep the totals of this moment for rates; a second tick within 0.9 s keeps nothing. */
BRISK_API void brisk_metrics_tick(brisk_metrics *metrics);

/** One series at one moment.  All figures in the metric's own unit. */
typedef struct brisk_metric_value {
    const char *name;
    const char *help; /**< "" when there is none. */
    brisk_metric_kind kind;
    brisk_unit unit;
    const brisk_label *labels; /**< Sorted by name. */
    uint32_t label_count;
    double value;   /**< Gauge: the number.  Counter: the total.  Histogram: the mean. */
    uint64_t count; /**< Counter: the exact total.  Histogram: how many values. */
    /** Per second, over the last 1, 10 and 60 s, of `count`; NaN where ticks are missing, and for gauges. */
    double rates[BRISK_METRIC_WINDOWS];
    /* Histograms only, otherwise 0: */
    uint64_t lost; /**< Values that found no memory. */
    uint64_t min;
    uint64_t p50;
    uint64_t p95;
    uint64_t p99;
    uint64_t p999;
    uint64_t max;
    double mean;
    double stddev;
    double sum;
    const brisk_hist_bucket *buckets; /**< Those that hold something, in order. */
    uint32_t bucket_count;
} brisk_metric_value;

/** What a registry held at one moment; counted references, never changes, outlives the registry. */
typedef struct brisk_snapshot brisk_snapshot;

/** Run the collectors and copy everything.  `alloc` NULL means libc.  Errors: NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_metrics_snapshot(brisk_metrics *metrics,
                                                           const brisk_alloc *alloc,
                                                           brisk_snapshot **ret);
BRISK_API brisk_snapshot *brisk_snapshot_ref(brisk_snapshot *snapshot);
/** The last reference frees it.  NULL is accepted. */
BRISK_API void brisk_snapshot_unref(brisk_snapshot *snapshot);
/** Nanoseconds since 1970, and of the registry's monotonic clock. */
BRISK_API uint64_t brisk_snapshot_wall_ns(const brisk_snapshot *snapshot);
BRISK_API uint64_t brisk_snapshot_now_ns(const brisk_snapshot *snapshot);
/** Series in order of name, then of labels. */
BRISK_API uint32_t brisk_snapshot_count(const brisk_snapshot *snapshot);
BRISK_API const brisk_metric_value *brisk_snapshot_at(const brisk_snapshot *snapshot,
                                                      uint32_t index);
/** The series with exactly these labels (in any order), or NULL. */
BRISK_API const brisk_metric_value *brisk_snapshot_find(const brisk_snapshot *snapshot,
                                                        const char *name, const brisk_label *labels,
                                                        uint32_t label_count);

/**
 * Quantile q (0 .. 1) of a histogram's value, as brisk_hist_quantile; with `earlier` (NULL: none), a value of
 * the same series from an older snapshot, of what was recorded since.  0 when that is nothing.
 */
BRISK_API uint64_t brisk_metric_quantile(const brisk_metric_value *value,
                                         const brisk_metric_value *earlier, double q);

/**
 * Apdex of a histogram of times: (values <= target + half of those <= 4 * target) / all, less `failed`: those of the
 * former that failed, which please nobody (slower failures do not anyway); since `earlier`, as above.  NaN when nothing
 * was recorded.
 * Source: Apdex Alliance, Application Performance Index, technical specification 1.1.
 */
BRISK_API double brisk_metric_apdex(const brisk_metric_value *value,
                                    const brisk_metric_value *earlier, uint64_t failed,
                                    uint64_t target);

BRISK_END_DECLS

#endif /* BRISK_METRICS_H */
