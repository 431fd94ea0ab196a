/*
 * collate.c -- localeCompare("en") for the characters of package names, and the order of members.
 *
 * Every ASCII character has a primary weight; controls other than white space have none and are
 * passed over.  Texts differ by the first different weight; where all are equal, by the first
 * letter whose case differs.  Bytes above ASCII weigh more than any letter, by their value, which
 * is the order of code points.
 *
 * Threads: pure.
 */
#include "workload/pkg/collate.h"

enum { WEIGHT_HIGH = 0x80 }; /* above all of ASCII's */

/* clang-format off */
static const unsigned char weights[128] = {
    ['\t'] = 1, ['\n'] = 2, ['\v'] = 3, ['\f'] = 4, ['\r'] = 5, [' '] = 6, ['_'] = 7, ['-'] = 8,
    [','] = 9, [';'] = 10, [':'] = 11, ['!'] = 12, ['?'] = 13, ['.'] = 14, ['\''] = 15, ['"'] = 16,
    ['('] = 17, [')'] = 18, ['['] = 19, [']'] = 20, ['{'] = 21, ['}'] = 22, ['@'] = 23, ['*'] = 24,
    ['/'] = 25, ['\\'] = 26, ['&'] = 27, ['#'] = 28, ['%'] = 29, ['`'] = 30, ['^'] = 31, ['+'] = 32,
    ['<'] = 33, ['='] = 34, ['>'] = 35, ['|'] = 36, ['~'] = 37, ['$'] = 38,
    ['0'] = 39, ['1'] = 40, ['2'] = 41, ['3'] = 42, ['4'] = 43, ['5'] = 44, ['6'] = 45, ['7'] = 46,
    ['8'] = 47, ['9'] = 48,
    ['a'] = 49, ['b'] = 50, ['c'] = 51, ['d'] = 52, ['e'] = 53, ['f'] = 54, ['g'] = 55, ['h'] = 56,
    ['i'] = 57, ['j'] = 58, ['k'] = 59, ['l'] = 60, ['m'] = 61, ['n'] = 62, ['o'] = 63, ['p'] = 64,
    ['q'] = 65, ['r'] = 66, ['s'] = 67, ['t'] = 68, ['u'] = 69, ['v'] = 70, ['w'] = 71, ['x'] = 72,
    ['y'] = 73, ['z'] = 74,
    ['A'] = 49, ['B'] = 50, ['C'] = 51, ['D'] = 52, ['E'] = 53, ['F'] = 54, ['G'] = 55, ['H'] = 56,
    ['I'] = 57, ['J'] = 58, ['K'] = 59, ['L'] = 60, ['M'] = 61, ['N'] = 62, ['O'] = 63, ['P'] = 64,
    ['Q'] = 65, ['R'] = 66, ['S'] = 67, ['T'] = 68, ['U'] = 69, ['V'] = 70, ['W'] = 71, ['X'] = 72,
    ['Y'] = 73, ['Z'] = 74,
};
/* clang-format on */

static unsigned weight_of(unsigned char c)
{
    return c < WEIGHT_HIGH ? weights[c] : c;
}

static bool is_upper(unsigned char c)
{
    return c >= 'A' && c <= 'Z';
}

/* The next character that has a weight, or 0 at the end; *at is behind it. */
static unsigned char next_of(pkg_text text, size_t *at)
{
    while (*at < text.size) {
        unsigned char c = (unsigned char)text.data[(*at)++];
        if (weight_of(c) != 0) {
            return c;
        }
    }
    return 0;
}

int pkg_collate(pkg_text a, pkg_text b)
{
    int by_case = 0;
    size_t i = 0;
    size_t j = 0;
    for (;;) {
        unsigned char x = next_of(a, &i);
        unsigned char y = next_of(b, &j);
        if (x != y) {
            int order = (int)weight_of(x) - (int)weight_of(y);
            if (order != 0) {
                return order;
            }
            by_case = by_case != 0 ? by_case : (int)is_upper(x) - (int)is_upper(y);
        }
        if (x == 0) {
            return by_case;
        }
    }
}

uint64_t pkg_collate_key(pkg_text text, size_t skip)
{
    uint64_t key = 0;
    size_t at = skip;
    for (int i = 0; i < 8; i++) {
        key = key << 8 | weight_of(next_of(text, &at));
    }
    return key;
}

/* --- members ------------------------------------------------------------------------------- */

/* A whole number as JavaScript writes it, below 2^32 - 1: such keys come first, by value. */
static bool as_index(pkg_text key, uint64_t *ret)
{
    enum { DIGITS_MAX = 10 };
    if (key.size == 0 || key.size > DIGITS_MAX || (key.data[0] == '0' && key.size > 1)) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < key.size; i++) {
        if (key.data[i] < '0' || key.data[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(key.data[i] - '0');
    }
    *ret = value;
    return value < UINT32_MAX;
}

bool pkg_member_is_index(pkg_text key)
{
    uint64_t value;
    return as_index(key, &value);
}

/* npm's favourites, in its order; any other key comes behind them. */
static int rank_of(pkg_text key)
{
    static const char *const favourites[] = {"name",     "version",     "lockfileVersion",
                                             "resolved", "integrity",   "requires",
                                             "packages", "dependencies"};
    enum { COUNT = sizeof favourites / sizeof favourites[0] };
    for (int i = 0; i < COUNT; i++) {
        if (pkg_text_is(key, favourites[i])) {
            return i;
        }
    }
    return COUNT;
}

/* Only keys of these sizes and first letters can be numbers or favourites. */
static bool is_special(pkg_text key)
{
    if (key.size == 0) {
        return false;
    }
    char c = key.data[0];
    return (c >= '0' && c <= '9') || c == 'n' || c == 'v' || c == 'l' || c == 'r' || c == 'i' ||
           c == 'p' || c == 'd';
}

int pkg_member_compare(pkg_text a, pkg_text b)
{
    if (is_special(a) || is_special(b)) {
        uint64_t x = UINT64_MAX;
        uint64_t y = UINT64_MAX;
        bool number = as_index(a, &x);
        if (number != as_index(b, &y)) {
            return number ? -1 : 1;
        }
        if (number && x != y) {
            return x < y ? -1 : 1;
        }
        int order = rank_of(a) - rank_of(b);
        if (order != 0) {
            return order;
        }
    }
    int order = pkg_collate(a, b);
    return order != 0 ? order : pkg_text_compare(a, b);
}
