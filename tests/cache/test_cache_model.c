/*
 * test_cache_model.c -- random calls on whole stacks of tiers that fail, against a naive model.
 *
 * The model keeps for every key the number that was put last and, followed naively through all
 * dependencies, when anything that it comes from changed last.  The guarantee: a get is a miss, or
 * the number that was put last, and then nothing that it comes from has changed since its token.
 */
#include "support/check.h"

#include <stdbool.h>
#include <string.h>

#include <brisk/cache.h>
#include <brisk/log.h>
#include <brisk/memory.h>

#include "cache/fake_shared.h"
#include "support/fake_clock.h"
#include "support/temp_dir.h"

enum { KEYS = 24, TAGS = 5, PREFIXES = 5, STEPS = 12000, FAKES = 3 };

/* The shapes of stacks. */
typedef enum stack_shape {
    LOCAL_LOCAL_SHARED,
    LOCAL_SHARED_LOCAL,
    SHARED_SHARED,
    MEMORY_LOCAL_SHARED,
    MEMORY_BEHIND, /* memory, a local and a shared tier behind it, written later */
    MEMORY_DISK,   /* and closed and opened again now and then */
    BLIND,         /* a shared tier without counters */
    SHAPES,
} stack_shape;

typedef struct model_entry {
    uint64_t number;
    uint64_t as_of;
    uint32_t tags; /* bits */
    uint32_t keys; /* bits: what it depends on */
    bool there;
} model_entry;

typedef struct model {
    model_entry entries[KEYS];
    uint64_t now; /* counts changes */
    uint64_t key_changed[KEYS];
    uint64_t tag_changed[TAGS];
    uint64_t prefix_changed[PREFIXES];
    uint64_t cleared;
    uint64_t numbers;
} model;

typedef struct world {
    stack_shape shape;
    uint64_t random;
    fake_clock clock;
    fake_tier fakes[FAKES];
    fake_domain *domain;
    fake_shared shared[2];
    temp_dir *dir;
    brisk_cache *cache;
    model model;
    uint64_t asked;
    uint64_t hits;
    uint64_t token; /* kept for a later put, with its time in the model; 0: none */
    uint64_t token_time;
} world;

static const char *const prefixes[PREFIXES] = {"a", "b", "a1", "b1", "b11"};

static uint64_t below(world *w, uint64_t bound)
{
    return check_random(&w->random) % bound;
}

static brisk_key name_of(uint32_t index, char text[16])
{
    int size = snprintf(text, 16, "%c%u", index % 2 == 0 ? 'a' : 'b', index / 2);
    return brisk_key_of(text, (size_t)size);
}

static bool is_local(uint32_t index)
{
    return index % 7 == 0;
}

/* --- the model ------------------------------------------------------------------------------- */

static bool has_prefix(uint32_t key, uint32_t prefix)
{
    char text[16];
    (void)name_of(key, text);
    return strncmp(text, prefixes[prefix], strlen(prefixes[prefix])) == 0;
}

static bool key_gone(const model *m, uint32_t key, uint64_t since)
{
    for (uint32_t i = 0; i < PREFIXES; i++) {
        if (m->prefix_changed[i] > since && has_prefix(key, i)) {
            return true;
        }
    }
    return m->cleared > since;
}

/* NULL, or what is wrong with the entry. */
static const char *why_bad(const model *m, uint32_t key)
{
    const model_entry *entry = &m->entries[key];
    if (!entry->there) {
        return "is not there";
    }
    if (key_gone(m, key, entry->as_of)) {
        return "has an invalidated prefix";
    }
    for (uint32_t i = 0; i < TAGS; i++) {
        if ((entry->tags >> i & 1) != 0 && m->tag_changed[i] > entry->as_of) {
            return "has an invalidated tag";
        }
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        if ((entry->keys >> i & 1) == 0) {
            continue;
        }
        if (m->key_changed[i] > entry->as_of) {
            return "depends on a key that changed";
        }
        if (key_gone(m, i, entry->as_of)) {
            return "depends on a key with an invalidated prefix";
        }
    }
    return NULL;
}

/* --- the stack ------------------------------------------------------------------------------- */

