/*
 * disk_move.c -- entries that leave their segment before it goes.
 *
 *     reinsertion  the oldest segment is next to go: what was hit since it was put gets a second life
 *     compaction   most of a segment is dead: what lives moves out, then the segment goes
 *
 * A move is a put of the value that the slot names, for the writer who holds write_lock: append a
 * copy, kill the old record, swap the slot from exactly the old word.  If the swap fails somebody
 * put or removed the key meanwhile, and the copy is killed; so a move never undoes anything.  Killed
 * at any point it leaves what a put leaves (disk.c, rules 4 and 13).  Moves hold the structure lock, so
 * that no segment is dropped or cleared under them.
 *
 * Which entries: the index is walked once for a segment, buckets without a hit are skipped by their
 * two bytes.  Entries that were hit twice go first.  At most reinsert_percent of a segment is
 * reinserted, and after each put a small batch moves, unless brisk_disk_tier_tend does all of it.
 * Large values stay where they are and go with their segment.
 */
#include "base/assert.h"
#include "cache/disk.h"

enum {
    READ_FIRST = 4096,
    PUTS_A_BATCH = 32,
    BATCH = 16,
    TEND_BATCH = 64,
    DEAD_SHARE_PERCENT = 50,
    RECORDS_FEW = 16,
    TEND_STEPS_MAX = 100000, /* whatever the budget */
};

/* --- which ---------------------------------------------------------------------------------------- */

static uint32_t hits_of(const disk_tier *tier, uint64_t slot)
{
    uint32_t bits =
        atomic_load_explicit(&tier->hot[slot / DISK_BUCKET_SLOTS], memory_order_relaxed);
    return bits >> slot % DISK_BUCKET_SLOTS * 2 & 3;
}

/* Note the bucket's slots that are to move. */
static void note_bucket(disk_tier *tier, uint64_t bucket, bool twice)
{
    disk_moves *moves = &tier->moves;
    for (uint64_t i = 0; i < DISK_BUCKET_SLOTS; i++) {
        uint64_t slot = bucket * DISK_BUCKET_SLOTS + i;
        uint64_t word = atomic_load_explicit(&tier->slots[slot], memory_order_relaxed);
        bool wanted = moves->whole || (twice ? hits_of(tier, slot) >= 2 : hits_of(tier, slot) == 1);
        if (word != 0 && wanted && disk_slot_unpack(word).segment == moves->segment) {
            moves->slots[moves->count++] = (uint32_t)slot;
        }
    }
}

/* Walk on until the list is full or the index at its end. */
static void walk(disk_tier *tier, bool twice)
{
    disk_moves *moves = &tier->moves;
    for (; moves->walk_at <= tier->bucket_mask; moves->walk_at++) {
        if (moves->count > DISK_MOVES_MAX - DISK_BUCKET_SLOTS) {
            return;
        }
        if (moves->whole ||
            atomic_load_explicit(&tier->hot[moves->walk_at], memory_order_relaxed) != 0) {
            note_bucket(tier, moves->walk_at, twice);
        }
    }
    moves->complete = true;
}

static void begin(disk_tier *tier, uint32_t segment, bool whole)
{
    disk_moves *moves = &tier->moves;
    if (moves->slots == NULL) {
        moves->slots = tier->alloc->acquire(tier->alloc->ctx, DISK_MOVES_MAX * sizeof *moves->slots,
                                            _Alignof(uint32_t));
    }
    if (moves->slots == NULL) {
        return; /* nothing is saved */
    }
    *moves = (disk_moves){.segment = segment,
                          .whole = whole,
                          .slots = moves->slots,
                          .bytes_left = whole ? UINT64_MAX
                                              : tier->segment_bytes / 100 * tier->reinsert_percent};
    if (!whole) {
        walk(tier, true);
        moves->walk_at = 0;
    }
    walk(tier, false);
}

static void end(disk_tier *tier)
{
    disk_moves_free(tier);
    tier->moves = (disk_moves){0};
}

void disk_moves_free(disk_tier *tier)
{
    if (tier->moves.slots != NULL) {
        tier->alloc->release(tier->alloc->ctx, tier->moves.slots,
                             DISK_MOVES_MAX * sizeof *tier->moves.slots, _Alignof(uint32_t));
        tier->moves.slots = NULL;
    }
}

/* --- one move --------------------------------------------------------------------------------------- */

typedef enum move_result {
    MOVED,
    STAYS, /* it is gone, somebody was faster, or it is not worth it */
    STOP,  /* no room, or trouble */
} move_result;

