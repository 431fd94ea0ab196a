/*
 * bench_predict.c -- what prefetching does to a cache of a twentieth of the keys; prints JSON.
 *
 *     bench_predict FOLDER [SHARE [MIB]]  every trace of the folder; 0.05, and 16 for the predictor
 *     bench_predict --late FOLDER TRACE   loads that take a while, guesses further ahead
 *     bench_predict --cost                what a note costs
 *
 * The cache is the memory tier of the library, with least-recently-used and a limit of entries.  A
 * request that misses is stored.  With prefetching the prefetcher is told of every request, and
 * what it loads is stored before the next one; with --late, `late` requests after it.
 *
 * Figures per trace: miss ratio without and with; loads (misses and prefetches) relative to the
 * misses without; precision: guesses acted on whose key came within BRISK_PREDICT_WINDOW requests;
 * next: those of the very next request; coverage: requests that such a guess stood for; useful:
 * prefetched entries that answered a request.  FOLDER missing: skipped, exit 77.
 */
#include <inttypes.h>

#include <brisk/cache.h>
#include <brisk/clock.h>
#include <brisk/memory.h>
#include <brisk/predict.h>

#include "bench_trace.h"

enum { LATE_MAX = 256, SKIPPED = 77 };

typedef struct late_load {
    void (*fn)(void *arg);
    void *arg;
    uint64_t due;
} late_load;

typedef struct bench {
    brisk_tier *tier;
    brisk_value *value;
    brisk_predictor *predictor;
    brisk_prefetcher *prefetcher;
    uint64_t now; /* requests so far */
    uint64_t late;
    late_load queue[LATE_MAX]; /* in order of their due times */
    uint64_t queue_head;
    uint64_t queue_tail;
} bench;

typedef struct outcome {
    uint64_t misses;
    uint64_t elapsed_ns;
    brisk_predict_stats stats;
} outcome;

static bool is_cached(void *ctx, const brisk_key *key)
{
    bench *b = ctx;
    brisk_entry_info info;
    return brisk_memory_info(b->tier, key, &info) == BRISK_OK;
}

static brisk_err store(void *ctx, const brisk_key *key)
{
    bench *b = ctx;
    return b->tier->ops->put(b->tier, key, b->value, NULL);
}

static bool run_late(void *ctx, void (*fn)(void *arg), void *arg)
{
    bench *b = ctx;
    if (b->queue_tail - b->queue_head == LATE_MAX) {
        return false;
    }
    b->queue[b->queue_tail++ % LATE_MAX] = (late_load){fn, arg, b->now + b->late};
    return true;
}

static void finish_due(bench *b, uint64_t now)
{
    while (b->queue_head != b->queue_tail && b->queue[b->queue_head % LATE_MAX].due <= now) {
        late_load *load = &b->queue[b->queue_head++ % LATE_MAX];
        load->fn(load->arg);
    }
}

static uint64_t predictor_bytes;

static void start(bench *b, uint32_t entries, uint32_t depth)
{
    brisk_memory_tier_opts tier = {.bytes_max = UINT64_C(64) << 20,
                                   .entries_max = entries != 0 ? entries : 1,
                                   .shards = 1,
                                   .policy = "lru"};
    tier.bytes_max += (uint64_t)entries * 512;
    BRISK_ASSERT(brisk_memory_tier_create(&tier, &b->tier) == BRISK_OK);
    BRISK_ASSERT(brisk_value_copy("12345678", 8, NULL, &b->value) == BRISK_OK);
    if (depth == 0) {
        return;
    }
    brisk_predictor_opts predictor = {.depth = depth, .bytes_max = predictor_bytes};
    BRISK_ASSERT(brisk_predictor_create(&predictor, &b->predictor) == BRISK_OK);
    brisk_prefetcher_opts prefetcher = {
        .predictor = b->predictor,
        .ctx = b,
        .is_cached = is_cached,
        .load = store,
        .run = b->late != 0 ? run_late : NULL,
        .run_ctx = b,
        .loads_max = b->late != 0 ? BRISK_PREFETCH_LOADS_MAX : 0,
        .inline_ = true,
    };
    BRISK_ASSERT(brisk_prefetcher_create(&prefetcher, &b->prefetcher) == BRISK_OK);
}

