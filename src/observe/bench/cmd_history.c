/*
 * cmd_history.c -- `brisk bench history NAME`: how a benchmark went over time, and where it changed.
 *
 * Points of one benchmark and one machine are a line of their own, in which change points are
 * looked for.
 */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "observe/bench/bench.h"

enum { OPTION_METRIC, OPTION_ALL_MACHINES, OPTION_LAST, OPTION_MIN_CHANGE, OPTION_JSON };

enum {
    BAR_WIDTH = 24,
    LAST_DEFAULT = 40,
    LINES_MAX = 1024,       /* benchmarks and machines under one name */
    CHANGE_POINTS_MIN = 10, /* fewer points cannot show a change */
};

static const brisk_option options[] = {
    [OPTION_METRIC] = {.name = "metric",
                       .letter = 'm',
                       .type = BRISK_OPTION_TEXT,
                       .metavar = "METRIC",
                       .summary = "wall (the default), or instructions"},
    [OPTION_ALL_MACHINES] = {.name = "all-machines",
                             .letter = 'a',
                             .summary = "points of other machines, too, each line for itself"},
    [OPTION_LAST] = {.name = "last",
                     .letter = 'n',
                     .type = BRISK_OPTION_U64,
                     .metavar = "N",
                     .summary = "show the last N points of each line (40); changes are looked for "
                                "in all"},
    [OPTION_MIN_CHANGE] = {.name = "min-change",
                           .type = BRISK_OPTION_TEXT,
                           .metavar = "SHARE",
                           .summary = "leave out smaller changes (1%)"},
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
};

/** One benchmark on one machine; indexes into the points, oldest first. */
typedef struct line {
    const char *name;
    const char *machine;
    const bench_point **points;
    uint32_t count;
    brisk_change_points changes;
} line;

typedef struct lines {
    brisk_arena *arena;
    line *items;
    uint32_t count;
    double min_change;
    uint32_t last;
    bool time;
} lines;

static line *find_line(lines *l, const bench_point *point)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (strcmp(l->items[i].name, point->name) == 0 &&
            strcmp(l->items[i].machine, point->machine) == 0) {
            return &l->items[i];
        }
    }
    if (l->count == LINES_MAX) {
        return NULL;
    }
    l->items[l->count] = (line){.name = point->name, .machine = point->machine};
    return &l->items[l->count++];
}

