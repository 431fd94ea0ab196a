/*
 * result.h -- what is known of a patched ROM without reading it: the meta data of its entry.
 *
 * Encoded in fixed little-endian fields behind a format number, so that an entry of another
 * format, or a damaged one, is declined and computed anew.
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_RESULT_H
#define BRISK_SRC_WORKLOAD_ROM_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/hash.h>

enum {
    ROM_RESULT_BYTES = 52,
    ROM_RESULT_CHECKSUM_FIXED = 1u << 0, /* the header's checksum was made to fit */
    ROM_RESULT_FLAGS = ROM_RESULT_CHECKSUM_FIXED,
};

typedef struct rom_result {
    uint64_t size;         /* of the whole output, copier header included */
    uint32_t crc32;        /* of the whole output */
    uint32_t flags;        /* ROM_RESULT_... */
    uint64_t writes;       /* merged runs; 0 when a single patch was streamed */
    uint64_t write_bytes;  /* in them */
    brisk_hash128 content; /* XXH3-128 of the whole output */
} rom_result;

void rom_result_encode(const rom_result *result, unsigned char ret[ROM_RESULT_BYTES]);
/* False when `data` is no result of this format. */
bool rom_result_decode(const void *data, size_t size, rom_result *ret);

#endif /* BRISK_SRC_WORKLOAD_ROM_RESULT_H */
