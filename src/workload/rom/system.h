/*
 * system.h -- which console a ROM is for, how it is mapped, what its header says.
 *
 *     bytes of the file:  [copier header, 0 or 512][the ROM: "offset" always counts from here]
 *
 * NES, Game Boy and Game Boy Advance have a signature.  The SNES has none: its header is where
 * it scores best, so every place it can be at (LoROM, HiROM, ExHiROM; with and without copier
 * header) is scored by checksum pair, reset vector, first instruction, map mode and title.  The
 * best wins; the best of another mapping is reported as the runner-up, so that a close call can
 * be shown to the user.
 *
 * Detection looks at a few pages and cannot fail: what is not recognised is `unknown`.
 *
 * Source: https://snes.nesdev.org/wiki/ROM_header, https://gbdev.io/pandocs/The_Cartridge_Header,
 *         https://www.nesdev.org/wiki/INES, https://problemkaputt.de/gbatek.htm (facts).
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_SYSTEM_H
#define BRISK_SRC_WORKLOAD_ROM_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workload/rom/rom.h"

typedef enum rom_system {
    ROM_SYSTEM_UNKNOWN = 0,
    ROM_SYSTEM_SNES,
    ROM_SYSTEM_NES,
    ROM_SYSTEM_GB, /* Color too */
    ROM_SYSTEM_GBA,
} rom_system;

typedef enum rom_mapping {
    ROM_MAPPING_NONE = 0,
    ROM_MAPPING_LOROM,
    ROM_MAPPING_HIROM,
    ROM_MAPPING_EXHIROM,
    ROM_MAPPING_SA1,  /* LoROM header, SA-1 chip, its banks as at power-on */
    ROM_MAPPING_INES, /* 16 KiB banks behind the iNES header */
    ROM_MAPPING_GB,   /* 16 KiB banks */
    ROM_MAPPING_GBA,  /* flat at $08000000 */
} rom_mapping;

enum {
    ROM_TITLE_MAX = 24, /* with the NUL */
    ROM_WARNINGS_MAX = 6,
    ROM_WARNING_TEXT_MAX = 160,
    ROM_CHECKSUMS_MAX = 2,
};

/* One checksum of the header. */
typedef struct rom_checksum {
    const char *name; /* "checksum", "complement", "header checksum", "global checksum" */
    uint64_t offset;  /* of its bytes, behind the copier header */
    uint32_t size;    /* 1 or 2 bytes */
    bool big_endian;
    bool is_computed; /* `computed` is known: rom_checksums_compute was called */
    uint32_t stored;
    uint32_t computed;
} rom_checksum;

typedef struct rom_info {
    rom_system system;
    rom_mapping mapping;
    uint32_t copier_bytes;     /* 0 or ROM_COPIER_BYTES */
    char title[ROM_TITLE_MAX]; /* printable ASCII, trimmed; "" when there is none */
    uint64_t file_size;
    uint64_t rom_size;      /* without copier header */
    uint64_t declared_size; /* of the ROM as its header has it; 0: it says nothing */
    uint64_t header_offset; /* of the internal header, behind the copier header */
    uint32_t map_mode;      /* SNES: byte $FFD5; NES: mapper; GB: cartridge type; else 0 */
    uint64_t prg_offset;    /* NES: of the program banks */
    uint64_t prg_size;      /* NES: their bytes in the file */
    int32_t score;          /* SNES: of the chosen mapping; otherwise 0 */
    rom_mapping runner_up;  /* SNES: best other mapping, or ROM_MAPPING_NONE */
    int32_t runner_up_score;
    uint32_t checksum_count;
    rom_checksum checksums[ROM_CHECKSUMS_MAX];
    uint32_t warning_count;
    char warnings[ROM_WARNINGS_MAX][ROM_WARNING_TEXT_MAX]; /* one line each, no full stop */
} rom_info;

/* Recognise `file`.  Checksums have `stored` only.  Never fails. */
void rom_detect(const rom_bytes *file, rom_info *ret);

/* Lower-case names for messages, JSON and mod files ("snes", "lorom").  Never NULL. */
const char *rom_system_name(rom_system system);
const char *rom_mapping_name(rom_mapping mapping);
/* The name users see: "SNES", "LoROM".  Never NULL. */
const char *rom_system_title(rom_system system);
const char *rom_mapping_title(rom_mapping mapping);
/* The system with this lower-case name, or ROM_SYSTEM_UNKNOWN. */
rom_system rom_system_by_name(const char *name);

#endif /* BRISK_SRC_WORKLOAD_ROM_SYSTEM_H */
