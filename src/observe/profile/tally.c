/*
 * tally.c -- one pass over the samples, each walked from its leaf to the root.
 *
 * `seen` holds for each function the number of the last sample that counted it.
 */
#include "observe/profile/tally.h"

#include <stdlib.h>
#include <string.h>

enum { CALLERS_SEEN_MAX = 256 };

static bool same_row(const void *owner, uint32_t id, const void *key)
{
    const prof_tally *tally = owner;
    const prof_frame *frame = key;
    return tally->rows.items[id].name == frame->name &&
           tally->rows.items[id].module == frame->module;
}

static brisk_err find_rows(prof_tally *tally, const prof_model *model)
{
    prof_index index = {0};
    brisk_err err = BRISK_OK;
    for (size_t i = 0; i < model->frames.count && err == BRISK_OK; i++) {
        const prof_frame *frame = &model->frames.items[i];
        uint32_t hash = prof_mix(frame->name, frame->module);
        uint32_t id = prof_index_find(&index, hash, same_row, tally, frame);
        if (id == PROF_NO_ID) {
            id = (uint32_t)tally->rows.count;
            prof_row row = {.name = frame->name, .module = frame->module, .flags = frame->flags};
            if (!BRISK_VEC_PUSH(&tally->rows, row) ||
                !prof_index_add(&index, tally->alloc, hash, id)) {
                err = BRISK_ERR_NOMEM;
            }
        }
        tally->row_of_frame[i] = id;
    }
    prof_index_deinit(&index, tally->alloc);
    return err;
}

/* Where the own time of a sample belongs. */
static uint32_t leaf_of(const prof_tally *tally, const prof_model *model, uint32_t stack)
{
    uint32_t node = stack;
    while (tally->of_user && node != 0) {
        const prof_node *n = &model->stacks.nodes.items[node];
        if ((model->frames.items[n->frame].flags & PROF_FRAME_KERNEL) == 0) {
            return node;
        }
        node = n->parent;
    }
    return stack; /* all of it is the kernel's */
}

static void count(prof_tally *tally, const prof_model *model, uint32_t type, uint32_t *seen)
{
    for (size_t i = 0; i < model->samples.count; i++) {
        const prof_sample *s = &model->samples.items[i];
        uint64_t value = s->values[type];
        if (value == 0) {
            continue;
        }
        tally->total = prof_add(tally->total, value);
        uint32_t leaf = leaf_of(tally, model, s->stack);
        for (uint32_t node = s->stack; node != 0; node = model->stacks.nodes.items[node].parent) {
            uint32_t frame_id = model->stacks.nodes.items[node].frame;
            const prof_frame *frame = &model->frames.items[frame_id];
            uint32_t id = tally->row_of_frame[frame_id];
            prof_row *row = &tally->rows.items[id];
            if (node == leaf) {
                row->self = prof_add(row->self, value);
                if (value >= row->line_self && frame->file != 0) {
                    row->line_self = value;
                    row->file = frame->file;
                    row->line = frame->line;
                }
            } else if (row->file == 0) {
                row->file = frame->file;
                row->line = frame->line;
            }
            if (seen[id] != i + 1) {
                seen[id] = (uint32_t)i + 1;
                row->total = prof_add(row->total, value);
            }
        }
    }
}

static int by_self(const void *a, const void *b)
{
    const prof_row *x = a;
    const prof_row *y = b;
    if (x->self != y->self) {
        return x->self > y->self ? -1 : 1;
    }
    if (x->total != y->total) {
        return x->total > y->total ? -1 : 1;
    }
    return x->name < y->name ? -1 : x->name > y->name;
}

