/*
 * cmd_watch.c -- `brisk budget watch FILE`: this machine and the jobs in its history against budgets, every second,
 * until it is stopped; alerts go where the file says, and into the history.
 *
 * Threads: the watch's own; this one waits for a signal or the end of --duration.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include <brisk/clock.h>
#include <brisk/hash.h>
#include <brisk/machine.h>

#include "base/cleanup.h"
#include "observe/budget/command.h"
#include "observe/metrics/server.h"

BRISK_DEFINE_CLEANUP(brisk_budget_watch, brisk_budget_watch_destroy)

static const uint64_t second_ns = UINT64_C(1000000000);

enum {
    OPTION_DURATION,
    OPTION_JSON,
    OPTION_SERVER,
    OPTION_PASSWORD_FILE,
    OPTION_NO_STATE,
    OPTION_NODE,
    OPTION_COUNT = OPTION_NODE + BRISK_NODE_OPTIONS
};

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_DURATION] = {.name = "duration",
                         .letter = 'd',
                         .type = BRISK_OPTION_DURATION,
                         .metavar = "TIME",
                         .summary = "end after TIME (default: when stopped)"},
    [OPTION_JSON] = {.name = "json", .letter = 'j', .summary = "changes as JSON lines"},
    [OPTION_SERVER] = {.name = "server",
                       .letter = 's',
                       .type = BRISK_OPTION_TEXT,
                       .metavar = "HOST:PORT",
                       .summary = "also the metrics of a brisk server (or a Redis): serve.*"},
    [OPTION_PASSWORD_FILE] = {.name = "password-file",
                              .type = BRISK_OPTION_FILE,
                              .metavar = "FILE",
                              .summary = "the server's password is its first line"},
    [OPTION_NO_STATE] = {.name = "no-state",
                         .summary = "begin anew, and leave nothing for the next start"},
    BRISK_NODE_OPTION_ROWS("also the metrics of a node over HTTP"),
};

typedef struct printing {
    const brisk_invocation *in;
} printing;

static void print_change(void *ctx, const brisk_event *event)
{
    const brisk_invocation *in = ((const printing *)ctx)->in;
    if (in->values[OPTION_JSON].set) {
        (void)fprintf(in->out, "%s\n", event->detail);
    } else {
        (void)fprintf(in->out, "%s  %s\n", brisk_severity_name(event->severity), event->text);
    }
    (void)fflush(in->out);
}

/* What one call works with. */
typedef struct work {
    const brisk_invocation *in;
    brisk_budgets *budgets;
    brisk_history *history;
    metrics_server server;
    bool has_server;
} work;

/* Until SIGINT, SIGTERM or `end_ns`, a monotonic time; true for a signal. */
static bool wait_until(uint64_t end_ns, const sigset_t *signals)
{
    for (;;) {
        uint64_t now_ns = brisk_clock_now_ns(NULL);
        uint64_t left_ns = end_ns > now_ns ? end_ns - now_ns : 0;
        struct timespec left = {.tv_sec = (time_t)(left_ns / second_ns),
                                .tv_nsec = (long)(left_ns % second_ns)};
        if (sigtimedwait(signals, NULL, &left) > 0) {
            return true;
        }
        if (errno != EINTR) {
            return false;
        }
    }
}

/* The server's metrics as they are now; its coming and going is told once. */
static void ask(const brisk_invocation *in, metrics_server *server, int *up)
{
    brisk_errinfo info = {0};
    bool good = metrics_server_read(server, brisk_metrics_default(), &info) == BRISK_OK;
    if (*up != (int)good && (!good || *up == 0)) {
        (void)fprintf(in->err, "brisk: budget: %s\n",
                      good ? "the server answers again" : info.text);
        (void)fflush(in->err);
    }
    *up = good;
}

/*
 * Ask and check every second, in this thread: a budget never sees a reading twice, and what the server did before the
 * first one is in no window.
 */
