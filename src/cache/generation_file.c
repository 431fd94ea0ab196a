/*
 * generation_file.c -- the table of generations in a folder's file `generations`.
 *
 *     locks (open file description)   byte 0  users: shared; exclusive means "alone"
 *                                     byte 1  structure: opening, closing, prefixes, marks
 *
 * Invalidations are stores into the mapping, so a killed process loses none of them: the pages are
 * the kernel's.  A power loss may bring back any older content of any page, and with it entries
 * that were invalidated.  So before the first bump, arming or era after everything was synced, the
 * mark `unsynced` goes to the disk with the boot's id; the last one to close syncs everything and
 * takes it back.  A marked table of another boot is lost, and so is a damaged one, or one that is
 * not there: then nobody can say what of the tiers' entries is outdated, and they are emptied.
 * `magic` is written after that, so that who is killed in between leaves a table that is lost.
 *
 * A process that is killed inside a change leaves it "under way": nothing that depends on the key
 * is current until the next one who is alone has ended it.
 *
 * A store into a page of a file that has no room on disk is a SIGBUS, so pages get their room
 * first (generations_page); without room everything is outdated instead.
 *
 * Damage: the head's fixed part has a checksum; slots and prefixes have none, since they change by
 * single stores.  Nothing read from the table is used as a size or a place.
 *
 * A forked child has the mapping but not the locks (they are its parent's too): it bumps slots like
 * any process, and where a lock is needed it invalidates everything instead.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/file.h>
#include <brisk/log.h>

#include "base/assert.h"
#include "cache/disk.h"
#include "cache/generation.h"

enum {
    BYTE_USERS = 0,
    BYTE_STRUCTURE = 1,
    WAIT_MS_MAX = 1000,
    OPEN_TRIES = 8,
    PATH_BYTES_MAX = 4096,
    VERSION = 2,
    WORDS_A_PAGE = GENERATION_PAGE / 8,
};

#define EPOCH_MAX (UINT64_C(1) << 46) /* a table that counted so far begins anew */

/* --- locks --------------------------------------------------------------------------------- */

static bool lock_byte(int fd, off_t at, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    int done;
    do {
        done = fcntl(fd, F_OFD_SETLK, &lock);
    } while (done != 0 && errno == EINTR);
    return done == 0;
}

static brisk_err structure_enter(int fd)
{
    for (int waited_ms = 0; !lock_byte(fd, BYTE_STRUCTURE, F_WRLCK); waited_ms++) {
        if (errno != EAGAIN && errno != EACCES) {
            return BRISK_ERR_IO;
        }
        if (waited_ms >= WAIT_MS_MAX) {
            return BRISK_ERR_DEADLINE;
        }
        (void)poll(NULL, 0, 1);
    }
    return BRISK_OK;
}

static void structure_leave(int fd)
{
    (void)lock_byte(fd, BYTE_STRUCTURE, F_UNLCK);
}

/* The table's own lock, and the file's.  In a child: false. */
static brisk_err table_enter(generations *table)
{
    (void)pthread_mutex_lock(&table->lock);
    brisk_err err = BRISK_OK;
    if (table->fd >= 0) {
        err = table->owner == getpid() ? structure_enter(table->fd) : BRISK_ERR_UNSUPPORTED;
    }
    if (err != BRISK_OK) {
        (void)pthread_mutex_unlock(&table->lock);
    }
    return err;
}

static void table_leave(generations *table)
{
    if (table->fd >= 0) {
        structure_leave(table->fd);
    }
    (void)pthread_mutex_unlock(&table->lock);
}

/* --- room ---------------------------------------------------------------------------------- */

/* No system call when the page has its room, as it nearly always has. */
brisk_err generations_page(generations *table, size_t at)
{
    size_t page = at / GENERATION_PAGE;
    if (table->fd < 0) {
        return BRISK_OK;
    }
    _Atomic uint64_t *word = &table->pages[page / 64];
    uint64_t bit = UINT64_C(1) << (page % 64);
    if ((atomic_load_explicit(word, memory_order_relaxed) & bit) != 0) {
        return BRISK_OK;
    }
    int done;
    do {
        done = fallocate(table->fd, FALLOC_FL_KEEP_SIZE, (off_t)(page * GENERATION_PAGE),
                         GENERATION_PAGE);
    } while (done != 0 && errno == EINTR);
    if (done != 0) {
        return brisk_err_from_errno(errno);
    }
    (void)atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
    return BRISK_OK;
}

