/*
 * grades.c -- the last minute in words and points: in the metrics event, and /v1/grades.
 */
#include "daemon/api/grades.h"

#include <math.h>

#include <brisk/grade.h>

#include "daemon/api/api.h"
#include "daemon/api/reports.h"
#include "daemon/server.h"

enum { GRADE_PARTS = 4, GRADE_WINDOW_S = 60 };

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

static brisk_err put_members(brisk_json *json, const brisk_grade_part *parts)
{
    brisk_grade_score score;
    brisk_err err = brisk_grade_overall(parts, GRADE_PARTS, &score);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_json_u64(json, "window_s", GRADE_WINDOW_S);
    brisk_json_double(json, "points", score.points);
    brisk_json_str(json, "grade", brisk_grade_name(score.grade));
    brisk_json_str(json, "text", score.text);
    brisk_json_array_begin(json, "parts");
    for (uint32_t i = 0; i < GRADE_PARTS; i++) {
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "name", parts[i].name);
        brisk_json_double(json, "value", parts[i].value);
        brisk_json_double(json, "points", brisk_grade_points(&parts[i].scale, parts[i].value));
        brisk_json_str(json, "grade",
                       brisk_grade_name(brisk_grade_of(&parts[i].scale, parts[i].value)));
        brisk_json_double(json, "weight", parts[i].weight);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    return BRISK_OK;
}

brisk_err grades_put(brisk_json *json, server *s)
{
    minute m = {.memory = (double)NAN};
    uint64_t now = brisk_clock_wall_ns(s->clock);
    uint64_t window = (uint64_t)GRADE_WINDOW_S * UINT64_C(1000000000);
    stats_stretch of = stats_stretch_of(0, now > window ? now - window : 0, 0);
    stats_each(s->api->stats, &of, add_sample, &m);
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
    return put_members(json, parts);
}

brisk_err report_grades(const report_query *q, brisk_str *text, report_result *ret)
{
    (void)ret;
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_err err = grades_put(&json, q->server);
    brisk_json_object_end(&json);
    brisk_err written = brisk_json_finish(&json);
    return err != BRISK_OK ? err : written;
}
