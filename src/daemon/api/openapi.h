/*
 * openapi.h -- what the API can do, as tables: the document /v1/openapi.json is written from them.
 *
 * Each file under api/ describes its operations beside the code that answers them, in one api_set, and
 * has a line in the list of openapi.c.  Schemas are JSON texts (JSON Schema 2020-12 as OpenAPI 3.1 takes
 * it); they refer to each other by "#/components/schemas/NAME".
 *
 * Added by themselves: parameters in the path need a row all the same (their schema is not known here),
 * but not the answers to errors: every operation has "default" with the schema Error, and those that
 * need a right name their security.
 *
 * Threads: static data; the document may be written by any.
 * Source: OpenAPI Specification 3.1.0.
 */
#ifndef BRISK_SRC_DAEMON_API_OPENAPI_H
#define BRISK_SRC_DAEMON_API_OPENAPI_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/err.h>
#include <brisk/json.h>

#include "daemon/http/exchange.h"
#include "daemon/http/routes.h"

typedef struct api_parameter {
    const char *name;
    const char *where;  /* "path", "query", "header" */
    const char *schema; /* JSON */
    const char *summary;
    bool required; /* those in the path are, whatever this says */
} api_parameter;

typedef struct api_response {
    uint16_t status;
    const char *summary;
    const char *type;   /* "application/json"; NULL: no body */
    const char *schema; /* JSON; NULL: any bytes */
} api_response;

typedef struct api_operation {
    const char *method;      /* "get" */
    const char *path;        /* "/v1/cache/{key}" */
    const char *id;          /* "getEntry": once in the document */
    const char *summary;     /* a line */
    const char *description; /* NULL: none */
    http_right right;
    const api_parameter *parameters;
    uint32_t parameter_count;
    const char *body_type; /* NULL: it takes none */
    const char *body_schema;
    const api_response *responses;
    uint32_t response_count;
} api_operation;

typedef struct api_schema {
    const char *name;
    const char *json;
} api_schema;

/* A file's part. */
typedef struct api_set {
    const char *tag; /* "cache" */
    const char *summary;
    const api_operation *operations;
    uint32_t operation_count;
    const api_schema *schemas;
    uint32_t schema_count;
} api_set;

#define API_ROWS(array) (array), (uint32_t)(sizeof(array) / sizeof(array)[0])
#define API_REF(name)   "{\"$ref\": \"#/components/schemas/" name "\"}"
#define API_INTEGER     "{\"type\": \"integer\", \"minimum\": 0}"
#define API_TEXT        "{\"type\": \"string\"}"
#define API_BOOLEAN     "{\"type\": \"boolean\"}"

/* Each file's own. */
extern const api_set api_cache_set;
extern const api_set api_events_set;
extern const api_set api_health_set;
extern const api_set api_jobs_set;
extern const api_set api_knobs_set;
extern const api_set api_profiles_set;
extern const api_set api_node_set;
extern const api_set api_reload_set;
extern const api_set api_reports_set;

/* All sets, NULL behind the last. */
extern const api_set *const api_sets[];

/* The document.  Errors: those of `out`. */
BRISK_NODISCARD brisk_err api_openapi_write(const api_set *const *sets, brisk_out out);

/* GET /v1/openapi.json. */
BRISK_NODISCARD brisk_err api_openapi_add_routes(http_routes *routes);

#endif /* BRISK_SRC_DAEMON_API_OPENAPI_H */
