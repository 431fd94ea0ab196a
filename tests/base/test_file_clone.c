/* Cloning: the same bytes whichever way they went, and clear errors. */
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <brisk/file.h>

#include "support/check.h"
#include "support/child.h"
#include "support/temp_dir.h"

static int make_source(temp_dir *dir, const void *data, size_t size)
{
    const char *path = temp_dir_path(dir, "source");
    temp_write(path, data, size);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static int make_target(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void test_any_size_arrives(void **state)
{
    (void)state;
    enum { BYTES = 3000000 };
    static const size_t SIZES[] = {0, 1, 4095, 4096, 131072, 131073, 1048576, BYTES - 1, BYTES};
    static unsigned char data[BYTES];
    uint64_t random = check_seed();
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (unsigned char)check_random(&random);
    }
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    int src = make_source(dir, data, sizeof data);
    const char *path = temp_dir_path(dir, "target");
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        int dst = make_target(path);
        brisk_file_how how = BRISK_FILE_REFLINK;
        CHECK_OK(brisk_file_clone(src, dst, SIZES[i], &how));
        CHECK(temp_holds(path, data, SIZES[i]));
        if (SIZES[i] == BYTES) {
            print_message("%s\n", brisk_file_how_name(how));
        }
        (void)close(dst);
    }
    (void)close(src);
}

/* More than is mapped at a time, and not a whole number of pages. */
static void test_several_windows(void **state)
{
    (void)state;
    const size_t size = ((size_t)40 << 20) + 12345;
    unsigned char *data = malloc(size);
    for (size_t i = 0; i < size; i++) {
        data[i] = (unsigned char)(i * 7 >> 10);
    }
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "target");
    int src = make_source(dir, data, size);
    int dst = make_target(path);
    brisk_err err = brisk_file_clone(src, dst, size, NULL);
    bool same = temp_holds(path, data, size);
    (void)close(src);
    (void)close(dst);
    free(data);
    CHECK_OK(err);
    CHECK(same);
}

/* Between file systems, where the kernel may refuse the cheap ways. */
static void test_to_another_file_system(void **state)
{
    (void)state;
    static unsigned char data[300000];
    memset(data, 7, sizeof data);
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    char path[] = "/dev/shm/brisk-test-XXXXXX";
    int dst = mkostemp(path, O_CLOEXEC);
    if (dst < 0) {
        print_message("skipped: no /dev/shm\n");
        skip();
    }
    int src = make_source(dir, data, sizeof data);
    brisk_err err = brisk_file_clone(src, dst, sizeof data, NULL);
    bool same = temp_holds(path, data, sizeof data);
    (void)unlink(path);
    (void)close(src);
    (void)close(dst);
    CHECK_OK(err);
    CHECK(same);
}

/* Clone `from` to `to`; whether the bytes arrived, and how. */
static bool clone_to(const char *from, const char *to, size_t size, brisk_file_how *how)
{
    int src = open(from, O_RDONLY | O_CLOEXEC);
    int dst = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool done = src >= 0 && dst >= 0 && brisk_file_clone(src, dst, size, how) == BRISK_OK;
    (void)close(src);
    (void)close(dst);
    return done;
}

/* A ramfs is no file system that we know: the kernel copies inside it, and refuses to across. */
static int clone_in_ramfs(void *ctx)
{
    static char data[1000000];
    memset(data, 'r', sizeof data);
    char source[PATH_MAX];
    char inside[PATH_MAX];
    char copy[PATH_MAX];
    (void)snprintf(source, sizeof source, "%s/source", (const char *)ctx);
    (void)snprintf(inside, sizeof inside, "%s/fs/inside", (const char *)ctx);
    (void)snprintf(copy, sizeof copy, "%s/fs", (const char *)ctx);
    if (mkdir(copy, 0700) != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("brisk-test", copy, "ramfs", 0, NULL) != 0) {
        return CHILD_SKIPPED;
    }
    (void)snprintf(copy, sizeof copy, "%s/fs/copy", (const char *)ctx);
    temp_write(source, data, sizeof data);
    brisk_file_how how = BRISK_FILE_REFLINK;
    if (!clone_to(source, inside, sizeof data, &how) || !temp_holds(inside, data, sizeof data) ||
        how != BRISK_FILE_READ_WRITE) {
        return 1;
    }
    return clone_to(inside, copy, sizeof data, &how) && temp_holds(copy, data, sizeof data) &&
                   how == BRISK_FILE_COPY_RANGE
               ? 0
               : 2;
}

static void test_other_ways(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    int result = child_run(clone_in_ramfs, dir->path);
    if (result == CHILD_SKIPPED) {
        print_message("skipped: cannot mount a file system here\n");
        skip();
    }
    CHECK(result == 0);
}

static void test_errors(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    int src = make_source(dir, "12345", 5);
    int dst = make_target(temp_dir_path(dir, "target"));
    brisk_file_how how = BRISK_FILE_COPY_RANGE;
    CHECK(brisk_file_clone(src, dst, 6, &how) == BRISK_ERR_CORRUPT);
    CHECK_U64(lseek(dst, 0, SEEK_END), ==, 0);
    CHECK(brisk_file_clone(src, src, 5, &how) == BRISK_ERR_IO); /* not open for writing */
    CHECK(brisk_file_clone(-1, dst, 1, &how) == BRISK_ERR_IO);
    CHECK(how == BRISK_FILE_COPY_RANGE);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full >= 0) {
        CHECK(brisk_file_clone(src, full, 5, &how) == BRISK_ERR_FULL);
        (void)close(full);
    }
    (void)close(src);
    (void)close(dst);
    CHECK(strcmp(brisk_file_how_name(BRISK_FILE_REFLINK), "reflink") == 0);
    CHECK(strcmp(brisk_file_how_name((brisk_file_how)99), "unknown") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_size_arrives),
        cmocka_unit_test(test_several_windows),
        cmocka_unit_test(test_to_another_file_system),
        cmocka_unit_test(test_other_ways),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
