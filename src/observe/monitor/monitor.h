/*
 * monitor.h -- the parts of `brisk monitor`:
 *
 *     machine.c  this machine, a process ─┐
 *     server.c   a server's answers      ─┼─► figures.c: now, series, period ─┬─► panels.c ─► screen.c ─► terminal.c
 *     past.c     runs, alerts ...        ─┘                                  └─► report.c: text, JSON, minute reports
 *
 *     promises.c holds budgets against the figures
 *
 * Every figure has a number (monitor_figure): trends, targets, reports and JSON go through one table.  What is not
 * known is NaN, and is shown as "-", never as 0.
 *
 * Threads: one.  Nothing blocks but the wait for the next round: the server is asked without waiting for it.
 */
#ifndef BRISK_SRC_OBSERVE_MONITOR_MONITOR_H
#define BRISK_SRC_OBSERVE_MONITOR_MONITOR_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <termios.h>

#include <brisk/budget.h>
#include <brisk/command.h>
#include <brisk/err.h>
#include <brisk/grade.h>
#include <brisk/history.h>
#include <brisk/json.h>
#include <brisk/machine.h>

#include "base/str.h"
#include "wire/resp.h"

/* --- figures.c ---------------------------------------------------------------------------- */

typedef enum monitor_figure {
    FIGURE_CPU,
    FIGURE_MEMORY,
    FIGURE_DISK_READ,
    FIGURE_DISK_WRITE,
    FIGURE_NET_IN,
    FIGURE_NET_OUT,
    FIGURE_PRESSURE,
    FIGURE_PROCESS_CPU,
    FIGURE_PROCESS_MEMORY,
    FIGURE_THROUGHPUT,
    FIGURE_P50,
    FIGURE_P99,
    FIGURE_P999,
    FIGURE_ROUND_TRIP,
    FIGURE_HIT_RATE,
    FIGURE_HIT_MEMORY,
    FIGURE_HIT_DISK,
    FIGURE_SERVER_MEMORY,
    FIGURE_CONNECTIONS,
    FIGURE_EVICTIONS,
    FIGURE_ERRORS,
    FIGURE_RUN_TIME,
    FIGURE_EFFICIENCY,
    FIGURE_COUNT,
} monitor_figure;

typedef enum monitor_unit {
    UNIT_SHARE,
    UNIT_NS,
    UNIT_BYTES,
    UNIT_BYTES_RATE,
    UNIT_RATE,
    UNIT_COUNT,
} monitor_unit;

enum {
    MONITOR_POINTS = 240,
    MONITOR_TEXT_MAX = 32,
    MONITOR_TARGETS_MAX = 16,
};

typedef struct monitor_figure_info {
    const char *name; /* as in --target and JSON */
    const char *label;
    monitor_unit unit;
    bool less_is_better;
} monitor_figure_info;

extern const monitor_figure_info monitor_figures[FIGURE_COUNT];

/* The newest MONITOR_POINTS values, NaN where nothing was known. */
typedef struct monitor_series {
    double values[MONITOR_POINTS];
    uint32_t count;
    uint32_t next;
} monitor_series;

/* Since the last report. */
typedef struct monitor_period {
    uint64_t count;
    double sum;
    double least;
    double most;
} monitor_period;

typedef struct monitor_target {
    monitor_figure figure;
    double value;
    const char *source; /* "--target", "server" */
} monitor_target;

typedef struct monitor_numbers {
    double now[FIGURE_COUNT];
    monitor_series series[FIGURE_COUNT];
    monitor_period period[FIGURE_COUNT];
    monitor_target targets[MONITOR_TARGETS_MAX];
    uint32_t target_count;
} monitor_numbers;

void monitor_numbers_init(monitor_numbers *n);
/* Forget what is known now, before the sources say it anew. */
void monitor_numbers_begin(monitor_numbers *n);
/* One round is complete. */
void monitor_numbers_end(monitor_numbers *n);
void monitor_period_reset(monitor_numbers *n);
/* The `back`-th newest value, 0 the newest; NaN: none. */
double monitor_series_at(const monitor_series *series, uint32_t back);
/* "p99=10ms", "hit_rate=95%".  Errors: INVALID (with words), LIMIT. */
BRISK_NODISCARD brisk_err monitor_target_parse(monitor_numbers *n, const char *text,
                                               brisk_errinfo *info);
