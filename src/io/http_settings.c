/*
 * http_settings.c -- a client's options: checked, defaults in place, strings in one block of ours.
 *
 * The block is wiped when it goes: tokens, and proxies with passwords.
 */
#include <string.h>

#include "base/assert.h"
#include "io/http_internal.h"

static const uint64_t ms = 1000000;

static void set_defaults(brisk_http_client_opts *o)
{
    static const struct {
        size_t offset;
        uint32_t value;
    } counts[] = {{offsetof(brisk_http_client_opts, in_flight_max), 256},
                  {offsetof(brisk_http_client_opts, host_start), 64},
                  {offsetof(brisk_http_client_opts, host_min), 8},
                  {offsetof(brisk_http_client_opts, connections_max), 32},
                  {offsetof(brisk_http_client_opts, queue_max), 65536},
                  {offsetof(brisk_http_client_opts, head_bytes_max), 65536},
                  {offsetof(brisk_http_client_opts, retries), 3},
                  {offsetof(brisk_http_client_opts, break_after), 8},
                  {offsetof(brisk_http_client_opts, retry_percent), 20},
                  {offsetof(brisk_http_client_opts, compress_min), 1024}};
    static const struct {
        size_t offset;
        uint64_t value;
    } longs[] = {{offsetof(brisk_http_client_opts, timeout_ns), 300000},
                 {offsetof(brisk_http_client_opts, connect_timeout_ns), 10000},
                 {offsetof(brisk_http_client_opts, tls_timeout_ns), 10000},
                 {offsetof(brisk_http_client_opts, first_byte_timeout_ns), 60000},
                 {offsetof(brisk_http_client_opts, stall_timeout_ns), 30000},
                 {offsetof(brisk_http_client_opts, idle_timeout_ns), 90000},
                 {offsetof(brisk_http_client_opts, retry_base_ns), 100},
                 {offsetof(brisk_http_client_opts, break_ns), 1000},
                 {offsetof(brisk_http_client_opts, retry_after_max_ns), 30000}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        uint32_t *field = (uint32_t *)((char *)o + counts[i].offset);
        *field = *field != 0 ? *field : counts[i].value;
    }
    for (size_t i = 0; i < sizeof longs / sizeof longs[0]; i++) {
        uint64_t *field = (uint64_t *)((char *)o + longs[i].offset);
        *field = *field != 0 ? *field : longs[i].value * ms;
    }
    o->body_bytes_max = o->body_bytes_max != 0 ? o->body_bytes_max : UINT64_C(256) << 20;
    o->expanded_bytes_max = o->expanded_bytes_max != 0 ? o->expanded_bytes_max : UINT64_C(1) << 30;
    o->retry_percent = o->retry_percent == BRISK_HTTP_NONE ? 0 : o->retry_percent;
    o->host_start = o->host_start < o->in_flight_max ? o->host_start : o->in_flight_max;
}

static const char *find_fault(const brisk_http_client_opts *o)
{
    if (o->in_flight_max > BRISK_HTTP_IN_FLIGHT_MAX) {
        return "too many requests at once";
    }
    if (o->header_count > BRISK_HTTP_HEADERS_MAX) {
        return "too many headers";
    }
    if (o->retry_percent > 1000) {
        return "more than 10 repetitions for each request";
    }
    if (o->token_count > BRISK_HTTP_TOKENS_MAX) {
        return "too many tokens";
    }
    if ((o->cert_file == NULL) != (o->key_file == NULL)) {
        return "a certificate needs its key, and a key its certificate";
    }
    if (o->user_agent != NULL && strpbrk(o->user_agent, "\r\n") != NULL) {
        return "a user agent is one line";
    }
    for (uint32_t i = 0; i < o->header_count; i++) {
        if (!http_is_header(o->headers[i])) {
            return "a header is not 'Name: value'";
        }
    }
    for (uint32_t i = 0; i < o->token_count; i++) {
        if (strpbrk(o->tokens[i].authorization, "\r\n") != NULL) {
            return "a token is one line";
        }
    }
    return NULL;
}

/* --- strings: counted first, then copied ---------------------------------------------------- */

