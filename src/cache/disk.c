/*
 * disk.c -- the disk tier: answers that outlive the process, shared by processes.
 *
 *     state                what is trusted: seed, unclean and tainted flags; all locks
 *     index                mapped by everybody: table of segments, slots (disk_index.c)
 *     <id>.seg             append-only records (disk_record.h), each written by one process
 *     <id>.files/<number>  large values
 *     <number>.dict        dictionaries (disk_dict.c)
 *
 * A slot names a record; a key has sixteen possible slots, the first that holds it counts.  One
 * process appends to a segment at a time and holds the lock of its id, which ends with it; it has up
 * to six such segments, by how long entries live.
 *
 *     put     append the record; kill what the key's slots name; swap the slot; look again
 *     remove  kill what the key's slots name; empty them
 *     get     read slot, read record, check it: place, checksum, state, key
 *     move    append a copy of the record that a slot names; kill it; swap the slot from its word
 *
 * "Kill" changes the record's state in the file.  Why no interleaving, kill -9, damage or
 * power loss gives a wrong or an older answer:
 *
 *  1. A record never changes but for its state, which only goes from live to dead, and a place
 *     (segment, offset) is never used twice.  So a reader that has read a slot either reads the
 *     value that the slot meant, or a dead record, or no file.  It was current when the slot was
 *     read, which is inside the reader's call.
 *  2. A slot is one word, swapped only from what was seen.  A writer that loses looks again, so it
 *     never undoes a newer swap; it is then the later writer.
 *  3. An overwrite or removal is acknowledged after kill and swap: every later read sees neither
 *     the old slot nor a live old record.
 *  4. Killed after append: nobody names the record, the old value stands, nothing was acknowledged.
 *     After the kill of the old record: a miss.  After the swap: the new value.
 *  5. A failed write kills and empties all the same; a mark that cannot be written is replaced by
 *     removing the whole segment.  If that fails too, the caller gets the error.
 *  6. Two that put one new key may take two slots.  Swaps and second looks are sequentially
 *     consistent, so at least one sees both and withdraws the later slot; readers take the first,
 *     and withdraw the other one when they meet it.  A writer killed before its second look had
 *     acknowledged nothing, so its value is the one in flight.
 *  7. The index alone answers; a rebuild, when it is lost, needs: every live record outside the
 *     index is recognised.  Such are only (a) a record appended and not yet published: appends and
 *     publishing are under write_lock, so it is the last record of a segment that was not closed in
 *     order, and there the last one is not believed, unless the head says that all up to it were
 *     published (published_end, written under write_lock too); (b) records whose slot was damaged, or
 *     lost with the power: noted as TAINTED in `state` (there at the first opening after a boot),
 *     and then the rebuild drops everything.  Displaced entries are killed first, like overwritten
 *     ones.  Records after the end that a clean close noted are not believed either.  A rebuild
 *     needs to be alone; with others there, open fails.
 *  8. A segment is dropped file first, slots second: killed between, slots name no file (a miss).
 *     Whoever publishes into a dropped segment names no file either.  Ids are never used again.
 *     A drop by a wrong table (damage, a clock that jumped) is a miss, never another answer.
 *  9. A segment of a dead owner is sealed, never appended to.  A fork makes the child's tier useless
 *     (its `alive` page is wiped), so that two processes never share an active segment.
 * 10. Power loss: files may go back to any earlier content, each page by itself.  An old answer can
 *     come back only where one was withdrawn, and before the first withdrawal UNCLEAN goes to
 *     `state` with fdatasync, with the boot's id.  UNCLEAN of another boot drops everything.  The
 *     last one to close syncs everything and clears it.  Without withdrawals a lost page is a miss.
 *     A durable folder (disk_sync.c) has no UNCLEAN: an acknowledgement waits until the disk has the
 *     record, the marks that withdraw older ones, whoever made them, and the removal of names.  So
 *     after a reboot the segments alone say what was acknowledged; the index is thrown away and made
 *     anew.  Of an operation in flight the old value, the new one or both may be there; both are a
 *     miss, unless they say the same (a move).
 * 11. Damage: slots have a CRC-8, records a keyed checksum over key, value and place, `state` and
 *     the index's head one too.  Without a good `state` nothing can be verified: new seed, all old
 *     records are refused.
 * 12. If the folder or the index is removed while processes use it, they find out (puts and removes
 *     within 0.1 ms, gets at every 64th) and go off; until then they may miss what newcomers do.
 * 13. A move is a put by who holds write_lock, of the value that the slot names, and it swaps from
 *     exactly that word: words are never used twice (rule 1), so if the swap succeeds nobody has put
 *     or removed the key since the record was read, and if it fails the copy is killed, not the
 *     other's entry.  A put or remove that meets a move either sees the old word, and its own swap
 *     decides, or the copy's, and withdraws that.  Cut short, a move leaves what a put leaves (rules
 *     4 and 7): copy live and unpublished, or neither.  It holds the structure lock, so no clear comes
 *     between reading and swapping.  A reader who finds the old record dead looks at the slot again.
 * 14. A dictionary's number is used once under a seed, is in the record's checksum and in its file's:
 *     a record is expanded with the very bytes that it was squeezed with, or is a miss.
 *
 * 15. Records are appended and read through mappings of the same pages that calls read and write
 *     (disk_window.c, disk_fd.c): all of the above holds for both alike.  A record's bytes are stored
 *     before its slot is swapped; a store that kill -9 cuts leaves a last record of an unclosed segment
 *     that no slot names (rules 4 and 7), with zeros behind it, which are no record.
 *
 * No sequence numbers: the newest record is the one that is not dead.  Not on network file systems,
 * where neither mappings nor locks are shared.
 *
 * Threads: any.  Lock order: write_lock, structure lock of the folder, then fd_lock, scratch_lock
 * or hist_lock (innermost, one at a time).  A get takes no lock but short ones for buffers.
 */
