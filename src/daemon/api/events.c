/*
 * events.c -- the hub behind events.h, and its subscribers.
 *
 * A subscriber is an exchange that stays open.  Its queue is filled by any thread under the hub's lock and
 * emptied by its own worker, which was posted to when the queue stopped being empty: one post and one
 * batch of writes for whatever came meanwhile.
 *
 *     state of a subscriber      in list   posted   freed
 *       listening                 yes        any      -
 *       gone, a post under way    no         yes     by the post
 *       gone                      no         no      at once
 *
 * Invariant: hub.wanted is the union of the topics of those in the list.
 */
#include "daemon/api/events.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/api/answer.h"
#include "daemon/api/openapi.h"
#include "daemon/server.h"

enum { FRAME_HEAD_MAX = 64, TOPICS_TEXT_MAX = 128, TOPICS = 4 };

static const char *const topic_names[TOPICS] = {"metrics", "jobs", "alerts", "log"};

/* A frame of SSE, for all who get it. */
typedef struct event {
    _Atomic uint32_t references;
    const char *topic;
    size_t data_at; /* where the JSON begins */
    size_t data_size;
    size_t size;
    size_t room; /* as acquired */
    char text[];
} event;

typedef struct events_subscriber {
    loop_task task; /* first */
    events_hub *hub;
    exchange *x; /* NULL when it is gone */
    struct events_subscriber *next;
    struct events_subscriber *previous;
    events_write write; /* NULL: SSE */
    uint32_t topics;
    bool posted;
    bool choked;  /* its worker's own: wait for writable */
    bool pinging; /* a ping is to be sent */
    uint64_t dropped;
    uint32_t first; /* ring */
    uint32_t count;
    size_t bytes;
    event *queue[EVENTS_QUEUE_MAX];
} subscriber; /* of the hub's list */

struct events_hub {
    const brisk_alloc *alloc;
    pthread_mutex_t lock;
    subscriber *subscribers;
    uint64_t count;
    uint64_t published;
    uint64_t dropped;
    uint64_t next_id;
    uint32_t seconds;
    _Atomic uint32_t wanted;
    http_route route; /* its ctx is the hub */
};

/* --- events ------------------------------------------------------------------------------- */

static void event_unref(events_hub *hub, event *e)
{
    /* Release: what was read of it comes before; acquire: the free comes after. */
    if (atomic_fetch_sub_explicit(&e->references, 1, memory_order_acq_rel) == 1) {
        hub->alloc->release(hub->alloc->ctx, e, e->room, _Alignof(event));
    }
}

static event *event_create(events_hub *hub, uint32_t topic, const char *json, size_t size)
{
    size_t room = sizeof(event) + FRAME_HEAD_MAX + size + 2;
    event *e = hub->alloc->acquire(hub->alloc->ctx, room, _Alignof(event));
    if (e == NULL) {
        return NULL;
    }
    atomic_init(&e->references, 1);
    e->room = room;
    int head = snprintf(e->text, FRAME_HEAD_MAX,
                        "id: %llu\nevent: %s\ndata: ", (unsigned long long)hub->next_id,
                        topic_names[__builtin_ctz(topic)]);
    BRISK_ASSERT(head > 0 && head < FRAME_HEAD_MAX);
    e->topic = topic_names[__builtin_ctz(topic)];
    e->data_at = (size_t)head;
    e->data_size = size;
    memcpy(e->text + head, json, size);
    memcpy(e->text + head + size, "\n\n", 2);
    e->size = (size_t)head + size + 2;
    return e;
}

/* --- publishing --------------------------------------------------------------------------- */

/* Under the lock. */
static void post(subscriber *s)
{
    if (!s->posted) {
        s->posted = true;
        loop_post(&s->x->worker->loop, &s->task);
    }
}

static void offer(events_hub *hub, subscriber *s, event *e)
{
    if (s->count == EVENTS_QUEUE_MAX || s->bytes + e->size > EVENTS_QUEUE_BYTES_MAX) {
        s->dropped++;
        hub->dropped++;
        return;
    }
    (void)atomic_fetch_add_explicit(&e->references, 1, memory_order_relaxed);
    s->queue[(s->first + s->count) % EVENTS_QUEUE_MAX] = e;
    s->count++;
    s->bytes += e->size;
    post(s);
}

