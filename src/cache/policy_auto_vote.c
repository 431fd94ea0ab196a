/*
 * policy_auto_vote.c -- small caches: the nine simulated caches vote on every entry.
 *
 * Entries that the same simulated caches hold form a ring, oldest use last:
 *
 *     holders 011  A - D - F          weight of a ring: the sum of its holders' weights
 *     holders 010  B                  victim: the oldest of the lightest ring
 *     holders 000  C - E
 *
 * A simulated cache that drops a key withdraws its vote, and the entry moves to another ring: all
 * is O(1), whoever leads.  When one weight is 1 and the others are 0, whatever the leader does not
 * hold goes first, so that the real content becomes the leader's within as many misses as they
 * differ; nothing is handed over, and the leader's ghosts and counts were there all along.  While
 * weights are near each other, the entries stay that most of the good ones would keep, which is
 * often better than each of them.
 *
 * Invariant: a node with links is an entry and in the ring of its holders; bit r of filled[] is
 * set exactly when ring r has a node; every entry is in the chain of its hash.
 */
#include <string.h>

#include "base/assert.h"
#include "cache/policy_auto.h"

static policy_nodes nodes_of(const cache_policy *self)
{
    return (policy_nodes){.base = (unsigned char *)self->nodes, .stride = sizeof(auto_node)};
}

static auto_node *node_of(const cache_policy *self, uint32_t id)
{
    return &self->nodes[AUTO_FIRST + id];
}

void vote_begin(cache_policy *self)
{
    self->votes = true;
    self->nodes = self->work;
    self->one = NULL;
    self->panel.credited = self->panel.has_judged;
    memset(self->heads, 0, ((size_t)self->heads_mask + 1) * sizeof(uint32_t));
    memset(self->filled, 0, sizeof self->filled);
    for (uint32_t ring = 0; ring < AUTO_RINGS; ring++) {
        list_init(nodes_of(self), AUTO_HEAD + ring);
    }
}

bool vote_has(const cache_policy *self, uint32_t id)
{
    return list_has(nodes_of(self), AUTO_FIRST + id);
}

static uint32_t *head_of(const cache_policy *self, uint32_t hash)
{
    return &self->heads[(hash * UINT32_C(0xc2b2ae35) >> 3) & self->heads_mask];
}

static void link_node(cache_policy *self, uint32_t id, uint32_t holders)
{
    BRISK_ASSERT(holders < AUTO_RINGS);
    node_of(self, id)->holders = holders;
    list_push(nodes_of(self), AUTO_HEAD + holders, AUTO_FIRST + id);
    self->filled[holders / 64] |= UINT64_C(1) << (holders % 64);
}

static void unlink_node(cache_policy *self, uint32_t id)
{
    uint32_t holders = node_of(self, id)->holders;
    list_remove(nodes_of(self), AUTO_FIRST + id);
    if (list_is_empty(nodes_of(self), AUTO_HEAD + holders)) {
        self->filled[holders / 64] &= ~(UINT64_C(1) << (holders % 64));
    }
}

void vote_insert(cache_policy *self, uint32_t id, uint32_t holders)
{
    uint32_t *head = head_of(self, self->ids[id].hash);
    node_of(self, id)->chain = *head;
    *head = id + 1;
    link_node(self, id, holders);
}

/* The link of the chain that names `id`. */
static uint32_t *chain_link(const cache_policy *self, uint32_t id)
{
    uint32_t *link = head_of(self, self->ids[id].hash);
    while (*link != id + 1) {
        BRISK_ASSERT(*link != 0);
        link = &node_of(self, *link - 1)->chain;
    }
    return link;
}

void vote_remove(cache_policy *self, uint32_t id)
{
    *chain_link(self, id) = node_of(self, id)->chain;
    unlink_node(self, id);
}

void vote_move(cache_policy *self, uint32_t from, uint32_t to)
{
    uint32_t *link = chain_link(self, from);
    *link = to + 1;
    node_of(self, to)->chain = node_of(self, from)->chain;
    node_of(self, to)->holders = node_of(self, from)->holders;
    list_replace(nodes_of(self), AUTO_FIRST + from, AUTO_FIRST + to);
}

void vote_hit(cache_policy *self, uint32_t id, uint32_t holders)
{
    unlink_node(self, id);
    link_node(self, id, holders);
}

