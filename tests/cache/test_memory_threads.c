/*
 * test_memory_threads.c -- many threads on few keys: what they see must fit one order per key.
 *
 * Every put writes a number that is used once.  Each operation is recorded with a ticket taken
 * before and one taken after it.  For a cache, which may forget, an order exists for a key if
 *
 *   1. a hit's number was put by a put that began before the get ended;
 *   2. no other put or remove of the key lies wholly between that put's end and the get's begin;
 *   3. hits do not go back: if a get saw put A and ended before another get began that saw B, then
 *      B did not end before A began.
 *
 * Misses are always allowed by the interface, but with room for everything a miss must have a
 * remove (or no put yet) to explain it.
 */
#include "support/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <brisk/memory.h>

#include "cache/memory_thread.h"

enum { THREADS = 4, KEYS = 3, STEPS = 700, ROUNDS = 12, LARGE = 2000 };

enum op_kind { OP_GET, OP_PUT, OP_REMOVE };

typedef struct op {
    enum op_kind kind;
    uint32_t key;
    uint64_t number; /* put or seen; 0: a miss */
    uint64_t begin, end;
} op;

typedef struct worker {
    brisk_tier *tier;
    brisk_cache *cache; /* instead of the tier when not NULL */
    uint64_t seed;
    uint32_t id;
    uint32_t broken; /* values whose bytes did not fit together */
    op ops[STEPS];
} worker;

static _Atomic uint64_t tickets;

static uint64_t ticket(void)
{
    return atomic_fetch_add(&tickets, 1);
}

/* A value repeats its number; sizes go from copies to references. */
static void put_number(const worker *w, const brisk_key *key, uint64_t number)
{
    uint64_t words[LARGE / 8];
    size_t count = number % 5 == 0 ? LARGE / 8 : 1 + number % 40;
    for (size_t i = 0; i < count; i++) {
        words[i] = number;
    }
    brisk_value *value = NULL;
    if (brisk_value_copy(words, count * 8, NULL, &value) != BRISK_OK) {
        abort();
    }
    if (w->cache != NULL) {
        brisk_cache_put(w->cache, key, value, NULL);
    } else if (w->tier->ops->put(w->tier, key, value, NULL) != BRISK_OK) {
        abort();
    }
    brisk_value_unref(value);
}

static uint64_t get_number(worker *w, const brisk_key *key)
{
    brisk_hit hit;
    bool found = w->cache != NULL ? brisk_cache_get(w->cache, key, 0, &hit)
                                  : w->tier->ops->get(w->tier, key, &hit) == BRISK_OK;
    if (!found) {
        return 0;
    }
    uint64_t number = 0;
    size_t size = (size_t)brisk_value_size(hit.value);
    const char *bytes = brisk_value_data(hit.value);
    memcpy(&number, bytes, 8);
    size_t count = number % 5 == 0 ? LARGE / 8 : 1 + number % 40;
    bool whole = size == count * 8 && memcmp(bytes, bytes + 8, size - 8) == 0;
    w->broken += !whole;
    brisk_value_unref(hit.value);
    return number;
}

static void *work(void *ctx)
{
    worker *w = ctx;
    static const char *const names[KEYS] = {"a", "b", "c"};
    for (uint32_t i = 0; i < STEPS; i++) {
        op *o = &w->ops[i];
        o->key = (uint32_t)(check_random(&w->seed) % KEYS);
        brisk_key key = brisk_key_of(names[o->key], 1);
        uint64_t dice = check_random(&w->seed) % 100;
        o->kind = dice < 60 ? OP_GET : dice < 90 ? OP_PUT : OP_REMOVE;
        o->number = o->kind == OP_PUT ? (uint64_t)w->id * STEPS + i + 1 : 0;
        o->begin = ticket();
        if (o->kind == OP_PUT) {
            put_number(w, &key, o->number);
        } else if (o->kind == OP_GET) {
            o->number = get_number(w, &key);
        } else if (w->cache != NULL) {
            w->broken += brisk_cache_remove(w->cache, &key) != BRISK_OK;
        } else {
            w->broken += w->tier->ops->remove(w->tier, &key) != BRISK_OK;
        }
        o->end = ticket();
    }
    return NULL;
}

static void run_workers(worker *workers)
{
    pthread_t threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK_U64(workers[i].broken, ==, 0);
    }
}

/* --- checking a history ------------------------------------------------------------------ */

static const op *op_at(const worker *workers, uint32_t index)
{
    return &workers[index / STEPS].ops[index % STEPS];
}

static const op *find_put(const worker *workers, uint64_t number)
{
    const op *o = op_at(workers, (uint32_t)(number - 1));
    CHECK(o->kind == OP_PUT && o->number == number);
    return o;
}

