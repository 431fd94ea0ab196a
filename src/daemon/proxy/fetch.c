/*
 * fetch.c -- see fetch.h.
 */
#include "daemon/proxy/fetch.h"

#include <string.h>

#include "base/assert.h"
#include "daemon/proxy/link.h"

static uint64_t now_of(const fetch *f)
{
    return f->pool->worker->loop->now_ns;
}

const char *fetch_error_text(fetch_error why)
{
    if (why == 0) {
        return "the upstream did not answer";
    }
    switch (why) {
    case FETCH_NO_REACH: return "the upstream cannot be reached";
    case FETCH_BROKEN: return "the upstream closed before its answer was whole";
    case FETCH_GARBAGE: return "the upstream's answer is no HTTP";
    case FETCH_SLOW: return "the upstream did not answer in time";
    case FETCH_NO_MEMORY:
    case FETCH_ERRORS: break;
    }
    return "out of memory";
}

/* --- budget and hedges --------------------------------------------------------------------- */

static bool pay(proxy_pool *pool)
{
    if (pool->budget < PROXY_COST) {
        return false;
    }
    pool->budget -= PROXY_COST;
    return true;
}

static void leave_hedges(fetch *f)
{
    if (f->hedge_ns == 0) {
        return;
    }
    proxy_pool *pool = f->pool;
    if (f->previous_hedge != NULL) {
        f->previous_hedge->next_hedge = f->next_hedge;
    } else {
        pool->hedge_first = f->next_hedge;
    }
    if (f->next_hedge != NULL) {
        f->next_hedge->previous_hedge = f->previous_hedge;
    } else {
        pool->hedge_last = f->previous_hedge;
    }
    f->next_hedge = NULL;
    f->previous_hedge = NULL;
    f->hedge_ns = 0;
}

static void join_hedges(fetch *f)
{
    const proxy_manners *manners = f->pool->manners;
    uint64_t after = manners->hedge_percent != 0 ? f->pool->quantile_ns : manners->hedge_ns;
    if (after == 0 || !f->request.idempotent || f->request.has_body || f->request.only != NULL) {
        return;
    }
    f->hedge_ns = f->begun_ns + after;
    f->previous_hedge = f->pool->hedge_last;
    f->next_hedge = NULL;
    if (f->pool->hedge_last != NULL) {
        f->pool->hedge_last->next_hedge = f;
    } else {
        f->pool->hedge_first = f;
    }
    f->pool->hedge_last = f;
    proxy_worker_arm(f->pool->worker, f->hedge_ns);
}

/* What heads take, and the percentile of it: a step up for those above it, a smaller one down for those below,
 * in proportion, so that both balance there. */
static void learn_time(fetch *f)
{
    proxy_pool *pool = f->pool;
    uint32_t percent = pool->manners->hedge_percent;
    uint64_t took = now_of(f) - f->begun_ns;
    if (pool->times != NULL) {
        brisk_histogram_record(pool->times, took);
    }
    if (percent == 0) {
        return;
    }
    uint64_t step = pool->quantile_ns / 1000 + 1;
    if (took > pool->quantile_ns) {
        pool->quantile_ns += step * percent / 10;
    } else {
        pool->quantile_ns -= step * (100 - percent) / 10;
    }
    pool->quantile_ns = pool->quantile_ns > 1000000 ? pool->quantile_ns : 1000000;
}

/* --- tries --------------------------------------------------------------------------------- */

static void set_link(fetch *f, proxy_link *l)
{
    f->links[f->links[0] == NULL ? 0 : 1] = l;
}

static void forget_link(fetch *f, const proxy_link *l)
{
    for (int i = 0; i < FETCH_LINKS; i++) {
        if (f->links[i] == l) {
            f->links[i] = NULL;
        }
    }
}

static bool has_link(const fetch *f)
{
    return f->links[0] != NULL || f->links[1] != NULL;
}

static void finish_failed(fetch *f, fetch_error why)
{
    leave_hedges(f);
    tally_add(&f->pool->tally.failures[why]);
    f->events->fail(f, why);
}

/* Begin a try; NULL: no connection could be begun, which counted against its upstream. */
static proxy_link *try_once(fetch *f)
{
    proxy_pool *pool = f->pool;
    uint64_t now = now_of(f);
    upstream *up = f->request.only != NULL ? &pool->group->items[f->request.only->index]
                                           : upstreams_pick(pool->group, f->last,
                                                            proxy_worker_random(pool->worker), now);
    f->tries++;
    proxy_link *l = link_open(pool, up);
    if (l == NULL) {
        f->last = up;
        (void)atomic_fetch_add_explicit(&up->next_address, 1, memory_order_relaxed);
        upstream_failed(pool->group, up, now);
    }
    return l;
}

/* Try until a connection is begun; false: none can be. */
static bool try_some(fetch *f, const proxy_link *inherit)
{
    for (;;) {
        proxy_link *l = try_once(f);
        if (l != NULL) {
            set_link(f, l);
            link_begin(l, f);
            if (inherit != NULL && l->fetch == f) {
                link_inherit(l, inherit);
            }
            return true; /* whatever becomes of it, somebody tells or was told */
        }
        if (f->tries > f->pool->manners->retries || !pay(f->pool)) {
            return false;
        }
        tally_add(&f->pool->tally.retries);
    }
}

void fetch_start(fetch *f, proxy_pool *pool)
{
    f->pool = pool;
    f->begun_ns = now_of(f);
    tally_add(&pool->tally.fetches);
    pool->budget += PROXY_BUDGET_GAIN;
    pool->budget = pool->budget < PROXY_BUDGET ? pool->budget : PROXY_BUDGET;
    join_hedges(f);
    if (!try_some(f, NULL)) {
        finish_failed(f, FETCH_NO_REACH);
    }
}

