/*
 * series_noise.h -- the five kinds of noise on which detectors are judged, with a seed.
 *
 * Values are around 100.  `sigma` of the correlated kind is that of its values, not of its shocks.
 */
#ifndef BRISK_TESTS_OBSERVE_SERIES_NOISE_H
#define BRISK_TESTS_OBSERVE_SERIES_NOISE_H

#include <math.h>
#include <stddef.h>

#include <brisk/rng.h>

typedef enum noise_kind {
    NOISE_NORMAL,     /* sigma 3 % */
    NOISE_SKEWED,     /* exponential, mean 3 % */
    NOISE_OUTLIERS,   /* sigma 1 %, one in twenty 20 to 50 % above */
    NOISE_BIMODAL,    /* two modes 6 % apart, sigma 1 % */
    NOISE_CORRELATED, /* AR(1), 0.6, sigma 3 % */
    NOISE_KINDS,
} noise_kind;

static inline const char *noise_name(int kind)
{
    static const char *const names[] = {"normal", "skewed", "outliers", "bimodal", "correlated"};
    return names[kind];
}

static inline double noise_uniform(brisk_rng *rng)
{
    return ((double)(brisk_rng_next(rng) >> 11) + 0.5) / 9007199254740992.0;
}

static inline double noise_normal(brisk_rng *rng)
{
    double radius = sqrt(-2 * log(noise_uniform(rng)));
    return radius * cos(6.283185307179586 * noise_uniform(rng));
}

/* `count` values; from `step_at` on times 1 + `step`. */
static inline void noise_make(brisk_rng *rng, int kind, double *values, size_t count,
                              size_t step_at, double step)
{
    double wander = noise_normal(rng);
    for (size_t i = 0; i < count; i++) {
        double percent = 0;
        switch (kind) {
        case NOISE_NORMAL: percent = 3 * noise_normal(rng); break;
        case NOISE_SKEWED: percent = -3 * log(noise_uniform(rng)); break;
        case NOISE_OUTLIERS:
            percent = noise_normal(rng);
            percent += noise_uniform(rng) < 0.05 ? 20 + 30 * noise_uniform(rng) : 0;
            break;
        case NOISE_BIMODAL: percent = (noise_uniform(rng) < 0.5 ? 0 : 6) + noise_normal(rng); break;
        default:
            wander = 0.6 * wander + 0.8 * noise_normal(rng);
            percent = 3 * wander;
            break;
        }
        values[i] = 100 * (i >= step_at ? 1 + step : 1) * (1 + percent / 100);
    }
}

#endif /* BRISK_TESTS_OBSERVE_SERIES_NOISE_H */
