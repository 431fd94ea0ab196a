/*
 * statsd.c -- lines into a registry, and the UDP socket they come from, behind <brisk/statsd.h>.
 *
 * A line's instrument is looked up by name each time (some 300 ns): who sends by UDP does so a thousand times
 * slower.  The listener's thread waits in recv; it is ended by shutting the socket down.
 *
 * A sampled time stands for 1/rate of them and is recorded as often, at most REPEAT_MAX times.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <brisk/statsd.h>

#include "base/assert.h"
#include "base/thread.h"
#include "observe/statsd/line.h"

enum { REPEAT_MAX = 1000, PREFIX_MAX = 64, ADDRESS_MAX = 64 };

static const double u64_end = 0x1p64;
static const double ns_per_ms = 1e6;

struct brisk_statsd {
    const brisk_alloc *alloc;
    brisk_metrics *metrics;
    brisk_counter *lines;
    brisk_counter *bad;
    brisk_counter *beyond;
    brisk_counter *datagrams;
    char prefix[PREFIX_MAX];
    int fd; /* -1: none */
    uint16_t port;
    brisk_thread thread;
    _Atomic bool stop;
    char datagram[BRISK_STATSD_DATAGRAM_MAX]; /* the thread's */
};

/* ---- applying ------------------------------------------------------------------------------ */

typedef enum applied { APPLIED, APPLIED_BAD, APPLIED_BEYOND } applied;

/* What a registry did not take: beyond its bounds (or memory), or of another kind, which is the line's fault. */
static applied refused(brisk_err err)
{
    return err == BRISK_ERR_LIMIT || err == BRISK_ERR_NOMEM ? APPLIED_BEYOND : APPLIED_BAD;
}

static applied apply_counter(brisk_metrics *metrics, const brisk_metric_desc *desc,
                             const statsd_line *line)
{
    brisk_counter *counter;
    double sum = 0;
    for (uint32_t i = 0; i < line->value_count; i++) {
        if (line->values[i] < 0) {
            return APPLIED_BAD; /* a counter only grows */
        }
        sum += line->values[i];
    }
    sum = round(sum / line->rate);
    if (!(sum < u64_end)) {
        return APPLIED_BAD;
    }
    brisk_err err = brisk_metrics_counter(metrics, desc, &counter);
    if (err != BRISK_OK) {
        return refused(err);
    }
    brisk_counter_add(counter, (uint64_t)sum);
    return APPLIED;
}

static applied apply_gauge(brisk_metrics *metrics, const brisk_metric_desc *desc,
                           const statsd_line *line)
{
    brisk_gauge *gauge;
    brisk_err err = brisk_metrics_gauge(metrics, desc, &gauge);
    if (err != BRISK_OK) {
        return refused(err);
    }
    for (uint32_t i = 0; i < line->value_count; i++) {
        if (line->type == STATSD_GAUGE_CHANGE) {
            brisk_gauge_add(gauge, line->values[i]);
        } else {
            brisk_gauge_set(gauge, line->values[i]);
        }
    }
    return APPLIED;
}

static applied apply_values(brisk_metrics *metrics, const brisk_metric_desc *desc,
                            const statsd_line *line)
{
    brisk_histogram *histogram;
    double scale = line->type == STATSD_TIME ? ns_per_ms : 1;
    for (uint32_t i = 0; i < line->value_count; i++) {
        if (line->values[i] < 0 || !(line->values[i] * scale < u64_end)) {
            return APPLIED_BAD;
        }
    }
    brisk_err err = brisk_metrics_histogram(metrics, desc, &histogram);
    if (err != BRISK_OK) {
        return refused(err);
    }
    double times = fmin(round(1 / line->rate), REPEAT_MAX);
    for (uint32_t i = 0; i < line->value_count; i++) {
        for (int n = 0; n < (int)times; n++) {
            brisk_histogram_record(histogram, (uint64_t)round(line->values[i] * scale));
        }
    }
    return APPLIED;
}

