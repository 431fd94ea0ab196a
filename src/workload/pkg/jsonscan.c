/*
 * jsonscan.c -- the cursor behind jsonscan.h.
 *
 * Texts are the bulk of a lock, so they go eight bytes at a time: a word without quote, backslash,
 * control or byte above ASCII is passed over whole.  Skipping a value keeps the kinds of what is
 * open in a bit set of PKG_JSON_DEPTH_MAX bits: no recursion, whatever the input.
 *
 * Invariant: begin <= at <= end; err != OK has message and where.
 *
 * Threads: one at a time.  Source: RFC 8259.
 */
#include "workload/pkg/jsonscan.h"

static const char bad_string[] = "a text that has no end or holds a control character";

void pkg_scan_init(pkg_scan *scan, pkg_text text)
{
    *scan = (pkg_scan){.begin = text.data != NULL ? text.data : ""};
    scan->at = scan->begin;
    scan->end = scan->begin + text.size;
    if (text.size >= 3 && memcmp(scan->at, "\xEF\xBB\xBF", 3) == 0) {
        scan->at += 3;
    }
}

bool pkg_scan_fail(pkg_scan *scan, brisk_err err, const char *message)
{
    if (scan->err == BRISK_OK) {
        scan->err = err;
        scan->message = message;
        scan->where = scan->at;
    }
    return false;
}

uint32_t pkg_scan_line(const pkg_scan *scan, const char *where)
{
    uint32_t line = 1;
    for (const char *p = scan->begin; p < where; p++) {
        line += *p == '\n';
    }
    return line;
}

brisk_err pkg_scan_report(const pkg_scan *scan, brisk_errinfo *info)
{
    if (scan->err == BRISK_OK) {
        return BRISK_OK;
    }
    if (scan->where == NULL) {
        return brisk_errinfo_set(info, scan->err, "%s", scan->message);
    }
    const char *from = scan->where;
    while (from > scan->begin && from[-1] != '\n') {
        from--;
    }
    return brisk_errinfo_set(info, scan->err, "line %u, column %zu: %s",
                             pkg_scan_line(scan, scan->where), (size_t)(scan->where - from) + 1,
                             scan->message);
}

char pkg_scan_peek_far(pkg_scan *scan)
{
    if (scan->err != BRISK_OK) {
        return '\0';
    }
    const char *p = scan->at;
    while (p < scan->end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) {
        p++;
    }
    scan->at = p;
    return p < scan->end ? *p : '\0';
}

bool pkg_scan_take(pkg_scan *scan, char c, const char *message)
{
    if (pkg_scan_peek(scan) != c || scan->at >= scan->end) {
        return pkg_scan_fail(scan, BRISK_ERR_CORRUPT, message);
    }
    scan->at++;
    return true;
}

/* --- texts --------------------------------------------------------------------------------- */

static const char *skip_plain(const char *p, const char *end)
{
    while (end - p >= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        if (pkg_scan_special(word) != 0) {
            break;
        }
        p += 8;
    }
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20 &&
           (unsigned char)*p < 0x80) {
        p++;
    }
    return p;
}

