/*
 * mrc.c -- stack distances of a sample behind <brisk/mrc.h>.
 *
 * Followed keys have places 1, 2, ... in the order of their last use.  A tree of sums (Fenwick)
 * counts places in use, so that how many keys were used since a key's last use is one sum: its
 * stack distance.  Places run out after 2 * keys_max uses; then the keys are numbered anew.
 *
 *     followed keys   a  b     c  d           distance of b: in use behind it = 2
 *     places          1  2  3  4  5  6
 *
 * A sampled request counts for as many as its sample rate stands for, in a histogram of distances
 * with 16 buckets for each power of two.  What the weights add up to less or more than there were
 * requests is put to the smallest distance, as in SHARDS-adj: hot keys in or out of the sample.
 *
 * Invariant: exactly the keys in the table have places, all different, and the tree counts them.
 */
#include <math.h>
#include <string.h>

#include <brisk/mrc.h>

#include "base/assert.h"
#include "cache/policy_sim.h"

enum {
    KEYS_DEFAULT = 8192,
    SUB_BITS = 4,
    SUB = 1 << SUB_BITS,
    BUCKETS = (64 - SUB_BITS + 1) * SUB,
    SIZES = 8, /* simulated for each policy: keys_max, half of it, ... */
    ALIGN = 64,
};

typedef struct mrc_key {
    uint32_t hash;
    uint32_t place; /* 0: this slot is empty */
} mrc_key;

typedef struct mrc_sims {
    const policy_ops *ops;
    policy_sim sims[SIZES];
    double misses[SIZES];
    double asked; /* requests that the sample stands for */
} mrc_sims;

struct brisk_mrc {
    const brisk_alloc *alloc;
    size_t bytes;
    mrc_key *table;
    uint32_t *sums;  /* 1 .. places */
    uint32_t *order; /* slot + 1 at each place, or 0 */
    uint32_t mask;
    uint32_t places;
    uint32_t next; /* place */
    uint32_t keys;
    uint32_t keys_max;
    uint32_t shift; /* one key in 2^shift is followed, of those that come by ... */
    uint32_t outer; /* ... which are one in so many */
    uint32_t policy_count;
    uint64_t half_life;
    uint64_t until_half;
    double requests; /* all, weighted by age */
    double counted;  /* weights in buckets and first */
    double first;    /* keys that were not known */
    double buckets[BUCKETS];
    mrc_sims policies[BRISK_MRC_POLICIES_MAX];
};

static uint32_t bucket_of(uint64_t distance)
{
    if (distance < SUB) {
        return (uint32_t)distance;
    }
    uint32_t top = 63 - (uint32_t)__builtin_clzll(distance);
    return (top - SUB_BITS + 1) * SUB + (uint32_t)(distance >> (top - SUB_BITS) & (SUB - 1));
}

/* The first distance of bucket `i`. */
static double bucket_begin(uint32_t i)
{
    if (i < SUB) {
        return (double)i;
    }
    uint32_t power = i / SUB - 1;
    return (double)(SUB + i % SUB) * (double)(UINT64_C(1) << power);
}

/* --- life -------------------------------------------------------------------------------- */

static uint32_t sim_size(uint32_t keys_max, uint32_t i)
{
    uint32_t size = keys_max >> (SIZES - 1 - i);
    return size != 0 ? size : 1;
}

static size_t line_up(size_t bytes)
{
    return (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static size_t sims_bytes(const policy_ops *ops, uint32_t keys_max)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < SIZES; i++) {
        bytes += sim_bytes(ops, sim_size(keys_max, i));
    }
    return bytes;
}

/* Where the parts lie; *ret_sims is the first of the simulations. */
static size_t plan(uint32_t keys_max, uint32_t slots, size_t *ret_sums, size_t *ret_order,
                   size_t *ret_sims)
{
    size_t at = line_up(sizeof(brisk_mrc)) + slots * sizeof(mrc_key);
    *ret_sums = at;
    at += (2 * (size_t)keys_max + 1) * sizeof(uint32_t);
    *ret_order = at;
    at += (2 * (size_t)keys_max + 1) * sizeof(uint32_t);
    *ret_sims = line_up(at);
    return *ret_sims;
}

