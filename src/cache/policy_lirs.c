/*
 * policy_lirs.c -- LIRS: who was asked for twice within a short while stays, whatever came since.
 *
 *     stack S   by last use: LIR entries (99 % of the cache), HIR entries, ghosts;
 *               its oldest is always LIR (what is older than that is pruned)
 *     queue Q   HIR entries (1 %, at least one); the oldest is the victim
 *
 * A HIR key asked for again while it is in S has a shorter interval than the oldest LIR entry:
 * they change places.  A victim that is in S stays there as a ghost.
 *
 * Ghosts are nodes behind those of the ids, linked in S like entries, and among each other in the
 * order in which they became ghosts; more than GHOST_SHARE times the capacity are not kept.
 *
 * Invariant: LIR: in S, not in Q.  HIR entry: in Q, perhaps in S.  Ghost: in S and in G.
 * Source: Jiang, Zhang, "LIRS: an efficient low inter-reference recency set replacement policy",
 * SIGMETRICS 2002.
 */
#include <string.h>

#include "base/assert.h"
#include "cache/policy.h"
#include "cache/policy_list.h"

enum {
    HEAD_S = 1,
    HEAD_Q = 2,
    HEAD_G = 3,
    FIRST = 4,
    HIR_SHARE = 100,
    GHOST_SHARE = 2,
    HEADS_MIN = 16,
};

enum { NOT_THERE, LIR, HIR, GHOST };

typedef struct lirs_node {
    policy_link stack;
    policy_link queue; /* Q, or G */
    uint32_t hash;
    uint32_t chain; /* ghosts: the next of the chain, or free one */
    uint32_t state;
} lirs_node;

struct cache_policy {
    uint32_t id_count;
    uint32_t ghosts_max;  /* there is memory for */
    uint32_t ghosts_room; /* that are kept */
    uint32_t ghosts;
    uint32_t ghosts_used; /* nodes that were used ever */
    uint32_t unused;      /* first of the free ones among them, or 0 */
    uint32_t lir;
    uint32_t hir;
    uint32_t lir_max;
    uint32_t mask;   /* of the chains in use */
    uint32_t *heads; /* of the chains; behind the last node */
    lirs_node nodes[];
};

static policy_nodes stack_of(const cache_policy *self)
{
    return (policy_nodes){.base = (unsigned char *)(uintptr_t)self->nodes,
                          .stride = sizeof(lirs_node)};
}

static policy_nodes queue_of(const cache_policy *self)
{
    return (policy_nodes){.base =
                              (unsigned char *)(uintptr_t)self->nodes + offsetof(lirs_node, queue),
                          .stride = sizeof(lirs_node)};
}

static uint32_t heads_for(uint32_t ghosts)
{
    uint32_t heads = HEADS_MIN;
    while (heads < ghosts) {
        heads *= 2;
    }
    return heads;
}

/* Large tables have memory for fewer: capacity is less than ids there, or memory matters more. */
static uint32_t ghosts_for(uint32_t id_count)
{
    return id_count <= POLICY_IDS_SMALL ? GHOST_SHARE * id_count : id_count / 2;
}

static uint32_t node_count(uint32_t id_count)
{
    return FIRST + id_count + ghosts_for(id_count);
}

static size_t nodes_end(uint32_t id_count)
{
    return sizeof(struct cache_policy) + (size_t)node_count(id_count) * sizeof(lirs_node);
}

static size_t lirs_bytes(uint32_t id_count)
{
    return nodes_end(id_count) + heads_for(ghosts_for(id_count)) * sizeof(uint32_t);
}

static cache_policy *lirs_init(void *storage, uint32_t id_count)
{
    BRISK_ASSERT(id_count <= POLICY_IDS_MAX);
    cache_policy *self = storage;
    self->id_count = id_count;
    self->ghosts_max = ghosts_for(id_count);
    self->ghosts_room = self->ghosts_max;
    self->lir_max = id_count;
    void *heads = (unsigned char *)storage + nodes_end(id_count);
    self->heads = heads;
    self->mask = heads_for(self->ghosts_max) - 1;
    list_init(stack_of(self), HEAD_S);
    list_init(queue_of(self), HEAD_Q);
    list_init(queue_of(self), HEAD_G);
    return self;
}

