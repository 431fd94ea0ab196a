/* test_config.c -- .npmrc and the environment: what counts, what is refused, where secrets go. */
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/arena.h>

#include "support/check.h"
#include "support/fault_alloc.h"
#include "workload/pkg/npmrc.h"
#include "workload/pkg/project.h"

enum { VARIABLES_MAX = 16 };

static brisk_arena *arena;
static char root[PATH_MAX];
static char project[PATH_MAX + 16];
static char *environment[VARIABLES_MAX + 4];

/* --- a folder, a home and an environment --------------------------------------------------- */

static void put(const char *path, const char *text)
{
    char whole[PATH_MAX + 256];
    (void)snprintf(whole, sizeof whole, "%s/%.200s", root, path);
    FILE *file = fopen(whole, "wb");
    CHECK(file != NULL);
    CHECK_U64(fwrite(text, 1, strlen(text), file), ==, strlen(text));
    (void)fclose(file);
}

/* HOME and the global file are in the test's folder; `more` are further variables, NULL at the end. */
static void set_environment(const char *const *more)
{
    size_t n = 0;
    environment[n++] = brisk_arena_printf(arena, "HOME=%s/home", root);
    environment[n++] = brisk_arena_printf(arena, "npm_config_globalconfig=%s/global", root);
    for (; more != NULL && *more != NULL; more++) {
        CHECK(n < VARIABLES_MAX);
        environment[n++] = brisk_arena_printf(arena, "%s", *more);
    }
    environment[n] = NULL;
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
    (void)snprintf(root, sizeof root, "%s/brisk-config-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(root) == NULL || brisk_arena_create(NULL, &arena) != BRISK_OK) {
        return -1;
    }
    char home[PATH_MAX + 16];
    (void)snprintf(home, sizeof home, "%s/home", root);
    (void)snprintf(project, sizeof project, "%s/project", root);
    set_environment(NULL);
    return mkdir(home, 0700) == 0 ? mkdir(project, 0700) : -1;
}

