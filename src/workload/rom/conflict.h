/*
 * conflict.h -- contradictions said in words and as JSON.
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_CONFLICT_H
#define BRISK_SRC_WORKLOAD_ROM_CONFLICT_H

#include <brisk/json.h>
#include <brisk/workload.h>

#include "workload/rom/apply.h"

enum { ROM_HEX_SHOWN = 8, ROM_HEX_TEXT_MAX = 3 * ROM_HEX_SHOWN + 4 };

/* Owner of checksum bytes that brisk itself wrote. */
#define ROM_OWNER_CHECKSUM UINT32_MAX

/* Name of the owner of a write: a unit's, or "checksum". */
const char *rom_owner_name(const rom_job *job, uint32_t owner);

/* "EA EA", at most ROM_HEX_SHOWN bytes and then "...". */
void rom_hex(const uint8_t *bytes, uint64_t size, char ret[ROM_HEX_TEXT_MAX]);

/* Where a byte of the file is: "$00810A (0x10A)", "0x10A", or "copier header 0x1A". */
enum { ROM_PLACE_TEXT_MAX = 48 };
void rom_place_text(const rom_job *job, uint64_t file_offset, char ret[ROM_PLACE_TEXT_MAX]);

/* Fail the stage with every conflict that is shown of job->conflicts; the details are JSON. */
brisk_err rom_conflicts_fail(brisk_stage_ctx *ctx, const rom_job *job);
/* job->conflicts as members of the object that is open. */
void rom_conflicts_write_json(const rom_job *job, brisk_json *json);

#endif /* BRISK_SRC_WORKLOAD_ROM_CONFLICT_H */
