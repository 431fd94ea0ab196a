/*
 * bench_run.c -- one run of this program as a child process, timed from spawn to end.
 *
 * Signals that ask to stop are blocked and read from a signalfd, so that there is no moment at
 * which one could be missed: the same poll waits for them, for the child's end (a pidfd) and for
 * what it says.  The child gets them unblocked, and is asked, then made, to end before we do.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brisk/clock.h>

#include "cli/bench.h"

enum {
    GRACE_MS = 2000,      /* between asking a child to end and making it */
    DRAIN_READS_MAX = 64, /* in one go: four pipes full */
};

/** Signals that ask to stop, less those that whoever started us wants ignored (nohup, `&`). */
static void stop_signals(sigset_t *set)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    (void)sigemptyset(set);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction action;
        if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
            (void)sigaddset(set, signals[i]);
        }
    }
}

brisk_err bench_signals_open(int *ret)
{
    sigset_t set;
    stop_signals(&set);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return brisk_err_from_errno(errno);
    }
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        return brisk_err_from_errno(errno);
    }
    *ret = fd;
    return BRISK_OK;
}

/** The child: output to nowhere, errors to `errors`, signals as a fresh program has them. */
static int spawn(char *const *words, int errors, pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t defaults;
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE);
    (void)sigemptyset(&none);
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed != 0) {
        return failed;
    }
    failed = posix_spawnattr_init(&attributes);
    if (failed == 0) {
        short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
        bool set = posix_spawnattr_setsigmask(&attributes, &none) == 0 &&
                   posix_spawnattr_setsigdefault(&attributes, &defaults) == 0 &&
                   posix_spawnattr_setflags(&attributes, flags) == 0 &&
                   posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) == 0 &&
                   posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0) == 0 &&
                   posix_spawn_file_actions_adddup2(&actions, errors, 2) == 0;
        failed = set ? posix_spawn(ret, "/proc/self/exe", &actions, &attributes, words, environ)
                     : ENOMEM;
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return failed;
}

/** Everything that is in the pipe now; what does not fit is thrown away.  False at its end. */
static bool drain(int fd, bench_outcome *outcome)
{
    for (int reads = 0; reads < DRAIN_READS_MAX; reads++) {
        char bytes[4096];
        ssize_t got = read(fd, bytes, sizeof bytes);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            return false;
        }
        if (got < 0 && errno == EAGAIN) {
            return true;
        }
        size_t room = BENCH_ERRORS_MAX - outcome->errors_size;
        size_t kept = got < 0 ? 0 : (size_t)got < room ? (size_t)got : room;
        memcpy(outcome->errors + outcome->errors_size, bytes, kept);
        outcome->errors_size += kept;
    }
    return true;
}

static void note_stop(int signals, pid_t pid, bench_outcome *outcome)
{
    struct signalfd_siginfo info;
    if (read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
        /* The terminal sends to the whole group, `kill` to us alone: once more does no harm. */
        (void)kill(pid, outcome->stopped_by == 0 ? SIGTERM : SIGKILL);
        outcome->stopped_by = (int)info.ssi_signo;
    }
}

/** Until the child has ended; its end is seen by the pidfd, whoever else holds the pipe. */
static void wait_for_end(pid_t pid, int pidfd, int errors, int signals, bench_outcome *outcome)
{
    struct pollfd fds[] = {{.fd = pidfd, .events = POLLIN},
                           {.fd = errors, .events = POLLIN},
                           {.fd = signals, .events = POLLIN}};
    for (;;) {
        int ready = poll(fds, 3, outcome->stopped_by != 0 ? GRACE_MS : -1);
        if (ready == 0) {
            (void)kill(pid, SIGKILL);
        }
        if (ready <= 0) {
            continue;
        }
        if (fds[2].revents != 0) {
            note_stop(signals, pid, outcome);
        }
        if (fds[1].revents != 0 && !drain(errors, outcome)) {
            fds[1].fd = -1;
        }
        if (fds[0].revents != 0) {
            return;
        }
    }
}

static int collect(pid_t pid, int *status)
{
    pid_t got;
    do {
        got = waitpid(pid, status, 0);
    } while (got < 0 && errno == EINTR);
    return got == pid ? 0 : errno;
}

brisk_err bench_run(char *const *words, int signals, bench_outcome *ret)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        return brisk_err_from_errno(errno);
    }
    /* Only our end is non-blocking: the child writes as it would to a file. */
    (void)fcntl(pipe_fds[1], F_SETFL, 0);
    ret->stopped_by = 0;
    ret->errors_size = 0;
    pid_t pid = -1;
    uint64_t start = brisk_clock_now_ns(NULL);
    int failed = spawn(words, pipe_fds[1], &pid);
    (void)close(pipe_fds[1]);
    if (failed == 0) {
        int pidfd = pidfd_open(pid, 0);
        if (pidfd >= 0) {
            wait_for_end(pid, pidfd, pipe_fds[0], signals, ret);
            (void)close(pidfd);
        } else {
            failed = errno;
            (void)kill(pid, SIGKILL);
        }
        int lost = collect(pid, &ret->status);
        failed = failed != 0 ? failed : lost;
        ret->ns = brisk_clock_now_ns(NULL) - start;
        (void)drain(pipe_fds[0], ret);
    }
    (void)close(pipe_fds[0]);
    return failed == 0 ? BRISK_OK : brisk_err_from_errno(failed);
}
