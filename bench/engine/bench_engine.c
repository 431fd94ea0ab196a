/*
 * bench_engine.c -- what the engine costs; one JSON object on standard output.
 *
 *     chain      seven empty stages in a chain through brisk_job_run: traces, records and arenas
 *                included, nothing stored; the peer calls the same seven functions directly
 *     hit        the same job answered by the memory tier, and the lookup alone
 *     create     an engine whose disk tier holds entries already
 *
 * Engine and peer take turns, round by round; each figure is the median over the rounds, with the
 * least and the most beside it.  Times are nanoseconds.
 *
 *     bench_engine [rounds [entries]]
 */
#include <dirent.h>
#include <ftw.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/engine.h>

#include "base/assert.h"

enum {
    ROUNDS_DEFAULT = 15,
    ROUNDS_MAX = 1000,
    ENTRIES_DEFAULT = 100000,
    STAGES = 7, /* of the rom workload */
    JOBS = 5000,
    PEER_CALLS = 200000,
    VALUE_BYTES = 100,
};

/* --- the work ----------------------------------------------------------------------------- */

typedef struct bench_state {
    uint64_t calls;
    uint64_t key;
} bench_state;

static brisk_err do_nothing(brisk_stage_ctx *ctx, void *opaque)
{
    bench_state *state = opaque;
    (void)ctx;
    state->calls++;
    return BRISK_OK;
}

static brisk_err take_key(brisk_stage_ctx *ctx, void *opaque, const void *request)
{
    bench_state *state = opaque;
    (void)ctx;
    state->key = *(const uint64_t *)request;
    return BRISK_OK;
}

static brisk_err make_key(brisk_stage_ctx *ctx, void *opaque, brisk_key_builder *builder)
{
    const bench_state *state = opaque;
    (void)ctx;
    brisk_key_u64(builder, "key", state->key);
    return BRISK_OK;
}

static brisk_err make_answer(brisk_stage_ctx *ctx, void *opaque, brisk_answer *ret)
{
    static const char bytes[VALUE_BYTES];
    (void)ctx;
    (void)opaque;
    return brisk_value_copy(bytes, sizeof bytes, NULL, &ret->value);
}

static const brisk_stage stages[STAGES] = {
    {.name = "s0", .run = do_nothing},
    {.name = "s1", .after = {"s0"}, .run = do_nothing},
    {.name = "s2", .after = {"s1"}, .run = do_nothing},
    {.name = "s3", .after = {"s2"}, .run = do_nothing},
    {.name = "s4", .after = {"s3"}, .run = do_nothing},
    {.name = "s5", .after = {"s4"}, .run = do_nothing},
    {.name = "s6", .after = {"s5"}, .run = do_nothing},
};

static const brisk_workload chain = {
    .name = "chain",
    .stages = stages,
    .stage_count = STAGES,
    .state_bytes = sizeof(bench_state),
    .init = take_key,
    .key = make_key,
    .answer = make_answer,
};

/* The same job without stages: what a job costs by itself. */
static const brisk_workload bare = {
    .name = "bare",
    .state_bytes = sizeof(bench_state),
    .init = take_key,
};

static void must(brisk_err err, const char *what)
{
    if (err != BRISK_OK) {
        (void)fprintf(stderr, "bench_engine: %s: %s\n", what, brisk_err_message(err));
        exit(1);
    }
}

/* --- figures ------------------------------------------------------------------------------ */

typedef struct figure {
    double at[ROUNDS_MAX];
    int count;
} figure;

static void add(figure *f, double value)
{
    f->at[f->count++] = value;
}

