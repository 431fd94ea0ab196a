/*
 * stats_file.c -- slots by time, see stats_file.h.
 */
#include "daemon/api/stats_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/file.h>
#include <brisk/hash.h>

#include "base/assert.h"

enum { HEADER_BYTES = 4096, FORMAT = 1, PATH_ROOM = 4096 };

static const char magic[8] = {'b', 'r', 'i', 's', 'k', 'f', 'i', 'g'};

typedef struct header {
    char magic[8];
    uint32_t format;
    uint32_t slot_bytes;
    uint32_t steps[STATS_LEVELS];
    uint32_t kept[STATS_LEVELS];
    uint64_t check;
} header;

typedef struct slot {
    uint64_t check;
    stats_sample sample;
} slot;

struct stats_file {
    const brisk_alloc *alloc;
    int fd;       /* -1: not open */
    bool writes;  /* it has the lock, and the file its shape */
    bool is_ours; /* reading: the file has the shape */
    char path[PATH_ROOM];
};

static header make_header(void)
{
    header h;
    memset(&h, 0, sizeof h);
    memcpy(h.magic, magic, sizeof h.magic);
    h.format = FORMAT;
    h.slot_bytes = sizeof(slot);
    for (uint32_t i = 0; i < STATS_LEVELS; i++) {
        h.steps[i] = stats_step_s(i);
        h.kept[i] = stats_kept(i);
    }
    h.check = brisk_hash64(&h, offsetof(header, check), FORMAT);
    return h;
}

static off_t place_of(uint32_t level, uint64_t period)
{
    BRISK_ASSERT(level > 0 && level < STATS_LEVELS);
    uint64_t index = period % stats_kept(level);
    for (uint32_t i = 1; i < level; i++) {
        index += stats_kept(i);
    }
    return (off_t)(HEADER_BYTES + index * sizeof(slot));
}

static uint64_t check_of(const slot *s, off_t place)
{
    return brisk_hash64(&s->sample, sizeof s->sample, (uint64_t)place + FORMAT);
}

/* --- opening ------------------------------------------------------------------------------ */

static bool has_shape(int fd)
{
    header wanted = make_header();
    header found;
    return brisk_file_pread_all(fd, &found, sizeof found, 0) == BRISK_OK &&
           memcmp(&found, &wanted, sizeof wanted) == 0;
}

/* Empty (or never finished), or of another brisk: it may begin anew. */
static bool may_renew(int fd)
{
    static const char none[sizeof magic];
    char found[sizeof magic];
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return false;
    }
    return st.st_size == 0 ||
           (brisk_file_pread_all(fd, found, sizeof found, 0) == BRISK_OK &&
            (memcmp(found, magic, sizeof magic) == 0 || memcmp(found, none, sizeof none) == 0));
}

/* The header comes last: without it the file is begun again. */
static brisk_err renew(const stats_file *f, brisk_errinfo *info)
{
    header h = make_header();
    off_t size = (off_t)(HEADER_BYTES + (size_t)STATS_SLOTS * sizeof(slot));
    int failed = ftruncate(f->fd, 0) != 0 ? errno : posix_fallocate(f->fd, 0, size);
    if (failed != 0) {
        (void)!ftruncate(f->fd, 0); /* no half of it is kept */
        return brisk_errinfo_set_errno(info, failed, "%s", f->path);
    }
    brisk_err err = brisk_file_pwrite_all(f->fd, &h, sizeof h, 0);
    return err == BRISK_OK
               ? err
               : brisk_errinfo_set(info, err, "%s: %s", f->path, brisk_err_message(err));
}

static int open_at(const char *path, int flags)
{
    return open(path, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
}

static brisk_err make_folder(const char *path, brisk_errinfo *info)
{
    char folder[PATH_ROOM];
    (void)snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash == NULL || slash == folder) {
        return BRISK_OK;
    }
    *slash = '\0';
    return brisk_file_make_dirs(folder, info);
}

static void shut(stats_file *f)
{
    if (f->fd >= 0) {
        (void)close(f->fd); /* and gives the lock back */
    }
    f->fd = -1;
    f->writes = false;
    f->is_ours = false;
}

