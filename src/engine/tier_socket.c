/*
 * tier_socket.c -- connect and poll behind engine/tier_socket.h.
 *
 * The addresses of a name are tried in the system's order; each but the last gets half of the time
 * that is left, so that a dead first one (version 6, often) does not eat all of it.
 */
#include "engine/tier_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <brisk/clock.h>

static const uint64_t ms = 1000000;

brisk_err tier_socket_wait(int fd, short events, uint64_t deadline_ns)
{
    for (;;) {
        uint64_t now = brisk_clock_now_ns(NULL);
        if (now >= deadline_ns) {
            return BRISK_ERR_DEADLINE;
        }
        uint64_t left = (deadline_ns - now + ms - 1) / ms;
        struct pollfd wait = {.fd = fd, .events = events};
        int ready = poll(&wait, 1, left < 60000 ? (int)left : 60000);
        if (ready > 0) {
            return BRISK_OK;
        }
        if (ready < 0 && errno != EINTR) {
            return brisk_err_from_errno(errno);
        }
    }
}

/* errno, or 0 when connected. */
static int connect_by(int fd, const struct sockaddr *address, socklen_t size, uint64_t deadline_ns)
{
    if (connect(fd, address, size) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS && errno != EINTR && errno != EAGAIN) {
        return errno;
    }
    brisk_err err = tier_socket_wait(fd, POLLOUT, deadline_ns);
    if (err != BRISK_OK) {
        return err == BRISK_ERR_DEADLINE ? ETIMEDOUT : EIO;
    }
    int result = 0;
    socklen_t result_size = sizeof result;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &result_size) == 0 ? result : errno;
}

/* A blocking socket, or -1 and errno. */
static int open_to(const struct sockaddr *address, socklen_t size, uint64_t deadline_ns)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    int failed = connect_by(fd, address, size, deadline_ns);
    int flags = fcntl(fd, F_GETFL);
    if (failed == 0 && (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0)) {
        failed = errno;
    }
    if (failed != 0) {
        (void)close(fd);
        errno = failed;
        return -1;
    }
    int on = 1;
    if (address->sa_family != AF_UNIX) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return fd;
}

static int open_any(const struct addrinfo *list, uint64_t deadline_ns)
{
    int fd = -1;
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
        uint64_t now = brisk_clock_now_ns(NULL);
        uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
        uint64_t until = a->ai_next != NULL ? now + left / 2 : deadline_ns;
        fd = open_to(a->ai_addr, a->ai_addrlen, until);
    }
    return fd;
}

static brisk_err failed_to(const char *host, uint16_t port, int os_errno, brisk_errinfo *info)
{
    if (os_errno == ETIMEDOUT) {
        return brisk_errinfo_set(info, BRISK_ERR_DEADLINE, "%s:%u does not answer", host, port);
    }
    (void)brisk_errinfo_set_errno(info, os_errno, "cannot connect to %s:%u", host, port);
    return BRISK_ERR_IO;
}

brisk_err tier_socket_connect(const char *host, uint16_t port, uint64_t deadline_ns, int *ret,
                              brisk_errinfo *info)
{
    int fd;
    if (port == 0) {
        struct sockaddr_un local = {.sun_family = AF_UNIX};
        size_t size = strlen(host);
        if (size >= sizeof local.sun_path) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID, "path of a socket is too long");
        }
        memcpy(local.sun_path, host, size);
        fd = open_to((const struct sockaddr *)&local, sizeof local, deadline_ns);
        if (fd < 0) {
            return failed_to(host, port, errno, info);
        }
        *ret = fd;
        return BRISK_OK;
    }
    char service[8];
    (void)snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int failed = getaddrinfo(host, service, &hints, &list);
    if (failed != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "host %s: %s", host,
                                 gai_strerror(failed));
    }
    fd = open_any(list, deadline_ns);
    int os_errno = errno;
    freeaddrinfo(list);
    if (fd < 0) {
        return failed_to(host, port, os_errno, info);
    }
    *ret = fd;
    return BRISK_OK;
}
