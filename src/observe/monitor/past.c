/*
 * past.c -- what the history knows: the newest run and its stages, who answered the last runs, alerts, opportunities,
 * benchmarks.
 *
 * The database is opened (which brings in what programs left in the spool), read and closed again, and only when the
 * size or time of its files is another than at the last look: a monitor that runs all day costs a few stat(2).
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "observe/monitor/monitor.h"

enum { RUNS_MAX = 100, BENCHMARKS_MAX = 400, WAIT_MS = 200 };

static const uint64_t look_ns = UINT64_C(2000000000);

static void copy(char *to, size_t room, const char *from)
{
    (void)snprintf(to, room, "%s", from);
    size_t size = strlen(to);
    while (size > 0 &&
           ((unsigned char)to[size - 1] & 0xc0) == 0x80) { /* not half a character at the cut */
        size--;
    }
    if (size > 0 && ((unsigned char)to[size - 1] & 0xc0) == 0xc0) {
        size = strlen(from) < room ? strlen(to) : size - 1;
    } else {
        size = strlen(to);
    }
    to[size] = '\0';
    brisk_text_make_plain(to, size);
}

#define COPY(to, from) copy((to), sizeof(to), (from))

/* --- runs --------------------------------------------------------------------------------- */

static bool take_run(void *ctx, const brisk_history_run *run)
{
    monitor_past *p = ctx;
    bool ok = strcmp(run->outcome, "ok") == 0;
    if (!ok) {
        p->failed++;
    } else if (strcmp(run->answered_by, "memory") == 0) {
        p->by_memory++;
    } else if (strcmp(run->answered_by, "disk") == 0) {
        p->by_disk++;
    } else if (run->answered_by[0] != '\0') {
        p->by_shared++;
    } else {
        p->computed++;
    }
    if (p->wanted_run == 0 ? p->run.id == 0 : p->run.id == 0 && run->id == p->wanted_run) {
        p->run.id = run->id;
        p->run.wall_ns = run->wall_ns;
        p->run.duration_ns = run->duration_ns;
        COPY(p->run.workload, run->workload);
        COPY(p->run.command, run->command);
        COPY(p->run.outcome, run->outcome);
        COPY(p->run.answered_by, run->answered_by);
    }
    if (p->run.id != 0 && p->run_time_count < MONITOR_LINE_POINTS &&
        strncmp(run->workload, p->run.workload, MONITOR_NAME_MAX - 1) == 0) {
        p->run_times[p->run_time_count++] =
            (double)run->duration_ns; /* newest first, turned later */
    }
    return true;
}

typedef struct stage_sum {
    monitor_run *run;
    uint64_t first_ns;
    uint64_t last_ns;
    double work_ns;
    int64_t workers[64];
    uint32_t worker_count;
} stage_sum;

static void count_worker(stage_sum *sum, int64_t worker)
{
    for (uint32_t i = 0; i < sum->worker_count; i++) {
        if (sum->workers[i] == worker) {
            return;
        }
    }
    if (sum->worker_count < 64) {
        sum->workers[sum->worker_count++] = worker;
    }
}

static bool take_stage(void *ctx, const brisk_history_stage *stage)
{
    stage_sum *sum = ctx;
    monitor_run *run = sum->run;
    uint64_t end_ns = stage->start_ns + stage->duration_ns;
    run->stage_total++;
    if (end_ns < stage->start_ns) {
        return true; /* nonsense */
    }
    if (stage->duration_ns > 0) {
        sum->first_ns = stage->start_ns < sum->first_ns ? stage->start_ns : sum->first_ns;
        sum->last_ns = end_ns > sum->last_ns ? end_ns : sum->last_ns;
        sum->work_ns += (double)stage->duration_ns;
        count_worker(sum, stage->worker);
    }
    if (run->stage_count < MONITOR_STAGES_MAX) {
        monitor_stage *to = &run->stages[run->stage_count++];
        *to = (monitor_stage){.start_ns = stage->start_ns,
                              .duration_ns = stage->duration_ns,
                              .wait_ns = stage->wait_ns,
                              .worker = stage->worker,
                              .critical = stage->critical != 0};
        COPY(to->name, stage->name);
        COPY(to->outcome, stage->outcome);
    }
    return true;
}

