/*
 * traces.c -- the list of traces, one of them, and Chrome's form of it: see traces.h.
 *
 * An exchange's spans follow from its marks (exchange.h), which are as fine as the rounds of its worker:
 *
 *     request                    from its head to the end of its answer
 *       body                     until the request's body was there, when there was one
 *       handler                  from then to the beginning of the answer
 *         upstream | background  within that: others were asked, until they began to answer
 *       send                     from the beginning of the answer to its end
 */
#include "daemon/api/traces.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/json.h>

#include "daemon/api/api.h"
#include "daemon/api/jobs.h"
#include "daemon/api/reports.h"
#include "daemon/server.h"

enum { LIMIT_DEFAULT = 200, LIMIT_MAX = 2000, SPANS_OF_EXCHANGE = 5 };

/* --- exchanges ---------------------------------------------------------------------------- */

static void describe(const observe_slow *s, trace_head *ret)
{
    *ret = (trace_head){.parent = s->parent,
                        .wall_ns = s->begun_wall_ns,
                        .duration_ns = s->duration_ns,
                        .bytes_in = s->bytes_in,
                        .bytes_out = s->bytes_out};
    (void)snprintf(ret->id, sizeof ret->id, "%" PRIu64, s->id);
    (void)snprintf(ret->name, sizeof ret->name, "%s %s", s->method, s->path);
    (void)snprintf(ret->route, sizeof ret->route, "%s", s->route);
    if (s->status != 0) {
        (void)snprintf(ret->outcome, sizeof ret->outcome, "%u", s->status);
    } else {
        (void)snprintf(ret->outcome, sizeof ret->outcome, "none");
    }
}

static void add_span(trace *t, const char *name, uint32_t parent, uint64_t from_ns, uint64_t to_ns)
{
    trace_span *s = &t->spans[t->count++];
    *s = (trace_span){.id = t->count,
                      .parent = parent,
                      .thread = t->spans[0].thread,
                      .start_ns = from_ns,
                      .duration_ns = to_ns > from_ns ? to_ns - from_ns : 0};
    (void)snprintf(s->name, sizeof s->name, "%s", name);
}

static void add_phases(trace *t, const observe_slow *s)
{
    static const uint64_t never = UINT64_MAX;
    const uint64_t *at = s->marks_ns;
    uint64_t end = s->duration_ns;
    uint64_t began =
        s->bytes_in > 0 && at[EXCHANGE_BODY_OVER] != never ? at[EXCHANGE_BODY_OVER] : 0;
    uint64_t answered = at[EXCHANGE_ANSWERED] != never ? at[EXCHANGE_ANSWERED] : end;
    began = began < answered ? began : answered; /* answered before all of it was there */
    t->spans[0].thread = s->worker + 1;
    add_span(t, "request", 0, 0, end);
    if (s->bytes_in > 0) {
        add_span(t, "body", 1, 0, began);
    }
    add_span(t, "handler", 1, began, answered);
    if (at[EXCHANGE_ASKED] != never) {
        bool proxied = strncmp(s->route, "proxy", 5) == 0;
        uint64_t replied = at[EXCHANGE_REPLIED] != never ? at[EXCHANGE_REPLIED] : answered;
        add_span(t, proxied ? "upstream" : "background", t->count, at[EXCHANGE_ASKED], replied);
    }
    add_span(t, "send", 1, answered, end);
}

/* All that are known; *ret_count of them.  NULL: no memory. */
static observe_slow *read_exchanges(server *s, uint32_t *ret_room, uint32_t *ret_count)
{
    uint32_t room = OBSERVE_KEPT * s->worker_count;
    observe_slow *all =
        s->alloc->acquire(s->alloc->ctx, room * sizeof *all, _Alignof(observe_slow));
    *ret_room = room;
    *ret_count = all != NULL ? http_observe_slow(s->api->observer, all, room) : 0;
    return all;
}