void fetch_hedge(fetch *f)
{
    leave_hedges(f);
    if (f->answered || f->links[0] == NULL || f->links[1] != NULL || !pay(f->pool)) {
        return;
    }
    f->last = f->links[0]->up; /* somebody else, where there is one */
    proxy_link *l = try_once(f);
    if (l == NULL) {
        return; /* the first one is still at it */
    }
    tally_add(&f->pool->tally.hedges);
    set_link(f, l);
    link_begin(l, f);
}

/* --- the request's body -------------------------------------------------------------------- */

bool fetch_send(fetch *f, const void *data, size_t size)
{
    proxy_link *l = f->links[0];
    if (l == NULL) {
        return true; /* answered already: what is still sent goes nowhere */
    }
    link_send(l, data, size);
    l = f->links[0];
    if (l == NULL) {
        return true;
    }
    f->body_taken = f->body_taken || l->sent_bytes > l->head_bytes;
    f->wants_writable = link_unsent(l) > FETCH_UNSENT_HIGH;
    return !f->wants_writable;
}

void fetch_send_end(fetch *f)
{
    f->body_over = true;
    if (f->links[0] != NULL) {
        link_send_end(f->links[0]);
    }
}

void fetch_pause(fetch *f, bool paused)
{
    f->paused = paused;
    for (int i = 0; i < FETCH_LINKS; i++) {
        if (f->answered && f->links[i] != NULL) {
            link_pause(f->links[i], paused);
        }
    }
}

/* --- the end ------------------------------------------------------------------------------- */

static void drop_links(fetch *f)
{
    for (int i = 0; i < FETCH_LINKS; i++) {
        proxy_link *l = f->links[i];
        f->links[i] = NULL;
        if (l != NULL) {
            upstream_ended(l->up);
            link_drop(l);
        }
    }
}

void fetch_cancel(fetch *f)
{
    if (f->pool != NULL) {
        leave_hedges(f);
        drop_links(f);
    }
}

/* --- what links tell ----------------------------------------------------------------------- */

void fetch_link_informed(fetch *f, uint16_t status, proxy_fields fields)
{
    if (f->events->inform != NULL && !f->answered && f->links[1] == NULL) {
        f->events->inform(f, status, fields);
    }
}

void fetch_link_head(fetch *f, proxy_link *l, const fetch_reply *reply)
{
    if (l != f->links[0] && f->links[0] != NULL) {
        tally_add(&f->pool->tally.hedges_won);
    }
    forget_link(f, l);
    drop_links(f); /* the slower one */
    leave_hedges(f);
    learn_time(f);
    f->answered = true;
    if (reply->status == 502 || reply->status == 503 || reply->status == 504) {
        upstream_failed(f->pool->group, l->up, now_of(f));
    } else {
        upstream_succeeded(l->up);
    }
    if (reply->whole) {
        upstream_ended(l->up);
    } else {
        f->links[0] = l;
        if (f->paused) {
            link_pause(l, true);
        }
    }
    f->events->head(f, reply);
}

void fetch_link_body(fetch *f, const void *data, size_t size)
{
    f->events->body(f, data, size);
}

void fetch_link_end(fetch *f, proxy_link *l)
{
    forget_link(f, l);
    upstream_ended(l->up);
    f->events->end(f);
}

/* May the same be asked again, given how this try ended? */
static bool may_retry(const fetch *f, const proxy_link *l, fetch_error why, bool *for_nothing)
{
    if (f->answered || f->body_taken || f->tries > f->pool->manners->retries ||
        why == FETCH_NO_MEMORY || why == FETCH_GARBAGE) {
        return false;
    }
    /* A kept connection that the other side closed meanwhile is nobody's fault. */
    *for_nothing = l->reused && !l->got_byte && why == FETCH_BROKEN;
    if (l->sent_bytes == 0) {
        return true; /* nobody has seen any of it */
    }
    return f->request.idempotent && !f->request.has_body;
}

void fetch_link_failed(fetch *f, proxy_link *l, fetch_error why)
{
    forget_link(f, l);
    upstream_ended(l->up);
    bool for_nothing = false;
    bool again = may_retry(f, l, why, &for_nothing);
    if (!for_nothing && why != FETCH_NO_MEMORY) {
        upstream_failed(f->pool->group, l->up, now_of(f));
        f->last = l->up;
    }
    if (why == FETCH_NO_REACH) {
        (void)atomic_fetch_add_explicit(&l->up->next_address, 1, memory_order_relaxed);
    }
    link_drop(l);
    if (has_link(f)) {
        if (f->links[0] == NULL) {
            f->links[0] = f->links[1];
            f->links[1] = NULL;
        }
        return; /* its hedge is still on the way */
    }
    if (again && (for_nothing || pay(f->pool))) {
        tally_add(&f->pool->tally.retries);
        if (try_some(f, f->request.has_body ? l : NULL)) {
            return;
        }
    }
    finish_failed(f, why);
}

void fetch_link_sent(fetch *f, proxy_link *l)
{
    if (l->state == LINK_DEAD || f->links[0] != l) {
        return;
    }
    f->body_taken = f->body_taken || (f->request.has_body && l->sent_bytes > 0);
    if (f->wants_writable && link_unsent(l) <= FETCH_UNSENT_HIGH / 2) {
        f->wants_writable = false;
        if (f->events->writable != NULL) {
            f->events->writable(f);
        }
    }
}
