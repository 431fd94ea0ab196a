/*
 * test_store.c -- the metadata store: what it keeps, damage, sudden death, full disks, many at once.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "support/child.h"
#include "support/fault_alloc.h"
#include "support/temp_dir.h"
#include "workload/pkg/packument.h"
#include "workload/pkg/store.h"

enum { REGISTRY = 7 };

/* A package whose one version and its license say `number`; made by `reader`. */
static const pkg_package *make(pkg_packument_reader *reader, const char *name, uint32_t number,
                               uint32_t padding)
{
    static char json[(1 << 20) + 1000];
    int size = snprintf(json, sizeof json,
                        "{\"name\":\"%s\",\"dist-tags\":{\"latest\":\"1.0.%u\"},\"versions\":{"
                        "\"1.0.%u\":{\"license\":\"%u %0*d\"}}}",
                        name, number, number, number, (int)padding + 1, 0);
    const pkg_package *package = NULL;
    brisk_err err = pkg_packument_read(
        reader, pkg_text_of(name), (pkg_text){.data = json, .size = (size_t)size}, &package, NULL);
    return err == BRISK_OK ? package : NULL;
}

static brisk_err put(pkg_store *store, const pkg_package *package, brisk_errinfo *info)
{
    pkg_stored stored = {.package = package,
                         .registry = REGISTRY,
                         .etag = PKG_TEXT("\"etag\""),
                         .last_modified = PKG_TEXT("yesterday"),
                         .fetched_ms = 1000,
                         .fresh_until_ms = 2000};
    return pkg_store_put(store, &stored, info);
}

/* The number that make() put in, or UINT32_MAX: the package is not (whole) there. */
static uint32_t number_of(pkg_store *store, const char *name)
{
    pkg_stored stored;
    if (pkg_store_get(store, REGISTRY, pkg_text_of(name), &stored) != BRISK_OK) {
        return UINT32_MAX;
    }
    pkg_version version;
    pkg_package_version(stored.package, 0, &version);
    bool same = pkg_text_is(pkg_package_name(stored.package), name) &&
                pkg_package_tag(stored.package, PKG_TEXT("latest")) == 0;
    return same ? (uint32_t)version.semver.patch : UINT32_MAX - 1;
}

typedef struct fixture {
    temp_dir *dir;
    pkg_packument_reader *reader;
    const char *path;
} fixture;

static int begin(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->dir = temp_dir_make();
    f->path = temp_dir_path(f->dir, "cache/pkg/packages.store");
    CHECK_OK(pkg_packument_reader_create(NULL, &f->reader));
    *state = f;
    return 0;
}

static int end(void **state)
{
    fixture *f = *state;
    pkg_packument_reader_destroy(f->reader);
    temp_dir_remove(f->dir);
    free(f);
    return 0;
}

