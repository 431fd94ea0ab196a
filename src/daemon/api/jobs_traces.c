/*
 * jobs_traces.c -- where the time of jobs that are over went, as traces.h wants it.
 *
 *     span 1         the job, from when it was asked for to its end
 *     span 2         its wait for a place
 *     spans 3 ...    what the engine's trace has, begun when the wait was over
 *
 * The spans are copied when the job ends and kept as long as it is.
 */
#include "daemon/api/jobs_internal.h"

#include <string.h>

#include <brisk/trace.h>

enum { OWN_SPANS = 2 };

static uint64_t between(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

static void copy_spans(const job_entry *e, const brisk_trace *of, uint32_t count, trace_span *ret)
{
    uint64_t wait_ns = between(e->created_ns, e->started_ns);
    uint64_t first_ns = UINT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start_ns = brisk_trace_at(of, i).start_ns;
        first_ns = start_ns < first_ns ? start_ns : first_ns;
    }
    for (uint32_t i = 0; i < count; i++) {
        brisk_span span = brisk_trace_at(of, i);
        ret[i] =
            (trace_span){.id = span.id + OWN_SPANS,
                         .parent = span.parent != BRISK_TRACE_NONE ? span.parent + OWN_SPANS : 1,
                         .thread = span.thread,
                         .start_ns = wait_ns + (span.start_ns - first_ns),
                         .duration_ns = between(span.start_ns, span.end_ns)};
        memcpy(ret[i].name, span.name, sizeof ret[i].name);
    }
}

void job_take_spans(job_entry *e, const brisk_job *job)
{
    const brisk_trace *of = job != NULL ? brisk_job_trace(job) : NULL;
    uint32_t count = of != NULL ? brisk_trace_count(of) : 0;
    trace_span *spans =
        jobs_take(e->jobs, (count + OWN_SPANS) * sizeof *spans, _Alignof(trace_span));
    if (spans == NULL) {
        return; /* the job is worth more than how long it took */
    }
    bool ran = e->started_ns != 0;
    spans[0] =
        (trace_span){.name = "job", .id = 1, .duration_ns = between(e->created_ns, e->ended_ns)};
    spans[1] =
        (trace_span){.name = "queue",
                     .id = 2,
                     .parent = 1,
                     .duration_ns = between(e->created_ns, ran ? e->started_ns : e->ended_ns)};
    copy_spans(e, of, count, spans + OWN_SPANS);
    e->spans = spans;
    e->span_count = count + OWN_SPANS;
}

/* Under the lock. */
static void describe(const job_entry *e, trace_head *ret)
{
    *ret = (trace_head){.is_job = true,
                        .parent = e->parent,
                        .wall_ns = e->created_wall_ns,
                        .duration_ns = between(e->created_ns, e->ended_ns),
                        .bytes_out = e->value != NULL ? brisk_value_size(e->value) : 0};
    (void)snprintf(ret->id, sizeof ret->id, "%s", e->id);
    (void)snprintf(ret->name, sizeof ret->name, "%s", e->workload_name);
    (void)snprintf(ret->outcome, sizeof ret->outcome, "%s", job_state_name(e->state));
}

uint32_t jobs_traces(jobs_table *j, bool (*wanted)(const void *ctx, const trace_head *head),
                     const void *ctx, trace_head *ret, uint32_t max)
{
    uint32_t count = 0;
    (void)pthread_mutex_lock(&j->lock);
    for (const job_entry *e = j->newest; e != NULL && count < max; e = e->older) {
        if (job_state_is_over(e->state) && e->spans != NULL) {
            describe(e, &ret[count]);
            count += wanted(ctx, &ret[count]) ? 1 : 0;
        }
    }
    (void)pthread_mutex_unlock(&j->lock);
    return count;
}

brisk_err jobs_trace(jobs_table *j, const char *id, trace *ret)
{
    bool earlier;
    brisk_err err = BRISK_ERR_NOT_FOUND;
    job_entry *e = jobs_find(j, (http_text){id, strlen(id)}, &earlier);
    if (e == NULL) {
        return err;
    }
    (void)pthread_mutex_lock(&j->lock);
    bool over = job_state_is_over(e->state);
    if (over) {
        describe(e, &ret->head);
    }
    (void)pthread_mutex_unlock(&j->lock);
    if (over && e->spans != NULL) { /* what is over does not change any more */
        size_t size = e->span_count * sizeof *e->spans;
        ret->spans = ret->alloc->acquire(ret->alloc->ctx, size, _Alignof(trace_span));
        err = ret->spans != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
        if (err == BRISK_OK) {
            memcpy(ret->spans, e->spans, size);
            ret->count = e->span_count;
            ret->room = e->span_count;
        }
    }
    job_entry_unref(e);
    return err;
}