bool events_wanted(const events_hub *hub, events_topic topic)
{
    /* Relaxed: whoever begins to listen at this moment hears the next one. */
    return (atomic_load_explicit(&hub->wanted, memory_order_relaxed) & (uint32_t)topic) != 0;
}

bool events_publish(events_hub *hub, events_topic topic, const char *json, size_t size)
{
    if (!events_wanted(hub, topic)) {
        return true;
    }
    while (size > 0 && json[size - 1] == '\n') {
        size--;
    }
    if (size > EVENTS_BYTES_MAX || memchr(json, '\n', size) != NULL ||
        memchr(json, '\r', size) != NULL) {
        return false;
    }
    (void)pthread_mutex_lock(&hub->lock);
    event *e = event_create(hub, (uint32_t)topic, json, size);
    if (e != NULL) {
        hub->next_id++;
        hub->published++;
        for (subscriber *s = hub->subscribers; s != NULL; s = s->next) {
            if ((s->topics & (uint32_t)topic) != 0) {
                offer(hub, s, e);
            }
        }
    }
    (void)pthread_mutex_unlock(&hub->lock);
    if (e != NULL) {
        event_unref(hub, e);
    }
    return e != NULL;
}

void events_tick(events_hub *hub)
{
    (void)pthread_mutex_lock(&hub->lock);
    if (++hub->seconds % EVENTS_PING_S == 0) {
        for (subscriber *s = hub->subscribers; s != NULL; s = s->next) {
            s->pinging = true;
            post(s);
        }
    }
    (void)pthread_mutex_unlock(&hub->lock);
}

events_figures events_read(const events_hub *hub)
{
    events_hub *h = (events_hub *)(uintptr_t)hub; /* its lock changes, nothing else */
    (void)pthread_mutex_lock(&h->lock);
    events_figures figures = {h->count, h->published, h->dropped};
    (void)pthread_mutex_unlock(&h->lock);
    return figures;
}

/* --- subscribers: their worker's thread --------------------------------------------------- */

static void renew_wanted(events_hub *hub)
{
    uint32_t wanted = 0;
    for (const subscriber *s = hub->subscribers; s != NULL; s = s->next) {
        wanted |= s->topics;
    }
    atomic_store_explicit(&hub->wanted, wanted, memory_order_relaxed);
}

static void free_subscriber(subscriber *s)
{
    events_hub *hub = s->hub;
    for (uint32_t i = 0; i < s->count; i++) {
        event_unref(hub, s->queue[(s->first + i) % EVENTS_QUEUE_MAX]);
    }
    hub->alloc->release(hub->alloc->ctx, s, sizeof *s, _Alignof(subscriber));
}

/* The next thing to send; false: there is none. */
static bool take(subscriber *s, event **e, uint64_t *dropped, bool *ping)
{
    events_hub *hub = s->hub;
    (void)pthread_mutex_lock(&hub->lock);
    *e = NULL;
    *dropped = s->dropped;
    *ping = s->pinging;
    s->dropped = 0;
    s->pinging = false;
    if (s->count > 0) {
        *e = s->queue[s->first];
        s->first = (s->first + 1) % EVENTS_QUEUE_MAX;
        s->count--;
        s->bytes -= (*e)->size;
    }
    (void)pthread_mutex_unlock(&hub->lock);
    return *e != NULL || *dropped != 0 || *ping;
}

/* One event as SSE, or in the subscriber's own way; false: wait until it is writable. */
static bool send(const subscriber *s, const event *e)
{
    return s->write != NULL ? s->write(s->x, e->topic, e->text + e->data_at, e->data_size)
                            : exchange_write(s->x, e->text, e->size);
}

static bool send_dropped(const subscriber *s, uint64_t dropped)
{
    char text[96];
    int size = snprintf(text, sizeof text, "event: dropped\ndata: {\"count\":%llu}\n\n",
                        (unsigned long long)dropped);
    if (s->write == NULL) {
        return exchange_write(s->x, text, (size_t)size);
    }
    static const size_t head = sizeof "event: dropped\ndata: " - 1;
    return s->write(s->x, "dropped", text + head, (size_t)size - head - 2);
}

