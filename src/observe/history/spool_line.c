/*
 * spool_line.c -- one run as a line of JSON, and back.
 *
 *     {"v":1,"wall_ns":..,"duration_ns":..,"workload":"rom","command":"..","outcome":"ok","answered_by":"",
 *      "bytes":..,"stages":[["name","after",start,duration,wait,bytes,worker + 1,critical,"computed"],...]}
 *
 * A line is read by the strict YAML parser, of which JSON as written here is a part.  The file is the user's own,
 * but may hold anything: a line that is not exactly of this form is refused.
 *
 * Threads: functions keep nothing.
 */
#include <string.h>

#include "base/text.h"
#include "observe/history/spool.h"

enum { SPOOL_VERSION = 1, STAGE_FIELDS = 9, TEXT_BYTES_MAX = 2048 };

/* --- writing -------------------------------------------------------------------------------- */

/* Control characters are not for a line; long texts are cut. */
static void put_text(brisk_json *json, const char *key, const char *text)
{
    char plain[TEXT_BYTES_MAX];
    (void)snprintf(plain, sizeof plain, "%s", text != NULL ? text : "");
    brisk_text_make_plain(plain, strlen(plain));
    brisk_json_str(json, key, plain);
}

static void put_stage(brisk_json *json, const brisk_history_stage *stage)
{
    brisk_json_array_begin(json, NULL);
    put_text(json, NULL, stage->name);
    put_text(json, NULL, stage->after);
    brisk_json_u64(json, NULL, stage->start_ns);
    brisk_json_u64(json, NULL, stage->duration_ns);
    brisk_json_u64(json, NULL, stage->wait_ns);
    brisk_json_u64(json, NULL, stage->bytes);
    brisk_json_u64(json, NULL, stage->worker < 0 ? 0 : (uint64_t)stage->worker + 1);
    brisk_json_u64(json, NULL, stage->critical != 0 ? 1 : 0);
    put_text(json, NULL, stage->outcome);
    brisk_json_array_end(json);
}

void history_spool_write(brisk_str *text, const brisk_history_run *run,
                         const brisk_history_stage *stages, uint32_t stage_count)
{
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "v", SPOOL_VERSION);
    brisk_json_u64(&json, "wall_ns", run->wall_ns);
    brisk_json_u64(&json, "duration_ns", run->duration_ns);
    put_text(&json, "workload", run->workload);
    put_text(&json, "command", run->command);
    put_text(&json, "outcome", run->outcome);
    put_text(&json, "answered_by", run->answered_by);
    brisk_json_u64(&json, "bytes", run->bytes);
    brisk_json_array_begin(&json, "stages");
    for (uint32_t i = 0; i < stage_count; i++) {
        put_stage(&json, &stages[i]);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    (void)!brisk_json_finish(&json); /* errors stay in `text` */
}

/* --- reading -------------------------------------------------------------------------------- */

typedef struct reading {
    history_spool_line *line;
    brisk_err err;
} reading;

static void refuse(reading *r)
{
    r->err = r->err == BRISK_OK ? BRISK_ERR_INVALID : r->err;
}

static uint64_t number_of(reading *r, const brisk_yaml_node *node)
{
    uint64_t value = 0;
    if (node == NULL || brisk_yaml_u64(r->line->doc_, node, &value, NULL) != BRISK_OK) {
        refuse(r);
        return 0;
    }
    return value;
}

static const char *text_of(reading *r, const brisk_yaml_node *node)
{
    if (node == NULL || node->text == NULL || !node->quoted ||
        strlen(node->text) >= TEXT_BYTES_MAX * 4) {
        refuse(r);
        return "";
    }
    return node->text;
}

