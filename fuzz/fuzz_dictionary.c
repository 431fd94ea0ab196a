/*
 * fuzz_dictionary.c -- any bytes as the file of a dictionary.  Oracle: it is loaded or NOT_FOUND,
 * for good; what is squeezed with a loaded one expands to the same bytes, hostile bytes expand to the
 * asked size or are CORRUPT.
 *
 *     input   how:1  the file: magic:8 number:4 size:4 checksum:8 bytes
 *
 * Checksums keep a fuzzer out, so with an odd first byte the head is made anew for the bytes that are
 * there: then zstd's own header of a dictionary is whatever the fuzzer likes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <brisk/hash.h>

#include "base/assert.h"
#include "cache/disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NUMBER = 3, INPUT_MAX = 1 << 16, HEAD = 24, SUM_AT = 16, RAW = 600 };

static const uint64_t seed = 42;
static int file_fd = -1;
static unsigned int opened;

static ssize_t read_at(int fd, void *data, size_t size, off_t offset)
{
    return pread(fd, data, size, offset);
}

static int open_input(int dir, const char *name, int flags, mode_t mode)
{
    (void)dir;
    (void)flags;
    (void)mode;
    BRISK_ASSERT(strcmp(name, "00000003.dict") == 0);
    opened++;
    return dup(file_fd);
}

static const disk_sys calls = {.openat = open_input, .pread = read_at};

static void seal_head(unsigned char *file, size_t size)
{
    uint64_t magic = DISK_DICT_MAGIC;
    uint32_t number = NUMBER;
    uint32_t bytes = (uint32_t)(size - HEAD);
    memcpy(file, &magic, sizeof magic);
    memcpy(file + 8, &number, sizeof number);
    memcpy(file + 12, &bytes, sizeof bytes);
    uint64_t sum = brisk_hash64(file + HEAD, bytes, brisk_hash64(file, SUM_AT, seed));
    memcpy(file + SUM_AT, &sum, sizeof sum);
}

static void use(disk_scratch *scratch, const codec_dict *dict, const unsigned char *file,
                size_t size)
{
    codec_how how = {.id = CODEC_ZSTD, .dict = dict};
    unsigned char raw[RAW] = "{\"id\":17,\"name\":\"alpha bravo\",\"score\":3.25},";
    unsigned char squeezed[2 * RAW];
    unsigned char expanded[RAW];
    size_t tail = size < RAW / 2 ? size : RAW / 2;
    memcpy(raw + RAW / 2, file + size - tail, tail); /* something of its own */
    size_t done = 0;
    brisk_err err = codec_squeeze(scratch->kit, &how, (codec_bytes){raw, RAW},
                                  (codec_room){squeezed, sizeof squeezed}, &done);
    if (err == BRISK_OK) {
        err = codec_expand(scratch->kit, &how, (codec_bytes){squeezed, done},
                           (codec_room){expanded, RAW});
        BRISK_ASSERT(err == BRISK_OK && memcmp(raw, expanded, RAW) == 0);
    }
    err = codec_expand(scratch->kit, &how, (codec_bytes){file + size - tail, tail},
                       (codec_room){expanded, RAW});
    BRISK_ASSERT(err == BRISK_OK || err == BRISK_ERR_CORRUPT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_MAX) {
        return 0;
    }
    size_t file_size = size - 1;
    unsigned char *file = malloc(file_size + 1);
    BRISK_ASSERT(file != NULL);
    memcpy(file, data + 1, file_size);
    bool sealed = (data[0] & 1) != 0 && file_size > HEAD;
    if (sealed) {
        seal_head(file, file_size);
    }
    file_fd = memfd_create("dictionary", MFD_CLOEXEC);
    BRISK_ASSERT(file_fd >= 0 && write(file_fd, file, file_size) == (ssize_t)file_size);
    static disk_tier tier;
    tier = (disk_tier){.sys = &calls,
                       .alloc = brisk_alloc_libc(),
                       .seed = seed,
                       .dir_fd = -1,
                       .level = data[0] & 2};
    pthread_mutex_init(&tier.scratch_lock, NULL);
    pthread_mutex_init(&tier.dict_lock, NULL);
    disk_scratch *scratch = disk_scratch_take(&tier);
    BRISK_ASSERT(scratch != NULL);
    brisk_err err = BRISK_OK;
    opened = 0;
    const codec_dict *dict = disk_dict_get(&tier, scratch, NUMBER, &err);
    BRISK_ASSERT(dict != NULL || err == BRISK_ERR_NOT_FOUND);
    if (dict != NULL) {
        BRISK_ASSERT(codec_dict_bytes(dict).size <= file_size - HEAD);
        use(scratch, dict, file, file_size);
    }
    BRISK_ASSERT(disk_dict_get(&tier, scratch, NUMBER, &err) == dict && opened == 1);
    disk_scratch_give(&tier, scratch);
    disk_scratch_free_all(&tier);
    disk_dict_free_all(&tier);
    (void)close(file_fd);
    free(file);
    return 0;
}
