/*
 * test_loader.c -- what a loader answers, by the clock: fresh, early, stale, expired, negative.
 */
#include "cache/loader_test.h"

#include <math.h>

#include "support/fault_alloc.h"

static void test_a_miss_loads_and_a_hit_does_not(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 60 * SECOND});
    s.origin.takes_ns = 5000;
    s.origin.answer.opts =
        (brisk_entry_opts){.flags = BRISK_ENTRY_LOCAL, .meta = "etag", .meta_size = 4};
    for (int round = 0; round < 2; round++) {
        brisk_loaded got;
        CHECK_OK(brisk_loader_get(s.loader, &s.key, NULL, &got));
        CHECK_U64(number_of(got.hit.value), ==, 1);
        assert_int_equal(got.from, round == 0 ? BRISK_LOADED_HERE : BRISK_LOADED_CACHE);
        CHECK_U64(got.hit.meta_size, ==, 4);
        assert_memory_equal(got.hit.meta, "etag", 4);
        CHECK_U64(got.hit.flags, ==, BRISK_ENTRY_LOCAL);
        CHECK_U64(got.hit.cost_ns, ==, 5000);
        CHECK_U64(got.hit.expires_at_ns, ==, atomic_load(&s.clock.wall_ns) + 60 * SECOND);
        brisk_value_unref(got.hit.value);
    }
    CHECK(s.origin.loads == 1);
    CHECK(stats_of(&s).loads == 1 && stats_of(&s).load_ns == 5000);
    CHECK(brisk_loader_cache(s.loader) == s.cache);
    scene_deinit(&s);
}

static void test_without_a_ttl_answers_stay(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){.stale_ns = SECOND});
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    fake_clock_advance(&s.clock, 1000000 * SECOND);
    s.origin.number = 2;
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_CACHE);
    CHECK_GET(&s, &(brisk_loader_call){.flags = BRISK_CALL_RELOAD}, 2, BRISK_LOADED_HERE);
    CHECK_GET(&s, NULL, 2, BRISK_LOADED_CACHE);
    scene_deinit(&s);
}

static void test_ttl_of_the_load_and_its_end(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 60 * SECOND, .refresh_beta = -1});
    s.origin.answer.ttl_ns = 3 * SECOND;
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    s.origin.number = 2;
    fake_clock_advance(&s.clock, 3 * SECOND - 1);
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_CACHE);
    fake_clock_advance(&s.clock, 1);
    CHECK_GET(&s, NULL, 2, BRISK_LOADED_HERE);
    scene_deinit(&s);
}

/* A brisk_ttl chooses the life, and is told what each load found. */
static void test_a_ttl_that_is_chosen(void **unused)
{
    (void)unused;
    for (int changes = 0; changes < 2; changes++) {
        brisk_ttl *ttl;
        scene s;
        brisk_ttl_opts opts = {.min_ns = 2 * SECOND, .clock = &s.clock.base};
        CHECK_OK(brisk_ttl_create(&opts, &ttl)); /* which reads the clock later only */
        scene_init(&s, (brisk_loader_opts){.ttl_ns = 1, .ttl = ttl, .refresh_beta = -1});
        for (int i = 0; i < 10; i++) {
            s.origin.number += changes != 0;
            brisk_loaded got;
            CHECK_OK(brisk_loader_get(s.loader, &s.key, NULL, &got));
            CHECK(got.from == BRISK_LOADED_HERE);
            brisk_value_unref(got.hit.value);
            uint64_t life = got.hit.expires_at_ns - atomic_load(&s.clock.wall_ns);
            CHECK(life >= 2 * SECOND && life <= 86400 * SECOND);
            fake_clock_advance(&s.clock, life - 1);
            CHECK_GET(&s, NULL, s.origin.number, BRISK_LOADED_CACHE);
            fake_clock_advance(&s.clock, 1);
        }
        brisk_ttl_stats stats;
        brisk_ttl_read_stats(ttl, &stats);
        CHECK(stats.loads == 10 && stats.first == 1);
        CHECK(stats.changed == (changes != 0 ? 9 : 0));
        CHECK(stats.unchanged == (changes != 0 ? 0 : 9));
        /* What the load says goes first. */
        s.origin.answer.ttl_ns = 5 * SECOND;
        CHECK_GET(&s, NULL, s.origin.number, BRISK_LOADED_HERE);
        fake_clock_advance(&s.clock, 5 * SECOND);
        CHECK_GET(&s, NULL, s.origin.number, BRISK_LOADED_HERE);
        scene_deinit(&s);
        brisk_ttl_destroy(ttl);
    }
}

