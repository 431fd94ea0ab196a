/*
 * disk_walk.c -- the keys on disk, a few at a time.
 *
 * A walk goes through the index bucket by bucket and reads of each record the head and the key, not
 * the value.  So the record's checksum, which is of the whole, cannot be looked at; but a key says
 * by its hash in which buckets and under which tag it must stand, and one that does not stand there
 * is damaged, or another record took the place meanwhile.
 *
 * A key stays in its slot when its value is replaced or its record moves, so a walk meets everything
 * that is there all the time.
 */
#include <string.h>

#include "cache/disk.h"

enum { FIRST_READ = 512, SLOTS_A_VISIT = 64, SLOTS_MORE = 4096, TRIES = 3 };

typedef struct disk_walk {
    disk_tier *tier;
    uint64_t now_ns; /* wall clock */
    void (*visit)(void *ctx, const brisk_disk_visit *entry);
    void *ctx;
} disk_walk;

/* The key stands where its hash says. */
static bool is_at_home(const disk_tier *tier, const brisk_key *key, uint64_t at, uint16_t tag)
{
    disk_ways ways = disk_ways_of(tier, key);
    const _Atomic uint64_t *bucket = tier->slots + at / DISK_BUCKET_SLOTS * DISK_BUCKET_SLOTS;
    return ways.tag == tag && (ways.bucket[0] == bucket || ways.bucket[1] == bucket);
}

static bool show(const disk_walk *walk, const disk_record *record, uint64_t at, uint16_t tag)
{
    brisk_key key = brisk_key_of(record->key, record->key_size);
    bool over = record->expires_at_ns != 0 && record->expires_at_ns <= walk->now_ns;
    if (!record->live || over || !is_at_home(walk->tier, &key, at, tag)) {
        return false;
    }
    brisk_disk_visit entry = {
        .key = record->key, .key_size = record->key_size, .expires_at_ns = record->expires_at_ns};
    walk->visit(walk->ctx, &entry);
    return true;
}

/* A key that does not fit the first read. */
static bool show_long(const disk_walk *walk, int fd, const disk_place *place, uint64_t at,
                      uint16_t tag)
{
    disk_tier *tier = walk->tier;
    disk_scratch *scratch = disk_scratch_take(tier);
    enum { LONG_READ = DISK_RECORD_HEAD_MAX + BRISK_KEY_BYTES_MAX };
    bool shown = false;
    if (scratch != NULL && disk_scratch_reserve(tier, scratch, LONG_READ) == BRISK_OK) {
        brisk_err err = BRISK_OK;
        disk_span span = {.data = scratch->buffer, .size = LONG_READ};
        size_t have = disk_pread_some(tier, fd, span, place->offset, &err);
        disk_record record;
        disk_verdict verdict = disk_record_check(scratch->buffer, have, place, &record);
        bool has_key = verdict != DISK_RECORD_BAD && record.key != NULL &&
                       record.key_size <= (size_t)(scratch->buffer + have - record.key);
        shown = has_key && show(walk, &record, at, tag);
    }
    disk_scratch_give(tier, scratch);
    return shown;
}

/* What `word` of slot `at` says; false: nothing that could be shown. */
static bool visit_word(const disk_walk *walk, uint64_t word, uint64_t at)
{
    unsigned char bytes[FIRST_READ];
    disk_tier *tier = walk->tier;
    disk_slot slot = disk_slot_unpack(word);
    disk_place place = {.seed = tier->seed, .segment = slot.segment, .offset = slot.offset};
    disk_pin pin;
    if (disk_fd_pin(tier, slot.segment, &pin) != BRISK_OK) {
        return false;
    }
    bool shown = false;
    ssize_t have = tier->sys->pread(pin.fd, bytes, sizeof bytes, (off_t)slot.offset);
    disk_record record;
    if (have >= DISK_RECORD_FIXED &&
        disk_record_check(bytes, (size_t)have, &place, &record) != DISK_RECORD_BAD) {
        const unsigned char *end = bytes + have;
        bool fits = record.key < end && record.key_size <= (size_t)(end - record.key);
        shown = fits ? show(walk, &record, at, slot.tag)
                     : show_long(walk, pin.fd, &place, at, slot.tag);
    }
    disk_fd_unpin(&pin);
    return shown;
}

/* Again when somebody replaced or moved it meanwhile. */
static bool visit_slot(const disk_walk *walk, uint64_t at)
{
    uint64_t before = 0;
    for (int tries = 0; tries < TRIES; tries++) {
        uint64_t word = atomic_load_explicit(&walk->tier->slots[at], memory_order_acquire);
        if (word == 0 || word == before || !disk_slot_ok(walk->tier, word)) {
            return false;
        }
        if (visit_word(walk, word, at)) {
            return true;
        }
        before = word;
    }
    return false;
}

static bool is_usable(const disk_tier *tier)
{
    return atomic_load_explicit(tier->alive, memory_order_relaxed) != 0 &&
           !atomic_load_explicit(&tier->off, memory_order_relaxed);
}

static disk_walk walk_begin(brisk_tier *base,
                            void (*visit)(void *ctx, const brisk_disk_visit *entry), void *ctx)
{
    disk_tier *tier = (disk_tier *)base;
    return (disk_walk){
        .tier = tier, .now_ns = brisk_clock_wall_ns(tier->clock), .visit = visit, .ctx = ctx};
}

uint64_t brisk_disk_tier_scan(brisk_tier *tier, uint64_t cursor, uint32_t count,
                              void (*visit)(void *ctx, const brisk_disk_visit *entry), void *ctx)
{
    disk_walk walk = walk_begin(tier, visit, ctx);
    uint64_t buckets = walk.tier->bucket_mask + 1;
    uint64_t steps = ((uint64_t)count * SLOTS_A_VISIT + SLOTS_MORE) / DISK_BUCKET_SLOTS;
    uint32_t seen = 0;
    count = count != 0 ? count : 1;
    if (!is_usable(walk.tier)) {
        return 0;
    }
    for (; cursor < buckets && steps > 0 && seen < count; cursor++, steps--) {
        for (uint32_t i = 0; i < DISK_BUCKET_SLOTS; i++) {
            seen += visit_slot(&walk, cursor * DISK_BUCKET_SLOTS + i);
        }
    }
    return cursor < buckets ? cursor : 0;
}

bool brisk_disk_tier_random(brisk_tier *tier, uint64_t number,
                            void (*visit)(void *ctx, const brisk_disk_visit *entry), void *ctx)
{
    disk_walk walk = walk_begin(tier, visit, ctx);
    uint64_t slots = (walk.tier->bucket_mask + 1) * DISK_BUCKET_SLOTS;
    for (uint64_t i = 0; i < slots && is_usable(walk.tier); i++) {
        /* By a step that is odd: every slot once, and no slot follows a row of empty ones. */
        uint64_t at = (number + i * (number >> 32 | 1)) & (slots - 1);
        if (visit_slot(&walk, at)) {
            return true;
        }
    }
    return false;
}

uint64_t brisk_disk_tier_count(brisk_tier *tier)
{
    const disk_tier *disk = (const disk_tier *)tier;
    return is_usable(disk) ? disk_slots_used(disk) : 0;
}
