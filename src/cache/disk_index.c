/*
 * disk_index.c -- the shared mapped index: slots of one word each.
 *
 *     63      56 55   41  40   39      23 22       0
 *     check : 8 | tag  |large| segment   | offset/8 |
 *
 * A key has two buckets of eight slots and a tag of 15 bits; a slot is only ever changed as a whole
 * word, by compare-and-swap, so no killed process leaves half of one.  Slots name places in files,
 * and places are never used twice, so a word that was read is either still there or will never
 * come again: compare-and-swap has no ABA problem here.  `check` is a CRC-8 of the other 56 bits
 * and finds every damage of up to three bits.
 *
 * Who writes reads the records of slots with his tag and leaves alone only those that are certainly
 * another key's: whole, undamaged, live.  What cannot be read is withdrawn with the key's own; that
 * is one miss too many at worst.
 */
#include <string.h>
#include <unistd.h>

#include <brisk/log.h>

#include "base/assert.h"
#include "cache/disk.h"

enum {
    OFFSET_BITS = 23,
    LARGE_SHIFT = OFFSET_BITS + DISK_SEGMENT_ID_BITS,
    CHECK_SHIFT = 56,
    CRC_POLY = 0x07,
    LOOK_BYTES = 2048,
    INDEX_VERSION = 2,
    PUBLISH_TRIES = 1000,
};

#define CONTENT_MASK ((UINT64_C(1) << CHECK_SHIFT) - 1)
#define OFFSET_MASK  ((UINT64_C(1) << OFFSET_BITS) - 1)
#define SLOTS_MAX    (UINT64_C(1) << 32)

static_assert((int)LARGE_SHIFT + 1 == (int)DISK_TAG_SHIFT, "no holes");
static_assert((int)DISK_TAG_SHIFT + (int)DISK_TAG_BITS == (int)CHECK_SHIFT, "a slot is full");
static_assert(DISK_SEGMENT_BYTES_MAX / DISK_RECORD_ALIGN == 1 << OFFSET_BITS, "offsets fit");

/* --- the file ------------------------------------------------------------------------------ */

disk_index_shape disk_index_shape_of(uint64_t slot_count, uint32_t segment_count)
{
    uint64_t slots_at = DISK_INDEX_PAGE + (uint64_t)segment_count * sizeof(disk_entry);
    slots_at = (slots_at + DISK_INDEX_PAGE - 1) & ~(uint64_t)(DISK_INDEX_PAGE - 1);
    return (disk_index_shape){.slot_count = slot_count,
                              .segment_count = segment_count,
                              .slots_at = slots_at,
                              .hot_at = slots_at + slot_count * sizeof(uint64_t),
                              .size = slots_at + slot_count * sizeof(uint64_t) +
                                      slot_count / DISK_BUCKET_SLOTS * sizeof(uint16_t)};
}

void disk_index_header_make(disk_index_header *header, const disk_index_shape *shape, uint64_t seed)
{
    header->magic = DISK_INDEX_MAGIC;
    header->version = INDEX_VERSION;
    header->segment_count = shape->segment_count;
    header->slot_count = shape->slot_count;
    header->seed_check = brisk_hash64(&header->magic, sizeof header->magic, seed);
    header->checksum = brisk_hash64(header, offsetof(disk_index_header, checksum), seed);
    atomic_init(&header->next_segment, 1);
}

bool disk_index_header_ok(const disk_index_header *header, uint64_t file_size, uint64_t seed,
                          disk_index_shape *ret)
{
    if (header->magic != DISK_INDEX_MAGIC || header->version != INDEX_VERSION ||
        header->checksum != brisk_hash64(header, offsetof(disk_index_header, checksum), seed)) {
        return false;
    }
    uint64_t slots = header->slot_count;
    if (slots < DISK_WAYS || slots > SLOTS_MAX || (slots & (slots - 1)) != 0 ||
        header->segment_count == 0 || header->segment_count > DISK_SEGMENTS_MAX) {
        return false;
    }
    disk_index_shape shape = disk_index_shape_of(slots, header->segment_count);
    if (shape.size != file_size) {
        return false;
    }
    *ret = shape;
    return true;
}

