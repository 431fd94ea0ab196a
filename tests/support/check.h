/*
 * check.h -- cmocka and the few things that every test needs besides.
 *
 * One executable per module, cases in a cmocka group; skip() in a case, exit 77 for a whole
 * program.  Every random test takes its seed from check_seed, which prints it; BRISK_SEED=n
 * replays it.
 */
#ifndef BRISK_TESTS_CHECK_H
#define BRISK_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define CHECK(cond)    assert_true(cond)
#define CHECK_OK(call) assert_int_equal((int)(call), (int)BRISK_OK)
#define CHECK_U64(a, op, b)                                                                        \
    do {                                                                                           \
        uint64_t check_a_ = (uint64_t)(a);                                                         \
        uint64_t check_b_ = (uint64_t)(b);                                                         \
        if (!(check_a_ op check_b_)) {                                                             \
            fail_msg("%s %s %s (%llu, %llu)", #a, #op, #b, (unsigned long long)check_a_,           \
                     (unsigned long long)check_b_);                                                \
        }                                                                                          \
    } while (0)

/* How often a test repeats what is left to chance: less where each access is watched and takes ten times as long.
 * What is found there is found in few rounds, or by the many of the plain builds. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    define CHECK_ROUNDS(n) ((n) / 5)
#else
#    define CHECK_ROUNDS(n) (n)
#endif

static inline uint64_t check_seed(void)
{
    const char *text = getenv("BRISK_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : UINT64_C(20260101);
    print_message("BRISK_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* splitmix64; source: S. Vigna, https://prng.di.unimi.it/splitmix64.c (public domain). */
static inline uint64_t check_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#endif /* BRISK_TESTS_CHECK_H */
