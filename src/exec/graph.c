/*
 * graph.c -- building and freezing of <brisk/graph.h>; graph_run.c runs what is frozen.
 *
 * While it is built, a graph is two growing lists, names and edges.  Freezing
 *   1. refuses two nodes of one name (open-addressing table of node numbers),
 *   2. sorts the edges by their earlier end with a counting sort, which gives the successor lists one
 *      after the other in one array; a repeated edge is counted up and down twice,
 *   3. takes nodes without open predecessors until none is left (Kahn); the queue is the order,
 *   4. if nodes remain, follows from one of them a remaining predecessor each time: the walk must
 *      come back to itself, and what it passed is the cycle that is printed.
 * Everything is O(nodes + edges) and iterative.  A failed freeze leaves the graph as it was.
 *
 * Source: A. B. Kahn, Topological sorting of large networks, CACM 5 (1962).
 */
#include <string.h>

#include <brisk/hash.h>

#include "base/assert.h"
#include "exec/graph.h"

enum { FIRST_CAPACITY = 16 };

#define NONE UINT32_MAX

/* --- arrays --- */

static void *new_array(const brisk_graph *graph, size_t count, size_t size)
{
    count = count != 0 ? count : 1;
    BRISK_ASSERT(count <= SIZE_MAX / size);
    return graph->alloc->acquire(graph->alloc->ctx, count * size, _Alignof(max_align_t));
}

static void free_array(const brisk_graph *graph, void *array, size_t count, size_t size)
{
    if (array != NULL) {
        count = count != 0 ? count : 1;
        graph->alloc->release(graph->alloc->ctx, array, count * size, _Alignof(max_align_t));
    }
}

static uint32_t *new_numbers(const brisk_graph *graph, size_t count)
{
    return new_array(graph, count, sizeof(uint32_t));
}

static void free_numbers(const brisk_graph *graph, uint32_t *numbers, size_t count)
{
    free_array(graph, numbers, count, sizeof(uint32_t));
}

/* Room for `more` elements at the end of the list; false without memory, and nothing changed. */
static bool reserve(const brisk_graph *graph, graph_list *list, size_t more, size_t size)
{
    if (list->capacity - list->count >= more) {
        return true;
    }
    size_t capacity = list->capacity != 0 ? list->capacity * 2 : FIRST_CAPACITY;
    capacity = capacity - list->count >= more ? capacity : list->count + more;
    void *items = new_array(graph, capacity, size);
    if (items == NULL) {
        return false;
    }
    if (list->count != 0) {
        memcpy(items, list->items, list->count * size);
    }
    free_array(graph, list->items, list->capacity, size);
    list->items = items;
    list->capacity = capacity;
    return true;
}

/* --- building --- */

