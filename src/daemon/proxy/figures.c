/*
 * figures.c -- what the proxy counts, in the server's registry: /metrics, /v1/metrics.
 *
 *     serve.proxy.answers{mount, cache}           by what the cache said: hit, stale, uri-miss ...
 *     serve.proxy.time{mount}                     from the question to the head of the upstream's answer
 *     serve.proxy.fetches, .retries, .hedges, .hedges_won{mount}
 *     serve.proxy.failures{mount, reason}         questions that found no answer
 *     serve.proxy.connections{mount, state}       busy and idle ones
 *     serve.proxy.connects, .reuses{mount}        requests by the connection that they took
 *     serve.proxy.upstream.requests, .errors, .ejections, .well{mount, upstream}
 *
 * Each worker counts in its pools, alone; whoever takes a snapshot adds them up.  The histogram is the registry's, and
 * made for a mount's first question.
 *
 * Threads: counting in the worker's; figures_copy in any, while the proxy is there.
 */
#include <stdio.h>
#include <string.h>

#include <brisk/metrics.h>

#include "daemon/metrics.h"
#include "daemon/proxy/transit.h"

enum { MOUNT_TEXT = PROXY_AT_MAX + PROXY_HOST_MAX };

static void mount_text(const proxy_mount *mount, char text[MOUNT_TEXT])
{
    (void)snprintf(text, MOUNT_TEXT, "%s%s", mount->host, mount->at);
}

/* --- counting ------------------------------------------------------------------------------ */

/* Its forward words differ in their first letters. */
static answer_kind kind_of(const transit *t)
{
    const proxy_status *status = &t->status;
    if (!t->mount->cache) {
        return ANSWER_PASS;
    }
    if (status->collapsed) {
        return ANSWER_COLLAPSED;
    }
    if (status->forward == NULL) {
        return ANSWER_HIT;
    }
    switch (status->forward[0]) {
    case 'u': return ANSWER_URI_MISS;
    case 'v': return ANSWER_VARY_MISS;
    case 's': return ANSWER_STALE;
    case 'r': return ANSWER_REQUEST;
    case 'm': return ANSWER_METHOD;
    default: return ANSWER_BYPASS;
    }
}

void figures_answered(transit *t)
{
    proxy_tally *tally = &t->side->pools[t->mount->index]->tally;
    tally_add(&tally->answers[kind_of(t)]);
}

void figures_need_times(proxy_pool *pool, proxy_mount *mount)
{
    char text[MOUNT_TEXT];
    proxy *p = mount->owner;
    brisk_metrics *registry = server_metrics_registry(p->server);
    mount_text(mount, text);
    const brisk_label label = {.name = "mount", .value = text};
    const brisk_metric_desc desc = {
        .name = "serve.proxy.time",
        .help = "From a question to the head of the upstream's answer, by mount",
        .unit = BRISK_UNIT_NS,
        .labels = &label,
        .label_count = 1};
    pool->asked_times = true;
    if (brisk_metrics_histogram(registry, &desc, &pool->times) != BRISK_OK) {
        pool->times = NULL; /* no memory: not measured */
    }
}

/* --- copying ------------------------------------------------------------------------------- */

typedef struct copier {
    brisk_metrics *registry;
    brisk_label labels[2];
} copier;

static brisk_metric_desc desc_of(const copier *c, const char *name, const char *help)
{
    return (brisk_metric_desc){.name = name,
                               .help = help,
                               .labels = c->labels,
                               .label_count = c->labels[1].name != NULL ? 2 : 1};
}

static void put_total(copier *c, const char *name, const char *help, uint64_t value)
{
    brisk_total *total;
    brisk_metric_desc desc = desc_of(c, name, help);
    if (brisk_metrics_total(c->registry, &desc, &total) == BRISK_OK) {
        brisk_total_set(total, value);
    }
}

static void put_gauge(copier *c, const char *name, const char *help, double value)
{
    brisk_gauge *gauge;
    brisk_metric_desc desc = desc_of(c, name, help);
    if (brisk_metrics_gauge(c->registry, &desc, &gauge) == BRISK_OK) {
        brisk_gauge_set(gauge, value);
    }
}

static uint64_t read_of(const _Atomic uint64_t *sum)
{
    return atomic_load_explicit(sum, memory_order_relaxed);
}

typedef struct sums {
    uint64_t fetches;
    uint64_t retries;
    uint64_t hedges;
    uint64_t hedges_won;
    uint64_t connects;
    uint64_t closes;
    uint64_t reuses;
    uint64_t failures[FETCH_ERRORS];
    uint64_t answers[ANSWER_KINDS];
} sums;

