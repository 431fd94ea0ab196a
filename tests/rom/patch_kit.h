/*
 * patch_kit.h -- makes patches and applies them, for the tests of the patch formats.
 *
 * Encoders are written from the formats' descriptions and share no code with the readers.  They
 * make legal patches with every feature, not small ones.
 */
#ifndef BRISK_TESTS_ROM_PATCH_KIT_H
#define BRISK_TESTS_ROM_PATCH_KIT_H

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <brisk/arena.h>
#include <brisk/file.h>

#include "base/cleanup.h"
#include "support/check.h"
#include "support/fault_alloc.h"
#include "workload/rom/patch.h"

BRISK_DEFINE_CLEANUP(rom_output, rom_output_destroy)
BRISK_DEFINE_CLEANUP(brisk_arena, brisk_arena_destroy)

/* --- growing bytes ---------------------------------------------------------------------------- */

typedef struct kit_bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
} kit_bytes;

static inline void kit_free(kit_bytes *bytes)
{
    free(bytes->data);
    *bytes = (kit_bytes){0};
}

static inline void kit_bytes_cleanup(kit_bytes *bytes)
{
    kit_free(bytes);
}

#define KIT_BYTES __attribute__((cleanup(kit_bytes_cleanup))) kit_bytes

static inline void kit_add(kit_bytes *bytes, const void *data, size_t size)
{
    if (size == 0) {
        return;
    }
    if (bytes->size + size > bytes->capacity) {
        bytes->capacity = (bytes->size + size) * 2;
        bytes->data = realloc(bytes->data, bytes->capacity);
        assert_non_null(bytes->data);
    }
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

static inline void kit_byte(kit_bytes *bytes, uint64_t value)
{
    uint8_t byte = (uint8_t)(value & 0xff);
    kit_add(bytes, &byte, 1);
}

static inline void kit_be(kit_bytes *bytes, uint64_t value, int count)
{
    while (count-- > 0) {
        kit_byte(bytes, value >> (8 * count));
    }
}

static inline void kit_le32(kit_bytes *bytes, uint64_t value)
{
    for (int i = 0; i < 4; i++) {
        kit_byte(bytes, value >> (8 * i));
    }
}

static inline void kit_text(kit_bytes *bytes, const char *text)
{
    kit_add(bytes, text, strlen(text));
}

/* As byuu's description has it. */
static inline void kit_varint(kit_bytes *bytes, uint64_t value)
{
    for (;;) {
        uint64_t low = value & 0x7f;
        value >>= 7;
        if (value == 0) {
            kit_byte(bytes, 0x80 | low);
            return;
        }
        kit_byte(bytes, low);
        value--;
    }
}

static inline void kit_signed(kit_bytes *bytes, int64_t value)
{
    uint64_t size = value < 0 ? (uint64_t)-value : (uint64_t)value;
    kit_varint(bytes, size << 1 | (value < 0 ? 1 : 0));
}

/* CRC32 bit by bit: an oracle for the library's. */
static inline uint32_t kit_crc32(const uint8_t *data, size_t size)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 1) != 0 ? crc >> 1 ^ UINT32_C(0xedb88320) : crc >> 1;
        }
    }
    return ~crc;
}

static inline void kit_random(kit_bytes *bytes, size_t size, uint64_t *state)
{
    for (size_t i = 0; i < size; i++) {
        kit_byte(bytes, check_random(state));
    }
}

/* --- encoders ----------------------------------------------------------------------------------- */

static inline void kit_ips_begin(kit_bytes *patch)
{
    kit_text(patch, "PATCH");
}

static inline void kit_ips_record(kit_bytes *patch, uint64_t offset, const void *data, size_t size)
{
    kit_be(patch, offset, 3);
    kit_be(patch, size, 2);
    kit_add(patch, data, size);
}

static inline void kit_ips_fill(kit_bytes *patch, uint64_t offset, size_t count, uint8_t value)
{
    kit_be(patch, offset, 3);
    kit_be(patch, 0, 2);
    kit_be(patch, count, 2);
    kit_byte(patch, value);
}

static inline void kit_ips_end(kit_bytes *patch)
{
    kit_text(patch, "EOF");
}

/* Source and CRCs behind a UPS or BPS patch. */
static inline void kit_crcs(kit_bytes *patch, const kit_bytes *source, const kit_bytes *target)
{
    kit_le32(patch, kit_crc32(source->data, source->size));
    kit_le32(patch, kit_crc32(target->data, target->size));
    kit_le32(patch, kit_crc32(patch->data, patch->size));
}

static inline uint8_t kit_at(const kit_bytes *bytes, size_t at)
{
    return at < bytes->size ? bytes->data[at] : 0;
}