static void test_stale_while_one_refreshes_in_the_background(void **unused)
{
    (void)unused;
    scene s;
    memset(&s, 0, sizeof s);
    hand_queue queue;
    hand_init(&queue);
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 10 * SECOND,
                                       .stale_ns = 5 * SECOND,
                                       .refresh_beta = -1,
                                       .background = &queue.base});
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    s.origin.number = 2;
    fake_clock_advance(&s.clock, 10 * SECOND);
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_STALE);
    fake_clock_advance(&s.clock, 5 * SECOND - 1);
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_STALE);
    CHECK(queue.count == 1); /* exactly one refresher */
    CHECK(s.origin.loads == 1);
    hand_run(&queue);
    CHECK(s.origin.had_stale && s.origin.stale_number == 1);
    CHECK_GET(&s, NULL, 2, BRISK_LOADED_CACHE);
    /* Beyond the window nobody gets it. */
    s.origin.number = 3;
    fake_clock_advance(&s.clock, 15 * SECOND);
    CHECK_GET(&s, NULL, 3, BRISK_LOADED_HERE);
    brisk_loader_stats stats = stats_of(&s);
    CHECK(stats.stale == 2 && stats.refreshes == 1 && stats.early == 0 && stats.loads == 3);
    scene_deinit(&s);
}

static void test_stale_without_a_background(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 10 * SECOND, .stale_ns = 5 * SECOND});
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    s.origin.number = 2;
    fake_clock_advance(&s.clock, 12 * SECOND);
    s.origin.err = BRISK_ERR_IO;
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_STALE_ERROR); /* it tried */
    s.origin.err = BRISK_OK;
    CHECK_GET(&s, NULL, 2, BRISK_LOADED_HERE);
    CHECK(stats_of(&s).refreshes == 2);
    scene_deinit(&s);
}

static void test_a_full_background_leaves_refreshes_out(void **unused)
{
    (void)unused;
    scene s;
    hand_queue queue;
    hand_init(&queue);
    queue.max = 0;
    scene_init(&s, (brisk_loader_opts){
                       .ttl_ns = 10 * SECOND, .stale_ns = 5 * SECOND, .background = &queue.base});
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    fake_clock_advance(&s.clock, 12 * SECOND);
    s.origin.number = 2;
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_STALE);
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_STALE);
    CHECK(stats_of(&s).refresh_drops == 2 && s.origin.loads == 1);
    /* A call with an argument refreshes by itself: the argument is its own. */
    CHECK_GET(&s, &(brisk_loader_call){.arg = &s}, 2, BRISK_LOADED_HERE);
    scene_deinit(&s);
}

static void test_a_queued_refresh_is_taken_over_by_who_needs_it_now(void **unused)
{
    (void)unused;
    scene s;
    hand_queue queue;
    hand_init(&queue);
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 10 * SECOND,
                                       .stale_ns = 5 * SECOND,
                                       .refresh_beta = -1,
                                       .background = &queue.base});
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    fake_clock_advance(&s.clock, 12 * SECOND);
    s.origin.number = 2;
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_STALE);
    CHECK(queue.count == 1);
    /* The only thread: waiting for the queue would be for ever. */
    CHECK_GET(&s, &(brisk_loader_call){.flags = BRISK_CALL_FRESH}, 2, BRISK_LOADED_HERE);
    hand_run(&queue);
    CHECK(s.origin.loads == 2);
    scene_deinit(&s);
}

static void test_stale_if_error(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 10 * SECOND,
                                       .stale_ns = 2 * SECOND,
                                       .stale_if_error_ns = 60 * SECOND,
                                       .refresh_beta = -1});
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    s.origin.err = BRISK_ERR_IO;
    fake_clock_advance(&s.clock, 30 * SECOND);
    brisk_loaded got;
    brisk_errinfo info;
    CHECK_OK(brisk_loader_get(s.loader, &s.key, &(brisk_loader_call){.info = &info}, &got));
    CHECK(got.from == BRISK_LOADED_STALE_ERROR && got.err == BRISK_ERR_IO);
    assert_string_equal(info.text, "the origin says no");
    brisk_value_unref(got.hit.value);
    CHECK_GET_ERR(&s, &(brisk_loader_call){.flags = BRISK_CALL_FRESH}, BRISK_ERR_IO);
    CHECK_GET(&s, &(brisk_loader_call){.flags = BRISK_CALL_CACHED}, 1, BRISK_LOADED_STALE);
    fake_clock_advance(&s.clock, 40 * SECOND);
    CHECK_GET_ERR(&s, NULL, BRISK_ERR_IO); /* 70 s and no more */
    /* "There is none" is an answer, not an error. */
    s.origin.err = BRISK_OK;
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    s.origin.err = BRISK_ERR_NOT_FOUND;
    fake_clock_advance(&s.clock, 30 * SECOND);
    CHECK_GET_ERR(&s, NULL, BRISK_ERR_NOT_FOUND);
    s.origin.err = BRISK_ERR_IO;
    CHECK_GET_ERR(&s, NULL, BRISK_ERR_IO); /* and the old answer is gone */
    scene_deinit(&s);
}

