/*
 * patch.c -- what the formats have in common, behind patch.h and patch_internal.h.
 *
 * UPS and BPS are framed alike:
 *
 *     magic:4  varint source size  varint target size  ...  crc32 source:4  target:4  patch:4
 *
 * The patch's own CRC32 is checked first, so that every later error about its content means a
 * patch that was made wrong, not one that was damaged on the way.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"

#include "workload/rom/patch_internal.h"

typedef struct signature {
    const char *magic;
    const char *name;
} signature;

static const signature formats[] = {
    [ROM_PATCH_IPS] = {"PATCH", "IPS"},
    [ROM_PATCH_UPS] = {"UPS1", "UPS"},
    [ROM_PATCH_BPS] = {"BPS1", "BPS"},
};

/* Recognised only to be named. */
static const signature others[] = {
    {"IPS32", "IPS32"},
    {"PPF1", "PPF"},
    {"PPF2", "PPF"},
    {"PPF3", "PPF"},
    {"\xd6\xc3\xc4", "VCDIFF"},
    {"BSDIFF40", "BSDIFF"},
    {"APS10", "APS (N64)"},
    {"APS1", "APS (GBA)"},
    {"NINJA2", "RUP"},
    {"HDIFF", "HDiffPatch"},
    {"PMSR", "PMSR (Paper Mario)"},
};

enum {
    FORMAT_COUNT = sizeof formats / sizeof formats[0],
    OTHER_COUNT = sizeof others / sizeof others[0],
};

static bool begins_with(const rom_bytes *file, const char *magic)
{
    size_t size = strlen(magic);
    return file->size >= size && memcmp(file->data, magic, size) == 0;
}

static const signature *find(const signature *table, size_t count, const rom_bytes *file)
{
    for (size_t i = 0; i < count; i++) {
        if (begins_with(file, table[i].magic)) {
            return &table[i];
        }
    }
    return NULL;
}

bool rom_patch_is_patch(const rom_bytes *file)
{
    return find(formats, FORMAT_COUNT, file) != NULL || find(others, OTHER_COUNT, file) != NULL;
}

const char *rom_patch_format_name(rom_patch_format format)
{
    return formats[format].name;
}

brisk_err rom_patch_damaged(const rom_reader *reader, size_t at, const char *what)
{
    return brisk_errinfo_set(reader->info, BRISK_ERR_CORRUPT, "%s: %s at offset 0x%zx",
                             reader->file->name, what, at);
}

brisk_err rom_read_varint(rom_reader *reader, const char *what, uint64_t *ret)
{
    size_t start = reader->at;
    uint64_t value = 0;
    for (uint32_t i = 0; i < ROM_VARINT_BYTES_MAX; i++) {
        if (reader->at >= reader->end) {
            return brisk_errinfo_set(reader->info, BRISK_ERR_CORRUPT,
                                     "%s: ends inside the %s at offset 0x%zx", reader->file->name,
                                     what, start);
        }
        uint8_t byte = reader->file->data[reader->at++];
        uint64_t digit = byte & 0x7f;
        uint32_t shift = 7 * i;
        bool is_last = (byte & 0x80) != 0;
        /* Every byte but the last also adds the numbers that fewer bytes can write. */
        uint64_t term = digit + (i == 0 ? 0 : 1);
        if (term > UINT64_MAX >> shift || __builtin_add_overflow(value, term << shift, &value)) {
            break;
        }
        if (is_last) {
            *ret = value;
            return BRISK_OK;
        }
    }
    return brisk_errinfo_set(reader->info, BRISK_ERR_CORRUPT,
                             "%s: the %s at offset 0x%zx is too large a number", reader->file->name,
                             what, start);
}

