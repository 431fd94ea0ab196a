/* test_project.c -- package.json, overrides and workspaces: what is read, and what is refused how. */
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/arena.h>

#include "support/check.h"
#include "support/fault_alloc.h"
#include "workload/pkg/project.h"

static brisk_arena *arena;
static char root[PATH_MAX];

/* --- a folder ------------------------------------------------------------------------------ */

static void put(const char *path, const char *text)
{
    char whole[PATH_MAX + 256];
    (void)snprintf(whole, sizeof whole, "%s/%.200s", root, path);
    for (char *at = whole + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        (void)mkdir(whole, 0700);
        *at = '/';
    }
    FILE *file = fopen(whole, "wb");
    CHECK(file != NULL);
    CHECK_U64(fwrite(text, 1, strlen(text), file), ==, strlen(text));
    (void)fclose(file);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int setup(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    (void)snprintf(root, sizeof root, "%s/brisk-project-XXXXXX", base != NULL ? base : "/tmp");
    return mkdtemp(root) != NULL && brisk_arena_create(NULL, &arena) == BRISK_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    brisk_arena_destroy(arena);
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static pkg_project project_of(void)
{
    pkg_project project;
    brisk_errinfo info = {0};
    if (pkg_project_read(root, arena, &project, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    return project;
}

/* package.json as given is refused, in words that hold both texts. */
static void refused(const char *json, brisk_err err, const char *where, const char *why)
{
    put("package.json", json);
    pkg_project project;
    brisk_errinfo info = {0};
    brisk_err got = pkg_project_read(root, arena, &project, &info);
    if (got != err || strstr(info.text, where) == NULL || strstr(info.text, why) == NULL ||
        strstr(info.text, "package.json") == NULL) {
        fail_msg("%s: %s, \"%s\"", json, brisk_err_name(got), info.text);
    }
}

/* --- package.json -------------------------------------------------------------------------- */

static void dep_is(const pkg_manifest *m, uint32_t i, const char *name, const char *spec,
                   pkg_dep_kind kind)
{
    CHECK_U64(i, <, m->dep_count);
    const pkg_dep *dep = &m->deps[i];
    if (!pkg_text_is(dep->name, name) || !pkg_text_is(dep->spec, spec) || dep->kind != kind) {
        fail_msg("%u: %.*s@%.*s, kind %d", i, (int)dep->name.size, dep->name.data,
                 (int)dep->spec.size, dep->spec.data, (int)dep->kind);
    }
    CHECK(dep->name_hash == pkg_text_hash(dep->name));
}

static void test_fields(void **state)
{
    (void)state;
    put("package.json",
        "\xEF\xBB\xBF{\"name\": \"@s/p\", \"version\": \"v1.2.3\", \"private\": true,"
        " \"license\": {\"type\": \"MIT\", \"url\": \"x\"}, \"funding\": [1], \"bin\": \"./p.js\","
        " \"engines\": {\"node\": \">=18\", \"npm\": \"9\"}, \"os\": [\"linux\", \"!win32\"],"
        " \"cpu\": \"x64\", \"scripts\": {\"postinstall\": \"x\"}, \"bundleDependencies\": [\"b\"],"
        " \"dependencies\": {\"b\": \"^1.0.0\", \"a\": \"latest\", \"o\": \"1\", \"g\": \"u/r\"},"
        " \"optionalDependencies\": {\"o\": \"2\"},"
        " \"peerDependencies\": {\"b\": \"*\", \"q\": \"3\"},"
        " \"peerDependenciesMeta\": {\"q\": {\"optional\": true}, \"b\": {}},"
        " \"devDependencies\": {\"b\": \"^1.1.0\"}}");
    const pkg_manifest *m = project_of().manifest;
    CHECK(pkg_text_is(m->name, "@s/p") && pkg_text_is(m->version, "v1.2.3"));
    CHECK(m->semver.major == 1 && m->semver.minor == 2 && m->semver.patch == 3);
    CHECK_U64(m->flags, ==, PKG_PRIVATE | PKG_HAS_INSTALL_SCRIPT);
    CHECK(pkg_text_is(m->license, "MIT") && m->license_raw.size == 0);
    CHECK(pkg_text_is(m->funding, "[1]") && pkg_text_is(m->bin, "\"./p.js\""));
    CHECK(pkg_text_is(m->engine_node, ">=18") && pkg_text_is(m->engine_npm, "9"));
    CHECK(pkg_text_is(m->engines, "{\"node\": \">=18\", \"npm\": \"9\"}"));
    CHECK(m->os.count == 2 && pkg_text_is(m->os.items[1], "!win32") && m->cpu.count == 1);
    CHECK(m->bundled.count == 1 && m->published_ms == INT64_MIN);
    CHECK_U64(m->dep_count, ==, 7);
    dep_is(m, 0, "a", "latest", PKG_DEP_PROD);
    CHECK(m->deps[0].range == NULL);
    dep_is(m, 1, "b", "^1.0.0", PKG_DEP_PROD);
    CHECK(m->deps[1].range != NULL);
    dep_is(m, 2, "b", "*", PKG_DEP_PEER);
    dep_is(m, 3, "b", "^1.1.0", PKG_DEP_DEV);
    dep_is(m, 4, "g", "u/r", PKG_DEP_PROD);
    dep_is(m, 5, "o", "2", PKG_DEP_OPTIONAL); /* replaces the plain one */
    dep_is(m, 6, "q", "3", PKG_DEP_PEER_OPTIONAL);
}

static void test_least(void **state)
{
    (void)state;
    put("package.json", "{}");
    pkg_project project = project_of();
    CHECK(project.manifest->name.size == 0 && project.manifest->version.size == 0);
    CHECK(project.manifest->dep_count == 0 && project.workspace_count == 0);
    CHECK(project.override_count == 0 && project.folder.data[0] == '/');
    put("package.json",
        "{\"dependencies\": [], \"license\": [\"MIT\"], \"bundledDependencies\": true}");
    const pkg_manifest *m = project_of().manifest;
    CHECK(m->license.size == 0 && pkg_text_is(m->license_raw, "[\"MIT\"]"));
    CHECK_U64(m->flags, ==, PKG_BUNDLES_ALL);
}

static void test_refused(void **state)
{
    (void)state;
    refused("{\n\"a\": }", BRISK_ERR_CORRUPT, "line 2, column 6", "a value is expected");
    refused("[]", BRISK_ERR_INVALID, "line 1", "an object is expected");
    refused("", BRISK_ERR_CORRUPT, "line 1", "empty");
    refused("{\"name\": 1}", BRISK_ERR_INVALID, "line 1", "\"name\" has to be a text");
    refused("{\n\"version\":\n{}}", BRISK_ERR_INVALID, "line 3", "\"version\" has to be a text");
    refused("{\"dependencies\": \"a\"}", BRISK_ERR_INVALID, "line 1",
            "\"dependencies\" has to be an object");
    refused("{\"devDependencies\": {\n\"a\": 1}}", BRISK_ERR_INVALID, "line 2",
            "what a is wanted in");
    refused("{\"dependencies\": {\n\"../a\\u001b[2J\": \"1\"}}", BRISK_ERR_INVALID, "line 2",
            "../a\\x1b[2J\" is no package name");
    refused("{\"dependencies\": {\n\"a\": \"y z\"}}", BRISK_ERR_INVALID, "line 2",
            "no range, tag, URL or path");
}

/* --- overrides ----------------------------------------------------------------------------- */

static void test_overrides(void **state)
{
    (void)state;
    put("package.json",
        "{\"dependencies\": {\"c\": \"^3\", \"d\": \"1\"}, \"devDependencies\": {\"d\": \"2\"},\n"
        "\"overrides\": {\"a\": \"1.0.0\", \"@s/b@^2\": {\".\": \"2.1.0\",\n\"c\": \"$c\","
        " \"e\": {\"f@1\": \"\"}}, \"d\": \"$d\", \"g@next\": \"npm:h@1\"}}");
    pkg_project p = project_of();
    CHECK_U64(p.override_count, ==, 4);
    const pkg_override *o = p.overrides;
    CHECK(pkg_text_is(o[0].name, "a") && pkg_text_is(o[0].value, "1.0.0"));
    CHECK(o[0].key_spec.size == 0 && o[0].key_range == NULL && o[0].line == 2);
    CHECK(pkg_text_is(o[1].name, "@s/b") && pkg_text_is(o[1].key_spec, "^2"));
    CHECK(o[1].key_range != NULL && pkg_text_is(o[1].value, "2.1.0"));
    CHECK_U64(o[1].child_count, ==, 2);
    CHECK(pkg_text_is(o[1].children[0].value, "^3") && o[1].children[0].line == 3);
    const pkg_override *e = &o[1].children[1];
    CHECK(e->value.size == 0 && e->child_count == 1);
    CHECK(pkg_text_is(e->children[0].name, "f") && pkg_text_is(e->children[0].value, "*"));
    CHECK(pkg_text_is(o[2].value, "2")); /* dev before plain, as in npm */
    CHECK(o[3].key_range == NULL && pkg_text_is(o[3].key_spec, "next"));

    refused("{\"overrides\": []}", BRISK_ERR_INVALID, "line 1",
            "\"overrides\" has to be an object");
    refused("{\"overrides\": {\n\"a\": 1}}", BRISK_ERR_INVALID, "line 2", "a text or an object");
    refused("{\"overrides\": {\n\"a\": \"$none\"}}", BRISK_ERR_INVALID, "line 2",
            "\"$none\" refers to");
    refused("{\"overrides\": {\n\"./a\": \"1\"}}", BRISK_ERR_INVALID, "line 2",
            "does not begin with a package name");
    refused("{\"overrides\": {\n\"\": \"1\"}}", BRISK_ERR_INVALID, "line 2",
            "does not begin with a package name");
    refused("{\"overrides\": {\"a@y z\":\n \"1\"}}", BRISK_ERR_INVALID, "line 2", "is no range");
    refused("{\"overrides\": {\"a\":\n \"y z\"}}", BRISK_ERR_INVALID, "line 2", "is no range, tag");
}

/* --- workspaces ---------------------------------------------------------------------------- */

/* The paths that the patterns give, with blanks between. */
static void finds(const char *workspaces, const char *wanted)
{
    char json[1024];
    (void)snprintf(json, sizeof json, "{\"workspaces\": %s}", workspaces);
    put("package.json", json);
    pkg_project p = project_of();
    char got[1024] = "";
    size_t size = 0;
    for (uint32_t i = 0; i < p.workspace_count; i++) {
        size += (size_t)snprintf(got + size, sizeof got - size, "%s%.*s", i > 0 ? " " : "",
                                 (int)p.workspaces[i].path.size, p.workspaces[i].path.data);
    }
    if (strcmp(got, wanted) != 0) {
        fail_msg("%s: \"%s\" instead of \"%s\"", workspaces, got, wanted);
    }
}

static void test_workspaces(void **state)
{
    (void)state;
    static const char *const folders[] = {"packages/a",
                                          "packages/b",
                                          "packages/b/inner",
                                          "packages/.hidden",
                                          "packages/node_modules/x",
                                          "apps/web",
                                          "apps/web-old",
                                          "@s/p"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/package.json", folders[i]);
        put(path, "{}");
    }
    put("packages/none/readme", "");
    put("packages/.hidden/package.json", "{\"name\": \"hidden\"}");
    put("packages/b/package.json", "{\"name\": \"bee\", \"version\": \"1.0.0\"}");
    finds("[]", "");
    finds("[\"packages/*\"]", "packages/a packages/b");
    finds("{\"packages\": [\"./packages/*/\"]}", "packages/a packages/b");
    finds("[\"packages/b\", \"apps/web\", \"packages/b\"]", "apps/web packages/b");
    finds("[\"**\"]", "@s/p apps/web apps/web-old packages/a packages/b packages/b/inner");
    finds("[\"packages/**\"]", "packages/a packages/b packages/b/inner");
    finds("[\"packages/*\", \"!packages/a\"]", "packages/b");
    finds("[\"!packages/a\", \"packages/*\"]", "packages/b");
    finds("[\"packages/**\", \"!packages/b/**\", \"packages/b/inner\"]",
          "packages/a packages/b packages/b/inner");
    finds("[\"packages/a\", \"!packages/*\"]", "");
    finds("[\"!!packages/a\"]", "packages/a");
    finds("[\"{apps,packages}/{a,web}\"]", "apps/web packages/a");
    finds("[\"apps/w?b\"]", "apps/web");
    finds("[\"packages/.hidden\"]", "packages/.hidden");
    finds("[\"nowhere/*\", \"packages/none\"]", "");

    put("package.json", "{\"workspaces\": [\"packages/b\", \"@s/*\", \"apps/web\"]}");
    pkg_project p = project_of();
    CHECK_U64(p.workspace_count, ==, 3);
    CHECK(pkg_text_is(p.workspaces[0].manifest->name, "@s/p")); /* the folder's name */
    CHECK(pkg_text_is(p.workspaces[1].manifest->name, "web"));
    CHECK(pkg_text_is(p.workspaces[2].manifest->name, "bee"));

    put("apps/web/package.json", "{\"name\": \"bee\"}");
    refused("{\"workspaces\": [\"apps/web\", \"packages/*\"]}", BRISK_ERR_INVALID,
            "apps/web and packages/b", "both called bee");
    put("apps/web/package.json", "{\n\"name\": }");
    refused("{\"workspaces\": [\"apps/*\"]}", BRISK_ERR_CORRUPT, "apps/web/package.json", "line 2");
    refused("{\"workspaces\": 1}", BRISK_ERR_INVALID, "line 1", "has to be a list of patterns");
    refused("{\"workspaces\": {\"nohoist\": []}}", BRISK_ERR_INVALID, "line 1",
            "has to be a list of patterns");
    refused("{\"workspaces\": [\"a\",\n\"../b\"]}", BRISK_ERR_INVALID, "line 2",
            "in the project's folder");
    refused("{\"workspaces\": [\"a/../../b\"]}", BRISK_ERR_INVALID, "line 1",
            "in the project's folder");
    refused("{\"workspaces\": [\n1]}", BRISK_ERR_INVALID, "line 2", "has to be a path");
    refused("{\"workspaces\": [\"{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}\"]}", BRISK_ERR_LIMIT,
            "line 1", "more than 64 patterns");
}

/* --- odd files ----------------------------------------------------------------------------- */

static void odd(const char *what, brisk_err err)
{
    pkg_project project;
    brisk_errinfo info = {0};
    assert_int_equal(pkg_project_read(root, arena, &project, &info), err);
    if (strstr(info.text, what) == NULL || strstr(info.text, "package.json") == NULL) {
        fail_msg("%s", info.text);
    }
    char path[PATH_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/package.json", root);
    CHECK(remove(path) == 0 || err == BRISK_ERR_NOT_FOUND);
}

static void test_odd_files(void **state)
{
    (void)state;
    char path[PATH_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/package.json", root);
    odd("No such file", BRISK_ERR_NOT_FOUND);
    CHECK(mkdir(path, 0700) == 0);
    odd("is a folder", BRISK_ERR_INVALID);
    CHECK(mkfifo(path, 0600) == 0); /* does not block */
    odd("is a FIFO", BRISK_ERR_INVALID);
    put("real.json", "{}");
    CHECK(symlink("real.json", path) == 0);
    odd("is a symbolic link", BRISK_ERR_INVALID);
    put("package.json", "{}");
    CHECK(truncate(path, (16 << 20) + 1) == 0);
    odd("is larger than 16384 KiB", BRISK_ERR_LIMIT);
    pkg_project project;
    brisk_errinfo info = {0};
    assert_int_equal(pkg_project_read("/nonexistent/folder", arena, &project, &info),
                     BRISK_ERR_NOT_FOUND);
    CHECK(strstr(info.text, "/nonexistent/folder") != NULL);
}

static void test_links_out_are_no_workspaces(void **state)
{
    (void)state;
    char path[PATH_MAX + 32];
    put("in/package.json", "{\"name\": \"in\"}");
    (void)snprintf(path, sizeof path, "%s/linked", root);
    CHECK(symlink("in", path) == 0);
    (void)snprintf(path, sizeof path, "%s/out", root);
    CHECK(symlink("/usr", path) == 0);
    (void)snprintf(path, sizeof path, "%s/loop", root);
    CHECK(symlink(".", path) == 0); /* the project itself: not below it */
    finds("[\"lin*\"]", "linked");
    finds("[\"out\", \"out/**\", \"loop\"]", "");
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    put("w/a/package.json", "{\"name\": \"a\"}");
    put("package.json",
        "{\"workspaces\": [\"w/{a,b}\", \"w/*\", \"!x\"], \"overrides\": {\"a\": {\"b@1\": \"2\"}},"
        "\"dependencies\": {\"a\": \"^1\"}, \"os\": [\"linux\"]}");
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t fail_after = 1;
    for (; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_arena *small;
        CHECK_OK(brisk_arena_create(&(brisk_arena_opts){.alloc = &fault.base, .chunk_bytes = 4096},
                                    &small));
        pkg_project project = {0};
        brisk_errinfo info = {0};
        err = pkg_project_read(root, small, &project, &info);
        CHECK(err == BRISK_OK || info.text[0] != '\0');
        brisk_arena_destroy(small);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
    CHECK_U64(fail_after, >, 3);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_fields),
        CASE(test_least),
        CASE(test_refused),
        CASE(test_overrides),
        CASE(test_workspaces),
        CASE(test_odd_files),
        CASE(test_links_out_are_no_workspaces),
        CASE(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
