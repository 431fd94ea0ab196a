/*
 * shop.c -- the cache of libbrisk in one small program: a shop whose database is slow.
 *
 *     shop FOLDER
 *
 * Products come from a "database" (an array) through a loader, into memory and into FOLDER.  What
 * it prints is compared by a test, and parts of it stand in docs/cache.md.
 *
 * Build:  cc -std=c11 shop.c $(pkg-config --cflags --libs brisk)
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/brisk.h>

/* --- the database ---------------------------------------------------------------------------- */

typedef struct product {
    const char *name;
    const char *department;
    const char *text;
} product;

typedef struct database {
    product products[3];
    uint32_t queries;
    bool down;
} database;

typedef struct warehouse {
    uint32_t saves;
    uint64_t bytes;
} warehouse;

static const product *find_product(database *db, const brisk_key *key)
{
    db->queries++;
    for (size_t i = 0; i < sizeof db->products / sizeof db->products[0]; i++) {
        const char *name = db->products[i].name;
        if (key->size == strlen(name) && memcmp(key->bytes, name, key->size) == 0) {
            return &db->products[i];
        }
    }
    return NULL;
}

/* [load] What the loader calls on a miss, once however many ask. */
static brisk_err load_product(void *ctx, const brisk_key *key, brisk_load *ret)
{
    database *db = ctx;
    if (db->down) {
        return brisk_errinfo_set(ret->info, BRISK_ERR_IO, "the database is down");
    }
    const product *found = find_product(db, key);
    if (found == NULL) {
        return BRISK_ERR_NOT_FOUND; /* an answer, too: kept for negative_ttl_ns */
    }
    static brisk_tag tag; /* one thread here; otherwise see brisk_load.release */
    tag = (brisk_tag){.bytes = found->department, .size = strlen(found->department)};
    ret->opts.tags = &tag;
    ret->opts.tag_count = 1;
    return brisk_value_copy(found->text, strlen(found->text), NULL, &ret->value);
}
/* [end] */

/* --- small helpers --------------------------------------------------------------------------- */

static void must(brisk_err err, const char *what)
{
    if (err != BRISK_OK) {
        fprintf(stderr, "%s: %s\n", what, brisk_err_message(err));
        exit(1);
    }
}

static const char *const sources[] = {
    [BRISK_LOADED_CACHE] = "cache",
    [BRISK_LOADED_STALE] = "stale",
    [BRISK_LOADED_STALE_ERROR] = "stale, since loading failed",
    [BRISK_LOADED_HERE] = "loaded",
    [BRISK_LOADED_SHARED] = "loaded by another",
};

/* [get] Ask for one key. */
static void show(brisk_loader *loader, const char *name)
{
    brisk_key key = brisk_key_of(name, strlen(name));
    brisk_loaded got;
    brisk_err err = brisk_loader_get(loader, &key, NULL, &got);
    if (err != BRISK_OK) {
        printf("%s: %s\n", name, brisk_err_message(err));
        return;
    }
    const char *tier = got.from == BRISK_LOADED_CACHE ? got.hit.tier_name : "-";
    printf("%s: %.*s (%s, %s)\n", name, (int)brisk_value_size(got.hit.value),
           (const char *)brisk_value_data(got.hit.value), sources[got.from], tier);
    brisk_value_unref(got.hit.value); /* the answer is the caller's */
}
/* [end] */

/* [stack] Memory in front of a folder that survives the program. */
static brisk_cache *open_cache(const char *folder)
{
    brisk_tier *tiers[2];
    uint32_t count = 0;
    brisk_memory_tier_opts memory = {.bytes_max = 16u << 20};
    must(brisk_memory_tier_create(&memory, &tiers[count++]), "memory");
    brisk_disk_tier_opts disk = {.path = folder, .bytes_max = 64u << 20};
    brisk_errinfo why;
    if (brisk_disk_tier_open(&disk, &tiers[count], &why) == BRISK_OK) {
        count++;
    } else {
        fprintf(stderr, "going on without a disk tier: %s\n", why.text);
    }
    brisk_cache *cache;
    brisk_cache_opts opts = {.tiers = tiers, .tier_count = count};
    must(brisk_cache_create(&opts, &cache), "cache"); /* owns the tiers now */
    return cache;
}
/* [end] */

