/*
 * introspect.h -- watching the server: slow commands, latency events, MONITOR.
 */
#ifndef BRISK_SRC_DAEMON_INTROSPECT_H
#define BRISK_SRC_DAEMON_INTROSPECT_H

#include "daemon/server.h"

BRISK_NODISCARD brisk_err slowlog_create(const brisk_alloc *alloc, struct slowlog **ret);
void slowlog_destroy(struct slowlog *log);
/* A command took `ns`: remembered when that is too long. */
void slowlog_note(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc,
                  uint64_t ns);
void slowlog_set(struct slowlog *log, int64_t slower_than_us, uint64_t length_max);

BRISK_NODISCARD brisk_err latency_create(const brisk_alloc *alloc, struct latency **ret);
void latency_destroy(struct latency *l);
/* Something took `ms`: kept when that is above the threshold. */
void latency_note(server *s, const char *event, uint64_t ms);
void latency_set_threshold(struct latency *l, uint64_t ms);

/* Show a command to every client that monitors. */
void monitor_feed(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc);

extern command_fn command_slowlog_get, command_slowlog_len, command_slowlog_reset,
    command_latency_latest, command_latency_history, command_latency_reset, command_latency_doctor,
    command_latency_histogram;

#endif /* BRISK_SRC_DAEMON_INTROSPECT_H */
