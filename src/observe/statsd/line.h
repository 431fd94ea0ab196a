/*
 * line.h -- one line of StatsD, parsed; for statsd.c, tests and the fuzz target.
 */
#ifndef BRISK_SRC_OBSERVE_STATSD_LINE_H
#define BRISK_SRC_OBSERVE_STATSD_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/metrics.h>

enum { STATSD_VALUES_MAX = 64, STATSD_TEXT_MAX = 2048 };

typedef enum statsd_type {
    STATSD_COUNTER,
    STATSD_GAUGE,
    STATSD_GAUGE_CHANGE, /* the value has a sign */
    STATSD_TIME,
    STATSD_HISTOGRAM,
} statsd_type;

typedef struct statsd_line {
    statsd_type type;
    char name[BRISK_METRIC_NAME_MAX]; /* a valid metric's name, the prefix before it */
    double values[STATSD_VALUES_MAX];
    uint32_t value_count;
    double rate; /* above 0, at most 1 */
    brisk_label labels[BRISK_LABELS_MAX];
    uint32_t label_count;
    char texts[STATSD_TEXT_MAX]; /* of the labels */
} statsd_line;

/* Parse `size` bytes without their newline.  False: it is none, or too large for the fields above. */
bool statsd_parse(const char *data, size_t size, const char *prefix, statsd_line *ret);

#endif /* BRISK_SRC_OBSERVE_STATSD_LINE_H */
