/*
 * bench_ttl.c -- lives of entries judged by staleness against hit rate; prints JSON.
 *
 *     bench_ttl [REQUESTS]        synthetic keys
 *     bench_ttl --trace FOLDER    the requests of each trace, spread over a day
 *
 * A cache without a limit of room: a request within an entry's life is a hit, and stale when the
 * key has changed since it was loaded; any other request loads.  Keys change by themselves, each
 * with a process of its own, the same for all policies: never (a quarter), at random moments with a
 * mean between 30 s and 10 days, at regular ones, or in bursts.  Popularity is Zipf's, and does not
 * depend on how often a key changes.
 *
 * Policies: fixed lives of 10 s .. 12 h; the simple rules; a life of 10, 20, 50 % of the value's age
 * (as web caches guess, with the age exactly known); ours for several shares of stale answers.
 *
 * `loads_vs_fixed`: loads relative to those of the fixed life that gives as many stale answers
 * (interpolated between two of the fixed ones): below 1 is better than any fixed life.
 */
#include <inttypes.h>
#include <math.h>

#include <brisk/clock.h>
#include <brisk/rng.h>
#include <brisk/ttl.h>

#include "bench_trace.h"

enum { KEYS = 20000, POINTS_MAX = 32, SKIPPED = 77 };

static const double day_s = 86400;
static const double wall_s = 1.7e9; /* when the day begins */

typedef enum change_kind {
    CHANGE_NEVER = 0,
    CHANGE_RANDOM,
    CHANGE_REGULAR,
    CHANGE_BURSTS,
} change_kind;

typedef struct sim_key {
    change_kind kind;
    double mean_s;
    double next_s; /* the next change */
    double last_s; /* the one before now */
    uint64_t version;
    brisk_rng rng;
    /* the cache's: */
    bool cached;
    double expires_s;
    uint64_t loaded_version;
} sim_key;

typedef struct sim {
    brisk_clock clock;
    double now_s;
    sim_key *keys;
    uint32_t key_count;
    const uint32_t *requests;
    uint64_t request_count;
    double step_s; /* between two requests */
} sim;

typedef struct point {
    char name[32];
    double hit;
    double stale;
    double loads; /* per request */
} point;

typedef struct policy {
    brisk_ttl_opts opts;
    double age_share; /* above 0: life = share of the age, instead of `opts` */
    bool tell_age;
} policy;

static uint64_t sim_wall_ns(void *ctx)
{
    return (uint64_t)((wall_s + ((sim *)ctx)->now_s) * 1e9);
}

static double uniform(brisk_rng *rng)
{
    return ((double)(brisk_rng_next(rng) >> 11) + 0.5) / 9007199254740992.0;
}

static double exponential(brisk_rng *rng, double mean)
{
    return -mean * log(uniform(rng));
}

static double next_change(sim_key *key)
{
    switch (key->kind) {
    case CHANGE_RANDOM: return key->next_s + exponential(&key->rng, key->mean_s);
    case CHANGE_REGULAR: return key->next_s + key->mean_s;
    case CHANGE_BURSTS: /* ten changes close together, then a long rest */
        return key->next_s + (key->version % 10 != 0 ? key->mean_s / 50 : key->mean_s * 10);
    case CHANGE_NEVER: break;
    }
    return 1e18;
}

static void reset_keys(sim *s)
{
    for (uint32_t i = 0; i < s->key_count; i++) {
        sim_key *key = &s->keys[i];
        *key = (sim_key){.version = 1};
        brisk_rng_init(&key->rng, 7919 + i);
        uint64_t kind = brisk_rng_below(&key->rng, 8);
        key->kind = kind < 2   ? CHANGE_NEVER
                    : kind < 6 ? CHANGE_RANDOM
                    : kind < 7 ? CHANGE_REGULAR
                               : CHANGE_BURSTS;
        key->mean_s = 30 * exp(uniform(&key->rng) * log(10 * day_s / 30));
        key->last_s = -key->mean_s;
        key->next_s = -uniform(&key->rng) * key->mean_s;
        key->next_s = next_change(key);
    }
}