static void lirs_add_ids(cache_policy *self, uint32_t first, uint32_t count)
{
    BRISK_ASSERT(first <= self->id_count && count <= self->id_count - first);
}

/* --- ghosts ------------------------------------------------------------------------------ */

static uint32_t *head_of(const cache_policy *self, uint32_t hash)
{
    return &self->heads[(hash * UINT32_C(0x9e3779b1) >> 7) & self->mask];
}

static uint32_t find_ghost(const cache_policy *self, uint32_t hash)
{
    uint32_t at = *head_of(self, hash);
    while (at != 0 && self->nodes[at].hash != hash) {
        at = self->nodes[at].chain;
    }
    return at;
}

static void chain_up(cache_policy *self, uint32_t ghost)
{
    uint32_t *head = head_of(self, self->nodes[ghost].hash);
    self->nodes[ghost].chain = *head;
    *head = ghost;
}

static void drop_ghost(cache_policy *self, uint32_t ghost)
{
    lirs_node *node = &self->nodes[ghost];
    uint32_t *link = head_of(self, node->hash);
    while (*link != ghost) {
        link = &self->nodes[*link].chain;
    }
    *link = node->chain;
    list_remove(stack_of(self), ghost);
    list_remove(queue_of(self), ghost);
    node->state = NOT_THERE;
    node->chain = self->unused;
    self->unused = ghost;
    self->ghosts--;
}

static void keep_ghosts(cache_policy *self, uint32_t room)
{
    while (self->ghosts > room) {
        drop_ghost(self, list_oldest(queue_of(self), HEAD_G));
    }
}

/* The entry `index`, which is in S, leaves a ghost in its place. */
static void leave_ghost(cache_policy *self, uint32_t index)
{
    uint32_t hash = self->nodes[index].hash;
    uint32_t known = find_ghost(self, hash);
    if (known != 0) { /* another key with this hash */
        drop_ghost(self, known);
    }
    if (self->ghosts_room == 0) {
        list_remove(stack_of(self), index);
        return;
    }
    keep_ghosts(self, self->ghosts_room - 1);
    uint32_t ghost = self->unused;
    if (ghost != 0) {
        self->unused = self->nodes[ghost].chain;
    } else {
        BRISK_ASSERT(self->ghosts_used < self->ghosts_max);
        ghost = FIRST + self->id_count + self->ghosts_used++;
    }
    self->nodes[ghost].hash = hash;
    self->nodes[ghost].state = GHOST;
    list_replace(stack_of(self), index, ghost);
    list_push(queue_of(self), HEAD_G, ghost);
    chain_up(self, ghost);
    self->ghosts++;
}

static void set_ghosts_room(cache_policy *self, uint32_t room)
{
    self->ghosts_room = room < self->ghosts_max ? room : self->ghosts_max;
    keep_ghosts(self, self->ghosts_room);
    uint32_t mask = heads_for(self->ghosts_room) - 1;
    if (mask == self->mask) {
        return;
    }
    if (self->ghosts != 0) {
        uint32_t larger = mask > self->mask ? mask : self->mask;
        memset(self->heads, 0, ((size_t)larger + 1) * sizeof(uint32_t));
    }
    self->mask = mask;
    policy_nodes queue = queue_of(self);
    for (uint32_t at = list_oldest(queue, HEAD_G); at != HEAD_G; at = list_at(queue, at)->prev) {
        chain_up(self, at);
    }
}

/* --- stack and queue --------------------------------------------------------------------- */

/* Nothing is older than the oldest LIR entry. */
static void prune(cache_policy *self)
{
    policy_nodes stack = stack_of(self);
    for (;;) {
        uint32_t oldest = list_oldest(stack, HEAD_S);
        if (oldest == HEAD_S || self->nodes[oldest].state == LIR) {
            return;
        }
        if (self->nodes[oldest].state == GHOST) {
            drop_ghost(self, oldest);
        } else {
            list_remove(stack, oldest);
        }
    }
}

