/*
 * addresses.h -- how many connections each address has, so that one of them cannot have all.
 *
 * IPv6 counts by /64, which is what one customer has.  This machine's addresses and unix sockets are not counted
 * unless limits say so.
 *
 * Threads: any; a lock of its own, taken when a connection begins and when it ends.
 */
#ifndef BRISK_SRC_DAEMON_ADDRESSES_H
#define BRISK_SRC_DAEMON_ADDRESSES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/dict.h"
#include "daemon/http/limits.h"

typedef struct addresses {
    pthread_mutex_t lock;
    dict counts; /* a number as the value */
    _Atomic uint64_t refused;
} addresses;

void addresses_init(addresses *self, const brisk_alloc *alloc);
void addresses_deinit(addresses *self);
/* One more connection; false: its address has too many, or no memory.  *ret: for addresses_leave. */
bool addresses_enter(addresses *self, int fd, const http_limits *limits, dict_entry **ret);
/* NULL is accepted. */
void addresses_leave(addresses *self, dict_entry *entry);

#endif /* BRISK_SRC_DAEMON_ADDRESSES_H */
