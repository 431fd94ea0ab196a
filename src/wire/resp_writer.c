/*
 * resp_writer.c -- replies and requests into a buffer that grows.
 *
 * Each type is written as the connection's protocol has it: what RESP2 does not know becomes what
 * Redis makes of it there (a map an array, a boolean a number, a double a string).
 *
 * Invariant: after the first failure size does not change, and err says what it was.
 */
#include <math.h>
#include <stdio.h>

#include "base/assert.h"
#include "wire/resp.h"

enum { CAPACITY_MIN = 256, HEAD_MAX = RESP_I64_TEXT + 3, DOUBLE_TEXT = 40 };

void resp_writer_init(resp_writer *writer, const brisk_alloc *alloc, size_t limit)
{
    *writer = (resp_writer){
        .alloc = alloc != NULL ? alloc : brisk_alloc_libc(),
        .limit = limit != 0 ? limit : SIZE_MAX / 4,
        .protocol = 2,
    };
}

void resp_writer_deinit(resp_writer *writer)
{
    if (writer->data != NULL) {
        writer->alloc->release(writer->alloc->ctx, writer->data, writer->capacity, 1);
    }
    writer->data = NULL;
    writer->size = 0;
    writer->capacity = 0;
}

void resp_writer_reset(resp_writer *writer, size_t keep)
{
    if (writer->capacity > keep) {
        resp_writer_deinit(writer);
    }
    writer->size = 0;
    writer->err = BRISK_OK;
}

/* Make room for `size` more; false: kept in err. */
static bool grow(resp_writer *writer, size_t size)
{
    if (size > writer->limit || writer->size > writer->limit - size) {
        writer->err = BRISK_ERR_LIMIT;
        return false;
    }
    size_t wanted = writer->size + size;
    size_t capacity = writer->capacity < CAPACITY_MIN ? CAPACITY_MIN : writer->capacity;
    while (capacity < wanted) {
        capacity *= 2;
    }
    if (capacity > writer->limit) {
        capacity = writer->limit;
    }
    unsigned char *data = writer->alloc->acquire(writer->alloc->ctx, capacity, 1);
    if (data == NULL) {
        writer->err = BRISK_ERR_NOMEM;
        return false;
    }
    size_t kept = writer->size;
    if (kept > 0) {
        memcpy(data, writer->data, kept);
    }
    resp_writer_deinit(writer);
    writer->data = data;
    writer->size = kept;
    writer->capacity = capacity;
    return true;
}

unsigned char *resp_writer_room(resp_writer *writer, size_t size)
{
    if (writer->err != BRISK_OK) {
        return NULL;
    }
    if (size > writer->capacity - writer->size && !grow(writer, size)) {
        return NULL;
    }
    return writer->data + writer->size;
}

void resp_put_raw(resp_writer *writer, const void *data, size_t size)
{
    unsigned char *room = resp_writer_room(writer, size);
    if (room != NULL && size > 0) {
        memcpy(room, data, size);
        writer->size += size;
    }
}

/* "<kind><number>\r\n" into `text`; returns its size. */
static size_t format_head(char text[HEAD_MAX], char kind, int64_t number)
{
    size_t size = 1;
    text[0] = kind;
    if (number >= 0 && number < 10) {
        text[size++] = (char)('0' + number);
    } else {
        size += resp_format_i64(text + 1, number);
    }
    text[size++] = '\r';
    text[size++] = '\n';
    return size;
}

static void put_head(resp_writer *writer, char kind, int64_t number)
{
    unsigned char *room = resp_writer_room(writer, HEAD_MAX);
    if (room != NULL) {
        writer->size += format_head((char *)room, kind, number);
    }
}

static void put_line(resp_writer *writer, char kind, const char *text)
{
    size_t size = strlen(text);
    unsigned char *room = resp_writer_room(writer, size + 3);
    if (room == NULL) {
        return;
    }
    room[0] = (unsigned char)kind;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        room[1 + i] = c == '\r' || c == '\n' ? ' ' : c;
    }
    room[1 + size] = '\r';
    room[2 + size] = '\n';
    writer->size += size + 3;
}

void resp_put_status(resp_writer *writer, const char *text)
{
    put_line(writer, '+', text);
}

void resp_put_error(resp_writer *writer, const char *text)
{
    put_line(writer, '-', text);
}

