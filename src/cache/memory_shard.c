/*
 * memory_shard.c -- life of a shard, search and dropping, and the hit with the lock.
 *
 * What is charged (bytes_used, at most bytes_budget)
 *
 *     chunks of cells and of segments, whole, with what is kept about them
 *     the policy's memory for every cell of chunks in use, unless it sleeps
 *     the directory
 *     values by reference and blocks of long keys, with their overhead
 *
 * So charged <= bytes always, and what is charged covers keys, values, padding and free cells.  A
 * value somebody still holds after its entry went is the holder's: the tier has given up its
 * reference and charges nothing.
 *
 * Values leave under the lock but are unreferenced after it, since a wrapped value's release may
 * come back into the tier.
 *
 * Under the lock cells are read as plain memory: only who holds it writes them.
 */
#include "cache/memory_shard.h"
#include "base/assert.h"
#include "cache/memory_map.h"
#include "cache/memory_thread.h"
#include "cache/value_blocks.h"

/* --- life ----------------------------------------------------------------------------------- */

/* So deep that every segment, half full of the smallest entries, can have a word, and then some. */
static uint32_t depth_for(const space_classes *classes, uint32_t chunks)
{
    uint64_t cells = (uint64_t)chunks << classes->id_shift;
    uint64_t slots = classes->segment_words / 8 * BUCKET_SLOTS;
    uint32_t depth = 2;
    while (depth < TABLE_DEPTH_MAX && slots / 4 << depth < cells) {
        depth++;
    }
    return depth;
}

static brisk_err init_books(memory_shard *shard, const shard_opts *opts)
{
    uint32_t depth = depth_for(opts->classes, opts->chunks_max);
    size_t directory = table_directory_words(depth) * sizeof(uint64_t);
    shard->books_bytes = directory + opts->chunks_max * sizeof(uint32_t);
    unsigned char *books = memory_map_take(opts->alloc, shard->books_bytes);
    if (books == NULL) {
        return BRISK_ERR_NOMEM;
    }
    void *parts[] = {books, books + directory};
    shard->books = books;
    uint32_t segment = opts->classes->segment_words * WORD_BYTES;
    uint32_t buckets = segment / BUCKET_BYTES;
    shard->table = (memory_table){
        .base = opts->region->base,
        .directory = parts[0],
        .counts = opts->region->counts,
        .bucket_mask = buckets - 1,
        .segment_shift = (uint32_t)__builtin_ctz(buckets),
        .depth_max = depth,
        .full = buckets * BUCKET_SLOTS / 32 * 30,
    };
    uint16_t owner = shard->space.owner;
    space_init(&shard->space, opts->region, opts->classes, parts[1], opts->chunks_max);
    shard->space.owner = owner;
    shard->chunk_charge = opts->classes->chunk_bytes + sizeof(space_chunk) + sizeof(uint32_t) +
                          opts->classes->chunk_bytes / segment * sizeof(uint16_t) +
                          sizeof(uint16_t);
    return BRISK_OK;
}

static void deinit_parts(memory_shard *shard)
{
    order_deinit(shard);
    codec_kit_destroy(shard->kit);
    memory_map_give(shard->alloc, shard->books, shard->books_bytes);
    (void)pthread_mutex_destroy(&shard->lock);
}

brisk_err shard_init(memory_shard *shard, const shard_opts *opts)
{
    const brisk_memory_tier_opts *tier = opts->tier;
    *shard = (memory_shard){
        .lines_end = (uint32_t)(opts->region->bytes / WORD_BYTES),
        .recycles = opts->alloc == brisk_alloc_libc(),
        .alloc = opts->alloc,
        .clock = tier->clock,
        .rings = opts->rings,
        .ring_stride = opts->ring_stride,
        .ring_count = opts->ring_count,
        .bytes_budget = opts->bytes,
        .value_max = opts->bytes / SHARD_VALUE_SHARE,
        .entries_max = opts->entries_max != 0 ? opts->entries_max : UINT64_MAX,
        .track_use = tier->track_use || tier->cold_codec != BRISK_COLD_NONE,
        .cold_codec = tier->cold_codec,
        .cold_after_ns = tier->cold_after_ns,
        .on_drop = tier->on_drop,
        .on_drop_ctx = tier->on_drop_ctx,
        .space = {.owner = (uint16_t)(opts->number + 1)},
    };
    if (pthread_mutex_init(&shard->lock, NULL) != 0) {
        return BRISK_ERR_NOMEM;
    }
    brisk_err err = init_books(shard, opts);
    if (err == BRISK_OK) {
        /* Where entries are counted, their number says what is small: few ones are kept exactly. */
        bool small = opts->entries_max != 0 ? opts->entries_max < SHARD_SLEEP_ENTRIES
                                            : opts->bytes < SPACE_SMALL_SHARD;
        uint32_t ids = opts->chunks_max << opts->classes->id_shift;
        err = order_init(shard, opts->policy_ops, ids, !small);
    }
    if (err != BRISK_OK) {
        deinit_parts(shard);
        return err;
    }
    room_reset_table(shard);
    return BRISK_OK;
}

