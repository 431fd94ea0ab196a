/*
 * test_cache_processes.c -- several processes on one folder, killed at any moment; power loss.
 */
#include "support/check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brisk/cache.h>
#include <brisk/log.h>
#include <brisk/memory.h>

#include "cache/generation.h"
#include "support/temp_dir.h"

static brisk_cache *open_cache(const char *path)
{
    brisk_tier *tiers[2];
    brisk_memory_tier_opts memory = {.bytes_max = 1 << 20, .shards = 1};
    brisk_disk_tier_opts disk = {.path = path, .bytes_max = 32 << 20, .segment_bytes = 1 << 20};
    CHECK_OK(brisk_memory_tier_create(&memory, &tiers[0]));
    CHECK_OK(brisk_disk_tier_open(&disk, &tiers[1], NULL));
    brisk_cache *cache = NULL;
    CHECK_OK(brisk_cache_create(&(brisk_cache_opts){.tiers = tiers, .tier_count = 2}, &cache));
    return cache;
}

static void put_key(brisk_cache *cache, const brisk_key *key, const char *text,
                    const brisk_entry_opts *opts)
{
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy(text, strlen(text) + 1, NULL, &value));
    brisk_cache_put(cache, key, value, opts);
    brisk_value_unref(value);
}

static void put(brisk_cache *cache, const char *name, const char *text,
                const brisk_entry_opts *opts)
{
    brisk_key key = brisk_key_of(name, strlen(name));
    put_key(cache, &key, text, opts);
}

/* The number that the entry has, or 0: a miss. */
static uint64_t number_of(brisk_cache *cache, const char *name)
{
    brisk_key key = brisk_key_of(name, strlen(name));
    brisk_hit hit;
    if (!brisk_cache_get(cache, &key, 0, &hit)) {
        return 0;
    }
    uint64_t number = strtoull(brisk_value_data(hit.value), NULL, 10);
    brisk_value_unref(hit.value);
    return number;
}

static void put_number(brisk_cache *cache, const char *name, uint64_t number,
                       const brisk_entry_opts *opts)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    put(cache, name, text, opts);
}

/* --- two that live ------------------------------------------------------------------------------ */

static void test_overwrite_and_removal_reach_the_others_memory(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_cache *one = open_cache(dir->path);
    brisk_cache *two = open_cache(dir->path);
    char name[32];
    for (uint64_t i = 1; i <= 300; i++) {
        (void)snprintf(name, sizeof name, "k%u", (unsigned)i % 7);
        put_number(one, name, i, NULL);
        CHECK_U64(number_of(two, name), ==, i);
        CHECK_U64(number_of(two, name), ==, i); /* from its memory */
        put_number(two, name, i + 1000, NULL);
        CHECK_U64(number_of(one, name), ==, i + 1000);
        if (i % 5 == 0) {
            brisk_key key = brisk_key_of(name, strlen(name));
            CHECK_OK(brisk_cache_remove(two, &key));
            CHECK_U64(number_of(one, name), ==, 0);
        }
    }
    put_number(one, "k", 1, NULL);
    CHECK_U64(number_of(two, "k"), ==, 1);
    CHECK_OK(brisk_cache_clear(one));
    CHECK_U64(number_of(two, "k"), ==, 0);
    brisk_cache_stats totals;
    brisk_cache_read_totals(two, &totals);
    CHECK_U64(totals.foreign_changes, >=, 300);
    brisk_cache_destroy(one);
    brisk_cache_destroy(two);
}

/* More than the ring holds, and a key that it does not hold. */
static void test_what_cannot_be_told_empties_memory(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_cache *one = open_cache(dir->path);
    brisk_cache *two = open_cache(dir->path);
    char name[32];
    put_number(one, "first", 1, NULL);
    CHECK_U64(number_of(two, "first"), ==, 1);
    put_number(one, "first", 2, NULL);
    for (int i = 0; i < 10000; i++) {
        (void)snprintf(name, sizeof name, "other%d", i % 100);
        put_number(one, name, 5, NULL);
    }
    CHECK_U64(number_of(two, "first"), ==, 2);
    static char bytes[2000];
    memset(bytes, 'x', sizeof bytes);
    brisk_key key = brisk_key_of(bytes, sizeof bytes);
    brisk_hit hit;
    put_key(one, &key, "old", NULL);
    CHECK(brisk_cache_get(two, &key, 0, &hit));
    brisk_value_unref(hit.value);
    put_key(one, &key, "new", NULL);
    CHECK(brisk_cache_get(two, &key, 0, &hit));
    CHECK(strcmp(brisk_value_data(hit.value), "new") == 0);
    brisk_value_unref(hit.value);
    brisk_cache_destroy(one);
    brisk_cache_destroy(two);
}

