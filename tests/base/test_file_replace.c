/*
 * Atomic replacement: the target is the old file or the new one, whatever happens in between:
 * abort, a full device, missing rights, a kill at any moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/file.h>

#include "support/check.h"
#include "support/child.h"
#include "support/fault_alloc.h"
#include "support/temp_dir.h"

static brisk_err replace_with(const char *path, const char *text, bool sync, brisk_errinfo *info)
{
    brisk_file_replace *replace = NULL;
    brisk_err err = brisk_file_replace_open(path, NULL, &replace, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = brisk_file_write_all(brisk_file_replace_fd(replace), text, strlen(text));
    if (err != BRISK_OK) {
        brisk_file_replace_abort(replace);
        return err;
    }
    return brisk_file_replace_commit(replace, sync, info);
}

static void test_new_and_existing_targets(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "out");
    brisk_errinfo info;
    for (int sync = 0; sync < 2; sync++) {
        CHECK_OK(replace_with(path, "first", sync != 0, &info));
        CHECK(temp_holds(path, "first", 5));
        CHECK_OK(replace_with(path, "second one", sync != 0, &info));
        CHECK(temp_holds(path, "second one", 10));
        CHECK_OK(replace_with(path, "", sync != 0, &info));
        CHECK(temp_holds(path, "", 0));
        CHECK_U64(temp_count(dir->path), ==, 1);
        assert_int_equal(unlink(path), 0);
    }
}

static void test_readers_keep_the_old_file(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "out");
    temp_write_text(path, "old");
    brisk_file_view view = {0};
    CHECK_OK(brisk_file_view_open(path, 100, &view, NULL));
    CHECK_OK(replace_with(path, "new", false, NULL));
    assert_memory_equal(view.data, "old", 3);
    brisk_file_view_close(&view);
    CHECK(temp_holds(path, "new", 3));
}

static void test_abort_leaves_everything(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "out");
    for (int exists = 0; exists < 2; exists++) {
        brisk_file_replace *replace = NULL;
        CHECK_OK(brisk_file_replace_open(path, NULL, &replace, NULL));
        CHECK_OK(brisk_file_write_all(brisk_file_replace_fd(replace), "new", 3));
        brisk_file_replace_abort(replace);
        CHECK_U64(temp_count(dir->path), ==, exists);
        temp_write_text(path, "old");
        CHECK(temp_holds(path, "old", 3));
    }
    brisk_file_replace_abort(NULL);
}

/* The target appears between open and commit: still replaced, not refused. */
static void test_target_that_appears_late(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "out");
    brisk_file_replace *replace = NULL;
    CHECK_OK(brisk_file_replace_open(path, NULL, &replace, NULL));
    CHECK_OK(brisk_file_write_all(brisk_file_replace_fd(replace), "new", 3));
    temp_write_text(path, "somebody else's");
    CHECK_OK(brisk_file_replace_commit(replace, false, NULL));
    CHECK(temp_holds(path, "new", 3));
    CHECK_U64(temp_count(dir->path), ==, 1);
}

static void test_mode_and_links(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "out");
    struct stat st;
    mode_t before = umask(027);
    CHECK_OK(replace_with(path, "new", false, NULL));
    assert_int_equal(stat(path, &st), 0);
    CHECK((st.st_mode & 07777) == 0640);
    assert_int_equal(chmod(path, 04751), 0);
    CHECK_OK(replace_with(path, "again", false, NULL));
    (void)umask(before);
    assert_int_equal(stat(path, &st), 0);
    CHECK((st.st_mode & 07777) == 0751);

    const char *link = temp_dir_path(dir, "link");
    assert_int_equal(symlink("out", link), 0);
    CHECK_OK(replace_with(link, "through", false, NULL));
    CHECK(temp_holds(path, "through", 7));
    assert_int_equal(lstat(link, &st), 0);
    CHECK(S_ISLNK(st.st_mode));
}

static void test_owner_is_kept(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: only root gives files away\n");
        skip();
    }
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "out");
    temp_write_text(path, "old");
    assert_int_equal(chown(path, 1234, 4321), 0);
    CHECK_OK(replace_with(path, "new", false, NULL));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    CHECK(st.st_uid == 1234 && st.st_gid == 4321 && (st.st_mode & 0777) == 0644);
}

static void refused(const char *path, brisk_err wanted)
{
    brisk_errinfo info = {0};
    brisk_file_replace *replace = NULL;
    brisk_err err = brisk_file_replace_open(path, NULL, &replace, &info);
    if (err != wanted) {
        fail_msg("%s: %s instead of %s", path, brisk_err_name(err), brisk_err_name(wanted));
    }
    CHECK(replace == NULL);
    CHECK(strncmp(info.text, path, strnlen(path, 300)) == 0);
}

