/*
 * apply.h -- one `brisk rom apply`: the request, the state its stages share, and the stages.
 *
 *     rom_loading ──► address_resolution ──► patch_generation ──► conflict_detection
 *     (PREPARE)                                                          │
 *         file_writing ◄── validation ◄── rom_patching ◄─────────────────┘
 *         (DELIVER)
 *
 * Everything that changes the ROM is a unit: a patch given on the command line, or one component
 * of a mod file.  Units of one patch alone are streamed; several units become lists of writes,
 * all relative to the original ROM, which are merged.  A UPS or BPS patch that was made for the
 * result of the mods before it is stacked: applied to that result, and its changes win.
 *
 * A file that is named several times is mapped and parsed once; what changes the same as an
 * earlier unit makes no list of its own, unless something is stacked between them.
 *
 * Offsets in lists of writes count from the start of the file, copier header included.
 *
 * Threads: stages run one after the other; only patch_generation spreads over workers, one unit
 * each, and a unit is touched by nobody else meanwhile.
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_APPLY_H
#define BRISK_SRC_WORKLOAD_ROM_APPLY_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/file.h>
#include <brisk/module.h>
#include <brisk/workload.h>

#include "workload/rom/modfile.h"
#include "workload/rom/output.h"
#include "workload/rom/patch.h"
#include "workload/rom/result.h"
#include "workload/rom/system.h"
#include "workload/rom/writes.h"

enum {
    ROM_MODS_MAX = 256, /* on one command line */
    ROM_UNITS_MAX = 65536,
    ROM_WORKLOAD_VERSION = 1, /* part of every key */
};

/* Are checksums in the ROM's header made right? */
typedef enum rom_fix_mode {
    ROM_FIX_AUTO = 0, /* after mod files and merged mods; never where an exact result is declared */
    ROM_FIX_ALWAYS,
    ROM_FIX_NEVER,
} rom_fix_mode;

/* What the user asked for; outlives the job. */
typedef struct rom_request {
    /* When not NULL, all names below and those in mod files are looked up here and nothing is opened;
     * no two have the same name. */
    const rom_bytes *supplied;
    uint32_t supplied_count;
    bool in_memory; /* the result is not written to a file, but kept for rom_result_value */
    const char *rom_path;
    const char *const *mod_paths;
    uint32_t mod_count;
    const char *out_path;   /* NULL in a dry run */
    const char *trace_path; /* a second file that will be written, or NULL */
    rom_fix_mode fix;
    bool force;   /* wrong ROM for the mod: try all the same */
    bool no_sync; /* no fsync before the rename */
    bool dry_run; /* list the writes; the result goes into memory and is dropped */
} rom_request;

/* A file that was read: ROM, patch or mod file. */
typedef struct rom_input {
    const char *path;
    brisk_file_view view;
    brisk_hash128 hash; /* only where there is a key to be made */
} rom_input;

/* One mod of the command line. */
typedef struct rom_mod {
    rom_input input;
    bool is_patch;
    bool is_stacked;   /* made for the result of the mods before it */
    rom_modfile file;  /* when it is no patch */
    bool is_ambiguous; /* another file has a mod of this name */
    uint32_t same_as;  /* the first mod with this path, usually itself: it owns what is open */
    uint32_t unit_first;
    uint32_t unit_count;
} rom_mod;

/* What changes the ROM and is named in conflicts; its index is the owner of its writes. */
typedef struct rom_unit {
    const char *name; /* "infinite_magic/spend_magic", or the patch's path */
    uint32_t mod;
    const rom_mod_component *component; /* NULL: the mod is the patch */
    uint32_t same_as; /* the first unit that changes the same, usually itself: it owns the patch */
    rom_input patch_input; /* of a component */
    bool has_patch;
    rom_patch patch;
    rom_fit fit;
    uint64_t size;     /* of the file when this unit alone is applied */
    uint64_t *offsets; /* per write of the component */
    rom_writes writes;
} rom_unit;

