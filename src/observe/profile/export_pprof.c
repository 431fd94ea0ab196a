/*
 * export_pprof.c -- a model as pprof's Profile message, in gzip.
 *
 * A location is a function with all that was inlined into it: nodes of a tree of chains of frames
 * stand for locations, so that each is written once.  Functions are (name, file), mappings modules.
 */
#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "observe/profile/export.h"
#include "observe/profile/pprof.h"
#include "observe/profile/tally.h"
#include "wire/codec.h"
#include "wire/protobuf.h"

enum { MESSAGE_MAX = CODEC_BYTES_MAX };

typedef struct writer {
    const prof_model *model;
    brisk_str out;
    brisk_str one;   /* a message in work */
    brisk_str inner; /* a part of it */
    prof_tree chains;
    BRISK_VEC(uint8_t) written; /* for each chain: its location is */
    uint32_t *function_of;      /* for each frame */
    uint32_t extra_strings;     /* behind the model's own */
    brisk_err err;
} writer;

enum { STRING_THREAD, STRING_PID, STRING_TID, EXTRA_STRINGS };

static uint64_t extra(const writer *w, uint32_t which)
{
    return w->extra_strings + which;
}

static void flush(writer *w, uint32_t field)
{
    wire_pb_bytes(&w->out, field, brisk_str_text(&w->one), brisk_str_size(&w->one));
    brisk_str_cut(&w->one, 0);
}

static void flush_inner(writer *w, uint32_t field)
{
    wire_pb_bytes(&w->one, field, brisk_str_text(&w->inner), brisk_str_size(&w->inner));
    brisk_str_cut(&w->inner, 0);
}

static void write_types(writer *w)
{
    const prof_model *m = w->model;
    for (uint32_t i = 0; i < m->type_count; i++) {
        wire_pb_u64(&w->one, PB_TYPE_NAME, m->types[i].name);
        wire_pb_u64(&w->one, PB_TYPE_UNIT, m->types[i].unit);
        flush(w, PB_PROFILE_SAMPLE_TYPE);
    }
    if (m->meta.period > 0 && m->type_count > 0) {
        prof_type type = m->types[prof_default_type(m)];
        wire_pb_u64(&w->one, PB_TYPE_NAME, type.name);
        wire_pb_u64(&w->one, PB_TYPE_UNIT, type.unit);
        flush(w, PB_PROFILE_PERIOD_TYPE);
        wire_pb_u64(&w->out, PB_PROFILE_PERIOD, m->meta.period);
    }
    if (m->type_count > 0) {
        wire_pb_u64(&w->out, PB_PROFILE_DEFAULT_TYPE, m->types[prof_default_type(m)].name);
    }
}

/* --- functions, mappings ---------------------------------------------------------------------- */

typedef struct pair {
    uint32_t name;
    uint32_t file;
} pair;

static bool same_pair(const void *owner, uint32_t id, const void *key)
{
    const prof_model *m = owner;
    const pair *p = key;
    return m->frames.items[id].name == p->name && m->frames.items[id].file == p->file;
}

static void write_functions(writer *w)
{
    const prof_model *m = w->model;
    prof_index index = {0};
    for (uint32_t i = 0; i < m->frames.count && w->err == BRISK_OK; i++) {
        const prof_frame *f = &m->frames.items[i];
        pair key = {f->name, f->file};
        uint32_t hash = prof_mix(f->name, f->file);
        uint32_t found = prof_index_find(&index, hash, same_pair, m, &key);
        w->function_of[i] = found != PROF_NO_ID ? found : i;
        if (found != PROF_NO_ID) {
            continue;
        }
        if (!prof_index_add(&index, m->alloc, hash, i)) {
            w->err = BRISK_ERR_NOMEM;
            break;
        }
        wire_pb_u64(&w->one, PB_FUNCTION_ID, (uint64_t)i + 1);
        wire_pb_u64(&w->one, PB_FUNCTION_NAME, f->name);
        wire_pb_u64(&w->one, PB_FUNCTION_SYSTEM_NAME, f->name);
        wire_pb_u64(&w->one, PB_FUNCTION_FILE, f->file);
        flush(w, PB_PROFILE_FUNCTION);
    }
    prof_index_deinit(&index, m->alloc);
}

static bool same_module(const void *owner, uint32_t id, const void *key)
{
    const prof_model *m = owner;
    return m->frames.items[id].module == *(const uint32_t *)key;
}

