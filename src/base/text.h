/*
 * text.h -- what YAML, knobs, errors and log share: plain numbers, plain text, and "did you
 * mean".  What command line and tools share as well is <brisk/text.h>.
 */
#ifndef BRISK_SRC_BASE_TEXT_H
#define BRISK_SRC_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include <brisk/base.h>
#include <brisk/err.h>
#include <brisk/text.h>

/*
 * All of `text` as an unsigned number: decimal, or hexadecimal after 0x; `_` may stand between
 * digits; a decimal does not begin with 0 (others read that as octal), except 0 itself.
 * Errors: BRISK_ERR_INVALID, BRISK_ERR_LIMIT (above UINT64_MAX).
 */
BRISK_NODISCARD brisk_err brisk_text_u64(const char *text, uint64_t *ret);

/*
 * Replace what a terminal would obey by '?': control characters, those of C1 in UTF-8 (U+009B begins
 * an escape sequence, too) included.
 */
void brisk_text_make_plain(char *text, size_t size);

/* Length of the well-formed UTF-8 sequence at `s`, of `left` > 0 bytes; 0 when there is none (Unicode, table 3-7). */
size_t brisk_text_utf8(const unsigned char *s, size_t left);

/*
 * Edit distance (insert, delete, replace, swap neighbours), case ignored, or `limit` + 1 when it
 * is larger than `limit` or a text is longer than 64 bytes.
 */
size_t brisk_text_distance(const char *a, const char *b, size_t limit);

/* The nearest name seen so far: zero it, offer every candidate, then look at `name`. */
typedef struct brisk_text_nearest {
    const char *name; /* NULL when nothing was near enough to be meant */
    size_t distance;
} brisk_text_nearest;

void brisk_text_offer(brisk_text_nearest *nearest, const char *wanted, const char *candidate);

#endif /* BRISK_SRC_BASE_TEXT_H */