/* A writer that was killed while telling: the others do not wait for ever, and know nothing older. */
static void test_unfinished_message(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_cache *one = open_cache(dir->path);
    brisk_cache *two = open_cache(dir->path);
    generations *table = NULL;
    bool lost = false;
    CHECK_OK(generations_open(brisk_alloc_libc(), dir->path, &table, &lost, NULL));
    CHECK(!lost);
    put_number(one, "k", 1, NULL);
    CHECK_U64(number_of(two, "k"), ==, 1);
    atomic_fetch_add(&table->head->ring_tail, 3); /* reserved, and never written */
    put_number(one, "k", 2, NULL);
    CHECK_U64(number_of(two, "k"), ==, 2);
    put_number(one, "k", 3, NULL);
    CHECK_U64(number_of(two, "k"), ==, 3);
    uint64_t state_of_random = check_seed();
    for (int i = 0; i < 200; i++) { /* bytes that nobody wrote */
        size_t at = check_random(&state_of_random) % GENERATION_RING_BYTES;
        table->ring[at] ^= (unsigned char)(1 + check_random(&state_of_random) % 255);
        put_number(one, "k", 10 + (uint64_t)i, NULL);
        table->ring[check_random(&state_of_random) % GENERATION_RING_BYTES] ^= 1;
        uint64_t got = number_of(two, "k");
        CHECK(got == 10 + (uint64_t)i || got == 0);
    }
    generations_close(table);
    brisk_cache_destroy(one);
    brisk_cache_destroy(two);
}

/* --- two of which one is killed ----------------------------------------------------------------- */

enum { KEYS = 24 };

typedef struct board {
    _Atomic uint64_t begun[KEYS];
    _Atomic uint64_t acked[KEYS];
    _Atomic bool stop;
} board;

static void *share(size_t size)
{
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED);
    return map;
}

/* Overwrite and delete until killed; each process has the keys of its parity. */
static void write_for_ever(const char *path, board *shared, uint64_t seed, uint32_t parity)
{
    brisk_cache *cache = open_cache(path);
    while (!atomic_load(&shared->stop)) {
        uint32_t i = (uint32_t)(check_random(&seed) % (KEYS / 2)) * 2 + parity;
        char name[16];
        (void)snprintf(name, sizeof name, "k%u", i);
        uint64_t next = atomic_fetch_add(&shared->begun[i], 1) + 1;
        if (next % 4 == 0) { /* such numbers mean: removed */
            brisk_key key = brisk_key_of(name, strlen(name));
            if (brisk_cache_remove(cache, &key) != BRISK_OK) {
                _exit(1);
            }
        } else {
            put_number(cache, name, next, NULL);
        }
        atomic_store(&shared->acked[i], next);
    }
    brisk_cache_destroy(cache);
    _exit(0);
}

static uint32_t check_keys(brisk_cache *cache, board *shared)
{
    uint32_t hits = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "k%u", i);
        uint64_t acked = atomic_load(&shared->acked[i]);
        uint64_t got = number_of(cache, name);
        uint64_t begun = atomic_load(&shared->begun[i]);
        hits += got != 0;
        if (got != 0 && (got < acked || got > begun)) {
            fail_msg("%s: %llu, acknowledged %llu, begun %llu", name, (unsigned long long)got,
                     (unsigned long long)acked, (unsigned long long)begun);
        }
    }
    return hits;
}

