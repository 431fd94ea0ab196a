/*
 * solve_set.h -- sets of values of one package, as bits (solve.h says which).
 *
 * `n` is the number of words, solve_words(count).  With n == 1 nothing is ever allocated, which is
 * every package of Debian and most of npm's.
 *
 * Threads: plain functions.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_SOLVE_SET_H
#define BRISK_SRC_WORKLOAD_PKG_SOLVE_SET_H

#include <string.h>

#include "workload/pkg/solve.h"

static inline const uint64_t *solve_set_words(const solve_set *set, uint32_t n)
{
    return n == 1 ? &set->bits : set->words;
}

static inline bool solve_set_has(solve_set set, uint32_t n, uint32_t value)
{
    return (solve_set_words(&set, n)[value / 64] >> (value % 64) & 1) != 0;
}

/* Is everything in `a` also in `b`? */
static inline bool solve_set_within(solve_set a, solve_set b, uint32_t n)
{
    if (n == 1) {
        return (a.bits & ~b.bits) == 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        if ((a.words[i] & ~b.words[i]) != 0) {
            return false;
        }
    }
    return true;
}

/* Have they nothing in common? */
static inline bool solve_set_apart(solve_set a, solve_set b, uint32_t n)
{
    if (n == 1) {
        return (a.bits & b.bits) == 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        if ((a.words[i] & b.words[i]) != 0) {
            return false;
        }
    }
    return true;
}

static inline bool solve_set_equal(solve_set a, solve_set b, uint32_t n)
{
    return memcmp(solve_set_words(&a, n), solve_set_words(&b, n), n * sizeof(uint64_t)) == 0;
}

static inline uint32_t solve_set_size(solve_set set, uint32_t n)
{
    uint32_t size = 0;
    for (uint32_t i = 0; i < n; i++) {
        size += (uint32_t)__builtin_popcountll(solve_set_words(&set, n)[i]);
    }
    return size;
}

/* The smallest value in `set` from `from` on, or SOLVE_NONE. */
static inline uint32_t solve_set_next(solve_set set, uint32_t n, uint32_t from)
{
    const uint64_t *words = solve_set_words(&set, n);
    for (uint32_t i = from / 64; i < n; i++) {
        uint64_t word = words[i] & (i == from / 64 ? UINT64_MAX << (from % 64) : UINT64_MAX);
        if (word != 0) {
            return i * 64 + (uint32_t)__builtin_ctzll(word);
        }
    }
    return SOLVE_NONE;
}

/* The greatest value in `set`, or SOLVE_NONE. */
static inline uint32_t solve_set_last(solve_set set, uint32_t n)
{
    const uint64_t *words = solve_set_words(&set, n);
    for (uint32_t i = n; i-- > 0;) {
        if (words[i] != 0) {
            return i * 64 + 63 - (uint32_t)__builtin_clzll(words[i]);
        }
    }
    return SOLVE_NONE;
}

/* n zeroed words to fill, which *set then is; NULL: out of memory.  Not for n == 1. */
static inline uint64_t *solve_set_alloc(solve_set *set, uint32_t n, brisk_arena *arena)
{
    uint64_t *words = brisk_arena_calloc(arena, n, sizeof *words);
    set->words = words;
    return words;
}

/* Everything a package of `count` versions can be.  False: out of memory. */
static inline bool solve_set_full(uint32_t count, brisk_arena *arena, solve_set *ret)
{
    uint32_t n = solve_words(count);
    uint64_t last = (count + 1) % 64 == 0 ? UINT64_MAX : (UINT64_C(1) << ((count + 1) % 64)) - 1;
    if (n == 1) {
        ret->bits = last;
        return true;
    }
    uint64_t *words = solve_set_alloc(ret, n, arena);
    if (words == NULL) {
        return false;
    }
    memset(words, 0xff, n * sizeof *words);
    words[n - 1] = last;
    return true;
}

static inline bool solve_set_one(uint32_t count, uint32_t value, brisk_arena *arena, solve_set *ret)
{
    uint32_t n = solve_words(count);
    if (n == 1) {
        ret->bits = UINT64_C(1) << value;
        return true;
    }
    uint64_t *words = solve_set_alloc(ret, n, arena);
    if (words == NULL) {
        return false;
    }
    words[value / 64] = UINT64_C(1) << (value % 64);
    return true;
}

static inline bool solve_set_and(solve_set a, solve_set b, uint32_t n, brisk_arena *arena,
                                 solve_set *ret)
{
    if (n == 1) {
        ret->bits = a.bits & b.bits;
        return true;
    }
    uint64_t *words = solve_set_alloc(ret, n, arena);
    for (uint32_t i = 0; words != NULL && i < n; i++) {
        words[i] = a.words[i] & b.words[i];
    }
    return words != NULL;
}

static inline bool solve_set_or(solve_set a, solve_set b, uint32_t n, brisk_arena *arena,
                                solve_set *ret)
{
    if (n == 1) {
        ret->bits = a.bits | b.bits;
        return true;
    }
    uint64_t *words = solve_set_alloc(ret, n, arena);
    for (uint32_t i = 0; words != NULL && i < n; i++) {
        words[i] = a.words[i] | b.words[i];
    }
    return words != NULL;
}

/* What is in `a` and not in `b`. */
static inline bool solve_set_minus(solve_set a, solve_set b, uint32_t n, brisk_arena *arena,
                                   solve_set *ret)
{
    if (n == 1) {
        ret->bits = a.bits & ~b.bits;
        return true;
    }
    uint64_t *words = solve_set_alloc(ret, n, arena);
    for (uint32_t i = 0; words != NULL && i < n; i++) {
        words[i] = a.words[i] & ~b.words[i];
    }
    return words != NULL;
}

#endif /* BRISK_SRC_WORKLOAD_PKG_SOLVE_SET_H */
