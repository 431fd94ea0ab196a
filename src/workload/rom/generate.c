/*
 * generate.c -- patch_generation: every unit's list of writes, in parallel, one span each.
 *
 * A unit reads the ROM and writes only itself, in an arena of its own, so units need no locks.
 * Stacked patches wait for the result that they change; one patch alone needs no list at all.
 */
#include "base/assert.h"

#include "workload/rom/apply.h"
#include "workload/rom/checksum.h"

static brisk_err generate_component(brisk_arena *arena, uint32_t owner, rom_unit *unit)
{
    for (uint32_t i = 0; i < unit->component->write_count; i++) {
        const rom_mod_write *write = &unit->component->writes[i];
        rom_write item = {
            .offset = unit->offsets[i], .bytes = write->bytes, .size = write->size, .owner = owner};
        brisk_err err = rom_writes_add(&unit->writes, arena, &item);
        if (err != BRISK_OK) {
            return err;
        }
    }
    return BRISK_OK;
}

static bool is_stopped(void *ctx)
{
    return brisk_stage_cancelled(ctx);
}

static brisk_err generate_patch(brisk_stage_ctx *ctx, rom_job *job, uint32_t owner, rom_unit *unit)
{
    /* IPS records run over unchanged bytes to save room; that is no claim on them. */
    rom_writes_sink sink = {.list = &unit->writes,
                            .arena = brisk_stage_arena(ctx),
                            .owner = owner,
                            .changes_only = true,
                            .budget = &job->budget,
                            .stopped = is_stopped,
                            .stopped_ctx = ctx};
    brisk_errinfo info = {0};
    brisk_err err = rom_patch_writes(&unit->patch, &job->source, &unit->fit, &sink, &info);
    if (err == BRISK_ERR_LIMIT) {
        return brisk_stage_fail(ctx, err, "%s: %s", unit->name, info.text);
    }
    if (err != BRISK_OK) {
        return rom_fail(ctx, &info, err);
    }
    for (size_t i = 0; i < unit->writes.count; i++) {
        unit->writes.items[i].offset += unit->fit.skip;
    }
    return BRISK_OK;
}

static bool any_is_stacked(const rom_job *job)
{
    bool any = false;
    for (uint32_t i = 0; i < job->mod_count; i++) {
        any = any || job->mods[i].is_stacked;
    }
    return any;
}

/* Who wants the same as an earlier unit agrees with it wherever that one is agreed with. */
static bool makes_list(const rom_job *job, const rom_unit *unit)
{
    if (job->mods[unit->mod].is_stacked) {
        return false;
    }
    return rom_unit_is_first(job, unit) || any_is_stacked(job);
}

/* What is known before is refused before; the budget meets the rest on the way. */
static brisk_err check_total(brisk_stage_ctx *ctx, rom_job *job)
{
    enum { BASE_BYTES = 64 << 20, PER_BYTE = 4 };
    uint64_t inputs = job->source.file.size;
    uint64_t records = 0;
    for (uint32_t i = 0; i < job->unit_count; i++) {
        const rom_unit *unit = &job->units[i];
        inputs += unit->has_patch && rom_unit_is_first(job, unit) ? unit->patch.file.size : 0;
        if (makes_list(job, unit)) {
            records +=
                unit->has_patch ? rom_patch_records(&unit->patch) : unit->component->write_count;
        }
    }
    job->budget.memory_max = BASE_BYTES + PER_BYTE * inputs;
    if (job->unit_count == 1 || records <= ROM_WRITES_MAX) {
        return BRISK_OK;
    }
    return brisk_stage_fail(ctx, BRISK_ERR_LIMIT,
                            "the mods have %llu records and writes together, more than the %d that "
                            "can be merged; apply one at a time",
                            (unsigned long long)records, ROM_WRITES_MAX);
}

static brisk_err generate_unit(brisk_stage_ctx *ctx, void *item_ctx, uint32_t index)
{
    rom_job *job = item_ctx;
    rom_unit *unit = &job->units[index];
    if (brisk_stage_cancelled(ctx)) {
        return BRISK_ERR_CANCELLED;
    }
    if (!makes_list(job, unit)) {
        return BRISK_OK;
    }
    brisk_err err = unit->has_patch ? generate_patch(ctx, job, index, unit)
                                    : generate_component(brisk_stage_arena(ctx), index, unit);
    brisk_stage_add_bytes(ctx, rom_writes_bytes(&unit->writes));
    if (err == BRISK_ERR_LIMIT) {
        return brisk_stage_fail(ctx, err,
                                "%s: changes more than %d separate places, too many to merge with "
                                "other mods; apply it alone first",
                                unit->name, ROM_WRITES_MAX);
    }
    return err;
}

static const char *unit_name(void *item_ctx, uint32_t index)
{
    const rom_job *job = item_ctx;
    return job->units[index].name;
}

