/*
 * test_output.c -- the writer against a plain buffer: any mix of calls, any buffer size; limits,
 * full disks, checksums fixed at the end.
 */
#include <fcntl.h>

#include "rom/patch_kit.h"

static int memory_file(void)
{
    int fd = memfd_create("output", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void check_result(int fd, const kit_bytes *expected, const rom_output_result *result,
                         uint32_t skip)
{
    KIT_BYTES made = {0};
    kit_read_fd(fd, &made);
    CHECK_U64(made.size, ==, expected->size);
    CHECK(made.size == 0 || memcmp(made.data, expected->data, made.size) == 0);
    brisk_hash128 hash = brisk_hash128_of(made.data, made.size, 0);
    CHECK(memcmp(&hash, &result->content, sizeof hash) == 0);
    CHECK_U64(result->size, ==, expected->size);
    CHECK_U64(result->file_crc32, ==, kit_crc32(expected->data, expected->size));
    CHECK_U64(result->rom_crc32, ==, kit_crc32(expected->data + skip, expected->size - skip));
}

/* What to append next, done to the expected bytes; replayed on the output afterwards. */
typedef struct step {
    unsigned kind;
    size_t from;
    size_t size;
} step;

enum { STEPS = 60 };

static void plan(step steps[STEPS], kit_bytes *expected, uint64_t *random)
{
    for (int i = 0; i < STEPS; i++) {
        step next = {.kind = (unsigned)(check_random(random) % 3),
                     .size = check_random(random) % (check_random(random) % 4 == 0 ? 900 : 40)};
        if (expected->size == 0) {
            next.kind = 0;
        }
        if (next.kind == 0) {
            next.from = expected->size;
            kit_random(expected, next.size, random);
        } else if (next.kind == 1) {
            next.from = check_random(random) & 0xff;
            for (size_t j = 0; j < next.size; j++) {
                kit_byte(expected, next.from);
            }
        } else {
            next.from = check_random(random) % expected->size;
            for (size_t j = 0; j < next.size; j++) {
                kit_byte(expected, expected->data[next.from + j]);
            }
        }
        steps[i] = next;
    }
}

static void replay(rom_output *output, const step steps[STEPS], const kit_bytes *expected)
{
    for (int i = 0; i < STEPS; i++) {
        const step *next = &steps[i];
        brisk_err err =
            next->kind == 0
                ? rom_output_write(output, expected->data + next->from, next->size, NULL)
            : next->kind == 1 ? rom_output_fill(output, (uint8_t)next->from, next->size, NULL)
                              : rom_output_repeat(output, next->from, next->size, NULL);
        CHECK_OK(err);
    }
    CHECK_U64(rom_output_written(output), ==, expected->size);
}

static void test_any_mix(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (int round = 0; round < 300; round++) {
        step steps[STEPS];
        KIT_BYTES expected = {0};
        plan(steps, &expected, &random);
        uint32_t skip = (uint32_t)(check_random(&random) % (expected.size + 1));
        rom_output_opts opts = {.name = "out",
                                .size = expected.size,
                                .skip = skip,
                                .sums = round % 2 == 0,
                                .buffer_bytes = 1 + check_random(&random) % 300};
        int fd = memory_file();
        BRISK_CLEANUP(rom_output_destroy) rom_output *output = NULL;
        CHECK_OK(rom_output_create(fd, &opts, &output, NULL));
        replay(output, steps, &expected);
        rom_output_result result;
        CHECK_OK(rom_output_finish(output, &result, NULL));
        check_result(fd, &expected, &result, skip);
        rom_output_result again;
        CHECK_OK(rom_output_finish(output, &again, NULL)); /* asking twice is fine */
        CHECK_U64(again.file_crc32, ==, result.file_crc32);
        (void)close(fd);
    }
}

static void test_sizes_are_kept(void **state)
{
    (void)state;
    int fd = memory_file();
    BRISK_CLEANUP(rom_output_destroy) rom_output *output = NULL;
    brisk_errinfo info;
    rom_output_opts opts = {.name = "out.sfc", .size = 10};
    CHECK_OK(rom_output_create(fd, &opts, &output, &info));
    CHECK_OK(rom_output_write(output, "12345", 5, &info));
    CHECK(rom_output_write(output, "123456", 6, &info) == BRISK_ERR_CORRUPT);
    CHECK(rom_output_fill(output, 0, UINT64_MAX, &info) == BRISK_ERR_CORRUPT);
    CHECK(rom_output_repeat(output, 5, 1, &info) == BRISK_ERR_CORRUPT);
    assert_non_null(strstr(info.text, "out.sfc: repeats offset 0x5"));
    CHECK(rom_output_repeat(output, 0, 6, &info) == BRISK_ERR_CORRUPT);
    rom_output_result result;
    CHECK(rom_output_finish(output, &result, &info) == BRISK_ERR_CORRUPT);
    assert_non_null(strstr(info.text, "out.sfc: only 5 of 10 bytes were produced"));
    rom_output *none = NULL;
    opts.size = (uint64_t)ROM_BYTES_MAX + 1;
    CHECK(rom_output_create(fd, &opts, &none, &info) == BRISK_ERR_LIMIT);
    CHECK(none == NULL);
    (void)close(fd);
}

static void test_full_disk(void **state)
{
    (void)state;
    int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        skip();
    }
    BRISK_CLEANUP(rom_output_destroy) rom_output *output = NULL;
    brisk_errinfo info;
    rom_output_opts opts = {.name = "out.sfc", .size = 10};
    CHECK_OK(rom_output_create(fd, &opts, &output, &info));
    CHECK_OK(rom_output_fill(output, 1, 10, &info));
    rom_output_result result;
    CHECK(rom_output_finish(output, &result, &info) == BRISK_ERR_FULL);
    assert_non_null(strstr(info.text, "out.sfc: cannot write at offset 0x0"));
    (void)close(fd);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    int fd = memory_file();
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        rom_output *output = NULL;
        err = rom_output_create(
            fd, &(rom_output_opts){.name = "out", .size = 1, .alloc = &fault.base}, &output, NULL);
        CHECK((output != NULL) == (err == BRISK_OK));
        rom_output_destroy(output);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
    (void)close(fd);
}

static void snes_rom(kit_bytes *bytes, size_t copier, size_t size, uint64_t *random)
{
    kit_random(bytes, copier + size, random);
    uint8_t *rom = bytes->data + copier;
    memcpy(rom + 0x7fc0, "CHECKED GAME         ", 21);
    memcpy(rom + 0x7fd5, (const uint8_t[]){0x20, 0x00, 0x09, 0x00, 0x01, 0x33, 0x00}, 7);
    memcpy(rom + 0x7ffc, (const uint8_t[]){0x00, 0x80}, 2);
    rom[0] = 0x78;
}

/* `skip` right or wrong, sums taken or not: the result is the same and fully known. */
static void check_fix(size_t copier, uint32_t skip, bool sums, uint64_t *random)
{
    KIT_BYTES bytes = {0};
    snes_rom(&bytes, copier, 0x18000, random);
    int fd = memory_file();
    BRISK_CLEANUP(rom_output_destroy) rom_output *output = NULL;
    rom_output_opts opts = {.name = "out", .size = bytes.size, .skip = skip, .sums = sums};
    CHECK_OK(rom_output_create(fd, &opts, &output, NULL));
    CHECK_OK(rom_output_write(output, bytes.data, bytes.size, NULL));
    rom_output_result result;
    CHECK_OK(rom_output_finish(output, &result, NULL));
    rom_info info;
    CHECK_OK(rom_output_fix_checksums(output, &result, &info, NULL));
    CHECK_U64(result.fix_count, ==, 1);
    CHECK_U64(info.copier_bytes, ==, copier);
    CHECK_U64(info.checksums[0].stored, ==, info.checksums[0].computed);
    KIT_BYTES made = {0};
    kit_read_fd(fd, &made);
    size_t pair = copier + 0x7fdc;
    CHECK(memcmp(made.data, bytes.data, pair) == 0);
    CHECK(memcmp(made.data + pair + 4, bytes.data + pair + 4, made.size - pair - 4) == 0);
    rom_bytes file = kit_view("made", &made);
    rom_checksums_compute(&file, NULL, &info);
    CHECK_U64(info.checksums[0].computed, ==, rom_le16(made.data + pair + 2));
    CHECK_U64(info.checksums[1].computed, ==, rom_le16(made.data + pair));
    check_result(fd, &made, &result, skip);
    CHECK_OK(rom_output_fix_checksums(output, &result, NULL, NULL));
    CHECK_U64(result.fix_count, ==, 1); /* nothing left to do */
    (void)close(fd);
}

static void test_fix_checksums(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    check_fix(0, 0, true, &random);
    check_fix(0, 0, false, &random);
    check_fix(512, 512, true, &random);
    check_fix(512, 512, false, &random);
    check_fix(512, 0, true, &random);
}

static void test_nothing_to_fix(void **state)
{
    (void)state;
    for (size_t size = 0; size < 3; size++) {
        int fd = memory_file();
        BRISK_CLEANUP(rom_output_destroy) rom_output *output = NULL;
        rom_output_opts opts = {.name = "out", .size = size, .sums = true};
        CHECK_OK(rom_output_create(fd, &opts, &output, NULL));
        CHECK_OK(rom_output_fill(output, 1, size, NULL));
        rom_output_result result;
        CHECK_OK(rom_output_finish(output, &result, NULL));
        rom_info info;
        CHECK_OK(rom_output_fix_checksums(output, &result, &info, NULL));
        CHECK_U64(result.fix_count, ==, 0);
        CHECK(info.system == ROM_SYSTEM_UNKNOWN);
        (void)close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_mix),       cmocka_unit_test(test_sizes_are_kept),
        cmocka_unit_test(test_full_disk),     cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_fix_checksums), cmocka_unit_test(test_nothing_to_fix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