/* Rows move when they are sorted; their numbers are put right through a name that is unique. */
static brisk_err sort(prof_tally *tally, uint32_t *moved)
{
    for (size_t i = 0; i < tally->rows.count; i++) {
        tally->rows.items[i].line_self = i; /* not needed any more: the old number */
    }
    if (tally->rows.count > 0) {
        qsort(tally->rows.items, tally->rows.count, sizeof *tally->rows.items, by_self);
    }
    for (size_t i = 0; i < tally->rows.count; i++) {
        moved[tally->rows.items[i].line_self] = (uint32_t)i;
    }
    for (size_t i = 0; i < tally->frame_count; i++) {
        tally->row_of_frame[i] = moved[tally->row_of_frame[i]];
    }
    return BRISK_OK;
}

brisk_err prof_tally_make(const prof_model *model, uint32_t type, bool of_user, prof_tally *ret)
{
    const brisk_alloc *alloc = model->alloc;
    prof_tally tally = {.alloc = alloc,
                        .rows = BRISK_VEC_INIT(alloc),
                        .frame_count = model->frames.count,
                        .type = type,
                        .of_user = of_user};
    size_t bytes = (tally.frame_count + 1) * sizeof(uint32_t);
    tally.row_of_frame = alloc->acquire(alloc->ctx, bytes, _Alignof(uint32_t));
    uint32_t *seen = alloc->acquire(alloc->ctx, bytes, _Alignof(uint32_t));
    brisk_err err =
        seen != NULL && tally.row_of_frame != NULL ? find_rows(&tally, model) : BRISK_ERR_NOMEM;
    if (err == BRISK_OK) {
        memset(seen, 0, bytes);
        count(&tally, model, type, seen);
        err = sort(&tally, seen);
    }
    if (seen != NULL) {
        alloc->release(alloc->ctx, seen, bytes, _Alignof(uint32_t));
    }
    if (err != BRISK_OK) {
        prof_tally_deinit(&tally);
        return err;
    }
    *ret = tally;
    return BRISK_OK;
}

void prof_tally_deinit(prof_tally *tally)
{
    if (tally->alloc == NULL) {
        return;
    }
    if (tally->row_of_frame != NULL) {
        tally->alloc->release(tally->alloc->ctx, tally->row_of_frame,
                              (tally->frame_count + 1) * sizeof(uint32_t), _Alignof(uint32_t));
    }
    BRISK_VEC_DEINIT(&tally->rows);
    *tally = (prof_tally){0};
}

static int callers_by_self(const void *a, const void *b)
{
    const prof_caller *x = a;
    const prof_caller *y = b;
    return x->self != y->self ? (x->self > y->self ? -1 : 1)
                              : (x->row < y->row ? -1 : x->row > y->row);
}

size_t prof_tally_callers(const prof_tally *tally, const prof_model *model, uint32_t row,
                          prof_caller *callers, size_t max)
{
    prof_caller found[CALLERS_SEEN_MAX];
    size_t count_found = 0;
    for (size_t i = 0; i < model->samples.count; i++) {
        const prof_sample *s = &model->samples.items[i];
        if (s->values[tally->type] == 0 || s->stack == 0) {
            continue;
        }
        const prof_node *leaf = &model->stacks.nodes.items[leaf_of(tally, model, s->stack)];
        if (tally->row_of_frame[leaf->frame] != row) {
            continue;
        }
        uint32_t caller = leaf->parent == 0
                              ? PROF_NO_ID
                              : tally->row_of_frame[model->stacks.nodes.items[leaf->parent].frame];
        size_t at = 0;
        while (at < count_found && found[at].row != caller) {
            at++;
        }
        if (at == count_found && count_found == CALLERS_SEEN_MAX) {
            continue;
        }
        if (at == count_found) {
            found[count_found++] = (prof_caller){.row = caller};
        }
        found[at].self = prof_add(found[at].self, s->values[tally->type]);
    }
    qsort(found, count_found, sizeof found[0], callers_by_self);
    count_found = count_found < max ? count_found : max;
    memcpy(callers, found, count_found * sizeof found[0]);
    return count_found;
}

uint32_t prof_default_type(const prof_model *model)
{
    uint32_t last = model->type_count > 0 ? model->type_count - 1 : 0;
    return model->meta.default_type < model->type_count ? model->meta.default_type : last;
}
