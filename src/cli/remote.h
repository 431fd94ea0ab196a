/*
 * remote.h -- <brisk/node.h> for the program's own commands: one question, and words about what goes wrong.
 */
#ifndef BRISK_SRC_CLI_REMOTE_H
#define BRISK_SRC_CLI_REMOTE_H

#include <brisk/node.h>

#include "cli/cli.h"

/**
 * Ask the node of the options from `first` on; without --node that of $BRISK_NODE, else this machine's.  OK with an
 * answer that the caller destroys, or the exit code after saying what is wrong.
 */
brisk_exit remote_ask(const brisk_invocation *invocation, uint32_t first,
                      const brisk_node_question *question, brisk_http_response **ret);

#endif /* BRISK_SRC_CLI_REMOTE_H */
