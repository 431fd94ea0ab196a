/*
 * head.c -- see head.h.
 */
#include "daemon/proxy/head.h"

#include <stdio.h>
#include <string.h>

#include "daemon/proxy/control.h"

static bool is_one_of(http_text name, const http_text *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (proxy_same(name, list[i])) {
            return true;
        }
    }
    return false;
}

#define IS_ONE_OF(name, list) is_one_of(name, list, sizeof(list) / sizeof(list)[0])

/* Is there a name of that size among those below?  It is asked of every field, and nearly always answers no. */
static bool may_be_left_out(size_t size)
{
    static const uint32_t sizes = 1u << 2 | 1u << 7 | 1u << 10 | 1u << 13 | 1u << 14 | 1u << 16 |
                                  1u << 17 | 1u << 18 | 1u << 19 | 1u << 25;
    return size < 32 && (sizes >> size & 1) != 0;
}

bool proxy_is_hop_field(http_text name)
{
    static const http_text list[] = {
        HTTP_TEXT_INIT("connection"),
        HTTP_TEXT_INIT("keep-alive"),
        HTTP_TEXT_INIT("proxy-authenticate"),
        HTTP_TEXT_INIT("proxy-authorization"),
        HTTP_TEXT_INIT("proxy-authentication-info"),
        HTTP_TEXT_INIT("proxy-connection"),
        HTTP_TEXT_INIT("te"),
        HTTP_TEXT_INIT("trailer"),
        HTTP_TEXT_INIT("transfer-encoding"),
        HTTP_TEXT_INIT("upgrade"),
        HTTP_TEXT_INIT("http2-settings"),
    };
    return may_be_left_out(name.size) && IS_ONE_OF(name, list);
}

bool proxy_is_hop_field_of(proxy_fields head, http_text name)
{
    return proxy_is_hop_field(name) || (head.count > 0 && proxy_list_has(head, "connection", name));
}

/* What caches say to each other, and this one does not hand on. */
static bool is_for_caches(http_text name)
{
    static const http_text list[] = {HTTP_TEXT_INIT("surrogate-key"),
                                     HTTP_TEXT_INIT("surrogate-control")};
    return IS_ONE_OF(name, list);
}

/* Surrogate-Key is kept: what was stored is put again after a validation, and has its tags then, too. */
static bool is_not_kept(http_text name)
{
    return proxy_same(name, HTTP_TEXT("surrogate-control"));
}

void proxy_head_init(proxy_head *head, const brisk_alloc *alloc)
{
    brisk_str_init(&head->block, alloc, PROXY_HEAD_BYTES_MAX);
    head->count = 0;
}

void proxy_head_deinit(proxy_head *head)
{
    brisk_str_deinit(&head->block);
    head->count = 0;
}

void proxy_head_add(proxy_head *head, http_text name, http_text value)
{
    brisk_str_append(&head->block, name.data, name.size);
    brisk_str_append(&head->block, ": ", 2);
    brisk_str_append(&head->block, value.size > 0 ? value.data : "", value.size);
    brisk_str_append(&head->block, "\r\n", 2);
    head->count++;
}

brisk_err proxy_head_err(const proxy_head *head)
{
    return head->count > PROXY_HEAD_FIELDS_MAX ? BRISK_ERR_LIMIT : brisk_str_err(&head->block);
}

bool proxy_block_fields(const char *block, size_t size, http_field *ret, uint32_t capacity,
                        uint32_t *count)
{
    uint32_t n = 0;
    const char *at = block;
    const char *end = block + size;
    while (at < end) {
        const char *line_end = memchr(at, '\r', (size_t)(end - at));
        const char *colon = line_end != NULL ? memchr(at, ':', (size_t)(line_end - at)) : NULL;
        if (colon == NULL || n == capacity || line_end - colon < 2 || end - line_end < 2) {
            return false;
        }
        ret[n].name = (http_text){at, (size_t)(colon - at)};
        ret[n].value = (http_text){colon + 2, (size_t)(line_end - colon - 2)};
        n++;
        at = line_end + 2;
    }
    *count = n;
    return true;
}

