/*
 * value.c -- immutable, reference-counted bytes behind <brisk/value.h>.
 *
 * One allocation per value: the header, and for copied or reserved values the bytes right behind
 * it, so that a small value is one or two cache lines.
 *
 * Small values from libc's allocator are recycled: each thread keeps a few freed blocks of each
 * size, in multiples of a cache line, for its next values.  A hit of the memory tier makes such a
 * value, and malloc and free would be a good third of its instructions.
 *
 * Threads: only an owner can make another owner, so a thread that reads refs == 1 is the last one
 * and may free without an atomic subtraction; that saves the locked instruction on the common
 * path (get, use, unref), which would also keep later loads of the same thread from starting.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <brisk/value.h>

#include "base/assert.h"

enum value_kind { VALUE_INLINE, VALUE_RECYCLED, VALUE_WRAPPED, VALUE_FILE };

enum {
    BLOCK_BYTES = 64,
    BLOCK_CLASSES = 10, /* blocks of 64, 128 .. 640 bytes */
    BLOCKS_KEPT = 16,   /* of each class and thread: at most 55 KiB */
};

struct brisk_value {
    _Atomic uint32_t refs;
    enum value_kind kind;
    uint64_t size;
    const void *data; /* NULL exactly for VALUE_FILE */
    const brisk_alloc *alloc;
    union {
        struct {
            void (*release)(void *ctx);
            void *ctx;
        } wrapped;
        int fd;
    } u;
    _Alignas(max_align_t) unsigned char bytes[];
};

static const size_t value_align = _Alignof(struct brisk_value);

#if defined(__SANITIZE_ADDRESS__)
static const bool recycling = false; /* so that every use after free is found */
#else
static const bool recycling = true;
#endif

typedef struct kept_block {
    struct kept_block *next;
} kept_block;

typedef struct value_blocks {
    kept_block *heads[BLOCK_CLASSES];
    uint32_t counts[BLOCK_CLASSES];
    bool open; /* freed when the thread ends: blocks may be kept */
} value_blocks;

static _Thread_local value_blocks kept __attribute__((tls_model("initial-exec")));
static pthread_key_t end_key;
static bool end_key_made;
static pthread_once_t end_key_once = PTHREAD_ONCE_INIT;

static void release_block(void *block, size_t block_class)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    alloc->release(alloc->ctx, block, (block_class + 1) * BLOCK_BYTES, value_align);
}

static void on_thread_end(void *value)
{
    (void)value;
    kept.open = false;
    for (size_t i = 0; i < BLOCK_CLASSES; i++) {
        while (kept.heads[i] != NULL) {
            kept_block *block = kept.heads[i];
            kept.heads[i] = block->next;
            release_block(block, i);
        }
        kept.counts[i] = 0;
    }
}

static void make_key(void)
{
    end_key_made = pthread_key_create(&end_key, on_thread_end) == 0;
}

/* Arrange that what this thread keeps is freed at its end; false when that is not possible. */
static bool open_thread(void)
{
    (void)pthread_once(&end_key_once, make_key);
    kept.open = end_key_made && pthread_setspecific(end_key, &kept) == 0;
    return kept.open;
}

static inline void *take_block(size_t block_class)
{
    kept_block *block = kept.heads[block_class];
    if (block == NULL) {
        const brisk_alloc *alloc = brisk_alloc_libc();
        return alloc->acquire(alloc->ctx, (block_class + 1) * BLOCK_BYTES, value_align);
    }
    kept.heads[block_class] = block->next;
    kept.counts[block_class]--;
    return block;
}

static inline void keep_block(void *memory, size_t block_class)
{
    if (kept.counts[block_class] >= BLOCKS_KEPT || (!kept.open && !open_thread())) {
        release_block(memory, block_class);
        return;
    }
    kept_block *block = memory;
    block->next = kept.heads[block_class];
    kept.heads[block_class] = block;
    kept.counts[block_class]++;
}

/* A header with `extra` bytes behind it, owned by one; NULL when memory is exhausted. */
static inline brisk_value *value_new(enum value_kind kind, uint64_t size, size_t extra,
                                     const brisk_alloc *alloc)
{
    brisk_value *value;
    size_t block_class = (sizeof *value + extra - 1) / BLOCK_BYTES;
    if (recycling && kind == VALUE_INLINE && extra < BLOCK_CLASSES * BLOCK_BYTES &&
        block_class < BLOCK_CLASSES && (alloc == NULL || alloc == brisk_alloc_libc())) {
        kind = VALUE_RECYCLED;
        value = take_block(block_class);
    } else if (extra > SIZE_MAX - sizeof(struct brisk_value)) {
        return NULL;
    } else {
        alloc = alloc != NULL ? alloc : brisk_alloc_libc();
        value = alloc->acquire(alloc->ctx, sizeof *value + extra, value_align);
    }
    if (value == NULL) {
        return NULL;
    }
    atomic_init(&value->refs, 1);
    value->kind = kind;
    value->size = size;
    value->alloc = alloc;
    value->data = value->bytes;
    return value;
}

