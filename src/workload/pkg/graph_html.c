/*
 * graph_html.c -- the picture as one page (graph.html) with the data in it.
 *
 * The data are lists, one value of each point or line behind the other.  '<' is escaped in them, so
 * that no name can end the element they stand in; the page takes them by JSON.parse and puts names
 * as text, never as markup.  Its policy lets it load nothing.
 *
 * Threads: one at a time.
 */
#include <math.h>

#include "workload/pkg/graph.h"
#include "workload/pkg/graph_page.h" /* made of graph.html */
#include "workload/pkg/report.h"

static const char mark[] = "__DATA__";

enum { BUFFER_BYTES = 16384, ESCAPE_BYTES = 6 };

/* Collects what comes in small pieces. */
typedef struct page_out {
    brisk_out out;
    size_t used;
    char buffer[BUFFER_BYTES];
} page_out;

static brisk_err flush(page_out *page)
{
    size_t size = page->used;
    page->used = 0;
    return size > 0 ? page->out.write(page->out.ctx, page->buffer, size) : BRISK_OK;
}

/* On, with "\u003c" for '<': inside of texts only, where alone it can stand. */
static brisk_err write_escaped(void *ctx, const char *data, size_t size)
{
    page_out *page = ctx;
    for (size_t i = 0; i < size; i++) {
        if (page->used + ESCAPE_BYTES > BUFFER_BYTES) {
            brisk_err err = flush(page);
            if (err != BRISK_OK) {
                return err;
            }
        }
        if (data[i] == '<') {
            memcpy(page->buffer + page->used, "\\u003c", ESCAPE_BYTES);
            page->used += ESCAPE_BYTES;
        } else {
            page->buffer[page->used++] = data[i];
        }
    }
    return BRISK_OK;
}

static void write_texts(brisk_json *json, const pkg_graph *g)
{
    brisk_json_array_begin(json, "name");
    for (uint32_t i = 0; i < g->count; i++) {
        const pkg_node *node = g->points[i].node;
        pkg_text name = node->manifest->name.size > 0 ? node->manifest->name : node->name;
        pkg_json_put(json, NULL, i == 0 ? pkg_text_of(g->title) : name);
    }
    brisk_json_array_end(json);
    brisk_json_array_begin(json, "version");
    for (uint32_t i = 0; i < g->count; i++) {
        pkg_json_put(json, NULL, g->points[i].node->manifest->version);
    }
    brisk_json_array_end(json);
}

/* Places in tenths, angles in 1/10000. */
static void write_numbers(brisk_json *json, const pkg_graph *g)
{
    static const char *const keys[] = {"x",     "y",    "angle",  "parent", "sector",
                                       "class", "size", "places", "marks"};
    enum { KEYS = sizeof keys / sizeof keys[0] };
    for (int k = 0; k < KEYS; k++) {
        brisk_json_array_begin(json, keys[k]);
        for (uint32_t i = 0; i < g->count; i++) {
            const pkg_point *p = &g->points[i];
            const pkg_manifest *m = p->node->manifest;
            int64_t marks = (p->duplicate ? 1 : 0) |
                            ((m->flags & PKG_HAS_INSTALL_SCRIPT) != 0 ? 2 : 0) |
                            ((m->flags & PKG_DEPRECATED) != 0 ? 4 : 0) | (p->leaf ? 8 : 0);
            int64_t values[KEYS] = {llround(p->x * 10),
                                    llround(p->y * 10),
                                    llround(p->angle * 10000),
                                    p->parent,
                                    p->sector,
                                    p->class_,
                                    p->size,
                                    p->places,
                                    marks};
            brisk_json_i64(json, NULL, values[k]);
        }
        brisk_json_array_end(json);
    }
}

static void write_lines(brisk_json *json, const pkg_graph *g)
{
    static const char *const keys[] = {"from", "to", "kind"};
    for (int k = 0; k < 3; k++) {
        brisk_json_array_begin(json, keys[k]);
        for (uint32_t i = 0; i < g->line_count; i++) {
            const pkg_line *line = &g->lines[i];
            uint64_t values[] = {line->from, line->to, (uint64_t)line->kind + (line->bad ? 8 : 0)};
            brisk_json_u64(json, NULL, values[k]);
        }
        brisk_json_array_end(json);
    }
}

brisk_err pkg_graph_write_html(const pkg_graph *graph, brisk_out out)
{
    const char *page = (const char *)graph_page;
    const char *at = strstr(page, mark);
    if (at == NULL) {
        return BRISK_ERR_CORRUPT; /* our own page: a bug */
    }
    brisk_err err = out.write(out.ctx, page, (size_t)(at - page));
    if (err == BRISK_OK) {
        brisk_json json;
        page_out data = {.out = out};
        brisk_json_init(&json, (brisk_out){.write = write_escaped, .ctx = &data}, 0);
        brisk_json_object_begin(&json, NULL);
        brisk_json_u64(&json, "radius", (uint64_t)llround(graph->radius));
        write_texts(&json, graph);
        write_numbers(&json, graph);
        write_lines(&json, graph);
        brisk_json_object_end(&json);
        err = brisk_json_finish(&json);
        err = err == BRISK_OK ? flush(&data) : err;
    }
    const char *rest = at + sizeof mark - 1;
    return err == BRISK_OK ? out.write(out.ctx, rest, strlen(rest)) : err;
}
