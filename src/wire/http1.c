/*
 * http1.c -- heads of requests and of answers.
 *
 * A head is read line by line as soon as its first bytes are there.  When it turns out not to be whole, what was read
 * is forgotten, and from then on only its end is looked for (http1_head.resume); once that is there, all of it is read a
 * second time.  So nothing but a number has to live between two reads.
 *
 * A control character ends every line; which one it is decides whether the line was right.  Bytes from 0x80 on are
 * allowed in values only (RFC 9110, 5.5).
 */
#include "wire/http1.h"

#include <string.h>

/* Characters of a token (RFC 9110, 5.6.2): what they are in lower case; 0: none. */
static const unsigned char tokens[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*',
    ['+'] = '+', ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`',   ['|'] = '|',
    ['~'] = '~', ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4',   ['5'] = '5',
    ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9', ['a'] = 'a', ['b'] = 'b',   ['c'] = 'c',
    ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i',   ['j'] = 'j',
    ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p',   ['q'] = 'q',
    ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w',   ['x'] = 'x',
    ['y'] = 'y', ['z'] = 'z', ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd',   ['E'] = 'e',
    ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k',   ['L'] = 'l',
    ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r',   ['S'] = 's',
    ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y',   ['Z'] = 'z',
};

/* A line without its CR LF. */
typedef struct line {
    unsigned char *at;
    size_t size;
} line;

/* --- words -------------------------------------------------------------------------------- */

static bool is_control(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static bool is_blank(unsigned char c)
{
    return c == ' ' || c == '\t';
}

static http_text text_of(const unsigned char *data, size_t size)
{
    return (http_text){.data = (const char *)data, .size = size};
}

static http_text trim(http_text text)
{
    while (text.size > 0 && is_blank((unsigned char)text.data[0])) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && is_blank((unsigned char)text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

bool http1_is_token(http_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (tokens[(unsigned char)text.data[i]] == 0) {
            return false;
        }
    }
    return text.size > 0;
}

bool http1_is_value(http_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (is_control((unsigned char)text.data[i])) {
            return false;
        }
    }
    return true;
}

bool http1_equal_nocase(http_text text, http_text lower)
{
    if (text.size != lower.size) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        c = c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
        if (c != (unsigned char)lower.data[i]) {
            return false;
        }
    }
    return true;
}

bool http1_next_item(http_text *list, http_text *item)
{
    while (list->size > 0) {
        const char *comma = memchr(list->data, ',', list->size);
        size_t size = comma != NULL ? (size_t)(comma - list->data) : list->size;
        *item = trim((http_text){.data = list->data, .size = size});
        size_t step = comma != NULL ? size + 1 : size;
        list->data += step;
        list->size -= step;
        if (item->size > 0) {
            return true;
        }
    }
    return false;
}

static bool is_text(http_text text, http_text wanted)
{
    return text.size == wanted.size && memcmp(text.data, wanted.data, wanted.size) == 0;
}

static bool begins_nocase(http_text text, http_text lower)
{
    return text.size >= lower.size &&
           http1_equal_nocase((http_text){.data = text.data, .size = lower.size}, lower);
}

static http1_status refuse(http1_head *head, uint16_t refusal, const char *error)
{
    head->refusal = refusal;
    head->error = error;
    return HTTP1_BAD;
}

static http1_status bad(http1_head *head, const char *error)
{
    return refuse(head, 400, error);
}

/* --- hosts -------------------------------------------------------------------------------- */

static bool is_hex(unsigned char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* unreserved and sub-delims of RFC 3986: of tokens all but some, and some more.  What hosts are made of comes first. */
static bool is_host_character(unsigned char c)
{
    if (is_digit(c) || c == '.' || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')) {
        return true;
    }
    return tokens[c] != 0 ? c != '#' && c != '%' && c != '^' && c != '`' && c != '|'
                          : c == '(' || c == ')' || c == ',' || c == ';' || c == '=';
}

/* Bytes of "[...]" at the start; 0: it is none. */
static size_t literal_size(http_text host)
{
    size_t i = 1;
    while (i < host.size &&
           (is_hex((unsigned char)host.data[i]) || host.data[i] == ':' || host.data[i] == '.')) {
        i++;
    }
    return i > 2 && i < host.size && host.data[i] == ']' ? i + 1 : 0;
}

/* Bytes of the name at the start; 0: none, or a wrong one. */
static size_t name_size(http_text host)
{
    size_t i = 0;
    while (i < host.size && host.data[i] != ':') {
        if (is_host_character((unsigned char)host.data[i])) {
            i++;
            continue;
        }
        bool escape = host.data[i] == '%' && host.size - i > 2 &&
                      is_hex((unsigned char)host.data[i + 1]) &&
                      is_hex((unsigned char)host.data[i + 2]);
        if (!escape) {
            return 0;
        }
        i += 3;
    }
    return i;
}

