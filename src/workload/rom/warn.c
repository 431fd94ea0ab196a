/*
 * warn.c -- what a user should know of an apply that succeeded all the same; behind apply_print.h.
 *
 * Everything is found again from the inputs, which are open until the job is destroyed, so that an
 * answer from the cache warns like the computed one.
 */
#include "workload/rom/address.h"
#include "workload/rom/apply_print.h"

enum { WRITE_WARNINGS_MAX = 20 };

static void begin(FILE *err, const char *path)
{
    (void)fputs("brisk: ", err);
    rom_print_text(err, path);
}

static void warn(FILE *err, const char *path, const char *text)
{
    begin(err, path);
    (void)fprintf(err, ": warning: %s\n", text);
}

/* The ROM's own oddities matter to mod files, a copier header to IPS patches. */
static void warn_of_rom(FILE *err, const rom_job *state)
{
    bool has_file = false;
    bool has_ips = false;
    for (uint32_t i = 0; i < state->mod_count; i++) {
        has_file = has_file || !state->mods[i].is_patch;
    }
    for (uint32_t i = 0; i < state->unit_count; i++) {
        const rom_unit *unit = &state->units[i];
        has_ips = has_ips || (unit->has_patch && unit->patch.format == ROM_PATCH_IPS);
    }
    for (uint32_t i = 0; has_file && i < state->info.warning_count; i++) {
        warn(err, state->rom.path, state->info.warnings[i]);
    }
    if (has_ips && state->info.copier_bytes != 0) {
        warn(err, state->rom.path,
             "has a copier header; offsets of IPS patches are taken to include it");
    }
}

/* Was `unit` applied to something else than it was made for?  Not known of stacked ones that a
 * tier answered. */
static bool is_forced(const rom_job *state, const rom_unit *unit, bool computed)
{
    if (!unit->has_patch || !unit->patch.has_crcs || !rom_unit_is_first(state, unit)) {
        return false;
    }
    if (computed) {
        return !unit->fit.is_exact;
    }
    rom_fit fit;
    bool may_stack = unit->component == NULL && unit->mod > 0;
    return !may_stack && rom_patch_fit(&unit->patch, &state->source, NULL, &fit, NULL) != BRISK_OK;
}

/* --force on a ROM that the patch was not made for: source and result are not what it says. */
static void warn_of_force(FILE *err, const rom_job *state, bool computed)
{
    for (uint32_t i = 0; state->request->force && i < state->unit_count; i++) {
        const rom_unit *unit = &state->units[i];
        if (!is_forced(state, unit, computed)) {
            continue;
        }
        rom_digests crcs = rom_crcs(&state->source.file, state->source.copier_bytes);
        begin(err, unit->name);
        (void)fprintf(err, ": warning: forced: made for a ROM with CRC32 %08x, this one has %08x",
                      unit->patch.source_crc32, crcs.rom_crc32);
        if (state->unit_count == 1) {
            (void)fprintf(err, "; the result has CRC32 %08x, the patch declares %08x",
                          state->result.crc32, unit->patch.target_crc32);
        }
        (void)fputc('\n', err);
    }
}

/* Bytes of `write` that follow each other both in the file and on the bus. */
static uint32_t bytes_on_bus(const rom_info *info, const rom_mod_write *write, uint64_t offset)
{
    uint32_t size = write->size;
    uint64_t there = 0;
    if (rom_address_to_offset(info, write->at + size - 1, &there, NULL) == BRISK_OK &&
        there == offset + size - 1) {
        return size;
    }
    uint32_t at = 1;
    while (at < size && rom_address_to_offset(info, write->at + at, &there, NULL) == BRISK_OK &&
           there == offset + at) {
        at++;
    }
    return at;
}

static bool touches_checksum(const rom_info *info, uint64_t offset, uint32_t size)
{
    bool touches = false;
    for (uint32_t i = 0; i < info->checksum_count; i++) {
        const rom_checksum *checksum = &info->checksums[i];
        touches = touches ||
                  (offset < checksum->offset + checksum->size && checksum->offset < offset + size);
    }
    return touches;
}

/* Up to two lines; how many were printed. */
static uint32_t warn_of_write(FILE *err, const rom_job *state, const rom_modfile *file,
                              const rom_mod_write *write, bool fixes)
{
    const rom_info *info = &state->info;
    uint64_t offset = write->at;
    uint32_t lines = 0;
    if (write->is_bus && rom_address_to_offset(info, write->at, &offset, NULL) != BRISK_OK) {
        return 0;
    }
    uint32_t on_bus = write->is_bus ? bytes_on_bus(info, write, offset) : write->size;
    if (on_bus < write->size) {
        char next[ROM_ADDRESS_TEXT_MAX];
        rom_offset_to_text(info, offset + on_bus, next);
        begin(err, file->path);
        (void)fprintf(err,
                      ":%u: warning: %u bytes at %s run over the end of the bank after %u; what "
                      "follows in the file is at %s\n",
                      write->line, write->size, write->at_text, on_bus, next);
        lines++;
    }
    if (fixes && touches_checksum(info, offset, write->size)) {
        begin(err, file->path);
        (void)fprintf(err,
                      ":%u: warning: the checksum at %s is made right in the end, whatever is "
                      "written there; --fix-checksums never keeps it\n",
                      write->line, write->at_text);
        lines++;
    }
    return lines;
}

static void warn_of_writes(FILE *err, const rom_job *state, bool fixes)
{
    uint32_t lines = 0;
    for (uint32_t i = 0; i < state->unit_count; i++) {
        const rom_unit *unit = &state->units[i];
        uint32_t count = rom_unit_is_first(state, unit) && unit->component != NULL
                             ? unit->component->write_count
                             : 0;
        for (uint32_t w = 0; w < count && lines < WRITE_WARNINGS_MAX; w++) {
            lines += warn_of_write(err, state, &state->mods[unit->mod].file,
                                   &unit->component->writes[w], fixes);
        }
    }
}

void rom_print_warnings(FILE *err, const brisk_job *job, const rom_job *state)
{
    bool computed = brisk_job_answered_by(job) == NULL;
    warn_of_rom(err, state);
    warn_of_force(err, state, computed);
    warn_of_writes(err, state, computed ? state->fixes : rom_fixes_after(state, state->mod_count));
}
