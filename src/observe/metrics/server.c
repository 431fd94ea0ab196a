/*
 * server.c -- the figures of a brisk server (or a Redis), asked over the Redis protocol.
 *
 * One connection for one round: it is asked once a second at most.  An answer is one bulk string; it is bounded before
 * memory is taken for it, and whatever else comes is an error.  INFO tells whether it is a brisk; only that is asked
 * for its own metrics.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "observe/metrics/server.h"

enum { ANSWER_MAX = 16 << 20, LINE_MAX_BYTES = 512, TIMEOUT_S = 5, NAME_BYTES = 64 };

brisk_err metrics_server_parse(const char *text, metrics_server *ret, brisk_errinfo *info)
{
    *ret = (metrics_server){0};
    const char *colon = strrchr(text, ':');
    size_t length = colon != NULL ? (size_t)(colon - text) : 0;
    const char *host = text;
    if (length >= 2 && host[0] == '[' && host[length - 1] == ']') {
        host++;
        length -= 2;
    }
    char *end = NULL;
    unsigned long port = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;
    if (length == 0 || length >= sizeof ret->host || port == 0 || port > UINT16_MAX ||
        *end != '\0' || colon[1] < '0' || colon[1] > '9') {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: not HOST:PORT", text);
    }
    memcpy(ret->host, host, length);
    ret->host[length] = '\0';
    (void)snprintf(ret->port, sizeof ret->port, "%lu", port);
    return BRISK_OK;
}

brisk_err metrics_server_password(metrics_server *server, const char *path, brisk_errinfo *info)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    ssize_t size = read(fd, server->password, sizeof server->password - 1);
    int failed = errno;
    (void)close(fd);
    if (size < 0) {
        return brisk_errinfo_set_errno(info, failed, "%s", path);
    }
    server->password[size] = '\0';
    server->password[strcspn(server->password, "\r\n")] = '\0';
    return BRISK_OK;
}

void metrics_server_deinit(metrics_server *server)
{
    metrics_mirror_deinit(&server->mirror);
}

/* ---- lines --------------------------------------------------------------------------------- */

static bool is_total(const char *name)
{
    static const char *const totals[] = {"keyspace_hits", "keyspace_misses", "evicted_keys",
                                         "expired_keys", "rejected_connections"};
    for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++) {
        if (strcmp(name, totals[i]) == 0) {
            return true;
        }
    }
    return strncmp(name, "total_", 6) == 0;
}

static bool is_bytes(const char *name)
{
    size_t length = strlen(name);
    return strncmp(name, "used_memory", 11) == 0 || strcmp(name, "maxmemory") == 0 ||
           strncmp(name, "total_net_", 10) == 0 ||
           (length > 6 && strcmp(name + length - 6, "_bytes") == 0);
}

/* No figures, or in a unit that has a better one beside it (promtool would complain of them). */
static bool is_left_out(const char *name)
{
    return strcmp(name, "arch_bits") == 0 || strcmp(name, "uptime_in_days") == 0 ||
           strcmp(name, "instantaneous_ops_per_sec") == 0;
}

static void apply_value(brisk_metrics *metrics, const char *name, const char *text)
{
    if (is_left_out(name)) {
        return;
    }
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || strpbrk(text, "xXnNiI") != NULL) {
        return;
    }
    char full[NAME_BYTES + 8];
    (void)snprintf(full, sizeof full, "serve.%.*s", NAME_BYTES, name);
    brisk_metric_desc desc = {.name = full,
                              .help = "Of the server's INFO",
                              .unit = is_bytes(name) ? BRISK_UNIT_BYTES : BRISK_UNIT_NONE};
    brisk_total *total;
    brisk_gauge *gauge;
    bool whole = value >= 0 && strspn(text, "0123456789") == strlen(text);
    /* What cannot be a metric (a name with a blank, say) is left out. */
    if (is_total(name)) {
        if (whole && brisk_metrics_total(metrics, &desc, &total) == BRISK_OK) {
            brisk_total_set(total, strtoull(text, NULL, 10));
        }
    } else if (brisk_metrics_gauge(metrics, &desc, &gauge) == BRISK_OK) {
        brisk_gauge_set(gauge, value);
    }
}

