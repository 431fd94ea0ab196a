/*
 * test_warm.c -- sources of keys, warming, and precomputing when idle.
 */
#include "cache/loader_test.h"

#include <brisk/warm.h>

#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_popular, brisk_popular_destroy)
BRISK_DEFINE_CLEANUP(brisk_idle, brisk_idle_destroy)

/* --- sources ------------------------------------------------------------------------------------- */

enum { NUMBERS_MAX = 1000 };

/* The keys "0", "1" ... */
typedef struct numbers {
    char text[NUMBERS_MAX][8];
    brisk_key keys[NUMBERS_MAX];
    brisk_key_list list;
} numbers;

static void numbers_init(numbers *self, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        int size = snprintf(self->text[i], sizeof self->text[i], "%u", i);
        self->keys[i] = brisk_key_of(self->text[i], (size_t)size);
    }
    self->list = (brisk_key_list){.keys = self->keys, .count = count};
}

static brisk_err next_of_tag(void *ctx, const brisk_tag *of, bool first, brisk_key *ret)
{
    const char *tag = of->bytes;
    uint32_t *at = ctx;
    *at = first ? 0 : *at + 1;
    if (strcmp(tag, "broken") == 0) {
        return BRISK_ERR_IO;
    }
    if (strcmp(tag, "empty") == 0 || *at == 2) {
        return BRISK_ERR_NOT_FOUND;
    }
    *ret = brisk_key_of(*at == 0 ? tag : "both", 4);
    return BRISK_OK;
}

static void test_keys_of_tags(void **unused)
{
    (void)unused;
    uint32_t at = 99;
    const brisk_tag tags[] = {{"empty", 5}, {"aaaa", 4}, {"empty", 5}, {"bbbb", 4}};
    brisk_key_tags source = {.tags = tags, .count = 4, .next = next_of_tag, .ctx = &at};
    brisk_keys keys = brisk_keys_of_tags(&source);
    static const char *const want[] = {"aaaa", "both", "bbbb", "both"};
    brisk_key key;
    for (int i = 0; i < 4; i++) {
        CHECK_OK(keys.next(keys.ctx, &key));
        assert_memory_equal(key.bytes, want[i], 4);
    }
    CHECK(keys.next(keys.ctx, &key) == BRISK_ERR_NOT_FOUND);
    CHECK(keys.next(keys.ctx, &key) == BRISK_ERR_NOT_FOUND);
    const brisk_tag broken[] = {{"broken", 6}};
    source = (brisk_key_tags){.tags = broken, .count = 1, .next = next_of_tag, .ctx = &at};
    CHECK(keys.next(keys.ctx, &key) == BRISK_ERR_IO);
}

/* A history in which key i comes about 1 / (i + 1) as often as key 0. */
typedef struct history {
    numbers *numbers;
    uint64_t state;
    uint32_t left;
    uint32_t counts[NUMBERS_MAX];
    double total;
    brisk_err end;
} history;

static brisk_err next_of_history(void *ctx, brisk_key *ret)
{
    history *self = ctx;
    if (self->left == 0) {
        return self->end != BRISK_OK ? self->end : BRISK_ERR_NOT_FOUND;
    }
    self->left--;
    double at = (double)(check_random(&self->state) >> 11) * 0x1p-53 * self->total;
    uint32_t i = 0;
    while (i + 1 < NUMBERS_MAX && at >= 1.0 / (i + 1)) {
        at -= 1.0 / (i + 1);
        i++;
    }
    self->counts[i]++;
    *ret = self->numbers->keys[i];
    return BRISK_OK;
}

static void history_init(history *self, numbers *all, uint32_t length)
{
    numbers_init(all, NUMBERS_MAX);
    *self = (history){.numbers = all, .state = check_seed(), .left = length};
    for (uint32_t i = 0; i < NUMBERS_MAX; i++) {
        self->total += 1.0 / (i + 1);
    }
}

