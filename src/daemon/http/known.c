/*
 * known.c -- see known.h.
 *
 * A slot holds one head.  Another block with its place takes it over when it comes twice with no
 * third between: so one head that comes all the time is not driven out by many that come once.
 */
#include "daemon/http/known.h"

#include <string.h>

#include <brisk/hash.h>

#include "base/assert.h"

void http_known_init(http_known *known, const brisk_alloc *alloc, size_t *kept)
{
    *known = (http_known){.alloc = alloc, .kept = kept};
}

void http_known_use(http_known_head *head)
{
    head->users++;
}

void http_known_release(http_known *known, http_known_head *head)
{
    BRISK_ASSERT(head->users > 0);
    if (--head->users == 0) {
        *known->kept -= head->size;
        known->alloc->release(known->alloc->ctx, head, head->size, _Alignof(http_known_head));
    }
}

void http_known_forget(http_known *known)
{
    for (size_t i = 0; i < HTTP_KNOWN_HEADS; i++) {
        if (known->slots[i].head != NULL) {
            http_known_release(known, known->slots[i].head);
        }
        known->slots[i].head = NULL;
        known->slots[i].hash = 0;
    }
}

uint64_t http_known_hash(const unsigned char *block, size_t size)
{
    return brisk_hash64(block, size, 0);
}

http_known_head *http_known_find(const http_known *known, uint64_t hash, const unsigned char *data,
                                 size_t size)
{
    http_known_head *head = known->slots[hash % HTTP_KNOWN_HEADS].head;
    bool same = head != NULL && head->block_size <= size &&
                memcmp(head->block, data, head->block_size) == 0;
    return same ? head : NULL;
}

bool http_known_wants(http_known *known, uint64_t hash)
{
    uint64_t *last = &known->slots[hash % HTTP_KNOWN_HEADS].hash;
    bool again = *last == hash;
    *last = hash;
    return again;
}

/* --- copies ------------------------------------------------------------------------------- */

static size_t size_of_texts(const http_known_head *head)
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

void http_known_keep(http_known *known, uint64_t hash, const unsigned char *block, size_t size,
                     const http_known_head *head)
{
    size_t fields = head->field_count * sizeof head->fields[0];
    size_t all = sizeof *head + fields + size_of_texts(head) + size;
    if (all > HTTP_KNOWN_HEAD_MAX || all > HTTP_KNOWN_BYTES - *known->kept) {
        return;
    }
    http_known_head *copy =
        known->alloc->acquire(known->alloc->ctx, all, _Alignof(http_known_head));
    if (copy == NULL) {
        return;
    }
    *known->kept += all;
    *copy = (http_known_head){.field_count = head->field_count,
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
    http_known_head **place = &known->slots[hash % HTTP_KNOWN_HEADS].head;
    if (*place != NULL) {
        http_known_release(known, *place);
    }
    *place = copy;
}
