/*
 * fuzz_load_http.c -- any bytes as the answers of an HTTP/1.1 server.  Oracle: read whole and read in pieces (of
 * the size that the first byte says) they are the same answers, with the same bodies, and end at the same place.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/assert.h"
#include "observe/load/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct outcome {
    uint64_t sum; /* of statuses, bodies and ends */
    size_t used;
    load_http_status last;
} outcome;

static outcome read_all(const char *data, size_t size, size_t piece, bool head)
{
    static load_http http;
    outcome o = {.last = LOAD_HTTP_MORE};
    load_http_init(&http, head);
    while (o.used < size && o.last != LOAD_HTTP_BAD) {
        size_t part = size - o.used < piece ? size - o.used : piece;
        size_t used;
        o.last = load_http_read(&http, data + o.used, part, &used);
        BRISK_ASSERT(used <= part && (used == part || o.last != LOAD_HTTP_MORE));
        o.used += used;
        if (o.last == LOAD_HTTP_DONE) {
            BRISK_ASSERT(http.status >= 200 && http.status <= 599);
            o.sum = (o.sum ^ http.status ^ http.body << 10 ^ (uint64_t)o.used << 32 ^ http.closes) *
                    UINT64_C(0x100000001b3);
        }
        BRISK_ASSERT((o.last == LOAD_HTTP_BAD) == (http.error != NULL));
    }
    if (o.last == LOAD_HTTP_BAD) {
        o.used = 0; /* a line that is too long is noticed sooner or later, as it comes */
    } else if (o.last == LOAD_HTTP_MORE) {
        o.sum += load_http_end(&http) == LOAD_HTTP_DONE ? http.body + 1 : 0;
    }
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    bool head = (data[0] & 0x80) != 0;
    outcome whole = read_all((const char *)data + 1, size - 1, size, head);
    outcome parts = read_all((const char *)data + 1, size - 1, 1 + (data[0] & 0x1f), head);
    BRISK_ASSERT(whole.last == parts.last && whole.used == parts.used && whole.sum == parts.sum);
    return 0;
}
