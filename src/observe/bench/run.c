/*
 * run.c -- one run of a command as a child process, timed from spawn to end.
 *
 * Signals that ask to stop are blocked and read from a signalfd, so that there is no moment at
 * which one could be missed: the same poll waits for them, for the child's end (a pidfd) and for
 * what it says.  The child gets them unblocked, and a process group of its own: what it started is
 * ended with it.
 *
 * Nothing stands between clock and program: no shell, no search in PATH, posix_spawn (a vfork),
 * and the second clock reading directly behind the poll that saw the end.
 *
 * Of its wall time a run may have waited for a processor that others had: that is read from the
 * scheduler's figures between the child's end and its collection.
 *
 * Peak memory is what wait4 says; Linux counts in what the child's memory was before its exec,
 * which is ours.  So a small figure is a bound, not a measurement: see peak_is_bound.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brisk/clock.h>

#include "observe/bench/bench.h"

enum {
    GRACE_MS = 2000,      /* between asking a child to end and making it */
    DRAIN_READS_MAX = 64, /* in one go: four pipes full */
    EXTRA_FD = 9,
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

int bench_signals_take(int signals)
{
    struct signalfd_siginfo info;
    bool one = read(signals, &info, sizeof info) == (ssize_t)sizeof info;
    return one ? (int)info.ssi_signo : 0;
}

/** Files of the child: no input, output to nowhere unless wanted, errors to `errors`. */
static bool set_files(posix_spawn_file_actions_t *actions, const bench_run_opts *opts, int errors)
{
    bool set = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0) == 0;
    if (opts->show_output) {
        set = set && posix_spawn_file_actions_adddup2(actions, 2, 1) == 0; /* ours is for data */
    } else {
        set = set && posix_spawn_file_actions_addopen(actions, 1, "/dev/null", O_WRONLY, 0) == 0 &&
              posix_spawn_file_actions_adddup2(actions, errors, 2) == 0;
    }
    return set && (opts->extra_fd < 0 ||
                   posix_spawn_file_actions_adddup2(actions, opts->extra_fd, EXTRA_FD) == 0);
}

static bool set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t defaults;
    (void)sigemptyset(&none);
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE);
    (void)sigaddset(&defaults, SIGXFSZ);
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP;
    return posix_spawnattr_setsigmask(attributes, &none) == 0 &&
           posix_spawnattr_setsigdefault(attributes, &defaults) == 0 &&
           posix_spawnattr_setpgroup(attributes, 0) == 0 &&
           posix_spawnattr_setflags(attributes, flags) == 0;
}

/** The clock starts directly before the child does. */
static int spawn(const bench_program *program, const bench_run_opts *opts, int errors, pid_t *ret,
                 uint64_t *ret_start_ns)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed != 0) {
        return failed;
    }
    failed = posix_spawnattr_init(&attributes);
    if (failed == 0) {
        bool set = set_files(&actions, opts, errors) && set_attributes(&attributes);
        *ret_start_ns = brisk_clock_now_ns(NULL);
        failed =
            set ? posix_spawn(ret, program->program, &actions, &attributes, program->words, environ)
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

/**
 * How long the process waited for a processor so far, which the kernel tells until it is collected;
 * 0 where it does not.
 */
static double read_delay(pid_t pid)
{
    char path[32];
    char text[96];
    (void)snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) {
        (void)close(fd);
    }
    text[size > 0 ? size : 0] = '\0';
    const char *second = strchr(text, ' '); /* "RUNNING WAITING SLICES" */
    return second != NULL ? strtod(second, NULL) : 0.0;
}

static void end_group(pid_t pid, int signal_number)
{
    if (kill(-pid, signal_number) != 0) {
        (void)kill(pid, signal_number);
    }
}

typedef struct waiting {
    pid_t pid;
    int pidfd;
    int errors;
    int signals;
    uint64_t deadline_ns; /* 0: none */
    bool asked;           /* to end */
} waiting;

static int wait_ms(const waiting *w)
{
    if (w->asked) {
        return GRACE_MS;
    }
    if (w->deadline_ns == 0) {
        return -1;
    }
    uint64_t now = brisk_clock_now_ns(NULL);
    uint64_t left = w->deadline_ns > now ? w->deadline_ns - now : 0;
    return left / 1000000 >= 1000000000 ? 1000000000 : (int)(left / 1000000) + 1;
}

