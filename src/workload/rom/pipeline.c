/*
 * pipeline.c -- the rom workload: seven stages, their key, the life of their state.
 */
#include <unistd.h>

#include "workload/rom/apply.h"

static const brisk_stage stages[] = {
    {.name = "rom_loading", .flags = BRISK_STAGE_PREPARE, .run = rom_stage_load},
    {.name = "address_resolution", .after = {"rom_loading"}, .run = rom_stage_resolve},
    {.name = "patch_generation", .after = {"address_resolution"}, .run = rom_stage_generate},
    {.name = "conflict_detection", .after = {"patch_generation"}, .run = rom_stage_merge},
    {.name = "rom_patching", .after = {"conflict_detection"}, .run = rom_stage_patch},
    {.name = "validation", .after = {"rom_patching"}, .run = rom_stage_validate},
    {.name = "file_writing",
     .after = {"validation"},
     .flags = BRISK_STAGE_DELIVER,
     .run = rom_stage_write},
};

static brisk_err init(brisk_stage_ctx *ctx, void *state, const void *request)
{
    rom_job *job = state;
    job->request = request;
    job->memory_fd = -1;
    if (job->request->mod_count == 0 || job->request->mod_count > ROM_MODS_MAX) {
        return brisk_stage_fail(ctx, BRISK_ERR_LIMIT, "%u mods; 1 to %d can be applied at once",
                                job->request->mod_count, ROM_MODS_MAX);
    }
    return BRISK_OK;
}

static void release(void *state)
{
    rom_job *job = state;
    for (uint32_t i = 0; i < job->unit_count; i++) {
        if (rom_unit_is_first(job, &job->units[i])) {
            rom_patch_close(&job->units[i].patch);
            brisk_file_view_close(&job->units[i].patch_input.view);
        }
    }
    for (uint32_t i = 0; i < job->mod_count; i++) {
        if (rom_mod_is_first(job, &job->mods[i])) {
            brisk_file_view_close(&job->mods[i].input.view);
        }
    }
    brisk_file_view_close(&job->rom.view);
    brisk_file_replace_abort(job->output);
    brisk_value_unref(job->cached);
    if (job->request != NULL && job->memory_fd >= 0) { /* the state is zeroed before init */
        (void)close(job->memory_fd);
    }
}

/* A mod file decides by its bytes and those of the patches that it names, in their order. */
static void add_mod(const rom_job *job, const rom_mod *mod, brisk_key_builder *builder)
{
    brisk_key_content(builder, mod->is_patch ? "patch" : "mod", mod->input.hash,
                      mod->input.view.size);
    brisk_hasher hasher;
    brisk_hasher_init(&hasher, 0);
    uint64_t count = 0;
    for (uint32_t i = 0; i < mod->unit_count; i++) {
        const rom_input *input = &job->units[mod->unit_first + i].patch_input;
        if (input->path != NULL) {
            uint64_t fields[3] = {input->view.size, input->hash.lo, input->hash.hi};
            brisk_hasher_update(&hasher, fields, sizeof fields);
            count++;
        }
    }
    if (count > 0) {
        brisk_key_content(builder, "patches", brisk_hasher_digest128(&hasher), count);
    }
}

static brisk_err key(brisk_stage_ctx *ctx, void *state, brisk_key_builder *builder)
{
    (void)ctx;
    const rom_job *job = state;
    if (job->request->dry_run) {
        return BRISK_ERR_DECLINED;
    }
    brisk_key_content(builder, "rom", job->rom.hash, job->rom.view.size);
    brisk_key_u64(builder, "fix", (uint64_t)job->request->fix);
    brisk_key_u64(builder, "force", job->request->force);
    for (uint32_t i = 0; i < job->mod_count; i++) {
        add_mod(job, &job->mods[i], builder);
    }
    return BRISK_OK;
}

const brisk_workload rom_workload = {
    .name = "rom",
    .version = ROM_WORKLOAD_VERSION,
    .entry_flags = BRISK_ENTRY_LOCAL,
    .stages = stages,
    .stage_count = sizeof stages / sizeof stages[0],
    .state_bytes = sizeof(rom_job),
    .init = init,
    .release = release,
    .key = key,
    .answer = rom_answer,
    .accept = rom_accept,
    .form = &rom_form,
};
