/*
 * remote.c -- questions to a node, see remote.h.
 */
#include "cli/remote.h"

#include <stdlib.h>
#include <string.h>

#include <brisk/file.h>
#include <brisk/json_read.h>
#include <brisk/text.h>

enum { TOKEN_BYTES_MAX = 256, FILE_BYTES_MAX = 65536, PATH_BYTES_MAX = 4096, URL_BYTES_MAX = 8192 };

#define NS_PER_S UINT64_C(1000000000)

typedef struct secret {
    char text[TOKEN_BYTES_MAX + 16]; /* "Bearer ..." */
} secret;

static void say(const brisk_invocation *in, const char *what)
{
    char quoted[BRISK_TEXT_QUOTED_MAX];
    (void)fprintf(in->err, "brisk: %s\n", brisk_text_quote(quoted, what));
}

static const char *node_of(const brisk_invocation *in)
{
    return in->values[REMOTE_NODE].set ? in->values[REMOTE_NODE].text : REMOTE_DEFAULT;
}

/* --- the token ---------------------------------------------------------------------------- */

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
    if (end == at || end - at > TOKEN_BYTES_MAX) {
        return false;
    }
    (void)snprintf(ret->text, sizeof ret->text, "Bearer %.*s", (int)(end - at), data + at);
    return true;
}

static bool read_file(const char *path, secret *ret, brisk_errinfo *info)
{
    brisk_file_view view;
    if (brisk_file_view_open(path, FILE_BYTES_MAX, &view, info) != BRISK_OK) {
        return false;
    }
    bool good = take_word((const char *)view.data, view.size, ret);
    brisk_file_view_close(&view);
    if (!good) {
        (void)brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: there is no token", path);
    }
    return good;
}

/* May the token that this user's node made go there? */
static bool is_this_machine(const char *url)
{
    static const char *const names[] = {"127.0.0.1", "localhost", "[::1]"};
    const char *host = strstr(url, "://");
    host = host != NULL ? host + 3 : url;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t size = strlen(names[i]);
        if (strncmp(host, names[i], size) == 0 &&
            (host[size] == '\0' || host[size] == ':' || host[size] == '/')) {
            return true;
        }
    }
    return false;
}

/* As `brisk serve` looks for a place: the first that there is. */
static bool find_made(secret *ret)
{
    static const struct {
        const char *variable;
        const char *below;
    } places[] = {{"XDG_RUNTIME_DIR", "brisk/token"},
                  {"XDG_STATE_HOME", "brisk/token"},
                  {"HOME", ".local/state/brisk/token"}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char path[PATH_BYTES_MAX];
        brisk_errinfo info;
        const char *base = getenv(places[i].variable);
        int size = base != NULL && base[0] == '/'
                       ? snprintf(path, sizeof path, "%s/%s", base, places[i].below)
                       : -1;
        if (size > 0 && size < PATH_BYTES_MAX && read_file(path, ret, &info)) {
            return true;
        }
    }
    return false;
}

/* False after saying why; without a token the text is "". */
static bool find_token(const brisk_invocation *in, secret *ret)
{
    brisk_errinfo info = {.text = ""};
    const char *given = getenv("BRISK_TOKEN");
    ret->text[0] = '\0';
    if (in->values[REMOTE_TOKEN_FILE].set) {
        bool good = read_file(in->values[REMOTE_TOKEN_FILE].text, ret, &info);
        if (!good) {
            say(in, info.text);
        }
        return good;
    }
    if (given != NULL && given[0] != '\0') {
        bool good = take_word(given, strlen(given), ret);
        if (!good) {
            say(in, "$BRISK_TOKEN is no token");
        }
        return good;
    }
    if (is_this_machine(node_of(in))) {
        (void)find_made(ret);
    }
    return true;
}

/* --- asking ------------------------------------------------------------------------------- */

