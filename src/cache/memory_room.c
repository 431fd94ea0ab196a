/*
 * memory_room.c -- charging, making room, growing the table.
 *
 * Room is made in the policy's order.  When the holes that evictions left add up to a chunk of one
 * class, that chunk is emptied by moving its entries into the others' holes, so that sizes can
 * change their shares without dropping more than the oldest.  The table's segments come from the
 * same chunks as cells: it grows when it must and gives back what it does not need.
 *
 * Where keys are made to collide, a segment may be full that cannot be split any more; then an
 * entry of that segment goes.  A put never fails for it.
 *
 * Threads: the shard's lock is held.
 */
#include "base/assert.h"
#include "cache/memory_shard.h"

enum {
    SHRINK_EVERY = 8, /* evictions */
    LINES_PER_BUCKET = BUCKET_BYTES / WORD_BYTES,
};

/* --- chunks --------------------------------------------------------------------------------- */

static void move_entry(memory_shard *shard, uint32_t from, uint32_t to)
{
    const unsigned char *old = space_cell(&shard->space, from);
    unsigned char *cell = space_cell(&shard->space, to);
    cell_shape shape = cell_read_shape(old);
    size_t bytes = cell_bytes(&shape);
    for (size_t at = 0; at < bytes; at += WORD_BYTES) {
        cell_set_word(cell, at, cell_word(old, at));
    }
    table_place place = shard_place_of(shard, from, shard_hash_of(shard, from));
    table_repoint(&shard->table, place, to);
    tend_note_expiry(shard, to, cell_field(cell, &shape, CELL_EXPIRY));
    order_move(shard, from, to);
    space_give(&shard->space, from);
}

/* Empty one chunk into the holes of its class.  False when no class has that many holes. */
bool room_collect(memory_shard *shard, bool release)
{
    uint32_t chunk = space_begin_drop(&shard->space);
    if (chunk == SPACE_NONE) {
        return false;
    }
    uint32_t cell_class = shard->space.chunks[chunk].cell_class;
    uint32_t at = 0;
    uint32_t from;
    while (cell_class != space_segments(&shard->space) &&
           (from = space_next_live(&shard->space, chunk, &at)) != SPACE_NONE) {
        uint32_t to = space_take(&shard->space, cell_class);
        BRISK_ASSERT(to != SPACE_NONE);
        move_entry(shard, from, to);
    }
    order_end_chunk(shard, chunk);
    space_drop(&shard->space, chunk, release);
    shard->bytes_used -= shard->chunk_charge;
    return true;
}

static bool grow_class(memory_shard *shard, uint32_t cell_class)
{
    uint64_t bytes = shard->chunk_charge;
    if (shard->order.state != ORDER_ASLEEP && cell_class != space_segments(&shard->space)) {
        bytes += (uint64_t)shard->space.classes->cells[cell_class] * shard->order.id_bytes;
    }
    if (shard->bytes_used > shard->bytes_budget ||
        bytes > shard->bytes_budget - shard->bytes_used) {
        return false;
    }
    uint32_t chunk = space_grow(&shard->space, cell_class);
    if (chunk == SPACE_NONE) {
        return false;
    }
    shard->bytes_used += shard->chunk_charge;
    order_begin_chunk(shard, chunk);
    return true;
}

bool room_evict(memory_shard *shard, garbage *trash)
{
    uint32_t line = order_victim(shard);
    if (line != SPACE_NONE && trash->count >= GARBAGE_MAX - 1) {
        shard_trim(shard, trash);
        line = order_victim(shard); /* the lock was open */
    }
    if (line == SPACE_NONE) {
        return false;
    }
    uint64_t hash = shard_hash_of(shard, line);
    shard_drop(shard, shard_place_of(shard, line, hash), hash, DROP_EVICTED, trash);
    if (++shard->evict_turn % SHRINK_EVERY == 0) {
        room_shrink_table(shard, hash);
    }
    return true;
}

bool room_charge(memory_shard *shard, uint64_t bytes, bool evict, garbage *trash)
{
    if (bytes > shard->bytes_budget) {
        return false;
    }
    while (shard->bytes_used + bytes > shard->bytes_budget) {
        if (!evict || (!room_collect(shard, true) && !room_evict(shard, trash))) {
            return false;
        }
    }
    shard->bytes_used += bytes;
    return true;
}

uint32_t room_take_cell(memory_shard *shard, uint32_t cell_class, bool evict, garbage *trash)
{
    for (;;) {
        uint32_t line = space_take(&shard->space, cell_class);
        if (line != SPACE_NONE) {
            return line;
        }
        if (grow_class(shard, cell_class)) {
            continue;
        }
        if (!evict || (!room_collect(shard, false) && !room_evict(shard, trash))) {
            return SPACE_NONE;
        }
    }
}

