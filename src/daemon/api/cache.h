/*
 * cache.h -- entries over HTTP, for the files of the API that deal with them.
 *
 *     cache.c            GET, HEAD, PUT, DELETE, PURGE of /v1/cache/{key}
 *     cache_request.c    what a request says: key, condition, range, life, tags
 *     cache_list.c       /v1/cache: scan, remove by prefix; POST /v1/cache/invalidate
 *
 * Entries are those of the Redis protocol: the same keys, the same values.  It is also the protocol of a shared tier:
 * what engine/tier_http.c asks for is answered here.
 */
#ifndef BRISK_SRC_DAEMON_API_CACHE_H
#define BRISK_SRC_DAEMON_API_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/cache.h>
#include <brisk/hash.h>

#include "daemon/http/exchange.h"
#include "daemon/http/routes.h"
#include "wire/resp.h"

enum {
    CACHE_ETAG_SIZE = 34,            /* with its quotes */
    CACHE_ETAG_BYTES_MAX = 64 << 20, /* larger values have none */
    CACHE_TAGS_BYTES_MAX = 8192,
};

/* 100 years; longer lives are that. */
#define CACHE_TTL_S_MAX UINT64_C(3153600000)

/* The bytes of a range, or all. */
typedef enum cache_range {
    CACHE_RANGE_ALL = 0, /* none was asked for, or one that is not understood */
    CACHE_RANGE_PART,
    CACHE_RANGE_BAD, /* beyond the value: 416 */
} cache_range;

/*
 * The key in x->target behind "/v1/cache/", percent-decoded as it was written (slashes and dots stay), or decoded
 * from hex or base64url with ?encoding=.  In the exchange's memory.  NULL, or what is wrong.
 */
const char *cache_read_key(exchange *x, resp_bytes *ret);
/* Text in hex or base64url (without padding, or with) into `to`, which has room for `size` bytes.  False: it is none. */
bool cache_decode(http_text text, bool hex, unsigned char *to, size_t *ret_size);

/* Strong, of the bytes. */
void cache_etag(const void *data, size_t size, char etag[CACHE_ETAG_SIZE + 1]);
/* Is `etag` in the list of a condition ("*" is any; `etag` NULL: there is nothing)?  W/ in front matters only for
 * `strong`. */
bool cache_etag_matches(http_text list, const char *etag, bool strong);

/* The range of a value of `size` bytes with that tag. */
cache_range cache_read_range(const exchange *x, uint64_t size, const char *etag, uint64_t *first,
                             uint64_t *count);

/* How long an entry is to live. */
typedef struct cache_life {
    bool given;
    uint64_t ns; /* 0: it is over at once */
} cache_life;

/* Of x-brisk-ttl-ms, s-maxage or max-age.  NULL, or what is wrong. */
const char *cache_read_life(const exchange *x, cache_life *ret);
/* Of the fields surrogate-key, words between blanks; `tags` point into the exchange.  NULL, or what is wrong. */
const char *cache_read_tags(const exchange *x, brisk_tag tags[BRISK_TAGS_MAX], uint32_t *count);

/* The routes of all three. */
BRISK_NODISCARD brisk_err api_cache_add_routes(http_routes *routes);
/* cache_list.c: a request for /v1/cache itself, or POST /v1/cache/invalidate. */
void cache_list_begin(exchange *x);
void cache_list_body(exchange *x, const void *data, size_t size);
void cache_list_end(exchange *x);
void cache_list_gone(exchange *x);

#endif /* BRISK_SRC_DAEMON_API_CACHE_H */
