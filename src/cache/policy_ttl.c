/*
 * policy_ttl.c -- what expires first leaves first; what never expires leaves last, as LRU.
 *
 * Entries with an expiry stand in a binary heap by it, the others in a ring.
 *
 * Invariant: a node is in the heap (at: its place + 1), or in the ring (at: 0), or in neither and
 * no entry; no heap node expires before the one above it.
 */
#include "base/assert.h"
#include "cache/policy.h"
#include "cache/policy_list.h"

enum { HEAD = 1, FIRST = 2 };

typedef struct ttl_node {
    policy_link link;
    uint32_t expires_s;
    uint32_t at; /* place in the heap + 1 */
} ttl_node;

struct cache_policy {
    uint32_t id_count;
    uint32_t ring_count;
    uint32_t heap_count;
    uint32_t pad;
    uint32_t *heap; /* nodes; behind the last node */
    ttl_node nodes[];
};

static policy_nodes nodes_of(const cache_policy *self)
{
    return (policy_nodes){.base = (unsigned char *)(uintptr_t)self->nodes,
                          .stride = sizeof(ttl_node)};
}

static size_t nodes_end(uint32_t id_count)
{
    return sizeof(struct cache_policy) + ((size_t)id_count + FIRST) * sizeof(ttl_node);
}

static size_t ttl_bytes(uint32_t id_count)
{
    return nodes_end(id_count) + (size_t)id_count * sizeof(uint32_t);
}

static cache_policy *ttl_init(void *storage, uint32_t id_count)
{
    BRISK_ASSERT(id_count <= POLICY_IDS_MAX);
    cache_policy *self = storage;
    self->id_count = id_count;
    void *heap = (unsigned char *)storage + nodes_end(id_count);
    self->heap = heap;
    list_init(nodes_of(self), HEAD);
    return self;
}

static void ttl_add_ids(cache_policy *self, uint32_t first, uint32_t count)
{
    BRISK_ASSERT(first <= self->id_count && count <= self->id_count - first);
}

static void ttl_set_capacity(cache_policy *self, uint32_t entries)
{
    (void)self;
    (void)entries;
}

static void place(cache_policy *self, uint32_t slot, uint32_t node)
{
    self->heap[slot] = node;
    self->nodes[node].at = slot + 1;
}

static uint32_t expiry_at(const cache_policy *self, uint32_t slot)
{
    return self->nodes[self->heap[slot]].expires_s;
}

static void sift_up(cache_policy *self, uint32_t slot)
{
    uint32_t node = self->heap[slot];
    while (slot > 0 && expiry_at(self, (slot - 1) / 2) > self->nodes[node].expires_s) {
        place(self, slot, self->heap[(slot - 1) / 2]);
        slot = (slot - 1) / 2;
    }
    place(self, slot, node);
}

static void sift_down(cache_policy *self, uint32_t slot)
{
    uint32_t node = self->heap[slot];
    for (;;) {
        uint32_t child = 2 * slot + 1;
        if (child >= self->heap_count) {
            break;
        }
        if (child + 1 < self->heap_count && expiry_at(self, child + 1) < expiry_at(self, child)) {
            child++;
        }
        if (expiry_at(self, child) >= self->nodes[node].expires_s) {
            break;
        }
        place(self, slot, self->heap[child]);
        slot = child;
    }
    place(self, slot, node);
}

static void add(cache_policy *self, uint32_t node, uint32_t expires_s)
{
    self->nodes[node].expires_s = expires_s;
    if (expires_s == 0) {
        list_push(nodes_of(self), HEAD, node);
        self->ring_count++;
        return;
    }
    place(self, self->heap_count++, node);
    sift_up(self, self->heap_count - 1);
}

static bool is_entry(const cache_policy *self, uint32_t node)
{
    return self->nodes[node].at != 0 || list_has(nodes_of(self), node);
}

static void take(cache_policy *self, uint32_t node)
{
    uint32_t at = self->nodes[node].at;
    if (at == 0) {
        list_remove(nodes_of(self), node);
        self->ring_count--;
        return;
    }
    self->nodes[node].at = 0;
    uint32_t last = self->heap[--self->heap_count];
    if (last != node) {
        place(self, at - 1, last);
        sift_up(self, at - 1);
        sift_down(self, self->nodes[last].at - 1);
    }
}

