/*
 * bench_policy.c -- miss ratios of the nine policies and of auto, through the memory tier.
 *
 * Every request is a get, and a put of one byte when it was a miss, on a tier with one shard and
 * entries_max = 1, 5 and 20 % of the keys that the trace has.  Printed for each trace and size are
 * all miss ratios, the best of the nine, and what auto is worse; for each size geometric means of
 * miss ratio / LRU's.  Transforms of the traces (reversed, two interleaved, one after the other,
 * with scans) show that auto does not know the traces by heart.
 *
 *     bench_policy FOLDER [--requests N] [--only TEXT] [--transforms] [--policy NAME]
 *
 * FOLDER holds traces (see brisk/trace_file.h).  Without it: a message and exit 77.
 */
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/brisk.h>

enum { POLICIES = 10, SIZES = 3, TRACES_MAX = 256, NAME_SIZE = 64 };

static const double sizes[SIZES] = {0.01, 0.05, 0.20};

typedef struct trace {
    char name[NAME_SIZE];
    uint64_t *keys;
    uint64_t count;
    uint64_t unique;
} trace;

typedef struct bench {
    trace traces[TRACES_MAX];
    uint32_t trace_count;
    uint64_t requests_max;
    const char *only;
    const char *policy;
    double logs[SIZES][POLICIES]; /* sums of log(ratio to LRU) */
    double best[SIZES];
    double worst[SIZES]; /* largest auto / LRU */
    brisk_json json;
} bench;

static _Noreturn void fail(const char *what)
{
    (void)fprintf(stderr, "bench_policy: %s\n", what);
    exit(1);
}

