/*
 * http2_memory.c -- see http2_memory.h.
 *
 * nghttp2 does not say how large a block is that it gives back, so its size stands before it.
 */
#include "daemon/http/http2_memory.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

struct http2_block {
    size_t room;       /* bytes behind this head */
    http2_block *next; /* while it is free */
};

enum { STEP = HTTP2_MEMORY_STEP, CLASSES = HTTP2_MEMORY_CLASSES };

static_assert(sizeof(http2_block) == 16, "what follows is aligned to 16 bytes");

void http2_memory_init(http2_memory *memory, const brisk_alloc *alloc)
{
    *memory = (http2_memory){.alloc = alloc};
}

static void give_back(http2_memory *memory, http2_block *block)
{
    memory->alloc->release(memory->alloc->ctx, block, sizeof *block + block->room, 16);
}

void http2_memory_drop(http2_memory *memory)
{
    for (size_t i = 0; i < CLASSES; i++) {
        while (memory->free[i] != NULL) {
            http2_block *block = memory->free[i];
            memory->free[i] = block->next;
            give_back(memory, block);
        }
    }
    memory->kept = 0;
}

static void *take(size_t size, void *ctx)
{
    http2_memory *memory = ctx;
    size_t class = size > 0 ? (size - 1) / STEP : 0;
    size_t room = size;
    if (class < CLASSES) {
        http2_block *block = memory->free[class];
        if (block != NULL) {
            memory->free[class] = block->next;
            memory->kept -= block->room;
            return block + 1;
        }
        room = (class + 1) * STEP;
    }
    if (room > SIZE_MAX - sizeof(http2_block)) {
        return NULL;
    }
    http2_block *block = memory->alloc->acquire(memory->alloc->ctx, sizeof *block + room, 16);
    if (block == NULL) {
        return NULL;
    }
    block->room = room;
    return block + 1;
}

static void release(void *at, void *ctx)
{
    http2_memory *memory = ctx;
    if (at == NULL) {
        return;
    }
    http2_block *block = (http2_block *)at - 1;
    if (block->room > (size_t)STEP * CLASSES || memory->kept + block->room > HTTP2_MEMORY_KEPT) {
        give_back(memory, block);
        return;
    }
    size_t class = block->room / STEP - 1;
    block->next = memory->free[class];
    memory->free[class] = block;
    memory->kept += block->room;
}

static void *take_zeroed(size_t count, size_t size, void *ctx)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    void *at = take(bytes, ctx);
    if (at != NULL) {
        memset(at, 0, bytes);
    }
    return at;
}

static void *resize(void *at, size_t size, void *ctx)
{
    size_t room = at != NULL ? ((http2_block *)at - 1)->room : 0;
    if (at != NULL && size <= room) {
        return at;
    }
    void *to = take(size, ctx);
    if (to != NULL && at != NULL) {
        memcpy(to, at, room < size ? room : size);
        release(at, ctx);
    }
    return to;
}

nghttp2_mem http2_memory_calls(http2_memory *memory)
{
    return (nghttp2_mem){.mem_user_data = memory,
                         .malloc = take,
                         .free = release,
                         .calloc = take_zeroed,
                         .realloc = resize};
}
