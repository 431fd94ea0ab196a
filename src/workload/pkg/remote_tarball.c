/*
 * remote_tarball.c -- the package.json of a tarball, from an URL or a file.
 *
 * What was found in an URL's tarball is kept in a file of its own: a line for what it is, the
 * integrity, until when it is fresh, what is beside the package.json, its hash; then package.json.
 * One that is damaged is fetched again.
 */
#include "workload/pkg/remote_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <brisk/file.h>
#include <brisk/hash.h>
#include <brisk/http_client.h>

#include "workload/pkg/fetch_internal.h"
#include "workload/pkg/file_read.h"
#include "workload/pkg/integrity.h"
#include "workload/pkg/tar.h"

enum { KEPT_MAX = PKG_TAR_MANIFEST_MAX + 1024, HTTP_OK = 200, TICK_NS = 50000000 };
#define KEPT_HEAD "brisk tarball 1\n"

static brisk_err no_memory(brisk_errinfo *info)
{
    return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
}

static int64_t now_ms(void)
{
    return (int64_t)(brisk_clock_wall_ns(NULL) / 1000000);
}

/* --- what is kept ---------------------------------------------------------------------------- */

typedef struct kept {
    remote_found found;
    int64_t fresh_until_ms;
} kept;

static bool read_kept(pkg_remote *remote, const char *path, kept *ret)
{
    const pkg_file_opts opts = {.size_max = KEPT_MAX};
    pkg_text text;
    brisk_errinfo info;
    char integrity[PKG_INTEGRITY_SIZE];
    int64_t until = 0;
    unsigned flags = 0;
    uint64_t hash = 0;
    int head = 0;
    if (path == NULL || pkg_file_read(path, &opts, remote->arena, &text, &info) != BRISK_OK ||
        sscanf(text.data, KEPT_HEAD "%95s %" SCNd64 " %u %" SCNx64 "%n", integrity, &until, &flags,
               &hash, &head) != 4 ||
        head <= 0 || (size_t)head >= text.size || text.data[head] != '\n') {
        return false;
    }
    pkg_text manifest = {.data = text.data + head + 1, .size = text.size - (size_t)head - 1};
    char *copy = brisk_arena_copy(remote->arena, integrity, strlen(integrity));
    if (copy == NULL || brisk_hash64(manifest.data, manifest.size, 0) != hash) {
        return false;
    }
    *ret = (kept){.found = {.manifest = manifest,
                            .integrity = pkg_text_of(copy),
                            .has_shrinkwrap = (flags & 1) != 0,
                            .has_gyp = (flags & 2) != 0},
                  .fresh_until_ms = until};
    return true;
}

static void keep(const char *path, const kept *what)
{
    char head[256];
    brisk_file_replace *file;
    brisk_errinfo info;
    const remote_found *f = &what->found;
    int size = snprintf(head, sizeof head, KEPT_HEAD "%.*s %" PRId64 " %u %" PRIx64 "\n",
                        (int)f->integrity.size, f->integrity.data, what->fresh_until_ms,
                        (unsigned)f->has_shrinkwrap | (unsigned)f->has_gyp << 1,
                        brisk_hash64(f->manifest.data, f->manifest.size, 0));
    if (path == NULL || brisk_file_replace_open(path, NULL, &file, &info) != BRISK_OK) {
        return; /* then it is fetched again */
    }
    int fd = brisk_file_replace_fd(file);
    brisk_err err = brisk_file_write_all(fd, head, (size_t)size);
    err = err == BRISK_OK ? brisk_file_write_all(fd, f->manifest.data, f->manifest.size) : err;
    if (err != BRISK_OK) {
        brisk_file_replace_abort(file);
        return;
    }
    err = brisk_file_replace_commit(file, false, &info);
    (void)err;
}

/* --- what is in a tarball -------------------------------------------------------------------- */

static brisk_err look_inside(pkg_remote *remote, pkg_text packed, pkg_text integrity,
                             remote_found *ret, brisk_errinfo *info)
{
    char found[PKG_INTEGRITY_SIZE];
    const brisk_alloc *alloc = brisk_alloc_libc();
    void *held = NULL;
    size_t capacity = 0;
    pkg_text tar;
    pkg_tar inside = {0};
    if (integrity.size > 0 && !pkg_integrity_has(integrity, packed)) {
        return brisk_errinfo_set(info, BRISK_ERR_CORRUPT,
                                 "the tarball is another one than the lock has (\"integrity\" "
                                 "differs); if that is meant, resolve with --update");
    }
    pkg_integrity_of(packed, found);
    brisk_err err =
        pkg_tar_expand(packed, PKG_REMOTE_EXPANDED_MAX, alloc, &tar, &held, &capacity, info);
    err = err == BRISK_OK ? pkg_tar_read(tar, &inside, info) : err;
    char *manifest = NULL;
    if (err == BRISK_OK) {
        manifest = brisk_arena_copy(remote->arena, inside.manifest.data, inside.manifest.size);
    }
    char *hash = brisk_arena_copy(remote->arena, found, strlen(found));
    if (err == BRISK_OK && (manifest == NULL || hash == NULL)) {
        err = no_memory(info);
    }
    if (err == BRISK_OK) {
        ret->manifest = (pkg_text){.data = manifest, .size = inside.manifest.size};
        ret->integrity = pkg_text_of(hash);
        ret->has_shrinkwrap = inside.has_shrinkwrap;
        ret->has_gyp = inside.has_gyp;
    }
    if (held != NULL) {
        alloc->release(alloc->ctx, held, capacity, 16);
    }
    return err;
}

