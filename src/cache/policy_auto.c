/*
 * policy_auto.c -- the policy that chooses itself.
 *
 * All nine policies run on hashes beside the real cache (policy_panel), from the first requests
 * on.  A cache small enough for that is simulated whole, and its entries are voted on
 * (policy_auto_vote.c).  For a larger one the panel sees a sample of the keys, and one policy is
 * at work until another has earned its place (policy_auto_one.c).
 *
 * The panel takes AUTO_PANEL_SHARE bytes for each id, which is part of bytes() and so charged; how
 * many entries it simulates follows from that: some 30 ids' worth of memory simulate one entry.  Where
 * entries are large, most ids are never used, and set_room says how much of that memory may be.
 * While less than half of the capacity is used, nobody has to leave soon: where it sees all keys
 * of more than SLEEP_FROM entries the panel sleeps until then and is told what there is.
 *
 * Invariant: an entry's ids[] are what on_insert and on_expiry said; exactly one half is at work.
 * Source: G. Waldspurger et al., see policy_auto_one.c; Blum, Burch, "On-line learning and the
 * metrical task system problem", 1997 (experts that hold caches).  Voting by holders is ours.
 */
#include <string.h>

#include "base/assert.h"
#include "cache/policy_auto.h"

enum {
    SLEEP_FROM = 4096,
    SAMPLE_AIM = 8192, /* entries in each cache of the panel when it sees a sample */
    WEIGH_LEAST = 4,
    WEIGH_SHARE = 32,
    PANEL_LEAST = 16, /* entries; or all */
};

typedef struct auto_plan {
    size_t work_at, work_bytes, waiting_at, heads_at, panel_at, end;
    uint32_t sim_max;
    uint32_t heads;
} auto_plan;

