/*
 * temp_dir.h -- a folder of the test's own, removed with everything in it; and small file helpers.
 *
 *     BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
 *     const char *path = temp_dir_path(dir, "input.bin");
 *
 * Paths live as long as the folder.  Failures of the helpers themselves fail the test.
 */
#ifndef BRISK_TESTS_TEMP_DIR_H
#define BRISK_TESTS_TEMP_DIR_H

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "support/check.h"

typedef struct temp_dir {
    struct temp_dir_name {
        struct temp_dir_name *next;
        char path[PATH_MAX];
    } * names;
    char path[256];
} temp_dir;

static inline temp_dir *temp_dir_make(void)
{
    temp_dir *dir = calloc(1, sizeof *dir);
    assert_non_null(dir);
    const char *base = getenv("TMPDIR");
    (void)snprintf(dir->path, sizeof dir->path, "%s/brisk-test-XXXXXX",
                   base != NULL && strlen(base) < 128 ? base : "/tmp");
    assert_non_null(mkdtemp(dir->path));
    return dir;
}

/* "<folder>/<name>". */
static inline const char *temp_dir_path(temp_dir *dir, const char *name)
{
    struct temp_dir_name *entry = calloc(1, sizeof *entry);
    assert_non_null(entry);
    (void)snprintf(entry->path, sizeof entry->path, "%s/%s", dir->path, name);
    entry->next = dir->names;
    dir->names = entry;
    return entry->path;
}

static inline int temp_dir_remove_one(const char *path, const struct stat *st, int type,
                                      struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void temp_dir_remove(temp_dir *dir)
{
    if (dir == NULL) {
        return;
    }
    (void)nftw(dir->path, temp_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    while (dir->names != NULL) {
        struct temp_dir_name *next = dir->names->next;
        free(dir->names);
        dir->names = next;
    }
    free(dir);
}

BRISK_DEFINE_CLEANUP(temp_dir, temp_dir_remove)

static inline void temp_write(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    size_t done = 0;
    while (done < size) {
        ssize_t part = write(fd, (const char *)data + done, size - done);
        assert_true(part > 0);
        done += (size_t)part;
    }
    assert_int_equal(close(fd), 0);
}

static inline void temp_write_text(const char *path, const char *text)
{
    temp_write(path, text, strlen(text));
}

/* Whether the file has exactly these bytes. */
static inline bool temp_holds(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    struct stat st;
    bool same = fstat(fd, &st) == 0 && (size_t)st.st_size == size;
    char buffer[65536];
    for (size_t at = 0; same && at < size;) {
        ssize_t part = pread(fd, buffer, sizeof buffer, (off_t)at);
        same = part > 0 && memcmp(buffer, (const char *)data + at, (size_t)part) == 0;
        at += part > 0 ? (size_t)part : 0;
    }
    (void)close(fd);
    return same;
}

/* Entries of a folder, hidden ones too, "." and ".." not. */
static inline size_t temp_count(const char *folder)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    size_t count = 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            count++;
        }
    }
    (void)closedir(dir);
    return count;
}

#endif /* BRISK_TESTS_TEMP_DIR_H */
