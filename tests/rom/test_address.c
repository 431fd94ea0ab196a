/*
 * test_address.c -- addresses of every mapping: tables, an oracle of another program, both ways.
 */
#include <string.h>

#include "rom/corpus.h"
#include "workload/rom/address.h"

static rom_info info_of(rom_mapping mapping, uint64_t rom_size)
{
    rom_info info = {.mapping = mapping, .rom_size = rom_size};
    info.system = mapping == ROM_MAPPING_INES  ? ROM_SYSTEM_NES
                  : mapping == ROM_MAPPING_GB  ? ROM_SYSTEM_GB
                  : mapping == ROM_MAPPING_GBA ? ROM_SYSTEM_GBA
                                               : ROM_SYSTEM_SNES;
    return info;
}

enum { NONE = -1 };

typedef struct sample {
    uint64_t address;
    int64_t offset;
} sample;

static void check_samples(const rom_info *info, const sample *samples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t offset = 12345;
        brisk_errinfo errinfo = {0};
        brisk_err err = rom_address_to_offset(info, samples[i].address, &offset, &errinfo);
        if (samples[i].offset == NONE) {
            CHECK(err == BRISK_ERR_INVALID);
            CHECK_U64(offset, ==, 12345);
            CHECK(strstr(errinfo.text, "address $") != NULL);
        } else {
            CHECK_OK(err);
            CHECK_U64(offset, ==, samples[i].offset);
        }
    }
}

#define CHECK_SAMPLES(info, ...)                                                                   \
    do {                                                                                           \
        const sample samples_[] = {__VA_ARGS__};                                                   \
        check_samples(info, samples_, sizeof samples_ / sizeof samples_[0]);                       \
    } while (0)

static void test_lorom(void **state)
{
    (void)state;
    rom_info info = info_of(ROM_MAPPING_LOROM, 0x80000);
    CHECK_SAMPLES(&info, {0x0780AB, 0x380AB}, {0x008000, 0}, {0x00FFFF, 0x7FFF}, {0x808000, 0},
                  {0x018000, 0x8000}, {0x0FFFFF, 0x7FFFF}, {0x108000, NONE}, {0x007FFF, NONE},
                  {0x7E8000, NONE}, {0x7FFFFF, NONE}, {0x700000, NONE}, {0x1008000, NONE},
                  {0x0, NONE}, {UINT64_MAX, NONE});
}

static void test_hirom(void **state)
{
    (void)state;
    rom_info info = info_of(ROM_MAPPING_HIROM, 0x400000);
    CHECK_SAMPLES(&info, {0xC00000, 0}, {0xC0FFC0, 0xFFC0}, {0x00FFC0, 0xFFC0}, {0x008000, 0x8000},
                  {0x400000, 0}, {0xFFFFFF, 0x3FFFFF}, {0x7E0000, NONE}, {0x006000, NONE},
                  {0x807FFF, NONE});
}

static void test_exhirom(void **state)
{
    (void)state;
    rom_info info = info_of(ROM_MAPPING_EXHIROM, 0x600000);
    CHECK_SAMPLES(&info, {0xC00000, 0}, {0x00FFC0, 0x40FFC0}, {0x400000, 0x400000},
                  {0x808000, 0x8000}, {0x600000, NONE}, {0x7E8000, NONE});
}

static void test_sa1(void **state)
{
    (void)state;
    rom_info info = info_of(ROM_MAPPING_SA1, 0x400000);
    CHECK_SAMPLES(&info, {0x008000, 0}, {0x208000, 0x100000}, {0x808000, 0x200000},
                  {0xA08000, 0x300000}, {0xC00000, 0}, {0xFFFFFF, 0x3FFFFF}, {0x400000, NONE},
                  {0x000000, NONE});
}

static void test_nes(void **state)
{
    (void)state;
    rom_info info = info_of(ROM_MAPPING_INES, 16 + 0x8000 + 0x2000);
    info.prg_offset = 16;
    info.prg_size = 0x8000;
    CHECK_SAMPLES(&info, {0x8000, 16}, {0xC000, 16 + 0x4000}, {0xFFFF, 16 + 0x7FFF}, {0x7FFF, NONE},
                  {0x018000, NONE}, {0x10000, NONE});
    info.prg_size = 0x4000;
    CHECK_SAMPLES(&info, {0x8000, 16}, {0xC000, 16}, {0xFFFF, 16 + 0x3FFF});
    info.prg_offset = 16 + 512;
    info.prg_size = 0x20000;
    info.rom_size = 16 + 512 + 0x20000;
    CHECK_SAMPLES(&info, {0x008000, 528}, {0x03A123, 528 + 0xC000 + 0x2123},
                  {0x03E123, 528 + 0xC000 + 0x2123}, {0x07FFFF, 528 + 0x1FFFF}, {0x088000, NONE});
    info.prg_size = 0;
    CHECK_SAMPLES(&info, {0x8000, NONE});
}

static void test_gb(void **state)
{
    (void)state;
    rom_info info = info_of(ROM_MAPPING_GB, 0x8000);
    CHECK_SAMPLES(&info, {0x0150, 0x150}, {0x4000, 0x4000}, {0x014000, 0x4000}, {0x010150, NONE},
                  {0x8000, NONE}, {0x024000, NONE});
    info.rom_size = 0x800000;
    CHECK_SAMPLES(&info, {0x4000, NONE}, {0x014000, 0x4000}, {0x1FF7FFF, 0x7FFFFF},
                  {0x2004000, NONE});
}

