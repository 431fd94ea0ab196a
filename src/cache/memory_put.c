/*
 * memory_put.c -- storing and removing.
 *
 * A new cell is written before the table shows it.  A value that fits the cell of the old one is
 * written over it while the bucket's number is odd: no cell changes hands, and the policy sees a
 * hit of the same id.
 *
 * Threads: shard_... take the lock; put_... want it held.
 */
#include "base/assert.h"
#include "cache/memory_shard.h"
#include "cache/memory_use.h"
#include "cache/value_blocks.h"

/* What an item becomes. */
typedef struct plan {
    const shard_item *item;
    cell_shape shape;
    brisk_value *value;   /* by reference; the plan's own reference until it is stored */
    unsigned char *block; /* of key and meta; likewise */
    uint32_t cell_class;
} plan;

uint64_t put_value_max(const memory_shard *shard)
{
    /* Relaxed: what fitted a moment ago and no longer does finds no room later. */
    return atomic_load_explicit(&shard->value_max, memory_order_relaxed);
}

static uint32_t fields_of(const memory_shard *shard, const shard_item *item)
{
    uint32_t fields = shard->track_use ? CELL_USE : 0;
    fields |= item->opts->expires_at_ns != 0 ? (uint32_t)CELL_EXPIRY : 0;
    fields |= item->opts->cost_ns != 0 ? (uint32_t)CELL_COST : 0;
    fields |= item->key->size > 255 ? (uint32_t)CELL_WIDE : 0;
    return fields;
}

static void set_fields(cell_shape *shape, uint32_t fields)
{
    bool is_long = fields != 0 || shape->meta_size != 0;
    shape->fields = fields | (shape->meta_size > 255 ? (uint32_t)CELL_META_TOP : 0);
    shape->flags = (shape->flags & ~(uint32_t)CELL_LONG) | (is_long ? (uint32_t)CELL_LONG : 0);
    shape->payload_at = is_long ? cell_payload_at(shape->fields) : (uint32_t)CELL_SHORT_HEAD;
}

/* What the cell would look like, or why the tier does not keep the item. */
static brisk_err shape_item(const memory_shard *shard, const shard_item *item, cell_shape *ret)
{
    const brisk_entry_opts *opts = item->opts;
    if ((opts->flags & ~(uint32_t)CELL_ENTRY_FLAGS) != 0 || opts->meta_size > BRISK_TIER_META_MAX) {
        return BRISK_ERR_INVALID;
    }
    bool is_file = item->value != NULL && brisk_value_data(item->value) == NULL;
    if (is_file || item->size > put_value_max(shard)) {
        return BRISK_ERR_DECLINED;
    }
    cell_shape shape = {
        .flags = CELL_LIVE | opts->flags << CELL_ENTRY_SHIFT,
        .key_size = (uint32_t)item->key->size,
        .meta_size = opts->meta_size,
        .value_size = item->size <= CELL_VALUE_MAX ? (uint32_t)item->size : 0,
        .era = opts->era,
    };
    size_t most = (size_t)shard->space.classes->words_max * WORD_BYTES;
    uint32_t fields = fields_of(shard, item);
    set_fields(&shape, fields);
    if (item->size > CELL_VALUE_MAX || cell_bytes(&shape) > most) {
        shape.value_size = 0;
        set_fields(&shape, fields | CELL_VALUE);
    }
    if (cell_bytes(&shape) > most) {
        set_fields(&shape, fields | CELL_VALUE | CELL_BLOCK);
    }
    *ret = shape;
    return BRISK_OK;
}

static void free_plan(const memory_shard *shard, plan *p)
{
    if (p->block != NULL) {
        shard->alloc->release(shard->alloc->ctx, p->block,
                              (size_t)p->shape.key_size + p->shape.meta_size, 1);
    }
    brisk_value_unref(p->value);
}

