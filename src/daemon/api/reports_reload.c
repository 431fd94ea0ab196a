/*
 * reports_reload.c -- /v1/reload: settings read again, and what came of it told to whoever asked.
 *
 * What SIGHUP does (reload.h), in the background's thread.  Where settings have changed that need another process, the
 * one who asks may want that at once ("replace"): the supervisor starts it beside this one, which stays if the new one
 * does not get ready.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <brisk/arena.h>
#include <brisk/json.h>
#include <brisk/json_read.h>

#include "daemon/api/api.h"
#include "daemon/api/audit.h"
#include "daemon/api/openapi.h"
#include "daemon/api/reports.h"
#include "daemon/engine.h"
#include "daemon/reload.h"

enum { WORDS_MAX = 8192 };

/* {} or {"replace": true}, or nothing. */
static brisk_err read_wish(const report_query *q, bool *replace, brisk_errinfo *info)
{
    static const char *const allowed[] = {"replace", NULL};
    *replace = false;
    if (q->body_size == 0) {
        return BRISK_OK;
    }
    brisk_arena *arena = NULL;
    brisk_arena_opts opts = {.chunk_bytes = 4096};
    brisk_err err = brisk_arena_create(&opts, &arena);
    const brisk_json_node *root = NULL;
    if (err == BRISK_OK) {
        err = brisk_json_read(q->body, q->body_size, brisk_arena_as_alloc(arena), &root, info);
    }
    if (err == BRISK_OK) {
        err = brisk_json_check_members(root, allowed, info);
    }
    if (err == BRISK_OK) {
        err = brisk_json_member_bool(root, "replace", replace, info);
    }
    brisk_arena_destroy(arena);
    return err;
}

/* Each line without "brisk: ". */
static void put_words(brisk_json *json, char *words)
{
    static const char head[] = "brisk: ";
    char *next = words;
    brisk_json_array_begin(json, "words");
    for (char *line = strsep(&next, "\n"); line != NULL; line = strsep(&next, "\n")) {
        if (line[0] != '\0') {
            bool usual = strncmp(line, head, sizeof head - 1) == 0;
            brisk_json_str(json, NULL, usual ? line + sizeof head - 1 : line);
        }
    }
    brisk_json_array_end(json);
}

static void begin_document(brisk_json *json, const server *s, brisk_str *text)
{
    brisk_json_init(json, brisk_str_out(text), 0);
    brisk_json_object_begin(json, NULL);
    brisk_json_u64(json, "schema", 1);
    brisk_json_u64(json, "pid", (uint64_t)getpid());
    brisk_json_bool(json, "replaceable", s->on_replace != NULL);
}

static brisk_err read_again(const report_query *q, brisk_str *text, brisk_errinfo *info)
{
    static const char *const names[] = {
        [RELOAD_DONE] = "done", [RELOAD_REFUSED] = "refused", [RELOAD_PARTLY] = "partly"};
    server *s = q->server;
    bool replace;
    brisk_err err = read_wish(q, &replace, info);
    brisk_engine *engine = err == BRISK_OK ? server_engine(s) : NULL;
    char words[WORDS_MAX] = "";
    FILE *to = engine != NULL ? fmemopen(words, sizeof words - 1, "w") : NULL;
    if (to == NULL) {
        return err != BRISK_OK ? err : BRISK_ERR_NOMEM;
    }
    reload_result result = reload_node(s, engine, to);
    (void)fclose(to);
    bool replacing = replace && result == RELOAD_PARTLY && s->on_replace != NULL;
    audit_note(s->api->audit, q,
               &(audit_entry){.action = "reload",
                              .name = replacing ? "replace" : "settings",
                              .outcome = result == RELOAD_REFUSED ? words : "ok"});
    brisk_json json;
    begin_document(&json, s, text);
    brisk_json_str(&json, "outcome", names[result]);
    brisk_json_bool(&json, "replacing", replacing);
    put_words(&json, words);
    brisk_json_object_end(&json);
    err = brisk_json_finish(&json);
    if (replacing && err == BRISK_OK) {
        s->on_replace(s->on_stop_ctx);
    }
    return err;
}

brisk_err report_reload(const report_query *q, brisk_str *text, report_result *ret)
{
    if (q->method == HTTP_POST) {
        return read_again(q, text, &ret->info);
    }
    brisk_json json;
    begin_document(&json, q->server, text);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

/* --- what it is --------------------------------------------------------------------------- */

static const api_response state_responses[] = {
    {200, "The process that serves", "application/json", API_REF("Reloadable")},
};
static const api_response reload_responses[] = {
    {200, "What came of it, also when nothing did", "application/json", API_REF("Reload")},
};

static const api_operation operations[] = {
    {.method = "get",
     .path = "/v1/reload",
     .right = HTTP_RIGHT_READ,
     .id = "getReload",
     .summary = "Which process serves, and whether another can take its place",
     .responses = API_ROWS(state_responses)},
    {.method = "post",
     .path = "/v1/reload",
     .right = HTTP_RIGHT_CHANGE,
     .id = "reload",
     .summary = "Read settings, tokens and certificate again",
     .description =
         "What is wrong is said and changes nothing.  Settings that need another process are "
         "named; with replace such a process is started and takes over when it is ready.",
     .body_type = "application/json",
     .body_schema = API_REF("ReloadWish"),
     .responses = API_ROWS(reload_responses)},
};

static const api_schema schemas[] = {
    {"Reloadable", "{\"type\": \"object\", \"required\": [\"schema\", \"pid\", \"replaceable\"], "
                   "\"properties\": {\"schema\": {\"const\": 1}, \"pid\": " API_INTEGER
                   ", \"replaceable\": " API_BOOLEAN "}}"},
    {"ReloadWish", "{\"type\": \"object\", \"properties\": {\"replace\": " API_BOOLEAN
                   "}, \"additionalProperties\": false}"},
    {"Reload",
     "{\"type\": \"object\", \"required\": [\"schema\", \"pid\", \"replaceable\", \"outcome\", "
     "\"replacing\", \"words\"], \"properties\": {\"schema\": {\"const\": 1}, \"pid\": " API_INTEGER
     ", \"replaceable\": " API_BOOLEAN
     ", \"outcome\": {\"enum\": [\"done\", \"partly\", \"refused\"]}, \"replacing\": " API_BOOLEAN
     ", \"words\": {\"type\": \"array\", \"items\": " API_TEXT "}}}"},
};

const api_set api_reload_set = {
    .tag = "reload",
    .summary = "Settings read again",
    .operations = API_ROWS(operations),
    .schemas = API_ROWS(schemas),
};
