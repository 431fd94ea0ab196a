/*
 * flame.c -- the tree behind flame.h.
 *
 * Nodes are in one array and refer to each other by number, parents before children; children of a node are a list in
 * the order in which they came.  Everything that walks does so with an explicit depth, bounded by FLAME_DEPTH_MAX.
 */
#include "daemon/api/flame.h"

#include <inttypes.h>
#include <string.h>

#include "base/vec.h"

#define NONE UINT32_MAX

enum { ROW = 17, WIDTH = 1200 };

typedef struct node {
    uint32_t child; /* NONE */
    uint32_t last_child;
    uint32_t next;
    uint32_t name_size;
    uint64_t counts[2];
    char name[FLAME_NAME_MAX];
} node;

struct flame {
    const brisk_alloc *alloc;
    BRISK_VEC(node) nodes; /* [0] is the root */
};

static uint32_t add_node(flame *f, const char *name, size_t size)
{
    node fresh = {.child = NONE, .last_child = NONE, .next = NONE};
    fresh.name_size = (uint32_t)(size < FLAME_NAME_MAX ? size : FLAME_NAME_MAX);
    memcpy(fresh.name, name, fresh.name_size);
    if (f->nodes.count == FLAME_NODES_MAX || !BRISK_VEC_PUSH(&f->nodes, fresh)) {
        return NONE;
    }
    return (uint32_t)f->nodes.count - 1;
}

brisk_err flame_create(const brisk_alloc *alloc, flame **ret)
{
    flame *f = alloc->acquire(alloc->ctx, sizeof *f, _Alignof(flame));
    if (f == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *f = (flame){.alloc = alloc, .nodes = {.alloc = alloc}};
    if (add_node(f, "all", 3) == NONE) {
        flame_destroy(f);
        return BRISK_ERR_NOMEM;
    }
    *ret = f;
    return BRISK_OK;
}

void flame_destroy(flame *f)
{
    if (f != NULL) {
        BRISK_VEC_DEINIT(&f->nodes);
        f->alloc->release(f->alloc->ctx, f, sizeof *f, _Alignof(flame));
    }
}

/* NONE: there is no room for it. */
static uint32_t child_of(flame *f, uint32_t parent, const char *name, size_t size)
{
    size_t kept = size < FLAME_NAME_MAX ? size : FLAME_NAME_MAX;
    for (uint32_t at = f->nodes.items[parent].child; at != NONE; at = f->nodes.items[at].next) {
        const node *n = &f->nodes.items[at];
        if (n->name_size == kept && memcmp(n->name, name, kept) == 0) {
            return at;
        }
    }
    uint32_t fresh = add_node(f, name, size);
    node *p = &f->nodes.items[parent]; /* after: the array may have moved */
    if (fresh == NONE) {
        return NONE;
    }
    if (p->child == NONE) {
        p->child = fresh;
    } else {
        f->nodes.items[p->last_child].next = fresh;
    }
    p->last_child = fresh;
    return fresh;
}

/* The number behind the last blank; false: there is none. */
static bool read_count(const char *line, size_t *size, uint64_t *ret)
{
    size_t at = *size;
    uint64_t count = 0;
    while (at > 0 && line[at - 1] >= '0' && line[at - 1] <= '9') {
        at--;
    }
    if (at == *size || at < 2 || line[at - 1] != ' ') {
        return false;
    }
    for (size_t i = at; i < *size; i++) {
        if (__builtin_mul_overflow(count, UINT64_C(10), &count) ||
            __builtin_add_overflow(count, (uint64_t)(line[i] - '0'), &count)) {
            return false;
        }
    }
    *size = at - 1;
    *ret = count;
    return count <= UINT64_MAX / FLAME_NODES_MAX;
}

static void add_line(flame *f, uint32_t which, const char *line, size_t size)
{
    uint64_t count;
    if (!read_count(line, &size, &count)) {
        return;
    }
    uint32_t at = 0;
    f->nodes.items[0].counts[which] += count;
    const char *end = line + size;
    for (uint32_t depth = 1; depth < FLAME_DEPTH_MAX && line < end; depth++) {
        const char *stop = memchr(line, ';', (size_t)(end - line));
        stop = stop != NULL ? stop : end;
        at = child_of(f, at, line, (size_t)(stop - line));
        if (at == NONE) {
            return; /* counted so far */
        }
        f->nodes.items[at].counts[which] += count;
        line = stop < end ? stop + 1 : end;
    }
}

brisk_err flame_add(flame *f, uint32_t which, const char *text, size_t size)
{
    const char *end = text + size;
    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        stop = stop != NULL ? stop : end;
        add_line(f, which, text, (size_t)(stop - text));
        text = stop < end ? stop + 1 : end;
    }
    return BRISK_OK;
}