static int teardown(void **state)
{
    (void)state;
    brisk_arena_destroy(arena);
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static pkg_config config_of(void)
{
    pkg_config config;
    brisk_errinfo info = {0};
    if (pkg_config_read_with(project, environment, arena, &config, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    return config;
}

static void refused(brisk_err err, const char *where, const char *why)
{
    pkg_config config;
    brisk_errinfo info = {0};
    brisk_err got = pkg_config_read_with(project, environment, arena, &config, &info);
    if (got != err || strstr(info.text, where) == NULL || strstr(info.text, why) == NULL) {
        fail_msg("%s, \"%s\"", brisk_err_name(got), info.text);
    }
    CHECK(strstr(info.text, "SECRET") == NULL); /* never in a message */
}

/* --- lines --------------------------------------------------------------------------------- */

static void test_lines(void **state)
{
    (void)state;
    set_environment((const char *const[]){"A=one", "B=", NULL});
    static const char text[] =
        "\xEF\xBB\xBF# comment\r\n; comment\n\n a = b ; comment\nflag\n"
        "q = \"x ; \\\"y\\\"\"\ns = 'it # is'\ne = a\\;b\\#c\\\\d\\e\n"
        "v = ${A}-${B}-${C}-${C?}-\\${A}-\\\\\\\\${A}-${}-${A\nl[] = 1\nl[] = 2\n"
        "k${A} = 1\n= nothing\na = last\n[section]\nhidden = 1\n";
    npmrc rc;
    CHECK_OK(npmrc_parse(PKG_TEXT(text), "f", environment, arena, &rc, NULL));
    static const char *const wanted[][2] = {
        {"a", "last"},    {"flag", "true"},     {"q", "x ; \"y\""},
        {"s", "it # is"}, {"e", "a;b#c\\d\\e"}, {"v", "one--${C}--${A}-\\one-${}-${A"},
        {"l", "2"},       {"kone", "1"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        const npmrc_entry *entry = npmrc_find(&rc, pkg_text_of(wanted[i][0]));
        if (entry == NULL || !pkg_text_is(entry->value, wanted[i][1])) {
            fail_msg("%s: %.*s", wanted[i][0], entry != NULL ? (int)entry->value.size : 0,
                     entry != NULL ? entry->value.data : "");
        }
    }
    CHECK_U64(rc.count, ==, 10);
    CHECK_U64(npmrc_find(&rc, PKG_TEXT("a"))->line, ==, 14);
    CHECK(npmrc_find(&rc, PKG_TEXT("l"))->list);
    CHECK(npmrc_find(&rc, PKG_TEXT("hidden")) == NULL);
}

static void test_lines_are_limited(void **state)
{
    (void)state;
    char *big = malloc(70000);
    CHECK(big != NULL);
    memset(big, 'x', 70000);
    memcpy(big, "BIG=", 4);
    big[69999] = '\0';
    set_environment(NULL);
    environment[2] = big;
    environment[3] = NULL;
    npmrc rc;
    brisk_errinfo info = {0};
    assert_int_equal(
        npmrc_parse(PKG_TEXT("a = 1\nb = ${BIG}\n"), "f", environment, arena, &rc, &info),
        BRISK_ERR_LIMIT);
    CHECK(strstr(info.text, "f: line 2: ") != NULL);
    free(big);
}

/* --- settings ------------------------------------------------------------------------------ */

static void test_defaults(void **state)
{
    (void)state;
    pkg_config c = config_of();
    CHECK(c.strict_ssl && !c.legacy_peer_deps && !c.strict_peer_deps && !c.omit_resolved);
    CHECK(c.fetch_retries == 2 && c.fetch_timeout_ms == 300000 && c.max_sockets == 15);
    CHECK(c.min_age_minutes == 0 && c.before.size == 0 && c.ca_file.size == 0 && c.proxy.size == 0);
    CHECK_U64(c.registry_count, ==, 1);
    CHECK(c.registries[0].url.size == 0 && c.registries[0].token.size == 0);
}

static void test_the_nearest_source_counts(void **state)
{
    (void)state;
    put("global",
        "fetch-retries = 1\nmaxsockets = 1\nfetch-timeout = 1\nproxy = http://global.test\n");
    put("home/.npmrc", "fetch-retries = 2\nmaxsockets = 2\nfetch-timeout = 2\n");
    put("project/.npmrc", "fetch-retries = 3\nmaxsockets = 3\nlegacy-peer-deps\n");
    set_environment((const char *const[]){
        "NPM_CONFIG_FETCH_RETRIES=4", "npm_config_strict_ssl=false", "npm_config_cafile=~/ca.pem",
        "npm_config_maxsockets=", "HTTPS_PROXY=http://env.test", "NO_PROXY=a,b", NULL});
    pkg_config c = config_of();
    CHECK(c.fetch_retries == 4 && c.max_sockets == 3 && c.fetch_timeout_ms == 2);
    CHECK(c.legacy_peer_deps && !c.strict_ssl);
    CHECK(pkg_text_is(c.proxy, "http://global.test") &&
          pkg_text_is(c.https_proxy, "http://env.test"));
    CHECK(pkg_text_is(c.no_proxy, "a,b"));
    CHECK(c.ca_file.size > 7 && memcmp(c.ca_file.data + c.ca_file.size - 7, "/ca.pem", 7) == 0 &&
          c.ca_file.data[0] == '/');
}

static void test_ages(void **state)
{
    (void)state;
    put("project/.npmrc", "min-release-age = 0.5\nmin-release-age-exclude[] = "
                          "a\nmin-release-age-exclude[] = b, @s/c\n");
    pkg_config c = config_of();
    CHECK(c.min_age_minutes == 720 && c.min_age_excluded.count == 3);
    CHECK(pkg_text_is(c.min_age_excluded.items[2], "@s/c"));
    put("home/.npmrc", "before = 2026-01-01\n");
    c = config_of(); /* the project's is nearer */
    CHECK(c.min_age_minutes == 720 && c.before.size == 0);
    put("project/.npmrc", "min-release-age = 7\nbefore = 2025-01-01\n");
    c = config_of();
    CHECK(c.min_age_minutes == 0 && pkg_text_is(c.before, "2025-01-01"));
}

static void test_bad_values(void **state)
{
    (void)state;
    put("project/.npmrc", "\nstrict-ssl = SECRET\n");
    refused(BRISK_ERR_CORRUPT, "project/.npmrc: line 2: \"strict-ssl\"", "true or false");
    static const char *const numbers[] = {"-1", "SECRET", "1x", "nan", "1e99", ""};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "fetch-retries = %s\n", numbers[i]);
        put("project/.npmrc", text);
        refused(BRISK_ERR_CORRUPT, "line 1: \"fetch-retries\"", "has to be a number");
    }
    static const char *const urls[] = {"SECRET",           "ftp://SECRET/",     "https://",
                                       "https:///x",       "https://h/?SECRET", "\"https://h/#x\"",
                                       "https://h/a/../b", "https://h/%2E%2e/", "\"https://h/ x\""};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "@s:registry = %s\n", urls[i]);
        put("project/.npmrc", text);
        refused(BRISK_ERR_CORRUPT, "line 1: \"@scope:registry\"",
                "has to be the URL of a registry");
    }
    put("project/.npmrc", "//h/${T}/:_authToken = ${T}\n");
    set_environment((const char *const[]){"T=SECRET\r\nX-Evil: 1", NULL});
    refused(BRISK_ERR_CORRUPT, "line 1: \"//host/path:_authToken\"", "which no header may have");
    put("project/.npmrc", "");
    set_environment((const char *const[]){"npm_config_prefer_dedupe=SECRET", NULL});
    refused(BRISK_ERR_CORRUPT, "environment", "\"prefer-dedupe\" has to be true or false");
}

