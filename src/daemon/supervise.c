/*
 * supervise.c -- one thread, one poll, a few processes.
 *
 * At most one process is SERVING and one STARTING; any number LEAVING up to PROCESSES_MAX in all, the
 * oldest of which is killed when another would exceed that.
 *
 * A worker that dies is started again at once when it had served for a while, otherwise after a
 * pause that doubles up to 30 s.  One that never got ready when the supervisor began ends the
 * supervisor: then it is the configuration that is wrong, and whoever typed it waits for the word.
 *
 * Source:  signalfd(2), waitpid(2).
 */
#include "daemon/supervise.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brisk/clock.h>

#include "daemon/handover.h"
#include "daemon/notify.h"

enum { PROCESSES_MAX = 4, STEADY_S = 10, PAUSE_FIRST_MS = 100, PAUSE_LAST_MS = 30000, KILL_S = 5 };

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

typedef enum process_state { STARTING, SERVING, LEAVING } process_state;

typedef struct process {
    pid_t pid; /* 0: none */
    int fd;
    process_state state;
    uint64_t begun_ns;
    uint64_t heard_ns;
    uint64_t kill_ns; /* LEAVING: when it is killed */
} process;

typedef struct supervisor {
    const supervise_opts *opts;
    handover_program program;
    sigset_t mask; /* as it was */
    int signal_fd;
    notifier notify;
    process processes[PROCESSES_MAX];
    bool was_ready;
    bool stopping;
    bool done;
    brisk_exit result;
    uint64_t start_ns; /* when the next is started; 0: not */
    uint64_t pause_ms;
    uint64_t fed_ns; /* when the watchdog was */
} supervisor;

static uint64_t now_ns(void)
{
    return brisk_clock_now_ns(brisk_clock_system());
}

static void say(const supervisor *s, const char *format, ...) BRISK_PRINTF(2, 3);

static void say(const supervisor *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("brisk: ", s->opts->err);
    (void)vfprintf(s->opts->err, format, args);
    (void)fputc('\n', s->opts->err);
    (void)fflush(s->opts->err);
    va_end(args);
}

static process *find(supervisor *s, process_state state)
{
    for (int i = 0; i < PROCESSES_MAX; i++) {
        if (s->processes[i].pid != 0 && s->processes[i].state == state) {
            return &s->processes[i];
        }
    }
    return NULL;
}

static process *free_place(supervisor *s)
{
    process *oldest = NULL;
    for (int i = 0; i < PROCESSES_MAX; i++) {
        process *p = &s->processes[i];
        if (p->pid == 0) {
            return p;
        }
        if (p->state == LEAVING && (oldest == NULL || p->begun_ns < oldest->begun_ns)) {
            oldest = p;
        }
    }
    if (oldest != NULL) {
        (void)kill(oldest->pid, SIGKILL); /* reaped before its place is used: try again then */
    }
    return NULL;
}

/* --- starting and ending ------------------------------------------------------------------ */

static void pause_then_start(supervisor *s, uint64_t now)
{
    s->pause_ms = s->pause_ms == 0 ? PAUSE_FIRST_MS : 2 * s->pause_ms;
    s->pause_ms = s->pause_ms < PAUSE_LAST_MS ? s->pause_ms : PAUSE_LAST_MS;
    s->start_ns = now + s->pause_ms * NS_PER_MS;
}

static void start(supervisor *s)
{
    uint64_t now = now_ns();
    process *p = free_place(s);
    s->start_ns = 0;
    if (p == NULL) {
        pause_then_start(s, now);
        return;
    }
    pid_t pid;
    int fd;
    brisk_err err = handover_start(&s->program, s->opts->sockets, &s->mask, &pid, &fd);
    if (err != BRISK_OK) {
        say(s, "no worker: %s", brisk_err_message(err));
        pause_then_start(s, now);
        return;
    }
    *p = (process){.pid = pid, .fd = fd, .state = STARTING, .begun_ns = now, .heard_ns = now};
}

/* It leaves: SIGUSR2, another takes its place; SIGTERM, nobody does. */
static void dismiss(const supervisor *s, process *p, int how)
{
    p->state = LEAVING;
    p->kill_ns = now_ns() + s->opts->drain_ns + KILL_S * NS_PER_S;
    (void)kill(p->pid, how);
}

static void stop(supervisor *s)
{
    bool again = s->stopping;
    s->stopping = true;
    s->start_ns = 0;
    if (!again) {
        notify_say(&s->notify, "STOPPING=1");
    }
    for (int i = 0; i < PROCESSES_MAX; i++) {
        process *p = &s->processes[i];
        if (p->pid != 0 && again) {
            (void)kill(p->pid, SIGKILL);
        } else if (p->pid != 0) {
            dismiss(s, p, SIGTERM);
        }
    }
}

