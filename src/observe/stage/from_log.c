/*
 * from_log.c -- stage tables that the engine appended to a file (its knob engine.stage_log).
 *
 * A line is a JSON object, "schema": 1, as brisk_job_write_report_json writes it; JSON is YAML, so the one parser of
 * untrusted text reads it.  Unknown members are left out: a newer engine may say more.  Numbers and names are
 * checked here, what they mean together by brisk_stage_profile_add.
 */
#include <string.h>

#include <brisk/yaml.h>

#include "base/cleanup.h"
#include "observe/stage/profile.h"

BRISK_DEFINE_CLEANUP(brisk_yaml_doc, brisk_yaml_destroy)

enum { SCHEMA = 1, LINE_BYTES_MAX = 4 << 20 };

typedef struct reader {
    const brisk_yaml_doc *doc;
    const char *name;
    uint32_t line;
    brisk_errinfo *info;
} reader;

static brisk_err bad(const reader *r, const char *what)
{
    return brisk_errinfo_set(r->info, BRISK_ERR_INVALID, "%.60s:%u: %s", r->name, r->line, what);
}

/* A number of `mapping`; one that is not there is 0. */
static brisk_err read_u64(const reader *r, const brisk_yaml_node *mapping, const char *key,
                          uint64_t *ret)
{
    const brisk_yaml_node *node = brisk_yaml_get(mapping, key);
    *ret = 0;
    return node != NULL ? brisk_yaml_u64(r->doc, node, ret, r->info) : BRISK_OK;
}

static bool is_true(const brisk_yaml_node *mapping, const char *key)
{
    const brisk_yaml_node *node = brisk_yaml_get(mapping, key);
    return node != NULL && node->text != NULL && strcmp(node->text, "true") == 0;
}

static const char *text_of(const brisk_yaml_node *mapping, const char *key)
{
    const brisk_yaml_node *node = brisk_yaml_get(mapping, key);
    return node != NULL && node->text != NULL && node->quoted ? node->text : "";
}

static brisk_stage_how how_of(const char *text)
{
    if (strcmp(text, "computed") == 0) {
        return BRISK_HOW_COMPUTED;
    }
    if (strcmp(text, "answered") == 0) {
        return BRISK_HOW_ANSWERED;
    }
    return strcmp(text, "failed") == 0 ? BRISK_HOW_FAILED : BRISK_HOW_SKIPPED;
}

static brisk_err read_stage(const reader *r, const brisk_yaml_node *node, brisk_stage_times *ret)
{
    uint64_t items = 0;
    const struct {
        const char *key;
        uint64_t *value;
    } numbers[] = {
        {"ready_ns", &ret->ready_ns},
        {"start_ns", &ret->start_ns},
        {"ns", &ret->ns},
        {"loops_ns", &ret->loops_ns},
        {"items_ns", &ret->items_ns},
        {"cpu_ns", &ret->cpu_ns},
        {"delay_ns", &ret->delay_ns},
        {"bytes", &ret->bytes},
        {"tier_ns", &ret->tier_ns},
        {"items", &items},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        brisk_err err = read_u64(r, node, numbers[i].key, numbers[i].value);
        if (err != BRISK_OK) {
            return err;
        }
    }
    ret->name = text_of(node, "stage");
    ret->items = items < UINT32_MAX ? (uint32_t)items : UINT32_MAX;
    ret->how = how_of(text_of(node, "how"));
    ret->blocking = is_true(node, "blocking");
    ret->computes = is_true(node, "computes");
    ret->critical = is_true(node, "critical");
    const brisk_yaml_node *worker = brisk_yaml_get(node, "worker");
    uint64_t number = 0;
    ret->worker = -1;
    if (worker != NULL && worker->text != NULL && worker->text[0] != '-') {
        brisk_err err = brisk_yaml_u64(r->doc, worker, &number, r->info);
        ret->worker = number <= INT32_MAX ? (int32_t)number : -1;
        return err;
    }
    return BRISK_OK;
}

static brisk_err read_edges(const reader *r, const brisk_yaml_node *rows, brisk_stage_run *run,
                            brisk_stage_times *stages)
{
    uint32_t index = 0;
    for (const brisk_yaml_node *row = rows->child; row != NULL; row = row->next, index++) {
        const brisk_yaml_node *after = brisk_yaml_get(row, "after");
        const brisk_yaml_node *name = after != NULL ? after->child : NULL;
        for (; name != NULL; name = name->next) {
            uint32_t before = name->text != NULL ? stage_find(run, name->text) : UINT32_MAX;
            if (before == UINT32_MAX) {
                return bad(r, "a stage comes after one that does not exist");
            }
            stage_set_after(&stages[index], before);
        }
    }
    return BRISK_OK;
}

