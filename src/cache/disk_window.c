/*
 * disk_window.c -- records are appended through a mapping of the segment.
 *
 * A write call for each kilobyte costs three times what copying it costs, so who owns an active
 * segment maps it and stores records where a pwrite would have put them: the pages are the same, so
 * other processes read them, and a kill -9 loses nothing.  The file gets its room ahead, a step at a
 * time, since a store into a page without room on the disk would be a SIGBUS; when there is none the
 * put fails as a write would.  Room is made by writing zeros: preallocated room without pages costs a
 * slow fault for each page (1.3 us for a record instead of 0.3, measured on ext4), one large write
 * makes large folios.  Closing cuts the file where its records end.  After a kill zeros stay
 * behind the last record, which are no record (disk_record.h), and that last one may be torn: its
 * checksum says so, and it was not acknowledged.
 *
 * A file that somebody cuts under us: the guard replaces the page that is gone, and the put fails.
 *
 * Invariant: room_end is the file's size while it is mapped; no byte behind it is touched.
 *
 * Order: a record's bytes are stored before the slot that names it is swapped, which is sequentially
 * consistent; whoever reads the slot first sees the bytes, through a mapping or a call.
 *
 * Where mapping is not supported, and with a test's own calls, records are written
 * with calls.
 *
 * Threads: under write_lock.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/map_guard.h"
#include "cache/disk.h"

enum { STEP_BYTES = 512 << 10 };

void disk_window_open(const disk_tier *tier, disk_active *active)
{
    active->room_end = active->end;
    if (!tier->sys->maps) {
        return;
    }
    void *map =
        mmap(NULL, (size_t)active->limit, PROT_READ | PROT_WRITE, MAP_SHARED, active->fd, 0);
    if (map == MAP_FAILED) {
        return;
    }
    active->guard = brisk_map_guard_take(map, (size_t)active->limit);
    if (active->guard == 0 || madvise(map, (size_t)active->limit, MADV_DONTFORK) != 0) {
        brisk_map_guard_leave(active->guard);
        (void)munmap(map, (size_t)active->limit);
        active->guard = 0;
        return;
    }
    active->map = map;
}

/* Room on the disk for what ends at `end`. */
static brisk_err reserve(const disk_tier *tier, disk_active *active, uint64_t end)
{
    static unsigned char zeros[STEP_BYTES];
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && active->room_end < end) {
        uint64_t to = (active->room_end | (STEP_BYTES - 1)) + 1; /* ends of steps are aligned */
        to = to < active->limit ? to : active->limit;
        err = disk_pwrite_all(tier, active->fd, zeros, (size_t)(to - active->room_end),
                              active->room_end);
        if (err == BRISK_OK) {
            active->room_end = to;
        } else { /* what there was of it, on a disk that is full, perhaps */
            (void)!ftruncate(active->fd, (off_t)active->room_end);
        }
    }
    return err;
}

brisk_err disk_window_write(const disk_tier *tier, disk_active *active, const void *record,
                            size_t size)
{
    uint64_t end = active->end + size;
    BRISK_ASSERT(end <= active->limit);
    brisk_err err = BRISK_OK;
    if (active->map != NULL && end > active->room_end) {
        err = reserve(tier, active, end);
    }
    if (err != BRISK_OK) {
        return err;
    }
    if (active->map == NULL) {
        return disk_pwrite_all(tier, active->fd, record, size, active->end);
    }
    memcpy(active->map + active->end, record, size);
    return brisk_map_guard_hit(active->guard) ? BRISK_ERR_IO : BRISK_OK;
}

void disk_window_close(disk_active *active)
{
    if (active->map == NULL) {
        return;
    }
    brisk_map_guard_leave(active->guard);
    (void)munmap(active->map, (size_t)active->limit);
    active->map = NULL;
    active->guard = 0;
    if (active->room_end > active->end) {
        /* If that fails nobody appends here again: the size is not the noted end. */
        (void)!ftruncate(active->fd, (off_t)active->end);
    }
}