/* --- slots --------------------------------------------------------------------------------- */

static unsigned char crc_byte(unsigned int crc)
{
    for (int bit = 0; bit < 8; bit++) {
        crc = (crc & 0x80) != 0 ? (crc << 1) ^ CRC_POLY : crc << 1;
    }
    return (unsigned char)crc;
}

/* crc[i][b]: what byte b at place i adds; the CRC is linear, so the seven look-ups are xored. */
void disk_crc_init(unsigned char crc[DISK_CRC_BYTES][256])
{
    for (unsigned int b = 0; b < 256; b++) {
        crc[0][b] = crc_byte(b);
        for (int i = 1; i < DISK_CRC_BYTES; i++) {
            crc[i][b] = crc_byte(crc[i - 1][b]);
        }
    }
}

static uint64_t check_of(const disk_tier *tier, uint64_t word)
{
    unsigned int crc = 0;
    for (int i = 0; i < DISK_CRC_BYTES; i++) {
        crc ^= tier->crc[i][(word >> (8 * i)) & 0xff];
    }
    return crc;
}

uint64_t disk_slot_pack(const disk_tier *tier, disk_slot slot)
{
    uint64_t word = slot.offset / DISK_RECORD_ALIGN | (uint64_t)slot.segment << OFFSET_BITS |
                    (uint64_t)slot.large << LARGE_SHIFT | (uint64_t)slot.tag << DISK_TAG_SHIFT;
    return word | check_of(tier, word) << CHECK_SHIFT;
}

bool disk_slot_ok(const disk_tier *tier, uint64_t word)
{
    return word >> CHECK_SHIFT == check_of(tier, word & CONTENT_MASK);
}

disk_slot disk_slot_unpack(uint64_t word)
{
    return (disk_slot){.segment = (uint32_t)(word >> OFFSET_BITS) & DISK_SEGMENT_ID_MAX,
                       .offset = (uint32_t)(word & OFFSET_MASK) * DISK_RECORD_ALIGN,
                       .large = (word >> LARGE_SHIFT & 1) != 0,
                       .tag = disk_slot_tag(word)};
}

disk_ways disk_ways_of(const disk_tier *tier, const brisk_key *key)
{
    brisk_hash128 hash = key->hash;
    uint64_t first = hash.lo & tier->bucket_mask;
    uint64_t second = hash.lo >> 32 & tier->bucket_mask;
    return (disk_ways){.bucket = {tier->slots + first * DISK_BUCKET_SLOTS,
                                  tier->slots + second * DISK_BUCKET_SLOTS},
                       .count = first == second ? DISK_BUCKET_SLOTS : DISK_WAYS,
                       .tag = (uint16_t)(hash.hi >> (64 - DISK_TAG_BITS)),
                       .key = key};
}

/* --- withdrawing ---------------------------------------------------------------------------- */

static void remove_large(disk_tier *tier, int fd, disk_slot slot)
{
    /* A key that does not fit here leaves its file until the segment goes. */
    unsigned char bytes[4096];
    brisk_err err = BRISK_OK;
    size_t size = disk_pread_some(tier, fd, (disk_span){bytes, sizeof bytes}, slot.offset, &err);
    disk_place place = {.seed = tier->seed, .segment = slot.segment, .offset = slot.offset};
    disk_record record;
    if (disk_record_check(bytes, size, &place, &record) == DISK_RECORD_OK &&
        record.codec == DISK_FILE) {
        disk_file_ref ref;
        memcpy(&ref, record.value, sizeof ref);
        disk_large_remove(tier, &ref);
    }
}

