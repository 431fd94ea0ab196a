/*
 * tier_redis_events.h -- what all machines that share a Redis know of each other's changes.
 *
 *     <prefix>!gen   a hash of counters: one for each generation slot that was ever bumped, the
 *                    number of prefixes ("1048576"), of clears ("clear"), of all bumps ("v")
 *     <prefix>!log   and !pre, !keys: which slots, prefixes and keys, by number of the bump
 *     <prefix>!inv   the channel: "<who> <kind> <numbers>"
 *
 * A bump (a key that changed is one, too) counts up in Redis and so gets its number, then goes into
 * a log, then to the channel.  A thread of ours listens there and keeps a mirror of the counters.
 * Every 250 ms it asks for the number of all bumps: if it has not heard of as many twice in a row,
 * it reads counters and logs again.  So the mirror is at most that old; when Redis has not answered
 * for a second, it says nothing any more.
 *
 * After the connection was lost, and for a listener that was away, the logs tell what was missed
 * since a number.  Where Redis has lost its counters (an old snapshot, an empty one), those who
 * still know them put them back, higher, and everything is outdated.
 *
 * Messages are not sealed: who forges one makes misses, nothing else.
 *
 * Threads: any.  Locks: `lock` (state, waiting), `tell_lock` (around the listener's function).
 */
#ifndef BRISK_SRC_ENGINE_TIER_REDIS_EVENTS_H
#define BRISK_SRC_ENGINE_TIER_REDIS_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/cache.h>

#include "engine/tier_redis_route.h"

typedef struct redis_events redis_events;

typedef struct redis_events_opts {
    redis_router *router; /* borrowed */
    const char *prefix;
    uint64_t timeout_ns;
    const brisk_alloc *alloc;
} redis_events_opts;

typedef struct redis_events_stats {
    uint64_t heard;  /* messages of others */
    uint64_t told;   /* messages of ours */
    uint64_t losses; /* connections lost, after they were there */
    uint64_t reloads;
    uint64_t garbage;
} redis_events_stats;

/* Starts the thread.  Errors: NOMEM, LIMIT. */
BRISK_NODISCARD brisk_err redis_events_start(const redis_events_opts *opts, redis_events **ret);
void redis_events_stop(redis_events *events); /* NULL is accepted */

/* Whether the mirror is right to within a second. */
bool redis_events_in_sync(const redis_events *events);
/* Wait for the first try, at most until the deadline.  UNSUPPORTED: the server cannot; otherwise
 * why the connection is lost. */
BRISK_NODISCARD brisk_err redis_events_wait(redis_events *events, uint64_t deadline_ns);
uint64_t redis_events_clears(const redis_events *events);
BRISK_NODISCARD brisk_err redis_events_generations(const redis_events *events,
                                                   const uint32_t *slots, uint32_t count,
                                                   uint64_t *ret);
BRISK_NODISCARD brisk_err redis_events_bump(redis_events *events, const brisk_bump *bump);
/* Tell the others that a key has changed. */
BRISK_NODISCARD brisk_err redis_events_tell_key(redis_events *events, const brisk_key *key);
/* The same in two steps: an op that gets the number of the change, which may be asked together with
 * the change itself, then telling. */
void redis_events_number(redis_events *events, redis_op *op, redis_words *words);
BRISK_NODISCARD brisk_err redis_events_tell_numbered(redis_events *events, const brisk_key *key,
                                                     const redis_op *numbered);
/* As brisk_tier_ops.listen.  A SLOT with BRISK_GENERATION_SLOTS is told for its number alone. */
void redis_events_listen(redis_events *events, brisk_bump_fn fn, void *ctx, uint64_t since);
void redis_events_read_stats(const redis_events *events, redis_events_stats *ret);

#endif /* BRISK_SRC_ENGINE_TIER_REDIS_EVENTS_H */
