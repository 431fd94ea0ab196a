/*
 * squeeze.c -- the calls of the codecs, timed.
 */
#include "daemon/encode/squeeze.h"

#include <string.h>

#include <brisk/clock.h>

#include "base/assert.h"

enum {
    MAGIC_BYTES = 4,
    ROOM_ALIGN = 16,
    ROOM_KEPT = 1 << 20, /* more is given back after its use */
    GAIN_MIN = 100,      /* a hundredth */
    GZIP_ROOM = 64,
};

static const unsigned char zstd_magic[MAGIC_BYTES] = {0x28, 0xb5, 0x2f, 0xfd};

brisk_err encode_bench_create(const brisk_alloc *alloc, encode_bench **ret)
{
    encode_bench *bench = alloc->acquire(alloc->ctx, sizeof *bench, _Alignof(encode_bench));
    if (bench == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *bench = (encode_bench){.alloc = alloc};
    brisk_err err = codec_kit_create(alloc, &bench->kit);
    if (err != BRISK_OK) {
        alloc->release(alloc->ctx, bench, sizeof *bench, _Alignof(encode_bench));
        return err;
    }
    *ret = bench;
    return BRISK_OK;
}

static void drop_room(encode_bench *bench)
{
    if (bench->room != NULL) {
        bench->alloc->release(bench->alloc->ctx, bench->room, bench->room_size, ROOM_ALIGN);
        bench->room = NULL;
        bench->room_size = 0;
    }
}

void encode_bench_destroy(encode_bench *bench)
{
    if (bench == NULL) {
        return;
    }
    drop_room(bench);
    codec_kit_destroy(bench->kit);
    bench->alloc->release(bench->alloc->ctx, bench, sizeof *bench, _Alignof(encode_bench));
}

static bool make_room(encode_bench *bench, size_t size)
{
    if (bench->room_size >= size) {
        return true;
    }
    drop_room(bench);
    size_t wanted = size < 65536 ? 65536 : size;
    bench->room = bench->alloc->acquire(bench->alloc->ctx, wanted, ROOM_ALIGN);
    bench->room_size = bench->room != NULL ? wanted : 0;
    return bench->room != NULL;
}

static codec_id codec_of(encode_coding coding)
{
    return coding == ENCODE_GZIP ? CODEC_GZIP : coding == ENCODE_BROTLI ? CODEC_BROTLI : CODEC_ZSTD;
}

static brisk_err run_squeeze(encode_bench *bench, const encode_task *task, codec_room dst,
                             size_t *ret)
{
    encode_way way = encode_ways[task->method];
    if (way.coding == ENCODE_DCZ) {
        return encode_dictionary_squeeze(task->dictionary, way.level, task->body, dst, ret);
    }
    codec_how how = {.id = codec_of(way.coding), .level = way.level};
    if (way.coding != ENCODE_ZSTD) {
        return codec_squeeze(bench->kit, &how, task->body, dst, ret);
    }
    memcpy(dst.data, zstd_magic, MAGIC_BYTES);
    codec_room behind = {(unsigned char *)dst.data + MAGIC_BYTES, dst.size - MAGIC_BYTES};
    size_t done;
    brisk_err err = codec_squeeze(bench->kit, &how, task->body, behind, &done);
    if (err == BRISK_OK) {
        *ret = MAGIC_BYTES + done;
    }
    return err;
}

static brisk_err run_expand(encode_bench *bench, const encode_task *task, codec_bytes squeezed,
                            codec_room dst)
{
    encode_way way = encode_ways[task->method];
    if (way.coding == ENCODE_DCZ) {
        return encode_dictionary_expand(task->dictionary, squeezed, dst);
    }
    codec_how how = {.id = codec_of(way.coding), .level = way.level};
    if (way.coding == ENCODE_ZSTD) {
        squeezed.data = (const unsigned char *)squeezed.data + MAGIC_BYTES;
        squeezed.size -= MAGIC_BYTES;
    }
    return codec_expand(bench->kit, &how, squeezed, dst);
}

static uint32_t per_kib(uint64_t ns, size_t size)
{
    uint64_t each = size > 0 ? ns * 1024 / size : ns;
    return each < UINT32_MAX ? (uint32_t)each : UINT32_MAX;
}

static brisk_err measure_expanding(encode_bench *bench, const encode_task *task,
                                   codec_bytes squeezed, encode_measure *measure)
{
    size_t size = task->body.size;
    void *back = bench->alloc->acquire(bench->alloc->ctx, size > 0 ? size : 1, ROOM_ALIGN);
    if (back == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint64_t begin = brisk_clock_now_ns(NULL);
    brisk_err err = run_expand(bench, task, squeezed, (codec_room){back, size});
    measure->expand_ns = per_kib(brisk_clock_now_ns(NULL) - begin, size);
    bench->alloc->release(bench->alloc->ctx, back, size > 0 ? size : 1, ROOM_ALIGN);
    BRISK_ASSERT(err == BRISK_OK || err == BRISK_ERR_NOMEM); /* it is what was made just now */
    return err;
}

brisk_err encode_squeeze(encode_bench *bench, const encode_task *task, encode_measure *measure,
                         brisk_value **ret)
{
    size_t size = task->body.size;
    size_t limit = task->forced ? codec_bound(codec_of(encode_ways[task->method].coding), size) +
                                      ENCODE_DCZ_HEAD + GZIP_ROOM
                                : size - size / GAIN_MIN;
    if (size > CODEC_BYTES_MAX || limit <= MAGIC_BYTES) {
        return BRISK_ERR_LIMIT;
    }
    if (!make_room(bench, limit)) {
        return BRISK_ERR_NOMEM;
    }
    size_t done = 0;
    encode_measure seen = {.expand_ns = 0};
    uint64_t begin = brisk_clock_now_ns(NULL);
    brisk_err err = run_squeeze(bench, task, (codec_room){bench->room, limit}, &done);
    seen.squeeze_ns = per_kib(brisk_clock_now_ns(NULL) - begin, size);
    if (err == BRISK_OK) {
        seen.permille = (uint32_t)((uint64_t)done * ENCODE_RATIO_ONE / (size > 0 ? size : 1));
        err = task->expand ? measure_expanding(bench, task, (codec_bytes){bench->room, done}, &seen)
                           : BRISK_OK;
    }
    if (err == BRISK_OK) {
        err = brisk_value_copy(bench->room, done, bench->alloc, ret);
    }
    if (bench->room_size > ROOM_KEPT) {
        drop_room(bench);
    }
    if (err == BRISK_OK) {
        *measure = seen;
    }
    return err;
}