static int compare(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(figure *f)
{
    qsort(f->at, (size_t)f->count, sizeof f->at[0], compare);
    return f->at[f->count / 2];
}

static void write_figure(brisk_json *json, const char *key, figure *f)
{
    brisk_json_object_begin(json, key);
    brisk_json_double(json, "median", median(f));
    brisk_json_double(json, "min", f->at[0]);
    brisk_json_double(json, "max", f->at[f->count - 1]);
    brisk_json_object_end(json);
}

/* --- measuring ---------------------------------------------------------------------------- */

static double time_jobs(brisk_engine *engine, const brisk_workload *workload, bool no_cache)
{
    brisk_job_opts opts = {.no_cache = no_cache};
    uint64_t request = 1;
    uint64_t start = brisk_clock_now_ns(NULL);
    for (int i = 0; i < JOBS; i++) {
        brisk_job *job = NULL;
        must(brisk_job_create(engine, workload, &request, &opts, &job), "create");
        must(brisk_job_run(job), "run");
        brisk_job_destroy(job);
    }
    return (double)(brisk_clock_now_ns(NULL) - start) / JOBS;
}

static double time_lookups(brisk_engine *engine)
{
    uint64_t request = 1;
    uint64_t start = brisk_clock_now_ns(NULL);
    for (int i = 0; i < JOBS; i++) {
        brisk_job *job = NULL;
        must(brisk_job_create(engine, &chain, &request, NULL, &job), "create");
        must(brisk_job_lookup(job), "lookup");
        brisk_job_destroy(job);
    }
    return (double)(brisk_clock_now_ns(NULL) - start) / JOBS;
}

/* The seven functions called directly, through pointers that the compiler cannot see through. */
static double time_peer(void)
{
    brisk_err (*volatile calls[STAGES])(brisk_stage_ctx * ctx, void *state);
    for (int i = 0; i < STAGES; i++) {
        calls[i] = stages[i].run;
    }
    bench_state state = {.calls = 0};
    uint64_t start = brisk_clock_now_ns(NULL);
    for (int i = 0; i < PEER_CALLS; i++) {
        for (int s = 0; s < STAGES; s++) {
            must(calls[s](NULL, &state), "peer");
        }
    }
    uint64_t ns = brisk_clock_now_ns(NULL) - start;
    BRISK_ASSERT(state.calls == (uint64_t)PEER_CALLS * STAGES);
    return (double)ns / PEER_CALLS;
}

static brisk_engine *create_engine(const char *path)
{
    char where[512];
    (void)snprintf(where, sizeof where, "cache.disk.path=%s", path != NULL ? path : "/nowhere");
    const char *settings[] = {where};
    brisk_engine_opts opts = {
        .no_files = true, .no_disk = path == NULL, .settings = settings, .setting_count = 1};
    brisk_engine *engine = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_err err = brisk_engine_create(&opts, &engine, &info);
    must(err, info.text);
    must(brisk_engine_register(engine, &chain, &info), info.text);
    must(brisk_engine_register(engine, &bare, &info), info.text);
    return engine;
}

static void fill(const char *path, uint64_t entries)
{
    brisk_engine *engine = create_engine(path);
    must(brisk_cache_tier_count(brisk_engine_cache(engine)) == 2 ? BRISK_OK : BRISK_ERR_IO,
         "no disk tier");
    unsigned char bytes[VALUE_BYTES];
    for (uint64_t i = 0; i < entries; i++) {
        for (size_t b = 0; b < sizeof bytes; b++) {
            bytes[b] = (unsigned char)((i * UINT64_C(0x9e3779b97f4a7c15)) >> (b % 8 * 8));
        }
        brisk_value *value = NULL;
        must(brisk_value_copy(bytes, sizeof bytes, NULL, &value), "value");
        brisk_key key = brisk_key_of(&i, sizeof i);
        brisk_entry_opts opts = {.tiers = 2};
        brisk_cache_put(brisk_engine_cache(engine), &key, value, &opts);
        brisk_value_unref(value);
    }
    brisk_engine_destroy(engine);
}

static uint64_t count_found(brisk_engine *engine, uint64_t entries)
{
    uint64_t found = 0;
    for (uint64_t i = 0; i < entries; i++) {
        brisk_key key = brisk_key_of(&i, sizeof i);
        brisk_hit hit;
        if (brisk_cache_get(brisk_engine_cache(engine), &key, 2, &hit)) {
            found++;
            brisk_value_unref(hit.value);
        }
    }
    return found;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static uint64_t number(const char *text, uint64_t least, uint64_t most)
{
    uint64_t value = 0;
    if (brisk_knob_parse(BRISK_KNOB_U64, text, &value) != BRISK_OK || value < least ||
        value > most) {
        (void)fprintf(stderr, "bench_engine: a number from %llu to %llu, not '%s'\n",
                      (unsigned long long)least, (unsigned long long)most, text);
        exit(2);
    }
    return value;
}

static figure chain_ns;
static figure bare_ns;
static figure stage_ns;
static figure peer_ns;
static figure ratio;
static figure hit_ns;
static figure lookup_ns;
static figure create_ns;
static figure create_memory_ns;

static void measure(const char *path, int rounds)
{
    brisk_engine *engine = create_engine(NULL);
    (void)time_jobs(engine, &chain, false); /* warm-up, and the answer for the hits */
    (void)time_peer();
    for (int i = 0; i < rounds; i++) {
        double whole = time_jobs(engine, &chain, true);
        double peer = time_peer();
        double empty = time_jobs(engine, &bare, true);
        add(&chain_ns, whole);
        add(&bare_ns, empty);
        add(&stage_ns, (whole - peer) / STAGES);
        add(&peer_ns, peer);
        add(&ratio, whole / peer);
        add(&hit_ns, time_jobs(engine, &chain, false));
        add(&lookup_ns, time_lookups(engine));
        uint64_t start = brisk_clock_now_ns(NULL);
        brisk_engine *other = create_engine(path);
        uint64_t middle = brisk_clock_now_ns(NULL);
        brisk_engine_destroy(other);
        uint64_t again = brisk_clock_now_ns(NULL);
        other = create_engine(NULL);
        add(&create_ns, (double)(middle - start));
        add(&create_memory_ns, (double)(brisk_clock_now_ns(NULL) - again));
        brisk_engine_destroy(other);
    }
    brisk_engine_destroy(engine);
}

int main(int argc, char **argv)
{
    int rounds = (int)(argc > 1 ? number(argv[1], 1, ROUNDS_MAX) : ROUNDS_DEFAULT);
    uint64_t entries = argc > 2 ? number(argv[2], 1, 10000000) : ENTRIES_DEFAULT;
    char path[] = "/tmp/brisk-bench-XXXXXX";
    if (mkdtemp(path) == NULL) {
        must(BRISK_ERR_IO, "mkdtemp");
    }
    fill(path, entries);
    measure(path, rounds);
    brisk_engine *engine = create_engine(path);
    uint64_t found = count_found(engine, entries);
    brisk_engine_destroy(engine);
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);

    brisk_json json;
    brisk_json_init(&json, brisk_out_file(stdout), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "bench", "engine");
    brisk_json_str(&json, "unit", "ns");
    brisk_json_u64(&json, "rounds", (uint64_t)rounds);
    brisk_json_u64(&json, "jobs_per_round", JOBS);
    brisk_json_u64(&json, "stages", STAGES);
    brisk_json_str(&json, "method", "median of rounds; engine and peer take turns in one run");
    write_figure(&json, "job_of_seven_stages", &chain_ns);
    write_figure(&json, "job_without_stages", &bare_ns);
    write_figure(&json, "peer_seven_direct_calls", &peer_ns);
    write_figure(&json, "overhead_per_stage", &stage_ns);
    write_figure(&json, "ratio_to_peer", &ratio);
    write_figure(&json, "job_answered_by_memory", &hit_ns);
    write_figure(&json, "lookup_answered_by_memory", &lookup_ns);
    brisk_json_u64(&json, "disk_entries", entries);
    brisk_json_u64(&json, "disk_entries_found", found);
    write_figure(&json, "create_with_disk_tier", &create_ns);
    write_figure(&json, "create_memory_only", &create_memory_ns);
    brisk_json_object_end(&json);
    must(brisk_json_finish(&json), "output");
    return 0;
}