/* The mark could not be set: without the whole segment the record cannot come back either. */
static brisk_err unlink_instead(disk_tier *tier, uint32_t id)
{
    char name[DISK_NAME_MAX];
    disk_segment_name(name, id);
    disk_count(&tier->counters.errors, 1);
    brisk_log(BRISK_LOG_WARNING, "cache", "%s/%s: cannot be written, dropping it", tier->path,
              name);
    disk_active *active = disk_active_find(tier, id);
    if (active != NULL) {
        active->odd = true;
        disk_active_close(tier, active);
    }
    int failed = unlinkat(tier->dir_fd, name, 0);
    atomic_fetch_add_explicit(&tier->header->gone, 1, memory_order_seq_cst);
    return failed == 0 ? BRISK_OK : BRISK_ERR_IO;
}

brisk_err disk_kill(disk_tier *tier, uint64_t word)
{
    static const uint32_t dead = DISK_RECORD_DEAD;
    disk_slot slot = disk_slot_unpack(word);
    disk_pin pin;
    brisk_err err = disk_fd_pin(tier, slot.segment, &pin);
    if (err == BRISK_ERR_NOT_FOUND) {
        /* Somebody removed it and perhaps died before he could say so. */
        atomic_fetch_add_explicit(&tier->header->gone, 1, memory_order_seq_cst);
        return BRISK_OK;
    }
    if (err != BRISK_OK) {
        return err;
    }
    if (slot.large) {
        remove_large(tier, pin.fd, slot);
    }
    err = disk_pwrite_all(tier, pin.fd, &dead, sizeof dead, slot.offset);
    disk_fd_unpin(&pin);
    if (err != BRISK_OK) {
        return unlink_instead(tier, slot.segment);
    }
    disk_entry *entry = disk_entry_find(tier, slot.segment);
    if (entry != NULL) {
        atomic_fetch_add_explicit(&entry->dead, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&entry->kills, 1, memory_order_seq_cst); /* before the slot */
    }
    return BRISK_OK;
}

/* Kill `word`'s record.  The first error is kept in *err, as the slot must change in any case. */
void disk_withdraw(disk_tier *tier, uint64_t word, brisk_err *err)
{
    brisk_err mark = disk_mark_unclean(tier);
    brisk_err kill = disk_kill(tier, word);
    if (kill != BRISK_OK) {
        disk_mark_tainted(tier); /* a live record without a slot: no rebuild may find it */
    }
    if (*err == BRISK_OK) {
        *err = mark != BRISK_OK ? mark : kill;
    }
}

bool disk_swap(_Atomic uint64_t *slot, uint64_t from, uint64_t to)
{
    /* Sequentially consistent, as the loads in look are: of two processes that put one new key
     * into different slots at least one must see the other's (disk.c, rule 6). */
    return atomic_compare_exchange_strong_explicit(slot, &from, to, memory_order_seq_cst,
                                                   memory_order_relaxed);
}

brisk_err disk_retire(disk_tier *tier, _Atomic uint64_t *slot, uint64_t word)
{
    brisk_err err = BRISK_OK;
    disk_withdraw(tier, word, &err);
    (void)disk_swap(slot, word, 0);
    return err;
}

void disk_slot_damaged(disk_tier *tier, _Atomic uint64_t *slot, uint64_t word)
{
    disk_count(&tier->counters.corrupt, 1);
    brisk_log(BRISK_LOG_WARNING, "cache", "%s/index: a slot is damaged, emptying it", tier->path);
    disk_mark_tainted(tier);
    (void)disk_swap(slot, word, 0);
}

/* Whether a whole, undamaged record is live and of another key. */
static bool is_live_other(const disk_record *record, const brisk_key *key)
{
    return record->live &&
           (record->key_size != key->size || memcmp(record->key, key->bytes, key->size) != 0);
}

