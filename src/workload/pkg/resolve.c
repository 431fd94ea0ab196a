/*
 * resolve.c -- the stages of resolve.h.
 *
 * A failure is one text: what, which package or file, what to do.  All that is missing offline is
 * named together, not one name per attempt.
 *
 * Threads: stages of one job run one after the other.
 */
#include "workload/pkg/resolve.h"

#include <string.h>

#include <brisk/file.h>

#include "workload/pkg/file_read.h"

static void enter(pkg_resolve_job *job, const char *stage)
{
    atomic_store_explicit(&job->stage, stage, memory_order_relaxed);
}

static brisk_err fail_info(brisk_stage_ctx *ctx, brisk_err err, const brisk_errinfo *info)
{
    return brisk_stage_fail(ctx, err, "%s",
                            info->text[0] != '\0' ? info->text : brisk_err_message(err));
}

/* --- manifest_reading ------------------------------------------------------------------------- */

brisk_err resolve_stage_read(brisk_stage_ctx *ctx, void *state)
{
    pkg_resolve_job *job = state;
    const pkg_resolve_request *r = job->request;
    enter(job, "manifest_reading");
    brisk_errinfo info = {0};
    job->inputs = r->inputs;
    if (job->inputs == NULL) {
        brisk_err err = pkg_inputs_read(
            r->folder, &(pkg_inputs_opts){.anew = r->anew, .whole = true}, &job->own, &info);
        if (err != BRISK_OK) {
            return fail_info(ctx, err, &info);
        }
        job->inputs = &job->own;
    }
    if (r->store_path != NULL) {
        const pkg_store_opts opts = {.bytes_max = r->store_bytes};
        brisk_err err = pkg_store_open(r->store_path, &opts, &job->store, &info);
        if (err != BRISK_OK && r->mode == PKG_FETCH_OFFLINE) {
            return fail_info(ctx, err, &info);
        }
        if (err != BRISK_OK) {
            brisk_stage_note(ctx, "without a store: %s", info.text);
        }
    }
    return BRISK_OK;
}

/* --- metadata_fetching ------------------------------------------------------------------------ */

static bool is_cancelled(void *ctx)
{
    const pkg_resolve_job *job = ctx;
    return job->running != NULL && brisk_stage_cancelled(job->running);
}

static pkg_pick_opts pick_of(const pkg_resolve_job *job)
{
    const pkg_resolve_request *r = job->request;
    return (pkg_pick_opts){.before_ms = r->before_ms,
                           .node = r->node,
                           .prereleases = r->prereleases,
                           .highest = r->highest,
                           .min_age_excluded = job->inputs->config.min_age_excluded.items,
                           .min_age_excluded_count = job->inputs->config.min_age_excluded.count};
}

/* What the lock has is likely to be asked for again. */
static void want_deps(const pkg_source *source, const pkg_manifest *m)
{
    for (uint32_t i = 0; i < m->dep_count; i++) {
        const pkg_dep *dep = &m->deps[i];
        if (dep->range != NULL && dep->kind != PKG_DEP_PEER_OPTIONAL) {
            source->want(source->ctx, dep->name, dep->range, false);
        }
    }
}

brisk_err resolve_stage_fetch(brisk_stage_ctx *ctx, void *state)
{
    pkg_resolve_job *job = state;
    const pkg_resolve_request *r = job->request;
    enter(job, "metadata_fetching");
    job->running = ctx;
    const pkg_fetch_opts opts = {
        .config = &job->inputs->config,
        .store = job->store,
        .mode = r->mode,
        .pick = pick_of(job),
        .full = r->whole_documents || r->before_ms != INT64_MAX,
        .legacy_peer_deps = r->legacy_peer_deps || job->inputs->config.legacy_peer_deps,
        .no_guess = r->no_guess,
        .cancelled = is_cancelled,
        .ctx = job,
    };
    brisk_errinfo info = {0};
    brisk_err err = pkg_fetch_create(&opts, &job->fetch, &info);
    if (err != BRISK_OK) {
        return fail_info(ctx, err, &info);
    }
    if (job->inputs->lock.root == NULL) {
        pkg_source source = pkg_fetch_source(job->fetch);
        want_deps(&source, job->inputs->project.manifest);
        for (uint32_t i = 0; i < job->inputs->project.workspace_count; i++) {
            want_deps(&source, job->inputs->project.workspaces[i].manifest);
        }
    }
    return BRISK_OK;
}

/* --- graph_building --------------------------------------------------------------------------- */

