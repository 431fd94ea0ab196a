/*
 * disk.h -- the disk tier's own parts.  The protocol and its argument: disk.c.
 *
 *     disk.c          the tier: get, put, remove, clear, stats
 *     disk_index.c    the shared mapped index: slots, publish, forget
 *     disk_segment.c  segments: create, adopt, append, close, drop; room
 *     disk_fd.c       open segments, and the marks set in them
 *     disk_lock.c     locks between processes, the state file
 *     disk_open.c     open, recovery, close
 *     disk_rebuild.c  a new index from the segments
 *     disk_foreign.c  whose files the folder holds
 *     disk_large.c    values in files of their own
 *     disk_codec.c    zstd contexts and buffers, one set per thread at work
 *     disk_record.c   the bytes of a record
 */
#ifndef BRISK_SRC_CACHE_DISK_H
#define BRISK_SRC_CACHE_DISK_H

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <brisk/cache.h>
#include <brisk/hist.h>

#include "cache/disk_record.h"

/* The system calls that can fail for lack of room or a bad device; tests put their own here. */
typedef struct disk_sys {
    int (*openat)(int dir, const char *name, int flags, mode_t mode);
    ssize_t (*pread)(int fd, void *data, size_t size, off_t offset);
    ssize_t (*pwrite)(int fd, const void *data, size_t size, off_t offset);
    int (*fallocate)(int fd, off_t offset, off_t size); /* as posix_fallocate */
    int (*fdatasync)(int fd);
} disk_sys;

/* As brisk_disk_tier_open; NULL means the system's calls. */
BRISK_NODISCARD brisk_err disk_tier_open_with(const brisk_disk_tier_opts *opts, const disk_sys *sys,
                                              brisk_tier **ret, brisk_errinfo *info);

#define DISK_STATE_NAME      "state"
#define DISK_INDEX_NAME      "index"
#define DISK_INDEX_TEMP_NAME "index.tmp"

#define DISK_STATE_MAGIC UINT64_C(0x316b736964726273)
#define DISK_INDEX_MAGIC UINT64_C(0x3178646e69726273)

/* --- the index file ------------------------------------------------------------------------ */

enum {
    DISK_BUCKET_SLOTS = 8,
    DISK_WAYS = 2 * DISK_BUCKET_SLOTS,
    DISK_SEGMENT_ID_BITS = 17,
    DISK_SEGMENT_ID_MAX = (1 << DISK_SEGMENT_ID_BITS) - 1,
    DISK_INDEX_PAGE = 4096,
    DISK_SEGMENTS_MIN = 1024,
    DISK_SEGMENTS_MAX = 65536,
};

enum disk_segment_state {
    DISK_FREE = 0,
    DISK_ACTIVE = 1,   /* somebody appends; he holds the lock of its id, or is dead */
    DISK_CLOSED = 2,   /* closed in order; whoever has room for more may adopt it */
    DISK_SEALED = 3,   /* its owner died: nothing is appended any more */
    DISK_DROPPING = 4, /* file gone or going; slots may still point at it */
};

/* One segment; changed under the structure lock, bytes by its owner too. */
typedef struct disk_entry {
    _Atomic uint64_t word; /* id << 8 | state */
    _Atomic uint64_t log_bytes;
    _Atomic uint64_t file_bytes; /* large values */
    _Atomic uint64_t reserved;   /* what the owner may fill, while active */
} disk_entry;

typedef struct disk_index_header {
    uint64_t magic;
    uint32_t version;
    uint32_t segment_count; /* entries in the table */
    uint64_t slot_count;
    uint64_t seed_check; /* the index belongs to this seed */
    uint64_t checksum;   /* of what stands above */
    _Alignas(64) _Atomic uint64_t next_segment;
    _Atomic uint64_t next_file;
    _Atomic uint64_t drops;   /* counts up when a segment goes: close what you hold of it */
    _Atomic uint32_t unclean; /* the state file says so too, durably */
} disk_index_header;

