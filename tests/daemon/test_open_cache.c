/*
 * test_open_cache.c -- what is kept of files: kinds, changes, bounds, links that lead out, memory that
 * runs out, many threads.
 */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/files/open_cache.h"
#include "support/check.h"
#include "support/fault_alloc.h"

enum { SMALL = 1000, THREADS = 4, ROUNDS = 3000 };

static char root[64];
static file_place place;

static void put(const char *name, const char *text, size_t size)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0);
    CHECK(write(fd, text, size) == (ssize_t)size);
    CHECK(close(fd) == 0);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof root, "/tmp/brisk-open-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    char path[256];
    (void)snprintf(path, sizeof path, "%s/folder", root);
    CHECK(mkdir(path, 0755) == 0);
    (void)snprintf(path, sizeof path, "%s/out", root);
    CHECK(symlink("../../../etc/passwd", path) == 0);
    (void)snprintf(path, sizeof path, "%s/in", root);
    CHECK(symlink("small", path) == 0);
    (void)snprintf(path, sizeof path, "%s/fifo", root);
    CHECK(mkfifo(path, 0644) == 0);
    static char large[SMALL * 3];
    memset(large, 'l', sizeof large);
    put("small", "small", 5);
    put("large", large, sizeof large);
    place = (file_place){.root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), .links = true};
    return place.root_fd >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    (void)close(place.root_fd);
    (void)snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static open_cache *make(const brisk_alloc *alloc, uint32_t entries, uint32_t descriptors,
                        uint64_t memory)
{
    open_cache *cache = NULL;
    open_cache_opts opts = {.alloc = alloc,
                            .clock = brisk_clock_system(),
                            .entries_max = entries,
                            .descriptors_max = descriptors,
                            .memory_max = memory,
                            .small_max = SMALL};
    return open_cache_create(&opts, &cache) == BRISK_OK ? cache : NULL;
}

static file_entry *find(open_cache *cache, const char *path)
{
    file_entry *entry = NULL;
    CHECK(open_cache_find(cache, &place, path, true, &entry) == FILE_FOUND);
    return entry;
}

static void expect_kind(open_cache *cache, const char *path, file_kind kind)
{
    file_entry *entry = find(cache, path);
    if (entry->kind != kind) {
        fail_msg("%s: %d, not %d", path, (int)entry->kind, (int)kind);
    }
    file_entry_unref(entry);
}

static void test_kinds(void **state)
{
    (void)state;
    open_cache *cache = make(brisk_alloc_libc(), 1000, 100, 1 << 20);
    expect_kind(cache, "small", FILE_REGULAR);
    expect_kind(cache, "large", FILE_REGULAR);
    expect_kind(cache, "", FILE_FOLDER);
    expect_kind(cache, "folder", FILE_FOLDER);
    expect_kind(cache, "none", FILE_MISSING);
    expect_kind(cache, "small/none", FILE_MISSING);
    expect_kind(cache, "out", FILE_MISSING);
    expect_kind(cache, "../out", FILE_MISSING);
    expect_kind(cache, "/etc/passwd", FILE_MISSING);
    expect_kind(cache, "fifo", FILE_SPECIAL);
    expect_kind(cache, "in", FILE_REGULAR);
    place.links = false;
    expect_kind(cache, "in", FILE_MISSING);
    place.links = true;
    file_entry *small = find(cache, "small");
    file_entry *large = find(cache, "large");
    CHECK(small->value != NULL && small->fd < 0 && small->size == 5);
    CHECK(large->value == NULL && large->fd >= 0 && large->size == (uint64_t)SMALL * 3);
    CHECK(strlen(small->tag) == 32 && strcmp(small->tag, large->tag) != 0);
    file_entry_unref(small);
    file_entry_unref(large);
    open_cache_destroy(cache);
}

