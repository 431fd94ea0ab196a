/* Views, whole reads and writes, folders; hostile paths are refused with a line that names them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <brisk/file.h>

#include "support/check.h"
#include "support/child.h"
#include "support/temp_dir.h"

static void test_view_shows_the_bytes(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    static unsigned char bytes[10000];
    uint64_t random = check_seed();
    static const size_t SIZES[] = {0, 1, 4095, 4096, 4097, 10000};
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)check_random(&random);
    }
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        const char *path = temp_dir_path(dir, "file");
        temp_write(path, bytes, SIZES[i]);
        brisk_file_view view = {0};
        brisk_errinfo info;
        CHECK_OK(brisk_file_view_open(path, SIZES[i], &view, &info));
        CHECK_U64(view.size, ==, SIZES[i]);
        CHECK(view.data != NULL);
        assert_memory_equal(view.data, bytes, SIZES[i]);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        CHECK(view.dev == st.st_dev && view.ino == st.st_ino);
        brisk_file_view_close(&view);
        brisk_file_view_close(&view);
    }
}

/* Refused with the code, the path named, and the view untouched. */
static void refused(const char *path, uint64_t size_max, brisk_err wanted)
{
    brisk_file_view view = {.size = 42};
    brisk_errinfo info = {0};
    brisk_err err = brisk_file_view_open(path, size_max, &view, &info);
    if (err != wanted) {
        fail_msg("%s: %s instead of %s", path, brisk_err_name(err), brisk_err_name(wanted));
    }
    CHECK(info.code == wanted);
    CHECK(strncmp(info.text, path, strlen(path)) == 0);
    CHECK_U64(view.size, ==, 42);
    CHECK(brisk_file_view_open(path, size_max, &view, NULL) == wanted);
}

static void test_view_refuses_what_is_no_file(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    refused(temp_dir_path(dir, "missing"), 100, BRISK_ERR_NOT_FOUND);
    refused(dir->path, 100, BRISK_ERR_INVALID);
    const char *fifo = temp_dir_path(dir, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    refused(fifo, 100, BRISK_ERR_INVALID); /* nobody writes: must not block */
    refused("/dev/null", 100, BRISK_ERR_INVALID);
    refused("/dev/full", 100, BRISK_ERR_INVALID);

    const char *socket_path = temp_dir_path(dir, "socket");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%.100s", socket_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    refused(socket_path, 100, BRISK_ERR_INVALID);
    (void)close(fd);

    const char *loop = temp_dir_path(dir, "loop");
    assert_int_equal(symlink("loop", loop), 0);
    refused(loop, 100, BRISK_ERR_INVALID);
    refused("", 100, BRISK_ERR_NOT_FOUND);
    char inside[PATH_MAX];
    const char *plain = temp_dir_path(dir, "plain");
    temp_write_text(plain, "x");
    (void)snprintf(inside, sizeof inside, "%.200s/below", plain);
    refused(inside, 100, BRISK_ERR_NOT_FOUND);
}

/* 4 GiB of nothing: refused by size without reading, mapped when allowed. */
static void test_view_of_a_huge_sparse_file(void **state)
{
    (void)state;
    const uint64_t size = UINT64_C(1) << 32;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "sparse");
    temp_write_text(path, "");
    if (truncate(path, (off_t)size) != 0) {
        skip();
    }
    refused(path, size - 1, BRISK_ERR_LIMIT);
    refused(path, 0, BRISK_ERR_LIMIT);
    brisk_file_view view = {0};
    CHECK_OK(brisk_file_view_open(path, size, &view, NULL));
    CHECK_U64(view.size, ==, size);
    CHECK(view.data[size - 1] == 0);
    brisk_file_view_close(&view);
}

static int open_secret(void *ctx)
{
    brisk_file_view view = {0};
    brisk_errinfo info = {0};
    brisk_err err = brisk_file_view_open(ctx, 100, &view, &info);
    return err == BRISK_ERR_PERMISSION && strstr(info.text, ctx) != NULL ? 0 : 1;
}

static void test_view_without_permission(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    assert_int_equal(chmod(dir->path, 0755), 0);
    const char *path = temp_dir_path(dir, "secret");
    temp_write_text(path, "x");
    assert_int_equal(chmod(path, 0), 0);
    char copy[PATH_MAX];
    (void)snprintf(copy, sizeof copy, "%s", path);
    int result = child_run_unprivileged(open_secret, copy);
    if (result == CHILD_SKIPPED) {
        print_message("skipped: cannot give up root's rights here\n");
        skip();
    }
    CHECK(result == 0);
}

