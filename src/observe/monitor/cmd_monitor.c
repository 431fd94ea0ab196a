/*
 * cmd_monitor.c -- `brisk monitor`: rounds, keys, signals.
 *
 * A round begins at its time: the machine is read, the server asked.  It ends when the server has answered, or
 * ROUND_WAIT_NS later, and only then is it counted and drawn.  Everything is waited for in one poll.
 *
 * Signals come through a file, so that there is no moment at which one is missed: INT, TERM, HUP end the monitor in
 * order; TSTP gives the terminal back before it stops; WINCH and CONT draw anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/file.h>
#include <brisk/node.h>

#include "base/text.h"
#include "observe/monitor/monitor.h"

enum {
    OPTION_SERVER,
    OPTION_PASSWORD_FILE,
    OPTION_PID,
    OPTION_ROOT,
    OPTION_HISTORY,
    OPTION_RUN,
    OPTION_TARGET,
    OPTION_BUDGETS,
    OPTION_INTERVAL,
    OPTION_COUNT,
    OPTION_ONCE,
    OPTION_JSON,
    OPTION_REPORT,
    OPTION_EVERY,
    OPTION_ASCII,
    OPTION_NO_COLOR,
    OPTION_NODE,
};

enum { FRAME_BYTES_MAX = 8 << 20, PASSWORD_BYTES = 512, TEXT_WIDTH = 100, KEYS_AT_ONCE = 64 };

static const uint64_t second_ns = UINT64_C(1000000000);
static const uint64_t interval_least_ns = UINT64_C(100000000);
static const uint64_t interval_most_ns = UINT64_C(3600000000000);
static const uint64_t round_wait_ns = UINT64_C(100000000);

static const brisk_option options[] = {
    [OPTION_SERVER] = {.name = "server",
                       .letter = 's',
                       .type = BRISK_OPTION_TEXT,
                       .metavar = "HOST:PORT",
                       .summary = "a brisk server, or a Redis (127.0.0.1:6380); none: no server"},
    [OPTION_NODE] = {.name = "node",
                     .type = BRISK_OPTION_TEXT,
                     .metavar = "URL",
                     .summary = "likewise, as http://HOST:PORT: a node has both at one port"},
    [OPTION_PASSWORD_FILE] = {.name = "password-file",
                              .type = BRISK_OPTION_FILE,
                              .metavar = "FILE",
                              .summary = "the server's password is its first line"},
    [OPTION_PID] = {.name = "pid",
                    .letter = 'p',
                    .type = BRISK_OPTION_U64,
                    .metavar = "PID",
                    .summary = "watch this process, too"},
    [OPTION_ROOT] = {.name = "root",
                     .type = BRISK_OPTION_FILE,
                     .metavar = "FOLDER",
                     .summary = "the machine is what FOLDER/proc says (a container's host)"},
    [OPTION_HISTORY] = {.name = "history",
                        .type = BRISK_OPTION_FILE,
                        .metavar = "FILE",
                        .summary = "another database of runs, alerts and opportunities"},
    [OPTION_RUN] = {.name = "run",
                    .type = BRISK_OPTION_U64,
                    .metavar = "ID",
                    .summary = "show this run of the history, not the newest"},
    [OPTION_TARGET] = {.name = "target",
                       .letter = 't',
                       .type = BRISK_OPTION_LIST,
                       .metavar = "NAME=VALUE",
                       .summary =
                           "show the progress to it: p99=10ms, hit_rate=95%, throughput=20000"},
    [OPTION_BUDGETS] = {.name = "budgets",
                        .letter = 'b',
                        .type = BRISK_OPTION_FILE,
                        .metavar = "FILE",
                        .summary =
                            "hold these budgets against machine.* and monitor.* (p99, cpu ...)"},
    [OPTION_INTERVAL] = {.name = "interval",
                         .letter = 'i',
                         .type = BRISK_OPTION_DURATION,
                         .metavar = "TIME",
                         .summary = "between two rounds (1s)"},
    [OPTION_COUNT] = {.name = "count",
                      .letter = 'n',
                      .type = BRISK_OPTION_U64,
                      .metavar = "N",
                      .summary = "end after N rounds"},
    [OPTION_ONCE] = {.name = "once",
                     .summary = "print everything as text, once, after one interval"},
    [OPTION_JSON] = {.name = "json", .summary = "likewise as one JSON object"},
    [OPTION_REPORT] = {.name = "report",
                       .letter = 'r',
                       .type = BRISK_OPTION_FILE,
                       .metavar = "FILE",
                       .summary = "append a report of each period (JSON lines for .json, .jsonl)"},
    [OPTION_EVERY] = {.name = "every",
                      .type = BRISK_OPTION_DURATION,
                      .metavar = "TIME",
                      .summary = "the period of reports (60s)"},
    [OPTION_ASCII] = {.name = "ascii", .summary = "draw with ASCII only (else as the locale says)"},
    [OPTION_NO_COLOR] = {.name = "no-color", .summary = "no colours (as with NO_COLOR set)"},
};

typedef struct work {
    const brisk_invocation *in;
    monitor m;
    screen screen;
    brisk_str frame;
    terminal_keys keys;
    monitor_view view;
    monitor_view before_help;
    bool live; /* on a terminal */
    bool paused;
    bool open; /* a round is under way */
    bool done;
    int tty_in;
    int tty_out;
    int signals;
    sigset_t mask_before;
    bool mask_set;
    uint64_t round_ns; /* when the round began */
    uint64_t next_ns;
    uint64_t report_ns; /* when the period began */
    uint64_t every_ns;
    uint64_t rounds;
    uint64_t rounds_max;
    const char *report;
    brisk_errinfo info; /* why it ended */
    brisk_err err;
} work;

