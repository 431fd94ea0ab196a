/*
 * test_cache_behind.c -- write strategies: what the store gets, when, and what readers see meanwhile.
 */
#include "support/check.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brisk/cache.h>
#include <brisk/log.h>
#include <brisk/memory.h>

#include "cache/fake_tier.h"
#include "support/fault_alloc.h"
#include "support/temp_dir.h"

enum { STORE_ENTRIES = 256, SECOND = 1000000000 };

/* A store that counts, fails and waits as it is told. */
typedef struct fake_store {
    brisk_store base;
    pthread_mutex_t lock;
    pthread_cond_t opened;
    struct {
        char key[32];
        char text[32];
    } entries[STORE_ENTRIES];
    uint32_t count;
    uint32_t saves;
    uint32_t removes;
    uint32_t loads;
    uint32_t failures; /* that many calls fail from now on */
    uint32_t passes;   /* that many calls do not wait though it is closed */
    uint32_t waiting;  /* calls that wait */
    bool closed;       /* calls wait */
} fake_store;

static int store_find(const fake_store *store, const brisk_key *key)
{
    for (uint32_t i = 0; i < store->count; i++) {
        if (strlen(store->entries[i].key) == key->size &&
            memcmp(store->entries[i].key, key->bytes, key->size) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static brisk_err store_enter(fake_store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    store->waiting++;
    while (store->closed && store->passes == 0) {
        (void)pthread_cond_wait(&store->opened, &store->lock);
    }
    store->waiting--;
    store->passes -= store->passes != 0;
    if (store->failures > 0) {
        store->failures--;
        (void)pthread_mutex_unlock(&store->lock);
        return BRISK_ERR_IO;
    }
    return BRISK_OK;
}

static brisk_err store_save(void *ctx, const brisk_key *key, brisk_value *value)
{
    fake_store *store = ctx;
    brisk_err err = store_enter(store);
    if (err != BRISK_OK) {
        return err;
    }
    int i = store_find(store, key);
    if (i < 0) {
        i = (int)store->count++;
        CHECK(i < STORE_ENTRIES && key->size < sizeof store->entries[0].key);
        memcpy(store->entries[i].key, key->bytes, key->size);
    }
    (void)snprintf(store->entries[i].text, sizeof store->entries[i].text, "%s",
                   (const char *)brisk_value_data(value));
    store->saves++;
    (void)pthread_mutex_unlock(&store->lock);
    return BRISK_OK;
}

static brisk_err store_remove(void *ctx, const brisk_key *key)
{
    fake_store *store = ctx;
    brisk_err err = store_enter(store);
    if (err != BRISK_OK) {
        return err;
    }
    int i = store_find(store, key);
    if (i >= 0) {
        store->entries[i] = store->entries[--store->count];
        memset(&store->entries[store->count], 0, sizeof store->entries[0]);
    }
    store->removes++;
    (void)pthread_mutex_unlock(&store->lock);
    return i >= 0 ? BRISK_OK : BRISK_ERR_NOT_FOUND;
}

static brisk_err store_load(void *ctx, const brisk_key *key, brisk_value **ret)
{
    fake_store *store = ctx;
    brisk_err err = store_enter(store);
    if (err != BRISK_OK) {
        return err;
    }
    int i = store_find(store, key);
    err = BRISK_ERR_NOT_FOUND;
    if (i >= 0) {
        err =
            brisk_value_copy(store->entries[i].text, strlen(store->entries[i].text) + 1, NULL, ret);
    }
    store->loads++;
    (void)pthread_mutex_unlock(&store->lock);
    return err;
}

static void store_init(fake_store *store)
{
    memset(store, 0, sizeof *store);
    store->base =
        (brisk_store){.load = store_load, .save = store_save, .remove = store_remove, .ctx = store};
    CHECK(pthread_mutex_init(&store->lock, NULL) == 0);
    CHECK(pthread_cond_init(&store->opened, NULL) == 0);
}

static void store_set_closed(fake_store *store, bool closed)
{
    (void)pthread_mutex_lock(&store->lock);
    store->closed = closed;
    (void)pthread_cond_broadcast(&store->opened);
    (void)pthread_mutex_unlock(&store->lock);
}

/* What the store has, or "". */
static const char *stored(fake_store *store, const char *name)
{
    static char text[32];
    brisk_key key = brisk_key_of(name, strlen(name));
    (void)pthread_mutex_lock(&store->lock);
    int i = store_find(store, &key);
    (void)snprintf(text, sizeof text, "%s", i >= 0 ? store->entries[i].text : "");
    (void)pthread_mutex_unlock(&store->lock);
    return text;
}

typedef struct fixture {
    fake_store store;
    fake_tier tier;
    brisk_cache *cache;
} fixture;

static void setup(fixture *f, const brisk_behind_opts *behind, brisk_write write)
{
    store_init(&f->store);
    fake_init(&f->tier, "tier", 0);
    brisk_tier *tiers[] = {&f->tier.base};
    brisk_cache_opts opts = {
        .tiers = tiers, .tier_count = 1, .store = &f->store.base, .write = write};
    if (behind != NULL) {
        opts.behind = *behind;
    }
    CHECK_OK(brisk_cache_create(&opts, &f->cache));
}

static brisk_err write_text(brisk_cache *cache, const char *name, const char *text,
                            const brisk_entry_opts *opts)
{
    brisk_key key = brisk_key_of(name, strlen(name));
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy(text, strlen(text) + 1, NULL, &value));
    brisk_err err = brisk_cache_write(cache, &key, value, opts);
    brisk_value_unref(value);
    return err;
}

static bool reads(brisk_cache *cache, const char *name, const char *text)
{
    brisk_key key = brisk_key_of(name, strlen(name));
    brisk_hit hit;
    if (!brisk_cache_get(cache, &key, 0, &hit)) {
        return text == NULL;
    }
    bool same = text != NULL && strcmp(brisk_value_data(hit.value), text) == 0;
    brisk_value_unref(hit.value);
    return same;
}

static void evict(fixture *f, const char *name)
{
    brisk_key key = brisk_key_of(name, strlen(name));
    CHECK_OK(f->tier.base.ops->remove(&f->tier.base, &key));
}

static brisk_cache_stats totals_of(brisk_cache *cache)
{
    brisk_cache_stats totals;
    brisk_cache_read_totals(cache, &totals);
    return totals;
}

/* --- through and aside ------------------------------------------------------------------------- */

static void test_aside_leaves_the_store_alone(void **state)
{
    (void)state;
    fixture f;
    setup(&f, NULL, BRISK_WRITE_DEFAULT);
    CHECK_OK(write_text(f.cache, "k", "v", NULL));
    CHECK(reads(f.cache, "k", "v"));
    CHECK_U64(f.store.saves, ==, 0);
    brisk_cache_destroy(f.cache);
}

static void test_through_saves_first(void **state)
{
    (void)state;
    fixture f;
    setup(&f, NULL, BRISK_WRITE_THROUGH);
    CHECK_OK(write_text(f.cache, "k", "old", NULL));
    CHECK(strcmp(stored(&f.store, "k"), "old") == 0 && reads(f.cache, "k", "old"));
    f.store.failures = 1;
    CHECK(write_text(f.cache, "k", "new", NULL) == BRISK_ERR_IO);
    CHECK(strcmp(stored(&f.store, "k"), "old") == 0 && reads(f.cache, "k", NULL));
    CHECK_OK(write_text(f.cache, "k", "new", NULL));
    CHECK(reads(f.cache, "k", "new"));
    brisk_key key = brisk_key_of("k", 1);
    f.store.failures = 1;
    CHECK(brisk_cache_erase(f.cache, &key, BRISK_WRITE_DEFAULT) == BRISK_ERR_IO);
    CHECK(strcmp(stored(&f.store, "k"), "new") == 0);
    CHECK_OK(brisk_cache_erase(f.cache, &key, BRISK_WRITE_DEFAULT));
    CHECK(stored(&f.store, "k")[0] == '\0' && reads(f.cache, "k", NULL));
    CHECK_OK(brisk_cache_erase(f.cache, &key, BRISK_WRITE_DEFAULT)); /* was not there */
    CHECK_OK(write_text(f.cache, "k", "aside", &(brisk_entry_opts){.write = BRISK_WRITE_ASIDE}));
    CHECK(stored(&f.store, "k")[0] == '\0' && reads(f.cache, "k", "aside"));
    brisk_cache_destroy(f.cache);
}

static void test_fetch_loads_and_keeps(void **state)
{
    (void)state;
    fixture f;
    setup(&f, NULL, BRISK_WRITE_THROUGH);
    CHECK_OK(write_text(f.cache, "k", "v", NULL));
    evict(&f, "k");
    brisk_key key = brisk_key_of("k", 1);
    for (int i = 0; i < 2; i++) {
        brisk_hit hit;
        CHECK_OK(brisk_cache_fetch(f.cache, &key, NULL, &hit));
        CHECK(strcmp(brisk_value_data(hit.value), "v") == 0);
        brisk_value_unref(hit.value);
    }
    CHECK_U64(f.store.loads, ==, 1);
    brisk_hit hit;
    brisk_key other = brisk_key_of("other", 5);
    CHECK(brisk_cache_fetch(f.cache, &other, NULL, &hit) == BRISK_ERR_NOT_FOUND);
    f.store.failures = 1;
    CHECK(brisk_cache_fetch(f.cache, &other, NULL, &hit) == BRISK_ERR_IO);
    brisk_cache_destroy(f.cache);
}

/* Two that write one key at once: afterwards cache and store agree, or the cache has nothing. */
typedef struct writer {
    pthread_t thread;
    brisk_cache *cache;
    char letter;
} writer;

static void *write_many(void *arg)
{
    const writer *self = arg;
    for (int i = 0; i < 2000; i++) {
        char text[8] = {self->letter, (char)('0' + i % 10), '\0'};
        CHECK_OK(write_text(self->cache, "k", text, NULL));
    }
    return NULL;
}

static void test_through_by_two_threads(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        fixture f;
        setup(&f, NULL, BRISK_WRITE_THROUGH);
        brisk_memory_tier_opts memory = {.bytes_max = 1 << 20, .shards = 1};
        brisk_tier *tier = NULL;
        CHECK_OK(brisk_memory_tier_create(&memory, &tier));
        brisk_cache *cache = NULL;
        CHECK_OK(brisk_cache_create(&(brisk_cache_opts){.tiers = &tier,
                                                        .tier_count = 1,
                                                        .store = &f.store.base,
                                                        .write = BRISK_WRITE_THROUGH},
                                    &cache));
        writer writers[2];
        for (int i = 0; i < 2; i++) {
            writers[i] = (writer){.cache = cache, .letter = (char)('a' + i)};
            CHECK(pthread_create(&writers[i].thread, NULL, write_many, &writers[i]) == 0);
        }
        for (int i = 0; i < 2; i++) {
            CHECK(pthread_join(writers[i].thread, NULL) == 0);
        }
        brisk_key key = brisk_key_of("k", 1);
        brisk_hit hit;
        if (brisk_cache_get(cache, &key, 0, &hit)) {
            CHECK(strcmp(brisk_value_data(hit.value), stored(&f.store, "k")) == 0);
            brisk_value_unref(hit.value);
        }
        brisk_cache_destroy(cache);
        brisk_cache_destroy(f.cache);
    }
}

/* --- behind ------------------------------------------------------------------------------------ */

static void test_behind_is_read_before_it_is_saved(void **state)
{
    (void)state;
    fixture f;
    setup(&f, NULL, BRISK_WRITE_BEHIND);
    store_set_closed(&f.store, true);
    CHECK_OK(write_text(f.cache, "k", "v1", NULL));
    CHECK(reads(f.cache, "k", "v1"));
    evict(&f, "k");
    CHECK(reads(f.cache, "k", "v1")); /* from the queue */
    brisk_key key = brisk_key_of("k", 1);
    brisk_hit hit;
    CHECK_OK(brisk_cache_fetch(f.cache, &key, NULL, &hit));
    brisk_value_unref(hit.value);
    CHECK_OK(brisk_cache_erase(f.cache, &key, BRISK_WRITE_DEFAULT));
    CHECK(reads(f.cache, "k", NULL));
    CHECK(brisk_cache_fetch(f.cache, &key, NULL, &hit) == BRISK_ERR_NOT_FOUND);
    CHECK_OK(write_text(f.cache, "k", "v2", NULL));
    CHECK(brisk_cache_flush(f.cache, 1000000) == BRISK_ERR_DEADLINE);
    CHECK(stored(&f.store, "k")[0] == '\0');
    store_set_closed(&f.store, false);
    CHECK_OK(brisk_cache_flush(f.cache, 10ull * SECOND));
    CHECK(strcmp(stored(&f.store, "k"), "v2") == 0);
    brisk_cache_stats totals = totals_of(f.cache);
    CHECK_U64(totals.behind_entries, ==, 0);
    CHECK_U64(totals.behind_bytes, ==, 0);
    CHECK_U64(totals.behind_lost, ==, 0);
    brisk_cache_destroy(f.cache);
}

/* Afterwards `key` is a miss, whatever waits; what waits is saved all the same. */
static void test_remove_hides_what_waits(void **state)
{
    (void)state;
    fixture f;
    setup(&f, NULL, BRISK_WRITE_BEHIND);
    store_set_closed(&f.store, true);
    CHECK_OK(write_text(f.cache, "k", "v", NULL));
    brisk_key key = brisk_key_of("k", 1);
    CHECK_OK(brisk_cache_remove(f.cache, &key));
    CHECK(reads(f.cache, "k", NULL));
    brisk_hit hit;
    CHECK_OK(brisk_cache_fetch(f.cache, &key, NULL, &hit)); /* the store is about to have it */
    brisk_value_unref(hit.value);
    store_set_closed(&f.store, false);
    CHECK_OK(brisk_cache_flush(f.cache, 10ull * SECOND));
    CHECK(strcmp(stored(&f.store, "k"), "v") == 0);
    brisk_cache_destroy(f.cache);
}

static void test_writes_of_one_key_become_one(void **state)
{
    (void)state;
    fixture f;
    setup(&f, NULL, BRISK_WRITE_BEHIND);
    store_set_closed(&f.store, true);
    char text[16];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(text, sizeof text, "v%d", i);
        CHECK_OK(write_text(f.cache, i % 2 != 0 ? "a" : "b", text, NULL));
    }
    store_set_closed(&f.store, false);
    CHECK_OK(brisk_cache_flush(f.cache, 10ull * SECOND));
    CHECK(strcmp(stored(&f.store, "a"), "v999") == 0);
    CHECK(strcmp(stored(&f.store, "b"), "v998") == 0);
    brisk_cache_stats totals = totals_of(f.cache);
    CHECK_U64(f.store.saves, <=, 4); /* one under way for each of the two, and what followed */
    CHECK_U64(totals.behind_coalesced, >=, 996);
    CHECK_U64(totals.behind_done, ==, f.store.saves);
    brisk_cache_destroy(f.cache);
}

