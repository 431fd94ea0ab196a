/*
 * bench_loader.c -- what a loader costs: over a bare cache on hits and misses, and in a crowd.
 *
 * Hits: 20,000 entries of 100 bytes, which fit the second-level cache, in random order, so that the
 * loader's own work shows.  CPU time per operation; every round runs every variant once, in turn;
 * median, smallest and largest.
 *
 *   cache_get      brisk_cache_get, first word read, unref
 *   loader_get     the same through brisk_loader_get, entries without end
 *   loader_ttl     entries with a ttl (a clock is read)
 *   loader_stale   entries with a life beyond their ttl (and 12 bytes of meta data)
 *   memo_call      a memoized function of two arguments: builds and hashes the key, too
 *   peer_get       what one writes oneself: one mutex, chained map, reference count
 *   cache_miss     get, then value and put by hand: 20,000 new keys
 *   loader_miss    the same by a loader
 *   peer_miss      the same by the peer: the mutex, a list of keys under way, one condition
 *
 * Crowd: threads ask for a key that nobody has asked for, all at once; the load sleeps 2 ms (50 for a thousand); time
 * from the load's end until the last thread has the answer; median of rounds; and the loads.
 * `crowd_keys`: 64 threads on 8 keys, whose loads end one after another.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <brisk/loader.h>
#include <brisk/memo.h>
#include <brisk/memory.h>
#include <brisk/rng.h>

#include "base/assert.h"

enum { ENTRIES = 20000, KEY_BYTES = 16, VALUE_BYTES = 100, ROUNDS_MAX = 101, BUCKETS = 65536 };
enum { CROWD_MAX = 1000, CROWD_ROUNDS = 11, CROWD_KEYS = 8 };

#define LOAD_NS UINT64_C(2000000)
#define HOUR_NS UINT64_C(3600000000000)

/* --- the peer ---------------------------------------------------------------------------------- */

typedef struct peer_entry {
    struct peer_entry *chain;
    brisk_hash128 hash;
    bool loading;
    brisk_value *value;
    unsigned char key[KEY_BYTES];
} peer_entry;

typedef struct peer_map {
    pthread_mutex_t lock;
    pthread_cond_t loaded;
    peer_entry *heads[BUCKETS];
} peer_map;

static brisk_value *peer_ask(peer_map *map, const brisk_key *key, brisk_value *(*load)(void))
{
    (void)pthread_mutex_lock(&map->lock);
    peer_entry **head = &map->heads[key->hash.lo % BUCKETS];
    peer_entry *entry = *head;
    while (entry != NULL && memcmp(entry->key, key->bytes, KEY_BYTES) != 0) {
        entry = entry->chain;
    }
    if (entry == NULL) {
        entry = calloc(1, sizeof *entry);
        BRISK_ASSERT(entry != NULL);
        entry->hash = key->hash;
        entry->loading = true;
        memcpy(entry->key, key->bytes, KEY_BYTES);
        entry->chain = *head;
        *head = entry;
        (void)pthread_mutex_unlock(&map->lock);
        brisk_value *value = load();
        (void)pthread_mutex_lock(&map->lock);
        entry->value = value;
        entry->loading = false;
        (void)pthread_cond_broadcast(&map->loaded);
    }
    while (entry->loading) {
        (void)pthread_cond_wait(&map->loaded, &map->lock);
    }
    brisk_value *value = brisk_value_ref(entry->value);
    (void)pthread_mutex_unlock(&map->lock);
    return value;
}

static void peer_clear(peer_map *map)
{
    for (uint32_t i = 0; i < BUCKETS; i++) {
        while (map->heads[i] != NULL) {
            peer_entry *entry = map->heads[i];
            map->heads[i] = entry->chain;
            brisk_value_unref(entry->value);
            free(entry);
        }
    }
}

/* --- all together -------------------------------------------------------------------------------- */

typedef struct bench {
    brisk_cache *cache;
    brisk_loader *plain, *ttl, *stale, *slow;
    brisk_memo *memo;
    peer_map peer;
    unsigned char bytes[4][ENTRIES][KEY_BYTES]; /* keys of plain (and peer), ttl, stale; new ones */
    uint32_t order[ENTRIES];
    uint64_t fresh; /* number of the next new key */
} bench;

static volatile uint64_t sink; /* keeps the reads alive */
static _Atomic uint32_t slow_loads;
static _Atomic uint64_t load_end;
static uint64_t load_ns; /* of a slow load */
static pthread_mutex_t go_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t go_now = PTHREAD_COND_INITIALIZER;
static bool go;

