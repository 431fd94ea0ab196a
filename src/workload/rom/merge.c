/*
 * merge.c -- conflict_detection: all lists of writes become one, or the contradictions are named.
 *
 *     mods        A   B   [C stacked]   D
 *     pending     a ─ b ─┐                  merge: a and b must agree
 *     current            └► A+B             exactly what `apply ROM A B` gives
 *                             │  C's patch on that image: its changes win
 *                             └► A+B+C ─ d  merge: d must agree with all of it
 *
 * Bytes of the header's checksums are nobody's where brisk makes them right in the end: two hacks
 * that both bring their own checksum do not contradict each other.
 *
 * Sizes: a unit that changes the size of the file claims the size.  The larger of two that grow
 * it wins, everything else must agree.
 */
#include <string.h>

#include "base/assert.h"

#include "workload/rom/apply.h"
#include "workload/rom/checksum.h"
#include "workload/rom/conflict.h"

typedef struct merger {
    brisk_stage_ctx *ctx;
    brisk_arena *arena;
    rom_job *job;
    rom_writes current; /* disjoint; with job->size exactly the result so far */
    rom_writes pending; /* of units since then */
} merger;

/* The places of checksums as runs, sorted; their bytes do not matter. */
static brisk_err checksum_places(const merger *m, rom_writes *ret)
{
    static const uint8_t any[ROM_FIX_BYTES_MAX] = {0};
    rom_writes places = {0};
    rom_conflicts none = {0};
    for (uint32_t i = 0; i < m->job->info.checksum_count; i++) {
        const rom_checksum *checksum = &m->job->info.checksums[i];
        rom_write place = {.offset = checksum->offset + m->job->info.copier_bytes,
                           .bytes = any,
                           .size = checksum->size,
                           .owner = ROM_OWNER_CHECKSUM};
        brisk_err err = rom_writes_add(&places, m->arena, &place);
        if (err != BRISK_OK) {
            return err;
        }
    }
    return rom_writes_merge(&places, m->arena, ret, &none);
}

static brisk_err claim_size(merger *m, uint32_t owner)
{
    rom_job *job = m->job;
    uint64_t original = job->source.file.size;
    uint64_t size = job->units[owner].size;
    if (size == original || (job->has_size_owner && size == job->size)) {
        return BRISK_OK;
    }
    bool both_grow = size > original && job->size > original;
    if (job->has_size_owner && !both_grow) {
        return brisk_stage_fail(m->ctx, BRISK_ERR_CONFLICT,
                                "%s makes the file %llu bytes long, %s makes it %llu; they cannot "
                                "be merged",
                                rom_owner_name(job, job->size_owner), (unsigned long long)job->size,
                                rom_owner_name(job, owner), (unsigned long long)size);
    }
    if (!job->has_size_owner || size > job->size) {
        job->size = size;
        job->size_owner = owner;
        job->has_size_owner = true;
        job->has_exact_crc32 = false;
    }
    return BRISK_OK;
}

static brisk_err check_end(const merger *m)
{
    const rom_job *job = m->job;
    if (rom_writes_end(&m->current) <= job->size) {
        return BRISK_OK;
    }
    BRISK_ASSERT(m->current.items != NULL); /* its end lies behind 0 */
    const rom_write *last = &m->current.items[m->current.count - 1];
    char place[ROM_PLACE_TEXT_MAX];
    rom_place_text(job, last->offset, place);
    return brisk_stage_fail(
        m->ctx, BRISK_ERR_CONFLICT,
        "%s cuts the file to %llu bytes, %s writes at %s; they cannot be merged",
        job->has_size_owner ? rom_owner_name(job, job->size_owner) : "the ROM",
        (unsigned long long)job->size, rom_owner_name(job, last->owner), place);
}

