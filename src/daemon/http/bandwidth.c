/*
 * bandwidth.c -- tcp_info becomes an estimate, the estimate a class.
 *
 * The estimate follows a rate that was not limited by us by half of the difference, in powers of two:
 * whether it rises or falls, and by how much, three looks later it is within an eighth of that.  One
 * that rests on bounds only gives way to the first that is none.
 */
#include "daemon/http/bandwidth.h"

#include <linux/tcp.h>
#include <math.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "daemon/http/exchange.h"
#include "daemon/server.h"

enum {
    LOOK_EVERY_NS = 250000000,
    LOOK_AFTER_BYTES = 16384, /* less says more of the round trip than of the rate */
    QUEUE_FACTOR = 2, /* a round trip that is so many times the least one: something queues */
};

#define LOCAL_BPS UINT64_C(100000000000)

/* --- classes ---------------------------------------------------------------------------------- */

/* Limits move away from the class one is in by a quarter up, a fifth down. */
static bandwidth_level level_of(uint64_t bps, bandwidth_level now, const bandwidth_limits *limits)
{
    uint64_t medium = limits->medium_bps;
    uint64_t low = limits->low_bps;
    medium = now == BANDWIDTH_HIGH ? medium - medium / 5 : medium + medium / 4;
    low = now == BANDWIDTH_LOW ? low + low / 4 : low - low / 5;
    return bps < low ? BANDWIDTH_LOW : bps < medium ? BANDWIDTH_MEDIUM : BANDWIDTH_HIGH;
}

void bandwidth_take(bandwidth *band, const bandwidth_limits *limits, const bandwidth_sample *sample)
{
    if (sample->min_rtt_us > 0 && (band->rtt_us == 0 || sample->min_rtt_us < band->rtt_us)) {
        band->rtt_us = sample->min_rtt_us;
    }
    uint64_t rate = sample->bytes_per_second;
    if (rate == 0) {
        return;
    }
    rate = rate < LOCAL_BPS / 8 ? rate * 8 : LOCAL_BPS;
    bool queued = sample->rtt_us >= QUEUE_FACTOR * (uint64_t)band->rtt_us;
    bool bound = sample->app_limited || (sample->slow_start && !queued);
    if (bound && rate <= (band->bps != 0 ? band->bps : limits->medium_bps)) {
        return;
    }
    if (!band->sure) {
        /* The first one: no class to stay in. */
        band->bps = rate;
        band->sure = !bound;
        band->level = (uint8_t)(rate < limits->low_bps      ? BANDWIDTH_LOW
                                : rate < limits->medium_bps ? BANDWIDTH_MEDIUM
                                                            : BANDWIDTH_HIGH);
        return;
    }
    band->bps = (uint64_t)(sqrt((double)band->bps * (double)rate) + 0.5);
    band->level = (uint8_t)level_of(band->bps, (bandwidth_level)band->level, limits);
}

static bool is_word(const http_text *text, const char *word)
{
    return text != NULL && text->size == strlen(word) &&
           strncasecmp(text->data, word, text->size) == 0;
}

uint64_t bandwidth_bound(uint64_t bps, bandwidth_level level, const bandwidth_limits *limits)
{
    uint64_t most = level == BANDWIDTH_LOW      ? limits->low_bps
                    : level == BANDWIDTH_MEDIUM ? limits->medium_bps
                                                : UINT64_MAX;
    return bps > most || (bps == 0 && level != BANDWIDTH_HIGH) ? most : bps;
}

bandwidth_level bandwidth_hint(bandwidth_level level, const http_text *save_data,
                               const http_text *ect)
{
    if (is_word(save_data, "on") || is_word(ect, "slow-2g") || is_word(ect, "2g")) {
        return BANDWIDTH_LOW;
    }
    return is_word(ect, "3g") && level == BANDWIDTH_HIGH ? BANDWIDTH_MEDIUM : level;
}

/* --- connections ------------------------------------------------------------------------------ */

static void look(bandwidth *band, int fd, const bandwidth_limits *limits)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) {
        band->local = true; /* a unix socket */
        band->bps = LOCAL_BPS;
        band->level = BANDWIDTH_HIGH;
        return;
    }
    bandwidth_sample sample = {.bytes_per_second = info.tcpi_delivery_rate,
                               .min_rtt_us = info.tcpi_min_rtt,
                               .rtt_us = info.tcpi_rtt,
                               .app_limited = info.tcpi_delivery_rate_app_limited != 0,
                               .slow_start = info.tcpi_snd_cwnd < info.tcpi_snd_ssthresh};
    if (sample.min_rtt_us == UINT32_MAX) { /* the kernel's "not yet" */
        sample.min_rtt_us = 0;
    }
    bandwidth_take(band, limits, &sample);
}

static const bandwidth *look_when_due(exchange *x)
{
    static const bandwidth unknown = {.bps = 0};
    if (x->conn == NULL) { /* part of another exchange */
        return &unknown;
    }
    bandwidth *band = &x->conn->band;
    const bandwidth_limits *limits = &x->worker->server->bandwidth;
    uint64_t now_ns = x->worker->now_ns;
    bool first = band->looked_ns == 0;
    if (band->local ||
        (!first && (band->sent < LOOK_AFTER_BYTES || now_ns - band->looked_ns < LOOK_EVERY_NS))) {
        return band;
    }
    /* The first look finds a unix socket and a round trip; the next comes when something was sent. */
    band->looked_ns = first ? 1 : now_ns;
    band->sent = 0;
    look(band, x->conn->fd, limits);
    return band;
}

bandwidth_level bandwidth_class(exchange *x)
{
    const bandwidth_limits *limits = &x->worker->server->bandwidth;
    bandwidth_level level = BANDWIDTH_HIGH;
    if (limits->fixed_bps != 0) {
        level = limits->fixed_bps < limits->low_bps      ? BANDWIDTH_LOW
                : limits->fixed_bps < limits->medium_bps ? BANDWIDTH_MEDIUM
                                                         : BANDWIDTH_HIGH;
    } else {
        level = (bandwidth_level)look_when_due(x)->level;
    }
    return bandwidth_hint(level, exchange_field(x, "save-data"), exchange_field(x, "ect"));
}

uint64_t bandwidth_bps(exchange *x)
{
    const bandwidth_limits *limits = &x->worker->server->bandwidth;
    bandwidth_level level = bandwidth_class(x);
    uint64_t bps = limits->fixed_bps != 0 ? limits->fixed_bps : look_when_due(x)->bps;
    return bandwidth_bound(bps, level, limits);
}

void bandwidth_sent(exchange *x, uint64_t bytes)
{
    if (x->conn == NULL) {
        return;
    }
    bandwidth *band = &x->conn->band;
    uint64_t sum = band->sent + bytes;
    band->sent = sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}
