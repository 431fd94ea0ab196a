/*
 * bench_metrics.c -- what recording costs, from one thread and from two; one JSON object on standard output.
 *
 * Peers, in the same run, taking turns with ours: HdrHistogram_c when it is there at build time (3 digits, the
 * range of an hour in nanoseconds), one log-linear table shared by atomic adds, the same under a mutex, and
 * for scopes two calls of clock_gettime around a histogram.  `floor` is what cannot be avoided: the loop
 * itself, two readings of the processor's counter.
 *
 * Each figure is nanoseconds for one operation of one thread: the median over the rounds, with the least and
 * the most.  With two threads "flat" means: the same figure again.
 *
 *     bench_metrics [rounds]
 */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include <brisk/json.h>
#include <brisk/metrics.h>
#include <brisk/rng.h>
#include <brisk/track.h>

#if BENCH_HDR
#    include <hdr/hdr_histogram.h>
#endif

enum {
    ROUNDS_DEFAULT = 9,
    ROUNDS_MAX = 1000,
    VALUES = 65536,
    OPERATIONS = 2000000,
    SCOPES = 500000,
    THREADS_MAX = 2,
};

static uint64_t values[VALUES];

static void need(bool good)
{
    if (!good) {
        (void)fprintf(stderr, "bench_metrics: something could not be set up\n");
        exit(1);
    }
}

/* Log-normal times around 100 us, as of requests. */
static void make_values(void)
{
    brisk_rng rng;
    brisk_rng_init(&rng, 20261127);
    for (int i = 0; i < VALUES; i++) {
        double sum = 0;
        for (int j = 0; j < 12; j++) {
            sum += (double)(brisk_rng_next(&rng) >> 11) * 0x1p-53;
        }
        values[i] = (uint64_t)(exp(11.5 + (sum - 6.0)));
    }
}

/* ---- what is measured ---------------------------------------------------------------------- */

static brisk_histogram *sharded;
static brisk_hist *plain[THREADS_MAX];
static brisk_counter counter;
static uint64_t atomic_total;
static uint64_t table[58 << 7];
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static brisk_operation operation = BRISK_OPERATION("bench.scope");
#if BENCH_HDR
static struct hdr_histogram *hdr[THREADS_MAX];
static struct hdr_histogram *hdr_shared;
#endif

static void run_loop(int thread, int count)
{
    (void)thread;
    for (int i = 0; i < count; i++) {
        uint64_t value = values[i % VALUES];
        __asm__ volatile("" : : "r"(value));
    }
}

static void run_sharded(int thread, int count)
{
    (void)thread;
    for (int i = 0; i < count; i++) {
        brisk_histogram_record(sharded, values[i % VALUES]);
    }
}

static void run_plain(int thread, int count)
{
    for (int i = 0; i < count; i++) {
        brisk_hist_record(plain[thread], values[i % VALUES]);
    }
}

static void run_atomic_table(int thread, int count)
{
    (void)thread;
    for (int i = 0; i < count; i++) {
        (void)__atomic_fetch_add(&table[brisk_hist_index(7, values[i % VALUES])], 1,
                                 __ATOMIC_RELAXED);
    }
}

static void run_mutex_table(int thread, int count)
{
    (void)thread;
    for (int i = 0; i < count; i++) {
        (void)pthread_mutex_lock(&table_lock);
        table[brisk_hist_index(7, values[i % VALUES])]++;
        (void)pthread_mutex_unlock(&table_lock);
    }
}

#if BENCH_HDR
static void run_hdr(int thread, int count)
{
    for (int i = 0; i < count; i++) {
        (void)hdr_record_value(hdr[thread], (int64_t)values[i % VALUES]);
    }
}

static void run_hdr_atomic(int thread, int count)
{
    (void)thread;
    for (int i = 0; i < count; i++) {
        (void)hdr_record_value_atomic(hdr_shared, (int64_t)values[i % VALUES]);
    }
}
#endif

static void run_counter(int thread, int count)
{
    (void)thread;
    for (int i = 0; i < count; i++) {
        brisk_counter_add(&counter, 1);
    }
}

static void run_atomic_counter(int thread, int count)
{
    (void)thread;
    for (int i = 0; i < count; i++) {
        (void)__atomic_fetch_add(&atomic_total, 1, __ATOMIC_RELAXED);
    }
}

static void run_scope(int thread, int count)
{
    (void)thread;
    for (int i = 0; i < count; i++) {
        BRISK_TRACK(&operation);
        __asm__ volatile("" : : : "memory");
    }
}

static void run_ticks(int thread, int count)
{
    (void)thread;
    for (int i = 0; i < count; i++) {
        uint64_t before = brisk_clock_ticks();
        __asm__ volatile("" : : : "memory");
        uint64_t after = brisk_clock_ticks();
        __asm__ volatile("" : : "r"(after - before));
    }
}

static uint64_t gettime_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void run_gettime_scope(int thread, int count)
{
    for (int i = 0; i < count; i++) {
        uint64_t before = gettime_ns();
        __asm__ volatile("" : : : "memory");
        brisk_hist_record(plain[thread], gettime_ns() - before);
    }
}

typedef struct bench {
    const char *name;
    void (*run)(int thread, int count);
    int count;
    const char *ours; /* what it is a peer of; NULL: one of ours or a floor */
    double ns[THREADS_MAX][ROUNDS_MAX];
} bench;

