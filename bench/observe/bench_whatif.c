/*
 * bench_whatif.c -- is what what-if promises what happens when a stage really becomes faster?
 *
 * Pipelines whose stages compute (a calibrated loop) or wait (sleep) for given times run through the public
 * engine API.  For each change the slow variant and the really changed one take turns, forwards and backwards; the
 * slow runs' stage tables give the prediction, the changed runs only the truth: the paired Hodges-Lehmann shift
 * of the logarithms.  Prints JSON: predicted and measured gain with intervals, the error in points, and the
 * medians over all changes.
 *
 *     bench_whatif [ROUNDS]      (40)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <brisk/brisk.h>

enum { PARTS_MAX = 6, ROUNDS_MAX = 400, ENGINES = 4, CASES_MAX = 64 };

typedef enum manner { BURN, SLEEP } manner;

typedef struct part {
    double ms;
    manner how;
    uint32_t items; /* 0: one thread; else so many pieces by brisk_stage_for */
} part;

typedef struct shape {
    brisk_workload workload;
    part parts[PARTS_MAX];
} shape;

/* How one run differs from the shape. */
typedef struct request {
    const shape *shape;
    double factor[PARTS_MAX];
    uint32_t split[PARTS_MAX];
} request;

static double loops_per_ms;

static void burn(double ms)
{
    volatile uint64_t sink = 1;
    for (uint64_t left = (uint64_t)(ms * loops_per_ms); left > 0; left--) {
        sink = sink * UINT64_C(6364136223846793005) + 1;
    }
}

static void spend(manner how, double ms)
{
    if (how == BURN) {
        burn(ms);
    } else if (ms > 0) {
        long ns = (long)(ms * 1e6);
        struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
        (void)nanosleep(&t, NULL);
    }
}

/* The least of many short tries, so that other programs do not make the loop seem slow. */
static void calibrate(void)
{
    double best = 1e300;
    loops_per_ms = 100000;
    for (int i = 0; i < 200; i++) {
        uint64_t start = brisk_clock_now_ns(NULL);
        burn(1.0);
        double ns = (double)(brisk_clock_now_ns(NULL) - start);
        best = ns < best ? ns : best;
    }
    loops_per_ms *= 1e6 / best;
}

/* --- the workloads ------------------------------------------------------------------------ */

typedef struct piece {
    manner how;
    double ms;
} piece;

static brisk_err run_piece(brisk_stage_ctx *ctx, void *arg, uint32_t index)
{
    (void)ctx;
    (void)index;
    const piece *p = arg;
    spend(p->how, p->ms);
    return BRISK_OK;
}

static brisk_err run_part(brisk_stage_ctx *ctx, void *state, uint32_t index)
{
    const request *r = *(const request **)state;
    const part *p = &r->shape->parts[index];
    uint32_t items = r->split[index] > p->items ? r->split[index] : p->items;
    double ms = p->ms * r->factor[index];
    if (items == 0) {
        spend(p->how, ms);
        return BRISK_OK;
    }
    piece one = {.how = p->how, .ms = ms / items};
    return brisk_stage_for(ctx, items, NULL, run_piece, &one);
}

#define PART(n)                                                                                    \
    static brisk_err part_##n(brisk_stage_ctx *ctx, void *state)                                   \
    {                                                                                              \
        return run_part(ctx, state, n);                                                            \
    }
PART(0)
PART(1)
PART(2)
PART(3)
PART(4)

static brisk_err init(brisk_stage_ctx *ctx, void *state, const void *given)
{
    (void)ctx;
    memcpy(state, &given, sizeof given);
    return BRISK_OK;
}

#define WORKLOAD(text, table)                                                                      \
    {                                                                                              \
        .name = (text), .stages = (table), .stage_count = sizeof(table) / sizeof((table)[0]),      \
        .state_bytes = sizeof(void *), .init = init                                                \
    }

static const brisk_stage chain[] = {
    {.name = "load", .run = part_0},
    {.name = "work", .after = {"load"}, .run = part_1},
    {.name = "write", .after = {"work"}, .run = part_2},
};
static const brisk_stage fork_join[] = {
    {.name = "a", .run = part_0},
    {.name = "b", .run = part_1},
    {.name = "c", .after = {"a", "b"}, .run = part_2},
};
static const brisk_stage fork_join_2[] = {
    {.name = "a", .run = part_0},
    {.name = "b", .run = part_1},
    {.name = "c", .after = {"a", "b"}, .run = part_2},
};
static const brisk_stage diamond[] = {
    {.name = "head", .run = part_0},
    {.name = "left", .after = {"head"}, .run = part_1},
    {.name = "right", .after = {"head"}, .run = part_2},
    {.name = "tail", .after = {"left", "right"}, .run = part_3},
};
static const brisk_stage wide[] = {
    {.name = "w0", .run = part_0},
    {.name = "w1", .run = part_1},
    {.name = "w2", .run = part_2},
    {.name = "w3", .run = part_3},
    {.name = "join", .after = {"w0", "w1", "w2", "w3"}, .run = part_4},
};
static const brisk_stage wide_waiting[] = {
    {.name = "w0", .run = part_0},
    {.name = "w1", .run = part_1},
    {.name = "w2", .run = part_2},
    {.name = "w3", .run = part_3},
    {.name = "join", .after = {"w0", "w1", "w2", "w3"}, .run = part_4},
};
static const brisk_stage loop[] = {
    {.name = "head", .run = part_0},
    {.name = "items", .after = {"head"}, .run = part_1},
    {.name = "tail", .after = {"items"}, .run = part_2},
};

