/*
 * bench_disk.c -- the disk tier beside LMDB, in one run, taking turns.
 *
 * 100 000 entries, 16-byte keys, values of 1 KB that look like JSON, all different; page cache warm;
 * one thread; keys in random order, built and hashed beforehand.  Every round runs every variant
 * once; reported are median, smallest and largest of the rounds.
 *
 *   open            brisk_disk_tier_open of a folder with all entries, and the close
 *   get_*           a random hit; the value's last word is read
 *   put_*           new keys into a fresh folder, per second; LMDB without sync, batches of 1000, as
 *                   the tier does not sync either
 *   overwrite_plain random keys again
 *   rebuild_*       records per second when the index is lost
 *
 * zstd is level 1 with the dictionary that the tier trains itself; the time of that is in put_zstd.
 * `bench_disk ROUNDS get_` runs only what begins so.  `bench_disk million` measures opening a folder
 * of 1 000 000 entries: closed in order, after kill -9, and without its index.
 */
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brisk/cache.h>
#include <brisk/rng.h>

#if BENCH_LMDB
#    include <lmdb.h>
#endif

#include "base/assert.h"

enum { ENTRIES = 100000, GETS = 100000, KEY_BYTES = 16, VALUE_BYTES = 1024, ROUNDS_MAX = 51 };
enum { SEED = 20260101, BATCH = 1000 };

enum variant {
    OPEN_US,
    GET_PLAIN,
    GET_LZ4,
    GET_ZSTD,
    GET_AUTO,
    GET_LMDB,
    PUT_PLAIN,
    PUT_LZ4,
    PUT_ZSTD,
    PUT_AUTO,
    PUT_LMDB,
    OVERWRITE_PLAIN,
    REBUILD_PLAIN,
    REBUILD_ZSTD,
    REBUILD_PLAIN_CPU,
    REBUILD_ZSTD_CPU,
    VARIANTS
};

static const char *const names[VARIANTS] = {"open_us",
                                            "get_plain_ns",
                                            "get_lz4_ns",
                                            "get_zstd_ns",
                                            "get_auto_ns",
                                            "get_lmdb_ns",
                                            "put_plain_per_s",
                                            "put_lz4_per_s",
                                            "put_zstd_per_s",
                                            "put_auto_per_s",
                                            "put_lmdb_per_s",
                                            "overwrite_plain_per_s",
                                            "rebuild_plain_records_per_s",
                                            "rebuild_zstd_records_per_s",
                                            "rebuild_plain_cpu_ns_per_record",
                                            "rebuild_zstd_cpu_ns_per_record"};

/* The folders that gets read. */
enum { PLAIN, LZ4, ZSTD, AUTO, CODECS };
static const char *const codecs[CODECS] = {"plain", "lz4", "zstd", "auto"};

typedef struct bench {
    char base[256];
    char keys[ENTRIES][KEY_BYTES];
    brisk_hash128 hashes[ENTRIES];
    uint32_t order[ENTRIES];
    unsigned char values[ENTRIES][VALUE_BYTES];
    brisk_value *wrapped[ENTRIES];
    double results[VARIANTS][ROUNDS_MAX];
    int rounds;
    int round;
    const char *only; /* what the names of variants begin with */
    uint64_t sink;
} bench;

/* The thread's own time: what others do on the machine is left out as far as can be.  Nothing here
 * waits for a device, so on a quiet machine it is the time that passes. */