static void test_negative_answers(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 60 * SECOND,
                                       .negative_ttl_ns = 5 * SECOND,
                                       .stale_ns = 100 * SECOND});
    s.origin.err = BRISK_ERR_NOT_FOUND;
    CHECK_GET_ERR(&s, NULL, BRISK_ERR_NOT_FOUND);
    CHECK_GET_ERR(&s, NULL, BRISK_ERR_NOT_FOUND);
    CHECK(s.origin.loads == 1);
    fake_clock_advance(&s.clock, 5 * SECOND);
    s.origin.err = BRISK_OK;
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    brisk_loader_stats stats = stats_of(&s);
    CHECK(stats.negative == 2 && stats.load_errors == 0);
    scene_deinit(&s);
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 60 * SECOND}); /* not kept */
    s.origin.err = BRISK_ERR_NOT_FOUND;
    CHECK_GET_ERR(&s, NULL, BRISK_ERR_NOT_FOUND);
    CHECK_GET_ERR(&s, NULL, BRISK_ERR_NOT_FOUND);
    CHECK(s.origin.loads == 2);
    scene_deinit(&s);
}

static void test_errors_are_repeated_for_a_while(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){.error_ttl_ns = 3 * SECOND,
                                       .ttl_ns = 100 * SECOND,
                                       .stale_if_error_ns = 100 * SECOND});
    s.origin.err = BRISK_ERR_IO;
    CHECK_GET_ERR(&s, NULL, BRISK_ERR_IO);
    CHECK_GET_ERR(&s, NULL, BRISK_ERR_IO);
    CHECK(s.origin.loads == 1 && stats_of(&s).error_hits == 1);
    CHECK_GET_ERR(&s, &(brisk_loader_call){.flags = BRISK_CALL_RELOAD}, BRISK_ERR_IO);
    CHECK(s.origin.loads == 2);
    fake_clock_advance(&s.clock, 3 * SECOND);
    CHECK_GET_ERR(&s, NULL, BRISK_ERR_IO);
    CHECK(s.origin.loads == 3);
    s.origin.err = BRISK_OK;
    CHECK_OK(brisk_loader_remove(s.loader, &s.key)); /* forgets the error, too */
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    /* A remembered error gives the old answer without asking the origin. */
    fake_clock_advance(&s.clock, 150 * SECOND);
    s.origin.err = BRISK_ERR_IO;
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_STALE_ERROR);
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_STALE_ERROR);
    CHECK(s.origin.loads == 5);
    brisk_loader_outdate(s.loader);
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_STALE_ERROR);
    CHECK(s.origin.loads == 6);
    scene_deinit(&s);
}

/* More errors than places: some are forgotten, none belongs to another key. */
static void test_many_errors(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){.error_ttl_ns = 3 * SECOND});
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 1000; i++) {
            s.key = brisk_key_of(&i, sizeof i);
            s.origin.err = i % 2 == 0 ? BRISK_ERR_IO : BRISK_ERR_PERMISSION;
            CHECK_GET_ERR(&s, NULL, i % 2 == 0 ? BRISK_ERR_IO : BRISK_ERR_PERMISSION);
        }
    }
    CHECK(s.origin.loads > 1000 && s.origin.loads < 2000);
    scene_deinit(&s);
}

