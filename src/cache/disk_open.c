/*
 * disk_open.c -- opening a folder, recovery, closing.
 *
 * All of it happens under the structure lock, so whoever opens finds a folder at rest, and "alone"
 * (the users' lock, exclusively) stays true until it is given up.
 *
 *     state bad ──────────────── alone: new seed, everything dropped ─── others: error
 *                                not one file of ours: refused (disk_foreign.c)
 *     UNCLEAN of another boot ── everything dropped
 *     any other boot ─────────── TAINTED
 *     index missing or bad ───── alone: rebuilt (TAINTED: dropped) ───── others: error
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <brisk/file.h>
#include <brisk/log.h>

#include "base/assert.h"
#include "cache/disk.h"

enum {
    PATH_BYTES_MAX = 4096,
    SLOT_BYTES = 1024, /* of the bound, for each slot */
    SLOTS_FEW = 65536, /* that many even if entries are large, when there is room */
    SLOTS_MIN = 512,
    SEGMENTS_MORE = 32, /* than twice as many as fit: half-empty ones, and free places for ids */
    INDEX_SHARE = 8,    /* the index takes at most 1/8 of the bound, if that gives SLOTS_MIN */
    ENTRIES_SHARE = 32,
    SLOTS_MAX = 1 << 26,
    BYTES_MIN = 65536,
    OPEN_TRIES = 8,
    REINSERT_PERCENT = 20,
    SEGMENTS_PER_BUCKET = 8, /* active segments count as full: an eighth of the bound at most */
    DICTS_FROM = 16 << 20,   /* with less room they would take too much of it */
    DICT_FILE_BYTES = CODEC_DICT_BYTES + 64,
};

static const char index_name[] = DISK_INDEX_NAME;
static const char index_temp_name[] = DISK_INDEX_TEMP_NAME;
static const char state_name[] = DISK_STATE_NAME;

/* --- the system ------------------------------------------------------------------------------ */

static int sys_openat(int dir, const char *name, int flags, mode_t mode)
{
    return openat(dir, name, flags, mode);
}

static int sys_fallocate(int fd, off_t offset, off_t size)
{
    return posix_fallocate(fd, offset, size);
}

static const disk_sys system_calls = {
    .openat = sys_openat,
    .pread = pread,
    .pwrite = pwrite,
    .fallocate = sys_fallocate,
    .fdatasync = fdatasync,
    .maps = true,
};

/* Mappings and locks that other machines share are none. */
static bool is_network(int fd)
{
    static const unsigned int magics[] = {
        0x6969,     /* nfs */
        0x517b,     /* smb */
        0xfe534d42, /* smb2 */
        0xff534d42, /* cifs */
        0x00c36400, /* ceph */
        0x5346414f, /* afs */
        0x0bd00bd0, /* lustre */
    };
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++) {
        if ((unsigned int)fs.f_type == magics[i]) {
            return true;
        }
    }
    return false;
}

/* --- closing --------------------------------------------------------------------------------- */

/* Alone: everything to the disk, then nothing is unclean any more; false: it may still be. */
static bool sync_all(disk_tier *tier)
{
    disk_state state;
    for (uint32_t i = 0; i < tier->header->segment_count; i++) {
        uint64_t word = atomic_load_explicit(&tier->entries[i].word, memory_order_relaxed);
        if (disk_entry_state(word) == DISK_FREE) {
            continue;
        }
        disk_pin pin;
        brisk_err err = disk_fd_pin(tier, disk_entry_id(word), &pin);
        if (err == BRISK_ERR_NOT_FOUND) {
            continue;
        }
        if (err != BRISK_OK) {
            return false;
        }
        int failed = tier->sys->fdatasync(pin.fd);
        disk_fd_unpin(&pin);
        if (failed != 0) {
            return false;
        }
    }
    atomic_store_explicit(&tier->header->unclean, 0, memory_order_relaxed);
    if (tier->sys->fdatasync(tier->index_fd) != 0 || tier->sys->fdatasync(tier->dir_fd) != 0 ||
        disk_state_read(tier, &state) != BRISK_OK) {
        atomic_store_explicit(&tier->header->unclean, 1, memory_order_relaxed);
        return false;
    }
    state.flags &= ~(uint32_t)DISK_STATE_UNCLEAN;
    if (disk_state_write(tier, &state, true) != BRISK_OK) {
        atomic_store_explicit(&tier->header->unclean, 1, memory_order_relaxed);
        return false;
    }
    return true;
}

