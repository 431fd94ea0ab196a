/*
 * http_url.c -- behind io/http_url.h.
 *
 * Invariant: a token is found only for a URL whose origin is the token's byte for byte, and whose
 * path continues the token's at a slash.  A path with escaped dots has no token but that of the
 * whole origin: the server might walk up with it.
 */
#include "io/http_url.h"

#include <string.h>
#include <strings.h>

bool http_url_is_plausible(const char *text)
{
    size_t size = strnlen(text, BRISK_HTTP_URL_MAX);
    size_t scheme = strncasecmp(text, "http://", 7) == 0    ? 7
                    : strncasecmp(text, "https://", 8) == 0 ? 8
                                                            : 0;
    if (scheme == 0 || size == BRISK_HTTP_URL_MAX || size == scheme || text[scheme] == '/') {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '\\') { /* \\: parsers differ */
            return false;
        }
    }
    return true;
}

static void make_lower(char *text)
{
    for (; *text != '\0'; text++) {
        *text = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
    }
}

static brisk_err judge(CURLUcode code)
{
    return code == CURLUE_OK              ? BRISK_OK
           : code == CURLUE_OUT_OF_MEMORY ? BRISK_ERR_NOMEM
                                          : BRISK_ERR_INVALID;
}

/* A part of a URL as a string of libcurl's, for curl_free. */
static brisk_err get(const http_curl *so, CURLU *url, CURLUPart part, char **ret)
{
    *ret = NULL;
    return judge(so->curl_url_get(url, part, ret, CURLU_DEFAULT_PORT));
}

static brisk_err read_origin(const http_curl *so, CURLU *url, char origin[HTTP_ORIGIN_MAX])
{
    char *scheme = NULL;
    char *host = NULL;
    char *port = NULL;
    brisk_err err = get(so, url, CURLUPART_SCHEME, &scheme);
    err = err == BRISK_OK ? get(so, url, CURLUPART_HOST, &host) : err;
    err = err == BRISK_OK ? get(so, url, CURLUPART_PORT, &port) : err;
    if (err == BRISK_OK) {
        bool known = strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0;
        int size = snprintf(origin, HTTP_ORIGIN_MAX, "%s://%s:%s", scheme, host, port);
        err = known && host[0] != '\0' && size > 0 && size < HTTP_ORIGIN_MAX ? BRISK_OK
                                                                             : BRISK_ERR_INVALID;
        make_lower(origin);
    }
    so->curl_free(scheme);
    so->curl_free(host);
    so->curl_free(port);
    return err;
}

static brisk_err parse(const http_curl *so, CURLU *url, const char *text, http_url *ret)
{
    char *path = NULL;
    brisk_err err = judge(so->curl_url_set(url, CURLUPART_URL, text, 0));
    err = err == BRISK_OK ? read_origin(so, url, ret->origin) : err;
    err = err == BRISK_OK ? get(so, url, CURLUPART_PATH, &path) : err;
    if (err == BRISK_OK) {
        int size = snprintf(ret->path, sizeof ret->path, "%s", path);
        err = size > 0 && (size_t)size < sizeof ret->path ? BRISK_OK : BRISK_ERR_INVALID;
    }
    so->curl_free(path);
    return err;
}

brisk_err http_url_parse(const http_curl *so, const char *text, http_url *ret)
{
    if (!http_url_is_plausible(text)) {
        return BRISK_ERR_INVALID;
    }
    CURLU *url = so->curl_url();
    brisk_err err = url != NULL ? parse(so, url, text, ret) : BRISK_ERR_NOMEM;
    so->curl_url_cleanup(url);
    return err;
}

/* What `url` holds, with user and password only where they come from. */
static brisk_err write_followed(const http_curl *so, CURLU *url, const char *from,
                                char ret[BRISK_HTTP_URL_MAX])
{
    char origin[HTTP_ORIGIN_MAX];
    char *text = NULL;
    brisk_err err = read_origin(so, url, origin);
    if (err == BRISK_OK && strcmp(origin, from) != 0) {
        err = judge(so->curl_url_set(url, CURLUPART_USER, NULL, 0));
        err = err == BRISK_OK ? judge(so->curl_url_set(url, CURLUPART_PASSWORD, NULL, 0)) : err;
    }
    err = err == BRISK_OK ? judge(so->curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0)) : err;
    err = err == BRISK_OK ? judge(so->curl_url_get(url, CURLUPART_URL, &text, 0)) : err;
    if (err == BRISK_OK) {
        int size = snprintf(ret, BRISK_HTTP_URL_MAX, "%s", text);
        err = size > 0 && size < BRISK_HTTP_URL_MAX && http_url_is_plausible(ret)
                  ? BRISK_OK
                  : BRISK_ERR_INVALID;
    }
    so->curl_free(text);
    return err;
}