uint64_t flame_total(const flame *f, uint32_t which)
{
    return f->nodes.items[0].counts[which];
}

/* --- JSON --------------------------------------------------------------------------------- */

static void begin_node(const node *n, brisk_json *json, const char *key, bool with_before)
{
    brisk_json_object_begin(json, key);
    brisk_json_text(json, "name", n->name, n->name_size);
    brisk_json_u64(json, "value", n->counts[0]);
    if (with_before) {
        brisk_json_u64(json, "before", n->counts[1]);
    }
    brisk_json_array_begin(json, "children");
}

static void end_node(brisk_json *json)
{
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}

/*
 * JSON is nested two levels for each of the tree's, and a writer has BRISK_JSON_DEPTH_MAX of them, so the tree is
 * written by a writer of its own for each node, one level deep, into the same text.
 */
static void put_node(const flame *f, uint32_t at, brisk_str *text, bool with_before)
{
    brisk_json json;
    const node *n = &f->nodes.items[at];
    brisk_str own;
    brisk_str_init(&own, f->alloc, 16384);
    brisk_json_init(&json, brisk_str_out(&own), 0);
    begin_node(n, &json, NULL, with_before);
    end_node(&json);
    if (brisk_json_finish(&json) != BRISK_OK) {
        brisk_str_deinit(&own);
        return;
    }
    size_t head = brisk_str_size(&own) - 3; /* without "]}\n" */
    brisk_str_append(text, brisk_str_text(&own), head);
    brisk_str_deinit(&own);
}

void flame_put(const flame *f, brisk_json *json, const char *key, bool with_before)
{
    uint32_t path[FLAME_DEPTH_MAX + 1];
    uint32_t depth = 0;
    brisk_str text;
    brisk_str_init(&text, f->alloc, 64 << 20);
    path[0] = 0;
    put_node(f, 0, &text, with_before);
    uint32_t next = f->nodes.items[0].child;
    for (;;) {
        if (next != NONE) { /* down */
            const node *parent = &f->nodes.items[path[depth]];
            brisk_str_add(&text, parent->child == next ? "" : ",");
            put_node(f, next, &text, with_before);
            path[++depth] = next;
            next = f->nodes.items[next].child;
            continue;
        }
        brisk_str_add(&text, "]}");
        if (depth == 0) {
            break;
        }
        next = f->nodes.items[path[depth--]].next;
    }
    if (brisk_str_err(&text) == BRISK_OK) {
        brisk_json_raw(json, key, brisk_str_text(&text), brisk_str_size(&text));
    } else {
        brisk_json_null(json, key);
    }
    brisk_str_deinit(&text);
}

/* --- SVG ---------------------------------------------------------------------------------- */

static void put_escaped(brisk_str *text, const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c == '<') {
            brisk_str_add(text, "&lt;");
        } else if (c == '&') {
            brisk_str_add(text, "&amp;");
        } else if (c == '>') {
            brisk_str_add(text, "&gt;");
        } else if (c < 0x20 || c > 0x7e) {
            brisk_str_add(text, "?"); /* names of functions are ASCII */
        } else {
            brisk_str_append(text, (const char *)&name[i], 1);
        }
    }
}

