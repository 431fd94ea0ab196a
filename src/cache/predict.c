/*
 * predict.c -- the predictor behind <brisk/predict.h>: contexts, keys, trust.
 *
 *     request ─► gate: what did we guess? ─► model: learn ─► model: what follows? ─► gate: trusted?
 *                                               └► keys: remember the bytes of what came twice
 *
 * A key is its 32-bit tag (of the upper hash) everywhere but in the log of keys.  Two keys with one
 * tag are taken for one: at a million keys about a hundred pairs, and what they cost is a guess that
 * does not come true.
 *
 * A request for the same key as the one before is not a new step: it would only teach that a key is
 * followed by itself, and what is cached anyway needs no guess.
 *
 * Streams: the last two keys of each are kept in a small table; one that is pushed out begins anew.
 *
 * Memory: one block of at most bytes_max, three quarters for contexts, the rest for keys.
 *
 * Threads: any, one lock.  The request path of a cache does not come here, see predict_fetch.c.
 */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/predict.h>

#include "base/assert.h"
#include "cache/predict_gate.h"
#include "cache/predict_keys.h"
#include "cache/predict_model.h"

enum {
    STREAMS = 1024, /* power of two */
    BYTES_MIN = 131072,
    BLOCK_ALIGN = 64,
    SEEN_MIN = 2, /* once is no habit */
    LOG_BYTES_PER_INDEX_BYTE = 4,
};

static const uint64_t bytes_max_default = UINT64_C(16) << 20;
static const uint64_t bytes_max_limit = UINT64_C(16) << 30;
static const double probability_default = 0.7;
static const double waste_default = 0.04;

typedef struct predict_stream {
    uint64_t id;
    uint32_t last; /* 0: none */
    uint32_t before;
    uint32_t guessed; /* the trusted guess for the next request; 0: none */
} predict_stream;

struct brisk_predictor {
    _Alignas(BLOCK_ALIGN) const brisk_alloc *alloc; /* and so its size is a multiple */
    size_t block_bytes;
    double probability;
    uint32_t depth;
    pthread_mutex_t lock; /* everything below */
    predict_model model;
    predict_keys keys;
    predict_gate gate;
    predict_stream streams[STREAMS];
};

/* --- life ---------------------------------------------------------------------------------- */

static size_t round_down(uint64_t bytes)
{
    return (size_t)(bytes & ~(uint64_t)(BLOCK_ALIGN - 1));
}

/* Divide what is left of `bytes_max` among contexts, index and log. */
static bool lay_out(brisk_predictor *predictor, uint64_t bytes_max)
{
    unsigned char *at = (unsigned char *)predictor + sizeof *predictor;
    uint64_t left = bytes_max - sizeof *predictor;
    static_assert(sizeof *predictor % BLOCK_ALIGN == 0, "buckets begin at a cache line");
    predictor->model.bucket_count = (uint32_t)(left / 4 * 3 / sizeof(model_bucket));
    left -= predictor->model.bucket_count * sizeof(model_bucket);
    uint64_t buckets = left / (LOG_BYTES_PER_INDEX_BYTE + 1) / sizeof(keys_bucket);
    left -= buckets * sizeof(keys_bucket);
    predictor->keys.bucket_count = (uint32_t)buckets;
    predictor->keys.log_units = (uint32_t)(left / KEYS_UNIT);
    if (predictor->model.bucket_count == 0 || buckets == 0 || left < KEYS_UNIT) {
        return false;
    }
    predictor->model.buckets = (model_bucket *)(void *)at;
    at += predictor->model.bucket_count * sizeof(model_bucket);
    predictor->keys.buckets = (keys_bucket *)(void *)at;
    predictor->keys.log = at + buckets * sizeof(keys_bucket);
    return true;
}

static bool opts_are_valid(const brisk_predictor_opts *o)
{
    return o->bytes_max >= BYTES_MIN && o->bytes_max <= bytes_max_limit && o->probability >= 0.5 &&
           o->probability < 1 && o->waste >= 0 && o->waste < 1 && o->depth >= 1 &&
           o->depth <= BRISK_PREDICT_DEPTH_MAX;
}