static void start_sims(brisk_mrc *mrc, unsigned char *at)
{
    for (uint32_t p = 0; p < mrc->policy_count; p++) {
        mrc_sims *sims = &mrc->policies[p];
        for (uint32_t i = 0; i < SIZES; i++) {
            uint32_t size = sim_size(mrc->keys_max, i);
            sim_init(&sims->sims[i], sims->ops, at, size);
            at += sim_bytes(sims->ops, size);
        }
    }
}

brisk_err brisk_mrc_create(const brisk_mrc_opts *opts, brisk_mrc **ret)
{
    BRISK_ASSERT(ret != NULL);
    static const brisk_mrc_opts defaults = {0};
    opts = opts != NULL ? opts : &defaults;
    uint32_t keys_max = opts->keys_max != 0 ? opts->keys_max : KEYS_DEFAULT;
    if (keys_max < BRISK_MRC_KEYS_MIN || keys_max > BRISK_MRC_KEYS_MAX ||
        opts->policy_count > BRISK_MRC_POLICIES_MAX) {
        return BRISK_ERR_INVALID;
    }
    uint32_t slots = 1;
    while (slots < 2 * keys_max) {
        slots *= 2;
    }
    size_t sums_at;
    size_t order_at;
    size_t sims_at;
    size_t bytes = plan(keys_max, slots, &sums_at, &order_at, &sims_at);
    const policy_ops *ops[BRISK_MRC_POLICIES_MAX];
    for (uint32_t p = 0; p < opts->policy_count; p++) {
        ops[p] = policy_find(opts->policies[p]);
        if (ops[p] == NULL) {
            return BRISK_ERR_INVALID;
        }
        bytes += sims_bytes(ops[p], keys_max);
    }
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    unsigned char *block = alloc->acquire(alloc->ctx, bytes, ALIGN);
    if (block == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(block, 0, bytes);
    void *parts[] = {block, block + line_up(sizeof(brisk_mrc)), block + sums_at, block + order_at};
    brisk_mrc *mrc = parts[0];
    mrc->alloc = alloc;
    mrc->bytes = bytes;
    mrc->table = parts[1];
    mrc->sums = parts[2];
    mrc->order = parts[3];
    mrc->mask = slots - 1;
    mrc->places = 2 * keys_max;
    mrc->next = 1;
    mrc->outer = 1;
    mrc->keys_max = keys_max;
    mrc->half_life = opts->half_life;
    mrc->until_half = opts->half_life;
    mrc->policy_count = opts->policy_count;
    for (uint32_t p = 0; p < opts->policy_count; p++) {
        mrc->policies[p].ops = ops[p];
    }
    start_sims(mrc, block + sims_at);
    *ret = mrc;
    return BRISK_OK;
}

void brisk_mrc_destroy(brisk_mrc *mrc)
{
    if (mrc != NULL) {
        mrc->alloc->release(mrc->alloc->ctx, mrc, mrc->bytes, ALIGN);
    }
}

/* --- places ------------------------------------------------------------------------------ */

static void add_at(brisk_mrc *mrc, uint32_t place, uint32_t value)
{
    for (; place <= mrc->places; place += place & -place) {
        mrc->sums[place] += value; /* modulo 2^32: taking one away is adding UINT32_MAX */
    }
}

static uint32_t sum_to(const brisk_mrc *mrc, uint32_t place)
{
    uint32_t sum = 0;
    for (; place != 0; place -= place & -place) {
        sum += mrc->sums[place];
    }
    return sum;
}

static uint32_t slot_of(const brisk_mrc *mrc, uint32_t hash)
{
    uint32_t slot = (hash * UINT32_C(0x85ebca6b) >> 4) & mrc->mask;
    while (mrc->table[slot].place != 0 && mrc->table[slot].hash != hash) {
        slot = (slot + 1) & mrc->mask;
    }
    return slot;
}

static bool is_followed(const brisk_mrc *mrc, uint32_t hash)
{
    hash = (hash ^ hash >> 16) * UINT32_C(0x7feb352d);
    hash = (hash ^ hash >> 15) * UINT32_C(0x846ca68b);
    hash ^= hash >> 16;
    return mrc->shift == 0 || hash >> (32 - mrc->shift) == 0;
}

/* Give new places to the keys that are followed, in the order of the old ones. */
static void renumber(brisk_mrc *mrc)
{
    uint32_t last = mrc->next;
    uint32_t count = 0;
    for (uint32_t place = 1; place < last; place++) {
        uint32_t slot = mrc->order[place];
        if (slot != 0) {
            uint32_t hash = mrc->table[slot - 1].hash;
            mrc->order[place] = 0;
            if (is_followed(mrc, hash)) {
                mrc->order[++count] = hash; /* until the table is new */
            }
        }
    }
    memset(mrc->table, 0, ((size_t)mrc->mask + 1) * sizeof mrc->table[0]);
    memset(mrc->sums, 0, ((size_t)mrc->places + 1) * sizeof mrc->sums[0]);
    for (uint32_t place = 1; place <= count; place++) {
        uint32_t hash = mrc->order[place];
        uint32_t slot = slot_of(mrc, hash);
        mrc->table[slot] = (mrc_key){.hash = hash, .place = place};
        mrc->order[place] = slot + 1;
        add_at(mrc, place, 1);
    }
    mrc->next = count + 1;
    mrc->keys = count;
}

/* Take the keys that are not followed any more out of a simulated cache. */
static void thin_out(const brisk_mrc *mrc, policy_sim *sim)
{
    for (uint32_t id = 0; id < sim->used; id++) {
        if (!is_followed(mrc, sim->hashes[id])) {
            sim_remove(sim, sim->hashes[id]);
        }
    }
}

/* Follow half as many. */
static void halve_rate(brisk_mrc *mrc)
{
    mrc->shift++;
    renumber(mrc);
    for (uint32_t p = 0; p < mrc->policy_count; p++) {
        mrc_sims *sims = &mrc->policies[p];
        for (uint32_t i = 0; i < SIZES; i++) {
            thin_out(mrc, &sims->sims[i]);
        }
        sims->asked = 0; /* the sizes mean twice as much now */
        memset(sims->misses, 0, sizeof sims->misses);
    }
}

/* --- requests ---------------------------------------------------------------------------- */

static void grow_older(brisk_mrc *mrc)
{
    mrc->until_half = mrc->half_life;
    mrc->requests /= 2;
    mrc->counted /= 2;
    mrc->first /= 2;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        mrc->buckets[i] /= 2;
    }
    for (uint32_t p = 0; p < mrc->policy_count; p++) {
        mrc->policies[p].asked /= 2;
        for (uint32_t i = 0; i < SIZES; i++) {
            mrc->policies[p].misses[i] /= 2;
        }
    }
}

