/*
 * memory_table.c -- the writing side of directory, segments and buckets.
 *
 * Invariants
 *
 *   1. An entry whose home bucket is h and whose place is b was counted in `passed` by each bucket
 *      of the ring from h up to but not including b; a count that reached TABLE_PASSED_MAX stays.
 *   2. All words of the current directory that share a segment's prefix are the same word.
 *   3. counts[] of a segment is how many slots are taken in it.
 *
 * A split fills two new segments rather than changing the old one, which readers may be in.
 */
#include "cache/memory_table.h"
#include "base/assert.h"

enum {
    NUMBER_SHIFT = 32,
    PASSED_SHIFT = 56,
};

static const uint64_t number_mask = (UINT64_C(1) << 24) - 1;

static uint64_t load_word(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void store_word(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release); /* pairs with the readers' acquire */
}

/* --- buckets -------------------------------------------------------------------------------- */

static void step_number(memory_bucket *bucket)
{
    uint64_t more = load_word(&bucket->more);
    uint64_t number = (more >> NUMBER_SHIFT) + 1;
    more &= ~(number_mask << NUMBER_SHIFT);
    store_word(&bucket->more, more | (number & number_mask) << NUMBER_SHIFT);
}

static void set_tag(memory_bucket *bucket, uint32_t slot, uint8_t tag)
{
    _Atomic uint64_t *word = slot < 8 ? &bucket->tags : &bucket->more;
    uint32_t shift = slot % 8 * 8;
    store_word(word, (load_word(word) & ~(UINT64_C(255) << shift)) | (uint64_t)tag << shift);
}

static void change_passed(memory_bucket *bucket, uint32_t change)
{
    uint64_t more = load_word(&bucket->more);
    uint32_t passed = table_passed(more);
    if (passed != TABLE_PASSED_MAX) {
        step_number(bucket);
        uint64_t low = load_word(&bucket->more) & ((UINT64_C(1) << PASSED_SHIFT) - 1);
        store_word(&bucket->more, low | (uint64_t)(passed + change) << PASSED_SHIFT);
        step_number(bucket);
    }
}

static uint32_t line_at(const memory_bucket *bucket, uint32_t slot)
{
    return atomic_load_explicit(&bucket->lines[slot], memory_order_relaxed);
}

static bool is_taken(const memory_bucket *bucket, uint32_t slot)
{
    return line_at(bucket, slot) != TABLE_EMPTY;
}

/* An empty slot, or BUCKET_SLOTS. */
static uint32_t empty_slot(const memory_bucket *bucket)
{
    uint32_t slot = 0;
    while (slot < BUCKET_SLOTS && is_taken(bucket, slot)) {
        slot++;
    }
    return slot;
}

static void set_slot(memory_bucket *bucket, uint32_t slot, uint8_t tag, uint32_t line)
{
    step_number(bucket);
    atomic_store_explicit(&bucket->lines[slot], line, memory_order_release);
    set_tag(bucket, slot, tag);
    step_number(bucket);
}

/* --- segments ------------------------------------------------------------------------------- */

static uint32_t current_depth(const memory_table *table)
{
    return table_view_depth(atomic_load_explicit(&table->view, memory_order_relaxed));
}

static uint64_t word_of(const memory_table *table, uint64_t hash)
{
    uint64_t view = atomic_load_explicit(&table->view, memory_order_relaxed);
    return load_word(&table->directory[table_view_index(view, hash)]);
}

static uint16_t *count_of(const memory_table *table, uint32_t first)
{
    return &table->counts[first >> table->segment_shift];
}

void table_clear_segment(memory_table *table, uint32_t first)
{
    memory_bucket *buckets = table_segment(table, first);
    for (uint32_t i = 0; i <= table->bucket_mask; i++) {
        store_word(&buckets[i].tags, 0);
        store_word(&buckets[i].more, 0);
        for (uint32_t slot = 0; slot < BUCKET_SLOTS; slot++) {
            atomic_store_explicit(&buckets[i].lines[slot], TABLE_EMPTY, memory_order_release);
        }
    }
    *count_of(table, first) = 0;
}

/* Put an entry into the segment; false when it has no slot. */
static bool segment_insert(memory_table *table, uint32_t first, uint64_t hash, uint32_t line)
{
    memory_bucket *buckets = table_segment(table, first);
    uint32_t at = table_bucket_bits(hash) & table->bucket_mask;
    if (*count_of(table, first) == (table->bucket_mask + 1) * BUCKET_SLOTS) {
        return false;
    }
    for (;;) {
        memory_bucket *bucket = &buckets[at];
        uint32_t slot = empty_slot(bucket);
        if (slot != BUCKET_SLOTS) {
            set_slot(bucket, slot, table_tag(hash), line);
            ++*count_of(table, first);
            return true;
        }
        change_passed(bucket, 1);
        at = (at + 1) & table->bucket_mask;
    }
}

typedef void each_fn(void *ctx, uint32_t line);

