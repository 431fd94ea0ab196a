/* Addresses to listen at: what they may be, what is left over, what is taken over. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/sockets.h"
#include "support/check.h"
#include "support/temp_dir.h"

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_local;
    } good[] = {{"127.0.0.1:0", true}, {"0", true}, {"0.0.0.0:0", false}, {":0", false}};
    brisk_errinfo info;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        sockets s = {.backlog = 8};
        if (sockets_open(&s, good[i].text, &info) != BRISK_OK) {
            fail_msg("%s", info.text);
        }
        CHECK(s.count >= 1 && s.list[0].fd >= 0 && s.list[0].port != 0);
        CHECK(s.list[0].is_local == good[i].is_local && !s.list[0].is_unix);
        sockets_close(&s, false);
        CHECK(s.count == 0);
    }
    static const char *const bad[] = {"",         "nonsense", "127.0.0.1",       "127.0.0.1:",
                                      ":70000",   "::1:6380", "127.0.0.1:-1",    "127.0.0.1:1x",
                                      "a:b:6380", "unix:",    "127.0.0.1:000001"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        sockets s = {.backlog = 8};
        if (sockets_open(&s, bad[i], &info) != BRISK_ERR_INVALID || s.count != 0) {
            fail_msg("'%s' was taken", bad[i]);
        }
    }
    sockets s = {.backlog = 8};
    char text[300];
    memset(text, 'h', sizeof text);
    memcpy(text + sizeof text - 3, ":1", 3);
    CHECK(sockets_open(&s, text, &info) == BRISK_ERR_INVALID);
    memcpy(text, "unix:", 5);
    CHECK(sockets_open(&s, text, &info) == BRISK_ERR_LIMIT);
}

static void test_a_port_is_taken_once(void **state)
{
    (void)state;
    brisk_errinfo info;
    sockets s = {.backlog = 8};
    CHECK_OK(sockets_open(&s, "127.0.0.1:0", &info));
    char text[32];
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", s.list[0].port);
    CHECK(sockets_open(&s, text, &info) != BRISK_OK);
    CHECK(s.count == 1 && strstr(info.text, text) != NULL);
    while (s.count < SOCKETS_MAX) {
        CHECK_OK(sockets_open(&s, "127.0.0.1:0", &info));
    }
    CHECK(sockets_open(&s, "127.0.0.1:0", &info) == BRISK_ERR_LIMIT);
    CHECK(sockets_open(&s, "unix:/nonexistent/x", &info) == BRISK_ERR_LIMIT);
    CHECK(s.count == SOCKETS_MAX);
    sockets_close(&s, false);
}

static void test_unix(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "socket");
    char text[4200];
    (void)snprintf(text, sizeof text, "unix:%s", path);
    brisk_errinfo info;
    sockets s = {.backlog = 8};
    CHECK_OK(sockets_open(&s, text, &info));
    CHECK(s.list[0].is_unix && s.list[0].is_local && strcmp(s.list[0].text, path) == 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    CHECK(sockets_open(&s, text, &info) != BRISK_OK); /* somebody answers there */
    assert_int_equal(stat(path, &st), 0);

    sockets_close(&s, true); /* left over, as by one that died */
    assert_int_equal(stat(path, &st), 0);
    CHECK_OK(sockets_open(&s, text, &info));
    sockets_close(&s, false);
    CHECK(stat(path, &st) != 0 && errno == ENOENT);

    temp_write_text(path, "something else");
    CHECK(sockets_open(&s, text, &info) != BRISK_OK);
    assert_int_equal(stat(path, &st), 0); /* stays */
}

static void test_taking_over(void **state)
{
    (void)state;
    brisk_errinfo info;
    sockets from = {.backlog = 8};
    sockets to = {.backlog = 8};
    CHECK_OK(sockets_open(&from, "127.0.0.1:0", &info));
    int fd = dup(from.list[0].fd);
    CHECK_OK(sockets_adopt(&to, fd, NULL, &info));
    CHECK(to.list[0].port == from.list[0].port && to.list[0].is_local && !to.list[0].is_ours);
    char wanted[32];
    (void)snprintf(wanted, sizeof wanted, "127.0.0.1:%u", from.list[0].port);
    assert_string_equal(to.list[0].text, wanted);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);

    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int deaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* nobody listens at it */
    CHECK(sockets_adopt(&to, file, NULL, &info) == BRISK_ERR_INVALID);
    CHECK(sockets_adopt(&to, deaf, NULL, &info) == BRISK_ERR_INVALID);
    CHECK(sockets_adopt(&to, 9999, NULL, &info) == BRISK_ERR_INVALID);
    CHECK(to.count == 1);
    (void)close(file);
    (void)close(deaf);
    sockets_close(&to, false);
    sockets_close(&from, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_a_port_is_taken_once),
        cmocka_unit_test(test_unix),
        cmocka_unit_test(test_taking_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
