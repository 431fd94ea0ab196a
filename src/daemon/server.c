/*
 * server.c -- workers, the lock, ticks, the end.
 *
 * Ten times a second worker 0 tends the memory tier, sizes it and counts; every worker looks for idle connections once a second.
 */
#include "daemon/server.h"

#include <sched.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/assert.h"
#include "daemon/api/api.h"
#include "daemon/api/sse.h"
#include "daemon/config.h"
#include "daemon/dashboard.h"
#include "daemon/disk.h"
#include "daemon/drain.h"
#include "daemon/encode/encode.h"
#include "daemon/engine.h"
#include "daemon/introspect.h"
#include "daemon/loads.h"
#include "daemon/metrics.h"
#include "daemon/proxy/proxy.h"
#include "daemon/pubsub.h"
#include "daemon/record.h"
#include "daemon/ticks.h"
#include "daemon/tracking.h"

enum {
    TICKS_A_SECOND = 10,
    TEND_NS = 5000000,
    DRAIN_MS = 2000,
    WALL_KEPT_NS = 10000000, /* so long the wall's clock is taken to go as the monotonic one */
};

/* --- the lock ----------------------------------------------------------------------------- */

void server_lock(server *s)
{
    server_lock_at(s, brisk_clock_now_ns(s->clock));
}

void server_lock_at(server *s, uint64_t now_ns)
{
    (void)pthread_mutex_lock(&s->lock);
    s->now_ns = now_ns > s->now_ns ? now_ns : s->now_ns;
    if (s->now_ns - s->wall_read_at_ns >= WALL_KEPT_NS) {
        s->wall_read_ns = brisk_clock_wall_ns(s->clock);
        s->wall_read_at_ns = s->now_ns;
    }
    s->wall_ns = s->wall_read_ns + (s->now_ns - s->wall_read_at_ns);
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
    conn_relieve(w);
    conn_bury(w);
    w->now_ns = brisk_clock_now_ns(w->server->clock);
    w->clock_ns = 0; /* a wait may follow */
}

uint64_t worker_clock(worker *w)
{
    if (w->clock_ns == 0) {
        w->clock_ns = brisk_clock_now_ns(w->server->clock);
    }
    return w->clock_ns;
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
        pressure_tick(s);
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
    drain_tick(w);
    sse_tick(w, brisk_clock_now_ns(s->clock),
             atomic_load_explicit(&s->stopping, memory_order_relaxed));
    jobs_tick(s->jobs, w);
    uint32_t ticks = atomic_load_explicit(&w->ticks, memory_order_relaxed) + 1;
    atomic_store_explicit(&w->ticks, ticks, memory_order_relaxed);
    if (ticks % TICKS_A_SECOND == 0) {
        uint64_t now_ns = brisk_clock_now_ns(s->clock);
        conn_close_lingering(w, now_ns);
        part_pool_tidy(&w->part_pool, w->server->alloc);
        conn_tick(w, now_ns);
        api_tick_worker(w);
        if (s->limits.idle_ns != 0) {
            conn_close_idle(w, now_ns, s->limits.idle_ns);
        }
    }
}

static void run_worker(void *ctx)
{
    worker *w = ctx;
    clockid_t clock;
    if (pthread_getcpuclockid(pthread_self(), &clock) == 0) {
        atomic_store_explicit(&w->cpu_clock, clock, memory_order_relaxed); /* it says all itself */
    }
    loop_run(&w->loop);
}

static brisk_err init_worker(server *s, uint32_t index, uint64_t spin_ns)
{
    worker *w = &s->workers[index];
    *w = (worker){.server = s, .index = index, .now_ns = brisk_clock_now_ns(s->clock)};
    accepting_init(&w->accepting);
    loop_hooks hooks = {.round = round_done, .tick = tick, .ctx = w};
    brisk_err err = loop_init(&w->loop, &hooks, s->clock);
    if (err != BRISK_OK) {
        return err;
    }
    atomic_store_explicit(&w->loop.spin_ns, spin_ns, memory_order_relaxed);
    resp_writer_init(&w->out, s->alloc, s->limits.output_max);
    w->part_pool.held = &s->held;
    w->in = s->alloc->acquire(s->alloc->ctx, WORKER_IN_BYTES, 64);
    w->plain = s->alloc->acquire(s->alloc->ctx, WORKER_IN_BYTES, 64);
    if (w->in == NULL || w->plain == NULL) {
        return BRISK_ERR_NOMEM;
    }
    return http_worker_create(w, &w->http);
}

