/*
 * bench_memory.c -- nanoseconds per operation of the memory tier, and bytes per entry, beside what
 * limits them.
 *
 * 14-byte keys, 100-byte values; uniformly random keys, built and hashed beforehand and laid out in
 * the order of use, so that only the tier's own misses count.  Every round runs every variant once,
 * in turn; reported are median, smallest and largest of the rounds.
 *
 *   tier_hit       brisk_tier get, first word of the value read, unref
 *   tier_read      brisk_memory_read into one buffer
 *   tier_batch     brisk_memory_get_batch of 16
 *   stack_hit      tier_hit through brisk_cache_get with one tier
 *   tier_miss      keys that are not there
 *   tier_put       replacing values of random keys
 *   tier_update    adding to a number in the value of random keys
 *   tier_insert    removing and putting anew
 *   tier_hit_2t    tier_hit in two threads at once, per get of one thread
 *   peer_hit       what one writes oneself: chained hash map, doubly linked LRU, mutex, refcount
 *   chase_entry    dependent loads, one line of each of as many 192-byte records in 2 MiB pages
 *   chase_pair     dependent loads, a line of a table, then of a record
 *   floor_single   independent gets of the simplest table: 64-byte buckets of 16-bit tags, 128-byte
 *                  records, key compared, 96 bytes copied; floor_batch: 16 at a time, prefetched
 *
 * Bytes per entry are what the process grew by (resident), measured in a child for each size.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brisk/memory.h>
#include <brisk/rng.h>

#include "base/assert.h"
#include "base/thread.h"

enum { KEY_BYTES = 14, VALUE_BYTES = 100, RECORD_BYTES = 192, BATCH = 16 };
enum { ROUNDS_MAX = 101, SEED = 20260101 };

typedef struct access_list {
    brisk_key *keys;
    unsigned char (*bytes)[KEY_BYTES];
} access_list;

typedef struct peer_entry {
    struct peer_entry *chain, *newer, *older;
    uint64_t hash;
    _Atomic uint32_t refs;
    unsigned char key[KEY_BYTES];
    unsigned char value[VALUE_BYTES];
} peer_entry;

typedef struct peer_map {
    pthread_mutex_t lock;
    peer_entry **heads;
    uint64_t mask;
    peer_entry list;
} peer_map;

typedef struct floor_bucket {
    _Alignas(64) uint16_t tags[8];
    uint32_t records[8];
    uint32_t count;
} floor_bucket;

typedef struct floor_record {
    _Alignas(64) unsigned char key[KEY_BYTES];
    unsigned char value[VALUE_BYTES];
} floor_record;

typedef struct bench {
    uint32_t entries;
    uint32_t count; /* operations a round and variant */
    bool has_peer, has_floor, has_chase;
    brisk_tier *tier;
    brisk_cache *stack; /* owns `tier` */
    access_list hits, hits2, misses;
    peer_map peer;
    unsigned char *records;
    unsigned char *table;
    uint64_t table_lines;
    floor_bucket *floor_buckets;
    floor_record *floor_records;
    uint64_t floor_mask;
    brisk_value *value;
} bench;

/* Of this thread's processor time: what other processes take does not count. */
static uint64_t thread_ns(void)
{
    struct timespec now;
    BRISK_ASSERT(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static volatile uint64_t sink; /* keeps the reads alive */

static void *must(void *pointer)
{
    BRISK_ASSERT(pointer != NULL);
    return pointer;
}

static void *take(size_t size)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    return must(alloc->acquire(alloc->ctx, size, 64));
}

static void *take_huge(size_t size)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    void *block = must(alloc->acquire(alloc->ctx, size, 2097152));
    (void)madvise(block, size, MADV_HUGEPAGE);
    return block;
}

static void key_bytes(unsigned char *to, uint64_t id)
{
    memcpy(to, "entry-", 6);
    memcpy(to + 6, &id, 8);
}

static access_list make_list(uint32_t count)
{
    access_list list = {
        .keys = take(count * sizeof(brisk_key)),
        .bytes = take((size_t)count * KEY_BYTES),
    };
    return list;
}

