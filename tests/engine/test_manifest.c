/*
 * test_manifest.c -- manifests: written, read back, used by configuration; hostile ones left out.
 *
 * Public headers and the shared library only.
 */
#include <stdbool.h>
#include <string.h>

#include <brisk/brisk.h>

#include "support/check.h"
#include "support/fault_alloc.h"
#include "support/temp_dir.h"

BRISK_DEFINE_CLEANUP(brisk_engine, brisk_engine_destroy)
BRISK_DEFINE_CLEANUP(brisk_manifests, brisk_manifests_destroy)

static char modules[PATH_MAX]; /* $BRISK_MODULE_PATH as the build gave it */
static int lines;
static char last[BRISK_LOG_LINE_MAX];

static void count_line(void *ctx, brisk_log_level level, const char *area, const char *line)
{
    (void)ctx;
    (void)level;
    (void)area;
    lines++;
    (void)snprintf(last, sizeof last, "%s", line);
}

static int set_up(void **unused)
{
    (void)unused;
    const char *path = getenv("BRISK_MODULE_PATH");
    (void)snprintf(modules, sizeof modules, "%s", path != NULL ? path : "");
    return 0;
}

/* Only `dir` is searched, and what lies beside the library. */
static void look_in(const temp_dir *dir, bool modules_too)
{
    char path[2 * PATH_MAX];
    (void)snprintf(path, sizeof path, "%s%s%s", dir->path, modules_too ? ":" : "",
                   modules_too ? modules : "");
    CHECK(setenv("BRISK_MODULE_PATH", path, 1) == 0);
}

typedef struct sink {
    char text[16384];
    size_t size;
} sink;

static brisk_err sink_write(void *ctx, const char *data, size_t size)
{
    sink *s = ctx;
    if (size >= sizeof s->text - s->size) {
        return BRISK_ERR_FULL;
    }
    memcpy(s->text + s->size, data, size);
    s->size += size;
    s->text[s->size] = '\0';
    return BRISK_OK;
}

static const brisk_yaml_node *find(const brisk_manifests *manifests, const char *name)
{
    for (uint32_t i = 0; i < brisk_manifests_count(manifests); i++) {
        const brisk_yaml_node *root = brisk_manifests_at(manifests, i);
        if (strcmp(brisk_yaml_get(root, "name")->text, name) == 0) {
            return root;
        }
    }
    return NULL;
}

static brisk_exit run_nothing(const brisk_invocation *invocation)
{
    (void)invocation;
    return BRISK_EXIT_OK;
}

static void test_round_trip(void **unused)
{
    (void)unused;
    static const brisk_option options[] = {
        {.name = "output",
         .letter = 'o',
         .type = BRISK_OPTION_FILE,
         .metavar = "FILE",
         .summary = "where \"it\" goes: here",
         .required = true},
        {.name = "quiet", .type = BRISK_OPTION_FLAG, .summary = "say less"},
    };
    static const brisk_command command = {.name = "apply",
                                          .group = "Do",
                                          .synopsis = "A B... -o FILE",
                                          .summary = "apply # not a comment",
                                          .description = "First.\n\nSecond: é.",
                                          .examples = "x\ty\n",
                                          .options = options,
                                          .option_count = 2,
                                          .run = run_nothing};
    static const brisk_command *const commands[] = {&command};
    static const brisk_knob knobs[] = {{.name = "trip.big",
                                        .summary = "s",
                                        .type = BRISK_KNOB_BYTES,
                                        .min = 1,
                                        .max = UINT64_MAX,
                                        .def = UINT64_C(1) << 63}};
    static const brisk_module module = {.abi_version = BRISK_ABI_VERSION,
                                        .size = sizeof(brisk_module),
                                        .name = "trip",
                                        .summary = "round",
                                        .commands = commands,
                                        .command_count = 1,
                                        .knobs = knobs,
                                        .knob_count = 1};
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    sink s = {.size = 0};
    CHECK_OK(brisk_module_write_manifest(&module, (brisk_out){sink_write, &s}));
    temp_write(temp_dir_path(dir, "trip.manifest"), s.text, s.size);
    look_in(dir, false);
    BRISK_CLEANUP(brisk_manifests_destroy) brisk_manifests *manifests = NULL;
    CHECK_OK(brisk_manifests_load(NULL, &manifests));
    const brisk_yaml_node *root = find(manifests, "trip");
    CHECK(root != NULL);
    const brisk_yaml_node *c = brisk_yaml_get(root, "commands")->child;
    assert_string_equal(brisk_yaml_get(c, "summary")->text, command.summary);
    assert_string_equal(brisk_yaml_get(c, "description")->text, command.description);
    assert_string_equal(brisk_yaml_get(c, "examples")->text, command.examples);
    const brisk_yaml_node *o = brisk_yaml_get(c, "options");
    CHECK_U64(o->count, ==, 2);
    assert_string_equal(brisk_yaml_get(o->child, "letter")->text, "o");
    assert_string_equal(brisk_yaml_get(o->child, "summary")->text, options[0].summary);
    assert_string_equal(brisk_yaml_get(o->child, "required")->text, "true");
    CHECK(brisk_yaml_get(o->child->next, "letter") == NULL);
    const brisk_yaml_node *k = brisk_yaml_get(root, "knobs")->child;
    assert_string_equal(brisk_yaml_get(k, "def")->text, "9223372036854775808");
}

