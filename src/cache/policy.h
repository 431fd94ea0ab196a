/*
 * policy.h -- who leaves the memory tier first.
 *
 * A policy orders ids, small numbers that stand for entries; it never sees keys, values or time,
 * so that another one comes without touching the tier.  Its whole memory is one block of
 * bytes(id_count) bytes that the tier provides and charges.  The block is zeroed, and zero means
 * "no entry" everywhere in it: what no id ever used is never touched and costs no memory.
 *
 * What a policy is told, in order:
 *
 *     get finds the entry                 on_hits
 *     put of a key that is there          on_hits, after on_move when its cell changed
 *     put of a new key                    on_miss, victim and on_evict until it fits, on_insert
 *     remove, expiry, clear               on_remove
 *
 * Hits arrive late and in batches, but always before anything else.  `hash` is 32 bits of the
 * key's hash, the same at every call; policies remember by it what is gone (ghosts).
 *
 * Threads: one at a time (the shard's lock is held).
 */
#ifndef BRISK_SRC_CACHE_POLICY_H
#define BRISK_SRC_CACHE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_NONE UINT32_MAX /* no id */

#define POLICY_IDS_MAX (UINT32_C(1) << 31)

enum { POLICY_IDS_SMALL = 1 << 17 /* beyond: ghosts for half of the ids, to spare memory */ };

typedef struct cache_policy cache_policy;

typedef struct policy_hit {
    uint32_t id;
    uint32_t hash;
} policy_hit;

typedef struct policy_entry {
    uint32_t id;
    uint32_t hash;
    uint32_t expires_s; /* wall clock seconds; 0 never */
} policy_entry;

typedef void policy_each_fn(void *ctx, uint32_t id);

typedef struct policy_ops {
    const char *name;
    /* What the policy knows of an id is id_bytes at ids_at + id * id_bytes from its beginning: */
    size_t ids_at; /* the tier asks for that memory when a hit happens, long before on_hits */
    size_t id_bytes;
    /* Memory for ids 0 .. id_count - 1, ghosts included. */
    size_t (*bytes)(uint32_t id_count);
    /* Begin with no entries in `storage`: bytes(id_count) zero bytes, aligned to 64. */
    cache_policy *(*init)(void *storage, uint32_t id_count);
    void (*deinit)(cache_policy *self); /* may be NULL */
    /* Ids first .. first + count - 1 may be used from now on; none of them is an entry now. */
    void (*add_ids)(cache_policy *self, uint32_t first, uint32_t count);
    /* Most bytes, beside what it keeps for each id, that it may touch from the next set_capacity on; without a call
     * all of its block.  May be NULL. */
    void (*set_room)(cache_policy *self, size_t bytes);
    /* How many entries fit now, at the tier's best estimate. */
    void (*set_capacity)(cache_policy *self, uint32_t entries);
    /* A new key comes, before room is made for it; may be NULL. */
    void (*on_miss)(cache_policy *self, uint32_t hash);
    void (*on_insert)(cache_policy *self, const policy_entry *entry);
    /* Entries that were asked for, oldest hit first.  Ids that are no entry are ignored. */
    void (*on_hits)(cache_policy *self, const policy_hit *hits, uint32_t count);
    /* `id` is no entry any more, and not for want of room. */
    void (*on_remove)(cache_policy *self, uint32_t id);
    /* `id`, which victim gave, was dropped for want of room: it may be remembered. */
    void (*on_evict)(cache_policy *self, uint32_t id);
    /* The entry `from` is now called `to`, in the same place of the order. */
    void (*on_move)(cache_policy *self, uint32_t from, uint32_t to);
    /* The entry expires at another time now; may be NULL. */
    void (*on_expiry)(cache_policy *self, uint32_t id, uint32_t expires_s);
    /* The entry to drop next, or POLICY_NONE when there is none; it stays an entry. */
    uint32_t (*victim)(cache_policy *self);
    /* Every entry once, about in the order in which they would leave.  Changes nothing. */
    void (*each)(const cache_policy *self, policy_each_fn *fn, void *ctx);
    /* The name of the policy that decides now, where it may be another one; may be NULL. */
    const char *(*at_work)(const cache_policy *self);
    /* Whole-structure proof, for BRISK_AUDIT. */
    bool (*is_valid)(const cache_policy *self);
} policy_ops;

extern const policy_ops policy_lru;
extern const policy_ops policy_lfu;
extern const policy_ops policy_fifo;
extern const policy_ops policy_ttl;
extern const policy_ops policy_sieve;
extern const policy_ops policy_s3fifo;
extern const policy_ops policy_wtinylfu;
extern const policy_ops policy_arc;
extern const policy_ops policy_lirs;
extern const policy_ops policy_auto;

/* The policy called `name`, or NULL. */
const policy_ops *policy_find(const char *name);

#endif /* BRISK_SRC_CACHE_POLICY_H */
