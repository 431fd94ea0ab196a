/*
 * stats.c -- samples of the registry, see stats.h.
 *
 * A look takes a snapshot of the registry and keeps it until the next one, so that a sample is the difference of two
 * snapshots: counters subtract, and of histograms the buckets do, over all series of a name, which gives percentiles of
 * everything that happened in that second.
 *
 * Busy is processor time of the loops' threads, as the kernel counts it.
 */
#include "daemon/api/stats.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
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
#include "daemon/server.h"

enum { BUCKETS = (65 - BRISK_HISTOGRAM_BITS) << BRISK_HISTOGRAM_BITS };

static const uint64_t down_ns = UINT64_C(60000000000);

typedef struct tier_state {
    uint64_t failed_ns; /* when it did last; 0: it works */
} tier_state;

enum { SAMPLES = STATS_SAMPLES + 120 + 300 + 350 };

/* How long a sample of each level is, and how many are kept: 15 minutes, 2 hours, a day, a week. */
static const struct {
    uint32_t step_s;
    uint32_t kept;
} levels[] = {{1, STATS_SAMPLES}, {60, 120}, {300, 300}, {1800, 350}};

enum { LEVELS = sizeof levels / sizeof levels[0] };

/* Each level has a look of its own to compare with, so that its percentiles are of all of its time. */
typedef struct level {
    brisk_snapshot *before;
    uint64_t before_ns;
    tier_state tiers[STATS_TIERS_MAX];
    uint64_t cpu_before[WORKERS_MAX];
    uint64_t process_before;
    uint32_t first; /* its place in the ring */
    uint32_t kept;
    uint32_t next; /* with count: under the lock */
    uint32_t count;
} level;

