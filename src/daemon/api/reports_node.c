/*
 * reports_node.c -- what the node is, and how each of its loops does: /v1/node.
 *
 * Health is said here with status 200 whatever it is: this is for who looks at the node, /health for who decides
 * whether to send it requests.
 */
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <brisk/json.h>
#include <brisk/sizing.h>
#include <brisk/version.h>

#include "daemon/api/api.h"
#include "daemon/api/health.h"
#include "daemon/api/openapi.h"
#include "daemon/api/reports.h"
#include "daemon/server.h"

static void put_loops(brisk_json *json, server *s, const stats_sample *last)
{
    brisk_json_array_begin(json, "workers");
    for (uint32_t i = 0; i < s->worker_count; i++) {
        brisk_json_object_begin(json, NULL);
        brisk_json_u64(json, "index", i);
        if (last != NULL && i < last->loop_count) {
            brisk_json_double(json, "busy", (double)last->loops[i]);
        } else {
            brisk_json_null(json, "busy");
        }
        brisk_json_u64(json, "connections",
                       atomic_load_explicit(&s->workers[i].conn_count, memory_order_relaxed));
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

static void put_listeners(brisk_json *json, server *s)
{
    brisk_json_array_begin(json, "listeners");
    server_lock(s);
    for (uint32_t i = 0; i < s->listener_count; i++) {
        const listen_socket *socket = &s->listeners[i].socket;
        char text[SOCKET_TEXT_MAX + 32];
        const char *colon = strrchr(socket->text, ':');
        if (socket->is_unix) {
            (void)snprintf(text, sizeof text, "unix:%s", socket->text);
        } else if (colon != NULL) { /* "HOST:0" was given a port */
            (void)snprintf(text, sizeof text, "%.*s:%u", (int)(colon - socket->text), socket->text,
                           socket->port);
        } else {
            (void)snprintf(text, sizeof text, "localhost:%u", socket->port);
        }
        brisk_json_str(json, NULL, text);
    }
    server_unlock(s);
    brisk_json_array_end(json);
}

static void put_health(brisk_json *json, server *s)
{
    health h;
    health_read(s, &h);
    brisk_json_str(json, "health", health_level_name(h.level));
    brisk_json_array_begin(json, "problems");
    for (uint32_t i = 0; i < h.count; i++) {
        if (h.checks[i].level != HEALTH_HEALTHY) {
            brisk_json_str(json, NULL, h.checks[i].text);
        }
    }
    brisk_json_array_end(json);
}

/* May /v1/cache/curve be asked? */
static const char *curve_state(server *s)
{
    if (s->sizing == NULL) {
        return "off";
    }
    brisk_sizing_report now;
    server_lock(s);
    brisk_sizing_read(s->sizing, &now);
    server_unlock(s);
    return now.keys > 0 ? "ready" : "empty";
}

brisk_err report_node(const report_query *q, brisk_str *text, report_result *ret)
{
    (void)ret;
    server *s = q->server;
    char name[HOST_NAME_MAX + 1] = "";
    stats_sample last;
    bool has_last = stats_last(s->api->stats, &last);
    brisk_json json;
    if (gethostname(name, sizeof name - 1) != 0) {
        name[0] = '\0';
    }
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_str(&json, "name", name);
    brisk_json_str(&json, "version", brisk_version());
    brisk_json_u64(&json, "pid", (uint64_t)getpid());
    brisk_json_double(&json, "started_s", (double)(s->started_wall_ns / 1000000) / 1000);
    brisk_json_double(&json, "uptime_s",
                      (double)(brisk_clock_now_ns(s->clock) - s->started_ns) / 1e9);
    brisk_json_str(&json, "curve", curve_state(s));
    put_health(&json, s);
    put_loops(&json, s, has_last ? &last : NULL);
    put_listeners(&json, s);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

/* --- what it is --------------------------------------------------------------------------- */

static const api_response responses[] = {
    {200, "The node, whatever its health", "application/json", API_REF("Node")},
};

static const api_operation operations[] = {
    {.method = "get",
     .path = "/v1/node",
     .right = HTTP_RIGHT_READ,
     .id = "getNode",
     .summary = "What the node is, how it is, and what each of its loops does",
     .responses = API_ROWS(responses)},
};

static const api_schema schemas[] = {
    {"Node",
     "{\"type\": \"object\", \"required\": [\"schema\", \"name\", \"version\", \"pid\", "
     "\"started_s\", \"uptime_s\", \"curve\", \"health\", \"problems\", \"workers\", "
     "\"listeners\"], "
     "\"properties\": {\"schema\": {\"const\": 1}, \"name\": " API_TEXT ", \"version\": " API_TEXT
     ", \"pid\": " API_INTEGER ", \"started_s\": {\"type\": \"number\"}, \"uptime_s\": "
     "{\"type\": \"number\"}, \"curve\": {\"enum\": [\"off\", \"empty\", \"ready\"]}"
     ", \"health\": {\"enum\": [\"healthy\", \"degraded\", \"unhealthy\"]}, "
     "\"problems\": {\"type\": \"array\", \"items\": " API_TEXT
     "}, \"listeners\": {\"type\": \"array\", \"items\": " API_TEXT
     "}, \"workers\": {\"type\": \"array\", \"items\": {\"type\": \"object\", \"required\": "
     "[\"index\", \"busy\", \"connections\"], \"properties\": {\"index\": " API_INTEGER
     ", \"busy\": {\"type\": [\"number\", \"null\"]}, \"connections\": " API_INTEGER "}}}}}"},
};

const api_set api_node_set = {
    .tag = "node",
    .summary = "What the node is",
    .operations = API_ROWS(operations),
    .schemas = API_ROWS(schemas),
};