#include "cache/disk.h"

#include <string.h>
#include <sys/stat.h>

#include <brisk/file.h>
#include <brisk/log.h>

#include "base/assert.h"

enum {
    READ_MAX = 2048, /* at first; how much of it follows the records that are read */
    READ_MIN = 256,
    READ_STEP = 64,
    SAMPLE_EVERY = 64,
    CHECK_EVERY_NS = 100000,
    SLOT_TRIES = 4,
    DROPS_MAX = 8, /* for one put */
};

static const uint64_t backoff_ns = UINT64_C(2000000000);

static disk_tier *disk_of(brisk_tier *base)
{
    return (disk_tier *)base;
}

/* Whether the tier may be used: not in a forked child, not after its folder was taken away. */
static bool is_usable(const disk_tier *tier)
{
    return atomic_load_explicit(tier->alive, memory_order_relaxed) != 0 &&
           !atomic_load_explicit(&tier->off, memory_order_relaxed);
}

/* Go off when the index was removed under us: others may work on a new one. */
static bool check_folder(disk_tier *tier, uint64_t now_ns)
{
    struct stat st;
    uint64_t age_ns = now_ns - atomic_load_explicit(&tier->checked_ns, memory_order_relaxed);
    if (!is_usable(tier)) {
        return false;
    }
    if (age_ns - 1 < CHECK_EVERY_NS) { /* a clock that stands still is no reason */
        return true;
    }
    atomic_store_explicit(&tier->checked_ns, now_ns, memory_order_relaxed);
    if (fstat(tier->index_fd, &st) == 0 && st.st_nlink > 0) {
        return true;
    }
    if (!atomic_exchange_explicit(&tier->off, true, memory_order_relaxed)) {
        brisk_log(BRISK_LOG_WARNING, "cache", "%s: was removed, going on without it", tier->path);
    }
    return false;
}

