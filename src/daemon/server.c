/*
 * server.c -- sockets to listen at, workers, the lock, ticks, the end.
 *
 * Worker 0 accepts and hands every connection to the worker that has the fewest.  Ten times a second
 * it tends the memory tier, sizes it and counts; every worker looks for idle connections once a second.
 */
#include "daemon/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "daemon/config.h"
#include "daemon/disk.h"
#include "daemon/engine.h"
#include "daemon/introspect.h"
#include "daemon/loads.h"
#include "daemon/metrics.h"
#include "daemon/pubsub.h"
#include "daemon/record.h"
#include "daemon/ticks.h"
#include "daemon/tracking.h"

enum {
    TICKS_A_SECOND = 10,
    TEND_NS = 5000000,
    ACCEPTS_MAX = 64, /* between two looks at those who are connected */
    DRAIN_MS = 2000,
};

/* --- the lock ----------------------------------------------------------------------------- */

void server_lock(server *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->now_ns = brisk_clock_now_ns(s->clock);
    s->wall_ns = brisk_clock_wall_ns(s->clock);
    keyspace_set_time(&s->keys, s->wall_ns, s->now_ns);
    s->keys.drops_wanted =
        s->notify != 0 || s->watched.count > 0 || s->disk != NULL || tracking_is_used(s);
}

void server_unlock(server *s)
{
    (void)pthread_mutex_unlock(&s->lock);
}

bool server_keep(server *s, size_t bytes)
{
    /* Relaxed: a sum, and nothing that is read after it. */
    uint64_t total = atomic_load_explicit(&s->input_bytes, memory_order_relaxed);
    if (total + bytes > s->limits.input_total / 2) { /* so that requests still come in */
        return false;
    }
    atomic_fetch_add_explicit(&s->input_bytes, bytes, memory_order_relaxed);
    return true;
}

void server_let_go(server *s, size_t bytes)
{
    atomic_fetch_sub_explicit(&s->input_bytes, bytes, memory_order_relaxed);
}

void server_mail(worker *w, client *c)
{
    if ((c->flags & CLIENT_MAIL) != 0) {
        return;
    }
    c->flags |= CLIENT_MAIL;
    c->mail_next = w->mail;
    w->mail = c;
    /* Release: whoever sees it takes the lock, which orders the rest. */
    atomic_store_explicit(&w->has_mail, true, memory_order_release);
    loop_wake(&w->loop);
}

/* --- workers ------------------------------------------------------------------------------ */

/* What other clients' commands, or the end of a wait, mean for this worker's connections. */
static void deliver_mail(worker *w)
{
    server *s = w->server;
    conn *resume = NULL;
    server_lock(s);
    atomic_store_explicit(&w->has_mail, false, memory_order_relaxed);
    client *c = w->mail;
    w->mail = NULL;
    for (client *next; c != NULL; c = next) {
        next = c->mail_next;
        c->flags &= ~(uint32_t)CLIENT_MAIL;
        conn *connection = c->conn;
        if (c->inbox.size > 0 || c->inbox.err != BRISK_OK) {
            connection->pending.err = c->inbox.err;
            conn_push(connection, c->inbox.data, c->inbox.size);
            resp_writer_reset(&c->inbox, 0);
        }
        connection->killed = (c->flags & CLIENT_KILLED) != 0;
        connection->ended_wait = connection->waiting && c->block == CLIENT_READY;
        connection->next_mail = resume;
        resume = connection;
    }
    server_unlock(s);
    while (resume != NULL) {
        conn *connection = resume;
        resume = connection->next_mail;
        connection->next_mail = NULL;
        bool ended_wait = connection->ended_wait;
        connection->ended_wait = false;
        if (connection->killed) {
            conn_kill(connection);
            continue;
        }
        conn_flush(connection);
        if (ended_wait) {
            conn_resume(connection);
        }
    }
}

