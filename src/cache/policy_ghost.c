/*
 * policy_ghost.c -- see policy_ghost.h.
 */
#include <string.h>

#include "base/assert.h"
#include "cache/policy_ghost.h"

enum {
    FIRST = 1 + GHOST_RINGS, /* the first node that is a ghost */
    RING_SHIFT = 30,
    CHAIN_MASK = (1 << RING_SHIFT) - 1,
    HEADS_MIN = 16,
};

static policy_nodes nodes_of(const policy_ghosts *ghosts)
{
    return (policy_nodes){.base = (unsigned char *)ghosts->nodes, .stride = sizeof(ghost_node)};
}

static uint32_t heads_for(uint32_t room)
{
    uint32_t heads = HEADS_MIN;
    while (heads < room) {
        heads *= 2;
    }
    return heads;
}

static uint32_t *head_of(const policy_ghosts *ghosts, uint32_t hash)
{
    return &ghosts->heads[(hash * UINT32_C(0x9e3779b1) >> 7) & ghosts->mask];
}

static uint32_t chain_next(const policy_ghosts *ghosts, uint32_t ghost)
{
    return ghosts->nodes[ghost].chain & CHAIN_MASK;
}

static void set_chain(policy_ghosts *ghosts, uint32_t ghost, uint32_t next)
{
    uint32_t *chain = &ghosts->nodes[ghost].chain;
    *chain = (*chain & ~(uint32_t)CHAIN_MASK) | next;
}

size_t ghosts_bytes(uint32_t max)
{
    return ((size_t)max + FIRST) * sizeof(ghost_node) + heads_for(max) * sizeof(uint32_t);
}

void ghosts_init(policy_ghosts *ghosts, void *storage, uint32_t max)
{
    *ghosts = (policy_ghosts){.max = max, .room = max, .used = FIRST};
    ghosts->nodes = storage;
    void *heads = ghosts->nodes + max + FIRST;
    ghosts->heads = heads;
    ghosts->mask = heads_for(max) - 1;
    for (uint32_t ring = 0; ring < GHOST_RINGS; ring++) {
        list_init(nodes_of(ghosts), 1 + ring);
    }
}

static uint32_t ghosts_total(const policy_ghosts *ghosts)
{
    uint32_t total = 0;
    for (uint32_t ring = 0; ring < GHOST_RINGS; ring++) {
        total += ghosts->count[ring];
    }
    return total;
}

static void chain_up(policy_ghosts *ghosts, uint32_t ghost)
{
    uint32_t *head = head_of(ghosts, ghosts->nodes[ghost].hash);
    set_chain(ghosts, ghost, *head);
    *head = ghost;
}

static void make_room(policy_ghosts *ghosts, uint32_t room)
{
    for (uint32_t total = ghosts_total(ghosts); total > room; total--) {
        uint32_t ring = 0;
        while (ghosts->count[ring] == 0) {
            ring++;
        }
        ghosts_pop(ghosts, ring);
    }
}

void ghosts_set_room(policy_ghosts *ghosts, uint32_t room)
{
    ghosts->room = room < ghosts->max ? room : ghosts->max;
    make_room(ghosts, ghosts->room);
    uint32_t mask = heads_for(ghosts->room) - 1;
    if (mask == ghosts->mask) {
        return;
    }
    policy_nodes nodes = nodes_of(ghosts);
    bool any = ghosts_total(ghosts) != 0;
    if (any) {
        memset(ghosts->heads, 0, (size_t)ghosts->mask * sizeof(uint32_t) + sizeof(uint32_t));
        memset(ghosts->heads, 0, (size_t)mask * sizeof(uint32_t) + sizeof(uint32_t));
    }
    ghosts->mask = mask;
    for (uint32_t head = 1; any && head < FIRST; head++) {
        for (uint32_t at = list_oldest(nodes, head); at != head; at = list_at(nodes, at)->prev) {
            chain_up(ghosts, at);
        }
    }
}

uint32_t ghosts_find(const policy_ghosts *ghosts, uint32_t hash)
{
    uint32_t at = *head_of(ghosts, hash);
    while (at != 0 && ghosts->nodes[at].hash != hash) {
        at = chain_next(ghosts, at);
    }
    return at;
}

uint32_t ghosts_ring(const policy_ghosts *ghosts, uint32_t ghost)
{
    return ghosts->nodes[ghost].chain >> RING_SHIFT;
}

void ghosts_remove(policy_ghosts *ghosts, uint32_t ghost)
{
    uint32_t *head = head_of(ghosts, ghosts->nodes[ghost].hash);
    uint32_t next = chain_next(ghosts, ghost);
    if (*head == ghost) {
        *head = next;
    } else {
        uint32_t at = *head;
        while (chain_next(ghosts, at) != ghost) {
            at = chain_next(ghosts, at);
        }
        set_chain(ghosts, at, next);
    }
    ghosts->count[ghosts_ring(ghosts, ghost)]--;
    list_remove(nodes_of(ghosts), ghost);
    ghosts->nodes[ghost].chain = ghosts->unused;
    ghosts->unused = ghost;
}

void ghosts_push(policy_ghosts *ghosts, uint32_t ring, uint32_t hash)
{
    uint32_t known = ghosts_find(ghosts, hash);
    if (known != 0) {
        ghosts_remove(ghosts, known);
    }
    if (ghosts->room == 0) {
        return;
    }
    if (ghosts_total(ghosts) >= ghosts->room && ghosts->count[ring] != 0) {
        ghosts_pop(ghosts, ring);
    }
    make_room(ghosts, ghosts->room - 1);
    uint32_t ghost = ghosts->unused;
    if (ghost != 0) {
        ghosts->unused = chain_next(ghosts, ghost);
    } else {
        BRISK_ASSERT(ghosts->used < ghosts->max + FIRST);
        ghost = ghosts->used++;
    }
    ghosts->nodes[ghost] = (ghost_node){.hash = hash, .chain = ring << RING_SHIFT};
    list_push(nodes_of(ghosts), 1 + ring, ghost);
    chain_up(ghosts, ghost);
    ghosts->count[ring]++;
}

void ghosts_pop(policy_ghosts *ghosts, uint32_t ring)
{
    uint32_t oldest = list_oldest(nodes_of(ghosts), 1 + ring);
    if (oldest != 1 + ring) {
        ghosts_remove(ghosts, oldest);
    }
}

bool ghosts_are_valid(const policy_ghosts *ghosts)
{
    policy_nodes nodes = nodes_of(ghosts);
    for (uint32_t ring = 0; ring < GHOST_RINGS; ring++) {
        uint32_t head = 1 + ring;
        if (list_count(nodes, head, ghosts->count[ring], ghosts->used) != ghosts->count[ring]) {
            return false;
        }
        for (uint32_t at = list_oldest(nodes, head); at != head; at = list_at(nodes, at)->prev) {
            if (ghosts_ring(ghosts, at) != ring ||
                ghosts_find(ghosts, ghosts->nodes[at].hash) != at) {
                return false;
            }
        }
    }
    return ghosts_total(ghosts) <= ghosts->room;
}