static pkg_store *open_store(const fixture *f, const pkg_store_opts *opts)
{
    pkg_store *store;
    brisk_errinfo info;
    if (pkg_store_open(f->path, opts, &store, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    return store;
}

static void test_put_and_get(void **state)
{
    const fixture *f = *state;
    pkg_store *store = open_store(f, NULL);
    pkg_stored stored;
    assert_int_equal(pkg_store_get(store, REGISTRY, PKG_TEXT("a"), &stored), BRISK_ERR_NOT_FOUND);
    uint64_t before = pkg_store_generation(store);
    CHECK_OK(put(store, make(f->reader, "a", 1, 0), NULL));
    CHECK_OK(put(store, make(f->reader, "@s/b", 2, 0), NULL));
    CHECK_U64(pkg_store_generation(store), ==, before + 2);
    CHECK_OK(pkg_store_get(store, REGISTRY, PKG_TEXT("a"), &stored));
    CHECK_U64(number_of(store, "a"), ==, 1);
    CHECK_U64(number_of(store, "@s/b"), ==, 2);
    assert_true(pkg_text_is(stored.etag, "\"etag\""));
    assert_true(pkg_text_is(stored.last_modified, "yesterday"));
    CHECK_U64(stored.generation, ==, before + 1);
    assert_true(stored.fetched_ms == 1000 && stored.fresh_until_ms == 2000);
    /* Another registry's package of the same name is another package. */
    assert_int_equal(pkg_store_get(store, 8, PKG_TEXT("a"), &stored), BRISK_ERR_NOT_FOUND);
    CHECK_OK(pkg_store_touch(store, REGISTRY, PKG_TEXT("a"), 5000, 6000));
    assert_int_equal(pkg_store_touch(store, REGISTRY, PKG_TEXT("c"), 1, 2), BRISK_ERR_NOT_FOUND);
    pkg_store_close(store);

    store = open_store(f, &(pkg_store_opts){.read_only = true});
    CHECK_OK(pkg_store_get(store, REGISTRY, PKG_TEXT("a"), &stored));
    assert_true(stored.fetched_ms == 5000 && stored.fresh_until_ms == 6000);
    CHECK_U64(pkg_store_generation(store), ==, before + 2);
    brisk_errinfo info;
    assert_int_equal(put(store, make(f->reader, "a", 3, 0), &info), BRISK_ERR_PERMISSION);
    assert_int_equal(pkg_store_touch(store, REGISTRY, PKG_TEXT("a"), 1, 2), BRISK_ERR_PERMISSION);
    CHECK_U64(number_of(store, "a"), ==, 1);
    pkg_store_close(store);
}

static void test_replacing_keeps_what_was_given(void **state)
{
    const fixture *f = *state;
    pkg_store *store = open_store(f, NULL);
    CHECK_OK(put(store, make(f->reader, "a", 1, 100), NULL));
    pkg_stored old;
    CHECK_OK(pkg_store_get(store, REGISTRY, PKG_TEXT("a"), &old));
    CHECK_OK(put(store, make(f->reader, "a", 2, 100), NULL));
    CHECK_U64(number_of(store, "a"), ==, 2);
    CHECK_OK(pkg_store_compact(store, NULL));
    CHECK_U64(number_of(store, "a"), ==, 2);
    pkg_version version;
    pkg_package_version(old.package, 0, &version);
    CHECK_U64(version.semver.patch, ==, 1);
    pkg_store_stats stats;
    pkg_store_stats_of(store, &stats);
    CHECK_U64(stats.packages, ==, 1);
    CHECK_U64(stats.bytes_dead, ==, 0);
    pkg_store_close(store);
}

/* More packages than the first index has room for. */
static void test_the_index_grows(void **state)
{
    const fixture *f = *state;
    enum { COUNT = 5000 };
    pkg_store *store = open_store(f, NULL);
    char name[32];
    for (uint32_t i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof name, "p%u", i);
        CHECK_OK(put(store, make(f->reader, name, i, 0), NULL));
    }
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            (void)snprintf(name, sizeof name, "p%u", i);
            CHECK_U64(number_of(store, name), ==, i);
        }
        pkg_store_close(store);
        store = open_store(f, NULL);
    }
    pkg_store_stats stats;
    pkg_store_stats_of(store, &stats);
    CHECK_U64(stats.packages, ==, COUNT);
    pkg_store_close(store);
}

static void test_dead_records_are_left_behind(void **state)
{
    const fixture *f = *state;
    pkg_store *store = open_store(f, NULL);
    CHECK_OK(put(store, make(f->reader, "stays", 77, 1000), NULL));
    uint64_t generation = pkg_store_generation(store);
    for (uint32_t i = 0; i < 400; i++) {
        CHECK_OK(put(store, make(f->reader, "a", i, 50000), NULL));
    }
    pkg_store_stats stats;
    pkg_store_stats_of(store, &stats);
    CHECK_U64(stats.bytes_used, <, UINT64_C(6) << 20); /* of 20 MB that were put */
    CHECK_U64(stats.generation, ==, generation + 400);
    CHECK_U64(number_of(store, "stays"), ==, 77);
    CHECK_U64(number_of(store, "a"), ==, 399);
    pkg_store_close(store);
}