static void test_unchanged_renews(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 10 * SECOND,
                                       .stale_if_error_ns = 90 * SECOND,
                                       .refresh_beta = -1});
    s.origin.answer.opts = (brisk_entry_opts){.meta = "etag", .meta_size = 4};
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    s.origin.answer.unchanged = true;
    s.origin.answer.opts = (brisk_entry_opts){0};
    fake_clock_advance(&s.clock, 20 * SECOND);
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    fake_clock_advance(&s.clock, 9 * SECOND);
    brisk_loaded got;
    CHECK_OK(brisk_loader_get(s.loader, &s.key, NULL, &got));
    CHECK(got.from == BRISK_LOADED_CACHE && got.hit.meta_size == 4);
    assert_memory_equal(got.hit.meta, "etag", 4);
    brisk_value_unref(got.hit.value);
    CHECK(s.origin.loads == 2);
    CHECK_OK(brisk_loader_remove(s.loader, &s.key));
    CHECK_GET_ERR(&s, NULL, BRISK_ERR_INVALID); /* unchanged from what? */
    scene_deinit(&s);
}

static void count_release(void *ctx)
{
    ++*(uint32_t *)ctx;
}

static void answer_too_much_meta(origin *self, const brisk_key *key, brisk_load *ret)
{
    (void)key;
    uint64_t number = 9;
    CHECK_OK(brisk_value_copy(&number, sizeof number, self->alloc, &ret->value));
    ret->opts.meta_size = BRISK_LOAD_META_MAX + 1;
    ret->opts.meta = self; /* large enough to be read, if it were */
}

static void test_answers_that_are_not_stored(void **unused)
{
    (void)unused;
    uint32_t released = 0;
    scene s;
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 10 * SECOND});
    s.origin.answer.no_store = true;
    s.origin.answer.release = count_release;
    s.origin.answer.release_ctx = &released;
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    CHECK(released == 2);
    s.origin.on_load = answer_too_much_meta;
    brisk_errinfo info;
    CHECK_GET_ERR(&s, &(brisk_loader_call){.info = &info}, BRISK_ERR_INVALID);
    assert_string_equal(info.text, "load gave too much meta data");
    CHECK_GET_ERR(&s, &(brisk_loader_call){.flags = BRISK_CALL_CACHED}, BRISK_ERR_NOT_FOUND);
    scene_deinit(&s);
}

/* The user's meta data may be anything, the loader's mark too, of any size. */
static void test_meta_data_comes_back_as_it_was(void **unused)
{
    (void)unused;
    uint64_t state = check_seed();
    for (int round = 0; round < 400; round++) {
        scene s;
        bool windows = round % 2 == 0;
        scene_init(&s, (brisk_loader_opts){.ttl_ns = 10 * SECOND,
                                           .refresh_beta = -1,
                                           .stale_ns = windows ? SECOND : 0});
        unsigned char meta[BRISK_LOAD_META_MAX];
        for (size_t i = 0; i < sizeof meta; i++) {
            meta[i] = (unsigned char)check_random(&state);
        }
        uint32_t size = (uint32_t)(check_random(&state) % (sizeof meta + 1));
        size = round == 0 ? sizeof meta : size;
        if (round % 3 != 0) {
            memcpy(meta, (const unsigned char[]){0xb7, 'L', 'd', 1}, 4);
        }
        s.origin.answer.opts = (brisk_entry_opts){.meta = meta, .meta_size = size};
        for (int i = 0; i < 2; i++) {
            brisk_loaded got;
            CHECK_OK(brisk_loader_get(s.loader, &s.key, NULL, &got));
            CHECK_U64(got.hit.meta_size, ==, size);
            assert_memory_equal(got.hit.meta, meta, size);
            CHECK_U64(got.hit.expires_at_ns, ==, atomic_load(&s.clock.wall_ns) + 10 * SECOND);
            brisk_value_unref(got.hit.value);
        }
        CHECK(s.origin.loads == 1);
        scene_deinit(&s);
    }
}

/*
 * With t left and a load that costs c, the chance of a refresh is P(-ln x >= t / (c beta)) =
 * exp(-t / (c beta)).  40,000 draws: five standard deviations are below 0.0125.
 */
static void test_the_chance_of_an_early_refresh(void **unused)
{
    (void)unused;
    enum { DRAWS = 40000 };
    static const double betas[] = {0.5, 1, 2};
    for (size_t b = 0; b < 3; b++) {
        for (uint64_t left_ms = 0; left_ms <= 4000; left_ms += 500) {
            scene s;
            hand_queue queue;
            hand_init(&queue);
            queue.max = 0; /* refreshes are counted, and do not happen */
            scene_init(&s, (brisk_loader_opts){.ttl_ns = 100 * SECOND,
                                               .refresh_beta = betas[b],
                                               .seed = check_seed() + left_ms,
                                               .background = &queue.base});
            s.origin.takes_ns = SECOND;
            CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
            fake_clock_advance(&s.clock, 100 * SECOND - left_ms * 1000000 - (left_ms == 0));
            for (int i = 0; i < DRAWS; i++) {
                CHECK_GET(&s, NULL, 1, BRISK_LOADED_CACHE);
            }
            double share = (double)stats_of(&s).early / DRAWS;
            double want = exp(-(double)left_ms / (1000 * betas[b]));
            CHECK(fabs(share - want) < 0.0125);
            scene_deinit(&s);
        }
    }
}

