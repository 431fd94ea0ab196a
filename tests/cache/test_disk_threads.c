/*
 * test_disk_threads.c -- threads, over one tier and over two tiers on one folder.
 *
 * The two tiers stand for two processes: they share nothing but files, mappings and locks.
 */
#include <sched.h>
#include <stdatomic.h>

#include "base/thread.h"
#include "disk_test.h"

enum { THREADS = 4, KEYS = 64, OPS = 4000, RACES = 20000 };

typedef struct stress {
    brisk_tier *tier;
    uint64_t seed;
    _Atomic uint64_t *acked; /* of each key: the number of the newest put that was acknowledged */
    _Atomic uint64_t *next;  /* numbers of puts */
    _Atomic uint64_t *bad;
} stress;

/* The value of put `number` of `key`: whatever part of it is read shows whose it is. */
static size_t make_value(char *text, uint32_t key, uint64_t number)
{
    int head = snprintf(text, 64, "%u %llu ", key, (unsigned long long)number);
    size_t size = 64 + number * 37 % 3000;
    memset(text + head, (int)('a' + number % 26), size - (size_t)head);
    return size;
}

static bool is_whole(const brisk_hit *hit, uint32_t key, uint64_t *ret_number)
{
    char expected[4096];
    size_t size = (size_t)brisk_value_size(hit->value);
    char head[65] = {0};
    if (size < 64) {
        return false;
    }
    memcpy(head, brisk_value_data(hit->value), 64);
    char *end;
    if (strtoul(head, &end, 10) != key) {
        return false;
    }
    uint64_t number = strtoull(end, NULL, 10);
    *ret_number = number;
    return make_value(expected, key, number) == size &&
           memcmp(expected, brisk_value_data(hit->value), size) == 0;
}

/* Puts of one key are made by one thread, so that "newest" is known; gets and removes by all. */
static void run_stress(void *ctx)
{
    stress *s = ctx;
    uint64_t random = s->seed;
    char text[4096];
    char name[16];
    for (int i = 0; i < OPS; i++) {
        uint32_t key = (uint32_t)(check_random(&random) % KEYS);
        (void)snprintf(name, sizeof name, "key %u", key);
        uint64_t what = check_random(&random) % 8;
        if (what < 3 && key % THREADS == s->seed % THREADS) {
            uint64_t number = atomic_fetch_add(s->next, 1) + 1;
            size_t size = make_value(text, key, number);
            if (disk_put_bytes(s->tier, name, text, size) == BRISK_OK) {
                atomic_store(&s->acked[key], number);
            }
        } else if (what == 3) {
            (void)disk_remove_key(s->tier, name);
        } else if (what == 4 && i % 1000 == 999) {
            (void)s->tier->ops->clear(s->tier);
        } else {
            uint64_t before = atomic_load(&s->acked[key]);
            uint64_t number = 0;
            brisk_hit hit;
            if (disk_get_key(s->tier, name, &hit) == BRISK_OK) {
                if (!is_whole(&hit, key, &number) || number < before) {
                    atomic_fetch_add(s->bad, 1);
                }
                brisk_value_unref(hit.value);
            }
        }
    }
}

static void stress_tiers(brisk_tier *const *tiers, uint32_t tier_count)
{
    brisk_thread threads[THREADS];
    stress parts[THREADS];
    static _Atomic uint64_t acked[KEYS];
    _Atomic uint64_t next = 0;
    _Atomic uint64_t bad = 0;
    memset(acked, 0, sizeof acked);
    uint64_t seed = check_seed();
    for (uint32_t i = 0; i < THREADS; i++) {
        parts[i] = (stress){.tier = tiers[i % tier_count],
                            .seed = seed * THREADS + i,
                            .acked = acked,
                            .next = &next,
                            .bad = &bad};
        memset(&threads[i], 0, sizeof threads[i]);
        CHECK_OK(brisk_thread_start(&threads[i],
                                    &(brisk_thread_opts){.run = run_stress, .ctx = &parts[i]}));
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        brisk_thread_join(&threads[i]);
    }
    CHECK_U64(atomic_load(&bad), ==, 0);
    for (uint32_t i = 0; i < tier_count; i++) {
        brisk_tier_stats stats = disk_stats(tiers[i]);
        CHECK_U64(stats.corrupt, ==, 0);
        CHECK_U64(stats.errors, ==, 0);
        CHECK_U64(stats.hits, >, 0);
    }
}

