/*
 * run.c -- a command with the sampler loaded before its allocator, or a process that has it already, watched until
 * its end.
 *
 * The sampler's files are in a folder of this run's own (mode 0700, in shared memory where there is some), which
 * goes with it.  SIGINT, SIGTERM and SIGHUP end the watching and not the profiler; a command gets the terminal's
 * SIGINT itself, others are passed on.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brisk/clock.h>

#include "base/assert.h"
#include "observe/heap/memory.h"
#include "observe/profile/target.h"

#define NS_PER_S UINT64_C(1000000000)

brisk_err heap_library(char path[HEAP_PATH_MAX], brisk_errinfo *info)
{
    static const char anchor;
    static const char *const places[] = {"", "/../heap"}; /* installed; a build tree */
    Dl_info found;
    BRISK_ASSERT(path != NULL);
    if (dladdr(&anchor, &found) == 0 || found.dli_fname == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "libbrisk_heap.so: no folder known");
    }
    char real[PATH_MAX];
    char folder[HEAP_PATH_MAX - 64];
    const char *name = realpath(found.dli_fname, real) != NULL ? real : found.dli_fname;
    size_t size = strlen(name);
    if (size >= sizeof folder) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: too long", name);
    }
    memcpy(folder, name, size + 1);
    char *slash = strrchr(folder, '/');
    if (slash == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "libbrisk_heap.so: no folder known");
    }
    *slash = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        (void)snprintf(path, HEAP_PATH_MAX, "%s%s/libbrisk_heap.so", folder, places[i]);
        if (access(path, R_OK) == 0) {
            return BRISK_OK;
        }
    }
    return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "%s/libbrisk_heap.so is not there", folder);
}

static brisk_err make_folder(heap_run *run, brisk_errinfo *info)
{
    const char *temporary = getenv("TMPDIR");
    const char *places[] = {"/dev/shm", temporary != NULL ? temporary : "/tmp"};
    char owner[HEAP_OWNER_MAX];
    heap_owner_name(owner);
    for (size_t i = 0; i < 2; i++) {
        (void)heap_remove_stale(places[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        int size =
            snprintf(run->folder, sizeof run->folder, "%s/brisk-heap-%sXXXXXX", places[i], owner);
        if (size > 0 && (size_t)size < sizeof run->folder && mkdtemp(run->folder) != NULL) {
            return BRISK_OK;
        }
    }
    run->folder[0] = '\0';
    return brisk_errinfo_set_errno(info, errno, "a folder in %s", places[1]);
}

static void remove_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    (void)rmdir(folder);
}

void heap_run_deinit(heap_run *run)
{
    heap_watch_deinit(&run->watch);
    if (run->folder[0] != '\0') {
        remove_folder(run->folder);
    }
}

/* The environment of the command: ours, while it is forked. */
static brisk_err set_environment(const heap_run *run, uint64_t interval, brisk_errinfo *info)
{
    char library[HEAP_PATH_MAX];
    char preload[PATH_MAX + HEAP_PATH_MAX];
    char number[32];
    brisk_err err = heap_library(library, info);
    if (err != BRISK_OK) {
        return err;
    }
    const char *before = getenv("LD_PRELOAD");
    (void)snprintf(preload, sizeof preload, "%s%s%s", library,
                   before != NULL && before[0] != '\0' ? ":" : "", before != NULL ? before : "");
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)interval);
    bool good = setenv("LD_PRELOAD", preload, 1) == 0 &&
                setenv(HEAP_ENV_FOLDER, run->folder, 1) == 0 &&
                setenv(HEAP_ENV_INTERVAL, number, 1) == 0 && setenv(HEAP_ENV_LOADED, "1", 1) == 0;
    return good ? BRISK_OK : BRISK_ERR_NOMEM;
}

static void restore_environment(const char *preload)
{
    if (preload != NULL) {
        (void)setenv("LD_PRELOAD", preload, 1);
    } else {
        (void)unsetenv("LD_PRELOAD");
    }
    (void)unsetenv(HEAP_ENV_FOLDER);
    (void)unsetenv(HEAP_ENV_INTERVAL);
    (void)unsetenv(HEAP_ENV_LOADED);
}

