/*
 * jsontext.c -- one pass over the text, values in the arena.
 *
 * Members and items of what is open wait on one stack; when an object or array closes, its part of
 * the stack is copied to exact arrays and given back.  A string without escapes is a slice of the
 * text.  Duplicate keys are found by comparing (few) or by a small hash table (many), so that an
 * object with a million equal keys costs no more than another of its size.
 *
 *     stack:  [ root's members so far | those of the object in it | those of the array in that ]
 *
 * Recursion is bounded by PKG_JSON_DEPTH_MAX.
 *
 * Threads: no state.  Source: RFC 8259.
 */
#include "workload/pkg/jsontext.h"

#include <stdlib.h>
#include <string.h>

enum {
    STACK_FIRST = 64,
    COMPARE_MAX = 12,    /* more members than this are told apart by hash */
    EXACT_DIGITS = 15,   /* any number of so many digits is exact in a double */
    NUMBER_LENGTH = 128, /* longer ones are cut: the digits behind decide nothing */
};

typedef struct entry {
    pkg_text key;
    const pkg_json *value;
} entry;

typedef struct parser {
    const char *at;
    const char *begin;
    const char *end;
    uint32_t line;
    uint32_t depth;
    brisk_arena *arena;
    brisk_errinfo *info;
    entry *stack;
    uint32_t stack_count;
    uint32_t stack_capacity;
} parser;

static brisk_err parse_value(parser *p, const pkg_json **ret);

/* --- errors -------------------------------------------------------------------------------- */

static brisk_err fail_at(parser *p, brisk_err err, const char *what)
{
    const char *line = p->at;
    while (line > p->begin && line[-1] != '\n') {
        line--;
    }
    size_t column = 1;
    for (; line < p->at; line++) {
        column += ((unsigned char)*line & 0xC0) != 0x80;
    }
    return brisk_errinfo_set(p->info, err, "line %u, column %zu: %s", p->line, column, what);
}

static brisk_err corrupt(parser *p, const char *what)
{
    return fail_at(p, BRISK_ERR_CORRUPT,
                   p->at == p->end ? "the text ends in the middle of a value" : what);
}

static brisk_err no_memory(parser *p)
{
    return fail_at(p, BRISK_ERR_NOMEM, "out of memory");
}

/* --- small pieces -------------------------------------------------------------------------- */

static void skip_space(parser *p)
{
    for (; p->at < p->end; p->at++) {
        char c = *p->at;
        if (c == '\n') {
            p->line++;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            return;
        }
    }
}

static pkg_json *new_value(parser *p, pkg_json_type type)
{
    pkg_json *value = brisk_arena_alloc(p->arena, sizeof *value);
    if (value != NULL) {
        *value = (pkg_json){.type = type, .raw = {.data = p->at}, .line = p->line};
    }
    return value;
}

static brisk_err parse_word(parser *p, const char *word, pkg_json_type type, const pkg_json **ret)
{
    size_t size = strlen(word);
    size_t left = (size_t)(p->end - p->at);
    if (left < size || memcmp(p->at, word, size) != 0) {
        return corrupt(p, "a value is expected here (an object, a list, a string, a number, true, "
                          "false or null)");
    }
    pkg_json *value = new_value(p, type);
    if (value == NULL) {
        return no_memory(p);
    }
    value->boolean = *word == 't';
    value->raw.size = size;
    p->at += size;
    *ret = value;
    return BRISK_OK;
}

/* --- numbers ------------------------------------------------------------------------------- */

static bool is_digit(const parser *p)
{
    return p->at < p->end && *p->at >= '0' && *p->at <= '9';
}

static bool skip_digits(parser *p)
{
    bool some = is_digit(p);
    while (is_digit(p)) {
        p->at++;
    }
    return some;
}

static double number_of(pkg_text raw, bool whole)
{
    size_t sign = raw.data[0] == '-';
    if (whole && raw.size - sign <= EXACT_DIGITS) {
        uint64_t value = 0;
        for (size_t i = sign; i < raw.size; i++) {
            value = value * 10 + (uint64_t)(raw.data[i] - '0');
        }
        return sign != 0 ? -(double)value : (double)value;
    }
    char copy[NUMBER_LENGTH];
    size_t size = raw.size < sizeof copy ? raw.size : sizeof copy - 1;
    memcpy(copy, raw.data, size);
    copy[size] = '\0';
    return strtod(copy, NULL);
}

