/*
 * config_auth.c -- registries, and which secret goes to which URL.
 *
 * "//host/path/:_authToken" is for URLs of that host whose path begins with /path/.  An URL is
 * looked up as npm does it: with its whole path, then shorter by a part or a slash at a time, and
 * what is found first counts.  Paths are compared as they are written; an URL with "." or ".." parts
 * (also escaped) in it gets nothing.
 *
 * Threads: no state.  Source: npm's documentation of npmrc ("Auth related configuration").
 */
#include <string.h>
#include <strings.h>

#include "workload/pkg/config_internal.h"

/* --- base64 -------------------------------------------------------------------------------- */

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int base64_value(char c)
{
    c = (char)(c == '-' ? '+' : c == '_' ? '/' : c);
    const char *at = c != '\0' ? strchr(base64_digits, c) : NULL;
    return at != NULL ? (int)(at - base64_digits) : -1;
}

/* What is no digit is stepped over, as node does.  `ret` has room for 3/4 of the text. */
static size_t base64_decode(pkg_text text, char *ret)
{
    uint32_t bits = 0;
    int have = 0;
    size_t size = 0;
    for (size_t i = 0; i < text.size && text.data[i] != '='; i++) {
        int value = base64_value(text.data[i]);
        if (value < 0) {
            continue;
        }
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have >= 8) {
            have -= 8;
            ret[size++] = (char)(bits >> have & 0xFF);
        }
    }
    return size;
}

/* `ret` has room for 4 bytes for each 3 or part of 3. */
static size_t base64_encode(const char *data, size_t data_size, char *ret)
{
    size_t size = 0;
    for (size_t i = 0; i < data_size; i += 3) {
        size_t left = data_size - i;
        uint32_t bits = (uint32_t)(unsigned char)data[i] << 16;
        bits |= left > 1 ? (uint32_t)(unsigned char)data[i + 1] << 8 : 0;
        bits |= left > 2 ? (uint32_t)(unsigned char)data[i + 2] : 0;
        ret[size++] = base64_digits[bits >> 18 & 63];
        ret[size++] = base64_digits[bits >> 12 & 63];
        ret[size++] = left > 1 ? base64_digits[bits >> 6 & 63] : '=';
        ret[size++] = left > 2 ? base64_digits[bits & 63] : '=';
    }
    return size;
}

/* base64 of "user:password"; data NULL: out of memory. */
static pkg_text basic_of(brisk_arena *arena, pkg_text user, pkg_text password)
{
    size_t size = user.size + 1 + password.size;
    char *plain = brisk_arena_alloc(arena, size + (size + 2) / 3 * 4);
    if (plain == NULL) {
        return (pkg_text){0};
    }
    memcpy(plain, user.data, user.size);
    plain[user.size] = ':';
    memcpy(plain + user.size + 1, password.data, password.size);
    return (pkg_text){.data = plain + size, .size = base64_encode(plain, size, plain + size)};
}

/* --- URLs ---------------------------------------------------------------------------------- */

typedef struct url_parts {
    bool https;
    pkg_text user; /* "user:password", or "" */
    pkg_text host; /* with its port, unless that is the protocol's */
    pkg_text path; /* from its '/' on, without query and fragment; "/" when there is none */
    bool bare;     /* nothing is behind the path */
} url_parts;

static bool is_printable(pkg_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= ' ' || text.data[i] == 0x7F) {
            return false;
        }
    }
    return true;
}

/* False: no http: or https: URL with a host. */
static bool split_url(pkg_text url, url_parts *ret)
{
    size_t scheme = url.size > 8 && strncasecmp(url.data, "https://", 8) == 0  ? 8
                    : url.size > 7 && strncasecmp(url.data, "http://", 7) == 0 ? 7
                                                                               : 0;
    if (scheme == 0 || !is_printable(url)) {
        return false;
    }
    size_t end = scheme;
    while (end < url.size && strchr("/?#\\", url.data[end]) == NULL) {
        end++;
    }
    pkg_text place = {.data = url.data + scheme, .size = end - scheme};
    const char *at = place.size > 0 ? memrchr(place.data, '@', place.size) : NULL;
    size_t user = at != NULL ? (size_t)(at - place.data) : 0;
    *ret = (url_parts){.https = scheme == 8, .user = {.data = place.data, .size = user}};
    place.data += at != NULL ? user + 1 : 0;
    place.size -= at != NULL ? user + 1 : 0;
    const char *port = ret->https ? ":443" : ":80";
    size_t port_size = strlen(port);
    if (place.size > port_size &&
        memcmp(place.data + place.size - port_size, port, port_size) == 0) {
        place.size -= port_size;
    }
    ret->host = place;
    size_t stop = end;
    while (stop < url.size && strchr("?#", url.data[stop]) == NULL) {
        stop++;
    }
    ret->bare = stop == url.size;
    ret->path = stop > end ? (pkg_text){.data = url.data + end, .size = stop - end} : PKG_TEXT("/");
    return place.size > 0 && (end == url.size || url.data[end] != '\\');
}

