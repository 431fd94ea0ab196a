/*
 * report.c -- hot spots with their callers, processor time and waiting side by side.
 *
 * Names come from foreign files: whatever a terminal would obey becomes '?'.
 */
#include "observe/profile/report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <brisk/json.h>

#include "base/text.h"
#include "observe/profile/report_words.h"
#include "observe/profile/tally.h"

enum { CALLERS_SHOWN = 3, NAME_SHOWN = 60 };

static double percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0.0;
}

uint64_t prof_sum_of(const prof_model *model, uint32_t type)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < model->samples.count && type < model->type_count; i++) {
        sum = prof_add(sum, model->samples.items[i].values[type]);
    }
    return sum;
}

bool prof_is_own(const prof_model *model)
{
    return model->type_count > PROF_TYPE_READY &&
           strcmp(prof_text(model, model->types[PROF_TYPE_OFF_CPU].name), "off-cpu") == 0;
}

/* Whether a type is time in which the program did not run. */
static bool is_wait(const prof_model *model, uint32_t type)
{
    return prof_is_own(model) && (type == PROF_TYPE_OFF_CPU || type == PROF_TYPE_READY);
}

/* --- text ----------------------------------------------------------------------------------- */

const char *prof_shown(const char *text, char shown[PROF_SHOWN_MAX])
{
    (void)snprintf(shown, PROF_SHOWN_MAX, "%s", text);
    brisk_text_make_plain(shown, strlen(shown));
    return shown;
}

const char *prof_shown_name(const char *text, char shown[PROF_SHOWN_MAX])
{
    if (strlen(text) <= NAME_SHOWN || strstr(text, "operator<") != NULL) {
        return prof_shown(text, shown);
    }
    char plain[PROF_SHOWN_MAX];
    size_t size = 0;
    uint32_t depth = 0;
    for (; *text != '\0' && size + 1 < sizeof plain; text++) {
        depth -= *text == '>' && depth > 0;
        if (depth == 0) {
            plain[size++] = *text;
        }
        depth += *text == '<';
    }
    plain[size] = '\0';
    return prof_shown(plain, shown);
}

