/*
 * packument_text.h -- texts of a packument: strings without their escapes, digests, dates.
 *
 * Threads: plain functions.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_PACKUMENT_TEXT_H
#define BRISK_SRC_WORKLOAD_PKG_PACKUMENT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workload/pkg/text.h"

enum { PACKUMENT_TEXT_GROWTH = 3 }; /* a bad byte becomes three */

/*
 * The inside of a JSON string, unescaped, to `to` (PACKUMENT_TEXT_GROWTH times its size); false: a
 * control character, or an escape that is none.  Lone surrogates and bad UTF-8 become U+FFFD.
 */
bool packument_unescape(pkg_text inside, char *to, size_t *ret_size);
/* A copy in which bad UTF-8 became U+FFFD; its size. */
size_t packument_repair(pkg_text text, char *to);
/* `size` bytes of base64 with padding, in its one canonical form; false: it is not that. */
bool packument_base64(pkg_text text, unsigned char *to, size_t size);
bool packument_hex(pkg_text text, unsigned char *to, size_t size);
/* "2019-02-03T04:05:06.789Z" and what else of ISO 8601 JavaScript reads; false: it is no date. */
bool packument_time(pkg_text text, int64_t *ret_ms);

#endif /* BRISK_SRC_WORKLOAD_PKG_PACKUMENT_TEXT_H */