static const shape shapes[] = {
    {WORKLOAD("serial", chain), {{2, BURN, 0}, {6, BURN, 0}, {2, SLEEP, 0}}},
    {WORKLOAD("research 10 : 6.7, 2.5", fork_join),
     {{10, BURN, 0}, {6.7, BURN, 0}, {2.5, BURN, 0}}},
    {WORKLOAD("the same, 30 times shorter", fork_join_2),
     {{10.0 / 30, BURN, 0}, {6.7 / 30, BURN, 0}, {2.5 / 30, BURN, 0}}},
    {WORKLOAD("diamond", diamond), {{1, BURN, 0}, {6, SLEEP, 0}, {4, BURN, 0}, {1.5, BURN, 0}}},
    {WORKLOAD("contention", wide),
     {{3, BURN, 0}, {3, BURN, 0}, {3, BURN, 0}, {3, BURN, 0}, {1, BURN, 0}}},
    {WORKLOAD("contention, waiting", wide_waiting),
     {{3, SLEEP, 0}, {3, SLEEP, 0}, {3, SLEEP, 0}, {3, SLEEP, 0}, {1, BURN, 0}}},
    {WORKLOAD("items", loop), {{1, BURN, 0}, {12, SLEEP, 6}, {1, BURN, 0}}},
};

static const struct {
    uint32_t shape;
    const char *change;
    uint32_t workers; /* 0: 1 */
} cases[] = {
    {0, "work:2x", 0},
    {0, "work:cached", 0},
    {0, "work:cached=0.5", 0},
    {0, "write:2x", 0},
    {0, "work:split=2", 2},
    {1, "a:1.3333x", 0},
    {1, "a:2x", 0},
    {1, "a:cached", 0},
    {1, "b:2x", 0},
    {1, "c:2x", 0},
    {2, "a:1.3333x", 0},
    {2, "a:2x", 0},
    {2, "a:cached", 0},
    {2, "b:2x", 0},
    {2, "c:2x", 0},
    {3, "left:2x", 0},
    {3, "left:cached", 0},
    {3, "right:2x", 0},
    {3, "head:cached", 0},
    {4, "w0:cached", 0},
    {4, "w1:2x", 0},
    {4, "join:2x", 0},
    {4, "workers=2", 0},
    {5, "workers=2", 0},
    {5, "workers=3", 0},
    {5, "w2:cached", 0},
    {6, "items:2x", 0},
    {6, "workers=2", 0},
    {6, "items:cached=0.5", 0},
};

/* --- measuring ---------------------------------------------------------------------------- */

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_whatif: %s\n", what);
    exit(1);
}

static brisk_engine *engines[ENGINES]; /* by workers */

static brisk_engine *engine_with(uint32_t workers)
{
    if (workers >= ENGINES || workers == 0) {
        die("too many workers");
    }
    if (engines[workers] == NULL) {
        char setting[64];
        (void)snprintf(setting, sizeof setting, "engine.workers=%u", workers);
        const char *const settings[] = {setting};
        brisk_engine_opts opts = {
            .no_files = true, .no_disk = true, .settings = settings, .setting_count = 1};
        brisk_errinfo info = {.text = ""};
        if (brisk_engine_create(&opts, &engines[workers], &info) != BRISK_OK) {
            die(info.text);
        }
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
            if (brisk_engine_register(engines[workers], &shapes[i].workload, &info) != BRISK_OK) {
                die(info.text);
            }
        }
    }
    return engines[workers];
}

/* One run, always profiled, so that both variants pay for it; its stage table goes to `profile` when that is one. */
static double run_once(uint32_t workers, const request *r, brisk_stage_profile *profile)
{
    brisk_job *job;
    brisk_job_opts opts = {.no_cache = true, .profile = true};
    if (brisk_job_create(engine_with(workers), &r->shape->workload, r, &opts, &job) != BRISK_OK ||
        brisk_job_run(job) != BRISK_OK ||
        (profile != NULL && brisk_stage_profile_add_job(profile, job, NULL) != BRISK_OK)) {
        die("a job failed");
    }
    double ns = (double)brisk_job_elapsed_ns(job);
    brisk_job_destroy(job);
    return ns;
}

