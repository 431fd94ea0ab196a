/*
 * tier_http.c -- the tier on a web server behind <brisk/shared.h>.
 *
 *     GET    200 an entry   304 the one we have   404, 410 a miss   else an error
 *     PUT    2xx stored     413 DECLINED          else an error
 *     DELETE 2xx, 404, 410 gone                   PURGE likewise
 *
 * The name of an entry is the hash of its key, which is not proof against collisions somebody makes:
 * the entry holds the key's bytes, so that a collision is a miss.
 *
 * A few small answers are kept with their ETag, so that asking again costs no body: the server
 * says 304, and the bytes are judged again as if they had come.  The upper tiers keep what is
 * asked often; this is for entries that must be asked for each time (no-cache, a short max-age).
 *
 * clear: what is on the server stays there.  An entry carries the time when it was put, and what
 * was put before the clear is a miss from then on, in this process.
 *
 * HEAD before a large put: "is it there already?"  The ETag that an earlier PUT or HEAD of ours was
 * answered with says so, if nobody has changed it since.
 *
 * Locks: `kept_lock`, a leaf.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include <brisk/shared.h>

#include "base/assert.h"
#include "engine/shared_entry.h"
#include "engine/tier_figures.h"
#include "io/http.h"

enum {
    URL_MAX = 2048,
    KEY_DIGITS = 32,
    KEPT = 64,
    KEPT_BYTES_MAX = 262144,
    HEAD_BYTES_MIN = 65536,
    ENTRY_EXTRA = SHARED_ENTRY_HEAD + SHARED_ENTRY_SEAL + BRISK_TIER_META_MAX + BRISK_KEY_BYTES_MAX,
};

static const uint64_t second_ns = 1000000000;
static const uint64_t value_bytes_default = UINT64_C(64) << 20;

/* What an ETag stands for. */
typedef struct kept_answer {
    brisk_hash128 key;
    brisk_hash128 content;
    char etag[HTTP_ETAG_MAX]; /* "" when the place is free */
    shared_block *block;      /* NULL: too large, only its hash is known */
} kept_answer;

typedef struct http_tier {
    brisk_tier base; /* first: what the stack knows */
    const brisk_alloc *alloc;
    const brisk_clock *clock;
    http_client *client;
    shared_sealer sealer;
    brisk_verify_fn verify;
    void *verify_ctx;
    bool read_only;
    bool purge;
    tier_figures figures;
    _Atomic uint64_t cleared_ns; /* wall clock; 1 when it never was */
    pthread_mutex_t kept_lock;
    kept_answer kept[KEPT];
    size_t url_size;
    char url[URL_MAX];
} http_tier;

static http_tier *tier_of(brisk_tier *tier)
{
    return (http_tier *)tier;
}

static void name_entry(const http_tier *tier, const brisk_key *key,
                       char url[URL_MAX + KEY_DIGITS + 2])
{
    (void)snprintf(url, URL_MAX + KEY_DIGITS + 2, "%s/%016" PRIx64 "%016" PRIx64, tier->url,
                   key->hash.hi, key->hash.lo);
}

/* --- answers that are kept ----------------------------------------------------------------- */

