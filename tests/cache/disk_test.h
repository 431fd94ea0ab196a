/*
 * disk_test.h -- what the tests of the disk tier share.
 */
#ifndef BRISK_TESTS_DISK_TEST_H
#define BRISK_TESTS_DISK_TEST_H

#include <string.h>
#include <unistd.h>

#include <brisk/cache.h>
#include <brisk/log.h>

#include "cache/disk.h"
#include "support/check.h"
#include "support/temp_dir.h"

/* Thousands of folders are made and removed faster in memory; TMPDIR overrules. */
static inline int disk_use_memory(void **state)
{
    (void)state;
    return access("/dev/shm", W_OK) == 0 ? setenv("TMPDIR", "/dev/shm", 0) : 0;
}

/* --- tiers ----------------------------------------------------------------------------------- */

static inline brisk_tier *disk_open_opts(const brisk_disk_tier_opts *opts)
{
    brisk_tier *tier = NULL;
    brisk_errinfo info = {0};
    brisk_err err = brisk_disk_tier_open(opts, &tier, &info);
    if (err != BRISK_OK) {
        fail_msg("open: %s", info.text);
    }
    return tier;
}

/* A tier with small segments in `path`. */
static inline brisk_tier *disk_open_small(const char *path)
{
    return disk_open_opts(
        &(brisk_disk_tier_opts){.path = path, .bytes_max = 64 << 20, .segment_bytes = 64 << 10});
}

/* --- entries --------------------------------------------------------------------------------- */

static inline brisk_err disk_put_bytes(brisk_tier *tier, const char *key, const void *data,
                                       size_t size)
{
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy(data, size, NULL, &value));
    brisk_key k = brisk_key_of(key, strlen(key));
    brisk_err err = tier->ops->put(tier, &k, value, NULL);
    brisk_value_unref(value);
    return err;
}

static inline brisk_err disk_put_text(brisk_tier *tier, const char *key, const char *text)
{
    return disk_put_bytes(tier, key, text, strlen(text));
}

static inline brisk_err disk_get_key(brisk_tier *tier, const char *key, brisk_hit *ret)
{
    brisk_key k = brisk_key_of(key, strlen(key));
    return tier->ops->get(tier, &k, ret);
}

static inline brisk_err disk_remove_key(brisk_tier *tier, const char *key)
{
    brisk_key k = brisk_key_of(key, strlen(key));
    return tier->ops->remove(tier, &k);
}

static inline bool disk_misses(brisk_tier *tier, const char *key)
{
    brisk_hit hit;
    brisk_err err = disk_get_key(tier, key, &hit);
    if (err == BRISK_OK) {
        brisk_value_unref(hit.value);
    }
    return err == BRISK_ERR_NOT_FOUND;
}

static inline bool disk_holds(brisk_tier *tier, const char *key, const void *data, size_t size)
{
    brisk_hit hit;
    if (disk_get_key(tier, key, &hit) != BRISK_OK) {
        return false;
    }
    bool same = brisk_value_size(hit.value) == size;
    if (same && brisk_value_data(hit.value) != NULL) {
        same = memcmp(brisk_value_data(hit.value), data, size) == 0;
    } else if (same) {
        unsigned char *copy = malloc(size + 1);
        same = pread(brisk_value_fd(hit.value), copy, size + 1, 0) == (ssize_t)size &&
               memcmp(copy, data, size) == 0;
        free(copy);
    }
    brisk_value_unref(hit.value);
    return same;
}

static inline bool disk_holds_text(brisk_tier *tier, const char *key, const char *text)
{
    return disk_holds(tier, key, text, strlen(text));
}

static inline brisk_tier_stats disk_stats(brisk_tier *tier)
{
    brisk_tier_stats stats;
    tier->ops->read_stats(tier, &stats);
    return stats;
}

/* --- the folder -------------------------------------------------------------------------------- */

static inline void disk_join(char path[static 512], const char *folder, const char *name)
{
    (void)snprintf(path, 512, "%.380s/%.100s", folder, name);
}

static inline bool disk_exists(const char *folder, const char *name)
{
    char path[512];
    disk_join(path, folder, name);
    return access(path, F_OK) == 0;
}

static inline void disk_unlink(const char *folder, const char *name)
{
    char path[512];
    disk_join(path, folder, name);
    assert_int_equal(unlink(path), 0);
}

/* A file's bytes; *ret_size of them; free() them. */
static inline unsigned char *disk_slurp(const char *path, size_t *ret_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    unsigned char *data = malloc((size_t)st.st_size + 1);
    size_t done = 0;
    while (done < (size_t)st.st_size) {
        ssize_t part = pread(fd, data + done, (size_t)st.st_size - done, (off_t)done);
        assert_true(part > 0);
        done += (size_t)part;
    }
    (void)close(fd);
    *ret_size = done;
    return data;
}

static inline void disk_quiet(void *ctx, brisk_log_level level, const char *area, const char *line)
{
    (void)level;
    (void)area;
    (void)line;
    if (ctx != NULL) {
        (*(unsigned int *)ctx)++;
    }
}

/* Count log lines instead of printing them; `count` may be NULL. */
static inline void disk_count_log(unsigned int *count)
{
    brisk_log_set_sink(disk_quiet, count, NULL);
}

#endif /* BRISK_TESTS_DISK_TEST_H */
