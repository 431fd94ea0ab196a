/*
 * patch.h -- IPS, UPS and BPS patches: read, matched to a ROM, applied as a stream or as writes.
 *
 *     rom_patch_open    the file is sound: magic, every bound, its own CRC32
 *     rom_patch_fit     it belongs to this ROM; how the result is laid out
 *     rom_patch_apply   source + patch -> rom_output, in order of the target
 *     rom_patch_writes  source + patch -> exactly the bytes that differ, for several mods at once
 *
 * Nothing is ever allocated from a size that the patch declares.  A patch that does not produce
 * what it declares, or whose result has another CRC32, fails; the caller then drops the output.
 *
 * A ROM with a copier header: BPS and UPS know their source's CRC32, so that a patch made for the
 * bare ROM is noticed; it is applied behind the header, which is kept (fit.skip = 512).  IPS knows
 * nothing, so the caller decides (opts.ips_skip).
 *
 * Threads: a rom_patch does not change after open; any number of threads may use it.
 * Source:  IPS: zerosoft "IPS file format"; UPS and BPS: byuu, "UPS" and "BPS file format
 *          specification" (public domain).
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_PATCH_H
#define BRISK_SRC_WORKLOAD_ROM_PATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/arena.h>
#include <brisk/err.h>

#include "workload/rom/output.h"
#include "workload/rom/rom.h"
#include "workload/rom/writes.h"

typedef enum rom_patch_format {
    ROM_PATCH_IPS = 0,
    ROM_PATCH_UPS,
    ROM_PATCH_BPS,
} rom_patch_format;

enum {
    ROM_IPS_RECORDS_MAX = 4 << 20, /* a 16 MiB file changed at every fourth byte */
    ROM_IPS_TARGET_MAX = (16 << 20) + (64 << 10),
};

/* Part of an IPS target: literal bytes, or one value repeated when `data` is NULL. */
typedef struct rom_ips_run {
    const uint8_t *data;
    uint32_t offset;
    uint32_t size;
    uint8_t fill;
} rom_ips_run;

typedef struct rom_patch {
    rom_patch_format format;
    rom_bytes file; /* borrowed until close */
    bool has_crcs;  /* UPS, BPS */
    uint32_t source_crc32;
    uint32_t target_crc32;
    uint64_t source_size; /* UPS, BPS: declared */
    uint64_t target_size; /* UPS, BPS: declared; at most ROM_BYTES_MAX */
    const char *metadata; /* BPS: not NUL-terminated, may be any bytes */
    size_t metadata_size;
    /* What follows is for the formats' own files. */
    size_t body_begin; /* first record, hunk or action */
    size_t body_end;   /* behind the last one */
    uint64_t ips_end;  /* IPS: end of the last byte written */
    uint64_t ips_cut;  /* IPS: truncation, or UINT64_MAX */
    uint32_t ips_records;
    rom_ips_run *ips_runs; /* IPS: sorted and disjoint; NULL when the records already are */
    size_t ips_run_count;
    size_t ips_run_capacity;
    const brisk_alloc *alloc;
} rom_patch;

/* Is this the beginning of a patch of any format, known or not?  (To tell it from a mod file.) */
bool rom_patch_is_patch(const rom_bytes *file);
const char *rom_patch_format_name(rom_patch_format format); /* "IPS" */

/*
 * Check all of `file`.  The caller closes *ret; `alloc` NULL means libc (used only for IPS
 * records that overlap or are out of order).
 * Errors (`info` names file and offset): CORRUPT (truncated, damaged, contradicts itself),
 * UNSUPPORTED (another patch format, named; or no patch at all), LIMIT, NOMEM.
 */
BRISK_NODISCARD brisk_err rom_patch_open(const rom_bytes *file, const brisk_alloc *alloc,
                                         rom_patch *ret, brisk_errinfo *info);
/* How many writes an IPS patch surely makes before unchanged ones are left out; else 0. */
uint64_t rom_patch_records(const rom_patch *patch);
/* Free what open took.  A zeroed patch is accepted. */
void rom_patch_close(rom_patch *patch);

