/*
 * test_memo.c -- a memoized function gives what the function gives.
 */
#include "cache/loader_test.h"

#include <fcntl.h>
#include <unistd.h>

#include <brisk/log.h>
#include <brisk/memo.h>

#include "support/fault_alloc.h"
#include "support/temp_dir.h"

BRISK_DEFINE_CLEANUP(brisk_memo, brisk_memo_destroy)

typedef struct sum_args {
    const char *text;
    uint64_t number;
} sum_args;

typedef struct pure {
    _Atomic uint32_t runs;
    uint64_t salt; /* makes it impure */
    size_t size;   /* of the result, when not 0 */
    brisk_err err;
    const char *meta; /* one character, or NULL */
    uint32_t *released;
    const brisk_alloc *alloc;
} pure;

static void count_release(void *ctx)
{
    ++*(uint32_t *)ctx;
}

static void sum_key(void *ctx, const void *args, brisk_key_builder *builder)
{
    (void)ctx;
    const sum_args *a = args;
    brisk_key_str(builder, "text", a->text);
    brisk_key_u64(builder, "number", a->number);
}

static uint64_t sum_of(const pure *self, const sum_args *a)
{
    return brisk_hash64(a->text, strlen(a->text), a->number) + self->salt;
}

static brisk_err sum_run(void *ctx, const void *args, brisk_load *ret)
{
    pure *self = ctx;
    (void)atomic_fetch_add(&self->runs, 1);
    if (self->err != BRISK_OK) {
        return self->err;
    }
    uint64_t sum = sum_of(self, args);
    if (self->meta != NULL) {
        ret->opts.meta = self->meta;
        ret->opts.meta_size = 1;
        ret->release = count_release;
        ret->release_ctx = self->released;
    }
    if (self->size == 0) {
        return brisk_value_copy(&sum, sizeof sum, self->alloc, &ret->value);
    }
    void *data;
    brisk_err err = brisk_value_reserve(self->size, self->alloc, &data, &ret->value);
    if (err == BRISK_OK) {
        for (size_t i = 0; i + 8 <= self->size; i += 8) {
            memcpy((char *)data + i, &sum, 8);
        }
    }
    return err;
}

static brisk_memo *make_memo(brisk_cache *cache, pure *self, uint64_t version, uint32_t check)
{
    brisk_memo *memo = NULL;
    brisk_memo_opts opts = {
        .cache = cache,
        .name = "sum",
        .version = version,
        .key = sum_key,
        .run = sum_run,
        .ctx = self,
        .check_one_in = check,
        .alloc = self->alloc,
    };
    CHECK_OK(brisk_memo_create(&opts, &memo));
    return memo;
}

static void check_call(brisk_memo *memo, const pure *self, const char *text, uint64_t number)
{
    sum_args args = {text, number};
    brisk_loaded got;
    CHECK_OK(brisk_memo_call(memo, &args, NULL, &got));
    uint64_t sum;
    if (brisk_value_fd(got.hit.value) >= 0) {
        CHECK(pread(brisk_value_fd(got.hit.value), &sum, sizeof sum, 0) == sizeof sum);
    } else {
        memcpy(&sum, brisk_value_data(got.hit.value), sizeof sum);
    }
    CHECK_U64(sum, ==, sum_of(self, &args));
    brisk_value_unref(got.hit.value);
}

/* Property: whatever the arguments, long ones too, results are the function's own. */
static void test_results_are_the_function_s(void **unused)
{
    (void)unused;
    uint64_t state = check_seed();
    BRISK_CLEANUP(brisk_cache_destroy) brisk_cache *cache = make_cache(NULL, NULL);
    pure self = {0};
    BRISK_CLEANUP(brisk_memo_destroy) brisk_memo *memo = make_memo(cache, &self, 1, 0);
    char text[1200];
    for (int i = 0; i < 5000; i++) {
        size_t length = check_random(&state) % 100 == 0 ? 1100 : check_random(&state) % 3;
        memset(text, 'a' + (int)(check_random(&state) % 2), length);
        text[length] = '\0';
        check_call(memo, &self, text, check_random(&state) % 4);
    }
    brisk_memo_stats stats;
    brisk_memo_read_stats(memo, &stats);
    CHECK(stats.calls == 5000 && stats.runs == self.runs);
    CHECK_U64(self.runs, <=, 32); /* of 4 short texts (and "", one or two letters), 2 long ones */
}

