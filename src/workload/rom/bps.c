/*
 * bps.c -- BPS: a target built from pieces of source, patch and itself.
 *
 *     frame  varint size, metadata  { varint (length - 1) << 2 | action  [...] }  frame
 *
 *     0 SourceRead   the source's bytes at the target's offset
 *     1 TargetRead   `length` bytes that follow in the patch
 *     2 SourceCopy   from a cursor of its own in the source, moved first by a signed varint
 *     3 TargetCopy   likewise in the target, which may run into what it is writing
 *
 * One walker checks every action against source and target before it is used, so that apply and
 * writes need no checks of their own.  open walks once to see that the actions make exactly the
 * declared size: a patch that declares 4 GiB and makes less never gets as far as an output file.
 *
 * Writes are made without making the target: a target offset that is read back is a piece of an
 * earlier write, or the source where nothing was written.  So all but short repetitions are
 * borrowed bytes; those (period below 64 KiB) get one pattern in the arena.
 */
#include <string.h>

#include "base/assert.h"

#include "workload/rom/patch_internal.h"

enum { PATTERN_BYTES = 64 << 10 };

typedef enum bps_kind {
    BPS_SOURCE_READ = 0,
    BPS_TARGET_READ,
    BPS_SOURCE_COPY,
    BPS_TARGET_COPY,
} bps_kind;

/* `from` is an offset in source, patch or target, as the kind says. */
typedef struct bps_action {
    bps_kind kind;
    uint64_t from;
    uint64_t length;
} bps_action;

typedef struct bps_walk {
    rom_reader reader;
    uint64_t source_size;
    uint64_t target_size;
    uint64_t at; /* target offset of the next action */
    uint64_t source_cursor;
    uint64_t target_cursor;
} bps_walk;

static bps_walk walk_of(const rom_patch *patch, uint64_t source_size, brisk_errinfo *info)
{
    return (bps_walk){
        .reader = {.file = &patch->file,
                   .at = patch->body_begin,
                   .end = patch->body_end,
                   .info = info},
        .source_size = source_size,
        .target_size = patch->target_size,
    };
}

static bool has_next(const bps_walk *walk)
{
    return walk->reader.at < walk->reader.end;
}

/* Move `cursor` by the signed number that comes next; false when it leaves [0, UINT64_MAX]. */
static brisk_err move_cursor(bps_walk *walk, size_t start, uint64_t *cursor)
{
    uint64_t number = 0;
    brisk_err err = rom_read_varint(&walk->reader, "distance", &number);
    if (err != BRISK_OK) {
        return err;
    }
    uint64_t distance = number >> 1;
    bool overflows = (number & 1) != 0 ? __builtin_sub_overflow(*cursor, distance, cursor)
                                       : __builtin_add_overflow(*cursor, distance, cursor);
    return overflows ? rom_patch_damaged(&walk->reader, start, "copy from before the start")
                     : BRISK_OK;
}

static brisk_err next_copy(bps_walk *walk, size_t start, bps_action *action)
{
    bool is_source = action->kind == BPS_SOURCE_COPY;
    uint64_t *cursor = is_source ? &walk->source_cursor : &walk->target_cursor;
    brisk_err err = move_cursor(walk, start, cursor);
    if (err != BRISK_OK) {
        return err;
    }
    action->from = *cursor;
    if (is_source &&
        (action->from > walk->source_size || action->length > walk->source_size - action->from)) {
        return rom_patch_damaged(&walk->reader, start, "copy from beyond the end of the source");
    }
    if (!is_source && action->from >= walk->at) {
        return rom_patch_damaged(&walk->reader, start, "copy from beyond what was written");
    }
    *cursor += action->length; /* from < 2^28 by the checks above, length by the caller's */
    return BRISK_OK;
}

