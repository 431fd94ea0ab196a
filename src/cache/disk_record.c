/*
 * disk_record.c -- checks of the bytes in a segment; no I/O and no state.
 *
 * Everything in a record is hostile until its checksum has been seen; the sizes are needed before
 * that, so they are summed in 64 bits and bounded by the largest segment first.
 */
#include "cache/disk_record.h"

#include <brisk/hash.h>

#include "base/assert.h"
#include "wire/codec.h"

enum {
    SEGMENT_VERSION = 2,
    SUM_AT = 4,
    SUM_FROM = 12,
    KEY_SIZE_AT = 12,
    STORE_AT = 14,
    SIZES_AT = 16,
    RAW_BITS = 21,
    STORED_SHIFT = RAW_BITS,
    META_SHIFT = STORED_SHIFT + RAW_BITS,
    META_BITS = 9,
    CODEC_SHIFT = META_SHIFT + META_BITS,
    FLAGS_SHIFT = CODEC_SHIFT + 4,
    HAS_SHIFT = FLAGS_SHIFT + 4,
    HAS_ERA = 1,
    HAS_DICT = 2,
    HAS_COST = 4,
    HAS_EXPIRY = 8,
    MANTISSA_BITS = 11,
};

#define LOW(bits) ((UINT64_C(1) << (bits)) - 1)

static_assert(HAS_SHIFT + 4 <= 64, "the sizes fit one word");
static_assert(BRISK_VALUE_LARGE_BYTES < 1 << RAW_BITS, "values fit");
static_assert(BRISK_TIER_META_MAX < 1 << META_BITS, "meta data fits");
static_assert((int)CODEC_COUNT <= (int)DISK_FILE, "codecs fit");
static_assert(BRISK_KEY_BYTES_MAX - 1 <= UINT16_MAX, "keys fit");

static uint32_t has_of(const disk_record *record)
{
    return (record->era != 0 ? HAS_ERA : 0u) | (record->dict != 0 ? HAS_DICT : 0u) |
           (record->cost_ns != 0 ? HAS_COST : 0u) | (record->expires_at_ns != 0 ? HAS_EXPIRY : 0u);
}

static size_t head_bytes_of(uint64_t has)
{
    return DISK_RECORD_FIXED + ((has & HAS_ERA) != 0 ? 2u : 0u) +
           ((has & HAS_DICT) != 0 ? 2u : 0u) + ((has & HAS_COST) != 0 ? 8u : 0u) +
           ((has & HAS_EXPIRY) != 0 ? 8u : 0u);
}

size_t disk_record_head_bytes(const disk_record *record)
{
    return head_bytes_of(has_of(record));
}

static uint64_t whole_size(uint64_t head, const disk_record *record)
{
    uint64_t size = head + record->key_size + record->meta_size + record->stored_size;
    size = (size + DISK_RECORD_ALIGN - 1) & ~(uint64_t)(DISK_RECORD_ALIGN - 1);
    return size <= DISK_SEGMENT_BYTES_MAX - DISK_SEGMENT_HEAD ? size : 0;
}

uint64_t disk_record_bytes(const disk_record *record)
{
    if (record->key_size == 0 || record->key_size > BRISK_KEY_BYTES_MAX ||
        record->meta_size > BRISK_TIER_META_MAX || record->stored_size > BRISK_VALUE_LARGE_BYTES) {
        return 0;
    }
    return whole_size(disk_record_head_bytes(record), record);
}

static uint64_t seed_of(const disk_place *place)
{
    uint64_t where = (uint64_t)place->segment << 32 | place->offset;
    where *= UINT64_C(0x9e3779b97f4a7c15); /* odd: different places, different seeds */
    return place->seed ^ where ^ where >> 32;
}

static bool sizes_agree(const disk_record *record)
{
    if (record->codec == DISK_FILE) {
        return record->stored_size == DISK_FILE_REF_BYTES && record->raw_size == 0;
    }
    return record->codec < CODEC_COUNT && record->raw_size <= BRISK_VALUE_LARGE_BYTES &&
           record->stored_size <= BRISK_VALUE_LARGE_BYTES &&
           (record->codec != CODEC_PLAIN || record->raw_size == record->stored_size);
}