static void round_done(void *ctx)
{
    worker *w = ctx;
    if (atomic_load_explicit(&w->has_mail, memory_order_acquire)) {
        deliver_mail(w);
    }
    conn_go_on(w);
    conn_bury(w);
    w->now_ns = brisk_clock_now_ns(w->server->clock);
}

static void end_pause(server *s)
{
    if (s->pause_until_ns == 0 || s->pause_until_ns > s->now_ns) {
        return;
    }
    s->pause_until_ns = 0;
    for (client *c = s->clients; c != NULL; c = c->next) {
        if (c->block == CLIENT_PAUSED) {
            client_unblock(c);
        }
    }
}

void server_end_pause(server *s)
{
    s->pause_until_ns = s->pause_until_ns != 0 ? 1 : 0;
    end_pause(s);
}

static void tick_server(server *s)
{
    server_lock(s);
    (void)brisk_memory_tend(s->keys.tier, TEND_NS);
    tell_drops(s);
    tracking_limit(s);
    tracking_broadcast(s);
    end_pause(s);
    loads_tick(s);
    uint64_t elapsed = s->now_ns - s->started_ns;
    if (elapsed > 0) {
        s->ns_per_tick = (double)elapsed / (double)(ticks_now() - s->ticks_started);
    }
    if (s->now_ns - s->stats.ops_ns >= UINT64_C(1000000000)) {
        uint64_t ns = s->now_ns - s->stats.ops_ns;
        s->stats.ops_per_second =
            (s->stats.commands - s->stats.ops_commands) * UINT64_C(1000000000) / ns;
        s->stats.ops_commands = s->stats.commands;
        s->stats.ops_ns = s->now_ns;
        sizing_tick(s);
        server_metrics_tick(s);
    }
    server_unlock(s);
}

static void tick(void *ctx)
{
    worker *w = ctx;
    server *s = w->server;
    if (w->index == 0) {
        tick_server(s);
    }
    if (++w->ticks % TICKS_A_SECOND == 0 && s->limits.idle_ns != 0) {
        conn_close_idle(w, brisk_clock_now_ns(s->clock), s->limits.idle_ns);
    }
}

static void run_worker(void *ctx)
{
    worker *w = ctx;
    loop_run(&w->loop);
}

static brisk_err init_worker(server *s, uint32_t index, uint64_t spin_ns)
{
    worker *w = &s->workers[index];
    *w = (worker){.server = s, .index = index, .now_ns = brisk_clock_now_ns(s->clock)};
    loop_hooks hooks = {.round = round_done, .tick = tick, .ctx = w};
    brisk_err err = loop_init(&w->loop, &hooks, s->clock);
    if (err != BRISK_OK) {
        return err;
    }
    atomic_store_explicit(&w->loop.spin_ns, spin_ns, memory_order_relaxed);
    resp_writer_init(&w->out, s->alloc, s->limits.output_max);
    w->in = s->alloc->acquire(s->alloc->ctx, WORKER_IN_BYTES, 64);
    w->plain = s->alloc->acquire(s->alloc->ctx, WORKER_IN_BYTES, 64);
    return w->in != NULL && w->plain != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
}

static void deinit_worker(worker *w)
{
    server *s = w->server;
    while (w->conns != NULL) {
        conn_kill(w->conns);
    }
    conn_bury(w);
    resp_writer_deinit(&w->out);
    if (w->in != NULL) {
        s->alloc->release(s->alloc->ctx, w->in, WORKER_IN_BYTES, 64);
    }
    if (w->plain != NULL) {
        s->alloc->release(s->alloc->ctx, w->plain, WORKER_IN_BYTES, 64);
    }
    loop_deinit(&w->loop);
}

/* --- accepting ---------------------------------------------------------------------------- */

typedef struct handover {
    loop_task task; /* first */
    worker *worker;
    int fd;
} handover;

static void take_over(loop_task *task)
{
    handover *h = (handover *)task;
    worker *w = h->worker;
    int fd = h->fd;
    w->server->alloc->release(w->server->alloc->ctx, h, sizeof *h, _Alignof(handover));
    conn_open(w, &protocol_resp, fd);
}