/* Writes that came while an older one of the key was saved are still to be saved. */
typedef struct flusher {
    pthread_t thread;
    brisk_cache *cache;
    _Atomic bool done;
} flusher;

static void *flush(void *arg)
{
    flusher *self = arg;
    CHECK_OK(brisk_cache_flush(self->cache, 20ull * SECOND));
    atomic_store(&self->done, true);
    return NULL;
}

static void wait_for_call(fake_store *store, uint32_t saves)
{
    for (bool there = false; !there; (void)usleep(1000)) {
        (void)pthread_mutex_lock(&store->lock);
        there = store->waiting != 0 && store->saves == saves;
        (void)pthread_mutex_unlock(&store->lock);
    }
}

static void test_flush_waits_for_what_came_during_a_save(void **state)
{
    (void)state;
    fixture f;
    setup(&f, NULL, BRISK_WRITE_BEHIND);
    store_set_closed(&f.store, true);
    CHECK_OK(write_text(f.cache, "k", "v1", NULL));
    wait_for_call(&f.store, 0);
    CHECK_OK(write_text(f.cache, "k", "v2", NULL));
    flusher self = {.cache = f.cache};
    CHECK(pthread_create(&self.thread, NULL, flush, &self) == 0);
    (void)usleep(50000); /* it has begun: if not, the test shows nothing */
    CHECK_OK(write_text(f.cache, "k", "v3", NULL));
    (void)pthread_mutex_lock(&f.store.lock);
    f.store.passes = 1;
    (void)pthread_cond_broadcast(&f.store.opened);
    (void)pthread_mutex_unlock(&f.store.lock);
    wait_for_call(&f.store, 1);
    (void)usleep(50000);
    CHECK(!atomic_load(&self.done)); /* the store has v1 */
    store_set_closed(&f.store, false);
    CHECK(pthread_join(self.thread, NULL) == 0);
    CHECK(strcmp(stored(&f.store, "k"), "v3") == 0);
    brisk_cache_destroy(f.cache);
}

