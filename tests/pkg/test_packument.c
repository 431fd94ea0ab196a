/*
 * test_packument.c -- packuments to records and back: what is kept, what is refused, hostile ones.
 */
#include <string.h>

#include <brisk/hash.h>

#include "pkg/corpus.h"
#include "support/fault_alloc.h"

/* Everything of a case: parsed with `name`, torn down at its end. */
typedef struct parsed {
    brisk_arena *arena;
    const pkg_package *package;
    brisk_errinfo info;
    brisk_err err;
} parsed;

static void parsed_end(parsed *p)
{
    if (p != NULL) {
        brisk_arena_destroy(p->arena);
        free(p);
    }
}

BRISK_DEFINE_CLEANUP(parsed, parsed_end)

/* Single quotes in `json` stand for double ones. */
static parsed *parse_bytes(const char *name, const char *json, size_t size)
{
    parsed *p = calloc(1, sizeof *p);
    assert_non_null(p);
    CHECK_OK(brisk_arena_create(NULL, &p->arena));
    char *text = brisk_arena_copy(p->arena, json, size);
    for (size_t i = 0; i < size; i++) {
        text[i] = text[i] == '\'' ? '"' : text[i];
    }
    p->err = pkg_packument_parse(pkg_text_of(name), (pkg_text){.data = text, .size = size},
                                 p->arena, &p->package, &p->info);
    return p;
}

static parsed *parse(const char *name, const char *json)
{
    return parse_bytes(name, json, strlen(json));
}

/* One version 1.0.0 with these members besides. */
static parsed *parse_version(const char *members)
{
    char json[8192];
    (void)snprintf(json, sizeof json, "{'name':'a','versions':{'1.0.0':{%s}}}", members);
    return parse("a", json);
}

static const pkg_manifest *manifest(const parsed *p, uint32_t index)
{
    if (p->err != BRISK_OK) {
        fail_msg("%s", p->info.text);
    }
    const pkg_manifest *m;
    CHECK_OK(pkg_package_manifest(p->package, index, p->arena, &m));
    return m;
}

