/* Lists of writes: merging against a byte-by-byte oracle, contradictions, overriding, diffs. */
#include <string.h>

#include <brisk/brisk.h>

#include "support/check.h"
#include "support/fault_alloc.h"
#include "workload/rom/writes.h"

static brisk_arena *arena;

static int setup(void **state)
{
    (void)state;
    return brisk_arena_create(NULL, &arena) == BRISK_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    brisk_arena_destroy(arena);
    return 0;
}

static void add(rom_writes *list, uint64_t offset, const char *bytes, uint32_t owner)
{
    CHECK_OK(rom_writes_add(list, arena,
                            &(rom_write){.offset = offset,
                                         .bytes = (const uint8_t *)bytes,
                                         .size = (uint32_t)strlen(bytes),
                                         .owner = owner}));
}

static void test_same_value_is_fine(void **state)
{
    (void)state;
    rom_writes list = {0};
    rom_writes merged = {0};
    rom_conflicts conflicts = {0};
    add(&list, 10, "abcd", 1);
    add(&list, 12, "cdef", 2);
    add(&list, 11, "bc", 3);
    CHECK_OK(rom_writes_merge(&list, arena, &merged, &conflicts));
    CHECK_U64(conflicts.total, ==, 0);
    CHECK_U64(merged.count, ==, 2);
    CHECK_U64(merged.items[0].owner, ==, 1);
    CHECK_U64(merged.items[1].owner, ==, 2);
    CHECK_U64(merged.items[1].offset, ==, 14);
    CHECK_U64(rom_writes_end(&merged), ==, 16);
    CHECK_U64(rom_writes_bytes(&merged), ==, 6);
    uint8_t image[16] = {0};
    rom_writes_apply(&merged, image, sizeof image);
    CHECK(memcmp(image + 10, "abcdef", 6) == 0);
}

static void test_neighbours_do_not_conflict(void **state)
{
    (void)state;
    rom_writes list = {0};
    rom_writes merged = {0};
    rom_conflicts conflicts = {0};
    add(&list, 4, "xy", 2);
    add(&list, 2, "ab", 1);
    add(&list, 6, "z", 3);
    CHECK_OK(rom_writes_merge(&list, arena, &merged, &conflicts));
    CHECK_U64(conflicts.total, ==, 0);
    CHECK_U64(merged.count, ==, 3);
}

static void test_one_byte_conflict_is_found(void **state)
{
    (void)state;
    rom_writes list = {0};
    rom_writes merged = {0};
    rom_conflicts conflicts = {0};
    add(&list, 100, "abcdefgh", 7);
    add(&list, 107, "X", 9);
    CHECK_OK(rom_writes_merge(&list, arena, &merged, &conflicts));
    CHECK_U64(conflicts.total, ==, 1);
    const rom_conflict *found = &conflicts.items[0];
    CHECK_U64(found->offset, ==, 107);
    CHECK_U64(found->size, ==, 1);
    CHECK_U64(found->first, ==, 7);
    CHECK_U64(found->second, ==, 9);
    CHECK_U64(found->first_bytes[0], ==, 'h');
    CHECK_U64(found->second_bytes[0], ==, 'X');
}

static void test_shown_conflicts_are_bounded_and_all_counted(void **state)
{
    (void)state;
    enum { N = 50 };
    rom_writes list = {0};
    rom_writes merged = {0};
    rom_conflicts conflicts = {0};
    for (uint32_t i = 0; i < N; i++) {
        add(&list, UINT64_C(10) * i, "a", 1);
        add(&list, UINT64_C(10) * i, "b", 2);
    }
    CHECK_OK(rom_writes_merge(&list, arena, &merged, &conflicts));
    CHECK_U64(conflicts.total, ==, N);
    CHECK_U64(conflicts.shown, ==, ROM_CONFLICTS_SHOWN);
    CHECK_U64(conflicts.items[ROM_CONFLICTS_SHOWN - 1].offset, ==, 10 * (ROM_CONFLICTS_SHOWN - 1));
}

