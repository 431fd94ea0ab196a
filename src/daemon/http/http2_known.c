/*
 * http2_known.c -- see http2_known.h.
 *
 * A slot holds one head.  Another block with its place takes it over when it comes twice with no
 * third between: so one head that comes all the time is not driven out by many that come once.
 */
#include "daemon/http/http2_known.h"

#include <string.h>

#include <brisk/hash.h>

#include "base/assert.h"

void http2_known_init(http2_known *known, const brisk_alloc *alloc, size_t *kept)
{
    *known = (http2_known){.alloc = alloc, .kept = kept};
}

void http2_head_use(http2_head *head)
{
    head->users++;
}

void http2_head_release(http2_known *known, http2_head *head)
{
    BRISK_ASSERT(head->users > 0);
    if (--head->users == 0) {
        *known->kept -= head->size;
        known->alloc->release(known->alloc->ctx, head, head->size, _Alignof(http2_head));
    }
}

void http2_known_forget(http2_known *known)
{
    for (size_t i = 0; i < HTTP2_KNOWN_HEADS; i++) {
        if (known->slots[i].head != NULL) {
            http2_head_release(known, known->slots[i].head);
        }
        known->slots[i].head = NULL;
        known->slots[i].hash = 0;
    }
}

uint64_t http2_known_hash(const unsigned char *block, size_t size)
{
    return brisk_hash64(block, size, 0);
}

http2_head *http2_known_find(const http2_known *known, uint64_t hash, const unsigned char *block,
                             size_t size)
{
    http2_head *head = known->slots[hash % HTTP2_KNOWN_HEADS].head;
    bool same = head != NULL && head->block_size == size && memcmp(head->block, block, size) == 0;
    return same ? head : NULL;
}

bool http2_known_wants(http2_known *known, uint64_t hash)
{
    uint64_t *last = &known->slots[hash % HTTP2_KNOWN_HEADS].hash;
    bool again = *last == hash;
    *last = hash;
    return again;
}

/* --- copies ------------------------------------------------------------------------------- */

static size_t size_of_texts(const http2_head *head)
{
    size_t size = head->method.size + head->target.size + head->authority.size;
    for (uint32_t i = 0; i < head->field_count; i++) {
        size += head->fields[i].name.size + head->fields[i].value.size;
    }
    return size;
}

static http_text put_text(char **at, http_text text)
{
    http_text copy = {.data = *at, .size = text.size};
    if (text.size > 0) {
        memcpy(*at, text.data, text.size);
    }
    *at += text.size;
    return copy;
}

void http2_known_keep(http2_known *known, const unsigned char *block, size_t size,
                      const http2_head *head)
{
    size_t fields = head->field_count * sizeof head->fields[0];
    size_t all = sizeof *head + fields + size_of_texts(head) + size;
    if (all > HTTP2_KNOWN_HEAD_MAX || all > HTTP2_KNOWN_BYTES - *known->kept) {
        return;
    }
    http2_head *copy = known->alloc->acquire(known->alloc->ctx, all, _Alignof(http2_head));
    if (copy == NULL) {
        return;
    }
    *known->kept += all;
    *copy = (http2_head){.field_count = head->field_count,
                         .fields = copy->room,
                         .users = 1,
                         .block_size = size,
                         .size = all};
    char *at = (char *)(copy->room + head->field_count);
    copy->method = put_text(&at, head->method);
    copy->target = put_text(&at, head->target);
    copy->authority = put_text(&at, head->authority);
    for (uint32_t i = 0; i < head->field_count; i++) {
        copy->room[i].name = put_text(&at, head->fields[i].name);
        copy->room[i].value = put_text(&at, head->fields[i].value);
    }
    copy->block = (const unsigned char *)put_text(&at, (http_text){(const char *)block, size}).data;
    http2_head **place = &known->slots[http2_known_hash(block, size) % HTTP2_KNOWN_HEADS].head;
    if (*place != NULL) {
        http2_head_release(known, *place);
    }
    *place = copy;
}

/* --- blocks ------------------------------------------------------------------------------- */

typedef struct reader {
    const unsigned char *at;
    const unsigned char *end;
} reader;

/* An integer behind the first bits of a byte (5.1); false: it has no end, or is beyond any size here. */
static bool read_number(reader *r, unsigned bits, size_t *ret)
{
    if (r->at == r->end) {
        return false;
    }
    size_t mask = (1u << bits) - 1;
    size_t number = *r->at++ & mask;
    if (number == mask) {
        unsigned shift = 0;
        unsigned char byte;
        do {
            if (r->at == r->end || shift > 21) {
                return false;
            }
            byte = *r->at++;
            number += (size_t)(byte & 0x7f) << shift;
            shift += 7;
        } while ((byte & 0x80) != 0);
    }
    *ret = number;
    return true;
}

static bool skip_text(reader *r)
{
    size_t size;
    if (!read_number(r, 7, &size) || size > (size_t)(r->end - r->at)) {
        return false;
    }
    r->at += size;
    return true;
}

bool http2_block_is_neutral(const unsigned char *block, size_t size)
{
    reader r = {.at = block, .end = block + size};
    while (r.at < r.end) {
        size_t index;
        unsigned char first = *r.at;
        if ((first & 0x80) != 0) { /* a field of a table (6.1) */
            if (!read_number(&r, 7, &index)) {
                return false;
            }
            continue;
        }
        if ((first & 0x60) != 0) { /* one more for the table (6.2.1), or its size (6.3) */
            return false;
        }
        if (!read_number(&r, 4, &index) || (index == 0 && !skip_text(&r)) || !skip_text(&r)) {
            return false; /* a literal, not indexed (6.2.2, 6.2.3) */
        }
    }
    return true;
}