static brisk_err read_runs(monitor_past *p, brisk_history *history, brisk_errinfo *info)
{
    brisk_history_filter newest = {.newest_first = true, .limit = RUNS_MAX};
    brisk_err err = BRISK_OK;
    if (p->wanted_run != 0) {
        brisk_history_filter one = {.id = p->wanted_run};
        err = brisk_history_runs(history, &one, take_run, p, info);
        p->by_memory = p->by_disk = p->by_shared = p->computed = p->failed = p->run_time_count = 0;
    }
    if (err == BRISK_OK) {
        err = brisk_history_runs(history, &newest, take_run, p, info);
    }
    for (uint32_t i = 0; i < p->run_time_count / 2; i++) {
        double kept = p->run_times[i];
        p->run_times[i] = p->run_times[p->run_time_count - 1 - i];
        p->run_times[p->run_time_count - 1 - i] = kept;
    }
    if (err != BRISK_OK || p->run.id == 0) {
        return err;
    }
    stage_sum sum = {.run = &p->run, .first_ns = UINT64_MAX};
    brisk_history_filter of_run = {.id = p->run.id};
    err = brisk_history_stages(history, &of_run, take_stage, &sum, info);
    p->run.workers = sum.worker_count;
    p->run.efficiency =
        sum.last_ns > sum.first_ns && sum.worker_count > 0
            ? fmin(sum.work_ns / ((double)(sum.last_ns - sum.first_ns) * sum.worker_count), 1)
            : (double)NAN;
    return err;
}

/* --- alerts, opportunities, benchmarks ---------------------------------------------------- */

/* Newest first: the first one of a budget and metric is its state. */
static bool take_alert(void *ctx, const brisk_history_alert *alert)
{
    monitor_past *p = ctx;
    monitor_alert next = {.firing = strcmp(alert->state, "firing") == 0,
                          .value = alert->value,
                          .limit = alert->limit,
                          .wall_ns = alert->wall_ns};
    COPY(next.budget, alert->budget);
    COPY(next.metric, alert->metric);
    COPY(next.severity, alert->severity);
    for (uint32_t i = 0; i < p->alert_count; i++) {
        if (strcmp(p->alerts[i].budget, next.budget) == 0 &&
            strcmp(p->alerts[i].metric, next.metric) == 0) {
            return true;
        }
    }
    uint32_t at = p->alert_count;
    if (next.firing) { /* before all that are not */
        p->firing_count++;
        for (at = 0; at < p->alert_count && p->alerts[at].firing; at++) {
        }
    }
    if (at >= MONITOR_ROWS_MAX) {
        return true;
    }
    uint32_t last = p->alert_count < MONITOR_ROWS_MAX ? p->alert_count++ : MONITOR_ROWS_MAX - 1;
    memmove(&p->alerts[at + 1], &p->alerts[at], (last - at) * sizeof next);
    p->alerts[at] = next;
    return true;
}

/* What is gained, as sure as it is. */
static double weight(const monitor_opportunity *o)
{
    return (isnan(o->gain) ? 0 : o->gain) * o->confidence;
}

static bool take_opportunity(void *ctx, const brisk_history_opportunity *o)
{
    monitor_past *p = ctx;
    monitor_opportunity next = {.gain = o->gain,
                                .gain_low = o->gain_low,
                                .gain_high = o->gain_high,
                                .confidence = o->confidence};
    COPY(next.description, o->description);
    COPY(next.category, o->category);
    COPY(next.priority, o->priority);
    uint32_t at = 0;
    while (at < p->opportunity_count && weight(&p->opportunities[at]) >= weight(&next)) {
        at++;
    }
    if (at < MONITOR_ROWS_MAX) {
        uint32_t last =
            p->opportunity_count < MONITOR_ROWS_MAX ? p->opportunity_count++ : MONITOR_ROWS_MAX - 1;
        memmove(&p->opportunities[at + 1], &p->opportunities[at], (last - at) * sizeof next);
        p->opportunities[at] = next;
    }
    return true;
}

/* Newest first; values are put from the end. */
static bool take_benchmark(void *ctx, const brisk_history_benchmark *b)
{
    monitor_past *p = ctx;
    char name[MONITOR_NAME_MAX];
    char metric[MONITOR_TEXT_MAX];
    COPY(name, b->name);
    COPY(metric, b->metric);
    monitor_line *line = NULL;
    for (uint32_t i = 0; i < p->line_count && line == NULL; i++) {
        bool same = strcmp(p->lines[i].name, name) == 0 && strcmp(p->lines[i].metric, metric) == 0;
        line = same ? &p->lines[i] : NULL;
    }
    if (line == NULL && p->line_count < MONITOR_LINES_MAX) {
        line = &p->lines[p->line_count++];
        line->count = 0;
        memcpy(line->name, name, sizeof name);
        memcpy(line->metric, metric, sizeof metric);
        COPY(line->unit, b->unit);
    }
    if (line != NULL && line->count < MONITOR_LINE_POINTS) {
        line->values[line->count++] = b->value;
    }
    return true;
}

