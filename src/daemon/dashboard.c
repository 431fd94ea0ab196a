/*
 * dashboard.c -- the pages people look at: kept compressed in the module, given as they are.
 *
 * At "/" unless a site of serve.static or serve.proxy has that, and always at "/dashboard/".  Pages
 * are anybody's; what they show is asked of /v1, which looks at rights.  The policy of content lets
 * a page load nothing from elsewhere and run no script but the module's.
 *
 * Threads: the exchange's worker.
 */
#include "daemon/dashboard.h"

#include <stdlib.h>
#include <string.h>

#include <libdeflate.h>

#include <brisk/hash.h>

#include "daemon/encode/accept.h"
#include "daemon/http/exchange.h"

enum { PLAIN_BYTES_MAX = 4 << 20, ETAG_SIZE = 2 + 16 + 2 };

static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; img-src "
                             "'self' data:; connect-src 'self'; "
                             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static const dashboard_page *find_page(http_text rest)
{
    if (rest.size == 0) {
        rest = HTTP_TEXT("index.html");
    }
    for (unsigned i = 0; i < dashboard_page_count; i++) {
        const dashboard_page *page = &dashboard_pages[i];
        if (strlen(page->name) == rest.size && memcmp(page->name, rest.data, rest.size) == 0) {
            return page;
        }
    }
    return NULL;
}

/* Weak, since compressed and plain have it in common. */
static void make_etag(const dashboard_page *page, char etag[ETAG_SIZE + 2])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t hash = brisk_hash64(page->data, page->size, 0);
    memcpy(etag, "W/\"", 3);
    for (int i = 0; i < 16; i++) {
        etag[3 + i] = digits[hash >> (60 - 4 * i) & 15];
    }
    memcpy(etag + 19, "\"", 2);
}

/* The page as it was; a gzip member ends with its size.  False: no memory. */
static bool expand(exchange *x, const dashboard_page *page, http_body *body)
{
    uint32_t size;
    size_t got = 0;
    memcpy(&size, page->data + page->size - sizeof size, sizeof size);
    size = le32toh(size);
    void *plain = size <= PLAIN_BYTES_MAX ? exchange_alloc(x, size) : NULL;
    struct libdeflate_decompressor *d = plain != NULL ? libdeflate_alloc_decompressor() : NULL;
    bool good = d != NULL && libdeflate_gzip_decompress(d, page->data, page->size, plain, size,
                                                        &got) == LIBDEFLATE_SUCCESS;
    if (d != NULL) {
        libdeflate_free_decompressor(d);
    }
    *body = (http_body){.kind = HTTP_BODY_BYTES, .data = plain, .size = got};
    return good;
}

static bool is_known(const exchange *x, const char *etag)
{
    const http_text *known = exchange_field(x, "if-none-match");
    size_t size = strlen(etag);
    return known != NULL && known->size >= size &&
           memmem(known->data, known->size, etag, size) != NULL;
}

static void answer_page(exchange *x, const dashboard_page *page)
{
    char etag[ETAG_SIZE + 2];
    bool packed = (encode_accept(exchange_field(x, "accept-encoding")) & 1U << ENCODE_GZIP) != 0;
    make_etag(page, etag);
    const http_field fields[] = {
        {HTTP_TEXT("content-type"), {page->type, strlen(page->type)}},
        {HTTP_TEXT("etag"), {etag, strlen(etag)}},
        {HTTP_TEXT("cache-control"), HTTP_TEXT("no-cache")},
        {HTTP_TEXT("vary"), HTTP_TEXT("accept-encoding")},
        {HTTP_TEXT("content-security-policy"), {policy, sizeof policy - 1}},
        {HTTP_TEXT("x-content-type-options"), HTTP_TEXT("nosniff")},
        {HTTP_TEXT("referrer-policy"), HTTP_TEXT("no-referrer")},
        {HTTP_TEXT("cross-origin-opener-policy"), HTTP_TEXT("same-origin")},
        {HTTP_TEXT("content-encoding"), HTTP_TEXT("gzip")}, /* last: only when packed */
    };
    http_answer answer = {
        .status = 200,
        .fields = fields,
        .field_count = sizeof fields / sizeof fields[0] - (packed ? 0U : 1U),
        .body = {.kind = HTTP_BODY_BYTES, .data = page->data, .size = page->size}};
    if (is_known(x, etag)) {
        answer.status = 304;
        answer.body = (http_body){.kind = HTTP_BODY_NONE};
    } else if (!packed && !expand(x, page, &answer.body)) {
        exchange_fail(x, 503, "out of memory");
        return;
    }
    exchange_answer(x, &answer);
}

static void begin(exchange *x)
{
    const dashboard_page *page = find_page(x->rest);
    if (page != NULL) {
        answer_page(x, page);
        return;
    }
    exchange_fail(x, 404, "there is no such page; the dashboard is at /dashboard/");
}

/* "app.js" is asked for beside the page, so that its address must end with a slash. */
static void begin_below(exchange *x)
{
    if (x->rest.size == 0 && x->path.data[x->path.size - 1] != '/') {
        const http_field fields[] = {{HTTP_TEXT("location"), HTTP_TEXT("/dashboard/")}};
        const http_answer answer = {.status = 308, .fields = fields, .field_count = 1};
        exchange_answer(x, &answer);
        return;
    }
    begin(x);
}

static const http_route root_route = {
    .name = "dashboard", .methods = HTTP_GET, .priority = {.urgency = 3}, .begin = begin};
static const http_route below_route = {
    .name = "dashboard", .methods = HTTP_GET, .priority = {.urgency = 3}, .begin = begin_below};

brisk_err dashboard_add_routes(http_routes *routes)
{
    brisk_err err = http_routes_add(routes, "", "/", &root_route);
    if (err == BRISK_OK || err == BRISK_ERR_CONFLICT) {
        err = http_routes_add(routes, "", "/dashboard", &below_route);
    }
    return err == BRISK_ERR_CONFLICT ? BRISK_OK : err;
}
