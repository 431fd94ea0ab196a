/*
 * http_transfer.c -- one attempt: libcurl's handle, what is sent, what comes back.
 *
 * Handles are kept and set anew for each attempt; connections are the multi handle's, not theirs.
 * Bodies are taken as they are sent (no Content-Encoding is undone here).  Room for a body is
 * what Content-Length says, but at most TRUSTED bytes before as many have come.
 *
 * What libcurl says about an error may hold a URL: only its constant words are used.
 *
 * Invariant: t->body has room for body_size + HTTP_BODY_TAIL bytes, or is NULL with body_size 0.
 */
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <brisk/clock.h>

#include "base/assert.h"
#include "io/http_internal.h"

enum { TRUSTED = 4 << 20, BODY_FIRST = 16384, CURL_BUFFER = 65536 };

static const uint64_t us = 1000;

/* --- what comes back ------------------------------------------------------------------------ */

static size_t stop_with(http_transfer *t, brisk_err err, const char *why)
{
    t->err = err;
    t->why = why;
    return 0;
}

static bool has_body(const http_transfer *t)
{
    return strcmp(t->call->method, "HEAD") != 0 && t->head.status != 304 && t->head.status != 204;
}

static size_t on_header(char *line, size_t one, size_t size, void *ctx)
{
    http_transfer *t = ctx;
    (void)one; /* always 1 */
    uint64_t now = brisk_clock_now_ns(NULL);
    t->first_byte_ns = t->first_byte_ns != 0 ? t->first_byte_ns : now;
    t->last_byte_ns = now;
    t->call->host->heard_ns = now;
    t->head_bytes += size;
    t->client->stats.bytes_in += size;
    t->call->host->counts.bytes_in += size;
    if (t->head_bytes > t->client->settings.o.head_bytes_max) {
        return stop_with(t, BRISK_ERR_LIMIT, "the answer's headers are too long");
    }
    if (t->head_ended) {
        return size; /* trailers */
    }
    http_head_read(&t->head, line, size);
    if (size > 2 || t->head.status < 200) {
        return size;
    }
    http_head_end(&t->head);
    t->head_ended = true;
    if (t->head.has_length && t->head.length > t->body_bytes_max && has_body(t)) {
        return stop_with(t, BRISK_ERR_LIMIT, "the answer's body is too large");
    }
    return size;
}

static bool reserve(http_transfer *t, size_t wanted)
{
    const brisk_alloc *alloc = t->client->alloc;
    if (t->body != NULL && wanted + HTTP_BODY_TAIL <= t->body_capacity) {
        return true;
    }
    size_t capacity = t->body_capacity * 2;
    if (t->body == NULL) {
        capacity = t->head.has_length && t->head.length <= TRUSTED
                       ? (size_t)t->head.length + HTTP_BODY_TAIL
                       : (t->head.has_length ? TRUSTED : BODY_FIRST);
    }
    capacity = capacity < wanted + HTTP_BODY_TAIL ? wanted + HTTP_BODY_TAIL : capacity;
    unsigned char *body = alloc->acquire(alloc->ctx, capacity, 1);
    if (body == NULL) {
        return false;
    }
    if (t->body != NULL) {
        memcpy(body, t->body, t->body_size);
        alloc->release(alloc->ctx, t->body, t->body_capacity, 1);
    }
    t->body = body;
    t->body_capacity = capacity;
    return true;
}

static size_t on_body(char *data, size_t one, size_t size, void *ctx)
{
    http_transfer *t = ctx;
    (void)one;
    t->last_byte_ns = brisk_clock_now_ns(NULL);
    t->call->host->heard_ns = t->last_byte_ns;
    t->client->stats.bytes_in += size;
    t->client->meter.bytes += size;
    t->call->host->counts.bytes_in += size;
    t->call->host->meter.bytes += size;
    if (size > t->body_bytes_max - t->body_size) {
        return stop_with(t, BRISK_ERR_LIMIT, "the answer's body is too large");
    }
    if (!reserve(t, t->body_size + size)) {
        return stop_with(t, BRISK_ERR_NOMEM, "out of memory");
    }
    memcpy(t->body + t->body_size, data, size);
    t->body_size += size;
    return size;
}

