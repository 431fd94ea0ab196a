/*
 * value_blocks.h -- inside of a value, and the blocks that small values are made of again.
 *
 * Small values from libc's allocator are recycled: each thread keeps a few freed blocks of each
 * size, in multiples of a cache line, for its next values.  A hit of the memory tier makes such a
 * value; malloc and free would be a good third of its instructions.  A kept block keeps its
 * header too: kind, class, alloc and data of a recycled value never change.
 *
 * Invariant: a list holds at most VALUE_BLOCKS_KEPT values of VALUE_RECYCLED and its class, with
 * no owner, whose count of owners says one nevertheless: it is the next owner's.
 *
 * Threads: lists belong to their thread; a value may end in another thread's list than the one
 * it began in.
 */
#ifndef BRISK_SRC_CACHE_VALUE_BLOCKS_H
#define BRISK_SRC_CACHE_VALUE_BLOCKS_H

#include <stdatomic.h>
#include <stdbool.h>

#include <brisk/value.h>

enum value_kind {
    VALUE_INLINE,
    VALUE_RECYCLED,
    VALUE_WRAPPED,
    VALUE_FILE,
    VALUE_ROOMY, /* as VALUE_INLINE, with room to grow */
};

enum {
    VALUE_BLOCK_BYTES = 64,
    VALUE_BLOCK_CLASSES = 20, /* blocks of 64, 128 .. 1280 bytes */
    VALUE_BLOCKS_MAX = VALUE_BLOCK_BYTES * VALUE_BLOCK_CLASSES,
    VALUE_BLOCKS_KEPT = 16, /* of each class and thread: at most 210 KiB */
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
        uint64_t capacity; /* VALUE_ROOMY: bytes that may be had */
        brisk_value *next; /* in a list of blocks */
    } u;
    _Alignas(max_align_t) unsigned char bytes[];
};

typedef struct value_block_list {
    brisk_value *head;
    uint64_t room; /* so many more may be kept; 0 until the thread's end is known */
} value_block_list;

typedef struct value_blocks {
    value_block_list lists[VALUE_BLOCK_CLASSES];
    bool open; /* freed when the thread ends */
} value_blocks;

extern _Thread_local value_blocks value_kept __attribute__((tls_model("initial-exec")));

/* The class of a value of `size` bytes; beyond the last when it is too large. */
static inline uint32_t value_block_class(size_t size)
{
    return (uint32_t)((sizeof(struct brisk_value) + size - 1) / VALUE_BLOCK_BYTES);
}

/* What the value's bytes take: its size, or more. */
static inline uint64_t value_held(const brisk_value *value)
{
    return value->kind == VALUE_ROOMY ? value->u.capacity : value->size;
}

/*
 * One owner, who may change the bytes.  Acquire: pairs with the release of the owners that were.
 * To be asked by an owner, while nobody can become another.
 */
static inline bool value_is_own(const brisk_value *value)
{
    return (value->kind == VALUE_INLINE || value->kind == VALUE_ROOMY) &&
           atomic_load_explicit(&value->refs, memory_order_acquire) == 1;
}

/* The only owner makes size and capacity of a value of its own two things. */
static inline void value_make_roomy(brisk_value *value)
{
    if (value->kind == VALUE_INLINE) {
        value->kind = VALUE_ROOMY;
        value->u.capacity = value->size;
    }
}

/* A value of `size` bytes with room for `capacity`.  Errors: NOMEM. */
brisk_err value_reserve_room(uint64_t size, uint64_t capacity, const brisk_alloc *alloc,
                             brisk_value **ret);

/* The block of this thread that would become a value of `size` bytes, or NULL. */
static inline brisk_value *value_peek_kept(size_t size)
{
    return value_kept.lists[value_block_class(size)].head;
}

/* Take what value_peek_kept just gave. */
static inline void value_take_peeked(brisk_value *value, size_t size)
{
    value_block_list *list = &value_kept.lists[value_block_class(size)];
    list->head = value->u.next;
    list->room++;
    value->size = size;
}

/* A value of `size` bytes (their contents undefined) from this thread's blocks, or NULL. */
static inline brisk_value *value_take_kept(size_t size)
{
    brisk_value *value = value_peek_kept(size);
    if (value != NULL) {
        value_take_peeked(value, size);
    }
    return value;
}

#endif /* BRISK_SRC_CACHE_VALUE_BLOCKS_H */
