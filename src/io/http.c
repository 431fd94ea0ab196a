/*
 * http.c -- libcurl's easy interface behind io/http.h.
 *
 * A handle keeps its connections, so handles are kept in a stack: the one used last is the one
 * whose connection is most likely still open.  Every option is set anew for each request, after
 * curl_easy_reset, which keeps connections.
 *
 * Locks: `lock`, a leaf, around the stack of handles.
 */
#define CURL_DISABLE_TYPECHECK /* its macros do not know calls through a table */
#include "io/http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "wire/library.h"

#define HTTP_FUNCTIONS(X)                                                                          \
    X(curl_easy_cleanup)                                                                           \
    X(curl_easy_getinfo)                                                                           \
    X(curl_easy_init)                                                                              \
    X(curl_easy_perform)                                                                           \
    X(curl_easy_reset)                                                                             \
    X(curl_easy_setopt)                                                                            \
    X(curl_global_init)                                                                            \
    X(curl_slist_append)                                                                           \
    X(curl_slist_free_all)

static const char *const names[] = {HTTP_FUNCTIONS(WIRE_LIBRARY_NAME)};

static struct {
    HTTP_FUNCTIONS(WIRE_LIBRARY_POINTER)
} so;

enum { BODY_FIRST = 16384, NUMBER_MAX = 24, LINE_MAX_BYTES = 8192 };

static const uint64_t ms = 1000000;
static const uint64_t age_max_s = UINT64_C(365) * 86400 * 100;

struct http_client {
    const brisk_alloc *alloc;
    http_opts opts; /* with strings of our own */
    char *strings[4 + HTTP_HEADERS_MAX];
    const char *headers[HTTP_HEADERS_MAX];
    pthread_mutex_t lock;
    CURL *idle[HTTP_IDLE_MAX];
    uint32_t idle_count;
};

/* --- the library -------------------------------------------------------------------------- */

static pthread_once_t load_once = PTHREAD_ONCE_INIT;
static brisk_errinfo load_result; /* written once, under load_once */

static void load(void)
{
    void *table[sizeof names / sizeof names[0]];
    load_result.code = wire_library_load("libcurl.so.4", names, table,
                                         sizeof names / sizeof names[0], &load_result);
    if (load_result.code != BRISK_OK) {
        return;
    }
    memcpy(&so, table, sizeof so);
    if (so.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        load_result.code =
            brisk_errinfo_set(&load_result, BRISK_ERR_NOMEM, "libcurl does not start");
    }
}

static brisk_err need_library(brisk_errinfo *info)
{
    (void)pthread_once(&load_once, load);
    return load_result.code == BRISK_OK
               ? BRISK_OK
               : brisk_errinfo_set(info, load_result.code, "HTTP: %s", load_result.text);
}

/* --- life --------------------------------------------------------------------------------- */

static char *copy_string(http_client *client, uint32_t slot, const char *head, const char *text)
{
    size_t size = strlen(head) + strlen(text) + 1;
    char *copy = client->alloc->acquire(client->alloc->ctx, size, 1);
    if (copy != NULL) {
        (void)snprintf(copy, size, "%s%s", head, text);
    }
    client->strings[slot] = copy;
    return copy;
}

/* A header that ends early would make another one of what follows. */
static bool is_header(const char *text)
{
    return strpbrk(text, "\r\n") == NULL && strchr(text, ':') != NULL && text[0] != ':' &&
           strlen(text) < LINE_MAX_BYTES;
}

static brisk_err copy_headers(http_client *client, const http_opts *opts, brisk_errinfo *info)
{
    if (opts->header_count > HTTP_HEADERS_MAX - 1) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "HTTP: too many headers");
    }
    uint32_t count = 0;
    uint32_t slot = 3;
    for (uint32_t i = 0; i < opts->header_count; i++) {
        if (!is_header(opts->headers[i])) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                     "HTTP: header %u is not 'Name: value'", i + 1);
        }
        client->headers[count++] = copy_string(client, slot++, "", opts->headers[i]);
    }
    if (opts->bearer != NULL) {
        if (strpbrk(opts->bearer, "\r\n") != NULL) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID, "HTTP: a token is one line");
        }
        client->headers[count++] =
            copy_string(client, slot++, "Authorization: Bearer ", opts->bearer);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (client->headers[i] == NULL) {
            return BRISK_ERR_NOMEM;
        }
    }
    client->opts.headers = client->headers;
    client->opts.header_count = count;
    return BRISK_OK;
}