/* [loader] Fresh for an hour, given for another day when the database fails. */
static brisk_loader *open_loader(brisk_cache *cache, database *db, uint64_t ttl_ns,
                                 brisk_threads *threads)
{
    brisk_background background = brisk_threads_background(threads); /* for refreshes */
    const uint64_t second = UINT64_C(1000000000);
    brisk_loader *loader;
    brisk_loader_opts opts = {
        .cache = cache,
        .load = load_product,
        .ctx = db,
        .ttl_ns = ttl_ns,
        .negative_ttl_ns = 60 * second,
        .stale_if_error_ns = 24 * 3600 * second,
        .background = &background,
    };
    must(brisk_loader_create(&opts, &loader), "loader");
    return loader;
}
/* [end] */

/* --- what there is to see -------------------------------------------------------------------- */

#define HOUR_NS UINT64_C(3600000000000)

static void loading(brisk_loader *loader, database *db)
{
    puts("-- loading");
    show(loader, "socks");
    show(loader, "socks");
    show(loader, "unicorn");
    show(loader, "unicorn"); /* that there is none is known */
    printf("queries: %u\n", (unsigned)db->queries);
}

static void changing(brisk_cache *cache, brisk_loader *loader, database *db)
{
    puts("-- changing");
    /* [change] The database first, then the cache. */
    db->products[0].text = "cotton socks";
    brisk_key key = brisk_key_of("socks", 5);
    must(brisk_loader_remove(loader, &key), "remove");
    /* [end] */
    show(loader, "socks");
    show(loader, "hat");
    show(loader, "tea");
    /* [tag] Everything of one department, at a cost that does not depend on how much that is. */
    must(brisk_cache_invalidate_tag(cache, "clothes", 7), "invalidate");
    /* [end] */
    show(loader, "socks");
    show(loader, "tea");
}

static void depending(brisk_cache *cache)
{
    puts("-- a page made of two products");
    brisk_key page = brisk_key_of("page/offers", 11);
    brisk_value *value;
    /* [depends] When a part changes, what was made of it is gone, whoever changes it. */
    uint64_t as_of = brisk_cache_epoch(cache); /* before anything is read */
    must(brisk_value_copy("socks and a hat", 15, NULL, &value), "make the page");
    brisk_key parts[] = {brisk_key_of("socks", 5), brisk_key_of("hat", 3)};
    brisk_entry_opts opts = {.depends_on = parts, .depends_count = 2, .as_of = as_of};
    brisk_cache_put(cache, &page, value, &opts);
    brisk_value_unref(value);
    /* [end] */
    brisk_hit hit;
    bool before = brisk_cache_get(cache, &page, 0, &hit);
    if (before) {
        brisk_value_unref(hit.value);
    }
    must(brisk_cache_invalidate_tag(cache, "clothes", 7), "invalidate"); /* which socks have */
    bool after = brisk_cache_get(cache, &page, 0, &hit);
    if (after) {
        brisk_value_unref(hit.value);
    }
    printf("before: %s, after: %s\n", before ? "cached" : "gone", after ? "cached" : "gone");
}

/* [predict] What the prefetcher wants to know, and to have done. */
static bool is_cached(void *ctx, const brisk_key *key)
{
    brisk_tier *memory = brisk_cache_tier(brisk_loader_cache(ctx), 0);
    brisk_entry_info info;
    return brisk_memory_info(memory, key, &info) == BRISK_OK; /* counts as no use */
}

static brisk_err load_ahead(void *ctx, const brisk_key *key)
{
    brisk_loaded got;
    brisk_err err = brisk_loader_get(ctx, key, NULL, &got);
    if (err == BRISK_OK) {
        brisk_value_unref(got.hit.value);
    }
    return err;
}
/* [end] */

