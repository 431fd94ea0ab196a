/*
 * cmd_node.c -- `brisk node ...`: what a running node can be asked over HTTP, here or elsewhere.
 *
 * Answers are JSON or values and go to standard output as they came.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/alloc.h>
#include <brisk/file.h>
#include <brisk/json.h>

#include "cli/commands.h"
#include "cli/remote.h"

enum { PATH_MAX_BYTES = 6000, FILE_MAX = 512 << 20 };

static brisk_exit print(const brisk_invocation *in, brisk_http_response *response)
{
    bool good = response->body_size == 0 ||
                fwrite(response->body, 1, response->body_size, in->out) == response->body_size;
    brisk_http_response_destroy(response);
    return good ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

/* Ask, and write the answer. */
static brisk_exit show(const brisk_invocation *in, const brisk_node_question *question)
{
    brisk_http_response *response = NULL;
    brisk_exit code = remote_ask(in, 0, question, &response);
    return code == BRISK_EXIT_OK ? print(in, response) : code;
}

static brisk_exit get(const brisk_invocation *in, const char *path)
{
    return show(in, &(brisk_node_question){.path = path, .answer_max = FILE_MAX});
}

/* A name of the API's own in a path: jobs, knobs, profiles.  False after saying why. */
static bool name_path(const brisk_invocation *in, const char *head, const char *name,
                      char path[PATH_MAX_BYTES])
{
    static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t size = strlen(name);
    if (size == 0 || size > 256 || strspn(name, fine) != size || strcmp(name, "..") == 0 ||
        strcmp(name, ".") == 0) {
        (void)fprintf(in->err, "brisk: this is no name of anything there\n");
        return false;
    }
    (void)snprintf(path, PATH_MAX_BYTES, "%s%s", head, name);
    return true;
}

/* --- figures ------------------------------------------------------------------------------ */

static const brisk_option plain_options[] = {
    BRISK_NODE_OPTION_ROWS("the node ($BRISK_NODE, " BRISK_NODE_DEFAULT ")")};

static brisk_exit run_health(const brisk_invocation *in)
{
    brisk_http_response *response = NULL;
    brisk_exit code = remote_ask(
        in, 0, &(brisk_node_question){.path = "/health", .quiet_status = 503}, &response);
    if (code != BRISK_EXIT_OK) {
        return code;
    }
    bool well = response->status == 200;
    code = print(in, response);
    return well ? code : BRISK_EXIT_FAILED;
}

static brisk_exit run_metrics(const brisk_invocation *in)
{
    return get(in, "/metrics");
}

static brisk_exit run_stats(const brisk_invocation *in)
{
    return get(in, "/v1/stats");
}

#define PLAIN(variable, word, text, function)                                                      \
    const brisk_command variable = {.name = word,                                                  \
                                    .group = "Node",                                               \
                                    .synopsis = "[--node URL]",                                    \
                                    .summary = text,                                               \
                                    .options = plain_options,                                      \
                                    .option_count = BRISK_NODE_OPTIONS,                            \
                                    .run = function}

PLAIN(cmd_node_health, "health", "how it is; fails unless it is well", run_health);
PLAIN(cmd_node_metrics, "metrics", "its figures, as Prometheus reads them", run_metrics);
PLAIN(cmd_node_stats, "stats", "its last quarter of an hour, second by second", run_stats);

/* Bytes that grow; the program's memory. */
typedef struct growing {
    char *data;
    size_t size;
    size_t capacity;
} growing;

static brisk_err grow(void *ctx, const char *data, size_t size)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    growing *to = ctx;
    if (size > to->capacity - to->size) {
        size_t capacity = 2 * (to->capacity + size) + 256;
        char *wider = alloc->acquire(alloc->ctx, capacity, 1);
        if (wider == NULL) {
            return BRISK_ERR_NOMEM;
        }
        if (to->size > 0) {
            memcpy(wider, to->data, to->size);
        }
        if (to->data != NULL) {
            alloc->release(alloc->ctx, to->data, to->capacity, 1);
        }
        to->data = wider;
        to->capacity = capacity;
    }
    memcpy(to->data + to->size, data, size);
    to->size += size;
    return BRISK_OK;
}

