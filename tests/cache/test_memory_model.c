/*
 * test_memory_model.c -- the memory tier with everything it can, against a naive map.
 *
 * The map knows each key's latest bytes, meta data and expiry.  The tier may forget (when it is too
 * small), but whatever it answers is the latest; when there is room for everything it may not even
 * forget.  Clocks jump forwards and backwards, limits and policies change in between.
 */
#include "support/check.h"

#include <stdbool.h>
#include <string.h>

#include <brisk/memory.h>

#include "cache/memory_table.h"
#include "support/fake_clock.h"

enum { KEYS = 500, BYTES_MAX = 7000, META_MAX = 300 };

typedef struct entry {
    bool present;
    size_t size;
    unsigned char bytes[BYTES_MAX];
    uint32_t meta_size;
    uint32_t flags;
    uint16_t era;
    uint64_t cost_ns;
    uint64_t expires_at_ns;
} entry;

typedef struct world {
    brisk_tier *tier;
    fake_clock clock;
    uint64_t seed;
    bool forgets; /* the tier is too small for everything */
    bool expires; /* entries do */
    entry entries[KEYS];
    unsigned char meta[BRISK_TIER_META_MAX];
} world;

static world w; /* large */

static uint64_t dice(uint64_t sides)
{
    return check_random(&w.seed) % sides;
}

static brisk_key key_at(uint32_t index, unsigned char *bytes)
{
    size_t size = index % 60 == 0 ? 5000 : index % 17 == 0 ? 300 : 4 + index % 60;
    memset(bytes, (int)(index % 251), size);
    memcpy(bytes, &index, sizeof index);
    return brisk_key_of(bytes, size);
}

static uint64_t now_ns(void)
{
    return brisk_clock_wall_ns(&w.clock.base);
}

/* What the map says, once its expiry is looked at. */
static entry *expected(uint32_t index)
{
    entry *e = &w.entries[index];
    if (e->present && e->expires_at_ns != 0 && e->expires_at_ns <= now_ns()) {
        e->present = false;
    }
    return e;
}

static size_t random_size(void)
{
    switch (dice(8)) {
    case 0: return dice(BYTES_MAX);
    case 1: return dice(4);
    case 2: return dice(1500);
    default: return dice(300);
    }
}

static void fill(unsigned char *bytes, size_t size)
{
    uint64_t word = check_random(&w.seed);
    bool dull = dice(2) == 0; /* compresses well */
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)(dull ? i / 50 : word >> i % 8 * 8);
        word += !dull && i % 8 == 7 ? check_random(&w.seed) : 0;
    }
}

static uint64_t random_expiry(void)
{
    return w.expires && dice(3) == 0 ? now_ns() + dice(200) * FAKE_CLOCK_SECOND + 1 : 0;
}

static void do_put(uint32_t index)
{
    static unsigned char key_bytes[5000];
    brisk_key key = key_at(index, key_bytes);
    entry *e = &w.entries[index];
    e->present = true;
    e->size = random_size();
    fill(e->bytes, e->size);
    e->meta_size = dice(4) == 0 ? (uint32_t)dice(META_MAX) : 0;
    e->flags = (uint32_t)dice(8);
    e->era = (uint16_t)dice(65536);
    e->cost_ns = dice(2) == 0 ? dice(UINT64_C(1) << 45) : 0;
    e->expires_at_ns = random_expiry();
    brisk_entry_opts opts = {
        .flags = e->flags,
        .meta = w.meta,
        .meta_size = e->meta_size,
        .cost_ns = e->cost_ns,
        .expires_at_ns = e->expires_at_ns,
        .era = e->era,
    };
    if (dice(2) == 0) {
        CHECK_OK(brisk_memory_put_bytes(w.tier, &key, e->bytes, e->size, &opts));
    } else {
        brisk_value *value = NULL;
        CHECK_OK(brisk_value_copy(e->bytes, e->size, NULL, &value));
        CHECK_OK(w.tier->ops->put(w.tier, &key, value, &opts));
        brisk_value_unref(value);
    }
}

