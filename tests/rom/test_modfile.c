/* Mod files: what is accepted, and that every fault is blamed on its line with a remedy. */
#include <string.h>

#include <brisk/brisk.h>

#include "support/check.h"
#include "support/fault_alloc.h"
#include "workload/rom/modfile.h"

#define HEAD "mod: m\ncomponents:\n  - name: a\n"

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

static brisk_err parse_at(const char *path, const char *text, rom_modfile *ret, brisk_errinfo *info)
{
    rom_bytes file = {.name = path, .data = (const uint8_t *)text, .size = strlen(text)};
    return rom_modfile_parse(&file, arena, ret, info);
}

static void test_everything_is_read(void **state)
{
    (void)state;
    const char *text = "mod: demo\n"
                       "title: A demo\n"
                       "system: snes\n"
                       "target:\n"
                       "  crc32: [1A2B3C4D, 0x55aa55aa]\n"
                       "  title: BRISK QUEST\n"
                       "components:\n"
                       "  - name: one\n"
                       "    write:\n"
                       "      at: $0780AB\n"
                       "      expect: C6 22\n"
                       "      bytes: EAea\n"
                       "  - name: many\n"
                       "    write:\n"
                       "      - {at: 0x380AB, bytes: [1, 0x02, 255]}\n"
                       "      - {at: '$07:80AC', bytes: \"00\"}\n"
                       "  - name: font\n"
                       "    patch: {file: sub/font.ips}\n";
    rom_modfile mod;
    brisk_errinfo info = {0};
    assert_int_equal(parse_at("mods/demo.yaml", text, &mod, &info), BRISK_OK);
    assert_string_equal(mod.mod, "demo");
    assert_string_equal(mod.title, "A demo");
    assert_string_equal(mod.system, "snes");
    CHECK(mod.has_target);
    CHECK_U64(mod.target_crc_count, ==, 2);
    CHECK_U64(mod.target_crcs[0], ==, 0x1A2B3C4D);
    CHECK_U64(mod.target_crcs[1], ==, 0x55AA55AA);
    assert_string_equal(mod.target_title, "BRISK QUEST");
    CHECK_U64(mod.component_count, ==, 3);
    const rom_mod_component *one = &mod.components[0];
    CHECK_U64(one->write_count, ==, 1);
    CHECK(one->writes[0].is_bus);
    CHECK_U64(one->writes[0].at, ==, 0x0780AB);
    CHECK_U64(one->writes[0].line, ==, 10);
    CHECK_U64(one->writes[0].expect_size, ==, 2);
    CHECK_U64(one->writes[0].size, ==, 2);
    CHECK(memcmp(one->writes[0].expect, "\xC6\x22", 2) == 0);
    CHECK(memcmp(one->writes[0].bytes, "\xEA\xEA", 2) == 0);
    const rom_mod_component *many = &mod.components[1];
    CHECK_U64(many->write_count, ==, 2);
    CHECK(!many->writes[0].is_bus);
    CHECK_U64(many->writes[0].at, ==, 0x380AB);
    CHECK_U64(many->writes[0].size, ==, 3);
    CHECK(memcmp(many->writes[0].bytes, "\x01\x02\xFF", 3) == 0);
    CHECK(many->writes[0].expect == NULL);
    CHECK(many->writes[1].is_bus);
    CHECK_U64(many->writes[1].at, ==, 0x0780AC);
    assert_string_equal(mod.components[2].patch_path, "mods/sub/font.ips");
    CHECK_U64(mod.components[2].write_count, ==, 0);
}

static void test_optional_parts_may_be_missing(void **state)
{
    (void)state;
    rom_modfile mod;
    brisk_errinfo info = {0};
    assert_int_equal(parse_at("m.yaml", HEAD "    write: {at: 0x0, bytes: 1A}\n", &mod, &info),
                     BRISK_OK);
    assert_string_equal(mod.title, "");
    CHECK(mod.system == NULL && !mod.has_target && mod.target_title == NULL);
    assert_int_equal(parse_at("m.yaml", HEAD "    patch: {file: a.ips}\n", &mod, &info), BRISK_OK);
    assert_string_equal(mod.components[0].patch_path, "a.ips");
}

