/*
 * fuzz_index.c -- any bytes as the head of an index file, and as slots.  Oracle: a head that is
 * accepted describes exactly the file's size; a slot that is accepted unpacks to what packs to it,
 * and no single flipped bit of it is accepted.
 *
 * The first 8 bytes are the file's size; an odd one has the head's checksum made good.
 */
#include <string.h>

#include "base/assert.h"
#include "cache/disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t seed = 42;

static void check_head(const uint8_t *data, size_t size)
{
    uint64_t file_size;
    disk_index_header header;
    memset(&header, 0, sizeof header);
    memcpy(&file_size, data, sizeof file_size);
    memcpy(&header, data + 8, size - 8 < sizeof header ? size - 8 : sizeof header);
    if ((file_size & 1) != 0) {
        disk_index_header good;
        memset(&good, 0, sizeof good);
        disk_index_shape shape = {.slot_count = header.slot_count,
                                  .segment_count = header.segment_count};
        disk_index_header_make(&good, &shape, seed);
        header = good;
        file_size = disk_index_shape_of(shape.slot_count, shape.segment_count).size;
    }
    disk_index_shape shape;
    if (disk_index_header_ok(&header, file_size, seed, &shape)) {
        BRISK_ASSERT(shape.size == file_size && shape.slots_at < shape.size);
        BRISK_ASSERT((shape.slot_count & (shape.slot_count - 1)) == 0 && shape.slot_count >= 16);
        BRISK_ASSERT((shape.hot_at - shape.slots_at) / sizeof(uint64_t) == shape.slot_count);
        BRISK_ASSERT((shape.size - shape.hot_at) / sizeof(uint16_t) ==
                     shape.slot_count / DISK_BUCKET_SLOTS);
        BRISK_ASSERT((shape.slots_at - DISK_INDEX_PAGE) / sizeof(disk_entry) >=
                     shape.segment_count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static disk_tier tier;
    if (size < 8) {
        return 0;
    }
    disk_crc_init(tier.crc);
    check_head(data, size);
    for (size_t at = 0; at + 8 <= size && at < 4096; at += 8) {
        uint64_t word;
        memcpy(&word, data + at, sizeof word);
        disk_slot slot = disk_slot_unpack(word);
        uint64_t packed = disk_slot_pack(&tier, slot);
        BRISK_ASSERT((packed == word) == disk_slot_ok(&tier, word));
        BRISK_ASSERT(((packed ^ word) << 8) == 0);
        for (int bit = 0; bit < 64; bit++) {
            BRISK_ASSERT(!disk_slot_ok(&tier, packed ^ UINT64_C(1) << bit));
        }
    }
    return 0;
}
