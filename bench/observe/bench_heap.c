/*
 * bench_heap.c -- what the heap sampler costs a program, beside jemalloc's and heaptrack when they are there; and
 * what three ways cost that tell free that a block was not sampled.  Prints JSON.
 *
 *     bench_heap [ROUNDS]
 *
 * The program makes a million malloc/free pairs of 16 bytes to 8 KiB over 100,000 slots (some 136 MB live), twelve
 * calls deep.  Each mode runs once a round, in random order; figures are of processor time of the whole process, its
 * start and end included, as ratios of medians and of minima to the same allocator without a sampler.  Live bytes
 * are known exactly and compared with what the sampler's file says.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brisk/json.h>

#include "observe/heap/format.h"

enum { PAIRS = 1000000, SLOTS = 100000, DEPTH = 12, ROUNDS_MAX = 51, CHECKS = 1 << 22 };

/* --- the program that is measured ------------------------------------------------------------ */

static void *slots[SLOTS];
static size_t sizes[SLOTS];

static uint64_t mix(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    return z ^ (z >> 29);
}

__attribute__((noinline)) static void *dive(uint32_t depth, size_t size)
{
    void *block = depth == 0 ? malloc(size) : dive(depth - 1, size);
    __asm__ volatile("" : "+r"(block));
    return block;
}

static int work(void)
{
    uint64_t state = 42;
    uint64_t live = 0;
    for (uint32_t i = 0; i < PAIRS; i++) {
        uint64_t random = mix(&state);
        uint32_t at = (uint32_t)(random % SLOTS);
        size_t size = (size_t)16 << ((random >> 32) % 9);
        size += (size_t)((random >> 40) % size);
        free(slots[at]);
        live += size - sizes[at];
        slots[at] = dive(DEPTH, size);
        sizes[at] = size;
        *(char *)slots[at] = 1;
    }
    printf("%" PRIu64 "\n", live);
    return 0;
}

/* --- modes ----------------------------------------------------------------------------------- */

#define JEMALLOC  "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
#define HEAPTRACK "/usr/lib/heaptrack/libheaptrack_preload.so"

typedef struct mode {
    const char *name;
    const char *preload; /* NULL: none; "@": ours */
    const char *env;
    int against; /* its own allocator alone */
    bool ours;   /* leaves a file to compare */
} mode;

static const mode modes[] = {
    {"glibc", NULL, NULL, 0, false},
    {"glibc, sampler loaded and off", "@", NULL, 0, false},
    {"glibc, sampler 512 KiB", "@", HEAP_ENV_INTERVAL "=524288", 0, true},
    {"glibc, sampler default", "@", HEAP_ENV_INTERVAL "=0", 0, true},
    {"glibc, sampler 64 KiB", "@", HEAP_ENV_INTERVAL "=65536", 0, true},
    {"jemalloc", JEMALLOC, NULL, 5, false},
    {"jemalloc, own profiler 512 KiB", JEMALLOC, "MALLOC_CONF=prof:true,lg_prof_sample:19", 5,
     false},
    {"jemalloc, sampler 512 KiB", "@" JEMALLOC, HEAP_ENV_INTERVAL "=524288", 5, true},
    {"heaptrack", HEAPTRACK, "DUMP_HEAPTRACK_OUTPUT=/dev/null", 0, false},
};
enum { MODES = sizeof modes / sizeof *modes };

static double cpu_ms[MODES][ROUNDS_MAX];
static double error_percent[MODES][ROUNDS_MAX];
static char folder[] = "/dev/shm/brisk-bench-heap-XXXXXX";

/* The live bytes that the one file in the folder tells; the file is removed. */
static double read_live(pid_t pid)
{
    char path[128];
    heap_head head = {0};
    (void)snprintf(path, sizeof path, "%s/%d-0.heap", folder, (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, &head, sizeof head) != (ssize_t)sizeof head) {
        fprintf(stderr, "bench_heap: no %s\n", path);
        exit(1);
    }
    (void)close(fd);
    (void)unlink(path);
    return (double)head.live_bytes;
}

static bool is_there(const mode *m)
{
    const char *path = m->preload != NULL && m->preload[0] == '@' ? m->preload + 1 : m->preload;
    return path == NULL || path[0] == '\0' || access(path, R_OK) == 0;
}