static void close_in_order(disk_tier *tier)
{
    pthread_mutex_lock(&tier->write_lock);
    disk_active_close_all(tier);
    if (disk_structure_enter(tier) == BRISK_OK) {
        if (disk_users_try_alone(tier) &&
            atomic_load_explicit(&tier->header->unclean, memory_order_relaxed) != 0) {
            (void)sync_all(tier);
        }
        disk_users_leave(tier); /* before structure: who opens next must not find it taken */
        disk_structure_leave(tier);
    }
    pthread_mutex_unlock(&tier->write_lock);
}

static void close_fd(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

static void tier_free(disk_tier *tier)
{
    const brisk_alloc *alloc = tier->alloc;
    disk_fd_close_all(tier);
    disk_scratch_free_all(tier);
    disk_dict_free_all(tier);
    brisk_hist_destroy(tier->get_hist);
    if (tier->map != NULL) {
        (void)munmap(tier->map, tier->map_size);
    }
    if (tier->alive != NULL) {
        (void)munmap(tier->alive_page, DISK_INDEX_PAGE);
    }
    disk_moves_free(tier);
    for (uint32_t i = 0; i < DISK_BUCKETS; i++) {
        close_fd(tier->actives[i].fd);
    }
    close_fd(tier->index_fd);
    close_fd(tier->state_fd); /* and with it every lock */
    close_fd(tier->dir_fd);
    if (tier->path != NULL) {
        alloc->release(alloc->ctx, tier->path, tier->path_size, 1);
    }
    alloc->release(alloc->ctx, tier, sizeof *tier, _Alignof(disk_tier));
}

void disk_tier_close(disk_tier *tier)
{
    /* A forked child has copies of descriptors, locks and mutexes that are not its own. */
    if (atomic_load_explicit(tier->alive, memory_order_relaxed) != 0) {
        close_in_order(tier);
        pthread_mutex_destroy(&tier->write_lock);
        pthread_mutex_destroy(&tier->fd_lock);
        pthread_mutex_destroy(&tier->scratch_lock);
        pthread_mutex_destroy(&tier->hist_lock);
        pthread_mutex_destroy(&tier->dict_lock);
        pthread_mutex_destroy(&tier->tend_lock);
        pthread_mutex_destroy(&tier->sync.lock);
        pthread_cond_destroy(&tier->sync.round);
        pthread_mutex_destroy(&tier->trainer.lock);
    }
    tier_free(tier);
}

/* --- state ----------------------------------------------------------------------------------- */

/* Open `state`, holding the structure lock, and make sure that it is still the folder's. */
static brisk_err open_state(disk_tier *tier, brisk_errinfo *info)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    for (int tries = 0; tries < OPEN_TRIES; tries++) {
        tier->state_fd = tier->sys->openat(tier->dir_fd, state_name, flags, 0);
        tier->state_is_new = tier->state_fd < 0 && errno == ENOENT;
        if (tier->state_is_new) {
            tier->state_fd = tier->sys->openat(tier->dir_fd, state_name, flags | O_CREAT, 0600);
        }
        struct stat st;
        struct stat now;
        if (tier->state_fd < 0 || fstat(tier->state_fd, &st) != 0) {
            return brisk_errinfo_set_errno(info, errno, "%s/%s", tier->path, state_name);
        }
        if (!S_ISREG(st.st_mode)) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s/%s: not a regular file",
                                     tier->path, state_name);
        }
        brisk_err err = disk_structure_enter(tier);
        if (err != BRISK_OK) {
            return brisk_errinfo_set(info, err, "%s/%s: cannot be locked: %s", tier->path,
                                     state_name, brisk_err_message(err));
        }
        if (fstatat(tier->dir_fd, state_name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
            now.st_ino == st.st_ino && now.st_dev == st.st_dev) {
            return BRISK_OK;
        }
        disk_structure_leave(tier);
        close_fd(tier->state_fd);
        tier->state_fd = -1;
    }
    return brisk_errinfo_set(info, BRISK_ERR_CONFLICT, "%s: is being replaced", tier->path);
}

