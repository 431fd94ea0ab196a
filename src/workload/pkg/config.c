/*
 * config.c -- the settings that resolving needs, from the environment and three .npmrc files.
 *
 * The sources are kept one behind the other and asked in order: environment, project, user, global.
 * A value of the wrong kind is refused with its file and line, and without the value: whatever it
 * is, it may be a secret in the wrong place.
 *
 * Secrets are bound to a host and a path when they are read ("//host/path/:_authToken"); those
 * without a host, which old npm sent anywhere, are not taken.  User and password in a registry's
 * URL are taken out of it.
 *
 * The project's file comes with the project and is not followed through a symbolic link; the user's
 * and the global one may be links.
 *
 * Threads: one at a time.  Source: npm's documentation of config and npmrc.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workload/pkg/config_internal.h"
#include "workload/pkg/file_read.h"
#include "workload/pkg/project.h"

enum {
    FETCH_RETRIES = 2,
    FETCH_TIMEOUT_MS = 300000,
    MAX_SOCKETS = 15,
    MINUTES_A_DAY = 1440,
};

/* --- sources ------------------------------------------------------------------------------- */

static brisk_err read_source(config_reader *c, const char *path, bool follow, npmrc *ret)
{
    const pkg_file_opts opts = {.size_max = NPMRC_BYTES_MAX, .follow_links = follow};
    pkg_text text;
    brisk_err err = pkg_file_read(path, &opts, c->arena, &text, c->info);
    if (err == BRISK_ERR_NOT_FOUND) {
        *ret = (npmrc){.file = path};
        return BRISK_OK;
    }
    return err != BRISK_OK ? err : npmrc_parse(text, path, c->environment, c->arena, ret, c->info);
}

static char *copy_of(const config_reader *c, pkg_text text)
{
    return brisk_arena_copy(c->arena, text.data != NULL ? text.data : "", text.size);
}

static pkg_text variable(const config_reader *c, const char *name)
{
    return npmrc_variable(c->environment, pkg_text_of(name));
}

/* The folder above the one that node is in: where npm keeps global things. */
static bool node_prefix(const config_reader *c, char ret[PATH_MAX])
{
    pkg_text path = variable(c, "PATH");
    while (path.size > 0) {
        const char *colon = memchr(path.data, ':', path.size);
        size_t size = colon != NULL ? (size_t)(colon - path.data) : path.size;
        char file[PATH_MAX];
        int length = snprintf(file, sizeof file, "%.*s/node", (int)size, path.data);
        if (size > 0 && length < PATH_MAX && access(file, X_OK) == 0 &&
            realpath(file, ret) != NULL) {
            for (int i = 0; i < 2; i++) { /* "bin/node" */
                char *slash = strrchr(ret, '/');
                *slash = '\0';
                if (slash == ret) {
                    break;
                }
            }
            return true;
        }
        size_t skip = size < path.size ? size + 1 : size;
        path = (pkg_text){.data = path.data + skip, .size = path.size - skip};
    }
    return false;
}

static brisk_err global_path(const config_reader *c, char **ret)
{
    const npmrc_entry *set = npmrc_find(&c->sources[CONFIG_ENVIRONMENT], PKG_TEXT("globalconfig"));
    const npmrc_entry *prefix = npmrc_find(&c->sources[CONFIG_ENVIRONMENT], PKG_TEXT("prefix"));
    char node[PATH_MAX];
    if (set != NULL) {
        *ret = copy_of(c, set->value);
    } else if (prefix != NULL) {
        *ret = brisk_arena_printf(c->arena, "%.*s/etc/npmrc", (int)prefix->value.size,
                                  prefix->value.data);
    } else if (node_prefix(c, node)) {
        *ret = brisk_arena_printf(c->arena, "%s/etc/npmrc", node);
    } else {
        *ret = brisk_arena_copy(c->arena, "", 0);
    }
    return *ret != NULL ? BRISK_OK : config_no_memory(c);
}

static brisk_err user_path(const config_reader *c, char **ret)
{
    const npmrc_entry *set = npmrc_find(&c->sources[CONFIG_ENVIRONMENT], PKG_TEXT("userconfig"));
    pkg_text home = variable(c, "HOME");
    *ret = set != NULL     ? copy_of(c, set->value)
           : home.size > 0 ? brisk_arena_printf(c->arena, "%s/.npmrc", home.data)
                           : brisk_arena_copy(c->arena, "", 0);
    return *ret != NULL ? BRISK_OK : config_no_memory(c);
}

static brisk_err read_sources(config_reader *c, const char *folder)
{
    char *user = NULL;
    char *global = NULL;
    char *project = folder != NULL ? brisk_arena_printf(c->arena, "%s/.npmrc", folder) : NULL;
    if (folder != NULL && project == NULL) {
        return config_no_memory(c);
    }
    brisk_err err =
        npmrc_from_environment(c->environment, c->arena, &c->sources[CONFIG_ENVIRONMENT], c->info);
    err = err != BRISK_OK ? err : user_path(c, &user);
    err = err != BRISK_OK ? err : global_path(c, &global);
    if (err == BRISK_OK && project != NULL && strcmp(project, user) != 0) {
        err = read_source(c, project, false, &c->sources[CONFIG_PROJECT]);
    }
    if (err == BRISK_OK && *user != '\0') {
        err = read_source(c, user, true, &c->sources[CONFIG_USER]);
    }
    if (err == BRISK_OK && *global != '\0') {
        err = read_source(c, global, true, &c->sources[CONFIG_GLOBAL]);
    }
    return err;
}

