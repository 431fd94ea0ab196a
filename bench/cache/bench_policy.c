/*
 * bench_policy.c -- miss ratios of the nine policies and of auto, through the memory tier.
 *
 * Every request is a get, and a put of one byte when it was a miss, on a tier with one shard and
 * entries_max = 1, 5 and 20 % of the keys that the trace has.  Printed for each trace and size are
 * all miss ratios, the best of the nine, and what auto is worse; for each size geometric means of
 * miss ratio / LRU's.  Transforms of the traces (reversed, two interleaved, one after the other,
 * with scans) show that auto does not know the traces by heart.
 *
 *     bench_policy FOLDER [--requests N] [--only TEXT] [--policy NAME] [--piece K/N]
 *                         [--size X] [--transforms [--seed N]]
 *     bench_policy --handover ENTRIES
 *
 * Five transforms of each trace.  Seed 0 is a fixed set; with another one partners, lengths of
 * bursts, places of the changes, number and length of the scans are drawn from it.  A piece is
 * every N-th trace from the K-th (0 ..) on.
 *
 * --handover: how long auto holds the shard's lock for one request while a cache of so many entries
 * changes from LRU to LIRS.
 *
 * FOLDER holds traces (see brisk/trace_file.h).  Without it: a message and exit 77.
 */
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <brisk/brisk.h>

#include "cache/policy_auto.h"

enum { POLICIES = 10, SIZES = 3, TRACES_MAX = 256, NAME_SIZE = 64 };

static const double sizes[SIZES] = {0.01, 0.05, 0.20};

typedef struct trace {
    char name[NAME_SIZE];
    uint64_t *keys;
    uint64_t count;
    uint64_t unique; /* 0: not counted yet */
} trace;

