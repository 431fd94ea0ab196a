/*
 * test_form.c -- proves brisk_form_bytes: each way to name bytes gives them, whatever is wrong is
 * named, no path leaves its folder, the budget counts everything, every allocation may fail; and
 * that brisk_job_progress sees a stage before, while and after it runs.
 */
#include "engine/lab.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/form.h>

#include "support/temp_dir.h"

typedef struct scene {
    brisk_arena *arena;
    brisk_form_input input;
    uint64_t used;
} scene;

static brisk_err give_entry(void *ctx, const char *name, size_t size, brisk_arena *arena,
                            brisk_form_part *ret)
{
    (void)ctx;
    (void)arena;
    if (size != 3 || memcmp(name, "e/1", 3) != 0) {
        return BRISK_ERR_NOT_FOUND;
    }
    *ret = (brisk_form_part){.name = "", .type = "", .data = "entry", .size = 5};
    return BRISK_OK;
}

static void begin(scene *s)
{
    static const brisk_form_part parts[] = {{"rom", "", "ROM!", 4}, {"mod", "", "", 0}};
    *s = (scene){0};
    CHECK_OK(brisk_arena_create(NULL, &s->arena));
    s->input = (brisk_form_input){.parts = parts,
                                  .part_count = 2,
                                  .arena = s->arena,
                                  .entry = give_entry,
                                  .bytes_max = 100,
                                  .used = &s->used};
}

static brisk_err ask(scene *s, const char *json, brisk_form_part *ret, brisk_errinfo *info)
{
    const brisk_json_node *node = NULL;
    *ret = (brisk_form_part){0};
    *info = (brisk_errinfo){.text = ""};
    CHECK_OK(brisk_json_read(json, strlen(json), brisk_arena_as_alloc(s->arena), &node, NULL));
    return brisk_form_bytes(&s->input, node, "rom", ret, info);
}

static void test_ways_to_name_bytes(void **unused)
{
    (void)unused;
    static const struct {
        const char *json;
        const char *name;
        const char *bytes;
    } good[] = {
        {"{\"base64\":\"QUJD\"}", "rom", "ABC"},
        {"{\"base64\":\"QUI=\",\"name\":\"x.ips\"}", "x.ips", "AB"},
        {"{\"base64\":\"QQ==\"}", "rom", "A"},
        {"{\"base64\":\"\"}", "rom", ""},
        {"{\"text\":\"a\\nb\"}", "rom", "a\nb"},
        {"{\"part\":\"rom\"}", "rom", "ROM!"},
        {"{\"part\":\"mod\"}", "mod", ""},
        {"{\"entry\":\"e/1\"}", "e/1", "entry"},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        scene s;
        brisk_form_part part;
        brisk_errinfo info;
        begin(&s);
        CHECK_OK(ask(&s, good[i].json, &part, &info));
        assert_string_equal(part.name, good[i].name);
        CHECK_U64(part.size, ==, strlen(good[i].bytes));
        CHECK(part.size == 0 || memcmp(part.data, good[i].bytes, part.size) == 0);
        brisk_arena_destroy(s.arena);
    }
}

