/*
 * shelf.c -- files named by the hash of what is in them.
 */
#include "daemon/encode/shelf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/file.h>
#include <brisk/log.h>

enum { NAME_SIZE = 2 * ENCODE_HASH_BYTES + 1 };

/* One file that is there. */
typedef struct item {
    char name[NAME_SIZE];
    uint64_t size;
    struct timespec time;
} item;

/* --- names ------------------------------------------------------------------------------------ */

static void name_of(const uint8_t *hash, char to[NAME_SIZE])
{
    for (int i = 0; i < ENCODE_HASH_BYTES; i++) {
        (void)snprintf(to + 2 * i, 3, "%02x", hash[i]);
    }
}

static bool is_name(const char *name)
{
    return strlen(name) == NAME_SIZE - 1 && strspn(name, "0123456789abcdef") == NAME_SIZE - 1;
}

static void find_folder(char to[SHELF_PATH_MAX])
{
    static const struct {
        const char *variable;
        const char *below;
    } places[] = {
        {"STATE_DIRECTORY", "dictionaries"},
        {"XDG_STATE_HOME", "brisk/dictionaries"},
        {"HOME", ".local/state/brisk/dictionaries"},
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *base = secure_getenv(places[i].variable);
        if (base == NULL || base[0] != '/' ||
            strchr(base, ':') != NULL) { /* systemd lists several */
            continue;
        }
        int size = snprintf(to, SHELF_PATH_MAX, "%s/%s", base, places[i].below);
        if (size > 0 && size < SHELF_PATH_MAX) {
            return;
        }
    }
    to[0] = '\0';
}

void shelf_init(shelf *self, const char *folder, const brisk_alloc *alloc)
{
    *self = (shelf){.alloc = alloc};
    if (folder == NULL || folder[0] == '\0') {
        find_folder(self->folder);
    } else if (strcmp(folder, "off") != 0 && strlen(folder) < SHELF_PATH_MAX) {
        memcpy(self->folder, folder, strlen(folder) + 1);
    }
}

