/*
 * panels_past.c -- panels of what was: the newest run's stages, trends, targets, alerts, opportunities.
 *
 * A sparkline is scaled to what it shows, from 0 for shares and rates, so that a flat line is a flat line; a gap is a
 * moment of which nothing is known.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "observe/monitor/monitor.h"

enum { LABEL_WIDTH = 15, VALUE_WIDTH = 12, STAGE_TIMES = 24 };

static const char *format_date(char buffer[MONITOR_TEXT_MAX], uint64_t wall_ns)
{
    struct tm tm;
    time_t seconds = (time_t)(wall_ns / 1000000000);
    buffer[0] = '\0';
    if (localtime_r(&seconds, &tm) != NULL) {
        (void)strftime(buffer, MONITOR_TEXT_MAX, "%m-%d %H:%M:%S", &tm);
    }
    return buffer;
}

/* --- the newest run ----------------------------------------------------------------------- */

static void draw_stage(const panel *p, uint32_t row, const monitor_run *run,
                       const monitor_stage *stage)
{
    char time[MONITOR_TEXT_MAX];
    char wait[MONITOR_TEXT_MAX];
    uint32_t label = p->width > 100 ? 30 : 22;
    uint32_t width = p->width > label + STAGE_TIMES + 8 ? p->width - label - STAGE_TIMES : 0;
    panel_line(p, row, stage->critical ? STYLE_BOLD : STYLE_PLAIN, "%c %.*s",
               stage->critical ? '*' : ' ', (int)label - 4, stage->name);
    double all = run->duration_ns > 0 ? (double)run->duration_ns : 1;
    for (uint32_t i = 0; i < width && row + 1 < p->height; i++) {
        double from = (double)i / width * all;
        double to = (double)(i + 1) / width * all;
        double start = (double)stage->start_ns;
        double end = start + (double)stage->duration_ns;
        bool runs = stage->duration_ns > 0 && end > from && start < to;
        bool waits = stage->wait_ns > 0 && start > from && start - (double)stage->wait_ns < to;
        uint32_t code = runs    ? (p->screen->ascii ? '#' : 0x2588)
                        : waits ? (p->screen->ascii ? '~' : 0x2591)
                                : (p->screen->ascii ? '.' : ' ');
        screen_put(p->screen, p->x + label + i, p->y + 1 + row, code,
                   runs && stage->critical ? STYLE_WARN
                   : runs                  ? STYLE_BAR
                                           : STYLE_DIM);
    }
    char text[128];
    (void)monitor_format(time, UNIT_NS, (double)stage->duration_ns);
    if (strcmp(stage->outcome, "computed") != 0) {
        (void)snprintf(text, sizeof text, "%s %s", time, stage->outcome);
    } else if (stage->wait_ns > 0) {
        (void)snprintf(text, sizeof text, "%s after %s", time,
                       monitor_format(wait, UNIT_NS, (double)stage->wait_ns));
    } else {
        (void)snprintf(text, sizeof text, "%s", time);
    }
    if (row + 1 < p->height) {
        (void)screen_text(
            p->screen,
            (screen_line){p->x + label + width + 1, p->y + 1 + row,
                          p->width > label + width + 1 ? p->width - label - width - 1 : 0},
            STYLE_PLAIN, text);
    }
}

/* When there are more stages than rows: the longest ones, in their order. */
static bool among_longest(const monitor_run *run, uint32_t which, uint32_t rows)
{
    uint32_t longer = 0;
    for (uint32_t i = 0; i < run->stage_count; i++) {
        uint64_t a = run->stages[i].duration_ns;
        uint64_t b = run->stages[which].duration_ns;
        longer += a > b || (a == b && i < which) ? 1 : 0;
    }
    return longer < rows;
}

