/*
 * cmd_reload.c -- `brisk node reload`: settings of a running node read again, and what came of it.
 *
 * With --replace it waits until another process answers, which is how one knows that its settings are good: the old
 * one stays otherwise.
 */
#include <string.h>
#include <time.h>

#include <brisk/arena.h>
#include <brisk/json_read.h>
#include <brisk/node.h>

#include "cli/commands.h"
#include "cli/remote.h"

enum { RELOAD_REPLACE = BRISK_NODE_OPTIONS, RELOAD_COUNT, LOOKS = 300, LOOK_NS = 100000000 };

static const brisk_option reload_options[RELOAD_COUNT] = {
    BRISK_NODE_OPTION_ROWS("the node ($BRISK_NODE, " BRISK_NODE_DEFAULT ")"),
    [RELOAD_REPLACE] = {.name = "replace",
                        .summary = "put another process in place for settings that need one; its "
                                   "memory is cold"},
};

/* What a node says of its reload. */
typedef struct outcome {
    bool refused;
    bool partly;
    bool replaceable;
    bool replacing;
    uint64_t pid;
} outcome;

static void say_words(const brisk_invocation *in, const brisk_json_node *words)
{
    const brisk_json_node *n = words != NULL ? words->child : NULL;
    for (; n != NULL; n = n->next) {
        if (n->kind == BRISK_JSON_STRING) {
            (void)fprintf(in->err, "brisk: %.*s\n", (int)n->size, n->text);
        }
    }
}

/* Ask /v1/reload; anything but OK after saying why. */
static brisk_exit ask(const brisk_invocation *in, const brisk_node_question *question, outcome *ret)
{
    brisk_http_response *response = NULL;
    brisk_exit code = remote_ask(in, 0, question, &response);
    if (code != BRISK_EXIT_OK) {
        return code;
    }
    brisk_arena *arena = NULL;
    brisk_arena_opts opts = {.chunk_bytes = 65536};
    const brisk_json_node *root = NULL;
    bool good = brisk_arena_create(&opts, &arena) == BRISK_OK &&
                brisk_json_read((const char *)response->body, response->body_size,
                                brisk_arena_as_alloc(arena), &root, NULL) == BRISK_OK &&
                root->kind == BRISK_JSON_OBJECT;
    if (good) {
        const brisk_json_node *result = brisk_json_get(root, "outcome");
        *ret = (outcome){.refused = brisk_json_is(result, "refused"),
                         .partly = brisk_json_is(result, "partly")};
        good = brisk_json_member_bool(root, "replaceable", &ret->replaceable, NULL) == BRISK_OK &&
               brisk_json_member_bool(root, "replacing", &ret->replacing, NULL) == BRISK_OK &&
               brisk_json_member_u64(root, "pid", 1, UINT64_MAX, &ret->pid, NULL) == BRISK_OK &&
               ret->pid != 0;
        say_words(in, brisk_json_get(root, "words"));
    }
    if (!good) {
        (void)fprintf(in->err, "brisk: this is no answer of a node\n");
    }
    brisk_arena_destroy(arena);
    brisk_http_response_destroy(response);
    return good ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

/* Until another process than `old` answers. */
static brisk_exit wait_for_another(const brisk_invocation *in, uint64_t old)
{
    const struct timespec pause = {.tv_nsec = LOOK_NS};
    for (int i = 0; i < LOOKS; i++) {
        outcome now;
        (void)nanosleep(&pause, NULL);
        if (ask(in, &(brisk_node_question){.path = "/v1/reload"}, &now) != BRISK_EXIT_OK) {
            return BRISK_EXIT_FAILED;
        }
        if (now.pid != old) {
            (void)fprintf(in->err, "brisk: another process serves\n");
            return BRISK_EXIT_OK;
        }
    }
    (void)fprintf(in->err, "brisk: the new process did not get ready, and the old one serves: the "
                           "node's log says why\n");
    return BRISK_EXIT_FAILED;
}

static brisk_exit run_reload(const brisk_invocation *in)
{
    static const char *const headers[] = {"Content-Type: application/json"};
    static const char wish[] = "{\"replace\": true}";
    bool replace = in->values[RELOAD_REPLACE].set;
    brisk_node_question q = {.method = "POST",
                             .path = "/v1/reload",
                             .body = replace ? wish : "{}",
                             .body_size = replace ? sizeof wish - 1 : 2,
                             .headers = headers,
                             .header_count = 1};
    outcome done;
    brisk_exit code = ask(in, &q, &done);
    if (code != BRISK_EXIT_OK || done.refused) {
        return code != BRISK_EXIT_OK ? code : BRISK_EXIT_FAILED;
    }
    if (done.partly && replace && !done.replaceable) {
        (void)fprintf(in->err, "brisk: this node has no supervisor: start it again\n");
        return BRISK_EXIT_FAILED;
    }
    return done.replacing ? wait_for_another(in, done.pid) : BRISK_EXIT_OK;
}

const brisk_command cmd_node_reload = {.name = "reload",
                                       .group = "Node",
                                       .synopsis = "[--replace] [--node URL]",
                                       .summary = "make it read its settings again",
                                       .options = reload_options,
                                       .option_count = RELOAD_COUNT,
                                       .run = run_reload};