/* The folder, when it is ours alone; -1, with errno, otherwise. */
static int open_folder(const shelf *self)
{
    if (self->folder[0] == '\0') {
        errno = ENOENT;
        return -1;
    }
    int fd = open(self->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    if (fd >= 0 && (fstat(fd, &st) != 0 || st.st_uid != geteuid() || (st.st_mode & 022) != 0)) {
        (void)close(fd);
        fd = -1;
        errno = EPERM;
    }
    return fd;
}

/* --- one file --------------------------------------------------------------------------------- */

static brisk_err write_file(const shelf *self, const char *name, codec_bytes bytes,
                            brisk_errinfo *info)
{
    char path[SHELF_PATH_MAX + NAME_SIZE + 1];
    brisk_file_replace *replace;
    (void)snprintf(path, sizeof path, "%s/%s", self->folder, name);
    brisk_err err = brisk_file_replace_open(path, self->alloc, &replace, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = brisk_file_write_all(brisk_file_replace_fd(replace), bytes.data, bytes.size);
    if (err != BRISK_OK) {
        brisk_file_replace_abort(replace);
        return brisk_errinfo_set(info, err, "%s: %s", path, brisk_err_message(err));
    }
    return brisk_file_replace_commit(replace, false, info); /* its name tells a torn one */
}

void shelf_put(const shelf *self, const uint8_t hash[ENCODE_HASH_BYTES], codec_bytes bytes)
{
    char name[NAME_SIZE];
    brisk_errinfo info = {.text = ""};
    if (self->folder[0] == '\0') {
        return;
    }
    name_of(hash, name);
    brisk_err err = brisk_file_make_dirs(self->folder, &info);
    int fd = err == BRISK_OK ? open_folder(self) : -1;
    if (err == BRISK_OK && fd < 0) {
        err = brisk_errinfo_set(&info, BRISK_ERR_PERMISSION, "%s: %s", self->folder,
                                errno == EPERM ? "others may write there" : strerror(errno));
    }
    bool there = fd >= 0 && utimensat(fd, name, NULL, AT_SYMLINK_NOFOLLOW) == 0;
    if (err == BRISK_OK && !there) {
        err = write_file(self, name, bytes, &info);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (err != BRISK_OK) {
        brisk_log(BRISK_LOG_WARNING, "serve", "a dictionary was not kept: %s", info.text);
    }
}

void shelf_drop(const shelf *self, const uint8_t hash[ENCODE_HASH_BYTES])
{
    char name[NAME_SIZE];
    int fd = open_folder(self);
    if (fd >= 0) {
        name_of(hash, name);
        (void)unlinkat(fd, name, 0); /* somebody else may have done it */
        (void)close(fd);
    }
}

/* The bytes of one file; NULL: it is none, is not what its name says, or there is no memory. */
static brisk_value *read_file(const shelf *self, int folder, const item *one, bool *ret_wrong)
{
    brisk_value *value = NULL;
    void *data;
    struct stat st;
    char name[NAME_SIZE];
    *ret_wrong = false;
    int fd = openat(folder, one->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    bool same = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == one->size;
    if (same && brisk_value_reserve(one->size, self->alloc, &data, &value) == BRISK_OK &&
        brisk_file_pread_all(fd, data, one->size, 0) == BRISK_OK) {
        uint8_t hash[ENCODE_HASH_BYTES];
        struct sha256_ctx sha;
        sha256_init(&sha);
        sha256_update(&sha, one->size, data);
        sha256_digest(&sha, sizeof hash, hash);
        name_of(hash, name);
        *ret_wrong = strcmp(name, one->name) != 0;
        same = !*ret_wrong;
    } else {
        same = false;
    }
    (void)close(fd);
    if (!same) {
        brisk_value_unref(value);
        value = NULL;
    }
    return value;
}

/* --- all of them ------------------------------------------------------------------------------ */

/* Newest first; of one moment by name. */
static int by_time(const void *a, const void *b)
{
    const item *x = a;
    const item *y = b;
    if (x->time.tv_sec != y->time.tv_sec) {
        return x->time.tv_sec < y->time.tv_sec ? 1 : -1;
    }
    if (x->time.tv_nsec != y->time.tv_nsec) {
        return x->time.tv_nsec < y->time.tv_nsec ? 1 : -1;
    }
    return strcmp(x->name, y->name);
}

/* Up to SHELF_FILES_MAX of them; what has a hash's name and cannot be one is removed. */
static uint32_t list(DIR *folder, item *items)
{
    uint32_t count = 0;
    struct dirent *entry;
    while (count < SHELF_FILES_MAX && (entry = readdir(folder)) != NULL) {
        struct stat st;
        if (!is_name(entry->d_name) ||
            fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > ENCODE_DICTIONARY_MAX) {
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
            continue;
        }
        items[count] = (item){.size = (uint64_t)st.st_size, .time = st.st_mtim};
        memcpy(items[count++].name, entry->d_name, NAME_SIZE);
    }
    qsort(items, count, sizeof *items, by_time);
    return count;
}

/* The first that stay; the others are removed. */
static uint32_t trim(int folder, const item *items, uint32_t count, uint32_t count_max,
                     uint64_t bytes_max)
{
    uint32_t kept = 0;
    uint64_t bytes = 0;
    while (kept < count && kept < count_max && items[kept].size <= bytes_max - bytes) {
        bytes += items[kept++].size;
    }
    for (uint32_t i = kept; i < count; i++) {
        (void)unlinkat(folder, items[i].name, 0);
    }
    return kept;
}

void shelf_load(const shelf *self, uint32_t count_max, uint64_t bytes_max,
                void (*found)(void *ctx, brisk_value *value), void *ctx)
{
    int fd = open_folder(self);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    size_t room = SHELF_FILES_MAX * sizeof(item);
    item *items =
        folder != NULL ? self->alloc->acquire(self->alloc->ctx, room, _Alignof(item)) : NULL;
    if (items != NULL) {
        uint32_t kept = trim(fd, items, list(folder, items), count_max, bytes_max);
        while (kept > 0) {
            bool wrong;
            const item *one = &items[--kept];
            brisk_value *value = read_file(self, fd, one, &wrong);
            if (value != NULL) {
                found(ctx, value);
                brisk_value_unref(value);
            } else if (wrong) {
                brisk_log(BRISK_LOG_WARNING, "serve", "%s/%s: damaged, and removed", self->folder,
                          one->name);
                (void)unlinkat(fd, one->name, 0);
            }
        }
        self->alloc->release(self->alloc->ctx, items, room, _Alignof(item));
    }
    if (folder != NULL) {
        (void)closedir(folder);
    } else if (fd >= 0) {
        (void)close(fd);
    }
}