typedef struct rom_job {
    const rom_request *request;
    _Atomic(const char *) stage; /* what runs now, for who watches; static, or NULL */
    bool hash_inputs;
    rom_input rom;
    rom_info info;
    rom_source source;
    rom_mod *mods;
    uint32_t mod_count;
    rom_unit *units;
    uint32_t unit_count;
    rom_budget budget; /* of all lists of writes */
    bool streamed;     /* one patch alone, no list of writes */
    bool fixes;        /* checksums are made right at the end */

    brisk_file_replace *output;
    int memory_fd;      /* of a dry run or a result in memory, otherwise -1 */
    bool output_used;   /* something was written to it */
    bool names_checked; /* neither output nor trace is an input */

    rom_writes merged; /* the whole change; empty when streamed */
    uint64_t size;     /* of the result */
    uint32_t size_owner;
    bool has_size_owner;
    rom_conflicts conflicts; /* why it was refused, when it was */
    bool has_exact_crc32;    /* the last patch declares what the result is */
    uint32_t exact_crc32;
    bool exact_is_rom; /* ... without its copier header */
    bool ips_fixes;    /* the first mod is an IPS patch that leaves a right checksum wrong */

    rom_info result_info; /* of the result; system unknown when its checksums were left alone */
    rom_result result;
    uint32_t result_rom_crc32; /* without copier header */
    bool has_result;
    brisk_value *cached;        /* accepted answer, or NULL */
    const char *placed_how;     /* static */
    uint64_t place_expected_ns; /* of the answer that was asked for, or 0 */
    uint64_t compute_ns;        /* likewise: what computing took then */
    char declined_by[BRISK_TIER_NAME_MAX];
    uint32_t fix_count;
} rom_job;

/* Does the result go into memory? */
static inline bool rom_job_is_in_memory(const rom_job *job)
{
    return job->request->dry_run || job->request->in_memory;
}

/* The file that the result is written to, or is in. */
static inline int rom_job_fd(const rom_job *job)
{
    return rom_job_is_in_memory(job) ? job->memory_fd : brisk_file_replace_fd(job->output);
}

/* The brief way to ask whether a unit or a mod is the first of those with the same file. */
static inline bool rom_unit_is_first(const rom_job *job, const rom_unit *unit)
{
    return &job->units[unit->same_as] == unit;
}

static inline bool rom_mod_is_first(const rom_job *job, const rom_mod *mod)
{
    return &job->mods[mod->same_as] == mod;
}

extern const brisk_workload rom_workload;
extern const struct brisk_form rom_form;
extern const brisk_command rom_cmd_info;
extern const brisk_command rom_cmd_apply;

/* The stages; `state` is a rom_job. */
brisk_err rom_stage_load(brisk_stage_ctx *ctx, void *state);
brisk_err rom_stage_resolve(brisk_stage_ctx *ctx, void *state);
brisk_err rom_stage_generate(brisk_stage_ctx *ctx, void *state);
brisk_err rom_stage_merge(brisk_stage_ctx *ctx, void *state);
brisk_err rom_stage_patch(brisk_stage_ctx *ctx, void *state);
brisk_err rom_stage_validate(brisk_stage_ctx *ctx, void *state);
brisk_err rom_stage_write(brisk_stage_ctx *ctx, void *state);

/* answer() and accept() of the workload. */
brisk_err rom_answer(brisk_stage_ctx *ctx, void *state, brisk_answer *ret);
brisk_err rom_accept(brisk_stage_ctx *ctx, void *state, const brisk_hit *hit);

/* The result of a job in memory that succeeded.  Errors: NOT_FOUND, NOMEM. */
BRISK_NODISCARD brisk_err rom_result_value(const rom_job *job, brisk_value **ret);

/* brisk_stage_fail with the text of `info`. */
brisk_err rom_fail(brisk_stage_ctx *ctx, const brisk_errinfo *info, brisk_err code);
/* CRC32s of the ROM, taken when first asked for. */
void rom_need_crcs(brisk_stage_ctx *ctx, rom_job *job);
/* Is the writing of the checksums after the first `mod_count` mods left to brisk? */
bool rom_fixes_after(const rom_job *job, uint32_t mod_count);
/* Where the result goes: the replacement's file or the dry run's memory; empty, at offset 0. */
BRISK_NODISCARD brisk_err rom_output_fd(brisk_stage_ctx *ctx, rom_job *job, int *ret);

/* Is this mod a patch, by what it holds and by its name, and no mod file? */
bool rom_looks_like_patch(const rom_bytes *file);

#endif /* BRISK_SRC_WORKLOAD_ROM_APPLY_H */
