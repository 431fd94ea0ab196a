/*
 * The predictor: what it learns, what it guesses, when it trusts itself, and that it stays small.
 */
#include <string.h>

#include "cache/predict_gate.h"
#include "cache/predict_model.h"
#include "predict_test.h"
#include "support/fault_alloc.h"

static uint32_t note(brisk_predictor *predictor, uint64_t stream, const char *text, bool hit,
                     brisk_guess guesses[BRISK_PREDICT_DEPTH_MAX])
{
    brisk_key key = brisk_key_of(text, strlen(text));
    return brisk_predictor_note(predictor, stream, &key, hit, guesses, BRISK_PREDICT_DEPTH_MAX);
}

static bool is_guess(const brisk_guess *guess, const char *text)
{
    return guess->key_size == strlen(text) && memcmp(guess->key, text, guess->key_size) == 0;
}

static void test_guesses_what_followed_twice(void **state)
{
    (void)state;
    brisk_predictor *predictor = NULL;
    brisk_guess guesses[BRISK_PREDICT_DEPTH_MAX];
    CHECK_OK(brisk_predictor_create(NULL, &predictor));
    CHECK_U64(note(predictor, 1, "a", false, guesses), ==, 0);
    CHECK_U64(note(predictor, 1, "b", false, guesses), ==, 0);
    CHECK_U64(note(predictor, 1, "a", false, guesses), ==, 0); /* once is no habit */
    CHECK_U64(note(predictor, 1, "b", false, guesses), ==, 0);
    CHECK_U64(note(predictor, 1, "a", false, guesses), ==, 1);
    CHECK(is_guess(&guesses[0], "b"));
    CHECK(!guesses[0].trusted); /* not tried yet */
    CHECK(guesses[0].depth == 1 && guesses[0].probability > 0.99);
    /* Another stream's keys do not come between. */
    CHECK_U64(note(predictor, 2, "z", false, guesses), ==, 0);
    CHECK_U64(note(predictor, 1, "b", false, guesses), ==, 1);
    CHECK(is_guess(&guesses[0], "a"));
    brisk_predictor_destroy(predictor);
}

/* "x1" is followed by "p" after "a", by "q" after "b": only two keys together tell. */
static void test_two_keys_tell_more_than_one(void **state)
{
    (void)state;
    brisk_predictor *predictor = NULL;
    brisk_guess guesses[BRISK_PREDICT_DEPTH_MAX];
    CHECK_OK(brisk_predictor_create(NULL, &predictor));
    static const char *const words[] = {"a", "x", "p", "b", "x", "q"};
    for (int i = 0; i < 30; i++) {
        (void)note(predictor, 1, words[i % 6], false, guesses);
    }
    (void)note(predictor, 1, "a", false, guesses);
    CHECK_U64(note(predictor, 1, "x", false, guesses), ==, 1);
    CHECK(is_guess(&guesses[0], "p"));
    (void)note(predictor, 1, "p", false, guesses);
    (void)note(predictor, 1, "b", false, guesses);
    CHECK_U64(note(predictor, 1, "x", false, guesses), ==, 1);
    CHECK(is_guess(&guesses[0], "q"));
    brisk_predictor_destroy(predictor);
}

static void test_depth_looks_further(void **state)
{
    (void)state;
    brisk_predictor *predictor = NULL;
    brisk_guess guesses[BRISK_PREDICT_DEPTH_MAX];
    CHECK_OK(brisk_predictor_create(&(brisk_predictor_opts){.depth = 3}, &predictor));
    static const char *const words[] = {"a", "b", "c", "d", "e"};
    for (int i = 0; i < 15; i++) {
        (void)note(predictor, 1, words[i % 5], false, guesses);
    }
    CHECK_U64(note(predictor, 1, "a", false, guesses), ==, 3);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK(is_guess(&guesses[i], words[i + 1]));
        CHECK_U64(guesses[i].depth, ==, i + 1);
    }
    brisk_predictor_destroy(predictor);
}

