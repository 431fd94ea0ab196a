/*
 * entry.c -- see entry.h.
 */
#include "daemon/proxy/entry.h"

#include <string.h>

static const uint32_t magic = UINT32_C(0x31585042); /* "BPX1" */

bool entry_open(brisk_value *value, entry *ret)
{
    const unsigned char *data = brisk_value_data(value);
    uint64_t size = brisk_value_size(value);
    if (data == NULL || size < sizeof(entry_head) || (uintptr_t)data % _Alignof(entry_head) != 0) {
        return false;
    }
    const entry_head *head = (const entry_head *)(const void *)data;
    uint64_t rest = size - sizeof *head;
    if (head->magic != magic || head->block_size > rest ||
        head->body_size != rest - head->block_size || head->status < 200 || head->status > 999 ||
        head->total < head->body_size || head->first > head->total - head->body_size) {
        return false;
    }
    *ret = (entry){.value = value,
                   .head = head,
                   .block = (const char *)data + sizeof *head,
                   .body = data + sizeof *head + head->block_size};
    return true;
}

bool entry_fields(const entry *e, http_field *table, proxy_fields *ret)
{
    uint32_t count = 0;
    if ((e->head->flags & ENTRY_SPEC) != 0 ||
        !proxy_block_fields(e->block, e->head->block_size, table, PROXY_HEAD_FIELDS_MAX, &count)) {
        return false;
    }
    *ret = (proxy_fields){table, count};
    return true;
}

static brisk_err make(const entry_head *head, http_text block, const brisk_alloc *alloc,
                      brisk_value **ret, unsigned char **body)
{
    void *data;
    if (head->body_size > SIZE_MAX - sizeof *head - block.size) {
        return BRISK_ERR_LIMIT;
    }
    size_t size = sizeof *head + block.size + (size_t)head->body_size;
    brisk_err err = brisk_value_reserve(size, alloc, &data, ret);
    if (err != BRISK_OK) {
        return err;
    }
    entry_head *to = data;
    memcpy(to, head, sizeof *head);
    to->magic = magic;
    to->block_size = (uint32_t)block.size;
    memcpy(to + 1, block.data, block.size);
    *body = (unsigned char *)(to + 1) + block.size;
    return BRISK_OK;
}

brisk_err entry_make(const entry_head *head, const proxy_head *block, const brisk_alloc *alloc,
                     brisk_value **ret, unsigned char **body)
{
    brisk_err err = proxy_head_err(block);
    http_text text = {brisk_str_text(&block->block), brisk_str_size(&block->block)};
    return err != BRISK_OK ? err : make(head, text, alloc, ret, body);
}

brisk_err entry_renew(const entry *old, const entry_head *head, const proxy_head *block,
                      const brisk_alloc *alloc, brisk_value **ret)
{
    entry_head fresh = *head;
    unsigned char *body;
    fresh.body_size = old->head->body_size;
    fresh.first = old->head->first;
    fresh.total = old->head->total;
    fresh.flags = old->head->flags;
    brisk_err err = entry_make(&fresh, block, alloc, ret, &body);
    if (err == BRISK_OK && fresh.body_size > 0) {
        memcpy(body, old->body, (size_t)fresh.body_size);
    }
    return err;
}

brisk_err entry_make_spec(const char *spec, const brisk_alloc *alloc, brisk_value **ret)
{
    entry_head head = {.status = 200, .flags = ENTRY_SPEC};
    unsigned char *body;
    return make(&head, (http_text){spec, strlen(spec) + 1}, alloc, ret, &body);
}

/* --- keys ---------------------------------------------------------------------------------- */

/* Without the port that goes without saying. */
static http_text plain_authority(http_text authority, bool secure)
{
    http_text port = secure ? HTTP_TEXT(":443") : HTTP_TEXT(":80");
    if (authority.size > port.size &&
        memcmp(authority.data + authority.size - port.size, port.data, port.size) == 0) {
        authority.size -= port.size;
    }
    return authority;
}

bool entry_key(char key[ENTRY_KEY_MAX], bool secure, http_text authority, http_text target,
               size_t *size)
{
    enum { HASH = 17 };
    authority = plain_authority(authority, secure);
    if (authority.size > 512 || target.size > ENTRY_KEY_MAX - 512 - 8 - HASH) {
        return false;
    }
    size_t used = 4;
    memcpy(key, secure ? "PX\0s" : "PX\0p", 4);
    for (size_t i = 0; i < authority.size; i++) {
        char c = authority.data[i];
        key[used++] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    key[used++] = '\0';
    memcpy(key + used, target.data, target.size);
    *size = used + target.size;
    return true;
}

size_t entry_variant_key(char key[ENTRY_KEY_MAX], size_t size, brisk_hash128 hash)
{
    key[size] = '\0';
    memcpy(key + size + 1, &hash, sizeof hash);
    return size + 1 + sizeof hash;
}