static const char good[] = "{abi: 2, name: NAME, summary: s, knobs: "
                           "[{name: NAME.x, summary: s, type: 0, min: 0, max: 9, def: 3}]}\n";

static void write_manifest(temp_dir *dir, const char *name, const char *content)
{
    char file[64];
    char whole[1024] = "";
    size_t used = 0;
    for (const char *at = content; *at != '\0' && used < sizeof whole - 64;) {
        bool place = strncmp(at, "NAME", 4) == 0;
        used += (size_t)snprintf(whole + used, sizeof whole - used, "%.*s", place ? 64 : 1,
                                 place ? name : at);
        at += place ? 4 : 1;
    }
    (void)snprintf(file, sizeof file, "%s.manifest", name);
    temp_write_text(temp_dir_path(dir, file), whole);
}

static void test_sorted_and_first_wins(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *first = temp_dir_make();
    BRISK_CLEANUP(temp_dir_remove) temp_dir *second = temp_dir_make();
    write_manifest(first, "mmm", good);
    write_manifest(first, "zzz", good);
    write_manifest(first, "aaa", good);
    write_manifest(second, "mmm", "{abi: 2, name: mmm, summary: hidden}\n");
    write_manifest(second, "bbb", good);
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, ":%s::%s:/nonexistent:", first->path, second->path);
    CHECK(setenv("BRISK_MODULE_PATH", path, 1) == 0);
    BRISK_CLEANUP(brisk_manifests_destroy) brisk_manifests *manifests = NULL;
    CHECK_OK(brisk_manifests_load(NULL, &manifests));
    for (uint32_t i = 1; i < brisk_manifests_count(manifests); i++) {
        const char *before = brisk_yaml_get(brisk_manifests_at(manifests, i - 1), "name")->text;
        CHECK(strcmp(before, brisk_yaml_get(brisk_manifests_at(manifests, i), "name")->text) < 0);
    }
    CHECK(find(manifests, "aaa") != NULL && find(manifests, "bbb") != NULL);
    assert_string_equal(brisk_yaml_get(find(manifests, "mmm"), "summary")->text, "s");
}

static void test_hostile_manifests_are_left_out(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "",
        "[]",
        "text",
        "{",
        "{abi: 2}",
        "{abi: 2, name: NAME}",
        "{abi: 1, name: NAME, summary: s}",
        "{abi: 0, name: NAME, summary: s}",
        "{abi: x, name: NAME, summary: s}",
        "{abi: [2], name: NAME, summary: s}",
        "{abi: 2, name: other, summary: s}",
        "{abi: 2, name: NAME, summary: [s]}",
        "{abi: 2, name: NAME, summary: s, more: 1}",
        "{abi: 2, name: NAME, summary: s, commands: {}}",
        "{abi: 2, name: NAME, summary: s, commands: [x]}",
        "{abi: 2, name: NAME, summary: s, commands: [{name: a}]}",
        "{abi: 2, name: NAME, summary: s, commands: [{name: a, summary: [b]}]}",
        "{abi: 2, name: NAME, summary: s, commands: [{name: a, summary: b, options: c}]}",
        "{abi: 2, name: NAME, summary: s, commands: [{name: a, summary: b, options: [c]}]}",
        "{abi: 2, name: NAME, summary: s, commands: [{name: a, summary: b, options: "
        "[{name: c, summary: d, type: 99}]}]}",
        "{abi: 2, name: NAME, summary: s, commands: [{name: a, summary: b, options: "
        "[{name: c, summary: d, type: 1, letter: ab}]}]}",
        "{abi: 2, name: NAME, summary: s, knobs: [{name: NAME.x}]}",
        "{abi: 2, name: NAME, summary: s, knobs: "
        "[{name: cache.x, summary: s, type: 0, min: 0, max: 9, def: 3}]}",
        "{abi: 2, name: NAME, summary: s, knobs: "
        "[{name: NAMEx.x, summary: s, type: 0, min: 0, max: 9, def: 3}]}",
        "{abi: 2, name: NAME, summary: s, knobs: "
        "[{name: NAME.x, summary: s, type: 6, min: 0, max: 9, def: 3}]}",
        "{abi: 2, name: NAME, summary: s, knobs: "
        "[{name: NAME.x, summary: s, type: 0, min: -1, max: 9, def: 3}]}",
        "{abi: 2, name: NAME, summary: s, knobs: "
        "[{name: NAME.x, summary: s, type: 0, min: 0, max: 99999999999999999999, def: 3}]}",
        "a: &x 1\nb: *x\n",
    };
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    look_in(dir, false);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_manifest(dir, "bad", bad[i]);
        brisk_manifests *manifests = NULL;
        lines = 0;
        CHECK_OK(brisk_manifests_load(NULL, &manifests));
        if (find(manifests, "bad") != NULL || lines != 1 || strstr(last, "bad.manifest") == NULL) {
            fail_msg("%zu: %s: %s", i, bad[i], last);
        }
        brisk_manifests_destroy(manifests);
        brisk_log_set_sink(count_line, NULL, NULL); /* forgets what it has limited */
    }
    CHECK(remove(temp_dir_path(dir, "bad.manifest")) == 0);
    CHECK(mkdir(temp_dir_path(dir, "bad.manifest"), 0700) == 0);
    write_manifest(dir, "UPPER", good);
    write_manifest(dir, "good", good);
    brisk_manifests *manifests = NULL;
    CHECK_OK(brisk_manifests_load(NULL, &manifests));
    CHECK(find(manifests, "good") != NULL && find(manifests, "UPPER") == NULL);
    brisk_manifests_destroy(manifests);
}