static void segment_each(const memory_table *table, uint32_t first, each_fn *fn, void *ctx)
{
    const memory_bucket *buckets = table_segment(table, first);
    for (uint32_t i = 0; i <= table->bucket_mask; i++) {
        for (uint32_t slot = 0; slot < BUCKET_SLOTS; slot++) {
            if (is_taken(&buckets[i], slot)) {
                fn(ctx, line_at(&buckets[i], slot));
            }
        }
    }
}

/* --- directory ------------------------------------------------------------------------------ */

/* Let all words of the prefix of `depth` bits that `spread` has show the segment. */
static void publish(memory_table *table, uint32_t spread, uint32_t depth, uint32_t first)
{
    uint32_t all = current_depth(table);
    uint64_t word = (uint64_t)depth << 32 | first;
    size_t count = (size_t)1 << (all - depth);
    size_t from = table_word_index(spread, 32 - all) & ~(count - 1);
    for (size_t i = 0; i < count; i++) {
        store_word(&table->directory[from + i], word);
    }
}

/* Release: whoever sees the view sees its directory. */
static void set_view(memory_table *table, uint32_t changes, uint32_t depth)
{
    atomic_store_explicit(&table->view, table_view_of(changes, depth), memory_order_release);
}

/* What the directory showed until now may be used for something else after this. */
static void count_change(memory_table *table)
{
    uint32_t changes =
        table_view_changes(atomic_load_explicit(&table->view, memory_order_relaxed)) + 1;
    /* What comes after it comes after: see set_view. */
    set_view(table, changes != 0 ? changes : 1, current_depth(table));
}

void table_begin(memory_table *table, uint32_t first)
{
    uint64_t view = atomic_load_explicit(&table->view, memory_order_relaxed);
    set_view(table, table_view_changes(view), 0);
    publish(table, 0, 0, first);
    count_change(table);
}

static bool deepen(memory_table *table)
{
    uint64_t view = atomic_load_explicit(&table->view, memory_order_relaxed);
    uint32_t depth = table_view_depth(view);
    if (depth == table->depth_max) {
        return false;
    }
    size_t words = (size_t)1 << depth;
    for (size_t i = 0; i < words; i++) {
        uint64_t word = load_word(&table->directory[words + i]);
        store_word(&table->directory[2 * (words + i)], word);
        store_word(&table->directory[2 * (words + i) + 1], word);
    }
    set_view(table, table_view_changes(view), depth + 1);
    return true;
}

/* --- entries -------------------------------------------------------------------------------- */

bool table_find(const memory_table *table, uint64_t hash, bool (*same)(void *ctx, uint32_t line),
                void *ctx, table_place *ret)
{
    memory_bucket *buckets = table_segment(table, word_of(table, hash));
    uint32_t at = table_bucket_bits(hash) & table->bucket_mask;
    for (uint32_t probes = 0; probes <= table->bucket_mask; probes++) {
        memory_bucket *bucket = &buckets[at];
        uint64_t more = load_word(&bucket->more);
        uint32_t found = table_match(load_word(&bucket->tags), more, table_tag(hash));
        for (; found != 0; found &= found - 1) {
            uint32_t slot = (uint32_t)__builtin_ctz(found);
            uint32_t line = line_at(bucket, slot);
            if (line != TABLE_EMPTY && same(ctx, line)) {
                *ret = (table_place){.bucket = bucket, .slot = slot, .line = line};
                return true;
            }
        }
        if (table_passed(more) == 0) {
            return false;
        }
        at = (at + 1) & table->bucket_mask;
    }
    return false;
}

bool table_is_full(const memory_table *table, uint64_t hash)
{
    return *count_of(table, (uint32_t)word_of(table, hash)) >= table->full;
}

bool table_is_packed(const memory_table *table, uint64_t hash)
{
    uint32_t slots = (table->bucket_mask + 1) * BUCKET_SLOTS;
    return *count_of(table, (uint32_t)word_of(table, hash)) >= slots - slots / 32;
}

bool table_needs_depth(const memory_table *table, uint64_t hash)
{
    return table_word_depth(word_of(table, hash)) == current_depth(table);
}

bool table_neighbour(const memory_table *table, uint64_t hash, table_place *ret)
{
    memory_bucket *buckets = table_segment(table, word_of(table, hash));
    for (uint32_t i = 0; i <= table->bucket_mask; i++) {
        memory_bucket *bucket = &buckets[(table_bucket_bits(hash) + i) & table->bucket_mask];
        for (uint32_t slot = 0; slot < BUCKET_SLOTS; slot++) {
            if (is_taken(bucket, slot)) {
                *ret = (table_place){.bucket = bucket, .slot = slot, .line = line_at(bucket, slot)};
                return true;
            }
        }
    }
    return false;
}

bool table_insert(memory_table *table, uint64_t hash, uint32_t line)
{
    return segment_insert(table, (uint32_t)word_of(table, hash), hash, line);
}

