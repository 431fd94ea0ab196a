/*
 * generation.c -- the table behind tags and dependencies.
 *
 * A tag, or a key that something depends on, falls into one of 2^20 slots; a slot holds the epoch
 * of the last change of anything in it.  An entry carries the slots of what it comes from and the
 * epoch that was read before its value was computed, and is current while none of its slots is
 * newer.  So an invalidation is one store, whatever the number of entries, and a collision of two
 * names in one slot invalidates too much, never too little.
 *
 *     epoch    counts up with every bump and with every token
 *     token    what the counter was: bumps that began later get a larger number
 *     slot     epoch of the last bump; and how many changes are under way: while there is one,
 *              nothing with the slot is current.  Who is killed in the middle leaves it so.
 *
 * Puts and removals of keys change them too, but nearly all keys are nobody's dependency.  So a
 * bit says whether a slot is armed, that is, whether some entry depends on a key in it, and other
 * keys only leave a stamp, in a table of 2^17:
 *
 *     change   begin (stamp, and slot if armed: under way); the tiers change; fence;
 *              stamp = epoch; bump the slot if it is armed now
 *     arm      set the bit; fence; the slot gets the stamp's epoch, or is bumped: under way
 *
 * Of a change and an arming at the same time at least one sees the other, by the two fences.  A
 * stamp is not newer than tokens taken after the change, since tokens count up too; and it is newer
 * than all taken before, since the epoch is read after the fence and a token's reader reads its
 * sources after taking it.
 *
 * A stamp also tells a load that its key was changed meanwhile, so keys that share one must not be
 * taken for each other.  It says which key (a mark of 16 bits) changed last and when, and when
 * any other did; a load is lost to others only when two of them changed:
 *
 *     end      rest is raised to the epoch of the last, if that was another key's; last = key, epoch;
 *              then one change less is under way, which is counted in rest too
 *     look     rest, last, rest: a change that ended before the first look is in last, or somebody
 *              took its place and left its epoch in rest before
 *
 * All keys of a slot have one stamp, and arming takes the newest of everybody: later somebody else's
 * key in the slot finds the bit and needs nothing more.
 *
 * Invalidated prefixes: generation_prefix.c.  The table is mapped by all processes of a folder;
 * every access is one atomic word, so they see each other's bumps at once.
 *
 * Invariant: epochs in slots, stamps and entries are below head->epoch (entries that are not, are
 * outdated: they are of another table).
 * Threads: any, any process.  A bump is lock-free; `lock` is for prefixes and marks.
 */
#include "cache/generation.h"

#include <string.h>
#include <sys/mman.h>

#include <brisk/log.h>

#include "base/assert.h"

enum { PENDING_SHIFT = 48 };

#define EPOCH_MASK  ((UINT64_C(1) << PENDING_SHIFT) - 1)
#define PENDING_ONE (UINT64_C(1) << PENDING_SHIFT)
#define TAG_SEED    UINT64_C(0x6272697367617473)

static bool word_newer(uint64_t word, uint64_t epoch)
{
    return (word & EPOCH_MASK) > epoch || word > EPOCH_MASK;
}

static _Atomic uint64_t *slot_of(const generations *table, uint32_t slot)
{
    return slot == GENERATION_ANY ? &table->head->any : &table->slots[slot];
}

static generation_stamp *stamp_of(const generations *table, const brisk_key *key)
{
    return &table->stamps[generation_slot_of_key(key) & (GENERATION_STAMPS - 1)];
}

/* Not of the bits that choose slot and stamp. */
static uint64_t mark_of(const brisk_key *key)
{
    return key->hash.hi >> 8 & 0xffff;
}

static bool is_armed(const generations *table, uint32_t slot)
{
    uint64_t word = atomic_load_explicit(&table->armed[slot / 64], memory_order_relaxed);
    return (word >> (slot % 64) & 1) != 0;
}

