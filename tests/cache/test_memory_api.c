/*
 * test_memory_api.c -- what only the memory tier can, function by function.
 */
#include "support/check.h"

#include <stdbool.h>
#include <string.h>

#include <brisk/memory.h>

#include "support/fake_clock.h"

enum { SMALL_TIER = 262144 };

static brisk_tier *make_tier(const brisk_memory_tier_opts *opts)
{
    brisk_tier *tier = NULL;
    CHECK_OK(brisk_memory_tier_create(opts, &tier));
    return tier;
}

static brisk_tier *small_tier(void)
{
    return make_tier(&(brisk_memory_tier_opts){.bytes_max = SMALL_TIER, .shards = 1});
}

static brisk_tier_stats stats_of(brisk_tier *tier)
{
    brisk_tier_stats stats;
    tier->ops->read_stats(tier, &stats);
    CHECK_U64(stats.bytes, <=, stats.bytes_max);
    return stats;
}

static brisk_key key_of(const char *text)
{
    return brisk_key_of(text, strlen(text));
}

static void put_text(brisk_tier *tier, const char *name, const char *text)
{
    brisk_key key = key_of(name);
    CHECK_OK(brisk_memory_put_bytes(tier, &key, text, strlen(text), NULL));
}

static bool is_there(brisk_tier *tier, const brisk_key *key)
{
    brisk_entry_info info;
    return brisk_memory_info(tier, key, &info) == BRISK_OK;
}

/* --- one entry ---------------------------------------------------------------------------- */

static void test_read_copies_into_the_buffer(void **state)
{
    (void)state;
    static char large[6000];
    memset(large, 'x', sizeof large);
    brisk_tier *tier = small_tier();
    brisk_key key = key_of("k");
    static char buffer[6000];
    brisk_entry_info info;
    CHECK(brisk_memory_read(tier, &key, buffer, sizeof buffer, &info) == BRISK_ERR_NOT_FOUND);
    static const size_t sizes[] = {0, 1, 7, 100, 1000, 6000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        brisk_entry_opts opts = {.cost_ns = 77, .meta = "meta", .meta_size = 4, .era = 65535};
        CHECK_OK(brisk_memory_put_bytes(tier, &key, large, sizes[i], &opts));
        memset(buffer, 0, sizeof buffer);
        CHECK_OK(brisk_memory_read(tier, &key, buffer, sizes[i], &info));
        CHECK(memcmp(buffer, large, sizes[i]) == 0);
        CHECK_U64(info.size, ==, sizes[i]);
        CHECK_U64(info.cost_ns, ==, 77);
        CHECK_U64(info.meta_size, ==, 4);
        CHECK_U64(info.era, ==, 65535);
        if (sizes[i] != 0) {
            memset(buffer, 0, sizeof buffer);
            CHECK(brisk_memory_read(tier, &key, buffer, sizes[i] - 1, &info) == BRISK_ERR_LIMIT);
            CHECK_U64(info.size, ==, sizes[i]);
            CHECK(buffer[0] == 0);
        }
        CHECK_OK(brisk_memory_read(tier, &key, buffer, sizeof buffer, NULL));
    }
    CHECK(stats_of(tier).hits >= 12);
    brisk_tier_destroy(tier);
}

static void test_info_is_no_hit(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 5);
    brisk_tier *tier = make_tier(
        &(brisk_memory_tier_opts){.bytes_max = SMALL_TIER, .shards = 1, .clock = &clock.base});
    uint64_t now = brisk_clock_wall_ns(&clock.base);
    brisk_key key = key_of("key");
    brisk_entry_info info;
    CHECK(brisk_memory_info(tier, &key, &info) == BRISK_ERR_NOT_FOUND);
    brisk_entry_opts opts = {.flags = BRISK_ENTRY_TAGGED,
                             .meta = "12345",
                             .meta_size = 5,
                             .cost_ns = 1000,
                             .expires_at_ns = now + 100,
                             .era = 7};
    CHECK_OK(brisk_memory_put_bytes(tier, &key, "value", 5, &opts));
    CHECK_OK(brisk_memory_info(tier, &key, &info));
    CHECK_U64(info.size, ==, 5);
    CHECK_U64(info.flags, ==, BRISK_ENTRY_TAGGED);
    CHECK_U64(info.meta_size, ==, 5);
    CHECK_U64(info.cost_ns, ==, 1000);
    CHECK_U64(info.expires_at_ns, ==, now + 100);
    CHECK_U64(info.era, ==, 7);
    CHECK(info.held >= 13);
    CHECK_U64(stats_of(tier).hits + stats_of(tier).misses, ==, 0);
    fake_clock_advance(&clock, 100);
    CHECK(brisk_memory_info(tier, &key, &info) == BRISK_ERR_NOT_FOUND);
    brisk_tier_destroy(tier);
}