brisk_err rom_patch_read_frame(rom_patch *patch, rom_reader *reader, brisk_errinfo *info)
{
    const rom_bytes *file = &patch->file;
    if (file->size < ROM_MAGIC_BYTES + ROM_PATCH_CRC_BYTES) {
        return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "%s: %zu bytes are too few for a patch",
                                 file->name, file->size);
    }
    size_t end = file->size - ROM_PATCH_CRC_BYTES;
    uint32_t stored = rom_le32(file->data + end + 8);
    uint32_t computed = rom_crc32(0, file->data, file->size - 4);
    if (stored != computed) {
        return brisk_errinfo_set(info, BRISK_ERR_CORRUPT,
                                 "%s: the patch file is damaged: CRC32 %08X at offset 0x%zx, "
                                 "computed %08X",
                                 file->name, stored, end + 8, computed);
    }
    *reader = (rom_reader){.file = file, .at = ROM_MAGIC_BYTES, .end = end, .info = info};
    patch->has_crcs = true;
    patch->source_crc32 = rom_le32(file->data + end);
    patch->target_crc32 = rom_le32(file->data + end + 4);
    brisk_err err = rom_read_varint(reader, "source size", &patch->source_size);
    if (err == BRISK_OK) {
        err = rom_read_varint(reader, "target size", &patch->target_size);
    }
    if (err != BRISK_OK) {
        return err;
    }
    uint64_t larger =
        patch->source_size > patch->target_size ? patch->source_size : patch->target_size;
    if (larger > ROM_BYTES_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT,
                                 "%s: declares a ROM of %llu bytes, more than the %d allowed",
                                 file->name, (unsigned long long)larger, ROM_BYTES_MAX);
    }
    return BRISK_OK;
}

static brisk_err open_none(const rom_bytes *file, brisk_errinfo *info)
{
    const signature *other = find(others, OTHER_COUNT, file);
    if (other != NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_UNSUPPORTED,
                                 "%s: a patch in the format %s, which is not supported; IPS, UPS "
                                 "and BPS are",
                                 file->name, other->name);
    }
    return brisk_errinfo_set(info, BRISK_ERR_UNSUPPORTED,
                             "%s: not a patch: it begins with none of PATCH (IPS), UPS1, BPS1%s",
                             file->name, file->size == 0 ? "; the file is empty" : "");
}

brisk_err rom_patch_open(const rom_bytes *file, const brisk_alloc *alloc, rom_patch *ret,
                         brisk_errinfo *info)
{
    if (file->size > ROM_PATCH_BYTES_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: %zu bytes, more than the %d allowed",
                                 file->name, file->size, ROM_PATCH_BYTES_MAX);
    }
    const signature *format = find(formats, FORMAT_COUNT, file);
    if (format == NULL) {
        return open_none(file, info);
    }
    rom_patch patch = {
        .format = (rom_patch_format)(format - formats),
        .file = *file,
        .alloc = alloc != NULL ? alloc : brisk_alloc_libc(),
    };
    brisk_err err = patch.format == ROM_PATCH_IPS   ? rom_ips_open(&patch, info)
                    : patch.format == ROM_PATCH_UPS ? rom_ups_open(&patch, info)
                                                    : rom_bps_open(&patch, info);
    if (err == BRISK_OK) {
        *ret = patch;
    }
    return err;
}

uint64_t rom_patch_records(const rom_patch *patch)
{
    return patch->ips_runs != NULL ? patch->ips_run_count : patch->ips_records;
}

void rom_patch_close(rom_patch *patch)
{
    if (patch->alloc != NULL) {
        rom_ips_close(patch);
    }
    *patch = (rom_patch){0};
}

/* --- fitting ---------------------------------------------------------------------------------- */

/* Which part of the source has this size and CRC32: skip is set; false when none. */
static bool find_part(const rom_source *source, const rom_digests *crcs, uint64_t size,
                      uint32_t crc32, uint32_t *skip)
{
    if (source->file.size == size && crcs->file_crc32 == crc32) {
        *skip = 0;
        return true;
    }
    if (source->copier_bytes != 0 && source->file.size - source->copier_bytes == size &&
        crcs->rom_crc32 == crc32) {
        *skip = source->copier_bytes;
        return true;
    }
    return false;
}

static brisk_err refuse(const rom_patch *patch, const rom_source *source, const rom_digests *crcs,
                        brisk_errinfo *info)
{
    uint32_t skip;
    if (find_part(source, crcs, patch->target_size, patch->target_crc32, &skip)) {
        return brisk_errinfo_set(info, BRISK_ERR_MISMATCH,
                                 "%s: %s already is what this patch makes (CRC32 %08X)",
                                 patch->file.name, source->file.name, patch->target_crc32);
    }
    uint64_t rom_size = source->file.size - source->copier_bytes;
    const char *hint = patch->source_size == rom_size + ROM_COPIER_BYTES
                           ? "; it is for a ROM with a copier header, 512 bytes in front"
                           : "";
    return brisk_errinfo_set(info, BRISK_ERR_MISMATCH,
                             "%s: this patch is for a ROM with CRC32 %08X (%llu bytes), %s has "
                             "CRC32 %08X (%llu bytes)%s",
                             patch->file.name, patch->source_crc32,
                             (unsigned long long)patch->source_size, source->file.name,
                             crcs->rom_crc32, (unsigned long long)rom_size, hint);
}

