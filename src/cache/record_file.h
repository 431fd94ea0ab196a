/*
 * record_file.h -- the bytes of a recording; no I/O.
 *
 *     file    "BRSKREC\1" | flags (4) | 0 (4) | XXH3 of these 16 bytes (8)
 *     block   magic (8) | raw bytes (4) | packed bytes (4) | records (4) | dropped before (4) |
 *             codec (4) | 0 (4) | time (8) | XXH3 of the packed bytes (8) | XXH3 of these 48 (8)
 *             packed bytes, padded with zeros to 8
 *     record  flags (1) | time since the one before (zigzag) | hash (8) | size | [key size | key]
 *
 * Numbers are little-endian, those without a width LEB128.  The flags of a record: op (2 bits), hit,
 * tier (4 bits; 15: none), has a key.  The time of a block is that before its first record.
 *
 * A block begins at a multiple of 8 and is known by its magic and the checksum of its head: after a
 * stretch that is no block, the next one is found by looking for them.
 */
#ifndef BRISK_SRC_CACHE_RECORD_FILE_H
#define BRISK_SRC_CACHE_RECORD_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/record.h>

enum {
    RECORD_FILE_HEAD = 24,
    RECORD_BLOCK_HEAD = 56,
    RECORD_RAW_MAX = 262144, /* of a block */
    RECORD_PACKED_MAX = 2 * RECORD_RAW_MAX,
    RECORD_ONE_MAX = 1 + 10 + 8 + 10 + 10 + BRISK_RECORD_KEY_MAX,
    RECORD_FLAG_KEYS = 1 << 0, /* of the file */
};

typedef struct record_block {
    uint32_t raw_size;
    uint32_t packed_size;
    uint32_t count;
    uint32_t dropped;
    uint32_t codec;
    uint64_t time_ns;
    uint64_t packed_hash;
} record_block;

void record_file_head_write(unsigned char head[RECORD_FILE_HEAD], uint32_t flags);
/* False: not the head of a recording. */
bool record_file_head_read(const unsigned char head[RECORD_FILE_HEAD], uint32_t *ret_flags);
void record_block_write(unsigned char head[RECORD_BLOCK_HEAD], const record_block *block);
/* False: not the head of a block; its sizes are within limits otherwise. */
bool record_block_read(const unsigned char head[RECORD_BLOCK_HEAD], record_block *ret);

/* At most RECORD_ONE_MAX bytes; `time_ns` of the record before is updated.  Returns their number. */
size_t record_write(unsigned char *bytes, const brisk_record *record, uint64_t *time_ns);
/* Likewise from hostile bytes; 0: they are no record.  The key points into `bytes`. */
size_t record_read(const unsigned char *bytes, size_t size, brisk_record *record,
                   uint64_t *time_ns);

#endif /* BRISK_SRC_CACHE_RECORD_FILE_H */