static void drop_content(disk_tier *tier, disk_state *state)
{
    disk_folder_sweep(tier, false);
    (void)unlinkat(tier->dir_fd, index_name, 0);
    state->flags = 0;
    memcpy(state->boot, tier->boot, sizeof state->boot);
}

/* Whether the system went down since the folder was last opened; perhaps also when it is unknown. */
static bool is_other_boot(const disk_tier *tier, const disk_state *state)
{
    return state->boot[0] != tier->boot[0] || state->boot[1] != tier->boot[1] ||
           (tier->boot[0] == 0 && tier->boot[1] == 0);
}

/* Alone, after the system went down. */
static brisk_err enter_boot(disk_tier *tier, disk_state *state)
{
    bool durable = (state->flags & DISK_STATE_DURABLE) != 0;
    if ((state->flags & DISK_STATE_UNCLEAN) != 0 ||
        (durable && (state->flags & DISK_STATE_TAINTED) != 0)) {
        brisk_log(BRISK_LOG_INFO, "cache", "%s: the system went down meanwhile, starting empty",
                  tier->path);
        drop_content(tier, state);
        return disk_state_write(tier, state, true);
    }
    if (durable) {
        /* The segments have all that was acknowledged, and nothing else has. */
        (void)unlinkat(tier->dir_fd, index_name, 0);
        memcpy(state->boot, tier->boot, sizeof state->boot);
        return disk_state_write(tier, state, true);
    }
    /* Slots may be lost whose records are not: the index will do, a rebuild would not. */
    memcpy(state->boot, tier->boot, sizeof state->boot);
    state->flags |= DISK_STATE_TAINTED;
    return disk_state_write(tier, state, false);
}

static brisk_err new_state(disk_tier *tier, disk_state *state)
{
    *state = (disk_state){0};
    if (getrandom(&state->seed, sizeof state->seed, 0) != (ssize_t)sizeof state->seed) {
        return BRISK_ERR_IO;
    }
    drop_content(tier, state);
    return disk_state_write(tier, state, false);
}

/* Refuse a folder that holds a user's own files under our names; nothing of ours stays there. */
static brisk_err check_owner(disk_tier *tier, brisk_errinfo *info)
{
    brisk_err err = disk_owner_check(tier, info);
    if (err != BRISK_OK && tier->state_is_new) {
        (void)unlinkat(tier->dir_fd, state_name, 0);
    }
    return err;
}

static brisk_err load_state(disk_tier *tier, bool alone, disk_state *state, brisk_errinfo *info)
{
    brisk_err err = disk_state_read(tier, state);
    if (err == BRISK_ERR_CORRUPT && !alone) {
        return brisk_errinfo_set(info, err, "%s: in use by another version of brisk, or damaged",
                                 tier->path);
    }
    if (err == BRISK_ERR_CORRUPT) {
        err = check_owner(tier, info);
        if (err != BRISK_OK) {
            return err;
        }
        err = new_state(tier, state);
    } else if (err == BRISK_OK && alone && is_other_boot(tier, state)) {
        err = enter_boot(tier, state);
    }
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s/%s: %s", tier->path, state_name,
                                 brisk_err_message(err));
    }
    tier->seed = state->seed;
    return BRISK_OK;
}

