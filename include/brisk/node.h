/*
 * brisk/node.h -- questions to a running `brisk serve`, here or elsewhere, over its HTTP API: what every
 * command with --node URL is made of.
 *
 *     brisk_node_opts opts = brisk_node_opts_of(in->values + FIRST);
 *     brisk_node_open(&opts, &node, &info);
 *     brisk_node_ask(node, &(brisk_node_question){.path = "/v1/metrics"}, &response, &info);
 *     brisk_http_response_destroy(response);
 *     brisk_node_close(node);
 *
 * The token is that of a file, else $BRISK_TOKEN, else, for a node of this machine, the one that
 * `brisk serve` made for this user.  It goes to the node's origin and nowhere else: not through a
 * proxy when that is this machine, and not in the clear over a network unless that was asked for.
 *
 * What comes back is not trusted: its size is bounded, and the words of an error are given without bytes
 * that a terminal obeys.
 *
 * Threads: a node is one thread's at a time.
 */
#ifndef BRISK_NODE_H
#define BRISK_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/command.h>
#include <brisk/err.h>
#include <brisk/http_client.h>
#include <brisk/json.h>

BRISK_BEGIN_DECLS

#define BRISK_NODE_DEFAULT "http://127.0.0.1:6380"

typedef struct brisk_node brisk_node;

/* --- the options of a command -------------------------------------------------------------- */

/** Where they stand behind the first of them. */
enum {
    BRISK_NODE_URL,
    BRISK_NODE_TOKEN_FILE,
    BRISK_NODE_CA,
    BRISK_NODE_INSECURE_TOKEN,
    BRISK_NODE_OPTIONS
};

/** Rows of a command's table of options, behind the row that stands before them. */
#define BRISK_NODE_OPTION_ROWS(text)                                                               \
    {.name = "node", .type = BRISK_OPTION_TEXT, .metavar = "URL", .summary = text},                \
        {.name = "token-file",                                                                     \
         .type = BRISK_OPTION_FILE,                                                                \
         .metavar = "FILE",                                                                        \
         .summary = "the node's token is its first word, instead of $BRISK_TOKEN"},                \
        {.name = "ca",                                                                             \
         .type = BRISK_OPTION_FILE,                                                                \
         .metavar = "FILE",                                                                        \
         .summary = "authorities of https (PEM), instead of the system's"},                        \
    {                                                                                              \
        .name = "insecure-token",                                                                  \
        .summary = "send the token in the clear over http to another machine"                      \
    }

/**
 * Where the Redis protocol of a node is asked, which is the same port: "HOST:PORT" of "http://HOST:PORT"; what is
 * no URL stays as it is.  Errors, with `info`: UNSUPPORTED (https: that protocol is asked without TLS), INVALID.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_node_address(const char *url, char *ret, size_t size,
                                                       brisk_errinfo *info);

/* --- asking -------------------------------------------------------------------------------- */

typedef struct brisk_node_opts {
    const char *url; /**< "http://host:port" or "https://..."; NULL means BRISK_NODE_DEFAULT. */
    const char *token_file;   /**< NULL: see above. */
    const char *ca_file;      /**< PEM; NULL means the system's authorities. */
    bool insecure_token;      /**< The token may go in the clear to another machine. */
    const brisk_alloc *alloc; /**< Borrowed, thread-safe; NULL means libc. */
} brisk_node_opts;

/** What the user gave for the options; `values` are those from the first of them on. */
static inline brisk_node_opts brisk_node_opts_of(const brisk_option_value *values)
{
    brisk_node_opts opts = {values[BRISK_NODE_URL].text, values[BRISK_NODE_TOKEN_FILE].text,
                            values[BRISK_NODE_CA].text, values[BRISK_NODE_INSECURE_TOKEN].set,
                            NULL};
    return opts;
}

/**
 * Nothing is sent yet.  Errors, with `info`: INVALID (the URL), PERMISSION (the token would go in the
 * clear; the text says what to do), those of the token's file, NOMEM, LIMIT (no thread).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_node_open(const brisk_node_opts *opts, brisk_node **ret,
                                                    brisk_errinfo *info);
BRISK_API void brisk_node_close(brisk_node *node); /**< NULL is accepted. */
/** As it may be shown. */
BRISK_API const char *brisk_node_name(const brisk_node *node);

typedef struct brisk_node_question {
    const char *method; /**< NULL: GET. */
    const char *path;   /**< "/v1/..." */
    const void *body;
    size_t body_size;
    const char *const *headers; /**< "Name: value" */
    uint32_t header_count;
    int quiet_status;    /**< Of 400 or more, and no error; 0: none. */
    uint64_t answer_max; /**< Bytes of the answer; 0 means 64 MiB. */
    uint64_t timeout_ns; /**< 0 means 60 s. */
} brisk_node_question;

/**
 * The answer, expanded; the caller destroys it.  A status of 400 or more is an error.
 * Errors, with `info`: NOT_FOUND (404, or no such host), PERMISSION (401, 403, a certificate), BUSY
 * (429, 503), INVALID (400 and other 4xx), IO, DEADLINE, LIMIT, CORRUPT, NOMEM, UNSUPPORTED.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_node_ask(brisk_node *node,
                                                   const brisk_node_question *question,
                                                   brisk_http_response **ret, brisk_errinfo *info);

/* --- jobs ---------------------------------------------------------------------------------- */

typedef struct brisk_node_part {
    const char *name; /**< A word. */
    const void *data;
    size_t size;
} brisk_node_part;

typedef struct brisk_node_job {
    const char *workload;
    /** Writes the members of the job's request; a part is {"part": NAME}. */
    void (*request)(void *ctx, brisk_json *json);
    /** Called about once a second while it is not over, with "queued" or "running"; may be NULL. */
    void (*progress)(void *ctx, const char *status, uint64_t waited_ns);
    void *ctx;
    const brisk_node_part *parts;
    uint32_t part_count;
    uint64_t answer_max; /**< As of a question. */
} brisk_node_job;

/**
 * Submit, wait until it is over, and get the result.  Errors: as brisk_node_ask; a job that failed is
 * INVALID with its own words.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_node_run_job(brisk_node *node, const brisk_node_job *job,
                                                       brisk_http_response **ret,
                                                       brisk_errinfo *info);

BRISK_END_DECLS

#endif /* BRISK_NODE_H */
