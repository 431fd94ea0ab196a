/*
 * address.c -- the memory maps behind address.h.
 *
 * Each mapping has two small functions, one for each way.  Going to an address picks the one that
 * disassemblers print: the lowest bank for LoROM, $C0 and up for HiROM.
 */
#include <stdbool.h>
#include <stdio.h>

#include "base/assert.h"

#include "workload/rom/address.h"

#define NO_OFFSET  UINT64_MAX
#define NO_ADDRESS UINT64_MAX

enum { MIB = 1 << 20, NES_BANK_BYTES = 0x4000, NES_UNBANKED_MAX = 0x8000, GB_BANK_BYTES = 0x4000 };

/* Banks 7E-7F, and the low halves of banks 00-3F and 80-BF: RAM and registers everywhere. */
static bool snes_is_system_area(uint64_t address)
{
    return (address & 0xfe0000) == 0x7e0000 || (address & 0x408000) == 0;
}

static uint64_t lorom_offset(uint64_t address)
{
    if (snes_is_system_area(address) || (address & 0x708000) == 0x700000 /* SRAM */) {
        return NO_OFFSET;
    }
    return (address & 0x7f0000) >> 1 | (address & 0x7fff);
}

static uint64_t lorom_address(uint64_t offset)
{
    if (offset >= 4 * MIB) {
        return NO_ADDRESS;
    }
    uint64_t bank = offset >> 15;
    return (bank < 0x7e ? bank : bank | 0x80) << 16 | 0x8000 | (offset & 0x7fff);
}

static uint64_t hirom_offset(uint64_t address)
{
    return snes_is_system_area(address) ? NO_OFFSET : address & 0x3fffff;
}

static uint64_t hirom_address(uint64_t offset)
{
    return offset < 4 * MIB ? 0xc00000 | offset : NO_ADDRESS;
}

static uint64_t exhirom_offset(uint64_t address)
{
    if (snes_is_system_area(address)) {
        return NO_OFFSET;
    }
    return (address & 0x3fffff) | ((address & 0x800000) == 0 ? 0x400000u : 0);
}

static uint64_t exhirom_address(uint64_t offset)
{
    if (offset < 4 * MIB) {
        return 0xc00000 | offset;
    }
    uint64_t rest = offset - 4 * MIB;
    if (rest < 0x3e0000) {
        return 0x400000 | rest;
    }
    /* Banks 7E and 7F are RAM; only the high halves show, in banks 3E and 3F. */
    return rest < 4 * MIB && (rest & 0x8000) != 0 ? rest : NO_ADDRESS;
}

/* Power-on banks of the SA-1: MiB 0 and 1 below, 2 and 3 above, all four flat from $C0. */
static uint64_t sa1_offset(uint64_t address)
{
    if ((address & 0xc00000) == 0xc00000) {
        return address & 0x3fffff;
    }
    if ((address & 0x408000) != 0x008000) {
        return NO_OFFSET;
    }
    uint64_t mib = (address >> 21 & 1) | (address >> 22 & 2);
    return mib * MIB | (address & 0x1f0000) >> 1 | (address & 0x7fff);
}

static uint64_t sa1_address(uint64_t offset)
{
    if (offset >= 4 * MIB) {
        return NO_ADDRESS;
    }
    uint64_t mib = offset / MIB;
    uint64_t bank = (mib & 1) << 5 | (mib & 2) << 6 | (offset % MIB) >> 15;
    return bank << 16 | 0x8000 | (offset & 0x7fff);
}

static uint64_t nes_offset(const rom_info *info, uint64_t address)
{
    uint64_t bank = address >> 16;
    uint64_t low = address & 0xffff;
    if (low < 0x8000 || info->prg_size == 0) {
        return NO_OFFSET;
    }
    uint64_t at = low - 0x8000;
    if (info->prg_size > NES_UNBANKED_MAX) {
        at = bank * NES_BANK_BYTES + at % NES_BANK_BYTES;
    } else if (bank != 0) {
        return NO_OFFSET;
    } else if (info->prg_size <= NES_BANK_BYTES) {
        at %= NES_BANK_BYTES;
    }
    return at < info->prg_size ? info->prg_offset + at : NO_OFFSET;
}

static uint64_t nes_address(const rom_info *info, uint64_t offset)
{
    if (offset < info->prg_offset || offset - info->prg_offset >= info->prg_size) {
        return NO_ADDRESS;
    }
    uint64_t at = offset - info->prg_offset;
    if (info->prg_size <= NES_UNBANKED_MAX) {
        return 0x8000 + at;
    }
    return (at / NES_BANK_BYTES) << 16 | 0x8000 | at % NES_BANK_BYTES;
}