/* All of it, where the file system knows no fallocate.  *ret_all: every page has room now. */
static brisk_err make_room(int fd, bool *ret_all)
{
    static const unsigned char zeros[65536];
    *ret_all = false;
    if (fallocate(fd, 0, 0, GENERATION_SLOTS_AT) == 0) {
        return BRISK_OK;
    }
    if (errno != EOPNOTSUPP) {
        return brisk_err_from_errno(errno);
    }
    for (uint64_t at = 0; at < GENERATION_BYTES; at += sizeof zeros) {
        uint64_t left = GENERATION_BYTES - at;
        size_t size = left < sizeof zeros ? (size_t)left : sizeof zeros;
        brisk_err err = brisk_file_pwrite_all(fd, zeros, size, at);
        if (err != BRISK_OK) {
            return err;
        }
    }
    *ret_all = true;
    return BRISK_OK;
}

/* --- opening ------------------------------------------------------------------------------- */

static uint64_t head_sum(const generation_head *head)
{
    return brisk_hash64(head, offsetof(generation_head, checksum), GENERATION_MAGIC);
}

bool generation_head_ok(const generation_head *head)
{
    return head->magic == GENERATION_MAGIC && head->version == VERSION &&
           head->slots == BRISK_GENERATION_SLOTS && head->checksum == head_sum(head) &&
           atomic_load_explicit(&head->epoch, memory_order_relaxed) < EPOCH_MAX;
}

/* Alone: an empty table that is not valid yet. */
static brisk_err file_begin(int fd)
{
    bool all;
    if (ftruncate(fd, 0) != 0 || ftruncate(fd, GENERATION_BYTES) != 0) {
        return brisk_err_from_errno(errno);
    }
    brisk_err err = make_room(fd, &all);
    if (err != BRISK_OK) {
        return err;
    }
    generation_head head = {.version = VERSION, .slots = BRISK_GENERATION_SLOTS};
    if (getrandom(&head.id, sizeof head.id, 0) != (ssize_t)sizeof head.id) {
        return BRISK_ERR_IO;
    }
    generation_head_begin(&head);
    err = brisk_file_pwrite_all(fd, &head, sizeof head, 0);
    if (err == BRISK_OK && all) {
        unsigned char ones[GENERATION_PAGE];
        memset(ones, 0xff, sizeof ones);
        err = brisk_file_pwrite_all(fd, ones, sizeof ones, GENERATION_PAGES_AT);
    }
    return err;
}

/* The words that have room, a page at a time, with what was left "under way" ended. */
static void end_changes(generations *table)
{
    generation_head *head = table->head;
    for (size_t i = 0; i < GENERATION_STAMPS; i++) {
        atomic_store_explicit(&table->stamps[i].last, 0, memory_order_relaxed);
        atomic_store_explicit(&table->stamps[i].rest, 0, memory_order_relaxed);
    }
    for (size_t page = 0; page < BRISK_GENERATION_SLOTS / WORDS_A_PAGE; page++) {
        size_t bit = GENERATION_SLOTS_AT / GENERATION_PAGE + page;
        uint64_t has = atomic_load_explicit(&table->pages[bit / 64], memory_order_relaxed);
        for (size_t i = 0; (has >> (bit % 64) & 1) != 0 && i < WORDS_A_PAGE; i++) {
            _Atomic uint64_t *word = &table->slots[page * WORDS_A_PAGE + i];
            if (atomic_load_explicit(word, memory_order_relaxed) >> 48 != 0) {
                uint64_t epoch =
                    atomic_fetch_add_explicit(&head->epoch, 1, memory_order_relaxed) + 1;
                atomic_store_explicit(word, epoch, memory_order_relaxed);
                atomic_store_explicit(&head->any, epoch, memory_order_relaxed);
            }
        }
    }
    uint64_t any = atomic_load_explicit(&head->any, memory_order_relaxed);
    atomic_store_explicit(&head->any, any & ((UINT64_C(1) << 48) - 1), memory_order_relaxed);
}

