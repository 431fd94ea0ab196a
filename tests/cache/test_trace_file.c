/*
 * test_trace_file.c -- the four formats, compressed and not, whole and damaged.
 */
#include "support/check.h"
#include "support/temp_dir.h"

#include <stdbool.h>
#include <string.h>
#include <zstd.h>

#include <brisk/record.h>
#include <brisk/trace_file.h>

enum { REQUESTS_MAX = 100000 };

static brisk_trace_file *open_bytes(const void *bytes, size_t size, brisk_trace_format format)
{
    brisk_trace_file *file = NULL;
    brisk_errinfo info;
    CHECK_OK(brisk_trace_file_of_bytes(bytes, size, "bytes", format, &file, &info));
    return file;
}

static uint64_t keys[REQUESTS_MAX];

/* How many requests; the error at the end with its text in *info. */
static uint32_t read_all(const void *bytes, size_t size, brisk_trace_format format, brisk_err *ret,
                         brisk_errinfo *info)
{
    brisk_trace_file *file = NULL;
    uint32_t count = 0;
    *ret = brisk_trace_file_of_bytes(bytes, size, "bytes", format, &file, info);
    brisk_trace_request request;
    while (*ret == BRISK_OK && (*ret = brisk_trace_file_next(file, &request, info)) == BRISK_OK) {
        CHECK_U64(count, <, REQUESTS_MAX);
        keys[count++] = request.key;
    }
    brisk_trace_file_close(file);
    return count;
}

static uint32_t read_text(const char *text, brisk_trace_format format, brisk_err *ret,
                          brisk_errinfo *info)
{
    return read_all(text, strlen(text), format, ret, info);
}

static void test_formats(void **state)
{
    (void)state;
    brisk_err err;
    brisk_errinfo info;
    CHECK_U64(read_text("7 3 0 1\n7 1 0 2\n\n# no\n9 1 0 3", BRISK_TRACE_AUTO, &err, &info), ==, 5);
    CHECK(err == BRISK_ERR_NOT_FOUND);
    CHECK(keys[0] == keys[3] && keys[2] == keys[4] && keys[0] != keys[1]);
    CHECK_U64(read_text("5\n*\n6\r\n5\n", BRISK_TRACE_AUTO, &err, &info), ==, 3);
    CHECK(err == BRISK_ERR_NOT_FOUND && keys[0] == keys[2] && keys[0] != keys[1]);
    CHECK_U64(read_text("", BRISK_TRACE_AUTO, &err, &info), ==, 0);
    CHECK(err == BRISK_ERR_NOT_FOUND);
    brisk_trace_file *file = open_bytes("a,10\nb 20\na\n", 12, BRISK_TRACE_AUTO);
    CHECK(brisk_trace_file_format(file) == BRISK_TRACE_PLAIN);
    brisk_trace_request r[3];
    for (int i = 0; i < 3; i++) {
        CHECK_OK(brisk_trace_file_next(file, &r[i], &info));
    }
    CHECK(r[0].key == r[2].key && r[0].key != r[1].key);
    CHECK(r[0].size == 10 && r[1].size == 20 && r[2].size == 0);
    brisk_trace_file_close(file);
    unsigned char records[48] = {1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 44, 1};
    memcpy(records + 24, records, 24);
    file = open_bytes(records, sizeof records, BRISK_TRACE_AUTO);
    CHECK(brisk_trace_file_format(file) == BRISK_TRACE_ORACLE_GENERAL);
    CHECK_OK(brisk_trace_file_next(file, &r[0], &info));
    CHECK_OK(brisk_trace_file_next(file, &r[1], &info));
    CHECK(r[0].key == r[1].key && r[0].size == 300);
    CHECK(brisk_trace_file_next(file, &r[2], &info) == BRISK_ERR_NOT_FOUND);
    brisk_trace_file_close(file);
}

static void expect_refused(const void *bytes, size_t size, brisk_trace_format format,
                           brisk_err expected, const char *text)
{
    brisk_err err;
    brisk_errinfo info;
    (void)read_all(bytes, size, format, &err, &info);
    if (err != expected || strcmp(info.text, text) != 0) {
        fail_msg("%s: %s, not %s", brisk_err_name(err), info.text, text);
    }
}

