/*
 * solve_kit.h -- small problems for the solver, made of bytes, and every answer to them by trying.
 *
 * A package's versions come in blocks of `scale` that behave alike, so that a problem may have
 * sets of several words and still be tried out: one version of each block stands for all.
 * The fuzz target uses it too; nothing here needs cmocka.
 */
#ifndef BRISK_TESTS_PKG_SOLVE_KIT_H
#define BRISK_TESTS_PKG_SOLVE_KIT_H

#include <stdlib.h>

#include <brisk/arena.h>

#include "workload/pkg/solve.h"
#include "workload/pkg/solve_set.h"

enum { KIT_PACKAGES_MAX = 7, KIT_BLOCKS_MAX = 3, KIT_NEEDS_MAX = 4, KIT_TERMS_MAX = 3 };

typedef struct kit_version { /* of one block */
    solve_needs needs;
    solve_need hard[KIT_NEEDS_MAX];
    solve_need weak[KIT_NEEDS_MAX];
    solve_term terms[2 * KIT_NEEDS_MAX][KIT_TERMS_MAX];
} kit_version;

typedef struct kit_package {
    uint32_t blocks;
    uint32_t scale;
    kit_version versions[KIT_BLOCKS_MAX];
} kit_package;

typedef struct kit {
    brisk_arena *arena; /* where its sets are */
    uint32_t package_count;
    kit_package packages[KIT_PACKAGES_MAX];
    const uint8_t *bytes; /* what it is made of; 0 behind their end */
    size_t left;
    uint32_t calls_left; /* the provider fails when none is */
} kit;

static inline uint32_t kit_take(kit *k, uint32_t below)
{
    if (k->left == 0) {
        return 0;
    }
    k->left--;
    return *k->bytes++ % below;
}

static inline uint32_t kit_count(const kit *k, uint32_t package)
{
    return k->packages[package].blocks * k->packages[package].scale;
}

/* Bits of blocks, and whether "not there" is in it, as a set of versions.  False: out of memory. */
static inline bool kit_set(kit *k, uint32_t package, uint32_t blocks, bool away, solve_set *ret)
{
    uint32_t count = kit_count(k, package);
    uint32_t n = solve_words(count);
    uint64_t one = 0;
    uint64_t *words = n == 1 ? &one : solve_set_alloc(ret, n, k->arena);
    if (words == NULL) {
        return false;
    }
    for (uint32_t v = 0; v < count; v++) {
        if ((blocks >> (v / k->packages[package].scale) & 1) != 0) {
            words[v / 64] |= UINT64_C(1) << (v % 64);
        }
    }
    words[count / 64] |= (uint64_t)away << (count % 64);
    if (n == 1) {
        ret->bits = one;
    }
    return true;
}

static inline bool kit_need(kit *k, solve_need *need, solve_term *terms)
{
    uint32_t kind = kit_take(k, 16);
    need->count = kind == 15 ? 0 : kind >= 12 ? 3 : kind >= 7 ? 2 : 1;
    need->any_of = terms;
    for (uint32_t i = 0; i < need->count; i++) {
        uint32_t package = kit_take(k, k->package_count);
        uint32_t pick = kit_take(k, 32);
        terms[i].package = package;
        if (!kit_set(k, package, pick & 7, pick >= 24, &terms[i].set)) {
            return false;
        }
    }
    return true;
}

static inline bool kit_make(kit *k, brisk_arena *arena, const uint8_t *bytes, size_t size)
{
    *k = (kit){.arena = arena, .bytes = bytes, .left = size, .calls_left = UINT32_MAX};
    k->package_count = 2 + kit_take(k, KIT_PACKAGES_MAX - 1);
    for (uint32_t p = 0; p < k->package_count; p++) {
        uint32_t pick = kit_take(k, 64);
        k->packages[p].blocks = p == 0 ? 1 : pick % 16 == 15 ? 0 : 1 + pick % KIT_BLOCKS_MAX;
        k->packages[p].scale = p > 0 && pick >= 56 ? 40 : 1;
    }
    for (uint32_t p = 0; p < k->package_count; p++) {
        for (uint32_t b = 0; b < k->packages[p].blocks; b++) {
            kit_version *v = &k->packages[p].versions[b];
            uint32_t hard = kit_take(k, KIT_NEEDS_MAX + 1);
            uint32_t weak = kit_take(k, 8) == 0 ? 1 + kit_take(k, KIT_NEEDS_MAX) : 0;
            v->needs = (solve_needs){
                .hard = v->hard, .weak = v->weak, .hard_count = hard, .weak_count = weak};
            for (uint32_t i = 0; i < hard + weak; i++) {
                solve_need *need = i < hard ? &v->hard[i] : &v->weak[i - hard];
                if (!kit_need(k, need, v->terms[i])) {
                    return false;
                }
            }
        }
    }
    return true;
}

