/*
 * text.h -- borrowed text: where it begins and how long it is.  Never NUL-terminated by contract.
 *
 * Threads: plain data.  Ownership: whoever gives a text says how long it lives.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_TEXT_H
#define BRISK_SRC_WORKLOAD_PKG_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct pkg_text {
    const char *data; /* may be NULL when size is 0 */
    size_t size;
} pkg_text;

#define PKG_TEXT(literal) ((pkg_text){.data = (literal), .size = sizeof(literal) - 1})

static inline pkg_text pkg_text_of(const char *text)
{
    return (pkg_text){.data = text, .size = text != NULL ? strlen(text) : 0};
}

static inline bool pkg_text_equal(pkg_text a, pkg_text b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool pkg_text_is(pkg_text a, const char *text)
{
    return pkg_text_equal(a, pkg_text_of(text));
}

/* By bytes, a prefix first: how everything that is sorted by name is sorted. */
static inline int pkg_text_compare(pkg_text a, pkg_text b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size > 0 ? memcmp(a.data, b.data, size) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* The same in every process and on every machine: it is stored. */
uint64_t pkg_text_hash(pkg_text text);

#endif /* BRISK_SRC_WORKLOAD_PKG_TEXT_H */
