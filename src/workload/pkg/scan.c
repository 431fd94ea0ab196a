/*
 * scan.c -- the scalar path, the choice of a path, and walking over values by their bits.
 *
 * Idea and rules: scan.h.
 */
#include "workload/pkg/scan.h"

#include <string.h>

#include "base/assert.h"

/* --- bits ----------------------------------------------------------------------------------- */

/* For processors without more, and as what the other paths are compared with: byte by byte. */
void scan_blocks_scalar(const char *text, size_t count, scan_carry *carry, scan_block *ret)
{
    bool in_string = carry->in_string != 0;
    bool escaped = carry->escaped != 0;
    for (size_t i = 0; i < count; i++) {
        scan_block block = {0};
        for (uint32_t bit = 0; bit < SCAN_BLOCK_BYTES; bit++) {
            unsigned char c = (unsigned char)text[i * SCAN_BLOCK_BYTES + bit];
            uint64_t mask = UINT64_C(1) << bit;
            if (c < 0x20 || c > 0x7f || c == '\\') {
                block.special |= mask;
            }
            if (c == '"' && !escaped) {
                block.quotes |= mask;
                in_string = !in_string;
            } else if ((c == '{' || c == '[') && !in_string) {
                block.opens |= mask;
            } else if ((c == '}' || c == ']') && !in_string) {
                block.closes |= mask;
            }
            escaped = c == '\\' && !escaped;
        }
        ret[i] = block;
    }
    carry->in_string = in_string ? UINT64_MAX : 0;
    carry->escaped = escaped ? 1 : 0;
}

bool scan_path_exists(scan_path path)
{
    return path == SCAN_BEST || path == SCAN_SCALAR || scan_wide_exists(path);
}

typedef void blocks_function(const char *text, size_t count, scan_carry *carry, scan_block *ret);

static blocks_function *function_of(scan_path path)
{
    bool best = path == SCAN_BEST;
    if ((best || path == SCAN_AVX512) && scan_wide_exists(SCAN_AVX512)) {
        return scan_blocks_avx512;
    }
    if ((best || path == SCAN_AVX2) && scan_wide_exists(SCAN_AVX2)) {
        return scan_blocks_avx2;
    }
    return scan_blocks_scalar;
}

void scan_blocks(scan_path path, const char *text, size_t size, scan_block *ret)
{
    scan_carry carry = {0};
    size_t full = size / SCAN_BLOCK_BYTES;
    blocks_function *blocks_of = function_of(path);
    blocks_of(text, full, &carry, ret);
    char tail[SCAN_BLOCK_BYTES];
    size_t rest = size - full * SCAN_BLOCK_BYTES;
    memset(tail, ' ', sizeof tail); /* has no bit in any mask */
    memcpy(tail, text + full * SCAN_BLOCK_BYTES, rest);
    blocks_of(tail, 1, &carry, ret + full);
}

/* --- values --------------------------------------------------------------------------------- */

/* One more than the bit that brings `depth` to 0; 0: none in this block does. */
static uint32_t close_in(uint64_t opens, uint64_t closes, uint32_t depth)
{
    while (closes != 0) {
        uint64_t before = (closes & (~closes + 1)) - 1;
        depth += (uint32_t)__builtin_popcountll(opens & before);
        if (--depth == 0) {
            return (uint32_t)__builtin_ctzll(closes) + 1;
        }
        opens &= ~before;
        closes &= closes - 1;
    }
    return 0;
}

uint32_t scan_container(const scan *s, uint32_t at)
{
    BRISK_ASSERT(at < s->size);
    uint32_t last = s->size / SCAN_BLOCK_BYTES;
    uint64_t from = UINT64_MAX << at % SCAN_BLOCK_BYTES;
    uint32_t depth = 0;
    for (uint32_t block = at / SCAN_BLOCK_BYTES; block <= last; block++) {
        uint64_t opens = s->blocks[block].opens & from;
        uint64_t closes = s->blocks[block].closes & from;
        from = UINT64_MAX;
        uint32_t closing = (uint32_t)__builtin_popcountll(closes);
        uint32_t end = closing >= depth ? close_in(opens, closes, depth) : 0;
        if (end != 0) {
            return block * SCAN_BLOCK_BYTES + end;
        }
        depth += (uint32_t)__builtin_popcountll(opens) - closing;
    }
    return SCAN_NONE;
}

static uint32_t word(const scan *s, uint32_t at, const char *text)
{
    size_t size = strlen(text);
    bool is = s->size - at >= size && memcmp(s->text + at, text, size) == 0;
    return is ? at + (uint32_t)size : SCAN_NONE;
}

