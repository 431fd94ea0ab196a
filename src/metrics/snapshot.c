/*
 * snapshot.c -- what a registry holds at one moment, copied.
 *
 * A snapshot is one arena: its header, the values sorted, their texts, labels and buckets.  So it is freed
 * at once, never changes, and knows nothing of the registry it came from.
 *
 * Figures of a histogram come from its buckets, but no quantile lies outside of the exact minimum and
 * maximum.
 */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "metrics/histogram.h"
#include "metrics/registry.h"

enum { SNAPSHOT_CHUNK = 65536, BUCKETS = BRISK_HISTOGRAM_GROUPS << BRISK_HISTOGRAM_BITS };

/* One value and what it is found by. */
typedef struct row {
    const char *key;
    brisk_metric_value value;
} row;

struct brisk_snapshot {
    brisk_arena *arena;
    _Atomic uint32_t refs;
    uint64_t wall_ns;
    uint64_t now_ns;
    uint32_t count;
    row *rows;
};

/* Scratch for one histogram at a time: counts by bucket, and the range of those that are not 0. */
typedef struct scratch {
    uint64_t *counts;
    uint32_t first;
    uint32_t end;
} scratch;

static void add_count(void *ctx, uint32_t index, uint64_t count)
{
    scratch *s = ctx;
    s->counts[index] += count;
    s->first = index < s->first ? index : s->first;
    s->end = index >= s->end ? index + 1 : s->end;
}

/* The smallest top that at least `rank` values are not above. */
static uint64_t top_at(const brisk_metric_value *value, uint64_t rank)
{
    uint64_t seen = 0;
    for (uint32_t i = 0; i < value->bucket_count; i++) {
        seen += value->buckets[i].count;
        if (seen >= rank) {
            uint64_t top = value->buckets[i].top;
            top = top > value->max ? value->max : top;
            return top < value->min ? value->min : top;
        }
    }
    return value->max;
}

static uint64_t rank_of(double q, uint64_t count)
{
    uint64_t rank = (uint64_t)ceil(q * (double)count);
    rank = rank > count ? count : rank;
    return rank > 0 ? rank : 1;
}

static void set_figures(brisk_metric_value *value)
{
    if (value->count == 0) {
        return;
    }
    value->p50 = top_at(value, rank_of(0.5, value->count));
    value->p95 = top_at(value, rank_of(0.95, value->count));
    value->p99 = top_at(value, rank_of(0.99, value->count));
    value->p999 = top_at(value, rank_of(0.999, value->count));
    value->mean = value->sum / (double)value->count;
    double squares = 0.0;
    for (uint32_t i = 0; i < value->bucket_count; i++) {
        const brisk_hist_bucket *bucket = &value->buckets[i];
        double middle = (double)bucket->low + (double)(bucket->top - bucket->low) / 2;
        squares += (middle - value->mean) * (middle - value->mean) * (double)bucket->count;
    }
    value->stddev = value->min == value->max ? 0.0 : sqrt(squares / (double)value->count);
    value->value = value->mean;
}

static brisk_err copy_histogram(brisk_arena *arena, const brisk_histogram *histogram, scratch *s,
                                brisk_metric_value *ret)
{
    s->first = BUCKETS;
    s->end = 0;
    brisk_histogram_sums sums;
    (void)metrics_histogram_walk(histogram, add_count, s, &sums);
    uint32_t used = 0;
    for (uint32_t i = s->first; i < s->end; i++) {
        used += s->counts[i] != 0 ? 1 : 0;
    }
    brisk_hist_bucket *buckets = brisk_arena_calloc(arena, used, sizeof *buckets);
    uint32_t at = 0;
    for (uint32_t i = s->first; i < s->end; i++) {
        if (s->counts[i] != 0 && buckets != NULL) {
            buckets[at++] = (brisk_hist_bucket){.low = metrics_hist_low(BRISK_HISTOGRAM_BITS, i),
                                                .top = metrics_hist_top(BRISK_HISTOGRAM_BITS, i),
                                                .count = s->counts[i]};
        }
        s->counts[i] = 0;
    }
    if (buckets == NULL) {
        return BRISK_ERR_NOMEM;
    }
    ret->buckets = buckets;
    ret->bucket_count = used;
    ret->count = sums.count;
    ret->lost = sums.lost;
    ret->min = sums.min;
    ret->max = sums.max;
    ret->sum = sums.sum;
    set_figures(ret);
    return BRISK_OK;
}

