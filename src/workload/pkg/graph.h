/*
 * graph.h -- the packages of a lock as a picture: collapsed, laid out, written.
 *
 * Places of the same package and version are one point.  The project is in the middle, what it
 * asks for stands around it, and every other package behind the one through which it is reached on
 * the shortest way: so each direct dependency has a sector of its own.  A point has the angle it
 * needs for its name; the radius of the first ring follows from all of them.
 *
 * The same lock gives the same picture.
 *
 * Threads: one at a time.  Ownership: the arena.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_GRAPH_H
#define BRISK_SRC_WORKLOAD_PKG_GRAPH_H

#include <brisk/json.h>

#include "workload/pkg/tree.h"

typedef enum pkg_point_class {
    PKG_POINT_PROJECT,
    PKG_POINT_PROD,
    PKG_POINT_DEV,
    PKG_POINT_OPTIONAL,
    PKG_POINT_PEER,
    PKG_POINT_EXTRANEOUS,
    PKG_POINT_CLASSES,
} pkg_point_class;

typedef struct pkg_point {
    const pkg_node *node; /* one of its places, that with the shortest path */
    uint32_t places;
    uint32_t parent; /* the point before it on the shortest way; itself: the project */
    uint32_t depth;
    uint32_t sector; /* the direct dependency it is behind */
    uint32_t size;   /* points behind it, with itself */
    pkg_point_class class_;
    bool duplicate; /* its package is here in another version, too */
    bool leaf;
    double angle; /* 0 is to the right, growing downwards */
    double from;  /* of its part of the circle */
    double to;
    double x;
    double y;
} pkg_point;

typedef struct pkg_line {
    uint32_t from;
    uint32_t to;
    pkg_dep_kind kind;
    bool bad; /* the dependency is not satisfied by it */
} pkg_line;

typedef struct pkg_graph {
    const char *title;
    pkg_point *points; /* the project first, then by name and version */
    uint32_t count;
    pkg_line *lines; /* by from, then by to */
    uint32_t line_count;
    uint32_t *lines_of; /* point i has lines lines_of[i] .. lines_of[i + 1] */
    uint32_t *order;    /* points, a parent before what is behind it */
    double radius;      /* of the outermost ring */
} pkg_graph;

/* `prod`: without what only development needs.  Errors: NOMEM. */
brisk_err pkg_graph_make(const pkg_tree *tree, bool prod, brisk_arena *arena, pkg_graph *ret);
/* Angles and places of the points; make does it. */
void pkg_graph_place(pkg_graph *graph);

/* Errors: those of `out`. */
brisk_err pkg_graph_write_svg(const pkg_graph *graph, brisk_out out);
brisk_err pkg_graph_write_dot(const pkg_graph *graph, brisk_out out);
/* Points and lines by number, with "schema": 1. */
brisk_err pkg_graph_write_json(const pkg_graph *graph, brisk_out out);
brisk_err pkg_graph_write_html(const pkg_graph *graph, brisk_out out);

#endif /* BRISK_SRC_WORKLOAD_PKG_GRAPH_H */
