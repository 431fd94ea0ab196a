/*
 * ttl.c -- lives of entries behind <brisk/ttl.h>.
 *
 * What a load tells:
 *
 *     changed or not    corrects what is believed of the key, and of all keys together, each in
 *                       proportion to the time it was watched (so that keys that are loaded often do
 *                       not count more)
 *     how late it came  the time from the end of the last life to this load is a sample of the time
 *                       between two requests: hits cost nothing, and need not be counted
 *
 * The exchange rate: each life that is chosen is expected to give so many answers and so many stale
 * ones.  Every ROUND loads their share is compared with the one that is aimed at, and `cost` is
 * moved.  Counting what is expected, not what was seen, needs no waiting for lives to end; what was
 * seen corrects it: `error` is changes found over changes expected, weighed with the answers given.
 *
 * Table: buckets of four keys of 32 bytes, found by hash; the one loaded longest ago makes room.
 *
 * Threads: any.  Locks: one of the table's stripes, then `lock` (the sums of all keys).
 */
#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include <brisk/ttl.h>

#include "base/assert.h"
#include "cache/ttl_model.h"

enum {
    WAYS = 4,
    STRIPES = 16, /* power of two */
    ROUND = 128,  /* loads between two corrections of the cost */
    ROUND_COMMON = 65536,
    BYTES_MIN = 16384,
};

static const double gap_weight = 0.25;  /* of the newest sample */
static const double all_weight = 0.002; /* likewise, of everybody's gap */
static const double common_keep = 0.5;  /* of the common weights, each ROUND_COMMON loads */
static const double cost_first = 2;
static const double cost_min = 1e-9;
static const double cost_max = 1e9;
static const double correction = 0.7; /* exponent; damps */
static const double correction_max = 2;
static const double error_keep = 0.9995;
static const double error_max = 4;
static const double gap_min_s = 1e-6;
static const double ns_per_s = 1e9;
static const double day_s = 86400;
static const double seconds_max = 1e13; /* longer than 64 bits of nanoseconds */
static const uint64_t bytes_max_default = UINT64_C(4) << 20;

typedef struct ttl_bucket {
    brisk_ttl_state states[WAYS]; /* tag_ 0: free */
} ttl_bucket;

/* What all keys together showed, fading. */
typedef struct ttl_sums {
    double watched_s[TTL_RATES]; /* time, by what was believed of the keys */
    double log_gap;              /* mean */
    double found;                /* changes, weighed with answers ... */
    double expected;             /* ... and as the model would have it */
    double cost;
    double round_requests;
    double round_stale;
    uint32_t round_loads;
    uint32_t common_loads;
} ttl_sums;

struct brisk_ttl {
    brisk_ttl_opts opts;
    const brisk_alloc *alloc;
    size_t bytes;
    uint64_t bucket_count;
    pthread_mutex_t stripes[STRIPES];
    pthread_mutex_t lock;
    ttl_sums sums;
    brisk_ttl_stats stats;
    ttl_bucket buckets[];
};

static_assert(sizeof(brisk_ttl_state) == 32, "what a key costs");
static_assert(sizeof((brisk_ttl_state){0}.unlikely_) == TTL_RATES, "one for each rate");

/* --- life ---------------------------------------------------------------------------------- */

static bool opts_are_valid(const brisk_ttl_opts *o)
{
    bool known = o->mode == BRISK_TTL_ADAPTIVE || o->mode == BRISK_TTL_FIXED ||
                 o->mode == BRISK_TTL_USE || o->mode == BRISK_TTL_HIT_RATE;
    return known && o->staleness > 0 && o->staleness < 1 && o->min_ns <= o->max_ns &&
           o->bytes_max >= BYTES_MIN;
}

static void free_ttl(brisk_ttl *ttl)
{
    for (uint32_t i = 0; i < STRIPES; i++) {
        (void)pthread_mutex_destroy(&ttl->stripes[i]);
    }
    (void)pthread_mutex_destroy(&ttl->lock);
    ttl->alloc->release(ttl->alloc->ctx, ttl, ttl->bytes, _Alignof(brisk_ttl));
}

