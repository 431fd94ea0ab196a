/*
 * brisk/budget.h -- what a program promises: budgets on metrics and stages, and alerts when one is broken.
 *
 *     schema: 1
 *     sinks:
 *       - log
 *       - file: /var/log/brisk-alerts.jsonl
 *       - exec: [/usr/local/bin/page, --team, games]
 *       - webhook: https://alerts.example.org/brisk
 *     budgets:
 *       - name: answer time
 *         metric: http.time             # or stage: NAME, workload: NAME
 *         labels: {route: /patch}       # those that a series must have
 *         statistic: p95                # p50 p95 p99 p99.9 mean max value rate throughput error_rate
 *         target: 5ms                   # reported only
 *         warning: 8ms
 *         critical: 20ms
 *         window: 1m                    # what is looked at
 *         minimum_events: 20            # fewer say nothing
 *         for: 10s                      # so long until it is an alert, and until it is over
 *       - name: failed requests
 *         metric: http.requests         # all of them
 *         bad: http.failed              # those that count against the objective
 *         statistic: error_rate
 *         objective: 99.9%              # multi-window burn rates
 *       - name: disk tier
 *         metric: cache.disk.bytes
 *         critical: 4GiB
 *         horizon: 9d                   # warn when the trend gets there before
 *       - name: load
 *         metric: machine.load1
 *         anomaly: true                 # warn when it leaves what is usual for it
 *
 * With an `objective` the alert does not follow the value but how fast the errors that it leaves are used up:
 * 14.4 times as fast as allowed over an hour and over 5 minutes, or 6 times over 6 hours and over 30 minutes, is
 * critical; as fast as allowed over 3 days and over 6 hours is a warning.  Both windows must say so and hold
 * enough events; one outlier does not.
 *
 * Threads: a set of budgets never changes; a watch is used from any thread.
 * Source: B. Beyer and others, The Site Reliability Workbook, chapter 5 (burn rates).
 */
#ifndef BRISK_BUDGET_H
#define BRISK_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/clock.h>
#include <brisk/err.h>
#include <brisk/events.h>
#include <brisk/history.h>
#include <brisk/metrics.h>

BRISK_BEGIN_DECLS

enum {
    BRISK_BUDGETS_MAX = 256,
    BRISK_BUDGET_SINKS_MAX = 16,
    BRISK_BUDGET_FILE_MAX = 1 << 20, /**< Bytes. */
    BRISK_BUDGET_TEXT_MAX = 400,
    BRISK_BUDGET_WINDOW_S_MAX = 3600, /**< Of a statistic; burn rates have their own. */
};

typedef enum brisk_budget_statistic {
    BRISK_BUDGET_VALUE = 0, /**< Gauge: the number; counter: the total. */
    BRISK_BUDGET_RATE, /**< Events a second ("throughput" is the same, with direction above). */
    BRISK_BUDGET_MEAN,
    BRISK_BUDGET_P50,
    BRISK_BUDGET_P95,
    BRISK_BUDGET_P99,
    BRISK_BUDGET_P999,
    BRISK_BUDGET_MAX_VALUE,
    BRISK_BUDGET_ERROR_RATE, /**< `bad` of `metric`, 0 .. 1. */
} brisk_budget_statistic;

/** "value", "rate" ...; static storage. */
BRISK_API const char *brisk_budget_statistic_name(brisk_budget_statistic statistic);

/** One budget; texts are never NULL, limits that were not given are NaN. */
typedef struct brisk_budget {
    const char *name;
    const char *metric;   /**< "" for a stage. */
    const char *bad;      /**< ERROR_RATE: the counter of bad events. */
    const char *stage;    /**< "" for a metric. */
    const char *workload; /**< Of the stage; "": any. */
    const brisk_label *labels;
    uint32_t label_count;
    brisk_budget_statistic statistic;
    bool above; /**< The value shall be at least, not at most, the limits. */
    double target;
    double warning;
    double critical;
    double objective; /**< Share of good events, 0 .. 1; NaN: no burn rates. */
    bool anomaly;
    uint64_t horizon_ns; /**< 0: no look at the trend. */
    uint64_t window_ns;
    uint64_t min_events;
    uint64_t for_ns;
    uint64_t repeat_ns; /**< How often a firing alert is told again; 0: never. */
    double clear;       /**< Share by which it must be better than the limit to be over. */
    uint32_t line;      /**< In the file. */
} brisk_budget;

typedef struct brisk_budgets brisk_budgets;

/**
 * `name` (a path, say) stands in errors as "name:line: ...".
 * Errors: INVALID (syntax, unknown keys, limits that contradict each other), LIMIT, NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_budgets_parse(const char *name, const void *text,
                                                        size_t size, const brisk_alloc *alloc,
                                                        brisk_budgets **ret, brisk_errinfo *info);
/** Likewise a file.  Errors: also those of brisk_file_view_open. */
BRISK_API BRISK_NODISCARD brisk_err brisk_budgets_load(const char *path, const brisk_alloc *alloc,
                                                       brisk_budgets **ret, brisk_errinfo *info);
/** NULL is accepted. */
BRISK_API void brisk_budgets_destroy(brisk_budgets *budgets);
BRISK_API uint32_t brisk_budgets_count(const brisk_budgets *budgets);
BRISK_API const brisk_budget *brisk_budgets_at(const brisk_budgets *budgets, uint32_t index);

