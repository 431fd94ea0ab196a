/*
 * flight.h -- what flight.c (who leads) and follow.c (who is fed meanwhile) share.
 *
 * proxy.lock guards a flight, and of transits that wait: `flight`, `waits`, `fed`, `posted`.
 */
#ifndef BRISK_SRC_DAEMON_PROXY_FLIGHT_H
#define BRISK_SRC_DAEMON_PROXY_FLIGHT_H

#include "daemon/proxy/transit.h"

struct flight {
    flight *next; /* of its bucket */
    flight **bucket;
    transit *leader;
    transit *waiters;
    brisk_hash128 variant; /* if it is `varied` */
    bool varied;
    bool spoiled;       /* what it brings is outdated */
    bool landed;        /* its answer is on its way into the tiers: who joins now judges it then */
    bool sized;         /* the answer says how long it is */
    _Atomic bool held;  /* the leader waits for followers that lag */
    brisk_value *front; /* the entry, or its head alone; NULL: nothing is fed */
    tape_piece *first;  /* the body, from its start */
    size_t url_size;
    char url[]; /* its key: a hash that clients can choose is no proof that two are the same */
};

static inline void flight_lock(proxy *p)
{
    (void)pthread_mutex_lock(&p->lock);
}

static inline void flight_unlock(proxy *p)
{
    (void)pthread_mutex_unlock(&p->lock);
}

/* Does the client want what comes just as it comes? */
bool flight_wants_all(const transit *t);
/* Is what the leader got for `variant` the answer to this request, too?  Sets the variant's key. */
bool flight_is_shared(transit *t, const entry *e, brisk_hash128 variant);

/* --- follow.c ------------------------------------------------------------------------------ */

/* What the leader stores may be read from here on. */
void follow_open(transit *leader, bool sized);
/* There is more; under the lock. */
void follow_tell(flight *f);
/* How many follow, and how far the last of them is behind `filled` bytes. */
uint32_t follow_count(transit *leader, uint64_t filled, uint64_t *lag);
/* Of what is not kept no more is read than clients take: stop or go on. */
void follow_pace(transit *leader);
/* Who was waited for moved on, or left; under the lock. */
void follow_release(flight *f);
/* `t` leads a new one; under the lock. */
void follow_lead(transit *t);
/* `t` joined a flight that is under way; under the lock. */
void follow_board(transit *t);
/* The flight is over, well or not: for one that is fed.  False: it is not. */
bool follow_end(transit *t, bool well);
/* Give its bytes to the client; for who leads, too. */
void follow_on(transit *t);

#endif /* BRISK_SRC_DAEMON_PROXY_FLIGHT_H */
