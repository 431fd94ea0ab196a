/*
 * test_shelf.c -- dictionaries on disk: kept, found again in their order, bounded; what is damaged, odd or somebody
 * else's is never given; memory that runs out.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/encode/shelf.h"
#include "support/check.h"
#include "support/fault_alloc.h"
#include "support/temp_dir.h"

enum { SIZE = 1000 };

static char base[256];

typedef struct seen {
    char firsts[64]; /* the first byte of each, in order */
    uint32_t count;
} seen;

static void note(void *ctx, brisk_value *value)
{
    seen *s = ctx;
    CHECK(s->count < sizeof s->firsts);
    CHECK_U64(brisk_value_size(value), ==, SIZE);
    s->firsts[s->count++] = *(const char *)brisk_value_data(value);
    s->firsts[s->count] = '\0';
}

/* SIZE bytes that begin with `first`, put; their hash in `hash`. */
static void put(const shelf *self, char first, uint8_t hash[ENCODE_HASH_BYTES])
{
    char bytes[SIZE];
    brisk_value *value;
    encode_dictionary *one;
    memset(bytes, first, sizeof bytes);
    CHECK_OK(brisk_value_copy(bytes, sizeof bytes, NULL, &value));
    CHECK_OK(encode_dictionary_create(value, brisk_alloc_libc(), &one));
    memcpy(hash, encode_dictionary_hash(one), ENCODE_HASH_BYTES);
    shelf_put(self, hash, encode_dictionary_bytes(one));
    encode_dictionary_unref(one);
    brisk_value_unref(value);
}

static void path_of(const shelf *self, const uint8_t *hash, char path[SHELF_PATH_MAX + 80])
{
    int at = snprintf(path, SHELF_PATH_MAX + 80, "%s/", self->folder);
    for (int i = 0; i < ENCODE_HASH_BYTES; i++) {
        at += snprintf(path + at, 3, "%02x", hash[i]);
    }
}

/* Some seconds after the others of the test, so that no clock decides the order. */
static void set_time(const shelf *self, const uint8_t *hash, long seconds)
{
    char path[SHELF_PATH_MAX + 80];
    struct timespec times[2] = {{.tv_sec = 1000000 + seconds}, {.tv_sec = 1000000 + seconds}};
    path_of(self, hash, path);
    CHECK(utimensat(AT_FDCWD, path, times, 0) == 0);
}

static const char *load(const shelf *self, uint32_t count_max, uint64_t bytes_max)
{
    static seen s;
    s = (seen){.count = 0};
    shelf_load(self, count_max, bytes_max, note, &s);
    return s.firsts;
}

static void begin(shelf *self, const char *name)
{
    char folder[512];
    (void)snprintf(folder, sizeof folder, "%s/%s/in/it", base, name);
    shelf_init(self, folder, brisk_alloc_libc());
}

static void test_kept_in_order_and_bounded(void **state)
{
    (void)state;
    shelf self;
    uint8_t hashes[5][ENCODE_HASH_BYTES];
    struct stat st;
    begin(&self, "order");
    assert_string_equal(load(&self, 64, 1 << 20), "");
    CHECK(stat(self.folder, &st) != 0); /* nothing is made before something is kept */
    for (int i = 0; i < 5; i++) {
        put(&self, (char)('a' + i), hashes[i]);
        set_time(&self, hashes[i], i);
    }
    CHECK(stat(self.folder, &st) == 0 && (st.st_mode & 0777) == 0700);
    assert_string_equal(load(&self, 64, 1 << 20), "abcde");
    put(&self, 'b', hashes[1]); /* offered again: the newest */
    assert_string_equal(load(&self, 64, 1 << 20), "acdeb");
    shelf_drop(&self, hashes[3]);
    shelf_drop(&self, hashes[3]);
    assert_string_equal(load(&self, 64, 1 << 20), "aceb");
    assert_string_equal(load(&self, 3, 1 << 20), "ceb"); /* the others are removed */
    assert_string_equal(load(&self, 64, 1 << 20), "ceb");
    assert_string_equal(load(&self, 64, 2 * SIZE + 1), "eb");
    assert_string_equal(load(&self, 64, SIZE - 1), "");
    assert_string_equal(load(&self, 64, 1 << 20), "");
}