void vote_withdraw(cache_policy *self, uint32_t hash, uint32_t p)
{
    for (uint32_t at = *head_of(self, hash); at != 0; at = node_of(self, at - 1)->chain) {
        uint32_t holders = node_of(self, at - 1)->holders;
        if (self->ids[at - 1].hash == hash && (holders >> p & 1) != 0) {
            unlink_node(self, at - 1);
            link_node(self, at - 1, holders & ~(1U << p));
        }
    }
}

void vote_recount(cache_policy *self)
{
    auto_gather(self);
    for (uint32_t id; (id = auto_take(self)) != POLICY_NONE;) {
        uint32_t holders = panel_holders(&self->panel, self->ids[id].hash);
        if (holders != node_of(self, id)->holders) {
            vote_hit(self, id, holders);
        }
    }
}

static double weight_of(const cache_policy *self, uint32_t holders)
{
    double weight = 0;
    for (; holders != 0; holders &= holders - 1) {
        weight += self->panel.weights[__builtin_ctz(holders)];
    }
    return weight;
}

uint32_t vote_victim(const cache_policy *self)
{
    double least = 0;
    uint32_t lightest = AUTO_RINGS;
    for (uint32_t word = 0; word < AUTO_RINGS / 64; word++) {
        for (uint64_t left = self->filled[word]; left != 0; left &= left - 1) {
            uint32_t ring = word * 64 + (uint32_t)__builtin_ctzll(left);
            double weight = weight_of(self, ring);
            if (lightest == AUTO_RINGS || weight < least) {
                least = weight;
                lightest = ring;
            }
        }
    }
    if (lightest == AUTO_RINGS) {
        return POLICY_NONE;
    }
    return list_oldest(nodes_of(self), AUTO_HEAD + lightest) - AUTO_FIRST;
}

static void each_of_ring(const cache_policy *self, uint32_t ring, policy_each_fn *fn, void *ctx)
{
    policy_nodes nodes = nodes_of(self);
    uint32_t head = AUTO_HEAD + ring;
    for (uint32_t at = list_oldest(nodes, head); at != head; at = list_at(nodes, at)->prev) {
        fn(ctx, at - AUTO_FIRST);
    }
}

/* Ring after ring, the lightest first. */
void vote_each(const cache_policy *self, policy_each_fn *fn, void *ctx)
{
    uint64_t left[AUTO_RINGS / 64];
    memcpy(left, self->filled, sizeof left);
    for (;;) {
        double least = 0;
        uint32_t lightest = AUTO_RINGS;
        for (uint32_t ring = 0; ring < AUTO_RINGS; ring++) {
            if ((left[ring / 64] >> (ring % 64) & 1) != 0) {
                double weight = weight_of(self, ring);
                if (lightest == AUTO_RINGS || weight < least) {
                    least = weight;
                    lightest = ring;
                }
            }
        }
        if (lightest == AUTO_RINGS) {
            return;
        }
        left[lightest / 64] &= ~(UINT64_C(1) << (lightest % 64));
        each_of_ring(self, lightest, fn, ctx);
    }
}

static bool is_chained(const cache_policy *self, uint32_t id)
{
    uint32_t at = *head_of(self, self->ids[id].hash);
    while (at != 0 && at != id + 1) {
        at = node_of(self, at - 1)->chain;
    }
    return at != 0;
}

bool vote_is_valid(const cache_policy *self)
{
    policy_nodes nodes = nodes_of(self);
    uint32_t seen = 0;
    for (uint32_t ring = 0; ring < AUTO_RINGS; ring++) {
        uint32_t head = AUTO_HEAD + ring;
        uint32_t count = list_count(nodes, head, self->entries, self->id_count + AUTO_FIRST);
        bool filled = (self->filled[ring / 64] >> (ring % 64) & 1) != 0;
        if (count == UINT32_MAX || filled != (count != 0)) {
            return false;
        }
        for (uint32_t at = list_oldest(nodes, head); at != head; at = list_at(nodes, at)->prev) {
            if (self->nodes[at].holders != ring || !is_chained(self, at - AUTO_FIRST)) {
                return false;
            }
        }
        seen += count;
    }
    return seen == self->entries;
}