/* A put or remove of the key wholly after `from` ended and before `to` began. */
static bool written_between(const worker *workers, const op *from, const op *to)
{
    for (uint32_t i = 0; i < THREADS * STEPS; i++) {
        const op *o = op_at(workers, i);
        if (o->kind != OP_GET && o->key == to->key && o->begin > from->end && o->end < to->begin) {
            return true;
        }
    }
    return false;
}

static void check_hit(const worker *workers, const op *get)
{
    const op *put = find_put(workers, get->number);
    CHECK_U64(put->key, ==, get->key);
    CHECK_U64(put->begin, <, get->end);
    CHECK(!written_between(workers, put, get));
    for (uint32_t i = 0; i < THREADS * STEPS; i++) {
        const op *later = op_at(workers, i);
        if (later->kind == OP_GET && later->number != 0 && later->key == get->key &&
            later->begin > get->end && later->number != get->number) {
            CHECK_U64(find_put(workers, later->number)->end, >, put->begin);
        }
    }
}

/* Some put ended before the miss began, and no remove can stand between them. */
static bool miss_is_unexplained(const worker *workers, const op *get)
{
    const op *latest = NULL;
    for (uint32_t i = 0; i < THREADS * STEPS; i++) {
        const op *o = op_at(workers, i);
        if (o->kind == OP_PUT && o->key == get->key && o->end < get->begin &&
            (latest == NULL || o->begin > latest->begin)) {
            latest = o;
        }
    }
    if (latest == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < THREADS * STEPS; i++) {
        const op *o = op_at(workers, i);
        if (o->kind == OP_REMOVE && o->key == get->key && o->end > latest->begin &&
            o->begin < get->end) {
            return false;
        }
    }
    return true;
}

static void check_history(const worker *workers)
{
    for (uint32_t i = 0; i < THREADS * STEPS; i++) {
        const op *o = op_at(workers, i);
        if (o->kind == OP_GET && o->number != 0) {
            check_hit(workers, o);
        } else if (o->kind == OP_GET) {
            CHECK(!miss_is_unexplained(workers, o));
        }
    }
}

static worker *make_workers(brisk_tier *tier, brisk_cache *cache, uint64_t *seed)
{
    static worker workers[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i] = (worker){
            .tier = tier, .cache = cache, .seed = check_random(seed), .id = i, .broken = 0};
    }
    return workers;
}

static brisk_tier *make_tier(uint64_t bytes_max)
{
    brisk_tier *tier = NULL;
    brisk_memory_tier_opts opts = {.bytes_max = bytes_max, .shards = 1};
    CHECK_OK(brisk_memory_tier_create(&opts, &tier));
    return tier;
}

static void test_histories_of_a_tier_have_an_order(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (int round = 0; round < ROUNDS; round++) {
        /* Small tiers know few threads: there the others go through the lock. */
        brisk_tier *tier = make_tier(round % 2 == 0 ? 1 << 20 : 16 << 20);
        worker *workers = make_workers(tier, NULL, &seed);
        run_workers(workers);
        check_history(workers);
        brisk_tier_destroy(tier);
    }
}

/* Two tiers: promotions run against puts and removes. */
static void test_histories_of_a_stack_have_an_order(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (int round = 0; round < ROUNDS; round++) {
        brisk_tier *tiers[] = {make_tier(65536), make_tier(1 << 20)};
        brisk_cache *cache = NULL;
        CHECK_OK(brisk_cache_create(&(brisk_cache_opts){.tiers = tiers, .tier_count = 2}, &cache));
        worker *workers = make_workers(NULL, cache, &seed);
        run_workers(workers);
        check_history(workers);
        brisk_cache_destroy(cache);
    }
}

/* --- eviction, moving and reading at once ------------------------------------------------ */

typedef struct churner {
    brisk_tier *tier;
    uint64_t seed;
    uint32_t broken;
} churner;

/* Values say which key they belong to, so that a cell used anew while being read would show. */
static void *churn(void *ctx)
{
    churner *c = ctx;
    uint64_t words[60];
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t id = check_random(&c->seed) % 3000;
        brisk_key key = brisk_key_of(&id, sizeof id);
        if (check_random(&c->seed) % 3 != 0) {
            brisk_hit hit;
            if (c->tier->ops->get(c->tier, &key, &hit) == BRISK_OK) {
                const char *bytes = brisk_value_data(hit.value);
                size_t size = (size_t)brisk_value_size(hit.value);
                c->broken += memcmp(bytes, &id, 8) != 0 || memcmp(bytes, bytes + 8, size - 8) != 0;
                brisk_value_unref(hit.value);
            }
            continue;
        }
        size_t count = 1 + check_random(&c->seed) % 60;
        for (size_t j = 0; j < count; j++) {
            words[j] = id;
        }
        brisk_value *value = NULL;
        c->broken += brisk_value_copy(words, count * 8, NULL, &value) != BRISK_OK;
        c->broken += c->tier->ops->put(c->tier, &key, value, NULL) != BRISK_OK;
        brisk_value_unref(value);
    }
    return NULL;
}