/* The oldest LIR entry becomes the newest of Q. */
static void demote(cache_policy *self)
{
    uint32_t oldest = list_oldest(stack_of(self), HEAD_S);
    BRISK_ASSERT(self->nodes[oldest].state == LIR);
    list_remove(stack_of(self), oldest);
    self->nodes[oldest].state = HIR;
    list_push(queue_of(self), HEAD_Q, oldest);
    self->lir--;
    self->hir++;
    prune(self);
}

static void lirs_set_capacity(cache_policy *self, uint32_t entries)
{
    uint32_t hir = entries / HIR_SHARE != 0 ? entries / HIR_SHARE : 1;
    self->lir_max = entries > hir ? entries - hir : 0;
    while (self->lir > self->lir_max) {
        demote(self);
    }
    uint64_t room = (uint64_t)entries * GHOST_SHARE;
    set_ghosts_room(self, room < UINT32_MAX ? (uint32_t)room : UINT32_MAX);
}

static void make_lir(cache_policy *self, uint32_t index)
{
    list_push(stack_of(self), HEAD_S, index);
    self->nodes[index].state = LIR;
    self->lir++;
    if (self->lir > self->lir_max) {
        demote(self);
    }
}

static void lirs_on_insert(cache_policy *self, const policy_entry *entry)
{
    uint32_t index = FIRST + entry->id;
    BRISK_ASSERT(entry->id < self->id_count && self->nodes[index].state == NOT_THERE);
    self->nodes[index].hash = entry->hash;
    uint32_t ghost = find_ghost(self, entry->hash);
    if (ghost != 0) {
        drop_ghost(self, ghost);
    }
    if (self->lir_max != 0 && (ghost != 0 || self->lir < self->lir_max)) {
        make_lir(self, index);
        return;
    }
    self->nodes[index].state = HIR;
    self->hir++;
    list_push(queue_of(self), HEAD_Q, index);
    if (self->lir != 0) {
        list_push(stack_of(self), HEAD_S, index);
    }
}

static void hit(cache_policy *self, uint32_t index)
{
    policy_nodes stack = stack_of(self);
    policy_nodes queue = queue_of(self);
    bool in_stack = list_has(stack, index);
    if (in_stack) {
        list_remove(stack, index);
    }
    if (self->nodes[index].state == LIR) {
        list_push(stack, HEAD_S, index);
        prune(self);
        return;
    }
    list_remove(queue, index);
    if (in_stack && self->lir_max != 0) {
        self->hir--;
        make_lir(self, index);
        return;
    }
    list_push(queue, HEAD_Q, index);
    if (self->lir != 0) {
        list_push(stack, HEAD_S, index);
    }
}

static void lirs_on_hits(cache_policy *self, const policy_hit *hits, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        BRISK_ASSERT(hits[i].id < self->id_count);
        list_prefetch(stack_of(self), FIRST + hits[i].id);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (self->nodes[FIRST + hits[i].id].state != NOT_THERE) {
            hit(self, FIRST + hits[i].id);
        }
    }
}

/* Out of the queue, and of the counts; S is the caller's. */
static void forget(cache_policy *self, uint32_t index)
{
    if (self->nodes[index].state == HIR) {
        list_remove(queue_of(self), index);
        self->hir--;
    } else {
        self->lir--;
    }
    self->nodes[index].state = NOT_THERE;
}

static void lirs_on_remove(cache_policy *self, uint32_t id)
{
    uint32_t index = FIRST + id;
    BRISK_ASSERT(id < self->id_count && self->nodes[index].state != NOT_THERE);
    forget(self, index);
    if (list_has(stack_of(self), index)) {
        list_remove(stack_of(self), index);
    }
    prune(self);
}

