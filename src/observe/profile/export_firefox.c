/*
 * export_firefox.c -- the Firefox Profiler's processed format.
 *
 * The whole tree of stacks is each thread's, and so are the tables of functions and strings: the
 * format wants them there.  Source: firefox-devtools/profiler, docs-developer/processed-profile-format.md;
 * version 36 of it, which the profiler brings up to date when it loads a file.
 */
#include <string.h>

#include <brisk/json.h>

#include "observe/profile/export.h"
#include "observe/profile/timeline.h"

enum { VERSION_PROCESSED = 36, VERSION_GECKO = 24 };
enum { CATEGORY_USER, CATEGORY_KERNEL, CATEGORY_OFF_CPU };

/* One column of a table: `value` of each row; -1 is null. */
typedef int64_t (*column_fn)(const prof_model *m, size_t row);

static void write_column(brisk_json *json, const char *key, const prof_model *m, size_t rows,
                         column_fn value)
{
    brisk_json_array_begin(json, key);
    for (size_t i = 0; i < rows; i++) {
        int64_t v = value(m, i);
        if (v < 0) {
            brisk_json_null(json, NULL);
        } else {
            brisk_json_i64(json, NULL, v);
        }
    }
    brisk_json_array_end(json);
}

static int64_t null_of(const prof_model *m, size_t row)
{
    (void)m;
    (void)row;
    return -1;
}

static int64_t zero_of(const prof_model *m, size_t row)
{
    (void)m;
    (void)row;
    return 0;
}

static int64_t row_of(const prof_model *m, size_t row)
{
    (void)m;
    return (int64_t)row;
}

static int64_t node_frame(const prof_model *m, size_t row)
{
    return m->stacks.nodes.items[row + 1].frame;
}

static int64_t node_prefix(const prof_model *m, size_t row)
{
    return (int64_t)m->stacks.nodes.items[row + 1].parent - 1;
}

static int64_t frame_category(const prof_model *m, size_t row)
{
    return (m->frames.items[row].flags & PROF_FRAME_KERNEL) != 0 ? CATEGORY_KERNEL : CATEGORY_USER;
}

static int64_t node_category(const prof_model *m, size_t row)
{
    return frame_category(m, m->stacks.nodes.items[row + 1].frame);
}

static int64_t frame_line(const prof_model *m, size_t row)
{
    return m->frames.items[row].line != 0 ? (int64_t)m->frames.items[row].line : -1;
}

static int64_t frame_name(const prof_model *m, size_t row)
{
    return m->frames.items[row].name;
}

static int64_t frame_file(const prof_model *m, size_t row)
{
    return m->frames.items[row].file != 0 ? (int64_t)m->frames.items[row].file : -1;
}

static int64_t frame_resource(const prof_model *m, size_t row)
{
    (void)m;
    (void)row;
    return -2;
}

typedef struct table_column {
    const char *name;
    column_fn value;
} table_column;

static void write_table(brisk_json *json, const char *key, const prof_model *m, size_t rows,
                        const table_column *columns)
{
    brisk_json_object_begin(json, key);
    brisk_json_u64(json, "length", rows);
    for (; columns->name != NULL; columns++) {
        if (columns->value == frame_resource) {
            brisk_json_array_begin(json, columns->name);
            for (size_t i = 0; i < rows; i++) {
                brisk_json_i64(json, NULL, -1); /* "no resource" is a number here */
            }
            brisk_json_array_end(json);
        } else {
            write_column(json, columns->name, m, rows, columns->value);
        }
    }
    brisk_json_object_end(json);
}

static void write_tables(brisk_json *json, const prof_model *m)
{
    static const table_column stacks[] = {{"frame", node_frame},
                                          {"prefix", node_prefix},
                                          {"category", node_category},
                                          {"subcategory", zero_of},
                                          {NULL, NULL}};
    static const table_column frames[] = {{"address", frame_resource},
                                          {"inlineDepth", zero_of},
                                          {"category", frame_category},
                                          {"subcategory", zero_of},
                                          {"func", row_of},
                                          {"nativeSymbol", null_of},
                                          {"innerWindowID", zero_of},
                                          {"implementation", null_of},
                                          {"line", frame_line},
                                          {"column", null_of},
                                          {NULL, NULL}};
    static const table_column functions[] = {
        {"isJS", zero_of},         {"relevantForJS", zero_of},
        {"name", frame_name},      {"resource", frame_resource},
        {"fileName", frame_file},  {"lineNumber", null_of},
        {"columnNumber", null_of}, {NULL, NULL}};
    write_table(json, "stackTable", m, m->stacks.nodes.count - 1, stacks);
    write_table(json, "frameTable", m, m->frames.count, frames);
    write_table(json, "funcTable", m, m->frames.count, functions);
    static const char *const empty[][6] = {
        {"resourceTable", "lib", "name", "host", "type", NULL},
        {"nativeSymbols", "libIndex", "address", "name", "functionSize", NULL},
        {"markers", "data", "name", "startTime", "endTime", NULL}};
    for (size_t t = 0; t < 3; t++) {
        brisk_json_object_begin(json, empty[t][0]);
        brisk_json_u64(json, "length", 0);
        for (size_t c = 1; c < 6 && empty[t][c] != NULL; c++) {
            brisk_json_array_begin(json, empty[t][c]);
            brisk_json_array_end(json);
        }
        if (t == 2) {
            brisk_json_array_begin(json, "phase");
            brisk_json_array_end(json);
            brisk_json_array_begin(json, "category");
            brisk_json_array_end(json);
        }
        brisk_json_object_end(json);
    }
    brisk_json_array_begin(json, "stringArray");
    for (size_t i = 0; i < m->strings.count; i++) {
        brisk_json_str(json, NULL, m->strings.items[i].text);
    }
    brisk_json_array_end(json);
}