/** Two passes: how long each line is, then its points. */
static brisk_err sort_points(lines *l, const bench_point *points, uint32_t count)
{
    l->items = brisk_arena_calloc(l->arena, LINES_MAX, sizeof *l->items);
    if (l->items == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        line *of = find_line(l, &points[i]);
        if (of == NULL) {
            return BRISK_ERR_LIMIT;
        }
        of->count++;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        l->items[i].points =
            brisk_arena_calloc(l->arena, l->items[i].count, sizeof *l->items[i].points);
        l->items[i].count = 0;
        if (l->items[i].points == NULL) {
            return BRISK_ERR_NOMEM;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        line *of = find_line(l, &points[i]);
        of->points[of->count++] = &points[i];
    }
    return BRISK_OK;
}

static brisk_err find_changes(const lines *l, line *of)
{
    if (of->count < CHANGE_POINTS_MIN) {
        return BRISK_OK;
    }
    double *values = brisk_arena_alloc(l->arena, of->count * sizeof *values);
    if (values == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < of->count; i++) {
        values[i] = of->points[i]->value;
    }
    brisk_change_opts opts = {.min_effect = l->min_change};
    return brisk_change_points_find(values, of->count, &opts, &of->changes);
}

/* --- printing -------------------------------------------------------------------------------- */

static const brisk_change_point *change_at(const line *of, uint32_t index)
{
    for (size_t i = 0; i < of->changes.count; i++) {
        if (of->changes.items[i].at == index) {
            return &of->changes.items[i];
        }
    }
    return NULL;
}

static void format_value(const lines *l, char text[BRISK_TEXT_SHORT_MAX], double value)
{
    if (l->time) {
        brisk_text_duration(text, value);
    } else {
        (void)snprintf(text, BRISK_TEXT_SHORT_MAX, "%.0f", value);
    }
}

static void print_change(FILE *out, const lines *l, const brisk_change_point *c)
{
    char before[BRISK_TEXT_SHORT_MAX];
    char after[BRISK_TEXT_SHORT_MAX];
    char share[BRISK_TEXT_SHORT_MAX];
    format_value(l, before, c->before);
    format_value(l, after, c->after);
    bench_format_change(share, c->after / c->before - 1.0);
    (void)fprintf(out, "  ------ change: %s, from %s to %s (p = %.2g)\n", share, before, after,
                  c->p_value);
}

static void print_point(FILE *out, const lines *l, const bench_point *p, double low, double high)
{
    char date[BRISK_TEXT_SHORT_MAX];
    char value[BRISK_TEXT_SHORT_MAX];
    char label[BRISK_TEXT_QUOTED_MAX];
    char bar[BAR_WIDTH + 1];
    bench_format_date(date, p->when_s);
    format_value(l, value, p->value);
    double share = high > low ? (p->value - low) / (high - low) : 0.0;
    int length = 1 + (int)(share * (BAR_WIDTH - 1) + 0.5);
    memset(bar, ' ', BAR_WIDTH);
    memset(bar, '#', (size_t)length);
    bar[BAR_WIDTH] = '\0';
    (void)fprintf(out, "  %s %12s  |%s|  %s\n", date, value, bar,
                  brisk_text_quote(label, p->label));
}

static void print_line(FILE *out, const lines *l, const line *of)
{
    uint32_t from = of->count > l->last ? of->count - l->last : 0;
    double low = of->points[from]->value;
    double high = low;
    char name[BRISK_TEXT_QUOTED_MAX];
    char machine[BRISK_TEXT_QUOTED_MAX];
    for (uint32_t i = from; i < of->count; i++) {
        low = fmin(low, of->points[i]->value);
        high = fmax(high, of->points[i]->value);
    }
    (void)fprintf(out, "%s: %u point%s, %zu change%s, on %s\n", brisk_text_quote(name, of->name),
                  of->count, of->count == 1 ? "" : "s", of->changes.count,
                  of->changes.count == 1 ? "" : "s", brisk_text_quote(machine, of->machine));
    for (uint32_t i = from; i < of->count; i++) {
        const brisk_change_point *change = change_at(of, i);
        if (change != NULL) {
            print_change(out, l, change);
        }
        print_point(out, l, of->points[i], low, high);
    }
    if (of->count < CHANGE_POINTS_MIN) {
        (void)fprintf(out, "  changes are looked for from %d points on\n", CHANGE_POINTS_MIN);
    }
}

static void put_line(brisk_json *json, const line *of)
{
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "name", of->name);
    brisk_json_str(json, "machine", of->machine);
    brisk_json_array_begin(json, "points");
    for (uint32_t i = 0; i < of->count; i++) {
        const bench_point *p = of->points[i];
        brisk_json_object_begin(json, NULL);
        brisk_json_u64(json, "when_s", p->when_s);
        brisk_json_str(json, "label", p->label);
        brisk_json_double(json, "value", p->value);
        brisk_json_double(json, "low", p->low);
        brisk_json_double(json, "high", p->high);
        brisk_json_u64(json, "runs", p->runs);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    brisk_json_array_begin(json, "changes");
    for (size_t i = 0; i < of->changes.count; i++) {
        const brisk_change_point *c = &of->changes.items[i];
        brisk_json_object_begin(json, NULL);
        brisk_json_u64(json, "at", c->at);
        brisk_json_u64(json, "when_s", of->points[c->at]->when_s);
        brisk_json_double(json, "before", c->before);
        brisk_json_double(json, "after", c->after);
        brisk_json_double(json, "change", c->after / c->before - 1.0);
        brisk_json_double(json, "p", c->p_value);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}

static brisk_exit print(FILE *out, const lines *l, const char *metric, bool as_json)
{
    if (!as_json) {
        for (uint32_t i = 0; i < l->count; i++) {
            print_line(out, l, &l->items[i]);
        }
        return BRISK_EXIT_OK;
    }
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_str(&json, "metric", metric);
    brisk_json_str(&json, "unit", l->time ? "ns" : "");
    brisk_json_array_begin(&json, "benchmarks");
    for (uint32_t i = 0; i < l->count; i++) {
        put_line(&json, &l->items[i]);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json) == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

/* --- the command ------------------------------------------------------------------------------ */

static brisk_exit fail(const brisk_invocation *invocation, const char *text)
{
    (void)fprintf(invocation->err, "brisk: bench: history: %s\n", text);
    return BRISK_EXIT_FAILED;
}

static brisk_exit show(const brisk_invocation *invocation, lines *l)
{
    const brisk_option_value *values = invocation->values;
    const char *metric = values[OPTION_METRIC].set ? values[OPTION_METRIC].text : "wall";
    bench_history_query query = {.name = invocation->argv[0],
                                 .metric = metric,
                                 .all_machines = values[OPTION_ALL_MACHINES].set};
    bench_point *points = NULL;
    uint32_t count = 0;
    brisk_errinfo info = {0};
    if (bench_history_load(l->arena, &query, &points, &count, &info) != BRISK_OK) {
        return fail(invocation, info.text);
    }
    if (count == 0) {
        char quoted[BRISK_TEXT_QUOTED_MAX];
        (void)fprintf(invocation->err,
                      "brisk: bench: history: nothing was kept of '%s'%s; --save and 'brisk bench "
                      "compare' do\n",
                      brisk_text_quote(quoted, query.name),
                      query.all_machines ? "" : " on this machine (--all-machines)");
        return BRISK_EXIT_FAILED;
    }
    l->time = strcmp(metric, "wall") == 0;
    brisk_err err = sort_points(l, points, count);
    for (uint32_t i = 0; i < l->count && err == BRISK_OK; i++) {
        err = find_changes(l, &l->items[i]);
    }
    brisk_exit status = err == BRISK_OK ? print(invocation->out, l, metric, values[OPTION_JSON].set)
                                        : fail(invocation, brisk_err_message(err));
    for (uint32_t i = 0; i < l->count; i++) {
        brisk_change_points_deinit(&l->items[i].changes);
    }
    return status;
}

static brisk_exit run(const brisk_invocation *invocation)
{
    const brisk_option_value *values = invocation->values;
    lines l = {.min_change = 0.01, .last = LAST_DEFAULT};
    char quoted[BRISK_TEXT_QUOTED_MAX];
    if (!bench_name_is_valid(invocation->argv[0])) {
        (void)fprintf(invocation->err, "brisk: bench: history: '%s' is no name\n",
                      brisk_text_quote(quoted, invocation->argv[0]));
        return BRISK_EXIT_USAGE;
    }
    if (values[OPTION_MIN_CHANGE].set &&
        bench_parse_share(values[OPTION_MIN_CHANGE].text, &l.min_change) != BRISK_OK) {
        (void)fprintf(invocation->err,
                      "brisk: bench: history: --min-change takes a share such as 2%%, not '%s'\n",
                      brisk_text_quote(quoted, values[OPTION_MIN_CHANGE].text));
        return BRISK_EXIT_USAGE;
    }
    if (values[OPTION_LAST].set) {
        uint64_t last = values[OPTION_LAST].number;
        l.last = last > BENCH_HISTORY_MAX ? BENCH_HISTORY_MAX : last > 0 ? (uint32_t)last : 1;
    }
    brisk_err err = brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 65536}, &l.arena);
    brisk_exit status =
        err == BRISK_OK ? show(invocation, &l) : fail(invocation, brisk_err_message(err));
    brisk_arena_destroy(l.arena);
    return status;
}

const brisk_command bench_history_command = {
    .name = "history",
    .group = "Measure",
    .synopsis = "NAME [--last N] [--all-machines] [--json]",
    .summary = "show how a benchmark went over time, and where it changed",
    .description =
        "The points are what `brisk bench --save NAME` and `brisk bench compare --baseline NAME` "
        "measured, each the median of its runs; only those of this machine, unless --all-machines "
        "is given.  Changes of the level are looked for with ED-PELT and must be significant; an "
        "outlier is none.  A record of several commands has a line for each.",
    .examples = "brisk bench history main\tthe line of what was kept as main\n"
                "brisk bench history main --metric instructions\tcounted instructions instead\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .args_min = 1,
    .args_max = 1,
    .run = run,
};
