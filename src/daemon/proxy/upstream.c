/*
 * upstream.c -- see upstream.h.
 */
#include "daemon/proxy/upstream.h"

#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "daemon/proxy/field.h"

enum { EJECTIONS_MAX = 6, CHOICES = 2 };

static const uint64_t ejection_ns = UINT64_C(1000000000);
static const uint64_t ejection_max_ns = UINT64_C(60000000000);

/* --- addresses --------------------------------------------------------------------------- */

static brisk_err parse_unix(const char *path, upstream *up, brisk_errinfo *info)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&up->addresses[0].data;
    size_t size = strlen(path);
    if (size == 0 || path[0] != '/' || size >= sizeof address->sun_path) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "upstream 'unix:%s': the path of a socket is absolute and shorter "
                                 "than %zu bytes",
                                 path, sizeof address->sun_path);
    }
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, size + 1);
    up->addresses[0].size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
    up->address_count = 1;
    memcpy(up->host, "localhost", sizeof "localhost");
    memcpy(up->authority, "localhost", sizeof "localhost");
    return BRISK_OK;
}

static brisk_err look_up(upstream *up, const char *port, brisk_errinfo *info)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    int failed = getaddrinfo(up->host, port, &hints, &list);
    if (failed != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "upstream '%s': %s", up->url,
                                 gai_strerror(failed));
    }
    for (struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        if (up->address_count < UPSTREAM_ADDRESSES_MAX &&
            a->ai_addrlen <= sizeof up->addresses[0].data) {
            upstream_address *to = &up->addresses[up->address_count++];
            memcpy(&to->data, a->ai_addr, a->ai_addrlen);
            to->size = a->ai_addrlen;
        }
    }
    freeaddrinfo(list);
    return up->address_count > 0 ? BRISK_OK
                                 : brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND,
                                                     "upstream '%s' has no address", up->url);
}

static brisk_err refuse(const upstream *up, brisk_errinfo *info, const char *why)
{
    return brisk_errinfo_set(info, BRISK_ERR_INVALID, "upstream '%s': %s", up->url, why);
}

/* "[::1]:80" or "host:80" or "host": sets host and *port. */
static bool split_authority(http_text text, upstream *up, char port[8])
{
    http_text host = text;
    http_text digits = {0};
    if (text.size > 0 && text.data[0] == '[') {
        const char *end = memchr(text.data, ']', text.size);
        if (end == NULL) {
            return false;
        }
        host = (http_text){text.data + 1, (size_t)(end - text.data) - 1};
        size_t used = host.size + 2;
        if (used < text.size) {
            if (text.data[used] != ':') {
                return false;
            }
            digits = (http_text){text.data + used + 1, text.size - used - 1};
        }
    } else {
        const char *colon = memchr(text.data, ':', text.size);
        if (colon != NULL) {
            host.size = (size_t)(colon - text.data);
            digits = (http_text){colon + 1, text.size - host.size - 1};
        }
    }
    if (host.size == 0 || host.size >= sizeof up->host || digits.size > 5) {
        return false;
    }
    memcpy(up->host, host.data, host.size);
    up->host[host.size] = '\0';
    if (digits.size > 0) {
        memcpy(port, digits.data, digits.size);
        port[digits.size] = '\0';
        uint32_t number;
        return proxy_seconds(digits, &number) && number > 0 && number <= 65535;
    }
    return true;
}

brisk_err upstream_parse(const char *url, upstream *ret, brisk_errinfo *info)
{
    memset(ret, 0, sizeof *ret);
    ret->weight = 1;
    if (strlen(url) >= sizeof ret->url) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "an upstream's address is too long");
    }
    memcpy(ret->url, url, strlen(url) + 1);
    if (strncmp(url, "unix:", 5) == 0) {
        return parse_unix(url + 5, ret, info);
    }
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return refuse(ret, info, "it begins with http://, https:// or unix:");
    }
    ret->secure = url[4] == 's';
    const char *at = url + (ret->secure ? 8 : 7);
    size_t size = strcspn(at, "/?#");
    if (at[size] == '?' || at[size] == '#' || strpbrk(at + size, "?# \t\r\n") != NULL ||
        memchr(at, '@', size) != NULL) {
        return refuse(ret, info, "no user, query or fragment may stand in it");
    }
    char port[8] = "80";
    if (ret->secure) {
        memcpy(port, "443", 4);
    }
    if (size >= sizeof ret->authority || !split_authority((http_text){at, size}, ret, port)) {
        return refuse(ret, info, "its host or port is wrong");
    }
    memcpy(ret->authority, at, size);
    ret->authority[size] = '\0';
    size_t base = strlen(at + size);
    while (base > 0 && at[size + base - 1] == '/') {
        base--;
    }
    if (base >= sizeof ret->base) {
        return refuse(ret, info, "its path is too long");
    }
    memcpy(ret->base, at + size, base);
    ret->base[base] = '\0';
    return look_up(ret, port, info);
}

