/*
 * export_html.c -- a flame graph as one file: the page (flame.html) with the data in it.
 *
 * Stacks are merged by name and module; what is written are parallel lists: parent, name, own
 * value of each node (of both profiles in a difference).  '<' is escaped in the data, so that no name
 * can end the script.
 */
#include <string.h>

#include <brisk/json.h>

#include "observe/profile/export.h"
#include "observe/profile/flame_page.h" /* made of flame.html */
#include "observe/profile/tally.h"

typedef struct flame {
    const brisk_alloc *alloc;
    prof_model *names; /* strings and frames of both, by name and module only */
    prof_tree tree;    /* of those frames */
    BRISK_VEC(uint64_t) own[2];
} flame;

static bool reserve(flame *f)
{
    for (int i = 0; i < 2; i++) {
        if (!BRISK_VEC_RESERVE(&f->own[i], f->tree.nodes.count)) {
            return false;
        }
        while (f->own[i].count < f->tree.nodes.count) {
            f->own[i].items[f->own[i].count++] = 0;
        }
    }
    return true;
}

/* The frame without what does not matter here. */
static uint32_t plain_frame(flame *f, const prof_model *m, uint32_t id)
{
    const prof_frame *from = &m->frames.items[id];
    prof_frame plain = {.name = prof_text_of(f->names, prof_text(m, from->name)),
                        .module = prof_text_of(f->names, prof_text(m, from->module)),
                        .flags = from->flags & (PROF_FRAME_KERNEL | PROF_FRAME_INLINED)};
    return prof_frame_of(f->names, &plain);
}

static uint32_t thread_frame(flame *f, const prof_model *m, uint32_t id)
{
    prof_frame plain = {.name = prof_text_of(f->names, prof_text(m, m->threads.items[id].comm))};
    return prof_frame_of(f->names, &plain);
}

/* One of the profiles on its way into the tree. */
typedef struct source {
    const prof_model *model;
    const uint32_t *frames; /* of the tree, for each of the model's */
    uint32_t type;
    int which;
} source;

static brisk_err add_sample(flame *f, const source *from, const prof_sample *s)
{
    const prof_model *m = from->model;
    uint32_t path[PROF_DEPTH_MAX];
    size_t depth = 0;
    for (uint32_t node = s->stack; node != 0 && depth < PROF_DEPTH_MAX;
         node = m->stacks.nodes.items[node].parent) {
        path[depth++] = from->frames[m->stacks.nodes.items[node].frame];
    }
    uint32_t at = s->thread != 0 ? prof_tree_child(&f->tree, 0, thread_frame(f, m, s->thread)) : 0;
    while (depth > 0 && at != PROF_NO_ID) {
        at = prof_tree_child(&f->tree, at, path[--depth]);
    }
    if (at == PROF_NO_ID || !reserve(f)) {
        return BRISK_ERR_NOMEM;
    }
    uint64_t *own = &f->own[from->which].items[at];
    *own = prof_add(*own, s->values[from->type]);
    return f->names->err;
}

static brisk_err add_profile(flame *f, const prof_model *m, uint32_t type, int which)
{
    size_t bytes = (m->frames.count + 1) * sizeof(uint32_t);
    uint32_t *frames = f->alloc->acquire(f->alloc->ctx, bytes, _Alignof(uint32_t));
    brisk_err err = frames != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    for (uint32_t i = 0; i < m->frames.count && err == BRISK_OK; i++) {
        frames[i] = plain_frame(f, m, i);
    }
    for (size_t i = 0; i < m->samples.count && err == BRISK_OK; i++) {
        const prof_sample *s = &m->samples.items[i];
        if (s->values[type] > 0) {
            err = add_sample(f, &(source){m, frames, type, which}, s);
        }
    }
    if (frames != NULL) {
        f->alloc->release(f->alloc->ctx, frames, bytes, _Alignof(uint32_t));
    }
    return err;
}

/* --- data ----------------------------------------------------------------------------------- */

static void write_strings(brisk_json *json, const prof_model *names)
{
    brisk_json_array_begin(json, "strings");
    for (size_t i = 0; i < names->strings.count; i++) {
        brisk_json_str(json, NULL, names->strings.items[i].text);
    }
    brisk_json_array_end(json);
}