/* New random keys every time: a repeated sequence would follow the order that it left in an LRU. */
static void draw_keys(const access_list *list, uint32_t count, uint64_t below, uint64_t offset)
{
    static uint64_t seed = SEED;
    brisk_rng rng;
    brisk_rng_init(&rng, seed++);
    for (uint32_t i = 0; i < count; i++) {
        key_bytes(list->bytes[i], offset + brisk_rng_below(&rng, below));
        list->keys[i] = brisk_key_of(list->bytes[i], KEY_BYTES);
    }
}

static void peer_link(peer_map *peer, peer_entry *entry)
{
    entry->older = peer->list.older;
    entry->newer = &peer->list;
    peer->list.older->newer = entry;
    peer->list.older = entry;
}

static void peer_put(peer_map *peer, const brisk_key *key, const void *value)
{
    peer_entry *entry = take(sizeof *entry);
    entry->hash = key->hash.lo;
    atomic_init(&entry->refs, 1);
    memcpy(entry->key, key->bytes, KEY_BYTES);
    memcpy(entry->value, value, VALUE_BYTES);
    entry->chain = peer->heads[entry->hash & peer->mask];
    peer->heads[entry->hash & peer->mask] = entry;
    peer_link(peer, entry);
}

static peer_entry *peer_get(peer_map *peer, const brisk_key *key)
{
    (void)pthread_mutex_lock(&peer->lock);
    peer_entry *entry = peer->heads[key->hash.lo & peer->mask];
    while (entry != NULL &&
           (entry->hash != key->hash.lo || memcmp(entry->key, key->bytes, KEY_BYTES) != 0)) {
        entry = entry->chain;
    }
    if (entry != NULL) {
        entry->newer->older = entry->older;
        entry->older->newer = entry->newer;
        peer_link(peer, entry);
        atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&peer->lock);
    return entry;
}

/* --- the simplest table ------------------------------------------------------------------ */

static void make_floor(bench *b)
{
    uint64_t buckets = 1;
    while (buckets * 5 < b->entries) {
        buckets *= 2;
    }
    b->floor_mask = buckets - 1;
    b->floor_buckets = take_huge(buckets * sizeof(floor_bucket));
    memset(b->floor_buckets, 0, buckets * sizeof(floor_bucket));
    b->floor_records = take_huge((size_t)b->entries * sizeof(floor_record));
}

static void floor_put(bench *b, const brisk_key *key, const void *value, uint32_t record)
{
    uint64_t at = key->hash.lo & b->floor_mask;
    while (b->floor_buckets[at].count == 8) {
        at = (at + 1) & b->floor_mask;
    }
    floor_bucket *bucket = &b->floor_buckets[at];
    bucket->tags[bucket->count] = (uint16_t)(key->hash.lo >> 48 | 1);
    bucket->records[bucket->count++] = record;
    memcpy(b->floor_records[record].key, key->bytes, KEY_BYTES);
    memcpy(b->floor_records[record].value, value, VALUE_BYTES);
}

static inline bool floor_get(const bench *b, const brisk_key *key, void *to)
{
    uint16_t tag = (uint16_t)(key->hash.lo >> 48 | 1);
    uint64_t at = key->hash.lo & b->floor_mask;
    for (;; at = (at + 1) & b->floor_mask) {
        const floor_bucket *bucket = &b->floor_buckets[at];
        uint32_t same = 0;
        for (uint32_t i = 0; i < 8; i++) {
            same |= (uint32_t)(bucket->tags[i] == tag) << i;
        }
        for (; same != 0; same &= same - 1) {
            const floor_record *record = &b->floor_records[bucket->records[__builtin_ctz(same)]];
            if (memcmp(record->key, key->bytes, KEY_BYTES) == 0) {
                memcpy(to, record->value, 96);
                return true;
            }
        }
        if (bucket->count != 8) {
            return false;
        }
    }
}

