/*
 * test_cache_tags.c -- tags, dependencies, prefixes: what must be gone, and what must not.
 */
#include "support/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <brisk/cache.h>
#include <brisk/memory.h>

#include "cache/fake_tier.h"
#include "cache/generation.h"
#include "support/temp_dir.h"

typedef struct fixture {
    fake_tier tiers[2];
    brisk_cache *cache;
} fixture;

static void setup(fixture *f)
{
    brisk_tier *tiers[2];
    for (int i = 0; i < 2; i++) {
        fake_init(&f->tiers[i], i == 0 ? "near" : "far", 0);
        tiers[i] = &f->tiers[i].base;
    }
    brisk_cache_opts opts = {.tiers = tiers, .tier_count = 2};
    CHECK_OK(brisk_cache_create(&opts, &f->cache));
}

static brisk_key key_of(const char *text)
{
    return brisk_key_of(text, strlen(text));
}

static brisk_tag tag_of(const char *text)
{
    return (brisk_tag){.bytes = text, .size = strlen(text)};
}

static void put(brisk_cache *cache, const char *name, const brisk_entry_opts *opts)
{
    brisk_key key = key_of(name);
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy(name, strlen(name), NULL, &value));
    brisk_cache_put(cache, &key, value, opts);
    brisk_value_unref(value);
}

static void put_tagged(brisk_cache *cache, const char *name, const char *text)
{
    brisk_tag tag = tag_of(text);
    put(cache, name, &(brisk_entry_opts){.tags = &tag, .tag_count = 1});
}

static void put_dependent(brisk_cache *cache, const char *name, const char *on, uint16_t flags)
{
    brisk_key key = key_of(on);
    put(cache, name,
        &(brisk_entry_opts){.depends_on = &key, .depends_count = 1, .depends_flags = flags});
}

static bool has(brisk_cache *cache, const char *name)
{
    brisk_key key = key_of(name);
    brisk_hit hit;
    if (!brisk_cache_get(cache, &key, 0, &hit)) {
        return false;
    }
    CHECK_U64(brisk_value_size(hit.value), ==, strlen(name));
    CHECK(memcmp(brisk_value_data(hit.value), name, strlen(name)) == 0);
    CHECK((hit.flags & BRISK_ENTRY_TAGGED) == 0);
    CHECK(!hit.stale);
    brisk_value_unref(hit.value);
    return true;
}

static void drop_tag(brisk_cache *cache, const char *text)
{
    CHECK_OK(brisk_cache_invalidate_tag(cache, text, strlen(text)));
}

static void drop_prefix(brisk_cache *cache, const char *text)
{
    CHECK_OK(brisk_cache_invalidate_prefix(cache, text, strlen(text)));
}

static void drop_key(brisk_cache *cache, const char *text)
{
    brisk_key key = key_of(text);
    CHECK_OK(brisk_cache_invalidate_key(cache, &key));
}

/* --- tags ----------------------------------------------------------------------------------- */

static void test_tag_takes_its_entries_and_no_others(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put_tagged(f.cache, "a", "red");
    put_tagged(f.cache, "b", "blue");
    brisk_tag both[] = {tag_of("red"), tag_of("blue")};
    put(f.cache, "ab", &(brisk_entry_opts){.tags = both, .tag_count = 2});
    put(f.cache, "none", NULL);
    CHECK(has(f.cache, "a") && has(f.cache, "b") && has(f.cache, "ab") && has(f.cache, "none"));
    drop_tag(f.cache, "red");
    CHECK(!has(f.cache, "a") && has(f.cache, "b") && !has(f.cache, "ab") && has(f.cache, "none"));
    put_tagged(f.cache, "a", "red"); /* anew: of after the invalidation */
    CHECK(has(f.cache, "a"));
    drop_tag(f.cache, "blue");
    CHECK(has(f.cache, "a") && !has(f.cache, "b") && has(f.cache, "none"));
    brisk_cache_stats totals;
    brisk_cache_read_totals(f.cache, &totals);
    CHECK_U64(totals.invalidated_tags, ==, 2);
    brisk_tier_stats stats;
    brisk_cache_read_stats(f.cache, 1, &stats);
    CHECK_U64(stats.stale, ==, 3);
    CHECK(brisk_cache_invalidate_tag(f.cache, "x", 0) == BRISK_ERR_INVALID);
    CHECK(brisk_cache_invalidate_tag(f.cache, NULL, 1) == BRISK_ERR_INVALID);
    brisk_cache_destroy(f.cache);
}

