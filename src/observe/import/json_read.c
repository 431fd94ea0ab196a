/*
 * json_read.c -- a pull reader of RFC 8259 over bytes in memory.
 *
 * The state between two events is the depth, one bit a level (object or array) and whether the level
 * has a member yet.  Every call consumes at least one byte or ends the reading, so that it ends.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "observe/import/json_read.h"

void json_reader_init(json_reader *r, const char *data, size_t size)
{
    *r = (json_reader){.data = data, .size = size, .first = true};
}

static void skip_space(json_reader *r)
{
    while (r->at < r->size && strchr(" \t\r\n", r->data[r->at]) != NULL && r->data[r->at] != '\0') {
        r->at++;
    }
}

static bool take(json_reader *r, char c)
{
    bool there = r->at < r->size && r->data[r->at] == c;
    r->at += there ? 1 : 0;
    return there;
}

static bool hex4(json_reader *r, uint32_t *ret)
{
    uint32_t value = 0;
    if (r->size - r->at < 4) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        char c = r->data[r->at++];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A') + 10
                                                : 16;
        if (digit > 15) {
            return false;
        }
        value = value * 16 + digit;
    }
    *ret = value;
    return true;
}

/* A code point as UTF-8; returns the number of bytes. */
static size_t put_utf8(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint32_t heads[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(heads[more] | code >> (6 * more));
    for (size_t i = 1; i <= more; i++) {
        out[i] = (char)(0x80 | (code >> (6 * (more - i)) & 0x3f));
    }
    return more + 1;
}

/* Behind a backslash: the bytes that it stands for, 0 when it stands for none. */
static size_t escape(json_reader *r, char out[4])
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    if (r->at >= r->size) {
        return 0;
    }
    char c = r->data[r->at++];
    const char *found = c != '\0' ? strchr(from, c) : NULL;
    if (found != NULL) {
        out[0] = to[found - from];
        return 1;
    }
    uint32_t code = 0;
    uint32_t low = 0;
    if (c != 'u' || !hex4(r, &code)) {
        return 0;
    }
    if (code >= 0xd800 && code < 0xdc00 && r->size - r->at >= 6 && r->data[r->at] == '\\' &&
        r->data[r->at + 1] == 'u') {
        r->at += 2;
        if (!hex4(r, &low)) {
            return 0;
        }
        bool pair = low >= 0xdc00 && low < 0xe000;
        code = pair ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00) : 0xfffd;
    }
    code = code == 0 || (code >= 0xd800 && code < 0xe000) ? 0xfffd : code;
    return put_utf8(code, out);
}

/* A string, its opening quote read, into `out`, cut to fit. */
static bool read_string(json_reader *r, char out[JSON_TEXT_MAX])
{
    size_t used = 0;
    while (r->at < r->size && r->data[r->at] != '"') {
        char bytes[4] = {r->data[r->at++]};
        size_t count = 1;
        if ((unsigned char)bytes[0] < ' ') {
            return false;
        }
        if (bytes[0] == '\\') {
            count = escape(r, bytes);
        }
        if (count == 0) {
            return false;
        }
        if (used + count < JSON_TEXT_MAX) {
            memcpy(out + used, bytes, count);
            used += count;
        }
    }
    out[used] = '\0';
    return take(r, '"');
}

static size_t digits(json_reader *r)
{
    size_t begin = r->at;
    while (r->at < r->size && r->data[r->at] >= '0' && r->data[r->at] <= '9') {
        r->at++;
    }
    return r->at - begin;
}

static json_event read_number(json_reader *r)
{
    size_t begin = r->at;
    (void)take(r, '-');
    bool zero = r->at < r->size && r->data[r->at] == '0';
    size_t whole = digits(r);
    bool good = whole > 0 && (!zero || whole == 1);
    if (good && take(r, '.')) {
        good = digits(r) > 0;
    }
    if (good && (take(r, 'e') || take(r, 'E'))) {
        (void)(take(r, '+') || take(r, '-'));
        good = digits(r) > 0;
    }
    char text[64];
    size_t size = r->at - begin;
    if (!good || size >= sizeof text) {
        return JSON_BAD;
    }
    memcpy(text, r->data + begin, size);
    text[size] = '\0';
    r->number = strtod(text, NULL);
    return isfinite(r->number) ? JSON_NUMBER : JSON_BAD;
}

static json_event read_word(json_reader *r)
{
    static const struct {
        const char *word;
        json_event event;
    } words[] = {{"true", JSON_TRUE}, {"false", JSON_FALSE}, {"null", JSON_NULL}};
    for (size_t i = 0; i < 3; i++) {
        size_t size = strlen(words[i].word);
        if (r->size - r->at >= size && memcmp(r->data + r->at, words[i].word, size) == 0) {
            r->at += size;
            return words[i].event;
        }
    }
    return JSON_BAD;
}

static json_event open_level(json_reader *r, bool object)
{
    r->at++;
    if (r->depth == JSON_DEPTH) {
        return JSON_BAD;
    }
    uint32_t bit = UINT32_C(1) << r->depth++;
    r->object_bits = object ? r->object_bits | bit : r->object_bits & ~bit;
    r->first = true;
    return object ? JSON_OBJECT : JSON_ARRAY;
}

static json_event read_value(json_reader *r)
{
    char c = r->at < r->size ? r->data[r->at] : '\0';
    if (c == '{' || c == '[') {
        return open_level(r, c == '{');
    }
    r->first = false;
    r->done = r->depth == 0;
    if (c == '"') {
        r->at++;
        return read_string(r, r->text) ? JSON_STRING : JSON_BAD;
    }
    return c == '-' || (c >= '0' && c <= '9') ? read_number(r) : read_word(r);
}

static json_event close_level(json_reader *r, bool object)
{
    r->depth--;
    r->first = false;
    r->done = r->depth == 0;
    r->key[0] = '\0';
    return object ? JSON_OBJECT_END : JSON_ARRAY_END;
}

static json_event step(json_reader *r)
{
    skip_space(r);
    r->key[0] = '\0';
    if (r->depth == 0) {
        return !r->done ? read_value(r) : r->at == r->size ? JSON_END : JSON_BAD;
    }
    bool object = (r->object_bits >> (r->depth - 1) & 1) != 0;
    if (take(r, object ? '}' : ']')) {
        return close_level(r, object);
    }
    if (!r->first && !take(r, ',')) {
        return JSON_BAD;
    }
    skip_space(r);
    if (object) {
        if (!take(r, '"') || !read_string(r, r->key)) {
            return JSON_BAD;
        }
        skip_space(r);
        if (!take(r, ':')) {
            return JSON_BAD;
        }
        skip_space(r);
    }
    return read_value(r);
}

json_event json_next(json_reader *r)
{
    json_event event = r->size == SIZE_MAX ? JSON_BAD : step(r);
    if (event == JSON_BAD) {
        r->size = SIZE_MAX; /* for good */
    }
    return event;
}

bool json_skip(json_reader *r, json_event event)
{
    if (event != JSON_OBJECT && event != JSON_ARRAY) {
        return event != JSON_BAD;
    }
    uint32_t outside = r->depth - 1;
    while (r->depth > outside) {
        if (json_next(r) <= JSON_END) {
            return false;
        }
    }
    return true;
}
