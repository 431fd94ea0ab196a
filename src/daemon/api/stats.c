/*
 * stats.c -- samples of the registry, see stats.h.
 *
 * A look takes a snapshot of the registry and keeps it until the next one, so that a sample is the difference of two
 * snapshots: counters subtract, and of histograms the buckets do, over all series of a name, which gives percentiles of
 * everything that happened in that second.
 *
 * Busy is processor time of the loops' threads, as the kernel counts it.
 */
#include "daemon/api/stats_internal.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <brisk/metrics.h>

#include "base/assert.h"
#include "daemon/http/observe.h"
#include "daemon/memory_limit.h"
#include "daemon/metrics.h"

static const uint64_t down_ns = UINT64_C(60000000000);

/* --- the registry ------------------------------------------------------------------------- */

static bool has_label(const brisk_metric_value *v, const char *label, const char *value)
{
    for (uint32_t l = 0; l < v->label_count; l++) {
        if (strcmp(v->labels[l].name, label) == 0 && strcmp(v->labels[l].value, value) == 0) {
            return true;
        }
    }
    return false;
}

/* Answers to those who look whether the node is well say nothing of its work; those of an unwell node would keep it so. */
static bool is_probe(const brisk_metric_value *v)
{
    return has_label(v, "route", "api.health") || has_label(v, "route", "api.ready");
}

/* Sum of a counter's series that have the label `value`; `label` NULL: of all. */
static uint64_t total(const brisk_snapshot *snapshot, const char *name, const char *label,
                      const char *value)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; snapshot != NULL && i < brisk_snapshot_count(snapshot); i++) {
        const brisk_metric_value *v = brisk_snapshot_at(snapshot, i);
        if (strcmp(v->name, name) == 0 && !is_probe(v) &&
            (label == NULL || has_label(v, label, value))) {
            sum += v->count;
        }
    }
    return sum;
}

static double gauge(const brisk_snapshot *snapshot, const char *name, const char *label,
                    const char *value)
{
    const brisk_label labels = {label, value};
    const brisk_metric_value *v =
        brisk_snapshot_find(snapshot, name, label != NULL ? &labels : NULL, label != NULL ? 1 : 0);
    return v != NULL && !isnan(v->value) ? v->value : 0;
}

/* What a counter gained since the look before; one that began anew counts from 0. */
static uint64_t gained(const stats_ring *st, const brisk_snapshot *now, const char *name,
                       const char *label, const char *value)
{
    uint64_t is = total(now, name, label, value);
    uint64_t was = total(st->level->before, name, label, value);
    return is >= was ? is - was : is;
}

/* Events that stay open, and whatever streams, take as long as their client likes. */
static bool is_stream(const brisk_metric_value *v)
{
    return has_label(v, "route", "api.events");
}

static void add_buckets(stats_ring *st, const brisk_snapshot *snapshot, const char *name,
                        bool minus)
{
    for (uint32_t i = 0; snapshot != NULL && i < brisk_snapshot_count(snapshot); i++) {
        const brisk_metric_value *v = brisk_snapshot_at(snapshot, i);
        if (strcmp(v->name, name) != 0 || is_stream(v)) {
            continue;
        }
        for (uint32_t b = 0; b < v->bucket_count; b++) {
            uint32_t at = brisk_hist_index(BRISK_HISTOGRAM_BITS, v->buckets[b].low);
            BRISK_ASSERT(at < STATS_BUCKETS);
            if (minus) {
                st->counts[at] -= v->buckets[b].count; /* it was there and never shrinks */
            } else {
                st->counts[at] += v->buckets[b].count;
            }
        }
    }
}

static uint64_t top_of(uint32_t bucket)
{
    enum { ONES = (1 << BRISK_HISTOGRAM_BITS) - 1 };
    if (bucket <= ONES) {
        return bucket;
    }
    uint32_t shift = (bucket >> BRISK_HISTOGRAM_BITS) - 1;
    return ((uint64_t)(ONES + 2 + (bucket & ONES)) << shift) - 1;
}

static uint64_t quantile(const stats_ring *st, uint64_t count, double q)
{
    uint64_t wanted = (uint64_t)ceil(q * (double)count);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < STATS_BUCKETS; i++) {
        seen += st->counts[i];
        if (seen >= wanted && seen > 0) {
            return top_of(i);
        }
    }
    return 0;
}

