/*
 * open_cache.h -- files that were asked for: open, or read, or known to be missing.
 *
 * A path below a root is opened by openat2 with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS: whatever
 * a path or a symbolic link says, the kernel lets nothing out of the root, also when somebody moves
 * folders meanwhile.  What was found is kept: small files as bytes in memory (and their descriptor
 * closed), large ones as a descriptor to send from, missing ones as missing.
 *
 * After `fresh_ns` the path is opened once more: the same file, unchanged (device, inode, size, both
 * times to the nanosecond), goes on as it is; anything else is a new entry.  Who sends an old one
 * keeps it by its reference.
 *
 * A small file's tag is the hash of its bytes, read between two equal looks at its status; a large
 * one's is that of inode, size and times.
 *
 * In a loop nothing may wait for a disk: with `wait` false only what the kernel has at hand is used
 * (RESOLVE_CACHED, RWF_NOWAIT), and WOULD_WAIT says that it has to be done elsewhere.
 *
 * Bounds: entries, bytes in memory, descriptors; the least recently used go first.
 *
 * Threads: any; a lock for each of a few parts, never held while a file is read.
 * Sources: Linux openat2(2), preadv2(2); RFC 9110 section 8.8.
 */
#ifndef BRISK_SRC_DAEMON_FILES_OPEN_CACHE_H
#define BRISK_SRC_DAEMON_FILES_OPEN_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/clock.h>
#include <brisk/err.h>
#include <brisk/hash.h>
#include <brisk/value.h>

enum {
    FILE_PATH_MAX = 4096, /* with its NUL */
    FILE_TAG_MAX = 40,
    FILE_DATE_MAX = 32,
};

typedef enum file_kind {
    FILE_MISSING = 0, /* or a link that leads out */
    FILE_DENIED,
    FILE_SPECIAL, /* neither a file nor a folder */
    FILE_FOLDER,
    FILE_REGULAR,
} file_kind;

typedef struct file_entry file_entry;

/* Read-only for callers. */
struct file_entry {
    _Atomic uint32_t refs;
    file_kind kind;
    int fd;             /* REGULAR, unless it is in memory; otherwise -1 */
    brisk_value *value; /* REGULAR, in memory; otherwise NULL */
    uint64_t size;
    int64_t modified_s;
    brisk_hash128 identity;       /* REGULAR: of content or version */
    char tag[FILE_TAG_MAX];       /* REGULAR: without quotes */
    char modified[FILE_DATE_MAX]; /* REGULAR: as a field's value */
    _Atomic uint32_t near;        /* callers': what lies beside it, as far as that was looked at */
    _Atomic uint64_t near_ns;     /* callers': when */
    struct file_private *private_;
};

typedef struct open_cache open_cache;

typedef struct open_cache_opts {
    const brisk_alloc *alloc;
    const brisk_clock *clock;
    uint32_t entries_max;
    uint32_t descriptors_max;
    uint64_t memory_max; /* of small files' bytes and names */
    uint64_t small_max;  /* larger ones are sent from their descriptor */
} open_cache_opts;

typedef struct open_cache_stats {
    uint64_t entries;
    uint64_t descriptors;
    uint64_t memory;
    uint64_t hits;
    uint64_t misses;
} open_cache_stats;

/* Where to look. */
typedef struct file_place {
    int root_fd;
    uint32_t root; /* a number for the root, part of the key */
    bool links;    /* follow symbolic links, within the root */
    uint64_t fresh_ns;
} file_place;

typedef enum file_found {
    FILE_FOUND = 0,  /* *ret is an entry of whatever kind, with a reference */
    FILE_WOULD_WAIT, /* `wait` was false */
    FILE_NO_ROOM,    /* no descriptor or memory is left */
    FILE_FAILED,     /* the disk does not answer */
} file_found;

BRISK_NODISCARD brisk_err open_cache_create(const open_cache_opts *opts, open_cache **ret);
void open_cache_destroy(open_cache *cache); /* NULL is accepted */
/* `path` is relative, without "..", "." and empty segments but perhaps the last; terminated. */
file_found open_cache_find(open_cache *cache, const file_place *place, const char *path, bool wait,
                           file_entry **ret);
file_entry *file_entry_ref(file_entry *entry);
void file_entry_unref(file_entry *entry); /* NULL is accepted */
void open_cache_read_stats(open_cache *cache, open_cache_stats *ret);

/* openat2 as above; negative: errno says why. */
int file_open_beneath(const file_place *place, const char *path, int flags, bool cached_only);

#endif /* BRISK_SRC_DAEMON_FILES_OPEN_CACHE_H */