static void test_write_and_read_all(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "file");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK_OK(brisk_file_write_all(fd, "hello", 5));
    CHECK_OK(brisk_file_write_all(fd, "", 0));
    CHECK_OK(brisk_file_pwrite_all(fd, "J", 1, 0));
    CHECK_OK(brisk_file_pwrite_all(fd, "!", 1, 7));
    CHECK(temp_holds(path, "Jello\0\0!", 8));
    char back[9] = "";
    CHECK_OK(brisk_file_pread_all(fd, back, 8, 0));
    assert_memory_equal(back, "Jello\0\0!", 8);
    CHECK(brisk_file_pread_all(fd, back, 9, 0) == BRISK_ERR_CORRUPT);
    CHECK(brisk_file_pread_all(fd, back, 1, 8) == BRISK_ERR_CORRUPT);
    CHECK(brisk_file_pread_all(fd, back, 1, UINT64_MAX) == BRISK_ERR_CORRUPT);
    CHECK(brisk_file_pwrite_all(fd, back, 2, INT64_MAX - 1) == BRISK_ERR_FULL);
    CHECK(brisk_file_pwrite_all(fd, back, 1, UINT64_MAX) == BRISK_ERR_FULL);
    (void)close(fd);
    CHECK(brisk_file_write_all(-1, "x", 1) == BRISK_ERR_IO);
    CHECK(brisk_file_pwrite_all(-1, "x", 1, 0) == BRISK_ERR_IO);
    CHECK(brisk_file_pread_all(-1, back, 1, 0) == BRISK_ERR_IO);
}

static void test_full_device(void **state)
{
    (void)state;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        print_message("skipped: no /dev/full\n");
        skip();
    }
    CHECK(brisk_file_write_all(fd, "x", 1) == BRISK_ERR_FULL);
    CHECK(brisk_file_pwrite_all(fd, "x", 1, 0) == BRISK_ERR_FULL);
    (void)close(fd);
}

static void on_alarm(int number)
{
    (void)number;
}

/* More than a pipe holds, and a timer that makes write return in the middle, or with EINTR. */
static int write_pipe(void *ctx)
{
    static char data[300000];
    const int *fds = ctx;
    (void)close(fds[0]);
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (char)(i % 251);
    }
    struct sigaction action = {.sa_handler = on_alarm}; /* without SA_RESTART */
    struct itimerval often = {.it_interval = {.tv_usec = 300}, .it_value = {.tv_usec = 300}};
    if (sigaction(SIGALRM, &action, NULL) != 0 || setitimer(ITIMER_REAL, &often, NULL) != 0) {
        return 2;
    }
    return brisk_file_write_all(fds[1], data, sizeof data) == BRISK_OK ? 0 : 1;
}

static void test_write_all_goes_on_after_a_part(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = child_start(write_pipe, fds);
    (void)close(fds[1]);
    char buffer[777];
    size_t sum = 0;
    for (ssize_t part; (part = read(fds[0], buffer, sizeof buffer)) > 0;) {
        (void)usleep(100); /* the writer waits for room */
        for (ssize_t i = 0; i < part; i++, sum++) {
            CHECK(buffer[i] == (char)(sum % 251));
        }
    }
    (void)close(fds[0]);
    CHECK_U64(sum, ==, 300000);
    CHECK(child_wait(pid) == 0);
}

static void test_make_dirs(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "a//b/c/");
    brisk_errinfo info;
    CHECK_OK(brisk_file_make_dirs(path, &info));
    CHECK_OK(brisk_file_make_dirs(path, &info));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    CHECK(S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0700);
    CHECK_OK(brisk_file_make_dirs("/", &info));
    CHECK(brisk_file_make_dirs("", &info) == BRISK_ERR_NOT_FOUND);

    const char *file = temp_dir_path(dir, "file");
    temp_write_text(file, "x");
    CHECK(brisk_file_make_dirs(file, &info) == BRISK_ERR_NOT_FOUND);
    CHECK(strcmp(info.text + strlen(file), ": not a folder") == 0);
    CHECK(brisk_file_make_dirs(temp_dir_path(dir, "file/below"), &info) == BRISK_ERR_NOT_FOUND);
    char deep[PATH_MAX + 10];
    memset(deep, 'x', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    CHECK(brisk_file_make_dirs(deep, &info) == BRISK_ERR_INVALID);
}

static int make_dirs_below(void *ctx)
{
    brisk_errinfo info = {0};
    return brisk_file_make_dirs(ctx, &info) == BRISK_ERR_PERMISSION &&
                   strstr(info.text, "/closed/inner") != NULL
               ? 0
               : 1;
}

static void test_make_dirs_without_permission(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    assert_int_equal(chmod(dir->path, 0755), 0);
    assert_int_equal(mkdir(temp_dir_path(dir, "closed"), 0555), 0);
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", temp_dir_path(dir, "closed/inner/x"));
    int result = child_run_unprivileged(make_dirs_below, path);
    if (result == CHILD_SKIPPED) {
        print_message("skipped: cannot give up root's rights here\n");
        skip();
    }
    CHECK(result == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_view_shows_the_bytes),
        cmocka_unit_test(test_view_refuses_what_is_no_file),
        cmocka_unit_test(test_view_of_a_huge_sparse_file),
        cmocka_unit_test(test_view_without_permission),
        cmocka_unit_test(test_write_and_read_all),
        cmocka_unit_test(test_full_device),
        cmocka_unit_test(test_write_all_goes_on_after_a_part),
        cmocka_unit_test(test_make_dirs),
        cmocka_unit_test(test_make_dirs_without_permission),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
