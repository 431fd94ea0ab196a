/*
 * warm_popular.c -- the most frequent keys of a history of any length, in bounded memory.
 *
 * Space-Saving (Metwally et al.): m counters.  A key that has a counter adds one to it; another
 * takes over the smallest counter, and goes on from its value.  So the sum of all counters is the
 * number of keys read, N; the smallest is at most N / m; and a count is too high by at most what
 * the smallest was when the key took it over.
 *
 *     heap[]     positions of counters, the smallest count first
 *     chains[]   counters by hash of their key
 *
 * Invariant: counters[heap[i]].place == i; no child of a heap position has a smaller count.
 * At the end the heap is taken apart in ascending order, which leaves it sorted.
 * Threads: one at a time.
 */
#include <string.h>

#include <brisk/warm.h>

#include "base/assert.h"

enum { TOP_DEFAULT = 1000, COUNTERS_MAX = 16777216 };

#define NONE UINT32_MAX

typedef struct popular_counter {
    brisk_key key; /* bytes: our own copy */
    uint64_t count;
    uint32_t place; /* in the heap */
    uint32_t next;  /* in its chain */
} popular_counter;

struct brisk_popular {
    const brisk_alloc *alloc;
    uint32_t capacity; /* counters */
    uint32_t count;    /* of them, taken */
    uint32_t top;
    uint32_t mask; /* chains - 1 */
    uint32_t at;   /* rank of the next key given out */
    popular_counter *counters;
    uint32_t *heap;
    uint32_t *chains;
};

static uint32_t *chain_of(const brisk_popular *popular, const brisk_key *key)
{
    return &popular->chains[key->hash.lo & popular->mask];
}

static uint32_t find(const brisk_popular *popular, const brisk_key *key)
{
    uint32_t i = *chain_of(popular, key);
    while (i != NONE) {
        const popular_counter *counter = &popular->counters[i];
        if (counter->key.hash.lo == key->hash.lo && counter->key.hash.hi == key->hash.hi &&
            counter->key.size == key->size &&
            memcmp(counter->key.bytes, key->bytes, key->size) == 0) {
            return i;
        }
        i = counter->next;
    }
    return NONE;
}

static void unchain(const brisk_popular *popular, uint32_t index)
{
    uint32_t *link = chain_of(popular, &popular->counters[index].key);
    while (*link != index) {
        link = &popular->counters[*link].next;
    }
    *link = popular->counters[index].next;
}

static void put_at(const brisk_popular *popular, uint32_t place, uint32_t index)
{
    popular->heap[place] = index;
    popular->counters[index].place = place;
}

/* Let the counter at `place`, whose count has grown, sink among the first `size`. */
static void sink(const brisk_popular *popular, uint32_t place, uint32_t size)
{
    uint32_t index = popular->heap[place];
    uint64_t count = popular->counters[index].count;
    for (;;) {
        uint64_t child = 2 * (uint64_t)place + 1;
        if (child >= size) {
            break;
        }
        const uint32_t *heap = popular->heap;
        if (child + 1 < size &&
            popular->counters[heap[child + 1]].count < popular->counters[heap[child]].count) {
            child++;
        }
        if (popular->counters[heap[child]].count >= count) {
            break;
        }
        put_at(popular, place, heap[child]);
        place = (uint32_t)child;
    }
    put_at(popular, place, index);
}

/* A new counter has the smallest count there is, 1, and rises to the top. */
static void rise(const brisk_popular *popular, uint32_t place)
{
    uint32_t index = popular->heap[place];
    uint64_t count = popular->counters[index].count;
    while (place != 0) {
        uint32_t parent = (place - 1) / 2;
        if (popular->counters[popular->heap[parent]].count <= count) {
            break;
        }
        put_at(popular, place, popular->heap[parent]);
        place = parent;
    }
    put_at(popular, place, index);
}

static void free_bytes(const brisk_popular *popular, const popular_counter *counter)
{
    union {
        const void *from;
        void *to;
    } bytes = {.from = counter->key.bytes}; /* ours: const for everybody else */
    popular->alloc->release(popular->alloc->ctx, bytes.to, counter->key.size, 1);
}

