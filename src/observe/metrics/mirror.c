/*
 * mirror.c -- a registry elsewhere, read as JSON again and again, as instruments of a registry here.
 *
 * Totals and gauges are set.  A histogram here gets what its buckets there gained since the last reading, each value
 * as the middle of its bucket: quantiles are those of there to 0.8 %, sums to 0.4 %.  A bucket that holds less
 * than before means that the other side began anew, and all of it is gain.
 *
 * The text comes from elsewhere: names outside of serve.*, unknown kinds and numbers that are none are left out; the
 * registry's own caps bound the rest.
 *
 * Threads: none of its own.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "observe/metrics/server.h"

enum { HISTOGRAMS_MAX = 256, ONES = (1 << BRISK_HISTOGRAM_BITS) - 1 };

typedef struct reading {
    const brisk_yaml_doc *doc;
    metrics_mirror *mirror;
    brisk_metrics *metrics;
    uint32_t histograms;
} reading;

static const char *text_of(const brisk_yaml_node *object, const char *key)
{
    const brisk_yaml_node *node = brisk_yaml_get(object, key);
    return node != NULL && node->text != NULL ? node->text : "";
}

static bool whole_of(const reading *r, const brisk_yaml_node *node, uint64_t *ret)
{
    brisk_errinfo info;
    return node != NULL && node->kind == BRISK_YAML_SCALAR && !node->quoted &&
           brisk_yaml_u64(r->doc, node, ret, &info) == BRISK_OK;
}

static double real_of(const brisk_yaml_node *node)
{
    char *end = NULL;
    if (node == NULL || node->text == NULL || node->quoted || node->text[0] == '\0' ||
        node->text[strspn(node->text, "0123456789+-.eE")] != '\0') {
        return (double)NAN;
    }
    double value = strtod(node->text, &end);
    return *end == '\0' && isfinite(value) ? value : (double)NAN;
}

/* --- what a series is ----------------------------------------------------------------------- */

/* False: its labels are none. */
static bool read_desc(const brisk_yaml_node *node, brisk_label labels[BRISK_LABELS_MAX],
                      brisk_metric_desc *ret)
{
    const brisk_yaml_node *list = brisk_yaml_get(node, "labels");
    uint32_t count = 0;
    if (list != NULL && (list->kind != BRISK_YAML_MAPPING || list->count > BRISK_LABELS_MAX)) {
        return false;
    }
    for (const brisk_yaml_node *at = list != NULL ? list->child : NULL; at != NULL; at = at->next) {
        if (at->text == NULL) {
            return false;
        }
        labels[count++] = (brisk_label){.name = at->key, .value = at->text};
    }
    *ret = (brisk_metric_desc){.name = text_of(node, "name"),
                               .help = text_of(node, "help"),
                               .labels = labels,
                               .label_count = count};
    const char *unit = text_of(node, "unit");
    for (int u = BRISK_UNIT_NONE; u <= BRISK_UNIT_HERTZ; u++) {
        if (strcmp(unit, brisk_unit_name((brisk_unit)u)) == 0) {
            ret->unit = (brisk_unit)u;
        }
    }
    return strncmp(ret->name, "serve.", 6) == 0;
}

/* Both come from one writer, which sorts labels. */
static bool is_same(const brisk_yaml_node *a, const brisk_yaml_node *b)
{
    if (strcmp(text_of(a, "name"), text_of(b, "name")) != 0) {
        return false;
    }
    const brisk_yaml_node *x = brisk_yaml_get(a, "labels");
    const brisk_yaml_node *y = brisk_yaml_get(b, "labels");
    x = x != NULL ? x->child : NULL;
    y = y != NULL ? y->child : NULL;
    for (; x != NULL && y != NULL; x = x->next, y = y->next) {
        if (x->text == NULL || y->text == NULL || x->key == NULL || y->key == NULL ||
            strcmp(x->key, y->key) != 0 || strcmp(x->text, y->text) != 0) {
            return false;
        }
    }
    return x == NULL && y == NULL;
}

/* --- histograms ----------------------------------------------------------------------------- */

static uint64_t middle_of(uint64_t low)
{
    uint32_t bucket = brisk_hist_index(BRISK_HISTOGRAM_BITS, low);
    if (bucket <= ONES) {
        return low;
    }
    uint64_t half = (UINT64_C(1) << ((bucket >> BRISK_HISTOGRAM_BITS) - 1)) / 2;
    return low <= UINT64_MAX - half ? low + half : low;
}

/* The first bucket of a series, or NULL. */
static const brisk_yaml_node *buckets_of(const brisk_yaml_node *series)
{
    const brisk_yaml_node *list = series != NULL ? brisk_yaml_get(series, "buckets") : NULL;
    return list != NULL && list->kind == BRISK_YAML_SEQUENCE ? list->child : NULL;
}

/* The next pair at *at; false at the end, or where it is none. */
static bool next_bucket(const reading *r, const brisk_yaml_node **at, uint64_t *low,
                        uint64_t *count)
{
    const brisk_yaml_node *first = *at;
    if (first == NULL || !whole_of(r, first, low) || !whole_of(r, first->next, count)) {
        *at = NULL;
        return false;
    }
    *at = first->next->next;
    return true;
}

