/*
 * notify.h -- what systemd wants to know of a service, without its library.
 *
 * Threads: one at a time.
 * Source:  sd_notify(3), sd_watchdog_enabled(3).
 */
#ifndef BRISK_SRC_DAEMON_NOTIFY_H
#define BRISK_SRC_DAEMON_NOTIFY_H

#include <stdint.h>

typedef struct notifier {
    int fd;               /* -1: nobody asked */
    uint64_t watchdog_ns; /* to be told "WATCHDOG=1" that often; 0: not */
} notifier;

/* Reads NOTIFY_SOCKET and WATCHDOG_USEC, and removes them, so that no child speaks for us. */
void notify_open(notifier *self);
/* "READY=1\nSTATUS=..."; lost when nobody listens. */
void notify_say(const notifier *self, const char *text);
/* RELOADING=1 with the time that goes with it. */
void notify_reloading(const notifier *self);
void notify_close(notifier *self);

#endif /* BRISK_SRC_DAEMON_NOTIFY_H */
