/*
 * view.h -- a heap profile with names: as a model (for flame graphs and other formats), and by place.
 *
 * A place is where a program asks for memory: the innermost frame that is neither the allocator nor a library's way
 * to it (libc, operator new, std::), with its source line.
 *
 * The model's values: alloc_objects, alloc_space, inuse_objects, inuse_space (pprof's names), peak_space.
 */
#ifndef BRISK_SRC_OBSERVE_HEAP_VIEW_H
#define BRISK_SRC_OBSERVE_HEAP_VIEW_H

#include "observe/heap/leak.h"
#include "observe/heap/read.h"
#include "observe/heap/series.h"
#include "observe/profile/model.h"

enum {
    HEAP_TYPE_ALLOC_OBJECTS,
    HEAP_TYPE_ALLOC_SPACE,
    HEAP_TYPE_INUSE_OBJECTS,
    HEAP_TYPE_INUSE_SPACE,
    HEAP_TYPE_PEAK_SPACE,
};

typedef struct heap_place {
    uint32_t name; /* strings of the model */
    uint32_t module;
    uint32_t file;
    uint32_t line;
    uint64_t live;
    uint64_t live_blocks;
    uint64_t peak; /* at the process's peak */
    uint64_t alloc;
    uint64_t alloc_blocks;
    uint64_t samples;
    uint64_t first_live; /* when it was first watched: growth is `live` less this */
    uint32_t node;       /* its stack that has allocated most */
    uint64_t node_alloc;
    heap_verdict leak;
} heap_place;

typedef struct heap_view {
    const brisk_alloc *alloc;
    prof_model *model;
    uint32_t *nodes;    /* of each stack, its node of the model */
    uint32_t *place_of; /* of each stack; PROF_NO_ID: never sampled */
    uint32_t stack_count;
    BRISK_VEC(heap_place) places; /* by live bytes, the most first */
} heap_view;

typedef struct heap_view_opts {
    bool no_lines;
    bool alive;    /* the process is: its files are seen through it */
    bool no_files; /* nothing is opened: no names but of modules */
    const brisk_alloc *alloc;
} heap_view_opts;

/* Errors: NOMEM, LIMIT. */
BRISK_NODISCARD brisk_err heap_view_make(const heap_profile *profile, const heap_view_opts *opts,
                                         heap_view *ret);
/* A zeroed one is accepted. */
void heap_view_deinit(heap_view *view);
/* Fill in growth and leak of each place.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err heap_view_judge(heap_view *view, const heap_profile *profile,
                                          const heap_series *series);
/* The node of `node`'s place: it, or the first of its callers that is none of malloc's ways. */
uint32_t heap_view_place_node(const prof_model *model, uint32_t node);

#endif /* BRISK_SRC_OBSERVE_HEAP_VIEW_H */
