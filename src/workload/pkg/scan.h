/*
 * scan.h -- where things are in JSON text, without reading it: four bits for every byte, made
 * 64 bytes at a time.
 *
 *     quotes   a quotation mark that no backslash escapes: strings begin and end here, by turns
 *     opens    { or [ outside strings
 *     closes   } or ] outside strings
 *     special  a backslash, a control character or a byte above 0x7f: a string that has none of
 *              these is its own value
 *
 * With them the end of a string is a count of trailing zeros and the end of an object a few
 * population counts, so that what nobody asks for is stepped over at the speed of memory.  What is
 * stepped over is only known to be balanced: brackets are counted, not matched with their kind, and
 * strings in it are not looked at.
 *
 * Rules: a byte is escaped when an odd number of backslashes stands right before it, in strings and
 * outside.  Every processor path gives the same bits for the same text.
 *
 * Threads: plain functions.
 * Source: G. Langdale, D. Lemire, "Parsing Gigabytes of JSON per Second", VLDB Journal 28, 2019
 * (prefix-xor by carry-less multiplication; the code is ours).
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_SCAN_H
#define BRISK_SRC_WORKLOAD_PKG_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct scan_block {
    uint64_t quotes;
    uint64_t opens;
    uint64_t closes;
    uint64_t special;
} scan_block;

typedef enum scan_path {
    SCAN_BEST, /* what this processor does best */
    SCAN_SCALAR,
    SCAN_AVX2,
    SCAN_AVX512,
    SCAN_PATH_COUNT,
} scan_path;

enum {
    SCAN_BLOCK_BYTES = 64,
    SCAN_SIZE_MAX = 1 << 30,
};

#define SCAN_NONE UINT32_MAX /* for positions: there is none */

static inline size_t scan_block_count(size_t size)
{
    return size / SCAN_BLOCK_BYTES + 1; /* never full: a place behind the last byte exists */
}

/* Whether this processor and this build have the path. */
bool scan_path_exists(scan_path path);
/* The bits of `text` in scan_block_count(size) blocks, zeros behind the end. */
void scan_blocks(scan_path path, const char *text, size_t size, scan_block *ret);

/* --- inside the paths ---------------------------------------------------------------------- */

/* What one block hands to the next. */
typedef struct scan_carry {
    uint64_t in_string; /* all ones or zero */
    uint64_t escaped;   /* 1: the first byte of the next block is escaped */
} scan_carry;

void scan_blocks_scalar(const char *text, size_t count, scan_carry *carry, scan_block *ret);
/* What this processor has of the others; one that it has not must not be called. */
bool scan_wide_exists(scan_path path);
void scan_blocks_avx2(const char *text, size_t count, scan_carry *carry, scan_block *ret);
void scan_blocks_avx512(const char *text, size_t count, scan_carry *carry, scan_block *ret);

/* Which of 64 bytes are escaped.  Backslashes are rare, so they are gone over one by one. */
static inline uint64_t scan_escaped(uint64_t backslashes, scan_carry *carry)
{
    uint64_t escaped = carry->escaped;
    uint64_t left = backslashes & ~escaped; /* an escaped backslash escapes nothing */
    carry->escaped = 0;
    while (left != 0) {
        uint64_t first = left & (~left + 1);
        uint64_t next = first << 1;
        carry->escaped |= first >> 63;
        escaped |= next;
        left &= ~(first | next);
    }
    return escaped;
}

/* --- walking ------------------------------------------------------------------------------- */

typedef struct scan {
    const char *text;
    uint32_t size;
    const scan_block *blocks;
} scan;

/* The first unescaped quotation mark at or behind `from`, or SCAN_NONE. */
static inline uint32_t scan_quote(const scan *s, uint32_t from)
{
    uint32_t last = s->size / SCAN_BLOCK_BYTES;
    uint32_t block = from / SCAN_BLOCK_BYTES;
    if (block > last) {
        return SCAN_NONE;
    }
    uint64_t bits = s->blocks[block].quotes & (UINT64_MAX << from % SCAN_BLOCK_BYTES);
    while (bits == 0) {
        if (++block > last) {
            return SCAN_NONE;
        }
        bits = s->blocks[block].quotes;
    }
    return block * SCAN_BLOCK_BYTES + (uint32_t)__builtin_ctzll(bits);
}