/* Sizes of the parts of an index; the whole file is `size` bytes. */
typedef struct disk_index_shape {
    uint64_t slot_count;
    uint32_t segment_count;
    uint64_t slots_at;
    uint64_t size;
} disk_index_shape;

disk_index_shape disk_index_shape_of(uint64_t slot_count, uint32_t segment_count);
void disk_index_header_make(disk_index_header *header, const disk_index_shape *shape,
                            uint64_t seed);
/* Whether a file of `file_size` bytes that begins with `header` is an index of `seed`. */
bool disk_index_header_ok(const disk_index_header *header, uint64_t file_size, uint64_t seed,
                          disk_index_shape *ret);

/* --- the state file ------------------------------------------------------------------------ */

enum {
    DISK_STATE_UNCLEAN = 1u << 0, /* answers were withdrawn since everything was last synced */
    DISK_STATE_TAINTED = 1u << 1, /* slots were damaged or lost: segments alone are not trusted */
};

/* The root of trust: without it nothing in the folder can be verified, and all is dropped. */
typedef struct disk_state {
    uint64_t magic;
    uint32_t version;
    uint32_t flags;
    uint64_t seed;
    uint64_t boot[2]; /* of the system that used the folder last */
    uint64_t checksum;
} disk_state;

/* --- the tier ------------------------------------------------------------------------------ */

typedef struct disk_scratch {
    struct disk_scratch *next;
    unsigned char *buffer; /* a record, 16-byte aligned */
    size_t buffer_size;
    void *compressor; /* workspaces, the contexts are inside */
    size_t compressor_size;
    void *decompressor;
    size_t decompressor_size;
    void *cctx;
    void *dctx;
} disk_scratch;

/* An open segment: word is id << 32 | BUSY | pins. */
typedef struct disk_fd {
    _Atomic uint64_t word;
    _Atomic int fd;
} disk_fd;

typedef struct disk_pin {
    disk_fd *shared; /* NULL: `fd` is this pin's own */
    int fd;
} disk_pin;

enum { DISK_FDS = 256, DISK_CRC_BYTES = 7 };

typedef struct disk_counters {
    _Atomic uint64_t hits;
    _Atomic uint64_t misses;
    _Atomic uint64_t puts;
    _Atomic uint64_t removes;
    _Atomic uint64_t evictions;
    _Atomic uint64_t expired;
    _Atomic uint64_t rejects;
    _Atomic uint64_t corrupt;
    _Atomic uint64_t errors;
    _Atomic uint64_t raw_bytes;
    _Atomic uint64_t stored_bytes;
} disk_counters;

typedef struct disk_tier {
    brisk_tier base;
    const brisk_alloc *alloc;
    const brisk_clock *clock;
    const disk_sys *sys;
    char *path;
    size_t path_size;
    uint64_t bytes_max;
    uint64_t data_max; /* what the index leaves of that */
    uint64_t segment_bytes;
    uint64_t large_bytes; /* values above are files */
    int level;            /* negative: no compression */
    uint64_t seed;
    uint64_t boot[2];
    int dir_fd;
    int state_fd;
    bool state_is_new; /* opening made the file */
    int index_fd;
    void *map;
    size_t map_size;
    disk_index_header *header;
    disk_entry *entries;
    _Atomic uint64_t *slots;
    uint64_t bucket_mask;
    void *alive_page;
    _Atomic unsigned char *alive; /* in that page, which is zero in a forked child */
    _Atomic bool off;             /* the folder was taken away */

    /* Under write_lock: appends, withdrawals, structure. */
    pthread_mutex_t write_lock;
    uint32_t structure_depth;
    uint32_t active_id; /* 0: none */
    int active_fd;
    disk_entry *active_entry;
    uint64_t active_end;
    uint64_t active_limit;
    bool active_odd;          /* something failed: never say that it was closed in order */
    uint64_t reject_until_ns; /* after a failed write */

    pthread_mutex_t fd_lock; /* innermost */
    _Atomic uint64_t drops_seen;
    disk_fd fds[DISK_FDS];

    pthread_mutex_t scratch_lock; /* innermost */
    disk_scratch *scratches;

    pthread_mutex_t hist_lock; /* innermost */
    brisk_hist *get_hist;

    disk_counters counters;
    unsigned char crc[DISK_CRC_BYTES][256];
} disk_tier;

