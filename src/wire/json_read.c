/*
 * json_read.c -- the strict reader behind <brisk/json_read.h>.
 *
 * One pass from the left.  Nesting is a stack of bounded depth, not recursion; a container's
 * children are linked as they come, and its names are compared when it is closed: pairwise while
 * they are few, sorted when they are many, so that no text makes the reader slow.
 *
 * Invariant: `at` never passes `size`; a node's `raw` lies inside the text.
 *
 * Threads: no state.  Source: RFC 8259 (grammar), RFC 3629 (which byte sequences are UTF-8).
 */
#include <brisk/json_read.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEW_MEMBERS = 16 };

typedef struct frame {
    brisk_json_node *node;
    const brisk_json_node **tail; /* where the next child is linked */
} frame;

typedef struct reader {
    const char *text;
    size_t size;
    size_t at;
    const brisk_alloc *alloc;
    brisk_errinfo *info;
    uint32_t nodes;
    uint32_t depth;
    frame frames[BRISK_JSON_READ_DEPTH_MAX];
} reader;

static brisk_err fail(const reader *r, brisk_err code, const char *what)
{
    return brisk_errinfo_set(r->info, code, "JSON, byte %zu: %s", r->at, what);
}

static brisk_err no_memory(const reader *r)
{
    return brisk_errinfo_set(r->info, BRISK_ERR_NOMEM, "JSON: out of memory");
}

static void *take(const reader *r, size_t size, size_t align)
{
    return r->alloc->acquire(r->alloc->ctx, size, align);
}

static void skip_space(reader *r)
{
    while (r->at < r->size) {
        char c = r->text[r->at];
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
            return;
        }
        r->at++;
    }
}

/* --- strings ------------------------------------------------------------------------------ */

static int hex_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four digits at `at`; negative: they are not. */
static int32_t unit_at(const reader *r, size_t at)
{
    int32_t unit = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = at + i < r->size ? hex_of(r->text[at + i]) : -1;
        if (digit < 0) {
            return -1;
        }
        unit = unit << 4 | digit;
    }
    return unit;
}

/* Bytes of the UTF-8 sequence at `at`; 0: it is none. */
static size_t sequence_at(const reader *r, size_t at)
{
    const unsigned char *s = (const unsigned char *)r->text + at;
    size_t left = r->size - at;
    if (s[0] < 0x80) {
        return 1;
    }
    if (s[0] < 0xc2 || s[0] > 0xf4) {
        return 0;
    }
    size_t length = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (left < length) {
        return 0;
    }
    unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if (s[i] < 0x80 || s[i] > 0xbf) {
            return 0;
        }
    }
    return length;
}

static size_t put_utf8(char *to, uint32_t point)
{
    if (point < 0x80) {
        to[0] = (char)point;
        return 1;
    }
    size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length - 1; i > 0; i--) {
        to[i] = (char)(0x80 | (point & 0x3f));
        point >>= 6;
    }
    to[0] = (char)(marks[length] | point);
    return length;
}

/* The escape behind a backslash at r->at - 1; what it stands for goes to `to`.  0: it is none. */
static size_t read_escape(reader *r, char *to)
{
    static const char from[] = "\"\\/bfnrt";
    static const char into[] = "\"\\/\b\f\n\r\t";
    char c = r->at < r->size ? r->text[r->at] : '\0';
    const char *found = c != '\0' ? strchr(from, c) : NULL;
    if (found != NULL) {
        r->at++;
        *to = into[found - from];
        return 1;
    }
    int32_t unit = c == 'u' ? unit_at(r, r->at + 1) : -1;
    if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff)) {
        return 0;
    }
    r->at += 5;
    if (unit < 0xd800 || unit > 0xdbff) {
        return put_utf8(to, (uint32_t)unit);
    }
    bool escaped = r->size - r->at >= 2 && r->text[r->at] == '\\' && r->text[r->at + 1] == 'u';
    int32_t second = escaped ? unit_at(r, r->at + 2) : -1;
    if (second < 0xdc00 || second > 0xdfff) {
        return 0;
    }
    r->at += 6;
    uint32_t high = (uint32_t)unit - 0xd800;
    return put_utf8(to, 0x10000 + (high << 10) + ((uint32_t)second - 0xdc00));
}