static void write_samples(brisk_json *json, const prof_timeline *t, size_t first, size_t end)
{
    static const char *const keys[] = {"stack", "time", "weight"};
    brisk_json_object_begin(json, "samples");
    for (int k = 0; k < 3; k++) {
        brisk_json_array_begin(json, keys[k]);
        for (size_t i = first; i < end; i++) {
            const prof_event *e = &t->events[i];
            if (k == 0 && e->stack == 0) {
                brisk_json_null(json, NULL);
            } else if (k == 0) {
                brisk_json_u64(json, NULL, e->stack - 1);
            } else if (k == 1) {
                brisk_json_double(json, NULL, (double)(e->time_ns - t->start_ns) / 1e6);
            } else {
                brisk_json_double(json, NULL, (double)e->length_ns / 1e6);
            }
        }
        brisk_json_array_end(json);
    }
    brisk_json_str(json, "weightType", "tracing-ms");
    brisk_json_u64(json, "length", end - first);
    brisk_json_object_end(json);
}

static void write_thread(brisk_json *json, const prof_model *m, const prof_timeline *t,
                         size_t first, size_t end)
{
    const prof_thread *thread = &m->threads.items[t->events[first].thread];
    char pid[16];
    (void)snprintf(pid, sizeof pid, "%u",
                   (unsigned)(thread->pid == PROF_PID_UNKNOWN ? 0 : thread->pid));
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "processType", "default");
    brisk_json_str(json, "processName", prof_text(m, m->meta.command));
    brisk_json_u64(json, "processStartupTime", 0);
    brisk_json_null(json, "processShutdownTime");
    brisk_json_u64(json, "registerTime", 0);
    brisk_json_null(json, "unregisterTime");
    brisk_json_array_begin(json, "pausedRanges");
    brisk_json_array_end(json);
    brisk_json_str(json, "name", prof_text(m, thread->comm));
    brisk_json_bool(json, "isMainThread", thread->pid == thread->tid);
    brisk_json_str(json, "pid", pid);
    brisk_json_u64(json, "tid", thread->tid);
    write_samples(json, t, first, end);
    write_tables(json, m);
    brisk_json_object_end(json);
}

static void write_meta(brisk_json *json, const prof_model *m)
{
    static const char *const categories[][2] = {
        {"User", "yellow"}, {"Kernel", "orange"}, {"Off-CPU", "blue"}};
    brisk_json_object_begin(json, "meta");
    brisk_json_double(json, "interval", m->meta.period > 0 ? (double)m->meta.period / 1e6 : 1.0);
    brisk_json_double(json, "startTime", (double)m->meta.wall_start_ns / 1e6);
    brisk_json_u64(json, "processType", 0);
    brisk_json_u64(json, "stackwalk", 1);
    brisk_json_str(json, "product", "brisk");
    brisk_json_u64(json, "version", VERSION_GECKO);
    brisk_json_u64(json, "preprocessedProfileVersion", VERSION_PROCESSED);
    brisk_json_bool(json, "symbolicated", true);
    brisk_json_bool(json, "debug", false);
    brisk_json_array_begin(json, "markerSchema");
    brisk_json_array_end(json);
    brisk_json_array_begin(json, "categories");
    for (size_t i = 0; i < 3; i++) {
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "name", categories[i][0]);
        brisk_json_str(json, "color", categories[i][1]);
        brisk_json_array_begin(json, "subcategories");
        brisk_json_str(json, NULL, "Other");
        brisk_json_array_end(json);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}

brisk_err prof_export_firefox(const prof_model *model, uint32_t type, FILE *out)
{
    prof_timeline timeline;
    brisk_err err = prof_timeline_make(model, type, &timeline);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(out), 0);
    brisk_json_object_begin(&json, NULL);
    write_meta(&json, model);
    brisk_json_array_begin(&json, "libs");
    brisk_json_array_end(&json);
    brisk_json_array_begin(&json, "threads");
    for (size_t i = 0; i < timeline.count;) {
        size_t end = i;
        while (end < timeline.count && timeline.events[end].thread == timeline.events[i].thread) {
            end++;
        }
        write_thread(&json, model, &timeline, i, end);
        i = end;
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    prof_timeline_deinit(&timeline);
    return brisk_json_finish(&json);
}
