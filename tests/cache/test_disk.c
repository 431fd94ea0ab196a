/*
 * test_disk.c -- what a disk tier promises as long as nothing goes wrong.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include "disk_test.h"
#include "support/fake_clock.h"
#include "support/fault_alloc.h"

static void test_put_get_remove(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = disk_open_small(temp_dir_path(dir, "a/b/cache"));
    CHECK(disk_misses(tier, "k"));
    CHECK_OK(disk_put_text(tier, "k", "one"));
    CHECK(disk_holds_text(tier, "k", "one"));
    CHECK_OK(disk_put_text(tier, "k", "two"));
    CHECK(disk_holds_text(tier, "k", "two"));
    CHECK(disk_misses(tier, "K"));
    CHECK_OK(disk_remove_key(tier, "k"));
    CHECK(disk_misses(tier, "k"));
    CHECK_OK(disk_remove_key(tier, "k"));
    CHECK_OK(disk_put_text(tier, "empty", ""));
    CHECK(disk_holds_text(tier, "empty", ""));
    brisk_tier_stats stats = disk_stats(tier);
    CHECK_U64(stats.hits, ==, 3);
    CHECK_U64(stats.misses, ==, 3);
    CHECK_U64(stats.puts, ==, 3);
    CHECK_U64(stats.removes, ==, 2);
    CHECK_U64(stats.entries, ==, 1);
    CHECK_U64(stats.corrupt + stats.errors + stats.rejects, ==, 0);
    brisk_tier_destroy(tier);
}

static void test_everything_comes_back(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    fake_clock clock;
    fake_clock_init(&clock, 0);
    brisk_disk_tier_opts opts = {.path = dir->path, .clock = &clock.base};
    brisk_tier *tier = disk_open_opts(&opts);
    unsigned char meta[BRISK_TIER_META_MAX];
    memset(meta, 0x5a, sizeof meta);
    uint64_t later = brisk_clock_wall_ns(&clock.base) + 100;
    brisk_entry_opts entry = {.flags = BRISK_ENTRY_LOCAL | BRISK_ENTRY_TAGGED,
                              .era = 54321,
                              .meta = meta,
                              .meta_size = sizeof meta,
                              .cost_ns = 12345,
                              .expires_at_ns = later};
    brisk_key key = brisk_key_of("key", 3);
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy("value", 5, NULL, &value));
    CHECK_OK(tier->ops->put(tier, &key, value, &entry));
    brisk_value_unref(value);
    for (int round = 0; round < 3; round++) {
        brisk_hit hit;
        CHECK_OK(tier->ops->get(tier, &key, &hit));
        CHECK_U64(brisk_value_size(hit.value), ==, 5);
        CHECK_U64(hit.flags, ==, BRISK_ENTRY_LOCAL | BRISK_ENTRY_TAGGED);
        CHECK_U64(hit.era, ==, 54321);
        CHECK_U64(hit.cost_ns, ==, 12345);
        CHECK_U64(hit.expires_at_ns, ==, later);
        CHECK_U64(hit.meta_size, ==, sizeof meta);
        CHECK(memcmp(hit.meta, meta, sizeof meta) == 0);
        CHECK(!hit.has_content);
        assert_string_equal(hit.tier_name, "disk");
        brisk_value_unref(hit.value);
        brisk_tier_destroy(tier);
        if (round == 1) {
            disk_unlink(dir->path, "index"); /* and from a rebuilt one */
        }
        tier = disk_open_opts(&opts);
    }
    fake_clock_advance(&clock, 99);
    CHECK(disk_holds_text(tier, "key", "value"));
    fake_clock_advance(&clock, 1);
    CHECK(disk_misses(tier, "key"));
    CHECK_U64(disk_stats(tier).expired, ==, 1);
    CHECK_U64(disk_stats(tier).entries, ==, 0);
    brisk_tier_destroy(tier);
}

/* Bytes that compress well (odd seeds) or not at all. */
static unsigned char *make_bytes(size_t size, uint64_t seed)
{
    unsigned char *data = malloc(size + 1);
    uint64_t random = seed;
    for (size_t i = 0; i < size; i++) {
        data[i] = seed % 2 != 0 ? (unsigned char)("brisk cache "[i % 12] + (char)(i / 4096 % 3))
                                : (unsigned char)check_random(&random);
    }
    return data;
}

