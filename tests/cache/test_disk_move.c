/*
 * test_disk_move.c -- who leaves a full tier: expired entries in whole segments, dead ones by
 * compaction, the oldest last, and of those not the ones that are read.
 */
#include "disk_test.h"
#include "support/fake_clock.h"

enum { VALUE_BYTES = 900, BOUND = 4 << 20, SEGMENT = 64 << 10 };

static brisk_tier *open_with(const char *path, const fake_clock *clock, int reinsert, bool tended)
{
    return disk_open_opts(&(brisk_disk_tier_opts){.path = path,
                                                  .bytes_max = BOUND,
                                                  .segment_bytes = SEGMENT,
                                                  .zstd_level = -1,
                                                  .reinsert_percent = reinsert,
                                                  .tended = tended,
                                                  .clock = clock != NULL ? &clock->base : NULL});
}

static void name_of(char key[32], const char *kind, int i)
{
    (void)snprintf(key, 32, "%s %d", kind, i);
}

static void fill_value(unsigned char *value, int i, int version)
{
    uint64_t random = (uint64_t)i << 20 | (uint64_t)version;
    for (size_t at = 0; at < VALUE_BYTES; at++) {
        value[at] = (unsigned char)check_random(&random);
    }
}

static void put_version(brisk_tier *tier, const char *kind, int i, int version,
                        uint64_t expires_at_ns)
{
    char name[32];
    unsigned char bytes[VALUE_BYTES];
    brisk_value *value = NULL;
    name_of(name, kind, i);
    fill_value(bytes, i, version);
    CHECK_OK(brisk_value_copy(bytes, sizeof bytes, NULL, &value));
    brisk_key key = brisk_key_of(name, strlen(name));
    brisk_entry_opts opts = {.expires_at_ns = expires_at_ns, .era = (uint16_t)i, .cost_ns = 77};
    CHECK_OK(tier->ops->put(tier, &key, value, &opts));
    brisk_value_unref(value);
}

/* Right or a miss. */
static bool has_version(brisk_tier *tier, const char *kind, int i, int version)
{
    char name[32];
    unsigned char bytes[VALUE_BYTES];
    brisk_hit hit;
    name_of(name, kind, i);
    if (disk_get_key(tier, name, &hit) != BRISK_OK) {
        return false;
    }
    fill_value(bytes, i, version);
    CHECK_U64(brisk_value_size(hit.value), ==, VALUE_BYTES);
    CHECK(memcmp(brisk_value_data(hit.value), bytes, VALUE_BYTES) == 0);
    CHECK(hit.era == (uint16_t)i && hit.cost_ns == 77);
    brisk_value_unref(hit.value);
    return true;
}

static void tend_all(brisk_tier *tier)
{
    for (int i = 0; brisk_disk_tier_tend(tier, 1 << 20); i++) {
        CHECK(i < 1000);
    }
}

/* Ten bounds of new entries go through while some keys are read, and put again when they are missed;
 * how many were missed in the second half. */
static int run_through(brisk_tier *tier, int hot, bool tend)
{
    int missed = 0;
    int puts = 10 * BOUND / VALUE_BYTES;
    for (int i = 0; i < puts; i++) {
        put_version(tier, "cold", i, 0, 0);
        int key = i / 3 % hot;
        if (i % 3 == 0 && !has_version(tier, "hot", key, 0)) {
            put_version(tier, "hot", key, 0, 0);
            missed += i > puts / 2;
        }
        if (tend && i % 16 == 0) {
            (void)brisk_disk_tier_tend(tier, 256 << 10);
        }
        CHECK(i % 256 != 0 || disk_stats(tier).bytes <= BOUND);
    }
    return missed;
}

static void test_hot_entries_stay(void **state)
{
    (void)state;
    enum { HOT = 300 };
    for (int tend = 0; tend < 2; tend++) {
        BRISK_CLEANUP(temp_dir_remove) temp_dir *with = temp_dir_make();
        BRISK_CLEANUP(temp_dir_remove) temp_dir *without = temp_dir_make();
        brisk_tier *tier = open_with(without->path, NULL, -1, tend != 0);
        int missed_without = run_through(tier, HOT, tend != 0);
        CHECK(missed_without > HOT);
        CHECK_U64(disk_stats(tier).reinserted, ==, 0);
        brisk_tier_destroy(tier);
        tier = open_with(with->path, NULL, 0, tend != 0);
        int missed = run_through(tier, HOT, tend != 0);
        brisk_tier_stats stats = disk_stats(tier);
        print_message("tended %d: %d missed, %d without; %llu reinserted\n", tend, missed,
                      missed_without, (unsigned long long)stats.reinserted);
        CHECK(missed < missed_without / 10);
        CHECK_U64(stats.reinserted, >, HOT);
        CHECK_U64(stats.evicted_room, >, 1000);
        CHECK_U64(stats.corrupt + stats.errors + stats.rejects, ==, 0);
        brisk_tier_destroy(tier);
        disk_unlink(with->path, "index");
        tier = open_with(with->path, NULL, 0, false);
        CHECK(run_through(tier, HOT, false) < missed_without / 10); /* a rebuilt one goes on */
        brisk_tier_destroy(tier);
    }
}