static void test_expire_changes_only_when(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 5);
    brisk_tier *tier = make_tier(
        &(brisk_memory_tier_opts){.bytes_max = SMALL_TIER, .shards = 1, .clock = &clock.base});
    uint64_t now = brisk_clock_wall_ns(&clock.base);
    static char large[5000] = "large";
    static const size_t sizes[] = {5, 100, 5000};
    for (size_t i = 0; i < 3; i++) {
        brisk_key key = brisk_key_of(&i, sizeof i);
        CHECK(brisk_memory_expire(tier, &key, now) == BRISK_ERR_NOT_FOUND);
        brisk_entry_opts opts = {.meta = "12345", .meta_size = 5, .cost_ns = 9};
        CHECK_OK(brisk_memory_put_bytes(tier, &key, large, sizes[i], &opts));
        CHECK_OK(brisk_memory_expire(tier, &key, now + 50));
        brisk_hit hit;
        CHECK_OK(tier->ops->get(tier, &key, &hit));
        CHECK_U64(hit.expires_at_ns, ==, now + 50);
        CHECK_U64(hit.cost_ns, ==, 9);
        CHECK(hit.meta_size == 5 && memcmp(hit.meta, "12345", 5) == 0);
        CHECK(memcmp(brisk_value_data(hit.value), large, sizes[i]) == 0);
        brisk_value_unref(hit.value);
        CHECK_OK(brisk_memory_expire(tier, &key, 0)); /* and back to for ever */
        CHECK_OK(tier->ops->get(tier, &key, &hit));
        CHECK_U64(hit.expires_at_ns, ==, 0);
        brisk_value_unref(hit.value);
        CHECK_OK(brisk_memory_expire(tier, &key, now)); /* already over */
        CHECK(!is_there(tier, &key));
    }
    (void)stats_of(tier);
    brisk_tier_destroy(tier);
}

/* --- changing in place -------------------------------------------------------------------- */

typedef struct append {
    const char *text;
    size_t size;
    bool was_present;
    bool refused;
} append;

static brisk_err append_edit(void *ctx, brisk_memory_edit *edit)
{
    append *a = ctx;
    a->was_present = edit->present;
    size_t at = edit->size;
    a->refused = !edit->resize(edit, at + a->size);
    if (!a->refused) {
        memcpy(edit->data + at, a->text, a->size);
    }
    return BRISK_OK;
}

static void check_value(brisk_tier *tier, const brisk_key *key, const void *bytes, size_t size)
{
    brisk_hit hit;
    CHECK_OK(tier->ops->get(tier, key, &hit));
    CHECK_U64(brisk_value_size(hit.value), ==, size);
    CHECK(size == 0 || memcmp(brisk_value_data(hit.value), bytes, size) == 0);
    brisk_value_unref(hit.value);
}

/* From nothing through every form that a cell has, up to what the tier refuses. */
static void test_update_appends(void **state)
{
    (void)state;
    brisk_tier *tier = small_tier();
    brisk_key key = key_of("k");
    static char all[SMALL_TIER];
    size_t size = 0;
    append a = {.text = "0123456789abc", .size = 13};
    for (uint32_t i = 0;; i++) {
        CHECK_OK(brisk_memory_update(tier, &key, append_edit, &a));
        CHECK(a.was_present == (i != 0));
        if (a.refused) {
            break;
        }
        memcpy(all + size, a.text, a.size);
        size += a.size;
        if (i % 7 == 0 || i < 50) {
            check_value(tier, &key, all, size);
        }
    }
    CHECK(size > SMALL_TIER / 10 && size <= SMALL_TIER / 8);
    check_value(tier, &key, all, size);
    CHECK_U64(stats_of(tier).entries, ==, 1);
    brisk_tier_destroy(tier);
}

static brisk_err flip_edit(void *ctx, brisk_memory_edit *edit)
{
    (void)ctx;
    for (size_t i = 0; i < edit->size; i++) {
        edit->data[i] ^= 0xff;
    }
    return BRISK_OK;
}