static void test_failed_writes_are_tried_again(void **state)
{
    (void)state;
    fixture f;
    setup(&f, &(brisk_behind_opts){.backoff_ns = 1000, .tries_max = 6}, BRISK_WRITE_BEHIND);
    f.store.failures = 5;
    CHECK_OK(write_text(f.cache, "k", "v", NULL));
    CHECK_OK(brisk_cache_flush(f.cache, 10ull * SECOND));
    CHECK(strcmp(stored(&f.store, "k"), "v") == 0);
    CHECK_U64(totals_of(f.cache).behind_retries, ==, 5);

    f.store.failures = 6;
    CHECK_OK(write_text(f.cache, "k", "lost", NULL));
    CHECK_OK(brisk_cache_flush(f.cache, 10ull * SECOND));
    CHECK(strcmp(stored(&f.store, "k"), "v") == 0);
    CHECK_U64(totals_of(f.cache).behind_lost, ==, 1);
    CHECK(reads(f.cache, "k", NULL)); /* not what the store does not have */
    brisk_key key = brisk_key_of("k", 1);
    brisk_hit hit;
    CHECK_OK(brisk_cache_fetch(f.cache, &key, NULL, &hit));
    CHECK(strcmp(brisk_value_data(hit.value), "v") == 0);
    brisk_value_unref(hit.value);
    brisk_cache_destroy(f.cache);
}

