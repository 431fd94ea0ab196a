/*
 * fake_clock.h -- a clock that stands still until the test moves it.
 *
 *     fake_clock clock;
 *     fake_clock_init(&clock, 0);
 *     code_under_test(&clock.base);
 *     fake_clock_advance(&clock, FAKE_CLOCK_SECOND);
 *
 * Threads: reading and advancing are atomic, so that several threads may share one.
 */
#ifndef BRISK_TESTS_FAKE_CLOCK_H
#define BRISK_TESTS_FAKE_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>

#include <brisk/clock.h>

#define FAKE_CLOCK_SECOND UINT64_C(1000000000)

typedef struct fake_clock {
    brisk_clock base; /* first: what the code under test receives */
    _Atomic uint64_t now_ns;
    _Atomic uint64_t wall_ns;
} fake_clock;

static inline uint64_t fake_clock_read_now(void *ctx)
{
    return atomic_load(&((fake_clock *)ctx)->now_ns);
}

static inline uint64_t fake_clock_read_wall(void *ctx)
{
    return atomic_load(&((fake_clock *)ctx)->wall_ns);
}

/* The clock must not move in memory afterwards: base.ctx points at it. */
static inline void fake_clock_init(fake_clock *clock, uint64_t now_ns)
{
    clock->base =
        (brisk_clock){.now_ns = fake_clock_read_now, .wall_ns = fake_clock_read_wall, .ctx = clock};
    atomic_init(&clock->now_ns, now_ns);
    atomic_init(&clock->wall_ns, UINT64_C(1767225600) * FAKE_CLOCK_SECOND + now_ns);
}

static inline void fake_clock_advance(fake_clock *clock, uint64_t ns)
{
    atomic_fetch_add(&clock->now_ns, ns);
    atomic_fetch_add(&clock->wall_ns, ns);
}

#endif /* BRISK_TESTS_FAKE_CLOCK_H */
