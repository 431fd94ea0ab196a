/*
 * export.c -- a measurement in the formats of others: hyperfine, Google Benchmark, Markdown, JUnit,
 * annotations of GitHub.
 *
 * Texts from outside are escaped for each format; nothing is half-written (temporary file, rename).
 */
#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brisk/file.h>

#include "base/str.h"
#include "base/text.h"
#include "observe/bench/bench.h"

enum { TEXT_BYTES_MAX = 64 << 20 };

static double mean_of(const double *values, uint32_t count)
{
    double mean = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        mean += (values[i] - mean) / (i + 1);
    }
    return mean;
}

static int exit_code(const bench_subject *s)
{
    return WIFSIGNALED(s->last_status) ? BENCH_EXIT_SIGNAL + WTERMSIG(s->last_status)
                                       : WEXITSTATUS(s->last_status);
}

/* --- JSON of others ------------------------------------------------------------------------- */

/** Seconds; as hyperfine --export-json. */
static void put_hyperfine(brisk_json *json, const bench_report *report)
{
    brisk_json_object_begin(json, NULL);
    brisk_json_array_begin(json, "results");
    for (uint32_t i = 0; i < report->now->subject_count; i++) {
        const bench_subject *s = &report->now->subjects[i];
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "command", s->name);
        brisk_json_double(json, "mean", s->figures.mean / 1e9);
        brisk_json_double(json, "stddev", s->run_count > 1 ? s->figures.sd / 1e9 : (double)NAN);
        brisk_json_double(json, "median", s->figures.median / 1e9);
        brisk_json_double(json, "user", mean_of(s->user_ns, s->run_count) / 1e9);
        brisk_json_double(json, "system", mean_of(s->system_ns, s->run_count) / 1e9);
        brisk_json_double(json, "min", s->figures.min / 1e9);
        brisk_json_double(json, "max", s->figures.max / 1e9);
        brisk_json_array_begin(json, "times");
        for (uint32_t r = 0; r < s->run_count; r++) {
            brisk_json_double(json, NULL, s->wall_ns[r] / 1e9);
        }
        brisk_json_array_end(json);
        brisk_json_array_begin(json, "exit_codes");
        for (uint32_t r = 0; r < s->run_count; r++) {
            brisk_json_i64(json, NULL, s->failed_count == 0 ? 0 : exit_code(s));
        }
        brisk_json_array_end(json);
        if (s->binding_count > 0) {
            brisk_json_object_begin(json, "parameters");
            for (uint32_t b = 0; b < s->binding_count; b++) {
                brisk_json_str(json, s->bindings[b].name, s->bindings[b].value);
            }
            brisk_json_object_end(json);
        }
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}

static void put_google_run(brisk_json *json, const bench_subject *s, uint32_t family, uint32_t run)
{
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "name", s->name);
    brisk_json_u64(json, "family_index", family);
    brisk_json_u64(json, "per_family_instance_index", 0);
    brisk_json_str(json, "run_name", s->name);
    brisk_json_str(json, "run_type", "iteration");
    brisk_json_u64(json, "repetitions", s->run_count);
    brisk_json_u64(json, "repetition_index", run);
    brisk_json_u64(json, "threads", 1);
    brisk_json_u64(json, "iterations", 1);
    brisk_json_double(json, "real_time", s->wall_ns[run]);
    brisk_json_double(json, "cpu_time", s->cpu_ns[run]);
    brisk_json_str(json, "time_unit", "ns");
    brisk_json_object_end(json);
}

