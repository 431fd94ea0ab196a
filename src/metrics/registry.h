/*
 * registry.h -- the inside of a registry, for metrics.c (making), rates.c (ticking) and snapshot.c (copying).
 *
 * Families and series are made under `lock`, never changed in what identifies them, and never freed
 * before the registry; so a pointer to one stays good.
 *
 * Locks, in this order: `collecting` (collectors, and the list of them), `lock` (everything else).
 */
#ifndef BRISK_SRC_METRICS_REGISTRY_H
#define BRISK_SRC_METRICS_REGISTRY_H

#include <pthread.h>

#include <brisk/arena.h>
#include <brisk/metrics.h>

#include "base/map.h"
#include "base/vec.h"

enum {
    REGISTRY_TICKS = 64, /* a minute and some of seconds */
    REGISTRY_COLLECTORS_MAX = 64,
};

typedef enum registry_source {
    REGISTRY_COUNTER,
    REGISTRY_TOTAL,
    REGISTRY_GAUGE,
    REGISTRY_HISTOGRAM,
    REGISTRY_RATIO,
} registry_source;

/* A number that is made of others when it is read: the sum of `over` divided by the sum of `under`. */
typedef struct registry_ratio {
    const struct registry_series *over[BRISK_RATIO_PARTS_MAX];
    const struct registry_series *under[BRISK_RATIO_PARTS_MAX];
    uint32_t over_count;
    uint32_t under_count;
} registry_ratio;

typedef struct registry_series {
    const struct registry_family *family;
    const char *key; /* of the labels, in registry_key's form: what series are sorted by */
    const brisk_label *labels;
    uint32_t label_count;
    union {
        brisk_counter *counter;
        brisk_total *total;
        brisk_gauge *gauge;
        brisk_histogram *histogram;
        registry_ratio *ratio;
    } of;
    uint64_t totals[REGISTRY_TICKS]; /* at each tick; 0 before the series was made */
} registry_series;

typedef struct registry_family {
    const char *name;
    const char *plain; /* '_' for '.': what families are sorted and found by */
    const char *help;
    brisk_unit unit;
    registry_source source;
    uint32_t series_count;
    registry_series *overflow; /* what came beyond series_max; NULL until then */
} registry_family;

typedef struct registry_collector {
    brisk_metrics_collector run;
    void *ctx;
} registry_collector;

struct brisk_metrics {
    const brisk_alloc *alloc;
    const brisk_clock *clock;
    uint32_t series_max;
    pthread_mutex_t collecting;
    registry_collector collectors[REGISTRY_COLLECTORS_MAX];
    uint32_t collector_count;
    pthread_mutex_t lock;
    brisk_arena *arena; /* families, series, counters, gauges; NULL before the first */
    brisk_map families; /* by plain name */
    brisk_map series;   /* by plain name and labels */
    uint64_t ticks[REGISTRY_TICKS];
    uint64_t tick_count; /* the last one is ticks[(tick_count - 1) % REGISTRY_TICKS] */
};

void registry_lock(pthread_mutex_t *lock);
void registry_unlock(pthread_mutex_t *lock);

/* Run the collectors. */
void registry_collect(brisk_metrics *metrics);

/* The series of `desc`, made if it is not there.  Under `lock`.  Errors: as brisk_metrics_counter. */
BRISK_NODISCARD brisk_err registry_need(brisk_metrics *metrics, const brisk_metric_desc *desc,
                                        registry_source source, registry_series **ret);

/* NaN while nothing is divided by. */
double registry_read_ratio(const registry_ratio *ratio);

brisk_metric_kind registry_kind(const registry_series *series);

/* What rates are made of: how often something was counted. */
uint64_t registry_total(const registry_series *series);

/* Rates of `series` at `now_ns`, when its total is `total`.  Under `lock`. */
void registry_rates(const brisk_metrics *metrics, const registry_series *series, uint64_t now_ns,
                    uint64_t total, double ret[BRISK_METRIC_WINDOWS]);

enum { REGISTRY_KEY_MAX = BRISK_METRIC_NAME_MAX + BRISK_LABELS_MAX * 330 };

/*
 * Sort `labels` (copied to `sorted`) and write name and labels as one key, `size` bytes at most.
 * Errors: INVALID (a name, a label, a label twice, too many).
 */
BRISK_NODISCARD brisk_err registry_key(const char *name, const brisk_label *labels, uint32_t count,
                                       brisk_label sorted[BRISK_LABELS_MAX],
                                       char key[REGISTRY_KEY_MAX]);

#endif /* BRISK_SRC_METRICS_REGISTRY_H */