/* --- get ------------------------------------------------------------------------------------- */

typedef enum disk_answer {
    DISK_HIT,
    DISK_MISS,    /* another key, a dead record, no file any more, no memory */
    DISK_EXPIRED, /* ours, too old */
    DISK_BAD,     /* damaged */
    DISK_GONE,    /* its large file is not there */
} disk_answer;

static disk_answer answer_of(disk_tier *tier, brisk_err err)
{
    if (err == BRISK_ERR_CORRUPT) {
        return DISK_BAD;
    }
    if (err != BRISK_ERR_NOMEM) {
        disk_count(&tier->counters.errors, 1);
    }
    return DISK_MISS;
}

static disk_answer decompress(disk_tier *tier, const disk_record *record, brisk_value **ret)
{
    void *data;
    brisk_value *value;
    brisk_err err = brisk_value_reserve(record->raw_size, tier->alloc, &data, &value);
    if (err != BRISK_OK) {
        return DISK_MISS;
    }
    disk_scratch *scratch = disk_scratch_take(tier);
    err = scratch == NULL ? BRISK_ERR_NOMEM
                          : disk_expand(tier, scratch, record, (disk_span){data, record->raw_size});
    disk_scratch_give(tier, scratch);
    if (err != BRISK_OK) {
        brisk_value_unref(value);
        return err == BRISK_ERR_NOT_FOUND ? DISK_GONE : answer_of(tier, err);
    }
    *ret = value;
    return DISK_HIT;
}

static disk_answer open_large(disk_tier *tier, const disk_record *record, brisk_hit *hit)
{
    disk_file_ref ref;
    memcpy(&ref, record->value, sizeof ref);
    brisk_err err = disk_large_open(tier, &ref, &hit->value);
    if (err != BRISK_OK) {
        return err == BRISK_ERR_NOT_FOUND ? DISK_GONE : answer_of(tier, err);
    }
    hit->content = (brisk_hash128){.lo = ref.content_lo, .hi = ref.content_hi};
    hit->has_content = true;
    return DISK_HIT;
}

/* Fill `hit` from a whole, verified record. */
static disk_answer fill_hit(disk_tier *tier, const disk_record *record, brisk_hit *hit)
{
    disk_answer answer = DISK_HIT;
    hit->has_content = false;
    if (record->codec == DISK_FILE) {
        answer = open_large(tier, record, hit);
    } else if (record->codec != CODEC_PLAIN) {
        answer = decompress(tier, record, &hit->value);
    } else if (brisk_value_copy(record->value, record->stored_size, tier->alloc, &hit->value) !=
               BRISK_OK) {
        answer = DISK_MISS;
    }
    if (answer != DISK_HIT) {
        return answer;
    }
    hit->flags = record->flags;
    hit->era = record->era;
    hit->tier = 0;
    hit->tier_name = tier->base.name;
    hit->elapsed_ns = 0;
    hit->cost_ns = record->cost_ns;
    hit->store_ns = record->store_ns;
    hit->expires_at_ns = record->expires_at_ns;
    hit->meta_size = record->meta_size;
    memcpy(hit->meta, record->meta, record->meta_size);
    return DISK_HIT;
}

/* `record` is whole and undamaged. */
static disk_answer use_record(disk_tier *tier, const disk_record *record, const brisk_key *key,
                              brisk_hit *hit)
{
    if (!record->live) {
        return DISK_MISS;
    }
    if (record->key_size != key->size || memcmp(record->key, key->bytes, key->size) != 0) {
        return DISK_MISS;
    }
    if (record->expires_at_ns != 0 && record->expires_at_ns <= brisk_clock_wall_ns(tier->clock)) {
        return DISK_EXPIRED;
    }
    return hit != NULL ? fill_hit(tier, record, hit) : DISK_HIT;
}

