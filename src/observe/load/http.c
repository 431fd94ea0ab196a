/*
 * http.c -- a state machine over lines and counted bytes; see http.h.
 *
 *     FIRST ──► HEAD lines ──► (empty) ──► BODY_LENGTH ───────────────► done
 *       ▲                         │  ├───► CHUNK_SIZE ─► CHUNK ─► CHUNK_END ─┐
 *       └──── 1xx ────────────────┘  │        ▲  └─ 0 ─► TRAILER ─► done     │
 *                                    │        └──────────────────────────────┘
 *                                    └───► BODY_END: until the connection is closed
 *
 * Invariant: in the states that read lines, `line_size_` bytes of the current line are in `line_`; in those
 * that count, `left_` bytes are still to come.
 */
#include <string.h>
#include <strings.h>

#include "observe/load/http.h"

enum { FIRST, HEAD, BODY_LENGTH, BODY_END, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER };

static void begin(load_http *http)
{
    http->state_ = FIRST;
    http->has_length_ = false;
    http->chunked_ = false;
    http->version_1_0_ = false;
    http->keep_alive_ = false;
    http->lines_ = 0;
    http->left_ = 0;
    http->line_size_ = 0;
}

void load_http_init(load_http *http, bool head_request)
{
    http->status = 0;
    http->closes = false;
    http->body = 0;
    http->error = NULL;
    http->head_request_ = head_request;
    begin(http);
}

static load_http_status bad(load_http *http, const char *why)
{
    http->error = why;
    return LOAD_HTTP_BAD;
}

static load_http_status done(load_http *http)
{
    begin(http);
    return LOAD_HTTP_DONE;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static load_http_status read_first(load_http *http, const char *line, size_t size)
{
    if (size < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') ||
        line[8] != ' ' || !is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]) ||
        (size > 12 && line[12] != ' ')) {
        return bad(http, "not the first line of an HTTP/1.1 answer");
    }
    http->status = (uint32_t)(line[9] - '0') * 100 + (uint32_t)(line[10] - '0') * 10 +
                   (uint32_t)(line[11] - '0');
    if (http->status < 100 || http->status > 599) {
        return bad(http, "a status that is none");
    }
    http->version_1_0_ = line[7] == '0';
    http->body = 0;
    http->closes = false;
    http->state_ = HEAD;
    return LOAD_HTTP_MORE;
}

static load_http_status read_length(load_http *http, const char *value, size_t size)
{
    uint64_t length = 0;
    for (size_t i = 0; i < size; i++) {
        if (!is_digit(value[i]) || length > LOAD_HTTP_BODY_MAX) {
            return bad(http, "Content-Length is no number, or too large");
        }
        length = length * 10 + (uint64_t)(value[i] - '0');
    }
    if (size == 0 || length > LOAD_HTTP_BODY_MAX) {
        return bad(http, "Content-Length is no number, or too large");
    }
    if (http->has_length_ && http->left_ != length) {
        return bad(http, "two Content-Lengths");
    }
    http->has_length_ = true;
    http->left_ = length;
    return LOAD_HTTP_MORE;
}

/* Whether a list such as "close, te" has `word`. */
static bool has_word(const char *list, size_t size, const char *word)
{
    size_t length = strlen(word);
    for (size_t at = 0; at < size;) {
        while (at < size && (list[at] == ' ' || list[at] == '\t' || list[at] == ',')) {
            at++;
        }
        size_t end = at;
        while (end < size && list[end] != ',' && list[end] != ' ' && list[end] != '\t') {
            end++;
        }
        if (end - at == length && strncasecmp(list + at, word, length) == 0) {
            return true;
        }
        at = end;
    }
    return false;
}

static load_http_status read_field(load_http *http, const char *line, size_t size)
{
    const char *colon = memchr(line, ':', size);
    if (colon == NULL || colon == line || line[0] == ' ' || line[0] == '\t') {
        return bad(http, "a header line without a name");
    }
    size_t name = (size_t)(colon - line);
    const char *value = colon + 1;
    size_t length = size - name - 1;
    while (length > 0 && (value[0] == ' ' || value[0] == '\t')) {
        value++;
        length--;
    }
    while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t')) {
        length--;
    }
    if (name == 14 && strncasecmp(line, "content-length", name) == 0) {
        return read_length(http, value, length);
    }
    if (name == 17 && strncasecmp(line, "transfer-encoding", name) == 0) {
        if (http->chunked_ || length != 7 || strncasecmp(value, "chunked", 7) != 0) {
            return bad(http, "a Transfer-Encoding other than chunked");
        }
        http->chunked_ = true;
    } else if (name == 10 && strncasecmp(line, "connection", name) == 0) {
        http->closes = http->closes || has_word(value, length, "close");
        http->keep_alive_ = http->keep_alive_ || has_word(value, length, "keep-alive");
    }
    return LOAD_HTTP_MORE;
}

