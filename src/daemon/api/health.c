/*
 * health.c -- the checks behind health.h, and their routes.
 */
#include "daemon/api/health.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/api/answer.h"
#include "daemon/api/api.h"
#include "daemon/api/openapi.h"
#include "daemon/server.h"

static const double memory_most = 0.9;
static const double errors_most = 0.05;

const char *health_level_name(health_level level)
{
    static const char *const names[] = {"healthy", "degraded", "unhealthy"};
    return names[level];
}

/* --- checks ------------------------------------------------------------------------------- */

static health_check *add(health *h, const char *name, health_level level, double value,
                         double limit)
{
    BRISK_ASSERT(h->count < HEALTH_CHECKS_MAX);
    health_check *check = &h->checks[h->count++];
    *check = (health_check){.level = level, .value = value, .limit = limit};
    (void)snprintf(check->name, sizeof check->name, "%s", name);
    h->level = level > h->level ? level : h->level;
    return check;
}

static void check_memory(const stats_sample *last, health *h)
{
    double share = last->memory_limit > 0 ? (double)last->resident / (double)last->memory_limit : 0;
    health_check *check = add(h, "memory", share > memory_most ? HEALTH_DEGRADED : HEALTH_HEALTHY,
                              share, memory_most);
    (void)snprintf(check->text, sizeof check->text, "%" PRIu64 " of %" PRIu64 " MiB are used",
                   last->resident >> 20, last->memory_limit >> 20);
}

static void check_tiers(const stats_sample *last, health *h)
{
    for (uint32_t i = 0; i < last->tier_count; i++) {
        const stats_tier *tier = &last->tiers[i];
        char name[24];
        (void)snprintf(name, sizeof name, "tier.%s", tier->name);
        health_check *check =
            add(h, name, tier->down ? HEALTH_DEGRADED : HEALTH_HEALTHY, tier->down ? 1 : 0, 0);
        (void)snprintf(check->text, sizeof check->text, "%s",
                       tier->down ? "it fails, and is left alone for a while" : "it answers");
    }
}

static void check_errors(const stats_sums *window, health *h)
{
    uint64_t all = window->responses + window->jobs;
    uint64_t failed = window->server_errors + window->job_faults;
    double share = all > 0 ? (double)failed / (double)all : 0;
    bool bad = all >= HEALTH_REQUESTS_MIN && share > errors_most;
    health_check *check =
        add(h, "errors", bad ? HEALTH_UNHEALTHY : HEALTH_HEALTHY, share, errors_most);
    (void)snprintf(check->text, sizeof check->text,
                   "%" PRIu64 " of %" PRIu64 " answers and jobs of the last minute failed", failed,
                   all);
}

static void check_queue(const health_figures *f, health *h)
{
    if (f->waiting_max == 0) {
        return;
    }
    bool full = f->waiting >= f->waiting_max;
    health_check *check = add(h, "queue", full ? HEALTH_UNHEALTHY : HEALTH_HEALTHY,
                              (double)f->waiting, (double)f->waiting_max);
    (void)snprintf(check->text, sizeof check->text, "%" PRIu64 " of %" PRIu64 " places are taken",
                   f->waiting, f->waiting_max);
}

void health_judge(const health_figures *f, health *ret)
{
    *ret = (health){.level = HEALTH_HEALTHY};
    if (f->last != NULL) {
        check_memory(f->last, ret);
        check_tiers(f->last, ret);
    }
    check_errors(&f->window, ret);
    check_queue(f, ret);
}

void health_read(server *s, health *ret)
{
    stats_sample last;
    health_figures figures = {.last = stats_last(s->api->stats, &last) ? &last : NULL};
    stats_sum(s->api->stats, HEALTH_WINDOW_S, &figures.window);
    if (s->api->queue_read != NULL) {
        s->api->queue_read(s, &figures.waiting, &figures.waiting_max);
    }
    health_judge(&figures, ret);
}

/* --- routes ------------------------------------------------------------------------------- */