/* --- choosing ---------------------------------------------------------------------------- */

bool upstream_is_well(const upstream *up, uint64_t now_ns)
{
    return !atomic_load_explicit(&up->ill, memory_order_relaxed) &&
           atomic_load_explicit(&up->ejected_until_ns, memory_order_relaxed) <= now_ns;
}

/* Has `a` less to do for its weight than `b`? */
static bool is_less_loaded(const upstream *a, const upstream *b)
{
    uint64_t x = atomic_load_explicit(&a->outstanding, memory_order_relaxed) + UINT64_C(1);
    uint64_t y = atomic_load_explicit(&b->outstanding, memory_order_relaxed) + UINT64_C(1);
    return x * b->weight < y * a->weight;
}

upstream *upstreams_pick(upstreams *group, const upstream *not_this, uint64_t random,
                         uint64_t now_ns)
{
    if (group->count == 1) {
        return &group->items[0];
    }
    upstream *candidates[UPSTREAMS_MAX];
    uint32_t count = 0;
    for (int pass = 0; pass < 2 && count == 0; pass++) { /* the well ones, else all of them */
        for (uint32_t i = 0; i < group->count; i++) {
            upstream *up = &group->items[i];
            if (up != not_this && (pass == 1 || upstream_is_well(up, now_ns))) {
                candidates[count++] = up;
            }
        }
    }
    uint32_t first = (uint32_t)(random % count);
    upstream *best = candidates[first];
    /* Of few the least busy, beginning anywhere; of many the better of two. */
    uint32_t tries = count <= 8 ? count : CHOICES;
    for (uint32_t i = 1; i < tries; i++) {
        uint32_t at = count <= 8 ? first + i : (uint32_t)((random >> 32) % count);
        upstream *other = candidates[at % count];
        best = is_less_loaded(other, best) ? other : best;
    }
    return best;
}

void upstream_began(upstream *up)
{
    (void)atomic_fetch_add_explicit(&up->outstanding, 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&up->requests, 1, memory_order_relaxed);
}

void upstream_ended(upstream *up)
{
    (void)atomic_fetch_sub_explicit(&up->outstanding, 1, memory_order_relaxed);
}

void upstream_succeeded(upstream *up)
{
    if (atomic_load_explicit(&up->failures, memory_order_relaxed) != 0 ||
        atomic_load_explicit(&up->ejections, memory_order_relaxed) != 0) {
        atomic_store_explicit(&up->failures, 0, memory_order_relaxed);
        atomic_store_explicit(&up->ejections, 0, memory_order_relaxed);
        atomic_store_explicit(&up->ejected_until_ns, 0, memory_order_relaxed);
    }
}

void upstream_failed(upstreams *group, upstream *up, uint64_t now_ns)
{
    (void)atomic_fetch_add_explicit(&up->errors, 1, memory_order_relaxed);
    uint32_t failures = atomic_fetch_add_explicit(&up->failures, 1, memory_order_relaxed) + 1;
    if (group->failures_max == 0 || failures < group->failures_max ||
        atomic_load_explicit(&up->ejected_until_ns, memory_order_relaxed) > now_ns) {
        return;
    }
    uint32_t times = atomic_fetch_add_explicit(&up->ejections, 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&up->ejected, 1, memory_order_relaxed);
    uint64_t pause = ejection_ns << (times < EJECTIONS_MAX ? times : EJECTIONS_MAX);
    pause = pause < ejection_max_ns ? pause : ejection_max_ns;
    atomic_store_explicit(&up->ejected_until_ns, now_ns + pause, memory_order_relaxed);
}