/* The empty line: what comes now? */
static load_http_status end_head(load_http *http)
{
    if (http->chunked_ && http->has_length_) {
        return bad(http, "a Content-Length and chunks");
    }
    if (http->status == 101) {
        return bad(http, "it changes the protocol");
    }
    if (http->status < 200) { /* the answer itself is still to come */
        begin(http);
        return LOAD_HTTP_MORE;
    }
    http->closes = http->closes || (http->version_1_0_ && !http->keep_alive_);
    if (http->head_request_ || http->status == 204 || http->status == 304) {
        return done(http);
    }
    http->lines_ = 0;
    if (http->chunked_) {
        http->state_ = CHUNK_SIZE;
        return LOAD_HTTP_MORE;
    }
    if (!http->has_length_) {
        http->closes = true;
        http->state_ = BODY_END;
        return LOAD_HTTP_MORE;
    }
    http->state_ = BODY_LENGTH;
    return http->left_ == 0 ? done(http) : LOAD_HTTP_MORE;
}

static int hex_value(char c)
{
    return is_digit(c)              ? c - '0'
           : (c >= 'a' && c <= 'f') ? c - 'a' + 10
           : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                    : -1;
}

static load_http_status read_chunk_size(load_http *http, const char *line, size_t size)
{
    uint64_t length = 0;
    size_t digits = 0;
    while (digits < size && hex_value(line[digits]) >= 0 && digits < 12) {
        length = length * 16 + (uint64_t)hex_value(line[digits]);
        digits++;
    }
    bool ends =
        digits == size || line[digits] == ';' || line[digits] == ' ' || line[digits] == '\t';
    if (digits == 0 || !ends || length > LOAD_HTTP_BODY_MAX - http->body) {
        return bad(http, "a chunk's size is no number, or too large");
    }
    http->left_ = length;
    http->state_ = length == 0 ? TRAILER : CHUNK;
    return LOAD_HTTP_MORE;
}

static load_http_status read_line(load_http *http, const char *line, size_t size)
{
    switch (http->state_) {
    case FIRST: return read_first(http, line, size);
    case HEAD:
        if (++http->lines_ > LOAD_HTTP_LINES_MAX) {
            return bad(http, "too many header lines");
        }
        return size == 0 ? end_head(http) : read_field(http, line, size);
    case CHUNK_SIZE: return read_chunk_size(http, line, size);
    case CHUNK_END:
        http->state_ = CHUNK_SIZE;
        return size == 0 ? LOAD_HTTP_MORE : bad(http, "a chunk is longer than its size");
    default: /* TRAILER */
        if (++http->lines_ > LOAD_HTTP_LINES_MAX) {
            return bad(http, "too many trailer lines");
        }
        return size == 0 ? done(http) : LOAD_HTTP_MORE;
    }
}

/* Take the line's next bytes; *used of them.  With its end, read it. */
static load_http_status take_line(load_http *http, const char *data, size_t size, size_t *used)
{
    const char *end = memchr(data, '\n', size);
    size_t part = end != NULL ? (size_t)(end - data) : size;
    if (part > LOAD_HTTP_LINE_MAX - http->line_size_) {
        *used = part;
        return bad(http, "a line is too long");
    }
    *used = part + (end != NULL ? 1 : 0);
    const char *line = data;
    size_t length = part;
    if (http->line_size_ > 0 || end == NULL) {
        memcpy(http->line_ + http->line_size_, data, part);
        http->line_size_ += part;
        if (end == NULL) {
            return LOAD_HTTP_MORE;
        }
        line = http->line_;
        length = http->line_size_;
    }
    http->line_size_ = 0;
    length -= length > 0 && line[length - 1] == '\r' ? 1 : 0;
    return read_line(http, line, length);
}

/* Count bytes of a body. */
static load_http_status take_bytes(load_http *http, size_t size, size_t *used)
{
    uint64_t part = http->state_ == BODY_END || http->left_ > size ? size : http->left_;
    *used = (size_t)part;
    http->body += part;
    if (http->state_ == BODY_END) {
        return http->body > LOAD_HTTP_BODY_MAX ? bad(http, "the body is too large")
                                               : LOAD_HTTP_MORE;
    }
    http->left_ -= part;
    if (http->left_ > 0) {
        return LOAD_HTTP_MORE;
    }
    if (http->state_ == BODY_LENGTH) {
        return done(http);
    }
    http->state_ = CHUNK_END;
    return LOAD_HTTP_MORE;
}

load_http_status load_http_read(load_http *http, const char *data, size_t size, size_t *used)
{
    load_http_status status = LOAD_HTTP_MORE;
    *used = 0;
    while (status == LOAD_HTTP_MORE && *used < size) {
        size_t part = 0;
        bool counts =
            http->state_ == BODY_LENGTH || http->state_ == BODY_END || http->state_ == CHUNK;
        status = counts ? take_bytes(http, size - *used, &part)
                        : take_line(http, data + *used, size - *used, &part);
        *used += part;
    }
    return status;
}

load_http_status load_http_end(load_http *http)
{
    return http->state_ == BODY_END ? done(http) : bad(http, "closed in the middle of an answer");
}
