/*
 * bench_invalidate.c -- how long an invalidation takes to be seen by another process.
 *
 *   disk_key, disk_tag        both processes use one disk tier's folder
 *   shared_key, shared_tag    they share only a Redis (with --redis URL); each has memory of its own
 *
 * The parent stores an entry, the child reads it from its own memory until it is a miss.  The time is
 * from before the parent's call of brisk_cache_invalidate_* until the child found out: so what the
 * call itself takes, and the child's wake-up when there are fewer processors than spinners, is in it.
 * Over Redis the child rests for 50 us between two looks, so that the server gets a processor.
 * Microseconds, median and largest of the rounds.  JSON on stdout.
 *
 *   bench_invalidate [--rounds N] [--folder DIR] [--redis URL]
 */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brisk/cache.h>
#include <brisk/clock.h>
#include <brisk/memory.h>
#include <brisk/shared.h>

#include "base/assert.h"

enum { ROUNDS_MAX = 10000, PATIENCE_MS = 10000, PUT_TRIES = 50 };

#define SECRET "0123456789abcdef0123456789abcdef"

/* Between the two; each field has one writer. */
typedef struct board {
    _Alignas(64) _Atomic uint32_t round; /* the parent: read it until it is gone; 0: end */
    _Alignas(64) _Atomic uint32_t reads; /* the child: it has it, from its memory */
    _Alignas(64) _Atomic uint32_t gone;  /* the child: it is gone in this round ... */
    _Atomic uint64_t gone_ns;            /* ... since then */
    _Alignas(64) _Atomic bool stop;
} board;

typedef struct options {
    uint32_t rounds;
    const char *folder;
    const char *redis;
} options;

typedef struct way {
    const char *name;
    bool shared;
    bool tag;
} way;

static brisk_cache *open_stack(const options *o, const way *w)
{
    brisk_tier *tiers[2];
    brisk_cache *cache = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_err err = brisk_memory_tier_create(
        &(brisk_memory_tier_opts){.bytes_max = 8 << 20, .policy = "lru"}, &tiers[0]);
    if (err == BRISK_OK && w->shared) {
        brisk_redis_tier_opts redis = {.url = o->redis,
                                       .timeout_ns = UINT64_C(3000000000),
                                       .key = SECRET,
                                       .key_size = sizeof SECRET - 1,
                                       .prefix = w->name};
        err = brisk_redis_tier_open(&redis, &tiers[1], &info);
    } else if (err == BRISK_OK) {
        brisk_disk_tier_opts disk = {.path = o->folder, .bytes_max = 64 << 20};
        err = brisk_disk_tier_open(&disk, &tiers[1], &info);
    }
    if (err == BRISK_OK) {
        err = brisk_cache_create(
            &(brisk_cache_opts){.tiers = tiers, .tier_count = 2, .breaker = {.disabled = true}},
            &cache);
    }
    if (err != BRISK_OK) {
        (void)fprintf(stderr, "bench_invalidate: %s: %s %s\n", w->name, brisk_err_message(err),
                      info.text);
        _exit(1);
    }
    return cache;
}

static bool has(brisk_cache *cache, const brisk_key *key)
{
    brisk_hit hit;
    if (!brisk_cache_get(cache, key, 0, &hit)) {
        return false;
    }
    brisk_value_unref(hit.value);
    return true;
}

static brisk_key key_of(uint32_t round, char text[32])
{
    int size = snprintf(text, 32, "entry %" PRIu32, round);
    return brisk_key_of(text, (size_t)size);
}

/* The child: wait for the entry, then for its end. */
static void follow(brisk_cache *cache, board *b, bool rests)
{
    uint32_t done = 0;
    char text[32];
    while (!atomic_load(&b->stop)) {
        uint32_t round = atomic_load(&b->round);
        if (round == done) {
            (void)usleep(20);
            continue;
        }
        brisk_key key = key_of(round, text);
        while (!has(cache, &key) && !atomic_load(&b->stop)) {
            (void)usleep(50);
        }
        (void)has(cache, &key); /* from memory now */
        atomic_store(&b->reads, round);
        while (has(cache, &key) && !atomic_load(&b->stop)) {
            if (rests) {
                (void)usleep(50);
            }
        }
        atomic_store(&b->gone_ns, brisk_clock_now_ns(NULL));
        atomic_store(&b->gone, round);
        done = round;
    }
}

static bool wait_for(const _Atomic uint32_t *what, uint32_t round, uint32_t patience_ms)
{
    uint64_t until = brisk_clock_now_ns(NULL) + patience_ms * UINT64_C(1000000);
    while (atomic_load(what) != round) {
        if (brisk_clock_now_ns(NULL) > until) {
            return false;
        }
        (void)usleep(20);
    }
    return true;
}

