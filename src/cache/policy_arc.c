/*
 * policy_arc.c -- ARC: a ring of keys seen once, a ring of keys seen again, and what both lost.
 *
 *     T1  seen once   -> ghosts B1        |T1| + |B1| <= c        p: how large T1 should be;
 *     T2  seen again  -> ghosts B2        all four    <= 2 c      a ghost of B1 raises it, of B2 lowers it
 *
 * The paper trims ghosts before it replaces; here they are trimmed after the insert, which leaves
 * the same ones: what was pushed last is trimmed last.
 *
 * Invariant: an entry is in T1 or T2, a ghost in B1 or B2, no hash in both of these; 0 <= p <= c.
 * Source: Megiddo, Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003.
 */
#include "base/assert.h"
#include "cache/policy.h"
#include "cache/policy_ghost.h"

enum { T1 = 1, T2 = 2, FIRST = 3, B1 = 0, B2 = 1, GHOSTS_MORE = 2 };

typedef struct arc_node {
    policy_link link;
    uint32_t hash;
    uint32_t ring;
} arc_node;

struct cache_policy {
    uint32_t id_count;
    uint32_t capacity;
    uint32_t used[FIRST];
    bool from_b2; /* the key that comes is a ghost of B2 */
    double p;
    policy_ghosts ghosts;
    arc_node nodes[];
};

static policy_nodes nodes_of(const cache_policy *self)
{
    return (policy_nodes){.base = (unsigned char *)(uintptr_t)self->nodes,
                          .stride = sizeof(arc_node)};
}

static size_t nodes_end(uint32_t id_count)
{
    size_t end = sizeof(struct cache_policy) + ((size_t)id_count + FIRST) * sizeof(arc_node);
    return (end + 63) & ~(size_t)63;
}

static uint32_t ghosts_for(uint32_t id_count)
{
    return (id_count <= POLICY_IDS_SMALL ? id_count : id_count / 2) + GHOSTS_MORE;
}

static size_t arc_bytes(uint32_t id_count)
{
    return nodes_end(id_count) + ghosts_bytes(ghosts_for(id_count));
}

static void trim_ghosts(cache_policy *self)
{
    policy_ghosts *ghosts = &self->ghosts;
    while (ghosts->count[B1] != 0 && self->used[T1] + ghosts->count[B1] > self->capacity) {
        ghosts_pop(ghosts, B1);
    }
    while (ghosts->count[B2] != 0 &&
           self->used[T1] + self->used[T2] + ghosts->count[B1] + ghosts->count[B2] >
               2 * (uint64_t)self->capacity) {
        ghosts_pop(ghosts, B2);
    }
}

static void arc_set_capacity(cache_policy *self, uint32_t entries)
{
    self->capacity = entries;
    if (self->p > (double)entries) {
        self->p = (double)entries;
    }
    trim_ghosts(self);
    ghosts_set_room(&self->ghosts, entries + GHOSTS_MORE);
}

static cache_policy *arc_init(void *storage, uint32_t id_count)
{
    BRISK_ASSERT(id_count <= POLICY_IDS_MAX);
    cache_policy *self = storage;
    self->id_count = id_count;
    ghosts_init(&self->ghosts, (unsigned char *)storage + nodes_end(id_count),
                ghosts_for(id_count));
    list_init(nodes_of(self), T1);
    list_init(nodes_of(self), T2);
    arc_set_capacity(self, id_count);
    return self;
}

static void arc_add_ids(cache_policy *self, uint32_t first, uint32_t count)
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

static void arc_on_miss(cache_policy *self, uint32_t hash)
{
    policy_ghosts *ghosts = &self->ghosts;
    uint32_t ghost = ghosts_find(ghosts, hash);
    self->from_b2 = false;
    if (ghost == 0) {
        return;
    }
    double b1 = (double)ghosts->count[B1];
    double b2 = (double)ghosts->count[B2];
    if (ghosts_ring(ghosts, ghost) == B1) {
        self->p += b2 > b1 ? b2 / b1 : 1;
        self->p = self->p < (double)self->capacity ? self->p : (double)self->capacity;
    } else {
        self->p -= b1 > b2 ? b1 / b2 : 1;
        self->p = self->p > 0 ? self->p : 0;
        self->from_b2 = true;
    }
}