static void test_bad_input_is_named(void **state)
{
    (void)state;
    static char long_line[200000];
    memset(long_line, 'x', sizeof long_line);
    expect_refused("1\nx\n", 4, BRISK_TRACE_LIRS, BRISK_ERR_CORRUPT, "bytes:2: not a number");
    expect_refused("18446744073709551616\n", 21, BRISK_TRACE_LIRS, BRISK_ERR_CORRUPT,
                   "bytes:1: not a number");
    expect_refused("1 2\n3 99999999999 0 1\n", 22, BRISK_TRACE_ARC, BRISK_ERR_CORRUPT,
                   "bytes:2: not \"first count ...\" with a count up to 16777216");
    expect_refused("a b\n", 4, BRISK_TRACE_PLAIN, BRISK_ERR_CORRUPT,
                   "bytes:1: not \"key\" or \"key size\"");
    expect_refused(long_line, sizeof long_line, BRISK_TRACE_PLAIN, BRISK_ERR_LIMIT,
                   "bytes:1: line of more than 131072 bytes");
    expect_refused(long_line, 25, BRISK_TRACE_ORACLE_GENERAL, BRISK_ERR_CORRUPT,
                   "bytes: record at offset 24 is cut off");
    brisk_errinfo info;
    brisk_trace_file *file = NULL;
    CHECK(brisk_trace_file_open("/nowhere/at/all", BRISK_TRACE_AUTO, NULL, &file, &info) ==
          BRISK_ERR_NOT_FOUND);
    brisk_trace_format format;
    CHECK(brisk_trace_format_parse("tsv", &format) == BRISK_ERR_INVALID);
    CHECK_OK(brisk_trace_format_parse("oracleGeneral", &format));
}

/* Many lines through zstd, several frames, and every way of being cut off. */
/* A recording of our own: its gets, by hash. */
static void test_a_recording(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "a.rec");
    brisk_recorder *recorder = NULL;
    CHECK_OK(brisk_recorder_create(&(brisk_recorder_opts){.path = path}, &recorder, NULL));
    for (uint64_t i = 0; i < 300; i++) {
        uint64_t number = i % 50;
        brisk_key key = brisk_key_of(&number, sizeof number);
        brisk_recorder_note(recorder, i % 3 == 2 ? BRISK_RECORD_PUT : BRISK_RECORD_GET, &key, 0,
                            100 + number);
    }
    CHECK_OK(brisk_recorder_destroy(recorder, NULL));
    static const brisk_trace_format formats[] = {BRISK_TRACE_AUTO, BRISK_TRACE_RECORDING};
    for (size_t f = 0; f < 2; f++) {
        brisk_trace_file *file = NULL;
        brisk_trace_request request;
        CHECK_OK(brisk_trace_file_open(path, formats[f], NULL, &file, NULL));
        assert_int_equal(brisk_trace_file_format(file), BRISK_TRACE_RECORDING);
        for (uint64_t i = 0; i < 300; i++) {
            uint64_t number = i % 50;
            if (i % 3 == 2) {
                continue;
            }
            CHECK_OK(brisk_trace_file_next(file, &request, NULL));
            CHECK_U64(request.key, ==, brisk_key_of(&number, sizeof number).hash.lo);
            CHECK_U64(request.size, ==, 100 + number);
        }
        assert_int_equal(brisk_trace_file_next(file, &request, NULL), BRISK_ERR_NOT_FOUND);
        brisk_trace_file_close(file);
    }
    temp_write_text(path, "1\n2\n");
    brisk_trace_file *file = NULL;
    brisk_errinfo info = {.text = ""};
    assert_int_equal(brisk_trace_file_open(path, BRISK_TRACE_RECORDING, NULL, &file, &info),
                     BRISK_ERR_CORRUPT);
    CHECK(strstr(info.text, path) != NULL);
}

static void test_compressed(void **state)
{
    (void)state;
    enum { LINES = 60000 };
    static char text[LINES * 8];
    static unsigned char packed[LINES * 9];
    size_t size = 0;
    for (uint32_t i = 0; i < LINES; i++) {
        size += (size_t)snprintf(text + size, sizeof text - size, "%u\n", i * 7 % 1000);
    }
    size_t half = ZSTD_compress(packed, sizeof packed, text, size, 1);
    CHECK(!ZSTD_isError(half));
    size_t all = half + ZSTD_compress(packed + half, sizeof packed - half, text, size / 2, 1);
    brisk_err err;
    brisk_errinfo info;
    uint32_t plain = read_all(text, size, BRISK_TRACE_AUTO, &err, &info);
    CHECK_U64(plain, ==, LINES);
    CHECK_U64(read_all(packed, half, BRISK_TRACE_AUTO, &err, &info), ==, LINES);
    CHECK(err == BRISK_ERR_NOT_FOUND);
    CHECK_U64(read_all(packed, all, BRISK_TRACE_AUTO, &err, &info), >, LINES);
    CHECK(err == BRISK_ERR_NOT_FOUND);
    for (size_t cut = 5; cut < half; cut += half / 50) {
        (void)read_all(packed, cut, BRISK_TRACE_AUTO, &err, &info);
        CHECK(err == BRISK_ERR_CORRUPT);
    }
    packed[half / 2] ^= 0xff;
    (void)read_all(packed, half, BRISK_TRACE_AUTO, &err, &info); /* whatever: it ends */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_bad_input_is_named),
        cmocka_unit_test(test_a_recording),
        cmocka_unit_test(test_compressed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