/* text, then how the error begins ("m.yaml:" stands before it) and a word of the remedy. */
static const struct {
    const char *text;
    const char *begins;
    const char *contains;
} FAULTS[] = {
    {"", "1: not a mod file", "'mod'"},
    {"- a\n- b\n", "1: not a mod file", "mod: NAME"},
    {"mod: x\n", "1: the mod file has no 'components'", ""},
    {"components:\n  - name: a\n    write: {at: 0x0, bytes: EA}\n", "1: the mod file has no 'mod'",
     ""},
    {"mod: x\nkomponents: []\n", "", "components"},
    {"mod: ''\ncomponents: []\n", "1: mod must have 1 to 100", ""},
    {"mod: [a]\ncomponents: []\n", "1: mod must be a text", ""},
    {"mod: \"a\\eb\"\ncomponents: []\n", "1: mod contains a control character", ""},
    {"mod: x\ncomponents: []\n", "2: components must be a list", ""},
    {"mod: x\ncomponents: {a: b}\n", "2: components must be a list", ""},
    {"mod: x\ncomponents:\n  - a\n", "3: a component must have a name", ""},
    {"mod: x\ncomponents:\n  - write: {at: 0x0, bytes: EA}\n", "3: the component has no 'name'",
     "give it one"},
    {HEAD, "3: component 'a' must have either a write or a patch", ""},
    {HEAD "    write: {at: 0x0, bytes: EA}\n    patch: {file: a.ips}\n",
     "3: component 'a' must have either", ""},
    {HEAD "    write: {at: 0x0, bytes: EA}\n    wirte: 1\n", "5:", "wirte"},
    {HEAD "    write: EA\n", "4: write must have at", "$0780AB"},
    {HEAD "    write: []\n", "4: write is an empty list", ""},
    {HEAD "    write: {bytes: EA}\n", "4: write has no 'at'", "at: $0780AB"},
    {HEAD "    write: {at: 0x0}\n", "4: write has no 'bytes'", "EA EA"},
    {HEAD "    write:\n      at: 123\n      bytes: EA\n", "5: at: '123' is no address", "0x380AB"},
    {HEAD "    write:\n      at: $\n      bytes: EA\n", "5: at: '$' is no address", ""},
    {HEAD "    write:\n      at: $1234567\n      bytes: EA\n", "5: at:", "no address"},
    {HEAD "    write:\n      at: $00:123\n      bytes: EA\n", "5: at:", "no address"},
    {HEAD "    write:\n      at: $000:1234\n      bytes: EA\n", "5: at:", "no address"},
    {HEAD "    write:\n      at: 0x\n      bytes: EA\n", "5: at:", "no address"},
    {HEAD "    write:\n      at: 0x123456789\n      bytes: EA\n", "5: at:", "no address"},
    {HEAD "    write:\n      at: [1]\n      bytes: EA\n", "5: at:", "no address"},
    {HEAD "    write:\n      at: 0x0\n      bytes: E\n", "6: bytes: 'E' is no pair", "EA EA"},
    {HEAD "    write:\n      at: 0x0\n      bytes: EA G1\n", "6: bytes: 'G1' is no pair", ""},
    {HEAD "    write:\n      at: 0x0\n      bytes: E A\n", "6: bytes: 'E A' is no pair", ""},
    {HEAD "    write:\n      at: 0x0\n      bytes: ''\n", "6: bytes is empty", ""},
    {HEAD "    write:\n      at: 0x0\n      bytes: []\n", "6: bytes is empty", ""},
    {HEAD "    write:\n      at: 0x0\n      bytes: {a: b}\n", "6: bytes must be bytes", ""},
    {HEAD "    write:\n      at: 0x0\n      bytes:\n        - 1\n        - 256\n",
     "8: bytes: every item of a list is a number from 0 to 255", ""},
    {HEAD "    write:\n      at: 0x0\n      bytes: [EA]\n", "6: bytes: every item", "\"EA EA\""},
    {HEAD "    write:\n      at: 0x0\n      bytes: EA\n      expect: XY\n",
     "7: expect: 'XY' is no pair", ""},
    {HEAD "    patch: a.ips\n", "4: patch has no 'file'", "{file: font.ips}"},
    {HEAD "    patch: {file: /etc/passwd}\n", "4: file must lie in", "relative path"},
    {HEAD "    patch: {file: ../a.ips}\n", "4: file must lie in", ""},
    {HEAD "    patch: {file: a/../../b.ips}\n", "4: file must lie in", ""},
    {HEAD "    patch: {file: a/..}\n", "4: file must lie in", ""},
    {HEAD "    patch: {file: ''}\n", "4: file must lie in", ""},
    {HEAD "    patch: {file: a//b}\n", "4: file must lie in", ""},
    {HEAD "    patch: {file: a.ips, x: y}\n", "4:", "'x'"},
    {HEAD "    write: {at: 0x0, bytes: EA}\n  - name: a\n    write: {at: 0x1, bytes: EA}\n",
     "5: component 'a' has the name of the one at line 3", "rename"},
    {"mod: x\ntarget: {}\ncomponents: []\n", "2: target must have", ""},
    {"mod: x\ntarget: {crc: 1A2B3C4D}\ncomponents: []\n", "2:", "crc32"},
    {"mod: x\ntarget:\n  crc32: 1A2B3C4\ncomponents: []\n", "3: crc32 must be eight", "rom info"},
    {"mod: x\ntarget:\n  crc32: []\ncomponents: []\n", "3: crc32 must be one", ""},
    {"mod: x\ntarget:\n  crc32: [1A2B3C4D, x]\ncomponents: []\n", "3: crc32 must be eight", ""},
};

