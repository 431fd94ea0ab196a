/*
 * test_system.c -- detection: made-up ROMs of every kind, misleading ones, hostile ones, real ones.
 */
#include <dirent.h>
#include <string.h>

#include <brisk/file.h>

#include "rom/corpus.h"
#include "workload/rom/checksum.h"

typedef struct image {
    uint8_t *data;
    size_t size;
} image;

static void image_cleanup(image *made)
{
    free(made->data);
}

#define IMAGE __attribute__((cleanup(image_cleanup))) image

static image image_make(size_t size, uint64_t seed)
{
    image made = {.data = malloc(size), .size = size};
    assert_non_null(made.data);
    for (size_t i = 0; i < size; i++) {
        made.data[i] = (uint8_t)(check_random(&seed) & 0x3f);
    }
    return made;
}

static rom_info detect(const image *rom)
{
    rom_bytes file = {.name = "test.rom", .data = rom->data, .size = rom->size};
    rom_info info;
    rom_detect(&file, &info);
    return info;
}

/* A SNES header for the bank that begins at `bank`, reset at $8000. */
static void put_snes(uint8_t *rom, size_t header, size_t bank, uint8_t map_mode)
{
    memcpy(rom + header, "TEST GAME            ", 21);
    memcpy(rom + header + 0x15, (const uint8_t[]){map_mode, 0x00, 0x09, 0x00, 0x01, 0x33, 0x00}, 7);
    memcpy(rom + header + 0x1c, (const uint8_t[]){0x34, 0x12, 0xcb, 0xed}, 4);
    memcpy(rom + header + 0x3c, (const uint8_t[]){0x00, 0x80}, 2);
    rom[bank] = 0x78;
}

static bool has_warning(const rom_info *info, const char *words)
{
    for (uint32_t i = 0; i < info->warning_count; i++) {
        if (strstr(info->warnings[i], words) != NULL) {
            return true;
        }
    }
    return false;
}

static void test_lorom(void **state)
{
    (void)state;
    IMAGE rom = image_make(0x80000, 1);
    put_snes(rom.data, 0x7fc0, 0, 0x20);
    rom_info info = detect(&rom);
    CHECK(info.system == ROM_SYSTEM_SNES && info.mapping == ROM_MAPPING_LOROM);
    assert_string_equal(info.title, "TEST GAME");
    CHECK_U64(info.copier_bytes, ==, 0);
    CHECK_U64(info.rom_size, ==, 0x80000);
    CHECK_U64(info.declared_size, ==, 0x80000);
    CHECK_U64(info.header_offset, ==, 0x7fc0);
    CHECK_U64(info.checksum_count, ==, 2);
    CHECK_U64(info.checksums[0].stored, ==, 0xedcb);
    CHECK_U64(info.checksums[1].stored, ==, 0x1234);
    CHECK_U64(info.checksums[1].offset, ==, 0x7fdc);
    CHECK_U64(info.warning_count, ==, 0);
}

static void test_hirom_and_wrong_map_mode(void **state)
{
    (void)state;
    IMAGE rom = image_make(0x80000, 2);
    put_snes(rom.data, 0xffc0, 0x8000, 0x31);
    rom_info info = detect(&rom);
    CHECK(info.mapping == ROM_MAPPING_HIROM);
    CHECK(!has_warning(&info, "map mode"));
    put_snes(rom.data, 0xffc0, 0x8000, 0x30);
    info = detect(&rom);
    CHECK(info.mapping == ROM_MAPPING_HIROM);
    CHECK(has_warning(&info, "map mode $30 says LoROM, but the ROM is laid out as HiROM"));
    put_snes(rom.data, 0xffc0, 0x8000, 0x99);
    info = detect(&rom);
    CHECK(info.mapping == ROM_MAPPING_HIROM);
    CHECK(has_warning(&info, "map mode $99 is unknown"));
}

static void test_exhirom_and_sa1(void **state)
{
    (void)state;
    IMAGE rom = image_make(0x600000, 3);
    put_snes(rom.data, 0x40ffc0, 0x408000, 0x35);
    rom_info info = detect(&rom);
    CHECK(info.mapping == ROM_MAPPING_EXHIROM);
    IMAGE other = image_make(0x100000, 4);
    put_snes(other.data, 0x7fc0, 0, 0x23);
    info = detect(&other);
    CHECK(info.mapping == ROM_MAPPING_SA1);
    CHECK(!has_warning(&info, "map mode"));
}

static void test_runner_up(void **state)
{
    (void)state;
    IMAGE rom = image_make(0x80000, 5);
    put_snes(rom.data, 0x7fc0, 0, 0x20);
    put_snes(rom.data, 0xffc0, 0x8000, 0x21);
    rom.data[0xffc0 + 0x1a] = 0; /* two points less */
    rom_info info = detect(&rom);
    CHECK(info.mapping == ROM_MAPPING_LOROM && info.runner_up == ROM_MAPPING_HIROM);
    CHECK(info.score == info.runner_up_score + 2);
    CHECK(has_warning(&info, "HiROM fits nearly as well as LoROM"));
}

