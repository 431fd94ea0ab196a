/*
 * policy_ghost.h -- hashes of entries that are gone, found by hash, in up to four rings by age.
 *
 *     ghost 0 is nobody | heads of the rings | ghosts ...     chains: heads of a hash table
 *
 * All of it lies in memory that is zero at first and is used from its beginning: `room` ghosts
 * are known at most, and the table has as many heads as that, so that a large id_count with a
 * small capacity touches little.
 *
 * Invariant: every ghost is in one ring and in the chain of its hash; no two have one hash.
 */
#ifndef BRISK_SRC_CACHE_POLICY_GHOST_H
#define BRISK_SRC_CACHE_POLICY_GHOST_H

#include "cache/policy_list.h"

enum { GHOST_RINGS = 4 };

typedef struct ghost_node {
    policy_link link;
    uint32_t hash;
    uint32_t chain; /* ring in the two top bits; the next ghost of the chain, or free one */
} ghost_node;

typedef struct policy_ghosts {
    ghost_node *nodes;
    uint32_t *heads;
    uint32_t mask;   /* of the heads in use */
    uint32_t max;    /* ghosts there is memory for */
    uint32_t room;   /* ghosts that may be known now */
    uint32_t used;   /* nodes that were used ever */
    uint32_t unused; /* first of the free ones among them, or 0 */
    uint32_t count[GHOST_RINGS];
} policy_ghosts;

size_t ghosts_bytes(uint32_t max);
/* `storage` is zero and lives where it is as long as the ghosts do. */
void ghosts_init(policy_ghosts *ghosts, void *storage, uint32_t max);
/* Know `room` ghosts at most from now on (at most `max`); forgets the oldest of ring 0, 1 ... */
void ghosts_set_room(policy_ghosts *ghosts, uint32_t room);
/* The ghost of `hash`, or 0. */
uint32_t ghosts_find(const policy_ghosts *ghosts, uint32_t hash);
uint32_t ghosts_ring(const policy_ghosts *ghosts, uint32_t ghost);
void ghosts_remove(policy_ghosts *ghosts, uint32_t ghost);
/* Make `hash` the newest of a ring; the oldest goes when there is no room. */
void ghosts_push(policy_ghosts *ghosts, uint32_t ring, uint32_t hash);
/* Forget the oldest of a ring; nothing when it is empty. */
void ghosts_pop(policy_ghosts *ghosts, uint32_t ring);
bool ghosts_are_valid(const policy_ghosts *ghosts);

#endif /* BRISK_SRC_CACHE_POLICY_GHOST_H */
