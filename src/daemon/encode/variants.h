/*
 * variants.h -- encoded bodies that are kept: served again without work, from the same memory.
 *
 * A content is known by its identity (a 128-bit hash of whatever names it and its version) and has a
 * record: what its sample showed, how often it was asked for, and the bodies that were made of it,
 * one for each method, and those made with a dictionary.  The least recently used contents go when
 * the bytes of all are more than the limit; a record without bodies is small and goes likewise.
 *
 * Only one maker of a body at a time: who finds it in the making takes something else meanwhile.
 *
 * Threads: any; a lock for each of VARIANT_SHARDS parts, held for a look-up.
 */
#ifndef BRISK_SRC_DAEMON_ENCODE_VARIANTS_H
#define BRISK_SRC_DAEMON_ENCODE_VARIANTS_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>
#include <brisk/hash.h>
#include <brisk/value.h>

#include "daemon/encode/chooser.h"
#include "daemon/encode/dictionary.h"

typedef struct encode_variants encode_variants;

/* What is known of a content. */
typedef struct variants_known {
    encode_probe probe;
    uint32_t uses;   /* this one included */
    uint32_t made;   /* methods whose body is there, a bit each; dcz's with this dictionary */
    uint32_t making; /* likewise: somebody makes it */
    uint32_t vain;   /* likewise: it did not shrink */
} variants_known;

typedef struct variants_stats {
    uint64_t contents;
    uint64_t bytes;
    uint64_t hits;
    uint64_t dropped;
} variants_stats;

/* `bytes_max` of bodies and records.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err variants_create(uint64_t bytes_max, const brisk_alloc *alloc,
                                          encode_variants **ret);
void variants_destroy(encode_variants *variants); /* NULL is accepted */

/* False: nothing is known.  `dictionary` may be NULL. */
bool variants_look(encode_variants *variants, brisk_hash128 identity,
                   const encode_dictionary *dictionary, variants_known *ret);
/* Remember what the sample showed.  Without memory nothing is remembered. */
void variants_know(encode_variants *variants, brisk_hash128 identity, const encode_probe *probe);
/* The body, with a reference for the caller; NULL: it is not there any more. */
brisk_value *variants_get(encode_variants *variants, brisk_hash128 identity, encode_method method,
                          const encode_dictionary *dictionary);
/* The caller makes it, unless somebody does: false. */
bool variants_begin(encode_variants *variants, brisk_hash128 identity, encode_method method);
/* ... and has made it; NULL: it could not (`vain`: it does not shrink, and will not). */
void variants_end(encode_variants *variants, brisk_hash128 identity, encode_method method,
                  encode_dictionary *dictionary, brisk_value *value, bool vain);
void variants_read_stats(encode_variants *variants, variants_stats *ret);

#endif /* BRISK_SRC_DAEMON_ENCODE_VARIANTS_H */