static brisk_err make_block(const memory_shard *shard, plan *p)
{
    const shard_item *item = p->item;
    size_t size = item->key->size + p->shape.meta_size;
    p->block = shard->alloc->acquire(shard->alloc->ctx, size, 1);
    if (p->block == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memcpy(p->block, item->key->bytes, item->key->size);
    if (p->shape.meta_size != 0) {
        memcpy(p->block + item->key->size, item->opts->meta, p->shape.meta_size);
    }
    return BRISK_OK;
}

/* The tables compute hashes anew when they grow. */
static bool is_true_key(const brisk_key *key)
{
    return brisk_hash128_of(key->bytes, key->size, 0).lo == key->hash.lo;
}

static brisk_err make_plan(const memory_shard *shard, const shard_item *item, plan *ret)
{
    BRISK_AUDIT(is_true_key(item->key));
    plan p = {.item = item};
    brisk_err err = shape_item(shard, item, &p.shape);
    if (err == BRISK_OK && (p.shape.fields & CELL_VALUE) != 0) {
        if (item->value != NULL) {
            p.value = brisk_value_ref(item->value);
        } else {
            err = brisk_value_copy(item->data, (size_t)item->size, shard->alloc, &p.value);
        }
    }
    if (err == BRISK_OK && (p.shape.fields & CELL_BLOCK) != 0) {
        err = make_block(shard, &p);
    }
    if (err != BRISK_OK) {
        free_plan(shard, &p);
        return err;
    }
    p.cell_class = space_class_of(&shard->space, cell_bytes(&p.shape));
    *ret = p;
    return BRISK_OK;
}

/* --- writing a cell ------------------------------------------------------------------------- */

static uint64_t head_of(const cell_shape *shape)
{
    uint64_t head = shape->flags | (uint64_t)shape->value_size << 16 | (uint64_t)shape->era << 32;
    head |= shape->key_size <= 255 ? (uint64_t)shape->key_size << 8 : 0;
    if ((shape->flags & CELL_LONG) != 0) {
        head |= (uint64_t)shape->fields << 48 | (uint64_t)(shape->meta_size & 255) << 56;
    }
    return head;
}

static void set_image_word(unsigned char *image, const cell_shape *shape, uint32_t field,
                           uint64_t value)
{
    if ((shape->fields & field) != 0) {
        memcpy(image + cell_field_at(shape->fields, field), &value, sizeof value);
    }
}

/* The cell's bytes as they will be; returns how many words. */
static size_t make_image(const plan *p, uint64_t use, unsigned char *image)
{
    const cell_shape *shape = &p->shape;
    const shard_item *item = p->item;
    uint64_t head = head_of(shape);
    size_t bytes = cell_bytes(shape);
    size_t words = (bytes + WORD_BYTES - 1) / WORD_BYTES;
    memset(image + (words - 1) * WORD_BYTES, 0, WORD_BYTES);
    memcpy(image, &head, bytes < sizeof head ? bytes : sizeof head);
    uint64_t wide = item->key->size > 255 ? item->key->size : 0;
    set_image_word(image, shape, CELL_USE, use);
    set_image_word(image, shape, CELL_EXPIRY, item->opts->expires_at_ns);
    set_image_word(image, shape, CELL_COST, item->opts->cost_ns);
    set_image_word(image, shape, CELL_WIDE, wide);
    set_image_word(image, shape, CELL_VALUE, (uintptr_t)p->value);
    set_image_word(image, shape, CELL_BLOCK, (uintptr_t)p->block);
    unsigned char *at = image + shape->payload_at;
    if ((shape->fields & CELL_BLOCK) == 0) {
        memcpy(at, item->key->bytes, item->key->size);
        at += item->key->size;
        if (shape->meta_size != 0) {
            memcpy(at, item->opts->meta, shape->meta_size);
            at += shape->meta_size;
        }
    }
    if (shape->value_size != 0) {
        memcpy(at, item->value != NULL ? brisk_value_data(item->value) : item->data,
               shape->value_size);
    }
    return words;
}

static void write_image(unsigned char *cell, const unsigned char *image, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        uint64_t word;
        memcpy(&word, image + i * WORD_BYTES, sizeof word);
        cell_set_word(cell, i * WORD_BYTES, word);
    }
}

/* What is known of the use of the key's entry; the put itself is told as a hit. */
static uint64_t use_so_far(const memory_shard *shard, const table_place *old)
{
    if (old == NULL) {
        uint64_t now_s = brisk_clock_wall_ns(shard->clock) / UINT64_C(1000000000);
        return use_pack((uint32_t)now_s, 0, 0);
    }
    const unsigned char *cell = space_cell(&shard->space, old->line);
    cell_shape shape = cell_shape_of(cell_head(cell));
    return cell_field(cell, &shape, CELL_USE);
}

