/*
 * glob.c -- matching with one place to go back to.
 *
 * When something does not match, only the last '*' needs to take one byte more: whatever an earlier
 * one could take, the last one can, too.  So there is no recursion, and no pattern is exponential.
 *
 * It can still be quadratic ("*aaaa...b" on "aaaa..."), which long patterns and texts make seconds:
 * going back costs effort, of which a command has only so much.
 */
#include "daemon/glob.h"

static unsigned char fold(unsigned char c, bool ignore_case)
{
    return ignore_case && c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

/* The set that begins at pattern[*at] ('['); *at moves behind it. */
static bool set_matches(resp_bytes pattern, size_t *at, unsigned char c, bool ignore_case)
{
    size_t i = *at + 1;
    bool negate = i < pattern.size && pattern.data[i] == '^';
    bool found = false;
    i += negate ? 1 : 0;
    while (i < pattern.size && pattern.data[i] != ']') {
        unsigned char low = pattern.data[i];
        if (low == '\\' && i + 1 < pattern.size) {
            low = pattern.data[++i];
        }
        unsigned char high = low;
        if (i + 2 < pattern.size && pattern.data[i + 1] == '-' && pattern.data[i + 2] != ']') {
            high = pattern.data[i + 2];
            i += 2;
        }
        if (low > high) {
            unsigned char swap = low;
            low = high;
            high = swap;
        }
        unsigned char folded = fold(c, ignore_case);
        found = found || (folded >= fold(low, ignore_case) && folded <= fold(high, ignore_case));
        i++;
    }
    *at = i < pattern.size ? i + 1 : i;
    return found != negate;
}

/* One element of the pattern against one byte; *at moves behind the element. */
static bool element_matches(resp_bytes pattern, size_t *at, unsigned char c, bool ignore_case)
{
    unsigned char p = pattern.data[*at];
    if (p == '[') {
        return set_matches(pattern, at, c, ignore_case);
    }
    if (p == '\\' && *at + 1 < pattern.size) {
        p = pattern.data[++*at];
    } else if (p == '?') {
        ++*at;
        return true;
    }
    ++*at;
    return fold(p, ignore_case) == fold(c, ignore_case);
}

bool glob_match(resp_bytes pattern, resp_bytes text, bool ignore_case)
{
    uint64_t effort = GLOB_EFFORT;
    return glob_match_within(pattern, text, ignore_case, &effort);
}

bool glob_match_within(resp_bytes pattern, resp_bytes text, bool ignore_case, uint64_t *effort)
{
    if (pattern.size > GLOB_PATTERN_MAX) {
        return false;
    }
    size_t p = 0;
    size_t t = 0;
    size_t star = SIZE_MAX; /* behind the last '*' ... */
    size_t taken = 0;       /* ... which reaches to here */
    while (t < text.size) {
        if (p < pattern.size && pattern.data[p] == '*') {
            star = ++p;
            taken = t;
            continue;
        }
        size_t next = p;
        if (p < pattern.size && element_matches(pattern, &next, text.data[t], ignore_case)) {
            p = next;
            t++;
            continue;
        }
        if (star == SIZE_MAX) {
            return false;
        }
        size_t lost = next - star; /* what was compared for nothing */
        if (lost > *effort) {
            *effort = 0;
            return false;
        }
        *effort -= lost > GLOB_FREE ? lost : 0;
        p = star;
        t = ++taken;
    }
    while (p < pattern.size && pattern.data[p] == '*') {
        p++;
    }
    return p == pattern.size;
}
