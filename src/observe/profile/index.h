/*
 * index.h -- an open-addressing table from hashes to numbers: what strings, frames, stacks and
 * samples are found by.  The items live with their owner; the table keeps a hash and a number of
 * each, and asks `same` whether the item of a number is the one that is looked for.
 *
 * At most three quarters are in use.  There is no removal.  Threads: one at a time.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_INDEX_H
#define BRISK_SRC_OBSERVE_PROFILE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>

#define PROF_NO_ID UINT32_MAX

typedef struct prof_slot {
    uint32_t hash;
    uint32_t id_plus_one; /* 0: free */
} prof_slot;

typedef struct prof_index {
    prof_slot *slots;
    size_t size; /* power of two, or 0 */
    size_t used;
} prof_index;

typedef bool (*prof_same)(const void *owner, uint32_t id, const void *key);

/* The number of the item that is `same` as `key`, or PROF_NO_ID. */
uint32_t prof_index_find(const prof_index *index, uint32_t hash, prof_same same, const void *owner,
                         const void *key);
/* Add one that is not there.  False: out of memory, the table is as before. */
bool prof_index_add(prof_index *index, const brisk_alloc *alloc, uint32_t hash, uint32_t id);
void prof_index_deinit(prof_index *index, const brisk_alloc *alloc);

/* Mix two numbers to a hash; source: the finaliser of MurmurHash3 (public domain, A. Appleby). */
static inline uint32_t prof_mix(uint64_t a, uint64_t b)
{
    uint64_t h = (a ^ (b * UINT64_C(0x9e3779b97f4a7c15))) + UINT64_C(0x632be59bd9b4e019);
    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 33;
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return (uint32_t)(h ^ (h >> 33));
}

#endif /* BRISK_SRC_OBSERVE_PROFILE_INDEX_H */
