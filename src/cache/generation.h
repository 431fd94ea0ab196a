/*
 * generation.h -- what changed when: the table behind tags, dependencies and prefixes.
 *
 *     generation.c         the table: epoch, slots, stamps, eras; no file knows it
 *     generation_prefix.c  invalidated prefixes
 *     generation_file.c    the table in a file: opening, power loss, closing
 *     generation_ring.c    keys that one process changed, told to the others
 *
 * The argument is in generation.c.
 */
#ifndef BRISK_SRC_CACHE_GENERATION_H
#define BRISK_SRC_CACHE_GENERATION_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <brisk/cache.h>

enum {
    GENERATION_ANY = BRISK_GENERATION_SLOTS, /* bumped with every other slot */
    GENERATION_KEY = 1 << 22, /* with a slot in an entry: it is a key's, not a tag's */
    GENERATION_PAGE = 4096,
    GENERATION_STAMPS = 1 << 17,
    GENERATION_PREFIXES = 1 << 16, /* cells; at most half of them are used */
    GENERATION_LENGTHS = 64,
    GENERATION_ERAS = 1 << 15, /* after that many invalidated prefixes everything is dropped */
    GENERATION_RING_BYTES = 1 << 18,
    GENERATION_RING_KEY_MAX = 1024, /* multiple of 8; longer keys empty the others' memory */
};

#define GENERATION_NAME  "generations"
#define GENERATION_MAGIC UINT64_C(0x31736e6567726273)

/* The fixed part; what is above `checksum` never changes after the table was made. */
typedef struct generation_head {
    uint64_t magic; /* 0 until the tiers were emptied for a new table */
    uint32_t version;
    uint32_t slots;
    uint64_t id; /* random: entries of another table are not believed */
    uint64_t checksum;

    /* Written and synced together: one sector. */
    _Alignas(64) uint32_t unsynced; /* something was withdrawn since all was synced ... */
    uint32_t in_use;                /* processes may be in the middle of something */
    uint64_t boot[2];               /* ... when the system ran as this */

    _Alignas(64) _Atomic uint64_t epoch;
    _Atomic uint64_t any;   /* slot GENERATION_ANY */
    _Atomic uint32_t dirty; /* `unsynced` is set, durably */

    _Alignas(64) _Atomic uint32_t eras; /* base << 16 | era */
    _Atomic uint32_t purged;            /* the era at which tiers were emptied last */
    _Atomic uint32_t purges;
    _Atomic uint32_t users;
    _Atomic uint64_t ring_tail; /* cells ever reserved */

    _Alignas(64) _Atomic uint32_t length_count;
    _Atomic uint32_t prefix_count;
    _Atomic uint32_t lengths[GENERATION_LENGTHS];
    _Atomic uint64_t seen[BRISK_CACHE_TIERS_MAX][2]; /* hash of a shared tier's name, its token */
} generation_head;

static_assert(sizeof(generation_head) <= GENERATION_PAGE, "the head is one page");

/* An invalidated prefix. */
typedef struct generation_prefix {
    _Atomic uint64_t hash; /* 0: free */
    _Atomic uint64_t what; /* size << 16 | era; 0: not yet */
} generation_prefix;

/* Of the keys of some slots: who changed last and when, and when the others did; generation.c. */
typedef struct generation_stamp {
    _Atomic uint64_t last; /* mark of a key << 48 | epoch */
    _Atomic uint64_t rest; /* pending << 48 | epoch */
} generation_stamp;

static_assert(sizeof(generation_stamp) == 16, "see GENERATION_ARMED_AT");

