/*
 * graph_place.c -- where the points of the picture stand.
 *
 * On the ring of radius r a name needs the angle SPACING / r; a point needs that for itself and at
 * least as much as everything behind it together.  The sum falls as the first ring grows, so its
 * radius is found by halving an interval: the smallest at which everything fits into the circle.
 * What is left of the circle, when the first ring is at its least, is shared out.
 *
 * Invariant: the parts of points with the same parent do not overlap.
 *
 * Threads: one at a time.
 */
#include <math.h>

#include "workload/pkg/graph.h"

static const double spacing = 12;   /* between names on a ring */
static const double ring_gap = 150; /* from ring to ring: room for a name */
static const double first_ring_min = 170;
static const double sector_gap = 0.5; /* of a spacing, between direct dependencies */
static const double full_circle = 6.283185307179586;

static double radius_of(double first, uint32_t depth)
{
    return depth == 0 ? 0 : first + ring_gap * (double)(depth - 1);
}

/* The angle that everything needs; each point's in `to`, when it begins at 0. */
static double measure(pkg_graph *g, double first)
{
    for (uint32_t i = 0; i < g->count; i++) {
        g->points[i].from = 0; /* the sum of what is behind it */
    }
    for (uint32_t i = g->count; i > 1; i--) {
        pkg_point *p = &g->points[g->order[i - 1]];
        double own = spacing / radius_of(first, p->depth);
        p->to = p->from > own ? p->from : own;
        p->to += p->depth == 1 ? own * sector_gap : 0;
        g->points[p->parent].from += p->to;
    }
    return g->points[0].from;
}

static double find_first_ring(pkg_graph *g)
{
    double low = first_ring_min;
    if (measure(g, low) <= full_circle) {
        return low;
    }
    double high = first_ring_min + spacing * (double)g->count;
    for (int i = 0; i < 50; i++) {
        double middle = (low + high) / 2;
        if (measure(g, middle) <= full_circle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    return high;
}

void pkg_graph_place(pkg_graph *graph)
{
    double first = find_first_ring(graph);
    double total = measure(graph, first);
    double stretch = total > 0 ? full_circle / total : 1;
    for (uint32_t i = 0; i < graph->count; i++) { /* from: where the next child begins */
        pkg_point *p = &graph->points[graph->order[i]];
        pkg_point *parent = &graph->points[p->parent];
        double width = p->to * stretch;
        double begin = i == 0 ? 0 : parent->from;
        if (i == 0) {
            width = full_circle;
        } else {
            parent->from += width;
        }
        p->angle = begin + width / 2;
        p->from = begin + (width - p->from * stretch) / 2; /* what is behind it, in the middle */
        p->to = begin + width;
        double r = radius_of(first, p->depth);
        p->x = r * cos(p->angle);
        p->y = r * sin(p->angle);
        graph->radius = r > graph->radius ? r : graph->radius;
    }
    for (uint32_t i = 0; i < graph->count; i++) {
        pkg_point *p = &graph->points[i];
        p->from = 2 * p->angle - p->to; /* it begins as far before the middle as it ends behind */
    }
}
