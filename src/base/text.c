/*
 * text.c -- numbers, quantities, quoting and near names behind base/text.h.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum { NAME_MAX_BYTES = 64, DISTANCE_MAX = 4 };

/* -1 when `c` is no digit in `base`. */
static int digit_of(char c, uint32_t base)
{
    int digit = -1;
    if (c >= '0' && c <= '9') {
        digit = c - '0';
    } else if (c >= 'a' && c <= 'f') {
        digit = c - 'a' + 10;
    } else if (c >= 'A' && c <= 'F') {
        digit = c - 'A' + 10;
    }
    return digit < (int)base ? digit : -1;
}

brisk_err brisk_text_u64(const char *text, uint64_t *ret)
{
    uint32_t base = 10;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
    } else if (text[0] == '0' && text[1] != '\0') {
        return BRISK_ERR_INVALID;
    }
    uint64_t value = 0;
    bool digit_before = false;
    bool too_large = false;
    for (; *text != '\0'; text++) {
        if (*text == '_' && digit_before) {
            digit_before = false;
            continue;
        }
        int digit = digit_of(*text, base);
        if (digit < 0) {
            return BRISK_ERR_INVALID;
        }
        too_large = too_large || __builtin_mul_overflow(value, base, &value) ||
                    __builtin_add_overflow(value, (uint64_t)digit, &value);
        digit_before = true;
    }
    if (!digit_before) { /* empty, or ends in `_` */
        return BRISK_ERR_INVALID;
    }
    if (too_large) {
        return BRISK_ERR_LIMIT;
    }
    *ret = value;
    return BRISK_OK;
}

void brisk_text_make_plain(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        unsigned char next = i + 1 < size ? (unsigned char)text[i + 1] : 0;
        if (c == 0xc2 && next >= 0x80 && next < 0xa0) {
            text[i] = '?';
            text[++i] = '?';
        } else if (c < ' ' || c == 0x7f) {
            text[i] = '?';
        }
    }
}

void brisk_text_duration(char buffer[BRISK_TEXT_SHORT_MAX], double ns)
{
    static const struct {
        double ns;
        const char *unit;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (ns >= units[i].ns * 0.99995) {
            double value = ns / units[i].ns;
            int decimals = value < 9.9995 ? 3 : value < 99.995 ? 2 : value < 999.95 ? 1 : 0;
            (void)snprintf(buffer, BRISK_TEXT_SHORT_MAX, "%.*f %s", decimals, value, units[i].unit);
            return;
        }
    }
    double rest = ns - (double)(int64_t)ns; /* no libm down here; ns is small */
    bool whole = ns >= 100.0 || (rest > -0.0005 && rest < 0.0005) || rest > 0.9995;
    (void)snprintf(buffer, BRISK_TEXT_SHORT_MAX, "%.*f ns", whole ? 0 : 2, ns);
}

void brisk_text_bytes(char buffer[BRISK_TEXT_SHORT_MAX], uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        (void)snprintf(buffer, BRISK_TEXT_SHORT_MAX, "%u B", (unsigned)bytes);
        return;
    }
    size_t unit = 0;
    double value = (double)bytes / 1024.0;
    while (value >= 1023.95 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024.0;
        unit++;
    }
    (void)snprintf(buffer, BRISK_TEXT_SHORT_MAX, "%.1f %s", value, units[unit]);
}

/* Bytes of the control character at `text`, 0 when it is none: C0, DEL, or C1 in UTF-8. */
static size_t control_at(const char *text)
{
    unsigned char c = (unsigned char)text[0];
    unsigned char next = c != 0 ? (unsigned char)text[1] : 0;
    return c < ' ' || c == 0x7f ? 1 : c == 0xc2 && next >= 0x80 && next < 0xa0 ? 2 : 0;
}

const char *brisk_text_quote(char buffer[BRISK_TEXT_QUOTED_MAX], const char *text)
{
    static const char hex[] = "0123456789abcdef";
    size_t used = 0;
    /* Eight bytes for the longest escape, three for "..." and one for the end. */
    while (*text != '\0' && used + 12 < BRISK_TEXT_QUOTED_MAX) {
        size_t control = control_at(text);
        if (control == 0) {
            buffer[used++] = *text++;
        }
        for (; control > 0; control--, text++) {
            buffer[used++] = '\\';
            buffer[used++] = 'x';
            buffer[used++] = hex[(unsigned char)*text >> 4];
            buffer[used++] = hex[*text & 15];
        }
    }
    for (int dots = 0; *text != '\0' && dots < 3; dots++) {
        buffer[used++] = '.';
    }
    buffer[used] = '\0';
    return buffer;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/*
 * Three rows of the usual table: before is i - 2, above is i - 1.
 * Source: optimal string alignment distance; R. A. Wagner and M. J. Fischer, 1974.
 */
size_t brisk_text_distance(const char *a, const char *b, size_t limit)
{
    size_t a_size = strnlen(a, NAME_MAX_BYTES + 1);
    size_t b_size = strnlen(b, NAME_MAX_BYTES + 1);
    if (a_size > NAME_MAX_BYTES || b_size > NAME_MAX_BYTES) {
        return limit + 1;
    }
    size_t rows[3][NAME_MAX_BYTES + 1] = {{0}};
    for (size_t j = 0; j <= b_size; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        const size_t *before = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t replaced = above[j - 1] + (lower(a[i - 1]) != lower(b[j - 1]) ? 1 : 0);
            row[j] = least(replaced, 1 + least(above[j], row[j - 1]));
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1])) {
                row[j] = least(row[j], before[j - 2] + 1);
            }
        }
    }
    return least(rows[a_size % 3][b_size], limit + 1);
}

void brisk_text_offer(brisk_text_nearest *nearest, const char *wanted, const char *candidate)
{
    /* A third of the letters wrong is a typo; more is another word. */
    size_t allowed = least(strlen(wanted) / 3 + 1, DISTANCE_MAX);
    size_t distance = brisk_text_distance(wanted, candidate, allowed);
    if (distance <= allowed && (nearest->name == NULL || distance < nearest->distance)) {
        nearest->name = candidate;
        nearest->distance = distance;
    }
}

size_t brisk_text_utf8(const unsigned char *s, size_t left)
{
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t size = 0;
    if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        size = 2;
    } else if (s[0] >= 0xe0 && s[0] <= 0xef) {
        size = 3;
        low = s[0] == 0xe0 ? 0xa0 : low;   /* overlong */
        high = s[0] == 0xed ? 0x9f : high; /* surrogates */
    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        size = 4;
        low = s[0] == 0xf0 ? 0x90 : low;   /* overlong */
        high = s[0] == 0xf4 ? 0x8f : high; /* above U+10FFFF */
    }
    if (size == 0 || size > left || s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if (s[i] < 0x80 || s[i] > 0xbf) {
            return 0;
        }
    }
    return size;
}
