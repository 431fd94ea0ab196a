/*
 * brisk/clock.h -- time, injectable: nobody calls clock_gettime outside src/base.
 */
#ifndef BRISK_CLOCK_H
#define BRISK_CLOCK_H

#include <stdint.h>

#include <brisk/base.h>

BRISK_BEGIN_DECLS

typedef struct brisk_clock {
    uint64_t (*now_ns)(void *ctx);  /**< Monotonic, nanoseconds since an arbitrary point. */
    uint64_t (*wall_ns)(void *ctx); /**< Nanoseconds since 1970-01-01 UTC; may jump. */
    void *ctx;
} brisk_clock;

/** The system's clocks.  Thread-safe, static lifetime. */
BRISK_API const brisk_clock *brisk_clock_system(void);

/** clock->now_ns(clock->ctx); NULL means the system's. */
BRISK_API uint64_t brisk_clock_now_ns(const brisk_clock *clock);

/** clock->wall_ns(clock->ctx); NULL means the system's. */
BRISK_API uint64_t brisk_clock_wall_ns(const brisk_clock *clock);

BRISK_END_DECLS

#endif /* BRISK_CLOCK_H */
