/*
 * disk.h -- the disk tier's own parts.  The protocol and its argument: disk.c.
 *
 *     disk.c          the tier: get, put, remove, clear, stats
 *     disk_index.c    the shared mapped index: slots, publish, forget
 *     disk_segment.c  segments: create, adopt, append, close, drop; room
 *     disk_fd.c       open segments, and the marks set in them
 *     disk_lock.c     locks between processes, the state file
 *     disk_open.c     open, recovery, close
 *     disk_walk.c     the keys, a few at a time
 *     disk_scan.c     reading segments and folders from the beginning
 *     disk_rebuild.c  a new index from the segments
 *     disk_draft.c    a record before it has a place
 *     disk_move.c     entries that leave their segment before it goes
 *     disk_sync.c     durable acknowledgement
 *     disk_foreign.c  whose files the folder holds
 *     disk_large.c    values in files of their own
 *     disk_codec.c    codecs and buffers, one set per thread at work; the choice of a codec
 *     disk_dict.c     dictionaries: files, samples, training
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
#include "wire/codec.h"

/* The system calls that can fail for lack of room or a bad device; tests put their own here. */
typedef struct disk_sys {
    int (*openat)(int dir, const char *name, int flags, mode_t mode);
    ssize_t (*pread)(int fd, void *data, size_t size, off_t offset);
    ssize_t (*pwrite)(int fd, const void *data, size_t size, off_t offset);
    int (*fallocate)(int fd, off_t offset, off_t size); /* as posix_fallocate */
    int (*fdatasync)(int fd);
    bool maps; /* segments may be mapped: what these calls would have seen is then not seen */
} disk_sys;

/* As brisk_disk_tier_open; NULL means the system's calls. */
BRISK_NODISCARD brisk_err disk_tier_open_with(const brisk_disk_tier_opts *opts, const disk_sys *sys,
                                              brisk_tier **ret, brisk_errinfo *info);

#define DISK_STATE_NAME      "state"
#define DISK_INDEX_NAME      "index"
#define DISK_INDEX_TEMP_NAME "index.tmp"

#define DISK_STATE_MAGIC UINT64_C(0x316b736964726273)
#define DISK_INDEX_MAGIC UINT64_C(0x3178646e69726273)
#define DISK_DICT_MAGIC  UINT64_C(0x3174636964726273)

/* --- the index file ------------------------------------------------------------------------ */

enum {
    DISK_BUCKET_SLOTS = 8,
    DISK_WAYS = 2 * DISK_BUCKET_SLOTS,
    DISK_SEGMENT_ID_BITS = 17,
    DISK_SEGMENT_ID_MAX = (1 << DISK_SEGMENT_ID_BITS) - 1,
    DISK_INDEX_PAGE = 4096,
    DISK_SEGMENTS_MIN = 1024,
    DISK_SEGMENTS_MAX = 65536,
    DISK_TAG_SHIFT = 41,
    DISK_TAG_BITS = 15,
};

enum disk_segment_state {
    DISK_FREE = 0,
    DISK_ACTIVE = 1,   /* somebody appends; he holds the lock of its id, or is dead */
    DISK_CLOSED = 2,   /* closed in order; whoever has room for more may adopt it */
    DISK_SEALED = 3,   /* its owner died: nothing is appended any more */
    DISK_DROPPING = 4, /* file gone or going; slots may still point at it */
};

/* One segment; changed under the structure lock, bytes and counts by its owner too. */
typedef struct disk_entry {
    _Atomic uint64_t word; /* id << 8 | bucket << 4 | state */
    _Atomic uint64_t log_bytes;
    _Atomic uint64_t file_bytes; /* large values */
    _Atomic uint64_t reserved;   /* what the owner may fill, while active */
    _Atomic uint32_t records;    /* appended */
    _Atomic uint32_t dead;       /* of them, about */
    _Atomic uint64_t first_ns;   /* when the first one put expires; UINT64_MAX: never */
    _Atomic uint64_t expires_ns; /* when the last of all expires; UINT64_MAX: one never does */
    _Atomic uint32_t kills;      /* counts up after each mark; the disk has those up to `synced` */
    _Atomic uint32_t synced;
} disk_entry;

static_assert(sizeof(disk_entry) == 64, "one cache line");

