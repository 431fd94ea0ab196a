/*
 * otlp_write.h -- metrics and spans as OTLP's JSON; for otlp.c and tests.
 */
#ifndef BRISK_SRC_OBSERVE_EXPORT_OTLP_WRITE_H
#define BRISK_SRC_OBSERVE_EXPORT_OTLP_WRITE_H

#include <brisk/json.h>
#include <brisk/metrics.h>
#include <brisk/trace.h>
#include <brisk/track.h>

enum { OTLP_BUCKETS_MAX = 160, OTLP_SCALE_MAX = 6 };

/* A tracked operation that ended, copied. */
typedef struct otlp_span {
    char name[BRISK_METRIC_NAME_MAX];
    brisk_track_record record; /* its pointers are not used */
    brisk_track_pair context[BRISK_TRACK_CONTEXT_MAX];
    brisk_track_marker markers[BRISK_TRACK_MARKERS_MAX];
} otlp_span;

/* Whose spans these are, and 128 and 64 random bits that make ids unique beyond the process. */
typedef struct otlp_identity {
    const char *service;
    uint64_t trace_high;
    uint64_t trace_low;
    uint64_t span;
    uint64_t start_wall_ns; /* since when sums count */
} otlp_identity;

BRISK_NODISCARD brisk_err otlp_write_metrics(const otlp_identity *who,
                                             const brisk_snapshot *snapshot, brisk_out out);
BRISK_NODISCARD brisk_err otlp_write_spans(const otlp_identity *who, const otlp_span *spans,
                                           uint32_t count, brisk_out out);
/* `now_ns` and `wall_ns` are one moment of the trace's clock and of 1970's. */
BRISK_NODISCARD brisk_err otlp_write_trace(const otlp_identity *who, const brisk_trace *trace,
                                           uint64_t now_ns, uint64_t wall_ns, brisk_out out);

/*
 * Exponential buckets of a histogram's value: the scale (index = ceil(log2(v) * 2^scale) - 1, of seconds for times),
 * the first index, counts from there; values of 0 apart.
 */
typedef struct otlp_exponential {
    int32_t scale;
    int32_t offset;
    uint32_t count;
    uint64_t zero;
    uint64_t counts[OTLP_BUCKETS_MAX];
} otlp_exponential;

void otlp_rebucket(const brisk_metric_value *value, otlp_exponential *ret);

#endif /* BRISK_SRC_OBSERVE_EXPORT_OTLP_WRITE_H */