brisk_err brisk_ttl_create(const brisk_ttl_opts *opts, brisk_ttl **ret)
{
    BRISK_ASSERT(ret != NULL);
    brisk_ttl_opts o = opts != NULL ? *opts : (brisk_ttl_opts){.mode = BRISK_TTL_ADAPTIVE};
    o.staleness = o.staleness != 0 ? o.staleness : 0.01;
    o.min_ns = o.min_ns != 0 ? o.min_ns : (uint64_t)ns_per_s;
    o.max_ns = o.max_ns != 0 ? o.max_ns : (uint64_t)(ns_per_s * day_s);
    o.first_ns = o.first_ns != 0 ? o.first_ns : (uint64_t)(ns_per_s * 60);
    o.bytes_max = o.bytes_max != 0 ? o.bytes_max : bytes_max_default;
    if (!opts_are_valid(&o)) {
        return BRISK_ERR_INVALID;
    }
    const brisk_alloc *alloc = o.alloc != NULL ? o.alloc : brisk_alloc_libc();
    uint64_t buckets = (o.bytes_max - sizeof(brisk_ttl)) / sizeof(ttl_bucket);
    size_t bytes = sizeof(brisk_ttl) + buckets * sizeof(ttl_bucket);
    brisk_ttl *ttl = alloc->acquire(alloc->ctx, bytes, _Alignof(brisk_ttl));
    if (ttl == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(ttl, 0, bytes);
    ttl->opts = o;
    ttl->alloc = alloc;
    ttl->bytes = bytes;
    ttl->bucket_count = buckets;
    ttl->sums = (ttl_sums){.cost = cost_first,
                           .log_gap = log((double)o.first_ns / ns_per_s),
                           .found = 1,
                           .expected = 1};
    for (uint32_t i = 0; i < TTL_RATES; i++) {
        ttl->sums.watched_s[i] = (double)o.first_ns / ns_per_s;
    }
    int failed = pthread_mutex_init(&ttl->lock, NULL);
    for (uint32_t i = 0; i < STRIPES; i++) {
        failed |= pthread_mutex_init(&ttl->stripes[i], NULL);
    }
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex on Linux */
    *ret = ttl;
    return BRISK_OK;
}

void brisk_ttl_destroy(brisk_ttl *ttl)
{
    if (ttl != NULL) {
        free_ttl(ttl);
    }
}

static void lock(pthread_mutex_t *mutex)
{
    int failed = pthread_mutex_lock(mutex);
    BRISK_ASSERT(failed == 0);
}

static void unlock(pthread_mutex_t *mutex)
{
    int failed = pthread_mutex_unlock(mutex);
    BRISK_ASSERT(failed == 0);
}

/* --- what a load tells --------------------------------------------------------------------- */

/* brisk_ttl_state in the precision of the arithmetic. */
typedef struct ttl_key {
    double life_s;
    double gap_s; /* 0: unknown */
    uint8_t unlikely[TTL_RATES];
} ttl_key;

/* One load after another of the same key. */
typedef struct ttl_sight {
    double seconds; /* since the load before; 0: nothing can be said */
    bool known;     /* whether it changed is known */
    bool changed;
    double requests; /* answered from the cache meanwhile; below 0: not known */
    double age_s;    /* of the value; below 0: not known */
} ttl_sight;

static uint32_t content_of(const brisk_ttl_load *load)
{
    uint32_t content = (uint32_t)(load->content ^ load->content >> 32);
    return load->content != 0 && content == 0 ? 1 : content;
}

static ttl_sight look(const brisk_ttl_state *state, const brisk_ttl_load *load, uint64_t now_ns)
{
    ttl_sight sight = {.requests = load->hits_known ? (double)load->hits : -1, .age_s = -1};
    uint32_t content = content_of(load);
    if (load->modified_ns != 0 && load->modified_ns <= now_ns) {
        sight.age_s = (double)(now_ns - load->modified_ns) / ns_per_s;
    }
    /* A first load, or a clock that was set back. */
    if (state->loaded_ns_ == 0 || now_ns <= state->loaded_ns_) {
        return sight;
    }
    sight.seconds = (double)(now_ns - state->loaded_ns_) / ns_per_s;
    sight.known = load->unchanged || sight.age_s >= 0 || (content != 0 && state->content_ != 0);
    sight.changed = !load->unchanged &&
                    (sight.age_s >= 0 ? sight.age_s < sight.seconds : content != state->content_);
    return sight;
}

/* The request that found the entry expired came so long after its end. */
static double gap_of(const ttl_key *key, const ttl_sight *sight, bool early)
{
    if (sight->requests >= 0) {
        return sight->seconds / (sight->requests + 1);
    }
    return early || sight->seconds < key->life_s ? -1 : sight->seconds - key->life_s;
}

static void note_gap(ttl_key *key, double gap)
{
    gap = fmax(gap, gap_min_s);
    key->gap_s = key->gap_s > 0 ? key->gap_s + (gap - key->gap_s) * gap_weight : gap;
}

static void note_change(ttl_key *key, const ttl_sight *sight)
{
    if (sight->age_s >= 0 && (sight->changed || sight->seconds <= 0)) {
        ttl_model_see_age(key->unlikely, sight->age_s);
    } else if (sight->known) {
        ttl_model_see(key->unlikely, sight->seconds, sight->changed);
    }
}

/* --- sums of all keys, under `lock` -------------------------------------------------------- */

static ttl_belief common_of(const ttl_sums *sums)
{
    ttl_belief common;
    double sum = 0;
    for (uint32_t i = 0; i < TTL_RATES; i++) {
        sum += sums->watched_s[i];
    }
    for (uint32_t i = 0; i < TTL_RATES; i++) {
        common.weights[i] = (sums->watched_s[i] + sum / 100) / (sum * (1 + TTL_RATES / 100.0));
    }
    return common;
}

/* The life that is over, and what was believed when it was chosen. */
static void add_seen(brisk_ttl *ttl, const ttl_key *key, const ttl_sight *sight,
                     const ttl_belief *before)
{
    ttl_sums *sums = &ttl->sums;
    double life = fmin(key->life_s, sight->seconds);
    double requests = sight->requests;
    if (requests < 0) {
        requests = key->gap_s > 0 ? life / key->gap_s : 0;
    }
    ttl->stats.changed += sight->changed ? 1 : 0;
    ttl->stats.unchanged += sight->changed ? 0 : 1;
    requests = fmin(requests, 100); /* no single key is all there is */
    sums->found = sums->found * error_keep + (sight->changed ? requests : 0);
    sums->expected =
        sums->expected * error_keep + requests * ttl_model_change(before, sight->seconds);
}

static void add_watched(ttl_sums *sums, const ttl_belief *after, double seconds)
{
    for (uint32_t i = 0; i < TTL_RATES; i++) {
        sums->watched_s[i] += after->weights[i] * seconds;
    }
    if (++sums->common_loads >= ROUND_COMMON) {
        sums->common_loads = 0;
        for (uint32_t i = 0; i < TTL_RATES; i++) {
            sums->watched_s[i] *= common_keep;
        }
    }
}

static double error_of(const ttl_sums *sums)
{
    double error = (sums->found + 1) / (sums->expected + 1);
    return fmin(fmax(error, 1 / error_max), error_max);
}

/* A life was chosen: what is to be expected of it. */
static void add_chosen(brisk_ttl *ttl, double requests, double stale)
{
    ttl_sums *sums = &ttl->sums;
    ttl->stats.requests += requests + 1;
    ttl->stats.stale += stale;
    sums->round_requests += requests + 1;
    sums->round_stale += stale * error_of(sums);
    if (++sums->round_loads < ROUND) {
        return;
    }
    double share = sums->round_stale / sums->round_requests;
    double ratio = pow(share / ttl->opts.staleness + 1e-3, correction);
    ratio = fmin(fmax(ratio, 1 / correction_max), correction_max);
    sums->cost = fmin(fmax(sums->cost * ratio, cost_min), cost_max);
    sums->round_requests = 0;
    sums->round_stale = 0;
    sums->round_loads = 0;
}

/* --- modes --------------------------------------------------------------------------------- */

static double requests_of(const ttl_key *key, const ttl_sight *sight)
{
    if (sight->requests >= 0) {
        return sight->requests;
    }
    return key->gap_s > 0 ? key->life_s / key->gap_s : 0;
}

static double by_use(const ttl_key *key, const ttl_sight *sight)
{
    double requests = requests_of(key, sight);
    double idle = sight->seconds - key->life_s; /* how long nobody asked, at least */
    if (requests >= 10 && idle <= key->life_s) {
        return key->life_s * 1.5;
    }
    return requests < 2 && idle > key->life_s ? key->life_s * 0.5 : key->life_s;
}

static double by_hit_rate(const ttl_key *key, const ttl_sight *sight)
{
    double requests = requests_of(key, sight);
    double rate = requests / (requests + 1);
    return rate >= 0.9 ? 7200 : rate >= 0.7 ? 3600 : rate >= 0.5 ? 1800 : 600;
}

static double by_rule(const brisk_ttl *ttl, const ttl_key *key, const ttl_sight *sight)
{
    if (sight->seconds > 0 && ttl->opts.mode == BRISK_TTL_USE) {
        return by_use(key, sight);
    }
    if (sight->seconds > 0 && ttl->opts.mode == BRISK_TTL_HIT_RATE) {
        return by_hit_rate(key, sight);
    }
    return (double)ttl->opts.first_ns / ns_per_s;
}

static double adapt(brisk_ttl *ttl, ttl_key *key, const ttl_sight *sight, double gap)
{
    double min = (double)ttl->opts.min_ns / ns_per_s;
    double max = (double)ttl->opts.max_ns / ns_per_s;
    lock(&ttl->lock);
    ttl_belief common = common_of(&ttl->sums);
    if (sight->known) {
        ttl_belief before = ttl_model_belief(&common, key->unlikely);
        add_seen(ttl, key, sight, &before);
    }
    if (gap >= 0) {
        ttl->sums.log_gap += (log(fmax(gap, gap_min_s)) - ttl->sums.log_gap) * all_weight;
    }
    double request = 1 / (key->gap_s > 0 ? key->gap_s : exp(ttl->sums.log_gap));
    double cost = ttl->sums.cost;
    unlock(&ttl->lock);
    note_change(key, sight);
    ttl_belief after = ttl_model_belief(&common, key->unlikely);
    double life = ttl_model_life(&after, request, cost, min, max);
    lock(&ttl->lock);
    add_watched(&ttl->sums, &after, sight->seconds);
    add_chosen(ttl, request * life, ttl_model_stale(&after, request, life));
    unlock(&ttl->lock);
    return life;
}

/* State may come back from anywhere: rubbish is forgotten before it gets into the sums. */
static ttl_key unpack(brisk_ttl_state *state)
{
    ttl_key key = {.life_s = (double)state->life_s_, .gap_s = (double)state->gap_s_};
    bool sound =
        key.life_s >= 0 && key.life_s < seconds_max && key.gap_s >= 0 && key.gap_s < seconds_max;
    if (!sound) { /* also when one of them is no number */
        *state = (brisk_ttl_state){.tag_ = state->tag_};
        key = (ttl_key){.life_s = 0};
    }
    memcpy(key.unlikely, state->unlikely_, sizeof key.unlikely);
    return key;
}

static void pack(brisk_ttl_state *state, const ttl_key *key, const brisk_ttl_load *load,
                 uint64_t now_ns)
{
    uint32_t content = content_of(load);
    state->loaded_ns_ = now_ns;
    state->life_s_ = (float)key->life_s;
    state->gap_s_ = (float)key->gap_s;
    state->content_ = load->unchanged && content == 0 ? state->content_ : content;
    memcpy(state->unlikely_, key->unlikely, sizeof key->unlikely);
}

uint64_t brisk_ttl_loaded_state(brisk_ttl *ttl, brisk_ttl_state *state, const brisk_ttl_load *load)
{
    uint64_t now_ns = brisk_clock_wall_ns(ttl->opts.clock);
    ttl_key key = unpack(state);
    ttl_sight sight = look(state, load, now_ns);
    double gap = sight.seconds > 0 ? gap_of(&key, &sight, load->early) : -1;
    if (gap >= 0) {
        note_gap(&key, gap);
    }
    lock(&ttl->lock);
    ttl->stats.loads++;
    ttl->stats.first += state->loaded_ns_ == 0 ? 1 : 0;
    unlock(&ttl->lock);
    double life = ttl->opts.mode == BRISK_TTL_ADAPTIVE ? adapt(ttl, &key, &sight, gap)
                                                       : by_rule(ttl, &key, &sight);
    double min = (double)ttl->opts.min_ns / ns_per_s;
    double max = (double)ttl->opts.max_ns / ns_per_s;
    key.life_s = fmin(fmax(life, min), max);
    pack(state, &key, load, now_ns);
    uint64_t life_ns = (uint64_t)(key.life_s * ns_per_s);
    life_ns = life_ns > ttl->opts.min_ns ? life_ns : ttl->opts.min_ns;
    return life_ns < ttl->opts.max_ns ? life_ns : ttl->opts.max_ns;
}

/* --- table --------------------------------------------------------------------------------- */

static brisk_ttl_state *state_of(ttl_bucket *bucket, uint32_t tag)
{
    brisk_ttl_state *oldest = &bucket->states[0];
    for (uint32_t way = 0; way < WAYS; way++) {
        brisk_ttl_state *state = &bucket->states[way];
        if (state->tag_ == tag) {
            return state;
        }
        if (state->loaded_ns_ < oldest->loaded_ns_) {
            oldest = state;
        }
    }
    *oldest = (brisk_ttl_state){.tag_ = tag};
    return oldest;
}

uint64_t brisk_ttl_loaded(brisk_ttl *ttl, const brisk_key *key, const brisk_ttl_load *load)
{
    uint64_t index = (key->hash.hi >> 32) * ttl->bucket_count >> 32;
    uint32_t tag = (uint32_t)key->hash.hi;
    tag = tag != 0 ? tag : 1;
    pthread_mutex_t *stripe = &ttl->stripes[index & (STRIPES - 1)];
    lock(stripe);
    uint64_t life = brisk_ttl_loaded_state(ttl, state_of(&ttl->buckets[index], tag), load);
    unlock(stripe);
    return life;
}

void brisk_ttl_read_stats(brisk_ttl *ttl, brisk_ttl_stats *ret)
{
    lock(&ttl->lock);
    *ret = ttl->stats;
    ret->stale_cost = ttl->sums.cost;
    ret->change_error = error_of(&ttl->sums);
    unlock(&ttl->lock);
}
