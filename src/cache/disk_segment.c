/*
 * disk_segment.c -- segments: create, adopt, append, close, seal, drop; and room.
 *
 *               create                    close in order
 *     (no file) ──────► ACTIVE ─────────────────────────► CLOSED ──┐
 *                        ▲  │ owner found dead                     │ adopt, if there is room
 *                        │  └──────────────► SEALED                │
 *                        └─────────────────────────────────────────┘
 *     any but a living owner's ── drop ──► DROPPING ──► (no file)
 *
 * The table of segments is a service, not a truth: answers come from slots and records.  If it is
 * damaged, segments are dropped too early or too late, no more.
 *
 * Room: an active segment counts as if it were full, so that appending needs no accounting between
 * processes and the bound holds at every moment.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/log.h>

#include "base/assert.h"
#include "cache/disk.h"

enum {
    CREATE_TRIES = 64,
    CLEAN_END_AT = offsetof(disk_segment_head, clean_end),
};

static uint64_t entry_word(const disk_entry *entry)
{
    return atomic_load_explicit(&entry->word, memory_order_acquire);
}

static void entry_set(disk_entry *entry, uint32_t id, enum disk_segment_state state)
{
    /* Release: pairs with entry_word, so that the sizes are this segment's. */
    atomic_store_explicit(&entry->word, disk_entry_word(id, state), memory_order_release);
}

static uint64_t entry_bytes(const disk_entry *entry)
{
    uint64_t word = entry_word(entry);
    uint64_t log = atomic_load_explicit(&entry->log_bytes, memory_order_relaxed);
    uint64_t files = atomic_load_explicit(&entry->file_bytes, memory_order_relaxed);
    uint64_t reserved = atomic_load_explicit(&entry->reserved, memory_order_relaxed);
    if (disk_entry_state(word) == DISK_FREE) {
        return 0;
    }
    if (disk_entry_state(word) == DISK_ACTIVE && reserved > log) {
        log = reserved;
    }
    return log + files;
}

disk_entry *disk_entry_find(const disk_tier *tier, uint32_t id)
{
    disk_entry *entry = &tier->entries[id % tier->header->segment_count];
    uint64_t word = entry_word(entry);
    return disk_entry_id(word) == id && disk_entry_state(word) != DISK_FREE ? entry : NULL;
}

static uint64_t bytes_reserved(const disk_tier *tier)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < tier->header->segment_count; i++) {
        sum += entry_bytes(&tier->entries[i]);
    }
    return sum;
}

uint64_t disk_bytes_held(const disk_tier *tier)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < tier->header->segment_count; i++) {
        const disk_entry *entry = &tier->entries[i];
        if (disk_entry_state(entry_word(entry)) != DISK_FREE) {
            sum += atomic_load_explicit(&entry->log_bytes, memory_order_relaxed) +
                   atomic_load_explicit(&entry->file_bytes, memory_order_relaxed);
        }
    }
    return sum;
}

/* --- large values' folders -------------------------------------------------------------------- */

/* Walk over `id`.files: the sum of the sizes; with `remove` everything goes. */
static uint64_t walk_files(const disk_tier *tier, uint32_t id, bool remove)
{
    char name[DISK_NAME_MAX];
    disk_files_name(name, id);
    int fd = openat(tier->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return 0;
    }
    uint64_t sum = 0;
    for (const struct dirent *file; (file = readdir(dir)) != NULL;) {
        struct stat st;
        if (fstatat(fd, file->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode)) {
            sum += (uint64_t)st.st_size;
            if (remove) {
                (void)unlinkat(fd, file->d_name, 0);
            }
        }
    }
    (void)closedir(dir);
    if (remove) {
        (void)unlinkat(tier->dir_fd, name, AT_REMOVEDIR);
    }
    return sum;
}

uint64_t disk_files_remove(const disk_tier *tier, uint32_t id)
{
    return walk_files(tier, id, true);
}

uint64_t disk_files_bytes(const disk_tier *tier, uint32_t id)
{
    return walk_files(tier, id, false);
}

/* --- dropping --------------------------------------------------------------------------------- */

