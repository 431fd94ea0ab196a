/*
 * fuzz_proxy.c -- heads with hostile fields through all the rules of the proxy: nothing is read beyond
 * its end, what a response allows does not depend on what is around it in memory, and a block that is
 * written is a block that can be read.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/proxy/condition.h"
#include "daemon/proxy/head.h"
#include "daemon/proxy/life.h"
#include "daemon/proxy/vary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS_MAX = 24 };

static const char *const names[] = {
    "cache-control",
    "cdn-cache-control",
    "expires",
    "date",
    "age",
    "vary",
    "etag",
    "last-modified",
    "if-none-match",
    "if-modified-since",
    "range",
    "if-range",
    "accept-language",
    "accept-encoding",
    "connection",
    "pragma",
    "content-range",
    "x",
};

/* Lines "<letter><value>\n": the letter chooses the name. */
static uint32_t read_lines(const char **at, const char *end, http_field *fields)
{
    uint32_t count = 0;
    while (*at < end && count < FIELDS_MAX) {
        const char *line = *at;
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        stop = stop != NULL ? stop : end;
        *at = stop < end ? stop + 1 : end;
        if (stop == line) {
            break; /* an empty line: the other head */
        }
        const char *name = names[(unsigned char)*line % (sizeof names / sizeof names[0])];
        http_text value = {line + 1, (size_t)(stop - line - 1)};
        if (memchr(value.data, '\r', value.size) != NULL) {
            continue; /* the parser of heads refuses it */
        }
        fields[count++] = (http_field){{name, strlen(name)}, proxy_trim(value)};
    }
    return count;
}

static void check_written(const proxy_head *head)
{
    http_field back[PROXY_HEAD_FIELDS_MAX];
    uint32_t count;
    if (proxy_head_err(head) == BRISK_OK) {
        bool good = proxy_block_fields(brisk_str_text(&head->block), brisk_str_size(&head->block),
                                       back, PROXY_HEAD_FIELDS_MAX, &count);
        BRISK_ASSERT(good && count == head->count);
    }
}

static void run_rules(proxy_fields request, proxy_fields response)
{
    proxy_policy policy = {.heuristic_percent = 10, .heuristic_max_s = 86400, .stale_error_s = 5};
    proxy_asked asked = {HTTP_GET, request, proxy_control_of_request(request)};
    proxy_got got = {200, response, proxy_control_of_response(response), 1000, 2000};
    proxy_keep keep = proxy_may_keep(&asked, &got, &policy);
    proxy_life life = proxy_life_of(&got, &policy);
    BRISK_ASSERT(keep != PROXY_KEEP || (got.control.flags & CONTROL_PRIVATE) == 0);
    BRISK_ASSERT(life.born_ms <= got.response_ms && life.lifetime_s <= PROXY_SECONDS_MAX);
    proxy_verdict verdict = proxy_judge(&life, &asked.control, 5000);
    BRISK_ASSERT(verdict == PROXY_VALIDATE || (life.flags & LIFE_NO_CACHE) == 0);
    char spec[PROXY_VARY_SPEC_MAX];
    brisk_hash128 hash;
    if (proxy_vary_spec(response, spec)) {
        BRISK_ASSERT(strlen(spec) < PROXY_VARY_SPEC_MAX);
        (void)proxy_vary_hash(spec, request, &hash);
    }
    proxy_validators v = proxy_validators_of(response, 2);
    v.coded = true;
    http_text etag;
    (void)proxy_condition_holds(request, &v, &etag);
    (void)proxy_confirms(response, &v);
    proxy_range range;
    uint64_t total;
    if (proxy_part_of(request, &v, 100, &range) == PROXY_PART_ONE) {
        BRISK_ASSERT(range.size > 0 && range.first < 100 && range.size <= 100 - range.first);
    }
    const http_text *field = proxy_field(response, "content-range");
    if (field != NULL && proxy_content_range(*field, &range, &total)) {
        BRISK_ASSERT(range.size > 0 && range.first + range.size <= total);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    http_field a[FIELDS_MAX];
    http_field b[FIELDS_MAX];
    char *copy = malloc(size > 0 ? size : 1); /* exact, so that a sanitizer sees the end */
    if (copy == NULL || size > 65536) {
        free(copy);
        return 0;
    }
    memcpy(copy, data, size);
    const char *at = copy;
    proxy_fields request = {a, read_lines(&at, copy + size, a)};
    proxy_fields response = {b, read_lines(&at, copy + size, b)};
    run_rules(request, response);
    proxy_head head;
    proxy_head_init(&head, brisk_alloc_libc());
    proxy_head_keep(&head, response);
    check_written(&head);
    proxy_head_deinit(&head);
    proxy_head_merge(&head, response, request);
    check_written(&head);
    proxy_head_deinit(&head);
    free(copy);
    return 0;
}