brisk_err brisk_graph_create(const brisk_alloc *alloc, brisk_graph **ret)
{
    BRISK_ASSERT(ret != NULL);
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    brisk_graph *graph = alloc->acquire(alloc->ctx, sizeof *graph, _Alignof(brisk_graph));
    if (graph == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *graph = (brisk_graph){.alloc = alloc};
    *ret = graph;
    return BRISK_OK;
}

/* Drop what a freeze made. */
static void thaw(brisk_graph *graph)
{
    free_numbers(graph, graph->after_begin, (size_t)graph->count + 1);
    free_numbers(graph, graph->after, graph->edges.count);
    free_numbers(graph, graph->before_count, graph->count);
    free_numbers(graph, graph->order, graph->count);
    graph->after_begin = NULL;
    graph->after = NULL;
    graph->before_count = NULL;
    graph->order = NULL;
}

void brisk_graph_destroy(brisk_graph *graph)
{
    if (graph == NULL) {
        return;
    }
    thaw(graph);
    free_array(graph, graph->name_at.items, graph->name_at.capacity, sizeof(size_t));
    free_array(graph, graph->names.items, graph->names.capacity, 1);
    free_array(graph, graph->edges.items, graph->edges.capacity, sizeof(graph_edge));
    graph->alloc->release(graph->alloc->ctx, graph, sizeof *graph, _Alignof(brisk_graph));
}

brisk_err brisk_graph_add(brisk_graph *graph, const char *name, uint32_t *ret)
{
    if (graph->frozen || name == NULL || name[0] == '\0') {
        return BRISK_ERR_INVALID;
    }
    if (graph->count >= BRISK_GRAPH_NODES_MAX) {
        return BRISK_ERR_LIMIT;
    }
    size_t size = strlen(name) + 1;
    if (!reserve(graph, &graph->name_at, 1, sizeof(size_t)) ||
        !reserve(graph, &graph->names, size, 1)) {
        return BRISK_ERR_NOMEM;
    }
    size_t *name_at = graph->name_at.items;
    name_at[graph->name_at.count++] = graph->names.count;
    memcpy((char *)graph->names.items + graph->names.count, name, size);
    graph->names.count += size;
    *ret = graph->count++;
    return BRISK_OK;
}

brisk_err brisk_graph_after(brisk_graph *graph, uint32_t later, uint32_t earlier)
{
    if (graph->frozen || later >= graph->count || earlier >= graph->count) {
        return BRISK_ERR_INVALID;
    }
    if (graph->edges.count >= BRISK_GRAPH_EDGES_MAX) {
        return BRISK_ERR_LIMIT;
    }
    if (!reserve(graph, &graph->edges, 1, sizeof(graph_edge))) {
        return BRISK_ERR_NOMEM;
    }
    graph_edge *edges = graph->edges.items;
    edges[graph->edges.count++] = (graph_edge){.later = later, .earlier = earlier};
    return BRISK_OK;
}

uint32_t brisk_graph_count(const brisk_graph *graph)
{
    return graph->count;
}

const char *brisk_graph_name(const brisk_graph *graph, uint32_t node)
{
    BRISK_ASSERT(node < graph->count);
    const size_t *name_at = graph->name_at.items;
    return (const char *)graph->names.items + name_at[node];
}

/* --- freezing --- */

/* Two nodes of one name?  Errors: INVALID, NOMEM. */
static brisk_err check_names(const brisk_graph *graph, brisk_errinfo *info)
{
    size_t slots = FIRST_CAPACITY;
    while (slots < (size_t)graph->count * 2) {
        slots *= 2; /* a power of two, at most half full */
    }
    uint32_t *table = new_numbers(graph, slots);
    if (table == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "no memory to check a graph");
    }
    memset(table, 0xff, slots * sizeof *table); /* NONE everywhere */
    brisk_err err = BRISK_OK;
    for (uint32_t node = 0; node < graph->count && err == BRISK_OK; node++) {
        const char *name = brisk_graph_name(graph, node);
        size_t at = (size_t)brisk_hash64(name, strlen(name), 0) & (slots - 1);
        while (table[at] != NONE && strcmp(brisk_graph_name(graph, table[at]), name) != 0) {
            at = (at + 1) & (slots - 1);
        }
        if (table[at] != NONE) {
            err = brisk_errinfo_set(info, BRISK_ERR_INVALID, "two nodes are called %s", name);
        }
        table[at] = node;
    }
    free_numbers(graph, table, slots);
    return err;
}

/* after_begin, after and before_count from the edges, by counting sort. */
static void sort_edges(brisk_graph *graph)
{
    const graph_edge *edges = graph->edges.items;
    uint32_t *begin = graph->after_begin;
    memset(begin, 0, ((size_t)graph->count + 1) * sizeof *begin);
    memset(graph->before_count, 0, (size_t)graph->count * sizeof *graph->before_count);
    for (size_t i = 0; i < graph->edges.count; i++) {
        begin[edges[i].earlier + 1]++;
        graph->before_count[edges[i].later]++;
    }
    for (uint32_t node = 0; node < graph->count; node++) {
        begin[node + 1] += begin[node];
    }
    /* Fill from the back of each list, which moves begin[n + 1] down to where the list starts ... */
    for (size_t i = graph->edges.count; i > 0; i--) {
        uint32_t earlier = edges[i - 1].earlier;
        graph->after[--begin[earlier + 1]] = edges[i - 1].later;
    }
    /* ... which is one place too far right. */
    for (uint32_t node = 0; node < graph->count; node++) {
        begin[node] = begin[node + 1];
    }
    begin[graph->count] = (uint32_t)graph->edges.count;
}

/* Kahn.  `open` is a scratch of `count`; it ends as the number of predecessors that never ran.
 * Returns how many nodes could be ordered. */
static uint32_t sort_nodes(brisk_graph *graph, uint32_t *open)
{
    uint32_t tail = 0;
    for (uint32_t node = 0; node < graph->count; node++) {
        open[node] = graph->before_count[node];
        if (open[node] == 0) {
            graph->order[tail++] = node;
        }
    }
    graph->source_count = tail;
    graph->is_sequence = tail == 1;
    uint32_t head = 0;
    for (; head < tail; head++) {
        /* One order only: never two ready at a time. */
        graph->is_sequence = graph->is_sequence && tail - head == 1;
        uint32_t node = graph->order[head];
        for (uint32_t i = graph->after_begin[node]; i < graph->after_begin[node + 1]; i++) {
            if (--open[graph->after[i]] == 0) {
                graph->order[tail++] = graph->after[i];
            }
        }
    }
    return head;
}

