/*
 * deliver.c -- the result becomes an entry of the cache, an entry becomes the result, and either
 * becomes the output file.
 *
 * A large result is given to the cache as the temporary file itself, opened once more for reading
 * only, so that it can be cloned.  A large answer is taken or declined by what the entry says of
 * its making; a declined one is computed, which an up-to-date entry survives.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"

#include "workload/rom/apply.h"
#include "workload/rom/place.h"

/* The written file as a value that nobody can write through. */
static brisk_err value_of_file(int fd, uint64_t size, brisk_value **ret)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, O_RDONLY | O_CLOEXEC);
    if (again < 0) {
        return BRISK_ERR_DECLINED; /* without /proc the result is not kept, nothing worse */
    }
    brisk_err err = brisk_value_from_fd(again, size, NULL, ret);
    if (err != BRISK_OK) {
        (void)close(again);
    }
    return err;
}

static brisk_err value_in_memory(int fd, uint64_t size, brisk_value **ret)
{
    void *data = NULL;
    brisk_value *value = NULL;
    brisk_err err = brisk_value_reserve((size_t)size, NULL, &data, &value);
    if (err == BRISK_OK) {
        err = brisk_file_pread_all(fd, data, (size_t)size, 0);
    }
    if (err != BRISK_OK) {
        brisk_value_unref(value);
        return err;
    }
    *ret = value;
    return BRISK_OK;
}

static bool is_as_hashed(const rom_input *input)
{
    if (input->path == NULL) {
        return true;
    }
    brisk_hash128 now = brisk_hash128_of(input->view.data, input->view.size, 0);
    return now.lo == input->hash.lo && now.hi == input->hash.hi;
}

brisk_err rom_result_value(const rom_job *job, brisk_value **ret)
{
    if (!job->request->in_memory || !job->has_result) {
        return BRISK_ERR_NOT_FOUND;
    }
    uint64_t size = job->result.size;
    return size > BRISK_VALUE_LARGE_BYTES ? value_of_file(job->memory_fd, size, ret)
                                          : value_in_memory(job->memory_fd, size, ret);
}

/*
 * A view shows what others write into the file meanwhile.  What was computed from bytes that the
 * key does not stand for would be a wrong answer for ever, so all inputs are hashed once more.
 */
static bool inputs_are_as_hashed(const rom_job *job)
{
    bool same = is_as_hashed(&job->rom);
    for (uint32_t i = 0; same && i < job->mod_count; i++) {
        same = !rom_mod_is_first(job, &job->mods[i]) || is_as_hashed(&job->mods[i].input);
    }
    for (uint32_t i = 0; same && i < job->unit_count; i++) {
        same = !rom_unit_is_first(job, &job->units[i]) || is_as_hashed(&job->units[i].patch_input);
    }
    return same;
}

brisk_err rom_answer(brisk_stage_ctx *ctx, void *state, brisk_answer *ret)
{
    rom_job *job = state;
    if (brisk_stage_no_cache(ctx) || job->request->dry_run || !inputs_are_as_hashed(job)) {
        return BRISK_ERR_DECLINED;
    }
    int fd = rom_job_fd(job);
    uint64_t size = job->result.size;
    brisk_value *value = NULL;
    brisk_err err = size > BRISK_VALUE_LARGE_BYTES ? value_of_file(fd, size, &value)
                                                   : value_in_memory(fd, size, &value);
    if (err != BRISK_OK) {
        return BRISK_ERR_DECLINED; /* the result stands, it is only not remembered */
    }
    _Static_assert((int)ROM_RESULT_BYTES <= (int)BRISK_ENTRY_META_MAX, "meta data must fit");
    rom_result_encode(&job->result, ret->meta);
    ret->meta_size = ROM_RESULT_BYTES;
    ret->value = value;
    return BRISK_OK;
}

brisk_err rom_accept(brisk_stage_ctx *ctx, void *state, const brisk_hit *hit)
{
    rom_job *job = state;
    rom_result result;
    if (!rom_result_decode(hit->meta, hit->meta_size, &result) ||
        result.size != brisk_value_size(hit->value)) {
        return brisk_stage_fail(ctx, BRISK_ERR_CORRUPT, "entry of another form");
    }
    job->compute_ns = hit->cost_ns;
    bool slower = rom_place_is_slower(hit, rom_job_fd(job), &job->place_expected_ns);
    (void)snprintf(job->declined_by, sizeof job->declined_by, "%s", hit->tier_name);
    if (slower) {
        return BRISK_ERR_DECLINED;
    }
    job->result = result;
    job->size = result.size;
    job->has_result = true;
    job->cached = brisk_value_ref(hit->value);
    return BRISK_OK;
}

/* Fill the output from the accepted answer.  CORRUPT: the engine drops the entry and computes. */
static brisk_err place(brisk_stage_ctx *ctx, rom_job *job)
{
    int fd = -1;
    brisk_err err = rom_output_fd(ctx, job, &fd);
    if (err != BRISK_OK) {
        return err;
    }
    errno = 0;
    err = rom_place(job->cached, job->result.content, fd, &job->placed_how);
    bool too_large = err == BRISK_ERR_FULL && errno == EFBIG;
    bool is_file = brisk_value_data(job->cached) == NULL;
    brisk_value_unref(job->cached);
    job->cached = NULL;
    if (err == BRISK_ERR_CORRUPT) { /* as before accept */
        job->has_result = false;
        job->size = job->source.file.size;
        job->place_expected_ns = 0;
        return brisk_stage_fail(ctx, err, "the stored ROM is damaged");
    }
    if (err != BRISK_OK) {
        return brisk_stage_fail(ctx, err, "%s: %s",
                                job->request->in_memory ? "result" : job->request->out_path,
                                too_large ? "file too large (limit of the process or file system)"
                                          : brisk_err_message(err));
    }
    brisk_stage_add_bytes(ctx, job->result.size);
    if (is_file && job->compute_ns != 0) {
        brisk_stage_note(ctx, "%s won: %.1f ms expected, computing took %.1f ms", job->placed_how,
                         (double)job->place_expected_ns / 1e6, (double)job->compute_ns / 1e6);
    } else {
        brisk_stage_note(ctx, "%s", job->placed_how);
    }
    return BRISK_OK;
}

brisk_err rom_stage_write(brisk_stage_ctx *ctx, void *state)
{
    rom_job *job = state;
    job->stage = "file_writing";
    if (job->request->dry_run) {
        brisk_stage_note(ctx, "dry run");
        return BRISK_OK;
    }
    if (job->cached != NULL) {
        brisk_err err = place(ctx, job);
        if (err != BRISK_OK) {
            return err;
        }
    }
    if (job->request->in_memory) {
        return BRISK_OK;
    }
    if (brisk_stage_cancelled(ctx)) {
        return BRISK_ERR_CANCELLED;
    }
    brisk_file_replace *output = job->output;
    job->output = NULL;
    brisk_errinfo info = {0};
    brisk_err err = brisk_file_replace_commit(output, !job->request->no_sync, &info);
    return err == BRISK_OK ? BRISK_OK : rom_fail(ctx, &info, err);
}