/* Step over plain characters; false: one that may not stand in a string. */
static bool skip_plain(reader *r)
{
    while (r->at < r->size) {
        unsigned char c = (unsigned char)r->text[r->at];
        if (c == '"' || c == '\\') {
            return true;
        }
        size_t length = c >= 0x20 ? sequence_at(r, r->at) : 0;
        if (length == 0) {
            return false;
        }
        r->at += length;
    }
    return true;
}

/* The end of the string that begins at `at`, for how much room it may need. */
static size_t closing_quote(const reader *r, size_t at)
{
    while (at < r->size && r->text[at] != '"') {
        at += r->text[at] == '\\' ? 2 : 1;
    }
    return at < r->size ? at : r->size;
}

/* The rest of a string with escapes, whose plain beginning is at `begin`. */
static brisk_err read_escaped(reader *r, size_t begin, const char **ret, size_t *ret_size)
{
    char *to = take(r, closing_quote(r, r->at) - begin + 1, 1); /* escapes only get shorter */
    size_t used = 0;
    if (to == NULL) {
        return no_memory(r);
    }
    size_t from = begin;
    for (;;) {
        memcpy(to + used, r->text + from, r->at - from);
        used += r->at - from;
        if (r->at == r->size) {
            return fail(r, BRISK_ERR_INVALID, "a string has no end");
        }
        if (r->text[r->at++] == '"') {
            *ret = to;
            *ret_size = used;
            return BRISK_OK;
        }
        size_t put = read_escape(r, to + used);
        if (put == 0) {
            return fail(r, BRISK_ERR_INVALID, "no escape of JSON");
        }
        used += put;
        from = r->at;
        if (!skip_plain(r)) {
            return fail(r, BRISK_ERR_INVALID, "a character that may not stand in a string");
        }
    }
}

/* At the opening quote. */
static brisk_err read_string(reader *r, const char **ret, size_t *ret_size)
{
    size_t begin = ++r->at;
    if (!skip_plain(r)) {
        return fail(r, BRISK_ERR_INVALID, "a character that may not stand in a string");
    }
    if (r->at == r->size) {
        return fail(r, BRISK_ERR_INVALID, "a string has no end");
    }
    if (r->text[r->at] == '\\') {
        return read_escaped(r, begin, ret, ret_size);
    }
    *ret = r->text + begin;
    *ret_size = r->at - begin;
    r->at++;
    return BRISK_OK;
}

/* --- numbers and words -------------------------------------------------------------------- */

static size_t digits_at(const reader *r, size_t at)
{
    size_t count = 0;
    while (at + count < r->size && r->text[at + count] >= '0' && r->text[at + count] <= '9') {
        count++;
    }
    return count;
}

static char char_at(const reader *r, size_t at)
{
    return at < r->size ? r->text[at] : '\0';
}

static brisk_err read_number(reader *r, brisk_json_node *node)
{
    size_t at = r->at + (char_at(r, r->at) == '-' ? 1 : 0);
    size_t whole = digits_at(r, at);
    bool good = whole == 1 || (whole > 1 && r->text[at] != '0');
    at += whole;
    if (good && char_at(r, at) == '.') {
        size_t part = digits_at(r, at + 1);
        good = part > 0;
        at += 1 + part;
    }
    if (good && (char_at(r, at) | 0x20) == 'e') {
        at += char_at(r, at + 1) == '+' || char_at(r, at + 1) == '-' ? 2 : 1;
        size_t part = digits_at(r, at);
        good = part > 0;
        at += part;
    }
    if (!good) {
        return fail(r, BRISK_ERR_INVALID, "no number of JSON");
    }
    node->kind = BRISK_JSON_NUMBER;
    node->text = r->text + r->at;
    node->size = at - r->at;
    r->at = at;
    return BRISK_OK;
}