static void test_another_version_is_another_function(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_cache_destroy) brisk_cache *cache = make_cache(NULL, NULL);
    pure old = {0};
    pure new = {.salt = 1};
    BRISK_CLEANUP(brisk_memo_destroy) brisk_memo *first = make_memo(cache, &old, 1, 0);
    BRISK_CLEANUP(brisk_memo_destroy) brisk_memo *second = make_memo(cache, &new, 2, 0);
    for (int i = 0; i < 2; i++) {
        check_call(first, &old, "x", 1);
        check_call(second, &new, "x", 1);
    }
    CHECK(old.runs == 1 && new.runs == 1);
    CHECK_OK(brisk_memo_forget(first, &(sum_args){"x", 1}));
    check_call(first, &old, "x", 1);
    CHECK(old.runs == 2);
}

static void test_errors_are_not_remembered(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_cache_destroy) brisk_cache *cache = make_cache(NULL, NULL);
    pure self = {.err = BRISK_ERR_NOT_FOUND};
    BRISK_CLEANUP(brisk_memo_destroy) brisk_memo *memo = make_memo(cache, &self, 1, 0);
    brisk_loaded got;
    CHECK(brisk_memo_call(memo, &(sum_args){"x", 1}, NULL, &got) == BRISK_ERR_NOT_FOUND);
    self.err = BRISK_OK;
    check_call(memo, &self, "x", 1);
}

static void ignore_line(void *ctx, brisk_log_level level, const char *area, const char *line)
{
    (void)level;
    (void)area;
    ++*(uint32_t *)ctx;
    assert_string_equal(line, "sum, version 1: the same arguments gave another result");
}

static void test_checks_find_what_is_not_pure(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_cache_destroy) brisk_cache *cache = make_cache(NULL, NULL);
    pure self = {0};
    BRISK_CLEANUP(brisk_memo_destroy) brisk_memo *memo = make_memo(cache, &self, 1, 2);
    uint32_t lines = 0;
    brisk_log_set_sink(ignore_line, &lines, NULL);
    for (int i = 0; i < 9; i++) {
        check_call(memo, &self, "x", 1);
    }
    brisk_memo_stats stats;
    brisk_memo_read_stats(memo, &stats);
    CHECK(stats.checks == 4 && stats.differences == 0 && lines == 0);
    self.salt = 5; /* the ninth hit; the tenth is checked */
    brisk_loaded got;
    CHECK_OK(brisk_memo_call(memo, &(sum_args){"x", 1}, NULL, &got));
    brisk_value_unref(got.hit.value);
    check_call(memo, &self, "x", 1);
    check_call(memo, &self, "x", 1); /* replaced */
    brisk_memo_read_stats(memo, &stats);
    CHECK(stats.checks == 5 && stats.differences == 1 && lines == 1);
    brisk_log_set_sink(NULL, NULL, NULL);
}

/* Large results are files in the disk tier: compared part by part; meta data and release count, too. */
static void test_checks_of_large_results(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier;
    brisk_errinfo info;
    brisk_disk_tier_opts disk = {.path = temp_dir_path(dir, "cache"), .zstd_level = -1};
    CHECK_OK(brisk_disk_tier_open(&disk, &tier, &info));
    BRISK_CLEANUP(brisk_cache_destroy) brisk_cache *cache = NULL;
    CHECK_OK(brisk_cache_create(&(brisk_cache_opts){.tiers = &tier, .tier_count = 1}, &cache));
    uint32_t released = 0;
    pure self = {.size = BRISK_VALUE_LARGE_BYTES + 4096, .meta = "m", .released = &released};
    BRISK_CLEANUP(brisk_memo_destroy) brisk_memo *memo = make_memo(cache, &self, 1, 1);
    uint32_t lines = 0;
    brisk_log_set_sink(ignore_line, &lines, NULL);
    for (int i = 0; i < 2; i++) {
        check_call(memo, &self, "x", 1);
    }
    CHECK(lines == 0 && released == 2);
    self.meta = "n"; /* the bytes are the same */
    check_call(memo, &self, "x", 1);
    CHECK(lines == 1);
    self.salt = 1;
    check_call(memo, &self, "x", 1);
    CHECK(lines == 2 && released == 4);
    brisk_log_set_sink(NULL, NULL, NULL);
}