static void test_copier_header(void **state)
{
    (void)state;
    IMAGE rom = image_make(0x80000 + 512, 6);
    memset(rom.data, 0, 512);
    put_snes(rom.data + 512, 0x7fc0, 0, 0x20);
    rom_info info = detect(&rom);
    CHECK(info.mapping == ROM_MAPPING_LOROM);
    CHECK_U64(info.copier_bytes, ==, 512);
    CHECK_U64(info.rom_size, ==, 0x80000);
    CHECK_U64(info.file_size, ==, 0x80000 + 512);
    /* 512 bytes too many at the end, none in front: the size alone must not decide. */
    memmove(rom.data, rom.data + 512, 0x80000);
    info = detect(&rom);
    CHECK(info.mapping == ROM_MAPPING_LOROM);
    CHECK_U64(info.copier_bytes, ==, 0);
    CHECK(has_warning(&info, "no multiple of 32 KiB"));
    /* The same content in another size: no copier header is even thought of. */
    IMAGE odd = image_make(0x80000 + 511, 7);
    put_snes(odd.data + 511, 0x7fc0, 0, 0x20);
    CHECK(detect(&odd).system == ROM_SYSTEM_UNKNOWN);
}

static void test_chance_is_unknown(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    size_t recognised = 0;
    for (int round = 0; round < 2000; round++) {
        IMAGE noise = image_make(0x10200, check_random(&seed));
        for (size_t at = 0x7fc0; at < 0x10200; at++) {
            noise.data[at] = (uint8_t)check_random(&seed);
        }
        recognised += detect(&noise).system != ROM_SYSTEM_UNKNOWN ? 1 : 0;
    }
    CHECK_U64(recognised, <, 10);
    const uint8_t fills[] = {0x00, 0xff, 0x20, 0x78};
    for (size_t i = 0; i < sizeof fills; i++) {
        IMAGE filled = image_make(0x10000, 1);
        memset(filled.data, fills[i], filled.size);
        CHECK(detect(&filled).system == ROM_SYSTEM_UNKNOWN);
    }
}

static void test_nes(void **state)
{
    (void)state;
    IMAGE rom = image_make(16 + 512 + 2 * 16384 + 8192, 8);
    memcpy(rom.data,
           (const uint8_t[]){'N', 'E', 'S', 0x1a, 2, 1, 0x14, 0x40, 0, 0, 0, 0, 0, 0, 0, 0}, 16);
    rom_info info = detect(&rom);
    CHECK(info.system == ROM_SYSTEM_NES && info.mapping == ROM_MAPPING_INES);
    CHECK_U64(info.map_mode, ==, 0x41);
    CHECK_U64(info.prg_offset, ==, 16 + 512);
    CHECK_U64(info.prg_size, ==, 32768);
    CHECK_U64(info.checksum_count, ==, 0);
    CHECK_U64(info.warning_count, ==, 0);
    rom.data[4] = 200;
    info = detect(&rom);
    CHECK(has_warning(&info, "the header declares"));
    CHECK_U64(info.prg_size, ==, 2 * 16384 + 8192);
    memcpy(rom.data + 4, (const uint8_t[]){0xff, 0xff, 0, 0x08, 0, 0xff}, 6); /* absurd NES 2.0 */
    info = detect(&rom);
    CHECK_U64(info.prg_size, <=, rom.size);
    rom.size = 16;
    info = detect(&rom);
    CHECK(info.system == ROM_SYSTEM_NES);
    CHECK_U64(info.prg_size, ==, 0);
    rom.size = 15;
    CHECK(detect(&rom).system == ROM_SYSTEM_UNKNOWN);
}

static void put_gb(image *rom)
{
    memset(rom->data + 0x104, 0, 48);
    memcpy(rom->data + 0x100, (const uint8_t[]){0x00, 0xc3, 0x50, 0x01}, 4);
    memcpy(rom->data + 0x134, "POCKET GAME\0\0\0\0\0", 16);
    memcpy(rom->data + 0x147, (const uint8_t[]){0x01, 0x00, 0x00, 0x01, 0x33, 0x00}, 6);
    uint8_t sum = 0;
    for (size_t at = 0x134; at < 0x14d; at++) {
        sum = (uint8_t)(sum - rom->data[at] - 1);
    }
    rom->data[0x14d] = sum;
}

