/*
 * value.c -- immutable, reference-counted bytes behind <brisk/value.h>.
 *
 * One allocation per value: the header, and for copied or reserved values the bytes right behind
 * it, so that a small value is one or two cache lines.
 *
 * Threads: only an owner can make another owner, so a thread that reads refs == 1 is the last one
 * and may free without an atomic subtraction; that saves the locked instruction on the common
 * path (get, use, unref), which would also keep later loads of the same thread from starting.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <brisk/value.h>

#include "base/assert.h"

enum value_kind { VALUE_INLINE, VALUE_WRAPPED, VALUE_FILE };

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

/* A header with `extra` bytes behind it, owned by one; NULL when memory is exhausted. */
static brisk_value *value_new(enum value_kind kind, uint64_t size, size_t extra,
                              const brisk_alloc *alloc)
{
    if (extra > SIZE_MAX - sizeof(struct brisk_value)) {
        return NULL;
    }
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    brisk_value *value = alloc->acquire(alloc->ctx, sizeof *value + extra, value_align);
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
    size_t extra = value->kind == VALUE_INLINE ? (size_t)value->size : 0;
    if (value->kind == VALUE_WRAPPED && value->u.wrapped.release != NULL) {
        value->u.wrapped.release(value->u.wrapped.ctx);
    } else if (value->kind == VALUE_FILE) {
        (void)close(value->u.fd);
    }
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
