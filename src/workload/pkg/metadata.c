/*
 * metadata.c -- the store as commands read it; behind metadata.h.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/metadata.h"

/* The folder `path` lies in, in the arena; NULL: out of memory. */
static const char *folder_of(brisk_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return brisk_arena_copy(arena, ".", 1);
    }
    size_t size = slash > path ? (size_t)(slash - path) : 1;
    return brisk_arena_copy(arena, path, size);
}

static brisk_err find_store(const brisk_invocation *in, const char *store, brisk_arena *arena,
                            const char **ret)
{
    *ret = store;
    if (store != NULL) {
        return BRISK_OK;
    }
    brisk_engine *engine;
    brisk_err err = in->engine(in, &engine);
    if (err != BRISK_OK) {
        return err;
    }
    const char *folder = brisk_engine_cache_path(engine);
    if (folder[0] != '\0') {
        *ret = brisk_arena_printf(arena, "%s/packages.store", folder);
        return *ret != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    }
    return BRISK_OK;
}

brisk_err pkg_metadata_open(const brisk_invocation *in, const char *store, const char *lock,
                            brisk_arena *arena, pkg_metadata *ret, brisk_errinfo *info)
{
    pkg_metadata m = {.oldest_ms = INT64_MAX};
    const char *folder = folder_of(arena, lock);
    if (folder == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s", brisk_err_message(BRISK_ERR_NOMEM));
    }
    brisk_err err = pkg_config_read(folder, arena, &m.config, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = find_store(in, store, arena, &m.path);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "where packages are stored cannot be found: %s",
                                 brisk_err_message(err));
    }
    if (m.path != NULL) {
        const pkg_store_opts opts = {.read_only = true};
        err = pkg_store_open(m.path, &opts, &m.store, info);
        bool absent = err == BRISK_ERR_NOT_FOUND || (err == BRISK_ERR_CORRUPT && store == NULL);
        if (err != BRISK_OK && (!absent || store != NULL)) {
            return err;
        }
    }
    *ret = m;
    return BRISK_OK;
}

void pkg_metadata_close(pkg_metadata *metadata)
{
    pkg_store_close(metadata->store);
    *metadata = (pkg_metadata){0};
}

const pkg_package *pkg_metadata_get(pkg_metadata *metadata, pkg_text name)
{
    pkg_stored stored = {0};
    brisk_err err = BRISK_ERR_NOT_FOUND;
    if (metadata->store != NULL) {
        pkg_text url = pkg_config_registry(&metadata->config, name)->url;
        pkg_stored whole = {0};
        err = pkg_store_get(metadata->store, pkg_registry_key(url, false), name, &stored);
        brisk_err other = pkg_store_get(metadata->store, pkg_registry_key(url, true), name, &whole);
        if (other == BRISK_OK && (err != BRISK_OK || whole.fetched_ms > stored.fetched_ms)) {
            stored = whole; /* the younger one */
            err = BRISK_OK;
        }
    }
    if (err != BRISK_OK) {
        metadata->unknown++;
        return NULL;
    }
    metadata->known++;
    if (stored.fetched_ms < metadata->oldest_ms) {
        metadata->oldest_ms = stored.fetched_ms;
    }
    return stored.package;
}
