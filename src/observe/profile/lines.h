/*
 * lines.h -- text line by line, in hostile bytes: a line is a piece of them, without its end.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_LINES_H
#define BRISK_SRC_OBSERVE_PROFILE_LINES_H

#include <stdbool.h>
#include <string.h>

#include "observe/profile/import.h"

typedef struct prof_piece {
    const char *text;
    size_t size;
} prof_piece;

typedef struct prof_lines {
    const char *at;
    const char *end;
    uint64_t number; /* of the last line, from 1 */
} prof_lines;

static inline prof_lines prof_lines_of(prof_bytes bytes)
{
    return (prof_lines){(const char *)bytes.data, (const char *)bytes.data + bytes.size, 0};
}

static inline bool prof_lines_next(prof_lines *lines, prof_piece *ret)
{
    if (lines->at == lines->end) {
        return false;
    }
    const char *end = memchr(lines->at, '\n', (size_t)(lines->end - lines->at));
    const char *stop = end != NULL ? end : lines->end;
    *ret = (prof_piece){lines->at, (size_t)(stop - lines->at)};
    if (ret->size > 0 && ret->text[ret->size - 1] == '\r') {
        ret->size--;
    }
    lines->at = end != NULL ? end + 1 : lines->end;
    lines->number++;
    return true;
}

static inline bool prof_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static inline prof_piece prof_trimmed(prof_piece p)
{
    while (p.size > 0 && prof_is_blank(p.text[0])) {
        p.text++;
        p.size--;
    }
    while (p.size > 0 && prof_is_blank(p.text[p.size - 1])) {
        p.size--;
    }
    return p;
}

/* All of it as a number in base 10 or 16; false: it is none, or above 64 bits. */
static inline bool prof_number(prof_piece p, unsigned base, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < p.size; i++) {
        char c = p.text[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 99;
        if (digit >= base || __builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value)) {
            return false;
        }
    }
    *ret = value;
    return p.size > 0;
}

#endif /* BRISK_SRC_OBSERVE_PROFILE_LINES_H */