static brisk_err count_key(brisk_popular *popular, const brisk_key *key)
{
    uint32_t index = find(popular, key);
    if (index != NONE) {
        popular->counters[index].count++;
        sink(popular, popular->counters[index].place, popular->count);
        return BRISK_OK;
    }
    void *bytes = popular->alloc->acquire(popular->alloc->ctx, key->size, 1);
    if (bytes == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memcpy(bytes, key->bytes, key->size);
    bool is_new = popular->count < popular->capacity;
    index = is_new ? popular->count : popular->heap[0];
    popular_counter *counter = &popular->counters[index];
    if (!is_new) {
        unchain(popular, index);
        free_bytes(popular, counter);
    }
    counter->key = (brisk_key){.bytes = bytes, .size = key->size, .hash = key->hash};
    counter->count = is_new ? 1 : counter->count + 1;
    counter->next = *chain_of(popular, key);
    *chain_of(popular, key) = index;
    if (is_new) {
        put_at(popular, popular->count++, index);
        rise(popular, popular->count - 1);
    } else {
        sink(popular, 0, popular->count);
    }
    return BRISK_OK;
}

/* Heap sort by smallest count first leaves the largest in front. */
static void sort(const brisk_popular *popular)
{
    for (uint32_t size = popular->count; size > 1; size--) {
        uint32_t smallest = popular->heap[0];
        put_at(popular, 0, popular->heap[size - 1]);
        put_at(popular, size - 1, smallest);
        sink(popular, 0, size - 1);
    }
}

static brisk_err allocate(brisk_popular *popular)
{
    const brisk_alloc *alloc = popular->alloc;
    size_t chains = (size_t)popular->mask + 1;
    popular->counters = alloc->acquire(alloc->ctx, popular->capacity * sizeof(popular_counter),
                                       _Alignof(popular_counter));
    popular->heap =
        alloc->acquire(alloc->ctx, popular->capacity * sizeof(uint32_t), _Alignof(uint32_t));
    popular->chains = alloc->acquire(alloc->ctx, chains * sizeof(uint32_t), _Alignof(uint32_t));
    if (popular->counters == NULL || popular->heap == NULL || popular->chains == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (size_t i = 0; i < chains; i++) {
        popular->chains[i] = NONE;
    }
    return BRISK_OK;
}

static brisk_err read_history(brisk_popular *popular, const brisk_keys *history)
{
    for (;;) {
        brisk_key key;
        brisk_err err = history->next(history->ctx, &key);
        if (err == BRISK_ERR_NOT_FOUND) {
            return BRISK_OK;
        }
        if (err == BRISK_OK && (key.size == 0 || key.size > BRISK_KEY_BYTES_MAX)) {
            err = BRISK_ERR_INVALID;
        }
        err = err == BRISK_OK ? count_key(popular, &key) : err;
        if (err != BRISK_OK) {
            return err;
        }
    }
}

brisk_err brisk_popular_create(const brisk_popular_opts *opts, brisk_popular **ret)
{
    BRISK_ASSERT(ret != NULL);
    if (opts == NULL || opts->history.next == NULL || opts->counters > COUNTERS_MAX ||
        opts->top > COUNTERS_MAX) {
        return BRISK_ERR_INVALID;
    }
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    brisk_popular *popular = alloc->acquire(alloc->ctx, sizeof *popular, _Alignof(brisk_popular));
    if (popular == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t top = opts->top != 0 ? opts->top : TOP_DEFAULT;
    uint32_t most = top < COUNTERS_MAX / 8 ? 8 * top : COUNTERS_MAX;
    *popular = (brisk_popular){
        .alloc = alloc,
        .capacity = opts->counters != 0 ? opts->counters : most,
        .top = top,
        .mask = 63,
    };
    while (popular->mask < popular->capacity) {
        popular->mask = 2 * popular->mask + 1;
    }
    brisk_err err = allocate(popular);
    err = err == BRISK_OK ? read_history(popular, &opts->history) : err;
    if (err != BRISK_OK) {
        brisk_popular_destroy(popular);
        return err;
    }
    sort(popular);
    popular->top = top < popular->count ? top : popular->count;
    *ret = popular;
    return BRISK_OK;
}

void brisk_popular_destroy(brisk_popular *popular)
{
    if (popular == NULL) {
        return;
    }
    const brisk_alloc *alloc = popular->alloc;
    for (uint32_t i = 0; i < popular->count; i++) {
        free_bytes(popular, &popular->counters[i]);
    }
    if (popular->counters != NULL) {
        alloc->release(alloc->ctx, popular->counters, popular->capacity * sizeof(popular_counter),
                       _Alignof(popular_counter));
    }
    if (popular->heap != NULL) {
        alloc->release(alloc->ctx, popular->heap, popular->capacity * sizeof(uint32_t),
                       _Alignof(uint32_t));
    }
    if (popular->chains != NULL) {
        alloc->release(alloc->ctx, popular->chains, ((size_t)popular->mask + 1) * sizeof(uint32_t),
                       _Alignof(uint32_t));
    }
    alloc->release(alloc->ctx, popular, sizeof *popular, _Alignof(brisk_popular));
}

bool brisk_popular_read(const brisk_popular *popular, uint32_t rank, brisk_key *key,
                        uint64_t *count)
{
    if (rank >= popular->top) {
        return false;
    }
    const popular_counter *counter = &popular->counters[popular->heap[rank]];
    *key = counter->key;
    *count = counter->count;
    return true;
}

static brisk_err next_of_popular(void *ctx, brisk_key *ret)
{
    brisk_popular *popular = ctx;
    uint64_t count;
    return brisk_popular_read(popular, popular->at, ret, &count) ? (popular->at++, BRISK_OK)
                                                                 : BRISK_ERR_NOT_FOUND;
}

brisk_keys brisk_keys_of_popular(brisk_popular *popular)
{
    popular->at = 0;
    return (brisk_keys){.next = next_of_popular, .ctx = popular};
}