static bool skip_word(reader *r, const char *word)
{
    size_t size = strlen(word);
    if (r->size - r->at < size || memcmp(r->text + r->at, word, size) != 0) {
        return false;
    }
    r->at += size;
    return true;
}

static brisk_err read_word(reader *r, brisk_json_node *node)
{
    if (skip_word(r, "true")) {
        node->kind = BRISK_JSON_BOOL;
        node->boolean = true;
    } else if (skip_word(r, "false")) {
        node->kind = BRISK_JSON_BOOL;
    } else if (!skip_word(r, "null")) {
        return fail(r, BRISK_ERR_INVALID,
                    r->at < r->size ? "no value begins like this" : "the text ends too early");
    }
    return BRISK_OK;
}

/* --- containers --------------------------------------------------------------------------- */

static bool same_key(const brisk_json_node *a, const brisk_json_node *b)
{
    return a->key_size == b->key_size && memcmp(a->key, b->key, a->key_size) == 0;
}

static int compare_keys(const void *a, const void *b)
{
    const brisk_json_node *x = *(const brisk_json_node *const *)a;
    const brisk_json_node *y = *(const brisk_json_node *const *)b;
    size_t size = x->key_size < y->key_size ? x->key_size : y->key_size;
    int order = memcmp(x->key, y->key, size);
    return order != 0 ? order : (x->key_size > y->key_size) - (x->key_size < y->key_size);
}

static brisk_err check_few(const reader *r, const brisk_json_node *object)
{
    for (const brisk_json_node *a = object->child; a != NULL; a = a->next) {
        for (const brisk_json_node *b = a->next; b != NULL; b = b->next) {
            if (same_key(a, b)) {
                return fail(r, BRISK_ERR_INVALID, "an object that has a member twice");
            }
        }
    }
    return BRISK_OK;
}

static brisk_err check_twice(const reader *r, const brisk_json_node *object)
{
    if (object->count <= FEW_MEMBERS) {
        return check_few(r, object);
    }
    const brisk_json_node **all = take(r, object->count * sizeof(void *), _Alignof(void *));
    if (all == NULL) {
        return no_memory(r);
    }
    uint32_t count = 0;
    for (const brisk_json_node *a = object->child; a != NULL; a = a->next) {
        all[count++] = a;
    }
    qsort(all, count, sizeof *all, compare_keys);
    for (uint32_t i = 1; i < count; i++) {
        if (same_key(all[i - 1], all[i])) {
            return fail(r, BRISK_ERR_INVALID, "an object that has a member twice");
        }
    }
    return BRISK_OK;
}

static brisk_err open_container(reader *r, brisk_json_node *node, brisk_json_kind kind)
{
    if (r->depth == BRISK_JSON_READ_DEPTH_MAX) {
        return fail(r, BRISK_ERR_LIMIT, "nested too deeply");
    }
    node->kind = kind;
    r->frames[r->depth++] = (frame){.node = node, .tail = &node->child};
    r->at++;
    return BRISK_OK;
}

static brisk_err close_container(reader *r)
{
    brisk_json_node *node = r->frames[--r->depth].node;
    r->at++;
    node->raw_size = (size_t)(r->text + r->at - node->raw);
    return node->kind == BRISK_JSON_OBJECT ? check_twice(r, node) : BRISK_OK;
}

/* A member's name and the colon. */
static brisk_err read_key(reader *r, brisk_json_node *node)
{
    skip_space(r);
    if (char_at(r, r->at) != '"') {
        return fail(r, BRISK_ERR_INVALID, "a member's name is expected");
    }
    brisk_err err = read_string(r, &node->key, &node->key_size);
    if (err == BRISK_OK) {
        skip_space(r);
        if (char_at(r, r->at) != ':') {
            return fail(r, BRISK_ERR_INVALID, "':' is expected");
        }
        r->at++;
    }
    return err;
}

