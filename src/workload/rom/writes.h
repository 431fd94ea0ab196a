/*
 * writes.h -- lists of writes: what each component wants where, merged, and who contradicts whom.
 *
 * A write is a run of bytes at an offset (of the file, or behind its copier header: one list, one
 * kind), and its owner, a number that the caller gives a name.  Merging sorts by offset and sweeps once:
 *
 *     covered ─────────────┐ E                 every earlier write began at or before s, so
 *              s ┌─────────┼──────┐ e          [s, E) is covered without a hole: compare it;
 *                └ compare ┘ new  ┘            [E, e) is new: append it
 *
 * so each byte of each write is looked at once: O(n log n + bytes).  Writers that agree are fine;
 * the first one (lowest owner among those that begin there first) stays as owner.
 *
 * Everything lives in the arena that is given.  One thread at a time per list.
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_WRITES_H
#define BRISK_SRC_WORKLOAD_ROM_WRITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/arena.h>
#include <brisk/err.h>

#include "workload/rom/rom.h"

enum {
    ROM_WRITES_MAX = 4 << 20, /* runs in one list: 96 MiB of bookkeeping */
    ROM_CONFLICTS_SHOWN = 20,
};

typedef struct rom_write {
    uint64_t offset;
    const uint8_t *bytes; /* borrowed: of the mod file, the patch or an image */
    uint32_t size;        /* at least 1 */
    uint32_t owner;
} rom_write;

typedef struct rom_writes {
    rom_write *items;
    size_t count;
    size_t capacity;
} rom_writes;

/* Two owners want different bytes at [offset, offset + size). */
typedef struct rom_conflict {
    uint64_t offset;
    uint32_t size;
    uint32_t first;
    uint32_t second;
    const uint8_t *first_bytes;
    const uint8_t *second_bytes;
} rom_conflict;

typedef struct rom_conflicts {
    rom_conflict items[ROM_CONFLICTS_SHOWN]; /* the first ones by offset */
    uint32_t shown;
    uint64_t total;
} rom_conflicts;

/* Add one write to a zeroed or used list.  Errors: NOMEM, LIMIT (ROM_WRITES_MAX). */
BRISK_NODISCARD brisk_err rom_writes_add(rom_writes *list, brisk_arena *arena,
                                         const rom_write *write);
/* Add all of `from`. */
BRISK_NODISCARD brisk_err rom_writes_append(rom_writes *list, brisk_arena *arena,
                                            const rom_writes *from);

/*
 * Sort `list` and give the same changes as sorted, disjoint runs in *ret; contradictions go to
 * *conflicts, and *ret is then not to be used.  Errors: NOMEM, LIMIT.
 */
BRISK_NODISCARD brisk_err rom_writes_merge(rom_writes *list, brisk_arena *arena, rom_writes *ret,
                                           rom_conflicts *conflicts);

/*
 * `over` on top of `under`, both sorted and disjoint: where both write, `over` wins silently.
 * Errors: NOMEM, LIMIT.
 */
BRISK_NODISCARD brisk_err rom_writes_override(const rom_writes *under, const rom_writes *over,
                                              brisk_arena *arena, rom_writes *ret);

/* What `over` leaves of `list`, in order; `over` is sorted and disjoint.  Errors: NOMEM, LIMIT. */
BRISK_NODISCARD brisk_err rom_writes_subtract(const rom_writes *list, const rom_writes *over,
                                              brisk_arena *arena, rom_writes *ret);

/* Add the runs of `write` that differ from `image`, or lie beyond it.  Errors: NOMEM, LIMIT. */
BRISK_NODISCARD brisk_err rom_writes_add_changes(rom_writes *list, brisk_arena *arena,
                                                 const rom_write *write, const rom_bytes *image);

/* End of the last byte written, or 0.  `list` is sorted and disjoint. */
uint64_t rom_writes_end(const rom_writes *list);
/* Bytes written.  `list` is disjoint. */
uint64_t rom_writes_bytes(const rom_writes *list);
/* Sorted by offset, no two touching the same byte?  O(count). */
bool rom_writes_is_disjoint(const rom_writes *list);
/* Put the writes into `image`; a write that ends beyond `size` is a bug. */
void rom_writes_apply(const rom_writes *list, uint8_t *image, uint64_t size);

#endif /* BRISK_SRC_WORKLOAD_ROM_WRITES_H */
