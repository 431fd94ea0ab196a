/*
 * report.c -- the way of a report, see report.h.
 *
 *     owner of a ticket:  its exchange ── gone, not done ──► the background, which is about to post `done`
 *                         freed in `gone` when done, else in `done`
 */
#include "daemon/api/report.h"

#include <string.h>

#include "daemon/api/answer.h"
#include "daemon/api/api.h"
#include "daemon/api/background.h"
#include "daemon/server.h"

typedef struct ticket {
    background_work work; /* first */
    exchange *x;          /* NULL: it is gone */
    const report *report;
    report_query query;
    report_result result;
    brisk_err err;
    brisk_str text;
    brisk_str body;
    bool is_given;
    bool is_done;
} ticket;

struct report_routes {
    const brisk_alloc *alloc;
    const report *reports;
    uint32_t count;
    http_route routes[];
};

/* --- ways --------------------------------------------------------------------------------- */

static void free_ticket(ticket *t)
{
    const brisk_alloc *alloc = t->query.server->alloc;
    brisk_str_deinit(&t->text);
    brisk_str_deinit(&t->body);
    alloc->release(alloc->ctx, t, sizeof *t, _Alignof(ticket));
}

static void run(background_work *work)
{
    ticket *t = (ticket *)work;
    t->err = t->report->write(&t->query, &t->text, &t->result);
}

static void fail(ticket *t)
{
    static const struct {
        brisk_err err;
        uint16_t status;
        const char *code;
    } rows[] = {
        {BRISK_ERR_NOT_FOUND, 404, "not_found"}, {BRISK_ERR_INVALID, 400, "invalid"},
        {BRISK_ERR_CONFLICT, 409, "conflict"},   {BRISK_ERR_UNSUPPORTED, 501, "unsupported"},
        {BRISK_ERR_NOMEM, 503, "no_memory"},
    };
    const char *text =
        t->result.info.text[0] != '\0' ? t->result.info.text : brisk_err_message(t->err);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].err == t->err) {
            api_fail(t->x, rows[i].status, rows[i].code, "%s", text);
            return;
        }
    }
    api_fail(t->x, 500, "failed", "%s", text);
}

static void answer(ticket *t)
{
    if (t->err == BRISK_OK) {
        t->err = brisk_str_err(&t->text);
    }
    if (t->err != BRISK_OK) {
        fail(t);
        return;
    }
    const char *type = t->result.content_type != NULL ? t->result.content_type : "application/json";
    http_field fields[] = {
        {HTTP_TEXT("content-type"), {type, strlen(type)}},
        {HTTP_TEXT("cache-control"), HTTP_TEXT("no-store")},
        {HTTP_TEXT("x-content-type-options"), HTTP_TEXT("nosniff")},
    };
    http_answer a = {.status = t->result.status != 0 ? t->result.status : 200,
                     .fields = fields,
                     .field_count = 3,
                     .body = {.kind = HTTP_BODY_BYTES,
                              .data = brisk_str_text(&t->text),
                              .size = brisk_str_size(&t->text)},
                     .length = (int64_t)brisk_str_size(&t->text)};
    exchange_answer(t->x, &a);
}

static void done(loop_task *task)
{
    ticket *t = (ticket *)task;
    t->is_done = true;
    if (t->x == NULL) {
        free_ticket(t);
    } else {
        exchange_note(t->x, EXCHANGE_REPLIED);
        answer(t);
    }
}

static void gone(exchange *x)
{
    ticket *t = x->handler;
    if (t == NULL) {
        return;
    }
    x->handler = NULL;
    t->x = NULL;
    if (t->is_done || !t->is_given) {
        free_ticket(t);
    }
}

/* --- the query ---------------------------------------------------------------------------- */

static bool read_query(exchange *x, report_query *q)
{
    uint64_t since = 0;
    uint64_t until = 0;
    uint64_t min = 0;
    const http_text *accept = exchange_field(x, "accept");
    if (accept != NULL && accept->size < sizeof q->accept) {
        memcpy(q->accept, accept->data, accept->size);
    }
    if (x->rest.size >= sizeof q->rest || memchr(x->rest.data, '\0', x->rest.size) != NULL) {
        api_fail(x, 404, "not_found", "there is nothing at this path");
        return false;
    }
    memcpy(q->rest, x->rest.data, x->rest.size);
    if (!api_query_text(x, "name", q->name, sizeof q->name) ||
        !api_query_text(x, "metric", q->metric, sizeof q->metric) ||
        !api_query_text(x, "state", q->state, sizeof q->state) ||
        !api_query_text(x, "format", q->format, sizeof q->format) ||
        !api_query_text(x, "kind", q->kind, sizeof q->kind) ||
        !api_query_text(x, "against", q->against, sizeof q->against) ||
        !api_query_u64(x, "since", 0, UINT32_MAX, &since) ||
        !api_query_u64(x, "until", 0, UINT32_MAX, &until) ||
        !api_query_u64(x, "min_ms", 0, UINT32_MAX, &min) ||
        !api_query_u64(x, "limit", 1, REPORT_LIMIT_MAX, &q->limit) ||
        !api_query_u64(x, "step", 1, 86400, &q->step_s) ||
        !api_query_u64(x, "target", 1, 99, &q->target)) {
        return false;
    }
    q->since_ns = since * UINT64_C(1000000000);
    q->min_ns = min * UINT64_C(1000000);
    q->until_ns = until * UINT64_C(1000000000);
    return true;
}