/* What was confirmed longest ago goes when there is no room, and the file stays below its limit. */
static void test_the_limit_of_bytes(void **state)
{
    const fixture *f = *state;
    enum { COUNT = 60, LIMIT_BYTES = 1 << 20 };
    pkg_store *store = open_store(f, &(pkg_store_opts){.bytes_max = LIMIT_BYTES});
    char name[32];
    brisk_errinfo info;
    for (uint32_t i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof name, "p%u", i);
        pkg_stored stored = {.package = make(f->reader, name, i, 50000),
                             .registry = REGISTRY,
                             .fetched_ms = 1000 + (int64_t)i};
        CHECK_OK(pkg_store_put(store, &stored, &info));
        CHECK_U64(number_of(store, name), ==, i);
        struct stat st;
        assert_int_equal(stat(f->path, &st), 0);
        CHECK_U64(st.st_size, <=, LIMIT_BYTES);
    }
    uint32_t there = 0;
    bool older_is_there = false;
    for (uint32_t i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof name, "p%u", i);
        bool is_there = number_of(store, name) == i;
        CHECK(is_there || !older_is_there); /* none is older than one that went */
        older_is_there = is_there;
        there += is_there ? 1 : 0;
    }
    CHECK_U64(there, >=, 5);
    CHECK_U64(there, <, COUNT / 2);
    assert_int_equal(put(store, make(f->reader, "huge", 1, 1 << 20), &info), BRISK_ERR_LIMIT);
    CHECK_U64(number_of(store, name), ==, COUNT - 1);
    pkg_store_close(store);
    pkg_store *none;
    assert_int_equal(pkg_store_open(f->path, &(pkg_store_opts){.bytes_max = 1000}, &none, &info),
                     BRISK_ERR_INVALID);
}

/* --- files that are not what they were -------------------------------------------------------- */

static void test_what_is_no_store(void **state)
{
    const fixture *f = *state;
    pkg_store_close(open_store(f, NULL)); /* makes the folder */
    static const char zeros[5000];
    pkg_store *store;
    brisk_errinfo info;
    const char *const texts[] = {"", "something else", zeros};
    const size_t sizes[] = {0, 14, sizeof zeros};
    for (size_t i = 0; i < 3; i++) {
        temp_write(f->path, texts[i], sizes[i]);
        assert_int_equal(
            pkg_store_open(f->path, &(pkg_store_opts){.read_only = true}, &store, &info),
            BRISK_ERR_CORRUPT);
        store = open_store(f, NULL);
        CHECK_OK(put(store, make(f->reader, "a", 5, 0), NULL));
        CHECK_U64(number_of(store, "a"), ==, 5);
        pkg_store_close(store);
    }
    const char *absent = temp_dir_path(f->dir, "none.store");
    assert_int_equal(pkg_store_open(absent, &(pkg_store_opts){.read_only = true}, &store, &info),
                     BRISK_ERR_NOT_FOUND);
    assert_int_equal(pkg_store_open(f->dir->path, NULL, &store, &info), BRISK_ERR_INVALID);
}

static char *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *data = malloc(2 << 20);
    assert_non_null(data);
    *ret_size = fread(data, 1, 2 << 20, file);
    (void)fclose(file);
    return data;
}

