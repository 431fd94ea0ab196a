/*
 * resp_request.c -- requests: arrays of bulk strings and inline commands.
 *
 * An argument is pointer and size into the caller's bytes.  When a request arrives in pieces, its
 * place is kept as distances from its start; the pointers already made are moved with the bytes.
 * Nothing is read twice, so that a request of n bytes costs O(n) however it is cut.
 *
 * What is an error, and its words, are those of Redis 7.0.
 *
 * Invariant: args.items[first..] are the arguments of the request in progress or last done.
 */
#include <stdio.h>

#include "base/assert.h"
#include "wire/resp.h"

enum { ARGS_KEPT = 1024 };

/* --- numbers and words -------------------------------------------------------------------- */

bool resp_parse_i64(const unsigned char *data, size_t size, int64_t *ret)
{
    bool negative = size > 0 && data[0] == '-';
    size_t at = negative ? 1 : 0;
    if (at == size || size - at > 19) {
        return false;
    }
    if (data[at] == '0') {
        if (size != 1) {
            return false;
        }
        *ret = 0;
        return true;
    }
    uint64_t value = 0; /* 19 digits always fit */
    for (; at < size; at++) {
        unsigned digit = (unsigned)data[at] - '0';
        if (digit > 9) {
            return false;
        }
        value = value * 10 + digit;
    }
    if (value > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        return false;
    }
    *ret = negative ? (int64_t)(UINT64_C(0) - value) : (int64_t)value;
    return true;
}

size_t resp_format_i64(char text[RESP_I64_TEXT], int64_t value)
{
    char digits[RESP_I64_TEXT];
    uint64_t rest = value < 0 ? UINT64_C(0) - (uint64_t)value : (uint64_t)value;
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    size_t size = 0;
    if (value < 0) {
        text[size++] = '-';
    }
    while (count > 0) {
        text[size++] = digits[--count];
    }
    return size;
}

static unsigned lower(unsigned c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

bool resp_bytes_equal_nocase(resp_bytes bytes, const char *text)
{
    size_t i = 0;
    while (i < bytes.size && text[i] != '\0' &&
           lower(bytes.data[i]) == lower((unsigned char)text[i])) {
        i++;
    }
    return i == bytes.size && text[i] == '\0';
}

/* --- life --------------------------------------------------------------------------------- */

void resp_requests_init(resp_requests *requests, const resp_request_limits *limits,
                        const brisk_alloc *alloc)
{
    *requests = (resp_requests){0};
    requests->args.alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    if (limits != NULL) {
        requests->limits = *limits;
    }
    if (requests->limits.args_max == 0) {
        requests->limits.args_max = RESP_ARGS_MAX;
    }
    if (requests->limits.bulk_max == 0) {
        requests->limits.bulk_max = RESP_BULK_MAX;
    }
}

void resp_requests_deinit(resp_requests *requests)
{
    BRISK_VEC_DEINIT(&requests->args);
}

void resp_requests_clear(resp_requests *requests)
{
    size_t kept = requests->busy_ ? requests->args.count - requests->first : 0;
    if (kept > 0 && requests->first > 0) {
        memmove(requests->args.items, requests->args.items + requests->first,
                kept * sizeof *requests->args.items);
    }
    requests->first = 0;
    requests->args.count = kept;
    if (kept == 0 && requests->args.capacity > ARGS_KEPT) {
        BRISK_VEC_DEINIT(&requests->args);
    }
}

void resp_requests_restart(resp_requests *requests)
{
    requests->busy_ = false;
    resp_requests_clear(requests);
}

size_t resp_requests_wanted(const resp_requests *requests)
{
    bool known = requests->busy_ && requests->bulk_left_ >= 0;
    return known ? requests->at_ + (size_t)requests->bulk_left_ + 2 : 0;
}

static resp_status fail(resp_requests *requests, const char *error)
{
    requests->error = error;
    return RESP_BAD;
}

static resp_status finish(resp_requests *requests)
{
    requests->count = requests->args.count - requests->first;
    requests->used = requests->at_;
    requests->busy_ = false;
    return RESP_DONE;
}

static bool add(resp_requests *requests, const unsigned char *data, size_t size)
{
    resp_bytes arg = {.data = data, .size = size};
    return BRISK_VEC_PUSH(&requests->args, arg);
}

/* --- inline commands ---------------------------------------------------------------------- */

static bool is_blank(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0';
}

static int hex_digit(unsigned char c)
{
    unsigned l = lower(c);
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return l >= 'a' && l <= 'f' ? (int)(l - 'a') + 10 : -1;
}

/* The byte that the escape at line[*at] (behind the backslash) means; *at moves to its end. */
static unsigned char unescape(const unsigned char *line, size_t size, size_t *at)
{
    unsigned char c = line[*at];
    if (c == 'x' && *at + 2 < size && hex_digit(line[*at + 1]) >= 0 &&
        hex_digit(line[*at + 2]) >= 0) {
        unsigned char value =
            (unsigned char)(hex_digit(line[*at + 1]) << 4 | hex_digit(line[*at + 2]));
        *at += 2;
        return value;
    }
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return c;
    }
}