/* --- index ----------------------------------------------------------------------------------- */

static brisk_err map_index(disk_tier *tier, const disk_index_shape *shape)
{
    void *map = mmap(NULL, shape->size, PROT_READ | PROT_WRITE, MAP_SHARED, tier->index_fd, 0);
    if (map == MAP_FAILED) {
        return brisk_err_from_errno(errno);
    }
    tier->map = map;
    tier->map_size = shape->size;
    uint64_t taken = shape->size + (tier->has_dicts ? DISK_DICTS * DICT_FILE_BYTES : 0);
    tier->data_max = tier->bytes_max > taken ? tier->bytes_max - taken : 0;
    tier->trainer.spacing = tier->data_max / 8;
    tier->header = map;
    tier->entries = (disk_entry *)(void *)((unsigned char *)map + DISK_INDEX_PAGE);
    tier->slots = (_Atomic uint64_t *)(void *)((unsigned char *)map + shape->slots_at);
    tier->hot = (_Atomic uint16_t *)(void *)((unsigned char *)map + shape->hot_at);
    tier->bucket_mask = shape->slot_count / DISK_BUCKET_SLOTS - 1;
    uint64_t buckets = tier->data_max / tier->segment_bytes / SEGMENTS_PER_BUCKET;
    tier->bucket_count = (uint32_t)(buckets < 1              ? 1
                                    : buckets > DISK_BUCKETS ? DISK_BUCKETS
                                                             : buckets);
    return BRISK_OK;
}

static disk_index_shape wanted_shape(const disk_tier *tier)
{
    uint64_t few = tier->bytes_max / ENTRIES_SHARE / sizeof(disk_entry);
    few = few < DISK_SEGMENTS_MIN ? few : DISK_SEGMENTS_MIN;
    uint64_t segments = 2 * (tier->bytes_max / tier->segment_bytes) + SEGMENTS_MORE;
    segments = segments < few ? few : segments;
    segments = segments > DISK_SEGMENTS_MAX ? DISK_SEGMENTS_MAX : segments;
    uint64_t slots = SLOTS_FEW;
    while (slots < tier->bytes_max / SLOT_BYTES && slots < SLOTS_MAX) {
        slots *= 2;
    }
    while (slots > SLOTS_MIN &&
           disk_index_shape_of(slots, (uint32_t)segments).size > tier->bytes_max / INDEX_SHARE) {
        slots /= 2;
    }
    return disk_index_shape_of(slots, (uint32_t)segments);
}

/* Whether an index that was made for another bound will do. */
static bool shape_suits(const disk_tier *tier, const disk_index_shape *shape)
{
    disk_index_shape wanted = wanted_shape(tier);
    return shape->slot_count >= wanted.slot_count / 4 &&
           (shape->size <= wanted.size || shape->size <= tier->bytes_max / INDEX_SHARE);
}

/* NOT_FOUND or CORRUPT: it must be made anew. */
static brisk_err open_index(disk_tier *tier, bool alone)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    int fd = tier->sys->openat(tier->dir_fd, index_name, flags, 0);
    if (fd < 0) {
        return brisk_err_from_errno(errno);
    }
    tier->index_fd = fd;
    struct stat st;
    disk_index_header header;
    disk_index_shape shape;
    brisk_err err = BRISK_OK;
    size_t have = disk_pread_some(tier, fd, (disk_span){&header, sizeof header}, 0, &err);
    if (err == BRISK_OK &&
        (have != sizeof header || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
         !disk_index_header_ok(&header, (uint64_t)st.st_size, tier->seed, &shape) ||
         (alone && !shape_suits(tier, &shape)))) {
        err = BRISK_ERR_CORRUPT;
    }
    return err == BRISK_OK ? map_index(tier, &shape) : err;
}