static void open_cache(world *w)
{
    brisk_tier *tiers[3];
    uint32_t count = 0;
    bool memory =
        w->shape == MEMORY_LOCAL_SHARED || w->shape == MEMORY_BEHIND || w->shape == MEMORY_DISK;
    if (memory) {
        brisk_memory_tier_opts opts = {
            .bytes_max = 1 << 16, .entries_max = 12, .shards = 1, .clock = &w->clock.base};
        CHECK_OK(brisk_memory_tier_create(&opts, &tiers[count++]));
    }
    if (w->shape == MEMORY_DISK) {
        brisk_disk_tier_opts opts = {.path = w->dir->path,
                                     .bytes_max = 16 << 20,
                                     .segment_bytes = 1 << 20,
                                     .clock = &w->clock.base};
        CHECK_OK(brisk_disk_tier_open(&opts, &tiers[count++], NULL));
    }
    if (w->shape == LOCAL_LOCAL_SHARED || w->shape == LOCAL_SHARED_LOCAL || w->shape == BLIND ||
        w->shape == MEMORY_LOCAL_SHARED || w->shape == MEMORY_BEHIND) {
        tiers[count++] = &w->fakes[0].base;
    }
    if (w->shape == LOCAL_LOCAL_SHARED) {
        tiers[count++] = &w->fakes[1].base;
    }
    if (w->shape == BLIND) {
        tiers[count++] = &w->fakes[2].base;
    } else if (w->shape != MEMORY_DISK) {
        tiers[count++] = &w->shared[0].base;
    }
    if (w->shape == LOCAL_SHARED_LOCAL) {
        tiers[count++] = &w->fakes[1].base;
    } else if (w->shape == SHARED_SHARED) {
        tiers[count++] = &w->shared[1].base;
    }
    brisk_cache_opts opts = {
        .tiers = tiers,
        .tier_count = count,
        .clock = &w->clock.base,
        .tiers_behind = w->shape == MEMORY_BEHIND,
        .breaker = {
            .errors = 2, .open_ns = 1000, .probes = 2, .missed_keys = below(w, 2) == 0 ? 4 : 1000}};
    CHECK_OK(brisk_cache_create(&opts, &w->cache));
}

static void setup(world *w, stack_shape shape, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->shape = shape;
    w->random = seed;
    w->model.now = 1;
    fake_clock_init(&w->clock, 1000);
    fake_init(&w->fakes[0], "near", 0);
    fake_init(&w->fakes[1], "middle", 0);
    fake_init(&w->fakes[2], "blind", BRISK_TIER_SHARED);
    w->domain = fake_domain_make();
    fake_shared_init(&w->shared[0], w->domain, "shared");
    fake_shared_init(&w->shared[1], w->domain, "farther");
    if (shape == SHARED_SHARED) {
        w->shared[1].domain = fake_domain_make();
    }
    w->dir = temp_dir_make();
    open_cache(w);
}

static void teardown(world *w)
{
    brisk_cache_destroy(w->cache);
    if (w->shape == SHARED_SHARED) {
        fake_domain_free(w->shared[1].domain);
    }
    fake_domain_free(w->domain);
    temp_dir_remove(w->dir);
}

/* --- calls ------------------------------------------------------------------------------------ */

static uint32_t some_tiers(world *w)
{
    return below(w, 2) == 0 ? 0 : (uint32_t)(1 + below(w, 7));
}

static void call_put(world *w)
{
    model *m = &w->model;
    uint32_t k = (uint32_t)below(w, KEYS);
    char text[16];
    char names[KEYS][16];
    brisk_key key = name_of(k, text);
    brisk_tag tags[TAGS];
    brisk_key keys[KEYS];
    brisk_entry_opts opts = {.tiers = some_tiers(w),
                             .flags = is_local(k) ? BRISK_ENTRY_LOCAL : 0,
                             .tags = tags,
                             .depends_on = keys};
    model_entry entry = {.there = true, .number = ++m->numbers, .as_of = m->now};
    if (w->token != 0 && below(w, 2) == 0) {
        opts.as_of = w->token;
        entry.as_of = w->token_time;
    }
    static const char tag_names[TAGS][2] = {"r", "g", "b", "y", "k"};
    for (uint32_t i = 0; i < TAGS; i++) {
        if (below(w, 6) == 0) {
            tags[opts.tag_count++] = (brisk_tag){.bytes = tag_names[i], .size = 1};
            entry.tags |= 1u << i;
        }
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        if (i != k && below(w, 30) == 0) {
            keys[opts.depends_count++] = name_of(i, names[i]);
            entry.keys |= 1u << i;
            if (m->entries[i].there) {
                entry.tags |= m->entries[i].tags;
                entry.keys |= m->entries[i].keys;
            }
        }
    }
    bool overtaken = opts.as_of != 0 && m->key_changed[k] > entry.as_of;
    char number[24];
    int size = snprintf(number, sizeof number, "%llu", (unsigned long long)entry.number);
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy(number, (size_t)size + 1, NULL, &value));
    brisk_cache_put(w->cache, &key, value, &opts);
    brisk_value_unref(value);
    entry.there = !overtaken;
    m->entries[k] = entry;
    m->key_changed[k] = ++m->now;
    m->entries[k].as_of = opts.as_of != 0 ? entry.as_of : m->now;
}

