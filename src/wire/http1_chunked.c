/*
 * http1_chunked.c -- bodies in chunks, one byte of their frame at a time, their data in pieces.
 *
 *     SIZE ─digits─► CR ─► LF ─► DATA ─► CR ─► LF ─► SIZE ...     1a;name="value" CR LF data CR LF
 *       └─';'─► name ['=' value] ─► CR ...                        0 CR LF trailers CR LF
 *     size 0: LF ─► TRAILER (lines, until an empty one) ─► done
 *
 * What a size may be is a common way to smuggle: hexadecimal digits alone, HTTP1_CHUNK_DIGITS_MAX of them, no sign, no
 * blanks, no 0x.  Extensions and trailers are checked, counted and forgotten.
 *
 * Source: RFC 9112, 7.1.
 */
#include <string.h>

#include "wire/http1.h"

enum state {
    SIZE,
    EXTENSION, /* behind ';' */
    EXTENSION_NAME,
    EXTENSION_EQUALS, /* behind '=' */
    EXTENSION_VALUE,
    EXTENSION_QUOTED,
    EXTENSION_ESCAPED, /* behind a backslash */
    EXTENSION_END,     /* behind the quotes */
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER,    /* at the start of a line */
    NAME,       /* of a trailer */
    VALUE,      /* of a trailer */
    TRAILER_LF, /* behind a trailer */
    LAST_LF,    /* behind the empty line */
    OVER,
};

static int hex_of(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    unsigned char lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool fail(http1_chunked *chunked, const char *error)
{
    chunked->error = error;
    return false;
}

static bool is_control(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

static bool read_size(http1_chunked *chunked, unsigned char c)
{
    int digit = hex_of(c);
    if (digit >= 0) {
        if (chunked->digits == HTTP1_CHUNK_DIGITS_MAX) {
            return fail(chunked, "the size of a chunk has too many digits");
        }
        chunked->digits++;
        chunked->left = chunked->left * 16 + (uint64_t)digit;
        return true;
    }
    if (chunked->digits == 0 || (c != '\r' && c != ';')) {
        return fail(chunked, "the size of a chunk is wrong");
    }
    chunked->extension = 0;
    chunked->state = c == '\r' ? SIZE_LF : EXTENSION;
    return true;
}

/* The state behind `c`; -1: it must not be there. */
static int after_extension(const http1_chunked *chunked, unsigned char c)
{
    char byte = (char)c;
    bool token = http1_is_token((http_text){.data = &byte, .size = 1});
    int next = c == '\r' ? SIZE_LF : c == ';' ? EXTENSION : -1;
    switch (chunked->state) {
    case EXTENSION: return token ? EXTENSION_NAME : -1;
    case EXTENSION_NAME: return token ? EXTENSION_NAME : c == '=' ? EXTENSION_EQUALS : next;
    case EXTENSION_EQUALS: return token ? EXTENSION_VALUE : c == '"' ? EXTENSION_QUOTED : -1;
    case EXTENSION_VALUE: return token ? EXTENSION_VALUE : next;
    case EXTENSION_QUOTED:
        return is_control(c) ? -1
               : c == '"'    ? EXTENSION_END
               : c == '\\'   ? EXTENSION_ESCAPED
                             : EXTENSION_QUOTED;
    case EXTENSION_ESCAPED: return is_control(c) ? -1 : EXTENSION_QUOTED;
    default: return next;
    }
}

static bool read_extension(http1_chunked *chunked, unsigned char c)
{
    int next = after_extension(chunked, c);
    if (next < 0) {
        return fail(chunked, "the extension of a chunk is wrong");
    }
    chunked->state = (uint8_t)next;
    chunked->extension++;
    chunked->extensions++;
    if (chunked->extension > HTTP1_EXTENSION_MAX || chunked->extensions > HTTP1_EXTENSIONS_MAX) {
        return fail(chunked, "the extensions of chunks are too long");
    }
    return true;
}

static bool read_trailer(http1_chunked *chunked, unsigned char c)
{
    char byte = (char)c;
    bool named = http1_is_token((http_text){.data = &byte, .size = 1});
    if (++chunked->trailers > HTTP1_TRAILERS_MAX) {
        return fail(chunked, "the trailers are too long");
    }
    if (chunked->state == TRAILER && c == '\r') {
        chunked->state = LAST_LF;
    } else if (chunked->state != VALUE) {
        if (!named && !(chunked->state == NAME && c == ':')) {
            return fail(chunked, "the name of a trailer is wrong");
        }
        chunked->state = c == ':' ? VALUE : NAME;
    } else if (c == '\r') {
        chunked->state = TRAILER_LF;
    } else if (is_control(c)) {
        return fail(chunked, "there is a control character in a trailer");
    }
    return true;
}

static bool read_line_end(http1_chunked *chunked, unsigned char c)
{
    bool cr = chunked->state == DATA_CR;
    if (c != (cr ? '\r' : '\n')) {
        return fail(chunked, cr ? "a chunk is longer than it said" : "a CR stands alone");
    }
    switch (chunked->state) {
    case SIZE_LF:
        chunked->state = chunked->left > 0 ? DATA : TRAILER;
        chunked->digits = 0;
        break;
    case DATA_CR: chunked->state = DATA_LF; break;
    case DATA_LF: chunked->state = SIZE; break;
    case TRAILER_LF: chunked->state = TRAILER; break;
    default: chunked->state = OVER; break;
    }
    return true;
}

static bool read_frame(http1_chunked *chunked, unsigned char c)
{
    switch (chunked->state) {
    case SIZE: return read_size(chunked, c);
    case EXTENSION:
    case EXTENSION_NAME:
    case EXTENSION_EQUALS:
    case EXTENSION_VALUE:
    case EXTENSION_QUOTED:
    case EXTENSION_ESCAPED:
    case EXTENSION_END: return read_extension(chunked, c);
    case TRAILER:
    case NAME:
    case VALUE: return read_trailer(chunked, c);
    default: return read_line_end(chunked, c);
    }
}

http1_status http1_chunked_read(http1_chunked *chunked, const unsigned char *data, size_t size,
                                size_t *used, http_text *piece)
{
    size_t at = 0;
    *piece = (http_text){.data = "", .size = 0};
    while (chunked->error == NULL && chunked->state != OVER && chunked->state != DATA &&
           at < size) {
        if (!read_frame(chunked, data[at])) {
            break;
        }
        at++;
    }
    *used = at;
    if (chunked->error != NULL) {
        return HTTP1_BAD;
    }
    if (chunked->state == OVER) {
        return HTTP1_DONE;
    }
    if (chunked->state == DATA && at < size) {
        uint64_t there = size - at;
        size_t taken = (size_t)(there < chunked->left ? there : chunked->left);
        *piece = (http_text){.data = (const char *)data + at, .size = taken};
        *used = at + taken;
        chunked->left -= taken;
        chunked->state = chunked->left == 0 ? DATA_CR : DATA;
    }
    return HTTP1_MORE;
}