static void check_miss(uint32_t index)
{
    entry *e = expected(index);
    CHECK(!e->present || w.forgets);
    e->present = false; /* from now on it must stay away */
}

static void do_get(uint32_t index)
{
    static unsigned char key_bytes[5000];
    brisk_key key = key_at(index, key_bytes);
    brisk_hit hit;
    brisk_err err = w.tier->ops->get(w.tier, &key, &hit);
    if (err != BRISK_OK) {
        CHECK(err == BRISK_ERR_NOT_FOUND);
        check_miss(index);
        return;
    }
    entry *e = expected(index);
    CHECK(e->present);
    CHECK_U64(brisk_value_size(hit.value), ==, e->size);
    CHECK(e->size == 0 || memcmp(brisk_value_data(hit.value), e->bytes, e->size) == 0);
    CHECK_U64(hit.flags, ==, e->flags);
    CHECK_U64(hit.era, ==, e->era);
    CHECK_U64(hit.cost_ns, ==, e->cost_ns);
    CHECK_U64(hit.expires_at_ns, ==, e->expires_at_ns);
    CHECK_U64(hit.meta_size, ==, e->meta_size);
    CHECK(memcmp(hit.meta, w.meta, hit.meta_size) == 0);
    brisk_value_unref(hit.value);
}

static void do_read(uint32_t index)
{
    static unsigned char key_bytes[5000];
    static unsigned char buffer[BYTES_MAX];
    brisk_key key = key_at(index, key_bytes);
    brisk_entry_info info;
    size_t capacity = dice(3) == 0 ? dice(BYTES_MAX) : sizeof buffer;
    brisk_err err = brisk_memory_read(w.tier, &key, buffer, capacity, &info);
    if (err == BRISK_ERR_NOT_FOUND) {
        check_miss(index);
        return;
    }
    entry *e = expected(index);
    CHECK(e->present);
    CHECK_U64(info.size, ==, e->size);
    CHECK(err == (e->size <= capacity ? BRISK_OK : BRISK_ERR_LIMIT));
    CHECK(err != BRISK_OK || e->size == 0 || memcmp(buffer, e->bytes, e->size) == 0);
    CHECK_U64(info.flags, ==, e->flags);
    CHECK_U64(info.era, ==, e->era);
    CHECK_U64(info.expires_at_ns, ==, e->expires_at_ns);
}

static void do_batch(void)
{
    static unsigned char key_bytes[16][5000];
    static brisk_hit hits[16];
    brisk_key keys[16];
    brisk_err errs[16];
    uint32_t index[16];
    for (uint32_t i = 0; i < 16; i++) {
        index[i] = (uint32_t)dice(KEYS);
        keys[i] = key_at(index[i], key_bytes[i]);
    }
    (void)brisk_memory_get_batch(w.tier, keys, 16, hits, errs);
    for (uint32_t i = 0; i < 16; i++) {
        entry *e = expected(index[i]);
        if (errs[i] == BRISK_OK) {
            CHECK(e->present);
            CHECK_U64(brisk_value_size(hits[i].value), ==, e->size);
            CHECK(e->size == 0 || memcmp(brisk_value_data(hits[i].value), e->bytes, e->size) == 0);
            brisk_value_unref(hits[i].value);
        } else {
            check_miss(index[i]);
        }
    }
}

/* The edit does to the tier's bytes what is done to the map's. */
typedef struct change {
    entry *e;
    uint32_t kind;
    bool was_there;
} change;

