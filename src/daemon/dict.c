/*
 * dict.c -- chained buckets behind daemon/dict.h.
 *
 * Invariant: an entry hangs in bucket hash & (bucket_count - 1), once.
 */
#include "daemon/dict.h"

#include <string.h>
#include <sys/random.h>

#include <brisk/hash.h>

#include "base/assert.h"

enum { BUCKETS_FIRST = 16 };

void dict_init(dict *map, const brisk_alloc *alloc)
{
    *map = (dict){.alloc = alloc};
    if (getrandom(&map->seed, sizeof map->seed, GRND_NONBLOCK) != (ssize_t)sizeof map->seed) {
        map->seed = (uint64_t)(uintptr_t)map; /* early in the boot: better than nothing */
    }
}

static void free_entry(const dict *map, dict_entry *entry)
{
    map->alloc->release(map->alloc->ctx, entry, sizeof *entry + entry->size, _Alignof(dict_entry));
}

static void free_buckets(dict *map)
{
    if (map->buckets != NULL) {
        map->alloc->release(map->alloc->ctx, map->buckets, map->bucket_count * sizeof(dict_entry *),
                            _Alignof(dict_entry *));
    }
}

void dict_deinit(dict *map)
{
    for (size_t i = 0; i < map->bucket_count; i++) {
        dict_entry *entry = map->buckets[i];
        while (entry != NULL) {
            dict_entry *next = entry->next;
            free_entry(map, entry);
            entry = next;
        }
    }
    free_buckets(map);
    map->buckets = NULL;
    map->bucket_count = 0;
    map->count = 0;
}

dict_entry *dict_find(const dict *map, const void *key, size_t size)
{
    if (map->count == 0) {
        return NULL;
    }
    uint64_t hash = brisk_hash64(key, size, map->seed);
    dict_entry *entry = map->buckets[hash & (map->bucket_count - 1)];
    while (entry != NULL &&
           (entry->hash != hash || entry->size != size || memcmp(entry->key, key, size) != 0)) {
        entry = entry->next;
    }
    return entry;
}

/* Twice as many buckets; without memory the chains stay long. */
static bool grow(dict *map)
{
    size_t count = map->bucket_count != 0 ? map->bucket_count * 2 : BUCKETS_FIRST;
    dict_entry **buckets =
        map->alloc->acquire(map->alloc->ctx, count * sizeof *buckets, _Alignof(dict_entry *));
    if (buckets == NULL) {
        return map->bucket_count != 0;
    }
    memset(buckets, 0, count * sizeof *buckets);
    for (size_t i = 0; i < map->bucket_count; i++) {
        dict_entry *entry = map->buckets[i];
        while (entry != NULL) {
            dict_entry *next = entry->next;
            entry->next = buckets[entry->hash & (count - 1)];
            buckets[entry->hash & (count - 1)] = entry;
            entry = next;
        }
    }
    free_buckets(map);
    map->buckets = buckets;
    map->bucket_count = count;
    return true;
}

dict_entry *dict_add(dict *map, const void *key, size_t size)
{
    dict_entry *entry = dict_find(map, key, size);
    if (entry != NULL) {
        return entry;
    }
    if (map->count == map->bucket_count && !grow(map)) {
        return NULL;
    }
    entry = map->alloc->acquire(map->alloc->ctx, sizeof *entry + size, _Alignof(dict_entry));
    if (entry == NULL) {
        return NULL;
    }
    entry->hash = brisk_hash64(key, size, map->seed);
    entry->value = NULL;
    entry->size = size;
    if (size > 0) {
        memcpy(entry->key, key, size);
    }
    dict_entry **bucket = &map->buckets[entry->hash & (map->bucket_count - 1)];
    entry->next = *bucket;
    *bucket = entry;
    map->count++;
    return entry;
}

void dict_remove(dict *map, dict_entry *entry)
{
    dict_entry **at = &map->buckets[entry->hash & (map->bucket_count - 1)];
    while (*at != entry) {
        BRISK_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = entry->next;
    map->count--;
    free_entry(map, entry);
}

dict_entry *dict_next(const dict *map, const dict_entry *entry)
{
    size_t bucket = 0;
    if (entry != NULL) {
        if (entry->next != NULL) {
            return entry->next;
        }
        bucket = (entry->hash & (map->bucket_count - 1)) + 1;
    }
    while (bucket < map->bucket_count && map->buckets[bucket] == NULL) {
        bucket++;
    }
    return bucket < map->bucket_count ? map->buckets[bucket] : NULL;
}

dict_entry *dict_some(const dict *map, uint64_t random)
{
    for (size_t i = 0; i < map->bucket_count; i++) {
        dict_entry *entry = map->buckets[(random + i) & (map->bucket_count - 1)];
        if (entry != NULL) {
            return entry;
        }
    }
    return NULL;
}
