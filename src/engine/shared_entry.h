/*
 * shared_entry.h -- what an entry looks like in a tier that others can write to.
 *
 *      0  magic "BRSE"          16  bytes of the value      48  clear generation
 *      4  version               24  the same, as stored     56  key, meta data, stored value
 *      5  seal: 1 HMAC, 2 XXH3  32  expiry, ns since 1970       seal, 32 bytes, over all before it
 *      6  codec: 0, 1 zstd      40  cost, ns
 *      7  zero
 *      8  flags (16)   10  era (16)   12  bytes of meta data (16)   14  zero (16)
 *      (all little-endian)            bytes of the key: first 4 bytes of the body
 *
 * Who can write to a shared tier can write anything: nothing is believed before the seal was
 * found right, and no size leads to memory before it was found to fit the bytes that are there.
 * The key's bytes are under the seal and are compared, so an entry cannot be passed off for
 * another key; an old entry of the same key can be put back by whoever may write there, but not
 * one that has expired or was outdated by a generation.
 *
 * Seal XXH3 is no proof of anything but transport: for a public tier, whose answers are verified
 * by their reader (brisk_shared_verify).
 *
 * Threads: a context is read-only after creation, but for its pool of zstd workspaces, which has a
 * lock of its own (a leaf).
 */
#ifndef BRISK_SRC_ENGINE_SHARED_ENTRY_H
#define BRISK_SRC_ENGINE_SHARED_ENTRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/cache.h>
#include <brisk/err.h>
#include <brisk/hash.h>
#include <brisk/value.h>

#include "wire/hmac.h"

enum {
    SHARED_ENTRY_HEAD = 60,
    SHARED_ENTRY_STAMP = 48, /* where the clear generation is */
    SHARED_ENTRY_SEAL = 32,
    SHARED_WORKSPACES = 8, /* zstd workspaces kept; more are made and freed on demand */
    SHARED_COMPRESS_MIN = 256,
};

typedef enum shared_codec {
    SHARED_CODEC_RAW = 0,
    SHARED_CODEC_ZSTD = 1,
} shared_codec;

/* The parts of an entry; pointers are borrowed. */
typedef struct shared_entry {
    uint16_t flags;
    uint16_t era;
    uint8_t codec;
    uint32_t key_size;
    uint32_t meta_size;
    const void *key;
    const void *meta;
    const void *stored; /* the value, compressed or not */
    uint64_t stored_size;
    uint64_t raw_size;
    uint64_t expires_at_ns;
    uint64_t cost_ns;
    uint64_t clear_generation;
} shared_entry;

struct shared_block;

/* Borrowed bytes; `owner` (may be NULL): the block that they are in. */
typedef struct shared_bytes {
    const unsigned char *data;
    size_t size;
    struct shared_block *owner;
} shared_bytes;

/* What is put. */
typedef struct shared_source {
    brisk_value *value;
    const brisk_entry_opts *opts; /* may be NULL */
    uint64_t clear_generation;
} shared_source;

struct shared_workspace;

/* What a tier seals and compresses with. */
typedef struct shared_sealer {
    const brisk_alloc *alloc;
    bool keyed;
    int zstd_level; /* 0: none */
    uint64_t value_bytes_max;
    wire_hmac hmac;
    pthread_mutex_t lock;
    struct shared_workspace *workspaces;
    uint32_t workspace_count;
} shared_sealer;

/* `key` NULL: the seal is a checksum only.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err shared_sealer_init(shared_sealer *sealer, const void *key,
                                             size_t key_size, const brisk_alloc *alloc);
void shared_sealer_deinit(shared_sealer *sealer);

/* Bytes of `entry` as it is written. */
uint64_t shared_entry_size(const shared_entry *entry);
/* Write it; `bytes` has room for shared_entry_size. */
void shared_entry_write(const shared_sealer *sealer, const shared_entry *entry,
                        unsigned char *bytes);
/*
 * Take `bytes` apart.  Errors: CORRUPT (not an entry, damaged, another version, a wrong seal),
 * MISMATCH (a good entry of another key), LIMIT (larger than the sealer takes).
 */
BRISK_NODISCARD brisk_err shared_entry_read(const shared_sealer *sealer, const void *bytes,
                                            size_t size, const brisk_key *key, shared_entry *ret);

/* Bytes of our own: an entry as it comes or goes. */
typedef struct shared_block {
    const brisk_alloc *alloc;
    size_t capacity;
    size_t size;
    unsigned char bytes[];
} shared_block;

/* NULL when there is no memory. */
shared_block *shared_block_create(const brisk_alloc *alloc, size_t capacity);
void shared_block_destroy(shared_block *block); /* NULL is accepted */

/*
 * A whole entry for `value` (bytes or a file), compressed when that pays.
 * Errors: DECLINED (larger than the sealer takes, or LOCAL), NOMEM, IO (the file).
 */
BRISK_NODISCARD brisk_err shared_entry_pack(shared_sealer *sealer, const brisk_key *key,
                                            const shared_source *source, shared_block **ret);

/* Against what an entry is held. */
typedef struct shared_now {
    uint64_t wall_ns;
    uint64_t clear_generation; /* an entry must have this one ... */
    uint64_t after;            /* ... or when this is not 0, a higher one than this */
} shared_now;

/*
 * The answer in `bytes`.  Their owner is taken over or freed on success, otherwise it stays the
 * caller's.
 * Errors: NOT_FOUND (expired, or of another clear generation), those of shared_entry_read, NOMEM.
 */
BRISK_NODISCARD brisk_err shared_entry_unpack(shared_sealer *sealer, shared_bytes bytes,
                                              const brisk_key *key, const shared_now *now,
                                              brisk_hit *ret);

#endif /* BRISK_SRC_ENGINE_SHARED_ENTRY_H */
