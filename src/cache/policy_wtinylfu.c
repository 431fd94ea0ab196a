/*
 * policy_wtinylfu.c -- W-TinyLFU: a window for newcomers, and a main part that must be earned.
 *
 *     new key --> window (LRU) --oldest--> more frequent than main's oldest?  yes: probation
 *                                                                             no:  victim
 *     probation --hit--> protected (80 % of main) --oldest--> probation
 *
 * Frequencies come from a sketch that also knows keys which are gone.  How large the window is, is
 * climbed: every PERIOD requests for each entry the hit rate is compared with the one before, and
 * the step is taken again in the same direction, or turned around when it went down.  Steps fade
 * out, and begin anew after a jump of the hit rate.
 *
 * Window and main hold one entry at least where the capacity allows both, and the climber sees
 * PERIOD_MIN requests at least, so that it works for a few entries too.
 *
 * Invariant: an entry is in exactly one of three rings; used[] counts them.
 * Sources: Einziger, Friedman, Manes, "TinyLFU", 2017; Einziger, Eytan, Friedman, Manes, "Adaptive
 * software cache management", Middleware 2018 (climber).
 */
#include "base/assert.h"
#include "cache/policy.h"
#include "cache/policy_list.h"
#include "cache/policy_sketch.h"

enum {
    WINDOW = 1,
    PROBATION = 2,
    PROTECTED = 3,
    FIRST = 4,
    WINDOW_SHARE = 100, /* at first */
    PERIOD = 10,
    PERIOD_MIN = 500,
};

static const double step_share = 0.0625;
static const double step_decay = 0.98;
static const double restart_at = 0.05; /* of the hit rate */
static const double protected_share = 0.8;

typedef struct wtl_node {
    policy_link link;
    uint32_t hash;
    uint32_t ring;
} wtl_node;

struct cache_policy {
    uint32_t id_count;
    uint32_t capacity;
    uint32_t used[FIRST];
    uint32_t window_max;
    uint32_t protected_max;
    uint32_t hits; /* since the climber's last step */
    uint32_t misses;
    bool has_rate;
    double rate;   /* of the period before */
    double step;   /* in entries, signed */
    double window; /* what window_max is rounded from */
    policy_sketch sketch;
    wtl_node nodes[];
};

static policy_nodes nodes_of(const cache_policy *self)
{
    return (policy_nodes){.base = (unsigned char *)(uintptr_t)self->nodes,
                          .stride = sizeof(wtl_node)};
}

static size_t nodes_end(uint32_t id_count)
{
    size_t end = sizeof(struct cache_policy) + ((size_t)id_count + FIRST) * sizeof(wtl_node);
    return (end + 63) & ~(size_t)63;
}

static size_t wtl_bytes(uint32_t id_count)
{
    return nodes_end(id_count) + sketch_bytes(id_count);
}

/* Sizes of the parts from the wanted size of the window. */
static void set_window(cache_policy *self, double window)
{
    double most = self->capacity > 1 ? (double)(self->capacity - 1) : (double)self->capacity;
    double least = self->capacity != 0 ? 1 : 0;
    self->window = window < least ? least : window > most ? most : window;
    self->window_max = (uint32_t)(self->window + 0.5);
    double main = (double)(self->capacity - self->window_max);
    self->protected_max = (uint32_t)(main * protected_share);
}

static void wtl_set_capacity(cache_policy *self, uint32_t entries)
{
    double share = self->capacity != 0 ? self->window / (double)self->capacity : 0;
    double scale = self->capacity != 0 ? (double)entries / (double)self->capacity : 0;
    bool first = self->used[WINDOW] + self->used[PROBATION] + self->used[PROTECTED] == 0;
    self->capacity = entries;
    sketch_set_entries(&self->sketch, entries);
    self->step *= scale;
    if (first) {
        share = 1.0 / WINDOW_SHARE;
        self->step = step_share * (double)entries;
    }
    set_window(self, share * (double)entries);
}