static void read_times(stats_ring *st, const brisk_snapshot *now, const char *name,
                       stats_times *ret)
{
    memset(st->counts, 0, sizeof st->counts);
    add_buckets(st, now, name, false);
    add_buckets(st, st->level->before, name, true);
    *ret = (stats_times){0};
    for (uint32_t i = 0; i < STATS_BUCKETS; i++) {
        ret->count += st->counts[i];
    }
    if (ret->count > 0) {
        ret->p50_ns = quantile(st, ret->count, 0.5);
        ret->p95_ns = quantile(st, ret->count, 0.95);
        ret->p99_ns = quantile(st, ret->count, 0.99);
        ret->p999_ns = quantile(st, ret->count, 0.999);
    }
}

/* --- a sample ------------------------------------------------------------------------------ */

/* A tier without a breaker: it failed within the last minute, and did nothing well since. */
static bool has_failed(stats_ring *st, uint32_t index, const stats_tier *tier, uint64_t puts)
{
    tier_state *state = &st->level->tiers[index];
    if (tier->errors > 0) {
        state->failed_ns = st->now_ns;
    }
    if (tier->hits + puts > tier->errors) {
        state->failed_ns = 0;
    }
    return state->failed_ns != 0 && st->now_ns - state->failed_ns < down_ns;
}

typedef struct tier_names {
    const char *hits, *misses, *evictions, *expired, *errors, *entries, *bytes, *bytes_max, *puts,
        *down;
} tier_names;

typedef struct tier_place {
    const tier_names *names;
    const char *label;
    uint32_t index; /* in the sample */
} tier_place;

static void read_tier(stats_ring *st, const brisk_snapshot *now, const tier_place *place,
                      stats_tier *ret)
{
    const tier_names *n = place->names;
    const char *tier = place->label;
    ret->hits = gained(st, now, n->hits, "tier", tier);
    ret->misses = gained(st, now, n->misses, "tier", tier);
    ret->evictions = gained(st, now, n->evictions, "tier", tier);
    ret->expired = gained(st, now, n->expired, "tier", tier);
    ret->errors = gained(st, now, n->errors, "tier", tier);
    ret->entries = (uint64_t)gauge(now, n->entries, "tier", tier);
    ret->bytes = (uint64_t)gauge(now, n->bytes, "tier", tier);
    ret->bytes_max = (uint64_t)gauge(now, n->bytes_max, "tier", tier);
    ret->down = n->down != NULL
                    ? gauge(now, n->down, "tier", tier) != 0
                    : has_failed(st, place->index, ret, gained(st, now, n->puts, "tier", tier));
}

static void read_tiers(stats_ring *st, const brisk_snapshot *now, stats_sample *ret)
{
    static const tier_names own = {"serve.tier.hits",      "serve.tier.misses",
                                   "serve.tier.evictions", "serve.tier.expired",
                                   "serve.tier.errors",    "serve.tier.entries",
                                   "serve.tier.bytes",     "serve.tier.limit",
                                   "serve.tier.puts",      NULL};
    static const tier_names engine = {
        "cache.hits",    "cache.misses", "cache.evictions", "cache.expired", "cache.errors",
        "cache.entries", "cache.bytes",  "cache.bytes_max", "cache.puts",    "cache.down"};
    for (uint32_t i = 0; i < brisk_snapshot_count(now) && ret->tier_count < STATS_TIERS_MAX; i++) {
        const brisk_metric_value *v = brisk_snapshot_at(now, i);
        bool of_engine = strcmp(v->name, engine.bytes) == 0;
        if ((!of_engine && strcmp(v->name, own.bytes) != 0) || v->label_count != 1) {
            continue;
        }
        uint32_t index = ret->tier_count++;
        stats_tier *tier = &ret->tiers[index];
        (void)snprintf(tier->name, sizeof tier->name, "%s%.8s", of_engine ? "engine." : "",
                       v->labels[0].value);
        read_tier(st, now, &(tier_place){of_engine ? &engine : &own, v->labels[0].value, index},
                  tier);
    }
}

