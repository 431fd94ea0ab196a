/*
 * bench_semver.c -- what versions, ranges, JSON and picks cost; one JSON object on standard output.
 *
 * Times are nanoseconds a call, medians over the samples, with the least beside them.  With the folder of the package corpus, also: a lock of npm (its bytes and the
 * time of one parse), and all different picks that the project of that lock makes, over the
 * snapshot's packages, ranges parsed before as in a tree.
 *
 *     bench_semver [CORPUS [PROJECT [SNAPSHOT]]]     SNAPSHOT: the unpacked registry-snapshot.tar.zst
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/arena.h>
#include <brisk/bench.h>
#include <brisk/file.h>
#include <brisk/json.h>

#include "base/assert.h"
#include "workload/pkg/jsontext.h"
#include "workload/pkg/packument.h"

enum { TEXTS = 8, PICKS_MAX = 8192, CASES_MAX = 12, ARENA_LIMIT = 512 << 10 };

static brisk_arena *arena; /* of what is measured: emptied now and then */
static brisk_arena *kept;

/* --- small things -------------------------------------------------------------------------- */

static const char *const version_texts[TEXTS] = {
    "1.2.3", "0.0.1", "16.13.1", "4.17.21", "1.0.0-beta.2", "7.24.0", "2.0.0-rc.1+b5", "10.1.0"};
static const char *const range_texts[TEXTS] = {"^1.2.3",  "~4.17.0", "^0.5.0", "1.2.3",
                                               "^16.0.0", ">=4.0.0", "2.x",    "*"};
static const char *const long_texts[TEXTS] = {
    "^1.0.0 || ^2.0.0",      ">= 1.2.0 < 3", "1.2 - 2.3.4",      ">=1.0.0-beta.1 <2.0.0",
    "^14.18.0 || >=16.10.0", "1 || 2 || 3",  ">=0.10.0 <0.11.0", "~1.2.3 || ^4.5.6-rc.1"};

static semver versions[TEXTS];
static const semver_range *ranges[TEXTS];
static const semver_range *long_ranges[TEXTS];

static void tidy(void)
{
    if (brisk_arena_used(arena) > ARENA_LIMIT) {
        brisk_arena_reset(arena);
    }
}

static void run_version(void *ctx, uint64_t calls)
{
    (void)ctx;
    for (uint64_t i = 0; i < calls; i++) {
        semver version;
        bool ok = semver_parse(pkg_text_of(version_texts[i % TEXTS]), SEMVER_LOOSE, &version);
        BRISK_BENCH_KEEP(ok);
    }
}

static void run_range(void *ctx, uint64_t calls)
{
    const char *const *texts = ctx;
    for (uint64_t i = 0; i < calls; i++) {
        const semver_range *range = NULL;
        brisk_err err =
            semver_range_parse(arena, pkg_text_of(texts[i % TEXTS]), SEMVER_LOOSE, &range);
        BRISK_BENCH_KEEP(err);
        tidy();
    }
}

static void run_compare(void *ctx, uint64_t calls)
{
    (void)ctx;
    for (uint64_t i = 0; i < calls; i++) {
        int order = semver_compare(&versions[i % TEXTS], &versions[(i / TEXTS) % TEXTS]);
        BRISK_BENCH_KEEP(order);
    }
}

static void run_has(void *ctx, uint64_t calls)
{
    const semver_range *const *all = ctx;
    for (uint64_t i = 0; i < calls; i++) {
        bool has = semver_range_has(all[i % TEXTS], &versions[(i / TEXTS) % TEXTS]);
        BRISK_BENCH_KEEP(has);
    }
}

/* --- a lock and its picks ------------------------------------------------------------------ */

typedef struct one_pick {
    const pkg_package *package;
    pkg_text name;
    pkg_text spec;
    const semver_range *range;
} one_pick;

static pkg_text lock;
static one_pick picks[PICKS_MAX];
static uint32_t pick_count;

static void run_json(void *ctx, uint64_t calls)
{
    (void)ctx;
    for (uint64_t i = 0; i < calls; i++) {
        const pkg_json *root = NULL;
        brisk_err err = pkg_json_parse(lock, arena, &root, NULL);
        BRISK_BENCH_KEEP(err);
        brisk_arena_reset(arena);
    }
}

static void run_picks(void *ctx, uint64_t calls)
{
    const pkg_pick_opts *opts = ctx;
    for (uint64_t i = 0; i < calls; i++) {
        for (uint32_t j = 0; j < pick_count; j++) {
            pkg_picked picked;
            brisk_err err =
                pkg_pick(picks[j].package, picks[j].spec, picks[j].range, opts, arena, &picked);
            BRISK_BENCH_KEEP(err);
        }
        brisk_arena_reset(arena);
    }
}

/* The file in `kept`; size 0: there is none. */
static pkg_text read_file(const char *path)
{
    brisk_file_view view;
    if (brisk_file_view_open(path, UINT32_MAX, &view, NULL) != BRISK_OK) {
        return (pkg_text){0};
    }
    pkg_text text = {.data = brisk_arena_copy(kept, (const char *)view.data, view.size),
                     .size = view.size};
    brisk_file_view_close(&view);
    BRISK_ASSERT(text.data != NULL);
    return text;
}

