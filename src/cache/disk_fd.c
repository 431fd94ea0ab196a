/*
 * disk_fd.c -- open segments, shared by the threads of a process.
 *
 * A segment's descriptor stands at id mod DISK_FDS.  Readers pin it with one compare-and-swap on
 * its word (id << 32 | BUSY | pins); it is opened, replaced and closed under fd_lock and only
 * while nobody has it pinned, with BUSY set, so a descriptor number is never closed under a
 * reader.  If the place is taken by a pinned other segment, the pin gets a descriptor of its own.
 *
 * A shared descriptor has a mapping beside it, since reading a kilobyte with a call costs three times
 * what its cache misses cost.  No byte behind the end of the file is touched: what seems to lie there
 * is asked for with fstat first, as segments grow.  A page that goes nevertheless, cut by somebody or
 * unreadable, is replaced by zeros and the mapping is used no more (base/map_guard.h): whatever was
 * read is looked at again with calls, and those say what is true.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/map_guard.h"
#include "cache/disk.h"

#define PIN_BUSY UINT64_C(0x80000000)
#define PIN_MASK UINT64_C(0x7fffffff)

void disk_segment_name(char name[static DISK_NAME_MAX], uint32_t id)
{
    (void)snprintf(name, DISK_NAME_MAX, "%08x.seg", id);
}

void disk_files_name(char name[static DISK_NAME_MAX], uint32_t id)
{
    (void)snprintf(name, DISK_NAME_MAX, "%08x.files", id);
}

void disk_file_name(char name[static DISK_NAME_MAX], uint32_t id, uint64_t number)
{
    (void)snprintf(name, DISK_NAME_MAX, "%08x.files/%llx", id, (unsigned long long)number);
}

void disk_dict_name(char name[static DISK_NAME_MAX], uint32_t number)
{
    (void)snprintf(name, DISK_NAME_MAX, "%08x.dict", number);
}

/* Pin if the place holds `id` now. */
static bool pin_shared(disk_fd *place, uint32_t id, disk_pin *ret)
{
    uint64_t word = atomic_load_explicit(&place->word, memory_order_relaxed);
    while (word >> 32 == id && (word & PIN_BUSY) == 0) {
        BRISK_ASSERT((word & PIN_MASK) < PIN_MASK);
        /* Acquire: pairs with the release in fill, so that `fd` is the segment's. */
        if (atomic_compare_exchange_weak_explicit(&place->word, &word, word + 1,
                                                  memory_order_acquire, memory_order_relaxed)) {
            *ret = (disk_pin){place, atomic_load_explicit(&place->fd, memory_order_relaxed)};
            return true;
        }
    }
    return false;
}

static void map_place(const disk_tier *tier, disk_fd *place, int fd)
{
    size_t size = (size_t)tier->segment_bytes;
    void *map = tier->sys->maps ? mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    uint32_t guard = map != MAP_FAILED ? brisk_map_guard_take(map, size) : 0;
    if (map != MAP_FAILED && guard == 0) {
        (void)munmap(map, size);
    }
    if (guard != 0) {
        (void)madvise(map, size, MADV_RANDOM); /* one record of many: nothing around it is wanted */
    }
    atomic_store_explicit(&place->map, guard != 0 ? map : NULL, memory_order_relaxed);
    atomic_store_explicit(&place->guard, guard, memory_order_relaxed);
    atomic_store_explicit(&place->map_size, guard != 0 ? size : 0, memory_order_relaxed);
    atomic_store_explicit(&place->seen_size, 0, memory_order_relaxed);
}

static void unmap_place(disk_fd *place)
{
    unsigned char *map = atomic_load_explicit(&place->map, memory_order_relaxed);
    if (map != NULL) {
        brisk_map_guard_leave(atomic_load_explicit(&place->guard, memory_order_relaxed));
        (void)munmap(map, (size_t)atomic_load_explicit(&place->map_size, memory_order_relaxed));
        atomic_store_explicit(&place->map, NULL, memory_order_relaxed);
    }
}

