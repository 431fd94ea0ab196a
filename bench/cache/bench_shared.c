/*
 * bench_shared.c -- the tier on Redis beside hiredis, on one redis-server, taking turns.
 *
 * 10,000 entries of 100 bytes (or, with an argument, as many bytes as it says); keys of 16 bytes in
 * random order.  Both fetch and store the same sealed bytes, so what differs is the client: the tier
 * also seals, unseals (HMAC-SHA256), judges and makes a value; hiredis gives out the bytes.
 *
 *   get_one, put_one       one at a time, one thread: operations per second, p50 and p99
 *   get_batch, put_batch   100 at a time: brisk_redis_get_many; redisAppendCommand
 *   get_threads            8 threads at once: one tier with 2 connections; 8 hiredis connections
 *   cpu_us                 of this process for one operation
 *
 * The tier neither listens nor announces here (no_events), as hiredis does not.  `put_told` is a put
 * of a key that exists with what is done by default: NX, SET, a number, a log and the channel.
 * redis-server runs on the other core where there is one; nothing is pinned.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/rng.h>
#include <brisk/shared.h>

#if BENCH_HIREDIS
#    include <hiredis/hiredis.h>
#endif

#include "base/assert.h"

enum { ENTRIES = 10000, ONES = 2000, BATCHES = 40, BATCH = 100, THREADS = 8, ROUNDS_MAX = 31 };
enum { SEED = 20260101, KEY_BYTES = 16, VALUE_MAX = 1 << 20 };

enum variant { GET_ONE, PUT_ONE, GET_BATCH, PUT_BATCH, GET_THREADS, PUT_TOLD, VARIANTS };

static const char *const names[VARIANTS] = {"get_one",   "put_one",     "get_batch",
                                            "put_batch", "get_threads", "put_told"};

enum who { BRISK, HIREDIS, WHOS };
static const char *const who_names[WHOS] = {"brisk", "hiredis"};

typedef struct figures {
    double per_s[ROUNDS_MAX];
    double p50_us[ROUNDS_MAX];
    double p99_us[ROUNDS_MAX];
    double cpu_us[ROUNDS_MAX];
} figures;

typedef struct bench {
    pid_t server;
    uint16_t port;
    size_t value_bytes;
    brisk_tier *tier;
    brisk_tier *told;
    char keys[ENTRIES][KEY_BYTES + 1];
    brisk_key hashed[ENTRIES];
    brisk_value *value;
    brisk_rng rng;
    uint32_t rounds;
    figures figures[VARIANTS][WHOS];
    uint64_t times[ONES * THREADS];
#if BENCH_HIREDIS
    redisContext *context;
    char *sealed; /* what an entry of ours looks like there */
    size_t sealed_bytes;
#endif
} bench;

static uint64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_shared: %s\n", what);
    exit(1);
}

/* --- the server --------------------------------------------------------------------------- */

static bool answers(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    bool open = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    (void)close(fd);
    return open;
}

static uint16_t free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    if (bind(fd, (struct sockaddr *)&address, size) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        die("no port");
    }
    (void)close(fd);
    return ntohs(address.sin_port);
}

static void start_server(bench *b)
{
    char port[16];
    b->port = free_port();
    (void)snprintf(port, sizeof port, "%u", b->port);
    b->server = fork();
    if (b->server == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)!freopen("/dev/null", "w", stdout);
        (void)execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1",
                     "--save", "", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500 && !answers(b->port); i++) {
        if (waitpid(b->server, NULL, WNOHANG) != 0) {
            (void)fputs("{\"skipped\": \"no redis-server\"}\n", stdout);
            exit(0);
        }
        (void)usleep(10000);
    }
}

