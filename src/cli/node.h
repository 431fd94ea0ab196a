/*
 * node.h -- one question to a running `brisk serve`, and its answer.
 *
 * A connection is made, closed and waited for NODE_PATIENCE_S at most in each step.  What comes back
 * is not trusted: its size is bounded, and texts are shown without bytes that a terminal obeys.
 */
#ifndef BRISK_SRC_CLI_NODE_H
#define BRISK_SRC_CLI_NODE_H

#include "cli/cli.h"

#define NODE_DEFAULT "127.0.0.1:6380"

enum { NODE_WORDS_MAX = 16, NODE_REPLY_MAX = 1 << 20, NODE_PATIENCE_S = 10 };

typedef struct cli_node {
    const char *address;       /**< HOST:PORT, http://HOST:PORT, or the path of a unix socket. */
    const char *password_file; /**< Its first line is the password; NULL: none. */
} cli_node;

/**
 * The answer as text (only printable ASCII and line feeds), in the run's arena; NULL after saying
 * what went wrong.
 */
const char *node_ask(const brisk_invocation *invocation, const cli_node *node,
                     const char *const *words, uint32_t count);

/** One reply that comes on `fd`, likewise; `address` is for the words. */
const char *node_answer(const brisk_invocation *invocation, const char *address, int fd);

#endif /* BRISK_SRC_CLI_NODE_H */