static void fill(bench *b)
{
    if (b->has_floor) {
        make_floor(b);
    }
    unsigned char bytes[KEY_BYTES];
    unsigned char value[VALUE_BYTES] = "value";
    b->peer.mask = 1;
    while (b->peer.mask < b->entries) {
        b->peer.mask *= 2;
    }
    b->peer.mask--;
    b->peer.heads = take((b->peer.mask + 1) * sizeof(peer_entry *));
    memset(b->peer.heads, 0, (b->peer.mask + 1) * sizeof(peer_entry *));
    b->peer.list.newer = b->peer.list.older = &b->peer.list;
    for (uint64_t id = 0; id < b->entries; id++) {
        key_bytes(bytes, id);
        brisk_key key = brisk_key_of(bytes, KEY_BYTES);
        memcpy(value + 8, &id, sizeof id);
        brisk_value *copy = NULL;
        BRISK_ASSERT(brisk_value_copy(value, VALUE_BYTES, NULL, &copy) == BRISK_OK);
        BRISK_ASSERT(b->tier->ops->put(b->tier, &key, copy, NULL) == BRISK_OK);
        brisk_value_unref(copy);
        if (b->has_peer) {
            peer_put(&b->peer, &key, value);
        }
        if (b->has_floor) {
            floor_put(b, &key, value, (uint32_t)id);
        }
    }
    b->value = NULL;
    BRISK_ASSERT(brisk_value_copy(value, VALUE_BYTES, NULL, &b->value) == BRISK_OK);
}

/* A random cycle through records; the next record's number is in the first word of each. */
static void make_chase(bench *b)
{
    b->records = take_huge((size_t)b->entries * RECORD_BYTES);
    b->table_lines = b->entries / 8; /* as many as the tier's buckets */
    b->table = take_huge((size_t)b->table_lines * 64);
    uint32_t *order = take(b->entries * sizeof *order);
    brisk_rng rng;
    brisk_rng_init(&rng, SEED);
    for (uint32_t i = 0; i < b->entries; i++) {
        order[i] = i;
    }
    for (uint32_t i = b->entries - 1; i > 0; i--) {
        uint32_t j = (uint32_t)brisk_rng_below(&rng, i + 1u);
        uint32_t t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    memset(b->table, 0, (size_t)b->table_lines * 64);
    memset(b->records, 0, (size_t)b->entries * RECORD_BYTES);
    for (uint32_t i = 0; i < b->entries; i++) {
        uint64_t next = order[(i + 1) % b->entries];
        memcpy(b->records + (size_t)order[i] * RECORD_BYTES, &next, sizeof next);
    }
    const brisk_alloc *alloc = brisk_alloc_libc();
    alloc->release(alloc->ctx, order, b->entries * sizeof *order, 64);
}

/* --- variants ---------------------------------------------------------------------------- */

static uint64_t hit_loop(const bench *b, const access_list *list, bool through_stack)
{
    uint64_t sum = 0;
    brisk_hit hit;
    for (uint32_t i = 0; i < b->count; i++) {
        bool found = through_stack ? brisk_cache_get(b->stack, &list->keys[i], 0, &hit)
                                   : b->tier->ops->get(b->tier, &list->keys[i], &hit) == BRISK_OK;
        BRISK_ASSERT(found);
        uint64_t word;
        memcpy(&word, (const char *)brisk_value_data(hit.value) + 8, sizeof word);
        sum += word;
        brisk_value_unref(hit.value);
    }
    return sum;
}

static void run_tier_hit(bench *b)
{
    sink += hit_loop(b, &b->hits, false);
}

static void run_tier_read(bench *b)
{
    unsigned char buffer[VALUE_BYTES];
    uint64_t sum = 0;
    brisk_entry_info info;
    for (uint32_t i = 0; i < b->count; i++) {
        BRISK_ASSERT(brisk_memory_read(b->tier, &b->hits.keys[i], buffer, sizeof buffer, &info) ==
                     BRISK_OK);
        uint64_t word;
        memcpy(&word, buffer + 8, sizeof word);
        sum += word;
    }
    sink += sum;
}

static void run_tier_batch(bench *b)
{
    static brisk_hit hits[BATCH];
    brisk_err errs[BATCH];
    uint64_t sum = 0;
    for (uint32_t i = 0; i + BATCH <= b->count; i += BATCH) {
        BRISK_ASSERT(brisk_memory_get_batch(b->tier, &b->hits.keys[i], BATCH, hits, errs) == BATCH);
        for (uint32_t j = 0; j < BATCH; j++) {
            uint64_t word;
            memcpy(&word, (const char *)brisk_value_data(hits[j].value) + 8, sizeof word);
            sum += word;
            brisk_value_unref(hits[j].value);
        }
    }
    sink += sum;
}

static void run_batch_read(bench *b)
{
    unsigned char buffer[VALUE_BYTES];
    uint64_t sum = 0;
    for (uint32_t i = 0; i + BATCH <= b->count; i += BATCH) {
        brisk_memory_prefetch(b->tier, &b->hits.keys[i], BATCH);
        for (uint32_t j = i; j < i + BATCH; j++) {
            BRISK_ASSERT(brisk_memory_read(b->tier, &b->hits.keys[j], buffer, sizeof buffer,
                                           NULL) == BRISK_OK);
            uint64_t word;
            memcpy(&word, buffer + 8, sizeof word);
            sum += word;
        }
    }
    sink += sum;
}

static brisk_err add_one(void *ctx, brisk_memory_edit *edit)
{
    (void)ctx;
    uint64_t word;
    memcpy(&word, edit->data, sizeof word);
    word++;
    memcpy(edit->data, &word, sizeof word);
    return BRISK_OK;
}

static void run_tier_update(bench *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        BRISK_ASSERT(brisk_memory_update(b->tier, &b->hits.keys[i], add_one, NULL) == BRISK_OK);
    }
}

