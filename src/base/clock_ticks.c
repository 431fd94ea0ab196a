/*
 * clock_ticks.c -- how fast the processor's counter runs, for brisk_clock_ticks.
 *
 * The counter is used when the processor says that it never stops or changes its pace, and the kernel
 * uses it as its own clock (it has watched it since boot, over all processors).  Its frequency is the quotient
 * of two differences, ticks and nanoseconds, between two readings half a millisecond apart.  A reading
 * is a clock between two counters; of several the one whose counters lie closest together is kept,
 * so that an interrupt in between does not count.
 *
 * The scale is written once, before the first use of ticks by whoever calibrates; pthread_once orders
 * it for everybody who called brisk_clock_calibrate.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#    include <cpuid.h>
#endif

#include <brisk/clock.h>

#include "base/assert.h"

enum { TRIES = 8, SCALE_BITS = 32 };

brisk_ticks_scale brisk_private_ticks = {.multiplier = UINT64_C(1) << SCALE_BITS};

#if defined(__x86_64__) || defined(__i386__)

static const uint64_t calibrate_ns = 500000;

typedef struct reading {
    uint64_t ticks;
    uint64_t ns;
} reading;

static reading read_both(void)
{
    reading best = {0};
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < TRIES; i++) {
        uint64_t before = __builtin_ia32_rdtsc();
        uint64_t ns = brisk_clock_now_ns(NULL);
        uint64_t after = __builtin_ia32_rdtsc();
        if (after - before < least) {
            least = after - before;
            best = (reading){.ticks = before + least / 2, .ns = ns};
        }
    }
    return best;
}

static bool is_steady(void)
{
    const unsigned leaf = 0x80000007u;
    enum { INVARIANT = 1 << 8 };
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    if (__get_cpuid(leaf, &a, &b, &c, &d) == 0 || (d & INVARIANT) == 0) {
        return false;
    }
    char name[8] = "";
    int fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
                  O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t size = read(fd, name, sizeof name - 1);
    (void)close(fd);
    return size >= 4 && memcmp(name, "tsc\n", 4) == 0;
}

static void calibrate(void)
{
    if (!is_steady()) {
        return;
    }
    reading first = read_both();
    while (brisk_clock_now_ns(NULL) - first.ns < calibrate_ns) {
    }
    reading last = read_both();
    if (last.ticks <= first.ticks || last.ns <= first.ns) {
        return;
    }
    double ns_per_tick = (double)(last.ns - first.ns) / (double)(last.ticks - first.ticks);
    brisk_private_ticks.multiplier = (uint64_t)(ns_per_tick * (double)(UINT64_C(1) << SCALE_BITS));
    brisk_private_ticks.tsc = brisk_private_ticks.multiplier != 0;
}

#else

static void calibrate(void)
{
}

#endif

void brisk_clock_calibrate(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int failed = pthread_once(&once, calibrate);
    BRISK_ASSERT(failed == 0);
}