static void write_text(const char *path, const char *text, int flags)
{
    int fd = open(path, O_WRONLY | O_CREAT | flags, 0600);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
}

static void test_what_is_damaged_or_odd(void **state)
{
    (void)state;
    shelf self;
    uint8_t hashes[5][ENCODE_HASH_BYTES];
    char path[SHELF_PATH_MAX + 80];
    char other[SHELF_PATH_MAX + 80];
    begin(&self, "odd");
    for (int i = 0; i < 5; i++) {
        put(&self, (char)('a' + i), hashes[i]);
        set_time(&self, hashes[i], i);
    }
    path_of(&self, hashes[0], path);
    write_text(path, "!", 0); /* one byte of it */
    path_of(&self, hashes[1], path);
    CHECK(truncate(path, SIZE / 2) == 0);
    path_of(&self, hashes[2], path);
    CHECK(truncate(path, 0) == 0);
    path_of(&self, hashes[3], path);
    CHECK(unlink(path) == 0 && mkfifo(path, 0600) == 0); /* opening it must not wait */
    (void)snprintf(other, sizeof other, "%s/README", self.folder);
    write_text(other, "no hash", 0);
    assert_string_equal(load(&self, 64, 1 << 20), "e");
    CHECK(access(other, F_OK) == 0);
    for (int i = 0; i < 4; i++) {
        path_of(&self, hashes[i], path);
        CHECK(access(path, F_OK) != 0);
    }
    path_of(&self, hashes[4], path);
    (void)snprintf(other, sizeof other, "%s/moved", self.folder);
    CHECK(rename(path, other) == 0 && symlink(other, path) == 0); /* a link is no file of ours */
    assert_string_equal(load(&self, 64, 1 << 20), "");
    CHECK(access(other, F_OK) == 0);
}

static void test_a_folder_of_others_is_not_used(void **state)
{
    (void)state;
    shelf self;
    uint8_t hash[ENCODE_HASH_BYTES];
    char path[SHELF_PATH_MAX + 80];
    begin(&self, "others");
    put(&self, 'a', hash);
    CHECK(chmod(self.folder, 0777) == 0);
    assert_string_equal(load(&self, 64, 1 << 20), "");
    put(&self, 'b', hash);
    path_of(&self, hash, path);
    CHECK(access(path, F_OK) != 0);
    shelf_init(&self, "off", brisk_alloc_libc());
    put(&self, 'c', hash);
    assert_string_equal(load(&self, 64, 1 << 20), "");
    CHECK(setenv("STATE_DIRECTORY", "/a:/b", 1) == 0 && setenv("XDG_STATE_HOME", base, 1) == 0);
    shelf_init(&self, "", brisk_alloc_libc());
    (void)snprintf(path, sizeof path, "%s/brisk/dictionaries", base);
    assert_string_equal(self.folder, path);
    CHECK(setenv("STATE_DIRECTORY", "/a", 1) == 0);
    shelf_init(&self, "", brisk_alloc_libc());
    assert_string_equal(self.folder, "/a/dictionaries");
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    shelf self;
    uint8_t hash[ENCODE_HASH_BYTES];
    begin(&self, "memory");
    put(&self, 'a', hash);
    for (uint64_t fail_after = 0; fail_after < 16; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        shelf failing = self;
        failing.alloc = &fault.base;
        const char *found = load(&failing, 64, 1 << 20);
        CHECK(strcmp(found, fail_after < 2 ? "" : "a") == 0);
        put(&failing, 'b', hash);
        shelf_drop(&self, hash);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_in_order_and_bounded),
        cmocka_unit_test(test_what_is_damaged_or_odd),
        cmocka_unit_test(test_a_folder_of_others_is_not_used),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    (void)snprintf(base, sizeof base, "%s", dir->path);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
