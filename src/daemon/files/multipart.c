/*
 * multipart.c -- several ranges in one answer: multipart/byteranges.
 *
 *     --BOUNDARY                        each part: its head, then its bytes
 *     content-type, content-range
 *
 *     ...
 *     --BOUNDARY--
 *
 * The length is known before the first byte, so that a file that shrinks meanwhile is noticed: the
 * answer is given up.  Bytes are written in pieces, as fast as the client takes them.
 *
 * Source: RFC 9110 sections 14.6 and 15.3.7.2.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/files/internal.h"
#include "daemon/server.h"

enum {
    HEAD_MAX = 320,
    PIECE = 65536,
    BOUNDARY_MAX = 40,
};

typedef struct parts {
    file_entry *entry; /* a reference; NULL: it was given back */
    range_set set;
    http_text type;
    uint32_t index; /* of the part that is written */
    bool in_part;   /* its head was written */
    uint64_t at;    /* of the file */
    char boundary[BOUNDARY_MAX];
    unsigned char piece[PIECE];
} parts;

static size_t part_head(const parts *p, uint32_t index, char head[HEAD_MAX])
{
    const byte_range *r = &p->set.ranges[index];
    int size =
        snprintf(head, HEAD_MAX,
                 "\r\n--%s\r\ncontent-type: %.*s\r\ncontent-range: bytes %llu-%llu/%llu\r\n\r\n",
                 p->boundary, (int)p->type.size, p->type.data, (unsigned long long)r->first,
                 (unsigned long long)r->last, (unsigned long long)p->entry->size);
    return (size_t)size;
}

static size_t last_line(const parts *p, char line[HEAD_MAX])
{
    return (size_t)snprintf(line, HEAD_MAX, "\r\n--%s--\r\n", p->boundary);
}

static uint64_t length_of(const parts *p)
{
    char text[HEAD_MAX];
    uint64_t length = last_line(p, text);
    for (uint32_t i = 0; i < p->set.count; i++) {
        length += part_head(p, i, text) + (p->set.ranges[i].last - p->set.ranges[i].first + 1);
    }
    return length;
}

/* Some bytes of the file; 0: it cannot be read, or is shorter than it was. */
static size_t read_piece(parts *p, uint64_t at, size_t size, const void **ret)
{
    if (p->entry->value != NULL) {
        *ret = (const char *)brisk_value_data(p->entry->value) + at;
        return size;
    }
    ssize_t got;
    do {
        got = pread(p->entry->fd, p->piece, size, (off_t)at);
    } while (got < 0 && errno == EINTR);
    *ret = p->piece;
    return got > 0 ? (size_t)got : 0;
}

/* Until everything is written or the client does not keep up. */
static void pump(file_ask *ask)
{
    parts *p = ask->parts;
    exchange *x = ask->x;
    bool room = true;
    while (room && p->index < p->set.count) {
        const byte_range *r = &p->set.ranges[p->index];
        if (!p->in_part) {
            char head[HEAD_MAX];
            size_t size = part_head(p, p->index, head);
            p->in_part = true;
            p->at = r->first;
            room = exchange_write(x, head, size);
            continue;
        }
        uint64_t left = r->last - p->at + 1;
        const void *bytes;
        size_t size = read_piece(p, p->at, left < PIECE ? (size_t)left : (size_t)PIECE, &bytes);
        if (size == 0) {
            exchange_abort(x);
            files_parts_gone(ask);
            return;
        }
        p->at += size;
        if (p->at > r->last) {
            p->index++;
            p->in_part = false;
        }
        room = exchange_write(x, bytes, size);
    }
    if (p->index == p->set.count) {
        char line[HEAD_MAX];
        size_t size = last_line(p, line);
        files_parts_gone(ask);
        (void)!exchange_write(x, line, size); /* nothing follows that would have to wait */
        exchange_finish(x);
    }
}

void files_send_parts(file_ask *ask, file_entry *entry, const range_set *set,
                      const http_answer *answer, http_text type)
{
    exchange *x = ask->x;
    parts *p = exchange_alloc(x, sizeof *p);
    http_field *fields = exchange_alloc(x, ((size_t)answer->field_count + 1) * sizeof *fields);
    char *name = exchange_alloc(x, BOUNDARY_MAX + 40);
    if (p == NULL || fields == NULL || name == NULL) {
        file_entry_unref(entry);
        exchange_fail(x, 503, "no memory is left");
        return;
    }
    memset(p, 0, offsetof(parts, piece));
    p->entry = entry;
    p->set = *set;
    p->type = type;
    /* Of the content's hash and the exchange: nobody can have written it into the file. */
    (void)snprintf(p->boundary, sizeof p->boundary, "%016llx%016llx",
                   (unsigned long long)(entry->identity.lo ^ x->begun_ns),
                   (unsigned long long)(entry->identity.hi + x->id));
    int size = snprintf(name, BOUNDARY_MAX + 40, "multipart/byteranges; boundary=%s", p->boundary);
    if (answer->field_count > 0) {
        memcpy(fields, answer->fields, answer->field_count * sizeof *fields);
    }
    fields[answer->field_count] =
        (http_field){HTTP_TEXT("content-type"), {.data = name, .size = (size_t)size}};
    http_answer with_type = *answer;
    with_type.fields = fields;
    with_type.field_count++;
    with_type.length = (int64_t)length_of(p);
    ask->parts = p;
    bandwidth_sent(x, (uint64_t)with_type.length);
    exchange_start(x, &with_type);
    pump(ask);
}

void files_parts_writable(file_ask *ask)
{
    parts *p = ask != NULL ? ask->parts : NULL;
    if (p != NULL && p->entry != NULL) {
        pump(ask);
    }
}

void files_parts_gone(file_ask *ask)
{
    parts *p = ask->parts;
    if (p != NULL && p->entry != NULL) {
        file_entry_unref(p->entry);
        p->entry = NULL;
    }
}
