/*
 * sink_exec.c -- an alert for a program: argv as it stands in the file, no shell, JSON on standard input.
 *
 * The JSON is a file without a name (memfd), so nobody waits for a program that does not read.  It runs in a
 * process group of its own, which is killed as a whole when its time is over.
 *
 * Threads: any; it waits for its own child only.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/file.h>

#include "observe/budget/sinks.h"

enum { LOOK_NS = 10000000 };

static brisk_err start(const budget_sink *sink, int input, pid_t *ret, brisk_errinfo *info)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t restored;
    (void)sigemptyset(&none);
    (void)sigemptyset(&restored);
    (void)sigaddset(&restored, SIGPIPE); /* the program ignores them; what it starts shall not */
    (void)sigaddset(&restored, SIGXFSZ);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    (void)posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF);
    (void)posix_spawnattr_setsigdefault(&attributes, &restored);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    char *const *argv; /* posix_spawn does not change them, but does not say so */
    memcpy(&argv, &sink->argv, sizeof argv);
    int failed = posix_spawnp(ret, argv[0], &actions, &attributes, argv, environ);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return failed == 0 ? BRISK_OK : brisk_errinfo_set_errno(info, failed, "%s", sink->argv[0]);
}

/* Its status; DEADLINE when it had to be killed. */
static brisk_err wait_for(pid_t pid, uint64_t timeout_ns, int *status)
{
    uint64_t begin = brisk_clock_now_ns(NULL);
    const struct timespec pause = {.tv_nsec = LOOK_NS};
    for (;;) {
        pid_t ended = waitpid(pid, status, WNOHANG);
        if (ended == pid) {
            return BRISK_OK;
        }
        if (ended < 0 && errno != EINTR) {
            return BRISK_ERR_IO;
        }
        if (brisk_clock_now_ns(NULL) - begin > timeout_ns) {
            (void)kill(-pid, SIGKILL);
            while (waitpid(pid, status, 0) < 0 && errno == EINTR) {
            }
            return BRISK_ERR_DEADLINE;
        }
        (void)nanosleep(&pause, NULL);
    }
}

brisk_err budget_exec(const budget_sink *sink, const char *json, size_t size, brisk_errinfo *info)
{
    int input = memfd_create("alert", MFD_CLOEXEC);
    if (input < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s: its input", sink->argv[0]);
    }
    pid_t pid = 0;
    int status = 0;
    brisk_err err = brisk_file_write_all(input, json, size);
    if (err != BRISK_OK || lseek(input, 0, SEEK_SET) != 0) {
        err = brisk_errinfo_set(info, BRISK_ERR_IO, "%s: its input", sink->argv[0]);
    } else {
        err = start(sink, input, &pid, info);
    }
    (void)close(input);
    if (err != BRISK_OK) {
        return err;
    }
    err = wait_for(pid, sink->timeout_ns, &status);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s: %s", sink->argv[0],
                                 err == BRISK_ERR_DEADLINE ? "took too long and was killed"
                                                           : "cannot be waited for");
    }
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return good ? BRISK_OK
                : brisk_errinfo_set(info, BRISK_ERR_IO, "%s: ended with %s %d", sink->argv[0],
                                    WIFEXITED(status) ? "status" : "signal",
                                    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}
