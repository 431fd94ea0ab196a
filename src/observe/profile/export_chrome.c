/*
 * export_chrome.c -- Chrome's trace events: each function that two samples in a row have in common
 * is one slice.
 *
 * Source: "Trace Event Format" (Google).  Times in microseconds from the first event on.
 */
#include <string.h>

#include <brisk/json.h>

#include "observe/profile/export.h"
#include "observe/profile/timeline.h"

typedef struct slice {
    uint32_t node;
    uint64_t start_ns;
} slice;

typedef struct chrome {
    const prof_model *model;
    brisk_json json;
    uint64_t start_ns;
    slice open[PROF_DEPTH_MAX + 1];
    size_t open_count;
    uint64_t open_until_ns; /* end of the last sample */
    uint32_t thread;
} chrome;

static void close_slices(chrome *c, size_t keep)
{
    const prof_model *m = c->model;
    const prof_thread *thread = &m->threads.items[c->thread];
    while (c->open_count > keep) {
        const slice *s = &c->open[--c->open_count];
        const prof_frame *frame = &m->frames.items[m->stacks.nodes.items[s->node].frame];
        brisk_json_object_begin(&c->json, NULL);
        brisk_json_str(&c->json, "ph", "X");
        brisk_json_str(&c->json, "name", prof_text(m, frame->name));
        brisk_json_str(&c->json, "cat",
                       (frame->flags & PROF_FRAME_KERNEL) != 0 ? "kernel" : "user");
        brisk_json_u64(&c->json, "pid", thread->pid == PROF_PID_UNKNOWN ? 0 : thread->pid);
        brisk_json_u64(&c->json, "tid", thread->tid);
        brisk_json_double(&c->json, "ts", (double)(s->start_ns - c->start_ns) / 1e3);
        brisk_json_double(&c->json, "dur", (double)(c->open_until_ns - s->start_ns) / 1e3);
        brisk_json_object_end(&c->json);
    }
}

static void take(chrome *c, const prof_event *e)
{
    const prof_model *m = c->model;
    uint32_t path[PROF_DEPTH_MAX + 1];
    size_t depth = 0;
    for (uint32_t node = e->stack; node != 0 && depth < PROF_DEPTH_MAX;
         node = m->stacks.nodes.items[node].parent) {
        path[depth++] = node;
    }
    size_t common = 0;
    /* A pause of more than a sample ends everything. */
    bool joins = c->thread == e->thread && e->time_ns <= prof_add(c->open_until_ns, e->length_ns);
    while (joins && common < depth && common < c->open_count &&
           c->open[common].node == path[depth - 1 - common]) {
        common++;
    }
    if (joins && c->open_until_ns > e->time_ns) {
        c->open_until_ns = e->time_ns;
    }
    for (size_t i = 0; i < c->open_count; i++) {
        c->open_until_ns =
            c->open[i].start_ns > c->open_until_ns ? c->open[i].start_ns : c->open_until_ns;
    }
    close_slices(c, common);
    c->thread = e->thread;
    for (size_t i = common; i < depth; i++) {
        c->open[c->open_count++] = (slice){path[depth - 1 - i], e->time_ns};
    }
    c->open_until_ns = prof_add(e->time_ns, e->length_ns);
}

static void write_names(chrome *c)
{
    const prof_model *m = c->model;
    for (size_t i = 1; i < m->threads.count; i++) {
        const prof_thread *thread = &m->threads.items[i];
        brisk_json_object_begin(&c->json, NULL);
        brisk_json_str(&c->json, "ph", "M");
        brisk_json_str(&c->json, "name", "thread_name");
        brisk_json_u64(&c->json, "pid", thread->pid == PROF_PID_UNKNOWN ? 0 : thread->pid);
        brisk_json_u64(&c->json, "tid", thread->tid);
        brisk_json_object_begin(&c->json, "args");
        brisk_json_str(&c->json, "name", prof_text(m, thread->comm));
        brisk_json_object_end(&c->json);
        brisk_json_object_end(&c->json);
    }
}

brisk_err prof_export_chrome(const prof_model *model, uint32_t type, FILE *out)
{
    const brisk_alloc *alloc = model->alloc;
    prof_timeline timeline;
    chrome *c = alloc->acquire(alloc->ctx, sizeof *c, _Alignof(chrome));
    if (c == NULL) {
        return BRISK_ERR_NOMEM;
    }
    brisk_err err = prof_timeline_make(model, type, &timeline);
    if (err == BRISK_OK) {
        memset(c, 0, sizeof *c);
        c->model = model;
        c->start_ns = timeline.start_ns;
        brisk_json_init(&c->json, brisk_out_file(out), 0);
        brisk_json_object_begin(&c->json, NULL);
        brisk_json_str(&c->json, "displayTimeUnit", "ms");
        brisk_json_array_begin(&c->json, "traceEvents");
        write_names(c);
        for (size_t i = 0; i < timeline.count; i++) {
            take(c, &timeline.events[i]);
        }
        close_slices(c, 0);
        brisk_json_array_end(&c->json);
        brisk_json_object_end(&c->json);
        err = brisk_json_finish(&c->json);
        prof_timeline_deinit(&timeline);
    }
    alloc->release(alloc->ctx, c, sizeof *c, _Alignof(chrome));
    return err;
}
