/*
 * dictionary.c -- hashes of dictionaries, their digests, and frames made with them.
 *
 * Two digests at most, one for each level that encode_ways has; the first to need one makes it,
 * under the dictionary's lock.  The context of a call is taken and given back: results are kept, so
 * a call is rare and long.
 */
#define ZSTD_STATIC_LINKING_ONLY
#include "daemon/encode/dictionary.h"

#include <nettle/base64.h>
#include <nettle/sha2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <zstd.h>

#include "base/assert.h"

enum {
    DIGESTS = 2,
    DIGEST_ALIGN = 64,
    DIGEST_HIGH = 6, /* levels from here on share the second */
    HASH_TEXT = 44,  /* of base64, with its padding */
    HEAD_MAGIC = 8,
};

static const uint8_t head_magic[HEAD_MAGIC] = {0x5e, 0x2a, 0x4d, 0x18, 0x20, 0, 0, 0};

typedef struct digest {
    void *memory; /* NULL: not made yet */
    size_t size;
    int level;
    const ZSTD_CDict *squeezer;
} digest;

struct encode_dictionary {
    _Atomic uint32_t refs;
    const brisk_alloc *alloc;
    brisk_value *value;
    codec_bytes bytes;
    uint8_t hash[ENCODE_HASH_BYTES];
    pthread_mutex_t lock;
    digest digests[DIGESTS];
};

brisk_err encode_dictionary_create(brisk_value *value, const brisk_alloc *alloc,
                                   encode_dictionary **ret)
{
    uint64_t size = brisk_value_size(value);
    if (brisk_value_data(value) == NULL || size == 0 || size > ENCODE_DICTIONARY_MAX) {
        return BRISK_ERR_INVALID;
    }
    encode_dictionary *dictionary =
        alloc->acquire(alloc->ctx, sizeof *dictionary, _Alignof(encode_dictionary));
    if (dictionary == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *dictionary = (encode_dictionary){
        .alloc = alloc, .value = brisk_value_ref(value), .bytes = {brisk_value_data(value), size}};
    atomic_init(&dictionary->refs, 1);
    (void)pthread_mutex_init(&dictionary->lock, NULL);
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, size, dictionary->bytes.data);
    sha256_digest(&sha, ENCODE_HASH_BYTES, dictionary->hash);
    *ret = dictionary;
    return BRISK_OK;
}

encode_dictionary *encode_dictionary_ref(encode_dictionary *dictionary)
{
    /* Relaxed: who calls this owns a reference already. */
    atomic_fetch_add_explicit(&dictionary->refs, 1, memory_order_relaxed);
    return dictionary;
}

void encode_dictionary_unref(encode_dictionary *dictionary)
{
    /* Both: our reads are over before the last owner frees; it sees those of all others so. */
    if (dictionary == NULL ||
        atomic_fetch_sub_explicit(&dictionary->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    const brisk_alloc *alloc = dictionary->alloc;
    for (int i = 0; i < DIGESTS; i++) {
        if (dictionary->digests[i].memory != NULL) {
            alloc->release(alloc->ctx, dictionary->digests[i].memory, dictionary->digests[i].size,
                           DIGEST_ALIGN);
        }
    }
    (void)pthread_mutex_destroy(&dictionary->lock);
    brisk_value_unref(dictionary->value);
    alloc->release(alloc->ctx, dictionary, sizeof *dictionary, _Alignof(encode_dictionary));
}

const uint8_t *encode_dictionary_hash(const encode_dictionary *dictionary)
{
    return dictionary->hash;
}

codec_bytes encode_dictionary_bytes(const encode_dictionary *dictionary)
{
    return dictionary->bytes;
}

/* --- fields ----------------------------------------------------------------------------------- */

bool encode_read_hash(http_text value, uint8_t ret[ENCODE_HASH_BYTES])
{
    if (value.size != HASH_TEXT + 2 || value.data[0] != ':' || value.data[HASH_TEXT + 1] != ':') {
        return false;
    }
    for (size_t i = 1; i <= HASH_TEXT; i++) {
        if (value.data[i] <= ' ') { /* the decoder skips blanks */
            return false;
        }
    }
    struct base64_decode_ctx base64;
    uint8_t bytes[BASE64_DECODE_LENGTH(HASH_TEXT)];
    size_t size = 0;
    base64_decode_init(&base64);
    if (base64_decode_update(&base64, &size, bytes, HASH_TEXT, value.data + 1) == 0 ||
        base64_decode_final(&base64) == 0 || size != ENCODE_HASH_BYTES) {
        return false;
    }
    memcpy(ret, bytes, ENCODE_HASH_BYTES);
    return true;
}

bool encode_write_string(const char *text, char *buffer, size_t size)
{
    size_t at = 0;
    if (size < 3) {
        return false;
    }
    buffer[at++] = '"';
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~' || at + 4 > size) {
            return false;
        }
        if (*text == '"' || *text == '\\') {
            buffer[at++] = '\\';
        }
        buffer[at++] = *text;
    }
    buffer[at++] = '"';
    buffer[at] = '\0';
    return true;
}

/* --- frames ----------------------------------------------------------------------------------- */

