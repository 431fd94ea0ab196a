/*
 * ips.c -- IPS: literal and repeated records, no check of any kind.
 *
 *     "PATCH"  { offset:3 size:2 bytes:size | offset:3 0:2 count:2 value:1 }  "EOF"  [length:3]
 *
 * All numbers are big-endian.  `length` cuts the target; it never makes it longer.  A gap between
 * the end of the source and a record is zeros.
 *
 * The end mark is also the offset 0x454F46, and some tools write records there.  Since the file
 * ends right behind the mark or three bytes later, only a mark with 0 or 3 bytes behind it is the
 * end; with more behind it, it is a record, and if what follows then does not parse to a real
 * end, the file has junk behind its first mark and is refused.
 *
 * Records may overlap and come in any order; the last one wins.  Nearly always they are sorted,
 * and are then streamed as they stand.  Otherwise they are flattened into disjoint runs: sweep
 * over the offsets with a heap of the records that cover the current one, highest number on top.
 * That is O(n log n) whatever the sizes, so that a million records of 64 KiB on one spot cost no
 * more than a million records.
 */
#include <string.h>

#include "base/assert.h"

#include "workload/rom/patch_internal.h"

enum {
    MAGIC_BYTES = 5,
    END_MARK = 0x454f46,
    END_MARK_BYTES = 3,
    CUT_BYTES = 3,
    RECORD_HEAD_BYTES = 5,
    RUN_BODY_BYTES = 3,
    SCRAMBLED_MAX = 1 << 20, /* records that must be flattened: 32 MiB of bookkeeping, at most 80 */
};

typedef struct ips_walk {
    rom_reader reader;
    size_t first_mark; /* offset of the first end mark that was taken for a record, or 0 */
} ips_walk;

static ips_walk walk_of(const rom_patch *patch, brisk_errinfo *info)
{
    return (ips_walk){
        .reader = {.file = &patch->file, .at = MAGIC_BYTES, .end = patch->file.size, .info = info}};
}

static brisk_err broken(const ips_walk *walk, size_t at, const char *what)
{
    if (walk->first_mark != 0) {
        const uint8_t *behind = walk->reader.file->data + walk->first_mark + END_MARK_BYTES;
        if (*behind == '{') {
            return brisk_errinfo_set(walk->reader.info, BRISK_ERR_UNSUPPORTED,
                                     "%s: a patch in the format EBP (IPS with a description behind "
                                     "its end), which is not supported",
                                     walk->reader.file->name);
        }
        return brisk_errinfo_set(
            walk->reader.info, BRISK_ERR_CORRUPT,
            "%s: %zu bytes behind the end mark at offset 0x%zx", walk->reader.file->name,
            walk->reader.end - walk->first_mark - END_MARK_BYTES, walk->first_mark);
    }
    return rom_patch_damaged(&walk->reader, at, what);
}

/* The next record, or *is_end with the cursor behind the end mark. */
static brisk_err next_record(ips_walk *walk, rom_ips_run *ret, bool *is_end)
{
    rom_reader *reader = &walk->reader;
    const uint8_t *data = reader->file->data;
    size_t start = reader->at;
    size_t left = reader->end - start;
    if (left < END_MARK_BYTES) {
        return broken(walk, start, "ends without an end mark (EOF)");
    }
    uint32_t offset = rom_be24(data + start);
    size_t behind = left - END_MARK_BYTES;
    *is_end = offset == END_MARK && (behind == 0 || behind == CUT_BYTES);
    if (*is_end) {
        reader->at = start + END_MARK_BYTES;
        return BRISK_OK;
    }
    if (offset == END_MARK && walk->first_mark == 0) {
        walk->first_mark = start;
    }
    if (left < RECORD_HEAD_BYTES) {
        return broken(walk, start, "ends inside a record");
    }
    uint32_t size = rom_be16(data + start + 3);
    size_t body = size != 0 ? size : RUN_BODY_BYTES;
    if (left - RECORD_HEAD_BYTES < body) {
        return broken(walk, start, "ends inside a record");
    }
    const uint8_t *bytes = data + start + RECORD_HEAD_BYTES;
    *ret = (rom_ips_run){.data = bytes, .offset = offset, .size = size};
    if (size == 0) {
        *ret = (rom_ips_run){.offset = offset, .size = rom_be16(bytes), .fill = bytes[2]};
        if (ret->size == 0) {
            return broken(walk, start, "empty record");
        }
    }
    reader->at = start + RECORD_HEAD_BYTES + body;
    return BRISK_OK;
}

/* --- flattening ------------------------------------------------------------------------------- */

/* Records in file order and two arrays of their numbers. */
typedef struct flattener {
    rom_ips_run *records;
    uint32_t *order; /* by offset, then by number */
    uint32_t *heap;  /* records that cover the sweep's position; the largest number is on top */
    uint32_t count;
    uint32_t heap_count;
    rom_ips_run *runs; /* NULL: count only */
    size_t run_count;
} flattener;