static void deinit_worker(worker *w)
{
    server *s = w->server;
    while (w->conns != NULL) {
        conn_kill(w->conns);
    }
    conn_bury(w);
    if (w->loop.epoll_fd >= 0) {
        loop_drain(&w->loop); /* posted after it had stopped: its memory is to be given back */
    }
    http_worker_destroy(w->http);
    part_pool_deinit(&w->part_pool, s->alloc);
    resp_writer_deinit(&w->out);
    if (w->in != NULL) {
        s->alloc->release(s->alloc->ctx, w->in, WORKER_IN_BYTES, 64);
    }
    if (w->plain != NULL) {
        s->alloc->release(s->alloc->ctx, w->plain, WORKER_IN_BYTES, 64);
    }
    accepting_deinit(&w->accepting);
    loop_deinit(&w->loop);
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

/* Which handler answers which path: each owner adds its own, the first wins among equals. */
static brisk_err create_routes(server *s, const server_opts *opts, brisk_errinfo *info)
{
    encode_opts encoding = {.server = s,
                            .alloc = s->alloc,
                            .variants_bytes = opts->files.variants_bytes,
                            .dictionary_bytes = opts->files.dictionary_bytes,
                            .dictionary_folder = opts->files.dictionary_folder,
                            .off = opts->files.encode_off};
    brisk_err err = http_routes_create(s->alloc, &s->http_routes);
    if (err == BRISK_OK) {
        err = encode_create(&encoding, &s->encode);
    }
    if (err == BRISK_OK) {
        err = files_create(s, &opts->files, &s->files, info);
    }
    return err;
}

static brisk_err create_api(server *s, const server_opts *opts, brisk_errinfo *info)
{
    api_opts how = {.token_file = opts->token_file,
                    .hosts = opts->hosts,
                    .local_needs_token = opts->local_needs_token,
                    .audit_file = opts->audit_file,
                    .budgets_file = opts->budgets_file,
                    .stats = opts->stats,
                    .degraded_is_ok = opts->degraded_is_ok,
                    .profiler_fd = opts->profiler_fd,
                    .certificates = opts->tls_ca != NULL && opts->tls_ca[0] != '\0'};
    brisk_err err = api_create(s, &how, info);
    if (err == BRISK_OK) {
        err = api_add_routes(s);
    }
    if (err == BRISK_OK) {
        err = jobs_create(s, &opts->jobs, &s->jobs, info);
    }
    if (err == BRISK_OK) {
        s->api->queue_read = jobs_queue_level;
        err = jobs_add_routes(s->jobs, s->http_routes);
    }
    return err == BRISK_OK ? dashboard_add_routes(s->http_routes) : err;
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
    if (err == BRISK_OK) {
        err = create_routes(s, opts, info);
    }
    return err;
}

static brisk_err create_proxy(server *s, const server_opts *opts, brisk_errinfo *info)
{
    brisk_err err = proxy_create(s, opts->proxy, &s->proxy, info);
    return err == BRISK_OK && s->proxy != NULL ? proxy_add_routes(s->proxy, s->http_routes, info)
                                               : err;
}

static const char *text_or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static brisk_err create_tls(server *s, const server_opts *opts, brisk_errinfo *info)
{
    s->tls_opts = (wire_tls_opts){.server = true,
                                  .ca_file = text_or_null(opts->tls_ca),
                                  .cert_file = text_or_null(opts->tls_cert),
                                  .key_file = text_or_null(opts->tls_key),
                                  .alpn = "h2,http/1.1",
                                  .tickets = true,
                                  .alloc = s->alloc};
    return s->tls_opts.cert_file != NULL ? wire_tls_context_create(&s->tls_opts, &s->tls, info)
                                         : BRISK_OK;
}

brisk_err server_reload_tls(server *s, brisk_errinfo *info)
{
    wire_tls_context *fresh = NULL;
    if (s->tls_opts.cert_file == NULL) {
        return BRISK_OK;
    }
    brisk_err err = wire_tls_context_create(&s->tls_opts, &fresh, info);
    if (err == BRISK_OK) {
        (void)pthread_mutex_lock(&s->tls_lock);
        wire_tls_context *before = s->tls;
        s->tls = fresh;
        (void)pthread_mutex_unlock(&s->tls_lock);
        wire_tls_context_destroy(before); /* streams that have it keep it */
    }
    return err;
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
        s->workers[i].accepting.spare_fd = -1;
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

brisk_err server_create(const server_opts *opts, server **ret, brisk_errinfo *info)
{
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    server *s = alloc->acquire(alloc->ctx, sizeof *s, _Alignof(server));
    if (s == NULL) {
        sockets_close(opts->sockets, false);
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    memset(s, 0, sizeof *s);
    s->alloc = alloc;
    s->clock = opts->clock != NULL ? opts->clock : brisk_clock_system();
    s->limits = opts->limits;
    pressure_bound(&s->limits, opts->memory_limit);
    s->bandwidth = opts->bandwidth;
    s->unprotected = opts->unprotected;
    s->http_priorities = opts->priorities;
    s->track_use = opts->track_use;
    s->pid = getpid();
    s->next_client_id = 1;
    s->ns_per_tick = 0.5;
    s->maxmemory = opts->memory_bytes;
    pressure_open(&s->pressure, opts->memory_limit);
    dict_init(&s->clients_by_id, alloc);
    dict_init(&s->watched, alloc);
    dict_init(&s->errors, alloc);
    addresses_init(&s->addresses, alloc);
    held_init(&s->held, &s->output_bytes, alloc);
    int failed = pthread_mutex_init(&s->lock, NULL) | pthread_mutex_init(&s->tls_lock, NULL) |
                 pthread_mutex_init(&s->reload_lock, NULL);
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
    if (err == BRISK_OK) { /* before the dashboard, which takes "/" when nobody has it */
        err = create_proxy(s, opts, &why);
    }
    if (err == BRISK_OK) {
        err = create_api(s, opts, &why);
    }
    if (err == BRISK_OK) {
        err = listen_start(s, opts->sockets, &why);
    }
    if (err != BRISK_OK) {
        sockets_close(opts->sockets, false); /* when they are not yet the server's */
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
    brisk_err err = s->api != NULL ? api_start(s) : BRISK_OK;
    return err == BRISK_OK ? err : brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
}

/* Nobody accepts any more, and there are no answers that are still to be sent. */
static bool all_sent(const server *s)
{
    return atomic_load_explicit(&s->output_bytes, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&s->listening, memory_order_relaxed) == 0;
}

void server_stop(server *s)
{
    atomic_store_explicit(&s->stopping, true, memory_order_relaxed);
    jobs_stop(s->jobs); /* while loops can still answer those who wait for one */
    if (s->worker_count > 0 && s->workers[0].started) {
        listen_stop(s);
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
    encode_wait(s->encode); /* what is still at work comes home before the loops go */
    files_wait(s->files);
    listen_stop(s);
    proxy_settle(s->proxy);
    api_stop(s);
    for (uint32_t i = 0; i < s->worker_count; i++) {
        deinit_worker(&s->workers[i]);
    }
    jobs_destroy(s->jobs); /* calls of exchanges that are gone now, jobs of the engine */
    encode_destroy(s->encode);
    files_destroy(s->files);
    disk_stop(s->disk);
    if (s->workers != NULL) {
        s->alloc->release(s->alloc->ctx, s->workers, s->worker_count * sizeof *s->workers, 64);
    }
    proxy_destroy(s->proxy);
    server_engine_end(s);
    http_routes_destroy(s->http_routes);
    api_destroy(s);
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
    pressure_close(&s->pressure);
    held_deinit(&s->held);
    addresses_deinit(&s->addresses);
    dict_deinit(&s->errors);
    dict_deinit(&s->watched);
    dict_deinit(&s->clients_by_id);
    (void)pthread_mutex_destroy(&s->tls_lock);
    (void)pthread_mutex_destroy(&s->reload_lock);
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
