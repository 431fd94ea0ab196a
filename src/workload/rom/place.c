/*
 * place.c -- clone, then read back and hash, behind place.h.
 *
 * A clone moves no bytes where the file system can (reflink) and copies once in the kernel where
 * it cannot; reading back proves the file that the user gets, not the one in the cache.
 * Measured on ext4, 32 MiB in the page cache, best of 15: copy_file_range and read-back 8.7 ms,
 * one loop of read, hash and write 7.8 ms, copy_file_range alone 5.9 ms; so the clone costs a
 * tenth where there is no reflink, and saves the copy where there is one.
 *
 * What placing will take is what storing took: both copy the file once and hash it once.  Measured
 * there, medians of 32 MiB and 4 MiB: storing 13.3 and 1.5 ms, placing 12.9 and 1.4 ms, computing
 * from a BPS patch 12.7 and 1.2 ms.
 */
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/alloc.h>
#include <brisk/clock.h>
#include <brisk/file.h>

#include "workload/rom/place.h"

enum {
    CHUNK_BYTES = 256 << 10, /* read back in pieces that stay in the second-level cache */
    CHUNK_ALIGN = 4096,
    PROBE_BYTES = 1 << 20,
    MARGIN_PERCENT = 150, /* computing must be this much cheaper to be preferred */
};

static brisk_err verify(int fd, uint64_t size, brisk_hash128 content)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    unsigned char *chunk = alloc->acquire(alloc->ctx, CHUNK_BYTES, CHUNK_ALIGN);
    if (chunk == NULL) {
        return BRISK_ERR_NOMEM;
    }
    brisk_hasher hasher;
    brisk_hasher_init(&hasher, 0);
    brisk_err err = BRISK_OK;
    for (uint64_t at = 0; err == BRISK_OK && at < size; at += CHUNK_BYTES) {
        size_t part = size - at < CHUNK_BYTES ? (size_t)(size - at) : CHUNK_BYTES;
        err = brisk_file_pread_all(fd, chunk, part, at);
        if (err == BRISK_OK) {
            brisk_hasher_update(&hasher, chunk, part);
        }
    }
    alloc->release(alloc->ctx, chunk, CHUNK_BYTES, CHUNK_ALIGN);
    brisk_hash128 found = brisk_hasher_digest128(&hasher);
    if (err == BRISK_OK && (found.lo != content.lo || found.hi != content.hi)) {
        return BRISK_ERR_CORRUPT;
    }
    return err;
}

brisk_err rom_place(const brisk_value *value, brisk_hash128 content, int fd, const char **how)
{
    uint64_t size = brisk_value_size(value);
    const void *data = brisk_value_data(value);
    if (data != NULL || size == 0) {
        brisk_hash128 found = brisk_hash128_of(data, (size_t)size, 0);
        if (found.lo != content.lo || found.hi != content.hi) {
            return BRISK_ERR_CORRUPT;
        }
        *how = "write";
        return brisk_file_write_all(fd, data, (size_t)size);
    }
    struct stat st;
    if (fstat(brisk_value_fd(value), &st) != 0) {
        return BRISK_ERR_IO;
    }
    if (st.st_size < 0 || (uint64_t)st.st_size < size) {
        return BRISK_ERR_CORRUPT;
    }
    brisk_file_how moved = BRISK_FILE_READ_WRITE;
    brisk_err err = brisk_file_clone(brisk_value_fd(value), fd, size, &moved);
    if (err == BRISK_OK) {
        err = verify(fd, size, content);
    }
    if (err == BRISK_OK) {
        *how = brisk_file_how_name(moved);
    }
    return err;
}

static bool is_clearly_more(uint64_t place_ns, uint64_t cost_ns)
{
    return place_ns > cost_ns && place_ns - cost_ns > cost_ns / 100 * (MARGIN_PERCENT - 100);
}

/* What placing `value` would take by the pace of its first piece; 0 when that cannot be told. */
static uint64_t probe(const brisk_value *value, int fd)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    uint64_t size = brisk_value_size(value);
    size_t piece = size < PROBE_BYTES ? (size_t)size : PROBE_BYTES;
    if (piece == 0) {
        return 0;
    }
    unsigned char *bytes = alloc->acquire(alloc->ctx, PROBE_BYTES, CHUNK_ALIGN);
    if (bytes == NULL) {
        return 0;
    }
    uint64_t begin = brisk_clock_now_ns(NULL);
    brisk_err err = brisk_file_pread_all(brisk_value_fd(value), bytes, piece, 0);
    if (err == BRISK_OK) {
        err = brisk_file_pwrite_all(fd, bytes, piece, 0);
    }
    (void)brisk_hash128_of(bytes, piece, 0); /* another library's: not optimised away */
    uint64_t taken = brisk_clock_now_ns(NULL) - begin;
    alloc->release(alloc->ctx, bytes, PROBE_BYTES, CHUNK_ALIGN);
    if (ftruncate(fd, 0) != 0 || err != BRISK_OK) {
        return 0;
    }
    return (uint64_t)((double)taken * (double)size / (double)piece);
}

bool rom_place_is_slower(const brisk_hit *hit, int fd, uint64_t *place_ns)
{
    *place_ns = hit->store_ns;
    if (brisk_value_data(hit->value) != NULL || hit->store_ns == 0 || hit->cost_ns == 0 ||
        !is_clearly_more(hit->store_ns, hit->cost_ns)) {
        return false;
    }
    uint64_t probed_ns = probe(hit->value, fd);
    *place_ns = probed_ns != 0 ? probed_ns : hit->store_ns;
    return is_clearly_more(*place_ns, hit->cost_ns);
}
