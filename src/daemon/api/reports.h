/*
 * reports.h -- what can be read of a node: the reports, by file.
 *
 *     reports_figures.c   /metrics, /v1/metrics, /v1/stats, /v1/cache/curve
 *     traces.c            /v1/traces
 *     grades.c            /v1/grades
 *     reports_history.c   /v1/runs, /v1/benchmarks, /v1/opportunities
 *     reports_alerts.c    /v1/alerts, /v1/budgets
 *     knobs.c, audit.c    /v1/knobs, /v1/audit
 *     profiles.c          /v1/profiles
 *     reports_node.c      /v1/node
 *
 * Threads: the background's.
 */
#ifndef BRISK_SRC_DAEMON_API_REPORTS_H
#define BRISK_SRC_DAEMON_API_REPORTS_H

#include "daemon/api/report.h"

brisk_err report_metrics_text(const report_query *q, brisk_str *text, report_result *ret);
brisk_err report_metrics(const report_query *q, brisk_str *text, report_result *ret);
brisk_err report_stats(const report_query *q, brisk_str *text, report_result *ret);
brisk_err report_curve(const report_query *q, brisk_str *text, report_result *ret);
brisk_err report_grades(const report_query *q, brisk_str *text, report_result *ret);
brisk_err report_runs(const report_query *q, brisk_str *text, report_result *ret);
brisk_err report_traces(const report_query *q, brisk_str *text, report_result *ret);
brisk_err report_benchmarks(const report_query *q, brisk_str *text, report_result *ret);
brisk_err report_opportunities(const report_query *q, brisk_str *text, report_result *ret);
brisk_err report_node(const report_query *q, brisk_str *text, report_result *ret);
brisk_err report_alerts(const report_query *q, brisk_str *text, report_result *ret);
brisk_err report_budgets(const report_query *q, brisk_str *text, report_result *ret);
brisk_err report_reload(const report_query *q, brisk_str *text, report_result *ret);
brisk_err report_knobs(const report_query *q, brisk_str *text, report_result *ret);
brisk_err report_profiles(const report_query *q, brisk_str *text, report_result *ret);
brisk_err report_audit(const report_query *q, brisk_str *text, report_result *ret);

struct api;
struct brisk_event;
/* An alert that was told, as JSON: the newest are shown with those of now.  The last ones of `a` go. */
void report_keep_alert(struct api *a, const char *text, size_t size);
/* Likewise into the history; takes as long as files do. */
void report_store_alert(struct api *a, const struct brisk_event *event);
void report_forget_alerts(struct api *a);

/* All of them. */
BRISK_NODISCARD brisk_err reports_create(const brisk_alloc *alloc, report_routes **ret);

#endif /* BRISK_SRC_DAEMON_API_REPORTS_H */
