/*
 * report.c -- what a job says after it is done: its result, its stage table, its critical path.
 *
 * The critical path is the longest chain by time through what was run: phases follow each other,
 * so it is the longest chain of each phase, one after the other, and the storing of the answer:
 *
 *     longest(stage) = ns(stage) + max(longest(s) for s directly before it in its phase)
 *
 * Threads: the job's owner, after the job is done.
 */
#include "engine/internal.h"

#include <stdarg.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "exec/cpus.h"

enum { LINE_MAX_BYTES = 512, NAME_WIDTH_MIN = 12, NAME_WIDTH_MAX = 40 };

static const double ns_per_ms = 1e6;
static const double ns_per_us = 1e3;

const brisk_workload *brisk_job_workload(const brisk_job *job)
{
    return job->workload;
}

brisk_err brisk_job_result(const brisk_job *job)
{
    return job->err;
}

void *brisk_job_state(brisk_job *job)
{
    return job->state;
}

const char *brisk_job_error_text(const brisk_job *job)
{
    if (job->err == BRISK_OK) {
        return "";
    }
    return job->error_text != NULL ? job->error_text : brisk_err_message(job->err);
}

const char *brisk_job_error_stage(const brisk_job *job)
{
    return job->err != BRISK_OK ? job->error_stage : NULL;
}

const char *brisk_job_error_details(const brisk_job *job)
{
    return job->err != BRISK_OK ? job->error_details : NULL;
}

brisk_value *brisk_job_value(const brisk_job *job)
{
    return job->hit.value;
}

const char *brisk_job_answered_by(const brisk_job *job)
{
    return job->answered ? job->hit.tier_name : NULL;
}

uint64_t brisk_job_elapsed_ns(const brisk_job *job)
{
    return job->end_ns > job->start_ns ? job->end_ns - job->start_ns : 0;
}

const brisk_trace *brisk_job_trace(const brisk_job *job)
{
    return job->trace;
}

/* --- rows --------------------------------------------------------------------------------- */

static uint64_t record_ns(const engine_record *record)
{
    return record->ran && record->end_ns > record->start_ns ? record->end_ns - record->start_ns : 0;
}

/* The stage before `index` that ends the longest chain, or -1. */
static int longest_before(const brisk_job *job, uint32_t index, const uint64_t *longest)
{
    int best = -1;
    for (uint64_t set = job->pipeline->before[index]; set != 0; set &= set - 1) {
        int stage = __builtin_ctzll(set);
        if (job->records[stage].ran && (best < 0 || longest[stage] > longest[best])) {
            best = stage;
        }
    }
    return best;
}

/* Bit i: stage i is on the critical path. */
static uint64_t critical_stages(const brisk_job *job)
{
    uint64_t critical = 0;
    uint64_t longest[BRISK_STAGES_MAX];
    for (int phase = 0; phase < ENGINE_PHASES; phase++) {
        const brisk_graph *graph = job->pipeline->graphs[phase];
        uint32_t count = graph != NULL ? brisk_graph_count(graph) : 0;
        int last = -1;
        for (uint32_t i = 0; i < count; i++) { /* in order, so what is before is known */
            uint32_t stage = job->pipeline->stage_of[phase][brisk_graph_order(graph, i)];
            if (!job->records[stage].ran) {
                continue;
            }
            int before = longest_before(job, stage, longest);
            longest[stage] = record_ns(&job->records[stage]) + (before < 0 ? 0 : longest[before]);
            if (last < 0 || longest[stage] > longest[last]) {
                last = (int)stage;
            }
        }
        while (last >= 0) {
            critical |= UINT64_C(1) << last;
            last = longest_before(job, (uint32_t)last, longest);
        }
    }
    return critical;
}

static brisk_stage_how how_of(const brisk_job *job, uint32_t index)
{
    const engine_record *record = &job->records[index];
    if (record->ran) {
        return record->failed ? BRISK_HOW_FAILED : BRISK_HOW_COMPUTED;
    }
    bool answered = job->answered && job->pipeline->phase_of[index] == ENGINE_COMPUTE;
    return answered ? BRISK_HOW_ANSWERED : BRISK_HOW_SKIPPED;
}