static void test_gba(void **state)
{
    (void)state;
    rom_info info = info_of(ROM_MAPPING_GBA, 0x100000);
    CHECK_SAMPLES(&info, {0x08000000, 0}, {0x080FFFFF, 0xFFFFF}, {0x0A000004, 4}, {0x0C000004, 4},
                  {0x08100000, NONE}, {0x0E000000, NONE}, {0x07FFFFFF, NONE});
}

static void test_unknown(void **state)
{
    (void)state;
    rom_info info = {.rom_size = 100};
    uint64_t offset = 0;
    CHECK(rom_address_to_offset(&info, 0x8000, &offset, NULL) == BRISK_ERR_UNSUPPORTED);
    char text[ROM_ADDRESS_TEXT_MAX];
    rom_offset_to_text(&info, 10, text);
    assert_string_equal(text, "0x0000A");
}

static void test_text(void **state)
{
    (void)state;
    char text[ROM_ADDRESS_TEXT_MAX];
    rom_info info = info_of(ROM_MAPPING_LOROM, 0x400000);
    rom_offset_to_text(&info, 0x380AB, text);
    assert_string_equal(text, "$0780AB");
    rom_offset_to_text(&info, 0x3FFFFF, text);
    assert_string_equal(text, "$FFFFFF");
    rom_offset_to_text(&info, 0x400000, text);
    assert_string_equal(text, "0x400000");
    info = info_of(ROM_MAPPING_HIROM, 0x400000);
    rom_offset_to_text(&info, 0x12345, text);
    assert_string_equal(text, "$C12345");
    info = info_of(ROM_MAPPING_GB, 0x100000);
    rom_offset_to_text(&info, 0x4001, text);
    assert_string_equal(text, "$014001");
    rom_offset_to_text(&info, UINT64_MAX, text);
    CHECK(strlen(text) < ROM_ADDRESS_TEXT_MAX);
}

/* Every offset that has an address is found again through it. */
static void test_both_ways(void **state)
{
    (void)state;
    for (rom_mapping mapping = ROM_MAPPING_LOROM; mapping <= ROM_MAPPING_GBA; mapping++) {
        rom_info info = info_of(mapping, 0x800000);
        info.prg_offset = 16;
        info.prg_size = 0x400000;
        size_t found = 0;
        for (uint64_t offset = 0; offset < info.rom_size; offset += 251) {
            char text[ROM_ADDRESS_TEXT_MAX];
            rom_offset_to_text(&info, offset, text);
            if (text[0] == '$') {
                uint64_t back = 0;
                CHECK_OK(rom_address_to_offset(&info, strtoull(text + 1, NULL, 16), &back, NULL));
                CHECK_U64(back, ==, offset);
                found++;
            } else {
                CHECK_U64(strtoull(text, NULL, 16), ==, offset);
            }
        }
        CHECK_U64(found, >, 16000);
    }
}

/* Lines "$BBAAAA offset", all in hexadecimal; FFFFFFFFFFFFFFFF is no ROM. */
static void check_oracle(const char *name, rom_mapping mapping)
{
    char path[PATH_MAX];
    corpus_need(name, path);
    rom_info info = info_of(mapping, 0x800000);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char line[128];
    size_t count = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        char *end = NULL;
        if (line[0] != '$') {
            continue;
        }
        uint64_t address = strtoull(line + 1, &end, 16);
        uint64_t expected = strtoull(end, NULL, 16);
        uint64_t offset = UINT64_MAX;
        (void)!rom_address_to_offset(&info, address, &offset, NULL);
        if (offset != expected) {
            fail_msg("%s: $%06llX is %llx instead of %llx", name, (unsigned long long)address,
                     (unsigned long long)offset, (unsigned long long)expected);
        }
        count++;
    }
    (void)fclose(file);
    CHECK_U64(count, >, 50);
}

static void test_oracle_lorom(void **state)
{
    (void)state;
    check_oracle("address_oracle/lorom.sample.txt", ROM_MAPPING_LOROM);
}

static void test_oracle_hirom(void **state)
{
    (void)state;
    check_oracle("address_oracle/hirom.sample.txt", ROM_MAPPING_HIROM);
}

static void test_oracle_exhirom(void **state)
{
    (void)state;
    check_oracle("address_oracle/exhirom.sample.txt", ROM_MAPPING_EXHIROM);
}

static void test_oracle_sa1(void **state)
{
    (void)state;
    check_oracle("address_oracle/sa1rom.sample.txt", ROM_MAPPING_SA1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lorom),
        cmocka_unit_test(test_hirom),
        cmocka_unit_test(test_exhirom),
        cmocka_unit_test(test_sa1),
        cmocka_unit_test(test_nes),
        cmocka_unit_test(test_gb),
        cmocka_unit_test(test_gba),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_oracle_lorom),
        cmocka_unit_test(test_oracle_hirom),
        cmocka_unit_test(test_oracle_exhirom),
        cmocka_unit_test(test_oracle_sa1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
