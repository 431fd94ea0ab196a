/*
 * policy_sketch.h -- how often a hash was seen lately, in four bits of four counters each.
 *
 * Count-min: the smallest of a hash's counters is its estimate, and only the smallest are raised,
 * so that collisions add little.  After PERIOD times as many additions as entries fit, all are
 * halved.  The four counters lie in one 64-byte block: one miss of memory.
 *
 * Sources: Cormode, Muthukrishnan, "An improved data stream summary", 2005; Einziger, Friedman,
 * Manes, "TinyLFU: a highly efficient cache admission policy", 2017 (halving).
 */
#ifndef BRISK_SRC_CACHE_POLICY_SKETCH_H
#define BRISK_SRC_CACHE_POLICY_SKETCH_H

#include <stddef.h>
#include <stdint.h>

enum { SKETCH_MAX = 15, SKETCH_PERIOD = 10 };

typedef struct policy_sketch {
    uint64_t *words;    /* 64-aligned; sixteen counters each */
    uint32_t words_max; /* there is memory for */
    uint32_t mask;      /* of the blocks of eight words in use */
    uint32_t period;    /* additions until all are halved */
    uint32_t additions;
} policy_sketch;

size_t sketch_bytes(uint32_t entries_max);
/* `storage` is zero and 64-aligned. */
void sketch_init(policy_sketch *sketch, void *storage, uint32_t entries_max);
/* What is known stays. */
void sketch_set_entries(policy_sketch *sketch, uint32_t entries);
void sketch_add(policy_sketch *sketch, uint32_t hash);
uint32_t sketch_count(const policy_sketch *sketch, uint32_t hash);

#endif /* BRISK_SRC_CACHE_POLICY_SKETCH_H */