static inline void kit_ips(kit_bytes *patch, const kit_bytes *source, const kit_bytes *target)
{
    kit_ips_begin(patch);
    for (size_t at = 0; at < target->size;) {
        if (at < source->size && source->data[at] == target->data[at]) {
            at++;
            continue;
        }
        size_t start = at == 0x454f46 ? at - 1 : at; /* never an end mark as offset */
        size_t end = at + 1;
        while (end < target->size && end - start < 0xffff &&
               (end >= source->size || source->data[end] != target->data[end])) {
            end++;
        }
        size_t same = start;
        while (same < end && target->data[same] == target->data[start]) {
            same++;
        }
        if (same == end && end - start > 3) {
            kit_ips_fill(patch, start, end - start, target->data[start]);
        } else {
            kit_ips_record(patch, start, target->data + start, end - start);
        }
        at = end;
    }
    kit_ips_end(patch);
    if (target->size < source->size) {
        kit_be(patch, target->size, 3);
    }
}

static inline void kit_ups(kit_bytes *patch, const kit_bytes *source, const kit_bytes *target)
{
    kit_text(patch, "UPS1");
    kit_varint(patch, source->size);
    kit_varint(patch, target->size);
    size_t size = source->size > target->size ? source->size : target->size;
    size_t last = 0;
    for (size_t at = 0; at < size; at++) {
        if (kit_at(source, at) == kit_at(target, at)) {
            continue;
        }
        kit_varint(patch, at - last);
        while (at < size && kit_at(source, at) != kit_at(target, at)) {
            kit_byte(patch, kit_at(source, at) ^ kit_at(target, at));
            at++;
        }
        kit_byte(patch, 0);
        last = at + 1;
    }
    kit_crcs(patch, source, target);
}

typedef struct kit_bps {
    kit_bytes *patch;
    int64_t source_cursor;
    int64_t target_cursor;
} kit_bps;

static inline kit_bps kit_bps_begin(kit_bytes *patch, size_t source_size, size_t target_size,
                                    const char *metadata)
{
    kit_text(patch, "BPS1");
    kit_varint(patch, source_size);
    kit_varint(patch, target_size);
    kit_varint(patch, strlen(metadata));
    kit_text(patch, metadata);
    return (kit_bps){.patch = patch};
}

static inline void kit_bps_action(kit_bps *bps, unsigned kind, size_t length)
{
    kit_varint(bps->patch, (uint64_t)(length - 1) << 2 | kind);
}

static inline void kit_bps_literal(kit_bps *bps, const void *data, size_t size)
{
    kit_bps_action(bps, 1, size);
    kit_add(bps->patch, data, size);
}

static inline void kit_bps_copy(kit_bps *bps, unsigned kind, size_t from, size_t length)
{
    int64_t *cursor = kind == 2 ? &bps->source_cursor : &bps->target_cursor;
    kit_bps_action(bps, kind, length);
    kit_signed(bps->patch, (int64_t)from - *cursor);
    *cursor = (int64_t)(from + length);
}

/* How many bytes agree from a and b on. */
static inline size_t kit_match(const kit_bytes *x, size_t a, const kit_bytes *y, size_t b)
{
    size_t length = 0;
    while (a + length < x->size && b + length < y->size &&
           x->data[a + length] == y->data[b + length]) {
        length++;
    }
    return length;
}

/* Greedy, with candidates drawn at random; uses every kind of action. */
static inline void kit_bps_make(kit_bytes *patch, const kit_bytes *source, const kit_bytes *target,
                                uint64_t *state)
{
    kit_bps bps = kit_bps_begin(patch, source->size, target->size, "<note/>");
    size_t literal = 0; /* bytes before `at` that are not yet written */
    for (size_t at = 0; at < target->size;) {
        size_t best = kit_match(source, at, target, at);
        unsigned kind = 0;
        size_t from = at;
        for (int attempt = 0; attempt < 24; attempt++) {
            bool in_source = attempt % 2 == 0;
            size_t room = in_source ? source->size : at;
            if (room == 0) {
                continue;
            }
            size_t candidate = attempt % 3 == 0
                                   ? room - 1 - check_random(state) % (room < 8 ? room : 8)
                                   : check_random(state) % room;
            size_t length = kit_match(in_source ? source : target, candidate, target, at);
            if (length > best) {
                best = length;
                kind = in_source ? 2 : 3;
                from = candidate;
            }
        }
        if (best < 3) {
            at++;
            literal++;
            continue;
        }
        if (literal != 0) {
            kit_bps_literal(&bps, target->data + at - literal, literal);
            literal = 0;
        }
        if (kind == 0) {
            kit_bps_action(&bps, 0, best);
        } else {
            kit_bps_copy(&bps, kind, from, best);
        }
        at += best;
    }
    if (literal != 0) {
        kit_bps_literal(&bps, target->data + target->size - literal, literal);
    }
    kit_crcs(patch, source, target);
}

