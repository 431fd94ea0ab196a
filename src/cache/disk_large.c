/*
 * disk_large.c -- values in files of their own: <segment>.files/<number>.
 *
 * The file is written before the record that names it, under a name that was never used, and is
 * never changed afterwards: a crash leaves a file that nobody names, which goes with its segment.
 * Its content is summed while it is written; it is checked by whoever reads or copies it out,
 * because checking it here would read it twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/file.h>

#include "cache/disk.h"

enum { CHUNK_BYTES = 1 << 17, NAME_TRIES = 64 };

static brisk_err open_new(disk_tier *tier, uint32_t segment, uint64_t *number, int *ret)
{
    char name[DISK_NAME_MAX];
    int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    for (int tries = 0; tries < NAME_TRIES; tries++) {
        *number = atomic_fetch_add_explicit(&tier->header->next_file, 1, memory_order_relaxed);
        disk_file_name(name, segment, *number);
        int fd = tier->sys->openat(tier->dir_fd, name, flags, 0600);
        if (fd >= 0) {
            *ret = fd;
            return BRISK_OK;
        }
        int os_errno = errno;
        if (os_errno == ENOENT) {
            disk_files_name(name, segment);
            if (mkdirat(tier->dir_fd, name, 0700) == 0 || errno == EEXIST) {
                continue;
            }
            os_errno = errno;
        }
        if (os_errno != EEXIST) {
            return brisk_err_from_errno(os_errno);
        }
    }
    return BRISK_ERR_CONFLICT;
}

static brisk_err write_bytes(const disk_tier *tier, int fd, const unsigned char *data,
                             uint64_t size, brisk_hash128 *ret)
{
    brisk_hasher hasher;
    brisk_hasher_init(&hasher, 0);
    for (uint64_t at = 0; at < size;) {
        size_t part = size - at < CHUNK_BYTES ? (size_t)(size - at) : CHUNK_BYTES;
        brisk_hasher_update(&hasher, data + at, part);
        brisk_err err = disk_pwrite_all(tier, fd, data + at, part, at);
        if (err != BRISK_OK) {
            return err;
        }
        at += part;
    }
    *ret = brisk_hasher_digest128(&hasher);
    return BRISK_OK;
}

static brisk_err clone_file(int src_fd, int fd, uint64_t size, brisk_hash128 *ret)
{
    brisk_err err = brisk_file_clone(src_fd, fd, size, NULL);
    brisk_hasher hasher;
    brisk_hasher_init(&hasher, 0);
    unsigned char buffer[CHUNK_BYTES / 4];
    for (uint64_t at = 0; at < size && err == BRISK_OK;) {
        size_t part = size - at < sizeof buffer ? (size_t)(size - at) : sizeof buffer;
        err = brisk_file_pread_all(fd, buffer, part, at); /* what is stored, not what was meant */
        if (err == BRISK_OK) {
            brisk_hasher_update(&hasher, buffer, part);
        }
        at += part;
    }
    if (err == BRISK_OK) {
        *ret = brisk_hasher_digest128(&hasher);
    }
    return err;
}

static void uncount(const disk_tier *tier, uint32_t segment, uint64_t size)
{
    disk_entry *entry = disk_entry_find(tier, segment);
    if (entry != NULL) {
        uint64_t bytes = atomic_load_explicit(&entry->file_bytes, memory_order_relaxed);
        while (!atomic_compare_exchange_weak_explicit(&entry->file_bytes, &bytes,
                                                      bytes > size ? bytes - size : 0,
                                                      memory_order_relaxed, memory_order_relaxed)) {
        }
    }
}