/* The ROM a patch is applied to. */
typedef struct rom_source {
    rom_bytes file;
    uint32_t copier_bytes; /* of detection: 0 or ROM_COPIER_BYTES */
    bool has_crcs;         /* the two below are known; otherwise they are taken when needed */
    uint32_t file_crc32;
    uint32_t rom_crc32;
} rom_source;

typedef struct rom_fit_opts {
    bool force; /* take another ROM than the patch names; the result's CRC32 is then not checked */
    bool ips_skip; /* IPS: offsets count behind the copier header; false: from the file's start */
} rom_fit_opts;

/* How source, patch and target lie on each other. */
typedef struct rom_fit {
    uint32_t skip;        /* bytes of the source copied in front, unpatched: 0 or copier_bytes */
    uint64_t target_size; /* of the whole output file, those included */
    bool is_exact;        /* source has the CRC32 and size that the patch names */
} rom_fit;

/*
 * Does `patch` belong to `source`?  `opts` NULL means no exceptions.
 * Errors: MISMATCH (another ROM: names both CRC32s and sizes; or the ROM already is the result),
 * LIMIT (target larger than ROM_BYTES_MAX).
 */
BRISK_NODISCARD brisk_err rom_patch_fit(const rom_patch *patch, const rom_source *source,
                                        const rom_fit_opts *opts, rom_fit *ret,
                                        brisk_errinfo *info);

/*
 * Write the whole target file, fit->target_size bytes, to `output`, which was created with that
 * size and fit->skip as opts.skip.  Checks the result's CRC32 (unless forced) at the end.
 * Errors: CORRUPT (bad actions, wrong result), IO, FULL; what was written is then worthless.
 */
BRISK_NODISCARD brisk_err rom_patch_apply(const rom_patch *patch, const rom_source *source,
                                          const rom_fit *fit, rom_output *output,
                                          brisk_errinfo *info);

/*
 * What all lists of one job may hold together, so that small patches that say much, or many that
 * say the same, cannot take more time and memory than their files and the ROM are worth.
 * Any number of threads may add.
 */
typedef struct rom_budget {
    _Atomic uint64_t writes; /* at most ROM_WRITES_MAX */
    _Atomic uint64_t bytes;  /* in writes, borrowed or not: at most ROM_CHANGED_BYTES_MAX */
    _Atomic uint64_t memory; /* of bytes that had to be made: at most memory_max */
    uint64_t memory_max;
} rom_budget;

#define ROM_CHANGED_BYTES_MAX (UINT64_C(4) << 30) /* 16 results of the largest size */

/* Where writes go: the list they are added to, the arena their bytes live in, whose they are. */
typedef struct rom_writes_sink {
    rom_writes *list;
    brisk_arena *arena;
    uint32_t owner;
    bool changes_only;          /* IPS too: leave out bytes that are as in the source */
    rom_budget *budget;         /* NULL: none */
    bool (*stopped)(void *ctx); /* asked now and then: CANCELLED when true; or NULL */
    void *stopped_ctx;
} rom_writes_sink;

/*
 * Add to `sink` what `patch` changes, sorted and disjoint, offsets behind fit->skip.  IPS: every
 * byte that a record covers (last record wins), whether it differs or not unless changes_only is
 * set.  UPS and BPS: exactly the bytes that differ from the source; those beyond its end are all changes.  The result is cut
 * or extended with zeros to fit->target_size - fit->skip.
 * Bytes are borrowed from patch and source or live in the sink's arena (at most one target in all).
 * Errors: as apply, NOMEM, LIMIT (ROM_WRITES_MAX runs, the budget), CANCELLED.
 */
BRISK_NODISCARD brisk_err rom_patch_writes(const rom_patch *patch, const rom_source *source,
                                           const rom_fit *fit, const rom_writes_sink *sink,
                                           brisk_errinfo *info);

#endif /* BRISK_SRC_WORKLOAD_ROM_PATCH_H */
