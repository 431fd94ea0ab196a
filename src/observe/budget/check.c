/*
 * check.c -- one budget against one moment: which series it means, the value of its statistic, the level.
 *
 *     counts (rate, error rate)      summed over all series with the labels
 *     other values                   of each series by itself; the worst one counts
 *
 * Threads: functions keep nothing.
 */
#include <math.h>
#include <string.h>

#include <brisk/arena.h>
#include <brisk/stats.h>

#include "observe/budget/budget.h"

enum { RUNS_MAX = 10000 };

/* Series from a snapshot or from an array. */
typedef struct view {
    const brisk_snapshot *now;
    const brisk_snapshot *earlier; /* NULL: all that was ever recorded */
    const brisk_metric_value *values;
    uint32_t count;
    double seconds; /* between them; 0: not known */
} view;

static const brisk_metric_value *value_at(const view *v, uint32_t index)
{
    return v->now != NULL ? brisk_snapshot_at(v->now, index) : &v->values[index];
}

static const brisk_metric_value *earlier_of(const view *v, const brisk_metric_value *value)
{
    return v->earlier == NULL
               ? NULL
               : brisk_snapshot_find(v->earlier, value->name, value->labels, value->label_count);
}

static bool has_label(const brisk_metric_value *value, const brisk_label *label)
{
    for (uint32_t i = 0; i < value->label_count; i++) {
        if (strcmp(value->labels[i].name, label->name) == 0) {
            return strcmp(value->labels[i].value, label->value) == 0;
        }
    }
    return false;
}

static bool is_meant(const brisk_budget *budget, const char *metric,
                     const brisk_metric_value *value)
{
    bool meant = strcmp(value->name, metric) == 0;
    for (uint32_t i = 0; meant && i < budget->label_count; i++) {
        meant = has_label(value, &budget->labels[i]);
    }
    return meant;
}

/* --- text ----------------------------------------------------------------------------------- */

static void format_scaled(char *buffer, size_t size, double value, bool time)
{
    static const struct {
        double factor;
        const char *unit;
    } times[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {0, "ns"}},
      sizes[] = {{1099511627776.0, "TiB"},
                 {1073741824.0, "GiB"},
                 {1048576.0, "MiB"},
                 {1024.0, "KiB"},
                 {0, "B"}};
    for (size_t i = 0; i < (time ? 4u : 5u); i++) {
        double factor = time ? times[i].factor : sizes[i].factor;
        if (fabs(value) >= factor) {
            (void)snprintf(buffer, size, "%.4g %s", factor > 0 ? value / factor : value,
                           time ? times[i].unit : sizes[i].unit);
            return;
        }
    }
}

void budget_format(char *buffer, size_t size, brisk_unit unit, double value)
{
    if (!isfinite(value)) {
        (void)snprintf(buffer, size, "?");
    } else if (unit == BRISK_UNIT_NS || unit == BRISK_UNIT_BYTES) {
        format_scaled(buffer, size, value, unit == BRISK_UNIT_NS);
    } else if (unit == BRISK_UNIT_RATIO) {
        (void)snprintf(buffer, size, "%.4g %%", value * 100);
    } else {
        (void)snprintf(buffer, size, "%.6g", value);
    }
}

/* --- level ---------------------------------------------------------------------------------- */

static bool is_broken(const brisk_budget *budget, double value, double limit)
{
    return !isnan(limit) && (budget->above ? value < limit : value > limit);
}

void budget_judge(const brisk_budget *budget, brisk_budget_result *result)
{
    double value = result->value;
    if (isnan(value) || result->events < budget->min_events) {
        result->level = BRISK_BUDGET_UNKNOWN;
        result->on_target = true;
        result->limit = (double)NAN;
        return;
    }
    result->on_target = !is_broken(budget, value, budget->target);
    if (is_broken(budget, value, budget->critical)) {
        result->level = BRISK_BUDGET_CRITICAL;
        result->limit = budget->critical;
    } else if (is_broken(budget, value, budget->warning)) {
        result->level = BRISK_BUDGET_WARNING;
        result->limit = budget->warning;
    } else {
        result->level = BRISK_BUDGET_GOOD;
        result->limit = !isnan(budget->warning)    ? budget->warning
                        : !isnan(budget->critical) ? budget->critical
                                                   : budget->target;
    }
}

