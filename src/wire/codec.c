/*
 * codec.c -- the codecs behind wire/codec.h.
 *
 * zstd and lz4 work in memory that we take once and keep: their contexts allocate nothing.  zstd's
 * parameters are set once for a context, and a dictionary is digested once; a call then only hands
 * over pointers.  With a dictionary there is one block without a frame, which is 0.1 us faster and
 * 5 bytes shorter than the smallest frame.
 * brotli allocates for each call, from our allocator through callbacks.  libdeflate
 * uses malloc for its two objects: it can only be told otherwise for the whole process.
 *
 * Everything that is expanded is hostile: each library is told the exact room, and any size but the
 * one that was asked for is CORRUPT.
 */
#define ZSTD_STATIC_LINKING_ONLY
#define ZSTD_DISABLE_DEPRECATE_WARNINGS /* blocks: deprecated since 1.5.5, but here to stay */
#include "wire/codec.h"

#include <brotli/decode.h>
#include <brotli/encode.h>
#include <libdeflate.h>
#include <lz4.h>
#include <setjmp.h>
#include <string.h>
#include <zstd.h>

#include "base/assert.h"
#include "wire/codec_dict.h"

enum {
    WORKSPACE_ALIGN = 64,
    BROTLI_ALIGN = 16,
    BROTLI_WINDOW_BITS = 22,
    LEVELS_MAX = 19,
    DEFLATE_LEVEL_MAX = 12,
};

typedef struct workspace {
    void *data;
    size_t size;
} workspace;

struct codec_kit {
    const brisk_alloc *alloc;
    workspace zstd_squeeze;
    workspace zstd_expand;
    workspace lz4;
    ZSTD_CCtx *cctx;
    ZSTD_DCtx *dctx;
    int cctx_level;
    struct libdeflate_compressor *deflate;
    int deflate_level;
    struct libdeflate_decompressor *inflate;
};

static const char *const names[CODEC_COUNT] = {
    [CODEC_PLAIN] = "plain",   [CODEC_ZSTD] = "zstd",       [CODEC_LZ4] = "lz4",
    [CODEC_BROTLI] = "brotli", [CODEC_DEFLATE] = "deflate", [CODEC_GZIP] = "gzip"};

const char *codec_name(codec_id id)
{
    return (unsigned int)id < CODEC_COUNT ? names[id] : NULL;
}

brisk_err codec_find(const char *name, codec_id *ret)
{
    for (int i = 0; i < CODEC_COUNT; i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret = (codec_id)i;
            return BRISK_OK;
        }
    }
    return BRISK_ERR_NOT_FOUND;
}

static bool workspace_take(codec_kit *kit, workspace *space, size_t size)
{
    if (space->data == NULL || space->size < size) {
        void *data = kit->alloc->acquire(kit->alloc->ctx, size, WORKSPACE_ALIGN);
        if (data == NULL) {
            return false;
        }
        if (space->data != NULL) {
            kit->alloc->release(kit->alloc->ctx, space->data, space->size, WORKSPACE_ALIGN);
        }
        *space = (workspace){data, size};
    }
    return true;
}

static void workspace_give(codec_kit *kit, workspace *space)
{
    if (space->data != NULL) {
        kit->alloc->release(kit->alloc->ctx, space->data, space->size, WORKSPACE_ALIGN);
    }
}