const char *prof_amount(uint64_t value, const char *unit, char text[32])
{
    if (strcmp(unit, "nanoseconds") == 0) {
        double v = (double)value;
        if (v >= 1e9) {
            (void)snprintf(text, 32, "%.2f s", v / 1e9);
        } else {
            (void)snprintf(text, 32, "%.1f %s", v >= 1e6 ? v / 1e6 : v / 1e3,
                           v >= 1e6 ? "ms" : "us");
        }
    } else if (strcmp(unit, "bytes") == 0 && value >= 1024) {
        (void)snprintf(text, 32, value >= 1 << 20 ? "%.1f MiB" : "%.1f KiB",
                       (double)value / (value >= 1 << 20 ? 1048576.0 : 1024.0));
    } else {
        (void)snprintf(text, 32, "%" PRIu64, value);
    }
    return text;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static void print_where(const prof_model *model, const prof_row *row, FILE *out)
{
    char shown[PROF_SHOWN_MAX];
    (void)fprintf(out, "  %s", prof_shown(base_name(prof_text(model, row->module)), shown));
    if (row->file != 0) {
        (void)fprintf(out, " %s:%" PRIu32,
                      prof_shown(base_name(prof_text(model, row->file)), shown), row->line);
    }
    (void)fputc('\n', out);
}

static void print_callers(const prof_model *model, const prof_tally *tally, uint32_t row, FILE *out)
{
    prof_caller callers[CALLERS_SHOWN];
    char shown[PROF_SHOWN_MAX];
    size_t count = prof_tally_callers(tally, model, row, callers, CALLERS_SHOWN);
    uint64_t self = tally->rows.items[row].self;
    for (size_t i = 0; i < count; i++) {
        const char *name = callers[i].row == PROF_NO_ID
                               ? "(outermost)"
                               : prof_text(model, tally->rows.items[callers[i].row].name);
        (void)fprintf(out, "%38s %5.1f %%  %.*s\n", "called from", percent(callers[i].self, self),
                      NAME_SHOWN, prof_shown_name(name, shown));
    }
}

static brisk_err print_table(const prof_model *model, const prof_report_opts *opts, uint32_t type,
                             FILE *out)
{
    prof_tally tally;
    char text[32];
    char shown[PROF_SHOWN_MAX];
    brisk_err err = prof_tally_make(model, type, is_wait(model, type), &tally);
    if (err != BRISK_OK) {
        return err;
    }
    const char *unit = prof_text(model, model->types[type].unit);
    if (tally.total > 0) {
        (void)fprintf(out, "\n%s, %s in all\n%8s %8s %12s  %s\n",
                      prof_shown(prof_text(model, model->types[type].name), shown),
                      prof_amount(tally.total, unit, text), "self %", "total %", "self",
                      "function");
    }
    for (uint32_t i = 0; i < tally.rows.count && tally.total > 0; i++) {
        const prof_row *row = &tally.rows.items[i];
        double share = percent(row->self, tally.total);
        if (row->self == 0 || (share < opts->threshold && i >= opts->rows)) {
            break;
        }
        (void)fprintf(out, "%8.1f %8.1f %12s  %.*s%s", share, percent(row->total, tally.total),
                      prof_amount(row->self, unit, text), NAME_SHOWN,
                      prof_shown_name(prof_text(model, row->name), shown),
                      (row->flags & PROF_FRAME_INLINED) != 0 ? " (inlined)" : "");
        print_where(model, row, out);
        if (share >= opts->threshold) {
            print_callers(model, &tally, i, out);
        }
    }
    prof_tally_deinit(&tally);
    return BRISK_OK;
}

/* What was sampled; without a sample what the kernel counted. */
static uint64_t cpu_of(const prof_model *model)
{
    uint64_t sum = prof_sum_of(model, PROF_TYPE_CPU);
    return sum > 0 ? sum : model->meta.cpu_ns;
}

static void print_head(const prof_model *model, const prof_report_opts *opts, FILE *out)
{
    char text[4][32];
    char shown[PROF_SHOWN_MAX];
    const prof_meta *meta = &model->meta;
    if (meta->command != 0) {
        (void)fprintf(out, "%s\n", prof_shown(prof_text(model, meta->command), shown));
    }
    if (prof_is_own(model) && opts->machine == NULL) {
        (void)fprintf(out,
                      "wall %s   CPU %s   blocked %s   ready but not running %s (all threads)\n",
                      prof_amount(meta->duration_ns, "nanoseconds", text[0]),
                      prof_amount(cpu_of(model), "nanoseconds", text[1]),
                      prof_amount(prof_sum_of(model, PROF_TYPE_OFF_CPU), "nanoseconds", text[2]),
                      prof_amount(prof_sum_of(model, PROF_TYPE_READY), "nanoseconds", text[3]));
    }
    const prof_outcome *o = opts->outcome;
    if (o != NULL) {
        (void)fprintf(out,
                      "%" PRIu64 " samples, %.1f for each second of processor time (%" PRIu32
                      " asked), %" PRIu64 " lost\n",
                      meta->samples, o->hertz, opts->frequency, meta->lost);
        if (o->target_overhead_ns > 0) {
            (void)fprintf(out,
                          "overhead: %.2f %% of the target's processor time (%s a sample, "
                          "calibrated after the run)",
                          percent(o->target_overhead_ns, meta->cpu_ns),
                          prof_amount(meta->samples > 0 ? o->target_overhead_ns / meta->samples : 0,
                                      "nanoseconds", text[0]));
        } else {
            (void)fputs("overhead: not calibrated", out);
        }
        (void)fprintf(out, "; the profiler itself took %s\n",
                      prof_amount(o->own_cpu_ns, "nanoseconds", text[1]));
    }
    for (uint32_t i = 0; i < meta->note_count; i++) {
        (void)fprintf(out, "note: %s\n", prof_shown(prof_text(model, meta->notes[i]), shown));
    }
}

brisk_err prof_report_text(const prof_model *model, const prof_report_opts *opts, FILE *out)
{
    print_head(model, opts, out);
    brisk_err err = print_table(model, opts, opts->type, out);
    if (err == BRISK_OK && prof_is_own(model) && opts->type == PROF_TYPE_CPU) {
        err = print_table(model, opts, PROF_TYPE_OFF_CPU, out);
    }
    if (err == BRISK_OK && opts->machine != NULL) {
        err = prof_machine_text(opts->machine, model, out);
    }
    if (err == BRISK_OK && opts->io != NULL) {
        err = prof_io_text(opts->io, model, out);
    }
    return err == BRISK_OK && ferror(out) ? BRISK_ERR_IO : err;
}

/* --- JSON ----------------------------------------------------------------------------------- */

static void write_row(brisk_json *json, const prof_model *model, const prof_row *row,
                      uint64_t total)
{
    brisk_json_str(json, "function", prof_text(model, row->name));
    brisk_json_str(json, "module", prof_text(model, row->module));
    if (row->file != 0) {
        brisk_json_str(json, "file", prof_text(model, row->file));
        brisk_json_u64(json, "line", row->line);
    }
    brisk_json_bool(json, "kernel", (row->flags & PROF_FRAME_KERNEL) != 0);
    brisk_json_bool(json, "inlined", (row->flags & PROF_FRAME_INLINED) != 0);
    brisk_json_u64(json, "self", row->self);
    brisk_json_double(json, "self_percent", percent(row->self, total));
    brisk_json_u64(json, "total", row->total);
    brisk_json_double(json, "total_percent", percent(row->total, total));
}

static brisk_err write_table(brisk_json *json, const prof_model *model,
                             const prof_report_opts *opts, uint32_t type)
{
    prof_tally tally;
    brisk_err err = prof_tally_make(model, type, is_wait(model, type), &tally);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "type", prof_text(model, model->types[type].name));
    brisk_json_str(json, "unit", prof_text(model, model->types[type].unit));
    brisk_json_u64(json, "total", tally.total);
    brisk_json_array_begin(json, "functions");
    for (uint32_t i = 0; i < tally.rows.count; i++) {
        const prof_row *row = &tally.rows.items[i];
        double share = percent(row->self, tally.total);
        if (row->self == 0 || (share < opts->threshold && i >= opts->rows)) {
            break;
        }
        prof_caller callers[CALLERS_SHOWN];
        size_t count = prof_tally_callers(&tally, model, i, callers, CALLERS_SHOWN);
        brisk_json_object_begin(json, NULL);
        write_row(json, model, row, tally.total);
        brisk_json_bool(json, "hotspot", share >= opts->threshold);
        brisk_json_array_begin(json, "callers");
        for (size_t c = 0; c < count; c++) {
            brisk_json_object_begin(json, NULL);
            brisk_json_str(json, "function",
                           callers[c].row == PROF_NO_ID
                               ? ""
                               : prof_text(model, tally.rows.items[callers[c].row].name));
            brisk_json_double(json, "percent", percent(callers[c].self, row->self));
            brisk_json_object_end(json);
        }
        brisk_json_array_end(json);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
    prof_tally_deinit(&tally);
    return BRISK_OK;
}

static void write_head(brisk_json *json, const prof_model *model, const prof_report_opts *opts)
{
    const prof_meta *meta = &model->meta;
    brisk_json_u64(json, "schema", 1);
    brisk_json_str(json, "command", prof_text(model, meta->command));
    brisk_json_double(json, "wall_seconds", (double)meta->duration_ns / 1e9);
    if (prof_is_own(model)) {
        brisk_json_double(json, "cpu_seconds", (double)cpu_of(model) / 1e9);
        brisk_json_double(json, "blocked_seconds",
                          (double)prof_sum_of(model, PROF_TYPE_OFF_CPU) / 1e9);
        brisk_json_double(json, "ready_seconds", (double)prof_sum_of(model, PROF_TYPE_READY) / 1e9);
    }
    brisk_json_u64(json, "samples", meta->samples);
    brisk_json_u64(json, "lost", meta->lost);
    if (opts->outcome != NULL) {
        brisk_json_double(json, "hertz_asked", opts->frequency);
        brisk_json_double(json, "hertz_reached", opts->outcome->hertz);
        /* NaN: could not be calibrated; it is null then. */
        brisk_json_double(json, "overhead_percent",
                          opts->outcome->target_overhead_ns == 0
                              ? (double)NAN
                              : percent(opts->outcome->target_overhead_ns, meta->cpu_ns));
        brisk_json_double(json, "profiler_cpu_seconds", (double)opts->outcome->own_cpu_ns / 1e9);
    }
    brisk_json_array_begin(json, "notes");
    for (uint32_t i = 0; i < meta->note_count; i++) {
        brisk_json_str(json, NULL, prof_text(model, meta->notes[i]));
    }
    brisk_json_array_end(json);
}

brisk_err prof_report_json(const prof_model *model, const prof_report_opts *opts, FILE *out)
{
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(out), 2);
    brisk_json_object_begin(&json, NULL);
    write_head(&json, model, opts);
    brisk_json_array_begin(&json, "tables");
    brisk_err err = model->type_count > 0 ? write_table(&json, model, opts, opts->type) : BRISK_OK;
    if (err == BRISK_OK && prof_is_own(model) && opts->type == PROF_TYPE_CPU) {
        err = write_table(&json, model, opts, PROF_TYPE_OFF_CPU);
    }
    brisk_json_array_end(&json);
    if (opts->machine != NULL) {
        prof_machine_json(opts->machine, model, &json);
    }
    if (opts->io != NULL) {
        prof_io_json(opts->io, model, &json);
    }
    brisk_json_object_end(&json);
    brisk_err finished = brisk_json_finish(&json);
    return err != BRISK_OK ? err : finished;
}