static void test_an_early_refresh_without_a_background(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 100 * SECOND, .refresh_beta = 1e9});
    s.origin.takes_ns = SECOND;
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    s.origin.number = 2;
    CHECK_GET(&s, &(brisk_loader_call){.flags = BRISK_CALL_CACHED}, 1, BRISK_LOADED_CACHE);
    CHECK_GET(&s, NULL, 2, BRISK_LOADED_HERE);
    s.origin.err = BRISK_ERR_IO;
    CHECK_GET(&s, NULL, 2, BRISK_LOADED_CACHE); /* fresh still, whatever the refresh says */
    CHECK(stats_of(&s).early == 2);
    scene_deinit(&s);
}

/* An answer never gets older than it may; a clock that jumps back does not break anything. */
static void test_the_clock_jumps_back(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 10 * SECOND,
                                       .stale_ns = 5 * SECOND,
                                       .error_ttl_ns = SECOND,
                                       .negative_ttl_ns = SECOND});
    s.origin.takes_ns = 1000;
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    s.origin.number = 2;
    atomic_fetch_sub(&s.clock.wall_ns, 3600 * SECOND);
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_CACHE);
    fake_clock_advance(&s.clock, 3611 * SECOND);
    CHECK_GET(&s, NULL, 2, BRISK_LOADED_HERE); /* in the stale window: refreshed by the call */
    atomic_store(&s.clock.wall_ns, 5);         /* 1970: sums and differences in order */
    CHECK_GET(&s, NULL, 2, BRISK_LOADED_CACHE);
    CHECK_OK(brisk_loader_remove(s.loader, &s.key));
    CHECK_GET(&s, NULL, 2, BRISK_LOADED_HERE);
    atomic_store(&s.clock.wall_ns, UINT64_MAX - 5);
    CHECK_GET(&s, NULL, 2, BRISK_LOADED_HERE);
    CHECK_GET(&s, NULL, 2, BRISK_LOADED_CACHE); /* for ever, which is not long from here */
    scene_deinit(&s);
}

static void test_put_and_remove(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 10 * SECOND, .stale_ns = SECOND});
    uint64_t number = 77;
    brisk_value *value;
    CHECK_OK(brisk_value_copy(&number, sizeof number, NULL, &value));
    brisk_loader_put(s.loader, &s.key, value, 0, &(brisk_entry_opts){.meta = "m", .meta_size = 1});
    CHECK_GET(&s, NULL, 77, BRISK_LOADED_CACHE);
    brisk_loader_put(s.loader, &s.key, value, 3 * SECOND, NULL);
    fake_clock_advance(&s.clock, 5 * SECOND);
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    brisk_value_unref(value);
    s.origin.number = 2;
    CHECK_OK(brisk_loader_remove(s.loader, &s.key));
    CHECK_GET(&s, NULL, 2, BRISK_LOADED_HERE);
    scene_deinit(&s);
}

/* --- invalidation -------------------------------------------------------------------------------- */

static const brisk_tag fruit = {"fruit", 5};

static void change_meanwhile(origin *self, const brisk_key *key, brisk_load *ret)
{
    scene *s = self->ctx;
    uint64_t number = atomic_load(&self->number);
    ret->opts.tags = &fruit;
    ret->opts.tag_count = 1;
    CHECK_OK(brisk_value_copy(&number, sizeof number, NULL, &ret->value));
    switch (number) {
    case 1: CHECK_OK(brisk_cache_invalidate_tag(s->cache, "fruit", 5)); break;
    case 2: CHECK_OK(brisk_cache_invalidate_prefix(s->cache, "k", 1)); break;
    case 3: CHECK_OK(brisk_cache_remove(s->cache, key)); break;
    default: break;
    }
}

/* What changes while it is loaded is answered once and not kept, however it was changed. */
static void test_changes_during_a_load_are_noticed(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 10 * SECOND});
    s.origin.on_load = change_meanwhile;
    s.origin.ctx = &s;
    for (uint64_t i = 1; i <= 4; i++) {
        s.origin.number = i;
        CHECK_GET(&s, NULL, i, BRISK_LOADED_HERE);
    }
    CHECK_GET(&s, NULL, 4, BRISK_LOADED_CACHE);
    CHECK_OK(brisk_cache_invalidate_tag(s.cache, "fruit", 5));
    CHECK_GET(&s, NULL, 4, BRISK_LOADED_HERE);
    scene_deinit(&s);
}

