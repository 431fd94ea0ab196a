/*
 * addresses.c -- a table of counts.
 *
 * Invariant: an entry's value is the number of connections that will leave it, at least one.
 */
#include "daemon/addresses.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"

enum { KEY_MAX = 9 };

void addresses_init(addresses *self, const brisk_alloc *alloc)
{
    int failed = pthread_mutex_init(&self->lock, NULL);
    BRISK_ASSERT(failed == 0);
    dict_init(&self->counts, alloc);
    atomic_init(&self->refused, 0);
}

void addresses_deinit(addresses *self)
{
    dict_deinit(&self->counts);
    (void)pthread_mutex_destroy(&self->lock);
}

/* What is counted: '4' and an address, '6' and half of one.  0: nothing. */
static size_t key_of(int fd, bool local, unsigned char key[KEY_MAX])
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0) {
        return 0;
    }
    const unsigned char *four = NULL;
    if (peer.ss_family == AF_INET) {
        four = (const unsigned char *)&((const struct sockaddr_in *)(const void *)&peer)->sin_addr;
    } else if (peer.ss_family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)&peer)->sin6_addr;
        if (IN6_IS_ADDR_LOOPBACK(six) && !local) {
            return 0;
        }
        if (!IN6_IS_ADDR_V4MAPPED(six)) {
            key[0] = '6';
            memcpy(key + 1, six, 8);
            return 9;
        }
        four = (const unsigned char *)six + 12;
    }
    if (four == NULL || (four[0] == 127 && !local)) {
        return 0;
    }
    key[0] = '4';
    memcpy(key + 1, four, 4);
    return 5;
}

bool addresses_enter(addresses *self, int fd, const http_limits *limits, dict_entry **ret)
{
    unsigned char key[KEY_MAX];
    size_t size = limits->per_address > 0 ? key_of(fd, limits->per_address_local, key) : 0;
    *ret = NULL;
    if (size == 0) {
        return true;
    }
    (void)pthread_mutex_lock(&self->lock);
    dict_entry *entry = dict_add(&self->counts, key, size);
    uintptr_t count = entry != NULL ? (uintptr_t)entry->value : 0;
    bool good = entry != NULL && count < limits->per_address;
    if (good) {
        entry->value = (void *)(count + 1);
        *ret = entry;
    } else {
        atomic_fetch_add_explicit(&self->refused, 1, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return good;
}

void addresses_leave(addresses *self, dict_entry *entry)
{
    if (entry == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&self->lock);
    uintptr_t count = (uintptr_t)entry->value;
    BRISK_ASSERT(count > 0);
    entry->value = (void *)(count - 1);
    if (count == 1) {
        dict_remove(&self->counts, entry);
    }
    (void)pthread_mutex_unlock(&self->lock);
}