static bool same(brisk_hash128 a, brisk_hash128 b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

static kept_answer *place_of(http_tier *tier, const brisk_key *key)
{
    return &tier->kept[key->hash.lo % KEPT];
}

static void forget(http_tier *tier, const brisk_key *key)
{
    (void)pthread_mutex_lock(&tier->kept_lock);
    kept_answer *place = place_of(tier, key);
    if (same(place->key, key->hash)) {
        place->etag[0] = '\0';
    }
    (void)pthread_mutex_unlock(&tier->kept_lock);
}

/* The ETag to ask with and a copy of its bytes; false: there is none. */
static bool recall(http_tier *tier, const brisk_key *key, char etag[HTTP_ETAG_MAX],
                   shared_block **ret)
{
    bool found = false;
    (void)pthread_mutex_lock(&tier->kept_lock);
    const kept_answer *place = place_of(tier, key);
    if (place->etag[0] != '\0' && place->block != NULL && same(place->key, key->hash)) {
        shared_block *copy = shared_block_create(tier->alloc, place->block->size);
        if (copy != NULL) {
            memcpy(copy->bytes, place->block->bytes, place->block->size);
            copy->size = place->block->size;
            memcpy(etag, place->etag, HTTP_ETAG_MAX);
            *ret = copy;
            found = true;
        }
    }
    (void)pthread_mutex_unlock(&tier->kept_lock);
    return found;
}

/* An entry's bytes without the time of its put and, depending on it, its seal. */
static brisk_hash128 content_of(shared_bytes bytes)
{
    brisk_hasher hasher;
    brisk_hasher_init(&hasher, 0);
    if (bytes.size > SHARED_ENTRY_HEAD + SHARED_ENTRY_SEAL) {
        brisk_hasher_update(&hasher, bytes.data, SHARED_ENTRY_STAMP);
        brisk_hasher_update(&hasher, bytes.data + SHARED_ENTRY_STAMP + 8,
                            bytes.size - SHARED_ENTRY_STAMP - 8 - SHARED_ENTRY_SEAL);
    }
    return brisk_hasher_digest128(&hasher);
}

/* Whether these bytes were the server's under that ETag. */
static bool is_known(http_tier *tier, const brisk_key *key, const char *etag, brisk_hash128 content)
{
    (void)pthread_mutex_lock(&tier->kept_lock);
    const kept_answer *place = place_of(tier, key);
    bool known = place->etag[0] != '\0' && same(place->key, key->hash) &&
                 strcmp(place->etag, etag) == 0 && same(place->content, content);
    (void)pthread_mutex_unlock(&tier->kept_lock);
    return known;
}

static void keep(http_tier *tier, const brisk_key *key, const char *etag, shared_bytes bytes)
{
    if (etag[0] == '\0') {
        return;
    }
    shared_block *copy = NULL;
    if (bytes.size <= KEPT_BYTES_MAX) {
        copy = shared_block_create(tier->alloc, bytes.size);
        if (copy != NULL) {
            memcpy(copy->bytes, bytes.data, bytes.size);
            copy->size = bytes.size;
        }
    }
    kept_answer fresh = {.key = key->hash, .content = content_of(bytes), .block = copy};
    memcpy(fresh.etag, etag, HTTP_ETAG_MAX);
    (void)pthread_mutex_lock(&tier->kept_lock);
    kept_answer *place = place_of(tier, key);
    shared_block *old = place->block;
    *place = fresh;
    (void)pthread_mutex_unlock(&tier->kept_lock);
    shared_block_destroy(old);
}

/* --- get ---------------------------------------------------------------------------------- */

/* The end of an answer's life by what its bearer said of it. */
static uint64_t expiry_by(const http_response *response, uint64_t now_ns)
{
    if (response->no_store) {
        return now_ns + 1; /* for whoever asked, and for nobody after */
    }
    if (!response->has_max_age) {
        return 0;
    }
    uint64_t left =
        response->max_age_s > response->age_s ? response->max_age_s - response->age_s : 0;
    return now_ns + (left > 0 ? left * second_ns : 1);
}

static brisk_err judge_bytes(http_tier *tier, const brisk_key *key, shared_bytes bytes,
                             const http_response *response, brisk_hit *ret)
{
    shared_now now = {
        .wall_ns = brisk_clock_wall_ns(tier->clock),
        .after = atomic_load_explicit(&tier->cleared_ns, memory_order_acquire),
    };
    brisk_hit hit;
    brisk_err err = shared_entry_unpack(&tier->sealer, bytes, key, &now, &hit);
    if (err != BRISK_OK) {
        return err;
    }
    if (tier->verify != NULL && !tier->verify(tier->verify_ctx, key, brisk_value_data(hit.value),
                                              (size_t)brisk_value_size(hit.value))) {
        brisk_value_unref(hit.value);
        return BRISK_ERR_CORRUPT;
    }
    uint64_t ends = expiry_by(response, now.wall_ns);
    if (ends != 0 && (hit.expires_at_ns == 0 || ends < hit.expires_at_ns)) {
        hit.expires_at_ns = ends;
    }
    hit.tier_name = tier->base.name;
    *ret = hit;
    return BRISK_OK;
}

/* What an answer's status and bytes are for the caller; `kept` is what was asked about. */
static brisk_err read_answer(http_tier *tier, const brisk_key *key, const http_response *response,
                             const shared_block *kept, brisk_hit *ret)
{
    shared_bytes bytes = {response->body, response->body_size, NULL};
    brisk_err err;
    if (response->status == 304 && kept != NULL) {
        bytes = (shared_bytes){kept->bytes, kept->size, NULL};
    } else if (response->status == 404 || response->status == 410) {
        brisk_counter_add(&tier->figures.misses, 1);
        return BRISK_ERR_NOT_FOUND;
    } else if (response->status != 200) {
        err = response->status == 401 || response->status == 403 ? BRISK_ERR_PERMISSION
                                                                 : BRISK_ERR_IO;
        return tier_figures_failed(&tier->figures, err);
    }
    err = judge_bytes(tier, key, bytes, response, ret);
    if (err == BRISK_OK) {
        if (response->status == 200 && !response->no_store) {
            keep(tier, key, response->etag, bytes);
        }
        brisk_counter_add(&tier->figures.hits, 1);
        return BRISK_OK;
    }
    forget(tier, key);
    if (err == BRISK_ERR_NOMEM) {
        return tier_figures_failed(&tier->figures, err);
    }
    brisk_counter_add(&tier->figures.misses, 1);
    brisk_counter_add(err == BRISK_ERR_NOT_FOUND ? &tier->figures.expired : &tier->figures.corrupt,
                      1);
    return BRISK_ERR_NOT_FOUND;
}

static brisk_err http_get(brisk_tier *base, const brisk_key *key, brisk_hit *ret)
{
    http_tier *tier = tier_of(base);
    char url[URL_MAX + KEY_DIGITS + 2];
    char etag[HTTP_ETAG_MAX];
    char condition[HTTP_ETAG_MAX + 32];
    shared_block *kept = NULL;
    name_entry(tier, key, url);
    http_request request = {.method = "GET", .url = url};
    if (recall(tier, key, etag, &kept)) {
        (void)snprintf(condition, sizeof condition, "If-None-Match: %s", etag);
        request.headers[0] = condition;
    }
    uint64_t begin_ns = brisk_clock_now_ns(NULL);
    http_response response;
    brisk_err err = http_run(tier->client, &request, &response);
    tier_figures_time(&tier->figures, begin_ns);
    if (err != BRISK_OK) { /* a host without a name is no miss */
        err = tier_figures_failed(&tier->figures, err == BRISK_ERR_NOT_FOUND ? BRISK_ERR_IO : err);
    } else {
        err = read_answer(tier, key, &response, kept, ret);
        http_response_deinit(&response);
    }
    shared_block_destroy(kept);
    return err;
}

/* --- put and remove ----------------------------------------------------------------------- */

static brisk_err judge_status(long status)
{
    if (status >= 200 && status < 300) {
        return BRISK_OK;
    }
    switch (status) {
    case 401:
    case 403: return BRISK_ERR_PERMISSION;
    case 404:
    case 410: return BRISK_ERR_NOT_FOUND;
    case 405:
    case 501: return BRISK_ERR_UNSUPPORTED;
    case 413: return BRISK_ERR_DECLINED;
    case 507: return BRISK_ERR_FULL;
    default: return BRISK_ERR_IO;
    }
}

/* A request whose answer's body nobody wants. */
static brisk_err tell(http_tier *tier, const http_request *request, char etag[HTTP_ETAG_MAX])
{
    http_response response;
    brisk_err err = http_run(tier->client, request, &response);
    if (err == BRISK_OK) {
        err = judge_status(response.status);
        memcpy(etag, response.etag, HTTP_ETAG_MAX);
        http_response_deinit(&response);
        return err;
    }
    return err == BRISK_ERR_NOT_FOUND ? BRISK_ERR_IO : err;
}

static bool is_there(http_tier *tier, const brisk_key *key, const char *url,
                     const shared_block *block)
{
    char etag[HTTP_ETAG_MAX] = "";
    http_request request = {.method = "HEAD", .url = url};
    return block->size >= HEAD_BYTES_MIN && tell(tier, &request, etag) == BRISK_OK &&
           etag[0] != '\0' &&
           is_known(tier, key, etag, content_of((shared_bytes){block->bytes, block->size, NULL}));
}

static brisk_err purge(http_tier *tier, const char *url)
{
    char etag[HTTP_ETAG_MAX];
    http_request request = {.method = "PURGE", .url = url};
    brisk_err err = tell(tier, &request, etag);
    /* Not understood is as good as not there: the generation is in the key. */
    return err == BRISK_ERR_NOT_FOUND || err == BRISK_ERR_UNSUPPORTED ? BRISK_OK : err;
}

static brisk_err store(http_tier *tier, const brisk_key *key, const brisk_entry_opts *opts,
                       const shared_block *block)
{
    char url[URL_MAX + KEY_DIGITS + 2];
    char control[64];
    char etag[HTTP_ETAG_MAX] = "";
    name_entry(tier, key, url);
    if (is_there(tier, key, url, block)) {
        return BRISK_OK;
    }
    http_request request = {.method = "PUT",
                            .url = url,
                            .body = block->bytes,
                            .body_size = block->size,
                            .headers = {"Content-Type: application/octet-stream"}};
    if (opts != NULL && opts->expires_at_ns != 0) {
        uint64_t now = brisk_clock_wall_ns(tier->clock);
        uint64_t left = opts->expires_at_ns > now ? (opts->expires_at_ns - now) / second_ns : 0;
        (void)snprintf(control, sizeof control, "Cache-Control: max-age=%" PRIu64, left);
        request.headers[1] = control;
    }
    forget(tier, key);
    brisk_err err = tell(tier, &request, etag);
    if (err == BRISK_ERR_NOT_FOUND) {
        err = BRISK_ERR_IO; /* no such folder */
    }
    if (err == BRISK_OK) {
        keep(tier, key, etag, (shared_bytes){block->bytes, block->size, NULL});
    }
    return err == BRISK_OK && tier->purge ? purge(tier, url) : err;
}

/* When it is put, and after the last clear even if the clock stands. */
static uint64_t put_stamp(http_tier *tier)
{
    uint64_t now = brisk_clock_wall_ns(tier->clock);
    uint64_t cleared = atomic_load_explicit(&tier->cleared_ns, memory_order_acquire);
    return now > cleared ? now : cleared + 1;
}

static brisk_err http_put(brisk_tier *base, const brisk_key *key, brisk_value *value,
                          const brisk_entry_opts *opts)
{
    http_tier *tier = tier_of(base);
    shared_block *block = NULL;
    shared_source source = {value, opts, put_stamp(tier)};
    brisk_err err = tier->read_only ? BRISK_ERR_DECLINED
                                    : shared_entry_pack(&tier->sealer, key, &source, &block);
    if (err == BRISK_OK) {
        err = store(tier, key, opts, block);
    }
    err = tier_figures_put(&tier->figures, err, brisk_value_size(value),
                           block != NULL ? block->size : 0);
    shared_block_destroy(block);
    return err;
}

static brisk_err http_remove(brisk_tier *base, const brisk_key *key)
{
    http_tier *tier = tier_of(base);
    char url[URL_MAX + KEY_DIGITS + 2];
    char etag[HTTP_ETAG_MAX];
    forget(tier, key);
    if (tier->read_only && !tier->purge) {
        return BRISK_OK;
    }
    name_entry(tier, key, url);
    http_request request = {.method = "DELETE", .url = url};
    brisk_err err = tier->purge ? purge(tier, url) : tell(tier, &request, etag);
    if (err != BRISK_OK && err != BRISK_ERR_NOT_FOUND) {
        return tier_figures_failed(&tier->figures, err);
    }
    brisk_counter_add(&tier->figures.removes, 1);
    return BRISK_OK;
}

static brisk_err http_clear(brisk_tier *base)
{
    http_tier *tier = tier_of(base);
    /* Not before what was put in this moment. */
    atomic_store_explicit(&tier->cleared_ns, put_stamp(tier), memory_order_release);
    (void)pthread_mutex_lock(&tier->kept_lock);
    for (uint32_t i = 0; i < KEPT; i++) {
        tier->kept[i].etag[0] = '\0';
    }
    (void)pthread_mutex_unlock(&tier->kept_lock);
    return BRISK_OK;
}

/* --- figures, life ------------------------------------------------------------------------ */

static void http_read_stats(brisk_tier *base, brisk_tier_stats *ret)
{
    tier_figures_read(&tier_of(base)->figures, ret);
}

static void http_destroy(brisk_tier *base)
{
    http_tier *tier = tier_of(base);
    http_client_destroy(tier->client);
    for (uint32_t i = 0; i < KEPT; i++) {
        shared_block_destroy(tier->kept[i].block);
    }
    shared_sealer_deinit(&tier->sealer);
    tier_figures_deinit(&tier->figures);
    (void)pthread_mutex_destroy(&tier->kept_lock);
    explicit_bzero(tier->url, sizeof tier->url); /* there may be a password in it */
    tier->alloc->release(tier->alloc->ctx, tier, sizeof *tier, _Alignof(http_tier));
}

static const brisk_tier_ops http_ops = {
    .get = http_get,
    .put = http_put,
    .remove = http_remove,
    .clear = http_clear,
    .read_stats = http_read_stats,
    .destroy = http_destroy,
};

static const char *wrong_url(const char *url)
{
    if (url == NULL || (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)) {
        return "the URL does not begin with http:// or https://";
    }
    size_t size = strlen(url);
    if (size >= URL_MAX || strpbrk(url, "?# \t\r\n") != NULL || strstr(url, ":///") != NULL ||
        url[size - 1] == ':' || strcmp(url + size - 3, "://") == 0) {
        return "the URL has a query or blanks or no host, or is too long";
    }
    return NULL;
}

static brisk_err check_opts(const brisk_http_tier_opts *opts, brisk_errinfo *info)
{
    const char *wrong = wrong_url(opts->url);
    bool open = opts->unsealed || opts->verify != NULL;
    if (wrong == NULL && opts->key == NULL && !open) {
        wrong = "a key is needed, or a way to verify answers";
    } else if (wrong == NULL && opts->key != NULL && opts->key_size < BRISK_SHARED_KEY_MIN) {
        wrong = "a key has 16 bytes or more";
    } else if (wrong == NULL && opts->key != NULL && opts->unsealed) {
        wrong = "a key and no seal exclude each other";
    } else if (wrong == NULL && opts->name != NULL && strlen(opts->name) >= BRISK_TIER_NAME_MAX) {
        wrong = "the name is too long";
    }
    return wrong == NULL ? BRISK_OK
                         : brisk_errinfo_set(info, BRISK_ERR_INVALID, "HTTP tier: %s", wrong);
}

static brisk_err set_up(http_tier *tier, const brisk_http_tier_opts *opts, brisk_errinfo *info)
{
    http_opts http = {
        .timeout_ns = opts->timeout_ns != 0 ? opts->timeout_ns : second_ns,
        .connect_timeout_ns = opts->connect_timeout_ns != 0 ? opts->connect_timeout_ns : second_ns,
        .body_bytes_max = tier->sealer.value_bytes_max + ENTRY_EXTRA,
        .tls_ca_file = opts->tls_ca_file,
        .tls_cert_file = opts->tls_cert_file,
        .tls_key_file = opts->tls_key_file,
        .bearer = opts->bearer,
        .headers = opts->headers,
        .header_count = opts->header_count,
        .alloc = tier->alloc,
    };
    brisk_err err = tier_figures_init(&tier->figures, tier->alloc);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "HTTP tier: %s", brisk_err_message(err));
    }
    return http_client_create(&http, &tier->client, info);
}

