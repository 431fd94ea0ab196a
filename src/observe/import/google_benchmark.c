/*
 * google_benchmark.c -- {"context": {...}, "benchmarks": [{"name", "run_type", "real_time", ...}]}.
 *
 * Repetitions ("run_type": "iteration", or none in old versions) are samples under the benchmark's name;
 * aggregates are statistics.  Times are in "time_unit" (ns when absent, as the library's manual says);
 * cpu_time is told apart by its name.  What failed ("error_occurred") has no time and is left out.
 */
#include <string.h>

#include "observe/import/import.h"
#include "observe/import/json_read.h"

typedef struct entry {
    char name[JSON_TEXT_MAX];
    char run_name[JSON_TEXT_MAX];
    char statistic[JSON_TEXT_MAX];
    char unit[8];
    bool aggregate;
    bool percentage; /* of an aggregate: it has no unit of time */
    bool failed;
    bool has_real;
    bool has_cpu;
    bool has_bytes;
    bool has_items;
    double real;
    double cpu;
    double bytes;
    double items;
} entry;

static void take_text(entry *e, const json_reader *r)
{
    if (strcmp(r->key, "name") == 0) {
        memcpy(e->name, r->text, sizeof e->name);
    } else if (strcmp(r->key, "run_name") == 0) {
        memcpy(e->run_name, r->text, sizeof e->run_name);
    } else if (strcmp(r->key, "run_type") == 0) {
        e->aggregate = strcmp(r->text, "aggregate") == 0;
    } else if (strcmp(r->key, "aggregate_name") == 0) {
        memcpy(e->statistic, r->text, sizeof e->statistic);
    } else if (strcmp(r->key, "aggregate_unit") == 0) {
        e->percentage = strcmp(r->text, "percentage") == 0;
    } else if (strcmp(r->key, "time_unit") == 0 && strlen(r->text) < sizeof e->unit) {
        memcpy(e->unit, r->text, strlen(r->text) + 1);
    }
}

static void take_number(entry *e, const json_reader *r)
{
    const struct {
        const char *key;
        double *value;
        bool *has;
    } members[] = {{"real_time", &e->real, &e->has_real},
                   {"cpu_time", &e->cpu, &e->has_cpu},
                   {"bytes_per_second", &e->bytes, &e->has_bytes},
                   {"items_per_second", &e->items, &e->has_items}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (strcmp(r->key, members[i].key) == 0) {
            *members[i].value = r->number;
            *members[i].has = true;
        }
    }
}

/* One figure of an entry, under the benchmark's name and what the figure is. */
static brisk_err put(import_builder *b, const entry *e, const char *what, const char *unit,
                     double value)
{
    char name[IMPORT_NAME_MAX + 32];
    const char *base = e->aggregate && e->run_name[0] != '\0' ? e->run_name : e->name;
    (void)snprintf(name, sizeof name, "%s%s", base, what);
    const char *statistic = e->aggregate ? e->statistic : "sample";
    return import_add(b, &(import_key){name, statistic, e->percentage ? "1" : unit}, value, NULL);
}

static brisk_err put_entry(import_builder *b, const entry *e, size_t at)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    const char *unit = e->unit[0] == '\0' ? "ns" : NULL;
    for (int i = 0; i < 4; i++) {
        unit = strcmp(e->unit, units[i]) == 0 ? units[i] : unit;
    }
    if (e->failed) {
        return BRISK_OK;
    }
    if (e->name[0] == '\0' || unit == NULL || (e->aggregate && e->statistic[0] == '\0')) {
        return import_fail(b, BRISK_ERR_CORRUPT, at,
                           "a benchmark without name, known time_unit or aggregate_name");
    }
    brisk_err err = e->has_real ? put(b, e, "", unit, e->real) : BRISK_OK;
    if (err == BRISK_OK && e->has_cpu) {
        err = put(b, e, " cpu", unit, e->cpu);
    }
    if (err == BRISK_OK && e->has_bytes) {
        err = put(b, e, " bytes", "B/s", e->bytes);
    }
    if (err == BRISK_OK && e->has_items) {
        err = put(b, e, " items", "1/s", e->items);
    }
    return err;
}

static brisk_err read_entry(import_builder *b, json_reader *r)
{
    entry e = {.name = ""};
    uint32_t inside = r->depth;
    for (;;) {
        json_event event = json_next(r);
        if (event <= JSON_END ||
            ((event == JSON_OBJECT || event == JSON_ARRAY) && !json_skip(r, event))) {
            return import_fail(b, BRISK_ERR_CORRUPT, r->at, "not JSON");
        }
        if (event == JSON_OBJECT_END && r->depth < inside) {
            return put_entry(b, &e, r->at);
        }
        if (event == JSON_STRING) {
            take_text(&e, r);
        } else if (event == JSON_NUMBER) {
            take_number(&e, r);
        } else if (event == JSON_TRUE && strcmp(r->key, "error_occurred") == 0) {
            e.failed = true;
        }
    }
}

brisk_err import_google_benchmark(import_builder *b)
{
    json_reader r;
    json_reader_init(&r, b->data, b->size);
    bool inside = false;
    json_event event = JSON_NULL;
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && (event = json_next(&r)) > JSON_END) {
        if (r.depth == 2 && event == JSON_ARRAY) {
            inside = strcmp(r.key, "benchmarks") == 0;
        } else if (r.depth == 1 && event == JSON_ARRAY_END) {
            inside = false;
        } else if (r.depth == 3 && event == JSON_OBJECT && inside) {
            err = read_entry(b, &r);
        }
    }
    return err == BRISK_OK && event == JSON_BAD
               ? import_fail(b, BRISK_ERR_CORRUPT, r.at, "not JSON")
               : err;
}