/* Bytes of the character at `p`, or 0 when it is no UTF-8. */
static size_t utf8_length(const char *p, const char *end)
{
    const unsigned char *s = (const unsigned char *)p;
    size_t left = (size_t)(end - p);
    if (s[0] >= 0xC2 && s[0] <= 0xDF && left >= 2 && (s[1] & 0xC0) == 0x80) {
        return 2;
    }
    if ((s[0] & 0xF0) == 0xE0 && left >= 3 && (s[1] & 0xC0) == 0x80 && (s[2] & 0xC0) == 0x80) {
        bool overlong = s[0] == 0xE0 && s[1] < 0xA0;
        bool surrogate = s[0] == 0xED && s[1] >= 0xA0;
        return overlong || surrogate ? 0 : 3;
    }
    if (s[0] >= 0xF0 && s[0] <= 0xF4 && left >= 4 && (s[1] & 0xC0) == 0x80 &&
        (s[2] & 0xC0) == 0x80 && (s[3] & 0xC0) == 0x80) {
        bool overlong = s[0] == 0xF0 && s[1] < 0x90;
        bool beyond = s[0] == 0xF4 && s[1] >= 0x90;
        return overlong || beyond ? 0 : 4;
    }
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Bytes of the escape at `p` (a backslash), or 0 when it is none. */
static size_t escape_length(const char *p, const char *end)
{
    if (end - p < 2) {
        return 0;
    }
    if (p[1] != 'u') {
        return strchr("\"\\/bfnrt", p[1]) != NULL && p[1] != '\0' ? 2 : 0;
    }
    if (end - p < 6) {
        return 0;
    }
    for (int i = 2; i < 6; i++) {
        if (hex_digit(p[i]) < 0) {
            return 0;
        }
    }
    return 6;
}

bool pkg_scan_string(pkg_scan *scan, pkg_text *raw, bool *plain)
{
    if (!pkg_scan_take(scan, '"', "a text in quotes is expected")) {
        return false;
    }
    const char *from = scan->at;
    bool clean = true;
    for (;;) {
        const char *p = skip_plain(scan->at, scan->end);
        scan->at = p;
        if (p >= scan->end || (unsigned char)*p < 0x20) {
            return pkg_scan_fail(scan, BRISK_ERR_CORRUPT, bad_string);
        }
        if (*p == '"') {
            break;
        }
        bool escape = *p == '\\';
        size_t size = escape ? escape_length(p, scan->end) : utf8_length(p, scan->end);
        if (size == 0) {
            return pkg_scan_fail(scan, BRISK_ERR_CORRUPT,
                                 escape ? "an escape that is none" : "bytes that are no UTF-8");
        }
        clean = clean && !escape;
        scan->at = p + size;
    }
    *raw = (pkg_text){.data = from, .size = (size_t)(scan->at - from)};
    *plain = clean;
    scan->at++;
    return true;
}

static uint32_t hex4(const char *p)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        value = value << 4 | (uint32_t)hex_digit(p[i]);
    }
    return value;
}

static size_t put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xC0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xE0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3F));
        to[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    to[0] = (char)(0xF0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3F));
    to[2] = (char)(0x80 | (c >> 6 & 0x3F));
    to[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* The character of the escape at `p`, which was checked; *size is how much of the text it took. */
static uint32_t unescape_one(const char *p, const char *end, size_t *size)
{
    *size = 2;
    switch (p[1]) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'u': break;
    default: return (unsigned char)p[1];
    }
    *size = 6;
    uint32_t c = hex4(p + 2);
    if (c >= 0xD800 && c < 0xDC00 && end - p >= 12 && p[6] == '\\' && p[7] == 'u') {
        uint32_t low = hex4(p + 8);
        if (low >= 0xDC00 && low < 0xE000) {
            *size = 12;
            return 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    return c >= 0xD800 && c < 0xE000 ? 0xFFFD : c;
}

bool pkg_scan_unescape(brisk_arena *arena, pkg_text raw, bool plain, pkg_text *ret)
{
    if (plain) {
        *ret = raw;
        return true;
    }
    char *to = brisk_arena_alloc(arena, raw.size); /* an escape is never shorter than its meaning */
    if (to == NULL) {
        return false;
    }
    size_t size = 0;
    const char *end = raw.data + raw.size;
    for (const char *p = raw.data; p < end;) {
        if (*p != '\\') {
            to[size++] = *p++;
            continue;
        }
        size_t taken;
        size += put_utf8(to + size, unescape_one(p, end, &taken));
        p += taken;
    }
    *ret = (pkg_text){.data = to, .size = size};
    return true;
}

/* --- values -------------------------------------------------------------------------------- */

static bool take_word(pkg_scan *scan, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(scan->end - scan->at) < size || memcmp(scan->at, word, size) != 0) {
        return pkg_scan_fail(scan, BRISK_ERR_CORRUPT, "this is no value");
    }
    scan->at += size;
    return true;
}

static bool take_digits(pkg_scan *scan)
{
    const char *from = scan->at;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        scan->at++;
    }
    return scan->at > from;
}

static bool next_is(const pkg_scan *scan, char c)
{
    return scan->at < scan->end && *scan->at == c;
}

static bool take_number(pkg_scan *scan)
{
    scan->at += next_is(scan, '-');
    bool zero = next_is(scan, '0');
    const char *from = scan->at;
    bool good = take_digits(scan) && (!zero || scan->at == from + 1);
    if (good && next_is(scan, '.')) {
        scan->at++;
        good = take_digits(scan);
    }
    if (good && (next_is(scan, 'e') || next_is(scan, 'E'))) {
        scan->at++;
        scan->at += next_is(scan, '+') || next_is(scan, '-');
        good = take_digits(scan);
    }
    return good || pkg_scan_fail(scan, BRISK_ERR_CORRUPT, "this is no value");
}