static brisk_err copy_opts(http_client *client, const http_opts *opts, brisk_errinfo *info)
{
    const char *const files[] = {opts->tls_ca_file, opts->tls_cert_file, opts->tls_key_file};
    const char **const copies[] = {&client->opts.tls_ca_file, &client->opts.tls_cert_file,
                                   &client->opts.tls_key_file};
    for (uint32_t i = 0; i < 3; i++) {
        if (files[i] != NULL) {
            *copies[i] = copy_string(client, i, "", files[i]);
            if (*copies[i] == NULL) {
                return BRISK_ERR_NOMEM;
            }
        }
    }
    client->opts.bearer = NULL;
    return copy_headers(client, opts, info);
}

brisk_err http_client_create(const http_opts *opts, http_client **ret, brisk_errinfo *info)
{
    BRISK_ASSERT(opts != NULL && ret != NULL);
    brisk_err err = need_library(info);
    if (err != BRISK_OK) {
        return err;
    }
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    http_client *client = alloc->acquire(alloc->ctx, sizeof *client, _Alignof(http_client));
    if (client == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "HTTP: out of memory");
    }
    *client = (http_client){.alloc = alloc, .opts = *opts};
    client->opts.header_count = 0;
    int failed = pthread_mutex_init(&client->lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex on Linux */
    err = copy_opts(client, opts, info);
    if (err != BRISK_OK) {
        http_client_destroy(client);
        return err != BRISK_ERR_NOMEM ? err : brisk_errinfo_set(info, err, "HTTP: out of memory");
    }
    *ret = client;
    return BRISK_OK;
}

void http_client_destroy(http_client *client)
{
    if (client == NULL) {
        return;
    }
    for (uint32_t i = 0; i < client->idle_count; i++) {
        so.curl_easy_cleanup(client->idle[i]);
    }
    for (size_t i = 0; i < sizeof client->strings / sizeof client->strings[0]; i++) {
        if (client->strings[i] != NULL) {
            size_t size = strlen(client->strings[i]) + 1;
            explicit_bzero(client->strings[i], size);
            client->alloc->release(client->alloc->ctx, client->strings[i], size, 1);
        }
    }
    (void)pthread_mutex_destroy(&client->lock);
    client->alloc->release(client->alloc->ctx, client, sizeof *client, _Alignof(http_client));
}

static CURL *take_handle(http_client *client)
{
    CURL *handle = NULL;
    (void)pthread_mutex_lock(&client->lock);
    if (client->idle_count > 0) {
        handle = client->idle[--client->idle_count];
    }
    (void)pthread_mutex_unlock(&client->lock);
    return handle != NULL ? handle : so.curl_easy_init();
}

static void give_handle(http_client *client, CURL *handle)
{
    so.curl_easy_reset(handle);
    (void)pthread_mutex_lock(&client->lock);
    bool keep = client->idle_count < HTTP_IDLE_MAX;
    if (keep) {
        client->idle[client->idle_count++] = handle;
    }
    (void)pthread_mutex_unlock(&client->lock);
    if (!keep) {
        so.curl_easy_cleanup(handle);
    }
}

/* --- answers ------------------------------------------------------------------------------ */

void http_response_deinit(http_response *response)
{
    if (response->body != NULL) {
        response->alloc_->release(response->alloc_->ctx, response->body, response->body_capacity_,
                                  1);
    }
    response->body = NULL;
    response->body_size = 0;
    response->body_capacity_ = 0;
}

/* Seconds; too many are very many.  False: not a number. */
static bool read_seconds(const char *text, size_t size, uint64_t *ret)
{
    uint64_t value = 0;
    size_t digits = 0;
    while (digits < size && text[digits] >= '0' && text[digits] <= '9') {
        value = value < age_max_s ? value * 10 + (uint64_t)(text[digits] - '0') : value;
        digits++;
    }
    *ret = value < age_max_s ? value : age_max_s;
    return digits > 0;
}

static bool is_word(const char *text, size_t size, const char *word)
{
    return size == strlen(word) && strncasecmp(text, word, size) == 0;
}

static bool begins(const char *text, size_t size, const char *word)
{
    return size > strlen(word) && strncasecmp(text, word, strlen(word)) == 0;
}

