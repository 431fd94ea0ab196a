/*
 * index.c -- linear probing; growing doubles and moves the hashes, items are not asked.
 */
#include "observe/profile/index.h"

#include <string.h>

enum { SIZE_MIN = 64 };

uint32_t prof_index_find(const prof_index *index, uint32_t hash, prof_same same, const void *owner,
                         const void *key)
{
    if (index->size == 0) {
        return PROF_NO_ID;
    }
    size_t mask = index->size - 1;
    for (size_t at = hash & mask; index->slots[at].id_plus_one != 0; at = (at + 1) & mask) {
        uint32_t id = index->slots[at].id_plus_one - 1;
        if (index->slots[at].hash == hash && same(owner, id, key)) {
            return id;
        }
    }
    return PROF_NO_ID;
}

static void put(prof_slot *slots, size_t size, prof_slot slot)
{
    size_t at = slot.hash & (size - 1);
    while (slots[at].id_plus_one != 0) {
        at = (at + 1) & (size - 1);
    }
    slots[at] = slot;
}

static bool grow(prof_index *index, const brisk_alloc *alloc)
{
    size_t size = index->size > 0 ? index->size * 2 : SIZE_MIN;
    prof_slot *slots = alloc->acquire(alloc->ctx, size * sizeof *slots, _Alignof(prof_slot));
    if (slots == NULL) {
        return false;
    }
    memset(slots, 0, size * sizeof *slots);
    for (size_t i = 0; i < index->size; i++) {
        if (index->slots[i].id_plus_one != 0) {
            put(slots, size, index->slots[i]);
        }
    }
    size_t used = index->used;
    prof_index_deinit(index, alloc);
    *index = (prof_index){.slots = slots, .size = size, .used = used};
    return true;
}

bool prof_index_add(prof_index *index, const brisk_alloc *alloc, uint32_t hash, uint32_t id)
{
    if ((index->used + 1) * 4 > index->size * 3 && !grow(index, alloc)) {
        return false;
    }
    put(index->slots, index->size, (prof_slot){.hash = hash, .id_plus_one = id + 1});
    index->used++;
    return true;
}

void prof_index_deinit(prof_index *index, const brisk_alloc *alloc)
{
    if (index->slots != NULL) {
        alloc->release(alloc->ctx, index->slots, index->size * sizeof *index->slots,
                       _Alignof(prof_slot));
    }
    *index = (prof_index){0};
}
