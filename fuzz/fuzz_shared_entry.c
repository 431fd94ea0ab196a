/*
 * fuzz_shared_entry.c -- any bytes as an entry of a shared tier.  Oracle: an entry that is accepted
 * is written again to the same bytes, and its answer has the size that it says.
 *
 * The first byte: bit 0 asks for a key, bit 1 makes the seal good (the interesting half: what
 * somebody with the key could send), the others choose the key that is looked for.
 */
#include <string.h>

#include "base/assert.h"
#include "engine/shared_entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As the parser would compute it, by writing an entry over the same bytes. */
static void seal(const shared_sealer *sealer, unsigned char *bytes, size_t size)
{
    bytes[5] = sealer->keyed ? 1 : 2;
    if (sealer->keyed) {
        wire_hmac hmac = sealer->hmac;
        wire_hmac_update(&hmac, bytes, size - SHARED_ENTRY_SEAL);
        wire_hmac_digest(&hmac, bytes + size - SHARED_ENTRY_SEAL);
        return;
    }
    brisk_hash128 hash = brisk_hash128_of(bytes, size - SHARED_ENTRY_SEAL, 0);
    memset(bytes + size - SHARED_ENTRY_SEAL, 0, SHARED_ENTRY_SEAL);
    memcpy(bytes + size - SHARED_ENTRY_SEAL, &hash, sizeof hash);
}

static void check(shared_sealer *sealer, const unsigned char *bytes, size_t size,
                  const brisk_key *key)
{
    static const shared_now now = {.wall_ns = 0, .clear_generation = 0};
    shared_entry entry;
    if (shared_entry_read(sealer, bytes, size, key, &entry) != BRISK_OK) {
        return;
    }
    unsigned char *again = malloc(size);
    BRISK_ASSERT(again != NULL && shared_entry_size(&entry) == size);
    shared_entry_write(sealer, &entry, again);
    BRISK_ASSERT(memcmp(again, bytes, size) == 0);
    free(again);
    brisk_hit hit;
    if (shared_entry_unpack(sealer, (shared_bytes){bytes, size, NULL}, key, &now, &hit) ==
        BRISK_OK) {
        BRISK_ASSERT(brisk_value_size(hit.value) == entry.raw_size);
        BRISK_ASSERT((hit.flags & BRISK_ENTRY_LOCAL) == 0);
        brisk_value_unref(hit.value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    shared_sealer sealer;
    bool keyed = (data[0] & 1) != 0;
    if (shared_sealer_init(&sealer, keyed ? "key" : NULL, keyed ? 3 : 0, NULL) != BRISK_OK) {
        return 0;
    }
    sealer.value_bytes_max = 1 << 20;
    unsigned char *bytes = malloc(size);
    BRISK_ASSERT(bytes != NULL);
    memcpy(bytes, data + 1, size - 1);
    if ((data[0] & 2) != 0 && size - 1 >= SHARED_ENTRY_HEAD + SHARED_ENTRY_SEAL) {
        seal(&sealer, bytes, size - 1);
    }
    brisk_key key = brisk_key_of("key", 1 + (data[0] >> 2) % 3);
    check(&sealer, bytes, size - 1, &key);
    free(bytes);
    shared_sealer_deinit(&sealer);
    return 0;
}