brisk_err codec_kit_create(const brisk_alloc *alloc, codec_kit **ret)
{
    codec_kit *kit = alloc->acquire(alloc->ctx, sizeof *kit, _Alignof(codec_kit));
    if (kit == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *kit = (codec_kit){.alloc = alloc};
    *ret = kit;
    return BRISK_OK;
}

void codec_kit_destroy(codec_kit *kit)
{
    if (kit == NULL) {
        return;
    }
    workspace_give(kit, &kit->zstd_squeeze);
    workspace_give(kit, &kit->zstd_expand);
    workspace_give(kit, &kit->lz4);
    libdeflate_free_compressor(kit->deflate);
    libdeflate_free_decompressor(kit->inflate);
    kit->alloc->release(kit->alloc->ctx, kit, sizeof *kit, _Alignof(codec_kit));
}

/* --- zstd ------------------------------------------------------------------------------------- */

static int zstd_level(int level)
{
    return level == CODEC_LEVEL_DEFAULT ? 1 : level > LEVELS_MAX ? LEVELS_MAX : level;
}

/* A context for the level, with all that never changes set. */
static brisk_err zstd_squeezer(codec_kit *kit, int level)
{
    if (kit->cctx != NULL && kit->cctx_level == level) {
        return BRISK_OK;
    }
    /* With a dictionary the parameters are its own, so the memory must do for both. */
    size_t bytes = ZSTD_estimateCCtxSize(level);
    size_t with_dict = codec_dict_workspace();
    kit->cctx = NULL;
    if (!workspace_take(kit, &kit->zstd_squeeze, bytes > with_dict ? bytes : with_dict)) {
        return BRISK_ERR_NOMEM;
    }
    kit->cctx = ZSTD_initStaticCCtx(kit->zstd_squeeze.data, kit->zstd_squeeze.size);
    BRISK_ASSERT(kit->cctx != NULL);
    size_t failed = ZSTD_CCtx_setParameter(kit->cctx, ZSTD_c_format, ZSTD_f_zstd1_magicless);
    failed |= ZSTD_CCtx_setParameter(kit->cctx, ZSTD_c_contentSizeFlag, 0);
    failed |= ZSTD_CCtx_setParameter(kit->cctx, ZSTD_c_dictIDFlag, 0);
    failed |= ZSTD_CCtx_setParameter(kit->cctx, ZSTD_c_compressionLevel, level);
    BRISK_ASSERT(!ZSTD_isError(failed));
    kit->cctx_level = level;
    return BRISK_OK;
}

static brisk_err zstd_frame(codec_kit *kit, codec_bytes src, codec_room dst, size_t *ret)
{
    size_t done = ZSTD_compress2(kit->cctx, dst.data, dst.size, src.data, src.size);
    if (ZSTD_isError(done)) { /* there are no others with memory and parameters given */
        (void)ZSTD_CCtx_reset(kit->cctx, ZSTD_reset_session_only);
        return BRISK_ERR_LIMIT;
    }
    *ret = done;
    return BRISK_OK;
}

/* One block without a frame: what a frame says, our caller knows. */
static brisk_err zstd_block(codec_kit *kit, const codec_dict *dict, codec_bytes src, codec_room dst,
                            size_t *ret)
{
    static const ZSTD_frameParameters nothing = {.noDictIDFlag = 1};
    if (src.size == 0) {
        *ret = 0;
        return BRISK_OK;
    }
    if (src.size > ZSTD_BLOCKSIZE_MAX) {
        return BRISK_ERR_LIMIT;
    }
    size_t done = ZSTD_compressBegin_usingCDict_advanced(kit->cctx, codec_dict_squeezer(dict),
                                                         nothing, src.size);
    if (!ZSTD_isError(done)) {
        done = ZSTD_compressBlock(kit->cctx, dst.data, dst.size, src.data, src.size);
    }
    if (ZSTD_isError(done) || done == 0) {
        return BRISK_ERR_LIMIT;
    }
    *ret = done;
    return BRISK_OK;
}

static brisk_err zstd_squeeze(codec_kit *kit, const codec_how *how, codec_bytes src, codec_room dst,
                              size_t *ret)
{
    brisk_err err = zstd_squeezer(kit, zstd_level(how->level));
    if (err != BRISK_OK) {
        return err;
    }
    return how->dict != NULL ? zstd_block(kit, how->dict, src, dst, ret)
                             : zstd_frame(kit, src, dst, ret);
}

static brisk_err zstd_expander(codec_kit *kit)
{
    if (kit->dctx == NULL) {
        size_t bytes = ZSTD_estimateDCtxSize();
        if (!workspace_take(kit, &kit->zstd_expand, bytes)) {
            return BRISK_ERR_NOMEM;
        }
        kit->dctx = ZSTD_initStaticDCtx(kit->zstd_expand.data, bytes);
        BRISK_ASSERT(kit->dctx != NULL);
        size_t failed = ZSTD_DCtx_setParameter(kit->dctx, ZSTD_d_format, ZSTD_f_zstd1_magicless);
        BRISK_ASSERT(!ZSTD_isError(failed));
    }
    return BRISK_OK;
}

static brisk_err zstd_expand(codec_kit *kit, const codec_how *how, codec_bytes src, codec_room dst)
{
    brisk_err err = zstd_expander(kit);
    if (err != BRISK_OK) {
        return err;
    }
    size_t done;
    if (how->dict == NULL) {
        done = ZSTD_decompressDCtx(kit->dctx, dst.data, dst.size, src.data, src.size);
    } else if (src.size == 0 || dst.size > ZSTD_BLOCKSIZE_MAX) {
        return src.size == 0 && dst.size == 0 ? BRISK_OK : BRISK_ERR_CORRUPT;
    } else {
        done = ZSTD_decompressBegin_usingDDict(kit->dctx, codec_dict_expander(how->dict));
        if (!ZSTD_isError(done)) {
            done = ZSTD_decompressBlock(kit->dctx, dst.data, dst.size, src.data, src.size);
        }
    }
    return done == dst.size ? BRISK_OK : BRISK_ERR_CORRUPT; /* errors are huge sizes */
}

/* --- lz4 -------------------------------------------------------------------------------------- */

static brisk_err lz4_squeeze(codec_kit *kit, codec_bytes src, codec_room dst, size_t *ret)
{
    if (!workspace_take(kit, &kit->lz4, (size_t)LZ4_sizeofState())) {
        return BRISK_ERR_NOMEM;
    }
    int room = dst.size < CODEC_BYTES_MAX ? (int)dst.size : CODEC_BYTES_MAX;
    int done =
        LZ4_compress_fast_extState(kit->lz4.data, src.data, dst.data, (int)src.size, room, 1);
    if (done <= 0) {
        return BRISK_ERR_LIMIT;
    }
    *ret = (size_t)done;
    return BRISK_OK;
}

static brisk_err lz4_expand(codec_bytes src, codec_room dst)
{
    int done = LZ4_decompress_safe(src.data, dst.data, (int)src.size, (int)dst.size);
    return done >= 0 && (size_t)done == dst.size ? BRISK_OK : BRISK_ERR_CORRUPT;
}

/* --- brotli ------------------------------------------------------------------------------------- */

/* In front of each block that brotli has. */
typedef struct brotli_block {
    struct brotli_block *next;
    struct brotli_block **link; /* what points here */
    size_t size;
    size_t spare; /* 32 bytes: what follows is aligned for everything */
} brotli_block;

typedef struct brotli_memory {
    const brisk_alloc *alloc;
    brotli_block *blocks;
    jmp_buf *exhausted; /* NULL: the library can be told by NULL */
} brotli_memory;

static void *brotli_acquire(void *opaque, size_t size)
{
    brotli_memory *memory = opaque;
    brotli_block *block = NULL;
    if (size <= SIZE_MAX - sizeof *block) {
        block = memory->alloc->acquire(memory->alloc->ctx, sizeof *block + size, BROTLI_ALIGN);
    }
    if (block == NULL) {
        if (memory->exhausted != NULL) {
            longjmp(*memory->exhausted, 1);
        }
        return NULL;
    }
    *block = (brotli_block){.next = memory->blocks, .link = &memory->blocks, .size = size};
    if (block->next != NULL) {
        block->next->link = &block->next;
    }
    memory->blocks = block;
    return block + 1;
}

static void brotli_release(void *opaque, void *address)
{
    brotli_memory *memory = opaque;
    if (address == NULL) {
        return;
    }
    brotli_block *block = (brotli_block *)address - 1;
    *block->link = block->next;
    if (block->next != NULL) {
        block->next->link = block->link;
    }
    memory->alloc->release(memory->alloc->ctx, block, sizeof *block + block->size, BROTLI_ALIGN);
}

static brisk_err brotli_run(brotli_memory *memory, int level, codec_bytes src, codec_room dst,
                            size_t *ret)
{
    BrotliEncoderState *state = BrotliEncoderCreateInstance(brotli_acquire, brotli_release, memory);
    if (state == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t quality = level == CODEC_LEVEL_DEFAULT ? 5 : level > 11 ? 11 : (uint32_t)level;
    const uint8_t *next_in = src.data;
    uint8_t *next_out = dst.data;
    size_t left_in = src.size;
    size_t left_out = dst.size;
    BROTLI_BOOL fine =
        BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, quality) &&
        BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, BROTLI_WINDOW_BITS) &&
        BrotliEncoderSetParameter(state, BROTLI_PARAM_SIZE_HINT, (uint32_t)src.size) &&
        BrotliEncoderCompressStream(state, BROTLI_OPERATION_FINISH, &left_in, &next_in, &left_out,
                                    &next_out, NULL);
    bool finished = fine && BrotliEncoderIsFinished(state);
    BrotliEncoderDestroyInstance(state);
    if (!finished) {
        return fine ? BRISK_ERR_LIMIT : BRISK_ERR_NOMEM;
    }
    *ret = dst.size - left_out;
    return BRISK_OK;
}

