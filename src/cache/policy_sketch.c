/*
 * policy_sketch.c -- see policy_sketch.h.
 */
#include <string.h>

#include "cache/policy_sketch.h"

enum { BLOCK_WORDS = 8, ROWS = 4, WORDS_MIN = 64, PERIOD_MIN = 1000 };

static uint32_t words_for(uint32_t entries)
{
    uint32_t words = WORDS_MIN;
    while (words < entries) {
        words *= 2;
    }
    return words;
}

size_t sketch_bytes(uint32_t entries_max)
{
    return (size_t)words_for(entries_max) * sizeof(uint64_t);
}

static void set_period(policy_sketch *sketch, uint32_t entries)
{
    uint64_t period = (uint64_t)entries * SKETCH_PERIOD;
    period = period > PERIOD_MIN ? period : PERIOD_MIN;
    sketch->period = period < UINT32_MAX ? (uint32_t)period : UINT32_MAX;
}

void sketch_init(policy_sketch *sketch, void *storage, uint32_t entries_max)
{
    *sketch = (policy_sketch){.words = storage, .words_max = words_for(entries_max)};
    sketch->mask = sketch->words_max / BLOCK_WORDS - 1;
    set_period(sketch, entries_max);
}

void sketch_set_entries(policy_sketch *sketch, uint32_t entries)
{
    uint32_t words = words_for(entries);
    words = words < sketch->words_max ? words : sketch->words_max;
    uint32_t have = (sketch->mask + 1) * BLOCK_WORDS;
    set_period(sketch, entries);
    if (words < have && (words > have / 4 && sketch->additions != 0)) {
        return; /* not for every little change */
    }
    for (; have < words && sketch->additions != 0; have *= 2) { /* each half knows what both will */
        memcpy(sketch->words + have, sketch->words, (size_t)have * sizeof(uint64_t));
    }
    sketch->mask = words / BLOCK_WORDS - 1;
}

static uint32_t mix(uint32_t hash, uint32_t by)
{
    hash = (hash ^ hash >> 15) * by;
    return hash ^ hash >> 16;
}

/* The first word of the hash's block, and 32 bits that choose four counters in it. */
static uint64_t *block_of(const policy_sketch *sketch, uint32_t hash, uint32_t *ret_bits)
{
    *ret_bits = mix(hash, UINT32_C(0x2c1b3c6d));
    return &sketch->words[(size_t)(mix(hash, UINT32_C(0x9e3779b1)) & sketch->mask) * BLOCK_WORDS];
}

/* Row r has words 2 r and 2 r + 1 of the block: five bits choose one of its 32 counters. */
static uint32_t shift_of(uint32_t bits, uint32_t row, uint32_t *ret_word)
{
    uint32_t choice = bits >> (8 * row) & 31;
    *ret_word = 2 * row + (choice >> 4);
    return (choice & 15) * 4;
}

uint32_t sketch_count(const policy_sketch *sketch, uint32_t hash)
{
    uint32_t bits;
    const uint64_t *block = block_of(sketch, hash, &bits);
    uint32_t least = SKETCH_MAX;
    for (uint32_t row = 0; row < ROWS; row++) {
        uint32_t word;
        uint32_t shift = shift_of(bits, row, &word);
        uint32_t count = (uint32_t)(block[word] >> shift & SKETCH_MAX);
        least = count < least ? count : least;
    }
    return least;
}

static void halve(policy_sketch *sketch)
{
    size_t words = ((size_t)sketch->mask + 1) * BLOCK_WORDS;
    for (size_t i = 0; i < words; i++) {
        sketch->words[i] = sketch->words[i] >> 1 & UINT64_C(0x7777777777777777);
    }
    sketch->additions /= 2;
}

void sketch_add(policy_sketch *sketch, uint32_t hash)
{
    uint32_t bits;
    uint64_t *block = block_of(sketch, hash, &bits);
    uint32_t least = sketch_count(sketch, hash);
    if (least < SKETCH_MAX) {
        for (uint32_t row = 0; row < ROWS; row++) {
            uint32_t word;
            uint32_t shift = shift_of(bits, row, &word);
            if ((block[word] >> shift & SKETCH_MAX) == least) {
                block[word] += UINT64_C(1) << shift;
            }
        }
    }
    if (++sketch->additions >= sketch->period) {
        halve(sketch);
    }
}