void panel_waterfall(const panel *p, const monitor *m)
{
    const monitor_run *run = &m->past.run;
    char more[512] = "";
    char a[MONITOR_TEXT_MAX];
    char b[MONITOR_TEXT_MAX];
    char when[MONITOR_TEXT_MAX];
    if (run->id == 0) {
        panel_title(p, "Newest run", m->past.wanted_run != 0 ? "there is no such run" : "none");
        panel_line(p, 0, STYLE_PLAIN,
                   "%s; jobs leave their runs there, for example 'brisk rom apply ...'",
                   m->past.error[0] != '\0' ? m->past.error : "the history has no run");
        return;
    }
    (void)snprintf(more, sizeof more, "%s %s %s %s%s%s, %u workers, parallel %s", run->workload,
                   format_date(when, run->wall_ns),
                   monitor_format(a, UNIT_NS, (double)run->duration_ns), run->outcome,
                   run->answered_by[0] != '\0' ? " from " : "", run->answered_by, run->workers,
                   monitor_format(b, UNIT_SHARE, run->efficiency));
    panel_title(p, m->past.wanted_run != 0 ? "Run" : "Newest run", more);
    uint32_t rows = p->height > 2 ? p->height - 2 : 0; /* the last line is for the answers */
    uint32_t row = 0;
    for (uint32_t i = 0; i < run->stage_count && row < rows; i++) {
        if (among_longest(run, i, rows)) {
            draw_stage(p, row++, run, &run->stages[i]);
        }
    }
    uint32_t all =
        m->past.by_memory + m->past.by_disk + m->past.by_shared + m->past.computed + m->past.failed;
    panel_line(p, row, STYLE_DIM,
               "%u/%u stages  last %u runs: memory %u, disk %u, shared %u, computed %u, failed %u",
               row, run->stage_total, all, m->past.by_memory, m->past.by_disk, m->past.by_shared,
               m->past.computed, m->past.failed);
}

/* --- trends ------------------------------------------------------------------------------- */

static uint32_t spark(const screen *s, double share)
{
    static const char ascii[] = "_.-=+*%#";
    int level = (int)(fmin(fmax(share, 0), 1) * 7.999);
    return s->ascii ? (uint32_t)ascii[level] : 0x2581 + (uint32_t)level;
}

typedef struct spark_source {
    const monitor_series *series; /* either: newest at 0 */
    const double *values;         /* or: oldest first */
    uint32_t count;
    bool share; /* scaled to 100 %, so that little looks like little */
} spark_source;

static double spark_at(const spark_source *source, uint32_t back)
{
    if (source->series != NULL) {
        return monitor_series_at(source->series, back);
    }
    return back < source->count ? source->values[source->count - 1 - back] : (double)NAN;
}

/* The newest value is at the right end. */
static void draw_spark(const panel *p, uint32_t row, uint32_t x, uint32_t width,
                       const spark_source *source)
{
    double most = 0;
    double least = (double)INFINITY;
    for (uint32_t i = 0; i < width; i++) {
        double value = spark_at(source, i);
        most = isnan(value) ? most : fmax(most, value);
        least = isnan(value) ? least : fmin(least, value);
    }
    most = source->share ? 1 : most;
    if (source->series != NULL || !(least > 0)) {
        least = 0;
    } else { /* a benchmark: what changes is what matters */
        least -= (most - least) * 0.2;
    }
    for (uint32_t i = 0; i < width && row + 1 < p->height; i++) {
        double value = spark_at(source, i);
        uint32_t code = isnan(value)
                            ? ' '
                            : spark(p->screen, most > least ? (value - least) / (most - least) : 0);
        screen_put(p->screen, p->x + x + width - 1 - i, p->y + 1 + row, code, STYLE_LINE);
    }
}

static bool has_values(const monitor_series *series)
{
    for (uint32_t i = 0; i < series->count; i++) {
        if (!isnan(monitor_series_at(series, i))) {
            return true;
        }
    }
    return false;
}

static void draw_trend(const panel *p, uint32_t row, const char *label, const char *value,
                       const spark_source *source)
{
    panel_line(p, row, STYLE_PLAIN, "%-*.*s", LABEL_WIDTH, LABEL_WIDTH - 1, label);
    uint32_t width =
        p->width > LABEL_WIDTH + VALUE_WIDTH + 4 ? p->width - LABEL_WIDTH - VALUE_WIDTH : 0;
    width = width < MONITOR_POINTS ? width : MONITOR_POINTS;
    draw_spark(p, row, LABEL_WIDTH, width, source);
    if (row + 1 < p->height && p->width > LABEL_WIDTH + width + 1) {
        (void)screen_text(p->screen,
                          (screen_line){p->x + LABEL_WIDTH + width + 1, p->y + 1 + row,
                                        p->width - LABEL_WIDTH - width - 1},
                          STYLE_PLAIN, value);
    }
}

