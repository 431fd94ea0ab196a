/*
 * http_answer.c -- answers, their bodies expanded, and the queues they are taken from.
 *
 * Bodies stay compressed until somebody wants the text: the thread that reads it expands it, not the
 * one that talks to all servers.
 *
 * Locks: a queue's own, a leaf.
 */
#include <string.h>
#include <time.h>

#include <brisk/clock.h>

#include "base/assert.h"
#include "io/http_internal.h"
#include "wire/expand.h"

struct brisk_http_queue {
    const brisk_alloc *alloc;
    pthread_mutex_t lock;
    pthread_cond_t filled; /* on the monotonic clock */
    http_answer *first;
    http_answer *last;
    bool closed;
};

/* --- answers -------------------------------------------------------------------------------- */

brisk_err http_answer_create(const brisk_alloc *alloc, http_answer **ret)
{
    http_answer *answer = alloc->acquire(alloc->ctx, sizeof *answer, _Alignof(http_answer));
    if (answer == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *answer = (http_answer){.alloc = alloc, .base = {.err = BRISK_ERR_CANCELLED}};
    *ret = answer;
    return BRISK_OK;
}

static void drop_body(http_answer *answer)
{
    if (answer->base.body != NULL) {
        answer->alloc->release(answer->alloc->ctx, answer->base.body, answer->body_capacity,
                               answer->body_align);
    }
    answer->base.body = NULL;
    answer->base.body_size = 0;
    answer->body_capacity = 0;
}

void http_answer_take_body(http_answer *answer, http_transfer *t)
{
    drop_body(answer);
    answer->base.body = t->body;
    answer->base.body_size = t->body_size;
    answer->body_capacity = t->body_capacity;
    answer->body_align = 1;
    if (t->body != NULL) {
        memset(t->body + t->body_size, 0, HTTP_BODY_TAIL);
    }
    t->body = NULL;
    t->body_size = 0;
    t->body_capacity = 0;
}

void brisk_http_response_destroy(brisk_http_response *response)
{
    if (response == NULL) {
        return;
    }
    http_answer *answer = (http_answer *)response;
    const brisk_alloc *alloc = answer->alloc;
    drop_body(answer);
    if (response->location != NULL) {
        alloc->release(alloc->ctx, response->location, answer->location_size, 1);
    }
    alloc->release(alloc->ctx, answer, sizeof *answer, _Alignof(http_answer));
}

/* --- expanding ------------------------------------------------------------------------------ */

static codec_id codec_of(brisk_http_encoding encoding)
{
    switch (encoding) {
    case BRISK_HTTP_IDENTITY: return CODEC_PLAIN;
    case BRISK_HTTP_GZIP: return CODEC_GZIP;
    case BRISK_HTTP_DEFLATE: return CODEC_DEFLATE;
    case BRISK_HTTP_BROTLI: return CODEC_BROTLI;
    case BRISK_HTTP_ZSTD: return CODEC_ZSTD;
    case BRISK_HTTP_UNKNOWN:
    default: return CODEC_COUNT;
    }
}

static brisk_err explain(brisk_err err, size_t max, brisk_errinfo *info)
{
    switch ((int)err) {
    case BRISK_OK: return BRISK_OK;
    case BRISK_ERR_LIMIT:
        return brisk_errinfo_set(info, err, "HTTP: a body expands to more than %zu bytes", max);
    case BRISK_ERR_CORRUPT:
        return brisk_errinfo_set(info, err, "HTTP: a compressed body is damaged or cut short");
    case BRISK_ERR_UNSUPPORTED:
        return brisk_errinfo_set(info, err, "HTTP: a body has an unknown Content-Encoding");
    default: return brisk_errinfo_set(info, err, "HTTP: out of memory");
    }
}

brisk_err brisk_http_response_expand_into(const brisk_http_response *response,
                                          brisk_http_buffer *buffer, brisk_errinfo *info)
{
    const http_answer *answer = (const http_answer *)response;
    buffer->alloc = buffer->alloc != NULL ? buffer->alloc : brisk_alloc_libc();
    expand_room room = {buffer->data, 0, buffer->capacity_, buffer->alloc};
    brisk_err err = BRISK_OK;
    if (buffer->inflater_ == NULL) {
        expander *fresh = NULL;
        err = expander_create(buffer->alloc, &fresh);
        buffer->inflater_ = fresh;
    }
    if (err == BRISK_OK) { /* a body of no bytes is no bytes: as HEAD's and 304's */
        codec_id id = response->body_size > 0 ? codec_of(response->encoding) : CODEC_PLAIN;
        codec_bytes src = {response->body, response->body_size};
        err = expander_run(buffer->inflater_, id, src, answer->expanded_max, &room);
    }
    buffer->data = room.data;
    buffer->size = room.size;
    buffer->capacity_ = room.capacity;
    return explain(err, answer->expanded_max, info);
}

void brisk_http_buffer_deinit(brisk_http_buffer *buffer)
{
    expand_room room = {buffer->data, 0, buffer->capacity_, buffer->alloc};
    expand_room_deinit(&room);
    expander_destroy(buffer->inflater_);
    *buffer = (brisk_http_buffer){.alloc = buffer->alloc};
}

brisk_err brisk_http_response_expand(brisk_http_response *response, brisk_errinfo *info)
{
    http_answer *answer = (http_answer *)response;
    if (response->encoding == BRISK_HTTP_IDENTITY || response->body_size == 0) {
        response->encoding = BRISK_HTTP_IDENTITY;
        return BRISK_OK;
    }
    brisk_http_buffer buffer = {.alloc = answer->alloc};
    brisk_err err = brisk_http_response_expand_into(response, &buffer, info);
    if (err == BRISK_OK) {
        drop_body(answer);
        response->body = buffer.data;
        response->body_size = buffer.size;
        answer->body_capacity = buffer.capacity_ + EXPAND_TAIL;
        answer->body_align = EXPAND_ALIGN;
        response->encoding = BRISK_HTTP_IDENTITY;
        buffer.data = NULL;
    }
    brisk_http_buffer_deinit(&buffer);
    return err;
}

/* --- queues --------------------------------------------------------------------------------- */

static void lock_queue(brisk_http_queue *queue)
{
    int failed = pthread_mutex_lock(&queue->lock);
    BRISK_ASSERT(failed == 0);
}

static void unlock_queue(brisk_http_queue *queue)
{
    int failed = pthread_mutex_unlock(&queue->lock);
    BRISK_ASSERT(failed == 0);
}

brisk_err brisk_http_queue_create(const brisk_alloc *alloc, brisk_http_queue **ret)
{
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    brisk_http_queue *queue = alloc->acquire(alloc->ctx, sizeof *queue, _Alignof(brisk_http_queue));
    pthread_condattr_t monotonic;
    if (queue == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *queue = (brisk_http_queue){.alloc = alloc};
    int failed = pthread_mutex_init(&queue->lock, NULL);
    failed |= pthread_condattr_init(&monotonic);
    failed |= pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    failed |= pthread_cond_init(&queue->filled, &monotonic);
    BRISK_ASSERT(failed == 0); /* cannot fail on Linux */
    (void)pthread_condattr_destroy(&monotonic);
    *ret = queue;
    return BRISK_OK;
}

void brisk_http_queue_destroy(brisk_http_queue *queue)
{
    if (queue == NULL) {
        return;
    }
    for (http_answer *answer = queue->first; answer != NULL;) {
        http_answer *next = answer->next;
        brisk_http_response_destroy(&answer->base);
        answer = next;
    }
    (void)pthread_cond_destroy(&queue->filled);
    (void)pthread_mutex_destroy(&queue->lock);
    queue->alloc->release(queue->alloc->ctx, queue, sizeof *queue, _Alignof(brisk_http_queue));
}

void http_queue_push(brisk_http_queue *queue, http_answer *answer)
{
    answer->next = NULL;
    lock_queue(queue);
    *(queue->last != NULL ? &queue->last->next : &queue->first) = answer;
    queue->last = answer;
    (void)pthread_cond_signal(&queue->filled);
    unlock_queue(queue);
}

void brisk_http_queue_close(brisk_http_queue *queue)
{
    lock_queue(queue);
    queue->closed = true;
    (void)pthread_cond_broadcast(&queue->filled);
    unlock_queue(queue);
}

/* Until something is there; false: time is up. */
static bool wait_filled(brisk_http_queue *queue, uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000),
                             .tv_nsec = (long)(until_ns % 1000000000)};
    while (queue->first == NULL && !queue->closed) {
        if (until_ns == UINT64_MAX) {
            (void)pthread_cond_wait(&queue->filled, &queue->lock);
        } else if (pthread_cond_timedwait(&queue->filled, &queue->lock, &until) != 0 &&
                   brisk_clock_now_ns(NULL) >= until_ns) {
            break;
        }
    }
    return queue->first != NULL || queue->closed;
}

brisk_err brisk_http_queue_take(brisk_http_queue *queue, uint64_t timeout_ns,
                                brisk_http_response **ret)
{
    uint64_t now = timeout_ns != 0 ? brisk_clock_now_ns(NULL) : 0;
    uint64_t until = timeout_ns < UINT64_MAX - now ? now + timeout_ns : UINT64_MAX;
    lock_queue(queue);
    if (timeout_ns != 0 && !wait_filled(queue, until)) {
        unlock_queue(queue);
        return BRISK_ERR_DEADLINE;
    }
    http_answer *answer = queue->first;
    bool closed = queue->closed;
    if (answer != NULL) {
        queue->first = answer->next;
        queue->last = queue->first != NULL ? queue->last : NULL;
    }
    unlock_queue(queue);
    if (answer == NULL) {
        return closed ? BRISK_ERR_CANCELLED : BRISK_ERR_DEADLINE;
    }
    *ret = &answer->base;
    return BRISK_OK;
}
