/*
 * fuzz_http1.c -- heads of requests and answers, and bodies in chunks: whole or cut, and on every processor path, the
 * answers are the same.
 *
 * The first byte says what follows: 0 a request, 1 an answer, 2 a body (of what is left when divided by 3).
 */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "wire/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_TRIED = 1 << 17, CUTS_MAX = 4096 };

static unsigned char whole[SIZE_MAX_TRIED];
static unsigned char part[SIZE_MAX_TRIED];
static http_field fields[HTTP1_FIELDS_MAX];
static http_field part_fields[HTTP1_FIELDS_MAX];

static void inside(const http1_head *head, http_text text, const unsigned char *from)
{
    const char *start = (const char *)from;
    bool literal = text.size <= 1; /* "/", "" */
    BRISK_ASSERT(literal || (text.data >= start && text.data + text.size <= start + head->used));
}

static void same_text(http_text a, http_text b)
{
    BRISK_ASSERT(a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0));
}

/* Not what no reader may say. */
static void check_head(const http1_head *head, const unsigned char *from)
{
    inside(head, head->method, from);
    inside(head, head->target, from);
    inside(head, head->authority, from);
    inside(head, head->reason, from);
    BRISK_ASSERT(!(head->chunked && head->content_length != HTTP1_UNKNOWN));
    BRISK_ASSERT(head->answer || head->minor == 0 || head->authority.size > 0);
    for (uint32_t i = 0; i < head->field_count; i++) {
        inside(head, head->fields[i].name, from);
        inside(head, head->fields[i].value, from);
        BRISK_ASSERT(http1_is_token(head->fields[i].name));
        BRISK_ASSERT(http1_is_value(head->fields[i].value));
    }
}

static void same_heads(const http1_head *a, const http1_head *b)
{
    BRISK_ASSERT(a->used == b->used && a->field_count == b->field_count && a->minor == b->minor &&
                 a->code == b->code && a->chunked == b->chunked && a->close == b->close &&
                 a->content_length == b->content_length && a->expects == b->expects);
    same_text(a->method, b->method);
    same_text(a->target, b->target);
    same_text(a->authority, b->authority);
    for (uint32_t i = 0; i < a->field_count; i++) {
        same_text(a->fields[i].name, b->fields[i].name);
        same_text(a->fields[i].value, b->fields[i].value);
    }
}

static void try_head(const uint8_t *data, size_t size, bool answer)
{
    http1_head first = {.answer = answer, .fields = fields, .path = HTTP1_SCALAR};
    http1_head_start(&first);
    memcpy(whole, data, size);
    http1_status status = http1_head_read(&first, whole, size);
    if (status == HTTP1_DONE) {
        check_head(&first, whole);
    }
    for (int path = HTTP1_BEST; path < HTTP1_PATH_COUNT; path++) {
        if (!http1_path_exists((http1_path)path)) {
            continue;
        }
        http1_head next = {.answer = answer, .fields = part_fields, .path = (http1_path)path};
        http1_head_start(&next);
        http1_status again = HTTP1_MORE;
        size_t step = size / CUTS_MAX + 1;
        for (size_t at = 1; again == HTTP1_MORE && at <= size; at += step) {
            memcpy(part, data, at); /* as it comes from the socket: names in any case */
            again = http1_head_read(&next, part, at);
        }
        if (again ==
            HTTP1_MORE) { /* what is wrong in a line may be seen with the end of all only */
            memcpy(part, data, size);
            http1_head_start(&next);
            again = http1_head_read(&next, part, size);
        }
        BRISK_ASSERT(again == status);
        if (status == HTTP1_DONE) {
            same_heads(&first, &next);
        } else if (status == HTTP1_BAD) {
            BRISK_ASSERT(first.refusal == next.refusal && first.error == next.error);
        }
    }
}

typedef struct summary {
    http1_status status;
    size_t used;
    size_t size;
    uint64_t sum;
} summary;

static summary sum_body(const uint8_t *data, size_t size, size_t step)
{
    http1_chunked chunked = {.error = NULL};
    summary s = {.status = HTTP1_MORE};
    while (s.status == HTTP1_MORE && s.used < size) {
        size_t given = size - s.used < step ? size - s.used : step;
        size_t used;
        http_text piece;
        s.status = http1_chunked_read(&chunked, data + s.used, given, &used, &piece);
        BRISK_ASSERT(used <= given && (used > 0 || s.status != HTTP1_MORE));
        for (size_t i = 0; i < piece.size; i++) {
            s.sum = (s.sum ^ (unsigned char)piece.data[i]) * UINT64_C(0x100000001b3);
        }
        s.size += piece.size;
        s.used += used;
    }
    return s;
}

static void try_body(const uint8_t *data, size_t size)
{
    summary a = sum_body(data, size, size);
    summary b = sum_body(data, size, 1);
    summary c = sum_body(data, size, 7);
    BRISK_ASSERT(a.status == b.status && a.used == b.used && a.size == b.size && a.sum == b.sum);
    BRISK_ASSERT(a.status == c.status && a.used == c.used && a.size == c.size && a.sum == c.sum);
    BRISK_ASSERT(a.size <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > SIZE_MAX_TRIED) {
        return 0;
    }
    if (data[0] % 3 == 2) {
        try_body(data + 1, size - 1);
    } else {
        try_head(data + 1, size - 1, data[0] % 3 == 1);
    }
    return 0;
}