static brisk_err parse_number(parser *p, const pkg_json **ret)
{
    pkg_json *value = new_value(p, PKG_JSON_NUMBER);
    if (value == NULL) {
        return no_memory(p);
    }
    bool whole = true;
    p->at += *p->at == '-';
    if (p->at < p->end && *p->at == '0') {
        p->at++;
        if (is_digit(p)) {
            return corrupt(p, "a number may not begin with 0");
        }
    } else if (!skip_digits(p)) {
        return corrupt(p, "a digit is expected here");
    }
    if (p->at < p->end && *p->at == '.') {
        whole = false;
        p->at++;
        if (!skip_digits(p)) {
            return corrupt(p, "a digit is expected behind the point");
        }
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        whole = false;
        p->at++;
        p->at += p->at < p->end && (*p->at == '+' || *p->at == '-');
        if (!skip_digits(p)) {
            return corrupt(p, "a digit is expected in the exponent");
        }
    }
    value->raw.size = (size_t)(p->at - value->raw.data);
    if (value->raw.size >= NUMBER_LENGTH) {
        return fail_at(p, BRISK_ERR_LIMIT, "the number is longer than 127 characters");
    }
    value->number = number_of(value->raw, whole);
    *ret = value;
    return BRISK_OK;
}

/* --- strings ------------------------------------------------------------------------------- */

/* Bytes of the well-formed UTF-8 character at the place, or 0. */
static size_t utf8_size(const unsigned char *at, size_t left)
{
    unsigned char c = at[0];
    size_t size = c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (size == 0 || left < size) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (c == 0xE0 && at[1] < 0xA0) || (c == 0xF0 && at[1] < 0x90);
    bool outside = (c == 0xED && at[1] >= 0xA0) || (c == 0xF4 && at[1] >= 0x90);
    return overlong || outside ? 0 : size;
}

/* Eight bytes at once: none is a quote, a backslash, a control character or above 0x7F. */
static bool eight_plain(const char *at)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t highs = UINT64_C(0x8080808080808080);
    uint64_t word;
    memcpy(&word, at, sizeof word);
    uint64_t quote = word ^ (ones * '"');
    uint64_t backslash = word ^ (ones * '\\');
    uint64_t special = (quote - ones) | (backslash - ones) | (word - ones * 0x20) | word;
    return (special & highs) == 0; /* may be wrong the safe way */
}

/* From behind the opening quote to the closing one; `*escapes`: whether there are any. */
static brisk_err scan_string(parser *p, bool *escapes)
{
    *escapes = false;
    for (;;) {
        while (p->end - p->at >= 8 && eight_plain(p->at)) {
            p->at += 8;
        }
        if (p->at == p->end) {
            return corrupt(p, "");
        }
        unsigned char c = (unsigned char)*p->at;
        if (c == '"') {
            return BRISK_OK;
        }
        if (c < 0x20) {
            return corrupt(p, c == '\n' ? "the string is not closed on its line"
                                        : "a control character in a string has to be escaped");
        }
        if (c == '\\') {
            *escapes = true;
            p->at += p->end - p->at >= 2 ? 2 : 1;
        } else if (c < 0x80) {
            p->at++;
        } else {
            size_t size = utf8_size((const unsigned char *)p->at, (size_t)(p->end - p->at));
            if (size == 0) {
                return corrupt(p, "the bytes here are no UTF-8");
            }
            p->at += size;
        }
    }
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four digits at `at`, or -1. */
static int32_t hex4(const char *at, const char *end)
{
    if (end - at < 4) {
        return -1;
    }
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_of(at[i]);
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xC0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *to++ = (char)(0xE0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
        *to++ = (char)(0x80 | (c & 0x3F));
    } else {
        *to++ = (char)(0xF0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3F));
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
        *to++ = (char)(0x80 | (c & 0x3F));
    }
    return to;
}

/* "\uXXXX" behind the "\u", with its second half if it is the first of a pair; NULL: no digits. */
static const char *unescape_u(const char *at, const char *end, char **to)
{
    int32_t first = hex4(at, end);
    if (first < 0) {
        return NULL;
    }
    at += 4;
    uint32_t c = (uint32_t)first;
    if (c >= 0xD800 && c < 0xDC00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        int32_t second = hex4(at + 2, end);
        if (second >= 0xDC00 && second < 0xE000) {
            c = 0x10000 + ((c - 0xD800) << 10) + ((uint32_t)second - 0xDC00);
            at += 6;
        }
    }
    *to = put_utf8(*to, c >= 0xD800 && c < 0xE000 ? 0xFFFD : c);
    return at;
}