static void ask_policies(brisk_mrc *mrc, uint32_t hash)
{
    for (uint32_t p = 0; p < mrc->policy_count; p++) {
        mrc_sims *sims = &mrc->policies[p];
        for (uint32_t i = 0; i < SIZES; i++) {
            uint32_t gone;
            bool any;
            sims->misses[i] += sim_request(&sims->sims[i], hash, 0, &gone, &any) ? 0 : 1;
        }
    }
}

/* A request of a followed key that counts for `weight`. */
static void follow(brisk_mrc *mrc, uint32_t hash, double weight)
{
    if (mrc->next > mrc->places) {
        renumber(mrc);
    }
    uint32_t slot = slot_of(mrc, hash);
    uint32_t place = mrc->table[slot].place;
    mrc->counted += weight;
    if (place != 0) {
        uint32_t since = mrc->keys - sum_to(mrc, place);
        mrc->buckets[bucket_of((uint64_t)((double)since * weight))] += weight;
        add_at(mrc, place, UINT32_MAX);
        mrc->order[place] = 0;
    } else {
        mrc->first += weight;
        mrc->keys++;
    }
    mrc->table[slot] = (mrc_key){.hash = hash, .place = mrc->next};
    mrc->order[mrc->next] = slot + 1;
    add_at(mrc, mrc->next++, 1);
    ask_policies(mrc, hash);
    if (mrc->keys > mrc->keys_max) {
        halve_rate(mrc);
    }
}