static brisk_tier *open_tier(const bench *b, bool told)
{
    char url[64];
    brisk_tier *tier = NULL;
    brisk_errinfo info = {.text = ""};
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%u", b->port);
    brisk_redis_tier_opts opts = {.url = url,
                                  .key = "a key of the bench, long enough",
                                  .key_size = 31,
                                  .no_events = !told,
                                  .timeout_ns = UINT64_C(5000000000),
                                  .zstd_level = -1};
    if (brisk_redis_tier_open(&opts, &tier, &info) != BRISK_OK) {
        die(info.text);
    }
    return tier;
}

/* --- ours --------------------------------------------------------------------------------- */

static const brisk_key *any_key(bench *b)
{
    return &b->hashed[brisk_rng_below(&b->rng, ENTRIES)];
}

static void brisk_get_one(bench *b, const brisk_key *key)
{
    brisk_hit hit;
    brisk_err err = b->tier->ops->get(b->tier, key, &hit);
    BRISK_ASSERT(err == BRISK_OK && brisk_value_size(hit.value) == b->value_bytes);
    brisk_value_unref(hit.value);
}

static void brisk_put_one(bench *b, const brisk_key *key)
{
    brisk_err err = b->tier->ops->put(b->tier, key, b->value, NULL);
    BRISK_ASSERT(err == BRISK_OK);
}

static void brisk_put_told(bench *b, const brisk_key *key)
{
    brisk_err err = b->told->ops->put(b->told, key, b->value, NULL);
    BRISK_ASSERT(err == BRISK_OK);
}

static void brisk_batch(bench *b, bool put)
{
    brisk_hit hits[BATCH];
    brisk_shared_item items[BATCH];
    for (uint32_t i = 0; i < BATCH; i++) {
        items[i] = (brisk_shared_item){.key = any_key(b), .value = b->value, .hit = &hits[i]};
    }
    if (put) {
        brisk_redis_put_many(b->tier, items, BATCH);
    } else {
        brisk_redis_get_many(b->tier, items, BATCH);
    }
    for (uint32_t i = 0; i < BATCH; i++) {
        BRISK_ASSERT(items[i].err == BRISK_OK);
        if (!put) {
            brisk_value_unref(hits[i].value);
        }
    }
}

/* --- hiredis ------------------------------------------------------------------------------ */

#if BENCH_HIREDIS
static redisContext *connect_hiredis(const bench *b)
{
    redisContext *context = redisConnect("127.0.0.1", b->port);
    if (context == NULL || context->err != 0) {
        die("hiredis does not connect");
    }
    return context;
}

static void take(redisReply *reply, int type)
{
    BRISK_ASSERT(reply != NULL && reply->type == type);
    freeReplyObject(reply);
}

static void hiredis_get(redisContext *context, const brisk_key *key)
{
    take(redisCommand(context, "GET brisk:%b", key->bytes, key->size), REDIS_REPLY_STRING);
}

static void hiredis_get_one(bench *b, const brisk_key *key)
{
    hiredis_get(b->context, key);
}

static void hiredis_put_one(bench *b, const brisk_key *key)
{
    take(redisCommand(b->context, "SET other:%b %b", key->bytes, key->size, b->sealed,
                      b->sealed_bytes),
         REDIS_REPLY_STATUS);
}

static void hiredis_batch(bench *b, bool put)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        const brisk_key *key = any_key(b);
        if (put) {
            (void)redisAppendCommand(b->context, "SET other:%b %b", key->bytes, key->size,
                                     b->sealed, b->sealed_bytes);
        } else {
            (void)redisAppendCommand(b->context, "GET brisk:%b", key->bytes, key->size);
        }
    }
    for (uint32_t i = 0; i < BATCH; i++) {
        void *reply = NULL;
        (void)redisGetReply(b->context, &reply);
        take(reply, put ? REDIS_REPLY_STATUS : REDIS_REPLY_STRING);
    }
}

static void take_sealed(bench *b)
{
    b->context = connect_hiredis(b);
    redisReply *reply = redisCommand(b->context, "GET brisk:%s", b->keys[0]);
    BRISK_ASSERT(reply != NULL && reply->type == REDIS_REPLY_STRING);
    b->sealed_bytes = reply->len;
    b->sealed = malloc(reply->len);
    BRISK_ASSERT(b->sealed != NULL);
    memcpy(b->sealed, reply->str, reply->len);
    freeReplyObject(reply);
}
#endif

