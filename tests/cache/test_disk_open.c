/*
 * test_disk_open.c -- folders that many processes open and close, and folders with odd content.
 */
#include "disk_test.h"
#include "support/child.h"

enum { OPENERS = 3, OPENINGS = 300 };

/* Opens and closes one folder over and over; every third time with something to sync. */
static int open_and_close(void *ctx)
{
    const char *path = ctx;
    brisk_disk_tier_opts opts = {.path = path, .bytes_max = 1 << 20};
    for (int i = 0; i < OPENINGS; i++) {
        brisk_tier *tier = NULL;
        brisk_errinfo info = {0};
        if (brisk_disk_tier_open(&opts, &tier, &info) != BRISK_OK) {
            (void)fprintf(stderr, "opening %d: %s\n", i, info.text);
            return 1;
        }
        if (i % 3 == 0) {
            brisk_key key = brisk_key_of(&i, sizeof i);
            brisk_value *value = NULL;
            if (brisk_value_copy("value", 5, NULL, &value) != BRISK_OK ||
                tier->ops->put(tier, &key, value, NULL) != BRISK_OK ||
                tier->ops->remove(tier, &key) != BRISK_OK) {
                return 2;
            }
            brisk_value_unref(value);
        }
        brisk_tier_destroy(tier);
    }
    return 0;
}

static void test_many_open_and_close(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    pid_t children[OPENERS];
    for (int i = 0; i < OPENERS; i++) {
        children[i] = child_start(open_and_close, dir->path);
    }
    for (int i = 0; i < OPENERS; i++) {
        CHECK(child_wait(children[i]) == 0);
    }
}

/* --- folders with files that are not ours -------------------------------------------------------- */

static brisk_err try_open(const char *path, brisk_errinfo *info)
{
    brisk_tier *tier = NULL;
    *info = (brisk_errinfo){0};
    brisk_err err = brisk_disk_tier_open(
        &(brisk_disk_tier_opts){.path = path, .bytes_max = 1 << 20}, &tier, info);
    brisk_tier_destroy(tier);
    return err;
}

/* Who can write into the folder decides what we answer: it must be ours alone. */
static void test_folder_of_others_is_refused(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "cache");
    CHECK(mkdir(path, 0700) == 0);
    brisk_errinfo info;
    CHECK(chmod(path, 01777) == 0);
    CHECK(try_open(path, &info) == BRISK_ERR_PERMISSION && strstr(info.text, path) != NULL);
    CHECK_U64(temp_count(path), ==, 0);
    CHECK(chmod(path, 0755) == 0);
    CHECK_OK(try_open(path, &info));
    if (geteuid() == 0) { /* only root can give a folder away */
        CHECK(chown(path, 1, (gid_t)-1) == 0);
        CHECK(try_open(path, &info) == BRISK_ERR_PERMISSION && strstr(info.text, path) != NULL);
    }
}

/* A user's own files under our names stay as they are, and the message says which they are. */
static void test_foreign_files_stay(void **state)
{
    (void)state;
    static const char *const names[] = {"state", "index", "index.tmp", "00000001.seg"};
    static const char text[] = "a file that somebody needs, longer than any head that we look at "
                               "......................................................";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
        const char *file = temp_dir_path(dir, names[i]);
        temp_write_text(file, text);
        brisk_errinfo info;
        CHECK(try_open(dir->path, &info) == BRISK_ERR_CONFLICT);
        CHECK(strstr(info.text, file) != NULL);
        size_t size;
        unsigned char *now = disk_slurp(file, &size);
        CHECK(size == strlen(text) && memcmp(now, text, size) == 0);
        free(now);
        CHECK(i == 0 || !disk_exists(dir->path, "state"));
        CHECK(!disk_exists(dir->path, "index") || i == 1);
    }
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *folder = temp_dir_path(dir, "0000000a.files");
    const char *file = temp_dir_path(dir, "0000000a.files/1");
    CHECK(mkdir(folder, 0700) == 0);
    temp_write_text(file, text);
    brisk_errinfo info;
    CHECK(try_open(dir->path, &info) == BRISK_ERR_CONFLICT && strstr(info.text, folder) != NULL);
    CHECK(access(file, F_OK) == 0);
}

/* One file of ours, and what else has our names is damage: replaced. */
static void test_own_files_are_replaced(void **state)
{
    (void)state;
    static const char *const names[] = {"state", "index", "00000001.seg"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
        disk_count_log(NULL);
        brisk_tier *tier = disk_open_small(dir->path);
        CHECK_OK(disk_put_text(tier, "k", "v"));
        brisk_tier_destroy(tier);
        temp_write_text(temp_dir_path(dir, names[i]), "damaged beyond recognition");
        if (i == 2) {
            disk_unlink(dir->path, "index");
        }
        tier = disk_open_small(dir->path);
        CHECK(i == 1 ? disk_holds_text(tier, "k", "v") : disk_misses(tier, "k"));
        CHECK_OK(disk_put_text(tier, "k", "new"));
        brisk_tier_destroy(tier);
        brisk_log_set_sink(NULL, NULL, NULL);
    }
}

