/*
 * cmd_test_resolution.c -- `brisk pkg test-resolution`: how fast and how surely packages resolve.
 */
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <brisk/stats.h>

#include "workload/pkg/commands.h"
#include "workload/pkg/inputs.h"
#include "workload/pkg/node_version.h"
#include "workload/pkg/report.h"
#include "workload/pkg/trial.h"

enum {
    OPTION_PACKAGES,
    OPTION_PARALLEL,
    OPTION_ANALYSIS,
    OPTION_OFFLINE,
    OPTION_REGISTRY,
    OPTION_STORE,
    OPTION_JSON,
    OPTION_COUNT,
    PACKAGES_DEFAULT = 100,
    PASSES_MAX = 4,
};

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_PACKAGES] = {.name = "packages",
                         .type = BRISK_OPTION_U64,
                         .metavar = "N",
                         .summary = "how many of the lock's packages; default: 100"},
    [OPTION_PARALLEL] = {.name = "parallel", .summary = "on every processor"},
    [OPTION_ANALYSIS] = {.name = "cache-analysis",
                         .summary =
                             "also without a store, with and without guesses, and once more"},
    [OPTION_OFFLINE] = {.name = "offline", .summary = "ask no registry"},
    [OPTION_REGISTRY] = {.name = "registry",
                         .type = BRISK_OPTION_TEXT,
                         .metavar = "URL",
                         .summary = "the default registry, instead of .npmrc's"},
    [OPTION_STORE] = {.name = "store",
                      .type = BRISK_OPTION_FILE,
                      .metavar = "FILE",
                      .summary = "the store; default: that of resolve"},
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
};

typedef struct pass {
    const char *name;
    pkg_trial_result result;
    double median_ms;
    double p95_ms;
} pass;

/* --- packages ------------------------------------------------------------------------------------ */

static int compare_items(const void *a, const void *b)
{
    const pkg_trial_item *x = a;
    const pkg_trial_item *y = b;
    int order = pkg_text_compare(x->name, y->name);
    return order != 0 ? order : pkg_text_compare(x->spec, y->spec);
}

/* Of the lock each package in its version; without a lock what package.json says. */
static uint32_t gather(const pkg_inputs *in, pkg_trial_item *ret)
{
    const pkg_manifest *m = in->project.manifest;
    uint32_t count = 0;
    for (uint32_t i = 1; in->lock.root != NULL && i < in->lock.count; i++) {
        const pkg_node *node = in->lock.nodes[i];
        if (node != NULL && node->parent != NULL &&
            (node->flags & (PKG_NODE_LINK | PKG_NODE_BUNDLED)) == 0 &&
            node->manifest->version.size > 0) {
            ret[count++] = (pkg_trial_item){node->manifest->name, node->manifest->version};
        }
    }
    for (uint32_t i = 0; in->lock.root == NULL && i < m->dep_count; i++) {
        if (m->deps[i].range != NULL) {
            ret[count++] = (pkg_trial_item){m->deps[i].name, m->deps[i].spec};
        }
    }
    return count;
}

/* `wanted` of them, at even distances. */
static uint32_t items_of(const pkg_inputs *in, uint32_t wanted, pkg_trial_item **ret)
{
    size_t room = (size_t)in->lock.count + in->project.manifest->dep_count + 1;
    pkg_trial_item *all = brisk_arena_calloc(in->arena, room, sizeof *all);
    uint32_t count = all != NULL ? gather(in, all) : 0;
    if (count == 0) {
        return 0;
    }
    qsort(all, count, sizeof *all, compare_items);
    uint32_t unique = 1;
    for (uint32_t i = 1; i < count; i++) {
        if (compare_items(&all[i], &all[unique - 1]) != 0) {
            all[unique++] = all[i];
        }
    }
    uint32_t taken = wanted < unique ? wanted : unique;
    for (uint32_t i = 0; i < taken; i++) {
        all[i] = all[(uint64_t)i * unique / taken];
    }
    *ret = all;
    return taken;
}

/* --- the report ------------------------------------------------------------------------------- */

static double share(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 0;
}

static double hit_rate(const pkg_fetch_stats *s)
{
    return share(s->from_store + s->confirmed, s->asked - s->missing);
}

static double success(const pkg_trial_result *r)
{
    return share(r->solved + r->proved, (uint64_t)r->solved + r->proved + r->failed);
}

