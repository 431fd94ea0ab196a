/*
 * semver.c -- single versions: reading, order, text, increments.
 *
 * A version keeps its pre-release as the text that was read; identifiers are told apart when two
 * versions with equal numbers are compared, which is rare.  Numbers in pre-releases are compared as
 * whole numbers of any length (node-semver compares those above 2^53 as doubles and may then call
 * different ones equal; an exact order is a total one, which sorted lists need).
 *
 * Loose reading has one surprise that packages depend on: the pre-release needs no hyphen, so
 * "1.2.34.5" is 1.2.3-4.5: the last digit of the patch goes to what would not fit otherwise.
 *
 * Threads: no state.  Sources: Semantic Versioning 2.0.0, https://semver.org; node-semver's
 * behaviour and cases, https://github.com/npm/node-semver.
 */
#include "workload/pkg/semver.h"

#include <inttypes.h>
#include <string.h>

#include "workload/pkg/semver_scan.h"

enum { DIGITS_EXACT = 15 }; /* a number of so many digits is below 2^53 */

/* --- reading ------------------------------------------------------------------------------- */

size_t semver_scan_space(const char *at, const char *end)
{
    if (at == end) {
        return 0;
    }
    unsigned char c = (unsigned char)*at;
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
        return 1;
    }
    if (c < 0xC2) {
        return 0;
    }
    if (end - at >= 2 && memcmp(at, "\xC2\xA0", 2) == 0) {
        return 2;
    }
    if (end - at < 3) {
        return 0;
    }
    /* U+1680, U+2000 to U+200A, U+2028, U+2029, U+202F, U+205F, U+3000, U+FEFF */
    static const char others[] = "\xE1\x9A\x80"
                                 "\xE2\x80\xA8"
                                 "\xE2\x80\xA9"
                                 "\xE2\x80\xAF"
                                 "\xE2\x81\x9F"
                                 "\xE3\x80\x80"
                                 "\xEF\xBB\xBF";
    for (size_t i = 0; i + 3 < sizeof others; i += 3) {
        if (memcmp(at, others + i, 3) == 0) {
            return 3;
        }
    }
    unsigned char last = (unsigned char)at[2];
    return memcmp(at, "\xE2\x80", 2) == 0 && last >= 0x80 && last <= 0x8A ? 3 : 0;
}

bool semver_scan_identifiers(const char *at, const char *end, uint32_t flags)
{
    for (;;) {
        const char *begin = at;
        bool number = true;
        for (; at < end && semver_is_identifier(*at); at++) {
            number = number && semver_is_digit(*at);
        }
        if (at == begin) {
            return false;
        }
        if (number && *begin == '0' && at - begin > 1 && (flags & SEMVER_LOOSE) == 0) {
            return false;
        }
        if (at == end) {
            return true;
        }
        if (*at != '.') {
            return false;
        }
        at++;
    }
}

/* One number; NULL when there is none. */
static const char *scan_number(const char *at, const char *end, uint32_t flags, semver_part *ret)
{
    const char *begin = at;
    uint64_t value = 0;
    for (; at < end && semver_is_digit(*at); at++) {
        value = value * 10 + (uint64_t)(*at - '0');
        value = value <= SEMVER_NUMBER_MAX ? value : SEMVER_NUMBER_MAX + 1;
    }
    bool leading = at - begin > 1 && *begin == '0';
    if (at == begin || (leading && (flags & SEMVER_LOOSE) == 0)) {
        return NULL;
    }
    *ret = (semver_part){.value = value, .zero = value == 0 && !leading};
    return at;
}

/* What follows the patch, up to the build: its pre-release. */
static bool scan_prerelease(const char *at, const char *end, uint32_t flags, pkg_text *ret)
{
    if (at == end) {
        *ret = (pkg_text){0};
        return true;
    }
    if (*at == '-' && semver_scan_identifiers(at + 1, end, flags)) {
        *ret = (pkg_text){.data = at + 1, .size = (size_t)(end - at - 1)};
        return true;
    }
    if ((flags & SEMVER_LOOSE) != 0 && semver_scan_identifiers(at, end, flags)) {
        *ret = (pkg_text){.data = at, .size = (size_t)(end - at)};
        return true;
    }
    return false;
}

/* The pre-release behind the patch [begin, at), which may have to give its last digit away. */
static bool scan_tail(const char *begin, const char *at, const char *end, uint32_t flags,
                      semver_partial *partial)
{
    if (scan_prerelease(at, end, flags, &partial->prerelease)) {
        return true;
    }
    if ((flags & SEMVER_LOOSE) == 0 || at - begin < 2 || at == end || *at != '.') {
        return false;
    }
    return scan_number(begin, at - 1, flags, &partial->parts[2]) != NULL &&
           scan_prerelease(at - 1, end, flags, &partial->prerelease);
}

bool semver_scan_partial(const char *at, const char *end, uint32_t flags, semver_partial *ret)
{
    *ret = (semver_partial){.parts = {{.x = true}, {.x = true}, {.x = true}}};
    for (int i = 0; i < 3; i++) {
        const char *begin = at;
        if (at < end && (*at == 'x' || *at == 'X' || *at == '*')) {
            at++;
        } else {
            at = scan_number(at, end, flags, &ret->parts[i]);
            if (at == NULL) {
                return false;
            }
        }
        if (i == 2) {
            return scan_tail(begin, at, end, flags, ret);
        }
        if (at == end) {
            return true;
        }
        if (*at++ != '.') {
            return false;
        }
    }
    return false; /* unreachable: the third part returns */
}