static bool is_dead(const unsigned char *bytes, size_t have)
{
    return have >= sizeof(uint32_t) && disk_record_state(bytes) == DISK_RECORD_DEAD;
}

/* The record is longer than the first read: read it whole. */
static disk_answer read_long(disk_tier *tier, int fd, const disk_place *place,
                             disk_scratch *scratch, disk_record *record)
{
    size_t size = (size_t)record->size;
    brisk_err err = disk_scratch_reserve(tier, scratch, size);
    if (err != BRISK_OK) {
        return DISK_MISS;
    }
    size_t have =
        disk_pread_some(tier, fd, (disk_span){scratch->buffer, size}, place->offset, &err);
    if (err != BRISK_OK) {
        return answer_of(tier, err);
    }
    if (is_dead(scratch->buffer, have)) {
        return DISK_MISS;
    }
    return disk_record_check(scratch->buffer, have, place, record) == DISK_RECORD_OK ? DISK_HIT
                                                                                     : DISK_BAD;
}

/* Bytes that a get reads at first: too many cost a cache miss for each 64, too few a second read.
 * It follows large records at once and small ones slowly. */
static size_t first_read(const disk_tier *tier)
{
    return READ_MAX - atomic_load_explicit(&tier->read_less, memory_order_relaxed);
}

static void learn_size(disk_tier *tier, uint64_t size)
{
    static _Thread_local uint32_t tick;
    size_t now = first_read(tier);
    size_t wanted = size < READ_MIN ? READ_MIN : size > READ_MAX ? READ_MAX : (size_t)size;
    wanted = (wanted + READ_STEP - 1) & ~(size_t)(READ_STEP - 1);
    if (wanted < now && ++tick % SAMPLE_EVERY == 0) {
        wanted = now - (now - wanted + 7) / 8;
    } else if (wanted <= now) {
        return;
    }
    atomic_store_explicit(&tier->read_less, (uint32_t)(READ_MAX - wanted), memory_order_relaxed);
}

/* The same with calls: where nothing is mapped, and where a mapping shows no good record. */
static disk_answer read_with_calls(disk_tier *tier, int fd, disk_slot slot, const brisk_key *key,
                                   brisk_hit *hit)
{
    unsigned char first[READ_MAX];
    disk_place place = {.seed = tier->seed, .segment = slot.segment, .offset = slot.offset};
    ssize_t have = tier->sys->pread(fd, first, first_read(tier), (off_t)slot.offset);
    if (have < 0) {
        return answer_of(tier, BRISK_ERR_IO);
    }
    if (is_dead(first, (size_t)have)) {
        return DISK_MISS;
    }
    disk_record record;
    disk_verdict verdict = disk_record_check(first, (size_t)have, &place, &record);
    learn_size(tier, record.size);
    if (verdict == DISK_RECORD_OK) {
        return use_record(tier, &record, key, hit);
    }
    if (verdict == DISK_RECORD_BAD) {
        return DISK_BAD;
    }
    disk_scratch *scratch = disk_scratch_take(tier);
    if (scratch == NULL) {
        return DISK_MISS;
    }
    disk_answer answer = read_long(tier, fd, &place, scratch, &record);
    if (answer == DISK_HIT) {
        answer = use_record(tier, &record, key, hit);
    }
    disk_scratch_give(tier, scratch);
    return answer;
}

/* Bytes of a record never change, so what was summed is what is copied, unless its page went: then
 * the mapping is not whole any more. */
static disk_answer read_pinned(disk_tier *tier, const disk_pin *pin, disk_slot slot,
                               const brisk_key *key, brisk_hit *hit)
{
    disk_place place = {.seed = tier->seed, .segment = slot.segment, .offset = slot.offset};
    disk_record record;
    if (disk_pin_record(pin, &place, &record)) {
        disk_answer answer = use_record(tier, &record, key, hit);
        if (disk_pin_is_whole(pin)) {
            return answer;
        }
        if (answer == DISK_HIT && hit != NULL) {
            brisk_value_unref(hit->value);
        }
    }
    return read_with_calls(tier, pin->fd, slot, key, hit);
}

