/*
 * fuzz_http.c -- any bytes as the lines of an answer's head.  Oracle: what goes into the next request's
 * head (ETag, Last-Modified) is terminated and has no control characters; ages are bounded; a later
 * line never takes back what an earlier one forbids.
 */
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "io/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t room)
{
    BRISK_ASSERT(memchr(text, '\0', room) != NULL);
    for (; *text != '\0'; text++) {
        BRISK_ASSERT((unsigned char)*text >= ' ' && *text != 127);
    }
}

static void check_head(const http_head *head)
{
    const uint64_t century = UINT64_C(365) * 86400 * 100;
    check_text(head->caching.etag, sizeof head->caching.etag);
    check_text(head->caching.last_modified, sizeof head->caching.last_modified);
    check_text(head->content_type, sizeof head->content_type);
    check_text(head->location, sizeof head->location);
    BRISK_ASSERT(head->caching.age_s <= century && head->caching.max_age_s <= century);
    BRISK_ASSERT(head->caching.s_maxage_s <= century && head->retry_after_s <= century);
    BRISK_ASSERT(head->status >= 0 && head->status <= 999);
    BRISK_ASSERT(head->length < UINT64_C(1000000000000000000));
    BRISK_ASSERT(head->caching.date_s >= 0 && head->caching.expires_s >= 0);
}

static void read_all(http_head *head, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t line = end != NULL ? (size_t)(end - text) + 1 - at : size - at;
        char *copy = malloc(line); /* so that the sanitizer sees its end */
        BRISK_ASSERT(copy != NULL);
        memcpy(copy, text + at, line);
        brisk_http_caching before = head->caching;
        http_head_read(head, copy, line);
        bool again = line >= 5 && strncasecmp(copy, "http/", 5) == 0;
        const brisk_http_caching *now = &head->caching;
        BRISK_ASSERT(again ||
                     ((!before.no_store || now->no_store) && (!before.no_cache || now->no_cache) &&
                      (!before.is_private || now->is_private) &&
                      (!before.has_max_age || now->max_age_s <= before.max_age_s)));
        free(copy);
        check_head(head);
        at += line;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    http_head head;
    http_head_init(&head);
    read_all(&head, (const char *)data, size);
    http_head_end(&head);
    check_head(&head);
    return 0;
}
