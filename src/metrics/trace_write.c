/*
 * trace_write.c -- a trace as Chrome trace events and as a table for people.
 *
 * Both show times from the first begin of the trace.  The table is a tree: each span below its
 * parent, siblings in order of begin.  The walk needs three links per span; where there is no
 * memory for them the table falls back to the order of begin, which has parents first as well.
 * Names may come from input files, so control characters are shown as '?'.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <brisk/log.h>
#include <brisk/trace.h>

#include "base/assert.h"
#include "metrics/trace.h"

enum {
    INDENT_MAX = 16,     /* deeper spans are shown at this depth */
    NAMED_WINDOW = 64,   /* spans to look back for a thread that has its name already */
    LINE_MAX_BYTES = 256 /* name 63 + indent 32 + four columns of at most 24 */
};

static uint64_t first_start(const brisk_trace *trace)
{
    uint64_t first = UINT64_MAX;
    uint32_t count = brisk_trace_count(trace);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start = brisk_trace_at(trace, i).start_ns;
        first = start < first ? start : first;
    }
    return first;
}

/* ---- Chrome trace event format ------------------------------------------------------------ */

/* A thread is named where it first appears; after a long absence once more, which is harmless. */
static void write_thread_name(brisk_json *json, const brisk_trace *trace, uint32_t index)
{
    brisk_span span = brisk_trace_at(trace, index);
    for (uint32_t back = 1; back <= NAMED_WINDOW && back <= index; back++) {
        if (brisk_trace_at(trace, index - back).thread == span.thread) {
            return;
        }
    }
    char name[32] = "caller";
    if (span.worker >= 0) {
        (void)snprintf(name, sizeof name, "worker %" PRId32, span.worker);
    }
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "name", "thread_name");
    brisk_json_str(json, "ph", "M");
    brisk_json_u64(json, "pid", 1);
    brisk_json_u64(json, "tid", span.thread);
    brisk_json_object_begin(json, "args");
    brisk_json_str(json, "name", name);
    brisk_json_object_end(json);
    brisk_json_object_end(json);
}

/* ph X is a whole span; one that still runs is a B (begin) without end. */
static void write_span(brisk_json *json, const brisk_span *span, uint64_t origin)
{
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "name", span->name);
    brisk_json_str(json, "cat", "brisk");
    brisk_json_str(json, "ph", span->end_ns != 0 ? "X" : "B");
    brisk_json_double(json, "ts", (double)(span->start_ns - origin) / 1e3);
    if (span->end_ns != 0) {
        uint64_t ns = span->end_ns > span->start_ns ? span->end_ns - span->start_ns : 0;
        brisk_json_double(json, "dur", (double)ns / 1e3);
    }
    brisk_json_u64(json, "pid", 1);
    brisk_json_u64(json, "tid", span->thread);
    brisk_json_object_begin(json, "args");
    brisk_json_u64(json, "id", span->id);
    brisk_json_u64(json, "parent", span->parent);
    brisk_json_i64(json, "worker", span->worker);
    brisk_json_u64(json, "bytes", span->bytes);
    brisk_json_object_end(json);
    brisk_json_object_end(json);
}