/* A mapping has the number of its module's string. */
static void write_mappings(writer *w)
{
    const prof_model *m = w->model;
    prof_index index = {0};
    for (uint32_t i = 0; i < m->frames.count && w->err == BRISK_OK; i++) {
        uint32_t module = m->frames.items[i].module;
        uint32_t hash = prof_mix(module, 1);
        if (module == 0 || prof_index_find(&index, hash, same_module, m, &module) != PROF_NO_ID) {
            continue;
        }
        if (!prof_index_add(&index, m->alloc, hash, i)) {
            w->err = BRISK_ERR_NOMEM;
            break;
        }
        wire_pb_u64(&w->one, PB_MAPPING_ID, module);
        wire_pb_u64(&w->one, PB_MAPPING_LIMIT, UINT64_MAX >> 1);
        wire_pb_u64(&w->one, PB_MAPPING_FILE, module);
        wire_pb_u64(&w->one, PB_MAPPING_HAS_FUNCTIONS, 1);
        flush(w, PB_PROFILE_MAPPING);
    }
    prof_index_deinit(&index, m->alloc);
}

/* --- locations and samples ------------------------------------------------------------------ */

/* `frames`, innermost first, are one place in the code: `count` - 1 inlined ones and their host. */
static void write_location(writer *w, uint32_t chain, const uint32_t *frames, size_t count)
{
    const prof_model *m = w->model;
    const prof_frame *host = &m->frames.items[frames[count - 1]];
    wire_pb_u64(&w->one, PB_LOCATION_ID, chain);
    wire_pb_u64(&w->one, PB_LOCATION_MAPPING, host->module);
    wire_pb_u64(&w->one, PB_LOCATION_ADDRESS, host->address);
    bool unknown = (host->flags & PROF_FRAME_UNKNOWN) != 0 && host->module != 0;
    for (size_t i = 0; i < count && !unknown; i++) {
        wire_pb_u64(&w->inner, PB_LINE_FUNCTION, (uint64_t)w->function_of[frames[i]] + 1);
        wire_pb_u64(&w->inner, PB_LINE_LINE, m->frames.items[frames[i]].line);
        flush_inner(w, PB_LOCATION_LINE);
    }
    flush(w, PB_PROFILE_LOCATION);
}

/* The location of what begins at `*node`, which is moved to the caller. */
static uint32_t take_location(writer *w, uint32_t *node)
{
    const prof_model *m = w->model;
    uint32_t frames[PROF_DEPTH_MAX];
    size_t count = 0;
    uint32_t chain = 0;
    bool inlined = true;
    while (inlined && *node != 0 && count < PROF_DEPTH_MAX) {
        const prof_node *n = &m->stacks.nodes.items[*node];
        frames[count++] = n->frame;
        inlined = (m->frames.items[n->frame].flags & PROF_FRAME_INLINED) != 0;
        chain = chain == PROF_NO_ID ? chain : prof_tree_child(&w->chains, chain, n->frame);
        *node = n->parent;
    }
    if (chain == PROF_NO_ID || !BRISK_VEC_RESERVE(&w->written, w->chains.nodes.count)) {
        w->err = BRISK_ERR_NOMEM;
        return 0;
    }
    while (w->written.count < w->chains.nodes.count) {
        w->written.items[w->written.count++] = 0;
    }
    if (w->written.items[chain] == 0) {
        w->written.items[chain] = 1;
        brisk_str kept = w->one; /* the sample in work waits */
        brisk_str_init(&w->one, m->alloc, MESSAGE_MAX);
        write_location(w, chain, frames, count);
        brisk_str_deinit(&w->one);
        w->one = kept;
    }
    return chain;
}

static void write_label(writer *w, uint64_t key, uint64_t text, uint64_t number)
{
    wire_pb_u64(&w->inner, PB_LABEL_KEY, key);
    wire_pb_u64(&w->inner, PB_LABEL_TEXT, text);
    wire_pb_u64(&w->inner, PB_LABEL_NUMBER, number);
    flush_inner(w, PB_SAMPLE_LABEL);
}

static void write_sample(writer *w, const prof_sample *s)
{
    const prof_model *m = w->model;
    brisk_str locations;
    brisk_str_init(&locations, m->alloc, MESSAGE_MAX);
    for (uint32_t node = s->stack; node != 0 && w->err == BRISK_OK;) {
        wire_pb_varint(&locations, take_location(w, &node));
    }
    wire_pb_bytes(&w->one, PB_SAMPLE_LOCATION, brisk_str_text(&locations),
                  brisk_str_size(&locations));
    w->err = w->err == BRISK_OK ? brisk_str_err(&locations) : w->err;
    brisk_str_deinit(&locations);
    for (uint32_t i = 0; i < m->type_count; i++) {
        wire_pb_varint(&w->inner, s->values[i]);
    }
    flush_inner(w, PB_SAMPLE_VALUE);
    if (s->thread != 0) {
        const prof_thread *t = &m->threads.items[s->thread];
        write_label(w, extra(w, STRING_THREAD), t->comm, 0);
        write_label(w, extra(w, STRING_TID), 0, t->tid);
        if (t->pid != PROF_PID_UNKNOWN) {
            write_label(w, extra(w, STRING_PID), 0, t->pid);
        }
    }
    flush(w, PB_PROFILE_SAMPLE);
}