static void run_tier_insert(bench *b)
{
    static const unsigned char bytes[VALUE_BYTES];
    for (uint32_t i = 0; i < b->count; i++) {
        const brisk_key *key = &b->hits.keys[i];
        BRISK_ASSERT(b->tier->ops->remove(b->tier, key) == BRISK_OK);
        BRISK_ASSERT(brisk_memory_put_bytes(b->tier, key, bytes, sizeof bytes, NULL) == BRISK_OK);
    }
}

/* All of it was wanted: else the compiler copies the one byte that is looked at. */
static void keep_copy(const void *value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

static void run_floor_single(bench *b)
{
    unsigned char value[96];
    for (uint32_t i = 0; i < b->count; i++) {
        BRISK_ASSERT(floor_get(b, &b->hits.keys[i], value));
        keep_copy(value);
        sink += value[8];
    }
}

static void run_floor_batch(bench *b)
{
    unsigned char value[96];
    for (uint32_t i = 0; i + BATCH <= b->count; i += BATCH) {
        const floor_bucket *buckets[BATCH];
        for (uint32_t j = 0; j < BATCH; j++) {
            buckets[j] = &b->floor_buckets[b->hits.keys[i + j].hash.lo & b->floor_mask];
            __builtin_prefetch(buckets[j]);
        }
        for (uint32_t j = 0; j < BATCH; j++) {
            uint16_t tag = (uint16_t)(b->hits.keys[i + j].hash.lo >> 48 | 1);
            uint32_t same = 0;
            for (uint32_t k = 0; k < 8; k++) {
                same |= (uint32_t)(buckets[j]->tags[k] == tag) << k;
            }
            if (same != 0) {
                const char *record =
                    (const char *)&b->floor_records[buckets[j]->records[__builtin_ctz(same)]];
                __builtin_prefetch(record);
                __builtin_prefetch(record + 64);
            }
        }
        for (uint32_t j = 0; j < BATCH; j++) {
            BRISK_ASSERT(floor_get(b, &b->hits.keys[i + j], value));
            keep_copy(value);
            sink += value[8];
        }
    }
}

static void run_stack_hit(bench *b)
{
    sink += hit_loop(b, &b->hits, true);
}

static void run_tier_miss(bench *b)
{
    brisk_hit hit;
    for (uint32_t i = 0; i < b->count; i++) {
        BRISK_ASSERT(b->tier->ops->get(b->tier, &b->misses.keys[i], &hit) == BRISK_ERR_NOT_FOUND);
    }
}

static void run_tier_put(bench *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        BRISK_ASSERT(b->tier->ops->put(b->tier, &b->hits.keys[i], b->value, NULL) == BRISK_OK);
    }
}

static void second_thread(void *ctx)
{
    bench *b = ctx;
    (void)hit_loop(b, &b->hits2, false);
}

static void run_tier_hit_2t(bench *b)
{
    brisk_thread thread;
    brisk_thread_opts opts = {.name = "bench", .run = second_thread, .ctx = b};
    BRISK_ASSERT(brisk_thread_start(&thread, &opts) == BRISK_OK);
    sink += hit_loop(b, &b->hits, false);
    brisk_thread_join(&thread);
}

