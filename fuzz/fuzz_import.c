/*
 * fuzz_import.c -- any bytes as a result of another tool, in every format.  Oracle: a refusal names the
 * source; series have a name, finite values, and as many times; the same bytes give the same series.
 */
#include <math.h>
#include <string.h>

#include <brisk/import.h>

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static double check_all(const brisk_import *import)
{
    size_t count = 0;
    double sum = 0;
    const brisk_import_series *series = brisk_import_series_of(import, &count);
    BRISK_ASSERT(count > 0);
    for (size_t i = 0; i < count; i++) {
        BRISK_ASSERT(series[i].count > 0 && series[i].unit != NULL && series[i].statistic != NULL);
        sum = fmod(sum * 31 + (double)strlen(series[i].name), 1e9);
        for (size_t k = 0; k < series[i].count; k++) {
            BRISK_ASSERT(isfinite(series[i].values[k]));
            BRISK_ASSERT(series[i].times == NULL || isfinite(series[i].times[k]));
            sum = fmod(sum * 31 + series[i].values[k], 1e9);
        }
    }
    return sum;
}

static double read_all(const uint8_t *data, size_t size, int format)
{
    brisk_import *import = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_import_opts opts = {.name = "fuzz", .format = (brisk_import_format)format};
    if (brisk_import_bytes(data, size, &opts, &import, &info) != BRISK_OK) {
        BRISK_ASSERT(strncmp(info.text, "fuzz:", 5) == 0);
        return 0;
    }
    double sum = check_all(import);
    brisk_import_destroy(import);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int format = BRISK_IMPORT_AUTO; format <= (int)BRISK_IMPORT_HLOG; format++) {
        double sum = read_all(data, size, format);
        double again = read_all(data, size, format);
        BRISK_ASSERT(sum >= again && sum <= again);
    }
    return 0;
}
