/*
 * sockets.c -- an address becomes sockets that are listened at.
 *
 * A unix socket that nobody answers at is left over from a process that died, and is replaced; one
 * that is answered at stays, and so does whatever else stands in its place.
 *
 * Source:  unix(7), ip(7), ipv6(7), sd_listen_fds(3); RFC 3986, 3.2.2 (brackets).
 */
#include "daemon/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

enum { HOST_MAX = 256, PORT_MAX = 16, SYSTEMD_FIRST = 3 };

typedef struct address {
    char host[HOST_MAX];
    char port[PORT_MAX];
} address;

/* "HOST:PORT", "[HOST]:PORT" or "PORT" in two; false: it is none of them. */
static bool split_address(const char *text, address *ret)
{
    const char *colon = strrchr(text, ':');
    const char *port = colon != NULL ? colon + 1 : text;
    const char *from = colon != NULL ? text : "127.0.0.1";
    size_t size = colon != NULL ? (size_t)(colon - text) : strlen(from);
    if (colon != NULL && size >= 2 && text[0] == '[' && text[size - 1] == ']') {
        from++;
        size -= 2;
    } else if (memchr(from, ':', size) != NULL) {
        return false; /* an address of IPv6 needs its brackets */
    }
    size_t digits = strspn(port, "0123456789");
    if (size >= HOST_MAX || digits == 0 || digits > 5 || port[digits] != '\0' ||
        strtoul(port, NULL, 10) > 65535) {
        return false;
    }
    memcpy(ret->host, from, size);
    ret->host[size] = '\0';
    memcpy(ret->port, port, digits + 1);
    return true;
}

static void close_keeping_errno(int fd)
{
    int why = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    errno = why;
}

static int new_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static int open_tcp(const struct addrinfo *at, uint32_t backlog)
{
    int fd = new_socket(at->ai_family);
    int on = 1;
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->ai_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, (int)backlog) != 0) {
        close_keeping_errno(fd);
        return -1;
    }
    return fd;
}

static bool is_loopback(const struct sockaddr_storage *at)
{
    if (at->ss_family == AF_INET) {
        uint32_t ip = ntohl(((const struct sockaddr_in *)(const void *)at)->sin_addr.s_addr);
        return ip >> 24 == 127;
    }
    return at->ss_family == AF_UNIX ||
           (at->ss_family == AF_INET6 &&
            IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)at)->sin6_addr));
}

/* What the system says of `fd`: its port, and who can reach it. */
static void look_at(listen_socket *s, struct sockaddr_storage *at)
{
    socklen_t length = sizeof *at;
    *at = (struct sockaddr_storage){.ss_family = AF_UNSPEC};
    if (getsockname(s->fd, (struct sockaddr *)at, &length) != 0) {
        return;
    }
    s->is_unix = at->ss_family == AF_UNIX;
    s->is_local = is_loopback(at);
    if (at->ss_family == AF_INET6) {
        s->port = ntohs(((struct sockaddr_in6 *)(void *)at)->sin6_port);
    } else if (at->ss_family == AF_INET) {
        s->port = ntohs(((struct sockaddr_in *)(void *)at)->sin_port);
    }
}

static brisk_err add(sockets *self, int fd, const char *text)
{
    if (self->count == SOCKETS_MAX) {
        return BRISK_ERR_LIMIT;
    }
    listen_socket *s = &self->list[self->count++];
    struct sockaddr_storage at;
    *s = (listen_socket){.fd = fd};
    (void)snprintf(s->text, sizeof s->text, "%s", text);
    look_at(s, &at);
    return BRISK_OK;
}

static brisk_err refuse_more(const char *text, brisk_errinfo *info)
{
    return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: more than %d sockets to listen at", text,
                             SOCKETS_MAX);
}

static brisk_err listen_tcp(sockets *self, const char *text, brisk_errinfo *info)
{
    address at;
    if (strlen(text) >= SOCKET_TEXT_MAX || !split_address(text, &at)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "'%.80s' is not HOST:PORT, [HOST]:PORT, PORT or unix:PATH", text);
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int failed = getaddrinfo(at.host[0] != '\0' ? at.host : NULL, at.port, &hints, &list);
    if (failed != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: %s", text, gai_strerror(failed));
    }
    brisk_err err = BRISK_ERR_NOT_FOUND;
    for (const struct addrinfo *one = list; one != NULL && err != BRISK_OK; one = one->ai_next) {
        int fd = open_tcp(one, self->backlog);
        if (fd < 0) {
            err = brisk_errinfo_set_errno(info, errno, "cannot listen at %s", text);
            continue;
        }
        err = add(self, fd, text);
        if (err != BRISK_OK) {
            (void)close(fd);
            err = refuse_more(text, info);
        }
    }
    freeaddrinfo(list);
    return err;
}

