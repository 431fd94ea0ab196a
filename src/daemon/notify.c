/*
 * notify.c -- one datagram for each message, to the socket that $NOTIFY_SOCKET names.
 *
 * The watchdog is fed at half its time.
 */
#include "daemon/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include <brisk/clock.h>

static int connect_to(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t size = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || size >= sizeof at.sun_path) {
        return -1;
    }
    memcpy(at.sun_path, path, size);
    if (path[0] == '@') { /* an abstract name begins with a NUL and has none at its end */
        at.sun_path[0] = '\0';
    }
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&at, length) != 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

/* Microseconds of $WATCHDOG_USEC, when it is meant for this process. */
static uint64_t watchdog_us(void)
{
    uint64_t us = 0;
    uint64_t pid = 0;
    const char *text = secure_getenv("WATCHDOG_USEC");
    const char *who = secure_getenv("WATCHDOG_PID");
    if (text == NULL || brisk_text_u64(text, &us) != BRISK_OK || us > UINT64_MAX / 1000) {
        return 0;
    }
    if (who != NULL && (brisk_text_u64(who, &pid) != BRISK_OK || pid != (uint64_t)getpid())) {
        return 0;
    }
    return us;
}

void notify_open(notifier *self)
{
    const char *path = secure_getenv("NOTIFY_SOCKET");
    *self = (notifier){.fd = path != NULL ? connect_to(path) : -1};
    if (self->fd >= 0) {
        self->watchdog_ns = watchdog_us() * 1000 / 2;
    }
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
}

void notify_say(const notifier *self, const char *text)
{
    if (self->fd >= 0) {
        (void)!send(self->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

void notify_reloading(const notifier *self)
{
    char text[64];
    (void)snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu",
                   (unsigned long long)(brisk_clock_now_ns(brisk_clock_system()) / 1000));
    notify_say(self, text);
}

void notify_close(notifier *self)
{
    if (self->fd >= 0) {
        (void)close(self->fd);
    }
    self->fd = -1;
}