static void run_changes(sim_key *key, double now_s)
{
    while (key->next_s <= now_s) {
        key->last_s = key->next_s;
        key->version++;
        key->next_s = next_change(key);
    }
}

static double life_of(const policy *p, brisk_ttl *ttl, const sim_key *key, uint32_t number,
                      double now_s)
{
    if (p->age_share > 0) {
        return fmin(fmax((now_s - key->last_s) * p->age_share, 1), day_s);
    }
    brisk_key name = brisk_key_of(&number, sizeof number);
    brisk_ttl_load load = {.content = key->version * 31 + number + 1};
    if (p->tell_age) {
        load.modified_ns = (uint64_t)((wall_s + key->last_s) * 1e9);
    }
    return (double)brisk_ttl_loaded(ttl, &name, &load) / 1e9;
}

static point run_policy(sim *s, const char *name, const policy *p)
{
    brisk_ttl *ttl = NULL;
    brisk_ttl_opts opts = p->opts;
    opts.clock = &s->clock;
    BRISK_ASSERT(brisk_ttl_create(&opts, &ttl) == BRISK_OK);
    reset_keys(s);
    uint64_t hits = 0;
    uint64_t stale = 0;
    for (uint64_t i = 0; i < s->request_count; i++) {
        uint32_t number = s->requests[i];
        sim_key *key = &s->keys[number];
        s->now_s = (double)i * s->step_s;
        run_changes(key, s->now_s);
        if (key->cached && s->now_s < key->expires_s) {
            hits++;
            stale += key->version != key->loaded_version ? 1 : 0;
            continue;
        }
        key->cached = true;
        key->loaded_version = key->version;
        key->expires_s = s->now_s + life_of(p, ttl, key, number, s->now_s);
    }
    brisk_ttl_destroy(ttl);
    point result = {.hit = (double)hits / (double)s->request_count,
                    .stale = (double)stale / (double)s->request_count};
    result.loads = 1 - result.hit;
    (void)snprintf(result.name, sizeof result.name, "%s", name);
    return result;
}

/* Loads of the fixed life with so many stale answers: between its neighbours, or beyond the ends. */
static double fixed_loads(const point *fixed, uint32_t count, double stale)
{
    uint32_t i = 1;
    while (i + 1 < count && fixed[i].stale < stale) {
        i++;
    }
    double a = log(fixed[i - 1].stale + 1e-7);
    double b = log(fixed[i].stale + 1e-7);
    double part = b > a ? (log(stale + 1e-7) - a) / (b - a) : 0;
    double logs = log(fixed[i - 1].loads) + part * (log(fixed[i].loads) - log(fixed[i - 1].loads));
    return exp(logs);
}

static void print_point(const point *p, const point *fixed, uint32_t fixed_count, const char *end)
{
    printf("  {\"policy\":\"%s\",\"hit\":%.4f,\"stale\":%.5f,\"loads\":%.4f", p->name, p->hit,
           p->stale, p->loads);
    if (fixed != NULL) {
        printf(",\"loads_vs_fixed\":%.3f", p->loads / fixed_loads(fixed, fixed_count, p->stale));
    }
    printf("}%s\n", end);
    (void)fflush(stdout);
}

