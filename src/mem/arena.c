/*
 * arena.c -- a bump pointer through a list of chunks, behind <brisk/arena.h>.
 *
 *     arena ──► first ─► chunk ─► chunk        newest right behind first
 *                                   ▲
 *               cursor .. end ──────┘          free bytes of the chunk being filled
 *
 * A chunk is one block: its header, then payload.  A request above a quarter chunk gets a chunk of
 * its own and leaves cursor and end alone, so that a large buffer never throws away the rest of
 * the chunk being filled: at most a quarter of a chunk is lost when the next one begins.
 *
 * Invariant: held is the sum of the chunks' sizes and never exceeds the limit; only a chunk of
 * normal size is ever `first`, since that is the one that reset keeps (arena_is_valid).
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <brisk/arena.h>

#include "base/assert.h"
#include "mem/poison.h"

enum {
    ALIGN_DEFAULT = 16,
    ALIGN_MAX = 4096,
    CHUNK_ALIGN = 64,
    CHUNK_BYTES_MIN = 4096,
    LARGE_PART = 4, /* of a chunk: above 1/4 a request gets its own */
};

typedef struct chunk {
    struct chunk *next;
    size_t size; /* with this header */
} chunk;

struct brisk_arena {
    unsigned char *cursor;
    unsigned char *end;
    size_t used;
    size_t held;
    chunk *first; /* survives reset; NULL until needed */
    chunk *rest;  /* newest first; freed by reset */
    size_t chunk_bytes;
    size_t limit_bytes;
    const brisk_alloc *alloc;
    brisk_alloc as_alloc;
};

static bool arena_is_valid(const brisk_arena *arena)
{
    size_t held = arena->first != NULL ? arena->first->size : 0;
    for (const chunk *c = arena->rest; c != NULL; c = c->next) {
        held += c->size;
    }
    return held == arena->held && (arena->limit_bytes == 0 || held <= arena->limit_bytes) &&
           (arena->first == NULL || arena->first->size == arena->chunk_bytes) &&
           arena->cursor <= arena->end;
}

static void *as_alloc_acquire(void *ctx, size_t size, size_t align)
{
    return brisk_arena_alloc_aligned(ctx, size, align);
}

static void as_alloc_release(void *ctx, void *ptr, size_t size, size_t align)
{
    (void)ctx;
    (void)ptr;
    (void)size;
    (void)align;
}

