/*
 * brisk/flight.h -- one computation per key: who comes second waits for the first.
 *
 *     enter ─► LEAD      compute; publish (everybody who waits gets the answer), store it, land
 *           ─► WAITING   on_event is called later: ANSWERED, LEAD (the leader gave up), LATE, LEFT
 *           ─► ANSWERED  the answer is known and just being stored: it was copied
 *           ─► LANDED    somebody stored an answer since the lookup: look again
 *           ─► ALONE     it must not wait: compute beside the leader
 *           ─► CYCLE     the leader (or whom it waits for) waits for this thread
 *
 * Nobody needs a thread to wait: a participant is a struct in its owner's memory, with callbacks.
 * What an answer is, its owner decides: `copy` takes it from the leader's struct, of which
 * brisk_flight is a member.
 *
 * A leader may be queued: it leads, but no thread has begun.  A thread that enters then takes its
 * place instead of waiting for something that may stand behind it in a queue.
 *
 * Threads: any.  `copy` and `may_wait` run under the table's lock and call nothing of this header;
 * `on_event` runs without it, and may free the struct.
 */
#ifndef BRISK_FLIGHT_H
#define BRISK_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/clock.h>
#include <brisk/err.h>
#include <brisk/hash.h>

BRISK_BEGIN_DECLS

typedef struct brisk_flights brisk_flights;
typedef struct brisk_flight brisk_flight;

typedef struct brisk_flights_opts {
    uint32_t buckets;         /**< Power of two up to 2^20; 0 means 64. */
    const brisk_clock *clock; /**< Of deadlines.  Borrowed; NULL means the system's. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_flights_opts;

typedef enum brisk_flight_join {
    BRISK_FLIGHT_JOIN_LEAD = 0,
    BRISK_FLIGHT_JOIN_WAITING,
    BRISK_FLIGHT_JOIN_ANSWERED,
    BRISK_FLIGHT_JOIN_LANDED,
    BRISK_FLIGHT_JOIN_ALONE,
    BRISK_FLIGHT_JOIN_CYCLE,
} brisk_flight_join;

typedef enum brisk_flight_event {
    BRISK_FLIGHT_ANSWERED = 0, /**< `copy` was called for it. */
    BRISK_FLIGHT_LEAD,         /**< The leader gave up; this one leads now. */
    BRISK_FLIGHT_LATE,         /**< Its deadline passed. */
    BRISK_FLIGHT_LEFT,         /**< brisk_flight_leave. */
} brisk_flight_event;

/** Somebody who wants the answer.  Zeroed, then the first part set; stays where it is until it is
 *  out of the table. */
struct brisk_flight {
    brisk_key key;        /**< The bytes too stay as they are. */
    uint64_t deadline_ns; /**< Of its waiting, on the table's clock; 0 means none. */
    bool blocks;          /**< The thread that enters waits, or computes, itself. */
    bool queued;          /**< If it leads, somebody calls brisk_flight_begin later. */
    void (*copy)(brisk_flight *self, const brisk_flight *leader);
    void (*on_event)(brisk_flight *self, brisk_flight_event event);
    /** Asked when it would have to wait; NULL means that it may. */
    bool (*may_wait)(brisk_flight *self);

    brisk_flight *leader_; /* whom it waits for */
    brisk_flight *prev_, *next_;
    brisk_flight *first_, *last_; /* who waits for it, in order of arrival */
    struct brisk_flight_thread *thread_;
    uint8_t state_;
};

/** Errors: INVALID, NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_flights_create(const brisk_flights_opts *opts,
                                                         brisk_flights **ret);
/** Nobody may be in it any more.  NULL is accepted. */
BRISK_API void brisk_flights_destroy(brisk_flights *flights);
/** How often an answer under this key's bucket was stored: read before the lookup, given to enter. */
BRISK_API uint64_t brisk_flight_landed(const brisk_flights *flights, const brisk_key *key);
/** See above.  After WAITING, `flight` may be gone before this returns. */
BRISK_API brisk_flight_join brisk_flight_enter(brisk_flights *flights, brisk_flight *flight,
                                               uint64_t landed);
/** Lead unless somebody does; never waits. */
BRISK_API bool brisk_flight_try_lead(brisk_flights *flights, brisk_flight *flight);
/** A queued leader begins, on this thread.  False: another took its place, and it is out. */
BRISK_API bool brisk_flight_begin(brisk_flights *flights, brisk_flight *flight);
/**
 * The leader's answer is there: it goes to everybody who waits, and to who enters until land.
 * False: brisk_flight_outdate was called meanwhile; the answer must not be stored.
 */
BRISK_API bool brisk_flight_publish(brisk_flights *flights, brisk_flight *flight);
/** The published answer is stored, or will not be; the leader is out. */
BRISK_API void brisk_flight_land(brisk_flights *flights, brisk_flight *flight);
/** The leader gives up and is out; the first who waits leads.  Of others nothing happens. */
BRISK_API void brisk_flight_abandon(brisk_flights *flights, brisk_flight *flight);
/** Who waits is out, and told so (LEFT).  False: it did not wait (any more). */
BRISK_API bool brisk_flight_leave(brisk_flights *flights, brisk_flight *flight);
/**
 * What is being computed for `key` counts for those who wait already, and for nobody else: it will
 * not be stored, and who enters from now on begins anew.  An answer that is just being stored is
 * waited for.  Not from `copy`, `may_wait`, nor between publish and land of the same key.
 */
BRISK_API void brisk_flight_outdate(brisk_flights *flights, const brisk_key *key);
/** Likewise for every key. */
BRISK_API void brisk_flight_outdate_all(brisk_flights *flights);
/** Participants who wait now. */
BRISK_API uint32_t brisk_flights_waiting(brisk_flights *flights);

BRISK_END_DECLS

#endif /* BRISK_FLIGHT_H */
