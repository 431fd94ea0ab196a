/*
 * dictionary.h -- answers that are dictionaries for later ones: zstd with what the client has.
 *
 * An answer with Use-As-Dictionary stays in the client's cache; for a request that matches its
 * pattern the client names the SHA-256 of its bytes (Available-Dictionary), and takes an answer
 * compressed with it: "dcz" is a skippable zstd frame with that hash and a zstd frame behind it,
 * whose dictionary are the plain bytes.  A new version of a script then costs what is new in it.
 *
 * Whoever has a dictionary decides nothing: only hashes that we have ourselves are used, and the
 * client checks the hash again.
 *
 * A digest of a dictionary is made once for a level, in memory of ours, and only read afterwards.
 *
 * Threads: a dictionary is immutable but for its counter; any thread.
 * Source: RFC 9842; RFC 9651 (byte sequences, strings); RFC 8878.
 */
#ifndef BRISK_SRC_DAEMON_ENCODE_DICTIONARY_H
#define BRISK_SRC_DAEMON_ENCODE_DICTIONARY_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>
#include <brisk/value.h>

#include "daemon/http/exchange.h"
#include "wire/codec.h"

enum {
    ENCODE_HASH_BYTES = 32,
    ENCODE_DCZ_HEAD = 40,
    ENCODE_DICTIONARY_MAX = 16 << 20,
    ENCODE_DICTIONARY_ID_MAX = 1024, /* characters: RFC 9842 section 2.1.3 */
};

typedef struct encode_dictionary encode_dictionary;

/* Over bytes in memory; takes a reference of `value`.  Errors: INVALID (a file, empty, or too
 * large), NOMEM. */
BRISK_NODISCARD brisk_err encode_dictionary_create(brisk_value *value, const brisk_alloc *alloc,
                                                   encode_dictionary **ret);
encode_dictionary *encode_dictionary_ref(encode_dictionary *dictionary);
void encode_dictionary_unref(encode_dictionary *dictionary); /* NULL is accepted */
const uint8_t *encode_dictionary_hash(const encode_dictionary *dictionary);
codec_bytes encode_dictionary_bytes(const encode_dictionary *dictionary);

/* Available-Dictionary: ":base64:" of 32 bytes; false: it is not that. */
bool encode_read_hash(http_text value, uint8_t ret[ENCODE_HASH_BYTES]);
/* A string of structured fields ("..."), written as a field wants it; false: a character that may
 * not stand in one, or no room. */
bool encode_write_string(const char *text, char *buffer, size_t size);

/* dcz of `body`, all of it with its head.  Errors: LIMIT (no room), NOMEM. */
BRISK_NODISCARD brisk_err encode_dictionary_squeeze(encode_dictionary *dictionary, int level,
                                                    codec_bytes body, codec_room dst, size_t *ret);
/* Back again.  Errors: CORRUPT, NOMEM, MISMATCH (another dictionary). */
BRISK_NODISCARD brisk_err encode_dictionary_expand(const encode_dictionary *dictionary,
                                                   codec_bytes body, codec_room dst);

#endif /* BRISK_SRC_DAEMON_ENCODE_DICTIONARY_H */