/* f->fd is open to write. */
static brisk_err take(stats_file *f, brisk_errinfo *info)
{
    if (flock(f->fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? brisk_errinfo_set(info, BRISK_ERR_CONFLICT,
                                       "%s: another node keeps its figures there", f->path)
                   : brisk_errinfo_set_errno(info, errno, "%s", f->path);
    }
    if (has_shape(f->fd)) {
        return BRISK_OK;
    }
    if (!may_renew(f->fd)) {
        return brisk_errinfo_set(info, BRISK_ERR_MISMATCH,
                                 "%s: this is no file of a node's figures; it is left alone",
                                 f->path);
    }
    return renew(f, info);
}

brisk_err stats_file_own(stats_file *f, brisk_errinfo *info)
{
    if (f->writes) {
        return BRISK_OK;
    }
    shut(f);
    brisk_err err = make_folder(f->path, info);
    if (err != BRISK_OK) {
        return err;
    }
    f->fd = open_at(f->path, O_RDWR | O_CREAT);
    if (f->fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", f->path);
    }
    err = take(f, info);
    if (err != BRISK_OK) {
        shut(f);
        return err;
    }
    f->writes = true;
    f->is_ours = true;
    return BRISK_OK;
}

/* --- slots -------------------------------------------------------------------------------- */

/* What a program that was interrupted, or a bad disk, left must not lead anybody astray. */
static bool is_sound(const stats_sample *s)
{
    bool sound = s->tier_count <= STATS_TIERS_MAX && s->loop_count <= STATS_LOOPS_MAX &&
                 s->wall_ns >= s->begun_ns;
    for (uint32_t i = 0; sound && i < s->tier_count; i++) {
        sound = memchr(s->tiers[i].name, '\0', STATS_TIER_NAME_MAX) != NULL;
    }
    return sound;
}

static bool read_slot(const stats_file *f, off_t place, slot *ret)
{
    return brisk_file_pread_all(f->fd, ret, sizeof *ret, (uint64_t)place) == BRISK_OK &&
           ret->check == check_of(ret, place) && ret->sample.wall_ns != 0 && is_sound(&ret->sample);
}

bool stats_file_get(stats_file *f, uint32_t level, uint64_t period, stats_sample *ret)
{
    if (f->fd < 0) { /* somebody else may write it */
        f->fd = open_at(f->path, O_RDONLY);
        f->is_ours = f->fd >= 0 && has_shape(f->fd);
    }
    slot s;
    if (!f->is_ours || !read_slot(f, place_of(level, period), &s) ||
        stats_period(level, &s.sample) != period) {
        return false;
    }
    *ret = s.sample;
    return true;
}

brisk_err stats_file_put(stats_file *f, uint32_t level, const stats_sample *sample,
                         brisk_errinfo *info)
{
    BRISK_ASSERT(f->writes);
    uint64_t period = stats_period(level, sample);
    off_t place = place_of(level, period);
    slot s;
    if (read_slot(f, place, &s) && stats_period(level, &s.sample) == period &&
        s.sample.length_ns > sample->length_ns) {
        return BRISK_OK;
    }
    memset(&s, 0, sizeof s);
    memcpy(&s.sample, sample, sizeof *sample);
    s.check = check_of(&s, place);
    brisk_err err = brisk_file_pwrite_all(f->fd, &s, sizeof s, (uint64_t)place);
    if (err != BRISK_OK) {
        shut(f);
        return brisk_errinfo_set(info, err, "%s: %s", f->path, brisk_err_message(err));
    }
    return BRISK_OK;
}

/* --- life --------------------------------------------------------------------------------- */

brisk_err stats_file_create(const char *path, const brisk_alloc *alloc, stats_file **ret)
{
    if (strlen(path) >= PATH_ROOM) {
        return BRISK_ERR_LIMIT;
    }
    stats_file *f = alloc->acquire(alloc->ctx, sizeof *f, _Alignof(stats_file));
    if (f == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *f = (stats_file){.alloc = alloc, .fd = -1};
    memcpy(f->path, path, strlen(path) + 1);
    *ret = f;
    return BRISK_OK;
}

void stats_file_destroy(stats_file *f)
{
    if (f != NULL) {
        shut(f);
        f->alloc->release(f->alloc->ctx, f, sizeof *f, _Alignof(stats_file));
    }
}

const char *stats_file_path(const stats_file *f)
{
    return f->path;
}

static bool join(char *path, size_t room, const char *base, const char *rest)
{
    int size = snprintf(path, room, "%s/%s", base, rest);
    return size > 0 && (size_t)size < room;
}

bool stats_file_default(const listen_socket *first, char *path, size_t room)
{
    static const struct {
        const char *variable;
        const char *below;
    } places[] = {
        {"STATE_DIRECTORY", "figures-"},
        {"XDG_STATE_HOME", "brisk/figures-"},
        {"HOME", ".local/state/brisk/figures-"},
    };
    const char *colon = strrchr(first->text, ':');
    if (!first->is_unix && colon != NULL && strcmp(colon, ":0") == 0) {
        return false; /* another node each time */
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *base = secure_getenv(places[i].variable);
        if (base == NULL || base[0] != '/') {
            continue;
        }
        if (!join(path, room, base, places[i].below)) {
            return false;
        }
        size_t used = strlen(path);
        for (const char *c = first->text; *c != '\0' && used + 1 < room; c++) {
            bool plain = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
                         (*c >= 'A' && *c <= 'Z') || *c == '.';
            path[used++] = plain ? *c : '-';
        }
        path[used] = '\0';
        return true;
    }
    return false;
}
