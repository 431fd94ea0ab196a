/*
 * grades.c -- how well all of it does, in a word and points: times, errors and what is used up.
 *
 * A part that is not known (no server, nothing asked of it, no target for the throughput) is no part of the score, and
 * the score's text says so.
 *
 * Threads: none of its own.
 */
#include <math.h>

#include "observe/monitor/monitor.h"

static double wanted_throughput(const monitor_numbers *n)
{
    for (uint32_t i = 0; i < n->target_count; i++) {
        if (n->targets[i].figure == FIGURE_THROUGHPUT && n->targets[i].value > 0) {
            return n->targets[i].value;
        }
    }
    return (double)NAN;
}

void monitor_grade(const monitor *m, monitor_grades *ret)
{
    const double *now = m->numbers.now;
    const brisk_scale resources = brisk_grade_scale(m->knobs, BRISK_GRADED_RESOURCES);
    const brisk_grade_part parts[MONITOR_GRADE_PARTS] = {
        {.name = "response time p99",
         .value = now[FIGURE_P99],
         .scale = brisk_grade_scale(m->knobs, BRISK_GRADED_RESPONSE),
         .weight = 0.35},
        {.name = "errors",
         .value = now[FIGURE_ERRORS],
         .scale = brisk_grade_scale(m->knobs, BRISK_GRADED_ERRORS),
         .weight = 0.25},
        {.name = "throughput of its target",
         .value = now[FIGURE_THROUGHPUT] / wanted_throughput(&m->numbers),
         .scale = brisk_grade_scale(m->knobs, BRISK_GRADED_THROUGHPUT),
         .weight = 0.2},
        {.name = "processors", .value = now[FIGURE_CPU], .scale = resources, .weight = 0.1},
        {.name = "memory", .value = now[FIGURE_MEMORY], .scale = resources, .weight = 0.1},
    };
    for (int i = 0; i < MONITOR_GRADE_PARTS; i++) {
        ret->parts[i] = parts[i];
    }
    brisk_err err = brisk_grade_overall(parts, MONITOR_GRADE_PARTS, &ret->score);
    if (err != BRISK_OK) { /* it takes these parts */
        ret->score = (brisk_grade_score){.points = (double)NAN};
    }
}
