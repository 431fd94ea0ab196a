/*
 * auth.c -- rights of exchanges behind auth.h.
 *
 * Who wants a right without a token, from this machine, is believed because of where the socket ends;
 * everything that makes the socket's end say less than that (a relay, a name that was rebound) takes the
 * belief away.  A token is believed wherever it comes from: nobody but its owner has it.
 */
#include "daemon/http/auth.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "daemon/http/tokens.h"

enum { BODY_MAX = 512 };

struct http_auth {
    const brisk_alloc *alloc;
    http_tokens tokens;
    bool certificates;
    bool local_needs_token;
    uint32_t host_count;
    char hosts[HTTP_HOSTS_MAX][HTTP_HOST_NAME_MAX]; /* in lower case */
    char token_file[TOKEN_PATH_MAX];
};

/* --- names -------------------------------------------------------------------------------- */

static bool same_name(http_text a, const char *b, size_t size)
{
    return a.size == size && strncasecmp(a.data, b, size) == 0;
}

http_text http_host_of(http_text authority)
{
    if (authority.size > 0 && authority.data[0] == '[') {
        const char *end = memchr(authority.data, ']', authority.size);
        if (end != NULL) {
            authority.size = (size_t)(end - authority.data) + 1;
        }
        return authority;
    }
    const char *colon = memchr(authority.data, ':', authority.size);
    if (colon != NULL) {
        authority.size = (size_t)(colon - authority.data);
    }
    if (authority.size > 1 && authority.data[authority.size - 1] == '.') {
        authority.size--; /* the root's dot */
    }
    return authority;
}

/* 127.a.b.c, as browsers write it. */
static bool is_loopback_address(http_text host)
{
    unsigned parts = 0;
    unsigned value = 0;
    unsigned digits = 0;
    for (size_t i = 0; i <= host.size; i++) {
        char c = i < host.size ? host.data[i] : '.';
        if (c == '.') {
            if (digits == 0 || value > 255 || (parts == 0 && value != 127)) {
                return false;
            }
            parts++;
            value = 0;
            digits = 0;
        } else if (c >= '0' && c <= '9' && digits < 3) {
            value = value * 10 + (unsigned)(c - '0');
            digits++;
        } else {
            return false;
        }
    }
    return parts == 4;
}

bool http_host_is_local(http_text host)
{
    static const char name[] = "localhost";
    static const size_t size = sizeof name - 1;
    if (host.size == size &&
        (memcmp(host.data, "127.0.0.1", size) == 0 || memcmp(host.data, name, size) == 0)) {
        return true; /* as most clients write it: both have nine characters */
    }
    if (same_name(host, name, size) || same_name(host, "[::1]", 5)) {
        return true;
    }
    if (host.size > size + 1) {
        http_text tail = {host.data + host.size - size, size};
        if (tail.data[-1] == '.' && same_name(tail, name, size)) {
            return true;
        }
    }
    return is_loopback_address(host);
}

static bool is_listed(const http_auth *auth, http_text host)
{
    for (uint32_t i = 0; i < auth->host_count; i++) {
        if (same_name(host, auth->hosts[i], strlen(auth->hosts[i]))) {
            return true;
        }
    }
    return false;
}

static bool is_separator(char c)
{
    return c == ',' || c == ' ' || c == '\t' || c == '\n';
}

static brisk_err read_hosts(http_auth *auth, const char *text, brisk_errinfo *info)
{
    while (text != NULL && *text != '\0') {
        if (is_separator(*text)) {
            text++;
            continue;
        }
        size_t size = 0;
        while (text[size] != '\0' && !is_separator(text[size])) {
            if (text[size] <= ' ' || text[size] > '~' || text[size] == '/') {
                return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                         "serve.hosts: a name of a host has no such character");
            }
            size++;
        }
        if (auth->host_count == HTTP_HOSTS_MAX || size >= HTTP_HOST_NAME_MAX) {
            return brisk_errinfo_set(info, BRISK_ERR_LIMIT,
                                     "serve.hosts: at most %d names of up to %d bytes",
                                     HTTP_HOSTS_MAX, HTTP_HOST_NAME_MAX - 1);
        }
        http_text host = http_host_of((http_text){text, size});
        memcpy(auth->hosts[auth->host_count], host.data, host.size);
        auth->host_count++;
        text += size;
    }
    return BRISK_OK;
}

/* --- pages from elsewhere ----------------------------------------------------------------- */

/* "scheme://host[:port]" without the scheme; size 0: it is no such thing ("null"). */
static http_text origin_authority(http_text origin)
{
    for (size_t i = 0; i + 3 <= origin.size; i++) {
        if (memcmp(origin.data + i, "://", 3) == 0) {
            return (http_text){origin.data + i + 3, origin.size - i - 3};
        }
    }
    return (http_text){origin.data, 0};
}