static void test_readers_never_see_another_entry(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    brisk_tier *tier = make_tier(5 << 20); /* large enough for a ring per thread ... */
    brisk_tier *small = make_tier(262144); /* ... and small enough to evict all the time */
    for (int round = 0; round < 2; round++) {
        churner churners[THREADS];
        pthread_t threads[THREADS];
        for (uint32_t i = 0; i < THREADS; i++) {
            churners[i] = (churner){.tier = round == 0 ? tier : small, .seed = check_random(&seed)};
            CHECK(pthread_create(&threads[i], NULL, churn, &churners[i]) == 0);
        }
        for (uint32_t i = 0; i < THREADS; i++) {
            CHECK(pthread_join(threads[i], NULL) == 0);
            CHECK_U64(churners[i].broken, ==, 0);
        }
    }
    brisk_tier_stats stats;
    small->ops->read_stats(small, &stats);
    CHECK(stats.evictions > 1000);
    CHECK_U64(stats.bytes, <=, stats.bytes_max);
    brisk_tier_destroy(tier);
    brisk_tier_destroy(small);
}

/* --- a table that grows, shrinks and changes while it is read ------------------------------ */

enum { CROWD_KEYS = 6000, CROWD_STEPS = 12000, STAYS_EVERY = 4 };

typedef struct crowd {
    brisk_tier *tier;
    uint64_t seed;
    uint32_t broken;
    uint32_t lost; /* keys that stay were missing */
} crowd;

static brisk_key crowd_key(uint64_t *bytes, uint64_t id)
{
    bytes[0] = id;
    bytes[1] = ~id;
    return brisk_key_of(bytes, 16);
}

/* A value is a count and its complement, many times. */
static bool fits(const unsigned char *data, size_t size)
{
    uint64_t first;
    memcpy(&first, data, 8);
    for (size_t at = 8; at + 8 <= size; at += 8) {
        uint64_t word;
        memcpy(&word, data + at, 8);
        if (word != (at % 16 == 8 ? ~first : first)) {
            return false;
        }
    }
    return size % 8 == 0 && size >= 16;
}

static void make_value(uint64_t *words, uint64_t count, size_t size)
{
    for (size_t i = 0; i < size / 8; i++) {
        words[i] = i % 2 == 1 ? ~count : count;
    }
}

static brisk_err count_up(void *ctx, brisk_memory_edit *edit)
{
    crowd *c = ctx;
    if (!edit->present) {
        return BRISK_OK;
    }
    c->broken += !fits(edit->data, edit->size);
    uint64_t first;
    memcpy(&first, edit->data, 8);
    uint64_t words[100];
    size_t size = 16 + first % 40 * 16;
    make_value(words, first + 1, size);
    if (edit->resize(edit, size)) {
        memcpy(edit->data, words, size);
    }
    return BRISK_OK;
}

static void crowd_visit(void *ctx, const brisk_memory_visit *visit)
{
    crowd *c = ctx;
    uint64_t id[2];
    memcpy(id, visit->key, 16);
    c->broken += visit->key_size != 16 || id[1] != ~id[0];
}

static void crowd_ask(crowd *c, const brisk_key *key, uint64_t id)
{
    unsigned char buffer[1000];
    brisk_hit hit;
    brisk_entry_info info;
    bool found = false;
    if (check_random(&c->seed) % 2 == 0) {
        found = c->tier->ops->get(c->tier, key, &hit) == BRISK_OK;
        if (found) {
            c->broken += !fits(brisk_value_data(hit.value), (size_t)brisk_value_size(hit.value));
            brisk_value_unref(hit.value);
        }
    } else {
        found = brisk_memory_read(c->tier, key, buffer, sizeof buffer, &info) == BRISK_OK;
        c->broken += found && !fits(buffer, (size_t)info.size);
    }
    c->lost += !found && id % STAYS_EVERY == 0;
}

static void crowd_write(crowd *c, const brisk_key *key, uint64_t id, bool grows)
{
    uint64_t words[100];
    if (id % STAYS_EVERY == 0 || check_random(&c->seed) % 4 == 0) {
        c->broken += brisk_memory_update(c->tier, key, count_up, c) != BRISK_OK;
    } else if (grows) {
        size_t size = 16 + check_random(&c->seed) % 40 * 16;
        make_value(words, id, size);
        c->broken += brisk_memory_put_bytes(c->tier, key, words, size, NULL) != BRISK_OK;
    } else {
        c->broken += c->tier->ops->remove(c->tier, key) != BRISK_OK;
    }
}

