/*
 * dictionaries.c -- the dictionaries that are kept: in memory, last used first, and on the shelf.
 *
 * What is offered is written to the shelf, what goes for it is removed from there; when the node
 * starts, the shelf's are the ones that clients may still have.  Files are written and removed
 * outside of the lock: two that offer and drop the same bytes at once may leave the file or not, and
 * what is then missing is offered again with the next answer.
 *
 * Threads: any; the lists under encode.lock.  Offering waits for the disk: on the executor.
 */
#include <string.h>

#include "daemon/encode/internal.h"
#include "daemon/server.h"

/* Put what is at `index` first; under the lock. */
static void move_first(encode *self, int index)
{
    encode_dictionary *one = self->dictionaries[index];
    for (int i = index; i > 0; i--) {
        self->dictionaries[i] = self->dictionaries[i - 1];
    }
    self->dictionaries[0] = one;
}

static int find_hash(const encode *self, const uint8_t *hash)
{
    for (int i = 0; i < ENCODE_DICTIONARIES_MAX && self->dictionaries[i] != NULL; i++) {
        if (memcmp(encode_dictionary_hash(self->dictionaries[i]), hash, ENCODE_HASH_BYTES) == 0) {
            return i;
        }
    }
    return -1;
}

/* Into `dropped` go the last ones, until the rest and `more` bytes fit; their number. */
static int drop_last(encode *self, uint64_t more,
                     encode_dictionary *dropped[ENCODE_DICTIONARIES_MAX])
{
    int count = 0;
    int out = 0;
    while (count < ENCODE_DICTIONARIES_MAX && self->dictionaries[count] != NULL) {
        count++;
    }
    while (count > 0 && (count == ENCODE_DICTIONARIES_MAX ||
                         self->dictionary_bytes + more > self->dictionary_bytes_max)) {
        encode_dictionary *last = self->dictionaries[--count];
        self->dictionary_bytes -= encode_dictionary_bytes(last).size;
        self->dictionaries[count] = NULL;
        dropped[out++] = last;
    }
    return out;
}

/* Put it first; false: it was there.  Takes the reference. */
static bool put_first(encode *self, encode_dictionary *one,
                      encode_dictionary *dropped[ENCODE_DICTIONARIES_MAX], int *ret_dropped)
{
    (void)pthread_mutex_lock(&self->lock);
    int at = find_hash(self, encode_dictionary_hash(one));
    bool fresh = at < 0;
    if (fresh) {
        *ret_dropped = drop_last(self, encode_dictionary_bytes(one).size, dropped);
        for (at = 0; self->dictionaries[at] != NULL; at++) {
        }
        self->dictionaries[at] = one;
        self->dictionary_bytes += encode_dictionary_bytes(one).size;
        /* Relaxed: answers say a moment later that they vary. */
        atomic_store_explicit(&self->has_dictionaries, true, memory_order_relaxed);
    }
    move_first(self, at);
    (void)pthread_mutex_unlock(&self->lock);
    if (!fresh) {
        encode_dictionary_unref(one);
    }
    return fresh;
}

/* Keep it in memory; on disk, too, unless it comes from there. */
static void keep(encode *self, brisk_value *value, bool on_disk)
{
    encode_dictionary *one;
    encode_dictionary *dropped[ENCODE_DICTIONARIES_MAX];
    int count = 0;
    if (brisk_value_size(value) > self->dictionary_bytes_max ||
        encode_dictionary_create(value, self->alloc, &one) != BRISK_OK) {
        return;
    }
    (void)encode_dictionary_ref(one); /* ours while the files are written */
    (void)put_first(self, one, dropped, &count);
    if (!on_disk) {
        shelf_put(&self->shelf, encode_dictionary_hash(one), encode_dictionary_bytes(one));
    }
    encode_dictionary_unref(one);
    for (int i = 0; i < count; i++) {
        shelf_drop(&self->shelf, encode_dictionary_hash(dropped[i]));
        encode_dictionary_unref(dropped[i]);
    }
}

void encode_offer_dictionary(encode *self, brisk_value *value)
{
    keep(self, value, false);
}

static void from_shelf(void *ctx, brisk_value *value)
{
    keep(ctx, value, true);
}

void encode_load_dictionaries(encode *self)
{
    if (!self->off) {
        shelf_load(&self->shelf, ENCODE_DICTIONARIES_MAX, self->dictionary_bytes_max, from_shelf,
                   self);
    }
}

encode_dictionary *encode_find_dictionary(encode *self, const exchange *x)
{
    const http_text *field = exchange_field(x, "available-dictionary");
    uint8_t hash[ENCODE_HASH_BYTES];
    if (field == NULL || !encode_read_hash(*field, hash)) {
        return NULL;
    }
    encode_dictionary *found = NULL;
    (void)pthread_mutex_lock(&self->lock);
    int at = find_hash(self, hash);
    if (at >= 0) {
        move_first(self, at);
        found = encode_dictionary_ref(self->dictionaries[0]);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return found;
}

bool encode_has_dictionaries(encode *self)
{
    return atomic_load_explicit(&self->has_dictionaries, memory_order_relaxed);
}