static void test_popular_keys(void **unused)
{
    (void)unused;
    static numbers all;
    static history past;
    static const uint32_t counters[] = {NUMBERS_MAX, 200, 1};
    enum { LENGTH = 50000, TOP = 20 };
    for (size_t c = 0; c < 3; c++) {
        history_init(&past, &all, LENGTH);
        BRISK_CLEANUP(brisk_popular_destroy) brisk_popular *popular = NULL;
        CHECK_OK(brisk_popular_create(&(brisk_popular_opts){.history = {next_of_history, &past},
                                                            .top = TOP,
                                                            .counters = counters[c]},
                                      &popular));
        uint64_t before = UINT64_MAX;
        uint32_t rank = 0;
        brisk_key key;
        uint64_t count;
        bool seen[NUMBERS_MAX] = {false};
        for (; brisk_popular_read(popular, rank, &key, &count); rank++) {
            char text[8] = {0};
            memcpy(text, key.bytes, key.size);
            uint32_t i = (uint32_t)strtoul(text, NULL, 10);
            CHECK(count <= before && !seen[i]);
            CHECK_U64(count, >=, past.counts[i]);
            CHECK_U64(count - past.counts[i], <=,
                      counters[c] == NUMBERS_MAX ? 0 : LENGTH / counters[c]);
            seen[i] = true;
            before = count;
        }
        CHECK(rank == (counters[c] == 1 ? 1 : TOP));
        for (uint32_t i = 0; i < NUMBERS_MAX && counters[c] == NUMBERS_MAX; i++) {
            CHECK(seen[i] || past.counts[i] <= before); /* nobody more popular was left out */
        }
        for (uint32_t i = 0; i < 8 && counters[c] != 1; i++) {
            CHECK(seen[i]); /* each more than 50,000 / 200 times */
        }
        for (int round = 0; round < 2; round++) {
            brisk_keys keys = brisk_keys_of_popular(popular);
            uint32_t given = 0;
            while (keys.next(keys.ctx, &key) == BRISK_OK) {
                given++;
            }
            CHECK(given == rank);
        }
    }
}

