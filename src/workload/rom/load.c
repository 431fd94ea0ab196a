/*
 * load.c -- rom_loading: open everything that is named, learn what it is, and nothing more.
 *
 * Files are mapped, not read.  They are hashed only when there is a cache to ask.  Whatever is
 * wrong with a name, a mod file or the place of the output is said here, before any work.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

#include "workload/rom/apply.h"

brisk_err rom_fail(brisk_stage_ctx *ctx, const brisk_errinfo *info, brisk_err code)
{
    return brisk_stage_fail(ctx, code, "%s", info->text);
}

static rom_bytes bytes_of(const rom_input *input)
{
    return (rom_bytes){.name = input->path, .data = input->view.data, .size = input->view.size};
}

static brisk_err open_input(brisk_stage_ctx *ctx, const rom_job *job, uint64_t size_max,
                            rom_input *input)
{
    brisk_errinfo info = {0};
    brisk_err err = brisk_file_view_open(input->path, size_max, &input->view, &info);
    if (err != BRISK_OK) {
        return rom_fail(ctx, &info, err);
    }
    if (job->hash_inputs) {
        input->hash = brisk_hash128_of(input->view.data, input->view.size, 0);
    }
    brisk_stage_add_bytes(ctx, input->view.size);
    return BRISK_OK;
}

static brisk_err load_rom(brisk_stage_ctx *ctx, rom_job *job)
{
    job->rom.path = job->request->rom_path;
    brisk_err err = open_input(ctx, job, ROM_BYTES_MAX, &job->rom);
    if (err != BRISK_OK) {
        return err;
    }
    if (job->rom.view.size == 0) {
        return brisk_stage_fail(ctx, BRISK_ERR_INVALID, "%s: is empty, not a ROM", job->rom.path);
    }
    rom_bytes file = bytes_of(&job->rom);
    rom_detect(&file, &job->info);
    job->source = (rom_source){.file = file, .copier_bytes = job->info.copier_bytes};
    job->size = file.size;
    brisk_stage_note(ctx, "%s %s", rom_system_title(job->info.system),
                     rom_mapping_title(job->info.mapping));
    return BRISK_OK;
}

static bool has_suffix(const char *path, const char *suffix)
{
    size_t size = strlen(path);
    size_t tail = strlen(suffix);
    return size > tail && strcasecmp(path + size - tail, suffix) == 0;
}

/* A patch by its first bytes, or by its name when they are damaged; otherwise a mod file. */
static bool looks_like_patch(const rom_bytes *file)
{
    static const char *const patches[] = {".ips", ".ups", ".bps"};
    if (rom_patch_is_patch(file)) {
        return true;
    }
    for (size_t i = 0; i < sizeof patches / sizeof patches[0]; i++) {
        if (has_suffix(file->name, patches[i])) {
            return true;
        }
    }
    bool is_text = memchr(file->data, '\0', file->size) == NULL;
    return !is_text && !has_suffix(file->name, ".yaml") && !has_suffix(file->name, ".yml");
}

static brisk_err open_patch(brisk_stage_ctx *ctx, const rom_input *input, rom_unit *unit)
{
    rom_bytes file = bytes_of(input);
    brisk_errinfo info = {0};
    brisk_err err = rom_patch_open(&file, NULL, &unit->patch, &info);
    if (err != BRISK_OK) {
        return rom_fail(ctx, &info, err);
    }
    unit->has_patch = true;
    return BRISK_OK;
}

static brisk_err load_mod(brisk_stage_ctx *ctx, const rom_job *job, rom_mod *mod)
{
    brisk_err err = open_input(ctx, job, ROM_PATCH_BYTES_MAX, &mod->input);
    if (err != BRISK_OK) {
        return err;
    }
    rom_bytes file = bytes_of(&mod->input);
    if (looks_like_patch(&file)) {
        mod->is_patch = true;
        mod->unit_count = 1;
        return BRISK_OK;
    }
    brisk_errinfo info = {0};
    err = rom_modfile_parse(&file, brisk_stage_arena(ctx), &mod->file, &info);
    if (err != BRISK_OK) {
        return rom_fail(ctx, &info, err);
    }
    mod->unit_count = mod->file.component_count;
    return BRISK_OK;
}