static const char *copy_text(brisk_arena *arena, const char *text)
{
    return brisk_arena_copy(arena, text, strlen(text));
}

static brisk_err copy_texts(brisk_arena *arena, const registry_series *series, row *ret)
{
    brisk_label *labels = brisk_arena_calloc(arena, series->label_count + 1, sizeof *labels);
    ret->key = copy_text(arena, series->key);
    ret->value.name = copy_text(arena, series->family->name);
    ret->value.help = copy_text(arena, series->family->help);
    if (labels == NULL || ret->key == NULL || ret->value.name == NULL || ret->value.help == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < series->label_count; i++) {
        labels[i].name = copy_text(arena, series->labels[i].name);
        labels[i].value = copy_text(arena, series->labels[i].value);
        if (labels[i].name == NULL || labels[i].value == NULL) {
            return BRISK_ERR_NOMEM;
        }
    }
    ret->value.labels = labels;
    ret->value.label_count = series->label_count;
    return BRISK_OK;
}

static brisk_err copy_series(const brisk_metrics *metrics, brisk_snapshot *snapshot,
                             const registry_series *series, scratch *s, row *ret)
{
    brisk_err err = copy_texts(snapshot->arena, series, ret);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_metric_value *value = &ret->value;
    value->kind = registry_kind(series);
    value->unit = series->family->unit;
    switch (series->family->source) {
    case REGISTRY_HISTOGRAM:
        err = copy_histogram(snapshot->arena, series->of.histogram, s, value);
        break;
    case REGISTRY_GAUGE: value->value = brisk_gauge_read(series->of.gauge); break;
    case REGISTRY_RATIO: value->value = registry_read_ratio(series->of.ratio); break;
    case REGISTRY_COUNTER:
    case REGISTRY_TOTAL:
    default:
        value->count = registry_total(series);
        value->value = (double)value->count;
        break;
    }
    registry_rates(metrics, series, snapshot->now_ns, value->count, value->rates);
    return err;
}

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const row *)a)->key, ((const row *)b)->key);
}

static brisk_err fill(const brisk_metrics *metrics, brisk_snapshot *snapshot)
{
    scratch s = {0};
    size_t count = metrics->series.entries.count;
    snapshot->rows = brisk_arena_calloc(snapshot->arena, count, sizeof *snapshot->rows);
    s.counts = brisk_arena_calloc(snapshot->arena, BUCKETS, sizeof *s.counts);
    if (snapshot->rows == NULL || s.counts == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        brisk_err err = copy_series(metrics, snapshot, metrics->series.entries.items[i].value, &s,
                                    &snapshot->rows[i]);
        if (err != BRISK_OK) {
            return err;
        }
    }
    snapshot->count = (uint32_t)count;
    return BRISK_OK;
}

brisk_err brisk_metrics_snapshot(brisk_metrics *metrics, const brisk_alloc *alloc,
                                 brisk_snapshot **ret)
{
    BRISK_ASSERT(ret != NULL);
    brisk_arena *arena;
    brisk_arena_opts opts = {.chunk_bytes = SNAPSHOT_CHUNK, .alloc = alloc};
    brisk_err err = brisk_arena_create(&opts, &arena);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_snapshot *snapshot = brisk_arena_calloc(arena, 1, sizeof *snapshot);
    if (snapshot == NULL) {
        brisk_arena_destroy(arena);
        return BRISK_ERR_NOMEM;
    }
    snapshot->arena = arena;
    atomic_init(&snapshot->refs, 1);
    registry_collect(metrics);
    registry_lock(&metrics->lock);
    snapshot->now_ns = brisk_clock_now_ns(metrics->clock);
    snapshot->wall_ns = brisk_clock_wall_ns(metrics->clock);
    err = fill(metrics, snapshot);
    registry_unlock(&metrics->lock);
    if (err != BRISK_OK) {
        brisk_arena_destroy(arena);
        return err;
    }
    qsort(snapshot->rows, snapshot->count, sizeof *snapshot->rows, compare_rows);
    *ret = snapshot;
    return BRISK_OK;
}

