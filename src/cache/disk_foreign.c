/*
 * disk_foreign.c -- whose files a folder holds, before anything in it is written or removed.
 *
 * The seed in `state` tells accidents apart, not attackers: who can write into the folder decides
 * what we answer.  So it must be ours, and not open to everybody (/tmp/brisk made by a stranger).
 *
 * A `state` of ours makes the folder ours.  Without one a folder may hold a user's own files under
 * our names; then the magic numbers decide: one file of ours and the rest is taken for damaged and
 * replaced, none and the folder is refused.  Empty files and those that begin with a page of zeros
 * are nobody's: a process that was killed, or a power loss, leaves them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/disk.h"

typedef enum disk_whose {
    DISK_NOBODYS, /* none of our names, or empty */
    DISK_OURS,
    DISK_FOREIGN,
} disk_whose;

static const char *const single_names[] = {DISK_STATE_NAME, DISK_INDEX_NAME, DISK_INDEX_TEMP_NAME};

/* The magic that a file of that name begins with; 0: none of our names, or a folder's. */
static uint64_t magic_of(const char *name, bool *ret_files)
{
    *ret_files = false;
    if (strcmp(name, DISK_STATE_NAME) == 0) {
        return DISK_STATE_MAGIC;
    }
    if (strcmp(name, DISK_INDEX_NAME) == 0 || strcmp(name, DISK_INDEX_TEMP_NAME) == 0) {
        return DISK_INDEX_MAGIC;
    }
    uint32_t number;
    disk_name_kind kind = disk_name_read(name, &number);
    *ret_files = kind == DISK_NAME_FILES;
    return kind == DISK_NAME_SEGMENT ? DISK_SEGMENT_MAGIC
           : kind == DISK_NAME_DICT  ? DISK_DICT_MAGIC
                                     : 0;
}

enum { PAGE = 4096 };

static bool is_zero(const unsigned char *bytes, size_t size)
{
    while (size > 0 && bytes[size - 1] == 0) {
        size--;
    }
    return size == 0;
}

static disk_whose whose_is(const disk_tier *tier, const char *name)
{
    bool is_files;
    uint64_t magic = magic_of(name, &is_files);
    if (magic == 0) {
        return is_files ? DISK_FOREIGN : DISK_NOBODYS; /* large values never stand alone */
    }
    int fd = openat(tier->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return errno == ENOENT ? DISK_NOBODYS : DISK_FOREIGN;
    }
    struct stat st;
    unsigned char head[PAGE];
    ssize_t have = -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        have = pread(fd, head, sizeof head, 0);
    }
    (void)close(fd);
    if (have >= (ssize_t)sizeof magic && memcmp(head, &magic, sizeof magic) == 0) {
        return DISK_OURS;
    }
    if (have == 0) {
        return DISK_NOBODYS;
    }
    /* After a power loss a new file may have its size and not its first page. */
    return have > 0 && is_zero(head, (size_t)have) ? DISK_NOBODYS : DISK_FOREIGN;
}

brisk_err disk_rights_check(const disk_tier *tier, brisk_errinfo *info)
{
    struct stat st;
    if (fstat(tier->dir_fd, &st) != 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", tier->path);
    }
    if (st.st_uid != geteuid()) {
        return brisk_errinfo_set(info, BRISK_ERR_PERMISSION,
                                 "%s: belongs to another user, who could change answers",
                                 tier->path);
    }
    if ((st.st_mode & S_IWOTH) != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_PERMISSION,
                                 "%s: anybody may write there and change answers; chmod o-w it",
                                 tier->path);
    }
    return BRISK_OK;
}

brisk_err disk_names_check(const disk_tier *tier, brisk_errinfo *info)
{
    for (size_t i = 0; i < sizeof single_names / sizeof single_names[0]; i++) {
        struct stat st;
        if (fstatat(tier->dir_fd, single_names[i], &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            S_ISREG(st.st_mode)) {
            continue;
        }
        const char *what = S_ISDIR(st.st_mode)   ? "a folder"
                           : S_ISLNK(st.st_mode) ? "a symbolic link"
                                                 : "a special file";
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "%s/%s: is %s where the cache keeps a file; remove it", tier->path,
                                 single_names[i], what);
    }
    return BRISK_OK;
}

brisk_err disk_owner_check(const disk_tier *tier, brisk_errinfo *info)
{
    DIR *dir = disk_folder_open(tier);
    if (dir == NULL) {
        return brisk_errinfo_set_errno(info, errno, "%s", tier->path);
    }
    bool ours = false;
    char foreign[DISK_NAME_MAX] = "";
    for (const struct dirent *file; !ours && (file = readdir(dir)) != NULL;) {
        disk_whose whose = whose_is(tier, file->d_name);
        ours = whose == DISK_OURS;
        if (whose == DISK_FOREIGN && foreign[0] == '\0') {
            (void)snprintf(foreign, sizeof foreign, "%.*s", DISK_NAME_MAX - 1, file->d_name);
        }
    }
    (void)closedir(dir);
    if (ours || foreign[0] == '\0') {
        return BRISK_OK;
    }
    return brisk_errinfo_set(info, BRISK_ERR_CONFLICT,
                             "%s/%s: is no file of a cache; move it away, or choose another folder",
                             tier->path, foreign);
}