/*
 * Debian's encoder calls exit() when its memory callback gives NULL, so the callback jumps out of
 * it instead; all that the encoder holds is in our list.
 */
static brisk_err brotli_squeeze(codec_kit *kit, int level, codec_bytes src, codec_room dst,
                                size_t *ret)
{
    jmp_buf exhausted;
    brotli_memory memory = {.alloc = kit->alloc, .exhausted = &exhausted};
    if (setjmp(exhausted) == 0) {
        return brotli_run(&memory, level, src, dst, ret);
    }
    while (memory.blocks != NULL) {
        brotli_release(&memory, memory.blocks + 1);
    }
    return BRISK_ERR_NOMEM;
}

static brisk_err brotli_expand(codec_kit *kit, codec_bytes src, codec_room dst)
{
    brotli_memory memory = {.alloc = kit->alloc};
    BrotliDecoderState *state =
        BrotliDecoderCreateInstance(brotli_acquire, brotli_release, &memory);
    if (state == NULL) {
        return BRISK_ERR_NOMEM;
    }
    const uint8_t *next_in = src.data;
    uint8_t *next_out = dst.data;
    size_t left_in = src.size;
    size_t left_out = dst.size;
    BrotliDecoderResult result =
        BrotliDecoderDecompressStream(state, &left_in, &next_in, &left_out, &next_out, NULL);
    BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(state);
    BrotliDecoderDestroyInstance(state);
    if (result == BROTLI_DECODER_RESULT_ERROR && code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
        code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES) {
        return BRISK_ERR_NOMEM;
    }
    bool whole = result == BROTLI_DECODER_RESULT_SUCCESS && left_in == 0 && left_out == 0;
    return whole ? BRISK_OK : BRISK_ERR_CORRUPT;
}