static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static uint64_t process_cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_folder(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Fields of a few kinds with random numbers and words: zstd -1 leaves 40 % of it. */
static void make_value(brisk_rng *rng, unsigned char *value)
{
    static const char *const words[] = {"alpha", "bravo", "charlie", "delta", "echo", "foxtrot"};
    char text[VALUE_BYTES + 128];
    size_t at = 0;
    while (at < VALUE_BYTES) {
        uint64_t number = brisk_rng_next(rng);
        at += (size_t)snprintf(text + at, sizeof text - at,
                               "{\"id\":%" PRIu64 ",\"name\":\"%s %s\",\"score\":%u.%02u},",
                               number >> 24, words[number % 6], words[number / 6 % 6],
                               (unsigned int)(number / 36 % 100),
                               (unsigned int)(number / 3600 % 100));
    }
    memcpy(value, text, VALUE_BYTES);
}

static void make_data(bench *b)
{
    brisk_rng rng;
    brisk_rng_init(&rng, SEED);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        (void)snprintf(b->keys[i], KEY_BYTES, "k%014u", i);
        b->hashes[i] = brisk_key_of(b->keys[i], KEY_BYTES).hash;
        b->order[i] = i;
    }
    for (uint32_t i = ENTRIES - 1; i > 0; i--) {
        uint32_t j = (uint32_t)brisk_rng_below(&rng, i + 1);
        uint32_t swap = b->order[i];
        b->order[i] = b->order[j];
        b->order[j] = swap;
    }
    for (int i = 0; i < ENTRIES; i++) {
        make_value(&rng, b->values[i]);
        brisk_err err =
            brisk_value_wrap(b->values[i], VALUE_BYTES, NULL, NULL, NULL, &b->wrapped[i]);
        BRISK_ASSERT(err == BRISK_OK);
    }
}

static bool is_wanted(const bench *b, enum variant variant)
{
    return strncmp(names[variant], b->only, strlen(b->only)) == 0;
}

static void join(const bench *b, char path[static 512], const char *name)
{
    (void)snprintf(path, 512, "%s/%s", b->base, name);
}

static brisk_key key_of(const bench *b, uint32_t i)
{
    return (brisk_key){.bytes = b->keys[i], .size = KEY_BYTES, .hash = b->hashes[i]};
}

static void record(bench *b, enum variant variant, double value)
{
    b->results[variant][b->round] = value;
}

/* --- the tier -------------------------------------------------------------------------------- */

static brisk_tier *open_tier(const bench *b, const char *name, const char *codec)
{
    char path[512];
    brisk_tier *tier = NULL;
    brisk_errinfo info = {0};
    join(b, path, name);
    brisk_disk_tier_opts opts = {.path = path, .codec = codec};
    brisk_err err = brisk_disk_tier_open(&opts, &tier, &info);
    if (err != BRISK_OK) {
        fprintf(stderr, "bench_disk: %s\n", info.text);
        exit(1);
    }
    return tier;
}

static double put_all(bench *b, brisk_tier *tier)
{
    uint64_t begin = now_ns();
    for (uint32_t i = 0; i < ENTRIES; i++) {
        brisk_key key = key_of(b, b->order[i]);
        brisk_err err = tier->ops->put(tier, &key, b->wrapped[i], NULL);
        BRISK_ASSERT(err == BRISK_OK);
    }
    return ENTRIES * 1e9 / (double)(now_ns() - begin);
}

static double get_all(bench *b, brisk_tier *tier)
{
    uint64_t begin = now_ns();
    for (uint32_t i = 0; i < GETS; i++) {
        brisk_hit hit;
        brisk_key key = key_of(b, b->order[GETS - 1 - i]);
        brisk_err err = tier->ops->get(tier, &key, &hit);
        BRISK_ASSERT(err == BRISK_OK);
        uint64_t word;
        memcpy(&word, (const char *)brisk_value_data(hit.value) + VALUE_BYTES - 8, 8);
        b->sink += word;
        brisk_value_unref(hit.value);
    }
    return (double)(now_ns() - begin) / GETS;
}

static void run_puts(bench *b, enum variant variant, const char *codec)
{
    char path[512];
    if (!is_wanted(b, variant)) {
        return;
    }
    join(b, path, "new");
    remove_folder(path);
    brisk_tier *tier = open_tier(b, "new", codec);
    record(b, variant, put_all(b, tier));
    if (variant == PUT_PLAIN) {
        record(b, OVERWRITE_PLAIN, put_all(b, tier));
    }
    brisk_tier_destroy(tier);
    remove_folder(path);
}

static void run_gets(bench *b, enum variant variant, const char *codec)
{
    if (!is_wanted(b, variant)) {
        return;
    }
    brisk_tier *tier = open_tier(b, codec, codec);
    (void)get_all(b, tier);
    record(b, variant, get_all(b, tier));
    brisk_tier_destroy(tier);
}

