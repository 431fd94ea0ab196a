/*
 * tier_redis_mirror.h -- the parts of tier_redis_events: state, mirror, messages, reading it all.
 *
 * tier_redis_events.c has the thread and bumps, tier_redis_mirror.c the mirror and what is heard,
 * tier_redis_reload.c the reading of all counters.
 */
#ifndef BRISK_SRC_ENGINE_TIER_REDIS_MIRROR_H
#define BRISK_SRC_ENGINE_TIER_REDIS_MIRROR_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/thread.h"
#include "base/vec.h"
#include "engine/tier_redis_events.h"

enum {
    COUNTER_ERA = BRISK_GENERATION_ERA,
    COUNTER_CLEAR,
    COUNTERS,
    REDIS_NAME_MAX = 80,
    REDIS_WHO_BYTES = 16,
    REDIS_COUNTER_TEXT = 24,
};

typedef enum events_state {
    EVENTS_STARTING = 0, /* the first try is under way */
    EVENTS_SYNCED,
    EVENTS_LOST, /* `why` */
    EVENTS_UNSUPPORTED,
} events_state;

typedef struct redis_prefix {
    uint64_t hash;
    uint64_t number; /* of the bump */
    uint32_t size;
    uint16_t era;
} redis_prefix;

struct redis_events {
    const brisk_alloc *alloc;
    redis_router *router;
    uint64_t timeout_ns;
    char gen[REDIS_NAME_MAX];
    char log[REDIS_NAME_MAX];
    char pre[REDIS_NAME_MAX];
    char keys[REDIS_NAME_MAX];
    char channel[REDIS_NAME_MAX];
    char who[REDIS_WHO_BYTES + 1];
    _Atomic uint64_t *counters; /* COUNTERS of them, mapped: untouched ones cost nothing */
    _Atomic uint64_t synced_ns; /* when Redis last agreed; 0: not in sync */
    _Atomic uint64_t heard;
    _Atomic uint64_t told;
    _Atomic uint64_t losses;
    _Atomic uint64_t reloads;
    _Atomic uint64_t garbage;
    brisk_thread thread;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t changed;
    bool stop;
    events_state state;
    brisk_err why;
    redis_link *link;          /* of the thread, so that stop can break it */
    uint64_t base;             /* all bumps up to this number are known */
    BRISK_VEC(uint64_t) ahead; /* those above it, behind a gap; in order */
    uint64_t known;            /* the highest number of a bump that we know of */
    BRISK_VEC(redis_prefix) prefixes;
    pthread_mutex_t tell_lock; /* what follows */
    brisk_bump_fn fn;
    void *fn_ctx;
    uint64_t told_to;  /* the listener knows of all bumps up to this number */
    uint64_t numbered; /* the last number told for itself */
    bool behind;       /* ... and has to be told those after it from the logs */
};

void redis_events_lock(redis_events *events);
void redis_events_unlock(redis_events *events);
bool redis_events_stopping(redis_events *events);
/* Tell the listener, unless it was told of that number before (prefixes: always). */
void redis_events_tell(redis_events *events, const brisk_bump *bump);

uint64_t redis_mirror_read(const redis_events *events, uint32_t index);
/* Values only grow.  True: it did. */
bool redis_mirror_raise(redis_events *events, uint32_t index, uint64_t value);
/* False: it was known with that era or a later one. */
bool redis_mirror_prefix(redis_events *events, const redis_prefix *prefix);
void redis_mirror_forget(redis_events *events); /* all prefixes */
brisk_bump redis_bump_of(const redis_prefix *prefix);
/* This bump is known. */
void redis_events_count(redis_events *events, uint64_t number);
/* All up to this number are: they were read.  `anew`: Redis has lost some, and numbers come again. */
void redis_events_count_to(redis_events *events, uint64_t number, bool anew);

/* The next word of a text as a number; *text moves behind it and the blank. */
bool redis_take_number(resp_bytes *text, int base, uint64_t *ret);
/* A message: "<who> S ...". */
void redis_events_hear(redis_events *events, resp_bytes text);

/* Write a bump into a log: its member gets the number, unless it has a higher one. */
BRISK_NODISCARD brisk_err redis_events_log(redis_events *events, const char *log, resp_bytes member,
                                           uint64_t number);
/* Requests of our own: an op for `key` of ours, and its deadline. */
void redis_events_prepare(redis_events *events, redis_op *op, const redis_words *words,
                          const char *key);
uint64_t redis_events_deadline(const redis_events *events);
void redis_counter_name(uint32_t index, char name[REDIS_COUNTER_TEXT]);
/* v[0]: the number of all bumps, v[1]: of clears; 0 where there is none yet. */
BRISK_NODISCARD brisk_err redis_events_ask(redis_events *events, uint64_t v[2]);
/* Bring the mirror and Redis to the higher of both, and tell the listener what it missed. */
BRISK_NODISCARD brisk_err redis_events_reload(redis_events *events);
/* Tell the listener what is in the logs and it does not know yet; `v` was asked for before. */
BRISK_NODISCARD brisk_err redis_events_catch_up(redis_events *events, uint64_t v);

#endif /* BRISK_SRC_ENGINE_TIER_REDIS_MIRROR_H */