void shard_deinit(memory_shard *shard)
{
    shard_clear(shard);
    deinit_parts(shard);
}

/* --- under the lock ------------------------------------------------------------------------- */

void shard_lock(memory_shard *shard)
{
    int failed = pthread_mutex_lock(&shard->lock);
    BRISK_ASSERT(failed == 0);
}

void shard_unlock(memory_shard *shard)
{
    int failed = pthread_mutex_unlock(&shard->lock);
    BRISK_ASSERT(failed == 0);
}

void shard_drain(memory_shard *shard)
{
    if ((atomic_load_explicit(&shard->watch, memory_order_relaxed) & SHARD_NOTES) == 0) {
        return;
    }
    uint32_t threads = memory_thread_highest();
    threads = threads < shard->ring_count ? threads : shard->ring_count;
    for (uint32_t t = 0; t < threads; t++) {
        hits_ring *ring = &shard->rings[(size_t)t * shard->ring_stride];
        /* Acquire: pairs with the release in shard_note_hit, for notes[]. */
        uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
        if (head == tail) {
            continue;
        }
        hit_note notes[HITS_RING];
        uint32_t count = 0;
        for (; head != tail; head++) {
            notes[count++] = ring->notes[head % HITS_RING];
        }
        order_notes(shard, notes, count);
        /* Release: notes[] was read before the thread may write it again. */
        atomic_store_explicit(&ring->head, head, memory_order_release);
    }
}

void shard_take_hits(memory_shard *shard)
{
    shard_lock(shard);
    shard_drain(shard);
    shard_unlock(shard);
}

bool shard_is_due(const memory_shard *shard, uint64_t expires_at_ns)
{
    return expires_at_ns != 0 && expires_at_ns <= brisk_clock_wall_ns(shard->clock);
}

const void *shard_key_of(const memory_shard *shard, uint32_t line, const cell_shape *shape)
{
    const unsigned char *cell = space_cell(&shard->space, line);
    return (shape->fields & CELL_BLOCK) != 0 ? cell_pointer(cell, shape, CELL_BLOCK)
                                             : cell + shape->payload_at;
}

uint64_t shard_hash_of(const void *ctx, uint32_t line)
{
    const memory_shard *shard = ctx;
    cell_shape shape = cell_read_shape(space_cell(&shard->space, line));
    return brisk_hash128_of(shard_key_of(shard, line, &shape), shape.key_size, 0).lo;
}

typedef struct wanted {
    const memory_shard *shard;
    const brisk_key *key;
} wanted;

static bool is_wanted(void *ctx, uint32_t line)
{
    const wanted *w = ctx;
    cell_shape shape = cell_read_shape(space_cell(&w->shard->space, line));
    return shape.key_size == w->key->size &&
           memcmp(shard_key_of(w->shard, line, &shape), w->key->bytes, w->key->size) == 0;
}

bool shard_find(const memory_shard *shard, const brisk_key *key, table_place *ret)
{
    wanted w = {.shard = shard, .key = key};
    return table_find(&shard->table, key->hash.lo, is_wanted, &w, ret);
}

static bool is_line(void *ctx, uint32_t line)
{
    return line == *(const uint32_t *)ctx;
}

table_place shard_place_of(const memory_shard *shard, uint32_t line, uint64_t hash)
{
    table_place place = {0};
    bool found = table_find(&shard->table, hash, is_line, &line, &place);
    BRISK_ASSERT(found);
    return place;
}