static brisk_err write_health(const health *h, brisk_str *text)
{
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_str(&json, "status", health_level_name(h->level));
    brisk_json_array_begin(&json, "checks");
    for (uint32_t i = 0; i < h->count; i++) {
        const health_check *check = &h->checks[i];
        brisk_json_object_begin(&json, NULL);
        brisk_json_str(&json, "name", check->name);
        brisk_json_str(&json, "status", health_level_name(check->level));
        brisk_json_double(&json, "value", check->value);
        brisk_json_double(&json, "limit", check->limit);
        brisk_json_str(&json, "text", check->text);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

static bool is_exact(exchange *x)
{
    if (x->rest.size != 0) {
        exchange_fail(x, 404, "there is nothing at this path");
    }
    return x->rest.size == 0;
}

static void begin_health(exchange *x)
{
    server *s = x->worker->server;
    health h;
    brisk_str text;
    if (!is_exact(x)) {
        return;
    }
    health_read(s, &h);
    bool well = h.level == HEALTH_HEALTHY ||
                (h.level == HEALTH_DEGRADED &&
                 atomic_load_explicit(&s->api->degraded_is_ok, memory_order_relaxed));
    brisk_str_init(&text, s->alloc, 65536);
    if (write_health(&h, &text) == BRISK_OK) {
        api_answer_status(x, well ? 200 : 503, &text);
    } else {
        exchange_fail(x, 503, "there is no memory to say more");
    }
    brisk_str_deinit(&text);
}

static void answer_word(exchange *x, uint16_t status, const char *word)
{
    static const http_field fields[] = {API_FIELD("content-type", "text/plain; charset=utf-8"),
                                        API_FIELD("cache-control", "no-store")};
    http_answer answer = {
        .status = status,
        .fields = fields,
        .field_count = 2,
        .body = {.kind = HTTP_BODY_BYTES, .data = word, .size = strlen(word)},
        .length = (int64_t)strlen(word),
    };
    exchange_answer(x, &answer);
}

static void begin_ready(exchange *x)
{
    server *s = x->worker->server;
    uint64_t waiting = 0;
    uint64_t waiting_max = 0;
    if (!is_exact(x)) {
        return;
    }
    if (s->api->queue_read != NULL) {
        s->api->queue_read(s, &waiting, &waiting_max);
    }
    if (atomic_load_explicit(&s->stopping, memory_order_relaxed)) {
        answer_word(x, 503, "it ends\n");
    } else if (waiting_max != 0 && waiting >= waiting_max) {
        answer_word(x, 503, "the queue is full\n");
    } else {
        answer_word(x, 200, "ready\n");
    }
}

static void begin_live(exchange *x)
{
    if (is_exact(x)) {
        answer_word(x, 200, "live\n");
    }
}

static const http_route health_route = {
    .name = "api.health", .methods = HTTP_GET, .priority = {.urgency = 1}, .begin = begin_health};
static const http_route ready_route = {
    .name = "api.ready", .methods = HTTP_GET, .priority = {.urgency = 1}, .begin = begin_ready};
static const http_route live_route = {
    .name = "api.live", .methods = HTTP_GET, .priority = {.urgency = 1}, .begin = begin_live};

brisk_err api_health_add_routes(http_routes *routes)
{
    brisk_err err = http_routes_add(routes, "", "/health", &health_route);
    if (err == BRISK_OK) {
        err = http_routes_add(routes, "", "/ready", &ready_route);
    }
    if (err == BRISK_OK) {
        err = http_routes_add(routes, "", "/live", &live_route);
    }
    return err;
}

/* --- what it is --------------------------------------------------------------------------- */

static const api_response health_responses[] = {
    {200, "Healthy (or degraded, with serve.degraded_is_ok)", "application/json",
     API_REF("Health")},
    {503, "Degraded or unhealthy", "application/json", API_REF("Health")},
};
static const api_response ready_responses[] = {
    {200, "Send requests", "text/plain; charset=utf-8", API_TEXT},
    {503, "Do not", "text/plain; charset=utf-8", API_TEXT},
};
static const api_response live_responses[] = {
    {200, "It runs", "text/plain; charset=utf-8", API_TEXT},
};

static const api_operation operations[] = {
    {.method = "get",
     .path = "/health",
     .id = "getHealth",
     .summary = "How the node is, with every check and its figure",
     .responses = API_ROWS(health_responses)},
    {.method = "get",
     .path = "/ready",
     .id = "getReady",
     .summary = "May it be sent requests?",
     .responses = API_ROWS(ready_responses)},
    {.method = "get",
     .path = "/live",
     .id = "getLive",
     .summary = "Does it run?",
     .responses = API_ROWS(live_responses)},
};

#define LEVEL "{\"enum\": [\"healthy\", \"degraded\", \"unhealthy\"]}"

static const api_schema schemas[] = {
    {"Health",
     "{\"type\": \"object\", \"required\": [\"schema\", \"status\", \"checks\"], \"properties\": "
     "{\"schema\": {\"const\": 1}, \"status\": " LEVEL
     ", \"checks\": {\"type\": \"array\", \"items\": {\"type\": \"object\", "
     "\"required\": [\"name\", \"status\", \"value\", \"limit\", \"text\"], \"properties\": {"
     "\"name\": {\"type\": \"string\"}, \"status\": " LEVEL ", \"value\": {\"type\": \"number\"}, "
     "\"limit\": {\"type\": \"number\"}, \"text\": {\"type\": \"string\"}}}}}}"},
};

const api_set api_health_set = {
    .tag = "health",
    .summary = "For whoever sends requests here",
    .operations = API_ROWS(operations),
    .schemas = API_ROWS(schemas),
};
