/*
 * fuzz_resp.c -- the readers of requests and replies: the input whole, and cut where its first
 * byte says, must give the same answers.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "wire/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_TRIED = 1 << 16 };

static unsigned char whole[SIZE_MAX_TRIED];
static unsigned char part[SIZE_MAX_TRIED];

typedef struct summary {
    resp_status status;
    size_t used;
    size_t count;
    uint64_t sum; /* of what was read */
} summary;

static uint64_t mix(uint64_t sum, resp_bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        sum = (sum ^ bytes.data[i]) * UINT64_C(0x100000001b3);
    }
    return sum + bytes.size;
}

static summary sum_requests(const resp_requests *requests, resp_status status)
{
    summary s = {.status = status};
    if (status == RESP_DONE) {
        s.used = requests->used;
        s.count = requests->count;
        for (size_t i = 0; i < requests->count; i++) {
            s.sum = mix(s.sum, requests->args.items[requests->first + i]);
        }
    }
    return s;
}

static summary sum_replies(const resp_replies *replies, resp_status status)
{
    summary s = {.status = status};
    if (status == RESP_DONE) {
        s.used = replies->used;
        s.count = replies->nodes.count;
        for (size_t i = 0; i < replies->nodes.count; i++) {
            s.sum = mix(s.sum + (uint64_t)replies->nodes.items[i].integer,
                        replies->nodes.items[i].bytes);
        }
    }
    return s;
}

static void same(summary a, summary b)
{
    BRISK_ASSERT(a.status == b.status && a.used == b.used && a.count == b.count && a.sum == b.sum);
}

static void try_requests(const uint8_t *data, size_t size, size_t cut)
{
    resp_requests requests;
    resp_requests_init(&requests, NULL, NULL);
    memcpy(whole, data, size);
    summary at_once = sum_requests(&requests, resp_requests_read(&requests, whole, size));
    resp_requests_deinit(&requests);
    resp_requests_init(&requests, NULL, NULL);
    memcpy(part, data, cut);
    resp_status status = resp_requests_read(&requests, part, cut);
    if (status == RESP_MORE) {
        memcpy(whole, data, size);
        status = resp_requests_read(&requests, whole, size);
    }
    same(at_once, sum_requests(&requests, status));
    resp_requests_deinit(&requests);
}

static void try_replies(const uint8_t *data, size_t size, size_t cut)
{
    resp_replies replies;
    resp_replies_init(&replies, NULL, NULL);
    summary at_once = sum_replies(&replies, resp_replies_read(&replies, data, size));
    resp_replies_deinit(&replies);
    resp_replies_init(&replies, NULL, NULL);
    memcpy(part, data, cut);
    resp_status status = resp_replies_read(&replies, part, cut);
    if (status == RESP_MORE) {
        status = resp_replies_read(&replies, data, size);
    }
    same(at_once, sum_replies(&replies, status));
    resp_replies_deinit(&replies);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > SIZE_MAX_TRIED) {
        return 0;
    }
    size_t cut = data[0] % size;
    try_requests(data + 1, size - 1, cut % (size - 1));
    try_replies(data + 1, size - 1, cut % (size - 1));
    return 0;
}
