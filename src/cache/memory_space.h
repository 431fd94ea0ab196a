/*
 * memory_space.h -- cells of five sizes in one region of memory.
 *
 *     region   chunk 0 (192-byte cells)   chunk 1 (128)   chunk 2 (free)   chunk 3 (192) ...
 *
 * The region is reserved at once and cut into chunks; a chunk belongs to one class (size of cell)
 * or is free.  A cell is named by its line: its offset in the region divided by 64.  Cells never
 * leave the region, so a reader without a lock may look into a cell that was meanwhile given
 * back: it reads garbage, which the table's sequence numbers reveal, never foreign memory.
 * What cells hold is the shard's affair, except: word 0 of a free cell links the next free one,
 * and bit CELL_LIVE of word 1 says that the cell is an entry.
 *
 * Threads: one at a time (the shard's lock); cell words are atomic because of the readers.
 */
#ifndef BRISK_SRC_CACHE_MEMORY_SPACE_H
#define BRISK_SRC_CACHE_MEMORY_SPACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LINE_BYTES = 64,
    CELL_CLASSES = 5,
    CELL_LINES_MIN = 2,
    CELL_LINES_MAX = 8,
    CELL_BYTES_MAX = CELL_LINES_MAX * LINE_BYTES,
};

#define CELL_LIVE (UINT64_C(1) << 63)

#define SPACE_NONE UINT32_MAX /* no line, no chunk */

typedef _Atomic uint64_t cell_word;

typedef struct space_chunk {
    uint32_t cell_class; /* SPACE_NONE when the chunk is free */
    uint32_t free_head;  /* line of the first cell given back, or SPACE_NONE */
    uint32_t fresh;      /* cells below this index were used at least once */
    uint32_t live;       /* cells taken now */
    uint32_t cells;
    uint32_t prev, next; /* chunks of the class with room; next also links free chunks */
} space_chunk;

typedef struct memory_space {
    unsigned char *region;
    space_chunk *chunks;
    uint32_t chunk_count;
    uint32_t chunk_lines;
    uint32_t free_chunks;              /* head, or SPACE_NONE */
    uint32_t roomy[CELL_CLASSES];      /* head of the chunks with room */
    uint64_t free_cells[CELL_CLASSES]; /* not live, in chunks of the class */
} memory_space;

/* The smallest class whose cells hold `bytes`; CELL_CLASSES when none does. */
uint32_t space_class_of(size_t bytes);
/* Lines of a cell of the class. */
uint32_t space_class_lines(uint32_t cell_class);
uint32_t space_cells_per_chunk(const memory_space *space, uint32_t cell_class);

/* `region` holds chunk_count chunks of chunk_lines lines and CELL_BYTES_MAX bytes more. */
void space_init(memory_space *space, unsigned char *region, space_chunk *chunks,
                uint32_t chunk_count, uint32_t chunk_lines);

static inline cell_word *space_cell(const memory_space *space, uint32_t line)
{
    void *cell = space->region + (size_t)line * LINE_BYTES;
    return cell;
}

/* A cell of the class, not yet live; SPACE_NONE when its chunks have no room. */
uint32_t space_take(memory_space *space, uint32_t cell_class);
/* Give back a cell; clears its CELL_LIVE. */
void space_give(memory_space *space, uint32_t line);
/* Give a free chunk to the class.  Its number, or SPACE_NONE when no chunk is free. */
uint32_t space_grow(memory_space *space, uint32_t cell_class);

/*
 * Begin to empty a chunk: the emptiest of a class whose other chunks have room for its entries
 * is kept out of space_take.  Its number, or SPACE_NONE when there is no such chunk.  The caller
 * moves the live cells (space_next_live) elsewhere, gives them back and calls space_drop.
 */
uint32_t space_begin_drop(memory_space *space);
/* The first live cell of `chunk` at or after cell index *at, or SPACE_NONE; *at moves behind it. */
uint32_t space_next_live(const memory_space *space, uint32_t chunk, uint32_t *at);
/* The chunk, without entries, is free; with `release` its memory goes back to the kernel. */
void space_drop(memory_space *space, uint32_t chunk, bool release);

#endif /* BRISK_SRC_CACHE_MEMORY_SPACE_H */
