/*
 * bench_http_knee.c -- a server that thrashes beyond its knee: a fixed window against the one that is found.
 *
 *     bench_http_knee [KNEE [SERVICE-US [SECONDS]]]       (16, 4000, 3)
 *
 * The server is a thread of its own, HTTP/1.1.  KNEE requests are served at once; each takes SERVICE, and
 * longer the more are there: SERVICE * (1 + (n / KNEE - 1) / 2) for n > KNEE.  So its best rate is
 * KNEE / SERVICE, with KNEE of them; a queue only makes it slower.  512 callers ask again as soon as they are
 * answered.  Rounds of both kinds take turns; prints a JSON object each: answers a second, latency of the
 * server (to the first byte) and of callers, the window at the end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/hist.h>
#include <brisk/http_client.h>

enum { CALLERS = 512, CONNECTIONS = 1024, WIDE = 256, ROUNDS = 3 };

typedef struct knee {
    int listener;
    int epoll;
    uint32_t width;
    uint64_t service_ns;
    _Atomic bool stop;
    int waiting[CONNECTIONS]; /* a ring of sockets */
    uint32_t first;
    uint32_t count;
    int serving[CONNECTIONS];
    uint64_t due_ns[CONNECTIONS];
    uint32_t served; /* at once */
} knee;

static uint64_t now_ns(void)
{
    return brisk_clock_now_ns(NULL);
}

/* --- the server --------------------------------------------------------------------------- */

static void start_some(knee *k)
{
    while (k->served < k->width && k->count > 0) {
        double n = (double)(k->served + k->count) / k->width;
        double factor = n > 1 ? 1 + (n - 1) / 2 : 1;
        k->serving[k->served] = k->waiting[k->first];
        k->due_ns[k->served++] = now_ns() + (uint64_t)((double)k->service_ns * factor);
        k->first = (k->first + 1) % CONNECTIONS;
        k->count--;
    }
}

static void end_some(knee *k)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    uint64_t now = now_ns();
    for (uint32_t i = 0; i < k->served;) {
        if (k->due_ns[i] <= now) {
            (void)!send(k->serving[i], answer, sizeof answer - 1, MSG_NOSIGNAL);
            k->served--;
            k->serving[i] = k->serving[k->served];
            k->due_ns[i] = k->due_ns[k->served];
        } else {
            i++;
        }
    }
}

static struct timespec until_next(const knee *k)
{
    uint64_t left = 50000000;
    uint64_t now = now_ns();
    for (uint32_t i = 0; i < k->served; i++) {
        uint64_t due = k->due_ns[i] > now ? k->due_ns[i] - now : 0;
        left = due < left ? due : left;
    }
    return (struct timespec){.tv_nsec = (long)left};
}

/* One request a connection at a time; its head comes in one piece on loopback. */
static void take(knee *k, int fd)
{
    char head[4096];
    if (fd == k->listener) {
        int link = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = link};
        (void)epoll_ctl(k->epoll, EPOLL_CTL_ADD, link, &event);
    } else if (recv(fd, head, sizeof head, 0) <= 0) {
        (void)close(fd);
    } else if (k->count < CONNECTIONS) {
        k->waiting[(k->first + k->count++) % CONNECTIONS] = fd;
    }
}

static void *serve(void *ctx)
{
    knee *k = ctx;
    struct epoll_event events[64];
    while (!atomic_load_explicit(&k->stop, memory_order_relaxed)) {
        struct timespec time = until_next(k);
        int count = epoll_pwait2(k->epoll, events, 64, &time, NULL);
        for (int i = 0; i < count; i++) {
            take(k, events[i].data.fd);
        }
        end_some(k);
        start_some(k);
    }
    return NULL;
}

static bool open_knee(knee *k, char *url, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    k->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    k->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = k->listener};
    if (bind(k->listener, (struct sockaddr *)&address, length) != 0 ||
        listen(k->listener, CONNECTIONS) != 0 ||
        getsockname(k->listener, (struct sockaddr *)&address, &length) != 0 ||
        epoll_ctl(k->epoll, EPOLL_CTL_ADD, k->listener, &event) != 0) {
        return false;
    }
    (void)snprintf(url, size, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    return true;
}

/* --- the callers -------------------------------------------------------------------------- */