/* A row from a record; shared by stages and the storing. */
static brisk_stage_report row_of(const brisk_job *job, const engine_record *record)
{
    uint64_t elapsed_ns = brisk_job_elapsed_ns(job);
    uint64_t ns = record_ns(record);
    bool ran = record->ran && record->start_ns > job->start_ns;
    return (brisk_stage_report){
        .start_ns = ran ? record->start_ns - job->start_ns : 0,
        .ns = ns,
        .share = elapsed_ns != 0 ? (double)ns / (double)elapsed_ns : 0.0,
        .bytes = atomic_load_explicit(&record->bytes, memory_order_relaxed),
        .worker = record->worker,
        .note = record->note != NULL ? record->note : "",
        .ready_ns = ran ? record->start_ns - job->start_ns : 0,
        .items = record->items < UINT32_MAX ? (uint32_t)record->items : UINT32_MAX,
        .loops_ns = record->loops_ns,
        .items_ns = atomic_load_explicit(&record->items_ns, memory_order_relaxed),
        .cpu_ns = atomic_load_explicit(&record->cpu_ns, memory_order_relaxed),
        .delay_ns = atomic_load_explicit(&record->delay_ns, memory_order_relaxed),
    };
}

/* --- edges -------------------------------------------------------------------------------- */

static bool is_last_of_phase(const brisk_job *job, uint32_t index)
{
    for (uint32_t i = 0; i < job->workload->stage_count; i++) {
        if ((job->pipeline->before[i] >> index & 1) != 0) {
            return false;
        }
    }
    return true;
}

/* The phase before `phase` that has stages, or -1. */
static int phase_before(const brisk_job *job, int phase)
{
    do {
        phase--;
    } while (phase >= 0 && job->pipeline->graphs[phase] == NULL);
    return phase;
}

bool brisk_job_report_is_after(const brisk_job *job, uint32_t later, uint32_t earlier)
{
    uint32_t store = job->workload->stage_count;
    const engine_pipeline *pipeline = job->pipeline;
    BRISK_ASSERT(later < brisk_job_report_count(job) && earlier < brisk_job_report_count(job));
    if (later == store) { /* after what computes, or what prepares when nothing does */
        return earlier != store && is_last_of_phase(job, earlier) &&
               pipeline->phase_of[earlier] == phase_before(job, ENGINE_DELIVER);
    }
    if (earlier == store) {
        return pipeline->phase_of[later] == ENGINE_DELIVER && pipeline->before[later] == 0;
    }
    if (pipeline->phase_of[later] == pipeline->phase_of[earlier]) {
        return (pipeline->before[later] >> earlier & 1) != 0;
    }
    bool stored = job->store.ran && pipeline->phase_of[later] == ENGINE_DELIVER;
    return !stored && pipeline->before[later] == 0 && is_last_of_phase(job, earlier) &&
           pipeline->phase_of[earlier] == phase_before(job, pipeline->phase_of[later]);
}

/* On the clock, when nothing but a thread was missing for a stage that ran. */
static uint64_t ready_at(const brisk_job *job, uint32_t index)
{
    uint64_t at = job->phase_ns[job->pipeline->phase_of[index]];
    for (uint64_t set = job->pipeline->before[index]; set != 0; set &= set - 1) {
        uint64_t end = job->records[__builtin_ctzll(set)].end_ns;
        at = end > at ? end : at;
    }
    return at < job->records[index].start_ns ? at : job->records[index].start_ns;
}

brisk_job_room brisk_job_read_room(const brisk_job *job)
{
    uint32_t workers = brisk_executor_workers(job->engine->executor);
    return (brisk_job_room){
        .threads = workers + (job->submitted ? 0 : 1),
        .workers = workers,
        .cores = exec_cpu_count(),
        .profiled = job->opts.profile,
    };
}

static brisk_stage_report stage_row(const brisk_job *job, uint32_t index, uint64_t critical)
{
    brisk_stage_report row = row_of(job, &job->records[index]);
    row.name = job->workload->stages[index].name;
    row.critical = (critical >> index & 1) != 0;
    row.how = how_of(job, index);
    row.blocking = (job->workload->stages[index].flags & BRISK_STAGE_BLOCKING) != 0;
    row.computes = job->pipeline->phase_of[index] == ENGINE_COMPUTE;
    if (row.ns != 0 || row.start_ns != 0) {
        row.wait_ns = job->records[index].start_ns - ready_at(job, index);
        row.ready_ns = row.start_ns > row.wait_ns ? row.start_ns - row.wait_ns : 0;
    }
    if (row.how == BRISK_HOW_ANSWERED) {
        row.tier = job->hit.tier_name;
        row.tier_ns = job->hit.elapsed_ns;
    }
    return row;
}

