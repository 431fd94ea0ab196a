/*
 * policy_lru.c -- least recently used, exactly, and first in first out: one ring.
 *
 * The tier asks for an id's node when the hit happens; a batch of hits first asks for all
 * neighbours and then relinks, so that misses of main memory overlap.
 *
 * Invariant: the ring holds exactly the entries, `entries` of them.
 */
#include "base/assert.h"
#include "cache/policy.h"
#include "cache/policy_list.h"

enum { HEAD = 1, FIRST = 2 };

struct cache_policy {
    uint32_t id_count;
    uint32_t entries;
    policy_link links[];
};

static policy_nodes nodes_of(const cache_policy *self)
{
    return (policy_nodes){.base = (unsigned char *)(uintptr_t)self->links,
                          .stride = sizeof(policy_link)};
}

static size_t lru_bytes(uint32_t id_count)
{
    return sizeof(struct cache_policy) + ((size_t)id_count + FIRST) * sizeof(policy_link);
}

static cache_policy *lru_init(void *storage, uint32_t id_count)
{
    BRISK_ASSERT(id_count <= POLICY_IDS_MAX);
    cache_policy *self = storage;
    self->id_count = id_count;
    list_init(nodes_of(self), HEAD);
    return self;
}

static void lru_add_ids(cache_policy *self, uint32_t first, uint32_t count)
{
    BRISK_ASSERT(first <= self->id_count && count <= self->id_count - first);
}

static void lru_set_capacity(cache_policy *self, uint32_t entries)
{
    (void)self;
    (void)entries;
}

static void lru_on_insert(cache_policy *self, const policy_entry *entry)
{
    policy_nodes nodes = nodes_of(self);
    BRISK_ASSERT(entry->id < self->id_count && !list_has(nodes, FIRST + entry->id));
    list_push(nodes, HEAD, FIRST + entry->id);
    self->entries++;
}

static void lru_on_hits(cache_policy *self, const policy_hit *hits, uint32_t count)
{
    policy_nodes nodes = nodes_of(self);
    for (uint32_t i = 0; i < count; i++) {
        BRISK_ASSERT(hits[i].id < self->id_count);
        list_prefetch(nodes, FIRST + hits[i].id);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = FIRST + hits[i].id;
        if (list_has(nodes, node)) {
            list_remove(nodes, node);
            list_push(nodes, HEAD, node);
        }
    }
}

static void fifo_on_hits(cache_policy *self, const policy_hit *hits, uint32_t count)
{
    (void)self;
    (void)hits;
    (void)count;
}

static void lru_on_remove(cache_policy *self, uint32_t id)
{
    policy_nodes nodes = nodes_of(self);
    BRISK_ASSERT(id < self->id_count && list_has(nodes, FIRST + id));
    list_remove(nodes, FIRST + id);
    self->entries--;
}

static void lru_on_move(cache_policy *self, uint32_t from, uint32_t to)
{
    policy_nodes nodes = nodes_of(self);
    BRISK_ASSERT(from < self->id_count && list_has(nodes, FIRST + from));
    BRISK_ASSERT(to < self->id_count && !list_has(nodes, FIRST + to));
    list_replace(nodes, FIRST + from, FIRST + to);
}

static uint32_t lru_victim(cache_policy *self)
{
    uint32_t oldest = list_oldest(nodes_of(self), HEAD);
    return oldest == HEAD ? POLICY_NONE : oldest - FIRST;
}

static void lru_each(const cache_policy *self, policy_each_fn *fn, void *ctx)
{
    policy_nodes nodes = nodes_of(self);
    for (uint32_t at = list_oldest(nodes, HEAD); at != HEAD; at = list_at(nodes, at)->prev) {
        fn(ctx, at - FIRST);
    }
}

static bool lru_is_valid(const cache_policy *self)
{
    return list_count(nodes_of(self), HEAD, self->entries, self->id_count + FIRST) == self->entries;
}

const policy_ops policy_lru = {
    .name = "lru",
    .ids_at = offsetof(struct cache_policy, links) + FIRST * sizeof(policy_link),
    .id_bytes = sizeof(policy_link),
    .bytes = lru_bytes,
    .init = lru_init,
    .add_ids = lru_add_ids,
    .set_capacity = lru_set_capacity,
    .on_insert = lru_on_insert,
    .on_hits = lru_on_hits,
    .on_remove = lru_on_remove,
    .on_evict = lru_on_remove,
    .on_move = lru_on_move,
    .victim = lru_victim,
    .each = lru_each,
    .is_valid = lru_is_valid,
};

const policy_ops policy_fifo = {
    .name = "fifo",
    .ids_at = offsetof(struct cache_policy, links) + FIRST * sizeof(policy_link),
    .id_bytes = sizeof(policy_link),
    .bytes = lru_bytes,
    .init = lru_init,
    .add_ids = lru_add_ids,
    .set_capacity = lru_set_capacity,
    .on_insert = lru_on_insert,
    .on_hits = fifo_on_hits,
    .on_remove = lru_on_remove,
    .on_evict = lru_on_remove,
    .on_move = lru_on_move,
    .victim = lru_victim,
    .each = lru_each,
    .is_valid = lru_is_valid,
};
