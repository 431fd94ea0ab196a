/*
 * ttl_model.h -- the arithmetic of adaptive lives: no locks, no clock.
 *
 * A key changes at random moments, `change` times a second, and is asked for `request` times a
 * second.  An entry that lives T seconds gives request * T answers until it is loaded again, of them
 *
 *     stale(T) = request * (T - (1 - exp(-change * T)) / change)
 *
 * stale, and costs one load every T + 1 / request seconds.  With a stale answer worth `cost` loads
 * the best T makes (1 + cost * stale(T)) / (T + 1 / request) least.  Its derivative changes sign
 * once, where cost * stale'(T) * (T + 1 / request) = 1 + cost * stale(T).
 *
 * How often a key changes is never known: it is believed to be one of TTL_RATES rates, each six
 * times slower than the one before, with weights that every load corrects (Bayes).  stale(T) is the
 * mean over them.  So a key of which little is known is treated as what it is, perhaps one that never
 * changes and perhaps one that changes every minute, and not as one that changes every hour.
 *
 * Per key only the likelihoods are kept, a byte for each rate in steps of 1/16 of a natural
 * logarithm below the best one; what all keys have in common (the weights to begin with) is kept
 * once.
 * Source:  J. Cho and H. Garcia-Molina, "Estimating frequency of change", TOIT 2003 (problem).
 */
#ifndef BRISK_SRC_CACHE_TTL_MODEL_H
#define BRISK_SRC_CACHE_TTL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum { TTL_RATES = 8 };

/* Weights of the rates; their sum is 1. */
typedef struct ttl_belief {
    double weights[TTL_RATES];
} ttl_belief;

/* Changes a second of rate `index`. */
double ttl_model_rate(uint32_t index);
/* What is believed of a key: the common weights times its likelihoods. */
ttl_belief ttl_model_belief(const ttl_belief *common, const uint8_t unlikely[TTL_RATES]);
/* Nothing changed for `seconds`, or something did: as likelihoods (fading what was there). */
void ttl_model_see(uint8_t unlikely[TTL_RATES], double seconds, bool changed);
/* The value is `age` seconds old: a change then, none since. */
void ttl_model_see_age(uint8_t unlikely[TTL_RATES], double age);
/* How likely is a change within `seconds`? */
double ttl_model_change(const ttl_belief *belief, double seconds);
/* Stale answers of one life. */
double ttl_model_stale(const ttl_belief *belief, double request, double life_s);
/* The best life between `min_s` and `max_s`. */
double ttl_model_life(const ttl_belief *belief, double request, double cost, double min_s,
                      double max_s);

#endif /* BRISK_SRC_CACHE_TTL_MODEL_H */