static void run(int which, int round)
{
    const mode *m = &modes[which];
    char preload[512] = "LD_PRELOAD=";
    char heap[128];
    char *env[4] = {NULL};
    int count = 0;
    int out[2];
    if (m->preload != NULL) {
        const char *more = m->preload[0] == '@' ? m->preload + 1 : m->preload;
        (void)snprintf(preload, sizeof preload, "LD_PRELOAD=%s%s%s",
                       m->preload[0] == '@' ? HEAP_LIBRARY : "",
                       m->preload[0] == '@' && *more != '\0' ? ":" : "", more);
        env[count++] = preload;
    }
    (void)snprintf(heap, sizeof heap, "%s=%s", HEAP_ENV_FOLDER, folder);
    if (m->ours) {
        env[count++] = heap;
    }
    if (m->env != NULL) {
        env[count++] = (char *)(uintptr_t)m->env;
    }
    char *const argv[] = {(char[]){"bench_heap"}, (char[]){"--work"}, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    if (pipe2(out, O_CLOEXEC) != 0) {
        exit(1);
    }
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    if (posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, env) != 0) {
        exit(1);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(out[1]);
    char text[64] = "";
    ssize_t got = read(out[0], text, sizeof text - 1);
    (void)close(out[0]);
    struct rusage used;
    int status;
    if (wait4(pid, &status, 0, &used) != pid || status != 0 || got <= 0) {
        fprintf(stderr, "bench_heap: %s failed\n", m->name);
        exit(1);
    }
    cpu_ms[which][round] = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e3 +
                           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e3;
    if (m->ours) {
        double truth = strtod(text, NULL);
        error_percent[which][round] = 100 * (read_live(pid) - truth) / truth;
    }
}

/* --- three ways to see that a block was not sampled ------------------------------------------- */

static uint64_t filter[2048];
static uint64_t table[4096];

static inline bool by_filter(uint64_t p)
{
    uint32_t bucket = (uint32_t)(((p >> 4) * UINT64_C(0x9e3779b97f4a7c15)) >> 47);
    return (filter[bucket >> 6] >> (bucket & 63)) & 1;
}

static inline bool by_alignment(uint64_t p)
{
    return (p & 0xff0) == 0;
}

static inline bool by_table(uint64_t p)
{
    uint32_t at = (uint32_t)(((p >> 4) * UINT64_C(0x9e3779b97f4a7c15)) >> 52);
    while (table[at] != 0 && table[at] != p) {
        at = (at + 1) & 4095;
    }
    return table[at] == p;
}

static double now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

#define TIME_CHECK(name)                                                                           \
    static double time_##name(uint64_t *hits)                                                      \
    {                                                                                              \
        double best = 1e9;                                                                         \
        for (int round = 0; round < 7; round++) {                                                  \
            uint64_t state = 7;                                                                    \
            uint64_t seen = 0;                                                                     \
            double begin = now_ns();                                                               \
            for (uint32_t i = 0; i < CHECKS; i++) {                                                \
                state = state * UINT64_C(6364136223846793005) + 1;                                 \
                seen += name((state >> 36) << 4);                                                  \
            }                                                                                      \
            double ns = (now_ns() - begin) / CHECKS;                                               \
            best = ns < best ? ns : best;                                                          \
            *hits = seen;                                                                          \
        }                                                                                          \
        return best;                                                                               \
    }
static inline bool by_nothing(uint64_t p)
{
    return p == 16;
}
TIME_CHECK(by_nothing)
TIME_CHECK(by_filter)
TIME_CHECK(by_alignment)
TIME_CHECK(by_table)

static void write_checks(brisk_json *json)
{
    uint64_t state = 1;
    for (int i = 0; i < 1000; i++) { // as many as there are live samples
        uint64_t p = (mix(&state) >> 36) << 4;
        uint32_t bucket = (uint32_t)(((p >> 4) * UINT64_C(0x9e3779b97f4a7c15)) >> 47);
        filter[bucket >> 6] |= UINT64_C(1) << (bucket & 63);
        uint32_t at = (uint32_t)(((p >> 4) * UINT64_C(0x9e3779b97f4a7c15)) >> 52);
        while (table[at] != 0) {
            at = (at + 1) & 4095;
        }
        table[at] = p;
    }
    static double (*const checks[])(uint64_t *) = {time_by_nothing, time_by_filter,
                                                   time_by_alignment, time_by_table};
    static const char *const names[] = {"loop alone", "bit by hash (used)",
                                        "low bits of the address", "table of addresses"};
    brisk_json_array_begin(json, "free_checks_1000_live");
    for (int i = 0; i < 4; i++) {
        uint64_t hits = 0;
        double ns = checks[i](&hits);
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "check", names[i]);
        brisk_json_double(json, "ns", ns);
        brisk_json_double(json, "looks_further_percent", 100.0 * (double)hits / CHECKS);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

/* --- report ---------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void write_mode(brisk_json *json, int which, int rounds)
{
    const mode *m = &modes[which];
    double *own = cpu_ms[which]; /* all are sorted */
    const double *base = cpu_ms[m->against];
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "mode", m->name);
    brisk_json_double(json, "cpu_ms_median", own[rounds / 2]);
    brisk_json_double(json, "cpu_ms_min", own[0]);
    brisk_json_double(json, "ratio_of_medians", own[rounds / 2] / base[rounds / 2]);
    brisk_json_double(json, "ratio_of_minima", own[0] / base[0]);
    if (m->ours) {
        double *errors = error_percent[which];
        qsort(errors, (size_t)rounds, sizeof *errors, by_value);
        brisk_json_double(json, "live_error_percent_low", errors[0]);
        brisk_json_double(json, "live_error_percent_median", errors[rounds / 2]);
        brisk_json_double(json, "live_error_percent_high", errors[rounds - 1]);
    }
    brisk_json_object_end(json);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--work") == 0) {
        return work();
    }
    int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 15;
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    uint64_t state = 3;
    for (int round = 0; round < rounds; round++) {
        int order[MODES];
        for (int i = 0; i < MODES; i++) {
            int at = (int)(mix(&state) % (uint64_t)(i + 1));
            order[i] = order[at];
            order[at] = i;
        }
        for (int i = 0; i < MODES; i++) {
            if (is_there(&modes[order[i]])) {
                run(order[i], round);
            }
        }
    }
    (void)rmdir(folder);
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(stdout), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_i64(&json, "rounds", rounds);
    brisk_json_array_begin(&json, "modes");
    for (int i = 0; i < MODES; i++) {
        qsort(cpu_ms[i], (size_t)rounds, sizeof cpu_ms[i][0], by_value);
    }
    for (int i = 0; i < MODES; i++) {
        if (is_there(&modes[i])) {
            write_mode(&json, i, rounds);
        }
    }
    brisk_json_array_end(&json);
    write_checks(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json) == BRISK_OK ? 0 : 1;
}
