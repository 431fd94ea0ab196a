/*
 * accept.h -- which content codings a client takes: Accept-Encoding.
 *
 * Weights decide among codings, measurement decides among equals: those of the highest weight are
 * left, and `identity` beside them unless it is refused, because nobody is served by compressing
 * what does not shrink.  A client that weighs identity above all codings gets identity.
 *
 * What is not understood is left out, as if it had not been sent: a coding that is not named is
 * never used.  Without the field nothing is compressed, although RFC 9110 would allow it: who does
 * not ask is most likely a program that cannot expand.
 *
 * Threads: pure functions.
 * Source: RFC 9110 sections 8.4.1, 12.4.2, 12.5.3; RFC 9842 (dcz).
 */
#ifndef BRISK_SRC_DAEMON_ENCODE_ACCEPT_H
#define BRISK_SRC_DAEMON_ENCODE_ACCEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/http/exchange.h"

typedef enum encode_coding {
    ENCODE_IDENTITY = 0,
    ENCODE_GZIP,
    ENCODE_BROTLI,
    ENCODE_ZSTD,
    ENCODE_DCZ, /* zstd with a dictionary that the client has */
    ENCODE_CODINGS,
} encode_coding;

enum { ENCODE_ANY = (1 << ENCODE_CODINGS) - 1 };

/* As in content-encoding: "gzip"; "identity" is never sent. */
http_text encode_coding_name(encode_coding coding);

/* Codings that may be used, a bit each (1 << coding); 0: none is acceptable, not even identity.
 * `value` NULL: there was no such field. */
uint32_t encode_accept(const http_text *value);

#endif /* BRISK_SRC_DAEMON_ENCODE_ACCEPT_H */