static brisk_err watch_server(work *w, brisk_budget_watch *watch, int *up, const sigset_t *signals)
{
    const brisk_invocation *in = w->in;
    const brisk_option_value *duration = &in->values[OPTION_DURATION];
    uint64_t next_ns = brisk_clock_now_ns(NULL);
    uint64_t end_ns = duration->set ? next_ns + duration->number : UINT64_MAX;
    brisk_err err = BRISK_OK;
    for (bool ended = false; !ended && err == BRISK_OK;) {
        ask(in, &w->server, up);
        err = brisk_budget_watch_tick(watch);
        uint64_t now_ns = brisk_clock_now_ns(NULL);
        next_ns = next_ns + second_ns > now_ns ? next_ns + second_ns : now_ns; /* late: no burst */
        ended = wait_until(next_ns < end_ns ? next_ns : end_ns, signals) ||
                brisk_clock_now_ns(NULL) >= end_ns;
    }
    return err;
}

static brisk_err watch_here(const brisk_invocation *in, brisk_budget_watch *watch,
                            const sigset_t *signals)
{
    const brisk_option_value *duration = &in->values[OPTION_DURATION];
    brisk_err err = brisk_budget_watch_start(watch);
    uint64_t end_ns = brisk_clock_now_ns(NULL) + duration->number;
    while (err == BRISK_OK &&
           !wait_until(duration->set ? end_ns : brisk_clock_now_ns(NULL) + 3600 * second_ns,
                       signals) &&
           !duration->set) {
    }
    return err;
}

static brisk_exit failed(const brisk_invocation *in, brisk_err err, const brisk_errinfo *info)
{
    (void)fprintf(in->err, "brisk: %s\n",
                  info->text[0] != '\0' ? info->text : brisk_err_message(err));
    return BRISK_EXIT_FAILED;
}

/* How all stood at the end, and whether a critical one fires. */
static brisk_exit summarise(const brisk_invocation *in, brisk_budget_watch *watch)
{
    brisk_exit status = BRISK_EXIT_OK;
    for (uint32_t i = 0; i < brisk_budget_watch_count(watch); i++) {
        brisk_budget_status s;
        brisk_budget_watch_read(watch, i, &s);
        if (s.state == BRISK_ALERT_FIRING && s.severity == BRISK_SEVERITY_CRITICAL) {
            status = BRISK_EXIT_FAILED;
        }
        if (!in->values[OPTION_JSON].set && !in->quiet) {
            budget_print_text(in->out, s.budget, &s.last);
        }
    }
    uint64_t lost = brisk_budget_watch_lost(watch);
    if (lost > 0) {
        (void)fprintf(in->err, "brisk: budget: %llu alerts did not arrive\n",
                      (unsigned long long)lost);
    }
    return status;
}

/* Beside the history: one file for each file of budgets and server.  False: there is no place for it. */
static bool state_path(const brisk_invocation *in, const brisk_history *history, char *path,
                       size_t size)
{
    char whole[PATH_MAX];
    bool known = realpath(in->argv[0], whole) != NULL;
    const brisk_option_value *server =
        &in->values[in->values[OPTION_NODE].set ? OPTION_NODE : OPTION_SERVER];
    const char *place = history != NULL ? brisk_history_path(history) : "";
    const char *slash = strrchr(place, '/');
    if (!known || slash == NULL || in->values[OPTION_NO_STATE].set) {
        return false;
    }
    brisk_hasher hasher;
    brisk_hasher_init(&hasher, 0);
    brisk_hasher_update(&hasher, whole, strlen(whole) + 1);
    if (server->set) {
        brisk_hasher_update(&hasher, server->text, strlen(server->text));
    }
    int used = snprintf(path, size, "%.*s/budget-%016llx.state", (int)(slash - place), place,
                        (unsigned long long)brisk_hasher_digest64(&hasher));
    return used > 0 && (size_t)used < size;
}

