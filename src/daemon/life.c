/*
 * life.c -- signals, signs of life, and the order in which a server ends.
 *
 * At the end nobody is accepted any more, who is connected is answered (drain.h) until nobody is left or
 * time is up, then workers stop and the disk tier is closed.  A second signal meanwhile finds its
 * default action.
 */
#include "daemon/life.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "daemon/api/api.h"
#include "daemon/drain.h"
#include "daemon/handover.h"
#include "daemon/http/auth.h"
#include "daemon/notify.h"
#include "daemon/reload.h"

#define MIB       UINT64_C(1048576)
#define NS_PER_MS UINT64_C(1000000)

enum { ALIVE_MS = 1000, LOOK_MS = 10 };

typedef struct life {
    const life_opts *opts;
    server *server;
    int signal_fd;
    int stop_fds[2]; /* SHUTDOWN, in a worker's thread, tells the main one */
    sigset_t before;
    notifier notify;
    uint64_t alive_ns; /* when the workers were looked at */
    uint32_t ticks[WORKERS_MAX];
} life;

/* Why the wait ended. */
typedef enum ending { END_IN_ORDER, END_TAKEN_OVER } ending;

static void tell_main(void *ctx)
{
    life *l = ctx;
    (void)!write(l->stop_fds[1], "x", 1);
}

static void announce(const brisk_invocation *in, const server *s, uint64_t memory_bytes)
{
    if (in->quiet) {
        return;
    }
    (void)fputs("brisk: ready at", in->err);
    for (uint32_t i = 0; i < s->listener_count; i++) {
        const listen_socket *l = &s->listeners[i].socket;
        const char *colon = strrchr(l->text, ':');
        if (l->is_unix) {
            (void)fprintf(in->err, " unix:%s", l->text);
        } else if (colon == NULL) {
            (void)fprintf(in->err, " 127.0.0.1:%u", l->port);
        } else {
            (void)fprintf(in->err, " %.*s:%u", (int)(colon - l->text), l->text, l->port);
        }
    }
    const char *token = http_auth_token_file(s->api->auth);
    (void)fprintf(in->err, " (%u loop%s, %" PRIu64 " MiB, disk %s, %s%s)\n", s->worker_count,
                  s->worker_count == 1 ? "" : "s", memory_bytes / MIB,
                  s->disk != NULL ? "on" : "off", token[0] != '\0' ? "token " : "no token", token);
    (void)fflush(in->err);
}

/* Who is answered at addresses that others can reach, when there is no password. */
static void warn_of_strangers(const brisk_invocation *in, const server *s)
{
    for (uint32_t i = 0; i < s->listener_count; i++) {
        const listen_socket *l = &s->listeners[i].socket;
        if (l->is_local || s->password[0] != '\0') {
            continue;
        }
        (void)fprintf(in->err,
                      "brisk: %s can be reached from elsewhere and there is no password: %s\n",
                      l->text,
                      s->unprotected ? "anybody may read and change everything (serve.protected)"
                                     : "others are refused, or need a token");
    }
}

/* --- signs of life ------------------------------------------------------------------------ */

static void tell_supervisor(const life *l, char word)
{
    if (l->opts->supervisor_fd >= 0) {
        (void)!write(l->opts->supervisor_fd, &word, 1);
    }
}

static void ask_to_replace(void *ctx)
{
    tell_supervisor(ctx, HANDOVER_REPLACE);
}

/* Has every loop gone on since the last look? */
static bool all_alive(life *l)
{
    bool alive = true;
    for (uint32_t i = 0; i < l->server->worker_count; i++) {
        uint32_t ticks = atomic_load_explicit(&l->server->workers[i].ticks, memory_order_relaxed);
        alive = alive && ticks != l->ticks[i];
        l->ticks[i] = ticks;
    }
    return alive;
}

static void look(life *l)
{
    uint64_t now = brisk_clock_now_ns(brisk_clock_system());
    if (now - l->alive_ns < ALIVE_MS * NS_PER_MS) {
        return;
    }
    l->alive_ns = now;
    if (all_alive(l)) {
        tell_supervisor(l, HANDOVER_ALIVE);
        if (l->notify.watchdog_ns != 0) {
            notify_say(&l->notify, "WATCHDOG=1");
        }
    }
}

/* --- signals ------------------------------------------------------------------------------ */

/* Blocked before the workers start, so that they inherit it. */
static brisk_err open_signals(life *l)
{
    static const int wanted[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2};
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        (void)sigaddset(&set, wanted[i]);
    }
    (void)pthread_sigmask(SIG_BLOCK, &set, &l->before);
    l->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (l->signal_fd < 0 || pipe2(l->stop_fds, O_CLOEXEC) != 0) {
        return brisk_err_from_errno(errno);
    }
    return BRISK_OK;
}

