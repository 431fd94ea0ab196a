/*
 * knobs.c -- /v1/knobs: what is set, from where, in which range; and a change of one, which is audited.
 *
 * A change that a running node follows acts at once ("effect": "now"); of the others the registry has the new value
 * and the node takes it up when it starts again ("restart"): what it is started with says more then.  Those of
 * `followed` are CONFIG's parameters, which know how to act.
 *
 * Secrets are no values of knobs but of files they name; a password inside a URL is not shown.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <brisk/engine.h>
#include <brisk/json.h>
#include <brisk/json_read.h>

#include "daemon/api/answer.h"
#include "daemon/api/api.h"
#include "daemon/api/audit.h"
#include "daemon/api/openapi.h"
#include "daemon/api/reports.h"
#include "daemon/config.h"
#include "daemon/engine.h"
#include "daemon/server.h"

enum { NUMBER_MAX = 24 };

/* --- what a running node follows ------------------------------------------------------------ */

typedef struct follow {
    const char *knob;
    const char *entry; /* of CONFIG */
    uint64_t divisor;  /* from the knob's unit to the entry's */
} follow;

static const follow followed[] = {
    {"serve.memory", "maxmemory", 1},
    {"serve.idle_timeout", "timeout", UINT64_C(1000000000)},
    {"serve.clients_max", "maxclients", 1},
    {"serve.bulk_max", "proto-max-bulk-len", 1},
    {"serve.input_max", "client-query-buffer-limit", 1},
    {"serve.output_high", "serve.output_high", 1},
    {"serve.spin_us", "serve.spin_us", 1},
    {"serve.target_hit_rate", "serve.target_hit_rate", 1},
    {"serve.size_mode", "serve.size_mode", 0}, /* a word */
};

static const follow *follow_of(const char *knob)
{
    for (size_t i = 0; i < sizeof followed / sizeof followed[0]; i++) {
        if (strcmp(followed[i].knob, knob) == 0) {
            return &followed[i];
        }
    }
    return NULL;
}

static const config_entry *entry_of(const char *name)
{
    for (uint32_t i = 0; i < config_entry_count; i++) {
        if (strcmp(config_entries[i].name, name) == 0) {
            return &config_entries[i];
        }
    }
    return NULL;
}

static bool is_degraded_knob(const char *name)
{
    return strcmp(name, "serve.degraded_is_ok") == 0;
}

static bool acts_now(const brisk_knob *knob)
{
    /* Not by knob->changed: a module that is loaded late is told by a callback, too. */
    return follow_of(knob->name) != NULL || is_degraded_knob(knob->name) ||
           strcmp(knob->name, "log.level") == 0;
}

/* False: it cannot be, and `error` says why. */
static bool act(server *s, const brisk_knobs *knobs, const brisk_knob *knob,
                char error[CONFIG_ERROR_MAX])
{
    const follow *f = follow_of(knob->name);
    if (is_degraded_knob(knob->name)) {
        atomic_store_explicit(&s->api->degraded_is_ok, brisk_knobs_u64(knobs, knob->name) != 0,
                              memory_order_relaxed);
    }
    const config_entry *entry = f != NULL ? entry_of(f->entry) : NULL;
    if (entry == NULL || entry->apply == NULL) {
        return true;
    }
    char value[CONFIG_VALUE_MAX];
    if (f->divisor == 0) {
        brisk_knobs_text(knobs, knob->name, value, sizeof value);
    } else {
        (void)snprintf(value, sizeof value, "%" PRIu64,
                       brisk_knobs_u64(knobs, knob->name) / f->divisor);
    }
    for (const char *const *word = entry->words; word != NULL; word++) {
        if (*word == NULL) {
            (void)snprintf(error, CONFIG_ERROR_MAX, "there is no such word");
            return false;
        }
        if (strcmp(*word, value) == 0) {
            break;
        }
    }
    server_lock(s);
    bool done = entry->apply(s, value, error);
    server_unlock(s);
    return done;
}

/* --- showing ------------------------------------------------------------------------------ */

static const char *source_name(brisk_knob_source source)
{
    static const char *const names[] = {
        [BRISK_KNOB_DEFAULT] = "default",         [BRISK_KNOB_SYSTEM_FILE] = "system file",
        [BRISK_KNOB_USER_FILE] = "user file",     [BRISK_KNOB_PROJECT_FILE] = "project file",
        [BRISK_KNOB_ENVIRONMENT] = "environment", [BRISK_KNOB_FLAG] = "flag",
    };
    return names[source];
}

