/*
 * print.c -- a stage profile for people (waterfall, table, words) and as JSON.
 *
 *     stage            ms   share  wait ms  path  |####                        |
 *     rom_loading   0.412    12 %        -   *    |===                         |
 *
 * The waterfall is the typical run: '=' on the critical path, '-' beside it, '.' ready and waiting.  With several runs
 * medians of each stage stand beside it.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include <brisk/stats.h>

#include "base/assert.h"
#include "base/text.h"
#include "observe/stage/profile.h"

enum { LINE_BYTES = 512, BAR_WIDTH = 32, NAME_WIDTH = 24, BOTTLENECKS = 6, SCHEMA = 1 };

static const double NS_PER_MS = 1e6;

BRISK_PRINTF(2, 3)
static brisk_err print(brisk_out out, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length < 0) {
        return BRISK_ERR_INVALID;
    }
    size_t size = (size_t)length < sizeof line ? (size_t)length : sizeof line - 1;
    brisk_text_make_plain(line, size - 1);
    line[size - 1] = '\n';
    return out.write(out.ctx, line, size);
}

/* --- medians over the runs ---------------------------------------------------------------- */

typedef enum what { WHAT_NS, WHAT_WAIT, WHAT_ELAPSED } what;

/* Of the stage called `name` in all runs in which it was computed; `scratch` has room for all runs. */
static double median(const brisk_stage_profile *profile, what w, const char *name, double *scratch)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < brisk_stage_profile_count(profile); i++) {
        const brisk_stage_run *run = brisk_stage_profile_at(profile, i);
        uint32_t index = name != NULL ? stage_find(run, name) : 0;
        if (w == WHAT_ELAPSED) {
            scratch[count++] = (double)run->elapsed_ns;
        } else if (index != UINT32_MAX && run->stages[index].how == BRISK_HOW_COMPUTED) {
            const brisk_stage_times *s = &run->stages[index];
            scratch[count++] =
                w == WHAT_NS ? (double)s->ns : (double)(s->start_ns - stage_ready(run, index));
        }
    }
    if (count == 0) {
        return 0;
    }
    brisk_sample_sort(scratch, count);
    return brisk_sample_median(scratch, count);
}

static double *new_scratch(const brisk_stage_profile *profile)
{
    return profile->alloc->acquire(profile->alloc->ctx, profile->count * sizeof(double),
                                   _Alignof(double));
}

static void free_scratch(const brisk_stage_profile *profile, double *scratch)
{
    profile->alloc->release(profile->alloc->ctx, scratch, profile->count * sizeof(double),
                            _Alignof(double));
}

static uint32_t count_answered(const brisk_stage_profile *profile)
{
    uint32_t answered = 0;
    for (uint32_t i = 0; i < profile->count; i++) {
        answered += profile->runs[i]->run.answered_by[0] != '\0' ? 1 : 0;
    }
    return answered;
}

/* --- text --------------------------------------------------------------------------------- */

/* Mark cells of [from, to) with `mark`; something that took time has one cell at least. */
static void draw(char *bar, uint64_t elapsed_ns, uint64_t from, uint64_t to, char mark)
{
    if (elapsed_ns == 0 || to <= from || from >= elapsed_ns) {
        return;
    }
    to = to < elapsed_ns ? to : elapsed_ns; /* a log may say anything */
    uint32_t first = (uint32_t)((double)from / (double)elapsed_ns * BAR_WIDTH);
    uint32_t last = (uint32_t)((double)(to - 1) / (double)elapsed_ns * BAR_WIDTH);
    last = last < BAR_WIDTH ? last : BAR_WIDTH - 1;
    for (uint32_t i = first; i <= last; i++) {
        bar[i] = mark;
    }
}

static const char *how_text(const brisk_stage_times *s)
{
    switch (s->how) {
    case BRISK_HOW_COMPUTED: return "";
    case BRISK_HOW_ANSWERED: return " cached";
    case BRISK_HOW_FAILED: return " failed";
    case BRISK_HOW_SKIPPED: return " skipped";
    }
    return "";
}

/* "-", "812", "4.0K", "1.2M": at most 6 characters. */
static void format_bytes(uint64_t bytes, char *buffer, size_t size)
{
    static const char suffixes[] = " KMGTPE";
    double value = (double)bytes;
    uint32_t power = 0;
    while (value >= 999.95 && power < sizeof suffixes - 2) {
        value /= 1024;
        power++;
    }
    if (bytes == 0) {
        (void)snprintf(buffer, size, "-");
    } else if (power == 0) {
        (void)snprintf(buffer, size, "%" PRIu64, bytes);
    } else {
        (void)snprintf(buffer, size, "%.1f%c", value, suffixes[power]);
    }
}

