/*
 * generation_prefix.c -- invalidated prefixes.
 *
 * Every entry carries an era of 16 bits, the number of prefixes that had been invalidated when its
 * value was begun.  An invalidation puts the prefix into a small table with the era that begins:
 *
 *     (size, hash of the prefix) -> era
 *
 * An entry of the current era is current: one comparison.  An older one is looked up under each
 * size of prefix in use, and is outdated when the era found there began after its own.
 *
 *     eras   base ...... entry's era ...... current       all modulo 2^16, without 0
 *
 * A tier that does not keep eras returns 0: that entry is as old as it can be.
 *
 * Whatever is older than `base` is outdated: base is moved to the current era to invalidate
 * everything (a clear, too many sizes, a full table), and then the table is empty.  Before 2^16
 * eras could bring an old number back, the tiers must have been emptied: after 2^15 the caller is
 * told to.
 *
 * What depends on a key with that prefix does not have the prefix itself.  It has, as if they were
 * tags, the first 1, 4 and 12 bytes of the key, and an invalidation bumps the longest of these that
 * its prefix begins with: too much if the prefix is of another length, never too little.
 *
 * Threads: writers hold `lock`, and the lock of the file when there is one; readers hold nothing.
 * A cell's `what` is there before its hash, and the era is current after both.
 */
#include "cache/generation.h"

#include <string.h>

#include "base/assert.h"

#define PREFIX_SEED UINT64_C(0x78696665727062)

static const uint32_t levels[GENERATION_LEVELS] = {1, 4, 12};

static uint32_t level_slot(const void *bytes, uint32_t size)
{
    return (uint32_t)(brisk_hash64(bytes, size, PREFIX_SEED + size) >> 32) &
           (BRISK_GENERATION_SLOTS - 1);
}

uint32_t generation_levels_of_key(const brisk_key *key, uint32_t ret[GENERATION_LEVELS])
{
    uint32_t count = 0;
    while (count < GENERATION_LEVELS && levels[count] <= key->size) {
        ret[count] = level_slot(key->bytes, levels[count]);
        count++;
    }
    return count;
}

uint32_t generation_level_of_prefix(const void *prefix, size_t size)
{
    uint32_t level = GENERATION_LEVELS - 1;
    while (level > 0 && levels[level] > size) {
        level--;
    }
    return level_slot(prefix, levels[level]);
}

/* --- the table ------------------------------------------------------------------------------ */

generation_name generation_name_of_prefix(const void *prefix, size_t size)
{
    if (size == 0 || size > BRISK_KEY_BYTES_MAX) {
        return (generation_name){.size = 0};
    }
    uint64_t hash = brisk_hash64(prefix, size, 0);
    return (generation_name){.size = (uint32_t)size, .hash = hash != 0 ? hash : 1};
}

generation_name generation_name_of_key(const brisk_key *key)
{
    uint64_t hash = key->hash.lo ^ key->hash.hi;
    return (generation_name){.size = GENERATION_ONE_KEY, .hash = hash != 0 ? hash : 1};
}

/* The cell of a name, or the free one where it belongs; NULL: neither. */
static generation_prefix *cell_of(generation_prefix *cells, generation_name name)
{
    uint32_t at = (uint32_t)(name.hash ^ name.size) & (GENERATION_PREFIXES - 1);
    for (uint32_t i = 0; i < GENERATION_PREFIXES; i++) {
        generation_prefix *cell = &cells[(at + i) & (GENERATION_PREFIXES - 1)];
        uint64_t found = atomic_load_explicit(&cell->hash, memory_order_acquire);
        uint64_t what = atomic_load_explicit(&cell->what, memory_order_relaxed);
        if (found == 0 || (found == name.hash && what >> 16 == name.size)) {
            return cell;
        }
    }
    return NULL;
}

/* Which invalidations are looked for, and how old the entry is. */
typedef struct prefix_search {
    const brisk_key *key;
    uint16_t now;
    uint16_t age;
    bool one_key; /* those of the key alone, too */
} prefix_search;