static bool send_ping(const subscriber *s)
{
    return s->write != NULL ? s->write(s->x, "ping", "", 0) : exchange_write(s->x, ": \n\n", 4);
}

static void send_all(subscriber *s)
{
    event *e;
    uint64_t dropped;
    bool ping;
    while (!s->choked && s->x != NULL && take(s, &e, &dropped, &ping)) {
        bool open = !ping || send_ping(s);
        if (dropped != 0) {
            open = send_dropped(s, dropped) && open;
        }
        if (e != NULL) {
            open = send(s, e) && open;
            event_unref(s->hub, e);
        }
        s->choked = !open;
    }
}

static void run_task(loop_task *task)
{
    subscriber *s = (subscriber *)task;
    events_hub *hub = s->hub;
    (void)pthread_mutex_lock(&hub->lock);
    s->posted = false;
    bool gone = s->x == NULL;
    (void)pthread_mutex_unlock(&hub->lock);
    if (gone) {
        free_subscriber(s);
    } else {
        send_all(s);
    }
}

static bool enlist(events_hub *hub, subscriber *s)
{
    (void)pthread_mutex_lock(&hub->lock);
    bool room = hub->count < EVENTS_SUBSCRIBERS_MAX;
    if (room) {
        hub->count++;
        s->next = hub->subscribers;
        if (s->next != NULL) {
            s->next->previous = s;
        }
        hub->subscribers = s;
        renew_wanted(hub);
    }
    (void)pthread_mutex_unlock(&hub->lock);
    return room;
}

void events_unsubscribe(events_subscriber *s)
{
    events_hub *hub = s->hub;
    (void)pthread_mutex_lock(&hub->lock);
    if (s->previous != NULL) {
        s->previous->next = s->next;
    } else {
        hub->subscribers = s->next;
    }
    if (s->next != NULL) {
        s->next->previous = s->previous;
    }
    hub->count--;
    renew_wanted(hub);
    s->x = NULL;
    bool posted = s->posted;
    (void)pthread_mutex_unlock(&hub->lock);
    if (!posted) {
        free_subscriber(s);
    }
}

void events_resume(events_subscriber *s)
{
    s->choked = false;
    send_all(s);
}

events_subscriber *events_subscribe(events_hub *hub, exchange *x, uint32_t topics,
                                    events_write write)
{
    subscriber *s = hub->alloc->acquire(hub->alloc->ctx, sizeof *s, _Alignof(subscriber));
    if (s == NULL) {
        return NULL;
    }
    memset(s, 0, sizeof *s);
    s->task.run = run_task;
    s->hub = hub;
    s->x = x;
    s->topics = topics;
    s->write = write;
    if (!enlist(hub, s)) {
        hub->alloc->release(hub->alloc->ctx, s, sizeof *s, _Alignof(subscriber));
        return NULL;
    }
    return s;
}

static void gone(exchange *x)
{
    subscriber *s = x->handler;
    if (s != NULL) {
        x->handler = NULL;
        events_unsubscribe(s);
    }
}

static void writable(exchange *x)
{
    subscriber *s = x->handler;
    if (s != NULL) {
        s->choked = false;
        send_all(s);
    }
}

uint32_t events_parse_topics(const char *text)
{
    uint32_t topics = 0;
    while (*text != '\0') {
        size_t size = strcspn(text, ",");
        uint32_t found = 0;
        for (uint32_t i = 0; i < TOPICS; i++) {
            if (strlen(topic_names[i]) == size && memcmp(topic_names[i], text, size) == 0) {
                found = 1u << i;
            }
        }
        if (found == 0) {
            return 0;
        }
        topics |= found;
        text += size;
        text += *text == ',' ? 1 : 0;
    }
    return topics != 0 ? topics : (uint32_t)EVENTS_ALL;
}