static brisk_err write_row(const brisk_stage_profile *profile, const brisk_stage_run *run,
                           uint32_t index, double *scratch, brisk_out out)
{
    const brisk_stage_times *s = &run->stages[index];
    char bar[BAR_WIDTH + 1];
    memset(bar, ' ', BAR_WIDTH);
    bar[BAR_WIDTH] = '\0';
    uint64_t ready = stage_ready(run, index);
    draw(bar, run->elapsed_ns, ready, s->start_ns, '.');
    draw(bar, run->elapsed_ns, s->start_ns, s->start_ns + s->ns, s->critical ? '=' : '-');
    double share = run->elapsed_ns > 0 ? (double)s->ns / (double)run->elapsed_ns * 100 : 0;
    char bytes[24];
    format_bytes(s->bytes, bytes, sizeof bytes);
    char cpu[16] = "";
    if (run->profiled) {
        (void)snprintf(cpu, sizeof cpu, " %8.3f", (double)s->cpu_ns / NS_PER_MS);
    }
    return print(out, "%-*.*s %9.3f %5.1f %9.3f%s %7s  %s |%s|%s%s\n", NAME_WIDTH, NAME_WIDTH,
                 s->name, median(profile, WHAT_NS, s->name, scratch) / NS_PER_MS, share,
                 median(profile, WHAT_WAIT, s->name, scratch) / NS_PER_MS, cpu, bytes,
                 s->critical ? "*" : " ", bar, s->blocking ? " outside" : "", how_text(s));
}

static brisk_err write_figures(const brisk_stage_profile *profile, const brisk_stage_run *run,
                               brisk_out out)
{
    brisk_stage_figures f;
    brisk_stage_run_figures(run, &f);
    double elapsed = f.elapsed_ns > 0 ? (double)f.elapsed_ns : 1;
    char cores[32] = "";
    if (run->cores > 0) {
        (void)snprintf(cores, sizeof cores, " (%u processors)", run->cores);
    }
    brisk_err err =
        print(out, "threads     %.2f busy of %u on average%s, parallel efficiency %.0f %%\n",
              f.busy, run->threads, cores, f.efficiency * 100);
    if (err == BRISK_OK) {
        err =
            print(out,
                  "time        critical path %.0f %%, between stages %.0f %%, ready but no thread "
                  "%.3f ms\n",
                  (double)f.critical_ns / elapsed * 100, (double)f.idle_ns / elapsed * 100,
                  (double)f.wait_ns / NS_PER_MS);
    }
    if (err == BRISK_OK && run->profiled) {
        err = print(out,
                    "processors  %.3f ms computing, %.3f ms runnable without one, %.3f ms waiting "
                    "outside\n",
                    (double)f.cpu_ns / NS_PER_MS, (double)f.delay_ns / NS_PER_MS,
                    (double)f.outside_ns / NS_PER_MS);
    }
    if (err == BRISK_OK) {
        err = print(out, "cache       answered %u of %u runs\n", count_answered(profile),
                    profile->count);
    }
    return err;
}

static brisk_err write_bottlenecks(const brisk_stage_run *run, brisk_out out)
{
    brisk_bottleneck found[BOTTLENECKS];
    uint32_t count = brisk_stage_run_bottlenecks(run, found, BOTTLENECKS);
    brisk_err err = print(out, "\n");
    if (err == BRISK_OK) {
        err = print(out, "%s\n", count > 0 ? "What holds it up" : "Nothing stands out.");
    }
    for (uint32_t i = 0; i < count && err == BRISK_OK; i++) {
        err = print(out, "  %2.0f %%  %s\n", found[i].share * 100, found[i].text);
    }
    return err;
}

brisk_err brisk_stage_profile_write_text(const brisk_stage_profile *profile, brisk_out out)
{
    uint32_t typical = brisk_stage_profile_typical(profile);
    if (typical == UINT32_MAX) {
        return BRISK_ERR_NOT_FOUND;
    }
    double *scratch = new_scratch(profile);
    if (scratch == NULL) {
        return BRISK_ERR_NOMEM;
    }
    const brisk_stage_run *run = brisk_stage_profile_at(profile, typical);
    brisk_err err = print(out, "%s: %.3f ms, median of %u run%s\n", run->workload,
                          median(profile, WHAT_ELAPSED, NULL, scratch) / NS_PER_MS, profile->count,
                          profile->count == 1 ? "" : "s");
    if (err == BRISK_OK) {
        err = print(out, "\n");
    }
    if (err == BRISK_OK) {
        err = print(out, "%-*s %9s %5s %9s%s %7s  path\n", NAME_WIDTH, "stage", "ms", "%",
                    "wait ms", run->profiled ? "   cpu ms" : "", "bytes");
    }
    for (uint32_t i = 0; i < run->stage_count && err == BRISK_OK; i++) {
        err = write_row(profile, run, i, scratch, out);
    }
    err = err == BRISK_OK ? print(out, "\n") : err;
    err = err == BRISK_OK ? write_figures(profile, run, out) : err;
    err = err == BRISK_OK ? write_bottlenecks(run, out) : err;
    free_scratch(profile, scratch);
    return err;
}

