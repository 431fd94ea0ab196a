/*
 * tier_redis_url.c -- reading URLs behind engine/tier_redis_url.h.
 *
 * Errors name the part that is wrong and never the text: there is a password in it.
 */
#include "engine/tier_redis_url.h"

#include <stddef.h>
#include <string.h>
#include <sys/un.h>

typedef struct scheme {
    const char *name;
    bool tls;
    bool cluster;
    bool path;
} scheme;

static const scheme schemes[] = {
    {.name = "redis://"},
    {.name = "rediss://", .tls = true},
    {.name = "redis-cluster://", .cluster = true},
    {.name = "rediss-cluster://", .tls = true, .cluster = true},
    {.name = "redis+unix://", .path = true},
    {.name = "valkey://"},
    {.name = "valkeys://", .tls = true},
    {.name = "valkey-cluster://", .cluster = true},
    {.name = "valkeys-cluster://", .tls = true, .cluster = true},
    {.name = "valkey+unix://", .path = true},
};

static int hex_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decode; false when it does not fit or is not right. */
static bool decode(const char *text, size_t size, char ret[REDIS_SECRET_MAX])
{
    size_t out = 0;
    for (size_t i = 0; i < size; i++, out++) {
        if (out + 1 >= REDIS_SECRET_MAX) {
            return false;
        }
        ret[out] = text[i];
        if (text[i] == '%') {
            int high = size - i > 2 ? hex_of(text[i + 1]) : -1;
            int low = size - i > 2 ? hex_of(text[i + 2]) : -1;
            if (high < 0 || low < 0 || (high == 0 && low == 0)) {
                return false;
            }
            ret[out] = (char)(high << 4 | low);
            i += 2;
        }
    }
    ret[out] = '\0';
    return true;
}

static bool parse_number(const char *text, size_t size, uint32_t max, uint32_t *ret)
{
    uint32_t value = 0;
    if (size == 0 || size > 7) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    *ret = value;
    return value <= max;
}

/* Letters of names and addresses; it is shown in messages and may come from a server. */
static bool is_host(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char c = (char)(text[i] | 0x20);
        bool word = (c >= 'a' && c <= 'z') || (text[i] >= '0' && text[i] <= '9');
        if (!word && (text[i] == '\0' || strchr("._:%-", text[i]) == NULL)) {
            return false;
        }
    }
    return true;
}

bool redis_address_parse(const char *text, size_t size, uint16_t default_port, redis_address *ret)
{
    const char *colon = NULL;
    const char *host = text;
    size_t host_size = size;
    if (size > 0 && text[0] == '[') { /* [::1]:6379 */
        const char *end = memchr(text, ']', size);
        if (end == NULL) {
            return false;
        }
        host++;
        host_size = (size_t)(end - host);
        colon = end + 1 < text + size ? end + 1 : NULL;
        if (colon != NULL && *colon != ':') {
            return false;
        }
    } else { /* the last colon: CLUSTER writes addresses of version 6 without brackets */
        colon = memrchr(text, ':', size);
        host_size = colon != NULL ? (size_t)(colon - text) : size;
    }
    uint32_t port = default_port;
    if (colon != NULL &&
        !parse_number(colon + 1, (size_t)(text + size - colon - 1), UINT16_MAX, &port)) {
        return false;
    }
    if (host_size >= REDIS_HOST_MAX || port == 0 || !is_host(host, host_size)) {
        return false;
    }
    *ret = (redis_address){.port = (uint16_t)port};
    memcpy(ret->host, host, host_size);
    return true;
}

