/*
 * http2_hpack.c -- the fields of short heads, encoded without tables that change.
 *
 * nghttp2 finds out for every field of every answer whether it stands in a table that both sides
 * keep, and copies all of them twice; that was a quarter of what a request costs.  A short head is
 * encoded here instead, as literals that are not indexed and whose names are those of the static
 * table.  They touch no state of the compression, so they may stand in a block behind what nghttp2
 * itself encodes (the status), and heads that are long enough to be worth a table go its way.
 *
 * Source: RFC 7541 (5.1, 6.2.2, 6.2.3, appendix A).
 */
#include <string.h>

#include "daemon/http/http2.h"

enum {
    LITERAL = 0x00, /* without indexing */
    NEVER = 0x10,   /* never indexed, by nobody on the way */
    PREFIX_MAX = 15,
    TEXT_MAX = 126, /* its length is one byte */
    NAME_SET_COOKIE = 55,
};

typedef struct known_name {
    uint8_t size;
    uint8_t index;
    char name[30];
} known_name;

/* By size. */
static const known_name names[] = {
    {3, 21, "age"},
    {3, 60, "via"},
    {4, 33, "date"},
    {4, 34, "etag"},
    {4, 45, "link"},
    {4, 59, "vary"},
    {5, 22, "allow"},
    {6, 54, "server"},
    {7, 36, "expires"},
    {8, 46, "location"},
    {10, 55, "set-cookie"},
    {11, 53, "retry-after"},
    {12, 31, "content-type"},
    {13, 18, "accept-ranges"},
    {13, 24, "cache-control"},
    {13, 30, "content-range"},
    {13, 44, "last-modified"},
    {14, 28, "content-length"},
    {16, 26, "content-encoding"},
    {16, 27, "content-language"},
    {16, 29, "content-location"},
    {16, 61, "www-authenticate"},
    {19, 25, "content-disposition"},
    {25, 56, "strict-transport-security"},
    {27, 20, "access-control-allow-origin"},
};

enum { NAMES = sizeof names / sizeof names[0] };

/* Where in `names` those of a size begin; those of another follow. */
static uint8_t first_of(size_t size)
{
    static const uint8_t first[] = {25, 25, 25, 0,  2,  6,  7,  8,  9,  25, 10, 11, 12, 13,
                                    17, 25, 18, 25, 25, 22, 25, 25, 25, 25, 25, 23, 25, 24};
    return size < sizeof first ? first[size] : NAMES;
}

/* In the static table; 0: it is not. */
static uint8_t index_of(http_text name)
{
    for (size_t i = first_of(name.size); i < NAMES && names[i].size == name.size; i++) {
        if (names[i].name[0] == name.data[0] && memcmp(names[i].name, name.data, name.size) == 0) {
            return names[i].index;
        }
    }
    return 0;
}

static unsigned char *put_text(unsigned char *to, http_text text)
{
    *to++ = (unsigned char)text.size; /* not in Huffman's code */
    memcpy(to, text.data, text.size);
    return to + text.size;
}

unsigned char *http2_put_known(unsigned char *to, const unsigned char *end, uint8_t index,
                               http_text value)
{
    if (to == NULL || value.size > TEXT_MAX || (size_t)(end - to) < value.size + 3) {
        return NULL;
    }
    *to++ = (unsigned char)((index == NAME_SET_COOKIE ? NEVER : LITERAL) | PREFIX_MAX);
    *to++ = (unsigned char)(index - PREFIX_MAX);
    return put_text(to, value);
}

unsigned char *http2_put_field(unsigned char *to, const unsigned char *end, const http_field *field)
{
    uint8_t index = field->name.size > 0 ? index_of(field->name) : 0;
    if (index != 0) {
        return http2_put_known(to, end, index, field->value);
    }
    if (to == NULL || field->name.size > TEXT_MAX || field->value.size > TEXT_MAX ||
        (size_t)(end - to) < field->name.size + field->value.size + 3) {
        return NULL;
    }
    *to++ = LITERAL;
    return put_text(put_text(to, field->name), field->value);
}

/* --- blocks that come ------------------------------------------------------------------------------- */

typedef struct reader {
    const unsigned char *at;
    const unsigned char *end;
} reader;

/* An integer behind the first bits of a byte (5.1); false: it has no end, or is beyond any size here. */
static bool read_number(reader *r, unsigned bits, size_t *ret)
{
    if (r->at == r->end) {
        return false;
    }
    size_t mask = (1u << bits) - 1;
    size_t number = *r->at++ & mask;
    if (number == mask) {
        unsigned shift = 0;
        unsigned char byte;
        do {
            if (r->at == r->end || shift > 21) {
                return false;
            }
            byte = *r->at++;
            number += (size_t)(byte & 0x7f) << shift;
            shift += 7;
        } while ((byte & 0x80) != 0);
    }
    *ret = number;
    return true;
}

static bool skip_text(reader *r)
{
    size_t size;
    if (!read_number(r, 7, &size) || size > (size_t)(r->end - r->at)) {
        return false;
    }
    r->at += size;
    return true;
}

bool http2_block_is_neutral(const unsigned char *block, size_t size)
{
    reader r = {.at = block, .end = block + size};
    while (r.at < r.end) {
        size_t index;
        unsigned char first = *r.at;
        if ((first & 0x80) != 0) { /* a field of a table (6.1) */
            if (!read_number(&r, 7, &index)) {
                return false;
            }
            continue;
        }
        if ((first & 0x60) != 0) { /* one more for the table (6.2.1), or its size (6.3) */
            return false;
        }
        if (!read_number(&r, 4, &index) || (index == 0 && !skip_text(&r)) || !skip_text(&r)) {
            return false; /* a literal, not indexed (6.2.2, 6.2.3) */
        }
    }
    return true;
}
