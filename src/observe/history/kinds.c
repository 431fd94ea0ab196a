/*
 * kinds.c -- the kinds of rows for people: what fills them, and how one looks in a terminal.
 */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "observe/bench/bench.h"
#include "observe/history/command.h"

static void head_runs(FILE *out)
{
    (void)fprintf(out, "%6s  %-19s  %10s  %-10s  %-9s  %-8s  %s\n", "id", "when (UTC)", "took",
                  "workload", "outcome", "from", "command");
}

static void print_run(FILE *out, const void *row)
{
    const brisk_history_run *run = row;
    char date[HISTORY_DATE_MAX];
    char took[BRISK_TEXT_SHORT_MAX];
    char workload[BRISK_TEXT_QUOTED_MAX];
    char outcome[BRISK_TEXT_QUOTED_MAX];
    char from[BRISK_TEXT_QUOTED_MAX];
    char command[BRISK_TEXT_QUOTED_MAX];
    history_format_date(date, run->wall_ns);
    brisk_text_duration(took, (double)run->duration_ns);
    (void)fprintf(out, "%6llu  %-19s  %10s  %-10s  %-9s  %-8s  %s\n", (unsigned long long)run->id,
                  date, took, brisk_text_quote(workload, run->workload),
                  brisk_text_quote(outcome, strncmp(run->outcome, "BRISK_ERR_", 10) == 0
                                                ? run->outcome + 10
                                                : run->outcome),
                  run->answered_by[0] != '\0' ? brisk_text_quote(from, run->answered_by) : "-",
                  brisk_text_quote(command, run->command));
}

/* In its unit, for people. */
static void format_value(char buffer[BRISK_TEXT_SHORT_MAX], const char *unit, double value)
{
    if (!isfinite(value)) {
        (void)snprintf(buffer, BRISK_TEXT_SHORT_MAX, "-");
    } else if (strcmp(unit, "ns") == 0) {
        brisk_text_duration(buffer, value);
    } else if (strcmp(unit, "bytes") == 0 && value >= 0.0 && value < 1.8e19) {
        brisk_text_bytes(buffer, (uint64_t)value);
    } else {
        (void)snprintf(buffer, BRISK_TEXT_SHORT_MAX, "%.6g", value);
    }
}

static void head_benchmarks(FILE *out)
{
    (void)fprintf(out, "%6s  %-19s  %-20s  %-12s  %10s  %-23s  %7s  %s\n", "id", "when (UTC)",
                  "name", "metric", "estimate", "interval", "samples", "label");
}

static void print_benchmark(FILE *out, const void *row)
{
    const brisk_history_benchmark *b = row;
    char date[HISTORY_DATE_MAX];
    char value[BRISK_TEXT_SHORT_MAX];
    char low[BRISK_TEXT_SHORT_MAX];
    char high[BRISK_TEXT_SHORT_MAX];
    char interval[2 * BRISK_TEXT_SHORT_MAX + 4];
    char name[BRISK_TEXT_QUOTED_MAX];
    char metric[BRISK_TEXT_QUOTED_MAX];
    char label[BRISK_TEXT_QUOTED_MAX];
    history_format_date(date, b->wall_ns);
    format_value(value, b->unit, b->value);
    format_value(low, b->unit, b->low);
    format_value(high, b->unit, b->high);
    (void)snprintf(interval, sizeof interval, "%s .. %s", low, high);
    (void)fprintf(out, "%6llu  %-19s  %-20s  %-12s  %10s  %-23s  %7llu  %s\n",
                  (unsigned long long)b->id, date, brisk_text_quote(name, b->name),
                  brisk_text_quote(metric, b->metric), value, isfinite(b->low) ? interval : "-",
                  (unsigned long long)b->samples, brisk_text_quote(label, b->label));
}

static void head_alerts(FILE *out)
{
    (void)fprintf(out, "%6s  %-19s  %-8s  %-8s  %-20s  %12s  %12s  %s\n", "id", "when (UTC)",
                  "severity", "state", "budget", "value", "limit", "words");
}

static void print_alert(FILE *out, const void *row)
{
    const brisk_history_alert *alert = row;
    char date[HISTORY_DATE_MAX];
    char severity[BRISK_TEXT_QUOTED_MAX];
    char state[BRISK_TEXT_QUOTED_MAX];
    char budget[BRISK_TEXT_QUOTED_MAX];
    char text[BRISK_TEXT_QUOTED_MAX];
    history_format_date(date, alert->wall_ns);
    (void)fprintf(out, "%6llu  %-19s  %-8s  %-8s  %-20s  %12.6g  %12.6g  %s\n",
                  (unsigned long long)alert->id, date, brisk_text_quote(severity, alert->severity),
                  brisk_text_quote(state, alert->state), brisk_text_quote(budget, alert->budget),
                  alert->value, alert->limit, brisk_text_quote(text, alert->text));
}

