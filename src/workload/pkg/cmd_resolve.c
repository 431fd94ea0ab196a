/*
 * cmd_resolve.c -- `brisk pkg resolve [DIR]`: the lock of a project.
 *
 * A lock that needs nothing is recognised before there is an engine, a store or a thread.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

#include "workload/pkg/commands.h"
#include "workload/pkg/node_version.h"
#include "workload/pkg/report.h"
#include "workload/pkg/resolve.h"
#include "workload/pkg/resolve_print.h"
#include "workload/pkg/resolve_remote.h"
#include "workload/pkg/when.h"

BRISK_DEFINE_CLEANUP(brisk_job, brisk_job_destroy)

enum {
    OPTION_OFFLINE,
    OPTION_PREFER_OFFLINE,
    OPTION_BEFORE,
    OPTION_MIN_AGE,
    OPTION_RESOLUTION,
    OPTION_PRERELEASES,
    OPTION_LEGACY_PEERS,
    OPTION_STRICT_PEERS,
    OPTION_DEDUPE,
    OPTION_FLAT,
    OPTION_REMOTE,
    OPTION_UPDATE,
    OPTION_WHOLE,
    OPTION_NODE_VERSION,
    OPTION_REGISTRY,
    OPTION_STORE,
    OPTION_NO_CACHE,
    OPTION_FSYNC,
    OPTION_DRY_RUN,
    OPTION_PROFILE,
    OPTION_JSON,
    OPTION_NODE,
    OPTION_COUNT = OPTION_NODE + BRISK_NODE_OPTIONS,
};

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_OFFLINE] = {.name = "offline",
                        .summary = "ask no registry; take what was fetched before"},
    [OPTION_PREFER_OFFLINE] = {.name = "prefer-offline",
                               .summary = "ask only for what was never fetched"},
    [OPTION_BEFORE] = {.name = "before",
                       .type = BRISK_OPTION_TEXT,
                       .metavar = "DATE",
                       .summary = "only versions published by then (2026-01-31, or with time)"},
    [OPTION_MIN_AGE] = {.name = "min-age",
                        .type = BRISK_OPTION_TEXT,
                        .metavar = "AGE",
                        .summary = "only versions that are older (7d, 36h)"},
    [OPTION_RESOLUTION] = {.name = "resolution",
                           .type = BRISK_OPTION_TEXT,
                           .metavar = "HOW",
                           .summary = "npm (its latest first) or highest"},
    [OPTION_PRERELEASES] = {.name = "allow-prereleases",
                            .summary = "pre-releases count as any version"},
    [OPTION_LEGACY_PEERS] = {.name = "legacy-peer-deps", .summary = "peers are not installed"},
    [OPTION_STRICT_PEERS] = {.name = "strict-peer-deps",
                             .summary = "conflicts of peers below are errors, too"},
    [OPTION_DEDUPE] = {.name = "prefer-dedupe",
                       .summary = "keep what fits rather than take what is newer"},
    [OPTION_FLAT] = {.name = "flat",
                     .summary = "one version of each package, or a proof that there is none"},
    [OPTION_REMOTE] = {.name = "allow-remote",
                       .summary = "fetch git repositories and tarballs that are in no registry"},
    [OPTION_UPDATE] = {.name = "update", .letter = 'u', .summary = "without regard to the lock"},
    [OPTION_WHOLE] = {.name = "whole-metadata",
                      .summary = "fetch whole documents, so that the lock has licenses"},
    [OPTION_NODE_VERSION] = {.name = "node-version",
                             .type = BRISK_OPTION_TEXT,
                             .metavar = "VERSION",
                             .summary = "choose for this node; default: the one that is installed"},
    [OPTION_REGISTRY] = {.name = "registry",
                         .type = BRISK_OPTION_TEXT,
                         .metavar = "URL",
                         .summary = "the default registry, instead of .npmrc's"},
    [OPTION_STORE] = {.name = "store",
                      .type = BRISK_OPTION_FILE,
                      .metavar = "FILE",
                      .summary = "keep what is fetched here"},
    [OPTION_NO_CACHE] = {.name = "no-cache", .summary = "compute afresh and remember no answer"},
    [OPTION_FSYNC] = {.name = "fsync", .summary = "wait for the disk"},
    [OPTION_DRY_RUN] = {.name = "dry-run", .letter = 'n', .summary = "write no lock"},
    [OPTION_PROFILE] = {.name = "profile", .letter = 'p', .summary = "show the stage table"},
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
    BRISK_NODE_OPTION_ROWS("have a node of brisk do it, as a job over HTTP"),
};

static brisk_exit usage(const brisk_invocation *in, const char *text)
{
    (void)fprintf(in->err, "brisk: pkg resolve: %s\n", text);
    return BRISK_EXIT_USAGE;
}

/* --- the request ------------------------------------------------------------------------------ */

