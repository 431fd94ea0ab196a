/*
 * brisk/counter.h -- a counter that any thread may add to.
 *
 * Adds go to one of BRISK_COUNTER_SHARDS cache lines chosen by thread, so that two threads do not
 * fight for one line; reading sums them.  A read sees every add that happened before it.
 */
#ifndef BRISK_COUNTER_H
#define BRISK_COUNTER_H

#include <stdint.h>

#include <brisk/base.h>

BRISK_BEGIN_DECLS

enum { BRISK_COUNTER_SHARDS = 8 };

/** Zero-initialise; no deinit.  Fields are private and accessed atomically. */
typedef struct brisk_counter {
    struct {
        uint64_t value_;
        uint64_t pad_[7];
    } shards_[BRISK_COUNTER_SHARDS];
} brisk_counter;

BRISK_API void brisk_counter_add(brisk_counter *counter, uint64_t amount);
BRISK_API uint64_t brisk_counter_read(const brisk_counter *counter);

BRISK_END_DECLS

#endif /* BRISK_COUNTER_H */
