/*
 * policy_s3fifo.c -- S3-FIFO: a small queue for newcomers, a main queue, and a memory.
 *
 *     new key ----> small (a tenth) --- asked for twice or more ---> main <--- was a ghost
 *                       |                                             |  ^ asked for: once more
 *                       v                                             v  |
 *                     ghosts (as many as main has)                  gone
 *
 * A hit counts to 3 and moves nothing; most keys that come once leave from small without having
 * cost main anything.
 *
 * Invariant: an entry is in exactly one of the two rings; `used` of them are counted.
 * Source: Yang, Zhang, Qiu, Yue, Rashmi, "FIFO queues are all you need for cache eviction",
 * SOSP 2023; small 10 %, promotion from the second hit on, ghosts 90 %.
 */
#include "base/assert.h"
#include "cache/policy.h"
#include "cache/policy_ghost.h"

enum { SMALL = 1, MAIN = 2, FIRST = 3, COUNT_MAX = 3, PROMOTE_AT = 2, SMALL_SHARE = 10 };

typedef struct s3_node {
    policy_link link;
    uint32_t hash;
    uint16_t ring;
    uint16_t count;
} s3_node;

struct cache_policy {
    uint32_t id_count;
    uint32_t capacity;
    uint32_t used[FIRST];
    policy_ghosts ghosts;
    s3_node nodes[];
};

static policy_nodes nodes_of(const cache_policy *self)
{
    return (policy_nodes){.base = (unsigned char *)(uintptr_t)self->nodes,
                          .stride = sizeof(s3_node)};
}

static size_t nodes_end(uint32_t id_count)
{
    size_t end = sizeof(struct cache_policy) + ((size_t)id_count + FIRST) * sizeof(s3_node);
    return (end + 63) & ~(size_t)63;
}

static uint32_t ghosts_for(uint32_t id_count)
{
    return id_count <= POLICY_IDS_SMALL ? id_count : id_count / 2;
}

static size_t s3_bytes(uint32_t id_count)
{
    return nodes_end(id_count) + ghosts_bytes(ghosts_for(id_count));
}

static void s3_set_capacity(cache_policy *self, uint32_t entries)
{
    self->capacity = entries;
    ghosts_set_room(&self->ghosts, entries - entries / SMALL_SHARE);
}

static cache_policy *s3_init(void *storage, uint32_t id_count)
{
    BRISK_ASSERT(id_count <= POLICY_IDS_MAX);
    cache_policy *self = storage;
    self->id_count = id_count;
    ghosts_init(&self->ghosts, (unsigned char *)storage + nodes_end(id_count),
                ghosts_for(id_count));
    s3_set_capacity(self, id_count);
    list_init(nodes_of(self), SMALL);
    list_init(nodes_of(self), MAIN);
    return self;
}

static void s3_add_ids(cache_policy *self, uint32_t first, uint32_t count)
{
    BRISK_ASSERT(first <= self->id_count && count <= self->id_count - first);
}

static void push(cache_policy *self, uint32_t ring, uint32_t index)
{
    list_push(nodes_of(self), ring, index);
    self->nodes[index].ring = (uint16_t)ring;
    self->used[ring]++;
}

static void pull(cache_policy *self, uint32_t index)
{
    list_remove(nodes_of(self), index);
    self->used[self->nodes[index].ring]--;
}

static void s3_on_insert(cache_policy *self, const policy_entry *entry)
{
    uint32_t index = FIRST + entry->id;
    BRISK_ASSERT(entry->id < self->id_count && !list_has(nodes_of(self), index));
    uint32_t ghost = ghosts_find(&self->ghosts, entry->hash);
    self->nodes[index].hash = entry->hash;
    self->nodes[index].count = 0;
    push(self, ghost != 0 ? MAIN : SMALL, index);
    if (ghost != 0) {
        ghosts_remove(&self->ghosts, ghost);
    }
}

static void s3_on_hits(cache_policy *self, const policy_hit *hits, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        BRISK_ASSERT(hits[i].id < self->id_count);
        s3_node *node = &self->nodes[FIRST + hits[i].id]; /* harmless when it is no entry */
        node->count = (uint16_t)(node->count + (node->count < COUNT_MAX));
    }
}

static void s3_on_remove(cache_policy *self, uint32_t id)
{
    BRISK_ASSERT(id < self->id_count && list_has(nodes_of(self), FIRST + id));
    pull(self, FIRST + id);
}