/** As --benchmark_out_format=json of Google Benchmark; each run is a repetition. */
static void put_google(brisk_json *json, const bench_report *report)
{
    char date[BRISK_TEXT_SHORT_MAX];
    bench_format_date(date, report->now->when_s);
    brisk_json_object_begin(json, NULL);
    brisk_json_object_begin(json, "context");
    brisk_json_str(json, "date", date);
    brisk_json_str(json, "executable", "brisk bench");
    brisk_json_i64(json, "num_cpus", sysconf(_SC_NPROCESSORS_ONLN));
    brisk_json_str(json, "library_build_type", "release");
    brisk_json_str(json, "brisk_machine", report->now->machine);
    brisk_json_object_end(json);
    brisk_json_array_begin(json, "benchmarks");
    for (uint32_t i = 0; i < report->now->subject_count; i++) {
        const bench_subject *s = &report->now->subjects[i];
        for (uint32_t run = 0; run < s->run_count; run++) {
            put_google_run(json, s, i, run);
        }
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}

/* --- Markdown -------------------------------------------------------------------------------- */

/** In a cell: a bar would end it, a back-tick the code. */
static void put_cell(brisk_str *out, const char *text)
{
    for (; *text != '\0'; text++) {
        char c = *text == '`' ? '\'' : (unsigned char)*text < 0x20 ? ' ' : *text;
        brisk_str_append(out, c == '|' ? "\\|" : &c, c == '|' ? 2 : 1);
    }
}

static void put_markdown(brisk_str *out, const bench_report *report)
{
    bool compared = report->comparisons != NULL;
    brisk_str_add(out, "| Command | Median | Mean \xc2\xb1 \xcf\x83 | Min | p95 | Max |");
    brisk_str_add(out, compared ? " Time against the baseline | Verdict |\n" : "\n");
    brisk_str_add(out, "|:---|---:|---:|---:|---:|---:|");
    brisk_str_add(out, compared ? "---:|:---|\n" : "\n");
    for (uint32_t i = 0; i < report->now->subject_count; i++) {
        const bench_subject *s = &report->now->subjects[i];
        const double values[] = {s->figures.median, s->figures.mean, s->figures.sd,
                                 s->figures.min,    s->figures.p95,  s->figures.max};
        char texts[6][BRISK_TEXT_SHORT_MAX];
        for (size_t v = 0; v < 6; v++) {
            brisk_text_duration(texts[v], values[v]);
        }
        brisk_str_add(out, "| `");
        put_cell(out, s->name);
        brisk_str_printf(out, "` | %s | %s \xc2\xb1 %s | %s | %s | %s |", texts[0], texts[1],
                         texts[2], texts[3], texts[4], texts[5]);
        if (compared && report->compared[i]) {
            const bench_comparison *c = &report->comparisons[i];
            char change[3][BRISK_TEXT_SHORT_MAX];
            bench_format_change(change[0], c->change.estimate);
            bench_format_change(change[1], c->change.low);
            bench_format_change(change[2], c->change.high);
            brisk_str_printf(out, " %s [%s, %s] | %s |", change[0], change[1], change[2],
                             bench_verdict_name(c->verdict));
        } else if (compared) {
            brisk_str_add(out, " baseline | |");
        }
        brisk_str_add(out, "\n");
    }
}

/* --- for builds ------------------------------------------------------------------------------ */

static void put_xml(brisk_str *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&': brisk_str_add(out, "&amp;"); break;
        case '<': brisk_str_add(out, "&lt;"); break;
        case '>': brisk_str_add(out, "&gt;"); break;
        case '"': brisk_str_add(out, "&quot;"); break;
        default:
            /* XML 1.0 has no way to write control characters. */
            brisk_str_append(out, (unsigned char)*text < 0x20 ? " " : text, 1);
        }
    }
}

/** "slower: +7.2 % [+6.8 %, +7.7 %] wall time" */
static void put_outcome(brisk_str *out, const bench_comparison *c)
{
    char change[3][BRISK_TEXT_SHORT_MAX];
    const brisk_interval *i = c->by_cpu ? &c->cpu : &c->change;
    bench_format_change(change[0], i->estimate);
    bench_format_change(change[1], i->low);
    bench_format_change(change[2], i->high);
    brisk_str_printf(out, "%s: %s [%s, %s] %s time", bench_verdict_name(c->verdict), change[0],
                     change[1], change[2], c->by_cpu ? "processor" : "wall");
    if (!isnan(c->instruction_change)) {
        brisk_str_printf(out, ", %+.3f %% instructions", c->instruction_change * 100.0);
    }
}

