/*
 * fuzz_api.c -- any request to the API of a node that runs no threads: method, target, fields, body.
 *
 * Input: "METHOD TARGET\n", lines "name: value" up to an empty one, then the body.  The carrier below keeps nothing.
 * Oracle: every exchange is answered once and whole, with a status that is one; errors under /v1 are JSON with a code
 * and a message; what a PUT stored with 2xx is what a GET gives.  Reports are answered 503 here: they need the
 * background's thread.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <brisk/arena.h>
#include <brisk/json_read.h>

#include "base/assert.h"
#include "daemon/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS_MAX = 16, KEPT_MAX = 65536 };

static server *node;
static uint32_t answers;
static uint16_t status;
static size_t kept;
static unsigned char body[KEPT_MAX];

static void keep(const void *data, size_t size)
{
    size_t room = KEPT_MAX - kept;
    size = size < room ? size : room;
    if (size > 0) {
        memcpy(body + kept, data, size);
        kept += size;
    }
}

static void answer(exchange *x, const http_answer *a)
{
    answers++;
    status = a->status;
    if (a->body.kind == HTTP_BODY_BYTES && x->method != HTTP_HEAD) {
        keep(a->body.data, a->body.size);
    } else if (a->body.kind == HTTP_BODY_VALUE) {
        const unsigned char *data = brisk_value_data(a->body.value);
        BRISK_ASSERT(a->body.offset + a->body.size <= brisk_value_size(a->body.value));
        keep(data + a->body.offset, x->method != HTTP_HEAD ? a->body.size : 0);
        brisk_value_unref(a->body.value);
    }
}

static void start(exchange *x, const http_answer *a)
{
    (void)x;
    answers++;
    status = a->status;
}

static bool write_some(exchange *x, const void *data, size_t size)
{
    (void)x;
    keep(data, size);
    return true;
}

static void nothing(exchange *x)
{
    (void)x;
}

static void inform(exchange *x, uint16_t code, const http_field *fields, uint32_t count)
{
    (void)x;
    (void)code;
    (void)fields;
    (void)count;
}

static void pause_body(exchange *x, bool paused)
{
    (void)x;
    (void)paused;
}

static const http_carrier carrier = {.name = "fuzz",
                                     .answer = answer,
                                     .start = start,
                                     .write = write_some,
                                     .finish = nothing,
                                     .abort = nothing,
                                     .inform = inform,
                                     .pause = pause_body,
                                     .take_over = start};

static bool admit(exchange *x)
{
    x->right = HTTP_RIGHT_CHANGE;
    return true;
}

static void make_node(void)
{
    static sockets listening = {.backlog = 1};
    char folder[] = "/tmp/brisk-fuzz-api-XXXXXX";
    brisk_errinfo info = {.text = ""};
    server_opts opts = {.sockets = &listening,
                        .memory_bytes = 4 << 20,
                        .workers = 1,
                        .limits = {.clients_max = 10,
                                   .output_max = 1 << 20,
                                   .output_high = 1 << 20,
                                   .output_total = 1 << 20,
                                   .input_max = 1 << 20,
                                   .input_total = 4 << 20,
                                   .bulk_max = 1 << 20,
                                   .args_max = 16,
                                   .batch_max = 1}};
    BRISK_ASSERT(mkdtemp(folder) != NULL && setenv("XDG_RUNTIME_DIR", folder, 1) == 0);
    brisk_err err = sockets_open(&listening, "127.0.0.1:0", &info);
    BRISK_ASSERT(err == BRISK_OK);
    err = server_create(&opts, &node, &info);
    BRISK_ASSERT(err == BRISK_OK);
    node->http_admit = admit;
    char path[64];
    (void)snprintf(path, sizeof path, "%s/brisk/token", folder);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/brisk", folder);
    (void)rmdir(path);
    (void)rmdir(folder);
}

/* Up to `mark`, which is taken; all that is left without it. */
static http_text take(const uint8_t **data, const uint8_t *end, char mark)
{
    const uint8_t *stop = memchr(*data, mark, (size_t)(end - *data));
    stop = stop != NULL ? stop : end;
    http_text text = {(const char *)*data, (size_t)(stop - *data)};
    *data = stop < end ? stop + 1 : end;
    return text;
}