/* What is saved takes no more than its share, however much is hot. */
static void test_reinsertion_is_bounded(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = open_with(dir->path, NULL, 10, false);
    int puts = 4 * BOUND / VALUE_BYTES;
    for (int i = 0; i < puts; i++) {
        put_version(tier, "all", i, 0, 0);
        CHECK(has_version(tier, "all", i, 0));
    }
    brisk_tier_stats stats = disk_stats(tier);
    CHECK_U64(stats.reinserted, >, (uint64_t)puts / 40);
    CHECK_U64(stats.reinserted, <, (uint64_t)puts / 8);
    brisk_tier_destroy(tier);
}

static uint64_t segments_in(const char *path)
{
    uint64_t count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (const struct dirent *file; (file = readdir(dir)) != NULL;) {
        uint32_t number;
        count += disk_name_read(file->d_name, &number) == DISK_NAME_SEGMENT;
    }
    (void)closedir(dir);
    return count;
}

/* Short lives go together, without a look at them; long ones stay. */
static void test_expired_segments_go_whole(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    fake_clock clock;
    fake_clock_init(&clock, 1);
    brisk_tier *tier = open_with(dir->path, &clock, 0, true);
    uint64_t now = brisk_clock_wall_ns(&clock.base);
    enum { EACH = 300 };
    for (int i = 0; i < EACH; i++) { /* one after the other, as they come */
        put_version(tier, "minute", i, 0, now + 50 * FAKE_CLOCK_SECOND + (uint64_t)i);
        put_version(tier, "hour", i, 0, now + 3600 * FAKE_CLOCK_SECOND);
        put_version(tier, "ever", i, 0, 0);
    }
    uint64_t before = segments_in(dir->path);
    tend_all(tier);
    CHECK_U64(segments_in(dir->path), ==, before);
    fake_clock_advance(&clock, 51 * FAKE_CLOCK_SECOND);
    tend_all(tier);
    brisk_tier_stats stats = disk_stats(tier);
    CHECK_U64(stats.evicted_expired, ==, EACH);
    CHECK_U64(stats.expired, ==, EACH);
    CHECK_U64(stats.evicted_room, ==, 0);
    CHECK_U64(stats.entries, ==, 2 * EACH);
    CHECK_U64(segments_in(dir->path), <=, before - EACH * VALUE_BYTES / SEGMENT);
    for (int i = 0; i < EACH; i++) {
        CHECK(!has_version(tier, "minute", i, 0) && has_version(tier, "hour", i, 0) &&
              has_version(tier, "ever", i, 0));
    }
    /* The clock jumps back: what went does not come again, and all works. */
    clock.wall_ns -= 40 * FAKE_CLOCK_SECOND;
    tend_all(tier);
    for (int i = 0; i < EACH; i++) {
        CHECK(!has_version(tier, "minute", i, 0) && has_version(tier, "ever", i, 0));
    }
    put_version(tier, "minute", 0, 1, now + 55 * FAKE_CLOCK_SECOND);
    CHECK(has_version(tier, "minute", 0, 1));
    brisk_tier_destroy(tier);
    disk_unlink(dir->path, "index");
    tier = open_with(dir->path, &clock, 0, true);
    CHECK(has_version(tier, "minute", 0, 1) && !has_version(tier, "minute", 1, 0));
    clock.wall_ns = now + 7200 * FAKE_CLOCK_SECOND;
    tend_all(tier);
    CHECK_U64(disk_stats(tier).entries, ==, EACH);
    CHECK(has_version(tier, "ever", 7, 0));
    brisk_tier_destroy(tier);
}

/* A stream of entries that live for a minute: the folder holds about two minutes of them. */
static void test_stream_of_short_lives(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    fake_clock clock;
    fake_clock_init(&clock, 1);
    for (int i = 0; i < 60; i++) { /* each by a process of its own, ten seconds apart */
        brisk_tier *tier = open_with(dir->path, &clock, 0, false);
        uint64_t now = brisk_clock_wall_ns(&clock.base);
        for (int k = 0; k < 20; k++) {
            put_version(tier, "stream", i * 20 + k, 0, now + 60 * FAKE_CLOCK_SECOND);
        }
        CHECK(has_version(tier, "stream", i * 20, 0));
        CHECK(i < 5 || has_version(tier, "stream", (i - 5) * 20, 0));
        CHECK(i < 6 || !has_version(tier, "stream", (i - 6) * 20, 0));
        brisk_tier_destroy(tier);
        fake_clock_advance(&clock, 10 * FAKE_CLOCK_SECOND);
        CHECK_U64(segments_in(dir->path), <=, 8);
    }
}