/* Half of the time it is another one: below the threshold. */
static void test_probability_is_a_limit(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (int likely = 0; likely < 2; likely++) {
        brisk_predictor *predictor = NULL;
        brisk_guess guesses[BRISK_PREDICT_DEPTH_MAX];
        CHECK_OK(brisk_predictor_create(NULL, &predictor));
        uint32_t guessed = 0;
        for (int i = 0; i < 2000; i++) {
            bool usual = check_random(&seed) % 100 < (likely != 0 ? 90u : 50u);
            uint64_t number = usual ? 7 : 1000 + check_random(&seed) % 1000;
            uint64_t begin = 1;
            brisk_key first = brisk_key_of(&begin, sizeof begin);
            brisk_key second = brisk_key_of(&number, sizeof number);
            uint32_t count =
                brisk_predictor_note(predictor, 1, &first, false, guesses, BRISK_PREDICT_DEPTH_MAX);
            guessed += i > 100 ? count : 0;
            (void)brisk_predictor_note(predictor, 1, &second, false, guesses,
                                       BRISK_PREDICT_DEPTH_MAX);
        }
        if (likely != 0) {
            CHECK_U64(guessed, >, 1500);
        } else {
            CHECK_U64(guessed, <, 200);
        }
        brisk_predictor_destroy(predictor);
    }
}

static void test_a_loop_is_loaded_ahead(void **state)
{
    (void)state;
    predict_fixture f = {.misses = 0};
    predict_open(&f, 50, NULL, true);
    for (uint64_t i = 0; i < 20000; i++) {
        (void)predict_request(&f, 1, i % 1000);
    }
    brisk_predict_stats stats = predict_stats(&f);
    CHECK_U64(f.misses, <, 3000); /* without: all 20000 */
    CHECK_U64(stats.used, >, 17000);
    CHECK_U64(stats.wasted, <, 10);
    CHECK_U64(f.misses + stats.loads, <=, 20100);
    CHECK_U64(stats.next_right, >=, stats.next * 99 / 100);
    CHECK_U64(stats.loads, ==, f.loads);
    CHECK_U64(stats.loads, <=, stats.used + stats.wasted + stats.late + 1);
    predict_close(&f);
}

static void test_chance_loads_nothing(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    predict_fixture f = {.misses = 0};
    predict_open(&f, 50, NULL, true);
    for (uint64_t i = 0; i < 50000; i++) {
        (void)predict_request(&f, 1, check_random(&seed) % 1000);
    }
    CHECK_U64(f.loads, ==, 0);
    CHECK_U64(predict_stats(&f).kinds_open, ==, 0);
    predict_close(&f);
}

/* What was true ends: prefetching stops itself, and comes back when it is true again. */
static void test_stops_and_comes_back(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    predict_fixture f = {.misses = 0};
    predict_open(&f, 50, NULL, true);
    for (uint64_t i = 0; i < 10000; i++) {
        (void)predict_request(&f, 1, i % 500);
    }
    uint64_t before = f.loads;
    CHECK_U64(before, >, 5000);
    CHECK_U64(predict_stats(&f).kinds_open, >, 0);
    for (uint64_t i = 0; i < 20000; i++) {
        (void)predict_request(&f, 1, check_random(&seed) % 500);
    }
    CHECK_U64(predict_stats(&f).closed, >, 0);
    CHECK_U64(f.loads - before, <, 200);
    before = f.loads;
    for (uint64_t i = 0; i < 10000; i++) {
        (void)predict_request(&f, 1, 10000 + i % 500);
    }
    CHECK_U64(f.loads - before, >, 5000);
    predict_close(&f);
}

