/*
 * test_fetch.c -- the source over a store: fresh, stale, absent, offline; every allocation may fail.
 *
 * With a network: test_resolve.py.  No test here reaches one: the registry's address is none.
 */
#include "support/fault_alloc.h"
#include "support/temp_dir.h"
#include "workload/pkg/fetch_internal.h"

enum { NOW_MS = 1000000 };

static uint64_t wall_ns(void *ctx)
{
    (void)ctx;
    return (uint64_t)NOW_MS * 1000000;
}

static uint64_t now_ns(void *ctx)
{
    (void)ctx;
    return 1;
}

static const brisk_clock stopped = {.now_ns = now_ns, .wall_ns = wall_ns};
static const pkg_registry nowhere = {.url = {.data = "", .size = 0}};
static const pkg_config config = {.registries = &nowhere, .registry_count = 1};

typedef struct fixture {
    temp_dir *dir;
    pkg_store *store;
    brisk_arena *arena;
} fixture;

static void put(fixture *f, const char *name, const char *versions, int64_t fresh_until_ms,
                bool whole)
{
    brisk_errinfo info = {0};
    const pkg_package *package;
    const char *json =
        brisk_arena_printf(f->arena, "{\"name\":\"%s\",\"versions\":{%s}}", name, versions);
    CHECK_OK(pkg_packument_parse(pkg_text_of(name), pkg_text_of(json), f->arena, &package, &info));
    const pkg_stored stored = {.package = package,
                               .registry = fetch_registry_key(&nowhere, whole),
                               .fetched_ms = NOW_MS - 10,
                               .fresh_until_ms = fresh_until_ms};
    CHECK_OK(pkg_store_put(f->store, &stored, &info));
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    brisk_errinfo info = {0};
    assert_non_null(f);
    f->dir = temp_dir_make();
    CHECK_OK(brisk_arena_create(NULL, &f->arena));
    CHECK_OK(pkg_store_open(temp_dir_path(f->dir, "packages.store"), NULL, &f->store, &info));
    put(f, "fresh", "\"1.0.0\":{\"dependencies\":{\"stale\":\"^1\"}}", NOW_MS + 1, false);
    put(f, "stale", "\"1.0.0\":{},\"1.1.0\":{}", NOW_MS, false);
    put(f, "absent", "", NOW_MS + 1, false);
    put(f, "@scope/whole", "\"1.0.0\":{}", NOW_MS + 1, true);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    pkg_store_close(f->store);
    brisk_arena_destroy(f->arena);
    temp_dir_remove(f->dir);
    free(f);
    return 0;
}

static pkg_fetch *fetch_of(const fixture *f, pkg_fetch_mode mode, bool full)
{
    const pkg_fetch_opts opts = {.clock = &stopped,
                                 .config = &config,
                                 .store = f->store,
                                 .mode = mode,
                                 .full = full,
                                 .pick = {.before_ms = INT64_MAX}};
    pkg_fetch *fetch = NULL;
    brisk_errinfo info = {0};
    CHECK_OK(pkg_fetch_create(&opts, &fetch, &info));
    return fetch;
}

static brisk_err get(pkg_fetch *fetch, const char *name)
{
    pkg_source source = pkg_fetch_source(fetch);
    const pkg_package *package = NULL;
    brisk_errinfo info = {0};
    brisk_err err = source.get(source.ctx, pkg_text_of(name), &package, &info);
    assert_true((err == BRISK_OK) == (package != NULL));
    assert_true(err == BRISK_OK || info.text[0] != '\0');
    return err;
}