/* UPS and BPS know their source. */
static brisk_err fit_by_crc(const rom_patch *patch, const rom_source *source, bool force,
                            rom_fit *fit, brisk_errinfo *info)
{
    rom_digests crcs = {.file_crc32 = source->file_crc32, .rom_crc32 = source->rom_crc32};
    if (!source->has_crcs) {
        crcs = rom_crcs(&source->file, source->copier_bytes);
    }
    fit->is_exact = find_part(source, &crcs, patch->source_size, patch->source_crc32, &fit->skip);
    if (!fit->is_exact) {
        if (!force) {
            return refuse(patch, source, &crcs, info);
        }
        fit->skip = source->file.size == patch->source_size ? 0 : source->copier_bytes;
    }
    fit->target_size = fit->skip + patch->target_size;
    return BRISK_OK;
}

brisk_err rom_patch_fit(const rom_patch *patch, const rom_source *source, const rom_fit_opts *opts,
                        rom_fit *ret, brisk_errinfo *info)
{
    BRISK_ASSERT(source->copier_bytes <= source->file.size);
    rom_fit_opts o = opts != NULL ? *opts : (rom_fit_opts){0};
    rom_fit fit = {0};
    if (patch->has_crcs) {
        brisk_err err = fit_by_crc(patch, source, o.force, &fit, info);
        if (err != BRISK_OK) {
            return err;
        }
    } else {
        fit.skip = o.ips_skip ? source->copier_bytes : 0;
        fit.target_size = fit.skip + rom_ips_target_size(patch, source->file.size - fit.skip);
    }
    if (fit.target_size > ROM_BYTES_MAX) {
        return brisk_errinfo_set(
            info, BRISK_ERR_LIMIT, "%s: makes a ROM of %llu bytes, more than the %d allowed",
            patch->file.name, (unsigned long long)fit.target_size, ROM_BYTES_MAX);
    }
    *ret = fit;
    return BRISK_OK;
}

/* --- applying --------------------------------------------------------------------------------- */

brisk_err rom_copy_source(const rom_target *target, uint64_t from, uint64_t to, rom_output *output,
                          brisk_errinfo *info)
{
    brisk_err err = BRISK_OK;
    if (from < target->behind.size && from < to) {
        uint64_t end = to < target->behind.size ? to : target->behind.size;
        err = rom_output_write(output, target->behind.data + from, end - from, info);
        from = end;
    }
    if (err == BRISK_OK && from < to) {
        err = rom_output_fill(output, 0, to - from, info);
    }
    return err;
}

static rom_target target_of(const rom_source *source, const rom_fit *fit)
{
    BRISK_ASSERT(fit->skip <= source->file.size && fit->skip <= fit->target_size);
    return (rom_target){.behind = rom_bytes_behind(&source->file, fit->skip),
                        .size = fit->target_size - fit->skip};
}

/* Is the part behind fit->skip what the patch promised? */
static brisk_err check_result(const rom_patch *patch, const rom_fit *fit, rom_output *output,
                              brisk_errinfo *info)
{
    rom_output_result result;
    brisk_err err = rom_output_finish(output, &result, info);
    if (err != BRISK_OK || !patch->has_crcs || !fit->is_exact) {
        return err;
    }
    uint32_t crc32 = fit->skip == 0 ? result.file_crc32 : result.rom_crc32;
    if (crc32 != patch->target_crc32) {
        return brisk_errinfo_set(info, BRISK_ERR_CORRUPT,
                                 "%s: the result has CRC32 %08X instead of %08X: the patch was "
                                 "made wrong",
                                 patch->file.name, crc32, patch->target_crc32);
    }
    return BRISK_OK;
}

brisk_err rom_patch_apply(const rom_patch *patch, const rom_source *source, const rom_fit *fit,
                          rom_output *output, brisk_errinfo *info)
{
    rom_target target = target_of(source, fit);
    brisk_err err = rom_output_write(output, source->file.data, fit->skip, info);
    if (err == BRISK_OK) {
        err = patch->format == ROM_PATCH_IPS   ? rom_ips_apply(patch, &target, output, info)
              : patch->format == ROM_PATCH_UPS ? rom_ups_apply(patch, &target, output, info)
                                               : rom_bps_apply(patch, &target, output, info);
    }
    return err == BRISK_OK ? check_result(patch, fit, output, info) : err;
}