static double share(uint64_t count, uint64_t total)
{
    return total > 0 ? (double)count / (double)total : 0;
}

/* Warm colours by depth; of a difference red what grew, blue what shrank, as much as it did. */
static void put_colour(const flame *f, const node *n, uint32_t depth, bool with_before,
                       brisk_str *text)
{
    if (!with_before) {
        brisk_str_printf(text, "rgb(%u,%u,%u)", 225u + depth * 7 % 30, 120u + depth * 23 % 90, 60u);
        return;
    }
    double gain = share(n->counts[0], flame_total(f, 0)) - share(n->counts[1], flame_total(f, 1));
    double strength = gain < 0 ? -gain * 4 : gain * 4;
    unsigned pale = 235u - (unsigned)((strength < 1 ? strength : 1) * 170);
    if (gain >= 0) {
        brisk_str_printf(text, "rgb(235,%u,%u)", pale, pale);
    } else {
        brisk_str_printf(text, "rgb(%u,%u,235)", pale, pale);
    }
}

typedef struct place {
    double x;
    double width;
    uint32_t depth;
} place;

static void put_box(const flame *f, const node *n, const place *at, bool with_before,
                    brisk_str *text)
{
    if (at->width < 0.3) {
        return;
    }
    uint32_t y = (FLAME_DEPTH_MAX - at->depth) * ROW;
    brisk_str_printf(text, "<g><title>");
    put_escaped(text, n->name, n->name_size);
    brisk_str_printf(
        text,
        " (%" PRIu64
        ", %.2f%%)</title><rect x=\"%.1f\" y=\"%u\" width=\"%.1f\" height=\"%d\" fill=\"",
        n->counts[0], 100 * share(n->counts[0], flame_total(f, 0)), at->x, y, at->width, ROW - 1);
    put_colour(f, n, at->depth, with_before, text);
    brisk_str_printf(text, "\"/>");
    size_t room = (size_t)(at->width / 6.5);
    if (room > 3) {
        brisk_str_printf(text, "<text x=\"%.1f\" y=\"%u\">", at->x + 2, y + 12);
        put_escaped(text, n->name, n->name_size < room ? n->name_size : room);
        brisk_str_printf(text, "</text>");
    }
    brisk_str_printf(text, "</g>\n");
}

/* The width of a box is its count's in the present profile, or in the earlier one when it is gone. */
static double width_of(const flame *f, const node *n, bool with_before)
{
    double now = share(n->counts[0], flame_total(f, 0));
    double before = with_before ? share(n->counts[1], flame_total(f, 1)) : 0;
    return (now > before ? now : before) * WIDTH;
}

void flame_svg(const flame *f, brisk_str *text, bool with_before)
{
    uint32_t path[FLAME_DEPTH_MAX + 1] = {0};
    double from[FLAME_DEPTH_MAX + 2] = {0}; /* where the next box of a depth begins */
    uint32_t depth = 0;
    brisk_str_printf(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"monospace\" "
        "font-size=\"11\">\n",
        WIDTH, (FLAME_DEPTH_MAX + 1) * ROW);
    put_box(f, &f->nodes.items[0], &(place){.width = WIDTH}, with_before, text);
    uint32_t next = f->nodes.items[0].child;
    for (;;) {
        if (next != NONE) {
            const node *n = &f->nodes.items[next];
            place at = {from[depth + 1], width_of(f, n, with_before), depth + 1};
            put_box(f, n, &at, with_before, text);
            from[depth + 1] += at.width;
            path[++depth] = next;
            from[depth + 1] = at.x;
            next = n->child;
        } else if (depth > 0) {
            next = f->nodes.items[path[depth--]].next;
        } else {
            break;
        }
    }
    brisk_str_printf(text, "</svg>\n");
}