static void test_wrong_targets_are_refused(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *fifo = temp_dir_path(dir, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    refused(fifo, BRISK_ERR_INVALID);
    refused(dir->path, BRISK_ERR_INVALID);
    refused(temp_dir_path(dir, "fresh/"), BRISK_ERR_INVALID);
    refused(temp_dir_path(dir, "."), BRISK_ERR_INVALID);
    refused("", BRISK_ERR_INVALID);
    refused("/dev/full", BRISK_ERR_INVALID);
    refused(temp_dir_path(dir, "missing/out"), BRISK_ERR_NOT_FOUND);
    refused(temp_dir_path(dir, "fifo/out"), BRISK_ERR_NOT_FOUND);
    const char *dangling = temp_dir_path(dir, "dangling");
    assert_int_equal(symlink("nowhere", dangling), 0);
    refused(dangling, BRISK_ERR_INVALID);
    char deep[PATH_MAX + 10];
    memset(deep, 'x', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    refused(deep, BRISK_ERR_INVALID);
    CHECK_U64(temp_count(dir->path), ==, 2);
}

/* A name of 255 bytes is fine, and so is a temporary name beside it. */
static void test_longest_name(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    const char *path = temp_dir_path(dir, name);
    CHECK_OK(replace_with(path, "1", false, NULL));
    CHECK_OK(replace_with(path, "2", false, NULL));
    CHECK(temp_holds(path, "2", 1));
}

/* The folder is held open: renaming it or leaving it does not send the result elsewhere. */
static void test_folder_that_moves(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *before = temp_dir_path(dir, "before");
    assert_int_equal(mkdir(before, 0700), 0);
    brisk_file_replace *replace = NULL;
    CHECK_OK(brisk_file_replace_open(temp_dir_path(dir, "before/out"), NULL, &replace, NULL));
    CHECK_OK(brisk_file_write_all(brisk_file_replace_fd(replace), "new", 3));
    assert_int_equal(rename(before, temp_dir_path(dir, "after")), 0);
    CHECK_OK(brisk_file_replace_commit(replace, true, NULL));
    CHECK(temp_holds(temp_dir_path(dir, "after/out"), "new", 3));
}

static int replace_in_closed(void *ctx)
{
    brisk_errinfo info = {0};
    return replace_with(ctx, "new", false, &info) == BRISK_ERR_PERMISSION &&
                   strstr(info.text, ctx) != NULL
               ? 0
               : 1;
}

static void test_folder_without_permission(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    assert_int_equal(chmod(dir->path, 0555), 0);
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", temp_dir_path(dir, "out"));
    int result = child_run_unprivileged(replace_in_closed, path);
    assert_int_equal(chmod(dir->path, 0755), 0);
    if (result == CHILD_SKIPPED) {
        print_message("skipped: cannot give up root's rights here\n");
        skip();
    }
    CHECK(result == 0);
}

/* In a file system of 64 KiB: FULL, the old target intact, nothing left behind. */
static int fill_device(void *ctx)
{
    const char *folder = ctx;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("brisk-test", folder, "tmpfs", 0, "size=64k") != 0) {
        return CHILD_SKIPPED;
    }
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/out", folder);
    temp_write_text(path, "old");
    static char data[200000];
    brisk_errinfo info = {0};
    brisk_file_replace *replace = NULL;
    if (brisk_file_replace_open(path, NULL, &replace, &info) != BRISK_OK) {
        return 1;
    }
    brisk_err err = brisk_file_write_all(brisk_file_replace_fd(replace), data, sizeof data);
    if (err != BRISK_ERR_FULL) {
        return 2;
    }
    brisk_file_replace_abort(replace);
    if (!temp_holds(path, "old", 3) || temp_count(folder) != 1) {
        return 3;
    }
    return replace_with(path, "new", true, &info) == BRISK_OK && temp_holds(path, "new", 3) ? 0 : 4;
}

static void test_full_device(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    int result = child_run(fill_device, dir->path);
    if (result == CHILD_SKIPPED) {
        print_message("skipped: cannot mount a small file system here\n");
        skip();
    }
    CHECK(result == 0);
}

/* A limit on the size of files is a full device too (and SIGXFSZ must be the program's choice). */
static int write_beyond_limit(void *ctx)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {4096, 4096};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
        return CHILD_SKIPPED;
    }
    static char text[8193];
    memset(text, 'x', sizeof text - 1);
    return replace_with(ctx, text, false, NULL) == BRISK_ERR_FULL && access(ctx, F_OK) != 0 ? 0 : 1;
}

static void test_file_size_limit(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", temp_dir_path(dir, "out"));
    CHECK(child_run(write_beyond_limit, path) == 0);
}

enum { VERSION_BYTES = 300000 };

