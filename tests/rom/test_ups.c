/*
 * test_ups.c -- UPS: sizes that grow and shrink, the way back, bounds, damage.
 */
#include "rom/patch_kit.h"

static void make(kit_bytes *source, kit_bytes *target, kit_bytes *patch)
{
    kit_text(source, "the quick brown fox jumps over the lazy dog");
    kit_text(target, "the slick brown cat jumps over the lazy dog, twice");
    kit_ups(patch, source, target);
}

static void test_grows(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES patch = {0};
    make(&source, &target, &patch);
    kit_expect(&patch, &source, &target, NULL);
}

static void test_shrinks(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES patch = {0};
    make(&target, &source, &patch);
    patch.size = 0;
    kit_ups(&patch, &source, &target);
    CHECK_U64(target.size, <, source.size);
    kit_expect(&patch, &source, &target, NULL);
}

static void test_already_patched_is_said(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES patch = {0};
    make(&source, &target, &patch);
    kit_expect_error(&patch, &target, NULL, BRISK_ERR_MISMATCH,
                     "test.rom already is what this patch makes");
}

static void test_other_rom_is_refused_and_forced(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES patch = {0};
    make(&source, &target, &patch);
    source.data[40] = 'D'; /* an equal byte of both */
    target.data[40] = 'D';
    kit_expect_error(&patch, &source, NULL, BRISK_ERR_MISMATCH,
                     "this patch is for a ROM with CRC32");
    kit_expect(&patch, &source, &target, &(kit_run){.fit = {.force = true}});
    source.size -= 3; /* a source that is too short goes on with zeros: nothing is read beyond */
    KIT_BYTES made = {0};
    CHECK_OK(kit_apply(&patch, &source, &(kit_run){.fit = {.force = true}}, &made, NULL));
    CHECK_U64(made.size, ==, target.size);
}

static void test_behind_a_copier_header(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES patch = {0};
    make(&source, &target, &patch);
    KIT_BYTES headed_source = {0};
    KIT_BYTES headed_target = {0};
    for (size_t i = 0; i < 512; i++) {
        kit_byte(&headed_source, i);
        kit_byte(&headed_target, i);
    }
    kit_add(&headed_source, source.data, source.size);
    kit_add(&headed_target, target.data, target.size);
    kit_expect(&patch, &headed_source, &headed_target, &(kit_run){.copier_bytes = 512});
    kit_expect_error(&patch, &headed_target, &(kit_run){.copier_bytes = 512}, BRISK_ERR_MISMATCH,
                     "already is");
}

/* Handmade patches with right CRC32s but wrong insides. */
static void expect_inside(const char *hunks, size_t size, const char *words)
{
    KIT_BYTES source = {0};
    KIT_BYTES patch = {0};
    kit_text(&source, "0123456789");
    kit_text(&patch, "UPS1");
    kit_varint(&patch, source.size);
    kit_varint(&patch, source.size);
    kit_add(&patch, hunks, size);
    kit_crcs(&patch, &source, &source);
    kit_expect_error(&patch, &source, NULL, BRISK_ERR_CORRUPT, words);
}

static void test_hunks_are_bounded(void **state)
{
    (void)state;
    expect_inside("\x80\1", 2, "hunk without an end at offset 0x6");
    expect_inside("\x8b\1\0", 3, "beyond the end of both files at offset 0x6");
    expect_inside("\x8a\1\0", 3, "beyond the end of both files at offset 0x6");
    expect_inside("\x89\1\1\0", 4, "beyond the end of both files");
    expect_inside("\x89\1\0\x80\1\0", 6, "beyond the end of both files at offset 0x9");
    expect_inside("\x7f", 1, "ends inside the skip at offset 0x6");
    expect_inside("\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x80\0", 12,
                  "the skip at offset 0x6 is too large a number");
    /* Legal: the last byte changes, its 0 stands behind the end.  The result is another one. */
    expect_inside("\x89\1\0", 3, "the result has CRC32");
}

static void test_declared_sizes(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES patch = {0};
    kit_text(&source, "0123456789");
    kit_text(&patch, "UPS1");
    kit_varint(&patch, source.size);
    kit_varint(&patch, UINT64_C(1) << 32);
    kit_crcs(&patch, &source, &source);
    kit_expect_error(&patch, &source, NULL, BRISK_ERR_LIMIT, "declares a ROM of 4294967296 bytes");
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
        kit_ups(&patch, &source, &target);
        kit_expect(&patch, &source, &target, &(kit_run){.buffer_bytes = 1 + (size_t)round * 7});
    }
}

static void test_torture_and_starvation(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES patch = {0};
    make(&source, &target, &patch);
    kit_torture(&patch, &source, false);
    kit_starve(&patch, &source);
}

/* Every bit flipped with the patch's CRC32 made right again: the insides are on their own. */
static void test_torture_with_right_crc(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES patch = {0};
    make(&source, &target, &patch);
    for (size_t bit = 32; bit < (patch.size - 4) * 8; bit++) {
        KIT_BYTES flipped = {0};
        KIT_BYTES made = {0};
        kit_add(&flipped, patch.data, patch.size - 4);
        flipped.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        kit_le32(&flipped, kit_crc32(flipped.data, flipped.size));
        CHECK(kit_apply(&flipped, &source, NULL, &made, NULL) != BRISK_OK);
        (void)kit_apply(&flipped, &source, &(kit_run){.fit = {.force = true}}, &made, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_shrinks),
        cmocka_unit_test(test_already_patched_is_said),
        cmocka_unit_test(test_other_rom_is_refused_and_forced),
        cmocka_unit_test(test_behind_a_copier_header),
        cmocka_unit_test(test_hunks_are_bounded),
        cmocka_unit_test(test_declared_sizes),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_torture_and_starvation),
        cmocka_unit_test(test_torture_with_right_crc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