static uint64_t read_u64(const unsigned char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint16_t read_u16(const unsigned char *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* What took long is kept with 11 bits, below 2048 ns exactly. */
static uint16_t small_float(uint64_t value)
{
    uint32_t exponent = 0;
    while (value >> exponent > LOW(MANTISSA_BITS) && exponent < 31) {
        exponent++;
    }
    uint64_t mantissa = value >> exponent;
    mantissa = mantissa < LOW(MANTISSA_BITS) ? mantissa : LOW(MANTISSA_BITS);
    return (uint16_t)(exponent << MANTISSA_BITS | mantissa);
}

static uint64_t small_float_read(uint16_t bits)
{
    return (bits & LOW(MANTISSA_BITS)) << (bits >> MANTISSA_BITS);
}

/* The parts of the head that are not always there. */
static void read_optional(const unsigned char *at, uint64_t has, disk_record *ret)
{
    if ((has & HAS_ERA) != 0) {
        ret->era = read_u16(at);
        at += 2;
    }
    if ((has & HAS_DICT) != 0) {
        ret->dict = read_u16(at);
        at += 2;
    }
    if ((has & HAS_COST) != 0) {
        ret->cost_ns = read_u64(at);
        at += 8;
    }
    if ((has & HAS_EXPIRY) != 0) {
        ret->expires_at_ns = read_u64(at);
    }
}

disk_verdict disk_record_glance(const unsigned char *bytes, size_t size, uint32_t offset,
                                disk_record *ret)
{
    *ret = (disk_record){.size = DISK_RECORD_HEAD_MAX};
    if (size < DISK_RECORD_FIXED) {
        return DISK_RECORD_MORE;
    }
    uint32_t state = disk_record_state(bytes);
    uint64_t sizes = read_u64(bytes + SIZES_AT);
    if (state != DISK_RECORD_LIVE && state != DISK_RECORD_DEAD) {
        return DISK_RECORD_BAD;
    }
    ret->live = state == DISK_RECORD_LIVE;
    ret->key_size = read_u16(bytes + KEY_SIZE_AT) + 1u;
    ret->store_ns = small_float_read(read_u16(bytes + STORE_AT));
    ret->raw_size = (uint32_t)(sizes & LOW(RAW_BITS));
    ret->stored_size = (uint32_t)(sizes >> STORED_SHIFT & LOW(RAW_BITS));
    ret->meta_size = (uint32_t)(sizes >> META_SHIFT & LOW(META_BITS));
    ret->codec = (uint8_t)(sizes >> CODEC_SHIFT & LOW(4));
    ret->flags = (uint8_t)(sizes >> FLAGS_SHIFT & LOW(4));
    uint64_t has = sizes >> HAS_SHIFT;
    uint64_t head = head_bytes_of(has);
    uint64_t whole = whole_size(head, ret);
    if (has > LOW(4) || !sizes_agree(ret) || whole == 0 ||
        whole > DISK_SEGMENT_BYTES_MAX - (uint64_t)offset) {
        return DISK_RECORD_BAD;
    }
    ret->size = whole;
    ret->key = bytes + head;
    ret->meta = ret->key + ret->key_size;
    ret->value = ret->meta + ret->meta_size;
    if (head <= size) {
        read_optional(bytes + DISK_RECORD_FIXED, has, ret);
    }
    if (whole > size) {
        return DISK_RECORD_MORE;
    }
    return has_of(ret) == has ? DISK_RECORD_OK : DISK_RECORD_BAD; /* says nothing, and says so */
}

disk_verdict disk_record_check(const unsigned char *bytes, size_t size, const disk_place *place,
                               disk_record *ret)
{
    disk_verdict verdict = disk_record_glance(bytes, size, place->offset, ret);
    if (verdict != DISK_RECORD_OK) {
        return verdict;
    }
    uint64_t sum = brisk_hash64(bytes + SUM_FROM, (size_t)ret->size - SUM_FROM, seed_of(place));
    return sum == read_u64(bytes + SUM_AT) ? DISK_RECORD_OK : DISK_RECORD_BAD;
}

void disk_record_write_head(unsigned char *bytes, const disk_record *record)
{
    uint64_t has = has_of(record);
    BRISK_ASSERT(record->flags <= DISK_FLAGS_MAX && record->codec <= DISK_FILE);
    uint64_t sizes = has << HAS_SHIFT | (uint64_t)record->flags << FLAGS_SHIFT |
                     (uint64_t)record->codec << CODEC_SHIFT |
                     (uint64_t)record->meta_size << META_SHIFT |
                     (uint64_t)record->stored_size << STORED_SHIFT | record->raw_size;
    uint16_t key_size = (uint16_t)(record->key_size - 1);
    memset(bytes, 0, DISK_RECORD_FIXED);
    memcpy(bytes + KEY_SIZE_AT, &key_size, sizeof key_size);
    memcpy(bytes + SIZES_AT, &sizes, sizeof sizes);
    disk_record_set_store(bytes, record->store_ns);
    unsigned char *at = bytes + DISK_RECORD_FIXED;
    if ((has & HAS_ERA) != 0) {
        memcpy(at, &record->era, 2);
        at += 2;
    }
    if ((has & HAS_DICT) != 0) {
        memcpy(at, &record->dict, 2);
        at += 2;
    }
    if ((has & HAS_COST) != 0) {
        memcpy(at, &record->cost_ns, 8);
        at += 8;
    }
    if ((has & HAS_EXPIRY) != 0) {
        memcpy(at, &record->expires_at_ns, 8);
    }
}

void disk_record_set_store(unsigned char *bytes, uint64_t store_ns)
{
    uint16_t store = small_float(store_ns);
    memcpy(bytes + STORE_AT, &store, sizeof store);
}

void disk_record_seal(unsigned char *bytes, uint64_t size, const disk_place *place)
{
    BRISK_ASSERT(size >= DISK_RECORD_FIXED && size % DISK_RECORD_ALIGN == 0);
    uint32_t state = DISK_RECORD_LIVE;
    uint64_t sum = brisk_hash64(bytes + SUM_FROM, (size_t)size - SUM_FROM, seed_of(place));
    memcpy(bytes, &state, sizeof state);
    memcpy(bytes + SUM_AT, &sum, sizeof sum);
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
