/*
 * store_file.h -- the layout of the store's file, and views of it.
 *
 *     head (4096 bytes) | slots | entries ... `used` | torn tail
 *
 *     slot    hash of registry and name, place of the newest entry / 8 (0: free), and the two times
 *             that a confirmation changes; open addressing, at most half full
 *     entry   store_entry, name, etag, last_modified, padding to 8, the record
 *
 * Order of writing, for readers without locks and for a writer that dies anywhere:
 *
 *     1. the entry, behind `used`                pwrite; a failure leaves it a torn tail
 *     2. used                                    release
 *     3. a slot's hash and times, then its place release: who sees the place sees all of it
 *
 * A file that is about to be replaced has `moved` set: its readers look whether another is at the
 * path when they read next, and keep this mapping until they close, as packages point into it.
 *
 * The mapping is as long as the file may ever become, so that it never has to move; only bytes below
 * `used` are read.  Head and slots are mapped a second time for writing: their blocks are allocated
 * when the file is made, so that a full disk cannot strike there.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_STORE_FILE_H
#define BRISK_SRC_WORKLOAD_PKG_STORE_FILE_H

#include <pthread.h>
#include <stdatomic.h>

#include "workload/pkg/store.h"

#define STORE_MAGIC UINT64_C(0x3165726f7473702a) /* as one number: another byte order differs */

enum {
    STORE_FORMAT = 1,
    STORE_HEAD_BYTES = 4096,
    STORE_SLOTS_FIRST = 4096,
    STORE_SLOTS_MAX = 1 << 24,
    STORE_ENTRY_MAGIC = 0x59525445,
    STORE_ALIGN = 8,
    STORE_NAME_MAX = 4096,
    STORE_HEADER_TEXT_MAX = 4096,    /* etag, last-modified */
    STORE_ENTRY_MAX = 3 * 4096 + 64, /* of an entry besides its record */
    STORE_BYTES_MIN = 1 << 20,
    STORE_DEAD_MIN = 1 << 20, /* less is not worth to be written anew */
    STORE_LOCK_WAIT_MS = 2000,
};

typedef struct store_head {
    uint64_t magic;
    uint32_t format;
    uint32_t record_format; /* RECORD_FORMAT */
    uint64_t slot_count;    /* power of two */
    _Atomic uint64_t used;
    _Atomic uint64_t dead;
    _Atomic uint64_t packages;
    _Atomic uint64_t generation;
    _Atomic uint32_t moved;
    uint32_t zero;
} store_head;

typedef struct store_slot {
    _Atomic uint64_t hash;
    _Atomic uint64_t place; /* / STORE_ALIGN */
    _Atomic int64_t fetched_ms;
    _Atomic int64_t fresh_until_ms;
} store_slot;

typedef struct store_entry {
    uint32_t magic;
    uint32_t size;     /* of all, the padding too */
    uint64_t checksum; /* of everything behind it */
    uint64_t hash;
    uint64_t registry;
    uint64_t generation;
    uint32_t record_size;
    uint16_t name_size;
    uint16_t etag_size;
    uint16_t last_modified_size;
    uint16_t zero[3];
} store_entry;

_Static_assert(sizeof(store_head) <= STORE_HEAD_BYTES, "stored");
_Static_assert(sizeof(store_slot) == 32, "stored");
_Static_assert(sizeof(store_entry) == 56, "stored");
_Static_assert(sizeof(_Atomic uint64_t) == 8, "no lock inside");

typedef struct store_view store_view;

/* One file, mapped. */
struct store_view {
    store_view *older; /* that packages may still point into */
    int fd;
    char *base; /* `mapped` bytes, for reading only */
    uint64_t mapped;
    store_head *head; /* head and slots; for writing unless the store is read_only */
    store_slot *slots;
    uint64_t head_bytes;
    uint64_t slot_mask;
    uint64_t dev; /* which file it is */
    uint64_t ino;
    void *verified_memory;
    _Atomic uint64_t *verified; /* by slot: the place whose checksum was found right */
};

struct pkg_store {
    const brisk_alloc *alloc;
    uint64_t bytes_max;
    uint32_t lock_wait_ms;
    bool read_only;
    _Atomic(store_view *) view; /* the newest */
    pthread_mutex_t lock;       /* of writers and of whoever replaces `view`, in this process */
    int lock_fd;                /* the lock file; -1 when read_only */
    size_t path_size;           /* with its NUL */
    char path[];
};

/* --- store_view.c ----------------------------------------------------------------------------- */

/*
 * Maps the file at store->path.  Errors: NOT_FOUND, CORRUPT (not a store of this format, or cut),
 * IO, PERMISSION, NOMEM.
 */
brisk_err store_view_open(const pkg_store *store, store_view **ret, brisk_errinfo *info);
void store_view_close(const pkg_store *store, store_view *view);
/* What a new file has: at least so many slots, and what was confirmed later than after_ms. */
typedef struct store_keep {
    uint64_t slots;
    int64_t after_ms; /* INT64_MIN: everything */
} store_keep;

/*
 * A new file with what is whole of the old one, as far as `keep` says, takes its place and becomes the
 * newest view.  Under both locks.
 */
brisk_err store_view_replace(pkg_store *store, store_keep keep, brisk_errinfo *info);
/* The newest view; opened again when its file was moved. */
store_view *store_view_now(pkg_store *store);
/*
 * The view of the file that is at the path now, under both locks.  Its file is as long as it says:
 * a torn tail is cut, and a file that was removed or cut by others is begun anew.
 */
brisk_err store_view_settle(pkg_store *store, store_view **ret, brisk_errinfo *info);

/* --- inside a view ---------------------------------------------------------------------------- */

uint64_t store_hash(uint64_t registry, pkg_text name);
/* The slot of the package, or NULL. */
store_slot *store_slot_find(const store_view *view, uint64_t registry, pkg_text name,
                            const store_entry **ret);
/* The entry at `place`, or NULL: it does not lie in the file. */
const store_entry *store_entry_at(const store_view *view, uint64_t place);
uint64_t store_entry_checksum(const store_entry *entry);
pkg_text store_entry_name(const store_entry *entry);
const char *store_entry_record(const store_entry *entry);
/* Publishes an entry: its slot, which is free or has an older one of the package. */
void store_publish(store_view *view, uint64_t hash, store_slot *slot, const pkg_stored *times,
                   uint64_t place);
/*
 * The slot for a new entry of the package: its own, one of its hash that leads to nothing, or the
 * first free one.  NULL: the index is damaged and has none.
 */
store_slot *store_slot_for(const store_view *view, uint64_t registry, pkg_text name);

#endif /* BRISK_SRC_WORKLOAD_PKG_STORE_FILE_H */