/* Opens, reads and writes a store that is damaged somehow; nothing but crashes is wrong. */
static void use_damaged(const fixture *f, uint32_t *ret_whole)
{
    pkg_store *store = open_store(f, NULL);
    uint32_t a = number_of(store, "a");
    uint32_t b = number_of(store, "b");
    assert_true(a == 1 || a >= UINT32_MAX - 1);
    assert_true(b == 2 || b == UINT32_MAX);
    *ret_whole += a == 1 && b == 2 ? 1 : 0;
    CHECK_OK(put(store, make(f->reader, "a", 1, 10), NULL));
    CHECK_OK(put(store, make(f->reader, "c", 3, 10), NULL));
    CHECK_U64(number_of(store, "a"), ==, 1);
    CHECK_U64(number_of(store, "c"), ==, 3);
    pkg_store_close(store);
}

static void test_damage_and_cuts(void **state)
{
    const fixture *f = *state;
    pkg_store *store = open_store(f, NULL);
    CHECK_OK(put(store, make(f->reader, "a", 1, 10), NULL));
    CHECK_OK(put(store, make(f->reader, "b", 2, 10), NULL));
    pkg_store_stats stats;
    pkg_store_stats_of(store, &stats);
    pkg_store_close(store);
    size_t size;
    char *data = read_file(f->path, &size);
    CHECK_U64(size, ==, stats.bytes_used);
    uint32_t whole = 0;
    for (size_t at = 0; at < size; at++) {
        if (data[at] == 0 ? at > 100 && at % 1999 != 0 : at % 3 != 0 && at > 100) {
            continue; /* most of the index is empty */
        }
        data[at] ^= 0x55;
        temp_write(f->path, data, size);
        use_damaged(f, &whole);
        data[at] ^= 0x55;
    }
    uint32_t cut = 0;
    for (size_t left = 0; left < size; left += left < 100 || size - left < 900 ? 23 : 9001) {
        temp_write(f->path, data, left);
        use_damaged(f, &cut);
    }
    CHECK_U64(cut, ==, 0);
    free(data);
}

static void test_a_torn_tail_is_cut(void **state)
{
    const fixture *f = *state;
    pkg_store *store = open_store(f, NULL);
    CHECK_OK(put(store, make(f->reader, "a", 1, 10), NULL));
    pkg_store_stats stats;
    pkg_store_stats_of(store, &stats);
    int fd = open(f->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "half an entry", 13), 13);
    (void)close(fd);
    CHECK_OK(put(store, make(f->reader, "b", 2, 10), NULL));
    CHECK_U64(number_of(store, "a"), ==, 1);
    CHECK_U64(number_of(store, "b"), ==, 2);
    pkg_store_stats after;
    pkg_store_stats_of(store, &after);
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    CHECK_U64(st.st_size, ==, after.bytes_used);
    pkg_store_close(store);
}

/* Its file removed, replaced or cut under a writer. */
static void test_the_file_goes_away(void **state)
{
    const fixture *f = *state;
    pkg_store *store = open_store(f, NULL);
    CHECK_OK(put(store, make(f->reader, "a", 1, 10), NULL));
    assert_int_equal(unlink(f->path), 0);
    CHECK_U64(number_of(store, "a"), ==, 1);
    CHECK_OK(put(store, make(f->reader, "b", 2, 10), NULL));
    CHECK_U64(number_of(store, "a"), ==, 1);
    CHECK_U64(number_of(store, "b"), ==, 2);
    assert_int_equal(truncate(f->path, 0), 0);
    CHECK_OK(put(store, make(f->reader, "c", 3, 10), NULL)); /* reads nothing of the old file */
    CHECK_U64(number_of(store, "c"), ==, 3);
    CHECK_U64(number_of(store, "b"), ==, UINT32_MAX);
    pkg_store_close(store);
    store = open_store(f, NULL);
    CHECK_U64(number_of(store, "c"), ==, 3);
    pkg_store_close(store);
}