static void test_users_meta_comes_back_alone(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    unsigned char meta[BRISK_ENTRY_META_MAX];
    memset(meta, 0x5a, sizeof meta);
    char names[BRISK_TAGS_MAX][8];
    brisk_tag tags[BRISK_TAGS_MAX];
    for (int i = 0; i < BRISK_TAGS_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "t%d", i);
        tags[i] = tag_of(names[i]);
    }
    brisk_key key = key_of("k");
    for (uint32_t size = 0; size <= sizeof meta; size += 128) {
        for (uint32_t tag = 0; tag < BRISK_TAGS_MAX; tag += 21) {
            put(f.cache, "k",
                &(brisk_entry_opts){.meta = size != 0 ? meta : NULL,
                                    .meta_size = size,
                                    .flags = BRISK_ENTRY_NEGATIVE,
                                    .tags = tags,
                                    .tag_count = BRISK_TAGS_MAX});
            for (int tier = 0; tier < 2; tier++) { /* promoted or not */
                brisk_hit hit;
                CHECK(brisk_cache_get(f.cache, &key, 1u << tier, &hit));
                CHECK_U64(hit.meta_size, ==, size);
                CHECK_U64(hit.flags, ==, BRISK_ENTRY_NEGATIVE);
                CHECK(memcmp(hit.meta, meta, size) == 0);
                brisk_value_unref(hit.value);
            }
            drop_tag(f.cache, names[tag]);
            CHECK(!has(f.cache, "k"));
        }
    }
    brisk_cache_destroy(f.cache);
}

static void test_promotion_keeps_the_tags(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    brisk_tag tag = tag_of("red");
    put(f.cache, "a", &(brisk_entry_opts){.tags = &tag, .tag_count = 1, .tiers = 2});
    CHECK(has(f.cache, "a")); /* from the far tier, and now in the near one */
    CHECK_U64(f.tiers[0].puts, ==, 1);
    drop_tag(f.cache, "red");
    brisk_key key = key_of("a");
    brisk_hit hit;
    CHECK(!brisk_cache_get(f.cache, &key, 1, &hit));
    CHECK(!has(f.cache, "a"));
    brisk_cache_destroy(f.cache);
}

static void test_stale_answer_for_those_who_ask(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put_tagged(f.cache, "a", "red");
    brisk_key key = key_of("a");
    brisk_get_opts opts = {.stale = true};
    brisk_hit hit;
    CHECK(brisk_cache_get_with(f.cache, &key, &opts, &hit));
    CHECK(!hit.stale);
    brisk_value_unref(hit.value);
    drop_tag(f.cache, "red");
    CHECK(!brisk_cache_get_with(f.cache, &key, NULL, &hit));
    CHECK(brisk_cache_get_with(f.cache, &key, &opts, &hit));
    CHECK(hit.stale && hit.tier == 0 && hit.meta_size == 0);
    brisk_value_unref(hit.value);
    drop_key(f.cache, "a");
    CHECK(!brisk_cache_get_with(f.cache, &key, &opts, &hit));
    brisk_cache_destroy(f.cache);
}

/* --- dependencies --------------------------------------------------------------------------- */

static void test_change_of_a_key_takes_what_depends_on_it(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put(f.cache, "source", NULL);
    put_dependent(f.cache, "derived", "source", 0);
    CHECK(has(f.cache, "derived"));
    put(f.cache, "other", NULL);
    CHECK(has(f.cache, "derived"));
    put(f.cache, "source", NULL); /* an overwrite is a change */
    CHECK(!has(f.cache, "derived") && has(f.cache, "source"));
    put_dependent(f.cache, "derived", "source", 0);
    CHECK(has(f.cache, "derived"));
    drop_key(f.cache, "source");
    CHECK(!has(f.cache, "derived") && !has(f.cache, "source"));
    /* A name of something that is in no cache. */
    put_dependent(f.cache, "derived", "file", BRISK_DEPENDS_NAMES);
    CHECK(has(f.cache, "derived"));
    drop_tag(f.cache, "whatever");
    CHECK(has(f.cache, "derived"));
    drop_key(f.cache, "file");
    CHECK(!has(f.cache, "derived"));
    brisk_cache_destroy(f.cache);
}

