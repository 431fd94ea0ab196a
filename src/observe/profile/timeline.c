/*
 * timeline.c -- see timeline.h.
 */
#include "observe/profile/timeline.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    const prof_event *x = a;
    const prof_event *y = b;
    if (x->thread != y->thread) {
        return x->thread < y->thread ? -1 : 1;
    }
    return x->time_ns != y->time_ns ? (x->time_ns < y->time_ns ? -1 : 1) : 0;
}

static void make_up(const prof_model *model, uint32_t type, prof_timeline *t)
{
    for (size_t i = 0; i < model->samples.count; i++) {
        const prof_sample *s = &model->samples.items[i];
        if (s->values[type] > 0) {
            t->events[t->count++] = (prof_event){.thread = s->thread,
                                                 .stack = s->stack,
                                                 .time_ns = s->stack,
                                                 .length_ns = s->values[type]};
        }
    }
    qsort(t->events, t->count, sizeof *t->events, compare);
    uint64_t now = 0;
    for (size_t i = 0; i < t->count; i++) {
        now = i > 0 && t->events[i].thread == t->events[i - 1].thread ? now : 0;
        t->events[i].time_ns = now;
        now = prof_add(now, t->events[i].length_ns);
    }
}

brisk_err prof_timeline_make(const prof_model *model, uint32_t type, prof_timeline *ret)
{
    prof_timeline t = {.alloc = model->alloc, .made_up = model->events.count == 0};
    t.room = (t.made_up ? model->samples.count : model->events.count) + 1;
    t.events = t.alloc->acquire(t.alloc->ctx, t.room * sizeof *t.events, _Alignof(prof_event));
    if (t.events == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (t.made_up) {
        make_up(model, type, &t);
    } else {
        t.count = model->events.count;
        memcpy(t.events, model->events.items, t.count * sizeof *t.events);
        for (size_t i = 0; i < t.count; i++) {
            prof_event *e = &t.events[i];
            if (!e->off_cpu) { /* a sample tells what was done until it was taken */
                e->time_ns -= e->length_ns < e->time_ns ? e->length_ns : e->time_ns;
            }
        }
        qsort(t.events, t.count, sizeof *t.events, compare);
    }
    t.start_ns = t.count > 0 ? UINT64_MAX : 0;
    for (size_t i = 0; i < t.count; i++) {
        uint64_t end = prof_add(t.events[i].time_ns, t.events[i].length_ns);
        t.start_ns = t.events[i].time_ns < t.start_ns ? t.events[i].time_ns : t.start_ns;
        t.end_ns = end > t.end_ns ? end : t.end_ns;
    }
    *ret = t;
    return BRISK_OK;
}

void prof_timeline_deinit(prof_timeline *timeline)
{
    timeline->alloc->release(timeline->alloc->ctx, timeline->events,
                             timeline->room * sizeof *timeline->events, _Alignof(prof_event));
}