/* --- registries and secrets ---------------------------------------------------------------- */

static void test_registries(void **state)
{
    (void)state;
    put("home/.npmrc",
        "registry = HTTPS://Registry.test:443/npm\n@a:registry = http://a.test:8080/\n"
        "@b:registry=https://user:pa%3Ass@b.test/x/\n//registry.test/npm/:_authToken = ${T}\n"
        "//a.test:8080/:_auth = dXNlcjpwYXNz\n");
    put("project/.npmrc", "@a:registry = http://a.test:8080/deep\n");
    set_environment((const char *const[]){"T=SECRET1", NULL});
    pkg_config c = config_of();
    CHECK_U64(c.registry_count, ==, 3);
    const pkg_registry *r = pkg_config_registry(&c, PKG_TEXT("left-pad"));
    CHECK(pkg_text_is(r->url, "https://registry.test/npm/") && pkg_text_is(r->token, "SECRET1") &&
          !r->basic);
    CHECK(pkg_config_registry(&c, PKG_TEXT("@none/x")) == r);
    r = pkg_config_registry(&c, PKG_TEXT("@a/x"));
    CHECK(pkg_text_is(r->url, "http://a.test:8080/deep/") &&
          pkg_text_is(r->token, "dXNlcjpwYXNz") && r->basic);
    r = pkg_config_registry(&c, PKG_TEXT("@b/x"));
    CHECK(pkg_text_is(r->url, "https://b.test/x/") && r->basic);
    CHECK(pkg_text_is(r->token, "dXNlcjpwYTpzcw==")); /* user:pa:ss */
}

static void receives(const pkg_config *c, const char *url, const char *token)
{
    const pkg_auth *auth = pkg_config_auth(c, pkg_text_of(url));
    bool right = auth == NULL ? token == NULL : token != NULL && pkg_text_is(auth->token, token);
    if (!right) {
        fail_msg("%s gets %.*s", url, auth != NULL ? (int)auth->token.size : 7,
                 auth != NULL ? auth->token.data : "nothing");
    }
}