/* Make the digest for `level`; under the lock. */
static brisk_err make_digest(encode_dictionary *dictionary, digest *one, int level)
{
    size_t size = dictionary->bytes.size;
    ZSTD_compressionParameters params = ZSTD_getCParams(level, size, size);
    size_t room = ZSTD_estimateCDictSize_advanced(size, params, ZSTD_dlm_byRef);
    const brisk_alloc *alloc = dictionary->alloc;
    void *memory = alloc->acquire(alloc->ctx, room, DIGEST_ALIGN);
    if (memory == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *one = (digest){.memory = memory, .size = room, .level = level};
    one->squeezer = ZSTD_initStaticCDict(memory, room, dictionary->bytes.data, size, ZSTD_dlm_byRef,
                                         ZSTD_dct_rawContent, params);
    BRISK_ASSERT(one->squeezer != NULL); /* the room is what the library asked for */
    return BRISK_OK;
}

static brisk_err find_digest(encode_dictionary *dictionary, int level, const digest **ret)
{
    digest *one = &dictionary->digests[level >= DIGEST_HIGH ? 1 : 0];
    brisk_err err = BRISK_OK;
    (void)pthread_mutex_lock(&dictionary->lock);
    if (one->memory == NULL) {
        err = make_digest(dictionary, one, level);
    }
    (void)pthread_mutex_unlock(&dictionary->lock);
    *ret = one;
    return err;
}

/* Memory that does for the digest's parameters and for those that the library may prefer. */
static size_t context_size(const digest *one, size_t dictionary_size, size_t body_size)
{
    size_t size = ZSTD_estimateCCtxSize_usingCParams(ZSTD_getCParams(one->level, dictionary_size, //
                                                                     dictionary_size));
    size_t other =
        ZSTD_estimateCCtxSize_usingCParams(ZSTD_getCParams(one->level, body_size, dictionary_size));
    size_t most = ZSTD_estimateCCtxSize(one->level);
    size = other > size ? other : size;
    return most > size ? most : size;
}

brisk_err encode_dictionary_squeeze(encode_dictionary *dictionary, int level, codec_bytes body,
                                    codec_room dst, size_t *ret)
{
    const digest *one;
    brisk_err err = find_digest(dictionary, level, &one);
    if (err != BRISK_OK || dst.size <= ENCODE_DCZ_HEAD) {
        return err != BRISK_OK ? err : BRISK_ERR_LIMIT;
    }
    const brisk_alloc *alloc = dictionary->alloc;
    size_t room = context_size(one, dictionary->bytes.size, body.size);
    void *memory = alloc->acquire(alloc->ctx, room, DIGEST_ALIGN);
    if (memory == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint8_t *out = dst.data;
    memcpy(out, head_magic, HEAD_MAGIC);
    memcpy(out + HEAD_MAGIC, dictionary->hash, ENCODE_HASH_BYTES);
    ZSTD_CCtx *context = ZSTD_initStaticCCtx(memory, room);
    BRISK_ASSERT(context != NULL);
    size_t done = ZSTD_CCtx_refCDict(context, one->squeezer);
    if (!ZSTD_isError(done)) {
        done = ZSTD_compress2(context, out + ENCODE_DCZ_HEAD, dst.size - ENCODE_DCZ_HEAD, body.data,
                              body.size);
    }
    alloc->release(alloc->ctx, memory, room, DIGEST_ALIGN);
    if (ZSTD_isError(done)) {
        return BRISK_ERR_LIMIT;
    }
    *ret = ENCODE_DCZ_HEAD + done;
    return BRISK_OK;
}

brisk_err encode_dictionary_expand(const encode_dictionary *dictionary, codec_bytes body,
                                   codec_room dst)
{
    const uint8_t *data = body.data;
    if (body.size < ENCODE_DCZ_HEAD || memcmp(data, head_magic, HEAD_MAGIC) != 0) {
        return BRISK_ERR_CORRUPT;
    }
    if (memcmp(data + HEAD_MAGIC, dictionary->hash, ENCODE_HASH_BYTES) != 0) {
        return BRISK_ERR_MISMATCH;
    }
    const brisk_alloc *alloc = dictionary->alloc;
    size_t head = (ZSTD_estimateDCtxSize() + DIGEST_ALIGN - 1) & ~(size_t)(DIGEST_ALIGN - 1);
    size_t room = head + ZSTD_estimateDDictSize(dictionary->bytes.size, ZSTD_dlm_byRef);
    uint8_t *memory = alloc->acquire(alloc->ctx, room, DIGEST_ALIGN);
    if (memory == NULL) {
        return BRISK_ERR_NOMEM;
    }
    ZSTD_DCtx *context = ZSTD_initStaticDCtx(memory, head);
    const ZSTD_DDict *expander =
        ZSTD_initStaticDDict(memory + head, room - head, dictionary->bytes.data,
                             dictionary->bytes.size, ZSTD_dlm_byRef, ZSTD_dct_rawContent);
    BRISK_ASSERT(context != NULL && expander != NULL);
    size_t done = ZSTD_decompress_usingDDict(context, dst.data, dst.size, data + ENCODE_DCZ_HEAD,
                                             body.size - ENCODE_DCZ_HEAD, expander);
    alloc->release(alloc->ctx, memory, room, DIGEST_ALIGN);
    return done == dst.size ? BRISK_OK : BRISK_ERR_CORRUPT; /* errors are huge sizes */
}
