/*
 * memory_shard.c -- storing, dropping and making room, under the shard's lock.
 *
 * One block of memory holds everything that has a place of its own:
 *
 *     region of chunks | slack | policy | buckets | chunk heads | ready bits
 *
 * The bookkeeping is charged from the start; chunks when a class takes them; values by reference
 * and blocks of long keys with their overhead.  So charged <= bytes always, and what is charged
 * covers keys, values, padding and free cells.  A value somebody still holds after its entry went
 * is the holder's: the tier has given up its reference and charges nothing.
 *
 * Room is made in the policy's order.  When the holes that evictions left add up to a chunk of
 * one class, that chunk is emptied by moving its entries into the others' holes, so that sizes
 * can change their shares without dropping more than the oldest.
 *
 * Values leave under the lock but are unreferenced after it, since a wrapped value's release may
 * come back into the tier.
 */
#include <sys/mman.h>

#include "base/assert.h"
#include "cache/memory_cell.h"
#include "cache/memory_shard.h"

#ifndef MADV_COLLAPSE
#    define MADV_COLLAPSE 25 /* Linux 6.1; the C library does not know it yet */
#endif

enum {
    CHUNK_BYTES_MIN = 4096,
    CHUNKS_AIM = 64,
    SLOTS_PER_BUCKET_AIM = 7, /* of 8, when every entry is of the smallest class */
};

typedef struct garbage {
    brisk_value *values[GARBAGE_MAX + 1]; /* one to spare: see trim_garbage */
    uint32_t count;
} garbage;

/* --- life -------------------------------------------------------------------------------- */

typedef struct shard_plan {
    uint32_t chunk_bytes;
    uint32_t chunk_count;
    uint32_t id_count;
    uint32_t bucket_count;
    size_t policy_at, buckets_at, chunks_at, ready_at, end;
} shard_plan;

static size_t align_line(size_t bytes)
{
    return (bytes + LINE_BYTES - 1) & ~(size_t)(LINE_BYTES - 1);
}

static shard_plan plan_for(const policy_ops *policy, uint32_t chunk_bytes, uint64_t chunk_count)
{
    size_t region = (size_t)chunk_count * chunk_bytes;
    size_t cells = region / LINE_BYTES / CELL_LINES_MIN;
    shard_plan plan = {
        .chunk_bytes = chunk_bytes,
        .chunk_count = (uint32_t)chunk_count,
        .id_count = (uint32_t)cells,
        .bucket_count = (uint32_t)(cells / SLOTS_PER_BUCKET_AIM) + 1,
        .policy_at = region + CELL_BYTES_MAX,
    };
    plan.buckets_at = align_line(plan.policy_at + policy->bytes(plan.id_count));
    plan.chunks_at = plan.buckets_at + plan.bucket_count * sizeof(memory_bucket);
    plan.ready_at = align_line(plan.chunks_at + plan.chunk_count * sizeof(space_chunk));
    plan.end = plan.ready_at + table_ready_words(plan.bucket_count) * sizeof(uint64_t);
    return plan;
}

/* The largest plan of at most `bytes`. */
static shard_plan plan_shard(const policy_ops *policy, uint64_t bytes)
{
    uint32_t chunk = SHARD_HUGE_PAGE;
    if (bytes < SHARD_HUGE_BYTES) {
        for (chunk = CHUNK_BYTES_MIN; chunk * (uint64_t)CHUNKS_AIM < bytes; chunk *= 2) {
        }
    }
    uint64_t low = 1;
    uint64_t high = bytes / chunk;
    const uint64_t lines_max = SPACE_NONE - 1; /* 256 GiB a shard */
    if (high > lines_max * LINE_BYTES / chunk) {
        high = lines_max * LINE_BYTES / chunk;
    }
    while (low < high) {
        uint64_t mid = (low + high + 1) / 2;
        if (plan_for(policy, chunk, mid).end <= bytes) {
            low = mid;
        } else {
            high = mid - 1;
        }
    }
    return plan_for(policy, chunk, low);
}

static void tell_capacity(memory_shard *shard, uint64_t entries)
{
    shard->capacity_told = entries;
    uint32_t told = entries < POLICY_IDS_MAX ? (uint32_t)entries : POLICY_IDS_MAX;
    shard->policy_ops->set_capacity(shard->policy, told);
}

