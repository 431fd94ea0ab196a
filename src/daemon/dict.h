/*
 * dict.h -- a hash map from bytes to pointers, for what the server keeps beside the keys: channels,
 * watched and tracked keys, clients by number.
 *
 * Keys are copied into their entries; values are the caller's.  Each dict hashes with a random seed
 * of its own, so that hostile names cannot make it slow.  Chained; the table doubles when there are
 * as many entries as buckets, in one go: these maps are small beside the keyspace.
 *
 * Threads: under the server's lock, like all that is in it.
 */
#ifndef BRISK_SRC_DAEMON_DICT_H
#define BRISK_SRC_DAEMON_DICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>

typedef struct dict_entry {
    struct dict_entry *next;
    uint64_t hash;
    void *value;
    size_t size;
    unsigned char key[];
} dict_entry;

typedef struct dict {
    dict_entry **buckets;
    size_t bucket_count; /* a power of two; 0 before the first entry */
    size_t count;
    uint64_t seed;
    const brisk_alloc *alloc;
} dict;

void dict_init(dict *map, const brisk_alloc *alloc);
/* Frees the entries, not their values. */
void dict_deinit(dict *map);
dict_entry *dict_find(const dict *map, const void *key, size_t size);
/* The entry of `key`, made with a NULL value when there is none; NULL: out of memory. */
dict_entry *dict_add(dict *map, const void *key, size_t size);
/* `entry` must be in the map; it is freed. */
void dict_remove(dict *map, dict_entry *entry);
/* The entry after `entry` (NULL: the first), or NULL.  The map must not change in between, but the
 * entry that was returned before may be removed once this one is known. */
dict_entry *dict_next(const dict *map, const dict_entry *entry);
/* An entry near place `random`, or NULL when there is none. */
dict_entry *dict_some(const dict *map, uint64_t random);

#endif /* BRISK_SRC_DAEMON_DICT_H */