/* However a trace is made, loads for nothing stay within their share. */
static void test_waste_is_bounded(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    predict_fixture f = {.misses = 0};
    predict_open(&f, 20, NULL, true);
    for (uint32_t phase = 0; phase < 400; phase++) {
        uint64_t base = check_random(&seed) % 4000;
        uint64_t step = 1 + check_random(&seed) % 7;
        uint64_t rounds = 1 + check_random(&seed) % 5;
        for (uint64_t i = 0; i < 100 * rounds; i++) {
            (void)predict_request(&f, 1, base + i % 100 * step);
        }
    }
    brisk_predict_stats stats = predict_stats(&f);
    CHECK_U64(stats.loads, >, 100);
    CHECK_U64(stats.wasted * 100, <=, (f.misses + stats.loads) * 5 + 1000);
    CHECK_U64((f.misses + stats.loads) * 100, <=, f.requests * 105);
    predict_close(&f);
}

static void test_failed_loads_close_nothing_in_the_books(void **state)
{
    (void)state;
    predict_fixture f = {.misses = 0};
    predict_open(&f, 50, NULL, true);
    atomic_store(&f.fails, true);
    for (uint64_t i = 0; i < 5000; i++) {
        (void)predict_request(&f, 1, i % 500);
    }
    brisk_predict_stats stats = predict_stats(&f);
    CHECK_U64(stats.failed, ==, stats.loads);
    CHECK_U64(stats.used + stats.wasted, ==, 0);
    predict_close(&f);
}

static void test_no_capacity_loads_nothing(void **state)
{
    (void)state;
    predict_fixture f = {.misses = 0};
    predict_open(&f, 50, NULL, true);
    atomic_store(&f.busy, true);
    for (uint64_t i = 0; i < 5000; i++) {
        (void)predict_request(&f, 1, i % 500);
    }
    brisk_prefetch_stats stats;
    brisk_prefetcher_read_stats(f.prefetcher, &stats);
    CHECK_U64(f.loads, ==, 0);
    CHECK_U64(stats.no_capacity, >, 3000);
    predict_close(&f);
}

static void test_long_and_colliding_keys(void **state)
{
    (void)state;
    static unsigned char bytes[4][BRISK_PREDICT_KEY_MAX + 100];
    brisk_predictor *predictor = NULL;
    brisk_guess guesses[BRISK_PREDICT_DEPTH_MAX];
    CHECK_OK(brisk_predictor_create(&(brisk_predictor_opts){.bytes_max = 131072}, &predictor));
    for (uint32_t i = 0; i < 4; i++) {
        memset(bytes[i], (int)i + 1, sizeof bytes[i]);
    }
    for (uint32_t i = 0; i < 40; i++) {
        size_t size = i % 4 == 3 ? BRISK_PREDICT_KEY_MAX : sizeof bytes[0];
        brisk_key key = brisk_key_of(bytes[i % 4], size);
        uint32_t count =
            brisk_predictor_note(predictor, 1, &key, false, guesses, BRISK_PREDICT_DEPTH_MAX);
        CHECK(count == 0 || guesses[0].key_size == BRISK_PREDICT_KEY_MAX);
        CHECK((count == 1) == (i > 8 && i % 4 == 2)); /* too long ones are never guessed */
        if (count == 1) {
            CHECK(memcmp(guesses[0].key, bytes[3], BRISK_PREDICT_KEY_MAX) == 0);
        }
    }
    brisk_predictor_destroy(predictor);
}

static void test_model_counts(void **state)
{
    (void)state;
    model_bucket buckets[2] = {0};
    predict_model model = {.buckets = buckets, .bucket_count = 2};
    model_guess guess;
    CHECK(!predict_model_guess(&model, 77, &guess));
    for (uint32_t i = 0; i < 1000; i++) { /* two of three are 5 */
        (void)predict_model_learn(&model, 77, i % 3 == 0 ? 1000 + i : 5);
    }
    CHECK(predict_model_guess(&model, 77, &guess));
    CHECK_U64(guess.tag, ==, 5);
    CHECK_U64(guess.total, <, MODEL_COUNT_MAX);
    CHECK(guess.count * 3 >= guess.total * 2 - 3 && guess.count * 3 <= guess.total * 2 + 6);
    /* A second one takes over once it is the usual one. */
    for (uint32_t i = 0; i < 200; i++) {
        (void)predict_model_learn(&model, 77, 6);
    }
    CHECK(predict_model_guess(&model, 77, &guess));
    CHECK_U64(guess.tag, ==, 6);
    CHECK(guess.count * 10 > guess.total * 9);
}

