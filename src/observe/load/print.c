/*
 * print.c -- a load's report as text and as JSON.
 *
 * A quantile is printed only when there are enough answers for it: p99.9 of a thousand answers is one answer.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <brisk/grade.h>
#include <brisk/json.h>

#include "base/text.h"
#include "observe/bench/bench.h"
#include "observe/load/load.h"

static const char *const names[6] = {"p50", "p75", "p90", "p99", "p99.9", "p99.99"};

/* At least ten answers beyond it. */
static bool enough(const load_figures *f, size_t quantile)
{
    return (double)f->counts.answered * (1 - load_quantiles[quantile]) >= 9.999;
}

static const char *rate_text(char buffer[BRISK_TEXT_SHORT_MAX], double rate)
{
    if (rate >= 1e6) {
        (void)snprintf(buffer, BRISK_TEXT_SHORT_MAX, "%.2f M", rate / 1e6);
    } else if (rate >= 1e4) {
        (void)snprintf(buffer, BRISK_TEXT_SHORT_MAX, "%.1f k", rate / 1e3);
    } else {
        (void)snprintf(buffer, BRISK_TEXT_SHORT_MAX, "%.*f", rate < 100 ? 1 : 0, rate);
    }
    return buffer;
}

static void print_errors(FILE *out, const load_figures *f)
{
    const load_errors *e = &f->counts.errors;
    const struct {
        const char *name;
        uint64_t count;
    } list[] = {{"timeouts", e->timeouts},
                {"never sent, no connection was free", e->unsent},
                {"errors as the answer", e->refused},
                {"connections closed before the answer", e->closed},
                {"answers that are none", e->protocol},
                {"connections refused", e->connect}};
    uint64_t sum = load_errors_sum(e);
    (void)fprintf(out, "  errors        %" PRIu64 "\n", sum - e->timeouts - e->unsent);
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (list[i].count > 0) {
            (void)fprintf(out, "    %-12" PRIu64 "%s\n", list[i].count, list[i].name);
        }
    }
    if (f->counts.first_error[0] != '\0') {
        char quoted[BRISK_TEXT_QUOTED_MAX];
        (void)fprintf(out, "    the first one: %s\n",
                      brisk_text_quote(quoted, f->counts.first_error));
    }
    if (e->timeouts + e->unsent > 0) {
        (void)fprintf(out,
                      "    these are in no percentile; with them the upper ones would be higher\n");
    }
}

/* Of a step: how long it took, how much of what was asked came, and what failed.  With users no rate is asked. */
static brisk_grade_score grade_of(const load_report *report, const load_figures *f)
{
    double asked = report->plan->users ? (double)NAN : f->step.rate;
    uint64_t failed = load_errors_sum(&f->counts.errors);
    uint64_t all = f->counts.answered + failed;
    const brisk_grade_part parts[] = {
        {.name = "response time p99",
         .value = enough(f, LOAD_P99) ? (double)f->quantile_ns[LOAD_P99] : (double)NAN,
         .scale = brisk_grade_scale(report->knobs, BRISK_GRADED_RESPONSE),
         .weight = 0.5},
        {.name = "throughput of what was asked",
         .value = f->throughput / asked,
         .scale = brisk_grade_scale(report->knobs, BRISK_GRADED_THROUGHPUT),
         .weight = 0.25},
        {.name = "errors",
         .value = all > 0 ? (double)failed / (double)all : (double)NAN,
         .scale = brisk_grade_scale(report->knobs, BRISK_GRADED_ERRORS),
         .weight = 0.25},
    };
    brisk_grade_score score = {.points = (double)NAN};
    brisk_err err = brisk_grade_overall(parts, sizeof parts / sizeof parts[0], &score);
    (void)err; /* it takes these parts */
    return score;
}

static void print_generator(FILE *out, const load_figures *f)
{
    char late[BRISK_TEXT_SHORT_MAX];
    char most[BRISK_TEXT_SHORT_MAX];
    brisk_text_duration(late, (double)f->late_p99_ns);
    brisk_text_duration(most, (double)f->late_max_ns);
    (void)fprintf(out,
                  "  generator     sent late (by more than 1 ms): %.2f %%; p99 %s, most %s; "
                  "%.0f %% of a processor, %.0f %% waiting for one\n",
                  100 * f->late_share, late, most, 100 * f->busy_share, 100 * f->wait_share);
    if (f->starved) {
        (void)fprintf(
            out, "  The generator had to wait for a processor that others had, and read answers "
                 "late: part of the latency is its own.\n");
    } else if (f->generator_limit) {
        (void)fprintf(out, "  The generator itself was at its limit: the server may be better than "
                           "this (more --threads, another machine, --pipeline).\n");
    }
}

