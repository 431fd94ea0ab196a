/*
 * disk_codec.c -- zstd contexts and record buffers, kept for reuse.
 *
 * Contexts live in workspaces that we allocate once (ZSTD_initStatic...), so zstd itself never
 * allocates.  There are as many sets as threads were ever at work at once.
 * Source: zstd, https://facebook.github.io/zstd (library).
 */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include "base/assert.h"
#include "cache/disk.h"

enum {
    WORKSPACE_ALIGN = 64,
    BUFFER_BYTES_FIRST = 16384,
    COMPRESS_BYTES_MIN = 64, /* below, a frame's header eats the gain */
};

disk_scratch *disk_scratch_take(disk_tier *tier)
{
    pthread_mutex_lock(&tier->scratch_lock);
    disk_scratch *scratch = tier->scratches;
    if (scratch != NULL) {
        tier->scratches = scratch->next;
    }
    pthread_mutex_unlock(&tier->scratch_lock);
    if (scratch == NULL) {
        scratch = tier->alloc->acquire(tier->alloc->ctx, sizeof *scratch, _Alignof(disk_scratch));
        if (scratch != NULL) {
            *scratch = (disk_scratch){0};
        }
    }
    return scratch;
}

void disk_scratch_give(disk_tier *tier, disk_scratch *scratch)
{
    if (scratch == NULL) {
        return;
    }
    pthread_mutex_lock(&tier->scratch_lock);
    scratch->next = tier->scratches;
    tier->scratches = scratch;
    pthread_mutex_unlock(&tier->scratch_lock);
}

static void release(const disk_tier *tier, void *block, size_t size)
{
    if (block != NULL) {
        tier->alloc->release(tier->alloc->ctx, block, size, WORKSPACE_ALIGN);
    }
}

void disk_scratch_free_all(disk_tier *tier)
{
    while (tier->scratches != NULL) {
        disk_scratch *scratch = tier->scratches;
        tier->scratches = scratch->next;
        release(tier, scratch->buffer, scratch->buffer_size);
        release(tier, scratch->compressor, scratch->compressor_size);
        release(tier, scratch->decompressor, scratch->decompressor_size);
        tier->alloc->release(tier->alloc->ctx, scratch, sizeof *scratch, _Alignof(disk_scratch));
    }
}

brisk_err disk_scratch_reserve(const disk_tier *tier, disk_scratch *scratch, size_t size)
{
    if (size <= scratch->buffer_size) {
        return BRISK_OK;
    }
    size_t grown = BUFFER_BYTES_FIRST;
    while (grown < size) {
        grown *= 2;
    }
    void *buffer = tier->alloc->acquire(tier->alloc->ctx, grown, WORKSPACE_ALIGN);
    if (buffer == NULL) {
        return BRISK_ERR_NOMEM;
    }
    release(tier, scratch->buffer, scratch->buffer_size);
    scratch->buffer = buffer;
    scratch->buffer_size = grown;
    return BRISK_OK;
}

static void *workspace(const disk_tier *tier, size_t size)
{
    return tier->alloc->acquire(tier->alloc->ctx, size, WORKSPACE_ALIGN);
}

size_t disk_compress_bound(size_t size)
{
    return ZSTD_compressBound(size);
}

size_t disk_compress(const disk_tier *tier, disk_scratch *scratch, unsigned char *dst,
                     const void *src, size_t size)
{
    if (tier->level < 0 || size < COMPRESS_BYTES_MIN) {
        return 0;
    }
    if (scratch->cctx == NULL) {
        size_t bytes = ZSTD_estimateCCtxSize(tier->level);
        scratch->compressor = workspace(tier, bytes);
        if (scratch->compressor == NULL) {
            return 0; /* stored as it is */
        }
        scratch->compressor_size = bytes;
        scratch->cctx = ZSTD_initStaticCCtx(scratch->compressor, bytes);
        BRISK_ASSERT(scratch->cctx != NULL);
    }
    size_t done =
        ZSTD_compressCCtx(scratch->cctx, dst, ZSTD_compressBound(size), src, size, tier->level);
    return ZSTD_isError(done) || done > size - size / 8 ? 0 : done;
}

brisk_err disk_decompress(const disk_tier *tier, disk_scratch *scratch, disk_span to,
                          const void *src, size_t size)
{
    if (scratch->dctx == NULL) {
        size_t bytes = ZSTD_estimateDCtxSize();
        scratch->decompressor = workspace(tier, bytes);
        if (scratch->decompressor == NULL) {
            return BRISK_ERR_NOMEM;
        }
        scratch->decompressor_size = bytes;
        scratch->dctx = ZSTD_initStaticDCtx(scratch->decompressor, bytes);
        BRISK_ASSERT(scratch->dctx != NULL);
    }
    size_t done = ZSTD_decompressDCtx(scratch->dctx, to.data, to.size, src, size);
    return done == to.size ? BRISK_OK : BRISK_ERR_CORRUPT; /* errors are huge sizes */
}