/*
 * One word of a line from *at on, unescaped onto itself (it never grows).  False: quotes that do
 * not close, or go on without a blank.
 */
static bool read_word(unsigned char *line, size_t size, size_t *at, size_t *ret_size)
{
    size_t out = *at;
    size_t begin = *at;
    unsigned char quote = 0;
    size_t i = *at;
    for (; i < size && (quote != 0 || !is_blank(line[i])); i++) {
        unsigned char c = line[i];
        if (quote == '"' && c == '\\' && i + 1 < size) {
            i++;
            line[out++] = unescape(line, size, &i);
        } else if (quote == '\'' && c == '\\' && i + 1 < size && line[i + 1] == '\'') {
            i++;
            line[out++] = '\'';
        } else if (quote != 0 && c == quote) {
            if (i + 1 < size && !is_blank(line[i + 1])) {
                return false;
            }
            quote = 0;
        } else if (quote == 0 && (c == '"' || c == '\'')) {
            quote = c;
        } else {
            line[out++] = c;
        }
    }
    *at = i;
    *ret_size = out - begin;
    return quote == 0;
}

static resp_status read_inline(resp_requests *requests, unsigned char *data, size_t size)
{
    const unsigned char *end = memchr(data + requests->scanned_, '\n', size - requests->scanned_);
    requests->scanned_ = size;
    if (end == NULL) {
        return size > RESP_LINE_MAX ? fail(requests, "too big inline request") : RESP_MORE;
    }
    size_t length = (size_t)(end - data);
    requests->at_ = length + 1;
    if (length > 0 && data[length - 1] == '\r') {
        length--;
    }
    size_t at = 0;
    for (;;) {
        while (at < length && is_blank(data[at])) {
            at++;
        }
        if (at == length) {
            return finish(requests);
        }
        size_t begin = at;
        size_t word;
        if (!read_word(data, length, &at, &word)) {
            return fail(requests, "unbalanced quotes in request");
        }
        if (!add(requests, data + begin, word)) {
            return fail(requests, "out of memory");
        }
    }
}

/* --- arrays of bulk strings --------------------------------------------------------------- */

/*
 * The number behind the byte at at_, up to "\r\n"; at_ moves behind it.  MORE leaves at_.
 * `too_big` is what to say of a line that does not end; BAD with error NULL: not a number.
 */
static resp_status read_number(resp_requests *requests, const unsigned char *data, size_t size,
                               const char *too_big, int64_t *ret)
{
    size_t from = requests->at_ + 1;
    size_t limit = size - from < RESP_LINE_MAX ? size : from + RESP_LINE_MAX;
    size_t at = from;
    uint64_t value = 0;
    /* What nearly every number is: a few digits. */
    while (at < limit && at < from + 18 && data[at] >= '0' && data[at] <= '9') {
        value = value * 10 + (data[at++] - (unsigned)'0');
    }
    if (at + 1 < size && at > from && data[at] == '\r' && (data[from] != '0' || at == from + 1)) {
        *ret = (int64_t)value;
        requests->at_ = at + 2;
        return RESP_DONE;
    }
    const unsigned char *end = memchr(data + from, '\r', limit - from);
    if (end == NULL && size - from >= RESP_LINE_MAX) {
        return fail(requests, too_big);
    }
    size_t digits = end != NULL ? (size_t)(end - data) - from : 0;
    if (end == NULL || from + digits + 1 >= size) {
        return RESP_MORE;
    }
    if (!resp_parse_i64(data + from, digits, ret)) {
        return fail(requests, NULL);
    }
    requests->at_ = from + digits + 2;
    return RESP_DONE;
}

