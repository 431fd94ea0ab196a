/*
 * memory_tend.c -- what has expired, what is cold; and new limits.
 *
 * Expired entries are found by chunk: each knows a time before which none of its entries expires
 * (kept at every put at no cost, since the chunk is at hand).  A tick looks at those times, a few
 * bytes for two thousand entries, and goes through a chunk only when something in it may be due;
 * the times are then computed anew.  A chunk in which entries expire all the time but few at once
 * is visited at growing pauses, up to PAUSE_MAX ticks, so that the cost stays a few cells looked at
 * for every one dropped.  No entry pays for that with more than its expiry, changing an expiry is
 * one store, and a wall clock that jumps back only makes things wait.
 *
 * Cold values are compressed where they lie, into a smaller cell, when that saves an eighth.  A hit
 * of one takes the lock.
 *
 * Threads: the shard's lock is held, but in shard_tend and shard_resize.
 */
#include "base/assert.h"
#include "cache/memory_shard.h"
#include "cache/memory_use.h"

enum {
    TICK_SHIFT = 26, /* of nanoseconds: 67 ms */
    PAUSE_MAX = 256, /* ticks: 17 s */
    WORTH_SHARE = 32,
    COLD_BYTES_MIN = 64,
    SAVED_SHARE = 8,
    LOOKS_MAX = 256, /* chunk heads in one go */
};

static const uint64_t second_ns = UINT64_C(1000000000);

/* --- cold values ---------------------------------------------------------------------------- */

static codec_how how_of(const memory_shard *shard)
{
    return (codec_how){.id = shard->cold_codec == BRISK_COLD_LZ4 ? CODEC_LZ4 : CODEC_ZSTD};
}

/* Bytes that compression left, or 0 when it saved too little. */
static size_t squeeze(const memory_shard *shard, const void *from, size_t size, void *to)
{
    codec_how how = how_of(shard);
    codec_bytes src = {.data = from, .size = size};
    codec_room dst = {.data = to, .size = size - size / SAVED_SHARE};
    size_t got = 0;
    return codec_squeeze(shard->kit, &how, src, dst, &got) == BRISK_OK ? got : 0;
}

brisk_err tend_thaw(const memory_shard *shard, uint32_t line, const brisk_alloc *alloc,
                    brisk_value **ret)
{
    const unsigned char *cell = space_cell(&shard->space, line);
    cell_shape shape = cell_read_shape(cell);
    size_t raw = (size_t)(cell_field(cell, &shape, CELL_WIDE) >> 32);
    void *data;
    brisk_value *value = NULL;
    brisk_err err = brisk_value_reserve(raw, alloc, &data, &value);
    if (err != BRISK_OK) {
        return err;
    }
    codec_how how = how_of(shard);
    codec_bytes src = {.data = cell + cell_value_at(&shape), .size = shape.value_size};
    err = codec_expand(shard->kit, &how, src, (codec_room){.data = data, .size = raw});
    if (err != BRISK_OK) {
        brisk_value_unref(value);
        return err;
    }
    *ret = value;
    return BRISK_OK;
}

/* The cell as it would be with a compressed value; 0 when that is not smaller. */
static size_t freeze(memory_shard *shard, uint32_t line, unsigned char *image)
{
    const unsigned char *cell = space_cell(&shard->space, line);
    cell_shape old = cell_read_shape(cell);
    cell_shape shape = old;
    shape.fields |= CELL_WIDE;
    shape.payload_at = cell_payload_at(shape.fields);
    size_t value_at = cell_value_at(&shape);
    size_t got = squeeze(shard, cell + cell_value_at(&old), old.value_size, image + value_at);
    shape.value_size = (uint32_t)got;
    if (got == 0 || space_class_of(&shard->space, cell_bytes(&shape)) >=
                        space_class_of(&shard->space, cell_bytes(&old))) {
        return 0;
    }
    uint64_t head = cell_head(cell);
    head = (head & ~UINT64_C(0x00ff0000ffff0000)) | (uint64_t)shape.fields << 48 |
           (uint64_t)got << 16 | CELL_COLD;
    memcpy(image, &head, sizeof head);
    uint64_t wide = (uint64_t)old.value_size << 32 | (uint32_t)cell_field(cell, &old, CELL_WIDE);
    /* Words before `wide` keep their places; a cell with a value of its own has none behind. */
    size_t wide_at = cell_field_at(shape.fields, CELL_WIDE);
    memcpy(image + CELL_LONG_HEAD, cell + CELL_LONG_HEAD, wide_at - CELL_LONG_HEAD);
    memcpy(image + wide_at, &wide, sizeof wide);
    memcpy(image + shape.payload_at, cell + old.payload_at, value_at - shape.payload_at);
    memset(image + cell_bytes(&shape), 0, WORD_BYTES); /* the rest of the last word */
    return cell_bytes(&shape);
}

