/*
 * bench_bench.c -- how well does `brisk bench` tell a program from itself, and from one that does one
 * percent more?  Beside hyperfine, the two taking turns; prints JSON.
 *
 *     bench_bench BRISK [ROUNDS [RUNS [SHARE]]]    6 rounds of 60 runs a side, SHARE 0.01 more work
 *
 * The program measured is this one, called `spin N`: N steps of a generator, about 3.3 ms of them.
 * For each tool and both cases (nothing more, SHARE more): the estimates of all rounds, their band
 * (largest less smallest) in points, and for brisk how often it called the two different.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/yaml.h>

enum { ROUNDS_MAX = 1000, OUTPUT_MAX = 1 << 20, COMMAND_MAX = 4096 };

static const double spin_ms = 2.75; /* and about half a millisecond to start */

static uint64_t spin(uint64_t steps)
{
    uint64_t x = 88172645463325252u;
    for (uint64_t i = 0; i < steps; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}

/** Steps of spin_ms, from the fastest of several tries. */
static uint64_t calibrate(void)
{
    uint64_t steps = 1000000;
    uint64_t best = UINT64_MAX;
    uint64_t sum = 0;
    for (int i = 0; i < 20; i++) {
        uint64_t start = brisk_clock_now_ns(NULL);
        sum += spin(steps);
        uint64_t took = brisk_clock_now_ns(NULL) - start;
        best = took < best ? took : best;
    }
    return (uint64_t)((double)steps * spin_ms * 1e6 / (double)best) + (sum == 1 ? 1 : 0);
}

/** What `command` prints, as a document; exits when there is none. */
static brisk_yaml_doc *document_of(const char *command)
{
    static char output[OUTPUT_MAX];
    FILE *pipe = popen(command, "r");
    size_t size = pipe != NULL ? fread(output, 1, sizeof output, pipe) : 0;
    brisk_yaml_doc *doc = NULL;
    brisk_errinfo info = {0};
    if (pipe == NULL || pclose(pipe) != 0 ||
        brisk_yaml_parse(command, output, size, NULL, &doc, &info) != BRISK_OK) {
        (void)fprintf(stderr, "bench_bench: failed: %s %s\n", command, info.text);
        exit(1);
    }
    return doc;
}

static double number(const brisk_yaml_node *parent, const char *key)
{
    const brisk_yaml_node *node = brisk_yaml_get(parent, key);
    return node != NULL && node->text != NULL ? strtod(node->text, NULL) : (double)NAN;
}

static const brisk_yaml_node *second(const brisk_yaml_node *root, const char *list)
{
    const brisk_yaml_node *node = brisk_yaml_get(root, list);
    return node != NULL && node->child != NULL ? node->child->next : NULL;
}

typedef struct estimates {
    double wall[ROUNDS_MAX];   /* percent */
    double cpu[ROUNDS_MAX];    /* of brisk */
    double median[ROUNDS_MAX]; /* of hyperfine */
    int count;
    int different;
    int by_cpu;
} estimates;

static void run_brisk(const char *brisk, const char *self, int runs, const uint64_t steps[2],
                      estimates *e)
{
    char command[COMMAND_MAX];
    (void)snprintf(command, sizeof command,
                   "%s bench --json --runs %d '%s spin %" PRIu64 "' '%s spin %" PRIu64 "'", brisk,
                   runs, self, steps[0], self, steps[1]);
    brisk_yaml_doc *doc = document_of(command);
    const brisk_yaml_node *baseline =
        brisk_yaml_get(second(brisk_yaml_root(doc), "benchmarks"), "baseline");
    const brisk_yaml_node *verdict = brisk_yaml_get(baseline, "verdict");
    const brisk_yaml_node *by = brisk_yaml_get(baseline, "decided_by");
    e->wall[e->count] = number(brisk_yaml_get(baseline, "change"), "estimate") * 100.0;
    e->cpu[e->count] = number(brisk_yaml_get(baseline, "cpu_change"), "estimate") * 100.0;
    bool different = verdict != NULL &&
                     (strcmp(verdict->text, "slower") == 0 || strcmp(verdict->text, "faster") == 0);
    e->different += different ? 1 : 0;
    e->by_cpu += different && by != NULL && strcmp(by->text, "cpu") == 0 ? 1 : 0;
    e->count++;
    brisk_yaml_destroy(doc);
}

static void run_hyperfine(const char *self, int runs, const uint64_t steps[2], estimates *e)
{
    char command[COMMAND_MAX];
    char path[] = "/tmp/bench_bench.XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0) {
        exit(1);
    }
    (void)close(fd);
    (void)snprintf(
        command, sizeof command,
        "hyperfine -N --style none --warmup 1 --runs %d --export-json %s '%s spin %" PRIu64
        "' '%s spin %" PRIu64 "' >/dev/null 2>&1 && cat %s",
        runs, path, self, steps[0], self, steps[1], path);
    brisk_yaml_doc *doc = document_of(command);
    const brisk_yaml_node *results = brisk_yaml_get(brisk_yaml_root(doc), "results");
    const brisk_yaml_node *b = second(brisk_yaml_root(doc), "results");
    e->wall[e->count] = (number(b, "mean") / number(results->child, "mean") - 1.0) * 100.0;
    e->median[e->count] = (number(b, "median") / number(results->child, "median") - 1.0) * 100.0;
    e->count++;
    brisk_yaml_destroy(doc);
    (void)unlink(path);
}