static brisk_err find_exchange(server *s, const char *id, trace *ret)
{
    uint32_t room;
    uint32_t count;
    uint64_t number = strtoull(id, NULL, 10);
    observe_slow *all = read_exchanges(s, &room, &count);
    brisk_err err = all != NULL ? BRISK_ERR_NOT_FOUND : BRISK_ERR_NOMEM;
    for (uint32_t i = 0; i < count && err == BRISK_ERR_NOT_FOUND; i++) {
        if (all[i].id != number) {
            continue;
        }
        describe(&all[i], &ret->head);
        ret->spans = ret->alloc->acquire(ret->alloc->ctx, SPANS_OF_EXCHANGE * sizeof(trace_span),
                                         _Alignof(trace_span));
        err = ret->spans != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
        if (err == BRISK_OK) {
            ret->room = SPANS_OF_EXCHANGE;
            add_phases(ret, &all[i]);
        }
    }
    if (all != NULL) {
        s->alloc->release(s->alloc->ctx, all, room * sizeof *all, _Alignof(observe_slow));
    }
    return err;
}

/* --- the list ----------------------------------------------------------------------------- */

static bool is_wanted(const void *ctx, const trace_head *head)
{
    const report_query *q = ctx;
    bool kind = q->kind[0] == '\0' || strcmp(q->kind, head->is_job ? "job" : "exchange") == 0;
    return kind && head->duration_ns >= q->min_ns && head->wall_ns > q->since_ns &&
           (q->until_ns == 0 || head->wall_ns <= q->until_ns) &&
           (q->name[0] == '\0' || strstr(head->name, q->name) != NULL);
}

static int slower_first(const void *a, const void *b)
{
    uint64_t x = ((const trace_head *)a)->duration_ns;
    uint64_t y = ((const trace_head *)b)->duration_ns;
    return (x < y) - (x > y);
}

static void put_head(brisk_json *json, server *s, const trace_head *h)
{
    char span[SPAN_ID_SIZE + 1];
    brisk_json_str(json, "id", h->id); /* an exchange's has 64 bits: no number of JavaScript's */
    brisk_json_str(json, "kind", h->is_job ? "job" : "exchange");
    brisk_json_str(json, "name", h->name);
    brisk_json_str(json, "route", h->route);
    brisk_json_str(json, "outcome", h->outcome);
    brisk_json_double(json, "time_s", (double)(h->wall_ns / 1000000) / 1000);
    brisk_json_u64(json, "duration_ns", h->duration_ns);
    brisk_json_u64(json, "bytes_in", h->bytes_in);
    brisk_json_u64(json, "bytes_out", h->bytes_out);
    if (h->parent.trace[0] == '\0') {
        brisk_json_null(json, "trace_id");
        brisk_json_null(json, "parent_id");
        brisk_json_null(json, "span_id");
        return;
    }
    brisk_json_str(json, "trace_id", h->parent.trace);
    brisk_json_str(json, "parent_id", h->parent.span);
    if (h->is_job) {
        brisk_json_null(json, "span_id");
    } else {
        traceparent_span(http_observe_span(s->api->observer, strtoull(h->id, NULL, 10)), span);
        brisk_json_str(json, "span_id", span);
    }
}