/* d -> c -> b -> a -> tag: one bump takes them all, and none of their neighbours. */
static void test_closure_is_transitive(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    for (int round = 0; round < 3; round++) {
        put_tagged(f.cache, "a", "red");
        put_dependent(f.cache, "b", "a", 0);
        put_dependent(f.cache, "c", "b", 0);
        put_dependent(f.cache, "d", "c", 0);
        put_tagged(f.cache, "x", "blue");
        put_dependent(f.cache, "y", "x", 0);
        CHECK(has(f.cache, "a") && has(f.cache, "b") && has(f.cache, "c") && has(f.cache, "d"));
        if (round == 0) {
            drop_tag(f.cache, "red");
        } else if (round == 1) {
            drop_key(f.cache, "a");
        } else {
            put(f.cache, "a", NULL);
        }
        CHECK(has(f.cache, "a") == (round == 2));
        CHECK(!has(f.cache, "b") && !has(f.cache, "c") && !has(f.cache, "d"));
        CHECK(has(f.cache, "x") && has(f.cache, "y"));
    }
    brisk_cache_destroy(f.cache);
}

/* What b depends on is not known any more when c is stored: then any change takes c. */
static void test_unknown_dependency_is_taken_seriously(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put_tagged(f.cache, "a", "red");
    put_dependent(f.cache, "b", "a", 0);
    brisk_key b = key_of("b");
    for (int i = 0; i < 2; i++) { /* evicted behind the stack's back */
        CHECK_OK(f.tiers[i].base.ops->remove(&f.tiers[i].base, &b));
    }
    put_dependent(f.cache, "c", "b", 0);
    CHECK(has(f.cache, "c"));
    drop_tag(f.cache, "red");
    CHECK(!has(f.cache, "c"));
    brisk_cache_destroy(f.cache);
}

static void test_dependencies_beyond_the_trailer(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    char names[BRISK_TAGS_MAX][24];
    brisk_key keys[BRISK_TAGS_MAX];
    for (int i = 0; i < BRISK_TAGS_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "%d-of-many-sources", i);
        keys[i] = key_of(names[i]);
    }
    for (int i = 0; i < BRISK_TAGS_MAX; i += 9) {
        put(f.cache, "sum",
            &(brisk_entry_opts){.depends_on = keys,
                                .depends_count = BRISK_TAGS_MAX,
                                .depends_flags = BRISK_DEPENDS_NAMES});
        CHECK(has(f.cache, "sum"));
        drop_key(f.cache, names[i]);
        CHECK(!has(f.cache, "sum"));
    }
    brisk_cache_destroy(f.cache);
}

/* --- values that were begun before a change -------------------------------------------------- */