static void run_open(bench *b)
{
    uint64_t begin = now_ns();
    brisk_tier *tier = open_tier(b, "plain", "plain");
    record(b, OPEN_US, (double)(now_ns() - begin) / 1000);
    brisk_tier_destroy(tier);
}

static void run_rebuild(bench *b, enum variant variant, const char *codec)
{
    char path[512];
    char name[64];
    if (!is_wanted(b, variant)) {
        return;
    }
    (void)snprintf(name, sizeof name, "%s/index", codec);
    join(b, path, name);
    (void)unlink(path);
    uint64_t begin = brisk_clock_now_ns(NULL); /* threads work: the time that passes ... */
    uint64_t cpu_begin = process_cpu_ns();
    brisk_tier *tier = open_tier(b, codec, codec);
    record(b, variant, ENTRIES * 1e9 / (double)(brisk_clock_now_ns(NULL) - begin));
    enum variant cpu = variant == REBUILD_PLAIN ? REBUILD_PLAIN_CPU : REBUILD_ZSTD_CPU;
    record(b, cpu, (double)(process_cpu_ns() - cpu_begin) / ENTRIES); /* ... and all they take */
    brisk_tier_destroy(tier);
}

/* --- the peer -------------------------------------------------------------------------------- */

#if BENCH_LMDB
static void must(int code)
{
    if (code != MDB_SUCCESS) {
        fprintf(stderr, "bench_disk: lmdb: %s\n", mdb_strerror(code));
        exit(1);
    }
}

static MDB_env *lmdb_open(const bench *b, const char *name)
{
    char path[512];
    MDB_env *env;
    join(b, path, name);
    (void)mkdir(path, 0700);
    must(mdb_env_create(&env));
    must(mdb_env_set_mapsize(env, (size_t)1 << 30));
    must(mdb_env_open(env, path, MDB_NOSYNC | MDB_NOMETASYNC, 0600));
    return env;
}

static void lmdb_put_all(bench *b, const char *name)
{
    char path[512];
    join(b, path, name);
    remove_folder(path);
    MDB_env *env = lmdb_open(b, name);
    uint64_t begin = now_ns();
    for (uint32_t i = 0; i < ENTRIES;) {
        MDB_txn *txn;
        MDB_dbi dbi;
        must(mdb_txn_begin(env, NULL, 0, &txn));
        must(mdb_dbi_open(txn, NULL, 0, &dbi));
        for (uint32_t end = i + BATCH; i < end; i++) {
            uint32_t k = b->order[i];
            MDB_val key = {.mv_size = KEY_BYTES, .mv_data = b->keys[k]};
            MDB_val value = {.mv_size = VALUE_BYTES, .mv_data = b->values[i]};
            must(mdb_put(txn, dbi, &key, &value, 0));
        }
        must(mdb_txn_commit(txn));
    }
    record(b, PUT_LMDB, ENTRIES * 1e9 / (double)(now_ns() - begin));
    mdb_env_close(env);
}

/* One read transaction: its best case.  The value is copied, as the tier's is. */
static double lmdb_get_all(bench *b, MDB_env *env)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
    must(mdb_dbi_open(txn, NULL, 0, &dbi));
    uint64_t begin = now_ns();
    for (uint32_t i = 0; i < GETS; i++) {
        uint32_t k = b->order[GETS - 1 - i];
        MDB_val key = {.mv_size = KEY_BYTES, .mv_data = b->keys[k]};
        MDB_val found;
        must(mdb_get(txn, dbi, &key, &found));
        brisk_value *value;
        brisk_err err = brisk_value_copy(found.mv_data, found.mv_size, NULL, &value);
        BRISK_ASSERT(err == BRISK_OK);
        uint64_t word;
        memcpy(&word, (const char *)brisk_value_data(value) + VALUE_BYTES - 8, 8);
        b->sink += word;
        brisk_value_unref(value);
    }
    double ns = (double)(now_ns() - begin) / GETS;
    mdb_txn_abort(txn);
    return ns;
}

