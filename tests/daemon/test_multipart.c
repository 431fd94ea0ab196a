/*
 * test_multipart.c -- proves multipart_read: parts are cut where they end and nowhere else, and what
 * two readers could read in two ways is refused.
 */
#include "support/check.h"

#include <string.h>

#include "base/cleanup.h"
#include "daemon/api/multipart.h"

BRISK_DEFINE_CLEANUP(brisk_arena, brisk_arena_destroy)

static void test_boundaries(void **unused)
{
    (void)unused;
    static const struct {
        const char *type;
        const char *boundary; /* NULL: none */
    } rows[] = {
        {"multipart/form-data; boundary=abc", "abc"},
        {"Multipart/Form-Data;boundary=\"a b'c\"", "a b'c"},
        {"multipart/form-data; charset=utf-8; BOUNDARY=x-1 ", "x-1"},
        {"multipart/form-data", NULL},
        {"multipart/form-data; boundary=", NULL},
        {"multipart/form-data; boundary=\"a \"", NULL},
        {"multipart/form-data; boundary=\"a", NULL},
        {"multipart/form-data; boundary=a; boundary=b", NULL},
        {"multipart/form-data; boundary=\"a\\u0007\"; x", NULL},
        {"multipart/mixed; boundary=a", NULL},
        {"application/json", NULL},
        {"multipart/form-data; boundary="
         "01234567890123456789012345678901234567890123456789012345678901234567890",
         NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char found[MULTIPART_BOUNDARY_MAX + 1] = "";
        bool is = multipart_boundary(rows[i].type, strlen(rows[i].type), found);
        if (is != (rows[i].boundary != NULL)) {
            fail_msg("%s", rows[i].type);
        }
        if (is) {
            assert_string_equal(found, rows[i].boundary);
        }
    }
}

static brisk_err read_body(brisk_arena *arena, const char *body, brisk_form_part **parts,
                           uint32_t *count, brisk_errinfo *info)
{
    *info = (brisk_errinfo){.text = ""};
    return multipart_read("B", body, strlen(body), arena, parts, count, info);
}

#define HEAD(name) "Content-Disposition: form-data; name=\"" name "\"\r\n"

static void test_parts(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    brisk_form_part *parts;
    uint32_t count;
    brisk_errinfo info;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    CHECK_OK(
        read_body(arena,
                  "preamble\r\n--B \r\n" HEAD("job") "Content-Type: application/json\r\n\r\n{}"
                                                     "\r\n--B\r\ncontent-disposition: FORM-DATA; "
                                                     "filename=\"x\\\"y.sfc\"; name=rom\r\n"
                                                     "X-Other: 1\r\n\r\n\r\n--C\r\n--B\r\n" HEAD(
                                                         "empty") "\r\n\r\n--B--\r\n",
                  &parts, &count, &info));
    CHECK_U64(count, ==, 3);
    assert_string_equal(parts[0].name, "job");
    assert_string_equal(parts[0].type, "application/json");
    CHECK(parts[0].size == 2 && memcmp(parts[0].data, "{}", 2) == 0);
    assert_string_equal(parts[1].name, "rom");
    assert_string_equal(parts[1].type, "");
    CHECK(parts[1].size == 5 && memcmp(parts[1].data, "\r\n--C", 5) == 0);
    CHECK_U64(parts[2].size, ==, 0);
    CHECK_OK(read_body(arena, "--B--", &parts, &count, &info));
    CHECK_U64(count, ==, 0);
}

static void test_what_is_refused(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "",
        "--B",
        "--B\r\n",
        "--B\r\n--B--",
        "--B\n" HEAD("a") "\r\n1\r\n--B--",
        "--B\r\n" HEAD("a") "\r\n1",
        "--B\r\n" HEAD("a") "\r\n1\r\n--B",
        "--B\r\n" HEAD("a") "\r\n1\r\n--Bx\r\n\r\n--B--",
        "--B\r\n" HEAD("a") "\r\n1\r\n--B--\r\nmore",
        "--B\r\n" HEAD("a") "1\r\n--B--",
        "--B\r\n\r\n1\r\n--B--",
        "--B\r\nContent-Type: text/plain\r\n\r\n1\r\n--B--",
        "--B\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\n1\r\n--B--",
        "--B\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--B--",
        "--B\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n1\r\n--B--",
        "--B\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\n1\r\n--B--",
        "--B\r\n" HEAD("a") "Content-Transfer-Encoding: base64\r\n\r\n1\r\n--B--",
        "--B\r\n" HEAD("a") "\r\n1\r\n--B\r\n" HEAD("a") "\r\n2\r\n--B--",
        "--B\r\n" HEAD("a") "x\ry: 1\r\n\r\n1\r\n--B--",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
        brisk_form_part *parts = NULL;
        uint32_t count = 0;
        brisk_errinfo info;
        CHECK_OK(brisk_arena_create(NULL, &arena));
        if (read_body(arena, bad[i], &parts, &count, &info) != BRISK_ERR_INVALID) {
            fail_msg("was read: %s", bad[i]);
        }
        CHECK(strncmp(info.text, "multipart", 9) == 0);
    }
}

static void test_limits(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    size_t room = (MULTIPART_PARTS_MAX + 2) * 80;
    char *body = malloc(room);
    assert_non_null(body);
    for (int parts = MULTIPART_PARTS_MAX; parts <= MULTIPART_PARTS_MAX + 1; parts++) {
        size_t used = (size_t)snprintf(body, room, "--B\r\n");
        for (int i = 0; i < parts; i++) {
            used += (size_t)snprintf(body + used, room - used,
                                     "Content-Disposition: form-data; name=p%d\r\n\r\n\r\n--B%s", i,
                                     i + 1 < parts ? "\r\n" : "--");
        }
        brisk_form_part *found;
        uint32_t count;
        brisk_errinfo info;
        CHECK(read_body(arena, body, &found, &count, &info) ==
              (parts <= MULTIPART_PARTS_MAX ? BRISK_OK : BRISK_ERR_LIMIT));
    }
    free(body);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_boundaries),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