typedef struct disk_index_header {
    uint64_t magic;
    uint32_t version;
    uint32_t segment_count; /* entries in the table */
    uint64_t slot_count;
    uint64_t seed_check; /* the index belongs to this seed */
    uint64_t checksum;   /* of what stands above */
    _Alignas(64) _Atomic uint64_t next_segment;
    _Atomic uint64_t next_file;
    _Atomic uint64_t drops;       /* counts up when a segment goes: close what you hold of it */
    _Atomic uint32_t unclean;     /* the state file says so too, durably */
    _Atomic uint32_t dict;        /* number of the newest dictionary; 0: none yet */
    _Atomic uint32_t durable;     /* the state file says so too */
    _Atomic uint32_t gone;        /* counts up after a name was removed ... */
    _Atomic uint32_t gone_synced; /* ... and the disk has removed those up to here */
} disk_index_header;

/* Sizes of the parts of an index; the whole file is `size` bytes. */
typedef struct disk_index_shape {
    uint64_t slot_count;
    uint32_t segment_count;
    uint64_t slots_at;
    uint64_t hot_at;
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
    DISK_STATE_DURABLE = 1u << 2, /* whoever writes syncs before he acknowledges */
};

/* The root of trust: without it nothing in the folder can be verified, and all is dropped. */
typedef struct disk_state {
    uint64_t magic;
    uint32_t version;
    uint32_t flags;
    uint64_t seed;
    uint64_t boot[2];    /* of the system that used the folder last */
    uint32_t dict_count; /* dictionaries ever made: their numbers are used once */
    uint32_t reserved;
    uint64_t checksum;
} disk_state;

/* --- the tier ------------------------------------------------------------------------------ */

enum {
    DISK_DICTS = 8,           /* the newest ones are kept: older ones' records are gone by then */
    DISK_DICT_MAX = 65535,    /* numbers */
    DISK_SAMPLES_MAX = 1024,  /* values to train with ... */
    DISK_SAMPLE_BYTES = 4096, /* ... this much of each ... */
    DISK_SAMPLES_BYTES = 256 << 10,
    DISK_SCRATCHES = 16,
};

/* A dictionary in memory. */
typedef struct disk_dict {
    uint32_t number;  /* 0: none here */
    codec_dict *dict; /* NULL: it is lost */
} disk_dict;

/* What one thread needs at work. */
typedef struct disk_scratch {
    struct disk_scratch *next;
    unsigned char *buffer; /* a record */
    size_t buffer_size;
    codec_kit *kit;
    disk_dict dicts[2]; /* used last, by number mod 2; with references of their own */
    codec_chooser chooser;
} disk_scratch;

/* Values that the next dictionary is made from, and how well the present one does. */
typedef struct disk_trainer {
    pthread_mutex_t lock;   /* innermost; never waited for by a put */
    unsigned char *samples; /* NULL: none are wanted, or no memory */
    size_t sizes[DISK_SAMPLES_MAX];
    uint32_t count;
    size_t bytes;
    _Atomic bool wanted;        /* samples */
    _Atomic bool ready;         /* enough of them: train */
    _Atomic uint64_t given;     /* bytes put in all */
    uint64_t next_at;           /* not before so many */
    uint64_t spacing;           /* doubled when training was in vain */
    _Atomic uint64_t raw_bytes; /* with the present dictionary, in this window ... */
    _Atomic uint64_t stored_bytes;
    uint64_t permille;              /* ... and in the first one; 0: not known yet */
    _Atomic uint32_t gain_permille; /* at its making: of the size without it */
} disk_trainer;

/* An open segment: word is id << 32 | BUSY | pins.  What else stands here changes only while BUSY. */
typedef struct disk_fd {
    _Atomic uint64_t word;
    _Atomic int fd;
    _Atomic uint32_t guard;       /* of the mapping */
    _Atomic(unsigned char *) map; /* of `map_size` bytes; NULL: to be read with calls */
    _Atomic uint64_t map_size;    /* more than the file has, perhaps */
    _Atomic uint64_t seen_size;   /* what the file had when it was last asked */
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
    _Atomic uint64_t displaced;
    _Atomic uint64_t room;
    _Atomic uint64_t out_of_date; /* went with a segment that had only expired ones */
    _Atomic uint64_t damaged;
    _Atomic uint64_t reinserted;
    _Atomic uint64_t compacted;
    _Atomic uint64_t compacted_bytes;
    _Atomic uint64_t syncs;
    _Atomic uint64_t trained;
} disk_counters;

