/*
 * ask.c -- options to plan, plan to measurement, measurement to comparisons.
 */
#include "observe/bench/ask.h"
#include "base/text.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/version.h>

enum {
    RUNS_LEAST = 10,
    RUNS_MOST = 100, /* when nothing is asked for */
    WARMUP_MAX = 1000,
};

static const uint64_t duration_default_ns = UINT64_C(3000000000);
static const double min_effect_default = 0.002;
static const double noisy_default = 0.05;

static brisk_exit out_of_memory(const bench_ask *ask)
{
    (void)fprintf(ask->invocation->err, "brisk: bench: %s\n", brisk_err_message(BRISK_ERR_NOMEM));
    return BRISK_EXIT_FAILED;
}

brisk_exit bench_ask_open(bench_ask *ask)
{
    ask->signals = -1;
    if (brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 65536}, &ask->arena) != BRISK_OK) {
        return out_of_memory(ask);
    }
    brisk_err err = bench_signals_open(&ask->signals);
    if (err != BRISK_OK) {
        (void)fprintf(ask->invocation->err, "brisk: bench: %s\n", brisk_err_message(err));
        return BRISK_EXIT_FAILED;
    }
    return BRISK_EXIT_OK;
}

void bench_ask_close(bench_ask *ask)
{
    if (ask->signals >= 0) {
        (void)close(ask->signals);
    }
    brisk_arena_destroy(ask->arena);
}

/** A number of an option between bounds. */
static brisk_exit read_count(const bench_ask *ask, uint32_t option, uint32_t min, uint32_t max,
                             uint32_t *ret)
{
    const brisk_invocation *invocation = ask->invocation;
    const brisk_option_value *value = &invocation->values[option];
    if (!value->set) {
        return BRISK_EXIT_OK;
    }
    if (value->number < min || value->number > max) {
        (void)fprintf(invocation->err, "brisk: bench: --%s is %u..%u\n",
                      invocation->command->options[option].name, min, max);
        return BRISK_EXIT_USAGE;
    }
    *ret = (uint32_t)value->number;
    return BRISK_EXIT_OK;
}

static brisk_exit read_plan(bench_ask *ask)
{
    const brisk_option_value *values = ask->invocation->values;
    bench_plan *plan = &ask->plan;
    *plan = (bench_plan){.runs_min = RUNS_LEAST,
                         .runs_max = RUNS_MOST,
                         .duration_ns = duration_default_ns,
                         .warmup = 1,
                         .ignore_failure = values[OPTION_IGNORE_FAILURE].set,
                         .seed = brisk_clock_wall_ns(NULL)};
    plan->run = (bench_run_opts){.signals = ask->signals,
                                 .timeout_ns = values[OPTION_TIMEOUT].number,
                                 .show_output = values[OPTION_SHOW_OUTPUT].set,
                                 .extra_fd = -1};
    if (values[OPTION_DURATION].set) {
        plan->duration_ns = values[OPTION_DURATION].number;
        plan->runs_min = 1;
        plan->runs_max = BENCH_RUNS_MAX;
    }
    if (values[OPTION_SEED].set) {
        plan->seed = values[OPTION_SEED].number;
    }
    brisk_exit status = read_count(ask, OPTION_RUNS, 1, BENCH_RUNS_MAX, &plan->runs_max);
    if (status == BRISK_EXIT_OK && values[OPTION_RUNS].set && !values[OPTION_DURATION].set) {
        plan->runs_min = plan->runs_max;
        plan->duration_ns = 0;
    }
    if (status == BRISK_EXIT_OK) {
        status = read_count(ask, OPTION_WARMUP, 0, WARMUP_MAX, &plan->warmup);
    }
    return status;
}

brisk_exit bench_ask_read_limits(bench_ask *ask)
{
    const brisk_option_value *min_effect = &ask->invocation->values[OPTION_MIN_EFFECT];
    ask->limits = (bench_limits){
        .min_effect = min_effect_default, .noisy = noisy_default, .seed = ask->plan.seed};
    if (min_effect->set &&
        bench_parse_share(min_effect->text, &ask->limits.min_effect) != BRISK_OK) {
        char quoted[BRISK_TEXT_QUOTED_MAX];
        (void)fprintf(ask->invocation->err,
                      "brisk: bench: --min-effect takes a share such as 1%%, not '%s'\n",
                      brisk_text_quote(quoted, min_effect->text));
        return BRISK_EXIT_USAGE;
    }
    return BRISK_EXIT_OK;
}