/* What a reader holds does not change, whatever happens to the entry. */
static void test_update_leaves_readers_alone(void **state)
{
    (void)state;
    brisk_tier *tier = small_tier();
    static const size_t sizes[] = {5, 100, 1000, 20000};
    static unsigned char bytes[20000];
    static unsigned char flipped[20000];
    memset(flipped, 0xff, sizeof flipped);
    for (size_t i = 0; i < 4; i++) {
        brisk_key key = brisk_key_of(&i, sizeof i);
        brisk_entry_opts opts = {.flags = BRISK_ENTRY_LOCAL, .meta = "m", .meta_size = 1, .era = 3};
        CHECK_OK(brisk_memory_put_bytes(tier, &key, bytes, sizes[i], &opts));
        brisk_hit hit;
        CHECK_OK(tier->ops->get(tier, &key, &hit));
        CHECK_OK(brisk_memory_update(tier, &key, flip_edit, NULL));
        CHECK(memcmp(brisk_value_data(hit.value), bytes, sizes[i]) == 0);
        brisk_value_unref(hit.value);
        check_value(tier, &key, flipped, sizes[i]);
        CHECK_OK(brisk_memory_update(tier, &key, flip_edit, NULL)); /* nobody holds it now */
        check_value(tier, &key, bytes, sizes[i]);
        brisk_entry_info info;
        CHECK_OK(brisk_memory_info(tier, &key, &info));
        CHECK(info.flags == BRISK_ENTRY_LOCAL && info.meta_size == 1 && info.era == 3);
    }
    brisk_tier_destroy(tier);
}

typedef struct order {
    bool remove;
    bool fail;
    bool resize;
    size_t size;
    uint64_t expires_at_ns;
} order;

static brisk_err order_edit(void *ctx, brisk_memory_edit *edit)
{
    const order *o = ctx;
    edit->remove = o->remove;
    if (o->expires_at_ns != 0) {
        edit->expires_at_ns = o->expires_at_ns;
    }
    if (o->resize) {
        CHECK(edit->resize(edit, o->size));
        CHECK_U64(edit->size, ==, o->size);
    }
    return o->fail ? BRISK_ERR_MISMATCH : BRISK_OK;
}

static void test_update_obeys(void **state)
{
    (void)state;
    brisk_tier *tier = small_tier();
    brisk_key key = key_of("k");
    CHECK_OK(brisk_memory_update(tier, &key, order_edit, &(order){0}));
    CHECK(!is_there(tier, &key)); /* no resize: none comes to be */
    CHECK_OK(brisk_memory_update(tier, &key, order_edit, &(order){.remove = true}));
    CHECK_OK(brisk_memory_update(tier, &key, order_edit, &(order){.resize = true}));
    check_value(tier, &key, "", 0);
    static const char zeros[3000];
    static const size_t sizes[] = {3000, 9, 600, 0, 8, 2999, 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        order o = {.resize = true, .size = sizes[i]};
        CHECK_OK(brisk_memory_update(tier, &key, order_edit, &o));
        check_value(tier, &key, zeros, sizes[i]);
    }
    uint64_t later = brisk_clock_wall_ns(NULL) + UINT64_C(1000000000000);
    CHECK_OK(brisk_memory_update(tier, &key, order_edit, &(order){.expires_at_ns = later}));
    brisk_entry_info info;
    CHECK_OK(brisk_memory_info(tier, &key, &info));
    CHECK_U64(info.expires_at_ns, ==, later);
    CHECK_U64(info.size, ==, 1);
    CHECK(brisk_memory_update(tier, &key, order_edit, &(order){.fail = true}) ==
          BRISK_ERR_MISMATCH);
    CHECK(is_there(tier, &key));
    CHECK_OK(brisk_memory_update(tier, &key, order_edit, &(order){.remove = true}));
    CHECK(!is_there(tier, &key));
    CHECK_U64(stats_of(tier).entries, ==, 0);
    brisk_tier_destroy(tier);
}

/* --- many --------------------------------------------------------------------------------- */

/* Others' values go when an update makes room, and whose release comes back finds it done. */
typedef struct intruder {
    brisk_tier *tier;
    brisk_key key;
    bool armed;
} intruder;

static brisk_err add_one(void *ctx, brisk_memory_edit *edit)
{
    (void)ctx;
    if (!edit->present && !edit->resize(edit, 1)) {
        return BRISK_ERR_FULL;
    }
    edit->data[0]++;
    return BRISK_OK;
}