typedef struct bench {
    trace traces[TRACES_MAX];
    uint32_t trace_count;
    uint64_t requests_max;
    const char *only;
    const char *policy;
    uint64_t seed; /* of the transforms; 0: the fixed set */
    uint64_t drawn;
    double size; /* the only one, or 0 */
    uint32_t piece;
    uint32_t pieces;
    uint32_t measured;            /* traces of the piece */
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
    t->unique = 0;
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

/* What is done to one trace; all of it follows from the seed. */
typedef struct recipe {
    const trace *with; /* interleaved */
    const trace *then; /* one after the other */
    uint64_t burst;    /* requests of one before it is the other's turn */
    uint64_t turn;     /* requests before what is reversed */
    uint64_t cut;      /* requests before the other trace comes */
    uint64_t scans;
    uint64_t scanned; /* keys of one scan */
} recipe;

/* 0 .. 1 */
static double draw(bench *b)
{
    uint64_t number = b->drawn++;
    return (double)(brisk_hash64(&number, sizeof number, b->seed) >> 11) * 0x1p-53;
}

/* from .. to, small ones as often as large ones */
static double draw_scale(bench *b, double from, double to)
{
    return from * exp(draw(b) * log(to / from));
}

static const trace *draw_other(bench *b, uint32_t i, uint32_t count)
{
    uint32_t step = count > 1 ? 1 + (uint32_t)(draw(b) * (count - 1)) : 0;
    return &b->traces[(i + step) % count];
}

static recipe choose_recipe(bench *b, uint32_t i, uint32_t count)
{
    const trace *x = &b->traces[i];
    if (b->seed == 0) {
        return (recipe){.with = &b->traces[(i + 1) % count],
                        .then = &b->traces[(i + 2) % count],
                        .burst = 1,
                        .cut = x->count,
                        .scans = 20,
                        .scanned = x->unique / 10 + 1};
    }
    recipe r = {.with = draw_other(b, i, count), .then = draw_other(b, i, count)};
    r.burst = (uint64_t)draw_scale(b, 1, 20000);
    r.turn = (uint64_t)((double)x->count * draw(b) / 2);
    r.cut = (uint64_t)((double)x->count * (0.1 + 0.8 * draw(b)));
    r.scans = (uint64_t)draw_scale(b, 4, 40);
    r.scanned = (uint64_t)((double)x->unique * draw_scale(b, 0.02, 0.5)) + 1;
    return r;
}

static trace *add_named(bench *b, uint64_t capacity, const char *what, const trace *x)
{
    char name[NAME_SIZE * 2];
    (void)snprintf(name, sizeof name, "%s %s", what, x->name);
    return add_trace(b, name, capacity);
}

static void name_pair(trace *t, const trace *x, const char *between, const char *y)
{
    (void)snprintf(t->name, sizeof t->name, "%.24s %s %.24s", x->name, between, y);
}

static void add_reversed(bench *b, const trace *x, const recipe *r)
{
    trace *t = add_named(b, x->count, "reversed", x);
    memcpy(t->keys, x->keys, r->turn * sizeof *t->keys);
    for (uint64_t i = r->turn; i < x->count; i++) {
        t->keys[i] = x->keys[x->count - 1 - (i - r->turn)];
    }
    t->count = x->count;
}

static uint64_t other_key(uint64_t key)
{
    return (key ^ UINT64_C(0x5bd1e995)) * UINT64_C(0x9e3779b97f4a7c15);
}

static void add_interleaved(bench *b, const trace *x, const recipe *r)
{
    const trace *y = r->with;
    trace *t = add_named(b, x->count + y->count, "", x);
    name_pair(t, x, "with", y->name);
    uint64_t i = 0;
    uint64_t j = 0;
    while (i < x->count || j < y->count) {
        bool from_x = i * y->count <= j * x->count;
        for (uint64_t n = 0; n < r->burst && from_x && i < x->count; n++) {
            t->keys[t->count++] = x->keys[i++];
        }
        for (uint64_t n = 0; n < r->burst && !from_x && j < y->count; n++) {
            t->keys[t->count++] = other_key(y->keys[j++]);
        }
        if (i == x->count || j == y->count) { /* what is left */
            while (i < x->count) {
                t->keys[t->count++] = x->keys[i++];
            }
            while (j < y->count) {
                t->keys[t->count++] = other_key(y->keys[j++]);
            }
        }
    }
}

static void add_phases(bench *b, const trace *x, const recipe *r)
{
    const trace *y = r->then;
    trace *t = add_named(b, x->count + y->count, "", x);
    name_pair(t, x, "then", y->name);
    for (uint64_t i = 0; i < r->cut; i++) {
        t->keys[t->count++] = x->keys[i];
    }
    for (uint64_t i = 0; i < y->count; i++) {
        t->keys[t->count++] = other_key(y->keys[i]);
    }
    for (uint64_t i = r->cut; i < x->count; i++) {
        t->keys[t->count++] = x->keys[i];
    }
}

/* Scans of new keys, or of the same ones each time. */
static void add_scans(bench *b, const trace *x, const recipe *r, bool again)
{
    uint64_t every = x->count / r->scans + 1;
    trace *t = add_named(b, x->count + (r->scans + 1) * r->scanned, "", x);
    name_pair(t, x, "and", again ? "one scan again" : "scans");
    uint64_t scanned = 0;
    for (uint64_t i = 0; i < x->count; i++) {
        if (i % every == every - 1) {
            for (uint64_t s = 0; s < r->scanned; s++) {
                uint64_t number = again ? s : scanned++;
                t->keys[t->count++] = other_key(brisk_hash64(&number, sizeof number, 1));
            }
        }
        t->keys[t->count++] = x->keys[i];
    }
}

static void add_transforms(bench *b)
{
    uint32_t count = b->trace_count;
    for (uint32_t i = 0; i < count; i++) {
        const trace *x = &b->traces[i];
        recipe r = choose_recipe(b, i, count);
        add_reversed(b, x, &r);
        add_interleaved(b, x, &r);
        add_phases(b, x, &r);
        add_scans(b, x, &r, false);
        add_scans(b, x, &r, true);
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
        if (b->size != 0 && b->size != sizes[s]) {
            continue;
        }
        brisk_json_object_begin(&b->json, NULL);
        brisk_json_double(&b->json, "size", sizes[s]);
        for (uint32_t p = 0; p < POLICIES; p++) {
            double mean = exp(b->logs[s][p] / (double)b->measured);
            brisk_json_double(&b->json, brisk_policy_name(p), mean);
        }
        brisk_json_double(&b->json, "best_of_nine", exp(b->best[s] / (double)b->measured));
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

/* --- handing over ------------------------------------------------------------------------ */

/* Of this thread: what others do on the machine is no pause. */
static uint64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static cache_policy *fill_large(uint32_t entries)
{
    size_t bytes = (policy_auto.bytes(entries) + 63) & ~(size_t)63;
    void *storage = aligned_alloc(64, bytes);
    if (storage == NULL) {
        fail("out of memory");
    }
    memset(storage, 0, bytes);
    cache_policy *self = policy_auto.init(storage, entries);
    policy_auto.set_capacity(self, entries);
    for (uint64_t i = 0; i < entries; i++) { /* in an order that is not that of the ids */
        uint32_t id = (uint32_t)(i * UINT64_C(2654435761) % entries);
        policy_entry entry = {.id = id, .hash = (uint32_t)brisk_hash64(&i, sizeof i, 0)};
        policy_auto.on_insert(self, &entry);
    }
    return self;
}

static int measure_handover(uint32_t entries)
{
    enum { LRU = 1, LIRS = 7 };
    static const char *const names[] = {"works", "drains", "clears", "fills"};
    if (entries < 1000) {
        fail("a large cache has 1000 entries at least");
    }
    cache_policy *self = fill_large(entries);
    for (uint32_t turn = 0; turn < 2; turn++) { /* to LRU without looking */
        self->next = turn == 0 ? LRU : LIRS;
        self->stage = ONE_DRAINS;
        while (self->stage != ONE_WORKS) {
            one_stage stage = self->stage;
            uint64_t longest = 0;
            uint64_t steps = 0;
            uint64_t begin = cpu_ns();
            for (uint64_t last = begin; self->stage == stage; steps++) {
                one_step(self);
                uint64_t now = cpu_ns();
                longest = now - last > longest ? now - last : longest;
                last = now;
            }
            if (turn == 1) {
                double all = (double)(cpu_ns() - begin);
                (void)printf("%s: %" PRIu64
                             " requests, %.2f us each, longest %.1f us, all %.0f ms\n",
                             names[stage], steps, all / 1e3 / (double)steps, (double)longest / 1e3,
                             all / 1e6);
            }
        }
    }
    free(self);
    return 0;
}

static bool read_option(bench *b, const char *name, const char *text)
{
    if (strcmp(name, "--requests") == 0) {
        b->requests_max = strtoull(text, NULL, 10);
    } else if (strcmp(name, "--only") == 0) {
        b->only = text;
    } else if (strcmp(name, "--policy") == 0) {
        b->policy = text;
    } else if (strcmp(name, "--seed") == 0) {
        b->seed = strtoull(text, NULL, 10);
    } else if (strcmp(name, "--size") == 0) {
        b->size = strtod(text, NULL);
    } else if (strcmp(name, "--piece") == 0) {
        return sscanf(text, "%" SCNu32 "/%" SCNu32, &b->piece, &b->pieces) == 2 &&
               b->piece < b->pieces;
    } else {
        return false;
    }
    return true;
}

static void run_all(bench *b)
{
    brisk_json_init(&b->json, brisk_out_file(stdout), 2);
    brisk_json_object_begin(&b->json, NULL);
    brisk_json_array_begin(&b->json, "runs");
    for (uint32_t i = b->piece; i < b->trace_count; i += b->pieces) {
        trace *t = &b->traces[i];
        t->unique = t->unique != 0 ? t->unique : count_unique(t);
        b->measured++;
        for (uint32_t s = 0; s < SIZES; s++) {
            if (b->size == 0 || b->size == sizes[s]) {
                run_size(b, t, s);
            }
        }
    }
    brisk_json_array_end(&b->json);
    if (b->policy == NULL && b->measured != 0) {
        print_means(b);
    }
    brisk_json_object_end(&b->json);
}

int main(int argc, char **argv)
{
    static bench b = {.requests_max = UINT64_MAX, .pieces = 1};
    bool transforms = false;
    if (argc == 3 && strcmp(argv[1], "--handover") == 0) {
        return measure_handover((uint32_t)strtoul(argv[2], NULL, 10));
    }
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--transforms") == 0) {
            transforms = true;
        } else if (i + 1 < argc && read_option(&b, argv[i], argv[i + 1])) {
            i++;
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
    run_all(&b);
    return brisk_json_finish(&b.json) == BRISK_OK ? 0 : 1;
}
