/*
 * ratio.c -- gauges made of other metrics: cache hit rates, error rates, revenue for each request.
 *
 * Parts are looked up once, when the ratio is made; series are never freed before the registry, so that
 * reading follows pointers.  A ratio is no part of another one: reading does not recurse.
 */
#include <math.h>

#include "base/assert.h"
#include "metrics/registry.h"

static double read_part(const registry_series *series)
{
    return series->family->source == REGISTRY_GAUGE ? brisk_gauge_read(series->of.gauge)
                                                    : (double)registry_total(series);
}

double registry_read_ratio(const registry_ratio *ratio)
{
    double over = 0;
    double under = 0;
    for (uint32_t i = 0; i < ratio->over_count; i++) {
        over += read_part(ratio->over[i]);
    }
    for (uint32_t i = 0; i < ratio->under_count; i++) {
        under += read_part(ratio->under[i]);
    }
    return under != 0 ? over / under : (double)NAN;
}

static brisk_err find_parts(const brisk_metrics *metrics, const brisk_metric_desc *parts,
                            uint32_t count, const registry_series **ret)
{
    if (count == 0 || count > BRISK_RATIO_PARTS_MAX) {
        return BRISK_ERR_INVALID;
    }
    for (uint32_t i = 0; i < count; i++) {
        brisk_label sorted[BRISK_LABELS_MAX];
        char key[REGISTRY_KEY_MAX];
        brisk_err err =
            registry_key(parts[i].name, parts[i].labels, parts[i].label_count, sorted, key);
        if (err != BRISK_OK) {
            return err;
        }
        const registry_series *series = brisk_map_get(&metrics->series, key);
        if (series == NULL || series->family->source == REGISTRY_RATIO) {
            return BRISK_ERR_NOT_FOUND;
        }
        ret[i] = series;
    }
    return BRISK_OK;
}

brisk_err brisk_metrics_ratio(brisk_metrics *metrics, const brisk_metric_desc *desc,
                              const brisk_ratio *ratio)
{
    registry_ratio parts = {.over_count = ratio->over_count, .under_count = ratio->under_count};
    registry_lock(&metrics->lock);
    brisk_err err = find_parts(metrics, ratio->over, ratio->over_count, parts.over);
    if (err == BRISK_OK) {
        err = find_parts(metrics, ratio->under, ratio->under_count, parts.under);
    }
    registry_series *series = NULL;
    if (err == BRISK_OK) {
        err = registry_need(metrics, desc, REGISTRY_RATIO, &series);
    }
    if (err == BRISK_OK && series->of.ratio->over_count == 0) {
        *series->of.ratio = parts;
    }
    registry_unlock(&metrics->lock);
    return err;
}