static uint64_t peak_kib(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss : 0;
}

/* How much faster than without guesses; 0: not measured. */
static double gain(const pass *passes, uint32_t count)
{
    return count == PASSES_MAX ? share(passes[0].result.total_ns, passes[1].result.total_ns) : 0;
}

static void print_text(FILE *out, const pass *passes, uint32_t count, uint32_t packages)
{
    (void)fprintf(out, "%u packages, each resolved as the only dependency of a project\n",
                  packages);
    for (uint32_t i = 0; i < count; i++) {
        const pkg_trial_result *r = &passes[i].result;
        (void)fprintf(out,
                      "%-26s %9.1f ms in all, median %.2f, 95 %% within %.2f; solved %u, proved "
                      "impossible %u, failed %u (success %.4f); hit rate %.1f %%, %llu requests\n",
                      passes[i].name, (double)r->total_ns / 1e6, passes[i].median_ms,
                      passes[i].p95_ms, r->solved, r->proved, r->failed, success(r),
                      100 * hit_rate(&r->fetch), (unsigned long long)r->fetch.requests);
        if (r->first_failure != NULL) {
            (void)fputs("  first failure: ", out);
            pkg_put(out, pkg_text_of(r->first_failure));
            (void)fputc('\n', out);
        }
    }
    if (gain(passes, count) > 0) {
        (void)fprintf(out, "guesses: %.2f times as fast, %llu of %llu requests for nothing\n",
                      gain(passes, count), (unsigned long long)passes[1].result.fetch.guessed,
                      (unsigned long long)passes[1].result.fetch.requests);
    }
    (void)fprintf(out, "peak memory: %.1f MiB\n", (double)peak_kib() / 1024);
}

