/*
 * encode.h -- answers, compressed when that is faster for who waits for them.
 *
 *     encode_answer(x, answer, identity)
 *          │ may it be encoded? (status, size, type, no-transform)      no ──► exchange_answer
 *          │ what does the client take; what is known of this content (variants.h), or its sample
 *          │ encode_choose: plain ──► exchange_answer
 *          ├ it was made before ──► exchange_answer with the same memory
 *          ├ small ──► made here
 *          └ else ──► on the executor, then home to the worker's loop
 *
 * Nothing that takes long runs in a loop, and nothing runs twice: of several clients that want the
 * same body at once, one waits for it and the others take what is there.  A content that is asked
 * for again and again is made once more in the background, with more effort.  What a method takes
 * is learnt from each body made; when little is known of a kind of content, the other methods are
 * tried on it in the background.
 *
 * A handler calls encode_answer where it would call exchange_answer; a strong etag gets the coding's
 * name and becomes weak ("1a2b": W/"1a2b-zstd"; see files/condition.h).  Ranges are the handler's: what is
 * encoded has none.
 *
 * Threads: encode_answer and streams in the worker's; the rest inside.
 * Sources: RFC 9110 (8.4, 12.5.3), RFC 9842.
 */
#ifndef BRISK_SRC_DAEMON_ENCODE_ENCODE_H
#define BRISK_SRC_DAEMON_ENCODE_ENCODE_H

#include <brisk/alloc.h>
#include <brisk/err.h>
#include <brisk/executor.h>
#include <brisk/hash.h>

#include "daemon/encode/chooser.h"
#include "daemon/encode/dictionary.h"
#include "daemon/encode/variants.h"
#include "daemon/http/exchange.h"

typedef struct encode encode;
typedef struct server server;

typedef struct encode_opts {
    server *server; /* whose executor (server_engine) is used */
    const brisk_alloc *alloc;
    uint64_t variants_bytes;       /* of bodies that are kept */
    uint64_t dictionary_bytes;     /* of dictionaries that are kept */
    const char *dictionary_folder; /* see shelf_init; borrowed for encode_create */
    bool off;                      /* nothing is encoded */
} encode_opts;

/* What names a content and its version; the same for the same bytes only. */
typedef brisk_hash128 encode_identity;

typedef struct encode_stats {
    uint64_t plain;      /* answers that could have been encoded, and were better not */
    uint64_t made;       /* bodies made for a client ... */
    uint64_t background; /* ... and without one */
    uint64_t reused;     /* answers from bodies made before */
    uint64_t bytes_in;   /* of what was made, before ... */
    uint64_t bytes_out;  /* ... and after */
} encode_stats;

BRISK_NODISCARD brisk_err encode_create(const encode_opts *opts, encode **ret);
/* Until the executor has nothing of it; the loops have stopped, and are still there. */
void encode_wait(encode *self); /* NULL is accepted */
/* After encode_wait, and after the connections. */
void encode_destroy(encode *self); /* NULL is accepted */

enum {
    ENCODE_BODY_MIN = 256
}; /* less is one packet with its head either way, and is not encoded */

/* `identity` NULL: the body is not kept.  Takes the body over as exchange_answer does. */
void encode_answer(exchange *x, const http_answer *answer, const encode_identity *identity);
/* May this answer be encoded, by its status and fields? */
bool encode_may(const exchange *x, const http_answer *answer);
/* The type of a body that cannot be compressed, or is already: image/png, font/woff2 ... */
bool encode_is_packed(http_text type);
/* All fields of that name, joined, in the exchange's memory; NULL: there is none (or no memory). */
const http_text *encode_joined(exchange *x, const char *name);
/* Keep these bytes as a dictionary, also on disk, until others are used more; waits for the disk. */
void encode_offer_dictionary(encode *self, brisk_value *value);
/* Likewise on the executor: hashing takes milliseconds for a megabyte. */
void encode_offer_dictionary_later(encode *self, brisk_value *value);
void encode_read_stats(encode *self, encode_stats *ret, variants_stats *variants);

/* --- answers without a known length: stream.c ------------------------------------------------ */

/* NULL stands for one that is not encoded: all of these take it. */
typedef struct encode_stream encode_stream;

/* Like exchange_start; what may not be encoded, or without memory, goes as it is. */
encode_stream *encode_start(exchange *x, const http_answer *answer);
/* Like exchange_write.  `flush`: the client gets to see all of it now. */
BRISK_NODISCARD bool encode_write(exchange *x, encode_stream *stream, const void *data, size_t size,
                                  bool flush);
/* Like exchange_finish; the stream is gone. */
void encode_finish(exchange *x, encode_stream *stream);
/* In the handler's `gone`, when it was not finished. */
void encode_stream_destroy(encode_stream *stream);

#endif /* BRISK_SRC_DAEMON_ENCODE_ENCODE_H */
