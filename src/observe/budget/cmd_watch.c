/*
 * cmd_watch.c -- `brisk budget watch FILE`: this machine and the jobs in its history against budgets, every second,
 * until it is stopped; alerts go where the file says, and into the history.
 *
 * Threads: the watch's own; this one waits for a signal or the end of --duration.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include <brisk/machine.h>

#include "base/cleanup.h"
#include "observe/budget/command.h"

BRISK_DEFINE_CLEANUP(brisk_budgets, brisk_budgets_destroy)
BRISK_DEFINE_CLEANUP(brisk_budget_watch, brisk_budget_watch_destroy)
BRISK_DEFINE_CLEANUP(brisk_history, brisk_history_close)

enum { OPTION_DURATION, OPTION_JSON, OPTION_COUNT };

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_DURATION] = {.name = "duration",
                         .letter = 'd',
                         .type = BRISK_OPTION_DURATION,
                         .metavar = "TIME",
                         .summary = "end after TIME (default: when stopped)"},
    [OPTION_JSON] = {.name = "json", .letter = 'j', .summary = "changes as JSON lines"},
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

/* Until SIGINT, SIGTERM or the time is over. */
static void wait_for_end(const brisk_option_value *duration, const sigset_t *signals)
{
    struct timespec left = {.tv_sec = (time_t)(duration->number / 1000000000),
                            .tv_nsec = (long)(duration->number % 1000000000)};
    int got;
    do {
        got = duration->set ? sigtimedwait(signals, NULL, &left) : sigwaitinfo(signals, NULL);
    } while (got < 0 && errno == EINTR);
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

static brisk_exit watch_all(const brisk_invocation *in, const brisk_budgets *budgets,
                            brisk_history *history)
{
    BRISK_CLEANUP(brisk_budget_watch_destroy) brisk_budget_watch *watch = NULL;
    brisk_errinfo info = {0};
    uint64_t subscription = 0;
    printing to = {.in = in};
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    brisk_err err = brisk_machine_watch(brisk_metrics_default());
    if (err == BRISK_OK) {
        err = brisk_budget_watch_create(
            &(brisk_budget_watch_opts){.budgets = budgets, .history = history}, &watch, &info);
    }
    if (err == BRISK_OK) {
        err = brisk_events_subscribe(
            brisk_events_default(),
            &(brisk_subscription){
                .types = BRISK_EVENT_MASK(BRISK_EVENT_ALERT), .callback = print_change, .ctx = &to},
            &subscription);
    }
    err = err == BRISK_OK ? brisk_budget_watch_start(watch) : err;
    if (err == BRISK_OK) {
        wait_for_end(&in->values[OPTION_DURATION], &signals);
    }
    brisk_exit status = err == BRISK_OK ? summarise(in, watch) : failed(in, err, &info);
    brisk_events_unsubscribe(brisk_events_default(), subscription);
    return status;
}

static brisk_exit run(const brisk_invocation *in)
{
    BRISK_CLEANUP(brisk_budgets_destroy) brisk_budgets *budgets = NULL;
    BRISK_CLEANUP(brisk_history_close) brisk_history *history = NULL;
    brisk_errinfo info = {0};
    brisk_err err = brisk_budgets_load(in->argv[0], NULL, &budgets, &info);
    if (err != BRISK_OK) {
        return failed(in, err, &info);
    }
    err = brisk_history_open(&(brisk_history_opts){0}, &history, &info);
    if (err != BRISK_OK) { /* alerts are told all the same */
        (void)fprintf(in->err, "brisk: warning: alerts are not kept: %s\n", info.text);
    }
    return watch_all(in, budgets, history);
}

const brisk_command budget_watch_command = {
    .name = "watch",
    .group = "Measuring",
    .synopsis = "FILE",
    .summary = "check budgets every second and tell about alerts",
    .description =
        "Metrics are those of this machine (machine.*) and of this program; stages are those of "
        "the jobs in the history. An alert is told when it begins, when it becomes worse, "
        "every `repeat` while it lasts, and when it is over, to the sinks of the file (log, file, "
        "exec, webhook).",
    .examples = "brisk budget watch budgets.yaml\tuntil it is stopped\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_min = 1,
    .args_max = 1,
    .run = run,
};
