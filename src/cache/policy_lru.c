/*
 * policy_lru.c -- least recently used, exactly.
 *
 * A ring of ids linked by 32-bit numbers in an array of their own, 8 bytes an entry: a million
 * entries are 8 MB of links and stay near the processor, where links inside the entries would
 * cost three misses of main memory for every hit.  The tier asks for an id's node when the hit
 * happens; a batch of hits first asks for all neighbours and then relinks, so that misses overlap.
 *
 * Invariant: node[i].next == FREE exactly for ids that are no entry; the sentinel (id_count) is in
 * the ring always, its next is the newest entry and its prev the oldest.
 */
#include <assert.h>

#include "base/assert.h"
#include "cache/policy.h"

#define FREE UINT32_MAX

typedef struct lru_node {
    uint32_t prev; /* towards newer */
    uint32_t next; /* towards older; FREE when no entry */
} lru_node;

struct cache_policy {
    uint32_t id_count; /* also the sentinel */
    uint32_t entries;
    lru_node nodes[];
};

static size_t lru_bytes(uint32_t id_count)
{
    return sizeof(struct cache_policy) + ((size_t)id_count + 1) * sizeof(lru_node);
}

static cache_policy *lru_init(void *storage, uint32_t id_count)
{
    BRISK_ASSERT(id_count < FREE);
    cache_policy *self = storage;
    self->id_count = id_count;
    self->entries = 0;
    self->nodes[id_count] = (lru_node){.prev = id_count, .next = id_count};
    return self;
}

static void lru_add_ids(cache_policy *self, uint32_t first, uint32_t count)
{
    BRISK_ASSERT(first <= self->id_count && count <= self->id_count - first);
    for (uint32_t i = first; i < first + count; i++) {
        self->nodes[i] = (lru_node){.prev = FREE, .next = FREE};
    }
}

static void link_newest(cache_policy *self, uint32_t id)
{
    lru_node *sentinel = &self->nodes[self->id_count];
    uint32_t newest = sentinel->next;
    self->nodes[id] = (lru_node){.prev = self->id_count, .next = newest};
    self->nodes[newest].prev = id;
    sentinel->next = id;
}

static void unlink_node(cache_policy *self, uint32_t id)
{
    lru_node node = self->nodes[id];
    self->nodes[node.prev].next = node.next;
    self->nodes[node.next].prev = node.prev;
}

static void lru_on_insert(cache_policy *self, uint32_t id, uint64_t hash)
{
    (void)hash;
    BRISK_ASSERT(id < self->id_count && self->nodes[id].next == FREE);
    link_newest(self, id);
    self->entries++;
}

static void lru_on_hits(cache_policy *self, const uint32_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        BRISK_ASSERT(ids[i] < self->id_count);
        lru_node node = self->nodes[ids[i]];
        if (node.next != FREE) {
            __builtin_prefetch(&self->nodes[node.prev], 1);
            __builtin_prefetch(&self->nodes[node.next], 1);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (self->nodes[ids[i]].next != FREE) {
            unlink_node(self, ids[i]);
            link_newest(self, ids[i]);
        }
    }
}

static void lru_on_remove(cache_policy *self, uint32_t id)
{
    BRISK_ASSERT(id < self->id_count && self->nodes[id].next != FREE);
    unlink_node(self, id);
    self->nodes[id] = (lru_node){.prev = FREE, .next = FREE};
    self->entries--;
}

static void lru_on_move(cache_policy *self, uint32_t from, uint32_t to)
{
    BRISK_ASSERT(from < self->id_count && self->nodes[from].next != FREE);
    BRISK_ASSERT(to < self->id_count && self->nodes[to].next == FREE);
    lru_node node = self->nodes[from];
    self->nodes[to] = node;
    self->nodes[node.prev].next = to;
    self->nodes[node.next].prev = to;
    self->nodes[from] = (lru_node){.prev = FREE, .next = FREE};
}

static uint32_t lru_victim(cache_policy *self)
{
    uint32_t oldest = self->nodes[self->id_count].prev;
    return oldest == self->id_count ? POLICY_NONE : oldest;
}

static bool lru_is_valid(const cache_policy *self)
{
    uint32_t seen = 0;
    uint32_t id = self->id_count;
    do {
        uint32_t next = self->nodes[id].next;
        if (next > self->id_count || self->nodes[next].prev != id || seen > self->entries) {
            return false;
        }
        seen++;
        id = next;
    } while (id != self->id_count);
    return seen == self->entries + 1;
}

const policy_ops policy_lru = {
    .name = "lru",
    .ids_at = offsetof(struct cache_policy, nodes),
    .id_bytes = sizeof(lru_node),
    .bytes = lru_bytes,
    .init = lru_init,
    .add_ids = lru_add_ids,
    .on_insert = lru_on_insert,
    .on_hits = lru_on_hits,
    .on_remove = lru_on_remove,
    .on_move = lru_on_move,
    .victim = lru_victim,
    .is_valid = lru_is_valid,
};