/* One unit of a run that is not worth waking anybody for. */
typedef struct single {
    rom_job *job;
    uint32_t index;
} single;

static brisk_err generate_single(brisk_stage_ctx *ctx, void *item_ctx, uint32_t index)
{
    const single *one = item_ctx;
    return generate_unit(ctx, one->job, one->index + index);
}

static const char *single_name(void *item_ctx, uint32_t index)
{
    const single *one = item_ctx;
    return unit_name(one->job, one->index + index);
}

/* Patches read the whole ROM and go to the workers; a few bytes are written before one wakes. */
static brisk_err generate_all(brisk_stage_ctx *ctx, rom_job *job)
{
    enum { WORTH_BYTES = 1 << 20 };
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < job->unit_count; i++) {
        bytes += job->units[i].has_patch ? job->units[i].size : 0;
    }
    if (bytes >= WORTH_BYTES) {
        return brisk_stage_for(ctx, job->unit_count, unit_name, generate_unit, job);
    }
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; err == BRISK_OK && i < job->unit_count; i++) {
        single one = {.job = job, .index = i};
        err = brisk_stage_for(ctx, 1, single_name, generate_single, &one);
    }
    return err;
}

bool rom_fixes_after(const rom_job *job, uint32_t mod_count)
{
    switch (job->request->fix) {
    case ROM_FIX_ALWAYS: return true;
    case ROM_FIX_NEVER: return false;
    case ROM_FIX_AUTO: break;
    }
    return mod_count > 1 || (mod_count == 1 && (!job->mods[0].is_patch || job->ips_fixes));
}

/* Does any write touch a checksum of the header?  Offsets count behind `skip` bytes of the file. */
static bool touches_checksum(const rom_info *info, const rom_writes *writes, uint32_t skip)
{
    for (size_t i = 0; i < writes->count; i++) {
        const rom_write *write = &writes->items[i];
        uint64_t begin = write->offset + skip;
        for (uint32_t c = 0; c < info->checksum_count; c++) {
            uint64_t at = info->checksums[c].offset + info->copier_bytes;
            if (begin < at + info->checksums[c].size && at < begin + write->size) {
                return true;
            }
        }
    }
    return false;
}

/*
 * An IPS patch alone has no word on what the result should be.  Its author's file had a right
 * checksum only if the patch brings it; so where the ROM's was right and the patch says nothing
 * about it, it is made right again.
 */
static brisk_err decide_ips(brisk_stage_ctx *ctx, rom_job *job)
{
    rom_unit *unit = &job->units[0];
    if (job->request->fix != ROM_FIX_AUTO || !job->mods[0].is_patch ||
        unit->patch.format != ROM_PATCH_IPS || job->info.checksum_count == 0) {
        return BRISK_OK;
    }
    brisk_arena *arena = brisk_stage_arena(ctx);
    rom_writes writes = {0};
    rom_writes_sink sink = {.list = &writes, .arena = arena, .owner = 0};
    brisk_errinfo info = {0};
    brisk_err err = rom_patch_writes(&unit->patch, &job->source, &unit->fit, &sink, &info);
    if (err != BRISK_OK) {
        return rom_fail(ctx, &info, err);
    }
    if (touches_checksum(&job->info, &writes, unit->fit.skip)) {
        return BRISK_OK;
    }
    rom_info with_sums = job->info;
    rom_checksums_compute(&job->source.file, NULL, &with_sums);
    job->ips_fixes = true;
    for (uint32_t c = 0; c < with_sums.checksum_count; c++) {
        const rom_checksum *checksum = &with_sums.checksums[c];
        job->ips_fixes = job->ips_fixes && checksum->stored == checksum->computed;
    }
    return BRISK_OK;
}

brisk_err rom_stage_generate(brisk_stage_ctx *ctx, void *state)
{
    rom_job *job = state;
    job->stage = "patch_generation";
    brisk_err err = decide_ips(ctx, job);
    if (err != BRISK_OK) {
        return err;
    }
    job->fixes = rom_fixes_after(job, job->mod_count);
    bool header_fits = job->units[0].fit.skip == job->source.copier_bytes;
    job->streamed = job->unit_count == 1 && job->mods[0].is_patch && !job->request->dry_run &&
                    (!job->fixes || header_fits);
    if (job->streamed) {
        brisk_stage_note(ctx, "streamed");
        return BRISK_OK;
    }
    err = check_total(ctx, job);
    if (err == BRISK_OK) {
        err = generate_all(ctx, job);
    }
    if (err != BRISK_OK) {
        return err;
    }
    uint64_t count = 0;
    for (uint32_t i = 0; i < job->unit_count; i++) {
        count += job->units[i].writes.count;
    }
    brisk_stage_note(ctx, "%llu %s", (unsigned long long)count, count == 1 ? "write" : "writes");
    return BRISK_OK;
}
