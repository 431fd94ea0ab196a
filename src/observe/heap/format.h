/*
 * format.h -- the file that a sampled process keeps of its heap: written by libbrisk_heap.so (preload*.c),
 * read by `brisk profile --memory` (read.c) while the process runs, and after its end.
 *
 * The process maps the file and works in it, so a reader needs no help from the process, and a process that is
 * killed leaves what it knew.  All of it is allocated on disk before it is mapped: a full disk is an error at the
 * start and never a SIGBUS.
 *
 *     head | stacks[] | frames[] | live blocks, by shard | executable mappings, as text
 *
 * A sample stands for `weight` bytes.  With one sample each T bytes on the average (exponential distances), a block
 * of n bytes is hit with p = 1 - exp(-n / T) and stands for n / p bytes: the sums have no bias for any size.
 *
 * Invariants (of an honest writer; a reader checks): stack 0 is "stacks that no longer fitted"; frames and maps
 * are only appended, their counts stored after them; a live block's stack exists.  Little endian, 64 bits.
 */
#ifndef BRISK_SRC_OBSERVE_HEAP_FORMAT_H
#define BRISK_SRC_OBSERVE_HEAP_FORMAT_H

#include <assert.h>
#include <stdint.h>

#define HEAP_MAGIC "BRKHEAP1"

enum {
    HEAP_STACKS_MAX = 8192,
    HEAP_FRAMES_MAX = 1 << 18,
    HEAP_DEPTH_MAX = 128,
    HEAP_SHARDS = 16,
    HEAP_SHARD_ENTRIES = 2048, /* a power of two */
    HEAP_MAPS_MAX = 1 << 18,
    HEAP_HEAD_BYTES = 4096,
    HEAP_COMMAND_MAX = 256,
    HEAP_DUMPS_MAX = 16, /* that a growing process writes by itself */
};

typedef struct heap_head {
    char magic[8];
    uint32_t pid;
    uint32_t dump;          /* 1 and on: written by a growing process by itself */
    uint64_t interval;      /* bytes for each sample, on the average */
    uint64_t start_ns;      /* CLOCK_MONOTONIC */
    uint64_t wall_start_ns; /* since 1970 */
    uint64_t now_ns;        /* of the last sample */
    uint64_t samples;
    uint64_t lost_samples; /* live table full: allocated, but never live */
    uint64_t lost_bytes;
    uint64_t live_bytes; /* estimates, of all stacks */
    uint64_t alloc_bytes;
    uint64_t peak_bytes;
    uint64_t peak_ns;
    /* What malloc itself says (mallinfo2), now and then; 0: this malloc does not. */
    uint64_t malloc_system; /* from the kernel */
    uint64_t malloc_used;   /* in blocks that are in use */
    uint64_t malloc_at_ns;
    uint32_t stack_count;
    uint32_t frame_count;
    uint32_t map_bytes;
    uint32_t spare;
    char command[HEAP_COMMAND_MAX];
} heap_head;

typedef struct heap_stack {
    uint64_t hash;
    uint32_t first; /* of frames, innermost first */
    uint32_t depth;
    uint64_t alloc_bytes; /* estimates */
    uint64_t alloc_blocks;
    uint64_t live_bytes;
    uint64_t live_blocks;
    uint64_t peak_bytes; /* of this stack when the process was at its peak (within a twentieth) */
    uint32_t samples;
    uint32_t live_samples;
} heap_stack;

typedef struct heap_live {
    uint64_t address; /* 0: free */
    uint64_t size;
    uint64_t weight;
    uint32_t stack;
    uint32_t born_ms; /* since start_ns */
} heap_live;

static_assert(sizeof(heap_head) <= HEAP_HEAD_BYTES, "the head is a page");
static_assert(sizeof(heap_stack) == 64 && sizeof(heap_live) == 32, "no padding in files");

#define HEAP_STACKS_AT ((uint64_t)HEAP_HEAD_BYTES)
#define HEAP_FRAMES_AT (HEAP_STACKS_AT + HEAP_STACKS_MAX * sizeof(heap_stack))
#define HEAP_LIVE_AT   (HEAP_FRAMES_AT + HEAP_FRAMES_MAX * sizeof(uint64_t))
#define HEAP_MAPS_AT   (HEAP_LIVE_AT + HEAP_SHARDS * HEAP_SHARD_ENTRIES * sizeof(heap_live))
#define HEAP_FILE_SIZE (HEAP_MAPS_AT + HEAP_MAPS_MAX)

/* The environment of a sampled process. */
#define HEAP_LOADED       "loaded" /* in the folder: a sampler began, and may have sampled nothing */
#define HEAP_ENV_FOLDER   "BRISK_HEAP"          /* where files go; without it nothing is sampled */
#define HEAP_ENV_INTERVAL "BRISK_HEAP_INTERVAL" /* bytes */
#define HEAP_ENV_GROWTH   "BRISK_HEAP_GROWTH"   /* live bytes more than at the last dump: dump */
#define HEAP_ENV_LOADED   "BRISK_HEAP_LOADED"   /* "1": leave HEAP_LOADED there */
#define HEAP_ENV_FORK     "BRISK_HEAP_FORK" /* "stop": children that do not exec are not sampled */
#define HEAP_ENV_SEED     "BRISK_HEAP_SEED" /* a number: the same samples again, for tests */

enum {
    HEAP_INTERVAL_DEFAULT = 512 * 1024,
    HEAP_FINER_MAX = 3 /* halvings, while samples are few */
};

#endif /* BRISK_SRC_OBSERVE_HEAP_FORMAT_H */
