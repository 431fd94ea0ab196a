/*
 * test_solve.c -- the solver against every answer there is, and its proofs against the verifier.
 */
#include <brisk/brisk.h>

#include "pkg/solve_kit.h"
#include "support/check.h"
#include "support/fault_alloc.h"

enum { BYTES = 160, ROUNDS = 20000 };

static brisk_arena *new_arena(void)
{
    brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 65536}, &arena));
    return arena;
}

static void random_bytes(uint64_t *state, uint8_t bytes[BYTES])
{
    for (int i = 0; i < BYTES; i++) {
        bytes[i] = (uint8_t)(check_random(state) >> 32);
    }
}

static void check_answer(kit *k, const solve_provider *provider, const solve_result *result)
{
    uint32_t values[KIT_PACKAGES_MAX] = {0};
    brisk_errinfo info = {0};
    if (result->solved) {
        kit_values(k, result, values);
        CHECK(kit_valid(k, values));
        CHECK(kit_nothing_idle(k, values));
        return;
    }
    brisk_err err = solve_proof_check(result->proof, provider, k->arena, &info);
    if (err != BRISK_OK) {
        fail_msg("%s", info.text);
    }
}

/* Property: solved when trying everything finds an answer, and then validly; else a good proof. */
static void test_agrees_with_trying(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    brisk_arena *arena = new_arena();
    uint32_t solved = 0;
    uint64_t conflicts = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t bytes[BYTES];
        random_bytes(&seed, bytes);
        kit k;
        CHECK(kit_make(&k, arena, bytes, sizeof bytes));
        solve_provider provider = kit_provider(&k, round % 2 == 0);
        solve_result result = {0};
        CHECK_OK(solve_run(&provider, 0, 0, 0, arena, &result));
        CHECK(result.solved == kit_satisfiable(&k));
        check_answer(&k, &provider, &result);
        solved += result.solved ? 1 : 0;
        conflicts += result.conflicts;
        brisk_arena_reset(arena);
    }
    print_message("%u of %u solved, %llu conflicts\n", solved, (unsigned)ROUNDS,
                  (unsigned long long)conflicts);
    CHECK_U64(solved, >, ROUNDS / 10); /* both outcomes are really tried */
    CHECK_U64(solved, <, ROUNDS - ROUNDS / 10);
    CHECK_U64(conflicts, >, ROUNDS / 10);
    brisk_arena_destroy(arena);
}

/* A problem without answer, and its proof. */
static void make_failure(uint64_t *seed, brisk_arena *arena, kit *k, solve_result *result)
{
    do {
        uint8_t bytes[BYTES];
        random_bytes(seed, bytes);
        brisk_arena_reset(arena);
        CHECK(kit_make(k, arena, bytes, sizeof bytes));
        solve_provider provider = kit_provider(k, true);
        CHECK_OK(solve_run(&provider, 0, 0, 0, arena, result));
    } while (result->solved);
}

/* Another value in the sets of a derived step, another order, no end: no proof any more. */
static void test_changed_proof_is_rejected(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    brisk_arena *arena = new_arena();
    uint32_t changed = 0;
    for (int round = 0; round < 500; round++) {
        kit k;
        solve_result result = {0};
        make_failure(&seed, arena, &k, &result);
        solve_provider provider = kit_provider(&k, true);
        solve_proof proof = *result.proof;
        solve_step *steps = brisk_arena_alloc(arena, proof.count * sizeof *steps);
        memcpy(steps, proof.steps, proof.count * sizeof *steps);
        proof.steps = steps;
        uint32_t at = (uint32_t)(check_random(&seed) % proof.count);
        solve_step good = steps[at];
        if (good.kind == SOLVE_STEP_RESOLVE && good.term_count > 0) {
            solve_term *terms = brisk_arena_alloc(arena, good.term_count * sizeof *terms);
            memcpy(terms, good.terms, good.term_count * sizeof *terms);
            uint32_t which = (uint32_t)(check_random(&seed) % good.term_count);
            uint32_t count = kit_count(&k, terms[which].package);
            uint64_t flip = UINT64_C(1) << (check_random(&seed) % (count + 1) % 64);
            if (solve_words(count) == 1) {
                terms[which].set.bits ^= flip;
                steps[at].terms = terms;
                CHECK(solve_proof_check(&proof, &provider, arena, NULL) == BRISK_ERR_CORRUPT);
                changed++;
            }
            steps[at] = good;
            steps[at].a = at;
            CHECK(solve_proof_check(&proof, &provider, arena, NULL) == BRISK_ERR_CORRUPT);
            steps[at] = good;
            steps[at].term_count--;
            CHECK(solve_proof_check(&proof, &provider, arena, NULL) == BRISK_ERR_CORRUPT);
        }
        steps[at] = good;
        CHECK_OK(solve_proof_check(&proof, &provider, arena, NULL));
        proof.count--;
        CHECK(solve_proof_check(&proof, &provider, arena, NULL) == BRISK_ERR_CORRUPT);
    }
    CHECK_U64(changed, >, 20);
    brisk_arena_destroy(arena);
}