static const char *type_name(brisk_knob_type type)
{
    static const char *const names[] = {
        [BRISK_KNOB_U64] = "number",        [BRISK_KNOB_BYTES] = "bytes",
        [BRISK_KNOB_DURATION] = "duration", [BRISK_KNOB_BOOL] = "switch",
        [BRISK_KNOB_TEXT] = "text",         [BRISK_KNOB_YAML] = "yaml",
    };
    return names[type];
}

static const char *unit_name(brisk_knob_type type)
{
    return type == BRISK_KNOB_BYTES ? "bytes" : type == BRISK_KNOB_DURATION ? "ns" : "";
}

static bool is_text(const brisk_knob *knob)
{
    return knob->type == BRISK_KNOB_TEXT || knob->type == BRISK_KNOB_YAML;
}

/* As a text that can be given back; the caller releases size + 1 bytes. */
static char *value_of(const brisk_knobs *knobs, const brisk_knob *knob)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    char *text = NULL;
    if (is_text(knob)) {
        if (brisk_knobs_text_copy(knobs, knob->name, NULL, &text) != BRISK_OK) {
            return NULL;
        }
        api_hide_passwords(text);
        return text;
    }
    char number[NUMBER_MAX];
    uint64_t value = brisk_knobs_u64(knobs, knob->name);
    const char *unit = knob->type == BRISK_KNOB_DURATION ? "ns" : "";
    if (knob->type == BRISK_KNOB_BOOL) {
        (void)snprintf(number, sizeof number, "%s", value != 0 ? "on" : "off");
    } else {
        (void)snprintf(number, sizeof number, "%" PRIu64 "%s", value, unit);
    }
    text = alloc->acquire(alloc->ctx, strlen(number) + 1, 1);
    if (text != NULL) {
        memcpy(text, number, strlen(number) + 1);
    }
    return text;
}

static void release_text(char *text)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    if (text != NULL) {
        alloc->release(alloc->ctx, text, strlen(text) + 1, 1);
    }
}

static void put_members(brisk_json *json, const brisk_knobs *knobs, const brisk_knob *knob)
{
    char *text = value_of(knobs, knob);
    brisk_json_str(json, "name", knob->name);
    brisk_json_str(json, "summary", knob->summary);
    brisk_json_str(json, "type", type_name(knob->type));
    brisk_json_str(json, "unit", unit_name(knob->type));
    brisk_json_str(json, "value", text);
    if (is_text(knob)) {
        brisk_json_null(json, "number");
        brisk_json_null(json, "min");
        brisk_json_null(json, "max");
    } else {
        brisk_json_u64(json, "number", brisk_knobs_u64(knobs, knob->name));
        brisk_json_u64(json, "min", knob->min);
        if (knob->max != 0 && knob->max != UINT64_MAX) {
            brisk_json_u64(json, "max", knob->max);
        } else {
            brisk_json_null(json, "max");
        }
    }
    brisk_json_str(json, "source", source_name(brisk_knobs_source(knobs, knob->name)));
    brisk_json_str(json, "effect", acts_now(knob) ? "now" : "restart");
    release_text(text);
}

