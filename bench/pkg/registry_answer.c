/*
 * registry_answer.c -- which request gets which reply.
 *
 *     /NAME, /@SCOPE%2fNAME     the document: abbreviated by Accept, gzip by Accept-Encoding, 304 by ETag
 *     /-/stats                  counters as JSON
 *     /-/try/...                registry_try.c
 *     everything else           404
 */
#include "registry.h"

#include <stdarg.h>
#include <strings.h>

void reg_reply_header(reg_reply *reply, const char *name, const char *format, ...)
{
    if (reply->header_count < REG_HEADERS_MAX) {
        reg_header *header = &reply->headers[reply->header_count++];
        va_list arguments;
        header->name = name;
        va_start(arguments, format);
        (void)vsnprintf(header->value, sizeof header->value, format, arguments);
        va_end(arguments);
    }
}

void reg_reply_free(reg_reply *reply)
{
    free(reply->owned);
    reply->owned = NULL;
}

/* splitmix64; source: S. Vigna, https://prng.di.unimi.it/splitmix64.c (public domain). */
uint64_t reg_random(reg_server *server)
{
    uint64_t z = (server->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The path without its first slash and query, escapes undone; of a whole URL, as proxies hear it. */
static void name_of(const char *path, char name[REG_PATH_MAX])
{
    size_t size = 0;
    const char *host = strncmp(path, "http://", 7) == 0 ? strchr(path + 7, '/') : NULL;
    path = host != NULL ? host : path;
    path += path[0] == '/';
    for (; *path != '\0' && *path != '?' && size < REG_PATH_MAX - 1; path++) {
        char c = *path;
        if (c == '%' && hex(path[1]) >= 0 && hex(path[2]) >= 0) {
            c = (char)(hex(path[1]) * 16 + hex(path[2]));
            path += 2;
        }
        name[size++] = c;
    }
    name[size] = '\0';
}

static void fail(reg_server *server, reg_reply *reply)
{
    static const int statuses[] = {500, 502, 503, 429};
    server->stats.failed++;
    uint64_t which = reg_random(server) % 5;
    if (which == 4) {
        reply->way = REG_REFUSE;
        return;
    }
    reply->status = statuses[which];
    if (reply->status == 429 || reply->status == 503) {
        reg_reply_header(reply, "retry-after", "0");
    }
}

static void not_found(reg_server *server, reg_reply *reply)
{
    static const unsigned char body[] = "{\"error\":\"Not found\"}";
    server->stats.not_found++;
    reply->status = 404;
    reply->body = (reg_bytes){body, sizeof body - 1};
    reg_reply_header(reply, "content-type", "application/json");
}

static void stats(reg_server *server, reg_reply *reply)
{
    const reg_stats *s = &server->stats;
    enum { ROOM = 1024 };
    reply->owned = reg_alloc(ROOM);
    int size =
        snprintf((char *)reply->owned, ROOM,
                 "{\"requests\":%llu,\"full\":%llu,\"abbreviated\":%llu,\"not_modified\":%llu,"
                 "\"not_found\":%llu,\"failed\":%llu,\"authorized\":%llu,\"connections\":%llu,"
                 "\"connections_h2\":%llu,\"streams_peak\":%llu,\"bytes_out\":%llu}\n",
                 (unsigned long long)s->requests, (unsigned long long)s->full,
                 (unsigned long long)s->abbreviated, (unsigned long long)s->not_modified,
                 (unsigned long long)s->not_found, (unsigned long long)s->failed,
                 (unsigned long long)s->authorized, (unsigned long long)s->connections,
                 (unsigned long long)s->connections_h2, (unsigned long long)s->streams_peak,
                 (unsigned long long)s->bytes_out);
    reply->status = 200;
    reply->body = (reg_bytes){reply->owned, (size_t)size};
    reg_reply_header(reply, "content-type", "application/json");
}

static void document(reg_server *server, const reg_request *request, reg_doc *doc, reg_reply *reply)
{
    bool brief = strstr(request->accept, "application/vnd.npm.install-v1+json") != NULL;
    reg_form *form = brief ? &doc->abbreviated : &doc->full;
    const char *asked = request->if_none_match;
    asked += strncmp(asked, "W/", 2) == 0 ? 2 : 0;
    reg_reply_header(reply, "etag", "%s", form->etag);
    reg_reply_header(reply, "cache-control", "public, max-age=%u", server->max_age_s);
    reg_reply_header(reply, "vary", "accept, accept-encoding");
    if (strcmp(asked, form->etag) == 0) {
        server->stats.not_modified++;
        reply->status = 304;
        return;
    }
    reg_reply_header(reply, "content-type", "%s",
                     brief ? "application/vnd.npm.install-v1+json" : "application/json");
    *(brief ? &server->stats.abbreviated : &server->stats.full) += 1;
    reply->status = 200;
    reply->body = form->plain;
    if (strstr(request->accept_encoding, "gzip") != NULL) {
        reply->body = reg_form_gzip(form, server->docs.level);
        reg_reply_header(reply, "content-encoding", "gzip");
    }
}

void reg_answer(reg_server *server, const reg_request *request, reg_reply *reply)
{
    char name[REG_PATH_MAX];
    reply->claimed = SIZE_MAX;
    name_of(request->path, name);
    if (strcmp(name, "-/stats") == 0) {
        stats(server, reply);
        return;
    }
    server->stats.requests++;
    server->stats.authorized += request->authorization[0] != '\0';
    reply->delay_ns = server->delay_ns;
    if (strncmp(name, "-/try/", 6) == 0 && reg_try(server, request, reply)) {
        return;
    }
    if (server->fail_rate > 0 &&
        (double)(reg_random(server) >> 11) / 9007199254740992.0 < server->fail_rate) {
        fail(server, reply);
        return;
    }
    reg_doc *doc = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0
                       ? reg_docs_find(&server->docs, name)
                       : NULL;
    if (doc != NULL) {
        document(server, request, doc, reply);
    } else {
        not_found(server, reply);
    }
}
