/*
 * keyspace.h -- the keys and values of the server, over the memory tier.
 *
 * The only file of the server that knows what holds the data.  A key is its bytes and a value is
 * its bytes, nothing is added to them.  All calls are made under the server's lock, which is what
 * makes commands of several steps atomic; the tier's own lock is then free.
 *
 * What leaves by itself (expired, evicted) is noted while a call runs and told by keyspace_drops
 * afterwards, because whom it concerns must not be found under the tier's lock.
 */
#ifndef BRISK_SRC_DAEMON_KEYSPACE_H
#define BRISK_SRC_DAEMON_KEYSPACE_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/clock.h>
#include <brisk/err.h>
#include <brisk/hash.h>
#include <brisk/memory.h>
#include <brisk/rng.h>

#include "base/vec.h"
#include "wire/resp.h"

enum {
    KEYSPACE_SCRATCH = 16384,   /* values up to this size are seen as a copy on the side */
    KEYSPACE_USE_SLOTS = 65536, /* a power of two */
};

typedef struct keyspace_opts {
    uint64_t bytes_max;
    uint64_t bytes_reserve;
    const char *policy;
    bool track_use;
    brisk_tier *disk; /* behind memory, taken over also on failure; NULL: none */
    const brisk_alloc *alloc;
} keyspace_opts;

typedef struct keyspace {
    brisk_tier *tier;     /* the cache's */
    brisk_cache *cache;   /* its generations: what tags and prefixes make outdated */
    bool may_be_outdated; /* something may have been invalidated */
    const brisk_alloc *alloc;
    brisk_clock clock; /* what the tier is given: the time of the batch */
    _Atomic uint64_t wall_ns;
    _Atomic uint64_t mono_ns;
    uint64_t bytes_reserve; /* as far as it may grow */
    unsigned char *scratch[2];
    uint32_t scratch_next;
    uint32_t wall_s;
    uint32_t *used_s;       /* by hash: when a key that falls there was used last; 0: never */
    unsigned char *odd_key; /* room for keys that are not stored as they are */
    /* What left by itself and was not told yet: a byte for the reason, 4 for the size, the key. */
    BRISK_VEC(unsigned char) drops;
    bool drops_wanted; /* somebody cares which keys left, not only how many */
    uint64_t expired;
    uint64_t evicted;
    const brisk_key *hints; /* keys whose hashes are known: those of the batch */
    uint32_t hint_count;
    uint32_t hint_next;
} keyspace;

/* A value as it is now: valid until the second keyspace call after it, or keyspace_view_close. */
typedef struct keyspace_view {
    const unsigned char *data;
    size_t size;
    uint64_t expires_at_ns;
    brisk_value *held;
} keyspace_view;

/*
 * The allocator for calls into libbrisk.  A module has a copy of base's code, and the library knows
 * its own libc allocator by its address: from that one memory is mapped, not cleared.
 */
static inline const brisk_alloc *library_alloc(const brisk_alloc *alloc)
{
    return alloc == brisk_alloc_libc() ? NULL : alloc;
}

BRISK_NODISCARD brisk_err keyspace_open(keyspace *keys, const keyspace_opts *opts);
void keyspace_close(keyspace *keys);
/* The time of everything until the next call. */
void keyspace_set_time(keyspace *keys, uint64_t wall_ns, uint64_t mono_ns);
/* A key over borrowed bytes; may be longer than the tier takes (see keyspace_key_fits). */
brisk_key keyspace_key(keyspace *keys, resp_bytes bytes);
static inline bool keyspace_key_fits(resp_bytes bytes)
{
    return bytes.size <= BRISK_KEY_BYTES_MAX - 1;
}

/* The hashes of keys that come next, by the addresses of their bytes; NULL and 0: none. */
static inline void keyspace_hint(keyspace *keys, const brisk_key *hints, uint32_t count)
{
    keys->hints = hints;
    keys->hint_count = count;
    keys->hint_next = 0;
}

