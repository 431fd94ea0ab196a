/*
 * test_sandbox.c -- what a process can and cannot do once it is in the sandbox.  Every case is a child of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/privileges.h"
#include "daemon/sandbox.h"
#include "support/check.h"

enum { NOT_ENTERED = 77 };

/* Runs `body` in a sandboxed child; its answer is the exit code, or minus the signal that ended it. */
static int in_child(int (*body)(void))
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        bool entered = false;
        brisk_errinfo info;
        if (sandbox_enter(SANDBOX_AUTO, &entered, &info) != BRISK_OK || !entered) {
            _exit(NOT_ENTERED);
        }
        _exit(body());
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    int answer = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    if (answer == NOT_ENTERED) {
        skip(); /* a sanitizer, or a kernel without it */
    }
    return answer;
}

static int run_program(void)
{
    char *argv[] = {(char[]){"true"}, NULL};
    (void)execv("/bin/true", argv);
    return errno;
}

static int odd_socket(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0) >= 0 ? 0 : errno;
}

static int new_user_namespace(void)
{
    return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL) >= 0 ? 0 : errno;
}

static int unknown_call(void)
{
    return syscall(SYS_vhangup) == 0 ? 0 : errno;
}

static void test_fails(void **state)
{
    (void)state;
    assert_int_equal(in_child(run_program), EPERM);
    assert_int_equal(in_child(odd_socket), EPERM);
    assert_int_equal(in_child(new_user_namespace), EPERM);
    assert_int_equal(in_child(unknown_call), EPERM);
}

static int mounts(void)
{
    return mount("none", "/nowhere", "tmpfs", 0, NULL) == 0 ? 0 : errno;
}

static int traces(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0 ? 0 : errno;
}

static int unshares(void)
{
    return unshare(CLONE_NEWUSER) == 0 ? 0 : errno;
}

#ifdef __x86_64__
static int third_convention(void)
{
    return (int)syscall(0x40000000 | SYS_getpid);
}
#endif

static void test_ends_the_process(void **state)
{
    (void)state;
    assert_int_equal(in_child(mounts), -SIGSYS);
    assert_int_equal(in_child(traces), -SIGSYS);
    assert_int_equal(in_child(unshares), -SIGSYS);
#ifdef __x86_64__
    assert_int_equal(in_child(third_convention), -SIGSYS);
#endif
}

static void *thread(void *answer)
{
    *(int *)answer = 5;
    return answer;
}

static int threads_and_children(void)
{
    pthread_t id;
    int answer = 0;
    if (pthread_create(&id, NULL, thread, &answer) != 0 || pthread_join(id, NULL) != 0) {
        return 1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        _exit(run_program() == EPERM ? 0 : 3); /* under it as well */
    }
    int status = 0;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 && answer == 5 ? 0 : 2;
}

static int files_and_sockets(void)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    bool good = fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0;
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK};
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        int one = socket(families[i], families[i] == AF_NETLINK ? SOCK_RAW : SOCK_STREAM, 0);
        good = good && (one >= 0 || errno == EAFNOSUPPORT);
    }
    return good ? 0 : errno;
}

static void test_goes_on(void **state)
{
    (void)state;
    assert_int_equal(in_child(threads_and_children), 0);
    assert_int_equal(in_child(files_and_sockets), 0);
}

static void test_modes(void **state)
{
    (void)state;
    sandbox_mode mode;
    CHECK(sandbox_mode_of("on", &mode) && mode == SANDBOX_ON);
    CHECK(sandbox_mode_of("off", &mode) && mode == SANDBOX_OFF);
    CHECK(!sandbox_mode_of("maybe", &mode) && !sandbox_mode_of("", &mode));
    bool entered = true;
    brisk_errinfo info;
    CHECK_OK(sandbox_enter(SANDBOX_OFF, &entered, &info));
    CHECK(!entered);
}

static int becomes(void)
{
    brisk_errinfo info;
    if (privileges_become("nobody", "", &info) != BRISK_OK) {
        return 1;
    }
    privileges_limit(false);
    struct rlimit core;
    mode_t mask = umask(0);
    return getuid() != 0 && getgid() != 0 && setuid(0) != 0 && seteuid(0) != 0 && setgid(0) != 0 &&
                   getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0 && mask == 0077 &&
                   privileges_become("nobody", "", &info) == BRISK_OK /* again: already is */
               ? 0
               : 2;
}

static void test_becomes_another_user(void **state)
{
    (void)state;
    brisk_errinfo info = {0};
    CHECK_OK(privileges_become("", "", &info));
    CHECK(privileges_become("", "nogroup", &info) == BRISK_ERR_INVALID);
    CHECK(privileges_become("no such user", "", &info) == BRISK_ERR_NOT_FOUND);
    if (geteuid() != 0) {
        CHECK(privileges_become("root", "", &info) == BRISK_ERR_PERMISSION);
        skip();
    }
    CHECK(privileges_become("nobody", "no such group", &info) == BRISK_ERR_NOT_FOUND);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(becomes());
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fails),
        cmocka_unit_test(test_ends_the_process),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_becomes_another_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