static void test_offline(void **state)
{
    pkg_fetch *fetch = fetch_of(*state, PKG_FETCH_OFFLINE, false);
    assert_int_equal(get(fetch, "fresh"), BRISK_OK);
    assert_int_equal(get(fetch, "stale"), BRISK_OK);
    assert_int_equal(get(fetch, "absent"), BRISK_ERR_NOT_FOUND);
    assert_int_equal(get(fetch, "@scope/whole"), BRISK_OK);
    assert_int_equal(get(fetch, "unknown"), BRISK_ERR_NOT_FOUND);
    assert_int_equal(get(fetch, "unknown"), BRISK_ERR_NOT_FOUND);
    assert_int_equal(get(fetch, "@scope/unknown"), BRISK_ERR_NOT_FOUND);
    assert_int_equal(get(fetch, "../etc/passwd"), BRISK_ERR_INVALID);
    CHECK_U64(pkg_fetch_missing_count(fetch), ==, 2); /* "absent" is known not to be */
    assert_true(pkg_text_is(pkg_fetch_missing(fetch, 0), "unknown"));
    assert_true(pkg_text_is(pkg_fetch_missing(fetch, 1), "@scope/unknown"));
    pkg_fetch_stats stats;
    pkg_fetch_read_stats(fetch, &stats);
    CHECK_U64(stats.requests, ==, 0);
    CHECK_U64(stats.substituted, ==, 1);
    assert_true(pkg_fetch_fresh_until(fetch) == NOW_MS);
    pkg_fetch_destroy(fetch);
}

/* What is fresh is not asked for; what is not is, which fails here and says why. */
static void test_freshness(void **state)
{
    pkg_fetch *fetch = fetch_of(*state, PKG_FETCH_NORMAL, false);
    assert_int_equal(get(fetch, "fresh"), BRISK_OK);
    assert_int_equal(get(fetch, "stale"), BRISK_ERR_INVALID);
    pkg_fetch_destroy(fetch);
    fetch = fetch_of(*state, PKG_FETCH_PREFER_STORE, false);
    assert_int_equal(get(fetch, "stale"), BRISK_OK);
    assert_int_equal(get(fetch, "unknown"), BRISK_ERR_INVALID);
    pkg_fetch_destroy(fetch);
    fetch = fetch_of(*state, PKG_FETCH_PREFER_STORE, true); /* only whole documents will do */
    assert_int_equal(get(fetch, "@scope/whole"), BRISK_OK);
    assert_int_equal(get(fetch, "fresh"), BRISK_ERR_INVALID);
    pkg_fetch_destroy(fetch);
}

static brisk_err run_with(const fixture *f, const brisk_alloc *alloc)
{
    const pkg_fetch_opts opts = {.alloc = alloc,
                                 .clock = &stopped,
                                 .config = &config,
                                 .store = f->store,
                                 .mode = PKG_FETCH_PREFER_STORE,
                                 .pick = {.before_ms = INT64_MAX}};
    pkg_fetch *fetch = NULL;
    brisk_errinfo info = {0};
    brisk_err err = pkg_fetch_create(&opts, &fetch, &info);
    if (err != BRISK_OK) {
        return err;
    }
    const semver_range *range;
    const pkg_package *package;
    pkg_source source = pkg_fetch_source(fetch);
    CHECK_OK(semver_range_parse(f->arena, PKG_TEXT("^1.0.0-b"), SEMVER_LOOSE, &range));
    source.want(source.ctx, PKG_TEXT("fresh"), range, false);
    char name[16];
    for (int i = 0; err == BRISK_OK && i < 2000; i++) { /* the table and the arena grow */
        (void)snprintf(name, sizeof name, "n%d", i);
        err = source.get(source.ctx, pkg_text_of(name), &package, &info);
        err = err == BRISK_ERR_INVALID ? BRISK_OK : err; /* no registry */
    }
    err = err == BRISK_OK ? source.get(source.ctx, PKG_TEXT("stale"), &package, &info) : err;
    pkg_fetch_destroy(fetch);
    return err;
}

static void test_every_allocation_may_fail(void **state)
{
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        err = run_with(*state, &fault.base);
        CHECK_U64(fault.bytes_held, ==, 0);
        assert_true(fail_after < 1000);
    }
    CHECK_OK(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_offline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_freshness, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_allocation_may_fail, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