static void test_value_begun_before_a_change_is_not_stored(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    brisk_tag tag = tag_of("red");
    brisk_key source = key_of("never seen before");
    uint64_t as_of = brisk_cache_epoch(f.cache);
    CHECK_U64(as_of, !=, 0);
    drop_tag(f.cache, "red");
    put(f.cache, "a", &(brisk_entry_opts){.tags = &tag, .tag_count = 1, .as_of = as_of});
    CHECK(!has(f.cache, "a"));

    as_of = brisk_cache_epoch(f.cache);
    put(f.cache, "never seen before", NULL); /* nobody depends on it yet */
    put(f.cache, "a",
        &(brisk_entry_opts){.depends_on = &source, .depends_count = 1, .as_of = as_of});
    CHECK(!has(f.cache, "a"));

    as_of = brisk_cache_epoch(f.cache);
    drop_prefix(f.cache, "a");
    put(f.cache, "abc", &(brisk_entry_opts){.as_of = as_of});
    CHECK(!has(f.cache, "abc"));

    as_of = brisk_cache_epoch(f.cache);
    drop_key(f.cache, "a"); /* the key itself */
    put(f.cache, "a", &(brisk_entry_opts){.as_of = as_of});
    CHECK(!has(f.cache, "a"));

    as_of = brisk_cache_epoch(f.cache);
    CHECK_OK(brisk_cache_clear(f.cache));
    put(f.cache, "a", &(brisk_entry_opts){.as_of = as_of});
    CHECK(!has(f.cache, "a"));
    brisk_cache_stats totals;
    brisk_cache_read_totals(f.cache, &totals);
    CHECK_U64(totals.outdated_puts, ==, 5);

    as_of = brisk_cache_epoch(f.cache); /* and when nothing happens, it is */
    put(f.cache, "a",
        &(brisk_entry_opts){.tags = &tag,
                            .tag_count = 1,
                            .depends_on = &source,
                            .depends_count = 1,
                            .as_of = as_of});
    CHECK(has(f.cache, "a"));
    brisk_cache_destroy(f.cache);
}

/* An entry that was good and is replaced by one begun before a change: a miss, not the old one. */
static void test_outdated_put_leaves_nothing(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    brisk_tag tag = tag_of("red");
    put(f.cache, "a", NULL);
    uint64_t as_of = brisk_cache_epoch(f.cache);
    drop_tag(f.cache, "red");
    put(f.cache, "a", &(brisk_entry_opts){.tags = &tag, .tag_count = 1, .as_of = as_of});
    CHECK(!has(f.cache, "a"));
    brisk_cache_destroy(f.cache);
}

/* --- prefixes -------------------------------------------------------------------------------- */

static void test_prefix(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put(f.cache, "user:1", NULL);
    put(f.cache, "user:2", NULL);
    put(f.cache, "use", NULL);
    put_dependent(f.cache, "page", "user:1", 0);
    CHECK(has(f.cache, "page"));
    drop_prefix(f.cache, "user:1");
    CHECK(!has(f.cache, "user:1") && has(f.cache, "user:2") && has(f.cache, "use"));
    CHECK(!has(f.cache, "page")); /* depends on a key with the prefix */
    put(f.cache, "user:1", NULL);
    CHECK(has(f.cache, "user:1"));
    drop_prefix(f.cache, "user:");
    CHECK(!has(f.cache, "user:1") && !has(f.cache, "user:2") && has(f.cache, "use"));
    drop_prefix(f.cache, "u");
    CHECK(!has(f.cache, "use"));
    put(f.cache, "user:2", NULL);
    CHECK(has(f.cache, "user:2"));
    drop_prefix(f.cache, "");
    CHECK(!has(f.cache, "user:2"));
    CHECK(brisk_cache_invalidate_prefix(f.cache, NULL, 3) == BRISK_ERR_INVALID);
    CHECK(brisk_cache_invalidate_prefix(f.cache, "x", (size_t)1 << 40) == BRISK_ERR_INVALID);
    brisk_cache_destroy(f.cache);
}

/* More prefixes than there are numbers for: no old entry comes back when a number does. */
static void test_eras_wrap(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put(f.cache, "old", NULL);
    drop_prefix(f.cache, "o");
    put(f.cache, "kept", NULL);
    brisk_key key = key_of("young");
    for (int i = 0; i < 3 * 65536; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%07d", i);
        CHECK_OK(brisk_cache_invalidate_prefix(f.cache, name, i % 8 != 0 ? 7 : 3));
        CHECK(!has(f.cache, "old"));
        if (i % 4096 == 0) {
            put(f.cache, "young", NULL);
        }
        brisk_hit hit;
        if (brisk_cache_get(f.cache, &key, 0, &hit)) {
            brisk_value_unref(hit.value);
        } else {
            CHECK(i % 4096 != 0);
        }
    }
    CHECK(!has(f.cache, "kept"));
    brisk_cache_destroy(f.cache);
}