/* Ask the record behind `word` for the key; with `hit` NULL only whether it is there. */
static disk_answer read_entry(disk_tier *tier, uint64_t word, const brisk_key *key, brisk_hit *hit)
{
    disk_slot slot = disk_slot_unpack(word);
    disk_pin pin;
    brisk_err err = disk_fd_pin(tier, slot.segment, &pin);
    if (err != BRISK_OK) {
        return err == BRISK_ERR_NOT_FOUND ? DISK_MISS : answer_of(tier, err);
    }
    disk_answer answer = read_pinned(tier, &pin, slot, key, hit);
    disk_fd_unpin(&pin);
    return answer;
}

/* Take an entry back that turned out to be useless. */
static void withdraw(disk_tier *tier, _Atomic uint64_t *slot, uint64_t word, disk_answer why)
{
    if (why == DISK_EXPIRED) {
        disk_count(&tier->counters.expired, 1);
    } else if (why == DISK_GONE) {
        disk_count(&tier->counters.damaged, 1);
    } else if (why == DISK_BAD) {
        disk_count(&tier->counters.damaged, 1);
        disk_slot place = disk_slot_unpack(word);
        disk_count(&tier->counters.corrupt, 1);
        brisk_log(BRISK_LOG_WARNING, "cache", "%s/%08x.seg: damaged entry at %u", tier->path,
                  place.segment, place.offset);
    }
    pthread_mutex_lock(&tier->write_lock);
    brisk_err err = disk_retire(tier, slot, word);
    pthread_mutex_unlock(&tier->write_lock);
    if (err != BRISK_OK) {
        disk_count(&tier->counters.errors, 1);
    }
}

/* The entry in `slot` for the key; *ret_word is what stood there. */
static disk_answer try_slot(disk_tier *tier, const disk_ways *ways, _Atomic uint64_t *slot,
                            uint64_t *ret_word, brisk_hit *hit)
{
    disk_answer answer = DISK_MISS;
    for (int tries = 0; tries < SLOT_TRIES && answer == DISK_MISS; tries++) {
        /* Acquire: pairs with the swap that published, though the bytes come from the kernel. */
        uint64_t word = atomic_load_explicit(slot, memory_order_acquire);
        if (word == 0 || disk_slot_tag(word) != ways->tag || (tries > 0 && word == *ret_word)) {
            break; /* the second time round: nobody moved or replaced it, so it is a miss */
        }
        *ret_word = word;
        if (!disk_slot_ok(tier, word)) {
            pthread_mutex_lock(&tier->write_lock);
            disk_slot_damaged(tier, slot, word);
            pthread_mutex_unlock(&tier->write_lock);
            break;
        }
        answer = read_entry(tier, word, ways->key, hit);
    }
    return answer;
}

static bool look_up(disk_tier *tier, const brisk_key *key, brisk_hit *ret)
{
    disk_ways ways = disk_ways_of(tier, key);
    disk_ways_prefetch(&ways);
    bool found = false;
    for (uint32_t i = 0; i < ways.count; i++) {
        _Atomic uint64_t *slot = disk_way(&ways, i);
        uint64_t word = 0;
        disk_answer answer = try_slot(tier, &ways, slot, &word, found ? NULL : ret);
        if (answer == DISK_HIT && !found) {
            found = true;
            disk_hot_hit(tier, (uint64_t)(slot - tier->slots));
        } else if (answer != DISK_MISS) {
            withdraw(tier, slot, word, answer); /* a second one of the same key: rule 6 */
        }
    }
    return found;
}