/* --- deflate and gzip ------------------------------------------------------------------------- */

static brisk_err deflate_squeeze(codec_kit *kit, const codec_how *how, codec_bytes src,
                                 codec_room dst, size_t *ret)
{
    int level = how->level == CODEC_LEVEL_DEFAULT     ? 6
                : how->level < 0                      ? 1
                : how->level > (int)DEFLATE_LEVEL_MAX ? (int)DEFLATE_LEVEL_MAX
                                                      : how->level;
    if (kit->deflate == NULL || kit->deflate_level != level) {
        libdeflate_free_compressor(kit->deflate);
        kit->deflate = libdeflate_alloc_compressor(level);
        kit->deflate_level = level;
        if (kit->deflate == NULL) {
            return BRISK_ERR_NOMEM;
        }
    }
    size_t done =
        how->id == CODEC_GZIP
            ? libdeflate_gzip_compress(kit->deflate, src.data, src.size, dst.data, dst.size)
            : libdeflate_deflate_compress(kit->deflate, src.data, src.size, dst.data, dst.size);
    if (done == 0) {
        return BRISK_ERR_LIMIT;
    }
    *ret = done;
    return BRISK_OK;
}

static brisk_err deflate_expand(codec_kit *kit, codec_id id, codec_bytes src, codec_room dst)
{
    if (kit->inflate == NULL) {
        kit->inflate = libdeflate_alloc_decompressor();
        if (kit->inflate == NULL) {
            return BRISK_ERR_NOMEM;
        }
    }
    enum libdeflate_result result;
    size_t used = 0;
    if (id == CODEC_GZIP) {
        result = libdeflate_gzip_decompress_ex(kit->inflate, src.data, src.size, dst.data, dst.size,
                                               &used, NULL);
    } else {
        result = libdeflate_deflate_decompress_ex(kit->inflate, src.data, src.size, dst.data,
                                                  dst.size, &used, NULL);
    }
    return result == LIBDEFLATE_SUCCESS && used == src.size ? BRISK_OK : BRISK_ERR_CORRUPT;
}