/* The integrity that the lock has for it; "": none. */
static pkg_text locked_integrity(const pkg_remote *remote, pkg_text resolved)
{
    const pkg_tree *lock = remote->opts.lock;
    for (uint32_t i = 0; lock != NULL && lock->root != NULL && i < lock->count; i++) {
        const pkg_node *node = lock->nodes[i];
        if (node != NULL && node->integrity.size > 0 && pkg_text_equal(node->resolved, resolved)) {
            return node->integrity;
        }
    }
    return PKG_TEXT("");
}

/* --- an URL ---------------------------------------------------------------------------------- */

/* What may be sent to it, if anything, as the client's only token. */
static bool token_of(pkg_remote *remote, pkg_text url, brisk_http_token *ret, bool *ret_has)
{
    const pkg_auth *auth = pkg_config_auth(remote->opts.config, url);
    *ret_has = auth != NULL && auth->token.size > 0;
    if (!*ret_has) {
        return true;
    }
    bool tls = url.size > 6 && memcmp(url.data, "https:", 6) == 0;
    ret->prefix =
        brisk_arena_printf(remote->arena, "%s%.*s",
                           tls ? "https:" : "http:", (int)auth->prefix.size, auth->prefix.data);
    ret->authorization =
        brisk_arena_printf(remote->arena, "%s %.*s", auth->basic ? "Basic" : "Bearer",
                           (int)auth->token.size, auth->token.data);
    return ret->prefix != NULL && ret->authorization != NULL;
}

static const char *text_of(pkg_remote *remote, pkg_text text)
{
    return text.size > 0 ? brisk_arena_copy(remote->arena, text.data, text.size) : NULL;
}

static brisk_err make_client(pkg_remote *remote, pkg_text url, brisk_http_client **ret,
                             brisk_errinfo *info)
{
    const pkg_config *config = remote->opts.config;
    brisk_http_token token = {0};
    bool has_token = false;
    if (!token_of(remote, url, &token, &has_token)) {
        return no_memory(info);
    }
    const brisk_http_client_opts opts = {
        .tokens = &token,
        .token_count = has_token,
        .ca_file = text_of(remote, config->ca_file),
        .http_proxy = text_of(remote, config->proxy),
        .https_proxy = text_of(remote, config->https_proxy),
        .no_proxy = text_of(remote, config->no_proxy),
        .retries = config->fetch_retries > 0 ? config->fetch_retries : BRISK_HTTP_NONE,
        .first_byte_timeout_ns = (uint64_t)config->fetch_timeout_ms * 1000000,
        .timeout_ns = PKG_REMOTE_TIME_NS,
        .body_bytes_max = PKG_REMOTE_TARBALL_MAX,
        .expanded_bytes_max = PKG_REMOTE_EXPANDED_MAX,
    };
    return brisk_http_client_create(&opts, ret, info);
}

static brisk_err wait_for(pkg_remote *remote, brisk_http_client *client, brisk_http_queue *queue,
                          brisk_http_response **ret, brisk_errinfo *info)
{
    for (;;) {
        brisk_err err = brisk_http_queue_take(queue, TICK_NS, ret);
        if (err == BRISK_OK) {
            return err;
        }
        if (remote->opts.cancelled != NULL && remote->opts.cancelled(remote->opts.ctx)) {
            brisk_http_cancel_all(client);
            return brisk_errinfo_set(info, BRISK_ERR_CANCELLED, "cancelled");
        }
    }
}

static brisk_err judge(const brisk_http_response *response, brisk_errinfo *info)
{
    if (response->err != BRISK_OK) {
        return brisk_errinfo_set(info, response->err, "%s", response->why);
    }
    if (response->status == HTTP_OK) {
        return BRISK_OK;
    }
    bool denied = response->status == 401 || response->status == 403;
    bool gone = response->status == 404 || response->status == 410;
    return brisk_errinfo_set(info,
                             denied ? BRISK_ERR_PERMISSION
                             : gone ? BRISK_ERR_NOT_FOUND
                                    : BRISK_ERR_IO,
                             "its address answers %d%s", response->status,
                             denied ? "; is there a token for it in .npmrc?" : "");
}