static brisk_err write_list(const report_query *q, brisk_str *text, trace_head *heads,
                            uint32_t room)
{
    server *s = q->server;
    uint32_t all_room;
    uint32_t all_count;
    uint32_t count = 0;
    observe_slow *all = read_exchanges(s, &all_room, &all_count);
    if (all == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < all_count && count < room; i++) {
        describe(&all[i], &heads[count]);
        count += is_wanted(q, &heads[count]) ? 1 : 0;
    }
    s->alloc->release(s->alloc->ctx, all, all_room * sizeof *all, _Alignof(observe_slow));
    if (s->jobs != NULL) {
        count += jobs_traces(s->jobs, is_wanted, q, heads + count, room - count);
    }
    qsort(heads, count, sizeof *heads, slower_first);
    uint64_t limit = q->limit != 0 ? q->limit : LIMIT_DEFAULT;
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_array_begin(&json, "traces");
    for (uint32_t i = 0; i < count && i < limit; i++) {
        brisk_json_object_begin(&json, NULL);
        put_head(&json, s, &heads[i]);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

/* --- one ---------------------------------------------------------------------------------- */

static brisk_err write_spans(server *s, const trace *t, brisk_str *text)
{
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    put_head(&json, s, &t->head);
    brisk_json_array_begin(&json, "spans");
    for (uint32_t i = 0; i < t->count; i++) {
        const trace_span *span = &t->spans[i];
        brisk_json_object_begin(&json, NULL);
        brisk_json_u64(&json, "id", span->id);
        brisk_json_u64(&json, "parent", span->parent);
        brisk_json_str(&json, "name", span->name);
        brisk_json_u64(&json, "start_ns", span->start_ns);
        brisk_json_u64(&json, "duration_ns", span->duration_ns);
        brisk_json_u64(&json, "thread", span->thread);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

/* Whole events ("ph": "X") in microseconds since 1970, so that several files fit beside each other. */
static brisk_err write_chrome(const trace *t, brisk_str *text)
{
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "displayTimeUnit", "ms");
    brisk_json_array_begin(&json, "traceEvents");
    for (uint32_t i = 0; i < t->count; i++) {
        const trace_span *span = &t->spans[i];
        brisk_json_object_begin(&json, NULL);
        brisk_json_str(&json, "name", i == 0 ? t->head.name : span->name);
        brisk_json_str(&json, "cat", t->head.is_job ? "job" : "exchange");
        brisk_json_str(&json, "ph", "X");
        brisk_json_double(&json, "ts", (double)(t->head.wall_ns + span->start_ns) / 1e3);
        brisk_json_double(&json, "dur", (double)span->duration_ns / 1e3);
        brisk_json_u64(&json, "pid", 1);
        brisk_json_u64(&json, "tid", span->thread);
        brisk_json_object_begin(&json, "args");
        brisk_json_u64(&json, "id", span->id);
        brisk_json_u64(&json, "parent", span->parent);
        brisk_json_object_end(&json);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

static brisk_err write_one(const report_query *q, brisk_str *text, report_result *ret)
{
    server *s = q->server;
    trace t = {.alloc = s->alloc};
    bool number = strspn(q->rest, "0123456789") == strlen(q->rest);
    brisk_err err = BRISK_ERR_NOT_FOUND;
    if (number) {
        err = find_exchange(s, q->rest, &t);
    } else if (s->jobs != NULL) {
        err = jobs_trace(s->jobs, q->rest, &t);
    }
    if (err == BRISK_OK) {
        bool chrome = strcmp(q->format, "chrome") == 0;
        err = chrome ? write_chrome(&t, text) : write_spans(s, &t, text);
    } else if (err == BRISK_ERR_NOT_FOUND) {
        err = brisk_errinfo_set(&ret->info, err,
                                "there is no such trace: exchanges that were not slow are not "
                                "kept, nor are jobs that are not over");
    }
    if (t.spans != NULL) {
        s->alloc->release(s->alloc->ctx, t.spans, t.room * sizeof *t.spans, _Alignof(trace_span));
    }
    return err;
}

brisk_err report_traces(const report_query *q, brisk_str *text, report_result *ret)
{
    const brisk_alloc *alloc = q->server->alloc;
    if (q->format[0] != '\0' && strcmp(q->format, "chrome") != 0 &&
        strcmp(q->format, "json") != 0) {
        return brisk_errinfo_set(&ret->info, BRISK_ERR_INVALID, "formats are json and chrome");
    }
    if (q->kind[0] != '\0' && strcmp(q->kind, "job") != 0 && strcmp(q->kind, "exchange") != 0) {
        return brisk_errinfo_set(&ret->info, BRISK_ERR_INVALID, "kinds are exchange and job");
    }
    if (q->rest[0] != '\0') {
        return write_one(q, text, ret);
    }
    uint32_t room = OBSERVE_KEPT * q->server->worker_count + LIMIT_MAX;
    trace_head *heads = alloc->acquire(alloc->ctx, room * sizeof *heads, _Alignof(trace_head));
    if (heads == NULL) {
        return BRISK_ERR_NOMEM;
    }
    brisk_err err = write_list(q, text, heads, room);
    alloc->release(alloc->ctx, heads, room * sizeof *heads, _Alignof(trace_head));
    return err;
}