static brisk_err disk_get(brisk_tier *base, const brisk_key *key, brisk_hit *ret)
{
    static _Thread_local uint32_t tick;
    BRISK_ASSERT(key->size != 0 && key->size <= BRISK_KEY_BYTES_MAX);
    disk_tier *tier = disk_of(base);
    bool sampled = tick++ % SAMPLE_EVERY == 0;
    uint64_t begin = sampled ? brisk_clock_now_ns(tier->clock) : 0;
    bool usable = sampled ? check_folder(tier, begin) : is_usable(tier);
    if (!usable || !look_up(tier, key, ret)) {
        disk_count(&tier->counters.misses, 1);
        return BRISK_ERR_NOT_FOUND;
    }
    disk_count(&tier->counters.hits, 1);
    if (sampled) {
        uint64_t elapsed = brisk_clock_now_ns(tier->clock) - begin;
        pthread_mutex_lock(&tier->hist_lock);
        brisk_hist_record(tier->get_hist, elapsed);
        pthread_mutex_unlock(&tier->hist_lock);
    }
    return BRISK_OK;
}

/* --- put ------------------------------------------------------------------------------------- */

/* Append and publish under write_lock. */
static brisk_err store(disk_tier *tier, const disk_ways *ways, const disk_draft *draft)
{
    disk_need need = {.bytes = draft->size, .expires_at_ns = draft->record.expires_at_ns};
    disk_active *active = NULL;
    brisk_err err = disk_active_ready(tier, &need, &active);
    if (err != BRISK_OK) {
        return err;
    }
    disk_slot slot;
    err = disk_append(tier, active, draft->bytes, &need, &slot);
    if (err != BRISK_OK) {
        return err;
    }
    slot.large = draft->large;
    slot.tag = ways->tag;
    err = disk_publish(tier, ways, disk_slot_pack(tier, slot));
    if (err != BRISK_OK && active->id == slot.segment) {
        /* Our record may live without a slot: it must stay the last one of an unclosed segment. */
        active->odd = true;
        disk_active_close(tier, active);
    }
    return err;
}

/* Stop writing for a while; say so once. */
static void back_off(disk_tier *tier, brisk_err err)
{
    tier->reject_until_ns = brisk_clock_now_ns(tier->clock) + backoff_ns;
    disk_count(&tier->counters.errors, 1);
    brisk_log(BRISK_LOG_WARNING, "cache", "%s: cannot store: %s; not storing for %u s", tier->path,
              brisk_err_message(err), (unsigned int)(backoff_ns / UINT64_C(1000000000)));
}

static bool is_backing_off(const disk_tier *tier)
{
    return tier->reject_until_ns != 0 && brisk_clock_now_ns(tier->clock) < tier->reject_until_ns;
}

/* Whether the entry is none for this tier rather than the tier in trouble. */
static bool is_declined(brisk_err err)
{
    return err == BRISK_ERR_DECLINED || err == BRISK_ERR_LIMIT || err == BRISK_ERR_NOMEM;
}

/* The record in `draft`.  The file system may be full of others' files before the tier is: then its
 * own oldest segments make room, as they do within its bound. */
static brisk_err make_draft(disk_tier *tier, const brisk_key *key, brisk_value *value,
                            const brisk_entry_opts *opts, disk_draft *draft)
{
    brisk_err err = disk_draft_make(tier, key, value, opts, draft);
    for (int drops = 0; err == BRISK_ERR_FULL && drops < DROPS_MAX; drops++) {
        pthread_mutex_lock(&tier->write_lock);
        bool more = brisk_value_size(value) < tier->data_max && disk_room_drop(tier);
        pthread_mutex_unlock(&tier->write_lock);
        if (!more) {
            break;
        }
        err = disk_draft_make(tier, key, value, opts, draft);
    }
    return err;
}

/* The segment that the value's file belongs to may have made room for the record. */
static bool has_lost_file(const disk_tier *tier, const disk_draft *draft)
{
    return draft->large && disk_entry_find(tier, draft->ref.segment) == NULL;
}