/* "p95 of http.time is 22 ms, above the critical limit of 20 ms (412 events)" */
static void describe(const brisk_budget *budget, brisk_unit unit, brisk_budget_result *result)
{
    char value[48];
    char limit[48];
    const char *what = budget->stage[0] != '\0' ? budget->stage : budget->metric;
    const char *statistic = brisk_budget_statistic_name(budget->statistic);
    budget_format(value, sizeof value, unit, result->value);
    budget_format(limit, sizeof limit, unit, result->limit);
    if (result->level == BRISK_BUDGET_UNKNOWN && isnan(result->value)) {
        (void)snprintf(result->text, sizeof result->text, "%.120s: nothing was recorded", what);
    } else if (result->level == BRISK_BUDGET_UNKNOWN) {
        (void)snprintf(result->text, sizeof result->text,
                       "%.120s: %llu events, %llu are needed to say anything", what,
                       (unsigned long long)result->events, (unsigned long long)budget->min_events);
    } else if (result->level == BRISK_BUDGET_GOOD) {
        (void)snprintf(
            result->text, sizeof result->text, "%s of %.120s is %s%s%s%s", statistic, what, value,
            isnan(result->limit) ? ""
            : budget->above      ? ", at least "
                                 : ", at most ",
            isnan(result->limit) ? "" : limit, result->on_target ? "" : "; the target is missed");
    } else {
        (void)snprintf(result->text, sizeof result->text,
                       "%s of %.120s is %s, %s the %s limit of %s (%llu events)", statistic, what,
                       value, budget->above ? "below" : "above",
                       result->level == BRISK_BUDGET_CRITICAL ? "critical" : "warning", limit,
                       (unsigned long long)result->events);
    }
}

/* --- values --------------------------------------------------------------------------------- */

static uint64_t since(uint64_t now, uint64_t earlier)
{
    return now > earlier ? now - earlier : 0;
}

/* A histogram's quantile; without buckets (a value from a file) the one that it carries. */
static double quantile_of(const brisk_metric_value *value, const brisk_metric_value *earlier,
                          double q)
{
    if (value->bucket_count != 0) {
        return (double)brisk_metric_quantile(value, earlier, q);
    }
    uint64_t carried = q <= 0.5    ? value->p50
                       : q <= 0.95 ? value->p95
                       : q <= 0.99 ? value->p99
                       : q < 1.0   ? value->p999
                                   : value->max;
    return (double)carried;
}

static double mean_of(const brisk_metric_value *value, const brisk_metric_value *earlier,
                      uint64_t events)
{
    double sum = value->sum - (earlier != NULL ? earlier->sum : 0.0);
    return events > 0 ? sum / (double)events : (double)NAN;
}

/* Of one series; NaN when it has no such statistic. */
static double statistic_of(const brisk_budget *budget, const brisk_metric_value *value,
                           const brisk_metric_value *earlier, uint64_t *events)
{
    if (value->kind == BRISK_METRIC_GAUGE) {
        *events = 1;
        return budget->statistic == BRISK_BUDGET_VALUE ? value->value : (double)NAN;
    }
    if (value->kind == BRISK_METRIC_COUNTER) {
        *events = value->count;
        return budget->statistic == BRISK_BUDGET_VALUE ? (double)value->count : (double)NAN;
    }
    *events = since(value->count, earlier != NULL ? earlier->count : 0);
    if (*events == 0) {
        return (double)NAN;
    }
    switch (budget->statistic) {
    case BRISK_BUDGET_VALUE: return (double)*events;
    case BRISK_BUDGET_MEAN: return mean_of(value, earlier, *events);
    case BRISK_BUDGET_P50: return quantile_of(value, earlier, 0.5);
    case BRISK_BUDGET_P95: return quantile_of(value, earlier, 0.95);
    case BRISK_BUDGET_P99: return quantile_of(value, earlier, 0.99);
    case BRISK_BUDGET_P999: return quantile_of(value, earlier, 0.999);
    case BRISK_BUDGET_MAX_VALUE: return quantile_of(value, earlier, 1.0);
    case BRISK_BUDGET_RATE:
    case BRISK_BUDGET_ERROR_RATE:
    default: return (double)NAN;
    }
}

/* The sum over all series of `metric`, and how long that took; false when there is none. */
static bool sum_of(const brisk_budget *budget, const view *v, const char *metric, uint64_t *ret)
{
    bool found = false;
    *ret = 0;
    for (uint32_t i = 0; i < v->count; i++) {
        const brisk_metric_value *value = value_at(v, i);
        if (!is_meant(budget, metric, value) || value->kind == BRISK_METRIC_GAUGE) {
            continue;
        }
        const brisk_metric_value *earlier = earlier_of(v, value);
        found = true;
        *ret += since(value->count, earlier != NULL ? earlier->count : 0);
    }
    return found;
}