static void test_outdated_answers_instead_of_errors(void **unused)
{
    (void)unused;
    for (int wanted = 0; wanted < 2; wanted++) {
        scene s;
        scene_init(&s,
                   (brisk_loader_opts){.ttl_ns = 10 * SECOND,
                                       .stale_if_error_ns = 20 * SECOND,
                                       .flags = wanted != 0 ? BRISK_LOADER_OUTDATED_IF_ERROR : 0});
        s.origin.answer.opts =
            (brisk_entry_opts){.tags = &fruit, .tag_count = 1, .meta = "e", .meta_size = 1};
        CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
        brisk_loader_call tagged = {.tags = &fruit, .tag_count = 1};
        CHECK_GET(&s, &tagged, 1, BRISK_LOADED_CACHE);
        CHECK_OK(brisk_cache_invalidate_tag(s.cache, "fruit", 5));
        s.origin.err = BRISK_ERR_IO;
        if (wanted != 0) {
            brisk_loaded got;
            CHECK_OK(brisk_loader_get(s.loader, &s.key, NULL, &got));
            CHECK(got.from == BRISK_LOADED_STALE_ERROR && got.hit.stale && got.hit.meta_size == 1);
            brisk_value_unref(got.hit.value);
            fake_clock_advance(&s.clock, 29 * SECOND);
            CHECK_GET(&s, NULL, 1, BRISK_LOADED_STALE_ERROR);
            fake_clock_advance(&s.clock, SECOND);
        }
        CHECK_GET_ERR(&s, NULL, BRISK_ERR_IO);
        s.origin.err = BRISK_OK;
        s.origin.number = 2;
        CHECK_GET(&s, NULL, 2, BRISK_LOADED_HERE);
        CHECK_GET(&s, NULL, 2, BRISK_LOADED_CACHE);
        scene_deinit(&s);
    }
}

static void test_options_are_checked(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_cache_destroy) brisk_cache *cache = make_cache(NULL, NULL);
    brisk_loader *loader = NULL;
    CHECK(brisk_loader_create(NULL, &loader) == BRISK_ERR_INVALID);
    CHECK(brisk_loader_create(&(brisk_loader_opts){.cache = cache}, &loader) == BRISK_ERR_INVALID);
    CHECK(brisk_loader_create(&(brisk_loader_opts){.load = origin_load}, &loader) ==
          BRISK_ERR_INVALID);
    CHECK(loader == NULL);
    brisk_loader_destroy(NULL);
}

/* --- leases ------------------------------------------------------------------------------------ */

typedef struct fake_lease {
    brisk_lease base;
    brisk_err err;
    uint32_t asked, released, conflicts; /* so many conflicts first */
    scene *at;
    /* What another process stores before its lease ends: nothing, 55, "there is none", or
     * something that has no life left. */
    enum lease_stores { STORES_NOTHING, STORES_VALUE, STORES_NONE, STORES_OLD } other;
} fake_lease;

static brisk_err lease_acquire(void *ctx, const brisk_key *key, uint64_t ttl_ns)
{
    fake_lease *self = ctx;
    CHECK(ttl_ns == 10 * SECOND);
    self->asked++;
    if (self->asked <= self->conflicts) {
        if (self->asked == self->conflicts && self->other != STORES_NOTHING) {
            uint64_t number = 55;
            brisk_value *value;
            CHECK_OK(brisk_value_copy(&number, sizeof number, NULL, &value));
            unsigned char old[BRISK_LOADER_META_BYTES] = {0xb7, 'L', 'd', 1, 1};
            brisk_entry_opts opts = {
                .flags = self->other == STORES_NONE ? BRISK_ENTRY_NEGATIVE : 0,
                .meta = old,
                .meta_size = self->other == STORES_OLD ? sizeof old : 0,
            };
            brisk_cache_put(self->at->cache, key, value, &opts);
            brisk_value_unref(value);
        }
        return BRISK_ERR_CONFLICT;
    }
    return self->err;
}

static void lease_release(void *ctx, const brisk_key *key)
{
    (void)key;
    ((fake_lease *)ctx)->released++;
}

