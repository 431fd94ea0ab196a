/* The pool: live objects never overlap, what is released is used again, limits and figures hold. */
#include <stdbool.h>
#include <string.h>

#include <brisk/pool.h>

#include "base/cleanup.h"
#include "support/check.h"
#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_pool, brisk_pool_destroy)

/* Property: random acquires and releases; every live object keeps its bytes and its alignment. */
static void try_shape(uint64_t *random, size_t object_bytes, size_t align)
{
    enum { SLOTS = 200, STEPS = 4000, OBJECT_MAX = 300 };
    static unsigned char *live[SLOTS];
    memset(live, 0, sizeof live);
    BRISK_CLEANUP(brisk_pool_destroy) brisk_pool *pool = NULL;
    brisk_pool_opts opts = {.object_bytes = object_bytes, .align = align, .slab_objects = 13};
    CHECK_OK(brisk_pool_create(&opts, &pool));
    size_t count = 0;
    size_t peak = 0;
    for (int step = 0; step < STEPS; step++) {
        size_t i = check_random(random) % SLOTS;
        if (live[i] == NULL) {
            live[i] = brisk_pool_acquire(pool);
            CHECK(live[i] != NULL);
            CHECK_U64((uintptr_t)live[i] % (align != 0 ? align : 16), ==, 0);
            memset(live[i], (int)i, object_bytes);
            count++;
        } else {
            for (size_t k = 0; k < object_bytes; k++) {
                CHECK(live[i][k] == (unsigned char)i);
            }
            brisk_pool_release(pool, live[i]);
            live[i] = NULL;
            count--;
        }
        peak = count > peak ? count : peak;
        brisk_pool_stats stats;
        brisk_pool_read_stats(pool, &stats);
        CHECK_U64(stats.live, ==, count);
        CHECK_U64(stats.peak, ==, peak);
        CHECK_U64((stats.live + stats.free) % 13, ==, 0);
        CHECK_U64(stats.bytes, >=, (stats.live + stats.free) * object_bytes);
    }
}

static void test_objects_do_not_overlap(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    static const size_t SIZES[] = {1, 7, 8, 16, 17, 100, 256, 300};
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        try_shape(&random, SIZES[i], 0);
        try_shape(&random, SIZES[i], 1);
        try_shape(&random, SIZES[i], 64);
    }
}

static void test_released_is_used_again(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_pool_destroy) brisk_pool *pool = NULL;
    CHECK_OK(brisk_pool_create(&(brisk_pool_opts){.object_bytes = 40}, &pool));
    void *first = brisk_pool_acquire(pool);
    brisk_pool_release(pool, first);
    CHECK(brisk_pool_acquire(pool) == first);
    brisk_pool_release(pool, NULL);
    brisk_pool_stats stats;
    brisk_pool_read_stats(pool, &stats);
    CHECK_U64(stats.live, ==, 1);
    CHECK_U64(stats.bytes, <=, 65536 + 64);
    CHECK_U64(stats.bytes, >=, 60000);
}

/* Whatever was released is taken before another slab is. */
static void test_nothing_is_lost(void **state)
{
    (void)state;
    enum { OBJECTS = 26, ROUNDS = 50 };
    BRISK_CLEANUP(brisk_pool_destroy) brisk_pool *pool = NULL;
    CHECK_OK(brisk_pool_create(&(brisk_pool_opts){.object_bytes = 40, .slab_objects = 13}, &pool));
    for (int round = 0; round < ROUNDS; round++) {
        void *objects[OBJECTS];
        for (int i = 0; i < OBJECTS; i++) {
            objects[i] = brisk_pool_acquire(pool);
        }
        brisk_pool_stats stats;
        brisk_pool_read_stats(pool, &stats);
        CHECK(stats.live == OBJECTS && stats.free == 0);
        for (int i = 0; i < OBJECTS; i++) {
            brisk_pool_release(pool, objects[i]);
        }
    }
}

static void test_limit_holds(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_pool_destroy) brisk_pool *pool = NULL;
    CHECK_OK(brisk_pool_create(&(brisk_pool_opts){.object_bytes = 8, .limit_objects = 3}, &pool));
    void *object = NULL;
    for (int i = 0; i < 3; i++) {
        object = brisk_pool_acquire(pool);
        CHECK(object != NULL);
    }
    CHECK(brisk_pool_acquire(pool) == NULL);
    brisk_pool_release(pool, object);
    CHECK(brisk_pool_acquire(pool) == object);
    CHECK(brisk_pool_acquire(pool) == NULL);
}

static void test_wrong_options(void **state)
{
    (void)state;
    static const brisk_pool_opts WRONG[] = {
        {.object_bytes = 0},
        {.object_bytes = 8, .align = 3},
        {.object_bytes = 8, .align = 8192},
        {.object_bytes = SIZE_MAX},
        {.object_bytes = SIZE_MAX / 2 + 1},
        {.object_bytes = 1 << 20, .slab_objects = SIZE_MAX >> 10},
    };
    brisk_pool *pool = NULL;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        CHECK(brisk_pool_create(&WRONG[i], &pool) == BRISK_ERR_INVALID);
    }
    CHECK(brisk_pool_create(NULL, &pool) == BRISK_ERR_INVALID);
    CHECK(pool == NULL);
    brisk_pool_destroy(NULL);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    bool complete = false;
    for (uint64_t fail_after = 0; !complete; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_pool *pool = NULL;
        brisk_pool_opts opts = {.object_bytes = 32, .slab_objects = 4, .alloc = &fault.base};
        brisk_err err = brisk_pool_create(&opts, &pool);
        CHECK((pool != NULL) == (err == BRISK_OK));
        complete = err == BRISK_OK;
        for (int i = 0; i < 17 && complete; i++) {
            complete = brisk_pool_acquire(pool) != NULL;
        }
        brisk_pool_destroy(pool);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_do_not_overlap),
        cmocka_unit_test(test_released_is_used_again),
        cmocka_unit_test(test_nothing_is_lost),
        cmocka_unit_test(test_limit_holds),
        cmocka_unit_test(test_wrong_options),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
