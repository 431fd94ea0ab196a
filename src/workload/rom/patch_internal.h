/*
 * patch_internal.h -- what the patch formats' files share; patch.c is the only other user.
 *
 * Every format gives open, apply and writes; fit is common.  `behind` below is the source behind
 * fit->skip, and `size` the target's size without those bytes.
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_PATCH_INTERNAL_H
#define BRISK_SRC_WORKLOAD_ROM_PATCH_INTERNAL_H

#include "workload/rom/patch.h"

enum {
    ROM_VARINT_BYTES_MAX = 10, /* enough for 64 bits */
    ROM_PATCH_CRC_BYTES = 12,  /* source, target, patch: the last bytes of UPS and BPS */
    ROM_MAGIC_BYTES = 4,
};

/* A cursor over a patch; it never passes `end`. */
typedef struct rom_reader {
    const rom_bytes *file;
    size_t at;
    size_t end;
    brisk_errinfo *info;
} rom_reader;

/* "<patch>: <what> at offset 0x<at>" as CORRUPT. */
brisk_err rom_patch_damaged(const rom_reader *reader, size_t at, const char *what);
/* byuu's number: 7 bits a byte, the last one marked, every number in one form only. */
BRISK_NODISCARD brisk_err rom_read_varint(rom_reader *reader, const char *what, uint64_t *ret);
/* Sizes and CRC32s of UPS and BPS; the patch's own CRC32 is checked before anything else. */
BRISK_NODISCARD brisk_err rom_patch_read_frame(rom_patch *patch, rom_reader *reader,
                                               brisk_errinfo *info);

/* Where a target is made: the source's bytes and the size that is wanted. */
typedef struct rom_target {
    rom_bytes behind;
    uint64_t size;
} rom_target;

/* Append [from, to) of the source, zeros beyond its end. */
BRISK_NODISCARD brisk_err rom_copy_source(const rom_target *target, uint64_t from, uint64_t to,
                                          rom_output *output, brisk_errinfo *info);
/* Add one write of `size` > 0 bytes, however large. */
BRISK_NODISCARD brisk_err rom_sink_add(const rom_writes_sink *sink, uint64_t offset,
                                       const uint8_t *bytes, uint64_t size, brisk_errinfo *info);
/* Add what of `bytes` differs from the source at `offset`; all that lies beyond its end. */
BRISK_NODISCARD brisk_err rom_sink_add_changes(const rom_writes_sink *sink,
                                               const rom_target *target, uint64_t offset,
                                               const rom_bytes *bytes, brisk_errinfo *info);
/* Bytes in the sink's arena.  Errors: NOMEM, LIMIT (the budget). */
BRISK_NODISCARD brisk_err rom_sink_alloc(const rom_writes_sink *sink, size_t size, uint8_t **ret,
                                         brisk_errinfo *info);

brisk_err rom_ips_open(rom_patch *patch, brisk_errinfo *info);
void rom_ips_close(rom_patch *patch);
uint64_t rom_ips_target_size(const rom_patch *patch, uint64_t source_size);
brisk_err rom_ips_apply(const rom_patch *patch, const rom_target *target, rom_output *output,
                        brisk_errinfo *info);
brisk_err rom_ips_writes(const rom_patch *patch, const rom_target *target,
                         const rom_writes_sink *sink, brisk_errinfo *info);

brisk_err rom_ups_open(rom_patch *patch, brisk_errinfo *info);
brisk_err rom_ups_apply(const rom_patch *patch, const rom_target *target, rom_output *output,
                        brisk_errinfo *info);
brisk_err rom_ups_writes(const rom_patch *patch, const rom_target *target,
                         const rom_writes_sink *sink, brisk_errinfo *info);

brisk_err rom_bps_open(rom_patch *patch, brisk_errinfo *info);
brisk_err rom_bps_apply(const rom_patch *patch, const rom_target *target, rom_output *output,
                        brisk_errinfo *info);
brisk_err rom_bps_writes(const rom_patch *patch, const rom_target *target,
                         const rom_writes_sink *sink, brisk_errinfo *info);

#endif /* BRISK_SRC_WORKLOAD_ROM_PATCH_INTERNAL_H */