static bool is_set(const work *w, int option)
{
    return w->in->values[option].set;
}

/* --- drawing ------------------------------------------------------------------------------ */

static void draw(work *w)
{
    if (!w->live) {
        return;
    }
    monitor_draw(&w->screen, &w->m, w->view, w->paused);
    brisk_str_cut(&w->frame, 0);
    screen_frame(&w->screen, &w->frame);
    w->err = brisk_str_err(&w->frame);
    if (w->err == BRISK_OK) {
        w->err =
            brisk_file_write_all(w->tty_out, brisk_str_text(&w->frame), brisk_str_size(&w->frame));
    }
    if (w->err != BRISK_OK) {
        (void)brisk_errinfo_set(&w->info, w->err, "the terminal: %s", brisk_err_message(w->err));
        w->done = true;
    }
}

static void resize(work *w)
{
    uint32_t width;
    uint32_t height;
    terminal_size(w->tty_out, &width, &height);
    w->err = screen_resize(&w->screen, width, height);
    if (w->err != BRISK_OK) {
        (void)brisk_errinfo_set(&w->info, w->err, "%s", brisk_err_message(w->err));
        w->done = true;
        return;
    }
    draw(w);
}

/* --- rounds ------------------------------------------------------------------------------- */

static void begin_round(work *w)
{
    monitor *m = &w->m;
    w->open = true;
    w->round_ns = m->now_ns;
    w->next_ns += m->interval_ns;
    if (w->next_ns <= m->now_ns) { /* we were suspended, or too slow */
        w->next_ns = m->now_ns + m->interval_ns;
    }
    monitor_numbers_begin(&m->numbers);
    monitor_machine_read(&m->machine, &m->numbers);
    monitor_server_round(&m->server, m->now_ns);
}

/* The server may have a goal of its own. */
static void take_server_target(monitor *m)
{
    monitor_numbers *n = &m->numbers;
    if (!m->server.up || !(m->server.target_rate > 0) || m->server.target_rate > 100) {
        return;
    }
    double value = m->server.target_rate / 100;
    for (uint32_t i = 0; i < n->target_count; i++) {
        if (strcmp(n->targets[i].source, "server") == 0) {
            n->targets[i].value = value;
            return;
        }
    }
    if (n->target_count < MONITOR_TARGETS_MAX) {
        n->targets[n->target_count++] =
            (monitor_target){.figure = FIGURE_HIT_RATE, .value = value, .source = "server"};
    }
}

