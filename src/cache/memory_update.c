/*
 * memory_update.c -- changing a value in place.
 *
 * A value in its cell is copied out, edited and written back over itself: a few hundred nanoseconds
 * at most, and readers without the lock never see half of it.  A value by reference that nobody
 * else holds is edited where it is; otherwise, or when it must grow, it moves into a new one with
 * room for half as much again, so that appending n bytes one by one copies about 3 n.
 *
 * Threads: any.
 */
#include "base/assert.h"
#include "cache/memory_shard.h"
#include "cache/value_blocks.h"

enum { SPARE_SHARE = 2, SPARE_MAX = 1 << 20 };

/* The bytes while they are edited: in `small`, or in a value of our own. */
typedef struct workshop {
    brisk_memory_edit edit; /* first: what the caller holds */
    memory_shard *shard;
    const brisk_key *key;
    brisk_value *value; /* a reference of our own, or the entry's when `borrowed` */
    bool borrowed;
    brisk_entry_opts opts;
    brisk_hit was;
    _Alignas(8) unsigned char small[CELL_BYTES_MAX];
} workshop;

static uint64_t capacity_of(const workshop *w)
{
    return w->value != NULL ? value_held(w->value) : sizeof w->small;
}

/* Let the bytes be in a new value with room for `size` and more. */
static bool move_to_value(workshop *w, uint64_t size)
{
    uint64_t most = put_value_max(w->shard);
    uint64_t spare = size / SPARE_SHARE < SPARE_MAX ? size / SPARE_SHARE : SPARE_MAX;
    bool grows = w->edit.size != 0 && size > w->edit.size;
    uint64_t capacity = grows ? size + spare : size;
    capacity = capacity < most ? capacity : most;
    brisk_value *value = NULL;
    if (value_reserve_room(size, capacity, w->shard->alloc, &value) != BRISK_OK) {
        return false;
    }
    size_t keep = w->edit.size < size ? w->edit.size : (size_t)size;
    if (keep != 0) {
        memcpy(value->bytes, w->edit.data, keep);
    }
    if (!w->borrowed) {
        brisk_value_unref(w->value);
    }
    w->value = value;
    w->borrowed = false;
    w->edit.data = value->bytes;
    return true;
}

static bool resize(brisk_memory_edit *edit, size_t size)
{
    workshop *w = edit->private_;
    if (size > put_value_max(w->shard)) {
        return false;
    }
    if (size > capacity_of(w) && !move_to_value(w, size)) {
        return false;
    }
    if (size > edit->size) {
        memset(edit->data + edit->size, 0, size - edit->size);
    }
    edit->size = size;
    edit->present = true;
    return true;
}

/* Take the entry's bytes to where they can be edited.  Errors: NOMEM. */
static brisk_err open_entry(workshop *w, uint32_t line)
{
    memory_shard *shard = w->shard;
    const unsigned char *cell = space_cell(&shard->space, line);
    cell_shape shape = cell_read_shape(cell);
    if (shard_read_entry(shard, line, &w->was) != SHARD_HIT) {
        return BRISK_ERR_NOMEM;
    }
    brisk_value *value = w->was.value;
    w->edit.size = (size_t)brisk_value_size(value);
    w->edit.present = true;
    w->edit.expires_at_ns = w->was.expires_at_ns;
    w->edit.era = w->was.era;
    w->opts = (brisk_entry_opts){
        .flags = w->was.flags,
        .meta = w->was.meta,
        .meta_size = w->was.meta_size,
        .cost_ns = w->was.cost_ns,
    };
    brisk_value *kept = cell_pointer(cell, &shape, CELL_VALUE);
    bool by_reference = kept == value;
    if (by_reference) {
        brisk_value_unref(value); /* the entry's own stays */
        if (value_is_own(kept)) {
            value_make_roomy(kept); /* its size may change, what it holds does not */
            w->value = kept;
            w->borrowed = true;
            w->edit.data = kept->bytes;
            return BRISK_OK;
        }
    }
    brisk_err err = BRISK_OK;
    w->edit.data = w->small;
    if (w->edit.size <= sizeof w->small) {
        memcpy(w->small, brisk_value_data(value), w->edit.size);
    } else {
        size_t size = w->edit.size;
        w->edit.size = 0;
        err = move_to_value(w, size) ? BRISK_OK : BRISK_ERR_NOMEM;
        if (err == BRISK_OK) {
            memcpy(w->edit.data, brisk_value_data(value), size);
            w->edit.size = size;
        }
    }
    if (!by_reference) {
        brisk_value_unref(value);
    }
    return err;
}

