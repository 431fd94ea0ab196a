/*
 * disk_record.c -- checks of the bytes in a segment; no I/O and no state.
 *
 * Everything in a record is hostile until its checksum has been seen; the sizes are needed before
 * that, so they are summed in 64 bits and bounded by the largest segment first.
 */
#include "cache/disk_record.h"

#include <string.h>

#include "base/assert.h"

enum { SEGMENT_VERSION = 1, SUM_FROM = 16 };

uint64_t disk_record_size(uint64_t key_size, uint64_t meta_size, uint64_t stored_size)
{
    if (key_size == 0 || key_size > BRISK_KEY_BYTES_MAX || meta_size > BRISK_TIER_META_MAX ||
        stored_size > DISK_SEGMENT_BYTES_MAX) {
        return 0;
    }
    uint64_t size = DISK_RECORD_HEAD + key_size + meta_size + stored_size;
    size = (size + DISK_RECORD_ALIGN - 1) & ~(uint64_t)(DISK_RECORD_ALIGN - 1);
    return size <= DISK_SEGMENT_BYTES_MAX - DISK_SEGMENT_HEAD ? size : 0;
}

static bool sizes_agree(const disk_record_head *head)
{
    switch (head->codec) {
    case DISK_PLAIN: return head->raw_size == head->stored_size;
    case DISK_ZSTD: return head->raw_size <= BRISK_VALUE_LARGE_BYTES;
    case DISK_FILE: return head->stored_size == DISK_FILE_REF_BYTES && head->raw_size == 0;
    default: return false;
    }
}

disk_verdict disk_record_check(const unsigned char *bytes, size_t size, const disk_place *place,
                               uint64_t *ret_size)
{
    if (size < DISK_RECORD_HEAD) {
        *ret_size = DISK_RECORD_HEAD;
        return DISK_RECORD_MORE;
    }
    const disk_record_head *head = disk_record_head_of(bytes);
    if (head->magic != DISK_RECORD_MAGIC || head->segment != place->segment ||
        head->offset != place->offset || !sizes_agree(head)) {
        return DISK_RECORD_BAD;
    }
    uint64_t whole = disk_record_size(head->key_size, head->meta_size, head->stored_size);
    if (whole == 0 || whole > DISK_SEGMENT_BYTES_MAX - (uint64_t)place->offset) {
        return DISK_RECORD_BAD;
    }
    *ret_size = whole;
    if (whole > size) {
        return DISK_RECORD_MORE;
    }
    uint64_t sum = brisk_hash64(bytes + SUM_FROM, (size_t)whole - SUM_FROM, place->seed);
    return sum == head->checksum ? DISK_RECORD_OK : DISK_RECORD_BAD;
}

void disk_record_seal(unsigned char *bytes, uint64_t size, const disk_place *place)
{
    disk_record_head *head = (disk_record_head *)(void *)bytes;
    BRISK_ASSERT(size >= DISK_RECORD_HEAD && size % DISK_RECORD_ALIGN == 0);
    head->state = DISK_RECORD_LIVE;
    head->magic = DISK_RECORD_MAGIC;
    head->segment = place->segment;
    head->offset = place->offset;
    head->checksum = brisk_hash64(bytes + SUM_FROM, (size_t)size - SUM_FROM, place->seed);
}

/* --- segment heads ------------------------------------------------------------------------ */

void disk_segment_head_make(disk_segment_head *head, uint32_t id, uint64_t seed)
{
    *head = (disk_segment_head){.magic = DISK_SEGMENT_MAGIC, .version = SEGMENT_VERSION, .id = id};
    head->checksum = brisk_hash64(head, offsetof(disk_segment_head, checksum), seed);
}

bool disk_segment_head_ok(const disk_segment_head *head, uint32_t id, uint64_t seed)
{
    return head->magic == DISK_SEGMENT_MAGIC && head->version == SEGMENT_VERSION &&
           head->id == id &&
           head->checksum == brisk_hash64(head, offsetof(disk_segment_head, checksum), seed);
}

static uint32_t clean_sum(uint32_t id, uint32_t end, uint64_t seed)
{
    uint32_t words[2] = {id, end};
    return (uint32_t)brisk_hash64(words, sizeof words, ~seed);
}

uint64_t disk_clean_end_make(uint32_t id, uint32_t end, uint64_t seed)
{
    return (uint64_t)clean_sum(id, end, seed) << 32 | end;
}

uint32_t disk_clean_end_read(uint64_t word, uint32_t id, uint64_t seed)
{
    uint32_t end = (uint32_t)word;
    return (uint32_t)(word >> 32) == clean_sum(id, end, seed) ? end : 0;
}