static resp_status read_count(resp_requests *requests, const unsigned char *data, size_t size)
{
    int64_t count;
    resp_status status = read_number(requests, data, size, "too big mbulk count string", &count);
    if (status == RESP_MORE) {
        return status;
    }
    if (status == RESP_BAD && requests->error != NULL) {
        return status;
    }
    if (status == RESP_BAD || count > RESP_ARGS_MAX) {
        return fail(requests, "invalid multibulk length");
    }
    if (count > (int64_t)requests->limits.args_max) {
        return fail(requests, requests->limits.args_max <= 10 ? "unauthenticated multibulk length"
                                                              : "invalid multibulk length");
    }
    requests->args_left_ = count > 0 ? count : 0;
    requests->bulk_left_ = -1;
    return RESP_DONE;
}

static resp_status read_bulk_head(resp_requests *requests, const unsigned char *data, size_t size)
{
    if (requests->at_ >= size) {
        return RESP_MORE;
    }
    unsigned char c = data[requests->at_];
    if (c != '$') {
        (void)snprintf(requests->error_text_, sizeof requests->error_text_,
                       "expected '$', got '%c'", c >= ' ' && c < 127 ? (char)c : '?');
        return fail(requests, requests->error_text_);
    }
    int64_t bytes = 0;
    resp_status status = read_number(requests, data, size, "too big bulk count string", &bytes);
    if (status == RESP_BAD && requests->error != NULL) {
        return status;
    }
    if (status == RESP_BAD ||
        (status == RESP_DONE && (bytes < 0 || (uint64_t)bytes > requests->limits.bulk_max))) {
        bool locked = requests->limits.args_max <= 10 && status == RESP_DONE && bytes >= 0;
        return fail(requests, locked ? "unauthenticated bulk length" : "invalid bulk length");
    }
    if (status == RESP_DONE) {
        requests->bulk_left_ = bytes;
    }
    return status;
}

static resp_status read_array(resp_requests *requests, const unsigned char *data, size_t size)
{
    if (requests->at_ == 0) {
        resp_status status = read_count(requests, data, size);
        if (status != RESP_DONE) {
            return status;
        }
    }
    while (requests->args_left_ > 0) {
        if (requests->bulk_left_ < 0) {
            resp_status status = read_bulk_head(requests, data, size);
            if (status != RESP_DONE) {
                return status;
            }
        }
        size_t bytes = (size_t)requests->bulk_left_;
        if (size - requests->at_ < bytes + 2) {
            return RESP_MORE;
        }
        if (!add(requests, data + requests->at_, bytes)) {
            return fail(requests, "out of memory");
        }
        requests->at_ += bytes + 2;
        requests->bulk_left_ = -1;
        requests->args_left_--;
    }
    return finish(requests);
}

/* The bytes may have moved since the last call: pointers made then move along. */
static void follow(resp_requests *requests, const unsigned char *data)
{
    if (requests->base_ == data) {
        return;
    }
    for (size_t i = requests->first; i < requests->args.count; i++) {
        size_t distance = (size_t)(requests->args.items[i].data - requests->base_);
        requests->args.items[i].data = data + distance;
    }
    requests->base_ = data;
}

resp_status resp_requests_read(resp_requests *requests, unsigned char *data, size_t size)
{
    if (size == 0) {
        return RESP_MORE;
    }
    if (!requests->busy_) {
        requests->busy_ = true;
        requests->first = requests->args.count;
        requests->base_ = data;
        requests->at_ = 0;
        requests->scanned_ = 0;
        requests->bulk_left_ = -1;
        requests->error = NULL;
    } else {
        follow(requests, data);
    }
    return data[0] == '*' ? read_array(requests, data, size) : read_inline(requests, data, size);
}