/* A body of JSON that `write` writes; the answer is printed. */
static brisk_exit send_json(const brisk_invocation *in, const brisk_node_question *question,
                            void (*write)(const brisk_invocation *in, brisk_json *json))
{
    static const char *const headers[] = {"Content-Type: application/json"};
    const brisk_alloc *alloc = brisk_alloc_libc();
    growing body = {0};
    brisk_json json;
    brisk_node_question q = *question;
    brisk_exit done = BRISK_EXIT_FAILED;
    brisk_json_init(&json, (brisk_out){.write = grow, .ctx = &body}, 0);
    write(in, &json);
    if (brisk_json_finish(&json) == BRISK_OK) {
        q.body = body.data;
        q.body_size = body.size;
        q.headers = headers;
        q.header_count = 1;
        done = show(in, &q);
    } else {
        (void)fprintf(in->err, "brisk: out of memory\n");
    }
    if (body.data != NULL) {
        alloc->release(alloc->ctx, body.data, body.capacity, 1);
    }
    return done;
}

/* --- jobs --------------------------------------------------------------------------------- */

enum { SUBMIT_WAIT = BRISK_NODE_OPTIONS, SUBMIT_COUNT };

static const brisk_option submit_options[SUBMIT_COUNT] = {
    BRISK_NODE_OPTION_ROWS("the node ($BRISK_NODE, " BRISK_NODE_DEFAULT ")"),
    [SUBMIT_WAIT] = {.name = "wait",
                     .type = BRISK_OPTION_DURATION,
                     .metavar = "TIME",
                     .summary = "write the result if it comes within TIME"},
};

/* Prefer: wait=SECONDS, and JSON. */
static uint32_t job_headers(const brisk_invocation *in, char prefer[64], const char *headers[2])
{
    uint32_t count = 0;
    headers[count++] = "Content-Type: application/json";
    if (in->values[SUBMIT_WAIT].set) {
        uint64_t seconds = (in->values[SUBMIT_WAIT].number + 999999999) / 1000000000;
        (void)snprintf(prefer, 64, "Prefer: wait=%" PRIu64, seconds);
        headers[count++] = prefer;
    }
    return count;
}

/* As long as the node may wait, and a minute. */
static uint64_t job_timeout(const brisk_invocation *in)
{
    uint64_t wait = in->values[SUBMIT_WAIT].set ? in->values[SUBMIT_WAIT].number : 0;
    const uint64_t minute = UINT64_C(60000000000);
    return wait < UINT64_MAX - minute ? wait + minute : UINT64_MAX;
}

static brisk_exit run_submit(const brisk_invocation *in)
{
    char prefer[64];
    const char *headers[2];
    brisk_file_view view;
    brisk_errinfo info = {.text = ""};
    if (brisk_file_view_open(in->argv[0], FILE_MAX, &view, &info) != BRISK_OK) {
        (void)fprintf(in->err, "brisk: %s\n", info.text);
        return BRISK_EXIT_FAILED;
    }
    brisk_node_question q = {.method = "POST",
                             .path = "/v1/jobs",
                             .body = view.data,
                             .body_size = view.size,
                             .headers = headers,
                             .header_count = job_headers(in, prefer, headers),
                             .answer_max = FILE_MAX,
                             .timeout_ns = job_timeout(in)};
    brisk_exit done = show(in, &q);
    brisk_file_view_close(&view);
    return done;
}

static brisk_exit run_jobs(const brisk_invocation *in)
{
    char path[PATH_MAX_BYTES];
    if (in->argc == 0) {
        return get(in, "/v1/jobs");
    }
    return name_path(in, "/v1/jobs/", in->argv[0], path) ? get(in, path) : BRISK_EXIT_USAGE;
}