static void *open_later(void *arg)
{
    (void)usleep(20000);
    store_set_closed(arg, false);
    return NULL;
}

static void test_full_queue(void **state)
{
    (void)state;
    fixture f;
    setup(&f, &(brisk_behind_opts){.entries_max = 2}, BRISK_WRITE_BEHIND);
    store_set_closed(&f.store, true);
    CHECK_OK(write_text(f.cache, "a", "1", NULL));
    CHECK_OK(write_text(f.cache, "b", "1", NULL));
    CHECK(write_text(f.cache, "c", "1", NULL) == BRISK_ERR_FULL);
    CHECK(reads(f.cache, "c", NULL)); /* nothing has changed */
    CHECK_OK(write_text(f.cache, "b", "2", NULL));
    CHECK_U64(totals_of(f.cache).behind_full, ==, 1);
    store_set_closed(&f.store, false);
    brisk_cache_destroy(f.cache);
    CHECK(strcmp(stored(&f.store, "a"), "1") == 0 && strcmp(stored(&f.store, "b"), "2") == 0);

    fixture g; /* with patience */
    setup(&g, &(brisk_behind_opts){.entries_max = 1, .full_wait_ns = 20ull * SECOND},
          BRISK_WRITE_BEHIND);
    store_set_closed(&g.store, true);
    CHECK_OK(write_text(g.cache, "a", "1", NULL));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, open_later, &g.store) == 0);
    CHECK_OK(write_text(g.cache, "b", "1", NULL));
    CHECK(pthread_join(thread, NULL) == 0);
    brisk_cache_destroy(g.cache);
    CHECK(strcmp(stored(&g.store, "b"), "1") == 0);

    fixture h; /* by bytes */
    setup(&h, &(brisk_behind_opts){.bytes_max = 1}, BRISK_WRITE_BEHIND);
    CHECK(write_text(h.cache, "a", "1", NULL) == BRISK_ERR_FULL);
    brisk_cache_destroy(h.cache);
}

