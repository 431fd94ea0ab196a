/*
 * held.h -- values that clients have not read yet, each counted once however many read it.
 *
 * A value is in memory as long as somebody has a reference: the tier, and every connection that sends it.  One that
 * the tier gave up lives on in those who read slowly, so what waits for readers is counted with the other bytes that
 * are unsent (serve.output_total).  A value that is sent at once is never seen here.
 *
 * Threads: any; a lock of its own.
 */
#ifndef BRISK_SRC_DAEMON_HELD_H
#define BRISK_SRC_DAEMON_HELD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <brisk/value.h>

#include "daemon/dict.h"

typedef struct held_values {
    pthread_mutex_t lock;
    dict values;             /* by address; how many hold it */
    _Atomic uint64_t *total; /* the sum of their sizes is part of it */
} held_values;

void held_init(held_values *self, _Atomic uint64_t *total, const brisk_alloc *alloc);
void held_deinit(held_values *self);
/* One more who has a reference of `value` for a while.  False: no memory to count it, and held_let_go must not be called. */
bool held_hold(held_values *self, const brisk_value *value);
/* Before that reference is given back. */
void held_let_go(held_values *self, const brisk_value *value);

#endif /* BRISK_SRC_DAEMON_HELD_H */
