/*
 * detect.c -- which protocol a connection speaks: its first bytes say so.
 *
 *     "*"                                     the Redis protocol: requests are arrays
 *     "PRI * HTTP/2.0"                        HTTP/2
 *     a line that ends in HTTP/ and a version HTTP/1.1
 *     a command that there is                 inline commands of the Redis protocol ("PING")
 *     anything else                           nothing that is spoken here: closed
 *
 * "GET key" is Redis's and "GET /key HTTP/1.1" is not, so it is the whole first line that decides.  One that is not
 * whole after LINE_MAX bytes is HTTP's when it begins as a request does.  TLS was taken off before (conn.c); what was
 * agreed on with it (ALPN) holds whatever the bytes are.
 *
 * From then on the connection is the other protocol's alone: nothing of this costs anything later.
 */
#include <string.h>

#include "daemon/http/protocols.h"
#include "daemon/server.h"

enum { LINE_MAX = 16384, PREFACE_SIZE = 14, STRANGERS_MAX = 64 };

static const char preface[] = "PRI * HTTP/2.0";

/* Does the last word of `line` begin with HTTP/, and are there three of them? */
static bool is_request_line(const unsigned char *line, size_t size)
{
    while (size > 0 &&
           (line[size - 1] == ' ' || line[size - 1] == '\r' || line[size - 1] == '\t')) {
        size--;
    }
    size_t word = size;
    while (word > 0 && line[word - 1] != ' ' && line[word - 1] != '\t') {
        word--;
    }
    return word >= 3 && size - word > 5 && memcmp(line + word, "HTTP/", 5) == 0;
}

/* "GET /...": what has no end yet. */
static bool begins_as_request(const unsigned char *line, size_t size)
{
    const unsigned char *space = memchr(line, ' ', size < 16 ? size : 16);
    return space != NULL && space > line && (size_t)(space - line) + 1 < size && space[1] == '/';
}

/* What was agreed on while TLS was set up; NULL: nothing. */
static const protocol *agreed(const conn *c)
{
    char name[256] = "";
    if (c->tls != NULL) {
        wire_tls_alpn(c->tls, name);
    }
    return strcmp(name, "h2") == 0         ? &protocol_http2
           : strcmp(name, "http/1.1") == 0 ? &protocol_http1
                                           : NULL;
}

/* Who does not begin with a command that there is speaks something else. */
static bool is_command(const conn *c, const unsigned char *data, size_t size)
{
    size_t word = 0;
    while (word < size && data[word] > ' ') {
        word++;
    }
    return data[0] == '*' || data[0] == '"' || data[0] == '\'' ||
           command_find(c->worker->server->commands, (resp_bytes){.data = data, .size = word}) !=
               NULL;
}

/* NULL: not yet known. */
static const protocol *choose(const unsigned char *data, size_t size)
{
    if (data[0] == '*') {
        return &protocol_resp;
    }
    size_t same = size < PREFACE_SIZE ? size : PREFACE_SIZE;
    if (memcmp(data, preface, same) == 0) {
        return same == PREFACE_SIZE ? &protocol_http2 : NULL;
    }
    const unsigned char *end = memchr(data, '\n', size < LINE_MAX ? size : LINE_MAX);
    if (end != NULL) {
        return is_request_line(data, (size_t)(end - data)) ? &protocol_http1 : &protocol_resp;
    }
    if (size < LINE_MAX) {
        return NULL;
    }
    return begins_as_request(data, size) ? &protocol_http1 : &protocol_resp;
}

static protocol_next take(conn *c, unsigned char *data, size_t size, size_t *used)
{
    *used = 0;
    size_t skip = 0;
    while (skip + 1 < size && data[skip] == '\r' && data[skip + 1] == '\n') {
        skip += 2; /* empty lines say nothing, in either */
    }
    *used = skip;
    if (skip == size || (size - skip == 1 && data[skip] == '\r')) {
        return PROTOCOL_MORE;
    }
    const protocol *chosen = agreed(c);
    chosen = chosen != NULL ? chosen : choose(data + skip, size - skip);
    if (chosen == NULL) {
        return c->ended ? PROTOCOL_CLOSE : PROTOCOL_MORE;
    }
    if (chosen == &protocol_resp && !is_command(c, data + skip, size - skip)) {
        return PROTOCOL_CLOSE;
    }
    c->protocol = chosen;
    c->phase_ns = 0;
    if (!chosen->open(c)) {
        return PROTOCOL_CLOSE;
    }
    size_t more = 0;
    protocol_next next = chosen->take(c, data + skip, size - skip, &more);
    *used = skip + more;
    return next;
}

/* Those who have not said anything are no clients yet, but they are bounded, too. */
static bool open_unknown(conn *c)
{
    const server *s = c->worker->server;
    uint64_t count = 0;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        count += atomic_load_explicit(&s->workers[i].conn_count, memory_order_relaxed);
    }
    return count <= (uint64_t)s->limits.clients_max + STRANGERS_MAX;
}

static bool is_idle(const conn *c)
{
    (void)c;
    return true;
}

/* TLS's handshake, the first line, or not a word. */
static void tick(conn *c, uint64_t now_ns)
{
    const http_limits *limits = &c->worker->server->limits.http;
    uint64_t since = c->begun ? c->phase_ns : c->active_ns;
    uint64_t most = c->begun ? limits->head_ns : limits->idle_ns;
    if (!c->closing && most != 0 && now_ns > since && now_ns - since >= most) {
        atomic_fetch_add_explicit(&c->worker->server->http_timeouts, 1, memory_order_relaxed);
        conn_kill(c);
    }
}

static void close_unknown(conn *c)
{
    (void)c;
}

const protocol protocol_detect = {
    .name = "unknown",
    .open = open_unknown,
    .take = take,
    .is_idle = is_idle,
    .tick = tick,
    .close = close_unknown,
};
