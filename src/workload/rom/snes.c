/*
 * snes.c -- scoring behind snes.h.
 *
 * A header is 64 bytes at the end of a 32 KiB (LoROM) or 64 KiB (HiROM) bank:
 *
 *     +00 title, 21 bytes   +15 map mode   +17 size, 1 KiB << n   +1C complement   +1E checksum
 *     +3C reset vector of the processor at power-on, an address in bank 0
 *
 * Evidence is weighed: a pair that adds up to $FFFF happens by chance once in 65536, so it counts
 * most beside the first instruction, which hardly any program chooses freely (SEI, CLC, JMP).
 * A place that fails the reset vector cannot start and is out, whatever else it has.
 */
#include "workload/rom/snes.h"

#include "workload/rom/checksum.h"
#include "workload/rom/system_internal.h"

enum {
    HEADER_BYTES = 0x40,
    TITLE_BYTES = 21,
    MAP_MODE_AT = 0x15,
    SIZE_AT = 0x17,
    RAM_AT = 0x18,
    REGION_AT = 0x19,
    MAKER_AT = 0x1a,
    COMPLEMENT_AT = 0x1c,
    CHECKSUM_AT = 0x1e,
    RESET_AT = 0x3c,
    SCORE_MIN = 10, /* less than this is chance */
    SCORE_CLOSE = 4,
};

typedef struct place {
    rom_mapping mapping;
    uint64_t header; /* offset of the header */
    uint64_t bank;   /* offset of what the processor sees at $8000 of bank 0 */
} place;

static const place places[] = {
    {ROM_MAPPING_LOROM, 0x7fc0, 0},
    {ROM_MAPPING_HIROM, 0xffc0, 0x8000},
    {ROM_MAPPING_EXHIROM, 0x40ffc0, 0x408000},
};

enum { PLACE_COUNT = sizeof places / sizeof places[0] };

/* What a map mode byte means, or ROM_MAPPING_NONE.  Bit 4 is the speed. */
static rom_mapping mapping_of_mode(uint8_t mode)
{
    switch (mode & 0xef) {
    case 0x20: /* plain */
    case 0x22: /* S-DD1 */
    case 0x23: /* SA-1 */ return ROM_MAPPING_LOROM;
    case 0x21:
    case 0x2a: /* SPC7110 */ return ROM_MAPPING_HIROM;
    case 0x25: return ROM_MAPPING_EXHIROM;
    default: return ROM_MAPPING_NONE;
    }
}

static bool is_sa1(uint8_t mode)
{
    return (mode & 0xef) == 0x23;
}

/* How likely a program begins with this instruction. */
static int32_t score_opcode(uint8_t opcode)
{
    switch (opcode) {
    case 0x78: /* SEI */
    case 0x18: /* CLC */
    case 0x38: /* SEC */
    case 0x9c: /* STZ */
    case 0x4c: /* JMP */
    case 0x5c: /* JML */ return 8;
    case 0xc2: /* REP */
    case 0xe2: /* SEP */
    case 0xa9: /* LDA, LDX, LDY in their forms */
    case 0xa2:
    case 0xa0:
    case 0xad:
    case 0xae:
    case 0xac:
    case 0xaf:
    case 0x20: /* JSR */
    case 0x22: /* JSL */
    case 0x80: /* BRA */
    case 0xea: /* NOP */
    case 0xd8: /* CLD */ return 4;
    case 0x40: /* RTI, RTS, RTL: nothing to return to */
    case 0x60:
    case 0x6b:
    case 0xcd: /* comparisons of nothing */
    case 0xec:
    case 0xcc: return -4;
    case 0x00: /* BRK, COP, STP, WDM; fill bytes */
    case 0x02:
    case 0xdb:
    case 0x42:
    case 0xff: return -8;
    default: return 0;
    }
}

/* Printable ASCII or half-width katakana all over, and not blank. */
static int32_t score_title(const uint8_t *title)
{
    bool has_letter = false;
    for (size_t i = 0; i < TITLE_BYTES; i++) {
        uint8_t c = title[i];
        if (!((c >= 0x20 && c < 0x7f) || (c >= 0xa1 && c <= 0xdf))) {
            return c == 0 && has_letter ? 1 : 0; /* some pad with zeros */
        }
        has_letter = has_letter || c != ' ';
    }
    return has_letter ? 3 : 0;
}

