/*
 * report.c -- the monitor without a terminal: text, JSON, and reports of a period appended to a file.
 *
 * A report says of each figure its mean, least and most over the rounds of the period.  It is one write to a file opened
 * for appending, so that a reader never sees half of one.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <brisk/file.h>

#include "observe/monitor/monitor.h"

enum { TEXT_HEIGHT = 120, REPORT_BYTES_MAX = 1 << 20 };

brisk_err monitor_print_text(FILE *out, const monitor *m, uint32_t width, bool ascii)
{
    screen s;
    brisk_str text;
    screen_init(&s, brisk_alloc_libc(), ascii, false);
    brisk_str_init(&text, NULL, REPORT_BYTES_MAX);
    brisk_err err = screen_resize(&s, width, TEXT_HEIGHT);
    if (err == BRISK_OK) {
        monitor_draw(&s, m, VIEW_COUNT, false);
        screen_dump(&s, &text);
        monitor_grades grades;
        monitor_grade(m, &grades);
        brisk_str_printf(&text, "Grade %s\n", grades.score.text);
        err = brisk_str_err(&text);
    }
    if (err == BRISK_OK) {
        size_t size = brisk_str_size(&text);
        err = fwrite(brisk_str_text(&text), 1, size, out) == size ? BRISK_OK : BRISK_ERR_IO;
    }
    brisk_str_deinit(&text);
    screen_deinit(&s);
    return err;
}

/* --- JSON --------------------------------------------------------------------------------- */

static const char *unit_name(monitor_unit unit)
{
    static const char *const names[] = {
        [UNIT_SHARE] = "share",        [UNIT_NS] = "ns",    [UNIT_BYTES] = "bytes",
        [UNIT_BYTES_RATE] = "bytes/s", [UNIT_RATE] = "1/s", [UNIT_COUNT] = ""};
    return names[unit];
}