/* "@s/p" is in the file "@s%2fp.json". */
static const pkg_package *package_of(const char *folder, pkg_text name)
{
    char *path = brisk_arena_printf(kept, "%s/%.*s.json", folder, (int)name.size, name.data);
    BRISK_ASSERT(path != NULL);
    char *slash = name.data[0] == '@' ? strchr(path + strlen(folder) + 1, '/') : NULL;
    if (slash != NULL) {
        path = brisk_arena_printf(kept, "%.*s%%2f%s", (int)(slash - path), path, slash + 1);
        BRISK_ASSERT(path != NULL);
    }
    pkg_text text = read_file(path);
    const pkg_package *package = NULL;
    return text.size > 0 && pkg_packument_parse(name, text, kept, &package, NULL) == BRISK_OK
               ? package
               : NULL;
}

static void add_pick(const char *folder, pkg_text name, pkg_text spec)
{
    const pkg_package *package = NULL;
    for (uint32_t i = 0; i < pick_count; i++) {
        if (pkg_text_equal(picks[i].name, name)) {
            package = picks[i].package;
            if (pkg_text_equal(picks[i].spec, spec)) {
                return;
            }
        }
    }
    package = package != NULL ? package : package_of(folder, name);
    const semver_range *range = NULL;
    if (package != NULL && pick_count < PICKS_MAX &&
        semver_range_parse(kept, spec, SEMVER_LOOSE, &range) == BRISK_OK) {
        picks[pick_count++] =
            (one_pick){.package = package, .name = name, .spec = spec, .range = range};
    }
}

static void find_picks(const char *folder)
{
    static const char *const fields[] = {"dependencies", "devDependencies", "optionalDependencies",
                                         "peerDependencies"};
    const pkg_json *root = NULL;
    BRISK_ASSERT(pkg_json_parse(lock, kept, &root, NULL) == BRISK_OK);
    const pkg_json *all = pkg_json_get(root, "packages");
    for (uint32_t i = 0; all != NULL && i < all->count; i++) {
        for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
            const pkg_json *deps = pkg_json_get(all->items[i], fields[f]);
            for (uint32_t j = 0; deps != NULL && j < deps->count; j++) {
                add_pick(folder, deps->keys[j], deps->items[j]->text);
            }
        }
    }
}

/* --- the whole ----------------------------------------------------------------------------- */

static void report(const brisk_bench_result *results, uint32_t count)
{
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(stdout), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "lock_bytes", lock.size);
    brisk_json_u64(&json, "picks", pick_count);
    brisk_json_array_begin(&json, "cases");
    for (uint32_t i = 0; i < count; i++) {
        const brisk_sample_figures *f = &results[i].figures;
        brisk_json_object_begin(&json, NULL);
        brisk_json_str(&json, "name", results[i].name);
        brisk_json_double(&json, "median_ns", f->median);
        brisk_json_double(&json, "least_ns", f->min);
        brisk_json_u64(&json, "samples", results[i].count);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    BRISK_ASSERT(brisk_json_finish(&json) == BRISK_OK);
}

int main(int argc, char **argv)
{
    BRISK_ASSERT(brisk_arena_create(NULL, &arena) == BRISK_OK);
    BRISK_ASSERT(brisk_arena_create(NULL, &kept) == BRISK_OK);
    for (int i = 0; i < TEXTS; i++) {
        BRISK_ASSERT(semver_parse(pkg_text_of(version_texts[i]), SEMVER_LOOSE, &versions[i]));
        BRISK_ASSERT(semver_range_parse(kept, pkg_text_of(range_texts[i]), 0, &ranges[i]) == 0);
        BRISK_ASSERT(semver_range_parse(kept, pkg_text_of(long_texts[i]), 0, &long_ranges[i]) == 0);
    }
    static pkg_pick_opts opts = {.before_ms = INT64_MAX, .node = {.major = 20, .minor = 20}};
    brisk_bench_case cases[CASES_MAX] = {
        {.name = "semver_parse", .run = run_version},
        {.name = "semver_compare", .run = run_compare},
        {.name = "range_parse_simple", .run = run_range, .ctx = (void *)(uintptr_t)range_texts},
        {.name = "range_parse_compound", .run = run_range, .ctx = (void *)(uintptr_t)long_texts},
        {.name = "range_has_simple", .run = run_has, .ctx = ranges},
        {.name = "range_has_compound", .run = run_has, .ctx = long_ranges},
    };
    uint32_t count = 6;
    if (argc > 1) {
        char path[PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/projects/%s/package-lock.npm11.json", argv[1],
                       argc > 2 ? argv[2] : "alotta");
        lock = read_file(path);
        (void)snprintf(path, sizeof path, "%s/registry-snapshot", argv[1]);
        if (lock.size == 0) {
            (void)fprintf(stderr, "bench_semver: no lock in %s\n", argv[1]);
            return 1;
        }
        find_picks(argc > 3 ? argv[3] : path);
        cases[count++] = (brisk_bench_case){.name = "json_parse_lock", .run = run_json};
        if (pick_count > 0) {
            cases[count++] =
                (brisk_bench_case){.name = "picks_all", .run = run_picks, .ctx = &opts};
        }
    }
    brisk_bench_result results[CASES_MAX] = {0};
    BRISK_ASSERT(brisk_bench_run(cases, count, NULL, results) == BRISK_OK);
    report(results, count);
    brisk_bench_results_deinit(results, count);
    brisk_arena_destroy(kept);
    brisk_arena_destroy(arena);
    return 0;
}