static void test_destroy_flushes(void **state)
{
    (void)state;
    fixture f;
    setup(&f, &(brisk_behind_opts){.backoff_ns = 1000}, BRISK_WRITE_BEHIND);
    f.store.failures = 3;
    char name[16];
    for (int i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof name, "k%d", i % 50);
        CHECK_OK(write_text(f.cache, name, name, NULL));
    }
    brisk_cache_destroy(f.cache);
    CHECK_U64(f.store.count, ==, 50);

    fixture g; /* but not for ever */
    setup(&g, &(brisk_behind_opts){.flush_ns = 10000000, .tries_max = UINT32_MAX},
          BRISK_WRITE_BEHIND);
    g.store.failures = UINT32_MAX;
    CHECK_OK(write_text(g.cache, "k", "v", NULL));
    brisk_cache_destroy(g.cache);
    CHECK_U64(g.store.count, ==, 0);
}

/* Mixed strategies: what waits never comes after what was written through. */
static void test_through_after_behind(void **state)
{
    (void)state;
    fixture f;
    setup(&f, NULL, BRISK_WRITE_BEHIND);
    for (int i = 0; i < 200; i++) {
        char text[16];
        CHECK_OK(write_text(f.cache, "k", "behind", NULL));
        (void)snprintf(text, sizeof text, "through%d", i);
        CHECK_OK(write_text(f.cache, "k", text, &(brisk_entry_opts){.write = BRISK_WRITE_THROUGH}));
        CHECK_OK(brisk_cache_flush(f.cache, 10ull * SECOND));
        CHECK(strcmp(stored(&f.store, "k"), text) == 0);
        CHECK(reads(f.cache, "k", text));
    }
    brisk_cache_destroy(f.cache);
}