static void lirs_on_evict(cache_policy *self, uint32_t id)
{
    uint32_t index = FIRST + id;
    BRISK_ASSERT(id < self->id_count && self->nodes[index].state != NOT_THERE);
    bool was_lir = self->nodes[index].state == LIR;
    forget(self, index);
    if (list_has(stack_of(self), index)) {
        if (was_lir) {
            list_remove(stack_of(self), index);
        } else {
            leave_ghost(self, index);
        }
    }
    prune(self);
}

static void lirs_on_move(cache_policy *self, uint32_t from, uint32_t to)
{
    lirs_node *old = &self->nodes[FIRST + from];
    lirs_node *new = &self->nodes[FIRST + to];
    BRISK_ASSERT(from < self->id_count && old->state != NOT_THERE);
    BRISK_ASSERT(to < self->id_count && new->state == NOT_THERE);
    new->hash = old->hash;
    new->state = old->state;
    old->state = NOT_THERE;
    if (list_has(stack_of(self), FIRST + from)) {
        list_replace(stack_of(self), FIRST + from, FIRST + to);
    }
    if (list_has(queue_of(self), FIRST + from)) {
        list_replace(queue_of(self), FIRST + from, FIRST + to);
    }
}

static uint32_t lirs_victim(cache_policy *self)
{
    uint32_t oldest = list_oldest(queue_of(self), HEAD_Q);
    if (oldest == HEAD_Q) {
        oldest = list_oldest(stack_of(self), HEAD_S);
    }
    return oldest >= FIRST ? oldest - FIRST : POLICY_NONE;
}

static void lirs_each(const cache_policy *self, policy_each_fn *fn, void *ctx)
{
    policy_nodes queue = queue_of(self);
    for (uint32_t at = list_oldest(queue, HEAD_Q); at != HEAD_Q; at = list_at(queue, at)->prev) {
        fn(ctx, at - FIRST);
    }
    policy_nodes stack = stack_of(self);
    for (uint32_t at = list_oldest(stack, HEAD_S); at != HEAD_S; at = list_at(stack, at)->prev) {
        if (self->nodes[at].state == LIR) {
            fn(ctx, at - FIRST);
        }
    }
}

static bool lirs_is_valid(const cache_policy *self)
{
    uint32_t end = node_count(self->id_count);
    policy_nodes stack = stack_of(self);
    policy_nodes queue = queue_of(self);
    uint32_t in_stack = list_count(stack, HEAD_S, self->lir + self->hir + self->ghosts, end);
    if (in_stack == UINT32_MAX || list_count(queue, HEAD_Q, self->hir, end) != self->hir ||
        list_count(queue, HEAD_G, self->ghosts, end) != self->ghosts || self->lir > self->lir_max ||
        self->ghosts > self->ghosts_room) {
        return false;
    }
    uint32_t lir = 0;
    uint32_t ghosts = 0;
    for (uint32_t at = list_oldest(stack, HEAD_S); at != HEAD_S; at = list_at(stack, at)->prev) {
        const lirs_node *node = &self->nodes[at];
        if (node->state == NOT_THERE || (node->state == LIR) != (node->queue.next == 0) ||
            (node->state == GHOST && find_ghost(self, node->hash) != at)) {
            return false;
        }
        lir += node->state == LIR;
        ghosts += node->state == GHOST;
    }
    uint32_t oldest = list_oldest(stack, HEAD_S);
    return lir == self->lir && ghosts == self->ghosts &&
           (oldest == HEAD_S || self->nodes[oldest].state == LIR);
}

const policy_ops policy_lirs = {
    .name = "lirs",
    .ids_at = offsetof(struct cache_policy, nodes) + FIRST * sizeof(lirs_node),
    .id_bytes = sizeof(lirs_node),
    .bytes = lirs_bytes,
    .init = lirs_init,
    .add_ids = lirs_add_ids,
    .set_capacity = lirs_set_capacity,
    .on_insert = lirs_on_insert,
    .on_hits = lirs_on_hits,
    .on_remove = lirs_on_remove,
    .on_evict = lirs_on_evict,
    .on_move = lirs_on_move,
    .victim = lirs_victim,
    .each = lirs_each,
    .is_valid = lirs_is_valid,
};
