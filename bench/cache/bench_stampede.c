/*
 * bench_stampede.c -- what early refresh, stale answers and leases do when a popular answer ends.
 *
 * A simulation in virtual time that runs the real loader: requests for one key come at random
 * (Poisson) to `servers` loaders over one cache, which see no flight but their own; a load takes
 * `load_s`; answers are fresh for `ttl_s`.  Requests are tickets, loads are jobs that a queue runs
 * when their time has come, and the clock is the simulation's.
 *
 *   none     a lookup, and a load for each miss
 *   flight   brisk_loader: single flight, no early refresh
 *   xfetch   the same with early refresh (beta 1)
 *   stale    the same with stale answers for 10 s instead
 *   both     early refresh and stale answers
 *
 * Counted from half a life on, so without the first load, for which everybody must wait.  Reported:
 * loads per life of an answer (the least possible is about 1), the share of requests that
 * had to wait and how long at most, the share answered stale and how much beyond the ttl at most
 * (staleness). `outage`: the origin fails for 30 s every 100 s; the share of requests that got an
 * answer without and with stale_if_error of 60 s.
 */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/loader.h>
#include <brisk/memory.h>
#include <brisk/rng.h>

#include "base/assert.h"

#define SECOND UINT64_C(1000000000)
#define START  (UINT64_C(1800000000) * SECOND)

enum { SERVERS_MAX = 8, JOBS_MAX = 65536, TTL_S = 60, STALE_S = 10, ERROR_S = 60 };

typedef struct sim_job {
    uint64_t at_ns;
    void (*fn)(void *arg);
    void *arg;
} sim_job;

typedef struct simulation {
    brisk_clock clock;
    uint64_t now_ns;
    uint64_t load_ns;
    brisk_background background;
    sim_job jobs[JOBS_MAX]; /* in order of time, since every load takes as long */
    uint32_t first, last;
    brisk_cache *cache;
    brisk_loader *loaders[SERVERS_MAX];
    uint32_t servers;
    brisk_rng rng;
    bool fails;
    uint64_t loads, requests, waited, stale, errors;
    uint64_t wait_max_ns, staleness_max_ns;
} simulation;

typedef struct setting {
    const char *name;
    bool plain; /* no loader */
    double beta;
    uint64_t stale_ns, error_ns;
} setting;

typedef struct request {
    simulation *sim;
    uint64_t begin_ns;
} request;

static uint64_t sim_now(void *ctx)
{
    return ((simulation *)ctx)->now_ns;
}

static bool sim_later(void *ctx, void (*fn)(void *arg), void *arg)
{
    simulation *sim = ctx;
    if (sim->last - sim->first == JOBS_MAX) {
        return false;
    }
    sim->jobs[sim->last++ % JOBS_MAX] =
        (sim_job){.at_ns = sim->now_ns + sim->load_ns, .fn = fn, .arg = arg};
    return true;
}

static brisk_err sim_load(void *ctx, const brisk_key *key, brisk_load *ret)
{
    (void)key;
    simulation *sim = ctx;
    sim->loads++;
    if (sim->fails) {
        return BRISK_ERR_IO;
    }
    ret->opts.cost_ns = sim->load_ns; /* it ends now, and began so long ago */
    return brisk_value_copy("answer", 6, NULL, &ret->value);
}

static void sim_done(void *ctx, brisk_err err, const brisk_loaded *loaded)
{
    request *self = ctx;
    simulation *sim = self->sim;
    uint64_t waited = sim->now_ns - self->begin_ns;
    sim->waited += waited != 0;
    sim->wait_max_ns = waited > sim->wait_max_ns ? waited : sim->wait_max_ns;
    sim->errors += err != BRISK_OK;
    if (loaded != NULL) {
        uint64_t end = loaded->hit.expires_at_ns;
        if (loaded->from != BRISK_LOADED_HERE && sim->now_ns > end && end != 0) {
            uint64_t beyond = sim->now_ns - end;
            sim->stale++;
            sim->staleness_max_ns = beyond > sim->staleness_max_ns ? beyond : sim->staleness_max_ns;
        }
        brisk_value_unref(loaded->hit.value);
    }
    free(self);
}

