/*
 * system.c -- recognition behind system.h: signatures first, then the SNES by score.
 *
 * The boot logos of Game Boy and Game Boy Advance are recognised by their CRC32, so that the
 * pictures themselves need not be here.  Signatures come first because they prove; a score only
 * argues.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "workload/rom/checksum.h"
#include "workload/rom/snes.h"
#include "workload/rom/system_internal.h"

enum {
    INES_HEADER_BYTES = 16,
    INES_TRAINER_BYTES = 512,
    INES_EXPONENT_MAX = 28, /* larger than ROM_BYTES_MAX */
    GB_LOGO_AT = 0x104,
    GB_LOGO_BYTES = 48,
    GB_HEADER_END = 0x150,
    GBA_LOGO_AT = 4,
    GBA_LOGO_BYTES = 156,
    GBA_HEADER_END = 0xc0,
};

#define GB_LOGO_CRC32  UINT32_C(0x46195417)
#define GBA_LOGO_CRC32 UINT32_C(0xd0beb55e)

void rom_info_warn(rom_info *info, const char *format, ...)
{
    if (info->warning_count == ROM_WARNINGS_MAX) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(info->warnings[info->warning_count++], ROM_WARNING_TEXT_MAX, format, args);
    va_end(args);
}

void rom_info_set_title(rom_info *info, const uint8_t *text, size_t size)
{
    size_t length = 0;
    for (; length < size && length < ROM_TITLE_MAX - 1 && text[length] != 0; length++) {
        uint8_t c = text[length];
        info->title[length] = c >= 0x20 && c < 0x7f ? (char)c : '?';
    }
    while (length > 0 && info->title[length - 1] == ' ') {
        length--;
    }
    info->title[length] = '\0';
    size_t blanks = strspn(info->title, " ");
    memmove(info->title, info->title + blanks, length - blanks + 1);
}

void rom_info_add_checksum(rom_info *info, const rom_bytes *rom, rom_checksum checksum)
{
    const uint8_t *at = rom->data + checksum.offset;
    checksum.stored = checksum.size == 1 ? *at : checksum.big_endian ? rom_be16(at) : rom_le16(at);
    info->checksums[info->checksum_count++] = checksum;
}

/* --- NES -------------------------------------------------------------------------------------- */

/* NES 2.0: high nibble $F means 2^exponent x an odd multiplier. */
static uint64_t nes_size(uint8_t low, uint8_t high, uint64_t unit)
{
    if (high != 0x0f) {
        return ((uint64_t)high << 8 | low) * unit;
    }
    uint32_t exponent = low >> 2;
    return exponent > INES_EXPONENT_MAX ? UINT64_MAX / 4
                                        : (UINT64_C(1) << exponent) * ((low & 3u) * 2 + 1);
}

static bool detect_nes(const rom_bytes *file, rom_info *info)
{
    const uint8_t *header = file->data;
    if (file->size < INES_HEADER_BYTES || memcmp(header, "NES\x1a", 4) != 0) {
        return false;
    }
    bool is_nes2 = (header[7] & 0x0c) == 0x08;
    uint64_t trainer = (header[6] & 0x04) != 0 ? INES_TRAINER_BYTES : 0;
    uint64_t prg = nes_size(header[4], is_nes2 ? header[9] & 0x0f : 0, 16384);
    uint64_t chr = nes_size(header[5], is_nes2 ? header[9] >> 4 : 0, 8192);
    info->system = ROM_SYSTEM_NES;
    info->mapping = ROM_MAPPING_INES;
    info->map_mode = (uint32_t)(header[6] >> 4) | (header[7] & 0xf0u);
    info->declared_size = INES_HEADER_BYTES + trainer + prg + chr;
    info->prg_offset = INES_HEADER_BYTES + trainer;
    uint64_t room = file->size > info->prg_offset ? file->size - info->prg_offset : 0;
    info->prg_size = prg < room ? prg : room;
    if (info->declared_size != file->size) {
        rom_info_warn(info, "the header declares %llu bytes, the file has %llu",
                      (unsigned long long)info->declared_size, (unsigned long long)file->size);
    }
    return true;
}

/* --- Game Boy --------------------------------------------------------------------------------- */

/* The check that the console itself makes. */
static bool gb_header_adds_up(const uint8_t *data)
{
    uint8_t sum = 0;
    for (size_t at = 0x134; at < 0x14d; at++) {
        sum = (uint8_t)(sum - data[at] - 1);
    }
    return sum == data[0x14d];
}

static bool gb_begins_with_jump(const uint8_t *data)
{
    return data[0x100] == 0xc3 || (data[0x100] == 0x00 && data[0x101] == 0xc3);
}

