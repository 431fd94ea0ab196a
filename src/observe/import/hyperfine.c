/*
 * hyperfine.c -- {"results": [{"command", "mean", ..., "times": [s, ...]}, ...]}.
 *
 * The times of the runs are samples in seconds; where an export has none (the times were left out), its
 * mean, median and so on stand in.  User and system time are means over the runs.
 */
#include <string.h>

#include "observe/import/import.h"
#include "observe/import/json_read.h"

typedef struct result {
    char command[JSON_TEXT_MAX];
    size_t begin; /* index of its first run in `times` */
    size_t end;
    double figures[7]; /* in the order of names */
    bool known[7];
} result;

static const char *const names[7] = {"mean", "stddev", "median", "min", "max", "user", "system"};

static brisk_err put_result(import_builder *b, const result *r, const double *times)
{
    brisk_err err = BRISK_OK;
    for (size_t i = r->begin; i < r->end && err == BRISK_OK; i++) {
        err = import_add(b, &(import_key){r->command, "sample", "s"}, times[i], NULL);
    }
    for (int i = 0; i < 7 && err == BRISK_OK; i++) {
        bool more = i >= 5 || r->begin == r->end; /* than the samples say */
        if (r->known[i] && more) {
            err = import_add(b, &(import_key){r->command, names[i], "s"}, r->figures[i], NULL);
        }
    }
    return err;
}

typedef BRISK_VEC(double) double_vec;

static bool push_time(double_vec *times, double value)
{
    return times->count < IMPORT_VALUES_MAX && BRISK_VEC_PUSH(times, value);
}

/* The members of one result, its opening brace read. */
static brisk_err read_result(import_builder *b, json_reader *r, double_vec *times)
{
    result out = {.command = ""};
    uint32_t inside = r->depth;
    bool in_times = false;
    times->count = 0;
    for (;;) {
        json_event event = json_next(r);
        if (event <= JSON_END) {
            return import_fail(b, BRISK_ERR_CORRUPT, r->at, "not JSON");
        }
        if (event == JSON_OBJECT_END && r->depth < inside) {
            break;
        }
        if (r->depth == inside && event == JSON_STRING && strcmp(r->key, "command") == 0) {
            memcpy(out.command, r->text, sizeof out.command);
        }
        for (int i = 0; i < 7 && event == JSON_NUMBER && r->depth == inside; i++) {
            if (strcmp(r->key, names[i]) == 0) {
                out.figures[i] = r->number;
                out.known[i] = true;
            }
        }
        if (event == JSON_ARRAY && strcmp(r->key, "times") == 0 && r->depth == inside + 1) {
            in_times = true;
        } else if (event == JSON_ARRAY_END) {
            in_times = false;
        } else if (event == JSON_NUMBER && in_times && r->depth == inside + 1) {
            if (!push_time(times, r->number)) {
                return import_fail(b, BRISK_ERR_NOMEM, r->at, "too many times");
            }
        } else if ((event == JSON_OBJECT || event == JSON_ARRAY) && !json_skip(r, event)) {
            return import_fail(b, BRISK_ERR_CORRUPT, r->at, "not JSON");
        }
    }
    if (out.command[0] == '\0') {
        return import_fail(b, BRISK_ERR_CORRUPT, r->at, "a result without \"command\"");
    }
    out.end = times->count;
    return put_result(b, &out, times->items);
}

brisk_err import_hyperfine(import_builder *b)
{
    json_reader r;
    json_reader_init(&r, b->data, b->size);
    double_vec times = BRISK_VEC_INIT(b->alloc);
    brisk_err err = BRISK_OK;
    bool in_results = false;
    json_event event = JSON_NULL;
    while (err == BRISK_OK && (event = json_next(&r)) > JSON_END) {
        if (r.depth == 2 && event == JSON_ARRAY && strcmp(r.key, "results") == 0) {
            in_results = true;
        } else if (event == JSON_ARRAY_END && r.depth == 1) {
            in_results = false;
        } else if (event == JSON_OBJECT && r.depth == 3 && in_results) {
            err = read_result(b, &r, &times);
        }
    }
    BRISK_VEC_DEINIT(&times);
    return err == BRISK_OK && event == JSON_BAD
               ? import_fail(b, BRISK_ERR_CORRUPT, r.at, "not JSON")
               : err;
}