static void stop(bench *b)
{
    finish_due(b, UINT64_MAX);
    brisk_prefetcher_destroy(b->prefetcher);
    brisk_predictor_destroy(b->predictor);
    brisk_value_unref(b->value);
    brisk_tier_destroy(b->tier);
}

/* depth 0: without prefetching. */
static outcome replay(const bench_trace *trace, double share, uint32_t depth, uint64_t late)
{
    bench b = {.late = late};
    outcome result = {.misses = 0};
    start(&b, (uint32_t)(trace->unique * share), depth);
    uint64_t begin = brisk_clock_now_ns(NULL);
    for (uint64_t i = 0; i < trace->count; i++) {
        uint64_t number = trace->keys[i];
        brisk_key key = brisk_key_of(&number, sizeof number);
        brisk_hit hit;
        b.now = i;
        finish_due(&b, i);
        bool found = b.tier->ops->get(b.tier, &key, &hit) == BRISK_OK;
        if (found) {
            brisk_value_unref(hit.value);
        } else {
            result.misses++;
            BRISK_ASSERT(store(&b, &key) == BRISK_OK);
        }
        if (depth != 0) {
            brisk_prefetcher_note(b.prefetcher, 1, &key, found);
        }
    }
    result.elapsed_ns = brisk_clock_now_ns(NULL) - begin;
    if (depth != 0) {
        brisk_predictor_read_stats(b.predictor, &result.stats);
    }
    stop(&b);
    return result;
}

static double share_of(uint64_t part, uint64_t whole)
{
    return whole != 0 ? (double)part / (double)whole : 0;
}

static void print_outcome(const bench_trace *trace, const outcome *without, const outcome *with)
{
    const brisk_predict_stats *s = &with->stats;
    printf("\"miss_without\":%.4f,\"miss_with\":%.4f,\"loads\":%.4f,\"prefetches\":%" PRIu64
           ",\"useful\":%.4f,\"late\":%" PRIu64 ",\"precision\":%.4f,\"next\":%.4f,"
           "\"coverage\":%.4f,\"trials\":%" PRIu64 ",\"closed\":%" PRIu64 ",\"kinds_open\":%" PRIu32
           ",\"ns_per_request\":[%.0f,%.0f]",
           share_of(without->misses, trace->count), share_of(with->misses, trace->count),
           share_of(with->misses + s->loads - s->late, without->misses), s->loads,
           share_of(s->used, s->loads), s->late, share_of(s->right, s->guesses),
           share_of(s->next_right, s->next), share_of(s->next, s->requests), s->trials, s->closed,
           s->kinds_open, share_of(without->elapsed_ns, trace->count),
           share_of(with->elapsed_ns, trace->count));
}

static void run_folder(const char *folder, double share)
{
    char names[TRACES_MAX][TRACE_NAME_MAX];
    uint32_t count = trace_list(folder, names);
    uint32_t losses = 0;
    printf("{\"bench\":\"cache/predict\",\"cache_share\":%.3f,\"results\":[", share);
    for (uint32_t i = 0; i < count; i++) {
        bench_trace trace;
        if (!trace_read(folder, names[i], &trace)) {
            continue;
        }
        outcome without = replay(&trace, share, 0, 0);
        outcome with = replay(&trace, share, 1, 0);
        losses += with.misses > without.misses ? 1 : 0;
        printf("%s\n {\"trace\":\"%s\",\"requests\":%" PRIu64 ",\"keys\":%" PRIu32 ",",
               i == 0 ? "" : ",", trace.name, trace.count, trace.unique);
        print_outcome(&trace, &without, &with);
        printf("}");
        (void)fflush(stdout);
        trace_free(&trace);
    }
    printf("],\"traces_with_more_misses\":%" PRIu32 "}\n", losses);
}

