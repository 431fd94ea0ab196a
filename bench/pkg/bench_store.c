/*
 * bench_store.c -- reading packuments and the metadata store, over the corpus's snapshot.
 *
 *     bench_store [ROUNDS [snapshot|alotta]]      prints JSON
 *
 * Every round runs every variant once, taking turns; reported are median and smallest, of processor
 * time (everything here is one thread and without waiting).
 *
 *   bits_*      the bits of all documents, by each path
 *   keys        bits, and the key and byte range of every version
 *   ingest      documents to records, complete
 *   yajl        events without handlers; jansson: documents to its values (where these are)
 *   store_*     a process of its own each time, page cache warm: open, the first get of every package
 *               of alotta (with checksum), all their versions, the gets once more
 *
 * The corpus is $BRISK_CORPUS or ../shared/corpus beside the source root.
 */
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brisk/arena.h>

#include "pkg/corpus.h"
#include "workload/pkg/jsontext.h"
#include "workload/pkg/store.h"

#if BENCH_YAJL
#    include <yajl/yajl_parse.h>
#endif
#if BENCH_JANSSON
#    include <jansson.h>
#endif

enum { ROUNDS = 11, ROUNDS_MAX = 101, SCALED = 1000 };

typedef enum variant {
    BITS_SCALAR,
    BITS_AVX2,
    BITS_AVX512,
    KEYS,
    INGEST,
    YAJL,
    JANSSON,
    STORE_OPEN,
    STORE_FIRST_GETS,
    STORE_VERSIONS,
    STORE_GETS_AGAIN,
    VARIANTS
} variant;

static const char *const names[VARIANTS] = {
    "bits_scalar", "bits_avx2",  "bits_avx512",      "keys",           "ingest",           "yajl",
    "jansson",     "store_open", "store_first_gets", "store_versions", "store_gets_again",
};

typedef struct bench {
    corpus *all;
    corpus_item **used; /* the documents that are read */
    size_t used_count;
    size_t bytes;
    scan_block *blocks;
    const char *store_path;
    pkg_text *alotta; /* names that the store is asked for */
    uint32_t alotta_count;
    double ms[VARIANTS][ROUNDS_MAX];
    uint64_t checked; /* so that nothing is optimised away */
} bench;

/* Of this thread's own processor time: other programs make it wait, not work. */
static double now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* --- documents -------------------------------------------------------------------------------- */

static void read_bits(bench *b, scan_path path)
{
    for (size_t i = 0; i < b->used_count; i++) {
        pkg_text json = b->used[i]->json;
        scan_blocks(path, json.data, json.size, b->blocks);
        b->checked += b->blocks[0].quotes;
    }
}

static void read_keys(bench *b)
{
    for (size_t i = 0; i < b->used_count; i++) {
        pkg_text json = b->used[i]->json;
        scan_blocks(SCAN_BEST, json.data, json.size, b->blocks);
        scan s = {.text = json.data, .size = (uint32_t)json.size, .blocks = b->blocks};
        scan_members m = scan_members_of(&s, 0);
        while (scan_next(&m)) {
            bool versions =
                m.key_end - m.key_begin == 8 && memcmp(s.text + m.key_begin, "versions", 8) == 0;
            scan_members v = scan_members_of(&s, versions ? m.value : s.size);
            while (scan_next(&v)) {
                v.end = scan_value(&s, v.value);
                b->checked += v.key_end - v.key_begin + v.end;
            }
            m.end = versions ? v.end : scan_value(&s, m.value);
        }
        assert_false(m.bad);
    }
}

static void ingest(bench *b)
{
    for (size_t i = 0; i < b->used_count; i++) {
        const pkg_package *package;
        CHECK_OK(pkg_packument_read(b->all->reader, pkg_text_of(b->used[i]->name), b->used[i]->json,
                                    &package, NULL));
        b->checked += pkg_package_count(package);
    }
}

static void read_yajl(bench *b)
{
#if BENCH_YAJL
    static const yajl_callbacks none;
    for (size_t i = 0; i < b->used_count; i++) {
        yajl_handle handle = yajl_alloc(&none, NULL, NULL);
        assert_int_equal(
            yajl_parse(handle, (const unsigned char *)b->used[i]->json.data, b->used[i]->json.size),
            yajl_status_ok);
        assert_int_equal(yajl_complete_parse(handle), yajl_status_ok);
        yajl_free(handle);
    }
#else
    (void)b;
#endif
}

static void read_jansson(bench *b)
{
#if BENCH_JANSSON
    for (size_t i = 0; i < b->used_count; i++) {
        json_t *root = json_loadb(b->used[i]->json.data, b->used[i]->json.size, 0, NULL);
        assert_non_null(root);
        json_decref(root);
    }
#else
    (void)b;
#endif
}

/* --- store ------------------------------------------------------------------------------------ */