/* --- lists of writes --------------------------------------------------------------------------- */

static brisk_err told(brisk_errinfo *info, brisk_err err)
{
    if (err == BRISK_ERR_LIMIT) {
        return brisk_errinfo_set(info, err, "more than %d separate changes", ROM_WRITES_MAX);
    }
    return err == BRISK_OK ? BRISK_OK : brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
}

/* Count what is added to the sink; refuse what is too much for one job, stop when asked to. */
static brisk_err charge(const rom_writes_sink *sink, uint64_t writes, uint64_t bytes,
                        brisk_errinfo *info)
{
    enum { ASK_EVERY = 4096 };
    rom_budget *budget = sink->budget;
    if (budget == NULL) {
        return BRISK_OK;
    }
    uint64_t writes_now = atomic_fetch_add(&budget->writes, writes) + writes;
    uint64_t bytes_now = atomic_fetch_add(&budget->bytes, bytes) + bytes;
    if (writes_now > ROM_WRITES_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT,
                                 "the mods change more than %d separate places together, too many "
                                 "to merge; apply one at a time",
                                 ROM_WRITES_MAX);
    }
    if (bytes_now > ROM_CHANGED_BYTES_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT,
                                 "the mods change more than %llu bytes together, too many to "
                                 "merge; apply one at a time",
                                 (unsigned long long)ROM_CHANGED_BYTES_MAX);
    }
    if (sink->stopped != NULL && writes_now % ASK_EVERY < writes &&
        sink->stopped(sink->stopped_ctx)) {
        return brisk_errinfo_set(info, BRISK_ERR_CANCELLED, "%s",
                                 brisk_err_message(BRISK_ERR_CANCELLED));
    }
    return BRISK_OK;
}

brisk_err rom_sink_add(const rom_writes_sink *sink, uint64_t offset, const uint8_t *bytes,
                       uint64_t size, brisk_errinfo *info)
{
    BRISK_ASSERT(size > 0 && size <= ROM_BYTES_MAX);
    rom_write write = {
        .offset = offset, .bytes = bytes, .size = (uint32_t)size, .owner = sink->owner};
    brisk_err err = charge(sink, 1, size, info);
    return err == BRISK_OK ? told(info, rom_writes_add(sink->list, sink->arena, &write)) : err;
}

brisk_err rom_sink_alloc(const rom_writes_sink *sink, size_t size, uint8_t **ret,
                         brisk_errinfo *info)
{
    rom_budget *budget = sink->budget;
    if (budget != NULL && atomic_fetch_add(&budget->memory, size) + size > budget->memory_max) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT,
                                 "the patches make more than %llu bytes out of themselves, too "
                                 "many to merge; apply one at a time",
                                 (unsigned long long)budget->memory_max);
    }
    uint8_t *bytes = brisk_arena_alloc(sink->arena, size);
    if (bytes == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory for the changes of a patch");
    }
    *ret = bytes;
    return BRISK_OK;
}

brisk_err rom_sink_add_changes(const rom_writes_sink *sink, const rom_target *target,
                               uint64_t offset, const rom_bytes *bytes, brisk_errinfo *info)
{
    BRISK_ASSERT(bytes->size <= ROM_BYTES_MAX);
    rom_write write = {.offset = offset,
                       .bytes = bytes->data,
                       .size = (uint32_t)bytes->size,
                       .owner = sink->owner};
    size_t count = sink->list->count;
    brisk_err err =
        told(info, rom_writes_add_changes(sink->list, sink->arena, &write, &target->behind));
    if (err != BRISK_OK) {
        return err;
    }
    uint64_t added = 0;
    for (size_t i = count; i < sink->list->count; i++) {
        added += sink->list->items[i].size;
    }
    return charge(sink, sink->list->count - count, added, info);
}

brisk_err rom_patch_writes(const rom_patch *patch, const rom_source *source, const rom_fit *fit,
                           const rom_writes_sink *sink, brisk_errinfo *info)
{
    rom_target target = target_of(source, fit);
    return patch->format == ROM_PATCH_IPS   ? rom_ips_writes(patch, &target, sink, info)
           : patch->format == ROM_PATCH_UPS ? rom_ups_writes(patch, &target, sink, info)
                                            : rom_bps_writes(patch, &target, sink, info);
}
