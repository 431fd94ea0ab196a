/*
 * memory_space.h -- one region of memory for all shards: chunks, and cells in them.
 *
 *     region   chunk 0 (cells of 120 bytes)   chunk 1 (segments of a table)   chunk 2 (48) ...
 *
 * Address space for everything that may ever be stored is reserved at once and used from its
 * beginning, so that what is in use lies densely in few large pages, however many shards and
 * sizes there are.  Shards take chunks; a chunk belongs to one shard and one class (size of cell).
 * A cell is named by its line: its offset in the region in words of 8 bytes.
 *
 * Classes grow by 8 bytes up to 512 and by 32 steps a doubling beyond where a shard has chunks to
 * spare for so many; small shards have fewer, coarser ones.
 *
 * Memory never leaves the region, so a reader without a lock may look into a cell that was
 * meanwhile given back, or into a segment that became cells: it reads garbage, which the table's
 * numbers reveal, never foreign memory.  What cells hold is the shard's affair, except the first
 * byte: its bit 0 says that the cell is taken, and of a free cell the upper half of the first word
 * links the next one.
 *
 * Threads: a space under its shard's lock; the region's list of chunks under its own.
 */
#ifndef BRISK_SRC_CACHE_MEMORY_SPACE_H
#define BRISK_SRC_CACHE_MEMORY_SPACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

enum {
    WORD_BYTES = 8,
    SPACE_CLASSES_MAX = 168,
    SPACE_CHUNK_BYTES_MIN = 4096,
    SPACE_CHUNK_BYTES_MAX = 65536,
    SPACE_SMALL_SHARD = 33554432, /* below: cells not too small, so that ids are few */
};

#define SPACE_NONE       UINT32_MAX           /* no line, no chunk */
#define SPACE_FREE       (UINT32_C(1) << 31)  /* in locals: no chunk has the number */
#define SPACE_REGION_MAX (UINT64_C(32) << 30) /* what lines can name, less a little */

/* The sizes of cells; the same for all shards of a tier. */
typedef struct space_classes {
    uint32_t count;     /* of cells; class `count` is that of segments */
    uint32_t words_max; /* largest cell */
    uint32_t chunk_bytes;
    uint32_t id_shift;                 /* a chunk has at most 1 << id_shift cells */
    uint16_t words[SPACE_CLASSES_MAX]; /* of a cell of each class */
    uint16_t cells[SPACE_CLASSES_MAX]; /* of a chunk of each class */
    uint8_t of_words[512 + 1];         /* the class for so many words */
    uint32_t segment_words;            /* of the last class */
} space_classes;

typedef struct space_chunk {
    uint32_t cell_class; /* SPACE_NONE when the chunk is free */
    uint32_t free_head;  /* line of the first cell given back, or SPACE_NONE */
    uint32_t fresh;      /* cells below this index were used at least once */
    uint32_t live;       /* cells taken now */
    uint32_t cells;
    uint32_t prev, next; /* chunks of the class with room; next also links free chunks */
    uint32_t local;      /* its number in the shard */
    uint32_t known;      /* cells below this index are known to the policy */
    uint32_t expires_s;  /* no entry expires before; UINT32_MAX: none does */
    uint32_t next_sweep; /* when it is worth looking for what has expired, in ticks of tend */
    uint32_t next_cold;  /* and for what is cold */
    uint32_t pause;      /* between two sweeps, in ticks */
} space_chunk;

typedef struct space_region {
    unsigned char *base;
    space_chunk *chunks;
    uint16_t *counts;         /* entries in each segment, by its place in the region */
    _Atomic uint16_t *owners; /* of each chunk: 1 + number of the shard, or 0 */
    size_t bytes;             /* of chunks, without the slack */
    size_t books_bytes;
    uint32_t chunk_count;
    uint32_t chunk_shift;
    const brisk_alloc *alloc;
    pthread_mutex_t lock;
    uint32_t free_chunks; /* head of those given back */
    uint32_t fresh;       /* chunks from here on were never used */
    bool wants_huge;
} space_region;

