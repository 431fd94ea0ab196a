/*
 * dwarf_lines.h -- functions, inlined ones too, and source lines of addresses, from DWARF (elfutils).
 *
 * The reading happens in a child process with limits of time and memory: debug information comes
 * with foreign files, and a damaged one must cost names, not the profile.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_DWARF_LINES_H
#define BRISK_SRC_OBSERVE_PROFILE_DWARF_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

enum { PROF_DWARF_TEXT_MAX = 4096, PROF_DWARF_SECONDS_MAX = 30 };

typedef struct prof_dwarf_frame {
    size_t index;  /* of the address */
    bool inlined;  /* into the one that comes next */
    uint32_t line; /* 0: unknown */
    const char *name;
    const char *file;
} prof_dwarf_frame;

/* Called for each function of an address, the innermost first. */
typedef void (*prof_dwarf_fn)(void *ctx, const prof_dwarf_frame *frame);

typedef struct prof_dwarf_job {
    int fd; /* of the file with the debug information; not closed */
    const uint64_t *addresses;
    size_t count;
} prof_dwarf_job;

/*
 * Errors: CORRUPT (the reader died; what came before was given), DEADLINE, NOMEM, IO.
 * Addresses of which nothing is known are left out.
 */
BRISK_NODISCARD brisk_err prof_dwarf_read(const prof_dwarf_job *job, prof_dwarf_fn fn, void *ctx);

#endif /* BRISK_SRC_OBSERVE_PROFILE_DWARF_LINES_H */
