/*
 * disk_record.h -- the bytes of an entry in a segment.
 *
 *     state:4  { checksum:8 }  key_size:2 store:2 sizes:8  [era:2] [dict:2] [cost:8] [expires:8]
 *              key  meta  value  zeros to 8
 *
 *     sizes    63..60 0 | has:4 | flags:4 | codec:4 | meta_size:9 | stored_size:21 | raw_size:21
 *
 * All in the machine's byte order: a folder belongs to one machine.  24 bytes stand in every record,
 * the rest only if it says something (`has`): 1 KB of JSON takes 30 bytes more than its key and
 * compressed value.  The checksum is XXH3-64 over everything behind it; its seed is the folder's
 * secret one mixed with the segment's id and the record's own offset, so a record that is copied,
 * moved or in a renamed file is refused.  `state` stands outside: it is changed in place when the
 * entry is overwritten or deleted.
 *
 * Records are aligned to 8 bytes, so `state` lies in one sector.  A torn append leaves no good
 * checksum, or no state that is one; zeros are neither a live nor a dead record.
 */
#ifndef BRISK_SRC_CACHE_DISK_RECORD_H
#define BRISK_SRC_CACHE_DISK_RECORD_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <brisk/cache.h>

enum {
    DISK_RECORD_ALIGN = 8,
    DISK_RECORD_FIXED = 24,    /* the least that a head has */
    DISK_RECORD_HEAD_MAX = 44, /* with everything that it can have */
    DISK_SEGMENT_HEAD = 64,
    DISK_SEGMENT_BYTES_MAX = 64 << 20,
    DISK_FLAGS_MAX = 15,
    DISK_FILE = 15, /* beside the codec_ids: the value is a disk_file_ref */
};

#define DISK_RECORD_LIVE   UINT32_C(0xb715c0de)
#define DISK_RECORD_DEAD   UINT32_C(0xdead51a7)
#define DISK_SEGMENT_MAGIC UINT64_C(0x31676573736b7262)

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

/* A record, opened up.  Pointers go into its bytes. */
typedef struct disk_record {
    uint64_t size; /* of all of it, padding included */
    bool live;
    uint8_t flags;
    uint8_t codec; /* a codec_id or DISK_FILE */
    uint16_t era;
    uint16_t dict; /* number of the dictionary; 0: none */
    uint32_t key_size;
    uint32_t meta_size;
    uint32_t stored_size;
    uint32_t raw_size; /* of the value; 0 with DISK_FILE */
    uint64_t store_ns; /* kept with 11 bits */
    uint64_t cost_ns;
    uint64_t expires_at_ns;
    const unsigned char *key;
    const unsigned char *meta;
    const unsigned char *value;
} disk_record;

/* What the file says, unchecked beyond its own bounds. */
typedef enum disk_verdict {
    DISK_RECORD_OK,
    DISK_RECORD_MORE, /* more bytes are needed: ret->size of them */
    DISK_RECORD_BAD,
} disk_verdict;

/* Bytes of the head that these fields need. */
size_t disk_record_head_bytes(const disk_record *record);
/* Bytes of a record with these fields, padding included; 0 when it can fit no segment. */
uint64_t disk_record_bytes(const disk_record *record);

/*
 * Check `size` bytes read from `place`: with OK they begin with a whole, undamaged record, live or
 * dead, and *ret is it.  With MORE ret->size is set, and what the head says if the bytes have it:
 * unchecked.
 */
disk_verdict disk_record_check(const unsigned char *bytes, size_t size, const disk_place *place,
                               disk_record *ret);

/* The same without the sum: whether there could be a record.  Nobody answers with such a one. */
disk_verdict disk_record_glance(const unsigned char *bytes, size_t size, uint32_t offset,
                                disk_record *ret);

/* Write the head of `record` at `bytes`; key, meta data, value and padding are the caller's. */
void disk_record_write_head(unsigned char *bytes, const disk_record *record);
/* Set state and checksum of a complete record of `size` bytes. */
void disk_record_seal(unsigned char *bytes, uint64_t size, const disk_place *place);

/* What storing took, known after the head was written. */
void disk_record_set_store(unsigned char *bytes, uint64_t store_ns);

static inline uint32_t disk_record_state(const unsigned char *bytes)
{
    uint32_t state;
    memcpy(&state, bytes, sizeof state);
    return state;
}

/* --- segment heads ------------------------------------------------------------------------ */

typedef struct disk_segment_head {
    uint64_t magic;
    uint32_t version;
    uint32_t id;
    uint64_t checksum; /* of what stands above, with the seed */
    uint64_t reserved;
    uint64_t clean_end;     /* disk_clean_end; anything else: its owner died or still lives */
    uint64_t published_end; /* the same: all records before it were published */
    uint64_t spare[2];
} disk_segment_head;

static_assert(sizeof(disk_segment_head) == DISK_SEGMENT_HEAD, "the head has no holes");

void disk_segment_head_make(disk_segment_head *head, uint32_t id, uint64_t seed);
bool disk_segment_head_ok(const disk_segment_head *head, uint32_t id, uint64_t seed);
/* The word that says: closed in order at `end`. */
uint64_t disk_clean_end_make(uint32_t id, uint32_t end, uint64_t seed);
/* The end, or 0 when the word says nothing. */
uint32_t disk_clean_end_read(uint64_t word, uint32_t id, uint64_t seed);

#endif /* BRISK_SRC_CACHE_DISK_RECORD_H */
