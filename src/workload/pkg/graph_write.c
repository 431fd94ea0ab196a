/*
 * graph_write.c -- the picture as SVG and as text for Graphviz.
 *
 * Names come from a lock and are hostile: in SVG the five characters that XML knows are escaped, in
 * DOT quotes and backslashes; controls become '?' in both.  Colours are those of Okabe and Ito,
 * which people who see few colours can tell apart; dark and light follow the viewer.
 *
 * Threads: one at a time.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "workload/pkg/graph.h"
#include "workload/pkg/report.h"

enum { PEN_BYTES = 8192, PRINTED_MAX = 512, NAME_ROOM = 190 /* around the picture */ };

typedef struct pen {
    brisk_out out;
    brisk_err err;
    size_t used;
    char buffer[PEN_BYTES];
} pen;

static const struct {
    const char *name;
    const char *colour;
} classes[PKG_POINT_CLASSES] = {
    [PKG_POINT_PROJECT] = {"project", "#777777"}, [PKG_POINT_PROD] = {"prod", "#0072b2"},
    [PKG_POINT_DEV] = {"dev", "#e69f00"},         [PKG_POINT_OPTIONAL] = {"optional", "#009e73"},
    [PKG_POINT_PEER] = {"peer", "#cc79a7"},       [PKG_POINT_EXTRANEOUS] = {"extra", "#999999"},
};

static void flush(pen *p)
{
    if (p->err == BRISK_OK && p->used > 0) {
        p->err = p->out.write(p->out.ctx, p->buffer, p->used);
    }
    p->used = 0;
}

static void put(pen *p, const char *text, size_t size)
{
    while (size > 0) {
        if (p->used == PEN_BYTES) {
            flush(p);
        }
        size_t room = PEN_BYTES - p->used;
        size_t part = size < room ? size : room;
        memcpy(p->buffer + p->used, text, part);
        p->used += part;
        text += part;
        size -= part;
    }
}

static void puts_(pen *p, const char *text)
{
    put(p, text, strlen(text));
}

static void BRISK_PRINTF(2, 3) putf(pen *p, const char *format, ...)
{
    char text[PRINTED_MAX];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size > 0) {
        put(p, text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
    }
}

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7F;
}

static void put_xml(pen *p, pkg_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        switch (c) {
        case '&': puts_(p, "&amp;"); break;
        case '<': puts_(p, "&lt;"); break;
        case '>': puts_(p, "&gt;"); break;
        case '"': puts_(p, "&quot;"); break;
        case '\'': puts_(p, "&#39;"); break;
        default: put(p, is_control((unsigned char)c) ? "?" : &c, 1);
        }
    }
}

static pkg_text name_of(const pkg_graph *g, uint32_t i)
{
    const pkg_node *node = g->points[i].node;
    if (i == 0) {
        return pkg_text_of(g->title);
    }
    return node->manifest->name.size > 0 ? node->manifest->name : node->name;
}

/* --- SVG ----------------------------------------------------------------------------------- */

static const char svg_style[] =
    "<style>\n"
    "svg{background:#fff;font:9px system-ui,sans-serif}\n"
    "text{fill:#222;paint-order:stroke;stroke:#fff;stroke-width:2.5px;stroke-linejoin:round}\n"
    "path{fill:none;stroke-width:1.1}\n"
    ".x{stroke:#888;stroke-opacity:.16;stroke-width:.8}\n"
    ".bad{stroke:#d55e00;stroke-opacity:1;stroke-dasharray:4 3}\n"
    ".two{stroke:#d55e00;stroke-width:2}\n"
    ".big{font-size:15px;font-weight:600}\n"
    "@media(prefers-color-scheme:dark){svg{background:#16181c}text{fill:#e8e8e8;stroke:#16181c}"
    ".x{stroke:#aaa;stroke-opacity:.14}}\n"
    "</style>\n";

/* A line to what stands behind it: a curve that leaves along the radius. */
static void put_branch(pen *p, const pkg_graph *g, const pkg_line *line)
{
    const pkg_point *a = &g->points[line->from];
    const pkg_point *b = &g->points[line->to];
    double ra = hypot(a->x, a->y);
    double r = (ra + hypot(b->x, b->y)) / 2;
    double angle = line->from == 0 ? b->angle : a->angle;
    putf(p, "<path d=\"M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f\" stroke=\"%s\"%s/>\n", a->x, a->y,
         r * cos(angle), r * sin(angle), r * cos(b->angle), r * sin(b->angle), b->x, b->y,
         classes[b->class_].colour, line->bad ? " class=\"bad\"" : "");
}

