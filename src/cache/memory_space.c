/*
 * memory_space.c -- chunks, cells and their free lists.
 *
 * A class may hold up to a chunk's worth of free cells; whatever is beyond can be collected by
 * moving the entries of one chunk into the holes of the others.  So memory that one size of entry
 * does not need any more can always be had back for another, at the price of one chunk's moves.
 * The number of classes and the size of chunks follow the size of a shard, such that half a chunk
 * free in every class stays a small part of it.
 *
 * Invariant: a chunk is in roomy[class] exactly when live < cells and it is not being emptied;
 * free_cells[class] is the sum of cells - live over the chunks of the class.
 */
#include "cache/memory_space.h"
#include "base/assert.h"
#include "cache/memory_cell.h"
#include "cache/memory_map.h"

enum {
    CHUNKS_AIM = 1024,
    CELLS_AIM = 16, /* of the largest size in a chunk of more than the least bytes */
    SEGMENT_BYTES_MIN = 512,
    SEGMENT_BYTES_MAX = 8192,
    CELL_WORDS_LEAST = 2,
    CELL_WORDS_LEAST_SMALL = 8, /* in small shards */
};

/* --- classes -------------------------------------------------------------------------------- */

static uint32_t power_below(uint64_t value, uint32_t least, uint32_t most)
{
    uint32_t power = least;
    while (power < most && (uint64_t)power * 2 <= value) {
        power *= 2;
    }
    return power;
}

/* How many classes a doubling has, with so many chunks. */
static uint32_t steps_for(uint64_t chunks)
{
    return chunks >= CHUNKS_AIM / 2 ? 32 : chunks >= 128 ? 8 : chunks >= 32 ? 4 : 2;
}