/* --- applying ----------------------------------------------------------------------------------- */

static inline rom_bytes kit_view(const char *name, const kit_bytes *bytes)
{
    return (rom_bytes){.name = name,
                       .data = bytes->data != NULL ? bytes->data : (const uint8_t *)"",
                       .size = bytes->size};
}

typedef struct kit_run {
    uint32_t copier_bytes;
    rom_fit_opts fit;
    const brisk_alloc *alloc;
    size_t buffer_bytes; /* small ones exercise the staging buffer */
} kit_run;

/* What fd holds. */
static inline void kit_read_fd(int fd, kit_bytes *ret)
{
    kit_free(ret);
    uint8_t block[65536];
    for (ssize_t part; (part = pread(fd, block, sizeof block, (off_t)ret->size)) > 0;) {
        kit_add(ret, block, (size_t)part);
    }
}

static inline brisk_err kit_stream(const rom_patch *patch, const rom_source *source,
                                   const rom_fit *fit, const kit_run *run, kit_bytes *ret,
                                   brisk_errinfo *info)
{
    int fd = memfd_create("target", MFD_CLOEXEC);
    assert_true(fd >= 0);
    rom_output_opts opts = {.name = "target",
                            .size = fit->target_size,
                            .skip =
                                source->copier_bytes < fit->target_size ? source->copier_bytes : 0,
                            .sums = true,
                            .buffer_bytes = run->buffer_bytes,
                            .alloc = run->alloc};
    rom_output *output = NULL;
    brisk_err err = rom_output_create(fd, &opts, &output, info);
    if (err == BRISK_OK) {
        err = rom_patch_apply(patch, source, fit, output, info);
    }
    if (err == BRISK_OK) {
        kit_read_fd(fd, ret);
        rom_output_result result;
        CHECK_OK(rom_output_finish(output, &result, info));
        brisk_hash128 hash = brisk_hash128_of(ret->data, ret->size, 0);
        CHECK(memcmp(&hash, &result.content, sizeof hash) == 0);
        CHECK_U64(result.file_crc32, ==, kit_crc32(ret->data, ret->size));
        CHECK_U64(ret->size, ==, fit->target_size);
    }
    rom_output_destroy(output);
    (void)close(fd);
    return err;
}

/* The same target through a list of writes; also checks that the list says no more than it must. */
static inline brisk_err kit_list(const rom_patch *patch, const rom_source *source,
                                 const rom_fit *fit, const kit_run *run, kit_bytes *ret,
                                 brisk_errinfo *info)
{
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    brisk_err err = brisk_arena_create(&(brisk_arena_opts){.alloc = run->alloc}, &arena);
    if (err != BRISK_OK) {
        return err;
    }
    rom_writes list = {0};
    rom_writes_sink sink = {.list = &list, .arena = arena, .owner = 7};
    err = rom_patch_writes(patch, source, fit, &sink, info);
    if (err != BRISK_OK) {
        return err;
    }
    CHECK(rom_writes_is_disjoint(&list));
    kit_free(ret);
    rom_bytes old = source->file;
    kit_add(ret, old.data, old.size < fit->target_size ? old.size : fit->target_size);
    while (ret->size < fit->target_size) {
        kit_byte(ret, 0);
    }
    for (size_t i = 0; i < list.count; i++) {
        const rom_write *write = &list.items[i];
        uint64_t at = fit->skip + write->offset;
        CHECK_U64(write->owner, ==, 7);
        CHECK_U64(at + write->size, <=, fit->target_size);
        for (uint32_t j = 0; patch->format != ROM_PATCH_IPS && j < write->size; j++) {
            CHECK(at + j >= old.size || old.data[at + j] != write->bytes[j]);
        }
        memcpy(ret->data + at, write->bytes, write->size);
    }
    return BRISK_OK;
}

