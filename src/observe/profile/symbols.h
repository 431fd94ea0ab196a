/*
 * symbols.h -- tables of symbols: of ELF files, of the kernel (/proc/kallsyms) and of compilers at
 * run time (perf-PID.map); and names as people write them.
 *
 * Names stay where they were read, in one block; a symbol is found by halving.  All of it is
 * hostile.  A table is immutable once made.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_SYMBOLS_H
#define BRISK_SRC_OBSERVE_PROFILE_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "base/vec.h"
#include "observe/profile/elf_file.h"

enum { PROF_SYMBOLS_MAX = 1 << 24, PROF_DEMANGLE_MAX = 2048 };

#define PROF_SYMBOL_TEXT_MAX (UINT64_C(1) << 28) /* bytes of kallsyms or of a map */

typedef struct prof_symbol {
    uint64_t address;
    uint64_t size; /* 0: up to the next */
    uint32_t name; /* offset in `names` */
    uint32_t rank; /* of several at one address the lowest is shown */
} prof_symbol;

typedef struct prof_symbols {
    BRISK_VEC(prof_symbol) items; /* by address */
    char *names;                  /* ends in NUL */
    size_t names_size;
    const brisk_alloc *alloc;
} prof_symbols;

/* The functions of a file's own table, or of the dynamic one.  Errors: NOT_FOUND, NOMEM, IO. */
BRISK_NODISCARD brisk_err prof_symbols_of_elf(const prof_elf *elf, const brisk_alloc *alloc,
                                              prof_symbols *ret);
/*
 * Of lines "ADDRESS SIZE NAME" in a regular file that belongs to `owner` (a user's number), to us or to root; or, with
 * PROF_OWNER_KERNEL, of the kernel's "ADDRESS TYPE NAME".  Damaged lines are left out.  Errors: NOT_FOUND,
 * PERMISSION (somebody else's), NOMEM.
 */
#define PROF_OWNER_KERNEL INT64_C(-1)
BRISK_NODISCARD brisk_err prof_symbols_of_text(const char *path, int64_t owner,
                                               const brisk_alloc *alloc, prof_symbols *ret);
void prof_symbols_deinit(prof_symbols *symbols);
/* The name of the symbol that `address` lies in, not terminated before *size; NULL: none. */
const char *prof_symbols_find(const prof_symbols *symbols, uint64_t address, size_t *size);

/*
 * A C++ (or old Rust) name as its source has it, in `text` of `room` bytes; the name itself when it is
 * none or libstdc++ is not there.  Threads: any.
 */
const char *prof_demangle(const char *name, char *text, size_t room);

/* Open the file with the debug information of `elf`, found by build-id or debuglink, or -1. */
int prof_debug_file(const prof_elf *elf, const char *path);

#endif /* BRISK_SRC_OBSERVE_PROFILE_SYMBOLS_H */
