/*
 * session_parts.c -- all processes; and the price of a sample.
 */
#include "observe/profile/session_parts.h"

#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <brisk/clock.h>

#include "observe/profile/perf.h"

enum { ROUNDS = 4, ROUND_MS = 5, CALIBRATION_HZ = 10000 };

void prof_pids_all(prof_pids *ret)
{
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (*end == '\0' && pid > 0 && !BRISK_VEC_PUSH(ret, (pid_t)pid)) {
            break;
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

static uint64_t thread_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Turns of an empty loop that fit a piece of this thread's processor time. */
static uint64_t work(uint64_t length_ns)
{
    uint64_t until = thread_ns() + length_ns;
    uint64_t turns = 0;
    while (thread_ns() < until) {
        for (uint32_t i = 0; i < 1000; i++) {
            __asm__ volatile("" ::: "memory");
        }
        turns++;
    }
    return turns;
}

static void count_sample(void *ctx, const prof_record *record)
{
    *(uint64_t *)ctx += record->kind == PROF_RECORD_SAMPLE;
}

uint64_t prof_sample_cost_ns(uint32_t stack_bytes)
{
    pid_t self = (pid_t)gettid();
    prof_perf_opts opts = {.threads = &self,
                           .thread_count = 1,
                           .frequency = CALIBRATION_HZ,
                           .stack_bytes = stack_bytes};
    prof_perf *perf = NULL;
    if (prof_perf_open(&opts, brisk_alloc_libc(), &perf, NULL) != BRISK_OK) {
        return 0;
    }
    uint64_t plain = 0;
    uint64_t sampled = 0;
    uint64_t samples = 0;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        plain += work(ROUND_MS * UINT64_C(1000000));
        prof_perf_enable(perf, true);
        sampled += work(ROUND_MS * UINT64_C(1000000));
        prof_perf_enable(perf, false);
        prof_perf_drain(perf, true, count_sample, &samples);
    }
    prof_perf_close(perf);
    if (samples == 0 || sampled >= plain || plain == 0) {
        return 0;
    }
    double lost = (double)(plain - sampled) / (double)plain;
    return (uint64_t)(lost * ROUNDS * ROUND_MS * 1e6 / (double)samples);
}
