/*
 * node.c -- questions to a node, see <brisk/node.h>: where it is, which token goes there, what it says.
 *
 * The URL is an origin and perhaps a path before the API's.  It has no user and password: what stands
 * before an '@' looks like a host to people.
 *
 * Invariant: no text that is given back holds the token, or a byte that a terminal obeys.
 */
#include <brisk/node.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/arena.h>
#include <brisk/file.h>
#include <brisk/json_read.h>

#include "base/text.h"

enum {
    TOKEN_MAX = 256,
    FILE_MAX = 65536,
    PATH_BYTES = 4096,
    URL_BYTES = 2048,
    QUESTION_BYTES = 8192,
    NAME_BYTES = 128,
    WORDS_BYTES = 320, /* of an error that the node tells */
};

static const uint64_t second_ns = UINT64_C(1000000000);
static const uint64_t answer_max = UINT64_C(64) << 20;

struct brisk_node {
    const brisk_alloc *alloc;
    brisk_http_client *client;
    char url[URL_BYTES]; /* without a slash at its end */
    char name[NAME_BYTES];
};

/* --- the token ---------------------------------------------------------------------------- */

typedef struct secret {
    char text[TOKEN_MAX + 16]; /* "Bearer ...", or "" */
} secret;

static bool is_visible(char c)
{
    return c > ' ' && c <= '~';
}

/* The first word that is no comment's; false: there is none. */
static bool take_word(const char *data, size_t size, secret *ret)
{
    size_t at = 0;
    while (at < size && !is_visible(data[at])) {
        at++;
    }
    if (at < size && data[at] == '#') {
        const char *line = memchr(data + at, '\n', size - at);
        return line != NULL && take_word(line, size - (size_t)(line - data), ret);
    }
    size_t end = at;
    while (end < size && is_visible(data[end])) {
        end++;
    }
    if (end == at || end - at > TOKEN_MAX) {
        return false;
    }
    (void)snprintf(ret->text, sizeof ret->text, "Bearer %.*s", (int)(end - at), data + at);
    return true;
}

static brisk_err read_token(const char *path, secret *ret, brisk_errinfo *info)
{
    brisk_file_view view;
    brisk_err err = brisk_file_view_open(path, FILE_MAX, &view, info);
    if (err != BRISK_OK) {
        return err;
    }
    bool good = take_word((const char *)view.data, view.size, ret);
    brisk_file_view_close(&view);
    return good ? BRISK_OK
                : brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: there is no token", path);
}

/* As `brisk serve` looks for a place: the first that there is. */
static void find_made(secret *ret)
{
    static const struct {
        const char *variable;
        const char *below;
    } places[] = {{"XDG_RUNTIME_DIR", "brisk/token"},
                  {"XDG_STATE_HOME", "brisk/token"},
                  {"HOME", ".local/state/brisk/token"}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char path[PATH_BYTES];
        brisk_errinfo info;
        const char *base = getenv(places[i].variable);
        int size = base != NULL && base[0] == '/'
                       ? snprintf(path, sizeof path, "%s/%s", base, places[i].below)
                       : -1;
        if (size > 0 && size < PATH_BYTES && read_token(path, ret, &info) == BRISK_OK) {
            return;
        }
    }
}

static brisk_err find_token(const brisk_node_opts *opts, bool here, secret *ret,
                            brisk_errinfo *info)
{
    const char *given = getenv("BRISK_TOKEN");
    ret->text[0] = '\0';
    if (opts->token_file != NULL) {
        return read_token(opts->token_file, ret, info);
    }
    if (given != NULL && given[0] != '\0') {
        return take_word(given, strlen(given), ret)
                   ? BRISK_OK
                   : brisk_errinfo_set(info, BRISK_ERR_INVALID, "$BRISK_TOKEN is no token");
    }
    if (here) {
        find_made(ret);
    }
    return BRISK_OK;
}

/* --- the place ---------------------------------------------------------------------------- */

/* Is the host of "scheme://host..." this machine?  Addresses only, and the one name that must be it. */
static bool is_this_machine(const char *url)
{
    char host[NAME_BYTES];
    struct in_addr four;
    const char *at = strstr(url, "://") + 3;
    size_t size = at[0] == '[' ? strcspn(at, "]") + 1 : strcspn(at, ":/");
    if (size >= sizeof host || (at[size] != '\0' && at[size] != ':' && at[size] != '/')) {
        return false;
    }
    memcpy(host, at, size);
    host[size] = '\0';
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &four) == 1 && ntohl(four.s_addr) >> 24 == 127);
}