static void head_opportunities(FILE *out)
{
    (void)fprintf(out, "%6s  %-8s  %-22s  %-10s  %-9s  %s\n", "id", "priority", "gain",
                  "confidence", "state", "key");
}

static void print_opportunity(FILE *out, const void *row)
{
    const brisk_history_opportunity *o = row;
    char gain[BRISK_TEXT_SHORT_MAX] = "not known";
    char priority[BRISK_TEXT_QUOTED_MAX];
    char state[BRISK_TEXT_QUOTED_MAX];
    char key[BRISK_TEXT_QUOTED_MAX];
    char words[BRISK_TEXT_QUOTED_MAX];
    if (isfinite(o->gain) && isfinite(o->gain_low) && isfinite(o->gain_high)) {
        (void)snprintf(gain, sizeof gain, "%.0f %% (%.0f .. %.0f)", o->gain * 100,
                       o->gain_low * 100, o->gain_high * 100);
    } else if (isfinite(o->gain)) {
        (void)snprintf(gain, sizeof gain, "%.0f %%", o->gain * 100);
    }
    (void)fprintf(out, "%6llu  %-8s  %-22s  %8.0f %%  %-9s  %s\n", (unsigned long long)o->id,
                  brisk_text_quote(priority, o->priority), gain, o->confidence * 100,
                  brisk_text_quote(state, o->state), brisk_text_quote(key, o->key));
    for (const char *at = o->description; *at != '\0';) { /* the quoting cuts long texts */
        char part[BRISK_TEXT_QUOTED_MAX / 2];
        size_t size = strnlen(at, sizeof part - 1);
        while (size == sizeof part - 1 && size > 40 && at[size] != ' ' && at[size] != '\0') {
            size--;
        }
        (void)snprintf(part, sizeof part, "%.*s", (int)size, at);
        (void)fprintf(out, "        %s\n", brisk_text_quote(words, part));
        at += size + (at[size] == ' ' ? 1 : 0);
    }
}

const history_kind history_kinds[HISTORY_KINDS] = {
    {"runs", &history_runs,
     "a job (`brisk rom apply ...`, with the knob history.runs on) or `brisk profile` fills them",
     head_runs, print_run},
    {"benchmarks", &history_benchmarks, "`brisk bench --save NAME COMMAND` fills them",
     head_benchmarks, print_benchmark},
    {"alerts", &history_alerts, "`brisk budget watch FILE` fills them when a budget is broken",
     head_alerts, print_alert},
    {"opportunities", &history_opportunities,
     "some follow from five runs of a job or more, from `brisk profile` and from a cache that was "
     "asked often",
     head_opportunities, print_opportunity},
};

const history_table *const history_all_tables[HISTORY_KINDS + 1] = {
    &history_runs, &history_stages, &history_benchmarks, &history_alerts, &history_opportunities,
};

const history_kind *history_kind_find(const char *word)
{
    for (uint32_t i = 0; i < HISTORY_KINDS; i++) {
        const char *name = history_kinds[i].name;
        size_t singular = strlen(name) - 1;
        if (strcmp(word, name) == 0 ||
            (strlen(word) == singular && strncmp(word, name, singular) == 0) ||
            (i == HISTORY_KINDS - 1 && strcmp(word, "opportunity") == 0)) {
            return &history_kinds[i];
        }
    }
    return NULL;
}

/* --- any rows ------------------------------------------------------------------------------ */

typedef struct any {
    history_on_row on_row;
    void *ctx;
} any;

#define ADAPT(type)                                                                                \
    static bool on_##type(void *ctx, const brisk_history_##type *row)                              \
    {                                                                                              \
        const any *to = ctx;                                                                       \
        return to->on_row(to->ctx, row);                                                           \
    }

ADAPT(run)
ADAPT(stage)
ADAPT(benchmark)
ADAPT(alert)
ADAPT(opportunity)

brisk_err history_list_table(brisk_history *history, const history_table *table,
                             const brisk_history_filter *filter, history_on_row on_row, void *ctx,
                             brisk_errinfo *info)
{
    any to = {.on_row = on_row, .ctx = ctx};
    if (table == &history_runs) {
        return brisk_history_runs(history, filter, on_run, &to, info);
    }
    if (table == &history_stages) {
        return brisk_history_stages(history, filter, on_stage, &to, info);
    }
    if (table == &history_benchmarks) {
        return brisk_history_benchmarks(history, filter, on_benchmark, &to, info);
    }
    return table == &history_alerts
               ? brisk_history_alerts(history, filter, on_alert, &to, info)
               : brisk_history_opportunities(history, filter, on_opportunity, &to, info);
}
