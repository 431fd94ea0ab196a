/*
 * bench_virtual.c -- virtual speed-ups of a program with two threads against really speeding its parts up.
 *
 *     thread 1: A (10 units) ─┐ barrier    C (2.5 units)
 *     thread 2: B (6.7)       ┘ barrier
 *
 * The plain, the virtually and the really changed program take turns in blocks of rounds; the answer is the median
 * over the blocks of each.  Prints JSON: for each change the gain that was promised and the one that was measured.
 *
 *     bench_virtual [BLOCKS [UNIT_US]]      (9 blocks of 25 rounds, a unit of 400 us)
 */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/brisk.h>

enum { A, B, C, PARTS, ROUNDS = 25, BLOCKS_MAX = 99 };

static const double units[PARTS] = {10, 6.7, 2.5};

typedef struct program {
    brisk_virtual *v;
    double loops[PARTS]; /* of each part, as it is now */
    pthread_barrier_t barrier;
} program;

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_virtual: %s\n", what);
    exit(1);
}

static void burn(double loops)
{
    volatile uint64_t sink = 1;
    for (uint64_t left = (uint64_t)loops; left > 0; left--) {
        sink = sink * UINT64_C(6364136223846793005) + 1;
    }
}

static double loops_per_us(void)
{
    double best = 1e300;
    for (int i = 0; i < 200; i++) {
        uint64_t start = brisk_clock_now_ns(NULL);
        burn(100000);
        double ns = (double)(brisk_clock_now_ns(NULL) - start);
        best = ns < best ? ns : best;
    }
    return 100000 / (best / 1e3);
}

/* Each thread on a processor of its own: on a busy machine the scheduler may leave both on one. */
static void pin(size_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)sched_setaffinity(0, sizeof set, &set); /* where that is not allowed: unpinned */
}

static void part(program *p, brisk_virtual_thread *self, uint32_t which)
{
    brisk_virtual_enter(self, which);
    burn(p->loops[which]);
    brisk_virtual_exit(self, which);
}

static void meet(program *p, brisk_virtual_thread *self)
{
    brisk_virtual_wait_begin(self);
    (void)pthread_barrier_wait(&p->barrier);
    brisk_virtual_wait_end(self);
}

static void *second(void *arg)
{
    program *p = arg;
    brisk_virtual_thread self;
    pin(1);
    brisk_virtual_join(p->v, &self);
    for (int i = 0; i < ROUNDS; i++) {
        meet(p, &self);
        part(p, &self, B);
        meet(p, &self);
    }
    brisk_virtual_leave(&self);
    return NULL;
}

/* A block of rounds with an experiment over it; its time for one round, in ms. */
static double run_block(program *p, uint32_t scope, double speedup)
{
    pthread_t other;
    brisk_virtual_thread self;
    brisk_virtual_result result;
    brisk_virtual_join(p->v, &self);
    if (pthread_create(&other, NULL, second, p) != 0 ||
        brisk_virtual_start(p->v, scope, speedup) != BRISK_OK) {
        die("no thread");
    }
    for (int i = 0; i < ROUNDS; i++) {
        meet(p, &self);
        part(p, &self, A);
        meet(p, &self);
        part(p, &self, C);
        brisk_virtual_progress(p->v);
    }
    if (brisk_virtual_stop(p->v, &result) != BRISK_OK || result.progress != ROUNDS) {
        die("an experiment failed");
    }
    (void)pthread_join(other, NULL);
    brisk_virtual_leave(&self);
    return (double)result.effective_ns / 1e6 / ROUNDS;
}

static double median(double *values, uint32_t count)
{
    brisk_sample_sort(values, count);
    return brisk_sample_median(values, count);
}

int main(int argc, char **argv)
{
    uint32_t blocks = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 9;
    double unit_us = argc > 2 ? strtod(argv[2], NULL) : 400;
    if (blocks < 1 || blocks > BLOCKS_MAX || !(unit_us >= 1 && unit_us <= 1e5)) {
        die("BLOCKS is from 1 to 99, UNIT_US from 1 to 100000");
    }
    static const struct {
        uint32_t part;
        double speedup;
        const char *name;
    } cases[] = {{A, 0.25, "A x 0.75"}, {A, 0.5, "A x 0.5"}, {A, 1, "A -> 0"},
                 {B, 0.5, "B x 0.5"},   {C, 0.5, "C x 0.5"}, {C, 1, "C -> 0"}};
    program p = {.v = NULL};
    pin(0);
    double loops = loops_per_us() * unit_us;
    if (brisk_virtual_create(NULL, &p.v) != BRISK_OK ||
        pthread_barrier_init(&p.barrier, NULL, 2) != 0) {
        die("no memory");
    }
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(stdout), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "bench", "virtual");
    brisk_json_str(&json, "machine", brisk_history_machine());
    brisk_json_array_begin(&json, "cases");
    double errors[sizeof cases / sizeof cases[0]];
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double plain[BLOCKS_MAX];
        double promised[BLOCKS_MAX];
        double changed[BLOCKS_MAX];
        for (uint32_t b = 0; b < blocks; b++) {
            for (int k = 0; k < PARTS; k++) {
                p.loops[k] = units[k] * loops;
            }
            plain[b] = run_block(&p, cases[i].part, 0);
            promised[b] = run_block(&p, cases[i].part, cases[i].speedup);
            p.loops[cases[i].part] *= 1 - cases[i].speedup;
            changed[b] = run_block(&p, cases[i].part, 0);
        }
        double base = median(plain, blocks);
        double predicted = (1 - median(promised, blocks) / base) * 100;
        double measured = (1 - median(changed, blocks) / base) * 100;
        errors[i] = fabs(predicted - measured);
        brisk_json_object_begin(&json, NULL);
        brisk_json_str(&json, "change", cases[i].name);
        brisk_json_double(&json, "predicted", predicted);
        brisk_json_double(&json, "measured", measured);
        brisk_json_double(&json, "error", errors[i]);
        brisk_json_double(&json, "round_ms", base);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_double(&json, "median_error", median(errors, sizeof errors / sizeof errors[0]));
    brisk_json_object_end(&json);
    (void)pthread_barrier_destroy(&p.barrier);
    brisk_virtual_destroy(p.v);
    return brisk_json_finish(&json) == BRISK_OK ? 0 : 1;
}
