/*
 * server.c -- one connection to a server, asked once a round, never waited for.
 *
 *     not connected ─► connecting ─► idle ─► asked ─► three answers ─► idle
 *           ▲              └───────────┴───────┴─ error, end, too slow ─┐
 *           └────────────── a second later ────────────────────────────┘
 *
 * A server that is slow, dead, or sends nonsense costs its own panel its figures, and nothing else: no call here
 * blocks, what it sends is bounded, and each answer must come within ANSWER_NS.
 */
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <brisk/clock.h>

#include "base/text.h"
#include "observe/monitor/monitor.h"

enum { READ_BYTES = 65536, READS_MAX = 8 };

static const uint64_t answer_ns = UINT64_C(3000000000);
static const uint64_t retry_ns = UINT64_C(900000000);

static brisk_err resolve(monitor_server *s, const char *host, const char *port, brisk_errinfo *info)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int wrong = getaddrinfo(host, port, &hints, &list);
    if (wrong != 0 || list == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "%s: %s", host, gai_strerror(wrong));
    }
    memcpy(&s->address, list->ai_addr, list->ai_addrlen);
    s->address_size = list->ai_addrlen;
    freeaddrinfo(list);
    return BRISK_OK;
}

brisk_err monitor_server_init(monitor_server *s, const char *address, brisk_errinfo *info)
{
    const char *colon = strrchr(address, ':');
    size_t length = colon != NULL ? (size_t)(colon - address) : 0;
    const char *host = address;
    char name[256];
    uint64_t port = 0;
    if (length >= 2 && host[0] == '[' && host[length - 1] == ']') {
        host++;
        length -= 2;
    }
    if (length == 0 || length >= sizeof name || brisk_text_u64(colon + 1, &port) != BRISK_OK ||
        port == 0 || port > UINT16_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%.100s: not HOST:PORT", address);
    }
    memcpy(name, host, length);
    name[length] = '\0';
    s->fd = -1;
    s->wanted = true;
    s->in.alloc = brisk_alloc_libc();
    s->next = (monitor_totals){.memory = (double)NAN, .connections = (double)NAN};
    s->entries = s->disk_bytes = s->disk_max = s->memory_max = (double)NAN;
    s->total_hit_rate = s->round_trip_ns = (double)NAN;
    resp_writer_init(&s->out, NULL, 0);
    resp_replies_init(&s->replies, NULL, NULL);
    (void)snprintf(s->address_text, sizeof s->address_text, "%s", address);
    brisk_text_make_plain(s->address_text, strlen(s->address_text));
    return resolve(s, name, colon + 1, info);
}

static void disconnect(monitor_server *s)
{
    if (s->fd >= 0) {
        (void)close(s->fd);
    }
    s->fd = -1;
    s->connecting = false;
    s->asked = false;
    s->in.count = 0;
    s->written = 0;
    s->next = (monitor_totals){.memory = (double)NAN, .connections = (double)NAN};
    resp_writer_reset(&s->out, READ_BYTES);
    resp_replies_deinit(&s->replies);
    resp_replies_init(&s->replies,
                      &(resp_reply_limits){.bulk_max = MONITOR_ANSWER_MAX, .nodes_max = 100000},
                      NULL);
}

void monitor_server_deinit(monitor_server *s)
{
    if (s->wanted) {
        disconnect(s);
        resp_replies_deinit(&s->replies);
        resp_writer_deinit(&s->out);
        BRISK_VEC_DEINIT(&s->in);
    }
}

static void fail(monitor_server *s, uint64_t now_ns, const char *why, size_t size)
{
    disconnect(s);
    size = size < sizeof s->error - 1 ? size : sizeof s->error - 1;
    memcpy(s->error, why, size);
    s->error[size] = '\0';
    brisk_text_make_plain(s->error, size);
    if (s->up || s->since_ns == 0) {
        s->since_ns = now_ns;
    }
    s->up = false;
    s->now.known = false; /* what it counts when it comes back begins anew */
    s->before.known = false;
    s->retry_ns = now_ns + retry_ns;
}

static void fail_errno(monitor_server *s, uint64_t now_ns, int os_errno)
{
    const char *why = strerror(os_errno);
    fail(s, now_ns, why, strlen(why));
}

static void put(monitor_server *s, const char *a, const char *b)
{
    resp_put_array(&s->out, b != NULL ? 2 : 1);
    resp_put_text(&s->out, a);
    if (b != NULL) {
        resp_put_text(&s->out, b);
    }
}

static void flush(monitor_server *s, uint64_t now_ns)
{
    while (s->fd >= 0 && !s->connecting && s->written < s->out.size) {
        ssize_t part =
            send(s->fd, s->out.data + s->written, s->out.size - s->written, MSG_NOSIGNAL);
        if (part >= 0) {
            s->written += (size_t)part;
        } else if (errno != EINTR) {
            if (errno != EAGAIN) {
                fail_errno(s, now_ns, errno);
            }
            return;
        }
    }
    if (s->written == s->out.size) {
        s->written = 0;
        resp_writer_reset(&s->out, READ_BYTES);
    }
}

