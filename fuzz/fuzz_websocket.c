/*
 * fuzz_websocket.c -- any bytes from a client, in pieces of the size that the first byte says.  Oracle:
 * pieces make no difference to what is read, payloads are within their limits and texts are UTF-8, and
 * nothing comes after a close or an error.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "wire/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A sum over all events. */
static uint64_t feed(const uint8_t *data, size_t size, size_t piece)
{
    static ws_reader r;
    uint64_t sum = 0;
    bool over = false;
    ws_reader_init(&r);
    while (size > 0) {
        size_t part = piece < size ? piece : size;
        size_t used = 0;
        ws_event event = ws_read(&r, data, part, &used);
        BRISK_ASSERT(used > 0 && used <= part);
        BRISK_ASSERT(!over || event == WS_MORE);
        if (event == WS_EVENT_CLOSE || event == WS_EVENT_ERROR) {
            over = true;
            BRISK_ASSERT(event == WS_EVENT_ERROR || r.code == WS_CODE_NONE ||
                         ws_code_is_valid(r.code));
            sum = sum * 31 + r.code;
        } else if (event != WS_MORE) {
            BRISK_ASSERT(r.payload_size <= WS_MESSAGE_MAX);
            BRISK_ASSERT(event != WS_EVENT_TEXT || ws_is_utf8(r.payload, r.payload_size));
            sum = sum * 31 + (uint64_t)event;
            for (size_t i = 0; i < r.payload_size; i++) {
                sum = sum * 31 + r.payload[i];
            }
        }
        data += used;
        size -= used;
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    size_t piece = (size_t)data[0] % 16 + 1;
    BRISK_ASSERT(feed(data + 1, size - 1, piece) == feed(data + 1, size - 1, size));
    char accept[WS_ACCEPT_SIZE + 1];
    (void)ws_accept((const char *)data, size, accept);
    return 0;
}
