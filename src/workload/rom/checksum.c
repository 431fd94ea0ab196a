/*
 * checksum.c -- digests and header checksums behind checksum.h.
 *
 * CRC32 is a remainder of polynomials, so two facts save passes over data: appending n bytes
 * multiplies what came before by x^8n, and changing bytes adds the CRC of the difference,
 * multiplied by x^8n for the n bytes behind them.  Both need only the product of two remainders.
 *
 * Polynomials are reflected: bit 31 is the coefficient of x^0, as in every CRC32 value.
 */
#include <libdeflate.h>
#include <nettle/sha1.h>
#include <string.h>

#include "base/assert.h"

#include "workload/rom/checksum.h"

enum {
    PIECE_BYTES = 256 << 10, /* several digests read one piece while it is in the cache */
    SNES_COMPLEMENT_AT = 0x1c,
    SNES_PAIR_BYTES = 4,
    SNES_PAIR_SUM = 0x1fe, /* x + ~x, byte by byte, twice */
    GB_HEADER_FIRST = 0x134,
    GB_HEADER_CHECKSUM = 0x14d,
    GB_GLOBAL_CHECKSUM = 0x14e,
    GBA_HEADER_FIRST = 0xa0,
    GBA_HEADER_CHECKSUM = 0xbd,
};

uint32_t rom_crc32(uint32_t crc, const void *data, size_t size)
{
    return size == 0 ? crc : libdeflate_crc32(crc, data, size);
}

/* a * b modulo the CRC polynomial. */
static uint32_t crc_product(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = UINT32_C(1) << 31; bit != 0; bit >>= 1) {
        if ((a & bit) != 0) {
            product ^= b;
        }
        b = (b & 1) != 0 ? b >> 1 ^ UINT32_C(0xedb88320) : b >> 1;
    }
    return product;
}

/* `crc` multiplied by x^8n. */
static uint32_t crc_shift(uint32_t crc, uint64_t n)
{
    uint32_t power = UINT32_C(1) << 23; /* x^8, squared with every bit of n */
    for (; n != 0; n >>= 1) {
        if ((n & 1) != 0) {
            crc = crc_product(crc, power);
        }
        power = crc_product(power, power);
    }
    return crc;
}

uint32_t rom_crc32_join(uint32_t first, uint32_t second, uint64_t second_size)
{
    return crc_shift(first, second_size) ^ second;
}

uint32_t rom_crc32_change(uint32_t crc, const rom_fix *fix, uint64_t behind)
{
    uint32_t change = rom_crc32(0, fix->old_bytes, fix->size) ^
                      rom_crc32(0, fix->new_bytes, fix->size); /* what is constant cancels out */
    return crc ^ crc_shift(change, behind);
}

/* --- digests ------------------------------------------------------------------------------ */

rom_digests rom_crcs(const rom_bytes *file, uint32_t copier_bytes)
{
    BRISK_ASSERT(copier_bytes <= file->size);
    rom_bytes rom = rom_bytes_behind(file, copier_bytes);
    rom_digests digests = {.rom_crc32 = rom_crc32(0, rom.data, rom.size)};
    digests.file_crc32 =
        rom_crc32_join(rom_crc32(0, file->data, copier_bytes), digests.rom_crc32, rom.size);
    return digests;
}

rom_digests rom_digests_of(const rom_bytes *file, uint32_t copier_bytes)
{
    BRISK_ASSERT(copier_bytes <= file->size);
    rom_bytes rom = rom_bytes_behind(file, copier_bytes);
    struct sha1_ctx file_sha1;
    struct sha1_ctx rom_sha1;
    sha1_init(&file_sha1);
    sha1_init(&rom_sha1);
    sha1_update(&file_sha1, copier_bytes, file->data);
    rom_digests digests = {0};
    for (size_t at = 0; at < rom.size;) {
        size_t part = rom.size - at < PIECE_BYTES ? rom.size - at : PIECE_BYTES;
        digests.rom_crc32 = rom_crc32(digests.rom_crc32, rom.data + at, part);
        sha1_update(&file_sha1, part, rom.data + at);
        if (copier_bytes != 0) {
            sha1_update(&rom_sha1, part, rom.data + at);
        }
        at += part;
    }
    digests.file_crc32 =
        rom_crc32_join(rom_crc32(0, file->data, copier_bytes), digests.rom_crc32, rom.size);
    sha1_digest(&file_sha1, ROM_SHA1_BYTES, digests.file_sha1);
    if (copier_bytes != 0) {
        sha1_digest(&rom_sha1, ROM_SHA1_BYTES, digests.rom_sha1);
    } else {
        memcpy(digests.rom_sha1, digests.file_sha1, ROM_SHA1_BYTES);
    }
    return digests;
}

