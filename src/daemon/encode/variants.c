/*
 * variants.c -- records in hash tables of fixed size, each with a list in order of use.
 *
 * Invariant of a shard (checked by audit): bytes is the sum over its records of RECORD_BYTES and of the sizes
 * of their bodies; a record is in the chain of its slot and in the list.
 */
#include "daemon/encode/variants.h"

#include <pthread.h>
#include <string.h>

#include "base/assert.h"

enum {
    SHARDS = 8,
    SLOTS = 1024,
    BODY_OVERHEAD = 64,
    DCZ_FIRST = ENCODE_DCZ_3,
    DCZ_METHODS = ENCODE_METHODS - ENCODE_DCZ_3,
};

typedef struct record {
    struct record *chain; /* of the slot */
    struct record *newer;
    struct record *older;
    brisk_hash128 identity;
    encode_probe probe;
    uint32_t uses;
    uint32_t making;
    uint32_t vain;
    brisk_value *bodies[ENCODE_METHODS];
    encode_dictionary *with[DCZ_METHODS]; /* of the bodies of dcz: the last dictionary's only */
} record;

enum { RECORD_BYTES = sizeof(record) };

typedef struct shard {
    pthread_mutex_t lock;
    record *slots[SLOTS];
    record *newest;
    record *oldest;
    uint64_t bytes;
    uint64_t contents;
    uint64_t hits;
    uint64_t dropped;
} shard;

struct encode_variants {
    const brisk_alloc *alloc;
    uint64_t bytes_max; /* of a shard */
    shard shards[SHARDS];
};

