/*
 * suite.c -- `brisk bench --comprehensive`: the standard suite, its time shared out, its report.
 *
 *     half of the time    functions of cache, executor, input and output, side by side
 *     the other half      a job of every workload as a process of its own, side by side
 *
 * Of a workload that the suite knows no job for, the start of its module is measured (its help).
 * Everything is made in a folder of its own, which is removed again; no figure depends on what the
 * user has cached.
 */
#include "observe/bench/suite.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/file.h>
#include <brisk/module.h>
#include <brisk/rng.h>
#include <brisk/version.h>

#include "base/cleanup.h"

BRISK_DEFINE_CLEANUP(brisk_manifests, brisk_manifests_destroy)

enum {
    JOBS_MAX = 32,
    SUITE_SAMPLES = 1000,
    ROM_BYTES = 1 << 20,
    FTW_FILES = 16,
};

static const uint64_t duration_default_ns = UINT64_C(60000000000);

/** One suite on its way. */
typedef struct suite {
    bench_ask *ask;
    char *folder;
    const char *quoted; /* the folder as a word of a command */
    uint64_t started_ns;
    uint64_t duration_ns;
    bool terminal;
    int stopped_by;
    bench_subject *subjects;
    uint32_t subject_count;
    const char *jobs[JOBS_MAX];
    const char *names[JOBS_MAX];
    uint32_t job_count;
} suite;

static brisk_exit fail(const suite *s, const char *text)
{
    (void)fprintf(s->ask->invocation->err, "brisk: bench: %s\n", text);
    return BRISK_EXIT_FAILED;
}

static brisk_exit no_memory(const suite *s)
{
    return fail(s, brisk_err_message(BRISK_ERR_NOMEM));
}

/* --- functions -------------------------------------------------------------------------------- */

static bool ask_to_stop(void *ctx, uint32_t done, uint32_t total)
{
    suite *s = ctx;
    (void)total;
    int signal_number = bench_signals_take(s->ask->signals);
    s->stopped_by = s->stopped_by != 0 ? s->stopped_by : signal_number;
    if (s->terminal) {
        (void)fprintf(s->ask->invocation->err, "\r\033[Kfunctions, sample %u, %.0f of %.0f s",
                      done + 1, (double)(brisk_clock_now_ns(NULL) - s->started_ns) / 1e9,
                      (double)s->duration_ns / 1e9);
        (void)fflush(s->ask->invocation->err);
    }
    return s->stopped_by != 0;
}

/** A result becomes a subject like any other: a run is a sample's mean. */
static bool add_result(suite *s, const brisk_bench_result *r)
{
    bench_subject *subject = &s->subjects[s->subject_count];
    subject->name = r->name;
    subject->text = r->name;
    if (!bench_measure_room(s->ask->arena, subject, r->count)) {
        return false;
    }
    subject->run_count = r->count;
    for (uint32_t i = 0; i < r->count; i++) {
        subject->wall_ns[i] = r->ns[i] > 0.0 ? r->ns[i] : 1e-3;
        subject->user_ns[i] = 0.0;
        subject->system_ns[i] = 0.0;
        subject->cpu_ns[i] = 1.0;
        subject->busy_ns[i] = 1.0;
    }
    s->subject_count++;
    return true;
}

static brisk_exit measure_functions(suite *s)
{
    suite_parts *parts = NULL;
    brisk_errinfo info = {0};
    if (suite_parts_create(s->ask->arena, s->folder, &parts, &info) != BRISK_OK) {
        return fail(s, info.text);
    }
    brisk_bench_case cases[SUITE_CASES_MAX];
    brisk_bench_result results[SUITE_CASES_MAX];
    memset(results, 0, sizeof results);
    uint32_t count = suite_parts_cases(parts, cases);
    brisk_bench_opts opts = {.samples = SUITE_SAMPLES,
                             .duration_ns = s->duration_ns / 2,
                             .seed = s->ask->plan.seed,
                             .stop = ask_to_stop,
                             .stop_ctx = s};
    brisk_err err = brisk_bench_run(cases, count, &opts, results);
    if (s->terminal) {
        (void)fputs("\r\033[K", s->ask->invocation->err);
    }
    const char *failed = suite_parts_failed(parts);
    brisk_exit status = BRISK_EXIT_OK;
    if (failed != NULL) {
        (void)fprintf(s->ask->invocation->err, "brisk: bench: '%s' does not work here\n", failed);
        status = BRISK_EXIT_FAILED;
    } else if (err == BRISK_ERR_CANCELLED) {
        status = BRISK_EXIT_OK; /* nothing to show of them */
    } else if (err != BRISK_OK) {
        status = fail(s, brisk_err_message(err));
    }
    for (uint32_t i = 0; i < count && status == BRISK_EXIT_OK && err == BRISK_OK; i++) {
        status = add_result(s, &results[i]) ? BRISK_EXIT_OK : no_memory(s);
    }
    brisk_bench_results_deinit(results, count);
    suite_parts_destroy(parts);
    return status;
}

/* --- workloads -------------------------------------------------------------------------------- */

