/*
 * value.c -- immutable, reference-counted bytes behind <brisk/value.h>.
 *
 * One allocation per value: the header, and for copied or reserved values the bytes right behind
 * it, so that a small value is one or two cache lines.
 *
 * Small values are recycled: see value_blocks.h.
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
#include "cache/value_blocks.h"

static const size_t value_align = _Alignof(struct brisk_value);

#if defined(__SANITIZE_ADDRESS__)
#    define VALUES_ARE_WATCHED 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#        define VALUES_ARE_WATCHED 1
#    endif
#endif

#if defined(VALUES_ARE_WATCHED)
static const bool recycling = false; /* so that every use after free is found */
#else
static const bool recycling = true;
#endif

_Thread_local value_blocks value_kept __attribute__((tls_model("initial-exec")));
static pthread_key_t end_key;
static bool end_key_made;
static pthread_once_t end_key_once = PTHREAD_ONCE_INIT;

static void release_block(brisk_value *block, uint32_t block_class)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    alloc->release(alloc->ctx, block, (block_class + 1) * (size_t)VALUE_BLOCK_BYTES, value_align);
}

static void on_thread_end(void *value)
{
    (void)value;
    value_kept.open = false;
    for (uint32_t i = 0; i < VALUE_BLOCK_CLASSES; i++) {
        value_block_list *list = &value_kept.lists[i];
        while (list->head != NULL) {
            brisk_value *block = list->head;
            list->head = block->u.next;
            release_block(block, i);
        }
        list->room = 0;
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
    value_kept.open = end_key_made && pthread_setspecific(end_key, &value_kept) == 0;
    for (uint32_t i = 0; value_kept.open && i < VALUE_BLOCK_CLASSES; i++) {
        value_kept.lists[i].room = VALUE_BLOCKS_KEPT;
    }
    return value_kept.open;
}

/* Keep a block that is nobody's; false when there are enough, or the thread keeps none. */
static inline bool keep_block(brisk_value *value)
{
    value_block_list *list = &value_kept.lists[value->block_class];
    if (list->room == 0) {
        return false;
    }
    value->u.next = list->head;
    list->head = value;
    list->room--;
    return true;
}

/* A header with `extra` bytes behind it, owned by one; NULL when memory is exhausted. */
static brisk_value *value_new(enum value_kind kind, uint64_t size, size_t extra,
                              const brisk_alloc *alloc)
{
    const brisk_alloc *libc = brisk_alloc_libc();
    alloc = alloc != NULL ? alloc : libc;
    size_t bytes = sizeof(struct brisk_value) + extra;
    if (bytes < extra) {
        return NULL;
    }
    uint32_t block_class = 0;
    if (recycling && kind == VALUE_INLINE && alloc == libc && bytes <= VALUE_BLOCKS_MAX) {
        brisk_value *kept = value_take_kept(extra);
        if (kept != NULL) {
            return kept;
        }
        kind = VALUE_RECYCLED;
        block_class = value_block_class(extra);
        bytes = (block_class + 1) * (size_t)VALUE_BLOCK_BYTES;
    }
    brisk_value *value = alloc->acquire(alloc->ctx, bytes, value_align);
    if (value == NULL) {
        return NULL;
    }
    atomic_init(&value->refs, 1);
    value->kind = (uint16_t)kind;
    value->block_class = (uint16_t)block_class;
    value->size = size;
    value->alloc = alloc;
    value->data = value->bytes;
    return value;
}

__attribute__((noinline)) static void value_free(brisk_value *value)
{
    if (value->kind == VALUE_RECYCLED) {
        if (value_kept.open || !open_thread() || !keep_block(value)) {
            release_block(value, value->block_class);
        }
        return;
    }
    if (value->kind == VALUE_WRAPPED && value->u.wrapped.release != NULL) {
        value->u.wrapped.release(value->u.wrapped.ctx);
    } else if (value->kind == VALUE_FILE) {
        (void)close(value->u.fd);
    }
    bool inside = value->kind == VALUE_INLINE || value->kind == VALUE_ROOMY;
    size_t extra = inside ? (size_t)value_held(value) : 0;
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

brisk_err value_reserve_room(uint64_t size, uint64_t capacity, const brisk_alloc *alloc,
                             brisk_value **ret)
{
    BRISK_ASSERT(size <= capacity);
    brisk_value *value = value_new(VALUE_ROOMY, size, (size_t)capacity, alloc);
    if (value == NULL) {
        return BRISK_ERR_NOMEM;
    }
    value->u.capacity = capacity;
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

/* There are other owners, or were a moment ago. */
__attribute__((noinline)) static void unref_shared(brisk_value *value)
{
    uint32_t refs = atomic_fetch_sub_explicit(&value->refs, 1, memory_order_acq_rel);
    BRISK_ASSERT(refs != 0);
    if (refs != 1) {
        return;
    }
    atomic_store_explicit(&value->refs, 1, memory_order_relaxed); /* as the last owner left it */
    if (value->kind != VALUE_RECYCLED || !keep_block(value)) {
        value_free(value);
    }
}

void brisk_value_unref(brisk_value *value)
{
    if (value == NULL) {
        return;
    }
    /* Acquire: pairs with the release half of the subtractions by the other former owners. */
    uint32_t refs = atomic_load_explicit(&value->refs, memory_order_acquire);
    if (__builtin_expect(refs != 1, 0)) {
        unref_shared(value); /* asserts that there is an owner at all */
    } else if (__builtin_expect(value->kind != VALUE_RECYCLED, 0) || !keep_block(value)) {
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