static void value_free(brisk_value *value)
{
    if (value->kind == VALUE_RECYCLED) {
        keep_block(value, (sizeof *value + (size_t)value->size - 1) / BLOCK_BYTES);
        return;
    }
    if (value->kind == VALUE_WRAPPED && value->u.wrapped.release != NULL) {
        value->u.wrapped.release(value->u.wrapped.ctx);
    } else if (value->kind == VALUE_FILE) {
        (void)close(value->u.fd);
    }
    size_t extra = value->kind == VALUE_INLINE ? (size_t)value->size : 0;
    const brisk_alloc *alloc = value->alloc;
    alloc->release(alloc->ctx, value, sizeof *value + extra, value_align);
}

brisk_err brisk_value_copy(const void *data, size_t size, const brisk_alloc *alloc,
                           brisk_value **ret)
{
    BRISK_ASSERT(data != NULL || size == 0);
    BRISK_ASSERT(ret != NULL);
    brisk_value *value = value_new(VALUE_INLINE, size, size, alloc);
    if (value == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (size != 0) {
        memcpy(value->bytes, data, size);
    }
    *ret = value;
    return BRISK_OK;
}

brisk_err brisk_value_reserve(size_t size, const brisk_alloc *alloc, void **data, brisk_value **ret)
{
    BRISK_ASSERT(data != NULL);
    BRISK_ASSERT(ret != NULL);
    brisk_value *value = value_new(VALUE_INLINE, size, size, alloc);
    if (value == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *data = value->bytes;
    *ret = value;
    return BRISK_OK;
}

brisk_err brisk_value_wrap(const void *data, size_t size, void (*release)(void *ctx), void *ctx,
                           const brisk_alloc *alloc, brisk_value **ret)
{
    BRISK_ASSERT(data != NULL || size == 0);
    BRISK_ASSERT(ret != NULL);
    brisk_value *value = value_new(VALUE_WRAPPED, size, 0, alloc);
    if (value == NULL) {
        return BRISK_ERR_NOMEM;
    }
    value->data = data != NULL ? data : value->bytes; /* only a file answers NULL */
    value->u.wrapped.release = release;
    value->u.wrapped.ctx = ctx;
    *ret = value;
    return BRISK_OK;
}

brisk_err brisk_value_from_fd(int fd, uint64_t size, const brisk_alloc *alloc, brisk_value **ret)
{
    BRISK_ASSERT(ret != NULL);
    if (fd < 0) {
        return BRISK_ERR_INVALID;
    }
    brisk_value *value = value_new(VALUE_FILE, size, 0, alloc);
    if (value == NULL) {
        return BRISK_ERR_NOMEM;
    }
    value->data = NULL;
    value->u.fd = fd;
    *ret = value;
    return BRISK_OK;
}

brisk_value *brisk_value_ref(brisk_value *value)
{
    BRISK_ASSERT(value != NULL);
    /* Relaxed: who calls this owns a reference already, so nothing can be freed meanwhile. */
    uint32_t before = atomic_fetch_add_explicit(&value->refs, 1, memory_order_relaxed);
    BRISK_ASSERT(before != 0 && before != UINT32_MAX);
    return value;
}

void brisk_value_unref(brisk_value *value)
{
    if (value == NULL) {
        return;
    }
    /* Acquire: pairs with the release half of the subtractions by the other former owners. */
    uint32_t refs = atomic_load_explicit(&value->refs, memory_order_acquire);
    BRISK_ASSERT(refs != 0);
    if (refs != 1) {
        refs = atomic_fetch_sub_explicit(&value->refs, 1, memory_order_acq_rel);
        BRISK_ASSERT(refs != 0);
    }
    if (refs == 1) {
        value_free(value);
    }
}

const void *brisk_value_data(const brisk_value *value)
{
    return value->data;
}

uint64_t brisk_value_size(const brisk_value *value)
{
    return value->size;
}

int brisk_value_fd(const brisk_value *value)
{
    return value->kind == VALUE_FILE ? value->u.fd : -1;
}
