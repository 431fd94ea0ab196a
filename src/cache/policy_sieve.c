/*
 * policy_sieve.c -- SIEVE: a FIFO ring and a hand that spares what was asked for.
 *
 * A hit sets a bit and moves nothing.  The hand goes from the oldest towards newer; a set bit is
 * cleared and spared, the first clear one is the victim.  Newcomers enter as newest and the hand
 * stays where it is, so that they are judged soon while what has proved itself stays.
 *
 * Invariant: `hand` is an entry or the head (then the search begins at the oldest).
 * Source: Zhang, Yang, Yue, Vigfusson, Rashmi, "SIEVE is Simpler than LRU", NSDI 2024.
 */
#include "base/assert.h"
#include "cache/policy.h"
#include "cache/policy_list.h"

enum { HEAD = 1, FIRST = 2 };

typedef struct sieve_node {
    policy_link link;
    uint32_t visited;
} sieve_node;

struct cache_policy {
    uint32_t id_count;
    uint32_t entries;
    uint32_t hand; /* a node */
    uint32_t pad;
    sieve_node nodes[];
};

static policy_nodes nodes_of(const cache_policy *self)
{
    return (policy_nodes){.base = (unsigned char *)(uintptr_t)self->nodes,
                          .stride = sizeof(sieve_node)};
}

static size_t sieve_bytes(uint32_t id_count)
{
    return sizeof(struct cache_policy) + ((size_t)id_count + FIRST) * sizeof(sieve_node);
}

static cache_policy *sieve_init(void *storage, uint32_t id_count)
{
    BRISK_ASSERT(id_count <= POLICY_IDS_MAX);
    cache_policy *self = storage;
    self->id_count = id_count;
    self->hand = HEAD;
    list_init(nodes_of(self), HEAD);
    return self;
}

static void sieve_add_ids(cache_policy *self, uint32_t first, uint32_t count)
{
    BRISK_ASSERT(first <= self->id_count && count <= self->id_count - first);
}

static void sieve_set_capacity(cache_policy *self, uint32_t entries)
{
    (void)self;
    (void)entries;
}

static void sieve_on_insert(cache_policy *self, const policy_entry *entry)
{
    uint32_t node = FIRST + entry->id;
    BRISK_ASSERT(entry->id < self->id_count && !list_has(nodes_of(self), node));
    list_push(nodes_of(self), HEAD, node);
    self->nodes[node].visited = 0;
    self->entries++;
}

static void sieve_on_hits(cache_policy *self, const policy_hit *hits, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        BRISK_ASSERT(hits[i].id < self->id_count);
        self->nodes[FIRST + hits[i].id].visited = 1; /* harmless when it is no entry */
    }
}

static void sieve_on_remove(cache_policy *self, uint32_t id)
{
    policy_nodes nodes = nodes_of(self);
    uint32_t node = FIRST + id;
    BRISK_ASSERT(id < self->id_count && list_has(nodes, node));
    if (self->hand == node) {
        self->hand = list_at(nodes, node)->prev;
    }
    list_remove(nodes, node);
    self->entries--;
}

static void sieve_on_move(cache_policy *self, uint32_t from, uint32_t to)
{
    policy_nodes nodes = nodes_of(self);
    BRISK_ASSERT(from < self->id_count && list_has(nodes, FIRST + from));
    BRISK_ASSERT(to < self->id_count && !list_has(nodes, FIRST + to));
    list_replace(nodes, FIRST + from, FIRST + to);
    self->nodes[FIRST + to].visited = self->nodes[FIRST + from].visited;
    if (self->hand == FIRST + from) {
        self->hand = FIRST + to;
    }
}

static uint32_t sieve_victim(cache_policy *self)
{
    policy_nodes nodes = nodes_of(self);
    if (self->entries == 0) {
        return POLICY_NONE;
    }
    for (;;) { /* ends: after one round every bit is clear */
        if (self->hand == HEAD) {
            self->hand = list_oldest(nodes, HEAD);
        }
        sieve_node *node = &self->nodes[self->hand];
        if (node->visited == 0) {
            return self->hand - FIRST;
        }
        node->visited = 0;
        self->hand = node->link.prev;
    }
}

/* From the hand towards newer, then from the oldest to the hand; the spared last. */
static void sieve_each(const cache_policy *self, policy_each_fn *fn, void *ctx)
{
    policy_nodes nodes = nodes_of(self);
    for (uint32_t visited = 0; visited <= 1; visited++) {
        uint32_t at = self->hand;
        for (uint32_t i = 0; i <= self->entries; i++) { /* the head counts as one */
            if (at != HEAD && self->nodes[at].visited == visited) {
                fn(ctx, at - FIRST);
            }
            at = list_at(nodes, at)->prev;
        }
    }
}

static bool sieve_is_valid(const cache_policy *self)
{
    policy_nodes nodes = nodes_of(self);
    return list_has(nodes, self->hand) &&
           list_count(nodes, HEAD, self->entries, self->id_count + FIRST) == self->entries;
}

const policy_ops policy_sieve = {
    .name = "sieve",
    .ids_at = offsetof(struct cache_policy, nodes) + FIRST * sizeof(sieve_node),
    .id_bytes = sizeof(sieve_node),
    .bytes = sieve_bytes,
    .init = sieve_init,
    .add_ids = sieve_add_ids,
    .set_capacity = sieve_set_capacity,
    .on_insert = sieve_on_insert,
    .on_hits = sieve_on_hits,
    .on_remove = sieve_on_remove,
    .on_evict = sieve_on_remove,
    .on_move = sieve_on_move,
    .victim = sieve_victim,
    .each = sieve_each,
    .is_valid = sieve_is_valid,
};