bool http_auth_is_foreign(const http_auth *auth, const exchange *x)
{
    const http_text *site = exchange_field(x, "sec-fetch-site");
    const http_text *origin = exchange_field(x, "origin");
    if (origin != NULL) {
        http_text from = origin_authority(*origin);
        bool same = from.size > 0 && same_name(from, x->authority.data, x->authority.size);
        if (!same && (from.size == 0 || !is_listed(auth, http_host_of(from)))) {
            return true;
        }
        return false;
    }
    return site != NULL && !same_name(*site, "same-origin", 11) && !same_name(*site, "none", 4);
}

/* --- who ---------------------------------------------------------------------------------- */

/* Without printf, which takes longer than all the rest of a decision. */
static void set_who(http_identity *id, const char *name)
{
    size_t size = strlen(name);
    size = size < sizeof id->who ? size : sizeof id->who - 1;
    memcpy(id->who, name, size);
    id->who[size] = '\0';
}

http_peer http_peer_of(int fd)
{
    struct sockaddr_storage at = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof at;
    if (getpeername(fd, (struct sockaddr *)&at, &size) != 0) {
        return HTTP_PEER_REMOTE;
    }
    if (at.ss_family == AF_UNIX) {
        return HTTP_PEER_UNIX;
    }
    if (at.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)&at;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127 ? HTTP_PEER_LOOPBACK : HTTP_PEER_REMOTE;
    }
    if (at.ss_family == AF_INET6) {
        const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)&at)->sin6_addr;
        bool mapped = IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127;
        return IN6_IS_ADDR_LOOPBACK(v6) || mapped ? HTTP_PEER_LOOPBACK : HTTP_PEER_REMOTE;
    }
    return HTTP_PEER_REMOTE;
}

void http_peer_text(int fd, char *text, size_t size)
{
    struct sockaddr_storage at = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof at;
    char host[INET6_ADDRSTRLEN] = "";
    text[0] = '\0';
    if (getpeername(fd, (struct sockaddr *)&at, &length) != 0) {
        return;
    }
    if (at.ss_family == AF_UNIX) {
        (void)snprintf(text, size, "unix");
    } else if (at.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)&at;
        (void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        (void)snprintf(text, size, "%s:%u", host, ntohs(v4->sin_port));
    } else if (at.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)&at;
        (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        (void)snprintf(text, size, "[%s]:%u", host, ntohs(v6->sin6_port));
    }
}

/* The token of "Authorization: Bearer TOKEN"; size 0: there is none. */
static http_text token_of(const exchange *x)
{
    static const char scheme[] = "bearer ";
    static const size_t size = sizeof scheme - 1;
    const http_text *field = exchange_field(x, "authorization");
    http_text token = {NULL, 0};
    if (field == NULL || field->size <= size || strncasecmp(field->data, scheme, size) != 0) {
        return token;
    }
    token = (http_text){field->data + size, field->size - size};
    while (token.size > 0 && token.data[0] == ' ') {
        token.data++;
        token.size--;
    }
    return token;
}

static bool is_relayed(const exchange *x)
{
    return exchange_field(x, "via") != NULL || exchange_field(x, "forwarded") != NULL ||
           exchange_field(x, "x-forwarded-for") != NULL || exchange_field(x, "x-real-ip") != NULL;
}

static void identify_local(const http_auth *auth, const exchange *x, http_peer peer,
                           http_identity *ret)
{
    if (auth->local_needs_token || is_relayed(x)) {
        return;
    }
    http_text host = http_host_of(x->authority);
    /* No browser comes through a unix socket, and none sends no Host. */
    if (peer == HTTP_PEER_LOOPBACK && host.size != 0 && !http_host_is_local(host) &&
        !is_listed(auth, host)) {
        ret->odd_host = true;
        return;
    }
    ret->right = HTTP_RIGHT_READ;
    set_who(ret, peer == HTTP_PEER_UNIX ? "unix" : "local");
}

void http_auth_identify(http_auth *auth, const exchange *x, http_peer peer, http_identity *ret)
{
    *ret = (http_identity){.right = HTTP_RIGHT_NONE, .who = "anybody"};
    if (auth->certificates && x->secure) {
        ret->right = HTTP_RIGHT_CHANGE;
        set_who(ret, "certificate");
        return;
    }
    http_text token = token_of(x);
    if (token.size != 0) {
        char name[TOKEN_NAME_MAX];
        ret->right = http_tokens_find(&auth->tokens, token, name);
        ret->bad_token = ret->right == HTTP_RIGHT_NONE;
        if (!ret->bad_token) {
            set_who(ret, name);
            return;
        }
    }
    if (!ret->bad_token && peer != HTTP_PEER_REMOTE) {
        identify_local(auth, x, peer, ret);
    }
}

/* --- the decision ------------------------------------------------------------------------- */

/* What is said to whoever may not. */
typedef struct refusal {
    uint16_t status;
    const char *challenge; /* NULL: none */
    const char *code;
    const char *message;
} refusal;

static bool is_api(const exchange *x)
{
    return x->path.size >= 3 && memcmp(x->path.data, "/v1", 3) == 0;
}