static brisk_err add_one_and_grow(void *ctx, brisk_memory_edit *edit)
{
    brisk_err err = add_one(ctx, edit);
    return err != BRISK_OK || edit->resize(edit, 900000) ? err : BRISK_ERR_FULL;
}

static void intrude(void *ctx)
{
    intruder *self = ctx;
    if (self->armed) {
        self->armed = false;
        CHECK_OK(brisk_memory_update(self->tier, &self->key, add_one, NULL));
    }
}

/* Values by reference, many more than the tier has room for. */
static void fill_by_reference(intruder *self, void (*release)(void *ctx))
{
    static const char bytes[5000];
    for (uint32_t i = 0; i < 4000; i++) {
        brisk_key key = brisk_key_of(&i, sizeof i);
        brisk_value *value = NULL;
        CHECK_OK(brisk_value_wrap(bytes, sizeof bytes, release, self, NULL, &value));
        CHECK_OK(self->tier->ops->put(self->tier, &key, value, NULL));
        brisk_value_unref(value);
    }
}

static void test_update_is_one_step_though_much_must_go(void **state)
{
    (void)state;
    intruder self = {.key = key_of("counter")};
    self.tier =
        make_tier(&(brisk_memory_tier_opts){.bytes_max = 8 << 20, .shards = 1, .policy = "lru"});
    fill_by_reference(&self, intrude);
    CHECK_OK(brisk_memory_update(self.tier, &self.key, add_one, NULL));
    self.armed = true;
    CHECK_OK(brisk_memory_update(self.tier, &self.key, add_one_and_grow, NULL));
    CHECK(!self.armed);
    static unsigned char read[1000000];
    CHECK_OK(brisk_memory_read(self.tier, &self.key, read, sizeof read, NULL));
    CHECK_U64(read[0], ==, 3);
    brisk_tier_destroy(self.tier);
}

static void test_batch_is_many_gets(void **state)
{
    (void)state;
    enum { KEYS = 500 };
    brisk_tier *tier = make_tier(&(brisk_memory_tier_opts){.bytes_max = 4 << 20, .shards = 4});
    static uint32_t ids[KEYS];
    static brisk_key keys[KEYS];
    static unsigned char bytes[3000];
    for (uint32_t i = 0; i < KEYS; i++) {
        ids[i] = i;
        keys[i] = brisk_key_of(&ids[i], sizeof ids[i]);
        memcpy(bytes, &i, sizeof i);
        if (i % 3 != 0) {
            CHECK_OK(brisk_memory_put_bytes(tier, &keys[i], bytes, i % 10 == 0 ? 3000 : 4, NULL));
        }
    }
    static brisk_hit hits[BRISK_MEMORY_BATCH_MAX];
    brisk_err errs[BRISK_MEMORY_BATCH_MAX];
    for (uint32_t at = 0; at < KEYS;) {
        uint32_t count = at % BRISK_MEMORY_BATCH_MAX + 1;
        count = count < KEYS - at ? count : KEYS - at;
        brisk_memory_prefetch(tier, &keys[at], count);
        uint32_t found = brisk_memory_get_batch(tier, &keys[at], count, hits, errs);
        for (uint32_t i = 0; i < count; i++) {
            CHECK(errs[i] == ((at + i) % 3 != 0 ? BRISK_OK : BRISK_ERR_NOT_FOUND));
            if (errs[i] == BRISK_OK) {
                found--;
                CHECK(memcmp(brisk_value_data(hits[i].value), &ids[at + i], 4) == 0);
                brisk_value_unref(hits[i].value);
            }
        }
        CHECK_U64(found, ==, 0);
        at += count;
    }
    CHECK_U64(stats_of(tier).hits, ==, KEYS - (KEYS + 2) / 3);
    CHECK_U64(stats_of(tier).misses, ==, (KEYS + 2) / 3);
    brisk_tier_destroy(tier);
}

enum { WALK_KEYS = 4000 };

typedef struct walk {
    uint32_t seen[WALK_KEYS];
    uint32_t visits;
} walk;

static void walk_visit(void *ctx, const brisk_memory_visit *entry)
{
    walk *w = ctx;
    uint32_t id;
    CHECK_U64(entry->key_size, ==, sizeof id);
    memcpy(&id, entry->key, sizeof id);
    CHECK_U64(id, <, WALK_KEYS);
    w->seen[id]++;
    w->visits++;
}

