/*
 * report.c -- tables of places and leaks.
 *
 * Names come from foreign files: whatever a terminal would obey becomes '?' (prof_shown).
 */
#include "observe/heap/report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <brisk/json.h>

#include "observe/profile/report_words.h"

enum { NAME_WIDTH = 44, CALLERS_SHOWN = 3, CALLERS_LEAK = 6 };

double heap_fragmentation(const heap_profile *p)
{
    if (p->head.malloc_system == 0 || p->head.malloc_used > p->head.malloc_system) {
        return (double)NAN;
    }
    return 1 - (double)p->head.malloc_used / (double)p->head.malloc_system;
}

static const char *bytes(uint64_t value, char text[32])
{
    if (value >= UINT64_C(10) << 30) {
        (void)snprintf(text, 32, "%.1f GiB", (double)value / 1073741824.0);
        return text;
    }
    return prof_amount(value, "bytes", text);
}

/* "+1.2 MiB", "-3.0 KiB" */
static const char *change(double value, char text[32])
{
    double size = fabs(value) < 9e18 ? fabs(value) : 9e18;
    (void)bytes((uint64_t)size, text);
    memmove(text + 1, text, 30);
    text[0] = value < 0 ? '-' : '+';
    text[31] = '\0';
    return text;
}

/* A bound that is not known is not shown as a number. */
static const char *bound(double value, char text[32])
{
    if (!isfinite(value)) {
        (void)snprintf(text, 32, "not known");
        return text;
    }
    return change(value, text);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static void print_line(const prof_model *m, uint32_t file, uint32_t line, FILE *out)
{
    char shown[PROF_SHOWN_MAX];
    if (file != 0) {
        (void)fprintf(out, "  %s:%" PRIu32, prof_shown(base_name(prof_text(m, file)), shown), line);
    }
}

/* Who called, outwards from the place. */
static void print_callers(const heap_report *r, const heap_place *place, uint32_t max, FILE *out)
{
    const prof_model *m = r->view->model;
    char shown[PROF_SHOWN_MAX];
    uint32_t at = heap_view_place_node(m, place->node);
    for (uint32_t i = 0; i < max && at != 0; i++) {
        at = m->stacks.nodes.items[at].parent;
        if (at == 0) {
            return;
        }
        const prof_frame *frame = &m->frames.items[m->stacks.nodes.items[at].frame];
        (void)fprintf(out, "%40s %.*s", "from", NAME_WIDTH,
                      prof_shown_name(prof_text(m, frame->name), shown));
        print_line(m, frame->file, frame->line, out);
        (void)fputc('\n', out);
    }
}

static void print_place(const heap_report *r, const heap_place *p, FILE *out)
{
    const prof_model *m = r->view->model;
    char text[4][32];
    char shown[PROF_SHOWN_MAX];
    double grown = (double)p->live - (double)p->first_live;
    (void)fprintf(out, "%10s %10s %10s %10s  %.*s", bytes(p->live, text[0]),
                  r->series->points.count > 0 ? change(grown, text[1]) : "",
                  bytes(p->peak, text[2]), bytes(p->alloc, text[3]), NAME_WIDTH,
                  p->name != 0 ? prof_shown_name(prof_text(m, p->name), shown) : "[not kept]");
    print_line(m, p->file, p->line, out);
    (void)fputc('\n', out);
}

void heap_report_screen(const heap_report *r, FILE *out)
{
    (void)fprintf(out, "%10s %10s %10s %10s  %s\n", "live", "growth", "at peak", "allocated",
                  "place");
    for (uint32_t i = 0; i < r->view->places.count && i < r->rows; i++) {
        print_place(r, &r->view->places.items[i], out);
    }
}

static void print_places(const heap_report *r, FILE *out)
{
    (void)fprintf(out, "\n%10s %10s %10s %10s  %s\n", "live", "growth", "at peak", "allocated",
                  "place");
    for (uint32_t i = 0; i < r->view->places.count && i < r->rows; i++) {
        print_place(r, &r->view->places.items[i], out);
        print_callers(r, &r->view->places.items[i], CALLERS_SHOWN, out);
    }
    if (r->view->places.count > r->rows) {
        (void)fprintf(out, "... and %zu more places\n", r->view->places.count - r->rows);
    }
}

static void print_leaks(const heap_report *r, FILE *out)
{
    const prof_model *m = r->view->model;
    char text[3][32];
    char shown[PROF_SHOWN_MAX];
    uint32_t suspected = 0;
    bool enough = false;
    for (uint32_t i = 0; i < r->view->places.count; i++) {
        const heap_place *p = &r->view->places.items[i];
        enough = enough || p->leak.enough;
        if (!p->leak.suspected) {
            continue;
        }
        (void)fprintf(out, "%s%.*s", suspected++ == 0 ? "\nsuspected leaks\n" : "", NAME_WIDTH,
                      prof_shown_name(prof_text(m, p->name), shown));
        print_line(m, p->file, p->line, out);
        (void)fprintf(out,
                      "\n    %s/s (95 %%: %s to %s), confidence %.2f; %.0f %% of what "
                      "lives is from the older half of the time\n",
                      bound(p->leak.slope, text[0]), bound(p->leak.slope_low, text[1]),
                      bound(p->leak.slope_high, text[2]), p->leak.confidence,
                      100 * p->leak.old_share);
        print_callers(r, p, CALLERS_LEAK, out);
    }
    if (suspected == 0 && r->series->points.count > 0) {
        (void)fprintf(out, "\n%s\n",
                      enough ? "no leak suspected: nothing grew steadily until the end"
                             : "leaks: watched for too short a time to say (two seconds or more)");
    }
}

void heap_report_text(const heap_report *r, FILE *out)
{
    const heap_head *h = &r->profile->head;
    char text[4][32];
    char shown[PROF_SHOWN_MAX];
    (void)fprintf(out, "%s\n", prof_shown(h->command, shown));
    (void)fprintf(out, "live %s (+- %.1f %%)   peak %s after %.1f s   allocated %s in %.1f s\n",
                  bytes(h->live_bytes, text[0]), 196 * heap_profile_error(r->profile),
                  bytes(h->peak_bytes, text[1]), (double)(h->peak_ns - h->start_ns) / 1e9,
                  bytes(h->alloc_bytes, text[2]), (double)(h->now_ns - h->start_ns) / 1e9);
    (void)fprintf(out, "%" PRIu64 " samples, one each %s or more often, %" PRIu64 " lost\n",
                  h->samples, bytes(h->interval, text[0]), h->lost_samples);
    if (h->malloc_system > 0) {
        (void)fprintf(out,
                      "malloc has %s from the kernel, %s of it in use: fragmentation %.0f %%\n",
                      bytes(h->malloc_system, text[0]), bytes(h->malloc_used, text[1]),
                      100 * heap_fragmentation(r->profile));
    }
    if (r->rss_peak > 0) {
        (void)fprintf(out, "resident memory of the process: %s at most\n",
                      bytes(r->rss_peak, text[0]));
    }
    if (r->processes > 1) {
        (void)fprintf(out,
                      "note: %" PRIu64 " processes were sampled; this is the one with the largest "
                      "heap\n",
                      r->processes);
    }
    for (uint32_t i = 1; i < r->view->model->meta.note_count; i++) {
        (void)fprintf(out, "note: %s\n",
                      prof_shown(prof_text(r->view->model, r->view->model->meta.notes[i]), shown));
    }
    print_places(r, out);
    print_leaks(r, out);
}

/* --- JSON ------------------------------------------------------------------------------------ */

static void write_stack(brisk_json *json, const prof_model *m, uint32_t node)
{
    brisk_json_array_begin(json, "stack");
    for (uint32_t at = node; at != 0; at = m->stacks.nodes.items[at].parent) {
        brisk_json_str(json, NULL,
                       prof_text(m, m->frames.items[m->stacks.nodes.items[at].frame].name));
    }
    brisk_json_array_end(json);
}

static void write_leak(brisk_json *json, const heap_verdict *v)
{
    brisk_json_bool(json, "leak_suspected", v->suspected);
    if (v->enough) {
        brisk_json_double(json, "leak_confidence", v->confidence);
        brisk_json_double(json, "growth_per_second", v->slope);
        brisk_json_double(json, "growth_per_second_low", v->slope_low);
        brisk_json_double(json, "growth_per_second_high", v->slope_high);
        brisk_json_double(json, "growth_p", v->p);
        brisk_json_double(json, "survivors_old_share", v->old_share);
    }
}

static void write_place(brisk_json *json, const heap_report *r, const heap_place *p)
{
    const prof_model *m = r->view->model;
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "function", prof_text(m, p->name));
    brisk_json_str(json, "module", prof_text(m, p->module));
    if (p->file != 0) {
        brisk_json_str(json, "file", prof_text(m, p->file));
        brisk_json_u64(json, "line", p->line);
    }
    brisk_json_u64(json, "live_bytes", p->live);
    brisk_json_u64(json, "live_blocks", p->live_blocks);
    if (r->series->points.count > 0) {
        brisk_json_i64(json, "growth_bytes", (int64_t)p->live - (int64_t)p->first_live);
    }
    brisk_json_u64(json, "peak_bytes", p->peak);
    brisk_json_u64(json, "allocated_bytes", p->alloc);
    brisk_json_u64(json, "allocated_blocks", p->alloc_blocks);
    brisk_json_u64(json, "samples", p->samples);
    write_leak(json, &p->leak);
    write_stack(json, m, p->node);
    brisk_json_object_end(json);
}