static int run_late_loads(const char *folder, const char *name)
{
    static const uint32_t delays[] = {1, 2, 4, 8};
    static const uint32_t depths[] = {1, 2, 4, 8};
    bench_trace trace;
    if (!trace_read(folder, name, &trace)) {
        return SKIPPED;
    }
    outcome without = replay(&trace, 0.05, 0, 0);
    printf("{\"bench\":\"cache/predict_late\",\"trace\":\"%s\",\"results\":[", trace.name);
    const char *comma = "";
    for (size_t d = 0; d < sizeof delays / sizeof delays[0]; d++) {
        for (size_t k = 0; k < sizeof depths / sizeof depths[0]; k++) {
            outcome with = replay(&trace, 0.05, depths[k], delays[d]);
            printf("%s\n {\"requests_until_loaded\":%" PRIu32 ",\"depth\":%" PRIu32 ",", comma,
                   delays[d], depths[k]);
            print_outcome(&trace, &without, &with);
            printf("}");
            (void)fflush(stdout);
            comma = ",";
        }
    }
    printf("]}\n");
    trace_free(&trace);
    return 0;
}

/* --- what a note costs --------------------------------------------------------------------- */

enum { COST_KEYS = 100000, COST_NOTES = 2000000, COST_ROUNDS = 5, COST_BATCH = 500 };

static bool is_never_cached(void *ctx, const brisk_key *key)
{
    (void)ctx;
    (void)key;
    return true;
}

static double note_ns(brisk_prefetcher *prefetcher, const brisk_key *keys, bool drain)
{
    uint64_t spent = 0;
    for (uint32_t i = 0; i < COST_NOTES; i += COST_BATCH) {
        uint64_t begin = brisk_clock_now_ns(NULL);
        for (uint32_t j = i; j < i + COST_BATCH; j++) {
            brisk_prefetcher_note(prefetcher, 1, &keys[j % COST_KEYS], true);
        }
        spent += brisk_clock_now_ns(NULL) - begin;
        if (drain) {
            brisk_prefetcher_drain(prefetcher);
        }
    }
    return (double)spent / COST_NOTES;
}

static void run_cost(void)
{
    brisk_key *keys = trace_take(COST_KEYS * sizeof *keys);
    char(*bytes)[16] = trace_take(COST_KEYS * sizeof *bytes);
    for (uint32_t i = 0; i < COST_KEYS; i++) {
        (void)snprintf(bytes[i], sizeof bytes[i], "key:%010" PRIu32, i * 7919u % COST_KEYS);
        keys[i] = brisk_key_of(bytes[i], 14);
    }
    double best[2] = {1e9, 1e9}; /* into the ring; all of it, in the caller */
    for (uint32_t round = 0; round < COST_ROUNDS; round++) {
        for (uint32_t inlined = 0; inlined < 2; inlined++) {
            brisk_predictor *predictor = NULL;
            brisk_prefetcher *prefetcher = NULL;
            BRISK_ASSERT(brisk_predictor_create(NULL, &predictor) == BRISK_OK);
            brisk_prefetcher_opts opts = {.predictor = predictor,
                                          .is_cached = is_never_cached,
                                          .load = store,
                                          .inline_ = inlined != 0};
            BRISK_ASSERT(brisk_prefetcher_create(&opts, &prefetcher) == BRISK_OK);
            double ns = note_ns(prefetcher, keys, inlined == 0 && round % 2 == 0);
            best[inlined] = ns < best[inlined] ? ns : best[inlined];
            brisk_prefetcher_destroy(prefetcher);
            brisk_predictor_destroy(predictor);
        }
    }
    printf("{\"bench\":\"cache/predict_cost\",\"keys\":%d,\"unit\":\"ns per note, best of %d\","
           "\"request_path\":%.1f,\"all_of_it\":%.1f}\n",
           COST_KEYS, COST_ROUNDS, best[0], best[1]);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--cost") == 0) {
        run_cost();
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "--late") == 0) {
        return run_late_loads(argv[2], argv[3]);
    }
    DIR *dir = argc > 1 ? opendir(argv[1]) : NULL;
    if (dir == NULL) {
        (void)fprintf(stderr, "skipped: bench_predict FOLDER, a folder with traces\n");
        return SKIPPED;
    }
    (void)closedir(dir);
    predictor_bytes = argc > 3 ? strtoull(argv[3], NULL, 10) << 20 : 0;
    run_folder(argv[1], argc > 2 ? strtod(argv[2], NULL) : 0.05);
    return 0;
}