static void put_junit(brisk_str *out, const bench_report *report, const bench_gate *gate)
{
    const bench_record *now = report->now;
    uint32_t skipped = 0;
    for (uint32_t i = 0; i < now->subject_count; i++) {
        skipped += report->compared != NULL && report->compared[i] ? 0 : 1;
    }
    brisk_str_add(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    brisk_str_printf(out,
                     "<testsuites>\n<testsuite name=\"brisk bench\" tests=\"%u\" "
                     "failures=\"%u\" errors=\"0\" skipped=\"%u\">\n",
                     now->subject_count, gate != NULL ? gate->failed_count : 0, skipped);
    for (uint32_t i = 0; i < now->subject_count; i++) {
        const bench_subject *s = &now->subjects[i];
        brisk_str_add(out, "<testcase classname=\"brisk.bench\" name=\"");
        put_xml(out, s->name);
        brisk_str_printf(out, "\" time=\"%.9f\">\n", s->figures.median / 1e9);
        if (report->compared == NULL || !report->compared[i]) {
            brisk_str_add(out, "<skipped message=\"the baseline has no such benchmark\"/>\n");
        } else {
            bool failed = gate != NULL && gate->failed[i];
            brisk_str_add(out, failed ? "<failure type=\"regression\" message=\"" : "<system-out>");
            put_outcome(out, &report->comparisons[i]);
            brisk_str_add(out, failed ? "\"/>\n" : "</system-out>\n");
        }
        brisk_str_add(out, "</testcase>\n");
    }
    brisk_str_add(out, "</testsuite>\n</testsuites>\n");
}

/** In a workflow command: the percent sign and line ends are written as %25, %0D, %0A. */
static void put_github_text(brisk_str *out, const char *text, bool property)
{
    for (; *text != '\0'; text++) {
        bool escaped = *text == '%' || *text == '\r' || *text == '\n' ||
                       (property && (*text == ':' || *text == ','));
        if (escaped) {
            brisk_str_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
        } else {
            brisk_str_append(out, text, 1);
        }
    }
}

static void put_github(brisk_str *out, const bench_report *report, const bench_gate *gate)
{
    for (uint32_t i = 0; i < report->now->subject_count; i++) {
        if (report->compared == NULL || !report->compared[i]) {
            continue;
        }
        const bench_comparison *c = &report->comparisons[i];
        const char *level = gate != NULL && gate->failed[i] ? "error"
                            : c->verdict == BENCH_SLOWER    ? "warning"
                            : c->verdict == BENCH_TOO_NOISY ? "warning"
                                                            : "notice";
        brisk_str outcome;
        brisk_str_init(&outcome, NULL, 1024);
        put_outcome(&outcome, c);
        brisk_str_printf(out, "::%s title=", level);
        put_github_text(out, report->now->subjects[i].name, true);
        brisk_str_add(out, "::");
        put_github_text(out, brisk_str_text(&outcome), false);
        brisk_str_add(out, "\n");
        brisk_str_deinit(&outcome);
    }
}

/* --- to a file ------------------------------------------------------------------------------- */

static brisk_err write_file(const char *path, const char *text, size_t size, brisk_errinfo *info)
{
    brisk_file_replace *replace = NULL;
    brisk_err err = brisk_file_replace_open(path, NULL, &replace, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = brisk_file_write_all(brisk_file_replace_fd(replace), text, size);
    if (err != BRISK_OK) {
        brisk_file_replace_abort(replace);
        return brisk_errinfo_set(info, err, "%s: %s", path, brisk_err_message(err));
    }
    return brisk_file_replace_commit(replace, false, info);
}

brisk_err bench_export(const bench_report *report, bench_format format, const bench_gate *gate,
                       const char *path, FILE *out, brisk_errinfo *info)
{
    brisk_str text;
    brisk_json json;
    brisk_str_init(&text, NULL, TEXT_BYTES_MAX);
    brisk_json_init(&json, brisk_str_out(&text), 2);
    brisk_err err = BRISK_OK;
    switch (format) {
    case BENCH_FORMAT_HYPERFINE:
        put_hyperfine(&json, report);
        err = brisk_json_finish(&json);
        break;
    case BENCH_FORMAT_GOOGLE:
        put_google(&json, report);
        err = brisk_json_finish(&json);
        break;
    case BENCH_FORMAT_MARKDOWN: put_markdown(&text, report); break;
    case BENCH_FORMAT_JUNIT: put_junit(&text, report, gate); break;
    case BENCH_FORMAT_GITHUB: put_github(&text, report, gate); break;
    }
    err = err == BRISK_OK ? brisk_str_err(&text) : err;
    if (err != BRISK_OK) {
        err = brisk_errinfo_set(info, err, "%s: %s", path, brisk_err_message(err));
    } else if (strcmp(path, "-") == 0) {
        (void)fwrite(brisk_str_text(&text), 1, brisk_str_size(&text), out); /* checked by main */
    } else {
        err = write_file(path, brisk_str_text(&text), brisk_str_size(&text), info);
    }
    brisk_str_deinit(&text);
    return err;
}