static void reload(const life *l)
{
    notify_reloading(&l->notify);
    reload_result result = reload_node(l->server, l->opts->server->engine, l->opts->in->err);
    tell_supervisor(l, result == RELOAD_REFUSED ? HANDOVER_REFUSED : HANDOVER_RELOADED);
    if (result == RELOAD_PARTLY && l->opts->replace) {
        tell_supervisor(l, HANDOVER_REPLACE);
    }
    notify_say(&l->notify, "READY=1");
}

/* True: the signal ends it. */
static bool on_signal(const life *l, ending *how)
{
    struct signalfd_siginfo info;
    if (read(l->signal_fd, &info, sizeof info) != (ssize_t)sizeof info) {
        return false;
    }
    switch ((int)info.ssi_signo) {
    case SIGUSR2: *how = END_TAKEN_OVER; return l->opts->supervisor_fd >= 0;
    case SIGHUP: reload(l); return false;
    default: *how = END_IN_ORDER; return true;
    }
}

/* The supervisor says nothing: when its end can be read, it is gone. */
static bool is_orphan(int fd)
{
    char word;
    return fd >= 0 && read(fd, &word, 1) == 0;
}

/* Until somebody wants the server to end. */
static ending wait_for_end(life *l)
{
    ending how = END_IN_ORDER;
    for (;;) {
        struct pollfd fds[] = {{.fd = l->signal_fd, .events = POLLIN},
                               {.fd = l->stop_fds[0], .events = POLLIN},
                               {.fd = l->opts->supervisor_fd, .events = POLLIN}};
        int ready = poll(fds, 3, ALIVE_MS);
        if (ready > 0 && fds[1].revents != 0) {
            return END_IN_ORDER;
        }
        if (ready > 0 && fds[2].revents != 0 && is_orphan(l->opts->supervisor_fd)) {
            return END_IN_ORDER;
        }
        if (ready > 0 && fds[0].revents != 0 && on_signal(l, &how)) {
            return how;
        }
        look(l);
    }
}

static void leave(life *l, ending how)
{
    notify_say(&l->notify, "STOPPING=1");
    (void)pthread_sigmask(SIG_SETMASK, &l->before, NULL);
    drain_begin(l->server, how == END_TAKEN_OVER);
    uint64_t begun = brisk_clock_now_ns(brisk_clock_system());
    while (drain_left(l->server) > 0 &&
           brisk_clock_now_ns(brisk_clock_system()) - begun < l->opts->drain_ns) {
        struct timespec pause = {.tv_nsec = LOOK_MS * 1000000};
        (void)nanosleep(&pause, NULL);
    }
}

/* --- all of it ---------------------------------------------------------------------------- */

static brisk_err begin(life *l, brisk_errinfo *info)
{
    brisk_err err = open_signals(l);
    if (err != BRISK_OK) {
        sockets_close(l->opts->server->sockets, false);
        return brisk_errinfo_set(info, err, "signals: %s", brisk_err_message(err));
    }
    err = server_create(l->opts->server, &l->server, info);
    if (err == BRISK_OK) {
        l->server->on_stop = tell_main;
        l->server->on_replace = l->opts->supervisor_fd >= 0 ? ask_to_replace : NULL;
        l->server->on_stop_ctx = l;
        err = server_start(l->server, info);
    }
    return err;
}

brisk_exit life_run(const life_opts *opts)
{
    life l = {.opts = opts, .signal_fd = -1, .stop_fds = {-1, -1}, .notify = {.fd = -1}};
    brisk_errinfo info = {.text = ""};
    if (opts->supervisor_fd < 0) {
        notify_open(&l.notify);
    }
    brisk_err err = begin(&l, &info);
    if (err == BRISK_OK) {
        announce(opts->in, l.server, opts->server->memory_bytes);
        warn_of_strangers(opts->in, l.server);
        if (opts->remark != NULL) {
            (void)fprintf(opts->in->err, "brisk: %s\n", opts->remark);
        }
        tell_supervisor(&l, HANDOVER_READY);
        notify_say(&l.notify, "READY=1");
        leave(&l, wait_for_end(&l));
    } else {
        (void)fprintf(opts->in->err, "brisk: %s\n", info.text);
    }
    server_destroy(l.server);
    for (int i = 0; i < 2; i++) {
        if (l.stop_fds[i] >= 0) {
            (void)close(l.stop_fds[i]);
        }
    }
    if (l.signal_fd >= 0) {
        (void)close(l.signal_fd);
    }
    notify_close(&l.notify);
    return err == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}