static void test_gb(void **state)
{
    (void)state;
    IMAGE rom = image_make(0x8000, 9);
    put_gb(&rom);
    rom_info info = detect(&rom);
    CHECK(info.system == ROM_SYSTEM_GB && info.mapping == ROM_MAPPING_GB);
    assert_string_equal(info.title, "POCKET GAME");
    CHECK_U64(info.declared_size, ==, 0x8000);
    CHECK(has_warning(&info, "logo")); /* the test has no picture */
    CHECK_U64(info.checksum_count, ==, 2);
    CHECK_U64(info.checksums[0].stored, ==, rom.data[0x14d]);
    rom.data[0x14d] ^= 1;
    CHECK(detect(&rom).system == ROM_SYSTEM_UNKNOWN);
    memcpy(rom.data + 0x134, "POCKET GAME COL\xc0", 16); /* the last one is the Color flag */
    rom.data[0x14d] = 0;
    for (size_t at = 0x134; at < 0x14d; at++) {
        rom.data[0x14d] = (uint8_t)(rom.data[0x14d] - rom.data[at] - 1);
    }
    assert_string_equal(detect(&rom).title, "POCKET GAME COL");
}

static void test_gba(void **state)
{
    (void)state;
    IMAGE rom = image_make(1024, 10);
    memcpy(rom.data + 0xa0, "ADVANCE     ", 12);
    rom.data[0xb2] = 0x96;
    uint8_t sum = 0x19;
    for (size_t at = 0xa0; at < 0xbd; at++) {
        sum = (uint8_t)(sum + rom.data[at]);
    }
    rom.data[0xbd] = (uint8_t)-sum;
    rom_info info = detect(&rom);
    CHECK(info.system == ROM_SYSTEM_GBA && info.mapping == ROM_MAPPING_GBA);
    assert_string_equal(info.title, "ADVANCE");
}

static void test_titles_are_harmless(void **state)
{
    (void)state;
    IMAGE rom = image_make(0x8000, 11);
    put_snes(rom.data, 0x7fc0, 0, 0x20);
    memcpy(rom.data + 0x7fc0, "  \x1b[31mA\xb1\x7f B\t             ", 21);
    rom_info info = detect(&rom);
    CHECK(info.system == ROM_SYSTEM_SNES);
    assert_string_equal(info.title, "?[31mA?? B?");
}

/* Nothing is read beyond the end: every size, exactly as large as its memory. */
static void test_every_size(void **state)
{
    (void)state;
    uint64_t seed = 12;
    for (size_t size = 0; size < 0x10200; size += size < 1024 ? 1 : 509) {
        IMAGE rom = image_make(size != 0 ? size : 1, check_random(&seed));
        rom.size = size;
        rom_info info = detect(&rom);
        CHECK_U64(info.file_size, ==, size);
        CHECK(rom_system_by_name(rom_system_name(info.system)) == info.system);
    }
}

/* Every ROM of the corpus is for the system whose folder it lies in. */
static size_t check_folder(const char *folder, rom_system system)
{
    char path[PATH_MAX];
    char name[PATH_MAX];
    (void)snprintf(name, sizeof name, "roms/%s", folder);
    corpus_need(name, path);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    size_t count = 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        char file_path[PATH_MAX];
        CHECK(snprintf(file_path, sizeof file_path, "%.2000s/%s", path, entry->d_name) > 0);
        brisk_file_view view = {0};
        CHECK_OK(brisk_file_view_open(file_path, ROM_BYTES_MAX, &view, NULL));
        rom_bytes file = {.name = file_path, .data = view.data, .size = view.size};
        rom_info info;
        rom_detect(&file, &info);
        rom_checksums_compute(&file, NULL, &info);
        if (info.system != system) {
            fail_msg("%s: %s", file_path, rom_system_name(info.system));
        }
        print_message("%s: %s %s \"%s\" score %d, %s %d", entry->d_name,
                      rom_system_name(info.system), rom_mapping_name(info.mapping), info.title,
                      info.score, rom_mapping_name(info.runner_up), info.runner_up_score);
        for (uint32_t i = 0; i < info.checksum_count; i++) {
            print_message(", %s %04x %04x", info.checksums[i].name, info.checksums[i].stored,
                          info.checksums[i].computed);
        }
        print_message("\n");
        for (uint32_t i = 0; i < info.warning_count; i++) {
            print_message("    %s\n", info.warnings[i]);
        }
        brisk_file_view_close(&view);
        count++;
    }
    (void)closedir(dir);
    return count;
}

static void test_real_roms(void **state)
{
    (void)state;
    CHECK_U64(check_folder("snes", ROM_SYSTEM_SNES), >, 0);
    CHECK_U64(check_folder("gb", ROM_SYSTEM_GB), >, 0);
    CHECK_U64(check_folder("nes", ROM_SYSTEM_NES), >, 0);
    CHECK_U64(check_folder("gba", ROM_SYSTEM_GBA), >, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lorom),
        cmocka_unit_test(test_hirom_and_wrong_map_mode),
        cmocka_unit_test(test_exhirom_and_sa1),
        cmocka_unit_test(test_runner_up),
        cmocka_unit_test(test_copier_header),
        cmocka_unit_test(test_chance_is_unknown),
        cmocka_unit_test(test_nes),
        cmocka_unit_test(test_gb),
        cmocka_unit_test(test_gba),
        cmocka_unit_test(test_titles_are_harmless),
        cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_real_roms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
