/*
 * cmd_check.c -- `brisk budget check FILE`: are the budgets kept, now, by a file of metrics, by a process, by a run
 * of a command?  Exit code 1 when a critical one is not.
 *
 * Threads: one.
 */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include <brisk/clock.h>
#include <brisk/machine.h>

#include "base/cleanup.h"
#include "observe/budget/command.h"

BRISK_DEFINE_CLEANUP(brisk_budgets, brisk_budgets_destroy)
BRISK_DEFINE_CLEANUP(brisk_arena, brisk_arena_destroy)
BRISK_DEFINE_CLEANUP(brisk_history, brisk_history_close)

enum { OPTION_INPUT, OPTION_PID, OPTION_DURATION, OPTION_JSON, OPTION_JUNIT, OPTION_COUNT };

static const uint64_t second_ns = 1000000000;

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_INPUT] = {.name = "input",
                      .letter = 'i',
                      .type = BRISK_OPTION_FILE,
                      .metavar = "METRICS.json",
                      .summary = "metrics from a file (`brisk metrics --json`)"},
    [OPTION_PID] = {.name = "pid",
                    .letter = 'p',
                    .type = BRISK_OPTION_U64,
                    .metavar = "PID",
                    .summary = "a process: process.cpu, process.memory ..."},
    [OPTION_DURATION] = {.name = "duration",
                         .letter = 'd',
                         .type = BRISK_OPTION_DURATION,
                         .metavar = "TIME",
                         .summary = "how long to look at the process or the machine (default 1s)"},
    [OPTION_JSON] = {.name = "json", .letter = 'j', .summary = "as JSON"},
    [OPTION_JUNIT] = {.name = "junit", .summary = "as JUnit XML, for continuous integration"},
};

typedef struct checking {
    const brisk_invocation *in;
    const brisk_budgets *budgets;
    brisk_budget_result *results;
    brisk_arena *arena;
    brisk_history *history; /* NULL: none */
    uint64_t began_ns;      /* of a command: its runs are younger; 0: the window counts */
    brisk_errinfo info;
} checking;

/* An objective alone, at one moment: no more errors than it leaves. */
static brisk_budget at_once(const brisk_budget *budget)
{
    brisk_budget copy = *budget;
    if (budget->statistic == BRISK_BUDGET_ERROR_RATE && isnan(copy.critical) &&
        !isnan(copy.objective)) {
        copy.critical = 1.0 - copy.objective;
    }
    return copy;
}

static brisk_err check_stages(checking *c)
{
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < brisk_budgets_count(c->budgets) && err == BRISK_OK; i++) {
        brisk_budget budget = *brisk_budgets_at(c->budgets, i);
        if (budget.stage[0] == '\0') {
            continue;
        }
        uint64_t now_ns = brisk_clock_wall_ns(NULL);
        if (c->history == NULL) {
            c->results[i] = (brisk_budget_result){
                .value = (double)NAN, .limit = (double)NAN, .on_target = true};
            (void)snprintf(c->results[i].text, sizeof c->results[i].text,
                           "%.120s: the history holds no runs", budget.stage);
            continue;
        }
        if (c->began_ns != 0 && c->began_ns < now_ns) {
            budget.window_ns = now_ns - c->began_ns;
        }
        err = brisk_budget_check_stage(&budget, c->history, now_ns, &c->results[i], &c->info);
    }
    return err;
}

static void check_values(checking *c, const budget_values *values)
{
    for (uint32_t i = 0; i < brisk_budgets_count(c->budgets); i++) {
        brisk_budget budget = at_once(brisk_budgets_at(c->budgets, i));
        if (budget.stage[0] == '\0') {
            brisk_budget_check_values(&budget, values->items, values->count, &c->results[i]);
        }
    }
}

