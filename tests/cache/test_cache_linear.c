/*
 * test_cache_linear.c -- get, put and remove under threads are linearizable, key by key.
 *
 * Model: a key is a register.  put writes a number that nobody else writes, remove writes "nothing".
 * A get that hits reads a number; a get that misses says nothing, since an entry may be evicted, or
 * dropped for safety, at any time.  So the history of hits, puts and removes of a key must be that of
 * an atomic register.
 *
 * Check: since every write is of another value, this is decided exactly by zones.  The zone of a
 * write and its reads reaches from the first end among them to the last beginning; it is forward when
 * that is in order (the value is surely there for so long), otherwise backward.  The history is
 * linearizable if and only if no read ends before its write begins, no two forward zones overlap,
 * and no backward zone lies within a forward one.
 * Source: P. Gibbons, E. Korach, Testing Shared Memories, SIAM J. Comput. 26(4), 1997, section 4.
 */
#include "support/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <brisk/cache.h>
#include <brisk/log.h>
#include <brisk/memory.h>

#include "support/temp_dir.h"

enum { KEYS = 6, THREADS = 4, CALLS = 6000 };

/* A call: when it began and ended, and the number that it wrote or read. */
typedef struct call {
    uint64_t begin;
    uint64_t end;
    uint64_t number;
    uint32_t key;
    bool is_write;
} call;

typedef struct zone {
    uint64_t low;
    uint64_t high;
    bool forward;
} zone;

/* --- the checker --------------------------------------------------------------------------------- */

static int compare_calls(const void *a, const void *b)
{
    const call *x = a;
    const call *y = b;
    if (x->number != y->number) {
        return x->number < y->number ? -1 : 1;
    }
    return (int)y->is_write - (int)x->is_write;
}

static int compare_zones(const void *a, const void *b)
{
    const zone *x = a;
    const zone *y = b;
    return x->low < y->low ? -1 : x->low > y->low;
}

/* NULL, or what is wrong with the calls of one key; they are sorted. */
static const char *check_register(call *calls, size_t count)
{
    qsort(calls, count, sizeof *calls, compare_calls);
    zone *zones = calloc(count + 1, sizeof *zones);
    CHECK(zones != NULL);
    size_t zone_count = 0;
    const char *wrong = NULL;
    for (size_t i = 0; i < count && wrong == NULL;) {
        uint64_t first_end = UINT64_MAX;
        uint64_t last_begin = 0;
        size_t j = i;
        for (; j < count && calls[j].number == calls[i].number; j++) {
            first_end = calls[j].end < first_end ? calls[j].end : first_end;
            last_begin = calls[j].begin > last_begin ? calls[j].begin : last_begin;
            if (calls[j].end < calls[i].begin) {
                wrong = "a read before its write";
            }
        }
        if (!calls[i].is_write) {
            wrong = "a read of what nobody wrote";
        }
        zones[zone_count++] = (zone){.low = first_end < last_begin ? first_end : last_begin,
                                     .high = first_end < last_begin ? last_begin : first_end,
                                     .forward = first_end < last_begin};
        i = j;
    }
    qsort(zones, zone_count, sizeof *zones, compare_zones);
    uint64_t reach = 0; /* of the forward zones so far */
    for (size_t i = 0; i < zone_count && wrong == NULL; i++) {
        if (zones[i].forward && zones[i].low < reach) {
            wrong = "two values at one time";
        }
        if (!zones[i].forward && zones[i].high < reach) {
            wrong = "an old value after a newer write";
        }
        reach = zones[i].forward && zones[i].high > reach ? zones[i].high : reach;
    }
    free(zones);
    return wrong;
}

static void test_checker(void **state)
{
    (void)state;
    call good[] = {{1, 2, 1, 0, true},  {3, 4, 1, 0, false}, {5, 9, 2, 0, true},
                   {6, 7, 1, 0, false}, {6, 8, 2, 0, false}, {10, 11, 2, 0, false}};
    CHECK(check_register(good, 6) == NULL);
    call old[] = {{1, 2, 1, 0, true}, {3, 4, 2, 0, true}, {5, 6, 1, 0, false}};
    CHECK(check_register(old, 3) != NULL);
    call back[] = {{1, 20, 1, 0, true},
                   {2, 19, 2, 0, true},
                   {3, 4, 1, 0, false},
                   {5, 6, 2, 0, false},
                   {7, 8, 1, 0, false}};
    CHECK(check_register(back, 5) != NULL);
    call early[] = {{5, 6, 1, 0, true}, {1, 2, 1, 0, false}};
    CHECK(check_register(early, 2) != NULL);
    call unknown[] = {{1, 2, 7, 0, false}};
    CHECK(check_register(unknown, 1) != NULL);
    call removed[] = {{1, 2, 1, 0, true}, {3, 4, 2, 0, true} /* a removal */, {5, 6, 1, 0, false}};
    CHECK(check_register(removed, 3) != NULL);
}

/* --- the stack ------------------------------------------------------------------------------------ */

typedef struct later {
    void (*fn)(void *arg);
    void *arg;
} later;

enum { LATER_MAX = 64 };

/* A thread that runs promotions late. */
typedef struct background {
    pthread_mutex_t lock;
    later tasks[LATER_MAX];
    uint32_t count;
    _Atomic bool stop;
    pthread_t thread;
} background;

static bool run_later(void *ctx, void (*fn)(void *arg), void *arg)
{
    background *self = ctx;
    (void)pthread_mutex_lock(&self->lock);
    bool room = self->count < LATER_MAX;
    if (room) {
        self->tasks[self->count++] = (later){fn, arg};
    }
    (void)pthread_mutex_unlock(&self->lock);
    return room;
}

