/*
 * knob_parse.c -- text to value for knobs and options: numbers, sizes, durations, yes and no.
 *
 * A quantity is digits, perhaps a point and more digits, perhaps a blank, and a unit.  It is
 * computed exactly in 128 bits, whole + fraction / 10^n times the unit, and rounded down: no
 * floating point, so that 0.1s is 100000000 ns and not one less.
 */
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include <brisk/knob.h>

#include "base/text.h"

__extension__ typedef unsigned __int128 u128;

enum { FRACTION_DIGITS_MAX = 18 };

typedef struct unit {
    const char *name;
    uint64_t size;
} unit;

static const unit byte_units[] = {
    {"", 1},
    {"B", 1},
    {"K", UINT64_C(1) << 10},
    {"KiB", UINT64_C(1) << 10},
    {"KB", 1000},
    {"M", UINT64_C(1) << 20},
    {"MiB", UINT64_C(1) << 20},
    {"MB", 1000 * 1000},
    {"G", UINT64_C(1) << 30},
    {"GiB", UINT64_C(1) << 30},
    {"GB", UINT64_C(1000) * 1000 * 1000},
    {"T", UINT64_C(1) << 40},
    {"TiB", UINT64_C(1) << 40},
    {"TB", UINT64_C(1000) * 1000 * 1000 * 1000},
    {NULL, 0},
};

static const unit duration_units[] = {
    {"ns", 1},
    {"us", 1000},
    {"ms", 1000 * 1000},
    {"s", UINT64_C(1000000000)},
    {"m", UINT64_C(60) * 1000000000},
    {"h", UINT64_C(3600) * 1000000000},
    {"d", UINT64_C(86400) * 1000000000},
    {NULL, 0},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static brisk_err parse_quantity(const char *text, const unit *units, uint64_t *ret)
{
    uint64_t whole = 0;
    uint64_t fraction = 0;
    uint64_t scale = 1;
    if (!is_digit(*text)) {
        return BRISK_ERR_INVALID;
    }
    for (; is_digit(*text); text++) {
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(*text - '0'), &whole)) {
            return BRISK_ERR_INVALID;
        }
    }
    if (*text == '.') {
        text++;
        if (!is_digit(*text)) {
            return BRISK_ERR_INVALID;
        }
        for (int digits = 0; is_digit(*text); text++, digits++) {
            if (digits == FRACTION_DIGITS_MAX) {
                return BRISK_ERR_INVALID;
            }
            fraction = fraction * 10 + (uint64_t)(*text - '0');
            scale *= 10;
        }
    }
    text += *text == ' ' ? 1 : 0;
    while (units->name != NULL && strcasecmp(units->name, text) != 0) {
        units++;
    }
    if (units->name == NULL) {
        return BRISK_ERR_INVALID;
    }
    u128 value = (u128)whole * units->size + (u128)fraction * units->size / scale;
    if (value > UINT64_MAX) {
        return BRISK_ERR_INVALID;
    }
    *ret = (uint64_t)value;
    return BRISK_OK;
}

static brisk_err parse_bool(const char *text, uint64_t *ret)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *ret = i % 2;
            return BRISK_OK;
        }
    }
    return BRISK_ERR_INVALID;
}

brisk_err brisk_knob_parse(brisk_knob_type type, const char *text, uint64_t *ret)
{
    switch (type) {
    case BRISK_KNOB_U64:
        return brisk_text_u64(text, ret) == BRISK_OK ? BRISK_OK : BRISK_ERR_INVALID;
    case BRISK_KNOB_BYTES: return parse_quantity(text, byte_units, ret);
    case BRISK_KNOB_DURATION:
        if (strcmp(text, "0") == 0) { /* nothing is nothing in any unit */
            *ret = 0;
            return BRISK_OK;
        }
        return parse_quantity(text, duration_units, ret);
    case BRISK_KNOB_BOOL: return parse_bool(text, ret);
    case BRISK_KNOB_TEXT:
    case BRISK_KNOB_YAML: return BRISK_ERR_INVALID;
    }
    return BRISK_ERR_INVALID;
}
