/*
 * shared.c -- the tiers that other machines share, as the knobs cache.shared.* want them.
 *
 * cache.shared.url names them, from nearest to farthest, separated by blanks: redis://..., http://...
 * All of them share key, prefix and limits.  Secrets come from files, so that they stand neither in
 * configuration that is shown nor in the environment; what is read is wiped after use.
 *
 * A tier that cannot be had is logged and left out; so is every one without a key, unless
 * cache.shared.unsealed says that whoever can write there is trusted.
 */
#include "engine/internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/log.h>
#include <brisk/shared.h>

#include "cache/stack.h"

enum { SECRET_MAX = 4096 };

typedef struct secret {
    bool there;
    size_t size;
    char bytes[SECRET_MAX + 1];
} secret;

typedef struct shared_knobs {
    const brisk_knobs *knobs;
    secret key;
    secret password;
    secret token;
    char prefix[BRISK_KNOB_TEXT_MAX];
    char ca[BRISK_KNOB_TEXT_MAX];
    char cert[BRISK_KNOB_TEXT_MAX];
    char cert_key[BRISK_KNOB_TEXT_MAX];
    char urls[BRISK_KNOB_TEXT_MAX];
    brisk_announce announce;
} shared_knobs;

static uint64_t number(const shared_knobs *s, const char *name)
{
    return brisk_knobs_u64(s->knobs, name);
}

/* The file that a knob names, without its last line's end.  False: it cannot be used (logged). */
static bool read_secret(const shared_knobs *s, const char *name, secret *ret)
{
    char path[BRISK_KNOB_TEXT_MAX];
    brisk_knobs_text(s->knobs, name, path, sizeof path);
    ret->there = path[0] != '\0';
    if (!ret->there) {
        return true;
    }
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t size = fd >= 0 ? read(fd, ret->bytes, sizeof ret->bytes) : -1;
    bool open_to_all = fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & S_IRWXO) != 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (size <= 0 || size > SECRET_MAX) {
        brisk_log(BRISK_LOG_WARNING, "engine",
                  "no shared tier: %s: %s cannot be read, or has not 1 "
                  "to 4096 bytes",
                  name, path);
        return false;
    }
    if (open_to_all) {
        brisk_log(BRISK_LOG_WARNING, "engine", "%s: everybody may read %s", name, path);
    }
    ret->size = (size_t)size;
    while (ret->size > 0 &&
           (ret->bytes[ret->size - 1] == '\n' || ret->bytes[ret->size - 1] == '\r')) {
        ret->size--;
    }
    ret->bytes[ret->size] = '\0';
    return true;
}

static bool read_announce(const shared_knobs *s, brisk_announce *ret)
{
    static const char *const words[] = {
        [BRISK_ANNOUNCE_REPLACED] = "replaced",
        [BRISK_ANNOUNCE_ALL] = "all",
        [BRISK_ANNOUNCE_NONE] = "none",
    };
    char text[32];
    brisk_knobs_text(s->knobs, "cache.shared.announce", text, sizeof text);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret = (brisk_announce)i;
            return true;
        }
    }
    brisk_log(BRISK_LOG_WARNING, "engine",
              "no shared tier: cache.shared.announce is replaced, all or none");
    return false;
}