static uint32_t digits(const scan *s, uint32_t at)
{
    uint32_t begin = at;
    while (at < s->size && s->text[at] >= '0' && s->text[at] <= '9') {
        at++;
    }
    return at > begin ? at : SCAN_NONE;
}

static uint32_t number(const scan *s, uint32_t at)
{
    if (scan_byte(s, at) == '-') {
        at++;
    }
    at = scan_byte(s, at) == '0' ? at + 1 : digits(s, at);
    if (at != SCAN_NONE && scan_byte(s, at) == '.') {
        at = digits(s, at + 1);
    }
    if (at != SCAN_NONE && (scan_byte(s, at) == 'e' || scan_byte(s, at) == 'E')) {
        at++;
        if (scan_byte(s, at) == '+' || scan_byte(s, at) == '-') {
            at++;
        }
        at = digits(s, at);
    }
    return at;
}

uint32_t scan_word(const scan *s, uint32_t at)
{
    if (at >= s->size) {
        return SCAN_NONE;
    }
    switch (s->text[at]) {
    case 't': return word(s, at, "true");
    case 'f': return word(s, at, "false");
    case 'n': return word(s, at, "null");
    default: return number(s, at);
    }
}

/* --- strict ---------------------------------------------------------------------------------- */

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Escapes and control characters of the string inside [from, to). */
static bool string_is_strict(const scan *s, uint32_t from, uint32_t to)
{
    if (scan_is_plain(s, from, to)) {
        return true;
    }
    for (uint32_t i = from; i < to; i++) {
        unsigned char c = (unsigned char)s->text[i];
        if (c < 0x20) {
            return false;
        }
        if (c != '\\') {
            continue;
        }
        c = (unsigned char)s->text[++i]; /* the closing mark is not escaped, so i < to */
        if (c == 'u') {
            for (uint32_t digit = 0; digit < 4; digit++) {
                if (++i >= to || !is_hex(s->text[i])) {
                    return false;
                }
            }
        } else if (c == '\0' || strchr("\"\\/bfnrt", c) == NULL) {
            return false;
        }
    }
    return true;
}

/* A string at `at`; behind it, or SCAN_NONE. */
static uint32_t strict_string(const scan *s, uint32_t at)
{
    uint32_t quote = scan_byte(s, at) == '"' ? scan_quote(s, at + 1) : SCAN_NONE;
    return quote != SCAN_NONE && string_is_strict(s, at + 1, quote) ? quote + 1 : SCAN_NONE;
}

/* A key and its colon; the place of the value, or SCAN_NONE. */
static uint32_t strict_key(const scan *s, uint32_t at)
{
    at = strict_string(s, at);
    at = at == SCAN_NONE ? SCAN_NONE : scan_space(s, at);
    return at != SCAN_NONE && scan_byte(s, at) == ':' ? scan_space(s, at + 1) : SCAN_NONE;
}

enum { STRICT_DEPTH_MAX = 256 };

bool scan_is_strict(const scan *s, uint32_t at, uint32_t end, uint32_t depth_max)
{
    BRISK_ASSERT(depth_max <= STRICT_DEPTH_MAX);
    char open[STRICT_DEPTH_MAX];
    uint32_t depth = 0;
    for (;;) { /* one value each time; `at` is where it begins */
        char c = scan_byte(s, at);
        if (c == '{' || c == '[') {
            if (depth == depth_max) {
                return false;
            }
            open[depth++] = c == '{' ? '}' : ']';
            at = scan_space(s, at + 1);
            if (scan_byte(s, at) != open[depth - 1]) {
                at = c == '{' ? strict_key(s, at) : at;
                if (at == SCAN_NONE) {
                    return false;
                }
                continue;
            }
        } else {
            at = c == '"' ? strict_string(s, at) : scan_value(s, at);
            if (at == SCAN_NONE) {
                return false;
            }
        }
        for (;;) { /* behind a value, or on the bracket that closes an empty container */
            if (depth == 0) {
                return at == end;
            }
            at = scan_space(s, at);
            if (scan_byte(s, at) == ',') {
                at = scan_space(s, at + 1);
                at = open[depth - 1] == '}' ? strict_key(s, at) : at;
                break;
            }
            if (scan_byte(s, at) != open[depth - 1]) {
                return false;
            }
            depth--;
            at++;
        }
        if (at == SCAN_NONE) {
            return false;
        }
    }
}