static void test_all_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,      1,       63,      64,      65,     1000,
                                   3900,   3990,    4000,    4096,    8191,   65536,
                                   300000, 1048575, 1048576, 1048577, 5000000};
    static const int levels[] = {-1, 1, 3, 19};
    for (size_t l = 0; l < sizeof levels / sizeof levels[0]; l++) {
        BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
        brisk_disk_tier_opts opts = {.path = dir->path, .zstd_level = levels[l]};
        brisk_tier *tier = disk_open_opts(&opts);
        for (int pass = 0; pass < 2; pass++) {
            for (uint64_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
                char key[32];
                size_t size = sizes[i / 2];
                (void)snprintf(key, sizeof key, "%zu %d", size, (int)(i % 2));
                unsigned char *data = make_bytes(size, i);
                if (pass == 0) {
                    CHECK_OK(disk_put_bytes(tier, key, data, size));
                }
                CHECK(disk_holds(tier, key, data, size));
                free(data);
            }
            brisk_tier_destroy(tier);
            tier = disk_open_opts(&opts);
        }
        CHECK_U64(disk_stats(tier).entries, ==, 2 * sizeof sizes / sizeof sizes[0]);
        brisk_tier_destroy(tier);
    }
}

static void test_compression_is_counted(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = disk_open_small(dir->path);
    unsigned char *data = make_bytes(10000, 1);
    CHECK_OK(disk_put_bytes(tier, "a", data, 10000));
    brisk_tier_stats stats = disk_stats(tier);
    CHECK_U64(stats.raw_bytes, ==, 10000);
    CHECK_U64(stats.stored_bytes, <, 1000);
    CHECK_U64(stats.bytes, <, 2000);
    free(data);
    brisk_tier_destroy(tier);
}

static void test_long_keys(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = disk_open_opts(&(brisk_disk_tier_opts){.path = dir->path});
    char *key = malloc(BRISK_KEY_BYTES_MAX);
    memset(key, 'k', BRISK_KEY_BYTES_MAX);
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy("v", 1, NULL, &value));
    for (size_t size = 1; size <= BRISK_KEY_BYTES_MAX; size *= 4) {
        brisk_key k = brisk_key_of(key, size);
        CHECK_OK(tier->ops->put(tier, &k, value, NULL));
    }
    for (size_t size = 1; size <= BRISK_KEY_BYTES_MAX; size *= 4) {
        brisk_hit hit;
        brisk_key k = brisk_key_of(key, size);
        CHECK_OK(tier->ops->get(tier, &k, &hit));
        brisk_value_unref(hit.value);
    }
    brisk_value_unref(value);
    free(key);
    brisk_tier_destroy(tier);
}

static size_t count_files(temp_dir *dir)
{
    const char *files = temp_dir_path(dir, "00000001.files");
    return access(files, F_OK) == 0 ? temp_count(files) : 0;
}

static void test_large_values_are_files(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = disk_open_opts(&(brisk_disk_tier_opts){.path = dir->path});
    size_t size = (2 << 20) + 7;
    unsigned char *data = make_bytes(size, 2);
    CHECK_OK(disk_put_bytes(tier, "big", data, size));
    brisk_hit hit;
    CHECK_OK(disk_get_key(tier, "big", &hit));
    CHECK(brisk_value_fd(hit.value) >= 0);
    CHECK(hit.has_content);
    brisk_hash128 content = brisk_hash128_of(data, size, 0);
    CHECK_U64(hit.content.lo, ==, content.lo);
    CHECK_U64(hit.content.hi, ==, content.hi);
    CHECK_U64(count_files(dir), ==, 1);

    /* A file as a value: cloned; and the one that was handed out stays what it was. */
    brisk_value *file = hit.value;
    brisk_key key = brisk_key_of("copy", 4);
    CHECK_OK(tier->ops->put(tier, &key, file, NULL));
    CHECK(disk_holds(tier, "copy", data, size));
    CHECK_U64(count_files(dir), ==, 2);
    CHECK_U64(disk_stats(tier).bytes, >=, 2 * size);
    CHECK_OK(disk_put_text(tier, "big", "small"));
    CHECK_OK(disk_remove_key(tier, "copy"));
    CHECK_U64(count_files(dir), ==, 0);
    CHECK_U64(disk_stats(tier).bytes, <, 1000);
    unsigned char *copy = malloc(size);
    CHECK(pread(brisk_value_fd(file), copy, size, 0) == (ssize_t)size);
    CHECK(memcmp(copy, data, size) == 0);
    brisk_value_unref(file);
    free(copy);

    /* A small file goes into a segment. */
    int fd = memfd_create("small", 0);
    CHECK(write(fd, "0123456789", 10) == 10);
    CHECK_OK(brisk_value_from_fd(fd, 10, NULL, &file));
    key = brisk_key_of("small file", 10);
    CHECK_OK(tier->ops->put(tier, &key, file, NULL));
    brisk_value_unref(file);
    CHECK(disk_holds_text(tier, "small file", "0123456789"));
    CHECK_U64(count_files(dir), ==, 0);
    free(data);
    brisk_tier_destroy(tier);
}

