/*
 * checksum.h -- digests of files, and the checksums that consoles keep in their headers.
 *
 * SNES: the sum of all bytes as the bus sees them.  A ROM whose size is no power of two is seen
 * with its tail repeated: 2.5 MiB is 2 MiB + 4 x 0.5 MiB, so each bit of the size is a piece with
 * a weight, and the sum can be taken while bytes stream by in order:
 *
 *     size = 2.5 MiB    |--------- 2 MiB, weight 1 ---------|-- 0.5 MiB, weight 4 --|
 *
 * The four bytes of complement and checksum always add up to $1FE and count as such, whatever is
 * stored there now.
 *
 * Game Boy: $14D covers $134-$14C; $14E-$14F is the big-endian sum of every other byte.
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_CHECKSUM_H
#define BRISK_SRC_WORKLOAD_ROM_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workload/rom/rom.h"
#include "workload/rom/system.h"

enum { ROM_SHA1_BYTES = 20, ROM_FIXES_MAX = 2, ROM_FIX_BYTES_MAX = 4 };

/* CRC32 (IEEE) of bytes, continuing `crc`; start with 0. */
uint32_t rom_crc32(uint32_t crc, const void *data, size_t size);
/* CRC32 of A and B put together from CRC32(A), CRC32(B) and B's size.  O(log size). */
uint32_t rom_crc32_join(uint32_t first, uint32_t second, uint64_t second_size);

typedef struct rom_digests {
    uint32_t file_crc32;
    uint32_t rom_crc32; /* without copier header: what databases and patches name */
    uint8_t file_sha1[ROM_SHA1_BYTES];
    uint8_t rom_sha1[ROM_SHA1_BYTES];
} rom_digests;

/* Both CRC32s of a file whose first `copier_bytes` are no ROM; the SHA-1s stay zero.  One pass. */
rom_digests rom_crcs(const rom_bytes *file, uint32_t copier_bytes);
/* Likewise with both SHA-1s. */
rom_digests rom_digests_of(const rom_bytes *file, uint32_t copier_bytes);

/* Byte sums of a ROM of known size, fed in order.  All fields private. */
typedef struct rom_sums {
    uint64_t size;
    uint64_t at;
    uint64_t piece_bytes;
    uint64_t piece_end;
    uint64_t weight;
    uint64_t mirrored; /* SNES: weighted */
    uint64_t plain;
} rom_sums;

void rom_sums_init(rom_sums *sums, uint64_t rom_size);
/* The next `size` bytes; more than rom_size in all is a bug. */
void rom_sums_update(rom_sums *sums, const uint8_t *data, size_t size);

/*
 * Fill `computed` of every checksum of `info`.  `sums` may be NULL: they are then taken from
 * `file` in one pass.  A system without checksums has none to fill.
 */
void rom_checksums_compute(const rom_bytes *file, const rom_sums *sums, rom_info *info);

/* Bytes to be replaced so that the header is right; `offset` counts from the start of the file. */
typedef struct rom_fix {
    uint64_t offset;
    uint32_t size;
    uint8_t old_bytes[ROM_FIX_BYTES_MAX];
    uint8_t new_bytes[ROM_FIX_BYTES_MAX];
} rom_fix;

/* What must change, given computed checksums: 0 .. ROM_FIXES_MAX fixes that differ. */
uint32_t rom_checksum_fixes(const rom_bytes *file, const rom_info *info,
                            rom_fix ret[ROM_FIXES_MAX]);

/* CRC32 after `fix`, given the CRC32 before it and how many bytes follow it.  O(log behind). */
uint32_t rom_crc32_change(uint32_t crc, const rom_fix *fix, uint64_t behind);

#endif /* BRISK_SRC_WORKLOAD_ROM_CHECKSUM_H */