static void refuse(exchange *x, const refusal *r)
{
    char body[BODY_MAX];
    bool api = is_api(x);
    int size =
        api ? snprintf(body, sizeof body, "{\"error\": {\"code\": \"%s\", \"message\": \"%s\"}}\n",
                       r->code, r->message)
            : snprintf(body, sizeof body, "%s\n", r->message);
    BRISK_ASSERT(size > 0 && size < BODY_MAX); /* both are ours */
    http_field fields[3] = {
        {HTTP_TEXT("content-type"),
         api ? HTTP_TEXT("application/json") : HTTP_TEXT("text/plain; charset=utf-8")},
        {HTTP_TEXT("cache-control"), HTTP_TEXT("no-store")},
    };
    if (r->challenge != NULL) {
        fields[2] =
            (http_field){HTTP_TEXT("www-authenticate"), {r->challenge, strlen(r->challenge)}};
    }
    http_answer answer = {
        .status = r->status,
        .fields = fields,
        .field_count = r->challenge != NULL ? 3 : 2,
        .body = {.kind = HTTP_BODY_BYTES, .data = body, .size = (uint64_t)size},
        .length = size,
    };
    exchange_answer(x, &answer);
}

static void refuse_right(exchange *x, const http_identity *id)
{
    static const refusal bad = {401, "Bearer realm=\"brisk\", error=\"invalid_token\"", "bad_token",
                                "the token is not known here"};
    static const refusal weak = {403, "Bearer realm=\"brisk\", error=\"insufficient_scope\"",
                                 "forbidden", "this token may read, not change"};
    static const refusal host = {
        403, NULL, "bad_host",
        "the host asked for is no name of this machine: send a token, or list it in serve.hosts"};
    static const refusal none = {401, "Bearer realm=\"brisk\"", "unauthorized",
                                 "this needs a token: Authorization: Bearer TOKEN"};
    if (id->bad_token) {
        refuse(x, &bad);
    } else if (id->odd_host) {
        refuse(x, &host);
    } else if (id->right == HTTP_RIGHT_READ && strcmp(id->who, "local") != 0 &&
               strcmp(id->who, "unix") != 0) {
        refuse(x, &weak);
    } else {
        refuse(x, &none);
    }
}

static bool is_change(const exchange *x)
{
    return (x->method & (HTTP_POST | HTTP_PUT | HTTP_DELETE | HTTP_PATCH | HTTP_PURGE)) != 0;
}

/* A WebSocket is read by the page that opened it, wherever that is from. */
static bool stays_open(const exchange *x)
{
    return x->method == HTTP_CONNECT || exchange_field(x, "sec-websocket-key") != NULL;
}

bool http_auth_admit(http_auth *auth, exchange *x, http_peer peer)
{
    static const refusal foreign = {403, NULL, "cross_site",
                                    "a page from elsewhere may not ask for this"};
    http_right needed = is_change(x) ? x->route->right_change : x->route->right;
    if (needed == HTTP_RIGHT_NONE) {
        return true;
    }
    http_identity id;
    http_auth_identify(auth, x, peer, &id);
    x->right = id.right;
    if (id.right < needed) {
        refuse_right(x, &id);
        return false;
    }
    if ((is_change(x) || stays_open(x)) && http_auth_is_foreign(auth, x)) {
        refuse(x, &foreign);
        return false;
    }
    return true;
}

/* --- life --------------------------------------------------------------------------------- */

static brisk_err need_tokens(http_auth *auth, const char *file, brisk_errinfo *info)
{
    if (file != NULL && file[0] != '\0') {
        if (strlen(file) >= sizeof auth->token_file) {
            return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "serve.token_file: too long");
        }
        (void)snprintf(auth->token_file, sizeof auth->token_file, "%s", file);
        return http_tokens_read(&auth->tokens, file, info);
    }
    if (http_tokens_make_somewhere(&auth->tokens, auth->token_file, info) != BRISK_OK) {
        auth->token_file[0] = '\0';
    }
    return BRISK_OK;
}

brisk_err http_auth_create(const http_auth_opts *opts, http_auth **ret, brisk_errinfo *info)
{
    http_auth *auth = opts->alloc->acquire(opts->alloc->ctx, sizeof *auth, _Alignof(http_auth));
    if (auth == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    memset(auth, 0, sizeof *auth);
    auth->alloc = opts->alloc;
    auth->certificates = opts->certificates;
    auth->local_needs_token = opts->local_needs_token;
    http_tokens_init(&auth->tokens);
    brisk_err err = read_hosts(auth, opts->hosts, info);
    if (err == BRISK_OK) {
        err = need_tokens(auth, opts->token_file, info);
    }
    if (err != BRISK_OK) {
        http_auth_destroy(auth);
        return err;
    }
    *ret = auth;
    return BRISK_OK;
}

void http_auth_destroy(http_auth *auth)
{
    if (auth != NULL) {
        http_tokens_deinit(&auth->tokens);
        auth->alloc->release(auth->alloc->ctx, auth, sizeof *auth, _Alignof(http_auth));
    }
}

brisk_err http_auth_reload(http_auth *auth, brisk_errinfo *info)
{
    return auth->token_file[0] != '\0' ? http_tokens_read(&auth->tokens, auth->token_file, info)
                                       : BRISK_OK;
}

const char *http_auth_token_file(const http_auth *auth)
{
    return auth->token_file;
}