static worker *least_loaded(server *s)
{
    worker *best = &s->workers[s->next_worker % s->worker_count];
    s->next_worker++;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        worker *w = &s->workers[i];
        if (atomic_load_explicit(&w->conn_count, memory_order_relaxed) <
            atomic_load_explicit(&best->conn_count, memory_order_relaxed)) {
            best = w;
        }
    }
    return best;
}

static void give(server *s, int fd)
{
    worker *w = least_loaded(s);
    if (w->index == 0) {
        conn_open(w, &protocol_resp, fd);
        return;
    }
    handover *h = s->alloc->acquire(s->alloc->ctx, sizeof *h, _Alignof(handover));
    if (h == NULL) {
        (void)close(fd);
        return;
    }
    *h = (handover){.task = {.run = take_over}, .worker = w, .fd = fd};
    loop_post(&w->loop, &h->task);
}

static void accept_ready(loop_source *source, uint32_t events)
{
    (void)events;
    listener *l = (listener *)source;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE) {
                atomic_fetch_add_explicit(&l->server->accept_failures, 1, memory_order_relaxed);
                struct timespec pause = {.tv_nsec = 1000000};
                (void)nanosleep(&pause, NULL); /* full of descriptors: do not spin */
            }
            return;
        }
        if (!l->is_unix) {
            int on = 1;
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        }
        give(l->server, fd);
    }
}

static brisk_err add_listener(server *s, int fd, bool is_unix, const char *text)
{
    if (s->listener_count == LISTENERS_MAX) {
        return BRISK_ERR_LIMIT;
    }
    listener *l = &s->listeners[s->listener_count];
    *l = (listener){.source = {.ready = accept_ready}, .server = s, .fd = fd, .is_unix = is_unix};
    (void)snprintf(l->text, sizeof l->text, "%s", text);
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof address;
    if (!is_unix && getsockname(fd, (struct sockaddr *)&address, &length) == 0) {
        l->port = ntohs(address.ss_family == AF_INET6
                            ? ((struct sockaddr_in6 *)(void *)&address)->sin6_port
                            : ((struct sockaddr_in *)(void *)&address)->sin_port);
    }
    brisk_err err = loop_watch(&s->workers[0].loop, fd, EPOLLIN, &l->source);
    if (err == BRISK_OK) {
        s->listener_count++;
    }
    return err;
}

/* "HOST:PORT" or "[HOST]:PORT" in two; false: it is neither. */
static bool split_address(const char *address, char host[256], char port[16])
{
    const char *colon = strrchr(address, ':');
    size_t size = colon != NULL ? (size_t)(colon - address) : 0;
    const char *from = address;
    if (size >= 2 && address[0] == '[' && address[size - 1] == ']') {
        from++;
        size -= 2;
    }
    if (colon == NULL || size >= 256 || strlen(colon + 1) >= 16 || colon[1] == '\0') {
        return false;
    }
    memcpy(host, from, size);
    host[size] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return true;
}

