/*
 * stream.c -- answers that are compressed while they come: gzip, zstd or brotli, with flushes.
 *
 * Nothing is known of the body, so the way is that for text of 64 KiB over this connection, among
 * those that keep up with a stream: levels 1 and 3 of zstd, 1 and 6 of zlib, 1 and 5 of brotli.
 * Windows are 128 KiB: a connection that streams costs some hundreds of KiB, not megabytes.
 *
 * gzip is zlib's here, because libdeflate knows whole bodies only.  ISA-L is twice as fast at
 * zlib's level 1 and its state is four times as large; who takes a stream as gzip is an old client,
 * and zlib is there wherever libcurl is.
 *
 * Brotli's encoder ends the process when its memory callback fails; so its callback takes memory
 * from libc's allocator, as everything that cannot be told does.
 *
 * Sources: RFC 1952, RFC 7932, RFC 8878; zlib, zstd, brotli (libraries).
 */
#define ZSTD_STATIC_LINKING_ONLY
#include <brotli/encode.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/assert.h"
#include "daemon/encode/internal.h"
#include "daemon/http/bandwidth.h"
#include "daemon/server.h"

enum {
    OUT_BYTES = 16384,
    WINDOW_LOG = 17,
    GZIP_WINDOW_BITS = 15 + 16, /* 16: with gzip's head */
    GZIP_MEMORY = 8,
    TYPICAL_BYTES = 65536,
    TYPICAL_PERMILLE = 400,
    SPACE_ALIGN = 64,
    BLOCK_HEAD = 16,
};

struct encode_stream {
    const brisk_alloc *alloc;
    encode *self;
    encode_coding coding;
    z_stream gzip;
    BrotliEncoderState *brotli;
    ZSTD_CCtx *zstd;
    void *space; /* of zstd */
    size_t space_size;
    uint64_t bytes_in;
    uint64_t bytes_out;
    unsigned char out[OUT_BYTES];
};

/* --- contexts --------------------------------------------------------------------------------- */

/* zlib gives no sizes back: each block begins with its own. */
static void *gzip_acquire(void *ctx, unsigned int items, unsigned int size)
{
    const brisk_alloc *alloc = ctx;
    size_t bytes = BLOCK_HEAD + (size_t)items * size;
    unsigned char *block = alloc->acquire(alloc->ctx, bytes, BLOCK_HEAD);
    if (block == NULL) {
        return NULL;
    }
    memcpy(block, &bytes, sizeof bytes);
    return block + BLOCK_HEAD;
}

static void gzip_release(void *ctx, void *address)
{
    const brisk_alloc *alloc = ctx;
    unsigned char *block = (unsigned char *)address - BLOCK_HEAD;
    size_t bytes;
    memcpy(&bytes, block, sizeof bytes);
    alloc->release(alloc->ctx, block, bytes, BLOCK_HEAD);
}

static bool open_gzip(encode_stream *stream, int level)
{
    stream->gzip.zalloc = gzip_acquire;
    stream->gzip.zfree = gzip_release;
    union { /* zlib's callbacks do not change it */
        const brisk_alloc *from;
        void *to;
    } ctx = {stream->alloc};
    stream->gzip.opaque = ctx.to;
    return deflateInit2(&stream->gzip, level, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY,
                        Z_DEFAULT_STRATEGY) == Z_OK;
}

static bool open_brotli(encode_stream *stream, int level)
{
    stream->brotli = BrotliEncoderCreateInstance(NULL, NULL, NULL);
    return stream->brotli != NULL &&
           BrotliEncoderSetParameter(stream->brotli, BROTLI_PARAM_QUALITY, (uint32_t)level) &&
           BrotliEncoderSetParameter(stream->brotli, BROTLI_PARAM_LGWIN, WINDOW_LOG);
}

