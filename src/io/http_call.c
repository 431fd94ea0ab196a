/*
 * http_call.c -- a request as it was submitted: checked, copied, with its answer's memory taken.
 *
 * A call and all its strings are one block, wiped when it goes: headers may be secrets.
 */
#include <string.h>
#include <strings.h>

#include <brisk/clock.h>

#include "base/assert.h"
#include "io/http_internal.h"

enum { LINE_MAX_BYTES = 8192, METHOD_MAX = 32 };

/* --- lists ---------------------------------------------------------------------------------- */

void http_list_append(http_list *list, http_call *call)
{
    BRISK_ASSERT(call->list == NULL);
    call->list = list;
    call->next = NULL;
    call->prev = list->last;
    *(list->last != NULL ? &list->last->next : &list->first) = call;
    list->last = call;
    list->count++;
}

void http_list_prepend(http_list *list, http_call *call)
{
    BRISK_ASSERT(call->list == NULL);
    call->list = list;
    call->prev = NULL;
    call->next = list->first;
    *(list->first != NULL ? &list->first->prev : &list->last) = call;
    list->first = call;
    list->count++;
}

void http_list_remove(http_call *call)
{
    http_list *list = call->list;
    if (list == NULL) {
        return;
    }
    *(call->prev != NULL ? &call->prev->next : &list->first) = call->next;
    *(call->next != NULL ? &call->next->prev : &list->last) = call->prev;
    list->count--;
    call->list = NULL;
    call->next = NULL;
    call->prev = NULL;
}

/* --- checks --------------------------------------------------------------------------------- */

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++) {
        if (((unsigned char)*text < ' ' && *text != '\t') || *text == 127) {
            return true;
        }
    }
    return false;
}

/* A header that ends early would make another one of what follows. */
bool http_is_header(const char *text)
{
    size_t name = 0;
    while (is_name_byte(text[name])) {
        name++;
    }
    return name > 0 && text[name] == ':' && !has_control(text) &&
           strnlen(text, LINE_MAX_BYTES) < LINE_MAX_BYTES;
}

bool http_same_name(const char *a, const char *b)
{
    size_t size = strcspn(a, ":");
    return size == strcspn(b, ":") && strncasecmp(a, b, size) == 0;
}

static bool is_method(const char *text)
{
    size_t size = 0;
    while (is_name_byte(text[size]) && size < METHOD_MAX) {
        size++;
    }
    return size > 0 && text[size] == '\0';
}

static brisk_err check(const brisk_http_request *r, brisk_errinfo *info)
{
    const char *wrong = NULL;
    if (r->url == NULL || !http_url_is_plausible(r->url)) {
        wrong = "the URL is not like http://host/path";
    } else if (r->method != NULL && !is_method(r->method)) {
        wrong = "the method is not a word";
    } else if ((r->done == NULL) == (r->queue == NULL)) {
        wrong = "an answer goes either to a function or to a queue";
    } else if (r->header_count > BRISK_HTTP_HEADERS_MAX) {
        wrong = "too many headers";
    } else if ((r->etag != NULL && (has_control(r->etag) || strlen(r->etag) > LINE_MAX_BYTES)) ||
               (r->last_modified != NULL &&
                (has_control(r->last_modified) || strlen(r->last_modified) > LINE_MAX_BYTES))) {
        wrong = "an etag and a date are one line";
    } else if (r->body == NULL && r->body_size > 0) {
        wrong = "a body has a size but no bytes";
    }
    for (uint32_t i = 0; wrong == NULL && i < r->header_count; i++) {
        if (!http_is_header(r->headers[i])) {
            wrong = "a header is not 'Name: value'";
        }
    }
    return wrong == NULL ? BRISK_OK : brisk_errinfo_set(info, BRISK_ERR_INVALID, "HTTP: %s", wrong);
}

/* --- life ----------------------------------------------------------------------------------- */

/* Strings of a call, one behind the other; without `at` it only counts. */
typedef struct packer {
    char *at;
    size_t size;
} packer;

static char *pack(packer *p, const void *data, size_t size)
{
    char *copy = p->at != NULL ? p->at + p->size : NULL;
    if (copy != NULL && size > 0) {
        memcpy(copy, data, size);
    }
    p->size += size;
    return copy;
}

static const char *condition_name(const brisk_http_request *r, const char **value)
{
    bool etag = r->etag != NULL && r->etag[0] != '\0';
    *value = etag ? r->etag : r->last_modified;
    return *value == NULL || **value == '\0' ? NULL
           : etag                            ? "If-None-Match: "
                                             : "If-Modified-Since: ";
}