static brisk_err read_folder(void *ctx, pkg_text path, const pkg_manifest **ret,
                             brisk_errinfo *info)
{
    pkg_resolve_job *job = ctx;
    const pkg_file_opts opts = {.size_max = 16 << 20, .follow_links = true};
    pkg_text folder = job->inputs->project.folder;
    if (job->inputs->project.text.data != NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_PERMISSION,
                                 "package.json names a folder, and there are none here");
    }
    bool absolute = path.size > 0 && path.data[0] == '/';
    char *file =
        brisk_arena_printf(job->arena, "%s%s%.*s/package.json", absolute ? "" : folder.data,
                           absolute ? "" : "/", (int)path.size, path.data);
    pkg_text text;
    if (file == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    brisk_err err = pkg_file_read(file, &opts, job->arena, &text, info);
    return err == BRISK_OK ? pkg_manifest_read(text, file, job->arena, ret, info) : err;
}

/* Beside the store. */
static const char *remote_cache(const pkg_resolve_job *job)
{
    const char *store = job->request->store_path;
    const char *slash = store != NULL ? strrchr(store, '/') : NULL;
    return slash == NULL
               ? NULL
               : brisk_arena_printf(job->arena, "%.*s/remote", (int)(slash - store), store);
}

static brisk_err get_remote(void *ctx, pkg_text name, const pkg_spec *spec,
                            const pkg_manifest **ret, brisk_errinfo *info)
{
    pkg_resolve_job *job = ctx;
    if (job->remote == NULL) {
        const pkg_remote_opts opts = {.config = &job->inputs->config,
                                      .project = job->inputs->project.folder,
                                      .cache = remote_cache(job),
                                      .lock = &job->inputs->lock,
                                      .mode = job->request->mode,
                                      .cancelled = is_cancelled,
                                      .ctx = job};
        brisk_err err = pkg_remote_create(&opts, &job->remote);
        if (err != BRISK_OK) {
            return brisk_errinfo_set(info, err, "out of memory");
        }
    }
    return pkg_remote_get(job->remote, name, spec, ret, info);
}

static void note_placed(void *ctx, uint32_t placed, uint32_t queued)
{
    (void)queued;
    pkg_resolve_job *job = ctx;
    atomic_store_explicit(&job->placed, placed, memory_order_relaxed);
}

static void note_skipped(void *ctx, const pkg_package *package, uint32_t skipped, uint32_t taken)
{
    pkg_resolve_job *job = ctx;
    pkg_version young;
    pkg_version old = {.text = PKG_TEXT("")};
    pkg_package_version(package, skipped, &young);
    if (taken != PKG_NO_VERSION) {
        pkg_package_version(package, taken, &old);
    }
    pkg_text name = pkg_package_name(package);
    for (uint32_t i = 0; i < job->skipped_count; i++) {
        const pkg_skipped *s = &job->skipped[i];
        if (pkg_text_equal(s->name, name) && pkg_text_equal(s->version, young.text) &&
            pkg_text_equal(s->taken, old.text)) {
            return;
        }
    }
    if (job->skipped_count == job->skipped_capacity) {
        uint32_t capacity = job->skipped_capacity > 0 ? job->skipped_capacity * 2 : 32;
        pkg_skipped *more = capacity <= PKG_SKIPPED_MAX
                                ? brisk_arena_calloc(job->arena, capacity, sizeof *more)
                                : NULL;
        if (more == NULL) {
            return;
        }
        if (job->skipped_count > 0) {
            memcpy(more, job->skipped, job->skipped_count * sizeof *more);
        }
        job->skipped = more;
        job->skipped_capacity = capacity;
    }
    job->skipped[job->skipped_count++] = (pkg_skipped){
        .name = name, .version = young.text, .taken = old.text, .published_ms = young.published_ms};
}

/* All of the names at once. */
static brisk_err fail_missing(brisk_stage_ctx *ctx, const pkg_resolve_job *job)
{
    enum { NAMES_MAX = 1000 };
    uint32_t count = pkg_fetch_missing_count(job->fetch);
    const char *names = "";
    for (uint32_t i = 0; i < count && i < NAMES_MAX && names != NULL; i++) {
        pkg_text name = pkg_fetch_missing(job->fetch, i);
        names = brisk_arena_printf(job->arena, "%s%s%.*s", names, i > 0 ? ", " : "", (int)name.size,
                                   name.data);
    }
    return brisk_stage_fail(ctx, BRISK_ERR_NOT_FOUND,
                            "--offline, but %u package%s not in the store: %s%s; resolve once "
                            "without --offline to fetch %s",
                            count, count == 1 ? " is" : "s are", names != NULL ? names : "",
                            count > NAMES_MAX ? ", ..." : "", count == 1 ? "it" : "them");
}