typedef enum brisk_budget_level {
    BRISK_BUDGET_UNKNOWN = 0, /**< No such metric, or too few events. */
    BRISK_BUDGET_GOOD,
    BRISK_BUDGET_WARNING,
    BRISK_BUDGET_CRITICAL,
} brisk_budget_level;

/** "unknown", "good", "warning", "critical"; static storage. */
BRISK_API const char *brisk_budget_level_name(brisk_budget_level level);

typedef struct brisk_budget_result {
    brisk_budget_level level;
    bool on_target;                   /**< Also true without a target. */
    double value;                     /**< NaN when UNKNOWN. */
    double limit;                     /**< The one that is broken; otherwise the nearest. */
    uint64_t events;                  /**< What the value was made of; 1 for a gauge. */
    char text[BRISK_BUDGET_TEXT_MAX]; /**< One line for people. */
} brisk_budget_result;

/**
 * Hold the value now against the limits; with `earlier` (NULL: none), a snapshot from before, what happened
 * since.  Where several series have the labels, counts are summed, and of other values the worst one counts.
 */
BRISK_API void brisk_budget_check(const brisk_budget *budget, const brisk_snapshot *now,
                                  const brisk_snapshot *earlier, brisk_budget_result *ret);
/** Likewise values from elsewhere (a file), whose quantiles are those that they carry. */
BRISK_API void brisk_budget_check_values(const brisk_budget *budget,
                                         const brisk_metric_value *values, uint32_t count,
                                         brisk_budget_result *ret);
/**
 * A stage's durations over the runs in `history` that began within the budget's window before `now_ns`
 * (nanoseconds since 1970).  Errors: those of the history.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_budget_check_stage(const brisk_budget *budget,
                                                             brisk_history *history,
                                                             uint64_t now_ns,
                                                             brisk_budget_result *ret,
                                                             brisk_errinfo *info);

/** How an alert stands. */
typedef enum brisk_alert_state {
    BRISK_ALERT_IDLE = 0,
    BRISK_ALERT_PENDING, /**< Broken, but not yet for long enough. */
    BRISK_ALERT_FIRING,
} brisk_alert_state;

/** "idle", "pending", "firing"; static storage. */
BRISK_API const char *brisk_alert_state_name(brisk_alert_state state);

typedef struct brisk_budget_status {
    const brisk_budget *budget;
    brisk_budget_result last;
    brisk_alert_state state;
    brisk_severity severity; /**< Of a pending or firing alert. */
    uint64_t since_ns;       /**< When the state began, nanoseconds since 1970. */
    uint64_t alerts;         /**< Times that it fired. */
} brisk_budget_status;

typedef struct brisk_budget_watch brisk_budget_watch;

typedef struct brisk_budget_watch_opts {
    const brisk_budgets *budgets; /**< Borrowed. */
    brisk_metrics *metrics;       /**< Borrowed; NULL: the process's. */
    brisk_events *events;         /**< Borrowed; NULL: the process's. */
    brisk_history *history;       /**< Borrowed, for alerts and stages; NULL: none. */
    bool no_sinks;                /**< Events and history only. */
    bool since_start;             /**< What was recorded before is in no window. */
    /**
     * Borrowed; a file for alerts and burn rates, read at the start, written every 10 s, with each change of an alert and
     * at the end; a damaged one is not used, and one that cannot be written is logged.  NULL: none.
     */
    const char *state_path;
    const brisk_clock *clock; /**< Borrowed; NULL: the system's. */
    const brisk_alloc *alloc; /**< Borrowed, must serve several threads; NULL means libc. */
} brisk_budget_watch_opts;

/** Checks nothing by itself: see tick and start.  Errors: NOMEM, UNSUPPORTED (a webhook, but no libcurl). */
BRISK_API BRISK_NODISCARD brisk_err brisk_budget_watch_create(const brisk_budget_watch_opts *opts,
                                                              brisk_budget_watch **ret,
                                                              brisk_errinfo *info);
/** Stops it; waits for alerts on their way, each at most its sink's timeout.  NULL is accepted. */
BRISK_API void brisk_budget_watch_destroy(brisk_budget_watch *watch);
/** Check all once, now.  Errors: NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_budget_watch_tick(brisk_budget_watch *watch);
/** A thread that ticks every second.  Errors: NOMEM, CONFLICT (it runs). */
BRISK_API BRISK_NODISCARD brisk_err brisk_budget_watch_start(brisk_budget_watch *watch);
BRISK_API uint32_t brisk_budget_watch_count(const brisk_budget_watch *watch);
BRISK_API void brisk_budget_watch_read(brisk_budget_watch *watch, uint32_t index,
                                       brisk_budget_status *ret);
/** Budgets that went on from `state_path`, and the nanoseconds in between (when `gap_ns` is not NULL). */
BRISK_API uint32_t brisk_budget_watch_restored(const brisk_budget_watch *watch, uint64_t *gap_ns);
/** Alerts that a sink could not take: a full queue, an error after all tries. */
BRISK_API uint64_t brisk_budget_watch_lost(brisk_budget_watch *watch);

BRISK_END_DECLS

#endif /* BRISK_BUDGET_H */
