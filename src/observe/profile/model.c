/*
 * model.c -- the tables behind model.h.
 */
#include "observe/profile/model.h"

#include <stdarg.h>
#include <string.h>

#include <brisk/hash.h>

#include "base/assert.h"

/* --- tree ----------------------------------------------------------------------------------- */

static bool same_node(const void *owner, uint32_t id, const void *key)
{
    const prof_tree *tree = owner;
    const prof_node *node = key;
    return tree->nodes.items[id].parent == node->parent &&
           tree->nodes.items[id].frame == node->frame;
}

void prof_tree_init(prof_tree *tree, const brisk_alloc *alloc)
{
    *tree = (prof_tree){.nodes = BRISK_VEC_INIT(alloc)};
}

void prof_tree_deinit(prof_tree *tree)
{
    if (tree->nodes.alloc != NULL) {
        prof_index_deinit(&tree->index, tree->nodes.alloc);
        BRISK_VEC_DEINIT(&tree->nodes);
    }
}

uint32_t prof_tree_child(prof_tree *tree, uint32_t parent, uint32_t frame)
{
    if (tree->nodes.count == 0 && !BRISK_VEC_PUSH(&tree->nodes, (prof_node){0})) {
        return PROF_NO_ID;
    }
    prof_node node = {.parent = parent, .frame = frame};
    uint32_t hash = prof_mix(parent, frame);
    uint32_t found = prof_index_find(&tree->index, hash, same_node, tree, &node);
    if (found != PROF_NO_ID) {
        return found;
    }
    uint32_t id = (uint32_t)tree->nodes.count;
    node.depth = tree->nodes.items[parent].depth + 1;
    if (id >= PROF_ITEMS_MAX || !BRISK_VEC_PUSH(&tree->nodes, node)) {
        return PROF_NO_ID;
    }
    if (!prof_index_add(&tree->index, tree->nodes.alloc, hash, id)) {
        tree->nodes.count--;
        return PROF_NO_ID;
    }
    return id;
}

/* --- life ----------------------------------------------------------------------------------- */

static void fail(prof_model *model, brisk_err err)
{
    model->err = model->err == BRISK_OK ? err : model->err;
}