/* Where things stand in the file; slots and prefixes get their pages when they need them. */
enum {
    GENERATION_STAMPS_AT = GENERATION_PAGE,
    GENERATION_ARMED_AT = GENERATION_STAMPS_AT + GENERATION_STAMPS * 16,
    GENERATION_RING_AT = GENERATION_ARMED_AT + BRISK_GENERATION_SLOTS / 8,
    GENERATION_PAGES_AT = GENERATION_RING_AT + GENERATION_RING_BYTES, /* a bit for each page */
    GENERATION_SLOTS_AT = GENERATION_PAGES_AT + GENERATION_PAGE,
    GENERATION_PREFIXES_AT = GENERATION_SLOTS_AT + BRISK_GENERATION_SLOTS * 8,
    GENERATION_BYTES = GENERATION_PREFIXES_AT + GENERATION_PREFIXES * 16,
};

typedef struct generations {
    const brisk_alloc *alloc;
    generation_head *head;
    generation_stamp *stamps;
    _Atomic uint64_t *armed; /* bit: some entry depends on the slot's key */
    _Atomic uint64_t *pages; /* bit: page of the file has room on disk */
    _Atomic uint64_t *slots; /* pending << 48 | epoch of the last change */
    generation_prefix *prefixes;
    unsigned char *ring;
    void *map;
    int fd;        /* -1: memory */
    uint32_t user; /* who we are among the processes of the folder */
    pid_t owner;   /* a forked child shares the file's locks with its parent: it takes none */
    pthread_mutex_t lock; /* prefixes, and the marks in the file */
} generations;

/* Begin of a change, to be given to its end. */
typedef struct generation_change {
    bool stamped;
    bool slotted;
} generation_change;

/* --- life ---------------------------------------------------------------------------------- */

/* A table in memory, this process's own. */
BRISK_NODISCARD brisk_err generations_create(const brisk_alloc *alloc, generations **ret);
/*
 * The table of `folder`.  With *ret_lost nothing that tiers hold from before can be judged: empty
 * them, then commit.  Errors: whatever made it unusable, with `info` (may be NULL).
 */
BRISK_NODISCARD brisk_err generations_open(const brisk_alloc *alloc, const char *folder,
                                           generations **ret, bool *ret_lost, brisk_errinfo *info);
void generations_commit(generations *table);
void generations_close(generations *table); /* NULL is accepted */
/* Both for the parts of the table only. */
BRISK_NODISCARD brisk_err generations_map(const brisk_alloc *alloc, int fd, generations **ret);
void generations_unmap(generations *table);
void generation_head_begin(generation_head *head);
bool generation_head_ok(const generation_head *head);
/* Whether the file is still the folder's. */
bool generations_are_there(const generations *table);
/* To be called before anything is withdrawn or armed: makes sure that a power loss is noticed. */
BRISK_NODISCARD brisk_err generations_mark(generations *table);
/* See that the bytes can be written without a SIGBUS: room on disk for their page. */
BRISK_NODISCARD brisk_err generations_page(generations *table, size_t at);

/* --- slots --------------------------------------------------------------------------------- */

uint32_t generation_slot_of_tag(const void *tag, size_t size);
static inline uint32_t generation_slot_of_key(const brisk_key *key)
{
    return (uint32_t)(key->hash.hi >> 32) & (BRISK_GENERATION_SLOTS - 1);
}
/* The slots that prefix invalidations of a depended-on key bump; see generation_prefix.c. */
enum { GENERATION_LEVELS = 3 };
uint32_t generation_levels_of_key(const brisk_key *key, uint32_t ret[GENERATION_LEVELS]);
uint32_t generation_level_of_prefix(const void *prefix, size_t size);

/* epoch << 16 | era, of now. */
uint64_t generations_token(generations *table);
static inline uint64_t generation_token_epoch(uint64_t token)
{
    return token >> 16;
}
static inline uint16_t generation_token_era(uint64_t token)
{
    return (uint16_t)token;
}