static bench benches[] = {
    {"loop", run_loop, OPERATIONS, NULL, {{0}}},
    {"histogram", run_sharded, OPERATIONS, NULL, {{0}}},
    {"plain_histogram", run_plain, OPERATIONS, "histogram", {{0}}},
    {"atomic_table", run_atomic_table, OPERATIONS, "histogram", {{0}}},
    {"mutex_table", run_mutex_table, OPERATIONS / 4, "histogram", {{0}}},
#if BENCH_HDR
    {"hdr", run_hdr, OPERATIONS, "histogram", {{0}}},
    {"hdr_atomic", run_hdr_atomic, OPERATIONS / 4, "histogram", {{0}}},
#endif
    {"counter", run_counter, OPERATIONS, NULL, {{0}}},
    {"atomic_counter", run_atomic_counter, OPERATIONS, "counter", {{0}}},
    {"two_ticks", run_ticks, SCOPES, NULL, {{0}}},
    {"scope", run_scope, SCOPES, NULL, {{0}}},
    {"gettime_scope", run_gettime_scope, SCOPES, "scope", {{0}}},
};
enum { BENCHES = sizeof benches / sizeof benches[0] };

/* ---- running ------------------------------------------------------------------------------- */

typedef struct worker {
    const bench *what;
    int thread;
    pthread_barrier_t *barrier;
    uint64_t ns;
} worker;

static void *work(void *arg)
{
    worker *w = arg;
    w->what->run(w->thread, w->what->count / 8); /* warm */
    (void)pthread_barrier_wait(w->barrier);
    uint64_t before = gettime_ns();
    w->what->run(w->thread, w->what->count);
    w->ns = gettime_ns() - before;
    return NULL;
}

static double run_once(const bench *what, int threads)
{
    pthread_barrier_t barrier;
    pthread_t ids[THREADS_MAX];
    worker workers[THREADS_MAX];
    (void)pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        workers[i] = (worker){what, i, &barrier, 0};
        int failed = pthread_create(&ids[i], NULL, work, &workers[i]);
        need(failed == 0);
    }
    uint64_t most = 0;
    for (int i = 0; i < threads; i++) {
        (void)pthread_join(ids[i], NULL);
        most = workers[i].ns > most ? workers[i].ns : most;
    }
    (void)pthread_barrier_destroy(&barrier);
    return (double)most / what->count;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(const char *name, int threads, int rounds)
{
    for (int i = 0; i < BENCHES; i++) {
        if (strcmp(benches[i].name, name) == 0) {
            return benches[i].ns[threads][rounds / 2];
        }
    }
    return 1;
}

static void print(int rounds)
{
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(stdout), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "rounds", (uint64_t)rounds);
    brisk_json_str(&json, "unit", "ns");
    for (int i = 0; i < BENCHES; i++) {
        const bench *b = &benches[i];
        brisk_json_object_begin(&json, b->name);
        for (int t = 0; t < THREADS_MAX; t++) {
            brisk_json_object_begin(&json, t == 0 ? "one_thread" : "two_threads");
            brisk_json_double(&json, "median", b->ns[t][rounds / 2]);
            brisk_json_double(&json, "least", b->ns[t][0]);
            brisk_json_double(&json, "most", b->ns[t][rounds - 1]);
            if (b->ours != NULL) {
                brisk_json_double(&json, "ratio_to_ours",
                                  b->ns[t][rounds / 2] / median_of(b->ours, t, rounds));
            }
            brisk_json_object_end(&json);
        }
        brisk_json_object_end(&json);
    }
    brisk_json_object_end(&json);
    brisk_err err = brisk_json_finish(&json);
    need(err == BRISK_OK);
}

static void prepare(void)
{
    make_values();
    brisk_err err = brisk_histogram_create(NULL, &sharded);
    need(err == BRISK_OK);
    for (int i = 0; i < THREADS_MAX; i++) {
        err = brisk_hist_create(NULL, &plain[i]);
        need(err == BRISK_OK);
#if BENCH_HDR
        need(hdr_init(1, INT64_C(3600000000000), 3, &hdr[i]) == 0);
#endif
    }
#if BENCH_HDR
    need(hdr_init(1, INT64_C(3600000000000), 3, &hdr_shared) == 0);
#endif
    err = brisk_operation_prepare(&operation);
    need(err == BRISK_OK);
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : ROUNDS_DEFAULT;
    if (rounds < 1 || rounds > ROUNDS_MAX) {
        (void)fprintf(stderr, "usage: bench_metrics [ROUNDS (1 to %d)]\n", ROUNDS_MAX);
        return 2;
    }
    prepare();
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < BENCHES; i++) {
            for (int t = 0; t < THREADS_MAX; t++) {
                benches[i].ns[t][round] = run_once(&benches[i], t + 1);
            }
        }
    }
    for (int i = 0; i < BENCHES; i++) {
        for (int t = 0; t < THREADS_MAX; t++) {
            qsort(benches[i].ns[t], (size_t)rounds, sizeof(double), compare_doubles);
        }
    }
    print((int)rounds);
    brisk_histogram_destroy(sharded);
    for (int i = 0; i < THREADS_MAX; i++) {
        brisk_hist_destroy(plain[i]);
    }
    return 0;
}
