/*
 * nice.h -- JSON text as npm writes it into a lock: JSON.stringify's escapes and indent, the
 * members of every object in npm's order.
 *
 * brisk/json.h is for reports: it escapes more and keeps the order of its calls.
 *
 * Threads: one at a time.  Source: ECMA-262, JSON.stringify.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_NICE_H
#define BRISK_SRC_WORKLOAD_PKG_NICE_H

#include <brisk/json.h>

#include "workload/pkg/jsontext.h"

enum { PKG_NICE_BUFFER_BYTES = 65536 };

typedef struct pkg_nice {
    brisk_out out;
    brisk_arena *scratch;
    char *buffer; /* of PKG_NICE_BUFFER_BYTES */
    size_t used;
    pkg_text indent;
    pkg_text newline;
    uint32_t depth;
    bool open; /* something was written on this level */
    brisk_err err;
} pkg_nice;

/*
 * The indent is cut at ten characters, as JSON.stringify does; a newline of more than 256 bytes (a
 * lock may begin with a million empty lines) is "\n".  Errors: NOMEM.
 */
brisk_err pkg_nice_init(pkg_nice *nice, brisk_out out, brisk_arena *scratch, pkg_text indent,
                        pkg_text newline);
/* A newline, and everything out.  Errors: the first of the output, NOMEM, CORRUPT (a raw value). */
brisk_err pkg_nice_finish(pkg_nice *nice);

/* `open` is '{' or '['; the other of the pair closes. */
void pkg_nice_begin(pkg_nice *nice, char open);
void pkg_nice_end(pkg_nice *nice, char close);
/* The member's name, unescaped UTF-8; its value must follow. */
void pkg_nice_key(pkg_nice *nice, pkg_text key);
/* Before each element of an array. */
void pkg_nice_element(pkg_nice *nice);
void pkg_nice_text(pkg_nice *nice, pkg_text text);
void pkg_nice_word(pkg_nice *nice, const char *word); /* true, 3 */
/* A raw JSON value, sorted; of members of the same name the last. */
void pkg_nice_raw(pkg_nice *nice, pkg_text raw);

#endif /* BRISK_SRC_WORKLOAD_PKG_NICE_H */