/* The same for a record of `size` bytes, of which more must be read than fits the stack. */
static bool is_long_other(disk_tier *tier, const disk_place *place, uint64_t size,
                          const brisk_key *key)
{
    bool other = false;
    disk_pin pin;
    disk_scratch *scratch = disk_scratch_take(tier);
    if (scratch != NULL && disk_scratch_reserve(tier, scratch, (size_t)size) == BRISK_OK &&
        disk_fd_pin(tier, place->segment, &pin) == BRISK_OK) {
        brisk_err err = BRISK_OK;
        disk_span whole = {.data = scratch->buffer, .size = (size_t)size};
        size_t have = disk_pread_some(tier, pin.fd, whole, place->offset, &err);
        disk_fd_unpin(&pin);
        disk_record record;
        other = disk_record_check(scratch->buffer, have, place, &record) == DISK_RECORD_OK &&
                is_live_other(&record, key);
    }
    disk_scratch_give(tier, scratch);
    return other;
}

bool disk_is_other_key(disk_tier *tier, uint64_t word, const brisk_key *key)
{
    unsigned char bytes[LOOK_BYTES];
    disk_slot slot = disk_slot_unpack(word);
    disk_place place = {.seed = tier->seed, .segment = slot.segment, .offset = slot.offset};
    disk_pin pin;
    if (disk_fd_pin(tier, slot.segment, &pin) != BRISK_OK) {
        return false;
    }
    disk_record mapped;
    if (disk_pin_record(&pin, &place, &mapped)) {
        bool other = is_live_other(&mapped, key);
        bool whole = disk_pin_is_whole(&pin);
        if (whole) {
            disk_fd_unpin(&pin);
            return other;
        }
    }
    ssize_t have = tier->sys->pread(pin.fd, bytes, sizeof bytes, (off_t)slot.offset);
    disk_fd_unpin(&pin);
    if (have < 0) {
        return false;
    }
    disk_record record;
    disk_verdict verdict = disk_record_check(bytes, (size_t)have, &place, &record);
    if (verdict != DISK_RECORD_MORE || (size_t)have != sizeof bytes) {
        return verdict == DISK_RECORD_OK && is_live_other(&record, key);
    }
    /* Most often our own older value, and its key, though unchecked, says so. */
    size_t seen = (size_t)(bytes + sizeof bytes - record.key);
    bool like_ours = record.key_size == key->size && key->size <= seen &&
                     memcmp(record.key, key->bytes, key->size) == 0;
    return !like_ours && is_long_other(tier, &place, record.size, key);
}

/* What a walk over the ways of a key finds. */
typedef struct look_result {
    _Atomic uint64_t *match; /* the key's first, or NULL */
    uint64_t match_word;
    uint32_t match_at;
    _Atomic uint64_t *empty; /* the first empty one, or NULL */
    _Atomic uint64_t *oldest;
    uint64_t oldest_word;
} look_result;

/* Look at all ways but `skip`; damaged ones are emptied. */
static look_result look(disk_tier *tier, const disk_ways *ways, const _Atomic uint64_t *skip)
{
    look_result found = {0};
    for (uint32_t i = 0; i < ways->count; i++) {
        _Atomic uint64_t *slot = disk_way(ways, i);
        if (slot == skip) {
            continue;
        }
        uint64_t word = atomic_load_explicit(slot, memory_order_seq_cst);
        if (word != 0 && !disk_slot_ok(tier, word)) {
            disk_slot_damaged(tier, slot, word);
            word = atomic_load_explicit(slot, memory_order_seq_cst);
        }
        if (word == 0) {
            found.empty = found.empty != NULL ? found.empty : slot;
        } else if (disk_slot_tag(word) == ways->tag && !disk_is_other_key(tier, word, ways->key)) {
            if (found.match == NULL) {
                found.match = slot;
                found.match_word = word;
                found.match_at = i;
            }
        } else if (found.oldest == NULL ||
                   disk_slot_unpack(word).segment < disk_slot_unpack(found.oldest_word).segment) {
            found.oldest = slot;
            found.oldest_word = word;
        }
    }
    return found;
}

