/*
 * test_deb_index.c -- lists to an index to answers: what relations mean, file handling, damage.
 */
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/brisk.h>

#include "pkg/deb_check.h"
#include "support/check.h"
#include "support/fault_alloc.h"

/* A stanza: name, version, and further fields. */
#define S(name, version, fields)                                                                   \
    "Package: " name "\nVersion: " version "\nArchitecture: amd64\n" fields "\n"

typedef struct fixture {
    brisk_arena *arena;
    pkg_text image;
    deb_index index;
} fixture;

static fixture make_archs(const char *text, const char *archs)
{
    fixture f = {0};
    brisk_errinfo info = {0};
    deb_input input = {.text = pkg_text_of(text), .name = "Packages"};
    CHECK_OK(brisk_arena_create(NULL, &f.arena));
    if (deb_index_build(&input, 1, archs, 7, f.arena, &f.image, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    CHECK_OK(deb_index_load(f.image, &f.index));
    return f;
}

static fixture make(const char *text)
{
    return make_archs(text, "amd64");
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The answer as "a=1 b=2", sorted; or the proof; or the error. */
static const char *ask_with(fixture *f, const char *request, bool recommends, bool essential)
{
    const char *packages[8];
    uint32_t count = 0;
    pkg_text rest = pkg_text_of(request);
    pkg_text part;
    while (deb_list_next(&rest, ' ', &part)) {
        packages[count++] = brisk_arena_copy(f->arena, part.data, part.size);
    }
    deb_request r = {.packages = packages,
                     .count = count,
                     .recommends = recommends,
                     .assume_essential = essential};
    deb_answer answer;
    brisk_errinfo info = {0};
    if (deb_resolve(&f->index, &r, f->arena, &answer, &info) != BRISK_OK) {
        return brisk_arena_printf(f->arena, "error: %s", info.text);
    }
    const char *text = "";
    for (uint32_t i = 0; !answer.solved && i < answer.proof.count; i++) {
        text = brisk_arena_printf(f->arena, "%s%s\n", text, answer.proof.items[i]);
    }
    const char **items = brisk_arena_alloc(f->arena, (answer.choice_count + 1) * sizeof *items);
    for (uint32_t i = 0; answer.solved && i < answer.choice_count; i++) {
        const deb_package *package = &f->index.packages[answer.choices[i].package];
        pkg_text name = deb_text(&f->index, f->index.names[package->name].text);
        pkg_text version = deb_text(&f->index, f->index.versions[answer.choices[i].version].text);
        items[i] =
            brisk_arena_printf(f->arena, "%.*s%s=%.*s", (int)name.size, name.data,
                               package->arch == 1 ? ":i386" : "", (int)version.size, version.data);
    }
    if (answer.solved) {
        qsort(items, answer.choice_count, sizeof *items, compare_texts);
    }
    for (uint32_t i = 0; answer.solved && i < answer.choice_count; i++) {
        text = brisk_arena_printf(f->arena, "%s%s%s", text, i > 0 ? " " : "", items[i]);
    }
    return text;
}

static const char *ask(fixture *f, const char *request)
{
    return ask_with(f, request, true, false);
}

static void test_versions_and_alternatives(void **state)
{
    (void)state;
    fixture f = make(S("a", "1", "Depends: b (>= 2), c | d\n") S("b", "1", "") S("b", "3", "")
                         S("b", "2", "") S("d", "1", ""));
    assert_string_equal(ask(&f, "a"), "a=1 b=3 d=1");
    assert_string_equal(ask(&f, "a b=2"), "a=1 b=2 d=1");
    assert_string_equal(
        ask(&f, "a b=1"),
        "Because a 1 depends on b (>= 2), the request asks for b=1, and the request asks for a: "
        "there is no answer.\n");
    assert_string_equal(ask(&f, "x"), "error: there is no package 'x' in these lists");
    assert_string_equal(ask(&f, "b=9"),
                        "error: there is no 'b=9' in these lists; there is version 3 of amd64");
    assert_string_equal(ask(&f, "b="), "error: 'b=' is no package (name, name:arch or "
                                       "name=version)");
    brisk_arena_destroy(f.arena);
}

/* A provided name meets a dependency; one with a version only in a version that is provided. */
/* Each step of the proof is about all alternatives that are left; its sentence must not be. */
static void test_a_proof_of_many_alternatives(void **state)
{
    (void)state;
    enum { COUNT = 400 };
    brisk_arena *texts;
    CHECK_OK(brisk_arena_create(NULL, &texts));
    const char *depends = "Depends: b0";
    const char *others = S("b0", "1", "Depends: gone\n");
    for (int i = 1; i < COUNT; i++) {
        depends = brisk_arena_printf(texts, "%s | b%d", depends, i);
        others = brisk_arena_printf(
            texts, "%sPackage: b%d\nVersion: 1\nArchitecture: amd64\nDepends: gone\n\n", others, i);
    }
    const char *text = brisk_arena_printf(
        texts, "Package: a\nVersion: 1\nArchitecture: amd64\n%s\n\n%s", depends, others);
    assert_non_null(text);
    fixture f = make(text);
    const char *packages[] = {"a"};
    deb_answer answer;
    CHECK_OK(deb_resolve(&f.index, &(deb_request){.packages = packages, .count = 1}, f.arena,
                         &answer, NULL));
    CHECK(!answer.solved && answer.proof.count > COUNT / 4);
    size_t most = 0;
    for (uint32_t i = 1; i < answer.proof.count; i++) { /* the first says what a depends on */
        size_t size = strlen(answer.proof.items[i]);
        most = size > most ? size : most;
    }
    CHECK_U64(most, >, 100);
    CHECK_U64(most, <, 1000);
    assert_non_null(strstr(answer.proof.items[1], " or 3"));
    assert_non_null(strstr(answer.proof.items[1], " more"));
    brisk_arena_destroy(f.arena);
    brisk_arena_destroy(texts);
}

static void test_provides(void **state)
{
    (void)state;
    fixture f = make(S("a", "1", "Depends: v\n") S("b", "1", "Depends: v (>= 2)\n")
                         S("p", "1", "Provides: v\nPriority: optional\n")
                             S("q", "1", "Provides: v (= 3), w\nPriority: important\n")
                                 S("c", "1", "Depends: w (>= 1)\n"));
    assert_string_equal(ask(&f, "a"), "a=1 q=1");
    assert_string_equal(ask(&f, "a p"), "a=1 p=1");
    assert_string_equal(ask(&f, "b p"), "b=1 p=1 q=1");
    assert_string_equal(ask(&f, "w"), "q=1");
    assert_string_equal(ask(&f, "c"),
                        "Because c 1 depends on w (>= 1), which nothing can meet, and the request "
                        "asks for c: there is no answer.\n");
    brisk_arena_destroy(f.arena);
}

static void test_conflicts(void **state)
{
    (void)state;
    fixture f = make(S("mta", "1", "Provides: m\nConflicts: m\n") S("mtb", "1", "Provides: m\n")
                         S("a", "1", "Breaks: b (<< 2)\n") S("b", "1", "") S("b", "2", "")
                             S("c", "1", "Depends: b (= 1)\n"));
    assert_string_equal(ask(&f, "mta"), "mta=1"); /* never itself */
    assert_string_equal(ask(&f, "mta mtb"),
                        "Because mta 1 conflicts with m, which mtb provides, the request asks for "
                        "mtb, and the request asks for mta: there is no answer.\n");
    assert_string_equal(ask(&f, "a b"), "a=1 b=2");
    CHECK(strstr(ask(&f, "a c"), "a 1 breaks b (<< 2)") != NULL);
    brisk_arena_destroy(f.arena);
}

static void test_recommends(void **state)
{
    (void)state;
    fixture f = make(S("a", "1", "Depends: b\nRecommends: c, d, nowhere\n") S(
        "b", "1", "Conflicts: d\n") S("c", "1", "Recommends: e\n") S("d", "1", "") S("e", "1", ""));
    assert_string_equal(ask(&f, "a"), "a=1 b=1 c=1 e=1");
    assert_string_equal(ask_with(&f, "a", false, false), "a=1 b=1");
    brisk_arena_destroy(f.arena);
}

static void test_essential(void **state)
{
    (void)state;
    fixture f = make(S("base", "1", "Essential: yes\nDepends: lib\n") S("lib", "1", "")
                         S("lib", "2", "") S("a", "1", "Depends: lib, x\n") S("x", "1", "")
                             S("old", "1", "Depends: lib (= 1)\n"));
    assert_string_equal(ask_with(&f, "a", true, true), "a=1 x=1");
    CHECK(strstr(ask_with(&f, "old", true, true), "the request has the essential set") != NULL);
    assert_string_equal(ask_with(&f, "old", true, false), "lib=1 old=1");
    brisk_arena_destroy(f.arena);
}

#define M(name, arch, version, fields)                                                             \
    "Package: " name "\nVersion: " version "\nArchitecture: " arch "\n" fields "\n"

static void test_multi_arch(void **state)
{
    (void)state;
    fixture f = make_archs(
        M("tool", "amd64", "1", "Multi-Arch: foreign\n")
            M("lib", "amd64", "1", "Multi-Arch: same\n") M("lib", "i386", "1", "Multi-Arch: same\n")
                M("lib", "i386", "2", "Multi-Arch: same\n")
                    M("wine", "i386", "1", "Depends: lib, tool\n") M("plain", "amd64", "1", "")
                        M("plain", "i386", "1", "") M("py", "amd64", "1", "Multi-Arch: allowed\n")
                            M("app", "i386", "1", "Depends: py:any\n")
                                M("app2", "i386", "1", "Depends: py\n")
                                    M("app3", "i386", "1", "Depends: plain:amd64\n")
                                        M("doc", "all", "1", "")
                                            M("app4", "i386", "1", "Depends: doc\n")
                                                M("other", "arm64", "1", ""),
        "amd64,i386");
    assert_string_equal(ask(&f, "wine:i386"), "lib:i386=2 tool=1 wine:i386=1");
    assert_string_equal(ask(&f, "wine"), "lib:i386=2 tool=1 wine:i386=1");
    /* both: then in the same version */
    assert_string_equal(ask(&f, "wine:i386 lib:amd64"), "lib:i386=1 lib=1 tool=1 wine:i386=1");
    CHECK(strstr(ask(&f, "plain:amd64 plain:i386"), "there is no answer") != NULL);
    assert_string_equal(ask(&f, "app"), "app:i386=1 py=1");
    CHECK(strstr(ask(&f, "app2"), "there is no answer") != NULL);
    assert_string_equal(ask(&f, "app3"), "app3:i386=1 plain=1");
    CHECK(strstr(ask(&f, "app4"), "there is no answer") != NULL); /* "all" is native */
    assert_string_equal(ask(&f, "other"), "error: there is no package 'other' in these lists");
    brisk_arena_destroy(f.arena);
}

static void test_order(void **state)
{
    (void)state;
    fixture f = make(S("a", "1", "Depends: b, x\n") S("b", "1", "Depends: c\n") S(
        "c", "1", "Depends: b, d\n") S("d", "1", "") S("x", "1", "Depends: d\n"));
    const char *request = "a";
    deb_answer answer;
    deb_order order;
    CHECK_OK(deb_resolve(&f.index, &(deb_request){.packages = &request, .count = 1}, f.arena,
                         &answer, NULL));
    CHECK_OK(deb_order_of(&f.index, &answer, f.arena, &order));
    CHECK_U64(order.group_count, ==, 4); /* d; b and c; x; a */
    CHECK_U64(order.group_ends[0], ==, 1);
    CHECK_U64(order.group_ends[3], ==, 5);
    CHECK_U64(order.items[4], ==, 0);
    CHECK_U64(order.group_ends[1] - order.group_ends[0], ==, 2);
    brisk_arena_destroy(f.arena);
}

/* Stanzas that cannot be used are left out and said; doubled ones count once. */
static void test_hostile_lists(void **state)
{
    (void)state;
    fixture f =
        make("Version: 1\nArchitecture: amd64\n\nPackage: n\nArchitecture: amd64\n\n"
             "Package: n\nVersion: 1\n\n" S("bad", "x y", "") S("b d", "1", "")
                 S("a", "1", "Depends: a, a (>= 1), (, )), b:, |,|\n") S("a", "1", "Depends: no\n")
                     S("c", "1", "Depends: d\nConflicts: c\n") S("d", "1", "Depends: c | no\n")
                         S("s", "1", "Conflicts: s, c\nProvides: s, c (>= 1), c\n"));
    CHECK_U64(f.index.skipped, ==, 5);
    assert_string_equal(brisk_arena_copy(f.arena, f.index.skip_why.data, f.index.skip_why.size),
                        "Packages:1: a stanza without Package");
    CHECK(strstr(ask(&f, "a"), "a 1 depends on |, which nothing can meet") != NULL);
    assert_string_equal(ask(&f, "c"), "c=1 d=1");
    assert_string_equal(ask(&f, "s"), "s=1");
    CHECK(strstr(ask(&f, "s c"), "there is no answer") != NULL);
    assert_string_equal(ask(&f, "n"), "error: there is no package 'n' in these lists");
    assert_string_equal(ask(&f, "no"), "error: there is no package 'no' in these lists");
    brisk_arena_destroy(f.arena);
    f = make("");
    assert_string_equal(ask(&f, "a"), "error: there is no package 'a' in these lists");
    brisk_arena_destroy(f.arena);
}

/* More versions than a set has room for: the greatest stay.  Fields of megabytes are taken or refused. */
static void test_large(void **state)
{
    (void)state;
    brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    size_t capacity = 4 << 20;
    char *text = brisk_arena_alloc(arena, capacity);
    size_t size = 0;
    for (int v = 0; v < 100; v++) {
        size += (size_t)snprintf(text + size, capacity - size,
                                 "Package: a\nVersion: %d\nArchitecture: all\n\n", v);
    }
    fixture f = make(text);
    CHECK_U64(f.index.version_count, ==, DEB_VERSIONS_MAX);
    assert_string_equal(ask(&f, "a"), "a=99");
    CHECK(strstr(ask(&f, "a=0"), "there is no 'a=0'") != NULL);
    brisk_arena_destroy(f.arena);
    /* 60,000 relations are taken; more than DEB_RELATIONS_MAX are not. */
    for (int many = 0; many < 2; many++) {
        size = (size_t)snprintf(text, capacity,
                                "Package: a\nVersion: 1\nArchitecture: all\nDepends: ");
        for (int i = 0; i < (many == 0 ? 60000 : 70000); i++) {
            size += (size_t)snprintf(text + size, capacity - size, "a%d|a, ", i);
        }
        deb_input input = {.text = {.data = text, .size = size}, .name = "Packages"};
        pkg_text image;
        brisk_errinfo info = {0};
        brisk_err err = deb_index_build(&input, 1, "amd64", 1, arena, &image, &info);
        CHECK(err == (many == 0 ? BRISK_OK : BRISK_ERR_LIMIT));
    }
    static const char head[] = "Package: a\nVersion: 1\nArchitecture: all\nDepends: ";
    memset(text, 'x', capacity);
    memcpy(text, head, sizeof head - 1);
    deb_input input = {.text = {.data = text, .size = capacity}, .name = "Packages"};
    pkg_text image;
    CHECK(deb_index_build(&input, 1, "amd64", 1, arena, &image, NULL) == BRISK_ERR_LIMIT);
    brisk_arena_destroy(arena);
}

/* A proof about hundreds of alternatives names some of them and counts the others. */
static void test_long_proof(void **state)
{
    (void)state;
    enum { MANY = 300 };
    brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    size_t capacity = 1 << 20;
    char *text = brisk_arena_alloc(arena, capacity);
    size_t size = 0;
    for (int i = 0; i < MANY; i++) {
        size += (size_t)snprintf(text + size, capacity - size,
                                 "Package: b%d\nVersion: 1\nArchitecture: all\nProvides: b, m\n"
                                 "Conflicts: %s\n\n",
                                 i, i % 2 == 0 ? "c" : "m");
    }
    (void)snprintf(text + size, capacity - size,
                   "Package: a\nVersion: 1\nArchitecture: all\nDepends: b, d\n\n"
                   "Package: c\nVersion: 1\nArchitecture: all\nProvides: m\n\n"
                   "Package: d\nVersion: 1\nArchitecture: all\nDepends: c\n\n");
    fixture f = make(text);
    const char *proof = ask(&f, "a");
    CHECK(strstr(proof, "there is no answer.\n") != NULL);
    CHECK(strstr(proof, " more") != NULL);
    CHECK_U64(strlen(proof), <, MANY * 1000);
    brisk_arena_destroy(f.arena);
    brisk_arena_destroy(arena);
}

/* Any byte changed, any cut: refused.  A made-up checksum over wild numbers: refused too. */
static void test_damage(void **state)
{
    (void)state;
    fixture f = make(S("a", "1", "Depends: b (>= 2), c | d\nProvides: v\n") S("b", "3", "")
                         S("d", "1", "Conflicts: v\nReplaces: old\n"));
    char *copy = brisk_arena_alloc(f.arena, f.image.size);
    deb_index index;
    for (size_t i = 0; i < f.image.size; i++) {
        memcpy(copy, f.image.data, f.image.size);
        copy[i] ^= 0x41;
        pkg_text changed = {.data = copy, .size = f.image.size};
        if (i < offsetof(deb_header, key) || i >= offsetof(deb_header, key) + 8) {
            CHECK(deb_index_load(changed, &index) == BRISK_ERR_CORRUPT);
        }
        memcpy(copy, f.image.data, f.image.size);
        CHECK(deb_index_load((pkg_text){.data = copy, .size = i}, &index) == BRISK_ERR_CORRUPT);
    }
    CHECK(strstr(ask(&f, "old"), "'d' replaces it") != NULL);
    brisk_arena_destroy(f.arena);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    static const char text[] = S("a", "1", "Depends: b (>= 2), c | d\nRecommends: e\n")
        S("b", "3", "Provides: v\n") S("d", "1", "Conflicts: v (>= 9)\n");
    deb_input input = {.text = PKG_TEXT(text), .name = "Packages"};
    const char *request = "a";
    uint64_t failures = 0;
    for (uint64_t after = 0;; after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, after);
        brisk_arena *arena = NULL;
        pkg_text image;
        deb_index index;
        deb_answer answer;
        brisk_err err = brisk_arena_create(
            &(brisk_arena_opts){.chunk_bytes = 4096, .alloc = &fault.base}, &arena);
        err = err == BRISK_OK ? deb_index_build(&input, 1, "amd64", 1, arena, &image, NULL) : err;
        err = err == BRISK_OK ? deb_index_load(image, &index) : err;
        err = err == BRISK_OK
                  ? deb_resolve(&index, &(deb_request){.packages = &request, .count = 1}, arena,
                                &answer, NULL)
                  : err;
        brisk_arena_destroy(arena);
        CHECK_U64(fault.bytes_held, ==, 0);
        if (err == BRISK_OK) {
            break;
        }
        CHECK(err == BRISK_ERR_NOMEM);
        failures++;
    }
    CHECK_U64(failures, >, 5);
}

/* --- the file ----------------------------------------------------------------------------- */

static void write_file(const char *folder, const char *name, const void *data, size_t size)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

static void remove_all(const char *folder)
{
    char command[400];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    CHECK(system(command) == 0);
}

static void open_index(const deb_index_opts *opts, bool rebuilt, uint32_t versions)
{
    deb_index index;
    brisk_errinfo info = {0};
    if (deb_index_open(opts, &index, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    CHECK(index.rebuilt == rebuilt);
    CHECK_U64(index.version_count, ==, versions);
    deb_index_close(&index);
}

/* Built once, mapped then; built again when a list changes, and when the file is damaged. */
static void test_file(void **state)
{
    (void)state;
    char lists[] = "deb-lists-XXXXXX";
    char cache[] = "deb-cache-XXXXXX";
    CHECK(mkdtemp(lists) != NULL && mkdtemp(cache) != NULL);
    static const char one[] = S("a", "1", "");
    static const char two[] = S("a", "1", "") S("b", "1", "");
    write_file(lists, "x_binary-amd64_Packages", one, sizeof one - 1);
    write_file(lists, "x_binary-arm64_Packages", two, sizeof two - 1);
    write_file(lists, "x_Release", two, sizeof two - 1);
    deb_index_opts opts = {.lists = lists, .cache = cache, .archs = "amd64"};
    open_index(&opts, true, 1);
    open_index(&opts, false, 1);
    write_file(lists, "x_binary-amd64_Packages", two, sizeof two - 1);
    open_index(&opts, true, 2);
    open_index(&opts, false, 2);
    opts.refresh = true;
    open_index(&opts, true, 2);
    opts.refresh = false;
    char command[400];
    (void)snprintf(command, sizeof command, "truncate -s 100 %s/deb-*.index", cache);
    CHECK(system(command) == 0);
    open_index(&opts, true, 2);
    open_index(&opts, false, 2);
    opts.cache = "/proc/nowhere/brisk"; /* cannot be written: from memory */
    open_index(&opts, true, 2);
    opts.cache = NULL;
    open_index(&opts, true, 2);
    remove_all(lists);
    remove_all(cache);
}

/* Packed lists, whole and cut, and what is not read. */
static void test_packed(void **state)
{
    (void)state;
    char lists[] = "deb-packed-XXXXXX";
    CHECK(mkdtemp(lists) != NULL);
    static const struct {
        const char *name;
        const char *command;
    } packed[] = {
        {"Packages.lz4", "lz4 -zcq"}, {"Packages.gz", "gzip -c"}, {"Packages.zst", "zstd -cq"}};
    brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    char *text = brisk_arena_alloc(arena, 1 << 20);
    size_t size = 0;
    for (int i = 0; i < 9000; i++) {
        size += (size_t)snprintf(text + size, (1 << 20) - size,
                                 "Package: p%d\nVersion: 1\nArchitecture: all\n\n", i);
    }
    write_file(lists, "plain", text, size);
    for (size_t i = 0; i < sizeof packed / sizeof packed[0]; i++) {
        char command[400];
        (void)snprintf(command, sizeof command, "%s < %s/plain > %s/%s 2>/dev/null",
                       packed[i].command, lists, lists, packed[i].name);
        if (system(command) != 0) {
            print_message("%s is not there: skipped\n", packed[i].command);
            continue;
        }
        char path[300];
        (void)snprintf(path, sizeof path, "%s/%s", lists, packed[i].name);
        deb_list list = {.path = path, .name = packed[i].name};
        pkg_text got;
        CHECK_OK(deb_list_read(&list, arena, &got, NULL));
        CHECK(pkg_text_equal(got, (pkg_text){.data = text, .size = size}));
        struct stat st;
        CHECK(stat(path, &st) == 0);
        for (off_t cut = 1; cut < st.st_size; cut += st.st_size / 7 + 1) {
            CHECK(truncate(path, st.st_size - cut) == 0);
            brisk_errinfo info = {0};
            CHECK(deb_list_read(&list, arena, &got, &info) == BRISK_ERR_CORRUPT);
            CHECK(strstr(info.text, packed[i].name) != NULL);
            break;
        }
    }
    write_file(lists, "Packages.xz", "x", 1);
    char path[300];
    (void)snprintf(path, sizeof path, "%s/Packages.xz", lists);
    deb_list list = {.path = path, .name = "Packages.xz"};
    pkg_text got;
    CHECK(deb_list_read(&list, arena, &got, NULL) == BRISK_ERR_CORRUPT);
    deb_index_opts opts = {.lists = "/nonexistent", .archs = "amd64"};
    deb_index index;
    CHECK(deb_index_open(&opts, &index, NULL) == BRISK_ERR_NOT_FOUND);
    remove_all(lists);
    brisk_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions_and_alternatives),
        cmocka_unit_test(test_a_proof_of_many_alternatives),
        cmocka_unit_test(test_provides),
        cmocka_unit_test(test_conflicts),
        cmocka_unit_test(test_recommends),
        cmocka_unit_test(test_essential),
        cmocka_unit_test(test_multi_arch),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_hostile_lists),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_long_proof),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