static cache_policy *wtl_init(void *storage, uint32_t id_count)
{
    BRISK_ASSERT(id_count <= POLICY_IDS_MAX);
    cache_policy *self = storage;
    self->id_count = id_count;
    sketch_init(&self->sketch, (unsigned char *)storage + nodes_end(id_count), id_count);
    for (uint32_t ring = WINDOW; ring <= PROTECTED; ring++) {
        list_init(nodes_of(self), ring);
    }
    wtl_set_capacity(self, id_count);
    return self;
}

static void wtl_add_ids(cache_policy *self, uint32_t first, uint32_t count)
{
    BRISK_ASSERT(first <= self->id_count && count <= self->id_count - first);
}

static void push(cache_policy *self, uint32_t ring, uint32_t index)
{
    list_push(nodes_of(self), ring, index);
    self->nodes[index].ring = ring;
    self->used[ring]++;
}

static void pull(cache_policy *self, uint32_t index)
{
    list_remove(nodes_of(self), index);
    self->used[self->nodes[index].ring]--;
}

/* The oldest of a ring, or 0. */
static uint32_t oldest_of(const cache_policy *self, uint32_t ring)
{
    uint32_t oldest = list_oldest(nodes_of(self), ring);
    return oldest == ring ? 0 : oldest;
}

static void shift(cache_policy *self, uint32_t from, uint32_t to)
{
    uint32_t index = oldest_of(self, from);
    pull(self, index);
    push(self, to, index);
}

/* What grew too large gives its oldest to the part beside it. */
static void balance(cache_policy *self)
{
    while (self->used[PROTECTED] > self->protected_max) {
        shift(self, PROTECTED, PROBATION);
    }
    uint32_t main_max = self->capacity - self->window_max;
    while (self->used[WINDOW] > self->window_max &&
           self->used[PROBATION] + self->used[PROTECTED] < main_max) {
        shift(self, WINDOW, PROBATION);
    }
}

/* Main gives to a window that grew, or takes from one that shrank, right away. */
static void move_between(cache_policy *self)
{
    uint32_t main_max = self->capacity - self->window_max;
    while (self->used[WINDOW] < self->window_max && self->used[PROBATION] != 0 &&
           self->used[PROBATION] + self->used[PROTECTED] > main_max) {
        shift(self, PROBATION, WINDOW);
    }
    balance(self);
    while (self->used[WINDOW] > self->window_max) {
        shift(self, WINDOW, PROBATION);
    }
}

static void climb(cache_policy *self)
{
    uint64_t requests = (uint64_t)self->hits + self->misses;
    uint64_t period = (uint64_t)self->capacity * PERIOD;
    if (requests < (period > PERIOD_MIN ? period : PERIOD_MIN)) {
        return;
    }
    double rate = (double)self->hits / (double)requests;
    double change = self->has_rate ? rate - self->rate : 0;
    double step = change >= 0 ? self->step : -self->step;
    double whole = step_share * (double)self->capacity;
    bool jumped = change >= restart_at || change <= -restart_at;
    if (self->has_rate) {
        self->step = jumped ? (step >= 0 ? whole : -whole) : step * step_decay;
        set_window(self, self->window + step);
        move_between(self);
    }
    self->has_rate = true;
    self->rate = rate;
    self->hits = 0;
    self->misses = 0;
}

static void wtl_on_insert(cache_policy *self, const policy_entry *entry)
{
    uint32_t index = FIRST + entry->id;
    BRISK_ASSERT(entry->id < self->id_count && !list_has(nodes_of(self), index));
    sketch_add(&self->sketch, entry->hash);
    self->nodes[index].hash = entry->hash;
    push(self, WINDOW, index);
    balance(self);
    self->misses++;
    climb(self);
}

static void hit(cache_policy *self, uint32_t index)
{
    uint32_t ring = self->nodes[index].ring;
    sketch_add(&self->sketch, self->nodes[index].hash);
    pull(self, index);
    push(self, ring == WINDOW ? WINDOW : PROTECTED, index);
    while (self->used[PROTECTED] > self->protected_max) {
        shift(self, PROTECTED, PROBATION);
    }
    self->hits++;
    climb(self);
}