static brisk_exit run_result(const brisk_invocation *in)
{
    char path[PATH_MAX_BYTES];
    char prefer[64];
    const char *headers[2];
    if (!name_path(in, "/v1/jobs/", in->argv[0], path)) {
        return BRISK_EXIT_USAGE;
    }
    (void)snprintf(path + strlen(path), 16, "/result");
    uint32_t count = job_headers(in, prefer, headers);
    brisk_node_question q = {.path = path,
                             .headers = headers + 1,
                             .header_count = count - 1,
                             .answer_max = FILE_MAX,
                             .timeout_ns = job_timeout(in)};
    brisk_http_response *response = NULL;
    brisk_exit code = remote_ask(in, 0, &q, &response);
    if (code != BRISK_EXIT_OK) {
        return code;
    }
    if (response->status == 202) {
        (void)fprintf(in->err, "brisk: the job is not over\n");
        brisk_http_response_destroy(response);
        return BRISK_EXIT_FAILED;
    }
    return print(in, response);
}

static brisk_exit run_cancel(const brisk_invocation *in)
{
    char path[PATH_MAX_BYTES];
    if (!name_path(in, "/v1/jobs/", in->argv[0], path)) {
        return BRISK_EXIT_USAGE;
    }
    return show(in, &(brisk_node_question){.method = "DELETE", .path = path});
}

const brisk_command cmd_node_submit = {.name = "submit",
                                       .group = "Node",
                                       .synopsis = "FILE [--wait TIME]",
                                       .summary = "submit the job that FILE (JSON) describes",
                                       .options = submit_options,
                                       .option_count = SUBMIT_COUNT,
                                       .args_min = 1,
                                       .args_max = 1,
                                       .run = run_submit};
const brisk_command cmd_node_jobs = {.name = "jobs",
                                     .group = "Node",
                                     .synopsis = "[ID] [--node URL]",
                                     .summary = "its jobs, or how one is",
                                     .options = plain_options,
                                     .option_count = BRISK_NODE_OPTIONS,
                                     .args_max = 1,
                                     .run = run_jobs};
const brisk_command cmd_node_result = {.name = "result",
                                       .group = "Node",
                                       .synopsis = "ID [--wait TIME]",
                                       .summary = "write what a job gave",
                                       .options = submit_options,
                                       .option_count = SUBMIT_COUNT,
                                       .args_min = 1,
                                       .args_max = 1,
                                       .run = run_result};
const brisk_command cmd_node_cancel = {.name = "cancel",
                                       .group = "Node",
                                       .synopsis = "ID [--node URL]",
                                       .summary = "cancel a job, or forget one that is over",
                                       .options = plain_options,
                                       .option_count = BRISK_NODE_OPTIONS,
                                       .args_min = 1,
                                       .args_max = 1,
                                       .run = run_cancel};

/* --- knobs -------------------------------------------------------------------------------- */

static void write_value(const brisk_invocation *in, brisk_json *json)
{
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "value", in->argv[1]);
    brisk_json_object_end(json);
}

static brisk_exit run_knobs(const brisk_invocation *in)
{
    char path[PATH_MAX_BYTES];
    if (in->argc == 0) {
        return get(in, "/v1/knobs");
    }
    if (!name_path(in, "/v1/knobs/", in->argv[0], path)) {
        return BRISK_EXIT_USAGE;
    }
    return in->argc == 1 ? get(in, path)
                         : send_json(in, &(brisk_node_question){.method = "PATCH", .path = path},
                                     write_value);
}

const brisk_command cmd_node_knobs = {.name = "knobs",
                                      .group = "Node",
                                      .synopsis = "[NAME [VALUE]] [--node URL]",
                                      .summary = "its knobs, one of them, or a new value for one",
                                      .options = plain_options,
                                      .option_count = BRISK_NODE_OPTIONS,
                                      .args_max = 2,
                                      .run = run_knobs};