brisk_err brisk_trace_write_chrome(const brisk_trace *trace, brisk_out out)
{
    brisk_json json;
    brisk_json_init(&json, out, 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "displayTimeUnit", "ms");
    brisk_json_array_begin(&json, "traceEvents");
    uint64_t origin = first_start(trace);
    uint32_t count = brisk_trace_count(trace);
    uint64_t dropped = brisk_trace_dropped(trace);
    if (dropped != 0) {
        brisk_log(BRISK_LOG_WARNING, "trace",
                  "%" PRIu64 " further spans are missing: the trace was full", dropped);
    }
    for (uint32_t i = 0; i < count; i++) {
        brisk_span span = brisk_trace_at(trace, i);
        write_thread_name(&json, trace, i);
        write_span(&json, &span, origin);
    }
    brisk_json_array_end(&json);
    brisk_json_object_begin(&json, "otherData");
    brisk_json_u64(&json, "dropped", dropped);
    brisk_json_object_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

/* ---- table -------------------------------------------------------------------------------- */

/* Links of the tree by span id; 0 ends a list.  Entry 0 is the root above all top spans. */
typedef struct tree_link {
    uint32_t first_child;
    uint32_t last_child;
    uint32_t next;
} tree_link;

typedef struct table {
    const brisk_trace *trace;
    brisk_out out;
    uint64_t origin;
    int name_width;
} table;

static uint32_t depth_of(const brisk_trace *trace, uint32_t id)
{
    uint32_t depth = 0;
    uint32_t parent = brisk_trace_at(trace, id - 1).parent;
    while (parent != BRISK_TRACE_NONE && depth < INDENT_MAX) {
        depth++;
        parent = brisk_trace_at(trace, parent - 1).parent;
    }
    return depth;
}

static brisk_err write_line(const table *t, const char *format, ...) BRISK_PRINTF(2, 3);

static brisk_err write_line(const table *t, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    BRISK_ASSERT(length >= 0 && (size_t)length < sizeof line);
    return t->out.write(t->out.ctx, line, (size_t)length);
}

static brisk_err write_row(const table *t, uint32_t id)
{
    brisk_span span = brisk_trace_at(t->trace, id - 1);
    int indent = 2 * (int)depth_of(t->trace, id);
    for (char *c = span.name; *c != '\0'; c++) {
        *c = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
    }
    char took[32] = "running";
    if (span.end_ns != 0) {
        uint64_t ns = span.end_ns > span.start_ns ? span.end_ns - span.start_ns : 0;
        (void)snprintf(took, sizeof took, "%.3f", (double)ns / 1e6);
    }
    char worker[16] = "-";
    if (span.worker >= 0) {
        (void)snprintf(worker, sizeof worker, "%" PRId32, span.worker);
    }
    return write_line(t, "%*s%-*s %12.3f %12s %6s %14" PRIu64 "\n", indent, "",
                      t->name_width - indent, span.name, (double)(span.start_ns - t->origin) / 1e6,
                      took, worker, span.bytes);
}

static void link_tree(const brisk_trace *trace, tree_link *links, uint32_t count)
{
    memset(links, 0, ((size_t)count + 1) * sizeof *links);
    for (uint32_t id = 1; id <= count; id++) {
        tree_link *parent = &links[brisk_trace_at(trace, id - 1).parent];
        if (parent->first_child == 0) {
            parent->first_child = id;
        } else {
            links[parent->last_child].next = id;
        }
        parent->last_child = id;
    }
}

/* Preorder without a stack: down to the first child, else on to the next of the nearest parent. */
static brisk_err write_tree(const table *t, const tree_link *links)
{
    uint32_t id = links[0].first_child;
    while (id != 0) {
        brisk_err err = write_row(t, id);
        if (err != BRISK_OK) {
            return err;
        }
        if (links[id].first_child != 0) {
            id = links[id].first_child;
            continue;
        }
        while (id != 0 && links[id].next == 0) {
            id = brisk_trace_at(t->trace, id - 1).parent;
        }
        id = id != 0 ? links[id].next : 0;
    }
    return BRISK_OK;
}

static brisk_err write_rows(const table *t, uint32_t count)
{
    const brisk_alloc *alloc = metrics_trace_alloc(t->trace);
    size_t size = ((size_t)count + 1) * sizeof(tree_link);
    tree_link *links = alloc->acquire(alloc->ctx, size, _Alignof(tree_link));
    brisk_err err = BRISK_OK;
    if (links != NULL) {
        link_tree(t->trace, links, count);
        err = write_tree(t, links);
        alloc->release(alloc->ctx, links, size, _Alignof(tree_link));
        return err;
    }
    for (uint32_t id = 1; id <= count && err == BRISK_OK; id++) {
        err = write_row(t, id);
    }
    return err;
}

brisk_err brisk_trace_write_text(const brisk_trace *trace, brisk_out out)
{
    uint32_t count = brisk_trace_count(trace);
    table t = {.trace = trace, .out = out, .origin = first_start(trace), .name_width = 4};
    for (uint32_t id = 1; id <= count; id++) {
        brisk_span span = brisk_trace_at(trace, id - 1);
        int width = 2 * (int)depth_of(trace, id) + (int)strlen(span.name);
        t.name_width = width > t.name_width ? width : t.name_width;
    }
    brisk_err err = write_line(&t, "%-*s %12s %12s %6s %14s\n", t.name_width, "name", "start ms",
                               "ms", "worker", "bytes");
    if (err == BRISK_OK) {
        err = write_rows(&t, count);
    }
    if (err == BRISK_OK && brisk_trace_dropped(trace) != 0) {
        err = write_line(&t, "(%" PRIu64 " further spans dropped: the trace was full)\n",
                         brisk_trace_dropped(trace));
    }
    return err;
}