void brisk_mrc_sampled(brisk_mrc *mrc, uint32_t hash, uint32_t one_in)
{
    BRISK_ASSERT(one_in != 0);
    mrc->outer = one_in;
    mrc->requests += one_in;
    for (uint32_t p = 0; p < mrc->policy_count; p++) {
        mrc->policies[p].asked += one_in;
    }
    if (mrc->half_life != 0) {
        mrc->until_half -= one_in < mrc->until_half ? one_in : mrc->until_half;
        if (mrc->until_half == 0) {
            grow_older(mrc);
        }
    }
    if (is_followed(mrc, hash)) {
        follow(mrc, hash, brisk_mrc_one_in(mrc));
    }
}

void brisk_mrc_request(brisk_mrc *mrc, uint64_t key)
{
    brisk_mrc_sampled(mrc, (uint32_t)(key >> 32), 1);
}

/* --- reading ----------------------------------------------------------------------------- */

double brisk_mrc_lru(const brisk_mrc *mrc, uint64_t entries)
{
    if (mrc->requests <= 0) {
        return 1;
    }
    double hits = mrc->requests - mrc->counted; /* of hot keys, or too many of them: negative */
    for (uint32_t i = 0; i < BUCKETS && bucket_begin(i) < (double)entries; i++) {
        double end = bucket_begin(i + 1);
        double part = (double)entries >= end
                          ? 1
                          : ((double)entries - bucket_begin(i)) / (end - bucket_begin(i));
        hits += mrc->buckets[i] * part;
    }
    double ratio = 1 - hits / mrc->requests;
    return entries == 0 || ratio > 1 ? 1 : ratio < 0 ? 0 : ratio;
}

double brisk_mrc_policy(const brisk_mrc *mrc, const char *policy, uint64_t entries)
{
    const mrc_sims *sims = NULL;
    for (uint32_t p = 0; p < mrc->policy_count; p++) {
        if (strcmp(mrc->policies[p].ops->name, policy) == 0) {
            sims = &mrc->policies[p];
        }
    }
    if (sims == NULL) {
        return -1;
    }
    double at = log1p((double)entries); /* curves are straighter over the logarithm */
    double x = 0;
    double y = 1;
    for (uint32_t i = 0; i < SIZES && sims->asked > 0; i++) {
        double next_x = log1p((double)sims->sims[i].capacity * brisk_mrc_one_in(mrc));
        double next_y = sims->misses[i] * brisk_mrc_one_in(mrc) / sims->asked;
        next_y = next_y < 1 ? next_y : 1;
        if (at <= next_x) {
            return y + (next_y - y) * (at - x) / (next_x - x);
        }
        x = next_x;
        y = next_y;
    }
    return y;
}

double brisk_mrc_least(const brisk_mrc *mrc)
{
    return brisk_mrc_lru(mrc, UINT64_C(1) << 62);
}

uint64_t brisk_mrc_keys(const brisk_mrc *mrc)
{
    return (uint64_t)((double)mrc->keys * brisk_mrc_one_in(mrc));
}

double brisk_mrc_one_in(const brisk_mrc *mrc)
{
    return (double)(UINT64_C(1) << mrc->shift) * mrc->outer;
}