/* Take needs away until there is an answer: then no proof may pass, also not the one from before. */
static void test_no_proof_against_an_answer(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    brisk_arena *arena = new_arena();
    for (int round = 0; round < 500; round++) {
        kit k;
        solve_result result = {0};
        make_failure(&seed, arena, &k, &result);
        solve_provider provider = kit_provider(&k, true);
        for (uint32_t tries = 0; tries < 1000 && !kit_satisfiable(&k); tries++) {
            kit_package *p = &k.packages[check_random(&seed) % k.package_count];
            kit_version *v = &p->versions[check_random(&seed) % KIT_BLOCKS_MAX];
            v->needs.hard_count -= v->needs.hard_count > 0 ? 1 : 0;
        }
        CHECK(kit_satisfiable(&k));
        CHECK(solve_proof_check(result.proof, &provider, arena, NULL) == BRISK_ERR_CORRUPT);
    }
    brisk_arena_destroy(arena);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    brisk_arena *arena = new_arena();
    kit k;
    solve_result found = {0};
    make_failure(&seed, arena, &k, &found);
    solve_provider provider = kit_provider(&k, true);
    /* Chunks are what the arena allocates, so that a limit on bytes fails at every size. */
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t failures = 0;
    for (size_t limit = 4096; err == BRISK_ERR_NOMEM; limit += 4096) {
        brisk_arena *tight = NULL;
        brisk_arena_opts opts = {.chunk_bytes = 4096, .limit_bytes = limit};
        CHECK_OK(brisk_arena_create(&opts, &tight));
        solve_result result = {0};
        err = solve_run(&provider, 0, 0, 0, tight, &result);
        if (err == BRISK_OK) {
            CHECK(!result.solved);
            err = solve_proof_check(result.proof, &provider, tight, NULL);
        }
        failures += err != BRISK_OK ? 1 : 0;
        brisk_arena_destroy(tight);
    }
    CHECK_OK(err);
    CHECK_U64(failures, >, 0);
    for (uint64_t after = 0;; after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, after);
        brisk_arena *faulty = NULL;
        brisk_arena_opts opts = {.chunk_bytes = 4096, .alloc = &fault.base};
        solve_result result = {0};
        err = brisk_arena_create(&opts, &faulty);
        err = err == BRISK_OK ? solve_run(&provider, 0, 0, 0, faulty, &result) : err;
        brisk_arena_destroy(faulty);
        CHECK_U64(fault.bytes_held, ==, 0);
        if (err == BRISK_OK) {
            break;
        }
        CHECK(err == BRISK_ERR_NOMEM);
    }
    brisk_arena_destroy(arena);
}

/* What the provider says goes through, whenever it says it. */
static void test_provider_fails(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    brisk_arena *arena = new_arena();
    kit k;
    solve_result found = {0};
    make_failure(&seed, arena, &k, &found);
    solve_provider provider = kit_provider(&k, false);
    uint32_t calls = 0;
    brisk_err err = BRISK_ERR_IO;
    while (err == BRISK_ERR_IO) {
        k.calls_left = calls++;
        solve_result result = {0};
        err = solve_run(&provider, 0, 0, 0, arena, &result);
    }
    CHECK_OK(err);
    CHECK_U64(calls, >, 1);
    brisk_arena_destroy(arena);
}

/* --- by hand ------------------------------------------------------------------------------ */

enum { HAND_PACKAGES = 8 };

/* Packages with up to 4 versions; needs are given as masks (bit 4: see `away`). */
typedef struct hand {
    uint32_t counts[HAND_PACKAGES];
    solve_needs needs[HAND_PACKAGES][4];
} hand;

static brisk_err hand_count(void *ctx, uint32_t package, uint32_t *ret)
{
    *ret = ((hand *)ctx)->counts[package];
    return BRISK_OK;
}

