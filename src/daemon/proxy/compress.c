/*
 * compress.c -- answers of upstreams on their way to clients, compressed where encode/ finds that faster.
 *
 *     whole, from the cache     encode_answer, under the entry's identity: what was made once is kept
 *     whole, passed on          encode_answer
 *     piece by piece            encode_start ...; every piece is flushed, since nobody knows when the next one comes
 *
 * Only what may be transformed: a 200 without Content-Encoding, no-transform on neither side (RFC 9110 7.7), no
 * digest of the bytes (encode_may), never a part, and nothing so small that it is never compressed: such an answer need not say that it varies.  An upstream that compresses by itself is handed on as it is.  A client whose Accept-Encoding nothing satisfies
 * gets what there is, as it would without this proxy.
 *
 * A compressed answer's tag has the coding's name in it (encode.h); when it comes back in If-None-Match, it stands for
 * the upstream's own: condition.h, and compress_add_tags for questions that go on to the upstream.
 */
#include <string.h>

#include "daemon/encode/encode.h"
#include "daemon/proxy/transit.h"

/* Does anything that can be sent satisfy the client, and does it want it transformed? */
static bool is_wanted(const transit *t)
{
    proxy_fields request = {t->x->fields, t->x->field_count};
    const proxy_control control = proxy_field(request, "cache-control") != NULL
                                      ? proxy_control_of_request(request)
                                      : (proxy_control){0};
    return (control.flags & CONTROL_NO_TRANSFORM) == 0;
}

bool compress_may(const transit *t, uint16_t status, int64_t size)
{
    return t->mount->compress && status == 200 && (size < 0 || size >= ENCODE_BODY_MIN) &&
           is_wanted(t);
}

/* Copies in the exchange's memory: who compresses may take longer than these bytes stay.  False: no memory. */
static bool keep_texts(exchange *x, http_field *fields, uint32_t count)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        size += fields[i].name.size + fields[i].value.size;
    }
    char *to = exchange_alloc(x, size + 1);
    for (uint32_t i = 0; to != NULL && i < count; i++) {
        memcpy(to, fields[i].name.data, fields[i].name.size);
        fields[i].name.data = to;
        to += fields[i].name.size;
        if (fields[i].value.size > 0) {
            memcpy(to, fields[i].value.data, fields[i].value.size);
        }
        fields[i].value.data = to;
        to += fields[i].value.size;
    }
    return to != NULL;
}

void compress_answer(transit *t, http_answer *answer, http_field *fields,
                     const encode_identity *identity)
{
    exchange *x = t->x;
    const http_text *accept = exchange_field(x, "accept-encoding");
    bool good = compress_may(t, answer->status, (int64_t)answer->body.size);
    if (good && accept != NULL) {
        /* An entry in memory stays as long as its body is needed, and its fields with it. */
        bool stay = answer->body.kind == HTTP_BODY_VALUE && //
                    brisk_value_data(answer->body.value) != NULL;
        good = encode_accept(encode_joined(x, "accept-encoding")) != 0 &&
               (stay || keep_texts(x, fields, answer->field_count));
    }
    if (good) {
        encode_answer(x, answer, identity);
    } else {
        exchange_answer(x, answer);
    }
}

void compress_start(transit *t, const http_answer *answer)
{
    exchange *x = t->x;
    if (t->method != HTTP_HEAD && compress_may(t, answer->status, answer->length) &&
        encode_accept(encode_joined(x, "accept-encoding")) != 0) {
        t->encoder = encode_start(x, answer);
    } else {
        exchange_start(x, answer);
    }
}

bool compress_write(transit *t, const void *data, size_t size)
{
    return t->encoder != NULL ? encode_write(t->x, t->encoder, data, size, true)
                              : exchange_write(t->x, data, size);
}

void compress_finish(transit *t)
{
    if (t->encoder != NULL) {
        encode_stream *encoder = t->encoder;
        t->encoder = NULL;
        encode_finish(t->x, encoder);
    } else {
        exchange_finish(t->x);
    }
}

void compress_end(transit *t)
{
    encode_stream_destroy(t->encoder);
    t->encoder = NULL;
}

/* --- tags ---------------------------------------------------------------------------------- */

bool compress_tag_back(const transit *t, http_field *etag)
{
    proxy_list list = proxy_list_of((proxy_fields){t->x->fields, t->x->field_count}, //
                                    "if-none-match");
    http_text item;
    while (t->mount->compress && proxy_list_next(&list, &item)) {
        if (proxy_etag_is_coded(item, etag->value)) {
            etag->value = item;
            return true;
        }
    }
    return false;
}