/* Room for the value, counted in advance on the active segment. */
static brisk_err reserve(disk_tier *tier, uint64_t size, uint64_t expires_at_ns,
                         uint32_t *ret_segment)
{
    disk_need need = {.bytes = DISK_RECORD_HEAD_MAX, .expires_at_ns = expires_at_ns};
    disk_active *active = NULL;
    pthread_mutex_lock(&tier->write_lock);
    brisk_err err = disk_room_make(tier, size);
    if (err == BRISK_OK) {
        err = disk_active_ready(tier, &need, &active);
    }
    if (err == BRISK_OK) {
        *ret_segment = active->id;
        atomic_fetch_add_explicit(&active->entry->file_bytes, size, memory_order_relaxed);
        /* A new active segment may have taken the room. */
        err = disk_room_make(tier, 0);
        if (err == BRISK_OK && disk_entry_find(tier, *ret_segment) == NULL) {
            err = BRISK_ERR_DECLINED; /* others were faster, and our segment went for it */
        } else if (err != BRISK_OK) {
            uncount(tier, *ret_segment, size);
        }
    }
    pthread_mutex_unlock(&tier->write_lock);
    return err;
}

/* The file, its name, and the name of its folder. */
static brisk_err make_durable(disk_tier *tier, int fd, uint32_t segment)
{
    char name[DISK_NAME_MAX];
    disk_files_name(name, segment);
    if (tier->sys->fdatasync(fd) != 0) {
        return BRISK_ERR_IO;
    }
    int dir = tier->sys->openat(tier->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (dir < 0) {
        return brisk_err_from_errno(errno);
    }
    int failed = tier->sys->fdatasync(dir);
    (void)close(dir);
    atomic_fetch_add_explicit(&tier->header->gone, 1, memory_order_seq_cst);
    return failed == 0 ? BRISK_OK : BRISK_ERR_IO;
}

brisk_err disk_large_store(disk_tier *tier, brisk_value *value, uint64_t expires_at_ns,
                           disk_file_ref *ret)
{
    uint64_t size = brisk_value_size(value);
    if (size > tier->data_max || size + tier->segment_bytes > tier->data_max) {
        return BRISK_ERR_DECLINED;
    }
    disk_file_ref ref = {.size = size};
    brisk_err err = reserve(tier, size, expires_at_ns, &ref.segment);
    if (err != BRISK_OK) {
        return err;
    }
    int fd = -1;
    err = open_new(tier, ref.segment, &ref.number, &fd);
    if (err != BRISK_OK) {
        uncount(tier, ref.segment, size);
        return err;
    }
    brisk_hash128 content = {0, 0};
    err = brisk_value_fd(value) >= 0
              ? clone_file(brisk_value_fd(value), fd, size, &content)
              : write_bytes(tier, fd, brisk_value_data(value), size, &content);
    if (err == BRISK_OK && disk_is_durable(tier)) {
        err = make_durable(tier, fd, ref.segment);
    }
    (void)close(fd);
    ref.content_lo = content.lo;
    ref.content_hi = content.hi;
    if (err != BRISK_OK) {
        disk_large_remove(tier, &ref);
        return err;
    }
    *ret = ref;
    return BRISK_OK;
}

brisk_err disk_large_open(const disk_tier *tier, const disk_file_ref *ref, brisk_value **ret)
{
    char name[DISK_NAME_MAX];
    disk_file_name(name, ref->segment, ref->number);
    int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    int fd = tier->sys->openat(tier->dir_fd, name, flags, 0);
    if (fd < 0) {
        brisk_err err = brisk_err_from_errno(errno);
        return err == BRISK_ERR_NOT_FOUND ? err : BRISK_ERR_IO;
    }
    struct stat st;
    brisk_err err = BRISK_ERR_CORRUPT;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == ref->size) {
        err = brisk_value_from_fd(fd, ref->size, tier->alloc, ret);
    }
    if (err != BRISK_OK) {
        (void)close(fd);
    }
    return err;
}

void disk_large_remove(disk_tier *tier, const disk_file_ref *ref)
{
    char name[DISK_NAME_MAX];
    disk_file_name(name, ref->segment, ref->number);
    if (unlinkat(tier->dir_fd, name, 0) == 0) {
        uncount(tier, ref->segment, ref->size);
    }
}
