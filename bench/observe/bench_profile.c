/*
 * bench_profile.c -- what sampling costs: a walk of a stack of 60 frames, and the processor time of a
 * program that is sampled; beside libunwind and perf when they are there.  Prints JSON.
 *
 *     bench_profile [PATH OF brisk]
 *
 * Overhead: a program of fixed work tells the processor time that it used; each mode runs once a
 * round, in random order, so that what else the machine does falls on all alike.  Ratios are to the
 * same without a profiler: the median of those within a round, of medians, and of minima.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/json.h>
#include <brisk/rng.h>

#include "observe/profile/unwind.h"

#if BENCH_UNWIND
#    define UNW_LOCAL_ONLY
#    include <libunwind.h>
#endif

enum { DEPTH = 60, WALKS = 5000, REPEATS = 25, ROUNDS = 9, MODES_MAX = 6, FRAMES_MAX = 128 };

extern char **environ;

/* --- walks ---------------------------------------------------------------------------------- */

typedef struct walk {
    prof_unwinder *unwinder;
    prof_spaces spaces;
    prof_space *space;
    const unsigned char *stack_end;
    double ns[4]; /* frame pointers, tables, libunwind cached, libunwind step by step */
    size_t frames[4];
} walk;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

__attribute__((noinline)) static size_t walk_once(walk *w, int how)
{
    void *addresses[FRAMES_MAX];
    uint64_t pcs[FRAMES_MAX];
    prof_regs regs;
    __asm__ volatile("leaq (%%rip), %0\n\tmovq %%rsp, %1\n\tmovq %%rbp, %2"
                     : "=r"(regs.ip), "=r"(regs.sp), "=r"(regs.bp));
    prof_stack stack = {.bytes = (const unsigned char *)regs.sp, // the stack itself, not a copy
                        .base = regs.sp,
                        .size = (size_t)((uint64_t)w->stack_end - regs.sp)};
    size_t count = 0;
    (void)addresses;
    switch (how) {
    case 0: return prof_unwind_fp(&regs, &stack, pcs, FRAMES_MAX);
    case 1:
        return prof_unwind(w->unwinder, &(prof_walk){&w->spaces, w->space, regs, stack}, pcs,
                           FRAMES_MAX);
#if BENCH_UNWIND
    case 2: return (size_t)unw_backtrace(addresses, FRAMES_MAX);
    case 3: {
        unw_context_t context;
        unw_cursor_t cursor;
        (void)unw_getcontext(&context);
        (void)unw_init_local(&cursor, &context);
        do {
            count++;
        } while (unw_step(&cursor) > 0);
        return count;
    }
#endif
    default: return count;
    }
}

/* Processor time of this thread. */
static uint64_t own_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

__attribute__((noinline)) static void measure_walks(walk *w)
{
    for (int how = 0; how < (BENCH_UNWIND ? 4 : 2); how++) {
        double ns[REPEATS];
        int walks = how == 3 ? WALKS / 20 : WALKS;
        for (int r = 0; r < REPEATS; r++) {
            uint64_t before = own_ns();
            for (int i = 0; i < walks; i++) {
                w->frames[how] = walk_once(w, how);
            }
            ns[r] = (double)(own_ns() - before) / walks;
        }
        (void)median(ns, REPEATS);
        w->ns[how] = ns[0]; /* the least: others share the machine */
    }
}

// NOLINTNEXTLINE(misc-no-recursion): a deep stack is what is measured
__attribute__((noinline)) static void descend(walk *w, int depth)
{
    if (depth > 0) {
        descend(w, depth - 1);
        __asm__ volatile("" ::: "memory"); /* no tail call */
    } else {
        measure_walks(w);
    }
}

static int run_walks(brisk_json *json)
{
    static const char *const names[] = {"frame_pointers_ns", "tables_ns", "libunwind_cached_ns",
                                        "libunwind_step_ns"};
    static prof_unwinder unwinder;
    walk w = {.unwinder = &unwinder,
              .stack_end = (const unsigned char *)__builtin_frame_address(0) + 4096};
    if (prof_spaces_init(&w.spaces, brisk_alloc_libc()) != BRISK_OK) {
        return 1;
    }
    prof_space_read(&w.spaces, (uint32_t)getpid());
    w.space = prof_space_of(&w.spaces, (uint32_t)getpid());
    descend(&w, DEPTH - 6);
    brisk_json_object_begin(json, "walk");
    for (int how = 0; how < (BENCH_UNWIND ? 4 : 2); how++) {
        brisk_json_object_begin(json, names[how]);
        brisk_json_u64(json, "frames", w.frames[how]);
        brisk_json_double(json, "ns", w.ns[how]);
        brisk_json_double(json, "ns_of_60_frames", w.ns[how] * 60.0 / (double)w.frames[how]);
        brisk_json_object_end(json);
    }
    brisk_json_object_end(json);
    prof_spaces_deinit(&w.spaces);
    return 0;
}

/* --- overhead ------------------------------------------------------------------------------- */