static brisk_value *make_value(void)
{
    static const unsigned char text[VALUE_BYTES] = "value";
    brisk_value *value;
    BRISK_ASSERT(brisk_value_copy(text, sizeof text, NULL, &value) == BRISK_OK);
    return value;
}

static brisk_value *make_slowly(void)
{
    struct timespec pause = {.tv_nsec = (long)load_ns};
    (void)nanosleep(&pause, NULL);
    (void)atomic_fetch_add(&slow_loads, 1);
    brisk_value *value = make_value();
    atomic_store(&load_end, brisk_clock_now_ns(NULL));
    return value;
}

static brisk_err load(void *ctx, const brisk_key *key, brisk_load *ret)
{
    (void)key;
    ret->value = ctx != NULL ? make_slowly() : make_value();
    return BRISK_OK;
}

static void read_and_drop(brisk_value *value)
{
    uint64_t word;
    memcpy(&word, brisk_value_data(value), sizeof word);
    sink += word;
    brisk_value_unref(value);
}

static brisk_key key_at(const bench *b, uint32_t kind, uint32_t i)
{
    return brisk_key_of(b->bytes[kind][i], KEY_BYTES);
}

static void get_cache(bench *b)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        brisk_key key = key_at(b, 0, b->order[i]);
        brisk_hit hit;
        BRISK_ASSERT(brisk_cache_get(b->cache, &key, 0, &hit));
        read_and_drop(hit.value);
    }
}

static void get_loaded(const bench *b, brisk_loader *loader, uint32_t kind)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        brisk_key key = key_at(b, kind, b->order[i]);
        brisk_loaded got;
        BRISK_ASSERT(brisk_loader_get(loader, &key, NULL, &got) == BRISK_OK);
        read_and_drop(got.hit.value);
    }
}

static void get_plain(bench *b)
{
    get_loaded(b, b->plain, 0);
}

static void get_ttl(bench *b)
{
    get_loaded(b, b->ttl, 1);
}

static void get_stale(bench *b)
{
    get_loaded(b, b->stale, 2);
}

static void call_memo(bench *b)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        brisk_loaded got;
        BRISK_ASSERT(brisk_memo_call(b->memo, &b->order[i], NULL, &got) == BRISK_OK);
        read_and_drop(got.hit.value);
    }
}

static void get_peer(bench *b)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        brisk_key key = key_at(b, 0, b->order[i]);
        read_and_drop(peer_ask(&b->peer, &key, make_value));
    }
}

static void new_key(bench *b, uint32_t i)
{
    memcpy(b->bytes[3][i], "new     ", 8);
    memcpy(b->bytes[3][i] + 8, &b->fresh, 8);
    b->fresh++;
}

static void miss_cache(bench *b)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        brisk_key key = key_at(b, 3, i);
        brisk_hit hit;
        BRISK_ASSERT(!brisk_cache_get(b->cache, &key, 0, &hit));
        brisk_value *value = make_value();
        brisk_cache_put(b->cache, &key, value, NULL);
        read_and_drop(value);
    }
}

static void miss_loader(bench *b)
{
    get_loaded(b, b->plain, 3); /* the order is random, each key once */
}

static void miss_peer(bench *b)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        brisk_key key = key_at(b, 3, i);
        read_and_drop(peer_ask(&b->peer, &key, make_value));
    }
}

static const struct {
    const char *name;
    void (*run)(bench *b);
    bool new_keys;
} variants[] = {
    {"cache_get", get_cache, false},  {"loader_get", get_plain, false},
    {"loader_ttl", get_ttl, false},   {"loader_stale", get_stale, false},
    {"memo_call", call_memo, false},  {"peer_get", get_peer, false},
    {"cache_miss", miss_cache, true}, {"loader_miss", miss_loader, true},
    {"peer_miss", miss_peer, true},
};

enum { VARIANTS = sizeof variants / sizeof variants[0] };

/* --- a crowd --------------------------------------------------------------------------------------- */

typedef struct crowd {
    bench *b;
    bool peer;
    uint32_t threads, keys;
    unsigned char bytes[CROWD_KEYS][KEY_BYTES];
    _Atomic uint32_t ready;
    _Atomic uint64_t last;
} crowd;

typedef struct member {
    crowd *all;
    uint32_t number;
    pthread_t id;
} member;