const npmrc_entry *config_find(const config_reader *c, pkg_text key, int *ret_source)
{
    for (int i = 0; i < CONFIG_SOURCES; i++) {
        const npmrc_entry *entry = npmrc_find(&c->sources[i], key);
        if (entry != NULL) {
            *ret_source = i;
            return entry;
        }
    }
    *ret_source = CONFIG_SOURCES;
    return NULL;
}

/* --- errors -------------------------------------------------------------------------------- */

brisk_err config_no_memory(const config_reader *c)
{
    return brisk_errinfo_set(c->info, BRISK_ERR_NOMEM, "out of memory while .npmrc is read");
}

brisk_err config_fail(const config_reader *c, int source, const npmrc_entry *entry,
                      const char *what)
{
    char key
        [64]; /* a key that names a host or a scope is not shown whole: it may have variables in */
    pkg_text shown = entry->key;
    const char *colon = shown.size > 0 && (shown.data[0] == '@' || shown.data[0] == '/')
                            ? memrchr(shown.data, ':', shown.size)
                            : NULL;
    if (colon != NULL) {
        shown.size -= (size_t)(colon - shown.data);
        shown.data = colon;
    }
    (void)snprintf(key, sizeof key, "%s%.*s",
                   colon == NULL               ? ""
                   : entry->key.data[0] == '@' ? "@scope"
                                               : "//host/path",
                   (int)(shown.size < 40 ? shown.size : 40), shown.data);
    const char *file = c->sources[source].file;
    if (file == NULL) {
        return brisk_errinfo_set(c->info, BRISK_ERR_CORRUPT,
                                 "the environment's setting of \"%s\" %s", key, what);
    }
    return brisk_errinfo_set(c->info, BRISK_ERR_CORRUPT, "%s: line %u: \"%s\" %s", file,
                             entry->line, key, what);
}

/* --- values -------------------------------------------------------------------------------- */

static bool is_null(const npmrc_entry *entry)
{
    return entry == NULL || pkg_text_is(entry->value, "null") ||
           pkg_text_is(entry->value, "undefined");
}

static brisk_err set_bool(const config_reader *c, const char *key, bool *ret)
{
    int source;
    const npmrc_entry *entry = config_find(c, pkg_text_of(key), &source);
    if (is_null(entry)) {
        return BRISK_OK;
    }
    bool yes = entry->value.size == 0 || pkg_text_is(entry->value, "true");
    if (!yes && !pkg_text_is(entry->value, "false")) {
        return config_fail(c, source, entry, "has to be true or false");
    }
    *ret = yes;
    return BRISK_OK;
}

/* A number times `unit`, rounded up. */
static brisk_err set_number(const config_reader *c, const char *key, double unit, uint32_t *ret)
{
    int source;
    const npmrc_entry *entry = config_find(c, pkg_text_of(key), &source);
    if (is_null(entry)) {
        return BRISK_OK;
    }
    char text[32];
    char *end = text;
    double value = -1;
    if (entry->value.size > 0 && entry->value.size < sizeof text) {
        memcpy(text, entry->value.data, entry->value.size);
        text[entry->value.size] = '\0';
        value = strtod(text, &end);
    }
    if (end == text || *end != '\0' || !(value >= 0) || value * unit > UINT32_MAX) {
        return config_fail(c, source, entry, "has to be a number, not below 0");
    }
    *ret = (uint32_t)(value * unit);
    *ret += value * unit > *ret && *ret < UINT32_MAX ? 1 : 0;
    return BRISK_OK;
}

static void set_text(const config_reader *c, const char *key, pkg_text *ret)
{
    int source;
    const npmrc_entry *entry = config_find(c, pkg_text_of(key), &source);
    if (!is_null(entry) && !pkg_text_is(entry->value, "false") &&
        !pkg_text_is(entry->value, "true")) {
        *ret = entry->value;
    }
}

/* The proxy of the environment where none is set. */
static void set_proxies(const config_reader *c, pkg_config *config)
{
    static const char *const names[] = {"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"};
    set_text(c, "proxy", &config->proxy);
    set_text(c, "http-proxy", &config->proxy);
    set_text(c, "https-proxy", &config->https_proxy);
    set_text(c, "noproxy", &config->no_proxy);
    for (size_t i = 0; i < 4 && config->https_proxy.size == 0; i++) {
        config->https_proxy = variable(c, names[i]);
    }
    for (size_t i = 2; i < 4 && config->proxy.size == 0; i++) {
        config->proxy = variable(c, names[i]);
    }
    if (config->no_proxy.size == 0) {
        pkg_text upper = variable(c, "NO_PROXY");
        config->no_proxy = upper.size > 0 ? upper : variable(c, "no_proxy");
    }
}