static bool read_knobs(shared_knobs *s)
{
    brisk_knobs_text(s->knobs, "cache.shared.prefix", s->prefix, sizeof s->prefix);
    brisk_knobs_text(s->knobs, "cache.shared.tls_ca", s->ca, sizeof s->ca);
    brisk_knobs_text(s->knobs, "cache.shared.tls_cert", s->cert, sizeof s->cert);
    brisk_knobs_text(s->knobs, "cache.shared.tls_key", s->cert_key, sizeof s->cert_key);
    if (!read_secret(s, "cache.shared.key_file", &s->key) ||
        !read_secret(s, "cache.shared.password_file", &s->password) ||
        !read_secret(s, "cache.shared.token_file", &s->token) || !read_announce(s, &s->announce)) {
        return false;
    }
    if (!s->key.there && number(s, "cache.shared.unsealed") == 0) {
        brisk_log(BRISK_LOG_WARNING, "engine",
                  "no shared tier: cache.shared.key_file names no key; with cache.shared.unsealed "
                  "whoever can write to the tier is trusted");
        return false;
    }
    return true;
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static int level_of(const shared_knobs *s)
{
    uint64_t level = number(s, "cache.shared.zstd_level");
    return level != 0 ? (int)level : -1;
}

/* Which tier is wanted. */
typedef struct shared_place {
    const char *url;
    const char *name;
} shared_place;

static brisk_err open_redis(const brisk_engine *engine, const shared_knobs *s,
                            const shared_place *place, brisk_tier **ret, brisk_errinfo *info)
{
    brisk_redis_tier_opts opts = {
        .url = place->url,
        .name = place->name,
        .key = s->key.there ? s->key.bytes : NULL,
        .key_size = s->key.size,
        .unsealed = !s->key.there,
        .prefix = s->prefix,
        .password = s->password.there ? s->password.bytes : NULL,
        .tls_ca_file = or_null(s->ca),
        .tls_cert_file = or_null(s->cert),
        .tls_key_file = or_null(s->cert_key),
        .timeout_ns = number(s, "cache.shared.timeout"),
        .connect_timeout_ns = number(s, "cache.shared.connect_timeout"),
        .value_bytes_max = number(s, "cache.shared.value_bytes"),
        .connections = (uint32_t)number(s, "cache.shared.connections"),
        .zstd_level = level_of(s),
        .announce = s->announce,
        .clock = engine->clock,
        .alloc = engine->alloc,
    };
    return brisk_redis_tier_open(&opts, ret, info);
}

static brisk_err open_http(const brisk_engine *engine, const shared_knobs *s,
                           const shared_place *place, brisk_tier **ret, brisk_errinfo *info)
{
    brisk_http_tier_opts opts = {
        .url = place->url,
        .name = place->name,
        .key = s->key.there ? s->key.bytes : NULL,
        .key_size = s->key.size,
        .unsealed = !s->key.there,
        .read_only = number(s, "cache.shared.read_only") != 0,
        .purge = number(s, "cache.shared.purge") != 0,
        .bearer = s->token.there ? s->token.bytes : NULL,
        .tls_ca_file = or_null(s->ca),
        .tls_cert_file = or_null(s->cert),
        .tls_key_file = or_null(s->cert_key),
        .timeout_ns = number(s, "cache.shared.timeout"),
        .connect_timeout_ns = number(s, "cache.shared.connect_timeout"),
        .value_bytes_max = number(s, "cache.shared.value_bytes"),
        .zstd_level = level_of(s),
        .clock = engine->clock,
        .alloc = engine->alloc,
    };
    return brisk_http_tier_open(&opts, ret, info);
}

/* "redis", "http-2": the kind, and its number from the second one on. */
static void open_one(brisk_engine *engine, const shared_knobs *s, const char *url,
                     uint32_t counts[2])
{
    bool is_http = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
    const char *kind = is_http ? "http" : "redis";
    char name[BRISK_TIER_NAME_MAX];
    uint32_t count = ++counts[is_http ? 1 : 0];
    if (count == 1) {
        (void)snprintf(name, sizeof name, "%s", kind);
    } else {
        (void)snprintf(name, sizeof name, "%s-%u", kind, count % 100);
    }
    brisk_tier *tier = NULL;
    brisk_errinfo info = {.text = ""};
    shared_place place = {.url = url, .name = name};
    brisk_err err = is_http ? open_http(engine, s, &place, &tier, &info)
                            : open_redis(engine, s, &place, &tier, &info);
    if (err == BRISK_OK) {
        err = cache_append(engine->cache, tier);
    }
    if (err != BRISK_OK) {
        brisk_log(BRISK_LOG_WARNING, "engine", "no tier '%s': %s", name,
                  info.text[0] != '\0' ? info.text : brisk_err_message(err));
        brisk_tier_destroy(tier);
    }
}

static void open_all(brisk_engine *engine, shared_knobs *s)
{
    uint32_t counts[2] = {0, 0};
    for (char *url = s->urls; *url != '\0';) {
        size_t size = strcspn(url, " \t\n");
        char *next = url + size + strspn(url + size, " \t\n");
        url[size] = '\0';
        if (size > 0 && brisk_cache_tier_count(engine->cache) < BRISK_CACHE_TIERS_MAX) {
            open_one(engine, s, url, counts);
        } else if (size > 0) {
            brisk_log(BRISK_LOG_WARNING, "engine", "no more than %d tiers: the last are left out",
                      BRISK_CACHE_TIERS_MAX);
        }
        url = next;
    }
}

void engine_shared_open(brisk_engine *engine)
{
    char first[8];
    brisk_knobs_text(engine->config.knobs, "cache.shared.url", first, sizeof first);
    if (first[0] == '\0') {
        return; /* nearly always: before anything large is taken */
    }
    const brisk_alloc *alloc = engine->alloc;
    shared_knobs *s = alloc->acquire(alloc->ctx, sizeof *s, _Alignof(shared_knobs));
    if (s == NULL) {
        brisk_log(BRISK_LOG_WARNING, "engine", "no shared tier: out of memory");
        return;
    }
    memset(s, 0, sizeof *s);
    s->knobs = engine->config.knobs;
    brisk_knobs_text(s->knobs, "cache.shared.url", s->urls, sizeof s->urls);
    if (read_knobs(s)) {
        open_all(engine, s);
    }
    explicit_bzero(s, sizeof *s);
    alloc->release(alloc->ctx, s, sizeof *s, _Alignof(shared_knobs));
}