static brisk_err set_url(brisk_node *node, const char *text, brisk_errinfo *info)
{
    bool has_scheme = strstr(text, "://") != NULL;
    bool http = strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        if (!is_visible(text[i])) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                     "the URL of a node is one word of ASCII");
        }
    }
    if (strpbrk(text, "@\\") != NULL) { /* "http://localhost:x@elsewhere": the token went there */
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "the URL of a node has no name or password in it");
    }
    while (size > 0 && text[size - 1] == '/') {
        size--;
    }
    int length = snprintf(node->url, sizeof node->url, "%s%.*s", has_scheme ? "" : "http://",
                          (int)(size < URL_BYTES ? size : URL_BYTES), text);
    const char *host = length > 0 && length < URL_BYTES ? strstr(node->url, "://") : NULL;
    if ((has_scheme && !http) || strpbrk(text, "?#") != NULL || host == NULL || host[3] == '\0' ||
        host[3] == ':' || host[3] == '/') {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "%.100s: a node is http://HOST:PORT or https://HOST:PORT", text);
    }
    (void)snprintf(node->name, sizeof node->name, "%.100s", text);
    return BRISK_OK;
}

const char *brisk_node_name(const brisk_node *node)
{
    return node->name;
}

brisk_err brisk_node_address(const char *url, char *ret, size_t size, brisk_errinfo *info)
{
    const char *scheme = strstr(url, "://");
    const char *at = scheme != NULL ? scheme + 3 : url;
    size_t length = scheme != NULL ? strcspn(at, "/") : strlen(at);
    bool http = scheme == NULL || strncmp(url, "http://", 7) == 0;
    if (!http) {
        return strncmp(url, "https://", 8) == 0
                   ? brisk_errinfo_set(info, BRISK_ERR_UNSUPPORTED,
                                       "%.100s: this is asked over the Redis protocol, without "
                                       "TLS; use a tunnel (ssh -L)",
                                       url)
                   : brisk_errinfo_set(info, BRISK_ERR_INVALID, "%.100s: not http://HOST:PORT",
                                       url);
    }
    if (length == 0 || length >= size || strpbrk(scheme != NULL ? at : "", "@?#") != NULL ||
        (scheme != NULL && at[length] != '\0' && at[length + 1] != '\0')) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%.100s: not http://HOST:PORT", url);
    }
    memcpy(ret, at, length);
    ret[length] = '\0';
    return BRISK_OK;
}

/* --- life --------------------------------------------------------------------------------- */

static brisk_err make_client(brisk_node *node, const brisk_node_opts *opts, const secret *token,
                             brisk_errinfo *info)
{
    bool here = is_this_machine(node->url);
    brisk_http_token tokens = {.prefix = node->url, .authorization = token->text};
    brisk_http_client_opts client = {
        .tokens = &tokens,
        .token_count = token->text[0] != '\0' ? 1 : 0,
        /* Nobody in between: a proxy of the environment would be told the token. */
        .http_proxy = here ? "" : NULL,
        .https_proxy = here ? "" : NULL,
        .ca_file = opts->ca_file,
        .connect_timeout_ns = 5 * second_ns,
        .retries = BRISK_HTTP_NONE,
        .alloc = opts->alloc,
    };
    return brisk_http_client_create(&client, &node->client, info);
}