static brisk_err apply_change(void *ctx, brisk_memory_edit *edit)
{
    change *c = ctx;
    entry *e = c->e;
    c->was_there = edit->present;
    if (!edit->present) {
        CHECK(edit->resize(edit, 10));
        memset(edit->data, 'n', 10);
        *e = (entry){.present = true, .size = 10};
        memset(e->bytes, 'n', 10);
        return BRISK_OK;
    }
    CHECK(e->present);
    CHECK_U64(edit->size, ==, e->size);
    CHECK(e->size == 0 || memcmp(edit->data, e->bytes, e->size) == 0);
    CHECK_U64(edit->expires_at_ns, ==, e->expires_at_ns);
    size_t size = e->size;
    switch (c->kind) {
    case 0:
        edit->remove = true;
        e->present = false;
        break;
    case 1: edit->expires_at_ns = e->expires_at_ns = random_expiry(); break;
    case 2:
        size = dice(BYTES_MAX);
        CHECK(edit->resize(edit, size));
        memset(e->bytes + (size < e->size ? size : e->size), 0,
               size > e->size ? size - e->size : 0);
        e->size = size;
        break;
    default:
        size = e->size + dice(40) < BYTES_MAX ? e->size + dice(40) : e->size;
        size = size < BYTES_MAX ? size : BYTES_MAX;
        CHECK(edit->resize(edit, size));
        memset(e->bytes + e->size, 'a', size - e->size);
        memset(edit->data + e->size, 'a', size - e->size);
        e->size = size;
    }
    if (size != 0 && c->kind > 1) {
        size_t at = dice(size);
        edit->data[at] ^= 0x55;
        e->bytes[at] ^= 0x55;
    }
    return BRISK_OK;
}

static void do_update(uint32_t index)
{
    static unsigned char key_bytes[5000];
    brisk_key key = key_at(index, key_bytes);
    entry *e = expected(index);
    change c = {.e = e, .kind = (uint32_t)dice(6)};
    bool before = e->present;
    CHECK_OK(brisk_memory_update(w.tier, &key, apply_change, &c));
    CHECK(c.was_there == before || (w.forgets && before));
    if (before) {
        do_get(index);
    }
}

static void do_expire(uint32_t index)
{
    static unsigned char key_bytes[5000];
    brisk_key key = key_at(index, key_bytes);
    uint64_t when = random_expiry();
    brisk_err err = brisk_memory_expire(w.tier, &key, when);
    entry *e = expected(index);
    if (err == BRISK_OK) {
        CHECK(e->present);
        e->expires_at_ns = when;
        do_get(index);
    } else {
        CHECK(err == BRISK_ERR_NOT_FOUND);
        check_miss(index);
    }
}

static void do_remove(uint32_t index)
{
    static unsigned char key_bytes[5000];
    brisk_key key = key_at(index, key_bytes);
    CHECK_OK(w.tier->ops->remove(w.tier, &key));
    w.entries[index].present = false;
    do_get(index);
}

typedef struct seen {
    uint32_t visits[KEYS];
} seen;

static void see(void *ctx, const brisk_memory_visit *visit)
{
    seen *s = ctx;
    uint32_t index;
    memcpy(&index, visit->key, sizeof index);
    CHECK_U64(index, <, KEYS);
    s->visits[index]++;
    entry *e = expected(index);
    CHECK(e->present);
    CHECK_U64(visit->info.size, ==, e->size);
    CHECK_U64(visit->info.expires_at_ns, ==, e->expires_at_ns);
    CHECK(visit->info.held >= visit->key_size + 6 || visit->key_size >= 300);
}

/* At rest: what is there exactly once, and nothing else. */
static void do_scan(void)
{
    seen s = {{0}};
    uint64_t cursor = 0;
    do {
        cursor = brisk_memory_scan(w.tier, cursor, 1 + (uint32_t)dice(50), see, &s);
    } while (cursor != 0);
    for (uint32_t i = 0; i < KEYS; i++) {
        if (s.visits[i] == 0) {
            check_miss(i);
        }
        CHECK_U64(s.visits[i], <=, 1);
    }
}

