/*
 * brisk/otlp.h -- pushing metrics and traces to an OpenTelemetry collector: OTLP over HTTP, as JSON.
 *
 * Metrics: counters are cumulative sums, gauges gauges, histograms exponential histograms (of at most 160 buckets,
 * the finest scale that needs no more; each of our buckets goes where its middle belongs). Times are seconds.
 * Spans: tracked operations (brisk/track.h) are kept in a bounded ring from create on, and pushed with the next
 * push_spans; job traces (brisk/trace.h) are pushed whole. What a push could not deliver is kept for the next one as far
 * as there is room; further spans are counted as dropped.
 *
 * libcurl is loaded with the first exporter. Redirections are not followed.
 *
 * Threads: every function from any; pushes of one exporter run one after the other.
 * Sources: OpenTelemetry protocol 1.3 (JSON mapping of its protobuf); data model: exponential histograms.
 */
#ifndef BRISK_OTLP_H
#define BRISK_OTLP_H

#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>
#include <brisk/json.h>
#include <brisk/metrics.h>
#include <brisk/trace.h>

BRISK_BEGIN_DECLS

enum { BRISK_OTLP_SPANS_DEFAULT = 1024, BRISK_OTLP_SPANS_MAX = 65536 };

typedef struct brisk_otlp brisk_otlp;

typedef struct brisk_otlp_opts {
    const char
        *endpoint; /**< "http://localhost:4318" (NULL); /v1/metrics and /v1/traces are added. */
    const char *service; /**< service.name; NULL: "brisk". */
    const char *const
        *headers; /**< "Name: value", with every request: keys of hosted collectors. */
    uint32_t header_count;
    const char *tls_ca_file; /**< NULL: the system's roots. */
    uint64_t timeout_ns;     /**< 0 means 10 s. */
    uint32_t
        spans_max; /**< 0 means BRISK_OTLP_SPANS_DEFAULT; tracked operations kept between pushes. */
    const brisk_alloc *alloc;
} brisk_otlp_opts;

/** Errors with `info`: UNSUPPORTED (no libcurl), INVALID (the endpoint, a header, spans_max), NOMEM, LIMIT (listeners). */
BRISK_API BRISK_NODISCARD brisk_err brisk_otlp_create(const brisk_otlp_opts *opts, brisk_otlp **ret,
                                                      brisk_errinfo *info);
/** Spans that were not pushed are lost.  NULL is accepted. */
BRISK_API void brisk_otlp_destroy(brisk_otlp *otlp);

/*
 * Errors of the three pushes, with `info`: those of the way there (DEADLINE, IO, NOT_FOUND,
 * PERMISSION), IO for an answer that is no success (its status is in `info`), NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_otlp_push_metrics(brisk_otlp *otlp,
                                                            const brisk_snapshot *snapshot,
                                                            brisk_errinfo *info);
/** The tracked operations that ended since the last push; nothing is sent when there are none. */
BRISK_API BRISK_NODISCARD brisk_err brisk_otlp_push_spans(brisk_otlp *otlp, brisk_errinfo *info);
/** Spans that have ended, of a trace that is done. */
BRISK_API BRISK_NODISCARD brisk_err brisk_otlp_push_trace(brisk_otlp *otlp,
                                                          const brisk_trace *trace,
                                                          brisk_errinfo *info);
/** Tracked operations that found no room. */
BRISK_API uint64_t brisk_otlp_dropped(brisk_otlp *otlp);

BRISK_END_DECLS

#endif /* BRISK_OTLP_H */