static brisk_stage_report store_row(const brisk_job *job)
{
    brisk_stage_report row = row_of(job, &job->store);
    row.name = ENGINE_STORE_NAME;
    row.critical = true; /* it lies between the last computing stage and the delivery */
    row.how = BRISK_HOW_COMPUTED;
    row.computes = true;
    return row;
}

uint32_t brisk_job_report_count(const brisk_job *job)
{
    return job->workload->stage_count + (job->store.ran ? 1 : 0);
}

brisk_stage_report brisk_job_report(const brisk_job *job, uint32_t index)
{
    BRISK_ASSERT(index < brisk_job_report_count(job));
    if (index == job->workload->stage_count) {
        return store_row(job);
    }
    return stage_row(job, index, critical_stages(job));
}

/* --- as text and as JSON ------------------------------------------------------------------ */

/* One line, whatever a note holds: cut when it is too long, and without control characters. */
BRISK_PRINTF(2, 3)
static brisk_err print(brisk_out out, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length < 0) {
        return BRISK_ERR_INVALID;
    }
    size_t size = (size_t)length < sizeof line ? (size_t)length : sizeof line - 1;
    BRISK_ASSERT(size > 0);
    brisk_text_make_plain(line, size - 1);
    line[size - 1] = '\n';
    return out.write(out.ctx, line, size);
}

/* "computed", "failed", "disk 85.2 us" ... */
static void describe(const brisk_stage_report *row, char *buffer, size_t size)
{
    switch (row->how) {
    case BRISK_HOW_COMPUTED: (void)snprintf(buffer, size, "computed"); break;
    case BRISK_HOW_ANSWERED:
        (void)snprintf(buffer, size, "%s %.1f us", row->tier, (double)row->tier_ns / ns_per_us);
        break;
    case BRISK_HOW_FAILED: (void)snprintf(buffer, size, "failed"); break;
    case BRISK_HOW_SKIPPED: (void)snprintf(buffer, size, "skipped"); break;
    }
}

static int name_width(const brisk_job *job)
{
    size_t width = NAME_WIDTH_MIN;
    for (uint32_t i = 0; i < job->workload->stage_count; i++) {
        size_t length = strlen(job->workload->stages[i].name);
        width = length > width ? length : width;
    }
    return (int)(width < NAME_WIDTH_MAX ? width : NAME_WIDTH_MAX);
}

brisk_err brisk_job_write_report(const brisk_job *job, brisk_out out)
{
    int width = name_width(job);
    uint64_t critical = critical_stages(job);
    brisk_err err = print(out, "%-*s  %9s  %5s  %-4s  %-18s  %s\n", width, "stage", "ms", "share",
                          "path", "how", "note");
    for (uint32_t i = 0; i < brisk_job_report_count(job) && err == BRISK_OK; i++) {
        bool stage = i < job->workload->stage_count;
        brisk_stage_report row = stage ? stage_row(job, i, critical) : store_row(job);
        char how[64];
        describe(&row, how, sizeof how);
        bool idle = row.how == BRISK_HOW_ANSWERED || row.how == BRISK_HOW_SKIPPED;
        const char *mark = row.critical ? "*" : "";
        const char *gap = row.note[0] != '\0' ? "  " : "";
        int how_width = row.note[0] != '\0' ? 18 : 0; /* no blanks at the end of a line */
        if (idle) {
            err = print(out, "%-*s  %9s  %5s  %-4s  %-*s%s%s\n", width, row.name, "-", "-", mark,
                        how_width, how, gap, row.note);
        } else {
            err = print(out, "%-*s  %9.3f  %4.0f%%  %-4s  %-*s%s%s\n", width, row.name,
                        (double)row.ns / ns_per_ms, row.share * 100.0, mark, how_width, how, gap,
                        row.note);
        }
    }
    if (err == BRISK_OK) {
        const char *tier = brisk_job_answered_by(job);
        const char *result = job->err != BRISK_OK ? brisk_err_message(job->err)
                             : tier != NULL       ? tier
                                                  : "computed";
        err = print(out, "%-*s  %9.3f  %5s  %-4s  %s%s\n", width, "total",
                    (double)brisk_job_elapsed_ns(job) / ns_per_ms, "100%", "",
                    tier != NULL && job->err == BRISK_OK ? "answered by " : "", result);
    }
    return err;
}