/* The next action, checked; the reader is not at its end. */
static brisk_err next_action(bps_walk *walk, bps_action *ret)
{
    rom_reader *reader = &walk->reader;
    size_t start = reader->at;
    uint64_t number = 0;
    brisk_err err = rom_read_varint(reader, "action", &number);
    if (err != BRISK_OK) {
        return err;
    }
    bps_action action = {.kind = (bps_kind)(number & 3), .length = (number >> 2) + 1};
    if (action.length > walk->target_size - walk->at) {
        return brisk_errinfo_set(reader->info, BRISK_ERR_CORRUPT,
                                 "%s: the action at offset 0x%zx makes more than the %llu bytes "
                                 "that the patch declares",
                                 reader->file->name, start, (unsigned long long)walk->target_size);
    }
    switch (action.kind) {
    case BPS_SOURCE_READ:
        action.from = walk->at;
        if (action.from > walk->source_size || action.length > walk->source_size - action.from) {
            return rom_patch_damaged(reader, start, "read beyond the end of the source");
        }
        break;
    case BPS_TARGET_READ:
        action.from = reader->at;
        if (action.length > reader->end - reader->at) {
            return rom_patch_damaged(reader, start, "more literal bytes than the patch has");
        }
        reader->at += action.length;
        break;
    case BPS_SOURCE_COPY:
    case BPS_TARGET_COPY: err = next_copy(walk, start, &action); break;
    }
    walk->at += action.length;
    *ret = action;
    return err;
}

brisk_err rom_bps_open(rom_patch *patch, brisk_errinfo *info)
{
    rom_reader reader;
    brisk_err err = rom_patch_read_frame(patch, &reader, info);
    uint64_t metadata_size = 0;
    size_t start = err == BRISK_OK ? reader.at : 0;
    if (err == BRISK_OK) {
        err = rom_read_varint(&reader, "metadata size", &metadata_size);
    }
    if (err != BRISK_OK) {
        return err;
    }
    if (metadata_size > reader.end - reader.at) {
        return rom_patch_damaged(&reader, start, "metadata larger than the patch");
    }
    patch->metadata = (const char *)patch->file.data + reader.at;
    patch->metadata_size = metadata_size;
    patch->body_begin = reader.at + metadata_size;
    patch->body_end = reader.end;
    bps_walk walk = walk_of(patch, patch->source_size, info);
    while (err == BRISK_OK && has_next(&walk)) {
        bps_action action = {0};
        err = next_action(&walk, &action);
    }
    if (err == BRISK_OK && walk.at != patch->target_size) {
        return brisk_errinfo_set(
            info, BRISK_ERR_CORRUPT, "%s: the actions make %llu bytes, the patch declares %llu",
            patch->file.name, (unsigned long long)walk.at, (unsigned long long)patch->target_size);
    }
    return err;
}

brisk_err rom_bps_apply(const rom_patch *patch, const rom_target *target, rom_output *output,
                        brisk_errinfo *info)
{
    bps_walk walk = walk_of(patch, target->behind.size, info);
    uint64_t skipped = rom_output_written(output); /* the header in front, in output's offsets */
    while (has_next(&walk)) {
        bps_action action = {0};
        brisk_err err = next_action(&walk, &action); /* a forced source may be shorter */
        if (err != BRISK_OK) {
            return err;
        }
        switch (action.kind) {
        case BPS_SOURCE_READ:
        case BPS_SOURCE_COPY:
            err = rom_output_write(output, target->behind.data + action.from, action.length, info);
            break;
        case BPS_TARGET_READ:
            err = rom_output_write(output, patch->file.data + action.from, action.length, info);
            break;
        case BPS_TARGET_COPY:
            err = rom_output_repeat(output, skipped + action.from, action.length, info);
            break;
        }
        if (err != BRISK_OK) {
            return err;
        }
    }
    return BRISK_OK;
}

/* --- as writes -------------------------------------------------------------------------------- */

typedef struct bps_writer {
    const rom_writes_sink *sink;
    const rom_target *target;
    size_t first; /* of this patch's writes in the list */
    brisk_errinfo *info;
} bps_writer;

/* The target has `size` bytes `data` at `at`. */
static brisk_err put(const bps_writer *writer, uint64_t at, const uint8_t *data, size_t size)
{
    rom_bytes bytes = {.data = data, .size = size};
    return rom_sink_add_changes(writer->sink, writer->target, at, &bytes, writer->info);
}

/* This patch's first write that ends behind `offset`. */
static size_t find_write(const bps_writer *writer, uint64_t offset)
{
    const rom_writes *list = writer->sink->list;
    size_t low = writer->first;
    size_t high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->items[middle].offset + list->items[middle].size > offset) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* The longest piece of the target from `from` on, up to `size` bytes, that lies in one place. */