/* All that needs write_lock.  Whatever fails, the old value is withdrawn. */
static brisk_err store_or_forget(disk_tier *tier, const disk_ways *ways, disk_draft *draft,
                                 brisk_err err)
{
    pthread_mutex_lock(&tier->write_lock);
    if (err == BRISK_OK) {
        err = is_backing_off(tier) ? BRISK_ERR_DECLINED : store(tier, ways, draft);
        for (int drops = 0; err == BRISK_ERR_FULL && drops < DROPS_MAX && disk_room_drop(tier);
             drops++) {
            err = store(tier, ways, draft);
        }
        err = err == BRISK_OK && has_lost_file(tier, draft) ? BRISK_ERR_DECLINED : err;
    }
    if (err != BRISK_OK) {
        if (!is_declined(err)) {
            back_off(tier, err);
        }
        brisk_err forgotten = disk_forget(tier, ways);
        err = forgotten != BRISK_OK ? forgotten : err;
    } else {
        tier->reject_until_ns = 0;
        disk_moves_step(tier);
    }
    pthread_mutex_unlock(&tier->write_lock);
    return err == BRISK_ERR_LIMIT ? BRISK_ERR_DECLINED : err;
}

static brisk_err disk_put(brisk_tier *base, const brisk_key *key, brisk_value *value,
                          const brisk_entry_opts *opts)
{
    BRISK_ASSERT(key->size != 0 && key->size <= BRISK_KEY_BYTES_MAX);
    BRISK_ASSERT(opts == NULL ||
                 (opts->meta_size <= BRISK_TIER_META_MAX && opts->flags <= DISK_FLAGS_MAX));
    static const brisk_entry_opts no_opts;
    disk_tier *tier = disk_of(base);
    disk_count(&tier->counters.puts, 1);
    disk_ways ways = disk_ways_of(tier, key);
    disk_ways_prefetch(&ways); /* they come while the value is squeezed */
    uint64_t begin = brisk_clock_now_ns(tier->clock);
    if (!check_folder(tier, begin)) {
        disk_count(&tier->counters.rejects, 1);
        return BRISK_ERR_DECLINED;
    }
    disk_draft draft = {.scratch = disk_scratch_take(tier)};
    brisk_err err = BRISK_ERR_NOMEM;
    if (draft.scratch != NULL) {
        err = make_draft(tier, key, value, opts != NULL ? opts : &no_opts, &draft);
    }
    if (err == BRISK_OK) {
        disk_record_set_store(draft.bytes, brisk_clock_now_ns(tier->clock) - begin);
    }
    bool has_file = err == BRISK_OK && draft.large;
    err = store_or_forget(tier, &ways, &draft, err);
    brisk_err synced = disk_sync_wait(tier); /* also what was withdrawn */
    if (err == BRISK_OK && synced != BRISK_OK) {
        disk_count(&tier->counters.rejects, 1);
        err = synced; /* it is there, but nobody knows for how long */
    } else if (err == BRISK_OK) {
        disk_count(&tier->counters.raw_bytes, brisk_value_size(value));
        disk_count(&tier->counters.stored_bytes,
                   draft.large ? draft.ref.size : draft.record.stored_size);
    } else {
        disk_count(&tier->counters.rejects, 1);
        if (has_file) {
            disk_large_remove(tier, &draft.ref);
        }
    }
    disk_scratch_give(tier, draft.scratch);
    if (!tier->tended && disk_dict_is_due(tier)) {
        disk_dict_train(tier);
    }
    return err;
}

/* --- the rest -------------------------------------------------------------------------------- */

