/*
 * fuzz_generations.c -- any bytes as the mapped table of generations, and as the trailer of an entry.
 *
 * The table is shared with other processes and comes from a file, so nothing in it may be used as a
 * size or a place: every call must end and stay inside.  Oracle: what was invalidated by a call is
 * outdated afterwards, whatever the table held; a trailer lies within the meta data.
 *
 * Pieces of the input go to places in the table that its own bytes choose.
 */
#include <string.h>

#include "base/assert.h"
#include "cache/cache_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_trailer(const uint8_t *data, size_t size)
{
    cache_trailer found;
    uint32_t meta_size = (uint32_t)(size < BRISK_TIER_META_MAX ? size : BRISK_TIER_META_MAX);
    brisk_entry_mark mark = {.flags = BRISK_ENTRY_TAGGED, .meta = data, .meta_size = meta_size};
    BRISK_ASSERT(brisk_entry_meta_size(&mark) <= meta_size);
    if (cache_trailer_read(data, meta_size, &found)) {
        BRISK_ASSERT(found.slots >= data && found.count <= CACHE_SLOTS_MAX);
        for (uint32_t i = 0; i < found.count; i++) {
            uint32_t slot = cache_trailer_slot(&found, i);
            BRISK_ASSERT(slot == UINT32_MAX || cache_slot_index(slot) <= GENERATION_ANY);
        }
    }
}

/* The head, the cells of prefixes that are looked at, and the ring. */
static void spoil(generations *table, const uint8_t *data, size_t size)
{
    size_t head = size < sizeof *table->head ? size : sizeof *table->head;
    memcpy(table->head, data, head);
    for (size_t at = 0; at + 12 <= size; at += 12) {
        uint32_t place;
        memcpy(&place, data + at, sizeof place);
        memcpy((unsigned char *)table->map + GENERATION_STAMPS_AT +
                   place % (GENERATION_BYTES - GENERATION_STAMPS_AT - 8),
               data + at + 4, 8);
    }
    if (size > 64) {
        memcpy(table->ring, data + 64, size - 64 < 4096 ? size - 64 : 4096);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    generations *table = NULL;
    check_trailer(data, size);
    if (size < 16 || generations_create(brisk_alloc_libc(), &table) != BRISK_OK) {
        return 0;
    }
    spoil(table, data, size);
    (void)generation_head_ok(table->head);
    brisk_key key = brisk_key_of(data, size < 64 ? size : 64);
    uint16_t era = (uint16_t)generations_eras(table);
    (void)generations_prefix_newer(table, &key, (uint16_t)(data[0] | data[1] << 8));
    uint64_t epoch = generation_token_epoch(generations_token(table)) & ((UINT64_C(1) << 48) - 1);
    uint32_t slot = generation_slot_of_tag(data, size);
    generations_bump(table, slot);
    BRISK_ASSERT(generations_newer(table, slot, epoch) || epoch + 2 >= UINT64_C(1) << 48);
    generation_era began;
    generation_name name = generation_name_of_prefix(data, 1 + data[2] % key.size);
    BRISK_ASSERT(generations_invalidate(table, name, &began) == BRISK_OK);
    BRISK_ASSERT(era == 0 || generations_prefix_newer(table, &key, era));
    BRISK_ASSERT(!generations_prefix_newer(table, &key, began.era));
    if (generations_arm(table, &key) == BRISK_OK) {
        generation_change change = generations_change_begin(table, &key);
        generations_change_end(table, &key, change);
    }
    unsigned char bytes[GENERATION_RING_KEY_MAX];
    uint32_t told_size;
    uint64_t cursor = generations_ring_tail(table) - data[3];
    for (int i = 0; i < 16; i++) {
        generation_told told = generations_ring_next(table, &cursor, bytes, &told_size);
        BRISK_ASSERT((told != GENERATION_TOLD_KEY && told != GENERATION_TOLD_OWN) ||
                     told_size <= sizeof bytes);
    }
    generations_close(table);
    return 0;
}