static const char *read_request(const brisk_option_value *values, const pkg_inputs *inputs,
                                pkg_resolve_request *ret)
{
    const char *how = values[OPTION_RESOLUTION].set ? values[OPTION_RESOLUTION].text : "npm";
    if (strcmp(how, "npm") != 0 && strcmp(how, "highest") != 0) {
        return "--resolution takes npm or highest";
    }
    if (values[OPTION_OFFLINE].set && values[OPTION_PREFER_OFFLINE].set) {
        return "--offline and --prefer-offline contradict each other";
    }
    ret->highest = strcmp(how, "highest") == 0;
    ret->mode = values[OPTION_OFFLINE].set          ? PKG_FETCH_OFFLINE
                : values[OPTION_PREFER_OFFLINE].set ? PKG_FETCH_PREFER_STORE
                                                    : PKG_FETCH_NORMAL;
    ret->prereleases = values[OPTION_PRERELEASES].set;
    ret->legacy_peer_deps = values[OPTION_LEGACY_PEERS].set;
    ret->strict_peer_deps = values[OPTION_STRICT_PEERS].set;
    ret->prefer_dedupe = values[OPTION_DEDUPE].set;
    ret->whole_documents = values[OPTION_WHOLE].set;
    ret->flat = values[OPTION_FLAT].set;
    ret->allow_remote = values[OPTION_REMOTE].set;
    ret->anew = values[OPTION_UPDATE].set;
    ret->dry_run = values[OPTION_DRY_RUN].set;
    ret->sync = values[OPTION_FSYNC].set;
    const char *wrong =
        pkg_before_of(values[OPTION_BEFORE].set ? values[OPTION_BEFORE].text : NULL,
                      values[OPTION_MIN_AGE].set ? values[OPTION_MIN_AGE].text : NULL,
                      &inputs->config, &ret->before_ms);
    if (wrong != NULL) {
        return wrong;
    }
    if (values[OPTION_NODE_VERSION].set) {
        return semver_parse(pkg_text_of(values[OPTION_NODE_VERSION].text), SEMVER_LOOSE, &ret->node)
                   ? NULL
                   : "--node-version takes a version: 20.11.0";
    }
    return NULL;
}

/* --- the cache -------------------------------------------------------------------------------- */

/* A cache that is not there yet is made while the network is waited for. */
typedef struct cache_opener {
    brisk_engine *engine;
    pthread_t thread;
    bool started;
} cache_opener;

static void *open_cache(void *arg)
{
    (void)brisk_engine_cache(((cache_opener *)arg)->engine);
    return NULL;
}

