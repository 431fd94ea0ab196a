/*
 * resolve_remote.c -- see resolve_remote.h.
 *
 * The node resolves with its own registries, tokens and store; what goes there is package.json, the
 * lock and the switches.  What comes back has to be a lock before the one that is there is replaced.
 *
 * Threads: one.
 */
#include "workload/pkg/resolve_remote.h"

#include <string.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/file.h>
#include <brisk/json.h>
#include <brisk/json_read.h>

#include "workload/pkg/report.h"

enum { MANIFEST_MAX = 16 << 20 };

static const uint64_t lock_max = UINT64_C(256) << 20;

typedef struct work {
    const resolve_remote *remote;
    brisk_file_view manifest;
    const char *manifest_text; /* terminated */
    const char *lock_text;     /* likewise, or NULL */
    uint64_t told_ns;
    uint32_t packages;
    bool unchanged;
} work;

/* --- asking ------------------------------------------------------------------------------- */

static void write_request(void *ctx, brisk_json *json)
{
    const work *w = ctx;
    const pkg_resolve_request *r = w->remote->request;
    const struct {
        const char *key;
        bool on;
    } switches[] = {{"offline", r->mode == PKG_FETCH_OFFLINE},
                    {"prefer_offline", r->mode == PKG_FETCH_PREFER_STORE},
                    {"prereleases", r->prereleases},
                    {"legacy_peer_deps", r->legacy_peer_deps},
                    {"strict_peer_deps", r->strict_peer_deps},
                    {"prefer_dedupe", r->prefer_dedupe},
                    {"flat", r->flat},
                    {"update", r->anew},
                    {"whole_metadata", r->whole_documents}};
    const struct {
        const char *key;
        const char *text;
    } texts[] = {{"package", w->manifest_text},     {"lock", w->lock_text},
                 {"before", w->remote->before},     {"min_age", w->remote->min_age},
                 {"node", w->remote->node_version}, {"resolution", r->highest ? "highest" : "npm"}};
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        if (switches[i].on) {
            brisk_json_bool(json, switches[i].key, true);
        }
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].text != NULL) {
            brisk_json_str(json, texts[i].key, texts[i].text);
        }
    }
}

static void on_progress(void *ctx, const char *status, uint64_t waited_ns)
{
    work *w = ctx;
    w->told_ns = waited_ns;
    if (!w->remote->in->quiet && isatty(STDERR_FILENO) == 1) {
        (void)fprintf(stderr, "\r\033[K%s at the node, %.0f s", status, (double)waited_ns / 1e9);
        (void)fflush(stderr);
    }
}

static brisk_err ask(work *w, const brisk_node_opts *where, brisk_http_response **ret,
                     brisk_errinfo *info)
{
    brisk_node *node = NULL;
    brisk_err err = brisk_node_open(where, &node, info);
    if (err == BRISK_OK) {
        err = brisk_node_run_job(node,
                                 &(brisk_node_job){.workload = "pkg",
                                                   .request = write_request,
                                                   .progress = on_progress,
                                                   .ctx = w,
                                                   .answer_max = lock_max},
                                 ret, info);
    }
    brisk_node_close(node);
    if (w->told_ns != 0 && !w->remote->in->quiet && isatty(STDERR_FILENO) == 1) {
        (void)fputs("\r\033[K", stderr);
    }
    return err;
}

/* --- texts -------------------------------------------------------------------------------- */

/* JSON has no NULs, and what has one is not sent. */
static brisk_err terminate(const pkg_inputs *inputs, const void *data, size_t size,
                           const char **ret, const char *what, brisk_errinfo *info)
{
    if (size > 0 && memchr(data, '\0', size) != NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: has a NUL byte", what);
    }
    *ret = brisk_arena_copy(inputs->arena, size > 0 ? data : "", size);
    return *ret != NULL ? BRISK_OK : brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
}

