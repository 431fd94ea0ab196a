/*
 * test_ips.c -- IPS: records, runs, truncation, the end mark as an offset, overlaps, junk.
 */
#include "rom/patch_kit.h"

static void source_of(kit_bytes *source, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        kit_byte(source, i * 7);
    }
}

static void test_records_and_runs(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES patch = {0};
    source_of(&source, 100);
    kit_add(&target, source.data, source.size);
    memcpy(target.data + 10, "abc", 3);
    memset(target.data + 50, 'x', 20);
    kit_ips_begin(&patch);
    kit_ips_record(&patch, 10, "abc", 3);
    kit_ips_fill(&patch, 50, 20, 'x');
    kit_ips_end(&patch);
    kit_expect(&patch, &source, &target, NULL);
}

static void test_extends_with_a_gap_of_zeros(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES patch = {0};
    source_of(&source, 4);
    kit_add(&target, source.data, 4);
    kit_add(&target, "\0\0\0\0zz", 6);
    kit_ips_begin(&patch);
    kit_ips_record(&patch, 8, "zz", 2);
    kit_ips_end(&patch);
    kit_expect(&patch, &source, &target, NULL);
}

static void expect_cut(size_t source_size, size_t write_end, size_t cut, size_t expected)
{
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES patch = {0};
    source_of(&source, source_size);
    kit_add(&target, source.data, source.size);
    while (target.size < write_end) {
        kit_byte(&target, 0);
    }
    target.data[write_end - 1] = 'w';
    target.size = expected;
    kit_ips_begin(&patch);
    kit_ips_record(&patch, write_end - 1, "w", 1);
    kit_ips_end(&patch);
    kit_be(&patch, cut, 3);
    kit_expect(&patch, &source, &target, NULL);
}

static void test_truncation(void **state)
{
    (void)state;
    expect_cut(100, 50, 60, 60);
    expect_cut(100, 50, 100, 100);
    expect_cut(100, 50, 200, 100); /* never longer */
    expect_cut(100, 50, 20, 20);   /* also what the patch itself wrote */
    expect_cut(10, 50, 30, 30);
    expect_cut(100, 50, 0, 0);
}

static void test_end_mark_as_offset(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES patch = {0};
    source.data = calloc(1, 0x454f60);
    source.size = 0x454f60;
    kit_add(&target, source.data, source.size);
    memcpy(target.data + 0x454f46, "hello", 5);
    target.data[0x454f50] = 1;
    kit_ips_begin(&patch);
    kit_ips_record(&patch, 0x454f46, "hello", 5);
    kit_ips_record(&patch, 0x454f50, "\1", 1);
    kit_ips_end(&patch);
    kit_expect(&patch, &source, &target, NULL);
    /* As the last record before the end, and with a truncation behind it. */
    patch.size = 0;
    target.data[0x454f50] = 0;
    target.size = 0x454f4b;
    kit_ips_begin(&patch);
    kit_ips_record(&patch, 0x454f46, "hello", 5);
    kit_ips_end(&patch);
    kit_be(&patch, 0x454f4b, 3);
    kit_expect(&patch, &source, &target, NULL);
}

static void test_junk_behind_the_end(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    source_of(&source, 100);
    for (size_t junk = 0; junk < 12; junk++) {
        KIT_BYTES patch = {0};
        kit_ips_begin(&patch);
        kit_ips_record(&patch, 8, "zz", 2);
        kit_ips_end(&patch);
        for (size_t i = 0; i < junk; i++) {
            kit_byte(&patch, 0x11);
        }
        if (junk != 0 && junk != 3) {
            kit_expect_error(&patch, &source, NULL, BRISK_ERR_CORRUPT,
                             "behind the end mark at offset 0xc");
        }
    }
    KIT_BYTES patch = {0};
    kit_ips_begin(&patch);
    kit_ips_end(&patch);
    kit_text(&patch, "{\"title\": \"EBP\"}");
    kit_expect_error(&patch, &source, NULL, BRISK_ERR_UNSUPPORTED, "EBP");
}

static void test_broken(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    source_of(&source, 100);
    KIT_BYTES patch = {0};
    kit_ips_begin(&patch);
    kit_expect_error(&patch, &source, NULL, BRISK_ERR_CORRUPT,
                     "without an end mark (EOF) at offset 0x5");
    kit_ips_record(&patch, 8, "zz", 2);
    patch.size--;
    kit_expect_error(&patch, &source, NULL, BRISK_ERR_CORRUPT, "inside a record at offset 0x5");
    patch.size = 0;
    kit_ips_begin(&patch);
    kit_ips_fill(&patch, 1, 0, 1);
    kit_ips_end(&patch);
    kit_expect_error(&patch, &source, NULL, BRISK_ERR_CORRUPT, "empty record at offset 0x5");
}