/* Bring the units since the last time into `current`; `mod_count` mods stand before this point. */
static brisk_err settle(merger *m, uint32_t mod_count)
{
    if (m->pending.count == 0) {
        return check_end(m);
    }
    rom_writes all = m->pending;
    brisk_err err = rom_writes_append(&all, m->arena, &m->current);
    if (err == BRISK_OK && rom_fixes_after(m->job, mod_count)) {
        rom_writes places = {0};
        err = checksum_places(m, &places);
        if (err == BRISK_OK) {
            err = rom_writes_subtract(&all, &places, m->arena, &all);
        }
    }
    rom_conflicts *conflicts = &m->job->conflicts;
    if (err == BRISK_OK) {
        err = rom_writes_merge(&all, m->arena, &m->current, conflicts);
    }
    if (err != BRISK_OK) {
        return err;
    }
    m->pending = (rom_writes){0};
    m->job->has_exact_crc32 = false;
    return conflicts->total != 0 ? rom_conflicts_fail(m->ctx, m->job) : check_end(m);
}

/* The result so far as bytes. */
static brisk_err build_image(const merger *m, uint8_t **ret)
{
    const rom_bytes *rom = &m->job->source.file;
    uint64_t size = m->job->size;
    uint8_t *image = brisk_arena_alloc(m->arena, size);
    if (image == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint64_t common = size < rom->size ? size : rom->size;
    memcpy(image, rom->data, common);
    memset(image + common, 0, size - common);
    rom_writes_apply(&m->current, image, size);
    *ret = image;
    return BRISK_OK;
}

/* Make the image's checksums right, in `current` too. */
static brisk_err fix_image(merger *m, uint8_t *image)
{
    rom_bytes file = {.name = "result", .data = image, .size = m->job->size};
    rom_info info;
    rom_detect(&file, &info);
    rom_checksums_compute(&file, NULL, &info);
    rom_fix fixes[ROM_FIXES_MAX];
    uint32_t count = rom_checksum_fixes(&file, &info, fixes);
    rom_writes over = {0};
    rom_writes sorted = {0};
    rom_conflicts none = {0};
    for (uint32_t i = 0; i < count; i++) {
        memcpy(image + fixes[i].offset, fixes[i].new_bytes, fixes[i].size);
        rom_write write = {.offset = fixes[i].offset,
                           .bytes = image + fixes[i].offset,
                           .size = fixes[i].size,
                           .owner = ROM_OWNER_CHECKSUM};
        brisk_err err = rom_writes_add(&over, m->arena, &write);
        if (err != BRISK_OK) {
            return err;
        }
    }
    brisk_err err = rom_writes_merge(&over, m->arena, &sorted, &none);
    return err == BRISK_OK ? rom_writes_override(&m->current, &sorted, m->arena, &m->current) : err;
}

/* Drop what lies behind the end. */
static brisk_err cut(merger *m)
{
    uint64_t end = rom_writes_end(&m->current);
    uint64_t size = m->job->size;
    if (end <= size) {
        return BRISK_OK;
    }
    static const uint8_t any = 0;
    rom_write behind = {.offset = size, .bytes = &any, .size = (uint32_t)(end - size)};
    rom_writes over = {.items = &behind, .count = 1, .capacity = 1};
    return rom_writes_subtract(&m->current, &over, m->arena, &m->current);
}

/* Does the patch belong to the result so far? */
static brisk_err fit_stacked(merger *m, const rom_source *source, uint32_t owner)
{
    rom_job *job = m->job;
    rom_unit *unit = &job->units[owner];
    brisk_errinfo info = {0};
    brisk_err err = rom_patch_fit(&unit->patch, source, NULL, &unit->fit, &info);
    if (err == BRISK_ERR_MISMATCH && job->request->force) {
        rom_fit_opts opts = {.force = true};
        err = rom_patch_fit(&unit->patch, source, &opts, &unit->fit, &info);
    }
    if (err == BRISK_ERR_MISMATCH) {
        return brisk_stage_fail(
            m->ctx, err,
            "%s: made for a ROM with CRC32 %08x; neither %s (%08x) nor the result of the mods "
            "before it (%08x) is that; --force applies it anyway",
            unit->name, unit->patch.source_crc32, job->rom.path, job->source.file_crc32,
            source->file_crc32);
    }
    return err == BRISK_OK ? BRISK_OK : rom_fail(m->ctx, &info, err);
}

/* Apply the stacked patch `owner`, the only unit of its mod, to the result so far. */
static brisk_err stack(merger *m, uint32_t owner)
{
    rom_job *job = m->job;
    rom_unit *unit = &job->units[owner];
    uint8_t *image = NULL;
    brisk_err err = settle(m, unit->mod);
    if (err == BRISK_OK) {
        err = build_image(m, &image);
    }
    if (err == BRISK_OK && rom_fixes_after(job, unit->mod) && !job->has_exact_crc32) {
        err = fix_image(m, image);
    }
    if (err != BRISK_OK) {
        return err;
    }
    rom_source source = {.file = {.name = "the result of the mods before", image, job->size},
                         .copier_bytes = job->source.copier_bytes};
    rom_digests digests = rom_crcs(&source.file, source.copier_bytes);
    source.has_crcs = true;
    source.file_crc32 = digests.file_crc32;
    source.rom_crc32 = digests.rom_crc32;
    err = fit_stacked(m, &source, owner);
    if (err != BRISK_OK) {
        return err;
    }
    rom_writes_sink sink = {.list = &unit->writes, .arena = m->arena, .owner = owner};
    brisk_errinfo info = {0};
    err = rom_patch_writes(&unit->patch, &source, &unit->fit, &sink, &info);
    if (err != BRISK_OK) {
        return rom_fail(m->ctx, &info, err);
    }
    for (size_t i = 0; i < unit->writes.count; i++) {
        unit->writes.items[i].offset += unit->fit.skip;
    }
    job->size = unit->fit.target_size;
    job->size_owner = owner;
    job->has_size_owner = job->size != job->source.file.size;
    job->has_exact_crc32 = unit->fit.is_exact;
    job->exact_crc32 = unit->patch.target_crc32;
    job->exact_is_rom = unit->fit.skip != 0;
    err = rom_writes_override(&m->current, &unit->writes, m->arena, &m->current);
    return err == BRISK_OK ? cut(m) : err;
}

static brisk_err merge_unit(merger *m, uint32_t owner)
{
    rom_unit *unit = &m->job->units[owner];
    if (m->job->mods[unit->mod].is_stacked) {
        return stack(m, owner);
    }
    brisk_err err = claim_size(m, owner);
    return err == BRISK_OK ? rom_writes_append(&m->pending, m->arena, &unit->writes) : err;
}

brisk_err rom_stage_merge(brisk_stage_ctx *ctx, void *state)
{
    rom_job *job = state;
    job->stage = "conflict_detection";
    if (job->streamed) {
        job->size = job->units[0].fit.target_size;
        brisk_stage_note(ctx, "one patch alone");
        return BRISK_OK;
    }
    merger m = {.ctx = ctx, .arena = brisk_stage_arena(ctx), .job = job};
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; err == BRISK_OK && i < job->unit_count; i++) {
        err = merge_unit(&m, i);
    }
    if (err == BRISK_OK) {
        err = settle(&m, job->mod_count);
    }
    if (err == BRISK_ERR_LIMIT) {
        return brisk_stage_fail(ctx, err,
                                "the mods change more than %d separate places together, too many "
                                "to merge; apply one at a time",
                                ROM_WRITES_MAX);
    }
    if (err != BRISK_OK) {
        return err;
    }
    job->merged = m.current;
    if (job->has_exact_crc32 && job->request->fix == ROM_FIX_AUTO) {
        job->fixes = false; /* the last patch says what the result is, to the byte */
    }
    brisk_stage_note(ctx, "%llu bytes", (unsigned long long)rom_writes_bytes(&job->merged));
    return BRISK_OK;
}