static void read_stage(reading *r, const brisk_yaml_node *node, brisk_history_stage *ret)
{
    if (node->kind != BRISK_YAML_SEQUENCE || node->count != STAGE_FIELDS) {
        refuse(r);
        return;
    }
    const brisk_yaml_node *f[STAGE_FIELDS] = {NULL};
    uint32_t i = 0;
    for (const brisk_yaml_node *at = node->child; at != NULL && i < STAGE_FIELDS; at = at->next) {
        f[i++] = at;
    }
    uint64_t worker = number_of(r, f[6]);
    *ret = (brisk_history_stage){.name = text_of(r, f[0]),
                                 .after = text_of(r, f[1]),
                                 .start_ns = number_of(r, f[2]),
                                 .duration_ns = number_of(r, f[3]),
                                 .wait_ns = number_of(r, f[4]),
                                 .bytes = number_of(r, f[5]),
                                 .worker = worker <= INT32_MAX ? (int64_t)worker - 1 : -1,
                                 .critical = number_of(r, f[7]) != 0 ? 1 : 0,
                                 .outcome = text_of(r, f[8])};
}

static void read_stages(reading *r, const brisk_yaml_node *list)
{
    history_spool_line *line = r->line;
    if (list == NULL || list->kind != BRISK_YAML_SEQUENCE ||
        list->count > BRISK_HISTORY_STAGES_MAX) {
        refuse(r);
        return;
    }
    if (list->count == 0) {
        return;
    }
    line->stages = line->alloc_->acquire(line->alloc_->ctx, list->count * sizeof *line->stages,
                                         _Alignof(brisk_history_stage));
    if (line->stages == NULL) {
        r->err = BRISK_ERR_NOMEM;
        return;
    }
    line->stage_count = list->count;
    uint32_t i = 0;
    for (const brisk_yaml_node *node = list->child; node != NULL; node = node->next) {
        line->stages[i] = (brisk_history_stage){.name = "", .after = "", .outcome = ""};
        read_stage(r, node, &line->stages[i++]);
    }
}

static void read_run(reading *r, const brisk_yaml_node *root)
{
    static const char *const keys[] = {"v",       "wall_ns", "duration_ns", "workload",
                                       "command", "outcome", "answered_by", "bytes",
                                       "stages",  NULL};
    if (root->kind != BRISK_YAML_MAPPING ||
        brisk_yaml_check_keys(r->line->doc_, root, keys, NULL) != BRISK_OK ||
        number_of(r, brisk_yaml_get(root, "v")) != SPOOL_VERSION) {
        refuse(r);
        return;
    }
    r->line->run = (brisk_history_run){
        .wall_ns = number_of(r, brisk_yaml_get(root, "wall_ns")),
        .duration_ns = number_of(r, brisk_yaml_get(root, "duration_ns")),
        .workload = text_of(r, brisk_yaml_get(root, "workload")),
        .command = text_of(r, brisk_yaml_get(root, "command")),
        .outcome = text_of(r, brisk_yaml_get(root, "outcome")),
        .answered_by = text_of(r, brisk_yaml_get(root, "answered_by")),
        .bytes = number_of(r, brisk_yaml_get(root, "bytes")),
    };
    if (r->line->run.wall_ns == 0) {
        refuse(r);
    }
    read_stages(r, brisk_yaml_get(root, "stages"));
}

brisk_err history_spool_read(const char *text, size_t size, const brisk_alloc *alloc,
                             history_spool_line *ret)
{
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    if (size > BRISK_HISTORY_LINE_BYTES) {
        return BRISK_ERR_LIMIT;
    }
    history_spool_line line = {.alloc_ = alloc};
    reading r = {.line = &line};
    r.err = brisk_yaml_parse("spool", text, size, alloc, &line.doc_, NULL);
    if (r.err == BRISK_OK) {
        read_run(&r, brisk_yaml_root(line.doc_));
    }
    if (r.err != BRISK_OK) {
        history_spool_line_deinit(&line);
        return r.err;
    }
    *ret = line;
    return BRISK_OK;
}

void history_spool_line_deinit(history_spool_line *line)
{
    if (line->stages != NULL) {
        line->alloc_->release(line->alloc_->ctx, line->stages,
                              line->stage_count * sizeof *line->stages,
                              _Alignof(brisk_history_stage));
    }
    brisk_yaml_destroy(line->doc_);
    *line = (history_spool_line){0};
}
