/*
 * fuzz_pkg_solve.c -- bytes as a small problem: the solver's answer is right, or its proof is.
 *
 * What is right, trying every answer says (tests/pkg/solve_kit.h).
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <brisk/brisk.h>

#include "../tests/pkg/solve_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

static const char *number_of(void *ctx, uint32_t package, solve_set set, brisk_arena *arena)
{
    (void)ctx;
    (void)set;
    return brisk_arena_printf(arena, "p%u", package);
}

static void check(kit *k, const solve_provider *provider, const solve_result *result)
{
    REQUIRE(result->solved == kit_satisfiable(k));
    if (result->solved) {
        uint32_t values[KIT_PACKAGES_MAX] = {0};
        kit_values(k, result, values);
        REQUIRE(kit_valid(k, values) && kit_nothing_idle(k, values));
        return;
    }
    REQUIRE(solve_proof_check(result->proof, provider, k->arena, NULL) == BRISK_OK);
    solve_words_of words = {.versions = number_of};
    solve_sentences sentences = {0};
    REQUIRE(solve_proof_tell(result->proof, provider, &words, k->arena, &sentences) == BRISK_OK);
    REQUIRE(sentences.count > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    brisk_arena *arena = NULL;
    if (size == 0 || brisk_arena_create(NULL, &arena) != BRISK_OK) {
        return 0;
    }
    kit k;
    REQUIRE(kit_make(&k, arena, data + 1, size - 1));
    solve_provider provider = kit_provider(&k, data[0] % 2 != 0);
    solve_result result = {0};
    REQUIRE(solve_run(&provider, 0, 0, 0, arena, &result) == BRISK_OK);
    check(&k, &provider, &result);
    brisk_arena_destroy(arena);
    return 0;
}