/* A large value whose file was damaged: the tier sees its size only, the memo its bytes. */
static void test_large_results_are_checked(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "cache");
    brisk_tier *tier;
    brisk_errinfo info;
    CHECK_OK(brisk_disk_tier_open(&(brisk_disk_tier_opts){.path = path, .zstd_level = -1}, &tier,
                                  &info));
    BRISK_CLEANUP(brisk_cache_destroy) brisk_cache *cache = NULL;
    CHECK_OK(brisk_cache_create(&(brisk_cache_opts){.tiers = &tier, .tier_count = 1}, &cache));
    pure self = {.size = BRISK_VALUE_LARGE_BYTES + 4096};
    BRISK_CLEANUP(brisk_memo_destroy) brisk_memo *memo = make_memo(cache, &self, 1, 0);
    for (int i = 0; i < 2; i++) {
        brisk_loaded got;
        CHECK_OK(brisk_memo_call(memo, &(sum_args){"x", 1}, NULL, &got));
        CHECK(brisk_value_size(got.hit.value) == self.size);
        if (i == 1 && brisk_value_fd(got.hit.value) >= 0) {
            char name[64];
            (void)snprintf(name, sizeof name, "/proc/self/fd/%d", brisk_value_fd(got.hit.value));
            int fd = open(name, O_RDWR | O_CLOEXEC); /* another hand in the folder */
            CHECK(fd >= 0 && pwrite(fd, "?", 1, 1000000) == 1 && close(fd) == 0);
        }
        brisk_value_unref(got.hit.value);
    }
    CHECK(self.runs == 1);
    brisk_loaded got;
    CHECK_OK(brisk_memo_call(memo, &(sum_args){"x", 1}, NULL, &got));
    CHECK(got.from == BRISK_LOADED_HERE && self.runs == 2);
    brisk_value_unref(got.hit.value);
    brisk_memo_stats stats;
    brisk_memo_read_stats(memo, &stats);
    CHECK(stats.damaged == 1);
}

static void huge_key(void *ctx, const void *args, brisk_key_builder *builder)
{
    (void)ctx;
    static char bytes[BRISK_KEY_BYTES_MAX + 1];
    brisk_key_bytes(builder, "all", bytes, *(const size_t *)args);
}

static void test_options_and_keys_are_checked(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_cache_destroy) brisk_cache *cache = make_cache(NULL, NULL);
    brisk_memo *memo = NULL;
    pure self = {0};
    brisk_memo_opts good = {
        .cache = cache, .name = "sum", .key = huge_key, .run = sum_run, .ctx = &self};
    brisk_memo_opts bad[] = {good, good, good, good, good};
    bad[0].cache = NULL;
    bad[1].name = NULL;
    bad[2].name = "";
    bad[3].key = NULL;
    bad[4].run = NULL;
    for (size_t i = 0; i < 5; i++) {
        CHECK(brisk_memo_create(&bad[i], &memo) == BRISK_ERR_INVALID);
    }
    CHECK(brisk_memo_create(NULL, &memo) == BRISK_ERR_INVALID && memo == NULL);
    CHECK_OK(brisk_memo_create(&good, &memo));
    brisk_loaded got;
    CHECK(brisk_memo_call(memo, &(size_t){BRISK_KEY_BYTES_MAX}, NULL, &got) == BRISK_ERR_LIMIT);
    CHECK(brisk_memo_forget(memo, &(size_t){BRISK_KEY_BYTES_MAX}) == BRISK_ERR_LIMIT);
    brisk_memo_destroy(memo);
    brisk_memo_destroy(NULL);
}

static brisk_err use_with(const brisk_alloc *alloc)
{
    BRISK_CLEANUP(brisk_cache_destroy) brisk_cache *cache = make_cache(NULL, NULL);
    pure self = {.alloc = alloc};
    BRISK_CLEANUP(brisk_memo_destroy) brisk_memo *memo = NULL;
    brisk_memo_opts opts = {.cache = cache,
                            .name = "sum",
                            .key = sum_key,
                            .run = sum_run,
                            .ctx = &self,
                            .alloc = alloc};
    brisk_err err = brisk_memo_create(&opts, &memo);
    char text[1000]; /* larger than the room in the frame */
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < 2 && err == BRISK_OK; i++) {
        brisk_loaded got;
        err = brisk_memo_call(memo, &(sum_args){text, 1}, NULL, &got);
        if (err == BRISK_OK) {
            brisk_value_unref(got.hit.value);
        }
    }
    return err;
}

static void test_every_allocation_may_fail(void **unused)
{
    (void)unused;
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t fail_after = 0;
    for (; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        err = use_with(&fault.base);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK(err == BRISK_OK && fail_after > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_are_the_function_s),
        cmocka_unit_test(test_another_version_is_another_function),
        cmocka_unit_test(test_errors_are_not_remembered),
        cmocka_unit_test(test_checks_find_what_is_not_pure),
        cmocka_unit_test(test_checks_of_large_results),
        cmocka_unit_test(test_large_results_are_checked),
        cmocka_unit_test(test_options_and_keys_are_checked),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
