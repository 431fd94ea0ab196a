/*
 * str.h -- a bounded string builder over brisk_alloc.
 *
 * The first failure (memory, or more than `limit` bytes) is kept, later appends do nothing: build
 * first, ask brisk_str_err once.  The text is always terminated; NULs inside are the caller's.
 */
#ifndef BRISK_SRC_BASE_STR_H
#define BRISK_SRC_BASE_STR_H

#include <stddef.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>
#include <brisk/json.h>

typedef struct brisk_str {
    const brisk_alloc *alloc_;
    char *data_;
    size_t size_;
    size_t capacity_;
    size_t limit_;
    brisk_err err_;
} brisk_str;

/* Empty; `limit` is the most bytes without the NUL.  `alloc` is borrowed, NULL means libc. */
void brisk_str_init(brisk_str *str, const brisk_alloc *alloc, size_t limit);
/* Free the text; afterwards the builder is empty and usable. */
void brisk_str_deinit(brisk_str *str);
void brisk_str_append(brisk_str *str, const char *data, size_t size);
void brisk_str_add(brisk_str *str, const char *text);
void brisk_str_printf(brisk_str *str, const char *format, ...) BRISK_PRINTF(2, 3);
/* Cut to `size` bytes, which must not be more than there are. */
void brisk_str_cut(brisk_str *str, size_t size);
/* The text, "" when empty; valid until the next change. */
const char *brisk_str_text(const brisk_str *str);
size_t brisk_str_size(const brisk_str *str);
/* BRISK_OK, BRISK_ERR_NOMEM or BRISK_ERR_LIMIT. */
brisk_err brisk_str_err(const brisk_str *str);
/* The builder as an output, for the JSON writer. */
brisk_out brisk_str_out(brisk_str *str);

#endif /* BRISK_SRC_BASE_STR_H */