static brisk_err read_room(const reader *r, const brisk_yaml_node *root, brisk_stage_run *run)
{
    uint64_t threads = 0;
    uint64_t workers = 0;
    uint64_t cores = 0;
    brisk_err err = read_u64(r, root, "elapsed_ns", &run->elapsed_ns);
    err = err == BRISK_OK ? read_u64(r, root, "threads", &threads) : err;
    err = err == BRISK_OK ? read_u64(r, root, "workers", &workers) : err;
    err = err == BRISK_OK ? read_u64(r, root, "cores", &cores) : err;
    if (err == BRISK_OK && (threads > UINT32_MAX || workers > UINT32_MAX || cores > UINT32_MAX)) {
        return bad(r, "impossible threads, workers or cores");
    }
    run->threads = (uint32_t)threads;
    run->workers = (uint32_t)workers;
    run->cores = (uint32_t)cores;
    run->profiled = is_true(root, "profiled");
    run->workload = text_of(root, "workload");
    run->answered_by = text_of(root, "answered_by");
    return err;
}

static brisk_err read_job(const reader *r, const brisk_yaml_node *root,
                          brisk_stage_profile *profile)
{
    uint64_t schema = 0;
    brisk_err err = read_u64(r, root, "schema", &schema);
    if (err == BRISK_OK && schema != SCHEMA) {
        return brisk_errinfo_set(r->info, BRISK_ERR_MISMATCH,
                                 "%.60s:%u: is no stage table of schema %d", r->name, r->line,
                                 SCHEMA);
    }
    brisk_stage_times stages[BRISK_WHATIF_STAGES_MAX] = {{.name = NULL}};
    brisk_stage_run run = {.stages = stages};
    err = err == BRISK_OK ? read_room(r, root, &run) : err;
    const brisk_yaml_node *rows = brisk_yaml_get(root, "stages");
    if (err == BRISK_OK && run.workload[0] == '\0') {
        return bad(r, "no workload");
    }
    if (err == BRISK_OK && (rows == NULL || rows->kind != BRISK_YAML_SEQUENCE)) {
        return bad(r, "no stages");
    }
    if (err != BRISK_OK) {
        return err;
    }
    if (brisk_stage_profile_count(profile) > 0 &&
        strcmp(brisk_stage_profile_at(profile, 0)->workload, run.workload) != 0) {
        return BRISK_OK; /* a job of another kind */
    }
    for (const brisk_yaml_node *row = rows->child; row != NULL; row = row->next) {
        if (run.stage_count == BRISK_WHATIF_STAGES_MAX) {
            return bad(r, "too many stages");
        }
        err = read_stage(r, row, &stages[run.stage_count++]);
        if (err != BRISK_OK) {
            return err;
        }
    }
    err = read_edges(r, rows, &run, stages);
    brisk_errinfo why = {.text = ""};
    if (err == BRISK_OK) {
        err = brisk_stage_profile_add(profile, &run, &why);
        if (err != BRISK_OK) {
            (void)brisk_errinfo_set(r->info, err, "%.60s:%u: %s", r->name, r->line, why.text);
        }
    }
    return err;
}

static brisk_err read_line(const reader *r, const char *text, size_t size,
                           brisk_stage_profile *profile)
{
    BRISK_CLEANUP(brisk_yaml_destroy) brisk_yaml_doc *doc = NULL;
    reader own = *r;
    brisk_errinfo why = {.text = ""};
    brisk_err err = brisk_yaml_parse("line", text, size, profile->alloc, &doc, &why);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(r->info, err, "%.60s:%u: %s", r->name, r->line, why.text);
    }
    own.doc = doc;
    own.info = &why;
    err = read_job(&own, brisk_yaml_root(doc), profile);
    if (err != BRISK_OK) {
        const char *prefix = strncmp(why.text, "line:", 5) == 0 ? r->name : "";
        (void)brisk_errinfo_set(r->info, err, "%.60s%s%s", prefix, prefix[0] != '\0' ? ": " : "",
                                why.text);
    }
    return err;
}

brisk_err brisk_stage_profile_add_log(brisk_stage_profile *profile, const char *name,
                                      const char *text, size_t size, brisk_errinfo *info)
{
    brisk_errinfo none;
    reader r = {.name = name, .line = 1, .info = info != NULL ? info : &none};
    for (size_t at = 0; at < size; r.line++) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end != NULL ? (size_t)(end - (text + at)) : size - at;
        if (length > LINE_BYTES_MAX) {
            return bad(&r, "the line is too long");
        }
        brisk_err err = length > 0 ? read_line(&r, text + at, length, profile) : BRISK_OK;
        if (err != BRISK_OK) {
            return err;
        }
        at += length + 1;
    }
    return BRISK_OK;
}