static void run_peer(bench *b)
{
    if (!is_wanted(b, GET_LMDB) && !is_wanted(b, PUT_LMDB)) {
        return;
    }
    lmdb_put_all(b, "lmdb");
    MDB_env *env = lmdb_open(b, "lmdb");
    (void)lmdb_get_all(b, env);
    record(b, GET_LMDB, lmdb_get_all(b, env));
    mdb_env_close(env);
}
#else
static void run_peer(bench *b)
{
    (void)b;
}
#endif

/* --- report ---------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(bench *b, enum variant variant)
{
    return b->results[variant][b->rounds / 2];
}

static void report(bench *b, const uint64_t bytes[CODECS])
{
    for (int v = 0; v < VARIANTS; v++) {
        qsort(b->results[v], (size_t)b->rounds, sizeof(double), compare);
    }
    printf("{\"bench\": \"disk\", \"entries\": %d, \"key_bytes\": %d, \"value_bytes\": %d,\n"
           " \"rounds\": %d, \"method\": \"median [smallest, largest] of rounds, variants in turn, "
           "page cache warm, one thread, its CPU time\",\n",
           ENTRIES, KEY_BYTES, VALUE_BYTES, b->rounds);
    for (int v = 0; v < VARIANTS; v++) {
        if (b->results[v][0] > 0) {
            printf(" \"%s\": [%.0f, %.0f, %.0f],\n", names[v], median(b, (enum variant)v),
                   b->results[v][0], b->results[v][b->rounds - 1]);
        }
    }
    if (median(b, GET_LMDB) > 0) {
        printf(" \"get_plain_to_lmdb\": %.2f, \"put_plain_to_lmdb\": %.2f,\n",
               median(b, GET_PLAIN) / median(b, GET_LMDB),
               median(b, PUT_PLAIN) / median(b, PUT_LMDB));
    }
    for (int i = 0; i < CODECS; i++) {
        printf(" \"bytes_per_record_%s\": %.1f%s\n", codecs[i], (double)bytes[i] / ENTRIES,
               i < CODECS - 1 ? "," : "}");
    }
}

/* Bytes on disk: segments and dictionaries. */
static uint64_t fill(bench *b, const char *codec)
{
    brisk_tier *tier = open_tier(b, codec, codec);
    (void)put_all(b, tier);
    brisk_tier_stats stats;
    tier->ops->read_stats(tier, &stats);
    brisk_tier_destroy(tier);
    return stats.bytes + (stats.dictionary != 0 ? 16384 + 24 : 0);
}

static void run_round(bench *b)
{
    static const enum variant got[CODECS] = {GET_PLAIN, GET_LZ4, GET_ZSTD, GET_AUTO};
    static const enum variant put[CODECS] = {PUT_PLAIN, PUT_LZ4, PUT_ZSTD, PUT_AUTO};
    run_open(b);
    for (int i = 0; i < CODECS; i++) {
        run_gets(b, got[i], codecs[i]);
        run_puts(b, put[i], codecs[i]);
    }
    run_peer(b);
    run_rebuild(b, REBUILD_PLAIN, "plain");
    run_rebuild(b, REBUILD_ZSTD, "zstd");
}

/* --- a folder of a million entries ------------------------------------------------------------- */

enum { MILLION = 1000000, LOOKS = 20000 };

static brisk_key million_key(char bytes[32], uint32_t i)
{
    (void)snprintf(bytes, 32, "m%014u", i);
    return brisk_key_of(bytes, 15);
}

static void put_range(brisk_tier *tier, brisk_rng *rng, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        unsigned char bytes[VALUE_BYTES];
        char name[32];
        brisk_value *value;
        make_value(rng, bytes);
        brisk_err err = brisk_value_copy(bytes, VALUE_BYTES, NULL, &value);
        BRISK_ASSERT(err == BRISK_OK);
        brisk_key key = million_key(name, i);
        err = tier->ops->put(tier, &key, value, NULL);
        BRISK_ASSERT(err == BRISK_OK);
        brisk_value_unref(value);
    }
}