static void drop_body(http_transfer *t)
{
    const brisk_alloc *alloc = t->client->alloc;
    if (t->body != NULL) {
        alloc->release(alloc->ctx, t->body, t->body_capacity, 1);
    }
    t->body = NULL;
    t->body_size = 0;
    t->body_capacity = 0;
}

/* --- what is sent --------------------------------------------------------------------------- */

/* What an origin that a redirection has led to may hear of the request's own headers. */
static bool may_go_elsewhere(const char *header)
{
    static const char *const names[] = {
        "Accept:", "Accept-Language:", "Cache-Control:", "Priority:", "Range:", "User-Agent:"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (http_same_name(header, names[i])) {
            return true;
        }
    }
    return strncasecmp(header, "If-", 3) == 0;
}

static bool asks_itself(const http_call *call, const char *name)
{
    for (uint32_t i = 0; i < call->header_count; i++) {
        if (http_same_name(call->headers[i], name)) {
            return true;
        }
    }
    return false;
}

static bool append(const http_curl *so, struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = so->curl_slist_append(*list, line);
    *list = longer != NULL ? longer : *list;
    return longer != NULL;
}

/* "Name;" is how libcurl is told to send a header without a value; "Name:" drops its own. */
static bool append_header(const http_curl *so, struct curl_slist **list, const char *line)
{
    const char *value = strchr(line, ':') + 1;
    value += strspn(value, " \t");
    if (*value != '\0') {
        return append(so, list, line);
    }
    char name[BRISK_HTTP_ETAG_MAX];
    int size = snprintf(name, sizeof name, "%.*s;", (int)strcspn(line, ":"), line);
    return size > 0 && (size_t)size < sizeof name && append(so, list, name);
}

static bool make_headers(const brisk_http_client *client, const http_call *call,
                         const http_url *url, struct curl_slist **list)
{
    const http_curl *so = client->so;
    const brisk_http_client_opts *o = &client->settings.o;
    bool good = append(so, list, "Expect:"); /* no waiting for "100 Continue" */
    for (uint32_t i = 0; i < o->header_count && good; i++) {
        good = asks_itself(call, o->headers[i]) || append_header(so, list, o->headers[i]);
    }
    for (uint32_t i = 0; i < call->header_count && good; i++) {
        good = (call->elsewhere && !may_go_elsewhere(call->headers[i])) ||
               append_header(so, list, call->headers[i]);
    }
    if (call->condition != NULL) {
        good = good && append(so, list, call->condition);
    }
    if (!call->plain && !asks_itself(call, "Accept-Encoding:")) {
        good = good && append(so, list, "Accept-Encoding: gzip, br, zstd");
    }
    const void *body;
    bool packed;
    (void)http_call_body(call, &body, &packed);
    if (packed) {
        good = good && append(so, list, "Content-Encoding: gzip");
    }
    if (call->priority != BRISK_HTTP_NORMAL && !asks_itself(call, "Priority:")) {
        const char *line =
            call->priority == BRISK_HTTP_HIGH ? "Priority: u=1" : "Priority: u=5"; /* 3: normal */
        good = good && append(so, list, line);
    }
    if (call->body != NULL && !asks_itself(call, "Content-Type:")) {
        good = good && append(so, list, "Content-Type:"); /* it is no form */
    }
    const http_token *token =
        http_token_find(client->settings.tokens, client->settings.o.token_count, url);
    if (token != NULL && (call->elsewhere || !asks_itself(call, "Authorization:"))) {
        good = good && append(so, list, token->line);
    }
    return good;
}

static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    brisk_http_client *client = ctx;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    (void)purpose;
    client->stats.connections_open += fd >= 0;
    return fd >= 0 ? fd : CURL_SOCKET_BAD;
}

