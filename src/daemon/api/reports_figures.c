/*
 * reports_figures.c -- the node's own figures, now and in the last quarter of an hour.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/expose.h>
#include <brisk/grade.h>
#include <brisk/json.h>

#include "daemon/api/api.h"
#include "daemon/api/reports.h"
#include "daemon/api/stats.h"
#include "daemon/metrics.h"
#include "daemon/server.h"

enum { GRADE_PARTS = 4, GRADE_WINDOW_S = 60 };

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
    stats_put(ctx, NULL, sample);
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

/* --- grades ------------------------------------------------------------------------------- */

typedef struct minute {
    uint64_t samples;
    uint64_t requests;
    uint64_t failed;
    double p95_ns;  /* the median of the seconds' */
    double busiest; /* mean share of the busiest loop */
    double memory;  /* share, now */
    double p95s[GRADE_WINDOW_S];
    uint32_t p95_count;
} minute;

static void add_sample(void *ctx, const stats_sample *sample)
{
    minute *m = ctx;
    m->samples++;
    m->requests += sample->responses + sample->jobs;
    m->failed += sample->server_errors + sample->job_faults;
    m->busiest += sample->busy_most;
    m->memory = sample->memory_limit > 0 ? (double)sample->resident / (double)sample->memory_limit
                                         : (double)NAN;
    uint64_t p95 =
        sample->http.p95_ns > sample->command.p95_ns ? sample->http.p95_ns : sample->command.p95_ns;
    if (sample->http.count + sample->command.count > 0 && m->p95_count < GRADE_WINDOW_S) {
        m->p95s[m->p95_count++] = (double)p95;
    }
}

static double median(double *values, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) { /* few */
        double value = values[i];
        uint32_t at = i;
        while (at > 0 && values[at - 1] > value) {
            values[at] = values[at - 1];
            at--;
        }
        values[at] = value;
    }
    return count > 0 ? values[count / 2] : (double)NAN;
}

static brisk_err put_grades(const brisk_grade_part *parts, brisk_str *text)
{
    brisk_grade_score score;
    brisk_json json;
    brisk_err err = brisk_grade_overall(parts, GRADE_PARTS, &score);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "window_s", GRADE_WINDOW_S);
    brisk_json_double(&json, "points", score.points);
    brisk_json_str(&json, "grade", brisk_grade_name(score.grade));
    brisk_json_str(&json, "text", score.text);
    brisk_json_array_begin(&json, "parts");
    for (uint32_t i = 0; i < GRADE_PARTS; i++) {
        brisk_json_object_begin(&json, NULL);
        brisk_json_str(&json, "name", parts[i].name);
        brisk_json_double(&json, "value", parts[i].value);
        brisk_json_double(&json, "points", brisk_grade_points(&parts[i].scale, parts[i].value));
        brisk_json_str(&json, "grade",
                       brisk_grade_name(brisk_grade_of(&parts[i].scale, parts[i].value)));
        brisk_json_double(&json, "weight", parts[i].weight);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

brisk_err report_grades(const report_query *q, brisk_str *text, report_result *ret)
{
    (void)ret;
    minute m = {.memory = (double)NAN};
    uint64_t now = brisk_clock_wall_ns(q->server->clock);
    uint64_t window = (uint64_t)GRADE_WINDOW_S * UINT64_C(1000000000);
    stats_stretch of = stats_stretch_of(0, now > window ? now - window : 0, 0);
    stats_each(q->server->api->stats, &of, add_sample, &m);
    const brisk_knobs *knobs =
        NULL; /* the conventions; the knobs grade.* are the programs' that print grades */
    double known = m.samples > 0 ? 1 : (double)NAN;
    const brisk_grade_part parts[GRADE_PARTS] = {
        {"response time p95", median(m.p95s, m.p95_count),
         brisk_grade_scale(knobs, BRISK_GRADED_RESPONSE), 0.4},
        {"errors", m.requests > 0 ? (double)m.failed / (double)m.requests : (double)NAN,
         brisk_grade_scale(knobs, BRISK_GRADED_ERRORS), 0.3},
        {"busiest loop", m.samples > 0 ? m.busiest / (double)m.samples : (double)NAN,
         brisk_grade_scale(knobs, BRISK_GRADED_RESOURCES), 0.2},
        {"memory", m.memory * known, brisk_grade_scale(knobs, BRISK_GRADED_RESOURCES), 0.1},
    };
    return put_grades(parts, text);
}
