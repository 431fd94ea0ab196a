/*
 * panels.c -- the dashboard: header, panels of what is now, the layout, the help.
 *
 *     80 x 24                                   larger: the same rows, with room for more
 *     ┌ header ──────────────────────────────┐
 *     │ server           │ machine, process  │  6 rows
 *     │ newest run                           │  6 rows and half of what is left over
 *     │ trends           │ targets           │  5 rows and a quarter
 *     │ budgets, alerts  │ opportunities     │  5 rows and a quarter
 *     └ keys ────────────────────────────────┘
 *
 * Whatever has a colour says the same in words or by its place: colours are an aid only.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "observe/monitor/monitor.h"

enum { LINE_BYTES = 1024, SERVER_ROWS = 6, RUN_ROWS = 6, TREND_ROWS = 5, ALERT_ROWS = 5, GAP = 2 };

void panel_title(const panel *p, const char *title, const char *more)
{
    screen *s = p->screen;
    for (uint32_t x = 0; x < p->width; x++) {
        screen_put(s, p->x + x, p->y, s->ascii ? '-' : 0x2500, STYLE_DIM);
    }
    if (p->width < 6) {
        return;
    }
    char text[LINE_BYTES];
    (void)snprintf(text, sizeof text, " %s ", title);
    uint32_t used =
        2 + screen_text(s, (screen_line){p->x + 2, p->y, p->width - 2}, STYLE_TITLE, text);
    if (more != NULL && more[0] != '\0' && used < p->width) {
        (void)snprintf(text, sizeof text, "%s ", more);
        (void)screen_text(s, (screen_line){p->x + used, p->y, p->width - used}, STYLE_DIM, text);
    }
}

void panel_line(const panel *p, uint32_t row, screen_style style, const char *format, ...)
{
    char text[LINE_BYTES];
    if (row + 1 >= p->height) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)screen_text(p->screen, (screen_line){p->x, p->y + 1 + row, p->width}, style, text);
}

void panel_bar(const panel *p, uint32_t row, uint32_t x, uint32_t width, double share)
{
    if (row + 1 >= p->height || isnan(share) || x >= p->width) {
        return;
    }
    width = width < p->width - x ? width : p->width - x;
    share = fmin(fmax(share, 0), 1);
    double full = share * width;
    for (uint32_t i = 0; i < width; i++) {
        double part = full - i;
        bool filled = part >= 0.5 || (i == 0 && share > 0.001);
        uint32_t code = p->screen->ascii ? (filled ? '#' : '.') : (filled ? 0x2588 : 0x2591);
        screen_put(p->screen, p->x + x + i, p->y + 1 + row, code, filled ? STYLE_BAR : STYLE_DIM);
    }
}

/* --- the server --------------------------------------------------------------------------- */

static const char *text_of(char buffer[MONITOR_TEXT_MAX], const monitor *m, monitor_figure figure)
{
    return monitor_format(buffer, monitor_figures[figure].unit, m->numbers.now[figure]);
}

static const char *format_time(char buffer[MONITOR_TEXT_MAX], uint64_t seconds)
{
    if (seconds < 120) {
        (void)snprintf(buffer, MONITOR_TEXT_MAX, "%" PRIu64 " s", seconds);
    } else if (seconds < 7200) {
        (void)snprintf(buffer, MONITOR_TEXT_MAX, "%" PRIu64 " min", seconds / 60);
    } else if (seconds < 172800) {
        (void)snprintf(buffer, MONITOR_TEXT_MAX, "%" PRIu64 " h", seconds / 3600);
    } else {
        (void)snprintf(buffer, MONITOR_TEXT_MAX, "%" PRIu64 " days", seconds / 86400);
    }
    return buffer;
}

static void server_down(const panel *p, const monitor *m)
{
    const monitor_server *s = &m->server;
    char since[MONITOR_TEXT_MAX];
    if (!s->wanted) {
        panel_title(p, "Server", "none asked");
        panel_line(p, 0, STYLE_PLAIN, "--server HOST:PORT watches one");
        return;
    }
    panel_title(p, "Server", s->address_text);
    if (s->since_ns == 0) {
        panel_line(p, 0, STYLE_DIM, "connecting ...");
        return;
    }
    panel_line(p, 0, STYLE_WARN, "DOWN: %s", s->error);
    panel_line(p, 1, STYLE_PLAIN, "for %s; asked again every second",
               format_time(since, (m->now_ns - s->since_ns) / 1000000000));
    panel_line(p, 2, STYLE_DIM, "'brisk serve' starts one at 127.0.0.1:6380");
}