/* A stored key's bytes as clients know them. */
resp_bytes keyspace_shown(const void *key, size_t size);
/* Is it there?  Not a use of it. */
bool keyspace_has(keyspace *keys, resp_bytes key);
bool keyspace_info(keyspace *keys, resp_bytes key, brisk_entry_info *ret);
/*
 * Seconds since it was used.  Without track_use it is known of 65,536 groups of keys only: since
 * one of the group was used, which is exact while there are few keys.
 */
uint64_t keyspace_idle_s(keyspace *keys, resp_bytes key, const brisk_entry_info *info);
/* A use of it. */
bool keyspace_view_open(keyspace *keys, resp_bytes key, keyspace_view *ret);
void keyspace_view_close(keyspace_view *view);
/* Write the value as a bulk string; false: not there, nothing written. */
bool keyspace_write(keyspace *keys, resp_bytes key, resp_writer *out);
/* Store.  Errors: FULL, DECLINED (too large for the memory there is), NOMEM; the key is gone then. */
BRISK_NODISCARD brisk_err keyspace_put(keyspace *keys, resp_bytes key, resp_bytes value,
                                       uint64_t expires_at_ns);
/* What an entry has beside its value. */
typedef struct keyspace_extra {
    uint64_t expires_at_ns; /* 0: none */
    const brisk_tag *tags;
    uint32_t tag_count;
} keyspace_extra;

/* Store a value that is whole already; the caller keeps its reference.  Errors as for put, INVALID (a tag). */
BRISK_NODISCARD brisk_err keyspace_put_value(keyspace *keys, resp_bytes key, brisk_value *value,
                                             const keyspace_extra *extra);
/* Change in place, see brisk_memory_update. */
BRISK_NODISCARD brisk_err keyspace_update(keyspace *keys, resp_bytes key,
                                          brisk_err (*edit)(void *ctx, brisk_memory_edit *edit),
                                          void *ctx);
/* False: it was not there. */
bool keyspace_remove(keyspace *keys, resp_bytes key);
bool keyspace_expire(keyspace *keys, resp_bytes key, uint64_t expires_at_ns);
void keyspace_clear(keyspace *keys);
uint64_t keyspace_count(keyspace *keys);
void keyspace_stats(keyspace *keys, brisk_tier_stats *ret);
/* New limit; false: outside what is possible. */
bool keyspace_resize(keyspace *keys, uint64_t bytes_max);

/* The entry as the tier has it (value, meta data, expiry), when it is there and current. */
bool keyspace_get(keyspace *keys, resp_bytes key, brisk_hit *ret);
/* Was what was got elsewhere neither invalidated nor is it over? */
bool keyspace_hit_is_current(keyspace *keys, const brisk_key *stored, const brisk_hit *hit);
/* Store as it was got elsewhere, meta data and all. */
BRISK_NODISCARD brisk_err keyspace_restore(keyspace *keys, const brisk_key *stored,
                                           const brisk_hit *hit);
/* The key as tiers know it; valid until the next call. */
brisk_key keyspace_stored(keyspace *keys, resp_bytes key);

/* Names and keys whose invalidation or change is to make `key` outdated.  Errors: NOT_FOUND, those
 * of keyspace_put. */
BRISK_NODISCARD brisk_err keyspace_tag(keyspace *keys, resp_bytes key, const brisk_tag *tags,
                                       uint32_t tag_count, const brisk_key *depends,
                                       uint32_t depends_count);
BRISK_NODISCARD brisk_err keyspace_invalidate_tag(keyspace *keys, resp_bytes tag);
BRISK_NODISCARD brisk_err keyspace_invalidate_prefix(keyspace *keys, resp_bytes prefix);

/* Call `fn` for everything that left by itself since the last call. */
void keyspace_drops(keyspace *keys, void (*fn)(void *ctx, resp_bytes key, brisk_drop_reason reason),
                    void *ctx);

#endif /* BRISK_SRC_DAEMON_KEYSPACE_H */
