/*
 * openapi.c -- the document /v1/openapi.json, written from the tables of openapi.h.
 *
 * A path has one entry in the document, whichever sets its operations come from: the first operation
 * with a path writes all of them.  The document is written anew for each request; nobody asks often.
 */
#include "daemon/api/openapi.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "daemon/api/answer.h"

enum { DOCUMENT_BYTES_MAX = 4 << 20 };

static const api_response document_responses[] = {
    {200, "The document", "application/json", "{\"type\": \"object\"}"},
};

static const api_operation document_operations[] = {
    {.method = "get",
     .path = "/v1/openapi.json",
     .id = "getOpenapi",
     .summary = "This document",
     .responses = document_responses,
     .response_count = 1},
};

static const api_schema common_schemas[] = {
    {"Error",
     "{\"type\": \"object\", \"required\": [\"error\"], \"properties\": {\"error\": {\"type\": "
     "\"object\", "
     "\"required\": [\"code\", \"message\"], \"properties\": {\"code\": {\"type\": \"string\"}, "
     "\"message\": {\"type\": \"string\"}}}}}"},
};

static const api_set document_set = {
    .tag = "document",
    .summary = "The API itself",
    .operations = document_operations,
    .operation_count = 1,
    .schemas = common_schemas,
    .schema_count = 1,
};

/* One a line, so that two who add one do not meet. */
/* clang-format off */
const api_set *const api_sets[] = {
    &document_set,
    &api_cache_set,
    &api_events_set,
    &api_health_set,
    &api_jobs_set,
    &api_knobs_set,
    &api_node_set,
    &api_reload_set,
    &api_profiles_set,
    &api_reports_set,
    NULL,
};
/* clang-format on */

/* --- the document ------------------------------------------------------------------------- */

static void put_raw(brisk_json *json, const char *key, const char *text)
{
    brisk_json_raw(json, key, text, strlen(text));
}

static void put_content(brisk_json *json, const char *type, const char *schema)
{
    brisk_json_object_begin(json, "content");
    brisk_json_object_begin(json, type);
    if (schema != NULL) {
        put_raw(json, "schema", schema);
    }
    brisk_json_object_end(json);
    brisk_json_object_end(json);
}