/* Stable: least byte first. */
static void sort_by_offset(flattener *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        f->order[i] = i;
    }
    for (uint32_t shift = 0; shift < 24; shift += 8) {
        uint32_t starts[257] = {0};
        for (uint32_t i = 0; i < f->count; i++) {
            starts[(f->records[i].offset >> shift & 0xff) + 1]++;
        }
        for (uint32_t i = 0; i < 256; i++) {
            starts[i + 1] += starts[i];
        }
        for (uint32_t i = 0; i < f->count; i++) {
            uint32_t record = f->order[i];
            f->heap[starts[f->records[record].offset >> shift & 0xff]++] = record;
        }
        uint32_t *sorted = f->heap;
        f->heap = f->order;
        f->order = sorted;
    }
}

static void heap_push(flattener *f, uint32_t record)
{
    uint32_t at = f->heap_count++;
    while (at > 0 && f->heap[(at - 1) / 2] < record) {
        f->heap[at] = f->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    f->heap[at] = record;
}

static void heap_pop(flattener *f)
{
    uint32_t moved = f->heap[--f->heap_count];
    uint32_t at = 0;
    for (uint32_t child; (child = 2 * at + 1) < f->heap_count; at = child) {
        if (child + 1 < f->heap_count && f->heap[child + 1] > f->heap[child]) {
            child++;
        }
        if (f->heap[child] <= moved) {
            break;
        }
        f->heap[at] = f->heap[child];
    }
    f->heap[at] = moved;
}

/* [from, to) belongs to `record`; joined to the run before when that is the same record's. */
static void emit(flattener *f, uint32_t record, uint32_t from, uint32_t to, uint32_t *last_record)
{
    bool joins = f->run_count != 0 && *last_record == record;
    *last_record = record;
    if (f->runs == NULL) {
        f->run_count += joins ? 0 : 1;
        return;
    }
    if (joins) {
        f->runs[f->run_count - 1].size += to - from; /* it is on top without interruption */
        return;
    }
    const rom_ips_run *whole = &f->records[record];
    f->runs[f->run_count++] = (rom_ips_run){
        .data = whole->data != NULL ? whole->data + (from - whole->offset) : NULL,
        .offset = from,
        .size = to - from,
        .fill = whole->fill,
    };
}

static uint32_t end_of(const rom_ips_run *run)
{
    return run->offset + run->size;
}

static void sweep(flattener *f)
{
    uint32_t last_record = 0;
    uint32_t next = 0; /* in order: the first record that has not begun */
    f->run_count = 0;
    f->heap_count = 0;
    for (uint32_t at = 0; next < f->count || f->heap_count != 0;) {
        while (f->heap_count != 0 && end_of(&f->records[f->heap[0]]) <= at) {
            heap_pop(f);
        }
        if (f->heap_count == 0 && next < f->count) {
            uint32_t begin = f->records[f->order[next]].offset;
            at = begin > at ? begin : at;
        }
        while (next < f->count && f->records[f->order[next]].offset <= at) {
            heap_push(f, f->order[next++]);
        }
        if (f->heap_count == 0 || end_of(&f->records[f->heap[0]]) <= at) {
            continue;
        }
        uint32_t to = end_of(&f->records[f->heap[0]]);
        if (next < f->count && f->records[f->order[next]].offset < to) {
            to = f->records[f->order[next]].offset;
        }
        emit(f, f->heap[0], at, to, &last_record);
        at = to;
    }
}

static void *take(const brisk_alloc *alloc, size_t size)
{
    return alloc->acquire(alloc->ctx, size, _Alignof(rom_ips_run));
}

static void give(const brisk_alloc *alloc, void *ptr, size_t size)
{
    if (ptr != NULL) {
        alloc->release(alloc->ctx, ptr, size, _Alignof(rom_ips_run));
    }
}

static brisk_err flatten_with(rom_patch *patch, flattener *f)
{
    ips_walk walk = walk_of(patch, NULL);
    bool is_end = false;
    for (uint32_t i = 0; i < f->count; i++) {
        brisk_err err = next_record(&walk, &f->records[i], &is_end);
        BRISK_ASSERT(err == BRISK_OK && !is_end); /* the same bytes as when they were counted */
    }
    sort_by_offset(f);
    sweep(f);
    size_t capacity = f->run_count; /* never more than two per record */
    f->runs = take(patch->alloc, capacity * sizeof *f->runs);
    if (f->runs == NULL) {
        return BRISK_ERR_NOMEM;
    }
    sweep(f);
    BRISK_ASSERT(f->run_count <= capacity);
    patch->ips_runs = f->runs;
    patch->ips_run_count = f->run_count;
    patch->ips_run_capacity = capacity;
    return BRISK_OK;
}

static brisk_err flatten(rom_patch *patch, brisk_errinfo *info)
{
    if (patch->ips_records > SCRAMBLED_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT,
                                 "%s: %u records out of order, more than the %d allowed",
                                 patch->file.name, patch->ips_records, SCRAMBLED_MAX);
    }
    const brisk_alloc *alloc = patch->alloc;
    size_t count = patch->ips_records;
    uint32_t *order = take(alloc, count * sizeof *order);
    uint32_t *heap = take(alloc, count * sizeof *heap);
    rom_ips_run *records = take(alloc, count * sizeof *records);
    flattener f = {.records = records, .order = order, .heap = heap, .count = patch->ips_records};
    brisk_err err = BRISK_ERR_NOMEM;
    if (order != NULL && heap != NULL && records != NULL) {
        err = flatten_with(patch, &f);
    }
    give(alloc, records, count * sizeof *records);
    give(alloc, heap, count * sizeof *heap);
    give(alloc, order, count * sizeof *order);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s: out of memory", patch->file.name);
    }
    return BRISK_OK;
}