static brisk_err write_one(const brisk_knobs *knobs, const brisk_knob *knob, brisk_str *text)
{
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    put_members(&json, knobs, knob);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

static brisk_err write_all(const brisk_knobs *knobs, brisk_str *text)
{
    brisk_json json;
    const brisk_knob *knob;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_array_begin(&json, "knobs");
    for (size_t i = 0; (knob = brisk_knobs_at(knobs, i)) != NULL; i++) {
        brisk_json_object_begin(&json, NULL);
        put_members(&json, knobs, knob);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

/* --- changing ----------------------------------------------------------------------------- */

/* {"value": ...} as a terminated text in `arena`; NULL: it is not that (info says why). */
static const char *read_value(const report_query *q, brisk_arena *arena, brisk_errinfo *info)
{
    static const char *const allowed[] = {"value", NULL};
    const brisk_json_node *root;
    if (brisk_json_read(q->body, q->body_size, brisk_arena_as_alloc(arena), &root, info) !=
            BRISK_OK ||
        brisk_json_check_members(root, allowed, info) != BRISK_OK) {
        return NULL;
    }
    const brisk_json_node *value = brisk_json_get(root, "value");
    bool text = value != NULL && value->kind == BRISK_JSON_STRING;
    bool other =
        value != NULL && (value->kind == BRISK_JSON_NUMBER || value->kind == BRISK_JSON_BOOL);
    if ((!text && !other) || (text && memchr(value->text, '\0', value->size) != NULL)) {
        (void)brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                "value is a text, a number, true or false");
        return NULL;
    }
    const char *copy = text ? brisk_arena_copy(arena, value->text, value->size)
                            : brisk_arena_copy(arena, value->raw, value->raw_size);
    if (copy == NULL) {
        (void)brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    return copy;
}

/* Set, act, and take back what could not be done. */
static brisk_err set_and_act(const report_query *q, brisk_knobs *knobs, const brisk_knob *knob,
                             const char *value, brisk_errinfo *info)
{
    char error[CONFIG_ERROR_MAX] = "";
    char *before = NULL;
    brisk_err err = BRISK_OK;
    if (is_text(knob)) {
        err = brisk_knobs_text_copy(knobs, knob->name, NULL, &before);
    } else {
        before = value_of(knobs, knob);
    }
    if (err != BRISK_OK || before == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    err = brisk_knobs_set(knobs, knob->name, value, BRISK_KNOB_FLAG, info);
    if (err == BRISK_OK && !act(q->server, knobs, knob, error)) {
        brisk_errinfo ignored;
        (void)!brisk_knobs_set(knobs, knob->name, before, BRISK_KNOB_FLAG, &ignored);
        err = brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: %s", knob->name, error);
    }
    release_text(before);
    return err;
}

static brisk_err change(const report_query *q, brisk_knobs *knobs, const brisk_knob *knob,
                        report_result *ret)
{
    brisk_arena *arena = NULL;
    brisk_arena_opts opts = {.chunk_bytes = 65536};
    brisk_err err = brisk_arena_create(&opts, &arena);
    const char *value = err == BRISK_OK ? read_value(q, arena, &ret->info) : NULL;
    if (value == NULL) {
        brisk_arena_destroy(arena);
        return ret->info.code != BRISK_OK ? ret->info.code : BRISK_ERR_NOMEM;
    }
    char *before = value_of(knobs, knob);
    err = set_and_act(q, knobs, knob, value, &ret->info);
    char *after = value_of(knobs, knob);
    audit_note(q->server->api->audit, q,
               &(audit_entry){.action = "knob",
                              .name = knob->name,
                              .before = before,
                              .after = err == BRISK_OK ? after : NULL,
                              .outcome = err == BRISK_OK ? "ok" : ret->info.text});
    release_text(before);
    release_text(after);
    brisk_arena_destroy(arena);
    return err == BRISK_ERR_LIMIT ? BRISK_ERR_INVALID : err;
}

brisk_err report_knobs(const report_query *q, brisk_str *text, report_result *ret)
{
    brisk_engine *engine = server_engine(q->server);
    if (engine == NULL) {
        return BRISK_ERR_NOMEM;
    }
    brisk_knobs *knobs = brisk_engine_knobs(engine);
    bool changes = q->method == HTTP_PATCH;
    if (q->rest[0] == '\0') {
        return changes ? brisk_errinfo_set(&ret->info, BRISK_ERR_INVALID,
                                           "a knob's name stands behind /v1/knobs/")
                       : write_all(knobs, text);
    }
    const brisk_knob *knob = brisk_knobs_find(knobs, q->rest);
    if (knob == NULL) {
        return brisk_errinfo_set(&ret->info, BRISK_ERR_NOT_FOUND, "there is no such knob");
    }
    brisk_err err = changes ? change(q, knobs, knob, ret) : BRISK_OK;
    return err == BRISK_OK ? write_one(knobs, knob, text) : err;
}

/* --- what it is --------------------------------------------------------------------------- */

static const api_parameter name_parameters[] = {
    {"name", "path", API_TEXT, "The knob's name", true},
};
static const api_response list_responses[] = {
    {200, "All knobs", "application/json", API_REF("Knobs")},
};
static const api_response one_responses[] = {
    {200, "The knob", "application/json", API_REF("Knob")},
    {404, "There is none", "application/json", API_REF("Error")},
};
static const api_response change_responses[] = {
    {200, "The knob as it is now", "application/json", API_REF("Knob")},
    {400, "The value is not one, or outside the range", "application/json", API_REF("Error")},
    {404, "There is none", "application/json", API_REF("Error")},
};
static const api_response audit_responses[] = {
    {200, "Changes, newest first", "application/json", API_REF("Audit")},
};

static const api_operation operations[] = {
    {.method = "get",
     .path = "/v1/knobs",
     .id = "listKnobs",
     .summary = "What is set, from where, in which range",
     .right = HTTP_RIGHT_READ,
     .responses = API_ROWS(list_responses)},
    {.method = "get",
     .path = "/v1/knobs/{name}",
     .id = "getKnob",
     .summary = "One knob",
     .right = HTTP_RIGHT_READ,
     .parameters = API_ROWS(name_parameters),
     .responses = API_ROWS(one_responses)},
    {.method = "patch",
     .path = "/v1/knobs/{name}",
     .id = "setKnob",
     .summary = "Change a knob",
     .description =
         "It is written to the audit log.  With effect restart the node takes it up when it "
         "starts again.",
     .right = HTTP_RIGHT_CHANGE,
     .parameters = API_ROWS(name_parameters),
     .body_type = "application/json",
     .body_schema = API_REF("KnobChange"),
     .responses = API_ROWS(change_responses)},
    {.method = "get",
     .path = "/v1/audit",
     .id = "listAudit",
     .summary = "Who changed what",
     .right = HTTP_RIGHT_READ,
     .responses = API_ROWS(audit_responses)},
};

static const api_schema schemas[] = {
    {"Knob", "{\"type\": \"object\", \"required\": [\"name\", \"summary\", \"type\", \"unit\", "
             "\"value\", \"number\", \"min\", "
             "\"max\", \"source\", \"effect\"], \"properties\": {\"schema\": {\"const\": 1}, "
             "\"name\": " API_TEXT ", \"summary\": " API_TEXT
             ", \"type\": {\"enum\": [\"number\", \"bytes\", \"duration\", \"switch\", \"text\", "
             "\"yaml\"]}, \"unit\": {\"enum\": "
             "[\"\", \"bytes\", \"ns\"]}, \"value\": {\"type\": [\"string\", \"null\"]}, "
             "\"number\": {\"type\": [\"integer\", "
             "\"null\"]}, \"min\": {\"type\": [\"integer\", \"null\"]}, \"max\": {\"type\": "
             "[\"integer\", \"null\"]}, "
             "\"source\": " API_TEXT ", \"effect\": {\"enum\": [\"now\", \"restart\"]}}}"},
    {"Knobs", "{\"type\": \"object\", \"required\": [\"schema\", \"knobs\"], \"properties\": "
              "{\"schema\": {\"const\": 1}, "
              "\"knobs\": {\"type\": \"array\", \"items\": " API_REF("Knob") "}}}"},
    {"KnobChange", "{\"type\": \"object\", \"required\": [\"value\"], \"properties\": {\"value\": "
                   "{\"type\": [\"string\", "
                   "\"number\", \"boolean\"]}}, \"additionalProperties\": false}"},
    {"Audit",
     "{\"type\": \"object\", \"required\": [\"schema\", \"kept\", \"entries\"], \"properties\": "
     "{\"schema\": {\"const\": 1}, "
     "\"kept\": {\"type\": \"boolean\", \"description\": \"in a file, too\"}, \"entries\": "
     "{\"type\": \"array\", "
     "\"items\": {\"type\": \"object\", \"required\": [\"time_s\", \"who\", \"from\", \"action\", "
     "\"name\", \"old\", "
     "\"new\", \"outcome\"], \"properties\": {\"time_s\": {\"type\": \"number\"}, "
     "\"who\": " API_TEXT ", \"from\": " API_TEXT ", \"action\": " API_TEXT ", \"name\": " API_TEXT
     ", \"old\": {\"type\": [\"string\", \"null\"]}, \"new\": {\"type\": "
     "[\"string\", \"null\"]}, \"outcome\": " API_TEXT "}}}}}"},
};

const api_set api_knobs_set = {
    .tag = "knobs",
    .summary = "Configuration, and who changed it",
    .operations = API_ROWS(operations),
    .schemas = API_ROWS(schemas),
};