/* --- JSON --------------------------------------------------------------------------------- */

static void json_stage(const brisk_stage_profile *profile, const brisk_stage_run *run,
                       uint32_t index, double *scratch, brisk_json *json)
{
    static const char *const hows[] = {"computed", "answered", "failed", "skipped"};
    const brisk_stage_times *s = &run->stages[index];
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "stage", s->name);
    brisk_json_str(json, "how", hows[s->how]);
    brisk_json_u64(json, "ready_ns", stage_ready(run, index));
    brisk_json_u64(json, "start_ns", s->start_ns);
    brisk_json_u64(json, "ns", s->ns);
    brisk_json_double(json, "median_ns", median(profile, WHAT_NS, s->name, scratch));
    brisk_json_u64(json, "wait_ns", s->start_ns - stage_ready(run, index));
    brisk_json_double(json, "median_wait_ns", median(profile, WHAT_WAIT, s->name, scratch));
    if (run->profiled) {
        brisk_json_u64(json, "cpu_ns", s->cpu_ns);
        brisk_json_u64(json, "delay_ns", s->delay_ns);
    }
    brisk_json_u64(json, "bytes", s->bytes);
    brisk_json_u64(json, "items", s->items);
    brisk_json_i64(json, "worker", s->worker);
    brisk_json_bool(json, "critical", s->critical);
    brisk_json_bool(json, "blocking", s->blocking);
    brisk_json_array_begin(json, "after");
    for (uint32_t i = 0; i < run->stage_count; i++) {
        if (stage_is_after(s, i)) {
            brisk_json_str(json, NULL, run->stages[i].name);
        }
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}

static void json_figures(const brisk_stage_run *run, brisk_json *json)
{
    brisk_stage_figures f;
    brisk_stage_run_figures(run, &f);
    brisk_json_object_begin(json, "figures");
    brisk_json_u64(json, "elapsed_ns", f.elapsed_ns);
    brisk_json_u64(json, "work_ns", f.work_ns);
    brisk_json_u64(json, "critical_ns", f.critical_ns);
    brisk_json_u64(json, "wait_ns", f.wait_ns);
    brisk_json_u64(json, "between_ns", f.idle_ns);
    if (run->profiled) {
        brisk_json_u64(json, "cpu_ns", f.cpu_ns);
        brisk_json_u64(json, "delay_ns", f.delay_ns);
        brisk_json_u64(json, "outside_ns", f.outside_ns);
    }
    brisk_json_double(json, "busy", f.busy);
    brisk_json_double(json, "efficiency", f.efficiency);
    brisk_json_array_begin(json, "level_ns");
    uint32_t levels = BRISK_STAGE_LEVELS;
    while (levels > 1 && f.level_ns[levels - 1] == 0) {
        levels--;
    }
    for (uint32_t i = 0; i < levels; i++) {
        brisk_json_u64(json, NULL, f.level_ns[i]);
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}

static void json_bottlenecks(const brisk_stage_run *run, brisk_json *json)
{
    brisk_bottleneck found[BOTTLENECKS];
    uint32_t count = brisk_stage_run_bottlenecks(run, found, BOTTLENECKS);
    brisk_json_array_begin(json, "bottlenecks");
    for (uint32_t i = 0; i < count; i++) {
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "kind", found[i].kind);
        if (found[i].stage < run->stage_count) {
            brisk_json_str(json, "stage", run->stages[found[i].stage].name);
        } else {
            brisk_json_null(json, "stage");
        }
        brisk_json_double(json, "share", found[i].share);
        brisk_json_str(json, "text", found[i].text);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

brisk_err brisk_stage_profile_write_json(const brisk_stage_profile *profile, brisk_json *json)
{
    uint32_t typical = brisk_stage_profile_typical(profile);
    if (typical == UINT32_MAX) {
        return BRISK_ERR_NOT_FOUND;
    }
    double *scratch = new_scratch(profile);
    if (scratch == NULL) {
        return BRISK_ERR_NOMEM;
    }
    const brisk_stage_run *run = brisk_stage_profile_at(profile, typical);
    brisk_json_u64(json, "schema", SCHEMA);
    brisk_json_str(json, "workload", run->workload);
    brisk_json_u64(json, "runs", profile->count);
    brisk_json_u64(json, "answered", count_answered(profile));
    brisk_json_double(json, "median_elapsed_ns", median(profile, WHAT_ELAPSED, NULL, scratch));
    brisk_json_u64(json, "threads", run->threads);
    brisk_json_u64(json, "workers", run->workers);
    brisk_json_u64(json, "cores", run->cores);
    brisk_json_bool(json, "profiled", run->profiled);
    json_figures(run, json);
    brisk_json_array_begin(json, "stages");
    for (uint32_t i = 0; i < run->stage_count; i++) {
        json_stage(profile, run, i, scratch, json);
    }
    brisk_json_array_end(json);
    json_bottlenecks(run, json);
    free_scratch(profile, scratch);
    return BRISK_OK;
}
