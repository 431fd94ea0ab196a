/*
 * expand.c -- the libraries behind wire/expand.h.
 *
 * gzip: the trailer has the size modulo 2^32.  libdeflate wants all the room before it begins, and
 * begins anew with twice of it where that was too little: at most twice the work, for members that
 * lie.  Deflate makes at most 1032 bytes of one, which bounds what a lie can make us take.
 *
 * zstd: a frame that tells its size is expanded at once; others, and brotli, as a stream into room
 * that doubles.
 *
 * Invariant: room->capacity + EXPAND_TAIL bytes lie at room->data; room->size <= room->capacity.
 */
#define ZSTD_STATIC_LINKING_ONLY
#include "wire/expand.h"

#include <brotli/decode.h>
#include <libdeflate.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/assert.h"

enum {
    MEMORY_ALIGN = 16,

    ROOM_FIRST = 16384,
    DEFLATE_RATIO_MAX = 1032,
    GZIP_SMALLEST = 18,
    ZSTD_WINDOW_LOG_MAX = 23,
};

struct expander {
    const brisk_alloc *alloc;
    struct libdeflate_decompressor *inflate;
    ZSTD_DCtx *zstd;
};

/* --- memory --------------------------------------------------------------------------------- */

/* In front of each block of the libraries, which do not tell sizes when they give one back. */
typedef struct sized_block {
    size_t size;
    size_t spare; /* what follows is aligned for everything */
} sized_block;

static void *sized_acquire(void *ctx, size_t size)
{
    const brisk_alloc *alloc = ((const expander *)ctx)->alloc;
    sized_block *block = NULL;
    if (size <= SIZE_MAX - sizeof *block) {
        block = alloc->acquire(alloc->ctx, sizeof *block + size, MEMORY_ALIGN);
    }
    if (block == NULL) {
        return NULL;
    }
    block->size = size;
    return block + 1;
}

static void sized_release(void *ctx, void *address)
{
    const brisk_alloc *alloc = ((const expander *)ctx)->alloc;
    if (address != NULL) {
        sized_block *block = (sized_block *)address - 1;
        alloc->release(alloc->ctx, block, sizeof *block + block->size, MEMORY_ALIGN);
    }
}