static uint64_t thread_ns(const worker *w)
{
    clockid_t clock = atomic_load_explicit(&w->cpu_clock, memory_order_relaxed);
    struct timespec used;
    if (clock == 0 || clock_gettime(clock, &used) != 0) {
        return 0; /* it does not run yet, or not any more */
    }
    return (uint64_t)used.tv_sec * UINT64_C(1000000000) + (uint64_t)used.tv_nsec;
}

static uint64_t process_ns(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * UINT64_C(1000000000) + (uint64_t)used.tv_nsec;
}

static void read_busy(stats_ring *st, stats_sample *ret)
{
    const server *s = st->server;
    double length = ret->length_ns > 0 ? (double)ret->length_ns : 1;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        uint64_t used = thread_ns(&s->workers[i]);
        double share = used > st->level->cpu_before[i]
                           ? (double)(used - st->level->cpu_before[i]) / length
                           : 0;
        ret->busy += share / s->worker_count;
        if (i < STATS_LOOPS_MAX) {
            ret->loops[ret->loop_count++] = (float)share;
        }
        ret->busy_most = share > ret->busy_most ? share : ret->busy_most;
    }
    ret->cpu = (double)(process_ns() - st->level->process_before) / length;
}

/* What the node is to stay below: its own limit, or the kernel's. */
static uint64_t memory_limit(const server *s)
{
    uint64_t limit = memory_limit_of_kernel("");
    return s->pressure.limit > 0 && s->pressure.limit < limit ? s->pressure.limit : limit;
}

static void read_counters(stats_ring *st, const brisk_snapshot *now, stats_sample *ret)
{
    ret->commands = gained(st, now, "serve.commands", NULL, NULL);
    ret->command_errors = gained(st, now, "serve.errors", NULL, NULL);
    ret->responses = gained(st, now, "serve.http.responses", NULL, NULL);
    ret->client_errors = gained(st, now, "serve.http.responses", "class", "4xx");
    ret->server_errors = gained(st, now, "serve.http.responses", "class", "5xx");
    ret->jobs = gained(st, now, "job.time", NULL, NULL);
    ret->job_failures = gained(st, now, "job.failures", NULL, NULL);
    ret->job_faults = gained(st, now, "job.faults", NULL, NULL);
    ret->bytes_in = gained(st, now, "serve.net.in", NULL, NULL);
    ret->bytes_out = gained(st, now, "serve.net.out", NULL, NULL);
    read_times(st, now, "serve.http.time", &ret->http);
    read_times(st, now, "serve.command.time", &ret->command);
    read_times(st, now, "job.time", &ret->job);
    ret->resident = (uint64_t)gauge(now, "serve.memory.resident", NULL, NULL);
    ret->memory_limit = memory_limit(st->server);
    static_assert((int)STATS_PROTOCOLS == (int)OBSERVE_PROTOCOLS, "one place for each");
    for (uint32_t i = 0; i < STATS_PROTOCOLS; i++) {
        ret->connections[i] = (uint64_t)gauge(now, "serve.http.connections", "protocol",
                                              observe_protocol_name((observe_protocol)i));
    }
    ret->prediction = (stats_prediction){.guesses = total(now, "predict.guesses", NULL, NULL),
                                         .right = total(now, "predict.right", NULL, NULL),
                                         .loads = total(now, "predict.loads", NULL, NULL),
                                         .used = total(now, "predict.used", NULL, NULL)};
}

/* --- a level ------------------------------------------------------------------------------ */

void stats_begin(stats_ring *st, brisk_snapshot *now)
{
    const server *s = st->server;
    stats_level *l = st->level;
    brisk_snapshot_unref(l->before);
    l->before = brisk_snapshot_ref(now);
    l->before_ns = st->now_ns;
    l->before_wall_ns = brisk_snapshot_wall_ns(now);
    for (uint32_t i = 0; i < s->worker_count; i++) {
        l->cpu_before[i] = thread_ns(&s->workers[i]);
    }
    l->process_before = process_ns();
}

void stats_make(stats_ring *st, const brisk_snapshot *now, stats_sample *ret)
{
    memset(ret, 0, sizeof *ret); /* its padding, too: it goes to a file */
    ret->wall_ns = brisk_snapshot_wall_ns(now);
    ret->begun_ns = st->level->before_wall_ns;
    ret->length_ns = st->now_ns - st->level->before_ns;
    read_busy(st, ret);
    read_counters(st, now, ret);
    read_tiers(st, now, ret);
}