static void test_many_sizes_of_prefixes(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    char name[200];
    memset(name, 'x', sizeof name);
    brisk_key key = brisk_key_of(name, FAKE_KEY_MAX);
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy("v", 1, NULL, &value));
    for (size_t size = sizeof name; size > 0; size--) {
        brisk_hit hit;
        brisk_cache_put(f.cache, &key, value, NULL);
        CHECK(brisk_cache_get(f.cache, &key, 0, &hit));
        brisk_value_unref(hit.value);
        CHECK_OK(brisk_cache_invalidate_prefix(f.cache, name, size));
        if (size <= FAKE_KEY_MAX) {
            CHECK(!brisk_cache_get(f.cache, &key, 0, &hit));
        } else if (brisk_cache_get(f.cache, &key, 0, &hit)) {
            brisk_value_unref(hit.value);
        }
    }
    brisk_value_unref(value);
    brisk_cache_destroy(f.cache);
}

/* --- those who use a tier directly ------------------------------------------------------------ */

static void test_sealed_by_hand(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    brisk_tier *near = &f.tiers[0].base;
    brisk_key key = key_of("a");
    brisk_tag tag = tag_of("red");
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy("a", 1, NULL, &value));
    brisk_sealed sealed;
    CHECK(brisk_cache_seal(
        f.cache, &key,
        &(brisk_entry_opts){.tags = &tag, .tag_count = 1, .meta = "meta", .meta_size = 4},
        &sealed));
    CHECK_OK(near->ops->put(near, &key, value, &sealed.opts));
    brisk_value_unref(value);
    brisk_hit hit;
    CHECK_OK(near->ops->get(near, &key, &hit));
    brisk_entry_mark mark = {
        .flags = hit.flags, .meta_size = hit.meta_size, .meta = hit.meta, .era = hit.era};
    CHECK(brisk_cache_is_current(f.cache, &key, &mark));
    CHECK_U64(brisk_entry_meta_size(&mark), ==, 4);
    CHECK(has(f.cache, "a"));
    put_dependent(f.cache, "b", "a", 0);
    brisk_change change = brisk_cache_change_begin(f.cache, &key);
    CHECK(!has(f.cache, "b"));
    brisk_cache_change_end(f.cache, &key, change);
    CHECK(!has(f.cache, "b"));
    put_dependent(f.cache, "b", "a", 0);
    CHECK(has(f.cache, "b"));
    brisk_cache_change_end(f.cache, &key, 0);
    CHECK(!has(f.cache, "b"));
    drop_tag(f.cache, "red");
    CHECK(!brisk_cache_is_current(f.cache, &key, &mark));
    CHECK(!brisk_cache_seal(
        f.cache, &key, &(brisk_entry_opts){.tags = &tag, .tag_count = 1, .as_of = 1}, &sealed));
    mark.flags = 0; /* an entry without tags has all of its meta data */
    CHECK_U64(brisk_entry_meta_size(&mark), ==, hit.meta_size);
    brisk_value_unref(hit.value);
    brisk_cache_destroy(f.cache);
}

/* Whatever a tier returns as a trailer is a miss or right, never a crash. */
static void test_damaged_trailers_are_misses(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    uint64_t seed = check_seed();
    put_tagged(f.cache, "a", "red");
    int at = 0;
    while (f.tiers[0].entries[at].value == NULL) {
        at++;
    }
    brisk_key key = key_of("a");
    for (int i = 0; i < 20000; i++) {
        unsigned char meta[BRISK_TIER_META_MAX];
        for (size_t j = 0; j < sizeof meta; j++) {
            meta[j] = (unsigned char)check_random(&seed);
        }
        uint32_t size = (uint32_t)(check_random(&seed) % sizeof meta);
        if (size != 0 && i % 2 == 0) {
            meta[size - 1] = 0xb1;
        }
        brisk_entry_mark mark = {
            .flags = BRISK_ENTRY_TAGGED, .meta = meta, .meta_size = size, .era = (uint16_t)i};
        CHECK(!brisk_cache_is_current(f.cache, &key, &mark));
        CHECK_U64(brisk_entry_meta_size(&mark), <=, size);
    }
    brisk_cache_destroy(f.cache);
}

/* --- a disk tier ------------------------------------------------------------------------------ */