brisk_exit bench_ask_read(bench_ask *ask, bool commands)
{
    const brisk_invocation *invocation = ask->invocation;
    const brisk_option_value *values = invocation->values;
    const brisk_option_list *lists = invocation->lists;
    brisk_exit status = read_plan(ask);
    if (status == BRISK_EXIT_OK) {
        status = bench_ask_read_limits(ask);
    }
    if (status != BRISK_EXIT_OK || !commands) {
        return status;
    }
    if (invocation->argc == 0) {
        (void)fputs("brisk: bench: takes at least 1 argument, got 0\n", invocation->err);
        return BRISK_EXIT_USAGE;
    }
    ask->request = (bench_request){.invocation = invocation,
                                   .arena = ask->arena,
                                   .shell = values[OPTION_SHELL].set,
                                   .names = lists[OPTION_NAME].texts,
                                   .name_count = lists[OPTION_NAME].count,
                                   .prepares = lists[OPTION_PREPARE].texts,
                                   .prepare_count = lists[OPTION_PREPARE].count,
                                   .setup = values[OPTION_SETUP].text,
                                   .cleanup = values[OPTION_CLEANUP].text,
                                   .parameters = lists[OPTION_PARAMETER].texts,
                                   .parameter_count = lists[OPTION_PARAMETER].count};
    return bench_read_commands(&ask->request, &ask->subjects, &ask->subject_count);
}

brisk_exit bench_ask_name(const bench_ask *ask, const char *name)
{
    if (!bench_name_is_valid(name)) {
        char quoted[BRISK_TEXT_QUOTED_MAX];
        (void)fprintf(ask->invocation->err,
                      "brisk: bench: a name is 1..%d letters, digits, '_', '-' and '.', not in "
                      "front; not '%s'\n",
                      BENCH_NAME_MAX, brisk_text_quote(quoted, name));
        return BRISK_EXIT_USAGE;
    }
    return BRISK_EXIT_OK;
}

brisk_exit bench_ask_measure(bench_ask *ask, bench_record *ret, int *ret_stopped_by)
{
    bench_measurement m = {.arena = ask->arena,
                           .err = ask->invocation->err,
                           .plan = &ask->plan,
                           .subjects = ask->subjects,
                           .subject_count = ask->subject_count};
    brisk_exit status = bench_measure(&m);
    if (status == BRISK_EXIT_OK && m.stopped_by == 0 &&
        ask->invocation->values[OPTION_INSTRUCTIONS].set) {
        status = bench_count_instructions(&m);
    }
    if (status != BRISK_EXIT_OK) {
        return status;
    }
    *ret_stopped_by = m.stopped_by;
    *ret = (bench_record){.name = "",
                          .version = brisk_version(),
                          .when_s = brisk_clock_wall_ns(NULL) / UINT64_C(1000000000),
                          .subjects = ask->subjects,
                          .subject_count = ask->subject_count};
    if (bench_machine(ask->arena, &ret->machine, &ret->fingerprint) != BRISK_OK) {
        return out_of_memory(ask);
    }
    bool any = false;
    for (uint32_t i = 0; i < ask->subject_count; i++) {
        if (ask->subjects[i].run_count > 0) {
            any = true;
            if (bench_describe(&ask->subjects[i]) != BRISK_OK) {
                return out_of_memory(ask);
            }
        }
    }
    return any ? BRISK_EXIT_OK : (brisk_exit)(BENCH_EXIT_SIGNAL + m.stopped_by);
}

brisk_exit bench_ask_compare(const bench_ask *ask, bench_report *report)
{
    uint32_t count = report->now->subject_count;
    report->against_first = report->before == NULL;
    if (report->against_first && count < 2) {
        return BRISK_EXIT_OK;
    }
    report->comparisons = brisk_arena_calloc(ask->arena, count, sizeof *report->comparisons);
    report->compared = brisk_arena_calloc(ask->arena, count, sizeof *report->compared);
    if (report->comparisons == NULL || report->compared == NULL) {
        return out_of_memory(ask);
    }
    for (uint32_t i = report->against_first ? 1 : 0; i < count; i++) {
        report->compared[i] = true;
        const bench_subject *baseline = bench_report_baseline(report, i);
        const bench_subject *subject = &report->now->subjects[i];
        report->compared[i] = baseline != NULL && baseline->run_count > 0 && subject->run_count > 0;
        if (!report->compared[i]) {
            continue;
        }
        brisk_err err = bench_compare(baseline, subject, report->against_first, &ask->limits,
                                      &report->comparisons[i]);
        if (err != BRISK_OK) {
            (void)fprintf(ask->invocation->err, "brisk: bench: cannot compare: %s\n",
                          brisk_err_message(err));
            return BRISK_EXIT_FAILED;
        }
    }
    return BRISK_EXIT_OK;
}