brisk_err expander_create(const brisk_alloc *alloc, expander **ret)
{
    expander *e = alloc->acquire(alloc->ctx, sizeof *e, _Alignof(expander));
    if (e == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *e = (expander){.alloc = alloc};
    *ret = e;
    return BRISK_OK;
}

void expander_destroy(expander *e)
{
    if (e == NULL) {
        return;
    }
    libdeflate_free_decompressor(e->inflate);
    (void)ZSTD_freeDCtx(e->zstd);
    e->alloc->release(e->alloc->ctx, e, sizeof *e, _Alignof(expander));
}

void expand_room_deinit(expand_room *room)
{
    if (room->data != NULL) {
        room->alloc->release(room->alloc->ctx, room->data, room->capacity + EXPAND_TAIL,
                             EXPAND_ALIGN);
    }
    room->data = NULL;
    room->size = 0;
    room->capacity = 0;
}

/* Room for `wanted` bytes; the first room->size stay. */
static bool room_reserve(expand_room *room, size_t wanted)
{
    if (room->data != NULL && wanted <= room->capacity) {
        return true;
    }
    if (wanted > SIZE_MAX - EXPAND_TAIL) {
        return false;
    }
    unsigned char *data =
        room->alloc->acquire(room->alloc->ctx, wanted + EXPAND_TAIL, EXPAND_ALIGN);
    if (data == NULL) {
        return false;
    }
    size_t size = room->size;
    if (size > 0) {
        memcpy(data, room->data, size);
    }
    expand_room_deinit(room);
    room->data = data;
    room->size = size;
    room->capacity = wanted;
    return true;
}

/* Twice the room, within `max`.  LIMIT: it has all that is allowed. */
static brisk_err room_double(expand_room *room, size_t max)
{
    if (room->capacity >= max) {
        return BRISK_ERR_LIMIT;
    }
    size_t wanted = room->capacity < ROOM_FIRST ? ROOM_FIRST : room->capacity;
    wanted = wanted <= max / 2 ? wanted * 2 : max;
    return room_reserve(room, wanted) ? BRISK_OK : BRISK_ERR_NOMEM;
}

/* --- gzip and deflate ----------------------------------------------------------------------- */

typedef enum libdeflate_result (*inflate_fn)(struct libdeflate_decompressor *, const void *, size_t,
                                             void *, size_t, size_t *, size_t *);

typedef struct inflation {
    struct libdeflate_decompressor *with;
    expand_room *room;
    size_t max;
} inflation;

/* One member from `src` behind what is in the room; *used: its bytes. */
static brisk_err inflate_member(const inflation *job, inflate_fn inflate, codec_bytes src,
                                size_t *used)
{
    expand_room *room = job->room;
    size_t max = job->max;
    for (;;) {
        size_t left = room->capacity < max ? room->capacity : max;
        size_t done = 0;
        left -= room->size;
        switch (
            inflate(job->with, src.data, src.size, room->data + room->size, left, used, &done)) {
        case LIBDEFLATE_SUCCESS: room->size += done; return BRISK_OK;
        case LIBDEFLATE_INSUFFICIENT_SPACE: {
            brisk_err err = room_double(room, max);
            if (err != BRISK_OK) {
                return err;
            }
            break;
        }
        case LIBDEFLATE_BAD_DATA:
        case LIBDEFLATE_SHORT_OUTPUT:
        default: return BRISK_ERR_CORRUPT;
        }
    }
}

/* What the last trailer says of the size, as far as it may be true. */
static size_t gzip_hint(codec_bytes src, size_t max)
{
    const unsigned char *end = (const unsigned char *)src.data + src.size;
    size_t hint =
        (size_t)end[-4] | (size_t)end[-3] << 8 | (size_t)end[-2] << 16 | (size_t)end[-1] << 24;
    size_t most = src.size <= SIZE_MAX / DEFLATE_RATIO_MAX ? src.size * DEFLATE_RATIO_MAX : max;
    hint = hint < most ? hint : most;
    return hint < max ? hint : max;
}

static brisk_err expand_gzip(expander *e, codec_bytes src, size_t max, expand_room *room)
{
    if (src.size < GZIP_SMALLEST) {
        return BRISK_ERR_CORRUPT;
    }
    if (!room_reserve(room, gzip_hint(src, max))) {
        return BRISK_ERR_NOMEM;
    }
    inflation job = {e->inflate, room, max};
    while (src.size > 0) {
        size_t used = 0;
        brisk_err err = inflate_member(&job, libdeflate_gzip_decompress_ex, src, &used);
        if (err != BRISK_OK) {
            return err;
        }
        BRISK_ASSERT(used > 0 && used <= src.size);
        src = (codec_bytes){(const unsigned char *)src.data + used, src.size - used};
    }
    return BRISK_OK;
}

static brisk_err expand_deflate(expander *e, codec_bytes src, size_t max, expand_room *room)
{
    size_t guess = src.size < max / 4 ? src.size * 4 : max;
    if (!room_reserve(room, guess)) {
        return BRISK_ERR_NOMEM;
    }
    inflation job = {e->inflate, room, max};
    size_t used = 0;
    brisk_err err = inflate_member(&job, libdeflate_zlib_decompress_ex, src, &used);
    if (err == BRISK_ERR_CORRUPT) {
        err = inflate_member(&job, libdeflate_deflate_decompress_ex, src, &used);
    }
    return err == BRISK_OK && used != src.size ? BRISK_ERR_CORRUPT : err;
}

/* --- brotli --------------------------------------------------------------------------------- */

static brisk_err brotli_failed(const BrotliDecoderState *state)
{
    BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(state);
    bool memory = code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
                  code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES;
    return memory ? BRISK_ERR_NOMEM : BRISK_ERR_CORRUPT;
}

static brisk_err run_brotli(BrotliDecoderState *state, codec_bytes src, size_t max,
                            expand_room *room)
{
    const uint8_t *next_in = src.data;
    size_t left_in = src.size;
    for (;;) {
        uint8_t *next_out = room->data + room->size;
        size_t before = (room->capacity < max ? room->capacity : max) - room->size;
        size_t left_out = before;
        BrotliDecoderResult result =
            BrotliDecoderDecompressStream(state, &left_in, &next_in, &left_out, &next_out, NULL);
        room->size += before - left_out;
        if (result == BROTLI_DECODER_RESULT_SUCCESS) {
            return left_in == 0 ? BRISK_OK : BRISK_ERR_CORRUPT;
        }
        if (result == BROTLI_DECODER_RESULT_ERROR) {
            return brotli_failed(state);
        }
        if (result == BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT) {
            return BRISK_ERR_CORRUPT;
        }
        brisk_err err = room_double(room, max);
        if (err != BRISK_OK) {
            return err;
        }
    }
}

static brisk_err expand_brotli(expander *e, codec_bytes src, size_t max, expand_room *room)
{
    BrotliDecoderState *state = BrotliDecoderCreateInstance(sized_acquire, sized_release, e);
    if (state == NULL) {
        return BRISK_ERR_NOMEM;
    }
    size_t guess = src.size < max / 4 ? src.size * 4 : max;
    brisk_err err = room_reserve(room, guess) ? run_brotli(state, src, max, room) : BRISK_ERR_NOMEM;
    BrotliDecoderDestroyInstance(state);
    return err;
}

/* --- zstd ----------------------------------------------------------------------------------- */

static brisk_err need_zstd(expander *e)
{
    if (e->zstd == NULL) {
        e->zstd = ZSTD_createDCtx_advanced((ZSTD_customMem){sized_acquire, sized_release, e});
        if (e->zstd == NULL) {
            return BRISK_ERR_NOMEM;
        }
        size_t failed = ZSTD_DCtx_setParameter(e->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
        BRISK_ASSERT(!ZSTD_isError(failed));
    }
    size_t failed = ZSTD_DCtx_reset(e->zstd, ZSTD_reset_session_only);
    BRISK_ASSERT(!ZSTD_isError(failed));
    return BRISK_OK;
}

static brisk_err zstd_failed(size_t code)
{
    return ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation ? BRISK_ERR_NOMEM
                                                                   : BRISK_ERR_CORRUPT;
}

static brisk_err stream_zstd(expander *e, codec_bytes src, size_t max, expand_room *room)
{
    ZSTD_inBuffer in = {src.data, src.size, 0};
    size_t expected = 1;
    while (in.pos < in.size || expected != 0) {
        size_t limit = room->capacity < max ? room->capacity : max;
        ZSTD_outBuffer out = {room->data, limit, room->size};
        size_t taken = in.pos;
        expected = ZSTD_decompressStream(e->zstd, &out, &in);
        if (ZSTD_isError(expected)) {
            return zstd_failed(expected);
        }
        bool full = out.pos == limit;
        bool idle = out.pos == room->size && in.pos == taken;
        room->size = out.pos;
        if (full && (expected != 0 || in.pos < in.size)) {
            brisk_err err = room_double(room, max);
            if (err != BRISK_OK) { /* an empty last block needs none */
                return err;
            }
        } else if (idle || (in.pos == in.size && expected != 0)) {
            return BRISK_ERR_CORRUPT;
        }
    }
    return BRISK_OK;
}

static brisk_err expand_zstd(expander *e, codec_bytes src, size_t max, expand_room *room)
{
    unsigned long long told = ZSTD_getFrameContentSize(src.data, src.size);
    if (told == ZSTD_CONTENTSIZE_ERROR) {
        return BRISK_ERR_CORRUPT;
    }
    brisk_err err = need_zstd(e);
    if (err != BRISK_OK) {
        return err;
    }
    size_t frame =
        told != ZSTD_CONTENTSIZE_UNKNOWN ? ZSTD_findFrameCompressedSize(src.data, src.size) : 0;
    if (frame == src.size) { /* one frame, and it tells */
        if (told > max) {
            return BRISK_ERR_LIMIT;
        }
        if (!room_reserve(room, (size_t)told)) {
            return BRISK_ERR_NOMEM;
        }
        size_t done = ZSTD_decompressDCtx(e->zstd, room->data, (size_t)told, src.data, src.size);
        room->size = ZSTD_isError(done) ? 0 : done;
        return ZSTD_isError(done) ? zstd_failed(done) : BRISK_OK;
    }
    size_t guess = src.size < max / 4 ? src.size * 4 : max;
    return room_reserve(room, guess) ? stream_zstd(e, src, max, room) : BRISK_ERR_NOMEM;
}

/* --- all ------------------------------------------------------------------------------------ */

static brisk_err expand_plain(codec_bytes src, size_t max, expand_room *room)
{
    if (src.size > max) {
        return BRISK_ERR_LIMIT;
    }
    if (!room_reserve(room, src.size)) {
        return BRISK_ERR_NOMEM;
    }
    if (src.size > 0) {
        memcpy(room->data, src.data, src.size);
    }
    room->size = src.size;
    return BRISK_OK;
}

static brisk_err need_inflate(expander *e)
{
    if (e->inflate == NULL) {
        e->inflate = libdeflate_alloc_decompressor();
    }
    return e->inflate != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
}

static brisk_err run(expander *e, codec_id id, codec_bytes src, size_t max, expand_room *room)
{
    switch (id) {
    case CODEC_PLAIN: return expand_plain(src, max, room);
    case CODEC_GZIP: {
        brisk_err err = need_inflate(e);
        return err == BRISK_OK ? expand_gzip(e, src, max, room) : err;
    }
    case CODEC_DEFLATE: {
        brisk_err err = need_inflate(e);
        return err == BRISK_OK ? expand_deflate(e, src, max, room) : err;
    }
    case CODEC_BROTLI: return expand_brotli(e, src, max, room);
    case CODEC_ZSTD: return expand_zstd(e, src, max, room);
    case CODEC_LZ4:
    case CODEC_COUNT:
    default: return BRISK_ERR_UNSUPPORTED;
    }
}

brisk_err expander_run(expander *e, codec_id id, codec_bytes src, size_t max, expand_room *room)
{
    BRISK_ASSERT(room->alloc != NULL);
    room->size = 0;
    brisk_err err = run(e, id, src, max, room);
    if (err != BRISK_OK) {
        room->size = 0;
        return err;
    }
    BRISK_ASSERT(room->size <= max && room->size <= room->capacity);
    memset(room->data + room->size, 0, EXPAND_TAIL);
    return BRISK_OK;
}
