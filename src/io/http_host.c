/*
 * http_host.c -- how much a host gets at once, and what waits for it.
 *
 * The window of a host is found as TCP finds its own: it doubles with each round of answers until
 * the host pushes back, then it is halved and grows by one with each round.
 *
 * A host that is asked too much at once need not say so: it queues, or thrashes.  When the average
 * latency is twice the best one (and 5 ms more, below which nobody cares), the window shrinks by an
 * eighth, and two rounds later the answers a second are compared.  If they have become fewer, latency
 * was not the fault of the window: it is as before, and shrinking is not tried for HELD rounds.  So a
 * host that is slow now and then loses little, and one beyond its knee comes back to it.
 *
 *     limit           answered, window used, slow start   +1
 *                     likewise, after                     +1/limit
 *                     429, 503, connection lost           /2    at most once in a latency
 *                     latency > 2 * best + 5 ms           *7/8  and back if the rate falls
 *
 *     HTTP/2, a second connection         *0.75, and no more than that again
 *
 * The best latency is forgotten slowly (1/4096 with each round), since routes and hosts change.
 *
 * Source: D.-M. Chiu and R. Jain, "Analysis of the increase and decrease algorithms for congestion
 * avoidance in computer networks", 1989 (additive increase, multiplicative decrease); L. Brakmo and
 * L. Peterson, "TCP Vegas", 1995 (latency above the best as a sign of queues).
 */
#include <string.h>

#include "base/assert.h"
#include "io/http_internal.h"

enum { STREAMS_LEAST = 32, HELD = 16, SETTLING = 1 };

static const uint64_t latency_slack_ns = 5000000;
static const uint64_t round_least_ns = 5000000;
static const uint64_t decrease_every_ns = 10000000; /* at least */

static uint32_t waiting_of(const http_host *host)
{
    uint32_t count = 0;
    for (int i = 0; i < HTTP_PRIORITIES; i++) {
        count += host->waiting[i].count;
    }
    return count;
}

/* Forget one that nobody asks, when there are many: redirections may lead anywhere. */
static void forget_one(brisk_http_client *client)
{
    uint32_t count = 0;
    http_host **oldest = NULL;
    for (http_host **link = &client->hosts; *link != NULL; link = &(*link)->next) {
        oldest = (*link)->calls == 0 ? link : oldest; /* the last one is the oldest */
        count++;
    }
    if (count < HTTP_HOSTS_KEPT || oldest == NULL) {
        return;
    }
    http_host *host = *oldest;
    (void)pthread_mutex_lock(&client->lock);
    *oldest = host->next;
    (void)pthread_mutex_unlock(&client->lock);
    client->stats.hosts--;
    client->alloc->release(client->alloc->ctx, host, sizeof *host, _Alignof(http_host));
}

brisk_err http_host_find(brisk_http_client *client, const char *origin, http_host **ret)
{
    for (http_host *host = client->hosts; host != NULL; host = host->next) {
        if (strcmp(host->origin, origin) == 0) {
            *ret = host;
            return BRISK_OK;
        }
    }
    const brisk_alloc *alloc = client->alloc;
    const brisk_http_client_opts *o = &client->settings.o;
    http_host *host = alloc->acquire(alloc->ctx, sizeof *host, _Alignof(http_host));
    if (host == NULL) {
        return BRISK_ERR_NOMEM;
    }
    bool tls = strncmp(origin, "https:", 6) == 0;
    bool plain = o->http1 || !tls; /* libcurl 7.88 cannot keep HTTP/2 connections without TLS */
    *host = (http_host){.limit = o->host_start,
                        .limit_max = o->in_flight_max,
                        .retry_budget = o->retry_percent * 100,
                        .slow_start = true,
                        .version = plain ? 11 : 0};
    (void)snprintf(host->origin, sizeof host->origin, "%s", origin);
    forget_one(client);
    (void)pthread_mutex_lock(&client->lock);
    host->next = client->hosts;
    client->hosts = host;
    (void)pthread_mutex_unlock(&client->lock);
    client->stats.hosts++;
    *ret = host;
    return BRISK_OK;
}

void http_host_set(http_call *call, http_host *host)
{
    if (call->host != NULL) {
        BRISK_ASSERT(call->host->calls > 0);
        call->host->calls--;
    }
    call->host = host;
    if (host != NULL) {
        host->calls++;
    }
}

void http_hosts_destroy(brisk_http_client *client)
{
    for (http_host *host = client->hosts; host != NULL;) {
        http_host *next = host->next;
        BRISK_ASSERT(host->calls == 0 && host->in_flight == 0);
        client->alloc->release(client->alloc->ctx, host, sizeof *host, _Alignof(http_host));
        host = next;
    }
    client->hosts = NULL;
}

static uint32_t limit_of(const brisk_http_client *client, const http_host *host)
{
    const brisk_http_client_opts *o = &client->settings.o;
    uint32_t limit = host->limit < 1.0 ? 1 : (uint32_t)host->limit;
    uint32_t most =
        host->version != 0 && host->version < 20 ? o->connections_max : o->in_flight_max;
    return limit < most ? limit : most;
}

uint32_t http_host_room(const brisk_http_client *client, const http_host *host, uint64_t now_ns)
{
    uint32_t limit = host->alone_for_ns != 0 ? 1 : limit_of(client, host);
    return now_ns < host->paused_until_ns || host->in_flight >= limit ? 0 : limit - host->in_flight;
}