/* "." or "..", also escaped. */
static bool is_dots(pkg_text part)
{
    size_t dots = 0;
    for (size_t i = 0; i < part.size; dots++) {
        if (part.data[i] == '.') {
            i++;
        } else if (part.size - i >= 3 && strncasecmp(part.data + i, "%2e", 3) == 0) {
            i += 3;
        } else {
            return false;
        }
    }
    return dots == 1 || dots == 2;
}

static bool has_dots(pkg_text path)
{
    size_t begin = 0;
    for (size_t i = 0; i <= path.size; i++) {
        if (i == path.size || path.data[i] == '/' || path.data[i] == '\\') {
            if (is_dots((pkg_text){.data = path.data + begin, .size = i - begin})) {
                return true;
            }
            begin = i + 1;
        }
    }
    return false;
}

static bool same_host(pkg_text a, pkg_text b)
{
    return a.size == b.size && strncasecmp(a.data, b.data, a.size) == 0;
}

/* Is `prefix` ("//host/path") the first `size` bytes of the path at the host? */
static bool is_prefix(pkg_text prefix, const url_parts *url, size_t size)
{
    return prefix.size == 2 + url->host.size + size && memcmp(prefix.data, "//", 2) == 0 &&
           strncasecmp(prefix.data + 2, url->host.data, url->host.size) == 0 &&
           memcmp(prefix.data + 2 + url->host.size, url->path.data, size) == 0;
}

/* --- secrets ------------------------------------------------------------------------------- */

static brisk_err value_of(const config_reader *c, pkg_text prefix, const char *field, pkg_text *ret)
{
    char *key = brisk_arena_printf(c->arena, "%.*s%s", (int)prefix.size, prefix.data, field);
    if (key == NULL) {
        return config_no_memory(c);
    }
    int source;
    const npmrc_entry *entry = config_find(c, pkg_text_of(key), &source);
    *ret = entry != NULL ? entry->value : (pkg_text){0};
    return BRISK_OK;
}

/* ":username" and ":_password", which is base64. */
static brisk_err read_password(const config_reader *c, pkg_text prefix, pkg_auth *ret)
{
    pkg_text user = {0};
    pkg_text password = {0};
    brisk_err err = value_of(c, prefix, ":username", &user);
    err = err != BRISK_OK ? err : value_of(c, prefix, ":_password", &password);
    if (err != BRISK_OK || user.size == 0 || password.size == 0) {
        return err;
    }
    char *plain = brisk_arena_alloc(c->arena, password.size);
    if (plain == NULL) {
        return config_no_memory(c);
    }
    password = (pkg_text){.data = plain, .size = base64_decode(password, plain)};
    ret->token = basic_of(c->arena, user, password);
    return ret->token.data != NULL ? BRISK_OK : config_no_memory(c);
}

static brisk_err read_auth(const config_reader *c, pkg_text prefix, pkg_auth *ret)
{
    *ret = (pkg_auth){.prefix = prefix};
    brisk_err err = value_of(c, prefix, ":_authToken", &ret->token);
    if (err != BRISK_OK || ret->token.size > 0) {
        return err;
    }
    ret->basic = true;
    err = value_of(c, prefix, ":_auth", &ret->token);
    return err != BRISK_OK || ret->token.size > 0 ? err : read_password(c, prefix, ret);
}

