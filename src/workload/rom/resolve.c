/*
 * resolve.c -- address_resolution: does each mod belong to this ROM, and where exactly?
 *
 * Bus addresses become offsets by the ROM's mapping, `expect` is compared, patches are fitted.
 * A UPS or BPS patch that names another source is left for later when mods stand before it: it
 * may have been made for their result.  Nothing is changed here, so what is refused costs little.
 */
#include <string.h>

#include "base/assert.h"

#include "workload/rom/address.h"
#include "workload/rom/apply.h"
#include "workload/rom/checksum.h"
#include "workload/rom/conflict.h"

void rom_need_crcs(brisk_stage_ctx *ctx, rom_job *job)
{
    if (!job->source.has_crcs) {
        rom_digests digests = rom_crcs(&job->source.file, job->source.copier_bytes);
        job->source.file_crc32 = digests.file_crc32;
        job->source.rom_crc32 = digests.rom_crc32;
        job->source.has_crcs = true;
        brisk_stage_add_bytes(ctx, job->source.file.size);
    }
}

static brisk_err check_system(brisk_stage_ctx *ctx, const rom_job *job, const rom_modfile *file)
{
    if (file->system == NULL) {
        return BRISK_OK;
    }
    rom_system wanted = rom_system_by_name(file->system);
    if (wanted == ROM_SYSTEM_UNKNOWN) {
        return brisk_stage_fail(ctx, BRISK_ERR_INVALID,
                                "%s:%u: system '%s' is not known; write snes, nes, gb or gba",
                                file->path, file->system_line, file->system);
    }
    if (wanted != job->info.system && !job->request->force) {
        return brisk_stage_fail(
            ctx, BRISK_ERR_MISMATCH,
            "%s:%u: the mod is for %s, but %s is %s; --force applies it anyway", file->path,
            file->system_line, rom_system_title(wanted), job->rom.path,
            job->info.system == ROM_SYSTEM_UNKNOWN ? "of an unknown system"
                                                   : rom_system_title(job->info.system));
    }
    return BRISK_OK;
}

/* "title 'X'", "CRC32 1A2B3C4D or one of 3 others" */
static void describe_target(const rom_modfile *file, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    if (file->target_crc_count > 0) {
        used = (size_t)snprintf(text, size, "CRC32 %08x", file->target_crcs[0]);
    }
    if (file->target_crc_count > 1) {
        used += (size_t)snprintf(text + used, size - used, " or one of %u others",
                                 file->target_crc_count - 1);
    }
    if (file->target_title != NULL) {
        (void)snprintf(text + used, size - used, "%stitle '%s'", used != 0 ? " or " : "",
                       file->target_title);
    }
}

static brisk_err check_target(brisk_stage_ctx *ctx, rom_job *job, const rom_modfile *file)
{
    enum { TARGET_TEXT_MAX = 2 * ROM_MODFILE_NAME_MAX };
    if (!file->has_target || job->request->force) {
        return BRISK_OK;
    }
    if (file->target_title != NULL && strcmp(file->target_title, job->info.title) == 0) {
        return BRISK_OK;
    }
    if (file->target_crc_count > 0) {
        rom_need_crcs(ctx, job);
    }
    for (uint32_t i = 0; i < file->target_crc_count; i++) {
        uint32_t wanted = file->target_crcs[i];
        if (wanted == job->source.rom_crc32 || wanted == job->source.file_crc32) {
            return BRISK_OK;
        }
    }
    rom_need_crcs(ctx, job);
    char wanted[TARGET_TEXT_MAX];
    describe_target(file, wanted, sizeof wanted);
    return brisk_stage_fail(ctx, BRISK_ERR_MISMATCH,
                            "%s:%u: the mod is for a ROM with %s, but %s has CRC32 %08x and title "
                            "'%s'; --force applies it anyway",
                            file->path, file->target_line, wanted, job->rom.path,
                            job->source.rom_crc32, job->info.title);
}

/* Does the ROM have at `offset` what the mod expects? */
static brisk_err check_expected(brisk_stage_ctx *ctx, const rom_job *job, const rom_modfile *file,
                                const rom_mod_write *write, uint64_t offset)
{
    const rom_bytes *rom = &job->source.file;
    if (write->expect == NULL || job->request->force) {
        return BRISK_OK;
    }
    uint64_t there = rom->size - offset;
    if (write->expect_size <= there &&
        memcmp(rom->data + offset, write->expect, write->expect_size) == 0) {
        return BRISK_OK;
    }
    char wanted[ROM_HEX_TEXT_MAX];
    char found[ROM_HEX_TEXT_MAX];
    rom_hex(write->expect, write->expect_size, wanted);
    rom_hex(rom->data + offset, there < write->expect_size ? there : write->expect_size, found);
    return brisk_stage_fail(ctx, BRISK_ERR_MISMATCH,
                            "%s:%u: expected %s at %s, but %s has %s there; the mod is for another "
                            "version, --force applies it anyway",
                            file->path, write->line, wanted, write->at_text, job->rom.path, found);
}