/* The live record of `slot`, whole, in the scratch buffer. */
static bool read_record(disk_tier *tier, disk_scratch *scratch, disk_slot slot, disk_record *ret)
{
    disk_place place = {.seed = tier->seed, .segment = slot.segment, .offset = slot.offset};
    disk_pin pin;
    if (disk_fd_pin(tier, slot.segment, &pin) != BRISK_OK) {
        return false;
    }
    disk_verdict verdict = DISK_RECORD_MORE;
    size_t size = READ_FIRST;
    for (int tries = 0; tries < 2 && verdict == DISK_RECORD_MORE; tries++) {
        brisk_err err = disk_scratch_reserve(tier, scratch, size);
        if (err != BRISK_OK) {
            break;
        }
        size_t have =
            disk_pread_some(tier, pin.fd, (disk_span){scratch->buffer, size}, slot.offset, &err);
        verdict = err == BRISK_OK ? disk_record_check(scratch->buffer, have, &place, ret)
                                  : DISK_RECORD_BAD;
        size = (size_t)ret->size;
    }
    disk_fd_unpin(&pin);
    return verdict == DISK_RECORD_OK && ret->live;
}

/* Squeeze it anew if that was done with an older dictionary: that one's file goes some day. */
static brisk_err renew(disk_tier *tier, const disk_record *record, disk_draft *draft)
{
    if (record->dict == 0 || record->dict == disk_dict_newest(tier)) {
        return BRISK_OK;
    }
    draft->scratch = disk_scratch_take(tier);
    return draft->scratch != NULL ? disk_draft_again(tier, record, draft) : BRISK_ERR_NOMEM;
}

/* Append the copy and let the slot name it. */
static move_result place_copy(disk_tier *tier, _Atomic uint64_t *slot, uint64_t word,
                              const disk_draft *draft)
{
    disk_need need = {.bytes = draft->size, .expires_at_ns = draft->record.expires_at_ns};
    disk_active *active = disk_active_here(tier, &need);
    if (active == NULL &&
        (!tier->moves.whole || disk_active_ready(tier, &need, &active) != BRISK_OK)) {
        return STOP;
    }
    disk_slot to;
    if (active->id == tier->moves.segment ||
        disk_append(tier, active, draft->bytes, &need, &to) != BRISK_OK) {
        return STOP;
    }
    to.large = false;
    to.tag = disk_slot_tag(word);
    uint64_t copy = disk_slot_pack(tier, to);
    brisk_err err = BRISK_OK;
    disk_withdraw(tier, word, &err);
    bool done = err == BRISK_OK && disk_swap(slot, word, copy);
    if (!done) {
        disk_withdraw(tier, copy, &err); /* the key is another writer's now, or cannot be moved */
        (void)disk_swap(slot, word, 0);
        return err == BRISK_OK ? STAYS : STOP;
    }
    return MOVED;
}

static move_result move_one(disk_tier *tier, uint32_t number, disk_scratch *scratch)
{
    disk_moves *moves = &tier->moves;
    _Atomic uint64_t *slot = &tier->slots[number];
    uint64_t word = atomic_load_explicit(slot, memory_order_acquire);
    disk_slot from = disk_slot_unpack(word);
    disk_draft draft = {0};
    if (word == 0 || !disk_slot_ok(tier, word) || from.segment != moves->segment || from.large ||
        !read_record(tier, scratch, from, &draft.record)) {
        return STAYS;
    }
    disk_record record = draft.record;
    if (record.codec == DISK_FILE ||
        (record.expires_at_ns != 0 && record.expires_at_ns <= brisk_clock_wall_ns(tier->clock))) {
        return STAYS;
    }
    draft.bytes = scratch->buffer;
    draft.size = record.size;
    moves->io_bytes += record.size;
    move_result result = STAYS;
    if (renew(tier, &record, &draft) == BRISK_OK) {
        result = draft.size <= moves->bytes_left ? place_copy(tier, slot, word, &draft) : STOP;
    }
    disk_scratch_give(tier, draft.scratch);
    if (result == MOVED) {
        disk_hot_clear(tier, number);
        moves->bytes_left -= moves->whole ? 0 : draft.size;
        moves->io_bytes += draft.size;
        disk_count(moves->whole ? &tier->counters.compacted : &tier->counters.reinserted, 1);
        if (moves->whole) {
            disk_count(&tier->counters.compacted_bytes, record.size + draft.size);
        }
    }
    return result;
}

/* Up to `most` moves under structure.  MOVED: there are more. */
static move_result run_batch(disk_tier *tier, uint32_t most)
{
    disk_moves *moves = &tier->moves;
    if (disk_structure_enter(tier) != BRISK_OK) {
        return STOP;
    }
    disk_scratch *scratch = disk_scratch_take(tier);
    move_result result = scratch != NULL ? MOVED : STOP;
    for (uint32_t i = 0; i < most && result == MOVED; i++) {
        if (moves->next == moves->count && !moves->complete) {
            moves->count = moves->next = 0;
            walk(tier, false);
        }
        if (moves->next == moves->count || disk_entry_find(tier, moves->segment) == NULL) {
            result = STAYS; /* that was all */
        } else if (move_one(tier, moves->slots[moves->next++], scratch) == STOP) {
            result = STOP;
        }
    }
    disk_scratch_give(tier, scratch);
    disk_structure_leave(tier);
    return result;
}

/* --- in puts ---------------------------------------------------------------------------------------- */