http_call *http_host_next(http_host *host, brisk_http_priority class)
{
    http_call *call = host->waiting[class].first;
    if (call != NULL) {
        http_list_remove(call);
    }
    return call;
}

static bool may_decrease(http_host *host, uint64_t now_ns)
{
    uint64_t wait = host->latency_ns > decrease_every_ns ? host->latency_ns : decrease_every_ns;
    if (host->decreased_ns != 0 && now_ns - host->decreased_ns < wait) {
        return false;
    }
    host->decreased_ns = now_ns;
    return true;
}

static bool is_crowded(const http_host *host)
{
    return host->latency_ns > host->latency_min_ns * 2 + latency_slack_ns;
}

/* A round is over in which the window was used: was it right to shrink, and is there reason to? */
static void judge_round(const brisk_http_client *client, http_host *host, double rate)
{
    double least = client->settings.o.host_min;
    host->counts.rate = rate;
    if (host->settling > 0) {
        host->settling--;
        return;
    }
    if (host->rate_before > 0) {
        if (rate < host->rate_before * 0.95) {
            host->limit = host->limit_before;
            host->held = HELD;
        }
        host->rate_before = 0;
    }
    if (host->held > 0) {
        host->held--;
    } else if (is_crowded(host) && host->limit > least) {
        host->rate_before = rate;
        host->limit_before = host->limit;
        host->settling = SETTLING;
        host->slow_start = false;
        host->limit = host->limit * 7 / 8 > least ? host->limit * 7 / 8 : least;
    }
}

static void count_answer(const brisk_http_client *client, http_host *host, uint64_t now_ns)
{
    uint32_t limit = limit_of(client, host);
    host->round_used = host->round_used && host->in_flight * 4 >= limit * 3;
    if (++host->round_answers < limit || now_ns - host->round_begun_ns < round_least_ns) {
        return;
    }
    double rate = host->round_answers * 1e9 / (double)(now_ns - host->round_begun_ns);
    host->latency_min_ns += host->latency_min_ns / 4096;
    if (host->round_used) {
        judge_round(client, host, rate);
    } else {
        host->rate_before = 0;
    }
    host->round_begun_ns = now_ns;
    host->round_answers = 0;
    host->round_used = true;
}

void http_host_answered(const brisk_http_client *client, http_host *host, uint64_t latency_ns,
                        uint64_t now_ns)
{
    double most = host->limit_max;
    host->latency_ns = host->latency_ns == 0
                           ? latency_ns
                           : host->latency_ns - host->latency_ns / 8 + latency_ns / 8;
    host->latency_min_ns = host->latency_min_ns == 0 || latency_ns < host->latency_min_ns
                               ? latency_ns
                               : host->latency_min_ns;
    if (client->settings.o.host_fixed) {
        return;
    }
    count_answer(client, host, now_ns);
    if (!is_crowded(host) && host->rate_before <= 0 && host->limit < most &&
        host->in_flight * 4 >= limit_of(client, host) * 3) {
        host->limit += host->slow_start ? 1.0 : 1.0 / (host->limit < 1.0 ? 1.0 : host->limit);
        host->limit = host->limit < most ? host->limit : most;
    }
}

void http_host_pushed_back(const brisk_http_client *client, http_host *host, uint64_t pause_ns,
                           uint64_t now_ns)
{
    host->slow_start = false;
    if (!client->settings.o.host_fixed && may_decrease(host, now_ns)) {
        double limit = limit_of(client, host);
        host->limit = limit > 2.0 ? limit / 2 : 1.0;
    }
    if (pause_ns > 0 && now_ns + pause_ns > host->paused_until_ns) {
        host->paused_until_ns = now_ns + pause_ns;
    }
}

/*
 * libcurl opens another connection when a server allows fewer streams on the one there is than we
 * want.  It does not say how many that are: the window shrinks until one will do.  The first connection
 * after nothing was under way takes the place of one that was closed for being idle, and says nothing.
 */
void http_host_connected(http_host *host, bool fresh)
{
    if (fresh && host->connected && host->version == 20 && host->in_flight > STREAMS_LEAST) {
        host->slow_start = false;
        host->limit = host->limit * 0.75 > STREAMS_LEAST ? host->limit * 0.75 : STREAMS_LEAST;
        host->limit_max = host->limit;
    }
    host->connected = true;
}

void http_host_publish(brisk_http_client *client, uint64_t now_ns)
{
    for (http_host *host = client->hosts; host != NULL; host = host->next) {
        brisk_http_host_stats *s = &host->published;
        http_meter_roll(&host->meter, now_ns);
        *s = host->counts;
        s->limit = limit_of(client, host);
        s->in_flight = host->in_flight;
        s->waiting = waiting_of(host);
        s->http_version = host->version;
        s->latency_min_ns = host->latency_min_ns;
        s->latency_ns = host->latency_ns;
        s->paused_ns = host->paused_until_ns > now_ns ? host->paused_until_ns - now_ns : 0;
        s->health = http_host_health(host, now_ns);
        s->failures = host->failures;
        s->alone_ns = s->health == BRISK_HTTP_LEFT_ALONE ? host->alone_till_ns - now_ns : 0;
        s->retry_budget = host->retry_budget / 100;
        s->bytes_per_second = host->meter.rate;
    }
}