static sums add_up(proxy *p, uint32_t mount)
{
    sums all = {0};
    for (uint32_t i = 0; i < WORKERS_MAX; i++) {
        const proxy_side *side = &p->sides[i];
        /* Acquire: see make_side. */
        if (!atomic_load_explicit(&side->ready, memory_order_acquire)) {
            continue;
        }
        const proxy_tally *tally = &side->pools[mount]->tally;
        all.fetches += read_of(&tally->fetches);
        all.retries += read_of(&tally->retries);
        all.hedges += read_of(&tally->hedges);
        all.hedges_won += read_of(&tally->hedges_won);
        all.closes += read_of(&tally->closes);
        all.connects += read_of(&tally->connects);
        all.reuses += read_of(&tally->reuses);
        for (int k = 0; k < FETCH_ERRORS; k++) {
            all.failures[k] += read_of(&tally->failures[k]);
        }
        for (int k = 0; k < ANSWER_KINDS; k++) {
            all.answers[k] += read_of(&tally->answers[k]);
        }
    }
    return all;
}

static void copy_connections(copier *c, const proxy_mount *mount, const sums *all)
{
    static const char name[] = "serve.proxy.connections";
    static const char help[] = "Open connections to upstreams";
    uint64_t open = all->connects > all->closes ? all->connects - all->closes : 0;
    uint64_t busy = 0;
    for (uint32_t i = 0; i < mount->group.count; i++) {
        busy += atomic_load_explicit(&mount->group.items[i].outstanding, memory_order_relaxed);
    }
    busy = busy < open ? busy : open;
    c->labels[1] = (brisk_label){.name = "state", .value = "busy"};
    put_gauge(c, name, help, (double)busy);
    c->labels[1].value = "idle";
    put_gauge(c, name, help, (double)(open - busy));
}

static void copy_kinds(copier *c, const sums *all)
{
    static const char *const answers[ANSWER_KINDS] = {
        [ANSWER_HIT] = "hit",         [ANSWER_COLLAPSED] = "collapsed",
        [ANSWER_STALE] = "stale",     [ANSWER_URI_MISS] = "uri-miss",
        [ANSWER_METHOD] = "method",   [ANSWER_VARY_MISS] = "vary-miss",
        [ANSWER_REQUEST] = "request", [ANSWER_BYPASS] = "bypass",
        [ANSWER_PASS] = "none"};
    static const char *const reasons[FETCH_ERRORS] = {
        [FETCH_NO_REACH] = "unreachable", [FETCH_BROKEN] = "broken",
        [FETCH_GARBAGE] = "garbage",      [FETCH_SLOW] = "slow",
        [FETCH_NO_MEMORY] = "memory",
    };
    c->labels[1].name = "cache";
    for (int i = 0; i < ANSWER_KINDS; i++) {
        c->labels[1].value = answers[i];
        if (all->answers[i] > 0) {
            put_total(c, "serve.proxy.answers", "Answers by what the cache said (RFC 9211)",
                      all->answers[i]);
        }
    }
    c->labels[1].name = "reason";
    for (int i = 0; i < FETCH_ERRORS; i++) {
        c->labels[1].value = reasons[i];
        if (all->failures[i] > 0) {
            put_total(c, "serve.proxy.failures", "Questions that found no answer",
                      all->failures[i]);
        }
    }
}

static void copy_upstreams(copier *c, const proxy_mount *mount, uint64_t now_ns)
{
    for (uint32_t i = 0; i < mount->group.count; i++) {
        const upstream *up = &mount->group.items[i];
        c->labels[1] = (brisk_label){.name = "upstream", .value = up->url};
        put_total(c, "serve.proxy.upstream.requests", "Requests that an upstream got",
                  read_of(&up->requests));
        put_total(c, "serve.proxy.upstream.errors", "... that failed, or were answered 502 to 504",
                  read_of(&up->errors));
        put_total(c, "serve.proxy.upstream.ejections", "Times that it was left alone for a while",
                  read_of(&up->ejected));
        put_gauge(c, "serve.proxy.upstream.well", "1: it gets requests; 0: it is left alone",
                  upstream_is_well(up, now_ns) ? 1 : 0);
    }
}

void proxy_copy_figures(proxy *p)
{
    uint64_t now_ns = brisk_clock_now_ns(p->clock);
    for (uint32_t i = 0; i < p->mounts.count; i++) {
        char text[MOUNT_TEXT];
        const proxy_mount *mount = &p->mounts.items[i];
        sums all = add_up(p, i);
        mount_text(mount, text);
        copier c = {.registry = server_metrics_registry(p->server),
                    .labels = {{.name = "mount", .value = text}}};
        put_total(&c, "serve.proxy.fetches", "Questions to upstreams", all.fetches);
        put_total(&c, "serve.proxy.retries", "Questions that were asked again", all.retries);
        put_total(&c, "serve.proxy.hedges", "Second questions beside a slow first", all.hedges);
        put_total(&c, "serve.proxy.hedges_won", "... that were answered first", all.hedges_won);
        put_total(&c, "serve.proxy.connects", "Connections made to upstreams", all.connects);
        put_total(&c, "serve.proxy.reuses", "Requests on a kept connection", all.reuses);
        copy_connections(&c, mount, &all);
        copy_kinds(&c, &all);
        copy_upstreams(&c, mount, now_ns);
    }
}