/* The host and path that a key is for; size 0: it is no secret's. */
static pkg_text secret_prefix(pkg_text key)
{
    static const char *const fields[] = {":_authToken", ":_auth", ":_password"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields && key.size > 2; i++) {
        size_t size = strlen(fields[i]);
        if (memcmp(key.data, "//", 2) == 0 && key.size > size + 2 &&
            memcmp(key.data + key.size - size, fields[i], size) == 0) {
            return (pkg_text){.data = key.data, .size = key.size - size};
        }
    }
    return (pkg_text){0};
}

static bool is_known(const pkg_auth *auths, uint32_t count, pkg_text prefix)
{
    for (uint32_t i = 0; i < count; i++) {
        if (pkg_text_equal(auths[i].prefix, prefix)) {
            return true;
        }
    }
    return false;
}

enum { AUTHS_MAX = 1000 };

static brisk_err read_auths(const config_reader *c, pkg_config *config)
{
    pkg_auth *auths = brisk_arena_calloc(c->arena, AUTHS_MAX, sizeof *auths);
    if (auths == NULL) {
        return config_no_memory(c);
    }
    uint32_t count = 0;
    for (int source = 0; source < CONFIG_SOURCES; source++) {
        for (uint32_t i = 0; i < c->sources[source].count; i++) {
            const npmrc_entry *entry = &c->sources[source].entries[i];
            pkg_text prefix = secret_prefix(entry->key);
            if (prefix.size == 0 || is_known(auths, count, prefix)) {
                continue;
            }
            if (count == AUTHS_MAX) {
                return brisk_errinfo_set(c->info, BRISK_ERR_LIMIT,
                                         "there are secrets for more than 1000 hosts and paths");
            }
            brisk_err err = read_auth(c, prefix, &auths[count]);
            if (err != BRISK_OK) {
                return err;
            }
            if (!is_printable(auths[count].token)) {
                return config_fail(c, source, entry,
                                   "has blanks or control characters, which no header may have");
            }
            count += auths[count].token.size > 0;
        }
    }
    config->auths = auths;
    config->auth_count = count;
    return BRISK_OK;
}

static const pkg_auth *auth_of(const pkg_config *config, const url_parts *url)
{
    if (has_dots(url->path)) {
        return NULL;
    }
    for (size_t size = url->path.size;; size--) {
        bool at_end = size == url->path.size || size == 0 || url->path.data[size - 1] == '/' ||
                      url->path.data[size] == '/';
        for (uint32_t i = 0; at_end && i < config->auth_count; i++) {
            if (is_prefix(config->auths[i].prefix, url, size)) {
                return &config->auths[i];
            }
        }
        if (size == 0) {
            return NULL;
        }
    }
}

const pkg_auth *pkg_config_auth(const pkg_config *config, pkg_text url)
{
    url_parts parts;
    if (!split_url(url, &parts)) {
        return NULL;
    }
    bool allowed = parts.https;
    for (uint32_t i = 0; !allowed && i < config->registry_count; i++) {
        url_parts registry;
        allowed = split_url(config->registries[i].url, &registry) && !registry.https &&
                  same_host(registry.host, parts.host);
    }
    return allowed ? auth_of(config, &parts) : NULL;
}

/* --- registries ---------------------------------------------------------------------------- */

/* "user:password" of an URL, escapes resolved, as a secret of its registry. */
static brisk_err take_user(const config_reader *c, pkg_text user, pkg_registry *registry)
{
    char *plain = brisk_arena_alloc(c->arena, user.size + (user.size + 2) / 3 * 4);
    if (plain == NULL) {
        return config_no_memory(c);
    }
    size_t size = 0;
    for (size_t i = 0; i < user.size; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *high = NULL;
        const char *low = NULL;
        if (user.data[i] == '%' && user.size - i >= 3) {
            high = memchr(digits, user.data[i + 1] | (user.data[i + 1] >= 'A' ? 0x20 : 0), 16);
            low = memchr(digits, user.data[i + 2] | (user.data[i + 2] >= 'A' ? 0x20 : 0), 16);
        }
        if (high != NULL && low != NULL) {
            plain[size++] = (char)((high - digits) << 4 | (low - digits));
            i += 2;
        } else {
            plain[size++] = user.data[i];
        }
    }
    registry->basic = true;
    registry->token =
        (pkg_text){.data = plain + size, .size = base64_encode(plain, size, plain + size)};
    return BRISK_OK;
}