/* Without a loader: what a program does that looks, computes and stores. */
static void plain_loaded(void *arg)
{
    request *self = arg;
    simulation *sim = self->sim;
    brisk_value *value;
    brisk_key key = brisk_key_of("popular", 7);
    sim->loads++;
    BRISK_ASSERT(brisk_value_copy("answer", 6, NULL, &value) == BRISK_OK);
    brisk_entry_opts opts = {.expires_at_ns = sim->now_ns + TTL_S * SECOND};
    brisk_cache_put(sim->cache, &key, value, &opts);
    brisk_loaded loaded = {.hit = {.value = value}, .from = BRISK_LOADED_HERE};
    sim_done(self, BRISK_OK, &loaded);
}

static void ask(simulation *sim, const setting *how)
{
    request *self = calloc(1, sizeof *self);
    BRISK_ASSERT(self != NULL);
    *self = (request){.sim = sim, .begin_ns = sim->now_ns};
    brisk_key key = brisk_key_of("popular", 7);
    sim->requests++;
    if (how->plain) {
        brisk_loaded loaded;
        if (brisk_cache_get(sim->cache, &key, 0, &loaded.hit)) {
            loaded.from = BRISK_LOADED_CACHE;
            sim_done(self, BRISK_OK, &loaded);
        } else {
            BRISK_ASSERT(sim_later(sim, plain_loaded, self));
        }
        return;
    }
    brisk_load_done done = {.fn = sim_done, .ctx = self};
    brisk_load_ticket *ticket;
    uint32_t server = (uint32_t)brisk_rng_below(&sim->rng, sim->servers);
    BRISK_ASSERT(brisk_loader_start(sim->loaders[server], &key, NULL, &done, &ticket) == BRISK_OK);
    brisk_load_ticket_release(ticket);
}

static void run_jobs(simulation *sim, uint64_t until_ns)
{
    while (sim->first != sim->last && sim->jobs[sim->first % JOBS_MAX].at_ns <= until_ns) {
        sim_job job = sim->jobs[sim->first++ % JOBS_MAX];
        sim->now_ns = job.at_ns;
        job.fn(job.arg);
    }
    sim->now_ns = until_ns;
}

static void open_simulation(simulation *sim, const setting *how)
{
    sim->clock = (brisk_clock){.now_ns = sim_now, .wall_ns = sim_now, .ctx = sim};
    sim->now_ns = START;
    sim->background = (brisk_background){.run = sim_later, .ctx = sim};
    brisk_rng_init(&sim->rng, 20260101);
    brisk_tier *tier;
    brisk_memory_tier_opts memory = {
        .bytes_max = 1048576, .shards = 1, .policy = "lru", .clock = &sim->clock};
    BRISK_ASSERT(brisk_memory_tier_create(&memory, &tier) == BRISK_OK);
    brisk_cache_opts cache = {.tiers = &tier, .tier_count = 1, .clock = &sim->clock};
    BRISK_ASSERT(brisk_cache_create(&cache, &sim->cache) == BRISK_OK);
    for (uint32_t i = 0; i < sim->servers; i++) {
        brisk_loader_opts opts = {
            .cache = sim->cache,
            .load = sim_load,
            .ctx = sim,
            .ttl_ns = TTL_S * SECOND,
            .stale_ns = how->stale_ns,
            .stale_if_error_ns = how->error_ns,
            .refresh_beta = how->beta,
            .background = &sim->background,
            .seed = i,
            .clock = &sim->clock,
        };
        BRISK_ASSERT(brisk_loader_create(&opts, &sim->loaders[i]) == BRISK_OK);
    }
}

static void close_simulation(simulation *sim)
{
    run_jobs(sim, UINT64_MAX - SECOND);
    for (uint32_t i = 0; i < sim->servers; i++) {
        brisk_loader_destroy(sim->loaders[i]);
    }
    brisk_cache_destroy(sim->cache);
}