static void test_popular_checks_and_may_fail(void **unused)
{
    (void)unused;
    static numbers all;
    static history past;
    history_init(&past, &all, 10);
    past.end = BRISK_ERR_CORRUPT;
    brisk_popular *popular = NULL;
    brisk_popular_opts opts = {.history = {next_of_history, &past}};
    CHECK(brisk_popular_create(&opts, &popular) == BRISK_ERR_CORRUPT);
    CHECK(brisk_popular_create(NULL, &popular) == BRISK_ERR_INVALID);
    CHECK(brisk_popular_create(&(brisk_popular_opts){0}, &popular) == BRISK_ERR_INVALID);
    opts.counters = UINT32_MAX;
    CHECK(brisk_popular_create(&opts, &popular) == BRISK_ERR_INVALID);
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        history_init(&past, &all, 100);
        opts = (brisk_popular_opts){
            .history = {next_of_history, &past}, .top = 2, .counters = 5, .alloc = &fault.base};
        err = brisk_popular_create(&opts, &popular);
        CHECK((popular != NULL) == (err == BRISK_OK));
        brisk_popular_destroy(popular);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

/* --- warming ------------------------------------------------------------------------------------- */

static void number_or_error(origin *self, const brisk_key *key, brisk_load *ret)
{
    char text[8] = {0};
    memcpy(text, key->bytes, key->size < 7 ? key->size : 7);
    uint64_t number = strtoull(text, NULL, 10);
    CHECK_OK(brisk_value_copy(&number, sizeof number, self->alloc, &ret->value));
}

typedef struct watcher {
    _Atomic uint32_t told;
    uint64_t last_items;
    bool cancel;
} watcher;

static void watch(void *ctx, const brisk_warm_report *so_far)
{
    watcher *self = ctx;
    CHECK(so_far->items >= self->last_items);
    CHECK(so_far->items == so_far->loaded + so_far->present + so_far->none + so_far->failed);
    self->last_items = so_far->items;
    self->told++;
}

static bool is_cancelled(void *ctx)
{
    return ((watcher *)ctx)->cancel && ((watcher *)ctx)->last_items >= 5;
}

static void test_warm_a_list(void **unused)
{
    (void)unused;
    static numbers all;
    numbers_init(&all, 100);
    scene s;
    scene_init(&s, (brisk_loader_opts){0});
    s.origin.on_load = number_or_error;
    watcher seen = {0};
    brisk_warm_report report;
    for (int round = 0; round < 2; round++) {
        all.list.at = round == 0 ? 50 : 0;
        seen.last_items = 0;
        brisk_warm_opts opts = {.loader = s.loader,
                                .keys = brisk_keys_of_list(&all.list),
                                .progress = watch,
                                .ctx = &seen,
                                .progress_every = 10,
                                .clock = &s.clock.base};
        CHECK_OK(brisk_warm_run(&opts, &report));
        CHECK(report.ended == BRISK_OK && report.items == (round == 0 ? 50 : 100));
        CHECK(report.loaded == 50 && report.present == (round == 0 ? 0 : 50));
        CHECK(report.bytes == 400 && report.failed == 0 && report.parallel == 1);
    }
    CHECK(seen.told == 5 + 1 + 10 + 1);
    CHECK(s.origin.loads == 100);
    scene_deinit(&s);
}

static void test_warming_ends_early(void **unused)
{
    (void)unused;
    static numbers all;
    scene s;
    scene_init(&s, (brisk_loader_opts){0});
    s.origin.on_load = number_or_error;
    s.origin.takes_ns = SECOND;
    brisk_warm_report report;
    watcher seen = {.cancel = true};
    const struct {
        brisk_warm_opts opts;
        brisk_err ended;
        uint64_t items;
    } cases[] = {
        {{.items_max = 7}, BRISK_ERR_LIMIT, 7},
        {{.bytes_max = 24}, BRISK_ERR_LIMIT, 3},
        {{.deadline_ns = 4}, BRISK_ERR_DEADLINE, 4},
        {{.cancelled = is_cancelled, .progress = watch, .ctx = &seen}, BRISK_ERR_CANCELLED, 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        numbers_init(&all, 100);
        CHECK_OK(brisk_cache_clear(s.cache));
        brisk_warm_opts opts = cases[i].opts;
        opts.loader = s.loader;
        opts.keys = brisk_keys_of_list(&all.list);
        opts.clock = &s.clock.base;
        if (opts.deadline_ns != 0) {
            opts.deadline_ns = brisk_clock_now_ns(opts.clock) + opts.deadline_ns * SECOND;
        }
        CHECK_OK(brisk_warm_run(&opts, &report));
        assert_int_equal(report.ended, cases[i].ended);
        CHECK_U64(report.items, ==, cases[i].items);
        CHECK_U64(report.elapsed_ns, ==, cases[i].items * SECOND);
    }
    scene_deinit(&s);
}

static void test_errors_are_reported(void **unused)
{
    (void)unused;
    static numbers all;
    numbers_init(&all, 30);
    all.keys[0] = brisk_key_of("a\nb\x01"
                               "c",
                               5);
    scene s;
    scene_init(&s, (brisk_loader_opts){0});
    s.origin.err = BRISK_ERR_IO;
    brisk_warm_report report;
    brisk_warm_opts opts = {.loader = s.loader,
                            .keys = brisk_keys_of_list(&all.list),
                            .failed_max = 20,
                            .clock = &s.clock.base};
    CHECK_OK(brisk_warm_run(&opts, &report));
    CHECK(report.failed == 20 && report.ended == BRISK_ERR_LIMIT);
    CHECK(report.error_count == BRISK_WARM_ERRORS_MAX);
    assert_string_equal(report.errors[0].key, "a?b?c");
    assert_string_equal(report.errors[1].key, "1");
    assert_string_equal(report.errors[1].text, "the origin says no");
    CHECK(report.errors[1].err == BRISK_ERR_IO);
    s.origin.err = BRISK_ERR_NOT_FOUND;
    CHECK_OK(brisk_warm_run(&opts, &report));
    CHECK(report.none == 10 && report.failed == 0 && report.ended == BRISK_OK);
    /* A source that fails. */
    uint32_t at = 0;
    const brisk_tag tags[] = {{"aaaa", 4}, {"broken", 6}};
    brisk_key_tags source = {.tags = tags, .count = 2, .next = next_of_tag, .ctx = &at};
    opts.keys = brisk_keys_of_tags(&source);
    CHECK_OK(brisk_warm_run(&opts, &report));
    CHECK(report.items == 2 && report.ended == BRISK_ERR_IO);
    CHECK(brisk_warm_run(NULL, &report) == BRISK_ERR_INVALID);
    CHECK(brisk_warm_run(&(brisk_warm_opts){.keys = opts.keys}, &report) == BRISK_ERR_INVALID);
    opts.parallel = 65;
    CHECK(brisk_warm_run(&opts, &report) == BRISK_ERR_INVALID);
    scene_deinit(&s);
}

static brisk_err warm_mine(void *ctx, const brisk_key *key, bool *present, uint64_t *bytes,
                           brisk_errinfo *info)
{
    (void)ctx;
    *present = key->size == 1;
    *bytes = 100;
    return key->size == 3 ? brisk_errinfo_set(info, BRISK_ERR_FULL, "mine is full") : BRISK_OK;
}

static void test_a_callback_instead_of_a_loader(void **unused)
{
    (void)unused;
    static numbers all;
    numbers_init(&all, 102);
    brisk_warm_report report;
    brisk_warm_opts opts = {.warm = warm_mine, .keys = brisk_keys_of_list(&all.list)};
    CHECK_OK(brisk_warm_run(&opts, &report));
    CHECK(report.present == 10 && report.loaded == 90 && report.failed == 2);
    assert_string_equal(report.errors[0].text, "mine is full");
}

typedef struct thread_pool {
    brisk_background base;
    pthread_t ids[64];
    _Atomic uint32_t count;
    struct {
        void (*fn)(void *arg);
        void *arg;
    } jobs[64];
} thread_pool;

typedef struct pool_job {
    void (*fn)(void *arg);
    void *arg;
} pool_job;

static void *run_pool_job(void *ctx)
{
    pool_job job = *(pool_job *)ctx;
    free(ctx);
    job.fn(job.arg);
    return NULL;
}

static bool pool_run(void *ctx, void (*fn)(void *arg), void *arg)
{
    thread_pool *pool = ctx;
    pool_job *job = calloc(1, sizeof *job);
    *job = (pool_job){fn, arg};
    uint32_t i = atomic_fetch_add(&pool->count, 1);
    return pthread_create(&pool->ids[i], NULL, run_pool_job, job) == 0;
}

static void pool_join(thread_pool *pool)
{
    for (uint32_t i = 0; i < pool->count; i++) {
        CHECK(pthread_join(pool->ids[i], NULL) == 0);
    }
    pool->count = 0;
}

static void test_warm_with_helpers(void **unused)
{
    (void)unused;
    static numbers all;
    numbers_init(&all, NUMBERS_MAX);
    BRISK_CLEANUP(brisk_cache_destroy) brisk_cache *cache = make_cache(NULL, NULL);
    origin source = {.on_load = number_or_error};
    BRISK_CLEANUP(brisk_loader_destroy) brisk_loader *loader = NULL;
    CHECK_OK(brisk_loader_create(
        &(brisk_loader_opts){.cache = cache, .load = origin_load, .ctx = &source}, &loader));
    thread_pool pool = {.base = {.run = pool_run, .ctx = &pool}};
    watcher seen = {0};
    brisk_warm_report report;
    brisk_warm_opts opts = {.loader = loader,
                            .keys = brisk_keys_of_list(&all.list),
                            .background = &pool.base,
                            .parallel = 6,
                            .progress = watch,
                            .ctx = &seen};
    CHECK_OK(brisk_warm_run(&opts, &report));
    CHECK(report.loaded == NUMBERS_MAX && report.parallel >= 1 && report.parallel <= 6);
    CHECK(source.loads == NUMBERS_MAX);
    pool_join(&pool);
    /* Helpers that never come, and some that come late, hold nothing up. */
    hand_queue queue;
    hand_init(&queue);
    queue.max = 2;
    all.list.at = 0;
    opts.background = &queue.base;
    seen.last_items = 0;
    CHECK_OK(brisk_warm_run(&opts, &report));
    /* An answer is not kept when a key of the same stamp was put while it was loaded. */
    CHECK_U64(report.present + report.loaded, ==, NUMBERS_MAX);
    CHECK_U64(report.present, >, NUMBERS_MAX / 10 * 9);
    CHECK(report.parallel == 1 && queue.count == 2);
    hand_run(&queue);
}

static void test_warming_without_memory(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){0});
    s.origin.on_load = number_or_error;
    static numbers all;
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        numbers_init(&all, 20);
        hand_queue queue;
        hand_init(&queue);
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_warm_report report;
        brisk_warm_opts opts = {.loader = s.loader,
                                .keys = brisk_keys_of_list(&all.list),
                                .background = &queue.base,
                                .alloc = &fault.base,
                                .clock = &s.clock.base};
        err = brisk_warm_run(&opts, &report);
        err = err == BRISK_OK ? report.ended : err;
        hand_run(&queue);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
    scene_deinit(&s);
}