static brisk_err hand_needs(void *ctx, uint32_t package, uint32_t version, solve_needs *ret)
{
    *ret = ((hand *)ctx)->needs[package][version];
    return BRISK_OK;
}

static uint32_t hand_prefer(void *ctx, uint32_t package, solve_set allowed)
{
    return solve_set_last(allowed, solve_words(((hand *)ctx)->counts[package]));
}

static uint32_t bad_prefer(void *ctx, uint32_t package, solve_set allowed)
{
    (void)allowed;
    return ((hand *)ctx)->counts[package];
}

static solve_provider hand_provider(hand *h)
{
    return (solve_provider){
        .ctx = h, .count = hand_count, .needs = hand_needs, .prefer = hand_prefer, .widen = true};
}

#define TERM(p, mask) ((solve_term){.package = (p), .set.bits = (mask)})
#define NEED(...)                                                                                  \
    {                                                                                              \
        .any_of = (const solve_term[]){__VA_ARGS__},                                               \
        .count = sizeof((const solve_term[]){__VA_ARGS__}) / sizeof(solve_term)                    \
    }
#define HARD(...)                                                                                  \
    {                                                                                              \
        .hard = (const solve_need[]){__VA_ARGS__},                                                 \
        .hard_count = sizeof((const solve_need[]){__VA_ARGS__}) / sizeof(solve_need)               \
    }
#define WEAK(...)                                                                                  \
    {                                                                                              \
        .weak = (const solve_need[]){__VA_ARGS__},                                                 \
        .weak_count = sizeof((const solve_need[]){__VA_ARGS__}) / sizeof(solve_need)               \
    }

static solve_result run_hand(hand *h, brisk_arena *arena)
{
    solve_provider provider = hand_provider(h);
    solve_result result = {0};
    CHECK_OK(solve_run(&provider, 0, 0, 0, arena, &result));
    return result;
}

/* The first alternative, unless another one is there anyway. */
static void test_alternatives(void **state)
{
    (void)state;
    brisk_arena *arena = new_arena();
    hand first = {.counts = {1, 1, 1}, .needs[0][0] = HARD(NEED(TERM(1, 1), TERM(2, 1)))};
    solve_result result = run_hand(&first, arena);
    CHECK(result.solved);
    CHECK_U64(result.versions[1], ==, 0);
    CHECK_U64(result.versions[2], ==, SOLVE_NONE);
    hand there = {.counts = {1, 1, 1},
                  .needs[0][0] = HARD(NEED(TERM(1, 1), TERM(2, 1)), NEED(TERM(2, 1)))};
    result = run_hand(&there, arena);
    CHECK_U64(result.versions[1], ==, SOLVE_NONE);
    CHECK_U64(result.versions[2], ==, 0);
    hand away = {.counts = {1, 0, 1}, .needs[0][0] = HARD(NEED(TERM(1, 0), TERM(2, 1)))};
    result = run_hand(&away, arena);
    CHECK_U64(result.versions[2], ==, 0);
    brisk_arena_destroy(arena);
}

/* A weak need is met when it can be, and given up when it cannot: it never undoes a hard one. */
static void test_weak_needs(void **state)
{
    (void)state;
    brisk_arena *arena = new_arena();
    hand can = {.counts = {1, 2}, .needs[0][0] = WEAK(NEED(TERM(1, 1)))};
    solve_result result = run_hand(&can, arena);
    CHECK_U64(result.versions[1], ==, 0);
    /* 1 is wanted in the version 1 that needs 3, which 2 forbids; version 0 will do. */
    hand older = {
        .counts = {1, 2, 1, 1},
        .needs[0][0] = {.hard = (const solve_need[]){NEED(TERM(2, 1))},
                        .hard_count = 1,
                        .weak = (const solve_need[]){NEED(TERM(1, 3)), NEED(TERM(3, 1))},
                        .weak_count = 2},
        .needs[1][1] = HARD(NEED(TERM(3, 1))),
        .needs[2][0] = HARD(NEED(TERM(3, 2))), /* not there */
    };
    result = run_hand(&older, arena);
    CHECK(result.solved);
    CHECK_U64(result.versions[1], ==, 0);
    CHECK_U64(result.versions[2], ==, 0);
    CHECK_U64(result.versions[3], ==, SOLVE_NONE);
    brisk_arena_destroy(arena);
}

