/*
 * range.c -- a list of ranges against a size.
 *
 * Invariant of a set: ranges are within the size, and no two overlap or touch.
 */
#include "daemon/files/range.h"

#include <stdbool.h>
#include <strings.h>

static void skip_blanks(http_text *rest)
{
    while (rest->size > 0 && (rest->data[0] == ' ' || rest->data[0] == '\t')) {
        rest->data++;
        rest->size--;
    }
}

/* Digits at the beginning; what does not fit is as large as can be.  False: there are none. */
static bool read_number(http_text *rest, uint64_t *ret)
{
    uint64_t number = 0;
    size_t digits = 0;
    while (digits < rest->size && rest->data[digits] >= '0' && rest->data[digits] <= '9') {
        uint64_t digit = (uint64_t)(rest->data[digits] - '0');
        number = number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : number * 10 + digit;
        digits++;
    }
    rest->data += digits;
    rest->size -= digits;
    *ret = number;
    return digits > 0;
}

static bool take(http_text *rest, char c)
{
    if (rest->size == 0 || rest->data[0] != c) {
        return false;
    }
    rest->data++;
    rest->size--;
    return true;
}

/* "0-499", "500-" or "-500"; false: neither.  A range that is not within `size` is empty. */
static bool read_range(http_text *rest, uint64_t size, byte_range *ret, bool *within)
{
    uint64_t first;
    uint64_t last;
    if (take(rest, '-')) {
        uint64_t count;
        if (!read_number(rest, &count)) {
            return false;
        }
        *within = count > 0 && size > 0;
        *ret = (byte_range){count < size ? size - count : 0, size - 1};
        return true;
    }
    if (!read_number(rest, &first) || !take(rest, '-')) {
        return false;
    }
    if (!read_number(rest, &last)) {
        last = UINT64_MAX; /* "500-" */
    } else if (last < first) {
        return false;
    }
    *within = first < size;
    *ret = (byte_range){first, last < size ? last : size - 1};
    return true;
}

static bool touches(byte_range a, byte_range b)
{
    /* Both are within a size, so neither end is UINT64_MAX. */
    return a.first <= b.last + 1 && b.first <= a.last + 1;
}

/*
 * Those in the set do not touch each other, so what the united range touches, the range itself did:
 * one pass finds all of them.
 */
static void merge(range_set *set, byte_range range)
{
    for (uint32_t i = 0; i < set->count; i++) {
        byte_range other = set->ranges[i];
        if (touches(other, range)) {
            range.first = other.first < range.first ? other.first : range.first;
            range.last = other.last > range.last ? other.last : range.last;
        }
    }
    uint32_t kept = 0;
    bool placed = false;
    for (uint32_t i = 0; i < set->count; i++) {
        byte_range other = set->ranges[i];
        if (!touches(other, range)) {
            set->ranges[kept++] = other;
        } else if (!placed) {
            set->ranges[kept++] = range;
            placed = true;
        }
    }
    if (!placed) {
        set->ranges[kept++] = range;
    }
    set->count = kept;
}

range_verdict range_parse(http_text value, uint64_t size, range_set *ret)
{
    static const char unit[] = "bytes";
    range_set set = {.count = 0};
    uint32_t asked = 0;
    skip_blanks(&value);
    if (value.size < sizeof unit - 1 || strncasecmp(value.data, unit, sizeof unit - 1) != 0) {
        return RANGE_ALL;
    }
    value.data += sizeof unit - 1;
    value.size -= sizeof unit - 1;
    if (!take(&value, '=')) {
        return RANGE_ALL;
    }
    while (value.size > 0) {
        byte_range range;
        bool within;
        skip_blanks(&value);
        if (take(&value, ',')) {
            continue;
        }
        if (value.size == 0) {
            break;
        }
        if (asked++ == RANGE_MAX || !read_range(&value, size, &range, &within)) {
            return RANGE_ALL;
        }
        skip_blanks(&value);
        if (value.size > 0 && value.data[0] != ',') {
            return RANGE_ALL;
        }
        if (within) {
            merge(&set, range);
        }
    }
    if (asked == 0) {
        return RANGE_ALL;
    }
    if (set.count == 0) {
        return RANGE_UNSATISFIABLE;
    }
    *ret = set;
    return RANGE_SOME;
}