static void print_step(FILE *out, const load_report *report, const load_figures *f)
{
    const load_counts *c = &f->counts;
    char text[BRISK_TEXT_SHORT_MAX];
    (void)fprintf(out, "  answered      %" PRIu64 " of %" PRIu64 ", %.0f a second", c->answered,
                  c->sent + c->errors.unsent, f->throughput);
    if (report->plan->target->resp && c->nulls > 0) {
        (void)fprintf(out, "; %.1f %% of them null (no such key)",
                      c->answered > 0 ? 100 * (double)c->nulls / (double)c->answered : 0.0);
    }
    brisk_text_bytes(text, c->received_bytes);
    (void)fprintf(out, "; %s received\n  latency       ", text);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (enough(f, i)) {
            brisk_text_duration(text, (double)f->quantile_ns[i]);
            (void)fprintf(out, "%s %s, ", names[i], text);
        }
    }
    brisk_text_duration(text, (double)f->max_ns);
    (void)fprintf(out, "most %s, ", text);
    brisk_text_duration(text, f->mean_ns);
    (void)fprintf(out, "mean %s\n", text);
    (void)fprintf(
        out, "                %s\n",
        report->plan->users
            ? "from when the user was ready to send; a stalled server holds its users back"
            : "from when a request was due, waiting for a free connection included");
    print_errors(out, f);
    brisk_grade_score score = grade_of(report, f);
    (void)fprintf(out, "  grade         %s\n", score.text);
    print_generator(out, f);
}

static void print_ramp(FILE *out, const load_report *report)
{
    (void)fprintf(out, "  %10s %10s %10s %10s %9s %9s\n", "asked/s", "answered/s", "p50", "p99",
                  "errors", "late");
    for (uint32_t i = 0; i < report->step_count; i++) {
        const load_figures *f = &report->steps[i];
        char p50[BRISK_TEXT_SHORT_MAX];
        char p99[BRISK_TEXT_SHORT_MAX];
        brisk_text_duration(p50, (double)f->quantile_ns[LOAD_P50]);
        brisk_text_duration(p99, (double)f->quantile_ns[LOAD_P99]);
        (void)fprintf(out, "  %10.0f %10.0f %10s %10s %9" PRIu64 " %8.2f%%%s%s%s\n", f->step.rate,
                      f->throughput, p50, p99, load_errors_sum(&f->counts.errors),
                      100 * f->late_share, f->bad ? "  " : "", f->bad ? f->why_bad : "",
                      f->starved           ? " (generator without a processor)"
                      : f->generator_limit ? " (generator at its limit)"
                                           : "");
    }
    char low[BRISK_TEXT_SHORT_MAX];
    char high[BRISK_TEXT_SHORT_MAX];
    if (report->beyond < 0) {
        (void)fprintf(out, "No knee up to %s/s: the server kept up.\n",
                      rate_text(low, report->step_count > 0
                                         ? report->steps[report->step_count - 1].step.rate
                                         : 0));
        return;
    }
    const load_figures *bad = &report->steps[report->beyond];
    if (report->knee < 0) {
        (void)fprintf(out, "The knee is below %s/s: %s already there.\n",
                      rate_text(high, bad->step.rate), bad->why_bad);
    } else {
        (void)fprintf(out, "Knee: between %s/s and %s/s (%s).\n",
                      rate_text(low, report->steps[report->knee].step.rate),
                      rate_text(high, bad->step.rate), bad->why_bad);
    }
    if (bad->generator_limit || bad->starved) {
        (void)fprintf(out, "There the generator itself was at its limit, or had no processor: the "
                           "server's own knee may "
                           "lie higher.\n");
    }
}

void load_print_text(FILE *out, const load_report *report)
{
    const load_plan *plan = report->plan;
    char rate[BRISK_TEXT_SHORT_MAX];
    char length[BRISK_TEXT_SHORT_MAX];
    char quoted[BRISK_TEXT_QUOTED_MAX];
    (void)fprintf(out, "%s", brisk_text_quote(quoted, report->address));
    for (uint32_t i = 0; plan->target->resp && i < plan->requests->count && i < 4; i++) {
        (void)fprintf(out, "%s%s", i == 0 ? ": " : " | ",
                      brisk_text_quote(quoted, plan->requests->templates[i].text));
    }
    brisk_text_duration(length, (double)report->steps[0].step.duration_ns);
    if (plan->users) {
        (void)fprintf(out, ", %u users", plan->connections);
    } else {
        (void)fprintf(out, ", %u connections", plan->connections);
    }
    if (plan->pipeline > 1) {
        (void)fprintf(out, " of up to %u requests under way", plan->pipeline);
    }
    if (report->ramp.from > 0) {
        (void)fprintf(out, ", steps of %s\n", length);
        print_ramp(out, report);
    } else {
        (void)fprintf(out, ", %s", length);
        if (!plan->users) {
            (void)fprintf(out, " at %s/s", rate_text(rate, report->steps[0].step.rate));
        }
        (void)fputc('\n', out);
        print_step(out, report, &report->steps[0]);
    }
    if (report->interrupted) {
        (void)fprintf(out, "Interrupted: the last figures are of a shorter time.\n");
    }
}

