/*
 * bench_stack.c -- what the stack costs on top of its tiers, and what an invalidation costs.
 *
 *   tier_hit          get of the memory tier alone
 *   stack_hit         the same through the stack: one comparison more
 *   stack_hit_tap     the same with a tap that counts
 *   stack_hit_tagged  entries with three tags: their slots are compared
 *   stack_hit_era     entries of an older era: a prefix was invalidated since
 *   stack_put, stack_put_tagged
 *   epoch             brisk_cache_epoch
 *   invalidate_tag, invalidate_prefix   with so many entries in the cache: 1,000 and ENTRIES
 *
 * 14-byte keys, 100-byte values, uniformly random.  Every round runs every variant once, in turn;
 * nanoseconds, median, smallest and largest of the rounds.  JSON on stdout.
 *
 *   bench_stack [--entries N] [--rounds N]
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/cache.h>
#include <brisk/memory.h>
#include <brisk/rng.h>

#include "base/assert.h"

enum { KEY_BYTES = 14, VALUE_BYTES = 100, COUNT = 200000, ROUNDS_MAX = 101 };

typedef struct bench {
    uint32_t entries;
    uint32_t rounds;
    unsigned char (*bytes)[KEY_BYTES];
    brisk_key *keys;
    brisk_value *value;
    brisk_tier *tier;
    brisk_cache *cache;
    brisk_cache *tagged;
    brisk_cache *older;
    brisk_cache *small;
    uint64_t sum;
} bench;

static void key_set(bench *b, uint32_t at, uint64_t number)
{
    (void)snprintf((char *)b->bytes[at], KEY_BYTES, "k%012" PRIu64, number % 1000000000000);
    b->bytes[at][KEY_BYTES - 1] = 'x';
    b->keys[at] = brisk_key_of(b->bytes[at], KEY_BYTES);
}

static brisk_cache *make(uint32_t entries, brisk_tier **ret)
{
    brisk_memory_tier_opts memory = {.bytes_max = (uint64_t)entries * 320 + (16 << 20),
                                     .policy = "lru"};
    brisk_cache *cache = NULL;
    BRISK_ASSERT(brisk_memory_tier_create(&memory, ret) == BRISK_OK);
    brisk_cache_opts opts = {.tiers = ret, .tier_count = 1};
    BRISK_ASSERT(brisk_cache_create(&opts, &cache) == BRISK_OK);
    return cache;
}

static const brisk_tag three_tags[] = {{"red", 3}, {"green", 5}, {"blue", 4}};

static void fill(bench *b, brisk_cache *cache, uint32_t entries, bool tagged)
{
    for (uint32_t i = 0; i < entries; i++) {
        key_set(b, 0, i);
        brisk_entry_opts opts = {.tags = tagged ? three_tags : NULL, .tag_count = tagged ? 3 : 0};
        brisk_cache_put(cache, &b->keys[0], b->value, &opts);
    }
}

static void draw_keys(bench *b, uint32_t entries)
{
    brisk_rng rng;
    brisk_rng_init(&rng, 20260101);
    for (uint32_t i = 0; i < COUNT; i++) {
        key_set(b, i, brisk_rng_below(&rng, entries));
    }
}

/* --- variants -------------------------------------------------------------------------------- */

static void get_all(bench *b, brisk_cache *cache)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        brisk_hit hit;
        if (brisk_cache_get(cache, &b->keys[i], 0, &hit)) {
            b->sum += *(const unsigned char *)brisk_value_data(hit.value);
            brisk_value_unref(hit.value);
        }
    }
}

static void tier_hit(bench *b)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        brisk_hit hit;
        if (b->tier->ops->get(b->tier, &b->keys[i], &hit) == BRISK_OK) {
            b->sum += *(const unsigned char *)brisk_value_data(hit.value);
            brisk_value_unref(hit.value);
        }
    }
}

static void stack_hit(bench *b)
{
    get_all(b, b->cache);
}

static void count_tap(void *ctx, const brisk_request *request)
{
    *(uint64_t *)ctx += request->hit;
}

static void stack_hit_tap(bench *b)
{
    static uint64_t hits;
    BRISK_ASSERT(brisk_cache_add_tap(b->cache, count_tap, &hits) == BRISK_OK);
    get_all(b, b->cache);
    brisk_cache_drop_tap(b->cache, count_tap, &hits);
    b->sum += hits;
}

static void stack_hit_tagged(bench *b)
{
    get_all(b, b->tagged);
}

static void stack_hit_era(bench *b)
{
    get_all(b, b->older);
}

static void stack_put(bench *b)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        brisk_cache_put(b->cache, &b->keys[i], b->value, NULL);
    }
}

static void stack_put_tagged(bench *b)
{
    brisk_entry_opts opts = {.tags = three_tags, .tag_count = 3};
    for (uint32_t i = 0; i < COUNT; i++) {
        brisk_cache_put(b->tagged, &b->keys[i], b->value, &opts);
    }
}