/* Make the place ours if nobody has it pinned; closes what was open there. */
static bool empty_place(disk_fd *place)
{
    uint64_t word = atomic_load_explicit(&place->word, memory_order_relaxed);
    /* Acquire: pairs with the release of the last unpin. */
    if ((word & PIN_MASK) != 0 ||
        !atomic_compare_exchange_strong_explicit(&place->word, &word, PIN_BUSY,
                                                 memory_order_acquire, memory_order_relaxed)) {
        return false;
    }
    if (word >> 32 != 0) {
        unmap_place(place);
        (void)close(atomic_load_explicit(&place->fd, memory_order_relaxed));
    }
    return true;
}

static void sweep_locked(disk_tier *tier, bool all)
{
    for (uint32_t i = 0; i < DISK_FDS; i++) {
        disk_fd *place = &tier->fds[i];
        uint64_t word = atomic_load_explicit(&place->word, memory_order_relaxed);
        uint32_t id = (uint32_t)(word >> 32);
        if (id != 0 && (all || disk_entry_find(tier, id) == NULL) && empty_place(place)) {
            atomic_store_explicit(&place->word, 0, memory_order_release);
        }
    }
}

void disk_fd_sweep(disk_tier *tier, bool all)
{
    uint64_t drops = atomic_load_explicit(&tier->header->drops, memory_order_acquire);
    pthread_mutex_lock(&tier->fd_lock);
    sweep_locked(tier, all);
    pthread_mutex_unlock(&tier->fd_lock);
    atomic_store_explicit(&tier->drops_seen, drops, memory_order_relaxed);
}

void disk_fd_close_all(disk_tier *tier)
{
    for (uint32_t i = 0; i < DISK_FDS; i++) {
        disk_fd *place = &tier->fds[i];
        if (atomic_load_explicit(&place->word, memory_order_acquire) >> 32 != 0) {
            unmap_place(place);
            (void)close(atomic_load_explicit(&place->fd, memory_order_relaxed));
        }
    }
}

static brisk_err open_segment(disk_tier *tier, uint32_t id, int *ret)
{
    char name[DISK_NAME_MAX];
    disk_segment_name(name, id);
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
    int fd = tier->sys->openat(tier->dir_fd, name, flags, 0);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        sweep_locked(tier, true);
        fd = tier->sys->openat(tier->dir_fd, name, flags, 0);
    }
    if (fd < 0) {
        brisk_err err = brisk_err_from_errno(errno);
        return err == BRISK_ERR_NOT_FOUND ? err : BRISK_ERR_IO;
    }
    *ret = fd;
    return BRISK_OK;
}

static brisk_err pin_slow(disk_tier *tier, disk_fd *place, uint32_t id, disk_pin *ret)
{
    if (pin_shared(place, id, ret)) {
        return BRISK_OK;
    }
    int fd;
    brisk_err err = open_segment(tier, id, &fd);
    if (err != BRISK_OK) {
        return err;
    }
    if (!empty_place(place)) {
        *ret = (disk_pin){NULL, fd};
        return BRISK_OK;
    }
    map_place(tier, place, fd);
    atomic_store_explicit(&place->fd, fd, memory_order_relaxed);
    atomic_store_explicit(&place->word, (uint64_t)id << 32 | 1, memory_order_release);
    *ret = (disk_pin){place, fd};
    return BRISK_OK;
}

void disk_fd_refresh(disk_tier *tier)
{
    if (atomic_load_explicit(&tier->header->drops, memory_order_relaxed) !=
        atomic_load_explicit(&tier->drops_seen, memory_order_relaxed)) {
        disk_fd_sweep(tier, false);
    }
}

brisk_err disk_fd_pin(disk_tier *tier, uint32_t id, disk_pin *ret)
{
    disk_fd_refresh(tier);
    disk_fd *place = &tier->fds[id % DISK_FDS];
    if (pin_shared(place, id, ret)) {
        return BRISK_OK;
    }
    pthread_mutex_lock(&tier->fd_lock);
    brisk_err err = pin_slow(tier, place, id, ret);
    pthread_mutex_unlock(&tier->fd_lock);
    return err;
}