brisk_err shard_init(memory_shard *shard, const shard_opts *opts)
{
    if (opts->bytes < SHARD_BYTES_MIN) {
        return BRISK_ERR_INVALID;
    }
    shard_plan plan = plan_shard(opts->policy_ops, opts->bytes);
    BRISK_ASSERT(plan.end <= opts->bytes);
    bool huge = plan.chunk_bytes == SHARD_HUGE_PAGE;
    size_t align = huge ? SHARD_HUGE_PAGE : CHUNK_BYTES_MIN;
    unsigned char *block = opts->alloc->acquire(opts->alloc->ctx, plan.end, align);
    if (block == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *shard = (memory_shard){
        .region = block,
        .clock = opts->clock,
        .alloc = opts->alloc,
        .recycles = opts->alloc == brisk_alloc_libc(),
        .policy_ops = opts->policy_ops,
        .rings = opts->rings,
        .ring_stride = opts->ring_stride,
        .ring_count = opts->ring_count,
        .block = block,
        .block_bytes = plan.end,
        .block_align = align,
        .bytes_fixed = plan.end - (uint64_t)plan.chunk_count * plan.chunk_bytes,
        .wants_huge = huge,
    };
    shard->bytes_budget = opts->bytes - shard->bytes_fixed;
    shard->bytes_top = opts->bytes;
    shard->entries_max = opts->entries_max != 0 ? opts->entries_max : UINT64_MAX;
    shard->on_drop = opts->on_drop;
    shard->on_drop_ctx = opts->on_drop_ctx;
    void *buckets = block + plan.buckets_at;
    void *chunks = block + plan.chunks_at;
    void *ready = block + plan.ready_at;
    memset(ready, 0, plan.end - plan.ready_at);
    table_init(&shard->table, buckets, ready, plan.bucket_count);
    space_init(&shard->space, block, chunks, plan.chunk_count, plan.chunk_bytes / LINE_BYTES);
    memset(block + plan.policy_at, 0, plan.buckets_at - plan.policy_at);
    shard->policy = opts->policy_ops->init(block + plan.policy_at, plan.id_count);
    tell_capacity(shard, opts->entries_max != 0 ? opts->entries_max : plan.id_count);
    shard->policy_ids = block + plan.policy_at + opts->policy_ops->ids_at;
    shard->policy_id_bytes = opts->policy_ops->id_bytes;
    if (pthread_mutex_init(&shard->lock, NULL) != 0) {
        opts->alloc->release(opts->alloc->ctx, block, plan.end, align);
        return BRISK_ERR_NOMEM;
    }
    return BRISK_OK;
}

void shard_deinit(memory_shard *shard)
{
    shard_clear(shard);
    (void)pthread_mutex_destroy(&shard->lock);
    shard->alloc->release(shard->alloc->ctx, shard->block, shard->block_bytes, shard->block_align);
}

/* --- under the lock ---------------------------------------------------------------------- */

static void shard_lock(memory_shard *shard)
{
    int failed = pthread_mutex_lock(&shard->lock);
    BRISK_ASSERT(failed == 0);
}

static void shard_unlock(memory_shard *shard)
{
    int failed = pthread_mutex_unlock(&shard->lock);
    BRISK_ASSERT(failed == 0);
}

/* Tell the policy every hit it does not know yet. */
static void drain_hits(memory_shard *shard)
{
    for (uint32_t t = 0; t < shard->ring_count; t++) {
        hits_ring *ring = &shard->rings[(size_t)t * shard->ring_stride];
        /* Acquire: pairs with the release in shard_note_hit, for hits[]. */
        uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
        if (head == tail) {
            continue;
        }
        policy_hit hits[HITS_RING];
        uint32_t count = 0;
        for (; head != tail; head++) {
            hits[count++] = ring->hits[head % HITS_RING];
        }
        shard->policy_ops->on_hits(shard->policy, hits, count);
        /* Release: hits[] was read before the thread may write it again. */
        atomic_store_explicit(&ring->head, head, memory_order_release);
    }
}

static size_t block_bytes_of(cell_shape shape)
{
    return (size_t)shape.key_size + shape.meta_size;
}

/* What the entry is charged besides its cell. */
static uint64_t outside_bytes(cell_shape shape)
{
    uint64_t bytes = 0;
    if (shape.kind != CELL_INLINE) {
        bytes += (uint64_t)shape.value_size + SHARD_REF_OVERHEAD;
    }
    if (shape.kind == CELL_BOTH_REF) {
        bytes += block_bytes_of(shape) + SHARD_BLOCK_OVERHEAD;
    }
    return bytes;
}

static void *cell_pointer(const cell_word *word)
{
    return (void *)(uintptr_t)cell_load(word); /* stored by write_cell */
}

static brisk_value *cell_value(const cell_word *cell, cell_shape shape)
{
    return cell_pointer(
        &cell[shape.kind == CELL_BOTH_REF ? CELL_HEAD_WORDS : cell_words(shape) - 1]);
}

typedef struct wanted {
    const memory_shard *shard;
    const brisk_key *key;
} wanted;

static bool is_wanted(void *ctx, uint32_t line)
{
    const wanted *w = ctx;
    const cell_word *cell = space_cell(&w->shard->space, line);
    cell_shape shape = cell_unpack(cell_load(&cell[1]));
    if (shape.key_size != w->key->size || cell_load(&cell[0]) != w->key->hash.lo) {
        return false;
    }
    if (shape.kind == CELL_BOTH_REF) {
        return memcmp(cell_pointer(&cell[CELL_HEAD_WORDS + 1]), w->key->bytes, w->key->size) == 0;
    }
    return cell_equals(&cell[CELL_HEAD_WORDS], w->key->bytes, w->key->size);
}

static bool find_key(const memory_shard *shard, const brisk_key *key, table_place *ret)
{
    wanted w = {.shard = shard, .key = key};
    return table_find(&shard->table, key->hash.lo, is_wanted, &w, ret);
}

static bool is_line(void *ctx, uint32_t line)
{
    return line == *(const uint32_t *)ctx;
}

static table_place place_of_line(const memory_shard *shard, uint32_t line)
{
    uint64_t hash = cell_load(&space_cell(&shard->space, line)[0]);
    table_place place = {0};
    bool found = table_find(&shard->table, hash, is_line, &line, &place);
    BRISK_ASSERT(found);
    return place;
}

/* The line an id of the policy stands for: with cells of two lines or more, one of two. */
static uint32_t line_of_id(const memory_shard *shard, uint32_t id)
{
    uint32_t line = id * CELL_LINES_MIN;
    const space_chunk *chunk = &shard->space.chunks[line / shard->space.chunk_lines];
    uint32_t cell_lines = space_class_lines(chunk->cell_class);
    uint32_t offset = line % shard->space.chunk_lines;
    return offset % cell_lines == 0 ? line : line + 1;
}

static uint32_t id_of_line(uint32_t line)
{
    return line / CELL_LINES_MIN;
}

/* What an entry holds outside of its cell is given back; its value to `trash`. */
static void release_outside(memory_shard *shard, uint32_t line, garbage *trash)
{
    const cell_word *cell = space_cell(&shard->space, line);
    cell_shape shape = cell_unpack(cell_load(&cell[1]));
    shard->bytes_used -= outside_bytes(shape);
    if (shape.kind == CELL_BOTH_REF) {
        shard->alloc->release(shard->alloc->ctx, cell_pointer(&cell[CELL_HEAD_WORDS + 1]),
                              block_bytes_of(shape), 1);
    }
    if (shape.kind != CELL_INLINE) {
        BRISK_ASSERT(trash->count <= GARBAGE_MAX);
        trash->values[trash->count++] = cell_value(cell, shape);
    }
}

/* Drop the entry at `place`.  `trash` must have room for one more. */
static void drop_entry(memory_shard *shard, table_place place, bool evicted, garbage *trash)
{
    uint64_t hash = cell_load(&space_cell(&shard->space, place.line)[0]);
    table_remove(&shard->table, hash, place);
    const policy_ops *ops = shard->policy_ops;
    (evicted ? ops->on_evict : ops->on_remove)(shard->policy, id_of_line(place.line));
    release_outside(shard, place.line, trash);
    space_give(&shard->space, place.line);
    shard->entries--;
}

static void free_garbage(garbage *trash)
{
    for (uint32_t i = 0; i < trash->count; i++) {
        brisk_value_unref(trash->values[i]);
    }
    trash->count = 0;
}

/*
 * Keep room for two more values; opens the lock for a moment when there was not.  Never while a
 * cell is taken that is not an entry yet: emptying a chunk would trip over it.
 */
static void trim_garbage(memory_shard *shard, garbage *trash)
{
    if (trash->count >= GARBAGE_MAX - 1) {
        shard_unlock(shard);
        free_garbage(trash);
        shard_lock(shard);
        drain_hits(shard);
    }
}

/* --- room -------------------------------------------------------------------------------- */

static void move_entry(memory_shard *shard, uint32_t from, uint32_t to)
{
    const cell_word *old = space_cell(&shard->space, from);
    cell_word *cell = space_cell(&shard->space, to);
    size_t words = cell_words(cell_unpack(cell_load(&old[1])));
    for (size_t i = 0; i < words; i++) {
        cell_store(&cell[i], cell_load(&old[i]));
    }
    table_repoint(&shard->table, place_of_line(shard, from), to);
    shard->policy_ops->on_move(shard->policy, id_of_line(from), id_of_line(to));
    space_give(&shard->space, from);
}

/* Empty one chunk into the holes of its class.  False when no class has that many holes. */
static bool collect_chunk(memory_shard *shard, bool release)
{
    uint32_t chunk = space_begin_drop(&shard->space);
    if (chunk == SPACE_NONE) {
        return false;
    }
    uint32_t cell_class = shard->space.chunks[chunk].cell_class;
    uint32_t at = 0;
    uint32_t from;
    while ((from = space_next_live(&shard->space, chunk, &at)) != SPACE_NONE) {
        uint32_t to = space_take(&shard->space, cell_class);
        BRISK_ASSERT(to != SPACE_NONE);
        move_entry(shard, from, to);
    }
    space_drop(&shard->space, chunk, release);
    shard->bytes_used -= (uint64_t)shard->space.chunk_lines * LINE_BYTES;
    return true;
}

/*
 * Not before a second chunk is begun: a process that keeps a few entries and ends would otherwise
 * zero megabytes for them.  What lies in small pages by then is collapsed into large ones at once;
 * lookups go on meanwhile.
 */
static void ask_huge_pages(memory_shard *shard)
{
    size_t first = (size_t)shard->space.chunk_lines * LINE_BYTES;
    unsigned char *block = shard->block;
    size_t fixed_at = shard->block_bytes - (size_t)shard->bytes_fixed;
    fixed_at &= ~(size_t)(SHARD_HUGE_PAGE - 1);
    (void)madvise(block, shard->block_bytes, MADV_HUGEPAGE); /* only advice, all three */
    (void)madvise(block, first, MADV_COLLAPSE);
    (void)madvise(block + fixed_at, shard->block_bytes - fixed_at, MADV_COLLAPSE);
    shard->wants_huge = false;
}

static bool grow_class(memory_shard *shard, uint32_t cell_class)
{
    uint64_t bytes = (uint64_t)shard->space.chunk_lines * LINE_BYTES;
    if (bytes > shard->bytes_budget - shard->bytes_used) {
        return false;
    }
    if (shard->wants_huge && shard->chunks_begun != 0) {
        ask_huge_pages(shard);
    }
    uint32_t chunk = space_grow(&shard->space, cell_class);
    if (chunk == SPACE_NONE) {
        return false;
    }
    shard->chunks_begun++;
    uint32_t ids = shard->space.chunk_lines / CELL_LINES_MIN;
    shard->policy_ops->add_ids(shard->policy, chunk * ids, ids);
    shard->bytes_used += bytes;
    return true;
}

static const void *key_in_cell(const cell_word *cell, cell_shape shape)
{
    const void *inside = &cell[CELL_HEAD_WORDS];
    return shape.kind == CELL_BOTH_REF ? cell_pointer(&cell[CELL_HEAD_WORDS + 1]) : inside;
}

static void tell_drop(const memory_shard *shard, uint32_t line, brisk_drop_reason reason)
{
    if (shard->on_drop == NULL) {
        return;
    }
    const cell_word *cell = space_cell(&shard->space, line);
    cell_shape shape = cell_unpack(cell_load(&cell[1]));
    shard->on_drop(shard->on_drop_ctx, key_in_cell(cell, shape), shape.key_size, reason);
}

static bool evict_one(memory_shard *shard, garbage *trash)
{
    uint32_t id = shard->policy_ops->victim(shard->policy);
    if (id == POLICY_NONE) {
        return false;
    }
    uint64_t off = shard->entries > shard->capacity_told ? shard->entries - shard->capacity_told
                                                         : shard->capacity_told - shard->entries;
    if (shard->entries_max == UINT64_MAX && off > shard->entries / 32) {
        tell_capacity(shard, shard->entries);
    }
    trim_garbage(shard, trash);
    id = shard->policy_ops->victim(shard->policy); /* the lock may have been open */
    if (id != POLICY_NONE) {
        tell_drop(shard, line_of_id(shard, id), BRISK_DROP_EVICTED);
        drop_entry(shard, place_of_line(shard, line_of_id(shard, id)), true, trash);
        shard->evictions++;
    }
    return true;
}

/* Charge `bytes` outside of cells, dropping entries if it must (`evict`). */
static bool charge_outside(memory_shard *shard, uint64_t bytes, bool evict, garbage *trash)
{
    if (bytes > shard->bytes_budget) {
        return false;
    }
    while (bytes > shard->bytes_budget - shard->bytes_used) {
        if (!evict || (!collect_chunk(shard, true) && !evict_one(shard, trash))) {
            return false;
        }
    }
    shard->bytes_used += bytes;
    return true;
}

/* A cell, dropping entries if it must (`evict`); SPACE_NONE when there is no way. */
static uint32_t take_cell(memory_shard *shard, uint32_t cell_class, bool evict, garbage *trash)
{
    for (;;) {
        uint32_t line = space_take(&shard->space, cell_class);
        if (line != SPACE_NONE) {
            return line;
        }
        if (grow_class(shard, cell_class)) {
            continue;
        }
        if (!evict || (!collect_chunk(shard, false) && !evict_one(shard, trash))) {
            return SPACE_NONE;
        }
    }
}

/* Room for an entry: its bytes outside charged and a cell taken, or neither. */
static uint32_t take_room(memory_shard *shard, cell_shape shape, bool evict, garbage *trash)
{
    uint64_t outside = outside_bytes(shape);
    if (!charge_outside(shard, outside, evict, trash)) {
        return SPACE_NONE;
    }
    uint32_t cell_class = space_class_of(cell_words(shape) * 8);
    uint32_t line = take_cell(shard, cell_class, evict, trash);
    if (line == SPACE_NONE) {
        shard->bytes_used -= outside;
    }
    return line;
}

/* --- operations -------------------------------------------------------------------------- */

static bool shard_is_valid_locked(const memory_shard *shard)
{
    uint64_t entries = 0;
    uint64_t used = 0;
    uint64_t passed = 0; /* full buckets between home and place, of all entries */
    uint64_t chunk_bytes = (uint64_t)shard->space.chunk_lines * LINE_BYTES;
    for (uint32_t i = 0; i < shard->space.chunk_count; i++) {
        if (shard->space.chunks[i].cell_class == SPACE_NONE) {
            continue;
        }
        used += chunk_bytes;
        uint32_t at = 0;
        uint32_t line;
        uint64_t live = 0;
        while ((line = space_next_live(&shard->space, i, &at)) != SPACE_NONE) {
            const cell_word *cell = space_cell(&shard->space, line);
            uint32_t home = table_home(&shard->table, cell_load(&cell[0]));
            uint32_t bucket = place_of_line(shard, line).bucket;
            passed += bucket >= home ? bucket - home : bucket + shard->table.bucket_count - home;
            used += outside_bytes(cell_unpack(cell_load(&cell[1])));
            live++;
        }
        if (live != shard->space.chunks[i].live) {
            return false;
        }
        entries += live;
    }
    return entries == shard->entries && used == shard->bytes_used && used <= shard->bytes_budget &&
           passed == table_overflows(&shard->table) && shard->policy_ops->is_valid(shard->policy);
}

/* Small shards only, since this looks at every entry. */
static bool looks_valid(const memory_shard *shard)
{
    return shard->entries > 64 || shard_is_valid_locked(shard);
}

/* What the entry would look like, or why the tier does not keep it. */
static brisk_err shape_entry(const memory_shard *shard, const brisk_key *key,
                             const brisk_value *value, const brisk_entry_opts *opts,
                             cell_shape *ret)
{
    if ((opts->flags & ~(uint32_t)CELL_FLAGS_ALL) != 0 || opts->meta_size > BRISK_TIER_META_MAX) {
        return BRISK_ERR_INVALID;
    }
    uint64_t size = brisk_value_size(value);
    uint64_t all = shard->bytes_fixed + shard->bytes_budget;
    if (brisk_value_data(value) == NULL || size > UINT32_MAX || size > all / SHARD_VALUE_SHARE) {
        return BRISK_ERR_DECLINED;
    }
    cell_shape shape = {
        .kind = CELL_INLINE,
        .flags = opts->flags,
        .meta_size = opts->meta_size,
        .key_size = (uint32_t)key->size,
        .value_size = (uint32_t)size,
    };
    if (cell_words(shape) > CELL_WORDS_MAX) {
        shape.kind = CELL_VALUE_REF;
    }
    if (cell_words(shape) > CELL_WORDS_MAX) {
        shape.kind = CELL_BOTH_REF;
    }
    *ret = shape;
    return BRISK_OK;
}

/* The block of key and meta that a cell of this shape points to; NULL when it needs none. */
static brisk_err make_block(const memory_shard *shard, cell_shape shape, const brisk_key *key,
                            const brisk_entry_opts *opts, unsigned char **ret)
{
    if (shape.kind != CELL_BOTH_REF) {
        *ret = NULL;
        return BRISK_OK;
    }
    unsigned char *block = shard->alloc->acquire(shard->alloc->ctx, block_bytes_of(shape), 1);
    if (block == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memcpy(block, key->bytes, key->size);
    if (shape.meta_size != 0) {
        memcpy(block + key->size, opts->meta, shape.meta_size);
    }
    *ret = block;
    return BRISK_OK;
}

static void write_cell(cell_word *cell, cell_shape shape, const brisk_key *key, brisk_value *value,
                       const brisk_entry_opts *opts)
{
    cell_store(&cell[0], key->hash.lo);
    cell_store(&cell[1], cell_pack(shape));
    cell_store(&cell[2], cell_pack_cost(opts->cost_ns, opts->era));
    cell_store(&cell[3], opts->expires_at_ns);
    cell_word *at = &cell[CELL_HEAD_WORDS];
    if (shape.kind != CELL_BOTH_REF) {
        cell_store_bytes(at, key->bytes, shape.key_size);
        at += cell_words_of(shape.key_size);
        cell_store_bytes(at, opts->meta, shape.meta_size);
        at += cell_words_of(shape.meta_size);
    }
    if (shape.kind == CELL_INLINE) {
        cell_store_bytes(at, brisk_value_data(value), shape.value_size);
    } else {
        cell_store(at, (uintptr_t)brisk_value_ref(value));
    }
}

static bool drop_key(memory_shard *shard, const brisk_key *key, garbage *trash)
{
    trim_garbage(shard, trash);
    table_place place;
    if (!find_key(shard, key, &place)) {
        return false;
    }
    drop_entry(shard, place, false, trash);
    return true;
}

/* When the entry expires, in whole seconds, not 0 unless never. */
static uint32_t expiry_seconds(const memory_shard *shard, uint32_t line)
{
    uint64_t ns = cell_load(&space_cell(&shard->space, line)[3]);
    uint64_t seconds = ns / UINT64_C(1000000000) + (ns != 0);
    return seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
}

/* The entry in `line` takes the place of the one at `place`, without a moment of neither. */
static void replace_entry(memory_shard *shard, table_place place, uint32_t line, garbage *trash)
{
    uint32_t id = id_of_line(line);
    uint64_t hash = cell_load(&space_cell(&shard->space, line)[0]);
    table_repoint(&shard->table, place, line);
    shard->policy_ops->on_move(shard->policy, id_of_line(place.line), id);
    policy_hit hit = {.id = id, .hash = shard_policy_hash(hash)};
    shard->policy_ops->on_hits(shard->policy, &hit, 1);
    if (shard->policy_ops->on_expiry != NULL) {
        shard->policy_ops->on_expiry(shard->policy, id, expiry_seconds(shard, line));
    }
    release_outside(shard, place.line, trash);
    space_give(&shard->space, place.line);
}

static brisk_err reject(memory_shard *shard, const brisk_key *key, brisk_err err)
{
    garbage trash = {.count = 0};
    shard_lock(shard);
    drain_hits(shard);
    (void)drop_key(shard, key, &trash);
    shard->rejects++;
    shard_unlock(shard);
    free_garbage(&trash);
    return err;
}

typedef struct store_plan {
    cell_shape shape;
    const brisk_key *key;
    brisk_value *value;
    const brisk_entry_opts *opts;
    unsigned char *block;
} store_plan;

/* A new key comes: the policy learns it, and the limit of entries is kept. */
static bool begin_insert(memory_shard *shard, const brisk_key *key, garbage *trash)
{
    table_place place;
    if (find_key(shard, key, &place)) {
        return true;
    }
    if (shard->policy_ops->on_miss != NULL) {
        shard->policy_ops->on_miss(shard->policy, shard_policy_hash(key->hash.lo));
    }
    while (shard->entries >= shard->entries_max) {
        if (!evict_one(shard, trash)) {
            return false;
        }
    }
    return true;
}

static bool store_locked(memory_shard *shard, const store_plan *plan, garbage *trash)
{
    if (!begin_insert(shard, plan->key, trash)) {
        return false;
    }
    uint32_t line = take_room(shard, plan->shape, false, trash);
    if (line == SPACE_NONE) {
        (void)drop_key(shard, plan->key, trash); /* goes in any case: let its room be used */
        line = take_room(shard, plan->shape, true, trash);
    }
    if (line == SPACE_NONE) {
        return false;
    }
    cell_word *cell = space_cell(&shard->space, line);
    write_cell(cell, plan->shape, plan->key, plan->value, plan->opts);
    if (plan->block != NULL) {
        cell_store(&cell[CELL_HEAD_WORDS + 1], (uintptr_t)plan->block);
    }
    table_place place;
    if (find_key(shard, plan->key, &place)) {
        replace_entry(shard, place, line, trash);
    } else {
        table_insert(&shard->table, plan->key->hash.lo, line);
        shard->entries++;
        policy_entry entry = {
            .id = id_of_line(line),
            .hash = shard_policy_hash(plan->key->hash.lo),
            .expires_s = expiry_seconds(shard, line),
        };
        shard->policy_ops->on_insert(shard->policy, &entry);
    }
    shard->raw_bytes += plan->shape.value_size;
    return true;
}

brisk_err shard_put(memory_shard *shard, const brisk_key *key, brisk_value *value,
                    const brisk_entry_opts *opts)
{
    cell_shape shape;
    unsigned char *block = NULL;
    brisk_err err = shape_entry(shard, key, value, opts, &shape);
    if (err == BRISK_OK) {
        err = make_block(shard, shape, key, opts, &block);
    }
    if (err != BRISK_OK) {
        return reject(shard, key, err);
    }
    garbage trash = {.count = 0};
    shard_lock(shard);
    drain_hits(shard);
    bool stored = store_locked(shard, &(store_plan){shape, key, value, opts, block}, &trash);
    shard->puts += stored;
    BRISK_AUDIT(looks_valid(shard));
    shard_unlock(shard);
    free_garbage(&trash);
    if (!stored) {
        if (block != NULL) {
            shard->alloc->release(shard->alloc->ctx, block, block_bytes_of(shape), 1);
        }
        return reject(shard, key, BRISK_ERR_FULL);
    }
    return BRISK_OK;
}
void shard_remove(memory_shard *shard, const brisk_key *key)
{
    garbage trash = {.count = 0};
    shard_lock(shard);
    drain_hits(shard);
    shard->removes += drop_key(shard, key, &trash);
    BRISK_AUDIT(looks_valid(shard));
    shard_unlock(shard);
    free_garbage(&trash);
}

void shard_clear(memory_shard *shard)
{
    garbage trash = {.count = 0};
    shard_lock(shard);
    drain_hits(shard);
    for (uint64_t left = shard->entries; left != 0; left--) {
        trim_garbage(shard, &trash);
        uint32_t id = shard->policy_ops->victim(shard->policy);
        if (id == POLICY_NONE) {
            break;
        }
        drop_entry(shard, place_of_line(shard, line_of_id(shard, id)), false, &trash);
    }
    while (collect_chunk(shard, true)) {
    }
    BRISK_AUDIT(looks_valid(shard));
    shard_unlock(shard);
    free_garbage(&trash);
}

static shard_answer read_entry(const memory_shard *shard, uint32_t line, brisk_hit *ret)
{
    const cell_word *cell = space_cell(&shard->space, line);
    cell_shape shape = cell_unpack(cell_load(&cell[1]));
    const cell_word *meta = cell + CELL_HEAD_WORDS + cell_words_of(shape.key_size);
    if (shape.kind == CELL_INLINE) {
        void *data;
        if (brisk_value_reserve(shape.value_size, shard->alloc, &data, &ret->value) != BRISK_OK) {
            return SHARD_NOMEM;
        }
        cell_load_bytes(data, meta + cell_words_of(shape.meta_size), shape.value_size);
    } else {
        ret->value = brisk_value_ref(cell_value(cell, shape));
    }
    if (shape.kind == CELL_BOTH_REF) {
        const unsigned char *block = cell_pointer(&cell[CELL_HEAD_WORDS + 1]);
        memcpy(ret->meta, block + shape.key_size, shape.meta_size);
    } else {
        cell_load_bytes(ret->meta, meta, shape.meta_size);
    }
    ret->meta_size = shape.meta_size;
    ret->flags = shape.flags;
    ret->cost_ns = cell_cost(cell_load(&cell[2]));
    ret->era = cell_era(cell_load(&cell[2]));
    ret->expires_at_ns = cell_load(&cell[3]);
    return SHARD_HIT;
}

shard_answer shard_get(memory_shard *shard, const brisk_key *key, brisk_hit *ret)
{
    garbage trash = {.count = 0};
    shard_answer answer = SHARD_MISS;
    shard_lock(shard);
    table_place place;
    if (find_key(shard, key, &place)) {
        uint64_t expires = cell_load(&space_cell(&shard->space, place.line)[3]);
        drain_hits(shard);
        if (expires != 0 && expires <= brisk_clock_wall_ns(shard->clock)) {
            tell_drop(shard, place.line, BRISK_DROP_EXPIRED);
            drop_entry(shard, place, false, &trash);
            shard->expired++;
        } else {
            answer = read_entry(shard, place.line, ret);
            policy_hit hit = {.id = id_of_line(place.line),
                              .hash = shard_policy_hash(key->hash.lo)};
            shard->policy_ops->on_hits(shard->policy, &hit, 1);
        }
    }
    shard_unlock(shard);
    free_garbage(&trash);
    return answer;
}

void shard_take_hits(memory_shard *shard)
{
    shard_lock(shard);
    drain_hits(shard);
    shard_unlock(shard);
}

void shard_read_stats(memory_shard *shard, brisk_tier_stats *stats)
{
    shard_lock(shard);
    stats->puts += shard->puts;
    stats->removes += shard->removes;
    stats->evictions += shard->evictions;
    stats->expired += shard->expired;
    stats->rejects += shard->rejects;
    stats->entries += shard->entries;
    stats->bytes += shard->bytes_fixed + shard->bytes_used;
    stats->raw_bytes += shard->raw_bytes;
    stats->stored_bytes += shard->raw_bytes;
    shard_unlock(shard);
}

bool shard_is_valid(memory_shard *shard)
{
    shard_lock(shard);
    bool valid = shard_is_valid_locked(shard);
    shard_unlock(shard);
    return valid;
}

/* --- by key, without a hit ---------------------------------------------------------------- */

static bool is_due(const memory_shard *shard, uint64_t expires)
{
    return expires != 0 && expires <= brisk_clock_wall_ns(shard->clock);
}

static bool read_info(const memory_shard *shard, uint32_t line, brisk_entry_info *ret)
{
    const cell_word *cell = space_cell(&shard->space, line);
    cell_shape shape = cell_unpack(cell_load(&cell[1]));
    uint32_t cell_class = space_class_of(cell_words(shape) * 8);
    *ret = (brisk_entry_info){
        .size = shape.value_size,
        .held = outside_bytes(shape) + (uint64_t)space_class_lines(cell_class) * LINE_BYTES,
        .expires_at_ns = cell_load(&cell[3]),
        .cost_ns = cell_cost(cell_load(&cell[2])),
        .flags = shape.flags,
        .meta_size = shape.meta_size,
        .era = cell_era(cell_load(&cell[2])),
    };
    return !is_due(shard, ret->expires_at_ns);
}

bool shard_info(memory_shard *shard, const brisk_key *key, brisk_entry_info *ret)
{
    shard_lock(shard);
    table_place place;
    brisk_entry_info info;
    bool found = find_key(shard, key, &place) && read_info(shard, place.line, &info);
    shard_unlock(shard);
    if (found) {
        *ret = info;
    }
    return found;
}

bool shard_expire(memory_shard *shard, const brisk_key *key, uint64_t expires_at_ns)
{
    shard_lock(shard);
    table_place place;
    brisk_entry_info info;
    bool found = find_key(shard, key, &place) && read_info(shard, place.line, &info);
    if (found) {
        cell_store(&space_cell(&shard->space, place.line)[3], expires_at_ns);
    }
    shard_unlock(shard);
    return found;
}

typedef struct edit_buffer {
    const memory_shard *shard;
    size_t capacity;
    size_t size_max;
} edit_buffer;

static bool edit_resize(brisk_memory_edit *edit, size_t size)
{
    edit_buffer *buffer = edit->private_;
    if (size > buffer->size_max) {
        return false;
    }
    const brisk_alloc *alloc = buffer->shard->alloc;
    if (size > buffer->capacity) {
        unsigned char *data = alloc->acquire(alloc->ctx, size, 8);
        if (data == NULL) {
            return false;
        }
        if (edit->size != 0) {
            memcpy(data, edit->data, edit->size);
        }
        if (edit->data != NULL) {
            alloc->release(alloc->ctx, edit->data, buffer->capacity, 8);
        }
        edit->data = data;
        buffer->capacity = size;
    }
    if (size > edit->size) {
        memset(edit->data + edit->size, 0, size - edit->size);
    }
    edit->size = size;
    edit->present = true;
    return true;
}

static brisk_err store_edit(memory_shard *shard, const brisk_key *key,
                            const brisk_memory_edit *edit, brisk_entry_opts *opts, garbage *trash)
{
    brisk_value *value = NULL;
    cell_shape shape;
    unsigned char *block = NULL;
    opts->expires_at_ns = edit->expires_at_ns;
    brisk_err err = brisk_value_copy(edit->data, edit->size, shard->alloc, &value);
    if (err == BRISK_OK) {
        err = shape_entry(shard, key, value, opts, &shape);
    }
    if (err == BRISK_OK) {
        err = make_block(shard, shape, key, opts, &block);
    }
    if (err == BRISK_OK &&
        !store_locked(shard, &(store_plan){shape, key, value, opts, block}, trash)) {
        err = BRISK_ERR_FULL;
        if (block != NULL) {
            shard->alloc->release(shard->alloc->ctx, block, block_bytes_of(shape), 1);
        }
    }
    if (err != BRISK_OK) {
        (void)drop_key(shard, key, trash);
    }
    brisk_value_unref(value);
    return err;
}

static brisk_err run_edit(memory_shard *shard, const brisk_key *key, shard_edit fn, void *ctx,
                          garbage *trash)
{
    edit_buffer buffer = {
        .shard = shard,
        .size_max = (size_t)((shard->bytes_fixed + shard->bytes_budget) / SHARD_VALUE_SHARE),
    };
    brisk_memory_edit edit = {.resize = edit_resize, .private_ = &buffer};
    brisk_entry_opts opts = {0};
    brisk_hit hit = {.value = NULL};
    table_place place;
    brisk_entry_info info;
    brisk_err err = BRISK_OK;
    bool was = find_key(shard, key, &place) && read_info(shard, place.line, &info);
    if (was) {
        if (read_entry(shard, place.line, &hit) != SHARD_HIT ||
            !edit_resize(&edit, (size_t)brisk_value_size(hit.value))) {
            err = BRISK_ERR_NOMEM;
        } else if (edit.size != 0) {
            memcpy(edit.data, brisk_value_data(hit.value), edit.size);
        }
        opts = (brisk_entry_opts){.flags = info.flags,
                                  .meta_size = info.meta_size,
                                  .meta = hit.meta,
                                  .cost_ns = info.cost_ns,
                                  .era = info.era};
        edit.expires_at_ns = info.expires_at_ns;
        brisk_value_unref(hit.value);
    }
    if (err == BRISK_OK) {
        err = fn(ctx, &edit);
    }
    if (err == BRISK_OK && edit.remove) {
        shard->removes += drop_key(shard, key, trash);
    } else if (err == BRISK_OK && edit.present) {
        err = store_edit(shard, key, &edit, &opts, trash);
    }
    if (edit.data != NULL) {
        shard->alloc->release(shard->alloc->ctx, edit.data, buffer.capacity, 8);
    }
    return err;
}

brisk_err shard_update(memory_shard *shard, const brisk_key *key, shard_edit fn, void *ctx)
{
    garbage trash = {.count = 0};
    shard_lock(shard);
    drain_hits(shard);
    brisk_err err = run_edit(shard, key, fn, ctx, &trash);
    BRISK_AUDIT(looks_valid(shard));
    shard_unlock(shard);
    free_garbage(&trash);
    return err;
}

/* --- walks -------------------------------------------------------------------------------- */

static void visit_line(const memory_shard *shard, uint32_t line, shard_visit visit, void *ctx)
{
    const cell_word *cell = space_cell(&shard->space, line);
    cell_shape shape = cell_unpack(cell_load(&cell[1]));
    brisk_memory_visit v = {
        .key = key_in_cell(cell, shape),
        .key_size = shape.key_size,
    };
    if (read_info(shard, line, &v.info)) {
        visit(ctx, &v);
    }
}

/* Visit the entries of one bucket; returns how many slots are taken. */
static uint32_t visit_bucket(const memory_shard *shard, uint32_t at, shard_visit visit, void *ctx)
{
    uint32_t seen = 0;
    if (!table_is_ready(&shard->table, at)) {
        return 0;
    }
    const memory_bucket *bucket = &shard->table.buckets[at];
    for (uint32_t slot = 0; slot < BUCKET_SLOTS; slot++) {
        uint64_t tags = atomic_load_explicit(&bucket->tags[slot / 4], memory_order_relaxed);
        if ((tags >> slot % 4 * 16 & 0xffff) != 0) {
            seen++;
            visit_line(shard, atomic_load_explicit(&bucket->lines[slot], memory_order_relaxed),
                       visit, ctx);
        }
    }
    return seen;
}

uint32_t shard_scan(memory_shard *shard, uint32_t *at, uint32_t count, shard_visit visit, void *ctx)
{
    uint32_t seen = 0;
    uint32_t buckets = 0;
    shard_lock(shard);
    while (*at < shard->table.bucket_count && seen < count && buckets < count + 64) {
        seen += visit_bucket(shard, *at, visit, ctx);
        ++*at;
        buckets++;
    }
    shard_unlock(shard);
    return seen + buckets / 8;
}

static void visit_once(void *ctx, const brisk_memory_visit *entry)
{
    random_visit *r = ctx;
    if (r->skip-- == 0) {
        r->visit(r->ctx, entry);
        r->done = true;
    }
}

bool shard_random(memory_shard *shard, uint64_t number, random_visit *r)
{
    shard_lock(shard);
    uint32_t count = shard->table.bucket_count;
    uint32_t at = (uint32_t)((number >> 32) * count >> 32);
    for (uint32_t i = 0; i < count && !r->done; i++) {
        r->skip = number % BUCKET_SLOTS;
        uint32_t seen = visit_bucket(shard, at, visit_once, r);
        if (!r->done && seen != 0) {
            r->skip = number % seen;
            (void)visit_bucket(shard, at, visit_once, r);
        }
        at = table_next(&shard->table, at);
    }
    shard_unlock(shard);
    return r->done;
}

/* --- limits and time ---------------------------------------------------------------------- */

brisk_err shard_resize(memory_shard *shard, uint64_t bytes, uint64_t entries_max)
{
    if (bytes < SHARD_BYTES_MIN || bytes > shard->bytes_top || bytes <= shard->bytes_fixed) {
        return BRISK_ERR_INVALID;
    }
    garbage trash = {.count = 0};
    shard_lock(shard);
    drain_hits(shard);
    uint64_t budget = bytes - shard->bytes_fixed;
    shard->entries_max = entries_max != 0 ? entries_max : UINT64_MAX;
    while (shard->bytes_used > budget || shard->entries > shard->entries_max) {
        if (!collect_chunk(shard, true) && !evict_one(shard, &trash)) {
            break;
        }
    }
    shard->bytes_budget = budget;
    shard_unlock(shard);
    free_garbage(&trash);
    return BRISK_OK;
}

/* Drop what is due in some buckets; false when all were looked at. */
bool shard_tend(memory_shard *shard, uint32_t *at, uint64_t *dropped)
{
    garbage trash = {.count = 0};
    shard_lock(shard);
    drain_hits(shard);
    for (uint32_t end = *at + 64; *at < end && *at < shard->table.bucket_count; ++*at) {
        if (!table_is_ready(&shard->table, *at)) {
            continue;
        }
        memory_bucket *bucket = &shard->table.buckets[*at];
        for (uint32_t slot = 0; slot < BUCKET_SLOTS; slot++) {
            trim_garbage(shard, &trash);
            uint64_t tags = atomic_load_explicit(&bucket->tags[slot / 4], memory_order_relaxed);
            uint32_t line = atomic_load_explicit(&bucket->lines[slot], memory_order_relaxed);
            if ((tags >> slot % 4 * 16 & 0xffff) != 0 &&
                is_due(shard, cell_load(&space_cell(&shard->space, line)[3]))) {
                tell_drop(shard, line, BRISK_DROP_EXPIRED);
                drop_entry(shard, place_of_line(shard, line), false, &trash);
                shard->expired++;
                ++*dropped;
            }
        }
    }
    bool more = *at < shard->table.bucket_count;
    shard_unlock(shard);
    free_garbage(&trash);
    return more;
}