static int open_socket(const struct addrinfo *at, uint32_t backlog)
{
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->ai_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, (int)backlog) != 0) {
        int why = errno;
        (void)close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static brisk_err listen_tcp(server *s, const char *address, uint32_t backlog, brisk_errinfo *info)
{
    char host[256];
    char port[16];
    if (!split_address(address, host, port)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "'%s' is not HOST:PORT", address);
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int failed = getaddrinfo(host[0] != '\0' ? host : NULL, port, &hints, &list);
    if (failed != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: %s", address, gai_strerror(failed));
    }
    brisk_err err = BRISK_ERR_NOT_FOUND;
    for (const struct addrinfo *at = list; at != NULL && err != BRISK_OK; at = at->ai_next) {
        int fd = open_socket(at, backlog);
        if (fd < 0) {
            err = brisk_errinfo_set_errno(info, errno, "cannot listen at %s", address);
            continue;
        }
        err = add_listener(s, fd, false, address);
        if (err != BRISK_OK) {
            (void)close(fd);
        }
    }
    freeaddrinfo(list);
    return err;
}

static brisk_err listen_unix(server *s, const char *path, uint32_t backlog, brisk_errinfo *info)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "a socket's path has at most %zu bytes: %s",
                                 sizeof address.sun_path - 1, path);
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    /* One that nobody answers at is left over from a process that died. */
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
        connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno == ECONNREFUSED) {
        (void)unlink(path);
    }
    (void)close(fd);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t mask = umask(0077);
    bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    int why = errno;
    (void)umask(mask);
    if (!bound || listen(fd, (int)backlog) != 0) {
        why = bound ? errno : why;
        if (fd >= 0) {
            (void)close(fd);
        }
        return brisk_errinfo_set_errno(info, why, "cannot listen at %s", path);
    }
    memcpy(s->unix_path, path, strlen(path) + 1);
    brisk_err err = add_listener(s, fd, true, path);
    if (err != BRISK_OK) {
        (void)close(fd);
    }
    return err;
}

bool server_set_port(server *s, uint16_t port)
{
    for (uint32_t i = 0; i < s->listener_count; i++) {
        if (!s->listeners[i].is_unix && s->listeners[i].port == port) {
            return true;
        }
    }
    char address[32];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", port);
    brisk_errinfo info;
    return port == 0 || listen_tcp(s, address, 511, &info) == BRISK_OK;
}

/* --- life --------------------------------------------------------------------------------- */

static void name_run(server *s)
{
    unsigned char random[20] = {0};
    (void)!getrandom(random, sizeof random, GRND_NONBLOCK);
    for (size_t i = 0; i < sizeof random; i++) {
        (void)snprintf(s->run_id + 2 * i, 3, "%02x", random[i]);
    }
    uint64_t seed;
    memcpy(&seed, random, sizeof seed);
    brisk_rng_init(&s->rng, seed);
}

static brisk_err create_parts(server *s, const server_opts *opts, brisk_errinfo *info)
{
    brisk_tier *tier = NULL;
    if (opts->disk_path != NULL && opts->disk_path[0] != '\0') {
        brisk_err err = disk_open_tier(s, opts->disk_path, opts->disk_bytes, &tier, info);
        if (err != BRISK_OK) {
            return err;
        }
    }
    keyspace_opts keys = {.bytes_max = opts->memory_bytes,
                          .bytes_reserve = opts->memory_bytes,
                          .policy = opts->policy,
                          .disk = tier,
                          .track_use = opts->track_use,
                          .alloc = s->alloc};
    brisk_err err = keyspace_open(&s->keys, &keys);
    if (err == BRISK_ERR_INVALID && opts->policy != NULL) {
        return brisk_errinfo_set(info, err, "there is no policy '%s'", opts->policy);
    }
    if (err == BRISK_OK && tier != NULL) {
        err = disk_start(s, tier, &s->disk);
    }
    if (err == BRISK_OK) {
        s->target_rate = opts->target_rate;
        s->size_rule = opts->size_rule;
        err = sizing_start(s, !opts->no_curve);
    }
    if (err == BRISK_OK) {
        err = command_table_create(s->alloc, &s->commands);
    }
    if (err == BRISK_OK) {
        err = tracking_create(s->alloc, &s->tracking);
    }
    if (err == BRISK_OK) {
        err = pubsub_create(s->alloc, &s->pubsub);
    }
    if (err == BRISK_OK) {
        err = slowlog_create(s->alloc, &s->slowlog);
    }
    if (err == BRISK_OK) {
        err = latency_create(s->alloc, &s->latency);
    }
    if (err == BRISK_OK) {
        err = config_create(s, &s->config);
    }
    if (err == BRISK_OK) {
        err = loads_create(s, &s->own);
    }
    if (err == BRISK_OK) {
        err = record_create(s->alloc, opts->record_dir, &s->recording);
    }
    if (err == BRISK_OK) {
        err = server_metrics_create(s, &s->metrics);
    }
    if (err == BRISK_OK) {
        err = server_engine_begin(s, opts->engine);
    }
    return err;
}