void metrics_server_apply(const char *text, size_t size, brisk_metrics *metrics)
{
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end != NULL ? (size_t)(end - text) - at : size - at;
        char line[LINE_MAX_BYTES];
        if (length < sizeof line) {
            memcpy(line, text + at, length);
            line[length] = '\0';
            line[strcspn(line, "\r")] = '\0';
            char *colon = strchr(line, ':');
            if (colon != NULL && colon - line < NAME_BYTES) {
                *colon = '\0';
                apply_value(metrics, line, colon + 1);
            }
        }
        at += length + 1;
    }
}

/* ---- the connection ------------------------------------------------------------------------ */

static uint32_t timeout_of(const metrics_server *server)
{
    return server->timeout_s != 0 ? server->timeout_s : TIMEOUT_S;
}

static brisk_err failed(brisk_errinfo *info, int os_errno, const metrics_server *server)
{
    if (os_errno == EAGAIN || os_errno == EINPROGRESS) {
        return brisk_errinfo_set(info, BRISK_ERR_DEADLINE, "%s:%s: no answer in %u s", server->host,
                                 server->port, timeout_of(server));
    }
    return brisk_errinfo_set_errno(info, os_errno, "%s:%s", server->host, server->port);
}

static brisk_err connect_to(const metrics_server *server, int *ret, brisk_errinfo *info)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int wrong = getaddrinfo(server->host, server->port, &hints, &list);
    if (wrong != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "%s: %s", server->host,
                                 gai_strerror(wrong));
    }
    int last = ENOENT;
    int fd = -1;
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd < 0) {
            last = errno;
            continue;
        }
        struct timeval limit = {.tv_sec = (time_t)timeout_of(server)};
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            last = errno;
            (void)close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd < 0) {
        return failed(info, last, server);
    }
    *ret = fd;
    return BRISK_OK;
}

/* What came, and how much of it was read. */
typedef struct answer {
    int fd;
    size_t used;
    size_t read;
    char *bytes; /* ANSWER_MAX of them */
} answer;

static brisk_err read_more(answer *a, const metrics_server *server, brisk_errinfo *info)
{
    if (a->used == ANSWER_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s:%s: more than %d bytes of answer",
                                 server->host, server->port, ANSWER_MAX);
    }
    ssize_t size;
    do {
        size = recv(a->fd, a->bytes + a->used, ANSWER_MAX - a->used, 0);
    } while (size < 0 && errno == EINTR);
    if (size <= 0) {
        return failed(info, size < 0 ? errno : ECONNRESET, server);
    }
    a->used += (size_t)size;
    return BRISK_OK;
}

/* One line without its end; valid until the next read. */
static brisk_err read_line(answer *a, const metrics_server *server, char line[LINE_MAX_BYTES],
                           brisk_errinfo *info)
{
    for (;;) {
        const char *start = a->bytes + a->read;
        const char *end = memchr(start, '\n', a->used - a->read);
        if (end != NULL) {
            size_t size = (size_t)(end - start);
            a->read += size + 1;
            size -= size > 0 && start[size - 1] == '\r' ? 1 : 0;
            size = size < LINE_MAX_BYTES ? size : LINE_MAX_BYTES - 1;
            memcpy(line, start, size);
            line[size] = '\0';
            return BRISK_OK;
        }
        brisk_err err = read_more(a, server, info);
        if (err != BRISK_OK) {
            return err;
        }
    }
}

static brisk_err send_all(int fd, const char *data, size_t size, const metrics_server *server,
                          brisk_errinfo *info)
{
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            return failed(info, errno, server);
        }
        data += sent > 0 ? sent : 0;
        size -= sent > 0 ? (size_t)sent : 0;
    }
    return BRISK_OK;
}