brisk_err brisk_http_tier_open(const brisk_http_tier_opts *opts, brisk_tier **ret,
                               brisk_errinfo *info)
{
    BRISK_ASSERT(opts != NULL && ret != NULL);
    brisk_err err = check_opts(opts, info);
    if (err != BRISK_OK) {
        return err;
    }
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    http_tier *tier = alloc->acquire(alloc->ctx, sizeof *tier, _Alignof(http_tier));
    if (tier == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "HTTP tier: out of memory");
    }
    memset(tier, 0, sizeof *tier);
    tier->base = (brisk_tier){.ops = &http_ops,
                              .flags = BRISK_TIER_SHARED | BRISK_TIER_KEYED | BRISK_TIER_SLOW};
    (void)snprintf(tier->base.name, sizeof tier->base.name, "%s",
                   opts->name != NULL ? opts->name : "http");
    tier->alloc = alloc;
    tier->clock = opts->clock;
    atomic_init(&tier->cleared_ns, 1);
    tier->verify = opts->verify;
    tier->verify_ctx = opts->verify_ctx;
    tier->read_only = opts->read_only;
    tier->purge = opts->purge;
    tier->url_size = strlen(opts->url);
    memcpy(tier->url, opts->url, tier->url_size + 1);
    while (tier->url[tier->url_size - 1] == '/') {
        tier->url[--tier->url_size] = '\0';
    }
    int failed = pthread_mutex_init(&tier->kept_lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex on Linux */
    err = shared_sealer_init(&tier->sealer, opts->key, opts->key_size, alloc);
    BRISK_ASSERT(err == BRISK_OK); /* likewise */
    tier->sealer.value_bytes_max =
        opts->value_bytes_max != 0 ? opts->value_bytes_max : value_bytes_default;
    tier->sealer.zstd_level = opts->zstd_level == 0 ? 1 : opts->zstd_level;
    tier->sealer.zstd_level = opts->zstd_level < 0 ? 0 : tier->sealer.zstd_level;
    err = set_up(tier, opts, info);
    if (err != BRISK_OK) {
        http_destroy(&tier->base);
        return err;
    }
    *ret = &tier->base;
    return BRISK_OK;
}