static void test_fresh_ones_are_not_looked_at(void **state)
{
    (void)state;
    open_cache *cache = make(brisk_alloc_libc(), 1000, 100, 1 << 20);
    put("changes", "one", 3);
    place.fresh_ns = UINT64_C(3600000000000);
    file_entry *first = find(cache, "changes");
    put("changes", "two", 3);
    file_entry *same = find(cache, "changes");
    CHECK(first == same);
    place.fresh_ns = 0;
    file_entry *second = find(cache, "changes");
    CHECK(second != first && strcmp(second->tag, first->tag) != 0);
    CHECK(memcmp(brisk_value_data(second->value), "two", 3) == 0);
    CHECK(memcmp(brisk_value_data(first->value), "one", 3) == 0); /* who has it, has it whole */
    file_entry *again = find(cache, "changes");
    CHECK(again == second); /* looked at, and still the same */
    file_entry_unref(first);
    file_entry_unref(same);
    file_entry_unref(second);
    file_entry_unref(again);
    open_cache_destroy(cache);
}

static void test_bounds(void **state)
{
    (void)state;
    open_cache *cache = make(brisk_alloc_libc(), 64, 16, 100000);
    place.fresh_ns = 0;
    static char text[SMALL * 2];
    for (int i = 0; i < 60; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "many-%d", i);
        put(name, text, i % 2 == 0 ? SMALL : sizeof text);
    }
    for (int round = 0; round < 2000; round++) {
        char name[32];
        (void)snprintf(name, sizeof name, round % 3 == 0 ? "missing-%d" : "many-%d", round % 60);
        file_entry_unref(find(cache, name));
        open_cache_stats stats;
        open_cache_read_stats(cache, &stats);
        CHECK_U64(stats.entries, <=, 64);
        CHECK_U64(stats.descriptors, <=, 16);
        CHECK_U64(stats.memory, <=, 100000);
    }
    open_cache_destroy(cache);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const paths[] = {"small", "large", "none"};
    for (int i = 0; i < 3; i++) {
        bool whole = false;
        for (uint64_t fail_after = 0; !whole; fail_after++) {
            fault_alloc fault;
            fault_alloc_init(&fault, fail_after);
            open_cache *cache = make(&fault.base, 100, 16, 1 << 20);
            file_entry *entry = NULL;
            if (cache != NULL) {
                file_found found = open_cache_find(cache, &place, paths[i], true, &entry);
                CHECK((found == FILE_FOUND) == (entry != NULL));
                whole = found == FILE_FOUND && (i > 0 || entry->value != NULL);
                file_entry_unref(entry);
            }
            open_cache_destroy(cache);
            CHECK_U64(fault.bytes_held, ==, 0);
        }
    }
}

typedef struct crowd {
    open_cache *cache;
    uint64_t seed;
    bool writes;
} crowd;

/* Look, compare, sometimes write: an entry is always one whole version. */
static void *run_crowd(void *ctx)
{
    crowd *c = ctx;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t draw = check_random(&c->seed);
        char name[32];
        (void)snprintf(name, sizeof name, "shared-%d", (int)(draw % 8));
        if (c->writes && i % 20 == 0) {
            char text[64];
            char from[128];
            char to[128];
            memset(text, 'a' + (int)(draw >> 8) % 26, sizeof text);
            put("new", text, sizeof text);
            (void)snprintf(from, sizeof from, "%s/new", root);
            (void)snprintf(to, sizeof to, "%s/%s", root, name);
            CHECK(rename(from, to) == 0);
        }
        file_entry *entry;
        if (open_cache_find(c->cache, &place, name, true, &entry) == FILE_FOUND) {
            if (entry->kind == FILE_REGULAR && entry->value != NULL) {
                const char *bytes = brisk_value_data(entry->value);
                for (size_t at = 1; at < entry->size; at++) {
                    CHECK(bytes[at] == bytes[0]);
                }
            }
            file_entry_unref(entry);
        }
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    (void)state;
    place.fresh_ns = 0;
    open_cache *cache = make(brisk_alloc_libc(), 64, 16, 20000);
    crowd crowds[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        crowds[i] = (crowd){.cache = cache, .seed = (uint64_t)i + 1, .writes = i == 0};
        CHECK(pthread_create(&threads[i], NULL, run_crowd, &crowds[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    open_cache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),        cmocka_unit_test(test_fresh_ones_are_not_looked_at),
        cmocka_unit_test(test_bounds),       cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_many_threads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
