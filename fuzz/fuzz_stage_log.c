/*
 * fuzz_stage_log.c -- stage tables of others: whatever is taken can be replayed, ranked and printed.
 */
#include <brisk/whatif.h>

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static brisk_err drop(void *ctx, const char *data, size_t size)
{
    (void)data;
    *(size_t *)ctx += size;
    return BRISK_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    brisk_stage_profile *profile;
    brisk_errinfo info = {.text = ""};
    if (brisk_stage_profile_create(NULL, &profile) != BRISK_OK) {
        return 0;
    }
    brisk_err err = brisk_stage_profile_add_log(profile, "fuzz", (const char *)data, size, &info);
    BRISK_ASSERT(err == BRISK_OK || info.text[0] != '\0');
    if (brisk_stage_profile_count(profile) > 0) {
        brisk_whatif_answer best[4];
        uint32_t count = 0;
        size_t written = 0;
        brisk_whatif_opts opts = {.resamples = 50};
        err = brisk_whatif_rank(profile, &opts, best, 4, &count, NULL);
        BRISK_ASSERT(count <= 4 && (err == BRISK_OK || count == 0));
        BRISK_ASSERT(brisk_stage_profile_write_text(profile, (brisk_out){drop, &written}) ==
                     BRISK_OK);
        BRISK_ASSERT(written > 0);
    }
    brisk_stage_profile_destroy(profile);
    return 0;
}
