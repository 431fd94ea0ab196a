/*
 * map.c -- linear probing over an index into an insertion-ordered array, behind base/map.h.
 *
 * Invariant: slot_count is 0 or a power of two above 4/3 of count, so that every probe ends at an
 * empty slot; each entry is found from its hash before an empty slot is.
 */
#include <string.h>
#include <sys/random.h>

#include <brisk/hash.h>

#include "base/assert.h"
#include "base/map.h"

enum { SLOTS_FIRST = 16 };

static const size_t entries_max = (size_t)1 << 31;

void brisk_map_init(brisk_map *map, const brisk_alloc *alloc)
{
    *map = (brisk_map){.entries = BRISK_VEC_INIT(alloc != NULL ? alloc : brisk_alloc_libc())};
    if (getrandom(&map->seed_, sizeof map->seed_, GRND_NONBLOCK) != (ssize_t)sizeof map->seed_) {
        map->seed_ ^= (uintptr_t)map; /* early at boot: the address is random enough */
    }
}

static void free_slots(const brisk_map *map)
{
    const brisk_alloc *alloc = map->entries.alloc;
    if (map->slots_ != NULL) {
        alloc->release(alloc->ctx, map->slots_, map->slot_count_ * sizeof(uint32_t),
                       _Alignof(uint32_t));
    }
}

void brisk_map_deinit(brisk_map *map)
{
    free_slots(map);
    map->slots_ = NULL;
    map->slot_count_ = 0;
    BRISK_VEC_DEINIT(&map->entries);
}

static uint64_t hash_of(const brisk_map *map, const char *key)
{
    return brisk_hash64(key, strlen(key), map->seed_);
}

static brisk_map_entry *find_hashed(const brisk_map *map, const char *key, uint64_t hash)
{
    if (map->slot_count_ == 0) {
        return NULL;
    }
    size_t mask = map->slot_count_ - 1;
    for (size_t at = hash & mask; map->slots_[at] != 0; at = (at + 1) & mask) {
        brisk_map_entry *entry = &map->entries.items[map->slots_[at] - 1];
        if (entry->hash == hash && strcmp(entry->key, key) == 0) {
            return entry;
        }
    }
    return NULL;
}

brisk_map_entry *brisk_map_find(const brisk_map *map, const char *key)
{
    return find_hashed(map, key, hash_of(map, key));
}

void *brisk_map_get(const brisk_map *map, const char *key)
{
    const brisk_map_entry *entry = brisk_map_find(map, key);
    return entry != NULL ? entry->value : NULL;
}

static void index_entry(brisk_map *map, size_t number)
{
    size_t mask = map->slot_count_ - 1;
    size_t at = map->entries.items[number].hash & mask;
    while (map->slots_[at] != 0) {
        at = (at + 1) & mask;
    }
    map->slots_[at] = (uint32_t)(number + 1);
}

static brisk_err grow_slots(brisk_map *map)
{
    size_t slot_count = map->slot_count_ != 0 ? map->slot_count_ * 2 : SLOTS_FIRST;
    size_t bytes = slot_count * sizeof(uint32_t);
    const brisk_alloc *alloc = map->entries.alloc;
    uint32_t *slots = alloc->acquire(alloc->ctx, bytes, _Alignof(uint32_t));
    if (slots == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(slots, 0, bytes);
    free_slots(map);
    map->slots_ = slots;
    map->slot_count_ = slot_count;
    for (size_t i = 0; i < map->entries.count; i++) {
        index_entry(map, i);
    }
    return BRISK_OK;
}

brisk_err brisk_map_add(brisk_map *map, const char *key, void *value)
{
    uint64_t hash = hash_of(map, key);
    if (find_hashed(map, key, hash) != NULL) {
        return BRISK_ERR_CONFLICT;
    }
    if (map->entries.count >= entries_max) {
        return BRISK_ERR_LIMIT;
    }
    if ((map->entries.count + 1) * 4 > map->slot_count_ * 3) {
        brisk_err err = grow_slots(map);
        if (err != BRISK_OK) {
            return err;
        }
    }
    brisk_map_entry entry = {.key = key, .value = value, .hash = hash};
    if (!BRISK_VEC_PUSH(&map->entries, entry)) {
        return BRISK_ERR_NOMEM;
    }
    index_entry(map, map->entries.count - 1);
    BRISK_AUDIT(brisk_map_find(map, key) == &map->entries.items[map->entries.count - 1]);
    return BRISK_OK;
}