static void *ask_in_crowd(void *ctx)
{
    const member *self = ctx;
    crowd *all = self->all;
    brisk_key key = brisk_key_of(all->bytes[self->number % all->keys], KEY_BYTES);
    (void)pthread_mutex_lock(&go_lock);
    (void)atomic_fetch_add(&all->ready, 1);
    while (!go) {
        (void)pthread_cond_wait(&go_now, &go_lock);
    }
    (void)pthread_mutex_unlock(&go_lock);
    if (all->peer) {
        read_and_drop(peer_ask(&all->b->peer, &key, make_slowly));
    } else {
        brisk_loaded got;
        BRISK_ASSERT(brisk_loader_get(all->b->slow, &key, NULL, &got) == BRISK_OK);
        read_and_drop(got.hit.value);
    }
    uint64_t now = brisk_clock_now_ns(NULL);
    uint64_t before = atomic_load(&all->last);
    while (before < now && !atomic_compare_exchange_weak(&all->last, &before, now)) {
    }
    return NULL;
}

/* Nanoseconds from the end of the last load to the last answer. */
static uint64_t run_crowd(crowd *all)
{
    static member members[CROWD_MAX];
    all->ready = 0;
    go = false;
    load_ns = all->threads > 100 ? 25 * LOAD_NS : LOAD_NS;
    all->last = 0;
    for (uint32_t k = 0; k < all->keys; k++) {
        memcpy(all->bytes[k], "crowd   ", 8);
        memcpy(all->bytes[k] + 8, &all->b->fresh, 8);
        all->b->fresh++;
    }
    pthread_attr_t attr;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, 262144);
    for (uint32_t i = 0; i < all->threads; i++) {
        members[i] = (member){.all = all, .number = i};
        BRISK_ASSERT(pthread_create(&members[i].id, &attr, ask_in_crowd, &members[i]) == 0);
    }
    (void)pthread_attr_destroy(&attr);
    while (atomic_load(&all->ready) != all->threads) {
        struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL);
    }
    (void)pthread_mutex_lock(&go_lock);
    go = true;
    (void)pthread_cond_broadcast(&go_now);
    (void)pthread_mutex_unlock(&go_lock);
    for (uint32_t i = 0; i < all->threads; i++) {
        (void)pthread_join(members[i].id, NULL);
    }
    return atomic_load(&all->last) - atomic_load(&load_end);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_spread(const char *name, double *ns, uint32_t count, bool first)
{
    qsort(ns, count, sizeof *ns, compare);
    printf("%s\n  \"%s\":{\"median\":%.1f,\"min\":%.1f,\"max\":%.1f}", first ? "" : ",", name,
           ns[count / 2], ns[0], ns[count - 1]);
}

static void run_crowds(bench *b, uint32_t rounds)
{
    static const struct {
        const char *name;
        uint32_t threads, keys;
    } sizes[] = {{"crowd_8", 8, 1}, {"crowd_1000", 1000, 1}, {"crowd_keys", 64, CROWD_KEYS}};
    printf(" \"crowd_us\":{");
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        double us[2][CROWD_ROUNDS];
        uint32_t loads[2] = {0};
        for (uint32_t round = 0; round < rounds; round++) {
            for (int peer = 0; peer < 2; peer++) {
                static crowd all;
                all.b = b;
                all.peer = peer != 0;
                all.threads = sizes[s].threads;
                all.keys = sizes[s].keys;
                slow_loads = 0;
                us[peer][round] = (double)run_crowd(&all) / 1000;
                loads[peer] += slow_loads;
            }
        }
        char name[64];
        for (int peer = 0; peer < 2; peer++) {
            (void)snprintf(name, sizeof name, "%s_%s", sizes[s].name,
                           peer != 0 ? "peer" : "loader");
            print_spread(name, us[peer], rounds, s == 0 && peer == 0);
            printf(",\n  \"%s_loads_per_key\":%.2f", name,
                   (double)loads[peer] / (rounds * sizes[s].keys));
        }
    }
    printf("}");
}

/* --- setting up --------------------------------------------------------------------------------------- */

static void memo_key(void *ctx, const void *args, brisk_key_builder *builder)
{
    (void)ctx;
    brisk_key_str(builder, "what", "entry");
    brisk_key_u64(builder, "number", *(const uint32_t *)args);
}

static brisk_err memo_run(void *ctx, const void *args, brisk_load *ret)
{
    (void)ctx;
    (void)args;
    ret->value = make_value();
    return BRISK_OK;
}