uint64_t shard_outside(const cell_shape *shape, const brisk_value *value)
{
    uint64_t bytes = 0;
    if ((shape->fields & CELL_VALUE) != 0) {
        bytes += value_held(value) + SHARD_REF_OVERHEAD;
    }
    if ((shape->fields & CELL_BLOCK) != 0) {
        bytes += (uint64_t)shape->key_size + shape->meta_size + SHARD_BLOCK_OVERHEAD;
    }
    return bytes;
}

void shard_release_outside(memory_shard *shard, uint32_t line, garbage *trash)
{
    const unsigned char *cell = space_cell(&shard->space, line);
    cell_shape shape = cell_read_shape(cell);
    brisk_value *value = cell_pointer(cell, &shape, CELL_VALUE);
    shard->bytes_used -= shard_outside(&shape, value);
    if ((shape.fields & CELL_BLOCK) != 0) {
        shard->alloc->release(shard->alloc->ctx, cell_pointer(cell, &shape, CELL_BLOCK),
                              (size_t)shape.key_size + shape.meta_size, 1);
    }
    if (value != NULL) {
        BRISK_ASSERT(trash->count <= GARBAGE_MAX);
        trash->values[trash->count++] = value;
    }
}

void shard_drop(memory_shard *shard, table_place place, uint64_t hash, drop_reason reason,
                garbage *trash)
{
    if (shard->on_drop != NULL && reason != DROP_REMOVED) {
        cell_shape shape = cell_read_shape(space_cell(&shard->space, place.line));
        shard->on_drop(shard->on_drop_ctx, shard_key_of(shard, place.line, &shape), shape.key_size,
                       reason == DROP_EVICTED ? BRISK_DROP_EVICTED : BRISK_DROP_EXPIRED);
    }
    shard->evictions += reason == DROP_EVICTED;
    shard->expired += reason == DROP_EXPIRED;
    table_remove(&shard->table, hash, place);
    order_remove(shard, place.line, reason == DROP_EVICTED);
    shard_release_outside(shard, place.line, trash);
    space_give(&shard->space, place.line);
    shard->entries--;
}

static void unref_all(garbage *trash)
{
    for (uint32_t i = 0; i < trash->count; i++) {
        brisk_value_unref(trash->values[i]);
    }
    trash->count = 0;
}

void shard_free_garbage(garbage *trash)
{
    unref_all(trash);
    while (trash->older != NULL) {
        garbage *older = trash->older;
        trash->older = older->older;
        unref_all(older);
        older->alloc->release(older->alloc->ctx, older, sizeof *older, _Alignof(garbage));
    }
}

/* Room in the trash under the lock: what nobody's release is called for goes at once. */
static bool make_trash_room(const memory_shard *shard, garbage *trash)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < trash->count; i++) {
        if (trash->values[i]->kind == VALUE_WRAPPED) {
            trash->values[kept++] = trash->values[i];
        } else {
            brisk_value_unref(trash->values[i]);
        }
    }
    trash->count = kept;
    if (kept < GARBAGE_MAX - 1) {
        return true;
    }
    garbage *older = shard->alloc->acquire(shard->alloc->ctx, sizeof *older, _Alignof(garbage));
    if (older == NULL) {
        return false;
    }
    *older = *trash;
    older->alloc = shard->alloc;
    trash->older = older;
    trash->count = 0;
    return true;
}

void shard_trim(memory_shard *shard, garbage *trash)
{
    if (trash->count < GARBAGE_MAX - 1 || (trash->closed && make_trash_room(shard, trash))) {
        return;
    }
    shard_unlock(shard);
    shard_free_garbage(trash);
    shard_lock(shard);
    shard_drain(shard);
}

/* --- the hit with the lock ------------------------------------------------------------------ */

static brisk_err copy_value(const memory_shard *shard, uint32_t line, const cell_shape *shape,
                            brisk_value **ret)
{
    const unsigned char *cell = space_cell(&shard->space, line);
    if ((shape->flags & CELL_COLD) != 0) {
        return tend_thaw(shard, line, shard->alloc, ret);
    }
    brisk_value *value = cell_pointer(cell, shape, CELL_VALUE);
    if (value != NULL) {
        *ret = brisk_value_ref(value);
        return BRISK_OK;
    }
    return brisk_value_copy(cell + cell_bytes(shape) - shape->value_size, shape->value_size,
                            shard->alloc, ret);
}