/* Segments that a process appends to: one for each range of lifetimes (disk_segment.c). */
enum { DISK_BUCKETS = 6 };

typedef struct disk_active {
    uint32_t id; /* 0: none */
    int fd;
    disk_entry *entry;
    uint64_t end;
    uint64_t limit;
    uint64_t synced_end; /* of a durable folder: what published_end says */
    unsigned char *map;  /* of `limit` bytes; NULL: records are written with calls */
    uint32_t guard;      /* of the mapping */
    uint64_t room_end;   /* up to here the file has room on the disk, to be stored to */
    bool odd;            /* something failed: never say that it was closed in order */
} disk_active;

/* What a record needs of a segment. */
typedef struct disk_need {
    uint64_t bytes;
    uint64_t expires_at_ns; /* 0: never */
} disk_need;

/* Entries that are to leave a segment (disk_move.c). */
typedef struct disk_moves {
    uint32_t segment; /* 0: none chosen */
    bool whole;       /* all its entries, then the segment goes: compaction */
    bool complete;    /* the walk over the index is done */
    uint64_t walk_at; /* bucket where it goes on */
    uint32_t *slots;  /* numbers of slots */
    uint32_t count;
    uint32_t next;
    uint64_t bytes_left; /* that may still move */
    uint64_t io_bytes;   /* read and written */
} disk_moves;

enum { DISK_MOVES_MAX = 32768 };

/* Writers who wait for the disk (disk_sync.c). */
typedef struct disk_sync {
    pthread_mutex_t lock;
    pthread_cond_t round;
    uint64_t asked;
    uint64_t done;
    bool running;
    bool failed; /* for good */
} disk_sync;

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
    int level;
    codec_id codec;  /* what puts use ... */
    bool codec_auto; /* ... or choose */
    bool has_dicts;  /* may train and use dictionaries */
    bool tended;     /* somebody calls brisk_disk_tier_tend */
    uint32_t reinsert_percent;
    brisk_disk_sync sync_mode;
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
    _Atomic uint16_t *hot; /* of each bucket: two bits for each slot, hits since it was put */
    uint64_t bucket_mask;
    void *alive_page;
    _Atomic unsigned char *alive; /* in that page, which is zero in a forked child */
    _Atomic bool off;             /* the folder was taken away */
    _Atomic uint64_t checked_ns;  /* when it was last seen to be there */
    _Atomic uint32_t read_less;   /* than READ_MAX, by a get at first */

    /* Under write_lock: appends, withdrawals, structure. */
    pthread_mutex_t write_lock;
    uint32_t structure_depth;
    disk_active actives[DISK_BUCKETS];
    uint32_t bucket_count; /* of them in use */
    uint32_t segments_used;
    disk_moves moves;
    uint32_t puts_until_move;
    uint64_t reject_until_ns; /* after a failed write */

    pthread_mutex_t fd_lock; /* innermost */
    _Atomic uint64_t drops_seen;
    disk_fd fds[DISK_FDS];

    _Alignas(64) _Atomic(disk_scratch *) kept[DISK_SCRATCHES]; /* taken by exchange */
    pthread_mutex_t scratch_lock;                              /* innermost */
    disk_scratch *scratches;                                   /* more of them */

    pthread_mutex_t dict_lock; /* innermost but for the file calls below it */
    disk_dict dicts[DISK_DICTS];
    _Atomic uint32_t dict_lost; /* number of the last one that was looked for in vain */
    disk_trainer trainer;

    pthread_mutex_t hist_lock; /* innermost */
    brisk_hist *get_hist;

    disk_sync sync;            /* before write_lock */
    pthread_mutex_t tend_lock; /* outermost; only tried */
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
/* The same also in a durable folder. */
BRISK_NODISCARD brisk_err disk_mark_unclean_always(disk_tier *tier);
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
void disk_dict_name(char name[static DISK_NAME_MAX], uint32_t number);
/* A descriptor of segment `id`, for reading and writing.  NOT_FOUND: dropped. */
BRISK_NODISCARD brisk_err disk_fd_pin(disk_tier *tier, uint32_t id, disk_pin *ret);
void disk_fd_unpin(const disk_pin *pin);
/* The bytes at `offset` in the segment's mapping: how many there are, at least `want` or none: then
 * ask the file.  What was read is good if disk_pin_is_whole afterwards. */