/* Any other line bends to the middle. */
static void put_chord(pen *p, const pkg_graph *g, const pkg_line *line)
{
    const pkg_point *a = &g->points[line->from];
    const pkg_point *b = &g->points[line->to];
    putf(p, "<path class=\"%s\" d=\"M%.1f %.1fQ%.1f %.1f %.1f %.1f\"/>\n",
         line->bad ? "x bad" : "x", a->x, a->y, (a->x + b->x) / 5, (a->y + b->y) / 5, b->x, b->y);
}

static void put_point(pen *p, const pkg_graph *g, uint32_t i)
{
    const pkg_point *at = &g->points[i];
    double degrees = at->angle * 57.29577951308232;
    bool left = cos(at->angle) < 0;
    double r = i == 0 ? 9 : at->depth == 1 ? 5 : 3.2;
    putf(p, "<g><circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"%s/>", at->x, at->y, r,
         classes[at->class_].colour, at->duplicate ? " class=\"two\"" : "");
    if (i == 0) {
        puts_(p, "<text class=\"big\" text-anchor=\"middle\" y=\"-14\">");
    } else {
        putf(p,
             "<text dy=\".32em\" text-anchor=\"%s\" transform=\"translate(%.1f %.1f) rotate(%.1f) "
             "translate(%d)\">",
             left ? "end" : "start", at->x, at->y, left ? degrees - 180 : degrees, left ? -8 : 8);
    }
    put_xml(p, name_of(g, i));
    puts_(p, "</text><title>");
    put_xml(p, name_of(g, i));
    puts_(p, " ");
    put_xml(p, at->node->manifest->version);
    putf(p, ", %s, %u place%s", classes[at->class_].name, at->places, at->places == 1 ? "" : "s");
    for (uint32_t j = i; j != 0; j = g->points[j].parent) {
        puts_(p, j == i ? "\nneeded by " : " &lt; ");
        put_xml(p, name_of(g, g->points[j].parent));
    }
    puts_(p, "</title></g>\n");
}

brisk_err pkg_graph_write_svg(const pkg_graph *graph, brisk_out out)
{
    pen p = {.out = out};
    double left = 0;
    double top = 0;
    double right = 0;
    double bottom = 0;
    for (uint32_t i = 0; i < graph->count; i++) {
        left = fmin(left, graph->points[i].x);
        right = fmax(right, graph->points[i].x);
        top = fmin(top, graph->points[i].y);
        bottom = fmax(bottom, graph->points[i].y);
    }
    putf(&p,
         "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"%.0f %.0f %.0f %.0f\" "
         "width=\"%.0f\" height=\"%.0f\">\n",
         left - NAME_ROOM, top - NAME_ROOM, right - left + 2 * NAME_ROOM,
         bottom - top + 2 * NAME_ROOM, right - left + 2 * NAME_ROOM, bottom - top + 2 * NAME_ROOM);
    puts_(&p, svg_style);
    puts_(&p, "<title>");
    put_xml(&p, name_of(graph, 0));
    putf(&p, ": %u packages</title>\n", graph->count - 1);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < graph->line_count; i++) {
            const pkg_line *line = &graph->lines[i];
            bool branch = graph->points[line->to].parent == line->from;
            if (branch == (pass == 1)) {
                (branch ? put_branch : put_chord)(&p, graph, line);
            }
        }
    }
    for (uint32_t i = graph->count; i > 0; i--) {
        put_point(&p, graph, i - 1);
    }
    puts_(&p, "</svg>\n");
    flush(&p);
    return p.err;
}

/* --- DOT ----------------------------------------------------------------------------------- */

static void put_dot(pen *p, pkg_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '"' || c == '\\') {
            put(p, "\\", 1);
        }
        put(p, is_control((unsigned char)c) ? "?" : &c, 1);
    }
}

brisk_err pkg_graph_write_dot(const pkg_graph *graph, brisk_out out)
{
    pen p = {.out = out};
    puts_(&p, "digraph packages {\n  rankdir=LR;\n  node [shape=box, style=rounded, "
              "fontname=\"sans-serif\"];\n");
    for (uint32_t i = 0; i < graph->count; i++) {
        const pkg_point *at = &graph->points[i];
        putf(&p, "  n%u [label=\"", i);
        put_dot(&p, name_of(graph, i));
        puts_(&p, "\\n");
        put_dot(&p, at->node->manifest->version);
        putf(&p, "\", color=\"%s\"%s];\n", classes[at->class_].colour,
             at->duplicate ? ", penwidth=2, style=\"rounded,bold\"" : "");
    }
    for (uint32_t i = 0; i < graph->line_count; i++) {
        const pkg_line *line = &graph->lines[i];
        putf(&p, "  n%u -> n%u [color=\"%s\"%s];\n", line->from, line->to,
             line->bad ? "#d55e00" : classes[graph->points[line->to].class_].colour,
             line->kind == PKG_DEP_PROD || line->kind == PKG_DEP_DEV ? "" : ", style=dashed");
    }
    puts_(&p, "}\n");
    flush(&p);
    return p.err;
}