/* Open, look at some entries, close; milliseconds of opening. */
static double open_million(const bench *b, brisk_rng *rng, uint32_t *missing)
{
    uint64_t begin = brisk_clock_now_ns(NULL);
    brisk_tier *tier = open_tier(b, "million", "zstd");
    double ms = (double)(brisk_clock_now_ns(NULL) - begin) / 1e6;
    *missing = 0;
    for (int i = 0; i < LOOKS; i++) {
        char name[32];
        brisk_hit hit;
        brisk_key key = million_key(name, (uint32_t)brisk_rng_below(rng, MILLION));
        if (tier->ops->get(tier, &key, &hit) == BRISK_OK) {
            brisk_value_unref(hit.value);
        } else {
            ++*missing;
        }
    }
    brisk_tier_destroy(tier);
    return ms;
}

/* Another process writes and is killed. */
static void kill_writer(const bench *b)
{
    int pipe_fds[2];
    BRISK_ASSERT(pipe(pipe_fds) == 0);
    pid_t child = fork();
    if (child == 0) {
        brisk_rng rng;
        brisk_rng_init(&rng, SEED + 1);
        brisk_tier *tier = open_tier(b, "million", "zstd");
        put_range(tier, &rng, 0, 1000);
        BRISK_ASSERT(write(pipe_fds[1], "x", 1) == 1);
        put_range(tier, &rng, 1000, MILLION);
        _exit(0);
    }
    char byte;
    BRISK_ASSERT(child > 0 && read(pipe_fds[0], &byte, 1) == 1);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
}

static void run_million(const bench *b)
{
    char path[512];
    uint32_t missing[3];
    double ms[3];
    brisk_rng rng;
    brisk_rng_init(&rng, SEED);
    brisk_tier *tier = open_tier(b, "million", "zstd");
    put_range(tier, &rng, 0, MILLION);
    brisk_tier_stats stats;
    tier->ops->read_stats(tier, &stats);
    brisk_tier_destroy(tier);
    ms[0] = open_million(b, &rng, &missing[0]);
    kill_writer(b);
    ms[1] = open_million(b, &rng, &missing[1]);
    join(b, path, "million/index");
    (void)unlink(path);
    uint64_t cpu = process_cpu_ns();
    ms[2] = open_million(b, &rng, &missing[2]);
    cpu = process_cpu_ns() - cpu;
    printf("{\"bench\": \"disk, a million\", \"entries\": %" PRIu64 ", \"bytes\": %" PRIu64 ",\n"
           " \"open_ms\": %.2f, \"open_after_kill_ms\": %.2f, \"open_without_index_ms\": %.0f,\n"
           " \"rebuild_records_per_s\": %.0f, \"rebuild_cpu_ns_per_record\": %.0f,\n"
           " \"missing_of_%d\": [%u, %u, %u]}\n",
           stats.entries, stats.bytes, ms[0], ms[1], ms[2], MILLION * 1e3 / ms[2],
           (double)cpu / MILLION, LOOKS, missing[0], missing[1], missing[2]);
}

int main(int argc, char **argv)
{
    bench *b = calloc(1, sizeof *b);
    BRISK_ASSERT(b != NULL);
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 11;
    b->only = argc > 2 ? argv[2] : "";
    b->rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : (int)rounds;
    const char *temp = getenv("TMPDIR");
    (void)snprintf(b->base, sizeof b->base, "%.200s/bench-disk-XXXXXX",
                   temp != NULL ? temp : "/tmp");
    BRISK_ASSERT(mkdtemp(b->base) != NULL);
    if (argc > 1 && strcmp(argv[1], "million") == 0) {
        run_million(b);
        remove_folder(b->base);
        free(b);
        return 0;
    }
    make_data(b);
    uint64_t bytes[CODECS];
    for (int i = 0; i < CODECS; i++) {
        bytes[i] = fill(b, codecs[i]);
    }
    for (b->round = 0; b->round < b->rounds; b->round++) {
        run_round(b);
    }
    report(b, bytes);
    for (int i = 0; i < ENTRIES; i++) {
        brisk_value_unref(b->wrapped[i]);
    }
    remove_folder(b->base);
    free(b);
    return 0;
}