static inline void disk_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* --- disk_lock.c: between processes; the caller holds write_lock ------------------------------ */

/* Take part as a user of the folder; *ret_alone: nobody else does (then exclusively). */
BRISK_NODISCARD brisk_err disk_users_enter(disk_tier *tier, bool *ret_alone);
/* Let others in again. */
void disk_users_share(disk_tier *tier);
/* Take part no longer. */
void disk_users_leave(disk_tier *tier);
/* Whether nobody else uses the folder; exclusive until disk_users_share or _leave, one of which
 * must come before structure is left. */
bool disk_users_try_alone(disk_tier *tier);
/* The lock under which segments come and go; may be nested.  Waits at most a second: DEADLINE. */
BRISK_NODISCARD brisk_err disk_structure_enter(disk_tier *tier);
void disk_structure_leave(disk_tier *tier);
/* Ownership of an active segment ends with the process that has it. */
bool disk_owner_take(disk_tier *tier, uint32_t id);
void disk_owner_leave(disk_tier *tier, uint32_t id);
bool disk_owner_lives(disk_tier *tier, uint32_t id);

void disk_boot_id(uint64_t boot[2]);
BRISK_NODISCARD brisk_err disk_state_read(disk_tier *tier, disk_state *ret);
BRISK_NODISCARD brisk_err disk_state_write(disk_tier *tier, const disk_state *state, bool sync);
/* Before an answer is withdrawn: durably, that it may come back after a power loss. */
BRISK_NODISCARD brisk_err disk_mark_unclean(disk_tier *tier);
/* A slot was damaged. */
void disk_mark_tainted(disk_tier *tier);

/* --- disk_fd.c ------------------------------------------------------------------------------- */

enum { DISK_NAME_MAX = 48 };

/* Where bytes go. */
typedef struct disk_span {
    void *data;
    size_t size;
} disk_span;

void disk_segment_name(char name[static DISK_NAME_MAX], uint32_t id);
void disk_files_name(char name[static DISK_NAME_MAX], uint32_t id);
void disk_file_name(char name[static DISK_NAME_MAX], uint32_t id, uint64_t number);
/* A descriptor of segment `id`, for reading and writing.  NOT_FOUND: dropped. */
BRISK_NODISCARD brisk_err disk_fd_pin(disk_tier *tier, uint32_t id, disk_pin *ret);
void disk_fd_unpin(const disk_pin *pin);
/* Close what was dropped, by whichever process: open files keep their room. */
void disk_fd_refresh(disk_tier *tier);
/* Close what was dropped (`all`: everything that nobody uses). */
void disk_fd_sweep(disk_tier *tier, bool all);
BRISK_NODISCARD brisk_err disk_pwrite_all(const disk_tier *tier, int fd, const void *data,
                                          size_t size, uint64_t offset);
/* Bytes read; short only at the end of the file or after an error (then *err is set). */
size_t disk_pread_some(const disk_tier *tier, int fd, disk_span to, uint64_t offset,
                       brisk_err *err);

/* --- disk_index.c ---------------------------------------------------------------------------- */

/* A slot, opened up. */
typedef struct disk_slot {
    uint32_t segment;
    uint32_t offset; /* bytes */
    bool large;
    uint16_t tag;
} disk_slot;

