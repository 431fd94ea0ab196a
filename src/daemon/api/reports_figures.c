/*
 * reports_figures.c -- the node's own figures, now and in the last quarter of an hour.
 */
#include <string.h>

#include <brisk/expose.h>
#include <brisk/json.h>

#include "daemon/api/api.h"
#include "daemon/api/reports.h"
#include "daemon/api/stats.h"
#include "daemon/metrics.h"
#include "daemon/server.h"

static brisk_err look(server *s, brisk_snapshot **ret)
{
    server_lock(s);
    brisk_err err = server_metrics_snapshot(s, ret);
    server_unlock(s);
    return err;
}

/* --- metrics ------------------------------------------------------------------------------ */

/* OpenMetrics when it is named and not worth less than plain text: a scraper that can read it says so. */
static brisk_expose_format format_of(const report_query *q)
{
    if (strcmp(q->format, "openmetrics") == 0) {
        return BRISK_EXPOSE_OPENMETRICS;
    }
    if (strcmp(q->format, "prometheus") == 0) {
        return BRISK_EXPOSE_PROMETHEUS;
    }
    const char *open = strstr(q->accept, "application/openmetrics-text");
    return open != NULL && strstr(open, "q=0,") == NULL ? BRISK_EXPOSE_OPENMETRICS
                                                        : BRISK_EXPOSE_PROMETHEUS;
}

brisk_err report_metrics_text(const report_query *q, brisk_str *text, report_result *ret)
{
    brisk_snapshot *snapshot;
    brisk_expose_format format = format_of(q);
    brisk_err err = look(q->server, &snapshot);
    if (err == BRISK_OK) {
        err = brisk_expose_text(snapshot, format, brisk_str_out(text));
        brisk_snapshot_unref(snapshot);
    }
    ret->content_type = brisk_expose_content_type(format);
    return err;
}

brisk_err report_metrics(const report_query *q, brisk_str *text, report_result *ret)
{
    (void)ret;
    brisk_snapshot *snapshot;
    brisk_err err = look(q->server, &snapshot);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "wall_ns", brisk_snapshot_wall_ns(snapshot));
    brisk_expose_json_array(snapshot, "metrics", &json);
    brisk_json_object_end(&json);
    brisk_snapshot_unref(snapshot);
    return brisk_json_finish(&json);
}

/* --- series ------------------------------------------------------------------------------- */

static void put_sample(void *ctx, const stats_sample *sample)
{
    brisk_json_object_begin(ctx, NULL);
    stats_put(ctx, sample);
    brisk_json_object_end(ctx);
}

brisk_err report_stats(const report_query *q, brisk_str *text, report_result *ret)
{
    (void)ret;
    brisk_json json;
    stats_stretch of = stats_stretch_of(q->step_s, q->since_ns, q->until_ns);
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "step_s", of.step_s);
    brisk_json_u64(&json, "kept_s", of.kept_s);
    brisk_json_double(&json, "uptime_s",
                      (double)(brisk_clock_now_ns(q->server->clock) - q->server->started_ns) / 1e9);
    stats_put_file(q->server->api->stats, &json);
    brisk_json_array_begin(&json, "samples");
    stats_each(q->server->api->stats, &of, put_sample, &json);
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

/* --- the curve ---------------------------------------------------------------------------- */

brisk_err report_curve(const report_query *q, brisk_str *text, report_result *ret)
{
    server *s = q->server;
    double target = q->target != 0 ? (double)q->target / 100 : 0;
    server_lock(s);
    brisk_err err = curve_write_json(s, target, text);
    server_unlock(s);
    if (err == BRISK_ERR_UNSUPPORTED) {
        return brisk_errinfo_set(&ret->info, BRISK_ERR_NOT_FOUND,
                                 "no curve is kept: the node was started with serve.curve=off");
    }
    if (err == BRISK_ERR_NOT_FOUND) {
        return brisk_errinfo_set(&ret->info, err, "nothing was asked for yet");
    }
    return err;
}