static void epoch(bench *b)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        b->sum += brisk_cache_epoch(b->cache);
    }
}

static void invalidate_tags(bench *b, brisk_cache *cache)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        BRISK_ASSERT(brisk_cache_invalidate_tag(cache, &i, sizeof i) == BRISK_OK);
    }
    b->sum++;
}

static void invalidate_tag_small(bench *b)
{
    invalidate_tags(b, b->small);
}

static void invalidate_tag_large(bench *b)
{
    invalidate_tags(b, b->tagged);
}

/* No key begins so, and few are invalidated, so that the tiers are not emptied for it. */
static void invalidate_prefixes(bench *b, brisk_cache *cache)
{
    for (uint32_t i = 0; i < COUNT / 1000; i++) {
        char prefix[16];
        int size = snprintf(prefix, sizeof prefix, "no%06u", i);
        BRISK_ASSERT(brisk_cache_invalidate_prefix(cache, prefix, (size_t)size) == BRISK_OK);
    }
    b->sum++;
}

static void invalidate_prefix_small(bench *b)
{
    invalidate_prefixes(b, b->small);
}

static void invalidate_prefix_large(bench *b)
{
    invalidate_prefixes(b, b->older);
}

static const struct variant {
    const char *name;
    void (*run)(bench *b);
    uint32_t count;
} variants[] = {
    {"tier_hit", tier_hit, COUNT},
    {"stack_hit", stack_hit, COUNT},
    {"stack_hit_tap", stack_hit_tap, COUNT},
    {"stack_hit_tagged", stack_hit_tagged, COUNT},
    {"stack_hit_era", stack_hit_era, COUNT},
    {"stack_put", stack_put, COUNT},
    {"stack_put_tagged", stack_put_tagged, COUNT},
    {"epoch", epoch, COUNT},
    {"invalidate_tag_1000", invalidate_tag_small, COUNT},
    {"invalidate_tag_all", invalidate_tag_large, COUNT},
    {"invalidate_prefix_1000", invalidate_prefix_small, COUNT / 1000},
    {"invalidate_prefix_all", invalidate_prefix_large, COUNT / 1000},
};

enum { VARIANTS = sizeof variants / sizeof variants[0] };

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* --- main --------------------------------------------------------------------------------------- */

static void set_up(bench *b)
{
    brisk_tier *tier;
    b->bytes = calloc(COUNT, sizeof *b->bytes);
    b->keys = calloc(COUNT, sizeof *b->keys);
    BRISK_ASSERT(b->bytes != NULL && b->keys != NULL);
    char bytes[VALUE_BYTES];
    memset(bytes, 'v', sizeof bytes);
    BRISK_ASSERT(brisk_value_copy(bytes, sizeof bytes, NULL, &b->value) == BRISK_OK);
    b->cache = make(b->entries, &b->tier);
    b->tagged = make(b->entries, &tier);
    b->older = make(b->entries, &tier);
    b->small = make(1000, &tier);
    fill(b, b->cache, b->entries, false);
    fill(b, b->tagged, b->entries, true);
    fill(b, b->older, b->entries, false);
    fill(b, b->small, 1000, true);
    BRISK_ASSERT(brisk_cache_invalidate_prefix(b->older, "no", 2) == BRISK_OK);
    draw_keys(b, b->entries);
}

int main(int argc, char **argv)
{
    bench b = {.entries = 1000000, .rounds = 11};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--entries") == 0) {
            b.entries = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--rounds") == 0) {
            b.rounds = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        }
    }
    b.rounds = b.rounds < 1 ? 1 : b.rounds > ROUNDS_MAX ? ROUNDS_MAX : b.rounds;
    b.entries = b.entries < 1000 ? 1000 : b.entries;
    set_up(&b);
    static double times[VARIANTS][ROUNDS_MAX];
    for (uint32_t round = 0; round <= b.rounds; round++) { /* the first one warms up */
        for (uint32_t v = 0; v < VARIANTS; v++) {
            uint64_t begin = brisk_clock_now_ns(NULL);
            variants[v].run(&b);
            uint64_t elapsed = brisk_clock_now_ns(NULL) - begin;
            times[v][round > 0 ? round - 1 : 0] = (double)elapsed / variants[v].count;
        }
    }
    printf("{\"entries\": %u, \"rounds\": %u", b.entries, b.rounds);
    for (uint32_t v = 0; v < VARIANTS; v++) {
        qsort(times[v], b.rounds, sizeof times[v][0], compare);
        printf(",\n \"%s\": {\"ns\": %.1f, \"min\": %.1f, \"max\": %.1f}", variants[v].name,
               times[v][b.rounds / 2], times[v][0], times[v][b.rounds - 1]);
    }
    printf(",\n \"sum\": %" PRIu64 "}\n", b.sum);
    return ferror(stdout) != 0;
}