static void arc_on_insert(cache_policy *self, const policy_entry *entry)
{
    uint32_t index = FIRST + entry->id;
    BRISK_ASSERT(entry->id < self->id_count && !list_has(nodes_of(self), index));
    uint32_t ghost = ghosts_find(&self->ghosts, entry->hash);
    self->nodes[index].hash = entry->hash;
    push(self, ghost != 0 ? T2 : T1, index);
    if (ghost != 0) {
        ghosts_remove(&self->ghosts, ghost);
    }
    self->from_b2 = false;
    trim_ghosts(self);
}

static void arc_on_hits(cache_policy *self, const policy_hit *hits, uint32_t count)
{
    policy_nodes nodes = nodes_of(self);
    for (uint32_t i = 0; i < count; i++) {
        BRISK_ASSERT(hits[i].id < self->id_count);
        list_prefetch(nodes, FIRST + hits[i].id);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = FIRST + hits[i].id;
        if (list_has(nodes, index)) {
            pull(self, index);
            push(self, T2, index);
        }
    }
}

static void arc_on_remove(cache_policy *self, uint32_t id)
{
    BRISK_ASSERT(id < self->id_count && list_has(nodes_of(self), FIRST + id));
    pull(self, FIRST + id);
}

static void arc_on_evict(cache_policy *self, uint32_t id)
{
    arc_on_remove(self, id);
    const arc_node *node = &self->nodes[FIRST + id];
    ghosts_push(&self->ghosts, node->ring == T1 ? B1 : B2, node->hash);
}

static void arc_on_move(cache_policy *self, uint32_t from, uint32_t to)
{
    policy_nodes nodes = nodes_of(self);
    BRISK_ASSERT(from < self->id_count && list_has(nodes, FIRST + from));
    BRISK_ASSERT(to < self->id_count && !list_has(nodes, FIRST + to));
    list_replace(nodes, FIRST + from, FIRST + to);
    self->nodes[FIRST + to].hash = self->nodes[FIRST + from].hash;
    self->nodes[FIRST + to].ring = self->nodes[FIRST + from].ring;
}

/* The paper's REPLACE. */
static uint32_t arc_victim(cache_policy *self)
{
    double t1 = (double)self->used[T1];
    bool over = t1 > self->p || (self->from_b2 && t1 >= self->p);
    uint32_t ring = self->used[T1] != 0 && (over || self->used[T2] == 0) ? T1 : T2;
    uint32_t oldest = list_oldest(nodes_of(self), ring);
    return oldest == ring ? POLICY_NONE : oldest - FIRST;
}

static void arc_each(const cache_policy *self, policy_each_fn *fn, void *ctx)
{
    policy_nodes nodes = nodes_of(self);
    for (uint32_t ring = T1; ring <= T2; ring++) {
        for (uint32_t at = list_oldest(nodes, ring); at != ring; at = list_at(nodes, at)->prev) {
            fn(ctx, at - FIRST);
        }
    }
}

static bool arc_is_valid(const cache_policy *self)
{
    policy_nodes nodes = nodes_of(self);
    for (uint32_t ring = T1; ring <= T2; ring++) {
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
    return self->p >= 0 && self->p <= (double)self->capacity && ghosts_are_valid(&self->ghosts);
}

const policy_ops policy_arc = {
    .name = "arc",
    .ids_at = offsetof(struct cache_policy, nodes) + FIRST * sizeof(arc_node),
    .id_bytes = sizeof(arc_node),
    .bytes = arc_bytes,
    .init = arc_init,
    .add_ids = arc_add_ids,
    .set_capacity = arc_set_capacity,
    .on_miss = arc_on_miss,
    .on_insert = arc_on_insert,
    .on_hits = arc_on_hits,
    .on_remove = arc_on_remove,
    .on_evict = arc_on_evict,
    .on_move = arc_on_move,
    .victim = arc_victim,
    .each = arc_each,
    .is_valid = arc_is_valid,
};
