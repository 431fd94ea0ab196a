/*
 * events.c -- subscriptions and their queues behind <brisk/events.h>.
 *
 * A publisher takes references to the subscriptions that want the event, lets the lock go, and calls or
 * queues.  A subscription is freed with its last reference; references are held by the list, by
 * publishers on their way, and by a drain that was posted to a target.  A drain may come after
 * brisk_events_destroy, therefore events are counted, too.
 *
 *     posted     a drain is on its way to the target, or runs there: at most one
 *     running    callbacks that run now, on any thread
 *     gone       unsubscribed: no callback begins any more
 *
 * Invariant: a queue that is not empty has `posted` set, so that nothing waits for ever.
 * Locks: `lock` of the events, a leaf: no callback and no target runs under it.
 */
#include <math.h>
#include <pthread.h>
#include <string.h>

#include <brisk/clock.h>
#include <brisk/events.h>

#include "base/assert.h"

/* A copied event on its way to a target; the texts follow it in one block. */
typedef struct queued {
    struct queued *next;
    size_t size;
    brisk_event event;
    char texts[];
} queued;

typedef struct subscriber {
    brisk_events *events;
    uint64_t id;
    uint32_t types;
    brisk_event_callback callback;
    void *ctx;
    brisk_event_target target; /* post is NULL: the publisher's thread */
    uint32_t queue_max;
    uint32_t refs;
    uint32_t running;
    bool gone;
    bool posted;
    queued *first;
    queued **last;
    uint32_t waiting;
} subscriber;

struct brisk_events {
    const brisk_alloc *alloc;
    pthread_mutex_t lock;
    pthread_cond_t idle; /* some `running` became smaller */
    uint32_t refs;       /* the owner and every subscriber */
    uint64_t last_id;
    uint64_t dropped;
    subscriber *subscribers[BRISK_EVENTS_SUBSCRIBERS_MAX]; /* in order of subscription */
    uint32_t count;
};

/* The subscribers whose callbacks this thread is in, innermost last. */
static _Thread_local struct {
    const subscriber *in[BRISK_EVENTS_DEPTH_MAX];
    uint32_t depth;
} here;

const char *brisk_event_type_name(brisk_event_type type)
{
    static const char *const names[] = {"metrics", "degradation", "alert", "opportunity"};
    return (size_t)type < sizeof names / sizeof names[0] ? names[type] : "unknown";
}

const char *brisk_severity_name(brisk_severity severity)
{
    static const char *const names[] = {"info", "warning", "critical"};
    return (size_t)severity < sizeof names / sizeof names[0] ? names[severity] : "unknown";
}

static void lock(brisk_events *events)
{
    int failed = pthread_mutex_lock(&events->lock);
    BRISK_ASSERT(failed == 0);
}

static void unlock(brisk_events *events)
{
    int failed = pthread_mutex_unlock(&events->lock);
    BRISK_ASSERT(failed == 0);
}

static void init(brisk_events *events, const brisk_alloc *alloc)
{
    *events = (brisk_events){.alloc = alloc, .refs = 1};
    int failed = pthread_mutex_init(&events->lock, NULL);
    BRISK_ASSERT(failed == 0);
    failed = pthread_cond_init(&events->idle, NULL);
    BRISK_ASSERT(failed == 0);
}

/* File-scope state: the process's events, so that any layer can tell. */
static brisk_events process;

static void init_process(void)
{
    init(&process, brisk_alloc_libc());
}

brisk_events *brisk_events_default(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int failed = pthread_once(&once, init_process);
    BRISK_ASSERT(failed == 0);
    return &process;
}

brisk_err brisk_events_create(const brisk_alloc *alloc, brisk_events **ret)
{
    BRISK_ASSERT(ret != NULL);
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    brisk_events *events = alloc->acquire(alloc->ctx, sizeof *events, _Alignof(brisk_events));
    if (events == NULL) {
        return BRISK_ERR_NOMEM;
    }
    init(events, alloc);
    *ret = events;
    return BRISK_OK;
}

/* Give up a reference to the events, under their lock, which is let go. */
static void unref_and_unlock(brisk_events *events)
{
    bool last = --events->refs == 0;
    unlock(events);
    if (last) {
        (void)pthread_mutex_destroy(&events->lock);
        (void)pthread_cond_destroy(&events->idle);
        events->alloc->release(events->alloc->ctx, events, sizeof *events, _Alignof(brisk_events));
    }
}

static void free_queued(const brisk_alloc *alloc, queued *item)
{
    brisk_snapshot_unref(item->event.snapshot);
    alloc->release(alloc->ctx, item, item->size, _Alignof(queued));
}

