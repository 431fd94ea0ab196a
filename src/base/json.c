/*
 * json.c -- the streaming writer behind <brisk/json.h>.
 *
 * The only state is a bit per open level: is it an array, has it a member yet.  depth_ keeps
 * counting beyond the limit, so that begin and end stay paired after an error; the bit above all
 * depths notes that the top has its one value.
 */
#include <math.h>
#include <string.h>

#include <brisk/json.h>

#include "base/assert.h"
#include "base/text.h"

enum { TOP_USED = 1u << 30, SPACES = 16 };

static brisk_err write_file(void *ctx, const char *data, size_t size)
{
    return fwrite(data, 1, size, ctx) == size ? BRISK_OK : BRISK_ERR_IO;
}

brisk_out brisk_out_file(void *file)
{
    return (brisk_out){.write = write_file, .ctx = file};
}

static uint32_t depth_of(const brisk_json *json)
{
    return json->depth_ & ~(uint32_t)TOP_USED;
}

static uint32_t bit_of(const brisk_json *json)
{
    uint32_t depth = depth_of(json);
    return depth >= 1 && depth <= BRISK_JSON_DEPTH_MAX ? 1u << (depth - 1) : 0;
}

static void put(brisk_json *json, const char *data, size_t size)
{
    if (json->err_ == BRISK_OK && size != 0) {
        json->err_ = json->out_.write(json->out_.ctx, data, size);
    }
}

static void put_line(brisk_json *json)
{
    static const char blank[SPACES + 1] = "                ";
    if (json->indent_ == 0) {
        return;
    }
    put(json, "\n", 1);
    for (uint64_t left = (uint64_t)depth_of(json) * json->indent_; left > 0;) {
        size_t part = left < SPACES ? (size_t)left : SPACES;
        put(json, blank, part);
        left -= part;
    }
}

static void put_escape(brisk_json *json, unsigned char c)
{
    static const char special[] = "\b\f\n\r\t\"\\";
    static const char letter[] = "bfnrt\"\\";
    const char *found = memchr(special, c, sizeof special - 1);
    char text[8];
    int size = found != NULL ? snprintf(text, sizeof text, "\\%c", letter[found - special])
                             : snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
    put(json, text, (size_t)size);
}

/* Valid, but no character of a text (U+FEFF, U+FFFE, U+FFFF): YAML's readers refuse it unescaped.  Its code, or 0. */
static unsigned no_character(const unsigned char *s, size_t step)
{
    if (step != 3 || s[0] != 0xef) {
        return 0;
    }
    unsigned code = 0xf000u | (unsigned)(s[1] & 0x3f) << 6 | (unsigned)(s[2] & 0x3f);
    return code == 0xfeff || code >= 0xfffe ? code : 0;
}

static void put_string(brisk_json *json, const char *value, size_t size)
{
    const unsigned char *s = (const unsigned char *)value;
    size_t plain = 0; /* start of what needs no change */
    put(json, "\"", 1);
    for (size_t i = 0; i < size;) {
        size_t step = s[i] < 0x80 ? 1 : brisk_text_utf8(s + i, size - i);
        unsigned code = no_character(s + i, step);
        if (code != 0) {
            char text[8];
            put(json, value + plain, i - plain);
            put(json, text, (size_t)snprintf(text, sizeof text, "\\u%04x", code));
            i += step;
            plain = i;
            continue;
        }
        if (step > 1 || (step == 1 && s[i] >= ' ' && s[i] != '"' && s[i] != '\\')) {
            i += step;
            continue;
        }
        put(json, value + plain, i - plain);
        if (step == 0) {
            put(json, "\xef\xbf\xbd", 3); /* U+FFFD */
        } else {
            put_escape(json, s[i]);
        }
        plain = ++i;
    }
    put(json, value + plain, size - plain);
    put(json, "\"", 1);
}