static void write_cell(memory_shard *shard, const plan *p, uint32_t line, const table_place *old)
{
    _Alignas(8) unsigned char image[CELL_BYTES_MAX];
    uint64_t use = (p->shape.fields & CELL_USE) != 0 ? use_so_far(shard, old) : 0;
    size_t words = make_image(p, use, image);
    unsigned char *cell = space_cell(&shard->space, line);
    bool over = old != NULL && old->line == line;
    if (over) {
        table_begin_change(*old);
    }
    write_image(cell, image, words);
    if (over) {
        table_end_change(*old);
    }
    tend_note_expiry(shard, line, p->item->opts->expires_at_ns);
}

/* --- storing -------------------------------------------------------------------------------- */

bool put_drop_key(memory_shard *shard, const brisk_key *key, drop_reason reason, garbage *trash)
{
    shard_trim(shard, trash);
    table_place place;
    if (!shard_find(shard, key, &place)) {
        return false;
    }
    shard_drop(shard, place, key->hash.lo, reason, trash);
    return true;
}

static uint64_t outside_of(const plan *p)
{
    return shard_outside(&p->shape, p->value);
}

/* Room for an entry: its bytes outside charged and a cell taken, or neither. */
static uint32_t take_room(memory_shard *shard, const plan *p, bool evict, garbage *trash)
{
    uint64_t outside = outside_of(p);
    if (!room_charge(shard, outside, evict, trash)) {
        return SPACE_NONE;
    }
    uint32_t line = room_take_cell(shard, p->cell_class, evict, trash);
    if (line == SPACE_NONE) {
        shard->bytes_used -= outside;
    }
    return line;
}

/* Overwrite the entry at `place` in its cell, when it fits and both hold nothing outside. */
static bool store_over(memory_shard *shard, const plan *p, table_place place)
{
    cell_shape old = cell_shape_of(cell_head(space_cell(&shard->space, place.line)));
    const uint32_t outside = CELL_VALUE | CELL_BLOCK;
    const space_chunk *chunk = &shard->space.chunks[space_chunk_of(&shard->space, place.line)];
    if (((old.fields | p->shape.fields) & outside) != 0 || chunk->cell_class != p->cell_class) {
        return false;
    }
    write_cell(shard, p, place.line, &place);
    return true;
}

/* The new entry in `line` takes the place of the one at `place`, without a moment of neither. */
static void replace_entry(memory_shard *shard, const plan *p, table_place place, uint32_t line,
                          garbage *trash)
{
    write_cell(shard, p, line, &place);
    table_repoint(&shard->table, place, line);
    order_move(shard, place.line, line);
    shard_release_outside(shard, place.line, trash);
    space_give(&shard->space, place.line);
}

/* A new key comes: the limits of entries and slots are kept. */
static bool begin_insert(memory_shard *shard, const brisk_key *key, garbage *trash)
{
    while (shard->entries >= shard->entries_max) {
        if (!room_evict(shard, trash)) {
            return false;
        }
    }
    room_for_slot(shard, key->hash.lo, trash);
    return true;
}

/* Into `line`, for which there is room: a new entry, or in place of what has the key. */
static void settle_line(memory_shard *shard, const plan *p, uint32_t line, garbage *trash)
{
    uint64_t hash = p->item->key->hash.lo;
    table_place place;
    if (shard_find(shard, p->item->key, &place)) {
        replace_entry(shard, p, place, line, trash);
        order_hit(shard, line, hash);
        order_expiry(shard, line);
        return;
    }
    write_cell(shard, p, line, NULL);
    bool placed = table_insert(&shard->table, hash, line);
    BRISK_ASSERT(placed);
    shard->entries++;
    order_insert(shard, line, hash);
}

/* Nothing was inserted for which there would now be too many, while the lock was open. */
static bool still_fits(const memory_shard *shard, const brisk_key *key)
{
    table_place place;
    return shard_find(shard, key, &place) ||
           (shard->entries < shard->entries_max && !table_is_packed(&shard->table, key->hash.lo));
}

static bool store_plan(memory_shard *shard, const plan *p, garbage *trash)
{
    const brisk_key *key = p->item->key;
    table_place place;
    bool found = shard_find(shard, key, &place);
    if (found && store_over(shard, p, place)) {
        order_hit(shard, place.line, key->hash.lo);
        order_expiry(shard, place.line);
        return true;
    }
    for (bool told = found;; told = true) {
        if (!told) {
            order_miss(shard, key->hash.lo);
        }
        if (!found && !begin_insert(shard, key, trash)) {
            return false;
        }
        uint32_t line = take_room(shard, p, false, trash);
        if (line == SPACE_NONE) {
            (void)put_drop_key(shard, key, DROP_REMOVED, trash); /* goes anyway: use its room */
            line = take_room(shard, p, true, trash);
        }
        if (line == SPACE_NONE) {
            return false;
        }
        if (still_fits(shard, key)) {
            settle_line(shard, p, line, trash);
            return true;
        }
        space_give(&shard->space, line);
        shard->bytes_used -= outside_of(p);
        found = false;
    }
}