static uint32_t visit(brisk_cache *cache, brisk_loader *loader, brisk_prefetcher *prefetcher)
{
    static const char *const way[] = {"tea", "socks", "hat"};
    uint32_t misses = 0;
    for (int i = 0; i < 3; i++) {
        brisk_key key = brisk_key_of(way[i], strlen(way[i]));
        brisk_loaded got;
        must(brisk_loader_get(loader, &key, NULL, &got), "get");
        brisk_value_unref(got.hit.value);
        misses += got.from != BRISK_LOADED_CACHE;
        brisk_prefetcher_note(prefetcher, 1, &key, got.from == BRISK_LOADED_CACHE);
    }
    must(brisk_cache_clear(cache), "clear"); /* as if it were too small */
    return misses;
}

static void predicting(brisk_cache *cache, brisk_loader *loader)
{
    puts("-- the same way again and again");
    brisk_predictor *predictor;
    brisk_prefetcher *prefetcher;
    must(brisk_predictor_create(NULL, &predictor), "predictor");
    brisk_prefetcher_opts opts = {
        .predictor = predictor,
        .ctx = loader,
        .is_cached = is_cached,
        .load = load_ahead,
        .inline_ = true, /* for an example that always prints the same */
    };
    must(brisk_prefetcher_create(&opts, &prefetcher), "prefetcher");
    uint32_t first = 0;
    uint32_t last = 0;
    for (int i = 0; i < 1000; i++) {
        uint32_t misses = visit(cache, loader, prefetcher);
        first += i < 100 ? misses : 0;
        last += i >= 900 ? misses : 0;
    }
    printf("fewer misses at the end: %s\n", last < first ? "yes" : "no");
    brisk_prefetcher_destroy(prefetcher);
    brisk_predictor_destroy(predictor);
}

static void failing(brisk_cache *cache, database *db, brisk_threads *threads)
{
    puts("-- the database is down");
    brisk_loader *loader = open_loader(cache, db, 1, threads); /* fresh for a nanosecond */
    show(loader, "hat");
    db->down = true;
    show(loader, "hat");
    show(loader, "gloves");
    db->down = false;
    brisk_loader_destroy(loader);
}

/* [store] Where values live for good. */
static brisk_err save_product(void *ctx, const brisk_key *key, brisk_value *value)
{
    warehouse *goods = ctx;
    (void)key;
    goods->saves++;
    goods->bytes = brisk_value_size(value);
    return BRISK_OK; /* an error: it is tried again later, longer and longer later */
}
/* [end] */

static brisk_err load_nothing(void *ctx, const brisk_key *key, brisk_value **ret)
{
    (void)ctx;
    (void)key;
    (void)ret;
    return BRISK_ERR_NOT_FOUND;
}

static brisk_err remove_nothing(void *ctx, const brisk_key *key)
{
    (void)ctx;
    (void)key;
    return BRISK_OK;
}

static void writing(void)
{
    puts("-- writing behind");
    warehouse goods = {0};
    brisk_cache *cache;
    brisk_tier *memory;
    must(brisk_memory_tier_create(NULL, &memory), "memory");
    /* [write] The cache has it at once, the store soon. */
    brisk_store store = {
        .load = load_nothing, .save = save_product, .remove = remove_nothing, .ctx = &goods};
    brisk_cache_opts opts = {
        .tiers = &memory, .tier_count = 1, .store = &store, .write = BRISK_WRITE_BEHIND};
    must(brisk_cache_create(&opts, &cache), "cache");
    brisk_key key = brisk_key_of("stock/socks", 11);
    for (int i = 0; i < 1000; i++) {
        brisk_value *value;
        must(brisk_value_copy(&i, sizeof i, NULL, &value), "value");
        must(brisk_cache_write(cache, &key, value, NULL), "write"); /* FULL: the queue is */
        brisk_value_unref(value);
    }
    must(brisk_cache_flush(cache, UINT64_C(5000000000)), "flush");
    /* [end] */
    printf("1000 writes, as many or fewer saves: %s; %u bytes\n",
           goods.saves >= 1 && goods.saves <= 1000 ? "yes" : "no", (unsigned)goods.bytes);
    brisk_cache_destroy(cache); /* tries what is left for a while */
}