static brisk_err disk_remove(brisk_tier *base, const brisk_key *key)
{
    BRISK_ASSERT(key->size != 0 && key->size <= BRISK_KEY_BYTES_MAX);
    disk_tier *tier = disk_of(base);
    disk_count(&tier->counters.removes, 1);
    if (!check_folder(tier, brisk_clock_now_ns(tier->clock))) {
        return BRISK_OK; /* every get is a miss */
    }
    disk_ways ways = disk_ways_of(tier, key);
    pthread_mutex_lock(&tier->write_lock);
    brisk_err err = disk_forget(tier, &ways);
    pthread_mutex_unlock(&tier->write_lock);
    brisk_err synced = disk_sync_wait(tier);
    return err != BRISK_OK ? err : synced;
}

static brisk_err disk_clear(brisk_tier *base)
{
    disk_tier *tier = disk_of(base);
    if (!check_folder(tier, brisk_clock_now_ns(tier->clock))) {
        return BRISK_OK;
    }
    pthread_mutex_lock(&tier->write_lock);
    brisk_err err = disk_drop_all(tier);
    tier->reject_until_ns = 0;
    pthread_mutex_unlock(&tier->write_lock);
    brisk_err synced = disk_sync_wait(tier);
    return err != BRISK_OK ? err : synced;
}

bool brisk_disk_tier_tend(brisk_tier *base, uint64_t budget_bytes)
{
    BRISK_ASSERT(base->ops == &disk_tier_ops);
    disk_tier *tier = disk_of(base);
    if (!check_folder(tier, brisk_clock_now_ns(tier->clock)) ||
        pthread_mutex_trylock(&tier->tend_lock) != 0) {
        return false;
    }
    bool more = disk_tend(tier, budget_bytes);
    pthread_mutex_unlock(&tier->tend_lock);
    return more;
}

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void disk_read_stats(brisk_tier *base, brisk_tier_stats *ret)
{
    disk_tier *tier = disk_of(base);
    const disk_counters *counters = &tier->counters;
    *ret = (brisk_tier_stats){
        .hits = read_counter(&counters->hits),
        .misses = read_counter(&counters->misses),
        .puts = read_counter(&counters->puts),
        .removes = read_counter(&counters->removes),
        .evictions = read_counter(&counters->evictions),
        .expired = read_counter(&counters->expired),
        .rejects = read_counter(&counters->rejects),
        .corrupt = read_counter(&counters->corrupt),
        .errors = read_counter(&counters->errors),
        .entries = disk_slots_used(tier),
        .bytes = disk_bytes_held(tier),
        .bytes_max = tier->bytes_max,
        .raw_bytes = read_counter(&counters->raw_bytes),
        .stored_bytes = read_counter(&counters->stored_bytes),
        .evicted_room = read_counter(&counters->room),
        .evicted_expired = read_counter(&counters->out_of_date),
        .evicted_displaced = read_counter(&counters->displaced),
        .evicted_damaged = read_counter(&counters->damaged),
        .reinserted = read_counter(&counters->reinserted),
        .compacted = read_counter(&counters->compacted),
        .compacted_bytes = read_counter(&counters->compacted_bytes),
        .syncs = read_counter(&counters->syncs),
        .dictionary = disk_dict_newest(tier),
        .dictionary_gain_permille =
            atomic_load_explicit(&tier->trainer.gain_permille, memory_order_relaxed),
    };
    pthread_mutex_lock(&tier->hist_lock);
    if (brisk_hist_count(tier->get_hist) != 0) {
        ret->get_p50_ns = brisk_hist_quantile(tier->get_hist, 0.5);
        ret->get_p99_ns = brisk_hist_quantile(tier->get_hist, 0.99);
    }
    pthread_mutex_unlock(&tier->hist_lock);
}

static void disk_destroy(brisk_tier *base)
{
    disk_tier_close(disk_of(base));
}

static const char *disk_folder(const brisk_tier *base)
{
    return ((const disk_tier *)base)->path;
}

const brisk_tier_ops disk_tier_ops = {
    .folder = disk_folder,
    .get = disk_get,
    .put = disk_put,
    .remove = disk_remove,
    .clear = disk_clear,
    .read_stats = disk_read_stats,
    .destroy = disk_destroy,
};
