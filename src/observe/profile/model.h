/*
 * model.h -- a profile in memory, whoever measured it: our sampler, perf, pprof, a list of stacks.
 *
 * Strings, frames and stacks are numbers into tables without doubles.  A stack is a node of a tree:
 * its frame and its caller's node; node 0 is the root, which has no frame.  A sample is what was
 * measured for one (stack, thread): up to PROF_VALUES_MAX numbers whose names and units are the
 * profile's `types`.  Events are the same in the order of time, when times are known.
 *
 * The first failure (memory, a limit) is kept and everything after it does nothing: build first,
 * then ask prof_model_err.  Numbers that come back meanwhile are valid (0).
 *
 * Invariants: string 0 is "", node 0 the root, thread 0 "nobody"; parents have smaller numbers than
 * their children; a frame's strings exist.  Threads: one at a time.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_MODEL_H
#define BRISK_SRC_OBSERVE_PROFILE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/arena.h>
#include <brisk/err.h>

#include "base/vec.h"
#include "observe/profile/index.h"

enum {
    PROF_VALUES_MAX = 8,
    PROF_DEPTH_MAX = 2048, /* frames of a stack; the outermost are left out above */
    PROF_NAME_MAX = 4096,  /* longer names are cut, and end in a hash of all of them */
    PROF_ITEMS_MAX = 1 << 28,
    PROF_EVENTS_MAX = 1 << 22, /* the rest is counted only */
    PROF_NOTES_MAX = 64,
};

#define PROF_PID_UNKNOWN UINT32_MAX

enum {
    PROF_FRAME_KERNEL = 1,
    PROF_FRAME_JIT = 2,
    PROF_FRAME_INLINED = 4,
    PROF_FRAME_UNKNOWN = 8, /* no symbol: `name` is the module's in brackets */
};

typedef struct prof_frame {
    uint32_t name;
    uint32_t file;   /* of the source; 0: unknown */
    uint32_t module; /* path; 0: unknown */
    uint32_t line;
    uint32_t flags;
    uint64_t address; /* of PROF_FRAME_UNKNOWN only */
} prof_frame;

typedef struct prof_node {
    uint32_t parent;
    uint32_t frame;
    uint32_t depth;
} prof_node;

typedef struct prof_tree {
    BRISK_VEC(prof_node) nodes;
    prof_index index;
} prof_tree;

typedef struct prof_thread {
    uint32_t pid; /* PROF_PID_UNKNOWN: not told */
    uint32_t tid;
    uint32_t comm;
} prof_thread;

typedef struct prof_type {
    uint32_t name; /* "cpu" */
    uint32_t unit; /* "nanoseconds", "count", "bytes" */
} prof_type;

typedef struct prof_sample {
    uint32_t stack;
    uint32_t thread;
    uint64_t values[PROF_VALUES_MAX];
} prof_sample;

typedef struct prof_event {
    uint64_t time_ns;
    uint64_t length_ns;
    uint32_t stack;
    uint32_t thread;
    bool off_cpu;
} prof_event;

typedef struct prof_string {
    const char *text; /* ends in NUL */
    uint32_t size;
} prof_string;

/* What was measured beside the samples.  0: not known. */
typedef struct prof_meta {
    uint64_t wall_start_ns; /* since 1970 */
    uint64_t duration_ns;
    uint64_t period;                /* of the first type that has one */
    uint64_t cpu_ns;                /* processor time of the target as the kernel counts it */
    uint64_t lost;                  /* samples that the kernel could not deliver */
    uint64_t samples;               /* that were taken */
    uint32_t command;               /* string */
    uint32_t default_type;          /* which of `types` a report shows */
    uint32_t notes[PROF_NOTES_MAX]; /* strings: engine, fall-backs, what is missing */
    uint32_t note_count;
} prof_meta;

typedef struct prof_model {
    const brisk_alloc *alloc;
    brisk_arena *arena; /* the strings */
    BRISK_VEC(prof_string) strings;
    BRISK_VEC(prof_frame) frames;
    BRISK_VEC(prof_thread) threads;
    BRISK_VEC(prof_sample) samples;
    BRISK_VEC(prof_event) events;
    prof_tree stacks;
    prof_index string_index;
    prof_index frame_index;
    prof_index thread_index;
    prof_index sample_index;
    prof_type types[PROF_VALUES_MAX];
    uint32_t type_count;
    prof_meta meta;
    brisk_err err;
} prof_model;

/* Errors: NOMEM.  `alloc` is borrowed, NULL means libc. */
BRISK_NODISCARD brisk_err prof_model_create(const brisk_alloc *alloc, prof_model **ret);
void prof_model_destroy(prof_model *model); /* NULL is accepted */
/* BRISK_OK, NOMEM or LIMIT: the first that happened. */
brisk_err prof_model_err(const prof_model *model);

uint32_t prof_string_of(prof_model *model, const char *text, size_t size);
uint32_t prof_text_of(prof_model *model, const char *text);
const char *prof_text(const prof_model *model, uint32_t string);
uint32_t prof_frame_of(prof_model *model, const prof_frame *frame);
/* The node below `parent` with `frame`; `parent` itself when it is PROF_DEPTH_MAX deep. */
uint32_t prof_stack_of(prof_model *model, uint32_t parent, uint32_t frame);
uint32_t prof_thread_of(prof_model *model, uint32_t pid, uint32_t tid, const char *comm);
/* A type of value; its number, or that of the last one when there are too many. */
uint32_t prof_type_of(prof_model *model, const char *name, const char *unit);
/* Add to what was measured for (stack, thread); sums stop at the largest number. */
void prof_sample_add(prof_model *model, uint32_t stack, uint32_t thread, uint32_t type,
                     uint64_t value);
void prof_event_add(prof_model *model, const prof_event *event);
void prof_note(prof_model *model, const char *format, ...) BRISK_PRINTF(2, 3);

/* The same for a tree of one's own. */
void prof_tree_init(prof_tree *tree, const brisk_alloc *alloc);
void prof_tree_deinit(prof_tree *tree);
/* PROF_NO_ID: out of memory or too many. */
uint32_t prof_tree_child(prof_tree *tree, uint32_t parent, uint32_t frame);

static inline uint64_t prof_add(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

#endif /* BRISK_SRC_OBSERVE_PROFILE_MODEL_H */
