/*
 * cmd_node.c -- `brisk profile --node URL`: a node profiles itself, and what it saw is shown here.
 *
 * The node samples itself and gives stacks as text (collapsed), which is a profile like any other from
 * there on: report, formats and --diff are those of a saved one.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include <brisk/arena.h>
#include <brisk/clock.h>
#include <brisk/json_read.h>
#include <brisk/node.h>
#include <brisk/text.h>

#include "observe/profile/command.h"
#include "observe/profile/import.h"

enum { SECONDS_DEFAULT = 5, PATIENCE_S = 60, LOOK_MS = 200, WHY_MAX = 200 };

static const uint64_t second_ns = UINT64_C(1000000000);

typedef struct request {
    brisk_node *node;
    uint64_t seconds;
    uint64_t id;
    brisk_errinfo *info;
} request;

/* The answer as JSON, in *arena, which the caller destroys. */
static brisk_err ask(const request *r, const brisk_node_question *question, brisk_arena **arena,
                     const brisk_json_node **ret)
{
    brisk_http_response *response = NULL;
    brisk_err err = brisk_node_ask(r->node, question, &response, r->info);
    if (err == BRISK_OK && brisk_arena_create(NULL, arena) != BRISK_OK) {
        err = brisk_errinfo_set(r->info, BRISK_ERR_NOMEM, "out of memory");
    }
    /* What is read points into the text. */
    const char *text =
        err == BRISK_OK && response->body_size > 0
            ? brisk_arena_copy(*arena, (const char *)response->body, response->body_size)
            : NULL;
    if (err == BRISK_OK &&
        (text == NULL || brisk_json_read(text, response->body_size, brisk_arena_as_alloc(*arena),
                                         ret, NULL) != BRISK_OK)) {
        err = brisk_errinfo_set(r->info, BRISK_ERR_CORRUPT, "%s: what it answers is no JSON",
                                brisk_node_name(r->node));
    }
    brisk_http_response_destroy(response);
    return err;
}