static bool is_cold(const memory_shard *shard, const unsigned char *cell, const cell_shape *shape,
                    uint64_t now_ns)
{
    if ((shape->flags & (CELL_COLD | CELL_DENSE)) != 0 || shape->value_size < COLD_BYTES_MIN ||
        (shape->fields & CELL_USE) == 0 || (shape->fields & (CELL_VALUE | CELL_BLOCK)) != 0) {
        return false;
    }
    uint64_t last_ns = use_last_s(cell_field(cell, shape, CELL_USE)) * second_ns;
    return now_ns > last_ns && now_ns - last_ns > shard->cold_after_ns;
}

/* Compress the entry in `line` into another cell, if that is smaller. */
static void cool(memory_shard *shard, uint32_t line)
{
    _Alignas(8) unsigned char image[CELL_BYTES_MAX + 64];
    unsigned char *cell = space_cell(&shard->space, line);
    size_t before = cell_read_shape(cell).value_size;
    if (shard->kit == NULL && codec_kit_create(shard->alloc, &shard->kit) != BRISK_OK) {
        return;
    }
    size_t bytes = freeze(shard, line, image);
    if (bytes == 0) {
        cell_set_word(cell, 0, cell_head(cell) | CELL_DENSE);
        return;
    }
    garbage none = {.count = 0};
    uint32_t to = room_take_cell(shard, space_class_of(&shard->space, bytes), false, &none);
    if (to == SPACE_NONE) {
        return;
    }
    uint64_t hash = shard_hash_of(shard, line);
    unsigned char *made = space_cell(&shard->space, to);
    for (size_t at = 0; at < bytes; at += WORD_BYTES) {
        uint64_t word;
        memcpy(&word, image + at, sizeof word);
        cell_set_word(made, at, word);
    }
    cell_shape shape = cell_read_shape(made);
    table_repoint(&shard->table, shard_place_of(shard, line, hash), to);
    tend_note_expiry(shard, to, cell_field(made, &shape, CELL_EXPIRY));
    order_move(shard, line, to);
    space_give(&shard->space, line);
    shard->stored_bytes -= before - shape.value_size;
}

/* --- chunks --------------------------------------------------------------------------------- */

typedef struct sweep {
    memory_shard *shard;
    uint64_t now_ns;
    bool cools;
    uint32_t looked;
    uint32_t dropped;
    uint32_t expires_s; /* of what stays */
    garbage trash;
} sweep;

static void sweep_cell(sweep *s, uint32_t line)
{
    const unsigned char *cell = space_cell(&s->shard->space, line);
    cell_shape shape = cell_read_shape(cell);
    uint64_t expires = cell_field(cell, &shape, CELL_EXPIRY);
    s->looked++;
    if (expires != 0 && expires <= s->now_ns) {
        uint64_t hash = shard_hash_of(s->shard, line);
        shard_drop(s->shard, shard_place_of(s->shard, line, hash), hash, DROP_EXPIRED, &s->trash);
        room_shrink_table(s->shard, hash);
        s->dropped++;
        return;
    }
    uint64_t seconds = expires / second_ns;
    if (expires != 0 && seconds < s->expires_s) {
        s->expires_s = (uint32_t)seconds;
    }
    if (s->cools && is_cold(s->shard, cell, &shape, s->now_ns)) {
        cool(s->shard, line);
    }
}