static void test_killed_writer(void **state)
{
    (void)state;
    enum { ROUNDS = 30 };
    uint64_t seed = check_seed();
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    board *shared = share(sizeof *shared);
    uint32_t hits = 0;
    uint32_t reads = 0;
    for (int round = 0; round < ROUNDS; round++) {
        pid_t children[2];
        atomic_store(&shared->stop, false);
        for (uint32_t i = 0; i < 2; i++) {
            children[i] = fork();
            CHECK(children[i] >= 0);
            if (children[i] == 0) {
                write_for_ever(dir->path, shared, seed + i, i);
            }
        }
        brisk_cache *cache = open_cache(dir->path); /* the third, who reads */
        (void)usleep((useconds_t)(2000 + check_random(&seed) % 20000));
        CHECK(kill(children[0], SIGKILL) == 0);
        int status;
        CHECK(waitpid(children[0], &status, 0) == children[0] && WIFSIGNALED(status));
        for (int i = 0; i < 20; i++) {
            hits += check_keys(cache, shared);
            reads += KEYS;
        }
        atomic_store(&shared->stop, true);
        CHECK(waitpid(children[1], &status, 0) == children[1] && WIFEXITED(status));
        CHECK_U64(WEXITSTATUS(status), ==, 0);
        if (round % 2 == 0) {
            brisk_cache_destroy(cache);
            cache = open_cache(dir->path); /* alone now */
        }
        hits += check_keys(cache, shared);
        reads += KEYS;
        brisk_cache_destroy(cache);
        for (uint32_t i = 0; i < KEYS; i++) { /* what was under way may have happened, or not */
            atomic_store(&shared->begun[i], (atomic_load(&shared->begun[i]) | 3) + 1);
            char name[16];
            (void)snprintf(name, sizeof name, "k%u", i);
            brisk_key key = brisk_key_of(name, strlen(name));
            cache = i == 0 ? open_cache(dir->path) : cache;
            CHECK_OK(brisk_cache_remove(cache, &key));
            atomic_store(&shared->acked[i], atomic_load(&shared->begun[i]));
        }
        brisk_cache_destroy(cache);
    }
    print_message("%u of %u reads were hits\n", hits, reads);
    CHECK_U64(hits, >, reads / 20);
    (void)munmap(shared, sizeof *shared);
}

/* A derived entry never outlives the source that it was made from, wherever the kill hits. */
static void derive_for_ever(const char *path)
{
    brisk_cache *cache = open_cache(path);
    brisk_tag tag = {.bytes = "all", .size = 3};
    brisk_key source = brisk_key_of("source", 6);
    for (uint64_t i = number_of(cache, "source") + 1;; i++) {
        put_number(cache, "source", i, &(brisk_entry_opts){.tags = &tag, .tag_count = 1});
        uint64_t as_of = brisk_cache_epoch(cache);
        uint64_t got = number_of(cache, "source");
        put_number(cache, "derived", got,
                   &(brisk_entry_opts){.depends_on = &source, .depends_count = 1, .as_of = as_of});
        if (i % 16 == 0 && brisk_cache_invalidate_tag(cache, "all", 3) != BRISK_OK) {
            _exit(1);
        }
    }
}

static void test_killed_between_source_and_derived(void **state)
{
    (void)state;
    enum { ROUNDS = 60 };
    uint64_t seed = check_seed();
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    uint32_t both = 0;
    for (int round = 0; round < ROUNDS; round++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            derive_for_ever(dir->path);
        }
        (void)usleep((useconds_t)(3000 + check_random(&seed) % 6000));
        CHECK(kill(child, SIGKILL) == 0);
        int status;
        CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
        brisk_cache *cache = open_cache(dir->path);
        uint64_t derived = number_of(cache, "derived");
        uint64_t source = number_of(cache, "source");
        if (derived != 0) {
            CHECK_U64(derived, ==, source);
            both++;
        }
        brisk_cache_destroy(cache);
    }
    print_message("%u of %d derived entries survived\n", both, ROUNDS);
}

/* What a killed process left "under way" is ended by the next one who is alone. */
static void test_change_left_under_way(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_key source = brisk_key_of("source", 6);
    brisk_entry_opts opts = {
        .depends_on = &source, .depends_count = 1, .depends_flags = BRISK_DEPENDS_NAMES};
    brisk_cache *cache = open_cache(dir->path);
    put_number(cache, "derived", 1, &opts);
    CHECK_U64(number_of(cache, "derived"), ==, 1);
    brisk_cache_destroy(cache);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        cache = open_cache(dir->path);
        (void)brisk_cache_change_begin(cache, &source);
        _exit(0); /* in the middle, without closing */
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    cache = open_cache(dir->path);
    CHECK_U64(number_of(cache, "derived"), ==, 0);
    put_number(cache, "derived", 2, &opts);
    CHECK_U64(number_of(cache, "derived"), ==, 2);
    brisk_cache_destroy(cache);
}

