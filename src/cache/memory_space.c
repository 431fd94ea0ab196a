/*
 * memory_space.c -- chunks, cells and their free lists.
 *
 * A class may hold up to a chunk's worth of free cells; whatever is beyond can be collected by
 * moving the entries of one chunk into the holes of the others.  So memory that one size of entry
 * does not need any more can always be had back for another, at the price of one chunk's moves.
 *
 * Invariant: a chunk is in roomy[class] exactly when live < cells and it is not being emptied;
 * free_cells[class] is the sum of cells - live over the chunks of the class.
 */
#include <sys/mman.h>

#include "base/assert.h"
#include "cache/memory_space.h"

static const uint32_t class_lines[CELL_CLASSES] = {CELL_LINES_MIN, 3, 4, 6, CELL_LINES_MAX};

uint32_t space_class_of(size_t bytes)
{
    uint32_t cell_class = 0;
    while (cell_class < CELL_CLASSES && bytes > (size_t)class_lines[cell_class] * LINE_BYTES) {
        cell_class++;
    }
    return cell_class;
}

uint32_t space_class_lines(uint32_t cell_class)
{
    return class_lines[cell_class];
}

uint32_t space_cells_per_chunk(const memory_space *space, uint32_t cell_class)
{
    return space->chunk_lines / class_lines[cell_class];
}

void space_init(memory_space *space, unsigned char *region, space_chunk *chunks,
                uint32_t chunk_count, uint32_t chunk_lines)
{
    BRISK_ASSERT((uint64_t)chunk_count * chunk_lines < SPACE_NONE);
    *space = (memory_space){
        .region = region,
        .chunks = chunks,
        .chunk_count = chunk_count,
        .chunk_lines = chunk_lines,
        .free_chunks = chunk_count != 0 ? 0 : SPACE_NONE,
    };
    for (uint32_t i = 0; i < CELL_CLASSES; i++) {
        space->roomy[i] = SPACE_NONE;
    }
    for (uint32_t i = 0; i < chunk_count; i++) {
        chunks[i] = (space_chunk){
            .cell_class = SPACE_NONE,
            .next = i + 1 < chunk_count ? i + 1 : SPACE_NONE,
        };
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

uint32_t space_take(memory_space *space, uint32_t cell_class)
{
    uint32_t at = space->roomy[cell_class];
    if (at == SPACE_NONE) {
        return SPACE_NONE;
    }
    space_chunk *chunk = &space->chunks[at];
    uint32_t line = chunk->free_head;
    if (line != SPACE_NONE) {
        cell_word *cell = space_cell(space, line);
        chunk->free_head = (uint32_t)atomic_load_explicit(&cell[0], memory_order_relaxed);
    } else {
        line = at * space->chunk_lines + chunk->fresh * class_lines[cell_class];
        atomic_store_explicit(&space_cell(space, line)[1], 0, memory_order_release);
        chunk->fresh++;
    }
    chunk->live++;
    space->free_cells[cell_class]--;
    if (chunk->live == chunk->cells) {
        unlink_roomy(space, at);
    }
    return line;
}

void space_give(memory_space *space, uint32_t line)
{
    uint32_t at = line / space->chunk_lines;
    space_chunk *chunk = &space->chunks[at];
    BRISK_ASSERT(chunk->live != 0);
    cell_word *cell = space_cell(space, line);
    atomic_store_explicit(&cell[0], chunk->free_head, memory_order_release);
    atomic_store_explicit(&cell[1], 0, memory_order_release);
    chunk->free_head = line;
    space->free_cells[chunk->cell_class]++;
    if (chunk->live == chunk->cells) {
        link_roomy(space, at);
    }
    chunk->live--;
}

uint32_t space_grow(memory_space *space, uint32_t cell_class)
{
    uint32_t at = space->free_chunks;
    if (at == SPACE_NONE) {
        return SPACE_NONE;
    }
    space_chunk *chunk = &space->chunks[at];
    space->free_chunks = chunk->next;
    *chunk = (space_chunk){
        .cell_class = cell_class,
        .free_head = SPACE_NONE,
        .cells = space_cells_per_chunk(space, cell_class),
    };
    space->free_cells[cell_class] += chunk->cells;
    link_roomy(space, at);
    return at;
}

uint32_t space_begin_drop(memory_space *space)
{
    uint32_t best = SPACE_NONE;
    for (uint32_t i = 0; i < CELL_CLASSES; i++) {
        if (space->free_cells[i] < space_cells_per_chunk(space, i)) {
            continue;
        }
        for (uint32_t at = space->roomy[i]; at != SPACE_NONE; at = space->chunks[at].next) {
            if (best == SPACE_NONE || space->chunks[at].live < space->chunks[best].live) {
                best = at;
            }
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
    uint32_t lines = class_lines[c->cell_class];
    for (uint32_t i = *at; i < c->fresh; i++) {
        uint32_t line = chunk * space->chunk_lines + i * lines;
        uint64_t word = atomic_load_explicit(&space_cell(space, line)[1], memory_order_relaxed);
        if ((word & CELL_LIVE) != 0) {
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
    space->free_cells[c->cell_class] -= c->cells;
    size_t bytes = (size_t)space->chunk_lines * LINE_BYTES;
    if (release) {
        /* Only advice: when it fails the memory stays and is used again later. */
        (void)madvise(space->region + chunk * bytes, bytes, MADV_DONTNEED);
    }
    *c = (space_chunk){.cell_class = SPACE_NONE, .next = space->free_chunks};
    space->free_chunks = chunk;
}