/* Open, fit and apply in both ways, which must agree. */
static inline brisk_err kit_apply(const kit_bytes *patch_bytes, const kit_bytes *source_bytes,
                                  const kit_run *options, kit_bytes *ret, brisk_errinfo *info)
{
    kit_run run = options != NULL ? *options : (kit_run){0};
    rom_bytes file = kit_view("test.patch", patch_bytes);
    rom_source source = {.file = kit_view("test.rom", source_bytes),
                         .copier_bytes = run.copier_bytes};
    rom_patch patch = {0};
    rom_fit fit = {0};
    KIT_BYTES listed = {0};
    brisk_err err = rom_patch_open(&file, run.alloc, &patch, info);
    if (err == BRISK_OK) {
        err = rom_patch_fit(&patch, &source, &run.fit, &fit, info);
    }
    if (err == BRISK_OK) {
        err = kit_stream(&patch, &source, &fit, &run, ret, info);
    }
    if (err == BRISK_OK) {
        err = kit_list(&patch, &source, &fit, &run, &listed, info);
    }
    if (err == BRISK_OK) {
        CHECK_U64(ret->size, ==, listed.size);
        CHECK(ret->size == 0 || memcmp(ret->data, listed.data, ret->size) == 0);
    }
    rom_patch_close(&patch);
    return err;
}

/* Target as it should be, or the test fails with the library's words. */
static inline void kit_expect(const kit_bytes *patch, const kit_bytes *source,
                              const kit_bytes *target, const kit_run *run)
{
    KIT_BYTES made = {0};
    brisk_errinfo info = {0};
    brisk_err err = kit_apply(patch, source, run, &made, &info);
    if (err != BRISK_OK) {
        fail_msg("%s: %s", brisk_err_name(err), info.text);
    }
    CHECK_U64(made.size, ==, target->size);
    CHECK(made.size == 0 || memcmp(made.data, target->data, made.size) == 0);
}

/* It must fail with this code and these words. */
static inline void kit_expect_error(const kit_bytes *patch, const kit_bytes *source,
                                    const kit_run *run, brisk_err code, const char *words)
{
    KIT_BYTES made = {0};
    brisk_errinfo info = {0};
    brisk_err err = kit_apply(patch, source, run, &made, &info);
    if (err != code || strstr(info.text, words) == NULL) {
        fail_msg("%s: \"%s\" instead of %s: \"%s\"", brisk_err_name(err), info.text,
                 brisk_err_name(code), words);
    }
}

/* Cut at every byte and with every bit flipped: an error with words, or a bounded result. */
static inline void kit_torture(const kit_bytes *patch, const kit_bytes *source, bool may_succeed)
{
    for (size_t size = 0; size < patch->size; size++) {
        KIT_BYTES cut = {0};
        KIT_BYTES made = {0};
        brisk_errinfo info = {0};
        kit_add(&cut, patch->data, size);
        brisk_err err = kit_apply(&cut, source, NULL, &made, &info);
        CHECK(err != BRISK_OK || may_succeed);
        CHECK(err == BRISK_OK || (info.code == err && info.text[0] != '\0'));
    }
    for (size_t bit = 0; bit < patch->size * 8; bit++) {
        KIT_BYTES flipped = {0};
        KIT_BYTES made = {0};
        brisk_errinfo info = {0};
        kit_add(&flipped, patch->data, patch->size);
        flipped.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        brisk_err err = kit_apply(&flipped, source, NULL, &made, &info);
        CHECK(err != BRISK_OK || may_succeed);
        CHECK(err == BRISK_OK || (info.code == err && info.text[0] != '\0'));
        CHECK_U64(made.size, <=, ROM_IPS_TARGET_MAX);
    }
}

/* Every allocation fails once: NOMEM with words, and everything comes back. */
static inline void kit_starve(const kit_bytes *patch, const kit_bytes *source)
{
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t fail_after = 0;
    for (; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        KIT_BYTES made = {0};
        brisk_errinfo info = {0};
        err = kit_apply(patch, source, &(kit_run){.alloc = &fault.base}, &made, &info);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
    CHECK_U64(fail_after, >, 3);
}

/* A target related to `source`: pieces kept, changed, moved, repeated, filled; any size. */
static inline void kit_mutate(const kit_bytes *source, kit_bytes *target, uint64_t *state)
{
    size_t wanted = check_random(state) % (source->size * 2 + 16);
    while (target->size < wanted) {
        size_t length = 1 + check_random(state) % 97;
        switch (check_random(state) % 5) {
        case 0: kit_random(target, length % 9 + 1, state); break;
        case 1:
            for (size_t i = 0; i < length; i++) {
                kit_byte(target, length);
            }
            break;
        case 2:
            for (size_t i = 0; i < length && target->size != 0; i++) {
                kit_byte(target, target->data[target->size - 1 - (length % target->size) / 4]);
            }
            break;
        default:
            if (source->size != 0) {
                bool stays = check_random(state) % 2 == 0 && target->size < source->size;
                size_t from = stays ? target->size : check_random(state) % source->size;
                size_t left = source->size - from;
                kit_add(target, source->data + from, length < left ? length : left);
            }
            break;
        }
    }
}

#endif /* BRISK_TESTS_ROM_PATCH_KIT_H */