/* Values from a file carry rates; the longest one that is known. */
static double carried_rate(const brisk_budget *budget, const view *v)
{
    double rate = (double)NAN;
    for (uint32_t i = 0; i < v->count; i++) {
        const brisk_metric_value *value = value_at(v, i);
        for (uint32_t w = BRISK_METRIC_WINDOWS;
             is_meant(budget, budget->metric, value) && w-- > 0;) {
            if (!isnan(value->rates[w])) {
                rate = (isnan(rate) ? 0.0 : rate) + value->rates[w];
                break;
            }
        }
    }
    return rate;
}

static void check_counts(const brisk_budget *budget, const view *v, brisk_budget_result *ret)
{
    uint64_t all = 0;
    uint64_t bad = 0;
    if (!sum_of(budget, v, budget->metric, &all)) {
        return;
    }
    ret->events = all;
    if (budget->statistic == BRISK_BUDGET_ERROR_RATE) {
        (void)sum_of(budget, v, budget->bad, &bad); /* no error yet: no such series yet */
        ret->value = all > 0 ? (double)bad / (double)all : (double)NAN;
    } else {
        ret->value = v->seconds > 0 ? (double)all / v->seconds : carried_rate(budget, v);
    }
}

static void check_each(const brisk_budget *budget, const view *v, brisk_unit *unit,
                       brisk_budget_result *ret)
{
    for (uint32_t i = 0; i < v->count; i++) {
        const brisk_metric_value *value = value_at(v, i);
        uint64_t events = 0;
        if (!is_meant(budget, budget->metric, value)) {
            continue;
        }
        double figure = statistic_of(budget, value, earlier_of(v, value), &events);
        *unit = budget->statistic == BRISK_BUDGET_VALUE && value->kind == BRISK_METRIC_HISTOGRAM
                    ? BRISK_UNIT_NONE
                    : value->unit;
        bool enough = events >= budget->min_events;
        bool had_enough = ret->events >= budget->min_events;
        bool worse =
            isnan(ret->value) || (enough && !had_enough) ||
            (enough == had_enough && (budget->above ? figure < ret->value : figure > ret->value));
        if (!isnan(figure) && worse) {
            ret->value = figure;
            ret->events = events;
        }
    }
}

static void check_view(const brisk_budget *budget, const view *v, brisk_budget_result *ret)
{
    brisk_unit unit = BRISK_UNIT_NONE;
    *ret = (brisk_budget_result){.value = (double)NAN, .limit = (double)NAN};
    if (budget->statistic == BRISK_BUDGET_RATE || budget->statistic == BRISK_BUDGET_ERROR_RATE) {
        check_counts(budget, v, ret);
        unit = budget->statistic == BRISK_BUDGET_ERROR_RATE ? BRISK_UNIT_RATIO : BRISK_UNIT_NONE;
    } else {
        check_each(budget, v, &unit, ret);
    }
    budget_judge(budget, ret);
    describe(budget, unit, ret);
}

void brisk_budget_check(const brisk_budget *budget, const brisk_snapshot *now,
                        const brisk_snapshot *earlier, brisk_budget_result *ret)
{
    view v = {.now = now, .earlier = earlier, .count = brisk_snapshot_count(now)};
    if (earlier != NULL) {
        v.seconds = (double)since(brisk_snapshot_now_ns(now), brisk_snapshot_now_ns(earlier)) / 1e9;
    }
    check_view(budget, &v, ret);
}

void brisk_budget_check_values(const brisk_budget *budget, const brisk_metric_value *values,
                               uint32_t count, brisk_budget_result *ret)
{
    view v = {.values = values, .count = count};
    check_view(budget, &v, ret);
}

/* --- totals for burn rates ------------------------------------------------------------------ */

/* Of a histogram: how many values break the limit that the budget has. */
static uint64_t bad_of(const brisk_budget *budget, const brisk_metric_value *value)
{
    double limit = !isnan(budget->critical)  ? budget->critical
                   : !isnan(budget->warning) ? budget->warning
                                             : budget->target;
    uint64_t bad = 0;
    for (uint32_t i = 0; i < value->bucket_count; i++) {
        const brisk_hist_bucket *bucket = &value->buckets[i];
        bool broken = budget->above ? (double)bucket->top < limit : (double)bucket->low > limit;
        bad += broken ? bucket->count : 0;
    }
    return bad;
}

bool budget_totals(const brisk_budget *budget, const brisk_snapshot *now, uint64_t *bad,
                   uint64_t *total)
{
    view v = {.now = now, .count = brisk_snapshot_count(now)};
    if (budget->statistic == BRISK_BUDGET_ERROR_RATE) {
        (void)sum_of(budget, &v, budget->bad, bad);
        return sum_of(budget, &v, budget->metric, total);
    }
    bool found = false;
    *bad = 0;
    *total = 0;
    for (uint32_t i = 0; i < v.count; i++) {
        const brisk_metric_value *value = value_at(&v, i);
        if (is_meant(budget, budget->metric, value) && value->kind == BRISK_METRIC_HISTOGRAM) {
            found = true;
            *bad += bad_of(budget, value);
            *total += value->count;
        }
    }
    return found;
}