static void turn_lines(monitor_past *p)
{
    for (uint32_t l = 0; l < p->line_count; l++) {
        monitor_line *line = &p->lines[l];
        for (uint32_t i = 0; i < line->count / 2; i++) {
            double kept = line->values[i];
            line->values[i] = line->values[line->count - 1 - i];
            line->values[line->count - 1 - i] = kept;
        }
    }
}

/* --- looking ------------------------------------------------------------------------------ */

static void forget(monitor_past *p)
{
    p->run = (monitor_run){.efficiency = (double)NAN};
    p->by_memory = p->by_disk = p->by_shared = p->computed = p->failed = 0;
    p->run_time_count = p->alert_count = p->firing_count = p->opportunity_count = p->line_count = 0;
}

static void read_all(monitor_past *p, brisk_history *history, brisk_errinfo *info)
{
    const char *machine = brisk_history_machine();
    brisk_history_filter alerts = {.newest_first = true, .limit = RUNS_MAX, .machine = machine};
    brisk_history_filter open = {
        .state = "open", .newest_first = true, .limit = RUNS_MAX, .machine = machine};
    brisk_history_filter benchmarks = {
        .newest_first = true, .limit = BENCHMARKS_MAX, .machine = machine};
    forget(p);
    brisk_err err = read_runs(p, history, info);
    if (err == BRISK_OK) {
        err = brisk_history_alerts(history, &alerts, take_alert, p, info);
    }
    if (err == BRISK_OK) {
        err = brisk_history_opportunities(history, &open, take_opportunity, p, info);
    }
    if (err == BRISK_OK) {
        err = brisk_history_benchmarks(history, &benchmarks, take_benchmark, p, info);
        turn_lines(p);
    }
    if (err == BRISK_OK) {
        p->error[0] = '\0';
    } else {
        copy(p->error, sizeof p->error, info->text);
    }
}

/* Sizes and times of database, log and spool. */
static void sign(const char *path, char signature[128])
{
    static const char *const endings[] = {"", "-wal", "-spool"};
    size_t used = 0;
    signature[0] = '\0';
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        char name[1024];
        struct stat st;
        (void)snprintf(name, sizeof name, "%.1000s%s", path, endings[i]);
        if (stat(name, &st) == 0 && used < 128) {
            int wrote =
                snprintf(signature + used, 128 - used, "%zu:%llx:%llx.%lx ", i,
                         (unsigned long long)st.st_size, (unsigned long long)st.st_mtim.tv_sec,
                         (unsigned long)st.st_mtim.tv_nsec);
            used += wrote > 0 ? (size_t)wrote : 0;
        }
    }
}

static void look(monitor_past *p)
{
    brisk_history *history = NULL;
    brisk_errinfo info = {0};
    char before[128];
    if (p->found[0] != '\0') {
        sign(p->found, before);
        if (strcmp(before, p->signature) == 0) {
            return;
        }
    }
    brisk_history_opts opts = {.path = p->path, .no_create = true, .wait_ms = WAIT_MS};
    brisk_err err = brisk_history_open(&opts, &history, &info);
    if (err == BRISK_ERR_PERMISSION || err == BRISK_ERR_IO || err == BRISK_ERR_FULL) {
        opts.read_only = true;
        err = brisk_history_open(&opts, &history, &info);
    }
    if (err != BRISK_OK) {
        copy(p->error, sizeof p->error, err == BRISK_ERR_NOT_FOUND ? "no history yet" : info.text);
        return;
    }
    copy(p->found, sizeof p->found, brisk_history_path(history));
    read_all(p, history, &info);
    brisk_history_close(history);
    sign(p->found, p->signature); /* opening may have changed them */
}

void monitor_past_round(monitor_past *p, monitor_numbers *n, uint64_t now_ns)
{
    if (now_ns >= p->retry_ns) {
        p->retry_ns = now_ns + look_ns;
        look(p);
    }
    if (p->run.id != 0) {
        n->now[FIGURE_RUN_TIME] = (double)p->run.duration_ns;
        n->now[FIGURE_EFFICIENCY] = p->run.efficiency;
    }
}
