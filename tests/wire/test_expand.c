/*
 * test_expand.c -- what others compress comes out whole; lies, bombs and cut bytes do not.
 */
#include "wire/expand.h"

#include <brotli/encode.h>
#include <libdeflate.h>
#include <string.h>
#include <zstd.h>

#include "support/check.h"
#include "support/fault_alloc.h"

enum { TEXT_MAX = 300000, PACKED_MAX = 400000 };

static unsigned char text[TEXT_MAX];
static unsigned char packed[PACKED_MAX];

static void make_text(uint64_t seed)
{
    for (size_t i = 0; i < TEXT_MAX; i++) {
        static const char words[] = "{\"name\":\"expand\",\"dist\":{\"integrity\":\"sha512-\"}},";
        text[i] = (unsigned char)words[i % (sizeof words - 1)];
        if (i % 50 > 40) {
            text[i] = (unsigned char)(' ' + check_random(&seed) % 90);
        }
    }
}

static size_t deflate_as(codec_id id, bool raw, size_t size, unsigned char *to)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
    size_t done = raw                ? libdeflate_deflate_compress(c, text, size, to, PACKED_MAX)
                  : id == CODEC_GZIP ? libdeflate_gzip_compress(c, text, size, to, PACKED_MAX)
                                     : libdeflate_zlib_compress(c, text, size, to, PACKED_MAX);
    libdeflate_free_compressor(c);
    CHECK(done > 0);
    return done;
}

/* zstd as a server streams it: no size in the frame. */
static size_t zstd_stream(size_t size, unsigned char *to)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_inBuffer in = {text, size, 0};
    ZSTD_outBuffer out = {to, PACKED_MAX, 0};
    while (in.pos < in.size) {
        CHECK(!ZSTD_isError(ZSTD_compressStream2(c, &out, &in, ZSTD_e_flush)));
    }
    CHECK_U64(ZSTD_compressStream2(c, &out, &in, ZSTD_e_end), ==, 0);
    (void)ZSTD_freeCCtx(c);
    return out.pos;
}

static size_t pack(codec_id id, bool other, size_t size, unsigned char *to)
{
    size_t done = PACKED_MAX;
    switch ((int)id) {
    case CODEC_PLAIN: memcpy(to, text, size); return size;
    case CODEC_BROTLI:
        CHECK(BrotliEncoderCompress(5, 22, BROTLI_MODE_TEXT, size, text, &done, to));
        return done;
    case CODEC_ZSTD:
        done = other ? zstd_stream(size, to) : ZSTD_compress(to, PACKED_MAX, text, size, 3);
        CHECK(!ZSTD_isError(done));
        return done;
    default: return deflate_as(id, other, size, to);
    }
}

typedef struct form {
    codec_id id;
    bool other; /* raw deflate, zstd without a size */
} form;

static const form forms[] = {{CODEC_PLAIN, false},  {CODEC_GZIP, false},   {CODEC_DEFLATE, false},
                             {CODEC_DEFLATE, true}, {CODEC_BROTLI, false}, {CODEC_ZSTD, false},
                             {CODEC_ZSTD, true}};
enum { FORMS = sizeof forms / sizeof forms[0] };

static void test_all_sizes_and_codecs(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 16384, 16385, 65536, TEXT_MAX};
    expander *e = NULL;
    expand_room room = {.alloc = brisk_alloc_libc()};
    CHECK_OK(expander_create(brisk_alloc_libc(), &e));
    for (size_t f = 0; f < FORMS; f++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            size_t size = sizes[i];
            codec_bytes src = {packed, pack(forms[f].id, forms[f].other, size, packed)};
            CHECK_OK(expander_run(e, forms[f].id, src, size, &room)); /* the limit itself is good */
            CHECK_U64(room.size, ==, size);
            CHECK(memcmp(room.data, text, size) == 0);
            for (int t = 0; t < EXPAND_TAIL; t++) {
                CHECK(room.data[size + (size_t)t] == 0);
            }
            if (size > 0) {
                CHECK(expander_run(e, forms[f].id, src, size - 1, &room) == BRISK_ERR_LIMIT);
                CHECK_U64(room.size, ==, 0);
            }
            expand_room_deinit(&room);
        }
    }
    expander_destroy(e);
}

static void test_members_and_frames_follow_each_other(void **state)
{
    (void)state;
    static const form several[] = {{CODEC_GZIP, false}, {CODEC_ZSTD, false}, {CODEC_ZSTD, true}};
    expander *e = NULL;
    expand_room room = {.alloc = brisk_alloc_libc()};
    CHECK_OK(expander_create(brisk_alloc_libc(), &e));
    for (size_t f = 0; f < 3; f++) {
        size_t first = pack(several[f].id, several[f].other, 100000, packed);
        size_t all = first + pack(several[f].id, several[f].other, 5, packed + first);
        CHECK_OK(expander_run(e, several[f].id, (codec_bytes){packed, all}, 1 << 20, &room));
        CHECK_U64(room.size, ==, 100005);
        CHECK(memcmp(room.data, text, 100000) == 0 && memcmp(room.data + 100000, text, 5) == 0);
        CHECK(expander_run(e, several[f].id, (codec_bytes){packed, all}, 100004, &room) ==
              BRISK_ERR_LIMIT);
        expand_room_deinit(&room);
    }
    expander_destroy(e);
}