static void do_something_rare(void)
{
    static const char *const policies[] = {"lru", "fifo", "s3fifo", "arc",  "lirs",
                                           "lfu", "ttl",  "sieve",  "auto", "wtinylfu"};
    brisk_tier_stats stats;
    w.tier->ops->read_stats(w.tier, &stats);
    switch (dice(8)) {
    case 0: CHECK_OK(brisk_memory_set_policy(w.tier, policies[dice(10)])); break;
    case 1: do_scan(); break;
    case 2:
        if (w.forgets) {
            CHECK_OK(brisk_memory_resize(w.tier, 300000 + dice(700000), dice(2) * dice(400)));
        }
        break;
    case 3:
        if (dice(10) == 0) {
            CHECK_OK(w.tier->ops->clear(w.tier));
            for (uint32_t i = 0; i < KEYS; i++) {
                w.entries[i].present = false;
            }
        }
        break;
    case 4: fake_clock_advance(&w.clock, dice(30) * FAKE_CLOCK_SECOND); break;
    default: (void)brisk_memory_tend(w.tier, 100000000); break;
    }
    w.tier->ops->read_stats(w.tier, &stats);
    CHECK_U64(stats.bytes, <=, stats.bytes_max);
}

static void run_world(const brisk_memory_tier_opts *opts, uint32_t steps)
{
    brisk_memory_tier_opts o = *opts;
    fake_clock_init(&w.clock, 1000 * FAKE_CLOCK_SECOND);
    o.clock = &w.clock.base;
    memset(w.entries, 0, sizeof w.entries);
    for (size_t i = 0; i < sizeof w.meta; i++) {
        w.meta[i] = (unsigned char)(i * 7);
    }
    CHECK_OK(brisk_memory_tier_create(&o, &w.tier));
    for (uint32_t step = 0; step < steps; step++) {
        uint32_t index = (uint32_t)dice(KEYS);
        switch (dice(20)) {
        case 0:
        case 1:
        case 2:
        case 3: do_put(index); break;
        case 4: do_remove(index); break;
        case 5:
        case 6:
        case 7: do_update(index); break;
        case 8: do_expire(index); break;
        case 9: do_batch(); break;
        case 10:
        case 11: do_read(index); break;
        case 12:
            if (dice(10) == 0) {
                do_something_rare();
            }
            break;
        default: do_get(index); break;
        }
    }
    do_scan();
    brisk_tier_destroy(w.tier);
}

static void test_with_room_for_everything(void **state)
{
    (void)state;
    w.seed = check_seed();
    w.forgets = false;
    w.expires = true;
    run_world(&(brisk_memory_tier_opts){.bytes_max = 64 << 20, .shards = 1}, 60000);
    run_world(&(brisk_memory_tier_opts){.bytes_max = 256 << 20}, 30000);
    run_world(&(brisk_memory_tier_opts){.bytes_max = 64 << 20, .shards = 4, .track_use = true},
              30000);
}

static void test_while_it_forgets(void **state)
{
    (void)state;
    w.seed = check_seed();
    w.forgets = true;
    w.expires = true;
    run_world(&(brisk_memory_tier_opts){.bytes_max = 300000, .bytes_reserve = 1000000, .shards = 1},
              60000);
    run_world(&(brisk_memory_tier_opts){.bytes_max = 1000000, .shards = 2, .track_use = true},
              30000);
    run_world(&(brisk_memory_tier_opts){.bytes_max = 1 << 20, .shards = 1, .entries_max = 100},
              30000);
}

static void test_with_cold_values(void **state)
{
    (void)state;
    w.seed = check_seed();
    w.expires = true;
    for (uint32_t codec = BRISK_COLD_LZ4; codec <= BRISK_COLD_ZSTD; codec++) {
        for (uint32_t round = 0; round < 2; round++) {
            w.forgets = round == 1;
            run_world(&(brisk_memory_tier_opts){.bytes_max = round == 0 ? 64 << 20 : 600000,
                                                .bytes_reserve = round == 0 ? 0 : 1 << 20,
                                                .shards = 1,
                                                .cold_codec = (brisk_cold_codec)codec,
                                                .cold_after_ns = 20 * FAKE_CLOCK_SECOND},
                      30000);
        }
    }
}

