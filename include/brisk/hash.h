/*
 * brisk/hash.h -- 64 and 128-bit hashes (XXH3) and the builder of cache keys.
 *
 * XXH3 finds accidents, not attackers.  A key is its full bytes; the 128-bit hash is only the
 * index under which they are found.
 *
 * Source:  Y. Collet, xxHash, https://xxhash.com (library).
 */
#ifndef BRISK_HASH_H
#define BRISK_HASH_H

#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

typedef struct brisk_hash128 {
    uint64_t lo;
    uint64_t hi;
} brisk_hash128;

BRISK_API uint64_t brisk_hash64(const void *data, size_t size, uint64_t seed);
BRISK_API brisk_hash128 brisk_hash128_of(const void *data, size_t size, uint64_t seed);

/**
 * Streaming hash in caller's storage; gives what the one-shot functions give.  It must stay where
 * it was initialised: a copy of the struct is not a hasher.
 */
typedef struct brisk_hasher {
    unsigned char opaque[704];
} brisk_hasher;

BRISK_API void brisk_hasher_init(brisk_hasher *hasher, uint64_t seed);
BRISK_API void brisk_hasher_update(brisk_hasher *hasher, const void *data, size_t size);
BRISK_API uint64_t brisk_hasher_digest64(const brisk_hasher *hasher);
BRISK_API brisk_hash128 brisk_hasher_digest128(const brisk_hasher *hasher);

enum { BRISK_KEY_BYTES_MAX = 65536 };

/** A finished key: borrowed bytes and their hash, which must be what brisk_key_of gives. */
typedef struct brisk_key {
    const void *bytes;
    size_t size; /**< 1 .. BRISK_KEY_BYTES_MAX. */
    brisk_hash128 hash;
} brisk_key;

/** A key over bytes that the caller keeps; size must be in 1 .. BRISK_KEY_BYTES_MAX. */
BRISK_API brisk_key brisk_key_of(const void *bytes, size_t size);

/**
 * Builds a key from typed, length-prefixed fields, so that no two different field lists give the
 * same bytes.  Errors are kept and reported once, by brisk_key_builder_finish.
 * One thread at a time.
 */
typedef struct brisk_key_builder {
    const brisk_alloc *alloc_;
    unsigned char *bytes_;
    size_t size_;
    size_t capacity_;
    brisk_err err_;
} brisk_key_builder;

/** Start a key in `name_space` ("rom").  `alloc` is borrowed; NULL means libc. */
BRISK_API void brisk_key_builder_init(brisk_key_builder *builder, const brisk_alloc *alloc,
                                      const char *name_space);
BRISK_API void brisk_key_builder_deinit(brisk_key_builder *builder);
BRISK_API void brisk_key_u64(brisk_key_builder *builder, const char *field, uint64_t value);
/** `value` NULL is recorded as no value, which differs from "". */
BRISK_API void brisk_key_str(brisk_key_builder *builder, const char *field, const char *value);
BRISK_API void brisk_key_bytes(brisk_key_builder *builder, const char *field, const void *data,
                               size_t size);
/** The hash of something large stands for it: size and hash are what is recorded. */
BRISK_API void brisk_key_content(brisk_key_builder *builder, const char *field, brisk_hash128 hash,
                                 uint64_t size);
/**
 * The key over everything added; it borrows the builder's bytes until deinit.
 * Errors: BRISK_ERR_NOMEM, BRISK_ERR_LIMIT (more than BRISK_KEY_BYTES_MAX).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_key_builder_finish(const brisk_key_builder *builder,
                                                             brisk_key *ret);

BRISK_END_DECLS

#endif /* BRISK_HASH_H */