/* [begin, p->at) without its escapes, which are never shorter than what they stand for. */
static brisk_err unescape(parser *p, const char *begin, pkg_text *ret)
{
    const char *end = p->at;
    char *text = brisk_arena_alloc(p->arena, (size_t)(end - begin));
    if (text == NULL) {
        return no_memory(p);
    }
    char *to = text;
    for (const char *at = begin; at < end;) {
        if (*at != '\\') {
            *to++ = *at++;
            continue;
        }
        static const char letters[] = "\"\\/bfnrt";
        static const char meant[] = "\"\\/\b\f\n\r\t";
        const char *letter = at[1] != '\0' ? strchr(letters, at[1]) : NULL;
        const char *next = at + 2;
        if (letter != NULL) {
            *to++ = meant[letter - letters];
        } else {
            next = at[1] == 'u' ? unescape_u(at + 2, end, &to) : NULL;
        }
        if (next == NULL) {
            p->at = at;
            return corrupt(p, "no such escape in a string");
        }
        at = next;
    }
    *ret = (pkg_text){.data = text, .size = (size_t)(to - text)};
    return BRISK_OK;
}

/* At the opening quote; ends behind the closing one. */
static brisk_err parse_text(parser *p, pkg_text *ret)
{
    const char *begin = ++p->at;
    bool escapes;
    brisk_err err = scan_string(p, &escapes);
    if (err != BRISK_OK) {
        return err;
    }
    *ret = (pkg_text){.data = begin, .size = (size_t)(p->at - begin)};
    if (escapes) {
        err = unescape(p, begin, ret);
        if (err != BRISK_OK) {
            return err;
        }
    }
    p->at++;
    return BRISK_OK;
}

static brisk_err parse_string(parser *p, const pkg_json **ret)
{
    pkg_json *value = new_value(p, PKG_JSON_STRING);
    if (value == NULL) {
        return no_memory(p);
    }
    brisk_err err = parse_text(p, &value->text);
    if (err != BRISK_OK) {
        return err;
    }
    value->raw.size = (size_t)(p->at - value->raw.data);
    *ret = value;
    return BRISK_OK;
}

/* --- objects and arrays -------------------------------------------------------------------- */

static brisk_err push(parser *p, pkg_text key, const pkg_json *value)
{
    if (p->stack_count == p->stack_capacity) {
        uint32_t capacity = p->stack_capacity > 0 ? p->stack_capacity * 2 : STACK_FIRST;
        entry *more = brisk_arena_alloc(p->arena, capacity * sizeof *more);
        if (more == NULL) {
            return no_memory(p);
        }
        if (p->stack_count > 0) {
            memcpy(more, p->stack, p->stack_count * sizeof *more);
        }
        p->stack = more;
        p->stack_capacity = capacity;
    }
    p->stack[p->stack_count++] = (entry){.key = key, .value = value};
    return BRISK_OK;
}

/* Each key once, where it first stood, with its last value. */
static uint32_t unique_few(entry *entries, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t j = 0;
        while (j < kept && !pkg_text_equal(entries[j].key, entries[i].key)) {
            j++;
        }
        if (j == kept) {
            entries[kept++] = entries[i];
        } else {
            entries[j].value = entries[i].value;
        }
    }
    return kept;
}

static brisk_err unique_many(parser *p, entry *entries, uint32_t count, uint32_t *ret)
{
    uint32_t slots = 32;
    while (slots < count * UINT64_C(2)) {
        slots *= 2;
    }
    uint32_t *table = brisk_arena_calloc(p->arena, slots, sizeof *table); /* index + 1 */
    if (table == NULL) {
        return no_memory(p);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = (uint32_t)pkg_text_hash(entries[i].key) & (slots - 1);
        while (table[slot] != 0 && !pkg_text_equal(entries[table[slot] - 1].key, entries[i].key)) {
            slot = (slot + 1) & (slots - 1);
        }
        if (table[slot] != 0) {
            entries[table[slot] - 1].value = entries[i].value;
        } else {
            entries[kept++] = entries[i];
            table[slot] = kept;
        }
    }
    *ret = kept;
    return BRISK_OK;
}

/* What was pushed since `first` becomes the contents of `value`. */
static brisk_err close_container(parser *p, uint32_t first, pkg_json *value)
{
    uint32_t count = p->stack_count - first;
    p->stack_count = first;
    p->depth--;
    value->raw.size = (size_t)(p->at - value->raw.data);
    if (count == 0) {
        return BRISK_OK; /* and there may be no stack yet */
    }
    entry *entries = p->stack + first;
    bool object = value->type == PKG_JSON_OBJECT;
    if (object && count <= COMPARE_MAX) {
        count = unique_few(entries, count);
    } else if (object) {
        brisk_err err = unique_many(p, entries, count, &count);
        if (err != BRISK_OK) {
            return err;
        }
    }
    size_t keys_size = object ? count * sizeof(pkg_text) : 0;
    char *memory = brisk_arena_alloc(p->arena, keys_size + count * sizeof(const pkg_json *));
    if (memory == NULL) {
        return no_memory(p);
    }
    pkg_text *keys = (pkg_text *)(void *)memory;
    const pkg_json **items = (const pkg_json **)(void *)(memory + keys_size);
    for (uint32_t i = 0; i < count; i++) {
        items[i] = entries[i].value;
        if (object) {
            keys[i] = entries[i].key;
        }
    }
    value->count = count;
    value->keys = object ? keys : NULL;
    value->items = items;
    return BRISK_OK;
}