static void fill_store(bench *b)
{
    pkg_store *store;
    CHECK_OK(pkg_store_open(b->store_path, NULL, &store, NULL));
    for (size_t i = 0; i < b->all->count; i++) {
        pkg_stored stored = {.package = corpus_package(b->all, pkg_text_of(b->all->items[i].name))};
        CHECK_OK(pkg_store_put(store, &stored, NULL));
    }
    pkg_store_stats stats;
    pkg_store_stats_of(store, &stats);
    printf("  \"store_packages\": %llu,\n  \"store_bytes\": %llu,\n",
           (unsigned long long)stats.packages, (unsigned long long)stats.bytes_used);
    pkg_store_close(store);
}

typedef struct store_times {
    double ms[4];
    uint64_t found;
    uint64_t versions;
} store_times;

static void use_store(const bench *b, store_times *ret)
{
    pkg_store *store;
    pkg_stored stored;
    pkg_version version;
    double start = now_ms();
    CHECK_OK(pkg_store_open(b->store_path, NULL, &store, NULL));
    double opened = now_ms();
    for (uint32_t i = 0; i < b->alotta_count; i++) {
        ret->found += pkg_store_get(store, 0, b->alotta[i], &stored) == BRISK_OK ? 1 : 0;
    }
    double got = now_ms();
    double again_ms = 0;
    for (uint32_t i = 0; i < b->alotta_count; i++) {
        if (pkg_store_get(store, 0, b->alotta[i], &stored) != BRISK_OK) {
            continue;
        }
        for (uint32_t v = 0; v < pkg_package_count(stored.package); v++) {
            pkg_package_version(stored.package, v, &version);
            ret->versions += version.semver.major <= UINT32_MAX ? 1 : 0;
        }
    }
    double passed = now_ms();
    for (uint32_t i = 0; i < b->alotta_count; i++) {
        ret->found += pkg_store_get(store, 0, b->alotta[i], &stored) == BRISK_OK ? 1 : 0;
    }
    again_ms = now_ms() - passed;
    ret->ms[0] = opened - start;
    ret->ms[1] = got - opened;
    ret->ms[2] = passed - got - again_ms;
    ret->ms[3] = again_ms;
    pkg_store_close(store);
}

/* In the process that measure_store starts: names on standard input, one a line. */
static int store_process(const char *path)
{
    static char names_text[1 << 20];
    static pkg_text wanted[1 << 14];
    bench b = {.store_path = path, .alotta = wanted};
    size_t size = fread(names_text, 1, sizeof names_text, stdin);
    for (size_t at = 0; at < size && b.alotta_count < 1 << 14;) {
        const char *end = memchr(names_text + at, '\n', size - at);
        size_t length = end != NULL ? (size_t)(end - (names_text + at)) : size - at;
        wanted[b.alotta_count++] = (pkg_text){.data = names_text + at, .size = length};
        at += length + 1;
    }
    store_times times = {0};
    use_store(&b, &times);
    return fwrite(&times, sizeof times, 1, stdout) == 1 ? 0 : 1;
}