static brisk_err start(const heap_run_opts *opts, const heap_run *run, prof_child *child,
                       brisk_errinfo *info)
{
    char preload[PATH_MAX];
    const char *had = getenv("LD_PRELOAD");
    if ((size_t)snprintf(preload, sizeof preload, "%s", had != NULL ? had : "") >= sizeof preload) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "LD_PRELOAD: too long");
    }
    brisk_err err = set_environment(run, opts->interval, info);
    if (err == BRISK_OK) {
        err = prof_child_start(opts->argv, NULL, opts->out_to_err, child, info);
    }
    restore_environment(had != NULL ? preload : NULL);
    return err == BRISK_OK ? prof_child_go(child, opts->argv[0], info) : err;
}

/* Wait up to `pause_ns` for a signal; 0: none came. */
static int wait_signal(const sigset_t *set, uint64_t pause_ns)
{
    struct timespec pause = {.tv_sec = (time_t)(pause_ns / NS_PER_S),
                             .tv_nsec = (long)(pause_ns % NS_PER_S)};
    int got = sigtimedwait(set, NULL, &pause);
    return got > 0 ? got : 0;
}

static bool is_over(const heap_run_opts *opts, prof_child *child)
{
    if (opts->argv != NULL) {
        return prof_child_ended(child);
    }
    return kill((pid_t)opts->pid, 0) != 0 && errno == ESRCH;
}

static brisk_err watch(const heap_run_opts *opts, heap_run *run, prof_child *child,
                       const sigset_t *set)
{
    uint64_t begin = brisk_clock_now_ns(NULL);
    uint64_t second = begin + NS_PER_S;
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && !is_over(opts, child)) {
        uint64_t now = brisk_clock_now_ns(NULL);
        if (opts->duration_ns > 0 && now - begin >= opts->duration_ns) {
            run->ended_by_us = true;
            break;
        }
        err = heap_watch_poll(&run->watch, now - begin);
        if (err == BRISK_OK && now >= second && opts->on_time != NULL) {
            opts->on_time(opts->ctx, &run->watch);
            second = now + NS_PER_S;
        }
        /* A program of a tenth of a second has a history, too. */
        int got = wait_signal(set, now - begin < NS_PER_S ? opts->pause_ns / 8 : opts->pause_ns);
        if (got == SIGUSR1 && opts->on_signal != NULL) {
            opts->on_signal(opts->ctx, &run->watch);
        } else if (got == SIGINT || got == SIGTERM || got == SIGHUP) {
            if (opts->argv == NULL) {
                break;
            }
            if (got != SIGINT) {
                (void)kill(child->pid, got);
            }
        }
    }
    return err;
}

/* The sampler says so as it begins, before anything is allocated. */
static bool was_loaded(const char *folder)
{
    char path[HEAP_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/" HEAP_LOADED, folder);
    return folder[0] != '\0' && access(path, F_OK) == 0;
}

brisk_err heap_run_command(const heap_run_opts *opts, heap_run *run, brisk_errinfo *info)
{
    sigset_t set;
    sigset_t before;
    prof_child child = {.go = -1, .answer = -1};
    *run = (heap_run){.folder = ""};
    brisk_err err = opts->argv != NULL ? make_folder(run, info) : BRISK_OK;
    heap_watch_init(&run->watch, run->folder[0] != '\0' ? run->folder : NULL, opts->alloc);
    if (err == BRISK_OK && opts->argv == NULL) {
        err = heap_watch_add(&run->watch, opts->pid, opts->file);
    }
    if (err != BRISK_OK) {
        return err;
    }
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGUSR1);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, &before);
    if (opts->argv != NULL) {
        err = start(opts, run, &child, info);
    }
    if (err == BRISK_OK) {
        err = watch(opts, run, &child, &set);
        if (err == BRISK_OK) { /* files of those that came last; no points of the dead */
            err = heap_watch_poll(&run->watch, brisk_clock_now_ns(NULL));
        }
    }
    run->loaded = was_loaded(run->folder);
    if (child.pid > 0) {
        prof_child_end(&child);
        run->exit_status = child.status;
    }
    while (wait_signal(&set, 0) != 0) { /* what came meanwhile was meant for what is over */
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return err;
}