/* [memo] A pure function, and what its result depends on. */
typedef struct label_args {
    const char *text;
    uint64_t width;
} label_args;

static void label_key(void *ctx, const void *args, brisk_key_builder *builder)
{
    (void)ctx;
    const label_args *a = args;
    brisk_key_str(builder, "text", a->text);
    brisk_key_u64(builder, "width", a->width);
}

static brisk_err label_run(void *ctx, const void *args, brisk_load *ret)
{
    const label_args *a = args;
    ++*(uint32_t *)ctx;
    char line[64];
    int size = snprintf(line, sizeof line, "[%*s]", (int)a->width, a->text);
    return brisk_value_copy(line, (size_t)size, NULL, &ret->value);
}
/* [end] */

static void remembering(brisk_cache *cache)
{
    puts("-- a function");
    uint32_t runs = 0;
    brisk_memo *memo;
    brisk_memo_opts opts = {
        .cache = cache,
        .name = "label",
        .version = 1,
        .key = label_key,
        .run = label_run,
        .ctx = &runs,
    };
    must(brisk_memo_create(&opts, &memo), "memo");
    for (int i = 0; i < 3; i++) {
        label_args args = {.text = "tea", .width = 8};
        brisk_loaded got;
        must(brisk_memo_call(memo, &args, NULL, &got), "call");
        printf("%.*s\n", (int)brisk_value_size(got.hit.value),
               (const char *)brisk_value_data(got.hit.value));
        brisk_value_unref(got.hit.value);
    }
    printf("runs: %u\n", (unsigned)runs);
    brisk_memo_destroy(memo);
}

static void warming(brisk_cache *cache, brisk_loader *loader)
{
    puts("-- warming");
    must(brisk_cache_clear(cache), "clear");
    /* [warm] The keys of a list; others come from a history, from tags, or from a callback. */
    brisk_key keys[] = {brisk_key_of("socks", 5), brisk_key_of("hat", 3), brisk_key_of("tea", 3),
                        brisk_key_of("unicorn", 7)};
    brisk_key_list list = {.keys = keys, .count = 4};
    brisk_warm_opts opts = {.loader = loader, .keys = brisk_keys_of_list(&list)};
    brisk_warm_report report;
    must(brisk_warm_run(&opts, &report), "warm");
    /* [end] */
    printf("%u keys: %u loaded, %u present, %u not there, %u failed; %u bytes\n",
           (unsigned)report.items, (unsigned)report.loaded, (unsigned)report.present,
           (unsigned)report.none, (unsigned)report.failed, (unsigned)report.bytes);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: shop FOLDER\n");
        return 2;
    }
    database db = {.products = {{"socks", "clothes", "wool socks"},
                                {"hat", "clothes", "a straw hat"},
                                {"tea", "food", "green tea"}}};
    /* [background] A few threads that may wait, for what can wait. */
    brisk_threads *threads;
    must(brisk_threads_create(NULL, &threads), "threads");
    /* [end] */
    brisk_cache *cache = open_cache(argv[1]);
    brisk_loader *loader = open_loader(cache, &db, HOUR_NS, threads);
    loading(loader, &db);
    changing(cache, loader, &db);
    depending(cache);
    failing(cache, &db, threads);
    writing();
    remembering(cache);
    predicting(cache, loader);
    warming(cache, loader);
    brisk_loader_destroy(loader);
    brisk_cache_destroy(cache);

    puts("-- the next day");
    uint32_t before = db.queries;
    cache = open_cache(argv[1]);
    loader = open_loader(cache, &db, HOUR_NS, threads);
    show(loader, "tea"); /* from the folder */
    show(loader, "tea"); /* and from memory by now */
    printf("queries: %u\n", (unsigned)(db.queries - before));
    brisk_loader_destroy(loader);
    brisk_cache_destroy(cache);
    brisk_threads_destroy(threads); /* last: the others give it work until then */
    return 0;
}