static brisk_err write_index(disk_tier *tier, const disk_index_shape *shape)
{
    int flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    close_fd(tier->index_fd);
    tier->index_fd = tier->sys->openat(tier->dir_fd, index_temp_name, flags, 0600);
    if (tier->index_fd < 0) {
        return brisk_err_from_errno(errno);
    }
    int os_errno = tier->sys->fallocate(tier->index_fd, 0, (off_t)shape->size);
    if (os_errno != 0) {
        return brisk_err_from_errno(os_errno);
    }
    disk_index_header header;
    memset(&header, 0, sizeof header);
    disk_index_header_make(&header, shape, tier->seed);
    brisk_err err = disk_pwrite_all(tier, tier->index_fd, &header, sizeof header, 0);
    return err == BRISK_OK ? map_index(tier, shape) : err;
}

/* Alone: a new index, filled from the segments that are there. */
static brisk_err make_index(disk_tier *tier)
{
    disk_index_shape shape = wanted_shape(tier);
    brisk_err err = write_index(tier, &shape);
    if (err == BRISK_OK) {
        err = disk_rebuild(tier);
    }
    if (err == BRISK_OK && renameat(tier->dir_fd, index_temp_name, tier->dir_fd, index_name) != 0) {
        err = brisk_err_from_errno(errno);
    }
    if (err != BRISK_OK) {
        (void)unlinkat(tier->dir_fd, index_temp_name, 0);
    }
    return err;
}

/* --- recovery -------------------------------------------------------------------------------- */

/* Alone: the table against what is really there. */
static void check_entry(disk_tier *tier, uint32_t i)
{
    disk_entry *entry = &tier->entries[i];
    uint64_t word = atomic_load_explicit(&entry->word, memory_order_relaxed);
    uint32_t id = disk_entry_id(word);
    enum disk_segment_state state = disk_entry_state(word);
    char name[DISK_NAME_MAX];
    struct stat st;
    if (word == 0) {
        return;
    }
    disk_segment_name(name, id);
    bool known = id != 0 && id <= DISK_SEGMENT_ID_MAX && word >> 40 == 0 &&
                 id % tier->header->segment_count == i && state >= DISK_ACTIVE &&
                 state <= DISK_DROPPING;
    if (!known) {
        atomic_store_explicit(&entry->word, 0, memory_order_relaxed);
        atomic_store_explicit(&entry->log_bytes, 0, memory_order_relaxed);
        atomic_store_explicit(&entry->file_bytes, 0, memory_order_relaxed);
        return;
    }
    atomic_store_explicit(&entry->synced, atomic_load_explicit(&entry->kills, memory_order_relaxed),
                          memory_order_relaxed);
    if (state == DISK_DROPPING || fstatat(tier->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        brisk_err err = disk_segment_drop(tier, entry, DISK_DROP_ROOM);
        (void)err; /* it stays DROPPING and is tried again */
    } else if (state == DISK_ACTIVE) {
        disk_segment_seal(tier, entry);
    } else {
        uint64_t size = (uint64_t)st.st_size;
        uint64_t files = atomic_load_explicit(&entry->file_bytes, memory_order_relaxed);
        atomic_store_explicit(&entry->log_bytes, size, memory_order_relaxed);
        if (files != 0) {
            files = disk_files_bytes(tier, id);
            atomic_store_explicit(&entry->file_bytes, files, memory_order_relaxed);
        }
    }
}

static brisk_err recover(disk_tier *tier, const disk_state *state)
{
    uint64_t newest = 0;
    disk_index_header *header = tier->header;
    uint32_t unclean = (state->flags & DISK_STATE_UNCLEAN) != 0;
    atomic_store_explicit(&header->unclean, unclean, memory_order_relaxed);
    for (uint32_t i = 0; i < header->segment_count; i++) {
        check_entry(tier, i);
        uint64_t word = atomic_load_explicit(&tier->entries[i].word, memory_order_relaxed);
        newest = disk_entry_id(word) > newest ? disk_entry_id(word) : newest;
    }
    uint64_t next = atomic_load_explicit(&header->next_segment, memory_order_relaxed);
    if (next <= newest) {
        next = newest + 1;
    }
    brisk_err err = BRISK_OK;
    if (next > DISK_SEGMENT_ID_MAX / 4 * 3) {
        err = disk_drop_all(tier); /* ids begin again, and nobody is here to remember old ones */
        next = 1;
    }
    atomic_store_explicit(&header->next_segment, next, memory_order_relaxed);
    disk_folder_sweep(tier, true);
    disk_dict_recover(tier, state);
    return err;
}

static brisk_err load_index(disk_tier *tier, bool alone, disk_state *state, brisk_errinfo *info)
{
    brisk_err err = open_index(tier, alone);
    if (err != BRISK_OK && !alone) {
        return brisk_errinfo_set(info, err, "%s/%s: %s, and others use the folder", tier->path,
                                 index_name, brisk_err_message(err));
    }
    if (err != BRISK_OK) {
        if ((state->flags & DISK_STATE_TAINTED) != 0) {
            drop_content(tier, state);
            err = disk_state_write(tier, state, true);
        } else {
            err = BRISK_OK;
        }
        if (err == BRISK_OK) {
            err = make_index(tier);
        }
    }
    if (err == BRISK_OK && alone) {
        err = recover(tier, state);
    }
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s/%s: %s", tier->path, index_name,
                                 brisk_err_message(err));
    }
    return BRISK_OK;
}