static void write_nodes(brisk_json *json, const flame *f, bool both)
{
    static const char *const keys[] = {"parent", "name", "module", "kind", "own", "before"};
    for (int k = 0; k < (both ? 6 : 5); k++) {
        brisk_json_array_begin(json, keys[k]);
        for (size_t i = 0; i < f->tree.nodes.count; i++) {
            const prof_node *node = &f->tree.nodes.items[i];
            const prof_frame none = {0};
            const prof_frame *frame = i > 0 ? &f->names->frames.items[node->frame] : &none;
            uint64_t values[] = {node->parent, frame->name,        frame->module,
                                 frame->flags, f->own[0].items[i], f->own[1].items[i]};
            brisk_json_u64(json, NULL, values[k]);
        }
        brisk_json_array_end(json);
    }
}

static void write_data(brisk_json *json, const flame *f, const prof_model *m, uint32_t type,
                       bool both)
{
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "title", prof_text(m, m->meta.command));
    brisk_json_str(json, "type", prof_text(m, m->types[type].name));
    brisk_json_str(json, "unit", prof_text(m, m->types[type].unit));
    brisk_json_bool(json, "diff", both);
    brisk_json_array_begin(json, "notes");
    for (uint32_t i = 0; i < m->meta.note_count; i++) {
        brisk_json_str(json, NULL, prof_text(m, m->meta.notes[i]));
    }
    brisk_json_array_end(json);
    write_strings(json, f->names);
    write_nodes(json, f, both);
    brisk_json_object_end(json);
}

/* Bytes to the file, with "\u003c" for '<': inside of strings only, where alone it can stand. */
static brisk_err write_escaped(void *ctx, const char *data, size_t size)
{
    FILE *out = ctx;
    while (size > 0) {
        const char *sign = memchr(data, '<', size);
        size_t plain = sign != NULL ? (size_t)(sign - data) : size;
        (void)fwrite(data, 1, plain, out);
        data += plain;
        size -= plain;
        if (sign != NULL) {
            (void)fputs("\\u003c", out);
            data++;
            size--;
        }
    }
    return ferror(out) ? BRISK_ERR_IO : BRISK_OK;
}

static brisk_err write_page(const flame *f, const prof_model *m, uint32_t type, bool both,
                            FILE *out)
{
    static const char mark[] = "/*DATA*/";
    const char *page = (const char *)flame_page;
    const char *at = strstr(page, mark);
    size_t head = at != NULL ? (size_t)(at - page) : 0;
    brisk_json json;
    (void)fwrite(page, 1, head, out);
    brisk_json_init(&json, (brisk_out){.write = write_escaped, .ctx = out}, 0);
    write_data(&json, f, m, type, both);
    brisk_err err = brisk_json_finish(&json);
    (void)fputs(page + head + sizeof mark - 1, out);
    return err == BRISK_OK && ferror(out) ? BRISK_ERR_IO : err;
}

brisk_err prof_export_html(const prof_model *model, const prof_model *before, uint32_t type,
                           FILE *out)
{
    const brisk_alloc *alloc = model->alloc;
    flame f = {.alloc = alloc, .own = {BRISK_VEC_INIT(alloc), BRISK_VEC_INIT(alloc)}};
    prof_tree_init(&f.tree, alloc);
    brisk_err err = prof_model_create(alloc, &f.names);
    if (err == BRISK_OK && (!BRISK_VEC_PUSH(&f.tree.nodes, (prof_node){0}) || !reserve(&f))) {
        err = BRISK_ERR_NOMEM;
    }
    if (err == BRISK_OK) {
        err = add_profile(&f, model, type, 0);
    }
    if (err == BRISK_OK && before != NULL) {
        err = add_profile(&f, before, prof_same_type(before, model, type), 1);
    }
    if (err == BRISK_OK) {
        err = write_page(&f, model, type, before != NULL, out);
    }
    prof_tree_deinit(&f.tree);
    BRISK_VEC_DEINIT(&f.own[0]);
    BRISK_VEC_DEINIT(&f.own[1]);
    prof_model_destroy(f.names);
    return err;
}