/* Half of all eras are after one, and the others before it. */
static bool is_later(uint16_t era, uint16_t than)
{
    return era != than && (uint16_t)(era - than) < GENERATION_ERAS;
}

static bool name_is_younger(const generations *table, const prefix_search *search, uint32_t size)
{
    generation_name name;
    if (size == GENERATION_ONE_KEY) {
        if (!search->one_key) {
            return false;
        }
        name = generation_name_of_key(search->key);
    } else {
        if (size == 0 || size > search->key->size) {
            return false;
        }
        name = generation_name_of_prefix(search->key->bytes, size);
    }
    const generation_prefix *cell = cell_of(table->prefixes, name);
    if (cell == NULL || atomic_load_explicit(&cell->hash, memory_order_acquire) == 0) {
        return false;
    }
    uint16_t era = (uint16_t)atomic_load_explicit(&cell->what, memory_order_relaxed);
    /* An era after `now` has just begun, and has taken the place of one that may have counted. */
    return is_later(era, search->now) || (uint16_t)(search->now - era) < search->age;
}

/* Whether the key was invalidated less than `age` eras before `now`. */
static bool any_is_younger(const generations *table, const prefix_search *search)
{
    const generation_head *head = table->head;
    uint32_t count = atomic_load_explicit(&head->length_count, memory_order_acquire);
    for (uint32_t i = 0; i < count && i < GENERATION_LENGTHS; i++) {
        uint32_t size = atomic_load_explicit(&head->lengths[i], memory_order_relaxed);
        if (name_is_younger(table, search, size)) {
            return true;
        }
    }
    return false;
}

static bool newer(const generations *table, const brisk_key *key, uint16_t era, bool one_key)
{
    for (;;) {
        uint32_t eras = generations_eras(table);
        uint16_t now = (uint16_t)eras;
        uint16_t oldest = (uint16_t)(now - (uint16_t)(eras >> 16));
        uint16_t age = era != 0 ? (uint16_t)(now - era) : oldest;
        prefix_search search = {.key = key, .now = now, .age = age, .one_key = one_key};
        if (age == 0) {
            return false;
        }
        if (age > oldest || any_is_younger(table, &search)) {
            return true;
        }
        /* The names that were looked for may have been forgotten meanwhile, with a new base. */
        if (generations_eras(table) >> 16 == eras >> 16) {
            return false;
        }
    }
}

bool generations_prefix_newer(const generations *table, const brisk_key *key, uint16_t era)
{
    return newer(table, key, era, true);
}

bool generations_real_prefix_newer(const generations *table, const brisk_key *key, uint16_t era)
{
    return newer(table, key, era, false);
}

static uint16_t era_after(uint32_t era)
{
    uint16_t next = (uint16_t)(era + 1);
    return next != 0 ? next : 1;
}

/* Under the lock: no prefix is known any more.  Entries that one concerned are older than base. */
static void forget_all(generations *table)
{
    generation_head *head = table->head;
    atomic_store_explicit(&head->length_count, 0, memory_order_release);
    if (atomic_load_explicit(&head->prefix_count, memory_order_relaxed) == 0) {
        return;
    }
    for (uint32_t i = 0; i < GENERATION_PREFIXES; i++) {
        if (atomic_load_explicit(&table->prefixes[i].hash, memory_order_relaxed) != 0) {
            atomic_store_explicit(&table->prefixes[i].hash, 0, memory_order_release);
        }
    }
    atomic_store_explicit(&head->prefix_count, 0, memory_order_relaxed);
}

/* Under the lock: whether the size is one of those that readers try, perhaps from now on. */
static bool length_known(generation_head *head, uint32_t size)
{
    uint32_t count = atomic_load_explicit(&head->length_count, memory_order_relaxed);
    if (count > GENERATION_LENGTHS) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (atomic_load_explicit(&head->lengths[i], memory_order_relaxed) == size) {
            return true;
        }
    }
    if (count == GENERATION_LENGTHS) {
        return false;
    }
    atomic_store_explicit(&head->lengths[count], size, memory_order_relaxed);
    atomic_store_explicit(&head->length_count, count + 1, memory_order_release);
    return true;
}