/* Whether a socket stands there that refuses connections. */
static bool is_left_over(const struct sockaddr_un *at)
{
    struct stat st;
    if (lstat(at->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        return false;
    }
    int fd = new_socket(AF_UNIX);
    bool refused = fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) != 0 &&
                   errno == ECONNREFUSED;
    close_keeping_errno(fd);
    return refused;
}

static int open_unix(const struct sockaddr_un *at, uint32_t backlog)
{
    if (is_left_over(at)) {
        (void)unlink(at->sun_path);
    }
    int fd = new_socket(AF_UNIX);
    if (fd < 0) {
        return -1;
    }
    mode_t mask = umask(0077);
    int failed = bind(fd, (const struct sockaddr *)at, sizeof *at);
    (void)umask(mask);
    if (failed != 0) {
        close_keeping_errno(fd);
        return -1;
    }
    if (listen(fd, (int)backlog) != 0) {
        close_keeping_errno(fd);
        (void)unlink(at->sun_path);
        return -1;
    }
    return fd;
}

static brisk_err listen_unix(sockets *self, const char *path, brisk_errinfo *info)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (path[0] == '\0' || strlen(path) >= sizeof at.sun_path) {
        return brisk_errinfo_set(info, path[0] == '\0' ? BRISK_ERR_INVALID : BRISK_ERR_LIMIT,
                                 "a socket's path has from 1 to %zu bytes: %s",
                                 sizeof at.sun_path - 1, path);
    }
    if (self->count == SOCKETS_MAX) {
        return refuse_more(path, info);
    }
    memcpy(at.sun_path, path, strlen(path) + 1);
    int fd = open_unix(&at, self->backlog);
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "cannot listen at %s", path);
    }
    brisk_err err = add(self, fd, path);
    self->list[self->count - 1].is_ours = true;
    return err;
}

brisk_err sockets_open(sockets *self, const char *text, brisk_errinfo *info)
{
    return strncmp(text, "unix:", 5) == 0 ? listen_unix(self, text + 5, info)
                                          : listen_tcp(self, text, info);
}

/* --- from others -------------------------------------------------------------------------- */

static void name_socket(listen_socket *s, const struct sockaddr_storage *at)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (at->ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)at;
        (void)snprintf(s->text, sizeof s->text, "%.*s", (int)sizeof un->sun_path, un->sun_path);
    } else if (at->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)at;
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        (void)snprintf(s->text, sizeof s->text, "[%s]:%u", host, s->port);
    } else {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)at;
        (void)inet_ntop(AF_INET, &in4->sin_addr, host, sizeof host);
        (void)snprintf(s->text, sizeof s->text, "%s:%u", host, s->port);
    }
}

brisk_err sockets_adopt(sockets *self, int fd, const char *text, brisk_errinfo *info)
{
    int listens = 0;
    int type = 0;
    socklen_t size = sizeof listens;
    socklen_t type_size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) != 0 || listens == 0 ||
        type != SOCK_STREAM) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "descriptor %d is no socket that is listened at", fd);
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return brisk_errinfo_set_errno(info, errno, "descriptor %d", fd);
    }
    if (add(self, fd, text != NULL ? text : "") != BRISK_OK) {
        return refuse_more("descriptors", info);
    }
    listen_socket *s = &self->list[self->count - 1];
    struct sockaddr_storage at;
    look_at(s, &at);
    if (text == NULL) {
        name_socket(s, &at);
    }
    return BRISK_OK;
}

/* A number of `variable`; false: it is not set, or not one. */
static bool number_of(const char *variable, uint64_t *ret)
{
    const char *text = secure_getenv(variable);
    return text != NULL && brisk_text_u64(text, ret) == BRISK_OK;
}

brisk_err sockets_from_systemd(sockets *self, brisk_errinfo *info)
{
    uint64_t pid = 0;
    uint64_t count = 0;
    bool ours = number_of("LISTEN_PID", &pid) && pid == (uint64_t)getpid() &&
                number_of("LISTEN_FDS", &count);
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    if (!ours) {
        return BRISK_OK;
    }
    if (count > SOCKETS_MAX) {
        return refuse_more("LISTEN_FDS", info);
    }
    brisk_err err = BRISK_OK;
    for (int i = 0; i < (int)count && err == BRISK_OK; i++) {
        err = sockets_adopt(self, SYSTEMD_FIRST + i, NULL, info);
    }
    return err;
}

void sockets_close(sockets *self, bool forget)
{
    for (uint32_t i = 0; i < self->count; i++) {
        listen_socket *s = &self->list[i];
        if (s->fd >= 0) {
            (void)close(s->fd);
        }
        if (s->is_ours && !forget) {
            (void)unlink(s->text);
        }
        s->fd = -1;
    }
    self->count = 0;
}