brisk_err disk_segment_drop(disk_tier *tier, disk_entry *entry)
{
    uint32_t id = disk_entry_id(entry_word(entry));
    brisk_err err = disk_mark_unclean(tier);
    if (err != BRISK_OK) {
        return err;
    }
    entry_set(entry, id, DISK_DROPPING);
    char name[DISK_NAME_MAX];
    disk_segment_name(name, id);
    /* The file first: from here on no rebuild can find its records.  See disk.c, rule 8. */
    if (unlinkat(tier->dir_fd, name, 0) != 0 && errno != ENOENT) {
        disk_count(&tier->counters.errors, 1);
        return brisk_err_from_errno(errno);
    }
    (void)disk_files_remove(tier, id);
    uint64_t evicted = disk_slots_clear(tier, id);
    disk_count(&tier->counters.evictions, evicted);
    disk_count(&tier->counters.room, evicted);
    atomic_store_explicit(&entry->log_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->file_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->reserved, 0, memory_order_relaxed);
    entry_set(entry, 0, DISK_FREE);
    atomic_fetch_add_explicit(&tier->header->drops, 1, memory_order_release);
    return BRISK_OK;
}

void disk_segment_seal(disk_tier *tier, disk_entry *entry)
{
    uint32_t id = disk_entry_id(entry_word(entry));
    char name[DISK_NAME_MAX];
    disk_segment_name(name, id);
    struct stat st;
    uint64_t size = fstatat(tier->dir_fd, name, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
    atomic_store_explicit(&entry->log_bytes, size, memory_order_relaxed);
    atomic_store_explicit(&entry->file_bytes, disk_files_bytes(tier, id), memory_order_relaxed);
    entry_set(entry, id, DISK_SEALED);
}

/* The oldest segment that nobody alive appends to, or NULL. */
static disk_entry *oldest_droppable(disk_tier *tier)
{
    disk_entry *oldest = NULL;
    uint32_t oldest_id = UINT32_MAX;
    for (uint32_t i = 0; i < tier->header->segment_count; i++) {
        disk_entry *entry = &tier->entries[i];
        uint64_t word = entry_word(entry);
        uint32_t id = disk_entry_id(word);
        if (disk_entry_state(word) == DISK_FREE || id >= oldest_id) {
            continue;
        }
        if (disk_entry_state(word) == DISK_ACTIVE) {
            if (disk_owner_lives(tier, id)) {
                continue;
            }
            disk_segment_seal(tier, entry);
        }
        oldest = entry;
        oldest_id = id;
    }
    return oldest;
}

static brisk_err make_room_locked(disk_tier *tier, uint64_t bytes)
{
    while (bytes_reserved(tier) + bytes > tier->data_max) {
        disk_entry *oldest = oldest_droppable(tier);
        if (oldest == NULL && tier->active_id == 0) {
            return BRISK_ERR_FULL;
        }
        if (oldest == NULL) {
            disk_active_close(tier); /* our own is all that is left */
            continue;
        }
        brisk_err err = disk_segment_drop(tier, oldest);
        if (err != BRISK_OK) {
            return err;
        }
    }
    return BRISK_OK;
}

brisk_err disk_room_make(disk_tier *tier, uint64_t bytes)
{
    if (bytes > tier->data_max) {
        return BRISK_ERR_FULL;
    }
    brisk_err err = disk_structure_enter(tier);
    if (err == BRISK_OK) {
        err = make_room_locked(tier, bytes);
        disk_fd_refresh(tier);
        disk_structure_leave(tier);
    }
    return err;
}

brisk_err disk_drop_all(disk_tier *tier)
{
    brisk_err err = disk_structure_enter(tier);
    if (err != BRISK_OK) {
        return err;
    }
    disk_active_close(tier);
    for (uint32_t i = 0; i < tier->header->segment_count; i++) {
        disk_entry *entry = &tier->entries[i];
        if (disk_entry_state(entry_word(entry)) != DISK_FREE) {
            brisk_err dropped = disk_segment_drop(tier, entry);
            err = err == BRISK_OK ? dropped : err;
        }
    }
    if (err == BRISK_OK) {
        err = disk_mark_unclean(tier);
        (void)disk_slots_clear(tier, 0); /* what pointed at segments that the table had lost */
    }
    disk_fd_refresh(tier);
    disk_structure_leave(tier);
    return err;
}

/* --- the active segment ------------------------------------------------------------------------- */

static void forget_active(disk_tier *tier)
{
    (void)close(tier->active_fd);
    disk_owner_leave(tier, tier->active_id);
    tier->active_id = 0;
    tier->active_fd = -1;
    tier->active_entry = NULL;
    tier->active_odd = false;
}

static bool active_is_ours(const disk_tier *tier)
{
    return entry_word(tier->active_entry) == disk_entry_word(tier->active_id, DISK_ACTIVE);
}

void disk_active_close(disk_tier *tier)
{
    if (tier->active_id == 0) {
        return;
    }
    uint64_t word = disk_clean_end_make(tier->active_id, (uint32_t)tier->active_end, tier->seed);
    enum disk_segment_state state = DISK_SEALED;
    if (!tier->active_odd &&
        disk_pwrite_all(tier, tier->active_fd, &word, sizeof word, CLEAN_END_AT) == BRISK_OK) {
        state = DISK_CLOSED;
    }
    /* Without the structure lock it stays ACTIVE with a dead owner, and the next one seals it. */
    if (disk_structure_enter(tier) == BRISK_OK) {
        if (active_is_ours(tier)) {
            entry_set(tier->active_entry, tier->active_id, state);
        }
        disk_structure_leave(tier);
    }
    forget_active(tier);
}

static void set_active(disk_tier *tier, uint32_t id, int fd, uint64_t end)
{
    disk_entry *entry = &tier->entries[id % tier->header->segment_count];
    tier->active_id = id;
    tier->active_fd = fd;
    tier->active_end = end;
    tier->active_limit = tier->segment_bytes;
    tier->active_odd = false;
    tier->active_entry = entry;
    atomic_store_explicit(&entry->log_bytes, end, memory_order_relaxed);
    atomic_store_explicit(&entry->reserved, tier->segment_bytes, memory_order_relaxed);
    entry_set(entry, id, DISK_ACTIVE);
}

/* Open a closed segment to append more: the mark of its order goes first. */
static brisk_err adopt_open(disk_tier *tier, uint32_t id, uint64_t end, int *ret)
{
    static const uint64_t open_end = 0;
    char name[DISK_NAME_MAX];
    disk_segment_name(name, id);
    int fd = tier->sys->openat(tier->dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
    if (fd < 0) {
        return brisk_err_from_errno(errno);
    }
    disk_segment_head head;
    brisk_err err = BRISK_OK;
    struct stat st;
    size_t size = disk_pread_some(tier, fd, (disk_span){&head, sizeof head}, 0, &err);
    if (size != sizeof head || !disk_segment_head_ok(&head, id, tier->seed) ||
        disk_clean_end_read(head.clean_end, id, tier->seed) != end || fstat(fd, &st) != 0 ||
        (uint64_t)st.st_size != end) {
        err = BRISK_ERR_CORRUPT;
    } else {
        err = disk_pwrite_all(tier, fd, &open_end, sizeof open_end, CLEAN_END_AT);
    }
    if (err != BRISK_OK) {
        (void)close(fd);
        return err;
    }
    *ret = fd;
    return BRISK_OK;
}

/* Go on in a segment that was closed with room for `bytes`: many short processes, few segments. */
static bool adopt(disk_tier *tier, uint64_t bytes)
{
    disk_entry *best = NULL;
    uint32_t best_id = 0;
    for (uint32_t i = 0; i < tier->header->segment_count; i++) {
        disk_entry *entry = &tier->entries[i];
        uint64_t word = entry_word(entry);
        uint64_t log = atomic_load_explicit(&entry->log_bytes, memory_order_relaxed);
        uint64_t files = atomic_load_explicit(&entry->file_bytes, memory_order_relaxed);
        if (disk_entry_state(word) == DISK_CLOSED && disk_entry_id(word) > best_id &&
            log >= DISK_SEGMENT_HEAD && log % DISK_RECORD_ALIGN == 0 &&
            log + bytes <= tier->segment_bytes && files < tier->segment_bytes) {
            best = entry;
            best_id = disk_entry_id(word);
        }
    }
    if (best == NULL || !disk_owner_take(tier, best_id)) {
        return false;
    }
    int fd = -1;
    uint64_t end = atomic_load_explicit(&best->log_bytes, memory_order_relaxed);
    if (adopt_open(tier, best_id, end, &fd) != BRISK_OK) {
        disk_owner_leave(tier, best_id);
        entry_set(best, best_id, DISK_SEALED);
        return false;
    }
    set_active(tier, best_id, fd, end);
    return true;
}

/* An id that was never used and whose place in the table is free; 0 when there is none. */
static uint32_t next_id(disk_tier *tier)
{
    disk_index_header *header = tier->header;
    for (uint32_t i = 0; i <= header->segment_count; i++) {
        uint64_t id = atomic_fetch_add_explicit(&header->next_segment, 1, memory_order_relaxed);
        if (id == 0 || id > DISK_SEGMENT_ID_MAX) {
            return 0;
        }
        if (disk_entry_state(entry_word(&tier->entries[id % header->segment_count])) == DISK_FREE) {
            return (uint32_t)id;
        }
    }
    return 0;
}

static brisk_err create_file(disk_tier *tier, uint32_t id, int *ret)
{
    char name[DISK_NAME_MAX];
    disk_segment_name(name, id);
    int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    int fd = tier->sys->openat(tier->dir_fd, name, flags, 0600);
    if (fd < 0) {
        return errno == EEXIST ? BRISK_ERR_CONFLICT : brisk_err_from_errno(errno);
    }
    disk_segment_head head;
    disk_segment_head_make(&head, id, tier->seed);
    brisk_err err = disk_pwrite_all(tier, fd, &head, sizeof head, 0);
    if (err != BRISK_OK) {
        (void)close(fd);
        (void)unlinkat(tier->dir_fd, name, 0);
        return err;
    }
    *ret = fd;
    return BRISK_OK;
}

static brisk_err create(disk_tier *tier)
{
    for (int tries = 0; tries < CREATE_TRIES; tries++) {
        uint32_t id = next_id(tier);
        if (id == 0) {
            return BRISK_ERR_LIMIT;
        }
        if (!disk_owner_take(tier, id)) {
            continue;
        }
        int fd = -1;
        brisk_err err = create_file(tier, id, &fd);
        if (err == BRISK_OK) {
            set_active(tier, id, fd, DISK_SEGMENT_HEAD);
            atomic_store_explicit(&tier->active_entry->file_bytes, 0, memory_order_relaxed);
            return BRISK_OK;
        }
        disk_owner_leave(tier, id);
        if (err != BRISK_ERR_CONFLICT) {
            return err;
        }
    }
    return BRISK_ERR_CONFLICT;
}

brisk_err disk_active_ready(disk_tier *tier, uint64_t bytes)
{
    disk_fd_refresh(tier);
    if (tier->active_id != 0 && !active_is_ours(tier)) {
        forget_active(tier); /* somebody cleared the folder */
    }
    if (tier->active_id != 0) {
        uint64_t files =
            atomic_load_explicit(&tier->active_entry->file_bytes, memory_order_relaxed);
        if (tier->active_end + bytes <= tier->active_limit && files < tier->segment_bytes) {
            return BRISK_OK;
        }
        disk_active_close(tier);
    }
    if (bytes == 0 || bytes > tier->segment_bytes - DISK_SEGMENT_HEAD) {
        return BRISK_ERR_LIMIT;
    }
    brisk_err err = disk_structure_enter(tier);
    if (err != BRISK_OK) {
        return err;
    }
    err = disk_room_make(tier, tier->segment_bytes);
    if (err == BRISK_OK && !adopt(tier, bytes)) {
        err = create(tier);
    }
    disk_structure_leave(tier);
    return err;
}

brisk_err disk_append(disk_tier *tier, unsigned char *record, uint64_t size, disk_slot *ret)
{
    BRISK_ASSERT(tier->active_id != 0 && tier->active_end + size <= tier->active_limit);
    disk_place place = {
        .seed = tier->seed, .segment = tier->active_id, .offset = (uint32_t)tier->active_end};
    disk_record_seal(record, size, &place);
    brisk_err err = disk_pwrite_all(tier, tier->active_fd, record, (size_t)size, tier->active_end);
    if (err != BRISK_OK) {
        /* What reached the file is its last record, and those of the unclosed are not believed. */
        tier->active_odd = true;
        disk_active_close(tier);
        return err;
    }
    tier->active_end += size;
    atomic_store_explicit(&tier->active_entry->log_bytes, tier->active_end, memory_order_relaxed);
    *ret = (disk_slot){.segment = place.segment, .offset = place.offset};
    return BRISK_OK;
}