static void put_id(brisk_tier *tier, uint32_t id, size_t size)
{
    static const char bytes[2000];
    brisk_key key = brisk_key_of(&id, sizeof id);
    CHECK_OK(brisk_memory_put_bytes(tier, &key, bytes, size, NULL));
}

static void remove_id(brisk_tier *tier, uint32_t id)
{
    brisk_key key = brisk_key_of(&id, sizeof id);
    CHECK_OK(tier->ops->remove(tier, &key));
}

/* The first quarter stays; the others come, go and are replaced between the steps. */
static void test_scan_sees_what_stays(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (uint32_t round = 0; round < 12; round++) {
        brisk_tier *tier = make_tier(
            &(brisk_memory_tier_opts){.bytes_max = 8 << 20, .shards = round % 2 == 0 ? 1 : 4});
        for (uint32_t id = 0; id < WALK_KEYS / 4; id++) {
            put_id(tier, id, 10);
        }
        static walk w;
        w = (walk){.visits = 0};
        uint64_t cursor = 0;
        uint32_t steps = 0;
        do {
            cursor = brisk_memory_scan(tier, cursor, 10, walk_visit, &w);
            uint32_t changes = (uint32_t)(check_random(&seed) % 60);
            for (uint32_t i = 0; i < changes; i++) {
                uint32_t id = (uint32_t)(check_random(&seed) % WALK_KEYS);
                bool grows = steps / 32 % 2 == round / 2 % 2; /* the table grows and shrinks */
                if (id < WALK_KEYS / 4 || check_random(&seed) % 8 < (grows ? 7u : 1u)) {
                    put_id(tier, id, check_random(&seed) % 300);
                } else {
                    remove_id(tier, id);
                }
            }
            steps++;
        } while (cursor != 0);
        for (uint32_t id = 0; id < WALK_KEYS / 4; id++) {
            CHECK(w.seen[id] != 0);
        }
        CHECK(steps > WALK_KEYS / 4 / 100);
        brisk_tier_destroy(tier);
    }
}

/* Without changes: everything once, and steps are about as large as asked for. */
static void test_scan_at_rest(void **state)
{
    (void)state;
    brisk_tier *tier = make_tier(&(brisk_memory_tier_opts){.bytes_max = 8 << 20, .shards = 1});
    static walk w;
    w = (walk){.visits = 0};
    CHECK_U64(brisk_memory_scan(tier, 0, 1000000, walk_visit, &w), ==, 0);
    CHECK_U64(w.visits, ==, 0);
    for (uint32_t id = 0; id < WALK_KEYS; id++) {
        put_id(tier, id, id % 700);
    }
    uint64_t cursor = 0;
    do {
        uint32_t before = w.visits;
        cursor = brisk_memory_scan(tier, cursor, 20, walk_visit, &w);
        CHECK_U64(w.visits - before, <=, 20 + 64);
    } while (cursor != 0);
    CHECK_U64(w.visits, ==, WALK_KEYS);
    cursor = UINT64_MAX; /* anybody's number: an end, or another step */
    for (uint32_t i = 0; i < 1000; i++) {
        (void)brisk_memory_scan(tier, check_random(&cursor), 20, walk_visit, &w);
    }
    brisk_tier_destroy(tier);
}

static void test_random_finds_everything(void **state)
{
    (void)state;
    brisk_tier *tier = make_tier(&(brisk_memory_tier_opts){.bytes_max = 8 << 20, .shards = 4});
    brisk_rng rng;
    brisk_rng_init(&rng, check_seed());
    static walk w;
    w = (walk){.visits = 0};
    CHECK(!brisk_memory_random(tier, &rng, walk_visit, &w));
    for (uint32_t id = 0; id < 50; id++) {
        put_id(tier, id, 10);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        CHECK(brisk_memory_random(tier, &rng, walk_visit, &w));
    }
    CHECK_U64(w.visits, ==, 5000);
    for (uint32_t id = 0; id < 50; id++) {
        CHECK(w.seen[id] != 0);
    }
    brisk_tier_destroy(tier);
}

/* --- limits ------------------------------------------------------------------------------- */

typedef struct drops {
    uint32_t evicted;
    uint32_t expired;
    uint32_t last; /* id of the last one evicted */
} drops;

