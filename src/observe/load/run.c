/*
 * run.c -- steps over all threads, their figures, and ramps.
 *
 * A ramp goes up in equal ratios until two steps in a row are bad, and then halves the way between the last good
 * and the first bad one a few times.  Bad is: the throughput does not follow the rate, p99 has left, or errors came.
 *
 * The command's thread waits for signals while the threads work; a signal ends the step early and what
 * was measured until then is printed.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include <brisk/clock.h>

#include "observe/load/load.h"

enum { BISECTIONS = 3 };

static const double throughput_share_min = 0.97;
static const double p99_factor = 10;
static const double error_share_max = 0.01;
static const double late_share_max = 0.01;
static const double busy_share_max = 0.9;
static const double wait_share_max = 0.2;

const double load_quantiles[6] = {0.5, 0.75, 0.9, 0.99, 0.999, 0.9999};

/* --- one step ----------------------------------------------------------------------------- */

static uint64_t answered_so_far(const load_run *run)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < run->plan.threads; i++) {
        sum += atomic_load_explicit(&run->workers[i].answered, memory_order_relaxed);
    }
    return sum;
}

static void show_progress(const load_run *run, const load_step *step, uint64_t now_ns)
{
    double passed = now_ns > step->start_ns ? (double)(now_ns - step->start_ns) / 1e9 : 0;
    if (run->progress != NULL && passed > 1) {
        (void)fprintf(run->progress, "\r\033[K%.0f of %.0f s, %.0f answers a second", passed,
                      (double)step->duration_ns / 1e9, (double)answered_so_far(run) / passed);
        (void)fflush(run->progress);
    }
}

/* Until all threads are through, or a signal came. */
static void wait_step(load_run *run, const load_step *step)
{
    uint64_t end_ns = step->start_ns + step->duration_ns;
    for (uint64_t now_ns = brisk_clock_now_ns(NULL); now_ns < end_ns;
         now_ns = brisk_clock_now_ns(NULL)) {
        uint64_t left = end_ns - now_ns;
        left = left < load_second_ns ? left : load_second_ns;
        left = step->connect_only && left > 20000000 ? 20000000 : left;
        struct timespec time = {.tv_sec = (time_t)(left / load_second_ns),
                                .tv_nsec = (long)(left % load_second_ns)};
        if (sigtimedwait(run->signals, NULL, &time) > 0) {
            atomic_store_explicit(&run->stop, true, memory_order_relaxed);
            return;
        }
        if (step->connect_only) {
            return; /* joining waits for the rest */
        }
        show_progress(run, step, brisk_clock_now_ns(NULL));
    }
}

static brisk_err run_step(load_run *run, load_step step)
{
    step.start_ns = brisk_clock_now_ns(NULL) + (step.connect_only ? 0 : 1000000);
    brisk_err err = BRISK_OK;
    uint32_t started = 0;
    for (; started < run->plan.threads && err == BRISK_OK; started++) {
        load_worker *w = &run->workers[started];
        w->step = step;
        w->stop = &run->stop;
        atomic_store_explicit(&w->answered, 0, memory_order_relaxed);
        err = brisk_thread_start(
            &w->thread, &(brisk_thread_opts){.name = "load", .run = load_worker_run, .ctx = w});
    }
    if (err == BRISK_OK) {
        wait_step(run, &step);
    } else {
        atomic_store_explicit(&run->stop, true, memory_order_relaxed);
    }
    for (uint32_t i = 0; i < started; i++) {
        brisk_thread_join(&run->workers[i].thread);
    }
    if (run->progress != NULL) {
        (void)fputs("\r\033[K", run->progress);
        (void)fflush(run->progress);
    }
    return err;
}

/* --- figures ------------------------------------------------------------------------------ */

static void add_errors(load_errors *to, const load_errors *e)
{
    to->connect += e->connect;
    to->closed += e->closed;
    to->protocol += e->protocol;
    to->refused += e->refused;
    to->timeouts += e->timeouts;
    to->unsent += e->unsent;
}