static void test_compaction(void **state)
{
    (void)state;
    enum { KEYS = 1500 };
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = open_with(dir->path, NULL, 0, true);
    for (int i = 0; i < KEYS; i++) {
        put_version(tier, "key", i, 0, 0);
    }
    for (int i = 0; i < KEYS; i++) {
        if (i % 4 != 0) {
            put_version(tier, "key", i, 1, 0);
        }
    }
    uint64_t before = disk_stats(tier).bytes;
    CHECK(brisk_disk_tier_tend(tier, 1)); /* a little budget, a little work */
    CHECK_U64(disk_stats(tier).compacted, <, KEYS / 8);
    tend_all(tier);
    brisk_tier_stats stats = disk_stats(tier);
    CHECK_U64(stats.compacted, >, KEYS / 5);
    CHECK_U64(stats.compacted_bytes, >=, stats.compacted * 2 * VALUE_BYTES);
    CHECK_U64(stats.bytes, <, before / 4 * 3);
    CHECK_U64(stats.evictions, ==, 0);
    CHECK(!brisk_disk_tier_tend(tier, 1 << 20)); /* and no more of it */
    for (int pass = 0; pass < 3; pass++) {
        for (int i = 0; i < KEYS; i++) {
            CHECK(has_version(tier, "key", i, i % 4 != 0));
        }
        brisk_tier_destroy(tier);
        if (pass == 1) {
            disk_unlink(dir->path, "index");
        }
        tier = open_with(dir->path, NULL, 0, true);
    }
    /* Removed keys stay removed, also where their older records were moved. */
    for (int i = 0; i < KEYS; i += 2) {
        char name[32];
        name_of(name, "key", i);
        CHECK_OK(disk_remove_key(tier, name));
    }
    tend_all(tier);
    brisk_tier_destroy(tier);
    disk_unlink(dir->path, "index");
    tier = open_with(dir->path, NULL, 0, true);
    for (int i = 0; i < KEYS; i++) {
        CHECK(has_version(tier, "key", i, i % 4 != 0) == (i % 2 != 0));
    }
    brisk_tier_destroy(tier);
}

/* Everything at once, against what is known of each key. */
static void test_model(void **state)
{
    (void)state;
    enum { KEYS = 3000, STEPS = 60000 };
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    uint64_t random = check_seed();
    fake_clock clock;
    fake_clock_init(&clock, 1);
    static int version[KEYS]; /* 0: none */
    static uint64_t expires[KEYS];
    brisk_tier *tier = open_with(dir->path, &clock, 0, false);
    uint64_t hits = 0;
    for (int step = 1; step <= STEPS; step++) {
        int i = (int)(check_random(&random) % KEYS);
        i = check_random(&random) % 2 == 0 ? i : i % 100;
        uint64_t what = check_random(&random) % 1000;
        uint64_t now = brisk_clock_wall_ns(&clock.base);
        if (what < 400) {
            uint64_t life = check_random(&random) % 4 * 40;
            expires[i] = life != 0 ? now + life * FAKE_CLOCK_SECOND : 0;
            version[i] = step;
            put_version(tier, "m", i, step, expires[i]);
        } else if (what < 450) {
            char name[32];
            name_of(name, "m", i);
            CHECK_OK(disk_remove_key(tier, name));
            version[i] = 0;
        } else if (what < 980) {
            char name[32];
            name_of(name, "m", i);
            bool gone = version[i] == 0 || (expires[i] != 0 && expires[i] <= now);
            CHECK(gone ? disk_misses(tier, name) : true);
            hits += !gone && has_version(tier, "m", i, version[i]);
        } else if (what < 990) {
            (void)brisk_disk_tier_tend(tier, check_random(&random) % (1 << 18));
        } else {
            fake_clock_advance(&clock, check_random(&random) % 4 * FAKE_CLOCK_SECOND / 4);
        }
        if (step % 10000 == 0) {
            brisk_tier_destroy(tier);
            if (step % 20000 == 0) {
                disk_unlink(dir->path, "index");
            }
            tier = open_with(dir->path, &clock, 0, false);
        }
    }
    print_message("%llu hits\n", (unsigned long long)hits);
    CHECK_U64(hits, >, STEPS / 5);
    CHECK_U64(disk_stats(tier).corrupt + disk_stats(tier).errors, ==, 0);
    brisk_tier_destroy(tier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hot_entries_stay),
        cmocka_unit_test(test_reinsertion_is_bounded),
        cmocka_unit_test(test_expired_segments_go_whole),
        cmocka_unit_test(test_stream_of_short_lives),
        cmocka_unit_test(test_compaction),
        cmocka_unit_test(test_model),
    };
    disk_count_log(NULL);
    return cmocka_run_group_tests_name("disk_move", tests, disk_use_memory, NULL);
}
