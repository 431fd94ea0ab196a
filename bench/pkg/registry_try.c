/*
 * registry_try.c -- paths below /-/try/ that behave in ways a client must survive.
 *
 *     status/N[?retry-after=S]     that status               size/N        N bytes, letters in order
 *     flaky/ID/N[?...]             503 N times, then 200     encoded/KIND/N  likewise, compressed
 *     broken/ID/N                  cut N times, then 200     bomb/MB       gzip of so many zeros
 *     late/ID/N                    no answer N times, then 200
 *     slow/MS                      200 after so long         lie/N         says N bytes, has 10
 *     redirect/N                   to N-1 ... 0              echo          the request's headers
 *     redirect?URL                 302 to there              cached        304 by ETag or date
 *     loop                         302 to itself
 *     takes/CODINGS                200, Accept-Encoding: CODINGS
 *     refuses[/CODINGS]            415 for a body with Content-Encoding (likewise)
 *     stall stall-body cut endless headers garbage goaway refuse interim unknown
 */
#include "registry.h"

#include <brotli/encode.h>
#include <libdeflate.h>
#include <zstd.h>

enum { FLAKY_MAX = 256, BODY_MAX = 1 << 30 };

static void say(reg_reply *reply, int status, const char *text)
{
    reply->status = status;
    reply->body = (reg_bytes){(const unsigned char *)text, strlen(text)};
}

static void say_ok(reg_reply *reply)
{
    say(reply, 200, "good\n");
}

static unsigned long number(const char *text)
{
    unsigned long value = strtoul(text, NULL, 10);
    return value < BODY_MAX ? value : BODY_MAX;
}

static void make_letters(unsigned char *to, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        to[i] = (unsigned char)('a' + i % 26);
    }
}

static void try_size(reg_server *server, const reg_request *r, const char *rest, reg_reply *reply)
{
    (void)server;
    (void)r;
    size_t size = number(rest);
    reply->owned = reg_alloc(size);
    make_letters(reply->owned, size);
    reply->status = 200;
    reply->body = (reg_bytes){reply->owned, size};
}

static size_t squeeze(const char *kind, const unsigned char *from, size_t size, unsigned char *to,
                      size_t room)
{
    if (kind[0] == 'b') {
        size_t done = room;
        return BrotliEncoderCompress(5, 22, BROTLI_MODE_TEXT, size, from, &done, to) ? done : 0;
    }
    if (kind[0] == 'z') {
        size_t done = ZSTD_compress(to, room, from, size, 3);
        return ZSTD_isError(done) ? 0 : done;
    }
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(6);
    size_t done = kind[0] == 'd' ? libdeflate_zlib_compress(compressor, from, size, to, room)
                                 : libdeflate_gzip_compress(compressor, from, size, to, room);
    libdeflate_free_compressor(compressor);
    return done;
}

static void try_encoded(reg_server *server, const reg_request *r, const char *rest,
                        reg_reply *reply)
{
    (void)server;
    (void)r;
    size_t size = strchr(rest, '/') != NULL ? number(strchr(rest, '/') + 1) : 0;
    size_t room = size + 4096;
    unsigned char *plain = reg_alloc(size);
    make_letters(plain, size);
    reply->owned = reg_alloc(room);
    reply->status = 200;
    reply->body = (reg_bytes){reply->owned, squeeze(rest, plain, size, reply->owned, room)};
    free(plain);
    reg_reply_header(reply, "content-encoding", "%.*s", (int)strcspn(rest, "/"), rest);
}

static void try_bomb(reg_server *server, const reg_request *r, const char *rest, reg_reply *reply)
{
    (void)server;
    (void)r;
    size_t size = number(rest) << 20;
    size_t room = size / 100 + 4096;
    unsigned char *zeros = calloc(size, 1);
    if (zeros == NULL) {
        exit(1);
    }
    reply->owned = reg_alloc(room);
    reply->status = 200;
    reply->body = (reg_bytes){reply->owned, squeeze("gzip", zeros, size, reply->owned, room)};
    free(zeros);
    reg_reply_header(reply, "content-encoding", "gzip");
}