void disk_fd_unpin(const disk_pin *pin)
{
    if (pin->shared != NULL) {
        /* Release: our reads are over before the place can be emptied. */
        atomic_fetch_sub_explicit(&pin->shared->word, 1, memory_order_release);
    } else {
        (void)close(pin->fd);
    }
}

/* How many bytes of the file may be touched, of the first `want` at least. */
static uint64_t may_touch(disk_fd *place, int fd, uint64_t want)
{
    uint64_t map_size = atomic_load_explicit(&place->map_size, memory_order_relaxed);
    uint64_t size = atomic_load_explicit(&place->seen_size, memory_order_relaxed);
    struct stat st;
    if (want > size && want <= map_size && fstat(fd, &st) == 0) {
        size = (uint64_t)st.st_size;
        atomic_store_explicit(&place->seen_size, size, memory_order_relaxed);
    }
    return size < map_size ? size : map_size;
}

size_t disk_pin_bytes(const disk_pin *pin, uint64_t offset, size_t want, const unsigned char **ret)
{
    disk_fd *place = pin->shared;
    const unsigned char *map =
        place != NULL ? atomic_load_explicit(&place->map, memory_order_relaxed) : NULL;
    if (map == NULL) {
        return 0;
    }
    uint64_t size = may_touch(place, pin->fd, offset + want);
    if (size < offset + want || !disk_pin_is_whole(pin)) {
        return 0;
    }
    *ret = map + offset;
    return (size_t)(size - offset);
}

bool disk_pin_is_whole(const disk_pin *pin)
{
    return pin->shared == NULL ||
           !brisk_map_guard_hit(atomic_load_explicit(&pin->shared->guard, memory_order_relaxed));
}

void disk_pin_will_scan(const disk_pin *pin, uint64_t size)
{
    unsigned char *map = atomic_load_explicit(&pin->shared->map, memory_order_relaxed);
    /* Both are wishes: readahead of all of it, then its page tables in one go. */
    (void)madvise(map, (size_t)size, MADV_WILLNEED);
#ifdef MADV_POPULATE_READ
    (void)madvise(map, (size_t)size, MADV_POPULATE_READ);
#endif
}

bool disk_pin_record(const disk_pin *pin, const disk_place *place, disk_record *ret)
{
    const unsigned char *bytes;
    size_t have = disk_pin_bytes(pin, place->offset, DISK_RECORD_FIXED, &bytes);
    if (have == 0) {
        return false;
    }
    disk_verdict verdict = disk_record_check(bytes, have, place, ret);
    if (verdict == DISK_RECORD_MORE) {
        have = disk_pin_bytes(pin, place->offset, (size_t)ret->size, &bytes);
        verdict = have != 0 ? disk_record_check(bytes, have, place, ret) : DISK_RECORD_BAD;
    }
    return verdict == DISK_RECORD_OK && disk_pin_is_whole(pin);
}

brisk_err disk_pwrite_all(const disk_tier *tier, int fd, const void *data, size_t size,
                          uint64_t offset)
{
    const unsigned char *bytes = data;
    for (size_t done = 0; done < size;) {
        ssize_t part = tier->sys->pwrite(fd, bytes + done, size - done, (off_t)(offset + done));
        if (part < 0 && errno == EINTR) {
            continue;
        }
        if (part <= 0) {
            brisk_err err = part < 0 ? brisk_err_from_errno(errno) : BRISK_ERR_IO;
            return err == BRISK_ERR_FULL ? err : BRISK_ERR_IO;
        }
        done += (size_t)part;
    }
    return BRISK_OK;
}

size_t disk_pread_some(const disk_tier *tier, int fd, disk_span to, uint64_t offset, brisk_err *err)
{
    unsigned char *bytes = to.data;
    size_t done = 0;
    while (done < to.size) {
        ssize_t part = tier->sys->pread(fd, bytes + done, to.size - done, (off_t)(offset + done));
        if (part < 0 && errno == EINTR) {
            continue;
        }
        if (part < 0) {
            *err = BRISK_ERR_IO;
        }
        if (part <= 0) {
            break;
        }
        done += (size_t)part;
    }
    return done;
}
