/*
 * test_form.c -- proves rom's form: bytes in, the patched bytes out, the same answer from the cache,
 * nothing of the machine's files, and errors that name the member.
 */
#include "support/form_kit.h"

#include "base/cleanup.h"
#include "workload/rom/apply.h"

BRISK_DEFINE_CLEANUP(brisk_engine, brisk_engine_destroy)

static const char patch[] = "PATCH\0\0\x01\0\x02hiEOF"; /* "hi" at 1 */
static const char rom[] = "0123456789";
static const char modfile[] = "mod: m\ncomponents:\n  - {name: a, patch: {file: a.ips}}\n"
                              "  - {name: b, write: {at: 0x9, bytes: 21}}\n";

static const brisk_form_part parts[] = {
    {"rom", "", rom, sizeof rom - 1},
    {"patch", "", patch, sizeof patch - 1},
    {"m.yaml", "", modfile, sizeof modfile - 1},
};

static brisk_engine *make_engine(void)
{
    brisk_engine *engine = NULL;
    CHECK_OK(brisk_engine_create(&(brisk_engine_opts){.no_files = true, .no_disk = true}, &engine,
                                 NULL));
    return engine;
}

static void check_bytes(const form_kit *kit, const char *bytes)
{
    if (kit->err != BRISK_OK) {
        fail_msg("%s", kit->job != NULL ? brisk_job_error_text(kit->job) : kit->info.text);
    }
    CHECK_U64(brisk_value_size(kit->output.value), ==, strlen(bytes));
    CHECK(memcmp(brisk_value_data(kit->output.value), bytes, strlen(bytes)) == 0);
    assert_string_equal(kit->output.type, "application/octet-stream");
}

static void test_a_patch_and_the_same_again(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = make_engine();
    static form_kit kit;
    for (int again = 0; again < 2; again++) {
        form_kit_ask(&kit, engine, &rom_workload,
                     "{\"rom\":{\"part\":\"rom\"},\"mods\":[{\"part\":\"patch\"}]}", parts, 3);
        check_bytes(&kit, "0hi3456789");
        CHECK((brisk_job_answered_by(kit.job) != NULL) == (again == 1));
        CHECK(strstr(kit.details, "\"bytes\":10") != NULL);
        CHECK(strstr(kit.details, "\"crc32\":\"") != NULL);
        assert_string_equal(kit.output.name, "rom");
        form_kit_end(&kit);
    }
}

static void test_mod_files_name_what_came_along(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = make_engine();
    static form_kit kit;
    form_kit_ask(&kit, engine, &rom_workload,
                 "{\"rom\":{\"base64\":\"MDEyMzQ1Njc4OQ==\"},\"mods\":[{\"part\":\"m.yaml\"}],"
                 "\"files\":[{\"part\":\"patch\",\"name\":\"a.ips\"}],"
                 "\"fix_checksums\":\"never\"}",
                 parts, 3);
    check_bytes(&kit, "0hi345678!");
    form_kit_end(&kit);
    form_kit_ask(&kit, engine, &rom_workload,
                 "{\"rom\":{\"part\":\"rom\"},\"mods\":[{\"part\":\"m.yaml\"}]}", parts, 3);
    CHECK(kit.err == BRISK_ERR_NOT_FOUND);
    assert_string_equal(brisk_job_error_text(kit.job), "a.ips: did not come with the request");
    form_kit_end(&kit);
}

/* A mod file that names files of this machine gets none of them. */
static void test_no_file_is_opened(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = make_engine();
    static const char *const names[] = {"/etc/passwd", "../../../etc/passwd", "0", "fd/0"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        static form_kit kit;
        char text[200];
        (void)snprintf(text, sizeof text, "mod: m\ncomponents:\n  - {name: a, patch: {file: %s}}\n",
                       names[i]);
        const brisk_form_part evil[] = {{"rom", "", rom, sizeof rom - 1},
                                        {"/proc/self/m.yaml", "", text, strlen(text)}};
        form_kit_ask(&kit, engine, &rom_workload,
                     "{\"rom\":{\"part\":\"rom\"},\"mods\":[{\"part\":\"/proc/self/m.yaml\"}]}",
                     evil, 2);
        CHECK(kit.err == BRISK_ERR_NOT_FOUND || kit.err == BRISK_ERR_INVALID);
        form_kit_end(&kit);
    }
}

