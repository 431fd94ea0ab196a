/*
 * fuzz_profile_import.c -- any bytes as a profile, in every format.  Oracle: a refusal names the file;
 * what was read can be written in every format, and what pprof says of it is read back as the same.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "observe/profile/export.h"
#include "observe/profile/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum_of(const prof_model *model)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < model->samples.count; i++) {
        for (uint32_t t = 0; t < model->type_count; t++) {
            sum = prof_add(sum, model->samples.items[i].values[t]);
        }
    }
    return sum;
}

static void check(const prof_model *model)
{
    char *text = NULL;
    size_t size = 0;
    if (model->type_count == 0) {
        return;
    }
    for (int f = 0; f < (int)PROF_FORMAT_COUNT; f++) {
        FILE *out = open_memstream(&text, &size);
        BRISK_ASSERT(out != NULL);
        BRISK_ASSERT(prof_export(model, (prof_format)f, 0, out) == BRISK_OK);
        BRISK_ASSERT(fclose(out) == 0);
        if (f == (int)PROF_FORMAT_PPROF) {
            prof_model *back = NULL;
            prof_bytes bytes = {(const unsigned char *)text, size, "again"};
            brisk_err err = prof_import(bytes, NULL, &back, NULL);
            /* Values above 2^63 are no values there. */
            BRISK_ASSERT(err == BRISK_OK || err == BRISK_ERR_UNSUPPORTED);
            BRISK_ASSERT(err != BRISK_OK || sum_of(back) == sum_of(model));
            prof_model_destroy(back);
        }
        free(text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    prof_bytes bytes = {data, size, "fuzz"};
    prof_model *model = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_err err;
    if (size > 65536) {
        return 0;
    }
    if (size >= 8 && memcmp(data, "PERFILE2", 8) == 0) {
        err = prof_import_perf_data(bytes, false, NULL, &model, &info); /* no file is opened */
    } else {
        err = prof_import(bytes, NULL, &model, &info);
    }
    BRISK_ASSERT(err == BRISK_OK || strstr(info.text, "fuzz") != NULL || size == 0);
    if (err == BRISK_OK) {
        check(model);
    }
    prof_model_destroy(model);
    return 0;
}
