/*
 * test_dict.c -- the map against a naive one, removal while walking, memory that runs out.
 */
#include <string.h>

#include "daemon/dict.h"
#include "support/check.h"
#include "support/fault_alloc.h"

enum { KEYS = 500, STEPS = 20000 };

static void test_against_an_array(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    uintptr_t naive[KEYS] = {0};
    dict map;
    dict_init(&map, brisk_alloc_libc());
    size_t count = 0;
    for (int step = 0; step < STEPS; step++) {
        uint64_t draw = check_random(&random);
        uint32_t key = (uint32_t)(draw % KEYS);
        dict_entry *entry = dict_find(&map, &key, sizeof key);
        CHECK((entry != NULL ? (uintptr_t)entry->value : 0) == naive[key]);
        if (draw >> 40 & 1) {
            entry = dict_add(&map, &key, sizeof key);
            CHECK(entry != NULL);
            count += naive[key] == 0 ? 1 : 0;
            naive[key] = (uintptr_t)step + 1;
            entry->value = (void *)naive[key];
        } else if (entry != NULL) {
            dict_remove(&map, entry);
            naive[key] = 0;
            count--;
        }
        CHECK_U64(map.count, ==, count);
    }
    size_t seen = 0;
    for (dict_entry *e = dict_next(&map, NULL); e != NULL; e = dict_next(&map, e)) {
        seen++;
    }
    CHECK_U64(seen, ==, count);
    dict_deinit(&map);
}

static void test_removal_while_walking(void **state)
{
    (void)state;
    dict map;
    dict_init(&map, brisk_alloc_libc());
    for (uint32_t key = 0; key < KEYS; key++) {
        CHECK(dict_add(&map, &key, sizeof key) != NULL);
    }
    size_t seen = 0;
    dict_entry *entry = dict_next(&map, NULL);
    while (entry != NULL) {
        dict_entry *next = dict_next(&map, entry);
        dict_remove(&map, entry);
        entry = next;
        seen++;
    }
    CHECK_U64(seen, ==, KEYS);
    CHECK(map.count == 0 && dict_some(&map, 7) == NULL);
    CHECK(dict_add(&map, "", 0) != NULL && dict_some(&map, 7) != NULL);
    dict_deinit(&map);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    bool whole = false;
    for (uint64_t fail_after = 0; !whole; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        dict map;
        dict_init(&map, &fault.base);
        uint32_t added = 0;
        for (uint32_t key = 0; key < 40; key++) {
            added += dict_add(&map, &key, sizeof key) != NULL ? 1 : 0;
        }
        whole = added == 40;
        CHECK_U64(map.count, ==, added);
        dict_deinit(&map);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_an_array),
        cmocka_unit_test(test_removal_while_walking),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
