/*
 * cfi.h -- .eh_frame as a table: for each range of addresses, how the caller's frame is found.
 *
 * The programs in .eh_frame are run once, when a module is first seen; then a step of an unwind is
 * one lookup and two loads, instead of an interpreter for each frame (libunwind's unw_step: 270 ns).
 * What x86-64 code needs fits 12 bytes: where the canonical frame address (CFA) is and whether rbp
 * was saved.  Rows that need more (other registers, unknown expressions) say so: the unwinder then
 * tries the frame pointer.
 *
 * Input is hostile.  Sources: DWARF 5, section 6.4; LSB 5, .eh_frame; the psABI for the PLT's
 * expression.  A table is immutable once made.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_CFI_H
#define BRISK_SRC_OBSERVE_PROFILE_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "base/vec.h"

typedef enum prof_cfi_kind {
    PROF_CFI_NONE = 0,  /* nothing is known */
    PROF_CFI_RSP,       /* CFA = rsp + cfa_offset */
    PROF_CFI_RBP,       /* CFA = rbp + cfa_offset */
    PROF_CFI_RBP_DEREF, /* CFA = *(rbp + cfa_offset) */
    PROF_CFI_PLT,       /* CFA = rsp + 8, and 8 more in the later part of an entry */
    PROF_CFI_SIGNAL,    /* the kernel's frame of a signal handler */
    PROF_CFI_END,       /* the outermost frame */
} prof_cfi_kind;

#define PROF_CFI_RBP_SAME INT16_MIN

typedef struct prof_cfi_row {
    uint32_t from; /* first address, less `base` */
    int32_t cfa_offset;
    int16_t rbp_offset; /* rbp was saved at CFA + this, or PROF_CFI_RBP_SAME */
    uint8_t kind;
    uint8_t spare;
} prof_cfi_row;

typedef struct prof_cfi {
    BRISK_VEC(prof_cfi_row) rows; /* by address */
    uint64_t base;
    uint32_t bad; /* entries that were left out */
} prof_cfi;

/*
 * Make the table of `size` bytes that are loaded at `address`.  Damaged entries are left out and
 * counted.  Errors: NOMEM.
 */
BRISK_NODISCARD brisk_err prof_cfi_build(const unsigned char *bytes, size_t size, uint64_t address,
                                         const brisk_alloc *alloc, prof_cfi *ret);
void prof_cfi_deinit(prof_cfi *cfi);
/* The row for `address`; one of kind NONE when there is none. */
const prof_cfi_row *prof_cfi_find(const prof_cfi *cfi, uint64_t address);

#endif /* BRISK_SRC_OBSERVE_PROFILE_CFI_H */
