/*
 * fuzz_trace_file.c -- any bytes as a trace, in every format.  Oracle: a refusal names the file;
 * reading ends, since every request takes bytes or is one of a bounded count; the same bytes give
 * the same requests.
 */
#include <string.h>

#include <brisk/trace_file.h>

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUESTS_MAX = 100000 };

static uint64_t read_all(const uint8_t *data, size_t size, brisk_trace_format format)
{
    brisk_trace_file *file = NULL;
    brisk_errinfo info = {0};
    brisk_err err = brisk_trace_file_of_bytes(data, size, "fuzz", format, &file, &info);
    uint64_t sum = 0;
    brisk_trace_request request;
    for (uint32_t i = 0; i < REQUESTS_MAX && err == BRISK_OK; i++) {
        err = brisk_trace_file_next(file, &request, &info);
        sum = sum * 31 + (err == BRISK_OK ? request.key + request.size : 0);
    }
    if (err != BRISK_OK && err != BRISK_ERR_NOT_FOUND) {
        BRISK_ASSERT(strncmp(info.text, "fuzz:", 5) == 0);
    }
    uint64_t done = 0;
    uint64_t all = 0;
    if (file != NULL) {
        brisk_trace_file_progress(file, &done, &all);
    }
    BRISK_ASSERT(done <= all);
    brisk_trace_file_close(file);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int format = BRISK_TRACE_AUTO; format <= (int)BRISK_TRACE_PLAIN; format++) {
        uint64_t sum = read_all(data, size, (brisk_trace_format)format);
        BRISK_ASSERT(read_all(data, size, (brisk_trace_format)format) == sum);
    }
    return 0;
}