/* Go through a chunk; stops early, to be visited again soon, when the trash is full. */
static void sweep_chunk(sweep *s, uint32_t at, uint32_t tick)
{
    space_chunk *chunk = &s->shard->space.chunks[at];
    uint32_t index = 0;
    uint32_t line;
    while (s->trash.count < GARBAGE_MAX - 1 &&
           (line = space_next_live(&s->shard->space, at, &index)) != SPACE_NONE) {
        sweep_cell(s, line);
    }
    if (s->trash.count >= GARBAGE_MAX - 1) {
        return;
    }
    chunk->expires_s = s->expires_s;
    if (s->dropped >= s->looked / WORTH_SHARE) {
        chunk->pause /= 2;
    } else {
        chunk->pause = chunk->pause != 0 ? chunk->pause * 2 : 1;
        chunk->pause = chunk->pause < PAUSE_MAX ? chunk->pause : PAUSE_MAX;
    }
    chunk->next_sweep = tick + chunk->pause;
    if (s->cools) {
        uint64_t wait = (s->shard->cold_after_ns / 4 >> TICK_SHIFT) + 1;
        chunk->next_cold = tick + (uint32_t)(wait < PAUSE_MAX * 16 ? wait : PAUSE_MAX * 16);
    }
}

static bool has_come(uint32_t tick, uint32_t when)
{
    return when == 0 || (int32_t)(tick - when) >= 0; /* ticks wrap */
}

bool shard_tend(memory_shard *shard, uint32_t *number, uint64_t *dropped)
{
    uint32_t tick = (uint32_t)(brisk_clock_now_ns(shard->clock) >> TICK_SHIFT);
    sweep s = {
        .shard = shard,
        .now_ns = brisk_clock_wall_ns(shard->clock),
        .expires_s = UINT32_MAX,
    };
    shard_lock(shard);
    shard_drain(shard);
    bool swept = false;
    for (uint32_t looks = 0; looks < LOOKS_MAX && !swept && *number < shard->space.locals_end;
         looks++, ++*number) {
        uint32_t at = space_local(&shard->space, *number);
        if (at == SPACE_NONE) {
            continue;
        }
        const space_chunk *chunk = &shard->space.chunks[at];
        bool due = (uint64_t)chunk->expires_s * second_ns <= s.now_ns &&
                   chunk->expires_s != UINT32_MAX && has_come(tick, chunk->next_sweep);
        s.cools = shard->cold_codec != BRISK_COLD_NONE && has_come(tick, chunk->next_cold);
        if (due || s.cools) {
            sweep_chunk(&s, at, tick);
            swept = true;
        }
    }
    bool again = s.trash.count >= GARBAGE_MAX - 1;
    *number -= again ? 1 : 0;
    while (s.dropped != 0 && room_collect(shard, true)) {
    }
    bool more = *number < shard->space.locals_end;
    BRISK_AUDIT(shard_looks_valid(shard));
    shard_unlock(shard);
    shard_free_garbage(&s.trash);
    *dropped += s.dropped;
    return more;
}

/* --- limits --------------------------------------------------------------------------------- */

brisk_err shard_resize(memory_shard *shard, uint64_t bytes, uint64_t entries_max)
{
    if (bytes < SHARD_BYTES_MIN || bytes < shard->chunk_charge * SHARD_CHUNKS_MIN) {
        return BRISK_ERR_INVALID;
    }
    garbage trash = {.count = 0};
    shard_lock(shard);
    shard_drain(shard);
    shard->bytes_budget = bytes;
    atomic_store_explicit(&shard->value_max, bytes / SHARD_VALUE_SHARE, memory_order_relaxed);
    shard->entries_max = entries_max != 0 ? entries_max : UINT64_MAX;
    while (shard->bytes_used > bytes || shard->entries > shard->entries_max) {
        if (!(shard->bytes_used > bytes && room_collect(shard, true)) &&
            !room_evict(shard, &trash)) {
            break;
        }
    }
    order_tell_capacity(shard);
    BRISK_AUDIT(shard_looks_valid(shard));
    shard_unlock(shard);
    shard_free_garbage(&trash);
    return BRISK_OK;
}