static void *be_in_the_crowd(void *ctx)
{
    crowd *c = ctx;
    uint64_t cursor = 0;
    for (uint32_t i = 0; i < CROWD_STEPS; i++) {
        uint64_t id = check_random(&c->seed) % CROWD_KEYS;
        uint64_t bytes[2];
        brisk_key key = crowd_key(bytes, id);
        switch (check_random(&c->seed) % 16) {
        case 0: cursor = brisk_memory_scan(c->tier, cursor, 20, crowd_visit, c); break;
        case 1:
            if (i % 64 == 0) {
                (void)brisk_memory_tend(c->tier, 100000);
            }
            break;
        case 2:
        case 3:
        case 4:
        case 5:
        case 6: crowd_write(c, &key, id, i / 3000 % 2 == 0); break;
        default: crowd_ask(c, &key, id); break;
        }
    }
    return NULL;
}

/* Keys that are always there are always found, whole, whatever happens around them. */
static void test_growing_under_readers(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (int round = 0; round < 2; round++) {
        brisk_tier *tier = make_tier(round == 0 ? 8 << 20 : 40 << 20); /* always awake; asleep */
        for (uint64_t id = 0; id < CROWD_KEYS; id += STAYS_EVERY) {
            uint64_t bytes[2];
            uint64_t words[4];
            brisk_key key = crowd_key(bytes, id);
            make_value(words, id, 32);
            CHECK_OK(brisk_memory_put_bytes(tier, &key, words, 32, NULL));
        }
        crowd crowds[THREADS];
        pthread_t threads[THREADS];
        for (uint32_t i = 0; i < THREADS; i++) {
            crowds[i] = (crowd){.tier = tier, .seed = check_random(&seed)};
            CHECK(pthread_create(&threads[i], NULL, be_in_the_crowd, &crowds[i]) == 0);
        }
        for (uint32_t i = 0; i < THREADS; i++) {
            CHECK(pthread_join(threads[i], NULL) == 0);
            CHECK_U64(crowds[i].broken, ==, 0);
            CHECK_U64(crowds[i].lost, ==, 0);
        }
        brisk_tier_destroy(tier);
    }
}

/* --- numbers ----------------------------------------------------------------------------- */

static void *ask_number(void *ctx)
{
    *(uint32_t *)ctx = memory_thread_number();
    return NULL;
}

/* Limits change while others write: what they judge by is one or the other. */
static void *resize_often(void *arg)
{
    brisk_tier *tier = arg;
    for (uint32_t i = 0; i < 200; i++) {
        CHECK_OK(brisk_memory_resize(tier, i % 2 == 0 ? 1 << 20 : 2 << 20, i % 2 == 0 ? 100 : 0));
    }
    return NULL;
}

static void test_resize_among_puts(void **state)
{
    (void)state;
    brisk_tier *tier = NULL;
    brisk_memory_tier_opts opts = {.bytes_max = 2 << 20, .shards = 1};
    CHECK_OK(brisk_memory_tier_create(&opts, &tier));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, resize_often, tier) == 0);
    static const char bytes[3000];
    for (uint32_t i = 0; i < 20000; i++) {
        brisk_key key = brisk_key_of(&i, sizeof i);
        CHECK_OK(brisk_memory_put_bytes(tier, &key, bytes, i % sizeof bytes, NULL));
    }
    CHECK(pthread_join(thread, NULL) == 0);
    brisk_tier_stats stats;
    tier->ops->read_stats(tier, &stats);
    CHECK_U64(stats.bytes, <=, stats.bytes_max);
    brisk_tier_destroy(tier);
}

/* A thousand threads one after another use few numbers: they are given back. */
static void test_thread_numbers_are_used_again(void **state)
{
    (void)state;
    uint32_t own = memory_thread_number();
    CHECK_U64(own, ==, memory_thread_number());
    for (int i = 0; i < 1000; i++) {
        pthread_t thread;
        uint32_t number = 0;
        CHECK(pthread_create(&thread, NULL, ask_number, &number) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        CHECK_U64(number, <, MEMORY_THREADS_MAX);
        CHECK_U64(number, !=, own);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histories_of_a_tier_have_an_order),
        cmocka_unit_test(test_histories_of_a_stack_have_an_order),
        cmocka_unit_test(test_readers_never_see_another_entry),
        cmocka_unit_test(test_growing_under_readers),
        cmocka_unit_test(test_resize_among_puts),
        cmocka_unit_test(test_thread_numbers_are_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