static void report(work *w)
{
    monitor *m = &w->m;
    w->err = monitor_report(w->report, m, m->now_ns - w->report_ns, &w->info);
    w->done = w->done || w->err != BRISK_OK;
    w->report_ns = m->now_ns;
    monitor_period_reset(&m->numbers);
}

static void end_round(work *w)
{
    monitor *m = &w->m;
    w->open = false;
    m->wall_ns = brisk_clock_wall_ns(NULL);
    monitor_server_figures(&m->server, &m->numbers);
    take_server_target(m);
    monitor_past_round(&m->past, &m->numbers, m->now_ns);
    monitor_numbers_end(&m->numbers);
    monitor_promises_round(&m->promises, &m->numbers);
    w->rounds++;
    if (!w->paused) {
        draw(w);
    }
    if (w->report != NULL && m->now_ns - w->report_ns + m->interval_ns / 2 >= w->every_ns) {
        report(w);
    }
    w->done = w->done || w->rounds >= w->rounds_max;
}

static bool round_is_complete(const work *w)
{
    const monitor_server *s = &w->m.server;
    bool waits = s->wanted && s->fd >= 0 && (s->asked || s->connecting);
    uint64_t most = w->m.interval_ns / 2 < round_wait_ns ? w->m.interval_ns / 2 : round_wait_ns;
    return !waits || w->m.now_ns - w->round_ns >= most;
}

/* --- keys and signals --------------------------------------------------------------------- */

static void change_interval(work *w, bool longer)
{
    uint64_t next = longer ? w->m.interval_ns * 2 : w->m.interval_ns / 2;
    next = next < interval_least_ns  ? interval_least_ns
           : next > interval_most_ns ? interval_most_ns
                                     : next;
    w->m.interval_ns = next;
    w->next_ns = w->m.now_ns + next;
}

static void press(work *w, char key)
{
    if (key >= '1' && key <= '5') {
        w->view = (monitor_view)(key - '1');
    } else if (key == '\t') {
        w->view = w->view >= VIEW_OPPORTUNITIES ? VIEW_OVERVIEW : (monitor_view)(w->view + 1);
    } else if (key == '?' || key == 'h') {
        monitor_view help = w->view == VIEW_HELP ? w->before_help : VIEW_HELP;
        w->before_help = w->view;
        w->view = help;
    } else if (key == 'p') {
        w->paused = !w->paused;
    } else if (key == '+' || key == '-') {
        change_interval(w, key == '-');
    } else if (key == 'r') {
        w->screen.whole = true;
    } else if (key == 'q') {
        w->done = true;
        return;
    } else {
        return;
    }
    draw(w);
}

static void read_keys(work *w)
{
    char bytes[KEYS_AT_ONCE];
    ssize_t size = read(w->tty_in, bytes, sizeof bytes);
    if (size < 0 && errno != EAGAIN && errno != EINTR) {
        w->done = true; /* the terminal is gone */
    }
    for (ssize_t i = 0; i < size && !w->done; i++) {
        char key = terminal_key(&w->keys, bytes[i]);
        if (key != 0) {
            press(w, key);
        }
    }
}

static void enter(work *w)
{
    w->err = terminal_enter(w->tty_in, w->tty_out);
    if (w->err != BRISK_OK) {
        (void)brisk_errinfo_set(&w->info, w->err, "the terminal: %s", brisk_err_message(w->err));
        w->done = true;
    } else {
        resize(w);
    }
}

static void take_signal(work *w)
{
    struct signalfd_siginfo info;
    if (read(w->signals, &info, sizeof info) != (ssize_t)sizeof info) {
        return;
    }
    switch (info.ssi_signo) {
    case SIGWINCH:
        if (w->live) {
            resize(w);
        }
        break;
    case SIGTSTP:
        if (w->live) {
            terminal_leave();
            (void)raise(SIGSTOP); /* until somebody continues us */
            w->m.now_ns = brisk_clock_now_ns(NULL);
            enter(w);
        } else {
            (void)raise(SIGSTOP);
        }
        break;
    case SIGCONT:
        if (w->live) {
            w->screen.whole = true;
            draw(w);
        }
        break;
    default: w->done = true; break;
    }
}

