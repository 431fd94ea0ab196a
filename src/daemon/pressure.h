/*
 * pressure.h -- the process stays below serve.memory_limit: what the memory tier may have shrinks when all
 * that the process has comes near, and grows back when there is room again.
 *
 * Threads: pressure_open before the workers run; pressure_tick under the server's lock, about once a
 * second.
 */
#ifndef BRISK_SRC_DAEMON_PRESSURE_H
#define BRISK_SRC_DAEMON_PRESSURE_H

#include <stdint.h>

typedef struct server server;

typedef struct pressure {
    int statm_fd;   /* -1: nobody looks */
    uint64_t limit; /* 0: none */
    uint64_t used;  /* of the process, when it was looked at last */
    uint64_t cut;   /* from what the tier may have */
} pressure;

void pressure_open(pressure *self, uint64_t limit);
void pressure_close(pressure *self);
void pressure_tick(server *s);
/* What is left of `bytes`. */
uint64_t pressure_left(const server *s, uint64_t bytes);

#endif /* BRISK_SRC_DAEMON_PRESSURE_H */
