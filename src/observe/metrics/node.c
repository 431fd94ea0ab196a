/*
 * node.c -- a server that a command was told of: over the Redis protocol (--server), or over HTTP (--node).
 *
 * A node tells its metrics over both; over HTTP with TLS and a token, without INFO's lines, which only make up
 * for what a Redis does not have.
 */
#include "observe/metrics/server.h"

enum { ANSWER_MAX = 16 << 20, TIMEOUT_S = 5 };

brisk_err metrics_server_open(const brisk_option_value *values, const metrics_server_options *where,
                              metrics_server *ret, bool *ret_any, brisk_errinfo *info)
{
    const brisk_option_value *server = &values[where->server];
    const brisk_option_value *password = &values[where->password_file];
    const brisk_option_value *node = &values[where->node];
    *ret_any = false;
    if (server->set && node->set) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "--server (the Redis protocol) or --node (HTTP), not both");
    }
    brisk_err err = BRISK_OK;
    if (node->set) {
        brisk_node_opts opts = brisk_node_opts_of(node);
        *ret = (metrics_server){0};
        err = brisk_node_open(&opts, &ret->node, info);
    } else if (server->set) {
        err = metrics_server_parse(server->text, ret, info);
        if (err == BRISK_OK && password->set) {
            err = metrics_server_password(ret, password->text, info);
        }
    }
    *ret_any = err == BRISK_OK && (server->set || node->set);
    return err;
}

void metrics_server_close(metrics_server *server)
{
    brisk_node_close(server->node);
    server->node = NULL;
    metrics_server_deinit(server);
}

static brisk_err ask_node(metrics_server *server, brisk_metrics *metrics, brisk_errinfo *info)
{
    brisk_http_response *response = NULL;
    brisk_err err =
        brisk_node_ask(server->node,
                       &(brisk_node_question){
                           .path = "/v1/metrics",
                           .answer_max = ANSWER_MAX,
                           .timeout_ns = (server->timeout_s != 0 ? server->timeout_s : TIMEOUT_S) *
                                         UINT64_C(1000000000)},
                       &response, info);
    if (err == BRISK_OK) {
        err = metrics_mirror_apply(&server->mirror,
                                   response->body != NULL ? (const char *)response->body : "",
                                   response->body_size, metrics, info);
        brisk_http_response_destroy(response);
    }
    metrics_server_set_up(metrics, err == BRISK_OK);
    return err;
}

brisk_err metrics_server_read(metrics_server *server, brisk_metrics *metrics, brisk_errinfo *info)
{
    return server->node != NULL ? ask_node(server, metrics, info)
                                : metrics_server_ask(server, metrics, info);
}