static brisk_err read_value(reader *r, brisk_json_node *node)
{
    skip_space(r);
    node->raw = r->text + r->at;
    char c = char_at(r, r->at);
    brisk_err err;
    if (c == '{' || c == '[') {
        return open_container(r, node, c == '{' ? BRISK_JSON_OBJECT : BRISK_JSON_ARRAY);
    }
    if (c == '"') {
        node->kind = BRISK_JSON_STRING;
        err = read_string(r, &node->text, &node->size);
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        err = read_number(r, node);
    } else {
        err = read_word(r, node);
    }
    node->raw_size = (size_t)(r->text + r->at - node->raw);
    return err;
}

static brisk_err new_node(reader *r, brisk_json_node **ret)
{
    if (r->nodes++ == BRISK_JSON_READ_NODES_MAX) {
        return fail(r, BRISK_ERR_LIMIT, "too many values");
    }
    brisk_json_node *node = take(r, sizeof *node, _Alignof(brisk_json_node));
    if (node == NULL) {
        return no_memory(r);
    }
    *node = (brisk_json_node){.kind = BRISK_JSON_NULL};
    *ret = node;
    return BRISK_OK;
}

/* The next thing inside the innermost container: a child, or its end. */
static brisk_err step(reader *r)
{
    frame *f = &r->frames[r->depth - 1];
    bool is_object = f->node->kind == BRISK_JSON_OBJECT;
    skip_space(r);
    if (char_at(r, r->at) == (is_object ? '}' : ']')) {
        return close_container(r);
    }
    if (f->node->count > 0) {
        if (char_at(r, r->at) != ',') {
            return fail(r, BRISK_ERR_INVALID,
                        r->at < r->size ? "',' or the end is expected" : "the text ends too early");
        }
        r->at++;
    }
    brisk_json_node *node;
    brisk_err err = new_node(r, &node);
    if (err == BRISK_OK && is_object) {
        err = read_key(r, node);
    }
    if (err != BRISK_OK) {
        return err;
    }
    *f->tail = node;
    f->tail = &node->next;
    f->node->count++;
    return read_value(r, node);
}

brisk_err brisk_json_read(const char *text, size_t size, const brisk_alloc *alloc,
                          const brisk_json_node **ret, brisk_errinfo *info)
{
    reader r = {.text = size > 0 ? text : "", .size = size, .alloc = alloc, .info = info};
    brisk_json_node *root;
    brisk_err err = new_node(&r, &root);
    if (err == BRISK_OK) {
        err = read_value(&r, root);
    }
    while (err == BRISK_OK && r.depth > 0) {
        err = step(&r);
    }
    if (err != BRISK_OK) {
        return err;
    }
    skip_space(&r);
    if (r.at != r.size) {
        return fail(&r, BRISK_ERR_INVALID, "something follows the value");
    }
    *ret = root;
    return BRISK_OK;
}

/* --- what requests ask -------------------------------------------------------------------- */

const brisk_json_node *brisk_json_get(const brisk_json_node *object, const char *key)
{
    size_t size = strlen(key);
    if (object == NULL || object->kind != BRISK_JSON_OBJECT) {
        return NULL;
    }
    for (const brisk_json_node *at = object->child; at != NULL; at = at->next) {
        if (at->key_size == size && memcmp(at->key, key, size) == 0) {
            return at;
        }
    }
    return NULL;
}

bool brisk_json_is(const brisk_json_node *node, const char *text)
{
    return node != NULL && node->kind == BRISK_JSON_STRING && node->size == strlen(text) &&
           memcmp(node->text, text, node->size) == 0;
}

