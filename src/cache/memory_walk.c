/*
 * memory_walk.c -- looking at entries without using them: info, expire, scan, random.
 *
 * Order of a walk.  Every entry has two numbers that only its key decides: the bucket b in which it
 * would like to be in whatever segment serves it, and its spread hash s.  A walk visits entries by
 * ascending (b, s), and a cursor is such a pair.  A step finds the segment that serves s now,
 * visits those of its entries whose bucket is b and whose hash is s or more, and goes on with
 * (b, end of the segment's range).  Splits and merges change only how far a step reaches.  So an
 * entry that is there all the time is visited in the step that passes its pair, whatever happens
 * to the table meanwhile, and never twice.
 *
 * Threads: any; visits under the lock.
 */
#include "base/assert.h"
#include "cache/memory_shard.h"
#include "cache/memory_use.h"
#include "cache/value_blocks.h"

enum {
    STEPS_PER_ENTRY = 8, /* empty buckets that a step of a walk may pass for each entry asked for */
    STEPS_MORE = 256,
    RANDOM_TRIES = 64,
};

static const uint64_t second_ns = UINT64_C(1000000000);

static void read_use(uint64_t word, brisk_entry_info *info)
{
    info->hits = use_hits(word);
    info->last_used_ns = use_last_s(word) * second_ns;
    uint64_t pause = use_pause_ms(word);
    info->next_use_ns = info->hits != 0 ? info->last_used_ns + pause * UINT64_C(1000000) : 0;
}

bool walk_read_info(const memory_shard *shard, uint32_t line, brisk_entry_info *ret)
{
    const unsigned char *cell = space_cell(&shard->space, line);
    cell_shape shape = cell_read_shape(cell);
    const brisk_value *value = cell_pointer(cell, &shape, CELL_VALUE);
    uint32_t cell_class = space_class_of(&shard->space, cell_bytes(&shape));
    brisk_entry_info info = {
        .size = value != NULL ? brisk_value_size(value) : shape.value_size,
        .held = shard_outside(&shape, value) + space_class_bytes(&shard->space, cell_class),
        .expires_at_ns = cell_field(cell, &shape, CELL_EXPIRY),
        .cost_ns = cell_field(cell, &shape, CELL_COST),
        .flags = shape.flags >> CELL_ENTRY_SHIFT & CELL_ENTRY_FLAGS,
        .meta_size = shape.meta_size,
        .era = shape.era,
    };
    if ((shape.flags & CELL_COLD) != 0) {
        info.size = cell_field(cell, &shape, CELL_WIDE) >> 32;
    }
    if ((shape.fields & CELL_USE) != 0) {
        read_use(cell_field(cell, &shape, CELL_USE), &info);
    }
    *ret = info;
    return !shard_is_due(shard, info.expires_at_ns);
}

bool shard_info(memory_shard *shard, const brisk_key *key, brisk_entry_info *ret)
{
    shard_lock(shard);
    if (shard->track_use) {
        shard_drain(shard);
    }
    table_place place;
    brisk_entry_info info;
    bool found = shard_find(shard, key, &place) && walk_read_info(shard, place.line, &info);
    shard_unlock(shard);
    if (found) {
        *ret = info;
    }
    return found;
}

/* --- expire --------------------------------------------------------------------------------- */

/* The entry gets or loses the word for its expiry: it is stored anew. */
static brisk_err restore_with(memory_shard *shard, const brisk_key *key, uint32_t line,
                              uint64_t expires_at_ns, garbage *trash)
{
    brisk_hit hit;
    if (shard_read_entry(shard, line, &hit) != SHARD_HIT) {
        return BRISK_ERR_NOMEM;
    }
    brisk_entry_opts opts = {
        .flags = hit.flags,
        .meta = hit.meta,
        .meta_size = hit.meta_size,
        .cost_ns = hit.cost_ns,
        .expires_at_ns = expires_at_ns,
        .era = hit.era,
    };
    shard_item item = {
        .key = key,
        .value = hit.value,
        .size = brisk_value_size(hit.value),
        .opts = &opts,
    };
    uint64_t raw = shard->raw_bytes;
    uint64_t stored = shard->stored_bytes;
    brisk_err err = put_store(shard, &item, trash);
    shard->raw_bytes = raw;
    shard->stored_bytes = stored;
    brisk_value_unref(hit.value); /* the entry's reference, or a copy: no release runs here */
    return err;
}

static brisk_err expire_at(memory_shard *shard, const brisk_key *key, table_place place,
                           uint64_t expires_at_ns, garbage *trash)
{
    unsigned char *cell = space_cell(&shard->space, place.line);
    cell_shape shape = cell_shape_of(cell_head(cell));
    bool has = (shape.fields & CELL_EXPIRY) != 0;
    if (!has && expires_at_ns == 0) {
        return BRISK_OK;
    }
    if (!has) {
        return restore_with(shard, key, place.line, expires_at_ns, trash);
    }
    cell_set_word(cell, cell_field_at(shape.fields, CELL_EXPIRY), expires_at_ns);
    tend_note_expiry(shard, place.line, expires_at_ns);
    order_expiry(shard, place.line);
    return BRISK_OK;
}

