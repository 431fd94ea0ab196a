/*
 * vary.h -- which requests may share a response that has Vary.
 *
 * A response's Vary becomes a spec: its names in lower case, sorted, each once, joined by ','.  A
 * request seen through a spec becomes a text: one line a name with the value in its normal form, so
 * that what means the same is the same text:
 *
 *     all          lines joined, blanks around commas removed
 *     accept-encoding  the codings that the client takes, known ones only, in a fixed order
 *     accept-language  lower case, by weight, then by name
 *
 * A field that is missing differs from one that is empty.
 *
 * The text's hash stands for it in keys, on disk too, and clients choose what is hashed: so it is SHA-256 (its first
 * half), under which nobody finds a second request that is taken for a given one.
 *
 * Threads: pure functions.
 * Source:  RFC 9111 4.1, RFC 9110 12.5.
 */
#ifndef BRISK_SRC_DAEMON_PROXY_VARY_H
#define BRISK_SRC_DAEMON_PROXY_VARY_H

#include <brisk/hash.h>

#include "daemon/proxy/field.h"

enum {
    PROXY_VARY_NAMES_MAX = 16,
    PROXY_VARY_SPEC_MAX = 256, /* bytes with the NUL */
    PROXY_VARY_TEXT_MAX = 8192,
};

/* The spec of a response, "" when it does not vary.  False: it varies on everything (`*`), or on
 * more than fits: such a response is not kept. */
bool proxy_vary_spec(proxy_fields response, char spec[PROXY_VARY_SPEC_MAX]);
/* What distinguishes `request` under `spec`.  False: it is too long to be told apart. */
bool proxy_vary_hash(const char *spec, proxy_fields request, brisk_hash128 *ret);

#endif /* BRISK_SRC_DAEMON_PROXY_VARY_H */
