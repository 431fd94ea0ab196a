/*
 * solve_text.c -- the solver on a problem in text form, for test_packse.py.
 *
 * Standard input: "p COUNT" per package, numbered from 0 (the root, with one version); then
 * "n PACKAGE VERSION : PACKAGE VALUE... ; PACKAGE VALUE..." per need, where VALUE is a version or
 * '-' for "not there".  Prints "solved VERSION..." ('-': not there) or "failed", the proof verified.
 */
#include <brisk/brisk.h>

#include <stdlib.h>
#include <string.h>

#include "workload/pkg/solve.h"

enum { PACKAGES_MAX = 64, VERSIONS_MAX = 60, NEEDS_MAX = 16, TERMS_MAX = 4, LINE_MAX_BYTES = 4096 };

static uint32_t counts[PACKAGES_MAX];
static uint32_t package_count;
static solve_needs all[PACKAGES_MAX][VERSIONS_MAX];
static solve_need needs[PACKAGES_MAX][VERSIONS_MAX][NEEDS_MAX];
static solve_term terms[PACKAGES_MAX][VERSIONS_MAX][NEEDS_MAX][TERMS_MAX];

static brisk_err provide_count(void *ctx, uint32_t package, uint32_t *ret)
{
    (void)ctx;
    *ret = counts[package];
    return BRISK_OK;
}

static brisk_err provide_needs(void *ctx, uint32_t package, uint32_t version, solve_needs *ret)
{
    (void)ctx;
    *ret = all[package][version];
    return BRISK_OK;
}

static uint32_t provide_prefer(void *ctx, uint32_t package, solve_set allowed)
{
    (void)ctx;
    (void)package;
    return 63 - (uint32_t)__builtin_clzll(allowed.bits);
}

static uint32_t number(const char *text, uint32_t below)
{
    unsigned long value = strtoul(text, NULL, 10);
    if (value >= below) {
        (void)fprintf(stderr, "solve_text: %s is too much\n", text);
        exit(2);
    }
    return (uint32_t)value;
}

static void read_need(char *line)
{
    char *save = NULL;
    uint32_t package = number(strtok_r(line, " \n", &save), package_count);
    uint32_t version = number(strtok_r(NULL, " \n", &save), counts[package]);
    uint32_t at = all[package][version].hard_count;
    if (at == NEEDS_MAX) {
        exit(2);
    }
    solve_need *need = &needs[package][version][at];
    solve_term *mine = terms[package][version][at];
    need->any_of = mine;
    all[package][version].hard = needs[package][version];
    all[package][version].hard_count++;
    solve_term *term = NULL;
    for (char *word = strtok_r(NULL, " \n", &save); word != NULL;
         word = strtok_r(NULL, " \n", &save)) {
        if (strcmp(word, ":") == 0 || strcmp(word, ";") == 0) {
            term = NULL;
        } else if (term == NULL) {
            term = &mine[need->count++];
            term->package = number(word, package_count);
        } else {
            uint32_t bit = strcmp(word, "-") == 0 ? counts[term->package]
                                                  : number(word, counts[term->package]);
            term->set.bits |= UINT64_C(1) << bit;
        }
        if (need->count == TERMS_MAX) {
            exit(2);
        }
    }
}

int main(void)
{
    char line[LINE_MAX_BYTES];
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (line[0] == 'p' && package_count < PACKAGES_MAX) {
            counts[package_count++] = number(line + 2, VERSIONS_MAX);
        } else if (line[0] == 'n') {
            read_need(line + 2);
        }
    }
    brisk_arena *arena = NULL;
    solve_provider provider = {
        .count = provide_count, .needs = provide_needs, .prefer = provide_prefer, .widen = true};
    solve_result result = {0};
    if (brisk_arena_create(NULL, &arena) != BRISK_OK ||
        solve_run(&provider, 0, 0, 0, arena, &result) != BRISK_OK) {
        return 1;
    }
    if (!result.solved) {
        brisk_errinfo info = {0};
        if (solve_proof_check(result.proof, &provider, arena, &info) != BRISK_OK) {
            (void)fprintf(stderr, "%s\n", info.text);
            return 1;
        }
        (void)printf("failed\n");
    }
    for (uint32_t i = 0; result.solved && i < package_count; i++) {
        bool there = i < result.package_count && result.versions[i] != SOLVE_NONE;
        (void)printf("%s", i == 0 ? "solved " : " ");
        (void)(there ? printf("%u", result.versions[i]) : printf("-"));
    }
    brisk_arena_destroy(arena);
    return fflush(stdout) == 0 ? 0 : 1;
}