/* Against an image in which every byte remembers its first value and whether all agreed. */
static void test_random_lists_against_oracle(void **state)
{
    (void)state;
    enum { SPACE = 251, ROUNDS = 3000, WRITES = 24 };
    uint64_t seed = check_seed();
    for (int round = 0; round < ROUNDS; round++) {
        brisk_arena_reset(arena);
        uint8_t pool[SPACE];
        int value[SPACE];
        bool wrong[SPACE] = {false};
        for (int i = 0; i < SPACE; i++) {
            pool[i] = (uint8_t)i;
            value[i] = -1;
        }
        uint8_t other[WRITES][SPACE];
        bool contradicts = round % 2 == 0;
        rom_writes list = {0};
        uint32_t count = 1 + (uint32_t)(check_random(&seed) % WRITES);
        for (uint32_t w = 0; w < count; w++) {
            uint32_t offset = (uint32_t)(check_random(&seed) % SPACE);
            uint32_t size = 1 + (uint32_t)(check_random(&seed) % (SPACE - offset));
            size = check_random(&seed) % 2 == 0 && size > 9 ? 9 : size;
            memcpy(other[w], pool, SPACE);
            if (contradicts && check_random(&seed) % 4 == 0) {
                other[w][offset + check_random(&seed) % size] ^= 0x80;
            }
            for (uint32_t i = offset; i < offset + size; i++) {
                wrong[i] = wrong[i] || (value[i] >= 0 && value[i] != other[w][i]);
                value[i] = other[w][i];
            }
            CHECK_OK(rom_writes_add(
                &list, arena,
                &(rom_write){
                    .offset = offset, .bytes = other[w] + offset, .size = size, .owner = w}));
        }
        rom_writes merged = {0};
        rom_conflicts conflicts = {0};
        CHECK_OK(rom_writes_merge(&list, arena, &merged, &conflicts));
        CHECK(rom_writes_is_disjoint(&merged));
        bool any = false;
        uint64_t written = 0;
        for (int i = 0; i < SPACE; i++) {
            any = any || wrong[i];
            written += value[i] >= 0;
        }
        CHECK((conflicts.total != 0) == any);
        CHECK_U64(rom_writes_bytes(&merged), ==, written);
        for (uint32_t i = 0; i < conflicts.shown; i++) {
            const rom_conflict *c = &conflicts.items[i];
            for (uint32_t b = 0; b < c->size; b++) {
                CHECK(wrong[c->offset + b]);
                CHECK(c->first_bytes[b] != c->second_bytes[b]);
            }
        }
        if (!any) {
            uint8_t image[SPACE] = {0};
            rom_writes_apply(&merged, image, SPACE);
            for (int i = 0; i < SPACE; i++) {
                CHECK_U64(image[i], ==, value[i] >= 0 ? value[i] : 0);
            }
        }
    }
}

static void test_changes_give_the_image_back(void **state)
{
    (void)state;
    enum { SIZE = 5000, ROUNDS = 200 };
    uint64_t seed = check_seed();
    for (int round = 0; round < ROUNDS; round++) {
        brisk_arena_reset(arena);
        uint8_t before[SIZE];
        uint8_t after[SIZE];
        for (int i = 0; i < SIZE; i++) {
            before[i] = (uint8_t)check_random(&seed);
        }
        memcpy(after, before, SIZE);
        uint64_t before_size = check_random(&seed) % SIZE;
        uint64_t after_size = check_random(&seed) % SIZE;
        for (int i = 0; i < 20; i++) {
            after[check_random(&seed) % SIZE] ^= (uint8_t)(1 + check_random(&seed) % 255);
        }
        rom_writes list = {0};
        uint32_t start =
            (uint32_t)(check_random(&seed) % (before_size + 1)); /* nothing new before */
        memcpy(after, before, start);
        if (after_size > start) {
            rom_write whole = {start, after + start, (uint32_t)after_size - start, 3};
            rom_bytes image = {.data = before, .size = before_size};
            CHECK_OK(rom_writes_add_changes(&list, arena, &whole, &image));
        }
        CHECK(rom_writes_is_disjoint(&list));
        CHECK_U64(rom_writes_end(&list), <=, after_size);
        uint8_t image[SIZE] = {0};
        memcpy(image, before, before_size);
        rom_writes_apply(&list, image, SIZE);
        CHECK(memcmp(image, after, after_size) == 0);
        for (size_t i = 0; i < list.count; i++) {
            const rom_write *w = &list.items[i];
            for (uint64_t b = w->offset; b < w->offset + w->size && b < before_size; b++) {
                CHECK(before[b] != after[b]);
            }
        }
    }
}

