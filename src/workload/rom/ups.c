/*
 * ups.c -- UPS: the exclusive or of source and target, where they differ.
 *
 *     frame  { varint skip   xor bytes, none of them 0   0 }  frame
 *
 * `skip` counts equal bytes from the end of the last hunk; the 0 that ends a hunk stands for one
 * equal byte more.  Both files are thought to go on with zeros, up to the larger size, so a hunk
 * that reaches the end puts its 0 just behind it.  Bytes of a hunk beyond the target's end belong
 * to the way back (a patch works in both directions) and are skipped.
 *
 * A hunk's bytes that lie inside both files are exactly the bytes that change.
 */
#include <string.h>

#include "base/assert.h"

#include "workload/rom/patch_internal.h"

/* mask[0 .. size) is for target offsets from `at` on. */
typedef struct ups_hunk {
    uint64_t at;
    const uint8_t *mask;
    uint64_t size;
} ups_hunk;

typedef struct ups_walk {
    rom_reader reader;
    uint64_t limit; /* the larger size */
    uint64_t at;    /* target offset behind the last hunk and its 0 */
} ups_walk;

static ups_walk walk_of(const rom_patch *patch, brisk_errinfo *info)
{
    return (ups_walk){
        .reader = {.file = &patch->file,
                   .at = patch->body_begin,
                   .end = patch->body_end,
                   .info = info},
        .limit = patch->source_size > patch->target_size ? patch->source_size : patch->target_size,
    };
}

/* The next hunk; the reader is not at its end.  Everything is checked against `limit`. */
static brisk_err next_hunk(ups_walk *walk, ups_hunk *ret)
{
    rom_reader *reader = &walk->reader;
    size_t start = reader->at;
    uint64_t skip = 0;
    brisk_err err = rom_read_varint(reader, "skip", &skip);
    if (err != BRISK_OK) {
        return err;
    }
    if (walk->at > walk->limit || skip > walk->limit - walk->at) {
        return rom_patch_damaged(reader, start, "hunk beyond the end of both files");
    }
    const uint8_t *mask = reader->file->data + reader->at;
    const uint8_t *zero = memchr(mask, 0, reader->end - reader->at);
    if (zero == NULL) {
        return rom_patch_damaged(reader, start, "hunk without an end");
    }
    uint64_t size = (uint64_t)(zero - mask);
    *ret = (ups_hunk){.at = walk->at + skip, .mask = mask, .size = size};
    if (size > walk->limit - ret->at) {
        return rom_patch_damaged(reader, start, "hunk beyond the end of both files");
    }
    reader->at += size + 1;
    walk->at = ret->at + size + 1;
    return BRISK_OK;
}

static bool has_next(const ups_walk *walk)
{
    return walk->reader.at < walk->reader.end;
}

brisk_err rom_ups_open(rom_patch *patch, brisk_errinfo *info)
{
    rom_reader reader;
    brisk_err err = rom_patch_read_frame(patch, &reader, info);
    if (err != BRISK_OK) {
        return err;
    }
    patch->body_begin = reader.at;
    patch->body_end = reader.end;
    ups_walk walk = walk_of(patch, info);
    while (err == BRISK_OK && has_next(&walk)) {
        ups_hunk hunk = {0};
        err = next_hunk(&walk, &hunk);
    }
    return err;
}

/* Bytes of `hunk` that are inside the target. */
static uint64_t clipped(const ups_hunk *hunk, uint64_t size)
{
    uint64_t room = hunk->at < size ? size - hunk->at : 0;
    return hunk->size < room ? hunk->size : room;
}

/* to[i] = source ^ mask[i] for the `size` bytes of the target from `at` on. */
static void combine(const rom_target *target, uint64_t at, const uint8_t *mask, size_t size,
                    uint8_t *to)
{
    uint64_t in_source = at < target->behind.size ? target->behind.size - at : 0;
    size_t common = size < in_source ? size : (size_t)in_source;
    const uint8_t *source = target->behind.data + (common != 0 ? at : 0);
    for (size_t i = 0; i < common; i++) {
        to[i] = source[i] ^ mask[i];
    }
    memcpy(to + common, mask + common, size - common);
}

static brisk_err write_hunk(const rom_target *target, const ups_hunk *hunk, rom_output *output,
                            brisk_errinfo *info)
{
    uint8_t block[4096];
    uint64_t size = clipped(hunk, target->size);
    brisk_err err = BRISK_OK;
    for (uint64_t done = 0; err == BRISK_OK && done < size;) {
        size_t part = size - done < sizeof block ? (size_t)(size - done) : sizeof block;
        combine(target, hunk->at + done, hunk->mask + done, part, block);
        err = rom_output_write(output, block, part, info);
        done += part;
    }
    return err;
}

brisk_err rom_ups_apply(const rom_patch *patch, const rom_target *target, rom_output *output,
                        brisk_errinfo *info)
{
    ups_walk walk = walk_of(patch, info);
    uint64_t at = 0;
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && at < target->size && has_next(&walk)) {
        ups_hunk hunk = {0};
        err = next_hunk(&walk, &hunk);
        BRISK_ASSERT(err == BRISK_OK); /* open walked the same bytes */
        uint64_t begin = hunk.at < target->size ? hunk.at : target->size;
        err = rom_copy_source(target, at, begin, output, info);
        if (err == BRISK_OK) {
            err = write_hunk(target, &hunk, output, info);
        }
        at = begin + clipped(&hunk, target->size);
    }
    return err == BRISK_OK ? rom_copy_source(target, at, target->size, output, info) : err;
}

/* Zeros of the target beyond the end of the source: claimed, and shared by all. */
static brisk_err add_zeros(const rom_writes_sink *sink, const rom_target *target, uint64_t from,
                           uint64_t to, brisk_errinfo *info)
{
    static const uint8_t zeros[16384] = {0};
    from = from > target->behind.size ? from : target->behind.size;
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && from < to) {
        uint64_t part = to - from < sizeof zeros ? to - from : sizeof zeros;
        err = rom_sink_add(sink, from, zeros, part, info);
        from += part;
    }
    return err;
}

brisk_err rom_ups_writes(const rom_patch *patch, const rom_target *target,
                         const rom_writes_sink *sink, brisk_errinfo *info)
{
    ups_walk walk = walk_of(patch, info);
    uint64_t at = 0;
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && at < target->size && has_next(&walk)) {
        ups_hunk hunk = {0};
        err = next_hunk(&walk, &hunk);
        BRISK_ASSERT(err == BRISK_OK);
        uint64_t begin = hunk.at < target->size ? hunk.at : target->size;
        uint64_t size = clipped(&hunk, target->size);
        err = add_zeros(sink, target, at, begin, info);
        at = begin + size;
        if (err == BRISK_OK && size != 0) {
            uint8_t *bytes = NULL;
            err = rom_sink_alloc(sink, size, &bytes, info);
            if (err != BRISK_OK) {
                return err;
            }
            combine(target, begin, hunk.mask, size, bytes);
            err = rom_sink_add(sink, begin, bytes, size, info);
        }
    }
    return err == BRISK_OK ? add_zeros(sink, target, at, target->size, info) : err;
}
