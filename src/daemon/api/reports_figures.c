/*
 * reports_figures.c -- the node's own figures, now and in the last quarter of an hour.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
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

/* --- slow exchanges ------------------------------------------------------------------------ */

static int slower_first(const void *a, const void *b)
{
    uint64_t x = ((const observe_slow *)a)->duration_ns;
    uint64_t y = ((const observe_slow *)b)->duration_ns;
    return (x < y) - (x > y);
}

static void put_exchange(brisk_json *json, const observe_slow *s)
{
    char id[24];
    (void)snprintf(id, sizeof id, "%" PRIu64, s->id);
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "id", id); /* 64 bits: no number of JavaScript's */
    brisk_json_double(json, "time_s", (double)(s->begun_wall_ns / 1000000) / 1000);
    brisk_json_u64(json, "duration_ns", s->duration_ns);
    brisk_json_str(json, "route", s->route);
    brisk_json_str(json, "method", s->method);
    brisk_json_str(json, "path", s->path);
    brisk_json_u64(json, "status", s->status);
    brisk_json_u64(json, "version", s->version);
    brisk_json_u64(json, "urgency", s->urgency);
    brisk_json_u64(json, "bytes_in", s->bytes_in);
    brisk_json_u64(json, "bytes_out", s->bytes_out);
    brisk_json_object_end(json);
}

brisk_err report_traces(const report_query *q, brisk_str *text, report_result *ret)
{
    (void)ret;
    const brisk_alloc *alloc = q->server->alloc;
    uint32_t max = 2 * OBSERVE_SLOW * q->server->worker_count;
    observe_slow *slow = alloc->acquire(alloc->ctx, max * sizeof *slow, _Alignof(observe_slow));
    if (slow == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t count = http_observe_slow(q->server->api->observer, slow, max);
    qsort(slow, count, sizeof *slow, slower_first);
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_array_begin(&json, "exchanges");
    for (uint32_t i = 0; i < count; i++) {
        put_exchange(&json, &slow[i]);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    alloc->release(alloc->ctx, slow, max * sizeof *slow, _Alignof(observe_slow));
    return brisk_json_finish(&json);
}