static bool take_scalar(pkg_scan *scan, char c)
{
    pkg_text raw;
    bool plain;
    switch (c) {
    case '"': return pkg_scan_string(scan, &raw, &plain);
    case 't': return take_word(scan, "true");
    case 'f': return take_word(scan, "false");
    case 'n': return take_word(scan, "null");
    default: return take_number(scan);
    }
}

/* After a value: closes what ends here, and finds the next one.  False at the end of it all. */
static bool to_next(pkg_scan *scan, const uint64_t *objects, uint32_t *depth)
{
    while (*depth > 0) {
        bool object = (objects[(*depth - 1) / 64] >> (*depth - 1) % 64 & 1) != 0;
        if (pkg_scan_more(scan, object ? '}' : ']')) {
            pkg_text raw;
            bool plain;
            return !object || pkg_scan_key(scan, &raw, &plain);
        }
        if (scan->err != BRISK_OK) {
            return false;
        }
        --*depth;
    }
    return false;
}

bool pkg_scan_value(pkg_scan *scan, pkg_text *raw)
{
    uint64_t objects[PKG_JSON_DEPTH_MAX / 64] = {0};
    uint32_t depth = 0;
    char c = pkg_scan_peek(scan);
    const char *from = scan->at;
    for (bool more = true; more; c = pkg_scan_peek(scan)) {
        if (c != '{' && c != '[') {
            more = take_scalar(scan, c) && to_next(scan, objects, &depth);
            continue;
        }
        if (depth == PKG_JSON_DEPTH_MAX) {
            return pkg_scan_fail(scan, BRISK_ERR_LIMIT, "nested deeper than 128 levels");
        }
        uint64_t bit = UINT64_C(1) << depth % 64;
        objects[depth / 64] = c == '{' ? objects[depth / 64] | bit : objects[depth / 64] & ~bit;
        depth++;
        if (pkg_scan_enter(scan, c)) {
            pkg_text key;
            bool plain;
            more = c != '{' || pkg_scan_key(scan, &key, &plain);
        } else {
            depth--;
            more = scan->err == BRISK_OK && to_next(scan, objects, &depth);
        }
    }
    if (scan->err != BRISK_OK) {
        return false;
    }
    const char *to = scan->at;
    while (to > from && (to[-1] == ' ' || to[-1] == '\n' || to[-1] == '\t' || to[-1] == '\r')) {
        to--; /* the loop looked ahead */
    }
    *raw = (pkg_text){.data = from, .size = (size_t)(to - from)};
    return true;
}

bool pkg_scan_bool(pkg_scan *scan, bool *ret)
{
    char c = pkg_scan_peek(scan);
    if (c != 't' && c != 'f') {
        return pkg_scan_fail(scan, BRISK_ERR_CORRUPT, "true or false is expected");
    }
    if (!take_word(scan, c == 't' ? "true" : "false")) {
        return false;
    }
    *ret = c == 't';
    return true;
}

bool pkg_scan_enter(pkg_scan *scan, char open)
{
    if (!pkg_scan_take(scan, open,
                       open == '{' ? "an object is expected" : "an array is expected")) {
        return false;
    }
    if (pkg_scan_peek(scan) == (open == '{' ? '}' : ']')) {
        scan->at++;
        return false;
    }
    return true;
}

bool pkg_scan_more(pkg_scan *scan, char close)
{
    char c = pkg_scan_peek(scan);
    if (c == ',') {
        scan->at++;
        return true;
    }
    if (c == close && scan->err == BRISK_OK) {
        scan->at++;
        return false;
    }
    return pkg_scan_fail(scan, BRISK_ERR_CORRUPT, "a comma or the end of the list is expected");
}

bool pkg_scan_key(pkg_scan *scan, pkg_text *raw, bool *plain)
{
    return pkg_scan_string(scan, raw, plain) &&
           pkg_scan_take(scan, ':', "a colon is expected after a member's name");
}

bool pkg_scan_end(pkg_scan *scan)
{
    (void)pkg_scan_peek(scan);
    return scan->err == BRISK_OK &&
           (scan->at == scan->end ||
            pkg_scan_fail(scan, BRISK_ERR_CORRUPT, "something follows the end"));
}