brisk_err brisk_arena_create(const brisk_arena_opts *opts, brisk_arena **ret)
{
    BRISK_ASSERT(ret != NULL);
    brisk_arena_opts o = opts != NULL ? *opts : (brisk_arena_opts){0};
    size_t chunk_bytes = o.chunk_bytes != 0 ? o.chunk_bytes : BRISK_ARENA_CHUNK_BYTES;
    const brisk_alloc *alloc = o.alloc != NULL ? o.alloc : brisk_alloc_libc();
    if (chunk_bytes < CHUNK_BYTES_MIN || chunk_bytes > SIZE_MAX / 2) {
        return BRISK_ERR_INVALID;
    }
    brisk_arena *arena = alloc->acquire(alloc->ctx, sizeof *arena, _Alignof(brisk_arena));
    if (arena == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *arena = (brisk_arena){
        .chunk_bytes = chunk_bytes,
        .limit_bytes = o.limit_bytes,
        .alloc = alloc,
        .as_alloc = {.acquire = as_alloc_acquire, .release = as_alloc_release, .ctx = arena},
    };
    *ret = arena;
    return BRISK_OK;
}

static unsigned char *payload_of(chunk *c)
{
    return (unsigned char *)c + sizeof *c;
}

static void chunk_free(brisk_arena *arena, chunk *c)
{
    MEM_UNPOISON(c, c->size);
    arena->held -= c->size;
    arena->alloc->release(arena->alloc->ctx, c, c->size, CHUNK_ALIGN);
}

static void free_rest(brisk_arena *arena)
{
    while (arena->rest != NULL) {
        chunk *next = arena->rest->next;
        chunk_free(arena, arena->rest);
        arena->rest = next;
    }
}

void brisk_arena_destroy(brisk_arena *arena)
{
    if (arena == NULL) {
        return;
    }
    BRISK_AUDIT(arena_is_valid(arena));
    free_rest(arena);
    if (arena->first != NULL) {
        chunk_free(arena, arena->first);
    }
    BRISK_ASSERT(arena->held == 0);
    const brisk_alloc *alloc = arena->alloc;
    alloc->release(alloc->ctx, arena, sizeof *arena, _Alignof(brisk_arena));
}

static chunk *chunk_new(brisk_arena *arena, size_t size)
{
    if (arena->limit_bytes != 0 && size > arena->limit_bytes - arena->held) {
        return NULL;
    }
    chunk *c = arena->alloc->acquire(arena->alloc->ctx, size, CHUNK_ALIGN);
    if (c == NULL) {
        return NULL;
    }
    *c = (chunk){.size = size};
    arena->held += size;
    MEM_POISON(payload_of(c), size - sizeof *c);
    return c;
}

/* First address at or behind `at` that is a multiple of `align`, as a distance from `at`. */
static size_t padding(const unsigned char *at, size_t align)
{
    return (size_t)(-(uintptr_t)at & (align - 1));
}

static void *hand_out(brisk_arena *arena, unsigned char *at, size_t size)
{
    MEM_UNPOISON(at, size);
    arena->used += size;
    return at;
}

static void *alloc_large(brisk_arena *arena, size_t size, size_t align)
{
    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    chunk *c = chunk_new(arena, sizeof *c + (align - 1) + size + MEM_REDZONE_BYTES);
    if (c == NULL) {
        return NULL;
    }
    c->next = arena->rest;
    arena->rest = c;
    BRISK_AUDIT(arena_is_valid(arena));
    unsigned char *at = payload_of(c);
    return hand_out(arena, at + padding(at, align), size);
}

/* Slow path: the chunk being filled cannot take the request. */
static __attribute__((noinline)) void *alloc_slow(brisk_arena *arena, size_t size, size_t align)
{
    size_t small_max = arena->chunk_bytes / LARGE_PART;
    size_t room = arena->chunk_bytes - sizeof(chunk) - MEM_REDZONE_BYTES;
    if (size > small_max || size + (align - 1) > room) {
        return alloc_large(arena, size, align);
    }
    chunk *c = chunk_new(arena, arena->chunk_bytes);
    if (c == NULL) {
        return NULL;
    }
    if (arena->first == NULL) {
        arena->first = c;
    } else {
        c->next = arena->rest;
        arena->rest = c;
    }
    unsigned char *at = payload_of(c);
    arena->end = (unsigned char *)c + c->size;
    at += padding(at, align);
    arena->cursor = at + size + MEM_REDZONE_BYTES;
    BRISK_AUDIT(arena_is_valid(arena));
    return hand_out(arena, at, size);
}

void *brisk_arena_alloc_aligned(brisk_arena *arena, size_t size, size_t align)
{
    BRISK_ASSERT(align != 0);
    BRISK_ASSERT((align & (align - 1)) == 0);
    BRISK_ASSERT(align <= ALIGN_MAX);
    size_t left = (size_t)(arena->end - arena->cursor);
    size_t pad = padding(arena->cursor, align);
    size_t extra = pad + MEM_REDZONE_BYTES;
    if (arena->cursor == NULL || extra > left || size > left - extra ||
        size > arena->chunk_bytes / LARGE_PART) {
        return alloc_slow(arena, size, align);
    }
    unsigned char *at = arena->cursor + pad;
    arena->cursor = at + size + MEM_REDZONE_BYTES;
    return hand_out(arena, at, size);
}

void *brisk_arena_alloc(brisk_arena *arena, size_t size)
{
    return brisk_arena_alloc_aligned(arena, size, ALIGN_DEFAULT);
}

void *brisk_arena_calloc(brisk_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    void *ptr = brisk_arena_alloc(arena, bytes);
    return ptr != NULL ? memset(ptr, 0, bytes) : NULL;
}

char *brisk_arena_copy(brisk_arena *arena, const char *text, size_t size)
{
    if (size == SIZE_MAX) {
        return NULL;
    }
    char *copy = brisk_arena_alloc_aligned(arena, size + 1, 1);
    if (copy != NULL) {
        if (size != 0) {
            memcpy(copy, text, size);
        }
        copy[size] = '\0';
    }
    return copy;
}

char *brisk_arena_printf(brisk_arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    char *text = NULL;
    int size = vsnprintf(NULL, 0, format, args);
    if (size >= 0) {
        text = brisk_arena_alloc_aligned(arena, (size_t)size + 1, 1);
    }
    if (text != NULL) {
        (void)vsnprintf(text, (size_t)size + 1, format, again);
    }
    va_end(again);
    va_end(args);
    return text;
}

void brisk_arena_reset(brisk_arena *arena)
{
    free_rest(arena);
    arena->used = 0;
    if (arena->first != NULL) {
        arena->cursor = payload_of(arena->first);
        arena->end = (unsigned char *)arena->first + arena->first->size;
        MEM_POISON(arena->cursor, (size_t)(arena->end - arena->cursor));
    }
    BRISK_AUDIT(arena_is_valid(arena));
}

size_t brisk_arena_used(const brisk_arena *arena)
{
    return arena->used;
}

size_t brisk_arena_held(const brisk_arena *arena)
{
    return arena->held;
}

const brisk_alloc *brisk_arena_as_alloc(brisk_arena *arena)
{
    return &arena->as_alloc;
}