struct stats_ring {
    const brisk_alloc *alloc;
    server *server;
    uint64_t now_ns; /* of this look */
    level *level;    /* whose sample is taken */
    level levels[LEVELS];
    uint64_t counts[BUCKETS]; /* of one name, while it is looked at */
    pthread_mutex_t lock;     /* of what follows */
    stats_sample ring[SAMPLES];
};

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
            BRISK_ASSERT(at < BUCKETS);
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
    for (uint32_t i = 0; i < BUCKETS; i++) {
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
    for (uint32_t i = 0; i < BUCKETS; i++) {
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

static void read_tier(stats_ring *st, const brisk_snapshot *now, const tier_names *n,
                      uint32_t index, stats_tier *ret)
{
    const char *tier = ret->label;
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
                    : has_failed(st, index, ret, gained(st, now, n->puts, "tier", tier));
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
        stats_tier *tier = &ret->tiers[ret->tier_count++];
        (void)snprintf(tier->name, sizeof tier->name, "%s%.8s", of_engine ? "engine." : "",
                       v->labels[0].value);
        tier->label = v->labels[0].value;
        read_tier(st, now, of_engine ? &engine : &own, ret->tier_count - 1, tier);
        tier->label = NULL;
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
        st->level->cpu_before[i] = used;
        ret->busy += share / s->worker_count;
        if (i < STATS_LOOPS_MAX) {
            ret->loops[ret->loop_count++] = (float)share;
        }
        ret->busy_most = share > ret->busy_most ? share : ret->busy_most;
    }
    uint64_t process = process_ns();
    ret->cpu = (double)(process - st->level->process_before) / length;
    st->level->process_before = process;
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

static brisk_err look(server *s, brisk_snapshot **ret)
{
    server_lock(s);
    brisk_err err = server_metrics_snapshot(s, ret);
    server_unlock(s);
    return err;
}

/* Of the level that is set; false: it is its first look. */
static bool take(stats_ring *st, brisk_snapshot *now)
{
    level *l = st->level;
    stats_sample sample = {.wall_ns = brisk_snapshot_wall_ns(now),
                           .length_ns = st->now_ns - l->before_ns};
    bool first = l->before == NULL;
    read_busy(st, &sample);
    if (!first) {
        read_counters(st, now, &sample);
        read_tiers(st, now, &sample);
        (void)pthread_mutex_lock(&st->lock);
        st->ring[l->first + l->next] = sample;
        l->next = (l->next + 1) % l->kept;
        l->count += l->count < l->kept ? 1 : 0;
        (void)pthread_mutex_unlock(&st->lock);
    }
    brisk_snapshot_unref(l->before);
    l->before = brisk_snapshot_ref(now);
    l->before_ns = st->now_ns;
    return !first;
}

bool stats_take(stats_ring *st)
{
    brisk_snapshot *now;
    if (look(st->server, &now) != BRISK_OK) {
        return false;
    }
    st->now_ns = brisk_clock_now_ns(st->server->clock);
    bool taken = false;
    for (uint32_t i = 0; i < LEVELS; i++) {
        /* A tick may come a little early. */
        uint64_t step_ns = levels[i].step_s * UINT64_C(1000000000) - UINT64_C(500000000);
        st->level = &st->levels[i];
        if (i == 0 || st->level->before == NULL || st->now_ns - st->level->before_ns >= step_ns) {
            taken = take(st, now) || taken;
        }
    }
    brisk_snapshot_unref(now);
    return taken;
}

/* --- reading ------------------------------------------------------------------------------ */

/* Sample `index` of l->count, the oldest first. */
static const stats_sample *at(const stats_ring *st, const level *l, uint32_t index)
{
    return &st->ring[l->first + (l->next + l->kept - l->count + index) % l->kept];
}

bool stats_last(stats_ring *st, stats_sample *ret)
{
    (void)pthread_mutex_lock(&st->lock);
    const level *l = &st->levels[0];
    bool any = l->count > 0;
    if (any) {
        *ret = *at(st, l, l->count - 1);
    }
    (void)pthread_mutex_unlock(&st->lock);
    return any;
}

void stats_sum(stats_ring *st, uint32_t seconds, stats_sums *ret)
{
    *ret = (stats_sums){0};
    (void)pthread_mutex_lock(&st->lock);
    const level *l = &st->levels[0];
    uint32_t from = l->count > seconds ? l->count - seconds : 0;
    for (uint32_t i = from; i < l->count; i++) {
        const stats_sample *sample = at(st, l, i);
        ret->samples++;
        ret->responses += sample->responses;
        ret->server_errors += sample->server_errors;
        ret->jobs += sample->jobs;
        ret->job_faults += sample->job_faults;
    }
    (void)pthread_mutex_unlock(&st->lock);
}

stats_stretch stats_stretch_of(uint64_t step_s, uint64_t since_ns, uint64_t until_ns)
{
    stats_stretch ret = {.since_ns = since_ns, .until_ns = until_ns};
    for (uint32_t i = 0; i < LEVELS && (i == 0 || levels[i].step_s <= step_s); i++) {
        ret.level = i;
        ret.step_s = levels[i].step_s;
        ret.kept_s = (uint64_t)levels[i].step_s * levels[i].kept;
    }
    return ret;
}

void stats_each(stats_ring *st, const stats_stretch *of,
                void (*fn)(void *ctx, const stats_sample *sample), void *ctx)
{
    BRISK_ASSERT(of->level < LEVELS);
    const level *l = &st->levels[of->level];
    (void)pthread_mutex_lock(&st->lock);
    for (uint32_t i = 0; i < l->count; i++) {
        const stats_sample *sample = at(st, l, i);
        if (sample->wall_ns > of->since_ns &&
            (of->until_ns == 0 || sample->wall_ns <= of->until_ns)) {
            fn(ctx, sample);
        }
    }
    (void)pthread_mutex_unlock(&st->lock);
}

static void put_times(brisk_json *json, const char *key, const stats_times *times)
{
    brisk_json_object_begin(json, key);
    brisk_json_u64(json, "count", times->count);
    brisk_json_u64(json, "p50_ns", times->p50_ns);
    brisk_json_u64(json, "p95_ns", times->p95_ns);
    brisk_json_u64(json, "p99_ns", times->p99_ns);
    brisk_json_u64(json, "p999_ns", times->p999_ns);
    brisk_json_object_end(json);
}

static void put_tiers(brisk_json *json, const stats_sample *sample)
{
    brisk_json_array_begin(json, "tiers");
    for (uint32_t i = 0; i < sample->tier_count; i++) {
        const stats_tier *tier = &sample->tiers[i];
        uint64_t asked = tier->hits + tier->misses;
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "name", tier->name);
        brisk_json_u64(json, "hits", tier->hits);
        brisk_json_u64(json, "misses", tier->misses);
        brisk_json_double(json, "hit_rate",
                          asked > 0 ? (double)tier->hits / (double)asked : (double)NAN);
        brisk_json_u64(json, "evictions", tier->evictions);
        brisk_json_u64(json, "expired", tier->expired);
        brisk_json_u64(json, "errors", tier->errors);
        brisk_json_u64(json, "entries", tier->entries);
        brisk_json_u64(json, "bytes", tier->bytes);
        brisk_json_u64(json, "bytes_max", tier->bytes_max);
        brisk_json_bool(json, "down", tier->down);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

void stats_put(brisk_json *json, const stats_sample *sample)
{
    brisk_json_double(json, "time_s", (double)(sample->wall_ns / 1000000) / 1000);
    brisk_json_double(json, "length_s", (double)sample->length_ns / 1e9);
    brisk_json_u64(json, "commands", sample->commands);
    brisk_json_u64(json, "command_errors", sample->command_errors);
    brisk_json_u64(json, "responses", sample->responses);
    brisk_json_u64(json, "client_errors", sample->client_errors);
    brisk_json_u64(json, "server_errors", sample->server_errors);
    brisk_json_u64(json, "jobs", sample->jobs);
    brisk_json_u64(json, "job_failures", sample->job_failures);
    brisk_json_u64(json, "job_faults", sample->job_faults);
    brisk_json_u64(json, "bytes_in", sample->bytes_in);
    brisk_json_u64(json, "bytes_out", sample->bytes_out);
    put_times(json, "http", &sample->http);
    put_times(json, "command", &sample->command);
    put_times(json, "job", &sample->job);
    brisk_json_u64(json, "resident_bytes", sample->resident);
    brisk_json_u64(json, "memory_limit_bytes", sample->memory_limit);
    brisk_json_object_begin(json, "connections");
    for (uint32_t i = 0; i < STATS_PROTOCOLS; i++) {
        brisk_json_u64(json, observe_protocol_name((observe_protocol)i), sample->connections[i]);
    }
    brisk_json_object_end(json);
    brisk_json_double(json, "busy", sample->busy);
    brisk_json_double(json, "busy_most", sample->busy_most);
    brisk_json_array_begin(json, "loops");
    for (uint32_t i = 0; i < sample->loop_count; i++) {
        brisk_json_double(json, NULL, round((double)sample->loops[i] * 1e4) / 1e4);
    }
    brisk_json_array_end(json);
    brisk_json_double(json, "cpu", sample->cpu);
    const stats_prediction *p = &sample->prediction;
    brisk_json_double(json, "prediction_precision",
                      p->guesses > 0 ? (double)p->right / (double)p->guesses : (double)NAN);
    brisk_json_u64(json, "prefetches", p->loads);
    brisk_json_u64(json, "prefetches_used", p->used);
    put_tiers(json, sample);
}

/* --- life --------------------------------------------------------------------------------- */

brisk_err stats_create(server *s, stats_ring **ret)
{
    stats_ring *st = s->alloc->acquire(s->alloc->ctx, sizeof *st, _Alignof(stats_ring));
    if (st == NULL) {
        return BRISK_ERR_NOMEM;
    }
    /* The ring is not touched before it is used: most of it costs nothing for a while. */
    memset(st, 0, offsetof(stats_ring, ring));
    for (uint32_t i = 0, first = 0; i < LEVELS; first += levels[i].kept, i++) {
        st->levels[i].first = first;
        st->levels[i].kept = levels[i].kept;
        BRISK_ASSERT(first + levels[i].kept <= SAMPLES);
    }
    st->alloc = s->alloc;
    st->server = s;
    int failed = pthread_mutex_init(&st->lock, NULL);
    BRISK_ASSERT(failed == 0);
    *ret = st;
    return BRISK_OK;
}

void stats_destroy(stats_ring *st)
{
    if (st != NULL) {
        for (uint32_t i = 0; i < LEVELS; i++) {
            brisk_snapshot_unref(st->levels[i].before);
        }
        (void)pthread_mutex_destroy(&st->lock);
        st->alloc->release(st->alloc->ctx, st, sizeof *st, _Alignof(stats_ring));
    }
}
