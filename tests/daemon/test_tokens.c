/*
 * test_tokens.c -- token files: what is read, what is refused with its line, files that are made, comparing.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/http/tokens.h"
#include "support/check.h"

#define A "0123456789abcdef"
#define B "fedcba9876543210fedcba9876543210"

static http_right find(http_tokens *tokens, const char *text, char name[TOKEN_NAME_MAX])
{
    return http_tokens_find(tokens, (http_text){text, strlen(text)}, name);
}

static brisk_err parse(http_tokens *tokens, const char *text, brisk_errinfo *info)
{
    return http_tokens_parse(tokens, "file", text, strlen(text), info);
}

static void test_what_is_read(void **state)
{
    (void)state;
    http_tokens tokens;
    char name[TOKEN_NAME_MAX];
    brisk_errinfo info;
    http_tokens_init(&tokens);
    CHECK(find(&tokens, A, name) == HTTP_RIGHT_NONE);
    CHECK_OK(parse(&tokens, "# tokens\n\n" A "\n  " B "\tread grafana\r\n", &info));
    CHECK(find(&tokens, A, name) == HTTP_RIGHT_CHANGE);
    assert_string_equal(name, "token 3");
    CHECK(find(&tokens, B, name) == HTTP_RIGHT_READ);
    assert_string_equal(name, "grafana");
    CHECK(find(&tokens, "0123456789abcdeF", name) == HTTP_RIGHT_NONE);
    CHECK(find(&tokens, A "0", name) == HTTP_RIGHT_NONE);
    CHECK(find(&tokens, "0123456789abcde", name) == HTTP_RIGHT_NONE); /* without its last byte */
    CHECK(find(&tokens, "", name) == HTTP_RIGHT_NONE);
    CHECK(http_tokens_find(&tokens, (http_text){A "\0", 17}, name) == HTTP_RIGHT_NONE);
    CHECK_OK(parse(&tokens, B " change root\n", &info)); /* the old ones are gone */
    CHECK(find(&tokens, A, name) == HTTP_RIGHT_NONE);
    CHECK(find(&tokens, B, name) == HTTP_RIGHT_CHANGE);
    http_tokens_deinit(&tokens);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        brisk_err err;
        const char *says;
    } rows[] = {
        {"", BRISK_ERR_INVALID, "no token"},
        {"# nothing\n", BRISK_ERR_INVALID, "no token"},
        {A "\nshort\n", BRISK_ERR_INVALID, "file:2:"},
        {A " write\n", BRISK_ERR_INVALID, "read or change"},
        {A " read a b\n", BRISK_ERR_INVALID, "one word"},
        {A " read aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", BRISK_ERR_INVALID, "one word"},
        {A "\x01\n", BRISK_ERR_INVALID, "visible"},
        {A "\xc3\xa9\n", BRISK_ERR_INVALID, "visible"},
    };
    http_tokens tokens;
    char name[TOKEN_NAME_MAX];
    brisk_errinfo info;
    http_tokens_init(&tokens);
    CHECK_OK(parse(&tokens, B "\n", &info));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK(parse(&tokens, rows[i].text, &info) == rows[i].err);
        CHECK(strstr(info.text, rows[i].says) != NULL);
        CHECK(strstr(info.text, A) == NULL); /* no secret in an error */
    }
    char many[(TOKENS_MAX + 1) * 20] = "";
    for (int i = 0; i <= TOKENS_MAX; i++) {
        (void)snprintf(many + 17 * (size_t)i, 20, A "\n");
    }
    CHECK(parse(&tokens, many, &info) == BRISK_ERR_LIMIT);
    CHECK(find(&tokens, B, name) == HTTP_RIGHT_CHANGE); /* as before */
    http_tokens_deinit(&tokens);
}

static void test_made_once(void **state)
{
    (void)state;
    char folder[] = "/tmp/brisk-tokens-XXXXXX";
    char below[64];
    char path[TOKEN_PATH_MAX];
    char again[TOKEN_PATH_MAX];
    char text[128] = "";
    char name[TOKEN_NAME_MAX];
    http_tokens tokens;
    brisk_errinfo info;
    struct stat st;
    CHECK(mkdtemp(folder) != NULL);
    (void)snprintf(below, sizeof below, "%s/a/b", folder);
    http_tokens_init(&tokens);
    CHECK_OK(http_tokens_make(&tokens, below, path, &info));
    CHECK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0600);
    CHECK(stat(below, &st) == 0 && (st.st_mode & 07777) == 0700);
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && read(fd, text, sizeof text) == 2 * TOKEN_MADE_BYTES + 1);
    (void)close(fd);
    text[2 * TOKEN_MADE_BYTES] = '\0';
    CHECK(find(&tokens, text, name) == HTTP_RIGHT_CHANGE);
    http_tokens_deinit(&tokens);
    http_tokens_init(&tokens);
    CHECK_OK(http_tokens_make(&tokens, below, again, &info)); /* another start finds it */
    assert_string_equal(path, again);
    CHECK(find(&tokens, text, name) == HTTP_RIGHT_CHANGE);
    CHECK(chmod(path, 0620) == 0);
    CHECK(http_tokens_read(&tokens, path, &info) == BRISK_ERR_PERMISSION);
    CHECK(http_tokens_read(&tokens, below, &info) == BRISK_ERR_INVALID); /* a folder */
    CHECK(unlink(path) == 0);
    CHECK(http_tokens_read(&tokens, path, &info) == BRISK_ERR_NOT_FOUND);
    CHECK(chmod(below, 0777) == 0); /* anybody could put another one there */
    CHECK(http_tokens_make(&tokens, below, again, &info) == BRISK_ERR_PERMISSION);
    CHECK(strstr(info.text, "folder") != NULL && chmod(below, 0700) == 0);
    CHECK(symlink("/etc/passwd", path) == 0);
    CHECK(http_tokens_make(&tokens, below, again, &info) == BRISK_ERR_PERMISSION);
    http_tokens_deinit(&tokens);
    (void)unlink(path);
    (void)rmdir(below);
    (void)snprintf(below, sizeof below, "%s/a", folder);
    (void)rmdir(below);
    CHECK(rmdir(folder) == 0); /* no draft is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_read),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_made_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