static void read_directive(http_response *response, const char *text, size_t size)
{
    uint64_t seconds;
    if (is_word(text, size, "no-store") || is_word(text, size, "no-cache") ||
        is_word(text, size, "private")) {
        response->no_store = true;
    } else if ((begins(text, size, "s-maxage=") && read_seconds(text + 9, size - 9, &seconds)) ||
               (begins(text, size, "max-age=") && !response->has_max_age &&
                read_seconds(text + 8, size - 8, &seconds))) {
        response->max_age_s = seconds;
        response->has_max_age = true;
    }
}

static void read_cache_control(http_response *response, const char *text, size_t size)
{
    for (int pass = 0; pass < 2; pass++) { /* s-maxage first, wherever it stands */
        for (size_t at = 0; at < size;) {
            const char *comma = memchr(text + at, ',', size - at);
            size_t end = comma != NULL ? (size_t)(comma - text) : size;
            size_t next = end + 1;
            while (at < end && (text[at] == ' ' || text[at] == '\t')) {
                at++;
            }
            while (end > at && (text[end - 1] == ' ' || text[end - 1] == '\t')) {
                end--;
            }
            if (pass == 1 || begins(text + at, end - at, "s-maxage=")) {
                read_directive(response, text + at, end - at);
            }
            at = next;
        }
    }
}

/* A CR alone, say, which would end the line of the next request's head that the ETag goes into. */
static bool has_control(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 127) {
            return true;
        }
    }
    return false;
}

void http_read_header(http_response *response, const char *line, size_t size)
{
    while (size > 0 && strchr("\r\n \t", line[size - 1]) != NULL && line[size - 1] != '\0') {
        size--;
    }
    if (begins(line, size, "HTTP/")) { /* of a new answer, after "100 Continue" say */
        response->no_store = false;
        response->has_max_age = false;
        response->age_s = 0;
        response->etag[0] = '\0';
        return;
    }
    const char *colon = memchr(line, ':', size);
    if (colon == NULL) {
        return;
    }
    size_t name = (size_t)(colon - line);
    const char *value = colon + 1;
    size_t value_size = size - name - 1;
    while (value_size > 0 && (*value == ' ' || *value == '\t')) {
        value++;
        value_size--;
    }
    if (is_word(line, name, "etag") && value_size > 0 && value_size < HTTP_ETAG_MAX &&
        !has_control(value, value_size)) {
        memcpy(response->etag, value, value_size);
        response->etag[value_size] = '\0';
    } else if (is_word(line, name, "cache-control")) {
        read_cache_control(response, value, value_size);
    } else if (is_word(line, name, "age")) {
        (void)read_seconds(value, value_size, &response->age_s);
    }
}

/* What the callbacks know. */
typedef struct transfer {
    http_response *response;
    const http_request *request;
    size_t sent;
    uint64_t body_bytes_max;
    brisk_err err;
} transfer;

static size_t on_header(char *line, size_t one, size_t size, void *ctx)
{
    transfer *t = ctx;
    (void)one; /* always 1 */
    http_read_header(t->response, line, size);
    return size;
}

static bool grow_body(http_response *response, size_t wanted)
{
    size_t capacity = response->body_capacity_ != 0 ? response->body_capacity_ : BODY_FIRST;
    while (capacity < wanted) {
        capacity *= 2;
    }
    if (capacity == response->body_capacity_) {
        return true;
    }
    unsigned char *body = response->alloc_->acquire(response->alloc_->ctx, capacity, 1);
    if (body == NULL) {
        return false;
    }
    size_t size = response->body_size;
    if (size > 0) {
        memcpy(body, response->body, size);
    }
    http_response_deinit(response);
    response->body = body;
    response->body_size = size;
    response->body_capacity_ = capacity;
    return true;
}

static size_t on_body(char *data, size_t one, size_t size, void *ctx)
{
    transfer *t = ctx;
    http_response *response = t->response;
    (void)one;
    if (size > t->body_bytes_max - response->body_size) {
        t->err = BRISK_ERR_LIMIT;
        return 0;
    }
    if (!grow_body(response, response->body_size + size)) {
        t->err = BRISK_ERR_NOMEM;
        return 0;
    }
    memcpy(response->body + response->body_size, data, size);
    response->body_size += size;
    return size;
}

static size_t on_upload(char *room, size_t one, size_t size, void *ctx)
{
    transfer *t = ctx;
    size_t part = t->request->body_size - t->sent;
    (void)one;
    part = part < size ? part : size;
    memcpy(room, (const char *)t->request->body + t->sent, part);
    t->sent += part;
    return part;
}