static bool read_number(const brisk_json_node *node, uint64_t *ret)
{
    uint64_t value = 0;
    if (node == NULL || node->kind != BRISK_JSON_NUMBER || node->size == 0 || node->size > 18) {
        return false;
    }
    for (size_t i = 0; i < node->size; i++) {
        if (node->text[i] < '0' || node->text[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(node->text[i] - '0');
    }
    *ret = value;
    return true;
}

static brisk_err begin(request *r, uint32_t hertz)
{
    static const char *const headers[] = {"Content-Type: application/json"};
    char body[96];
    int size = snprintf(body, sizeof body, "{\"seconds\":%" PRIu64, r->seconds);
    size += hertz != 0 ? snprintf(body + size, sizeof body - (size_t)size, ",\"hertz\":%u}", hertz)
                       : snprintf(body + size, sizeof body - (size_t)size, "}");
    brisk_arena *arena = NULL;
    const brisk_json_node *root = NULL;
    brisk_err err = ask(r,
                        &(brisk_node_question){.method = "POST",
                                               .path = "/v1/profiles",
                                               .body = body,
                                               .body_size = (size_t)size,
                                               .headers = headers,
                                               .header_count = 1},
                        &arena, &root);
    if (err == BRISK_OK && !read_number(brisk_json_get(root, "id"), &r->id)) {
        err = brisk_errinfo_set(r->info, BRISK_ERR_CORRUPT, "%s: it names no profile",
                                brisk_node_name(r->node));
    }
    brisk_arena_destroy(arena);
    return err;
}

/* Is it done?  Errors: also that it failed. */
static brisk_err look(const request *r, bool *done)
{
    brisk_arena *arena = NULL;
    const brisk_json_node *root = NULL;
    brisk_err err = ask(r, &(brisk_node_question){.path = "/v1/profiles"}, &arena, &root);
    const brisk_json_node *list = err == BRISK_OK ? brisk_json_get(root, "profiles") : NULL;
    const brisk_json_node *at = list != NULL ? list->child : NULL;
    uint64_t id = 0;
    while (at != NULL && !(read_number(brisk_json_get(at, "id"), &id) && id == r->id)) {
        at = at->next;
    }
    const brisk_json_node *state = brisk_json_get(at, "state");
    *done = brisk_json_is(state, "done");
    if (err == BRISK_OK && !*done && !brisk_json_is(state, "running")) {
        const brisk_json_node *why = brisk_json_get(at, "why");
        int size = why != NULL && why->kind == BRISK_JSON_STRING && why->size < WHY_MAX
                       ? (int)why->size
                       : 0;
        char words[BRISK_TEXT_QUOTED_MAX];
        char plain[WHY_MAX] = "";
        memcpy(plain, size > 0 ? why->text : "", (size_t)size);
        err = brisk_errinfo_set(r->info, BRISK_ERR_IO, "%s: the profile failed: %s",
                                brisk_node_name(r->node), brisk_text_quote(words, plain));
    }
    brisk_arena_destroy(arena);
    return err;
}

static brisk_err wait_for(const request *r)
{
    uint64_t end_ns = brisk_clock_now_ns(NULL) + (r->seconds + PATIENCE_S) * second_ns;
    bool done = false;
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && !done) {
        struct timespec pause = {.tv_nsec = (long)LOOK_MS * 1000000};
        while (nanosleep(&pause, &pause) != 0 && errno == EINTR) {
        }
        err = look(r, &done);
        if (err == BRISK_OK && !done && brisk_clock_now_ns(NULL) > end_ns) {
            err = brisk_errinfo_set(r->info, BRISK_ERR_DEADLINE, "%s: the profile does not end",
                                    brisk_node_name(r->node));
        }
    }
    return err;
}

static brisk_err fetch(const request *r, prof_model **ret)
{
    char path[96];
    brisk_http_response *response = NULL;
    (void)snprintf(path, sizeof path, "/v1/profiles/%" PRIu64 "?format=collapsed", r->id);
    brisk_err err =
        brisk_node_ask(r->node, &(brisk_node_question){.path = path}, &response, r->info);
    if (err == BRISK_OK && response->body_size == 0) {
        err = brisk_errinfo_set(r->info, BRISK_ERR_NOT_FOUND,
                                "%s: no sample: it had nothing to do in that time",
                                brisk_node_name(r->node));
    }
    if (err == BRISK_OK) {
        err =
            prof_import((prof_bytes){response->body, response->body_size, brisk_node_name(r->node)},
                        brisk_alloc_libc(), ret, r->info);
    }
    if (err == BRISK_OK) { /* the text does not say of what it is: of processor time */
        prof_model *model = *ret;
        model->types[0] =
            (prof_type){prof_text_of(model, "cpu"), prof_text_of(model, "nanoseconds")};
        model->meta.duration_ns = r->seconds * second_ns;
    }
    brisk_http_response_destroy(response);
    return err;
}

static brisk_err profile(request *r, const brisk_node_opts *where, uint32_t hertz, prof_model **ret)
{
    brisk_err err = brisk_node_open(where, &r->node, r->info);
    err = err == BRISK_OK ? begin(r, hertz) : err;
    err = err == BRISK_OK ? wait_for(r) : err;
    err = err == BRISK_OK ? fetch(r, ret) : err;
    brisk_node_close(r->node);
    return err;
}

/* The first option that a node cannot be asked for, or NULL. */
static const char *find_foreign(const brisk_invocation *in)
{
    static const int fine[] = {PROF_OPTION_CPU,    PROF_OPTION_DURATION,  PROF_OPTION_FREQUENCY,
                               PROF_OPTION_OUTPUT, PROF_OPTION_FORMAT,    PROF_OPTION_DIFF,
                               PROF_OPTION_VALUE,  PROF_OPTION_THRESHOLD, PROF_OPTION_KEEP,
                               PROF_OPTION_JSON};
    for (int i = 0; i < PROF_OPTION_NODE; i++) {
        bool known = false;
        for (size_t k = 0; k < sizeof fine / sizeof fine[0]; k++) {
            known = known || fine[k] == i;
        }
        if (!known && in->values[i].set) {
            return in->command->options[i].name;
        }
    }
    return NULL;
}

brisk_exit prof_run_node(const brisk_invocation *in)
{
    const brisk_option_value *v = in->values;
    brisk_errinfo info = {.text = ""};
    request r = {.seconds = SECONDS_DEFAULT, .info = &info};
    const char *foreign = find_foreign(in);
    if (foreign != NULL || in->argc > 0) {
        (void)fprintf(in->err, "brisk: profile: %s%s and --node do not go together\n",
                      foreign != NULL ? "--" : "", foreign != NULL ? foreign : in->argv[0]);
        return BRISK_EXIT_USAGE;
    }
    if (v[PROF_OPTION_FREQUENCY].set && v[PROF_OPTION_FREQUENCY].number == 0) {
        (void)fprintf(in->err, "brisk: profile: --frequency is from 1 on\n");
        return BRISK_EXIT_USAGE;
    }
    if (v[PROF_OPTION_DURATION].set) {
        r.seconds = (v[PROF_OPTION_DURATION].number + second_ns - 1) / second_ns;
    }
    prof_model *base = NULL;
    prof_model *model = NULL;
    brisk_exit code =
        v[PROF_OPTION_DIFF].set ? prof_open(in, v[PROF_OPTION_DIFF].text, &base) : BRISK_EXIT_OK;
    if (code == BRISK_EXIT_OK) {
        brisk_node_opts where = brisk_node_opts_of(&v[PROF_OPTION_NODE]);
        uint64_t hertz = v[PROF_OPTION_FREQUENCY].set ? v[PROF_OPTION_FREQUENCY].number : 0;
        brisk_err err =
            profile(&r, &where, hertz < UINT32_MAX ? (uint32_t)hertz : UINT32_MAX, &model);
        code = err == BRISK_OK ? prof_deliver(in, model, base, NULL) : prof_fail(in, err, &info);
        code = err == BRISK_ERR_INVALID && r.id == 0 ? BRISK_EXIT_USAGE : code;
    }
    prof_model_destroy(model);
    prof_model_destroy(base);
    return code;
}