typedef struct packer {
    char *at;
    size_t size;
} packer;

static char *pack(packer *p, const char *head, const char *text)
{
    size_t first = strlen(head);
    size_t second = strlen(text) + 1;
    char *copy = p->at != NULL ? p->at + p->size : NULL;
    if (copy != NULL) {
        (void)snprintf(copy, first + second, "%s%s", head, text);
    }
    p->size += first + second;
    return copy;
}

static void pack_one(packer *p, const char **field)
{
    if (*field != NULL) {
        const char *copy = pack(p, "", *field);
        *field = copy != NULL ? copy : *field;
    }
}

static void pack_all(packer *p, http_settings *s, const brisk_http_client_opts *opts)
{
    brisk_http_client_opts *o = &s->o;
    const char **const fields[] = {&o->ca_file,    &o->cert_file,   &o->key_file,
                                   &o->http_proxy, &o->https_proxy, &o->no_proxy};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        pack_one(p, fields[i]);
    }
    for (uint32_t i = 0; i < opts->header_count; i++) {
        s->headers[i] = pack(p, "", opts->headers[i]);
    }
    for (uint32_t i = 0; i < opts->token_count; i++) {
        char *line = pack(p, "Authorization: ", opts->tokens[i].authorization);
        if (line != NULL) {
            s->tokens[i].line = line;
        }
    }
    const char *agent = opts->user_agent;
    char *copy = agent != NULL ? pack(p, "", agent) : pack(p, "", "brisk/" BRISK_VERSION);
    o->user_agent = copy != NULL ? copy : o->user_agent;
}

static brisk_err copy_strings(http_settings *s, const brisk_alloc *alloc,
                              const brisk_http_client_opts *opts)
{
    packer count = {NULL, 0};
    pack_all(&count, s, opts);
    packer p = {alloc->acquire(alloc->ctx, count.size, 1), 0};
    if (p.at == NULL) {
        return BRISK_ERR_NOMEM;
    }
    s->strings = p.at;
    s->strings_size = count.size;
    pack_all(&p, s, opts);
    s->o.headers = s->headers;
    return BRISK_OK;
}

static brisk_err place_tokens(http_settings *s, const brisk_alloc *alloc,
                              const brisk_http_client_opts *opts)
{
    if (opts->token_count == 0) {
        return BRISK_OK;
    }
    size_t size = opts->token_count * sizeof *s->tokens;
    s->tokens = alloc->acquire(alloc->ctx, size, _Alignof(http_token));
    if (s->tokens == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(s->tokens, 0, size);
    for (uint32_t i = 0; i < opts->token_count; i++) {
        if (!http_token_place(&s->tokens[i], opts->tokens[i].prefix)) {
            return BRISK_ERR_INVALID;
        }
    }
    return BRISK_OK;
}

brisk_err http_settings_init(http_settings *settings, const brisk_alloc *alloc,
                             const brisk_http_client_opts *opts, brisk_errinfo *info)
{
    *settings = (http_settings){.o = *opts};
    set_defaults(&settings->o);
    const char *fault = find_fault(&settings->o);
    if (fault != NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "HTTP: %s", fault);
    }
    brisk_err err = place_tokens(settings, alloc, opts);
    if (err == BRISK_OK) {
        err = copy_strings(settings, alloc, opts);
    }
    if (err != BRISK_OK) {
        http_settings_deinit(settings, alloc);
        return brisk_errinfo_set(info, err, "HTTP: %s",
                                 err == BRISK_ERR_INVALID
                                     ? "a token's place is not like https://host/path"
                                     : "out of memory");
    }
    return BRISK_OK;
}

void http_settings_deinit(http_settings *settings, const brisk_alloc *alloc)
{
    if (settings->strings != NULL) {
        explicit_bzero(settings->strings, settings->strings_size);
        alloc->release(alloc->ctx, settings->strings, settings->strings_size, 1);
    }
    if (settings->tokens != NULL) {
        alloc->release(alloc->ctx, settings->tokens,
                       settings->o.token_count * sizeof *settings->tokens, _Alignof(http_token));
    }
    settings->strings = NULL;
    settings->tokens = NULL;
}
