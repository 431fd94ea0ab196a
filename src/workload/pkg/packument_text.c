/*
 * packument_text.c -- strings without their escapes, digests, dates.
 *
 * Bad UTF-8 is replaced as the Encoding Standard has it: one U+FFFD for each longest part that could
 * have become a character.
 * Source: WHATWG Encoding, section "UTF-8 decoder"; Unicode 15, table 3-7.
 */
#include "workload/pkg/packument_text.h"

#include <string.h>

/* --- UTF-8 ----------------------------------------------------------------------------------- */

typedef struct sequence {
    uint32_t size; /* at least 1 */
    bool good;
} sequence;

/* What stands at the beginning of `text`, which is not empty. */
static sequence sequence_of(const unsigned char *text, size_t left)
{
    unsigned char lead = text[0];
    if (lead < 0x80) {
        return (sequence){.size = 1, .good = true};
    }
    uint32_t more = lead >= 0xc2 && lead <= 0xdf   ? 1
                    : lead >> 4 == 0xe             ? 2
                    : lead >= 0xf0 && lead <= 0xf4 ? 3
                                                   : 0;
    unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    uint32_t size = 1;
    while (size <= more && size < left && text[size] >= low && text[size] <= high) {
        size++;
        low = 0x80;
        high = 0xbf;
    }
    return (sequence){.size = size, .good = more > 0 && size == more + 1};
}

static const char replacement[] = "\xef\xbf\xbd";
enum { REPLACEMENT_BYTES = sizeof replacement - 1 };

/* One sequence from `from` to *to, replaced when it is bad; its size. */
static size_t copy_sequence(const char *from, size_t left, char **to)
{
    sequence s = sequence_of((const unsigned char *)from, left);
    size_t size = s.good ? s.size : REPLACEMENT_BYTES;
    memcpy(*to, s.good ? from : replacement, size);
    *to += size;
    return s.size;
}

size_t packument_repair(pkg_text text, char *to)
{
    char *begin = to;
    for (size_t i = 0; i < text.size;) {
        i += copy_sequence(text.data + i, text.size - i, &to);
    }
    return (size_t)(to - begin);
}

/* --- escapes --------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The four digits at `at`, or -1. */
static int32_t code_unit(pkg_text inside, size_t at)
{
    int32_t unit = 0;
    for (size_t i = at; i < at + 4; i++) {
        int digit = i < inside.size ? hex_digit(inside.data[i]) : -1;
        if (digit < 0) {
            return -1;
        }
        unit = unit << 4 | digit;
    }
    return unit;
}

static char *encode(uint32_t c, char *to)
{
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *to++ = (char)(0xe0 | c >> 12);
        } else {
            *to++ = (char)(0xf0 | c >> 18);
            *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        }
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
    }
    *to++ = (char)(0x80 | (c & 0x3f));
    return to;
}

/* The escape whose backslash is at `at`; its size, or 0: it is none. */
static size_t copy_escape(pkg_text inside, size_t at, char **to)
{
    static const char from[] = "\"\\/bfnrt";
    static const char value[] = "\"\\/\b\f\n\r\t";
    char c = at + 1 < inside.size ? inside.data[at + 1] : '\0';
    const char *found = c != '\0' ? strchr(from, c) : NULL;
    if (found != NULL) {
        *(*to)++ = value[found - from];
        return 2;
    }
    int32_t unit = c == 'u' ? code_unit(inside, at + 2) : -1;
    if (unit < 0) {
        return 0;
    }
    uint32_t character = (uint32_t)unit;
    size_t size = 6;
    if (character >= 0xd800 && character <= 0xdfff) {
        bool pair = character < 0xdc00 && at + 7 < inside.size && inside.data[at + 6] == '\\' &&
                    inside.data[at + 7] == 'u';
        int32_t low = pair ? code_unit(inside, at + 8) : -1;
        bool is_pair = low >= 0xdc00 && low <= 0xdfff;
        size += is_pair ? 6 : 0;
        character =
            is_pair ? 0x10000 + (character - 0xd800) * 0x400 + ((uint32_t)low - 0xdc00) : 0xfffd;
    }
    *to = encode(character, *to);
    return size;
}

