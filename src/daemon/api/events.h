/*
 * events.h -- what happens, told to whoever listens: GET /v1/events?topics=metrics,jobs,alerts,log
 *
 *     events_publish ──► each subscriber's queue (bounded) ──loop_post──► its worker ──► SSE
 *
 * Whoever publishes never waits for a subscriber: a queue that is full loses the new event and counts
 * it, and the subscriber is told how many ("event: dropped") before the next one it gets.  An event
 * is one block of bytes, however many read it.
 *
 * Threads: publish and wanted from any; the rest from workers.  Locks: one, a leaf.
 * Source: WHATWG HTML, server-sent events.
 */
#ifndef BRISK_SRC_DAEMON_API_EVENTS_H
#define BRISK_SRC_DAEMON_API_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "daemon/http/routes.h"

typedef struct events_hub events_hub;

typedef enum events_topic {
    EVENTS_METRICS = 1 << 0,
    EVENTS_JOBS = 1 << 1,
    EVENTS_ALERTS = 1 << 2,
    EVENTS_LOG = 1 << 3,
    EVENTS_ALL = 15,
} events_topic;

enum {
    EVENTS_SUBSCRIBERS_MAX = 256,
    EVENTS_QUEUE_MAX = 256,           /* events that wait for a subscriber */
    EVENTS_QUEUE_BYTES_MAX = 1 << 20, /* their bytes */
    EVENTS_BYTES_MAX = 1 << 18,       /* of one; longer ones are not published */
    EVENTS_PING_S = 15, /* a line that says nothing, so that dead connections are found */
};

BRISK_NODISCARD brisk_err events_create(const brisk_alloc *alloc, events_hub **ret);
/* After the workers.  NULL is accepted. */
void events_destroy(events_hub *hub);

/* Does anybody listen?  So that nobody writes JSON for nothing. */
bool events_wanted(const events_hub *hub, events_topic topic);
/*
 * Tell one event: `json` is one line (a newline at its end is not taken).  False: there is no memory, or it
 * is too long; lost events of slow subscribers are not told here.
 */
bool events_publish(events_hub *hub, events_topic topic, const char *json, size_t size);
/* Once a second, of one thread: pings. */
void events_tick(events_hub *hub);

typedef struct events_figures {
    uint64_t subscribers;
    uint64_t published;
    uint64_t dropped;
} events_figures;

events_figures events_read(const events_hub *hub);

/* "metrics,jobs" as topics; 0: there is a word that is none.  "" means all. */
uint32_t events_parse_topics(const char *text);

/*
 * For an exchange that carries events in its own way (websocket.c): `write` gets one at a time, "ping" now and
 * then; false: not before events_resume.  NULL: there is no room.
 */
typedef struct events_subscriber events_subscriber;
typedef bool (*events_write)(exchange *x, const char *event, const char *json, size_t size);
events_subscriber *events_subscribe(events_hub *hub, exchange *x, uint32_t topics,
                                    events_write write);
void events_resume(events_subscriber *s);
void events_unsubscribe(events_subscriber *s);

/* GET /v1/events. */
BRISK_NODISCARD brisk_err api_events_add_routes(http_routes *routes, events_hub *hub);

#endif /* BRISK_SRC_DAEMON_API_EVENTS_H */