/* --- sums ----------------------------------------------------------------------------------- */

/* Sum of bytes, eight at a time: 16-bit lanes hold 128 x (255 + 255) without overflow. */
static uint64_t byte_sum(const uint8_t *data, size_t size)
{
    enum { WORDS_MAX = 128 };
    const uint64_t even = UINT64_C(0x00ff00ff00ff00ff);
    uint64_t sum = 0;
    while (size >= sizeof(uint64_t)) {
        size_t words = size / sizeof(uint64_t);
        words = words < WORDS_MAX ? words : WORDS_MAX;
        uint64_t lanes = 0;
        for (size_t i = 0; i < words; i++) {
            uint64_t word;
            memcpy(&word, data + i * sizeof word, sizeof word);
            lanes += (word & even) + (word >> 8 & even);
        }
        sum += (lanes & 0xffff) + (lanes >> 16 & 0xffff) + (lanes >> 32 & 0xffff) + (lanes >> 48);
        data += words * sizeof(uint64_t);
        size -= words * sizeof(uint64_t);
    }
    while (size-- != 0) {
        sum += *data++;
    }
    return sum;
}

/* Largest power of two <= n, n > 0; smallest power of two >= n. */
static uint64_t power_below(uint64_t n)
{
    return UINT64_C(1) << (63 - __builtin_clzll(n));
}

static uint64_t power_above(uint64_t n)
{
    uint64_t below = power_below(n);
    return below == n ? n : below * 2;
}

/* Make the piece that begins at `at` the current one. */
static void next_piece(rom_sums *sums)
{
    uint64_t left = sums->size - sums->at;
    uint64_t last = sums->piece_bytes;
    sums->weight = last == 0 ? 1 : sums->weight * (last / power_above(left));
    sums->piece_bytes = power_below(left);
    sums->piece_end = sums->at + sums->piece_bytes;
}

void rom_sums_init(rom_sums *sums, uint64_t rom_size)
{
    *sums = (rom_sums){.size = rom_size};
}

void rom_sums_update(rom_sums *sums, const uint8_t *data, size_t size)
{
    BRISK_ASSERT(size <= sums->size - sums->at);
    while (size != 0) {
        if (sums->at == sums->piece_end) {
            next_piece(sums);
        }
        uint64_t left = sums->piece_end - sums->at;
        size_t part = size < left ? size : (size_t)left;
        uint64_t sum = byte_sum(data, part);
        sums->plain += sum;
        sums->mirrored += sum * sums->weight;
        sums->at += part;
        data += part;
        size -= part;
    }
}

/* How often the bus shows the byte at `offset` of a ROM of `size` bytes. */
static uint64_t weight_at(uint64_t size, uint64_t offset)
{
    rom_sums sums = {.size = size};
    do {
        sums.at = sums.piece_end;
        next_piece(&sums);
    } while (sums.piece_end <= offset);
    return sums.weight;
}

/* --- checksums of headers ------------------------------------------------------------------- */

static void compute_snes(const rom_bytes *rom, const rom_sums *sums, rom_info *info)
{
    uint64_t pair_at = info->header_offset + SNES_COMPLEMENT_AT;
    uint64_t weight = weight_at(rom->size, pair_at);
    uint64_t sum = sums->mirrored - weight * byte_sum(rom->data + pair_at, SNES_PAIR_BYTES) +
                   weight * SNES_PAIR_SUM;
    info->checksums[0].computed = (uint32_t)(sum & 0xffff);
    info->checksums[1].computed = (uint32_t)(~sum & 0xffff);
}

