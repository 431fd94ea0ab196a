/*
 * output.h -- the one way a ROM is written: in order, once, with every digest taken on the way.
 *
 *     small writes ──► staging buffer ──┐ full
 *     large writes ──────(in pieces)────┴─► CRC32, XXH3, sums (bytes are in the cache) ─► write(2)
 *
 * Bytes are digested while they are in the processor's second-level cache, so there is no second
 * pass over the file.  Memory: the staging buffer, whatever the size of the ROM.
 *
 * The size is given at the start: more is refused, less is an error at the end.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_OUTPUT_H
#define BRISK_SRC_WORKLOAD_ROM_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>
#include <brisk/hash.h>

#include "workload/rom/checksum.h"
#include "workload/rom/system.h"

typedef struct rom_output rom_output;

typedef struct rom_output_opts {
    const char *name;         /* for messages; borrowed */
    uint64_t size;            /* of the whole file; at most ROM_BYTES_MAX */
    uint32_t skip;            /* bytes in front that are no ROM: not in rom_crc32 and sums */
    bool sums;                /* take byte sums, for rom_output_fix_checksums */
    size_t buffer_bytes;      /* 0 means the measured default */
    const brisk_alloc *alloc; /* borrowed; NULL means libc */
} rom_output_opts;

/* What was written; all of it known without reading the file again. */
typedef struct rom_output_result {
    uint64_t size;
    uint32_t file_crc32;
    uint32_t rom_crc32;    /* without opts.skip bytes */
    brisk_hash128 content; /* brisk_hash128_of(file, size, 0) */
    uint32_t fix_count;    /* places that rom_output_fix_checksums changed */
} rom_output_result;

/*
 * Write to `fd` (borrowed, empty, at offset 0, readable too) from its start.
 * Errors: LIMIT (size), NOMEM.
 */
BRISK_NODISCARD brisk_err rom_output_create(int fd, const rom_output_opts *opts, rom_output **ret,
                                            brisk_errinfo *info);
/* Free it; what is staged and not finished is lost.  NULL is accepted. */
void rom_output_destroy(rom_output *output);

/* Append.  Errors: CORRUPT (more than the size), IO, FULL. */
BRISK_NODISCARD brisk_err rom_output_write(rom_output *output, const void *data, size_t size,
                                           brisk_errinfo *info);
/* Append `size` times `value`. */
BRISK_NODISCARD brisk_err rom_output_fill(rom_output *output, uint8_t value, uint64_t size,
                                          brisk_errinfo *info);
/*
 * Append `size` bytes that were written before, from offset `from` < written; the range may run
 * into the bytes being appended, which repeats them.  Errors also: CORRUPT (`from` not written).
 */
BRISK_NODISCARD brisk_err rom_output_repeat(rom_output *output, uint64_t from, uint64_t size,
                                            brisk_errinfo *info);
/* Bytes appended so far, staged ones included. */
uint64_t rom_output_written(const rom_output *output);

/* Flush; the file is complete.  Errors: CORRUPT (fewer bytes than the size), IO, FULL. */
BRISK_NODISCARD brisk_err rom_output_finish(rom_output *output, rom_output_result *ret,
                                            brisk_errinfo *info);

/*
 * After finish: recognise what was written, put right checksums into its header, and bring
 * *result up to date.  `ret` (may be NULL) receives what was recognised, checksums computed.
 * The CRC32s are corrected by arithmetic; only when a byte really changed is `content` taken
 * again, by one pass over the cached pages.
 * Errors: IO, FULL, NOMEM.
 */
BRISK_NODISCARD brisk_err rom_output_fix_checksums(rom_output *output, rom_output_result *result,
                                                   rom_info *ret, brisk_errinfo *info);

#endif /* BRISK_SRC_WORKLOAD_ROM_OUTPUT_H */
