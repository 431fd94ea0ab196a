/*
 * ticks.h -- a clock for single commands: the processor's time-stamp counter where there is one.
 *
 * Reading the system's clock twice would cost a tenth of a fast command.  The counter's rate is
 * measured against the monotonic clock while the server runs (server.c, at each tick).
 */
#ifndef BRISK_SRC_DAEMON_TICKS_H
#define BRISK_SRC_DAEMON_TICKS_H

#include <stdint.h>

#include <brisk/clock.h>

#if defined(__x86_64__)
#    include <x86intrin.h>
static inline uint64_t ticks_now(void)
{
    return __rdtsc();
}
#else
static inline uint64_t ticks_now(void)
{
    return brisk_clock_now_ns(NULL);
}
#endif

#endif /* BRISK_SRC_DAEMON_TICKS_H */
