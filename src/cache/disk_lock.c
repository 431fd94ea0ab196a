/*
 * disk_lock.c -- locks between processes, and the state file that holds them.
 *
 * All locks are open-file-description locks on bytes of `state`, so the kernel lets go of them
 * when their owner dies, and two tiers of one process exclude each other too:
 *
 *     byte 0          users: shared by every open tier; exclusive means "alone"
 *     byte 1          structure: exclusive while segments or the state file change
 *     byte 4096 + id  owner of active segment `id`
 *
 * Order: write_lock of the process, structure, then users or an owner without waiting.  Nobody has
 * users exclusively without structure, so whoever has structure always gets users shared at least.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <brisk/file.h>
#include <brisk/log.h>

#include "base/assert.h"
#include "cache/disk.h"

enum {
    BYTE_USERS = 0,
    BYTE_STRUCTURE = 1,
    BYTE_OWNERS = 4096,
    WAIT_MS_MAX = 1000,
    STATE_VERSION = 2,
};

static bool lock_byte(const disk_tier *tier, off_t at, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    int done;
    do {
        done = fcntl(tier->state_fd, F_OFD_SETLK, &lock);
    } while (done != 0 && errno == EINTR);
    return done == 0;
}

brisk_err disk_users_enter(disk_tier *tier, bool *ret_alone)
{
    bool alone = lock_byte(tier, BYTE_USERS, F_WRLCK);
    if (!alone && !lock_byte(tier, BYTE_USERS, F_RDLCK)) {
        return BRISK_ERR_IO;
    }
    *ret_alone = alone;
    return BRISK_OK;
}

void disk_users_share(disk_tier *tier)
{
    (void)lock_byte(tier, BYTE_USERS, F_RDLCK); /* a weaker lock is always granted */
}

void disk_users_leave(disk_tier *tier)
{
    (void)lock_byte(tier, BYTE_USERS, F_UNLCK);
}

bool disk_users_try_alone(disk_tier *tier)
{
    return lock_byte(tier, BYTE_USERS, F_WRLCK);
}

brisk_err disk_structure_enter(disk_tier *tier)
{
    if (tier->structure_depth > 0) {
        tier->structure_depth++;
        return BRISK_OK;
    }
    /* Others hold it for milliseconds.  Who is stopped while holding it costs us a miss. */
    for (int waited_ms = 0; !lock_byte(tier, BYTE_STRUCTURE, F_WRLCK); waited_ms++) {
        if (errno != EAGAIN && errno != EACCES) {
            return BRISK_ERR_IO;
        }
        if (waited_ms >= WAIT_MS_MAX) {
            return BRISK_ERR_DEADLINE;
        }
        (void)poll(NULL, 0, 1);
    }
    tier->structure_depth = 1;
    return BRISK_OK;
}

void disk_structure_leave(disk_tier *tier)
{
    BRISK_ASSERT(tier->structure_depth > 0);
    if (--tier->structure_depth == 0) {
        (void)lock_byte(tier, BYTE_STRUCTURE, F_UNLCK);
    }
}

bool disk_owner_take(disk_tier *tier, uint32_t id)
{
    return lock_byte(tier, BYTE_OWNERS + (off_t)id, F_WRLCK);
}

void disk_owner_leave(disk_tier *tier, uint32_t id)
{
    (void)lock_byte(tier, BYTE_OWNERS + (off_t)id, F_UNLCK);
}

bool disk_owner_lives(disk_tier *tier, uint32_t id)
{
    if (disk_active_find(tier, id) != NULL) {
        return true; /* one's own lock is never in one's own way */
    }
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = BYTE_OWNERS + (off_t)id, .l_len = 1};
    return fcntl(tier->state_fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

/* --- the state file ------------------------------------------------------------------------ */

void disk_boot_id(uint64_t boot[2])
{
    char text[64];
    boot[0] = boot[1] = 0; /* unknown: never equal to what a state file holds */
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    ssize_t size = read(fd, text, sizeof text);
    (void)close(fd);
    if (size > 0) {
        brisk_hash128 hash = brisk_hash128_of(text, (size_t)size, 0);
        boot[0] = hash.lo;
        boot[1] = hash.hi;
    }
}

static uint64_t state_sum(const disk_state *state)
{
    return brisk_hash64(state, offsetof(disk_state, checksum), DISK_STATE_MAGIC);
}

brisk_err disk_state_read(disk_tier *tier, disk_state *ret)
{
    disk_state state;
    brisk_err err = BRISK_OK;
    size_t size = disk_pread_some(tier, tier->state_fd, (disk_span){&state, sizeof state}, 0, &err);
    if (err != BRISK_OK) {
        return err;
    }
    if (size != sizeof state || state.magic != DISK_STATE_MAGIC || state.version != STATE_VERSION ||
        state.checksum != state_sum(&state)) {
        return BRISK_ERR_CORRUPT;
    }
    *ret = state;
    return BRISK_OK;
}

brisk_err disk_state_write(disk_tier *tier, const disk_state *state, bool sync)
{
    disk_state whole = *state;
    whole.magic = DISK_STATE_MAGIC;
    whole.version = STATE_VERSION;
    whole.checksum = state_sum(&whole);
    brisk_err err = disk_pwrite_all(tier, tier->state_fd, &whole, sizeof whole, 0);
    if (err == BRISK_OK && sync && tier->sys->fdatasync(tier->state_fd) != 0) {
        err = BRISK_ERR_IO;
    }
    return err;
}

static brisk_err set_flag(disk_tier *tier, uint32_t flag)
{
    disk_state state;
    brisk_err err = disk_state_read(tier, &state);
    if (err == BRISK_ERR_CORRUPT) {
        /* Damaged while in use: we know the seed, and assume the worst of the rest. */
        state = (disk_state){.seed = tier->seed, .flags = DISK_STATE_UNCLEAN | DISK_STATE_TAINTED};
        err = BRISK_OK;
    }
    if (err == BRISK_OK) {
        state.flags |= flag;
        state.boot[0] = tier->boot[0];
        state.boot[1] = tier->boot[1];
        err = disk_state_write(tier, &state, true);
    }
    return err;
}

brisk_err disk_mark_unclean(disk_tier *tier)
{
    /* Durable: what is withdrawn is synced before anybody is told. */
    return disk_is_durable(tier) ? BRISK_OK : disk_mark_unclean_always(tier);
}

brisk_err disk_mark_unclean_always(disk_tier *tier)
{
    /* Acquire: pairs with the release below, in whichever process it was. */
    if (atomic_load_explicit(&tier->header->unclean, memory_order_acquire) != 0) {
        return BRISK_OK;
    }
    brisk_err err = disk_structure_enter(tier);
    if (err != BRISK_OK) {
        return err;
    }
    err = set_flag(tier, DISK_STATE_UNCLEAN);
    if (err == BRISK_OK) {
        atomic_store_explicit(&tier->header->unclean, 1, memory_order_release);
    } else {
        disk_count(&tier->counters.errors, 1);
    }
    disk_structure_leave(tier);
    return err;
}

void disk_mark_tainted(disk_tier *tier)
{
    brisk_err err = disk_structure_enter(tier);
    if (err == BRISK_OK) {
        err = set_flag(tier, DISK_STATE_UNCLEAN | DISK_STATE_TAINTED);
        disk_structure_leave(tier);
    }
    if (err != BRISK_OK) {
        disk_count(&tier->counters.errors, 1);
        brisk_log(BRISK_LOG_WARNING, "cache", "%s: cannot note that the index is damaged: %s",
                  tier->path, brisk_err_message(err));
    }
}