static brisk_err resolve_write(brisk_stage_ctx *ctx, const rom_job *job, const rom_modfile *file,
                               const rom_mod_write *write, uint64_t *ret)
{
    uint64_t offset = write->at;
    brisk_errinfo info = {0};
    if (write->is_bus) {
        brisk_err err = rom_address_to_offset(&job->info, write->at, &offset, &info);
        if (err != BRISK_OK) {
            return brisk_stage_fail(ctx, err, "%s:%u: %s", file->path, write->line, info.text);
        }
    }
    uint64_t rom_size = job->source.file.size - job->source.copier_bytes;
    if (offset > rom_size || write->size > rom_size - offset) {
        return brisk_stage_fail(ctx, BRISK_ERR_INVALID,
                                "%s:%u: %u byte%s at %s reach%s beyond the end of the ROM (0x%llX "
                                "bytes); a patch can make a ROM larger, a write cannot",
                                file->path, write->line, write->size, write->size == 1 ? "" : "s",
                                write->at_text, write->size == 1 ? "es" : "",
                                (unsigned long long)rom_size);
    }
    *ret = offset + job->source.copier_bytes;
    return check_expected(ctx, job, file, write, *ret);
}

static brisk_err resolve_component(brisk_stage_ctx *ctx, const rom_job *job, rom_unit *unit)
{
    const rom_mod_component *component = unit->component;
    const rom_modfile *file = &job->mods[unit->mod].file;
    unit->size = job->source.file.size;
    if (!rom_unit_is_first(job, unit)) {
        unit->offsets = job->units[unit->same_as].offsets;
        return BRISK_OK;
    }
    unit->offsets =
        brisk_arena_calloc(brisk_stage_arena(ctx), component->write_count, sizeof *unit->offsets);
    if (unit->offsets == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < component->write_count; i++) {
        brisk_err err = resolve_write(ctx, job, file, &component->writes[i], &unit->offsets[i]);
        if (err != BRISK_OK) {
            return err;
        }
    }
    return BRISK_OK;
}

/* Fit a patch to the ROM, or find that it must be stacked. */
static brisk_err resolve_patch(brisk_stage_ctx *ctx, rom_job *job, rom_unit *unit)
{
    rom_mod *mod = &job->mods[unit->mod];
    brisk_errinfo info = {0};
    if (unit->patch.has_crcs) {
        rom_need_crcs(ctx, job);
    }
    brisk_err err = rom_patch_fit(&unit->patch, &job->source, NULL, &unit->fit, &info);
    if (err == BRISK_ERR_MISMATCH && mod->is_patch && unit->mod > 0) {
        mod->is_stacked = true; /* conflict_detection knows the result that it must fit */
        return BRISK_OK;
    }
    if (err == BRISK_ERR_MISMATCH && job->request->force) {
        rom_fit_opts opts = {.force = true};
        err = rom_patch_fit(&unit->patch, &job->source, &opts, &unit->fit, &info);
    }
    if (err != BRISK_OK) {
        return rom_fail(ctx, &info, err);
    }
    unit->size = unit->fit.target_size;
    return BRISK_OK;
}

brisk_err rom_stage_resolve(brisk_stage_ctx *ctx, void *state)
{
    rom_job *job = state;
    job->stage = "address_resolution";
    for (uint32_t i = 0; i < job->mod_count; i++) {
        if (job->mods[i].is_patch) {
            continue;
        }
        brisk_err err = check_system(ctx, job, &job->mods[i].file);
        if (err == BRISK_OK) {
            err = check_target(ctx, job, &job->mods[i].file);
        }
        if (err != BRISK_OK) {
            return err;
        }
    }
    for (uint32_t i = 0; i < job->unit_count; i++) {
        rom_unit *unit = &job->units[i];
        brisk_err err =
            unit->has_patch ? resolve_patch(ctx, job, unit) : resolve_component(ctx, job, unit);
        if (err != BRISK_OK) {
            return err;
        }
    }
    brisk_stage_note(ctx, "%u %s", job->unit_count, job->unit_count == 1 ? "change" : "changes");
    return BRISK_OK;
}
