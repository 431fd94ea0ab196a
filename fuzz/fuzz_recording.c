/*
 * fuzz_recording.c -- recordings from hostile bytes.
 *
 * The bytes as they are, and then as the contents of a block with a good head and good checksums,
 * so that the reader of records gets them too.  Every record must lie within its limits, and
 * writing and reading it again must give it back.
 */
#include <stdlib.h>
#include <string.h>

#include "cache/record_file.h"

static void must(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_record(const brisk_record *record)
{
    unsigned char bytes[RECORD_ONE_MAX];
    brisk_record again;
    uint64_t written_ns = 17;
    uint64_t read_ns = 17;
    must(record->key_size <= BRISK_RECORD_KEY_MAX &&
         (record->key == NULL) == (record->key_size == 0));
    must(record->tier <= BRISK_RECORD_TIER_MAX || record->tier == UINT32_MAX);
    size_t size = record_write(bytes, record, &written_ns);
    must(size <= sizeof bytes && record_read(bytes, size, &again, &read_ns) == size);
    must(again.time_ns == record->time_ns && again.hash == record->hash &&
         again.size == record->size && again.tier == record->tier && again.op == record->op &&
         again.hit == record->hit && again.key_size == record->key_size);
    must(record->key == NULL || memcmp(again.key, record->key, record->key_size) == 0);
}

static void read_recording(const unsigned char *data, size_t size)
{
    brisk_recording *recording = NULL;
    if (brisk_recording_open_bytes(data, size, NULL, &recording) != BRISK_OK) {
        return;
    }
    brisk_record record;
    uint64_t count = 0;
    brisk_err err;
    while ((err = brisk_recording_next(recording, &record)) == BRISK_OK) {
        check_record(&record);
        count++;
    }
    brisk_recording_stats stats;
    brisk_recording_read_stats(recording, &stats);
    must(err == BRISK_ERR_NOT_FOUND && stats.records == count);
    brisk_recording_close(recording);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    enum { BODY_MAX = 4096, AT = RECORD_FILE_HEAD + RECORD_BLOCK_HEAD };
    static unsigned char made[AT + BODY_MAX];
    read_recording(data, size);
    if (size < 2 || size - 2 > BODY_MAX) {
        return 0;
    }
    record_block block = {
        .raw_size = (uint32_t)size - 2,
        .packed_size = (uint32_t)size - 2,
        .count = data[0],
        .codec = data[1] % 3,
        .packed_hash = brisk_hash64(data + 2, size - 2, 0),
    };
    block.raw_size += data[1] % 3 == 1 ? data[0] : 0u;
    memset(made, 0, sizeof made);
    record_file_head_write(made, RECORD_FLAG_KEYS);
    record_block_write(made + RECORD_FILE_HEAD, &block);
    memcpy(made + AT, data + 2, size - 2);
    read_recording(made, AT + ((size + 5) & ~(size_t)7));
    return 0;
}
