/*
 * lock_entry.h -- between the two halves of reading a lock: lock_entry.c makes a manifest of every
 * member of "packages", lock_read.c puts them into a tree.
 *
 * Threads: one at a time.  Ownership: what becomes the tree's lies in `arena`, all else in `scratch`.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_LOCK_ENTRY_H
#define BRISK_SRC_WORKLOAD_PKG_LOCK_ENTRY_H

#include "workload/pkg/jsonscan.h"
#include "workload/pkg/tree.h"

typedef struct lock_place {
    bool in_modules;
    pkg_text parent; /* whose node_modules it lies in */
    pkg_text name;   /* of the folder; outside of node_modules the path */
} lock_place;

typedef struct lock_entry {
    pkg_text path;
    lock_place place;  /* what the path says; of the root nothing */
    const char *where; /* in the text, for messages */
    pkg_manifest *manifest;
    pkg_text resolved;
    uint32_t flags; /* PKG_NODE_... */
    pkg_node *node;
} lock_entry;

typedef struct lock_range { /* a spec that was seen, and what it is */
    pkg_text spec;
    uint64_t hash;
    const semver_range *range;
} lock_range;

typedef struct lock_dep {
    pkg_dep dep;
    uint32_t place;
} lock_dep;

typedef struct lock_reader {
    pkg_scan scan;
    brisk_arena *arena;
    brisk_arena *scratch;
    lock_entry *entries;
    uint32_t count;
    uint32_t capacity;
    lock_range *ranges; /* open addressing, a power of two, at most half full */
    uint32_t range_count;
    uint32_t range_slots;
    lock_dep *deps; /* of the entry that is being read */
    uint32_t dep_count;
    uint32_t dep_capacity;
    brisk_errinfo *info;
} lock_reader;

/* The value of "packages".  False: r->scan says why. */
bool lock_read_entries(lock_reader *r);
/* One more of an array in scratch that grows by doubling; NULL: out of memory, said. */
void *lock_grow(lock_reader *r, void *items, uint32_t count, uint32_t *capacity, size_t size);

#endif /* BRISK_SRC_WORKLOAD_PKG_LOCK_ENTRY_H */