/* host [":" port] */
static bool is_authority(http_text text)
{
    size_t i = text.size > 0 && text.data[0] == '[' ? literal_size(text) : name_size(text);
    if (i == 0) {
        return false;
    }
    if (i == text.size) {
        return true;
    }
    if (text.data[i] != ':' || text.size - i > 6) {
        return false;
    }
    unsigned port = 0;
    for (i++; i < text.size; i++) {
        if (!is_digit((unsigned char)text.data[i])) {
            return false;
        }
        port = port * 10 + ((unsigned)text.data[i] - '0');
    }
    return port <= 65535;
}

/* --- the first line ----------------------------------------------------------------------- */

/* "HTTP/1.x" at the end of the first line. */
static http1_status read_version(http1_head *head, http_text version)
{
    if (is_text(version, HTTP_TEXT("HTTP/1.1"))) {
        head->minor = 1;
        return HTTP1_DONE;
    }
    if (is_text(version, HTTP_TEXT("HTTP/1.0"))) {
        head->minor = 0;
        return HTTP1_DONE;
    }
    bool other = version.size == 8 && memcmp(version.data, "HTTP/", 5) == 0 &&
                 is_digit((unsigned char)version.data[5]) && version.data[6] == '.' &&
                 is_digit((unsigned char)version.data[7]);
    return other ? refuse(head, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
                 : bad(head, "the version of HTTP is wrong");
}

/* "http://authority/path": what follows the authority is the target. */
static http1_status read_absolute(http1_head *head)
{
    http_text rest = head->target;
    head->secure = begins_nocase(rest, HTTP_TEXT("https://"));
    if (!head->secure && !begins_nocase(rest, HTTP_TEXT("http://"))) {
        return bad(head, "the target is neither a path nor an address of http");
    }
    size_t scheme = head->secure ? 8 : 7;
    rest.data += scheme;
    rest.size -= scheme;
    size_t size = 0;
    while (size < rest.size && rest.data[size] != '/' && rest.data[size] != '?') {
        size++;
    }
    head->absolute = true;
    head->authority = (http_text){.data = rest.data, .size = size};
    head->target = (http_text){.data = rest.data + size, .size = rest.size - size};
    if (!is_authority(head->authority)) {
        return bad(head, "the target's host is wrong");
    }
    if (head->target.size == 0) {
        head->target = HTTP_TEXT("/");
    } else if (head->target.data[0] != '/') {
        return bad(head, "the target has no path");
    }
    return HTTP1_DONE;
}

static http1_status read_target(http1_head *head)
{
    http_text target = head->target;
    if (http1_find_no_target(head->path, (const unsigned char *)target.data, target.size) !=
        target.size) {
        return bad(head, "the target has a character that none may have");
    }
    if (is_text(head->method, HTTP_TEXT("CONNECT"))) {
        return is_authority(target) ? HTTP1_DONE : bad(head, "CONNECT is to HOST:PORT");
    }
    if (target.size > 0 && target.data[0] == '/') {
        return HTTP1_DONE;
    }
    if (is_text(target, HTTP_TEXT("*"))) {
        return is_text(head->method, HTTP_TEXT("OPTIONS"))
                   ? HTTP1_DONE
                   : bad(head, "the target '*' is for OPTIONS");
    }
    return read_absolute(head);
}

static http1_status read_request_line(http1_head *head, line l)
{
    size_t i = 0;
    while (i < l.size && tokens[l.at[i]] != 0) {
        i++;
    }
    if (i == 0 || i == l.size || l.at[i] != ' ') {
        return bad(head, "the method is wrong");
    }
    if (i > HTTP1_METHOD_MAX) {
        return refuse(head, 501, "the method is too long");
    }
    head->method = text_of(l.at, i);
    const unsigned char *target = l.at + i + 1;
    const unsigned char *space = memchr(target, ' ', l.size - i - 1);
    if (space == NULL) {
        return bad(head, "the request's line is not METHOD TARGET VERSION");
    }
    head->target = text_of(target, (size_t)(space - target));
    http1_status status = read_target(head);
    if (status != HTTP1_DONE) {
        return status;
    }
    size_t rest = (size_t)(l.at + l.size - space) - 1;
    return read_version(head, text_of(space + 1, rest));
}

static http1_status read_status_line(http1_head *head, line l)
{
    if (l.size < 12 || l.at[8] != ' ' || !is_digit(l.at[9]) || !is_digit(l.at[10]) ||
        !is_digit(l.at[11]) || (l.size > 12 && l.at[12] != ' ')) {
        return bad(head, "the answer's line is not VERSION STATUS REASON");
    }
    head->code = (uint16_t)((l.at[9] - '0') * 100 + (l.at[10] - '0') * 10 + (l.at[11] - '0'));
    if (head->code < 100) {
        return bad(head, "the status is none");
    }
    head->reason = l.size > 13 ? text_of(l.at + 13, l.size - 13) : HTTP_TEXT("");
    return read_version(head, text_of(l.at, 8));
}

/* --- fields that mean something here ------------------------------------------------------ */

static http1_status read_length(http1_head *head, http_text value)
{
    if (head->content_length != HTTP1_UNKNOWN) {
        return bad(head, "there are two Content-Length");
    }
    if (value.size == 0 || value.size > 18) {
        return bad(head, "Content-Length is not a number");
    }
    int64_t length = 0;
    for (size_t i = 0; i < value.size; i++) {
        if (!is_digit((unsigned char)value.data[i])) {
            return bad(head, "Content-Length is not a number");
        }
        length = length * 10 + (value.data[i] - '0');
    }
    head->content_length = length;
    return HTTP1_DONE;
}

/* One coding, and it is "chunked": others are refused, and nobody needs them twice. */
static http1_status read_coding(http1_head *head, http_text value)
{
    if (head->chunked) {
        return bad(head, "there are two Transfer-Encoding");
    }
    if (http1_equal_nocase(value, HTTP_TEXT("chunked"))) {
        head->chunked = true;
        return HTTP1_DONE;
    }
    return bad(head, "Transfer-Encoding is not 'chunked'");
}

static http1_status read_host(http1_head *head, http_text value)
{
    if (head->has_host) {
        return bad(head, "there are two Host");
    }
    if (!is_authority(value)) {
        return bad(head, "Host is wrong");
    }
    head->has_host = true;
    head->host = value;
    return HTTP1_DONE;
}

static http1_status read_connection(http1_head *head, http_text value)
{
    http_text item;
    while (http1_next_item(&value, &item)) {
        if (head->options++ == HTTP1_OPTIONS_MAX) {
            return bad(head, "Connection names too much");
        }
        if (http1_equal_nocase(item, HTTP_TEXT("close"))) {
            head->close = true;
        } else if (http1_equal_nocase(item, HTTP_TEXT("keep-alive"))) {
            head->keep_alive = true;
        } else if (http1_equal_nocase(item, HTTP_TEXT("upgrade"))) {
            head->upgrade = true;
        } else {
            head->other_hop = true;
        }
    }
    return HTTP1_DONE;
}

static http1_status read_expectation(http1_head *head, http_text value)
{
    if (!http1_equal_nocase(value, HTTP_TEXT("100-continue"))) {
        return refuse(head, 417, "nothing but 100-continue can be expected");
    }
    head->expects = true;
    return HTTP1_DONE;
}

/* What a field means for the message. */
static http1_status understand(http1_head *head, const http_field *field)
{
    http_text name = field->name;
    switch (name.size) {
    case 4:
        if (!head->answer && memcmp(name.data, "host", 4) == 0) {
            return read_host(head, field->value);
        }
        break;
    case 6:
        if (!head->answer && memcmp(name.data, "expect", 6) == 0) {
            return read_expectation(head, field->value);
        }
        break;
    case 10:
        if (memcmp(name.data, "connection", 10) == 0) {
            return read_connection(head, field->value);
        }
        break;
    case 14:
        if (memcmp(name.data, "content-length", 14) == 0) {
            return read_length(head, field->value);
        }
        break;
    case 17:
        if (memcmp(name.data, "transfer-encoding", 17) == 0) {
            return read_coding(head, field->value);
        }
        break;
    default: break;
    }
    return HTTP1_DONE;
}

static http1_status read_field(http1_head *head, line l)
{
    if (is_blank(l.at[0])) {
        return bad(head, "a line is folded");
    }
    size_t i = 0;
    for (unsigned char c; i < l.size && (c = tokens[l.at[i]]) != 0; i++) {
        l.at[i] = c;
    }
    if (i == 0 || i == l.size || l.at[i] != ':') {
        return bad(head, "the name of a field is wrong");
    }
    if (head->field_count == head->limits.fields_max) {
        return refuse(head, 431, "there are too many fields");
    }
    http_field *field = &head->fields[head->field_count++];
    field->name = text_of(l.at, i);
    field->value = trim(text_of(l.at + i + 1, l.size - i - 1));
    return understand(head, field);
}

/* --- the head as a whole ------------------------------------------------------------------ */

void http1_head_start(http1_head *head)
{
    http1_head fresh = {.answer = head->answer,
                        .fields = head->fields,
                        .limits = head->limits,
                        .path = head->path,
                        .content_length = HTTP1_UNKNOWN};
    if (fresh.limits.fields_max == 0) {
        fresh.limits.fields_max = HTTP1_FIELDS_MAX;
    }
    if (fresh.limits.head_max == 0) {
        fresh.limits.head_max = HTTP1_HEAD_MAX;
    }
    if (fresh.limits.line_max == 0) {
        fresh.limits.line_max = HTTP1_LINE_MAX;
    }
    *head = fresh;
}

static size_t find_control(const http1_head *head, const unsigned char *data, size_t from,
                           size_t size)
{
    return from + http1_find_control(head->path, data + from, size - from);
}

/* What is said of too much. */
static http1_status too_long(http1_head *head, bool first)
{
    return first && !head->answer ? refuse(head, 414, "the target is too long")
                                  : refuse(head, 431, "the head is too long");
}

/* The line that begins at `at`. */
static http1_status read_line(http1_head *head, unsigned char *data, size_t size, size_t at,
                              line *ret)
{
    size_t end = find_control(head, data, at, size);
    bool first = at < 3; /* an empty line may stand before it */
    if (end - at > head->limits.line_max) {
        return too_long(head, first);
    }
    if (end >= head->limits.head_max) {
        return too_long(head, first);
    }
    if (end == size || (data[end] == '\r' && end + 1 == size)) {
        return HTTP1_MORE;
    }
    if (data[end] != '\r') {
        return bad(head, data[end] == '\n' ? "a line ends without CR"
                                           : "there is a control character in the head");
    }
    if (data[end + 1] != '\n') {
        return bad(head, "a CR stands alone");
    }
    *ret = (line){.at = data + at, .size = end - at};
    return HTTP1_DONE;
}

static bool is_same_host(http_text a, http_text b)
{
    bool same = a.size == b.size;
    for (size_t i = 0; same && i < a.size; i++) {
        unsigned char x = tokens[(unsigned char)a.data[i]];
        unsigned char y = tokens[(unsigned char)b.data[i]];
        same = x != 0 ? x == y : a.data[i] == b.data[i];
    }
    return same;
}

/* What the fields say together. */
static http1_status check_whole(http1_head *head)
{
    if (head->chunked && head->content_length != HTTP1_UNKNOWN) {
        return bad(head, "there are both Content-Length and Transfer-Encoding");
    }
    if (head->chunked && head->minor == 0) {
        return bad(head, "HTTP/1.0 has no Transfer-Encoding");
    }
    if (head->answer) {
        return HTTP1_DONE;
    }
    if (!head->has_host && head->minor == 1) {
        return bad(head, "there is no Host");
    }
    if (head->absolute && head->has_host && !is_same_host(head->host, head->authority)) {
        return bad(head, "Host is not that of the target");
    }
    if (!head->absolute) {
        head->authority = head->has_host ? head->host : HTTP_TEXT("");
    }
    return HTTP1_DONE;
}

/* From the start, line by line. */
static http1_status read_whole(http1_head *head, unsigned char *data, size_t size)
{
    size_t at = 0;
    if (!head->answer && size >= 2 && data[0] == '\r' && data[1] == '\n') {
        at = 2; /* RFC 9112, 2.2: one empty line before a request */
    }
    line l;
    http1_status status = read_line(head, data, size, at, &l);
    if (status == HTTP1_DONE) {
        status = head->answer ? read_status_line(head, l) : read_request_line(head, l);
    }
    while (status == HTTP1_DONE) {
        at = (size_t)(l.at - data) + l.size + 2;
        status = read_line(head, data, size, at, &l);
        if (status == HTTP1_DONE && l.size == 0) {
            head->used = at + 2;
            return check_whole(head);
        }
        if (status == HTTP1_DONE) {
            status = read_field(head, l);
        }
    }
    return status;
}

/*
 * Is there still no end, and nothing wrong, in what came since?  Moves `resume` (all before it was looked at) and `line`
 * (where its last line begins).  False: read all of it, which says what is there.
 */
static bool is_unfinished(http1_head *head, const unsigned char *data, size_t size)
{
    for (;;) {
        size_t at = find_control(head, data, head->resume, size);
        head->resume = at;
        if (at >= head->limits.head_max || at - head->line > head->limits.line_max) {
            return false;
        }
        if (at == size || (data[at] == '\r' && at + 1 == size)) {
            return true;
        }
        bool skipped = at == 0 && !head->answer; /* the empty line before a request */
        if (data[at] != '\r' || data[at + 1] != '\n' || (at == head->line && !skipped)) {
            return false;
        }
        head->resume = at + 2;
        head->line = at + 2;
    }
}

http1_status http1_head_read(http1_head *head, unsigned char *data, size_t size)
{
    if (head->error != NULL) {
        return HTTP1_BAD;
    }
    if (head->resume > 0 && is_unfinished(head, data, size)) {
        return HTTP1_MORE;
    }
    if (head->resume > 0) { /* forget what was read of it before it was whole */
        http1_head_start(head);
    }
    http1_status status = read_whole(head, data, size);
    if (status == HTTP1_MORE) {
        (void)is_unfinished(head, data, size);
    }
    return status;
}
