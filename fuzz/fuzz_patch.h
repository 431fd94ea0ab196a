/*
 * fuzz_patch.h -- what the targets ips, ups and bps share.
 *
 * Input: flags:1, source size:2, patch.  Flags: 1 puts right CRC32s into a UPS or BPS patch, so
 * that its insides are reached; 2 forces another source; 4 says that 512 bytes are a copier header.
 * Oracle: the stream and the list of writes make the same target, of the size that fit told; a
 * refusal has words; every digest is that of the bytes.
 */
#ifndef BRISK_FUZZ_PATCH_H
#define BRISK_FUZZ_PATCH_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <brisk/file.h>

#include "base/assert.h"
#include "workload/rom/patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    FUZZ_HEAD_BYTES = 3,
    FUZZ_RIGHT_CRCS = 1,
    FUZZ_FORCE = 2,
    FUZZ_COPIER = 4,
    FUZZ_TARGET_MAX = 1 << 20, /* larger ones are only slow */
    FUZZ_BUFFER_BYTES = 300,
};

static void fuzz_put_le32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint8_t *fuzz_stream(const rom_patch *patch, const rom_source *source, const rom_fit *fit)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    BRISK_ASSERT(fd >= 0);
    rom_output_opts opts = {.name = "target",
                            .size = fit->target_size,
                            .skip = fit->skip,
                            .sums = true,
                            .buffer_bytes = FUZZ_BUFFER_BYTES};
    rom_output *output = NULL;
    brisk_errinfo info = {0};
    uint8_t *target = NULL;
    BRISK_ASSERT(rom_output_create(fd, &opts, &output, &info) == BRISK_OK);
    if (rom_patch_apply(patch, source, fit, output, &info) == BRISK_OK) {
        rom_output_result result;
        BRISK_ASSERT(rom_output_finish(output, &result, &info) == BRISK_OK);
        target = malloc(fit->target_size + 1);
        BRISK_ASSERT(target != NULL);
        BRISK_ASSERT(brisk_file_pread_all(fd, target, fit->target_size, 0) == BRISK_OK);
        BRISK_ASSERT(rom_crc32(0, target, fit->target_size) == result.file_crc32);
        brisk_hash128 hash = brisk_hash128_of(target, fit->target_size, 0);
        BRISK_ASSERT(memcmp(&hash, &result.content, sizeof hash) == 0);
    } else {
        BRISK_ASSERT(info.text[0] != '\0');
    }
    rom_output_destroy(output);
    (void)close(fd);
    return target;
}

/* The target again, from the list of writes; `target` NULL: it must not be made either. */
static void fuzz_list(const rom_patch *patch, const rom_source *source, const rom_fit *fit,
                      const uint8_t *target)
{
    brisk_arena *arena = NULL;
    BRISK_ASSERT(brisk_arena_create(NULL, &arena) == BRISK_OK);
    rom_writes list = {0};
    rom_writes_sink sink = {.list = &list, .arena = arena};
    brisk_errinfo info = {0};
    brisk_err err = rom_patch_writes(patch, source, fit, &sink, &info);
    if (err == BRISK_OK && target != NULL) {
        uint8_t *image = calloc(1, fit->target_size + 1);
        BRISK_ASSERT(image != NULL && rom_writes_is_disjoint(&list));
        size_t kept = source->file.size < fit->target_size ? source->file.size : fit->target_size;
        memcpy(image, source->file.data, kept);
        rom_writes_apply(&list, image + fit->skip, fit->target_size - fit->skip);
        BRISK_ASSERT(memcmp(image, target, fit->target_size) == 0);
        free(image);
    }
    BRISK_ASSERT(err == BRISK_OK || (target == NULL && info.text[0] != '\0'));
    brisk_arena_destroy(arena);
}

static void fuzz_patch(const char *magic, const uint8_t *data, size_t size)
{
    if (size < FUZZ_HEAD_BYTES) {
        return;
    }
    uint8_t flags = data[0];
    size_t source_size = rom_le16(data + 1);
    size_t patch_size = size - FUZZ_HEAD_BYTES;
    uint8_t *bytes = malloc(patch_size + 1);
    uint8_t *source_bytes = malloc(source_size + 1);
    BRISK_ASSERT(bytes != NULL && source_bytes != NULL);
    memcpy(bytes, data + FUZZ_HEAD_BYTES, patch_size);
    memcpy(bytes, magic, strlen(magic) < patch_size ? strlen(magic) : patch_size);
    for (size_t i = 0; i < source_size; i++) {
        source_bytes[i] = (uint8_t)(i * 7 + (i >> 8));
    }
    rom_source source = {
        .file = {.name = "source", .data = source_bytes, .size = source_size},
        .copier_bytes = (flags & FUZZ_COPIER) != 0 && source_size >= 512 ? ROM_COPIER_BYTES : 0,
    };
    if ((flags & FUZZ_RIGHT_CRCS) != 0 && patch_size >= 12) {
        rom_digests crcs = rom_crcs(&source.file, source.copier_bytes);
        fuzz_put_le32(bytes + patch_size - 12, crcs.rom_crc32);
        fuzz_put_le32(bytes + patch_size - 4, rom_crc32(0, bytes, patch_size - 4));
    }
    rom_bytes file = {.name = "patch", .data = bytes, .size = patch_size};
    rom_patch patch = {0};
    rom_fit fit;
    brisk_errinfo info = {0};
    rom_fit_opts opts = {.force = (flags & FUZZ_FORCE) != 0};
    brisk_err err = rom_patch_open(&file, NULL, &patch, &info);
    if (err == BRISK_OK) {
        err = rom_patch_fit(&patch, &source, &opts, &fit, &info);
    }
    if (err == BRISK_OK && fit.target_size <= FUZZ_TARGET_MAX) {
        uint8_t *target = fuzz_stream(&patch, &source, &fit);
        fuzz_list(&patch, &source, &fit, target);
        free(target);
    }
    BRISK_ASSERT(err == BRISK_OK || (info.code == err && info.text[0] != '\0'));
    rom_patch_close(&patch);
    free(source_bytes);
    free(bytes);
}

#endif /* BRISK_FUZZ_PATCH_H */