static void test_leases(void **unused)
{
    (void)unused;
    static const struct {
        brisk_err err;
        uint32_t conflicts;
        enum lease_stores other;
        uint32_t loads, released;
        uint64_t number; /* 0: NOT_FOUND */
    } cases[] = {
        {BRISK_OK, 0, STORES_NOTHING, 1, 1, 1},       {BRISK_ERR_IO, 0, STORES_NOTHING, 1, 0, 1},
        {BRISK_OK, 2, STORES_NOTHING, 1, 1, 1},       {BRISK_OK, 2, STORES_VALUE, 0, 0, 55},
        {BRISK_OK, 2, STORES_NONE, 0, 0, 0},          {BRISK_OK, 2, STORES_OLD, 1, 1, 1},
        {BRISK_OK, 1000000, STORES_NOTHING, 1, 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scene s;
        fake_lease lease = {
            .base = {.acquire = lease_acquire, .release = lease_release, .ctx = &lease},
            .err = cases[i].err,
            .conflicts = cases[i].conflicts,
            .other = cases[i].other,
            .at = &s,
        };
        scene_init(&s, (brisk_loader_opts){.lease = &lease.base, .lease_wait_ns = 20000000});
        brisk_loaded got;
        brisk_err err = brisk_loader_get(s.loader, &s.key, NULL, &got);
        CHECK(err == (cases[i].number != 0 ? BRISK_OK : BRISK_ERR_NOT_FOUND));
        if (err == BRISK_OK) {
            CHECK_U64(number_of(got.hit.value), ==, cases[i].number);
            brisk_value_unref(got.hit.value);
        }
        CHECK_U64(s.origin.loads, ==, cases[i].loads);
        CHECK_U64(lease.released, ==, cases[i].released);
        CHECK_U64(stats_of(&s).lease_waits, ==, cases[i].conflicts != 0);
        scene_deinit(&s);
    }
}

/* --- no memory ---------------------------------------------------------------------------------- */

static brisk_err use_with(const brisk_alloc *alloc)
{
    BRISK_CLEANUP(brisk_cache_destroy) brisk_cache *cache = make_cache(NULL, NULL);
    fake_clock clock;
    fake_clock_init(&clock, SECOND);
    origin source = {.clock = &clock, .number = 1, .alloc = alloc};
    hand_queue queue;
    hand_init(&queue);
    BRISK_CLEANUP(brisk_loader_destroy) brisk_loader *loader = NULL;
    brisk_loader_opts opts = {
        .cache = cache,
        .load = origin_load,
        .ctx = &source,
        .ttl_ns = 10 * SECOND,
        .stale_ns = SECOND,
        .error_ttl_ns = SECOND,
        .background = &queue.base,
        .clock = &clock.base,
        .alloc = alloc,
    };
    brisk_err err = brisk_loader_create(&opts, &loader);
    brisk_err worst = err;
    for (int i = 0; i < 6 && err == BRISK_OK; i++) {
        brisk_key key = brisk_key_of("key", 3);
        brisk_loaded got;
        source.err = i == 0 ? BRISK_ERR_IO : BRISK_OK; /* remembered, if there is memory */
        brisk_err got_err = brisk_loader_get(loader, &key, NULL, &got);
        if (got_err == BRISK_OK) {
            CHECK_U64(number_of(got.hit.value), ==, 1);
            brisk_value_unref(got.hit.value);
        } else {
            CHECK(got_err == BRISK_ERR_NOMEM || got_err == BRISK_ERR_IO);
            worst = got_err == BRISK_ERR_NOMEM ? got_err : worst;
        }
        fake_clock_advance(&clock, i == 3 ? 10 * SECOND : i == 1 ? SECOND : 0);
    }
    brisk_loader_stats stats = {0};
    if (err == BRISK_OK) {
        brisk_loader_read_stats(loader, &stats);
    }
    hand_run(&queue);
    return stats.refresh_drops != 0 ? BRISK_ERR_NOMEM : worst;
}

static void test_every_allocation_may_fail(void **unused)
{
    (void)unused;
    uint32_t failures = 0;
    uint32_t fine = 0;
    for (uint64_t fail_after = 0; fail_after < 40; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_err err = use_with(&fault.base);
        CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
        CHECK_U64(fault.bytes_held, ==, 0);
        failures += err == BRISK_ERR_NOMEM;
        fine += err == BRISK_OK;
    }
    CHECK(failures >= 5 && fine >= 10);
}

/* --- a model ------------------------------------------------------------------------------------ */

/*
 * Random steps on a few keys.  The origin counts up; the model knows when each number was loaded.
 * An answer must be the newest stored one, no older than its window allows, and remove is final.
 */
static void test_random_steps_against_a_model(void **unused)
{
    (void)unused;
    enum { KEYS = 4, STEPS = 20000, TTL = 10, STALE = 6, ERROR = 20 };
    uint64_t state = check_seed();
    scene s;
    hand_queue queue;
    hand_init(&queue);
    scene_init(&s, (brisk_loader_opts){.ttl_ns = TTL * SECOND,
                                       .stale_ns = STALE * SECOND,
                                       .stale_if_error_ns = ERROR * SECOND,
                                       .background = &queue.base});
    struct {
        uint64_t number; /* 0: nothing */
        uint64_t at;
    } model[KEYS] = {0};
    uint64_t now = 0;
    for (int step = 0; step < STEPS; step++) {
        uint32_t k = (uint32_t)(check_random(&state) % KEYS);
        s.key = brisk_key_of(&k, sizeof k);
        uint64_t seconds = check_random(&state) % 8;
        s.origin.err = check_random(&state) % 3 == 0 ? BRISK_ERR_IO : BRISK_OK;
        s.origin.number++;
        switch (check_random(&state) % 32) {
        case 0:
            CHECK_OK(brisk_loader_remove(s.loader, &s.key));
            model[k].number = 0;
            break;
        case 1:
        case 2:
        case 3:
        case 4:
            fake_clock_advance(&s.clock, seconds * SECOND);
            now += seconds;
            break;
        default: {
            brisk_loaded got;
            uint32_t before = s.origin.loads;
            uint64_t age = now - model[k].at;
            brisk_err err = brisk_loader_get(s.loader, &s.key, NULL, &got);
            bool has = model[k].number != 0;
            if (has && age < TTL + STALE) {
                CHECK(err == BRISK_OK && number_of(got.hit.value) == model[k].number);
                assert_int_equal(got.from, age < TTL ? BRISK_LOADED_CACHE : BRISK_LOADED_STALE);
                CHECK(s.origin.loads == before);
            } else if (s.origin.err == BRISK_OK) {
                CHECK(err == BRISK_OK && got.from == BRISK_LOADED_HERE);
                model[k].number = s.origin.number;
                model[k].at = now;
            } else if (has && age < TTL + ERROR) {
                CHECK(err == BRISK_OK && got.from == BRISK_LOADED_STALE_ERROR);
            } else {
                CHECK(err == BRISK_ERR_IO);
            }
            if (err == BRISK_OK) {
                CHECK_U64(number_of(got.hit.value), ==, model[k].number);
                brisk_value_unref(got.hit.value);
            }
            if (queue.count != 0) {
                before = s.origin.loads;
                hand_run(&queue);
                if (s.origin.loads != before && s.origin.err == BRISK_OK) {
                    model[k].number = s.origin.number;
                    model[k].at = now;
                }
            }
        }
        }
    }
    brisk_loader_stats stats = stats_of(&s);
    CHECK(stats.stale > 100 && stats.stale_errors > 100 && stats.refreshes > 100);
    scene_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_miss_loads_and_a_hit_does_not),
        cmocka_unit_test(test_without_a_ttl_answers_stay),
        cmocka_unit_test(test_ttl_of_the_load_and_its_end),
        cmocka_unit_test(test_a_ttl_that_is_chosen),
        cmocka_unit_test(test_stale_while_one_refreshes_in_the_background),
        cmocka_unit_test(test_stale_without_a_background),
        cmocka_unit_test(test_a_full_background_leaves_refreshes_out),
        cmocka_unit_test(test_a_queued_refresh_is_taken_over_by_who_needs_it_now),
        cmocka_unit_test(test_stale_if_error),
        cmocka_unit_test(test_negative_answers),
        cmocka_unit_test(test_errors_are_repeated_for_a_while),
        cmocka_unit_test(test_many_errors),
        cmocka_unit_test(test_unchanged_renews),
        cmocka_unit_test(test_answers_that_are_not_stored),
        cmocka_unit_test(test_meta_data_comes_back_as_it_was),
        cmocka_unit_test(test_the_chance_of_an_early_refresh),
        cmocka_unit_test(test_an_early_refresh_without_a_background),
        cmocka_unit_test(test_the_clock_jumps_back),
        cmocka_unit_test(test_put_and_remove),
        cmocka_unit_test(test_changes_during_a_load_are_noticed),
        cmocka_unit_test(test_outdated_answers_instead_of_errors),
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(test_leases),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_random_steps_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
