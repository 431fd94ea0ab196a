/*
 * policy.h -- who leaves the memory tier first.
 *
 * A policy orders ids, small numbers that stand for entries; it never sees keys, values or time,
 * so that another one (SIEVE, S3-FIFO, ARC, ...) comes without touching the tier.  Its whole
 * memory is one block of bytes(id_count) bytes that the tier provides and charges; ids become
 * usable in ranges by add_ids, so that an unused range costs no memory.
 *
 * Hits arrive late and in batches, but always before the next insert, remove or victim.
 *
 * Threads: one at a time (the shard's lock is held).
 */
#ifndef BRISK_SRC_CACHE_POLICY_H
#define BRISK_SRC_CACHE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_NONE UINT32_MAX /* no id */

typedef struct cache_policy cache_policy;

typedef struct policy_ops {
    const char *name;
    /* What the policy knows of an id is id_bytes at ids_at + id * id_bytes from its beginning: */
    size_t ids_at; /* the tier asks for that memory when a hit happens, long before on_hits */
    size_t id_bytes;
    /* Memory for ids 0 .. id_count - 1. */
    size_t (*bytes)(uint32_t id_count);
    /* Begin with no entries in `storage`, which holds bytes(id_count), aligned to 64. */
    cache_policy *(*init)(void *storage, uint32_t id_count);
    /* Ids first .. first + count - 1 may be used from now on; none of them is an entry now. */
    void (*add_ids)(cache_policy *self, uint32_t first, uint32_t count);
    /* `id` is a new entry; `hash` lets a policy remember entries that are gone. */
    void (*on_insert)(cache_policy *self, uint32_t id, uint64_t hash);
    /* Entries that were asked for, oldest hit first.  Ids that are no entry are ignored. */
    void (*on_hits)(cache_policy *self, const uint32_t *ids, uint32_t count);
    /* `id` is no entry any more, whatever the reason. */
    void (*on_remove)(cache_policy *self, uint32_t id);
    /* The entry `from` is now called `to`, in the same place of the order. */
    void (*on_move)(cache_policy *self, uint32_t from, uint32_t to);
    /* The entry to drop next, or POLICY_NONE when there is none; it stays an entry. */
    uint32_t (*victim)(cache_policy *self);
    /* Whole-structure proof, for BRISK_AUDIT. */
    bool (*is_valid)(const cache_policy *self);
} policy_ops;

extern const policy_ops policy_lru;

/* The policy called `name`, or NULL. */
const policy_ops *policy_find(const char *name);

#endif /* BRISK_SRC_CACHE_POLICY_H */
