/*
 * graph.h -- a frozen graph as graph.c lays it out and graph_run.c reads it.
 */
#ifndef BRISK_SRC_EXEC_GRAPH_H
#define BRISK_SRC_EXEC_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/graph.h>

typedef struct graph_edge {
    uint32_t later;
    uint32_t earlier;
} graph_edge;

/* An array that grows; the element's size is known where it is used. */
typedef struct graph_list {
    void *items;
    size_t count;
    size_t capacity;
} graph_list;

struct brisk_graph {
    const brisk_alloc *alloc;
    bool frozen;
    bool is_sequence; /* the edges leave one order only: nothing can run side by side */
    uint32_t count;
    graph_list name_at; /* size_t per node: where its name begins */
    graph_list names;   /* char: all names with their NULs */
    graph_list edges;   /* graph_edge, as they came */

    /* After the freeze.  The successors of n are after[after_begin[n]] .. [after_begin[n + 1] - 1];
     * an edge that was given twice is there twice, and counted twice in before_count. */
    uint32_t *after_begin;
    uint32_t *after;
    uint32_t *before_count; /* edges from predecessors, per node */
    uint32_t *order;        /* a topological order; the source_count nodes without any come first */
    uint32_t source_count;
};

#endif /* BRISK_SRC_EXEC_GRAPH_H */