#define CHECK_TEXT(text, expected)                                                                 \
    do {                                                                                           \
        pkg_text text_ = (text);                                                                   \
        if (!pkg_text_is(text_, expected)) {                                                       \
            fail_msg("%s is '%.*s', not '%s'", #text, (int)text_.size, text_.data, expected);      \
        }                                                                                          \
    } while (0)

static void check_dep(const pkg_dep *dep, const char *name, const char *spec, pkg_dep_kind kind)
{
    CHECK_TEXT(dep->name, name);
    CHECK_TEXT(dep->spec, spec);
    assert_int_equal(dep->kind, kind);
    CHECK_U64(dep->name_hash, ==, pkg_text_hash(pkg_text_of(name)));
}

static void test_versions_are_sorted_and_found(void **state)
{
    (void)state;
    BRISK_CLEANUP(parsed_end)
    parsed *p = parse("@s/a", "{'name':'@s/a','dist-tags':{'latest':'1.0.0','next':'2.0.0-rc.1'},"
                              "'versions':{'1.0.0':{},'2.0.0-rc.1':{},'0.9.0':{},'1.0.0beta':{},"
                              "'1.0.0+b':{},'1.0.0+a':{},'99999999999.1.5000000000':{}}}");
    CHECK_OK(p->err);
    static const char *const sorted[] = {"0.9.0",
                                         "1.0.0beta",
                                         "1.0.0",
                                         "1.0.0+b",
                                         "1.0.0+a",
                                         "2.0.0-rc.1",
                                         "99999999999.1.5000000000"};
    CHECK_TEXT(pkg_package_name(p->package), "@s/a");
    CHECK_U64(pkg_package_count(p->package), ==, 7);
    for (uint32_t i = 0; i < 7; i++) {
        pkg_version v;
        pkg_package_version(p->package, i, &v);
        CHECK_TEXT(v.text, sorted[i]);
        CHECK(v.loose == (i == 1));
        CHECK_U64(pkg_package_find(p->package, pkg_text_of(sorted[i])), ==, i);
    }
    pkg_version last;
    pkg_package_version(p->package, 6, &last);
    CHECK_U64(last.semver.major, ==, UINT64_C(99999999999));
    CHECK_U64(last.semver.minor, ==, 1);
    CHECK_U64(last.semver.patch, ==, UINT64_C(5000000000));
    pkg_package_version(p->package, 1, &last);
    CHECK_TEXT(last.semver.prerelease, "beta");
    pkg_package_version(p->package, 3, &last);
    CHECK_TEXT(last.semver.build, "b");
    CHECK_U64(pkg_package_find(p->package, PKG_TEXT("1.0.0+c")), ==, PKG_NO_VERSION);
    CHECK_U64(pkg_package_find(p->package, PKG_TEXT("3.0.0")), ==, PKG_NO_VERSION);
    CHECK_U64(pkg_package_find(p->package, PKG_TEXT("latest")), ==, PKG_NO_VERSION);
    CHECK_U64(pkg_package_tag(p->package, PKG_TEXT("latest")), ==, 2);
    CHECK_U64(pkg_package_tag(p->package, PKG_TEXT("next")), ==, 5);
    CHECK_U64(pkg_package_tag(p->package, PKG_TEXT("beta")), ==, PKG_NO_VERSION);
}

static void test_dependencies_of_every_kind(void **state)
{
    (void)state;
    BRISK_CLEANUP(parsed_end)
    parsed *p = parse_version("'dependencies':{'z':'1','b':'^1.2.3','opt':'1','':'*'},"
                              "'optionalDependencies':{'opt':'~2.0.0-beta.3 || >=3.0.0+x'},"
                              "'peerDependencies':{'p':'>=1','b':'*','q':'npm:x@1','alone':'1'},"
                              "'peerDependenciesMeta':{'p':{'optional':true},'q':{'optional':1},"
                              "'none':{'optional':true},'alone':true}");
    const pkg_manifest *m = manifest(p, 0);
    CHECK_U64(m->dep_count, ==, 8);
    check_dep(&m->deps[0], "", "*", PKG_DEP_PROD);
    check_dep(&m->deps[1], "alone", "1", PKG_DEP_PEER);
    check_dep(&m->deps[2], "b", "^1.2.3", PKG_DEP_PROD);
    check_dep(&m->deps[3], "b", "*", PKG_DEP_PEER);
    check_dep(&m->deps[4], "opt", "~2.0.0-beta.3 || >=3.0.0+x", PKG_DEP_OPTIONAL);
    check_dep(&m->deps[5], "p", ">=1", PKG_DEP_PEER_OPTIONAL);
    check_dep(&m->deps[6], "q", "npm:x@1", PKG_DEP_PEER);
    check_dep(&m->deps[7], "z", "1", PKG_DEP_PROD);
    CHECK(m->deps[6].range == NULL);
    const semver_range *range = m->deps[4].range;
    assert_non_null(range);
    CHECK_U64(range->count, ==, 2);
    static const struct {
        const char *version;
        bool in;
    } cases[] = {{"2.0.0-beta.2", false}, {"2.0.0-beta.3", true}, {"2.0.9", true},
                 {"2.1.0", false},        {"3.0.0", true},        {"4.0.0-a", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        semver version;
        CHECK(semver_parse(pkg_text_of(cases[i].version), 0, &version));
        CHECK(semver_range_has(range, &version) == cases[i].in);
    }
}

static void test_neighbours_are_not_confused(void **state)
{
    (void)state;
    BRISK_CLEANUP(parsed_end)
    parsed *p = parse("a", "{'name':'a','versions':{"
                           "'1.0.0':{'dependencies':{'b':'1'},'engines':{'node':'>=4'}},"
                           "'1.0.1':{'dependencies':{'b':'1'},'engines':{'node':'>=4'},"
                           "'deprecated':'old'},"
                           "'1.0.2':{'dependencies':{'b':'1'},'engines':{'node':'>=4'},"
                           "'deprecated':'old','peerDependencies':{'p':'1'}},"
                           "'1.0.3':{'dependencies':{'b':'1'},'deprecated':false},"
                           "'1.0.4':{'dependencies':{'b':'1'},'deprecated':'old','deprecated':0},"
                           "'1.0.5':{}}}");
    static const uint32_t deps[] = {1, 1, 2, 1, 1, 0};
    static const char *const engines[] = {">=4", ">=4", ">=4", "", "", ""};
    static const bool deprecated[] = {false, true, true, false, false, false};
    for (uint32_t i = 0; i < 6; i++) {
        const pkg_manifest *m = manifest(p, i);
        pkg_version v;
        pkg_package_version(p->package, i, &v);
        CHECK_U64(m->dep_count, ==, deps[i]);
        CHECK_TEXT(m->engine_node, engines[i]);
        CHECK_TEXT(v.engine_node, engines[i]);
        CHECK(v.deprecated == deprecated[i]);
        CHECK(((m->flags & PKG_DEPRECATED) != 0) == deprecated[i]);
        CHECK_TEXT(m->deprecated, deprecated[i] ? "old" : "");
    }
}

static void test_the_rest_of_a_manifest(void **state)
{
    (void)state;
    BRISK_CLEANUP(parsed_end)
    parsed *p = parse_version(
        "'engines':{'node':'>=8','npm':'>=5'},'bin':{'x':'./x.js'},'license':{'type':'MIT'},"
        "'funding':[{'url':'u'}],'os':['linux','!win32',3],'cpu':'x64','libc':[],"
        "'hasInstallScript':true,'_hasShrinkwrap':true,'bundleDependencies':['i','j'],"
        "'scripts':{},'directories':{'lib':[[[{}]]]},'dist':{'shasum':"
        "'7B33a9fb54c605a3be46c1d3dbbc821acf1d2efb','tarball':'https:\\/\\/h\\/a\\/-\\/"
        "a-1.0.0.tgz',"
        "'signatures':[{'sig':'a]}\\\\'}]}");
    const pkg_manifest *m = manifest(p, 0);
    CHECK_TEXT(m->engine_node, ">=8");
    CHECK_TEXT(m->engine_npm, ">=5");
    CHECK_TEXT(m->engines, "{\"node\":\">=8\",\"npm\":\">=5\"}");
    CHECK_TEXT(m->bin, "{\"x\":\"./x.js\"}");
    CHECK_TEXT(m->license, "MIT");
    CHECK_TEXT(m->funding, "[{\"url\":\"u\"}]");
    CHECK_U64(m->os.count, ==, 2);
    CHECK_TEXT(m->os.items[1], "!win32");
    CHECK_U64(m->cpu.count, ==, 1);
    CHECK_TEXT(m->cpu.items[0], "x64");
    CHECK_U64(m->libc.count, ==, 0);
    CHECK_U64(m->bundled.count, ==, 2);
    CHECK_TEXT(m->bundled.items[0], "i");
    CHECK_U64(m->flags, ==, PKG_HAS_INSTALL_SCRIPT | PKG_HAS_SHRINKWRAP);
    CHECK_TEXT(m->integrity, "sha1-ezOp+1TGBaO+RsHT27yCGs8dLvs=");
    CHECK_TEXT(m->tarball, "https://h/a/-/a-1.0.0.tgz");
    CHECK(m->published_ms == INT64_MIN);
}

static void test_old_and_odd_fields(void **state)
{
    (void)state;
    BRISK_CLEANUP(parsed_end)
    parsed *p = parse("a", "{'name':'a','versions':{"
                           "'1.0.0':{'scripts':{'postinstall':'x'},'bundledDependencies':true,"
                           "'engines':['node >= 0.8'],'bin':'./a.js','deprecated':true},"
                           "'1.0.1':{'engines':{},'bin':'','funding':null,'license':'MIT',"
                           "'scripts':{'install':''},'dependencies':[],'dist':7,"
                           "'bundleDependencies':false,'bundledDependencies':['x']},"
                           "'1.0.2':{'dist':{'integrity':'sha1-a sha512-b','tarball':'t'}},"
                           "'1.0.3':{'dependencies':{'n':1,'o':{},'s':'1','s':'2'},"
                           "'optionalDependencies':{'s':null},'license':['MIT']}}}");
    const pkg_manifest *m = manifest(p, 0);
    CHECK_U64(m->flags, ==, PKG_HAS_INSTALL_SCRIPT | PKG_BUNDLES_ALL | PKG_DEPRECATED);
    CHECK_TEXT(m->engines, "[\"node >= 0.8\"]");
    CHECK_TEXT(m->engine_node, "");
    CHECK_TEXT(m->bin, "\"./a.js\"");
    m = manifest(p, 1);
    CHECK_U64(m->flags, ==, 0);
    CHECK_TEXT(m->engines, "");
    CHECK_TEXT(m->bin, "");
    CHECK_TEXT(m->funding, "");
    CHECK_TEXT(m->license, "MIT");
    CHECK_U64(m->bundled.count, ==, 0);
    CHECK_TEXT(m->integrity, "");
    CHECK_TEXT(m->tarball, "");
    m = manifest(p, 2);
    CHECK_TEXT(m->integrity, "sha1-a sha512-b");
    CHECK_TEXT(m->tarball, "t");
    m = manifest(p, 3);
    CHECK_U64(m->dep_count, ==, 1);
    check_dep(&m->deps[0], "s", "2", PKG_DEP_PROD);
    CHECK_TEXT(m->license, "");
}

static void test_times(void **state)
{
    (void)state;
    BRISK_CLEANUP(parsed_end)
    parsed *p = parse("a", "{'time':{'created':'2020-01-01T00:00:00.000Z','1.0.1':"
                           "'2019-02-03T04:05:06.789Z','1.0.0':'1969-12-31T23:59:59Z',"
                           "'1.0.2':'soon','1.0.3':5,'1.0.4':'2024-02-29T12:00:00+02:00',"
                           "'1.0.5':'2024-02-29'},'name':'a','versions':{'1.0.0':{},'1.0.1':{},"
                           "'1.0.2':{},'1.0.3':{},'1.0.4':{},'1.0.5':{},'1.0.6':{}}}");
    static const int64_t times[] = {-1000,     INT64_C(1549166706789), INT64_MIN,
                                    INT64_MIN, INT64_C(1709200800000), INT64_C(1709164800000),
                                    INT64_MIN};
    CHECK_OK(p->err);
    for (uint32_t i = 0; i < 7; i++) {
        pkg_version v;
        pkg_package_version(p->package, i, &v);
        assert_true(v.published_ms == times[i]);
        assert_true(manifest(p, i)->published_ms == times[i]);
    }
}

static void test_duplicate_keys_the_last_counts(void **state)
{
    (void)state;
    BRISK_CLEANUP(parsed_end)
    parsed *p = parse("a", "{'versions':{'9.9.9':{}},'name':'b','\\u0076ersions':{"
                           "'1.0.0':{'license':'A'},'2.0.0':{},"
                           "'1.0.\\u0030':{'licens\\u0065':'B','dependencies':{'x':'1'},"
                           "'dependencies':{'y':'1'}}},'name':'a',"
                           "'dist-tags':{'latest':'9.9.9'},'dist-tags':"
                           "{'latest':'1.0.0','latest':'2.0.0','b':'2.0.0','b':'7.0.0'}}");
    CHECK_U64(pkg_package_count(p->package), ==, 2);
    const pkg_manifest *m = manifest(p, 0);
    CHECK_TEXT(m->version, "1.0.0");
    CHECK_TEXT(m->license, "B");
    CHECK_U64(m->dep_count, ==, 1);
    CHECK_TEXT(m->deps[0].name, "y");
    CHECK_U64(pkg_package_tag(p->package, PKG_TEXT("latest")), ==, 1);
    CHECK_U64(pkg_package_tag(p->package, PKG_TEXT("b")), ==, PKG_NO_VERSION);
    BRISK_CLEANUP(parsed_end)
    parsed *gone = parse("a", "{'name':'a','versions':{'1.0.0':{},'2.0.0':{},'1.0.0':'text'},"
                              "'dist-tags':{'latest':'1.0.0','next':'2.0.0'}}");
    CHECK_U64(pkg_package_count(gone->package), ==, 1);
    CHECK_TEXT(manifest(gone, 0)->version, "2.0.0");
    CHECK_U64(pkg_package_tag(gone->package, PKG_TEXT("latest")), ==, PKG_NO_VERSION);
    CHECK_U64(pkg_package_tag(gone->package, PKG_TEXT("next")), ==, 0);
    BRISK_CLEANUP(parsed_end)
    parsed *none = parse("a", "{'name':'a','versions':{'1.0.0':{}},'versions':null}");
    CHECK_OK(none->err);
    CHECK_U64(pkg_package_count(none->package), ==, 0);
}

static void test_lies_that_are_left_out(void **state)
{
    (void)state;
    BRISK_CLEANUP(parsed_end)
    parsed *p = parse("a", "{'name':'a','__proto__':{'versions':{}},'dist-tags':{'latest':'x',"
                           "'__proto__':'1.0.0','n':1,'nope':'7.7.7'},'versions':{'x':{},'1':{},"
                           "'1.2':{},'1.0.0':{'__proto__':{'dependencies':{'e':'1'}}},"
                           "'2.0.0':'text','3.0.0':null,'4.0.0':[],'v5.0.0':{},'':{}}}");
    CHECK_OK(p->err);
    CHECK_U64(pkg_package_count(p->package), ==, 2);
    CHECK_U64(pkg_package_left_out(p->package), ==, 7);
    CHECK_U64(pkg_package_tag(p->package, PKG_TEXT("latest")), ==, PKG_NO_VERSION);
    CHECK_U64(pkg_package_tag(p->package, PKG_TEXT("__proto__")), ==, 0);
    CHECK_U64(pkg_package_tag(p->package, PKG_TEXT("n")), ==, PKG_NO_VERSION);
    CHECK_U64(manifest(p, 0)->dep_count, ==, 0);
    CHECK_TEXT(manifest(p, 1)->version, "v5.0.0");
}

static void test_text_that_is_no_unicode(void **state)
{
    (void)state;
    BRISK_CLEANUP(parsed_end)
    parsed *p =
        parse_version("'license':'a\\ud800b\\udc00\\ud83d\\ude00\\u00e9\xff\xe2\x82x\xc0\xaf',"
                      "'bin':{'\xfe':'\xe2\x82\xac'},'deprecated':'\\n\\u0000z'");
    const pkg_manifest *m = manifest(p, 0);
    CHECK_TEXT(m->license, "a\xef\xbf\xbd"
                           "b\xef\xbf\xbd\xf0\x9f\x98\x80\xc3\xa9\xef\xbf\xbd\xef\xbf\xbdx"
                           "\xef\xbf\xbd\xef\xbf\xbd");
    CHECK_TEXT(m->bin, "{\"\xef\xbf\xbd\":\"\xe2\x82\xac\"}");
    CHECK(pkg_text_equal(m->deprecated, PKG_TEXT("\n\0z")));
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *word;
    } cases[] = {
        {"{'name':'b','versions':{}}", "answered with b"},
        {"{'versions':{}}", "no name"},
        {"{'name':1,'versions':{}}", "no name"},
        {"", "no JSON object"},
        {"[]", "no JSON object"},
        {"{'name':'a'} x", "no JSON object"},
        {"{'name':'a',}", "no JSON object"},
        {"{'name':'a','versions':{'1.0.0':{'license':'\\x'}}}", "escape"},
        {"{'name':'a','versions':{'1.0.0':{'license':'\t'}}}", "escape"},
        {"{'name':'a','versions':{'1.0.0':{'license':'\\u12'}}}", "escape"},
        {"{'name':'a','versions':{'1.0.0':{'bin':{'a':[1 2]}}}}", "no JSON"},
        {"{'name':'a','versions':{'1.0.0':{'bin':{'a':]}}}", "no JSON"},
        {"{'name':'a','versions':{'1.0.0':{'os':['a' 'b']}}}", "array"},
        {"{'name':'a','versions':{'1.0.0':{'x':01}}}", "no JSON"},
        {"{'name':'a','versions':{'1.0.0':{'x':tru}}}", "no JSON"},
        {"{'name':'a','versions':{'1.0.0':{'dependencies':{'a':'1'", "no"},
        {"{'name':'a','versions':{'1.0.0' {}}}", "no JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        BRISK_CLEANUP(parsed_end) parsed *p = parse("a", cases[i].json);
        assert_int_equal(p->err, BRISK_ERR_CORRUPT);
        if (strstr(p->info.text, cases[i].word) == NULL) {
            fail_msg("%s: \"%s\" has no \"%s\"", cases[i].json, p->info.text, cases[i].word);
        }
    }
}

static void test_deep_nesting(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    char *json = malloc(2 * DEPTH + 200);
    assert_non_null(json);
    static const char *const keys[] = {"x", "bin"};
    for (size_t i = 0; i < 2; i++) {
        int head = snprintf(json, 100, "{\"name\":\"a\",\"versions\":{\"1.0.0\":{\"%s\":", keys[i]);
        memset(json + head, '[', DEPTH);
        memset(json + head + DEPTH, ']', DEPTH);
        memcpy(json + head + 2 * DEPTH, "}}}", 4);
        BRISK_CLEANUP(parsed_end) parsed *p = parse("a", json);
        assert_int_equal(p->err, i == 0 ? BRISK_OK : BRISK_ERR_CORRUPT);
    }
    free(json);
}

static void test_a_million_versions(void **state)
{
    (void)state;
    enum { COUNT = 1000000, EACH = 40 };
    char *json = malloc((size_t)COUNT * EACH + 100);
    assert_non_null(json);
    size_t size = (size_t)snprintf(json, 100, "{\"name\":\"a\",\"versions\":{");
    for (uint32_t i = 0; i < COUNT; i++) {
        size += (size_t)snprintf(json + size, EACH, "%s\"0.0.%u-a\":{\"x\":1}", i > 0 ? "," : "",
                                 COUNT - i);
    }
    size += (size_t)snprintf(json + size, 100, "},\"dist-tags\":{\"latest\":\"0.0.7-a\"}}");
    BRISK_CLEANUP(parsed_end) parsed *p = parse_bytes("a", json, size);
    free(json);
    CHECK_OK(p->err);
    CHECK_U64(pkg_package_count(p->package), ==, COUNT);
    CHECK_U64(pkg_package_tag(p->package, PKG_TEXT("latest")), ==, 6);
    CHECK_TEXT(manifest(p, COUNT - 1)->version, "0.0.1000000-a");
}

static void test_a_body_that_is_too_large(void **state)
{
    (void)state;
    pkg_packument_reader *reader;
    const pkg_package *package = NULL;
    brisk_errinfo info;
    CHECK_OK(pkg_packument_reader_create(NULL, &reader));
    pkg_text json = {.data = "{}", .size = (size_t)PKG_PACKUMENT_BYTES_MAX + 1}; /* not looked at */
    assert_int_equal(pkg_packument_read(reader, PKG_TEXT("a"), json, &package, &info),
                     BRISK_ERR_LIMIT);
    assert_non_null(strstr(info.text, "268435457 bytes"));
    assert_int_equal(pkg_packument_read(reader, PKG_TEXT("a"), (pkg_text){0}, &package, &info),
                     BRISK_ERR_CORRUPT); /* an answer without a body */
    pkg_packument_reader_destroy(reader);
}

static const char whole[] =
    "{\"name\":\"a\",\"dist-tags\":{\"latest\":\"1.0.1\",\"ne\\u0078t\":\"2.0.0-0\"},\"versions\":{"
    "\"1.0.0\":{\"dependencies\":{\"b\":\"^1.2.3\",\"c\":\"1 || 2.0.0-x.1\"},\"bin\":\"./a\","
    "\"dist\":{\"shasum\":\"7b33a9fb54c605a3be46c1d3dbbc821acf1d2efb\",\"tarball\":"
    "\"https://h/a/-/a-1.0.0.tgz\"}},\"1.0.1\":{\"peerDependencies\":{\"p\":\"*\"},"
    "\"peerDependenciesMeta\":{\"p\":{\"optional\":true}},\"os\":[\"linux\"],"
    "\"engines\":{\"node\":\">=4\"}},\"2.0.0-0\":{\"license\":\"M\\u0049T\"}},"
    "\"time\":{\"1.0.0\":\"2019-02-03T04:05:06.789Z\"}}\n";

static void test_truncated_at_every_byte(void **state)
{
    (void)state;
    for (size_t size = 0; size < sizeof whole - 1; size++) {
        char *exact = malloc(size + 1); /* so that a read behind it is seen */
        assert_non_null(exact);
        memcpy(exact, whole, size);
        brisk_arena *arena;
        const pkg_package *package;
        CHECK_OK(brisk_arena_create(NULL, &arena));
        brisk_err err = pkg_packument_parse(PKG_TEXT("a"), (pkg_text){.data = exact, .size = size},
                                            arena, &package, NULL);
        assert_int_equal(err, size == sizeof whole - 2 ? BRISK_OK : BRISK_ERR_CORRUPT);
        brisk_arena_destroy(arena);
        free(exact);
    }
}

/* Reads everything of a record; only that no wild read happens is asked. */
static uint64_t read_all(const pkg_package *package, brisk_arena *arena)
{
    uint64_t sum = pkg_package_name(package).size;
    for (uint32_t i = 0; i < pkg_package_count(package); i++) {
        pkg_version v;
        pkg_package_version(package, i, &v);
        sum += brisk_hash64(v.text.data, v.text.size, v.semver.major);
        sum += brisk_hash64(v.engine_node.data, v.engine_node.size, 0);
        const pkg_manifest *m;
        if (pkg_package_manifest(package, i, arena, &m) == BRISK_OK) {
            for (uint32_t dep = 0; dep < m->dep_count; dep++) {
                sum += brisk_hash64(m->deps[dep].spec.data, m->deps[dep].spec.size, 0);
                sum += m->deps[dep].range != NULL
                           ? (uint64_t)semver_range_has(m->deps[dep].range, &v.semver)
                           : 0;
            }
            sum += brisk_hash64(m->tarball.data, m->tarball.size, 0);
        }
    }
    return sum + pkg_package_tag(package, PKG_TEXT("next")) +
           pkg_package_find(package, PKG_TEXT("1.0.1"));
}

static void test_every_damaged_byte_of_a_record(void **state)
{
    (void)state;
    BRISK_CLEANUP(parsed_end) parsed *p = parse("a", whole);
    CHECK_OK(p->err);
    size_t size = pkg_package_bytes(p->package);
    brisk_arena *arena;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    uint64_t expected = read_all(p->package, arena);
    uint32_t changed = 0;
    static const unsigned char flips[] = {0x01, 0x80, 0xff};
    for (size_t at = 0; at < size; at++) {
        for (size_t flip = 0; flip < sizeof flips; flip++) {
            unsigned char *copy = aligned_alloc(8, size);
            assert_non_null(copy);
            memcpy(copy, p->package, size);
            copy[at] ^= flips[flip];
            const pkg_package *package;
            if (pkg_package_open(copy, size, &package) == BRISK_OK) {
                changed += read_all(package, arena) != expected ? 1 : 0;
            }
            brisk_arena_reset(arena);
            free(copy);
        }
    }
    CHECK(changed > 100); /* most of it is read at all */
    const pkg_package *cut;
    for (size_t left = 0; left < size; left += 4) {
        assert_int_equal(pkg_package_open(p->package, left, &cut), BRISK_ERR_CORRUPT);
    }
    brisk_arena_destroy(arena);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t tries = 0;
    for (; err == BRISK_ERR_NOMEM; tries++) {
        fault_alloc fault;
        fault_alloc_init(&fault, tries);
        pkg_packument_reader *reader = NULL;
        err = pkg_packument_reader_create(&(pkg_packument_opts){.alloc = &fault.base}, &reader);
        const pkg_package *package = NULL;
        if (err == BRISK_OK) {
            err = pkg_packument_read(reader, PKG_TEXT("a"), PKG_TEXT(whole), &package, NULL);
        }
        CHECK((package != NULL) == (err == BRISK_OK));
        pkg_packument_reader_destroy(reader);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
    CHECK_U64(tries, >, 10);
}

static void test_a_manifest_without_memory(void **state)
{
    (void)state;
    BRISK_CLEANUP(parsed_end) parsed *p = parse("a", whole);
    CHECK_OK(p->err);
    brisk_arena *arena;
    brisk_arena_opts opts = {.chunk_bytes = 4096, .limit_bytes = 4096};
    CHECK_OK(brisk_arena_create(&opts, &arena));
    uint32_t good = 0;
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && good < 1000) {
        const pkg_manifest *m;
        err = pkg_package_manifest(p->package, 0, arena, &m);
        good += err == BRISK_OK ? 1 : 0;
    }
    assert_int_equal(err, BRISK_ERR_NOMEM);
    CHECK_U64(good, >, 0);
    brisk_arena_destroy(arena);
}

/* The same document gives the same bytes, whatever was read before. */
static void test_records_are_deterministic(void **state)
{
    (void)state;
    pkg_packument_reader *first;
    pkg_packument_reader *second;
    CHECK_OK(pkg_packument_reader_create(NULL, &first));
    CHECK_OK(pkg_packument_reader_create(NULL, &second));
    const pkg_package *a;
    const pkg_package *b;
    CHECK_OK(pkg_packument_read(second, PKG_TEXT("b"),
                                PKG_TEXT("{\"name\":\"b\",\"versions\":"
                                         "{\"3.0.0\":{\"dependencies\":{\"x\":\"1\"}}}}"),
                                &b, NULL));
    CHECK_OK(pkg_packument_read(first, PKG_TEXT("a"), PKG_TEXT(whole), &a, NULL));
    CHECK_OK(pkg_packument_read(second, PKG_TEXT("a"), PKG_TEXT(whole), &b, NULL));
    CHECK_U64(pkg_package_bytes(a), ==, pkg_package_bytes(b));
    assert_memory_equal(a, b, pkg_package_bytes(a));
    pkg_packument_reader_destroy(first);
    pkg_packument_reader_destroy(second);
}

static void test_the_snapshot(void **state)
{
    (void)state;
    char path[PATH_MAX];
    corpus_need("registry-snapshot.tar.zst", path);
    BRISK_CLEANUP(corpus_close) corpus *all = corpus_load(path);
    brisk_arena *arena;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    uint64_t versions = 0;
    uint64_t dependencies = 0;
    for (size_t i = 0; i < all->count; i++) {
        const pkg_package *package = corpus_package(all, pkg_text_of(all->items[i].name));
        CHECK_TEXT(pkg_package_name(package), all->items[i].name);
        CHECK_U64(pkg_package_left_out(package), ==, 0);
        versions += pkg_package_count(package);
        for (uint32_t version = 0; version < pkg_package_count(package); version += 8) {
            const pkg_manifest *m;
            CHECK_OK(pkg_package_manifest(package, version, arena, &m));
            CHECK(m->integrity.size == 95 && m->tarball.size > 0);
            dependencies += m->dep_count;
        }
        brisk_arena_reset(arena);
    }
    brisk_arena_destroy(arena);
    CHECK_U64(all->count, ==, 2032);
    CHECK_U64(versions, ==, 141234);
    CHECK_U64(dependencies, >, 50000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions_are_sorted_and_found),
        cmocka_unit_test(test_dependencies_of_every_kind),
        cmocka_unit_test(test_neighbours_are_not_confused),
        cmocka_unit_test(test_the_rest_of_a_manifest),
        cmocka_unit_test(test_old_and_odd_fields),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_duplicate_keys_the_last_counts),
        cmocka_unit_test(test_lies_that_are_left_out),
        cmocka_unit_test(test_text_that_is_no_unicode),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_deep_nesting),
        cmocka_unit_test(test_a_million_versions),
        cmocka_unit_test(test_a_body_that_is_too_large),
        cmocka_unit_test(test_truncated_at_every_byte),
        cmocka_unit_test(test_every_damaged_byte_of_a_record),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_a_manifest_without_memory),
        cmocka_unit_test(test_records_are_deterministic),
        cmocka_unit_test(test_the_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