static void count_drop(void *ctx, const void *key, size_t key_size, brisk_drop_reason reason)
{
    drops *d = ctx;
    CHECK_U64(key_size, ==, sizeof d->last);
    if (reason == BRISK_DROP_EVICTED) {
        d->evicted++;
        memcpy(&d->last, key, sizeof d->last);
    } else {
        d->expired++;
    }
}

static void test_entries_are_limited_exactly(void **state)
{
    (void)state;
    drops d = {0};
    brisk_tier *tier = make_tier(&(brisk_memory_tier_opts){.bytes_max = 1 << 20,
                                                           .shards = 1,
                                                           .entries_max = 10,
                                                           .policy = "lru",
                                                           .on_drop = count_drop,
                                                           .on_drop_ctx = &d});
    for (uint32_t id = 0; id < 30; id++) {
        put_id(tier, id, 100);
        put_id(tier, id, 200); /* the same key: nothing need go */
        CHECK_U64(stats_of(tier).entries, ==, id < 10 ? id + 1 : 10);
        CHECK_U64(d.evicted, ==, id < 10 ? 0 : id - 9);
        CHECK(d.evicted == 0 || d.last == id - 10);
    }
    CHECK_OK(brisk_memory_resize(tier, 1 << 20, 4));
    CHECK_U64(stats_of(tier).entries, ==, 4);
    CHECK_OK(brisk_memory_resize(tier, 1 << 20, 0));
    for (uint32_t id = 0; id < 30; id++) {
        put_id(tier, id, 100);
    }
    CHECK_U64(stats_of(tier).entries, ==, 30);
    brisk_tier_destroy(tier);
}

static void test_resize_at_run_time(void **state)
{
    (void)state;
    drops d = {0};
    brisk_tier *tier = make_tier(&(brisk_memory_tier_opts){.bytes_max = 1 << 20,
                                                           .bytes_reserve = 4 << 20,
                                                           .shards = 1,
                                                           .on_drop = count_drop,
                                                           .on_drop_ctx = &d});
    CHECK_U64(stats_of(tier).bytes_max, ==, 1 << 20);
    CHECK(brisk_memory_resize(tier, (4 << 20) + 1, 0) == BRISK_ERR_INVALID);
    CHECK(brisk_memory_resize(tier, 1000, 0) == BRISK_ERR_INVALID);
    for (uint32_t id = 0; id < 3000; id++) {
        put_id(tier, id, 500);
    }
    uint64_t at_one = stats_of(tier).entries;
    CHECK(d.evicted > 500);
    CHECK_U64(d.evicted, ==, 3000 - at_one);
    CHECK_OK(brisk_memory_resize(tier, 4 << 20, 0));
    CHECK_U64(stats_of(tier).bytes_max, ==, 4 << 20);
    for (uint32_t id = 0; id < 3000; id++) {
        put_id(tier, id, 500);
    }
    CHECK_U64(stats_of(tier).entries, ==, 3000);
    CHECK_OK(brisk_memory_resize(tier, 1 << 20, 0));
    CHECK_U64(stats_of(tier).bytes, <=, 1 << 20);
    CHECK_U64(stats_of(tier).entries, <=, at_one + at_one / 8);
    CHECK_U64(stats_of(tier).entries, >=, at_one - at_one / 8);
    CHECK_U64(d.evicted, ==, stats_of(tier).evictions);
    brisk_tier_destroy(tier);
}

static void test_policies_by_name(void **state)
{
    (void)state;
    brisk_tier *tier =
        make_tier(&(brisk_memory_tier_opts){.bytes_max = SMALL_TIER, .shards = 1, .policy = "lru"});
    CHECK(strcmp(brisk_memory_policy(tier), "lru") == 0);
    CHECK(brisk_memory_set_policy(tier, "magic") == BRISK_ERR_INVALID);
    CHECK_OK(brisk_memory_set_policy(tier, "lru"));
    CHECK(strcmp(brisk_memory_policy(tier), "lru") == 0);
    brisk_tier_destroy(tier);
}