static rom_bytes piece_at(const bps_writer *writer, uint64_t from, uint64_t size, size_t *index)
{
    const rom_writes *list = writer->sink->list;
    const rom_bytes *source = &writer->target->behind;
    while (*index < list->count && list->items[*index].offset + list->items[*index].size <= from) {
        (*index)++;
    }
    if (*index < list->count && list->items[*index].offset <= from) {
        const rom_write *write = &list->items[*index];
        uint64_t left = write->offset + write->size - from;
        return (rom_bytes){.data = write->bytes + (from - write->offset),
                           .size = size < left ? size : left};
    }
    BRISK_ASSERT(from < source->size); /* beyond its end everything is a write */
    uint64_t end = *index < list->count ? list->items[*index].offset : source->size;
    end = end < source->size ? end : source->size;
    return (rom_bytes){.data = source->data + from, .size = size < end - from ? size : end - from};
}

/* [from, from + size) of the target again at `at`, all of it written before. */
static brisk_err copy_pieces(const bps_writer *writer, uint64_t at, uint64_t from, uint64_t size)
{
    size_t index = find_write(writer, from);
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && size != 0) {
        rom_bytes piece = piece_at(writer, from, size, &index);
        err = put(writer, at, piece.data, piece.size);
        at += piece.size;
        from += piece.size;
        size -= piece.size;
    }
    return err;
}

/* A period of at - from bytes, repeated over `size` > period bytes. */
static brisk_err repeat_pattern(const bps_writer *writer, uint64_t at, uint64_t from, uint64_t size)
{
    size_t period = (size_t)(at - from);
    size_t whole = PATTERN_BYTES / period * period;
    whole = size < whole ? (size_t)size : whole;
    uint8_t *pattern = NULL;
    brisk_err err = rom_sink_alloc(writer->sink, whole, &pattern, writer->info);
    if (err != BRISK_OK) {
        return err;
    }
    size_t index = find_write(writer, from);
    for (size_t done = 0; done < period && done < whole;) {
        rom_bytes piece = piece_at(writer, from + done, period - done, &index);
        memcpy(pattern + done, piece.data, piece.size);
        done += piece.size;
    }
    for (size_t done = period; done < whole; done++) {
        pattern[done] = pattern[done - period];
    }
    while (err == BRISK_OK && size != 0) {
        size_t part = size < whole ? (size_t)size : whole;
        err = put(writer, at, pattern, part);
        at += part;
        size -= part;
    }
    return err;
}

static brisk_err copy_target(const bps_writer *writer, uint64_t at, const bps_action *action)
{
    uint64_t from = action->from;
    uint64_t left = action->length;
    if (left > at - from && at - from <= PATTERN_BYTES) {
        return repeat_pattern(writer, at, from, left);
    }
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && left != 0) { /* the period doubles, as long as it is too short */
        uint64_t part = left < at - from ? left : at - from;
        err = copy_pieces(writer, at, from, part);
        at += part;
        left -= part;
    }
    return err;
}

brisk_err rom_bps_writes(const rom_patch *patch, const rom_target *target,
                         const rom_writes_sink *sink, brisk_errinfo *info)
{
    bps_walk walk = walk_of(patch, target->behind.size, info);
    bps_writer writer = {.sink = sink, .target = target, .first = sink->list->count, .info = info};
    while (has_next(&walk)) {
        uint64_t at = walk.at;
        bps_action action = {0};
        brisk_err err = next_action(&walk, &action);
        if (err != BRISK_OK) {
            return err;
        }
        switch (action.kind) {
        case BPS_SOURCE_READ: break; /* no change */
        case BPS_SOURCE_COPY:
            err = put(&writer, at, target->behind.data + action.from, action.length);
            break;
        case BPS_TARGET_READ:
            err = put(&writer, at, patch->file.data + action.from, action.length);
            break;
        case BPS_TARGET_COPY: err = copy_target(&writer, at, &action); break;
        }
        if (err != BRISK_OK) {
            return err;
        }
    }
    return BRISK_OK;
}