static void compute_gb(const rom_bytes *rom, const rom_sums *sums, rom_info *info)
{
    uint32_t header = 0;
    for (size_t at = GB_HEADER_FIRST; at < GB_HEADER_CHECKSUM; at++) {
        header = header - rom->data[at] - 1;
    }
    uint64_t global = sums->plain - byte_sum(rom->data + GB_GLOBAL_CHECKSUM, 2);
    info->checksums[0].computed = header & 0xff;
    info->checksums[1].computed = (uint32_t)(global & 0xffff);
}

static void compute_gba(const rom_bytes *rom, rom_info *info)
{
    uint32_t sum = 0x19;
    for (size_t at = GBA_HEADER_FIRST; at < GBA_HEADER_CHECKSUM; at++) {
        sum += rom->data[at];
    }
    info->checksums[0].computed = (0 - sum) & 0xff;
}

void rom_checksums_compute(const rom_bytes *file, const rom_sums *sums, rom_info *info)
{
    BRISK_ASSERT(info->copier_bytes <= file->size);
    rom_bytes rom = rom_bytes_behind(file, info->copier_bytes);
    bool wants_sums = info->system == ROM_SYSTEM_SNES || info->system == ROM_SYSTEM_GB;
    rom_sums own;
    if (sums == NULL && wants_sums) {
        rom_sums_init(&own, rom.size);
        rom_sums_update(&own, rom.data, rom.size);
        sums = &own;
    }
    BRISK_ASSERT(!wants_sums || (sums->size == rom.size && sums->at == rom.size));
    switch (info->system) {
    case ROM_SYSTEM_SNES: compute_snes(&rom, sums, info); break;
    case ROM_SYSTEM_GB: compute_gb(&rom, sums, info); break;
    case ROM_SYSTEM_GBA: compute_gba(&rom, info); break;
    case ROM_SYSTEM_NES:
    case ROM_SYSTEM_UNKNOWN: break;
    }
    for (uint32_t i = 0; i < info->checksum_count; i++) {
        info->checksums[i].is_computed = true;
    }
}

static void put_number(uint8_t *to, const rom_checksum *checksum, uint32_t value)
{
    for (uint32_t i = 0; i < checksum->size; i++) {
        uint32_t shift = 8 * (checksum->big_endian ? checksum->size - 1 - i : i);
        to[i] = (uint8_t)(value >> shift);
    }
}

/* Add the fix that brings `bytes` to `at`, unless they are there already. */
static uint32_t add_fix(const rom_bytes *file, uint64_t at, const uint8_t *bytes, uint32_t size,
                        rom_fix *ret)
{
    if (memcmp(file->data + at, bytes, size) == 0) {
        return 0;
    }
    *ret = (rom_fix){.offset = at, .size = size};
    memcpy(ret->old_bytes, file->data + at, size);
    memcpy(ret->new_bytes, bytes, size);
    return 1;
}

uint32_t rom_checksum_fixes(const rom_bytes *file, const rom_info *info, rom_fix ret[ROM_FIXES_MAX])
{
    uint8_t bytes[ROM_FIX_BYTES_MAX];
    if (info->system == ROM_SYSTEM_SNES) {
        put_number(bytes, &info->checksums[1], info->checksums[1].computed);
        put_number(bytes + 2, &info->checksums[0], info->checksums[0].computed);
        return add_fix(file, info->copier_bytes + info->checksums[1].offset, bytes, SNES_PAIR_BYTES,
                       ret);
    }
    uint32_t count = 0;
    uint32_t moved = 0; /* by what the first fix changes the sum of the second */
    for (uint32_t i = 0; i < info->checksum_count; i++) {
        const rom_checksum *checksum = &info->checksums[i];
        BRISK_ASSERT(checksum->is_computed);
        put_number(bytes, checksum, checksum->computed + moved);
        count += add_fix(file, info->copier_bytes + checksum->offset, bytes, checksum->size,
                         &ret[count]);
        moved += checksum->computed - checksum->stored;
    }
    return count;
}
