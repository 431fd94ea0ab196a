/* Tarballs byte by byte, integrity by known hashes, and a program that is run with limits. */
#include "workload/pkg/tar.h"

#include <stdio.h>
#include <string.h>

#include <libdeflate.h>

#include "support/check.h"
#include "support/fault_alloc.h"
#include "workload/pkg/integrity.h"
#include "workload/pkg/process.h"

enum { BLOCK = 512 };

/* A header and its content at `to`, which has room and is zero; the bytes used. */
static size_t put_file(unsigned char *to, const char *path, const char *content)
{
    size_t size = strlen(content);
    unsigned sum = 0;
    memcpy(to, path, strlen(path));
    (void)snprintf((char *)to + 124, 12, "%011o", (unsigned)size);
    memset(to + 148, ' ', 8);
    to[156] = '0';
    memcpy(to + 257, "ustar", 6);
    for (size_t i = 0; i < BLOCK; i++) {
        sum += to[i];
    }
    (void)snprintf((char *)to + 148, 8, "%06o", sum);
    memcpy(to + BLOCK, content, size);
    return BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK;
}

/* Every byte of a header changed: refused, or the same package.json. */
static void test_every_byte_counts(void **state)
{
    (void)state;
    static unsigned char tar[4 * BLOCK];
    memset(tar, 0, sizeof tar);
    (void)put_file(tar, "package/package.json", "{}");
    pkg_text text = {(const char *)tar, sizeof tar};
    pkg_tar found;
    brisk_errinfo info;
    CHECK_OK(pkg_tar_read(text, &found, &info));
    assert_true(pkg_text_is(found.manifest, "{}"));
    uint32_t refused = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        tar[i] ^= 0x15;
        refused += pkg_tar_read(text, &found, &info) == BRISK_ERR_CORRUPT;
        tar[i] ^= 0x15;
    }
    CHECK_U64(refused, >=, BLOCK - 8); /* some bytes of the checksum's own field mean nothing */
    for (size_t size = 0; size < sizeof tar; size += 7) {
        brisk_err err = pkg_tar_read((pkg_text){(const char *)tar, size}, &found, &info);
        assert_true(err == BRISK_OK ? size >= BLOCK + 2
                                    : err == BRISK_ERR_CORRUPT || err == BRISK_ERR_NOT_FOUND);
    }
}

static void test_gzip(void **state)
{
    (void)state;
    static unsigned char tar[4 * BLOCK];
    unsigned char packed[4 * BLOCK];
    memset(tar, 0, sizeof tar);
    (void)put_file(tar, "x/package.json", "{\"a\":1}");
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
    assert_non_null(c);
    size_t size = libdeflate_gzip_compress(c, tar, sizeof tar, packed, sizeof packed);
    libdeflate_free_compressor(c);
    CHECK_U64(size, >, 0);
    pkg_text text = {(const char *)packed, size};
    pkg_text out;
    void *held;
    size_t capacity;
    brisk_errinfo info;
    uint64_t failures = 0;
    for (uint64_t n = 0; n < 100; n++) {
        fault_alloc fault;
        fault_alloc_init(&fault, n);
        brisk_err err = pkg_tar_expand(text, 1 << 20, &fault.base, &out, &held, &capacity, &info);
        if (err == BRISK_OK) {
            assert_int_equal(out.size, sizeof tar);
            assert_memory_equal(out.data, tar, sizeof tar);
            fault.base.release(fault.base.ctx, held, capacity, 16);
            CHECK_U64(fault.bytes_held, ==, 0);
            break;
        }
        assert_int_equal(err, BRISK_ERR_NOMEM);
        CHECK_U64(fault.bytes_held, ==, 0);
        failures++;
    }
    CHECK_U64(failures, >=, 1);
    assert_int_equal(
        pkg_tar_expand(text, sizeof tar - 1, brisk_alloc_libc(), &out, &held, &capacity, &info),
        BRISK_ERR_LIMIT);
    text.size -= 9;
    assert_int_equal(
        pkg_tar_expand(text, 1 << 20, brisk_alloc_libc(), &out, &held, &capacity, &info),
        BRISK_ERR_CORRUPT);
}

