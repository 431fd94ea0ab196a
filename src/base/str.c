/*
 * str.c -- the string builder behind base/str.h.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/str.h"

enum { CAPACITY_FIRST = 64 };

void brisk_str_init(brisk_str *str, const brisk_alloc *alloc, size_t limit)
{
    BRISK_ASSERT(limit < SIZE_MAX / 2);
    *str = (brisk_str){.alloc_ = alloc != NULL ? alloc : brisk_alloc_libc(), .limit_ = limit};
}

void brisk_str_deinit(brisk_str *str)
{
    if (str->data_ != NULL) {
        str->alloc_->release(str->alloc_->ctx, str->data_, str->capacity_, 1);
    }
    *str = (brisk_str){.alloc_ = str->alloc_, .limit_ = str->limit_};
}

/* Room for `more` bytes and the NUL, or the error is kept. */
static bool reserve(brisk_str *str, size_t more)
{
    if (str->err_ != BRISK_OK) {
        return false;
    }
    if (more > str->limit_ - str->size_) {
        str->err_ = BRISK_ERR_LIMIT;
        return false;
    }
    size_t wanted = str->size_ + more + 1;
    if (wanted <= str->capacity_) {
        return true;
    }
    size_t capacity = str->capacity_ != 0 ? str->capacity_ : CAPACITY_FIRST;
    while (capacity < wanted) {
        capacity *= 2; /* limit < SIZE_MAX / 2: no overflow */
    }
    char *data = str->alloc_->acquire(str->alloc_->ctx, capacity, 1);
    if (data == NULL) {
        str->err_ = BRISK_ERR_NOMEM;
        return false;
    }
    if (str->data_ != NULL) {
        memcpy(data, str->data_, str->size_);
        str->alloc_->release(str->alloc_->ctx, str->data_, str->capacity_, 1);
    }
    data[str->size_] = '\0';
    str->data_ = data;
    str->capacity_ = capacity;
    return true;
}

void brisk_str_append(brisk_str *str, const char *data, size_t size)
{
    if (size != 0 && reserve(str, size)) {
        memcpy(str->data_ + str->size_, data, size);
        str->size_ += size;
        str->data_[str->size_] = '\0';
    }
}

void brisk_str_add(brisk_str *str, const char *text)
{
    brisk_str_append(str, text, strlen(text));
}

void brisk_str_printf(brisk_str *str, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    if (size > 0 && reserve(str, (size_t)size)) {
        (void)vsnprintf(str->data_ + str->size_, (size_t)size + 1, format, again);
        str->size_ += (size_t)size;
    }
    va_end(again);
    va_end(args);
}

void brisk_str_cut(brisk_str *str, size_t size)
{
    BRISK_ASSERT(size <= str->size_);
    if (str->data_ != NULL) {
        str->size_ = size;
        str->data_[size] = '\0';
    }
}

const char *brisk_str_text(const brisk_str *str)
{
    return str->data_ != NULL ? str->data_ : "";
}

size_t brisk_str_size(const brisk_str *str)
{
    return str->size_;
}

brisk_err brisk_str_err(const brisk_str *str)
{
    return str->err_;
}

static brisk_err write_str(void *ctx, const char *data, size_t size)
{
    brisk_str_append(ctx, data, size);
    return brisk_str_err(ctx);
}

brisk_out brisk_str_out(brisk_str *str)
{
    return (brisk_out){.write = write_str, .ctx = str};
}
