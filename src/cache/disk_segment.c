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
 * Buckets: a process appends to up to six segments at once, by how long entries live: for ever, up to
 * a minute, ten minutes, two hours, a day, longer.  A bucket's segment is closed when an entry expires
 * later than the first one by more than that, so all in it expire at about the same time; then it is
 * dropped without being read.  Entries that never expire leave in the order in which they came.
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

#define NS_PER_SECOND UINT64_C(1000000000)

static_assert(offsetof(disk_segment_head, published_end) == (int)CLEAN_END_AT + 8, "one write");

static uint64_t entry_word(const disk_entry *entry)
{
    return atomic_load_explicit(&entry->word, memory_order_acquire);
}

static void entry_set(disk_entry *entry, uint32_t id, uint32_t bucket,
                      enum disk_segment_state state)
{
    /* Release: pairs with entry_word, so that the sizes are this segment's. */
    atomic_store_explicit(&entry->word, disk_entry_word(id, bucket, state), memory_order_release);
}

/* Another state, all else the same. */
static void entry_turn(disk_entry *entry, enum disk_segment_state state)
{
    uint64_t word = entry_word(entry);
    entry_set(entry, disk_entry_id(word), disk_entry_bucket(word), state);
}

static void entry_blank(disk_entry *entry)
{
    atomic_store_explicit(&entry->log_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->file_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->reserved, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->records, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->dead, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->first_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->expires_ns, 0, memory_order_relaxed);
    /* kills and synced go on: see disk_sync.c. */
}