static bool ask(brisk_http_client *client, brisk_http_queue *queue, const char *url)
{
    return brisk_http_submit(client, &(brisk_http_request){.url = url, .queue = queue}, NULL,
                             NULL) == BRISK_OK;
}

typedef struct sums {
    brisk_hist *server;
    brisk_hist *whole;
    uint64_t answers;
    uint64_t bad;
} sums;

static bool run_callers(brisk_http_client *client, const char *url, uint64_t time_ns, sums *s)
{
    brisk_http_queue *queue = NULL;
    bool good = brisk_http_queue_create(NULL, &queue) == BRISK_OK;
    uint64_t end = now_ns() + time_ns;
    uint32_t open = 0;
    for (; good && open < CALLERS; open++) {
        good = ask(client, queue, url);
    }
    while (good && open > 0) {
        brisk_http_response *r = NULL;
        good = brisk_http_queue_take(queue, BRISK_HTTP_FOREVER, &r) == BRISK_OK;
        bool in_time = now_ns() < end;
        s->answers += in_time;
        s->bad += r->err != BRISK_OK || r->status != 200;
        if (in_time) {
            brisk_hist_record(s->server, r->first_byte_ns);
            brisk_hist_record(s->whole, r->total_ns);
        }
        brisk_http_response_destroy(r);
        open--;
        if (in_time && ask(client, queue, url)) {
            open++;
        }
    }
    brisk_http_queue_destroy(queue);
    return good;
}

static int run_round(const char *url, bool fixed, double seconds)
{
    brisk_http_client_opts opts = {
        .connections_max = WIDE, .host_start = fixed ? WIDE : 0, .host_fixed = fixed};
    brisk_http_client *client = NULL;
    brisk_http_host_stats host = {0};
    sums s = {0};
    if (brisk_hist_create(NULL, &s.server) != BRISK_OK ||
        brisk_hist_create(NULL, &s.whole) != BRISK_OK ||
        brisk_http_client_create(&opts, &client, NULL) != BRISK_OK ||
        !run_callers(client, url, (uint64_t)(seconds * 1e9), &s) ||
        brisk_http_client_read_host(client, url, &host) != BRISK_OK) {
        return 1;
    }
    (void)printf("{\"window\": \"%s\", \"answers_per_s\": %.0f, \"server_p50_ms\": %.2f, "
                 "\"server_p99_ms\": %.2f, \"caller_p50_ms\": %.1f, \"caller_p99_ms\": %.1f, "
                 "\"limit\": %u, \"latency_min_ms\": %.2f, \"bad\": %llu}\n",
                 fixed ? "fixed 256" : "found", (double)s.answers / seconds,
                 (double)brisk_hist_quantile(s.server, 0.5) / 1e6,
                 (double)brisk_hist_quantile(s.server, 0.99) / 1e6,
                 (double)brisk_hist_quantile(s.whole, 0.5) / 1e6,
                 (double)brisk_hist_quantile(s.whole, 0.99) / 1e6, host.limit,
                 (double)host.latency_min_ns / 1e6, (unsigned long long)s.bad);
    brisk_http_client_destroy(client);
    brisk_hist_destroy(s.server);
    brisk_hist_destroy(s.whole);
    return s.bad > 0;
}

int main(int argc, char **argv)
{
    static knee k;
    char url[64];
    pthread_t thread;
    double seconds = argc > 3 ? strtod(argv[3], NULL) : 3;
    int failed = 0;
    k.width = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 16;
    k.service_ns = (argc > 2 ? strtoull(argv[2], NULL, 10) : 4000) * 1000;
    if (k.width == 0 || k.width > CONNECTIONS || !open_knee(&k, url, sizeof url) ||
        pthread_create(&thread, NULL, serve, &k) != 0) {
        (void)fputs("usage: bench_http_knee [KNEE [SERVICE-US [SECONDS]]]\n", stderr);
        return 2;
    }
    for (int i = 0; i < ROUNDS && failed == 0; i++) {
        failed |= run_round(url, true, seconds);
        failed |= run_round(url, false, seconds);
    }
    atomic_store_explicit(&k.stop, true, memory_order_relaxed);
    (void)pthread_join(thread, NULL);
    return failed;
}
