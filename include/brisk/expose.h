/*
 * brisk/expose.h -- a snapshot as text for other programs.
 *
 * Prometheus text (0.0.4) and OpenMetrics (1.0): names with '_' for '.', base units (seconds, bytes) at the end
 * of the name, "_total" for counters.  Histograms have fixed bounds (times: 1, 2.5, 5 for each power of ten from
 * 1 us to 100 s; others: powers of four), so that they add up over machines; a value is at most 0.8 % beyond
 * the bound it is counted under.  Label values that are no UTF-8 are mended.
 * Sources: Prometheus exposition formats; OpenMetrics 1.0.0.
 */
#ifndef BRISK_EXPOSE_H
#define BRISK_EXPOSE_H

#include <brisk/base.h>
#include <brisk/err.h>
#include <brisk/json.h>
#include <brisk/metrics.h>

BRISK_BEGIN_DECLS

typedef enum brisk_expose_format {
    BRISK_EXPOSE_PROMETHEUS = 0,
    BRISK_EXPOSE_OPENMETRICS,
} brisk_expose_format;

/** The Content-Type of a format; static storage. */
BRISK_API const char *brisk_expose_content_type(brisk_expose_format format);

/** All series.  Errors: those of `out`. */
BRISK_API BRISK_NODISCARD brisk_err brisk_expose_text(const brisk_snapshot *snapshot,
                                                      brisk_expose_format format, brisk_out out);

/**
 * {"schema": 1, "wall_ns": ..., "metrics": [{"name", "kind", "unit", "labels": {}, ...}]}: for counters
 * "count" and "rates", for gauges "value", for histograms "count", "rates", "min" ... "max", "mean", "stddev", "sum",
 * and "buckets", the smallest value and the count of each that holds something, in turns.
 * Errors: those of `out`.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_expose_json(const brisk_snapshot *snapshot,
                                                      brisk_out out);
/** The same array as a member `key` of an object that is being written. */
BRISK_API void brisk_expose_json_array(const brisk_snapshot *snapshot, const char *key,
                                       brisk_json *json);

BRISK_END_DECLS

#endif /* BRISK_EXPOSE_H */
