/*
 * plain.c -- a process that runs without the sampler: malloc can't be looked into from outside, its kinds of memory
 * and their growth can.
 */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include <brisk/clock.h>
#include <brisk/json.h>
#include <brisk/machine.h>
#include <brisk/stats.h>

#include "observe/heap/memory.h"
#include "observe/profile/report_words.h"

enum { POINTS_MAX = 4096, PAUSE_NS = 100000000 };

typedef struct kinds {
    uint64_t rss;
    uint64_t pss;
    uint64_t anonymous;
    uint64_t swap;
} kinds;

typedef struct plain {
    brisk_process process;
    kinds kinds;
    bool has_kinds;
    double times[POINTS_MAX];
    double rss[POINTS_MAX];
    uint32_t count;
    brisk_trend trend;
    bool has_trend;
} plain;

/* /proc/PID/smaps_rollup; false: not ours to read. */
static bool read_kinds(uint32_t pid, kinds *ret)
{
    char line[256];
    (void)snprintf(line, sizeof line, "/proc/%" PRIu32 "/smaps_rollup", pid);
    FILE *file = fopen(line, "re");
    bool any = false;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        struct {
            const char *name;
            uint64_t *to;
        } known[] = {{"Rss:", &ret->rss},
                     {"Pss:", &ret->pss},
                     {"Anonymous:", &ret->anonymous},
                     {"Swap:", &ret->swap}};
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            size_t size = strlen(known[i].name);
            if (strncmp(line, known[i].name, size) == 0) {
                *known[i].to = strtoull(line + size, NULL, 10) * 1024;
                any = true;
            }
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return any;
}

static void collect(plain *p, uint32_t pid, uint64_t duration_ns)
{
    sigset_t set;
    sigset_t before;
    uint64_t begin = brisk_clock_now_ns(NULL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, &before);
    for (;;) {
        uint64_t now = brisk_clock_now_ns(NULL);
        if (p->count >= POINTS_MAX || now - begin >= duration_ns ||
            brisk_process_read(NULL, pid, &p->process) != BRISK_OK || p->process.state == 'Z') {
            break;
        }
        p->times[p->count] = (double)(now - begin) / 1e9;
        p->rss[p->count++] = (double)p->process.resident_bytes;
        if (sigtimedwait(&set, NULL, &(struct timespec){.tv_nsec = PAUSE_NS}) > 0) {
            break;
        }
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
}

static const char *how_to_start(char text[HEAP_PATH_MAX + 128])
{
    char library[HEAP_PATH_MAX];
    if (heap_library(library, NULL) != BRISK_OK) {
        (void)snprintf(text, HEAP_PATH_MAX, "brisk profile --memory -- COMMAND");
    } else {
        (void)snprintf(text, HEAP_PATH_MAX + 128, "LD_PRELOAD=%s BRISK_HEAP=FOLDER COMMAND",
                       library);
    }
    return text;
}

static void print(const plain *p, FILE *out)
{
    char text[4][32];
    char start[HEAP_PATH_MAX + 128];
    char shown[PROF_SHOWN_MAX];
    (void)fprintf(out, "%s (%" PRIu32 "): resident %s, at most %s\n",
                  prof_shown(p->process.name, shown), p->process.pid,
                  prof_amount(p->process.resident_bytes, "bytes", text[0]),
                  prof_amount(p->process.peak_bytes, "bytes", text[1]));
    if (p->has_kinds) {
        (void)fprintf(
            out, "of its own (anonymous) %s, its share of what is shared counted %s, swapped %s\n",
            prof_amount(p->kinds.anonymous, "bytes", text[0]),
            prof_amount(p->kinds.pss, "bytes", text[1]),
            prof_amount(p->kinds.swap, "bytes", text[2]));
    }
    if (p->has_trend) {
        bool grows = p->trend.slope.low > 0;
        (void)fprintf(out, "%s in %.1f s: %+.0f bytes/s (95 %%: %+.0f to %+.0f, p %.3g)\n",
                      grows ? "resident memory grew" : "no growth shown", p->times[p->count - 1],
                      p->trend.slope.estimate, p->trend.slope.low, p->trend.slope.high,
                      p->trend.slope.p);
    } else {
        (void)fprintf(out, "whether it grows: watched for too short a time (--duration)\n");
    }
    (void)fprintf(
        out,
        "\nThis process runs without brisk's sampler, so who allocated what can't be told "
        "from outside.\nStart it with\n    brisk profile --memory -- COMMAND\nor, for "
        "`brisk profile --memory --pid` at any time later, with\n    %s\n",
        how_to_start(start));
}

static brisk_err write_json(const plain *p, FILE *out)
{
    char start[HEAP_PATH_MAX + 128];
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "pid", p->process.pid);
    brisk_json_bool(&json, "sampled", false);
    brisk_json_u64(&json, "rss_bytes", p->process.resident_bytes);
    brisk_json_u64(&json, "rss_peak_bytes", p->process.peak_bytes);
    if (p->has_kinds) {
        brisk_json_u64(&json, "anonymous_bytes", p->kinds.anonymous);
        brisk_json_u64(&json, "pss_bytes", p->kinds.pss);
        brisk_json_u64(&json, "swap_bytes", p->kinds.swap);
    }
    if (p->has_trend) {
        brisk_json_double(&json, "growth_per_second", p->trend.slope.estimate);
        brisk_json_double(&json, "growth_per_second_low", p->trend.slope.low);
        brisk_json_double(&json, "growth_per_second_high", p->trend.slope.high);
        brisk_json_double(&json, "growth_p", p->trend.slope.p);
    }
    brisk_json_str(&json, "start_with", how_to_start(start));
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

brisk_exit heap_watch_plain(const brisk_invocation *in, uint32_t pid, uint64_t duration_ns,
                            bool json)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    plain *p = alloc->acquire(alloc->ctx, sizeof *p, _Alignof(plain));
    if (p == NULL) {
        (void)fprintf(in->err, "brisk: profile: %s\n", brisk_err_message(BRISK_ERR_NOMEM));
        return BRISK_EXIT_FAILED;
    }
    memset(p, 0, sizeof *p);
    p->has_kinds = read_kinds(pid, &p->kinds);
    collect(p, pid, duration_ns > 0 ? duration_ns : UINT64_C(3000000000));
    brisk_exit result = BRISK_EXIT_OK;
    if (p->count == 0) {
        (void)fprintf(in->err,
                      "brisk: profile: process %" PRIu32 ": not there, or not ours to see\n", pid);
        result = BRISK_EXIT_FAILED;
    } else {
        brisk_series series = {.values = p->rss, .times = p->times, .count = p->count};
        p->has_trend = brisk_trend_find(&series, NULL, &p->trend) == BRISK_OK;
        if (!json) {
            print(p, in->out);
        } else if (write_json(p, in->out) != BRISK_OK) {
            result = BRISK_EXIT_FAILED;
        }
    }
    alloc->release(alloc->ctx, p, sizeof *p, _Alignof(plain));
    return result;
}