static void test_override_wins_and_keeps_the_rest(void **state)
{
    (void)state;
    enum { SPACE = 97, ROUNDS = 2000 };
    uint64_t seed = check_seed();
    static const char LOWER[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    static const char UPPER[] = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
    for (int round = 0; round < ROUNDS; round++) {
        brisk_arena_reset(arena);
        char oracle[SPACE + 40] = {0};
        rom_writes layer[2] = {{0}, {0}};
        for (int l = 0; l < 2; l++) {
            rom_writes list = {0};
            rom_conflicts none = {0};
            for (uint64_t n = check_random(&seed) % 8; n > 0; n--) {
                uint64_t at = check_random(&seed) % SPACE;
                uint32_t size = 1 + (uint32_t)(check_random(&seed) % 20);
                const char *from = l == 0 ? LOWER : UPPER;
                memcpy(oracle + at, from, size);
                CHECK_OK(rom_writes_add(&list, arena,
                                        &(rom_write){.offset = at,
                                                     .bytes = (const uint8_t *)from,
                                                     .size = size,
                                                     .owner = (uint32_t)l}));
            }
            CHECK_OK(rom_writes_merge(&list, arena, &layer[l], &none));
            CHECK_U64(none.total, ==, 0);
        }
        rom_writes both = {0};
        CHECK_OK(rom_writes_override(&layer[0], &layer[1], arena, &both));
        CHECK(rom_writes_is_disjoint(&both));
        uint8_t image[SPACE + 40] = {0};
        rom_writes_apply(&both, image, sizeof image);
        CHECK(memcmp(image, oracle, sizeof image) == 0);
    }
}

/* Claims on random places of an image, some right, some wrong: only the wrong bytes stay. */
static void test_changes_leave_out_what_is_there_already(void **state)
{
    (void)state;
    enum { SIZE = 300, ROUNDS = 500 };
    uint64_t seed = check_seed();
    for (int round = 0; round < ROUNDS; round++) {
        brisk_arena_reset(arena);
        uint8_t image[SIZE];
        uint8_t wanted[SIZE];
        for (int i = 0; i < SIZE; i++) {
            image[i] = (uint8_t)check_random(&seed);
            wanted[i] = check_random(&seed) % 3 == 0 ? (uint8_t)(image[i] + 1) : image[i];
        }
        uint64_t size = check_random(&seed) % SIZE;
        uint64_t at = check_random(&seed) % SIZE;
        rom_write write = {
            .offset = at, .bytes = wanted + at, .size = (uint32_t)(SIZE - at), .owner = 1};
        rom_writes kept = {0};
        CHECK_OK(rom_writes_add_changes(&kept, arena, &write,
                                        &(rom_bytes){.data = image, .size = size}));
        CHECK(rom_writes_is_disjoint(&kept));
        uint64_t expected = 0;
        for (uint64_t i = at; i < SIZE; i++) {
            expected += i >= size || image[i] != wanted[i];
        }
        CHECK_U64(rom_writes_bytes(&kept), ==, expected);
        rom_writes_apply(&kept, image, SIZE);
        CHECK(memcmp(image + at, wanted + at, SIZE - at) == 0);
    }
}

static void test_arena_may_be_exhausted(void **state)
{
    (void)state;
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_arena *small = NULL;
        err = brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 4096, .alloc = &fault.base},
                                 &small);
        rom_writes list = {0};
        rom_writes merged = {0};
        rom_conflicts conflicts = {0};
        for (uint32_t i = 0; err == BRISK_OK && i < 1000; i++) {
            rom_write write = {
                .offset = UINT64_C(2) * i, .bytes = (const uint8_t *)"x", .size = 1, .owner = i};
            err = rom_writes_add(&list, small, &write);
        }
        if (err == BRISK_OK) {
            err = rom_writes_merge(&list, small, &merged, &conflicts);
        }
        brisk_arena_destroy(small);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    assert_int_equal(err, BRISK_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_value_is_fine),
        cmocka_unit_test(test_neighbours_do_not_conflict),
        cmocka_unit_test(test_one_byte_conflict_is_found),
        cmocka_unit_test(test_shown_conflicts_are_bounded_and_all_counted),
        cmocka_unit_test(test_random_lists_against_oracle),
        cmocka_unit_test(test_changes_give_the_image_back),
        cmocka_unit_test(test_override_wins_and_keeps_the_rest),
        cmocka_unit_test(test_changes_leave_out_what_is_there_already),
        cmocka_unit_test(test_arena_may_be_exhausted),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