static void test_bound_holds(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    uint64_t random = check_seed();
    enum { MAX = 1 << 20 };
    brisk_disk_tier_opts opts = {
        .path = dir->path, .bytes_max = MAX, .segment_bytes = 1 << 16, .zstd_level = -1};
    brisk_tier *tier = disk_open_opts(&opts);
    for (int i = 0; i < 4000; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i);
        size_t size =
            i % 50 == 0 ? 100000 + check_random(&random) % 300000 : check_random(&random) % 3000;
        unsigned char *data = make_bytes(size, (uint64_t)i);
        CHECK_OK(disk_put_bytes(tier, key, data, size));
        CHECK(disk_holds(tier, key, data, size));
        CHECK_U64(disk_stats(tier).bytes, <=, MAX);
        free(data);
    }
    brisk_tier_stats stats = disk_stats(tier);
    CHECK_U64(stats.evictions, >, 1000);
    CHECK_U64(stats.bytes, >, MAX / 2);
    CHECK_U64(stats.rejects, ==, 0);
    CHECK(disk_misses(tier, "0"));
    /* Larger than the bound: declined, and the old value is gone. */
    CHECK_OK(disk_put_text(tier, "huge", "old"));
    unsigned char *data = make_bytes(MAX, 2);
    CHECK(disk_put_bytes(tier, "huge", data, MAX) == BRISK_ERR_DECLINED);
    CHECK(disk_misses(tier, "huge"));
    CHECK_U64(disk_stats(tier).rejects, ==, 1);
    free(data);
    brisk_tier_destroy(tier);
}

static void test_clear(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *one = disk_open_small(dir->path);
    brisk_tier *two = disk_open_small(dir->path);
    size_t size = 2 << 20;
    unsigned char *data = make_bytes(size, 2);
    for (int i = 0; i < 200; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i);
        CHECK_OK(disk_put_text(i % 2 != 0 ? one : two, key, key));
    }
    CHECK_OK(disk_put_bytes(two, "big", data, size));
    free(data);
    CHECK(disk_holds_text(two, "1", "1"));
    CHECK_OK(one->ops->clear(one));
    CHECK_U64(disk_stats(one).entries, ==, 0);
    CHECK_U64(disk_stats(two).bytes, ==, 0);
    CHECK(disk_misses(two, "1") && disk_misses(two, "0") && disk_misses(two, "big"));
    CHECK_OK(disk_put_text(two, "1", "again"));
    CHECK(disk_holds_text(one, "1", "again"));
    brisk_tier_destroy(one);
    brisk_tier_destroy(two);
    CHECK_U64(temp_count(dir->path), ==, 3); /* state, index, one segment */
}

static void test_two_share_a_folder(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *one = disk_open_small(dir->path);
    brisk_tier *two = disk_open_small(dir->path);
    CHECK_OK(disk_put_text(one, "k", "1"));
    CHECK(disk_holds_text(two, "k", "1"));
    CHECK_OK(disk_put_text(two, "k", "2"));
    CHECK(disk_holds_text(one, "k", "2"));
    CHECK_OK(disk_remove_key(one, "k"));
    CHECK(disk_misses(two, "k"));
    CHECK_OK(disk_put_text(two, "k", "3"));
    brisk_tier_destroy(two);
    CHECK(disk_holds_text(one, "k", "3"));
    brisk_tier_destroy(one);
    one = disk_open_small(dir->path);
    CHECK(disk_holds_text(one, "k", "3"));
    brisk_tier_destroy(one);
}