static void test_every_allocation_may_fail(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    write_manifest(dir, "aaa", good);
    write_manifest(dir, "bbb", good);
    look_in(dir, false);
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_manifests *manifests = NULL;
        err = brisk_manifests_load(&fault.base, &manifests);
        CHECK((manifests != NULL) == (err == BRISK_OK));
        brisk_manifests_destroy(manifests);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

/* --- configuration of a module that is not loaded ----------------------------------------- */

static brisk_err create(const char *config, const char *setting, brisk_engine **ret,
                        brisk_errinfo *info)
{
    brisk_engine_opts opts = {.no_disk = true,
                              .no_files = config == NULL,
                              .config_path = config,
                              .settings = &setting,
                              .setting_count = setting != NULL ? 1 : 0};
    *info = (brisk_errinfo){.text = ""};
    return brisk_engine_create(&opts, ret, info);
}

static void test_knobs_before_their_module(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *config = temp_dir_path(dir, "brisk.yaml");
    temp_write_text(config, "absent:\n  x: 7\n");
    write_manifest(dir, "absent", good); /* there is no absent.so */
    look_in(dir, false);
    brisk_engine *engine = NULL;
    brisk_errinfo info;
    CHECK_OK(create(config, NULL, &engine, &info));
    CHECK_U64(brisk_knobs_u64(brisk_engine_knobs(engine), "absent.x"), ==, 7);
    brisk_engine_destroy(engine);
    temp_write_text(config, "absent:\n  x: 10\n");
    engine = NULL;
    CHECK(create(config, NULL, &engine, &info) == BRISK_ERR_LIMIT);
    CHECK(strstr(info.text, "brisk.yaml:2") != NULL);
    CHECK_OK(create(NULL, "absent.x=5", &engine, &info));
    CHECK_U64(brisk_knobs_u64(brisk_engine_knobs(engine), "absent.x"), ==, 5);
    CHECK(brisk_knobs_source(brisk_engine_knobs(engine), "absent.x") == BRISK_KNOB_FLAG);
    brisk_engine_destroy(engine);
    CHECK(create(NULL, "absent.y=5", &engine, &info) == BRISK_ERR_NOT_FOUND);
}

static void test_module_joins_its_manifest(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    look_in(dir, true);
    const brisk_module *module = NULL;
    brisk_errinfo info = {.text = ""};
    if (brisk_module_load("wordcount", &module, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    sink s = {.size = 0};
    CHECK_OK(brisk_module_write_manifest(module, (brisk_out){sink_write, &s}));
    temp_write(temp_dir_path(dir, "wordcount.manifest"), s.text, s.size);
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = NULL;
    CHECK_OK(create(NULL, "wordcount.parts=9", &engine, &info));
    const brisk_workload *workload = NULL;
    CHECK_OK(brisk_engine_load(engine, "wordcount", &workload, &info));
    CHECK_OK(brisk_engine_load(engine, "wordcount", &workload, &info));
    CHECK(workload == module->workload);
    CHECK_U64(brisk_knobs_u64(brisk_engine_knobs(engine), "wordcount.parts"), ==, 9);

    /* A manifest of another build of the module is found out. */
    temp_write_text(temp_dir_path(dir, "wordcount.manifest"),
                    "{abi: 2, name: wordcount, summary: s, knobs: [{name: wordcount.parts, "
                    "summary: s, type: 0, min: 0, max: 9, def: 3}]}\n");
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *stale = NULL;
    CHECK_OK(create(NULL, "wordcount.parts=9", &stale, &info));
    workload = NULL;
    CHECK(brisk_engine_load(stale, "wordcount", &workload, &info) == BRISK_ERR_CORRUPT);
    CHECK(workload == NULL && strstr(info.text, "wordcount.parts") != NULL);
}

int main(void)
{
    brisk_log_set_sink(count_line, NULL, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_sorted_and_first_wins),
        cmocka_unit_test(test_hostile_manifests_are_left_out),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_knobs_before_their_module),
        cmocka_unit_test(test_module_joins_its_manifest),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
