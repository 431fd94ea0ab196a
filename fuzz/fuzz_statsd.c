/*
 * fuzz_statsd.c -- any bytes as StatsD datagrams.  Oracle: a line that is taken has a name the registry accepts,
 * finite values, a rate in (0, 1], labels with terminated texts and no name twice; applying counts every line once.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <brisk/statsd.h>

#include "base/assert.h"
#include "observe/statsd/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const char *text, size_t size)
{
    statsd_line line;
    if (!statsd_parse(text, size, "p.", &line)) {
        return;
    }
    BRISK_ASSERT(line.value_count >= 1 && line.value_count <= STATSD_VALUES_MAX);
    BRISK_ASSERT(line.rate > 0 && line.rate <= 1);
    for (uint32_t i = 0; i < line.value_count; i++) {
        BRISK_ASSERT(isfinite(line.values[i]));
    }
    brisk_metrics *metrics;
    brisk_err err = brisk_metrics_create(NULL, &metrics);
    BRISK_ASSERT(err == BRISK_OK);
    brisk_gauge *gauge;
    err = brisk_metrics_gauge(metrics,
                              &(brisk_metric_desc){.name = line.name,
                                                   .labels = line.labels,
                                                   .label_count = line.label_count},
                              &gauge);
    BRISK_ASSERT(err == BRISK_OK);
    brisk_metrics_destroy(metrics);
}

static void apply(const char *text, size_t size)
{
    brisk_metrics *metrics;
    brisk_statsd *statsd;
    brisk_err err = brisk_metrics_create(&(brisk_metrics_opts){.series_max = 4}, &metrics);
    BRISK_ASSERT(err == BRISK_OK);
    err = brisk_statsd_create(&(brisk_statsd_opts){.metrics = metrics}, &statsd, NULL);
    BRISK_ASSERT(err == BRISK_OK);
    brisk_statsd_counts counts = brisk_statsd_apply(statsd, text, size);
    BRISK_ASSERT((size_t)counts.lines + counts.bad <= size);
    brisk_statsd_destroy(statsd);
    brisk_metrics_destroy(metrics);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size != 0 ? size : 1); /* so that the sanitizer sees its end */
    BRISK_ASSERT(text != NULL);
    if (size != 0) {
        memcpy(text, data, size);
    }
    const char *end = size != 0 ? memchr(text, '\n', size) : NULL;
    check_line(text, end != NULL ? (size_t)(end - text) : size);
    apply(text, size);
    free(text);
    return 0;
}