static void run_all(sim *s, const char *name)
{
    static const double lives[] = {10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200};
    static const double shares[] = {0.001, 0.003, 0.01, 0.03, 0.1};
    static const double ages[] = {0.1, 0.2, 0.5};
    enum { FIXED = sizeof lives / sizeof lives[0], SHARES = sizeof shares / sizeof shares[0] };
    point fixed[FIXED];
    char label[32];
    printf(" {\"workload\":\"%s\",\"requests\":%" PRIu64 ",\"keys\":%" PRIu32 ",\"points\":[\n",
           name, s->request_count, s->key_count);
    for (uint32_t i = 0; i < FIXED; i++) {
        policy p = {.opts = {.mode = BRISK_TTL_FIXED, .first_ns = (uint64_t)(lives[i] * 1e9)}};
        (void)snprintf(label, sizeof label, "fixed %.0f s", lives[i]);
        fixed[i] = run_policy(s, label, &p);
        print_point(&fixed[i], NULL, 0, ",");
    }
    for (size_t i = 0; i < sizeof ages / sizeof ages[0]; i++) {
        policy p = {.age_share = ages[i]};
        (void)snprintf(label, sizeof label, "age x %.1f", ages[i]);
        point one = run_policy(s, label, &p);
        print_point(&one, fixed, FIXED, ",");
    }
    policy use = {.opts = {.mode = BRISK_TTL_USE, .first_ns = UINT64_C(600000000000)}};
    policy rate = {.opts = {.mode = BRISK_TTL_HIT_RATE, .first_ns = UINT64_C(600000000000)}};
    point one = run_policy(s, "use", &use);
    print_point(&one, fixed, FIXED, ",");
    one = run_policy(s, "hit_rate", &rate);
    print_point(&one, fixed, FIXED, ",");
    for (size_t i = 0; i < 2 * SHARES; i++) {
        policy p = {.opts = {.mode = BRISK_TTL_ADAPTIVE, .staleness = shares[i % SHARES]},
                    .tell_age = i >= SHARES};
        (void)snprintf(label, sizeof label, "adaptive %.3f%s", shares[i % SHARES],
                       p.tell_age ? " with age" : "");
        one = run_policy(s, label, &p);
        print_point(&one, fixed, FIXED, i + 1 < 2 * SHARES ? "," : "");
    }
    printf(" ]}");
}

/* Zipf's law with exponent 0.9, by inversion of its cumulated weights. */
static uint32_t *draw_requests(uint64_t count, uint32_t keys)
{
    double *sums = trace_take(keys * sizeof *sums);
    uint32_t *requests = trace_take(count * sizeof *requests);
    double sum = 0;
    for (uint32_t i = 0; i < keys; i++) {
        sums[i] = sum += pow(i + 1, -0.9);
    }
    brisk_rng rng;
    brisk_rng_init(&rng, 1);
    for (uint64_t i = 0; i < count; i++) {
        double at = uniform(&rng) * sum;
        uint32_t low = 0;
        uint32_t high = keys - 1;
        while (low < high) {
            uint32_t middle = (low + high) / 2;
            if (sums[middle] < at) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        requests[i] = low;
    }
    trace_give(sums, keys * sizeof *sums);
    return requests;
}

static void run_sim(const char *name, const uint32_t *requests, uint64_t count, uint32_t keys)
{
    sim s = {.requests = requests,
             .request_count = count,
             .key_count = keys,
             .step_s = day_s / (double)count};
    s.clock = (brisk_clock){.now_ns = sim_wall_ns, .wall_ns = sim_wall_ns, .ctx = &s};
    s.keys = trace_take(keys * sizeof *s.keys);
    run_all(&s, name);
    trace_give(s.keys, keys * sizeof *s.keys);
}

static int run_traces(const char *folder)
{
    char names[TRACES_MAX][TRACE_NAME_MAX];
    uint32_t count = trace_list(folder, names);
    const char *comma = "";
    if (count == 0) {
        (void)fprintf(stderr, "skipped: no traces in %s\n", folder);
        return SKIPPED;
    }
    printf("{\"bench\":\"cache/ttl\",\"results\":[\n");
    for (uint32_t i = 0; i < count; i++) {
        bench_trace trace;
        if (trace_read(folder, names[i], &trace)) {
            uint64_t requests = trace.count < 2000000 ? trace.count : 2000000;
            printf("%s", comma);
            run_sim(trace.name, trace.keys, requests, trace.unique);
            trace_free(&trace);
            comma = ",\n";
        }
    }
    printf("\n]}\n");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--trace") == 0) {
        return run_traces(argv[2]);
    }
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000000;
    uint32_t *requests = draw_requests(count, KEYS);
    printf("{\"bench\":\"cache/ttl\",\"results\":[\n");
    run_sim("zipf", requests, count, KEYS);
    printf("\n]}\n");
    trace_give(requests, count * sizeof *requests);
    return 0;
}