/* --- the provider ------------------------------------------------------------------------- */

static inline brisk_err kit_provide_count(void *ctx, uint32_t package, uint32_t *ret)
{
    kit *k = ctx;
    if (package >= k->package_count) {
        return BRISK_ERR_NOT_FOUND;
    }
    *ret = kit_count(k, package);
    return BRISK_OK;
}

static inline brisk_err kit_provide_needs(void *ctx, uint32_t package, uint32_t version,
                                          solve_needs *ret)
{
    kit *k = ctx;
    if (package >= k->package_count || version >= kit_count(k, package)) {
        return BRISK_ERR_NOT_FOUND;
    }
    if (k->calls_left-- == 0) {
        k->calls_left = 0;
        return BRISK_ERR_IO;
    }
    *ret = k->packages[package].versions[version / k->packages[package].scale].needs;
    return BRISK_OK;
}

static inline uint32_t kit_provide_prefer(void *ctx, uint32_t package, solve_set allowed)
{
    const kit *k = ctx;
    return solve_set_last(allowed, solve_words(kit_count(k, package)));
}

static inline solve_provider kit_provider(kit *k, bool widen)
{
    return (solve_provider){.ctx = k,
                            .count = kit_provide_count,
                            .needs = kit_provide_needs,
                            .prefer = kit_provide_prefer,
                            .widen = widen};
}

/* --- the oracle --------------------------------------------------------------------------- */

/* A version of each package, or its count for "not there". */
static inline bool kit_need_holds(const kit *k, const solve_need *need, const uint32_t *values)
{
    for (uint32_t i = 0; i < need->count; i++) {
        uint32_t p = need->any_of[i].package;
        if (solve_set_has(need->any_of[i].set, solve_words(kit_count(k, p)), values[p])) {
            return true;
        }
    }
    return false;
}

/* Is everything met that the chosen versions need? */
static inline bool kit_valid(const kit *k, const uint32_t *values)
{
    if (values[0] != 0) {
        return false;
    }
    for (uint32_t p = 0; p < k->package_count; p++) {
        if (values[p] >= kit_count(k, p)) {
            continue;
        }
        const kit_version *v = &k->packages[p].versions[values[p] / k->packages[p].scale];
        for (uint32_t i = 0; i < v->needs.hard_count; i++) {
            if (!kit_need_holds(k, &v->hard[i], values)) {
                return false;
            }
        }
    }
    return true;
}

/* Is each package that is there named by a need of one that is there? */
static inline bool kit_nothing_idle(const kit *k, const uint32_t *values)
{
    bool named[KIT_PACKAGES_MAX] = {true};
    for (uint32_t p = 0; p < k->package_count; p++) {
        if (values[p] >= kit_count(k, p)) {
            continue;
        }
        const kit_version *v = &k->packages[p].versions[values[p] / k->packages[p].scale];
        for (uint32_t i = 0; i < v->needs.hard_count + v->needs.weak_count; i++) {
            const solve_need *need =
                i < v->needs.hard_count ? &v->hard[i] : &v->weak[i - v->needs.hard_count];
            for (uint32_t t = 0; t < need->count; t++) {
                named[need->any_of[t].package] = true;
            }
        }
    }
    for (uint32_t p = 0; p < k->package_count; p++) {
        if (values[p] < kit_count(k, p) && !named[p]) {
            return false;
        }
    }
    return true;
}

/* Try all: is there a valid one? */
static inline bool kit_satisfiable(const kit *k)
{
    uint32_t blocks[KIT_PACKAGES_MAX] = {0};
    uint32_t values[KIT_PACKAGES_MAX] = {0};
    for (;;) {
        for (uint32_t p = 0; p < k->package_count; p++) {
            values[p] = blocks[p] * k->packages[p].scale;
        }
        if (kit_valid(k, values)) {
            return true;
        }
        uint32_t p = 0;
        while (p < k->package_count && blocks[p] == k->packages[p].blocks) {
            blocks[p++] = 0;
        }
        if (p == k->package_count) {
            return false;
        }
        blocks[p]++;
    }
}

/* The solver's answer as values. */
static inline void kit_values(const kit *k, const solve_result *result, uint32_t *values)
{
    for (uint32_t p = 0; p < k->package_count; p++) {
        bool there = p < result->package_count && result->versions[p] != SOLVE_NONE;
        values[p] = there ? result->versions[p] : kit_count(k, p);
    }
}

#endif /* BRISK_TESTS_PKG_SOLVE_KIT_H */