static http_text keep_text(exchange *x, http_text text)
{
    const char *copy = exchange_keep(x, text.data, text.size);
    return (http_text){copy, copy != NULL ? text.size : 0};
}

static void read_fields(exchange *x, const uint8_t **data, const uint8_t *end)
{
    http_field *fields = exchange_alloc(x, FIELDS_MAX * sizeof *fields);
    BRISK_ASSERT(fields != NULL);
    while (*data < end && x->field_count < FIELDS_MAX) {
        http_text line = take(data, end, '\n');
        if (line.size == 0) {
            break;
        }
        const char *colon = memchr(line.data, ':', line.size);
        size_t size = colon != NULL ? (size_t)(colon - line.data) : line.size;
        http_text value = {line.data + size, line.size - size};
        while (value.size > 0 && (value.data[0] == ':' || value.data[0] == ' ')) {
            value = (http_text){value.data + 1, value.size - 1};
        }
        fields[x->field_count++] =
            (http_field){keep_text(x, (http_text){line.data, size}), keep_text(x, value)};
    }
    x->fields = fields;
}

/* The answer; x is over. */
static void ask(http_text method, http_text target, const uint8_t *data, const uint8_t *end)
{
    exchange *x = exchange_open(&node->workers[0], NULL, &carrier);
    BRISK_ASSERT(x != NULL);
    answers = 0;
    status = 0;
    kept = 0;
    x->method_text = keep_text(x, method);
    x->target = keep_text(x, target);
    x->authority = (http_text){"localhost", 9};
    x->version = 11;
    read_fields(x, &data, end);
    size_t size = (size_t)(end - data);
    x->content_length = size % 3 == 0 ? HTTP_LENGTH_UNKNOWN : (int64_t)size;
    x->has_body = size > 0;
    exchange_begin(x);
    size_t half = size / 2;
    if (x->has_body) {
        exchange_take_body(x, data, half);
        exchange_take_body(x, data + half, size - half);
    }
    exchange_end_body(x);
    loop_drain(&node->workers[0].loop);
    bool api = x->path.size >= 4 && memcmp(x->path.data, "/v1/", 4) == 0;
    bool json = api && status >= 400 && status != 412 && status != 416 && status != 405 &&
                status != 501 && x->method != HTTP_HEAD;
    exchange_close(x);
    BRISK_ASSERT(answers <= 1 && (answers == 0 || (status >= 100 && status <= 599)));
    if (json && answers == 1) {
        brisk_arena *arena;
        const brisk_json_node *root = NULL;
        brisk_errinfo info;
        brisk_err err = brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 65536}, &arena);
        BRISK_ASSERT(err == BRISK_OK);
        err = brisk_json_read((const char *)body, kept, brisk_arena_as_alloc(arena), &root, &info);
        const brisk_json_node *error = brisk_json_get(root, "error");
        BRISK_ASSERT(err == BRISK_OK && brisk_json_get(error, "code") != NULL &&
                     brisk_json_get(error, "message") != NULL);
        brisk_arena_destroy(arena);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (node == NULL) {
        make_node();
    }
    const uint8_t *end = data + size;
    http_text line = take(&data, end, '\n');
    const uint8_t *word = (const uint8_t *)line.data;
    http_text method = take(&word, (const uint8_t *)line.data + line.size, ' ');
    http_text target = {(const char *)word,
                        (size_t)((const uint8_t *)line.data + line.size - word)};
    if (target.size == 0 || target.data[0] != '/') {
        return 0;
    }
    ask(method, target, data, end);
    bool stored = method.size == 3 && memcmp(method.data, "PUT", 3) == 0 && status / 100 == 2;
    if (stored) {
        while (data < end && take(&data, end, '\n').size != 0) {
        }
        ask((http_text){"GET", 3}, target, end, end);
        size_t wanted = (size_t)(end - data);
        /* It may have been over at once, or too large for the little memory. */
        BRISK_ASSERT(status == 404 || status == 503 ||
                     (status == 200 && (kept == wanted || kept == KEPT_MAX) &&
                      memcmp(body, data, kept) == 0));
    }
    return 0;
}