static void test_every_cut_and_every_flip_is_found_or_harmless(void **state)
{
    (void)state;
    enum { SIZE = 600 };
    expander *e = NULL;
    expand_room room = {.alloc = brisk_alloc_libc()};
    CHECK_OK(expander_create(brisk_alloc_libc(), &e));
    for (size_t f = 1; f < FORMS; f++) {
        codec_id id = forms[f].id;
        size_t size = pack(id, forms[f].other, SIZE, packed);
        for (size_t cut = 0; cut < size; cut++) {
            CHECK(expander_run(e, id, (codec_bytes){packed, cut}, 1 << 20, &room) != BRISK_OK);
        }
        packed[size] = 'x';
        CHECK(expander_run(e, id, (codec_bytes){packed, size + 1}, 1 << 20, &room) ==
              BRISK_ERR_CORRUPT);
        for (size_t at = 0; at < size; at++) {
            packed[at] ^= 0x55;
            brisk_err err = expander_run(e, id, (codec_bytes){packed, size}, 4096, &room);
            CHECK(err == BRISK_OK || err == BRISK_ERR_CORRUPT || err == BRISK_ERR_LIMIT);
            CHECK(err != BRISK_OK || room.size <= 4096);
            packed[at] ^= 0x55;
        }
        CHECK_OK(expander_run(e, id, (codec_bytes){packed, size}, SIZE, &room));
    }
    expand_room_deinit(&room);
    expander_destroy(e);
}

/* A megabyte of nothing, many times over; and a trailer that says four gigabytes. */
static void test_bombs_take_no_memory(void **state)
{
    (void)state;
    static const form bombs[] = {
        {CODEC_GZIP, false}, {CODEC_DEFLATE, false}, {CODEC_BROTLI, false}, {CODEC_ZSTD, true}};
    fault_alloc fault;
    fault_alloc_init(&fault, UINT64_MAX);
    expander *e = NULL;
    expand_room room = {.alloc = &fault.base};
    CHECK_OK(expander_create(brisk_alloc_libc(), &e));
    memset(text, 0, TEXT_MAX);
    for (size_t f = 0; f < 4; f++) {
        size_t size = pack(bombs[f].id, bombs[f].other, TEXT_MAX, packed);
        CHECK(size < 2000);
        CHECK(expander_run(e, bombs[f].id, (codec_bytes){packed, size}, 50000, &room) ==
              BRISK_ERR_LIMIT);
        CHECK_U64(room.capacity, <=, 50000);
        expand_room_deinit(&room);
    }
    size_t size = pack(CODEC_GZIP, false, 1000, packed);
    memset(packed + size - 4, 0xff, 4);
    CHECK(expander_run(e, CODEC_GZIP, (codec_bytes){packed, size}, SIZE_MAX, &room) ==
          BRISK_ERR_CORRUPT);
    CHECK_U64(room.capacity, <=, size * 1032);
    expand_room_deinit(&room);
    size = ZSTD_compress(packed, PACKED_MAX, text, 1000, 1);
    CHECK(expander_run(e, CODEC_ZSTD, (codec_bytes){packed, size}, 999, &room) == BRISK_ERR_LIMIT);
    CHECK(expander_run(e, CODEC_LZ4, (codec_bytes){packed, size}, 999, &room) ==
          BRISK_ERR_UNSUPPORTED);
    CHECK_U64(fault.bytes_held, ==, 0);
    expander_destroy(e);
    make_text(1);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    for (size_t f = 0; f < FORMS; f++) {
        size_t size = pack(forms[f].id, forms[f].other, TEXT_MAX, packed);
        brisk_err err = BRISK_ERR_NOMEM;
        for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
            fault_alloc fault;
            fault_alloc_init(&fault, fail_after);
            expander *e = NULL;
            expand_room room = {.alloc = &fault.base};
            err = expander_create(&fault.base, &e);
            if (err == BRISK_OK) {
                err = expander_run(e, forms[f].id, (codec_bytes){packed, size}, TEXT_MAX, &room);
                CHECK(err != BRISK_OK || room.size == TEXT_MAX);
                expand_room_deinit(&room);
                expander_destroy(e);
            }
            CHECK_U64(fault.bytes_held, ==, 0);
        }
        CHECK(err == BRISK_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_sizes_and_codecs),
        cmocka_unit_test(test_members_and_frames_follow_each_other),
        cmocka_unit_test(test_every_cut_and_every_flip_is_found_or_harmless),
        cmocka_unit_test(test_bombs_take_no_memory),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    make_text(check_seed());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