static brisk_err open_signals(work *w)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP, SIGCONT};
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        (void)sigaddset(&set, wanted[i]);
    }
    w->mask_set = pthread_sigmask(SIG_BLOCK, &set, &w->mask_before) == 0;
    w->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return w->signals >= 0 ? BRISK_OK : brisk_err_from_errno(errno);
}

/* --- the loop ----------------------------------------------------------------------------- */

static int timeout_ms(const work *w)
{
    uint64_t until = w->open ? w->round_ns + round_wait_ns : w->next_ns;
    uint64_t left = until > w->m.now_ns ? until - w->m.now_ns : 0;
    return left / 1000000 + 1 < INT_MAX ? (int)((left + 999999) / 1000000) : INT_MAX;
}

static void wait_events(work *w)
{
    monitor_server *s = &w->m.server;
    struct pollfd fds[3] = {{.fd = w->signals, .events = POLLIN},
                            {.fd = w->live ? w->tty_in : -1, .events = POLLIN},
                            {.fd = s->wanted ? s->fd : -1, .events = monitor_server_events(s)}};
    int count = poll(fds, 3, timeout_ms(w));
    w->m.now_ns = brisk_clock_now_ns(NULL);
    if (count <= 0) {
        return;
    }
    if (fds[2].revents != 0) {
        monitor_server_event(s, fds[2].revents, w->m.now_ns);
    }
    if ((fds[1].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
        w->done = true; /* the terminal is gone */
    } else if (fds[1].revents != 0) {
        read_keys(w);
    }
    if (fds[0].revents != 0) {
        take_signal(w);
    }
}

static void run_rounds(work *w)
{
    w->m.now_ns = brisk_clock_now_ns(NULL);
    w->next_ns = w->m.now_ns;
    w->report_ns = w->m.now_ns;
    while (!w->done) {
        if (!w->open && w->m.now_ns >= w->next_ns) {
            begin_round(w);
        }
        if (w->open && round_is_complete(w)) {
            end_round(w);
        }
        if (!w->done) {
            wait_events(w);
        }
    }
    if (w->report != NULL && w->err == BRISK_OK && w->m.numbers.period[FIGURE_MEMORY].count > 0) {
        report(w); /* what is left of the last period */
    }
}

/* --- setting up --------------------------------------------------------------------------- */

static brisk_exit usage(const work *w, const char *words)
{
    (void)fprintf(w->in->err, "brisk: monitor: %s\n", words);
    return BRISK_EXIT_USAGE;
}

static bool is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0') {
            return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
        }
    }
    return false;
}

static brisk_err read_password(work *w)
{
    const char *path = w->in->values[OPTION_PASSWORD_FILE].text;
    char *to = w->m.server.password;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, to, PASSWORD_BYTES - 1) : -1;
    int failed = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (size < 0) {
        return brisk_errinfo_set_errno(&w->info, failed, "%s", path);
    }
    to[size] = '\0';
    to[strcspn(to, "\r\n")] = '\0';
    return BRISK_OK;
}

/* The name of the machine that is watched: of a container's host, its own. */
static void read_host(monitor *m)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/proc/sys/kernel/hostname",
                   m->machine.root != NULL ? m->machine.root : "");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, m->host, sizeof m->host - 1) : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    m->host[size > 0 ? size : 0] = '\0';
    m->host[strcspn(m->host, "\n")] = '\0';
    if (m->host[0] == '\0') {
        (void)snprintf(m->host, sizeof m->host, "this machine");
    }
    brisk_text_make_plain(m->host, strlen(m->host));
}

