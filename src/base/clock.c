/*
 * clock.c -- the system's clocks behind <brisk/clock.h>: the only clock_gettime in the library.
 *
 * Both calls are answered by the vDSO without entering the kernel (about 25 ns).  A processor's time is
 * asked of the kernel.
 */
#include <time.h>

#include <brisk/clock.h>

#include "base/assert.h"

static uint64_t read_ns(clockid_t id)
{
    struct timespec now;
    int failed = clock_gettime(id, &now);
    BRISK_ASSERT(failed == 0); /* only a bad id or address can fail */
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t brisk_clock_thread_cpu_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

static uint64_t system_now_ns(void *ctx)
{
    (void)ctx;
    return read_ns(CLOCK_MONOTONIC);
}

static uint64_t system_wall_ns(void *ctx)
{
    (void)ctx;
    return read_ns(CLOCK_REALTIME);
}

const brisk_clock *brisk_clock_system(void)
{
    static const brisk_clock system_clock = {.now_ns = system_now_ns, .wall_ns = system_wall_ns};
    return &system_clock;
}

uint64_t brisk_clock_now_ns(const brisk_clock *clock)
{
    return clock != NULL ? clock->now_ns(clock->ctx) : read_ns(CLOCK_MONOTONIC);
}

uint64_t brisk_clock_wall_ns(const brisk_clock *clock)
{
    return clock != NULL ? clock->wall_ns(clock->ctx) : read_ns(CLOCK_REALTIME);
}