/* --- threads ------------------------------------------------------------------------------ */

typedef struct worker {
    pthread_t thread;
    bench *bench;
    enum who who;
    brisk_rng rng;
    uint64_t *times;
} worker;

static void *work(void *ctx)
{
    worker *w = ctx;
    bench *b = w->bench;
#if BENCH_HIREDIS
    redisContext *context = w->who == HIREDIS ? connect_hiredis(b) : NULL;
#endif
    for (uint32_t i = 0; i < ONES; i++) {
        const brisk_key *key = &b->hashed[brisk_rng_below(&w->rng, ENTRIES)];
        uint64_t begin = brisk_clock_now_ns(NULL);
        if (w->who == BRISK) {
            brisk_get_one(b, key);
        }
#if BENCH_HIREDIS
        if (w->who == HIREDIS) {
            hiredis_get(context, key);
        }
#endif
        w->times[i] = brisk_clock_now_ns(NULL) - begin;
    }
#if BENCH_HIREDIS
    if (context != NULL) {
        redisFree(context);
    }
#endif
    return NULL;
}

static uint32_t run_threads(bench *b, enum who who)
{
    static worker workers[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i] = (worker){.bench = b, .who = who, .times = b->times + (size_t)i * ONES};
        brisk_rng_init(&workers[i].rng, brisk_rng_next(&b->rng));
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            die("no thread");
        }
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        (void)pthread_join(workers[i].thread, NULL);
    }
    return THREADS * ONES;
}

/* --- rounds ------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;
    return *x < *y ? -1 : *x > *y;
}

static uint32_t run_ones(bench *b, void (*one)(bench *b, const brisk_key *key), uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const brisk_key *key = any_key(b);
        uint64_t begin = brisk_clock_now_ns(NULL);
        one(b, key);
        b->times[i] = brisk_clock_now_ns(NULL) - begin;
    }
    return count;
}

static uint32_t run_batches(bench *b, void (*batch)(bench *b, bool put), bool put)
{
    for (uint32_t i = 0; i < BATCHES; i++) {
        uint64_t begin = brisk_clock_now_ns(NULL);
        batch(b, put);
        b->times[i] = (brisk_clock_now_ns(NULL) - begin) / BATCH;
    }
    return BATCHES;
}

/* How many times were taken; 0: there is no such thing. */
static uint32_t run_variant(bench *b, enum variant variant, enum who who)
{
    if (who == BRISK) {
        switch (variant) {
        case GET_ONE: return run_ones(b, brisk_get_one, ONES);
        case PUT_ONE: return run_ones(b, brisk_put_one, ONES);
        case GET_BATCH: return run_batches(b, brisk_batch, false);
        case PUT_BATCH: return run_batches(b, brisk_batch, true);
        case GET_THREADS: return run_threads(b, BRISK);
        case PUT_TOLD: return run_ones(b, brisk_put_told, ONES / 4);
        case VARIANTS:
        default: return 0;
        }
    }
#if BENCH_HIREDIS
    switch (variant) {
    case GET_ONE: return run_ones(b, hiredis_get_one, ONES);
    case PUT_ONE: return run_ones(b, hiredis_put_one, ONES);
    case GET_BATCH: return run_batches(b, hiredis_batch, false);
    case PUT_BATCH: return run_batches(b, hiredis_batch, true);
    case GET_THREADS: return run_threads(b, HIREDIS);
    case PUT_TOLD:
    case VARIANTS:
    default: return 0;
    }
#else
    return 0;
#endif
}

