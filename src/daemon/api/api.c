/*
 * api.c -- the parts of the API, joined to the server: see api.h.
 */
#include "daemon/api/api.h"

#include <string.h>

#include <brisk/json.h>

#include "base/str.h"
#include "daemon/api/audit.h"
#include "daemon/api/cache.h"
#include "daemon/api/grades.h"
#include "daemon/api/health.h"
#include "daemon/api/log_lines.h"
#include "daemon/api/openapi.h"
#include "daemon/api/profiles.h"
#include "daemon/api/reports.h"
#include "daemon/http/tokens.h"
#include "daemon/metrics.h"
#include "daemon/server.h"

/* server.http_admit */
static bool admit(exchange *x)
{
    return http_auth_admit(x->worker->server->api->auth, x, conn_peer(x->conn));
}

/* --- once a second ------------------------------------------------------------------------- */

static void publish_sample(api *a)
{
    stats_sample sample;
    if (!events_wanted(a->events, EVENTS_METRICS) || !stats_last(a->stats, &sample)) {
        return;
    }
    brisk_str text;
    brisk_json json;
    brisk_str_init(&text, a->server->alloc, EVENTS_BYTES_MAX);
    brisk_json_init(&json, brisk_str_out(&text), 0);
    brisk_json_object_begin(&json, NULL);
    stats_put(&json, &sample);
    brisk_json_object_begin(&json, "grades");
    brisk_err err = grades_put(&json, a->server);
    brisk_json_object_end(&json);
    brisk_json_object_end(&json);
    if (err == BRISK_OK && brisk_json_finish(&json) == BRISK_OK) {
        (void)events_publish(a->events, EVENTS_METRICS, brisk_str_text(&text),
                             brisk_str_size(&text));
    }
    brisk_str_deinit(&text);
}

/* In the background's thread. */
static void second(void *ctx)
{
    api *a = ctx;
    if (stats_take(a->stats)) {
        publish_sample(a);
    }
    if (a->budget_watch != NULL) {
        (void)!brisk_budget_watch_tick(a->budget_watch); /* without memory: again in a second */
    }
    log_lines_tick(a->log);
    profiles_tick(a->profiles);
    events_tick(a->events);
    pressure_tidy(&a->server->pressure);
}

/* --- alerts ------------------------------------------------------------------------------- */

