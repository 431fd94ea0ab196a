/*
 * export.c -- formats by name; speedscope's, which is hardly more than the model itself.
 */
#include "observe/profile/export.h"

#include <string.h>

#include <brisk/json.h>

#include "observe/profile/tally.h"

static const struct {
    const char *name;
    const char *ends[3];
} formats[PROF_FORMAT_COUNT] = {
    [PROF_FORMAT_COLLAPSED] = {"collapsed", {".collapsed", ".folded", ".txt"}},
    [PROF_FORMAT_PPROF] = {"pprof", {".pb.gz", ".pprof", ".pb"}},
    [PROF_FORMAT_SPEEDSCOPE] = {"speedscope", {".speedscope.json", ".speedscope", NULL}},
    [PROF_FORMAT_FIREFOX] = {"firefox", {".firefox.json", ".profile.json", NULL}},
    [PROF_FORMAT_CHROME] = {"chrome", {".trace.json", ".chrome.json", NULL}},
    [PROF_FORMAT_HTML] = {"html", {".html", ".htm", NULL}},
};

prof_format prof_format_find(const char *name)
{
    uint32_t i = 0;
    while (i < PROF_FORMAT_COUNT && strcmp(formats[i].name, name) != 0) {
        i++;
    }
    return (prof_format)i;
}

prof_format prof_format_of_path(const char *path)
{
    size_t length = strlen(path);
    for (uint32_t i = 0; i < PROF_FORMAT_COUNT; i++) {
        for (uint32_t e = 0; e < 3 && formats[i].ends[e] != NULL; e++) {
            size_t end = strlen(formats[i].ends[e]);
            if (length > end && strcmp(path + length - end, formats[i].ends[e]) == 0) {
                return (prof_format)i;
            }
        }
    }
    return PROF_FORMAT_COUNT;
}

uint32_t prof_same_type(const prof_model *model, const prof_model *other, uint32_t type)
{
    for (uint32_t i = 0; i < model->type_count && type < other->type_count; i++) {
        if (strcmp(prof_text(model, model->types[i].name),
                   prof_text(other, other->types[type].name)) == 0) {
            return i;
        }
    }
    return prof_default_type(model);
}

/* --- speedscope ----------------------------------------------------------------------------- */

static const char *speedscope_unit(const prof_model *model, uint32_t type)
{
    const char *unit = prof_text(model, model->types[type].unit);
    bool known = strcmp(unit, "nanoseconds") == 0 || strcmp(unit, "microseconds") == 0 ||
                 strcmp(unit, "milliseconds") == 0 || strcmp(unit, "seconds") == 0 ||
                 strcmp(unit, "bytes") == 0;
    return known ? unit : "none";
}

static void write_stack(brisk_json *json, const prof_model *model, uint32_t stack)
{
    uint32_t frames[PROF_DEPTH_MAX];
    uint32_t depth = 0;
    for (; stack != 0 && depth < PROF_DEPTH_MAX; stack = model->stacks.nodes.items[stack].parent) {
        frames[depth++] = model->stacks.nodes.items[stack].frame;
    }
    brisk_json_array_begin(json, NULL);
    while (depth > 0) {
        brisk_json_u64(json, NULL, frames[--depth]);
    }
    brisk_json_array_end(json);
}

/* Samples of each thread on a chain: to look at all for each thread would be quadratic. */
typedef struct chains {
    uint32_t *first; /* by thread; PROF_NO_ID: none */
    uint32_t *next;  /* by sample */
} chains;

static size_t chains_bytes(const prof_model *model)
{
    return (model->threads.count + model->samples.count + 1) * sizeof(uint32_t);
}