static void test_tend_drops_what_is_due(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 5);
    drops d = {0};
    brisk_tier *tier = make_tier(&(brisk_memory_tier_opts){.bytes_max = 4 << 20,
                                                           .shards = 2,
                                                           .clock = &clock.base,
                                                           .on_drop = count_drop,
                                                           .on_drop_ctx = &d});
    uint64_t now = brisk_clock_wall_ns(&clock.base);
    for (uint32_t id = 0; id < 1000; id++) {
        brisk_key key = brisk_key_of(&id, sizeof id);
        brisk_entry_opts opts = {.expires_at_ns = id % 2 == 0 ? 0 : now + id * FAKE_CLOCK_SECOND};
        static const char bytes[2000];
        CHECK_OK(brisk_memory_put_bytes(tier, &key, bytes, id % 5 == 0 ? 2000 : 50, &opts));
    }
    CHECK_U64(brisk_memory_tend(tier, 1000000000), ==, 0);
    for (uint32_t second = 1; second < 1000; second += 100) {
        fake_clock_advance(&clock, 100 * FAKE_CLOCK_SECOND);
        for (int i = 0; i < 100; i++) { /* the clock stands still: every call does its share */
            (void)brisk_memory_tend(tier, 1000000000);
        }
        CHECK_U64(d.expired, ==, (second + 99) / 2);
    }
    CHECK_U64(stats_of(tier).expired, ==, 500);
    CHECK_U64(stats_of(tier).entries, ==, 500);
    CHECK_U64(d.evicted, ==, 0);
    brisk_tier_destroy(tier);
}

/* --- tap ---------------------------------------------------------------------------------- */

typedef struct taps {
    uint32_t hits;
    uint32_t misses;
} taps;

static void count_tap(void *ctx, uint32_t hash, bool hit)
{
    taps *t = ctx;
    (void)hash;
    t->hits += hit;
    t->misses += !hit;
}

static void test_tap_sees_requests(void **state)
{
    (void)state;
    brisk_tier *tier = small_tier();
    put_text(tier, "a", "1");
    brisk_key there = key_of("a");
    brisk_key gone = key_of("b");
    taps t = {0};
    brisk_memory_set_tap(tier, 1, count_tap, &t);
    brisk_hit hit;
    CHECK_OK(tier->ops->get(tier, &there, &hit));
    brisk_value_unref(hit.value);
    CHECK(tier->ops->get(tier, &gone, &hit) == BRISK_ERR_NOT_FOUND);
    CHECK(t.hits == 1 && t.misses == 1);
    brisk_memory_set_tap(tier, 16, count_tap, &t);
    for (uint32_t i = 0; i < 4000; i++) {
        brisk_key key = brisk_key_of(&i, sizeof i);
        CHECK(tier->ops->get(tier, &key, &hit) == BRISK_ERR_NOT_FOUND);
    }
    CHECK(t.misses > 4000 / 16 / 2 && t.misses < 4000 / 16 * 2);
    t.hits = 0;
    for (uint32_t i = 0; i < 4000; i++) { /* hits are chosen elsewhere than misses */
        char name[16];
        (void)snprintf(name, sizeof name, "k%u", i);
        put_text(tier, name, "1");
        brisk_key key = key_of(name);
        CHECK_OK(tier->ops->get(tier, &key, &hit));
        brisk_value_unref(hit.value);
    }
    CHECK(t.hits > 4000 / 16 / 2 && t.hits < 4000 / 16 * 2);
    uint32_t before = t.misses;
    brisk_memory_set_tap(tier, 0, NULL, NULL);
    put_text(tier, "a", "1");
    CHECK_OK(tier->ops->get(tier, &there, &hit));
    brisk_value_unref(hit.value);
    CHECK(tier->ops->get(tier, &gone, &hit) == BRISK_ERR_NOT_FOUND);
    CHECK(t.misses == before);
    brisk_tier_destroy(tier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_copies_into_the_buffer),
        cmocka_unit_test(test_info_is_no_hit),
        cmocka_unit_test(test_expire_changes_only_when),
        cmocka_unit_test(test_update_appends),
        cmocka_unit_test(test_update_leaves_readers_alone),
        cmocka_unit_test(test_update_obeys),
        cmocka_unit_test(test_update_is_one_step_though_much_must_go),
        cmocka_unit_test(test_batch_is_many_gets),
        cmocka_unit_test(test_scan_sees_what_stays),
        cmocka_unit_test(test_scan_at_rest),
        cmocka_unit_test(test_random_finds_everything),
        cmocka_unit_test(test_entries_are_limited_exactly),
        cmocka_unit_test(test_resize_at_run_time),
        cmocka_unit_test(test_policies_by_name),
        cmocka_unit_test(test_tend_drops_what_is_due),
        cmocka_unit_test(test_tap_sees_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