/* 0 .. 1: how much of the way is done; 1 when it is met; NaN when it is not known. */
double monitor_target_progress(const monitor_numbers *n, const monitor_target *target);
/* "12.3 ms", "95.1 %", "-". */
const char *monitor_format(char buffer[MONITOR_TEXT_MAX], monitor_unit unit, double value);

/* --- machine.c ---------------------------------------------------------------------------- */

typedef struct monitor_machine {
    const char *root; /* before "/proc"; NULL: nothing */
    brisk_machine now;
    brisk_machine before;
    bool known;
    bool has_before;
    uint32_t pid; /* 0: no process is watched */
    brisk_process process;
    brisk_process process_before;
    uint64_t process_ns;
    uint64_t process_before_ns;
    bool process_known;
    bool process_gone;
    double user; /* shares of all processors */
    double system;
    double iowait;
    double steal;
} monitor_machine;

void monitor_machine_read(monitor_machine *m, monitor_numbers *n);

/* --- server.c, answers.c ------------------------------------------------------------------ */

enum {
    MONITOR_NAME_MAX = 64,
    MONITOR_ANSWER_MAX = 4 << 20,
    MONITOR_BUCKETS = 33,
    MONITOR_ANSWERS = 3,
};

/* Totals of one answer; rates come from two. */
typedef struct monitor_totals {
    bool known;
    uint64_t at_ns;
    double memory; /* NaN: not told */
    double connections;
    bool has_commands;
    uint64_t commands;
    uint64_t evictions;
    bool has_errors;
    uint64_t errors;
    uint64_t own_errors; /* our questions that it does not know; in the next answer's `errors` */
    uint64_t hits;
    uint64_t misses;
    bool has_memory;
    uint64_t memory_hits;
    uint64_t memory_misses;
    bool has_disk;
    uint64_t disk_hits;
    uint64_t disk_misses;
    bool has_latency;
    uint64_t latency[MONITOR_BUCKETS]; /* calls that took up to 2^i us, each in one bucket */
} monitor_totals;

typedef struct monitor_server {
    bool wanted;
    char address_text[280];
    struct sockaddr_storage address;
    socklen_t address_size;
    char password[512];
    int fd; /* -1: not connected */
    bool connecting;
    bool asked;      /* answers are under way */
    uint32_t answer; /* which one comes next */
    uint64_t asked_ns;
    uint64_t retry_ns;
    bool up;           /* the last question was answered */
    uint64_t since_ns; /* when it came or went */
    char error[128];
    BRISK_VEC(unsigned char) in;
    resp_replies replies;
    resp_writer out;
    size_t written;
    /* what it said */
    char name[MONITOR_NAME_MAX]; /* "brisk 0.1.0", "Redis 7.0.15" */
    char policy[MONITOR_NAME_MAX];
    uint64_t uptime_s;
    uint64_t pid;
    double entries;
    double memory_max;
    double disk_bytes;
    double disk_max;
    double target_rate; /* 0: none */
    double round_trip_ns;
    double total_hit_rate; /* since it started */
    monitor_totals next;
    monitor_totals now;
    monitor_totals before;
} monitor_server;

/* Errors with `info`: INVALID, NOT_FOUND. */
BRISK_NODISCARD brisk_err monitor_server_init(monitor_server *s, const char *address,
                                              brisk_errinfo *info);
void monitor_server_deinit(monitor_server *s);
/* A new round: ask, connect again, give up what takes too long. */
void monitor_server_round(monitor_server *s, uint64_t now_ns);
/* Events to poll for; 0: none. */
short monitor_server_events(const monitor_server *s);
void monitor_server_event(monitor_server *s, short events, uint64_t now_ns);
/* The figures of the last two answers. */
void monitor_server_figures(const monitor_server *s, monitor_numbers *n);

/* Take the answer to question `which` into s->next. */
void monitor_answer_take(monitor_server *s, uint32_t which, const resp_replies *replies);
/* All three came. */
void monitor_answers_end(monitor_server *s, uint64_t now_ns);
/* The upper edge of the bucket with quantile `q` of what was counted between two answers, ns; NaN: nothing. */
double monitor_latency_quantile(const monitor_totals *now, const monitor_totals *before, double q);

/* --- past.c ------------------------------------------------------------------------------- */

enum {
    MONITOR_STAGES_MAX = 48,
    MONITOR_ROWS_MAX = 16,
    MONITOR_LINES_MAX = 8,
    MONITOR_LINE_POINTS = 60
};

typedef struct monitor_stage {
    char name[MONITOR_NAME_MAX];
    char outcome[MONITOR_TEXT_MAX];
    uint64_t start_ns;
    uint64_t duration_ns;
    uint64_t wait_ns;
    int64_t worker;
    bool critical;
} monitor_stage;

