/*
 * fuzz_segment.c -- any bytes as a segment of the disk tier.  Oracle: scanning ends, stays within
 * the bytes, and gives only records that check out at their place; parts of a record lie within it.
 *
 * Checksums keep a fuzzer out, so a first byte that is odd has every place where a head could begin
 * sealed anew: then sizes, codecs and compressed bytes are whatever the fuzzer likes.
 */
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

static const disk_sys calls = {.pread = read_at};

/* Give every head in the bytes its place and a good checksum, one after the other. */
static void seal_heads(unsigned char *bytes, size_t size)
{
    for (size_t at = DISK_SEGMENT_HEAD; at + DISK_RECORD_HEAD <= size;) {
        disk_place place = {.seed = seed, .segment = SEGMENT, .offset = (uint32_t)at};
        const disk_record_head *head = disk_record_head_of(bytes + at);
        uint64_t whole = disk_record_size(head->key_size, head->meta_size, head->stored_size);
        if (whole == 0 || whole > size - at) {
            at += DISK_RECORD_ALIGN;
            continue;
        }
        uint64_t state = head->state;
        disk_record_seal(bytes + at, whole, &place);
        memcpy(bytes + at, &state, sizeof state);
        at += (size_t)whole;
    }
}

static void use_record(disk_tier *tier, const unsigned char *record, uint64_t size)
{
    const disk_record_head *head = disk_record_head_of(record);
    const unsigned char *value = disk_record_value(record);
    BRISK_ASSERT(head->key_size >= 1 && head->key_size <= BRISK_KEY_BYTES_MAX);
    BRISK_ASSERT(head->meta_size <= BRISK_TIER_META_MAX);
    BRISK_ASSERT(value >= record && (uint64_t)(value - record) + head->stored_size <= size);
    if (head->codec != DISK_ZSTD) {
        return;
    }
    disk_scratch *scratch = disk_scratch_take(tier);
    unsigned char *raw = malloc(head->raw_size + (size_t)1);
    BRISK_ASSERT(scratch != NULL && raw != NULL);
    brisk_err err =
        disk_decompress(tier, scratch, (disk_span){raw, head->raw_size}, value, head->stored_size);
    BRISK_ASSERT(err == BRISK_OK || err == BRISK_ERR_CORRUPT);
    free(raw);
    disk_scratch_give(tier, scratch);
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
    disk_tier tier = {.sys = &calls, .alloc = brisk_alloc_libc(), .seed = seed};
    pthread_mutex_init(&tier.scratch_lock, NULL);
    disk_scan scan = {.tier = &tier,
                      .fd = fd,
                      .segment = SEGMENT,
                      .at = DISK_SEGMENT_HEAD,
                      .end = size - 1,
                      .buffer = buffer,
                      .buffer_size = data[0] >= 128 ? INPUT_MAX : 4096}; /* and refills */
    uint64_t offset;
    uint64_t end = 0;
    const unsigned char *record;
    while (disk_scan_next(&scan, &offset, &record)) {
        BRISK_ASSERT(offset >= end && offset < scan.at && scan.at <= size - 1);
        BRISK_ASSERT(memcmp(record + 8, bytes + offset + 8, (size_t)(scan.at - offset) - 8) == 0);
        end = scan.at;
        use_record(&tier, record, scan.at - offset);
    }
    disk_scratch_free_all(&tier);
    (void)close(fd);
    free(buffer);
    free(bytes);
    return 0;
}