static void *get_memory(size_t bytes)
{
    void *memory = malloc(bytes != 0 ? bytes : 1);
    if (memory == NULL) {
        fail("out of memory");
    }
    return memory;
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t count_unique(const trace *t)
{
    uint64_t *sorted = get_memory(t->count * sizeof *sorted);
    memcpy(sorted, t->keys, t->count * sizeof *sorted);
    qsort(sorted, t->count, sizeof *sorted, compare_keys);
    uint64_t unique = 0;
    for (uint64_t i = 0; i < t->count; i++) {
        unique += i == 0 || sorted[i] != sorted[i - 1];
    }
    free(sorted);
    return unique;
}

static trace *add_trace(bench *b, const char *name, uint64_t capacity)
{
    if (b->trace_count == TRACES_MAX) {
        fail("too many traces");
    }
    trace *t = &b->traces[b->trace_count++];
    (void)snprintf(t->name, sizeof t->name, "%.*s", (int)strcspn(name, "."), name);
    t->keys = get_memory(capacity * sizeof *t->keys);
    t->count = 0;
    return t;
}

static void load(bench *b, const char *folder, const char *name)
{
    char path[4096];
    brisk_errinfo info;
    brisk_trace_file *file = NULL;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    brisk_trace_format format = strstr(name, ".lis") != NULL ? BRISK_TRACE_ARC : BRISK_TRACE_AUTO;
    if (brisk_trace_file_open(path, format, NULL, &file, &info) != BRISK_OK) {
        fail(info.text);
    }
    trace *t = add_trace(b, name, 1);
    uint64_t capacity = 1;
    brisk_trace_request request;
    brisk_err err;
    while (t->count < b->requests_max &&
           (err = brisk_trace_file_next(file, &request, &info)) == BRISK_OK) {
        if (t->count == capacity) {
            capacity *= 2;
            t->keys = realloc(t->keys, capacity * sizeof *t->keys);
            if (t->keys == NULL) {
                fail("out of memory");
            }
        }
        t->keys[t->count++] = request.key;
    }
    if (t->count < b->requests_max && err != BRISK_ERR_NOT_FOUND) {
        fail(info.text);
    }
    brisk_trace_file_close(file);
    t->unique = count_unique(t);
}

/* --- transforms -------------------------------------------------------------------------- */

static void add_reversed(bench *b, const trace *from)
{
    char name[NAME_SIZE * 3];
    (void)snprintf(name, sizeof name, "reversed %s", from->name);
    trace *t = add_trace(b, name, from->count);
    for (uint64_t i = 0; i < from->count; i++) {
        t->keys[i] = from->keys[from->count - 1 - i];
    }
    t->count = from->count;
    t->unique = from->unique;
}

static uint64_t other_key(uint64_t key)
{
    return (key ^ UINT64_C(0x5bd1e995)) * UINT64_C(0x9e3779b97f4a7c15);
}

static void add_interleaved(bench *b, const trace *x, const trace *y)
{
    char name[NAME_SIZE * 3];
    (void)snprintf(name, sizeof name, "%s with %s", x->name, y->name);
    trace *t = add_trace(b, name, x->count + y->count);
    uint64_t i = 0;
    uint64_t j = 0;
    while (i < x->count || j < y->count) {
        bool from_x = j == y->count || (i < x->count && i * y->count <= j * x->count);
        t->keys[t->count++] = from_x ? x->keys[i++] : other_key(y->keys[j++]);
    }
    t->unique = count_unique(t);
}

static void add_phases(bench *b, const trace *x, const trace *y)
{
    char name[NAME_SIZE * 3];
    (void)snprintf(name, sizeof name, "%s then %s", x->name, y->name);
    trace *t = add_trace(b, name, x->count + y->count);
    memcpy(t->keys, x->keys, x->count * sizeof *t->keys);
    for (uint64_t i = 0; i < y->count; i++) {
        t->keys[x->count + i] = other_key(y->keys[i]);
    }
    t->count = x->count + y->count;
    t->unique = count_unique(t);
}

/* Twenty scans of a tenth of the keys; of new keys, or of the same ones each time. */
static void add_scans(bench *b, const trace *x, bool again)
{
    enum { SCANS = 20 };
    char name[NAME_SIZE * 3];
    (void)snprintf(name, sizeof name, "%s and %s", x->name, again ? "one scan again" : "scans");
    uint64_t length = x->unique / 10 + 1;
    uint64_t every = x->count / SCANS + 1;
    trace *t = add_trace(b, name, x->count + (SCANS + 1) * length);
    uint64_t scanned = 0;
    for (uint64_t i = 0; i < x->count; i++) {
        if (i % every == every - 1) {
            for (uint64_t s = 0; s < length; s++) {
                uint64_t number = again ? s : scanned++;
                t->keys[t->count++] = other_key(brisk_hash64(&number, sizeof number, 1));
            }
        }
        t->keys[t->count++] = x->keys[i];
    }
    t->unique = count_unique(t);
}

static void add_transforms(bench *b)
{
    uint32_t count = b->trace_count;
    for (uint32_t i = 0; i < count; i++) {
        add_reversed(b, &b->traces[i]);
        add_interleaved(b, &b->traces[i], &b->traces[(i + 1) % count]);
        add_phases(b, &b->traces[i], &b->traces[(i + 2) % count]);
        add_scans(b, &b->traces[i], false);
        add_scans(b, &b->traces[i], true);
    }
    for (uint32_t i = 0; i < count; i++) {
        free(b->traces[i].keys);
    }
    memmove(b->traces, b->traces + count, (b->trace_count - count) * sizeof b->traces[0]);
    b->trace_count -= count;
}

/* --- measuring --------------------------------------------------------------------------- */

static double miss_ratio(const trace *t, uint64_t entries, const char *policy)
{
    brisk_memory_tier_opts opts = {
        .bytes_max = (UINT64_C(128) << 20) + entries * 512,
        .entries_max = entries,
        .shards = 1,
        .policy = policy,
    };
    brisk_tier *tier = NULL;
    brisk_value *value = NULL;
    if (brisk_memory_tier_create(&opts, &tier) != BRISK_OK ||
        brisk_value_copy("", 1, NULL, &value) != BRISK_OK) {
        fail("cannot make the tier");
    }
    uint64_t misses = 0;
    for (uint64_t i = 0; i < t->count; i++) {
        brisk_key key = brisk_key_of(&t->keys[i], sizeof t->keys[i]);
        brisk_hit hit;
        if (tier->ops->get(tier, &key, &hit) == BRISK_OK) {
            brisk_value_unref(hit.value);
            continue;
        }
        misses++;
        if (tier->ops->put(tier, &key, value, NULL) != BRISK_OK) {
            fail("cannot put");
        }
    }
    brisk_value_unref(value);
    brisk_tier_destroy(tier);
    return (double)misses / (double)t->count;
}

static void run_size(bench *b, const trace *t, uint32_t size)
{
    uint64_t entries = (uint64_t)((double)t->unique * sizes[size]);
    entries = entries != 0 ? entries : 1;
    double ratios[POLICIES];
    double best = 2;
    brisk_json_object_begin(&b->json, NULL);
    brisk_json_str(&b->json, "trace", t->name);
    brisk_json_double(&b->json, "size", sizes[size]);
    brisk_json_u64(&b->json, "entries", entries);
    brisk_json_u64(&b->json, "requests", t->count);
    for (uint32_t p = 0; p < POLICIES; p++) {
        const char *name = brisk_policy_name(p);
        if (b->policy != NULL && strcmp(b->policy, name) != 0) {
            continue;
        }
        ratios[p] = miss_ratio(t, entries, name);
        brisk_json_double(&b->json, name, ratios[p]);
        if (p + 1 < POLICIES && ratios[p] < best) {
            best = ratios[p];
        }
    }
    if (b->policy == NULL) {
        double automatic = ratios[POLICIES - 1];
        brisk_json_double(&b->json, "best_of_nine", best);
        brisk_json_double(&b->json, "auto_to_best", automatic / best);
        brisk_json_double(&b->json, "auto_to_lru", automatic / ratios[0]);
        for (uint32_t p = 0; p < POLICIES; p++) {
            b->logs[size][p] += log(ratios[p] / ratios[0]);
        }
        b->best[size] += log(best / ratios[0]);
        b->worst[size] = fmax(b->worst[size], automatic / ratios[0]);
    }
    brisk_json_object_end(&b->json);
    (void)fflush(stdout);
}

static void print_means(bench *b)
{
    brisk_json_array_begin(&b->json, "geometric_means");
    for (uint32_t s = 0; s < SIZES; s++) {
        brisk_json_object_begin(&b->json, NULL);
        brisk_json_double(&b->json, "size", sizes[s]);
        for (uint32_t p = 0; p < POLICIES; p++) {
            double mean = exp(b->logs[s][p] / (double)b->trace_count);
            brisk_json_double(&b->json, brisk_policy_name(p), mean);
        }
        brisk_json_double(&b->json, "best_of_nine", exp(b->best[s] / (double)b->trace_count));
        brisk_json_double(&b->json, "worst_auto_to_lru", b->worst[s]);
        brisk_json_object_end(&b->json);
    }
    brisk_json_array_end(&b->json);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void load_folder(bench *b, const char *folder)
{
    DIR *dir = opendir(folder);
    char *names[TRACES_MAX];
    uint32_t count = 0;
    for (const struct dirent *file; dir != NULL && (file = readdir(dir)) != NULL;) {
        bool wanted = strstr(file->d_name, ".zst") != NULL || strstr(file->d_name, ".txt") != NULL;
        if (wanted && count < TRACES_MAX && (b->only == NULL || strstr(file->d_name, b->only))) {
            names[count++] = strdup(file->d_name);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    qsort(names, count, sizeof names[0], compare_names);
    for (uint32_t i = 0; i < count; i++) {
        load(b, folder, names[i]);
        free(names[i]);
    }
}

int main(int argc, char **argv)
{
    static bench b = {.requests_max = UINT64_MAX};
    bool transforms = false;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--transforms") == 0) {
            transforms = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--requests") == 0) {
            b.requests_max = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--only") == 0) {
            b.only = argv[++i];
        } else if (i + 1 < argc && strcmp(argv[i], "--policy") == 0) {
            b.policy = argv[++i];
        } else {
            fail("bad option");
        }
    }
    if (argc > 1) {
        load_folder(&b, argv[1]);
    }
    if (b.trace_count == 0) {
        (void)fputs("bench_policy: no traces; give their folder\n", stderr);
        return 77;
    }
    if (transforms) {
        add_transforms(&b);
    }
    brisk_json_init(&b.json, brisk_out_file(stdout), 2);
    brisk_json_object_begin(&b.json, NULL);
    brisk_json_array_begin(&b.json, "runs");
    for (uint32_t i = 0; i < b.trace_count; i++) {
        for (uint32_t s = 0; s < SIZES; s++) {
            run_size(&b, &b.traces[i], s);
        }
    }
    brisk_json_array_end(&b.json);
    if (b.policy == NULL) {
        print_means(&b);
    }
    brisk_json_object_end(&b.json);
    return brisk_json_finish(&b.json) == BRISK_OK ? 0 : 1;
}