/* [[user]:password@] in front of the rest; *text moves behind it. */
static brisk_err parse_user(const char **text, redis_url *url, brisk_errinfo *info)
{
    size_t authority = (*text)[0] == '/' ? 0 : strcspn(*text, "/?");
    const char *at = memrchr(*text, '@', authority);
    if (at == NULL) {
        return BRISK_OK;
    }
    size_t size = (size_t)(at - *text);
    const char *colon = memchr(*text, ':', size);
    const char *user_end = colon != NULL ? colon : *text;
    const char *password = colon != NULL ? colon + 1 : *text; /* "secret@" is a password */
    if (!decode(*text, (size_t)(user_end - *text), url->user) ||
        !decode(password, (size_t)(at - password), url->password)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "Redis URL: user or password is not percent-encoded text");
    }
    *text = at + 1;
    return BRISK_OK;
}

static brisk_err parse_seeds(const char *text, size_t size, redis_url *url, brisk_errinfo *info)
{
    while (url->seed_count < REDIS_SEEDS_MAX) {
        const char *comma = url->cluster ? memchr(text, ',', size) : NULL;
        size_t part = comma != NULL ? (size_t)(comma - text) : size;
        redis_address *seed = &url->seeds[url->seed_count++];
        if (part == 0) {
            *seed = (redis_address){.host = "127.0.0.1", .port = REDIS_PORT_DEFAULT};
        } else if (!redis_address_parse(text, part, REDIS_PORT_DEFAULT, seed) ||
                   seed->host[0] == '\0') {
            break;
        }
        if (comma == NULL) {
            return BRISK_OK;
        }
        text += part + 1;
        size -= part + 1;
    }
    return brisk_errinfo_set(info, BRISK_ERR_INVALID, "Redis URL: not HOST[:PORT]%s after the user",
                             url->cluster ? "[,HOST[:PORT]...]" : "");
}

static brisk_err parse_db(const char *text, redis_url *url, brisk_errinfo *info)
{
    if (*text == '\0') {
        return BRISK_OK;
    }
    if (!parse_number(text, strlen(text), REDIS_DB_MAX, &url->db) ||
        (url->cluster && url->db != 0)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "Redis URL: '%.40s' is no number of a database%s", text,
                                 url->cluster ? " of a cluster" : "");
    }
    return BRISK_OK;
}

/* /path[?db=n] */
static brisk_err parse_path(const char *text, redis_url *url, brisk_errinfo *info)
{
    size_t size = strcspn(text, "?");
    if (text[0] != '/' || size >= sizeof((struct sockaddr_un *)NULL)->sun_path) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "Redis URL: no absolute path of a socket, or too long");
    }
    url->seed_count = 1;
    memcpy(url->seeds[0].host, text, size);
    text += size;
    if (*text == '\0') {
        return BRISK_OK;
    }
    if (strncmp(text, "?db=", 4) != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "Redis URL: only ?db=N is known");
    }
    return parse_db(text + 4, url, info);
}

brisk_err redis_url_parse(const char *text, redis_url *ret, brisk_errinfo *info)
{
    const scheme *found = NULL;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (strncmp(text, schemes[i].name, strlen(schemes[i].name)) == 0) {
            found = &schemes[i];
        }
    }
    if (found == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "Redis URL: it does not begin with redis://, rediss://, "
                                 "redis-cluster://, rediss-cluster:// or redis+unix://");
    }
    redis_url url = {.tls = found->tls, .cluster = found->cluster};
    text += strlen(found->name);
    brisk_err err = parse_user(&text, &url, info);
    if (err == BRISK_OK && found->path) {
        err = parse_path(text, &url, info);
    } else if (err == BRISK_OK) {
        size_t size = strcspn(text, "/?");
        err = parse_seeds(text, size, &url, info);
        if (err == BRISK_OK && text[size] == '?') {
            err = brisk_errinfo_set(info, BRISK_ERR_INVALID, "Redis URL: no options are known");
        }
        if (err == BRISK_OK && text[size] == '/') {
            err = parse_db(text + size + 1, &url, info);
        }
    }
    if (err == BRISK_OK) {
        *ret = url;
    }
    explicit_bzero(&url, sizeof url);
    return err;
}