/* Who asks, and from where, for the audit log. */
static void note_who(exchange *x, report_query *q)
{
    http_identity id;
    int fd = x->conn != NULL ? x->conn->fd : -1;
    http_auth_identify(q->server->api->auth, x, http_peer_of(fd), &id);
    memcpy(q->who, id.who, sizeof q->who);
    http_peer_text(fd, q->from, sizeof q->from);
}

static void give(ticket *t)
{
    t->query.body = brisk_str_text(&t->body);
    t->query.body_size = brisk_str_size(&t->body);
    background *b = atomic_load_explicit(&t->query.server->api->background, memory_order_acquire);
    exchange_note(t->x, EXCHANGE_ASKED); /* before it may be done */
    t->is_given = b != NULL && background_give(b, &t->work);
    if (!t->is_given) {
        api_fail(t->x, 503, "busy", "too much is asked for at once");
    }
}

static void take_body(exchange *x, const void *data, size_t size)
{
    ticket *t = x->handler;
    if (t != NULL) {
        brisk_str_append(&t->body, data, size);
    }
}

static void end(exchange *x)
{
    ticket *t = x->handler;
    if (t == NULL || t->is_given || x->method == HTTP_GET || x->method == HTTP_HEAD) {
        return;
    }
    if (brisk_str_err(&t->body) != BRISK_OK) {
        api_fail_err(x, brisk_str_err(&t->body), "the request");
    } else {
        give(t);
    }
}

static void begin(exchange *x)
{
    server *s = x->worker->server;
    const report *r = x->route->ctx;
    x->handler = NULL;
    if (x->rest.size != 0 && !r->has_rest) {
        api_fail(x, 404, "not_found", "there is nothing at this path");
        return;
    }
    ticket *t = s->alloc->acquire(s->alloc->ctx, sizeof *t, _Alignof(ticket));
    if (t == NULL) {
        api_fail_err(x, BRISK_ERR_NOMEM, "the report");
        return;
    }
    memset(t, 0, sizeof *t);
    t->work = (background_work){.done = {.run = done}, .run = run, .home = &x->worker->loop};
    t->x = x;
    t->report = r;
    t->query.server = s;
    brisk_str_init(&t->text, s->alloc, API_TEXT_BYTES_MAX);
    brisk_str_init(&t->body, s->alloc, REPORT_BODY_MAX);
    if (!read_query(x, &t->query)) {
        free_ticket(t);
        return;
    }
    t->query.method = x->method;
    x->handler = t;
    if (x->method == HTTP_GET || x->method == HTTP_HEAD) {
        give(t);
    } else {
        note_who(x, &t->query); /* and the body is waited for */
    }
}

/* --- routes ------------------------------------------------------------------------------- */

static size_t bytes_of(uint32_t count)
{
    return sizeof(report_routes) + count * sizeof(http_route);
}

brisk_err report_routes_create(const report *reports, uint32_t count, const brisk_alloc *alloc,
                               report_routes **ret)
{
    report_routes *all = alloc->acquire(alloc->ctx, bytes_of(count), _Alignof(report_routes));
    if (all == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(all, 0, bytes_of(count));
    *all = (report_routes){.alloc = alloc, .reports = reports, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        all->routes[i] = (http_route){
            .name = reports[i].name,
            .methods = HTTP_GET | reports[i].changes,
            .right = reports[i].right,
            .right_change = HTTP_RIGHT_CHANGE,
            .priority = {.urgency = 4},
            .body_max = reports[i].changes != 0 ? REPORT_BODY_MAX : 0,
            .begin = begin,
            .body = take_body,
            .end = end,
            .gone = gone,
            .ctx = (void *)(uintptr_t)&reports[i], /* only read */
        };
    }
    *ret = all;
    return BRISK_OK;
}

void report_routes_destroy(report_routes *routes)
{
    if (routes != NULL) {
        routes->alloc->release(routes->alloc->ctx, routes, bytes_of(routes->count),
                               _Alignof(report_routes));
    }
}

brisk_err report_routes_add(const report_routes *routes, http_routes *to)
{
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < routes->count && err == BRISK_OK; i++) {
        err = http_routes_add(to, "", routes->reports[i].path, &routes->routes[i]);
    }
    return err;
}