/* Nanoseconds of one round; 0: it was never seen. */
static uint64_t measure(brisk_cache *cache, board *b, const way *w, uint32_t round)
{
    char text[32];
    brisk_key key = key_of(round, text);
    brisk_tag tag = {.bytes = text, .size = key.size};
    atomic_store(&b->round, round);
    bool read = false;
    for (int tries = 0; !read && tries < PUT_TRIES; tries++) { /* a tier may not be in sync yet */
        brisk_value *value = NULL;
        BRISK_ASSERT(brisk_value_copy("value", 5, NULL, &value) == BRISK_OK);
        brisk_cache_put(cache, &key, value, &(brisk_entry_opts){.tags = &tag, .tag_count = 1});
        brisk_value_unref(value);
        read = wait_for(&b->reads, round, 200);
    }
    if (!read) {
        (void)fprintf(stderr, "bench_invalidate: %s: the other process never had it\n", w->name);
        return 0;
    }
    (void)usleep(200 + round * 37 % 800); /* at any point of whatever it does now and then */
    uint64_t begin = brisk_clock_now_ns(NULL);
    brisk_err err = w->tag ? brisk_cache_invalidate_tag(cache, text, key.size)
                           : brisk_cache_invalidate_key(cache, &key);
    BRISK_ASSERT(err == BRISK_OK);
    return wait_for(&b->gone, round, PATIENCE_MS) ? atomic_load(&b->gone_ns) - begin : 0;
}

static bool run_way(const options *o, const way *w);

/* In a process of its own: both of a pair begin with nothing. */
static bool run_apart(const options *o, const way *w)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    BRISK_ASSERT(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        bool good = run_way(o, w);
        (void)fflush(NULL);
        _exit(good ? 0 : 1);
    }
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool run_way(const options *o, const way *w)
{
    static uint64_t times[ROUNDS_MAX];
    board *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    BRISK_ASSERT(b != MAP_FAILED);
    (void)fflush(NULL);
    pid_t child = fork();
    BRISK_ASSERT(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        brisk_cache *cache = open_stack(o, w);
        follow(cache, b, w->shared);
        brisk_cache_destroy(cache);
        _exit(0);
    }
    brisk_cache *cache = open_stack(o, w);
    bool good = true;
    for (uint32_t i = 0; good && i < o->rounds; i++) {
        times[i] = measure(cache, b, w, i + 1);
        good = times[i] != 0;
    }
    atomic_store(&b->stop, true);
    (void)waitpid(child, NULL, 0);
    brisk_err cleared = brisk_cache_clear(cache);
    BRISK_ASSERT(cleared == BRISK_OK);
    brisk_cache_destroy(cache);
    (void)munmap(b, sizeof *b);
    if (!good) {
        (void)fprintf(stderr, "bench_invalidate: %s: not seen within %d ms\n", w->name,
                      PATIENCE_MS);
        return false;
    }
    qsort(times, o->rounds, sizeof times[0], compare);
    (void)printf(",\n  \"%s\": {\"median_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}", w->name,
                 (double)times[o->rounds / 2] / 1e3,
                 (double)times[(uint64_t)o->rounds * 99 / 100] / 1e3,
                 (double)times[o->rounds - 1] / 1e3);
    (void)fflush(stdout);
    return true;
}

static bool parse(int argc, char **argv, options *o)
{
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) {
            return false;
        }
        if (strcmp(argv[i], "--rounds") == 0) {
            o->rounds = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--folder") == 0) {
            o->folder = argv[i + 1];
        } else if (strcmp(argv[i], "--redis") == 0) {
            o->redis = argv[i + 1];
        } else {
            return false;
        }
    }
    return o->rounds >= 1 && o->rounds <= ROUNDS_MAX;
}

int main(int argc, char **argv)
{
    static const way ways[] = {
        {.name = "disk_key"},
        {.name = "disk_tag", .tag = true},
        {.name = "shared_key", .shared = true},
        {.name = "shared_tag", .shared = true, .tag = true},
    };
    char folder[] = "/tmp/bench_invalidate.XXXXXX";
    options o = {.rounds = 500};
    if (!parse(argc, argv, &o)) {
        (void)fprintf(stderr,
                      "usage: bench_invalidate [--rounds N] [--folder DIR] [--redis URL]\n");
        return 2;
    }
    if (o.folder == NULL) {
        o.folder = mkdtemp(folder);
        BRISK_ASSERT(o.folder != NULL);
    }
    (void)printf("{\n  \"rounds\": %" PRIu32, o.rounds);
    bool good = true;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0] && good; i++) {
        good = (ways[i].shared && o.redis == NULL) || run_apart(&o, &ways[i]);
    }
    (void)printf("\n}\n");
    return good ? 0 : 1;
}