static void print_series(const char *name, const double *values, int count)
{
    double low = (double)INFINITY;
    double high = -(double)INFINITY;
    (void)printf("    \"%s\": {\"estimates\": [", name);
    for (int i = 0; i < count; i++) {
        low = fmin(low, values[i]);
        high = fmax(high, values[i]);
        (void)printf("%s%.3f", i > 0 ? ", " : "", values[i]);
    }
    (void)printf("], \"band\": %.3f}", high - low);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "spin") == 0) {
        return spin(strtoull(argv[2], NULL, 10)) == 1 ? 1 : 0;
    }
    if (argc < 2) {
        (void)fputs("usage: bench_bench BRISK [ROUNDS [RUNS [SHARE]]]\n", stderr);
        return 2;
    }
    static estimates results[2][2]; /* brisk, hyperfine; nothing more, SHARE more */
    int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 6;
    int runs = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 60;
    double share = argc > 4 ? strtod(argv[4], NULL) : 0.01;
    bool peer = system("hyperfine --version >/dev/null 2>&1") == 0 && getenv("NO_PEER") == NULL;
    uint64_t steps = calibrate();
    for (int round = 0; round < rounds && round < ROUNDS_MAX; round++) {
        for (int more = 0; more < (share > 0.0 ? 2 : 1); more++) {
            const uint64_t both[2] = {
                steps, (uint64_t)((double)steps * (1.0 + (more == 1 ? share : 0.0)))};
            run_brisk(argv[1], argv[0], runs, both, &results[0][more]);
            if (peer) {
                run_hyperfine(argv[0], runs, both, &results[1][more]);
            }
        }
    }
    (void)printf("{\"rounds\": %d, \"runs\": %d, \"steps\": %" PRIu64 ", \"share\": %g", rounds,
                 runs, steps, share);
    for (int more = 0; more < (share > 0.0 ? 2 : 1); more++) {
        (void)printf(",\n  \"%s\": {\n", more == 1 ? "more" : "same");
        print_series("brisk_wall", results[0][more].wall, results[0][more].count);
        (void)printf(",\n");
        print_series("brisk_cpu", results[0][more].cpu, results[0][more].count);
        if (peer) {
            (void)printf(",\n");
            print_series("hyperfine_mean", results[1][more].wall, results[1][more].count);
            (void)printf(",\n");
            print_series("hyperfine_median", results[1][more].median, results[1][more].count);
        }
        (void)printf(",\n    \"brisk_called_different\": %d, \"of_them_by_cpu\": %d}",
                     results[0][more].different, results[0][more].by_cpu);
    }
    (void)printf("\n}\n");
    return 0;
}