static brisk_exit print_json(const brisk_invocation *in, const pkg_inputs *inputs,
                             const pass *passes, uint32_t count, uint32_t packages)
{
    brisk_json json;
    pkg_json_begin(&json, in, inputs->lock_path);
    brisk_json_u64(&json, "packages", packages);
    brisk_json_array_begin(&json, "passes");
    for (uint32_t i = 0; i < count; i++) {
        const pkg_trial_result *r = &passes[i].result;
        brisk_json_object_begin(&json, NULL);
        brisk_json_str(&json, "name", passes[i].name);
        brisk_json_double(&json, "total_ms", (double)r->total_ns / 1e6);
        brisk_json_double(&json, "median_ms", passes[i].median_ms);
        brisk_json_double(&json, "p95_ms", passes[i].p95_ms);
        brisk_json_u64(&json, "solved", r->solved);
        brisk_json_u64(&json, "proved", r->proved);
        brisk_json_u64(&json, "failed", r->failed);
        brisk_json_double(&json, "success", success(r));
        brisk_json_double(&json, "hit_rate", hit_rate(&r->fetch));
        brisk_json_u64(&json, "requests", r->fetch.requests);
        brisk_json_u64(&json, "guessed", r->fetch.guessed);
        brisk_json_u64(&json, "waited_ns", r->fetch.waited_ns);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_double(&json, "guess_gain", gain(passes, count));
    brisk_json_u64(&json, "peak_bytes", peak_kib() * 1024);
    return pkg_json_end(&json, BRISK_EXIT_OK);
}

/* --- passes ----------------------------------------------------------------------------------- */

static brisk_err run_pass(pkg_trial *trial, const char *name, brisk_arena *arena, pass *ret)
{
    ret->name = name;
    brisk_err err = pkg_trial_run(trial, arena, &ret->result);
    if (err == BRISK_OK) {
        brisk_sample_sort(ret->result.ms, trial->count);
        ret->median_ms = brisk_sample_median(ret->result.ms, trial->count);
        ret->p95_ms = brisk_sample_quantile(ret->result.ms, trial->count, 0.95);
    }
    return err;
}

static brisk_err run_passes(const brisk_invocation *in, pkg_trial *trial, pkg_store *store,
                            brisk_arena *arena, pass *passes, uint32_t *count)
{
    bool analysis = in->values[OPTION_ANALYSIS].set;
    brisk_err err = BRISK_OK;
    if (analysis && trial->fetch.mode != PKG_FETCH_OFFLINE) {
        trial->fetch.no_guess = true;
        err = run_pass(trial, "no store, no guesses", arena, &passes[(*count)++]);
        trial->fetch.no_guess = false;
        err = err == BRISK_OK ? run_pass(trial, "no store", arena, &passes[(*count)++]) : err;
    }
    trial->fetch.store = store;
    err = err == BRISK_OK ? run_pass(trial, "store", arena, &passes[(*count)++]) : err;
    return err == BRISK_OK && analysis ? run_pass(trial, "store, again", arena, &passes[(*count)++])
                                       : err;
}

static brisk_exit test(const brisk_invocation *in, pkg_inputs *inputs, pkg_store *store)
{
    uint64_t wanted =
        in->values[OPTION_PACKAGES].set ? in->values[OPTION_PACKAGES].number : PACKAGES_DEFAULT;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    pkg_trial_item *items = NULL;
    pass passes[PASSES_MAX];
    uint32_t count = 0;
    pkg_trial trial = {
        .threads = in->values[OPTION_PARALLEL].set && cores > 1 ? (uint32_t)cores : 1,
        .fetch = {.config = &inputs->config,
                  .mode = in->values[OPTION_OFFLINE].set ? PKG_FETCH_OFFLINE : PKG_FETCH_NORMAL,
                  .pick = {.before_ms = INT64_MAX}}};
    (void)pkg_node_version(inputs->arena, &trial.fetch.pick.node);
    trial.count = items_of(
        inputs, (uint32_t)(wanted < PKG_TRIAL_PACKAGES_MAX ? wanted : PKG_TRIAL_PACKAGES_MAX),
        &items);
    trial.items = items;
    if (trial.count == 0) {
        (void)fputs("brisk: pkg test-resolution: the project has no dependencies\n", in->err);
        return BRISK_EXIT_FAILED;
    }
    brisk_err err = run_passes(in, &trial, store, inputs->arena, passes, &count);
    if (err != BRISK_OK) {
        (void)fprintf(in->err, "brisk: %s\n", brisk_err_message(err));
        return BRISK_EXIT_FAILED;
    }
    if (in->values[OPTION_JSON].set) {
        return print_json(in, inputs, passes, count, trial.count);
    }
    print_text(in->out, passes, count, trial.count);
    return BRISK_EXIT_OK;
}

static brisk_exit run(const brisk_invocation *in)
{
    pkg_inputs inputs = {0};
    pkg_store *store = NULL;
    brisk_engine *engine = NULL;
    brisk_errinfo info = {0};
    char path[BRISK_KNOB_TEXT_MAX + 32];
    if (in->values[OPTION_REGISTRY].set &&
        setenv("npm_config_registry", in->values[OPTION_REGISTRY].text, 1) != 0) {
        return BRISK_EXIT_FAILED;
    }
    const pkg_inputs_opts how = {.whole = true};
    if (pkg_inputs_read(in->argc > 0 ? in->argv[0] : ".", &how, &inputs, &info) != BRISK_OK) {
        return pkg_fail(in, &info);
    }
    brisk_exit exit = BRISK_EXIT_FAILED;
    if (in->engine(in, &engine) == BRISK_OK) {
        (void)snprintf(path, sizeof path, "%s/packages.store", brisk_engine_cache_path(engine));
        const char *where = in->values[OPTION_STORE].set ? in->values[OPTION_STORE].text : path;
        exit = pkg_store_open(where, NULL, &store, &info) == BRISK_OK ? test(in, &inputs, store)
                                                                      : pkg_fail(in, &info);
    }
    pkg_store_close(store);
    pkg_inputs_release(&inputs);
    return exit;
}

const brisk_command pkg_cmd_test_resolution = {
    .name = "test-resolution",
    .group = "Packages",
    .synopsis = "[DIR]",
    .summary = "measure how fast and how surely packages resolve",
    .description =
        "Takes packages of the project's lock, resolves each in its version as the only dependency "
        "of a "
        "project, and "
        "reports times, how many were solved or proved impossible, how much the store answered, "
        "and "
        "the peak memory. With --cache-analysis there are four passes: without a store with no "
        "guesses and with them, with the store, and once more.",
    .examples =
        "brisk pkg test-resolution --packages 100 --parallel --cache-analysis\tthe whole report\n"
        "brisk pkg test-resolution --offline\tfrom the store alone\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_min = 0,
    .args_max = 1,
    .run = run,
};
