/*
 * test_bps.c -- BPS: the four actions, cursors, self-overlap, CRC32s, bounds, damage.
 */
#include "rom/patch_kit.h"

/* A target that needs every action, and a patch that uses them. */
static void make(kit_bytes *source, kit_bytes *target, kit_bytes *patch)
{
    kit_text(source, "abcdefghijklmnopqrstuvwxyz");
    kit_text(target, "abcdefXYZuvwxyzabcdXYZXYZXYZX________!");
    kit_bps bps = kit_bps_begin(patch, source->size, target->size, "<?xml?>");
    kit_bps_action(&bps, 0, 6);      /* abcdef */
    kit_bps_literal(&bps, "XYZ", 3); /* XYZ */
    kit_bps_copy(&bps, 2, 20, 6);    /* uvwxyz */
    kit_bps_copy(&bps, 2, 0, 4);     /* abcd: backwards */
    kit_bps_copy(&bps, 3, 6, 3);     /* XYZ, from the target */
    kit_bps_copy(&bps, 3, 19, 7);    /* XYZXYZX: runs into itself */
    kit_bps_literal(&bps, "_", 1);
    kit_bps_copy(&bps, 3, 29, 7); /* _______ */
    kit_bps_literal(&bps, "!", 1);
    kit_crcs(patch, source, target);
}

static void test_every_action(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES patch = {0};
    make(&source, &target, &patch);
    for (size_t buffer = 0; buffer < 50; buffer++) {
        kit_expect(&patch, &source, &target, &(kit_run){.buffer_bytes = buffer});
    }
}

static void test_metadata(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES bytes = {0};
    make(&source, &target, &bytes);
    rom_bytes file = kit_view("test.bps", &bytes);
    rom_patch patch;
    CHECK_OK(rom_patch_open(&file, NULL, &patch, NULL));
    CHECK_U64(patch.metadata_size, ==, 7);
    assert_memory_equal(patch.metadata, "<?xml?>", 7);
    CHECK_U64(patch.source_size, ==, source.size);
    CHECK_U64(patch.target_size, ==, target.size);
    CHECK_U64(patch.source_crc32, ==, kit_crc32(source.data, source.size));
    CHECK_U64(patch.target_crc32, ==, kit_crc32(target.data, target.size));
    rom_patch_close(&patch);
}

static void test_wrong_and_already_patched(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES patch = {0};
    make(&source, &target, &patch);
    kit_expect_error(&patch, &target, NULL, BRISK_ERR_MISMATCH, "already is what this patch makes");
    source.data[25] = '?';
    target.data[14] = '?';
    kit_expect_error(&patch, &source, NULL, BRISK_ERR_MISMATCH,
                     "this patch is for a ROM with CRC32 4C2750BD (26 bytes), test.rom has CRC32");
    kit_expect(&patch, &source, &target, &(kit_run){.fit = {.force = true}});
    source.size = 20;
    kit_expect_error(&patch, &source, &(kit_run){.fit = {.force = true}}, BRISK_ERR_CORRUPT,
                     "copy from beyond the end of the source");
}

static void test_behind_a_copier_header(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    KIT_BYTES patch = {0};
    KIT_BYTES headed_source = {0};
    KIT_BYTES headed_target = {0};
    make(&source, &target, &patch);
    for (size_t i = 0; i < 512; i++) {
        kit_byte(&headed_source, i);
        kit_byte(&headed_target, i);
    }
    kit_add(&headed_source, source.data, source.size);
    kit_add(&headed_target, target.data, target.size);
    for (size_t buffer = 1; buffer < 600; buffer += 37) {
        kit_expect(&patch, &headed_source, &headed_target,
                   &(kit_run){.copier_bytes = 512, .buffer_bytes = buffer});
    }
    /* A patch made for the file with its header, applied to the bare ROM: said, not done. */
    patch.size = 0;
    uint64_t random = check_seed();
    kit_bps_make(&patch, &headed_source, &headed_target, &random);
    kit_expect(&patch, &headed_source, &headed_target, &(kit_run){.copier_bytes = 512});
    kit_expect_error(&patch, &source, NULL, BRISK_ERR_MISMATCH, "for a ROM with a copier header");
}

