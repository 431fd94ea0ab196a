/*
 * pressure.c -- a limit that is kept by giving up what is least worth keeping.
 *
 *       0 ............ 80 % ............ 90 % ...... limit
 *         grows back    │   as it is       │  shrinks to 85 %
 *
 * The tier keeps an eighth of what was configured: with less it would be no cache, and something else
 * than the cache is then too large.  The gap between growing and shrinking keeps it from doing both in
 * turn.
 *
 * Source:  proc(5), /proc/pid/statm.
 */
#include "daemon/pressure.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <brisk/log.h>

#include "daemon/server.h"

enum {
    HIGH_PERCENT = 90,
    AIM_PERCENT = 85,
    LOW_PERCENT = 80,
    GROW_PARTS = 50,
    KEPT_PARTS = 8,
    INPUT_PARTS = 2, /* of the limit; who does not fit is closed */
    OUTPUT_PARTS = 4,
    LEAST_TOTAL = 1 << 20, /* as of serve.input_total */
    TIDY_SECONDS = 5,
    TIDY_GROWN = 4 << 20, /* since it was tidied */
    TIDY_FREE = 8 << 20,  /* in arenas; less is not worth the walk */
};

void pressure_bound(server_limits *limits, uint64_t limit)
{
    size_t in = limit / INPUT_PARTS > LEAST_TOTAL ? (size_t)(limit / INPUT_PARTS) : LEAST_TOTAL;
    size_t out = limit / OUTPUT_PARTS > LEAST_TOTAL ? (size_t)(limit / OUTPUT_PARTS) : LEAST_TOTAL;
    if (limit != 0) {
        limits->input_total = limits->input_total < in ? limits->input_total : in;
        limits->output_total = limits->output_total < out ? limits->output_total : out;
    }
}

void pressure_open(pressure *self, uint64_t limit)
{
    *self = (pressure){.limit = limit};
    self->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

void pressure_close(pressure *self)
{
    if (self->statm_fd >= 0) {
        (void)close(self->statm_fd);
    }
    self->statm_fd = -1;
}

/* Bytes of the process in memory; 0: unknown. */
static uint64_t resident(int fd)
{
    char text[128];
    ssize_t size = pread(fd, text, sizeof text - 1, 0);
    if (size <= 0) {
        return 0;
    }
    text[size] = '\0';
    char *second = NULL;
    (void)strtoull(text, &second, 10);
    return strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t pressure_left(const server *s, uint64_t bytes)
{
    uint64_t kept = bytes / KEPT_PARTS;
    uint64_t cut = s->pressure.cut < bytes - kept ? s->pressure.cut : bytes - kept;
    return bytes - cut;
}

static void apply(server *s, uint64_t cut)
{
    if (cut == s->pressure.cut) {
        return;
    }
    brisk_log_level level = cut > s->pressure.cut ? BRISK_LOG_WARNING : BRISK_LOG_INFO;
    s->pressure.cut = cut;
    uint64_t all = s->maxmemory != 0 ? s->maxmemory : s->keys.bytes_reserve;
    bool good = sizing_follow(s) && keyspace_resize(&s->keys, pressure_left(s, all));
    if (level == BRISK_LOG_WARNING) {
        (void)malloc_trim(0); /* large values lay between others: their pages would stay */
    }
    brisk_log(level, "serve",
              "memory: %" PRIu64 " of %" PRIu64 " MiB used, keys may have %" PRIu64 "%s",
              s->pressure.used >> 20, s->pressure.limit >> 20, pressure_left(s, all) >> 20,
              good ? "" : " (not resized)");
}

void pressure_tick(server *s)
{
    pressure *p = &s->pressure;
    if (p->statm_fd < 0 || p->limit == 0) {
        return;
    }
    p->used = resident(p->statm_fd);
    uint64_t part = p->limit / 100;
    uint64_t all = s->maxmemory != 0 ? s->maxmemory : s->keys.bytes_reserve;
    if (p->used > HIGH_PERCENT * part) {
        uint64_t most = all - all / KEPT_PARTS;
        brisk_tier_stats stats; /* what it may have is often more than it has */
        keyspace_stats(&s->keys, &stats);
        uint64_t excess = p->used - AIM_PERCENT * part;
        uint64_t goal = stats.bytes > excess ? stats.bytes - excess : 0;
        uint64_t cut = all > goal ? all - goal : 0;
        apply(s, cut < most ? cut : most);
    } else if (p->used < LOW_PERCENT * part && p->cut > 0) {
        uint64_t step = p->limit / GROW_PARTS;
        apply(s, p->cut > step ? p->cut - step : 0);
    }
}

void pressure_tidy(pressure *self)
{
    if (self->statm_fd < 0 || ++self->seconds % TIDY_SECONDS != 0) {
        return;
    }
    uint64_t now = resident(self->statm_fd);
    if (now > self->tidied + TIDY_GROWN && mallinfo2().fordblks > TIDY_FREE) {
        (void)malloc_trim(0);
        now = resident(self->statm_fd);
        self->tidied = now;
    }
    self->tidied = now < self->tidied ? now : self->tidied;
}