/* Under the lock: the name begins `era`.  False: there is no place for it. */
static bool remember(generations *table, generation_name name, uint16_t era)
{
    generation_head *head = table->head;
    uint32_t used = atomic_load_explicit(&head->prefix_count, memory_order_relaxed);
    generation_prefix *cell = cell_of(table->prefixes, name);
    if (cell == NULL || used >= GENERATION_PREFIXES / 2) {
        return false;
    }
    size_t at = (size_t)((char *)cell - (char *)table->map);
    if (!length_known(head, name.size) || generations_page(table, at) != BRISK_OK) {
        return false;
    }
    bool is_new = atomic_load_explicit(&cell->hash, memory_order_relaxed) == 0;
    atomic_store_explicit(&cell->what, (uint64_t)name.size << 16 | era, memory_order_relaxed);
    if (is_new) {
        atomic_store_explicit(&head->prefix_count, used + 1, memory_order_relaxed);
        atomic_store_explicit(&cell->hash, name.hash, memory_order_release);
    }
    return true;
}

uint16_t generations_everything(generations *table)
{
    _Atomic uint32_t *eras = &table->head->eras;
    uint32_t seen = atomic_load_explicit(eras, memory_order_relaxed);
    uint32_t next;
    do {
        next = era_after(seen);
    } while (!atomic_compare_exchange_weak_explicit(eras, &seen, next << 16 | next,
                                                    memory_order_acq_rel, memory_order_relaxed));
    return (uint16_t)next;
}

uint16_t generations_begin_era(generations *table, generation_name name)
{
    generation_head *head = table->head;
    uint32_t eras = atomic_load_explicit(&head->eras, memory_order_relaxed);
    uint16_t purged = (uint16_t)atomic_load_explicit(&head->purged, memory_order_relaxed);
    uint16_t next;
    do {
        next = era_after(eras);
        if (name.size == 0 || (uint16_t)(next - purged) >= GENERATION_ERAS ||
            !remember(table, name, next)) {
            next = generations_everything(table);
            forget_all(table);
            break;
        }
        /* Release: who sees the era finds its prefix. */
    } while (!atomic_compare_exchange_strong_explicit(&head->eras, &eras,
                                                      (eras & UINT32_C(0xffff0000)) | next,
                                                      memory_order_acq_rel, memory_order_relaxed));
    return next;
}

/* Under the lock: the name began a later era, as is known already. */
static bool knows_later(const generations *table, generation_name name, uint16_t era)
{
    const generation_prefix *cell = cell_of(table->prefixes, name);
    return cell != NULL && atomic_load_explicit(&cell->hash, memory_order_relaxed) != 0 &&
           is_later((uint16_t)atomic_load_explicit(&cell->what, memory_order_relaxed), era);
}

/* Eras come in any order here, and may jump; a name's and the current one only go forward. */
void generations_learn(generations *table, generation_name name, uint16_t era)
{
    generation_head *head = table->head;
    (void)pthread_mutex_lock(&table->lock);
    uint32_t eras = atomic_load_explicit(&head->eras, memory_order_relaxed);
    uint16_t now = (uint16_t)eras;
    bool is_newer = (uint16_t)(era - now) < GENERATION_ERAS;
    uint32_t base = eras >> 16;
    now = is_newer ? era : now;
    bool kept = name.size != 0 && (knows_later(table, name, era) || remember(table, name, era));
    bool forgets = !kept || (uint16_t)(now - (uint16_t)base) >= GENERATION_ERAS;
    base = forgets ? now : base;
    atomic_store_explicit(&head->eras, base << 16 | now, memory_order_release);
    if (forgets) { /* after the base has moved: see newer */
        forget_all(table);
    }
    (void)pthread_mutex_unlock(&table->lock);
}
