/*
 * jobs_doc.c -- what /v1/jobs, /v1/queue and /v1/workloads take and give, for the API's document.
 */
#include "daemon/api/openapi.h"

static const api_parameter id_parameters[] = {
    {"id", "path", API_TEXT, "The job's id", true},
};
static const api_parameter list_parameters[] = {
    {"status", "query", API_TEXT, "Those with this status", false},
    {"workload", "query", API_TEXT, "Those of this workload", false},
    {"class", "query", API_TEXT, "Those of this class", false},
    {"limit", "query", API_INTEGER, "At most so many", false},
};
static const api_parameter submit_parameters[] = {
    {"idempotency-key", "header", API_TEXT, "The same key and body are the same job", false},
    {"prefer", "header", API_TEXT, "wait=SECONDS: answer with the result if it comes in time",
     false},
};

static const api_response submit_responses[] = {
    {200, "Its result", NULL, NULL},
    {202, "It was taken", "application/json", API_REF("Job")},
    {400, "It is wrong", "application/json", API_REF("Error")},
    {409, "The key was used for another body", "application/json", API_REF("Error")},
    {413, "It is too large", "application/json", API_REF("Error")},
    {415, "It is of another type", "application/json", API_REF("Error")},
    {429, "Too many wait; Retry-After says when to try again", "application/json",
     API_REF("Error")},
};
static const api_response list_responses[] = {
    {200, "Jobs, newest first", "application/json", API_REF("Jobs")},
};
static const api_response job_responses[] = {
    {200, "Its status", "application/json", API_REF("Job")},
    {404, "There is none", "application/json", API_REF("Error")},
};
static const api_response cancel_responses[] = {
    {200, "It is being cancelled", "application/json", API_REF("Job")},
    {204, "It was over, and is forgotten", NULL, NULL},
    {404, "There is none", "application/json", API_REF("Error")},
};
static const api_response result_responses[] = {
    {200, "What it gave", "application/octet-stream", NULL},
    {202, "It is not over", "application/json", API_REF("Job")},
    {404, "There is none", "application/json", API_REF("Error")},
};
static const api_response events_responses[] = {
    {200, "Its progress", "text/event-stream", NULL},
    {404, "There is none", "application/json", API_REF("Error")},
};
static const api_response trace_responses[] = {
    {200, "Its spans, as Chrome's trace format", "application/json", "{\"type\": \"object\"}"},
    {404, "There is none", "application/json", API_REF("Error")},
};
static const api_response socket_responses[] = {
    {101, "From here on it is a WebSocket", NULL, NULL},
    {400, "A WebSocket of HTTP/1.1 is expected", "application/json", API_REF("Error")},
    {426, "Another version of it is expected", NULL, NULL},
};
static const api_response object_responses[] = {
    {200, "As it is now", "application/json", "{\"type\": \"object\"}"},
};

static const api_response batch_responses[] = {
    {200, "A line for each, in the order in which they are done", "application/x-ndjson",
     "{\"type\": \"object\", \"required\": [\"index\", \"status\"]}"},
    {413, "Too many", "application/json", API_REF("Error")},
};

static const api_operation operations[] = {
    {.method = "post",
     .path = "/v1/jobs",
     .id = "submitJob",
     .summary = "Submit a job",
     .description = "application/json, or multipart/form-data with files beside it.",
     .right = HTTP_RIGHT_CHANGE,
     .parameters = API_ROWS(submit_parameters),
     .body_type = "application/json",
     .body_schema = "{\"type\": \"object\", \"required\": [\"workload\"]}",
     .responses = API_ROWS(submit_responses)},
    {.method = "get",
     .path = "/v1/jobs",
     .id = "listJobs",
     .summary = "Jobs that are known",
     .right = HTTP_RIGHT_READ,
     .parameters = API_ROWS(list_parameters),
     .responses = API_ROWS(list_responses)},
    {.method = "get",
     .path = "/v1/jobs/{id}",
     .id = "getJob",
     .summary = "How a job is",
     .right = HTTP_RIGHT_READ,
     .parameters = API_ROWS(id_parameters),
     .responses = API_ROWS(job_responses)},
    {.method = "delete",
     .path = "/v1/jobs/{id}",
     .id = "cancelJob",
     .summary = "Cancel a job, or forget one that is over",
     .right = HTTP_RIGHT_CHANGE,
     .parameters = API_ROWS(id_parameters),
     .responses = API_ROWS(cancel_responses)},
    {.method = "get",
     .path = "/v1/jobs/{id}/result",
     .id = "getJobResult",
     .summary = "What a job gave",
     .right = HTTP_RIGHT_READ,
     .parameters = API_ROWS(id_parameters),
     .responses = API_ROWS(result_responses)},
    {.method = "get",
     .path = "/v1/jobs/{id}/events",
     .id = "listenToJob",
     .summary = "A job's progress as it happens",
     .right = HTTP_RIGHT_READ,
     .parameters = API_ROWS(id_parameters),
     .responses = API_ROWS(events_responses)},
    {.method = "get",
     .path = "/v1/jobs/{id}/trace",
     .id = "getJobTrace",
     .summary = "When a job's stages ran",
     .right = HTTP_RIGHT_READ,
     .parameters = API_ROWS(id_parameters),
     .responses = API_ROWS(trace_responses)},
    {.method = "post",
     .path = "/v1/batch",
     .id = "submitBatch",
     .summary = "Submit many jobs and get their results as they come",
     .description =
         "A list of jobs, or of {\"entry\": KEY}; with Accept: application/json one array.",
     .right = HTTP_RIGHT_CHANGE,
     .body_type = "application/json",
     .body_schema = "{\"type\": \"array\", \"maxItems\": 1000, \"items\": {\"type\": \"object\"}}",
     .responses = API_ROWS(batch_responses)},
    {.method = "get",
     .path = "/v1/ws",
     .id = "openWebSocket",
     .summary = "A WebSocket: events and the progress of jobs, both ways",
     .right = HTTP_RIGHT_READ,
     .responses = API_ROWS(socket_responses)},
    {.method = "get",
     .path = "/v1/queue",
     .id = "getQueue",
     .summary = "Who waits, who runs, and whose share is what",
     .right = HTTP_RIGHT_READ,
     .responses = API_ROWS(object_responses)},
    {.method = "get",
     .path = "/v1/workloads",
     .id = "listWorkloads",
     .summary = "What jobs can be",
     .right = HTTP_RIGHT_READ,
     .responses = API_ROWS(object_responses)},
};

static const api_schema schemas[] = {
    {"Job",
     "{\"type\": \"object\", \"required\": [\"id\", \"status\"], \"properties\": {\"id\": " API_TEXT
     ", \"status\": " API_TEXT "}}"},
    {"Jobs", "{\"type\": \"object\", \"required\": [\"jobs\"], \"properties\": {\"jobs\": "
             "{\"type\": \"array\", "
             "\"items\": " API_REF("Job") "}}}"},
};

const api_set api_jobs_set = {
    .tag = "jobs",
    .summary = "Work that is done here",
    .operations = API_ROWS(operations),
    .schemas = API_ROWS(schemas),
};