shard_answer shard_read_entry(const memory_shard *shard, uint32_t line, brisk_hit *ret)
{
    const unsigned char *cell = space_cell(&shard->space, line);
    cell_shape shape = cell_read_shape(cell);
    if (copy_value(shard, line, &shape, &ret->value) != BRISK_OK) {
        return SHARD_NOMEM;
    }
    const unsigned char *key = shard_key_of(shard, line, &shape);
    memcpy(ret->meta, key + shape.key_size, shape.meta_size);
    ret->meta_size = shape.meta_size;
    ret->flags = shape.flags >> CELL_ENTRY_SHIFT & CELL_ENTRY_FLAGS;
    ret->era = shape.era;
    ret->cost_ns = cell_field(cell, &shape, CELL_COST);
    ret->expires_at_ns = cell_field(cell, &shape, CELL_EXPIRY);
    return SHARD_HIT;
}

shard_answer shard_get(memory_shard *shard, const brisk_key *key, brisk_hit *ret)
{
    garbage trash = {.count = 0};
    shard_answer answer = SHARD_MISS;
    shard_lock(shard);
    table_place place;
    if (shard_find(shard, key, &place)) {
        const unsigned char *cell = space_cell(&shard->space, place.line);
        cell_shape shape = cell_shape_of(cell_head(cell));
        shard_drain(shard);
        if (shard_is_due(shard, cell_field(cell, &shape, CELL_EXPIRY))) {
            shard_drop(shard, place, key->hash.lo, DROP_EXPIRED, &trash);
        } else {
            answer = shard_read_entry(shard, place.line, ret);
            order_hit(shard, place.line, key->hash.lo);
        }
    }
    shard_unlock(shard);
    shard_free_garbage(&trash);
    return answer;
}

/* --- figures and proof ---------------------------------------------------------------------- */

void shard_read_stats(memory_shard *shard, brisk_tier_stats *stats)
{
    shard_lock(shard);
    stats->puts += shard->puts;
    stats->removes += shard->removes;
    stats->evictions += shard->evictions;
    stats->expired += shard->expired;
    stats->rejects += shard->rejects;
    stats->entries += shard->entries;
    stats->bytes += shard->bytes_used;
    stats->raw_bytes += shard->raw_bytes;
    stats->stored_bytes += shard->stored_bytes;
    shard_unlock(shard);
}

static bool add_chunk(const memory_shard *shard, uint32_t at, uint64_t *entries, uint64_t *used)
{
    uint64_t live = 0;
    uint32_t index = 0;
    uint32_t line;
    while ((line = space_next_live(&shard->space, at, &index)) != SPACE_NONE) {
        const unsigned char *cell = space_cell(&shard->space, line);
        cell_shape shape = cell_read_shape(cell);
        uint32_t cell_class = space_class_of(&shard->space, cell_bytes(&shape));
        if (shard_place_of(shard, line, shard_hash_of(shard, line)).line != line ||
            cell_class != shard->space.chunks[at].cell_class) {
            return false;
        }
        *used += shard_outside(&shape, cell_pointer(cell, &shape, CELL_VALUE));
        live++;
    }
    *entries += live;
    return live == shard->space.chunks[at].live;
}

bool shard_is_valid_locked(const memory_shard *shard)
{
    uint64_t entries = 0;
    uint32_t depth =
        table_view_depth(atomic_load_explicit(&shard->table.view, memory_order_relaxed));
    uint64_t used = (UINT64_C(16) << depth) + shard->space.chunks_held * shard->chunk_charge;
    if (shard->order.state != ORDER_ASLEEP) {
        used += shard->space.cells_held * shard->order.id_bytes;
    }
    for (uint32_t local = 0; local < shard->space.locals_end; local++) {
        uint32_t at = space_local(&shard->space, local);
        if (at != SPACE_NONE && !add_chunk(shard, at, &entries, &used)) {
            return false;
        }
    }
    uint64_t segments = 0;
    uint64_t listed = 0;
    return table_is_valid(&shard->table, &segments, &listed) && listed == entries &&
           entries == shard->entries && used == shard->bytes_used && used <= shard->bytes_budget &&
           entries <= shard->entries_max &&
           (shard->order.state != ORDER_AWAKE || shard->order.ops->is_valid(shard->order.self));
}

bool shard_looks_valid(const memory_shard *shard)
{
    return shard->entries > 64 || shard_is_valid_locked(shard);
}

bool shard_is_valid(memory_shard *shard)
{
    shard_lock(shard);
    bool valid = shard_is_valid_locked(shard);
    shard_unlock(shard);
    return valid;
}
