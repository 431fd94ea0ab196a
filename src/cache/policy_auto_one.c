/*
 * policy_auto_one.c -- large caches: one policy is at work, and hands over to a better one.
 *
 * The panel sees a sample of the keys, chosen by their hash, in caches that are as much smaller
 * (SHARDS).  When its leader has lost fewer by SWITCH_SHARE of a cache than the policy at work,
 * and a while after the last change, it takes over.  That would be O(entries) under the shard's
 * lock, so every request does a little of it:
 *
 *     DRAINS   entries leave the old policy in the order of its victims and wait in a ring
 *     CLEARS   the old policy's memory is made zero; all entries wait
 *     FILLS    the ring's oldest enter the new policy
 *
 * Nothing needs memory for both.  Who waits is in an LRU: a hit makes it the newest, a newcomer of
 * the first two stages is the newest, and the oldest of the ring leave first as long as the new
 * policy has nobody.  A cache of N entries changes hands within about N / 4 requests.
 *
 * Invariant: an entry waits or is the policy's, never both; while CLEARS the policy has none.
 *
 * Source: Waldspurger, Park, Garthwaite, Ahmad, "Efficient MRC construction with SHARDS", 2015;
 * Waldspurger, Saemundsson, Ahmad, Park, "Cache modeling and optimization using miniature
 * simulations", 2017.
 */
#include <string.h>

#include "base/assert.h"
#include "cache/policy_auto.h"

enum {
    PAGE = 4096,
    STEP_ENTRIES = 8, /* for each request */
    STEP_PAGES = 8,
    SWITCH_TURNS = 4,
};

static const double switch_share = 1;
static const double switch_least = 8; /* misses of the sample */