/* Whether the file may be used as it is; alone, everybody else's table is not in question. */
static bool is_valid(int fd, const uint64_t boot[2], bool alone)
{
    generation_head head;
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size != GENERATION_BYTES ||
        brisk_file_pread_all(fd, &head, sizeof head, 0) != BRISK_OK || !generation_head_ok(&head)) {
        return false;
    }
    bool same_boot = boot[0] != 0 && head.boot[0] == boot[0] && head.boot[1] == boot[1];
    return !alone || head.unsynced == 0 || same_boot;
}

/* Under the structure lock.  With *ret_lost both locks are kept until commit. */
static brisk_err open_locked(const brisk_alloc *alloc, int fd, generations **ret, bool *ret_lost)
{
    uint64_t boot[2];
    disk_boot_id(boot);
    bool alone = lock_byte(fd, BYTE_USERS, F_WRLCK);
    if (!alone && !lock_byte(fd, BYTE_USERS, F_RDLCK)) {
        return BRISK_ERR_IO;
    }
    bool valid = is_valid(fd, boot, alone);
    if (!valid && !alone) {
        return BRISK_ERR_CORRUPT;
    }
    brisk_err err = valid ? BRISK_OK : file_begin(fd);
    generations *table = NULL;
    if (err == BRISK_OK) {
        err = generations_map(alloc, fd, &table);
    }
    if (err != BRISK_OK) {
        return err;
    }
    generation_head *head = table->head;
    table->owner = getpid();
    /* Different from everybody else's is enough; epochs are never given twice. */
    table->user = (uint32_t)atomic_fetch_add_explicit(&head->epoch, 1, memory_order_seq_cst) ^
                  UINT32_C(1) << 31;
    if (alone) {
        if (valid && (head->in_use != 0 || head->boot[0] != boot[0] || head->boot[1] != boot[1])) {
            end_changes(table);
        }
        head->in_use = 1;
        atomic_store_explicit(&head->dirty, head->unsynced, memory_order_relaxed);
        head->boot[0] = boot[0];
        head->boot[1] = boot[1];
        atomic_store_explicit(&head->users, 0, memory_order_relaxed);
    }
    (void)atomic_fetch_add_explicit(&head->users, 1, memory_order_seq_cst);
    *ret = table;
    *ret_lost = !valid;
    return BRISK_OK;
}

static brisk_err file_open(const char *folder, int *ret, brisk_errinfo *info)
{
    char path[PATH_BYTES_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", folder, GENERATION_NAME);
    if (length < 0 || (size_t)length >= sizeof path) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%.100s...: too long", folder);
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid()) {
        (void)close(fd);
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: is not a file of this user", path);
    }
    *ret = fd;
    return BRISK_OK;
}

