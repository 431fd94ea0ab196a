/*
 * node_job.c -- a job at a node: submitted with its parts, waited for, and its result.
 *
 *     POST /v1/jobs (Prefer: wait=1) ──200──► the result
 *          │ 202                               ▲
 *          └──► GET /v1/jobs/ID/result ────────┘   again and again, each a second long
 *
 * Parts are multipart/form-data.  The mark between them is chosen so that no part has it: random
 * letters, and looked for.
 *
 * Sources: RFC 7578 (form-data), RFC 7240 (Prefer).
 */
#include <string.h>
#include <sys/random.h>

#include <brisk/arena.h>
#include <brisk/clock.h>
#include <brisk/json_read.h>
#include <brisk/node.h>

#include "base/str.h"

enum { MARK_BYTES = 40, ID_MAX = 64, PARTS_MAX = 1400, JOB_BYTES_MAX = 512 << 20, TRIES = 8 };

typedef struct body {
    brisk_str job; /* JSON */
    char mark[MARK_BYTES];
    char type[MARK_BYTES + 64]; /* "Content-Type: ..." */
    char *data;
    size_t size;
} body;

/* --- the body ----------------------------------------------------------------------------- */

static bool is_in(const brisk_node_job *job, const char *mark)
{
    bool found = false; /* JSON has no line that begins with two dashes */
    for (uint32_t i = 0; i < job->part_count && !found; i++) {
        found = memmem(job->parts[i].data, job->parts[i].size, mark, strlen(mark)) != NULL;
    }
    return found;
}

static bool choose_mark(const brisk_node_job *job, char mark[MARK_BYTES])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
    for (int i = 0; i < TRIES; i++) {
        unsigned char random[24];
        if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
            return false;
        }
        int size = snprintf(mark, MARK_BYTES, "brisk-");
        for (size_t k = 0; k < sizeof random; k++) {
            mark[(size_t)size + k] = letters[random[k] % 32];
        }
        mark[(size_t)size + sizeof random] = '\0';
        if (!is_in(job, mark)) {
            return true;
        }
    }
    return false;
}

static size_t put(char *to, const void *data, size_t size)
{
    if (to != NULL && size > 0) {
        memcpy(to, data, size);
    }
    return size;
}

/* One part at `to`, or only its size; the last, without a name, ends it all. */
static size_t put_part(char *to, const body *b, const brisk_node_part *part)
{
    char head[512];
    int size = part->name != NULL
                   ? snprintf(head, sizeof head,
                              "--%s\r\nContent-Disposition: form-data; name=\"%.200s\"\r\n"
                              "Content-Type: application/octet-stream\r\n\r\n",
                              b->mark, part->name)
                   : snprintf(head, sizeof head, "--%s--\r\n", b->mark);
    size_t done = put(to, head, (size_t)size);
    if (part->name != NULL) {
        done += put(to != NULL ? to + done : NULL, part->data, part->size);
        done += put(to != NULL ? to + done : NULL, "\r\n", 2);
    }
    return done;
}

static size_t put_all(char *to, const body *b, const brisk_node_job *job)
{
    const brisk_node_part first = {"job", brisk_str_text(&b->job), brisk_str_size(&b->job)};
    size_t done = put_part(to, b, &first);
    for (uint32_t i = 0; i < job->part_count; i++) {
        done += put_part(to != NULL ? to + done : NULL, b, &job->parts[i]);
    }
    return done + put_part(to != NULL ? to + done : NULL, b, &(brisk_node_part){.name = NULL});
}

static brisk_err write_job(const brisk_node_job *job, brisk_str *text)
{
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "workload", job->workload);
    brisk_json_object_begin(&json, "request");
    job->request(job->ctx, &json);
    brisk_json_object_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

