/*
 * test_vectors.c -- patches that other programs made must give what those programs give.
 *
 * VECTORS.tsv: pair, tool, bytes, cross-checked, source, target, SHA-256 of the target.
 */
#include <nettle/sha2.h>

#include "rom/corpus.h"
#include "rom/patch_kit.h"

enum { COLUMNS = 7, LINE_MAX_BYTES = 1024 };

static void read_file(const char *name, kit_bytes *ret)
{
    char path[PATH_MAX];
    CHECK(corpus_path(name, path));
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t block[65536];
    for (size_t part; (part = fread(block, 1, sizeof block, file)) > 0;) {
        kit_add(ret, block, part);
    }
    CHECK(ferror(file) == 0);
    (void)fclose(file);
}

static void sha256_hex(const kit_bytes *bytes, char ret[65])
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    struct sha256_ctx sha256;
    sha256_init(&sha256);
    sha256_update(&sha256, bytes->size, bytes->data);
    sha256_digest(&sha256, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        (void)snprintf(ret + 2 * i, 3, "%02x", digest[i]);
    }
}

static bool split(char *line, char *columns[COLUMNS])
{
    char *rest = line;
    for (int i = 0; i < COLUMNS; i++) {
        columns[i] = strsep(&rest, "\t\n");
        if (columns[i] == NULL) {
            return false;
        }
    }
    return true;
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text);
    return size >= strlen(end) && strcmp(text + size - strlen(end), end) == 0;
}

/* patches/<pair>.<tool>: "rp.js bps" is rpjs.bps. */
static void patch_name(const char *pair, const char *tool, char ret[PATH_MAX])
{
    char name[LINE_MAX_BYTES] = "";
    size_t size = 0;
    if (strncmp(tool, "rp.js", 5) == 0) {
        size = (size_t)snprintf(name, sizeof name, "rpjs");
        tool += 5;
    }
    for (; *tool != '\0' && size < sizeof name - 1; tool++) {
        name[size++] = *tool == ' ' ? '.' : *tool;
    }
    name[size] = '\0';
    (void)snprintf(ret, PATH_MAX, "patches/%s.%s", pair, name);
}

static void check_vector(const char *patch_path, const char *source_path, const char *sha256)
{
    KIT_BYTES patch = {0};
    KIT_BYTES source = {0};
    KIT_BYTES target = {0};
    read_file(patch_path, &patch);
    read_file(source_path, &source);
    brisk_errinfo info = {0};
    if (kit_apply(&patch, &source, NULL, &target, &info) != BRISK_OK) {
        fail_msg("%s: %s", patch_path, info.text);
    }
    char hex[65];
    sha256_hex(&target, hex);
    if (strcmp(hex, sha256) != 0) {
        fail_msg("%s: %s instead of %s", patch_path, hex, sha256);
    }
}

static void test_vectors(void **state)
{
    (void)state;
    char path[PATH_MAX];
    corpus_need("VECTORS.tsv", path);
    FILE *table = fopen(path, "r");
    assert_non_null(table);
    char line[LINE_MAX_BYTES];
    size_t count = 0;
    while (fgets(line, sizeof line, table) != NULL) {
        char *columns[COLUMNS];
        if (!split(line, columns)) {
            continue;
        }
        const char *tool = columns[1];
        if (ends_with(tool, "ips") || ends_with(tool, "ups") || ends_with(tool, "bps")) {
            char name[PATH_MAX];
            patch_name(columns[0], tool, name);
            check_vector(name, columns[4], columns[6]);
            count++;
        }
    }
    (void)fclose(table);
    print_message("%zu vectors\n", count);
    CHECK_U64(count, >, 0);
}