static brisk_err load_unit(brisk_stage_ctx *ctx, const rom_job *job, rom_unit *unit)
{
    const rom_mod *mod = &job->mods[unit->mod];
    if (mod->is_patch) {
        unit->name = mod->input.path;
        return open_patch(ctx, &mod->input, unit);
    }
    unit->name =
        brisk_arena_printf(brisk_stage_arena(ctx), "%s/%s", mod->file.mod, unit->component->name);
    if (unit->name == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (unit->component->patch_path == NULL) {
        return BRISK_OK;
    }
    unit->patch_input.path = unit->component->patch_path;
    brisk_err err = open_input(ctx, job, ROM_PATCH_BYTES_MAX, &unit->patch_input);
    return err == BRISK_OK ? open_patch(ctx, &unit->patch_input, unit) : err;
}

static brisk_err load_mods(brisk_stage_ctx *ctx, rom_job *job)
{
    brisk_arena *arena = brisk_stage_arena(ctx);
    const rom_request *request = job->request;
    job->mods = brisk_arena_calloc(arena, request->mod_count, sizeof *job->mods);
    if (job->mods == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint64_t units = 0;
    for (uint32_t i = 0; i < request->mod_count; i++) {
        rom_mod *mod = &job->mods[i];
        mod->input.path = request->mod_paths[i];
        job->mod_count++;
        brisk_err err = load_mod(ctx, job, mod);
        if (err != BRISK_OK) {
            return err;
        }
        mod->unit_first = (uint32_t)units;
        units += mod->unit_count;
        if (units > ROM_UNITS_MAX) {
            return brisk_stage_fail(ctx, BRISK_ERR_LIMIT,
                                    "%s: more than %d components in all mods together",
                                    mod->input.path, ROM_UNITS_MAX);
        }
    }
    job->units = brisk_arena_calloc(arena, units, sizeof *job->units);
    if (job->units == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t m = 0; m < job->mod_count; m++) {
        for (uint32_t c = 0; c < job->mods[m].unit_count; c++) {
            rom_unit *unit = &job->units[job->unit_count++];
            unit->mod = m;
            unit->component = job->mods[m].is_patch ? NULL : &job->mods[m].file.components[c];
            brisk_err err = load_unit(ctx, job, unit);
            if (err != BRISK_OK) {
                return err;
            }
        }
    }
    return BRISK_OK;
}

/* Is the existing file `path` one that we read?  By device and inode, so links do not hide it. */
static brisk_err check_is_no_input(brisk_stage_ctx *ctx, const rom_job *job, const char *path)
{
    struct stat st;
    if (path == NULL || stat(path, &st) != 0) {
        return BRISK_OK; /* not there, or opening it for replacement will say why not */
    }
    const char *same = NULL;
    if (st.st_dev == job->rom.view.dev && st.st_ino == job->rom.view.ino) {
        same = job->rom.path;
    }
    for (uint32_t i = 0; i < job->mod_count; i++) {
        const rom_input *input = &job->mods[i].input;
        same = st.st_dev == input->view.dev && st.st_ino == input->view.ino ? input->path : same;
    }
    for (uint32_t i = 0; i < job->unit_count; i++) {
        const rom_input *input = &job->units[i].patch_input;
        if (input->path != NULL && st.st_dev == input->view.dev && st.st_ino == input->view.ino) {
            same = input->path;
        }
    }
    if (same == NULL) {
        return BRISK_OK;
    }
    return brisk_stage_fail(ctx, BRISK_ERR_INVALID,
                            "%s: is the same file as the input %s; choose another output", path,
                            same);
}

static brisk_err open_output(brisk_stage_ctx *ctx, rom_job *job)
{
    if (job->request->dry_run) {
        job->memory_fd = memfd_create("brisk-dry-run", MFD_CLOEXEC);
        return job->memory_fd >= 0
                   ? BRISK_OK
                   : brisk_stage_fail(ctx, brisk_err_from_errno(errno),
                                      "dry run: no file in memory: %s", strerrorname_np(errno));
    }
    brisk_errinfo info = {0};
    brisk_err err = brisk_file_replace_open(job->request->out_path, NULL, &job->output, &info);
    return err == BRISK_OK ? BRISK_OK : rom_fail(ctx, &info, err);
}

brisk_err rom_output_fd(brisk_stage_ctx *ctx, rom_job *job, int *ret)
{
    if (job->output_used) { /* an answer that proved bad was placed here */
        brisk_file_replace_abort(job->output);
        job->output = NULL;
        brisk_err err = open_output(ctx, job);
        if (err != BRISK_OK) {
            return err;
        }
    }
    job->output_used = true;
    *ret = job->request->dry_run ? job->memory_fd : brisk_file_replace_fd(job->output);
    return BRISK_OK;
}

brisk_err rom_stage_load(brisk_stage_ctx *ctx, void *state)
{
    rom_job *job = state;
    job->hash_inputs = !brisk_stage_no_cache(ctx) && !job->request->dry_run;
    brisk_err err = load_rom(ctx, job);
    if (err == BRISK_OK) {
        err = load_mods(ctx, job);
    }
    if (err == BRISK_OK) {
        err = check_is_no_input(ctx, job, job->request->out_path);
    }
    if (err == BRISK_OK) {
        err = check_is_no_input(ctx, job, job->request->trace_path);
        job->names_checked = err == BRISK_OK;
    }
    return err == BRISK_OK ? open_output(ctx, job) : err;
}
