/*
 * disk_record.h -- the bytes of an entry in a segment.
 *
 *     state:8  checksum:8  { magic .. meta_size, key, meta, value, zeros to 16 }
 *                            `-------------- under the checksum -------------'
 *
 * All in the machine's byte order: a folder belongs to one machine.  The checksum is XXH3-64 with
 * the folder's secret seed and covers the segment's id and the record's own offset, so a record
 * that is copied, moved or in a renamed file is refused.  `state` stands outside: it is set to
 * zero in place when the entry is overwritten or deleted.  Records are aligned to 16 bytes, so
 * that state and checksum share a sector: no torn write gives an old state with a good checksum.
 */
#ifndef BRISK_SRC_CACHE_DISK_RECORD_H
#define BRISK_SRC_CACHE_DISK_RECORD_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/cache.h>

enum {
    DISK_RECORD_ALIGN = 16,
    DISK_RECORD_HEAD = 72,
    DISK_RECORD_MAGIC = 0x6b736272, /* "rbsk", little-endian */
    DISK_SEGMENT_HEAD = 64,
    DISK_SEGMENT_BYTES_MAX = 64 << 20,
};

#define DISK_RECORD_LIVE   UINT64_C(0xb715c0de11fe0001)
#define DISK_SEGMENT_MAGIC UINT64_C(0x31676573736b7262)

/* How the value stands in the record. */
enum disk_codec {
    DISK_PLAIN = 0,
    DISK_ZSTD = 1,
    DISK_FILE = 2, /* a disk_file_ref: the bytes are a file of their own */
};

typedef struct disk_record_head {
    uint64_t state;
    uint64_t checksum;
    uint32_t magic;
    uint32_t segment;
    uint32_t offset; /* in the segment, bytes */
    uint32_t key_size;
    uint32_t stored_size;
    uint32_t raw_size; /* of the value; 0 with DISK_FILE */
    uint64_t cost_ns;
    uint64_t store_ns;
    uint64_t expires_at_ns;
    uint32_t flags;
    uint16_t meta_size;
    uint16_t codec;
} disk_record_head;

static_assert(sizeof(disk_record_head) == DISK_RECORD_HEAD, "the head has no holes");

typedef struct disk_file_ref {
    uint32_t segment; /* the folder */
    uint32_t reserved;
    uint64_t number; /* the name */
    uint64_t size;
    uint64_t content_lo;
    uint64_t content_hi;
} disk_file_ref;

enum { DISK_FILE_REF_BYTES = sizeof(disk_file_ref) };

/* Where a record should stand, and under which seed it was summed. */
typedef struct disk_place {
    uint64_t seed;
    uint32_t segment;
    uint32_t offset;
} disk_place;

/* What the file says, unchecked beyond its own bounds. */
typedef enum disk_verdict {
    DISK_RECORD_OK,
    DISK_RECORD_MORE, /* more bytes are needed: *ret_size of them */
    DISK_RECORD_BAD,
} disk_verdict;

/* Bytes of a record with these parts, padding included; 0 when it can fit no segment. */
uint64_t disk_record_size(uint64_t key_size, uint64_t meta_size, uint64_t stored_size);

/*
 * Check `size` bytes read from `place`: with OK they begin with a whole, undamaged record of
 * *ret_size bytes (live or dead).  The bytes must be 8-byte aligned.
 */
disk_verdict disk_record_check(const unsigned char *bytes, size_t size, const disk_place *place,
                               uint64_t *ret_size);

/* Set place and checksum of a complete record of `size` bytes. */
void disk_record_seal(unsigned char *bytes, uint64_t size, const disk_place *place);

static inline const disk_record_head *disk_record_head_of(const unsigned char *bytes)
{
    return (const disk_record_head *)(const void *)bytes;
}

static inline const unsigned char *disk_record_key(const unsigned char *bytes)
{
    return bytes + DISK_RECORD_HEAD;
}

static inline const unsigned char *disk_record_meta(const unsigned char *bytes)
{
    return disk_record_key(bytes) + disk_record_head_of(bytes)->key_size;
}

static inline const unsigned char *disk_record_value(const unsigned char *bytes)
{
    return disk_record_meta(bytes) + disk_record_head_of(bytes)->meta_size;
}

/* --- segment heads ------------------------------------------------------------------------ */

typedef struct disk_segment_head {
    uint64_t magic;
    uint32_t version;
    uint32_t id;
    uint64_t checksum; /* of what stands above, with the seed */
    uint64_t reserved;
    uint64_t clean_end; /* disk_clean_end; anything else: its owner died or still lives */
    uint64_t spare[3];
} disk_segment_head;

static_assert(sizeof(disk_segment_head) == DISK_SEGMENT_HEAD, "the head has no holes");

void disk_segment_head_make(disk_segment_head *head, uint32_t id, uint64_t seed);
bool disk_segment_head_ok(const disk_segment_head *head, uint32_t id, uint64_t seed);
/* The word that says: closed in order at `end`. */
uint64_t disk_clean_end_make(uint32_t id, uint32_t end, uint64_t seed);
/* The end, or 0 when the word says nothing. */
uint32_t disk_clean_end_read(uint64_t word, uint32_t id, uint64_t seed);

#endif /* BRISK_SRC_CACHE_DISK_RECORD_H */