/* How many of bucket `low` there were in a list that is walked along. */
static uint64_t count_before(const reading *r, const brisk_yaml_node **at, uint64_t low)
{
    const brisk_yaml_node *next = *at;
    uint64_t there = 0;
    uint64_t count = 0;
    while (next_bucket(r, &next, &there, &count) && there <= low) {
        *at = next;
        if (there == low) {
            return count;
        }
    }
    return 0;
}

static bool began_anew(const reading *r, const brisk_yaml_node *now, const brisk_yaml_node *before)
{
    uint64_t low;
    uint64_t count;
    uint64_t sum = 0;
    uint64_t sum_before = 0;
    const brisk_yaml_node *at = buckets_of(before);
    const brisk_yaml_node *to = buckets_of(now);
    while (next_bucket(r, &at, &low, &count)) {
        if (count > count_before(r, &to, low)) {
            return true;
        }
        sum_before += count;
    }
    at = buckets_of(now);
    while (next_bucket(r, &at, &low, &count)) {
        sum += count;
    }
    return sum < sum_before;
}

static void add_gain(const reading *r, const brisk_yaml_node *now, const brisk_yaml_node *before,
                     brisk_histogram *to)
{
    if (before != NULL && began_anew(r, now, before)) {
        before = NULL;
    }
    const brisk_yaml_node *at = buckets_of(now);
    const brisk_yaml_node *earlier = buckets_of(before);
    uint64_t low;
    uint64_t count;
    while (next_bucket(r, &at, &low, &count)) {
        uint64_t had = count_before(r, &earlier, low);
        brisk_histogram_record_many(to, middle_of(low), count > had ? count - had : 0);
    }
}

static const brisk_yaml_node *list_of(const brisk_yaml_doc *doc)
{
    const brisk_yaml_node *list =
        doc != NULL ? brisk_yaml_get(brisk_yaml_root(doc), "metrics") : NULL;
    return list != NULL && list->kind == BRISK_YAML_SEQUENCE ? list : NULL;
}

static void apply_histogram(reading *r, const brisk_metric_desc *desc, const brisk_yaml_node *node)
{
    brisk_histogram *histogram;
    if (++r->histograms > HISTOGRAMS_MAX ||
        brisk_metrics_histogram(r->metrics, desc, &histogram) != BRISK_OK) {
        return;
    }
    const brisk_yaml_node *list = list_of(r->mirror->last);
    const brisk_yaml_node *before = list != NULL ? list->child : NULL;
    while (before != NULL && !is_same(before, node)) {
        before = before->next;
    }
    if (r->mirror->last != NULL || !r->mirror->since_first) {
        add_gain(r, node, before, histogram);
    }
}

/* --- all of it ------------------------------------------------------------------------------ */

static void apply_series(reading *r, const brisk_yaml_node *node)
{
    brisk_label labels[BRISK_LABELS_MAX];
    brisk_metric_desc desc;
    brisk_total *total;
    brisk_gauge *gauge;
    uint64_t count;
    if (node->kind != BRISK_YAML_MAPPING || !read_desc(node, labels, &desc)) {
        return;
    }
    const char *kind = text_of(node, "kind");
    if (strcmp(kind, "histogram") == 0) {
        apply_histogram(r, &desc, node);
    } else if (strcmp(kind, "counter") == 0) {
        if (whole_of(r, brisk_yaml_get(node, "count"), &count) &&
            brisk_metrics_total(r->metrics, &desc, &total) == BRISK_OK) {
            brisk_total_set(total, count);
        }
    } else if (strcmp(kind, "gauge") == 0 &&
               brisk_metrics_gauge(r->metrics, &desc, &gauge) == BRISK_OK) {
        brisk_gauge_set(gauge, real_of(brisk_yaml_get(node, "value")));
    }
}

brisk_err metrics_mirror_apply(metrics_mirror *mirror, const char *text, size_t size,
                               brisk_metrics *metrics, brisk_errinfo *info)
{
    brisk_yaml_doc *doc = NULL;
    brisk_err err = brisk_yaml_parse("BRISK.METRICS", text, size, NULL, &doc, info);
    if (err != BRISK_OK) {
        return err == BRISK_ERR_INVALID ? BRISK_ERR_CORRUPT : err;
    }
    const brisk_yaml_node *list = list_of(doc);
    if (list == NULL) {
        brisk_yaml_destroy(doc);
        return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "BRISK.METRICS: no list of metrics");
    }
    reading r = {.doc = doc, .mirror = mirror, .metrics = metrics};
    for (const brisk_yaml_node *at = list->child; at != NULL; at = at->next) {
        apply_series(&r, at);
    }
    brisk_yaml_destroy(mirror->last);
    mirror->last = doc;
    return BRISK_OK;
}

void metrics_mirror_deinit(metrics_mirror *mirror)
{
    brisk_yaml_destroy(mirror->last);
    mirror->last = NULL;
}