static void ttl_on_insert(cache_policy *self, const policy_entry *entry)
{
    BRISK_ASSERT(entry->id < self->id_count && !is_entry(self, FIRST + entry->id));
    add(self, FIRST + entry->id, entry->expires_s);
}

static void ttl_on_hits(cache_policy *self, const policy_hit *hits, uint32_t count)
{
    policy_nodes nodes = nodes_of(self);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = FIRST + hits[i].id;
        BRISK_ASSERT(hits[i].id < self->id_count);
        if (list_has(nodes, node)) {
            list_remove(nodes, node);
            list_push(nodes, HEAD, node);
        }
    }
}

static void ttl_on_remove(cache_policy *self, uint32_t id)
{
    BRISK_ASSERT(id < self->id_count && is_entry(self, FIRST + id));
    take(self, FIRST + id);
}

static void ttl_on_move(cache_policy *self, uint32_t from, uint32_t to)
{
    BRISK_ASSERT(from < self->id_count && is_entry(self, FIRST + from));
    BRISK_ASSERT(to < self->id_count && !is_entry(self, FIRST + to));
    ttl_node *old = &self->nodes[FIRST + from];
    self->nodes[FIRST + to].expires_s = old->expires_s;
    if (old->at == 0) {
        list_replace(nodes_of(self), FIRST + from, FIRST + to);
    } else {
        place(self, old->at - 1, FIRST + to);
        old->at = 0;
    }
}

static void ttl_on_expiry(cache_policy *self, uint32_t id, uint32_t expires_s)
{
    BRISK_ASSERT(id < self->id_count && is_entry(self, FIRST + id));
    take(self, FIRST + id);
    add(self, FIRST + id, expires_s);
}

static uint32_t ttl_victim(cache_policy *self)
{
    if (self->heap_count != 0) {
        return self->heap[0] - FIRST;
    }
    uint32_t oldest = list_oldest(nodes_of(self), HEAD);
    return oldest == HEAD ? POLICY_NONE : oldest - FIRST;
}

/* The heap from its top, which is not quite the order; then the ring. */
static void ttl_each(const cache_policy *self, policy_each_fn *fn, void *ctx)
{
    policy_nodes nodes = nodes_of(self);
    for (uint32_t i = 0; i < self->heap_count; i++) {
        fn(ctx, self->heap[i] - FIRST);
    }
    for (uint32_t at = list_oldest(nodes, HEAD); at != HEAD; at = list_at(nodes, at)->prev) {
        fn(ctx, at - FIRST);
    }
}

static bool ttl_is_valid(const cache_policy *self)
{
    for (uint32_t i = 0; i < self->heap_count; i++) {
        uint32_t node = self->heap[i];
        if (node >= self->id_count + FIRST || self->nodes[node].at != i + 1 ||
            self->nodes[node].link.next != 0 || expiry_at(self, i) == 0 ||
            (i > 0 && expiry_at(self, (i - 1) / 2) > expiry_at(self, i))) {
            return false;
        }
    }
    return list_count(nodes_of(self), HEAD, self->ring_count, self->id_count + FIRST) ==
           self->ring_count;
}

const policy_ops policy_ttl = {
    .name = "ttl",
    .ids_at = offsetof(struct cache_policy, nodes) + FIRST * sizeof(ttl_node),
    .id_bytes = sizeof(ttl_node),
    .bytes = ttl_bytes,
    .init = ttl_init,
    .add_ids = ttl_add_ids,
    .set_capacity = ttl_set_capacity,
    .on_insert = ttl_on_insert,
    .on_hits = ttl_on_hits,
    .on_remove = ttl_on_remove,
    .on_evict = ttl_on_remove,
    .on_move = ttl_on_move,
    .on_expiry = ttl_on_expiry,
    .victim = ttl_victim,
    .each = ttl_each,
    .is_valid = ttl_is_valid,
};
