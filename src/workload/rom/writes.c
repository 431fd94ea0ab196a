/*
 * writes.c -- the sweep and its relatives behind writes.h.
 *
 * Invariant of the sweep: `ret` holds disjoint runs in order, `covered` is the end of the last
 * one, and every write seen so far lies inside them.  A write that begins at s <= covered finds
 * [s, covered) without a hole, because the run that reaches `covered` began at or before s, and
 * whatever it left out in front was covered when it came.
 */
#include <string.h>

#include "base/assert.h"

#include "workload/rom/writes.h"

enum { CAPACITY_FIRST = 64 };

static brisk_err reserve(rom_writes *list, brisk_arena *arena, size_t more)
{
    if (more > ROM_WRITES_MAX - list->count) {
        return BRISK_ERR_LIMIT;
    }
    size_t need = list->count + more;
    if (need <= list->capacity) {
        return BRISK_OK;
    }
    size_t capacity = list->capacity != 0 ? list->capacity : CAPACITY_FIRST;
    while (capacity < need) {
        capacity *= 2;
    }
    rom_write *items = brisk_arena_alloc(arena, capacity * sizeof *items);
    if (items == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (list->count != 0) {
        memcpy(items, list->items, list->count * sizeof *items);
    }
    list->items = items;
    list->capacity = capacity;
    return BRISK_OK;
}

brisk_err rom_writes_add(rom_writes *list, brisk_arena *arena, const rom_write *write)
{
    BRISK_ASSERT(write->size > 0 && write->bytes != NULL);
    BRISK_ASSERT(write->offset <= UINT64_MAX - write->size);
    brisk_err err = reserve(list, arena, 1);
    if (err == BRISK_OK) {
        list->items[list->count++] = *write;
    }
    return err;
}

brisk_err rom_writes_append(rom_writes *list, brisk_arena *arena, const rom_writes *from)
{
    brisk_err err = reserve(list, arena, from->count);
    if (err == BRISK_OK && from->count != 0) {
        memcpy(list->items + list->count, from->items, from->count * sizeof *from->items);
        list->count += from->count;
    }
    return err;
}

/* First position at or after `at` where the images differ, or `size`. */
static uint64_t next_difference(const uint8_t *a, const uint8_t *b, uint64_t at, uint64_t size)
{
    enum { BLOCK = 256 };
    while (size - at >= BLOCK && memcmp(a + at, b + at, BLOCK) == 0) {
        at += BLOCK;
    }
    while (at < size && a[at] == b[at]) {
        at++;
    }
    return at;
}

/* By offset, then owner, then size, longest first. */
static int compare_writes(const void *a, const void *b)
{
    const rom_write *x = a;
    const rom_write *y = b;
    if (x->offset != y->offset) {
        return x->offset < y->offset ? -1 : 1;
    }
    if (x->owner != y->owner) {
        return x->owner < y->owner ? -1 : 1;
    }
    return x->size > y->size ? -1 : x->size < y->size;
}

static bool is_sorted(const rom_writes *list)
{
    for (size_t i = 1; i < list->count; i++) {
        if (compare_writes(&list->items[i - 1], &list->items[i]) > 0) {
            return false;
        }
    }
    return true;
}

/* Index of the run of `list` that contains `offset`, which some run does. */
static size_t find_run(const rom_writes *list, uint64_t offset)
{
    size_t low = 0;
    size_t high = list->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (list->items[middle].offset <= offset) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The owner with the lower number is called the first. */
static void add_conflict(rom_conflicts *conflicts, const rom_conflict *conflict)
{
    conflicts->total++;
    if (conflicts->shown == ROM_CONFLICTS_SHOWN) {
        return;
    }
    rom_conflict *item = &conflicts->items[conflicts->shown++];
    *item = *conflict;
    if (conflict->first > conflict->second) {
        item->first = conflict->second;
        item->second = conflict->first;
        item->first_bytes = conflict->second_bytes;
        item->second_bytes = conflict->first_bytes;
    }
}

/* Compare [from, to) of `write` with `run`; each stretch of different bytes is one conflict. */
static void compare_run(const rom_write *run, const rom_write *write, uint64_t to,
                        rom_conflicts *conflicts)
{
    uint64_t from = run->offset > write->offset ? run->offset : write->offset;
    const uint8_t *a = run->bytes + (from - run->offset);
    const uint8_t *b = write->bytes + (from - write->offset);
    uint64_t size = to - from;
    uint64_t at = next_difference(a, b, 0, size);
    while (at < size) {
        uint64_t end = at + 1;
        while (end < size && a[end] != b[end]) {
            end++;
        }
        add_conflict(conflicts, &(rom_conflict){.offset = from + at,
                                                .size = (uint32_t)(end - at),
                                                .first = run->owner,
                                                .second = write->owner,
                                                .first_bytes = a + at,
                                                .second_bytes = b + at});
        at = next_difference(a, b, end, size);
    }
}

/* Compare `write` with everything that covers it below `covered`. */
static void compare_covered(const rom_writes *runs, const rom_write *write, uint64_t covered,
                            rom_conflicts *conflicts)
{
    uint64_t end = write->offset + write->size;
    end = end < covered ? end : covered;
    uint64_t at = write->offset;
    for (size_t i = find_run(runs, at); at < end; i++) {
        BRISK_ASSERT(i < runs->count);
        const rom_write *run = &runs->items[i];
        uint64_t run_end = run->offset + run->size;
        uint64_t to = run_end < end ? run_end : end;
        compare_run(run, write, to, conflicts);
        at = to;
    }
}

brisk_err rom_writes_merge(rom_writes *list, brisk_arena *arena, rom_writes *ret,
                           rom_conflicts *conflicts)
{
    if (list->count > 1 && !is_sorted(list)) {
        qsort(list->items, list->count, sizeof *list->items, compare_writes);
    }
    rom_writes runs = {0};
    uint64_t covered = 0;
    brisk_err err = reserve(&runs, arena, list->count);
    for (size_t i = 0; err == BRISK_OK && i < list->count; i++) {
        rom_write write = list->items[i];
        uint64_t end = write.offset + write.size;
        if (write.offset < covered) {
            compare_covered(&runs, &write, covered, conflicts);
            uint64_t cut = end < covered ? write.size : covered - write.offset;
            write.offset += cut;
            write.bytes += cut;
            write.size -= (uint32_t)cut;
        }
        if (write.size > 0) {
            err = rom_writes_add(&runs, arena, &write);
            covered = end;
        }
    }
    if (err != BRISK_OK) {
        return err;
    }
    BRISK_AUDIT(rom_writes_is_disjoint(&runs));
    *ret = runs;
    return BRISK_OK;
}

/* The parts of `write` that `over` leaves free. */
static brisk_err add_uncovered(rom_writes *list, brisk_arena *arena, rom_write write,
                               const rom_writes *over)
{
    uint64_t end = write.offset + write.size;
    size_t i = over->count != 0 ? find_run(over, write.offset) : 0;
    brisk_err err = BRISK_OK;
    for (; err == BRISK_OK && i < over->count && over->items[i].offset < end; i++) {
        const rom_write *top = &over->items[i];
        uint64_t top_end = top->offset + top->size;
        if (top_end <= write.offset) {
            continue;
        }
        if (top->offset > write.offset) {
            rom_write part = write;
            part.size = (uint32_t)(top->offset - write.offset);
            err = rom_writes_add(list, arena, &part);
        }
        if (top_end >= end) {
            return err;
        }
        write.bytes += top_end - write.offset;
        write.offset = top_end;
        write.size = (uint32_t)(end - top_end);
    }
    return err == BRISK_OK ? rom_writes_add(list, arena, &write) : err;
}

brisk_err rom_writes_subtract(const rom_writes *list, const rom_writes *over, brisk_arena *arena,
                              rom_writes *ret)
{
    rom_writes result = {0};
    for (size_t i = 0; i < list->count; i++) {
        brisk_err err = add_uncovered(&result, arena, list->items[i], over);
        if (err != BRISK_OK) {
            return err;
        }
    }
    *ret = result;
    return BRISK_OK;
}

/* [from, to) of `write`. */
static brisk_err add_part(rom_writes *list, brisk_arena *arena, rom_write write, uint64_t from,
                          uint64_t to)
{
    write.offset += from;
    write.bytes += from;
    write.size = (uint32_t)(to - from);
    return rom_writes_add(list, arena, &write);
}

brisk_err rom_writes_add_changes(rom_writes *list, brisk_arena *arena, const rom_write *write,
                                 const rom_bytes *image)
{
    uint64_t left = write->offset < image->size ? image->size - write->offset : 0;
    uint64_t inside = left < write->size ? left : write->size;
    const uint8_t *before = image->data + (inside != 0 ? write->offset : 0);
    for (uint64_t at = 0;;) {
        at = next_difference(before, write->bytes, at, inside);
        uint64_t end = at;
        while (end < inside && before[end] != write->bytes[end]) {
            end++;
        }
        end = end < inside ? end : write->size; /* a run goes on behind the end of the image */
        if (at == end) {
            return BRISK_OK;
        }
        brisk_err err = add_part(list, arena, *write, at, end);
        if (err != BRISK_OK || end == write->size) {
            return err;
        }
        at = end;
    }
}

brisk_err rom_writes_override(const rom_writes *under, const rom_writes *over, brisk_arena *arena,
                              rom_writes *ret)
{
    rom_writes result = {0};
    brisk_err err = rom_writes_subtract(under, over, arena, &result);
    if (err == BRISK_OK) {
        err = rom_writes_append(&result, arena, over);
    }
    if (err != BRISK_OK) {
        return err;
    }
    if (result.count > 1) {
        qsort(result.items, result.count, sizeof *result.items, compare_writes);
    }
    BRISK_AUDIT(rom_writes_is_disjoint(&result));
    *ret = result;
    return BRISK_OK;
}

uint64_t rom_writes_end(const rom_writes *list)
{
    if (list->count == 0) {
        return 0;
    }
    const rom_write *last = &list->items[list->count - 1];
    return last->offset + last->size;
}

uint64_t rom_writes_bytes(const rom_writes *list)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < list->count; i++) {
        bytes += list->items[i].size;
    }
    return bytes;
}

bool rom_writes_is_disjoint(const rom_writes *list)
{
    for (size_t i = 1; i < list->count; i++) {
        const rom_write *before = &list->items[i - 1];
        if (before->offset + before->size > list->items[i].offset) {
            return false;
        }
    }
    return true;
}

void rom_writes_apply(const rom_writes *list, uint8_t *image, uint64_t size)
{
    for (size_t i = 0; i < list->count; i++) {
        const rom_write *write = &list->items[i];
        BRISK_ASSERT(write->offset <= size && write->size <= size - write->offset);
        memcpy(image + write->offset, write->bytes, write->size);
    }
}
