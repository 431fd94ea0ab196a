/*
 * fuzz_rom_header.c -- any bytes as a ROM: recognised or not, never more.
 *
 * Input: a page number:1, then bytes, placed so that headers in the middle of a ROM are reached:
 * 64 KiB of filler with the bytes at page * 256, or the bytes alone when the page is 255.
 * Oracle: everything reported lies inside the file; fixing the checksums once is enough; every
 * address text leads back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "workload/rom/address.h"
#include "workload/rom/checksum.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILLER_BYTES = 1 << 16, ALONE = 255, PAGE_BYTES = 256 };

static void check_fixes(uint8_t *bytes, const rom_bytes *file, rom_info *info)
{
    rom_fix fixes[ROM_FIXES_MAX];
    rom_checksums_compute(file, NULL, info);
    uint32_t count = rom_checksum_fixes(file, info, fixes);
    BRISK_ASSERT(count <= ROM_FIXES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        BRISK_ASSERT(fixes[i].offset + fixes[i].size <= file->size);
        memcpy(bytes + fixes[i].offset, fixes[i].new_bytes, fixes[i].size);
    }
    rom_info now;
    rom_detect(file, &now);
    if (now.system == info->system && now.header_offset == info->header_offset &&
        now.copier_bytes == info->copier_bytes) { /* a right checksum can decide a close call */
        rom_checksums_compute(file, NULL, &now);
        BRISK_ASSERT(rom_checksum_fixes(file, &now, fixes) == 0);
    }
}

static void check_addresses(const rom_info *info)
{
    for (uint64_t offset = 0; offset < info->rom_size; offset += 1 + info->rom_size / 64) {
        char text[ROM_ADDRESS_TEXT_MAX];
        rom_offset_to_text(info, offset, text);
        uint64_t back = 0;
        if (text[0] == '$') {
            BRISK_ASSERT(rom_address_to_offset(info, strtoull(text + 1, NULL, 16), &back, NULL) ==
                         BRISK_OK);
            BRISK_ASSERT(back == offset);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    uint8_t page = data[0];
    data++;
    size--;
    size_t at = page == ALONE ? 0 : (size_t)page * PAGE_BYTES;
    size_t total = page == ALONE ? size : at + size > FILLER_BYTES ? at + size : FILLER_BYTES;
    uint8_t *bytes = malloc(total + 1);
    BRISK_ASSERT(bytes != NULL);
    memset(bytes, 0x78, total);
    memcpy(bytes + at, data, size);
    rom_bytes file = {.name = "rom", .data = bytes, .size = total};
    rom_info info;
    rom_detect(&file, &info);
    BRISK_ASSERT(info.copier_bytes + info.rom_size == total);
    BRISK_ASSERT(info.warning_count <= ROM_WARNINGS_MAX);
    BRISK_ASSERT(memchr(info.title, '\0', ROM_TITLE_MAX) != NULL);
    for (uint32_t i = 0; i < info.checksum_count; i++) {
        BRISK_ASSERT(info.checksums[i].offset + info.checksums[i].size <= info.rom_size);
    }
    check_addresses(&info);
    check_fixes(bytes, &file, &info);
    free(bytes);
    return 0;
}