static const char *name_of(brisk_json_kind kind)
{
    switch (kind) {
    case BRISK_JSON_NULL: return "null";
    case BRISK_JSON_BOOL: return "true or false";
    case BRISK_JSON_NUMBER: return "a number";
    case BRISK_JSON_STRING: return "a string";
    case BRISK_JSON_ARRAY: return "an array";
    case BRISK_JSON_OBJECT: return "an object";
    }
    return "something else";
}

brisk_err brisk_json_member(const brisk_json_node *object, const char *key, brisk_json_kind kind,
                            const brisk_json_node **ret, brisk_errinfo *info)
{
    const brisk_json_node *node = brisk_json_get(object, key);
    if (node == NULL || (node->kind == BRISK_JSON_NULL && kind != BRISK_JSON_NULL)) {
        return BRISK_OK;
    }
    if (node->kind != kind) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "\"%s\" has to be %s, not %s", key,
                                 name_of(kind), name_of(node->kind));
    }
    *ret = node;
    return BRISK_OK;
}

/* False: no whole number, or one that does not fit. */
static bool to_u64(const brisk_json_node *node, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < node->size; i++) {
        char c = node->text[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(c - '0'), &value)) {
            return false;
        }
    }
    *ret = value;
    return true;
}

brisk_err brisk_json_member_u64(const brisk_json_node *object, const char *key, uint64_t min,
                                uint64_t max, uint64_t *ret, brisk_errinfo *info)
{
    const brisk_json_node *node = NULL;
    brisk_err err = brisk_json_member(object, key, BRISK_JSON_NUMBER, &node, info);
    if (err != BRISK_OK || node == NULL) {
        return err;
    }
    uint64_t value;
    if (!to_u64(node, &value) || value < min || value > max) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "\"%s\" has to be a whole number from %llu to %llu", key,
                                 (unsigned long long)min, (unsigned long long)max);
    }
    *ret = value;
    return BRISK_OK;
}

brisk_err brisk_json_member_bool(const brisk_json_node *object, const char *key, bool *ret,
                                 brisk_errinfo *info)
{
    const brisk_json_node *node = NULL;
    brisk_err err = brisk_json_member(object, key, BRISK_JSON_BOOL, &node, info);
    if (err == BRISK_OK && node != NULL) {
        *ret = node->boolean;
    }
    return err;
}

brisk_err brisk_json_member_word(const brisk_json_node *object, const char *key,
                                 const char *const *words, uint32_t *ret, brisk_errinfo *info)
{
    const brisk_json_node *node = NULL;
    brisk_err err = brisk_json_member(object, key, BRISK_JSON_STRING, &node, info);
    if (err != BRISK_OK || node == NULL) {
        return err;
    }
    char list[160] = "";
    size_t used = 0;
    for (uint32_t i = 0; words[i] != NULL; i++) {
        if (brisk_json_is(node, words[i])) {
            *ret = i;
            return BRISK_OK;
        }
        int length = snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", words[i]);
        used += length > 0 && (size_t)length < sizeof list - used ? (size_t)length : 0;
    }
    return brisk_errinfo_set(info, BRISK_ERR_INVALID, "\"%s\" has to be one of %s", key, list);
}

brisk_err brisk_json_check_members(const brisk_json_node *object, const char *const *allowed,
                                   brisk_errinfo *info)
{
    if (object == NULL || object->kind != BRISK_JSON_OBJECT) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "an object is expected, not %s",
                                 object != NULL ? name_of(object->kind) : "nothing");
    }
    for (const brisk_json_node *at = object->child; at != NULL; at = at->next) {
        uint32_t i = 0;
        while (allowed[i] != NULL && (strlen(allowed[i]) != at->key_size ||
                                      memcmp(allowed[i], at->key, at->key_size) != 0)) {
            i++;
        }
        if (allowed[i] == NULL) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID, "there is no member \"%.*s\"",
                                     (int)(at->key_size < 60 ? at->key_size : 60), at->key);
        }
    }
    return BRISK_OK;
}