/* Actions made by hand for a source and a target of ten bytes, CRC32s right. */
static void expect_inside(const char *actions, size_t size, const char *words)
{
    KIT_BYTES source = {0};
    KIT_BYTES patch = {0};
    kit_text(&source, "0123456789");
    (void)kit_bps_begin(&patch, source.size, source.size, "");
    kit_add(&patch, actions, size);
    kit_crcs(&patch, &source, &source);
    kit_expect_error(&patch, &source, NULL, BRISK_ERR_CORRUPT, words);
}

#define A(kind, length) (char)(0x80 | ((length)-1) << 2 | (kind))

static void test_actions_are_bounded(void **state)
{
    (void)state;
    expect_inside((char[]){A(0, 11)}, 1, "the action at offset 0x7 makes more than the 10 bytes");
    expect_inside((char[]){A(0, 9)}, 1, "the actions make 9 bytes, the patch declares 10");
    expect_inside("", 0, "the actions make 0 bytes");
    expect_inside((char[]){A(1, 3), 'a', 'b'}, 3, "more literal bytes than the patch has");
    expect_inside((char[]){A(2, 3), (char)0x81}, 2, "the actions make 3 bytes"); /* -0 is 0 */
}

static void test_cursors_are_bounded(void **state)
{
    (void)state;
    expect_inside((char[]){A(2, 3), (char)(0x80 | 1 << 1 | 1)}, 2, "copy from before the start");
    expect_inside((char[]){A(2, 3), (char)(0x80 | 8 << 1)}, 2, "beyond the end of the source");
    expect_inside((char[]){A(3, 3), (char)(0x80 | 0 << 1)}, 2, "beyond what was written");
    expect_inside((char[]){A(0, 3), A(3, 3), (char)(0x80 | 3 << 1)}, 3, "beyond what was written");
    expect_inside((char[]){A(2, 3)}, 1, "ends inside the distance at offset 0x8");
    expect_inside("\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\xff", 11,
                  "the action at offset 0x7 is too large a number");
    expect_inside("\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\xff", 10, "is too large a number");
    expect_inside("\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\xff", 9, "makes more than the 10 bytes");
}

static void test_declared_sizes(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES patch = {0};
    kit_text(&source, "0123456789");
    kit_bps bps = kit_bps_begin(&patch, source.size, (size_t)1 << 32, "");
    kit_bps_action(&bps, 0, 10);
    kit_crcs(&patch, &source, &source);
    kit_expect_error(&patch, &source, NULL, BRISK_ERR_LIMIT, "declares a ROM of 4294967296 bytes");
    patch.size = 0;
    bps = kit_bps_begin(&patch, source.size, ROM_BYTES_MAX, "");
    kit_bps_action(&bps, 0, 10);
    kit_crcs(&patch, &source, &source);
    kit_expect_error(&patch, &source, NULL, BRISK_ERR_CORRUPT,
                     "the actions make 10 bytes, the patch declares 268435456");
    patch.size = 0;
    kit_text(&patch, "BPS1");
    kit_varint(&patch, 10);
    kit_varint(&patch, 10);
    kit_varint(&patch, 1000);
    kit_crcs(&patch, &source, &source);
    kit_expect_error(&patch, &source, NULL, BRISK_ERR_CORRUPT, "metadata larger than the patch");
    for (size_t metadata = 0; metadata < 5; metadata++) { /* there are two bytes of it */
        KIT_BYTES nothing = {0};
        patch.size = 0;
        kit_text(&patch, "BPS1");
        kit_varint(&patch, 0);
        kit_varint(&patch, 0);
        kit_varint(&patch, metadata);
        kit_text(&patch, "ab");
        kit_crcs(&patch, &nothing, &nothing);
        if (metadata == 2) {
            kit_expect(&patch, &nothing, &nothing, NULL);
        } else {
            kit_expect_error(&patch, &nothing, NULL, BRISK_ERR_CORRUPT,
                             metadata < 2 ? "" : "metadata larger than the patch");
        }
    }
}

static void test_numbers_of_ten_bytes(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES patch = {0};
    kit_text(&patch, "BPS1");
    kit_varint(&patch, UINT64_MAX);
    CHECK_U64(patch.size, ==, 4 + 10);
    kit_varint(&patch, 0);
    kit_crcs(&patch, &source, &source);
    kit_expect_error(&patch, &source, NULL, BRISK_ERR_LIMIT,
                     "declares a ROM of 18446744073709551615 bytes");
}