static int half_way(void *ctx)
{
    static char data[VERSION_BYTES / 2];
    brisk_file_replace *replace = NULL;
    if (brisk_file_replace_open(ctx, NULL, &replace, NULL) != BRISK_OK ||
        brisk_file_write_all(brisk_file_replace_fd(replace), data, sizeof data) != BRISK_OK) {
        return 1;
    }
    (void)raise(SIGKILL);
    return 2;
}

static void test_killed_in_the_middle(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", temp_dir_path(dir, "out"));
    CHECK(child_run(half_way, path) == 1000 + SIGKILL);
    CHECK_U64(temp_count(dir->path), ==, 0); /* on a file system with O_TMPFILE */
    temp_write_text(path, "old");
    CHECK(child_run(half_way, path) == 1000 + SIGKILL);
    CHECK(temp_holds(path, "old", 3));
    CHECK_U64(temp_count(dir->path), ==, 1);
}

/* Replaces without end, whole files of one letter. */
static int replace_for_ever(void *ctx)
{
    static char data[VERSION_BYTES];
    for (int letter = 'a';; letter = letter == 'z' ? 'a' : letter + 1) {
        memset(data, letter, sizeof data);
        brisk_file_replace *replace = NULL;
        if (brisk_file_replace_open(ctx, NULL, &replace, NULL) != BRISK_OK ||
            brisk_file_write_all(brisk_file_replace_fd(replace), data, sizeof data) != BRISK_OK ||
            brisk_file_replace_commit(replace, false, NULL) != BRISK_OK) {
            return 1;
        }
    }
}

static void test_killed_at_any_moment(void **state)
{
    (void)state;
    enum { KILLS = 100, WAIT_US_MAX = 3000 };
    uint64_t random = check_seed();
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", temp_dir_path(dir, "out"));
    static char data[VERSION_BYTES];
    memset(data, 'a', sizeof data);
    temp_write(path, data, sizeof data);
    for (int i = 0; i < KILLS; i++) {
        pid_t pid = child_start(replace_for_ever, path);
        (void)usleep((useconds_t)(check_random(&random) % WAIT_US_MAX));
        assert_int_equal(kill(pid, SIGKILL), 0);
        CHECK(child_wait(pid) == 1000 + SIGKILL);
        brisk_file_view view = {0};
        CHECK_OK(brisk_file_view_open(path, VERSION_BYTES, &view, NULL));
        CHECK_U64(view.size, ==, VERSION_BYTES);
        memset(data, view.data[0], sizeof data);
        assert_memory_equal(view.data, data, sizeof data);
        brisk_file_view_close(&view);
    }
    print_message("%d kills, %zu hidden names left\n", KILLS, temp_count(dir->path) - 1);
}

/* Without /proc a nameless file could not be named: the hidden name is used from the start. */
static int replace_in_cage(void *ctx)
{
    if (chroot(ctx) != 0 || chdir("/") != 0) {
        return CHILD_SKIPPED;
    }
    brisk_file_replace *replace = NULL;
    if (brisk_file_replace_open("out", NULL, &replace, NULL) != BRISK_OK || temp_count("/") != 1) {
        return 1;
    }
    brisk_file_replace_abort(replace);
    if (temp_count("/") != 0) {
        return 2;
    }
    for (int i = 0; i < 2; i++) {
        if (replace_with("/out", "new", true, NULL) != BRISK_OK || temp_count("/") != 1 ||
            !temp_holds("/out", "new", 3)) {
            return 3;
        }
    }
    struct stat st;
    return stat("out", &st) == 0 && (st.st_mode & 0777) == 0644 ? 0 : 4;
}

static void test_without_nameless_files(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    mode_t before = umask(022);
    int result = child_run(replace_in_cage, dir->path);
    (void)umask(before);
    if (result == CHILD_SKIPPED) {
        print_message("skipped: cannot change the root folder here\n");
        skip();
    }
    CHECK(result == 0);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "out");
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_file_replace *replace = NULL;
        err = brisk_file_replace_open(path, &fault.base, &replace, NULL);
        CHECK((replace != NULL) == (err == BRISK_OK));
        brisk_file_replace_abort(replace);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
    CHECK_U64(temp_count(dir->path), ==, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_and_existing_targets),
        cmocka_unit_test(test_readers_keep_the_old_file),
        cmocka_unit_test(test_abort_leaves_everything),
        cmocka_unit_test(test_target_that_appears_late),
        cmocka_unit_test(test_mode_and_links),
        cmocka_unit_test(test_owner_is_kept),
        cmocka_unit_test(test_wrong_targets_are_refused),
        cmocka_unit_test(test_longest_name),
        cmocka_unit_test(test_folder_that_moves),
        cmocka_unit_test(test_folder_without_permission),
        cmocka_unit_test(test_full_device),
        cmocka_unit_test(test_file_size_limit),
        cmocka_unit_test(test_killed_in_the_middle),
        cmocka_unit_test(test_killed_at_any_moment),
        cmocka_unit_test(test_without_nameless_files),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