static bool is_linked(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

brisk_err generations_open(const brisk_alloc *alloc, const char *folder, generations **ret,
                           bool *ret_lost, brisk_errinfo *info)
{
    for (int tries = 0; tries < OPEN_TRIES; tries++) {
        int fd;
        brisk_err err = file_open(folder, &fd, info);
        if (err != BRISK_OK) {
            return err;
        }
        err = structure_enter(fd);
        if (err == BRISK_OK && !is_linked(fd)) {
            (void)close(fd); /* removed before it was locked: another one may be there */
            continue;
        }
        if (err == BRISK_OK) {
            err = open_locked(alloc, fd, ret, ret_lost);
        }
        if (err != BRISK_OK) {
            (void)close(fd); /* and all locks with it */
            return brisk_errinfo_set(info, err, "%s/%s: %s", folder, GENERATION_NAME,
                                     brisk_err_message(err));
        }
        if (!*ret_lost) {
            (void)lock_byte(fd, BYTE_USERS, F_RDLCK);
            structure_leave(fd);
        }
        return BRISK_OK;
    }
    return brisk_errinfo_set(info, BRISK_ERR_CONFLICT, "%s/%s: is removed again and again", folder,
                             GENERATION_NAME);
}

void generations_commit(generations *table)
{
    generation_head *head = table->head;
    head->checksum = 0;
    head->magic = GENERATION_MAGIC;
    head->checksum = head_sum(head);
    (void)lock_byte(table->fd, BYTE_USERS, F_RDLCK);
    structure_leave(table->fd);
}

bool generations_are_there(const generations *table)
{
    return table->fd < 0 || is_linked(table->fd);
}

/* --- power loss ---------------------------------------------------------------------------- */

brisk_err generations_mark(generations *table)
{
    generation_head *head = table->head;
    /* Acquire: pairs with the release below, in whichever process it was. */
    if (table->fd < 0 || atomic_load_explicit(&head->dirty, memory_order_acquire) != 0) {
        return BRISK_OK;
    }
    brisk_err err = table_enter(table);
    if (err != BRISK_OK) {
        return err;
    }
    if (atomic_load_explicit(&head->dirty, memory_order_relaxed) == 0) {
        head->unsynced = 1;
        if (fdatasync(table->fd) != 0) {
            err = brisk_err_from_errno(errno);
        } else {
            atomic_store_explicit(&head->dirty, 1, memory_order_release);
        }
    }
    table_leave(table);
    return err;
}

/* Alone: everything to the disk, then the mark goes.  Failing is fine: the mark stays. */
static void sync_all(generations *table)
{
    generation_head *head = table->head;
    if (fdatasync(table->fd) != 0) {
        return;
    }
    atomic_store_explicit(&head->dirty, 0, memory_order_relaxed);
    head->unsynced = 0;
    if (fdatasync(table->fd) != 0) {
        head->unsynced = 1;
    }
}

void generations_close(generations *table)
{
    if (table == NULL) {
        return;
    }
    int fd = table->fd;
    if (fd >= 0 && table->owner == getpid() && structure_enter(fd) == BRISK_OK) {
        generation_head *head = table->head;
        (void)atomic_fetch_sub_explicit(&head->users, 1, memory_order_relaxed);
        if (head->magic == GENERATION_MAGIC && lock_byte(fd, BYTE_USERS, F_WRLCK)) {
            if (atomic_load_explicit(&head->dirty, memory_order_relaxed) != 0) {
                sync_all(table);
            }
            head->in_use = 0;
        }
        (void)lock_byte(fd, BYTE_USERS, F_UNLCK);
        structure_leave(fd);
    }
    generations_unmap(table);
    if (fd >= 0) {
        (void)close(fd);
    }
}

/* --- prefixes ------------------------------------------------------------------------------ */

brisk_err generations_invalidate(generations *table, generation_name name, generation_era *ret)
{
    brisk_err err = generations_mark(table);
    if (table_enter(table) == BRISK_OK) {
        ret->era = generations_begin_era(table, name);
        table_leave(table);
    } else {
        ret->era = generations_everything(table);
    }
    uint16_t purged = (uint16_t)atomic_load_explicit(&table->head->purged, memory_order_relaxed);
    uint16_t since = (uint16_t)((uint16_t)generations_eras(table) - purged);
    ret->purge_due = since >= GENERATION_ERAS;
    ret->overdue = since >= GENERATION_ERAS + GENERATION_ERAS / 2;
    return err;
}

void generations_purged(generations *table)
{
    generation_head *head = table->head;
    uint32_t era = generations_eras(table) & UINT16_MAX;
    atomic_store_explicit(&head->purged, era, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&head->purges, 1, memory_order_release);
}

/* --- what shared tiers told ----------------------------------------------------------------- */

static _Atomic uint64_t *seen_of(generations *table, const char *tier)
{
    uint64_t hash = brisk_hash64(tier, strnlen(tier, BRISK_TIER_NAME_MAX), GENERATION_MAGIC) | 1;
    for (uint32_t i = 0; i < BRISK_CACHE_TIERS_MAX; i++) {
        _Atomic uint64_t *pair = table->head->seen[i];
        uint64_t found = 0;
        if (atomic_compare_exchange_strong_explicit(&pair[0], &found, hash, memory_order_relaxed,
                                                    memory_order_relaxed) ||
            found == hash) {
            return &pair[1];
        }
    }
    return NULL; /* more names than tiers can be: told everything again */
}

uint64_t generations_seen(generations *table, const char *tier)
{
    const _Atomic uint64_t *seen = seen_of(table, tier);
    return seen != NULL ? atomic_load_explicit(seen, memory_order_relaxed) : 0;
}

void generations_see(generations *table, const char *tier, uint64_t token)
{
    _Atomic uint64_t *seen = seen_of(table, tier);
    uint64_t before = seen != NULL ? atomic_load_explicit(seen, memory_order_relaxed) : UINT64_MAX;
    while (before < token &&
           !atomic_compare_exchange_weak_explicit(seen, &before, token, memory_order_release,
                                                  memory_order_relaxed)) {
    }
}