/* --- durability --------------------------------------------------------------------------------- */

/* Alone: from here on writers sync before they acknowledge; what is there is synced first. */
static brisk_err begin_durable(disk_tier *tier)
{
    disk_state state;
    brisk_err err = disk_state_read(tier, &state);
    bool fresh = (state.flags & DISK_STATE_DURABLE) == 0;
    if (err == BRISK_OK && (state.flags & DISK_STATE_TAINTED) != 0) {
        err = disk_reconcile(tier);
    }
    bool settled = (state.flags & (DISK_STATE_TAINTED | DISK_STATE_UNCLEAN)) == 0 && !fresh;
    if (err == BRISK_OK && !settled) {
        err = sync_all(tier) ? disk_state_read(tier, &state) : BRISK_ERR_IO;
        state.flags = DISK_STATE_DURABLE;
        if (err == BRISK_OK) {
            err = disk_state_write(tier, &state, true);
        }
    }
    if (err == BRISK_OK) {
        atomic_store_explicit(&tier->header->durable, 1, memory_order_release);
    }
    return err;
}

/* Alone: no longer; the index is what counts again, so it is synced. */
static brisk_err end_durable(disk_tier *tier)
{
    disk_state state;
    atomic_store_explicit(&tier->header->durable, 0, memory_order_release);
    brisk_err err = sync_all(tier) ? disk_state_read(tier, &state) : BRISK_ERR_IO;
    if (err == BRISK_OK) {
        state.flags &= ~(uint32_t)DISK_STATE_DURABLE;
        err = disk_state_write(tier, &state, true);
    }
    return err;
}

/* The folder's mode is that of who comes first; others follow, or are told. */
static brisk_err choose_durability(disk_tier *tier, bool alone, const disk_state *state,
                                   brisk_errinfo *info)
{
    bool wanted = tier->sync_mode == BRISK_DISK_SYNC_GROUP;
    brisk_err err = BRISK_OK;
    if (!alone) {
        return !wanted || disk_is_durable(tier)
                   ? BRISK_OK
                   : brisk_errinfo_set(info, BRISK_ERR_CONFLICT,
                                       "%s: others use it without syncing", tier->path);
    }
    if (wanted) {
        err = begin_durable(tier);
    } else if ((state->flags & DISK_STATE_DURABLE) != 0) {
        err = end_durable(tier);
    } else {
        atomic_store_explicit(&tier->header->durable, 0, memory_order_release);
    }
    return err == BRISK_OK ? err
                           : brisk_errinfo_set(info, err, "%s: cannot be synced: %s", tier->path,
                                               brisk_err_message(err));
}

