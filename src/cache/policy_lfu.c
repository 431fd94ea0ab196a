/*
 * policy_lfu.c -- least frequently used, with dynamic aging.
 *
 * An entry's rank is the age of the cache when it was last asked for plus how often it was asked
 * for since it came; the lowest rank leaves, and the age becomes the rank of what left.  So what
 * was popular once does not stay for ever, which is what a plain LFU suffers from, and counters
 * need no halving.  Counts stop at COUNT_MAX; of equal ranks the least recently used leaves.
 *
 *     ranks   age .. age + COUNT_MAX, in a circle of RANKS rings:  rank r is ring r % RANKS
 *
 * Invariant: every entry's rank is in age .. age + COUNT_MAX, so one ring has one rank.
 * Source: Arlitt, Cherkasova, Dilley, Friedrich, Jin, "Evaluating content management techniques
 * for Web proxy caches", 2000 (LFU-DA).
 */
#include "base/assert.h"
#include "cache/policy.h"
#include "cache/policy_list.h"

enum { COUNT_MAX = 255, RANKS = 256, HEAD = 1, FIRST = HEAD + RANKS };

typedef struct lfu_node {
    policy_link link;
    uint16_t count;
    uint16_t ring;
} lfu_node;

struct cache_policy {
    uint32_t id_count;
    uint32_t entries;
    uint32_t age; /* modulo RANKS */
    uint32_t pad;
    lfu_node nodes[];
};

static policy_nodes nodes_of(const cache_policy *self)
{
    return (policy_nodes){.base = (unsigned char *)(uintptr_t)self->nodes,
                          .stride = sizeof(lfu_node)};
}

static size_t lfu_bytes(uint32_t id_count)
{
    return sizeof(struct cache_policy) + ((size_t)id_count + FIRST) * sizeof(lfu_node);
}

static cache_policy *lfu_init(void *storage, uint32_t id_count)
{
    BRISK_ASSERT(id_count <= POLICY_IDS_MAX);
    cache_policy *self = storage;
    self->id_count = id_count;
    for (uint32_t i = 0; i < RANKS; i++) {
        list_init(nodes_of(self), HEAD + i);
    }
    return self;
}

static void lfu_add_ids(cache_policy *self, uint32_t first, uint32_t count)
{
    BRISK_ASSERT(first <= self->id_count && count <= self->id_count - first);
}

static void lfu_set_capacity(cache_policy *self, uint32_t entries)
{
    (void)self;
    (void)entries;
}

static void rank_node(cache_policy *self, uint32_t index)
{
    lfu_node *node = &self->nodes[index];
    node->ring = (uint16_t)((self->age + node->count) % RANKS);
    list_push(nodes_of(self), HEAD + node->ring, index);
}

static void lfu_on_insert(cache_policy *self, const policy_entry *entry)
{
    uint32_t index = FIRST + entry->id;
    BRISK_ASSERT(entry->id < self->id_count && !list_has(nodes_of(self), index));
    self->nodes[index].count = 1;
    rank_node(self, index);
    self->entries++;
}

static void lfu_on_hits(cache_policy *self, const policy_hit *hits, uint32_t count)
{
    policy_nodes nodes = nodes_of(self);
    for (uint32_t i = 0; i < count; i++) {
        BRISK_ASSERT(hits[i].id < self->id_count);
        list_prefetch(nodes, FIRST + hits[i].id);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = FIRST + hits[i].id;
        if (list_has(nodes, index)) {
            list_remove(nodes, index);
            lfu_node *node = &self->nodes[index];
            node->count = (uint16_t)(node->count + (node->count < COUNT_MAX));
            rank_node(self, index);
        }
    }
}

static void lfu_on_remove(cache_policy *self, uint32_t id)
{
    BRISK_ASSERT(id < self->id_count && list_has(nodes_of(self), FIRST + id));
    list_remove(nodes_of(self), FIRST + id);
    self->entries--;
}

static void lfu_on_evict(cache_policy *self, uint32_t id)
{
    self->age = self->nodes[FIRST + id].ring;
    lfu_on_remove(self, id);
}

static void lfu_on_move(cache_policy *self, uint32_t from, uint32_t to)
{
    policy_nodes nodes = nodes_of(self);
    BRISK_ASSERT(from < self->id_count && list_has(nodes, FIRST + from));
    BRISK_ASSERT(to < self->id_count && !list_has(nodes, FIRST + to));
    list_replace(nodes, FIRST + from, FIRST + to);
    self->nodes[FIRST + to].count = self->nodes[FIRST + from].count;
    self->nodes[FIRST + to].ring = self->nodes[FIRST + from].ring;
}

static uint32_t lfu_victim(cache_policy *self)
{
    policy_nodes nodes = nodes_of(self);
    if (self->entries == 0) {
        return POLICY_NONE;
    }
    uint32_t ring = self->age;
    while (list_is_empty(nodes, HEAD + ring)) { /* an entry is in some ring */
        ring = (ring + 1) % RANKS;
    }
    return list_oldest(nodes, HEAD + ring) - FIRST;
}

static void lfu_each(const cache_policy *self, policy_each_fn *fn, void *ctx)
{
    policy_nodes nodes = nodes_of(self);
    for (uint32_t i = 0; i < RANKS; i++) {
        uint32_t head = HEAD + (self->age + i) % RANKS;
        for (uint32_t at = list_oldest(nodes, head); at != head; at = list_at(nodes, at)->prev) {
            fn(ctx, at - FIRST);
        }
    }
}

static bool lfu_is_valid(const cache_policy *self)
{
    policy_nodes nodes = nodes_of(self);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < RANKS; i++) {
        uint32_t head = HEAD + i;
        uint32_t count = list_count(nodes, head, self->entries, self->id_count + FIRST);
        if (count == UINT32_MAX) {
            return false;
        }
        for (uint32_t at = list_oldest(nodes, head); at != head; at = list_at(nodes, at)->prev) {
            if (self->nodes[at].ring != i || self->nodes[at].count == 0) {
                return false;
            }
        }
        seen += count;
    }
    return seen == self->entries;
}

const policy_ops policy_lfu = {
    .name = "lfu",
    .ids_at = offsetof(struct cache_policy, nodes) + FIRST * sizeof(lfu_node),
    .id_bytes = sizeof(lfu_node),
    .bytes = lfu_bytes,
    .init = lfu_init,
    .add_ids = lfu_add_ids,
    .set_capacity = lfu_set_capacity,
    .on_insert = lfu_on_insert,
    .on_hits = lfu_on_hits,
    .on_remove = lfu_on_remove,
    .on_evict = lfu_on_evict,
    .on_move = lfu_on_move,
    .victim = lfu_victim,
    .each = lfu_each,
    .is_valid = lfu_is_valid,
};