/* The sixteen places of a key, in the order in which the first one counts. */
typedef struct disk_ways {
    _Atomic uint64_t *bucket[2];
    uint32_t count; /* 16, or 8 when both buckets are one */
    uint16_t tag;
    const brisk_key *key;
} disk_ways;

void disk_crc_init(unsigned char crc[DISK_CRC_BYTES][256]);
uint64_t disk_slot_pack(const disk_tier *tier, disk_slot slot);
bool disk_slot_ok(const disk_tier *tier, uint64_t word);
disk_slot disk_slot_unpack(uint64_t word);
disk_ways disk_ways_of(const disk_tier *tier, const brisk_key *key);
/* Whether the record behind `word` is surely not `key`'s. */
bool disk_is_other_key(disk_tier *tier, uint64_t word, const brisk_key *key);
static inline _Atomic uint64_t *disk_way(const disk_ways *ways, uint32_t i)
{
    return &ways->bucket[i / DISK_BUCKET_SLOTS][i % DISK_BUCKET_SLOTS];
}
static inline uint16_t disk_slot_tag(uint64_t word)
{
    return (uint16_t)(word >> 40);
}

/* All below: the caller holds write_lock. */

/* Mark the record behind `word` dead; its large value goes too.  OK when it is gone already. */
BRISK_NODISCARD brisk_err disk_kill(disk_tier *tier, uint64_t word);
/* Withdraw what stands in `slot` if it still is `word`. */
BRISK_NODISCARD brisk_err disk_retire(disk_tier *tier, _Atomic uint64_t *slot, uint64_t word);
/* Empty a slot whose check byte is wrong. */
void disk_slot_damaged(disk_tier *tier, _Atomic uint64_t *slot, uint64_t word);
/* Withdraw every entry of the key. */
BRISK_NODISCARD brisk_err disk_forget(disk_tier *tier, const disk_ways *ways);
/* Make `word` the only entry of the key. */
BRISK_NODISCARD brisk_err disk_publish(disk_tier *tier, const disk_ways *ways, uint64_t word);
/* Empty all slots that point into segment `id` (0: all).  Returns their number. */
uint64_t disk_slots_clear(disk_tier *tier, uint32_t id);
uint64_t disk_slots_used(const disk_tier *tier);

/* --- disk_segment.c: the caller holds write_lock ---------------------------------------------- */

static inline uint32_t disk_entry_id(uint64_t word)
{
    return (uint32_t)(word >> 8);
}
static inline enum disk_segment_state disk_entry_state(uint64_t word)
{
    return (enum disk_segment_state)(word & 0xff);
}
static inline uint64_t disk_entry_word(uint32_t id, enum disk_segment_state state)
{
    return (uint64_t)id << 8 | (uint64_t)state;
}

disk_entry *disk_entry_find(const disk_tier *tier, uint32_t id);
/* Drop old segments until `bytes` more fit.  FULL: they never will. */
BRISK_NODISCARD brisk_err disk_room_make(disk_tier *tier, uint64_t bytes);
/* See that the active segment is one with room for a record of `bytes`. */
BRISK_NODISCARD brisk_err disk_active_ready(disk_tier *tier, uint64_t bytes);
/* Append a record; *ret says where.  After an error there is no active segment. */
BRISK_NODISCARD brisk_err disk_append(disk_tier *tier, unsigned char *record, uint64_t size,
                                      disk_slot *ret);
/* Close the active segment.  None is fine. */
void disk_active_close(disk_tier *tier);
/* Remove segment and large values of `entry`, its slots, then the entry. */
BRISK_NODISCARD brisk_err disk_segment_drop(disk_tier *tier, disk_entry *entry);
/* Drop every segment, whoever owns it. */
BRISK_NODISCARD brisk_err disk_drop_all(disk_tier *tier);
/* An owner died: nothing is appended to it any more. */
void disk_segment_seal(disk_tier *tier, disk_entry *entry);
/* Remove folder `id`.files and what is in it; the bytes that were there. */
uint64_t disk_files_remove(const disk_tier *tier, uint32_t id);
/* Bytes in it. */
uint64_t disk_files_bytes(const disk_tier *tier, uint32_t id);
uint64_t disk_bytes_held(const disk_tier *tier);

