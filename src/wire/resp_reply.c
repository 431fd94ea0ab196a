/*
 * resp_reply.c -- replies: every type of RESP2 and RESP3, flattened in the order they arrive.
 *
 * A reply is a list of nodes, each aggregate followed by what is in it.  A stack of what is still
 * to come stands for the open aggregates, so that a reply may arrive in pieces of any size and
 * nesting costs a counter instead of a call.  An item that is not whole is read again from its
 * start when more has come, but its line is searched only where it is new.
 *
 *     at_ ──► start of the item to be read next; everything before it is in nodes
 *
 * Streamed strings and aggregates of RESP3 ("$?") are refused: no server sends them.
 *
 * Invariant: the items of stack_[i] are in stack_[i - 1]'s last item, and left counts those to come.
 */
#include <math.h>
#include <stdlib.h>

#include "base/assert.h"
#include "wire/resp.h"

enum { NODES_KEPT = 1024, DOUBLE_TEXT_MAX = 64 };

void resp_replies_init(resp_replies *replies, const resp_reply_limits *limits,
                       const brisk_alloc *alloc)
{
    *replies = (resp_replies){0};
    replies->nodes.alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    if (limits != NULL) {
        replies->limits = *limits;
    }
    if (replies->limits.bulk_max == 0) {
        replies->limits.bulk_max = RESP_BULK_MAX;
    }
    if (replies->limits.nodes_max == 0 || replies->limits.nodes_max > RESP_NODES_MAX) {
        replies->limits.nodes_max = RESP_NODES_MAX;
    }
}

void resp_replies_deinit(resp_replies *replies)
{
    BRISK_VEC_DEINIT(&replies->nodes);
}

static resp_status fail(resp_replies *replies, const char *error)
{
    replies->error = error;
    return RESP_BAD;
}

/* --- one item ----------------------------------------------------------------------------- */

/* The line at at_ behind its type byte; *ret_next is where the next begins. */
static resp_status read_line(resp_replies *replies, const unsigned char *data, size_t size,
                             resp_bytes *ret, size_t *ret_next)
{
    size_t from = replies->at_ + 1;
    size_t start = replies->scanned_ > from ? replies->scanned_ : from;
    const unsigned char *end = start < size ? memchr(data + start, '\r', size - start) : NULL;
    if (end == NULL || (size_t)(end - data) + 1 >= size) {
        replies->scanned_ = end != NULL ? (size_t)(end - data) : size;
        return size - replies->at_ > RESP_LINE_MAX ? fail(replies, "a line does not end")
                                                   : RESP_MORE;
    }
    if (end[1] != '\n') {
        return fail(replies, "a line ends without LF");
    }
    *ret = (resp_bytes){.data = data + from, .size = (size_t)(end - data) - from};
    *ret_next = (size_t)(end - data) + 2;
    return RESP_DONE;
}