/* --- what happens ------------------------------------------------------------------------- */

static void became_ready(supervisor *s, process *p)
{
    process *before = find(s, SERVING);
    p->state = SERVING;
    if (before != NULL) {
        dismiss(s, before, SIGUSR2);
    }
    s->was_ready = true;
    char text[64];
    (void)snprintf(text, sizeof text, "READY=1\nSTATUS=worker %d serves", (int)p->pid);
    notify_say(&s->notify, text);
}

static void replace(supervisor *s)
{
    if (find(s, STARTING) != NULL) {
        say(s, "a new worker is being started already");
        return;
    }
    notify_reloading(&s->notify);
    start(s);
}

static void hear(supervisor *s, process *p)
{
    char words[64];
    ssize_t n = read(p->fd, words, sizeof words);
    if (n <= 0) {
        if (n == 0) { /* it is about to die, which SIGCHLD tells */
            (void)close(p->fd);
            p->fd = -1;
        }
        return;
    }
    p->heard_ns = now_ns();
    for (ssize_t i = 0; i < n; i++) {
        if (words[i] == HANDOVER_READY && p->state == STARTING) {
            became_ready(s, p);
        } else if (words[i] == HANDOVER_RELOADED || words[i] == HANDOVER_REFUSED) {
            notify_say(&s->notify, "READY=1");
        } else if (words[i] == HANDOVER_REPLACE && p->state == SERVING && !s->stopping) {
            replace(s);
        }
    }
}

static const char *hint(int signal)
{
    switch (signal) {
    case SIGKILL: return "; perhaps memory was short: see the kernel's log";
    case SIGSYS: return "; a system call that the sandbox does not know: see serve.sandbox";
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGABRT: return "; to see where: brisk serve --foreground under a debugger";
    default: return "";
    }
}

static void describe_death(const process *p, int status, char text[160])
{
    if (WIFSIGNALED(status)) {
        int signal = WTERMSIG(status);
        (void)snprintf(text, 160, "signal %d (%s)%s%s", signal, strsignal(signal),
                       WCOREDUMP(status) ? ", core dumped" : "", hint(signal));
    } else {
        (void)snprintf(text, 160, "code %d%s", WEXITSTATUS(status),
                       p->state == STARTING ? " before it was ready" : "");
    }
}

/* The one that serves, or is to, has died. */
static void restart(supervisor *s, const process *dead, int status)
{
    uint64_t now = now_ns();
    char why[160];
    describe_death(dead, status, why);
    if (!s->was_ready) {
        say(s, "worker %d ended with %s", (int)dead->pid, why);
        s->done = true;
        s->result = BRISK_EXIT_FAILED;
        return;
    }
    if (dead->state == STARTING && find(s, SERVING) != NULL) {
        say(s, "the new worker %d ended with %s; the old one stays", (int)dead->pid, why);
        notify_say(&s->notify, "READY=1");
        return;
    }
    if (now - dead->begun_ns >= STEADY_S * NS_PER_S && dead->state == SERVING) {
        s->pause_ms = 0;
        s->start_ns = now;
    } else {
        pause_then_start(s, now);
    }
    if (find(s, STARTING) != NULL) {
        s->start_ns = 0; /* its successor is on its way */
    }
    say(s, "worker %d ended with %s; another in %" PRIu64 " ms", (int)dead->pid, why, s->pause_ms);
}

static void died(supervisor *s, process *p, int status)
{
    process dead = *p;
    if (p->state != STARTING || find(s, SERVING) == NULL) {
        hear(s, p); /* not that it is ready: the one that serves must not leave for a dead one */
    }
    dead.state = p->state; /* its last words may have changed that */
    if (p->fd >= 0) {
        (void)close(p->fd);
    }
    *p = (process){.pid = 0};
    bool in_order = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (s->stopping) {
        bool asked = WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM; /* while it started */
        s->result = in_order || asked ? s->result : BRISK_EXIT_FAILED;
    } else if (dead.state == LEAVING) {
        if (!in_order) {
            char why[160];
            describe_death(&dead, status, why);
            say(s, "worker %d, which was leaving, ended with %s", (int)dead.pid, why);
        }
    } else if (in_order && dead.state == SERVING) {
        stop(s); /* it was asked to end (SHUTDOWN), and so was the node */
    } else {
        restart(s, &dead, status);
    }
}

static void reap(supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (int i = 0; i < PROCESSES_MAX; i++) {
            if (s->processes[i].pid == pid) {
                died(s, &s->processes[i], status);
            }
        }
    }
}