typedef struct monitor_run {
    uint64_t id; /* 0: there is none */
    uint64_t wall_ns;
    uint64_t duration_ns;
    char workload[MONITOR_NAME_MAX];
    char command[160];
    char outcome[MONITOR_TEXT_MAX];
    char answered_by[MONITOR_TEXT_MAX];
    monitor_stage stages[MONITOR_STAGES_MAX];
    uint32_t stage_count; /* shown */
    uint32_t stage_total;
    uint32_t workers;
    double efficiency; /* work by time and workers */
} monitor_run;

typedef struct monitor_alert {
    char budget[MONITOR_NAME_MAX];
    char metric[MONITOR_NAME_MAX];
    char severity[MONITOR_TEXT_MAX];
    bool firing;
    double value;
    double limit;
    uint64_t wall_ns;
} monitor_alert;

typedef struct monitor_opportunity {
    char description[240];
    char category[MONITOR_TEXT_MAX];
    char priority[MONITOR_TEXT_MAX];
    double gain;
    double gain_low;
    double gain_high;
    double confidence;
} monitor_opportunity;

/* A benchmark over time, oldest first. */
typedef struct monitor_line {
    char name[MONITOR_NAME_MAX];
    char metric[MONITOR_TEXT_MAX];
    char unit[MONITOR_TEXT_MAX];
    double values[MONITOR_LINE_POINTS];
    uint32_t count;
} monitor_line;

typedef struct monitor_past {
    const char *path;    /* NULL: the usual one */
    uint64_t wanted_run; /* 0: the newest */
    uint64_t retry_ns;
    char found[512];     /* its path */
    char signature[128]; /* of the files, so that nothing is read when nothing changed */
    char error[160];     /* why there is no history */
    monitor_run run;
    uint32_t by_memory; /* of the newest runs */
    uint32_t by_disk;
    uint32_t by_shared;
    uint32_t computed;
    uint32_t failed;
    double
        run_times[MONITOR_LINE_POINTS]; /* of the newest run's command's workload, oldest first */
    uint32_t run_time_count;
    monitor_alert alerts[MONITOR_ROWS_MAX]; /* the newest state of each budget, firing first */
    uint32_t alert_count;
    uint32_t firing_count;
    monitor_opportunity opportunities[MONITOR_ROWS_MAX];
    uint32_t opportunity_count;
    monitor_line lines[MONITOR_LINES_MAX];
    uint32_t line_count;
} monitor_past;

/* Look whether something is new. */
void monitor_past_round(monitor_past *p, monitor_numbers *n, uint64_t now_ns);

/* --- promises.c ---------------------------------------------------------------------------- */

typedef struct monitor_promises {
    brisk_budgets *budgets;
    brisk_metrics *metrics;
    brisk_budget_watch *watch; /* NULL: no budgets */
    brisk_gauge *gauges[FIGURE_COUNT];
} monitor_promises;

/* Errors with `info`: those of brisk_budgets_load, NOMEM. */
BRISK_NODISCARD brisk_err monitor_promises_open(monitor_promises *p, const char *path,
                                                brisk_errinfo *info);
void monitor_promises_close(monitor_promises *p);
void monitor_promises_round(monitor_promises *p, const monitor_numbers *n);
uint32_t monitor_promises_count(const monitor_promises *p);
void monitor_promises_read(const monitor_promises *p, uint32_t index, brisk_budget_status *ret);

/* --- all of it ---------------------------------------------------------------------------- */

typedef struct monitor {
    monitor_numbers numbers;
    monitor_machine machine;
    monitor_server server;
    monitor_past past;
    monitor_promises promises;
    const brisk_knobs *knobs; /* limits of grades; NULL: the defaults */
    uint64_t interval_ns;
    uint64_t wall_ns;
    uint64_t now_ns;
    char host[MONITOR_NAME_MAX];
} monitor;

/* --- grades.c ------------------------------------------------------------------------------ */

enum { MONITOR_GRADE_PARTS = 5 };

typedef struct monitor_grades {
    brisk_grade_part parts[MONITOR_GRADE_PARTS];
    brisk_grade_score score;
} monitor_grades;

void monitor_grade(const monitor *m, monitor_grades *ret);

/* --- screen.c ----------------------------------------------------------------------------- */

enum { SCREEN_WIDTH_MAX = 500, SCREEN_HEIGHT_MAX = 300 };