static request plain(const shape *s)
{
    request r = {.shape = s};
    for (int i = 0; i < PARTS_MAX; i++) {
        r.factor[i] = 1;
    }
    return r;
}

static uint32_t part_of(const shape *s, const char *name)
{
    for (uint32_t i = 0; i < s->workload.stage_count; i++) {
        if (strcmp(s->workload.stages[i].name, name) == 0) {
            return i;
        }
    }
    die("no such stage");
    return 0;
}

typedef struct series {
    double logs[ROUNDS_MAX]; /* log(changed / slow) of each round */
    uint32_t rounds;
} series;

/* The changed run: with a hit rate between, the mean of a hit and a miss. */
static double run_changed(const shape *s, const brisk_whatif_change *change, uint32_t workers)
{
    request r = plain(s);
    if (change->kind == BRISK_WHATIF_WORKERS) {
        workers = (uint32_t)change->amount;
    } else {
        uint32_t i = part_of(s, change->stage);
        r.factor[i] = change->kind == BRISK_WHATIF_FASTER   ? 1 / change->amount
                      : change->kind == BRISK_WHATIF_CACHED ? 0
                                                            : 1;
        r.split[i] = change->kind == BRISK_WHATIF_SPLIT ? (uint32_t)change->amount : 0;
    }
    double ns = run_once(workers, &r, NULL);
    if (change->kind == BRISK_WHATIF_CACHED && change->amount < 1) {
        request miss = plain(s);
        ns = change->amount * ns + (1 - change->amount) * run_once(workers, &miss, NULL);
    }
    return ns;
}

static double measure(uint32_t index, uint32_t rounds, brisk_json *json)
{
    const shape *s = &shapes[cases[index].shape];
    brisk_whatif_change change;
    brisk_stage_profile *profile;
    static series all;
    if (brisk_whatif_parse(cases[index].change, &change, NULL) != BRISK_OK ||
        brisk_stage_profile_create(NULL, &profile) != BRISK_OK) {
        die(cases[index].change);
    }
    request slow = plain(s);
    uint32_t workers = cases[index].workers != 0 ? cases[index].workers : 1;
    all.rounds = rounds;
    for (uint32_t i = 0; i < rounds; i++) {
        double first = i % 2 == 0 ? run_once(workers, &slow, profile) : 0;
        double changed = run_changed(s, &change, workers);
        double base = i % 2 == 0 ? first : run_once(workers, &slow, profile);
        all.logs[i] = log(changed / base);
    }
    brisk_interval shift;
    brisk_whatif_answer told;
    brisk_errinfo info = {.text = ""};
    if (brisk_compare_paired(all.logs, rounds, 0.95, NULL, &shift) != BRISK_OK ||
        brisk_whatif_ask(profile, &change, 1, NULL, &told, &info) != BRISK_OK) {
        die(info.text);
    }
    double measured = 1 - exp(shift.estimate);
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "pipeline", s->workload.name);
    brisk_json_str(json, "change", cases[index].change);
    brisk_json_double(json, "predicted", told.gain * 100);
    brisk_json_double(json, "predicted_low", told.low * 100);
    brisk_json_double(json, "predicted_high", told.high * 100);
    brisk_json_double(json, "measured", measured * 100);
    brisk_json_double(json, "measured_low", (1 - exp(shift.high)) * 100);
    brisk_json_double(json, "measured_high", (1 - exp(shift.low)) * 100);
    brisk_json_double(json, "error", fabs(told.gain - measured) * 100);
    brisk_json_double(json, "replay_error", told.replay_error * 100);
    brisk_json_double(json, "before_ms", told.before_ns / 1e6);
    brisk_json_object_end(json);
    brisk_stage_profile_destroy(profile);
    return fabs(told.gain - measured) * 100;
}

int main(int argc, char **argv)
{
    uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 40;
    if (rounds < 5 || rounds > ROUNDS_MAX) {
        die("ROUNDS is from 5 to 400");
    }
    calibrate();
    double errors[CASES_MAX];
    uint32_t count = sizeof cases / sizeof cases[0];
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(stdout), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "bench", "whatif");
    brisk_json_u64(&json, "rounds", rounds);
    brisk_json_str(&json, "machine", brisk_history_machine());
    brisk_json_array_begin(&json, "cases");
    for (uint32_t i = 0; i < count; i++) {
        errors[i] = measure(i, rounds, &json);
    }
    brisk_json_array_end(&json);
    brisk_sample_sort(errors, count);
    brisk_json_double(&json, "median_error", brisk_sample_median(errors, count));
    brisk_json_double(&json, "p90_error", brisk_sample_quantile(errors, count, 0.9));
    brisk_json_double(&json, "max_error", errors[count - 1]);
    brisk_json_object_end(&json);
    for (int i = 0; i < ENGINES; i++) {
        brisk_engine_destroy(engines[i]);
    }
    return brisk_json_finish(&json) == BRISK_OK ? 0 : 1;
}
