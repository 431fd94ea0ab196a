/*
 * map.h -- a small hash map from borrowed strings to pointers, in the order of insertion.
 *
 * For names: commands, sections, nodes of a graph.  Keys and values are the caller's and must
 * outlive the map.  There is no removal, because nobody needs it.  Each map hashes with a random
 * seed of its own, so that a hostile list of keys cannot make it quadratic.
 */
#ifndef BRISK_SRC_BASE_MAP_H
#define BRISK_SRC_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

#include "base/vec.h"

typedef struct brisk_map_entry {
    const char *key;
    void *value;
    uint64_t hash;
} brisk_map_entry;

typedef struct brisk_map {
    BRISK_VEC(brisk_map_entry) entries; /* read-only for callers */
    uint32_t *slots_;                   /* open addressing: index of an entry plus one, or 0 */
    size_t slot_count_;
    uint64_t seed_;
} brisk_map;

/* Empty; takes no memory yet.  `alloc` is borrowed, NULL means libc. */
void brisk_map_init(brisk_map *map, const brisk_alloc *alloc);
void brisk_map_deinit(brisk_map *map);
/* The entry of `key`, or NULL. */
brisk_map_entry *brisk_map_find(const brisk_map *map, const char *key);
/* The value of `key`, or NULL. */
void *brisk_map_get(const brisk_map *map, const char *key);
/*
 * Add a key.  Errors: BRISK_ERR_CONFLICT (it is there already, the map is as before),
 * BRISK_ERR_NOMEM, BRISK_ERR_LIMIT (2^31 entries).
 */
BRISK_NODISCARD brisk_err brisk_map_add(brisk_map *map, const char *key, void *value);

#endif /* BRISK_SRC_BASE_MAP_H */