/* What cannot be replaced is named, with what to do. */
static void test_odd_files_are_named(void **state)
{
    (void)state;
    static const char *const names[] = {"state", "index", "index.tmp"};
    for (size_t i = 0; i < 2 * sizeof names / sizeof names[0]; i++) {
        BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
        const char *path = temp_dir_path(dir, "cache");
        char file[512];
        disk_join(file, path, names[i / 2]);
        brisk_tier_destroy(disk_open_small(path));
        (void)unlink(file);
        CHECK((i % 2 == 0 ? mkdir(file, 0700) : symlink(temp_dir_path(dir, "other"), file)) == 0);
        brisk_errinfo info;
        CHECK(try_open(path, &info) == BRISK_ERR_INVALID);
        CHECK(strstr(info.text, file) != NULL && strstr(info.text, "remove it") != NULL);
        CHECK(!disk_exists(dir->path, "other"));
        CHECK(remove(file) == 0);
        CHECK_OK(try_open(path, &info));
    }
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    disk_count_log(NULL);
    brisk_tier_destroy(disk_open_small(dir->path));
    disk_unlink(dir->path, "index");
    CHECK(mkdir(temp_dir_path(dir, "00000001.seg"), 0700) == 0);
    brisk_tier *tier = disk_open_small(dir->path);
    CHECK_OK(disk_put_text(tier, "k", "v"));
    CHECK(disk_holds_text(tier, "k", "v"));
    brisk_tier_destroy(tier);
    brisk_log_set_sink(NULL, NULL, NULL);
}

/* --- small bounds -------------------------------------------------------------------------------- */

static uint64_t bytes_in(const char *path)
{
    uint64_t sum = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (const struct dirent *file; (file = readdir(dir)) != NULL;) {
        struct stat st;
        if (fstatat(dirfd(dir), file->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode)) {
            sum += (uint64_t)st.st_size;
        }
    }
    (void)closedir(dir);
    return sum;
}

/* The index counts, and leaves most of the bound to entries. */
static void test_bound_counts_the_index(void **state)
{
    (void)state;
    static const uint64_t bounds[] = {64 << 10, 512 << 10, 1 << 20, 32 << 20};
    unsigned char data[3000];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (unsigned char)(i * 2654435761u >> 13);
    }
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
        brisk_tier *tier = disk_open_opts(
            &(brisk_disk_tier_opts){.path = dir->path, .bytes_max = bounds[i], .zstd_level = -1});
        char key[16] = "";
        for (uint32_t n = 0; n < 2 * bounds[i] / sizeof data; n++) {
            (void)snprintf(key, sizeof key, "%u", n);
            CHECK_OK(disk_put_bytes(tier, key, data, sizeof data));
            CHECK(disk_holds(tier, key, data, sizeof data));
            if (n % 64 == 0) {
                CHECK_U64(disk_stats(tier).bytes, <=, bounds[i]);
                CHECK_U64(bytes_in(dir->path), <=, bounds[i] + sizeof(disk_state));
            }
        }
        CHECK_U64(disk_stats(tier).entries * sizeof data, >, bounds[i] / 3);
        struct stat st;
        CHECK(stat(temp_dir_path(dir, "index"), &st) == 0);
        CHECK_U64((uint64_t)st.st_size, <=, bounds[i] / (i == 0 ? 4 : 8));
        brisk_tier_destroy(tier);
    }
}

/* With another bound the index is made anew, and what there is room for comes along. */
static void test_bound_changes(void **state)
{
    (void)state;
    static const uint64_t bounds[] = {64 << 20, 1 << 20, 64 << 20};
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        brisk_tier *tier =
            disk_open_opts(&(brisk_disk_tier_opts){.path = dir->path, .bytes_max = bounds[i]});
        CHECK(i == 0 ? disk_misses(tier, "k") : disk_holds_text(tier, "k", "v"));
        CHECK_OK(disk_put_text(tier, "k", "v"));
        CHECK_U64(disk_stats(tier).bytes, <=, bounds[i]);
        brisk_tier_destroy(tier);
    }
}

/* --- keys that share bucket and tag ----------------------------------------------------------------- */

/* Two keys of one bucket and tag, with records longer than one read, live side by side. */
static void test_long_records_with_one_tag(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = disk_open_opts(
        &(brisk_disk_tier_opts){.path = dir->path, .bytes_max = 64 << 10, .zstd_level = -1});
    const disk_tier *disk = (const disk_tier *)tier;
    brisk_key first = brisk_key_of("first", 5);
    disk_ways ways = disk_ways_of(disk, &first);
    char name[32];
    for (uint64_t n = 0;; n++) {
        (void)snprintf(name, sizeof name, "%llu", (unsigned long long)n);
        brisk_key key = brisk_key_of(name, strlen(name));
        disk_ways other = disk_ways_of(disk, &key);
        if (other.tag == ways.tag &&
            (other.bucket[0] == ways.bucket[0] || other.bucket[1] == ways.bucket[0])) {
            break;
        }
    }
    unsigned char one[4096];
    unsigned char two[4096];
    memset(one, 1, sizeof one);
    memset(two, 2, sizeof two);
    CHECK_OK(disk_put_bytes(tier, "first", one, sizeof one));
    CHECK_OK(disk_put_bytes(tier, name, two, sizeof two));
    CHECK(disk_holds(tier, "first", one, sizeof one));
    CHECK(disk_holds(tier, name, two, sizeof two));
    CHECK_OK(disk_put_bytes(tier, "first", two, sizeof two));
    CHECK(disk_holds(tier, "first", two, sizeof two));
    CHECK_OK(disk_remove_key(tier, "first"));
    CHECK(disk_misses(tier, "first") && disk_holds(tier, name, two, sizeof two));
    CHECK_U64(disk_stats(tier).entries, ==, 1);
    brisk_tier_destroy(tier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_open_and_close),
        cmocka_unit_test(test_folder_of_others_is_refused),
        cmocka_unit_test(test_foreign_files_stay),
        cmocka_unit_test(test_own_files_are_replaced),
        cmocka_unit_test(test_odd_files_are_named),
        cmocka_unit_test(test_bound_counts_the_index),
        cmocka_unit_test(test_bound_changes),
        cmocka_unit_test(test_long_records_with_one_tag),
    };
    return cmocka_run_group_tests_name("disk open", tests, disk_use_memory, NULL);
}