static brisk_err make_body(const brisk_node_job *job, body *b, brisk_errinfo *info)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    *b = (body){.data = NULL};
    brisk_str_init(&b->job, alloc, JOB_BYTES_MAX);
    if (job->part_count > PARTS_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "a job has at most %d parts", PARTS_MAX);
    }
    brisk_err err = write_job(job, &b->job);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "the job: %s", brisk_err_message(err));
    }
    if (!choose_mark(job, b->mark)) {
        return brisk_errinfo_set(info, BRISK_ERR_IO, "no random bytes");
    }
    (void)snprintf(b->type, sizeof b->type, "Content-Type: multipart/form-data; boundary=%s",
                   b->mark);
    b->size = put_all(NULL, b, job);
    b->data = alloc->acquire(alloc->ctx, b->size, 1);
    if (b->data == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    (void)put_all(b->data, b, job);
    return BRISK_OK;
}

static void drop_body(body *b)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    if (b->data != NULL) {
        alloc->release(alloc->ctx, b->data, b->size, 1);
    }
    brisk_str_deinit(&b->job);
}

/* --- waiting ------------------------------------------------------------------------------ */

static bool copy_word(const brisk_json_node *node, char *to, size_t room)
{
    static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    if (node == NULL || node->kind != BRISK_JSON_STRING || node->size == 0 || node->size >= room) {
        return false;
    }
    memcpy(to, node->text, node->size);
    to[node->size] = '\0';
    return strspn(to, fine) == node->size;
}

/* Of an answer that says where a job is.  False: it says something else. */
static bool read_status(const brisk_http_response *response, char id[ID_MAX], char status[ID_MAX])
{
    brisk_arena *arena = NULL;
    const brisk_json_node *root = NULL;
    if (response->body_size == 0 || brisk_arena_create(NULL, &arena) != BRISK_OK) {
        return false;
    }
    bool good = brisk_json_read((const char *)response->body, response->body_size,
                                brisk_arena_as_alloc(arena), &root, NULL) == BRISK_OK &&
                copy_word(brisk_json_get(root, "id"), id, ID_MAX) &&
                copy_word(brisk_json_get(root, "status"), status, ID_MAX);
    brisk_arena_destroy(arena);
    return good;
}

static brisk_err submit(brisk_node *node, const brisk_node_job *job, brisk_http_response **ret,
                        brisk_errinfo *info)
{
    body b;
    brisk_err err = make_body(job, &b, info);
    if (err == BRISK_OK) {
        const char *headers[] = {b.type, "Prefer: wait=1"};
        err = brisk_node_ask(node,
                             &(brisk_node_question){.method = "POST",
                                                    .path = "/v1/jobs",
                                                    .body = b.data,
                                                    .body_size = b.size,
                                                    .headers = headers,
                                                    .header_count = 2,
                                                    .answer_max = job->answer_max},
                             ret, info);
    }
    drop_body(&b);
    return err;
}

brisk_err brisk_node_run_job(brisk_node *node, const brisk_node_job *job, brisk_http_response **ret,
                             brisk_errinfo *info)
{
    static const char *const headers[] = {"Prefer: wait=1"};
    uint64_t begun_ns = brisk_clock_now_ns(NULL);
    brisk_http_response *response = NULL;
    brisk_err err = submit(node, job, &response, info);
    while (err == BRISK_OK && response->status == 202) {
        char id[ID_MAX];
        char status[ID_MAX];
        char path[ID_MAX + 32];
        bool good = read_status(response, id, status);
        brisk_http_response_destroy(response);
        response = NULL;
        if (!good) {
            return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "%s: what it says of the job is none",
                                     brisk_node_name(node));
        }
        if (job->progress != NULL) {
            job->progress(job->ctx, status, brisk_clock_now_ns(NULL) - begun_ns);
        }
        (void)snprintf(path, sizeof path, "/v1/jobs/%s/result", id);
        err = brisk_node_ask(
            node,
            &(brisk_node_question){
                .path = path, .headers = headers, .header_count = 1, .answer_max = job->answer_max},
            &response, info);
    }
    if (err == BRISK_OK) {
        *ret = response;
    }
    return err;
}
