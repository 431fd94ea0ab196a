/*
 * near.h -- doubles that should be another double.
 */
#ifndef BRISK_TESTS_NEAR_H
#define BRISK_TESTS_NEAR_H

#include "support/check.h"

#include <math.h>

#define CHECK_NEAR(got, wanted, tolerance)                                                         \
    do {                                                                                           \
        double near_got_ = (got);                                                                  \
        double near_wanted_ = (wanted);                                                            \
        if (!(fabs(near_got_ - near_wanted_) <= (tolerance))) {                                    \
            fail_msg("%s: wanted %.12g, got %.12g", #got, near_wanted_, near_got_);                \
        }                                                                                          \
    } while (0)

/** Uniform in [0, 1). */
static inline double near_uniform(uint64_t *random)
{
    return (double)(check_random(random) >> 11) * 0x1p-53;
}

/** About standard normal: Irwin-Hall of twelve. */
static inline double near_normal(uint64_t *random)
{
    double sum = -6.0;
    for (int i = 0; i < 12; i++) {
        sum += near_uniform(random);
    }
    return sum;
}

#endif /* BRISK_TESTS_NEAR_H */