static brisk_err parse_member(parser *p, bool object)
{
    pkg_text key = {0};
    if (object) {
        if (p->at == p->end || *p->at != '"') {
            return corrupt(p, "a name in double quotes is expected here");
        }
        brisk_err err = parse_text(p, &key);
        if (err != BRISK_OK) {
            return err;
        }
        skip_space(p);
        if (p->at == p->end || *p->at != ':') {
            return corrupt(p, "':' is expected here");
        }
        p->at++;
        skip_space(p);
    }
    const pkg_json *value;
    brisk_err err = parse_value(p, &value);
    return err == BRISK_OK ? push(p, key, value) : err;
}

static brisk_err parse_container(parser *p, pkg_json_type type, const pkg_json **ret)
{
    bool object = type == PKG_JSON_OBJECT;
    char closing = object ? '}' : ']';
    if (p->depth == PKG_JSON_DEPTH_MAX) {
        return fail_at(p, BRISK_ERR_LIMIT, "objects and lists are nested too deep");
    }
    pkg_json *value = new_value(p, type);
    if (value == NULL) {
        return no_memory(p);
    }
    p->depth++;
    p->at++;
    skip_space(p);
    uint32_t first = p->stack_count;
    if (p->at < p->end && *p->at == closing) {
        p->at++;
        *ret = value;
        return close_container(p, first, value);
    }
    for (;;) {
        brisk_err err = parse_member(p, object);
        if (err != BRISK_OK) {
            return err;
        }
        skip_space(p);
        if (p->at == p->end || (*p->at != ',' && *p->at != closing)) {
            return corrupt(p,
                           object ? "',' or '}' is expected here" : "',' or ']' is expected here");
        }
        if (*p->at++ == closing) {
            *ret = value;
            return close_container(p, first, value);
        }
        skip_space(p);
    }
}

/* --- the whole ----------------------------------------------------------------------------- */

static brisk_err parse_value(parser *p, const pkg_json **ret)
{
    if (p->at == p->end) {
        return corrupt(p, "");
    }
    switch (*p->at) {
    case '{': return parse_container(p, PKG_JSON_OBJECT, ret);
    case '[': return parse_container(p, PKG_JSON_ARRAY, ret);
    case '"': return parse_string(p, ret);
    case 't': return parse_word(p, "true", PKG_JSON_BOOL, ret);
    case 'f': return parse_word(p, "false", PKG_JSON_BOOL, ret);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': return parse_number(p, ret);
    default: return parse_word(p, "null", PKG_JSON_NULL, ret);
    }
}

brisk_err pkg_json_parse(pkg_text text, brisk_arena *arena, const pkg_json **ret,
                         brisk_errinfo *info)
{
    if (text.size >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0) {
        text = (pkg_text){.data = text.data + 3, .size = text.size - 3};
    }
    if (text.data == NULL) {
        text = PKG_TEXT("");
    }
    parser p = {.at = text.data,
                .begin = text.data,
                .end = text.data + text.size,
                .line = 1,
                .arena = arena,
                .info = info};
    if (text.size > UINT32_MAX) {
        return fail_at(&p, BRISK_ERR_LIMIT, "the text is larger than 4 GiB");
    }
    skip_space(&p);
    if (p.at == p.end) {
        return fail_at(&p, BRISK_ERR_CORRUPT, "the text is empty");
    }
    const pkg_json *value;
    brisk_err err = parse_value(&p, &value);
    if (err != BRISK_OK) {
        return err;
    }
    skip_space(&p);
    if (p.at != p.end) {
        return corrupt(&p, "the value ends before this");
    }
    *ret = value;
    return BRISK_OK;
}

const pkg_json *pkg_json_get(const pkg_json *object, const char *key)
{
    if (object == NULL || object->type != PKG_JSON_OBJECT) {
        return NULL;
    }
    pkg_text wanted = pkg_text_of(key);
    for (uint32_t i = 0; i < object->count; i++) {
        if (pkg_text_equal(object->keys[i], wanted)) {
            return object->items[i];
        }
    }
    return NULL;
}

pkg_text pkg_json_get_text(const pkg_json *object, const char *key)
{
    const pkg_json *member = pkg_json_get(object, key);
    return member != NULL && member->type == PKG_JSON_STRING ? member->text : PKG_TEXT("");
}