/* --- special ------------------------------------------------------------------------------ */

static void put_number(brisk_tier *tier, uint64_t id, size_t size)
{
    static unsigned char bytes[2000];
    memcpy(bytes, &id, sizeof id);
    brisk_key key = brisk_key_of(&id, sizeof id);
    CHECK_OK(brisk_memory_put_bytes(tier, &key, bytes, size, NULL));
}

static bool has_number(brisk_tier *tier, uint64_t id)
{
    unsigned char bytes[2000];
    brisk_key key = brisk_key_of(&id, sizeof id);
    bool found = brisk_memory_read(tier, &key, bytes, sizeof bytes, NULL) == BRISK_OK;
    CHECK(!found || memcmp(bytes, &id, sizeof id) == 0);
    return found;
}

/* Keys made to meet in one segment: puts go on, older ones of the segment make way. */
static void test_keys_that_collide(void **state)
{
    (void)state;
    brisk_tier *tier = NULL;
    CHECK_OK(brisk_memory_tier_create(
        &(brisk_memory_tier_opts){.bytes_max = 1 << 20, .shards = 1, .policy = "lru"}, &tier));
    uint32_t put = 0;
    for (uint64_t id = 0; put < 2000; id++) {
        brisk_key key = brisk_key_of(&id, sizeof id);
        if (table_spread(key.hash.lo) >> 22 == 77) {
            put_number(tier, id, 20);
            CHECK(has_number(tier, id));
            put++;
        }
    }
    brisk_tier_stats stats;
    tier->ops->read_stats(tier, &stats);
    CHECK_U64(stats.entries + stats.evictions, ==, put);
    CHECK(stats.entries > 90);
    brisk_tier_destroy(tier);
}

/* A large shard: its policy sleeps, wakes while entries come and go, and then drops the oldest. */
static void test_policy_wakes(void **state)
{
    (void)state;
    enum { VALUE = 1000, LIMIT = 34 << 20 };
    uint64_t seed = check_seed();
    brisk_tier *tier = NULL;
    CHECK_OK(brisk_memory_tier_create(
        &(brisk_memory_tier_opts){.bytes_max = LIMIT, .shards = 1, .policy = "lru"}, &tier));
    brisk_tier_stats stats;
    uint64_t count = 0;
    do {
        put_number(tier, count, VALUE - check_random(&seed) % 500);
        if (count % 5 == 0) { /* the first ones are used until the end */
            CHECK(has_number(tier, count % 1000));
        }
        if (count % 7 == 0 && count > 2000) {
            uint64_t gone = 1000 + check_random(&seed) % (count - 1000);
            brisk_key key = brisk_key_of(&gone, sizeof gone);
            CHECK_OK(tier->ops->remove(tier, &key));
        }
        count++;
        tier->ops->read_stats(tier, &stats);
    } while (stats.evictions < 1000);
    for (uint64_t id = 0; id < 1000; id += 5) {
        CHECK(has_number(tier, id));
    }
    uint64_t young = 0;
    for (uint64_t id = count - 5000; id < count; id++) {
        young += has_number(tier, id);
    }
    CHECK(young > 4000); /* all but those removed */
    CHECK_OK(brisk_memory_set_policy(tier, "s3fifo"));
    for (uint64_t id = count; id < count + 3000; id++) {
        put_number(tier, id, VALUE);
    }
    CHECK_OK(tier->ops->clear(tier)); /* and to sleep again */
    for (uint64_t id = 0; id < 50000; id++) {
        put_number(tier, id, VALUE);
    }
    tier->ops->read_stats(tier, &stats);
    CHECK_U64(stats.bytes, <=, stats.bytes_max);
    CHECK(stats.bytes > LIMIT / 100 * 95);
    brisk_tier_destroy(tier);
}