static void retry_header(const char *rest, reg_reply *reply)
{
    const char *at = strstr(rest, "retry-after=");
    if (at != NULL) {
        reg_reply_header(reply, "retry-after", "%s", at + 12);
    }
}

static void try_status(reg_server *server, const reg_request *r, const char *rest, reg_reply *reply)
{
    (void)server;
    (void)r;
    say(reply, (int)(number(rest) % 600), "as asked\n");
    retry_header(rest, reply);
}

/* How often that name was asked for before. */
static unsigned long count_of(const char *rest)
{
    static struct {
        char id[64];
        unsigned long count;
    } seen[FLAKY_MAX];
    char id[64];
    (void)snprintf(id, sizeof id, "%.*s", (int)strcspn(rest, "/"), rest);
    for (size_t i = 0; i < FLAKY_MAX; i++) {
        if (seen[i].id[0] == '\0') {
            memcpy(seen[i].id, id, sizeof id);
        }
        if (strcmp(seen[i].id, id) == 0) {
            return seen[i].count++;
        }
    }
    return 0;
}

static bool is_bad_turn(const char *rest)
{
    const char *slash = strchr(rest, '/');
    return slash != NULL && count_of(rest) < number(slash + 1);
}

static void try_flaky(reg_server *server, const reg_request *r, const char *rest, reg_reply *reply)
{
    (void)server;
    (void)r;
    if (is_bad_turn(rest)) {
        const char *status = strstr(rest, "status=");
        say(reply, status != NULL ? (int)(number(status + 7) % 600) : 503, "not yet\n");
        retry_header(rest, reply);
    } else {
        say_ok(reply);
    }
}

static void try_broken(reg_server *server, const reg_request *r, const char *rest, reg_reply *reply)
{
    bool bad = is_bad_turn(rest);
    try_size(server, r, "100000", reply);
    reply->way = bad ? REG_CUT : REG_GOOD;
}

static void try_late(reg_server *server, const reg_request *r, const char *rest, reg_reply *reply)
{
    (void)server;
    (void)r;
    say_ok(reply);
    reply->way = is_bad_turn(rest) ? REG_STALL : REG_GOOD;
}

static void try_slow(reg_server *server, const reg_request *r, const char *rest, reg_reply *reply)
{
    (void)server;
    (void)r;
    say_ok(reply);
    reply->delay_ns = (uint64_t)number(rest) * 1000000;
}

static void try_lie(reg_server *server, const reg_request *r, const char *rest, reg_reply *reply)
{
    (void)server;
    (void)r;
    say(reply, 200, "ten bytes\n");
    reply->claimed = strtoull(rest, NULL, 10);
    reply->way = REG_GOAWAY;
}

static void try_redirect(reg_server *server, const reg_request *r, const char *rest,
                         reg_reply *reply)
{
    (void)server;
    (void)r;
    say(reply, 302, "elsewhere\n");
    if (*rest == '?') {
        reg_reply_header(reply, "location", "%s", rest + 1);
    } else if (number(rest + 1) == 0) {
        say_ok(reply);
    } else {
        reg_reply_header(reply, "location", "%lu", number(rest + 1) - 1); /* relative */
    }
}

static void try_loop(reg_server *server, const reg_request *r, const char *rest, reg_reply *reply)
{
    (void)server;
    (void)r;
    (void)rest;
    say(reply, 302, "here\n");
    reg_reply_header(reply, "location", "loop");
}

static void try_echo(reg_server *server, const reg_request *r, const char *rest, reg_reply *reply)
{
    (void)server;
    (void)rest;
    size_t head = strlen(r->method) + strlen(r->path) + 64;
    reply->owned = reg_alloc(head + r->lines_size);
    int size =
        snprintf((char *)reply->owned, head, "%s %s body=%zu\n", r->method, r->path, r->body_size);
    memcpy(reply->owned + size, r->lines, r->lines_size);
    reply->status = 200;
    reply->body = (reg_bytes){reply->owned, (size_t)size + r->lines_size};
}