static void wtl_on_hits(cache_policy *self, const policy_hit *hits, uint32_t count)
{
    policy_nodes nodes = nodes_of(self);
    for (uint32_t i = 0; i < count; i++) {
        BRISK_ASSERT(hits[i].id < self->id_count);
        list_prefetch(nodes, FIRST + hits[i].id);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (list_has(nodes, FIRST + hits[i].id)) {
            hit(self, FIRST + hits[i].id);
        }
    }
}

static void wtl_on_remove(cache_policy *self, uint32_t id)
{
    BRISK_ASSERT(id < self->id_count && list_has(nodes_of(self), FIRST + id));
    pull(self, FIRST + id);
}

static uint32_t main_victim(const cache_policy *self)
{
    uint32_t victim = oldest_of(self, PROBATION);
    return victim != 0 ? victim : oldest_of(self, PROTECTED);
}

/* The window's oldest, when the window is full and must give one to main. */
static uint32_t candidate_of(const cache_policy *self)
{
    return self->used[WINDOW] >= self->window_max ? oldest_of(self, WINDOW) : 0;
}

static void wtl_on_evict(cache_policy *self, uint32_t id)
{
    bool from_main = self->nodes[FIRST + id].ring != WINDOW;
    uint32_t candidate = from_main ? candidate_of(self) : 0;
    wtl_on_remove(self, id);
    if (candidate != 0) {
        pull(self, candidate);
        push(self, PROBATION, candidate);
    }
}

static void wtl_on_move(cache_policy *self, uint32_t from, uint32_t to)
{
    policy_nodes nodes = nodes_of(self);
    BRISK_ASSERT(from < self->id_count && list_has(nodes, FIRST + from));
    BRISK_ASSERT(to < self->id_count && !list_has(nodes, FIRST + to));
    list_replace(nodes, FIRST + from, FIRST + to);
    self->nodes[FIRST + to].hash = self->nodes[FIRST + from].hash;
    self->nodes[FIRST + to].ring = self->nodes[FIRST + from].ring;
}

static uint32_t wtl_victim(cache_policy *self)
{
    uint32_t candidate = candidate_of(self);
    uint32_t victim = main_victim(self);
    if (victim == 0) {
        victim = oldest_of(self, WINDOW);
    } else if (candidate != 0 && sketch_count(&self->sketch, self->nodes[candidate].hash) <=
                                     sketch_count(&self->sketch, self->nodes[victim].hash)) {
        victim = candidate;
    }
    return victim != 0 ? victim - FIRST : POLICY_NONE;
}

static void wtl_each(const cache_policy *self, policy_each_fn *fn, void *ctx)
{
    static const uint32_t order[] = {PROBATION, WINDOW, PROTECTED};
    policy_nodes nodes = nodes_of(self);
    for (uint32_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        uint32_t head = order[i];
        for (uint32_t at = list_oldest(nodes, head); at != head; at = list_at(nodes, at)->prev) {
            fn(ctx, at - FIRST);
        }
    }
}

static bool wtl_is_valid(const cache_policy *self)
{
    policy_nodes nodes = nodes_of(self);
    for (uint32_t ring = WINDOW; ring <= PROTECTED; ring++) {
        uint32_t count = list_count(nodes, ring, self->used[ring], self->id_count + FIRST);
        if (count != self->used[ring]) {
            return false;
        }
        for (uint32_t at = list_oldest(nodes, ring); at != ring; at = list_at(nodes, at)->prev) {
            if (self->nodes[at].ring != ring) {
                return false;
            }
        }
    }
    return self->window_max <= self->capacity;
}

const policy_ops policy_wtinylfu = {
    .name = "wtinylfu",
    .ids_at = offsetof(struct cache_policy, nodes) + FIRST * sizeof(wtl_node),
    .id_bytes = sizeof(wtl_node),
    .bytes = wtl_bytes,
    .init = wtl_init,
    .add_ids = wtl_add_ids,
    .set_capacity = wtl_set_capacity,
    .on_insert = wtl_on_insert,
    .on_hits = wtl_on_hits,
    .on_remove = wtl_on_remove,
    .on_evict = wtl_on_evict,
    .on_move = wtl_on_move,
    .victim = wtl_victim,
    .each = wtl_each,
    .is_valid = wtl_is_valid,
};
