/*
 * record_file.c -- the format behind record_file.h.
 */
#include <string.h>

#include "cache/record_file.h"

static const unsigned char file_magic[8] = {'B', 'R', 'S', 'K', 'R', 'E', 'C', 1};
static const unsigned char block_magic[8] = {0xb1, 'B', 'L', 'O', 'C', 'K', 0x1b, 0x0a};

enum {
    SEED = 0x5eed,
    FLAG_OP = 3,
    FLAG_HIT = 1 << 2,
    TIER_SHIFT = 3,
    TIER_NONE = 15,
    FLAG_KEY = 1 << 7,
};

static void put_u32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (unsigned char)(value >> (8 * i));
    }
}

static void put_u64(unsigned char *at, uint64_t value)
{
    put_u32(at, (uint32_t)value);
    put_u32(at + 4, (uint32_t)(value >> 32));
}

static uint32_t get_u32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t get_u64(const unsigned char *at)
{
    return get_u32(at) | (uint64_t)get_u32(at + 4) << 32;
}

void record_file_head_write(unsigned char head[RECORD_FILE_HEAD], uint32_t flags)
{
    memcpy(head, file_magic, sizeof file_magic);
    put_u32(head + 8, flags);
    put_u32(head + 12, 0);
    put_u64(head + 16, brisk_hash64(head, 16, SEED));
}

bool record_file_head_read(const unsigned char head[RECORD_FILE_HEAD], uint32_t *ret_flags)
{
    if (memcmp(head, file_magic, sizeof file_magic) != 0 ||
        get_u64(head + 16) != brisk_hash64(head, 16, SEED)) {
        return false;
    }
    *ret_flags = get_u32(head + 8);
    return true;
}

void record_block_write(unsigned char head[RECORD_BLOCK_HEAD], const record_block *block)
{
    memcpy(head, block_magic, sizeof block_magic);
    put_u32(head + 8, block->raw_size);
    put_u32(head + 12, block->packed_size);
    put_u32(head + 16, block->count);
    put_u32(head + 20, block->dropped);
    put_u32(head + 24, block->codec);
    put_u32(head + 28, 0);
    put_u64(head + 32, block->time_ns);
    put_u64(head + 40, block->packed_hash);
    put_u64(head + 48, brisk_hash64(head, 48, SEED));
}

bool record_block_read(const unsigned char head[RECORD_BLOCK_HEAD], record_block *ret)
{
    if (memcmp(head, block_magic, sizeof block_magic) != 0 ||
        get_u64(head + 48) != brisk_hash64(head, 48, SEED)) {
        return false;
    }
    *ret = (record_block){
        .raw_size = get_u32(head + 8),
        .packed_size = get_u32(head + 12),
        .count = get_u32(head + 16),
        .dropped = get_u32(head + 20),
        .codec = get_u32(head + 24),
        .time_ns = get_u64(head + 32),
        .packed_hash = get_u64(head + 40),
    };
    return ret->raw_size <= RECORD_RAW_MAX && ret->packed_size <= RECORD_PACKED_MAX;
}

/* --- records ------------------------------------------------------------------------------- */

static size_t put_number(unsigned char *at, uint64_t value)
{
    size_t size = 0;
    while (value >= 0x80) {
        at[size++] = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    at[size++] = (unsigned char)value;
    return size;
}

/* 0: cut off, or more than 64 bits. */
static size_t get_number(const unsigned char *at, size_t size, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size && i < 10; i++) {
        uint64_t part = at[i] & 0x7f;
        if (i == 9 && part > 1) {
            return 0;
        }
        value |= part << (7 * i);
        if (at[i] < 0x80) {
            *ret = value;
            return i + 1;
        }
    }
    return 0;
}

size_t record_write(unsigned char *bytes, const brisk_record *record, uint64_t *time_ns)
{
    bool has_key =
        record->key != NULL && record->key_size > 0 && record->key_size <= BRISK_RECORD_KEY_MAX;
    uint32_t tier = record->tier <= BRISK_RECORD_TIER_MAX ? record->tier : TIER_NONE;
    uint64_t delta = record->time_ns - *time_ns;
    uint64_t zigzag = delta << 1 ^ (delta >> 63 != 0 ? UINT64_MAX : 0);
    size_t used = 0;
    bytes[used++] = (unsigned char)((uint32_t)record->op | (record->hit ? FLAG_HIT : 0u) |
                                    tier << TIER_SHIFT | (has_key ? FLAG_KEY : 0u));
    used += put_number(bytes + used, zigzag);
    put_u64(bytes + used, record->hash);
    used += 8;
    used += put_number(bytes + used, record->size);
    if (has_key) {
        used += put_number(bytes + used, record->key_size);
        memcpy(bytes + used, record->key, record->key_size);
        used += record->key_size;
    }
    *time_ns = record->time_ns;
    return used;
}

/* The key behind `used` bytes; false: cut off or too long. */
static bool read_key(const unsigned char *bytes, size_t size, size_t *used, brisk_record *record)
{
    uint64_t key_size = 0;
    size_t part = get_number(bytes + *used, size - *used, &key_size);
    *used += part;
    if (part == 0 || key_size == 0 || key_size > BRISK_RECORD_KEY_MAX || key_size > size - *used) {
        return false;
    }
    record->key = bytes + *used;
    record->key_size = (size_t)key_size;
    *used += (size_t)key_size;
    return true;
}

size_t record_read(const unsigned char *bytes, size_t size, brisk_record *record, uint64_t *time_ns)
{
    if (size < 1) {
        return 0;
    }
    uint32_t flags = bytes[0];
    uint32_t tier = flags >> TIER_SHIFT & TIER_NONE;
    uint64_t zigzag = 0;
    size_t used = 1;
    size_t part = get_number(bytes + used, size - used, &zigzag);
    used += part;
    if (part == 0 || size - used < 8 || (flags & FLAG_OP) > BRISK_RECORD_REMOVE) {
        return 0;
    }
    *record = (brisk_record){
        .hash = get_u64(bytes + used),
        .op = (brisk_record_op)(flags & FLAG_OP),
        .hit = (flags & FLAG_HIT) != 0,
        .tier = tier == TIER_NONE ? UINT32_MAX : tier,
    };
    used += 8;
    part = get_number(bytes + used, size - used, &record->size);
    used += part;
    if (part == 0 || ((flags & FLAG_KEY) != 0 && !read_key(bytes, size, &used, record))) {
        return 0;
    }
    *time_ns += zigzag >> 1 ^ ((zigzag & 1) != 0 ? UINT64_MAX : 0);
    record->time_ns = *time_ns;
    return used;
}