/* --- stages --------------------------------------------------------------------------------- */

typedef struct stage_rows {
    const char *stage;
    uint64_t *runs;
    uint32_t run_count;
    double *values;
    uint32_t count;
} stage_rows;

static bool on_run(void *ctx, const brisk_history_run *row)
{
    stage_rows *rows = ctx;
    rows->runs[rows->run_count++] = row->id;
    return rows->run_count < RUNS_MAX;
}

static bool on_stage(void *ctx, const brisk_history_stage *row)
{
    stage_rows *rows = ctx;
    if (strcmp(row->name, rows->stage) == 0 && strcmp(row->outcome, "computed") == 0 &&
        rows->count < RUNS_MAX) {
        rows->values[rows->count++] = (double)row->duration_ns;
    }
    return true;
}

static double statistic_of_rows(const brisk_budget *budget, stage_rows *rows)
{
    double sum = 0.0;
    if (rows->count == 0) {
        return (double)NAN;
    }
    brisk_sample_sort(rows->values, rows->count);
    for (uint32_t i = 0; i < rows->count; i++) {
        sum += rows->values[i];
    }
    switch (budget->statistic) {
    case BRISK_BUDGET_MEAN: return sum / rows->count;
    case BRISK_BUDGET_P50: return brisk_sample_median(rows->values, rows->count);
    case BRISK_BUDGET_P99: return brisk_sample_quantile(rows->values, rows->count, 0.99);
    case BRISK_BUDGET_P999: return brisk_sample_quantile(rows->values, rows->count, 0.999);
    case BRISK_BUDGET_MAX_VALUE: return rows->values[rows->count - 1];
    case BRISK_BUDGET_VALUE:
    case BRISK_BUDGET_P95:
    case BRISK_BUDGET_RATE:
    case BRISK_BUDGET_ERROR_RATE:
    default: return brisk_sample_quantile(rows->values, rows->count, 0.95);
    }
}

static brisk_err collect_stage(const brisk_budget *budget, brisk_history *history, uint64_t now_ns,
                               stage_rows *rows, brisk_errinfo *info)
{
    brisk_history_filter filter = {.name = budget->workload[0] != '\0' ? budget->workload : NULL,
                                   .since_ns =
                                       now_ns > budget->window_ns ? now_ns - budget->window_ns : 1,
                                   .newest_first = true,
                                   .limit = RUNS_MAX};
    brisk_err err = brisk_history_runs(history, &filter, on_run, rows, info);
    for (uint32_t i = 0; i < rows->run_count && err == BRISK_OK; i++) {
        err = brisk_history_stages(history, &(brisk_history_filter){.id = rows->runs[i]}, on_stage,
                                   rows, info);
    }
    return err;
}

brisk_err brisk_budget_check_stage(const brisk_budget *budget, brisk_history *history,
                                   uint64_t now_ns, brisk_budget_result *ret, brisk_errinfo *info)
{
    brisk_arena *arena = NULL;
    *ret = (brisk_budget_result){.value = (double)NAN, .limit = (double)NAN};
    brisk_err err = brisk_arena_create(NULL, &arena);
    stage_rows rows = {.stage = budget->stage};
    if (err == BRISK_OK) {
        rows.runs = brisk_arena_calloc(arena, RUNS_MAX, sizeof *rows.runs);
        rows.values = brisk_arena_calloc(arena, RUNS_MAX, sizeof *rows.values);
        err = rows.runs != NULL && rows.values != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    }
    if (err != BRISK_OK) {
        brisk_arena_destroy(arena);
        return brisk_errinfo_set(info, err, "budget: %s", brisk_err_message(err));
    }
    err = collect_stage(budget, history, now_ns, &rows, info);
    ret->value = statistic_of_rows(budget, &rows);
    ret->events = rows.count;
    brisk_arena_destroy(arena);
    budget_judge(budget, ret);
    describe(budget, BRISK_UNIT_NS, ret);
    return err;
}

const char *brisk_budget_level_name(brisk_budget_level level)
{
    static const char *const names[] = {"unknown", "good", "warning", "critical"};
    return (unsigned)level < 4 ? names[level] : "?";
}

const char *brisk_alert_state_name(brisk_alert_state state)
{
    static const char *const names[] = {"idle", "pending", "firing"};
    return (unsigned)state < 3 ? names[state] : "?";
}