/* A need that is met as long as something is not there, and then not: it is looked at again. */
static void test_met_by_absence_first(void **state)
{
    (void)state;
    brisk_arena *arena = new_arena();
    hand h = {
        .counts = {1, 1, 1, 1},
        .needs[0][0] = {.hard = (const solve_need[]){NEED(TERM(1, 2), TERM(2, 1), TERM(3, 1))},
                        .hard_count = 1,
                        .weak = (const solve_need[]){NEED(TERM(1, 1))},
                        .weak_count = 1}};
    solve_result result = run_hand(&h, arena);
    CHECK_U64(result.versions[1], ==, 0);
    CHECK_U64(result.versions[2], ==, 0);
    CHECK_U64(result.versions[3], ==, SOLVE_NONE);
    brisk_arena_destroy(arena);
}

static void test_provider_that_contradicts_itself(void **state)
{
    (void)state;
    brisk_arena *arena = new_arena();
    hand h = {.counts = {1, 2}, .needs[0][0] = HARD(NEED(TERM(1, 3)))};
    solve_provider provider = hand_provider(&h);
    provider.prefer = bad_prefer;
    solve_result result = {0};
    CHECK(solve_run(&provider, 0, 0, 0, arena, &result) == BRISK_ERR_INVALID);
    CHECK(solve_run(&provider, 0, 1, 0, arena, &result) == BRISK_ERR_INVALID);
    hand many = {.counts = {1, SOLVE_VERSIONS_MAX + 1}, .needs[0][0] = HARD(NEED(TERM(1, 3)))};
    provider = hand_provider(&many);
    CHECK(solve_run(&provider, 0, 0, 0, arena, &result) == BRISK_ERR_LIMIT);
    brisk_arena_destroy(arena);
}

/* --- sentences ---------------------------------------------------------------------------- */

static const char *letter_versions(void *ctx, uint32_t package, solve_set set, brisk_arena *arena)
{
    (void)ctx;
    const char *text =
        package == 0 ? "the request" : brisk_arena_printf(arena, "%c", 'a' + package);
    for (uint32_t v = 0; package != 0 && text != NULL && v < 4; v++) {
        if ((set.bits >> v & 1) != 0) {
            text = brisk_arena_printf(arena, "%s %u", text, v);
        }
    }
    return text;
}

static solve_sentences tell(hand *h, brisk_arena *arena)
{
    solve_result result = run_hand(h, arena);
    CHECK(!result.solved);
    solve_provider provider = hand_provider(h);
    CHECK_OK(solve_proof_check(result.proof, &provider, arena, NULL));
    solve_words_of words = {.versions = letter_versions};
    solve_sentences sentences = {0};
    CHECK_OK(solve_proof_tell(result.proof, &provider, &words, arena, &sentences));
    for (uint32_t i = 0; i < sentences.count; i++) {
        print_message("    %s\n", sentences.items[i]);
    }
    return sentences;
}

static void test_sentences(void **state)
{
    (void)state;
    brisk_arena *arena = new_arena();
    hand nothing = {.counts = {1, 0}, .needs[0][0] = HARD(NEED(TERM(1, 0)))};
    solve_sentences s = tell(&nothing, arena);
    CHECK_U64(s.count, ==, 1);
    assert_string_equal(s.items[0], "Because the request cannot be there: there is no answer.");
    hand clash = {.counts = {1, 2, 2, 2},
                  .needs[0][0] = HARD(NEED(TERM(1, 3)), NEED(TERM(2, 3))),
                  .needs[1][0] = HARD(NEED(TERM(3, 1))),
                  .needs[1][1] = HARD(NEED(TERM(3, 1))),
                  .needs[2][0] = HARD(NEED(TERM(3, 2))),
                  .needs[2][1] = HARD(NEED(TERM(3, 2)))};
    s = tell(&clash, arena);
    CHECK_U64(s.count, >, 0);
    CHECK(strstr(s.items[s.count - 1], "there is no answer.") != NULL);
    brisk_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_trying),
        cmocka_unit_test(test_changed_proof_is_rejected),
        cmocka_unit_test(test_no_proof_against_an_answer),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_provider_fails),
        cmocka_unit_test(test_alternatives),
        cmocka_unit_test(test_weak_needs),
        cmocka_unit_test(test_met_by_absence_first),
        cmocka_unit_test(test_provider_that_contradicts_itself),
        cmocka_unit_test(test_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