static brisk_err open_sources(work *w)
{
    monitor *m = &w->m;
    const char *address =
        is_set(w, OPTION_SERVER) ? w->in->values[OPTION_SERVER].text : "127.0.0.1:6380";
    char of_node[512];
    const brisk_option_list *targets = &w->in->lists[OPTION_TARGET];
    brisk_err err = BRISK_OK;
    monitor_numbers_init(&m->numbers);
    m->machine.root = w->in->values[OPTION_ROOT].text;
    m->past.path = w->in->values[OPTION_HISTORY].text;
    m->past.wanted_run = is_set(w, OPTION_RUN) ? w->in->values[OPTION_RUN].number : 0;
    m->past.run.efficiency = (double)NAN;
    read_host(m);
    for (uint32_t i = 0; i < targets->count && err == BRISK_OK; i++) {
        err = monitor_target_parse(&m->numbers, targets->texts[i], &w->info);
    }
    if (err == BRISK_OK && is_set(w, OPTION_NODE)) {
        err = is_set(w, OPTION_SERVER)
                  ? brisk_errinfo_set(&w->info, BRISK_ERR_INVALID, "--server or --node, not both")
                  : brisk_node_address(w->in->values[OPTION_NODE].text, of_node, sizeof of_node,
                                       &w->info);
        address = of_node;
    }
    if (err == BRISK_OK && strcmp(address, "none") != 0) {
        err = monitor_server_init(&m->server, address, &w->info);
    }
    if (err == BRISK_OK && is_set(w, OPTION_PASSWORD_FILE)) {
        err = read_password(w);
    }
    if (err == BRISK_OK && is_set(w, OPTION_BUDGETS)) {
        err = monitor_promises_open(&m->promises, w->in->values[OPTION_BUDGETS].text, &w->info);
    }
    if (err == BRISK_OK && is_set(w, OPTION_PID)) {
        uint64_t pid = w->in->values[OPTION_PID].number;
        brisk_process process;
        m->machine.pid = pid <= INT32_MAX ? (uint32_t)pid : 0;
        err = m->machine.pid != 0 ? brisk_process_read(m->machine.root, m->machine.pid, &process)
                                  : BRISK_ERR_NOT_FOUND;
        if (err != BRISK_OK) {
            (void)(err == BRISK_ERR_NOT_FOUND
                       ? brisk_errinfo_set(&w->info, err, "no process %" PRIu64, pid)
                       : brisk_errinfo_set(&w->info, err, "--pid: %s", brisk_err_message(err)));
        }
    }
    if (err == BRISK_OK && w->report != NULL) { /* told now, not after the first period */
        int fd = open(w->report, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (fd < 0) {
            return brisk_errinfo_set_errno(&w->info, errno, "%s", w->report);
        }
        (void)close(fd);
    }
    return err;
}

static brisk_exit read_options(work *w)
{
    w->m.interval_ns =
        is_set(w, OPTION_INTERVAL) ? w->in->values[OPTION_INTERVAL].number : second_ns;
    w->every_ns = is_set(w, OPTION_EVERY) ? w->in->values[OPTION_EVERY].number : 60 * second_ns;
    w->report = w->in->values[OPTION_REPORT].text;
    w->rounds_max = is_set(w, OPTION_COUNT) ? w->in->values[OPTION_COUNT].number : UINT64_MAX;
    if (w->m.interval_ns < interval_least_ns || w->m.interval_ns > interval_most_ns) {
        return usage(w, "--interval: 100ms to 1h");
    }
    if (w->every_ns < w->m.interval_ns) {
        return usage(w, "--every: not shorter than --interval");
    }
    if (is_set(w, OPTION_EVERY) && w->report == NULL) {
        return usage(w, "--every belongs to --report");
    }
    if (w->rounds_max == 0) {
        return usage(w, "--count: 1 or more");
    }
    bool once = is_set(w, OPTION_ONCE) || is_set(w, OPTION_JSON);
    w->tty_in = STDIN_FILENO;
    w->tty_out = fileno(w->in->out);
    const char *term = getenv("TERM");
    bool dumb = term == NULL || term[0] == '\0' || strcmp(term, "dumb") == 0;
    w->live = !once && !dumb && isatty(w->tty_in) == 1 && isatty(w->tty_out) == 1;
    if (!w->live && (w->report == NULL || once) && !is_set(w, OPTION_COUNT)) {
        w->rounds_max = 2; /* rates need two */
    }
    return BRISK_EXIT_OK;
}

static brisk_exit finish(work *w)
{
    if (w->err != BRISK_OK) {
        (void)fprintf(w->in->err, "brisk: monitor: %s\n", w->info.text);
        return w->err == BRISK_ERR_INVALID || w->err == BRISK_ERR_LIMIT ? BRISK_EXIT_USAGE
                                                                        : BRISK_EXIT_FAILED;
    }
    if (w->live || (w->report != NULL && !is_set(w, OPTION_ONCE) && !is_set(w, OPTION_JSON))) {
        return BRISK_EXIT_OK;
    }
    w->err = is_set(w, OPTION_JSON)
                 ? monitor_print_json(w->in->out, &w->m, 2)
                 : monitor_print_text(w->in->out, &w->m, TEXT_WIDTH, w->screen.ascii);
    return w->err == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

static brisk_exit run_work(work *w)
{
    brisk_exit code = read_options(w);
    if (code != BRISK_EXIT_OK) {
        return code;
    }
    brisk_engine *engine;
    if (w->in->engine(w->in, &engine) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    w->m.knobs = brisk_engine_knobs(engine);
    const char *no_color = getenv("NO_COLOR");
    bool color = !is_set(w, OPTION_NO_COLOR) && (no_color == NULL || no_color[0] == '\0');
    screen_init(&w->screen, brisk_alloc_libc(), is_set(w, OPTION_ASCII) || !is_utf8(), color);
    brisk_str_init(&w->frame, NULL, FRAME_BYTES_MAX);
    w->signals = -1;
    w->err = open_sources(w);
    if (w->err == BRISK_OK) {
        w->err = open_signals(w);
    }
    if (w->err == BRISK_OK) {
        (void)fflush(w->in->out);
        if (w->live) {
            enter(w);
        }
        run_rounds(w);
        terminal_leave();
    }
    code = finish(w);
    if (w->signals >= 0) {
        (void)close(w->signals);
    }
    if (w->mask_set) {
        (void)pthread_sigmask(SIG_SETMASK, &w->mask_before, NULL);
    }
    monitor_server_deinit(&w->m.server);
    monitor_promises_close(&w->m.promises);
    brisk_str_deinit(&w->frame);
    screen_deinit(&w->screen);
    return code;
}

static brisk_exit run(const brisk_invocation *in)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    work *w = alloc->acquire(alloc->ctx, sizeof *w, _Alignof(work));
    if (w == NULL) {
        (void)fprintf(in->err, "brisk: monitor: out of memory\n");
        return BRISK_EXIT_FAILED;
    }
    memset(w, 0, sizeof *w);
    w->in = in;
    brisk_exit code = run_work(w);
    alloc->release(alloc->ctx, w, sizeof *w, _Alignof(work));
    return code;
}

const brisk_command monitor_command = {
    .name = "monitor",
    .group = "Measure",
    .synopsis = "[--server HOST:PORT] [--pid PID] [--once | --json | --report FILE]",
    .summary = "watch a server, this machine and what was measured, in the terminal",
    .description =
        "One screen (80 x 24 is enough): a server's latency, throughput, hit rate by tier and "
        "memory; the "
        "machine and a process; the newest run of a job, stage by stage, with its critical path; "
        "trends; "
        "progress to targets; alerts of budgets; and what could be made better.\n\n"
        "Keys: 1 to 5 and Tab choose, p pauses, + and - change the interval, ? helps, q quits.\n\n"
        "Without a terminal (or with one that TERM calls dumb), or with --once, everything is "
        "printed once as text; with --json as "
        "JSON. With "
        "--report a report of each minute (--every) is appended to a file: mean, least and most of "
        "every "
        "figure.  A server that goes away is asked again every second.\n\n"
        "NO_COLOR is obeyed; without UTF-8 in the locale ASCII is drawn.",
    .examples =
        "brisk monitor\tthe server at 127.0.0.1:6380, this machine, the newest run\n"
        "brisk monitor --server 127.0.0.1:7000 --target p99=1ms --target hit_rate=95%\twith goals\n"
        "brisk monitor --budgets budgets.yaml\tare promises kept?\n"
        "brisk monitor --pid 4711 --once\ta process, as text\n"
        "brisk monitor --report day.log --every 60s </dev/null\ta report each minute\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
