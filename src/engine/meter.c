/*
 * meter.c -- what the threads of a stage used: processor time, and time they could have run but had no processor.
 *
 * The kernel keeps both per thread; the second one stands in /proc/thread-self/schedstat (ns on a processor,
 * ns runnable but waiting for one, turns).  Reading it is some microseconds, so only profiled jobs do it.
 * Where there is no such file (another kernel, a sandbox), the delay is 0.
 *
 * Threads: each reads its own; the sums of a record are atomic.
 * Source: kernel Documentation/scheduler/sched-stats.rst.
 */
#include "engine/internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* The second number of the file, or 0. */
static uint64_t read_delay_ns(void)
{
    char text[96];
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t size = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (size <= 0) {
        return 0;
    }
    text[size] = '\0';
    char *end;
    (void)strtoull(text, &end, 10);
    return *end == ' ' ? strtoull(end, NULL, 10) : 0;
}

engine_meter engine_meter_read(const brisk_job *job)
{
    if (!job->opts.profile) {
        return (engine_meter){0};
    }
    uint64_t delay_ns = read_delay_ns(); /* first, so that reading it is not counted */
    return (engine_meter){.cpu_ns = brisk_clock_thread_cpu_ns(), .delay_ns = delay_ns};
}

void engine_meter_add(const brisk_job *job, engine_record *record, engine_meter from)
{
    if (!job->opts.profile) {
        return;
    }
    uint64_t cpu_ns = brisk_clock_thread_cpu_ns() - from.cpu_ns;
    uint64_t delay_ns = read_delay_ns();
    /* Relaxed: read when the job is done. */
    (void)atomic_fetch_add_explicit(&record->cpu_ns, cpu_ns, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&record->delay_ns,
                                    delay_ns > from.delay_ns ? delay_ns - from.delay_ns : 0,
                                    memory_order_relaxed);
}
