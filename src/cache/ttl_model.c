/*
 * ttl_model.c -- formulas behind ttl_model.h, in the forms that are exact for small arguments too.
 */
#include <math.h>

#include "cache/ttl_model.h"

enum {
    BISECTIONS = 14, /* of the logarithm: within a thousandth of a range of 10^5 */
    STEPS_PER_NAT = 16,
    UNLIKELY_MAX = 255,
};

static const double small = 1e-5;
static const double fade = 0.94; /* of what was seen, each load: about sixteen count */

/* Once in 10 s, and each six times slower than the one before: the last one is once in 32 days. */
static const double rates[TTL_RATES] = {
    1.0 / 10,    1.0 / 60,    1.0 / 360,    1.0 / 2160,
    1.0 / 12960, 1.0 / 77760, 1.0 / 466560, 1.0 / 2799360,
};

double ttl_model_rate(uint32_t index)
{
    return rates[index];
}

ttl_belief ttl_model_belief(const ttl_belief *common, const uint8_t unlikely[TTL_RATES])
{
    ttl_belief belief;
    double sum = 0;
    for (uint32_t i = 0; i < TTL_RATES; i++) {
        belief.weights[i] = common->weights[i] * exp(-(double)unlikely[i] / STEPS_PER_NAT);
        sum += belief.weights[i];
    }
    for (uint32_t i = 0; i < TTL_RATES; i++) {
        belief.weights[i] /= sum;
    }
    return belief;
}

/* Add logarithms of likelihoods; the best one becomes 0. */
static void see(uint8_t unlikely[TTL_RATES], const double logs[TTL_RATES], double keep)
{
    double sums[TTL_RATES];
    double best = -(double)INFINITY;
    for (uint32_t i = 0; i < TTL_RATES; i++) {
        sums[i] = logs[i] - (double)unlikely[i] / STEPS_PER_NAT * keep;
        best = fmax(best, sums[i]);
    }
    for (uint32_t i = 0; i < TTL_RATES; i++) {
        double steps = (best - sums[i]) * STEPS_PER_NAT + 0.5;
        unlikely[i] = (uint8_t)fmin(steps, UNLIKELY_MAX);
    }
}

void ttl_model_see(uint8_t unlikely[TTL_RATES], double seconds, bool changed)
{
    double logs[TTL_RATES];
    for (uint32_t i = 0; i < TTL_RATES; i++) {
        double x = rates[i] * seconds;
        logs[i] = changed ? log(fmax(-expm1(-x), 1e-12)) : -x;
    }
    see(unlikely, logs, fade);
}

void ttl_model_see_age(uint8_t unlikely[TTL_RATES], double age)
{
    double logs[TTL_RATES];
    for (uint32_t i = 0; i < TTL_RATES; i++) {
        double rate = rates[i];
        logs[i] = log(rate) - rate * age;
    }
    see(unlikely, logs, fade);
}

double ttl_model_change(const ttl_belief *belief, double seconds)
{
    double sum = 0;
    for (uint32_t i = 0; i < TTL_RATES; i++) {
        sum += belief->weights[i] * -expm1(-rates[i] * seconds);
    }
    return sum;
}

double ttl_model_stale(const ttl_belief *belief, double request, double life_s)
{
    double sum = 0;
    for (uint32_t i = 0; i < TTL_RATES; i++) {
        double rate = rates[i];
        double x = rate * life_s;
        /* For small x the difference would cancel. */
        sum += belief->weights[i] * (x < small ? life_s * x / 2 : life_s + expm1(-x) / rate);
    }
    return request * sum;
}

/* Above zero: a shorter life is better. */
static double slope(const ttl_belief *belief, double request, double cost, double life_s)
{
    double grows = request * ttl_model_change(belief, life_s);
    return cost * grows * (life_s + 1 / request) - 1 -
           cost * ttl_model_stale(belief, request, life_s);
}

double ttl_model_life(const ttl_belief *belief, double request, double cost, double min_s,
                      double max_s)
{
    if (slope(belief, request, cost, max_s) <= 0) {
        return max_s;
    }
    double low = log(min_s);
    double high = log(max_s);
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = (low + high) / 2;
        if (slope(belief, request, cost, exp(middle)) > 0) {
            high = middle;
        } else {
            low = middle;
        }
    }
    return fmin(fmax(exp(low), min_s), max_s);
}
