/*
 * semver_tidy.c -- the text of an unusual range in the form that node-semver's first steps give it.
 *
 * node-semver cleans a range with global replacements; what they do to odd texts decides what such
 * a range means ("~ > 1" is ~1, "v= 1" is none), so their matching is followed here byte by byte.
 * Every step shortens the text or leaves it, in place.
 *
 * Threads: no state.  Source: node-semver's behaviour, https://github.com/npm/node-semver.
 */
#include <string.h>

#include "workload/pkg/semver_scan.h"

enum { BLANK_PLAIN = 1, BLANK_OTHER = 2, BUILD = 4, OPERATOR = 8, BAR = 16, WIDE = 32 };

/* What a byte of a range may mean; 0 for letters, digits, dots, stars and hyphens. */
static uint8_t meaning(unsigned char c)
{
    switch (c) {
    case ' ': return BLANK_PLAIN;
    case '\t':
    case '\n':
    case '\v':
    case '\f':
    case '\r': return BLANK_OTHER;
    case '+': return BUILD;
    case '<':
    case '>':
    case '=':
    case '~':
    case '^': return OPERATOR;
    case '|': return BAR;
    default: return c >= 0x80 ? WIDE : 0;
    }
}

semver_look semver_look_at(pkg_text text)
{
    semver_look look = {0};
    uint8_t last = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t now = meaning((unsigned char)text.data[i]);
        if ((now & (BLANK_OTHER | BUILD | WIDE)) != 0 ||
            (now == BLANK_PLAIN && (last & (BLANK_PLAIN | OPERATOR)) != 0)) {
            look.odd = true;
        }
        look.bars = look.bars || now == BAR;
        look.hyphens = look.hyphens || (last == BLANK_PLAIN && text.data[i] == '-');
        last = now;
    }
    return look;
}

size_t semver_tidy_blanks(pkg_text text, char *ret)
{
    const char *end = text.data + text.size;
    size_t size = 0;
    for (const char *at = text.data; at < end;) {
        size_t space = semver_scan_space(at, end);
        if (space == 0) {
            ret[size++] = *at++;
            continue;
        }
        ret[size++] = ' ';
        for (; space > 0; space = semver_scan_space(at, end)) {
            at += space;
        }
    }
    return size;
}

size_t semver_tidy_builds(char *text, size_t size)
{
    size_t kept = 0;
    for (size_t i = 0; i < size;) {
        if (text[i] != '+' || i + 1 == size || !semver_is_identifier(text[i + 1])) {
            text[kept++] = text[i++];
            continue;
        }
        for (i++; i < size; i++) {
            if (!semver_is_identifier(text[i]) &&
                (text[i] != '.' || i + 1 == size || !semver_is_identifier(text[i + 1]))) {
                break;
            }
        }
    }
    return kept;
}

/* Blanks between an operator and its version go: "> 1" becomes ">1"; in place. */
static size_t join_operators(char *text, size_t size)
{
    size_t kept = 0;
    for (size_t i = 0; i < size;) {
        size_t op = i + (text[i] == ' ' ? 1 : 0);
        op += op < size && (text[op] == '<' || text[op] == '>');
        op += op < size && text[op] == '=';
        size_t number = op;
        while (number < size &&
               (text[number] == ' ' || text[number] == 'v' || text[number] == '=')) {
            number++;
        }
        bool version = number < size && (semver_is_digit(text[number]) || text[number] == 'x' ||
                                         text[number] == 'X' || text[number] == '*');
        if (!version) {
            text[kept++] = text[i++];
            continue;
        }
        bool blank = text[op] == ' ';
        memmove(text + kept, text + i, op - i);
        kept += op - i;
        i = op + (blank ? 1 : 0);
        while (i < number ||
               (i < size && (semver_is_identifier(text[i]) || text[i] == '.' || text[i] == '*'))) {
            text[kept++] = text[i++];
        }
    }
    return kept;
}

/* A blank behind `sign` ("~", "~>" or "^") goes, whatever follows; in place. */
static size_t join_sign(char *text, size_t size, char sign)
{
    size_t kept = 0;
    for (size_t i = 0; i < size;) {
        text[kept++] = text[i];
        if (text[i++] != sign) {
            continue;
        }
        size_t arrow = sign == '~' && i < size && text[i] == '>' ? 1 : 0;
        if (i + arrow < size && text[i + arrow] == ' ') {
            i += arrow + 1;
        }
    }
    return kept;
}

size_t semver_tidy_operators(char *text, size_t size)
{
    size = join_operators(text, size);
    size = join_sign(text, size, '~');
    return join_sign(text, size, '^');
}
