/* Errors: the table, errno, and texts that stay one line and keep their reason. */
#include <errno.h>
#include <string.h>

#include <brisk/err.h>

#include "support/check.h"

static void test_names_and_messages(void **state)
{
    (void)state;
    CHECK(strcmp(brisk_err_name(BRISK_OK), "BRISK_OK") == 0);
    CHECK(strcmp(brisk_err_name(BRISK_ERR_FULL), "BRISK_ERR_FULL") == 0);
    CHECK(strcmp(brisk_err_message(BRISK_ERR_FULL), "no room left") == 0);
    CHECK(strcmp(brisk_err_name((brisk_err)-1000), "BRISK_ERR_UNKNOWN") == 0);
    CHECK(strcmp(brisk_err_message((brisk_err)-1000), "unknown error") == 0);
}

static void test_errno_becomes_an_error(void **state)
{
    (void)state;
    CHECK(brisk_err_from_errno(0) == BRISK_OK);
    CHECK(brisk_err_from_errno(ENOENT) == BRISK_ERR_NOT_FOUND);
    CHECK(brisk_err_from_errno(ENOSPC) == BRISK_ERR_FULL);
    CHECK(brisk_err_from_errno(EACCES) == BRISK_ERR_PERMISSION);
    CHECK(brisk_err_from_errno(EIO) == BRISK_ERR_IO);
    for (int i = 1; i < 200; i++) {
        CHECK(brisk_err_from_errno(i) != BRISK_OK);
    }
}

static void test_text_is_filled(void **state)
{
    (void)state;
    brisk_errinfo info = {.os_errno = 5};
    CHECK(brisk_errinfo_set(&info, BRISK_ERR_CORRUPT, "%s: offset %d", "rom.sfc", 7) ==
          BRISK_ERR_CORRUPT);
    CHECK(info.code == BRISK_ERR_CORRUPT);
    CHECK(info.os_errno == 0);
    CHECK(strcmp(info.text, "rom.sfc: offset 7") == 0);
    CHECK(brisk_errinfo_set_errno(&info, ENOSPC, "%s", "out") == BRISK_ERR_FULL);
    CHECK(info.os_errno == ENOSPC);
    CHECK(strcmp(info.text, "out: no room left on the device") == 0);
    CHECK(brisk_errinfo_set_errno(NULL, ENOENT, "%s", "x") == BRISK_ERR_NOT_FOUND);
    CHECK(brisk_errinfo_set(NULL, BRISK_ERR_IO, "x") == BRISK_ERR_IO);
}

/* For every length around the limit: terminated, and cut texts say so and keep their reason. */
static void test_long_texts_are_cut(void **state)
{
    (void)state;
    for (size_t size = BRISK_ERRINFO_TEXT_MAX - 60; size < BRISK_ERRINFO_TEXT_MAX + 60; size++) {
        char name[BRISK_ERRINFO_TEXT_MAX + 64];
        memset(name, 'a', size);
        name[size] = '\0';
        brisk_errinfo info;
        CHECK(brisk_errinfo_set(&info, BRISK_ERR_IO, "%s", name) == BRISK_ERR_IO);
        size_t length = strnlen(info.text, sizeof info.text);
        CHECK_U64(length, <, sizeof info.text);
        CHECK((strcmp(info.text + length - 3, "...") == 0) == (size >= sizeof info.text));
        CHECK(brisk_errinfo_set_errno(&info, ENOSPC, "%s", name) == BRISK_ERR_FULL);
        CHECK(strstr(info.text, ": no room left on the device") != NULL);
    }
}

static void test_text_is_one_line(void **state)
{
    (void)state;
    brisk_errinfo info;
    CHECK(brisk_errinfo_set(&info, BRISK_ERR_IO, "a\nb\033[31m\x7f\t\xc3\xa9") == BRISK_ERR_IO);
    CHECK(strcmp(info.text, "a?b?[31m??\xc3\xa9") == 0);
    /* U+009B does what ESC [ does; U+00A0, and half of a character at the end, are only text. */
    CHECK(brisk_errinfo_set(&info, BRISK_ERR_IO,
                            "\xc2\x9b"
                            "31m \xc2\xa0\xc2") == BRISK_ERR_IO);
    CHECK(strcmp(info.text, "??31m \xc2\xa0\xc2") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_messages), cmocka_unit_test(test_errno_becomes_an_error),
        cmocka_unit_test(test_text_is_filled),     cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_text_is_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