/* `outage`: the origin fails in the last 30 of every 100 s. */
static void simulate(simulation *sim, const setting *how, double per_s, uint64_t seconds,
                     bool outage)
{
    open_simulation(sim, how);
    uint64_t end = START + seconds * SECOND;
    uint64_t next = START;
    bool counting = false;
    while (next < end) {
        run_jobs(sim, next);
        if (!counting && next >= START + TTL_S * SECOND / 2) {
            counting = true;
            sim->loads = sim->requests = sim->waited = sim->stale = sim->errors = 0;
            sim->wait_max_ns = sim->staleness_max_ns = 0;
        }
        sim->fails = outage && (next - START) / SECOND % 100 >= 70;
        ask(sim, how);
        double u = (double)((brisk_rng_next(&sim->rng) >> 11) + 1) * 0x1p-53;
        next += (uint64_t)(-log(u) / per_s * (double)SECOND);
    }
    close_simulation(sim);
}

static void report(const simulation *sim, const setting *how, double lives, bool first)
{
    double requests = (double)sim->requests;
    printf("%s\n   \"%s\":{\"loads_per_life\":%.2f,\"waited\":%.6f,\"wait_max_s\":%.3f,"
           "\"stale\":%.6f,\"staleness_max_s\":%.3f}",
           first ? "" : ",", how->name, (double)sim->loads / lives, (double)sim->waited / requests,
           (double)sim->wait_max_ns / (double)SECOND, (double)sim->stale / requests,
           (double)sim->staleness_max_ns / (double)SECOND);
}

/* bench_stampede [SECONDS of each simulation] */
int main(int argc, char **argv)
{
    uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 6000;
    seconds = seconds < 100 ? 100 : seconds > 1000000 ? 1000000 : seconds;
    static const setting settings[] = {
        {"none", true, -1, 0, 0},
        {"flight", false, -1, 0, 0},
        {"xfetch", false, 1, 0, 0},
        {"stale", false, -1, STALE_S * SECOND, 0},
        {"both", false, 1, STALE_S * SECOND, 0},
    };
    static const struct {
        double per_s;
        uint32_t servers;
        uint64_t load_ns;
    } loads[] = {
        {10, 1, SECOND / 2}, {200, 1, SECOND / 2}, {200, 8, SECOND / 2}, {200, 8, 2 * SECOND}};
    printf("{\"bench\":\"stampede\",\"seconds\":%" PRIu64 ",\"ttl_s\":%d,\"stale_s\":%d,\n"
           " \"cases\":[",
           seconds, TTL_S, STALE_S);
    for (size_t l = 0; l < sizeof loads / sizeof loads[0]; l++) {
        printf("%s\n  {\"requests_per_s\":%.0f,\"servers\":%" PRIu32 ",\"load_s\":%.1f,",
               l == 0 ? "" : ",", loads[l].per_s, loads[l].servers,
               (double)loads[l].load_ns / (double)SECOND);
        for (size_t s = 0; s < sizeof settings / sizeof settings[0]; s++) {
            static simulation sim;
            memset(&sim, 0, sizeof sim);
            sim.servers = loads[l].servers;
            sim.load_ns = loads[l].load_ns;
            simulate(&sim, &settings[s], loads[l].per_s, seconds, false);
            report(&sim, &settings[s], (double)seconds / TTL_S - 0.5, s == 0);
        }
        printf("}");
    }
    printf("],\n \"outage\":{");
    for (int with = 0; with < 2; with++) {
        static simulation sim;
        memset(&sim, 0, sizeof sim);
        sim.servers = 1;
        sim.load_ns = SECOND / 2;
        setting how = {"", false, 1, 0, with != 0 ? ERROR_S * SECOND : 0};
        simulate(&sim, &how, 50, seconds, true);
        printf("%s\"%s\":%.4f", with != 0 ? "," : "", with != 0 ? "stale_if_error" : "without",
               1 - (double)sim.errors / (double)sim.requests);
    }
    printf("}}\n");
    return 0;
}