/* --- requests ----------------------------------------------------------------------------- */

static bool append(struct curl_slist **list, const char *text)
{
    struct curl_slist *longer = so.curl_slist_append(*list, text);
    *list = longer != NULL ? longer : *list;
    return longer != NULL;
}

static bool make_headers(const http_client *client, const http_request *request,
                         struct curl_slist **list)
{
    bool good = append(list, "Expect:"); /* no waiting for "100 Continue" */
    for (uint32_t i = 0; i < client->opts.header_count && good; i++) {
        good = append(list, client->opts.headers[i]);
    }
    for (uint32_t i = 0; i < 4 && request->headers[i] != NULL && good; i++) {
        good = append(list, request->headers[i]);
    }
    return good;
}

static long as_ms(uint64_t ns)
{
    return (long)((ns + ms - 1) / ms);
}

static void set_transport(const http_client *client, CURL *h)
{
    const http_opts *o = &client->opts;
    (void)so.curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
    (void)so.curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    (void)so.curl_easy_setopt(h, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    (void)so.curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    (void)so.curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, as_ms(o->timeout_ns + o->connect_timeout_ns));
    (void)so.curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, as_ms(o->connect_timeout_ns));
    (void)so.curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    (void)so.curl_easy_setopt(h, CURLOPT_TCP_NODELAY, 1L);
    (void)so.curl_easy_setopt(h, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    if (o->tls_ca_file != NULL) {
        (void)so.curl_easy_setopt(h, CURLOPT_CAINFO, o->tls_ca_file);
    }
    if (o->tls_cert_file != NULL) {
        (void)so.curl_easy_setopt(h, CURLOPT_SSLCERT, o->tls_cert_file);
    }
    if (o->tls_key_file != NULL) {
        (void)so.curl_easy_setopt(h, CURLOPT_SSLKEY, o->tls_key_file);
    }
}

static void set_request(CURL *h, const http_request *request, transfer *t)
{
    (void)so.curl_easy_setopt(h, CURLOPT_URL, request->url);
    (void)so.curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    (void)so.curl_easy_setopt(h, CURLOPT_HEADERDATA, t);
    (void)so.curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    (void)so.curl_easy_setopt(h, CURLOPT_WRITEDATA, t);
    if (strcmp(request->method, "HEAD") == 0) {
        (void)so.curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
    } else if (request->body != NULL) {
        (void)so.curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
        (void)so.curl_easy_setopt(h, CURLOPT_READFUNCTION, on_upload);
        (void)so.curl_easy_setopt(h, CURLOPT_READDATA, t);
        (void)so.curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_size);
    }
    if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0) {
        (void)so.curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, request->method);
    }
}

static brisk_err judge(CURLcode code, const transfer *t)
{
    if (t->err != BRISK_OK) {
        return t->err;
    }
    switch ((int)code) {
    case CURLE_OK: return BRISK_OK;
    case CURLE_OPERATION_TIMEDOUT: return BRISK_ERR_DEADLINE;
    case CURLE_COULDNT_RESOLVE_HOST: return BRISK_ERR_NOT_FOUND;
    case CURLE_OUT_OF_MEMORY: return BRISK_ERR_NOMEM;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE: return BRISK_ERR_PERMISSION;
    case CURLE_URL_MALFORMAT: return BRISK_ERR_INVALID;
    default: return BRISK_ERR_IO;
    }
}

brisk_err http_run(http_client *client, const http_request *request, http_response *ret)
{
    CURL *handle = take_handle(client);
    struct curl_slist *headers = NULL;
    if (handle == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *ret = (http_response){.alloc_ = client->alloc};
    transfer t = {
        .response = ret, .request = request, .body_bytes_max = client->opts.body_bytes_max};
    set_transport(client, handle);
    set_request(handle, request, &t);
    brisk_err err = BRISK_ERR_NOMEM;
    if (make_headers(client, request, &headers)) {
        (void)so.curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
        err = judge(so.curl_easy_perform(handle), &t);
    }
    if (err == BRISK_OK &&
        so.curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &ret->status) != CURLE_OK) {
        err = BRISK_ERR_IO;
    }
    so.curl_slist_free_all(headers);
    give_handle(client, handle);
    if (err != BRISK_OK) {
        http_response_deinit(ret);
    }
    return err;
}