static void test_every_allocation_may_fail(void **state)
{
    const fixture *f = *state;
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t tries = 0;
    for (; err == BRISK_ERR_NOMEM; tries++) {
        fault_alloc fault;
        fault_alloc_init(&fault, tries);
        pkg_store *store = NULL;
        err = pkg_store_open(f->path, &(pkg_store_opts){.alloc = &fault.base}, &store, NULL);
        assert_true((store != NULL) == (err == BRISK_OK));
        if (err == BRISK_OK) {
            err = put(store, make(f->reader, "a", 1, 0), NULL);
        }
        if (err == BRISK_OK) {
            err = pkg_store_compact(store, NULL);
            CHECK_U64(number_of(store, "a"), ==, 1);
        }
        pkg_store_close(store);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
    CHECK_U64(tries, >, 5);
}

/* --- several at once -------------------------------------------------------------------------- */

static void test_two_stores_of_one_file(void **state)
{
    const fixture *f = *state;
    pkg_store *one = open_store(f, NULL);
    pkg_store *two = open_store(f, NULL);
    char name[32];
    for (uint32_t i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof name, "p%u", i % 50);
        CHECK_OK(put(i % 2 == 0 ? one : two, make(f->reader, name, i, 5000), NULL));
        CHECK_U64(number_of(i % 2 == 0 ? two : one, name), ==, i);
        if (i % 60 == 59) {
            CHECK_OK(pkg_store_compact(i % 3 == 0 ? one : two, NULL));
        }
    }
    CHECK_U64(pkg_store_generation(one), ==, pkg_store_generation(two));
    pkg_store_close(one);
    pkg_store_close(two);
}