brisk_err http_url_follow(const http_curl *so, const char *base, const char *location,
                          char ret[BRISK_HTTP_URL_MAX])
{
    char origin[HTTP_ORIGIN_MAX];
    CURLU *url = so->curl_url();
    brisk_err err = BRISK_ERR_NOMEM;
    if (url != NULL) {
        err = judge(so->curl_url_set(url, CURLUPART_URL, base, 0));
        err = err == BRISK_OK ? read_origin(so, url, origin) : err;
        err = err == BRISK_OK
                  ? judge(so->curl_url_set(url, CURLUPART_URL, location, CURLU_URLENCODE))
                  : err;
        err = err == BRISK_OK ? write_followed(so, url, origin, ret) : err;
    }
    so->curl_url_cleanup(url);
    return err;
}

/* --- tokens --------------------------------------------------------------------------------- */

static bool has_escaped_dot(const char *path)
{
    for (const char *at = strchr(path, '%'); at != NULL; at = strchr(at + 1, '%')) {
        if (at[1] == '2' && (at[2] == 'e' || at[2] == 'E')) {
            return true;
        }
    }
    return false;
}

/* A segment that is one or two dots, plain or escaped. */
static bool has_dots(const char *path)
{
    for (const char *at = strstr(path, "/."); at != NULL; at = strstr(at + 1, "/.")) {
        size_t dots = strspn(at + 1, ".");
        if (dots <= 2 && (at[1 + dots] == '/' || at[1 + dots] == '\0')) {
            return true;
        }
    }
    return has_escaped_dot(path);
}

bool http_token_place(http_token *token, const char *prefix)
{
    if (!http_url_is_plausible(prefix) || strpbrk(prefix, "@?#") != NULL || has_dots(prefix)) {
        return false;
    }
    const char *host = strstr(prefix, "://") + 3;
    size_t size = strcspn(host, "/");
    const char *path = host + size;
    const char *bracket = host[0] == '[' ? memchr(host, ']', size) : host;
    if (bracket == NULL) {
        return false;
    }
    const char *colon = memchr(bracket, ':', size - (size_t)(bracket - host));
    const char *port = host - prefix == 8 ? ":443" : ":80";
    if (colon != NULL) { /* 080 is 80 */
        char *end;
        unsigned long number = strtoul(colon + 1, &end, 10);
        if (end != path || end == colon + 1 || number == 0 || number > 65535 || colon[1] == '0' ||
            colon[1] == '+' || colon[1] == '-') {
            return false;
        }
        port = "";
    }
    int wrote =
        snprintf(token->origin, sizeof token->origin, "%.*s%s", (int)(path - prefix), prefix, port);
    int wrote_path = snprintf(token->path, sizeof token->path, "%s", path);
    if (wrote < 0 || (size_t)wrote >= sizeof token->origin || wrote_path < 0 ||
        (size_t)wrote_path >= sizeof token->path || host[0] == ':') {
        return false;
    }
    make_lower(token->origin);
    size_t length = strlen(token->path);
    while (length > 0 && token->path[length - 1] == '/') {
        token->path[--length] = '\0';
    }
    return true;
}

static bool fits(const http_token *token, const http_url *url)
{
    size_t size = strlen(token->path);
    return strcmp(token->origin, url->origin) == 0 && strncmp(token->path, url->path, size) == 0 &&
           (size == 0 ||
            ((url->path[size] == '/' || url->path[size] == '\0') && !has_escaped_dot(url->path)));
}

const http_token *http_token_find(const http_token *tokens, size_t count, const http_url *url)
{
    const http_token *best = NULL;
    for (size_t i = 0; i < count; i++) {
        if (fits(&tokens[i], url) &&
            (best == NULL || strlen(tokens[i].path) > strlen(best->path))) {
            best = &tokens[i];
        }
    }
    return best;
}