static void measure_store(bench *b, uint32_t round)
{
    int to[2];
    int from[2];
    store_times times = {0};
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (dup2(to[0], 0) == 0 && dup2(from[1], 1) == 1 && close(to[1]) == 0) {
            (void)execl("/proc/self/exe", "bench_store", "store", b->store_path, (char *)NULL);
        }
        _exit(1);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    for (uint32_t i = 0; i < b->alotta_count; i++) {
        assert_true(write(to[1], b->alotta[i].data, b->alotta[i].size) > 0);
        assert_int_equal(write(to[1], "\n", 1), 1);
    }
    (void)close(to[1]);
    assert_int_equal(read(from[0], &times, sizeof times), sizeof times);
    (void)close(from[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    for (uint32_t i = 0; i < 4; i++) {
        b->ms[STORE_OPEN + i][round] = times.ms[i];
    }
    b->checked += times.found + times.versions;
}

/* --- the run ---------------------------------------------------------------------------------- */

static bool variant_exists(variant v)
{
    switch (v) {
    case BITS_AVX2: return scan_path_exists(SCAN_AVX2);
    case BITS_AVX512: return scan_path_exists(SCAN_AVX512);
    case YAJL: return BENCH_YAJL;
    case JANSSON: return BENCH_JANSSON;
    case BITS_SCALAR:
    case KEYS:
    case INGEST:
    case STORE_OPEN:
    case STORE_FIRST_GETS:
    case STORE_VERSIONS:
    case STORE_GETS_AGAIN:
    case VARIANTS: break;
    }
    return true;
}

static void measure(bench *b, variant v, uint32_t round)
{
    double start = now_ms();
    switch (v) {
    case BITS_SCALAR: read_bits(b, SCAN_SCALAR); break;
    case BITS_AVX2: read_bits(b, SCAN_AVX2); break;
    case BITS_AVX512: read_bits(b, SCAN_AVX512); break;
    case KEYS: read_keys(b); break;
    case INGEST: ingest(b); break;
    case YAJL: read_yajl(b); break;
    case JANSSON: read_jansson(b); break;
    case STORE_OPEN: measure_store(b, round); return;
    case STORE_FIRST_GETS:
    case STORE_VERSIONS:
    case STORE_GETS_AGAIN:
    case VARIANTS: return;
    }
    b->ms[v][round] = now_ms() - start;
}

/* Names of a lock's packages: behind the last node_modules, or as an alias says. */
static void read_alotta(bench *b, brisk_arena *arena)
{
    char path[PATH_MAX];
    corpus_need("projects/alotta/package-lock.npm11.json", path);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = brisk_arena_alloc(arena, 8 << 20);
    size_t size = fread(text, 1, 8 << 20, file);
    (void)fclose(file);
    const pkg_json *lock;
    CHECK_OK(pkg_json_parse((pkg_text){.data = text, .size = size}, arena, &lock, NULL));
    const pkg_json *packages = pkg_json_get(lock, "packages");
    b->alotta = brisk_arena_calloc(arena, packages->count, sizeof *b->alotta);
    for (uint32_t i = 0; i < packages->count; i++) {
        pkg_text name = pkg_json_get_text(packages->items[i], "name");
        pkg_text key = packages->keys[i];
        for (size_t at = 0; name.size == 0 && at + 13 <= key.size; at++) {
            size_t last = key.size - 13 - at;
            if (memcmp(key.data + last, "node_modules/", 13) == 0) {
                name = (pkg_text){.data = key.data + last + 13, .size = at};
            }
        }
        bool known = corpus_find(b->all, name) == NULL;
        for (uint32_t before = 0; before < b->alotta_count && !known; before++) {
            known = pkg_text_equal(b->alotta[before], name);
        }
        if (!known) {
            b->alotta[b->alotta_count++] = name;
        }
    }
}

/* The documents of `set`: all, or those that alotta needs. */
static void choose(bench *b, const char *set)
{
    bool all = strcmp(set, "alotta") != 0;
    size_t count = all ? b->all->count : b->alotta_count;
    b->used = calloc(count, sizeof(corpus_item *));
    assert_non_null(b->used);
    size_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        b->used[i] = all ? &b->all->items[i] : corpus_find(b->all, b->alotta[i]);
        b->bytes += b->used[i]->json.size;
        largest = b->used[i]->json.size > largest ? b->used[i]->json.size : largest;
    }
    b->used_count = count;
    b->blocks = malloc(scan_block_count(largest) * sizeof(scan_block));
    assert_non_null(b->blocks);
    printf("  \"set\": \"%s\",\n  \"documents\": %zu,\n  \"bytes\": %zu,\n", set, count, b->bytes);
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static void report(bench *b, uint32_t rounds)
{
    for (variant v = 0; v < VARIANTS; v++) {
        if (!variant_exists(v)) {
            continue;
        }
        qsort(b->ms[v], rounds, sizeof b->ms[v][0], compare);
        double median = b->ms[v][rounds / 2];
        printf("  \"%s\": {\"median_ms\": %.3f, \"min_ms\": %.3f", names[v], median, b->ms[v][0]);
        if (v < STORE_OPEN) {
            printf(", \"median_mb_per_s\": %.0f, \"max_mb_per_s\": %.0f",
                   (double)b->bytes / median / SCALED, (double)b->bytes / b->ms[v][0] / SCALED);
        }
        printf("},\n");
    }
    printf("  \"alotta_packages\": %u,\n  \"checked\": %llu\n}\n", b->alotta_count,
           (unsigned long long)b->checked);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "store") == 0) {
        return store_process(argv[2]);
    }
    char path[PATH_MAX];
    char store[] = "/tmp/brisk-bench-XXXXXX";
    uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : ROUNDS;
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    if (!corpus_path("registry-snapshot.tar.zst", path)) {
        (void)fprintf(stderr, "%s is missing\n", path);
        return 77;
    }
    static bench b;
    brisk_arena *arena;
    int fd = mkstemp(store);
    assert_true(fd >= 0);
    (void)close(fd);
    CHECK_OK(brisk_arena_create(NULL, &arena));
    b.all = corpus_load(path);
    b.store_path = store;
    printf("{\n");
    read_alotta(&b, arena);
    choose(&b, argc > 2 ? argv[2] : "snapshot");
    fill_store(&b);
    for (uint32_t round = 0; round < rounds; round++) {
        for (variant v = 0; v < VARIANTS; v++) {
            measure(&b, variant_exists(v) ? v : VARIANTS, round);
        }
    }
    report(&b, rounds);
    (void)unlink(store);
    (void)snprintf(path, sizeof path, "%s.lock", store);
    (void)unlink(path);
    free(b.used);
    free(b.blocks);
    corpus_close(b.all);
    brisk_arena_destroy(arena);
    return 0;
}