/* --- disk_large.c ------------------------------------------------------------------------------ */

/* Store the value as a file of its own.  Takes write_lock. */
BRISK_NODISCARD brisk_err disk_large_store(disk_tier *tier, brisk_value *value, disk_file_ref *ret);
/* A value over the file; NOT_FOUND when it is gone, CORRUPT when its size is wrong. */
BRISK_NODISCARD brisk_err disk_large_open(const disk_tier *tier, const disk_file_ref *ref,
                                          brisk_value **ret);
void disk_large_remove(disk_tier *tier, const disk_file_ref *ref);

/* --- disk_codec.c ------------------------------------------------------------------------------ */

/* Buffers for one operation; NULL when memory is exhausted. */
disk_scratch *disk_scratch_take(disk_tier *tier);
void disk_scratch_give(disk_tier *tier, disk_scratch *scratch);
void disk_scratch_free_all(disk_tier *tier);
/* At least `size` bytes of buffer; contents are lost. */
BRISK_NODISCARD brisk_err disk_scratch_reserve(const disk_tier *tier, disk_scratch *scratch,
                                               size_t size);
/* Compressed size, or 0: it does not gain enough. */
size_t disk_compress(const disk_tier *tier, disk_scratch *scratch, unsigned char *dst,
                     const void *src, size_t size);
size_t disk_compress_bound(size_t size);
BRISK_NODISCARD brisk_err disk_decompress(const disk_tier *tier, disk_scratch *scratch,
                                          disk_span to, const void *src, size_t size);

/* --- disk_foreign.c ---------------------------------------------------------------------------- */

/* PERMISSION: the folder is another user's, or anybody may write there. */
BRISK_NODISCARD brisk_err disk_rights_check(const disk_tier *tier, brisk_errinfo *info);
/* INVALID: something that is no regular file has the name of one of ours; `info` says which. */
BRISK_NODISCARD brisk_err disk_names_check(const disk_tier *tier, brisk_errinfo *info);
/* Alone, and `state` is not valid: CONFLICT when the folder holds only a user's own files. */
BRISK_NODISCARD brisk_err disk_owner_check(const disk_tier *tier, brisk_errinfo *info);

/* --- disk_rebuild.c, disk_open.c ---------------------------------------------------------------- */

extern const brisk_tier_ops disk_tier_ops;

/* Records of one segment, in order; damage is stepped over. */
typedef struct disk_scan {
    const disk_tier *tier;
    int fd;
    uint32_t segment;
    uint64_t at;  /* of the next record */
    uint64_t end; /* nothing is read from here on */
    unsigned char *buffer;
    size_t buffer_size;
    uint64_t buffer_at;
    size_t buffer_have;
} disk_scan;

enum { DISK_SCAN_BYTES = 4 << 20 };

/* The next undamaged record, live or dead: its place and bytes (until the next call), or false. */
bool disk_scan_next(disk_scan *scan, uint64_t *ret_offset, const unsigned char **ret);

/* Alone: fill the empty index from the segments in the folder. */
BRISK_NODISCARD brisk_err disk_rebuild(disk_tier *tier);
/* The tier's folder, for reading; NULL with errno. */
DIR *disk_folder_open(const disk_tier *tier);
/* What a folder's entry is: its segment's id, or 0; *ret_files: the folder of large values. */
uint32_t disk_name_read(const char *name, bool *ret_files);
/* Alone: remove all segments and large values, or only those that the table does not know. */
void disk_folder_sweep(disk_tier *tier, bool orphans_only);
void disk_tier_close(disk_tier *tier);

#endif /* BRISK_SRC_CACHE_DISK_H */