void disk_entry_note(disk_entry *entry, uint64_t expires_at_ns)
{
    uint64_t expires = expires_at_ns != 0 ? expires_at_ns : UINT64_MAX;
    if (atomic_load_explicit(&entry->first_ns, memory_order_relaxed) == 0) {
        atomic_store_explicit(&entry->first_ns, expires, memory_order_relaxed);
    }
    if (atomic_load_explicit(&entry->expires_ns, memory_order_relaxed) < expires) {
        atomic_store_explicit(&entry->expires_ns, expires, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&entry->records, 1, memory_order_relaxed);
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

uint64_t disk_bytes_reserved(const disk_tier *tier)
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

static void count_dropped(disk_tier *tier, uint64_t entries, disk_drop_reason reason)
{
    disk_counters *counters = &tier->counters;
    if (reason == DISK_DROP_ROOM) {
        disk_count(&counters->evictions, entries);
        disk_count(&counters->room, entries);
    } else if (reason == DISK_DROP_EXPIRED) {
        disk_count(&counters->expired, entries);
        disk_count(&counters->out_of_date, entries);
    }
}

brisk_err disk_segment_drop(disk_tier *tier, disk_entry *entry, disk_drop_reason reason)
{
    uint32_t id = disk_entry_id(entry_word(entry));
    brisk_err err = disk_mark_unclean(tier);
    if (err != BRISK_OK) {
        return err;
    }
    entry_turn(entry, DISK_DROPPING);
    char name[DISK_NAME_MAX];
    disk_segment_name(name, id);
    /* The file first: from here on no rebuild can find its records.  See disk.c, rule 8. */
    if (unlinkat(tier->dir_fd, name, 0) != 0 && errno != ENOENT) {
        disk_count(&tier->counters.errors, 1);
        return brisk_err_from_errno(errno);
    }
    atomic_fetch_add_explicit(&tier->header->gone, 1, memory_order_seq_cst); /* before the slots */
    (void)disk_files_remove(tier, id);
    count_dropped(tier, disk_slots_clear(tier, id), reason);
    entry_blank(entry);
    entry_set(entry, 0, 0, DISK_FREE);
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
    entry_turn(entry, DISK_SEALED);
}

/* Whether the segment may go; a dead owner's is sealed first. */
static bool is_droppable(disk_tier *tier, disk_entry *entry)
{
    uint64_t word = entry_word(entry);
    if (disk_entry_state(word) == DISK_ACTIVE) {
        if (disk_owner_lives(tier, disk_entry_id(word))) {
            return false;
        }
        disk_segment_seal(tier, entry);
    }
    return disk_entry_state(word) != DISK_FREE;
}

disk_entry *disk_oldest_droppable(disk_tier *tier)
{
    disk_entry *oldest = NULL;
    uint32_t oldest_id = UINT32_MAX;
    for (uint32_t i = 0; i < tier->header->segment_count; i++) {
        disk_entry *entry = &tier->entries[i];
        uint64_t word = entry_word(entry);
        if (disk_entry_state(word) != DISK_FREE && disk_entry_id(word) < oldest_id &&
            is_droppable(tier, entry)) {
            oldest = entry;
            oldest_id = disk_entry_id(word);
        }
    }
    return oldest;
}

void disk_drop_expired(disk_tier *tier)
{
    uint64_t now = brisk_clock_wall_ns(tier->clock);
    tier->segments_used = 0;
    for (uint32_t i = 0; i < tier->header->segment_count; i++) {
        disk_entry *entry = &tier->entries[i];
        uint64_t word = entry_word(entry);
        uint64_t expires = atomic_load_explicit(&entry->expires_ns, memory_order_relaxed);
        if (disk_entry_state(word) == DISK_FREE) {
            continue;
        }
        tier->segments_used++;
        if (expires == 0 || expires > now) {
            continue;
        }
        disk_active *active = disk_active_find(tier, disk_entry_id(word));
        if (active != NULL) {
            disk_active_close(tier, active);
        }
        if (is_droppable(tier, entry) &&
            disk_segment_drop(tier, entry, DISK_DROP_EXPIRED) == BRISK_OK) {
            tier->segments_used--;
        }
    }
}

static bool has_active(const disk_tier *tier)
{
    for (uint32_t i = 0; i < DISK_BUCKETS; i++) {
        if (tier->actives[i].id != 0) {
            return true;
        }
    }
    return false;
}

static brisk_err make_room_locked(disk_tier *tier, uint64_t bytes)
{
    if (disk_bytes_reserved(tier) + bytes > tier->data_max) {
        disk_drop_expired(tier);
    }
    while (disk_bytes_reserved(tier) + bytes > tier->data_max) {
        disk_entry *oldest = disk_oldest_droppable(tier);
        if (oldest == NULL && !has_active(tier)) {
            return BRISK_ERR_FULL;
        }
        if (oldest == NULL) {
            disk_active_close_all(tier); /* our own are all that is left */
            continue;
        }
        brisk_err err = disk_segment_drop(tier, oldest, DISK_DROP_ROOM);
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

bool disk_room_drop(disk_tier *tier)
{
    if (disk_structure_enter(tier) != BRISK_OK) {
        return false;
    }
    disk_entry *oldest = disk_oldest_droppable(tier);
    if (oldest == NULL && has_active(tier)) {
        disk_active_close_all(tier); /* our own are all that is left */
        oldest = disk_oldest_droppable(tier);
    }
    bool dropped = oldest != NULL && disk_segment_drop(tier, oldest, DISK_DROP_ROOM) == BRISK_OK;
    disk_fd_refresh(tier);
    disk_structure_leave(tier);
    return dropped;
}

brisk_err disk_drop_all(disk_tier *tier)
{
    brisk_err err = disk_structure_enter(tier);
    if (err != BRISK_OK) {
        return err;
    }
    disk_active_close_all(tier);
    for (uint32_t i = 0; i < tier->header->segment_count; i++) {
        disk_entry *entry = &tier->entries[i];
        if (disk_entry_state(entry_word(entry)) != DISK_FREE) {
            brisk_err dropped = disk_segment_drop(tier, entry, DISK_DROP_CLEAR);
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

/* --- active segments ---------------------------------------------------------------------------- */

/* The lives that a bucket is for: up to so many seconds; bucket 0 is for entries that stay. */
static const uint64_t bucket_seconds[DISK_BUCKETS] = {UINT64_MAX, 60, 600, 7200, 86400, UINT64_MAX};

enum { LONGEST_SPAN_SECONDS = 7 * 86400 };

static uint32_t bucket_of(const disk_tier *tier, const disk_need *need)
{
    /* When the table fills up with half-empty segments, lives may mix. */
    if (need->expires_at_ns == 0 || tier->bucket_count < 2 ||
        tier->segments_used > tier->header->segment_count / 2) {
        return 0;
    }
    uint64_t now = brisk_clock_wall_ns(tier->clock);
    uint64_t left = need->expires_at_ns > now ? (need->expires_at_ns - now) / NS_PER_SECOND : 0;
    uint32_t bucket = 1;
    while (bucket < tier->bucket_count - 1 && left > bucket_seconds[bucket]) {
        bucket++;
    }
    return bucket;
}

/* Whether such an entry is at home in a segment whose first one expires at `first_ns`. */
static bool is_at_home(uint32_t bucket, uint64_t first_ns, const disk_need *need)
{
    if (bucket == 0 || first_ns == 0) {
        return true;
    }
    uint64_t span = bucket_seconds[bucket] < LONGEST_SPAN_SECONDS ? bucket_seconds[bucket]
                                                                  : LONGEST_SPAN_SECONDS;
    return need->expires_at_ns <= first_ns ||
           need->expires_at_ns - first_ns <= span * NS_PER_SECOND;
}

disk_active *disk_active_find(disk_tier *tier, uint32_t id)
{
    for (uint32_t i = 0; i < DISK_BUCKETS && id != 0; i++) {
        if (tier->actives[i].id == id) {
            return &tier->actives[i];
        }
    }
    return NULL;
}

static void forget_active(disk_tier *tier, disk_active *active)
{
    disk_window_close(active);
    (void)close(active->fd);
    disk_owner_leave(tier, active->id);
    *active = (disk_active){.fd = -1};
}

static bool active_is_ours(const disk_active *active)
{
    uint64_t word = entry_word(active->entry);
    return disk_entry_id(word) == active->id && disk_entry_state(word) == DISK_ACTIVE;
}

void disk_active_close(disk_tier *tier, disk_active *active)
{
    if (active->id == 0) {
        return;
    }
    disk_window_close(active);
    uint64_t word = disk_clean_end_make(active->id, (uint32_t)active->end, tier->seed);
    uint64_t ends[2] = {word, word}; /* and all of them are published */
    enum disk_segment_state state = DISK_SEALED;
    if (!active->odd &&
        disk_pwrite_all(tier, active->fd, ends, sizeof ends, CLEAN_END_AT) == BRISK_OK) {
        state = DISK_CLOSED;
    }
    atomic_fetch_add_explicit(&active->entry->kills, 1, memory_order_seq_cst); /* to be synced */
    /* Without the structure lock it stays ACTIVE with a dead owner, and the next one seals it. */
    if (disk_structure_enter(tier) == BRISK_OK) {
        if (active_is_ours(active)) {
            entry_turn(active->entry, state);
        }
        disk_structure_leave(tier);
    }
    forget_active(tier, active);
}

void disk_active_close_all(disk_tier *tier)
{
    for (uint32_t i = 0; i < DISK_BUCKETS; i++) {
        disk_active_close(tier, &tier->actives[i]);
    }
}

static void set_active(disk_tier *tier, uint32_t bucket, uint32_t id, int fd, uint64_t end)
{
    disk_entry *entry = &tier->entries[id % tier->header->segment_count];
    tier->actives[bucket] =
        (disk_active){.id = id, .fd = fd, .entry = entry, .end = end, .limit = tier->segment_bytes};
    disk_window_open(tier, &tier->actives[bucket]);
    atomic_store_explicit(&entry->log_bytes, end, memory_order_relaxed);
    atomic_store_explicit(&entry->reserved, tier->segment_bytes, memory_order_relaxed);
    entry_set(entry, id, bucket, DISK_ACTIVE);
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

static bool may_adopt(const disk_tier *tier, const disk_entry *entry, uint32_t bucket,
                      const disk_need *need)
{
    uint64_t word = entry_word(entry);
    uint64_t log = atomic_load_explicit(&entry->log_bytes, memory_order_relaxed);
    uint64_t files = atomic_load_explicit(&entry->file_bytes, memory_order_relaxed);
    uint64_t first = atomic_load_explicit(&entry->first_ns, memory_order_relaxed);
    return disk_entry_state(word) == DISK_CLOSED && disk_entry_bucket(word) == bucket &&
           log >= DISK_SEGMENT_HEAD && log % DISK_RECORD_ALIGN == 0 &&
           log + need->bytes <= tier->segment_bytes && files < tier->segment_bytes &&
           is_at_home(bucket, first, need) && disk_entry_id(word) != tier->moves.segment;
}

/* Go on in a segment that was closed with room for more: many short processes, few segments. */
static bool adopt(disk_tier *tier, uint32_t bucket, const disk_need *need)
{
    disk_entry *best = NULL;
    uint32_t best_id = 0;
    for (uint32_t i = 0; i < tier->header->segment_count; i++) {
        disk_entry *entry = &tier->entries[i];
        uint32_t id = disk_entry_id(entry_word(entry));
        if (id > best_id && may_adopt(tier, entry, bucket, need)) {
            best = entry;
            best_id = id;
        }
    }
    if (best == NULL || !disk_owner_take(tier, best_id)) {
        return false;
    }
    int fd = -1;
    uint64_t end = atomic_load_explicit(&best->log_bytes, memory_order_relaxed);
    if (adopt_open(tier, best_id, end, &fd) != BRISK_OK) {
        disk_owner_leave(tier, best_id);
        entry_turn(best, DISK_SEALED);
        return false;
    }
    set_active(tier, bucket, best_id, fd, end);
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

static brisk_err create(disk_tier *tier, uint32_t bucket)
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
            entry_blank(&tier->entries[id % tier->header->segment_count]);
            set_active(tier, bucket, id, fd, DISK_SEGMENT_HEAD);
            atomic_fetch_add_explicit(&tier->header->gone, 1,
                                      memory_order_release); /* a new name */
            return BRISK_OK;
        }
        disk_owner_leave(tier, id);
        if (err != BRISK_ERR_CONFLICT) {
            return err;
        }
    }
    return BRISK_ERR_CONFLICT;
}

/* The active segment of the bucket if it can take such a record; otherwise it is closed. */
static disk_active *look_at_active(disk_tier *tier, uint32_t bucket, const disk_need *need)
{
    disk_active *active = &tier->actives[bucket];
    if (active->id != 0 && !active_is_ours(active)) {
        forget_active(tier, active); /* somebody cleared the folder */
    }
    if (active->id == 0) {
        return NULL;
    }
    uint64_t files = atomic_load_explicit(&active->entry->file_bytes, memory_order_relaxed);
    uint64_t first = atomic_load_explicit(&active->entry->first_ns, memory_order_relaxed);
    bool fits = active->end + need->bytes <= active->limit && files < tier->segment_bytes &&
                is_at_home(bucket, first, need);
    return fits ? active : NULL;
}

disk_active *disk_active_here(disk_tier *tier, const disk_need *need)
{
    return look_at_active(tier, bucket_of(tier, need), need);
}

brisk_err disk_active_ready(disk_tier *tier, const disk_need *need, disk_active **ret)
{
    disk_fd_refresh(tier);
    uint32_t bucket = bucket_of(tier, need);
    disk_active *active = look_at_active(tier, bucket, need);
    if (active != NULL) {
        *ret = active;
        return BRISK_OK;
    }
    disk_active_close(tier, &tier->actives[bucket]);
    if (need->bytes == 0 || need->bytes > tier->segment_bytes - DISK_SEGMENT_HEAD) {
        return BRISK_ERR_LIMIT;
    }
    brisk_err err = disk_structure_enter(tier);
    if (err != BRISK_OK) {
        return err;
    }
    disk_drop_expired(tier);
    err = disk_room_make(tier, tier->segment_bytes);
    if (err == BRISK_OK && !adopt(tier, bucket, need)) {
        err = create(tier, bucket);
    }
    if (err == BRISK_OK) {
        disk_moves_begin(tier);
        *ret = &tier->actives[bucket];
    }
    disk_structure_leave(tier);
    return err;
}

brisk_err disk_append(disk_tier *tier, disk_active *active, unsigned char *record,
                      const disk_need *need, disk_slot *ret)
{
    uint64_t size = need->bytes;
    BRISK_ASSERT(active->id != 0 && active->end + size <= active->limit);
    disk_place place = {.seed = tier->seed, .segment = active->id, .offset = (uint32_t)active->end};
    disk_record_seal(record, size, &place);
    disk_entry_note(active->entry, need->expires_at_ns); /* before it is there: never too early */
    brisk_err err = disk_window_write(tier, active, record, (size_t)size);
    if (err != BRISK_OK) {
        /* What reached the file is its last record, and those of the unclosed are not believed. */
        active->odd = true;
        disk_active_close(tier, active);
        return err;
    }
    active->end += size;
    atomic_store_explicit(&active->entry->log_bytes, active->end, memory_order_relaxed);
    *ret = (disk_slot){.segment = place.segment, .offset = place.offset};
    return BRISK_OK;
}
