/*
 * value_blocks.h -- inside of a value, and the blocks that small values are made of again.
 *
 * Small values from libc's allocator are recycled: each thread keeps a few freed blocks of each
 * size, in multiples of a cache line, for its next values.  A hit of the memory tier makes such a
 * value; malloc and free would be a good third of its instructions.  A kept block keeps its
 * header too: kind, class, alloc and data of a recycled value never change.
 *
 * Invariant: a list holds at most VALUE_BLOCKS_KEPT values of VALUE_RECYCLED and its class, with
 * no owner.
 *
 * Threads: lists belong to their thread; a value may end in another thread's list than the one
 * it began in.
 */
#ifndef BRISK_SRC_CACHE_VALUE_BLOCKS_H
#define BRISK_SRC_CACHE_VALUE_BLOCKS_H

#include <stdatomic.h>
#include <stdbool.h>

#include <brisk/value.h>

enum value_kind { VALUE_INLINE, VALUE_RECYCLED, VALUE_WRAPPED, VALUE_FILE };

enum {
    VALUE_BLOCK_BYTES = 64,
    VALUE_BLOCK_CLASSES = 10, /* blocks of 64, 128 .. 640 bytes */
    VALUE_BLOCKS_MAX = VALUE_BLOCK_BYTES * VALUE_BLOCK_CLASSES,
    VALUE_BLOCKS_KEPT = 16, /* of each class and thread: at most 55 KiB */
};

struct brisk_value {
    _Atomic uint32_t refs;
    uint16_t kind;
    uint16_t block_class; /* VALUE_RECYCLED */
    uint64_t size;
    const void *data; /* NULL exactly for VALUE_FILE */
    const brisk_alloc *alloc;
    union {
        struct {
            void (*release)(void *ctx);
            void *ctx;
        } wrapped;
        int fd;
        brisk_value *next; /* in a list of blocks */
    } u;
    _Alignas(max_align_t) unsigned char bytes[];
};

typedef struct value_block_list {
    brisk_value *head;
    uint64_t count;
} value_block_list;

typedef struct value_blocks {
    value_block_list lists[VALUE_BLOCK_CLASSES];
    bool open; /* freed when the thread ends: blocks may be kept */
} value_blocks;

extern _Thread_local value_blocks value_kept __attribute__((tls_model("initial-exec")));

/* The class of a value of `size` bytes; beyond the last when it is too large. */
static inline uint32_t value_block_class(size_t size)
{
    return (uint32_t)((sizeof(struct brisk_value) + size - 1) / VALUE_BLOCK_BYTES);
}

/* A value of `size` bytes (their contents undefined) from this thread's blocks, or NULL. */
static inline brisk_value *value_take_kept(size_t size)
{
    value_block_list *list = &value_kept.lists[value_block_class(size)];
    brisk_value *value = list->head;
    if (value != NULL) {
        list->head = value->u.next;
        list->count--;
        atomic_store_explicit(&value->refs, 1, memory_order_relaxed);
        value->size = size;
    }
    return value;
}

#endif /* BRISK_SRC_CACHE_VALUE_BLOCKS_H */