static void cache_opener_start(cache_opener *opener, brisk_engine *engine, const char *folder)
{
    char path[BRISK_KNOB_TEXT_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/index", folder);
    *opener = (cache_opener){.engine = engine};
    if (folder[0] != '\0' && access(path, F_OK) != 0) {
        opener->started = pthread_create(&opener->thread, NULL, open_cache, opener) == 0;
    }
}

static void cache_opener_end(cache_opener *opener)
{
    if (opener->started) {
        (void)pthread_join(opener->thread, NULL);
    }
}

/* --- running ---------------------------------------------------------------------------------- */

static brisk_exit run_job(const brisk_invocation *in, pkg_resolve_request *request)
{
    brisk_engine *engine = NULL;
    brisk_errinfo info = {0};
    char store[BRISK_KNOB_TEXT_MAX + 32];
    if (!in->values[OPTION_NODE_VERSION].set) {
        (void)pkg_node_version(request->inputs->arena, &request->node);
    }
    if (in->engine(in, &engine) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    if (brisk_engine_register(engine, &pkg_workload, &info) != BRISK_OK) {
        return pkg_fail(in, &info);
    }
    const char *folder = brisk_engine_cache_path(engine);
    (void)snprintf(store, sizeof store, "%s/packages.store", folder);
    if (in->values[OPTION_STORE].set) {
        request->store_path = in->values[OPTION_STORE].text;
    } else if (folder[0] != '\0') {
        request->store_path = store;
    }
    const brisk_job_opts opts = {.no_cache = in->values[OPTION_NO_CACHE].set || request->dry_run};
    cache_opener opener = {0};
    if (!opts.no_cache && request->mode != PKG_FETCH_OFFLINE) {
        cache_opener_start(&opener, engine, folder);
    }
    BRISK_CLEANUP(brisk_job_destroy) brisk_job *job = NULL;
    brisk_err err = brisk_job_create(engine, &pkg_workload, request, &opts, &job);
    if (job == NULL) {
        cache_opener_end(&opener);
        (void)fprintf(in->err, "brisk: %s\n", brisk_err_message(err));
        return BRISK_EXIT_FAILED;
    }
    if (err == BRISK_OK) {
        bool shows = !in->quiet && isatty(fileno(stderr)) == 1;
        err = shows ? resolve_run_with_progress(job, stderr) : brisk_job_run(job);
    }
    cache_opener_end(&opener);
    const resolve_told told = {
        .in = in, .json = in->values[OPTION_JSON].set, .profile = in->values[OPTION_PROFILE].set};
    return resolve_print(&told, job, err);
}

/* NULL, or what is wrong with asking a node for it. */
static const char *refuse_for_node(const brisk_option_value *values)
{
    static const int local[] = {OPTION_REGISTRY, OPTION_STORE, OPTION_REMOTE, OPTION_PROFILE,
                                OPTION_NO_CACHE};
    semver version;
    if (semver_parse(pkg_text_of(values[OPTION_NODE].text), SEMVER_LOOSE, &version)) {
        return "--node takes the URL of a node of brisk; the version to choose for is "
               "--node-version";
    }
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++) {
        if (values[local[i]].set) {
            return "--registry, --store, --allow-remote, --profile and --no-cache are the node's";
        }
    }
    return NULL;
}

static brisk_exit run_at_node(const brisk_invocation *in, const pkg_resolve_request *request)
{
    const brisk_option_value *values = in->values;
    brisk_node_opts where = brisk_node_opts_of(&values[OPTION_NODE]);
    return resolve_at_node(&(resolve_remote){.in = in,
                                             .request = request,
                                             .before = values[OPTION_BEFORE].text,
                                             .min_age = values[OPTION_MIN_AGE].text,
                                             .node_version = values[OPTION_NODE_VERSION].text,
                                             .json = values[OPTION_JSON].set},
                           &where);
}

static brisk_exit run(const brisk_invocation *in)
{
    pkg_inputs inputs = {0};
    brisk_errinfo info = {0};
    const char *wrong = in->values[OPTION_NODE].set ? refuse_for_node(in->values) : NULL;
    if (wrong != NULL) {
        return usage(in, wrong);
    }
    if (in->values[OPTION_REGISTRY].set &&
        setenv("npm_config_registry", in->values[OPTION_REGISTRY].text, 1) != 0) {
        return BRISK_EXIT_FAILED;
    }
    const char *folder = in->argc > 0 ? in->argv[0] : ".";
    const pkg_inputs_opts how = {
        .anew = in->values[OPTION_UPDATE].set,
        .whole = in->values[OPTION_FLAT].set || in->values[OPTION_LEGACY_PEERS].set ||
                 in->values[OPTION_STRICT_PEERS].set,
    };
    if (pkg_inputs_read(folder, &how, &inputs, &info) != BRISK_OK) {
        return pkg_fail(in, &info);
    }
    pkg_resolve_request request = {.folder = folder, .inputs = &inputs, .before_ms = INT64_MAX};
    wrong = read_request(in->values, &inputs, &request);
    brisk_exit exit;
    if (wrong != NULL) {
        exit = usage(in, wrong);
    } else if (!request.anew && !request.flat && !request.legacy_peer_deps &&
               !request.strict_peer_deps && pkg_inputs_are_resolved(&inputs)) {
        const resolve_told told = {.in = in, .json = in->values[OPTION_JSON].set};
        exit = resolve_print_resolved(&told, &inputs);
    } else if (in->values[OPTION_NODE].set) {
        exit = run_at_node(in, &request);
    } else {
        exit = run_job(in, &request);
    }
    pkg_inputs_release(&inputs);
    return exit;
}

const brisk_command pkg_cmd_resolve = {
    .name = "resolve",
    .group = "Packages",
    .synopsis = "[DIR]",
    .summary = "write the lock of a project",
    .description =
        "Reads package.json, its workspaces and overrides, .npmrc and the lock that is there, "
        "finds "
        "for each dependency the version that npm would take and the place it would give it, and "
        "writes package-lock.json (version 3) in one step. What the lock has is kept as long as it "
        "fits; --update begins anew. npm ci installs from the lock.\n\n"
        "What is known of packages is remembered in a store beside the cache and asked for again "
        "when it is no longer fresh. --offline asks nobody. With --min-age or --before versions "
        "that are too young are passed over, and named.\n\n"
        "Dependencies from git repositories, URLs and local tarballs are fetched with "
        "--allow-remote only; nothing of them is unpacked or run.\n\n"
        "With --node a node resolves, with its own registries and store; package.json and the lock "
        "go there, the lock is written here.\n\n"
        "The exit code is 1 when there is no answer; then the reason is told and the old lock is "
        "as it was.",
    .examples = "brisk pkg resolve\twrite package-lock.json of this folder\n"
                "brisk pkg resolve app --offline --update\tthe newest of what was fetched before\n"
                "brisk pkg resolve --min-age 7d\tnothing that was published this week\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_min = 0,
    .args_max = 1,
    .run = run,
};