/* "there is no such entry (not_found)" of an error's body. */
static void say_refusal(const brisk_invocation *in, const brisk_http_response *response)
{
    brisk_arena *arena = cli_arena(cli_of(in));
    const brisk_json_node *root = NULL;
    brisk_errinfo info;
    char text[512];
    if (arena == NULL || response->body == NULL ||
        brisk_json_read((const char *)response->body, response->body_size,
                        brisk_arena_as_alloc(arena), &root, &info) != BRISK_OK) {
        root = NULL;
    }
    const brisk_json_node *message = brisk_json_get(brisk_json_get(root, "error"), "message");
    if (message != NULL && message->kind == BRISK_JSON_STRING) {
        (void)snprintf(text, sizeof text, "%s: %d: %.*s", node_of(in), response->status,
                       (int)(message->size < 300 ? message->size : 300), message->text);
    } else {
        (void)snprintf(text, sizeof text, "%s: it answers %d", node_of(in), response->status);
    }
    say(in, text);
}

static bool make_url(const brisk_invocation *in, const char *path, char url[URL_BYTES_MAX])
{
    const char *node = node_of(in);
    const char *scheme = strstr(node, "://") != NULL ? "" : "http://";
    size_t size = strlen(node);
    while (size > 0 && node[size - 1] == '/') {
        size--;
    }
    if (strpbrk(node, "@\\") != NULL) { /* "http://localhost:x@elsewhere": the token went there */
        say(in, "the URL of a node has no name or password in it");
        return false;
    }
    int length = snprintf(url, URL_BYTES_MAX, "%s%.*s%s", scheme, (int)size, node, path);
    if (length < 0 || length >= URL_BYTES_MAX) {
        say(in, "the URL is too long");
        return false;
    }
    return true;
}

static brisk_http_client *make_client(const brisk_invocation *in, const secret *token)
{
    char prefix[URL_BYTES_MAX];
    brisk_http_client *client = NULL;
    brisk_errinfo info = {.text = ""};
    if (!make_url(in, "/", prefix)) {
        return NULL;
    }
    brisk_http_token tokens = {.prefix = prefix, .authorization = token->text};
    brisk_http_client_opts opts = {
        .tokens = &tokens,
        .token_count = token->text[0] != '\0' ? 1 : 0,
        /* Nobody in between: a proxy of the environment would be told the token. */
        .http_proxy = is_this_machine(node_of(in)) ? "" : NULL,
        .https_proxy = is_this_machine(node_of(in)) ? "" : NULL,
        .ca_file = in->values[REMOTE_CA].set ? in->values[REMOTE_CA].text : NULL,
        .connect_timeout_ns = 5 * NS_PER_S,
        .retries = BRISK_HTTP_NONE,
    };
    if (brisk_http_client_create(&opts, &client, &info) != BRISK_OK) {
        say(in, info.text);
        return NULL;
    }
    return client;
}

static brisk_http_response *run(const brisk_invocation *in, brisk_http_client *client,
                                const remote_question *q)
{
    char url[URL_BYTES_MAX];
    brisk_http_response *response = NULL;
    brisk_errinfo info = {.text = ""};
    if (!make_url(in, q->path, url)) {
        return NULL;
    }
    brisk_http_request request = {.method = q->method,
                                  .url = url,
                                  .headers = q->headers,
                                  .header_count = q->header_count,
                                  .body = q->body,
                                  .body_size = q->body_size};
    if (brisk_http_run(client, &request, &response, &info) != BRISK_OK) {
        say(in, info.text);
        return NULL;
    }
    brisk_err err = response->err;
    if (err == BRISK_OK) {
        err = brisk_http_response_expand(response, &info);
    }
    if (err != BRISK_OK) {
        say(in, response->err != BRISK_OK ? response->why : info.text);
        brisk_http_response_destroy(response);
        return NULL;
    }
    return response;
}

brisk_http_response *remote_ask(const brisk_invocation *in, const remote_question *q,
                                int quiet_status)
{
    secret token;
    if (!find_token(in, &token)) {
        return NULL;
    }
    brisk_http_client *client = make_client(in, &token);
    brisk_http_response *response = client != NULL ? run(in, client, q) : NULL;
    explicit_bzero(&token, sizeof token);
    brisk_http_client_destroy(client);
    if (response != NULL && response->status >= 400 && response->status != quiet_status) {
        say_refusal(in, response);
        brisk_http_response_destroy(response);
        return NULL;
    }
    return response;
}