static bool chains_make(chains *ret, const prof_model *model, uint32_t type)
{
    ret->first = model->alloc->acquire(model->alloc->ctx, chains_bytes(model), _Alignof(uint32_t));
    if (ret->first == NULL) {
        return false;
    }
    ret->next = ret->first + model->threads.count;
    memset(ret->first, 0xff, model->threads.count * sizeof *ret->first);
    for (size_t i = model->samples.count; i > 0; i--) {
        const prof_sample *s = &model->samples.items[i - 1];
        if (s->values[type] > 0) {
            ret->next[i - 1] = ret->first[s->thread];
            ret->first[s->thread] = (uint32_t)(i - 1);
        }
    }
    return true;
}

static void write_speedscope_thread(brisk_json *json, const prof_model *model, uint32_t type,
                                    uint32_t thread, const chains *all)
{
    char name[128];
    uint64_t sum = 0;
    const prof_thread *t = &model->threads.items[thread];
    (void)snprintf(name, sizeof name, "%s (%u)", prof_text(model, t->comm), (unsigned)t->tid);
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 0) {
            brisk_json_object_begin(json, NULL);
            brisk_json_str(json, "type", "sampled");
            brisk_json_str(json, "name", thread == 0 ? "all" : name);
            brisk_json_str(json, "unit", speedscope_unit(model, type));
        }
        brisk_json_array_begin(json, pass == 0 ? "samples" : "weights");
        for (uint32_t i = all->first[thread]; i != PROF_NO_ID; i = all->next[i]) {
            const prof_sample *s = &model->samples.items[i];
            if (pass == 0) {
                write_stack(json, model, s->stack);
            } else {
                brisk_json_u64(json, NULL, s->values[type]);
                sum = prof_add(sum, s->values[type]);
            }
        }
        brisk_json_array_end(json);
    }
    brisk_json_u64(json, "startValue", 0);
    brisk_json_u64(json, "endValue", sum);
    brisk_json_object_end(json);
}

brisk_err prof_export_speedscope(const prof_model *model, uint32_t type, FILE *out)
{
    brisk_json json;
    chains all;
    if (!chains_make(&all, model, type)) {
        return BRISK_ERR_NOMEM;
    }
    brisk_json_init(&json, brisk_out_file(out), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "$schema", "https://www.speedscope.app/file-format-schema.json");
    brisk_json_str(&json, "exporter", "brisk " BRISK_VERSION);
    brisk_json_str(&json, "name", prof_text(model, model->meta.command));
    brisk_json_u64(&json, "activeProfileIndex", 0);
    brisk_json_object_begin(&json, "shared");
    brisk_json_array_begin(&json, "frames");
    for (size_t i = 0; i < model->frames.count; i++) {
        const prof_frame *frame = &model->frames.items[i];
        brisk_json_object_begin(&json, NULL);
        brisk_json_str(&json, "name", prof_text(model, frame->name));
        if (frame->file != 0) {
            brisk_json_str(&json, "file", prof_text(model, frame->file));
        }
        if (frame->line != 0) {
            brisk_json_u64(&json, "line", frame->line);
        }
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    brisk_json_array_begin(&json, "profiles");
    for (uint32_t t = 0; t < model->threads.count; t++) {
        if (all.first[t] != PROF_NO_ID) {
            write_speedscope_thread(&json, model, type, t, &all);
        }
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    model->alloc->release(model->alloc->ctx, all.first, chains_bytes(model), _Alignof(uint32_t));
    return brisk_json_finish(&json);
}

brisk_err prof_export(const prof_model *model, prof_format format, uint32_t type, FILE *out)
{
    switch (format) {
    case PROF_FORMAT_COLLAPSED: return prof_export_collapsed(model, type, 0, out);
    case PROF_FORMAT_PPROF: return prof_export_pprof(model, out);
    case PROF_FORMAT_SPEEDSCOPE: return prof_export_speedscope(model, type, out);
    case PROF_FORMAT_FIREFOX: return prof_export_firefox(model, type, out);
    case PROF_FORMAT_CHROME: return prof_export_chrome(model, type, out);
    case PROF_FORMAT_HTML: return prof_export_html(model, NULL, type, out);
    case PROF_FORMAT_COUNT: break;
    }
    return BRISK_ERR_INVALID;
}