static void try_takes(reg_server *server, const reg_request *r, const char *rest, reg_reply *reply)
{
    try_echo(server, r, rest, reply);
    reg_reply_header(reply, "accept-encoding", "%s", rest);
}

static void try_refuses(reg_server *server, const reg_request *r, const char *rest,
                        reg_reply *reply)
{
    if (memmem(r->lines, r->lines_size, "ontent-", 7) == NULL ||
        memmem(r->lines, r->lines_size, "ncoding: gzip\n", 14) == NULL) {
        try_echo(server, r, rest, reply);
    } else {
        say(reply, 415, "no such coding\n");
        if (*rest == '/') {
            reg_reply_header(reply, "accept-encoding", "%s", rest + 1);
        }
    }
}

static void try_cached(reg_server *server, const reg_request *r, const char *rest, reg_reply *reply)
{
    static const char date[] = "Sun, 06 Nov 1994 08:49:37 GMT";
    (void)server;
    (void)rest;
    say_ok(reply);
    reg_reply_header(reply, "etag", "W/\"seven\"");
    reg_reply_header(reply, "last-modified", "%s", date);
    reg_reply_header(reply, "date", "Sun, 06 Nov 1994 08:50:37 GMT");
    reg_reply_header(reply, "expires", "Sun, 06 Nov 1994 08:51:37 GMT");
    reg_reply_header(reply, "cache-control", "max-age=60, must-revalidate");
    reg_reply_header(reply, "cache-control", "max-age=30, s-maxage=9");
    reg_reply_header(reply, "age", "12");
    reg_reply_header(reply, "content-type", "text/plain");
    if (strcmp(r->if_none_match, "W/\"seven\"") == 0 ||
        (r->if_none_match[0] == '\0' && strcmp(r->if_modified_since, date) == 0)) {
        reply->status = 304;
        reply->body = (reg_bytes){NULL, 0};
    }
}

static void try_unknown(reg_server *server, const reg_request *r, const char *rest,
                        reg_reply *reply)
{
    (void)server;
    (void)r;
    (void)rest;
    say_ok(reply);
    reg_reply_header(reply, "content-encoding", "rot13");
}

static bool try_way(const char *rest, reg_reply *reply)
{
    static const struct {
        const char *name;
        reg_way way;
    } ways[] = {{"stall", REG_STALL},     {"stall-body", REG_STALL_BODY}, {"cut", REG_CUT},
                {"endless", REG_ENDLESS}, {"headers", REG_HEADERS},       {"garbage", REG_GARBAGE},
                {"goaway", REG_GOAWAY},   {"refuse", REG_REFUSE},         {"interim", REG_INTERIM}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (strcmp(rest, ways[i].name) == 0) {
            try_size(NULL, NULL, "100000", reply);
            reply->way = ways[i].way;
            return true;
        }
    }
    return false;
}

bool reg_try(reg_server *server, const reg_request *request, reg_reply *reply)
{
    static const struct {
        const char *name;
        void (*run)(reg_server *server, const reg_request *r, const char *rest, reg_reply *reply);
    } table[] = {{"size/", try_size},        {"encoded/", try_encoded}, {"bomb/", try_bomb},
                 {"status/", try_status},    {"flaky/", try_flaky},     {"broken/", try_broken},
                 {"late/", try_late},        {"slow/", try_slow},       {"lie/", try_lie},
                 {"redirect", try_redirect}, {"loop", try_loop},        {"echo", try_echo},
                 {"cached", try_cached},     {"unknown", try_unknown},  {"takes/", try_takes},
                 {"refuses", try_refuses}};
    const char *rest = strstr(request->path, "/-/try/") + 7;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t size = strlen(table[i].name);
        if (strncmp(rest, table[i].name, size) == 0) {
            table[i].run(server, request, rest + size, reply);
            return true;
        }
    }
    return try_way(rest, reply);
}