/* Raise the word's epoch to `epoch`, and count a change less when there is one to be counted. */
static void word_raise(_Atomic uint64_t *word, uint64_t epoch, bool ends)
{
    uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);
    uint64_t next;
    do {
        uint64_t pending = seen & ~EPOCH_MASK;
        pending -= ends && pending != 0 ? PENDING_ONE : 0;
        next = pending | ((seen & EPOCH_MASK) > epoch ? seen & EPOCH_MASK : epoch);
        /* Release: who finds the new epoch finds what changed before. */
    } while (!atomic_compare_exchange_weak_explicit(word, &seen, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
}

typedef struct stamp_seen {
    uint64_t own;     /* epoch of the key's last change, or 0: in `any` if there was one */
    uint64_t any;     /* of everybody's */
    uint64_t pending; /* changes under way */
} stamp_seen;

/* The first look counts what is under way; acquire: pairs with word_raise. */
static stamp_seen stamp_look(const generations *table, const brisk_key *key)
{
    generation_stamp *stamp = stamp_of(table, key);
    uint64_t first = atomic_load_explicit(&stamp->rest, memory_order_acquire);
    uint64_t last = atomic_load_explicit(&stamp->last, memory_order_acquire);
    uint64_t rest = atomic_load_explicit(&stamp->rest, memory_order_acquire) & EPOCH_MASK;
    uint64_t epoch = last & EPOCH_MASK;
    uint64_t own = last >> PENDING_SHIFT == mark_of(key) && epoch > rest ? epoch : rest;
    return (stamp_seen){
        .own = own, .any = epoch > rest ? epoch : rest, .pending = first >> PENDING_SHIFT};
}

/* The key changed at `epoch`; a change less is under way when one was counted. */
static void stamp_end(generation_stamp *stamp, uint64_t mark, uint64_t epoch, bool counted)
{
    uint64_t seen = atomic_load_explicit(&stamp->last, memory_order_relaxed);
    uint64_t next;
    do {
        uint64_t before = seen & EPOCH_MASK;
        bool same = seen >> PENDING_SHIFT == mark;
        if (!same && before != 0) {
            word_raise(&stamp->rest, before, false);
        }
        next = mark << PENDING_SHIFT | (same && before > epoch ? before : epoch);
    } while (!atomic_compare_exchange_weak_explicit(&stamp->last, &seen, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (counted) {
        word_raise(&stamp->rest, 0, true);
    }
}

uint32_t generation_slot_of_tag(const void *tag, size_t size)
{
    return (uint32_t)(brisk_hash64(tag, size, TAG_SEED) >> 32) & (BRISK_GENERATION_SLOTS - 1);
}

/* --- life ---------------------------------------------------------------------------------- */

static void set_up(generations *table, void *map)
{
    char *at = map;
    table->map = map;
    table->head = map;
    table->stamps = (void *)(at + GENERATION_STAMPS_AT);
    table->armed = (void *)(at + GENERATION_ARMED_AT);
    table->ring = (void *)(at + GENERATION_RING_AT);
    table->pages = (void *)(at + GENERATION_PAGES_AT);
    table->slots = (void *)(at + GENERATION_SLOTS_AT);
    table->prefixes = (void *)(at + GENERATION_PREFIXES_AT);
}

brisk_err generations_map(const brisk_alloc *alloc, int fd, generations **ret)
{
    generations *table = alloc->acquire(alloc->ctx, sizeof *table, _Alignof(generations));
    if (table == NULL) {
        return BRISK_ERR_NOMEM;
    }
    int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *map = mmap(NULL, GENERATION_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (map == MAP_FAILED) {
        alloc->release(alloc->ctx, table, sizeof *table, _Alignof(generations));
        return BRISK_ERR_NOMEM;
    }
    *table = (generations){.alloc = alloc, .fd = fd};
    set_up(table, map);
    int failed = pthread_mutex_init(&table->lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex on Linux */
    *ret = table;
    return BRISK_OK;
}

void generations_unmap(generations *table)
{
    (void)munmap(table->map, GENERATION_BYTES);
    (void)pthread_mutex_destroy(&table->lock);
    const brisk_alloc *alloc = table->alloc;
    alloc->release(alloc->ctx, table, sizeof *table, _Alignof(generations));
}

void generation_head_begin(generation_head *head)
{
    atomic_init(&head->epoch, 1);
    atomic_init(&head->eras, 1 << 16 | 1);
    atomic_init(&head->purged, 1);
}

brisk_err generations_create(const brisk_alloc *alloc, generations **ret)
{
    brisk_err err = generations_map(alloc, -1, ret);
    if (err == BRISK_OK) {
        (*ret)->head->id = 1; /* entries in memory are of this process */
        generation_head_begin((*ret)->head);
    }
    return err;
}

/* --- slots --------------------------------------------------------------------------------- */

uint64_t generations_token(generations *table)
{
    uint16_t era = (uint16_t)generations_eras(table);
    uint64_t epoch = atomic_fetch_add_explicit(&table->head->epoch, 1, memory_order_seq_cst);
    /* What the caller reads from now on is read after the epoch: pairs with the fence in end. */
    atomic_thread_fence(memory_order_seq_cst);
    return epoch << 16 | era;
}

void generations_bump(generations *table, uint32_t slot)
{
    BRISK_ASSERT(slot <= GENERATION_ANY);
    if (slot != GENERATION_ANY &&
        generations_page(table, GENERATION_SLOTS_AT + (size_t)slot * 8) != BRISK_OK) {
        generations_everything(table);
        return;
    }
    uint64_t epoch = atomic_fetch_add_explicit(&table->head->epoch, 1, memory_order_seq_cst) + 1;
    word_raise(&table->head->any, epoch, false);
    if (slot != GENERATION_ANY) {
        word_raise(slot_of(table, slot), epoch, false);
    }
}

void generations_slot_begin(generations *table, uint32_t slot)
{
    if (generations_page(table, GENERATION_SLOTS_AT + (size_t)slot * 8) == BRISK_OK) {
        (void)atomic_fetch_add_explicit(slot_of(table, slot), PENDING_ONE, memory_order_acq_rel);
    } /* else the bump outdates everything */
}

void generations_slot_end(generations *table, uint32_t slot, bool changed)
{
    if (changed) {
        generations_bump(table, slot);
    }
    if (generations_page(table, GENERATION_SLOTS_AT + (size_t)slot * 8) == BRISK_OK) {
        word_raise(slot_of(table, slot), 0, true);
    }
}

brisk_err generations_arm(generations *table, const brisk_key *key)
{
    uint32_t slot = generation_slot_of_key(key);
    if (is_armed(table, slot)) {
        return BRISK_OK;
    }
    brisk_err err = generations_page(table, GENERATION_SLOTS_AT + (size_t)slot * 8);
    if (err != BRISK_OK) {
        return err;
    }
    /* Changing until the slot has what the stamp knows: somebody else may find the bit at once. */
    generations_slot_begin(table, slot);
    (void)atomic_fetch_or_explicit(&table->armed[slot / 64], UINT64_C(1) << (slot % 64),
                                   memory_order_seq_cst);
    /* The bit before the stamp; changes write the stamp before they read the bit. */
    atomic_thread_fence(memory_order_seq_cst);
    stamp_seen stamp = stamp_look(table, key);
    word_raise(slot_of(table, slot), stamp.any, false);
    generations_slot_end(table, slot, stamp.pending != 0);
    return BRISK_OK;
}

uint64_t generations_epoch_of(const generations *table, uint32_t slot)
{
    return atomic_load_explicit(slot_of(table, slot), memory_order_acquire);
}

bool generations_newer(const generations *table, uint32_t slot, uint64_t epoch)
{
    /* Acquire: pairs with word_raise. */
    return word_newer(atomic_load_explicit(slot_of(table, slot), memory_order_acquire), epoch);
}

bool generations_key_newer(const generations *table, const brisk_key *key, uint64_t epoch)
{
    stamp_seen stamp = stamp_look(table, key);
    return stamp.own > epoch || stamp.pending != 0;
}

bool generations_key_overtaken(const generations *table, const brisk_key *key, uint64_t epoch)
{
    stamp_seen stamp = stamp_look(table, key);
    return stamp.own > epoch || stamp.pending > 1;
}

generation_change generations_change_begin(generations *table, const brisk_key *key)
{
    uint32_t slot = generation_slot_of_key(key);
    generation_change change = {.stamped = true, .slotted = is_armed(table, slot)};
    if (change.slotted && generations_mark(table) != BRISK_OK) {
        brisk_log(BRISK_LOG_WARNING, "cache", "a power loss now could bring outdated entries back");
    }
    (void)atomic_fetch_add_explicit(&stamp_of(table, key)->rest, PENDING_ONE, memory_order_acq_rel);
    if (change.slotted) {
        (void)atomic_fetch_add_explicit(slot_of(table, slot), PENDING_ONE, memory_order_acq_rel);
        (void)atomic_fetch_add_explicit(&table->head->any, PENDING_ONE, memory_order_acq_rel);
    }
    return change;
}

void generations_change_end(generations *table, const brisk_key *key, generation_change change)
{
    /* What changed is there before the epoch is read: pairs with the fence in token. */
    atomic_thread_fence(memory_order_seq_cst);
    uint64_t now = atomic_load_explicit(&table->head->epoch, memory_order_seq_cst);
    stamp_end(stamp_of(table, key), mark_of(key), now, change.stamped);
    /* The stamp before the bit: see arm. */
    atomic_thread_fence(memory_order_seq_cst);
    uint32_t slot = generation_slot_of_key(key);
    if (!is_armed(table, slot)) {
        return;
    }
    generations_bump(table, slot);
    if (change.slotted) {
        word_raise(slot_of(table, slot), 0, true);
        word_raise(&table->head->any, 0, true);
    }
}