/* --- all of them -------------------------------------------------------------------------------- */

size_t codec_bound(codec_id id, size_t size)
{
    switch (id) {
    case CODEC_ZSTD: return ZSTD_compressBound(size);
    case CODEC_LZ4: return size + size / 255 + 16;
    case CODEC_BROTLI: return size + size / 16384 * 4 + 1024;
    case CODEC_DEFLATE:
    case CODEC_GZIP: return size + size / 1024 + 256; /* stored blocks: 5 bytes for each 10,000 */
    case CODEC_PLAIN:
    case CODEC_COUNT:
    default: return size;
    }
}

brisk_err codec_squeeze(codec_kit *kit, const codec_how *how, codec_bytes src, codec_room dst,
                        size_t *ret)
{
    BRISK_ASSERT(src.size <= CODEC_BYTES_MAX);
    switch (how->id) {
    case CODEC_PLAIN:
        if (dst.size < src.size) {
            return BRISK_ERR_LIMIT;
        }
        if (src.size != 0) {
            memcpy(dst.data, src.data, src.size);
        }
        *ret = src.size;
        return BRISK_OK;
    case CODEC_ZSTD: return zstd_squeeze(kit, how, src, dst, ret);
    case CODEC_LZ4: return lz4_squeeze(kit, src, dst, ret);
    case CODEC_BROTLI: return brotli_squeeze(kit, how->level, src, dst, ret);
    case CODEC_DEFLATE:
    case CODEC_GZIP: return deflate_squeeze(kit, how, src, dst, ret);
    case CODEC_COUNT:
    default: return BRISK_ERR_UNSUPPORTED;
    }
}

brisk_err codec_expand(codec_kit *kit, const codec_how *how, codec_bytes src, codec_room dst)
{
    if (src.size > CODEC_BYTES_MAX || dst.size > CODEC_BYTES_MAX) {
        return BRISK_ERR_CORRUPT;
    }
    switch (how->id) {
    case CODEC_PLAIN:
        if (dst.size != src.size) {
            return BRISK_ERR_CORRUPT;
        }
        if (src.size != 0) {
            memcpy(dst.data, src.data, src.size);
        }
        return BRISK_OK;
    case CODEC_ZSTD: return zstd_expand(kit, how, src, dst);
    case CODEC_LZ4: return lz4_expand(src, dst);
    case CODEC_BROTLI: return brotli_expand(kit, src, dst);
    case CODEC_DEFLATE:
    case CODEC_GZIP: return deflate_expand(kit, how->id, src, dst);
    case CODEC_COUNT:
    default: return BRISK_ERR_UNSUPPORTED;
    }
}