/** Nothing happened for as long as allowed. */
static void lose_patience(waiting *w, bench_outcome *outcome)
{
    bool late = w->deadline_ns != 0 && brisk_clock_now_ns(NULL) >= w->deadline_ns;
    if (w->asked) {
        end_group(w->pid, SIGKILL);
    } else if (late) {
        outcome->timed_out = true;
        w->asked = true;
        end_group(w->pid, SIGTERM);
    }
}

/** Until the child has ended; its end is seen by the pidfd, whoever else holds the pipe. */
static uint64_t wait_for_end(waiting *w, bench_outcome *outcome)
{
    struct pollfd fds[] = {{.fd = w->pidfd, .events = POLLIN},
                           {.fd = w->errors, .events = POLLIN},
                           {.fd = w->signals, .events = POLLIN}};
    for (;;) {
        int ready = poll(fds, 3, wait_ms(w));
        uint64_t now = brisk_clock_now_ns(NULL);
        if (ready <= 0) {
            lose_patience(w, outcome);
            continue;
        }
        if (fds[0].revents != 0) {
            return now;
        }
        int stop = fds[2].revents != 0 ? bench_signals_take(w->signals) : 0;
        if (stop != 0) {
            end_group(w->pid, w->asked ? SIGKILL : SIGTERM);
            w->asked = true;
            outcome->stopped_by = stop;
        }
        if (fds[1].revents != 0 && !drain(w->errors, outcome)) {
            fds[1].fd = -1;
        }
    }
}

static double timeval_ns(struct timeval t)
{
    return (double)t.tv_sec * 1e9 + (double)t.tv_usec * 1e3;
}

static int collect(pid_t pid, bench_outcome *outcome)
{
    outcome->delay_ns = read_delay(pid);
    struct rusage usage = {0};
    pid_t got;
    do {
        got = wait4(pid, &outcome->status, 0, &usage);
    } while (got < 0 && errno == EINTR);
    outcome->user_ns = timeval_ns(usage.ru_utime);
    outcome->system_ns = timeval_ns(usage.ru_stime);
    outcome->peak_bytes = usage.ru_maxrss > 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
    return got == pid ? 0 : errno;
}

static int follow(pid_t pid, uint64_t start_ns, int errors, const bench_run_opts *opts,
                  bench_outcome *ret)
{
    int failed = 0;
    uint64_t end_ns = start_ns;
    int pidfd = pidfd_open(pid, 0);
    if (pidfd >= 0) {
        waiting w = {.pid = pid,
                     .pidfd = pidfd,
                     .errors = errors,
                     .signals = opts->signals,
                     .deadline_ns = opts->timeout_ns > 0 ? start_ns + opts->timeout_ns : 0};
        end_ns = wait_for_end(&w, ret);
        (void)close(pidfd);
    } else {
        failed = errno;
        end_group(pid, SIGKILL);
    }
    int lost = collect(pid, ret);
    ret->wall_ns = (double)(end_ns - start_ns);
    if (ret->stopped_by != 0 || ret->timed_out) {
        (void)kill(-pid, SIGKILL); /* what the child left behind; its group has no other members */
    }
    (void)drain(errors, ret);
    return failed != 0 ? failed : lost;
}

brisk_err bench_run(const bench_program *program, const bench_run_opts *opts, bench_outcome *ret)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        return brisk_err_from_errno(errno);
    }
    /* Only our end is non-blocking: the child writes as it would to a file. */
    (void)fcntl(pipe_fds[1], F_SETFL, 0);
    *ret = (bench_outcome){.errors = ret->errors};
    pid_t pid = -1;
    uint64_t start_ns = 0;
    double own_delay_ns = read_delay(getpid());
    int failed = spawn(program, opts, pipe_fds[1], &pid, &start_ns);
    (void)close(pipe_fds[1]);
    if (failed == 0) {
        failed = follow(pid, start_ns, pipe_fds[0], opts, ret);
        /* Ours counts, too: we have to run to start it and to see its end. */
        ret->delay_ns += read_delay(getpid()) - own_delay_ns;
    }
    (void)close(pipe_fds[0]);
    return failed == 0 ? BRISK_OK : brisk_err_from_errno(failed);
}
