/*
 * jobs_events.c -- the progress of one job as a stream of events.
 *
 *     event: progress   its status, when its place or a stage has changed, otherwise once a second
 *     event: end        its final status; then the stream ends
 *
 * Every event is whole, so whoever comes back with Last-Event-ID needs no history: it gets the present
 * one, under the next number.
 */
#include "daemon/api/jobs_internal.h"

#include "daemon/api/sse.h"

static const uint64_t every_ns = 1000000000;

static void send_status(job_call *call, sse *stream, const char *event, uint64_t now_ns)
{
    brisk_str text;
    brisk_str_init(&text, call->jobs->alloc, JOBS_TEXT_MAX);
    job_write_status(call->entry, &text);
    size_t size = brisk_str_size(&text);
    if (brisk_str_err(&text) == BRISK_OK) {
        const char *data = brisk_str_text(&text);
        size -= size > 0 && data[size - 1] == '\n' ? 1 : 0;
        call->event_id++;
        call->event_ns = now_ns;
        (void)sse_send(stream, event, call->event_id, data, size); /* choked: asked again later */
    }
    brisk_str_deinit(&text);
}

static void poll(sse *stream, void *ctx)
{
    job_call *call = ctx;
    jobs_table *j = call->jobs;
    uint64_t now_ns = jobs_now_ns(j);
    (void)pthread_mutex_lock(&j->lock);
    bool over = job_state_is_over(call->entry->state);
    uint64_t signature = job_signature(call->entry);
    (void)pthread_mutex_unlock(&j->lock);
    if (over) {
        send_status(call, stream, "end", now_ns);
        sse_finish(stream);
    } else if (signature != call->signature || now_ns - call->event_ns >= every_ns) {
        call->signature = signature;
        send_status(call, stream, "progress", now_ns);
    }
}

void job_events_open(job_call *call)
{
    static const sse_source source = {.poll = poll};
    call->event_id = sse_last_id(call->x);
    call->stream = sse_open(call->x, &source, call);
    if (call->stream != NULL) {
        /* Relaxed: the runner that ends the job takes the lock that poll takes. */
        atomic_fetch_add_explicit(&call->jobs->streams, 1, memory_order_relaxed);
    }
}