static void draw_server(const panel *p, const monitor *m)
{
    const monitor_server *s = &m->server;
    char a[MONITOR_TEXT_MAX];
    char b[MONITOR_TEXT_MAX];
    char c[MONITOR_TEXT_MAX];
    char d[MONITOR_TEXT_MAX];
    if (!s->wanted || !s->up) {
        server_down(p, m);
        return;
    }
    char more[LINE_BYTES];
    (void)snprintf(more, sizeof more, "%s %s up %s", s->address_text, s->name,
                   format_time(a, s->uptime_s));
    panel_title(p, "Server", more);
    panel_line(p, 0, STYLE_PLAIN, "p50 <%s p99 <%s p99.9 <%s", text_of(a, m, FIGURE_P50),
               text_of(b, m, FIGURE_P99), text_of(c, m, FIGURE_P999));
    panel_line(p, 1, STYLE_PLAIN, "commands %s/s  round trip %s", text_of(a, m, FIGURE_THROUGHPUT),
               text_of(b, m, FIGURE_ROUND_TRIP));
    panel_line(p, 2, STYLE_PLAIN, "hits %s memory %s disk %s", text_of(a, m, FIGURE_HIT_RATE),
               text_of(b, m, FIGURE_HIT_MEMORY), text_of(c, m, FIGURE_HIT_DISK));
    panel_line(p, 3, STYLE_PLAIN, "memory   %s of %s", text_of(a, m, FIGURE_SERVER_MEMORY),
               monitor_format(b, UNIT_BYTES, s->memory_max));
    double used =
        s->memory_max > 0 ? m->numbers.now[FIGURE_SERVER_MEMORY] / s->memory_max : (double)NAN;
    if (p->width > 40) {
        panel_bar(p, 3, 32, p->width - 33, used);
    }
    panel_line(p, 4, STYLE_PLAIN, "keys     %s  clients %s  evicted %s/s",
               monitor_format(a, UNIT_COUNT, s->entries), text_of(b, m, FIGURE_CONNECTIONS),
               text_of(c, m, FIGURE_EVICTIONS));
    panel_line(p, 5, STYLE_PLAIN, "disk     %s of %s", monitor_format(a, UNIT_BYTES, s->disk_bytes),
               monitor_format(b, UNIT_BYTES, s->disk_max));
    panel_line(p, 6, STYLE_PLAIN, "since its start: hits %s; policy %s",
               monitor_format(d, UNIT_SHARE, s->total_hit_rate),
               s->policy[0] != '\0' ? s->policy : "-");
}

/* --- machine and process ------------------------------------------------------------------ */

static void draw_process(const panel *p, uint32_t row, const monitor *m)
{
    const monitor_machine *machine = &m->machine;
    char a[MONITOR_TEXT_MAX];
    char b[MONITOR_TEXT_MAX];
    if (machine->pid == 0) {
        return;
    }
    if (machine->process_gone) {
        panel_line(p, row, STYLE_WARN, "process  %u: GONE", machine->pid);
    } else if (machine->process_known) {
        char name[BRISK_MACHINE_NAME_MAX];
        (void)snprintf(name, sizeof name, "%s", machine->process.name);
        panel_line(p, row, STYLE_PLAIN, "process  %.10s %u: %s, %s, %u thr", name, machine->pid,
                   text_of(a, m, FIGURE_PROCESS_CPU), text_of(b, m, FIGURE_PROCESS_MEMORY),
                   machine->process.threads);
    }
}