size_t one_bytes(uint32_t id_count)
{
    size_t most = 0;
    for (uint32_t p = 0; p < PANEL_SIZE; p++) {
        size_t bytes = panel_policy(p)->bytes(id_count);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* Up to `pages` more pages of `work` become zero; those that are stay untouched. */
static void clear_pages(cache_policy *self, size_t pages)
{
    static const unsigned char zero[PAGE];
    for (; pages != 0 && self->cleared < self->work_bytes; pages--) {
        unsigned char *at = (unsigned char *)self->work + self->cleared;
        size_t left = self->work_bytes - self->cleared;
        size_t bytes = left < PAGE ? left : PAGE;
        if (memcmp(at, zero, bytes) != 0) {
            memset(at, 0, bytes);
        }
        self->cleared += bytes;
    }
}

void auto_clear_work(cache_policy *self)
{
    self->cleared = 0;
    clear_pages(self, SIZE_MAX);
}

/* --- who waits --------------------------------------------------------------------------- */

static policy_nodes waiting_of(const cache_policy *self)
{
    return (policy_nodes){.base = (unsigned char *)self->waiting, .stride = sizeof(policy_link)};
}

static bool waits(const cache_policy *self, uint32_t id)
{
    return self->stage != ONE_WORKS && list_has(waiting_of(self), AUTO_WAIT_FIRST + id);
}

void auto_nobody_waits(cache_policy *self)
{
    list_init(waiting_of(self), AUTO_WAIT_HEAD);
}

typedef struct gathering {
    cache_policy *self;
    uint32_t after; /* entries are put behind it, each of them newer than the last */
} gathering;

static void gather(void *ctx, uint32_t id)
{
    gathering *g = ctx;
    list_insert(waiting_of(g->self), g->after, AUTO_WAIT_FIRST + id);
}

void auto_gather(cache_policy *self)
{
    gathering g = {.self = self, .after = AUTO_WAIT_HEAD};
    if (self->votes) {
        vote_each(self, gather, &g);
        return;
    }
    if (self->stage == ONE_FILLS) { /* who is there already was to leave before who waits */
        g.after = list_oldest(waiting_of(self), AUTO_WAIT_HEAD);
    }
    if (self->stage != ONE_CLEARS) {
        self->ops->each(self->one, gather, &g);
    }
    self->stage = ONE_CLEARS;
}

uint32_t auto_take(cache_policy *self)
{
    uint32_t at = list_oldest(waiting_of(self), AUTO_WAIT_HEAD);
    if (at == AUTO_WAIT_HEAD) {
        return POLICY_NONE;
    }
    list_remove(waiting_of(self), at);
    return at - AUTO_WAIT_FIRST;
}

/* --- taking over ------------------------------------------------------------------------- */

void one_begin(cache_policy *self, uint32_t p)
{
    self->votes = false;
    self->nodes = NULL;
    self->stage = ONE_FILLS;
    self->ops = panel_policy(p);
    self->one = self->ops->init(self->work, self->id_count);
    self->ops->set_capacity(self->one, self->capacity);
    self->ops->add_ids(self->one, 0, self->id_count);
    self->since_switch = 0;
    self->panel.credited = true; /* a handover costs too much for a guess */
}

static void drain(cache_policy *self)
{
    for (uint32_t i = 0; i < STEP_ENTRIES; i++) {
        uint32_t id = self->ops->victim(self->one);
        if (id == POLICY_NONE) {
            self->stage = ONE_CLEARS;
            self->cleared = 0;
            return;
        }
        self->ops->on_remove(self->one, id);
        list_push(waiting_of(self), AUTO_WAIT_HEAD, AUTO_WAIT_FIRST + id);
    }
}

static void fill(cache_policy *self)
{
    for (uint32_t i = 0; i < STEP_ENTRIES; i++) {
        uint32_t id = auto_take(self);
        if (id == POLICY_NONE) {
            self->stage = ONE_WORKS;
            return;
        }
        policy_entry entry = {
            .id = id, .hash = self->ids[id].hash, .expires_s = self->ids[id].expires_s};
        self->ops->on_insert(self->one, &entry);
    }
}

void one_step(cache_policy *self)
{
    if (self->stage == ONE_DRAINS) {
        drain(self);
    } else if (self->stage == ONE_CLEARS) {
        clear_pages(self, STEP_PAGES);
        if (self->cleared == self->work_bytes) {
            one_begin(self, self->next);
        }
    } else if (self->stage == ONE_FILLS) {
        fill(self);
    }
}

static uint32_t place_of(const policy_ops *ops)
{
    uint32_t p = 0;
    while (panel_policy(p) != ops) {
        p++;
    }
    return p;
}

void one_consider(cache_policy *self)
{
    const policy_panel *panel = &self->panel;
    if (self->stage != ONE_WORKS) {
        return;
    }
    double margin = switch_share * (double)panel->capacity + switch_least;
    double more = panel->lost[place_of(self->ops)] - panel->lost[panel->leader];
    bool waited = self->since_switch >= (uint64_t)SWITCH_TURNS * panel->capacity;
    if (more > margin && (waited || self->entries < self->capacity)) {
        self->next = panel->leader;
        self->stage = ONE_DRAINS;
    }
}

/* --- what the tier tells ----------------------------------------------------------------- */

void one_set_capacity(cache_policy *self)
{
    if (self->stage != ONE_CLEARS) {
        self->ops->set_capacity(self->one, self->capacity);
    }
}

void one_miss(cache_policy *self, uint32_t hash)
{
    bool works = self->stage == ONE_WORKS || self->stage == ONE_FILLS;
    if (works && self->ops->on_miss != NULL) {
        self->ops->on_miss(self->one, hash);
    }
}

void one_insert(cache_policy *self, const policy_entry *entry)
{
    if (self->stage == ONE_WORKS || self->stage == ONE_FILLS) {
        self->ops->on_insert(self->one, entry);
    } else {
        list_push(waiting_of(self), AUTO_WAIT_HEAD, AUTO_WAIT_FIRST + entry->id);
    }
}

void one_hits(cache_policy *self, const policy_hit *hits, uint32_t count)
{
    if (self->stage == ONE_WORKS) {
        self->ops->on_hits(self->one, hits, count);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = AUTO_WAIT_FIRST + hits[i].id;
        if (list_has(waiting_of(self), at)) {
            list_remove(waiting_of(self), at);
            list_push(waiting_of(self), AUTO_WAIT_HEAD, at);
        } else if (self->stage != ONE_CLEARS) {
            self->ops->on_hits(self->one, &hits[i], 1);
        }
    }
}

void one_remove(cache_policy *self, uint32_t id, bool evicted)
{
    if (waits(self, id)) {
        list_remove(waiting_of(self), AUTO_WAIT_FIRST + id);
    } else {
        BRISK_ASSERT(self->stage != ONE_CLEARS);
        (evicted ? self->ops->on_evict : self->ops->on_remove)(self->one, id);
    }
}

void one_move(cache_policy *self, uint32_t from, uint32_t to)
{
    if (waits(self, from)) {
        list_replace(waiting_of(self), AUTO_WAIT_FIRST + from, AUTO_WAIT_FIRST + to);
    } else {
        BRISK_ASSERT(self->stage != ONE_CLEARS);
        self->ops->on_move(self->one, from, to);
    }
}

void one_expiry(cache_policy *self, uint32_t id, uint32_t expires_s)
{
    if (!waits(self, id) && self->stage != ONE_CLEARS && self->ops->on_expiry != NULL) {
        self->ops->on_expiry(self->one, id, expires_s);
    }
}

uint32_t one_victim(cache_policy *self)
{
    uint32_t oldest = list_oldest(waiting_of(self), AUTO_WAIT_HEAD);
    bool anybody = oldest != AUTO_WAIT_HEAD;
    if (anybody && (self->stage == ONE_DRAINS || self->stage == ONE_CLEARS)) {
        return oldest - AUTO_WAIT_FIRST;
    }
    uint32_t id = self->stage != ONE_CLEARS ? self->ops->victim(self->one) : POLICY_NONE;
    return id == POLICY_NONE && anybody ? oldest - AUTO_WAIT_FIRST : id;
}

static void each_waiting(const cache_policy *self, policy_each_fn *fn, void *ctx)
{
    policy_nodes nodes = waiting_of(self);
    for (uint32_t at = list_oldest(nodes, AUTO_WAIT_HEAD); at != AUTO_WAIT_HEAD;
         at = list_at(nodes, at)->prev) {
        fn(ctx, at - AUTO_WAIT_FIRST);
    }
}

void one_each(const cache_policy *self, policy_each_fn *fn, void *ctx)
{
    if (self->stage == ONE_FILLS) {
        self->ops->each(self->one, fn, ctx);
    }
    each_waiting(self, fn, ctx);
    if (self->stage == ONE_WORKS || self->stage == ONE_DRAINS) {
        self->ops->each(self->one, fn, ctx);
    }
}

static void count_one(void *ctx, uint32_t id)
{
    (void)id;
    uint32_t *count = ctx;
    (*count)++;
}

bool one_is_valid(const cache_policy *self)
{
    uint32_t end = self->id_count + AUTO_WAIT_FIRST;
    uint32_t waiting = list_count(waiting_of(self), AUTO_WAIT_HEAD, self->entries, end);
    uint32_t count = 0;
    if (waiting == UINT32_MAX || (self->stage == ONE_WORKS && waiting != 0)) {
        return false;
    }
    if (self->stage != ONE_CLEARS && !self->ops->is_valid(self->one)) {
        return false;
    }
    one_each(self, count_one, &count);
    return count == self->entries;
}