static void json_figures(brisk_json *json, const monitor_numbers *n)
{
    brisk_json_object_begin(json, "figures");
    for (int i = 0; i < FIGURE_COUNT; i++) {
        const monitor_period *period = &n->period[i];
        bool known = period->count > 0;
        brisk_json_object_begin(json, monitor_figures[i].name);
        brisk_json_double(json, "now", n->now[i]);
        brisk_json_double(json, "mean", known ? period->sum / (double)period->count : (double)NAN);
        brisk_json_double(json, "least", known ? period->least : (double)NAN);
        brisk_json_double(json, "most", known ? period->most : (double)NAN);
        brisk_json_str(json, "unit", unit_name(monitor_figures[i].unit));
        brisk_json_object_end(json);
    }
    brisk_json_object_end(json);
    brisk_json_array_begin(json, "targets");
    for (uint32_t i = 0; i < n->target_count; i++) {
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "name", monitor_figures[n->targets[i].figure].name);
        brisk_json_str(json, "source", n->targets[i].source);
        brisk_json_double(json, "target", n->targets[i].value);
        brisk_json_double(json, "now", n->now[n->targets[i].figure]);
        brisk_json_double(json, "progress", monitor_target_progress(n, &n->targets[i]));
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

static void json_grade(brisk_json *json, const monitor *m)
{
    monitor_grades grades;
    monitor_grade(m, &grades);
    brisk_json_object_begin(json, "grade");
    brisk_json_double(json, "points", grades.score.points);
    brisk_json_str(json, "grade", brisk_grade_name(grades.score.grade));
    brisk_json_str(json, "text", grades.score.text);
    brisk_json_array_begin(json, "parts");
    for (int i = 0; i < MONITOR_GRADE_PARTS; i++) {
        const brisk_grade_part *part = &grades.parts[i];
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "name", part->name);
        brisk_json_double(json, "value", part->value);
        brisk_json_double(json, "points", brisk_grade_points(&part->scale, part->value));
        brisk_json_str(json, "grade", brisk_grade_name(brisk_grade_of(&part->scale, part->value)));
        brisk_json_double(json, "weight", part->weight);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}

static void json_server(brisk_json *json, const monitor_server *s)
{
    brisk_json_object_begin(json, "server");
    brisk_json_bool(json, "wanted", s->wanted);
    if (s->wanted) {
        brisk_json_str(json, "address", s->address_text);
        brisk_json_bool(json, "up", s->up);
        brisk_json_str(json, "error", s->error);
        brisk_json_str(json, "name", s->name);
        brisk_json_str(json, "policy", s->policy);
        brisk_json_u64(json, "uptime_s", s->uptime_s);
        brisk_json_double(json, "entries", s->entries);
        brisk_json_double(json, "memory_max", s->memory_max);
        brisk_json_double(json, "disk_bytes", s->disk_bytes);
        brisk_json_double(json, "disk_max", s->disk_max);
        brisk_json_double(json, "total_hit_rate", s->total_hit_rate);
    }
    brisk_json_object_end(json);
}

static void json_run(brisk_json *json, const monitor_past *p)
{
    const monitor_run *run = &p->run;
    if (run->id == 0) {
        brisk_json_null(json, "run");
        return;
    }
    brisk_json_object_begin(json, "run");
    brisk_json_u64(json, "id", run->id);
    brisk_json_u64(json, "wall_ns", run->wall_ns);
    brisk_json_u64(json, "duration_ns", run->duration_ns);
    brisk_json_str(json, "workload", run->workload);
    brisk_json_str(json, "command", run->command);
    brisk_json_str(json, "outcome", run->outcome);
    brisk_json_str(json, "answered_by", run->answered_by);
    brisk_json_u64(json, "workers", run->workers);
    brisk_json_double(json, "efficiency", run->efficiency);
    brisk_json_array_begin(json, "stages");
    for (uint32_t i = 0; i < run->stage_count; i++) {
        const monitor_stage *stage = &run->stages[i];
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "name", stage->name);
        brisk_json_str(json, "outcome", stage->outcome);
        brisk_json_u64(json, "start_ns", stage->start_ns);
        brisk_json_u64(json, "duration_ns", stage->duration_ns);
        brisk_json_u64(json, "wait_ns", stage->wait_ns);
        brisk_json_i64(json, "worker", stage->worker);
        brisk_json_bool(json, "critical", stage->critical);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}

static void json_past(brisk_json *json, const monitor_past *p)
{
    json_run(json, p);
    brisk_json_object_begin(json, "runs");
    brisk_json_u64(json, "memory", p->by_memory);
    brisk_json_u64(json, "disk", p->by_disk);
    brisk_json_u64(json, "shared", p->by_shared);
    brisk_json_u64(json, "computed", p->computed);
    brisk_json_u64(json, "failed", p->failed);
    brisk_json_object_end(json);
    brisk_json_array_begin(json, "alerts");
    for (uint32_t i = 0; i < p->alert_count; i++) {
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "budget", p->alerts[i].budget);
        brisk_json_str(json, "metric", p->alerts[i].metric);
        brisk_json_str(json, "severity", p->alerts[i].severity);
        brisk_json_str(json, "state", p->alerts[i].firing ? "firing" : "resolved");
        brisk_json_double(json, "value", p->alerts[i].value);
        brisk_json_double(json, "limit", p->alerts[i].limit);
        brisk_json_u64(json, "wall_ns", p->alerts[i].wall_ns);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    brisk_json_array_begin(json, "opportunities");
    for (uint32_t i = 0; i < p->opportunity_count; i++) {
        const monitor_opportunity *o = &p->opportunities[i];
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "category", o->category);
        brisk_json_str(json, "priority", o->priority);
        brisk_json_double(json, "gain", o->gain);
        brisk_json_double(json, "gain_low", o->gain_low);
        brisk_json_double(json, "gain_high", o->gain_high);
        brisk_json_double(json, "confidence", o->confidence);
        brisk_json_str(json, "description", o->description);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    brisk_json_str(json, "history_error", p->error);
}

static void json_budgets(brisk_json *json, const monitor_promises *p)
{
    brisk_json_array_begin(json, "budgets");
    for (uint32_t i = 0; i < monitor_promises_count(p); i++) {
        brisk_budget_status status;
        monitor_promises_read(p, i, &status);
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "name", status.budget->name);
        brisk_json_str(json, "level", brisk_budget_level_name(status.last.level));
        brisk_json_str(json, "state", brisk_alert_state_name(status.state));
        brisk_json_bool(json, "on_target", status.last.on_target);
        brisk_json_double(json, "value", status.last.value);
        brisk_json_double(json, "limit", status.last.limit);
        brisk_json_double(json, "target", status.budget->target);
        brisk_json_str(json, "text", status.last.text);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

static brisk_err write_json(brisk_out out, const monitor *m, uint32_t indent)
{
    brisk_json json;
    brisk_json_init(&json, out, indent);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "wall_ns", m->wall_ns);
    brisk_json_str(&json, "host", m->host);
    brisk_json_u64(&json, "interval_ns", m->interval_ns);
    json_figures(&json, &m->numbers);
    json_grade(&json, m);
    json_server(&json, &m->server);
    json_budgets(&json, &m->promises);
    json_past(&json, &m->past);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

brisk_err monitor_print_json(FILE *out, const monitor *m, uint32_t indent)
{
    return write_json(brisk_out_file(out), m, indent);
}

/* --- reports ------------------------------------------------------------------------------ */

static void write_period(brisk_str *text, const monitor *m, uint64_t period_ns)
{
    char when[64] = "";
    struct tm tm;
    time_t seconds = (time_t)(m->wall_ns / 1000000000);
    if (localtime_r(&seconds, &tm) != NULL) {
        (void)strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S %z", &tm);
    }
    brisk_str_printf(text, "%s  %s  the last %.0f s\n", when, m->host, (double)period_ns / 1e9);
    brisk_str_printf(text, "  %-15s %12s %12s %12s %8s\n", "", "mean", "least", "most", "rounds");
    for (int i = 0; i < FIGURE_COUNT; i++) {
        const monitor_period *period = &m->numbers.period[i];
        monitor_unit unit = monitor_figures[i].unit;
        char mean[MONITOR_TEXT_MAX];
        char least[MONITOR_TEXT_MAX];
        char most[MONITOR_TEXT_MAX];
        if (period->count > 0) {
            brisk_str_printf(text, "  %-15s %12s %12s %12s %8" PRIu64 "\n",
                             monitor_figures[i].label,
                             monitor_format(mean, unit, period->sum / (double)period->count),
                             monitor_format(least, unit, period->least),
                             monitor_format(most, unit, period->most), period->count);
        }
    }
    monitor_grades grades;
    monitor_grade(m, &grades);
    brisk_str_printf(text, "  grade at the end: %s\n", grades.score.text);
    if (m->server.wanted && !m->server.up) {
        brisk_str_printf(text, "  server %s: down: %s\n", m->server.address_text, m->server.error);
    }
    for (uint32_t i = 0; i < m->past.alert_count && m->past.alerts[i].firing; i++) {
        const monitor_alert *alert = &m->past.alerts[i];
        brisk_str_printf(text, "  FIRING %s %s: %.4g, limit %.4g\n", alert->severity, alert->budget,
                         alert->value, alert->limit);
    }
    brisk_str_add(text, "\n");
}

brisk_err monitor_report(const char *path, const monitor *m, uint64_t period_ns,
                         brisk_errinfo *info)
{
    brisk_str text;
    size_t length = strlen(path);
    bool json = length > 5 && strcmp(path + length - 5, ".json") == 0;
    json = json || (length > 6 && strcmp(path + length - 6, ".jsonl") == 0);
    brisk_str_init(&text, NULL, REPORT_BYTES_MAX);
    if (json) {
        brisk_err ignored = write_json(brisk_str_out(&text), m, 0);
        (void)ignored; /* the text keeps its error */
    } else {
        write_period(&text, m, period_ns);
    }
    brisk_err err = brisk_str_err(&text);
    if (err != BRISK_OK) {
        brisk_str_deinit(&text);
        return brisk_errinfo_set(info, err, "%s: %s", path, brisk_err_message(err));
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) {
        err = brisk_errinfo_set_errno(info, errno, "%s", path);
    } else {
        err = brisk_file_write_all(fd, brisk_str_text(&text), brisk_str_size(&text));
        if (err != BRISK_OK) {
            (void)brisk_errinfo_set(info, err, "%s: %s", path, brisk_err_message(err));
        }
        (void)close(fd);
    }
    brisk_str_deinit(&text);
    return err;
}