static brisk_exit write_file(const suite *s, const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    brisk_err err = fd >= 0 ? brisk_file_write_all(fd, data, size) : brisk_err_from_errno(errno);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (err != BRISK_OK) {
        (void)fprintf(s->ask->invocation->err, "brisk: bench: %s: %s\n", path,
                      brisk_err_message(err));
        return BRISK_EXIT_FAILED;
    }
    return BRISK_EXIT_OK;
}

static bool add_job(suite *s, const char *name, const char *command)
{
    if (name == NULL || command == NULL || s->job_count == JOBS_MAX) {
        return false;
    }
    s->names[s->job_count] = name;
    s->jobs[s->job_count++] = command;
    return true;
}

/** A ROM of random bytes, a patch of four, and what a user does with them. */
static brisk_exit add_rom_jobs(suite *s)
{
    static const char patch[] = "PATCH\0\x10\0\0\x04mods"
                                "EOF";
    brisk_arena *arena = s->ask->arena;
    unsigned char *rom = brisk_arena_alloc(arena, ROM_BYTES);
    const char *game = brisk_arena_printf(arena, "%s/game.sfc", s->folder);
    const char *mod = brisk_arena_printf(arena, "%s/mod.ips", s->folder);
    if (rom == NULL || game == NULL || mod == NULL) {
        return no_memory(s);
    }
    brisk_rng rng;
    brisk_rng_init(&rng, 2);
    for (uint32_t i = 0; i < ROM_BYTES; i += 8) {
        uint64_t random = brisk_rng_next(&rng);
        memcpy(rom + i, &random, 8);
    }
    brisk_exit status = write_file(s, game, rom, ROM_BYTES);
    if (status == BRISK_EXIT_OK) {
        status = write_file(s, mod, patch, sizeof patch - 1);
    }
    if (status != BRISK_EXIT_OK) {
        return status;
    }
    const char *cache = brisk_arena_printf(arena, "--set cache.disk.path=%s/cache", s->quoted);
    bool added =
        cache != NULL &&
        add_job(s, "rom: info",
                brisk_arena_printf(arena, "brisk %s rom info %s/game.sfc", cache, s->quoted)) &&
        add_job(s, "rom: apply 1 MiB, computed",
                brisk_arena_printf(arena,
                                   "brisk %s rom apply %s/game.sfc %s/mod.ips -o %s/computed.sfc "
                                   "--no-cache --no-fsync",
                                   cache, s->quoted, s->quoted, s->quoted)) &&
        add_job(s, "rom: apply 1 MiB, remembered",
                brisk_arena_printf(arena,
                                   "brisk %s rom apply %s/game.sfc %s/mod.ips -o %s/again.sfc "
                                   "--no-fsync",
                                   cache, s->quoted, s->quoted, s->quoted));
    return added ? BRISK_EXIT_OK : no_memory(s);
}

/** Every module but this one and the server, by its manifest. */
static brisk_exit add_jobs(suite *s)
{
    BRISK_CLEANUP(brisk_manifests_destroy) brisk_manifests *manifests = NULL;
    if (brisk_manifests_load(NULL, &manifests) != BRISK_OK) {
        return no_memory(s);
    }
    brisk_arena *arena = s->ask->arena;
    brisk_exit status = add_job(s, "brisk: start", "brisk version") ? BRISK_EXIT_OK : no_memory(s);
    for (uint32_t i = 0; i < brisk_manifests_count(manifests) && status == BRISK_EXIT_OK; i++) {
        const brisk_yaml_node *node = brisk_yaml_get(brisk_manifests_at(manifests, i), "name");
        const char *name = node != NULL && node->text != NULL ? node->text : "";
        if (strcmp(name, "rom") == 0) {
            status = add_rom_jobs(s);
        } else if (name[0] != '\0' && strcmp(name, "bench") != 0 && s->job_count < JOBS_MAX) {
            status = add_job(s, brisk_arena_printf(arena, "%s: module loaded", name),
                             brisk_arena_printf(arena, "brisk %s --help", name))
                         ? BRISK_EXIT_OK
                         : no_memory(s);
        }
    }
    return status;
}

static brisk_exit measure_jobs(suite *s)
{
    bench_ask *ask = s->ask;
    brisk_exit status = add_jobs(s);
    char **words = brisk_arena_calloc(ask->arena, s->job_count + 1u, sizeof *words);
    if (status != BRISK_EXIT_OK || words == NULL) {
        return status != BRISK_EXIT_OK ? status : no_memory(s);
    }
    for (uint32_t i = 0; i < s->job_count; i++) {
        words[i] = brisk_arena_copy(ask->arena, s->jobs[i], strlen(s->jobs[i]));
        if (words[i] == NULL) {
            return no_memory(s);
        }
    }
    brisk_invocation invocation = *ask->invocation;
    invocation.argv = words;
    invocation.argc = (int)s->job_count;
    invocation.argc_before_dashes = invocation.argc;
    bench_request request = {.invocation = &invocation,
                             .arena = ask->arena,
                             .names = s->names,
                             .name_count = s->job_count};
    bench_subject *jobs = NULL;
    uint32_t count = 0;
    status = bench_read_commands(&request, &jobs, &count);
    if (status != BRISK_EXIT_OK) {
        return status;
    }
    bench_plan plan = ask->plan;
    uint64_t passed = brisk_clock_now_ns(NULL) - s->started_ns;
    plan.duration_ns = passed < s->duration_ns ? s->duration_ns - passed : 1;
    plan.runs_min = 2;
    plan.runs_max = SUITE_SAMPLES;
    bench_measurement m = {.arena = ask->arena,
                           .err = ask->invocation->err,
                           .plan = &plan,
                           .subjects = jobs,
                           .subject_count = count};
    status = bench_measure(&m);
    s->stopped_by = m.stopped_by;
    for (uint32_t i = 0; i < count && status == BRISK_EXIT_OK; i++) {
        if (jobs[i].run_count > 0) {
            s->subjects[s->subject_count++] = jobs[i];
        }
    }
    return status;
}