static applied apply_line(brisk_statsd *statsd, const char *data, size_t size)
{
    statsd_line line;
    if (!statsd_parse(data, size, statsd->prefix, &line)) {
        return APPLIED_BAD;
    }
    brisk_metric_desc desc = {.name = line.name,
                              .help = "From StatsD",
                              .unit = line.type == STATSD_TIME ? BRISK_UNIT_NS : BRISK_UNIT_NONE,
                              .labels = line.labels,
                              .label_count = line.label_count};
    switch (line.type) {
    case STATSD_COUNTER: return apply_counter(statsd->metrics, &desc, &line);
    case STATSD_GAUGE:
    case STATSD_GAUGE_CHANGE: return apply_gauge(statsd->metrics, &desc, &line);
    case STATSD_TIME:
    case STATSD_HISTOGRAM:
    default: return apply_values(statsd->metrics, &desc, &line);
    }
}

brisk_statsd_counts brisk_statsd_apply(brisk_statsd *statsd, const char *data, size_t size)
{
    brisk_statsd_counts counts = {0};
    size_t at = 0;
    while (at < size) {
        const char *end = memchr(data + at, '\n', size - at);
        size_t length = end != NULL ? (size_t)(end - data) - at : size - at;
        size_t next = at + length + 1;
        if (length > 0 && data[at + length - 1] == '\r') {
            length--;
        }
        if (length > 0) {
            applied what = apply_line(statsd, data + at, length);
            counts.lines += what == APPLIED ? 1 : 0;
            counts.bad += what == APPLIED_BAD ? 1 : 0;
            counts.beyond += what == APPLIED_BEYOND ? 1 : 0;
        }
        at = next;
    }
    brisk_counter_add(statsd->datagrams, 1);
    brisk_counter_add(statsd->lines, counts.lines);
    brisk_counter_add(statsd->bad, counts.bad);
    brisk_counter_add(statsd->beyond, counts.beyond);
    return counts;
}

/* ---- listening ----------------------------------------------------------------------------- */

static void listen_loop(void *ctx)
{
    brisk_statsd *statsd = ctx;
    /* Relaxed: only ends the loop. */
    while (!atomic_load_explicit(&statsd->stop, memory_order_relaxed)) {
        ssize_t size = recv(statsd->fd, statsd->datagram, sizeof statsd->datagram, 0);
        if (size > 0) {
            (void)brisk_statsd_apply(statsd, statsd->datagram, (size_t)size);
        } else if (size < 0 && errno != EINTR && errno != ECONNREFUSED) {
            struct timespec pause = {.tv_nsec = 10000000}; /* do not spin on whatever that is */
            (void)nanosleep(&pause, NULL);
        }
    }
}

/* "host:port", "[v6]:port", ":port" (loopback): numbers only, no names are looked up. */
static bool to_address(const char *text, struct sockaddr_in6 *ret, socklen_t *size)
{
    char host[ADDRESS_MAX];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof host || colon[1] == '\0') {
        return false;
    }
    size_t length = (size_t)(colon - text);
    memcpy(host, text, length);
    host[length] = '\0';
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port > UINT16_MAX || colon[1] < '0' || colon[1] > '9') {
        return false;
    }
    memset(ret, 0, sizeof *ret);
    if (length >= 2 && host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = '\0';
        ret->sin6_family = AF_INET6;
        ret->sin6_port = htons((uint16_t)port);
        *size = sizeof *ret;
        return inet_pton(AF_INET6, host + 1, &ret->sin6_addr) == 1;
    }
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, length > 0 ? host : "127.0.0.1", &v4.sin_addr) != 1) {
        return false;
    }
    memcpy(ret, &v4, sizeof v4);
    *size = sizeof v4;
    return true;
}

static brisk_err open_socket(brisk_statsd *statsd, const char *where, brisk_errinfo *info)
{
    struct sockaddr_in6 address;
    socklen_t size;
    if (!to_address(where, &address, &size)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "%s: not an address like 127.0.0.1:8125 or [::1]:8125", where);
    }
    int fd = socket(((struct sockaddr *)&address)->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "socket");
    }
    /* Wakes up once a second to see whether it shall end, should the shutdown not do so. */
    struct timeval second = {.tv_sec = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
    if (bind(fd, (struct sockaddr *)&address, size) != 0) {
        int failed = errno;
        (void)close(fd);
        brisk_err err = brisk_errinfo_set_errno(info, failed, "%s", where);
        if (failed == EADDRINUSE) {
            err = brisk_errinfo_set(info, BRISK_ERR_CONFLICT, "%s: somebody listens there", where);
        }
        return err;
    }
    size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) == 0) {
        statsd->port = ntohs(address.sin6_port); /* at the same place in both families */
    }
    statsd->fd = fd;
    return BRISK_OK;
}