static bool parse_double(resp_bytes text, double *ret)
{
    char copy[DOUBLE_TEXT_MAX];
    if (text.size == 0 || text.size >= sizeof copy) {
        return false;
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    bool word = resp_bytes_equal_nocase(text, "inf") || resp_bytes_equal_nocase(text, "-inf") ||
                resp_bytes_equal_nocase(text, "nan") || resp_bytes_equal_nocase(text, "-nan");
    if (!word && strspn(copy, "0123456789+-.eE") != text.size) {
        return false;
    }
    char *end;
    *ret = strtod(copy, &end);
    return *end == '\0';
}

/* What a line means for all types that are one line; false: nonsense. */
static bool read_scalar(resp_bytes line, resp_node *node)
{
    node->bytes = line;
    switch (node->type) {
    case RESP_INTEGER: return resp_parse_i64(line.data, line.size, &node->integer);
    case RESP_NULL: return line.size == 0;
    case RESP_BOOLEAN:
        node->integer = line.size == 1 && line.data[0] == 't' ? 1 : 0;
        return line.size == 1 && (line.data[0] == 't' || line.data[0] == 'f');
    case RESP_DOUBLE: return parse_double(line, &node->number);
    case RESP_BIG_NUMBER: {
        size_t from = line.size > 0 && (line.data[0] == '-' || line.data[0] == '+') ? 1 : 0;
        for (size_t i = from; i < line.size; i++) {
            if (line.data[i] < '0' || line.data[i] > '9') {
                return false;
            }
        }
        return line.size > from;
    }
    case RESP_STRING:
    case RESP_ERROR: return true;
    case RESP_BULK:
    case RESP_ARRAY:
    case RESP_MAP:
    case RESP_SET:
    case RESP_ATTRIBUTE:
    case RESP_PUSH:
    default: return false;
    }
}

/* Strings with a size: '$', '!' and '='. */
static resp_status read_sized(resp_replies *replies, const unsigned char *data, size_t size,
                              size_t *next, resp_node *node)
{
    unsigned char kind = data[replies->at_];
    int64_t bytes;
    if (!resp_parse_i64(node->bytes.data, node->bytes.size, &bytes) || bytes < -1 ||
        (bytes > 0 && (uint64_t)bytes > replies->limits.bulk_max) || (bytes < 0 && kind != '$')) {
        return fail(replies, "invalid bulk length");
    }
    if (bytes < 0) {
        node->type = RESP_NULL;
        node->bytes = (resp_bytes){0};
        return RESP_DONE;
    }
    if (size - *next < (size_t)bytes + 2) {
        return RESP_MORE;
    }
    node->bytes = (resp_bytes){.data = data + *next, .size = (size_t)bytes};
    *next += (size_t)bytes + 2;
    if (data[*next - 2] != '\r' || data[*next - 1] != '\n') {
        return fail(replies, "a bulk string ends without CRLF");
    }
    node->type = kind == '!' ? RESP_ERROR : RESP_BULK;
    if (kind == '=') {
        if (bytes < 4 || node->bytes.data[3] != ':') {
            return fail(replies, "invalid verbatim string");
        }
        node->bytes.data += 4;
        node->bytes.size -= 4;
    }
    return RESP_DONE;
}

static resp_status read_aggregate(resp_replies *replies, resp_node *node)
{
    int64_t count;
    if (!resp_parse_i64(node->bytes.data, node->bytes.size, &count) || count < -1 ||
        (count < 0 && node->type != RESP_ARRAY) || count > (int64_t)replies->limits.nodes_max) {
        return fail(replies, "invalid aggregate length");
    }
    node->bytes = (resp_bytes){0};
    if (count < 0) {
        node->type = RESP_NULL;
        return RESP_DONE;
    }
    bool pairs = node->type == RESP_MAP || node->type == RESP_ATTRIBUTE;
    node->count = (uint32_t)count * (pairs ? 2 : 1);
    if (node->count > replies->limits.nodes_max) {
        return fail(replies, "invalid aggregate length");
    }
    return RESP_DONE;
}

/* The item at at_; at_ moves behind it (of an aggregate: behind its head). */
static resp_status read_item(resp_replies *replies, const unsigned char *data, size_t size,
                             resp_node *node)
{
    if (replies->at_ >= size) {
        return RESP_MORE;
    }
    unsigned char kind = data[replies->at_];
    size_t next = 0;
    *node = (resp_node){.type = (resp_type)kind, .nodes = 1};
    if (memchr("+-:_#,($!=*%~|>", kind, 15) == NULL) {
        return fail(replies, "unknown type of reply");
    }
    resp_status status = read_line(replies, data, size, &node->bytes, &next);
    if (status != RESP_DONE) {
        return status;
    }
    if (memchr("*%~|>", kind, 5) != NULL) {
        status = read_aggregate(replies, node);
    } else if (memchr("$!=", kind, 3) != NULL) {
        status = read_sized(replies, data, size, &next, node);
    } else if (!read_scalar(node->bytes, node)) {
        status = fail(replies, "invalid value");
    }
    if (status == RESP_DONE) {
        replies->at_ = next;
        replies->scanned_ = 0;
    }
    return status;
}

/* --- the tree ----------------------------------------------------------------------------- */

/* The last node is whole: close every aggregate that it completes.  True: so is the reply. */
static bool close_item(resp_replies *replies)
{
    bool attribute = false;
    while (replies->depth_ > 0 && replies->stack_[replies->depth_ - 1].left == 0) {
        resp_node *open = &replies->nodes.items[replies->stack_[replies->depth_ - 1].node];
        open->nodes = (uint32_t)(replies->nodes.count - replies->stack_[replies->depth_ - 1].node);
        replies->depth_--;
        attribute = open->type == RESP_ATTRIBUTE;
        if (attribute) {
            break; /* its value is still to come and counts for both */
        }
    }
    return replies->depth_ == 0 && !attribute;
}

static resp_status add_node(resp_replies *replies, const resp_node *node)
{
    if (replies->nodes.count >= replies->limits.nodes_max) {
        return fail(replies, "too many values in a reply");
    }
    bool counts = node->type != RESP_ATTRIBUTE;
    if (counts && replies->depth_ > 0) {
        replies->stack_[replies->depth_ - 1].left--;
    }
    if (replies->depth_ == 0) {
        replies->value = replies->nodes.count;
    }
    if (!BRISK_VEC_PUSH(&replies->nodes, *node)) {
        return fail(replies, "out of memory");
    }
    if (node->count > 0 || !counts) {
        if (replies->depth_ == RESP_DEPTH_MAX) {
            return fail(replies, "a reply is nested too deeply");
        }
        replies->stack_[replies->depth_].node = (uint32_t)(replies->nodes.count - 1);
        replies->stack_[replies->depth_].left = node->count;
        replies->depth_++;
        if (node->count > 0) {
            return RESP_MORE;
        }
    }
    return close_item(replies) ? RESP_DONE : RESP_MORE;
}

static void follow(resp_replies *replies, const unsigned char *data)
{
    for (size_t i = 0; data != replies->base_ && i < replies->nodes.count; i++) {
        resp_bytes *bytes = &replies->nodes.items[i].bytes;
        if (bytes->data != NULL) {
            bytes->data = data + (size_t)(bytes->data - replies->base_);
        }
    }
    replies->base_ = data;
}

static void begin(resp_replies *replies, const unsigned char *data)
{
    replies->busy_ = true;
    replies->nodes.count = 0;
    if (replies->nodes.capacity > NODES_KEPT) {
        BRISK_VEC_DEINIT(&replies->nodes);
    }
    replies->base_ = data;
    replies->at_ = 0;
    replies->scanned_ = 0;
    replies->depth_ = 0;
    replies->value = 0;
    replies->error = NULL;
}

resp_status resp_replies_read(resp_replies *replies, const unsigned char *data, size_t size)
{
    if (!replies->busy_) {
        begin(replies, data);
    } else {
        follow(replies, data);
    }
    for (;;) {
        resp_node node;
        resp_status status = read_item(replies, data, size, &node);
        if (status != RESP_DONE) {
            return status;
        }
        status = add_node(replies, &node);
        if (status == RESP_DONE) {
            replies->used = replies->at_;
            replies->busy_ = false;
        }
        if (status != RESP_MORE) {
            return status;
        }
    }
}
