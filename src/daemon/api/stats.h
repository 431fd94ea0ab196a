/*
 * stats.h -- the node's figures over time, for the dashboard, health and events.
 *
 * Once a second the registry is looked at and what happened since the last look becomes a sample; the last STATS_SAMPLES of
 * them are kept.  Rates, shares and percentiles are of that second alone.  Beside them there are samples of a minute, of 5
 * and of 30 minutes, each of all that happened in its time; a month of them is kept, in a file (stats_file.h) that outlives
 * the process.
 *
 * Threads: take, finish, each by the background's thread; last, sum by any.  Locks: one, a leaf.
 */
#ifndef BRISK_SRC_DAEMON_API_STATS_H
#define BRISK_SRC_DAEMON_API_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>
#include <brisk/json.h>

typedef struct server server;
typedef struct stats_ring stats_ring;

enum {
    STATS_SAMPLES = 900,
    STATS_LEVELS = 4,
    STATS_SLOTS = 360 + 600 + 1488, /* of the levels above the seconds */
    STATS_EVERY_S = 10,             /* by default unfinished samples are renewed so often */
    STATS_TIERS_MAX = 6,
    STATS_TIER_NAME_MAX = 16,
    STATS_PROTOCOLS = 5,
    STATS_LOOPS_MAX = 16
};

typedef struct stats_tier {
    char name[STATS_TIER_NAME_MAX]; /* "memory", "disk"; the engine's as "engine.memory" */
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions;
    uint64_t expired;
    uint64_t errors;
    uint64_t entries; /* now */
    uint64_t bytes;   /* now */
    uint64_t bytes_max;
    bool down; /* it is not asked: its breaker is open, or it is off */
} stats_tier;

typedef struct stats_times {
    uint64_t count;
    uint64_t p50_ns;
    uint64_t p95_ns;
    uint64_t p99_ns;
    uint64_t p999_ns;
} stats_times;

/* Of the keys that jobs ask for (cache.predict.enabled); since the start: what is guessed in one second is judged in
 * another. */
typedef struct stats_prediction {
    uint64_t guesses;
    uint64_t right;
    uint64_t loads; /* brought ahead of being asked for */
    uint64_t used;  /* ... and asked for then */
} stats_prediction;

/* One second. */
typedef struct stats_sample {
    uint64_t wall_ns;  /* at its end; 0: none */
    uint64_t begun_ns; /* wall clock; by this its period is told */
    uint64_t length_ns;
    uint64_t commands; /* of the Redis protocol */
    uint64_t command_errors;
    uint64_t responses; /* of HTTP, but for /health and /ready */
    uint64_t client_errors;
    uint64_t server_errors;
    uint64_t jobs;
    uint64_t job_failures;
    uint64_t job_faults; /* failures that their requests did not cause */
    uint64_t bytes_in;
    uint64_t bytes_out;
    stats_times http;
    stats_times command;
    stats_times job;
    uint64_t resident; /* bytes */
    uint64_t memory_limit;
    uint64_t connections[STATS_PROTOCOLS];
    double busy;      /* of the loops' processor time, 0 .. 1 */
    double busy_most; /* of the busiest loop */
    uint32_t loop_count;
    float loops[STATS_LOOPS_MAX]; /* of each of the first */
    double cpu;                   /* processors used by the process */
    stats_prediction prediction;
    uint32_t tier_count;
    stats_tier tiers[STATS_TIERS_MAX];
} stats_sample;

typedef struct stats_opts {
    const char *file;  /* NULL or "": memory alone */
    uint64_t every_ns; /* 0: STATS_EVERY_S */
} stats_opts;

/* *ret is set on failure, too.  Errors: NOMEM, LIMIT (the file's path). */
BRISK_NODISCARD brisk_err stats_create(server *s, const stats_opts *opts, stats_ring **ret);
void stats_destroy(stats_ring *st); /* NULL is accepted */
/* Take a sample; false: it is the first look, or there was no memory. */
bool stats_take(stats_ring *st);
/* The last look: what is not over is kept as it is. */
void stats_finish(stats_ring *st);
/* The last sample; false: there is none yet. */
bool stats_last(stats_ring *st, stats_sample *ret);
/* Sums of what happened in the last `seconds`; how many samples there were. */
typedef struct stats_sums {
    uint64_t samples;
    uint64_t responses;
    uint64_t server_errors;
    uint64_t jobs;
    uint64_t job_faults;
} stats_sums;

void stats_sum(stats_ring *st, uint32_t seconds, stats_sums *ret);

typedef struct stats_stretch {
    uint64_t since_ns; /* wall clock; after this */
    uint64_t until_ns; /* up to this; 0: all */
    uint32_t level;
    uint32_t step_s; /* of a sample */
    uint64_t kept_s; /* so far back are they kept */
} stats_stretch;

/* Of the longest samples of at most `step_s`; 0: seconds. */
stats_stretch stats_stretch_of(uint64_t step_s, uint64_t since_ns, uint64_t until_ns);
/* Call `fn` for the samples of a stretch, oldest first. */
void stats_each(stats_ring *st, const stats_stretch *of,
                void (*fn)(void *ctx, const stats_sample *sample), void *ctx);
/* "file": is it written, and if not, why? */
void stats_put_file(stats_ring *st, brisk_json *json);

/* Of a level: how long its samples are, how many are kept; the period (of its own length, since 1970) of a sample. */
uint32_t stats_step_s(uint32_t level);
uint32_t stats_kept(uint32_t level);
uint64_t stats_period(uint32_t level, const stats_sample *sample);

/* Its members, of a JSON object that is open. */
void stats_put(brisk_json *json, const stats_sample *sample);

#endif /* BRISK_SRC_DAEMON_API_STATS_H */