static const char *text_or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static brisk_err create_tls(server *s, const server_opts *opts, brisk_errinfo *info)
{
    wire_tls_opts tls = {.server = true,
                         .ca_file = text_or_null(opts->tls_ca),
                         .cert_file = text_or_null(opts->tls_cert),
                         .key_file = text_or_null(opts->tls_key),
                         .alloc = s->alloc};
    return tls.cert_file != NULL ? wire_tls_context_create(&tls, &s->tls, info) : BRISK_OK;
}

static uint32_t processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 1;
    }
    int count = CPU_COUNT(&set);
    return count > 0 ? (uint32_t)count : 1;
}

static brisk_err create_workers(server *s, const server_opts *opts)
{
    uint32_t count = opts->workers != 0 ? opts->workers : processors();
    count = count < WORKERS_MAX ? count : WORKERS_MAX;
    s->workers = s->alloc->acquire(s->alloc->ctx, count * sizeof *s->workers, 64);
    if (s->workers == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(s->workers, 0, count * sizeof *s->workers);
    for (uint32_t i = 0; i < count; i++) {
        s->workers[i].loop.epoll_fd = -1;
        s->workers[i].loop.event_fd = -1;
        s->workers[i].server = s;
    }
    s->worker_count = count;
    for (uint32_t i = 0; i < count; i++) {
        brisk_err err = init_worker(s, i, opts->spin_ns);
        if (err != BRISK_OK) {
            return err;
        }
    }
    return BRISK_OK;
}

static brisk_err listen_all(server *s, const server_opts *opts, brisk_errinfo *info)
{
    uint32_t backlog = opts->backlog != 0 ? opts->backlog : 511;
    brisk_err err = BRISK_OK;
    if (opts->address != NULL && opts->address[0] != '\0') {
        err = listen_tcp(s, opts->address, backlog, info);
    }
    if (err == BRISK_OK && opts->unix_path != NULL && opts->unix_path[0] != '\0') {
        err = listen_unix(s, opts->unix_path, backlog, info);
    }
    if (err == BRISK_OK && s->listener_count == 0) {
        err = brisk_errinfo_set(info, BRISK_ERR_INVALID, "nothing to listen at");
    }
    return err;
}

brisk_err server_create(const server_opts *opts, server **ret, brisk_errinfo *info)
{
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    server *s = alloc->acquire(alloc->ctx, sizeof *s, _Alignof(server));
    if (s == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    memset(s, 0, sizeof *s);
    s->alloc = alloc;
    s->clock = opts->clock != NULL ? opts->clock : brisk_clock_system();
    s->limits = opts->limits;
    s->unprotected = opts->unprotected;
    s->track_use = opts->track_use;
    s->pid = getpid();
    s->next_client_id = 1;
    s->ns_per_tick = 0.5;
    s->maxmemory = opts->memory_bytes;
    dict_init(&s->clients_by_id, alloc);
    dict_init(&s->watched, alloc);
    dict_init(&s->errors, alloc);
    int failed = pthread_mutex_init(&s->lock, NULL);
    BRISK_ASSERT(failed == 0);
    s->started_ns = brisk_clock_now_ns(s->clock);
    s->ticks_started = ticks_now();
    s->started_wall_ns = brisk_clock_wall_ns(s->clock);
    s->now_ns = s->started_ns;
    s->wall_ns = s->started_wall_ns;
    s->last_save_s = s->started_wall_ns / 1000000000;
    if (opts->password != NULL) {
        (void)snprintf(s->password, sizeof s->password, "%s", opts->password);
    }
    name_run(s);
    brisk_errinfo why = {.code = BRISK_OK};
    brisk_err err = create_tls(s, opts, &why);
    if (err == BRISK_OK) {
        err = create_parts(s, opts, &why);
    }
    if (err == BRISK_OK) {
        err = create_workers(s, opts);
    }
    if (err == BRISK_OK) {
        err = listen_all(s, opts, &why);
    }
    if (err != BRISK_OK) {
        server_destroy(s);
        return brisk_errinfo_set(info, err, "%s",
                                 why.code == err ? why.text : brisk_err_message(err));
    }
    *ret = s;
    return BRISK_OK;
}

brisk_err server_start(server *s, brisk_errinfo *info)
{
    for (uint32_t i = 0; i < s->worker_count; i++) {
        worker *w = &s->workers[i];
        char name[16];
        (void)snprintf(name, sizeof name, "serve-%u", i % WORKERS_MAX);
        brisk_thread_opts opts = {.name = name, .run = run_worker, .ctx = w};
        brisk_err err = brisk_thread_start(&w->thread, &opts);
        if (err != BRISK_OK) {
            return brisk_errinfo_set(info, err, "no thread for a loop: %s", brisk_err_message(err));
        }
        w->started = true;
    }
    return BRISK_OK;
}

static void stop_listening(loop_task *task)
{
    server *s = (server *)((char *)task - offsetof(server, stop_task));
    for (uint32_t i = 0; i < s->listener_count; i++) {
        listener *l = &s->listeners[i];
        if (l->fd >= 0) {
            loop_unwatch(&s->workers[0].loop, l->fd);
            (void)close(l->fd);
            if (l->is_unix) {
                (void)unlink(s->unix_path);
            }
        }
        l->fd = -1;
    }
}

/* Answers that are still to be sent, in all. */
static bool all_sent(const server *s)
{
    return atomic_load_explicit(&s->output_bytes, memory_order_relaxed) == 0;
}

void server_stop(server *s)
{
    atomic_store_explicit(&s->stopping, true, memory_order_relaxed);
    if (s->worker_count > 0 && s->workers[0].started) {
        s->stop_task.run = stop_listening;
        loop_post(&s->workers[0].loop, &s->stop_task);
        for (int ms = 0; ms < DRAIN_MS && !all_sent(s); ms += 10) {
            struct timespec pause = {.tv_nsec = 10000000};
            (void)nanosleep(&pause, NULL);
        }
    }
    for (uint32_t i = 0; i < s->worker_count; i++) {
        worker *w = &s->workers[i];
        if (w->started) {
            loop_stop(&w->loop);
            brisk_thread_join(&w->thread);
            w->started = false;
        }
    }
}

void server_destroy(server *s)
{
    if (s == NULL) {
        return;
    }
    server_stop(s);
    stop_listening(&s->stop_task);
    for (uint32_t i = 0; i < s->worker_count; i++) {
        deinit_worker(&s->workers[i]);
    }
    disk_stop(s->disk);
    if (s->workers != NULL) {
        s->alloc->release(s->alloc->ctx, s->workers, s->worker_count * sizeof *s->workers, 64);
    }
    server_engine_end(s);
    server_metrics_destroy(s->metrics);
    record_destroy(s->recording);
    loads_destroy(s->own);
    config_destroy(s->config);
    latency_destroy(s->latency);
    slowlog_destroy(s->slowlog);
    pubsub_destroy(s->pubsub);
    tracking_destroy(s->tracking);
    command_table_destroy(s->commands);
    wire_tls_context_destroy(s->tls);
    keyspace_close(&s->keys);
    brisk_sizing_destroy(s->sizing); /* after the tier, whose tap it is */
    dict_deinit(&s->errors);
    dict_deinit(&s->watched);
    dict_deinit(&s->clients_by_id);
    (void)pthread_mutex_destroy(&s->lock);
    s->alloc->release(s->alloc->ctx, s, sizeof *s, _Alignof(server));
}

void server_ask_to_stop(server *s)
{
    atomic_store_explicit(&s->stopping, true, memory_order_relaxed);
    if (s->on_stop != NULL) {
        s->on_stop(s->on_stop_ctx);
    }
}