static brisk_err refused(const metrics_server *server, const char *line, brisk_errinfo *info)
{
    bool password = strncmp(line, "-NOAUTH", 7) == 0 || strncmp(line, "-WRONGPASS", 10) == 0;
    char plain[128];
    size_t size = 0;
    for (; line[size] != '\0' && size < sizeof plain - 1; size++) {
        plain[size] =
            (char)((unsigned char)line[size] < ' ' || line[size] == 127 ? '?' : line[size]);
    }
    plain[size] = '\0';
    return brisk_errinfo_set(info, password ? BRISK_ERR_PERMISSION : BRISK_ERR_CORRUPT,
                             "%s:%s: answered '%s'", server->host, server->port, plain);
}

/* One question; the answer's *size bytes are at a->bytes + a->read. */
static brisk_err ask_bulk(answer *a, const metrics_server *server, const char *question,
                          size_t *size, brisk_errinfo *info)
{
    char line[LINE_MAX_BYTES];
    brisk_err err = send_all(a->fd, question, strlen(question), server, info);
    if (err == BRISK_OK) {
        err = read_line(a, server, line, info);
    }
    if (err != BRISK_OK) {
        return err;
    }
    char *end = NULL;
    unsigned long length = line[0] == '$' ? strtoul(line + 1, &end, 10) : ANSWER_MAX;
    if (line[0] != '$' || *end != '\0' || line[1] < '0' || line[1] > '9' ||
        length >= ANSWER_MAX - LINE_MAX_BYTES) {
        return refused(server, line, info);
    }
    while (err == BRISK_OK && a->used - a->read < length + 2) {
        err = read_more(a, server, info);
    }
    *size = length;
    return err;
}

static brisk_err talk(answer *a, metrics_server *server, brisk_metrics *metrics,
                      brisk_errinfo *info)
{
    char line[LINE_MAX_BYTES + 128];
    size_t size = 0;
    brisk_err err = BRISK_OK;
    if (server->password[0] != '\0') {
        int length = snprintf(line, sizeof line, "*2\r\n$4\r\nAUTH\r\n$%zu\r\n%s\r\n",
                              strlen(server->password), server->password);
        err = send_all(a->fd, line, (size_t)length, server, info);
        if (err == BRISK_OK) {
            err = read_line(a, server, line, info);
        }
        if (err == BRISK_OK && line[0] != '+') {
            err = refused(server, line, info);
        }
    }
    if (err == BRISK_OK) {
        err = ask_bulk(a, server, "*1\r\n$4\r\nINFO\r\n", &size, info);
    }
    if (err != BRISK_OK) {
        return err;
    }
    const char *text = a->bytes + a->read;
    metrics_server_apply(text, size, metrics);
    bool brisk = memmem(text, size, "\nbrisk_version:", 15) != NULL;
    a->read += size + 2;
    static const char own[] = "*2\r\n$13\r\nBRISK.METRICS\r\n$4\r\nJSON\r\n";
    err = brisk ? ask_bulk(a, server, own, &size, info) : BRISK_OK;
    if (err == BRISK_OK && brisk) {
        err = metrics_mirror_apply(&server->mirror, a->bytes + a->read, size, metrics, info);
    }
    return err;
}

void metrics_server_set_up(brisk_metrics *metrics, bool up)
{
    brisk_gauge *gauge;
    brisk_metric_desc desc = {.name = "serve.up", .help = "1 while the server answers, else 0"};
    if (brisk_metrics_gauge(metrics, &desc, &gauge) == BRISK_OK) {
        brisk_gauge_set(gauge, up ? 1 : 0);
    }
}

brisk_err metrics_server_ask(metrics_server *server, brisk_metrics *metrics, brisk_errinfo *info)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    answer a = {.fd = -1, .bytes = alloc->acquire(alloc->ctx, ANSWER_MAX, 1)};
    if (a.bytes == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    brisk_err err = connect_to(server, &a.fd, info);
    if (err == BRISK_OK) {
        err = talk(&a, server, metrics, info);
        (void)close(a.fd);
    }
    metrics_server_set_up(metrics, err == BRISK_OK);
    alloc->release(alloc->ctx, a.bytes, ANSWER_MAX, 1);
    return err;
}
