/* The arena: blocks never overlap, alignment holds, limits hold, reset keeps one chunk. */
#include <stdbool.h>
#include <string.h>

#include <brisk/arena.h>

#include "base/cleanup.h"
#include "support/check.h"
#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_arena, brisk_arena_destroy)

typedef struct piece {
    unsigned char *at;
    size_t size;
    unsigned char fill;
} piece;

static bool is_filled(const piece *p)
{
    for (size_t i = 0; i < p->size; i++) {
        if (p->at[i] != p->fill) {
            return false;
        }
    }
    return true;
}

/* Property: whatever the sizes and alignments, every block keeps its bytes until the reset. */
static void test_blocks_do_not_overlap(void **state)
{
    (void)state;
    enum { PIECES = 600, ROUNDS = 8 };
    static piece pieces[PIECES];
    uint64_t random = check_seed();
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 8192}, &arena));
    for (int round = 0; round < ROUNDS; round++) {
        size_t sum = 0;
        for (int i = 0; i < PIECES; i++) {
            size_t size = check_random(&random) % (i % 50 == 0 ? 20000 : 300);
            size_t align = (size_t)1 << check_random(&random) % 13;
            piece *p = &pieces[i];
            *p = (piece){brisk_arena_alloc_aligned(arena, size, align), size, (unsigned char)i};
            CHECK(p->at != NULL);
            CHECK_U64((uintptr_t)p->at % align, ==, 0);
            memset(p->at, p->fill, size);
            sum += size;
        }
        for (int i = 0; i < PIECES; i++) {
            CHECK(is_filled(&pieces[i]));
        }
        CHECK_U64(brisk_arena_used(arena), ==, sum);
        CHECK_U64(brisk_arena_held(arena), >=, sum);
        brisk_arena_reset(arena);
        CHECK_U64(brisk_arena_used(arena), ==, 0);
        CHECK_U64(brisk_arena_held(arena), ==, 8192);
    }
}

static void test_defaults(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    CHECK_U64(brisk_arena_held(arena), ==, 0);
    void *none = brisk_arena_alloc(arena, 0);
    CHECK(none != NULL);
    CHECK_U64((uintptr_t)brisk_arena_alloc(arena, 1) % 16, ==, 0);
    CHECK_U64(brisk_arena_held(arena), ==, BRISK_ARENA_CHUNK_BYTES);
    brisk_arena *bad = NULL;
    CHECK(brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 4095}, &bad) == BRISK_ERR_INVALID);
    CHECK(brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = SIZE_MAX}, &bad) ==
          BRISK_ERR_INVALID);
    CHECK(bad == NULL);
    brisk_arena_destroy(NULL);
}

/* A loop of jobs takes nothing from the allocator after the first. */
static void test_reset_allocates_nothing_again(void **state)
{
    (void)state;
    fault_alloc fault;
    fault_alloc_init(&fault, 2); /* the arena and its first chunk */
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(&(brisk_arena_opts){.alloc = &fault.base}, &arena));
    for (int job = 0; job < 1000; job++) {
        for (int i = 0; i < 100; i++) {
            CHECK(brisk_arena_alloc(arena, 1000) != NULL);
        }
        brisk_arena_reset(arena);
    }
}

/* A large block leaves the chunk being filled alone. */
static void test_large_block_has_its_own_chunk(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    CHECK(brisk_arena_alloc(arena, 100) != NULL);
    CHECK(brisk_arena_alloc(arena, BRISK_ARENA_CHUNK_BYTES / 4 + 1) != NULL);
    size_t held = brisk_arena_held(arena);
    CHECK_U64(held, >, BRISK_ARENA_CHUNK_BYTES + BRISK_ARENA_CHUNK_BYTES / 4);
    CHECK_U64(held, <, BRISK_ARENA_CHUNK_BYTES + BRISK_ARENA_CHUNK_BYTES / 4 + 4096);
    CHECK(brisk_arena_alloc(arena, 100) != NULL);
    CHECK_U64(brisk_arena_held(arena), ==, held);
    brisk_arena_reset(arena);
    CHECK_U64(brisk_arena_held(arena), ==, BRISK_ARENA_CHUNK_BYTES);
}

static void test_limit_holds(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    brisk_arena_opts opts = {.chunk_bytes = 4096, .limit_bytes = 10000};
    CHECK_OK(brisk_arena_create(&opts, &arena));
    CHECK(brisk_arena_alloc(arena, 10001) == NULL);
    size_t blocks = 0;
    while (brisk_arena_alloc(arena, 100) != NULL) {
        blocks++;
    }
    CHECK_U64(blocks, >, 2 * 4096 / 150);
    CHECK_U64(brisk_arena_held(arena), <=, 10000);
    brisk_arena_reset(arena);
    CHECK(brisk_arena_alloc(arena, 100) != NULL);
}

static void test_sizes_that_cannot_be(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    for (int warm = 0; warm < 2; warm++) {
        CHECK(brisk_arena_alloc(arena, SIZE_MAX) == NULL);
        CHECK(brisk_arena_alloc_aligned(arena, SIZE_MAX - 4000, 4096) == NULL);
        CHECK(brisk_arena_calloc(arena, SIZE_MAX / 2, 3) == NULL);
        CHECK(brisk_arena_copy(arena, "", SIZE_MAX) == NULL);
        CHECK(brisk_arena_alloc(arena, 8) != NULL);
    }
}

static void test_texts_and_zeroes(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    CHECK(strcmp(brisk_arena_copy(arena, "hello", 3), "hel") == 0);
    CHECK(strcmp(brisk_arena_copy(arena, NULL, 0), "") == 0);
    CHECK(strcmp(brisk_arena_printf(arena, "%d-%s", 7, "x"), "7-x") == 0);
    CHECK(strcmp(brisk_arena_printf(arena, "%s", ""), "") == 0);
    memset(brisk_arena_alloc(arena, 4096), 0xff, 4096);
    brisk_arena_reset(arena);
    const unsigned char *zeroes = brisk_arena_calloc(arena, 512, 8);
    for (int i = 0; i < 4096; i++) {
        CHECK(zeroes[i] == 0);
    }
}

static void test_as_allocator(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    const brisk_alloc *alloc = brisk_arena_as_alloc(arena);
    void *a = alloc->acquire(alloc->ctx, 100, 64);
    CHECK_U64((uintptr_t)a % 64, ==, 0);
    alloc->release(alloc->ctx, a, 100, 64);
    CHECK_U64(brisk_arena_used(arena), ==, 100);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    bool complete = false;
    for (uint64_t fail_after = 0; !complete; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_arena *arena = NULL;
        brisk_arena_opts opts = {.chunk_bytes = 4096, .alloc = &fault.base};
        brisk_err err = brisk_arena_create(&opts, &arena);
        CHECK((arena != NULL) == (err == BRISK_OK));
        if (err == BRISK_OK) {
            complete = true;
            for (int i = 0; i < 20; i++) {
                complete = brisk_arena_alloc(arena, i % 7 == 0 ? 9000 : 900) != NULL && complete;
            }
        }
        brisk_arena_destroy(arena);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_do_not_overlap),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_reset_allocates_nothing_again),
        cmocka_unit_test(test_large_block_has_its_own_chunk),
        cmocka_unit_test(test_limit_holds),
        cmocka_unit_test(test_sizes_that_cannot_be),
        cmocka_unit_test(test_texts_and_zeroes),
        cmocka_unit_test(test_as_allocator),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