static brisk_loader *make_loader(const bench *b, uint64_t ttl_ns, uint64_t stale_ns, bool slow)
{
    static int yes;
    brisk_loader *loader;
    brisk_loader_opts opts = {.cache = b->cache,
                              .load = load,
                              .ctx = slow ? &yes : NULL,
                              .ttl_ns = ttl_ns,
                              .stale_ns = stale_ns};
    BRISK_ASSERT(brisk_loader_create(&opts, &loader) == BRISK_OK);
    return loader;
}

static void set_up(bench *b)
{
    brisk_tier *tier;
    brisk_memory_tier_opts memory = {.bytes_max = 256u << 20, .policy = "lru"};
    BRISK_ASSERT(brisk_memory_tier_create(&memory, &tier) == BRISK_OK);
    BRISK_ASSERT(brisk_cache_create(&(brisk_cache_opts){.tiers = &tier, .tier_count = 1},
                                    &b->cache) == BRISK_OK);
    b->plain = make_loader(b, 0, 0, false);
    b->ttl = make_loader(b, HOUR_NS, 0, false);
    b->stale = make_loader(b, HOUR_NS, HOUR_NS, false);
    b->slow = make_loader(b, 0, 0, true);
    brisk_memo_opts memo = {.cache = b->cache, .name = "bench", .key = memo_key, .run = memo_run};
    BRISK_ASSERT(brisk_memo_create(&memo, &b->memo) == BRISK_OK);
    (void)pthread_mutex_init(&b->peer.lock, NULL);
    (void)pthread_cond_init(&b->peer.loaded, NULL);
    for (uint32_t kind = 0; kind < 3; kind++) {
        for (uint64_t i = 0; i < ENTRIES; i++) {
            memcpy(b->bytes[kind][i], "plain   ttl     stale   " + 8 * kind, 8);
            memcpy(b->bytes[kind][i] + 8, &i, 8);
        }
    }
}

static void shuffle(bench *b, uint64_t seed)
{
    brisk_rng rng;
    brisk_rng_init(&rng, seed);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint32_t j = (uint32_t)brisk_rng_below(&rng, i + 1);
        b->order[i] = b->order[j];
        b->order[j] = i;
    }
}

/* Of this thread: other programs on the machine count only by what they do to its caches. */
static uint64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* bench_loader [ROUNDS [CROWDS]] */
int main(int argc, char **argv)
{
    static bench b;
    uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 15;
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    uint32_t crowds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : CROWD_ROUNDS;
    crowds = crowds > CROWD_ROUNDS ? CROWD_ROUNDS : crowds;
    set_up(&b);
    shuffle(&b, 0);
    get_plain(&b); /* so that cache_get finds them */
    static double ns[VARIANTS][ROUNDS_MAX];
    for (uint32_t round = 0; round <= rounds; round++) { /* round 0 warms up */
        shuffle(&b, round + 1);
        for (size_t turn = 0; turn < VARIANTS; turn++) {
            size_t v = (turn + round) % VARIANTS; /* nobody is always the first */
            for (uint32_t i = 0; i < ENTRIES && variants[v].new_keys; i++) {
                new_key(&b, i);
            }
            uint64_t begin = cpu_ns();
            variants[v].run(&b);
            uint64_t elapsed = cpu_ns() - begin;
            if (round != 0) {
                ns[v][round - 1] = (double)elapsed / ENTRIES;
            }
        }
    }
    printf("{\"bench\":\"loader\",\"entries\":%d,\"rounds\":%" PRIu32 ",\n \"ns\":{", ENTRIES,
           rounds);
    for (size_t v = 0; v < VARIANTS; v++) {
        print_spread(variants[v].name, ns[v], rounds, v == 0);
    }
    printf("},\n");
    if (crowds != 0) {
        run_crowds(&b, crowds);
        printf(",\n");
    }
    printf(" \"loader_get_vs_cache_get\":%.2f,\"loader_get_vs_peer\":%.2f}\n",
           ns[1][rounds / 2] / ns[0][rounds / 2], ns[1][rounds / 2] / ns[5][rounds / 2]);
    peer_clear(&b.peer);
    brisk_memo_destroy(b.memo);
    brisk_loader_destroy(b.plain);
    brisk_loader_destroy(b.ttl);
    brisk_loader_destroy(b.stale);
    brisk_loader_destroy(b.slow);
    brisk_cache_destroy(b.cache);
    return 0;
}