static void test_fork(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_cache *cache = open_cache(dir->path);
    brisk_tag tag = {.bytes = "t", .size = 1};
    brisk_entry_opts opts = {.tags = &tag, .tag_count = 1};
    put_number(cache, "k", 1, &opts);
    put_number(cache, "p:1", 1, NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        bool fine = number_of(cache, "k") == 1; /* the memory is its own copy */
        fine = fine && brisk_cache_invalidate_tag(cache, "t", 1) == BRISK_OK;
        fine = fine && number_of(cache, "k") == 0;
        fine = fine && brisk_cache_invalidate_prefix(cache, "p:", 2) == BRISK_OK;
        fine = fine && number_of(cache, "p:1") == 0;
        brisk_cache_destroy(cache);
        _exit(fine ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK_U64(WEXITSTATUS(status), ==, 0);
    CHECK_U64(number_of(cache, "k"), ==, 0); /* the table is one */
    CHECK_U64(number_of(cache, "p:1"), ==, 0);
    put_number(cache, "k", 2, &opts);
    brisk_cache *other = open_cache(dir->path); /* the child has not let go of our locks */
    CHECK_U64(number_of(other, "k"), ==, 2);
    brisk_cache_destroy(other);
    brisk_cache_destroy(cache);
    cache = open_cache(dir->path);
    CHECK_U64(number_of(cache, "k"), ==, 2);
    brisk_cache_destroy(cache);
}

/* --- power loss --------------------------------------------------------------------------------- */

static void *read_all(const char *path, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    unsigned char *bytes = malloc(size);
    CHECK(bytes != NULL && pread(fd, bytes, size, 0) == (ssize_t)size);
    CHECK(close(fd) == 0);
    return bytes;
}

/* The boot that the file was used under becomes another one. */
static void change_boot(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint64_t boot = 12345;
    CHECK(fd >= 0 && pwrite(fd, &boot, sizeof boot, offsetof(generation_head, boot)) == 8);
    CHECK(close(fd) == 0);
}

/*
 * The table goes back to any mixture of what it was when it was last synced and what it was since,
 * each page by itself, but for the mark, which was synced.  Whatever the mixture: nothing of before
 * comes back.
 */
static void test_power_loss(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (int round = 0; round < 20; round++) {
        BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
        const char *path = temp_dir_path(dir, GENERATION_NAME);
        brisk_tag tag = {.bytes = "t", .size = 1};
        brisk_cache *cache = open_cache(dir->path);
        put_number(cache, "k", 1, &(brisk_entry_opts){.tags = &tag, .tag_count = 1});
        put_number(cache, "plain", 1, NULL);
        brisk_cache_destroy(cache); /* synced */
        unsigned char *before = read_all(path, GENERATION_BYTES);
        cache = open_cache(dir->path);
        CHECK_U64(number_of(cache, "k"), ==, 1);
        CHECK_OK(brisk_cache_invalidate_tag(cache, "t", 1));
        unsigned char *after = read_all(path, GENERATION_BYTES);
        for (size_t at = GENERATION_PAGE; at < GENERATION_BYTES; at += GENERATION_PAGE) {
            if (check_random(&seed) % 2 == 0) {
                memcpy(after + at, before + at, GENERATION_PAGE);
            }
        }
        const generation_head *head = (const void *)after;
        CHECK_U64(head->unsynced, ==, 1);
        brisk_cache_destroy(cache);
        temp_write(path, after, GENERATION_BYTES);
        change_boot(path);
        cache = open_cache(dir->path);
        CHECK_U64(number_of(cache, "k"), ==, 0);
        brisk_cache_destroy(cache);
        free(before);
        free(after);
    }
}

static void test_another_boot_after_an_orderly_end(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, GENERATION_NAME);
    brisk_tag tag = {.bytes = "t", .size = 1};
    brisk_cache *cache = open_cache(dir->path);
    put_number(cache, "k", 1, &(brisk_entry_opts){.tags = &tag, .tag_count = 1});
    put_number(cache, "gone", 1, &(brisk_entry_opts){.tags = &tag, .tag_count = 1});
    CHECK_OK(brisk_cache_invalidate_tag(cache, "t", 1));
    put_number(cache, "k", 2, &(brisk_entry_opts){.tags = &tag, .tag_count = 1});
    brisk_cache_destroy(cache);
    change_boot(path);
    cache = open_cache(dir->path);
    CHECK_U64(number_of(cache, "k"), ==, 2);
    CHECK_U64(number_of(cache, "gone"), ==, 0);
    brisk_cache_destroy(cache);
}

int main(void)
{
    brisk_log_set_level(BRISK_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overwrite_and_removal_reach_the_others_memory),
        cmocka_unit_test(test_what_cannot_be_told_empties_memory),
        cmocka_unit_test(test_unfinished_message),
        cmocka_unit_test(test_killed_writer),
        cmocka_unit_test(test_killed_between_source_and_derived),
        cmocka_unit_test(test_change_left_under_way),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_power_loss),
        cmocka_unit_test(test_another_boot_after_an_orderly_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
