/* The growable array keeps its items while it grows, and survives failing memory. */
#include <brisk/alloc.h>

#include "base/vec.h"
#include "support/check.h"
#include "support/fault_alloc.h"

typedef struct wide {
    _Alignas(64) uint64_t value;
} wide;

static void test_items_stay(void **state)
{
    (void)state;
    BRISK_VEC(uint32_t) numbers = BRISK_VEC_INIT(brisk_alloc_libc());
    BRISK_VEC(wide) wides = BRISK_VEC_INIT(brisk_alloc_libc());
    for (uint32_t i = 0; i < 5000; i++) {
        CHECK(BRISK_VEC_PUSH(&numbers, i * 3));
        CHECK(BRISK_VEC_PUSH(&wides, (wide){.value = i}));
        CHECK_U64((uintptr_t)wides.items % 64, ==, 0);
    }
    CHECK_U64(numbers.count, ==, 5000);
    CHECK_U64(numbers.capacity, <=, 10000);
    for (uint32_t i = 0; i < 5000; i++) {
        CHECK(numbers.items[i] == i * 3 && wides.items[i].value == i);
    }
    CHECK(BRISK_VEC_RESERVE(&numbers, 100000));
    CHECK(numbers.capacity >= 100000 && numbers.count == 5000 && numbers.items[4999] == 14997);
    BRISK_VEC_DEINIT(&numbers);
    BRISK_VEC_DEINIT(&wides);
    CHECK(numbers.items == NULL && numbers.count == 0);
    CHECK(BRISK_VEC_PUSH(&numbers, 1));
    BRISK_VEC_DEINIT(&numbers);
    BRISK_VEC_DEINIT(&numbers);
}

static void test_sizes_that_cannot_be(void **state)
{
    (void)state;
    BRISK_VEC(uint64_t) vec = BRISK_VEC_INIT(brisk_alloc_libc());
    CHECK(!BRISK_VEC_RESERVE(&vec, SIZE_MAX));
    CHECK(!BRISK_VEC_RESERVE(&vec, SIZE_MAX / 8 + 1));
    CHECK(vec.items == NULL && vec.capacity == 0);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    bool complete = false;
    for (uint64_t fail_after = 0; !complete; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        BRISK_VEC(uint64_t) vec = BRISK_VEC_INIT(&fault.base);
        complete = true;
        for (uint64_t i = 0; i < 100 && complete; i++) {
            complete = BRISK_VEC_PUSH(&vec, i);
        }
        for (uint64_t i = 0; i < vec.count; i++) {
            CHECK_U64(vec.items[i], ==, i);
        }
        BRISK_VEC_DEINIT(&vec);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items_stay),
        cmocka_unit_test(test_sizes_that_cannot_be),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