static void on_signal(supervisor *s)
{
    struct signalfd_siginfo info;
    if (read(s->signal_fd, &info, sizeof info) != (ssize_t)sizeof info) {
        return;
    }
    process *serving = find(s, SERVING);
    switch ((int)info.ssi_signo) {
    case SIGCHLD: reap(s); break;
    case SIGTERM:
    case SIGINT: stop(s); break;
    case SIGHUP:
        if (serving != NULL && !s->stopping) {
            notify_reloading(&s->notify);
            (void)kill(serving->pid, SIGHUP);
        }
        break;
    case SIGUSR2:
        if (!s->stopping) {
            replace(s);
        }
        break;
    default: break;
    }
}

/* --- time --------------------------------------------------------------------------------- */

static void look_at_clock(supervisor *s)
{
    uint64_t now = now_ns();
    if (s->start_ns != 0 && now >= s->start_ns && !s->stopping) {
        start(s);
    }
    for (int i = 0; i < PROCESSES_MAX; i++) {
        process *p = &s->processes[i];
        if (p->pid != 0 && p->state == LEAVING && now >= p->kill_ns) {
            say(s, "worker %d did not leave in time and is killed", (int)p->pid);
            (void)kill(p->pid, SIGKILL);
            p->kill_ns = now + KILL_S * NS_PER_S;
        }
        if (p->pid != 0 && p->state == SERVING && s->opts->hang_ns != 0 &&
            now - p->heard_ns >= s->opts->hang_ns) {
            say(s, "worker %d was not heard for %" PRIu64 " s and is killed", (int)p->pid,
                (now - p->heard_ns) / NS_PER_S);
            (void)kill(p->pid, SIGABRT);
            p->heard_ns = now;
        }
    }
    if (s->notify.watchdog_ns != 0 && now - s->fed_ns >= s->notify.watchdog_ns) {
        notify_say(&s->notify, "WATCHDOG=1");
        s->fed_ns = now;
    }
}

/* Milliseconds until the clock matters. */
static int until_next(const supervisor *s)
{
    uint64_t now = now_ns();
    uint64_t wait = NS_PER_S;
    if (s->start_ns != 0) {
        uint64_t left = s->start_ns > now ? s->start_ns - now : 0;
        wait = left < wait ? left : wait;
    }
    if (s->notify.watchdog_ns != 0 && s->notify.watchdog_ns < wait) {
        wait = s->notify.watchdog_ns;
    }
    return (int)(wait / NS_PER_MS) + 1;
}

static bool has_process(const supervisor *s)
{
    for (int i = 0; i < PROCESSES_MAX; i++) {
        if (s->processes[i].pid != 0) {
            return true;
        }
    }
    return false;
}

static void run(supervisor *s)
{
    start(s);
    while (!s->done && (!s->stopping || has_process(s))) {
        struct pollfd fds[PROCESSES_MAX + 1] = {{.fd = s->signal_fd, .events = POLLIN}};
        for (int i = 0; i < PROCESSES_MAX; i++) {
            const process *p = &s->processes[i];
            fds[i + 1] = (struct pollfd){.fd = p->pid != 0 ? p->fd : -1, .events = POLLIN};
        }
        int ready = poll(fds, PROCESSES_MAX + 1, until_next(s));
        for (int i = 0; i < PROCESSES_MAX && ready > 0; i++) {
            if (fds[i + 1].revents != 0 && s->processes[i].pid != 0) {
                hear(s, &s->processes[i]);
            }
        }
        if (ready > 0 && fds[0].revents != 0) {
            on_signal(s);
        }
        look_at_clock(s);
    }
}

static brisk_err open_signals(supervisor *s)
{
    sigset_t set;
    static const int wanted[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR2};
    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        (void)sigaddset(&set, wanted[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &set, &s->mask);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd >= 0 ? BRISK_OK : brisk_err_from_errno(errno);
}

brisk_exit supervise(const supervise_opts *opts)
{
    static supervisor s; /* large, and there is one in a process */
    s = (supervisor){.opts = opts, .signal_fd = -1, .result = BRISK_EXIT_OK};
    brisk_errinfo info = {.text = ""};
    brisk_err err = handover_remember(&s.program, &info);
    if (err == BRISK_OK) {
        err = open_signals(&s);
        (void)brisk_errinfo_set(&info, err, "signals: %s", brisk_err_message(err));
    }
    if (err == BRISK_OK) {
        notify_open(&s.notify);
        run(&s);
        notify_close(&s.notify);
    } else {
        say(&s, "%s", info.text);
        s.result = BRISK_EXIT_FAILED;
    }
    if (s.signal_fd >= 0) {
        (void)close(s.signal_fd);
    }
    handover_forget(&s.program);
    sockets_close(opts->sockets, false);
    return s.result;
}
