/*
 * bench_ideal.c -- the tree of a project from packages that are in memory already.
 *
 *     bench_ideal [PROJECT [ROUNDS]]        (default: alotta 41)
 *
 * Needs the corpus ($BRISK_CORPUS).  Every package is parsed before; each round makes an arena, the
 * whole tree from nothing, and from npm's own lock, and gives the arena back.  Prints one JSON
 * object: medians and minima in ms, bytes of the arena, how often the source was asked.
 */
#include <time.h>

#include "pkg/corpus.h"
#include "workload/pkg/ideal.h"
#include "workload/pkg/lock.h"

enum { ROUNDS = 41, ROUNDS_MAX = 1000, LOCK_BYTES_MAX = 8 << 20 };

typedef struct bench {
    corpus *all;
    uint64_t asked;
    const pkg_tree *lock;
    pkg_project project;
    pkg_ideal_opts opts;
} bench;

static double now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static brisk_err counting_get(void *ctx, pkg_text name, const pkg_package **ret,
                              brisk_errinfo *info)
{
    bench *b = ctx;
    b->asked++;
    return corpus_get(b->all, name, ret, info);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One round; false when there is no tree. */
static bool run(bench *b, const pkg_tree *lock, double *ms, size_t *bytes, uint32_t *nodes)
{
    brisk_arena *arena = NULL;
    pkg_source source = {.ctx = b, .get = counting_get, .want = corpus_want};
    pkg_conflict conflict;
    brisk_errinfo info = {0};
    pkg_tree tree;
    double before = now_ms();
    brisk_err err = brisk_arena_create(NULL, &arena);
    err = err == BRISK_OK ? pkg_ideal_build(&b->project, lock, &source, &b->opts, arena, &tree,
                                            &conflict, &info)
                          : err;
    *ms = now_ms() - before;
    if (err != BRISK_OK) {
        (void)fprintf(stderr, "bench_ideal: %s\n", info.text);
    } else {
        *bytes = brisk_arena_used(arena);
        *nodes = tree.live;
    }
    brisk_arena_destroy(arena);
    return err == BRISK_OK;
}

static bool measure(bench *b, const char *what, const pkg_tree *lock, int rounds)
{
    static double ms[ROUNDS_MAX];
    size_t bytes = 0;
    uint32_t nodes = 0;
    b->asked = 0;
    for (int i = 0; i < rounds; i++) {
        if (!run(b, lock, &ms[i], &bytes, &nodes)) {
            return false;
        }
    }
    qsort(ms, (size_t)rounds, sizeof *ms, by_value);
    (void)printf("\"%s\": {\"median_ms\": %.3f, \"min_ms\": %.3f, \"nodes\": %u, "
                 "\"arena_bytes\": %zu, \"asked\": %llu}",
                 what, ms[rounds / 2], ms[0], nodes, bytes,
                 (unsigned long long)(b->asked / (uint64_t)rounds));
    return true;
}

int main(int argc, char **argv)
{
    const char *project = argc > 1 ? argv[1] : "alotta";
    int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : ROUNDS;
    char path[PATH_MAX];
    char file[256];
    (void)snprintf(file, sizeof file, "projects/%s/package-lock.npm11.json", project);
    if (rounds < 1 || rounds > ROUNDS_MAX || !corpus_path(file, path)) {
        (void)fprintf(stderr, "bench_ideal: no such project in the corpus, or rounds\n");
        return 2;
    }
    static char text[LOCK_BYTES_MAX];
    FILE *in = fopen(path, "rb");
    size_t size = in != NULL ? fread(text, 1, sizeof text, in) : 0;
    brisk_arena *arena = NULL;
    pkg_tree lock;
    brisk_errinfo info = {0};
    if (size == 0 || brisk_arena_create(NULL, &arena) != BRISK_OK ||
        pkg_lock_read((pkg_text){text, size}, arena, &lock, NULL, &info) != BRISK_OK ||
        !corpus_path("registry-snapshot.tar.zst", path)) {
        (void)fprintf(stderr, "bench_ideal: %s: %s\n", path, info.text);
        return 1;
    }
    (void)fclose(in);
    bench b = {.all = corpus_load(path),
               .project = {.folder = PKG_TEXT("/project"), .manifest = lock.root->manifest},
               .opts = {.pick = {.before_ms = INT64_MAX}}};
    (void)semver_parse(PKG_TEXT("20.20.2"), 0, &b.opts.pick.node);
    double ms = 0;
    size_t bytes = 0;
    uint32_t nodes = 0;
    bool ok = run(&b, NULL, &ms, &bytes, &nodes); /* parses the packages */
    (void)printf("{\"schema\": 1, \"project\": \"%s\", \"rounds\": %d, ", project, rounds);
    ok = ok && measure(&b, "fresh", NULL, rounds);
    (void)printf(", ");
    ok = ok && measure(&b, "locked", &lock, rounds);
    (void)printf("}\n");
    corpus_close(b.all);
    brisk_arena_destroy(arena);
    return ok ? 0 : 1;
}
