/*
 * load.c -- rom_loading: open everything that is named, learn what it is, and nothing more.
 *
 * Files are mapped, not read, and one that is named several times only once.  They are hashed only when there is a cache to ask.  Whatever is
 * wrong with a name, a mod file or the place of the output is said here, before any work.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

#include "workload/rom/apply.h"
#include "workload/rom/beside.h"

brisk_err rom_fail(brisk_stage_ctx *ctx, const brisk_errinfo *info, brisk_err code)
{
    return brisk_stage_fail(ctx, code, "%s", info->text);
}

static rom_bytes bytes_of(const rom_input *input)
{
    return (rom_bytes){.name = input->path, .data = input->view.data, .size = input->view.size};
}

/* `input` is open. */
static void take_input(brisk_stage_ctx *ctx, const rom_job *job, rom_input *input)
{
    if (job->hash_inputs) {
        input->hash = brisk_hash128_of(input->view.data, input->view.size, 0);
    }
    brisk_stage_add_bytes(ctx, input->view.size);
}

/* Bytes that came with the request; they belong to nobody's file. */
static brisk_err find_supplied(brisk_stage_ctx *ctx, const rom_job *job, uint64_t size_max,
                               rom_input *input)
{
    static const unsigned char nothing;
    const rom_request *request = job->request;
    uint32_t i = 0;
    while (i < request->supplied_count && strcmp(request->supplied[i].name, input->path) != 0) {
        i++;
    }
    if (i == request->supplied_count) {
        return brisk_stage_fail(ctx, BRISK_ERR_NOT_FOUND, "%s: did not come with the request",
                                input->path);
    }
    const rom_bytes *bytes = &request->supplied[i];
    if (bytes->size > size_max) {
        return brisk_stage_fail(ctx, BRISK_ERR_LIMIT, "%s: larger than %llu bytes", input->path,
                                (unsigned long long)size_max);
    }
    input->view =
        (brisk_file_view){.data = bytes->size > 0 ? bytes->data : &nothing, .size = bytes->size};
    take_input(ctx, job, input);
    return BRISK_OK;
}

static brisk_err open_input(brisk_stage_ctx *ctx, const rom_job *job, uint64_t size_max,
                            rom_input *input)
{
    if (job->request->supplied != NULL) {
        return find_supplied(ctx, job, size_max, input);
    }
    brisk_errinfo info = {0};
    brisk_err err = brisk_file_view_open(input->path, size_max, &input->view, &info);
    if (err != BRISK_OK) {
        return rom_fail(ctx, &info, err);
    }
    take_input(ctx, job, input);
    return BRISK_OK;
}

/* A patch that the mod file at `mod_path` names: in its folder or below it. */
static brisk_err open_named_patch(brisk_stage_ctx *ctx, const rom_job *job, const char *mod_path,
                                  rom_input *input)
{
    if (job->request->supplied != NULL) {
        return find_supplied(ctx, job, ROM_PATCH_BYTES_MAX, input);
    }
    const char *slash = strrchr(mod_path, '/');
    size_t folder_size = slash != NULL ? (size_t)(slash - mod_path) + 1 : 0;
    brisk_errinfo info = {0};
    brisk_err err =
        rom_open_beside(input->path, folder_size, ROM_PATCH_BYTES_MAX, &input->view, &info);
    if (err != BRISK_OK) {
        return rom_fail(ctx, &info, err);
    }
    take_input(ctx, job, input);
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
    const char *system = rom_system_title(job->info.system);
    const char *mapping = rom_mapping_title(job->info.mapping);
    bool says_both = strncmp(mapping, system, strlen(system)) == 0; /* "Game Boy banks" */
    brisk_stage_note(ctx, "%s%s%s", says_both ? "" : system, says_both ? "" : " ", mapping);
    return BRISK_OK;
}

static bool has_suffix(const char *path, const char *suffix)
{
    size_t size = strlen(path);
    size_t tail = strlen(suffix);
    return size > tail && strcasecmp(path + size - tail, suffix) == 0;
}