void table_remove(memory_table *table, uint64_t hash, table_place place)
{
    uint64_t word = word_of(table, hash);
    memory_bucket *buckets = table_segment(table, word);
    BRISK_ASSERT(place.bucket >= buckets && place.bucket <= buckets + table->bucket_mask);
    set_slot(place.bucket, place.slot, 0, TABLE_EMPTY);
    uint32_t at = table_bucket_bits(hash) & table->bucket_mask;
    for (; &buckets[at] != place.bucket; at = (at + 1) & table->bucket_mask) {
        change_passed(&buckets[at], UINT32_MAX); /* one less */
    }
    --*count_of(table, (uint32_t)word);
}

void table_repoint(memory_table *table, table_place place, uint32_t line)
{
    (void)table;
    step_number(place.bucket);
    atomic_store_explicit(&place.bucket->lines[place.slot], line, memory_order_release);
    step_number(place.bucket);
}

void table_begin_change(table_place place)
{
    step_number(place.bucket);
}

void table_end_change(table_place place)
{
    step_number(place.bucket);
}

/* --- split and merge ------------------------------------------------------------------------ */

enum { BATCH = 32 };

/* Entries on their way into one or two segments, hashed a batch at a time for the misses. */
typedef struct mover {
    memory_table *table;
    uint32_t targets[2]; /* by the bit `bit` of the spread hash */
    uint32_t bit;
    table_hash_fn *hash_of;
    const void *ctx;
    uint32_t lines[BATCH];
    uint32_t count;
} mover;

static void flush_mover(mover *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        uint64_t hash = m->hash_of(m->ctx, m->lines[i]);
        uint32_t side = table_spread(hash) >> m->bit & 1;
        bool placed = segment_insert(m->table, m->targets[side], hash, m->lines[i]);
        BRISK_ASSERT(placed);
    }
    m->count = 0;
}

static void move_line(void *ctx, uint32_t line)
{
    mover *m = ctx;
    __builtin_prefetch(m->table->base + (size_t)line * 8);
    m->lines[m->count++] = line;
    if (m->count == BATCH) {
        flush_mover(m);
    }
}

uint32_t table_split(memory_table *table, uint64_t hash, const uint32_t given[2],
                     table_hash_fn *hash_of, const void *ctx)
{
    uint64_t word = word_of(table, hash);
    uint32_t depth = table_word_depth(word);
    if (depth == current_depth(table) && !deepen(table)) {
        return UINT32_MAX;
    }
    mover m = {
        .table = table,
        .targets = {given[0], given[1]},
        .bit = 31 - depth,
        .hash_of = hash_of,
        .ctx = ctx,
    };
    table_clear_segment(table, given[0]);
    table_clear_segment(table, given[1]);
    segment_each(table, (uint32_t)word, move_line, &m);
    flush_mover(&m);
    uint32_t spread = table_spread(hash) & ~(UINT32_C(1) << m.bit);
    publish(table, spread, depth + 1, given[0]);
    publish(table, spread | UINT32_C(1) << m.bit, depth + 1, given[1]);
    count_change(table);
    return (uint32_t)word;
}

uint32_t table_merge(memory_table *table, uint64_t hash, table_hash_fn *hash_of, const void *ctx)
{
    uint64_t word = word_of(table, hash);
    uint32_t depth = table_word_depth(word);
    uint32_t spread = table_spread(hash);
    if (depth == 0 || *count_of(table, (uint32_t)word) > table->full / 3) {
        return UINT32_MAX;
    }
    uint32_t half = UINT32_C(1) << (32 - depth);
    size_t other = table_word_index(spread ^ half, 32 - current_depth(table));
    uint64_t from = load_word(&table->directory[other]);
    if (table_word_depth(from) != depth || *count_of(table, (uint32_t)from) > table->full / 3) {
        return UINT32_MAX;
    }
    /* Entries are in both for a moment; the word that shows only one then says so at once. */
    mover m = {
        .table = table,
        .targets = {(uint32_t)word, (uint32_t)word},
        .hash_of = hash_of,
        .ctx = ctx,
    };
    segment_each(table, (uint32_t)from, move_line, &m);
    flush_mover(&m);
    publish(table, spread, depth - 1, (uint32_t)word);
    count_change(table);
    return (uint32_t)from;
}

bool table_is_valid(const memory_table *table, uint64_t *segments, uint64_t *entries)
{
    uint32_t all = current_depth(table);
    size_t words = (size_t)1 << all;
    *segments = 0;
    *entries = 0;
    for (size_t i = 0; i < words;) {
        uint64_t word = load_word(&table->directory[words + i]);
        size_t span = (size_t)1 << (all - table_word_depth(word));
        if (table_word_depth(word) > all || i % span != 0) {
            return false;
        }
        for (size_t j = 0; j < span; j++) {
            if (load_word(&table->directory[words + i + j]) != word) {
                return false;
            }
        }
        const memory_bucket *buckets = table_segment(table, word);
        uint32_t taken = 0;
        for (uint32_t b = 0; b <= table->bucket_mask; b++) {
            for (uint32_t slot = 0; slot < BUCKET_SLOTS; slot++) {
                taken += is_taken(&buckets[b], slot);
            }
        }
        if (taken != *count_of(table, (uint32_t)word)) {
            return false;
        }
        ++*segments;
        *entries += taken;
        i += span;
    }
    return true;
}
