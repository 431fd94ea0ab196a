/*
 * codec_dict.c -- zstd dictionaries: trained on samples, digested once, shared by all.
 *
 * A digest is a hash table over the dictionary and its entropy tables, in memory of ours, never
 * changed.  zstd's own parameters for a level look for short matches, which small values find too
 * many of.  Measured on JSON of 1 KB with 16 KiB of dictionary, one table of 2^14 for matches of
 *
 *     5 bytes and more   287 bytes   2.59 us   expands in 1.01 us
 *     6                  273         2.57                 0.96
 *     7                  261         2.42                 0.88
 *     two tables, 5      253         2.99                 0.86     (from level 3 on)
 *
 * Source: zstd's dictionary builder (library), fastCover after Liao, Petri, Moffat and Wirth,
 * "Effective construction of relative Lempel-Ziv dictionaries", WWW 2016.
 */
#define ZDICT_STATIC_LINKING_ONLY
#include "wire/codec_dict.h"

#include <stdatomic.h>
#include <string.h>
#include <zdict.h>

#include "base/assert.h"

enum {
    DIGEST_ALIGN = 64,
    HASH_LOG = 14,
    CHAIN_LOG = 13,
    LEVEL_TWO_TABLES = 3,
    WINDOW_LOG = 17,
    SAMPLES_MIN = 16,
    COVER_DMER = 8,
    COVER_HASH_LOG = 16,
    COVER_ACCEL = 2,
};

struct codec_dict {
    _Atomic uint32_t refs;
    const brisk_alloc *alloc;
    size_t size; /* of the whole block */
    codec_bytes bytes;
    const ZSTD_CDict *squeezer;
    const ZSTD_DDict *expander;
};

static ZSTD_compressionParameters params_of(int level)
{
    bool two = level >= LEVEL_TWO_TABLES;
    return (ZSTD_compressionParameters){.windowLog = WINDOW_LOG,
                                        .chainLog = CHAIN_LOG,
                                        .hashLog = HASH_LOG,
                                        .searchLog = 1,
                                        .minMatch = two ? 5 : 7,
                                        .targetLength = 0,
                                        .strategy = two ? ZSTD_dfast : ZSTD_fast};
}

size_t codec_dict_workspace(void)
{
    size_t one = ZSTD_estimateCCtxSize_usingCParams(params_of(1));
    size_t two = ZSTD_estimateCCtxSize_usingCParams(params_of(LEVEL_TWO_TABLES));
    return one > two ? one : two;
}

static size_t align_up(size_t size)
{
    return (size + DIGEST_ALIGN - 1) & ~(size_t)(DIGEST_ALIGN - 1);
}

brisk_err codec_dict_create(codec_bytes bytes, int level, const brisk_alloc *alloc,
                            codec_dict **ret)
{
    if (bytes.size == 0 || bytes.size > CODEC_BYTES_MAX) {
        return BRISK_ERR_INVALID;
    }
    ZSTD_compressionParameters params = params_of(level);
    size_t squeezer = ZSTD_estimateCDictSize_advanced(bytes.size, params, ZSTD_dlm_byRef);
    size_t expander = ZSTD_estimateDDictSize(bytes.size, ZSTD_dlm_byRef);
    size_t head = align_up(sizeof(codec_dict));
    size_t size = head + align_up(bytes.size) + align_up(squeezer) + align_up(expander);
    codec_dict *dict = alloc->acquire(alloc->ctx, size, DIGEST_ALIGN);
    if (dict == NULL) {
        return BRISK_ERR_NOMEM;
    }
    unsigned char *at = (unsigned char *)dict + head;
    memcpy(at, bytes.data, bytes.size);
    *dict = (codec_dict){.alloc = alloc, .size = size, .bytes = {at, bytes.size}};
    atomic_init(&dict->refs, 1);
    at += align_up(bytes.size);
    /* Full dictionaries only: raw content has no entropy tables and is none of ours. */
    dict->squeezer = ZSTD_initStaticCDict(at, squeezer, dict->bytes.data, bytes.size,
                                          ZSTD_dlm_byRef, ZSTD_dct_fullDict, params);
    at += align_up(squeezer);
    dict->expander = ZSTD_initStaticDDict(at, expander, dict->bytes.data, bytes.size,
                                          ZSTD_dlm_byRef, ZSTD_dct_fullDict);
    if (dict->squeezer == NULL || dict->expander == NULL) {
        alloc->release(alloc->ctx, dict, size, DIGEST_ALIGN);
        return BRISK_ERR_INVALID;
    }
    *ret = dict;
    return BRISK_OK;
}

codec_dict *codec_dict_ref(codec_dict *dict)
{
    /* Relaxed: who calls this owns a reference already. */
    atomic_fetch_add_explicit(&dict->refs, 1, memory_order_relaxed);
    return dict;
}

void codec_dict_unref(codec_dict *dict)
{
    /* Both: our reads are over before the last owner frees; it sees those of all others so. */
    if (dict != NULL && atomic_fetch_sub_explicit(&dict->refs, 1, memory_order_acq_rel) == 1) {
        dict->alloc->release(dict->alloc->ctx, dict, dict->size, DIGEST_ALIGN);
    }
}

codec_bytes codec_dict_bytes(const codec_dict *dict)
{
    return dict->bytes;
}

const ZSTD_CDict *codec_dict_squeezer(const codec_dict *dict)
{
    return dict->squeezer;
}

const ZSTD_DDict *codec_dict_expander(const codec_dict *dict)
{
    return dict->expander;
}

brisk_err codec_dict_train(const codec_samples *samples, codec_room room, size_t *ret)
{
    if (samples->count < SAMPLES_MIN || samples->piece_bytes > room.size) {
        return BRISK_ERR_NOT_FOUND;
    }
    ZDICT_fastCover_params_t params = {.k = samples->piece_bytes,
                                       .d = COVER_DMER,
                                       .f = COVER_HASH_LOG,
                                       .steps = 1,
                                       .nbThreads = 0,
                                       .splitPoint = 1.0,
                                       .accel = COVER_ACCEL,
                                       .zParams = {.compressionLevel = 3}};
    size_t size = ZDICT_trainFromBuffer_fastCover(room.data, room.size, samples->data,
                                                  samples->sizes, samples->count, params);
    if (ZDICT_isError(size)) {
        return BRISK_ERR_NOT_FOUND;
    }
    *ret = size;
    return BRISK_OK;
}