static void test_a_lock_that_is_held(void **state)
{
    const fixture *f = *state;
    pkg_store *store = open_store(f, &(pkg_store_opts){.lock_wait_ms = 20});
    char lock[PATH_MAX];
    (void)snprintf(lock, sizeof lock, "%s.lock", f->path);
    int fd = open(lock, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    brisk_errinfo info;
    assert_int_equal(put(store, make(f->reader, "a", 1, 0), &info), BRISK_ERR_CONFLICT);
    assert_non_null(strstr(info.text, "20 ms"));
    CHECK_U64(number_of(store, "a"), ==, UINT32_MAX);
    (void)close(fd);
    CHECK_OK(put(store, make(f->reader, "a", 1, 0), NULL));
    pkg_store_close(store);
}

/* Who clears the cache while others write must not make them write side by side. */
static void test_a_lock_file_that_was_removed(void **state)
{
    const fixture *f = *state;
    pkg_store *old = open_store(f, &(pkg_store_opts){.lock_wait_ms = 20});
    char lock[PATH_MAX];
    (void)snprintf(lock, sizeof lock, "%s.lock", f->path);
    assert_int_equal(unlink(lock), 0);
    pkg_store *new = open_store(f, NULL);
    CHECK_OK(put(new, make(f->reader, "a", 1, 0), NULL)); /* makes the file again */
    int fd = open(lock, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(put(old, make(f->reader, "b", 2, 0), NULL), BRISK_ERR_CONFLICT);
    (void)close(fd);
    CHECK_OK(put(old, make(f->reader, "b", 2, 0), NULL));
    CHECK_U64(number_of(new, "b"), ==, 2);
    pkg_store_close(old);
    pkg_store_close(new);
}

typedef struct writing {
    const fixture *f;
    uint32_t seed;
} writing;

/* Writes until it is killed: packages of many sizes, with compactions between. */
static int write_forever(void *ctx)
{
    const writing *w = ctx;
    pkg_store *store;
    if (pkg_store_open(w->f->path, NULL, &store, NULL) != BRISK_OK) {
        return 1;
    }
    char name[32];
    for (uint32_t i = 0;; i++) {
        uint32_t package = (i * 7 + w->seed) % 40;
        (void)snprintf(name, sizeof name, "p%u", package);
        const pkg_package *made = make(w->f->reader, name, 1000 * package + i % 1000, i % 9000);
        brisk_err err = put(store, made, NULL);
        if (err == BRISK_OK && i % 37 == 0) {
            err = pkg_store_compact(store, NULL);
        }
        if (err != BRISK_OK && err != BRISK_ERR_CONFLICT) {
            return 2;
        }
    }
}

static void test_killed_writers(void **state)
{
    const fixture *f = *state;
    enum { ROUNDS = 100, PACKAGES = 40 };
    uint64_t random = check_seed();
    pkg_store *reader = open_store(f, NULL);
    uint32_t found = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        writing w[2] = {{.f = f, .seed = round}, {.f = f, .seed = round + 17}};
        pid_t first = child_start(write_forever, &w[0]);
        pid_t second = child_start(write_forever, &w[1]);
        struct timespec some = {.tv_nsec = (long)(check_random(&random) % 12000000)};
        (void)nanosleep(&some, NULL);
        assert_int_equal(kill(first, SIGKILL), 0);
        assert_int_equal(kill(second, SIGKILL), 0);
        assert_int_equal(child_wait(first), 1000 + SIGKILL);
        assert_int_equal(child_wait(second), 1000 + SIGKILL);
        pkg_store *fresh = open_store(f, NULL);
        for (uint32_t package = 0; package < PACKAGES; package++) {
            char name[32];
            pkg_stored stored;
            (void)snprintf(name, sizeof name, "p%u", package);
            brisk_err err = pkg_store_get(fresh, REGISTRY, pkg_text_of(name), &stored);
            assert_true(err == BRISK_OK || err == BRISK_ERR_NOT_FOUND);
            if (err == BRISK_OK) {
                CHECK_U64(number_of(fresh, name) / 1000, ==, package);
                CHECK_U64(number_of(fresh, name), ==, number_of(reader, name));
                found++;
            }
        }
        pkg_store_close(fresh);
    }
    CHECK_U64(found, >, ROUNDS);
    pkg_store_close(reader);
}

typedef struct shared {
    pkg_store *store;
    _Atomic bool stop;
    _Atomic uint32_t wrong;
    _Atomic uint64_t reads;
} shared;

static void *read_until_stopped(void *ctx)
{
    shared *s = ctx;
    char name[32];
    for (uint32_t i = 0; !atomic_load(&s->stop) || i < 100; i++) {
        (void)snprintf(name, sizeof name, "p%u", i % 20);
        uint32_t number = number_of(s->store, name);
        bool right = number == UINT32_MAX || number / 1000 == i % 20;
        atomic_fetch_add(&s->wrong, right ? 0 : 1);
        atomic_fetch_add(&s->reads, 1);
        (void)pkg_store_generation(s->store);
        if (i % 64 == 0) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void test_readers_beside_a_writer(void **state)
{
    const fixture *f = *state;
    enum { READERS = 3, PUTS = 600 };
    shared s = {.store = open_store(f, NULL)};
    pthread_t threads[READERS];
    for (uint32_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_until_stopped, &s), 0);
    }
    char name[32];
    for (uint32_t i = 0; i < PUTS; i++) {
        (void)snprintf(name, sizeof name, "p%u", i % 20);
        CHECK_OK(put(s.store, make(f->reader, name, 1000 * (i % 20) + i / 20, 3000), NULL));
        if (i % 50 == 49) {
            CHECK_OK(pkg_store_compact(s.store, NULL));
        }
        CHECK_OK(pkg_store_touch(s.store, REGISTRY, pkg_text_of(name), i, i));
    }
    atomic_store(&s.stop, true);
    for (uint32_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    CHECK_U64(atomic_load(&s.wrong), ==, 0);
    CHECK_U64(atomic_load(&s.reads), >, 0);
    pkg_store_close(s.store);
}

/* --- full disks ------------------------------------------------------------------------------- */

/* A file system of `size` is mounted for the child only. */
static int fill_disk(void *ctx)
{
    const fixture *f = ctx;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("brisk-test", f->dir->path, "tmpfs", 0, "size=2m,mode=0700") != 0) {
        return CHILD_SKIPPED;
    }
    pkg_store *store;
    brisk_errinfo info;
    if (pkg_store_open(f->path, NULL, &store, &info) != BRISK_OK) {
        return 1;
    }
    char name[32];
    uint32_t count = 0;
    brisk_err err = BRISK_OK;
    for (; err == BRISK_OK && count < 1000; count++) {
        (void)snprintf(name, sizeof name, "p%u", count);
        err = put(store, make(f->reader, name, count, 30000), &info);
    }
    if (err != BRISK_ERR_FULL || count < 20) {
        return 2;
    }
    if (pkg_store_compact(store, &info) != BRISK_ERR_FULL) {
        return 3;
    }
    for (uint32_t i = 0; i + 1 < count; i++) {
        (void)snprintf(name, sizeof name, "p%u", i);
        if (number_of(store, name) != i) {
            return 4;
        }
    }
    pkg_store_close(store);
    if (pkg_store_open(f->path, NULL, &store, &info) != BRISK_OK || number_of(store, "p0") != 0) {
        return 5;
    }
    pkg_store_close(store);
    return 0;
}

static void test_a_full_disk(void **state)
{
    int status = child_wait(child_start(fill_disk, *state));
    if (status == CHILD_SKIPPED) {
        print_message("no tmpfs may be mounted here: skipped\n");
        skip();
    }
    assert_int_equal(status, 0);
}

/* A limit of the process instead of a disk: needs no rights. */
static int hit_file_limit(void *ctx)
{
    const fixture *f = ctx;
    struct rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
    pkg_store *store;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0 || signal(SIGXFSZ, SIG_IGN) == SIG_ERR ||
        pkg_store_open(f->path, NULL, &store, NULL) != BRISK_OK) {
        return 1;
    }
    char name[32];
    uint32_t count = 0;
    brisk_err err = BRISK_OK;
    for (; err == BRISK_OK && count < 1000; count++) {
        (void)snprintf(name, sizeof name, "p%u", count);
        err = put(store, make(f->reader, name, count, 30000), NULL);
    }
    for (uint32_t i = 0; i + 1 < count; i++) {
        (void)snprintf(name, sizeof name, "p%u", i);
        if (number_of(store, name) != i) {
            return 2;
        }
    }
    pkg_store_close(store);
    return count > 10 && count < 1000 ? 0 : 3;
}

