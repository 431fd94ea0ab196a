/*
 * jobs_json.c -- what is told of a job, as JSON.
 *
 *     {"schema": 1, "id": "...", "workload": "rom", "status": "running", "class": "batch", "priority": 3,
 *      "created_ms": 0, "wait_ns": 0, "run_ns": 0, "position": 2, "stages": [...],
 *      "error": {...}, "result": {...}, "details": {...}, "report": {...}}
 */
#include "daemon/api/jobs_internal.h"

#include <string.h>

#include <brisk/json_read.h>

#include "base/assert.h"

static const uint64_t ns_per_ms = 1000000;

const char *job_state_name(job_state state)
{
    switch (state) {
    case JOB_ADMITTING:
    case JOB_WAITING: return "queued";
    case JOB_RUNNING: return "running";
    case JOB_SUCCEEDED: return "succeeded";
    case JOB_FAILED: return "failed";
    case JOB_CANCELLED: return "cancelled";
    }
    return "unknown";
}

static const char *stage_state_name(brisk_stage_state state)
{
    switch (state) {
    case BRISK_STAGE_WAITING: return "waiting";
    case BRISK_STAGE_RUNNING: return "running";
    case BRISK_STAGE_DONE: return "done";
    case BRISK_STAGE_FAILED: return "failed";
    }
    return "unknown";
}

/* Between two moments, of which the second may not have come. */
static uint64_t since(uint64_t from_ns, uint64_t to_ns, uint64_t now_ns)
{
    uint64_t end_ns = to_ns != 0 ? to_ns : now_ns;
    return from_ns != 0 && end_ns > from_ns ? end_ns - from_ns : 0;
}

/* `ended_ns` 0: it has not; the entry's own is its runner's until the state says that it is over. */
static void write_common(const job_entry *e, job_state state, uint64_t ended_ns, brisk_json *json)
{
    uint64_t now_ns = jobs_now_ns(e->jobs);
    brisk_json_u64(json, "schema", 1);
    brisk_json_str(json, "id", e->id);
    if (state == JOB_ADMITTING) { /* the rest is being found out, by another thread */
        brisk_json_str(json, "status", job_state_name(state));
        brisk_json_u64(json, "created_ms", e->created_wall_ns / ns_per_ms);
        return;
    }
    brisk_json_str(json, "workload", e->workload_name);
    brisk_json_str(json, "status", job_state_name(state));
    brisk_json_str(json, "class", queue_class_name(e->item.class));
    brisk_json_u64(json, "priority", e->item.priority);
    brisk_json_u64(json, "created_ms", e->created_wall_ns / ns_per_ms);
    if (e->deadline_wall_ns != 0) {
        brisk_json_u64(json, "deadline_ms", e->deadline_wall_ns / ns_per_ms);
    }
    uint64_t waited_until = e->started_ns != 0 ? e->started_ns : ended_ns;
    brisk_json_u64(json, "wait_ns", since(e->created_ns, waited_until, now_ns));
    brisk_json_u64(json, "run_ns", since(e->started_ns, ended_ns, now_ns));
}

static void write_stages(const brisk_job *job, const brisk_workload *workload, brisk_json *json)
{
    brisk_json_array_begin(json, "stages");
    for (uint32_t i = 0; i < workload->stage_count; i++) {
        brisk_stage_progress p = brisk_job_progress(job, i);
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "stage", p.name);
        brisk_json_str(json, "state", stage_state_name(p.state));
        brisk_json_u64(json, "ns", p.ns);
        brisk_json_u64(json, "bytes", p.bytes);
        if (p.items > 0) {
            brisk_json_u64(json, "items", p.items);
            brisk_json_u64(json, "items_done", p.items_done);
        }
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

void job_write_live(const job_entry *e, brisk_json *json)
{
    write_common(e, e->state, job_state_is_over(e->state) ? e->ended_ns : 0, json);
    if (e->state == JOB_WAITING && e->item.state == QUEUE_WAITING) {
        brisk_json_u64(json, "position", queue_position(e->jobs->queue, &e->item));
    }
    if (e->state == JOB_RUNNING && e->job != NULL) {
        write_stages(e->job, e->workload, json);
    }
}

uint64_t job_signature(const job_entry *e)
{
    uint64_t sum = (uint64_t)e->state + 1;
    if (e->state == JOB_WAITING && e->item.state == QUEUE_WAITING) {
        sum = sum * 31 + queue_position(e->jobs->queue, &e->item);
    }
    for (uint32_t i = 0; e->state == JOB_RUNNING && e->job != NULL && i < e->workload->stage_count;
         i++) {
        brisk_stage_progress p = brisk_job_progress(e->job, i);
        sum = (sum * 31 + (uint64_t)p.state) * 31 + p.items_done;
    }
    return sum;
}

/* --- details that are a tree -------------------------------------------------------------- */

/* A string of the tree, which is not terminated. */
static void copy_string(const brisk_json_node *node, const char *key, brisk_arena *arena,
                        brisk_json *json)
{
    const char *text = brisk_arena_copy(arena, node->text, node->size);
    brisk_json_str(json, key, text != NULL ? text : "");
}

static void copy_number(const brisk_json_node *node, const char *key, brisk_arena *arena,
                        brisk_json *json)
{
    const char *text = brisk_arena_copy(arena, node->text, node->size);
    if (text == NULL) {
        brisk_json_null(json, key);
    } else if (strpbrk(text, ".eE") != NULL || node->size > 18) {
        brisk_json_double(json, key, strtod(text, NULL));
    } else {
        brisk_json_i64(json, key, strtoll(text, NULL, 10));
    }
}

static void copy_tree(const brisk_json_node *node, const char *key, uint32_t depth,
                      brisk_arena *arena, brisk_json *json)
{
    if (depth == 0) {
        brisk_json_null(json, key); /* the writer's nesting is bounded */
        return;
    }
    switch (node->kind) {
    case BRISK_JSON_NULL: brisk_json_null(json, key); return;
    case BRISK_JSON_BOOL: brisk_json_bool(json, key, node->boolean); return;
    case BRISK_JSON_NUMBER: copy_number(node, key, arena, json); return;
    case BRISK_JSON_STRING: copy_string(node, key, arena, json); return;
    case BRISK_JSON_ARRAY: brisk_json_array_begin(json, key); break;
    case BRISK_JSON_OBJECT: brisk_json_object_begin(json, key); break;
    }
    for (const brisk_json_node *child = node->child; child != NULL; child = child->next) {
        const char *name =
            child->key != NULL ? brisk_arena_copy(arena, child->key, child->key_size) : NULL;
        if (child->key == NULL || name != NULL) {
            copy_tree(child, name, depth - 1, arena, json);
        }
    }
    if (node->kind == BRISK_JSON_ARRAY) {
        brisk_json_array_end(json);
    } else {
        brisk_json_object_end(json);
    }
}

/* What a stage attached to its failure. */
static void write_error_details(const char *text, brisk_json *json)
{
    enum { DEPTH = 24 };
    brisk_arena *arena = NULL;
    const brisk_json_node *root = NULL;
    if (brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 16384}, &arena) != BRISK_OK) {
        return;
    }
    if (brisk_json_read(text, strlen(text), brisk_arena_as_alloc(arena), &root, NULL) == BRISK_OK) {
        copy_tree(root, "details", DEPTH, arena, json);
    }
    brisk_arena_destroy(arena);
}