bool packument_unescape(pkg_text inside, char *to, size_t *ret_size)
{
    char *begin = to;
    for (size_t i = 0; i < inside.size;) {
        unsigned char c = (unsigned char)inside.data[i];
        if (c < 0x20) {
            return false;
        }
        size_t size = c == '\\' ? copy_escape(inside, i, &to)
                                : copy_sequence(inside.data + i, inside.size - i, &to);
        if (size == 0) {
            return false;
        }
        i += size;
    }
    *ret_size = (size_t)(to - begin);
    return true;
}

/* --- digests --------------------------------------------------------------------------------- */

bool packument_hex(pkg_text text, unsigned char *to, size_t size)
{
    if (text.size != size * 2) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(text.data[2 * i]);
        int low = hex_digit(text.data[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        to[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

/* The value of a base64 digit with BASE64_DIGIT; 0: it is none. */
enum { BASE64_DIGIT = 0x80 };

static const unsigned char base64_values[256] = {
#define V(c, v) [c] = (v) | BASE64_DIGIT
    V('A', 0),  V('B', 1),  V('C', 2),  V('D', 3),  V('E', 4),  V('F', 5),  V('G', 6),  V('H', 7),
    V('I', 8),  V('J', 9),  V('K', 10), V('L', 11), V('M', 12), V('N', 13), V('O', 14), V('P', 15),
    V('Q', 16), V('R', 17), V('S', 18), V('T', 19), V('U', 20), V('V', 21), V('W', 22), V('X', 23),
    V('Y', 24), V('Z', 25), V('a', 26), V('b', 27), V('c', 28), V('d', 29), V('e', 30), V('f', 31),
    V('g', 32), V('h', 33), V('i', 34), V('j', 35), V('k', 36), V('l', 37), V('m', 38), V('n', 39),
    V('o', 40), V('p', 41), V('q', 42), V('r', 43), V('s', 44), V('t', 45), V('u', 46), V('v', 47),
    V('w', 48), V('x', 49), V('y', 50), V('z', 51), V('0', 52), V('1', 53), V('2', 54), V('3', 55),
    V('4', 56), V('5', 57), V('6', 58), V('7', 59), V('8', 60), V('9', 61), V('+', 62), V('/', 63),
#undef V
};

/* Four digits as 24 bits; *all keeps BASE64_DIGIT only while all are digits. */
static inline uint32_t base64_group(const unsigned char *from, uint32_t *all)
{
    uint32_t a = base64_values[from[0]];
    uint32_t b = base64_values[from[1]];
    uint32_t c = base64_values[from[2]];
    uint32_t d = base64_values[from[3]];
    *all &= a & b & c & d;
    return (a & 63) << 18 | (b & 63) << 12 | (c & 63) << 6 | (d & 63);
}

bool packument_base64(pkg_text text, unsigned char *to, size_t size)
{
    if (text.size != (size + 2) / 3 * 4) {
        return false;
    }
    const unsigned char *from = (const unsigned char *)text.data;
    uint32_t all = BASE64_DIGIT;
    size_t whole = size - size % 3;
    for (size_t i = 0; i < whole; i += 3, from += 4) {
        uint32_t bits = base64_group(from, &all);
        to[i] = (unsigned char)(bits >> 16);
        to[i + 1] = (unsigned char)(bits >> 8);
        to[i + 2] = (unsigned char)bits;
    }
    size_t rest = size - whole;
    if (rest == 0) {
        return all != 0;
    }
    /* The last group: digits for what is left, then '='; the bits that are over are zero. */
    unsigned char last[4] = {from[0], from[1], rest == 2 ? from[2] : 'A', 'A'};
    uint32_t bits = base64_group(last, &all);
    to[whole] = (unsigned char)(bits >> 16);
    if (rest == 2) {
        to[whole + 1] = (unsigned char)(bits >> 8);
    }
    return all != 0 && from[3] == '=' && (rest == 2 || from[2] == '=') &&
           (bits & (rest == 2 ? 0xffU : 0xffffU)) == 0;
}

/* --- dates ----------------------------------------------------------------------------------- */

/* Days from 1970-01-01 in the Gregorian calendar; years from March, so that a leap day is last. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2 ? 1 : 0;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* Takes `count` digits of *text; -1: there are fewer. */
static int32_t take_digits(pkg_text *text, size_t count)
{
    int32_t value = 0;
    if (text->size < count) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (text->data[i] < '0' || text->data[i] > '9') {
            return -1;
        }
        value = value * 10 + (text->data[i] - '0');
    }
    *text = (pkg_text){.data = text->data + count, .size = text->size - count};
    return value;
}

static bool take_char(pkg_text *text, char c)
{
    if (text->size == 0 || text->data[0] != c) {
        return false;
    }
    *text = (pkg_text){.data = text->data + 1, .size = text->size - 1};
    return true;
}

/* ".789" of a second in ms, as many digits as there are; -1: "." without digits. */
static int32_t take_fraction(pkg_text *text)
{
    int32_t ms = 0;
    int32_t unit = 100;
    bool any = false;
    for (int32_t digit = take_digits(text, 1); digit >= 0; digit = take_digits(text, 1)) {
        ms += digit * unit;
        unit /= 10;
        any = true;
    }
    return any ? ms : -1;
}

/* "Z", "+02:00" or nothing, which is UTC here: minutes, or -1 in *ok. */
static int64_t take_zone(pkg_text *text, bool *ok)
{
    if (text->size == 0 || take_char(text, 'Z')) {
        return 0;
    }
    bool plus = take_char(text, '+');
    *ok = *ok && (plus || take_char(text, '-'));
    int32_t hours = take_digits(text, 2);
    (void)take_char(text, ':');
    int32_t minutes = take_digits(text, 2);
    *ok = *ok && hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60;
    return (plus ? 1 : -1) * (hours * 60 + minutes);
}

/* Two digits at `at`; anything else gives 100 or more. */
static inline uint32_t two(const char *at)
{
    uint32_t high = (uint32_t)(unsigned char)at[0] - '0';
    uint32_t low = (uint32_t)(unsigned char)at[1] - '0';
    return high <= 9 && low <= 9 ? high * 10 + low : 100;
}

/* "2019-02-03T04:05:06.789Z" and nothing else: what registries write. */
static bool usual_time(pkg_text text, int64_t *ret_ms)
{
    const char *t = text.data;
    if (text.size != 24 || t[4] != '-' || t[7] != '-' || t[10] != 'T' || t[13] != ':' ||
        t[16] != ':' || t[19] != '.' || t[23] != 'Z') {
        return false;
    }
    uint32_t century = two(t);
    uint32_t year = two(t + 2);
    uint32_t month = two(t + 5);
    uint32_t day = two(t + 8);
    uint32_t hour = two(t + 11);
    uint32_t minute = two(t + 14);
    uint32_t second = two(t + 17);
    uint32_t tens = two(t + 20);
    uint32_t ones = (uint32_t)(unsigned char)t[22] - '0';
    if (century > 99 || year > 99 || month - 1 > 11 || day - 1 > 30 || hour > 23 || minute > 59 ||
        second > 59 || tens > 99 || ones > 9) {
        return false;
    }
    int64_t days = days_of(century * 100 + year, month, day);
    *ret_ms = ((days * 24 + hour) * 60 + minute) * 60000 + second * 1000 + tens * 10 + ones;
    return true;
}

bool packument_time(pkg_text text, int64_t *ret_ms)
{
    if (usual_time(text, ret_ms)) {
        return true;
    }
    int32_t year = take_digits(&text, 4);
    bool ok = year >= 0 && take_char(&text, '-');
    int32_t month = take_digits(&text, 2);
    ok = ok && month >= 1 && month <= 12 && take_char(&text, '-');
    int32_t day = take_digits(&text, 2);
    ok = ok && day >= 1 && day <= 31;
    int32_t hour = 0;
    int32_t minute = 0;
    int32_t second = 0;
    int32_t ms = 0;
    int64_t zone = 0;
    if (ok && text.size > 0) {
        ok = take_char(&text, 'T') || take_char(&text, ' ');
        hour = take_digits(&text, 2);
        ok = ok && hour >= 0 && hour < 24 && take_char(&text, ':');
        minute = take_digits(&text, 2);
        ok = ok && minute >= 0 && minute < 60;
        if (ok && take_char(&text, ':')) {
            second = take_digits(&text, 2);
            ok = second >= 0 && second < 60;
            ms = ok && take_char(&text, '.') ? take_fraction(&text) : 0;
            ok = ok && ms >= 0;
        }
        zone = take_zone(&text, &ok);
    }
    if (!ok || text.size > 0) {
        return false;
    }
    int64_t minutes = days_of(year, month, day) * 1440 + hour * 60 + minute - zone;
    *ret_ms = (minutes * 60 + second) * 1000 + ms;
    return true;
}