/* The machine, looked at twice. */
static brisk_err check_machine(checking *c, uint64_t duration_ns)
{
    brisk_metrics *metrics = NULL;
    brisk_snapshot *before = NULL;
    brisk_snapshot *now = NULL;
    brisk_err err = brisk_metrics_create(NULL, &metrics);
    err = err == BRISK_OK ? brisk_machine_watch(metrics) : err;
    err = err == BRISK_OK ? brisk_metrics_snapshot(metrics, NULL, &before) : err;
    if (err == BRISK_OK) {
        struct timespec left = {.tv_sec = (time_t)(duration_ns / second_ns),
                                .tv_nsec = (long)(duration_ns % second_ns)};
        while (nanosleep(&left, &left) != 0 && errno == EINTR) {
        }
        err = brisk_metrics_snapshot(metrics, NULL, &now);
    }
    for (uint32_t i = 0; err == BRISK_OK && i < brisk_budgets_count(c->budgets); i++) {
        brisk_budget budget = at_once(brisk_budgets_at(c->budgets, i));
        if (budget.stage[0] == '\0') {
            brisk_budget_check(&budget, now, before, &c->results[i]);
        }
    }
    brisk_snapshot_unref(now);
    brisk_snapshot_unref(before);
    brisk_metrics_destroy(metrics);
    return err == BRISK_OK ? err
                           : brisk_errinfo_set(&c->info, err, "budget: %s", brisk_err_message(err));
}

/* The words behind the first, which end with a NULL. */
static brisk_err run_command(checking *c, budget_values *values)
{
    size_t count = (size_t)c->in->argc - 1;
    char **argv = brisk_arena_calloc(c->arena, count + 1, sizeof *argv);
    if (argv == NULL) {
        return brisk_errinfo_set(&c->info, BRISK_ERR_NOMEM, "budget: %s",
                                 brisk_err_message(BRISK_ERR_NOMEM));
    }
    memcpy(argv, c->in->argv + 1, count * sizeof *argv);
    return budget_run_command(argv, c->arena, values, &c->info);
}

static brisk_err check_metrics(checking *c)
{
    const brisk_option_value *v = c->in->values;
    uint64_t duration = v[OPTION_DURATION].set ? v[OPTION_DURATION].number : second_ns;
    budget_values values = {0};
    brisk_err err;
    if (v[OPTION_INPUT].set) {
        err = budget_read_metrics(v[OPTION_INPUT].text, c->arena, &values, &c->info);
    } else if (v[OPTION_PID].set) {
        err = budget_watch_process((uint32_t)v[OPTION_PID].number, duration, c->arena, &values,
                                   &c->info);
    } else if (c->in->argc > 1) {
        c->began_ns = brisk_clock_wall_ns(NULL);
        err = run_command(c, &values);
    } else {
        return check_machine(c, duration);
    }
    if (err == BRISK_OK) {
        check_values(c, &values);
    }
    return err;
}

static bool any_stage(const brisk_budgets *budgets)
{
    for (uint32_t i = 0; i < brisk_budgets_count(budgets); i++) {
        if (brisk_budgets_at(budgets, i)->stage[0] != '\0') {
            return true;
        }
    }
    return false;
}

/* What was not measured holds no promise: told, and when nothing was, it is no success. */
static brisk_exit tell_unknown(const checking *c, brisk_exit status)
{
    uint32_t count = brisk_budgets_count(c->budgets);
    uint32_t unknown = 0;
    for (uint32_t i = 0; i < count; i++) {
        unknown += c->results[i].level == BRISK_BUDGET_UNKNOWN ? 1 : 0;
    }
    if (unknown == 0) {
        return status;
    }
    if (unknown == count || !c->in->quiet) {
        (void)fprintf(
            c->in->err,
            "brisk: budget: %u of %u could not be judged: not measured, or too few events\n",
            unknown, count);
    }
    return unknown == count ? BRISK_EXIT_FAILED : status;
}

static brisk_exit report(const checking *c)
{
    const brisk_option_value *v = c->in->values;
    brisk_exit status = BRISK_EXIT_OK;
    for (uint32_t i = 0; i < brisk_budgets_count(c->budgets); i++) {
        if (c->results[i].level == BRISK_BUDGET_CRITICAL) {
            status = BRISK_EXIT_FAILED;
        }
        if (!v[OPTION_JSON].set && !v[OPTION_JUNIT].set) {
            budget_print_text(c->in->out, brisk_budgets_at(c->budgets, i), &c->results[i]);
        }
    }
    if (v[OPTION_JSON].set) {
        budget_print_json(c->in->out, c->budgets, c->results);
    } else if (v[OPTION_JUNIT].set) {
        budget_print_junit(c->in->out, c->budgets, c->results);
    }
    return tell_unknown(c, status);
}

