/*
 * hmac.c -- nettle behind wire/hmac.h.
 */
#include "wire/hmac.h"

#include <assert.h>
#include <string.h>

#include <nettle/hmac.h>
#include <nettle/memops.h>

static_assert(sizeof(struct hmac_sha256_ctx) <= sizeof(wire_hmac), "the state fits");
static_assert((int)SHA256_DIGEST_SIZE == (int)WIRE_HMAC_BYTES, "a code is a digest");

static struct hmac_sha256_ctx *state_of(wire_hmac *hmac)
{
    return (struct hmac_sha256_ctx *)(void *)hmac->opaque;
}

void wire_hmac_init(wire_hmac *hmac, const void *key, size_t size)
{
    memset(hmac, 0, sizeof *hmac);
    hmac_sha256_set_key(state_of(hmac), size, key);
}

void wire_hmac_update(wire_hmac *hmac, const void *data, size_t size)
{
    hmac_sha256_update(state_of(hmac), size, data);
}

void wire_hmac_digest(wire_hmac *hmac, unsigned char ret[WIRE_HMAC_BYTES])
{
    hmac_sha256_digest(state_of(hmac), WIRE_HMAC_BYTES, ret);
}

bool wire_hmac_equal(const unsigned char a[WIRE_HMAC_BYTES], const unsigned char b[WIRE_HMAC_BYTES])
{
    return memeql_sec(a, b, WIRE_HMAC_BYTES) == 1;
}

void wire_hmac_wipe(wire_hmac *hmac)
{
    explicit_bzero(hmac, sizeof *hmac);
}