static uint64_t gb_offset(const rom_info *info, uint64_t address)
{
    uint64_t bank = address >> 16;
    uint64_t low = address & 0xffff;
    if (low < GB_BANK_BYTES) {
        return bank == 0 ? low : NO_OFFSET;
    }
    if (low >= 2 * GB_BANK_BYTES || bank > 0x1ff) {
        return NO_OFFSET;
    }
    if (bank == 0) {
        return info->rom_size <= 2 * GB_BANK_BYTES ? low : NO_OFFSET;
    }
    return bank * GB_BANK_BYTES + (low - GB_BANK_BYTES);
}

static uint64_t gb_address(uint64_t offset)
{
    uint64_t bank = offset / GB_BANK_BYTES;
    if (bank > 0x1ff) {
        return NO_ADDRESS;
    }
    return bank << 16 | (bank == 0 ? 0u : (unsigned)GB_BANK_BYTES) | offset % GB_BANK_BYTES;
}

static uint64_t gba_offset(uint64_t address)
{
    return address >= 0x08000000 && address < 0x0e000000 ? address & 0x01ffffff : NO_OFFSET;
}

static uint64_t offset_of(const rom_info *info, uint64_t address)
{
    bool is_snes = info->system == ROM_SYSTEM_SNES;
    if (is_snes && address > 0xffffff) {
        return NO_OFFSET;
    }
    switch (info->mapping) {
    case ROM_MAPPING_LOROM: return lorom_offset(address);
    case ROM_MAPPING_HIROM: return hirom_offset(address);
    case ROM_MAPPING_EXHIROM: return exhirom_offset(address);
    case ROM_MAPPING_SA1: return sa1_offset(address);
    case ROM_MAPPING_INES: return nes_offset(info, address);
    case ROM_MAPPING_GB: return gb_offset(info, address);
    case ROM_MAPPING_GBA: return gba_offset(address);
    case ROM_MAPPING_NONE: break;
    }
    return NO_OFFSET;
}

static uint64_t address_of(const rom_info *info, uint64_t offset)
{
    switch (info->mapping) {
    case ROM_MAPPING_LOROM: return lorom_address(offset);
    case ROM_MAPPING_HIROM: return hirom_address(offset);
    case ROM_MAPPING_EXHIROM: return exhirom_address(offset);
    case ROM_MAPPING_SA1: return sa1_address(offset);
    case ROM_MAPPING_INES: return nes_address(info, offset);
    case ROM_MAPPING_GB: return gb_address(offset);
    case ROM_MAPPING_GBA: return offset < 32 * MIB ? 0x08000000 | offset : NO_ADDRESS;
    case ROM_MAPPING_NONE: break;
    }
    return NO_ADDRESS;
}

brisk_err rom_address_to_offset(const rom_info *info, uint64_t address, uint64_t *ret,
                                brisk_errinfo *errinfo)
{
    unsigned long long shown = (unsigned long long)address;
    if (info->mapping == ROM_MAPPING_NONE) {
        return brisk_errinfo_set(errinfo, BRISK_ERR_UNSUPPORTED,
                                 "address $%06llX: the ROM's system is unknown, so addresses have "
                                 "no meaning; give the offset in the file (0x...)",
                                 shown);
    }
    uint64_t offset = offset_of(info, address);
    if (offset == NO_OFFSET) {
        return brisk_errinfo_set(errinfo, BRISK_ERR_INVALID,
                                 "address $%06llX: no ROM there in %s (%s)", shown,
                                 rom_mapping_title(info->mapping), rom_system_title(info->system));
    }
    if (offset >= info->rom_size) {
        return brisk_errinfo_set(errinfo, BRISK_ERR_INVALID,
                                 "address $%06llX: offset 0x%llX in %s, beyond the end of the ROM "
                                 "(%llu bytes)",
                                 shown, (unsigned long long)offset,
                                 rom_mapping_title(info->mapping),
                                 (unsigned long long)info->rom_size);
    }
    *ret = offset;
    return BRISK_OK;
}

void rom_offset_to_text(const rom_info *info, uint64_t offset, char ret[ROM_ADDRESS_TEXT_MAX])
{
    uint64_t address = offset < info->rom_size ? address_of(info, offset) : NO_ADDRESS;
    if (address == NO_ADDRESS) {
        (void)snprintf(ret, ROM_ADDRESS_TEXT_MAX, "0x%05llX",
                       (unsigned long long)(offset & 0xffffffffffff));
        return;
    }
    BRISK_AUDIT(offset_of(info, address) == offset);
    (void)snprintf(ret, ROM_ADDRESS_TEXT_MAX, "$%06llX",
                   (unsigned long long)(address & 0xffffffffff));
}