static void s3_on_evict(cache_policy *self, uint32_t id)
{
    BRISK_ASSERT(id < self->id_count && list_has(nodes_of(self), FIRST + id));
    bool from_small = self->nodes[FIRST + id].ring == SMALL;
    pull(self, FIRST + id);
    if (from_small) {
        ghosts_push(&self->ghosts, 0, self->nodes[FIRST + id].hash);
    }
}

static void s3_on_move(cache_policy *self, uint32_t from, uint32_t to)
{
    policy_nodes nodes = nodes_of(self);
    BRISK_ASSERT(from < self->id_count && list_has(nodes, FIRST + from));
    BRISK_ASSERT(to < self->id_count && !list_has(nodes, FIRST + to));
    s3_node *old = &self->nodes[FIRST + from];
    s3_node *new = &self->nodes[FIRST + to];
    list_replace(nodes, FIRST + from, FIRST + to);
    new->hash = old->hash;
    new->ring = old->ring;
    new->count = old->count;
}

static bool is_small_full(const cache_policy *self)
{
    uint32_t target = self->capacity / SMALL_SHARE;
    return self->used[SMALL] > (target != 0 ? target - 1 : 0);
}

static uint32_t s3_victim(cache_policy *self)
{
    policy_nodes nodes = nodes_of(self);
    for (;;) { /* ends: every step promotes one or counts one down */
        if (self->used[SMALL] != 0 && (is_small_full(self) || self->used[MAIN] == 0)) {
            uint32_t index = list_oldest(nodes, SMALL);
            if (self->nodes[index].count < PROMOTE_AT) {
                return index - FIRST;
            }
            pull(self, index);
            self->nodes[index].count = 0;
            push(self, MAIN, index);
        } else if (self->used[MAIN] != 0) {
            uint32_t index = list_oldest(nodes, MAIN);
            if (self->nodes[index].count == 0) {
                return index - FIRST;
            }
            self->nodes[index].count--;
            pull(self, index);
            push(self, MAIN, index);
        } else {
            return POLICY_NONE;
        }
    }
}

static void each_of(const cache_policy *self, uint32_t ring, uint32_t count_min, uint32_t count_max,
                    policy_each_fn *fn, void *ctx)
{
    policy_nodes nodes = nodes_of(self);
    for (uint32_t at = list_oldest(nodes, ring); at != ring; at = list_at(nodes, at)->prev) {
        if (self->nodes[at].count >= count_min && self->nodes[at].count <= count_max) {
            fn(ctx, at - FIRST);
        }
    }
}

static void s3_each(const cache_policy *self, policy_each_fn *fn, void *ctx)
{
    each_of(self, SMALL, 0, PROMOTE_AT - 1, fn, ctx);
    for (uint32_t count = 0; count <= COUNT_MAX; count++) {
        each_of(self, MAIN, count, count, fn, ctx);
        if (count == 0) {
            each_of(self, SMALL, PROMOTE_AT, COUNT_MAX, fn, ctx);
        }
    }
}

static bool s3_is_valid(const cache_policy *self)
{
    policy_nodes nodes = nodes_of(self);
    for (uint32_t ring = SMALL; ring <= MAIN; ring++) {
        uint32_t count = list_count(nodes, ring, self->used[ring], self->id_count + FIRST);
        if (count != self->used[ring]) {
            return false;
        }
        for (uint32_t at = list_oldest(nodes, ring); at != ring; at = list_at(nodes, at)->prev) {
            if (self->nodes[at].ring != ring || self->nodes[at].count > COUNT_MAX) {
                return false;
            }
        }
    }
    return ghosts_are_valid(&self->ghosts);
}

const policy_ops policy_s3fifo = {
    .name = "s3fifo",
    .ids_at = offsetof(struct cache_policy, nodes) + FIRST * sizeof(s3_node),
    .id_bytes = sizeof(s3_node),
    .bytes = s3_bytes,
    .init = s3_init,
    .add_ids = s3_add_ids,
    .set_capacity = s3_set_capacity,
    .on_insert = s3_on_insert,
    .on_hits = s3_on_hits,
    .on_remove = s3_on_remove,
    .on_evict = s3_on_evict,
    .on_move = s3_on_move,
    .victim = s3_victim,
    .each = s3_each,
    .is_valid = s3_is_valid,
};