static void on_alert(void *ctx, const brisk_event *event)
{
    api *a = ctx;
    brisk_str text;
    brisk_json json;
    brisk_str_init(&text, a->server->alloc, EVENTS_BYTES_MAX);
    brisk_json_init(&json, brisk_str_out(&text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "name", event->name);
    brisk_json_str(&json, "state", event->state);
    brisk_json_str(&json, "severity", brisk_severity_name(event->severity));
    brisk_json_double(&json, "value", event->value);
    brisk_json_double(&json, "limit", event->limit);
    brisk_json_str(&json, "text", event->text);
    brisk_json_double(&json, "time_s", (double)(event->wall_ns / 1000000) / 1000);
    brisk_json_object_end(&json);
    if (brisk_json_finish(&json) == BRISK_OK) {
        (void)events_publish(a->events, EVENTS_ALERTS, brisk_str_text(&text),
                             brisk_str_size(&text));
        report_keep_alert(a, brisk_str_text(&text), brisk_str_size(&text));
    }
    report_store_alert(a, event);
    brisk_str_deinit(&text);
}

static brisk_err create_budgets(server *s, api *a, const char *file, brisk_errinfo *info)
{
    const brisk_alloc *alloc = library_alloc(s->alloc);
    uint64_t id;
    if (file == NULL || file[0] == '\0') {
        return BRISK_OK;
    }
    brisk_err err = brisk_budgets_load(file, alloc, &a->budgets, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = brisk_events_create(alloc, &a->alerts);
    if (err == BRISK_OK) {
        brisk_subscription wanted = {.types = BRISK_EVENT_MASK(BRISK_EVENT_ALERT) |
                                              BRISK_EVENT_MASK(BRISK_EVENT_DEGRADATION),
                                     .callback = on_alert,
                                     .ctx = a};
        err = brisk_events_subscribe(a->alerts, &wanted, &id);
    }
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s: %s", file, brisk_err_message(err));
    }
    brisk_budget_watch_opts opts = {.budgets = a->budgets,
                                    .metrics = server_metrics_registry(s),
                                    .events = a->alerts,
                                    .alloc = alloc};
    return brisk_budget_watch_create(&opts, &a->budget_watch, info);
}

/* --- life --------------------------------------------------------------------------------- */

static brisk_err create_audit(server *s, api *a, const api_opts *opts)
{
    char path[TOKEN_PATH_MAX] = "";
    const char *token = http_auth_token_file(a->auth);
    const char *slash = strrchr(token, '/');
    bool made = opts->token_file == NULL || opts->token_file[0] == '\0';
    if (opts->audit_file != NULL && opts->audit_file[0] != '\0') {
        (void)snprintf(path, sizeof path, "%s", opts->audit_file);
    } else if (made && slash != NULL) {
        (void)snprintf(path, sizeof path, "%.*s/audit.jsonl", (int)(slash - token), token);
    }
    return audit_create(s->alloc, path, &a->audit);
}

static brisk_err create_all(server *s, api *a, const api_opts *opts, brisk_errinfo *info)
{
    http_auth_opts auth = {.token_file = opts->token_file,
                           .hosts = opts->hosts,
                           .certificates = opts->certificates,
                           .local_needs_token = opts->local_needs_token,
                           .alloc = s->alloc};
    brisk_err err = http_auth_create(&auth, &a->auth, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = http_observe_create(s->alloc, server_metrics_registry(s), s->worker_count, &a->observer);
    if (err == BRISK_OK) {
        err = events_create(s->alloc, &a->events);
    }
    if (err == BRISK_OK) {
        err = log_lines_create(s->alloc, a->events, &a->log);
    }
    if (err == BRISK_OK) {
        err = stats_create(s, &opts->stats, &a->stats);
    }
    if (err == BRISK_OK) {
        err = reports_create(s->alloc, &a->reports);
    }
    if (err == BRISK_OK) {
        err = create_audit(s, a, opts);
    }
    if (err == BRISK_OK) {
        err = profiles_create(s->alloc, opts->profiler_fd, &a->profiles);
    }
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
    }
    return create_budgets(s, a, opts->budgets_file, info);
}

brisk_err api_create(server *s, const api_opts *opts, brisk_errinfo *info)
{
    api *a = s->alloc->acquire(s->alloc->ctx, sizeof *a, _Alignof(api));
    if (a == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    *a = (api){.server = s, .degraded_is_ok = opts->degraded_is_ok};
    s->api = a;
    brisk_err err = create_all(s, a, opts, info);
    if (err == BRISK_OK) {
        s->http_admit = admit;
    }
    return err; /* what there is goes with the server */
}

brisk_err api_start(server *s)
{
    (void)stats_take(s->api->stats); /* what the first second is compared with */
    background_opts opts = {.second = second, .ctx = s->api, .alloc = s->alloc};
    background *b;
    brisk_err err = background_start(&opts, &b);
    if (err == BRISK_OK) {
        /* Release: a worker that finds it finds it whole. */
        atomic_store_explicit(&s->api->background, b, memory_order_release);
    }
    return err;
}

void api_stop(server *s)
{
    if (s->api == NULL) {
        return;
    }
    background *b = atomic_exchange_explicit(&s->api->background, NULL, memory_order_acq_rel);
    if (b != NULL) {
        background_stop(b);
        stats_finish(s->api->stats);
    }
}

void api_destroy(server *s)
{
    api *a = s->api;
    if (a == NULL) {
        return;
    }
    api_stop(s);
    brisk_budget_watch_destroy(a->budget_watch);
    brisk_budgets_destroy(a->budgets);
    brisk_events_destroy(a->alerts);
    report_forget_alerts(a);
    profiles_destroy(a->profiles);
    audit_destroy(a->audit);
    report_routes_destroy(a->reports);
    stats_destroy(a->stats);
    log_lines_destroy(a->log);
    events_destroy(a->events);
    http_observe_destroy(a->observer);
    http_auth_destroy(a->auth);
    s->api = NULL;
    s->alloc->release(s->alloc->ctx, a, sizeof *a, _Alignof(api));
}

brisk_err api_add_routes(server *s)
{
    brisk_err err = api_openapi_add_routes(s->http_routes);
    if (err == BRISK_OK) {
        err = api_events_add_routes(s->http_routes, s->api->events);
    }
    if (err == BRISK_OK) {
        err = api_cache_add_routes(s->http_routes);
    }
    if (err == BRISK_OK) {
        err = api_health_add_routes(s->http_routes);
    }
    if (err == BRISK_OK) {
        err = report_routes_add(s->api->reports, s->http_routes);
    }
    return err;
}

/* --- ticks -------------------------------------------------------------------------------- */

static observe_protocol protocol_of(const conn *c)
{
    static const struct {
        const char *name;
        observe_protocol protocol;
    } rows[] = {
        {"resp", OBSERVE_RESP},
        {"http1", OBSERVE_H1},
        {"http2", OBSERVE_H2},
        {"websocket", OBSERVE_WEBSOCKET},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(c->protocol->name, rows[i].name) == 0) {
            return rows[i].protocol;
        }
    }
    return OBSERVE_UNKNOWN;
}

void api_tick_worker(worker *w)
{
    uint64_t counts[OBSERVE_PROTOCOLS] = {0};
    const protocol *last = NULL;
    observe_protocol kind = OBSERVE_UNKNOWN;
    for (const conn *c = w->conns; c != NULL; c = c->next) {
        if (c->protocol != last) { /* names are compared once for a run of the same */
            last = c->protocol;
            kind = protocol_of(c);
        }
        counts[kind]++;
    }
    http_observe_connections(w->server->api->observer, w->index, counts);
}