/* --- open ------------------------------------------------------------------------------------ */

static brisk_err open_folder(disk_tier *tier, brisk_errinfo *info)
{
    brisk_err err = brisk_file_make_dirs(tier->path, info);
    if (err != BRISK_OK) {
        return err;
    }
    tier->dir_fd = open(tier->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tier->dir_fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", tier->path);
    }
    if (is_network(tier->dir_fd)) {
        return brisk_errinfo_set(info, BRISK_ERR_UNSUPPORTED,
                                 "%s: on a network file system, where processes cannot share it",
                                 tier->path);
    }
    err = disk_rights_check(tier, info);
    if (err == BRISK_OK) {
        err = disk_names_check(tier, info);
    }
    if (err == BRISK_OK) {
        err = open_state(tier, info);
    }
    if (err != BRISK_OK) {
        return err;
    }
    bool alone;
    disk_state state;
    err = disk_users_enter(tier, &alone);
    if (err != BRISK_OK) {
        err = brisk_errinfo_set(info, err, "%s: cannot be locked", tier->path);
    }
    if (err == BRISK_OK) {
        err = load_state(tier, alone, &state, info);
    }
    if (err == BRISK_OK) {
        err = load_index(tier, alone, &state, info);
    }
    if (err == BRISK_OK) {
        err = choose_durability(tier, alone, &state, info);
    }
    if (err == BRISK_OK) {
        disk_users_share(tier);
    } else {
        disk_users_leave(tier); /* the next one may be alone, and mend what we could not */
    }
    disk_structure_leave(tier);
    return err;
}

static brisk_err make_alive(disk_tier *tier)
{
    void *page =
        mmap(NULL, DISK_INDEX_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return BRISK_ERR_NOMEM;
    }
    tier->alive_page = page;
    tier->alive = page;
    if (madvise(page, DISK_INDEX_PAGE, MADV_WIPEONFORK) != 0) {
        return BRISK_ERR_UNSUPPORTED;
    }
    atomic_store_explicit(tier->alive, 1, memory_order_relaxed);
    return BRISK_OK;
}

static void set_limits(disk_tier *tier, const brisk_disk_tier_opts *opts)
{
    tier->bytes_max = opts->bytes_max != 0 ? opts->bytes_max : UINT64_C(4) << 30;
    uint64_t segment = opts->segment_bytes != 0 ? opts->segment_bytes : DISK_SEGMENT_BYTES_MAX;
    segment = segment < DISK_SEGMENT_BYTES_MAX ? segment : DISK_SEGMENT_BYTES_MAX;
    segment = segment < tier->bytes_max / 4 ? segment : tier->bytes_max / 4;
    segment &= ~(uint64_t)(DISK_INDEX_PAGE - 1);
    tier->segment_bytes = segment >= DISK_INDEX_PAGE ? segment : DISK_INDEX_PAGE;
    tier->large_bytes = tier->segment_bytes / 4 < BRISK_VALUE_LARGE_BYTES ? tier->segment_bytes / 4
                                                                          : BRISK_VALUE_LARGE_BYTES;
}

/* INVALID: no such codec. */
static brisk_err set_codec(disk_tier *tier, const brisk_disk_tier_opts *opts)
{
    const char *name = opts->codec != NULL ? opts->codec : "auto";
    tier->codec_auto = strcmp(name, "auto") == 0;
    tier->codec = CODEC_ZSTD;
    brisk_err err = tier->codec_auto ? BRISK_OK : codec_find(name, &tier->codec);
    if (err != BRISK_OK) {
        return BRISK_ERR_INVALID;
    }
    if (opts->zstd_level < 0) {
        tier->codec = CODEC_PLAIN;
        tier->codec_auto = false;
    }
    tier->level = opts->zstd_level > 19 ? 19 : opts->zstd_level;
    tier->has_dicts =
        !opts->no_dictionary && tier->codec == CODEC_ZSTD && tier->bytes_max >= DICTS_FROM;
    tier->tended = opts->tended;
    tier->sync_mode = opts->sync;
    tier->reinsert_percent = opts->reinsert_percent == 0   ? REINSERT_PERCENT
                             : opts->reinsert_percent < 0  ? 0
                             : opts->reinsert_percent > 50 ? 50
                                                           : (uint32_t)opts->reinsert_percent;
    return BRISK_OK;
}

