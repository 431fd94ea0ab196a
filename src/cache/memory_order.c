/*
 * memory_order.c -- what the policy is told, and when it sleeps.
 *
 * While a shard can take in everything, the order in which entries would leave is worth nothing
 * and costs a cache miss and a few instructions at every hit, and memory for every entry.  So in
 * large shards the policy sleeps until three quarters are in use.  Then it learns the entries, a
 * few at each put, in the order of their chunks, which is about that of their age; from that
 * moment hits are noted.  Small shards never sleep, so that their order is exact.
 *
 * An entry is known to the policy when its index in the chunk is below chunk.known.  Ids are
 * dense where cells are: chunk's number in the shard << id_shift | index; the policy's memory is
 * touched for cells in use only and charged for all cells of chunks in use.
 *
 * Threads: the shard's lock is held.
 */
#include "base/assert.h"
#include "cache/memory_map.h"
#include "cache/memory_shard.h"
#include "cache/memory_use.h"

enum {
    FEED_CELLS = 64, /* at each put */
    ROOM_PARTS = 16, /* of a shard's bytes, that a policy may use for itself */
};

#define ALL_KNOWN UINT32_MAX

static const uint64_t second_ns = UINT64_C(1000000000);

static uint32_t id_of(const memory_shard *shard, uint32_t line)
{
    const memory_space *space = &shard->space;
    const space_chunk *chunk = &space->chunks[space_chunk_of(space, line)];
    return chunk->local << space->classes->id_shift | space_index(space, line);
}

static uint32_t line_of(const memory_shard *shard, uint32_t id)
{
    const memory_space *space = &shard->space;
    uint32_t chunk = space->locals[id >> space->classes->id_shift];
    return space_line(space, chunk, id & ((UINT32_C(1) << space->classes->id_shift) - 1));
}

static bool knows(const memory_shard *shard, uint32_t line)
{
    if (shard->order.state == ORDER_ASLEEP) {
        return false;
    }
    const memory_space *space = &shard->space;
    const space_chunk *chunk = &space->chunks[space_chunk_of(space, line)];
    return chunk->known == ALL_KNOWN || space_index(space, line) < chunk->known;
}

/* When the entry expires, in whole seconds, not 0 unless never. */
static uint32_t expiry_seconds(const memory_shard *shard, uint32_t line)
{
    const unsigned char *cell = space_cell(&shard->space, line);
    cell_shape shape = cell_shape_of(cell_head(cell));
    uint64_t ns = cell_field(cell, &shape, CELL_EXPIRY);
    uint64_t seconds = ns / second_ns + (ns != 0);
    return seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
}

/* --- life ----------------------------------------------------------------------------------- */