bool semver_parse(pkg_text text, uint32_t flags, semver *ret)
{
    if (text.size == 0 || text.size > SEMVER_LENGTH_MAX) {
        return false;
    }
    const char *at = text.data;
    const char *end = at + text.size;
    for (size_t n; (n = semver_scan_space(at, end)) > 0; at += n) {
    }
    if ((flags & SEMVER_LOOSE) != 0) {
        for (size_t n; at < end; at += n) {
            n = *at == 'v' || *at == '=' ? 1 : semver_scan_space(at, end);
            if (n == 0) {
                break;
            }
        }
    } else if (at < end && *at == 'v') {
        at++;
    }
    while (end > at && !semver_is_identifier(end[-1])) { /* white space, or nothing valid */
        const char *last = end - 1;
        while (last > at && ((unsigned char)*last & 0xC0) == 0x80) {
            last--;
        }
        if (semver_scan_space(last, end) != (size_t)(end - last)) {
            break;
        }
        end = last;
    }
    const char *plus = at < end ? memchr(at, '+', (size_t)(end - at)) : NULL;
    pkg_text build = {0};
    if (plus != NULL) {
        build = (pkg_text){.data = plus + 1, .size = (size_t)(end - plus - 1)};
        if (!semver_scan_identifiers(plus + 1, end, SEMVER_LOOSE)) {
            return false;
        }
        end = plus;
    }
    semver_partial partial;
    if (!semver_scan_partial(at, end, flags, &partial)) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        if (partial.parts[i].x || partial.parts[i].value > SEMVER_NUMBER_MAX) {
            return false;
        }
    }
    *ret = (semver){.major = partial.parts[0].value,
                    .minor = partial.parts[1].value,
                    .patch = partial.parts[2].value,
                    .prerelease = partial.prerelease,
                    .build = build};
    return true;
}

/* --- order --------------------------------------------------------------------------------- */

/* The first identifier of `*list`, which moves behind it; false at the end. */
static bool next_identifier(pkg_text *list, pkg_text *ret, bool *number)
{
    if (list->size == 0) {
        return false;
    }
    size_t size = 0;
    bool digits = true;
    for (; size < list->size && list->data[size] != '.'; size++) {
        digits = digits && semver_is_digit(list->data[size]);
    }
    *ret = (pkg_text){.data = list->data, .size = size};
    *number = digits;
    size_t skip = size < list->size ? size + 1 : size;
    *list = (pkg_text){.data = list->data + skip, .size = list->size - skip};
    return true;
}

static pkg_text without_zeros(pkg_text number)
{
    while (number.size > 1 && number.data[0] == '0') {
        number.data++;
        number.size--;
    }
    return number;
}

static int compare_numbers(pkg_text a, pkg_text b)
{
    a = without_zeros(a);
    b = without_zeros(b);
    return a.size != b.size ? (a.size > b.size ? 1 : -1) : memcmp(a.data, b.data, a.size);
}

static int compare_identifiers(pkg_text a, pkg_text b)
{
    for (;;) {
        pkg_text x;
        pkg_text y;
        bool x_number = false;
        bool y_number = false;
        bool has_x = next_identifier(&a, &x, &x_number);
        bool has_y = next_identifier(&b, &y, &y_number);
        if (!has_x || !has_y) {
            return (int)has_x - (int)has_y;
        }
        if (x_number != y_number) {
            return x_number ? -1 : 1;
        }
        int order = x_number ? compare_numbers(x, y) : pkg_text_compare(x, y);
        if (order != 0) {
            return order;
        }
    }
}

int semver_compare(const semver *a, const semver *b)
{
    if (a->major != b->major) {
        return a->major > b->major ? 1 : -1;
    }
    if (a->minor != b->minor) {
        return a->minor > b->minor ? 1 : -1;
    }
    if (a->patch != b->patch) {
        return a->patch > b->patch ? 1 : -1;
    }
    if (a->prerelease.size == 0 || b->prerelease.size == 0) {
        return (int)(a->prerelease.size == 0) - (int)(b->prerelease.size == 0);
    }
    return compare_identifiers(a->prerelease, b->prerelease);
}

int semver_compare_build(const semver *a, const semver *b)
{
    int order = semver_compare(a, b);
    return order != 0 ? order : compare_identifiers(a->build, b->build);
}

/* --- text ---------------------------------------------------------------------------------- */

/* The identifiers as they are printed: numbers that count as numbers without leading zeros. */
static size_t print_identifiers(pkg_text list, char *ret)
{
    size_t size = 0;
    pkg_text id;
    bool number;
    while (next_identifier(&list, &id, &number)) {
        pkg_text shorter = number ? without_zeros(id) : id;
        if (shorter.size <= DIGITS_EXACT) {
            id = shorter;
        }
        if (size > 0) {
            ret[size++] = '.';
        }
        memcpy(ret + size, id.data, id.size);
        size += id.size;
    }
    return size;
}

size_t semver_print(const semver *version, char ret[SEMVER_PRINT_MAX])
{
    if (version->prerelease.size > SEMVER_LENGTH_MAX) {
        ret[0] = '\0';
        return 0;
    }
    int numbers = snprintf(ret, SEMVER_PRINT_MAX, "%" PRIu64 ".%" PRIu64 ".%" PRIu64,
                           version->major, version->minor, version->patch);
    size_t size = (size_t)numbers;
    if (version->prerelease.size > 0) {
        ret[size++] = '-';
        size += print_identifiers(version->prerelease, ret + size);
    }
    ret[size] = '\0';
    return size;
}

pkg_text semver_format(const semver *version, brisk_arena *arena)
{
    char text[SEMVER_PRINT_MAX];
    size_t size = semver_print(version, text);
    char *copy = brisk_arena_copy(arena, text, size);
    return (pkg_text){.data = copy, .size = copy != NULL ? size : 0};
}