/* --- precomputing when idle ------------------------------------------------------------------------ */

typedef struct mood {
    _Atomic int32_t idle_for; /* so many answers "idle" */
} mood;

static bool is_idle(void *ctx)
{
    return atomic_fetch_sub(&((mood *)ctx)->idle_for, 1) > 0;
}

static brisk_idle *make_idle(scene *s, mood *m, const brisk_background *background,
                             uint32_t entries)
{
    brisk_idle *idle = NULL;
    CHECK_OK(brisk_idle_create(&(brisk_idle_opts){.loader = s->loader,
                                                  .is_idle = is_idle,
                                                  .ctx = m,
                                                  .background = background,
                                                  .entries_max = entries,
                                                  .wait_max_ns = 10 * SECOND,
                                                  .clock = &s->clock.base},
                               &idle));
    return idle;
}

static brisk_idle_stats idle_stats(brisk_idle *idle)
{
    brisk_idle_stats stats;
    brisk_idle_read_stats(idle, &stats);
    return stats;
}

static void test_precompute_only_when_idle(void **unused)
{
    (void)unused;
    static numbers all;
    numbers_init(&all, 20);
    scene s;
    scene_init(&s, (brisk_loader_opts){0});
    s.origin.on_load = number_or_error;
    mood m = {0};
    BRISK_CLEANUP(brisk_idle_destroy) brisk_idle *idle = make_idle(&s, &m, NULL, 8);
    CHECK(brisk_idle_tend(idle) == 0);
    for (int i = 0; i < 5; i++) {
        CHECK_OK(brisk_idle_add(idle, &all.keys[i]));
        CHECK_OK(brisk_idle_add(idle, &all.keys[i])); /* waits already */
    }
    CHECK(idle_stats(idle).waiting == 5 && idle_stats(idle).doubles == 5);
    CHECK(brisk_idle_tend(idle) == 0 && s.origin.loads == 0); /* busy */
    m.idle_for = 4;                                           /* one for tend, three loads */
    CHECK(brisk_idle_tend(idle) == 3 && s.origin.loads == 3);
    CHECK(brisk_idle_drop(idle, &all.keys[3]) && !brisk_idle_drop(idle, &all.keys[3]));
    CHECK_OK(brisk_idle_add(idle, &all.keys[0]));
    m.idle_for = 100;
    CHECK(brisk_idle_tend(idle) == 2 && s.origin.loads == 4);
    CHECK(idle_stats(idle).loaded == 4 && idle_stats(idle).present == 1);
    /* Full: the oldest goes.  Stale: whatever has waited too long. */
    for (int i = 10; i < 20; i++) {
        CHECK_OK(brisk_idle_add(idle, &all.keys[i]));
        fake_clock_advance(&s.clock, 2 * SECOND);
    }
    CHECK(idle_stats(idle).dropped_full == 2 && idle_stats(idle).waiting == 8);
    m.idle_for = 100;
    CHECK(brisk_idle_tend(idle) == 5); /* 15 .. 19 */
    CHECK(idle_stats(idle).dropped_stale == 3);
    s.origin.err = BRISK_ERR_IO;
    CHECK_OK(brisk_idle_add(idle, &all.keys[10]));
    m.idle_for = 100;
    CHECK(brisk_idle_tend(idle) == 1 && idle_stats(idle).failed == 1);
    CHECK_OK(brisk_idle_add(idle, &all.keys[11])); /* left over */
    CHECK(brisk_idle_create(NULL, &idle) == BRISK_ERR_INVALID);
    brisk_idle_destroy(NULL);
    brisk_idle_destroy(BRISK_STEAL(idle));
    scene_deinit(&s);
}