/* Many short lives must not leave many segments. */
static void test_segments_are_adopted(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    for (int i = 0; i < 100; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i);
        brisk_tier *tier = disk_open_small(dir->path);
        CHECK_OK(disk_put_text(tier, key, key));
        brisk_tier_destroy(tier);
    }
    CHECK_U64(temp_count(dir->path), ==, 3);
    brisk_tier *tier = disk_open_small(dir->path);
    CHECK_U64(disk_stats(tier).entries, ==, 100);
    CHECK(disk_holds_text(tier, "0", "0") && disk_holds_text(tier, "99", "99"));
    brisk_tier_destroy(tier);
}

static void test_folders_that_cannot_be(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = NULL;
    brisk_errinfo info = {0};
    const char *file = temp_dir_path(dir, "file");
    temp_write_text(file, "not a folder");
    char below[512];
    disk_join(below, file, "cache");
    static const char *const none[] = {NULL, ""};
    for (int i = 0; i < 2; i++) {
        brisk_disk_tier_opts opts = {.path = none[i]};
        CHECK(brisk_disk_tier_open(&opts, &tier, &info) == BRISK_ERR_INVALID);
    }
    brisk_disk_tier_opts opts = {.path = dir->path, .bytes_max = 16383};
    CHECK(brisk_disk_tier_open(&opts, &tier, &info) == BRISK_ERR_INVALID);
    opts = (brisk_disk_tier_opts){.path = file};
    CHECK(brisk_disk_tier_open(&opts, &tier, &info) != BRISK_OK);
    CHECK(strstr(info.text, file) != NULL);
    opts.path = below;
    CHECK(brisk_disk_tier_open(&opts, &tier, &info) != BRISK_OK);
    opts.path = "/proc/brisk/cache";
    CHECK(brisk_disk_tier_open(&opts, &tier, &info) != BRISK_OK);
    const char *odd = temp_dir_path(dir, "odd");
    CHECK(mkdir(odd, 0700) == 0);
    disk_join(below, odd, "state");
    CHECK(mkfifo(below, 0600) == 0);
    opts.path = odd;
    CHECK(brisk_disk_tier_open(&opts, &tier, &info) == BRISK_ERR_INVALID);
    CHECK(unlink(below) == 0 && mkdir(below, 0700) == 0);
    CHECK(brisk_disk_tier_open(&opts, &tier, &info) != BRISK_OK);
    CHECK(rmdir(below) == 0);
    disk_join(below, odd, "index");
    CHECK(mkdir(below, 0700) == 0);
    CHECK(brisk_disk_tier_open(&opts, &tier, &info) != BRISK_OK);
    CHECK(tier == NULL);
}

static void test_read_only_folder(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "cache");
    brisk_tier_destroy(disk_open_small(path));
    if (geteuid() == 0) {
        /* The superuser may write anywhere: become somebody else in a child. */
        CHECK(chmod(dir->path, 0755) == 0 && chmod(path, 0755) == 0);
        pid_t child = fork();
        if (child == 0) {
            brisk_tier *tier = NULL;
            brisk_errinfo info = {0};
            bool done = setgid(65534) == 0 && setuid(65534) == 0;
            done = done && brisk_disk_tier_open(&(brisk_disk_tier_opts){.path = path}, &tier,
                                                &info) == BRISK_ERR_PERMISSION;
            _exit(done && strstr(info.text, path) != NULL ? 0 : 1);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        return;
    }
    CHECK(chmod(path, 0500) == 0);
    brisk_tier *tier = NULL;
    brisk_errinfo info = {0};
    char file[512];
    disk_join(file, path, "state");
    CHECK(chmod(file, 0400) == 0);
    CHECK(brisk_disk_tier_open(&(brisk_disk_tier_opts){.path = path}, &tier, &info) ==
          BRISK_ERR_PERMISSION);
    CHECK(chmod(path, 0700) == 0);
}