static brisk_tier *open_tier(const char *path)
{
    return disk_open_opts(
        &(brisk_disk_tier_opts){.path = path, .bytes_max = 4 << 20, .segment_bytes = 64 << 10});
}

/* --- while somebody tends ------------------------------------------------------------------------ */

typedef struct tender {
    brisk_tier *tier;
    _Atomic bool stop;
    uint64_t steps;
} tender;

static void run_tender(void *ctx)
{
    tender *t = ctx;
    while (!atomic_load(&t->stop)) {
        (void)brisk_disk_tier_tend(t->tier, 64 << 10);
        t->steps++;
        (void)sched_yield();
    }
}

/* A folder so small that all is always on the move; the two tiers share it. */
static void stress_tended(brisk_disk_sync sync)
{
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_disk_tier_opts opts = {.path = dir->path,
                                 .bytes_max = 128 << 10,
                                 .segment_bytes = 16 << 10, /* values are no files */
                                 .zstd_level = -1,
                                 .tended = true,
                                 .sync = sync};
    brisk_tier *tiers[2] = {disk_open_opts(&opts), disk_open_opts(&opts)};
    tender tenders[2] = {{.tier = tiers[0]}, {.tier = tiers[1]}};
    brisk_thread threads[2] = {0};
    for (int i = 0; i < 2; i++) {
        CHECK_OK(brisk_thread_start(&threads[i],
                                    &(brisk_thread_opts){.run = run_tender, .ctx = &tenders[i]}));
    }
    stress_tiers(tiers, 2);
    for (int i = 0; i < 2; i++) {
        atomic_store(&tenders[i].stop, true);
        brisk_thread_join(&threads[i]);
    }
    brisk_tier_stats stats = disk_stats(tiers[0]);
    CHECK_U64(tenders[0].steps, >, 0);
    CHECK((stats.syncs > 0) == (sync != BRISK_DISK_SYNC_NONE));
    /* One fdatasync for all who wait. */
    CHECK_U64(stats.syncs, <=, stats.puts + stats.removes + 100);
    print_message("%llu moved, %llu evicted, %llu syncs for %llu writes\n",
                  (unsigned long long)(stats.reinserted + stats.compacted),
                  (unsigned long long)stats.evictions, (unsigned long long)stats.syncs,
                  (unsigned long long)(stats.puts + stats.removes));
    /* How much moved is up to the scheduler; test_disk_move.c and test_disk_kill.c count it. */
    brisk_tier_destroy(tiers[0]);
    brisk_tier_destroy(tiers[1]);
}

static void test_tended(void **state)
{
    (void)state;
    stress_tended(BRISK_DISK_SYNC_NONE);
}

static void test_tended_and_durable(void **state)
{
    (void)state;
    stress_tended(BRISK_DISK_SYNC_GROUP);
}

static void test_durability_is_the_folders(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_disk_tier_opts opts = {.path = dir->path, .bytes_max = 1 << 20};
    brisk_tier *one = disk_open_opts(&opts);
    brisk_tier *two = NULL;
    brisk_errinfo info = {0};
    opts.sync = BRISK_DISK_SYNC_GROUP;
    CHECK(brisk_disk_tier_open(&opts, &two, &info) == BRISK_ERR_CONFLICT && two == NULL);
    CHECK(strstr(info.text, dir->path) != NULL);
    CHECK_OK(disk_put_text(one, "k", "v"));
    CHECK_OK(disk_put_text(one, "k", "w"));
    brisk_tier_destroy(one);
    one = disk_open_opts(&opts);
    CHECK(disk_holds_text(one, "k", "w"));
    opts.sync = BRISK_DISK_SYNC_NONE;
    two = disk_open_opts(&opts); /* and follows */
    CHECK_OK(disk_put_text(two, "k", "x"));
    CHECK_U64(disk_stats(two).syncs, ==, 1);
    brisk_tier_destroy(one);
    brisk_tier_destroy(two);
    two = disk_open_opts(&opts);
    CHECK_OK(disk_put_text(two, "k", "y"));
    CHECK_U64(disk_stats(two).syncs, ==, 0);
    brisk_tier_destroy(two);
}