static void count_put(memory_shard *shard, const shard_item *item)
{
    shard->raw_bytes += item->size;
    shard->stored_bytes += item->size;
}

/* What a plan holds now belongs to the entry. */
static void settle_plan(const memory_shard *shard, plan *p, bool stored)
{
    if (stored) {
        p->value = NULL;
        p->block = NULL;
    }
    free_plan(shard, p);
}

brisk_err put_store(memory_shard *shard, const shard_item *item, garbage *trash)
{
    plan p;
    brisk_err err = make_plan(shard, item, &p);
    if (err == BRISK_OK) {
        order_step(shard);
        bool stored = store_plan(shard, &p, trash);
        err = stored ? BRISK_OK : BRISK_ERR_FULL;
        if (!stored && p.value != NULL) {
            shard_trim(shard, trash);
            trash->values[trash->count++] = p.value; /* its release may not run under the lock */
            p.value = NULL;
        }
        settle_plan(shard, &p, stored);
    }
    if (err != BRISK_OK) {
        (void)put_drop_key(shard, item->key, DROP_REMOVED, trash);
        return err;
    }
    count_put(shard, item);
    return BRISK_OK;
}

static brisk_err reject(memory_shard *shard, const brisk_key *key, brisk_err err)
{
    garbage trash = {.count = 0};
    shard_lock(shard);
    shard_drain(shard);
    (void)put_drop_key(shard, key, DROP_REMOVED, &trash);
    shard->rejects++;
    shard_unlock(shard);
    shard_free_garbage(&trash);
    return err;
}

brisk_err shard_put(memory_shard *shard, const shard_item *item)
{
    plan p;
    brisk_err err = make_plan(shard, item, &p);
    if (err != BRISK_OK) {
        return reject(shard, item->key, err);
    }
    garbage trash = {.count = 0};
    shard_lock(shard);
    shard_drain(shard);
    order_step(shard);
    bool stored = store_plan(shard, &p, &trash);
    if (stored) {
        shard->puts++;
        count_put(shard, item);
    }
    BRISK_AUDIT(shard_looks_valid(shard));
    shard_unlock(shard);
    shard_free_garbage(&trash);
    settle_plan(shard, &p, stored);
    return stored ? BRISK_OK : reject(shard, item->key, BRISK_ERR_FULL);
}

/* --- removing ------------------------------------------------------------------------------- */

void shard_remove(memory_shard *shard, const brisk_key *key)
{
    garbage trash = {.count = 0};
    shard_lock(shard);
    shard_drain(shard);
    if (put_drop_key(shard, key, DROP_REMOVED, &trash)) {
        shard->removes++;
        room_shrink_table(shard, key->hash.lo);
    }
    BRISK_AUDIT(shard_looks_valid(shard));
    shard_unlock(shard);
    shard_free_garbage(&trash);
}

static void clear_chunk(memory_shard *shard, uint32_t local, garbage *trash)
{
    uint32_t at = 0;
    for (;;) {
        shard_trim(shard, trash);
        uint32_t chunk = space_local(&shard->space, local); /* the lock may have been open */
        uint32_t line =
            chunk != SPACE_NONE ? space_next_live(&shard->space, chunk, &at) : SPACE_NONE;
        if (line == SPACE_NONE) {
            return;
        }
        uint64_t hash = shard_hash_of(shard, line);
        shard_drop(shard, shard_place_of(shard, line, hash), hash, DROP_REMOVED, trash);
    }
}

void shard_clear(memory_shard *shard)
{
    garbage trash = {.count = 0};
    shard_lock(shard);
    shard_drain(shard);
    for (uint32_t local = 0; local < shard->space.locals_end; local++) {
        clear_chunk(shard, local, &trash);
    }
    if (shard->entries == 0) { /* nobody put something while the lock was open */
        order_forget(shard);
        room_reset_table(shard);
    }
    while (room_collect(shard, true)) {
    }
    BRISK_AUDIT(shard_looks_valid(shard));
    shard_unlock(shard);
    shard_free_garbage(&trash);
}
