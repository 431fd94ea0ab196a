/* The map finds what was added and nothing else, in the order of insertion. */
#include <stdbool.h>
#include <string.h>

#include "base/map.h"
#include "support/check.h"
#include "support/fault_alloc.h"

enum { KEYS = 3000 };

static char keys[KEYS][16];

static void make_keys(void)
{
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "k%d", i * 7);
    }
}

static void test_added_is_found(void **state)
{
    (void)state;
    make_keys();
    brisk_map map;
    brisk_map_init(&map, NULL);
    CHECK(brisk_map_get(&map, "k0") == NULL);
    for (int i = 0; i < KEYS; i++) {
        CHECK(brisk_map_find(&map, keys[i]) == NULL);
        CHECK_OK(brisk_map_add(&map, keys[i], keys[i] + 1));
        CHECK(brisk_map_add(&map, keys[i], NULL) == BRISK_ERR_CONFLICT);
    }
    CHECK_U64(map.entries.count, ==, KEYS);
    for (int i = 0; i < KEYS; i++) {
        char copy[16];
        memcpy(copy, keys[i], sizeof copy); /* equal, not identical */
        CHECK(brisk_map_get(&map, copy) == keys[i] + 1);
        CHECK(map.entries.items[i].key == keys[i]);
        (void)snprintf(copy, sizeof copy, "k%d", i * 7 + 1);
        CHECK(brisk_map_find(&map, copy) == NULL);
    }
    CHECK(brisk_map_find(&map, "") == NULL);
    CHECK_OK(brisk_map_add(&map, "", NULL));
    CHECK(brisk_map_find(&map, "") != NULL && brisk_map_get(&map, "") == NULL);
    brisk_map_deinit(&map);
    CHECK(map.entries.count == 0 && brisk_map_find(&map, "k0") == NULL);
    brisk_map_deinit(&map);
}

/* Two maps place the same keys differently: the seed is their own. */
static void test_seeds_differ(void **state)
{
    (void)state;
    brisk_map a;
    brisk_map b;
    brisk_map_init(&a, NULL);
    brisk_map_init(&b, NULL);
    CHECK_OK(brisk_map_add(&a, "key", NULL));
    CHECK_OK(brisk_map_add(&b, "key", NULL));
    CHECK(a.entries.items[0].hash != b.entries.items[0].hash);
    brisk_map_deinit(&a);
    brisk_map_deinit(&b);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    make_keys();
    bool complete = false;
    for (uint64_t fail_after = 0; !complete; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_map map;
        brisk_map_init(&map, &fault.base);
        complete = true;
        for (int i = 0; i < 100 && complete; i++) {
            complete = brisk_map_add(&map, keys[i], keys[i]) == BRISK_OK;
        }
        for (size_t i = 0; i < map.entries.count; i++) {
            CHECK(brisk_map_get(&map, keys[i]) == keys[i]);
        }
        brisk_map_deinit(&map);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_added_is_found),
        cmocka_unit_test(test_seeds_differ),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
