/*
 * produce.c -- rom_patching and validation: the result is written once, in order, and checked.
 *
 * A single patch streams from its file and the mapped ROM; merged writes are laid between pieces
 * of the ROM.  Either way every digest is taken while the bytes pass, so that validation looks at
 * figures, not at the file.
 */
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/cleanup.h"

#include "workload/rom/apply.h"

BRISK_DEFINE_CLEANUP(rom_output, rom_output_destroy)

enum { PIECE_BYTES = 4 << 20 /* between two looks at the cancel flag */ };

static const char *output_name(const rom_job *job)
{
    return job->request->dry_run     ? "dry run"
           : job->request->in_memory ? "result"
                                     : job->request->out_path;
}

/* [from, to) of the result where nobody writes: the ROM, and zeros behind its end. */
static brisk_err copy_rom(brisk_stage_ctx *ctx, const rom_job *job, rom_output *output,
                          uint64_t from, uint64_t to)
{
    const rom_bytes *rom = &job->source.file;
    brisk_errinfo info = {0};
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && from < to) {
        if (brisk_stage_cancelled(ctx)) {
            return BRISK_ERR_CANCELLED;
        }
        uint64_t piece = to - from < PIECE_BYTES ? to - from : PIECE_BYTES;
        if (from >= rom->size) {
            err = rom_output_fill(output, 0, piece, &info);
        } else {
            piece = piece < rom->size - from ? piece : rom->size - from;
            err = rom_output_write(output, rom->data + from, (size_t)piece, &info);
        }
        from += piece;
    }
    return err == BRISK_OK ? BRISK_OK : rom_fail(ctx, &info, err);
}

static brisk_err write_merged(brisk_stage_ctx *ctx, const rom_job *job, rom_output *output)
{
    uint64_t at = 0;
    for (size_t i = 0; i < job->merged.count; i++) {
        const rom_write *write = &job->merged.items[i];
        BRISK_ASSERT(write->offset >= at && write->offset + write->size <= job->size);
        brisk_err err = copy_rom(ctx, job, output, at, write->offset);
        if (err != BRISK_OK) {
            return err;
        }
        brisk_errinfo info = {0};
        err = rom_output_write(output, write->bytes, write->size, &info);
        if (err != BRISK_OK) {
            return rom_fail(ctx, &info, err);
        }
        at = write->offset + write->size;
    }
    return copy_rom(ctx, job, output, at, job->size);
}

static brisk_err write_streamed(brisk_stage_ctx *ctx, const rom_job *job, rom_output *output)
{
    const rom_unit *unit = &job->units[0];
    brisk_errinfo info = {0};
    brisk_err err = rom_patch_apply(&unit->patch, &job->source, &unit->fit, output, &info);
    return err == BRISK_OK ? BRISK_OK : rom_fail(ctx, &info, err);
}

static void keep_result(rom_job *job, const rom_output_result *written)
{
    job->result = (rom_result){
        .size = written->size,
        .crc32 = written->file_crc32,
        .flags = written->fix_count != 0 ? ROM_RESULT_CHECKSUM_FIXED : 0,
        .writes = job->merged.count,
        .write_bytes = rom_writes_bytes(&job->merged),
        .content = written->content,
    };
    job->result_rom_crc32 = written->rom_crc32;
    job->fix_count = written->fix_count;
    job->has_result = true;
}

brisk_err rom_stage_patch(brisk_stage_ctx *ctx, void *state)
{
    rom_job *job = state;
    job->stage = "rom_patching";
    int fd = -1;
    if (job->size == 0 && !job->request->force) {
        uint32_t owner = job->has_size_owner ? job->size_owner : 0;
        return brisk_stage_fail(ctx, BRISK_ERR_INVALID,
                                "%s: leaves nothing of the ROM, the result would have 0 bytes; "
                                "--force writes it anyway",
                                job->units[owner].name);
    }
    brisk_err err = rom_output_fd(ctx, job, &fd);
    if (err != BRISK_OK) {
        return err;
    }
    rom_output_opts opts = {
        .name = output_name(job),
        .size = job->size,
        .skip = job->streamed ? job->units[0].fit.skip : job->source.copier_bytes,
        .sums = job->fixes,
    };
    if (opts.skip > job->size) {
        return brisk_stage_fail(ctx, BRISK_ERR_INVALID,
                                "%s: the mods leave %llu bytes, less than a copier header",
                                opts.name, (unsigned long long)job->size);
    }
    BRISK_CLEANUP(rom_output_destroy) rom_output *output = NULL;
    brisk_errinfo info = {0};
    err = rom_output_create(fd, &opts, &output, &info);
    if (err != BRISK_OK) {
        return rom_fail(ctx, &info, err);
    }
    err = job->streamed ? write_streamed(ctx, job, output) : write_merged(ctx, job, output);
    if (err != BRISK_OK) {
        return err;
    }
    rom_output_result written = {0};
    err = rom_output_finish(output, &written, &info);
    if (err == BRISK_OK && job->has_exact_crc32 && !job->fixes) {
        uint32_t found = job->exact_is_rom ? written.rom_crc32 : written.file_crc32;
        if (found != job->exact_crc32) {
            return brisk_stage_fail(ctx, BRISK_ERR_CORRUPT,
                                    "%s: the result has CRC32 %08x, the patch declares %08x",
                                    job->units[job->unit_count - 1].name, found, job->exact_crc32);
        }
    }
    if (err == BRISK_OK && job->fixes) {
        err = rom_output_fix_checksums(output, &written, &job->result_info, &info);
    }
    if (err != BRISK_OK) {
        return rom_fail(ctx, &info, err);
    }
    keep_result(job, &written);
    brisk_stage_add_bytes(ctx, job->result.size);
    if (job->place_expected_ns != 0) {
        brisk_stage_note(ctx, "computing won: %.1f ms, placing from %s %.1f ms",
                         (double)job->compute_ns / 1e6, job->declined_by,
                         (double)job->place_expected_ns / 1e6);
    } else if (job->fix_count != 0) {
        brisk_stage_note(ctx, "checksum fixed");
    }
    return BRISK_OK;
}

brisk_err rom_stage_validate(brisk_stage_ctx *ctx, void *state)
{
    rom_job *job = state;
    job->stage = "validation";
    int fd = rom_job_fd(job);
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size < 0 || (uint64_t)st.st_size != job->size ||
        job->result.size != job->size) {
        return brisk_stage_fail(ctx, BRISK_ERR_IO, "%s: the file has not the %llu bytes written",
                                output_name(job), (unsigned long long)job->size);
    }
    for (uint32_t i = 0; job->fixes && i < job->result_info.checksum_count; i++) {
        const rom_checksum *checksum = &job->result_info.checksums[i];
        if (checksum->is_computed && checksum->stored != checksum->computed) {
            return brisk_stage_fail(ctx, BRISK_ERR_CORRUPT,
                                    "%s: %s is %04x after it was fixed to %04x", output_name(job),
                                    checksum->name, checksum->stored, checksum->computed);
        }
    }
    brisk_stage_note(ctx, "CRC32 %08x", job->result.crc32);
    return BRISK_OK;
}