static void test_one_tier(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = open_tier(dir->path);
    stress_tiers(&tier, 1);
    brisk_tier_destroy(tier);
}

static void test_two_tiers(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tiers[2] = {open_tier(dir->path), open_tier(dir->path)};
    stress_tiers(tiers, 2);
    brisk_tier_destroy(tiers[0]);
    brisk_tier_destroy(tiers[1]);
}

/* --- two put one new key at once -------------------------------------------------------------- */

typedef struct race {
    brisk_tier *tier;
    _Atomic uint32_t turn; /* the round that may begin */
    _Atomic uint32_t ready;
} race;

static void await(_Atomic uint32_t *counter, uint32_t value)
{
    for (int spins = 0; atomic_load(counter) < value; spins++) {
        if (spins % 1000 == 999) {
            (void)sched_yield();
        }
    }
}

static void put_round(brisk_tier *tier, uint32_t i, const char *text)
{
    char name[16];
    (void)snprintf(name, sizeof name, "%u", i);
    (void)disk_put_text(tier, name, text);
}

static void run_race(void *ctx)
{
    race *r = ctx;
    for (uint32_t i = 1; i <= RACES; i++) {
        atomic_store(&r->ready, i);
        await(&r->turn, i);
        put_round(r->tier, i, "theirs");
    }
    atomic_store(&r->ready, RACES + 1);
}

/* Slots that hold the key. */
static uint32_t count_slots(brisk_tier *tier, const char *name)
{
    brisk_key key = brisk_key_of(name, strlen(name));
    disk_ways ways = disk_ways_of((disk_tier *)tier, &key);
    uint32_t count = 0;
    for (uint32_t i = 0; i < ways.count; i++) {
        uint64_t word = atomic_load(disk_way(&ways, i));
        count += word != 0 && disk_slot_tag(word) == ways.tag &&
                 !disk_is_other_key((disk_tier *)tier, word, &key);
    }
    return count;
}

/* Rule 6 of disk.c: when both are done there is one slot at most. */
static void test_one_slot_remains(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *mine = disk_open_opts(&(brisk_disk_tier_opts){.path = dir->path});
    race r = {.tier = disk_open_opts(&(brisk_disk_tier_opts){.path = dir->path})};
    brisk_thread thread = {0};
    CHECK_OK(brisk_thread_start(&thread, &(brisk_thread_opts){.run = run_race, .ctx = &r}));
    uint64_t kept = 0;
    for (uint32_t i = 1; i <= RACES; i++) {
        char name[16];
        await(&r.ready, i);
        atomic_store(&r.turn, i);
        put_round(mine, i, "mine");
        await(&r.ready, i + 1); /* the other one is done, too */
        (void)snprintf(name, sizeof name, "%u", i);
        uint32_t count = count_slots(mine, name);
        kept += count;
        CHECK_U64(count, <=, 1);
    }
    brisk_thread_join(&thread);
    CHECK_U64(kept, >, RACES / 2);
    brisk_tier_destroy(mine);
    brisk_tier_destroy(r.tier);
}

static int set_up(void **state)
{
    disk_count_log(NULL);
    return disk_use_memory(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_tier),
        cmocka_unit_test(test_two_tiers),
        cmocka_unit_test(test_tended),
        cmocka_unit_test(test_tended_and_durable),
        cmocka_unit_test(test_durability_is_the_folders),
        cmocka_unit_test(test_one_slot_remains),
    };
    return cmocka_run_group_tests_name("disk_threads", tests, set_up, NULL);
}