/* --- the format's part of patch.h ----------------------------------------------------------- */

brisk_err rom_ips_open(rom_patch *patch, brisk_errinfo *info)
{
    ips_walk walk = walk_of(patch, info);
    patch->body_begin = walk.reader.at;
    bool is_sorted = true;
    for (;;) {
        bool is_end = false;
        rom_ips_run record = {0};
        size_t start = walk.reader.at;
        brisk_err err = next_record(&walk, &record, &is_end);
        if (err != BRISK_OK) {
            return err;
        }
        if (is_end) {
            patch->body_end = start;
            break;
        }
        if (patch->ips_records == ROM_IPS_RECORDS_MAX) {
            return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: more than %d records",
                                     patch->file.name, ROM_IPS_RECORDS_MAX);
        }
        patch->ips_records++;
        is_sorted = is_sorted && record.offset >= patch->ips_end;
        uint64_t end = (uint64_t)record.offset + record.size;
        patch->ips_end = end > patch->ips_end ? end : patch->ips_end;
    }
    BRISK_ASSERT(patch->ips_end <= ROM_IPS_TARGET_MAX);
    bool has_cut = walk.reader.at != walk.reader.end;
    patch->ips_cut = has_cut ? rom_be24(patch->file.data + walk.reader.at) : UINT64_MAX;
    return is_sorted ? BRISK_OK : flatten(patch, info);
}

void rom_ips_close(rom_patch *patch)
{
    give(patch->alloc, patch->ips_runs, patch->ips_run_capacity * sizeof *patch->ips_runs);
}

uint64_t rom_ips_target_size(const rom_patch *patch, uint64_t source_size)
{
    uint64_t size = source_size > patch->ips_end ? source_size : patch->ips_end;
    return size < patch->ips_cut ? size : patch->ips_cut;
}

/* Sorted, disjoint runs, from the records or from what they were flattened to. */
typedef struct ips_runs {
    const rom_patch *patch;
    ips_walk walk;
    size_t index;
} ips_runs;

/* The next run, cut to the target's size; false when there is none. */
static bool next_run(ips_runs *runs, uint64_t size, rom_ips_run *ret)
{
    const rom_patch *patch = runs->patch;
    size_t count = patch->ips_runs != NULL ? patch->ips_run_count : patch->ips_records;
    if (runs->index == count) {
        return false;
    }
    if (patch->ips_runs != NULL) {
        *ret = patch->ips_runs[runs->index];
    } else {
        bool is_end = false;
        brisk_err err = next_record(&runs->walk, ret, &is_end);
        BRISK_ASSERT(err == BRISK_OK && !is_end);
    }
    runs->index++;
    if (ret->offset >= size) {
        return false; /* all later ones too */
    }
    ret->size = ret->size < size - ret->offset ? ret->size : (uint32_t)(size - ret->offset);
    return true;
}

brisk_err rom_ips_apply(const rom_patch *patch, const rom_target *target, rom_output *output,
                        brisk_errinfo *info)
{
    ips_runs runs = {.patch = patch, .walk = walk_of(patch, info)};
    uint64_t at = 0;
    brisk_err err = BRISK_OK;
    for (rom_ips_run run = {0}; err == BRISK_OK && next_run(&runs, target->size, &run);) {
        err = rom_copy_source(target, at, run.offset, output, info);
        if (err == BRISK_OK) {
            err = run.data != NULL ? rom_output_write(output, run.data, run.size, info)
                                   : rom_output_fill(output, run.fill, run.size, info);
        }
        at = (uint64_t)run.offset + run.size;
    }
    return err == BRISK_OK ? rom_copy_source(target, at, target->size, output, info) : err;
}

brisk_err rom_ips_writes(const rom_patch *patch, const rom_target *target,
                         const rom_writes_sink *sink, brisk_errinfo *info)
{
    ips_runs runs = {.patch = patch, .walk = walk_of(patch, info)};
    brisk_err err = BRISK_OK;
    for (rom_ips_run run = {0}; err == BRISK_OK && next_run(&runs, target->size, &run);) {
        const uint8_t *bytes = run.data;
        if (bytes == NULL) {
            uint8_t *filled = NULL;
            err = rom_sink_alloc(sink, run.size, &filled, info);
            if (err != BRISK_OK) {
                return err;
            }
            memset(filled, run.fill, run.size);
            bytes = filled;
        }
        rom_bytes whole = {.data = bytes, .size = run.size};
        err = sink->changes_only ? rom_sink_add_changes(sink, target, run.offset, &whole, info)
                                 : rom_sink_add(sink, run.offset, bytes, run.size, info);
    }
    return err;
}