brisk_err variants_create(uint64_t bytes_max, const brisk_alloc *alloc, encode_variants **ret)
{
    encode_variants *variants =
        alloc->acquire(alloc->ctx, sizeof *variants, _Alignof(encode_variants));
    if (variants == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(variants, 0, sizeof *variants);
    variants->alloc = alloc;
    variants->bytes_max = bytes_max / SHARDS;
    for (int i = 0; i < SHARDS; i++) {
        (void)pthread_mutex_init(&variants->shards[i].lock, NULL);
    }
    *ret = variants;
    return BRISK_OK;
}

/* --- records, under the lock ------------------------------------------------------------------ */

static shard *lock_shard(encode_variants *variants, brisk_hash128 identity)
{
    shard *s = &variants->shards[identity.hi % SHARDS];
    (void)pthread_mutex_lock(&s->lock);
    return s;
}

static void unlock_shard(shard *s)
{
    (void)pthread_mutex_unlock(&s->lock);
}

static record **find_link(shard *s, brisk_hash128 identity)
{
    record **link = &s->slots[identity.lo % SLOTS];
    while (*link != NULL &&
           ((*link)->identity.lo != identity.lo || (*link)->identity.hi != identity.hi)) {
        link = &(*link)->chain;
    }
    return link;
}

static void unlist(shard *s, record *r)
{
    *(r->newer != NULL ? &r->newer->older : &s->newest) = r->older;
    *(r->older != NULL ? &r->older->newer : &s->oldest) = r->newer;
}

static void list_newest(shard *s, record *r)
{
    r->newer = NULL;
    r->older = s->newest;
    *(s->newest != NULL ? &s->newest->newer : &s->oldest) = r;
    s->newest = r;
}

static uint64_t body_bytes(const brisk_value *value)
{
    return value != NULL ? brisk_value_size(value) + BODY_OVERHEAD : 0;
}

static void set_body(shard *s, record *r, encode_method method, brisk_value *value)
{
    s->bytes -= body_bytes(r->bodies[method]);
    s->bytes += body_bytes(value);
    brisk_value_unref(r->bodies[method]);
    r->bodies[method] = value;
}

static void drop_record(encode_variants *variants, shard *s, record *r)
{
    record **link = find_link(s, r->identity);
    BRISK_ASSERT(*link == r);
    *link = r->chain;
    unlist(s, r);
    for (int i = 0; i < ENCODE_METHODS; i++) {
        set_body(s, r, (encode_method)i, NULL);
    }
    for (int i = 0; i < DCZ_METHODS; i++) {
        encode_dictionary_unref(r->with[i]);
    }
    s->bytes -= RECORD_BYTES;
    s->contents--;
    variants->alloc->release(variants->alloc->ctx, r, sizeof *r, _Alignof(record));
}

/* Drop what was used least recently; `kept` stays whatever it takes. */
static void keep_limit(encode_variants *variants, shard *s, const record *kept)
{
    while (s->bytes > variants->bytes_max && s->oldest != NULL && s->oldest != kept) {
        drop_record(variants, s, s->oldest);
        s->dropped++;
    }
}

/* The record, made when it is not there; NULL: no memory. */
static record *reach(encode_variants *variants, shard *s, brisk_hash128 identity)
{
    record **link = find_link(s, identity);
    if (*link != NULL) {
        return *link;
    }
    record *r = variants->alloc->acquire(variants->alloc->ctx, sizeof *r, _Alignof(record));
    if (r != NULL) {
        memset(r, 0, sizeof *r);
        r->identity = identity;
        *link = r;
        list_newest(s, r);
        s->bytes += RECORD_BYTES;
        s->contents++;
        keep_limit(variants, s, r);
    }
    return r;
}

static bool is_with(const record *r, int method, const encode_dictionary *dictionary)
{
    return method < DCZ_FIRST || (dictionary != NULL && r->with[method - DCZ_FIRST] == dictionary);
}

/* --- what others call ------------------------------------------------------------------------- */

void variants_destroy(encode_variants *variants)
{
    if (variants == NULL) {
        return;
    }
    for (int i = 0; i < SHARDS; i++) {
        shard *s = &variants->shards[i];
        while (s->oldest != NULL) {
            drop_record(variants, s, s->oldest);
        }
        BRISK_ASSERT(s->bytes == 0 && s->contents == 0);
        (void)pthread_mutex_destroy(&s->lock);
    }
    variants->alloc->release(variants->alloc->ctx, variants, sizeof *variants,
                             _Alignof(encode_variants));
}

bool variants_look(encode_variants *variants, brisk_hash128 identity,
                   const encode_dictionary *dictionary, variants_known *ret)
{
    shard *s = lock_shard(variants, identity);
    record *r = *find_link(s, identity);
    if (r != NULL) {
        unlist(s, r);
        list_newest(s, r);
        r->uses += r->uses < UINT32_MAX ? 1 : 0;
        *ret = (variants_known){
            .probe = r->probe, .uses = r->uses, .making = r->making, .vain = r->vain};
        for (int i = 0; i < ENCODE_METHODS; i++) {
            if (r->bodies[i] != NULL && is_with(r, i, dictionary)) {
                ret->made |= 1u << i;
            }
        }
    }
    unlock_shard(s);
    return r != NULL;
}

void variants_know(encode_variants *variants, brisk_hash128 identity, const encode_probe *probe)
{
    shard *s = lock_shard(variants, identity);
    record *r = reach(variants, s, identity);
    if (r != NULL) {
        r->probe = *probe;
        r->uses += r->uses == 0 ? 1 : 0;
    }
    unlock_shard(s);
}

brisk_value *variants_get(encode_variants *variants, brisk_hash128 identity, encode_method method,
                          const encode_dictionary *dictionary)
{
    shard *s = lock_shard(variants, identity);
    record *r = *find_link(s, identity);
    brisk_value *value = NULL;
    if (r != NULL && r->bodies[method] != NULL && is_with(r, (int)method, dictionary)) {
        value = brisk_value_ref(r->bodies[method]);
        s->hits++;
    }
    unlock_shard(s);
    return value;
}

bool variants_begin(encode_variants *variants, brisk_hash128 identity, encode_method method)
{
    shard *s = lock_shard(variants, identity);
    record *r = *find_link(s, identity);
    bool mine = r != NULL && (r->making & 1u << method) == 0;
    if (mine) {
        r->making |= 1u << method;
    }
    unlock_shard(s);
    return mine;
}

void variants_end(encode_variants *variants, brisk_hash128 identity, encode_method method,
                  encode_dictionary *dictionary, brisk_value *value, bool vain)
{
    shard *s = lock_shard(variants, identity);
    record *r = *find_link(s, identity);
    if (r != NULL) {
        r->making &= ~(1u << method);
        r->vain |= vain ? 1u << method : 0;
    }
    if (r != NULL && value != NULL) {
        if ((int)method >= DCZ_FIRST) {
            encode_dictionary *before = r->with[method - DCZ_FIRST];
            r->with[method - DCZ_FIRST] = encode_dictionary_ref(dictionary);
            encode_dictionary_unref(before);
        }
        set_body(s, r, method, brisk_value_ref(value));
        keep_limit(variants, s, r);
        if (s->bytes > variants->bytes_max) { /* alone it is too large */
            drop_record(variants, s, r);
            s->dropped++;
        }
    }
    unlock_shard(s);
}

void variants_read_stats(encode_variants *variants, variants_stats *ret)
{
    *ret = (variants_stats){.contents = 0};
    for (int i = 0; i < SHARDS; i++) {
        shard *s = &variants->shards[i];
        (void)pthread_mutex_lock(&s->lock);
        ret->contents += s->contents;
        ret->bytes += s->bytes;
        ret->hits += s->hits;
        ret->dropped += s->dropped;
        unlock_shard(s);
    }
}