brisk_err disk_forget(disk_tier *tier, const disk_ways *ways)
{
    brisk_err err = BRISK_OK;
    for (int tries = 0; tries < PUBLISH_TRIES; tries++) {
        look_result found = look(tier, ways, NULL);
        if (found.match == NULL) {
            return err;
        }
        disk_withdraw(tier, found.match_word, &err);
        (void)disk_swap(found.match, found.match_word, 0);
    }
    return BRISK_ERR_CONFLICT; /* others put the key a thousand times meanwhile */
}

/* Put `word` into one of the ways; NULL when others were always faster. */
static _Atomic uint64_t *place_word(disk_tier *tier, const disk_ways *ways, uint64_t word,
                                    brisk_err *err)
{
    for (int tries = 0; tries < PUBLISH_TRIES; tries++) {
        look_result found = look(tier, ways, NULL);
        if (found.match != NULL) {
            disk_withdraw(tier, found.match_word, err);
            if (disk_swap(found.match, found.match_word, word)) {
                disk_hot_clear(tier, (uint64_t)(found.match - tier->slots));
                return found.match;
            }
        } else if (found.empty != NULL) {
            if (disk_swap(found.empty, 0, word)) {
                disk_hot_clear(tier, (uint64_t)(found.empty - tier->slots));
                return found.empty;
            }
        } else if (found.oldest != NULL) {
            /* Killed first: no record that lives may be without a slot. */
            disk_withdraw(tier, found.oldest_word, err);
            if (disk_swap(found.oldest, found.oldest_word, word)) {
                disk_count(&tier->counters.evictions, 1);
                disk_count(&tier->counters.displaced, 1);
                disk_hot_clear(tier, (uint64_t)(found.oldest - tier->slots));
                return found.oldest;
            }
        }
    }
    return NULL;
}

static uint32_t way_number(const disk_ways *ways, const _Atomic uint64_t *slot)
{
    uint32_t i = 0;
    while (i < ways->count && disk_way(ways, i) != slot) {
        i++;
    }
    return i;
}

brisk_err disk_publish(disk_tier *tier, const disk_ways *ways, uint64_t word)
{
    brisk_err err = BRISK_OK;
    _Atomic uint64_t *mine = place_word(tier, ways, word, &err);
    if (mine == NULL) {
        disk_withdraw(tier, word, &err);
        return BRISK_ERR_CONFLICT;
    }
    for (int tries = 0; tries < PUBLISH_TRIES && err == BRISK_OK; tries++) {
        look_result found = look(tier, ways, mine);
        if (found.match == NULL) {
            return BRISK_OK;
        }
        if (found.match_at < way_number(ways, mine)) {
            /* The first one counts: the other put came after ours. */
            return disk_retire(tier, mine, word);
        }
        err = disk_retire(tier, found.match, found.match_word);
    }
    if (err != BRISK_OK) {
        /* What we put in place of may come back one day, so the caller is told; see disk.c. */
        brisk_err ignored = disk_retire(tier, mine, word);
        (void)ignored;
    }
    return err;
}

/* --- all slots ------------------------------------------------------------------------------- */

uint64_t disk_slots_clear(disk_tier *tier, uint32_t id)
{
    uint64_t cleared = 0;
    uint64_t count = (tier->bucket_mask + 1) * DISK_BUCKET_SLOTS;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t word = atomic_load_explicit(&tier->slots[i], memory_order_relaxed);
        if (word != 0 && (id == 0 || disk_slot_unpack(word).segment == id) &&
            disk_swap(&tier->slots[i], word, 0)) {
            cleared++;
        }
    }
    return cleared;
}

uint64_t disk_slots_used(const disk_tier *tier)
{
    uint64_t used = 0;
    uint64_t count = (tier->bucket_mask + 1) * DISK_BUCKET_SLOTS;
    for (uint64_t i = 0; i < count; i++) {
        used += atomic_load_explicit(&tier->slots[i], memory_order_relaxed) != 0;
    }
    return used;
}
