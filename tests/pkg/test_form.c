/*
 * test_form.c -- proves pkg's form: a package.json without a folder is resolved offline from the
 * store, a stranger's folders, files and hosts are not followed, and errors name the member.
 */
#include "support/form_kit.h"

#include <limits.h>

#include <brisk/file.h>

#include "support/temp_dir.h"
#include "workload/pkg/jsontext.h"
#include "workload/pkg/metadata.h"
#include "workload/pkg/packument.h"
#include "workload/pkg/resolve.h"

BRISK_DEFINE_CLEANUP(brisk_engine, brisk_engine_destroy)

static const char packument[] =
    "{\"name\":\"left\",\"dist-tags\":{\"latest\":\"1.2.0\"},\"versions\":{"
    "\"1.0.0\":{\"name\":\"left\",\"version\":\"1.0.0\",\"dist\":{\"tarball\":"
    "\"https://registry.example/left-1.0.0.tgz\",\"integrity\":\"sha512-aaaa\"}},"
    "\"1.2.0\":{\"name\":\"left\",\"version\":\"1.2.0\",\"dist\":{\"tarball\":"
    "\"https://registry.example/left-1.2.0.tgz\",\"integrity\":\"sha512-bbbb\"}}}}";

static temp_dir *dir;

static void fill_store(void)
{
    pkg_store *store;
    brisk_arena *arena;
    brisk_errinfo info = {.text = ""};
    pkg_stored stored = {.registry = pkg_registry_key(PKG_TEXT("https://registry.example/"), false),
                         .fetched_ms = 1000};
    CHECK_OK(pkg_store_open(temp_dir_path(dir, "cache/packages.store"), NULL, &store, &info));
    CHECK_OK(brisk_arena_create(NULL, &arena));
    CHECK_OK(
        pkg_packument_parse(PKG_TEXT("left"), PKG_TEXT(packument), arena, &stored.package, &info));
    CHECK_OK(pkg_store_put(store, &stored, &info));
    pkg_store_close(store);
    brisk_arena_destroy(arena);
}

static int setup(void **unused)
{
    (void)unused;
    dir = temp_dir_make();
    CHECK(setenv("npm_config_registry", "https://registry.example/", 1) == 0);
    CHECK(setenv("npm_config_userconfig", temp_dir_path(dir, "none"), 1) == 0);
    CHECK(setenv("npm_config_globalconfig", temp_dir_path(dir, "none"), 1) == 0);
    fill_store();
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    temp_dir_remove(dir);
    return 0;
}

static brisk_engine *make_engine(void)
{
    char setting[PATH_MAX + 32];
    (void)snprintf(setting, sizeof setting, "cache.disk.path=%s", temp_dir_path(dir, "cache"));
    const char *const settings[] = {setting};
    brisk_engine_opts opts = {
        .no_files = true, .no_disk = true, .settings = settings, .setting_count = 1};
    brisk_engine *engine = NULL;
    CHECK_OK(brisk_engine_create(&opts, &engine, NULL));
    return engine;
}

static void test_a_lock_from_the_store(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = make_engine();
    static form_kit kit;
    static char lock[20000];
    form_kit_ask(&kit, engine, &pkg_workload,
                 "{\"package\":{\"name\":\"app\",\"version\":\"1.0.0\","
                 "\"dependencies\":{\"left\":\"^1.0.0\"}},\"offline\":true}",
                 NULL, 0);
    if (kit.err != BRISK_OK) {
        fail_msg("%s", kit.job != NULL ? brisk_job_error_text(kit.job) : kit.info.text);
    }
    assert_string_equal(kit.output.type, "application/json");
    assert_string_equal(kit.output.name, "package-lock.json");
    size_t size = brisk_value_size(kit.output.value);
    CHECK(size < sizeof lock);
    memcpy(lock, brisk_value_data(kit.output.value), size);
    CHECK(strstr(lock, "\"node_modules/left\"") != NULL);
    CHECK(strstr(lock, "\"version\": \"1.2.0\"") != NULL);
    CHECK(strstr(kit.details, "\"packages\":1") != NULL);
    form_kit_end(&kit);

    /* as texts, with a lock that holds it at the older version */
    static char json[40000];
    char *older = strstr(lock, "1.2.0");
    while (older != NULL) {
        memcpy(older, "1.0.0", 5);
        older = strstr(older, "1.2.0");
    }
    (void)snprintf(json, sizeof json,
                   "{\"package\":\"{\\\"name\\\":\\\"app\\\",\\\"version\\\":\\\"1.0.0\\\","
                   "\\\"dependencies\\\":{\\\"left\\\":\\\"^1.0.0\\\"}}\",\"lock\":%.*s,"
                   "\"offline\":true}",
                   (int)size, lock);
    form_kit_ask(&kit, engine, &pkg_workload, json, NULL, 0);
    CHECK_OK(kit.err);
    CHECK(memmem(brisk_value_data(kit.output.value), brisk_value_size(kit.output.value),
                 "left-1.0.0.tgz", 14) != NULL);
    form_kit_end(&kit);
}

static void test_what_is_refused(void **unused)
{
    (void)unused;
    static const struct {
        const char *json;
        const char *text;
    } bad[] = {
        {"{}", "\"package\" is missing: package.json"},
        {"{\"package\":1}", "\"package\" has to be an object, or a string that holds one"},
        {"{\"package\":{\"workspaces\":[\"/etc\"]}}",
         "package.json: \"workspaces\" are folders, and there are none here"},
        {"{\"package\":{},\"registry\":\"http://evil/\"}", "there is no member \"registry\""},
        {"{\"package\":{},\"before\":\"soon\"}", "\"before\" is no date; write 2026-01-31"},
        {"{\"package\":{},\"min_age\":\"old\"}", "\"min_age\" is no time with its unit: 7d, 36h"},
        {"{\"package\":{},\"node\":\"x\"}", "\"node\" is no version; write 20.11.0"},
        {"{\"package\":{},\"offline\":true,\"prefer_offline\":true}",
         "\"offline\" and \"prefer_offline\" contradict each other"},
        {"{\"package\":{},\"resolution\":\"best\"}",
         "\"resolution\" has to be one of npm, highest"},
    };
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = make_engine();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        static form_kit kit;
        form_kit_ask(&kit, engine, &pkg_workload, bad[i].json, NULL, 0);
        CHECK(kit.err != BRISK_OK && !kit.parsed);
        assert_string_equal(kit.info.text, bad[i].text);
        form_kit_end(&kit);
    }
}

/* A dependency on a folder is not looked at, whatever is there. */
static void test_no_folder_is_read(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = make_engine();
    static form_kit kit;
    char json[600];
    FILE *file = fopen(temp_dir_path(dir, "package.json"), "w");
    CHECK(file != NULL && fputs("{\"name\":\"x\",\"version\":\"9.9.9\"}", file) >= 0);
    CHECK(fclose(file) == 0);
    (void)snprintf(json, sizeof json,
                   "{\"package\":{\"dependencies\":{\"x\":\"file:%s\"}},\"offline\":true}",
                   dir->path);
    form_kit_ask(&kit, engine, &pkg_workload, json, NULL, 0);
    CHECK(kit.err == BRISK_ERR_PERMISSION);
    CHECK(strstr(brisk_job_error_text(kit.job), "there are none here") != NULL);
    form_kit_end(&kit);
}

static void test_schema(void **unused)
{
    (void)unused;
    form_kit_check_schema(pkg_workload.form);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_a_lock_from_the_store),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_no_folder_is_read),
        cmocka_unit_test(test_schema),
    };
    return cmocka_run_group_tests(cases, setup, teardown);
}
