/*
 * remote.c -- questions to a node, see remote.h.
 */
#include "cli/remote.h"

#include <stdlib.h>

brisk_exit remote_ask(const brisk_invocation *in, uint32_t first,
                      const brisk_node_question *question, brisk_http_response **ret)
{
    brisk_errinfo info = {.text = ""};
    brisk_node_opts opts = brisk_node_opts_of(in->values + first);
    brisk_node *node = NULL;
    const char *usual = getenv("BRISK_NODE");
    if (opts.url == NULL && usual != NULL && usual[0] != '\0') {
        opts.url = usual;
    }
    brisk_err err = brisk_node_open(&opts, &node, &info);
    bool wrong = err == BRISK_ERR_INVALID;
    if (err == BRISK_OK) {
        err = brisk_node_ask(node, question, ret, &info);
    }
    brisk_node_close(node);
    if (err != BRISK_OK) {
        (void)fprintf(in->err, "brisk: %s\n", info.text);
    }
    return err == BRISK_OK ? BRISK_EXIT_OK : wrong ? BRISK_EXIT_USAGE : BRISK_EXIT_FAILED;
}