static volatile uint64_t sink;

// NOLINTNEXTLINE(misc-no-recursion)
__attribute__((noinline)) static void work(int depth)
{
    if (depth > 0) {
        work(depth - 1);
        __asm__ volatile("" ::: "memory");
        return;
    }
    for (uint64_t i = 0; i < 1200000000; i++) {
        sink += i;
    }
}

/* Does the work, and writes its processor time to the file. */
static int run_target(const char *path)
{
    work(20);
    struct timespec used;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return 1;
    }
    (void)fprintf(file, "%.9f\n", (double)used.tv_sec + (double)used.tv_nsec / 1e9);
    return fclose(file) == 0 ? 0 : 1;
}

typedef struct mode {
    const char *name;
    const char *argv[16];
    double seconds[ROUNDS];
    double tool_seconds[ROUNDS];
} mode;

static double run_mode(const mode *m, const char *target, const char *path)
{
    const char *argv[24];
    size_t count = 0;
    for (size_t i = 0; m->argv[i] != NULL; i++) {
        argv[count++] = m->argv[i];
    }
    argv[count++] = target;
    argv[count++] = "--target";
    argv[count++] = path;
    argv[count] = NULL;
    posix_spawn_file_actions_t actions;
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    (void)posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    (void)unlink(path);
    pid_t pid;
    int failed =
        posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    int status = 1;
    if (failed != 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        return -1;
    }
    double seconds = -1;
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%lf", &seconds) != 1) {
            seconds = -1;
        }
        (void)fclose(file);
    }
    return seconds;
}

static void shuffle(uint32_t *order, uint32_t count, brisk_rng *rng)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t at = (uint32_t)brisk_rng_below(rng, i);
        uint32_t kept = order[i - 1];
        order[i - 1] = order[at];
        order[at] = kept;
    }
}

static void write_modes(brisk_json *json, mode *modes, uint32_t count)
{
    double base[2] = {0, 0};
    double plain[ROUNDS];
    memcpy(plain, modes[0].seconds, sizeof plain);
    brisk_json_array_begin(json, "overhead");
    for (uint32_t i = 0; i < count; i++) {
        double paired[ROUNDS];
        for (uint32_t r = 0; r < ROUNDS; r++) {
            paired[r] = modes[i].seconds[r] / plain[r]; /* of the same round */
        }
        double middle = median(modes[i].seconds, ROUNDS); /* sorts */
        double least = modes[i].seconds[0];
        base[0] = i == 0 ? middle : base[0];
        base[1] = i == 0 ? least : base[1];
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "mode", modes[i].name);
        if (least < 0) {
            brisk_json_str(json, "left_out", "it can't be run here");
        } else {
            brisk_json_double(json, "median_s", middle);
            brisk_json_double(json, "paired_ratio", median(paired, ROUNDS));
            brisk_json_double(json, "median_ratio", middle / base[0]);
            brisk_json_double(json, "minimum_ratio", least / base[1]);
        }
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

static void run_overhead(brisk_json *json, const char *self, const char *brisk)
{
    mode modes[MODES_MAX] = {
        {.name = "none", .argv = {NULL}},
        {.name = "brisk 99", .argv = {brisk, "profile", "-q", "-F", "99", "--", NULL}},
        {.name = "brisk 999", .argv = {brisk, "profile", "-q", "-F", "999", "--", NULL}},
        {.name = "brisk 999 fp",
         .argv = {brisk, "profile", "-q", "-F", "999", "--stacks", "fp", "--", NULL}},
        {.name = "perf 99 fp",
         .argv = {"perf", "record", "-q", "-o", "/dev/null", "-e", "cpu-clock", "-F", "99", "-g",
                  "--", NULL}},
        {.name = "perf 999 fp",
         .argv = {"perf", "record", "-q", "-o", "/dev/null", "-e", "cpu-clock", "-F", "999", "-g",
                  "--", NULL}},
    };
    char path[] = "/tmp/bench_profile_XXXXXX";
    int fd = mkstemp(path);
    brisk_rng rng;
    brisk_rng_init(&rng, 20261127);
    if (fd >= 0) {
        (void)close(fd);
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t order[MODES_MAX] = {0, 1, 2, 3, 4, 5};
        shuffle(order, MODES_MAX, &rng);
        for (uint32_t i = 0; i < MODES_MAX; i++) {
            modes[order[i]].seconds[round] = run_mode(&modes[order[i]], self, path);
        }
    }
    (void)unlink(path);
    write_modes(json, modes, MODES_MAX);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--target") == 0) {
        return run_target(argv[2]);
    }
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(stdout), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "benchmark", "profile");
    int failed = run_walks(&json);
    if (argc == 2) {
        char self[4096];
        ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
        self[size > 0 ? size : 0] = '\0';
        run_overhead(&json, self, argv[1]);
    }
    brisk_json_object_end(&json);
    return brisk_json_finish(&json) == BRISK_OK ? failed : 1;
}