static void test_secrets_stay_with_host_and_path(void **state)
{
    (void)state;
    put("home/.npmrc", "//h.test/:_authToken = root\n//h.test/team/:_authToken = "
                       "team\n//h.test/bare:_authToken = bare\n"
                       "//p.test:8443/:username = user\n//p.test:8443/:_password = cGFzcw==\n"
                       "//plain.test/:_authToken = plain\n//loop.test:1/:_authToken = loop\n"
                       "_authToken = SECRET\n_auth = SECRET\n//:_authToken = SECRET\n"
                       "registry = http://loop.test:1/\n");
    pkg_config c = config_of();
    receives(&c, "https://h.test/left-pad", "root");
    receives(&c, "https://H.TEST:443/left-pad?x#y", "root");
    receives(&c, "https://h.test", "root");
    receives(&c, "https://h.test/team/left-pad/-/left-pad-1.0.0.tgz", "team");
    receives(&c, "https://h.test/team", "root");
    receives(&c, "https://h.test/teams/x", "root");
    receives(&c, "https://h.test/bare/x", "bare");
    receives(&c, "https://h.test/barely", "root");
    receives(&c, "https://p.test:8443/x", "dXNlcjpwYXNz");
    receives(&c, "https://p.test/x", NULL);
    receives(&c, "https://evil.h.test/x", NULL);
    receives(&c, "https://h.test.evil/x", NULL);
    receives(&c, "https://h.test@evil.test/x", NULL);
    receives(&c, "https://evil.test/h.test/team/", NULL);
    receives(&c, "https://evil.test\\@h.test/x", NULL);
    receives(&c, "https://h.test/team/../x", NULL);
    receives(&c, "https://h.test/team/%2e./x", NULL);
    receives(&c, "http://h.test/x", NULL);        /* not in the clear ... */
    receives(&c, "http://loop.test:1/x", "loop"); /* ... unless the registry itself is */
    receives(&c, "http://loop.test:2/x", NULL);
    receives(&c, "ftp://h.test/x", NULL);
    receives(&c, "", NULL);
}

/* --- odd files ----------------------------------------------------------------------------- */

static void test_odd_files(void **state)
{
    (void)state;
    char path[PATH_MAX + 32];
    char target[PATH_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/.npmrc", project);
    CHECK(mkfifo(path, 0600) == 0);
    refused(BRISK_ERR_INVALID, "project/.npmrc", "is a FIFO");
    CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0);
    refused(BRISK_ERR_INVALID, "project/.npmrc", "is a folder");
    CHECK(rmdir(path) == 0);
    put("dotfile", "fetch-retries = 9\n");
    (void)snprintf(target, sizeof target, "%s/dotfile", root);
    CHECK(symlink(target, path) == 0);
    refused(BRISK_ERR_INVALID, "project/.npmrc", "is a symbolic link");
    CHECK(unlink(path) == 0);
    (void)snprintf(path, sizeof path, "%s/home/.npmrc", root);
    CHECK(symlink(target, path) == 0); /* people keep theirs elsewhere */
    CHECK_U64(config_of().fetch_retries, ==, 9);
    CHECK(truncate(target, NPMRC_BYTES_MAX + 1) == 0);
    refused(BRISK_ERR_LIMIT, "home/.npmrc", "is larger than 1024 KiB");
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    put("home/.npmrc",
        "registry = https://u:p@h.test/\n@s:registry = https://s.test/x\n//s.test/x/:username = u\n"
        "//s.test/x/:_password = cGFzcw==\ncafile = ~/ca\nmin-release-age-exclude[] = a,b\nk = "
        "${HOME}\n");
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t fail_after = 1;
    for (; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_arena *small;
        CHECK_OK(brisk_arena_create(&(brisk_arena_opts){.alloc = &fault.base, .chunk_bytes = 4096},
                                    &small));
        pkg_config config;
        brisk_errinfo info = {0};
        err = pkg_config_read_with(project, environment, small, &config, &info);
        CHECK(err == BRISK_OK || strstr(info.text, "out of memory") != NULL);
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
        CASE(test_lines),      CASE(test_lines_are_limited),
        CASE(test_defaults),   CASE(test_the_nearest_source_counts),
        CASE(test_ages),       CASE(test_bad_values),
        CASE(test_registries), CASE(test_secrets_stay_with_host_and_path),
        CASE(test_odd_files),  CASE(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