/* `response` is what came.  The tarball is taken as sent; what a server packed once more is expanded. */
static brisk_err take_answer(pkg_remote *remote, brisk_http_response *response, pkg_text integrity,
                             kept *ret, brisk_errinfo *info)
{
    brisk_err err = judge(response, info);
    if (err == BRISK_OK && response->encoding != BRISK_HTTP_IDENTITY) {
        err = brisk_http_response_expand(response, info);
    }
    if (err != BRISK_OK) {
        return err;
    }
    pkg_text packed = {.data = (const char *)response->body, .size = response->body_size};
    err = look_inside(remote, packed, integrity, &ret->found, info);
    ret->fresh_until_ms = fetch_fresh_until(&response->caching, now_ms());
    return err;
}

static brisk_err download(pkg_remote *remote, const char *url, pkg_text integrity, kept *ret,
                          brisk_errinfo *info)
{
    brisk_http_client *client = NULL;
    brisk_http_queue *queue = NULL;
    brisk_http_response *response = NULL;
    brisk_err err = make_client(remote, pkg_text_of(url), &client, info);
    if (err == BRISK_OK) {
        err = brisk_http_queue_create(NULL, &queue);
    }
    if (err == BRISK_OK) {
        const brisk_http_request request = {
            .url = url, .redirects_max = PKG_FETCH_REDIRECTS_MAX, .plain = true, .queue = queue};
        err = brisk_http_submit(client, &request, NULL, info);
    }
    if (err == BRISK_OK) {
        remote->stats.fetched++;
        err = wait_for(remote, client, queue, &response, info);
    }
    if (err == BRISK_OK) {
        err = take_answer(remote, response, integrity, ret, info);
    }
    brisk_http_response_destroy(response);
    brisk_http_client_destroy(client);
    brisk_http_queue_destroy(queue);
    return err;
}

/* An URL with a password in it: npm sends it, we do not. */
static const char *judge_url(pkg_text url)
{
    for (size_t i = 0; i < url.size; i++) {
        if ((unsigned char)url.data[i] <= ' ' || (unsigned char)url.data[i] >= 0x7F) {
            return "its address has characters that none has";
        }
    }
    return url.size >= BRISK_HTTP_URL_MAX ? "its address is longer than 8192 bytes" : NULL;
}

static brisk_err from_url(pkg_remote *remote, pkg_text url, remote_found *ret, brisk_errinfo *info)
{
    const char *wrong = judge_url(url);
    if (wrong != NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s", wrong);
    }
    const char *text = text_of(remote, url);
    if (text == NULL) {
        return no_memory(info);
    }
    const char *place = remote_place(remote, "tarballs", url);
    pkg_text locked = locked_integrity(remote, url);
    kept k = {0};
    bool has = read_kept(remote, place, &k);
    bool right = has && (locked.size == 0 || pkg_text_equal(locked, k.found.integrity));
    bool fresh = k.fresh_until_ms > now_ms() || remote->opts.mode != PKG_FETCH_NORMAL;
    if (!right || !(fresh || locked.size > 0)) {
        if (remote->opts.mode == PKG_FETCH_OFFLINE) {
            return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND,
                                     "--offline, and its tarball was never fetched; resolve once "
                                     "without");
        }
        brisk_err err = download(remote, text, locked, &k, info);
        if (err != BRISK_OK) {
            return err;
        }
        keep(place, &k);
    }
    *ret = k.found;
    ret->resolved = pkg_text_of(text);
    return BRISK_OK;
}

/* --- a file ---------------------------------------------------------------------------------- */

static brisk_err from_file(pkg_remote *remote, pkg_text path, remote_found *ret,
                           brisk_errinfo *info)
{
    pkg_text project = remote->opts.project;
    bool absolute = path.size > 0 && path.data[0] == '/';
    char *whole = brisk_arena_printf(remote->arena, "%.*s%s%.*s", absolute ? 0 : (int)project.size,
                                     project.data, absolute ? "" : "/", (int)path.size, path.data);
    char *resolved = brisk_arena_printf(remote->arena, "file:%.*s", (int)path.size, path.data);
    brisk_file_view view;
    if (whole == NULL || resolved == NULL) {
        return no_memory(info);
    }
    brisk_err err = brisk_file_view_open(whole, PKG_REMOTE_TARBALL_MAX, &view, info);
    if (err != BRISK_OK) {
        return err;
    }
    pkg_text packed = {.data = (const char *)view.data, .size = view.size};
    pkg_text locked = locked_integrity(remote, pkg_text_of(resolved));
    err = look_inside(remote, packed, locked, ret, info);
    brisk_file_view_close(&view);
    ret->resolved = pkg_text_of(resolved);
    return err;
}

brisk_err remote_tarball(pkg_remote *remote, const pkg_spec *spec, remote_found *ret,
                         brisk_errinfo *info)
{
    return spec->type == PKG_SPEC_FILE ? from_file(remote, spec->wanted, ret, info)
                                       : from_url(remote, spec->wanted, ret, info);
}
