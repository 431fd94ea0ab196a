/*
 * json.c -- a measurement as one JSON object.
 *
 * The members of the first command stand at the top as well, as they did when there was only one
 * command; `benchmarks` has all.
 */
#include <math.h>
#include <string.h>
#include <sys/wait.h>

#include "observe/bench/bench.h"

static void put_series(brisk_json *json, const char *key, const double *values, uint32_t count)
{
    brisk_json_array_begin(json, key);
    for (uint32_t i = 0; i < count; i++) {
        /* Fractions matter for small functions only. */
        if (values[i] < 1e6) {
            brisk_json_double(json, NULL, values[i]);
        } else {
            brisk_json_u64(json, NULL, (uint64_t)values[i]);
        }
    }
    brisk_json_array_end(json);
}

static void put_interval(brisk_json *json, const char *key, const brisk_interval *i)
{
    brisk_json_object_begin(json, key);
    brisk_json_double(json, "estimate", i->estimate);
    brisk_json_double(json, "low", i->low);
    brisk_json_double(json, "high", i->high);
    if (!isnan(i->p)) {
        brisk_json_double(json, "p", i->p);
    }
    brisk_json_object_end(json);
}

static void put_comparison(brisk_json *json, const bench_comparison *c)
{
    bool different = c->verdict == BENCH_FASTER || c->verdict == BENCH_SLOWER;
    brisk_json_double(json, "ratio", c->ratio.estimate);
    brisk_json_double(json, "ratio_low", c->ratio.low);
    brisk_json_double(json, "ratio_high", c->ratio.high);
    brisk_json_double(json, "p", c->change.p);
    brisk_json_bool(json, "beyond_noise", different);
    brisk_json_str(json, "verdict", bench_verdict_name(c->verdict));
    brisk_json_str(json, "decided_by", c->by_cpu ? "cpu" : "wall");
    put_interval(json, "change", &c->change);
    if (c->has_cpu) {
        put_interval(json, "cpu_change", &c->cpu);
    }
    if (!isnan(c->instruction_change)) {
        brisk_json_double(json, "instruction_change", c->instruction_change);
    }
    brisk_json_bool(json, "paired", c->paired);
    brisk_json_u64(json, "pairs", c->pairs);
    brisk_json_double(json, "noise_floor", c->floor);
    brisk_json_double(json, "detectable", c->detectable);
    brisk_json_double(json, "min_effect", c->min_effect);
}

void bench_json_comparison(brisk_json *json, const char *key, const bench_comparison *c)
{
    brisk_json_object_begin(json, key);
    put_comparison(json, c);
    brisk_json_object_end(json);
}

static void put_baseline(brisk_json *json, const bench_report *report, uint32_t index)
{
    const bench_subject *baseline = bench_report_baseline(report, index);
    const bench_record *record = report->before != NULL ? report->before : report->now;
    if (baseline == NULL) {
        return;
    }
    brisk_json_object_begin(json, "baseline");
    brisk_json_str(json, "name", report->before != NULL ? record->name : baseline->name);
    brisk_json_str(json, "command", baseline->text);
    brisk_json_str(json, "version", record->version);
    brisk_json_u64(json, "when_s", record->when_s);
    brisk_json_u64(json, "runs", baseline->run_count);
    put_comparison(json, &report->comparisons[index]);
    brisk_json_object_end(json);
}

static void put_figures(brisk_json *json, const bench_subject *s)
{
    const brisk_sample_figures *f = &s->figures;
    brisk_json_u64(json, "runs", s->run_count);
    brisk_json_double(json, "fastest_ns", f->min);
    brisk_json_double(json, "average_ns", f->mean);
    brisk_json_double(json, "median_ns", f->median);
    brisk_json_double(json, "p95_ns", f->p95);
    brisk_json_double(json, "slowest_ns", f->max);
    brisk_json_double(json, "sigma_ns", f->sd);
    brisk_json_double(json, "spread_ns", f->mad);
}

static void put_words(brisk_json *json, const char *key, const bench_subject *s)
{
    const bench_program *main = &s->main;
    brisk_json_array_begin(json, key);
    for (uint32_t i = s->job ? 1 : 0; i < main->word_count; i++) {
        brisk_json_str(json, NULL, main->words[i]);
    }
    brisk_json_array_end(json);
}

static double mean_of(const double *values, uint32_t count)
{
    double mean = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        mean += (values[i] - mean) / (i + 1);
    }
    return mean;
}