static monitor_unit line_unit(const monitor_line *line)
{
    return strcmp(line->unit, "ns") == 0      ? UNIT_NS
           : strcmp(line->unit, "bytes") == 0 ? UNIT_BYTES
                                              : UNIT_COUNT;
}

void panel_trends(const panel *p, const monitor *m)
{
    /* What matters most first: there may be few rows. */
    static const monitor_figure order[] = {
        FIGURE_THROUGHPUT,     FIGURE_P99,        FIGURE_HIT_RATE,      FIGURE_CPU,
        FIGURE_MEMORY,         FIGURE_ROUND_TRIP, FIGURE_SERVER_MEMORY, FIGURE_PROCESS_CPU,
        FIGURE_PROCESS_MEMORY, FIGURE_PRESSURE,   FIGURE_P50,           FIGURE_HIT_MEMORY,
        FIGURE_HIT_DISK,       FIGURE_EVICTIONS,  FIGURE_CONNECTIONS,   FIGURE_DISK_READ,
        FIGURE_DISK_WRITE,     FIGURE_NET_IN,     FIGURE_NET_OUT};
    char a[MONITOR_TEXT_MAX];
    uint32_t row = 0;
    panel_title(p, "Trends", "newest at the right");
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        const monitor_series *series = &m->numbers.series[order[i]];
        if (has_values(series)) {
            const monitor_figure_info *info = &monitor_figures[order[i]];
            draw_trend(p, row++, info->label,
                       monitor_format(a, info->unit, m->numbers.now[order[i]]),
                       &(spark_source){.series = series, .share = info->unit == UNIT_SHARE});
        }
    }
    if (m->past.run_time_count > 1) {
        draw_trend(p, row++, "runs' time",
                   monitor_format(a, UNIT_NS, m->past.run_times[m->past.run_time_count - 1]),
                   &(spark_source){.values = m->past.run_times, .count = m->past.run_time_count});
    }
    for (uint32_t i = 0; i < m->past.line_count; i++) {
        const monitor_line *line = &m->past.lines[i];
        draw_trend(p, row++, line->name,
                   monitor_format(a, line_unit(line), line->values[line->count - 1]),
                   &(spark_source){.values = line->values, .count = line->count});
    }
    if (row == 0) {
        panel_line(p, 0, STYLE_DIM, "from the second round on");
    }
}

/* --- targets ------------------------------------------------------------------------------ */

void panel_targets(const panel *p, const monitor *m)
{
    const monitor_numbers *n = &m->numbers;
    panel_title(p, "Targets", "progress");
    uint32_t row = 0;
    for (uint32_t i = 0; i < n->target_count; i++) {
        const monitor_target *target = &n->targets[i];
        const monitor_figure_info *info = &monitor_figures[target->figure];
        double progress = monitor_target_progress(n, target);
        char now[MONITOR_TEXT_MAX];
        char wanted[MONITOR_TEXT_MAX];
        bool met = progress >= 1;
        panel_line(p, row, met || isnan(progress) ? STYLE_PLAIN : STYLE_WARN,
                   "%s %-10.10s %s of %s",
                   isnan(progress) ? "  "
                   : met           ? "ok"
                                   : "!!",
                   info->label, monitor_format(now, info->unit, n->now[target->figure]),
                   monitor_format(wanted, info->unit, target->value));
        if (p->width > 40) {
            panel_bar(p, row, 34, p->width - 35, progress);
        }
        row++;
    }
    if (row == 0) {
        panel_line(p, 0, STYLE_DIM, "none; --target p99=10ms, --target hit_rate=95%% ...");
    }
}

/* --- alerts ------------------------------------------------------------------------------- */