static void pack_strings(packer *p, http_call *call, const brisk_http_request *r)
{
    const char *method = r->method != NULL ? r->method : "GET";
    const char *value;
    const char *name = condition_name(r, &value);
    call->method = pack(p, method, strlen(method) + 1);
    call->url = pack(p, r->url, strlen(r->url) + 1);
    for (uint32_t i = 0; i < r->header_count; i++) {
        const char *copy = pack(p, r->headers[i], strlen(r->headers[i]) + 1);
        if (copy != NULL) {
            call->headers[i] = copy;
        }
    }
    if (name != NULL) {
        call->condition = pack(p, name, strlen(name));
        (void)pack(p, value, strlen(value) + 1);
    }
    call->body = r->body;
    if (r->body != NULL && !r->body_borrowed) {
        call->body = pack(p, r->body, r->body_size);
    }
}

static bool is_idempotent(const brisk_http_request *r)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
    bool found = r->idempotent || r->method == NULL;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0] && !found; i++) {
        found = strcmp(r->method, methods[i]) == 0;
    }
    return found;
}

static bool sends_body(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
           strcmp(method, "PATCH") == 0;
}

static void set_limits(http_call *call, const brisk_http_client_opts *o,
                       const brisk_http_request *r)
{
    uint64_t timeout = r->timeout_ns != 0 ? r->timeout_ns : o->timeout_ns;
    uint32_t retries = r->retries != 0 ? r->retries : o->retries;
    call->deadline_ns =
        timeout < UINT64_MAX - call->submitted_ns ? call->submitted_ns + timeout : UINT64_MAX;
    call->retries_left = retries == BRISK_HTTP_NONE ? 0 : retries;
    call->redirects_left = r->redirects_max;
    call->body_bytes_max = r->body_bytes_max != 0 ? r->body_bytes_max : o->body_bytes_max;
    call->priority = r->priority == BRISK_HTTP_HIGH || r->priority == BRISK_HTTP_LOW
                         ? r->priority
                         : BRISK_HTTP_NORMAL;
    call->idempotent = is_idempotent(r);
    call->plain = r->plain;
    call->header_count = r->header_count;
    call->done = r->done;
    call->queue = r->queue;
}

brisk_err http_call_create(const brisk_http_client *client, const brisk_http_request *request,
                           http_call **ret, brisk_errinfo *info)
{
    brisk_err err = check(request, info);
    if (err != BRISK_OK) {
        return err;
    }
    const brisk_alloc *alloc = client->alloc;
    packer count = {NULL, sizeof(http_call) + request->header_count * sizeof(char *)};
    http_call ignored = {.headers = NULL};
    pack_strings(&count, &ignored, request);
    if (count.size < request->body_size && !request->body_borrowed) { /* it has overflowed */
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "HTTP: out of memory");
    }
    http_call *call = alloc->acquire(alloc->ctx, count.size, _Alignof(http_call));
    http_answer *answer = NULL;
    if (call == NULL || http_answer_create(alloc, &answer) != BRISK_OK) {
        if (call != NULL) {
            alloc->release(alloc->ctx, call, count.size, _Alignof(http_call));
        }
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "HTTP: out of memory");
    }
    *call = (http_call){.block_size = count.size,
                        .answer = answer,
                        .headers = (const char **)(call + 1),
                        .submitted_ns = brisk_clock_now_ns(NULL)};
    packer strings = {(char *)call, sizeof(http_call) + request->header_count * sizeof(char *)};
    pack_strings(&strings, call, request);
    call->body_size = request->body_size;
    if (call->body == NULL && sends_body(call->method)) {
        call->body = ""; /* so that its length is told */
    }
    set_limits(call, &client->settings.o, request);
    answer->expanded_max = client->settings.o.expanded_bytes_max;
    answer->base.user = request->user;
    answer->base.tag = request->tag;
    *ret = call;
    return BRISK_OK;
}

void http_call_destroy(brisk_http_client *client, http_call *call)
{
    const brisk_alloc *alloc = client->alloc;
    if (call->url_followed != NULL) {
        explicit_bzero(call->url_followed, BRISK_HTTP_URL_MAX);
        alloc->release(alloc->ctx, call->url_followed, BRISK_HTTP_URL_MAX, 1);
    }
    if (call->answer != NULL) {
        brisk_http_response_destroy(&call->answer->base);
    }
    if (call->packed != NULL) {
        explicit_bzero(call->packed, call->packed_capacity);
        alloc->release(alloc->ctx, call->packed, call->packed_capacity, 1);
    }
    size_t size = call->block_size;
    explicit_bzero(call, size);
    alloc->release(alloc->ctx, call, size, _Alignof(http_call));
}