static void put_subject(brisk_json *json, const bench_report *report, uint32_t index)
{
    const bench_subject *s = &report->now->subjects[index];
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "name", s->name);
    brisk_json_str(json, "command", s->text);
    if (s->binding_count > 0) {
        brisk_json_object_begin(json, "parameters");
        for (uint32_t i = 0; i < s->binding_count; i++) {
            brisk_json_str(json, s->bindings[i].name, s->bindings[i].value);
        }
        brisk_json_object_end(json);
    }
    put_figures(json, s);
    brisk_json_double(json, "user_ns", mean_of(s->user_ns, s->run_count));
    brisk_json_double(json, "system_ns", mean_of(s->system_ns, s->run_count));
    brisk_json_u64(json, "peak_bytes", s->peak_bytes);
    brisk_json_bool(json, "peak_is_bound", s->peak_is_bound);
    if (s->instructions > 0) {
        brisk_json_u64(json, "instructions", s->instructions);
        brisk_json_bool(json, "instructions_repeat", s->instructions_repeat);
    }
    brisk_json_u64(json, "outliers_slow", s->figures.outliers_high);
    brisk_json_u64(json, "outliers_fast", s->figures.outliers_low);
    brisk_json_u64(json, "failed", s->failed_count);
    brisk_json_i64(json, "exit_code",
                   WIFSIGNALED(s->last_status) ? BENCH_EXIT_SIGNAL + WTERMSIG(s->last_status)
                                               : WEXITSTATUS(s->last_status));
    put_series(json, "runs_ns", s->wall_ns, s->run_count); /* in the order of measurement */
    put_series(json, "cpu_ns", s->cpu_ns, s->run_count);
    put_series(json, "busy_ns", s->busy_ns, s->run_count);
    put_baseline(json, report, index);
    brisk_json_object_end(json);
}

/** The first command, as it was when there could be only one; runs sorted. */
static bool put_first(brisk_json *json, const bench_report *report)
{
    const bench_subject *s = &report->now->subjects[0];
    double *sorted = brisk_arena_alloc(report->arena, (s->run_count + 1) * sizeof *sorted);
    if (sorted == NULL) {
        return false;
    }
    memcpy(sorted, s->wall_ns, s->run_count * sizeof *sorted);
    brisk_sample_sort(sorted, s->run_count);
    put_words(json, "command", s);
    put_figures(json, s);
    put_series(json, "runs_ns", sorted, s->run_count);
    if (report->before != NULL) {
        put_baseline(json, report, 0);
    }
    return true;
}

static void put_gate(brisk_json *json, const bench_report *report)
{
    const bench_gate *gate = report->gate;
    brisk_json_object_begin(json, "gate");
    brisk_json_double(json, "fail_on", gate->fail_on);
    brisk_json_bool(json, "passed", gate->failed_count == 0);
    brisk_json_bool(json, "measured_twice", gate->measured_twice);
    brisk_json_array_begin(json, "failed");
    for (uint32_t i = 0; i < report->now->subject_count; i++) {
        if (gate->failed[i]) {
            brisk_json_str(json, NULL, report->now->subjects[i].name);
        }
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}

brisk_exit bench_print_json(FILE *out, const bench_report *report)
{
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    if (report->now->subjects[0].run_count > 0 && !put_first(&json, report)) {
        return BRISK_EXIT_FAILED;
    }
    brisk_json_u64(&json, "warmup", report->warmup);
    brisk_json_u64(&json, "when_s", report->now->when_s);
    brisk_json_str(&json, "machine", report->now->machine);
    brisk_json_str(&json, "fingerprint", report->now->fingerprint);
    if (report->stopped_by != 0) {
        brisk_json_u64(&json, "stopped_by_signal", (uint64_t)report->stopped_by);
    }
    /* The verdict of a comparison of two is the measurement's. */
    uint32_t last = report->now->subject_count - 1;
    bool one = report->comparisons != NULL && report->compared[last] && last <= 1;
    if (one && (report->before == NULL || last == 0)) {
        brisk_json_str(&json, "verdict", bench_verdict_name(report->comparisons[last].verdict));
    }
    brisk_json_array_begin(&json, "benchmarks");
    for (uint32_t i = 0; i < report->now->subject_count; i++) {
        if (report->now->subjects[i].run_count > 0) {
            put_subject(&json, report, i);
        }
    }
    brisk_json_array_end(&json);
    if (report->gate != NULL) {
        put_gate(&json, report);
    }
    if (report->target_ns > 0) {
        brisk_json_object_begin(&json, "target");
        brisk_json_u64(&json, "ns", report->target_ns);
        brisk_json_bool(&json, "met", bench_report_meets_target(report));
        brisk_json_object_end(&json);
    }
    brisk_json_object_end(&json);
    return brisk_json_finish(&json) == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}