static bool open_zstd(encode_stream *stream, int level)
{
    ZSTD_compressionParameters params = ZSTD_getCParams(level, 1 << WINDOW_LOG, 0);
    stream->space_size = ZSTD_estimateCStreamSize_usingCParams(params);
    stream->space = stream->alloc->acquire(stream->alloc->ctx, stream->space_size, SPACE_ALIGN);
    if (stream->space == NULL) {
        return false;
    }
    stream->zstd = ZSTD_initStaticCCtx(stream->space, stream->space_size);
    size_t failed = 0;
    const struct {
        ZSTD_cParameter name;
        unsigned int value;
    } settings[] = {
        {ZSTD_c_windowLog, params.windowLog},
        {ZSTD_c_chainLog, params.chainLog},
        {ZSTD_c_hashLog, params.hashLog},
        {ZSTD_c_searchLog, params.searchLog},
        {ZSTD_c_minMatch, params.minMatch},
        {ZSTD_c_targetLength, params.targetLength},
        {ZSTD_c_strategy, (unsigned)params.strategy},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        failed |= ZSTD_CCtx_setParameter(stream->zstd, settings[i].name, (int)settings[i].value);
    }
    return !ZSTD_isError(failed);
}

static bool open_coding(encode_stream *stream, encode_method method)
{
    encode_way way = encode_ways[method];
    stream->coding = way.coding;
    return way.coding == ENCODE_GZIP     ? open_gzip(stream, way.level)
           : way.coding == ENCODE_BROTLI ? open_brotli(stream, way.level)
                                         : open_zstd(stream, way.level);
}

void encode_stream_destroy(encode_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    (void)deflateEnd(&stream->gzip); /* one that was not begun is accepted */
    BrotliEncoderDestroyInstance(stream->brotli);
    if (stream->space != NULL) {
        stream->alloc->release(stream->alloc->ctx, stream->space, stream->space_size, SPACE_ALIGN);
    }
    stream->alloc->release(stream->alloc->ctx, stream, sizeof *stream, _Alignof(encode_stream));
}

/* --- the answer ------------------------------------------------------------------------------- */

/* For text of TYPICAL_BYTES, among what keeps up. */
static encode_method choose(encode *self, exchange *x, uint32_t codings)
{
    static const encode_method ways[] = {ENCODE_PLAIN,   ENCODE_GZIP_1, ENCODE_GZIP_6,
                                         ENCODE_ZSTD_1,  ENCODE_ZSTD_3, ENCODE_BROTLI_1,
                                         ENCODE_BROTLI_5};
    encode_question q = {.size = TYPICAL_BYTES,
                         .probe = {.permille = TYPICAL_PERMILLE, .text = true},
                         .codings = codings,
                         .bps = bandwidth_bps(x)};
    encode_method best = ENCODE_PLAIN;
    double least = -1;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if ((codings & 1u << encode_ways[ways[i]].coding) == 0) {
            continue;
        }
        encode_measure known = encode_estimate(&self->chooser, &q, ways[i]);
        if (encode_ways[ways[i]].coding == ENCODE_GZIP) {
            known.squeeze_ns *= 2; /* zlib beside libdeflate: 1.9 times at level 1, 3.4 at 6 */
        }
        double ns = encode_sum_ns(&known, q.bps, 1);
        if (least < 0 || ns < least) {
            least = ns;
            best = ways[i];
        }
    }
    return best;
}

encode_stream *encode_start(exchange *x, const http_answer *answer)
{
    encode *self = x->worker->server->encode;
    uint32_t codings = encode_accept(encode_joined(x, "accept-encoding"));
    http_answer encoded = *answer;
    encode_stream *stream = NULL;
    encode_method method = ENCODE_PLAIN;
    bool may = encode_may(x, answer);
    if (may) {
        method = choose(self, x, codings & ~(1u << ENCODE_DCZ));
    }
    if (method != ENCODE_PLAIN && x->method != HTTP_HEAD) {
        stream = self->alloc->acquire(self->alloc->ctx, sizeof *stream, _Alignof(encode_stream));
        if (stream != NULL) {
            memset(stream, 0, offsetof(encode_stream, out));
            stream->alloc = self->alloc;
            stream->self = self;
            if (!open_coding(stream, method) ||
                !encode_fields(x, answer, stream->coding, &encoded)) {
                encode_stream_destroy(stream);
                stream = NULL;
                encoded = *answer;
            } else {
                encoded.length = HTTP_LENGTH_UNKNOWN;
            }
        }
    }
    if (may && stream == NULL) {
        http_answer plain;
        encoded = encode_fields(x, answer, ENCODE_IDENTITY, &plain) ? plain : *answer;
    }
    exchange_start(x, &encoded);
    return stream;
}

static bool give(exchange *x, encode_stream *stream, size_t size)
{
    if (size == 0) {
        return true;
    }
    stream->bytes_out += size;
    bandwidth_sent(x, size);
    return exchange_write(x, stream->out, size);
}