static void run_peer_hit(bench *b)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        peer_entry *entry = peer_get(&b->peer, &b->hits.keys[i]);
        BRISK_ASSERT(entry != NULL);
        uint64_t word;
        memcpy(&word, entry->value + 8, sizeof word);
        sum += word;
        atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel);
    }
    sink += sum;
}

static void run_chase_entry(bench *b)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        memcpy(&at, b->records + at * RECORD_BYTES, sizeof at);
    }
    sink += at;
}

static void run_chase_pair(bench *b)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        uint64_t zero; /* the table holds zeros: only the dependence matters */
        uint64_t line = (at * UINT64_C(0x9e3779b97f4a7c15) >> 32) * b->table_lines >> 32;
        memcpy(&zero, b->table + line * 64, sizeof zero);
        memcpy(&at, b->records + (at + zero) * RECORD_BYTES, sizeof at);
    }
    sink += at;
}

static const struct {
    const char *name;
    void (*run)(bench *b);
} variants[] = {
    {"tier_hit", run_tier_hit},         {"tier_read", run_tier_read},
    {"tier_batch", run_tier_batch},     {"batch_read", run_batch_read},
    {"floor_single", run_floor_single}, {"floor_batch", run_floor_batch},
    {"stack_hit", run_stack_hit},       {"peer_hit", run_peer_hit},
    {"tier_miss", run_tier_miss},       {"tier_put", run_tier_put},
    {"tier_update", run_tier_update},   {"tier_insert", run_tier_insert},
    {"tier_hit_2t", run_tier_hit_2t},   {"chase_entry", run_chase_entry},
    {"chase_pair", run_chase_pair},
};

enum { VARIANTS = sizeof variants / sizeof variants[0] };

static int compare_doubles(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;
    return (*x > *y) - (*x < *y);
}

static double median_of(const double *medians, const char *name)
{
    for (size_t v = 0; v < VARIANTS; v++) {
        if (strcmp(variants[v].name, name) == 0) {
            return medians[v];
        }
    }
    return 0;
}

static void report(const bench *b, double (*ns)[ROUNDS_MAX], uint32_t rounds)
{
    double median[VARIANTS];
    printf("{\"bench\":\"cache/memory\",\"entries\":%" PRIu32 ",\"key_bytes\":%d,"
           "\"value_bytes\":%d,\"rounds\":%" PRIu32 ",\"ops_per_round\":%" PRIu32
           ",\"unit\":\"ns of processor time per operation\",\n \"method\":\"variants interleaved "
           "in every round; "
           "median, min, max of rounds\",\n \"results\":{",
           b->entries, KEY_BYTES, VALUE_BYTES, rounds, b->count);
    for (size_t v = 0; v < VARIANTS; v++) {
        qsort(ns[v], rounds, sizeof ns[v][0], compare_doubles);
        median[v] = ns[v][rounds / 2];
        printf("%s\n  \"%s\":{\"median\":%.1f,\"min\":%.1f,\"max\":%.1f}", v == 0 ? "" : ",",
               variants[v].name, median[v], ns[v][0], ns[v][rounds - 1]);
    }
    brisk_tier_stats stats;
    b->tier->ops->read_stats(b->tier, &stats);
    printf("},\n \"tier_hit_vs_peer\":%.2f,\"tier_hit_vs_floor\":%.2f,"
           "\"tier_batch_vs_floor\":%.2f,\"two_threads_scale\":%.2f,\n \"charged_per_entry\":%.1f,"
           "\"evictions\":%" PRIu64 ",\"get_p50_ns\":%" PRIu64 ",\"get_p99_ns\":%" PRIu64 "}\n",
           median_of(median, "tier_hit") / median_of(median, "peer_hit"),
           median_of(median, "tier_hit") / median_of(median, "floor_single"),
           median_of(median, "tier_batch") / median_of(median, "floor_batch"),
           2 * median_of(median, "tier_hit") / median_of(median, "tier_hit_2t"),
           (double)stats.bytes / (double)stats.entries, stats.evictions, stats.get_p50_ns,
           stats.get_p99_ns);
}

/* --- bytes per entry ---------------------------------------------------------------------- */

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    BRISK_ASSERT(file != NULL);
    unsigned long pages = 0;
    unsigned long resident = 0;
    BRISK_ASSERT(fscanf(file, "%lu %lu", &pages, &resident) == 2);
    (void)fclose(file);
    return (uint64_t)resident * 4096;
}