/* The folder goes while it is in use: no error, and nothing old once somebody else begins anew. */
static void test_folder_is_removed(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    disk_count_log(NULL);
    const char *path = temp_dir_path(dir, "cache");
    brisk_tier *old = disk_open_small(path);
    CHECK_OK(disk_put_text(old, "k", "old"));
    CHECK(nftw(path, temp_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
    brisk_tier *new = disk_open_small(path);
    CHECK(disk_misses(new, "k"));
    CHECK(disk_put_text(old, "k", "older") == BRISK_ERR_DECLINED);
    CHECK(disk_misses(old, "k"));
    CHECK_OK(disk_remove_key(old, "k"));
    CHECK_OK(disk_put_text(new, "k", "new"));
    CHECK(disk_misses(old, "k"));
    CHECK(disk_holds_text(new, "k", "new"));
    brisk_tier_destroy(old);
    CHECK(disk_holds_text(new, "k", "new"));
    brisk_tier_destroy(new);
    brisk_log_set_sink(NULL, NULL, NULL);
}

/* A forked child's copy of a tier does nothing, and harms nothing. */
static void test_fork(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = disk_open_small(dir->path);
    CHECK_OK(disk_put_text(tier, "k", "parent"));
    pid_t child = fork();
    if (child == 0) {
        bool quiet = disk_misses(tier, "k") &&
                     disk_put_text(tier, "k", "child") == BRISK_ERR_DECLINED &&
                     disk_remove_key(tier, "k") == BRISK_OK && tier->ops->clear(tier) == BRISK_OK;
        brisk_tier_destroy(tier);
        brisk_tier *own = disk_open_small(dir->path);
        quiet = quiet && disk_holds_text(own, "k", "parent") &&
                disk_put_text(own, "c", "child") == BRISK_OK;
        brisk_tier_destroy(own);
        _exit(quiet ? 0 : 1);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(disk_holds_text(tier, "k", "parent") && disk_holds_text(tier, "c", "child"));
    CHECK_OK(disk_put_text(tier, "k", "still"));
    CHECK(disk_holds_text(tier, "k", "still"));
    brisk_tier_destroy(tier);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    uint64_t failed = 0;
    for (uint64_t fail_after = 0;; fail_after++) {
        BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
        brisk_tier *seeded = disk_open_small(dir->path);
        CHECK_OK(disk_put_text(seeded, "k", "old"));
        brisk_tier_destroy(seeded);
        disk_unlink(dir->path, "index"); /* so that opening rebuilds */
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_tier *tier = NULL;
        brisk_errinfo info = {0};
        brisk_disk_tier_opts opts = {
            .path = dir->path, .bytes_max = 64 << 20, .alloc = &fault.base};
        brisk_err err = brisk_disk_tier_open(&opts, &tier, &info);
        CHECK((tier != NULL) == (err == BRISK_OK));
        CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
        if (tier != NULL) {
            CHECK(disk_holds_text(tier, "k", "old") || disk_misses(tier, "k") ||
                  disk_holds_text(tier, "k", "old"));
            unsigned char *data = make_bytes(20000, 1);
            err = disk_put_bytes(tier, "k", data, 20000);
            CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
            bool hit = disk_holds(tier, "k", data, 20000);
            CHECK(hit || fault.fail_after > UINT64_MAX / 2); /* it failed meanwhile */
            CHECK(!disk_holds_text(tier, "k", "old"));
            free(data);
            brisk_tier_destroy(tier);
        }
        CHECK_U64(fault.bytes_held, ==, 0);
        if (fault.fail_after < UINT64_MAX / 2) {
            break; /* it had more than it asked for */
        }
        failed++;
    }
    CHECK_U64(failed, >, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_get_remove),
        cmocka_unit_test(test_everything_comes_back),
        cmocka_unit_test(test_all_sizes),
        cmocka_unit_test(test_compression_is_counted),
        cmocka_unit_test(test_long_keys),
        cmocka_unit_test(test_large_values_are_files),
        cmocka_unit_test(test_bound_holds),
        cmocka_unit_test(test_clear),
        cmocka_unit_test(test_two_share_a_folder),
        cmocka_unit_test(test_segments_are_adopted),
        cmocka_unit_test(test_folders_that_cannot_be),
        cmocka_unit_test(test_read_only_folder),
        cmocka_unit_test(test_folder_is_removed),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