/* A patch by its first bytes, or by its name when they are damaged; otherwise a mod file. */
bool rom_looks_like_patch(const rom_bytes *file)
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
    if (rom_looks_like_patch(&file)) {
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

/* Unit `index` is as an earlier one: its open files are used once more. */
static void share_unit(const rom_job *job, uint32_t index)
{
    rom_unit *unit = &job->units[index];
    const rom_unit *first = &job->units[unit->same_as];
    unit->has_patch = first->has_patch;
    unit->patch = first->patch;
    if (unit->component != NULL && unit->component->patch_path != NULL) {
        unit->patch_input =
            first->component != NULL ? first->patch_input : job->mods[first->mod].input;
    }
}

static brisk_err load_unit(brisk_stage_ctx *ctx, const rom_job *job, uint32_t index)
{
    rom_unit *unit = &job->units[index];
    const rom_mod *mod = &job->mods[unit->mod];
    if (unit->same_as != index) {
        share_unit(job, index);
    }
    if (mod->is_patch) {
        unit->name = mod->input.path;
        return unit->same_as == index ? open_patch(ctx, &mod->input, unit) : BRISK_OK;
    }
    brisk_arena *arena = brisk_stage_arena(ctx);
    const char *component = unit->component->name;
    unit->name = mod->is_ambiguous ? brisk_arena_printf(arena, "%s/%s (%s)", mod->file.mod,
                                                        component, mod->file.path)
                                   : brisk_arena_printf(arena, "%s/%s", mod->file.mod, component);
    if (unit->name == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (unit->component->patch_path == NULL || unit->same_as != index) {
        return BRISK_OK;
    }
    unit->patch_input.path = unit->component->patch_path;
    brisk_err err = open_named_patch(ctx, job, mod->input.path, &unit->patch_input);
    return err == BRISK_OK ? open_patch(ctx, &unit->patch_input, unit) : err;
}

/* A unit's patch file, to be sorted by. */
typedef struct named_unit {
    const char *path;
    uint32_t index;
} named_unit;

static int compare_named(const void *a, const void *b)
{
    const named_unit *x = a;
    const named_unit *y = b;
    int order = strcmp(x->path, y->path);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

/* Find units with the same patch file by name, and those of a mod file that is named again. */
static brisk_err find_same_units(brisk_stage_ctx *ctx, rom_job *job)
{
    named_unit *named = brisk_arena_calloc(brisk_stage_arena(ctx), job->unit_count, sizeof *named);
    if (named == NULL) {
        return BRISK_ERR_NOMEM;
    }
    size_t count = 0;
    for (uint32_t i = 0; i < job->unit_count; i++) {
        rom_unit *unit = &job->units[i];
        const rom_mod *mod = &job->mods[unit->mod];
        const char *path = mod->is_patch ? mod->input.path : unit->component->patch_path;
        unit->same_as = job->mods[mod->same_as].unit_first + (i - mod->unit_first);
        if (path != NULL) {
            named[count++] = (named_unit){.path = path, .index = i};
        }
    }
    qsort(named, count, sizeof *named, compare_named);
    for (size_t i = 0; i < count; i++) {
        bool is_same = i > 0 && strcmp(named[i].path, named[i - 1].path) == 0;
        job->units[named[i].index].same_as =
            is_same ? job->units[named[i - 1].index].same_as : named[i].index;
    }
    return BRISK_OK;
}

/* Mods of one name from different files are told apart by the file's name, too. */
static void find_ambiguous_mods(const rom_job *job)
{
    for (uint32_t i = 0; i < job->mod_count; i++) {
        rom_mod *mod = &job->mods[i];
        for (uint32_t k = 0; k < job->mod_count && !mod->is_patch; k++) {
            const rom_mod *other = &job->mods[k];
            if (!other->is_patch && other->same_as != mod->same_as &&
                strcmp(other->file.mod, mod->file.mod) == 0) {
                mod->is_ambiguous = true;
            }
        }
    }
}

/* All units, and not more changes than can be merged. */
static brisk_err load_units(brisk_stage_ctx *ctx, rom_job *job)
{
    uint64_t records = 0;
    for (uint32_t m = 0; m < job->mod_count; m++) {
        for (uint32_t c = 0; c < job->mods[m].unit_count; c++) {
            rom_unit *unit = &job->units[job->unit_count++];
            unit->mod = m;
            unit->component = job->mods[m].is_patch ? NULL : &job->mods[m].file.components[c];
        }
    }
    find_ambiguous_mods(job);
    brisk_err err = find_same_units(ctx, job);
    for (uint32_t i = 0; err == BRISK_OK && i < job->unit_count; i++) {
        err = brisk_stage_cancelled(ctx) ? BRISK_ERR_CANCELLED : load_unit(ctx, job, i);
        if (err == BRISK_OK && job->units[i].same_as == i) {
            records += rom_patch_records(&job->units[i].patch);
        }
        if (err == BRISK_OK && job->unit_count > 1 && records > ROM_WRITES_MAX) {
            err = brisk_stage_fail(ctx, BRISK_ERR_LIMIT,
                                   "%s: the patches have more than %d records together, too many "
                                   "to merge; apply one at a time",
                                   job->units[i].name, ROM_WRITES_MAX);
        }
    }
    return err;
}

/* The first mod with the path of mod `index`. */
static uint32_t find_same_mod(const rom_job *job, uint32_t index)
{
    uint32_t i = 0;
    while (strcmp(job->mods[i].input.path, job->mods[index].input.path) != 0) {
        i++;
    }
    return i;
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
        mod->same_as = find_same_mod(job, i);
        brisk_err err = BRISK_OK;
        if (mod->same_as != i) {
            *mod = job->mods[mod->same_as];
        } else {
            err = load_mod(ctx, job, mod);
        }
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
    return load_units(ctx, job);
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
    if (rom_job_is_in_memory(job)) {
        if (job->memory_fd >= 0) {
            (void)close(job->memory_fd);
        }
        job->memory_fd = memfd_create("brisk-rom", MFD_CLOEXEC);
        return job->memory_fd >= 0
                   ? BRISK_OK
                   : brisk_stage_fail(ctx, brisk_err_from_errno(errno), "no file in memory: %s",
                                      strerrorname_np(errno));
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
    *ret = rom_job_fd(job);
    return BRISK_OK;
}

brisk_err rom_stage_load(brisk_stage_ctx *ctx, void *state)
{
    rom_job *job = state;
    job->stage = "rom_loading";
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