void space_choose_classes(uint64_t bytes, space_classes *ret)
{
    uint32_t chunk = power_below(bytes / CHUNKS_AIM, SPACE_CHUNK_BYTES_MIN, SPACE_CHUNK_BYTES_MAX);
    uint32_t steps = steps_for(bytes / chunk);
    uint32_t cell_max = power_below(chunk / CELLS_AIM, 512, CELL_BYTES_MAX);
    uint32_t least = bytes < SPACE_SMALL_SHARD ? CELL_WORDS_LEAST_SMALL : CELL_WORDS_LEAST;
    *ret = (space_classes){.words_max = cell_max / WORD_BYTES, .chunk_bytes = chunk};
    uint32_t words = least;
    while (words <= ret->words_max) {
        ret->words[ret->count++] = (uint16_t)words;
        uint32_t doubling = power_below(words, 1, UINT32_MAX / 2);
        uint32_t step = doubling / steps != 0 ? doubling / steps : 1;
        words += step;
    }
    BRISK_ASSERT(ret->count < SPACE_CLASSES_MAX);
    uint32_t at = 0;
    for (uint32_t i = 0; i <= ret->words_max; i++) {
        at += ret->words[at] < i;
        ret->of_words[i] = (uint8_t)at;
    }
    while (chunk / WORD_BYTES / least > UINT32_C(1) << ret->id_shift) {
        ret->id_shift++;
    }
    uint32_t segment = power_below(chunk / 8, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
    ret->segment_words = segment / WORD_BYTES;
    ret->words[ret->count] = (uint16_t)ret->segment_words;
    for (uint32_t i = 0; i <= ret->count; i++) {
        ret->cells[i] = (uint16_t)(chunk / WORD_BYTES / ret->words[i]);
    }
}

/* --- region --------------------------------------------------------------------------------- */

brisk_err space_region_init(space_region *region, const space_classes *classes,
                            uint64_t chunk_count, const brisk_alloc *alloc)
{
    size_t bytes = (size_t)(chunk_count * classes->chunk_bytes);
    size_t heads = (size_t)chunk_count * sizeof(space_chunk);
    size_t segments = bytes / WORD_BYTES / classes->segment_words;
    *region = (space_region){
        .bytes = bytes,
        .books_bytes = heads + (segments + (size_t)chunk_count) * sizeof(uint16_t),
        .chunk_count = (uint32_t)chunk_count,
        .chunk_shift = (uint32_t)__builtin_ctz(classes->chunk_bytes),
        .alloc = alloc,
        .free_chunks = SPACE_NONE,
        .wants_huge = chunk_count * classes->chunk_bytes >= SPACE_SMALL_SHARD,
    };
    BRISK_ASSERT(region->bytes <= SPACE_REGION_MAX - classes->chunk_bytes);
    region->base = memory_map_take(alloc, region->bytes + CELL_SLACK_BYTES);
    unsigned char *books =
        region->base != NULL ? memory_map_take(alloc, region->books_bytes) : NULL;
    void *parts[] = {books, books + heads, books + heads + segments * sizeof(uint16_t)};
    region->chunks = parts[0];
    region->counts = parts[1];
    region->owners = parts[2];
    if (books == NULL || pthread_mutex_init(&region->lock, NULL) != 0) {
        memory_map_give(alloc, region->base, region->bytes + CELL_SLACK_BYTES);
        memory_map_give(alloc, region->chunks, region->books_bytes);
        region->base = NULL;
        return BRISK_ERR_NOMEM;
    }
    return BRISK_OK;
}

void space_region_deinit(space_region *region)
{
    if (region->base != NULL) {
        (void)pthread_mutex_destroy(&region->lock);
        memory_map_give(region->alloc, region->base, region->bytes + CELL_SLACK_BYTES);
        memory_map_give(region->alloc, region->chunks, region->books_bytes);
    }
}

static void region_lock(space_region *region)
{
    int failed = pthread_mutex_lock(&region->lock);
    BRISK_ASSERT(failed == 0);
}

static void region_unlock(space_region *region)
{
    int failed = pthread_mutex_unlock(&region->lock);
    BRISK_ASSERT(failed == 0);
}

/*
 * Memory comes in small pages and is collapsed into a large one when the next is begun: so a process
 * that keeps a few entries does not zero megabytes for them, and no large page is resident for the
 * sake of a few chunks.  Lookups go on meanwhile.
 */
static void collapse_before(space_region *region, uint32_t chunk)
{
    size_t at = (size_t)chunk << region->chunk_shift;
    if (region->wants_huge && at != 0 && at % MEMORY_HUGE_PAGE == 0) {
        unsigned char *page = region->base + at - MEMORY_HUGE_PAGE;
        region->wants_huge = memory_map_collapse(region->base, region->bytes, page);
    }
}

static uint32_t region_take(space_region *region)
{
    region_lock(region);
    uint32_t chunk = region->free_chunks;
    if (chunk != SPACE_NONE) {
        region->free_chunks = region->chunks[chunk].next;
    } else if (region->fresh < region->chunk_count) {
        chunk = region->fresh++;
        collapse_before(region, chunk);
    }
    region_unlock(region);
    return chunk;
}

static void region_give(space_region *region, uint32_t chunk)
{
    region_lock(region);
    region->chunks[chunk] = (space_chunk){.cell_class = SPACE_NONE, .next = region->free_chunks};
    region->free_chunks = chunk;
    region_unlock(region);
}

/* --- space ---------------------------------------------------------------------------------- */

void space_init(memory_space *space, space_region *region, const space_classes *classes,
                uint32_t *locals, uint32_t locals_max)
{
    *space = (memory_space){
        .region = region,
        .classes = classes,
        .base = region->base,
        .chunks = region->chunks,
        .chunk_shift = region->chunk_shift,
        .locals = locals,
        .locals_max = locals_max,
        .locals_free = SPACE_NONE,
    };
    for (uint32_t i = 0; i < SPACE_CLASSES_MAX; i++) {
        space->roomy[i] = SPACE_NONE;
    }
}

static void link_roomy(memory_space *space, uint32_t at)
{
    space_chunk *chunk = &space->chunks[at];
    uint32_t head = space->roomy[chunk->cell_class];
    chunk->prev = SPACE_NONE;
    chunk->next = head;
    if (head != SPACE_NONE) {
        space->chunks[head].prev = at;
    }
    space->roomy[chunk->cell_class] = at;
}

static void unlink_roomy(memory_space *space, uint32_t at)
{
    space_chunk *chunk = &space->chunks[at];
    if (chunk->prev != SPACE_NONE) {
        space->chunks[chunk->prev].next = chunk->next;
    } else {
        space->roomy[chunk->cell_class] = chunk->next;
    }
    if (chunk->next != SPACE_NONE) {
        space->chunks[chunk->next].prev = chunk->prev;
    }
}

bool space_is_live(const memory_space *space, uint32_t line)
{
    uint32_t at = space_chunk_of(space, line);
    /* Relaxed: what this shard's lock holder wrote there stays; all else is somebody else's. */
    if (atomic_load_explicit(&space->region->owners[at], memory_order_relaxed) != space->owner) {
        return false;
    }
    const space_chunk *chunk = &space->chunks[at];
    if (chunk->cell_class >= space_segments(space)) {
        return false;
    }
    uint32_t index = space_index(space, line);
    return index < chunk->fresh && space_line(space, at, index) == line &&
           cell_is_live(space_cell(space, line));
}

/* Add `change` (modulo 2^32) to the free cells of the class. */
static void change_free(memory_space *space, uint32_t cell_class, uint32_t change)
{
    uint32_t cells = space->classes->cells[cell_class];
    uint32_t before = space->free_cells[cell_class];
    uint32_t after = before + change;
    space->free_cells[cell_class] = after;
    if (cell_class < space_segments(space)) {
        space->droppable += (uint32_t)(after >= cells) - (uint32_t)(before >= cells);
    }
}

uint32_t space_take(memory_space *space, uint32_t cell_class)
{
    uint32_t at = space->roomy[cell_class];
    if (at == SPACE_NONE) {
        return SPACE_NONE;
    }
    space_chunk *chunk = &space->chunks[at];
    uint32_t line = chunk->free_head;
    if (line != SPACE_NONE) {
        chunk->free_head = (uint32_t)(cell_head(space_cell(space, line)) >> 32);
    } else {
        line = space_line(space, at, chunk->fresh);
        cell_set_word(space_cell(space, line), 0, 0);
        chunk->fresh++;
    }
    chunk->live++;
    change_free(space, cell_class, UINT32_MAX);
    if (chunk->live == chunk->cells) {
        unlink_roomy(space, at);
    }
    return line;
}

void space_give(memory_space *space, uint32_t line)
{
    uint32_t at = space_chunk_of(space, line);
    space_chunk *chunk = &space->chunks[at];
    BRISK_ASSERT(chunk->live != 0);
    cell_set_word(space_cell(space, line), 0, (uint64_t)chunk->free_head << 32);
    chunk->free_head = line;
    change_free(space, chunk->cell_class, 1);
    if (chunk->live == chunk->cells) {
        link_roomy(space, at);
    }
    chunk->live--;
}

/* A number for the shard's new chunk; SPACE_NONE when it has as many as it may. */
static uint32_t take_local(memory_space *space)
{
    uint32_t local = space->locals_free;
    if (local != SPACE_NONE) {
        uint32_t next = space->locals[local];
        space->locals_free = next != SPACE_NONE ? next & ~SPACE_FREE : SPACE_NONE;
        return local;
    }
    return space->locals_end < space->locals_max ? space->locals_end++ : SPACE_NONE;
}

static void give_local(memory_space *space, uint32_t local)
{
    space->locals[local] = SPACE_FREE | space->locals_free; /* SPACE_NONE stays what it is */
    space->locals_free = local;
}

uint32_t space_grow(memory_space *space, uint32_t cell_class)
{
    uint32_t local = take_local(space);
    if (local == SPACE_NONE) {
        return SPACE_NONE;
    }
    uint32_t at = region_take(space->region);
    if (at == SPACE_NONE) {
        give_local(space, local);
        return SPACE_NONE;
    }
    space->locals[local] = at;
    atomic_store_explicit(&space->region->owners[at], space->owner, memory_order_relaxed);
    space_chunk *chunk = &space->chunks[at];
    *chunk = (space_chunk){
        .cell_class = cell_class,
        .free_head = SPACE_NONE,
        .cells = space->classes->cells[cell_class],
        .local = local,
        .expires_s = UINT32_MAX,
    };
    change_free(space, cell_class, chunk->cells);
    space->chunks_held++;
    space->cells_held += cell_class < space_segments(space) ? chunk->cells : 0;
    link_roomy(space, at);
    return at;
}

/* The emptiest chunk with room of the class, or SPACE_NONE. */
static uint32_t emptiest(const memory_space *space, uint32_t cell_class)
{
    uint32_t best = SPACE_NONE;
    for (uint32_t at = space->roomy[cell_class]; at != SPACE_NONE; at = space->chunks[at].next) {
        if (best == SPACE_NONE || space->chunks[at].live < space->chunks[best].live) {
            best = at;
        }
    }
    return best;
}

uint32_t space_begin_drop(memory_space *space)
{
    uint32_t best = SPACE_NONE;
    uint32_t segments = space_segments(space);
    if (space->free_cells[segments] >= space->classes->cells[segments]) {
        uint32_t at = emptiest(space, segments);
        best = space->chunks[at].live == 0 ? at : SPACE_NONE; /* segments do not move */
    }
    for (uint32_t i = 0; space->droppable != 0 && best == SPACE_NONE && i < segments; i++) {
        if (space->free_cells[i] >= space->classes->cells[i]) {
            best = emptiest(space, i);
        }
    }
    if (best != SPACE_NONE) {
        /* Out of reach of take and give: both act on roomy only when live == cells. */
        unlink_roomy(space, best);
    }
    return best;
}

uint32_t space_next_live(const memory_space *space, uint32_t chunk, uint32_t *at)
{
    const space_chunk *c = &space->chunks[chunk];
    for (uint32_t i = *at; i < c->fresh; i++) {
        uint32_t line = space_line(space, chunk, i);
        if (cell_is_live(space_cell(space, line))) {
            *at = i + 1;
            return line;
        }
    }
    *at = c->fresh;
    return SPACE_NONE;
}

void space_drop(memory_space *space, uint32_t chunk, bool release)
{
    space_chunk *c = &space->chunks[chunk];
    BRISK_ASSERT(c->live == 0);
    change_free(space, c->cell_class, -c->cells);
    space->chunks_held--;
    space->cells_held -= c->cell_class < space_segments(space) ? c->cells : 0;
    if (release) {
        memory_map_drop(space_cell(space, 0) + ((size_t)chunk << space->chunk_shift),
                        space->classes->chunk_bytes);
    }
    give_local(space, c->local);
    atomic_store_explicit(&space->region->owners[chunk], 0, memory_order_relaxed);
    region_give(space->region, chunk);
}