brisk_err brisk_predictor_create(const brisk_predictor_opts *opts, brisk_predictor **ret)
{
    BRISK_ASSERT(ret != NULL);
    brisk_predictor_opts o = opts != NULL ? *opts : (brisk_predictor_opts){0};
    o.bytes_max = o.bytes_max != 0 ? o.bytes_max : bytes_max_default;
    o.probability = o.probability != 0 ? o.probability : probability_default;
    o.waste = o.waste != 0 ? o.waste : waste_default;
    o.depth = o.depth != 0 ? o.depth : 1;
    if (!opts_are_valid(&o)) {
        return BRISK_ERR_INVALID;
    }
    const brisk_alloc *alloc = o.alloc != NULL ? o.alloc : brisk_alloc_libc();
    size_t bytes = round_down(o.bytes_max);
    brisk_predictor *predictor = alloc->acquire(alloc->ctx, bytes, BLOCK_ALIGN);
    if (predictor == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(predictor, 0, bytes);
    predictor->alloc = alloc;
    predictor->block_bytes = bytes;
    predictor->probability = o.probability;
    predictor->depth = o.depth;
    predict_gate_init(&predictor->gate, o.waste);
    bool fits = lay_out(predictor, bytes);
    BRISK_ASSERT(fits); /* BYTES_MIN is enough */
    if (pthread_mutex_init(&predictor->lock, NULL) != 0) {
        alloc->release(alloc->ctx, predictor, bytes, BLOCK_ALIGN);
        return BRISK_ERR_NOMEM;
    }
    *ret = predictor;
    return BRISK_OK;
}

void brisk_predictor_destroy(brisk_predictor *predictor)
{
    if (predictor == NULL) {
        return;
    }
    (void)pthread_mutex_destroy(&predictor->lock);
    const brisk_alloc *alloc = predictor->alloc;
    alloc->release(alloc->ctx, predictor, predictor->block_bytes, BLOCK_ALIGN);
}

static void lock(brisk_predictor *predictor)
{
    int failed = pthread_mutex_lock(&predictor->lock);
    BRISK_ASSERT(failed == 0);
}

static void unlock(brisk_predictor *predictor)
{
    int failed = pthread_mutex_unlock(&predictor->lock);
    BRISK_ASSERT(failed == 0);
}

/* --- a request ----------------------------------------------------------------------------- */

static uint32_t tag_of(const brisk_key *key)
{
    uint32_t tag = (uint32_t)(key->hash.hi >> 32);
    return tag != 0 ? tag : 1;
}

static predict_stream *stream_of(brisk_predictor *predictor, uint64_t id)
{
    predict_stream *stream = &predictor->streams[predict_mix(id) & (STREAMS - 1)];
    if (stream->id != id) {
        *stream = (predict_stream){.id = id};
    }
    return stream;
}

static void learn(brisk_predictor *predictor, const predict_stream *stream, uint32_t tag,
                  const brisk_key *key)
{
    uint32_t seen = 0;
    if (stream->last != 0) {
        seen = predict_model_learn(&predictor->model, predict_context1(stream->last), tag);
    }
    if (stream->before != 0) {
        uint64_t context = predict_context2(stream->before, stream->last);
        uint32_t seen2 = predict_model_learn(&predictor->model, context, tag);
        seen = seen2 > seen ? seen2 : seen;
    }
    if (seen >= SEEN_MIN && key->size > 0 && key->size <= BRISK_PREDICT_KEY_MAX) {
        predict_keys_store(&predictor->keys, tag, key->bytes, key->size);
    }
}

/* One step: what follows `last` after `before`. */
typedef struct predict_step {
    uint32_t tag;
    uint32_t kind;
    uint32_t order;
    double probability; /* of the whole way to it */
} predict_step;

static bool step_of_order(const brisk_predictor *predictor, uint32_t order, uint64_t context,
                          double so_far, predict_step *step)
{
    model_guess guess;
    if (!predict_model_guess(&predictor->model, context, &guess) || guess.count < SEEN_MIN) {
        return false;
    }
    step->probability = so_far * guess.count / guess.total;
    step->tag = guess.tag;
    step->order = order;
    step->kind = guess.count; /* made a kind below, when the depth is known */
    return step->probability > predictor->probability;
}

/* The longer context is asked first; an order that is trusted goes before one that is not. */
static bool next_step(const brisk_predictor *predictor, uint32_t before, uint32_t last,
                      uint32_t depth, predict_step *step)
{
    double so_far = step->probability;
    bool found = false;
    for (uint32_t order = 2; order >= 1; order--) {
        predict_step one = {0};
        if (order == 2 && before == 0) {
            continue;
        }
        uint64_t context = order == 2 ? predict_context2(before, last) : predict_context1(last);
        if (!step_of_order(predictor, order, context, so_far, &one)) {
            continue;
        }
        one.kind = predict_gate_kind(order, one.kind, one.probability, depth);
        bool open = predict_gate_is_open(&predictor->gate, one.kind);
        if (!found || open) {
            *step = one;
            found = true;
        }
        if (open) {
            break;
        }
    }
    return found;
}

static uint32_t guess(brisk_predictor *predictor, predict_stream *stream, brisk_guess *guesses,
                      uint32_t max)
{
    uint32_t count = 0;
    uint32_t before = stream->before;
    uint32_t last = stream->last;
    predict_step step = {.probability = 1};
    for (uint32_t depth = 1; depth <= predictor->depth && count < max; depth++) {
        if (!next_step(predictor, before, last, depth, &step)) {
            break;
        }
        bool trusted = predict_gate_trusts(&predictor->gate, step.kind);
        if (depth == 1 && trusted) {
            stream->guessed = step.tag;
        }
        size_t size = 0;
        const unsigned char *bytes = predict_keys_find(&predictor->keys, step.tag, &size);
        if (bytes != NULL && size <= BRISK_PREDICT_KEY_MAX &&
            !predict_gate_watches(&predictor->gate, step.tag, step.kind)) {
            brisk_guess *one = &guesses[count++];
            one->id = step.tag;
            one->kind = step.kind;
            one->trusted = trusted;
            one->depth = depth;
            one->probability = step.probability;
            one->key_size = size;
            memcpy(one->key, bytes, size);
        }
        before = last;
        last = step.tag;
    }
    return count;
}

uint32_t brisk_predictor_note(brisk_predictor *predictor, uint64_t stream_id, const brisk_key *key,
                              bool hit, brisk_guess *guesses, uint32_t max)
{
    uint32_t tag = tag_of(key);
    uint32_t count = 0;
    lock(predictor);
    predict_gate_request(&predictor->gate, tag, hit);
    predict_stream *stream = stream_of(predictor, stream_id);
    if (stream->guessed != 0) {
        predictor->gate.stats.next++;
        predictor->gate.stats.next_right += stream->guessed == tag ? 1 : 0;
        stream->guessed = 0;
    }
    if (tag != stream->last) {
        learn(predictor, stream, tag, key);
        stream->before = stream->last;
        stream->last = tag;
        count = guess(predictor, stream, guesses, max);
    }
    unlock(predictor);
    return count;
}

void brisk_predictor_tell(brisk_predictor *predictor, const brisk_guess *guess,
                          brisk_guess_fate fate)
{
    BRISK_ASSERT(guess->id != 0 && guess->kind < GATE_KINDS);
    lock(predictor);
    predict_gate_watch(&predictor->gate, guess->id, guess->kind, guess->trusted, fate);
    unlock(predictor);
}

void brisk_predictor_loaded(brisk_predictor *predictor, uint32_t id, bool ok)
{
    lock(predictor);
    predict_gate_loaded(&predictor->gate, id, ok);
    unlock(predictor);
}

void brisk_predictor_read_stats(brisk_predictor *predictor, brisk_predict_stats *ret)
{
    lock(predictor);
    *ret = predictor->gate.stats;
    unlock(predictor);
    ret->bytes = predictor->block_bytes;
}