typedef struct memory_space {
    space_region *region;
    const space_classes *classes;
    unsigned char *base; /* the region's */
    space_chunk *chunks; /* the region's */
    uint32_t chunk_shift;
    uint32_t *locals; /* the shard's chunks by their numbers; or SPACE_FREE and the next free one */
    uint16_t owner;   /* the shard's mark in the region */
    uint32_t locals_max;
    uint32_t locals_end;  /* numbers below were used */
    uint32_t locals_free; /* head, or SPACE_NONE */
    uint32_t chunks_held;
    uint32_t droppable;                     /* classes of cells with a chunk's worth of free ones */
    uint64_t cells_held;                    /* of all classes of cells */
    uint32_t roomy[SPACE_CLASSES_MAX];      /* head of the chunks with room */
    uint32_t free_cells[SPACE_CLASSES_MAX]; /* not live, in chunks of the class */
} memory_space;

/* The classes for shards of `bytes` each. */
void space_choose_classes(uint64_t bytes, space_classes *ret);

/* Room for `chunks` chunks.  Errors: NOMEM. */
brisk_err space_region_init(space_region *region, const space_classes *classes,
                            uint64_t chunk_count, const brisk_alloc *alloc);
void space_region_deinit(space_region *region);

/* `locals` has room for `locals_max` numbers. */
void space_init(memory_space *space, space_region *region, const space_classes *classes,
                uint32_t *locals, uint32_t locals_max);

static inline unsigned char *space_cell(const memory_space *space, uint32_t line)
{
    return space->base + (size_t)line * WORD_BYTES;
}

static inline uint32_t space_chunk_of(const memory_space *space, uint32_t line)
{
    return (uint32_t)((uint64_t)line * WORD_BYTES >> space->chunk_shift);
}

/* The smallest class for `bytes`, which must not be more than the largest cell has. */
static inline uint32_t space_class_of(const memory_space *space, size_t bytes)
{
    return space->classes->of_words[(bytes + WORD_BYTES - 1) / WORD_BYTES];
}

static inline uint32_t space_class_bytes(const memory_space *space, uint32_t cell_class)
{
    return (uint32_t)space->classes->words[cell_class] * WORD_BYTES;
}

/* The class of segments. */
static inline uint32_t space_segments(const memory_space *space)
{
    return space->classes->count;
}

/* The index of the cell in its chunk. */
static inline uint32_t space_index(const memory_space *space, uint32_t line)
{
    uint32_t chunk_words = space->classes->chunk_bytes / WORD_BYTES; /* a power of two */
    const space_chunk *chunk = &space->chunks[space_chunk_of(space, line)];
    return (line & (chunk_words - 1)) / space->classes->words[chunk->cell_class];
}

/* The line of cell `index` of `chunk`. */
static inline uint32_t space_line(const memory_space *space, uint32_t chunk, uint32_t index)
{
    uint32_t chunk_words = space->classes->chunk_bytes / WORD_BYTES;
    return chunk * chunk_words + index * space->classes->words[space->chunks[chunk].cell_class];
}

/* The shard's chunk of cells (not of segments) with the number, or SPACE_NONE. */
static inline uint32_t space_local(const memory_space *space, uint32_t local)
{
    uint32_t at = space->locals[local];
    bool cells = at < SPACE_FREE && space->chunks[at].cell_class < space_segments(space);
    return cells ? at : SPACE_NONE;
}

/* Is `line` the beginning of a taken cell of one of the shard's chunks of cells? */
bool space_is_live(const memory_space *space, uint32_t line);

/* A cell of the class, marked as taken by whoever writes it; SPACE_NONE: its chunks have no room. */
uint32_t space_take(memory_space *space, uint32_t cell_class);
void space_give(memory_space *space, uint32_t line);
/* Take a chunk for the class.  Its number, or SPACE_NONE when there is none. */
uint32_t space_grow(memory_space *space, uint32_t cell_class);

/*
 * Begin to empty a chunk: the emptiest of a class whose other chunks have room for its entries is
 * kept out of space_take.  Its number, or SPACE_NONE when there is no such chunk.  The caller moves
 * the live cells (space_next_live) elsewhere, gives them back and calls space_drop.
 */
uint32_t space_begin_drop(memory_space *space);
/* The first live cell of `chunk` at or after cell index *at, or SPACE_NONE; *at moves behind it. */
uint32_t space_next_live(const memory_space *space, uint32_t chunk, uint32_t *at);
/* The chunk, without entries, goes back to the region; with `release` its memory to the kernel. */
void space_drop(memory_space *space, uint32_t chunk, bool release);

#endif /* BRISK_SRC_CACHE_MEMORY_SPACE_H */
