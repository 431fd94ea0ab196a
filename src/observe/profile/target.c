/*
 * target.c -- starting a command and finding threads, behind target.h.
 *
 * The child waits in a read of a pipe, so that the events are there before its first instruction;
 * they begin with its exec.  A second pipe closes with the exec, or brings the errno of one that
 * failed.
 */
#include "observe/profile/target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brisk/clock.h>

static _Noreturn void run_child(char *const *argv, const char *const *env, int go, int answer,
                                bool out_to_err)
{
    char byte;
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE,
                 SIG_DFL); /* the program ignores these two, and who is executed inherits that */
    (void)signal(SIGXFSZ, SIG_DFL);
    ssize_t got;
    do {
        got = read(go, &byte, 1);
    } while (got < 0 && errno == EINTR);
    if (got != 1) {
        _exit(127); /* the profiler gave up, or is dead: the command is not to run unseen */
    }
    if (out_to_err) {
        (void)dup2(STDERR_FILENO, STDOUT_FILENO);
    }
    for (; env != NULL && *env != NULL; env++) {
        // NOLINTNEXTLINE(performance-no-int-to-ptr): putenv wants no const
        (void)putenv((char *)(uintptr_t)*env);
    }
    (void)execvp(argv[0], argv);
    int error = errno;
    (void)!write(answer, &error, sizeof error);
    _exit(127);
}

brisk_err prof_child_start(char *const *argv, const char *const *env, bool out_to_err,
                           prof_child *ret, brisk_errinfo *info)
{
    int go[2];
    int answer[2];
    if (pipe2(go, O_CLOEXEC) != 0) {
        return brisk_errinfo_set_errno(info, errno, "pipe");
    }
    if (pipe2(answer, O_CLOEXEC) != 0) {
        int error = errno;
        (void)close(go[0]);
        (void)close(go[1]);
        return brisk_errinfo_set_errno(info, error, "pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(go[1]); /* or the read would never end when the profiler dies */
        (void)close(answer[0]);
        run_child(argv, env, go[0], answer[1], out_to_err);
    }
    int error = errno;
    (void)close(go[0]);
    (void)close(answer[1]);
    if (pid < 0) {
        (void)close(go[1]);
        (void)close(answer[0]);
        return brisk_errinfo_set_errno(info, error, "fork");
    }
    *ret = (prof_child){.pid = pid, .go = go[1], .answer = answer[0]};
    return BRISK_OK;
}

brisk_err prof_child_go(prof_child *child, const char *name, brisk_errinfo *info)
{
    int error = 0;
    (void)!write(child->go, "x", 1);
    (void)close(child->go);
    child->go = -1;
    ssize_t got;
    do {
        got = read(child->answer, &error, sizeof error);
    } while (got < 0 && errno == EINTR);
    (void)close(child->answer);
    if (got == (ssize_t)sizeof error) {
        (void)waitpid(child->pid, &child->status, 0);
        child->reaped = true;
        return brisk_errinfo_set_errno(info, error, "%s", name);
    }
    return BRISK_OK;
}

bool prof_child_is_dead(const prof_child *child)
{
    siginfo_t info = {0};
    return child->reaped ||
           (child->pid > 0 &&
            waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid == child->pid);
}

bool prof_child_ended(prof_child *child)
{
    if (child->pid > 0 && !child->reaped) {
        child->reaped = waitpid(child->pid, &child->status, WNOHANG) == child->pid;
    }
    return child->reaped;
}

void prof_child_end(prof_child *child)
{
    if (child->pid <= 0) {
        return;
    }
    if (child->go >= 0) {
        (void)close(child->go);
        (void)close(child->answer);
        child->go = -1;
        (void)kill(child->pid, SIGKILL);
    }
    uint64_t until = brisk_clock_now_ns(NULL) + UINT64_C(5000000000);
    if (!prof_child_ended(child)) {
        (void)kill(child->pid, SIGTERM);
    }
    while (!prof_child_ended(child) && brisk_clock_now_ns(NULL) < until) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    if (!child->reaped) {
        (void)kill(child->pid, SIGKILL);
        (void)waitpid(child->pid, &child->status, 0);
        child->reaped = true;
    }
}

// NOLINTNEXTLINE(readability-function-size): the macros of vec.h count
brisk_err prof_threads_of(pid_t pid, prof_threads *ret, brisk_errinfo *info)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return errno == ENOENT
                   ? brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "no process %d", (int)pid)
                   : brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    brisk_err err = BRISK_OK;
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL && err == BRISK_OK) {
        char *end;
        long tid = strtol(entry->d_name, &end, 10);
        if (*end == '\0' && tid > 0 && ret->count < PROF_THREADS_MAX &&
            !BRISK_VEC_PUSH(ret, (pid_t)tid)) {
            err = BRISK_ERR_NOMEM;
        }
    }
    (void)closedir(dir);
    if (err == BRISK_OK && ret->count == 0) {
        err = brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "no process %d", (int)pid);
    }
    return err;
}

/* The beginning of a file of /proc as text. */
static bool read_small(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t got = read(fd, text, size - 1);
    (void)close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

void prof_comm_of(pid_t pid, pid_t tid, char comm[64])
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/comm", (int)pid, (int)tid);
    if (!read_small(path, comm, 64)) {
        comm[0] = '\0';
    }
    comm[strcspn(comm, "\n")] = '\0';
}

bool prof_is_blocked(pid_t pid, pid_t tid)
{
    char path[64];
    char text[512];
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
    if (!read_small(path, text, sizeof text)) {
        return false;
    }
    const char *state = strrchr(text, ')'); /* a name may have brackets of its own */
    return state != NULL && state[1] == ' ' && strchr("SDT", state[2]) != NULL && state[2] != '\0';
}