static void add_counts(load_figures *f, const load_counts *counts)
{
    load_counts *to = &f->counts;
    to->sent += counts->sent;
    to->answered += counts->answered;
    to->in_time += counts->in_time;
    to->nulls += counts->nulls;
    to->late_count += counts->late_count;
    to->received_bytes += counts->received_bytes;
    to->backlog_max += counts->backlog_max;
    to->cpu_ns += counts->cpu_ns;
    add_errors(&to->errors, &counts->errors);
    if (to->first_error[0] == '\0') {
        memcpy(to->first_error, counts->first_error, sizeof to->first_error);
    }
    if (counts->wall_ns > 0) {
        double wall = (double)counts->wall_ns;
        f->busy_share = fmax(f->busy_share, (double)counts->cpu_ns / wall);
        f->wait_share = fmax(f->wait_share, (double)counts->wait_ns / wall);
        to->wall_ns = counts->wall_ns > to->wall_ns ? counts->wall_ns : to->wall_ns;
    }
}

/* All threads' figures; their histograms are merged into the first one's. */
static void collect(load_run *run, load_figures *f)
{
    load_worker *first = &run->workers[0];
    *f = (load_figures){.step = first->step};
    for (uint32_t i = 0; i < run->plan.threads; i++) {
        const load_counts *counts = &run->workers[i].counts;
        add_counts(f, counts);
        if (i > 0 && (brisk_hist_merge(first->counts.latency, counts->latency) != BRISK_OK ||
                      brisk_hist_merge(first->counts.late, counts->late) != BRISK_OK)) {
            continue; /* cannot be: all have one precision */
        }
    }
    const brisk_hist *latency = first->counts.latency;
    for (size_t i = 0; i < sizeof load_quantiles / sizeof load_quantiles[0]; i++) {
        f->quantile_ns[i] = brisk_hist_quantile(latency, load_quantiles[i]);
    }
    f->max_ns = brisk_hist_max(latency);
    f->mean_ns = brisk_hist_mean(latency);
    f->late_p99_ns = brisk_hist_quantile(first->counts.late, 0.99);
    f->late_max_ns = brisk_hist_max(first->counts.late);
    uint64_t sent = brisk_hist_count(first->counts.late);
    f->late_share = sent > 0 ? (double)f->counts.late_count / (double)sent : 0;
    uint64_t wall_ns =
        f->counts.wall_ns < f->step.duration_ns ? f->counts.wall_ns : f->step.duration_ns;
    f->throughput = wall_ns > 0 ? (double)f->counts.in_time * 1e9 / (double)wall_ns : 0;
    f->generator_limit = f->late_share > late_share_max || f->busy_share > busy_share_max;
    f->starved = f->wait_share > wait_share_max;
}

void load_judge(load_figures *now, const load_figures *first, uint64_t p99_limit_ns)
{
    uint64_t limit = p99_limit_ns;
    if (limit == 0) {
        limit = (uint64_t)(p99_factor * (double)first->quantile_ns[LOAD_P99]);
        limit = limit > 1000000 ? limit : 1000000;
    }
    double asked = (double)(now->counts.sent + now->counts.errors.unsent);
    uint64_t errors = load_errors_sum(&now->counts.errors) - now->counts.errors.unsent;
    if (asked > 0 && (double)errors > error_share_max * asked) {
        now->why_bad = "errors";
    } else if (now->throughput < throughput_share_min * now->step.rate) {
        now->why_bad = "the throughput does not follow the rate";
    } else if (now->quantile_ns[LOAD_P99] > limit) {
        now->why_bad = "p99 left";
    }
    now->bad = now->why_bad != NULL;
}

/* --- all steps ---------------------------------------------------------------------------- */

static brisk_err connect_all(load_run *run, brisk_errinfo *info)
{
    brisk_err err =
        run_step(run, (load_step){.duration_ns = run->plan.timeout_ns, .connect_only = true});
    uint32_t open = 0;
    const char *why = "";
    for (uint32_t i = 0; i < run->plan.threads; i++) {
        open += run->workers[i].open_count;
        why = run->workers[i].connect_error[0] != '\0' ? run->workers[i].connect_error : why;
    }
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "threads: %s", brisk_err_message(err));
    }
    if (atomic_load_explicit(&run->stop, memory_order_relaxed)) {
        return brisk_errinfo_set(info, BRISK_ERR_CANCELLED, "interrupted");
    }
    if (open == 0) {
        return brisk_errinfo_set(info, BRISK_ERR_IO, "%s:%s: %s", run->plan.target->host,
                                 run->plan.target->port,
                                 why[0] != '\0' ? why : "no answer in time");
    }
    return BRISK_OK;
}