size_t disk_pin_bytes(const disk_pin *pin, uint64_t offset, size_t want, const unsigned char **ret);
/* Whether no page of the mapping went meanwhile. */
bool disk_pin_is_whole(const disk_pin *pin);
/* The first `size` bytes of a mapping that is there will be read in order. */
void disk_pin_will_scan(const disk_pin *pin, uint64_t size);
/* The record at `place` in the mapping, whole and undamaged; false: ask the file. */
bool disk_pin_record(const disk_pin *pin, const disk_place *place, disk_record *ret);
/* Close what was dropped, by whichever process: open files keep their room. */
void disk_fd_refresh(disk_tier *tier);
/* At the end, when nobody reads any more. */
void disk_fd_close_all(disk_tier *tier);
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
    return (uint16_t)(word >> DISK_TAG_SHIFT & ((1u << DISK_TAG_BITS) - 1));
}

static inline void disk_ways_prefetch(const disk_ways *ways)
{
    __builtin_prefetch(ways->bucket[0]);
    __builtin_prefetch(ways->bucket[1]);
}

/* All below: the caller holds write_lock. */

/* Mark the record behind `word` dead; its large value goes too.  OK when it is gone already. */
BRISK_NODISCARD brisk_err disk_kill(disk_tier *tier, uint64_t word);
/* Kill the record of `word`, and say first that answers are withdrawn; keeps the first error. */
void disk_withdraw(disk_tier *tier, uint64_t word, brisk_err *err);
/* Put `to` in place of `from`; false: it is not there any more. */
bool disk_swap(_Atomic uint64_t *slot, uint64_t from, uint64_t to);
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

/* Slot `i` of the whole index was hit. */
static inline void disk_hot_hit(const disk_tier *tier, uint64_t i)
{
    /* Relaxed and not exchanged: a lost hit costs an entry its second life at worst. */
    _Atomic uint16_t *bucket = &tier->hot[i / DISK_BUCKET_SLOTS];
    uint32_t shift = (uint32_t)(i % DISK_BUCKET_SLOTS) * 2;
    uint32_t bits = atomic_load_explicit(bucket, memory_order_relaxed);
    if ((bits >> shift & 3) != 3) {
        atomic_store_explicit(bucket, (uint16_t)(bits + (1u << shift)), memory_order_relaxed);
    }
}
static inline void disk_hot_clear(const disk_tier *tier, uint64_t i)
{
    _Atomic uint16_t *bucket = &tier->hot[i / DISK_BUCKET_SLOTS];
    uint32_t bits = atomic_load_explicit(bucket, memory_order_relaxed);
    uint32_t mask = 3u << i % DISK_BUCKET_SLOTS * 2;
    if ((bits & mask) != 0) {
        atomic_store_explicit(bucket, (uint16_t)(bits & ~mask), memory_order_relaxed);
    }
}

/* --- disk_segment.c: the caller holds write_lock ---------------------------------------------- */

static inline uint32_t disk_entry_id(uint64_t word)
{
    return (uint32_t)(word >> 8);
}
static inline enum disk_segment_state disk_entry_state(uint64_t word)
{
    return (enum disk_segment_state)(word & 0xf);
}
static inline uint32_t disk_entry_bucket(uint64_t word)
{
    return (uint32_t)(word >> 4) & 0xf;
}
static inline uint64_t disk_entry_word(uint32_t id, uint32_t bucket, enum disk_segment_state state)
{
    return (uint64_t)id << 8 | (uint64_t)bucket << 4 | (uint64_t)state;
}

typedef enum disk_drop_reason {
    DISK_DROP_ROOM,
    DISK_DROP_EXPIRED,
    DISK_DROP_CLEAR, /* asked for, or nothing is in it any more: no evictions */
} disk_drop_reason;

disk_entry *disk_entry_find(const disk_tier *tier, uint32_t id);
/* The record in entry `entry` is one more, and lives until then (0: for ever). */
void disk_entry_note(disk_entry *entry, uint64_t expires_at_ns);
/* Drop old segments until `bytes` more fit.  FULL: they never will. */
BRISK_NODISCARD brisk_err disk_room_make(disk_tier *tier, uint64_t bytes);
/* The file system is full: drop the oldest segment.  False: there is none that may go. */
bool disk_room_drop(disk_tier *tier);
/* See that there is an active segment with room for such a record. */
BRISK_NODISCARD brisk_err disk_active_ready(disk_tier *tier, const disk_need *need,
                                            disk_active **ret);