/* --- strings -------------------------------------------------------------------------------- */

static void write_string(writer *w, const char *text, size_t size)
{
    wire_pb_bytes(&w->out, PB_PROFILE_STRING, text, size);
}

static void write_strings_and_meta(writer *w)
{
    const prof_model *m = w->model;
    const prof_meta *meta = &m->meta;
    static const char *const extras[EXTRA_STRINGS] = {"thread", "pid", "tid"};
    char text[256];
    for (size_t i = 0; i < m->strings.count; i++) {
        write_string(w, m->strings.items[i].text, m->strings.items[i].size);
    }
    for (uint32_t i = 0; i < EXTRA_STRINGS; i++) {
        write_string(w, extras[i], strlen(extras[i]));
    }
    int size = snprintf(text, sizeof text,
                        PROF_PPROF_MARK " cpu_ns=%" PRIu64 " lost=%" PRIu64 " samples=%" PRIu64,
                        meta->cpu_ns, meta->lost, meta->samples);
    write_string(w, text, (size_t)size);
    wire_pb_u64(&w->out, PB_PROFILE_COMMENT, extra(w, EXTRA_STRINGS));
    if (meta->command != 0) {
        brisk_str_add(&w->inner, PROF_PPROF_MARK " command=");
        brisk_str_add(&w->inner, prof_text(m, meta->command));
        write_string(w, brisk_str_text(&w->inner), brisk_str_size(&w->inner));
        brisk_str_cut(&w->inner, 0);
        wire_pb_u64(&w->out, PB_PROFILE_COMMENT, extra(w, EXTRA_STRINGS + 1));
    }
    for (uint32_t i = 0; i < meta->note_count; i++) {
        wire_pb_u64(&w->out, PB_PROFILE_COMMENT, meta->notes[i]);
    }
    wire_pb_u64(&w->out, PB_PROFILE_TIME, meta->wall_start_ns);
    wire_pb_u64(&w->out, PB_PROFILE_DURATION, meta->duration_ns);
}

static brisk_err write_gzip(const prof_model *model, const brisk_str *text, FILE *out)
{
    const brisk_alloc *alloc = model->alloc;
    codec_kit *kit = NULL;
    size_t room = codec_bound(CODEC_GZIP, brisk_str_size(text));
    void *bytes = alloc->acquire(alloc->ctx, room, 16);
    size_t size = 0;
    brisk_err err = bytes != NULL ? codec_kit_create(alloc, &kit) : BRISK_ERR_NOMEM;
    if (err == BRISK_OK) {
        err = codec_squeeze(kit, &(codec_how){.id = CODEC_GZIP},
                            (codec_bytes){brisk_str_text(text), brisk_str_size(text)},
                            (codec_room){bytes, room}, &size);
    }
    if (err == BRISK_OK && fwrite(bytes, 1, size, out) != size) {
        err = BRISK_ERR_IO;
    }
    codec_kit_destroy(kit);
    if (bytes != NULL) {
        alloc->release(alloc->ctx, bytes, room, 16);
    }
    return err;
}

brisk_err prof_export_pprof(const prof_model *model, FILE *out)
{
    const brisk_alloc *alloc = model->alloc;
    writer w = {.model = model,
                .written = BRISK_VEC_INIT(alloc),
                .extra_strings = (uint32_t)model->strings.count};
    size_t bytes = (model->frames.count + 1) * sizeof *w.function_of;
    brisk_str_init(&w.out, alloc, MESSAGE_MAX);
    brisk_str_init(&w.one, alloc, MESSAGE_MAX);
    brisk_str_init(&w.inner, alloc, MESSAGE_MAX);
    prof_tree_init(&w.chains, alloc);
    w.function_of = alloc->acquire(alloc->ctx, bytes, _Alignof(uint32_t));
    w.err = w.function_of != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    if (w.err == BRISK_OK) {
        write_types(&w);
        write_functions(&w);
        write_mappings(&w);
    }
    for (size_t i = 0; i < model->samples.count && w.err == BRISK_OK; i++) {
        write_sample(&w, &model->samples.items[i]);
    }
    if (w.err == BRISK_OK) {
        write_strings_and_meta(&w);
        const brisk_str *all[] = {&w.out, &w.one, &w.inner};
        for (size_t i = 0; i < 3 && w.err == BRISK_OK; i++) {
            w.err = brisk_str_err(all[i]);
        }
    }
    if (w.err == BRISK_OK) {
        w.err = write_gzip(model, &w.out, out);
    }
    if (w.function_of != NULL) {
        alloc->release(alloc->ctx, w.function_of, bytes, _Alignof(uint32_t));
    }
    prof_tree_deinit(&w.chains);
    BRISK_VEC_DEINIT(&w.written);
    brisk_str_deinit(&w.out);
    brisk_str_deinit(&w.one);
    brisk_str_deinit(&w.inner);
    return w.err;
}
