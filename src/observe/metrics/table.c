/*
 * table.c -- a snapshot for people: a line for each series, in the order of names.
 *
 * Texts in labels come from outside: they are made plain before a terminal sees them.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <brisk/grade.h>

#include "base/text.h"
#include "observe/metrics/cmd_metrics.h"

enum { TEXT = 32, NAME = 400, NAME_COLUMN = 46 };

static void put_scaled(char text[TEXT], double value, const char *const *units, double step)
{
    int unit = 0;
    while (fabs(value) >= step && units[unit + 1] != NULL) {
        value /= step;
        unit++;
    }
    (void)snprintf(text, TEXT, fabs(value) >= 100 || value == floor(value) ? "%.0f%s" : "%.3g%s",
                   value, units[unit]);
}

static void put_value(char text[TEXT], double value, brisk_unit unit)
{
    static const char *const bytes[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", NULL};
    static const char *const times[] = {" ns", " us", " ms", " s", NULL};
    static const char *const plain[] = {"", NULL};
    if (isnan(value)) {
        (void)snprintf(text, TEXT, "-");
        return;
    }
    switch (unit) {
    case BRISK_UNIT_BYTES: put_scaled(text, value, bytes, 1024); break;
    case BRISK_UNIT_NS: put_scaled(text, value, times, 1000); break;
    case BRISK_UNIT_RATIO: (void)snprintf(text, TEXT, "%.1f %%", value * 100); break;
    case BRISK_UNIT_CELSIUS: (void)snprintf(text, TEXT, "%.1f C", value); break;
    case BRISK_UNIT_HERTZ: (void)snprintf(text, TEXT, "%.0f Hz", value); break;
    case BRISK_UNIT_NONE:
    default: put_scaled(text, value, plain, (double)INFINITY); break;
    }
}

static void put_name(char text[NAME], const brisk_metric_value *value)
{
    size_t used = (size_t)snprintf(text, NAME, "%s", value->name);
    for (uint32_t i = 0; i < value->label_count && used < NAME; i++) {
        int more = snprintf(text + used, NAME - used, "%s%s=%s", i == 0 ? "{" : ",",
                            value->labels[i].name, value->labels[i].value);
        used += more > 0 ? (size_t)more : 0;
    }
    if (value->label_count > 0 && used + 1 < NAME) {
        text[used] = '}';
        text[used + 1] = '\0';
    }
    brisk_text_make_plain(text, strlen(text));
}

static void print_histogram(FILE *out, const brisk_metric_value *value)
{
    char texts[5][TEXT];
    put_value(texts[0], (double)value->p50, value->unit);
    put_value(texts[1], (double)value->p95, value->unit);
    put_value(texts[2], (double)value->p99, value->unit);
    put_value(texts[3], (double)value->max, value->unit);
    put_value(texts[4], value->mean, value->unit);
    (void)fprintf(out, "%14" PRIu64, value->count);
    if (value->count > 0) {
        (void)fprintf(out, "  mean %s, p50 %s, p95 %s, p99 %s, max %s", texts[4], texts[0],
                      texts[1], texts[2], texts[3]);
    }
}

static void print_rate(FILE *out, const brisk_metric_value *value)
{
    char text[TEXT];
    if (isnan(value->rates[0])) {
        return;
    }
    if (value->unit == BRISK_UNIT_NS && value->kind == BRISK_METRIC_COUNTER) {
        put_value(text, value->rates[0] / 1e9, BRISK_UNIT_RATIO); /* time for each time */
        (void)fprintf(out, "  %s", text);
        return;
    }
    brisk_unit unit = value->kind == BRISK_METRIC_COUNTER ? value->unit : BRISK_UNIT_NONE;
    put_value(text, value->rates[0], unit);
    (void)fprintf(out, "  %s/s", text);
}

void metrics_print_table(FILE *out, const brisk_snapshot *snapshot)
{
    for (uint32_t i = 0; i < brisk_snapshot_count(snapshot); i++) {
        const brisk_metric_value *value = brisk_snapshot_at(snapshot, i);
        char name[NAME];
        char text[TEXT];
        put_name(name, value);
        (void)fprintf(out, "%-*s ", NAME_COLUMN, name);
        if (value->kind == BRISK_METRIC_HISTOGRAM) {
            print_histogram(out, value);
        } else {
            put_value(text, value->value, value->unit);
            (void)fprintf(out, "%14s", text);
        }
        if (value->kind != BRISK_METRIC_GAUGE) {
            print_rate(out, value);
        }
        (void)fputc('\n', out);
    }
}

/* ---- the grade --------------------------------------------------------------------------------- */

static double gauge_of(const brisk_snapshot *snapshot, const char *name, const char *label,
                       const char *text)
{
    brisk_label one = {.name = label, .value = text};
    const brisk_metric_value *value =
        brisk_snapshot_find(snapshot, name, &one, label != NULL ? 1 : 0);
    return value != NULL ? value->value : (double)NAN;
}

/* The slowest group of a server's commands: the largest p99 of those that took something. */
static double slowest_p99(const brisk_snapshot *snapshot)
{
    double most = (double)NAN;
    for (uint32_t i = 0; i < brisk_snapshot_count(snapshot); i++) {
        const brisk_metric_value *value = brisk_snapshot_at(snapshot, i);
        if (strcmp(value->name, "serve.command.time") == 0 && value->count > 0) {
            most = fmax(most, (double)value->p99); /* fmax takes the number of a number and a NaN */
        }
    }
    return most;
}

static double error_share(const brisk_snapshot *snapshot)
{
    const brisk_metric_value *errors = brisk_snapshot_find(snapshot, "serve.errors", NULL, 0);
    const brisk_metric_value *all = brisk_snapshot_find(snapshot, "serve.commands", NULL, 0);
    bool known = errors != NULL && all != NULL && all->count > 0;
    return known ? fmin((double)errors->count / (double)all->count, 1) : (double)NAN;
}

/* What is in the snapshot of this machine and of a server since its start; nothing where nothing is known. */
void metrics_print_grade(FILE *out, const brisk_snapshot *snapshot, const brisk_knobs *knobs)
{
    const brisk_scale resources = brisk_grade_scale(knobs, BRISK_GRADED_RESOURCES);
    double total = gauge_of(snapshot, "machine.memory", "kind", "total");
    double available = gauge_of(snapshot, "machine.memory", "kind", "available");
    const brisk_grade_part parts[] = {
        {.name = "slowest group's p99",
         .value = slowest_p99(snapshot),
         .scale = brisk_grade_scale(knobs, BRISK_GRADED_RESPONSE),
         .weight = 0.4},
        {.name = "errors",
         .value = error_share(snapshot),
         .scale = brisk_grade_scale(knobs, BRISK_GRADED_ERRORS),
         .weight = 0.3},
        {.name = "processors",
         .value = gauge_of(snapshot, "machine.cpu.busy", NULL, NULL),
         .scale = resources,
         .weight = 0.15},
        {.name = "memory", .value = 1 - available / total, .scale = resources, .weight = 0.15},
    };
    brisk_grade_score score;
    if (brisk_grade_overall(parts, sizeof parts / sizeof parts[0], &score) == BRISK_OK &&
        !isnan(score.points)) {
        (void)fprintf(out, "grade: %s\n", score.text);
    }
}