static int on_close(void *ctx, curl_socket_t fd)
{
    brisk_http_client *client = ctx;
    client->stats.connections_open--;
    return close(fd);
}

/* Counted, and not kept for longer than idle_timeout; libcurl looks when it looks for a connection. */
static void set_pool(brisk_http_client *client, CURL *h)
{
    const http_curl *so = client->so;
    uint64_t seconds = (client->settings.o.idle_timeout_ns + 999999999) / 1000000000;
    (void)so->curl_easy_setopt(h, CURLOPT_MAXAGE_CONN,
                               seconds < INT32_MAX ? (long)seconds : (long)INT32_MAX);
    (void)so->curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, on_open);
    (void)so->curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, client);
    (void)so->curl_easy_setopt(h, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    (void)so->curl_easy_setopt(h, CURLOPT_CLOSESOCKETDATA, client);
}

static long as_ms(uint64_t ns)
{
    uint64_t ms = ns / 1000000 + 1;
    return ms < INT32_MAX ? (long)ms : INT32_MAX;
}

/* libcurl tells of no end of TCP's part before that of TLS's, but calls this between them. */
static CURLcode on_tls(CURL *easy, void *tls, void *ctx)
{
    http_transfer *t = ctx;
    (void)easy;
    (void)tls;
    t->tls_begun_ns = brisk_clock_now_ns(NULL);
    http_loop_at(t->client, t->tls_begun_ns + t->client->settings.o.tls_timeout_ns);
    return CURLE_OK;
}

/* libcurl waits for both phases together; http_transfer_due tells them apart. */
static void set_connection(const brisk_http_client *client, CURL *h, const http_host *host)
{
    const http_curl *so = client->so;
    const brisk_http_client_opts *o = &client->settings.o;
    bool tls = strncmp(host->origin, "https:", 6) == 0;
    long version = o->http1 ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS;
    (void)so->curl_easy_setopt(h, CURLOPT_HTTP_VERSION, version);
    (void)so->curl_easy_setopt(h, CURLOPT_PIPEWAIT, host->version == 11 ? 0L : 1L);
    (void)so->curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS,
                               as_ms(o->connect_timeout_ns + o->tls_timeout_ns));
    (void)so->curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    (void)so->curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    (void)so->curl_easy_setopt(h, CURLOPT_TCP_NODELAY, 1L);
    (void)so->curl_easy_setopt(h, CURLOPT_BUFFERSIZE, (long)CURL_BUFFER);
#if LIBCURL_VERSION_NUM >= 0x075700
    (void)so->curl_easy_setopt(h, CURLOPT_QUICK_EXIT,
                               1L); /* a name server must not delay the end */
