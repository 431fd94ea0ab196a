/*
 * test_checksum.c -- CRC32 arithmetic, digests, the consoles' sums against slow oracles.
 */
#include <string.h>

#include "rom/patch_kit.h"
#include "workload/rom/checksum.h"

static void test_crc32(void **state)
{
    (void)state;
    CHECK_U64(rom_crc32(0, "123456789", 9), ==, 0xcbf43926);
    CHECK_U64(rom_crc32(0, NULL, 0), ==, 0);
    CHECK_U64(rom_crc32(rom_crc32(0, "1234", 4), "56789", 5), ==, 0xcbf43926);
}

static void test_crc32_join(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (int round = 0; round < 500; round++) {
        KIT_BYTES bytes = {0};
        kit_random(&bytes, check_random(&random) % 5000, &random);
        size_t cut = bytes.size == 0 ? 0 : check_random(&random) % (bytes.size + 1);
        uint32_t first = kit_crc32(bytes.data, cut);
        uint32_t second = kit_crc32(bytes.data + cut, bytes.size - cut);
        CHECK_U64(rom_crc32_join(first, second, bytes.size - cut), ==,
                  kit_crc32(bytes.data, bytes.size));
    }
}

static void test_crc32_change(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (int round = 0; round < 500; round++) {
        KIT_BYTES bytes = {0};
        kit_random(&bytes, 4 + check_random(&random) % 5000, &random);
        rom_fix fix = {.size = 1 + (uint32_t)(check_random(&random) % 4)};
        fix.offset = check_random(&random) % (bytes.size - fix.size + 1);
        uint32_t before = kit_crc32(bytes.data, bytes.size);
        for (uint32_t i = 0; i < fix.size; i++) {
            fix.old_bytes[i] = bytes.data[fix.offset + i];
            fix.new_bytes[i] = (uint8_t)check_random(&random);
            bytes.data[fix.offset + i] = fix.new_bytes[i];
        }
        CHECK_U64(rom_crc32_change(before, &fix, bytes.size - fix.offset - fix.size), ==,
                  kit_crc32(bytes.data, bytes.size));
    }
}

