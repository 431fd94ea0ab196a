/*
 * api.c -- the parts of the API, joined to the server: see api.h.
 */
#include "daemon/api/api.h"

#include <string.h>

#include "daemon/api/cache.h"
#include "daemon/api/openapi.h"
#include "daemon/metrics.h"
#include "daemon/server.h"

/* server.http_admit */
static bool admit(exchange *x)
{
    return http_auth_admit(x->worker->server->api->auth, x, http_peer_of(x->conn->fd));
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
    return err == BRISK_OK ? err : brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
}

brisk_err api_create(server *s, const api_opts *opts, brisk_errinfo *info)
{
    api *a = s->alloc->acquire(s->alloc->ctx, sizeof *a, _Alignof(api));
    if (a == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    *a = (api){.server = s};
    s->api = a;
    brisk_err err = create_all(s, a, opts, info);
    if (err == BRISK_OK) {
        s->http_admit = admit;
    }
    return err; /* what there is goes with the server */
}

void api_destroy(server *s)
{
    api *a = s->api;
    if (a == NULL) {
        return;
    }
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

void api_tick(server *s)
{
    events_tick(s->api->events);
}
