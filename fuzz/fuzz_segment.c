/*
 * fuzz_segment.c -- any bytes as a segment of the disk tier.  Oracle: scanning ends, stays within
 * the bytes, and gives only records that check out at their place; parts of a record lie within it.
 *
 * Checksums keep a fuzzer out, so a first byte that is odd has every place where a head could begin
 * sealed anew: then sizes, codecs and compressed bytes are whatever the fuzzer likes.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "cache/disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEGMENT = 7, INPUT_MAX = 1 << 16 };

static const uint64_t seed = 42;

static ssize_t read_at(int fd, void *data, size_t size, off_t offset)
{
    return pread(fd, data, size, offset);
}

/* There are no dictionaries. */
static int open_nothing(int dir, const char *name, int flags, mode_t mode)
{
    (void)dir;
    (void)name;
    (void)flags;
    (void)mode;
    errno = ENOENT;
    return -1;
}

static const disk_sys calls = {.openat = open_nothing, .pread = read_at};

/* Give every head in the bytes its place and a good checksum, one after the other. */
static void seal_heads(unsigned char *bytes, size_t size)
{
    for (size_t at = DISK_SEGMENT_HEAD; at + DISK_RECORD_FIXED <= size;) {
        disk_place place = {.seed = seed, .segment = SEGMENT, .offset = (uint32_t)at};
        disk_record record;
        uint32_t state = disk_record_state(bytes + at);
        uint32_t live = DISK_RECORD_LIVE;
        memcpy(bytes + at, &live, sizeof live);
        (void)disk_record_check(bytes + at, size - at, &place, &record);
        if (record.key == NULL || record.size > size - at) {
            memcpy(bytes + at, &state, sizeof state);
            at += DISK_RECORD_ALIGN;
            continue;
        }
        disk_record_seal(bytes + at, record.size, &place);
        if (state == DISK_RECORD_DEAD) {
            memcpy(bytes + at, &state, sizeof state);
        }
        at += (size_t)record.size;
    }
}

static void use_record(disk_tier *tier, const unsigned char *bytes, const disk_record *record)
{
    BRISK_ASSERT(record->key_size >= 1 && record->key_size <= BRISK_KEY_BYTES_MAX);
    BRISK_ASSERT(record->meta_size <= BRISK_TIER_META_MAX);
    BRISK_ASSERT(record->flags <= DISK_FLAGS_MAX);
    BRISK_ASSERT(record->key > bytes && record->meta == record->key + record->key_size);
    BRISK_ASSERT(record->value == record->meta + record->meta_size);
    BRISK_ASSERT((uint64_t)(record->value - bytes) + record->stored_size <= record->size);
    if (record->codec == DISK_FILE) {
        return;
    }
    disk_scratch *scratch = disk_scratch_take(tier);
    unsigned char *raw = malloc(record->raw_size + (size_t)1);
    BRISK_ASSERT(scratch != NULL && raw != NULL);
    brisk_err err = disk_expand(tier, scratch, record, (disk_span){raw, record->raw_size});
    BRISK_ASSERT(err == BRISK_OK || err == BRISK_ERR_CORRUPT ||
                 (err == BRISK_ERR_NOT_FOUND && record->dict != 0));
    free(raw);
    disk_scratch_give(tier, scratch);
}

/* A scan that sums nothing where heads lead on: it ends and stays within the bytes all the same. */
static void glance(const disk_tier *tier, const unsigned char *bytes, size_t size)
{
    unsigned char *map = malloc(size != 0 ? size : 1); /* the sanitizer watches its end */
    BRISK_ASSERT(map != NULL);
    memcpy(map, bytes, size);
    disk_scan scan = {.tier = tier,
                      .fd = -1,
                      .segment = SEGMENT,
                      .at = DISK_SEGMENT_HEAD,
                      .end = size,
                      .map = map,
                      .glances = true};
    uint64_t offset;
    uint64_t end = 0;
    disk_record record;
    while (disk_scan_next(&scan, &offset, &record)) {
        BRISK_ASSERT(offset >= end && offset + record.size == scan.at && scan.at <= size);
        BRISK_ASSERT(record.key > map && record.value + record.stored_size <= map + size);
        end = scan.at;
    }
    free(map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_MAX) {
        return 0;
    }
    unsigned char *bytes = aligned_alloc(64, INPUT_MAX);
    unsigned char *buffer = aligned_alloc(64, INPUT_MAX);
    BRISK_ASSERT(bytes != NULL && buffer != NULL);
    bool sealed = (data[0] & 1) != 0;
    memcpy(bytes, data + 1, size - 1);
    if (sealed) {
        seal_heads(bytes, size - 1);
    }
    int fd = memfd_create("segment", MFD_CLOEXEC);
    BRISK_ASSERT(fd >= 0 && write(fd, bytes, size - 1) == (ssize_t)(size - 1));
    static disk_tier tier;
    tier = (disk_tier){.sys = &calls, .alloc = brisk_alloc_libc(), .seed = seed, .dir_fd = -1};
    pthread_mutex_init(&tier.scratch_lock, NULL);
    pthread_mutex_init(&tier.dict_lock, NULL);
    disk_scan scan = {.tier = &tier,
                      .fd = fd,
                      .segment = SEGMENT,
                      .at = DISK_SEGMENT_HEAD,
                      .end = size - 1,
                      .buffer = buffer,
                      .buffer_size = data[0] >= 128 ? INPUT_MAX : 4096}; /* and refills */
    uint64_t offset;
    uint64_t end = 0;
    disk_record record;
    while (disk_scan_next(&scan, &offset, &record)) {
        BRISK_ASSERT(offset >= end && offset + record.size == scan.at && scan.at <= size - 1);
        const unsigned char *begin = record.key - disk_record_head_bytes(&record);
        BRISK_ASSERT(memcmp(record.key, bytes + offset + (record.key - begin),
                            (size_t)(record.size - (uint64_t)(record.key - begin))) == 0);
        end = scan.at;
        use_record(&tier, begin, &record);
    }
    glance(&tier, bytes, size - 1);
    disk_scratch_free_all(&tier);
    disk_dict_free_all(&tier);
    (void)close(fd);
    free(buffer);
    free(bytes);
    return 0;
}
