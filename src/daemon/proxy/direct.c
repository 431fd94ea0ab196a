/*
 * direct.c -- through to the upstream and back, without the cache.
 *
 * What comes is handed on as it comes: each side is read only as fast as the other one takes it.
 */
#include "daemon/proxy/transit.h"

static void direct_head(fetch *f, const fetch_reply *reply)
{
    transit *t = transit_of(f);
    transit_replied(t);
    t->fetching = !reply->whole;
    t->status.forward_status = reply->status;
    if (t->mount->cache && (t->method & (HTTP_GET | HTTP_HEAD | HTTP_OPTIONS)) == 0) {
        purge_after(t, reply);
    }
    cached_take_head(t, reply);
    transit_answer_reply(t, reply);
    transit_let_go(t);
}

void direct_body(transit *t, const void *data, size_t size)
{
    if (t->x != NULL && !t->answered && !compress_write(t, data, size)) {
        fetch_pause(&t->fetch, true);
    }
}

void direct_end(transit *t)
{
    t->fetching = false;
    if (t->x != NULL && !t->answered) {
        t->answered = true;
        compress_finish(t);
    }
    transit_let_go(t);
}

void direct_fail(transit *t, fetch_error why)
{
    t->fetching = false;
    transit_answer_failure(t, why);
    transit_let_go(t);
}

static void on_body(fetch *f, const void *data, size_t size)
{
    direct_body(transit_of(f), data, size);
}

static void on_end(fetch *f)
{
    direct_end(transit_of(f));
}

static void on_fail(fetch *f, fetch_error why)
{
    direct_fail(transit_of(f), why);
}

static void on_writable(fetch *f)
{
    transit *t = transit_of(f);
    if (t->x != NULL && !t->x->body_over && !t->answered) {
        exchange_pause(t->x, false);
    }
}

const fetch_events direct_events = {
    .inform = transit_inform,
    .head = direct_head,
    .body = on_body,
    .end = on_end,
    .fail = on_fail,
    .writable = on_writable,
};

void direct_start(transit *t)
{
    t->whole_wanted = false;
    t->conditional = false;
    if (transit_write_request(t)) {
        transit_fetch(t, &direct_events);
    }
}