typedef enum stream_end {
    STREAM_GOES_ON,
    STREAM_FLUSH,
    STREAM_END,
} stream_end;

/* Each runs its encoder until it has taken everything; they fail only when they are misused. */

static bool run_gzip(exchange *x, encode_stream *stream, const void *data, size_t size,
                     stream_end how)
{
    bool room = true;
    int flush = how == STREAM_END ? Z_FINISH : how == STREAM_FLUSH ? Z_SYNC_FLUSH : Z_NO_FLUSH;
    const unsigned char *from = data;
    do {
        unsigned int part = size < (1u << 30) ? (unsigned int)size : 1u << 30;
        union { /* zlib reads it only */
            const unsigned char *from;
            unsigned char *to;
        } next = {from};
        stream->gzip.next_in = next.to;
        stream->gzip.avail_in = part;
        do {
            stream->gzip.next_out = stream->out;
            stream->gzip.avail_out = OUT_BYTES;
            int result = deflate(&stream->gzip, part == size ? flush : Z_NO_FLUSH);
            BRISK_ASSERT(result != Z_STREAM_ERROR);
            room &= give(x, stream, OUT_BYTES - stream->gzip.avail_out);
        } while (stream->gzip.avail_out == 0);
        from += part;
        size -= part;
    } while (size > 0);
    return room;
}

static bool run_brotli(exchange *x, encode_stream *stream, const void *data, size_t size,
                       stream_end how)
{
    BrotliEncoderOperation operation = how == STREAM_END     ? BROTLI_OPERATION_FINISH
                                       : how == STREAM_FLUSH ? BROTLI_OPERATION_FLUSH
                                                             : BROTLI_OPERATION_PROCESS;
    bool room = true;
    const uint8_t *from = data;
    do {
        uint8_t *to = stream->out;
        size_t left = OUT_BYTES;
        BROTLI_BOOL fine =
            BrotliEncoderCompressStream(stream->brotli, operation, &size, &from, &left, &to, NULL);
        BRISK_ASSERT(fine);
        room &= give(x, stream, OUT_BYTES - left);
    } while (size > 0 || BrotliEncoderHasMoreOutput(stream->brotli));
    return room;
}

static bool run_zstd(exchange *x, encode_stream *stream, const void *data, size_t size,
                     stream_end how)
{
    ZSTD_EndDirective directive = how == STREAM_END     ? ZSTD_e_end
                                  : how == STREAM_FLUSH ? ZSTD_e_flush
                                                        : ZSTD_e_continue;
    ZSTD_inBuffer from = {data, size, 0};
    bool room = true;
    bool more;
    do {
        ZSTD_outBuffer to = {stream->out, OUT_BYTES, 0};
        size_t left = ZSTD_compressStream2(stream->zstd, &to, &from, directive);
        BRISK_ASSERT(!ZSTD_isError(left));
        room &= give(x, stream, to.pos);
        more = directive == ZSTD_e_continue ? from.pos < from.size : left > 0;
    } while (more);
    return room;
}

static bool run(exchange *x, encode_stream *stream, const void *data, size_t size, stream_end how)
{
    stream->bytes_in += size;
    return stream->coding == ENCODE_GZIP     ? run_gzip(x, stream, data, size, how)
           : stream->coding == ENCODE_BROTLI ? run_brotli(x, stream, data, size, how)
                                             : run_zstd(x, stream, data, size, how);
}

bool encode_write(exchange *x, encode_stream *stream, const void *data, size_t size, bool flush)
{
    if (stream == NULL) {
        bandwidth_sent(x, size);
        return exchange_write(x, data, size);
    }
    return run(x, stream, data, size, flush ? STREAM_FLUSH : STREAM_GOES_ON);
}

void encode_finish(exchange *x, encode_stream *stream)
{
    if (stream != NULL) {
        (void)run(x, stream, "", 0, STREAM_END);
        encode *self = stream->self;
        atomic_fetch_add_explicit(&self->made, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&self->bytes_in, stream->bytes_in, memory_order_relaxed);
        atomic_fetch_add_explicit(&self->bytes_out, stream->bytes_out, memory_order_relaxed);
        encode_stream_destroy(stream);
    }
    exchange_finish(x);
}
