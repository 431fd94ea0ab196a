/*
 * brisk/value.h -- what the cache stores: immutable, reference-counted bytes.
 *
 * A value is bytes in memory, or a whole file held open (for large results that are cloned into
 * place instead of being read).  The cache never points into an arena.
 *
 * Every create fails only with the errors named and then leaves its arguments alone: `release` is
 * not called and `fd` stays open and the caller's.  `alloc` is borrowed, NULL means libc, and must
 * outlive the value.
 *
 * Threads: ref and unref from any thread; the bytes never change.
 */
#ifndef BRISK_VALUE_H
#define BRISK_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

/** Above this many bytes a value lives in a file of its own in the disk tier. */
enum { BRISK_VALUE_LARGE_BYTES = 1048576 };

typedef struct brisk_value brisk_value;

/** A value with a copy of the bytes.  Errors: NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_value_copy(const void *data, size_t size,
                                                     const brisk_alloc *alloc, brisk_value **ret);
/** A value with `size` bytes to be filled through *data before anybody else sees it.
 *  Errors: NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_value_reserve(size_t size, const brisk_alloc *alloc,
                                                        void **data, brisk_value **ret);
/** A value over foreign bytes; `release(ctx)` (may be NULL) is called once, with the last reference.
 *  Errors: NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_value_wrap(const void *data, size_t size,
                                                     void (*release)(void *ctx), void *ctx,
                                                     const brisk_alloc *alloc, brisk_value **ret);
/** A value that is the first `size` bytes of `fd`; on success the value owns and closes `fd`.
 *  Errors: INVALID (negative fd), NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_value_from_fd(int fd, uint64_t size,
                                                        const brisk_alloc *alloc,
                                                        brisk_value **ret);
/** One more owner.  Returns `value`. */
BRISK_API brisk_value *brisk_value_ref(brisk_value *value);
/** One owner less.  NULL is accepted. */
BRISK_API void brisk_value_unref(brisk_value *value);
/** The bytes, or NULL for a value that is a file. */
BRISK_API const void *brisk_value_data(const brisk_value *value);
BRISK_API uint64_t brisk_value_size(const brisk_value *value);
/** The file behind the value (borrowed), or -1. */
BRISK_API int brisk_value_fd(const brisk_value *value);

BRISK_END_DECLS

#endif /* BRISK_VALUE_H */
