/*
 * unwind.c -- the walk behind unwind.h.
 */
#include "observe/profile/unwind.h"

#include <string.h>

enum {
    WORD = 8,
    /* The kernel's frame of a signal: registers in a ucontext at rsp. */
    SIGNAL_RBP = 120,
    SIGNAL_RSP = 160,
    SIGNAL_RIP = 168,
};

static inline bool load(const prof_stack *stack, uint64_t address, uint64_t *ret)
{
    uint64_t at = address - stack->base;
    if (at > stack->size || stack->size - at < WORD) {
        return false;
    }
    memcpy(ret, stack->bytes + at, WORD);
    return true;
}

size_t prof_unwind_fp(const prof_regs *regs, const prof_stack *stack, uint64_t *pcs, size_t max)
{
    size_t count = 0;
    uint64_t bp = regs->bp;
    uint64_t floor = regs->sp;
    if (max == 0) {
        return 0;
    }
    pcs[count++] = regs->ip;
    while (count < max) {
        uint64_t next;
        uint64_t ra;
        if (bp < floor || (bp & 7) != 0 || !load(stack, bp, &next) ||
            !load(stack, bp + WORD, &ra) || ra < 4096) {
            break;
        }
        pcs[count++] = ra - 1;
        floor = bp + 1;
        bp = next;
    }
    return count;
}

static prof_cfi_row find_row(prof_spaces *spaces, const prof_space *space, uint64_t pc)
{
    prof_cfi_row none = {.kind = PROF_CFI_NONE};
    const prof_map *map = prof_space_find(space, pc);
    const prof_cfi *cfi = map != NULL ? prof_module_cfi(spaces, map->module) : NULL;
    if (cfi == NULL) {
        return none;
    }
    prof_cfi_row row = *prof_cfi_find(cfi, pc - map->bias);
    if (row.kind == PROF_CFI_PLT) {
        /* Depends on the place within an entry of 16 bytes, which `pc` fixes. */
        bool later = ((pc - map->bias) & 15) >= (uint64_t)row.cfa_offset;
        row.kind = PROF_CFI_RSP;
        row.cfa_offset = later ? 16 : 8;
    }
    return row;
}

static inline const prof_cfi_row *row_of(prof_unwinder *u, prof_spaces *spaces,
                                         const prof_space *space, uint64_t pc)
{
    prof_unwind_entry *entry =
        &u->cache[(pc ^ (pc >> 12) ^ space->generation) & (PROF_UNWIND_CACHE - 1)];
    if (entry->pc != pc || entry->generation != space->generation) {
        *entry = (prof_unwind_entry){pc, space->generation, find_row(spaces, space, pc)};
    }
    return &entry->row;
}

/* The caller's registers by the frame pointer; false at the end. */
static bool step_fp(const prof_stack *stack, prof_regs *r)
{
    uint64_t next;
    uint64_t ra;
    if (r->bp < r->sp || (r->bp & 7) != 0 || !load(stack, r->bp, &next) ||
        !load(stack, r->bp + WORD, &ra)) {
        return false;
    }
    r->sp = r->bp + 2 * WORD;
    r->bp = next;
    r->ip = ra;
    return true;
}

static bool step_signal(const prof_stack *stack, prof_regs *r)
{
    prof_regs up;
    if (!load(stack, r->sp + SIGNAL_RIP, &up.ip) || !load(stack, r->sp + SIGNAL_RSP, &up.sp) ||
        !load(stack, r->sp + SIGNAL_RBP, &up.bp)) {
        return false;
    }
    *r = up;
    return true;
}

static inline bool step_row(const prof_stack *stack, const prof_cfi_row *row, prof_regs *r)
{
    uint64_t cfa = (row->kind == PROF_CFI_RSP ? r->sp : r->bp) + (uint64_t)(int64_t)row->cfa_offset;
    uint64_t ra;
    if (row->kind == PROF_CFI_RBP_DEREF && !load(stack, cfa, &cfa)) {
        return false;
    }
    if (cfa <= r->sp || !load(stack, cfa - WORD, &ra)) {
        return false;
    }
    if (row->rbp_offset != PROF_CFI_RBP_SAME) {
        uint64_t at =
            row->kind == PROF_CFI_RBP_DEREF ? r->bp : cfa + (uint64_t)(int64_t)row->rbp_offset;
        if (!load(stack, at, &r->bp)) {
            return false;
        }
    }
    r->sp = cfa;
    r->ip = ra;
    return true;
}

size_t prof_unwind(prof_unwinder *u, const prof_walk *walk, uint64_t *pcs, size_t max)
{
    prof_regs r = walk->regs;
    const prof_stack *stack = &walk->stack;
    size_t count = 0;
    bool is_call = false; /* r.ip is a return address */
    while (count < max && r.ip >= 4096) {
        uint64_t pc = r.ip - (is_call ? 1 : 0);
        pcs[count++] = pc;
        const prof_cfi_row *row = row_of(u, walk->spaces, walk->space, pc);
        bool good;
        is_call = true;
        if (row->kind >= PROF_CFI_RSP && row->kind <= PROF_CFI_RBP_DEREF) {
            good = step_row(stack, row, &r); /* nearly all are of these */
        } else if (row->kind == PROF_CFI_END) {
            break;
        } else if (row->kind == PROF_CFI_NONE) {
            u->by_frame_pointer++;
            good = step_fp(stack, &r);
        } else {
            good = step_signal(stack, &r);
            is_call = false;
        }
        if (!good) {
            u->truncated += stack->size > 0 && row->kind != PROF_CFI_NONE;
            break;
        }
    }
    u->steps += count;
    return count;
}
