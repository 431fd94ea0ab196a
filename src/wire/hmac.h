/*
 * hmac.h -- HMAC-SHA256 with a prepared key, and comparison in constant time.
 *
 * A key is prepared once (two compressions) and then used by any number of threads: each message
 * works on a copy of its state.
 * Sources: RFC 2104, FIPS 180-4; N. Moeller, nettle (library; uses the processor's SHA
 * instructions where there are any).
 */
#ifndef BRISK_SRC_WIRE_HMAC_H
#define BRISK_SRC_WIRE_HMAC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WIRE_HMAC_BYTES = 32 };

/* Initialise with wire_hmac_init; copying the struct copies the state. */
typedef struct wire_hmac {
    uint64_t opaque[48];
} wire_hmac;

/* `key` of any length; 32 bytes are what there is to gain from. */
void wire_hmac_init(wire_hmac *hmac, const void *key, size_t size);
void wire_hmac_update(wire_hmac *hmac, const void *data, size_t size);
/* The code of everything added; afterwards `hmac` is as after wire_hmac_init. */
void wire_hmac_digest(wire_hmac *hmac, unsigned char ret[WIRE_HMAC_BYTES]);
/* Takes as long for any two codes. */
bool wire_hmac_equal(const unsigned char a[WIRE_HMAC_BYTES],
                     const unsigned char b[WIRE_HMAC_BYTES]);
/* Forget the key. */
void wire_hmac_wipe(wire_hmac *hmac);

#endif /* BRISK_SRC_WIRE_HMAC_H */