static int32_t score_place(const rom_bytes *rom, const place *at)
{
    if (rom->size < at->header + HEADER_BYTES) {
        return INT32_MIN;
    }
    const uint8_t *header = rom->data + at->header;
    uint32_t reset = rom_le16(header + RESET_AT);
    if (reset < 0x8000) {
        return INT32_MIN; /* RAM or registers: it cannot start */
    }
    int32_t score = score_opcode(rom->data[at->bank + (reset - 0x8000)]);
    uint32_t checksum = rom_le16(header + CHECKSUM_AT);
    if ((checksum ^ rom_le16(header + COMPLEMENT_AT)) == 0xffff) {
        score += checksum == 0 || checksum == 0xffff ? 2 : 8;
    }
    rom_mapping said = mapping_of_mode(header[MAP_MODE_AT]);
    score += said == at->mapping ? 4 : said != ROM_MAPPING_NONE ? -2 : 0;
    score += score_title(header);
    score += header[SIZE_AT] >= 0x07 && header[SIZE_AT] <= 0x0d ? 1 : 0;
    score += header[RAM_AT] <= 0x09 ? 1 : 0;
    score += header[REGION_AT] <= 0x14 ? 1 : 0;
    score += header[MAKER_AT] == 0x33 ? 2 : 0; /* "see the extended header" */
    return score;
}

static void describe(const rom_bytes *rom, const place *at, rom_info *info)
{
    const uint8_t *header = rom->data + at->header;
    info->system = ROM_SYSTEM_SNES;
    info->map_mode = header[MAP_MODE_AT];
    info->mapping = at->mapping == ROM_MAPPING_LOROM && is_sa1(header[MAP_MODE_AT])
                        ? ROM_MAPPING_SA1
                        : at->mapping;
    info->header_offset = at->header;
    rom_info_set_title(info, header, TITLE_BYTES);
    if (header[SIZE_AT] >= 0x05 && header[SIZE_AT] <= 0x0f) {
        info->declared_size = UINT64_C(1024) << header[SIZE_AT];
    }
    rom_info_add_checksum(
        info, rom,
        (rom_checksum){.name = "checksum", .offset = at->header + CHECKSUM_AT, .size = 2});
    rom_info_add_checksum(
        info, rom,
        (rom_checksum){.name = "complement", .offset = at->header + COMPLEMENT_AT, .size = 2});
    rom_mapping said = mapping_of_mode(header[MAP_MODE_AT]);
    if (said == ROM_MAPPING_NONE) {
        rom_info_warn(info, "map mode $%02X is unknown; laid out as %s", info->map_mode,
                      rom_mapping_title(info->mapping));
    } else if (said != at->mapping) {
        rom_info_warn(info, "map mode $%02X says %s, but the ROM is laid out as %s", info->map_mode,
                      rom_mapping_title(said), rom_mapping_title(info->mapping));
    }
}

static void warn_of_sizes(rom_info *info)
{
    /* The byte counts powers of two, so a ROM up to half as large as declared is normal. */
    uint64_t declared = info->declared_size;
    if (declared != 0 && (info->rom_size > declared || info->rom_size * 2 <= declared)) {
        rom_info_warn(info, "the header declares %llu bytes, the ROM has %llu",
                      (unsigned long long)declared, (unsigned long long)info->rom_size);
    }
    if (info->rom_size % 0x8000 != 0) {
        rom_info_warn(info, "the size, %llu bytes, is no multiple of 32 KiB",
                      (unsigned long long)info->rom_size);
    }
}

bool rom_snes_detect(const rom_bytes *file, rom_info *info)
{
    const place *best = NULL;
    int32_t best_score = SCORE_MIN - 1;
    uint32_t best_copier = 0;
    bool may_have_copier = file->size % 1024 == ROM_COPIER_BYTES;
    for (uint32_t copier = 0; copier <= (may_have_copier ? ROM_COPIER_BYTES : 0u);
         copier += ROM_COPIER_BYTES) {
        rom_bytes rom = rom_bytes_behind(file, copier);
        for (size_t i = 0; i < PLACE_COUNT; i++) {
            int32_t score = score_place(&rom, &places[i]);
            if (score > best_score) {
                best = &places[i];
                best_score = score;
                best_copier = copier;
            }
        }
    }
    if (best == NULL) {
        return false;
    }
    rom_bytes rom = rom_bytes_behind(file, best_copier);
    info->copier_bytes = best_copier;
    info->rom_size = rom.size;
    info->score = best_score;
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        int32_t score = score_place(&rom, &places[i]);
        if (&places[i] != best && score != INT32_MIN &&
            (info->runner_up == ROM_MAPPING_NONE || score > info->runner_up_score)) {
            info->runner_up = places[i].mapping;
            info->runner_up_score = score;
        }
    }
    describe(&rom, best, info);
    if (info->runner_up != ROM_MAPPING_NONE && best_score - info->runner_up_score < SCORE_CLOSE) {
        rom_info_warn(info, "%s fits nearly as well as %s (scores %d and %d)",
                      rom_mapping_title(info->runner_up), rom_mapping_title(info->mapping),
                      info->runner_up_score, best_score);
    }
    warn_of_sizes(info);
    return true;
}
