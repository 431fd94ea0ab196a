/*
 * fuzz_http.c -- any bytes as the lines of an answer's head.  Oracle: the ETag is terminated and has
 * no control characters, since it goes into the next request's head; ages are bounded; the order of
 * two Cache-Control lines does not make an answer storable that one of them forbids.
 */
#include <string.h>

#include "base/assert.h"
#include "io/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(http_response *response, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t line = end != NULL ? (size_t)(end - text) + 1 - at : size - at;
        char *copy = malloc(line); /* so that the sanitizer sees its end */
        BRISK_ASSERT(copy != NULL);
        memcpy(copy, text + at, line);
        bool forbidden = response->no_store;
        http_read_header(response, copy, line);
        bool again = line >= 5 && (memcmp(copy, "HTTP/", 5) == 0 || strncmp(copy, "http/", 5) == 0);
        BRISK_ASSERT(!forbidden || response->no_store || again || copy[0] == 'H' || copy[0] == 'h');
        free(copy);
        BRISK_ASSERT(memchr(response->etag, '\0', sizeof response->etag) != NULL);
        for (const char *c = response->etag; *c != '\0'; c++) {
            BRISK_ASSERT((unsigned char)*c >= ' ' && *c != 127);
        }
        BRISK_ASSERT(response->age_s <= UINT64_C(365) * 86400 * 100);
        BRISK_ASSERT(response->max_age_s <= UINT64_C(365) * 86400 * 100);
        at += line;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    http_response response = {.status = 0};
    read_all(&response, (const char *)data, size);
    return 0;
}