static size_t line_up(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static auto_plan plan_for(uint32_t id_count)
{
    uint32_t least = id_count < PANEL_LEAST ? id_count : PANEL_LEAST;
    least = least != 0 ? least : 1;
    uint32_t fit = panel_fit((size_t)id_count * AUTO_PANEL_SHARE);
    fit = fit < id_count ? fit : id_count;
    auto_plan plan = {.sim_max = fit > least ? fit : least, .heads = 16};
    while (plan.heads < plan.sim_max) {
        plan.heads *= 2;
    }
    size_t nodes = ((size_t)id_count + AUTO_FIRST) * sizeof(auto_node);
    size_t one = one_bytes(id_count);
    plan.work_at = line_up(sizeof(struct cache_policy) + (size_t)id_count * sizeof(auto_id));
    plan.work_bytes = nodes > one ? nodes : one;
    plan.waiting_at = line_up(plan.work_at + plan.work_bytes);
    size_t waiting = ((size_t)id_count + AUTO_WAIT_FIRST) * sizeof(policy_link);
    plan.heads_at = line_up(plan.waiting_at + waiting);
    plan.panel_at = line_up(plan.heads_at + plan.heads * sizeof(uint32_t));
    plan.end = plan.panel_at + panel_bytes(plan.sim_max);
    return plan;
}

static size_t auto_bytes(uint32_t id_count)
{
    return plan_for(id_count).end;
}

static cache_policy *auto_init(void *storage, uint32_t id_count)
{
    BRISK_ASSERT(id_count <= POLICY_IDS_MAX);
    auto_plan plan = plan_for(id_count);
    unsigned char *at = storage;
    cache_policy *self = storage;
    void *waiting = at + plan.waiting_at;
    void *heads = at + plan.heads_at;
    self->id_count = id_count;
    self->capacity = id_count;
    self->work = at + plan.work_at;
    self->work_bytes = plan.work_bytes;
    self->waiting = waiting;
    self->heads = heads;
    self->heads_mask = plan.heads - 1;
    self->rate = UINT32_MAX;
    self->sim_room = plan.sim_max;
    auto_nobody_waits(self);
    panel_init(&self->panel, at + plan.panel_at, plan.sim_max);
    if (id_count <= plan.sim_max) {
        vote_begin(self);
        self->asleep = id_count >= SLEEP_FROM;
    } else {
        one_begin(self, 0);
    }
    return self;
}

static void auto_add_ids(cache_policy *self, uint32_t first, uint32_t count)
{
    BRISK_ASSERT(first <= self->id_count && count <= self->id_count - first);
}

/* --- what the panel sees ----------------------------------------------------------------- */

static bool is_sampled(const cache_policy *self, uint32_t hash)
{
    hash = (hash ^ hash >> 16) * UINT32_C(0x7feb352d);
    hash = (hash ^ hash >> 15) * UINT32_C(0x846ca68b);
    return (hash ^ hash >> 16) <= self->rate;
}

static void weigh(cache_policy *self)
{
    self->since_switch++;
    if (self->until_weigh != 0) {
        self->until_weigh--;
        return;
    }
    self->until_weigh = WEIGH_LEAST + self->panel.capacity / WEIGH_SHARE;
    panel_weigh(&self->panel);
    if (!self->votes) {
        one_consider(self);
    }
}

static void tell_panel(cache_policy *self, uint32_t hash)
{
    if (self->asleep || !is_sampled(self, hash)) {
        return;
    }
    panel_change change;
    panel_request(&self->panel, hash, &change);
    if (self->votes) {
        for (; change.evicted != 0; change.evicted &= change.evicted - 1) {
            uint32_t p = (uint32_t)__builtin_ctz(change.evicted);
            vote_withdraw(self, change.gone[p], p);
        }
    }
    weigh(self);
}

static void feed(void *ctx, uint32_t id)
{
    cache_policy *self = ctx;
    panel_feed(&self->panel, self->ids[id].hash);
}

/* The panel of the voting half, which sees all keys, learns what is there, oldest first. */
static void wake_up(cache_policy *self)
{
    BRISK_ASSERT(self->votes);
    self->asleep = false;
    vote_each(self, feed, self);
    vote_recount(self);
}

/* --- capacity ---------------------------------------------------------------------------- */

static void auto_set_room(cache_policy *self, size_t bytes)
{
    uint32_t fit = panel_fit(bytes);
    uint32_t least = self->panel.sim_max < PANEL_LEAST ? self->panel.sim_max : PANEL_LEAST;
    fit = fit > least ? fit : least;
    self->sim_room = fit < self->panel.sim_max ? fit : self->panel.sim_max;
}

static void feed_unsampled(void *ctx, uint32_t id)
{
    const cache_policy *self = ctx;
    if (!is_sampled(self, self->ids[id].hash)) {
        feed(ctx, id);
    }
}

static void become_small(cache_policy *self)
{
    self->asleep = self->entries == 0 && self->capacity >= SLEEP_FROM;
    one_each(self, feed_unsampled, self);
    auto_gather(self);
    auto_clear_work(self);
    self->rate = UINT32_MAX;
    vote_begin(self);
    for (uint32_t id; (id = auto_take(self)) != POLICY_NONE;) {
        vote_insert(self, id, panel_holders(&self->panel, self->ids[id].hash));
    }
}

static void become_large(cache_policy *self)
{
    if (self->asleep) {
        wake_up(self);
    }
    auto_gather(self);
    auto_clear_work(self);
    one_begin(self, self->panel.leader);
}

/* Entries of the panel's caches for the capacity; sets the rate that goes with them. */
static uint32_t choose_sample(cache_policy *self)
{
    uint32_t aim = self->sim_room < SAMPLE_AIM ? self->sim_room : SAMPLE_AIM;
    double rate = (double)aim / (double)self->capacity;
    double now = (double)self->rate / (double)UINT32_MAX;
    bool fits = now * (double)self->capacity <= (double)self->sim_room;
    if (self->rate == UINT32_MAX || !fits || rate > 2 * now) {
        self->rate = rate < 1 ? (uint32_t)(rate * (double)UINT32_MAX) : UINT32_MAX;
        now = (double)self->rate / (double)UINT32_MAX;
    }
    uint32_t entries = (uint32_t)(now * (double)self->capacity + 0.5);
    return entries == 0 ? 1 : entries < self->sim_room ? entries : self->sim_room;
}

static void auto_set_capacity(cache_policy *self, uint32_t entries)
{
    entries = entries != 0 ? entries : 1;
    bool small = entries <= self->sim_room;
    bool shrinks = entries < self->capacity;
    self->capacity = entries;
    if (small && !self->votes) {
        panel_set_capacity(&self->panel, entries);
        become_small(self);
    } else if (!small && self->votes) {
        become_large(self);
    }
    if (small) {
        self->rate = UINT32_MAX;
        panel_set_capacity(&self->panel, entries);
        if (shrinks && !self->asleep) {
            vote_recount(self);
        }
    } else {
        panel_set_capacity(&self->panel, choose_sample(self));
        one_set_capacity(self);
    }
    if (self->asleep && (entries < SLEEP_FROM || self->entries >= entries / 2)) {
        wake_up(self);
    }
}

/* --- the interface ----------------------------------------------------------------------- */

static void auto_on_miss(cache_policy *self, uint32_t hash)
{
    if (self->asleep && self->entries >= self->capacity / 2) {
        wake_up(self);
    }
    tell_panel(self, hash);
    self->pending = hash;
    self->is_pending = true;
    if (!self->votes) {
        one_step(self);
        one_miss(self, hash);
    }
}

static void auto_on_expiry(cache_policy *self, uint32_t id, uint32_t expires_s)
{
    BRISK_ASSERT(id < self->id_count);
    if (self->ids[id].expires_s == expires_s) {
        return;
    }
    self->ids[id].expires_s = expires_s;
    if (is_sampled(self, self->ids[id].hash)) {
        panel_expiry(&self->panel, self->ids[id].hash, expires_s);
    }
    if (!self->votes) {
        one_expiry(self, id, expires_s);
    }
}

static void auto_on_insert(cache_policy *self, const policy_entry *entry)
{
    BRISK_ASSERT(entry->id < self->id_count);
    if (!self->is_pending || self->pending != entry->hash) {
        auto_on_miss(self, entry->hash);
    }
    self->is_pending = false;
    self->entries++;
    self->ids[entry->id].hash = entry->hash;
    if (self->ids[entry->id].expires_s != 0) {
        self->ids[entry->id].expires_s = 0; /* else the page stays untouched */
    }
    if (self->votes) {
        BRISK_ASSERT(!vote_has(self, entry->id));
        vote_insert(self, entry->id, self->asleep ? 0 : self->panel.members);
    } else {
        policy_entry known = {.id = entry->id, .hash = entry->hash};
        one_insert(self, &known);
    }
    auto_on_expiry(self, entry->id, entry->expires_s);
}

static void auto_on_hits(cache_policy *self, const policy_hit *hits, uint32_t count)
{
    if (!self->votes) {
        one_hits(self, hits, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        BRISK_ASSERT(hits[i].id < self->id_count);
        uint32_t hash = self->ids[hits[i].id].hash;
        if (self->votes && !vote_has(self, hits[i].id)) {
            continue; /* no entry any more */
        }
        tell_panel(self, hash);
        if (self->votes) {
            vote_hit(self, hits[i].id, self->asleep ? 0 : self->panel.members);
        } else {
            one_step(self);
        }
    }
}

static void forget(cache_policy *self, uint32_t id)
{
    BRISK_ASSERT(id < self->id_count && self->entries != 0);
    self->entries--;
    if (self->votes) {
        vote_remove(self, id);
    }
}

static void auto_on_remove(cache_policy *self, uint32_t id)
{
    forget(self, id);
    if (!self->votes) {
        one_remove(self, id, false);
    }
    if (!self->asleep && is_sampled(self, self->ids[id].hash)) {
        panel_remove(&self->panel, self->ids[id].hash);
    }
}

static void auto_on_evict(cache_policy *self, uint32_t id)
{
    forget(self, id);
    if (!self->votes) {
        one_remove(self, id, true);
    }
}

static void auto_on_move(cache_policy *self, uint32_t from, uint32_t to)
{
    BRISK_ASSERT(from < self->id_count && to < self->id_count);
    self->ids[to] = self->ids[from];
    if (self->votes) {
        BRISK_ASSERT(vote_has(self, from) && !vote_has(self, to));
        vote_move(self, from, to);
    } else {
        one_move(self, from, to);
    }
}

static uint32_t auto_victim(cache_policy *self)
{
    return self->votes ? vote_victim(self) : one_victim(self);
}

static void auto_each(const cache_policy *self, policy_each_fn *fn, void *ctx)
{
    if (self->votes) {
        vote_each(self, fn, ctx);
    } else {
        one_each(self, fn, ctx);
    }
}

static const char *auto_at_work(const cache_policy *self)
{
    return self->votes ? panel_policy(self->panel.leader)->name : self->ops->name;
}

static bool auto_is_valid(const cache_policy *self)
{
    bool valid = self->votes ? vote_is_valid(self) : one_is_valid(self);
    return valid && panel_is_valid(&self->panel);
}

const policy_ops policy_auto = {
    .name = "auto",
    .ids_at = offsetof(struct cache_policy, ids),
    .id_bytes = sizeof(auto_id),
    .bytes = auto_bytes,
    .init = auto_init,
    .add_ids = auto_add_ids,
    .set_room = auto_set_room,
    .set_capacity = auto_set_capacity,
    .on_miss = auto_on_miss,
    .on_insert = auto_on_insert,
    .on_hits = auto_on_hits,
    .on_remove = auto_on_remove,
    .on_evict = auto_on_evict,
    .on_move = auto_on_move,
    .on_expiry = auto_on_expiry,
    .victim = auto_victim,
    .each = auto_each,
    .at_work = auto_at_work,
    .is_valid = auto_is_valid,
};
