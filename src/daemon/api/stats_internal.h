/*
 * stats_internal.h -- what the files of the sampler share: stats.c (registry to sample), stats_ring.c (where samples are
 * kept), stats_file.c (where they outlive the process).
 */
#ifndef BRISK_SRC_DAEMON_API_STATS_INTERNAL_H
#define BRISK_SRC_DAEMON_API_STATS_INTERNAL_H

#include <pthread.h>

#include <brisk/histogram.h>
#include <brisk/metrics.h>

#include "daemon/api/stats.h"
#include "daemon/api/stats_file.h"
#include "daemon/server.h"

enum {
    STATS_BUCKETS = (65 - BRISK_HISTOGRAM_BITS) << BRISK_HISTOGRAM_BITS,
    STATS_SAMPLES_ALL = STATS_SAMPLES + STATS_SLOTS,
};

typedef struct tier_state {
    uint64_t failed_ns; /* when it did last; 0: it works */
} tier_state;

/* Each level has a look of its own to compare with, so that its percentiles are of all of its time. */
typedef struct stats_level {
    brisk_snapshot *before;
    uint64_t before_ns;
    uint64_t before_wall_ns;
    uint64_t period; /* of the wall clock; not of the seconds */
    tier_state tiers[STATS_TIERS_MAX];
    uint64_t cpu_before[WORKERS_MAX];
    uint64_t process_before;
    stats_sample fresh; /* of the last look; wall_ns 0: it is in the file */
} stats_level;

struct stats_ring {
    const brisk_alloc *alloc;
    server *server;
    uint64_t now_ns;    /* of this look */
    stats_level *level; /* whose sample is made */
    stats_level levels[STATS_LEVELS];
    uint64_t counts[STATS_BUCKETS]; /* of one name, while it is looked at */
    stats_file *file;               /* NULL: none is wanted */
    uint64_t every_ns;              /* so often are unfinished samples renewed, and written */
    uint64_t renewed_ns;
    bool saved;             /* the file has all that memory has, but for what is fresh */
    bool used[STATS_SLOTS]; /* places of the ring behind the seconds */
    pthread_mutex_t lock;   /* of what follows, but for the ring's places behind the seconds */
    brisk_err file_err;
    brisk_errinfo file_info;
    uint32_t next;
    uint32_t count;
    stats_sample ring
        [STATS_SAMPLES_ALL]; /* seconds, then a place for each slot; not touched before it is used */
};

/* What happened since st->level began, as a sample. */
void stats_make(stats_ring *st, const brisk_snapshot *now, stats_sample *ret);
/* st->level begins now. */
void stats_begin(stats_ring *st, brisk_snapshot *now);

#endif /* BRISK_SRC_DAEMON_API_STATS_INTERNAL_H */