static const char *how_name(brisk_stage_how how)
{
    switch (how) {
    case BRISK_HOW_COMPUTED: return "computed";
    case BRISK_HOW_ANSWERED: return "answered";
    case BRISK_HOW_FAILED: return "failed";
    case BRISK_HOW_SKIPPED: return "skipped";
    }
    return "unknown";
}

static void write_profile(brisk_json *json, const brisk_job *job, uint32_t index,
                          const brisk_stage_report *row)
{
    brisk_json_u64(json, "ready_ns", row->ready_ns);
    brisk_json_u64(json, "wait_ns", row->wait_ns);
    brisk_json_bool(json, "blocking", row->blocking);
    brisk_json_bool(json, "computes", row->computes);
    if (row->items != 0) {
        brisk_json_u64(json, "items", row->items);
        brisk_json_u64(json, "loops_ns", row->loops_ns);
        brisk_json_u64(json, "items_ns", row->items_ns);
    }
    if (job->opts.profile) {
        brisk_json_u64(json, "cpu_ns", row->cpu_ns);
        brisk_json_u64(json, "delay_ns", row->delay_ns);
    }
    brisk_json_array_begin(json, "after");
    for (uint32_t i = 0; i < brisk_job_report_count(job); i++) {
        if (brisk_job_report_is_after(job, index, i)) {
            bool stage = i < job->workload->stage_count;
            brisk_json_str(json, NULL, stage ? job->workload->stages[i].name : ENGINE_STORE_NAME);
        }
    }
    brisk_json_array_end(json);
}

static void write_row(brisk_json *json, const brisk_job *job, uint32_t index,
                      const brisk_stage_report *row)
{
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "stage", row->name);
    brisk_json_u64(json, "start_ns", row->start_ns);
    brisk_json_u64(json, "ns", row->ns);
    brisk_json_double(json, "share", row->share);
    brisk_json_bool(json, "critical", row->critical);
    brisk_json_str(json, "how", how_name(row->how));
    if (row->how == BRISK_HOW_ANSWERED) {
        brisk_json_str(json, "tier", row->tier);
        brisk_json_u64(json, "tier_ns", row->tier_ns);
    }
    brisk_json_u64(json, "bytes", row->bytes);
    brisk_json_i64(json, "worker", row->worker);
    brisk_json_str(json, "note", row->note);
    write_profile(json, job, index, row);
    brisk_json_object_end(json);
}

void brisk_job_write_report_json(const brisk_job *job, brisk_json *json)
{
    uint64_t critical = critical_stages(job);
    const char *tier = brisk_job_answered_by(job);
    brisk_json_str(json, "workload", job->workload->name);
    brisk_json_str(json, "result", brisk_err_name(job->err));
    if (job->err != BRISK_OK) {
        brisk_json_object_begin(json, "error");
        brisk_json_str(json, "code", brisk_err_name(job->err));
        brisk_json_str(json, "message", brisk_job_error_text(job));
        if (job->error_stage != NULL) {
            brisk_json_str(json, "stage", job->error_stage);
        } else {
            brisk_json_null(json, "stage");
        }
        brisk_json_object_end(json);
    }
    brisk_json_u64(json, "elapsed_ns", brisk_job_elapsed_ns(job));
    if (tier != NULL) {
        brisk_json_str(json, "answered_by", tier);
    } else {
        brisk_json_null(json, "answered_by");
    }
    brisk_job_room room = brisk_job_read_room(job);
    brisk_json_u64(json, "threads", room.threads);
    brisk_json_u64(json, "workers", room.workers);
    brisk_json_u64(json, "cores", room.cores);
    brisk_json_bool(json, "profiled", room.profiled);
    brisk_json_array_begin(json, "stages");
    for (uint32_t i = 0; i < brisk_job_report_count(job); i++) {
        bool stage = i < job->workload->stage_count;
        brisk_stage_report row = stage ? stage_row(job, i, critical) : store_row(job);
        write_row(json, job, i, &row);
    }
    brisk_json_array_end(json);
}