/* Comma, line, key: everything that stands before a value. */
static void begin_value(brisk_json *json, const char *key)
{
    if (depth_of(json) == 0) {
        BRISK_ASSERT(key == NULL);
        BRISK_ASSERT((json->depth_ & TOP_USED) == 0);
        json->depth_ |= TOP_USED;
        return;
    }
    uint32_t bit = bit_of(json);
    if (bit == 0) {
        return; /* too deep: the error is noted, nothing is written any more */
    }
    bool in_array = (json->array_bits_ & bit) != 0;
    BRISK_ASSERT(in_array == (key == NULL));
    if ((json->used_bits_ & bit) != 0) {
        put(json, ",", 1);
    }
    json->used_bits_ |= bit;
    put_line(json);
    if (key != NULL) {
        put_string(json, key, strlen(key));
        put(json, ": ", json->indent_ != 0 ? 2 : 1);
    }
}

static void begin_level(brisk_json *json, const char *key, bool array)
{
    begin_value(json, key);
    put(json, array ? "[" : "{", 1);
    json->depth_++;
    uint32_t bit = bit_of(json);
    if (bit == 0 && json->err_ == BRISK_OK) {
        json->err_ = BRISK_ERR_LIMIT;
    }
    json->used_bits_ &= ~bit;
    json->array_bits_ = array ? json->array_bits_ | bit : json->array_bits_ & ~bit;
}

static void end_level(brisk_json *json, bool array)
{
    BRISK_ASSERT(depth_of(json) > 0);
    uint32_t bit = bit_of(json);
    BRISK_ASSERT(bit == 0 || ((json->array_bits_ & bit) != 0) == array);
    bool used = (json->used_bits_ & bit) != 0;
    json->depth_--;
    if (used) {
        put_line(json);
    }
    put(json, array ? "]" : "}", 1);
}

void brisk_json_init(brisk_json *json, brisk_out out, uint32_t indent)
{
    BRISK_ASSERT(out.write != NULL);
    *json = (brisk_json){.out_ = out, .indent_ = indent};
}

void brisk_json_object_begin(brisk_json *json, const char *key)
{
    begin_level(json, key, false);
}

void brisk_json_object_end(brisk_json *json)
{
    end_level(json, false);
}

void brisk_json_array_begin(brisk_json *json, const char *key)
{
    begin_level(json, key, true);
}

void brisk_json_array_end(brisk_json *json)
{
    end_level(json, true);
}

void brisk_json_str(brisk_json *json, const char *key, const char *value)
{
    if (value == NULL) {
        brisk_json_null(json, key);
        return;
    }
    begin_value(json, key);
    put_string(json, value, strlen(value));
}

void brisk_json_text(brisk_json *json, const char *key, const char *data, size_t size)
{
    begin_value(json, key);
    put_string(json, data, size);
}

void brisk_json_raw(brisk_json *json, const char *key, const char *data, size_t size)
{
    BRISK_ASSERT(size > 0);
    begin_value(json, key);
    put(json, data, size);
}

static void put_literal(brisk_json *json, const char *key, const char *text)
{
    begin_value(json, key);
    put(json, text, strlen(text));
}

void brisk_json_u64(brisk_json *json, const char *key, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    put_literal(json, key, text);
}

void brisk_json_i64(brisk_json *json, const char *key, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    put_literal(json, key, text);
}

/* printf follows the program's locale; JSON knows only the point. */
static void use_point(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        if (strchr("+-0123456789eE", *from) != NULL) {
            *to++ = *from;
        } else if (to == text || to[-1] != '.') {
            *to++ = '.';
        }
    }
    *to = '\0';
}

void brisk_json_double(brisk_json *json, const char *key, double value)
{
    enum { DIGITS_USUAL = 15, DIGITS_EXACT = 17 };
    if (!isfinite(value)) {
        brisk_json_null(json, key);
        return;
    }
    char text[48];
    for (int digits = DIGITS_USUAL; digits <= DIGITS_EXACT; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (back == value) {
            break; /* the shortest that reads back the same */
        }
    }
    use_point(text);
    put_literal(json, key, text);
}

void brisk_json_bool(brisk_json *json, const char *key, bool value)
{
    put_literal(json, key, value ? "true" : "false");
}

void brisk_json_null(brisk_json *json, const char *key)
{
    put_literal(json, key, "null");
}

brisk_err brisk_json_finish(brisk_json *json)
{
    BRISK_ASSERT(depth_of(json) == 0);
    put(json, "\n", 1);
    return json->err_;
}