static void ask(monitor_server *s, uint64_t now_ns)
{
    put(s, "INFO", NULL);
    put(s, "BRISK.STATS", "map");
    put(s, "LATENCY", "HISTOGRAM");
    s->asked = true;
    s->asked_ns = now_ns;
    s->answer = 0;
    if (s->out.err != BRISK_OK) {
        fail(s, now_ns, "out of memory", 13);
    } else {
        flush(s, now_ns);
    }
}

static void connected(monitor_server *s, uint64_t now_ns)
{
    s->connecting = false;
    if (s->password[0] != '\0') {
        put(s, "AUTH", s->password);
    }
    ask(s, now_ns);
    s->answer = s->password[0] != '\0' ? UINT32_MAX : 0; /* that of AUTH comes before */
}

static void dial(monitor_server *s, uint64_t now_ns)
{
    struct sockaddr_storage address = s->address;
    s->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0) {
        fail_errno(s, now_ns, errno);
        return;
    }
    int on = 1;
    (void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    s->asked_ns = now_ns;
    if (connect(s->fd, (const struct sockaddr *)&address, s->address_size) == 0) {
        connected(s, now_ns);
    } else if (errno == EINPROGRESS) {
        s->connecting = true;
    } else {
        fail_errno(s, now_ns, errno);
    }
}

void monitor_server_round(monitor_server *s, uint64_t now_ns)
{
    if (!s->wanted) {
        return;
    }
    if (s->fd >= 0 && (s->connecting || s->asked) && now_ns - s->asked_ns > answer_ns) {
        fail(s, now_ns, "no answer in 3 s", 16);
        return;
    }
    if (s->fd < 0 && now_ns >= s->retry_ns) {
        dial(s, now_ns);
    } else if (s->fd >= 0 && !s->connecting && !s->asked) {
        ask(s, now_ns);
    }
}

short monitor_server_events(const monitor_server *s)
{
    if (!s->wanted || s->fd < 0) {
        return 0;
    }
    return (short)(s->connecting ? POLLOUT : POLLIN | (s->written < s->out.size ? POLLOUT : 0));
}

/* One answer is whole.  False: it is none that can be gone on with. */
static bool take_one(monitor_server *s, uint64_t now_ns)
{
    const resp_node *value = resp_replies_value(&s->replies);
    if (value->type == RESP_PUSH) {
        return true;
    }
    bool auth = s->answer == UINT32_MAX;
    if (!s->asked || (value->type == RESP_ERROR && (auth || s->answer == 0))) {
        if (s->asked) {
            fail(s, now_ns, (const char *)value->bytes.data, value->bytes.size);
        } else {
            fail(s, now_ns, "an answer that nobody asked for", 31);
        }
        return false;
    }
    if (auth) {
        s->answer = 0;
        return true;
    }
    if (s->answer == 0) {
        s->round_trip_ns = (double)(now_ns - s->asked_ns);
    }
    monitor_answer_take(s, s->answer, &s->replies);
    if (++s->answer == MONITOR_ANSWERS) {
        s->asked = false;
        monitor_answers_end(s, now_ns);
        s->since_ns = s->up ? s->since_ns : now_ns;
        s->up = true;
        s->error[0] = '\0';
    }
    return true;
}

static void take_all(monitor_server *s, uint64_t now_ns)
{
    size_t at = 0;
    while (at < s->in.count) {
        resp_status status = resp_replies_read(&s->replies, s->in.items + at, s->in.count - at);
        if (status == RESP_MORE) {
            break;
        }
        if (status == RESP_BAD) {
            fail(s, now_ns, s->replies.error, strlen(s->replies.error));
            return;
        }
        at += s->replies.used;
        if (!take_one(s, now_ns)) {
            return;
        }
    }
    memmove(s->in.items, s->in.items + at, s->in.count - at);
    s->in.count -= at;
}

static void read_some(monitor_server *s, uint64_t now_ns)
{
    for (int i = 0; i < READS_MAX && s->fd >= 0; i++) {
        if (s->in.count >= MONITOR_ANSWER_MAX ||
            !BRISK_VEC_RESERVE(&s->in, s->in.count + READ_BYTES)) {
            fail(s, now_ns, "its answer is too large", 23);
            return;
        }
        ssize_t size = recv(s->fd, s->in.items + s->in.count, READ_BYTES, 0);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (size <= 0) {
            if (size < 0) {
                fail_errno(s, now_ns, errno);
            } else {
                fail(s, now_ns, "it closed the connection", 24);
            }
            return;
        }
        s->in.count += (size_t)size;
        take_all(s, now_ns);
        if (size < READ_BYTES) {
            return;
        }
    }
}

void monitor_server_event(monitor_server *s, short events, uint64_t now_ns)
{
    if (s->fd < 0 || events == 0) {
        return;
    }
    if (s->connecting) {
        int failed = 0;
        socklen_t size = sizeof failed;
        if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &failed, &size) != 0) {
            failed = errno;
        }
        if (failed != 0) {
            fail_errno(s, now_ns, failed);
        } else {
            connected(s, now_ns);
        }
        return;
    }
    if ((events & POLLOUT) != 0) {
        flush(s, now_ns);
    }
    if (s->fd >= 0 && (events & (POLLIN | POLLHUP | POLLERR)) != 0) {
        read_some(s, now_ns);
    }
}