static void test_precompute_in_the_background(void **unused)
{
    (void)unused;
    static numbers all;
    numbers_init(&all, 200);
    scene s;
    scene_init(&s, (brisk_loader_opts){0});
    s.origin.on_load = number_or_error;
    mood m = {.idle_for = 1000};
    hand_queue queue;
    hand_init(&queue);
    queue.max = 0;
    brisk_idle *idle = make_idle(&s, &m, &queue.base, 0);
    CHECK_OK(brisk_idle_add(idle, &all.keys[0]));
    CHECK(brisk_idle_tend(idle) == 0); /* no room */
    queue.max = 4;
    CHECK(brisk_idle_tend(idle) == 1 && brisk_idle_tend(idle) == 0 && queue.count == 1);
    CHECK_OK(brisk_idle_add(idle, &all.keys[1]));
    hand_run(&queue);
    CHECK(s.origin.loads == 2); /* one job, one after another */
    brisk_idle_destroy(idle);
    thread_pool pool = {.base = {.run = pool_run, .ctx = &pool}};
    idle = make_idle(&s, &m, &pool.base, 0);
    for (int i = 0; i < 200; i++) {
        CHECK_OK(brisk_idle_add(idle, &all.keys[i]));
        if (i % 10 == 0 && pool.count < 60) {
            (void)brisk_idle_tend(idle);
        }
    }
    brisk_idle_destroy(idle); /* waits for what runs */
    pool_join(&pool);
    scene_deinit(&s);
}

static void test_idle_without_memory(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){0});
    s.origin.on_load = number_or_error;
    mood m = {.idle_for = 100};
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_idle *idle = NULL;
        err = brisk_idle_create(
            &(brisk_idle_opts){
                .loader = s.loader, .is_idle = is_idle, .ctx = &m, .alloc = &fault.base},
            &idle);
        err = err == BRISK_OK ? brisk_idle_add(idle, &s.key) : err;
        brisk_idle_destroy(idle);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
    scene_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_of_tags),
        cmocka_unit_test(test_popular_keys),
        cmocka_unit_test(test_popular_checks_and_may_fail),
        cmocka_unit_test(test_warm_a_list),
        cmocka_unit_test(test_warming_ends_early),
        cmocka_unit_test(test_errors_are_reported),
        cmocka_unit_test(test_a_callback_instead_of_a_loader),
        cmocka_unit_test(test_warm_with_helpers),
        cmocka_unit_test(test_warming_without_memory),
        cmocka_unit_test(test_precompute_only_when_idle),
        cmocka_unit_test(test_precompute_in_the_background),
        cmocka_unit_test(test_idle_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