/* Something with this slot changed.  When there is no room for it, everything is outdated. */
void generations_bump(generations *table, uint32_t slot);
/* The slot is changing, until the end, which bumps it if it `changed`: nothing with it is current. */
void generations_slot_begin(generations *table, uint32_t slot);
void generations_slot_end(generations *table, uint32_t slot, bool changed);
/* From now on changes of the slot's keys bump it.  Errors: FULL, IO. */
BRISK_NODISCARD brisk_err generations_arm(generations *table, const brisk_key *key);
/* Of the slot's last change; something else while it is changing. */
uint64_t generations_epoch_of(const generations *table, uint32_t slot);
/* Whether the slot changed after `epoch` or is changing. */
bool generations_newer(const generations *table, uint32_t slot, uint64_t epoch);
/* While changing the key: whether somebody else changed it, or is changing it, too. */
bool generations_key_overtaken(const generations *table, const brisk_key *key, uint64_t epoch);
/* Whether the key changed after `epoch` or is changing; now and then it says so of others' changes:
 * of one key in 360 when 10,000 others changed after `epoch`. */
bool generations_key_newer(const generations *table, const brisk_key *key, uint64_t epoch);
generation_change generations_change_begin(generations *table, const brisk_key *key);
void generations_change_end(generations *table, const brisk_key *key, generation_change change);

/* --- eras ---------------------------------------------------------------------------------- */

static inline uint32_t generations_eras(const generations *table)
{
    return atomic_load_explicit(&table->head->eras, memory_order_acquire);
}
/* Whether `key` stored in `era` is older than an invalidation of one of its prefixes. */
bool generations_prefix_newer(const generations *table, const brisk_key *key, uint16_t era);
/* As above, but invalidations of just this key do not count. */
bool generations_real_prefix_newer(const generations *table, const brisk_key *key, uint16_t era);

/* What is invalidated: a prefix by its size and hash, one key, or (size 0) everything. */
enum { GENERATION_ONE_KEY = 0x7fffffff };
typedef struct generation_name {
    uint32_t size;
    uint64_t hash;
} generation_name;
generation_name generation_name_of_prefix(const void *prefix, size_t size);
generation_name generation_name_of_key(const brisk_key *key);

typedef struct generation_era {
    uint16_t era;   /* that began: what is stored in it is younger than the invalidation */
    bool purge_due; /* tiers must be emptied, and generations_purged called: numbers come back */
    bool overdue;   /* ... and who cannot be emptied must not be asked any more */
} generation_era;

/* Everything of that name is outdated.  Errors: it is, until the power fails. */
BRISK_NODISCARD brisk_err generations_invalidate(generations *table, generation_name name,
                                                 generation_era *ret);
void generations_purged(generations *table);
/* The same under an era that was told by a shared tier; the table is in memory. */
void generations_learn(generations *table, generation_name name, uint16_t era);
/* The parts of it: everything is outdated; under the locks, a name is. */
uint16_t generations_everything(generations *table);
uint16_t generations_begin_era(generations *table, generation_name name);

/* --- keys that other processes changed ------------------------------------------------------ */

/* How many cells were ever told: differs from a cursor when there is something to be read. */
uint64_t generations_ring_tail(const generations *table);
/* The key has changed in the tiers: tell the other processes of the folder, if there are any. */
void generations_ring_tell(generations *table, const brisk_key *key);

typedef enum generation_told {
    GENERATION_TOLD_ALL,  /* nothing more */
    GENERATION_TOLD_KEY,  /* a key, of *ret_size bytes */
    GENERATION_TOLD_OWN,  /* likewise, but it was us */
    GENERATION_TOLD_LOST, /* anything may have changed */
} generation_told;
/* What stands at *cursor, which moves on. */
generation_told generations_ring_next(const generations *table, uint64_t *cursor,
                                      unsigned char key[GENERATION_RING_KEY_MAX],
                                      uint32_t *ret_size);

/* --- shared tiers --------------------------------------------------------------------------- */

/* The token of the last bump that a shared tier told; it outlives the process. */
uint64_t generations_seen(generations *table, const char *tier);
void generations_see(generations *table, const char *tier, uint64_t token);

#endif /* BRISK_SRC_CACHE_GENERATION_H */