static void *run_tasks(void *arg)
{
    background *self = arg;
    for (;;) {
        (void)pthread_mutex_lock(&self->lock);
        later task = {NULL, NULL};
        if (self->count > 0) {
            task = self->tasks[--self->count];
        }
        (void)pthread_mutex_unlock(&self->lock);
        if (task.fn != NULL) {
            task.fn(task.arg);
        } else if (atomic_load(&self->stop)) {
            return NULL;
        } else {
            (void)usleep(100);
        }
    }
}

typedef struct worker {
    pthread_t thread;
    brisk_cache *cache;
    uint64_t random;
    uint64_t id;
    _Atomic uint64_t *time;
    call *calls;
    size_t count;
} worker;

static uint64_t tick(const worker *self)
{
    return atomic_fetch_add(self->time, 1) + 1;
}

static void do_put(worker *self, const brisk_key *key, uint64_t number)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy(text, (size_t)size + 1, NULL, &value));
    brisk_entry_opts opts = {.tiers = (uint32_t)(check_random(&self->random) % 4)};
    if (check_random(&self->random) % 4 == 0) {
        opts.as_of = brisk_cache_epoch(self->cache);
        sched_yield();
    }
    brisk_cache_put(self->cache, key, value, &opts);
    brisk_value_unref(value);
}

static void *work(void *arg)
{
    worker *self = arg;
    for (uint64_t i = 1; i <= CALLS; i++) {
        uint32_t k = (uint32_t)(check_random(&self->random) % KEYS);
        char name[8] = {'k', (char)('0' + k), '\0'};
        brisk_key key = brisk_key_of(name, 2);
        uint64_t what = check_random(&self->random) % 10;
        call now = {.key = k, .number = i * THREADS + self->id, .is_write = what < 4};
        now.begin = tick(self);
        if (what < 3) {
            do_put(self, &key, now.number);
        } else if (what < 4) {
            (void)!brisk_cache_remove(self->cache, &key);
        } else {
            brisk_hit hit;
            uint32_t tiers = what < 8 ? 0 : 1;
            if (!brisk_cache_get(self->cache, &key, tiers, &hit)) {
                continue;
            }
            now.number = strtoull(brisk_value_data(hit.value), NULL, 10);
            brisk_value_unref(hit.value);
        }
        now.end = tick(self);
        self->calls[self->count++] = now;
    }
    return NULL;
}

static void check_history(worker *workers)
{
    call *calls = calloc(THREADS * CALLS, sizeof *calls);
    CHECK(calls != NULL);
    size_t total = 0;
    size_t hits = 0;
    for (uint32_t k = 0; k < KEYS; k++) {
        size_t count = 0;
        for (int i = 0; i < THREADS; i++) {
            for (size_t j = 0; j < workers[i].count; j++) {
                if (workers[i].calls[j].key == k) {
                    calls[count++] = workers[i].calls[j];
                    hits += !workers[i].calls[j].is_write;
                }
            }
        }
        total += count;
        const char *wrong = check_register(calls, count);
        if (wrong != NULL) {
            fail_msg("key %u: %s", k, wrong);
        }
    }
    print_message("%zu calls, %zu hits\n", total, hits);
    CHECK_U64(hits, >, THREADS * CALLS / 20);
    free(calls);
}

static void run(uint64_t memory_entries, bool behind, bool in_background, uint64_t seed)
{
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tiers[2];
    brisk_memory_tier_opts memory = {
        .bytes_max = 1 << 18, .entries_max = memory_entries, .shards = 1};
    brisk_disk_tier_opts disk = {
        .path = dir->path, .bytes_max = 16 << 20, .segment_bytes = 1 << 20};
    CHECK_OK(brisk_memory_tier_create(&memory, &tiers[0]));
    CHECK_OK(brisk_disk_tier_open(&disk, &tiers[1], NULL));
    background late = {.count = 0};
    CHECK(pthread_mutex_init(&late.lock, NULL) == 0);
    brisk_cache *cache = NULL;
    brisk_cache_opts opts = {.tiers = tiers,
                             .tier_count = 2,
                             .tiers_behind = behind,
                             .background =
                                 in_background ? &(brisk_background){run_later, &late} : NULL};
    CHECK_OK(brisk_cache_create(&opts, &cache));
    CHECK(pthread_create(&late.thread, NULL, run_tasks, &late) == 0);
    _Atomic uint64_t time = 0;
    worker workers[THREADS];
    for (uint64_t i = 0; i < THREADS; i++) {
        workers[i] = (worker){.cache = cache, .random = seed + i, .id = i, .time = &time};
        workers[i].calls = calloc(CALLS, sizeof *workers[i].calls);
        CHECK(workers[i].calls != NULL);
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
    }
    atomic_store(&late.stop, true);
    CHECK(pthread_join(late.thread, NULL) == 0);
    brisk_cache_destroy(cache);
    check_history(workers);
    for (int i = 0; i < THREADS; i++) {
        free(workers[i].calls);
    }
    CHECK(pthread_mutex_destroy(&late.lock) == 0);
}

static void test_memory_and_disk(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    run(2, false, false, seed);
    run(0, false, false, seed);
}

static void test_promotion_in_the_background(void **state)
{
    (void)state;
    run(2, false, true, check_seed());
}

static void test_tiers_behind(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    run(2, true, true, seed);
    run(0, true, false, seed);
}

int main(void)
{
    brisk_log_set_level(BRISK_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checker),
        cmocka_unit_test(test_memory_and_disk),
        cmocka_unit_test(test_promotion_in_the_background),
        cmocka_unit_test(test_tiers_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