typedef enum screen_style {
    STYLE_PLAIN,
    STYLE_DIM,
    STYLE_BOLD,
    STYLE_TITLE,
    STYLE_GOOD,
    STYLE_WARN,
    STYLE_BAD,
    STYLE_BAR,
    STYLE_LINE,
    STYLE_KEY,
} screen_style;

typedef struct screen_cell {
    uint32_t code; /* Unicode; always one column wide */
    uint8_t style;
} screen_cell;

/* Two grids: what is to be shown, and what the terminal shows. */
typedef struct screen {
    uint32_t width;
    uint32_t height;
    bool ascii;
    bool color;
    bool whole; /* the terminal's content is unknown: draw everything */
    screen_cell *cells;
    screen_cell *shown;
    size_t capacity; /* cells of each */
    const brisk_alloc *alloc;
} screen;

void screen_init(screen *s, const brisk_alloc *alloc, bool ascii, bool color);
void screen_deinit(screen *s);
/* Errors: NOMEM (as before). */
BRISK_NODISCARD brisk_err screen_resize(screen *s, uint32_t width, uint32_t height);
void screen_clear(screen *s);
/* One character; what is no printable one of one column becomes '?', what is outside is left out. */
void screen_put(screen *s, uint32_t x, uint32_t y, uint32_t code, screen_style style);
/* A piece of a row. */
typedef struct screen_line {
    uint32_t x;
    uint32_t y;
    uint32_t width;
} screen_line;

/* UTF-8, cut at `width` columns; how many were used. */
uint32_t screen_text(screen *s, screen_line line, screen_style style, const char *text);
/* What changed since the last frame, as one synchronized update. */
void screen_frame(screen *s, brisk_str *out);
/* All of it as lines without escapes; blanks at the ends and empty lines are left out. */
void screen_dump(const screen *s, brisk_str *out);

/* --- panels.c, panels_past.c -------------------------------------------------------------- */

typedef enum monitor_view {
    VIEW_OVERVIEW,
    VIEW_STAGES,
    VIEW_TRENDS,
    VIEW_ALERTS,
    VIEW_OPPORTUNITIES,
    VIEW_HELP,
    VIEW_COUNT,
} monitor_view;

typedef struct panel {
    screen *screen;
    uint32_t x;
    uint32_t y;
    uint32_t width;
    uint32_t height; /* with the title */
} panel;

/* VIEW_COUNT: everything, for paper: without keys. */
void monitor_draw(screen *s, const monitor *m, monitor_view view, bool paused);
void panel_title(const panel *p, const char *title, const char *more);
/* printf into line `row` below the title. */
void panel_line(const panel *p, uint32_t row, screen_style style, const char *format, ...)
    BRISK_PRINTF(4, 5);
/* A bar of `share` (0 .. 1) in columns x .. x + width. */
void panel_bar(const panel *p, uint32_t row, uint32_t x, uint32_t width, double share);
void panel_waterfall(const panel *p, const monitor *m);
void panel_trends(const panel *p, const monitor *m);
void panel_alerts(const panel *p, const monitor *m);
void panel_opportunities(const panel *p, const monitor *m);
void panel_targets(const panel *p, const monitor *m);

/* --- terminal.c --------------------------------------------------------------------------- */

/* Takes the terminal over, and gives it back whatever happens.  Errors: UNSUPPORTED (none), IO. */
BRISK_NODISCARD brisk_err terminal_enter(int in, int out);
void terminal_leave(void);
void terminal_size(int out, uint32_t *width, uint32_t *height);

/* Keys out of bytes as they come; others are left out. */
typedef struct terminal_keys {
    uint8_t state_;
} terminal_keys;

/* 0: nothing (yet).  Arrow keys and the like are swallowed whole. */
char terminal_key(terminal_keys *keys, char byte);

/* --- report.c ----------------------------------------------------------------------------- */

/* The overview as text, for people. */
BRISK_NODISCARD brisk_err monitor_print_text(FILE *out, const monitor *m, uint32_t width,
                                             bool ascii);
/* One object; on one line when `indent` is 0. */
BRISK_NODISCARD brisk_err monitor_print_json(FILE *out, const monitor *m, uint32_t indent);
/* Append what was in the period since the last one.  Errors with `info`. */
BRISK_NODISCARD brisk_err monitor_report(const char *path, const monitor *m, uint64_t period_ns,
                                         brisk_errinfo *info);

extern const brisk_command monitor_command;

#endif /* BRISK_SRC_OBSERVE_MONITOR_MONITOR_H */