static pkg_ideal_opts ideal_opts_of(pkg_resolve_job *job)
{
    const pkg_resolve_request *r = job->request;
    const pkg_config *config = &job->inputs->config;
    return (pkg_ideal_opts){
        .pick = pick_of(job),
        .legacy_peer_deps = r->legacy_peer_deps || config->legacy_peer_deps,
        .strict_peer_deps = r->strict_peer_deps || config->strict_peer_deps,
        .prefer_dedupe = r->prefer_dedupe || config->prefer_dedupe,
        .remote = r->allow_remote ? get_remote : NULL,
        .folder = read_folder,
        .cancelled = is_cancelled,
        .progress = note_placed,
        .too_young = r->before_ms != INT64_MAX ? note_skipped : NULL,
        .ctx = job,
    };
}

static brisk_err build(pkg_resolve_job *job, brisk_errinfo *info)
{
    const pkg_ideal_opts opts = ideal_opts_of(job);
    const pkg_source source = pkg_fetch_source(job->fetch);
    const pkg_tree *lock = job->inputs->lock.root != NULL ? &job->inputs->lock : NULL;
    return job->request->flat ? pkg_flat_build(&job->inputs->project, &source, &opts, job->arena,
                                               &job->tree, &job->advice.proof, info)
                              : pkg_ideal_build(&job->inputs->project, lock, &source, &opts,
                                                job->arena, &job->tree, &job->conflict, info);
}

static void note_fetched(brisk_stage_ctx *ctx, const pkg_resolve_job *job)
{
    pkg_fetch_stats stats;
    pkg_fetch_read_stats(job->fetch, &stats);
    brisk_stage_note(ctx, "%llu packages, %llu from the store, %llu requests",
                     (unsigned long long)stats.asked, (unsigned long long)stats.from_store,
                     (unsigned long long)stats.requests);
}

brisk_err resolve_stage_build(brisk_stage_ctx *ctx, void *state)
{
    pkg_resolve_job *job = state;
    brisk_errinfo info = {0};
    enter(job, "graph_building");
    job->running = ctx;
    brisk_err err = build(job, &info);
    pkg_fetch_settle(job->fetch);
    job->running = NULL;
    note_fetched(ctx, job);
    if (pkg_fetch_missing_count(job->fetch) > 0 && err != BRISK_ERR_CANCELLED) {
        return fail_missing(ctx, job);
    }
    if (err == BRISK_ERR_CONFLICT ||
        (err == BRISK_ERR_NOT_FOUND && !job->request->flat && job->conflict.chain_count > 0)) {
        job->conflict_info = info;
        job->conflict_info.code = err;
        return BRISK_OK; /* the next stage's */
    }
    return err == BRISK_OK ? err : fail_info(ctx, err, &info);
}

/* --- conflict_resolution ---------------------------------------------------------------------- */

/* Why, and what would help.  Without it the conflict stands all the same. */
static void advise(brisk_stage_ctx *ctx, pkg_resolve_job *job)
{
    const pkg_ideal_opts opts = ideal_opts_of(job);
    const pkg_source source = pkg_fetch_source(job->fetch);
    brisk_errinfo info = {0};
    job->running = ctx;
    brisk_err err = job->conflict_info.code == BRISK_ERR_NOT_FOUND
                        ? pkg_missing_prove(&source, &opts, &job->conflict, job->arena,
                                            &job->advice.proof, &info)
                        : pkg_advise(&job->inputs->project, &source, &opts, &job->conflict,
                                     job->arena, &job->advice, &info);
    job->running = NULL;
    if (err == BRISK_OK && job->conflict_info.code == BRISK_ERR_NOT_FOUND &&
        job->advice.proof.count == 1) {
        job->advice.proof.count = 0; /* the project's own dependency: the message says as much */
    }
    if (err != BRISK_OK) {
        brisk_stage_note(ctx, "no advice: %s", info.text);
    } else {
        brisk_stage_note(ctx, "%u steps of proof, %u trees tried", job->advice.proof.count,
                         job->advice.tries);
    }
}

brisk_err resolve_stage_conflict(brisk_stage_ctx *ctx, void *state)
{
    pkg_resolve_job *job = state;
    enter(job, "conflict_resolution");
    brisk_err code = job->conflict_info.code;
    if (code != BRISK_ERR_CONFLICT && code != BRISK_ERR_NOT_FOUND) {
        return BRISK_OK;
    }
    if (!job->request->flat) {
        advise(ctx, job);
    }
    return brisk_stage_fail(ctx, code, "%s", job->conflict_info.text);
}

