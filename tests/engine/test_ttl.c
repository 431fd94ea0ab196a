/*
 * test_ttl.c -- knobs cache.ttl.*: loaders over an engine's cache live by them.
 */
#include <stdio.h>

#include "engine/lab.h"

static brisk_err open_engine(const char *const *settings, uint32_t count, brisk_engine **ret,
                             brisk_errinfo *info)
{
    brisk_engine_opts opts = {.no_files = true, .settings = settings, .setting_count = count};
    return brisk_engine_create(&opts, ret, info);
}

static brisk_err load_number(void *ctx, const brisk_key *key, brisk_load *load)
{
    uint64_t *number = ctx;
    (void)key;
    (*number)++;
    return brisk_value_copy(number, sizeof *number, NULL, &load->value);
}

/* How long an answer that changes with each load is believed at first, in nanoseconds. */
static uint64_t life_with(const char *const *settings, uint32_t count, brisk_loader_opts opts)
{
    brisk_engine *engine = NULL;
    brisk_loader *loader = NULL;
    uint64_t number = 0;
    CHECK_OK(open_engine(settings, count, &engine, NULL));
    opts.load = load_number;
    opts.ctx = &number;
    CHECK_OK(brisk_engine_loader(engine, &opts, &loader));
    brisk_key key = brisk_key_of("a", 1);
    brisk_loaded answer;
    uint64_t before = brisk_clock_wall_ns(NULL);
    CHECK_OK(brisk_loader_get(loader, &key, NULL, &answer));
    uint64_t end = answer.hit.expires_at_ns;
    brisk_value_unref(answer.hit.value);
    brisk_loader_destroy(loader);
    brisk_engine_destroy(engine);
    return end == 0 ? 0 : end - before;
}

#define SECONDS(n) ((n)*UINT64_C(1000000000))

static void test_knobs_choose_the_life(void **unused)
{
    (void)unused;
    const char *off[] = {"cache.disk.enabled=off"};
    CHECK_U64(life_with(off, 1, (brisk_loader_opts){0}), ==, 0); /* for ever, as ever */
    const char *fixed[] = {"cache.disk.enabled=off", "cache.ttl.mode=fixed", "cache.ttl.first=77s"};
    uint64_t life = life_with(fixed, 3, (brisk_loader_opts){0});
    CHECK(life >= SECONDS(77) && life < SECONDS(87));
    life =
        life_with(fixed, 3, (brisk_loader_opts){.ttl_ns = SECONDS(1000)}); /* the caller's word */
    CHECK(life >= SECONDS(1000) && life < SECONDS(1010));
    const char *limited[] = {"cache.disk.enabled=off", "cache.ttl.mode=adaptive",
                             "cache.ttl.min=500s", "cache.ttl.max=500s"};
    life = life_with(limited, 4, (brisk_loader_opts){0});
    CHECK(life >= SECONDS(500) && life < SECONDS(510));
    const char *rate[] = {"cache.disk.enabled=off", "cache.ttl.mode=hit_rate"};
    life = life_with(rate, 2, (brisk_loader_opts){0});
    CHECK(life > 0 && life <= SECONDS(7210));
    const char *use[] = {"cache.disk.enabled=off", "cache.ttl.mode=use", "cache.ttl.first=5s"};
    life = life_with(use, 3, (brisk_loader_opts){0});
    CHECK(life >= SECONDS(5) && life < SECONDS(15));
}

static void check_refused(const char *const *settings, uint32_t count, const char *why)
{
    brisk_engine *engine = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_err err = open_engine(settings, count, &engine, &info);
    CHECK(err == BRISK_ERR_INVALID || err == BRISK_ERR_LIMIT);
    CHECK(engine == NULL);
    if (strstr(info.text, why) == NULL) {
        fail_msg("'%s' does not say '%s'", info.text, why);
    }
}

static void test_wrong_knobs_are_named(void **unused)
{
    (void)unused;
    const char *mode[] = {"cache.ttl.mode=eternal"};
    check_refused(mode, 1, "setting 'cache.ttl.mode': 'eternal' is none of off, adaptive");
    const char *limits[] = {"cache.ttl.mode=fixed", "cache.ttl.min=10s", "cache.ttl.max=9s"};
    check_refused(limits, 3, "cache.ttl.min");
    const char *share[] = {"cache.ttl.staleness=1000"};
    check_refused(share, 1, "cache.ttl.staleness");
    const char *some[] = {"cache.ttl.mode=adaptive", "cache.disk.enabled=off"};
    brisk_engine *engine = NULL;
    CHECK_OK(open_engine(some, 2, &engine, NULL));
    CHECK(brisk_engine_ttl(engine) != NULL);
    brisk_engine_destroy(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_knobs_choose_the_life),
        cmocka_unit_test(test_wrong_knobs_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