/* A cycle among the nodes with open predecessors, as "a after b after a".  `walk`: a scratch. */
static brisk_err report_cycle(const brisk_graph *graph, const uint32_t *open, uint32_t *walk,
                              brisk_errinfo *info)
{
    const graph_edge *edges = graph->edges.items;
    memset(walk, 0xff, (size_t)graph->count * sizeof *walk);
    uint32_t at = NONE;
    for (size_t i = 0; i < graph->edges.count; i++) { /* walk[n]: a predecessor that remains */
        uint32_t later = edges[i].later;
        if (open[later] != 0 && open[edges[i].earlier] != 0 && walk[later] == NONE) {
            walk[later] = edges[i].earlier;
            at = at == NONE ? later : at;
        }
    }
    BRISK_ASSERT(at != NONE);
    for (uint32_t steps = 0; steps < graph->count; steps++) {
        at = walk[at]; /* after `count` steps certainly on the cycle */
    }
    uint32_t first = at; /* print from its node of the smallest number */
    for (uint32_t node = walk[at]; node != at; node = walk[node]) {
        first = node < first ? node : first;
    }
    char text[BRISK_ERRINFO_TEXT_MAX + 1]; /* one more than fits, so that errinfo marks the cut */
    size_t used = 0;
    uint32_t node = first;
    do {
        int part =
            snprintf(text + used, sizeof text - used, "%s after ", brisk_graph_name(graph, node));
        used += part > 0 ? (size_t)part : 0;
        node = walk[node];
    } while (node != first && used < sizeof text);
    if (used < sizeof text) {
        (void)snprintf(text + used, sizeof text - used, "%s", brisk_graph_name(graph, first));
    }
    return brisk_errinfo_set(info, BRISK_ERR_CYCLE, "%s", text);
}

static brisk_err freeze(brisk_graph *graph, uint32_t *scratch, uint32_t *walk, brisk_errinfo *info)
{
    sort_edges(graph);
    if (sort_nodes(graph, scratch) != graph->count) {
        return report_cycle(graph, scratch, walk, info);
    }
    return BRISK_OK;
}

brisk_err brisk_graph_freeze(brisk_graph *graph, brisk_errinfo *info)
{
    if (graph->frozen) {
        return BRISK_OK;
    }
    brisk_err err = check_names(graph, info);
    if (err != BRISK_OK) {
        return err;
    }
    graph->after_begin = new_numbers(graph, (size_t)graph->count + 1);
    graph->after = new_numbers(graph, graph->edges.count);
    graph->before_count = new_numbers(graph, graph->count);
    graph->order = new_numbers(graph, graph->count);
    uint32_t *scratch = new_numbers(graph, graph->count);
    uint32_t *walk = new_numbers(graph, graph->count);
    if (graph->after_begin == NULL || graph->after == NULL || graph->before_count == NULL ||
        graph->order == NULL || scratch == NULL || walk == NULL) {
        err = brisk_errinfo_set(info, BRISK_ERR_NOMEM, "no memory to freeze a graph");
    } else {
        err = freeze(graph, scratch, walk, info);
    }
    free_numbers(graph, scratch, graph->count);
    free_numbers(graph, walk, graph->count);
    if (err != BRISK_OK) {
        thaw(graph);
        return err;
    }
    graph->frozen = true;
    return BRISK_OK;
}

/* --- asking --- */

uint32_t brisk_graph_order(const brisk_graph *graph, uint32_t index)
{
    BRISK_ASSERT(graph->frozen);
    BRISK_ASSERT(index < graph->count);
    return graph->order[index];
}

int brisk_graph_is_after(const brisk_graph *graph, uint32_t later, uint32_t earlier)
{
    if (later >= graph->count || earlier >= graph->count) {
        return 0;
    }
    if (graph->frozen) {
        for (uint32_t i = graph->after_begin[earlier]; i < graph->after_begin[earlier + 1]; i++) {
            if (graph->after[i] == later) {
                return 1;
            }
        }
        return 0;
    }
    const graph_edge *edges = graph->edges.items;
    for (size_t i = 0; i < graph->edges.count; i++) {
        if (edges[i].later == later && edges[i].earlier == earlier) {
            return 1;
        }
    }
    return 0;
}