/* The entry's own value was edited where it is. */
static void close_borrowed(workshop *w, uint32_t line)
{
    memory_shard *shard = w->shard;
    w->value->size = w->edit.size;
    unsigned char *cell = space_cell(&shard->space, line);
    cell_shape shape = cell_read_shape(cell);
    if ((shape.fields & CELL_EXPIRY) != 0) {
        cell_set_word(cell, cell_field_at(shape.fields, CELL_EXPIRY), w->edit.expires_at_ns);
        tend_note_expiry(shard, line, w->edit.expires_at_ns);
        order_expiry(shard, line);
    }
    order_hit(shard, line, w->key->hash.lo);
}

static brisk_err close_entry(workshop *w, uint32_t line, garbage *trash)
{
    memory_shard *shard = w->shard;
    bool same_fields = (w->edit.expires_at_ns != 0) == (w->was.expires_at_ns != 0);
    if (w->borrowed && same_fields && w->edit.era == w->was.era && w->edit.size > CELL_BYTES_MAX) {
        close_borrowed(w, line);
        return BRISK_OK;
    }
    w->opts.expires_at_ns = w->edit.expires_at_ns;
    w->opts.era = w->edit.era;
    if (w->value != NULL) {
        w->value->size = w->edit.size;
    }
    bool as_value = w->value != NULL && w->edit.size > CELL_BYTES_MAX;
    brisk_value *own = w->borrowed ? brisk_value_ref(w->value) : NULL; /* the old entry may go */
    shard_item item = {
        .key = w->key,
        .value = as_value ? w->value : NULL,
        .data = w->edit.data,
        .size = w->edit.size,
        .opts = &w->opts,
    };
    brisk_err err = put_store(shard, &item, trash);
    if (own != NULL) {
        brisk_value_unref(own);
    }
    return err;
}

static brisk_err run_edit(workshop *w, shard_edit fn, void *ctx, garbage *trash)
{
    memory_shard *shard = w->shard;
    table_place place = {0};
    brisk_err err = BRISK_OK;
    bool found = shard_find(shard, w->key, &place);
    if (found) {
        const unsigned char *cell = space_cell(&shard->space, place.line);
        cell_shape shape = cell_shape_of(cell_head(cell));
        if (shard_is_due(shard, cell_field(cell, &shape, CELL_EXPIRY))) {
            shard_drop(shard, place, w->key->hash.lo, DROP_EXPIRED, trash);
            found = false;
        } else {
            err = open_entry(w, place.line);
        }
    }
    if (err != BRISK_OK) {
        return err;
    }
    err = fn(ctx, &w->edit);
    if (err != BRISK_OK) {
        return err;
    }
    if (w->edit.remove) {
        shard->removes += put_drop_key(shard, w->key, DROP_REMOVED, trash);
        w->value = w->borrowed ? NULL : w->value;
    } else if (w->edit.present) {
        err = close_entry(w, place.line, trash);
    }
    return err;
}

brisk_err shard_update(memory_shard *shard, const brisk_key *key, shard_edit edit, void *ctx)
{
    garbage trash = {.closed = true};
    workshop w; /* not cleared: it is large */
    w.edit = (brisk_memory_edit){.data = w.small, .resize = resize, .private_ = &w};
    w.shard = shard;
    w.key = key;
    w.value = NULL;
    w.borrowed = false;
    w.opts = (brisk_entry_opts){0};
    w.was.expires_at_ns = 0;
    w.was.era = 0;
    shard_lock(shard);
    shard_drain(shard);
    brisk_err err = run_edit(&w, edit, ctx, &trash);
    BRISK_AUDIT(shard_looks_valid(shard));
    shard_unlock(shard);
    shard_free_garbage(&trash);
    if (w.value != NULL && !w.borrowed) {
        brisk_value_unref(w.value);
    }
    return err;
}
