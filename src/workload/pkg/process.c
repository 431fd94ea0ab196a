/*
 * process.c -- behind process.h: posix_spawn, two pipes and a pidfd in one poll.
 *
 * The end of the program ends it, not the end of its output: what it leaves running in the background
 * may keep the pipes open.
 */
#include "workload/pkg/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brisk/clock.h>

enum { OUT = 0, ERR = 1, END = 2, WATCHED = 3, TICK_MS = 50, PIECE = 65536 };

typedef struct run {
    const pkg_process_opts *opts;
    brisk_arena *arena;
    pkg_process_result *ret;
    brisk_errinfo *info;
    struct pollfd fds[WATCHED];
    pid_t pid;
    char *data;
    size_t size;
    size_t capacity;
    size_t words;
    uint64_t until_ns;
} run;

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

static brisk_err spawn(run *r, int out, int err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attributes);
    int failed = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    failed = failed != 0 ? failed : posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    failed = failed != 0 ? failed : posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    failed = failed != 0 ? failed : posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETPGROUP);
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    failed = failed != 0 ? failed
                         : posix_spawnp(&r->pid, r->opts->argv[0], &actions, &attributes,
                                        r->opts->argv, r->opts->env);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) {
        return failed == ENOENT ? brisk_errinfo_set(r->info, BRISK_ERR_NOT_FOUND,
                                                    "%s is not installed", r->opts->argv[0])
                                : brisk_errinfo_set_errno(r->info, failed, "%s", r->opts->argv[0]);
    }
    if (r->opts->file_max > 0) { /* before it has got anything to write */
        const struct rlimit most = {.rlim_cur = r->opts->file_max, .rlim_max = r->opts->file_max};
        (void)prlimit(r->pid, RLIMIT_FSIZE, &most, NULL);
    }
    return BRISK_OK;
}

static brisk_err begin(run *r)
{
    int out[2] = {-1, -1};
    int err[2] = {-1, -1};
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
        int failed = errno;
        close_fd(&out[0]);
        close_fd(&out[1]);
        return brisk_errinfo_set_errno(r->info, failed, "%s", r->opts->argv[0]);
    }
    brisk_err ret = spawn(r, out[1], err[1]);
    close_fd(&out[1]);
    close_fd(&err[1]);
    if (ret != BRISK_OK) {
        close_fd(&out[0]);
        close_fd(&err[0]);
        return ret;
    }
    (void)fcntl(out[0], F_SETFL, O_NONBLOCK);
    (void)fcntl(err[0], F_SETFL, O_NONBLOCK);
    int end = (int)syscall(SYS_pidfd_open, r->pid, 0);
    r->fds[OUT] = (struct pollfd){.fd = out[0], .events = POLLIN};
    r->fds[ERR] = (struct pollfd){.fd = err[0], .events = POLLIN};
    r->fds[END] = (struct pollfd){.fd = end, .events = POLLIN}; /* -1: looked at each tick */
    return BRISK_OK;
}

/* Room for one more piece and a NUL. */
static bool make_room(run *r)
{
    if (r->capacity - r->size > PIECE) {
        return true;
    }
    size_t capacity = r->capacity > 0 ? r->capacity * 2 : (size_t)PIECE * 2;
    char *more = brisk_arena_alloc(r->arena, capacity);
    if (more == NULL) {
        return false;
    }
    if (r->size > 0) {
        memcpy(more, r->data, r->size);
    }
    r->data = more;
    r->capacity = capacity;
    return true;
}

static brisk_err take_out(run *r)
{
    while (r->fds[OUT].fd >= 0) {
        if (!make_room(r)) {
            return brisk_errinfo_set(r->info, BRISK_ERR_NOMEM, "out of memory");
        }
        ssize_t got = read(r->fds[OUT].fd, r->data + r->size, PIECE);
        if (got < 0) {
            break; /* later */
        }
        if (got == 0) {
            close_fd(&r->fds[OUT].fd);
        }
        r->size += (size_t)got;
        if (r->size > r->opts->out_max) {
            return brisk_errinfo_set(r->info, BRISK_ERR_LIMIT, "%s: more than %zu bytes of output",
                                     r->opts->argv[0], r->opts->out_max);
        }
    }
    return BRISK_OK;
}

/* The end of what it says; control characters would let a server write into a terminal. */
static void take_words(run *r)
{
    char piece[4096];
    char *words = r->ret->words;
    while (r->fds[ERR].fd >= 0) {
        ssize_t got = read(r->fds[ERR].fd, piece, sizeof piece);
        if (got < 0) {
            return;
        }
        if (got == 0) {
            close_fd(&r->fds[ERR].fd);
        }
        for (ssize_t i = 0; i < got; i++) {
            if (r->words == PKG_PROCESS_WORDS_MAX) {
                memmove(words, words + PKG_PROCESS_WORDS_MAX / 2,
                        PKG_PROCESS_WORDS_MAX - PKG_PROCESS_WORDS_MAX / 2);
                r->words -= PKG_PROCESS_WORDS_MAX / 2;
            }
            unsigned char c = (unsigned char)piece[i];
            words[r->words++] = (char)(c >= ' ' && c < 0x7F ? c : ' ');
        }
    }
}

static bool has_ended(const run *r)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

static brisk_err watch(run *r)
{
    for (;;) {
        bool ended = has_ended(r);
        brisk_err err = take_out(r);
        take_words(r);
        if (err != BRISK_OK || ended) {
            return err;
        }
        if (r->opts->cancelled != NULL && r->opts->cancelled(r->opts->ctx)) {
            return brisk_errinfo_set(r->info, BRISK_ERR_CANCELLED, "cancelled");
        }
        if (brisk_clock_now_ns(NULL) > r->until_ns) {
            return brisk_errinfo_set(r->info, BRISK_ERR_DEADLINE, "%s: no end after %llu s",
                                     r->opts->argv[0],
                                     (unsigned long long)(r->opts->timeout_ns / 1000000000));
        }
        (void)poll(r->fds, WATCHED, TICK_MS);
    }
}

static int reap(const run *r)
{
    int status = 0;
    while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

brisk_err pkg_process_run(const pkg_process_opts *opts, brisk_arena *arena, pkg_process_result *ret,
                          brisk_errinfo *info)
{
    run r = {.opts = opts,
             .arena = arena,
             .ret = ret,
             .info = info,
             .until_ns = brisk_clock_now_ns(NULL) + opts->timeout_ns};
    *ret = (pkg_process_result){.out = PKG_TEXT("")};
    brisk_err err = begin(&r);
    if (err != BRISK_OK) {
        return err;
    }
    err = watch(&r);
    if (err != BRISK_OK) {
        (void)kill(-r.pid, SIGKILL); /* its group still has its number: it is not reaped */
        (void)kill(r.pid, SIGKILL);
    }
    ret->status = reap(&r);
    for (int i = 0; i < WATCHED; i++) {
        close_fd(&r.fds[i].fd);
    }
    while (r.words > 0 && ret->words[r.words - 1] == ' ') {
        r.words--;
    }
    ret->words[r.words] = '\0';
    if (r.data != NULL) {
        r.data[r.size] = '\0';
        ret->out = (pkg_text){.data = r.data, .size = r.size};
    }
    return err;
}
