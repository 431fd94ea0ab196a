/*
 * entry.c -- see entry.h.
 */
#include "daemon/proxy/entry.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const uint32_t magic = UINT32_C(0x32585042); /* "BPX2" */

/* Is it the head of an entry of `size` bytes in all? */
static bool is_head(const entry_head *head, uint64_t size)
{
    uint64_t rest = size - sizeof *head;
    return head->magic == magic && head->block_size <= rest &&
           head->body_size == rest - head->block_size && head->status >= 200 &&
           head->status <= 999 && head->total == head->body_size && head->first == 0;
}

bool entry_open(brisk_value *value, entry *ret)
{
    const unsigned char *data = brisk_value_data(value);
    uint64_t size = brisk_value_size(value);
    if (data == NULL || size < sizeof(entry_head) || (uintptr_t)data % _Alignof(entry_head) != 0) {
        return false;
    }
    const entry_head *head = (const entry_head *)(const void *)data;
    if (!is_head(head, size)) {
        return false;
    }
    *ret = (entry){.value = value,
                   .head = head,
                   .block = (const char *)data + sizeof *head,
                   .body = data + sizeof *head + head->block_size};
    return true;
}

static bool read_at(int fd, void *to, size_t size, off_t at)
{
    size_t have = 0;
    while (have < size) {
        ssize_t got = pread(fd, (char *)to + have, size - have, at + (off_t)have);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        have += (size_t)got;
    }
    return true;
}

bool entry_open_file(brisk_value *value, const brisk_alloc *alloc, entry *ret)
{
    entry_head head;
    void *data;
    brisk_value *front;
    int fd = brisk_value_fd(value);
    uint64_t size = brisk_value_size(value);
    if (fd < 0 || size < sizeof head || !read_at(fd, &head, sizeof head, 0) ||
        !is_head(&head, size) || head.block_size > PROXY_HEAD_BYTES_MAX ||
        brisk_value_reserve(sizeof head + head.block_size, alloc, &data, &front) != BRISK_OK) {
        return false;
    }
    memcpy(data, &head, sizeof head);
    if (!read_at(fd, (char *)data + sizeof head, head.block_size, sizeof head)) {
        brisk_value_unref(front);
        return false;
    }
    *ret = (entry){
        .value = value, .front = front, .head = data, .block = (const char *)data + sizeof head};
    return true;
}

void entry_front(entry *ret)
{
    const char *data = brisk_value_data(ret->front);
    ret->head = (const entry_head *)(const void *)data;
    ret->block = data + sizeof *ret->head;
    ret->body = NULL;
}

void entry_close(entry *e)
{
    brisk_value_unref(e->value);
    brisk_value_unref(e->front);
    e->value = NULL;
    e->front = NULL;
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
    fresh.flags = old->head->flags | head->flags;
    brisk_err err = entry_make(&fresh, block, alloc, ret, &body);
    if (err == BRISK_OK && fresh.body_size > 0 && old->body != NULL) {
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

bool entry_fill(brisk_value *value, const brisk_value *file)
{
    entry e;
    entry_head head;
    int fd = brisk_value_fd(file);
    if (!entry_open(value, &e) || fd < 0 || !read_at(fd, &head, sizeof head, 0) ||
        !is_head(&head, brisk_value_size(file)) || head.body_size != e.head->body_size) {
        return false;
    }
    unsigned char *to = (unsigned char *)(uintptr_t)e.body; /* nobody else has seen it yet */
    return read_at(fd, to, (size_t)head.body_size, (off_t)(sizeof head + head.block_size));
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