static void test_what_is_wrong_is_named(void **unused)
{
    (void)unused;
    static const struct {
        const char *json;
        brisk_err err;
        const char *text;
    } bad[] = {
        {"{}", BRISK_ERR_INVALID, "\"rom\" has to have one of"},
        {"[]", BRISK_ERR_INVALID, "\"rom\": an object is expected, not an array"},
        {"{\"text\":\"a\",\"part\":\"rom\"}", BRISK_ERR_INVALID, "\"rom\" has to have one of"},
        {"{\"text\":1}", BRISK_ERR_INVALID, "\"rom\": \"text\" has to be a string, not a number"},
        {"{\"url\":\"http://x\"}", BRISK_ERR_INVALID, "\"rom\": there is no member \"url\""},
        {"{\"base64\":\"QQ=\"}", BRISK_ERR_INVALID, "\"rom\": \"base64\" is not base64"},
        {"{\"base64\":\"QR==\"}", BRISK_ERR_INVALID, "\"rom\": \"base64\" is not base64"},
        {"{\"base64\":\"QUJ=\"}", BRISK_ERR_INVALID, "\"rom\": \"base64\" is not base64"},
        {"{\"base64\":\"Q Q=\"}", BRISK_ERR_INVALID, "\"rom\": \"base64\" is not base64"},
        {"{\"base64\":\"====\"}", BRISK_ERR_INVALID, "\"rom\": \"base64\" is not base64"},
        {"{\"part\":\"no\"}", BRISK_ERR_NOT_FOUND, "\"rom\": there is no part \"no\""},
        {"{\"entry\":\"no\"}", BRISK_ERR_NOT_FOUND, "\"rom\": entry \"no\": "},
        {"{\"path\":\"a\"}", BRISK_ERR_PERMISSION, "\"rom\": no files may be read"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        scene s;
        brisk_form_part part;
        brisk_errinfo info;
        begin(&s);
        CHECK(ask(&s, bad[i].json, &part, &info) == bad[i].err);
        if (strncmp(info.text, bad[i].text, strlen(bad[i].text)) != 0) {
            fail_msg("%s: %s", bad[i].json, info.text);
        }
        CHECK(part.data == NULL);
        brisk_arena_destroy(s.arena);
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void test_no_path_leaves_the_folder(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "open");
    CHECK(mkdir(path, 0700) == 0);
    CHECK(mkdir(temp_dir_path(dir, "open/sub"), 0700) == 0);
    write_file(temp_dir_path(dir, "open/sub/a"), "inside");
    write_file(temp_dir_path(dir, "secret"), "outside");
    CHECK(symlink("../secret", temp_dir_path(dir, "open/link")) == 0);
    CHECK(symlink("sub/a", temp_dir_path(dir, "open/inner")) == 0);
    CHECK(mkfifo(temp_dir_path(dir, "open/fifo"), 0600) == 0);
    static const struct {
        const char *json;
        brisk_err err;
    } cases[] = {
        {"{\"path\":\"sub/a\"}", BRISK_OK},
        {"{\"path\":\"inner\"}", BRISK_OK},
        {"{\"path\":\"sub/../sub/a\"}", BRISK_OK},
        {"{\"path\":\"../secret\"}", BRISK_ERR_PERMISSION},
        {"{\"path\":\"link\"}", BRISK_ERR_PERMISSION},
        {"{\"path\":\"/etc/passwd\"}", BRISK_ERR_PERMISSION},
        {"{\"path\":\"/proc/self/environ\"}", BRISK_ERR_PERMISSION},
        {"{\"path\":\"sub/a\\u0000b\"}", BRISK_ERR_INVALID},
        {"{\"path\":\"\"}", BRISK_ERR_NOT_FOUND},
        {"{\"path\":\"sub\"}", BRISK_ERR_INVALID},
        {"{\"path\":\"fifo\"}", BRISK_ERR_INVALID},
        {"{\"path\":\"none\"}", BRISK_ERR_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scene s;
        brisk_form_part part;
        brisk_errinfo info;
        begin(&s);
        s.input.root = path;
        brisk_err err = ask(&s, cases[i].json, &part, &info);
        if (err != cases[i].err) {
            fail_msg("%s: %s", cases[i].json, info.text);
        }
        CHECK(err != BRISK_OK || (part.size == 6 && memcmp(part.data, "inside", 6) == 0));
        brisk_arena_destroy(s.arena);
    }
}

static void test_the_budget_is_of_all(void **unused)
{
    (void)unused;
    scene s;
    brisk_form_part part;
    brisk_errinfo info;
    begin(&s);
    s.input.bytes_max = 7;
    CHECK_OK(ask(&s, "{\"base64\":\"QUJD\"}", &part, &info));
    CHECK_OK(ask(&s, "{\"base64\":\"QUJD\"}", &part, &info));
    CHECK_U64(s.used, ==, 6);
    CHECK(ask(&s, "{\"base64\":\"QUJD\"}", &part, &info) == BRISK_ERR_LIMIT);
    CHECK(ask(&s, "{\"entry\":\"e/1\"}", &part, &info) == BRISK_ERR_LIMIT);
    brisk_arena_destroy(s.arena);
}

static void test_every_allocation_may_fail(void **unused)
{
    (void)unused;
    brisk_err err = BRISK_ERR_NOMEM;
    for (size_t limit = 4096; err == BRISK_ERR_NOMEM && limit < 65536; limit += 4096) {
        static char json[20000];
        (void)snprintf(json, sizeof json, "{\"base64\":\"");
        memset(json + strlen(json), 'A', 16000);
        (void)snprintf(json + strlen("{\"base64\":\"") + 16000, 3, "\"}");
        scene s;
        begin(&s);
        const brisk_json_node *node = NULL;
        CHECK_OK(brisk_json_read(json, strlen(json), brisk_arena_as_alloc(s.arena), &node, NULL));
        brisk_arena *small = NULL;
        CHECK_OK(brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 4096, .limit_bytes = limit},
                                    &small));
        s.input.arena = small;
        s.input.bytes_max = 0;
        brisk_form_part part = {0};
        brisk_errinfo info = {.text = ""};
        err = brisk_form_bytes(&s.input, node, "rom", &part, &info);
        CHECK((part.data != NULL) == (err == BRISK_OK));
        brisk_arena_destroy(small);
        brisk_arena_destroy(s.arena);
    }
    CHECK(err == BRISK_OK);
}

/* --- progress ----------------------------------------------------------------------------- */

static brisk_job *watched;
static brisk_stage_state seen[3];

static brisk_err look(lab_request *request, brisk_stage_ctx *ctx, const char *where)
{
    (void)request;
    if (strcmp(where, "left") == 0) {
        brisk_stage_add_bytes(ctx, 5);
        for (uint32_t i = 0; i < lab.stage_count; i++) {
            brisk_stage_progress p = brisk_job_progress(watched, i);
            if (strcmp(p.name, "left") == 0) {
                seen[0] = p.state;
                CHECK_U64(p.bytes, ==, 5);
            } else if (strcmp(p.name, "deliver") == 0) {
                seen[1] = p.state;
            }
        }
    }
    return BRISK_OK;
}

static void test_progress_of_stages(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    lab_request request = {.input = "x", .hook = look};
    CHECK_OK(brisk_job_create(engine, &lab, &request, NULL, &watched));
    for (uint32_t i = 0; i < lab.stage_count; i++) {
        CHECK(brisk_job_progress(watched, i).state == BRISK_STAGE_WAITING);
    }
    CHECK_OK(brisk_job_run(watched));
    CHECK(seen[0] == BRISK_STAGE_RUNNING && seen[1] == BRISK_STAGE_WAITING);
    for (uint32_t i = 0; i < lab.stage_count; i++) {
        CHECK(brisk_job_progress(watched, i).state == BRISK_STAGE_DONE);
    }
    brisk_job_destroy(watched);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_ways_to_name_bytes),
        cmocka_unit_test(test_what_is_wrong_is_named),
        cmocka_unit_test(test_no_path_leaves_the_folder),
        cmocka_unit_test(test_the_budget_is_of_all),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_progress_of_stages),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
