/*
 * brisk/events.h -- what happened, told to whoever subscribed: metrics updates, degradations, alerts,
 * opportunities.
 *
 * A callback runs on the publisher's thread before publish returns, or, when the subscription names a
 * post target (an event loop, a thread), there: the event is copied and waits in the subscription's
 * queue of at most `queue_max`; what does not fit is dropped and counted, the publisher never waits.
 *
 * Threads: every function from any thread, callbacks included.  A callback runs without a lock held; one
 * that publishes in turn is fine up to BRISK_EVENTS_DEPTH_MAX levels, deeper ones are dropped.
 */
#ifndef BRISK_EVENTS_H
#define BRISK_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>
#include <brisk/metrics.h>

BRISK_BEGIN_DECLS

enum {
    BRISK_EVENTS_SUBSCRIBERS_MAX = 64,
    BRISK_EVENTS_QUEUE_DEFAULT = 256,
    BRISK_EVENTS_DEPTH_MAX = 4,
};

typedef enum brisk_event_type {
    BRISK_EVENT_METRICS = 0, /**< New figures: `snapshot`. */
    BRISK_EVENT_DEGRADATION, /**< Something became slower or worse; not yet, or no, alert. */
    BRISK_EVENT_ALERT,       /**< A budget's alert changed its state: `state`. */
    BRISK_EVENT_OPPORTUNITY, /**< Something could be made better. */
} brisk_event_type;

/** Sets of types for subscriptions. */
#define BRISK_EVENT_MASK(type) (1u << (type))
#define BRISK_EVENT_ALL        0xfu

typedef enum brisk_severity {
    BRISK_SEVERITY_INFO = 0,
    BRISK_SEVERITY_WARNING,
    BRISK_SEVERITY_CRITICAL,
} brisk_severity;

/** Static storage: "metrics", "degradation" ...; "info", "warning", "critical". */
BRISK_API const char *brisk_event_type_name(brisk_event_type type);
BRISK_API const char *brisk_severity_name(brisk_severity severity);

/** Texts may be NULL and are read as "" then; a callback never sees NULL.  Valid during the callback. */
typedef struct brisk_event {
    brisk_event_type type;
    brisk_severity severity;
    uint64_t wall_ns;         /**< Nanoseconds since 1970; 0: publish fills it in. */
    const char *source;       /**< Who says so: "budget", "history", "cache". */
    const char *name;         /**< What it is about: the metric, the alert, the opportunity's id. */
    const char *state;        /**< ALERT: "firing", "resolved". */
    const char *text;         /**< One line for people. */
    const char *detail;       /**< A JSON object with the evidence; "" when there is none. */
    double value;             /**< Observed; NaN when it is no number. */
    double limit;             /**< What it was held against; likewise. */
    brisk_snapshot *snapshot; /**< METRICS; NULL otherwise.  Take a reference to keep it. */
} brisk_event;

typedef void (*brisk_event_callback)(void *ctx, const brisk_event *event);

/** Where callbacks shall run.  `post` makes `run(arg)` happen there, once; false: it cannot. */
typedef struct brisk_event_target {
    bool (*post)(void *ctx, void (*run)(void *arg), void *arg);
    void *ctx;
} brisk_event_target;

typedef struct brisk_events brisk_events;

/** The process's own: always there, never destroyed. */
BRISK_API brisk_events *brisk_events_default(void);
/** `alloc` NULL means libc.  Errors: NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_events_create(const brisk_alloc *alloc,
                                                        brisk_events **ret);
/** Ends all subscriptions; runs posted later do nothing.  NULL is accepted. */
BRISK_API void brisk_events_destroy(brisk_events *events);

typedef struct brisk_subscription {
    uint32_t types; /**< BRISK_EVENT_MASK(...) | ...; 0 means BRISK_EVENT_ALL. */
    brisk_event_callback callback;
    void *ctx;
    const brisk_event_target *target; /**< Copied; NULL: the publisher's thread. */
    uint32_t queue_max;               /**< With a target; 0 means BRISK_EVENTS_QUEUE_DEFAULT. */
} brisk_subscription;

/** *ret is never 0.  Errors: INVALID, LIMIT, NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_events_subscribe(brisk_events *events,
                                                           const brisk_subscription *subscription,
                                                           uint64_t *ret);
/**
 * Afterwards the callback does not run and will not; waits for one that runs elsewhere (from the callback
 * itself it does not wait).  What was queued is forgotten.  An unknown id is ignored.
 */
BRISK_API void brisk_events_unsubscribe(brisk_events *events, uint64_t id);

/** Tell everybody; gives the number of callbacks called and events queued. */
BRISK_API uint32_t brisk_events_publish(brisk_events *events, const brisk_event *event);
/** Is anybody interested?  So that an event nobody wants need not be made. */
BRISK_API bool brisk_events_wanted(brisk_events *events, brisk_event_type type);
/** Events that found a full queue, no memory, no target, or were nested too deep. */
BRISK_API uint64_t brisk_events_dropped(brisk_events *events);

BRISK_END_DECLS

#endif /* BRISK_EVENTS_H */
