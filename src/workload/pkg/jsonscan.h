/*
 * jsonscan.h -- a cursor over JSON that builds nothing: for locks, which are large and whose shape
 * is known.
 *
 * Each call moves past what it names, or fails; after a failure every call fails.  What is passed
 * over is checked like what is read: the text is strict RFC 8259 in UTF-8, of depth
 * <= PKG_JSON_DEPTH_MAX.  jsontext.h makes values; this is what to use where a value would only be
 * taken apart again.
 *
 * Threads: one at a time.  Source: RFC 8259.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_JSONSCAN_H
#define BRISK_SRC_WORKLOAD_PKG_JSONSCAN_H

#include "workload/pkg/jsontext.h"

/* Is one of eight bytes a quote, a backslash, below 0x20 or above 0x7f? */
static inline bool pkg_scan_special(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t highs = UINT64_C(0x8080808080808080);
    uint64_t quote = word ^ (ones * '"');
    uint64_t slash = word ^ (ones * '\\');
    uint64_t zero = ((quote - ones) & ~quote) | ((slash - ones) & ~slash);
    return ((zero | (word - ones * 0x20) | word) & highs) != 0;
}

typedef struct pkg_scan {
    const char *begin;
    const char *at;
    const char *end;
    brisk_err err; /* the first; OK as long as all is well */
    const char *message;
    const char *where; /* of the failure */
} pkg_scan;

void pkg_scan_init(pkg_scan *scan, pkg_text text);
/* Fail here, with words that live for ever. */
bool pkg_scan_fail(pkg_scan *scan, brisk_err err, const char *message);
/* `info` of a failure at byte `where`: "line 3, column 7: message". */
brisk_err pkg_scan_report(const pkg_scan *scan, brisk_errinfo *info);
/* Line of `where`, from 1. */
uint32_t pkg_scan_line(const pkg_scan *scan, const char *where);

/* pkg_scan_peek where there is white space, the end, or a failure. */
char pkg_scan_peek_far(pkg_scan *scan);
/* What comes next, white space passed over; '\0' at the end. */
static inline char pkg_scan_peek(pkg_scan *scan)
{
    bool here = scan->err == BRISK_OK && scan->at<scan->end && * scan->at> ' ';
    return here ? *scan->at : pkg_scan_peek_far(scan);
}
/* `c` itself, or fail. */
bool pkg_scan_take(pkg_scan *scan, char c, const char *message);
/*
 * A text between quotes: *raw is what stands there, escapes and all (without the quotes); *plain
 * says that there are none.
 */
bool pkg_scan_string(pkg_scan *scan, pkg_text *raw, bool *plain);
/* Any value, with what is below it: *raw is all of it. */
bool pkg_scan_value(pkg_scan *scan, pkg_text *raw);
/* true or false. */
bool pkg_scan_bool(pkg_scan *scan, bool *ret);
/*
 * for (bool more = pkg_scan_enter(s, '{'); more; more = pkg_scan_more(s, '}')) { key, value }
 * False at the end of the object or array, and after a failure.
 */
bool pkg_scan_enter(pkg_scan *scan, char open);
bool pkg_scan_more(pkg_scan *scan, char close);
/* A key and its colon. */
bool pkg_scan_key(pkg_scan *scan, pkg_text *raw, bool *plain);
/* Is all read? White space may follow. */
bool pkg_scan_end(pkg_scan *scan);

/* `raw` as UTF-8: itself when plain, a copy in the arena otherwise (lone surrogates become U+FFFD).
 * False: out of memory. */
bool pkg_scan_unescape(brisk_arena *arena, pkg_text raw, bool plain, pkg_text *ret);

#endif /* BRISK_SRC_WORKLOAD_PKG_JSONSCAN_H */