/* Memory and what needs no folder. */
static brisk_err tier_new(const brisk_disk_tier_opts *opts, const disk_sys *sys, disk_tier **ret)
{
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    disk_tier *tier = alloc->acquire(alloc->ctx, sizeof *tier, _Alignof(disk_tier));
    if (tier == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(tier, 0, sizeof *tier);
    tier->alloc = alloc;
    tier->clock = opts->clock;
    tier->sys = sys != NULL ? sys : &system_calls;
    tier->dir_fd = tier->state_fd = tier->index_fd = -1;
    for (uint32_t i = 0; i < DISK_BUCKETS; i++) {
        tier->actives[i].fd = -1;
    }
    tier->base.ops = &disk_tier_ops;
    (void)snprintf(tier->base.name, sizeof tier->base.name, "disk");
    set_limits(tier, opts);
    brisk_err err = set_codec(tier, opts);
    disk_crc_init(tier->crc);
    disk_boot_id(tier->boot);
    tier->path_size = strlen(opts->path) + 1;
    tier->path = alloc->acquire(alloc->ctx, tier->path_size, 1);
    err = tier->path == NULL ? BRISK_ERR_NOMEM : err;
    if (err == BRISK_OK) {
        memcpy(tier->path, opts->path, tier->path_size);
        err = brisk_hist_create(&(brisk_hist_opts){.alloc = alloc}, &tier->get_hist);
    }
    if (err == BRISK_OK) {
        err = make_alive(tier);
    }
    if (err != BRISK_OK) {
        tier_free(tier);
        return err;
    }
    pthread_mutex_init(&tier->write_lock, NULL);
    pthread_mutex_init(&tier->fd_lock, NULL);
    pthread_mutex_init(&tier->scratch_lock, NULL);
    pthread_mutex_init(&tier->hist_lock, NULL);
    pthread_mutex_init(&tier->dict_lock, NULL);
    pthread_mutex_init(&tier->tend_lock, NULL);
    pthread_mutex_init(&tier->sync.lock, NULL);
    pthread_cond_init(&tier->sync.round, NULL);
    pthread_mutex_init(&tier->trainer.lock, NULL);
    *ret = tier;
    return BRISK_OK;
}

brisk_err disk_tier_open_with(const brisk_disk_tier_opts *opts, const disk_sys *sys,
                              brisk_tier **ret, brisk_errinfo *info)
{
    BRISK_ASSERT(opts != NULL && ret != NULL);
    if (opts->path == NULL || opts->path[0] == '\0' || strlen(opts->path) >= PATH_BYTES_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "the disk tier needs a folder");
    }
    if (opts->bytes_max != 0 && opts->bytes_max < BYTES_MIN) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: the bound must be %d bytes or more",
                                 opts->path, (int)BYTES_MIN);
    }
    disk_tier *tier;
    brisk_err err = tier_new(opts, sys, &tier);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s: %s", opts->path, brisk_err_message(err));
    }
    err = open_folder(tier, info);
    if (err != BRISK_OK) {
        tier_free(tier);
        return err;
    }
    *ret = &tier->base;
    return BRISK_OK;
}

brisk_err brisk_disk_tier_open(const brisk_disk_tier_opts *opts, brisk_tier **ret,
                               brisk_errinfo *info)
{
    return disk_tier_open_with(opts, NULL, ret, info);
}