static void test_a_limit_of_file_sizes(void **state)
{
    assert_int_equal(child_wait(child_start(hit_file_limit, *state)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_put_and_get, begin, end),
        cmocka_unit_test_setup_teardown(test_replacing_keeps_what_was_given, begin, end),
        cmocka_unit_test_setup_teardown(test_the_index_grows, begin, end),
        cmocka_unit_test_setup_teardown(test_dead_records_are_left_behind, begin, end),
        cmocka_unit_test_setup_teardown(test_the_limit_of_bytes, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_no_store, begin, end),
        cmocka_unit_test_setup_teardown(test_damage_and_cuts, begin, end),
        cmocka_unit_test_setup_teardown(test_a_torn_tail_is_cut, begin, end),
        cmocka_unit_test_setup_teardown(test_the_file_goes_away, begin, end),
        cmocka_unit_test_setup_teardown(test_every_allocation_may_fail, begin, end),
        cmocka_unit_test_setup_teardown(test_two_stores_of_one_file, begin, end),
        cmocka_unit_test_setup_teardown(test_a_lock_that_is_held, begin, end),
        cmocka_unit_test_setup_teardown(test_a_lock_file_that_was_removed, begin, end),
        cmocka_unit_test_setup_teardown(test_killed_writers, begin, end),
        cmocka_unit_test_setup_teardown(test_readers_beside_a_writer, begin, end),
        cmocka_unit_test_setup_teardown(test_a_full_disk, begin, end),
        cmocka_unit_test_setup_teardown(test_a_limit_of_file_sizes, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
