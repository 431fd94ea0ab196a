/*
 * test_packument_oracle.c -- packuments against another parser: the snapshot's, and broken ones.
 */
#include <string.h>

#include "pkg/corpus.h"
#include "pkg/packument_oracle.h"

enum { EVERY = 5, MUTATIONS = 30000, SMALL_BYTES = 6000 };

typedef struct judge {
    pkg_packument_reader *readers[SCAN_PATH_COUNT];
    brisk_arena *arena;
} judge;

static void judge_init(judge *j)
{
    *j = (judge){0};
    CHECK_OK(brisk_arena_create(NULL, &j->arena));
    for (scan_path path = SCAN_SCALAR; path < SCAN_PATH_COUNT; path++) {
        if (scan_path_exists(path)) {
            CHECK_OK(pkg_packument_reader_create(&(pkg_packument_opts){.path = path},
                                                 &j->readers[path]));
        }
    }
}

static void judge_deinit(judge *j)
{
    for (scan_path path = SCAN_SCALAR; path < SCAN_PATH_COUNT; path++) {
        pkg_packument_reader_destroy(j->readers[path]);
    }
    brisk_arena_destroy(j->arena);
}

/* Every path gives the same bytes, and these are what the oracle says; whether it was read. */
static bool judge_it(judge *j, const char *name, pkg_text json)
{
    const pkg_package *first = NULL;
    brisk_err first_err = BRISK_OK;
    for (scan_path path = SCAN_SCALAR; path < SCAN_PATH_COUNT; path++) {
        if (j->readers[path] == NULL) {
            continue;
        }
        const pkg_package *package = NULL;
        brisk_err err =
            pkg_packument_read(j->readers[path], pkg_text_of(name), json, &package, NULL);
        if (path == SCAN_SCALAR) {
            first = package;
            first_err = err;
        }
        assert_int_equal(err, first_err);
        if (err == BRISK_OK) {
            CHECK_U64(pkg_package_bytes(package), ==, pkg_package_bytes(first));
            assert_memory_equal(package, first, pkg_package_bytes(first));
        }
    }
    brisk_arena_reset(j->arena);
    const char *wrong = oracle_check(pkg_text_of(name), json, j->arena, first);
    if (wrong != NULL) {
        fail_msg("%s: %s: %.*s", name, wrong, json.size < 3000 ? (int)json.size : 3000, json.data);
    }
    return first != NULL;
}

static void test_the_snapshot(void **state)
{
    (void)state;
    char path[PATH_MAX];
    corpus_need("registry-snapshot.tar.zst", path);
    BRISK_CLEANUP(corpus_close) corpus *all = corpus_load(path);
    judge j;
    judge_init(&j);
    uint32_t read = 0;
    size_t step = getenv("BRISK_LONG") != NULL ? 1 : EVERY;
    for (size_t i = 0; i < all->count; i += step) {
        read += judge_it(&j, all->items[i].name, all->items[i].json) ? 1 : 0;
    }
    CHECK_U64(read, ==, (all->count + step - 1) / step);
    judge_deinit(&j);
}