static void check_sha1(const uint8_t digest[ROM_SHA1_BYTES], const char *expected)
{
    char hex[2 * ROM_SHA1_BYTES + 1];
    for (size_t i = 0; i < ROM_SHA1_BYTES; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    assert_string_equal(hex, expected);
}

static void test_digests(void **state)
{
    (void)state;
    KIT_BYTES bytes = {0};
    kit_text(&bytes, "0123abc");
    rom_bytes file = kit_view("test.rom", &bytes);
    rom_digests digests = rom_digests_of(&file, 4);
    CHECK_U64(digests.rom_crc32, ==, 0x352441c2);
    CHECK_U64(digests.file_crc32, ==, kit_crc32(bytes.data, bytes.size));
    check_sha1(digests.rom_sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    file = rom_bytes_behind(&file, 4);
    digests = rom_digests_of(&file, 0);
    check_sha1(digests.file_sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    check_sha1(digests.rom_sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    CHECK_U64(digests.file_crc32, ==, 0x352441c2);
    rom_digests crcs = rom_crcs(&file, 0);
    CHECK(crcs.file_crc32 == 0x352441c2 && crcs.rom_crc32 == 0x352441c2);
}

/* Which byte of a ROM of `size` the bus shows at `at`: halve until it fits, tails repeat. */
static uint64_t mirrored(uint64_t at, uint64_t size)
{
    uint64_t base = 0;
    uint64_t mask = UINT64_C(1) << 40;
    while (at >= size) {
        while ((at & mask) == 0) {
            mask >>= 1;
        }
        at -= mask;
        if (size > mask) {
            size -= mask;
            base += mask;
        }
        mask >>= 1;
    }
    return base + at;
}

static void check_sums(size_t size, uint64_t *random)
{
    KIT_BYTES bytes = {0};
    kit_random(&bytes, size, random);
    uint64_t space = 1;
    while (space < size) {
        space *= 2;
    }
    uint64_t expected = 0;
    uint64_t plain = 0;
    for (uint64_t at = 0; at < space; at++) {
        expected += bytes.data[mirrored(at, size)];
    }
    for (size_t at = 0; at < size; at++) {
        plain += bytes.data[at];
    }
    rom_sums sums;
    rom_sums_init(&sums, size);
    for (size_t at = 0; at < size;) {
        size_t part = 1 + check_random(random) % 2000;
        part = part < size - at ? part : size - at;
        rom_sums_update(&sums, bytes.data + at, part);
        at += part;
    }
    CHECK_U64(sums.mirrored, ==, expected);
    CHECK_U64(sums.plain, ==, plain);
}

static void test_sums(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (size_t size = 1; size < 300; size++) {
        check_sums(size, &random);
    }
    const size_t sizes[] = {4096, 5 * 512, 6 * 1024, 7 * 1024, 11 * 1024, 65536 + 4096, 99999};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        check_sums(sizes[i], &random);
    }
}

/* All bytes 0xff: the lanes of the fast sum are as full as they get. */
static void test_sums_do_not_overflow(void **state)
{
    (void)state;
    KIT_BYTES bytes = {0};
    for (size_t i = 0; i < 100003; i++) {
        kit_byte(&bytes, 0xff);
    }
    rom_sums sums;
    rom_sums_init(&sums, bytes.size);
    rom_sums_update(&sums, bytes.data, bytes.size);
    CHECK_U64(sums.plain, ==, UINT64_C(255) * 100003);
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

static void apply_fixes(kit_bytes *bytes, uint32_t expected)
{
    rom_bytes file = kit_view("test.rom", bytes);
    rom_info info;
    rom_detect(&file, &info);
    rom_checksums_compute(&file, NULL, &info);
    rom_fix fixes[ROM_FIXES_MAX];
    uint32_t count = rom_checksum_fixes(&file, &info, fixes);
    CHECK_U64(count, ==, expected);
    for (uint32_t i = 0; i < count; i++) {
        assert_memory_equal(bytes->data + fixes[i].offset, fixes[i].old_bytes, fixes[i].size);
        memcpy(bytes->data + fixes[i].offset, fixes[i].new_bytes, fixes[i].size);
    }
}

/* The fixed ROM's own sum, taken as the bus sees it, is what it says; a second fix does nothing. */
static void test_snes(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    const size_t sizes[] = {0x8000, 0x10000, 0x18000, 0x28000, 0x38000};
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = sizes[i / 2];
        size_t copier = i % 2 * 512;
        KIT_BYTES bytes = {0};
        snes_rom(&bytes, copier, size, &random);
        apply_fixes(&bytes, 1);
        const uint8_t *rom = bytes.data + copier;
        uint64_t sum = 0;
        uint64_t space = 1;
        while (space < size) {
            space *= 2;
        }
        for (uint64_t at = 0; at < space; at++) {
            sum += rom[mirrored(at, size)];
        }
        CHECK_U64(rom_le16(rom + 0x7fde), ==, sum & 0xffff);
        CHECK_U64(rom_le16(rom + 0x7fdc), ==, ~sum & 0xffff);
        apply_fixes(&bytes, 0);
    }
}

/* ExHiROM's header lies in the part that the bus shows twice. */
static void test_exhirom(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    KIT_BYTES bytes = {0};
    const size_t size = 0x600000;
    kit_random(&bytes, size, &random);
    uint8_t *rom = bytes.data;
    memcpy(rom + 0x40ffc0, "CHECKED GAME         ", 21);
    memcpy(rom + 0x40ffd5, (const uint8_t[]){0x25, 0x00, 0x0d, 0x00, 0x01, 0x33, 0x00}, 7);
    memcpy(rom + 0x40fffc, (const uint8_t[]){0x00, 0x80}, 2);
    rom[0x408000] = 0x78;
    apply_fixes(&bytes, 1);
    uint64_t sum = 0;
    for (uint64_t at = 0; at < 0x800000; at++) {
        sum += rom[mirrored(at, size)];
    }
    CHECK_U64(rom_le16(rom + 0x40ffde), ==, sum & 0xffff);
    apply_fixes(&bytes, 0);
}

static void test_gb(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    KIT_BYTES bytes = {0};
    kit_random(&bytes, 0x8000, &random);
    uint8_t *rom = bytes.data;
    memcpy(rom + 0x100, (const uint8_t[]){0x00, 0xc3, 0x50, 0x01}, 4);
    rom[0x148] = 0;
    uint8_t header = 0;
    for (size_t at = 0x134; at < 0x14d; at++) {
        header = (uint8_t)(header - rom[at] - 1);
    }
    rom[0x14d] = header;
    apply_fixes(&bytes, 1); /* the global one */
    uint64_t sum = 0;
    for (size_t at = 0; at < bytes.size; at++) {
        sum += at == 0x14e || at == 0x14f ? 0 : rom[at];
    }
    CHECK_U64(rom_be16(rom + 0x14e), ==, sum & 0xffff);
    apply_fixes(&bytes, 0);
}

/* Both of a Game Boy's are wrong: the global one counts the header's one as it will be. */
static void test_gb_both(void **state)
{
    (void)state;
    KIT_BYTES bytes = {0};
    for (size_t i = 0; i < 0x8000; i++) {
        kit_byte(&bytes, i % 251);
    }
    rom_bytes file = kit_view("test.rom", &bytes);
    rom_info info = {
        .system = ROM_SYSTEM_GB,
        .checksum_count = 2,
        .checksums = {{.offset = 0x14d, .size = 1},
                      {.offset = 0x14e, .size = 2, .big_endian = true}},
    };
    info.checksums[0].stored = bytes.data[0x14d];
    rom_checksums_compute(&file, NULL, &info);
    rom_fix fixes[ROM_FIXES_MAX];
    CHECK_U64(rom_checksum_fixes(&file, &info, fixes), ==, 2);
    for (int i = 0; i < 2; i++) {
        memcpy(bytes.data + fixes[i].offset, fixes[i].new_bytes, fixes[i].size);
    }
    uint64_t sum = 0;
    for (size_t at = 0; at < bytes.size; at++) {
        sum += at == 0x14e || at == 0x14f ? 0 : bytes.data[at];
    }
    CHECK_U64(rom_be16(bytes.data + 0x14e), ==, sum & 0xffff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32),        cmocka_unit_test(test_crc32_join),
        cmocka_unit_test(test_crc32_change), cmocka_unit_test(test_digests),
        cmocka_unit_test(test_sums),         cmocka_unit_test(test_sums_do_not_overflow),
        cmocka_unit_test(test_snes),         cmocka_unit_test(test_exhirom),
        cmocka_unit_test(test_gb),           cmocka_unit_test(test_gb_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