static void say_restored(const brisk_invocation *in, const brisk_budget_watch *watch)
{
    uint64_t gap_ns;
    uint32_t count = brisk_budget_watch_restored(watch, &gap_ns);
    if (count > 0 && !in->quiet) {
        (void)fprintf(
            in->err,
            "brisk: budget: %u budget%s go%s on from the last watch; %.0f s in between were "
            "not watched\n",
            count, count == 1 ? "" : "s", count == 1 ? "es" : "", (double)gap_ns / 1e9);
    }
}

static brisk_exit watch_all(work *w)
{
    const brisk_invocation *in = w->in;
    BRISK_CLEANUP(brisk_budget_watch_destroy) brisk_budget_watch *watch = NULL;
    brisk_errinfo info = {0};
    uint64_t subscription = 0;
    printing to = {.in = in};
    char path[4096];
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    int up = -1;
    bool keeps = state_path(in, w->history, path, sizeof path);
    brisk_err err = brisk_machine_watch(brisk_metrics_default());
    if (err == BRISK_OK && w->has_server) {
        w->server.timeout_s = 1;
        w->server.mirror.since_first = true;
        ask(in, &w->server, &up);
    }
    if (err == BRISK_OK) {
        brisk_budget_watch_opts opts = {.budgets = w->budgets,
                                        .history = w->history,
                                        .since_start = true,
                                        .state_path = keeps ? path : NULL};
        err = brisk_budget_watch_create(&opts, &watch, &info);
    }
    if (err == BRISK_OK) {
        say_restored(in, watch);
        err = brisk_events_subscribe(
            brisk_events_default(),
            &(brisk_subscription){
                .types = BRISK_EVENT_MASK(BRISK_EVENT_ALERT), .callback = print_change, .ctx = &to},
            &subscription);
    }
    if (err == BRISK_OK) {
        err =
            w->has_server ? watch_server(w, watch, &up, &signals) : watch_here(in, watch, &signals);
    }
    brisk_exit status = err == BRISK_OK ? summarise(in, watch) : failed(in, err, &info);
    brisk_events_unsubscribe(brisk_events_default(), subscription);
    return status;
}

static brisk_exit run(const brisk_invocation *in)
{
    work w = {.in = in};
    brisk_errinfo info = {0};
    static const metrics_server_options where = {OPTION_SERVER, OPTION_PASSWORD_FILE, OPTION_NODE};
    brisk_err err = metrics_server_open(in->values, &where, &w.server, &w.has_server, &info);
    if (err != BRISK_OK) {
        brisk_exit status = failed(in, err, &info);
        return err == BRISK_ERR_INVALID ? BRISK_EXIT_USAGE : status;
    }
    err = brisk_budgets_load(in->argv[0], NULL, &w.budgets, &info);
    if (err != BRISK_OK) {
        return failed(in, err, &info);
    }
    err = brisk_history_open(&(brisk_history_opts){0}, &w.history, &info);
    if (err != BRISK_OK) { /* alerts are told all the same */
        (void)fprintf(in->err, "brisk: warning: alerts are not kept: %s\n", info.text);
    }
    brisk_exit status = watch_all(&w);
    metrics_server_close(&w.server);
    brisk_history_close(w.history);
    brisk_budgets_destroy(w.budgets);
    return status;
}

const brisk_command budget_watch_command = {
    .name = "watch",
    .group = "Measuring",
    .synopsis = "FILE",
    .summary = "check budgets every second and tell about alerts",
    .description =
        "Metrics are those of this machine (machine.*), with --server or --node those of a brisk "
        "server "
        "(serve.*; serve.up is 1 while it answers), and those of this program; stages are those of "
        "the jobs in the history, looked at every second. An alert is told when it begins, when it "
        "becomes worse, "
        "every `repeat` while it lasts, and when it is over, to the sinks of the file (log, file, "
        "exec, webhook). Alerts and burn rates go on where the last watch of the file ended (a "
        "small file beside the history); time that nobody watched counts for no `for`.",
    .examples = "brisk budget watch budgets.yaml\tuntil it is stopped\n"
                "brisk budget watch --server 127.0.0.1:6380 budgets.yaml\ta running daemon, too\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_min = 1,
    .args_max = 1,
    .run = run,
};
