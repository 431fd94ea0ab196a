/*
 * read.h -- a file of format.h, checked: what is in it may be garbage, cut, or just now written to.
 *
 * Threads: functions keep nothing.
 */
#ifndef BRISK_SRC_OBSERVE_HEAP_READ_H
#define BRISK_SRC_OBSERVE_HEAP_READ_H

#include <stdbool.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "observe/heap/format.h"

typedef struct heap_profile {
    const brisk_alloc *alloc;
    heap_head head;     /* texts end, counts are within limits */
    heap_stack *stacks; /* head.stack_count; each lies within the frames */
    uint64_t *frames;   /* head.frame_count */
    heap_live *live;    /* live_count, in no order; their stacks exist */
    uint32_t live_count;
    char *maps;   /* ends in NUL */
    uint32_t bad; /* records that contradicted themselves and were set right or left out */
} heap_profile;

typedef struct heap_read_opts {
    const char *name;         /* for errors */
    bool sums_only;           /* no frames, live blocks and mappings */
    const brisk_alloc *alloc; /* NULL: libc */
} heap_read_opts;

/* Read `fd` from its start.  Errors: CORRUPT (no such file, or cut; `info` says where), IO, NOMEM. */
BRISK_NODISCARD brisk_err heap_profile_read(int fd, const heap_read_opts *opts, heap_profile *ret,
                                            brisk_errinfo *info);
/* A zeroed one is accepted. */
void heap_profile_deinit(heap_profile *profile);
/* Whether the file begins as one of ours. */
bool heap_profile_is(int fd);

/*
 * The standard error of the estimate of live bytes, as a share of it: a block of n bytes that was hit with
 * chance p and stands for n / p adds (n / p)^2 (1 - p).
 */
double heap_profile_error(const heap_profile *profile);

#endif /* BRISK_SRC_OBSERVE_HEAP_READ_H */