static brisk_cache *disk_cache(const char *path)
{
    brisk_tier *tiers[2];
    brisk_memory_tier_opts memory = {.bytes_max = 1 << 20, .shards = 1};
    brisk_disk_tier_opts disk = {.path = path, .bytes_max = 16 << 20, .segment_bytes = 1 << 20};
    CHECK_OK(brisk_memory_tier_create(&memory, &tiers[0]));
    CHECK_OK(brisk_disk_tier_open(&disk, &tiers[1], NULL));
    brisk_cache *cache = NULL;
    CHECK_OK(brisk_cache_create(&(brisk_cache_opts){.tiers = tiers, .tier_count = 2}, &cache));
    return cache;
}

static void test_invalidation_outlives_the_process(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_cache *cache = disk_cache(dir->path);
    put_tagged(cache, "a", "red");
    put_dependent(cache, "b", "a", 0);
    put_tagged(cache, "c", "blue");
    put(cache, "user:1", NULL);
    put(cache, "plain", NULL);
    brisk_cache_destroy(cache);
    cache = disk_cache(dir->path);
    CHECK(has(cache, "a") && has(cache, "b") && has(cache, "c") && has(cache, "user:1"));
    drop_tag(cache, "red");
    brisk_cache_destroy(cache);
    cache = disk_cache(dir->path);
    CHECK(!has(cache, "a") && !has(cache, "b") && has(cache, "c"));
    drop_prefix(cache, "user:");
    brisk_cache_destroy(cache);
    cache = disk_cache(dir->path);
    CHECK(!has(cache, "user:1") && has(cache, "c"));
    put_dependent(cache, "d", "c", 0);
    brisk_cache_destroy(cache);
    cache = disk_cache(dir->path); /* that d depends on c is remembered, too */
    CHECK(has(cache, "d"));
    put(cache, "c", NULL);
    CHECK(!has(cache, "d") && has(cache, "c"));
    brisk_cache_destroy(cache);
}

static void test_two_caches_on_one_folder(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_cache *one = disk_cache(dir->path);
    brisk_cache *two = disk_cache(dir->path);
    put_tagged(one, "a", "red");
    put(one, "user:1", NULL);
    CHECK(has(two, "a") && has(two, "a") && has(two, "user:1")); /* in the memory of both */
    drop_tag(one, "red");
    CHECK(!has(two, "a") && !has(one, "a"));
    drop_prefix(two, "user:");
    CHECK(!has(one, "user:1") && !has(two, "user:1"));
    uint64_t as_of = brisk_cache_epoch(one);
    drop_tag(two, "red");
    brisk_tag tag = tag_of("red");
    put(one, "a", &(brisk_entry_opts){.tags = &tag, .tag_count = 1, .as_of = as_of});
    CHECK(!has(one, "a") && !has(two, "a"));
    brisk_cache_destroy(one);
    brisk_cache_destroy(two);
}

/* Without its table nobody knows what is outdated: the disk tier is emptied. */
static void test_lost_table_empties_the_disk(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, GENERATION_NAME);
    for (int how = 0; how < 4; how++) {
        brisk_cache *cache = disk_cache(dir->path);
        put(cache, "plain", NULL);
        put_tagged(cache, "a", "red");
        brisk_cache_destroy(cache);
        cache = disk_cache(dir->path);
        CHECK(has(cache, "plain") && has(cache, "a"));
        brisk_cache_destroy(cache);
        if (how == 0) {
            CHECK(unlink(path) == 0);
        } else if (how == 1) {
            CHECK(truncate(path, 4096) == 0);
        } else if (how == 2) {
            temp_write_text(path, "something else");
        } else {
            int fd = open(path, O_RDWR | O_CLOEXEC);
            CHECK(pwrite(fd, "x", 1, 16) == 1); /* the id */
            CHECK(close(fd) == 0);
        }
        cache = disk_cache(dir->path);
        CHECK(!has(cache, "plain") && !has(cache, "a"));
        brisk_cache_destroy(cache);
    }
}