brisk_err brisk_node_open(const brisk_node_opts *opts, brisk_node **ret, brisk_errinfo *info)
{
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    secret token = {.text = ""};
    brisk_node *node = alloc->acquire(alloc->ctx, sizeof *node, _Alignof(brisk_node));
    if (node == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    *node = (brisk_node){.alloc = alloc};
    brisk_err err = set_url(node, opts->url != NULL ? opts->url : BRISK_NODE_DEFAULT, info);
    bool here = err == BRISK_OK && is_this_machine(node->url);
    if (err == BRISK_OK) {
        err = find_token(opts, here, &token, info);
    }
    if (err == BRISK_OK && !here && !opts->insecure_token && token.text[0] != '\0' &&
        strncmp(node->url, "http://", 7) == 0) {
        err = brisk_errinfo_set(
            info, BRISK_ERR_PERMISSION,
            "%s: the token would go there in the clear; use https (--ca FILE), a tunnel (ssh -L), "
            "or say --insecure-token",
            node->name);
    }
    if (err == BRISK_OK) {
        err = make_client(node, opts, &token, info);
    }
    explicit_bzero(&token, sizeof token);
    if (err != BRISK_OK) {
        brisk_node_close(node);
        return err;
    }
    *ret = node;
    return BRISK_OK;
}

void brisk_node_close(brisk_node *node)
{
    if (node != NULL) {
        brisk_http_client_destroy(node->client);
        node->alloc->release(node->alloc->ctx, node, sizeof *node, _Alignof(brisk_node));
    }
}

/* --- asking ------------------------------------------------------------------------------- */

static brisk_err error_of(int status)
{
    switch (status) {
    case 401:
    case 403: return BRISK_ERR_PERMISSION;
    case 404:
    case 410: return BRISK_ERR_NOT_FOUND;
    case 409:
    case 412: return BRISK_ERR_CONFLICT;
    case 413: return BRISK_ERR_LIMIT;
    case 429:
    case 503: return BRISK_ERR_FULL;
    default: return status < 500 ? BRISK_ERR_INVALID : BRISK_ERR_IO;
    }
}

/* "there is no such entry" of an error's body; "" when it is none. */
static void read_words(const brisk_node *node, const brisk_http_response *response,
                       char words[WORDS_BYTES])
{
    brisk_arena *arena = NULL;
    const brisk_json_node *root = NULL;
    words[0] = '\0';
    if (response->body_size == 0 || response->body_size > FILE_MAX ||
        brisk_arena_create(&(brisk_arena_opts){.alloc = node->alloc}, &arena) != BRISK_OK) {
        return;
    }
    if (brisk_json_read((const char *)response->body, response->body_size,
                        brisk_arena_as_alloc(arena), &root, NULL) == BRISK_OK) {
        const brisk_json_node *message = brisk_json_get(brisk_json_get(root, "error"), "message");
        if (message != NULL && message->kind == BRISK_JSON_STRING) {
            size_t size = message->size < WORDS_BYTES - 1 ? message->size : WORDS_BYTES - 1;
            memcpy(words, message->text, size);
            words[size] = '\0';
            brisk_text_make_plain(words, strlen(words));
        }
    }
    brisk_arena_destroy(arena);
}

static brisk_err refused(const brisk_node *node, const brisk_http_response *response,
                         brisk_errinfo *info)
{
    char words[WORDS_BYTES];
    read_words(node, response, words);
    brisk_err err = error_of(response->status);
    return words[0] != '\0'
               ? brisk_errinfo_set(info, err, "%s: %d: %s", node->name, response->status, words)
               : brisk_errinfo_set(info, err, "%s: it answers %d", node->name, response->status);
}

brisk_err brisk_node_ask(brisk_node *node, const brisk_node_question *q, brisk_http_response **ret,
                         brisk_errinfo *info)
{
    char url[QUESTION_BYTES + URL_BYTES];
    brisk_http_response *response = NULL;
    int size = snprintf(url, sizeof url, "%s%s", node->url, q->path);
    if (size < 0 || (size_t)size >= sizeof url) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: the question is too long",
                                 node->name);
    }
    brisk_http_request request = {
        .method = q->method,
        .url = url,
        .headers = q->headers,
        .header_count = q->header_count,
        .body = q->body,
        .body_size = q->body_size,
        .body_bytes_max = q->answer_max != 0 ? q->answer_max : answer_max,
        .timeout_ns = q->timeout_ns != 0 ? q->timeout_ns : 60 * second_ns,
    };
    brisk_err err = brisk_http_run(node->client, &request, &response, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = response->err != BRISK_OK ? brisk_errinfo_set(info, response->err, "%s", response->why)
                                    : brisk_http_response_expand(response, info);
    if (err == BRISK_OK && response->status >= 400 && response->status != q->quiet_status) {
        err = refused(node, response, info);
    }
    if (err != BRISK_OK) {
        brisk_http_response_destroy(response);
        return err;
    }
    *ret = response;
    return BRISK_OK;
}