static bool detect_gb(const rom_bytes *file, rom_info *info)
{
    const uint8_t *data = file->data;
    if (file->size < GB_HEADER_END) {
        return false;
    }
    bool has_logo = rom_crc32(0, data + GB_LOGO_AT, GB_LOGO_BYTES) == GB_LOGO_CRC32;
    if (!has_logo && !(gb_header_adds_up(data) && gb_begins_with_jump(data))) {
        return false;
    }
    info->system = ROM_SYSTEM_GB;
    info->mapping = ROM_MAPPING_GB;
    info->map_mode = data[0x147];
    info->header_offset = 0x100;
    rom_info_set_title(info, data + 0x134, (data[0x143] & 0x80) != 0 ? 15 : 16);
    if (data[0x148] <= 8) {
        info->declared_size = UINT64_C(32768) << data[0x148];
    }
    rom_info_add_checksum(info, file,
                          (rom_checksum){.name = "header checksum", .offset = 0x14d, .size = 1});
    rom_info_add_checksum(
        info, file,
        (rom_checksum){.name = "global checksum", .offset = 0x14e, .size = 2, .big_endian = true});
    if (!has_logo) {
        rom_info_warn(info, "the boot logo is damaged: the console will not start this ROM");
    }
    if (info->declared_size != 0 && info->declared_size != file->size) {
        rom_info_warn(info, "the header declares %llu bytes, the file has %llu",
                      (unsigned long long)info->declared_size, (unsigned long long)file->size);
    }
    return true;
}

/* --- Game Boy Advance -------------------------------------------------------------------------- */

static bool detect_gba(const rom_bytes *file, rom_info *info)
{
    const uint8_t *data = file->data;
    if (file->size < GBA_HEADER_END) {
        return false;
    }
    uint8_t sum = 0x19;
    for (size_t at = 0xa0; at < 0xbd; at++) {
        sum = (uint8_t)(sum + data[at]);
    }
    bool adds_up = (uint8_t)(sum + data[0xbd]) == 0 && data[0xb2] == 0x96;
    if (!adds_up && rom_crc32(0, data + GBA_LOGO_AT, GBA_LOGO_BYTES) != GBA_LOGO_CRC32) {
        return false;
    }
    info->system = ROM_SYSTEM_GBA;
    info->mapping = ROM_MAPPING_GBA;
    rom_info_set_title(info, data + 0xa0, 12);
    rom_info_add_checksum(info, file,
                          (rom_checksum){.name = "header checksum", .offset = 0xbd, .size = 1});
    return true;
}

void rom_detect(const rom_bytes *file, rom_info *ret)
{
    *ret = (rom_info){.file_size = file->size, .rom_size = file->size};
    if (!detect_nes(file, ret) && !detect_gba(file, ret) && !detect_gb(file, ret)) {
        (void)rom_snes_detect(file, ret);
    }
}

/* --- names ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    const char *title;
} system_names[] =
    {
        [ROM_SYSTEM_UNKNOWN] = {"unknown", "unknown system"},
        [ROM_SYSTEM_SNES] = {"snes", "SNES"},
        [ROM_SYSTEM_NES] = {"nes", "NES"},
        [ROM_SYSTEM_GB] = {"gb", "Game Boy"},
        [ROM_SYSTEM_GBA] = {"gba", "Game Boy Advance"},
},
  mapping_names[] = {
      [ROM_MAPPING_NONE] = {"none", "no mapping"},
      [ROM_MAPPING_LOROM] = {"lorom", "LoROM"},
      [ROM_MAPPING_HIROM] = {"hirom", "HiROM"},
      [ROM_MAPPING_EXHIROM] = {"exhirom", "ExHiROM"},
      [ROM_MAPPING_SA1] = {"sa1", "LoROM with SA-1"},
      [ROM_MAPPING_INES] = {"ines", "iNES"},
      [ROM_MAPPING_GB] = {"gb", "Game Boy banks"},
      [ROM_MAPPING_GBA] = {"gba", "flat"},
};

const char *rom_system_name(rom_system system)
{
    return system_names[system].name;
}

const char *rom_system_title(rom_system system)
{
    return system_names[system].title;
}

const char *rom_mapping_name(rom_mapping mapping)
{
    return mapping_names[mapping].name;
}

const char *rom_mapping_title(rom_mapping mapping)
{
    return mapping_names[mapping].title;
}

rom_system rom_system_by_name(const char *name)
{
    for (rom_system system = ROM_SYSTEM_SNES; system <= ROM_SYSTEM_GBA; system++) {
        if (strcmp(system_names[system].name, name) == 0) {
            return system;
        }
    }
    return ROM_SYSTEM_UNKNOWN;
}
