/*
 * brisk/clock.h -- time, injectable: nobody calls clock_gettime outside src/base.
 */
#ifndef BRISK_CLOCK_H
#define BRISK_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
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

/** Processor time of the calling thread so far, nanoseconds; a system call of about 170 ns. */
BRISK_API uint64_t brisk_clock_thread_cpu_ns(void);

/** How ticks become nanoseconds: private, filled in by brisk_clock_calibrate. */
typedef struct brisk_ticks_scale {
    uint64_t multiplier; /* ns = ticks * multiplier / 2^32 */
    bool tsc;            /* the processor's counter; otherwise ticks are nanoseconds */
} brisk_ticks_scale;

BRISK_API extern brisk_ticks_scale brisk_private_ticks;

/**
 * Measure the processor's counter against the system's clock, once for the process: half a millisecond, an
 * error of some parts in 10^5.  Where the kernel itself does not trust the counter, ticks are nanoseconds.
 */
BRISK_API void brisk_clock_calibrate(void);

/** The cheapest steady counter, for lengths of time on hot paths.  brisk_clock_calibrate comes first. */
static inline uint64_t brisk_clock_ticks(void)
{
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
    if (brisk_private_ticks.tsc) {
        return __builtin_ia32_rdtsc();
    }
#endif
    return brisk_clock_now_ns(NULL);
}

/** A difference of ticks in nanoseconds; below 2^63 ns, and 0 when the counter went back. */
static inline uint64_t brisk_clock_ticks_to_ns(uint64_t ticks)
{
#if defined(__SIZEOF_INT128__)
    __extension__ typedef unsigned __int128 wide;
    return ticks >> 63 != 0 ? 0 : (uint64_t)(((wide)ticks * brisk_private_ticks.multiplier) >> 32);
#else
    return ticks >> 63 != 0 ? 0
                            : (ticks >> 32) * brisk_private_ticks.multiplier +
                                  (((ticks & 0xffffffffu) * brisk_private_ticks.multiplier) >> 32);
#endif
}

BRISK_END_DECLS

#endif /* BRISK_CLOCK_H */