/* --- the whole -------------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    (void)(type == FTW_DP ? rmdir(path) : unlink(path));
    return 0;
}

static brisk_exit measure_in_folder(suite *s, bench_record *ret)
{
    brisk_exit status = measure_functions(s);
    if (status == BRISK_EXIT_OK && s->stopped_by == 0) {
        status = measure_jobs(s);
    }
    for (uint32_t i = 0; i < s->subject_count && status == BRISK_EXIT_OK; i++) {
        status = bench_describe(&s->subjects[i]) == BRISK_OK ? BRISK_EXIT_OK : no_memory(s);
    }
    if (status != BRISK_EXIT_OK) {
        return status;
    }
    *ret = (bench_record){.name = "",
                          .version = brisk_version(),
                          .when_s = brisk_clock_wall_ns(NULL) / UINT64_C(1000000000),
                          .subjects = s->subjects,
                          .subject_count = s->subject_count};
    status = bench_machine(s->ask->arena, &ret->machine, &ret->fingerprint) == BRISK_OK
                 ? BRISK_EXIT_OK
                 : no_memory(s);
    return status == BRISK_EXIT_OK && s->subject_count == 0
               ? (brisk_exit)(BENCH_EXIT_SIGNAL + s->stopped_by)
               : status;
}

brisk_exit suite_measure(bench_ask *ask, bench_record *ret, int *ret_stopped_by)
{
    const brisk_option_value *duration = &ask->invocation->values[OPTION_DURATION];
    const char *place = getenv("TMPDIR");
    suite s = {.ask = ask,
               .started_ns = brisk_clock_now_ns(NULL),
               .duration_ns = duration->set ? duration->number : duration_default_ns,
               .terminal = isatty(STDERR_FILENO) != 0};
    char *folder = brisk_arena_printf(ask->arena, "%s/brisk-bench.XXXXXX",
                                      place != NULL && place[0] == '/' ? place : "/tmp");
    s.subjects = brisk_arena_calloc(ask->arena, SUITE_CASES_MAX + JOBS_MAX, sizeof *s.subjects);
    if (folder == NULL || s.subjects == NULL) {
        return no_memory(&s);
    }
    if (mkdtemp(folder) == NULL) {
        (void)fprintf(ask->invocation->err, "brisk: bench: %s: %s\n", folder, strerror(errno));
        return BRISK_EXIT_FAILED;
    }
    s.folder = folder;
    s.quoted = bench_join(ask->arena, &s.folder, 1);
    brisk_exit status = s.quoted != NULL ? measure_in_folder(&s, ret) : no_memory(&s);
    (void)nftw(folder, remove_entry, FTW_FILES, FTW_DEPTH | FTW_PHYS);
    *ret_stopped_by = s.stopped_by;
    return status;
}

void suite_print(FILE *out, const bench_report *report)
{
    const bench_record *now = report->now;
    bool compared = report->comparisons != NULL;
    (void)fprintf(out, "standard suite, brisk %s, on %s\n\n", now->version, now->machine);
    (void)fprintf(out, "  %-34s %12s %12s %12s %8s %8s%s\n", "", "fastest", "median", "p95",
                  "spread", "samples", compared ? "  against the baseline" : "");
    for (uint32_t i = 0; i < now->subject_count; i++) {
        const bench_subject *s = &now->subjects[i];
        const double values[] = {s->figures.min, s->figures.median, s->figures.p95};
        char texts[3][BRISK_TEXT_SHORT_MAX];
        for (size_t v = 0; v < 3; v++) {
            brisk_text_duration(texts[v], values[v]);
        }
        (void)fprintf(out, "  %-34s %12s %12s %12s %7.1f%% %8u", s->name, texts[0], texts[1],
                      texts[2], s->figures.mad / s->figures.median * 100.0, s->run_count);
        if (compared && report->compared[i]) {
            const bench_comparison *c = &report->comparisons[i];
            bench_format_change(texts[0], c->change.estimate);
            (void)fprintf(out, "  %s, %s", texts[0], bench_verdict_name(c->verdict));
        }
        (void)fputc('\n', out);
    }
    (void)fputs("\n  spread: median absolute deviation, of the median\n", out);
}