static void start(exchange *x)
{
    static const char hello[] = "retry: 2000\n\n";
    static const http_field fields[] = {
        API_FIELD("content-type", "text/event-stream"), API_FIELD("cache-control", "no-store"),
        API_FIELD("x-accel-buffering", "no"), /* a proxy in between passes it on at once */
    };
    http_answer answer = {
        .status = 200, .fields = fields, .field_count = 3, .length = HTTP_LENGTH_UNKNOWN};
    exchange_start(x, &answer);
    subscriber *s = x->handler;
    if (!exchange_write(x, hello, sizeof hello - 1) && s != NULL) {
        s->choked = true;
    }
}

static void begin(exchange *x)
{
    events_hub *hub = x->route->ctx;
    char text[TOPICS_TEXT_MAX];
    if (x->rest.size != 0) {
        api_fail(x, 404, "not_found", "there is nothing at this path");
        return;
    }
    if (!api_query_text(x, "topics", text, sizeof text)) {
        return;
    }
    uint32_t topics = events_parse_topics(text);
    if (topics == 0) {
        api_fail(x, 400, "invalid", "topics are metrics, jobs, alerts and log");
        return;
    }
    if (x->method == HTTP_HEAD) {
        api_answer_empty(x, 204);
        return;
    }
    subscriber *s = hub->alloc->acquire(hub->alloc->ctx, sizeof *s, _Alignof(subscriber));
    if (s == NULL) {
        api_fail_err(x, BRISK_ERR_NOMEM, "events");
        return;
    }
    memset(s, 0, sizeof *s);
    s->task.run = run_task;
    s->hub = hub;
    s->x = x;
    s->topics = topics;
    if (!enlist(hub, s)) {
        hub->alloc->release(hub->alloc->ctx, s, sizeof *s, _Alignof(subscriber));
        api_fail(x, 503, "busy", "%d others listen already", EVENTS_SUBSCRIBERS_MAX);
        return;
    }
    x->handler = s;
    start(x);
}

/* --- life --------------------------------------------------------------------------------- */

brisk_err events_create(const brisk_alloc *alloc, events_hub **ret)
{
    events_hub *hub = alloc->acquire(alloc->ctx, sizeof *hub, _Alignof(events_hub));
    if (hub == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(hub, 0, sizeof *hub);
    hub->alloc = alloc;
    hub->next_id = 1;
    hub->route = (http_route){
        .name = "api.events",
        .methods = HTTP_GET,
        .right = HTTP_RIGHT_READ,
        .right_change = HTTP_RIGHT_CHANGE,
        .priority = {.urgency = 4, .incremental = true},
        .begin = begin,
        .writable = writable,
        .gone = gone,
        .ctx = hub,
    };
    int failed = pthread_mutex_init(&hub->lock, NULL);
    BRISK_ASSERT(failed == 0);
    *ret = hub;
    return BRISK_OK;
}

void events_destroy(events_hub *hub)
{
    if (hub != NULL) {
        BRISK_ASSERT(hub->subscribers == NULL);
        (void)pthread_mutex_destroy(&hub->lock);
        hub->alloc->release(hub->alloc->ctx, hub, sizeof *hub, _Alignof(events_hub));
    }
}

brisk_err api_events_add_routes(http_routes *routes, events_hub *hub)
{
    return http_routes_add(routes, "", "/v1/events", &hub->route);
}

/* --- what it is --------------------------------------------------------------------------- */

static const api_parameter parameters[] = {
    {"topics", "query", API_TEXT,
     "metrics, jobs, alerts, log, separated by commas; all when there is none", false},
};

static const api_response responses[] = {
    {200,
     "Server-sent events: each is one JSON object; 'dropped' says how many a slow reader missed. "
     "metrics: a Sample "
     "with grades (as /v1/grades), once a second; jobs: a job came, began or ended; alerts; log: "
     "time_s, level, area, "
     "message, lost, of what is logged while somebody listens",
     "text/event-stream", NULL},
};

static const api_operation operations[] = {
    {.method = "get",
     .path = "/v1/events",
     .id = "listen",
     .summary = "Listen to what happens",
     .right = HTTP_RIGHT_READ,
     .parameters = parameters,
     .parameter_count = 1,
     .responses = responses,
     .response_count = 1},
};

const api_set api_events_set = {.tag = "events",
                                .summary = "What happens, as it happens",
                                .operations = operations,
                                .operation_count = 1};