/* Of "abc", as FIPS 180-4 has them. */
static void test_integrity(void **state)
{
    (void)state;
    static const char sha512[] = "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/"
                                 "BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";
    static const char *const good[] = {
        sha512,
        "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
        "sha384-ywB1P0WjXou1oD1pmsZQBycsMqsO3tFjGotgWkP/W+2AhgcroefMI1i67KE0yCWn",
        "sha256-wrong sha1-wrong sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=?x"};
    static const char *const bad[] = {"",
                                      "sha512-",
                                      "md5-kAFQmDzST7DWlj99KOF/cg==",
                                      "sha512-x sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0=",
                                      "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0",
                                      "xsha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0="};
    char found[PKG_INTEGRITY_SIZE];
    pkg_integrity_of(PKG_TEXT("abc"), found);
    assert_string_equal(found, sha512);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(pkg_integrity_has(pkg_text_of(good[i]), PKG_TEXT("abc")));
        assert_true(!pkg_integrity_has(pkg_text_of(good[i]), PKG_TEXT("abd")));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_true(!pkg_integrity_has(pkg_text_of(bad[i]), PKG_TEXT("abc")));
    }
}

/* --- process.h ------------------------------------------------------------------------------- */

static bool at_once(void *ctx)
{
    return *(bool *)ctx;
}

static brisk_err run(const char *script, uint64_t timeout_ns, bool *cancelled, brisk_arena *arena,
                     pkg_process_result *ret)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    static char path[] = "PATH=/usr/bin:/bin";
    char *env[] = {path, NULL};
    brisk_errinfo info = {0};
    const pkg_process_opts opts = {.argv = (char *const *)(uintptr_t)argv,
                                   .env = env,
                                   .out_max = 1 << 20,
                                   .file_max = 4096,
                                   .timeout_ns = timeout_ns,
                                   .cancelled = at_once,
                                   .ctx = cancelled};
    brisk_err err = pkg_process_run(&opts, arena, ret, &info);
    assert_true(err == BRISK_OK || info.text[0] != '\0');
    return err;
}

static void test_process(void **state)
{
    (void)state;
    const uint64_t minute_ns = UINT64_C(60000000000);
    brisk_arena *arena;
    pkg_process_result r;
    bool cancelled = false;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    CHECK_OK(run("echo hello; echo 'a\033b' >&2; exit 3", minute_ns, &cancelled, arena, &r));
    assert_true(pkg_text_is(r.out, "hello\n") && r.status == 3);
    assert_string_equal(r.words, "a b");
    CHECK_OK(run("cat; kill -9 $$", minute_ns, &cancelled, arena, &r)); /* no input */
    assert_int_equal(r.status, 128 + 9);
    CHECK_OK(run("sleep 300 & echo $!", minute_ns, &cancelled, arena, &r)); /* holds the pipe */
    char end[64];
    (void)snprintf(end, sizeof end, "kill %.*s", (int)r.out.size, r.out.data);
    CHECK_OK(run(end, minute_ns, &cancelled, arena, &r));
    assert_int_equal(r.status, 0);
    assert_int_equal(run("while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done", minute_ns,
                         &cancelled, arena, &r),
                     BRISK_ERR_LIMIT);
    assert_int_equal(run("sleep 300", 1, &cancelled, arena, &r), BRISK_ERR_DEADLINE);
    cancelled = true;
    assert_int_equal(run("sleep 300", minute_ns, &cancelled, arena, &r), BRISK_ERR_CANCELLED);
    static char none[] = "brisk-no-such-program";
    char *argv[] = {none, NULL};
    char *env[] = {NULL};
    brisk_errinfo info;
    assert_int_equal(
        pkg_process_run(&(pkg_process_opts){.argv = argv, .env = env}, arena, &r, &info),
        BRISK_ERR_NOT_FOUND);
    brisk_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_integrity),
        cmocka_unit_test(test_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