#endif
    if (o->ca_file != NULL) {
        (void)so->curl_easy_setopt(h, CURLOPT_CAINFO, o->ca_file);
        (void)so->curl_easy_setopt(h, CURLOPT_PROXY_CAINFO, o->ca_file);
    }
    if (o->cert_file != NULL) {
        (void)so->curl_easy_setopt(h, CURLOPT_SSLCERT, o->cert_file);
        (void)so->curl_easy_setopt(h, CURLOPT_SSLKEY, o->key_file);
    }
    const char *proxy = tls ? o->https_proxy : o->http_proxy;
    if (proxy != NULL) {
        (void)so->curl_easy_setopt(h, CURLOPT_PROXY, proxy);
    }
    if (o->no_proxy != NULL) {
        (void)so->curl_easy_setopt(h, CURLOPT_NOPROXY, o->no_proxy);
    }
    (void)so->curl_easy_setopt(h, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    (void)so->curl_easy_setopt(h, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

static void set_request(const brisk_http_client *client, http_transfer *t)
{
    const http_curl *so = client->so;
    const http_call *call = t->call;
    CURL *h = t->easy;
#if LIBCURL_VERSION_NUM >= 0x075500
    (void)so->curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    (void)so->curl_easy_setopt(h, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    (void)so->curl_easy_setopt(h, CURLOPT_PRIVATE, t);
    (void)so->curl_easy_setopt(h, CURLOPT_URL, call->url);
    (void)so->curl_easy_setopt(h, CURLOPT_USERAGENT, client->settings.o.user_agent);
    (void)so->curl_easy_setopt(h, CURLOPT_HTTPHEADER, t->headers);
    (void)so->curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    (void)so->curl_easy_setopt(h, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    (void)so->curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    (void)so->curl_easy_setopt(h, CURLOPT_HEADERDATA, t);
    (void)so->curl_easy_setopt(h, CURLOPT_SSL_CTX_FUNCTION, on_tls);
    (void)so->curl_easy_setopt(h, CURLOPT_SSL_CTX_DATA, t);
    (void)so->curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    (void)so->curl_easy_setopt(h, CURLOPT_WRITEDATA, t);
    if (t->hedge) {
        (void)so->curl_easy_setopt(h, CURLOPT_FRESH_CONNECT, 1L);
    }
    if (strcmp(call->method, "HEAD") == 0) {
        (void)so->curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
    } else if (call->body != NULL) {
        const void *body;
        size_t size = http_call_body(call, &body, &t->packed);
        (void)so->curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
        (void)so->curl_easy_setopt(h, CURLOPT_POSTFIELDS, body);
    }
    bool implied = strcmp(call->method, "HEAD") == 0 ||
                   (strcmp(call->method, "GET") == 0 && call->body == NULL); /* a body means POST */
    if (!implied) {
        (void)so->curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, call->method);
    }
}

/* --- life ----------------------------------------------------------------------------------- */

static void link_running(brisk_http_client *client, http_transfer *t)
{
    t->prev = NULL;
    t->next = client->running;
    if (t->next != NULL) {
        t->next->prev = t;
    }
    client->running = t;
}

static void unlink_running(brisk_http_client *client, http_transfer *t)
{
    *(t->prev != NULL ? &t->prev->next : &client->running) = t->next;
    if (t->next != NULL) {
        t->next->prev = t->prev;
    }
}

static void destroy(const brisk_http_client *client, http_transfer *t)
{
    client->so->curl_easy_cleanup(t->easy);
    client->alloc->release(client->alloc->ctx, t, sizeof *t, _Alignof(http_transfer));
}

static http_transfer *take(brisk_http_client *client)
{
    http_transfer *t = client->idle;
    if (t != NULL) {
        client->idle = t->next;
        client->idle_count--;
        return t;
    }
    t = client->alloc->acquire(client->alloc->ctx, sizeof *t, _Alignof(http_transfer));
    if (t == NULL) {
        return NULL;
    }
    t->easy = client->so->curl_easy_init();
    if (t->easy == NULL) {
        client->alloc->release(client->alloc->ctx, t, sizeof *t, _Alignof(http_transfer));
        return NULL;
    }
    return t;
}

static void give(brisk_http_client *client, http_transfer *t)
{
    client->so->curl_slist_free_all(t->headers);
    drop_body(t);
    if (client->idle_count >= HTTP_HANDLES_KEPT) {
        destroy(client, t);
        return;
    }
    client->so->curl_easy_reset(t->easy);
    t->next = client->idle;
    client->idle = t;
    client->idle_count++;
}

/* libcurl has one limit for all hosts, and would open a connection for each request that a server
 * of HTTP/2 has no stream for: the limit is that of a pool only when there is a host that needs one. */
static void widen(brisk_http_client *client, const http_host *host)
{
    if (host->version == 11 && !client->wide) {
        client->wide = true;
        (void)client->so->curl_multi_setopt(client->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                                            (long)client->settings.o.connections_max);
    }
}

brisk_err http_transfer_start(brisk_http_client *client, http_call *call, bool hedge,
                              uint64_t now_ns)
{
    http_url url;
    brisk_err err = http_url_parse(client->so, call->url, &url);
    http_transfer *t = err == BRISK_OK ? take(client) : NULL;
    if (t == NULL) {
        return err == BRISK_OK ? BRISK_ERR_NOMEM : err;
    }
    CURL *easy = t->easy;
    memset(t, 0, offsetof(http_transfer, head));
    http_head_init(&t->head);
    t->easy = easy;
    t->call = call;
    t->hedge = hedge;
    t->client = client;
    t->started_ns = now_ns;
    t->body_bytes_max = call->body_bytes_max;
    if (!make_headers(client, call, &url, &t->headers)) {
        give(client, t);
        return BRISK_ERR_NOMEM;
    }
    widen(client, call->host);
    set_connection(client, easy, call->host);
    set_pool(client, easy);
    set_request(client, t);
    if (client->so->curl_multi_add_handle(client->multi, easy) != CURLM_OK) {
        give(client, t);
        return BRISK_ERR_NOMEM;
    }
    link_running(client, t);
    call->transfers[hedge ? 1 : 0] = t;
    call->host->in_flight++;
    client->stats.in_flight++;
    if (client->stats.in_flight > client->stats.in_flight_peak) {
        client->stats.in_flight_peak = client->stats.in_flight;
    }
    return BRISK_OK;
}

void http_transfer_stop(brisk_http_client *client, http_transfer *t)
{
    http_call *call = t->call;
    CURLMcode code = client->so->curl_multi_remove_handle(client->multi, t->easy);
    BRISK_ASSERT(code == CURLM_OK);
    unlink_running(client, t);
    BRISK_ASSERT(call->transfers[t->hedge ? 1 : 0] == t && call->host->in_flight > 0);
    call->transfers[t->hedge ? 1 : 0] = NULL;
    call->host->in_flight--;
    client->stats.in_flight--;
    if (client->stats.in_flight == 0) {
        client->used_ns = brisk_clock_now_ns(NULL);
        http_loop_at(client, client->used_ns + client->settings.o.idle_timeout_ns);
    }
    give(client, t);
}

void http_transfers_destroy(brisk_http_client *client)
{
    BRISK_ASSERT(client->running == NULL);
    while (client->idle != NULL) {
        http_transfer *t = client->idle;
        client->idle = t->next;
        destroy(client, t);
    }
    client->idle_count = 0;
}

/* --- what became of it ---------------------------------------------------------------------- */

static uint64_t time_of(const brisk_http_client *client, const http_transfer *t, CURLINFO which)
{
    curl_off_t value = 0;
    (void)client->so->curl_easy_getinfo(t->easy, which, &value);
    return value > 0 ? (uint64_t)value * us : 0;
}

uint64_t http_transfer_due(const brisk_http_client *client, const http_transfer *t,
                           const char **why)
{
    const brisk_http_client_opts *o = &client->settings.o;
    if (t->first_byte_ns != 0) {
        *why = "the answer stalls";
        return t->last_byte_ns + o->stall_timeout_ns;
    }
    uint64_t sent = time_of(client, t, CURLINFO_PRETRANSFER_TIME_T);
    if (sent != 0) {
        *why = "no answer in time";
        return t->started_ns + sent + o->first_byte_timeout_ns;
    }
    if (t->tls_begun_ns != 0) {
        *why = "no TLS connection in time";
        return t->tls_begun_ns + o->tls_timeout_ns;
    }
    /* It may wait for somebody else's connection: that one has its own time, and moves. */
    uint64_t since =
        t->call->host->heard_ns > t->started_ns ? t->call->host->heard_ns : t->started_ns;
    *why = "no connection in time";
    return since + o->connect_timeout_ns;
}

brisk_err http_transfer_judge(const http_transfer *t, CURLcode code, const char **why)
{
    if (t->err != BRISK_OK) {
        *why = t->why;
        return t->err;
    }
    switch ((int)code) {
    case CURLE_OK:
        *why = "";
        if (t->head.status == 0) {
            *why = "what it answers is not HTTP";
            return BRISK_ERR_CORRUPT;
        }
        return BRISK_OK;
    case CURLE_OPERATION_TIMEDOUT: *why = "no connection in time"; return BRISK_ERR_DEADLINE;
    case CURLE_COULDNT_RESOLVE_HOST: *why = "no such host"; return BRISK_ERR_NOT_FOUND;
    case CURLE_COULDNT_RESOLVE_PROXY: *why = "no such proxy"; return BRISK_ERR_NOT_FOUND;
    case CURLE_COULDNT_CONNECT: *why = "no connection"; return BRISK_ERR_IO;
    case CURLE_OUT_OF_MEMORY: *why = "out of memory"; return BRISK_ERR_NOMEM;
    case CURLE_PEER_FAILED_VERIFICATION:
        *why = "its certificate is not trusted";
        return BRISK_ERR_PERMISSION;
    case CURLE_SSL_CERTPROBLEM:
        *why = "our certificate or its key cannot be used";
        return BRISK_ERR_PERMISSION;
    case CURLE_SSL_CACERT_BADFILE:
        *why = "the file of trusted certificates cannot be read";
        return BRISK_ERR_PERMISSION;
    case CURLE_URL_MALFORMAT: *why = "the URL cannot be read"; return BRISK_ERR_INVALID;
    case CURLE_PARTIAL_FILE: *why = "the answer is cut short"; return BRISK_ERR_IO;
    case CURLE_GOT_NOTHING: *why = "the connection was closed instead of an answer"; break;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_HTTP2: *why = "what it answers is not HTTP"; break;
    case CURLE_HTTP2_STREAM: *why = "the server broke off the answer"; break;
    case CURLE_SSL_CONNECT_ERROR: *why = "no TLS connection"; break;
    default: *why = "the connection failed"; break;
    }
    return BRISK_ERR_IO;
}

bool http_transfer_is_transient(const http_transfer *t, CURLcode code)
{
    if (t->err != BRISK_OK) {
        return t->err == BRISK_ERR_DEADLINE;
    }
    switch ((int)code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_SSL_CONNECT_ERROR: return true;
    default: return false;
    }
}

uint64_t http_transfer_latency(const brisk_http_client *client, const http_transfer *t)
{
    uint64_t first = time_of(client, t, CURLINFO_STARTTRANSFER_TIME_T);
    uint64_t sent = time_of(client, t, CURLINFO_PRETRANSFER_TIME_T);
    return first > sent ? first - sent : 1;
}

/* Figures of a transfer that ended, into its call's answer. */
void http_transfer_report(const brisk_http_client *client, http_transfer *t, http_answer *answer)
{
    brisk_http_response *r = &answer->base;
    long version = 0;
    long connects = 0;
    (void)client->so->curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
    (void)client->so->curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
    r->status = t->head.status;
    r->http_version = version == CURL_HTTP_VERSION_1_0 ? 10 : version >= 3 ? 20 : 11;
    r->encoding = t->head.encoding;
    r->caching = t->head.caching;
    memcpy(r->content_type, t->head.content_type, sizeof r->content_type);
    r->retry_after_ns = t->head.has_retry_after ? t->head.retry_after_s * UINT64_C(1000000000) : 0;
    r->wire_size = t->body_size;
    r->sent_size = t->packed ? t->call->packed_size : t->call->body_size;
    r->hedged = t->hedge;
    r->reused = connects == 0;
    if (connects > 0) {
        uint64_t connected = time_of(client, t, CURLINFO_CONNECT_TIME_T);
        uint64_t tls = time_of(client, t, CURLINFO_APPCONNECT_TIME_T);
        r->connect_ns = connected;
        r->tls_ns = tls > connected ? tls - connected : 0;
    }
    r->first_byte_ns = http_transfer_latency(client, t);
}
