/*
 * subject.c -- what a process took, as metrics: one that runs, looked at twice, or a command, run to its end.
 *
 * Threads: none of its own; waits for its own child only.
 */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/machine.h>

#include "observe/budget/command.h"

enum { FIGURES_MAX = 8 };

static const double ns_per_s = 1e9;

static void add(budget_values *values, const char *name, brisk_unit unit, double value)
{
    values->items[values->count++] = (brisk_metric_value){.name = name,
                                                          .help = "",
                                                          .kind = BRISK_METRIC_GAUGE,
                                                          .unit = unit,
                                                          .value = value,
                                                          .count = 1};
}

static brisk_err begin(brisk_arena *arena, budget_values *ret, brisk_errinfo *info)
{
    ret->count = 0;
    ret->items = brisk_arena_calloc(arena, FIGURES_MAX, sizeof *ret->items);
    return ret->items != NULL ? BRISK_OK
                              : brisk_errinfo_set(info, BRISK_ERR_NOMEM, "budget: %s",
                                                  brisk_err_message(BRISK_ERR_NOMEM));
}

static void sleep_ns(uint64_t ns)
{
    struct timespec left = {.tv_sec = (time_t)(ns / 1000000000),
                            .tv_nsec = (long)(ns % 1000000000)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

brisk_err budget_watch_process(uint32_t pid, uint64_t duration_ns, brisk_arena *arena,
                               budget_values *ret, brisk_errinfo *info)
{
    brisk_process before;
    brisk_process now;
    brisk_err err = brisk_process_read(NULL, pid, &before);
    uint64_t from_ns = brisk_clock_now_ns(NULL);
    if (err == BRISK_OK) {
        sleep_ns(duration_ns);
        err = brisk_process_read(NULL, pid, &now);
    }
    if (err == BRISK_OK && now.start_ns != before.start_ns) {
        err = BRISK_ERR_NOT_FOUND; /* another one has its number now */
    }
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "process %u: %s", pid,
                                 err == BRISK_ERR_NOT_FOUND ? "there is none, or it ended"
                                                            : brisk_err_message(err));
    }
    double elapsed = (double)(brisk_clock_now_ns(NULL) - from_ns);
    double cpu =
        (double)(now.user_ns + now.system_ns) - (double)(before.user_ns + before.system_ns);
    err = begin(arena, ret, info);
    if (err == BRISK_OK) {
        add(ret, "process.cpu", BRISK_UNIT_RATIO, elapsed > 0 ? cpu / elapsed : 0.0);
        add(ret, "process.cpu.time", BRISK_UNIT_NS, (double)(now.user_ns + now.system_ns));
        add(ret, "process.memory", BRISK_UNIT_BYTES, (double)now.resident_bytes);
        add(ret, "process.memory.peak", BRISK_UNIT_BYTES, (double)now.peak_bytes);
        add(ret, "process.threads", BRISK_UNIT_NONE, (double)now.threads);
        add(ret, "process.files", BRISK_UNIT_NONE, (double)now.files);
        add(ret, "process.disk.read", BRISK_UNIT_BYTES, (double)now.read_bytes);
        add(ret, "process.disk.written", BRISK_UNIT_BYTES, (double)now.write_bytes);
    }
    return err;
}

static double ns_of(const struct timeval *time)
{
    return (double)time->tv_sec * ns_per_s + (double)time->tv_usec * 1e3;
}

/* Its standard output goes to standard error: ours is the report. */
static brisk_err start(char *const *argv, pid_t *ret, brisk_errinfo *info)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t restored;
    (void)sigemptyset(&restored);
    (void)sigaddset(&restored, SIGPIPE); /* the program ignores them; a command shall not */
    (void)sigaddset(&restored, SIGXFSZ);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    (void)posix_spawnattr_setsigdefault(&attributes, &restored);
    int failed = posix_spawnp(ret, argv[0], &actions, &attributes, argv, environ);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return failed == 0 ? BRISK_OK : brisk_errinfo_set_errno(info, failed, "%s", argv[0]);
}

brisk_err budget_run_command(char *const *argv, brisk_arena *arena, budget_values *ret,
                             brisk_errinfo *info)
{
    pid_t pid = 0;
    int status = 0;
    struct rusage usage = {0};
    uint64_t from_ns = brisk_clock_now_ns(NULL);
    brisk_err err = start(argv, &pid, info);
    if (err != BRISK_OK) {
        return err;
    }
    while (wait4(pid, &status, 0, &usage) < 0) {
        if (errno != EINTR) {
            return brisk_errinfo_set_errno(info, errno, "%s: waiting for it", argv[0]);
        }
    }
    double elapsed = (double)(brisk_clock_now_ns(NULL) - from_ns);
    double cpu = ns_of(&usage.ru_utime) + ns_of(&usage.ru_stime);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    err = begin(arena, ret, info);
    if (err == BRISK_OK) {
        add(ret, "process.time", BRISK_UNIT_NS, elapsed);
        add(ret, "process.cpu", BRISK_UNIT_RATIO, elapsed > 0 ? cpu / elapsed : 0.0);
        add(ret, "process.cpu.time", BRISK_UNIT_NS, cpu);
        add(ret, "process.memory.peak", BRISK_UNIT_BYTES, (double)usage.ru_maxrss * 1024.0);
        add(ret, "process.faults", BRISK_UNIT_NONE, (double)usage.ru_majflt);
        add(ret, "process.exit", BRISK_UNIT_NONE, (double)code);
    }
    return err;
}