brisk_err prof_model_create(const brisk_alloc *alloc, prof_model **ret)
{
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    prof_model *model = alloc->acquire(alloc->ctx, sizeof *model, _Alignof(prof_model));
    if (model == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *model = (prof_model){
        .alloc = alloc,
        .strings = BRISK_VEC_INIT(alloc),
        .frames = BRISK_VEC_INIT(alloc),
        .threads = BRISK_VEC_INIT(alloc),
        .samples = BRISK_VEC_INIT(alloc),
        .events = BRISK_VEC_INIT(alloc),
    };
    prof_tree_init(&model->stacks, alloc);
    brisk_err err = brisk_arena_create(&(brisk_arena_opts){.alloc = alloc}, &model->arena);
    if (err == BRISK_OK && !BRISK_VEC_PUSH(&model->stacks.nodes, (prof_node){0})) {
        err = BRISK_ERR_NOMEM;
    }
    if (err == BRISK_OK) {
        (void)prof_string_of(model, "", 0);
        (void)prof_thread_of(model, PROF_PID_UNKNOWN, 0, "");
        err = model->err;
    }
    if (err != BRISK_OK) {
        prof_model_destroy(model);
        return err;
    }
    *ret = model;
    return BRISK_OK;
}

void prof_model_destroy(prof_model *model)
{
    if (model == NULL) {
        return;
    }
    const brisk_alloc *alloc = model->alloc;
    prof_index_deinit(&model->string_index, alloc);
    prof_index_deinit(&model->frame_index, alloc);
    prof_index_deinit(&model->thread_index, alloc);
    prof_index_deinit(&model->sample_index, alloc);
    prof_tree_deinit(&model->stacks);
    BRISK_VEC_DEINIT(&model->strings);
    BRISK_VEC_DEINIT(&model->frames);
    BRISK_VEC_DEINIT(&model->threads);
    BRISK_VEC_DEINIT(&model->samples);
    BRISK_VEC_DEINIT(&model->events);
    brisk_arena_destroy(model->arena);
    alloc->release(alloc->ctx, model, sizeof *model, _Alignof(prof_model));
}

brisk_err prof_model_err(const prof_model *model)
{
    return model->err;
}

/* --- strings -------------------------------------------------------------------------------- */

static bool same_string(const void *owner, uint32_t id, const void *key)
{
    const prof_model *model = owner;
    const prof_string *a = &model->strings.items[id];
    const prof_string *b = key;
    return a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
}

static uint32_t add_string(prof_model *model, const prof_string *key, uint32_t hash)
{
    uint32_t id = (uint32_t)model->strings.count;
    if (id >= PROF_ITEMS_MAX) {
        fail(model, BRISK_ERR_LIMIT);
        return 0;
    }
    prof_string copy = {brisk_arena_copy(model->arena, key->text, key->size), key->size};
    if (copy.text == NULL || !BRISK_VEC_PUSH(&model->strings, copy)) {
        fail(model, BRISK_ERR_NOMEM);
        return 0;
    }
    if (!prof_index_add(&model->string_index, model->alloc, hash, id)) {
        model->strings.count--;
        fail(model, BRISK_ERR_NOMEM);
        return 0;
    }
    return id;
}

uint32_t prof_string_of(prof_model *model, const char *text, size_t size)
{
    if (model->err != BRISK_OK) {
        return 0;
    }
    char cut[PROF_NAME_MAX + 1];
    if (size > PROF_NAME_MAX) {
        /* Two names of a megabyte that begin alike stay two. */
        size_t keep = PROF_NAME_MAX - 24;
        memcpy(cut, text, keep);
        int tail = snprintf(cut + keep, sizeof cut - keep, "...#%016llx",
                            (unsigned long long)brisk_hash64(text, size, 0));
        size = keep + (size_t)tail;
        text = cut;
    }
    const char *nul = memchr(text, '\0', size);
    prof_string key = {text, (uint32_t)(nul != NULL ? (size_t)(nul - text) : size)};
    uint32_t hash = (uint32_t)brisk_hash64(key.text, key.size, 0);
    uint32_t found = prof_index_find(&model->string_index, hash, same_string, model, &key);
    return found != PROF_NO_ID ? found : add_string(model, &key, hash);
}

uint32_t prof_text_of(prof_model *model, const char *text)
{
    return prof_string_of(model, text, strlen(text));
}

const char *prof_text(const prof_model *model, uint32_t string)
{
    BRISK_ASSERT(string < model->strings.count);
    return model->strings.items[string].text;
}

/* --- frames, stacks, threads ---------------------------------------------------------------- */

static bool same_frame(const void *owner, uint32_t id, const void *key)
{
    const prof_model *model = owner;
    const prof_frame *a = &model->frames.items[id];
    const prof_frame *b = key;
    return a->name == b->name && a->file == b->file && a->module == b->module &&
           a->line == b->line && a->flags == b->flags && a->address == b->address;
}

uint32_t prof_frame_of(prof_model *model, const prof_frame *frame)
{
    if (model->err != BRISK_OK) {
        return 0;
    }
    uint32_t hash = prof_mix(((uint64_t)frame->name << 32) | frame->file,
                             (((uint64_t)frame->module << 32) | frame->line) ^
                                 (frame->address * 31) ^ ((uint64_t)frame->flags << 56));
    uint32_t found = prof_index_find(&model->frame_index, hash, same_frame, model, frame);
    if (found != PROF_NO_ID) {
        return found;
    }
    uint32_t id = (uint32_t)model->frames.count;
    if (id >= PROF_ITEMS_MAX) {
        fail(model, BRISK_ERR_LIMIT);
        return 0;
    }
    if (!BRISK_VEC_PUSH(&model->frames, *frame)) {
        fail(model, BRISK_ERR_NOMEM);
        return 0;
    }
    if (!prof_index_add(&model->frame_index, model->alloc, hash, id)) {
        model->frames.count--;
        fail(model, BRISK_ERR_NOMEM);
        return 0;
    }
    return id;
}

uint32_t prof_stack_of(prof_model *model, uint32_t parent, uint32_t frame)
{
    if (model->err != BRISK_OK || model->stacks.nodes.items[parent].depth >= PROF_DEPTH_MAX) {
        return parent;
    }
    uint32_t id = prof_tree_child(&model->stacks, parent, frame);
    if (id == PROF_NO_ID) {
        fail(model, BRISK_ERR_NOMEM);
        return 0;
    }
    return id;
}

static bool same_thread(const void *owner, uint32_t id, const void *key)
{
    const prof_model *model = owner;
    const prof_thread *a = &model->threads.items[id];
    const prof_thread *b = key;
    return a->pid == b->pid && a->tid == b->tid && a->comm == b->comm;
}

uint32_t prof_thread_of(prof_model *model, uint32_t pid, uint32_t tid, const char *comm)
{
    prof_thread thread = {.pid = pid, .tid = tid, .comm = prof_text_of(model, comm)};
    if (model->err != BRISK_OK) {
        return 0;
    }
    uint32_t hash = prof_mix(((uint64_t)pid << 32) | tid, thread.comm);
    uint32_t found = prof_index_find(&model->thread_index, hash, same_thread, model, &thread);
    if (found != PROF_NO_ID) {
        return found;
    }
    uint32_t id = (uint32_t)model->threads.count;
    if (id >= PROF_ITEMS_MAX || !BRISK_VEC_PUSH(&model->threads, thread)) {
        fail(model, BRISK_ERR_NOMEM);
        return 0;
    }
    if (!prof_index_add(&model->thread_index, model->alloc, hash, id)) {
        model->threads.count--;
        fail(model, BRISK_ERR_NOMEM);
        return 0;
    }
    return id;
}

/* --- values --------------------------------------------------------------------------------- */

uint32_t prof_type_of(prof_model *model, const char *name, const char *unit)
{
    prof_type type = {prof_text_of(model, name), prof_text_of(model, unit)};
    for (uint32_t i = 0; i < model->type_count; i++) {
        if (model->types[i].name == type.name && model->types[i].unit == type.unit) {
            return i;
        }
    }
    if (model->type_count == PROF_VALUES_MAX) {
        return PROF_VALUES_MAX - 1;
    }
    model->types[model->type_count] = type;
    return model->type_count++;
}

static bool same_sample(const void *owner, uint32_t id, const void *key)
{
    const prof_model *model = owner;
    const prof_sample *b = key;
    return model->samples.items[id].stack == b->stack &&
           model->samples.items[id].thread == b->thread;
}

void prof_sample_add(prof_model *model, uint32_t stack, uint32_t thread, uint32_t type,
                     uint64_t value)
{
    BRISK_ASSERT(type < PROF_VALUES_MAX);
    if (model->err != BRISK_OK) {
        return;
    }
    prof_sample key = {.stack = stack, .thread = thread};
    uint32_t hash = prof_mix(stack, thread);
    uint32_t id = prof_index_find(&model->sample_index, hash, same_sample, model, &key);
    if (id == PROF_NO_ID) {
        id = (uint32_t)model->samples.count;
        if (id >= PROF_ITEMS_MAX || !BRISK_VEC_PUSH(&model->samples, key)) {
            fail(model, BRISK_ERR_NOMEM);
            return;
        }
        if (!prof_index_add(&model->sample_index, model->alloc, hash, id)) {
            model->samples.count--;
            fail(model, BRISK_ERR_NOMEM);
            return;
        }
    }
    uint64_t *sum = &model->samples.items[id].values[type];
    *sum = prof_add(*sum, value);
}

void prof_event_add(prof_model *model, const prof_event *event)
{
    if (model->err == BRISK_OK && model->events.count < PROF_EVENTS_MAX &&
        !BRISK_VEC_PUSH(&model->events, *event)) {
        fail(model, BRISK_ERR_NOMEM);
    }
}

void prof_note(prof_model *model, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (model->meta.note_count < PROF_NOTES_MAX) {
        model->meta.notes[model->meta.note_count++] = prof_text_of(model, text);
    }
}