static void test_every_fault_names_its_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        rom_modfile mod = {.path = "untouched"};
        brisk_errinfo info = {0};
        brisk_err err = parse_at("m.yaml", FAULTS[i].text, &mod, &info);
        char begins[200];
        (void)snprintf(begins, sizeof begins, "m.yaml:%s", FAULTS[i].begins);
        if (err != BRISK_ERR_INVALID || strncmp(info.text, begins, strlen(begins)) != 0 ||
            strstr(info.text, FAULTS[i].contains) == NULL) {
            fail_msg("case %zu: error %d, text '%s', wanted '%s' and '%s'", i, (int)err, info.text,
                     begins, FAULTS[i].contains);
        }
        assert_string_equal(mod.path, "untouched");
        CHECK(strchr(info.text, '\n') == NULL);
    }
}

static void test_error_text_obeys_no_terminal(void **state)
{
    (void)state;
    rom_modfile mod;
    brisk_errinfo info = {0};
    brisk_err err =
        parse_at("m.yaml", HEAD "    write: {at: \"\\e[31m\", bytes: EA}\n", &mod, &info);
    assert_int_equal(err, BRISK_ERR_INVALID);
    CHECK(strchr(info.text, '\033') == NULL);
}

static void test_truncated_anywhere_is_no_crash(void **state)
{
    (void)state;
    const char *text = "mod: demo\ntarget: {crc32: [1A2B3C4D], title: T}\ncomponents:\n"
                       "  - name: one\n    write: {at: $0780AB, expect: C6, bytes: \"EA EA\"}\n"
                       "  - name: two\n    patch: {file: a/b.ips}\n";
    for (size_t size = 0; size < strlen(text); size++) {
        rom_modfile mod;
        brisk_errinfo info = {0};
        rom_bytes file = {.name = "m.yaml", .data = (const uint8_t *)text, .size = size};
        brisk_err err = rom_modfile_parse(&file, arena, &mod, &info);
        CHECK(err == BRISK_OK || err == BRISK_ERR_INVALID);
        CHECK(err == BRISK_OK || strncmp(info.text, "m.yaml:", 7) == 0);
        brisk_arena_reset(arena);
    }
}

static void test_too_large_is_refused(void **state)
{
    (void)state;
    rom_modfile mod;
    brisk_errinfo info = {0};
    rom_bytes file = {
        .name = "m.yaml", .data = (const uint8_t *)"", .size = (size_t)ROM_MODFILE_BYTES_MAX + 1};
    assert_int_equal(rom_modfile_parse(&file, arena, &mod, &info), BRISK_ERR_LIMIT);
}

static void test_arena_may_be_exhausted(void **state)
{
    (void)state;
    const char *text = HEAD "    write: {at: 0x0, expect: '00', bytes: EA}\n"
                            "  - name: b\n    patch: {file: b.ips}\n";
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_arena *small = NULL;
        err = brisk_arena_create(&(brisk_arena_opts){.alloc = &fault.base}, &small);
        if (err == BRISK_OK) {
            rom_modfile mod;
            brisk_errinfo info = {0};
            rom_bytes file = {
                .name = "m.yaml", .data = (const uint8_t *)text, .size = strlen(text)};
            err = rom_modfile_parse(&file, small, &mod, &info);
        }
        brisk_arena_destroy(small);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    assert_int_equal(err, BRISK_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_read),
        cmocka_unit_test(test_optional_parts_may_be_missing),
        cmocka_unit_test(test_every_fault_names_its_line),
        cmocka_unit_test(test_error_text_obeys_no_terminal),
        cmocka_unit_test(test_truncated_anywhere_is_no_crash),
        cmocka_unit_test(test_too_large_is_refused),
        cmocka_unit_test(test_arena_may_be_exhausted),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