/* Run one step and add its figures to the report; false when a signal ended it or no step is left. */
static bool add_step(load_run *run, load_report *report, double rate, brisk_err *err)
{
    if (report->step_count == LOAD_STEPS_MAX) {
        return false;
    }
    *err = run_step(run, (load_step){.rate = rate, .duration_ns = run->duration_ns});
    if (*err != BRISK_OK) {
        return false;
    }
    load_figures *f = &report->steps[report->step_count++];
    collect(run, f);
    report->interrupted = atomic_load_explicit(&run->stop, memory_order_relaxed);
    if (report->ramp.from > 0) {
        load_judge(f, &report->steps[0], report->ramp.p99_limit_ns);
    }
    return !report->interrupted;
}

static int best_below(const load_report *report, double rate)
{
    int best = -1;
    for (uint32_t i = 0; i < report->step_count; i++) {
        const load_figures *f = &report->steps[i];
        if (!f->bad && f->step.rate < rate &&
            (best < 0 || f->step.rate > report->steps[best].step.rate)) {
            best = (int)i;
        }
    }
    return best;
}

/* The lowest bad rate from which on everything is bad, or -1. */
static int first_bad(const load_report *report)
{
    int found = -1;
    for (uint32_t i = 0; i < report->step_count; i++) {
        const load_figures *f = &report->steps[i];
        bool above_good = true;
        for (uint32_t k = 0; k < report->step_count; k++) {
            above_good =
                above_good && (report->steps[k].bad || report->steps[k].step.rate < f->step.rate);
        }
        if (f->bad && above_good && (found < 0 || f->step.rate < report->steps[found].step.rate)) {
            found = (int)i;
        }
    }
    return found;
}

static brisk_err climb(load_run *run, load_report *report)
{
    const load_ramp *ramp = &report->ramp;
    brisk_err err = BRISK_OK;
    uint32_t bad = 0;
    for (uint32_t i = 0; i < ramp->steps && bad < 2; i++) {
        double part = ramp->steps > 1 ? (double)i / (ramp->steps - 1) : 0;
        if (!add_step(run, report, ramp->from * pow(ramp->to / ramp->from, part), &err)) {
            return err;
        }
        bad = report->steps[report->step_count - 1].bad ? bad + 1 : 0;
    }
    for (int i = 0; i < BISECTIONS && first_bad(report) >= 0; i++) {
        double high = report->steps[first_bad(report)].step.rate;
        int low = best_below(report, high);
        if (low < 0 || !add_step(run, report, sqrt(high * report->steps[low].step.rate), &err)) {
            return err;
        }
    }
    return err;
}

brisk_err load_run_all(load_run *run, double rate, load_report *report, brisk_errinfo *info)
{
    brisk_err err = connect_all(run, info);
    if (err != BRISK_OK) {
        return err;
    }
    double first = report->ramp.from > 0 ? report->ramp.from : rate;
    if (run->warmup_ns > 0) {
        err = run_step(run, (load_step){.rate = first, .duration_ns = run->warmup_ns});
    }
    if (err == BRISK_OK && !atomic_load_explicit(&run->stop, memory_order_relaxed)) {
        if (report->ramp.from > 0) {
            err = climb(run, report);
        } else {
            (void)add_step(run, report, rate, &err);
        }
    }
    report->beyond = report->ramp.from > 0 ? first_bad(report) : -1;
    report->knee =
        report->beyond >= 0 ? best_below(report, report->steps[report->beyond].step.rate) : -1;
    if (err == BRISK_OK && report->step_count == 0) {
        return brisk_errinfo_set(info, BRISK_ERR_CANCELLED, "interrupted");
    }
    return err == BRISK_OK ? BRISK_OK
                           : brisk_errinfo_set(info, err, "threads: %s", brisk_err_message(err));
}
