/*
 * http_health.c -- is a host worth asking, how often may it be asked twice, how fast is the way to it.
 *
 *                      break_after failures, each begun after the one before
 *       WELL ──────────────────────────────────────────────────────────► LEFT ALONE ◄──┐
 *        ▲                                                     break_ns,      │        │ no answer
 *        │                                                     doubled        ▼        │
 *        └───────────────────────── an answer of any status ────────────── TRIED ──────┘
 *                                                                     one at a time
 *
 * A connection that breaks takes all its streams along: that is one failure, not a hundred.  So
 * only an attempt counts that began after the last one that counted had failed.
 *
 * The budget is the host's own: one that fails all the time must not take the others' repetitions.
 * Each request brings retry_percent / 100 of a repetition; hedges are paid from it, too, so that a
 * host that is slow for everybody gets a fifth more and not twice as much.
 *
 * Round-trip times are the kernel's (TCP_INFO, no probe traffic), read 10 times a second at most.
 *
 * Threads: the client's only.
 * Source: M. Nygard, "Release It!", 2007 (circuit breaker).
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <brisk/clock.h>

#include "io/http_internal.h"

enum { RESERVE = 5 }; /* hundreds of requests */

static const uint64_t alone_max_ns = UINT64_C(30000000000);
static const uint64_t window_ns = 100 * 1000000;

/* --- repetitions ---------------------------------------------------------------------------- */

void http_budget_earn(const brisk_http_client *client, http_host *host)
{
    uint32_t percent = client->settings.o.retry_percent;
    uint32_t most = percent * RESERVE * 100;
    host->retry_budget += percent;
    host->retry_budget = host->retry_budget < most ? host->retry_budget : most;
}

bool http_budget_spend(http_host *host)
{
    if (host->retry_budget < 100) {
        return false;
    }
    host->retry_budget -= 100;
    return true;
}

/* --- the breaker ---------------------------------------------------------------------------- */

bool http_host_is_alone(const http_host *host, uint64_t now_ns)
{
    return host->alone_for_ns != 0 && now_ns < host->alone_till_ns;
}

brisk_http_health http_host_health(const http_host *host, uint64_t now_ns)
{
    return host->alone_for_ns == 0            ? BRISK_HTTP_WELL
           : http_host_is_alone(host, now_ns) ? BRISK_HTTP_LEFT_ALONE
                                              : BRISK_HTTP_TRIED;
}

void http_host_well(http_host *host)
{
    host->failures = 0;
    host->alone_for_ns = 0;
}

void http_host_failed(const brisk_http_client *client, http_host *host, uint64_t begun_ns,
                      const char *why)
{
    const brisk_http_client_opts *o = &client->settings.o;
    uint64_t now = brisk_clock_now_ns(NULL);
    if (begun_ns < host->failed_ns || o->break_after == BRISK_HTTP_NONE) {
        return;
    }
    host->failed_ns = now;
    host->failure = why;
    host->failures += host->failures < UINT32_MAX;
    if (host->alone_for_ns == 0 && host->failures < o->break_after) {
        return;
    }
    uint64_t twice = host->alone_for_ns < alone_max_ns / 2 ? host->alone_for_ns * 2 : alone_max_ns;
    host->alone_for_ns = host->alone_for_ns != 0 ? twice : o->break_ns;
    host->alone_till_ns = now + host->alone_for_ns;
    host->counts.broken++;
}

void http_host_give_up(brisk_http_client *client, http_host *host)
{
    char why[BRISK_HTTP_WHY_MAX];
    (void)snprintf(why, sizeof why, "left alone for a while (%u times: %s)", host->failures,
                   host->failure);
    for (int i = 0; i < HTTP_PRIORITIES; i++) {
        while (host->waiting[i].first != NULL) {
            client->stats.left_alone++;
            http_fail(client, host->waiting[i].first, BRISK_ERR_IO, why);
        }
    }
}

/* --- how fast ------------------------------------------------------------------------------- */

void http_meter_begin(http_meter *meter, uint64_t now_ns)
{
    meter->begun_ns = now_ns;
    meter->bytes = 0;
}

void http_meter_roll(http_meter *meter, uint64_t now_ns)
{
    uint64_t elapsed = now_ns - meter->begun_ns;
    if (elapsed < window_ns && meter->rate != 0) {
        return;
    }
    if (meter->bytes > 0 && elapsed > 0) {
        uint64_t rate = meter->bytes * 1000000 / (elapsed / 1000 + 1);
        meter->rate = meter->rate == 0 ? rate : meter->rate - meter->rate / 4 + rate / 4;
    }
    if (elapsed >= window_ns) {
        http_meter_begin(meter, now_ns);
    }
}

void http_host_read_rtt(brisk_http_client *client, http_host *host, CURL *easy, uint64_t now_ns)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    struct tcp_info tcp;
    socklen_t size = sizeof tcp;
    if (host->rtt_read_ns != 0 && now_ns - host->rtt_read_ns < window_ns) {
        return;
    }
    host->rtt_read_ns = now_ns;
    if (client->so->curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK &&
        fd != CURL_SOCKET_BAD && getsockopt(fd, IPPROTO_TCP, TCP_INFO, &tcp, &size) == 0) {
        host->counts.rtt_ns = (uint64_t)tcp.tcpi_rtt * 1000;
    }
}