static brisk_err read_registry(const config_reader *c, const pkg_config *config, int source,
                               const npmrc_entry *entry, pkg_registry *ret)
{
    url_parts parts;
    if (!split_url(entry->value, &parts) || has_dots(parts.path) || !parts.bare) {
        return config_fail(
            c, source, entry,
            "has to be the URL of a registry, http: or https:, without \"?\" and \"#\"");
    }
    bool slash = parts.path.data[parts.path.size - 1] == '/';
    char *url = brisk_arena_printf(c->arena, "http%s://%.*s%.*s%s", parts.https ? "s" : "",
                                   (int)parts.host.size, parts.host.data, (int)parts.path.size,
                                   parts.path.data, slash ? "" : "/");
    if (url == NULL) {
        return config_no_memory(c);
    }
    for (char *at = url + (parts.https ? 8 : 7), *end = at + parts.host.size; at < end; at++) {
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at);
    }
    ret->url = pkg_text_of(url);
    url_parts again;
    const pkg_auth *auth = split_url(ret->url, &again) ? auth_of(config, &again) : NULL;
    if (auth != NULL) {
        ret->token = auth->token;
        ret->basic = auth->basic;
        return BRISK_OK;
    }
    return parts.user.size > 0 ? take_user(c, parts.user, ret) : BRISK_OK;
}

/* "@scope:registry"; size 0: it is no such key. */
static pkg_text scope_of(pkg_text key)
{
    static const char field[] = ":registry";
    size_t size = sizeof field - 1;
    bool scoped = key.size > size + 1 && key.data[0] == '@' &&
                  memcmp(key.data + key.size - size, field, size) == 0;
    return scoped ? (pkg_text){.data = key.data, .size = key.size - size} : (pkg_text){0};
}

enum { REGISTRIES_MAX = 1000 };

static brisk_err read_scopes(const config_reader *c, pkg_config *config, pkg_registry *items)
{
    for (int source = 0; source < CONFIG_SOURCES; source++) {
        for (uint32_t i = 0; i < c->sources[source].count; i++) {
            const npmrc_entry *entry = &c->sources[source].entries[i];
            pkg_text scope = scope_of(entry->key);
            bool known = scope.size == 0;
            for (uint32_t j = 1; !known && j < config->registry_count; j++) {
                known = pkg_text_equal(items[j].scope, scope);
            }
            if (known) {
                continue;
            }
            if (config->registry_count == REGISTRIES_MAX) {
                return brisk_errinfo_set(c->info, BRISK_ERR_LIMIT,
                                         "there are registries for more than 1000 scopes");
            }
            int from; /* of entries with this key, the one that counts */
            const npmrc_entry *set = config_find(c, entry->key, &from);
            items[config->registry_count].scope = scope;
            brisk_err err = read_registry(c, config, from, set, &items[config->registry_count]);
            if (err != BRISK_OK) {
                return err;
            }
            config->registry_count++;
        }
    }
    return BRISK_OK;
}

brisk_err config_registries(const config_reader *c, pkg_config *config)
{
    pkg_registry *items = brisk_arena_calloc(c->arena, REGISTRIES_MAX, sizeof *items);
    if (items == NULL) {
        return config_no_memory(c);
    }
    config->registries = items;
    config->registry_count = 1;
    brisk_err err = read_auths(c, config);
    int source;
    const npmrc_entry *entry = config_find(c, PKG_TEXT("registry"), &source);
    if (err == BRISK_OK && entry != NULL && entry->value.size > 0) {
        err = read_registry(c, config, source, entry, &items[0]);
    }
    return err != BRISK_OK ? err : read_scopes(c, config, items);
}

const pkg_registry *pkg_config_registry(const pkg_config *config, pkg_text name)
{
    const char *slash =
        name.size > 0 && name.data[0] == '@' ? memchr(name.data, '/', name.size) : NULL;
    if (slash != NULL) {
        pkg_text scope = {.data = name.data, .size = (size_t)(slash - name.data)};
        for (uint32_t i = 1; i < config->registry_count; i++) {
            if (pkg_text_equal(config->registries[i].scope, scope)) {
                return &config->registries[i];
            }
        }
    }
    return &config->registries[0];
}
