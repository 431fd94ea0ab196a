/*
 * remote.h -- a question to a node over HTTP, and its answer.
 *
 * The node is a URL (https with --ca); the token is that of --token-file, $BRISK_TOKEN, or, for a node of this
 * machine, the one that `brisk serve` made for this user.  It goes to the node's origin and nowhere else.
 * What comes back is not trusted: texts are shown without bytes that a terminal obeys, values as they are.
 */
#ifndef BRISK_SRC_CLI_REMOTE_H
#define BRISK_SRC_CLI_REMOTE_H

#include <brisk/http_client.h>

#include "cli/cli.h"

#define REMOTE_DEFAULT "http://127.0.0.1:6380"

/* The first options of every command that asks a node. */
enum { REMOTE_NODE, REMOTE_TOKEN_FILE, REMOTE_CA, REMOTE_OPTIONS };

#define REMOTE_OPTION_ROWS                                                                         \
    [REMOTE_NODE] = {.name = "node",                                                               \
                     .type = BRISK_OPTION_TEXT,                                                    \
                     .metavar = "URL",                                                             \
                     .summary = "the node (http://127.0.0.1:6380)"},                               \
    [REMOTE_TOKEN_FILE] = {.name = "token-file",                                                   \
                           .type = BRISK_OPTION_FILE,                                              \
                           .metavar = "FILE",                                                      \
                           .summary = "its first word is the token, instead of $BRISK_TOKEN"},     \
    [REMOTE_CA] = {.name = "ca",                                                                   \
                   .type = BRISK_OPTION_FILE,                                                      \
                   .metavar = "FILE",                                                              \
                   .summary = "authorities of https (PEM), instead of the system's"}

typedef struct remote_question {
    const char *method; /**< NULL: GET. */
    const char *path;   /**< "/v1/..." */
    const void *body;
    size_t body_size;
    const char *const *headers;
    uint32_t header_count;
} remote_question;

/**
 * Ask; NULL after saying what went wrong, an answer of 4xx or 5xx included.  `quiet_status` (0: none) is one of those
 * that is given back instead.  The caller destroys the answer.
 */
brisk_http_response *remote_ask(const brisk_invocation *invocation, const remote_question *question,
                                int quiet_status);

#endif /* BRISK_SRC_CLI_REMOTE_H */