/* Forget what waits; gives how much that was.  Under the lock. */
static uint32_t clear_queue(subscriber *s)
{
    uint32_t count = s->waiting;
    while (s->first != NULL) {
        queued *item = s->first;
        s->first = item->next;
        free_queued(s->events->alloc, item);
    }
    s->last = &s->first;
    s->waiting = 0;
    return count;
}

/* Give up a reference to a subscriber; takes the lock, which must not be held. */
static void release(subscriber *s)
{
    brisk_events *events = s->events;
    lock(events);
    if (--s->refs > 0) {
        unlock(events);
        return;
    }
    BRISK_ASSERT(s->gone && s->first == NULL);
    events->alloc->release(events->alloc->ctx, s, sizeof *s, _Alignof(subscriber));
    unref_and_unlock(events);
}

/* ---- subscribing --------------------------------------------------------------------------- */

brisk_err brisk_events_subscribe(brisk_events *events, const brisk_subscription *subscription,
                                 uint64_t *ret)
{
    BRISK_ASSERT(ret != NULL);
    const brisk_subscription *o = subscription;
    if (o->callback == NULL || (o->types & ~BRISK_EVENT_ALL) != 0 ||
        (o->target != NULL && o->target->post == NULL)) {
        return BRISK_ERR_INVALID;
    }
    const brisk_alloc *alloc = events->alloc;
    subscriber *s = alloc->acquire(alloc->ctx, sizeof *s, _Alignof(subscriber));
    if (s == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *s = (subscriber){
        .events = events,
        .types = o->types != 0 ? o->types : BRISK_EVENT_ALL,
        .callback = o->callback,
        .ctx = o->ctx,
        .queue_max = o->queue_max != 0 ? o->queue_max : BRISK_EVENTS_QUEUE_DEFAULT,
        .refs = 1,
    };
    s->last = &s->first;
    if (o->target != NULL) {
        s->target = *o->target;
    }
    lock(events);
    if (events->count == BRISK_EVENTS_SUBSCRIBERS_MAX) {
        unlock(events);
        alloc->release(alloc->ctx, s, sizeof *s, _Alignof(subscriber));
        return BRISK_ERR_LIMIT;
    }
    s->id = ++events->last_id;
    events->refs++;
    events->subscribers[events->count++] = s;
    *ret = s->id;
    unlock(events);
    return BRISK_OK;
}

static uint32_t times_here(const subscriber *s)
{
    uint32_t times = 0;
    for (uint32_t i = 0; i < here.depth; i++) {
        times += here.in[i] == s ? 1 : 0;
    }
    return times;
}

/* Take number `index` out of the list and wait for its callbacks.  Under the lock, and again after. */
static void end(brisk_events *events, uint32_t index)
{
    subscriber *s = events->subscribers[index];
    events->count--;
    memmove(&events->subscribers[index], &events->subscribers[index + 1],
            (events->count - index) * sizeof(subscriber *));
    s->gone = true;
    (void)clear_queue(s);
    while (s->running > times_here(s)) {
        int failed = pthread_cond_wait(&events->idle, &events->lock);
        BRISK_ASSERT(failed == 0);
    }
    unlock(events);
    release(s);
    lock(events);
}

void brisk_events_unsubscribe(brisk_events *events, uint64_t id)
{
    lock(events);
    for (uint32_t i = 0; i < events->count; i++) {
        if (events->subscribers[i]->id == id) {
            end(events, i);
            break;
        }
    }
    unlock(events);
}

void brisk_events_destroy(brisk_events *events)
{
    if (events == NULL) {
        return;
    }
    BRISK_ASSERT(events != &process);
    lock(events);
    while (events->count > 0) {
        end(events, events->count - 1);
    }
    unref_and_unlock(events);
}

/* ---- delivering ---------------------------------------------------------------------------- */

/* Run the callback unless it was unsubscribed or is nested too deep. */
static bool call(subscriber *s, const brisk_event *event)
{
    brisk_events *events = s->events;
    lock(events);
    bool deep = here.depth == BRISK_EVENTS_DEPTH_MAX;
    bool run = !s->gone && !deep;
    events->dropped += !s->gone && deep ? 1 : 0;
    s->running += run ? 1 : 0;
    unlock(events);
    if (!run) {
        return false;
    }
    here.in[here.depth++] = s;
    s->callback(s->ctx, event);
    here.depth--;
    lock(events);
    s->running--;
    if (s->gone) {
        (void)pthread_cond_broadcast(&events->idle);
    }
    unlock(events);
    return true;
}

static queued *pop(subscriber *s)
{
    lock(s->events);
    queued *item = s->first;
    if (item != NULL) {
        s->first = item->next;
        s->waiting--;
        if (s->first == NULL) {
            s->last = &s->first;
        }
    }
    unlock(s->events);
    return item;
}

static void drain(void *arg);

/* Post a drain; `posted` is set and a reference is held for it. */
static bool post(subscriber *s)
{
    if (s->target.post(s->target.ctx, drain, s)) {
        return true;
    }
    lock(s->events);
    s->events->dropped += clear_queue(s);
    s->posted = false;
    unlock(s->events);
    release(s);
    return false;
}

/* On the target: what waits now, and no more, so that a busy publisher does not keep the target. */
static void drain(void *arg)
{
    subscriber *s = arg;
    lock(s->events);
    uint32_t count = s->waiting;
    unlock(s->events);
    for (uint32_t i = 0; i < count; i++) {
        queued *item = pop(s);
        if (item == NULL) {
            break;
        }
        (void)call(s, &item->event);
        free_queued(s->events->alloc, item);
    }
    lock(s->events);
    bool more = s->first != NULL;
    s->posted = more;
    unlock(s->events);
    if (more) {
        (void)post(s);
    } else {
        release(s);
    }
}

static const char *text_or_empty(const char *text)
{
    return text != NULL ? text : "";
}

static queued *copy_event(const brisk_alloc *alloc, const brisk_event *event)
{
    const char *const texts[] = {event->source, event->name, event->state, event->text,
                                 event->detail};
    enum { TEXTS = sizeof texts / sizeof texts[0] };
    size_t sizes[TEXTS];
    size_t size = sizeof(queued);
    for (size_t i = 0; i < TEXTS; i++) {
        sizes[i] = strlen(texts[i]) + 1;
        size += sizes[i];
    }
    queued *item = alloc->acquire(alloc->ctx, size, _Alignof(queued));
    if (item == NULL) {
        return NULL;
    }
    *item = (queued){.size = size, .event = *event};
    const char **const copies[] = {&item->event.source, &item->event.name, &item->event.state,
                                   &item->event.text, &item->event.detail};
    char *to = item->texts;
    for (size_t i = 0; i < TEXTS; i++) {
        memcpy(to, texts[i], sizes[i]);
        *copies[i] = to;
        to += sizes[i];
    }
    if (event->snapshot != NULL) {
        (void)brisk_snapshot_ref(event->snapshot);
    }
    return item;
}

/* Put a copy into the queue, and see that somebody will look there. */
static bool enqueue(subscriber *s, const brisk_event *event)
{
    brisk_events *events = s->events;
    queued *item = copy_event(events->alloc, event);
    lock(events);
    if (s->gone || item == NULL || s->waiting >= s->queue_max) {
        events->dropped += s->gone ? 0 : 1;
        unlock(events);
        if (item != NULL) {
            free_queued(events->alloc, item);
        }
        return false;
    }
    *s->last = item;
    s->last = &item->next;
    s->waiting++;
    bool first = !s->posted;
    s->posted = true;
    s->refs += first ? 1 : 0; /* the drain's */
    unlock(events);
    return first ? post(s) : true;
}

uint32_t brisk_events_publish(brisk_events *events, const brisk_event *event)
{
    brisk_event shown = *event;
    BRISK_ASSERT((unsigned)event->type <= BRISK_EVENT_OPPORTUNITY);
    shown.source = text_or_empty(shown.source);
    shown.name = text_or_empty(shown.name);
    shown.state = text_or_empty(shown.state);
    shown.text = text_or_empty(shown.text);
    shown.detail = text_or_empty(shown.detail);
    shown.wall_ns = shown.wall_ns != 0 ? shown.wall_ns : brisk_clock_wall_ns(NULL);
    subscriber *wanted[BRISK_EVENTS_SUBSCRIBERS_MAX];
    uint32_t count = 0;
    lock(events);
    for (uint32_t i = 0; i < events->count; i++) {
        subscriber *s = events->subscribers[i];
        if ((s->types & BRISK_EVENT_MASK(event->type)) != 0) {
            s->refs++;
            wanted[count++] = s;
        }
    }
    unlock(events);
    uint32_t told = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool done =
            wanted[i]->target.post != NULL ? enqueue(wanted[i], &shown) : call(wanted[i], &shown);
        told += done ? 1 : 0;
        release(wanted[i]);
    }
    return told;
}

bool brisk_events_wanted(brisk_events *events, brisk_event_type type)
{
    bool wanted = false;
    lock(events);
    for (uint32_t i = 0; i < events->count && !wanted; i++) {
        wanted = (events->subscribers[i]->types & BRISK_EVENT_MASK(type)) != 0;
    }
    unlock(events);
    return wanted;
}

uint64_t brisk_events_dropped(brisk_events *events)
{
    lock(events);
    uint64_t dropped = events->dropped;
    unlock(events);
    return dropped;
}