brisk_snapshot *brisk_snapshot_ref(brisk_snapshot *snapshot)
{
    /* Relaxed: whoever has a reference may make another. */
    atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
    return snapshot;
}

void brisk_snapshot_unref(brisk_snapshot *snapshot)
{
    /* Release and acquire: all reads by other holders come before the memory goes. */
    if (snapshot != NULL &&
        atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel) == 1) {
        brisk_arena_destroy(snapshot->arena);
    }
}

uint64_t brisk_snapshot_wall_ns(const brisk_snapshot *snapshot)
{
    return snapshot->wall_ns;
}

uint64_t brisk_snapshot_now_ns(const brisk_snapshot *snapshot)
{
    return snapshot->now_ns;
}

uint32_t brisk_snapshot_count(const brisk_snapshot *snapshot)
{
    return snapshot->count;
}

const brisk_metric_value *brisk_snapshot_at(const brisk_snapshot *snapshot, uint32_t index)
{
    BRISK_ASSERT(index < snapshot->count);
    return &snapshot->rows[index].value;
}

const brisk_metric_value *brisk_snapshot_find(const brisk_snapshot *snapshot, const char *name,
                                              const brisk_label *labels, uint32_t label_count)
{
    brisk_label sorted[BRISK_LABELS_MAX];
    char key[REGISTRY_KEY_MAX];
    if (registry_key(name, labels, label_count, sorted, key) != BRISK_OK || snapshot->count == 0) {
        return NULL;
    }
    row wanted = {.key = key};
    const row *found =
        bsearch(&wanted, snapshot->rows, snapshot->count, sizeof wanted, compare_rows);
    return found != NULL ? &found->value : NULL;
}

/* ---- quantiles of a window ----------------------------------------------------------------- */

/* How many of bucket `now` were there in `earlier`, whose buckets are walked along at *at. */
static uint64_t earlier_count(const brisk_metric_value *earlier, uint32_t *at,
                              const brisk_hist_bucket *now)
{
    while (earlier != NULL && *at < earlier->bucket_count && earlier->buckets[*at].low < now->low) {
        ++*at;
    }
    bool same = earlier != NULL && *at < earlier->bucket_count &&
                earlier->buckets[*at].low == now->low && earlier->buckets[*at].count <= now->count;
    return same ? earlier->buckets[*at].count : 0;
}

uint64_t brisk_metric_quantile(const brisk_metric_value *value, const brisk_metric_value *earlier,
                               double q)
{
    BRISK_ASSERT(q >= 0.0 && q <= 1.0);
    uint64_t count = 0;
    uint32_t at = 0;
    for (uint32_t i = 0; i < value->bucket_count; i++) {
        count += value->buckets[i].count - earlier_count(earlier, &at, &value->buckets[i]);
    }
    uint64_t rank = rank_of(q, count);
    uint64_t seen = 0;
    at = 0;
    for (uint32_t i = 0; i < value->bucket_count && count > 0; i++) {
        const brisk_hist_bucket *bucket = &value->buckets[i];
        seen += bucket->count - earlier_count(earlier, &at, bucket);
        if (seen >= rank) {
            return bucket->top < value->max ? bucket->top : value->max;
        }
    }
    return 0;
}

double brisk_metric_apdex(const brisk_metric_value *value, const brisk_metric_value *earlier,
                          uint64_t failed, uint64_t target)
{
    uint64_t satisfied = 0;
    uint64_t tolerating = 0;
    uint64_t count = 0;
    uint64_t tolerable = target > UINT64_MAX / 4 ? UINT64_MAX : target * 4;
    uint32_t at = 0;
    for (uint32_t i = 0; i < value->bucket_count; i++) {
        const brisk_hist_bucket *bucket = &value->buckets[i];
        uint64_t more = bucket->count - earlier_count(earlier, &at, bucket);
        count += more;
        satisfied += bucket->low <= target ? more : 0;
        tolerating += bucket->low > target && bucket->low <= tolerable ? more : 0;
    }
    if (count == 0) {
        return (double)NAN;
    }
    /* A failure pleases nobody however quick it was. */
    double pleased = (double)satisfied + (double)tolerating / 2 - (double)failed;
    return pleased > 0 ? pleased / (double)count : 0.0;
}