/* What is confirmed often stays when a flood of contexts comes by. */
static void test_model_keeps_what_is_used(void **state)
{
    (void)state;
    static model_bucket buckets[64];
    memset(buckets, 0, sizeof buckets);
    predict_model model = {.buckets = buckets, .bucket_count = 64};
    model_guess guess;
    uint32_t kept = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        if (i % 4 == 0) {
            (void)predict_model_learn(&model, predict_mix(i / 4 % 50), 9);
        } else {
            (void)predict_model_learn(&model, predict_mix(1000 + i), 8);
        }
    }
    for (uint64_t i = 0; i < 50; i++) {
        kept += predict_model_guess(&model, predict_mix(i), &guess) && guess.count > 4 ? 1 : 0;
    }
    CHECK_U64(kept, >=, 45);
}

static void test_kinds_are_apart(void **state)
{
    (void)state;
    bool seen[GATE_KINDS] = {false};
    static const uint32_t counts[] = {2, 4, 8, 20};
    static const double shares[] = {0.75, 0.85, 0.92, 1.0};
    for (uint32_t order = 1; order <= 2; order++) {
        for (uint32_t i = 0; i < 16; i++) {
            for (uint32_t depth = 1; depth <= GATE_DEPTHS; depth++) {
                uint32_t kind = predict_gate_kind(order, counts[i / 4], shares[i % 4], depth);
                CHECK(kind < GATE_KINDS && !seen[kind]);
                seen[kind] = true;
            }
        }
    }
}

static void test_options_are_checked(void **state)
{
    (void)state;
    static const brisk_predictor_opts bad[] = {
        {.bytes_max = 1000}, {.probability = 0.3}, {.probability = 1.0},      {.waste = -1},
        {.waste = 1.5},      {.depth = 9},         {.bytes_max = UINT64_MAX},
    };
    brisk_predictor *predictor = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(brisk_predictor_create(&bad[i], &predictor), BRISK_ERR_INVALID);
        CHECK(predictor == NULL);
    }
    for (uint64_t fail_after = 0; fail_after < 2; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_err err = brisk_predictor_create(
            &(brisk_predictor_opts){.alloc = &fault.base, .bytes_max = 131072}, &predictor);
        assert_int_equal(err, fail_after == 0 ? BRISK_ERR_NOMEM : BRISK_OK);
        CHECK_U64(fault.bytes_held, <=, 131072);
        if (err == BRISK_OK) {
            brisk_predictor_destroy(predictor);
        }
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    brisk_predictor_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guesses_what_followed_twice),
        cmocka_unit_test(test_two_keys_tell_more_than_one),
        cmocka_unit_test(test_depth_looks_further),
        cmocka_unit_test(test_probability_is_a_limit),
        cmocka_unit_test(test_a_loop_is_loaded_ahead),
        cmocka_unit_test(test_chance_loads_nothing),
        cmocka_unit_test(test_stops_and_comes_back),
        cmocka_unit_test(test_waste_is_bounded),
        cmocka_unit_test(test_failed_loads_close_nothing_in_the_books),
        cmocka_unit_test(test_no_capacity_loads_nothing),
        cmocka_unit_test(test_long_and_colliding_keys),
        cmocka_unit_test(test_model_counts),
        cmocka_unit_test(test_model_keeps_what_is_used),
        cmocka_unit_test(test_kinds_are_apart),
        cmocka_unit_test(test_options_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