static void test_use_is_tracked(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 0);
    brisk_tier *tier = NULL;
    CHECK_OK(brisk_memory_tier_create(
        &(brisk_memory_tier_opts){
            .bytes_max = 64 << 20, .shards = 1, .clock = &clock.base, .track_use = true},
        &tier));
    put_number(tier, 1, 100);
    uint64_t id = 1;
    brisk_key key = brisk_key_of(&id, sizeof id);
    brisk_entry_info info;
    CHECK_OK(brisk_memory_info(tier, &key, &info));
    CHECK(info.hits == 0 && info.next_use_ns == 0);
    for (uint32_t i = 0; i < 50; i++) {
        fake_clock_advance(&clock, 10 * FAKE_CLOCK_SECOND);
        CHECK(has_number(tier, 1));
        CHECK_OK(brisk_memory_info(tier, &key, &info));
        CHECK_U64(info.hits, ==, i + 1);
        CHECK_U64(info.last_used_ns, ==, brisk_clock_wall_ns(&clock.base));
    }
    uint64_t pause = info.next_use_ns - info.last_used_ns;
    CHECK(pause > 9 * FAKE_CLOCK_SECOND && pause < 11 * FAKE_CLOCK_SECOND);
    put_number(tier, 1, 100); /* a new value of the key keeps its history */
    CHECK_OK(brisk_memory_info(tier, &key, &info));
    CHECK_U64(info.hits, ==, 51);
    atomic_fetch_sub(&clock.wall_ns, 1000 * FAKE_CLOCK_SECOND); /* the wall clock jumps back */
    CHECK(has_number(tier, 1));
    CHECK_OK(brisk_memory_info(tier, &key, &info));
    CHECK_U64(info.hits, ==, 52);
    brisk_tier_destroy(tier);
}

/* A wall clock that jumps back makes entries wait, not live for ever or vanish. */
static void test_clock_jumps_back(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 0);
    brisk_tier *tier = NULL;
    CHECK_OK(brisk_memory_tier_create(
        &(brisk_memory_tier_opts){.bytes_max = 1 << 20, .shards = 1, .clock = &clock.base}, &tier));
    uint64_t id = 1;
    brisk_key key = brisk_key_of(&id, sizeof id);
    brisk_entry_opts opts = {.expires_at_ns =
                                 brisk_clock_wall_ns(&clock.base) + 100 * FAKE_CLOCK_SECOND};
    CHECK_OK(brisk_memory_put_bytes(tier, &key, &id, sizeof id, &opts));
    fake_clock_advance(&clock, 50 * FAKE_CLOCK_SECOND);
    CHECK_U64(brisk_memory_tend(tier, 1000000000), ==, 0);
    atomic_fetch_sub(&clock.wall_ns, 3600 * FAKE_CLOCK_SECOND);
    CHECK_U64(brisk_memory_tend(tier, 1000000000), ==, 0);
    CHECK(has_number(tier, 1));
    for (uint32_t i = 0; i < 370; i++) {
        fake_clock_advance(&clock, 10 * FAKE_CLOCK_SECOND);
        uint64_t dropped = brisk_memory_tend(tier, 1000000000);
        CHECK_U64(dropped, ==, brisk_clock_wall_ns(&clock.base) >= opts.expires_at_ns ? 1 : 0);
        if (dropped != 0) {
            break;
        }
    }
    CHECK(!has_number(tier, 1));
    brisk_tier_destroy(tier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_room_for_everything),
        cmocka_unit_test(test_while_it_forgets),
        cmocka_unit_test(test_with_cold_values),
        cmocka_unit_test(test_keys_that_collide),
        cmocka_unit_test(test_policy_wakes),
        cmocka_unit_test(test_use_is_tracked),
        cmocka_unit_test(test_clock_jumps_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
