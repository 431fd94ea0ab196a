/*
 * report.c -- a measurement in words.
 */
#include <math.h>
#include <string.h>
#include <sys/wait.h>

#include "base/text.h"
#include "observe/bench/bench.h"

const bench_subject *bench_report_baseline(const bench_report *report, uint32_t index)
{
    if (report->comparisons == NULL || !report->compared[index]) {
        return NULL;
    }
    if (report->against_first) {
        return &report->now->subjects[0];
    }
    /* By name; a single one is meant for a single one, whatever they are called. */
    const bench_record *before = report->before;
    for (uint32_t i = 0; i < before->subject_count; i++) {
        if (strcmp(before->subjects[i].name, report->now->subjects[index].name) == 0) {
            return &before->subjects[i];
        }
    }
    bool single = before->subject_count == 1 && report->now->subject_count == 1;
    return single ? &before->subjects[0] : NULL;
}

bool bench_report_meets_target(const bench_report *report)
{
    for (uint32_t i = 0; i < report->now->subject_count && report->target_ns > 0; i++) {
        if (report->now->subjects[i].figures.median > (double)report->target_ns) {
            return false;
        }
    }
    return true;
}

static double mean_of(const double *values, uint32_t count)
{
    double mean = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        mean += (values[i] - mean) / (i + 1);
    }
    return mean;
}

/* --- one command ---------------------------------------------------------------------------- */

static void print_usage(FILE *out, const bench_subject *s)
{
    if (s->peak_bytes == 0) {
        return; /* from a file that knows times only */
    }
    char user[BRISK_TEXT_SHORT_MAX];
    char system[BRISK_TEXT_SHORT_MAX];
    char bytes[BRISK_TEXT_SHORT_MAX];
    brisk_text_duration(user, mean_of(s->user_ns, s->run_count));
    brisk_text_duration(system, mean_of(s->system_ns, s->run_count));
    brisk_text_bytes(bytes, s->peak_bytes);
    (void)fprintf(out, "  user %s, system %s; peak memory %s%s\n", user, system,
                  s->peak_is_bound ? "at most " : "", bytes);
    if (s->instructions > 0) {
        (void)fprintf(out, "  instructions %llu%s\n", (unsigned long long)s->instructions,
                      s->instructions_repeat ? ", the same twice" : ", the smaller of two counts");
    }
}

static void print_warnings(FILE *out, const bench_report *report, const bench_subject *s)
{
    const brisk_sample_figures *f = &s->figures;
    char first[BRISK_TEXT_SHORT_MAX];
    if (s->failed_count > 0) {
        (void)fprintf(out, "  warning: %u of %u runs failed", s->failed_count, s->run_count);
        (void)fprintf(out,
                      WIFSIGNALED(s->last_status) ? "; the last was ended by signal %d\n"
                                                  : "; the last with exit code %d\n",
                      WIFSIGNALED(s->last_status) ? WTERMSIG(s->last_status)
                                                  : WEXITSTATUS(s->last_status));
    }
    if (f->outliers_high + f->outliers_low > 0 && f->count >= 5) {
        (void)fprintf(
            out, "  warning: %u of %u runs are outliers (%u slow, %u fast); none is left out",
            f->outliers_high + f->outliers_low, f->count, f->outliers_high, f->outliers_low);
        (void)fputs(f->outliers_high * 10 >= f->count ? "; is the machine busy?\n" : "\n", out);
    }
    if (f->count >= 5 && s->wall_ns[0] > f->median + 10.0 * f->mad && s->wall_ns[0] >= f->max) {
        brisk_text_duration(first, s->wall_ns[0]);
        (void)fprintf(out,
                      "  warning: the first run was the slowest (%s); a cold cache? "
                      "--warmup, or --prepare for cold runs\n",
                      first);
    }
    if (f->median < 5e6 && report->shell) {
        (void)fputs("  warning: starting the shell is a large part of so short a time\n", out);
    }
}

static void print_subject(FILE *out, const bench_report *report, const bench_subject *s)
{
    const brisk_sample_figures *f = &s->figures;
    const struct {
        const char *name;
        double ns;
    } rows[] = {{"fastest", f->min}, {"average", f->mean}, {"median", f->median}, {"p95", f->p95},
                {"slowest", f->max}, {"sigma", f->sd},     {"spread", f->mad}};
    char quoted[BRISK_TEXT_QUOTED_MAX];
    (void)fprintf(out, "%s: %u run%s after %u to warm up\n", brisk_text_quote(quoted, s->name),
                  s->run_count, s->run_count == 1 ? "" : "s", report->warmup);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[BRISK_TEXT_SHORT_MAX];
        brisk_text_duration(text, rows[i].ns);
        (void)fprintf(out, "  %-8s %12s%s\n", rows[i].name, text,
                      strcmp(rows[i].name, "spread") == 0  ? "  (median absolute deviation)"
                      : strcmp(rows[i].name, "sigma") == 0 ? "  (standard deviation)"
                                                           : "");
    }
    print_usage(out, s);
    print_warnings(out, report, s);
}

/* --- comparisons ---------------------------------------------------------------------------- */

static void print_shift(FILE *out, const char *what, const brisk_interval *i)
{
    char estimate[BRISK_TEXT_SHORT_MAX];
    char low[BRISK_TEXT_SHORT_MAX];
    char high[BRISK_TEXT_SHORT_MAX];
    bench_format_change(estimate, i->estimate);
    bench_format_change(low, i->low);
    bench_format_change(high, i->high);
    if (isfinite(i->high)) {
        (void)fprintf(out, "    %s %s [%s, %s] (p = %.2g)\n", what, estimate, low, high, i->p);
    } else {
        (void)fprintf(out, "    %s %s; too few runs for an interval\n", what, estimate);
    }
}