/* Whether [from, to) has nothing special; from <= to <= size. */
static inline bool scan_is_plain(const scan *s, uint32_t from, uint32_t to)
{
    uint32_t block = from / SCAN_BLOCK_BYTES;
    uint32_t last = to / SCAN_BLOCK_BYTES;
    uint64_t below = (UINT64_C(1) << to % SCAN_BLOCK_BYTES) - 1;
    uint64_t bits = s->blocks[block].special & (UINT64_MAX << from % SCAN_BLOCK_BYTES);
    for (; block < last; bits = s->blocks[++block].special) {
        if (bits != 0) {
            return false;
        }
    }
    return (bits & below) == 0;
}

static inline char scan_byte(const scan *s, uint32_t at)
{
    return at < s->size ? s->text[at] : '\0';
}

static inline bool scan_is_space(char c)
{
    return (unsigned char)c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t');
}

/* The first byte at or behind `at` that is no white space; s->size when none is left. */
static inline uint32_t scan_space(const scan *s, uint32_t at)
{
    while (at < s->size && scan_is_space(s->text[at])) {
        at++;
    }
    return at;
}

/* Behind the object or array that opens at `at`, or SCAN_NONE: it does not end. */
uint32_t scan_container(const scan *s, uint32_t at);
/* Behind true, false, null or a number, or SCAN_NONE. */
uint32_t scan_word(const scan *s, uint32_t at);
/* Behind the value that begins at `at` (no space before it), or SCAN_NONE: there is no value. */
static inline uint32_t scan_value(const scan *s, uint32_t at)
{
    char first = at < s->size ? s->text[at] : '\0';
    if (first == '"') {
        uint32_t quote = scan_quote(s, at + 1);
        return quote == SCAN_NONE ? SCAN_NONE : quote + 1;
    }
    return first == '{' || first == '[' ? scan_container(s, at) : scan_word(s, at);
}

/*
 * Whether [at, end) is exactly one value of strict JSON, no deeper than `depth_max`; what
 * scan_value leaves open is looked at here.
 */
bool scan_is_strict(const scan *s, uint32_t at, uint32_t end, uint32_t depth_max);

/* --- members of an object ------------------------------------------------------------------- */

/*
 * Goes over the members of an object:
 *
 *     scan_members m = scan_members_of(s, at);
 *     while (scan_next(&m)) { ... m.key_begin .. m.key_end, value at m.value; m.end = behind it }
 *     if (m.bad) ...
 *
 * The body sets m.end to behind the value (scan_value, or a walk of its own).
 */
typedef struct scan_members {
    const scan *s;
    uint32_t key_begin; /* inside the quotation marks */
    uint32_t key_end;
    uint32_t value;
    uint32_t end;
    bool is_first;
    bool bad; /* not an object, or it breaks off */
} scan_members;

static inline scan_members scan_members_of(const scan *s, uint32_t at)
{
    bool bad = at >= s->size || s->text[at] != '{';
    return (scan_members){.s = s, .end = bad ? at : at + 1, .is_first = true, .bad = bad};
}

/* True: there is one more.  False: the object ended, and m->end is behind it, or m->bad. */
static inline bool scan_next(scan_members *m)
{
    const scan *s = m->s;
    if (m->bad) {
        return false;
    }
    m->bad = true; /* until it is known to be well formed */
    uint32_t at = m->end == SCAN_NONE ? s->size : scan_space(s, m->end);
    if (scan_byte(s, at) == '}') {
        m->end = at + 1;
        m->bad = false;
        return false;
    }
    if (!m->is_first) {
        if (scan_byte(s, at) != ',') {
            return false;
        }
        at = scan_space(s, at + 1);
    }
    uint32_t quote = scan_byte(s, at) == '"' ? scan_quote(s, at + 1) : SCAN_NONE;
    if (quote == SCAN_NONE) {
        return false;
    }
    m->key_begin = at + 1;
    m->key_end = quote;
    at = scan_space(s, quote + 1);
    if (scan_byte(s, at) != ':') {
        return false;
    }
    m->value = scan_space(s, at + 1);
    m->is_first = false;
    m->bad = m->value >= s->size;
    return !m->bad;
}

#endif /* BRISK_SRC_WORKLOAD_PKG_SCAN_H */