/* {patch, source, what comes out} of the fixtures of other projects. */
static const char *const FIXTURES[][3] = {
    {"unipatcher/min_ips.ips", "unipatcher/min_ips.bin", "unipatcher/min_ips_modified.bin"},
    {"unipatcher/rle_ips.ips", "unipatcher/rle_ips.bin", "unipatcher/rle_ips_modified.bin"},
    {"unipatcher/truncate.ips", "unipatcher/truncate.bin", "unipatcher/truncate_modified.bin"},
    {"unipatcher/1.bps", "unipatcher/1.bin", "unipatcher/1m.bin"},
    {"ipsjs/smiley-x-to-m.ips", "ipsjs/smiley-x.txt", "ipsjs/smiley-m.txt"},
    {"ipsjs/smiley-to-frowny-x.ips", "ipsjs/smiley-x.txt", "ipsjs/frowny-x.txt"},
    {"ipsjs/smiley-to-frowny-x.ips", "ipsjs/smiley-m.txt",
     "ipsjs/smiley-m-patched-to-frowny-x.txt"},
    {"ipsjs/smiley-x-to-m.ips", "ipsjs/frowny-x.txt", "ipsjs/frowny-x-patched-to-m.txt"},
};

static void test_fixtures(void **state)
{
    (void)state;
    char path[PATH_MAX];
    corpus_need("fixtures", path);
    for (size_t i = 0; i < sizeof FIXTURES / sizeof FIXTURES[0]; i++) {
        char names[3][PATH_MAX];
        for (size_t j = 0; j < 3; j++) {
            (void)snprintf(names[j], PATH_MAX, "fixtures/%s", FIXTURES[i][j]);
        }
        KIT_BYTES target = {0};
        read_file(names[2], &target);
        char hex[65];
        sha256_hex(&target, hex);
        check_vector(names[0], names[1], hex);
    }
}

static void test_truncate_only(void **state)
{
    (void)state;
    char path[PATH_MAX];
    corpus_need("fixtures/truncate_only.ips", path);
    KIT_BYTES patch = {0};
    KIT_BYTES source = {0};
    read_file("fixtures/truncate_only.ips", &patch);
    CHECK_U64(patch.size, ==, 11);
    size_t cut = rom_be24(patch.data + 8);
    for (size_t i = 0; i < cut + 100; i++) {
        kit_byte(&source, i * 3);
    }
    KIT_BYTES target = {0};
    kit_add(&target, source.data, cut);
    kit_expect(&patch, &source, &target, NULL);
}

static void test_refused(void **state)
{
    (void)state;
    char path[PATH_MAX];
    corpus_need("bad", path);
    KIT_BYTES source = {0};
    kit_text(&source, "0123456789");
    KIT_BYTES no_patch = {0};
    read_file("bad/not_ips.ips", &no_patch);
    kit_expect_error(&no_patch, &source, NULL, BRISK_ERR_UNSUPPORTED, "not a patch");
    KIT_BYTES other = {0};
    read_file("fixtures/unipatcher/min_ips32.ips", &other);
    kit_expect_error(&other, &source, NULL, BRISK_ERR_UNSUPPORTED, "IPS32");
}

/* One record at the end mark's offset: others call it broken or lose it. */
static void test_end_mark_offset(void **state)
{
    (void)state;
    char path[PATH_MAX];
    corpus_need("bad/eofoff.ips", path);
    KIT_BYTES patch = {0};
    KIT_BYTES source = {0};
    KIT_BYTES made = {0};
    read_file("bad/eofoff.ips", &patch);
    source.data = calloc(1, 0x454f60);
    source.size = 0x454f60;
    brisk_errinfo info = {0};
    brisk_err err = kit_apply(&patch, &source, NULL, &made, &info);
    print_message("eofoff.ips: %s %s\n", brisk_err_name(err), info.text);
    CHECK_OK(err);
    CHECK_U64(made.size, ==, source.size);
    CHECK(made.data[0x454f46] != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),         cmocka_unit_test(test_fixtures),
        cmocka_unit_test(test_truncate_only),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_end_mark_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