static void print_comparison(FILE *out, const bench_comparison *c)
{
    double ratio = c->ratio.estimate;
    bool faster = ratio >= 1.0;
    double times = faster ? ratio : 1.0 / ratio;
    (void)fprintf(out, "%.4g x %s", times, faster ? "faster" : "slower");
    if (isfinite(c->ratio.high)) {
        double low = faster ? c->ratio.low : 1.0 / c->ratio.high;
        double high = faster ? c->ratio.high : 1.0 / c->ratio.low;
        (void)fprintf(out, " [%.4g, %.4g]", low, high);
    }
    (void)fprintf(out, ", %.1f %% %s time; %s\n",
                  faster ? (1.0 - 1.0 / ratio) * 100.0 : (1.0 / ratio - 1.0) * 100.0,
                  faster ? "less" : "more", bench_verdict_name(c->verdict));
    print_shift(out, "wall time     ", &c->change);
    if (c->has_cpu) {
        print_shift(out, "processor time", &c->cpu);
    }
    char text[BRISK_TEXT_SHORT_MAX];
    if (!isnan(c->instruction_change)) {
        (void)fprintf(out, "    instructions   %+.3f %%\n", c->instruction_change * 100.0);
    }
    if (isfinite(c->floor) && isfinite(c->detectable)) {
        bench_format_change(text, c->floor);
        (void)fprintf(out, "    noise floor %s, measured here", text + 1);
        bench_format_change(text, c->detectable);
        (void)fprintf(out, "; a change below %s could have been missed\n", text + 1);
    }
    if (c->by_cpu) {
        (void)fputs("    decided by processor time, which is the steadier one here\n", out);
    }
}

static void print_against_first(FILE *out, const bench_report *report)
{
    char quoted[BRISK_TEXT_QUOTED_MAX];
    (void)fprintf(out, "against '%s', side by side:\n",
                  brisk_text_quote(quoted, report->now->subjects[0].name));
    for (uint32_t i = 1; i < report->now->subject_count; i++) {
        if (report->compared[i]) {
            (void)fprintf(out, "  %s: ", brisk_text_quote(quoted, report->now->subjects[i].name));
            print_comparison(out, &report->comparisons[i]);
        }
    }
}

static void print_against_kept(FILE *out, const bench_report *report, uint32_t index)
{
    const bench_record *before = report->before;
    char date[BRISK_TEXT_SHORT_MAX];
    char name[BRISK_TEXT_QUOTED_MAX];
    char version[BRISK_TEXT_QUOTED_MAX];
    if (!report->compared[index]) {
        (void)fprintf(out, "  against '%s': it has no such benchmark\n",
                      brisk_text_quote(name, before->name));
        return;
    }
    bench_format_date(date, before->when_s);
    (void)fprintf(out, "  against '%s' (%s UTC, brisk %s): ", brisk_text_quote(name, before->name),
                  date, brisk_text_quote(version, before->version));
    print_comparison(out, &report->comparisons[index]);
}

static void print_order(FILE *out, const bench_report *report)
{
    const bench_record *now = report->now;
    uint32_t best = 0;
    for (uint32_t i = 1; i < now->subject_count; i++) {
        best = now->subjects[i].figures.median < now->subjects[best].figures.median ? i : best;
    }
    char quoted[BRISK_TEXT_QUOTED_MAX];
    char median[BRISK_TEXT_SHORT_MAX];
    brisk_text_duration(median, now->subjects[best].figures.median);
    (void)fprintf(out, "fastest median: '%s', %s\n",
                  brisk_text_quote(quoted, now->subjects[best].name), median);
}

static void print_self_noise(FILE *out, const bench_report *report)
{
    const bench_subject *only = &report->now->subjects[0];
    double floor = bench_noise_floor(&only, 1);
    if (isfinite(floor)) {
        char text[BRISK_TEXT_SHORT_MAX];
        bench_format_change(text, expm1(floor));
        (void)fprintf(out,
                      "  noise floor %s: how far so many runs of this command are from "
                      "another as many\n",
                      text + 1);
    }
}

void bench_print_text(FILE *out, const bench_report *report)
{
    const bench_record *now = report->now;
    if (report->stopped_by != 0) {
        (void)fprintf(out, "stopped by signal %d; this is what was measured until then\n",
                      report->stopped_by);
    }
    for (uint32_t i = 0; i < now->subject_count; i++) {
        if (now->subjects[i].run_count == 0) {
            continue;
        }
        print_subject(out, report, &now->subjects[i]);
        if (report->before != NULL && report->comparisons != NULL) {
            print_against_kept(out, report, i);
        }
    }
    if (now->subject_count == 1 && now->subjects[0].run_count > 0) {
        print_self_noise(out, report);
    }
    if (report->against_first && report->comparisons != NULL) {
        print_against_first(out, report);
        print_order(out, report);
    }
    if (report->target_ns > 0 && report->stopped_by == 0) {
        char text[BRISK_TEXT_SHORT_MAX];
        brisk_text_duration(text, (double)report->target_ns);
        (void)fprintf(out, "  target %s: %s\n", text,
                      bench_report_meets_target(report) ? "met by the median"
                                                        : "not met by the median");
    }
    if (report->kept_as != NULL) {
        (void)fprintf(out, "  kept as '%s'\n", report->kept_as);
    }
}
