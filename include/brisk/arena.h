/*
 * brisk/arena.h -- memory that is given back all at once.
 *
 * A bump pointer through chunks of 1 MiB; an allocation larger than a quarter chunk gets a chunk
 * of its own.  Everything is aligned to 16 bytes unless asked otherwise.  reset keeps the first
 * chunk, so that a loop of jobs allocates nothing.
 *
 * Threads: one at a time; each running stage has its own arena.
 */
#ifndef BRISK_ARENA_H
#define BRISK_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

enum { BRISK_ARENA_CHUNK_BYTES = 1048576 };

typedef struct brisk_arena brisk_arena;

typedef struct brisk_arena_opts {
    size_t chunk_bytes;       /**< 0 means BRISK_ARENA_CHUNK_BYTES; at least 4096. */
    size_t limit_bytes;       /**< Most bytes held in chunks; 0 means none. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_arena_opts;

/** The first chunk is taken at the first allocation.  Errors: NOMEM, INVALID. */
BRISK_API BRISK_NODISCARD brisk_err brisk_arena_create(const brisk_arena_opts *opts,
                                                       brisk_arena **ret);
BRISK_API void brisk_arena_destroy(brisk_arena *arena);
/** Uninitialised bytes, or NULL when memory or the limit is exhausted.  Size 0 gives a pointer. */
BRISK_API void *brisk_arena_alloc(brisk_arena *arena, size_t size);
/** Zeroed array; NULL also when count * size overflows. */
BRISK_API void *brisk_arena_calloc(brisk_arena *arena, size_t count, size_t size);
/** `align` is a power of two up to 4096. */
BRISK_API void *brisk_arena_alloc_aligned(brisk_arena *arena, size_t size, size_t align);
/** Copy of `size` bytes and a NUL behind them, or NULL. */
BRISK_API char *brisk_arena_copy(brisk_arena *arena, const char *text, size_t size);
/** printf into the arena, or NULL. */
BRISK_API char *brisk_arena_printf(brisk_arena *arena, const char *format, ...) BRISK_PRINTF(2, 3);
/** Forget every allocation; the first chunk stays. */
BRISK_API void brisk_arena_reset(brisk_arena *arena);
/** Bytes handed out since create or reset, and bytes held in chunks. */
BRISK_API size_t brisk_arena_used(const brisk_arena *arena);
BRISK_API size_t brisk_arena_held(const brisk_arena *arena);
/** The arena as an allocator; release does nothing.  Valid as long as the arena. */
BRISK_API const brisk_alloc *brisk_arena_as_alloc(brisk_arena *arena);

BRISK_END_DECLS

#endif /* BRISK_ARENA_H */