/* --- JSON --------------------------------------------------------------------------------- */

static void json_errors(brisk_json *json, const load_errors *e)
{
    brisk_json_object_begin(json, "errors");
    brisk_json_u64(json, "refused", e->refused);
    brisk_json_u64(json, "closed", e->closed);
    brisk_json_u64(json, "protocol", e->protocol);
    brisk_json_u64(json, "connect", e->connect);
    brisk_json_object_end(json);
    brisk_json_u64(json, "timeouts", e->timeouts);
    brisk_json_u64(json, "unsent", e->unsent);
}

static void json_step(brisk_json *json, const load_report *report, const load_figures *f)
{
    brisk_json_object_begin(json, NULL);
    brisk_json_double(json, "rate", report->plan->users ? (double)NAN : f->step.rate);
    brisk_json_u64(json, "duration_ns", f->step.duration_ns);
    brisk_json_u64(json, "sent", f->counts.sent);
    brisk_json_u64(json, "answered", f->counts.answered);
    brisk_json_double(json, "throughput", f->throughput);
    brisk_json_u64(json, "nulls", f->counts.nulls);
    brisk_json_u64(json, "received_bytes", f->counts.received_bytes);
    brisk_json_object_begin(json, "latency_ns");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        brisk_json_double(json, names[i], enough(f, i) ? (double)f->quantile_ns[i] : (double)NAN);
    }
    brisk_json_u64(json, "max", f->max_ns);
    brisk_json_double(json, "mean", f->mean_ns);
    brisk_json_object_end(json);
    json_errors(json, &f->counts.errors);
    if (f->counts.first_error[0] != '\0') {
        brisk_json_str(json, "first_error", f->counts.first_error);
    }
    brisk_grade_score score = grade_of(report, f);
    brisk_json_object_begin(json, "grade");
    brisk_json_double(json, "points", score.points);
    brisk_json_str(json, "grade", brisk_grade_name(score.grade));
    brisk_json_str(json, "text", score.text);
    brisk_json_object_end(json);
    brisk_json_object_begin(json, "generator");
    brisk_json_bool(json, "limit", f->generator_limit);
    brisk_json_bool(json, "starved", f->starved);
    brisk_json_double(json, "late_share", f->late_share);
    brisk_json_u64(json, "late_p99_ns", f->late_p99_ns);
    brisk_json_u64(json, "late_max_ns", f->late_max_ns);
    brisk_json_double(json, "busy_share", f->busy_share);
    brisk_json_double(json, "wait_share", f->wait_share);
    brisk_json_u64(json, "cpu_ns", f->counts.cpu_ns);
    brisk_json_u64(json, "backlog_max", f->counts.backlog_max);
    brisk_json_object_end(json);
    if (report->ramp.from > 0) {
        brisk_json_bool(json, "bad", f->bad);
        if (f->bad) {
            brisk_json_str(json, "why", f->why_bad);
        }
    }
    brisk_json_object_end(json);
}

brisk_exit load_print_json(FILE *out, const load_report *report)
{
    const load_plan *plan = report->plan;
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_str(&json, "address", report->address);
    brisk_json_str(&json, "mode", plan->users ? "users" : "rate");
    brisk_json_u64(&json, "connections", plan->connections);
    brisk_json_u64(&json, "threads", plan->threads);
    brisk_json_u64(&json, "pipeline", plan->pipeline);
    brisk_json_u64(&json, "keys", plan->requests->keys.count);
    brisk_json_double(&json, "skew", plan->requests->keys.skew);
    brisk_json_u64(&json, "seed", plan->seed);
    brisk_json_bool(&json, "interrupted", report->interrupted);
    brisk_json_array_begin(&json, "steps");
    for (uint32_t i = 0; i < report->step_count; i++) {
        json_step(&json, report, &report->steps[i]);
    }
    brisk_json_array_end(&json);
    if (report->ramp.from > 0) {
        brisk_json_object_begin(&json, "knee");
        brisk_json_bool(&json, "found", report->beyond >= 0);
        brisk_json_double(&json, "good",
                          report->knee >= 0 ? report->steps[report->knee].step.rate : (double)NAN);
        brisk_json_double(&json, "bad",
                          report->beyond >= 0 ? report->steps[report->beyond].step.rate
                                              : (double)NAN);
        brisk_json_object_end(&json);
    }
    brisk_json_object_end(&json);
    return brisk_json_finish(&json) == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}