/* Documents of the kinds of things that are in them; single quotes stand for double ones. */
static const char *const seeds[] = {
    "{'name':'a','dist-tags':{'latest':'1.0.1','n':'2.0.0-0'},'versions':{'1.0.0':{'dependencies':"
    "{'b':'^1.2.3','c':'1 || 2'},'bin':'./a','dist':{'integrity':'sha1-ezOp+1TGBaO+RsHT27yCGs8dLvs="
    "','tarball':'https://h/a/-/a-1.0.0.tgz'}},'1.0.1':{'dependencies':{'b':'^1.2.3','c':'1'},"
    "'optionalDependencies':{'c':'2'},'bin':'./a','deprecated':'no'},'2.0.0-0':{'os':['x','!y'],"
    "'license':{'type':'M\\u0049T'}}},'time':{'1.0.0':'2019-02-03T04:05:06.789Z'}}",
    "{ 'versions' : { '1.0.0' : { 'peerDependencies' : { 'p' : '*' , 'q':'1' } , "
    "'peerDependenciesMeta' : { 'p' : { 'optional' : true } } , 'engines' : { 'node' : '>=4' } } ,"
    "'1.0.0-rc.1':{'engines':['node'],'funding':[{'url':'u'},'v'],'bundleDependencies':true},"
    "'v3.0.0':{'scripts':{'install':'x'},'hasInstallScript':false,'cpu':'any','libc':['glibc']},"
    "'x':{},'4.0.0':1} , 'name' : 'a' }",
    "{'name':'a','versions':{'1.0.0':{'dependencies':{'a':'1','a':'2','__proto__':'3'},"
    "'_hasShrinkwrap':true,'dist':{'shasum':'7b33a9fb54c605a3be46c1d3dbbc821acf1d2efb'}},'1.0.0':{"
    "'license':'\\ud83d\\ude00\\\\','bin':{'a':[1,2.5e3,{}],'b':null}}},'dist-tags':[]}",
};

/* Pieces that change meaning when they are put somewhere. */
static const char *const pieces[] = {
    "{",    "}",    "[",    "]",     ",",  ":",      "\"",           "\\",
    "\\\"", "null", "true", "1",     "{}", "[]",     "\"\"",         " ",
    "\\u",  "\xc3", "\n",   "\"a\"", "0",  "\"a\":", "\"1.0.0\":{}", "\"versions\":"};

static size_t mutate(char *text, size_t size, uint64_t *random)
{
    size_t at = check_random(random) % (size + 1);
    size_t other = check_random(random) % (size + 1);
    size_t length = check_random(random) % 40;
    const char *piece = pieces[check_random(random) % (sizeof pieces / sizeof pieces[0])];
    switch (check_random(random) % 5) {
    case 0: /* cut out */
        length = length < size - at ? length : size - at;
        memmove(text + at, text + at + length, size - at - length);
        return size - length;
    case 1: /* put in */
        length = strlen(piece);
        memmove(text + at + length, text + at, size - at);
        memcpy(text + at, piece, length);
        return size + length;
    case 2: /* copy from elsewhere, over what is there */
        length = length < size - at ? length : size - at;
        length = length < size - other ? length : size - other;
        memmove(text + at, text + other, length);
        return size;
    case 3: /* swap bytes */
        if (at < size && other < size) {
            char byte = text[at];
            text[at] = text[other];
            text[other] = byte;
        }
        return size;
    default: /* another byte */
        if (at < size) {
            text[at] = (char)check_random(random);
        }
        return size;
    }
}

static void test_mutated_documents(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    judge j;
    judge_init(&j);
    uint32_t read = 0;
    for (uint32_t round = 0; round < MUTATIONS; round++) {
        char text[SMALL_BYTES];
        const char *seed = seeds[round % (sizeof seeds / sizeof seeds[0])];
        size_t size = strlen(seed);
        for (size_t i = 0; i < size; i++) {
            text[i] = seed[i] == '\'' ? '"' : seed[i];
        }
        for (uint64_t left = check_random(&random) % 4; left > 0; left--) {
            size = mutate(text, size, &random);
        }
        char *exact = malloc(size + 1); /* so that a read behind it is seen */
        assert_non_null(exact);
        memcpy(exact, text, size);
        read += judge_it(&j, "a", (pkg_text){.data = exact, .size = size}) ? 1 : 0;
        free(exact);
    }
    print_message("%u of %u documents were read\n", read, (unsigned)MUTATIONS);
    CHECK_U64(read, >, MUTATIONS / 5);
    CHECK_U64(read, <, MUTATIONS * 9 / 10);
    judge_deinit(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_snapshot),
        cmocka_unit_test(test_mutated_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