/* The one that is there, if it has room; NULL otherwise. */
disk_active *disk_active_here(disk_tier *tier, const disk_need *need);
/* Append a record; *ret says where.  After an error that segment is not active any more. */
BRISK_NODISCARD brisk_err disk_append(disk_tier *tier, disk_active *active, unsigned char *record,
                                      const disk_need *need, disk_slot *ret);
/* Close an active segment.  None is fine. */
void disk_active_close(disk_tier *tier, disk_active *active);
void disk_active_close_all(disk_tier *tier);
/* Ours with that id, or NULL. */
disk_active *disk_active_find(disk_tier *tier, uint32_t id);
/* Under structure: drop what holds only expired entries. */
void disk_drop_expired(disk_tier *tier);
/* Under structure: the oldest segment that nobody alive appends to, or NULL. */
disk_entry *disk_oldest_droppable(disk_tier *tier);
/* Under structure: bytes that count, active segments as if full. */
uint64_t disk_bytes_reserved(const disk_tier *tier);
/* Remove segment and large values of `entry`, its slots, then the entry. */
BRISK_NODISCARD brisk_err disk_segment_drop(disk_tier *tier, disk_entry *entry,
                                            disk_drop_reason reason);
/* Drop every segment, whoever owns it. */
BRISK_NODISCARD brisk_err disk_drop_all(disk_tier *tier);
/* An owner died: nothing is appended to it any more. */
void disk_segment_seal(disk_tier *tier, disk_entry *entry);
/* Remove folder `id`.files and what is in it; the bytes that were there. */
uint64_t disk_files_remove(const disk_tier *tier, uint32_t id);
/* Bytes in it. */
uint64_t disk_files_bytes(const disk_tier *tier, uint32_t id);
uint64_t disk_bytes_held(const disk_tier *tier);

/* --- disk_window.c: the caller holds write_lock ----------------------------------------------- */

/* Map the segment to append to it; without success it is written with calls. */
void disk_window_open(const disk_tier *tier, disk_active *active);
/* Write a record at active->end.  Errors: FULL, IO; part of it may be there. */
BRISK_NODISCARD brisk_err disk_window_write(const disk_tier *tier, disk_active *active,
                                            const void *record, size_t size);
/* The file ends where its records do; may be called again. */
void disk_window_close(disk_active *active);

/* --- disk_large.c ------------------------------------------------------------------------------ */

/* Store the value, which expires then, as a file of its own.  Takes write_lock. */
BRISK_NODISCARD brisk_err disk_large_store(disk_tier *tier, brisk_value *value,
                                           uint64_t expires_at_ns, disk_file_ref *ret);
/* A value over the file; NOT_FOUND when it is gone, CORRUPT when its size is wrong. */
BRISK_NODISCARD brisk_err disk_large_open(const disk_tier *tier, const disk_file_ref *ref,
                                          brisk_value **ret);
void disk_large_remove(disk_tier *tier, const disk_file_ref *ref);

/* --- disk_codec.c ------------------------------------------------------------------------------ */

/* What one thread works with; NULL when memory is exhausted. */
disk_scratch *disk_scratch_take(disk_tier *tier);
void disk_scratch_give(disk_tier *tier, disk_scratch *scratch);
void disk_scratch_free_all(disk_tier *tier);
/* At least `size` bytes of buffer; contents are lost. */
BRISK_NODISCARD brisk_err disk_scratch_reserve(const disk_tier *tier, disk_scratch *scratch,
                                               size_t size);
/* Room that disk_squeeze wants for `size` bytes, whatever it chooses. */
size_t disk_squeeze_bound(const disk_tier *tier, size_t size);
/* Squeeze the value into `dst`, or copy it; sets codec, dict, raw_size and stored_size. */
void disk_squeeze(disk_tier *tier, disk_scratch *scratch, codec_bytes value, unsigned char *dst,
                  disk_record *record);
/* The value of `record` into `to`.  NOT_FOUND: its dictionary is lost. */
BRISK_NODISCARD brisk_err disk_expand(disk_tier *tier, disk_scratch *scratch,
                                      const disk_record *record, disk_span to);

