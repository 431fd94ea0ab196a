/*
 * http_compress.c -- bodies of requests as gzip.
 *
 * A host says what it takes in Accept-Encoding of any answer, and with 415 what it does not.  Only
 * gzip: whoever takes anything takes that.  Work is done in the thread that submits, which may have
 * a body of megabytes, not in the one that talks to all servers.
 *
 * 415 means that nothing was done with the request, so that it is sent again, plain, whatever its
 * method; unless the host lists gzip there: then it is the type that it does not want.
 *
 * Invariant: the plain body stays until the answer; `packed` is used for the first origin only.
 * Sources: RFC 9110 (12.5.3, 15.5.16), RFC 7694.
 */
#include <string.h>

#include "io/http_internal.h"
#include "wire/codec.h"

enum { MARGIN = 64 }; /* bytes that codecs may want beyond what they write */

/* What gzip must stay below to be worth it. */
static size_t worth(const http_call *call)
{
    return call->body_size - call->body_size / 8;
}

static bool has_coding(const http_call *call)
{
    for (uint32_t i = 0; i < call->header_count; i++) {
        if (http_same_name(call->headers[i], "Content-Encoding:")) {
            return true;
        }
    }
    return false;
}

/* What the host has said until now.  Before the first one nobody has: the library need not be there. */
static bool wants(brisk_http_client *client, const http_call *call, brisk_http_compress wish)
{
    brisk_http_host_stats host = {0};
    (void)pthread_mutex_lock(&client->lock);
    bool any = client->hosts != NULL;
    (void)pthread_mutex_unlock(&client->lock);
    if (any && brisk_http_client_read_host(client, call->url, &host) != BRISK_OK) {
        host = (brisk_http_host_stats){0};
    }
    return !host.refuses_gzip && (wish == BRISK_HTTP_COMPRESS_YES || host.takes_gzip);
}

/* Into a block of what is worth it: less than seven eighths. */
static void squeeze(const brisk_alloc *alloc, http_call *call)
{
    codec_kit *kit = NULL;
    size_t capacity = worth(call) + MARGIN;
    codec_bytes plain = {call->body, call->body_size};
    void *packed = NULL;
    brisk_err err = codec_kit_create(alloc, &kit);
    if (err == BRISK_OK) {
        packed = alloc->acquire(alloc->ctx, capacity, 1);
        err = packed != NULL ? codec_squeeze(kit, &(codec_how){.id = CODEC_GZIP}, plain,
                                             (codec_room){packed, capacity}, &call->packed_size)
                             : BRISK_ERR_NOMEM;
    }
    codec_kit_destroy(kit);
    if (err == BRISK_OK && call->packed_size < worth(call)) {
        call->packed = packed;
        call->packed_capacity = capacity;
    } else if (packed != NULL) {
        alloc->release(alloc->ctx, packed, capacity, 1);
    }
}

void http_call_compress(brisk_http_client *client, http_call *call, brisk_http_compress wish)
{
    uint32_t least = client->settings.o.compress_min;
    if (wish == BRISK_HTTP_COMPRESS_NO || least == BRISK_HTTP_NONE || call->body_size < least ||
        call->body_size > CODEC_BYTES_MAX || has_coding(call) || !wants(client, call, wish) ||
        codec_seems_random((codec_bytes){call->body, call->body_size})) {
        return;
    }
    squeeze(client->alloc, call);
}

size_t http_call_body(const http_call *call, const void **body, bool *packed)
{
    *packed = call->packed != NULL && !call->elsewhere && call->body_size > 0;
    *body = *packed ? call->packed : call->body;
    return *packed ? call->packed_size : call->body_size;
}

bool http_learn_compression(http_transfer *t)
{
    brisk_http_host_stats *host = &t->call->host->counts;
    const http_head *head = &t->head;
    bool refused = t->packed && head->status == 415 && !head->takes_gzip;
    if (head->has_takes || refused) {
        host->takes_gzip = head->takes_gzip;
        host->refuses_gzip = !head->takes_gzip;
    }
    return refused;
}