/* What a kill costs: only what waited, and of that everything. */
static void test_loss_on_kill(void **state)
{
    (void)state;
    _Atomic uint32_t *shared =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        static fixture f;
        setup(&f, NULL, BRISK_WRITE_BEHIND);
        for (uint32_t i = 0;; i++) {
            char name[16];
            (void)snprintf(name, sizeof name, "k%u", i % 60);
            if (write_text(f.cache, name, name, NULL) != BRISK_OK) {
                _exit(1);
            }
            brisk_cache_stats totals = totals_of(f.cache);
            shared[0] = i + 1;
            shared[1] = (uint32_t)totals.behind_done;
            shared[2] = (uint32_t)totals.behind_coalesced;
            shared[3] = (uint32_t)totals.behind_entries;
        }
    }
    while (atomic_load(&shared[0]) < 20000) {
        (void)usleep(1000);
    }
    CHECK(kill(child, SIGKILL) == 0);
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    uint32_t written = shared[0];
    uint32_t done = shared[1] + shared[2];
    print_message("killed after %u writes: %u saved or replaced, %u waiting\n", written, done,
                  shared[3]);
    CHECK_U64(written - done, <=, 60 + 1); /* at most one for each key */
    (void)munmap(shared, 4096);
}

static void test_forked_child_writes_at_once(void **state)
{
    (void)state;
    fixture f;
    setup(&f, NULL, BRISK_WRITE_BEHIND);
    CHECK_OK(write_text(f.cache, "k", "parent", NULL));
    CHECK_OK(brisk_cache_flush(f.cache, 10ull * SECOND));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        bool fine = write_text(f.cache, "k", "child", NULL) == BRISK_OK &&
                    strcmp(stored(&f.store, "k"), "child") == 0 && reads(f.cache, "k", "child");
        brisk_cache_destroy(f.cache);
        _exit(fine ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK_U64(WEXITSTATUS(status), ==, 0);
    brisk_cache_destroy(f.cache);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    bool through = false;
    for (uint64_t fail_after = 0; !through; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        fake_store store;
        fake_tier tier;
        store_init(&store);
        fake_init(&tier, "tier", 0);
        brisk_tier *tiers[] = {&tier.base};
        brisk_cache *cache = NULL;
        brisk_cache_opts opts = {.tiers = tiers,
                                 .tier_count = 1,
                                 .store = &store.base,
                                 .tiers_behind = true,
                                 .write = BRISK_WRITE_BEHIND,
                                 .behind = {.entries_max = 8},
                                 .alloc = &fault.base};
        brisk_err err = brisk_cache_create(&opts, &cache);
        CHECK((cache != NULL) == (err == BRISK_OK));
        if (cache != NULL) {
            store_set_closed(&store, true); /* the fault allocator is no thread's but ours */
            err = write_text(cache, "k", "v", NULL);
            CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
            CHECK(reads(cache, "k", err == BRISK_OK ? "v" : NULL));
            through = fault.fail_after <= fail_after;
            store_set_closed(&store, false);
            brisk_cache_destroy(cache);
            CHECK(strcmp(stored(&store, "k"), err == BRISK_OK ? "v" : "") == 0);
        }
        CHECK_U64(fault.bytes_held, ==, 0);
    }
}

/* --- tiers behind ------------------------------------------------------------------------------ */

static brisk_cache *layered(const char *path, uint64_t memory_bytes)
{
    brisk_tier *tiers[2];
    brisk_memory_tier_opts memory = {.bytes_max = memory_bytes, .shards = 1};
    brisk_disk_tier_opts disk = {.path = path, .bytes_max = 16 << 20, .segment_bytes = 1 << 20};
    CHECK_OK(brisk_memory_tier_create(&memory, &tiers[0]));
    CHECK_OK(brisk_disk_tier_open(&disk, &tiers[1], NULL));
    brisk_cache *cache = NULL;
    brisk_cache_opts opts = {.tiers = tiers, .tier_count = 2, .tiers_behind = true};
    CHECK_OK(brisk_cache_create(&opts, &cache));
    return cache;
}

static void put_tagged(brisk_cache *cache, const char *name, const char *text, const char *tag)
{
    brisk_tag tags = {.bytes = tag, .size = strlen(tag)};
    CHECK_OK(write_text(
        cache, name, text,
        &(brisk_entry_opts){.tags = &tags, .tag_count = 1, .meta = "meta", .meta_size = 4}));
}

/* Far more than memory holds: whatever it has lost is in the queue or on disk. */
static void test_tiers_behind(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_cache *cache = layered(dir->path, 1 << 17);
    char name[16];
    char text[64];
    for (int i = 0; i < 6000; i++) {
        (void)snprintf(name, sizeof name, "k%d", i % 3000);
        (void)snprintf(text, sizeof text, "%060d", i);
        put_tagged(cache, name, text, i % 2 != 0 ? "odd" : "even");
        CHECK(reads(cache, name, text));
        if (i > 300) {
            (void)snprintf(name, sizeof name, "k%d", (i - 300) % 3000);
            (void)snprintf(text, sizeof text, "%060d", i - 300);
            CHECK(reads(cache, name, text));
        }
    }
    brisk_key key = brisk_key_of("k7", 2);
    brisk_hit hit;
    CHECK(brisk_cache_get(cache, &key, 0, &hit));
    CHECK_U64(hit.meta_size, ==, 4);
    CHECK(memcmp(hit.meta, "meta", 4) == 0);
    brisk_value_unref(hit.value);
    CHECK_OK(brisk_cache_flush(cache, 20ull * SECOND));
    CHECK_OK(brisk_cache_invalidate_tag(cache, "odd", 3));
    brisk_cache_destroy(cache);
    cache = layered(dir->path, 1 << 20);
    for (int i = 3000; i < 6000; i++) {
        (void)snprintf(name, sizeof name, "k%d", i % 3000);
        (void)snprintf(text, sizeof text, "%060d", i);
        CHECK(reads(cache, name, i % 2 != 0 ? NULL : text));
    }
    CHECK_OK(brisk_cache_remove(cache, &key));
    CHECK(reads(cache, "k7", NULL));
    CHECK_OK(brisk_cache_clear(cache));
    CHECK(reads(cache, "k8", NULL));
    brisk_cache_destroy(cache);
}

/* Kill -9: what was acknowledged is there or a miss, never an older one. */
static void test_tiers_behind_killed(void **state)
{
    (void)state;
    enum { KEYS = 64, ROUNDS = 12 };
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    uint64_t seed = check_seed();
    _Atomic uint32_t *acked =
        mmap(NULL, KEYS * sizeof *acked, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    _Atomic uint32_t *begun =
        mmap(NULL, KEYS * sizeof *begun, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(acked != MAP_FAILED && begun != MAP_FAILED);
    uint32_t hits = 0;
    for (int round = 0; round < ROUNDS; round++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            brisk_cache *cache = layered(dir->path, 1 << 20);
            uint64_t random = seed + (uint64_t)round;
            for (;;) {
                uint32_t i = (uint32_t)(check_random(&random) % KEYS);
                char name[16];
                char text[16];
                (void)snprintf(name, sizeof name, "k%u", i);
                uint32_t next = ++begun[i];
                (void)snprintf(text, sizeof text, "%u", next);
                if (write_text(cache, name, text, NULL) != BRISK_OK) {
                    _exit(1);
                }
                acked[i] = next;
            }
        }
        (void)usleep((useconds_t)(10000 + check_random(&seed) % 30000));
        CHECK(kill(child, SIGKILL) == 0);
        int status;
        CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
        brisk_cache *cache = layered(dir->path, 1 << 20);
        for (uint32_t i = 0; i < KEYS; i++) {
            char name[16];
            (void)snprintf(name, sizeof name, "k%u", i);
            brisk_key key = brisk_key_of(name, strlen(name));
            brisk_hit hit;
            if (brisk_cache_get(cache, &key, 0, &hit)) {
                uint32_t got = (uint32_t)strtoul(brisk_value_data(hit.value), NULL, 10);
                CHECK_U64(got, >=, acked[i]);
                CHECK_U64(got, <=, begun[i]);
                brisk_value_unref(hit.value);
                hits++;
            }
            acked[i] = begun[i];
        }
        CHECK_OK(brisk_cache_clear(cache));
        brisk_cache_destroy(cache);
    }
    print_message("%u of %u keys were there after a kill\n", hits, KEYS * ROUNDS);
    (void)munmap(acked, KEYS * sizeof *acked);
    (void)munmap(begun, KEYS * sizeof *begun);
}

/* --- threads ------------------------------------------------------------------------------------ */

typedef struct worker {
    pthread_t thread;
    brisk_cache *cache;
    uint64_t seed;
    int id;
} worker;

/* A miss, or `text`. */
static void check_read(brisk_cache *cache, const char *name, const char *text)
{
    brisk_key key = brisk_key_of(name, strlen(name));
    brisk_hit hit;
    if (!brisk_cache_get(cache, &key, 0, &hit)) {
        return;
    }
    if (strcmp(brisk_value_data(hit.value), text) != 0) {
        (void)fprintf(stderr, "%s: '%s' from %s instead of '%s'\n", name,
                      (const char *)brisk_value_data(hit.value), hit.tier_name, text);
        abort();
    }
    brisk_value_unref(hit.value);
}

/* Each thread has keys of its own, so it knows what they must be. */
static void *work(void *arg)
{
    worker *self = arg;
    uint32_t last[8] = {0};
    for (uint32_t i = 1; i < 3000; i++) {
        uint32_t k = (uint32_t)(check_random(&self->seed) % 8);
        char name[16];
        char text[16];
        (void)snprintf(name, sizeof name, "t%d-%u", self->id, k);
        if (check_random(&self->seed) % 4 == 0) {
            brisk_key key = brisk_key_of(name, strlen(name));
            CHECK_OK(brisk_cache_erase(self->cache, &key, BRISK_WRITE_DEFAULT));
            last[k] = 0;
        } else {
            (void)snprintf(text, sizeof text, "%u", i);
            CHECK_OK(write_text(self->cache, name, text, NULL));
            last[k] = i;
        }
        k = (uint32_t)(check_random(&self->seed) % 8);
        (void)snprintf(name, sizeof name, "t%d-%u", self->id, k);
        (void)snprintf(text, sizeof text, "%u", last[k]);
        CHECK(reads(self->cache, name, last[k] != 0 ? text : NULL) ||
              reads(self->cache, name, NULL));
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    uint64_t seed = check_seed();
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    fake_store store;
    store_init(&store);
    brisk_tier *tiers[2];
    brisk_memory_tier_opts memory = {.bytes_max = 1 << 16, .shards = 1};
    brisk_disk_tier_opts disk = {
        .path = dir->path, .bytes_max = 16 << 20, .segment_bytes = 1 << 20};
    CHECK_OK(brisk_memory_tier_create(&memory, &tiers[0]));
    CHECK_OK(brisk_disk_tier_open(&disk, &tiers[1], NULL));
    brisk_cache *cache = NULL;
    brisk_cache_opts opts = {.tiers = tiers,
                             .tier_count = 2,
                             .tiers_behind = true,
                             .store = &store.base,
                             .write = BRISK_WRITE_BEHIND,
                             .behind = {.full_wait_ns = 20ull * SECOND, .entries_max = 16}};
    CHECK_OK(brisk_cache_create(&opts, &cache));
    worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.cache = cache, .seed = seed + (uint64_t)i, .id = i};
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
    }
    CHECK_OK(brisk_cache_flush(cache, 60ull * SECOND));
    for (int i = 0; i < THREADS; i++) {
        for (int k = 0; k < 8; k++) {
            char name[16];
            (void)snprintf(name, sizeof name, "t%d-%d", i, k);
            const char *text = stored(&store, name);
            check_read(cache, name, text);
        }
    }
    brisk_cache_destroy(cache);
}

int main(void)
{
    brisk_log_set_level(BRISK_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aside_leaves_the_store_alone),
        cmocka_unit_test(test_through_saves_first),
        cmocka_unit_test(test_fetch_loads_and_keeps),
        cmocka_unit_test(test_through_by_two_threads),
        cmocka_unit_test(test_behind_is_read_before_it_is_saved),
        cmocka_unit_test(test_remove_hides_what_waits),
        cmocka_unit_test(test_writes_of_one_key_become_one),
        cmocka_unit_test(test_flush_waits_for_what_came_during_a_save),
        cmocka_unit_test(test_failed_writes_are_tried_again),
        cmocka_unit_test(test_full_queue),
        cmocka_unit_test(test_destroy_flushes),
        cmocka_unit_test(test_through_after_behind),
        cmocka_unit_test(test_loss_on_kill),
        cmocka_unit_test(test_forked_child_writes_at_once),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_tiers_behind),
        cmocka_unit_test(test_tiers_behind_killed),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