static void draw_machine(const panel *p, const monitor *m)
{
    const monitor_machine *machine = &m->machine;
    const brisk_machine *now = &machine->now;
    char a[MONITOR_TEXT_MAX];
    char b[MONITOR_TEXT_MAX];
    char c[MONITOR_TEXT_MAX];
    char more[LINE_BYTES];
    (void)snprintf(more, sizeof more, "%s, %u processors", m->host, now->cpu.processors);
    panel_title(p, "Machine", machine->known ? more : "not known");
    panel_line(p, 0, STYLE_PLAIN, "cpu      %s", text_of(a, m, FIGURE_CPU));
    if (p->width > 30) {
        panel_bar(p, 0, 17, p->width - 18, m->numbers.now[FIGURE_CPU]);
    }
    panel_line(p, 1, STYLE_PLAIN, "  user %s  system %s  steal %s",
               monitor_format(a, UNIT_SHARE, machine->has_before ? machine->user : (double)NAN),
               monitor_format(b, UNIT_SHARE, machine->has_before ? machine->system : (double)NAN),
               monitor_format(c, UNIT_SHARE, machine->has_before ? machine->steal : (double)NAN));
    panel_line(p, 2, STYLE_PLAIN, "memory   %s", text_of(a, m, FIGURE_MEMORY));
    if (p->width > 30) {
        panel_bar(p, 2, 17, p->width - 18, m->numbers.now[FIGURE_MEMORY]);
    }
    panel_line(p, 3, STYLE_PLAIN, "load     %.2f %.2f %.2f  waiting %s", now->load1, now->load5,
               now->load15, text_of(a, m, FIGURE_PRESSURE));
    bool process = machine->pid != 0;
    if (process) {
        draw_process(p, 4, m);
    }
    panel_line(p, process ? 5 : 4, STYLE_PLAIN, "disk     read %s, written %s",
               text_of(a, m, FIGURE_DISK_READ), text_of(b, m, FIGURE_DISK_WRITE));
    panel_line(p, process ? 6 : 5, STYLE_PLAIN, "net      %s in, %s out",
               text_of(a, m, FIGURE_NET_IN), text_of(b, m, FIGURE_NET_OUT));
}

/* --- header, keys, help ------------------------------------------------------------------- */

static void draw_header(screen *s, const monitor *m, bool paused)
{
    char clock[MONITOR_TEXT_MAX] = "";
    char interval[MONITOR_TEXT_MAX];
    char text[LINE_BYTES];
    struct tm tm;
    time_t seconds = (time_t)(m->wall_ns / 1000000000);
    if (localtime_r(&seconds, &tm) != NULL) {
        (void)strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    }
    char grade[64] = "";
    monitor_grades grades;
    monitor_grade(m, &grades);
    if (!isnan(grades.score.points)) {
        (void)snprintf(grade, sizeof grade, "  %.0f %s", grades.score.points,
                       brisk_grade_name(grades.score.grade));
    }
    (void)snprintf(text, sizeof text, "brisk monitor  %s  %s  every %s%s%s", m->host, clock,
                   monitor_format(interval, UNIT_NS, (double)m->interval_ns), grade,
                   paused ? "  PAUSED" : "");
    (void)screen_text(s, (screen_line){0, 0, s->width}, STYLE_BOLD, text);
    if (m->past.firing_count > 0 && s->width > 24) {
        (void)snprintf(text, sizeof text, " %u alert%s FIRING ", m->past.firing_count,
                       m->past.firing_count == 1 ? "" : "s");
        uint32_t size = (uint32_t)strlen(text);
        (void)screen_text(s, (screen_line){s->width - size, 0, size}, STYLE_BAD, text);
    }
}

static void draw_keys(screen *s, monitor_view view)
{
    static const char *const keys[] = {"1 all",           "2 run",   "3 trends", "4 alerts",
                                       "5 opportunities", "p pause", "? help",   "q quit"};
    uint32_t x = 0;
    while (x < s->width && s->height > 1) { /* a small screen has a panel's line below them */
        screen_put(s, x++, s->height - 1, ' ', STYLE_PLAIN);
    }
    x = 0;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && s->height > 1; i++) {
        bool here = i < 5 ? (size_t)view == i : i == 6 && view == VIEW_HELP;
        x += screen_text(s,
                         (screen_line){x, s->height - 1, s->width - (x < s->width ? x : s->width)},
                         here ? STYLE_KEY : STYLE_DIM, keys[i]);
        x += 1;
        x += i + 1 < sizeof keys / sizeof keys[0] && x < s->width
                 ? screen_text(s, (screen_line){x - 1, s->height - 1, 1}, STYLE_PLAIN, " ")
                 : 0;
    }
}