static brisk_err read_texts(work *w, brisk_errinfo *info)
{
    const pkg_inputs *inputs = w->remote->request->inputs;
    const char *path =
        brisk_arena_printf(inputs->arena, "%s/package.json", w->remote->request->folder);
    if (path == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    brisk_err err = brisk_file_view_open(path, MANIFEST_MAX, &w->manifest, info);
    if (err == BRISK_OK) {
        err = terminate(inputs, w->manifest.data, w->manifest.size, &w->manifest_text, path, info);
    }
    if (err == BRISK_OK && inputs->lock_text.data != NULL && !w->remote->request->anew) {
        err = terminate(inputs, inputs->lock_text.data, inputs->lock_text.size, &w->lock_text,
                        inputs->lock_path, info);
    }
    return err;
}

/* --- the lock ----------------------------------------------------------------------------- */

static brisk_err take_lock(work *w, const brisk_http_response *response, brisk_errinfo *info)
{
    const pkg_inputs *inputs = w->remote->request->inputs;
    const brisk_json_node *root = NULL;
    const char *text = response->body != NULL ? (const char *)response->body : "";
    brisk_err err = brisk_json_read(text, response->body_size, brisk_arena_as_alloc(inputs->arena),
                                    &root, NULL);
    const brisk_json_node *packages = err == BRISK_OK ? brisk_json_get(root, "packages") : NULL;
    if (packages == NULL || packages->kind != BRISK_JSON_OBJECT ||
        brisk_json_get(root, "lockfileVersion") == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "what the node answers is no lock");
    }
    w->packages = packages->count - (brisk_json_get(packages, "") != NULL);
    w->unchanged = inputs->lock_text.size == response->body_size && response->body_size > 0 &&
                   memcmp(inputs->lock_text.data, text, response->body_size) == 0;
    return BRISK_OK;
}

static brisk_err write_lock(const work *w, const brisk_http_response *response, brisk_errinfo *info)
{
    const char *path = w->remote->request->inputs->lock_path;
    brisk_file_replace *file = NULL;
    brisk_err err = brisk_file_replace_open(path, NULL, &file, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = brisk_file_write_all(brisk_file_replace_fd(file), response->body, response->body_size);
    if (err != BRISK_OK) {
        brisk_file_replace_abort(file);
        return brisk_errinfo_set(info, err, "%s: %s", path, brisk_err_message(err));
    }
    return brisk_file_replace_commit(file, w->remote->request->sync, info);
}

static brisk_exit tell(const work *w, bool written, uint64_t elapsed_ns)
{
    const brisk_invocation *in = w->remote->in;
    const char *path = w->remote->request->inputs->lock_path;
    if (w->remote->json) {
        brisk_json json;
        pkg_json_begin(&json, in, path);
        brisk_json_bool(&json, "ok", true);
        brisk_json_u64(&json, "packages", w->packages);
        brisk_json_bool(&json, "unchanged", w->unchanged);
        brisk_json_bool(&json, "written", written);
        brisk_json_str(&json, "how", "node");
        brisk_json_u64(&json, "elapsed_ns", elapsed_ns);
        return pkg_json_end(&json, BRISK_EXIT_OK);
    }
    pkg_put(in->out, pkg_text_of(path));
    (void)fprintf(in->out, ": %u package%s, %s, %.1f ms (by the node)\n", w->packages,
                  w->packages == 1 ? "" : "s",
                  written        ? "written"
                  : w->unchanged ? "unchanged"
                                 : "not written",
                  (double)elapsed_ns / 1e6);
    return BRISK_EXIT_OK;
}

brisk_exit resolve_at_node(const resolve_remote *remote, const brisk_node_opts *where)
{
    work w = {.remote = remote};
    brisk_errinfo info = {.text = ""};
    brisk_http_response *response = NULL;
    uint64_t begun_ns = brisk_clock_now_ns(NULL);
    bool written = false;
    brisk_err err = read_texts(&w, &info);
    err = err == BRISK_OK ? ask(&w, where, &response, &info) : err;
    err = err == BRISK_OK ? take_lock(&w, response, &info) : err;
    if (err == BRISK_OK && !w.unchanged && !remote->request->dry_run) {
        err = write_lock(&w, response, &info);
        written = err == BRISK_OK;
    }
    brisk_exit code = err == BRISK_OK ? tell(&w, written, brisk_clock_now_ns(NULL) - begun_ns)
                                      : pkg_fail(remote->in, &info);
    brisk_http_response_destroy(response);
    brisk_file_view_close(&w.manifest);
    return code;
}