static void write_head(brisk_json *json, const heap_report *r)
{
    const heap_head *h = &r->profile->head;
    brisk_json_u64(json, "schema", 1);
    brisk_json_str(json, "command", h->command);
    brisk_json_u64(json, "pid", h->pid);
    brisk_json_u64(json, "processes", r->processes);
    brisk_json_double(json, "seconds", (double)(h->now_ns - h->start_ns) / 1e9);
    brisk_json_u64(json, "interval_bytes", h->interval);
    brisk_json_u64(json, "samples", h->samples);
    brisk_json_u64(json, "lost_samples", h->lost_samples);
    brisk_json_u64(json, "lost_bytes", h->lost_bytes);
    brisk_json_u64(json, "live_bytes", h->live_bytes);
    brisk_json_double(json, "live_error_percent", 196 * heap_profile_error(r->profile));
    brisk_json_u64(json, "peak_bytes", h->peak_bytes);
    brisk_json_double(json, "peak_seconds", (double)(h->peak_ns - h->start_ns) / 1e9);
    brisk_json_u64(json, "allocated_bytes", h->alloc_bytes);
    if (h->malloc_system > 0) {
        brisk_json_u64(json, "malloc_system_bytes", h->malloc_system);
        brisk_json_u64(json, "malloc_used_bytes", h->malloc_used);
        brisk_json_double(json, "fragmentation", heap_fragmentation(r->profile));
    }
    if (r->rss_peak > 0) {
        brisk_json_u64(json, "rss_peak_bytes", r->rss_peak);
    }
    brisk_json_array_begin(json, "notes");
    for (uint32_t i = 0; i < r->view->model->meta.note_count; i++) {
        brisk_json_str(json, NULL, prof_text(r->view->model, r->view->model->meta.notes[i]));
    }
    brisk_json_array_end(json);
}

brisk_err heap_report_json(const heap_report *r, FILE *out)
{
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(out), 2);
    brisk_json_object_begin(&json, NULL);
    write_head(&json, r);
    brisk_json_array_begin(&json, "places");
    for (uint32_t i = 0; i < r->view->places.count; i++) {
        write_place(&json, r, &r->view->places.items[i]);
    }
    brisk_json_array_end(&json);
    brisk_json_array_begin(&json, "timeline");
    for (size_t i = 0; i < r->series->points.count; i++) {
        const heap_point *p = &r->series->points.items[i];
        brisk_json_object_begin(&json, NULL);
        brisk_json_double(&json, "seconds", (double)p->time_ns / 1e9);
        brisk_json_u64(&json, "live_bytes", p->live);
        brisk_json_u64(&json, "rss_bytes", p->rss);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}