/* A path: "~/" is the home folder. */
static brisk_err set_ca_file(const config_reader *c, pkg_config *config)
{
    set_text(c, "cafile", &config->ca_file);
    pkg_text home = variable(c, "HOME");
    pkg_text path = config->ca_file;
    if (path.size < 2 || memcmp(path.data, "~/", 2) != 0 || home.size == 0) {
        return BRISK_OK;
    }
    const char *whole =
        brisk_arena_printf(c->arena, "%s/%.*s", home.data, (int)path.size - 2, path.data + 2);
    config->ca_file = pkg_text_of(whole);
    return whole != NULL ? BRISK_OK : config_no_memory(c);
}

/* "before" wins over "min-release-age" of the same source, and the nearer source over the other. */
static brisk_err set_age(const config_reader *c, pkg_config *config)
{
    int before;
    int age;
    bool has_before = !is_null(config_find(c, PKG_TEXT("before"), &before));
    bool has_age = !is_null(config_find(c, PKG_TEXT("min-release-age"), &age));
    if (has_before && (!has_age || before <= age)) {
        set_text(c, "before", &config->before);
        return BRISK_OK;
    }
    return set_number(c, "min-release-age", MINUTES_A_DAY, &config->min_age_minutes);
}

/* All entries of the nearest source that has any; each may be several with commas between. */
static brisk_err set_excluded(const config_reader *c, pkg_config *config)
{
    int source;
    pkg_text key = PKG_TEXT("min-release-age-exclude");
    if (is_null(config_find(c, key, &source))) {
        return BRISK_OK;
    }
    const npmrc *rc = &c->sources[source];
    size_t most = 1;
    for (uint32_t i = 0; i < rc->count; i++) {
        const npmrc_entry *entry = &rc->entries[i];
        most += pkg_text_equal(entry->key, key) ? entry->value.size / 2 + 1 : 0;
    }
    pkg_text *items = brisk_arena_calloc(c->arena, most, sizeof *items);
    if (items == NULL) {
        return config_no_memory(c);
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < rc->count; i++) {
        pkg_text rest = rc->entries[i].value;
        for (size_t end = 0; pkg_text_equal(rc->entries[i].key, key) && end < rest.size;) {
            size_t begin = end;
            while (begin < rest.size && strchr(", \t\n", rest.data[begin]) != NULL) {
                begin++;
            }
            end = begin;
            while (end < rest.size && strchr(", \t\n", rest.data[end]) == NULL) {
                end++;
            }
            if (end > begin) {
                items[count++] = (pkg_text){.data = rest.data + begin, .size = end - begin};
            }
        }
    }
    config->min_age_excluded = (pkg_texts){.items = items, .count = count};
    return BRISK_OK;
}

brisk_err config_values(const config_reader *c, pkg_config *config)
{
    brisk_err err = set_bool(c, "legacy-peer-deps", &config->legacy_peer_deps);
    err = err != BRISK_OK ? err : set_bool(c, "strict-peer-deps", &config->strict_peer_deps);
    err = err != BRISK_OK ? err : set_bool(c, "strict-ssl", &config->strict_ssl);
    err = err != BRISK_OK ? err
                          : set_bool(c, "omit-lockfile-registry-resolved", &config->omit_resolved);
    err = err != BRISK_OK ? err : set_bool(c, "prefer-dedupe", &config->prefer_dedupe);
    err = err != BRISK_OK ? err : set_number(c, "fetch-retries", 1, &config->fetch_retries);
    err = err != BRISK_OK ? err : set_number(c, "fetch-timeout", 1, &config->fetch_timeout_ms);
    err = err != BRISK_OK ? err : set_number(c, "maxsockets", 1, &config->max_sockets);
    err = err != BRISK_OK ? err : set_age(c, config);
    err = err != BRISK_OK ? err : set_excluded(c, config);
    err = err != BRISK_OK ? err : set_ca_file(c, config);
    set_proxies(c, config);
    return err;
}

brisk_err pkg_config_read_with(const char *folder, char *const *environment, brisk_arena *arena,
                               pkg_config *ret, brisk_errinfo *info)
{
    config_reader c = {.environment = environment, .arena = arena, .info = info};
    pkg_config config = {.strict_ssl = true,
                         .fetch_retries = FETCH_RETRIES,
                         .fetch_timeout_ms = FETCH_TIMEOUT_MS,
                         .max_sockets = MAX_SOCKETS};
    char real[PATH_MAX];
    if (folder != NULL && realpath(folder, real) == NULL) {
        return brisk_errinfo_set_errno(info, errno, "%s", folder);
    }
    brisk_err err = read_sources(&c, folder == NULL ? NULL : strcmp(real, "/") == 0 ? "" : real);
    err = err != BRISK_OK ? err : config_values(&c, &config);
    err = err != BRISK_OK ? err : config_registries(&c, &config);
    if (err == BRISK_OK) {
        *ret = config;
    }
    return err;
}

brisk_err pkg_config_read(const char *folder, brisk_arena *arena, pkg_config *ret,
                          brisk_errinfo *info)
{
    return pkg_config_read_with(folder, environ, arena, ret, info);
}