brisk_err shard_expire(memory_shard *shard, const brisk_key *key, uint64_t expires_at_ns)
{
    garbage trash = {.closed = true};
    shard_lock(shard);
    shard_drain(shard);
    table_place place;
    brisk_entry_info info;
    brisk_err err = BRISK_ERR_NOT_FOUND;
    if (shard_find(shard, key, &place) && walk_read_info(shard, place.line, &info)) {
        err = expire_at(shard, key, place, expires_at_ns, &trash);
    }
    BRISK_AUDIT(shard_looks_valid(shard));
    shard_unlock(shard);
    shard_free_garbage(&trash);
    return err;
}

/* --- walks ---------------------------------------------------------------------------------- */

static bool visit_line(const memory_shard *shard, uint32_t line, shard_visit visit, void *ctx)
{
    cell_shape shape = cell_read_shape(space_cell(&shard->space, line));
    brisk_memory_visit v = {
        .key = shard_key_of(shard, line, &shape),
        .key_size = shape.key_size,
    };
    if (!walk_read_info(shard, line, &v.info)) {
        return false;
    }
    visit(ctx, &v);
    return true;
}

static uint64_t word_for(const memory_shard *shard, uint32_t spread)
{
    const memory_table *table = &shard->table;
    uint32_t depth = table_view_depth(atomic_load_explicit(&table->view, memory_order_relaxed));
    size_t at = table_word_index(spread, 32 - depth);
    return atomic_load_explicit(&table->directory[at], memory_order_relaxed);
}

/* The line in a slot, or SPACE_NONE. */
static uint32_t line_in(const memory_bucket *bucket, uint32_t slot)
{
    static_assert(TABLE_EMPTY == SPACE_NONE, "no line is no line");
    return atomic_load_explicit(&bucket->lines[slot], memory_order_relaxed);
}

/* Visit what the segment has of the cursor's bucket; returns how many entries that were. */
static uint32_t visit_home(const memory_shard *shard, uint64_t word, const shard_cursor *at,
                           shard_visit visit, void *ctx)
{
    const memory_table *table = &shard->table;
    const memory_bucket *buckets = table_segment(table, word);
    uint32_t seen = 0;
    for (uint32_t i = 0; i <= table->bucket_mask; i++) {
        const memory_bucket *bucket = &buckets[(at->bucket + i) & table->bucket_mask];
        for (uint32_t slot = 0; slot < BUCKET_SLOTS; slot++) {
            uint32_t line = line_in(bucket, slot);
            if (line == SPACE_NONE) {
                continue;
            }
            uint64_t hash = shard_hash_of(shard, line);
            if ((table_bucket_bits(hash) & table->bucket_mask) == at->bucket &&
                table_spread(hash) >= at->spread) {
                (void)visit_line(shard, line, visit, ctx);
                seen++;
            }
        }
        if (table_passed(atomic_load_explicit(&bucket->more, memory_order_relaxed)) == 0) {
            break;
        }
    }
    return seen;
}

uint32_t shard_scan(memory_shard *shard, shard_cursor *at, uint32_t count, shard_visit visit,
                    void *ctx)
{
    uint32_t seen = 0;
    uint64_t steps = (uint64_t)count * STEPS_PER_ENTRY + STEPS_MORE;
    shard_lock(shard);
    at->done = at->bucket > shard->table.bucket_mask;
    for (; !at->done && seen < count && steps != 0; steps--) {
        uint64_t word = word_for(shard, at->spread);
        seen += visit_home(shard, word, at, visit, ctx);
        uint64_t width = UINT64_C(1) << (32 - table_word_depth(word));
        uint64_t next = (at->spread | (width - 1)) + 1;
        at->spread = (uint32_t)next;
        if (next >> 32 != 0) {
            at->bucket++;
            at->done = at->bucket > shard->table.bucket_mask;
        }
    }
    shard_unlock(shard);
    return steps != 0 ? seen : count;
}

/* Try slots at random, then look further from the last one. */
bool shard_random(memory_shard *shard, uint64_t number, shard_visit visit, void *ctx)
{
    brisk_rng rng;
    brisk_rng_init(&rng, number);
    bool found = false;
    shard_lock(shard);
    for (uint32_t i = 0; !found && shard->entries != 0 && i < RANDOM_TRIES; i++) {
        uint64_t hash = brisk_rng_next(&rng);
        const memory_bucket *buckets =
            table_segment(&shard->table, word_for(shard, table_spread(hash)));
        const memory_bucket *bucket = &buckets[table_bucket_bits(hash) & shard->table.bucket_mask];
        uint32_t line = line_in(bucket, (uint32_t)hash % BUCKET_SLOTS);
        found = line != SPACE_NONE && visit_line(shard, line, visit, ctx);
    }
    uint32_t start = (uint32_t)brisk_rng_below(&rng, shard->space.locals_end + UINT64_C(1));
    for (uint32_t i = 0; !found && shard->entries != 0 && i < shard->space.locals_end; i++) {
        uint32_t chunk = space_local(&shard->space, (start + i) % shard->space.locals_end);
        if (chunk == SPACE_NONE || shard->space.chunks[chunk].fresh == 0) {
            continue;
        }
        uint32_t fresh = shard->space.chunks[chunk].fresh;
        uint32_t first = (uint32_t)brisk_rng_below(&rng, fresh);
        for (uint32_t j = 0; !found && j < fresh; j++) {
            uint32_t line = space_line(&shard->space, chunk, (first + j) % fresh);
            found = cell_is_live(space_cell(&shard->space, line)) &&
                    visit_line(shard, line, visit, ctx);
        }
    }
    shard_unlock(shard);
    return found;
}