/* What was invalidated once stays so for who looks while it is invalidated again, or forgotten. */
typedef struct invalidator {
    pthread_t thread;
    generations *table;
    bool learns;               /* as of a shared tier */
    _Atomic uint32_t outdated; /* an era before the last invalidation that is over; 0: the end */
} invalidator;

static void invalidate(invalidator *self, generation_name name, uint16_t before)
{
    generation_era era;
    if (self->learns) {
        generations_learn(self->table, name, (uint16_t)(before + 1));
    } else {
        CHECK_OK(generations_invalidate(self->table, name, &era));
    }
}

static void *invalidate_again(void *arg)
{
    invalidator *self = arg;
    generation_name name = generation_name_of_prefix("pre", 3);
    for (uint32_t i = 0; i < GENERATION_ERAS - 2; i++) { /* so no era comes back */
        bool all = i % 4096 == 4095;
        uint16_t before = (uint16_t)generations_eras(self->table);
        invalidate(self, all ? (generation_name){.size = 0} : name, before);
        if (all) {
            generations_purged(self->table);
        }
        atomic_store(&self->outdated, before);
    }
    atomic_store(&self->outdated, 0);
    return NULL;
}

static void test_invalidated_again(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        invalidator self = {.learns = round % 2 != 0};
        CHECK_OK(generations_create(brisk_alloc_libc(), &self.table));
        uint32_t era = (uint16_t)generations_eras(self.table);
        generation_era began;
        CHECK_OK(generations_invalidate(self.table, generation_name_of_prefix("pre", 3), &began));
        atomic_store(&self.outdated, era);
        brisk_key key = key_of("prefixed");
        CHECK(pthread_create(&self.thread, NULL, invalidate_again, &self) == 0);
        while ((era = atomic_load(&self.outdated)) != 0) {
            CHECK(generations_prefix_newer(self.table, &key, (uint16_t)era));
        }
        CHECK(pthread_join(self.thread, NULL) == 0);
        generations_close(self.table);
    }
}

/* A shared tier tells of prefixes in any order: the latest invalidation of each counts. */
static void test_eras_are_learned_in_any_order(void **state)
{
    (void)state;
    generations *table = NULL;
    generation_name name = generation_name_of_prefix("pre", 3);
    brisk_key key = key_of("prefixed");
    for (uint32_t first = 7; first <= 65537; first += 65530) { /* and when they turn */
        CHECK_OK(generations_create(brisk_alloc_libc(), &table));
        atomic_store(&table->head->eras, (first - 6) << 16 | (first - 6));
        generations_learn(table, name, (uint16_t)(first + 2));
        generations_learn(table, name, (uint16_t)(first + 1));
        for (uint32_t era = first - 5; era < first + 2; era++) {
            CHECK((uint16_t)era == 0 || generations_prefix_newer(table, &key, (uint16_t)era));
        }
        CHECK(!generations_prefix_newer(table, &key, (uint16_t)(first + 2)));
        generations_close(table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tag_takes_its_entries_and_no_others),
        cmocka_unit_test(test_users_meta_comes_back_alone),
        cmocka_unit_test(test_promotion_keeps_the_tags),
        cmocka_unit_test(test_stale_answer_for_those_who_ask),
        cmocka_unit_test(test_change_of_a_key_takes_what_depends_on_it),
        cmocka_unit_test(test_closure_is_transitive),
        cmocka_unit_test(test_unknown_dependency_is_taken_seriously),
        cmocka_unit_test(test_dependencies_beyond_the_trailer),
        cmocka_unit_test(test_value_begun_before_a_change_is_not_stored),
        cmocka_unit_test(test_outdated_put_leaves_nothing),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_eras_wrap),
        cmocka_unit_test(test_many_sizes_of_prefixes),
        cmocka_unit_test(test_sealed_by_hand),
        cmocka_unit_test(test_damaged_trailers_are_misses),
        cmocka_unit_test(test_invalidation_outlives_the_process),
        cmocka_unit_test(test_invalidated_again),
        cmocka_unit_test(test_eras_are_learned_in_any_order),
        cmocka_unit_test(test_two_caches_on_one_folder),
        cmocka_unit_test(test_lost_table_empties_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