/* --- table ---------------------------------------------------------------------------------- */

static uint32_t depth_of(const memory_shard *shard)
{
    return table_view_depth(atomic_load_explicit(&shard->table.view, memory_order_relaxed));
}

/* Charged for directories of depths 0 .. depth. */
static uint64_t directory_bytes(uint32_t depth)
{
    return UINT64_C(16) << depth;
}

static void give_segment(memory_shard *shard, uint32_t first)
{
    space_give(&shard->space, first * LINES_PER_BUCKET);
}

/* Two segments for a split; false when they cannot be had. */
static bool take_segments(memory_shard *shard, bool evict, uint32_t ret[2], garbage *trash)
{
    uint32_t cell_class = space_segments(&shard->space);
    uint32_t lines[2];
    lines[0] = room_take_cell(shard, cell_class, evict, trash);
    lines[1] =
        lines[0] != SPACE_NONE ? room_take_cell(shard, cell_class, evict, trash) : SPACE_NONE;
    if (lines[1] == SPACE_NONE) {
        if (lines[0] != SPACE_NONE) {
            space_give(&shard->space, lines[0]);
        }
        return false;
    }
    ret[0] = lines[0] / LINES_PER_BUCKET;
    ret[1] = lines[1] / LINES_PER_BUCKET;
    return true;
}

/* Split the segment of `hash` if it still should be; false when that is not possible. */
static bool split(memory_shard *shard, uint64_t hash, bool evict, garbage *trash)
{
    uint32_t given[2];
    if (!take_segments(shard, evict, given, trash)) {
        return false;
    }
    uint64_t deeper = 0;
    if (table_is_full(&shard->table, hash) && table_needs_depth(&shard->table, hash) &&
        depth_of(shard) < shard->table.depth_max) {
        deeper = directory_bytes(depth_of(shard) + 1) - directory_bytes(depth_of(shard));
    }
    bool charged = room_charge(shard, deeper, false, trash);
    uint32_t old = UINT32_MAX;
    if (charged && table_is_full(&shard->table, hash)) {
        old = table_split(&shard->table, hash, given, shard_hash_of, shard);
    }
    if (old == UINT32_MAX) {
        shard->bytes_used -= charged ? deeper : 0;
        give_segment(shard, given[0]);
        give_segment(shard, given[1]);
        return false;
    }
    give_segment(shard, old);
    return true;
}

void room_for_slot(memory_shard *shard, uint64_t hash, garbage *trash)
{
    while (table_is_full(&shard->table, hash) && split(shard, hash, false, trash)) {
    }
    while (table_is_packed(&shard->table, hash) && split(shard, hash, true, trash)) {
    }
    table_place place;
    while (table_is_packed(&shard->table, hash) && table_neighbour(&shard->table, hash, &place)) {
        shard_trim(shard, trash);
        if (table_neighbour(&shard->table, hash, &place)) {
            uint64_t other = shard_hash_of(shard, place.line);
            shard_drop(shard, place, other, DROP_EVICTED, trash);
        }
    }
}

void room_shrink_table(memory_shard *shard, uint64_t hash)
{
    uint32_t freed = table_merge(&shard->table, hash, shard_hash_of, shard);
    if (freed != UINT32_MAX) {
        give_segment(shard, freed);
    }
}

void room_reset_table(memory_shard *shard)
{
    memory_table *table = &shard->table;
    uint32_t first = UINT32_MAX;
    if (table_view_changes(atomic_load_explicit(&table->view, memory_order_relaxed)) != 0) {
        uint32_t depth = depth_of(shard);
        size_t words = (size_t)1 << depth;
        for (size_t i = 0; i < words;) {
            uint64_t word =
                atomic_load_explicit(&table->directory[words + i], memory_order_relaxed);
            i += (size_t)1 << (depth - table_word_depth(word));
            if (first == UINT32_MAX) {
                first = (uint32_t)word;
            } else {
                give_segment(shard, (uint32_t)word);
            }
        }
        shard->bytes_used -= directory_bytes(depth);
    } else {
        garbage none = {.count = 0};
        uint32_t line = room_take_cell(shard, space_segments(&shard->space), false, &none);
        BRISK_ASSERT(line != SPACE_NONE);
        first = line / LINES_PER_BUCKET;
    }
    table_clear_segment(table, first);
    table_begin(table, first);
    shard->bytes_used += directory_bytes(0);
}