static void test_wrong_result(void **state)
{
    (void)state;
    KIT_BYTES source = {0};
    KIT_BYTES other = {0};
    KIT_BYTES patch = {0};
    kit_text(&source, "0123456789");
    kit_text(&other, "9876543210");
    kit_bps bps = kit_bps_begin(&patch, source.size, source.size, "");
    kit_bps_action(&bps, 0, 10);
    kit_crcs(&patch, &source, &other);
    kit_expect_error(&patch, &source, NULL, BRISK_ERR_CORRUPT, "the patch was made wrong");
}

static void test_empty(void **state)
{
    (void)state;
    KIT_BYTES nothing = {0};
    KIT_BYTES patch = {0};
    (void)kit_bps_begin(&patch, 0, 0, "");
    kit_crcs(&patch, &nothing, &nothing);
    kit_expect(&patch, &nothing, &nothing, NULL);
}

/* Long repetitions of every period, through buffers of other sizes, and as writes. */
static void test_repetitions(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (size_t period = 1; period < 400; period += 1 + period / 7) {
        KIT_BYTES source = {0};
        KIT_BYTES target = {0};
        KIT_BYTES patch = {0};
        kit_random(&source, 1000, &random);
        kit_random(&target, period, &random);
        size_t length = 1 + check_random(&random) % 3000;
        for (size_t i = 0; i < length; i++) {
            kit_byte(&target, target.data[target.size - period]);
        }
        kit_bps bps = kit_bps_begin(&patch, source.size, target.size, "");
        kit_bps_literal(&bps, target.data, period);
        kit_bps_copy(&bps, 3, 0, length);
        kit_crcs(&patch, &source, &target);
        kit_expect(&patch, &source, &target, &(kit_run){.buffer_bytes = 1 + period % 64});
        kit_expect(&patch, &source, &target, NULL);
    }
}

/* A period longer than a pattern, and a fill much longer than one. */
static void test_large_repetitions(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    const size_t periods[] = {1, 3, 65535, 65536, 65537, 100000};
    for (size_t i = 0; i < sizeof periods / sizeof periods[0]; i++) {
        size_t period = periods[i];
        KIT_BYTES source = {0};
        KIT_BYTES target = {0};
        KIT_BYTES patch = {0};
        kit_random(&source, 50000, &random);
        kit_add(&target, source.data, 10);
        kit_random(&target, period, &random);
        for (size_t j = 0; j < 700001; j++) {
            kit_byte(&target, target.data[target.size - period]);
        }
        kit_bps bps = kit_bps_begin(&patch, source.size, target.size, "");
        kit_bps_action(&bps, 0, 10);
        kit_bps_literal(&bps, target.data + 10, period);
        kit_bps_copy(&bps, 3, 10, 700001);
        kit_crcs(&patch, &source, &target);
        kit_expect(&patch, &source, &target, NULL);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (int round = 0; round < 300; round++) {
        KIT_BYTES source = {0};
        KIT_BYTES target = {0};
        KIT_BYTES patch = {0};
        kit_random(&source, check_random(&random) % 2000, &random);
        kit_mutate(&source, &target, &random);
        kit_bps_make(&patch, &source, &target, &random);
        kit_expect(&patch, &source, &target, &(kit_run){.buffer_bytes = 1 + (size_t)round * 5});
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
    size_t accepted = 0;
    for (size_t bit = 32; bit < (patch.size - 4) * 8; bit++) {
        KIT_BYTES flipped = {0};
        KIT_BYTES made = {0};
        kit_add(&flipped, patch.data, patch.size - 4);
        flipped.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        kit_le32(&flipped, kit_crc32(flipped.data, flipped.size));
        if (kit_apply(&flipped, &source, NULL, &made, NULL) == BRISK_OK) {
            accepted++; /* only the metadata is free */
            CHECK_U64(made.size, ==, target.size);
            assert_memory_equal(made.data, target.data, made.size);
        }
        (void)kit_apply(&flipped, &source, &(kit_run){.fit = {.force = true}}, &made, NULL);
    }
    CHECK_U64(accepted, >=, 7 * 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_action),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_wrong_and_already_patched),
        cmocka_unit_test(test_behind_a_copier_header),
        cmocka_unit_test(test_actions_are_bounded),
        cmocka_unit_test(test_cursors_are_bounded),
        cmocka_unit_test(test_declared_sizes),
        cmocka_unit_test(test_numbers_of_ten_bytes),
        cmocka_unit_test(test_wrong_result),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_repetitions),
        cmocka_unit_test(test_large_repetitions),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_torture_and_starvation),
        cmocka_unit_test(test_torture_with_right_crc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