static void test_what_is_wrong_is_named(void **unused)
{
    (void)unused;
    static const struct {
        const char *json;
        const char *text;
    } bad[] = {
        {"[]", "an object is expected, not an array"},
        {"{}", "\"mods\" has to have 1 to 256 items"},
        {"{\"mods\":[]}", "\"mods\" has to have 1 to 256 items"},
        {"{\"mods\":[{\"part\":\"patch\"}]}", "\"rom\": an object is expected, not nothing"},
        {"{\"mods\":{}}", "\"mods\" has to be an array, not an object"},
        {"{\"rom\":{\"part\":\"rom\"},\"mods\":[{\"part\":\"patch\"},{\"part\":\"x\"}]}",
         "\"mods[1]\": there is no part \"x\""},
        {"{\"rom\":{\"part\":\"rom\"},\"mods\":[{\"part\":\"patch\",\"name\":\"rom\"}]}",
         "\"mods[0]\": two inputs are named rom; give them \"name\""},
        {"{\"rom\":{\"part\":\"rom\"},\"mods\":[{\"part\":\"patch\"}],\"force\":1}",
         "\"force\" has to be true or false, not a number"},
        {"{\"rom\":{\"part\":\"rom\"},\"mods\":[{\"part\":\"patch\"}],\"out\":\"x\"}",
         "there is no member \"out\""},
        {"{\"rom\":{\"path\":\"/etc/passwd\"},\"mods\":[{\"part\":\"patch\"}]}",
         "\"rom\": no files may be read"},
        {"{\"rom\":{\"part\":\"rom\"},\"mods\":[{\"part\":\"patch\"}],\"fix_checksums\":\"x\"}",
         "\"fix_checksums\" has to be one of auto, always, never"},
    };
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = make_engine();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        static form_kit kit;
        form_kit_ask(&kit, engine, &rom_workload, bad[i].json, parts, 3);
        CHECK(kit.err != BRISK_OK && !kit.parsed);
        assert_string_equal(kit.info.text, bad[i].text);
        form_kit_end(&kit);
    }
}

/* More than a value that fits into memory whole: it is a file then. */
static void test_a_large_result(void **unused)
{
    (void)unused;
    enum { SIZE = 3 << 20 };
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = make_engine();
    static char large[SIZE];
    static form_kit kit;
    uint64_t seed = check_seed();
    for (size_t i = 0; i < SIZE; i++) {
        large[i] = (char)check_random(&seed);
    }
    const brisk_form_part both[] = {{"rom", "", large, SIZE}, parts[1]};
    form_kit_ask(&kit, engine, &rom_workload,
                 "{\"rom\":{\"part\":\"rom\"},\"mods\":[{\"part\":\"patch\"}]}", both, 2);
    CHECK_OK(kit.err);
    CHECK_U64(brisk_value_size(kit.output.value), ==, SIZE);
    static char found[SIZE];
    CHECK_OK(brisk_file_pread_all(brisk_value_fd(kit.output.value), found, SIZE, 0));
    memcpy(large + 1, "hi", 2);
    CHECK(memcmp(found, large, SIZE) == 0);
    form_kit_end(&kit);
}

static void test_schema(void **unused)
{
    (void)unused;
    form_kit_check_schema(rom_workload.form);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_a_patch_and_the_same_again),
        cmocka_unit_test(test_mod_files_name_what_came_along),
        cmocka_unit_test(test_no_file_is_opened),
        cmocka_unit_test(test_what_is_wrong_is_named),
        cmocka_unit_test(test_a_large_result),
        cmocka_unit_test(test_schema),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