static void draw_help(const panel *p, const monitor *m)
{
    static const char *const lines[] = {
        "1         everything on one screen",
        "2 3 4 5   one panel on the whole screen; Tab goes round",
        "p         pause: what is shown stays, what is measured goes on",
        "+ -       ask more or less often",
        "r         draw the screen anew",
        "?, h      this page, and back",
        "q         quit (so does Ctrl-C; Ctrl-Z suspends)",
        "",
        "p50 p99   how long the server's commands took since the last round, from its own",
        "          buckets (powers of 2 us): '<' says that it was less",
        "hits      of the lookups since the last round; by tier: of those that reached it",
        "*         on the critical path; a shaded bar is the wait for a worker",
        "parallel  work of the newest run's stages by time and workers",
        "-         not known, or nothing happened",
        "FIRING    a budget's alert; !! beside a target that is missed",
        "93 good   points of 100 and a grade, now made of:",
    };
    panel_title(p, "Help", "");
    for (uint32_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        panel_line(p, i, STYLE_PLAIN, "%s", lines[i]);
    }
    monitor_grades grades;
    monitor_grade(m, &grades);
    uint32_t row = sizeof lines / sizeof lines[0];
    for (size_t at = 0; at < strlen(grades.score.text); row++) {
        size_t width = p->width > 20 ? p->width - 10 : 10;
        panel_line(p, row, STYLE_PLAIN, "          %.*s", (int)width, grades.score.text + at);
        at += width;
    }
}

/* --- layout ------------------------------------------------------------------------------- */

typedef void (*draw_panel)(const panel *p, const monitor *m);

static void draw_pair(screen *s, uint32_t y, uint32_t height, const monitor *m,
                      const draw_panel draw[2])
{
    uint32_t half = s->width / 2;
    draw[0](&(panel){s, 0, y, half > GAP ? half - GAP / 2 : s->width, height}, m);
    if (half > GAP) {
        draw[1](&(panel){s, half + GAP / 2, y, s->width - half - GAP / 2, height}, m);
    }
}

static void draw_overview(screen *s, const monitor *m)
{
    static const draw_panel now[2] = {draw_server, draw_machine};
    static const draw_panel trends[2] = {panel_trends, panel_targets};
    static const draw_panel alerts[2] = {panel_alerts, panel_opportunities};
    uint32_t rows = s->height > 2 ? s->height - 2 : 0;
    uint32_t least = SERVER_ROWS + RUN_ROWS + TREND_ROWS + ALERT_ROWS;
    uint32_t more = rows > least ? rows - least : 0;
    uint32_t for_now = more < 2 ? more : 2; /* lines that do not fit into 24 rows */
    more -= for_now;
    uint32_t quarter = more / 4;
    uint32_t y = 1;
    draw_pair(s, y, SERVER_ROWS + for_now, m, now);
    y += SERVER_ROWS + for_now;
    uint32_t run = RUN_ROWS + more - 2 * quarter;
    panel_waterfall(&(panel){s, 0, y, s->width, run}, m);
    y += run;
    draw_pair(s, y, TREND_ROWS + quarter, m, trends);
    y += TREND_ROWS + quarter;
    draw_pair(s, y, ALERT_ROWS + quarter, m, alerts);
}

void monitor_draw(screen *s, const monitor *m, monitor_view view, bool paused)
{
    screen_clear(s);
    draw_header(s, m, paused);
    panel whole = {s, 0, 1, s->width, s->height > 2 ? s->height - 2 : 0};
    switch (view) {
    case VIEW_STAGES: panel_waterfall(&whole, m); break;
    case VIEW_TRENDS: panel_trends(&whole, m); break;
    case VIEW_ALERTS: panel_alerts(&whole, m); break;
    case VIEW_OPPORTUNITIES: panel_opportunities(&whole, m); break;
    case VIEW_HELP: draw_help(&whole, m); break;
    case VIEW_OVERVIEW:
    case VIEW_COUNT: draw_overview(s, m); break;
    }
    if (view != VIEW_COUNT) {
        draw_keys(s, view);
    }
}