static brisk_err make_policy(const policy_ops *ops, uint32_t id_count, const brisk_alloc *alloc,
                             shard_order *ret)
{
    size_t bytes = ops->bytes(id_count);
    void *storage = memory_map_take(alloc, bytes);
    if (storage == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *ret = (shard_order){
        .ops = ops,
        .self = ops->init(storage, id_count),
        .storage = storage,
        .bytes = bytes,
        .id_count = id_count,
        .id_bytes = (uint32_t)((bytes + id_count - 1) / id_count),
    };
    return BRISK_OK;
}

static void free_policy(const shard_order *order, const brisk_alloc *alloc)
{
    if (order->storage != NULL) {
        if (order->ops->deinit != NULL) {
            order->ops->deinit(order->self);
        }
        memory_map_give(alloc, order->storage, order->bytes);
    }
}

brisk_err order_init(memory_shard *shard, const policy_ops *ops, uint32_t id_count, bool sleeps)
{
    brisk_err err = make_policy(ops, id_count, shard->alloc, &shard->order);
    if (err != BRISK_OK) {
        return err;
    }
    shard->order.sleeps = sleeps;
    shard->order.state = sleeps ? ORDER_ASLEEP : ORDER_AWAKE;
    bool notes = !sleeps || shard->track_use;
    atomic_store_explicit(&shard->watch, notes ? SHARD_NOTES : 0, memory_order_relaxed);
    order_tell_capacity(shard);
    return BRISK_OK;
}

void order_deinit(memory_shard *shard)
{
    free_policy(&shard->order, shard->alloc);
}

void order_tell_capacity(memory_shard *shard)
{
    shard_order *order = &shard->order;
    uint64_t fit = shard->entries_max;
    if (fit == UINT64_MAX) {
        /* As full as it is: so many; before that, what half of the memory in use suggests. */
        uint64_t used = shard->bytes_used != 0 ? shard->bytes_used : 1;
        fit =
            shard->entries == 0
                ? shard->bytes_budget / 128
                : (uint64_t)((double)shard->entries * ((double)shard->bytes_budget / (double)used));
    }
    fit = fit < 1 ? 1 : fit < POLICY_IDS_MAX ? fit : POLICY_IDS_MAX;
    order->capacity_told = fit;
    if (order->ops->set_room != NULL) {
        order->ops->set_room(order->self, (size_t)(shard->bytes_budget / ROOM_PARTS));
    }
    order->ops->set_capacity(order->self, (uint32_t)fit);
}

/* --- chunks --------------------------------------------------------------------------------- */

void order_begin_chunk(memory_shard *shard, uint32_t at)
{
    shard_order *order = &shard->order;
    space_chunk *chunk = &shard->space.chunks[at];
    if (order->state != ORDER_ASLEEP && chunk->cell_class < space_segments(&shard->space)) {
        chunk->known = ALL_KNOWN;
        order->ops->add_ids(order->self, chunk->local << shard->space.classes->id_shift,
                            chunk->cells);
        shard->bytes_used += (uint64_t)chunk->cells * order->id_bytes;
    }
}

void order_end_chunk(memory_shard *shard, uint32_t at)
{
    const space_chunk *chunk = &shard->space.chunks[at];
    if (shard->order.state != ORDER_ASLEEP && chunk->cell_class < space_segments(&shard->space)) {
        shard->bytes_used -= (uint64_t)chunk->cells * shard->order.id_bytes;
    }
}

/* --- entries -------------------------------------------------------------------------------- */

void order_miss(memory_shard *shard, uint64_t hash)
{
    if (shard->order.state == ORDER_AWAKE && shard->order.ops->on_miss != NULL) {
        shard->order.ops->on_miss(shard->order.self, shard_policy_hash(hash));
    }
}

static void tell_insert(memory_shard *shard, uint32_t line, uint64_t hash)
{
    policy_entry entry = {
        .id = id_of(shard, line),
        .hash = shard_policy_hash(hash),
        .expires_s = expiry_seconds(shard, line),
    };
    shard->order.ops->on_insert(shard->order.self, &entry);
}

void order_insert(memory_shard *shard, uint32_t line, uint64_t hash)
{
    if (knows(shard, line)) {
        tell_insert(shard, line, hash);
    }
}

void order_hit(memory_shard *shard, uint32_t line, uint64_t hash)
{
    if (shard->order.state == ORDER_ASLEEP && !shard->track_use) {
        return;
    }
    order_notes(shard, &(hit_note){.line = line, .hash = shard_policy_hash(hash)}, 1);
}

static void note_use(memory_shard *shard, uint32_t line, uint32_t now_s)
{
    unsigned char *cell = space_cell(&shard->space, line);
    cell_shape shape = cell_shape_of(cell_head(cell));
    if ((shape.fields & CELL_USE) != 0) {
        size_t at = cell_field_at(shape.fields, CELL_USE);
        cell_set_word(cell, at, use_again(cell_word(cell, at), now_s));
    }
}

void order_notes(memory_shard *shard, const hit_note *notes, uint32_t count)
{
    BRISK_ASSERT(count <= HITS_RING);
    policy_hit hits[HITS_RING];
    uint32_t told = 0;
    const unsigned char *ids = shard->order.storage;
    ids += shard->order.ops->ids_at;
    uint32_t now_s =
        shard->track_use ? (uint32_t)(brisk_clock_wall_ns(shard->clock) / second_ns) : 0;
    for (uint32_t i = 0; i < count; i++) {
        /* A note may be older than what happened to its cell since. */
        if (!space_is_live(&shard->space, notes[i].line)) {
            continue;
        }
        if (shard->track_use) {
            note_use(shard, notes[i].line, now_s);
        }
        if (knows(shard, notes[i].line)) {
            uint32_t id = id_of(shard, notes[i].line);
            __builtin_prefetch(ids + id * shard->order.ops->id_bytes, 1);
            hits[told++] = (policy_hit){.id = id, .hash = notes[i].hash};
        }
    }
    if (told != 0) {
        shard->order.ops->on_hits(shard->order.self, hits, told);
    }
}

void order_remove(memory_shard *shard, uint32_t line, bool evicted)
{
    if (knows(shard, line)) {
        const policy_ops *ops = shard->order.ops;
        (evicted ? ops->on_evict : ops->on_remove)(shard->order.self, id_of(shard, line));
    }
}

/* Before the entry leaves `from`, whose cell still has it; `to` has it already. */
void order_move(memory_shard *shard, uint32_t from, uint32_t to)
{
    bool was = knows(shard, from);
    bool will = knows(shard, to);
    const policy_ops *ops = shard->order.ops;
    if (was && will) {
        ops->on_move(shard->order.self, id_of(shard, from), id_of(shard, to));
    } else if (was) {
        ops->on_remove(shard->order.self, id_of(shard, from));
    } else if (will) {
        tell_insert(shard, to, shard_hash_of(shard, to));
    }
}

void order_expiry(memory_shard *shard, uint32_t line)
{
    if (shard->order.ops->on_expiry != NULL && knows(shard, line)) {
        shard->order.ops->on_expiry(shard->order.self, id_of(shard, line),
                                    expiry_seconds(shard, line));
    }
}

static space_chunk *chunk_at(const memory_shard *shard, uint32_t local)
{
    uint32_t at = space_local(&shard->space, local);
    return at != SPACE_NONE ? &shard->space.chunks[at] : NULL;
}

/* --- sleep ---------------------------------------------------------------------------------- */

static uint64_t ids_charge(const memory_shard *shard)
{
    return shard->space.cells_held * shard->order.id_bytes;
}

static bool is_time(const memory_shard *shard)
{
    return shard->bytes_used + ids_charge(shard) > shard->bytes_budget / 4 * 3 ||
           (shard->entries_max != UINT64_MAX && shard->entries > shard->entries_max / 4 * 3);
}

static void wake(memory_shard *shard)
{
    memory_space *space = &shard->space;
    shard->order.state = ORDER_WAKING;
    shard->order.feed_at = 0;
    for (uint32_t local = 0; local < space->locals_end; local++) {
        space_chunk *chunk = chunk_at(shard, local);
        if (chunk != NULL) {
            chunk->known = 0;
        }
    }
    shard->bytes_used += ids_charge(shard);
    /* Relaxed: it does not matter from which hit on they are noted. */
    atomic_fetch_or_explicit(&shard->watch, SHARD_NOTES, memory_order_relaxed);
    order_tell_capacity(shard);
}

/* The policy learns up to `cells` more cells' entries. */
static void feed(memory_shard *shard, uint32_t cells)
{
    shard_order *order = &shard->order;
    memory_space *space = &shard->space;
    while (cells != 0 && order->feed_at < space->locals_end) {
        space_chunk *chunk = chunk_at(shard, order->feed_at);
        if (chunk == NULL || chunk->known >= chunk->fresh) {
            if (chunk != NULL && chunk->known != ALL_KNOWN) {
                if (chunk->known == 0) {
                    order->ops->add_ids(order->self, order->feed_at << space->classes->id_shift,
                                        chunk->cells);
                }
                chunk->known = ALL_KNOWN;
            }
            order->feed_at++;
            continue;
        }
        if (chunk->known == 0) {
            order->ops->add_ids(order->self, order->feed_at << space->classes->id_shift,
                                chunk->cells);
        }
        uint32_t line = space_line(space, space->locals[order->feed_at], chunk->known);
        chunk->known++;
        if (cell_is_live(space_cell(space, line))) {
            tell_insert(shard, line, shard_hash_of(shard, line));
        }
        cells--;
    }
    if (order->feed_at >= space->locals_end) {
        order->state = ORDER_AWAKE;
    }
}

void order_step(memory_shard *shard)
{
    shard_order *order = &shard->order;
    if (order->state == ORDER_ASLEEP && is_time(shard)) {
        wake(shard);
    }
    if (order->state == ORDER_WAKING) {
        feed(shard, FEED_CELLS);
    }
}

uint32_t order_victim(memory_shard *shard)
{
    shard_order *order = &shard->order;
    if (order->state == ORDER_ASLEEP) {
        wake(shard);
    }
    if (order->state == ORDER_WAKING) {
        feed(shard, UINT32_MAX);
    }
    uint64_t told = order->capacity_told;
    uint64_t off = shard->entries > told ? shard->entries - told : told - shard->entries;
    if (shard->entries_max == UINT64_MAX && off > shard->entries / 32) {
        order->capacity_told = shard->entries;
        order->ops->set_capacity(order->self, (uint32_t)shard->entries);
    }
    uint32_t id = order->ops->victim(order->self);
    return id != POLICY_NONE ? line_of(shard, id) : SPACE_NONE;
}

void order_forget(memory_shard *shard)
{
    shard_order *order = &shard->order;
    if (!order->sleeps || order->state == ORDER_ASLEEP) {
        return;
    }
    if (order->state == ORDER_WAKING) {
        feed(shard, UINT32_MAX);
    }
    shard->bytes_used -= ids_charge(shard);
    order->state = ORDER_ASLEEP;
}

/* --- another policy ------------------------------------------------------------------------- */

typedef struct handover {
    memory_shard *shard;
    shard_order *to;
} handover;

static void hand_over(void *ctx, uint32_t id)
{
    handover *h = ctx;
    uint32_t line = line_of(h->shard, id);
    policy_entry entry = {
        .id = id,
        .hash = shard_policy_hash(shard_hash_of(h->shard, line)),
        .expires_s = expiry_seconds(h->shard, line),
    };
    h->to->ops->on_insert(h->to->self, &entry);
}

static void add_all_ids(const memory_shard *shard, const shard_order *order)
{
    for (uint32_t local = 0; local < shard->space.locals_end; local++) {
        const space_chunk *chunk = chunk_at(shard, local);
        if (chunk != NULL) {
            order->ops->add_ids(order->self, local << shard->space.classes->id_shift, chunk->cells);
        }
    }
}

brisk_err shard_set_policy(memory_shard *shard, const policy_ops *ops)
{
    shard_lock(shard);
    shard_drain(shard);
    shard_order made;
    brisk_err err = make_policy(ops, shard->order.id_count, shard->alloc, &made);
    if (err == BRISK_OK) {
        if (shard->order.state == ORDER_WAKING) {
            feed(shard, UINT32_MAX);
        }
        bool awake = shard->order.state == ORDER_AWAKE;
        shard->bytes_used -= awake ? ids_charge(shard) : 0;
        shard_order old = shard->order;
        made.sleeps = old.sleeps;
        made.state = old.state;
        shard->order = made;
        shard->bytes_used += awake ? ids_charge(shard) : 0;
        order_tell_capacity(shard);
        if (awake) {
            add_all_ids(shard, &made);
            old.ops->each(old.self, hand_over, &(handover){.shard = shard, .to = &shard->order});
        }
        free_policy(&old, shard->alloc);
        garbage trash = {.count = 0};
        while (shard->bytes_used > shard->bytes_budget && room_evict(shard, &trash)) {
            (void)room_collect(shard, true);
        }
        BRISK_AUDIT(shard_looks_valid(shard));
        shard_unlock(shard);
        shard_free_garbage(&trash);
        return BRISK_OK;
    }
    shard_unlock(shard);
    return err;
}

const char *shard_policy(memory_shard *shard, const char **ret_chosen)
{
    shard_lock(shard);
    const policy_ops *ops = shard->order.ops;
    *ret_chosen = ops->at_work != NULL ? ops->at_work(shard->order.self) : NULL;
    shard_unlock(shard);
    return ops->name;
}