static void put_parameters(brisk_json *json, const api_operation *o)
{
    if (o->parameter_count == 0) {
        return;
    }
    brisk_json_array_begin(json, "parameters");
    for (uint32_t i = 0; i < o->parameter_count; i++) {
        const api_parameter *p = &o->parameters[i];
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "name", p->name);
        brisk_json_str(json, "in", p->where);
        brisk_json_bool(json, "required", p->required || strcmp(p->where, "path") == 0);
        brisk_json_str(json, "description", p->summary);
        put_raw(json, "schema", p->schema);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

static void put_responses(brisk_json *json, const api_operation *o)
{
    brisk_json_object_begin(json, "responses");
    for (uint32_t i = 0; i < o->response_count; i++) {
        const api_response *r = &o->responses[i];
        char status[8];
        (void)snprintf(status, sizeof status, "%u", r->status);
        brisk_json_object_begin(json, status);
        brisk_json_str(json, "description", r->summary);
        if (r->type != NULL) {
            put_content(json, r->type, r->schema);
        }
        brisk_json_object_end(json);
    }
    brisk_json_object_begin(json, "default");
    brisk_json_str(json, "description", "It failed, and why");
    if (strncmp(o->path, "/v1/", 4) == 0) {
        put_content(json, "application/json", API_REF("Error"));
    } else {
        put_content(json, "text/plain; charset=utf-8", API_TEXT);
    }
    brisk_json_object_end(json);
    brisk_json_object_end(json);
}

static void put_operation(brisk_json *json, const char *tag, const api_operation *o)
{
    brisk_json_object_begin(json, o->method);
    brisk_json_array_begin(json, "tags");
    brisk_json_str(json, NULL, tag);
    brisk_json_array_end(json);
    brisk_json_str(json, "operationId", o->id);
    brisk_json_str(json, "summary", o->summary);
    if (o->description != NULL) {
        brisk_json_str(json, "description", o->description);
    }
    if (o->right != HTTP_RIGHT_NONE) {
        /* Reading from this machine needs no token: an empty requirement is one that is met. */
        put_raw(json, "security",
                o->right == HTTP_RIGHT_CHANGE ? "[{\"bearer\": []}, {\"certificate\": []}]"
                                              : "[{}, {\"bearer\": []}, {\"certificate\": []}]");
    }
    put_parameters(json, o);
    if (o->body_type != NULL) {
        brisk_json_object_begin(json, "requestBody");
        brisk_json_bool(json, "required", true);
        put_content(json, o->body_type, o->body_schema);
        brisk_json_object_end(json);
    }
    put_responses(json, o);
    brisk_json_object_end(json);
}

/* Call `put` for all operations of a path; NULL: only look whether one comes before `end`. */
static bool each_of(const api_set *const *sets, const api_operation *end, const char *path,
                    brisk_json *json)
{
    for (; *sets != NULL; sets++) {
        for (uint32_t i = 0; i < (*sets)->operation_count; i++) {
            const api_operation *o = &(*sets)->operations[i];
            if (o == end) {
                return false;
            }
            if (strcmp(o->path, path) == 0) {
                if (json == NULL) {
                    return true;
                }
                put_operation(json, (*sets)->tag, o);
            }
        }
    }
    return false;
}

static void put_paths(brisk_json *json, const api_set *const *sets)
{
    brisk_json_object_begin(json, "paths");
    for (const api_set *const *set = sets; *set != NULL; set++) {
        for (uint32_t i = 0; i < (*set)->operation_count; i++) {
            const api_operation *o = &(*set)->operations[i];
            if (!each_of(sets, o, o->path, NULL)) {
                brisk_json_object_begin(json, o->path);
                (void)each_of(sets, NULL, o->path, json);
                brisk_json_object_end(json);
            }
        }
    }
    brisk_json_object_end(json);
}

static void put_components(brisk_json *json, const api_set *const *sets)
{
    brisk_json_object_begin(json, "components");
    brisk_json_object_begin(json, "securitySchemes");
    put_raw(json, "bearer", "{\"type\": \"http\", \"scheme\": \"bearer\"}");
    put_raw(json, "certificate", "{\"type\": \"mutualTLS\"}");
    brisk_json_object_end(json);
    brisk_json_object_begin(json, "schemas");
    for (; *sets != NULL; sets++) {
        for (uint32_t i = 0; i < (*sets)->schema_count; i++) {
            put_raw(json, (*sets)->schemas[i].name, (*sets)->schemas[i].json);
        }
    }
    brisk_json_object_end(json);
    brisk_json_object_end(json);
}

brisk_err api_openapi_write(const api_set *const *sets, brisk_out out)
{
    brisk_json json;
    brisk_json_init(&json, out, 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "openapi", "3.1.0");
    brisk_json_object_begin(&json, "info");
    brisk_json_str(&json, "title", "brisk node");
    brisk_json_str(&json, "version", BRISK_VERSION);
    brisk_json_str(&json, "description",
                   "Jobs, cache entries and figures of a node.  Reading from this machine needs no "
                   "token; changes always do.");
    brisk_json_object_end(&json);
    brisk_json_array_begin(&json, "tags");
    for (const api_set *const *set = sets; *set != NULL; set++) {
        brisk_json_object_begin(&json, NULL);
        brisk_json_str(&json, "name", (*set)->tag);
        brisk_json_str(&json, "description", (*set)->summary);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    put_paths(&json, sets);
    put_components(&json, sets);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

/* --- the route ---------------------------------------------------------------------------- */

static void begin(exchange *x)
{
    if (x->rest.size != 0) {
        api_fail(x, 404, "not_found", "there is nothing at this path");
        return;
    }
    brisk_str text;
    brisk_str_init(&text, NULL, DOCUMENT_BYTES_MAX);
    brisk_err err = api_openapi_write(api_sets, brisk_str_out(&text));
    api_answer_text(x, err, &text);
    brisk_str_deinit(&text);
}

static const http_route document_route = {
    .name = "api.openapi",
    .methods = HTTP_GET,
    .priority = {.urgency = 3},
    .begin = begin,
};

brisk_err api_openapi_add_routes(http_routes *routes)
{
    return http_routes_add(routes, "", "/v1/openapi.json", &document_route);
}
