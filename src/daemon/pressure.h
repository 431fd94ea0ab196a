/*
 * pressure.h -- the process stays below serve.memory_limit: what the memory tier may have shrinks when all
 * that the process has comes near, and grows back when there is room again.
 *
 * Threads: pressure_open before the workers run; pressure_tick under the server's lock, about once a
 * second; pressure_tidy in the background.
 */
#ifndef BRISK_SRC_DAEMON_PRESSURE_H
#define BRISK_SRC_DAEMON_PRESSURE_H

#include <stdint.h>

typedef struct server server;
typedef struct server_limits server_limits;

typedef struct pressure {
    int statm_fd;   /* -1: nobody looks */
    uint64_t limit; /* 0: none */
    uint64_t used;  /* of the process, when it was looked at last */
    uint64_t cut;   /* from what the tier may have */
    /* pressure_tidy's own: */
    uint32_t seconds;
    uint64_t tidied; /* what the process had when it was tidied, or less since */
} pressure;

/* With a limit, what clients have unfinished is no more than half of it, and unread a quarter: dropping entries cannot
 * make up for that. */
void pressure_bound(server_limits *limits, uint64_t limit);
void pressure_open(pressure *self, uint64_t limit);
void pressure_close(pressure *self);
void pressure_tick(server *s);
/*
 * Once a second: now and then what nobody uses goes back to the system.  Freed values lie between others in malloc's
 * arenas and would stay in memory for good; values that are mapped each on their own come back at once, but cost a
 * fault for each page (SET of 1 MiB: a quarter of the rate).
 */
void pressure_tidy(pressure *self);
/* What is left of `bytes`. */
uint64_t pressure_left(const server *s, uint64_t bytes);

#endif /* BRISK_SRC_DAEMON_PRESSURE_H */
