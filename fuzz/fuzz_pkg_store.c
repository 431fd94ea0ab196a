/*
 * fuzz_pkg_store.c -- damaged stores and damaged records.  The first byte chooses, modulo 3:
 *
 *     0  the rest is the store's file
 *     1  the rest changes bytes of a good store: three bytes of place, one of value, each time
 *     2  likewise of a record, which no checksum guards here
 *
 * Oracle: a package that is given is one that was put; the store can be written to afterwards; no
 * read goes astray.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <brisk/arena.h>
#include <brisk/file.h>

#include "base/assert.h"
#include "workload/pkg/packument.h"
#include "workload/pkg/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { GOOD_MAX = 1 << 20, PATCH_BYTES = 4 };

static const char json[] =
    "{\"name\":\"a\",\"dist-tags\":{\"latest\":\"1.0.1\"},\"versions\":{\"1.0.0\":{"
    "\"dependencies\":{"
    "\"b\":\"^1.2.3 || 2.0.0-x.1+y\",\"c\":\"99999999999.0.0\"},\"bin\":\"./a\",\"os\":[\"x\"],"
    "\"dist\":{\"shasum\":\"7b33a9fb54c605a3be46c1d3dbbc821acf1d2efb\",\"tarball\":"
    "\"https://h/a/-/a-1.0.0.tgz\"}},\"1.0.1\":{\"engines\":{\"node\":\">=4\"}},"
    "\"99999999999.0.0-rc+b\":{}},\"time\":{\"1.0.0\":\"2019-02-03T04:05:06.789Z\"}}";

static char path[64];
static pkg_packument_reader *reader;
static const pkg_package *package; /* the reader's */
static uint8_t good[GOOD_MAX];     /* a store that has it */
static size_t good_size;
static brisk_arena *arena;

static void write_file(const uint8_t *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    BRISK_ASSERT(fd >= 0 && brisk_file_write_all(fd, data, size) == BRISK_OK);
    (void)close(fd);
}

static pkg_store *open_store(void)
{
    pkg_store *store = NULL;
    BRISK_ASSERT(pkg_store_open(path, &(pkg_store_opts){.bytes_max = 64 << 20}, &store, NULL) ==
                 BRISK_OK);
    return store;
}

static void put(pkg_store *store)
{
    pkg_stored stored = {.package = package, .etag = PKG_TEXT("e"), .registry = 1};
    BRISK_ASSERT(pkg_store_put(store, &stored, NULL) == BRISK_OK);
}

static void remove_files(void)
{
    char lock[80];
    (void)unlink(path);
    (void)snprintf(lock, sizeof lock, "%s.lock", path);
    (void)unlink(lock);
}

static void start(void)
{
    const char *folder = getenv("TMPDIR");
    (void)snprintf(path, sizeof path, "%.30s/brisk-fuzz-%ld.store",
                   folder != NULL && strlen(folder) < 30 ? folder : "/tmp", (long)getpid());
    BRISK_ASSERT(atexit(remove_files) == 0);
    BRISK_ASSERT(brisk_arena_create(NULL, &arena) == BRISK_OK);
    BRISK_ASSERT(pkg_packument_reader_create(NULL, &reader) == BRISK_OK);
    BRISK_ASSERT(pkg_packument_read(reader, PKG_TEXT("a"), PKG_TEXT(json), &package, NULL) ==
                 BRISK_OK);
    write_file(good, 0);
    pkg_store *store = open_store();
    put(store);
    pkg_store_close(store);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, good, sizeof good) : -1;
    BRISK_ASSERT(size > 0 && size < (ssize_t)sizeof good);
    (void)close(fd);
    good_size = (size_t)size;
}

static void check_file(bool compact)
{
    pkg_store *store = open_store();
    pkg_stored stored;
    for (uint32_t round = 0; round < 2; round++) {
        brisk_err err = pkg_store_get(store, 1, PKG_TEXT("a"), &stored);
        BRISK_ASSERT(err == BRISK_OK ||
                     (round == 0 && (err == BRISK_ERR_NOT_FOUND || err == BRISK_ERR_CORRUPT)));
        BRISK_ASSERT(err != BRISK_OK ||
                     (pkg_package_bytes(stored.package) == pkg_package_bytes(package) &&
                      memcmp(stored.package, package, pkg_package_bytes(package)) == 0));
        put(store);
    }
    if (compact) { /* syncs to disk: seldom */
        BRISK_ASSERT(pkg_store_compact(store, NULL) == BRISK_OK);
    }
    BRISK_ASSERT(pkg_store_get(store, 1, PKG_TEXT("a"), &stored) == BRISK_OK);
    pkg_store_close(store);
}

/* A copy of `from` with the changes of `data`, of its exact size. */
static uint8_t *patched(const void *from, size_t size, const uint8_t *data, size_t data_size)
{
    uint8_t *copy = aligned_alloc(8, (size + 7) / 8 * 8);
    BRISK_ASSERT(copy != NULL);
    memcpy(copy, from, size);
    for (size_t i = 0; i + PATCH_BYTES <= data_size; i += PATCH_BYTES) {
        size_t at = (size_t)data[i] | (size_t)data[i + 1] << 8 | (size_t)data[i + 2] << 16;
        copy[at % size] = data[i + 3];
    }
    return copy;
}

static uint64_t sum;

static void touch(pkg_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        sum += (unsigned char)text.data[i];
    }
}

static void check_record(const uint8_t *data, size_t size)
{
    const pkg_package *p;
    uint8_t *copy = patched(package, pkg_package_bytes(package), data, size);
    if (pkg_package_open(copy, pkg_package_bytes(package), &p) == BRISK_OK) {
        touch(pkg_package_name(p));
        for (uint32_t i = 0; i < pkg_package_count(p) && i < 64; i++) {
            pkg_version version;
            const pkg_manifest *m;
            pkg_package_version(p, i, &version);
            touch(version.text);
            touch(version.semver.prerelease);
            touch(version.semver.build);
            touch(version.engine_node);
            if (pkg_package_manifest(p, i, arena, &m) == BRISK_OK) {
                touch(m->tarball);
                touch(m->engines);
                for (uint32_t dep = 0; dep < m->dep_count; dep++) {
                    touch(m->deps[dep].spec);
                    sum += m->deps[dep].range != NULL &&
                           semver_range_has(m->deps[dep].range, &version.semver);
                }
            }
        }
        sum += pkg_package_tag(p, PKG_TEXT("latest")) + pkg_package_find(p, PKG_TEXT("1.0.1"));
    }
    brisk_arena_reset(arena);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (reader == NULL) {
        start();
    }
    if (size == 0 || size > GOOD_MAX) {
        return 0;
    }
    if (data[0] % 3 == 2) {
        check_record(data + 1, size - 1);
    } else if (data[0] % 3 == 1) {
        uint8_t *copy = patched(good, good_size, data + 1, size - 1);
        write_file(copy, good_size);
        free(copy);
        check_file(data[0] > 240);
    } else {
        write_file(data + 1, size - 1);
        check_file(data[0] > 240);
    }
    return 0;
}