/* In a process of its own: what it grows by, for each of `entries` entries. */
static void report_bytes(uint32_t entries, uint32_t value_bytes)
{
    (void)fflush(stdout);
    pid_t child = fork();
    BRISK_ASSERT(child >= 0);
    if (child == 0) {
        static unsigned char value[4096];
        memset(value, 'v', sizeof value);
        uint64_t before = resident_bytes();
        brisk_tier *tier = NULL;
        brisk_memory_tier_opts opts = {.bytes_max = UINT64_C(8) << 30};
        BRISK_ASSERT(brisk_memory_tier_create(&opts, &tier) == BRISK_OK);
        for (uint64_t id = 0; id < entries; id++) {
            unsigned char bytes[KEY_BYTES];
            key_bytes(bytes, id);
            brisk_key key = brisk_key_of(bytes, KEY_BYTES);
            BRISK_ASSERT(brisk_memory_put_bytes(tier, &key, value, value_bytes, NULL) == BRISK_OK);
        }
        brisk_tier_stats stats;
        tier->ops->read_stats(tier, &stats);
        printf("{\"bench\":\"cache/memory_bytes\",\"entries\":%" PRIu32
               ",\"key_bytes\":%d,\"value_bytes\":%" PRIu32
               ",\"resident_per_entry\":%.1f,\"charged_per_entry\":%.1f}\n",
               entries, KEY_BYTES, value_bytes,
               (double)(resident_bytes() - before) / (double)entries,
               (double)stats.bytes / (double)stats.entries);
        (void)fflush(stdout);
        _exit(0);
    }
    int status = 0;
    BRISK_ASSERT(waitpid(child, &status, 0) == child && status == 0);
}

/* `name` is in the list, which NULL means to hold all. */
static bool is_chosen(const char *list, const char *name)
{
    return list == NULL || strstr(list, name) != NULL;
}

/* bench_memory [ENTRIES [ROUNDS [VARIANT,...]]], or: bench_memory bytes [ENTRIES] */
int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "bytes") == 0) {
        uint32_t entries = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1000000;
        static const uint32_t sizes[] = {8, 32, 100, 250, 1024, 3000};
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            report_bytes(entries, sizes[i]);
        }
        return 0;
    }
    bench b = {.entries = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000};
    uint32_t rounds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 11;
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    b.count = b.entries < 1000000 ? b.entries : 1000000;
    (void)pthread_mutex_init(&b.peer.lock, NULL);
    brisk_memory_tier_opts opts = {.bytes_max = (uint64_t)b.entries * 320 + (8u << 20)};
    BRISK_ASSERT(brisk_memory_tier_create(&opts, &b.tier) == BRISK_OK);
    brisk_cache_opts stack = {.tiers = &b.tier, .tier_count = 1};
    BRISK_ASSERT(brisk_cache_create(&stack, &b.stack) == BRISK_OK);
    const char *chosen = argc > 3 ? argv[3] : NULL;
    b.has_peer = is_chosen(chosen, "peer");
    b.has_floor = is_chosen(chosen, "floor");
    b.has_chase = is_chosen(chosen, "chase");
    fill(&b);
    if (b.has_chase) {
        make_chase(&b);
    }
    b.hits = make_list(b.count);
    b.hits2 = make_list(b.count);
    b.misses = make_list(b.count);
    draw_keys(&b.misses, b.count, b.entries, b.entries);
    static double ns[VARIANTS][ROUNDS_MAX];
    for (uint32_t round = 0; round <= rounds; round++) { /* round 0 warms up */
        for (size_t v = 0; v < VARIANTS; v++) {
            draw_keys(&b.hits, b.count, b.entries, 0);
            draw_keys(&b.hits2, b.count, b.entries, 0);
            if (!is_chosen(chosen, variants[v].name)) {
                continue;
            }
            uint64_t begin = thread_ns();
            variants[v].run(&b);
            uint64_t elapsed = thread_ns() - begin;
            if (round != 0) {
                ns[v][round - 1] = (double)elapsed / b.count;
            }
        }
    }
    report(&b, ns, rounds);
    brisk_value_unref(b.value);
    brisk_cache_destroy(b.stack);
    return 0; /* the peer's and the chase's memory ends with the process */
}