void resp_put_integer(resp_writer *writer, int64_t value)
{
    put_head(writer, ':', value);
}

unsigned char *resp_put_bulk_room(resp_writer *writer, size_t size)
{
    unsigned char *room = resp_writer_room(writer, HEAD_MAX + size + 2);
    if (room == NULL) {
        return NULL;
    }
    size_t head = format_head((char *)room, '$', (int64_t)size);
    room[head + size] = '\r';
    room[head + size + 1] = '\n';
    writer->size += head + size + 2;
    return room + head;
}

void resp_put_bulk(resp_writer *writer, const void *data, size_t size)
{
    unsigned char *room = resp_put_bulk_room(writer, size);
    if (room != NULL && size > 0) {
        memcpy(room, data, size);
    }
}

void resp_put_text(resp_writer *writer, const char *text)
{
    resp_put_bulk(writer, text, strlen(text));
}

void resp_put_integer_bulk(resp_writer *writer, int64_t value)
{
    char text[RESP_I64_TEXT];
    resp_put_bulk(writer, text, resp_format_i64(text, value));
}

void resp_put_null(resp_writer *writer)
{
    resp_put_raw(writer, writer->protocol >= 3 ? "_\r\n" : "$-1\r\n",
                 writer->protocol >= 3 ? 3 : 5);
}

void resp_put_null_array(resp_writer *writer)
{
    resp_put_raw(writer, writer->protocol >= 3 ? "_\r\n" : "*-1\r\n",
                 writer->protocol >= 3 ? 3 : 5);
}

void resp_put_bool(resp_writer *writer, bool value)
{
    if (writer->protocol >= 3) {
        resp_put_raw(writer, value ? "#t\r\n" : "#f\r\n", 4);
    } else {
        resp_put_integer(writer, value ? 1 : 0);
    }
}

void resp_put_double(resp_writer *writer, double value)
{
    char text[DOUBLE_TEXT];
    if (isinf(value)) {
        (void)snprintf(text, sizeof text, "%s", value > 0 ? "inf" : "-inf");
    } else if (isnan(value)) {
        (void)snprintf(text, sizeof text, "nan");
    } else {
        (void)snprintf(text, sizeof text, "%.17g", value);
    }
    if (writer->protocol >= 3) {
        put_line(writer, ',', text);
    } else {
        resp_put_text(writer, text);
    }
}

void resp_put_verbatim(resp_writer *writer, const void *data, size_t size)
{
    if (writer->protocol < 3) {
        resp_put_bulk(writer, data, size);
        return;
    }
    put_head(writer, '=', (int64_t)size + 4);
    resp_put_raw(writer, "txt:", 4);
    resp_put_raw(writer, data, size);
    resp_put_raw(writer, "\r\n", 2);
}

/* The first byte of an aggregate; *count becomes what is written there. */
static char aggregate_kind(const resp_writer *writer, resp_type type, size_t *count)
{
    if (type == RESP_MAP && writer->protocol < 3) {
        *count *= 2;
    }
    return writer->protocol >= 3 ? (char)type : '*';
}

static void put_aggregate(resp_writer *writer, resp_type type, size_t count)
{
    char kind = aggregate_kind(writer, type, &count);
    put_head(writer, kind, (int64_t)count);
}

void resp_put_array(resp_writer *writer, size_t count)
{
    put_aggregate(writer, RESP_ARRAY, count);
}

void resp_put_map(resp_writer *writer, size_t pairs)
{
    put_aggregate(writer, RESP_MAP, pairs);
}

void resp_put_set(resp_writer *writer, size_t count)
{
    put_aggregate(writer, RESP_SET, count);
}

void resp_put_push(resp_writer *writer, size_t count)
{
    put_aggregate(writer, RESP_PUSH, count);
}

void resp_put_before(resp_writer *writer, size_t mark, const void *data, size_t size)
{
    if (resp_writer_room(writer, size) == NULL) {
        return;
    }
    BRISK_ASSERT(mark <= writer->size);
    memmove(writer->data + mark + size, writer->data + mark, writer->size - mark);
    memcpy(writer->data + mark, data, size);
    writer->size += size;
}

void resp_put_count_before(resp_writer *writer, size_t mark, resp_type type, size_t count)
{
    char head[HEAD_MAX];
    char kind = aggregate_kind(writer, type, &count);
    resp_put_before(writer, mark, head, format_head(head, kind, (int64_t)count));
}