void proxy_head_keep(proxy_head *head, proxy_fields response)
{
    bool names = proxy_field(response, "cache-control") != NULL;
    for (uint32_t i = 0; i < response.count; i++) {
        const http_field *f = &response.items[i];
        if (proxy_is_hop_field_of(response, f->name) || is_not_kept(f->name) ||
            proxy_same(f->name, HTTP_TEXT("age")) ||
            proxy_same(f->name, HTTP_TEXT("content-length")) ||
            (names && proxy_control_names(response, f->name))) {
            continue;
        }
        proxy_head_add(head, f->name, f->value);
    }
}

bool proxy_head_is_left_out(proxy_fields response, http_text name)
{
    if (response.count == 0 && !may_be_left_out(name.size)) {
        return false;
    }
    return proxy_is_hop_field_of(response, name) || is_for_caches(name) ||
           proxy_same(name, HTTP_TEXT("content-length"));
}

void proxy_head_pass(proxy_head *head, proxy_fields response)
{
    for (uint32_t i = 0; i < response.count; i++) {
        const http_field *f = &response.items[i];
        if (!proxy_head_is_left_out(response, f->name)) {
            proxy_head_add(head, f->name, f->value);
        }
    }
}

/* Fields that tell of the stored bytes stay with them. */
static bool is_of_the_bytes(http_text name)
{
    static const http_text list[] = {
        HTTP_TEXT_INIT("content-encoding"),
        HTTP_TEXT_INIT("content-length"),
        HTTP_TEXT_INIT("content-range"),
    };
    return IS_ONE_OF(name, list);
}

static bool is_updated_by(proxy_fields not_modified, http_text name)
{
    if (is_of_the_bytes(name) || proxy_is_hop_field_of(not_modified, name)) {
        return false;
    }
    for (uint32_t i = 0; i < not_modified.count; i++) {
        if (proxy_same(not_modified.items[i].name, name)) {
            return true;
        }
    }
    return false;
}

void proxy_head_merge(proxy_head *head, proxy_fields stored, proxy_fields not_modified)
{
    bool names = proxy_field(not_modified, "cache-control") != NULL;
    for (uint32_t i = 0; i < stored.count; i++) {
        const http_field *f = &stored.items[i];
        if (!is_updated_by(not_modified, f->name)) {
            proxy_head_add(head, f->name, f->value);
        }
    }
    for (uint32_t i = 0; i < not_modified.count; i++) {
        const http_field *f = &not_modified.items[i];
        if (!is_updated_by(not_modified, f->name) || is_not_kept(f->name) ||
            proxy_same(f->name, HTTP_TEXT("age")) ||
            (names && proxy_control_names(not_modified, f->name))) {
            continue;
        }
        proxy_head_add(head, f->name, f->value);
    }
}

size_t proxy_status_write(const proxy_status *status, char text[PROXY_STATUS_SIZE])
{
    char forward[48] = "hit";
    char answered[32] = "";
    char ttl[32] = "";
    char detail[48] = "";
    if (status->forward != NULL) {
        (void)snprintf(forward, sizeof forward, "fwd=%s", status->forward);
    }
    if (status->forward_status != 0) {
        (void)snprintf(answered, sizeof answered, "; fwd-status=%u", status->forward_status);
    }
    if (status->has_ttl) {
        (void)snprintf(ttl, sizeof ttl, "; ttl=%lld", (long long)status->ttl_s);
    }
    if (status->detail != NULL) {
        (void)snprintf(detail, sizeof detail, "; detail=%s", status->detail);
    }
    int size =
        snprintf(text, PROXY_STATUS_SIZE, "brisk; %s%s%s%s%s%s", forward, answered, ttl,
                 status->stored ? "; stored" : "", status->collapsed ? "; collapsed" : "", detail);
    return size < PROXY_STATUS_SIZE ? (size_t)size : PROXY_STATUS_SIZE - 1;
}