static brisk_err make_counters(brisk_statsd *statsd)
{
    brisk_metric_desc desc = {.name = "statsd.lines", .help = "StatsD lines taken"};
    brisk_err err = brisk_metrics_counter(statsd->metrics, &desc, &statsd->lines);
    if (err == BRISK_OK) {
        desc = (brisk_metric_desc){.name = "statsd.bad", .help = "StatsD lines not understood"};
        err = brisk_metrics_counter(statsd->metrics, &desc, &statsd->bad);
    }
    if (err == BRISK_OK) {
        desc = (brisk_metric_desc){.name = "statsd.beyond",
                                   .help = "StatsD lines beyond the registry's bounds"};
        err = brisk_metrics_counter(statsd->metrics, &desc, &statsd->beyond);
    }
    if (err == BRISK_OK) {
        desc = (brisk_metric_desc){.name = "statsd.datagrams", .help = "StatsD datagrams"};
        err = brisk_metrics_counter(statsd->metrics, &desc, &statsd->datagrams);
    }
    return err;
}

static brisk_err start(brisk_statsd *statsd, const char *where, brisk_errinfo *info)
{
    brisk_err err = make_counters(statsd);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "metrics: %s", brisk_err_message(err));
    }
    if (where == NULL) {
        return BRISK_OK;
    }
    err = open_socket(statsd, where, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = brisk_thread_start(
        &statsd->thread,
        &(brisk_thread_opts){.name = "brisk-statsd", .run = listen_loop, .ctx = statsd});
    return err == BRISK_OK ? BRISK_OK
                           : brisk_errinfo_set(info, err, "thread: %s", brisk_err_message(err));
}

brisk_err brisk_statsd_create(const brisk_statsd_opts *opts, brisk_statsd **ret,
                              brisk_errinfo *info)
{
    BRISK_ASSERT(ret != NULL);
    brisk_statsd_opts o = opts != NULL ? *opts : (brisk_statsd_opts){0};
    const brisk_alloc *alloc = o.alloc != NULL ? o.alloc : brisk_alloc_libc();
    const char *prefix = o.prefix != NULL ? o.prefix : "";
    if (strlen(prefix) >= PREFIX_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "prefix: more than %d bytes",
                                 PREFIX_MAX - 1);
    }
    brisk_statsd *statsd = alloc->acquire(alloc->ctx, sizeof *statsd, _Alignof(brisk_statsd));
    if (statsd == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "StatsD: out of memory");
    }
    memset(statsd, 0, offsetof(brisk_statsd, datagram));
    statsd->alloc = alloc;
    statsd->metrics = o.metrics != NULL ? o.metrics : brisk_metrics_default();
    statsd->fd = -1;
    memcpy(statsd->prefix, prefix, strlen(prefix) + 1);
    brisk_err err = start(statsd, o.listen, info);
    if (err != BRISK_OK) {
        brisk_statsd_destroy(statsd);
        return err;
    }
    *ret = statsd;
    return BRISK_OK;
}

void brisk_statsd_destroy(brisk_statsd *statsd)
{
    if (statsd == NULL) {
        return;
    }
    atomic_store_explicit(&statsd->stop, true, memory_order_relaxed);
    if (statsd->fd >= 0) {
        (void)shutdown(statsd->fd, SHUT_RDWR); /* wakes recv, on Linux, of datagrams as well */
        brisk_thread_join(&statsd->thread);
        (void)close(statsd->fd);
    }
    statsd->alloc->release(statsd->alloc->ctx, statsd, sizeof *statsd, _Alignof(brisk_statsd));
}

uint16_t brisk_statsd_port(const brisk_statsd *statsd)
{
    return statsd->port;
}