/* --- disk_draft.c ------------------------------------------------------------------------------ */

/* A record that is complete but for its place. */
typedef struct disk_draft {
    disk_scratch *scratch;
    unsigned char *bytes;
    uint64_t size;
    disk_record record;
    bool large;
    disk_file_ref ref;
} disk_draft;

/* Make the record in draft->scratch; a large value is a file afterwards. */
BRISK_NODISCARD brisk_err disk_draft_make(disk_tier *tier, const brisk_key *key, brisk_value *value,
                                          const brisk_entry_opts *opts, disk_draft *draft);
/* The same entry anew, with today's codec and dictionary; `old` is in another scratch. */
BRISK_NODISCARD brisk_err disk_draft_again(disk_tier *tier, const disk_record *old,
                                           disk_draft *draft);

/* --- disk_dict.c ------------------------------------------------------------------------------- */

/* Number of the dictionary to put with; 0: none. */
uint32_t disk_dict_newest(const disk_tier *tier);
/* The dictionary, as long as `scratch` is not given back; NULL: lost, or no memory (*ret_err). */
const codec_dict *disk_dict_get(disk_tier *tier, disk_scratch *scratch, uint32_t number,
                                brisk_err *ret_err);
/* A value was put with `record`: perhaps keep some of it, perhaps it is time to train. */
void disk_dict_sample(disk_tier *tier, codec_bytes value, const disk_record *record);
/* Whether disk_dict_train would do something. */
bool disk_dict_is_due(const disk_tier *tier);
/* Train with the samples and, if that gains, make the dictionary the folder's.  Takes write_lock. */
void disk_dict_train(disk_tier *tier);
/* Under structure, alone: learn which dictionaries are there, remove those too old. */
void disk_dict_recover(disk_tier *tier, const disk_state *state);
void disk_dict_free_all(disk_tier *tier);

/* --- disk_sync.c ------------------------------------------------------------------------------- */

bool disk_is_durable(const disk_tier *tier);
/* In a durable folder: return when the disk has all that came before. */
BRISK_NODISCARD brisk_err disk_sync_wait(disk_tier *tier);
BRISK_NODISCARD brisk_err disk_sync_now(disk_tier *tier);

/* --- disk_move.c ------------------------------------------------------------------------------- */

/* write_lock: a segment became active, so the oldest one goes when it is full; save what is hot. */
void disk_moves_begin(disk_tier *tier);
/* write_lock: after a put, some of that work, unless somebody tends. */
void disk_moves_step(disk_tier *tier);
void disk_moves_free(disk_tier *tier);
/* brisk_disk_tier_tend, for one thread at a time. */
bool disk_tend(disk_tier *tier, uint64_t budget_bytes);

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
    const unsigned char *map; /* the segment, up to `end`; NULL: to be read with calls */
    bool glances;             /* undamaged is what looks so: see disk_scan.c */
    uint64_t closed_end;      /* up to here others may have glanced; 0: or it does not matter */
} disk_scan;

enum { DISK_SCAN_BYTES = 4 << 20 };

/* The next undamaged record, live or dead: its place and parts (until the next call), or false. */
bool disk_scan_next(disk_scan *scan, uint64_t *ret_offset, disk_record *ret);

/* Alone: kill every live record that no slot names, so that a rebuild may be trusted again. */
BRISK_NODISCARD brisk_err disk_reconcile(disk_tier *tier);
/* Alone: fill the empty index from the segments in the folder. */
BRISK_NODISCARD brisk_err disk_rebuild(disk_tier *tier);
/* The tier's folder, for reading; NULL with errno. */
DIR *disk_folder_open(const disk_tier *tier);
typedef enum disk_name_kind {
    DISK_NAME_OTHER,
    DISK_NAME_SEGMENT,
    DISK_NAME_FILES, /* the folder of a segment's large values */
    DISK_NAME_DICT,
} disk_name_kind;

/* What a folder's entry is by its name, and the number in it. */
disk_name_kind disk_name_read(const char *name, uint32_t *ret_number);
/* Alone: remove all segments and large values, or only those that the table does not know. */
void disk_folder_sweep(disk_tier *tier, bool orphans_only);
void disk_tier_close(disk_tier *tier);

#endif /* BRISK_SRC_CACHE_DISK_H */
