/*
 * http.c -- io/http.h upon the asynchronous client: submit and wait.
 *
 * What an http_client has beside it are its headers, which go with each request: a secret of one
 * server's user, and a client here talks to one.
 */
#include "io/http.h"

#include <string.h>

#include "base/assert.h"
#include "io/http_curl.h"

struct http_client {
    const brisk_alloc *alloc;
    brisk_http_client *client;
    char *strings;
    size_t strings_size;
    uint64_t timeout_ns;
    uint32_t header_count;
    const char *headers[HTTP_HEADERS_MAX];
};

/* --- life --------------------------------------------------------------------------------- */

/* A header that ends early would make another one of what follows. */
static brisk_err check(const http_opts *opts, brisk_errinfo *info)
{
    if (opts->header_count > HTTP_HEADERS_MAX - 1) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "HTTP: too many headers");
    }
    for (uint32_t i = 0; i < opts->header_count; i++) {
        const char *text = opts->headers[i];
        if (strpbrk(text, "\r\n") != NULL || strchr(text, ':') == NULL || text[0] == ':') {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                     "HTTP: header %u is not 'Name: value'", i + 1);
        }
    }
    if (opts->bearer != NULL && strpbrk(opts->bearer, "\r\n") != NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "HTTP: a token is one line");
    }
    return BRISK_OK;
}

static bool copy_headers(http_client *client, const http_opts *opts)
{
    static const char name[] = "Authorization: Bearer ";
    size_t size = opts->bearer != NULL ? sizeof name + strlen(opts->bearer) : 0;
    for (uint32_t i = 0; i < opts->header_count; i++) {
        size += strlen(opts->headers[i]) + 1;
    }
    if (size == 0) {
        return true;
    }
    char *at = client->alloc->acquire(client->alloc->ctx, size, 1);
    if (at == NULL) {
        return false;
    }
    client->strings = at;
    client->strings_size = size;
    for (uint32_t i = 0; i < opts->header_count; i++) {
        size_t length = strlen(opts->headers[i]) + 1;
        memcpy(at, opts->headers[i], length);
        client->headers[client->header_count++] = at;
        at += length;
    }
    if (opts->bearer != NULL) {
        memcpy(at, name, sizeof name - 1);
        memcpy(at + sizeof name - 1, opts->bearer, strlen(opts->bearer) + 1);
        client->headers[client->header_count++] = at;
    }
    return true;
}

brisk_err http_client_create(const http_opts *opts, http_client **ret, brisk_errinfo *info)
{
    BRISK_ASSERT(opts != NULL && ret != NULL);
    brisk_err err = http_curl_load(info);
    err = err == BRISK_OK ? check(opts, info) : err;
    if (err != BRISK_OK) {
        return err;
    }
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    http_client *client = alloc->acquire(alloc->ctx, sizeof *client, _Alignof(http_client));
    if (client == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "HTTP: out of memory");
    }
    *client =
        (http_client){.alloc = alloc, .timeout_ns = opts->timeout_ns + opts->connect_timeout_ns};
    err = copy_headers(client, opts)
              ? brisk_http_client_create(
                    &(brisk_http_client_opts){.ca_file = opts->tls_ca_file,
                                              .cert_file = opts->tls_cert_file,
                                              .key_file = opts->tls_key_file,
                                              .connections_max = HTTP_CONNECTIONS_MAX,
                                              .timeout_ns = client->timeout_ns,
                                              .connect_timeout_ns = opts->connect_timeout_ns,
                                              .tls_timeout_ns = opts->connect_timeout_ns,
                                              .first_byte_timeout_ns = client->timeout_ns,
                                              .stall_timeout_ns = client->timeout_ns,
                                              .body_bytes_max = opts->body_bytes_max,
                                              .retries = BRISK_HTTP_NONE,
                                              .alloc = alloc},
                    &client->client, info)
              : brisk_errinfo_set(info, BRISK_ERR_NOMEM, "HTTP: out of memory");
    if (err != BRISK_OK) {
        http_client_destroy(client);
        return err;
    }
    *ret = client;
    return BRISK_OK;
}

void http_client_destroy(http_client *client)
{
    if (client == NULL) {
        return;
    }
    brisk_http_client_destroy(client->client);
    if (client->strings != NULL) {
        explicit_bzero(client->strings, client->strings_size);
        client->alloc->release(client->alloc->ctx, client->strings, client->strings_size, 1);
    }
    client->alloc->release(client->alloc->ctx, client, sizeof *client, _Alignof(http_client));
}

/* --- requests ----------------------------------------------------------------------------- */

static void read_caching(http_response *response, const brisk_http_caching *caching)
{
    response->no_store = caching->no_store || caching->no_cache || caching->is_private;
    response->has_max_age = caching->has_s_maxage || caching->has_max_age;
    response->max_age_s = caching->has_s_maxage ? caching->s_maxage_s : caching->max_age_s;
    response->age_s = caching->age_s;
    memcpy(response->etag, caching->etag, sizeof response->etag);
}

brisk_err http_run(http_client *client, const http_request *request, http_response *ret)
{
    const char *headers[HTTP_HEADERS_MAX + 4];
    uint32_t count = 0;
    for (; count < client->header_count; count++) {
        headers[count] = client->headers[count];
    }
    for (uint32_t i = 0; i < 4 && request->headers[i] != NULL; i++) {
        headers[count++] = request->headers[i];
    }
    *ret = (http_response){.status = 0};
    brisk_http_response *inner = NULL;
    brisk_err err = brisk_http_run(client->client,
                                   &(brisk_http_request){.method = request->method,
                                                         .url = request->url,
                                                         .headers = headers,
                                                         .header_count = count,
                                                         .body = request->body,
                                                         .body_size = request->body_size,
                                                         .plain = true},
                                   &inner, NULL);
    if (err != BRISK_OK) {
        return err;
    }
    err = inner->err;
    if (err != BRISK_OK) {
        brisk_http_response_destroy(inner);
        return err;
    }
    ret->status = inner->status;
    ret->body = inner->body;
    ret->body_size = inner->body_size;
    ret->inner_ = inner;
    read_caching(ret, &inner->caching);
    return BRISK_OK;
}

void http_response_deinit(http_response *response)
{
    brisk_http_response_destroy(response->inner_);
    response->inner_ = NULL;
    response->body = NULL;
    response->body_size = 0;
}