/* --- order_optimization ----------------------------------------------------------------------- */

static brisk_err write_text(void *ctx, const char *data, size_t size)
{
    pkg_resolve_job *job = ctx;
    if (size > job->text_capacity - job->text.size) {
        size_t capacity = job->text_capacity > 0 ? job->text_capacity * 2 : (size_t)1 << 19;
        while (capacity - job->text.size < size) {
            capacity *= 2;
        }
        char *more = brisk_arena_alloc(job->arena, capacity);
        if (more == NULL) {
            return BRISK_ERR_NOMEM;
        }
        if (job->text.size > 0) {
            memcpy(more, job->text.data, job->text.size);
        }
        job->text.data = more;
        job->text_capacity = capacity;
    }
    memcpy((char *)(uintptr_t)job->text.data + job->text.size, data, size);
    job->text.size += size;
    return BRISK_OK;
}

static uint32_t packages_in(const pkg_tree *tree)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i < tree->count; i++) {
        count += tree->nodes[i] != NULL && tree->nodes[i]->parent != NULL &&
                 (tree->nodes[i]->flags & PKG_NODE_LINK) == 0;
    }
    return count;
}

/* The order in which it can be installed; and the lock's text, which is the answer. */
brisk_err resolve_stage_order(brisk_stage_ctx *ctx, void *state)
{
    pkg_resolve_job *job = state;
    enter(job, "order_optimization");
    brisk_err err = pkg_order_make(&job->tree, job->arena, &job->order);
    if (err == BRISK_OK) {
        pkg_lock_opts opts = {.omit_resolved = job->inputs->config.omit_resolved,
                              .format = job->inputs->format};
        pkg_text folder = job->inputs->project.folder;
        const char *slash = memrchr(folder.data, '/', folder.size);
        opts.format.name = pkg_text_of(slash != NULL ? slash + 1 : folder.data);
        err = pkg_lock_write(&job->tree, &opts, (brisk_out){.write = write_text, .ctx = job});
    }
    if (err != BRISK_OK) {
        return brisk_stage_fail(ctx, err, "%s", brisk_err_message(err));
    }
    job->facts = (pkg_resolve_facts){
        .fresh_until_ms = pkg_fetch_fresh_until(job->fetch),
        .packages = packages_in(&job->tree),
        .groups = job->order.group_count,
        .critical =
            job->order.critical != UINT32_MAX ? job->order.steps[job->order.critical].weight : 0,
    };
    return BRISK_OK;
}

/* --- lock_writing ----------------------------------------------------------------------------- */

static brisk_err write_lock(const pkg_resolve_job *job, brisk_errinfo *info)
{
    brisk_file_replace *file;
    const char *path = job->inputs->lock_path;
    brisk_err err = brisk_file_replace_open(path, NULL, &file, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = brisk_file_write_all(brisk_file_replace_fd(file), job->text.data, job->text.size);
    if (err != BRISK_OK) {
        brisk_file_replace_abort(file);
        return brisk_errinfo_set(info, err, "%s: cannot be written, %s: %s", path,
                                 job->inputs->lock_text.data != NULL ? "the old one is as it was"
                                                                     : "there is none",
                                 brisk_err_message(err));
    }
    return brisk_file_replace_commit(file, job->request->sync, info);
}

brisk_err resolve_stage_write(brisk_stage_ctx *ctx, void *state)
{
    pkg_resolve_job *job = state;
    enter(job, "lock_writing");
    job->unchanged =
        job->inputs->lock_text.data != NULL && pkg_text_equal(job->inputs->lock_text, job->text);
    if (job->unchanged || job->request->dry_run || job->inputs->project.text.data != NULL) {
        return BRISK_OK; /* without a folder the text is the result */
    }
    const pkg_resolve_request *r = job->request;
    if (brisk_stage_cancelled(ctx)) {
        return brisk_stage_fail(ctx, BRISK_ERR_CANCELLED, "cancelled; the lock is as it was");
    }
    brisk_errinfo info = {0};
    brisk_err err = write_lock(job, &info);
    job->written = err == BRISK_OK;
    if (job->written && job->tree.root != NULL && !r->flat && !r->legacy_peer_deps &&
        !job->inputs->config.legacy_peer_deps) {
        pkg_inputs_remember(job->inputs, &job->tree, job->text);
    }
    brisk_stage_add_bytes(ctx, job->text.size);
    return err == BRISK_OK ? err : fail_info(ctx, err, &info);
}