static screen_style level_style(brisk_budget_level level)
{
    return level == BRISK_BUDGET_CRITICAL  ? STYLE_BAD
           : level == BRISK_BUDGET_WARNING ? STYLE_WARN
           : level == BRISK_BUDGET_GOOD    ? STYLE_PLAIN
                                           : STYLE_DIM;
}

/* Budgets first: what is now.  How many lines they took. */
static uint32_t draw_budgets(const panel *p, const monitor *m)
{
    static const char *const words[] = {[BRISK_BUDGET_UNKNOWN] = "?       ",
                                        [BRISK_BUDGET_GOOD] = "kept    ",
                                        [BRISK_BUDGET_WARNING] = "WARNING ",
                                        [BRISK_BUDGET_CRITICAL] = "CRITICAL"};
    uint32_t count = monitor_promises_count(&m->promises);
    for (uint32_t i = 0; i < count; i++) {
        brisk_budget_status status;
        monitor_promises_read(&m->promises, i, &status);
        const char *text = status.last.text;
        const char *is =
            strstr(text, " is "); /* "p95 of http.time is 12 ms, ...": the metric is known */
        text = is != NULL && p->width < 70 ? is + 4 : text;
        panel_line(p, i, level_style(status.last.level), "%s %s: %s", words[status.last.level],
                   status.budget->name, text);
    }
    return count;
}

void panel_alerts(const panel *p, const monitor *m)
{
    const monitor_past *past = &m->past;
    panel_title(p, "Budgets and alerts", "");
    uint32_t row = draw_budgets(p, m);
    for (uint32_t i = 0; i < past->alert_count; i++) {
        const monitor_alert *alert = &past->alerts[i];
        char since[MONITOR_TEXT_MAX];
        bool critical = strcmp(alert->severity, "critical") == 0;
        panel_line(p, row++,
                   !alert->firing ? STYLE_PLAIN
                   : critical     ? STYLE_BAD
                                  : STYLE_WARN,
                   "%s %s: %.4g of %.4g%s%s since %s", alert->firing ? "FIRING" : "ok    ",
                   alert->budget, alert->value, alert->limit, alert->firing ? " " : "",
                   alert->firing ? alert->severity : "", format_date(since, alert->wall_ns));
    }
    if (row == 0) {
        panel_line(p, 0, STYLE_DIM, "no alert has fired on this machine");
        panel_line(p, 1, STYLE_DIM, "--budgets FILE holds promises (YAML);");
        panel_line(p, 2, STYLE_DIM, "brisk budget watch makes alerts of them");
    }
}

/* --- opportunities ------------------------------------------------------------------------ */

void panel_opportunities(const panel *p, const monitor *m)
{
    const monitor_past *past = &m->past;
    panel_title(p, "Opportunities", "by gain and confidence");
    bool whole = p->height > 12;
    uint32_t row = 0;
    for (uint32_t i = 0; i < past->opportunity_count; i++) {
        const monitor_opportunity *o = &past->opportunities[i];
        char gain[MONITOR_TEXT_MAX];
        panel_line(p, row++, STYLE_PLAIN, "%s %s",
                   isnan(o->gain) ? "  ?  " : monitor_format(gain, UNIT_SHARE, o->gain),
                   o->description);
        if (whole) {
            char low[MONITOR_TEXT_MAX];
            char high[MONITOR_TEXT_MAX];
            panel_line(p, row++, STYLE_DIM,
                       "      %s, priority %s, gain %s .. %s, confidence %.0f %%", o->category,
                       o->priority, monitor_format(low, UNIT_SHARE, o->gain_low),
                       monitor_format(high, UNIT_SHARE, o->gain_high), 100 * o->confidence);
        }
    }
    if (past->opportunity_count == 0) {
        panel_line(p, 0, STYLE_DIM, "none known; these would find some:");
        panel_line(p, 1, STYLE_DIM, "brisk profile -- COMMAND  (hotspots)");
        panel_line(p, 2, STYLE_DIM, "runs of jobs, profiled stage by stage");
        panel_line(p, 3, STYLE_DIM, "brisk profile --memory -- COMMAND  (leaks)");
    }
}