static void call_get(world *w)
{
    const model *m = &w->model;
    uint32_t k = (uint32_t)below(w, KEYS);
    char text[16];
    brisk_key key = name_of(k, text);
    brisk_hit hit;
    w->asked++;
    if (!brisk_cache_get(w->cache, &key, some_tiers(w), &hit)) {
        return;
    }
    uint64_t got = strtoull(brisk_value_data(hit.value), NULL, 10);
    brisk_value_unref(hit.value);
    w->hits++;
    const char *why = why_bad(m, k);
    if (got != m->entries[k].number || why != NULL) {
        fail_msg("shape %d, %s: %llu from %s; put last was %llu, which %s", (int)w->shape, text,
                 (unsigned long long)got, hit.tier_name, (unsigned long long)m->entries[k].number,
                 why != NULL ? why : "and is good");
    }
}

static void call_remove(world *w)
{
    char text[16];
    uint32_t k = (uint32_t)below(w, KEYS);
    brisk_key key = name_of(k, text);
    (void)!brisk_cache_remove(w->cache, &key);
    w->model.entries[k].there = false;
    w->model.key_changed[k] = ++w->model.now;
}

static void call_invalidate(world *w)
{
    static const char tag_names[TAGS][2] = {"r", "g", "b", "y", "k"};
    uint64_t what = below(w, 20);
    if (what < 12) {
        uint32_t i = (uint32_t)below(w, TAGS);
        (void)!brisk_cache_invalidate_tag(w->cache, tag_names[i], 1);
        w->model.tag_changed[i] = ++w->model.now;
    } else if (what < 19) {
        uint32_t i = (uint32_t)below(w, PREFIXES);
        (void)!brisk_cache_invalidate_prefix(w->cache, prefixes[i], strlen(prefixes[i]));
        w->model.prefix_changed[i] = ++w->model.now;
    } else {
        (void)!brisk_cache_clear(w->cache);
        w->model.cleared = ++w->model.now;
    }
}

/* Tiers fall ill and get well; time passes; tokens are taken. */
static void call_world(world *w)
{
    static const brisk_err errs[] = {BRISK_OK,     BRISK_OK,       BRISK_OK,
                                     BRISK_ERR_IO, BRISK_ERR_FULL, BRISK_ERR_DECLINED};
    switch (below(w, 6)) {
    case 0: {
        fake_tier *fake = &w->fakes[below(w, FAKES)];
        fake->get_err = below(w, 4) == 0 ? BRISK_ERR_IO : BRISK_OK;
        fake->put_err = errs[below(w, 6)];
        fake->remove_err = below(w, 4) == 0 ? BRISK_ERR_IO : BRISK_OK;
        fake->clear_err = below(w, 8) == 0 ? BRISK_ERR_IO : BRISK_OK;
        break;
    }
    case 1: w->shared[below(w, 2)].fail = below(w, 3) == 0 ? BRISK_ERR_DEADLINE : BRISK_OK; break;
    case 2:
        w->token = brisk_cache_epoch(w->cache);
        w->token_time = w->model.now;
        break;
    case 3: w->token = 0; break;
    case 4:
        if (w->shape == MEMORY_DISK && below(w, 4) == 0) {
            brisk_cache_destroy(w->cache);
            open_cache(w);
            w->token = 0;
        } else if (w->shape == MEMORY_BEHIND && below(w, 4) == 0) {
            CHECK_OK(brisk_cache_flush(w->cache, UINT64_MAX));
        }
        break;
    default: fake_clock_advance(&w->clock, below(w, 40000)); break;
    }
}

static void check_privacy(const world *w)
{
    for (uint32_t k = 0; k < KEYS; k++) {
        char text[16];
        brisk_key key = name_of(k, text);
        if (is_local(k)) {
            CHECK(fake_find(&w->domain->store, &key) < 0);
            CHECK(fake_find(&w->fakes[2], &key) < 0);
        }
    }
}

static void run(stack_shape shape, uint64_t seed)
{
    static world w;
    setup(&w, shape, seed);
    for (int i = 0; i < STEPS; i++) {
        uint64_t what = below(&w, 100);
        if (what < 50) {
            call_get(&w);
        } else if (what < 82) {
            call_put(&w);
        } else if (what < 87) {
            call_remove(&w);
        } else if (what < 90) {
            call_invalidate(&w);
        } else {
            call_world(&w);
        }
    }
    check_privacy(&w);
    print_message("shape %d: %llu of %llu gets were hits\n", (int)shape, (unsigned long long)w.hits,
                  (unsigned long long)w.asked);
    CHECK_U64(w.hits, >, w.asked / 50);
    teardown(&w);
}

static void test_random_calls(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (int i = 0; i < SHAPES; i++) {
        run((stack_shape)i, seed + (uint64_t)i);
        run((stack_shape)i, seed + 1000 + (uint64_t)i);
    }
}

int main(void)
{
    brisk_log_set_level(BRISK_LOG_ERROR);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_calls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