static brisk_err check(checking *c)
{
    c->results = brisk_arena_calloc(c->arena, brisk_budgets_count(c->budgets), sizeof *c->results);
    if (c->results == NULL) {
        return brisk_errinfo_set(&c->info, BRISK_ERR_NOMEM, "budget: %s",
                                 brisk_err_message(BRISK_ERR_NOMEM));
    }
    return check_metrics(c);
}

static brisk_exit failed(const brisk_invocation *in, const brisk_errinfo *info)
{
    (void)fprintf(in->err, "brisk: %s\n", info->text);
    return BRISK_EXIT_FAILED;
}

/* What is wrong with the words; NULL when nothing is. */
static const char *misuse(const brisk_invocation *in)
{
    const brisk_option_value *v = in->values;
    int sources =
        (v[OPTION_INPUT].set ? 1 : 0) + (v[OPTION_PID].set ? 1 : 0) + (in->argc > 1 ? 1 : 0);
    if (in->argc_before_dashes != 1) {
        return "takes one file of budgets; a command stands behind --";
    }
    if (sources > 1) {
        return "takes one of --input, --pid and a command";
    }
    if (v[OPTION_JSON].set && v[OPTION_JUNIT].set) {
        return "takes one of --json and --junit";
    }
    if (v[OPTION_DURATION].set &&
        (v[OPTION_DURATION].number == 0 || v[OPTION_DURATION].number > 3600 * second_ns)) {
        return "--duration is above 0 and at most 1h";
    }
    return v[OPTION_PID].set && (v[OPTION_PID].number == 0 || v[OPTION_PID].number > INT32_MAX)
               ? "--pid is the number of a process"
               : NULL;
}

static brisk_exit run(const brisk_invocation *in)
{
    const char *wrong = misuse(in);
    if (wrong != NULL) {
        (void)fprintf(in->err, "brisk: budget: %s\n", wrong);
        return BRISK_EXIT_USAGE;
    }
    BRISK_CLEANUP(brisk_budgets_destroy) brisk_budgets *budgets = NULL;
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    BRISK_CLEANUP(brisk_history_close) brisk_history *history = NULL;
    checking c = {.in = in};
    if (brisk_budgets_load(in->argv[0], NULL, &budgets, &c.info) != BRISK_OK) {
        return failed(in, &c.info);
    }
    if (brisk_arena_create(NULL, &arena) != BRISK_OK) {
        (void)brisk_errinfo_set(&c.info, BRISK_ERR_NOMEM, "budget: out of memory");
        return failed(in, &c.info);
    }
    c.budgets = budgets;
    c.arena = arena;
    brisk_err err = check(&c);
    if (err == BRISK_OK && any_stage(budgets)) { /* after the command, whose runs it brings in */
        err = brisk_history_open(&(brisk_history_opts){.no_create = true}, &history, &c.info);
        err = err == BRISK_ERR_NOT_FOUND ? BRISK_OK : err;
        c.history = history;
        err = err == BRISK_OK ? check_stages(&c) : err;
    }
    return err == BRISK_OK ? report(&c) : failed(in, &c.info);
}

const brisk_command budget_check_command = {
    .name = "check",
    .group = "Measuring",
    .synopsis = "FILE [-- COMMAND...]",
    .summary = "are budgets kept: by metrics, a process, a command, or this machine",
    .description =
        "FILE is YAML: a list `budgets`, each with a name, a metric or a stage, a statistic and "
        "limits (target, warning, critical). Without a source it is the machine that is looked at "
        "(machine.*). A command gives process.time, process.cpu, process.cpu.time, "
        "process.memory.peak, process.exit, and the stages of the jobs that it ran.\n\n"
        "The exit code is 1 when a critical limit is broken, and when something cannot be read.",
    .examples =
        "brisk budget check budgets.yaml -- brisk rom apply game.sfc hack.bps -o out.sfc\tguard a "
        "job\n"
        "brisk budget check budgets.yaml --input metrics.json --junit\tfor continuous "
        "integration\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_min = 1,
    .args_max = -1,
    .run = run,
};