/* The last record wins, whatever the order; against an image that is simply written over. */
static void test_overlaps(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (int round = 0; round < 300; round++) {
        KIT_BYTES source = {0};
        KIT_BYTES target = {0};
        KIT_BYTES patch = {0};
        source_of(&source, 64);
        kit_add(&target, source.data, source.size);
        kit_ips_begin(&patch);
        size_t count = 1 + check_random(&random) % 40;
        for (size_t i = 0; i < count; i++) {
            uint8_t data[40];
            size_t size = 1 + check_random(&random) % sizeof data;
            size_t offset = check_random(&random) % 200;
            bool fills = check_random(&random) % 2 == 0;
            for (size_t j = 0; j < size; j++) {
                data[j] = (uint8_t)(fills ? i : check_random(&random));
            }
            while (target.size < offset + size) {
                kit_byte(&target, 0);
            }
            memcpy(target.data + offset, data, size);
            if (fills) {
                kit_ips_fill(&patch, offset, size, data[0]);
            } else {
                kit_ips_record(&patch, offset, data, size);
            }
        }
        kit_ips_end(&patch);
        kit_expect(&patch, &source, &target, NULL);
    }
}

/* Two records at every distance, near and far, in both orders. */
static void test_two_records(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    source_of(&source, 0x30000);
    const size_t bases[] = {0x20, 0x100, 0xfffc, 0x10000, 0x20100};
    for (size_t i = 0; i < 5 * 5 * 12; i++) {
        size_t first = bases[i % 5];
        size_t second = bases[i / 5 % 5] + i / 25 - 6;
        KIT_BYTES target = {0};
        KIT_BYTES patch = {0};
        kit_ips_begin(&patch);
        kit_ips_record(&patch, first, "ABCD", 4);
        kit_ips_record(&patch, second, "wxyz", 4);
        kit_ips_end(&patch);
        kit_add(&target, source.data, source.size);
        memcpy(target.data + first, "ABCD", 4);
        memcpy(target.data + second, "wxyz", 4);
        kit_expect(&patch, &source, &target, NULL);
    }
}

/* 200 000 runs of 64 KiB on one spot: 12 GiB if each were written. */
static void test_many_overlapping_runs_cost_no_bytes(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES patch = {0};
    source_of(&source, 16);
    kit_ips_begin(&patch);
    for (size_t i = 0; i < 200000; i++) {
        kit_ips_fill(&patch, i % 3, 0xffff, (uint8_t)i);
    }
    kit_ips_end(&patch);
    for (size_t i = 0; i < 0xffff + 2; i++) {
        /* numbers 199999, 199998, 199997 stand at 1, 0, 2 */
        kit_byte(&target, i == 0 ? 199998 : i <= 0xffff ? 199999 : 199997);
    }
    kit_expect(&patch, &source, &target, NULL);
}

static void test_round_trip(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (int round = 0; round < 300; round++) {
        KIT_BYTES source = {0};
        KIT_BYTES target = {0};
        KIT_BYTES patch = {0};
        kit_random(&source, check_random(&random) % 3000, &random);
        kit_mutate(&source, &target, &random);
        kit_ips(&patch, &source, &target);
        kit_expect(&patch, &source, &target, &(kit_run){.buffer_bytes = 1 + (size_t)round});
    }
}

static void test_copier_header(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES patch = {0};
    source_of(&source, 512 + 100);
    kit_ips_begin(&patch);
    kit_ips_record(&patch, 10, "abc", 3);
    kit_ips_end(&patch);
    kit_add(&target, source.data, source.size);
    memcpy(target.data + 10, "abc", 3);
    kit_expect(&patch, &source, &target, &(kit_run){.copier_bytes = 512});
    memcpy(target.data, source.data, target.size);
    memcpy(target.data + 522, "abc", 3);
    kit_expect(&patch, &source, &target,
               &(kit_run){.copier_bytes = 512, .fit = {.ips_skip = true}});
}

static void test_torture_and_starvation(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES patch = {0};
    source_of(&source, 100);
    kit_ips_begin(&patch);
    kit_ips_record(&patch, 40, "abcdef", 6);
    kit_ips_fill(&patch, 42, 20, 'x'); /* overlaps: flattened */
    kit_ips_end(&patch);
    kit_be(&patch, 90, 3);
    kit_torture(&patch, &source, true);
    kit_starve(&patch, &source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_and_runs),
        cmocka_unit_test(test_extends_with_a_gap_of_zeros),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_end_mark_as_offset),
        cmocka_unit_test(test_junk_behind_the_end),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_overlaps),
        cmocka_unit_test(test_two_records),
        cmocka_unit_test(test_many_overlapping_runs_cost_no_bytes),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_copier_header),
        cmocka_unit_test(test_torture_and_starvation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
