/*
 * brisk/shared.h -- tiers beyond this machine: Redis or Valkey, and HTTP.
 *
 * Whoever can write to such a tier could write anything into it.  So entries are sealed with
 * HMAC-SHA256 under the tier's key, and what comes back without a good seal is a miss and counted
 * in `corrupt`.  LOCAL entries are DECLINED.  Every fault (no connection, a timeout, garbage, a
 * cluster that is down) is an error of the tier's, quickly, and so a miss of the cache's.
 *
 * Threads: every function from any thread.
 */
#ifndef BRISK_SHARED_H
#define BRISK_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/cache.h>
#include <brisk/clock.h>
#include <brisk/err.h>
#include <brisk/hash.h>

BRISK_BEGIN_DECLS

enum {
    BRISK_SHARED_KEY_MIN = 16, /**< Bytes of a tier's key, at least. */
    BRISK_SHARED_BATCH_MAX = 1024,
};

/** Whom a put tells that a key has changed, besides the tier itself. */
typedef enum brisk_announce {
    BRISK_ANNOUNCE_REPLACED = 0, /**< Who listens, when there was another value. */
    BRISK_ANNOUNCE_ALL,          /**< Who listens, always. */
    BRISK_ANNOUNCE_NONE,         /**< Nobody: values never change, as those of jobs. */
} brisk_announce;

/* --- Redis and Valkey ---------------------------------------------------------------------- */

typedef struct brisk_redis_tier_opts {
    /**
     * redis://[[user]:password@]host[:port][/db]      one server
     * redis-cluster://[...@]host[:port][,host...]     a cluster, found through any of its nodes
     * redis+unix://[[user]:password@]/path[?db=n]     a unix socket
     * rediss:// and rediss-cluster://                 over TLS
     * User and password are percent-encoded; they are never logged.
     */
    const char *url;
    const void *key;         /**< Copied; NULL only with `unsealed`. */
    size_t key_size;         /**< BRISK_SHARED_KEY_MIN or more. */
    bool unsealed;           /**< Trust whoever can write there; a checksum only. */
    const char *prefix;      /**< Of every key there; NULL means "brisk".  At most 64 bytes. */
    const char *name;        /**< Of the tier; NULL means "redis". */
    const char *password;    /**< Instead of the URL's. */
    const char *tls_ca_file; /**< PEM; NULL means the system's roots. */
    const char *tls_cert_file;
    const char *tls_key_file;
    uint64_t timeout_ns;         /**< Of one operation; 0 means 250 ms. */
    uint64_t connect_timeout_ns; /**< TLS and AUTH included; 0 means 500 ms. */
    uint64_t value_bytes_max;    /**< Larger values are DECLINED; 0 means 8 MiB. */
    uint32_t connections;        /**< To each server, 1 .. 16; 0 means 2. */
    int zstd_level;              /**< 0 means 1; negative: no compression. */
    brisk_announce announce;
    /** No channel of changes: no entries with tags, and nothing is heard of others' changes. */
    bool no_events;
    const brisk_clock *clock; /**< For expiry.  Borrowed; NULL means the system's. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_redis_tier_opts;

/**
 * A tier on Redis or Valkey.  Nothing is connected before the first use, but for the channel of
 * changes, which a thread of the tier keeps.  Many threads share a connection; what they ask at
 * the same time goes out together.
 * Errors, with `info`: INVALID (the URL, the key, an option), UNSUPPORTED (TLS without libssl), IO
 * (a file of TLS), NOMEM, LIMIT (no thread).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_redis_tier_open(const brisk_redis_tier_opts *opts,
                                                          brisk_tier **ret, brisk_errinfo *info);

/** One of a batch. */
typedef struct brisk_shared_item {
    const brisk_key *key;
    brisk_value *value;           /**< Put only. */
    const brisk_entry_opts *opts; /**< Put only; may be NULL. */
    brisk_hit *hit;               /**< Get only: filled in when err is OK. */
    brisk_err err;                /**< Set: what the single call would have returned. */
} brisk_shared_item;

/** Up to BRISK_SHARED_BATCH_MAX gets at once: a round trip to each server that has any of them.
 *  `tier` is one of brisk_redis_tier_open. */
BRISK_API void brisk_redis_get_many(brisk_tier *tier, brisk_shared_item *items, uint32_t count);
BRISK_API void brisk_redis_put_many(brisk_tier *tier, brisk_shared_item *items, uint32_t count);

/* --- HTTP ---------------------------------------------------------------------------------- */

/** Whether an answer proves itself: its hash is known to the caller, say. */
typedef bool (*brisk_verify_fn)(void *ctx, const brisk_key *key, const void *data, size_t size);

typedef struct brisk_http_tier_opts {
    /** http://host/folder or https://...; an entry is URL/<32 hex digits of the key's hash>. */
    const char *url;
    const void *key; /**< Copied; NULL only with `verify` or `unsealed`. */
    size_t key_size; /**< BRISK_SHARED_KEY_MIN or more. */
    bool unsealed;   /**< Trust whoever can write there; a checksum only. */
    /** A public community tier: without a key, answers that do not prove themselves are misses. */
    brisk_verify_fn verify;
    void *verify_ctx;
    bool read_only; /**< Puts are DECLINED. */
    /** PURGE after a put and instead of DELETE: for a proxy or CDN that understands it. */
    bool purge;
    const char *name;           /**< Of the tier; NULL means "http". */
    const char *bearer;         /**< A token; never logged. */
    const char *const *headers; /**< "Name: value"; never logged. */
    uint32_t header_count;      /**< Up to 15. */
    const char *tls_ca_file;    /**< PEM; NULL means the system's roots. */
    const char *tls_cert_file;
    const char *tls_key_file;
    uint64_t timeout_ns;         /**< Of one request; 0 means 1 s. */
    uint64_t connect_timeout_ns; /**< 0 means 1 s. */
    uint64_t value_bytes_max;    /**< Larger values are DECLINED; 0 means 64 MiB. */
    int zstd_level;              /**< 0 means 1; negative: no compression. */
    const brisk_clock *clock;    /**< For expiry.  Borrowed; NULL means the system's. */
    const brisk_alloc *alloc;    /**< Borrowed; NULL means libc. */
} brisk_http_tier_opts;

/**
 * A tier on a web server, an object store or a CDN: GET, PUT, DELETE or PURGE.  It is a KEYED tier,
 * since caches on the way cannot be told to forget.  An answer lives no longer than its entry and
 * than Cache-Control and Age allow.  Small answers with an ETag are kept and asked for with
 * If-None-Match.  HEAD tells before a large put whether the same bytes are there.
 *
 * clear cannot empty the server, which keeps all it has, and nobody else hears of it: what was put
 * before is a miss from then on, by the wall clock, for this tier of this process alone.  Other
 * processes, and this program started anew, find it again.  To be rid of it everywhere give all of
 * them another folder in `url`, or empty the server; single keys are removed there (DELETE, or PURGE with
 * `purge`), and invalidated tags and prefixes are part of the names that entries have there.
 * Errors, with `info`: INVALID (an option), UNSUPPORTED (no libcurl), NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_http_tier_open(const brisk_http_tier_opts *opts,
                                                         brisk_tier **ret, brisk_errinfo *info);

BRISK_END_DECLS

#endif /* BRISK_SHARED_H */