/* --- the final status --------------------------------------------------------------------- */

static void write_error(const job_entry *e, const brisk_job *job, brisk_json *json)
{
    brisk_json_object_begin(json, "error");
    brisk_json_str(json, "code", brisk_err_name(e->err));
    brisk_json_str(json, "message", e->error_text);
    if (job != NULL && brisk_job_error_stage(job) != NULL) {
        brisk_json_str(json, "stage", brisk_job_error_stage(job));
    }
    if (job != NULL && brisk_job_error_details(job) != NULL) {
        write_error_details(brisk_job_error_details(job), json);
    }
    brisk_json_object_end(json);
}

static void write_result(const job_entry *e, brisk_json *json)
{
    char url[64];
    (void)snprintf(url, sizeof url, "/v1/jobs/%s/result", e->id);
    brisk_json_object_begin(json, "result");
    brisk_json_str(json, "url", url);
    brisk_json_str(json, "type", e->type);
    brisk_json_u64(json, "bytes", brisk_value_size(e->value));
    brisk_json_str(json, "etag", e->etag);
    if (e->name[0] != '\0') {
        brisk_json_str(json, "name", e->name);
    }
    brisk_json_object_end(json);
}

static brisk_err write_all(const job_entry *e, job_state state, brisk_job *job, brisk_str *text)
{
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    write_common(e, state, e->ended_ns, &json);
    if (e->err != BRISK_OK) {
        write_error(e, job, &json);
    } else {
        write_result(e, &json);
    }
    if (job != NULL) {
        const char *tier = brisk_job_answered_by(job);
        brisk_json_str(&json, "answered_by", tier != NULL ? tier : "");
        write_stages(job, e->workload, &json);
        if (e->workload->form->details != NULL) {
            brisk_json_object_begin(&json, "details");
            e->workload->form->details(job, e->request, &json);
            brisk_json_object_end(&json);
        }
        brisk_json_object_begin(&json, "report");
        brisk_job_write_report_json(job, &json);
        brisk_json_object_end(&json);
    }
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

void job_write_final(job_entry *e, job_state state, brisk_job *job)
{
    brisk_str text;
    brisk_str_init(&text, e->jobs->alloc, JOBS_TEXT_MAX);
    brisk_err err = write_all(e, state, job, &text);
    if (err != BRISK_OK && job != NULL) { /* too long, or no memory for all of it */
        brisk_str_deinit(&text);
        err = write_all(e, state, NULL, &text);
    }
    size_t size = brisk_str_size(&text);
    char *copy = err == BRISK_OK ? jobs_take(e->jobs, size, 1) : NULL;
    if (copy != NULL) {
        memcpy(copy, brisk_str_text(&text), size);
        e->final = copy;
        e->final_size = size;
    }
    brisk_str_deinit(&text);
}

void job_write_status(job_entry *e, brisk_str *text)
{
    brisk_json json;
    (void)pthread_mutex_lock(&e->jobs->lock);
    bool over = job_state_is_over(e->state);
    if (!over || e->final == NULL) {
        brisk_json_init(&json, brisk_str_out(text), 0);
        brisk_json_object_begin(&json, NULL);
        job_write_live(e, &json);
        brisk_json_object_end(&json);
        brisk_err err = brisk_json_finish(&json); /* the text keeps it */
        (void)err;
    }
    (void)pthread_mutex_unlock(&e->jobs->lock);
    if (over && e->final != NULL) {
        brisk_str_append(text, e->final, e->final_size);
    }
}