static void run_round(bench *b, uint32_t round)
{
    for (int v = 0; v < VARIANTS; v++) {
        for (int turn = 0; turn < WHOS; turn++) {
            enum who who = (enum who)((turn + (int)round) % WHOS); /* who begins alternates */
            uint64_t cpu = cpu_ns();
            uint64_t begin = brisk_clock_now_ns(NULL);
            uint32_t count = run_variant(b, (enum variant)v, who);
            double elapsed = (double)(brisk_clock_now_ns(NULL) - begin);
            if (count == 0) {
                continue;
            }
            double ops = v == GET_BATCH || v == PUT_BATCH ? count * (double)BATCH : count;
            figures *f = &b->figures[v][who];
            qsort(b->times, count, sizeof b->times[0], by_size);
            f->per_s[round] = ops / elapsed * 1e9;
            f->cpu_us[round] = (double)(cpu_ns() - cpu) / ops / 1e3;
            f->p50_us[round] = (double)b->times[count / 2] / 1e3;
            f->p99_us[round] = (double)b->times[count - 1 - count / 100] / 1e3;
        }
    }
}

static double median(double *values, uint32_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

static void report(bench *b)
{
    (void)printf("{\n  \"value_bytes\": %zu, \"rounds\": %u", b->value_bytes, b->rounds);
    for (int v = 0; v < VARIANTS; v++) {
        double per_s[WHOS] = {0, 0};
        for (int who = 0; who < WHOS; who++) {
            figures *f = &b->figures[v][who];
            if (f->per_s[0] <= 0) {
                continue;
            }
            per_s[who] = median(f->per_s, b->rounds);
            (void)printf(
                ",\n  \"%s_%s\": {\"per_s\": %.0f, \"min\": %.0f, \"max\": %.0f, \"p50_us\": "
                "%.2f, \"p99_us\": %.2f, \"cpu_us\": %.2f}",
                names[v], who_names[who], per_s[who], f->per_s[0], f->per_s[b->rounds - 1],
                median(f->p50_us, b->rounds), median(f->p99_us, b->rounds),
                median(f->cpu_us, b->rounds));
        }
        if (per_s[HIREDIS] > 0) {
            (void)printf(",\n  \"%s_ratio\": %.2f", names[v], per_s[BRISK] / per_s[HIREDIS]);
        }
    }
    (void)printf("\n}\n");
}

static void fill(bench *b)
{
    char *bytes = malloc(b->value_bytes + 1);
    BRISK_ASSERT(bytes != NULL);
    for (size_t i = 0; i < b->value_bytes; i++) {
        bytes[i] = (char)brisk_rng_next(&b->rng);
    }
    brisk_err err = brisk_value_copy(bytes, b->value_bytes, NULL, &b->value);
    BRISK_ASSERT(err == BRISK_OK);
    free(bytes);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        (void)snprintf(b->keys[i], sizeof b->keys[i], "%016x", i);
        b->hashed[i] = brisk_key_of(b->keys[i], KEY_BYTES);
        brisk_put_one(b, &b->hashed[i]);
    }
}

int main(int argc, char **argv)
{
    static bench b;
    b.value_bytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    b.rounds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 11;
    if (b.value_bytes > VALUE_MAX || b.rounds == 0 || b.rounds > ROUNDS_MAX) {
        die("usage: bench_shared [VALUE_BYTES [ROUNDS]]");
    }
    brisk_rng_init(&b.rng, SEED);
    start_server(&b);
    b.tier = open_tier(&b, false);
    b.told = open_tier(&b, true);
    fill(&b);
#if BENCH_HIREDIS
    take_sealed(&b);
#endif
    for (uint32_t round = 0; round < b.rounds; round++) {
        run_round(&b, round);
    }
    report(&b);
#if BENCH_HIREDIS
    redisFree(b.context);
    free(b.sealed);
#endif
    brisk_value_unref(b.value);
    brisk_tier_destroy(b.tier);
    brisk_tier_destroy(b.told);
    (void)kill(b.server, SIGKILL);
    (void)waitpid(b.server, NULL, 0);
    return 0;
}