void disk_moves_begin(disk_tier *tier)
{
    if (tier->tended || tier->reinsert_percent == 0 || tier->moves.whole ||
        disk_bytes_reserved(tier) + tier->segment_bytes <= tier->data_max) {
        return;
    }
    disk_entry *oldest = disk_oldest_droppable(tier);
    uint32_t id = oldest != NULL
                      ? disk_entry_id(atomic_load_explicit(&oldest->word, memory_order_relaxed))
                      : 0;
    if (id != 0 && id != tier->moves.segment) {
        begin(tier, id, false);
    }
}

void disk_moves_step(disk_tier *tier)
{
    disk_moves *moves = &tier->moves;
    if (moves->segment == 0 || tier->tended || moves->whole || moves->next == moves->count ||
        tier->puts_until_move-- > 0) {
        return;
    }
    tier->puts_until_move = PUTS_A_BATCH;
    if (run_batch(tier, BATCH) != MOVED) {
        moves->next = moves->count; /* done; the segment is remembered, so not chosen again */
    }
}

/* --- tending ------------------------------------------------------------------------------------------ */

/* Whether the next new segment would have to wait for room. */
static bool is_full(const disk_tier *tier)
{
    return disk_bytes_reserved(tier) + tier->segment_bytes > tier->data_max;
}

/* The closed segment with the largest dead share, if that is large; 0: none. */
static uint32_t deadest(const disk_tier *tier)
{
    uint32_t best = 0;
    uint64_t best_share = DEAD_SHARE_PERCENT;
    for (uint32_t i = 0; i < tier->header->segment_count; i++) {
        const disk_entry *entry = &tier->entries[i];
        uint64_t word = atomic_load_explicit(&entry->word, memory_order_relaxed);
        uint64_t records = atomic_load_explicit(&entry->records, memory_order_relaxed);
        uint64_t dead = atomic_load_explicit(&entry->dead, memory_order_relaxed);
        if ((disk_entry_state(word) != DISK_CLOSED && disk_entry_state(word) != DISK_SEALED) ||
            atomic_load_explicit(&entry->file_bytes, memory_order_relaxed) != 0 ||
            records < RECORDS_FEW) {
            continue;
        }
        if (dead * 100 / records >= best_share) {
            best = disk_entry_id(word);
            best_share = dead * 100 / records;
        }
    }
    return best;
}

/* Choose a segment that is to go; false: none is. */
static bool choose(disk_tier *tier)
{
    if (tier->moves.segment != 0 && disk_entry_find(tier, tier->moves.segment) != NULL) {
        return true;
    }
    uint32_t id = 0;
    bool whole = false;
    if (is_full(tier)) {
        disk_entry *oldest = disk_oldest_droppable(tier);
        id = oldest != NULL
                 ? disk_entry_id(atomic_load_explicit(&oldest->word, memory_order_relaxed))
                 : 0;
    }
    if (id == 0) {
        id = deadest(tier);
        whole = id != 0;
    }
    end(tier);
    if (id != 0) {
        begin(tier, id, whole);
    }
    return tier->moves.segment != 0;
}

/* Everything that was to move has moved: the segment goes. */
static void finish(disk_tier *tier)
{
    disk_entry *entry = disk_entry_find(tier, tier->moves.segment);
    if (entry != NULL && disk_structure_enter(tier) == BRISK_OK) {
        uint64_t word = atomic_load_explicit(&entry->word, memory_order_relaxed);
        bool still =
            disk_entry_id(word) == tier->moves.segment &&
            (disk_entry_state(word) == DISK_CLOSED || disk_entry_state(word) == DISK_SEALED);
        if (still) {
            brisk_err err = disk_segment_drop(tier, entry, DISK_DROP_ROOM);
            (void)err; /* it stays DROPPING and is tried again */
            disk_fd_refresh(tier);
        }
        disk_structure_leave(tier);
    }
    end(tier);
}

/* One step under write_lock; false: nothing is left to do. */
static bool tend_step(disk_tier *tier, uint64_t *io_bytes)
{
    bool chosen = false;
    if (disk_structure_enter(tier) == BRISK_OK) {
        disk_drop_expired(tier);
        chosen = choose(tier);
        disk_structure_leave(tier);
    }
    if (!chosen) {
        return false;
    }
    uint64_t before = tier->moves.io_bytes;
    move_result result = run_batch(tier, TEND_BATCH);
    *io_bytes += tier->moves.io_bytes - before;
    if (result == STOP && tier->moves.whole) {
        end(tier); /* no room, or trouble: another time */
        return false;
    }
    if (result != MOVED) {
        finish(tier);
    }
    return true;
}

bool disk_tend(disk_tier *tier, uint64_t budget_bytes)
{
    if (disk_dict_is_due(tier)) {
        disk_dict_train(tier);
    }
    uint64_t io_bytes = 0;
    bool more = true;
    for (uint32_t steps = 0; more && io_bytes < budget_bytes && steps < TEND_STEPS_MAX; steps++) {
        pthread_mutex_lock(&tier->write_lock);
        more = tend_step(tier, &io_bytes);
        pthread_mutex_unlock(&tier->write_lock);
    }
    return more;
}
