/*
 * reload.c -- which settings may change while the node runs, and how.
 *
 * A row for each; a setting of the node without one is in force with the next process (SIGUSR2), which
 * is said.  Settings of others (log.level, thresholds of grades) have a `changed` of their own.
 */
#include "daemon/reload.h"

#include <stdatomic.h>
#include <string.h>

#include <brisk/engine.h>

#include "daemon/api/api.h"
#include "daemon/http/auth.h"

typedef struct row {
    const char *knob;
    void (*apply)(server *s, uint64_t value); /* under the server's lock */
} row;

static void apply_clients(server *s, uint64_t value)
{
    s->limits.clients_max = (uint32_t)value;
}

static void apply_idle(server *s, uint64_t value)
{
    s->limits.idle_ns = value;
}

static void apply_input(server *s, uint64_t value)
{
    s->limits.input_max = value;
}

static void apply_output(server *s, uint64_t value)
{
    s->limits.output_high = value;
}

static void apply_spin(server *s, uint64_t value)
{
    for (uint32_t i = 0; i < s->worker_count; i++) {
        atomic_store_explicit(&s->workers[i].loop.spin_ns, value * 1000, memory_order_relaxed);
    }
}

static const row rows[] = {
    {"serve.clients_max", apply_clients}, {"serve.idle_timeout", apply_idle},
    {"serve.input_max", apply_input},     {"serve.output_high", apply_output},
    {"serve.spin_us", apply_spin},
};

typedef struct reload {
    server *server;
    brisk_knobs *knobs;
    FILE *err;
    bool partly;
} reload;

static void take(void *ctx, const brisk_knob *knob)
{
    reload *r = ctx;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(knob->name, rows[i].knob) == 0) {
            server_lock(r->server);
            rows[i].apply(r->server, brisk_knobs_u64(r->knobs, knob->name));
            server_unlock(r->server);
            return;
        }
    }
    if (strncmp(knob->name, "serve.", 6) == 0) {
        (void)fprintf(r->err, "brisk: %s has changed, for the next process (SIGUSR2)\n",
                      knob->name);
        r->partly = true;
    }
}

reload_result reload_node(server *s, brisk_engine *engine, FILE *err)
{
    brisk_errinfo info = {.text = ""};
    reload r = {.server = s, .knobs = brisk_engine_knobs(engine), .err = err};
    (void)pthread_mutex_lock(&s->reload_lock);
    bool good = brisk_engine_reload(engine, take, &r, &info) == BRISK_OK;
    if (!good) {
        (void)fprintf(err, "brisk: settings stay as they were: %s\n", info.text);
    }
    if (s->api != NULL && http_auth_reload(s->api->auth, &info) != BRISK_OK) {
        (void)fprintf(err, "brisk: tokens stay as they were: %s\n", info.text);
        good = false;
    }
    if (server_reload_tls(s, &info) != BRISK_OK) {
        (void)fprintf(err, "brisk: the certificate stays as it was: %s\n", info.text);
        good = false;
    }
    if (good) {
        (void)fputs("brisk: settings are read again\n", err);
    }
    (void)pthread_mutex_unlock(&s->reload_lock);
    (void)fflush(err);
    return !good ? RELOAD_REFUSED : r.partly ? RELOAD_PARTLY : RELOAD_DONE;
}
