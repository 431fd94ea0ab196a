/*
 * test_answer.c -- whatever the cache does, the answer is the same: on, off, cold, warm, broken.
 */
#include "engine/lab.h"

#include <brisk/file.h>

#include "support/temp_dir.h"

static lab_log log_kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int catch_log(void **unused)
{
    (void)unused;
    log_kept.lines = 0;
    log_kept.last[0] = '\0';
    brisk_log_set_sink(lab_log_sink, &log_kept, NULL);
    return 0;
}

static int release_log(void **unused)
{
    (void)unused;
    brisk_log_set_sink(NULL, NULL, NULL);
    return 0;
}

static void run_right(brisk_engine *engine, lab_request *request, const brisk_job_opts *opts)
{
    memset(request->result, 0, sizeof request->result);
    brisk_job *job = lab_job(engine, request, opts);
    brisk_err err = brisk_job_run(job);
    if (err != BRISK_OK) {
        fail_msg("%s", brisk_job_error_text(job));
    }
    CHECK(brisk_value_size(brisk_job_value(job)) == 11);
    CHECK(memcmp(brisk_value_data(brisk_job_value(job)), "answer to x", 11) == 0);
    brisk_job_destroy(job);
    assert_string_equal(request->result, "answer to x");
}

static void test_on_off_cold_warm(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    lab_tier *tier = lab_replace_tiers(engine);
    lab_request request = {.input = "x"};
    brisk_job_opts off = {.no_cache = true};
    brisk_job_opts other_tiers = {.tiers = 2};
    run_right(engine, &request, &off);
    CHECK(tier->lookups == 0 && tier->puts == 0);
    run_right(engine, &request, &other_tiers);
    CHECK(tier->lookups == 0 && tier->puts == 0);
    run_right(engine, &request, NULL);
    CHECK(tier->puts == 1 && atomic_load(&request.computed) == 3);
    CHECK(tier->entries[0].flags == BRISK_ENTRY_LOCAL);
    CHECK_U64(tier->entries[0].cost_ns, >, 0);
    run_right(engine, &request, NULL);
    CHECK(tier->hits == 1 && tier->puts == 1 && atomic_load(&request.computed) == 3);
    run_right(engine, &request, &off);
    CHECK(tier->hits == 1 && atomic_load(&request.computed) == 4);
}

/* Whatever comes back instead of the answer is found out by accept: removed, computed, stored. */
static void test_tampered_answers_are_replaced(void **unused)
{
    (void)unused;
    for (int tamper = LAB_HONEST + 1; tamper < LAB_TAMPERS; tamper++) {
        BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
        lab_tier *tier = lab_replace_tiers(engine);
        lab_request request = {.input = "x"};
        run_right(engine, &request, NULL);
        tier->tamper = (lab_tamper)tamper;
        int lines = log_kept.lines;
        run_right(engine, &request, NULL);
        CHECK(tier->removes == 1 && tier->puts == 2 && atomic_load(&request.computed) == 2);
        CHECK_U64(lab_stats(engine).distrusted, ==, 1);
        CHECK(log_kept.lines == lines + 1);
        tier->tamper = LAB_HONEST;
        run_right(engine, &request, NULL);
        CHECK(atomic_load(&request.computed) == 2);
    }
}

/* accept believes anything; the DELIVER stage finds out while it places the bytes. */
static void test_delivery_finds_the_damage(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    lab_tier *tier = lab_replace_tiers(engine);
    lab_request request = {.input = "x", .blind = true};
    run_right(engine, &request, NULL);
    tier->tamper = LAB_FLIP;
    run_right(engine, &request, NULL);
    CHECK(tier->removes == 1 && tier->puts == 2);
    CHECK(atomic_load(&request.computed) == 2 && atomic_load(&request.delivered) == 2);
    CHECK(strstr(log_kept.last, "does not verify") != NULL);
    tier->tamper = LAB_HONEST;
    run_right(engine, &request, NULL);
    CHECK(atomic_load(&request.computed) == 2);
}

static brisk_err break_delivery(lab_request *request, brisk_stage_ctx *ctx, const char *where)
{
    if (strcmp(where, "deliver") == 0) {
        return brisk_stage_fail(ctx, *(brisk_err *)request->ctx, "cannot place it");
    }
    return BRISK_OK;
}

/* A delivery that fails for itself is no fault of the cache: no loop, one retry at most. */
static void test_delivery_fails_for_good(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    lab_tier *tier = lab_replace_tiers(engine);
    lab_request request = {.input = "x"};
    run_right(engine, &request, NULL);
    brisk_err err = BRISK_ERR_CORRUPT;
    request.hook = break_delivery;
    request.ctx = &err;
    brisk_job *job = lab_job(engine, &request, NULL);
    CHECK(brisk_job_run(job) == BRISK_ERR_CORRUPT);
    assert_string_equal(brisk_job_error_text(job), "cannot place it");
    assert_string_equal(brisk_job_error_stage(job), "deliver");
    brisk_job_destroy(job);
    CHECK(atomic_load(&request.computed) == 2 && tier->removes == 1);
    err = BRISK_ERR_FULL;
    CHECK(lab_run(engine, &request, NULL) == BRISK_ERR_FULL);
    CHECK(atomic_load(&request.computed) == 2 && tier->removes == 1);
}

static void test_failing_tier_is_a_miss(void **unused)
{
    (void)unused;
    static const brisk_err errors[] = {BRISK_ERR_IO, BRISK_ERR_CORRUPT, BRISK_ERR_NOMEM,
                                       BRISK_ERR_FULL, BRISK_ERR_PERMISSION};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
        lab_tier *tier = lab_replace_tiers(engine);
        lab_request request = {.input = "x"};
        tier->put_err = errors[i];
        run_right(engine, &request, NULL);
        tier->put_err = BRISK_OK;
        tier->get_err = errors[i];
        run_right(engine, &request, NULL);
        tier->get_err = BRISK_OK;
        run_right(engine, &request, NULL);
        CHECK(atomic_load(&request.computed) == 2);
        tier->tamper = LAB_FLIP; /* and it cannot even be removed */
        tier->remove_err = errors[i];
        run_right(engine, &request, NULL);
        run_right(engine, &request, NULL);
        CHECK(atomic_load(&request.computed) == 4);
    }
}

static brisk_err fail_finish(lab_request *request, brisk_stage_ctx *ctx, const char *where)
{
    (void)request;
    (void)ctx;
    return strcmp(where, "finish") == 0 ? BRISK_ERR_FULL : BRISK_OK;
}

/* What was said of the bad answer is not said of the failure that follows. */
static void test_words_of_the_bad_answer_are_forgotten(void **unused)
{
    (void)unused;
    for (int blind = 0; blind < 2; blind++) {
        BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
        lab_tier *tier = lab_replace_tiers(engine);
        lab_request request = {.input = "x", .blind = blind != 0};
        run_right(engine, &request, NULL);
        tier->tamper = LAB_FLIP;
        request.hook = fail_finish;
        brisk_job *job = lab_job(engine, &request, NULL);
        CHECK(brisk_job_run(job) == BRISK_ERR_FULL);
        assert_string_equal(brisk_job_error_text(job), brisk_err_message(BRISK_ERR_FULL));
        assert_string_equal(brisk_job_error_stage(job), "finish");
        CHECK(brisk_job_answered_by(job) == NULL);
        brisk_job_destroy(job);
    }
}

static brisk_err decline_and_fail(lab_request *request, brisk_stage_ctx *ctx, const char *where)
{
    (void)request;
    if (strcmp(where, "accept") == 0) {
        return brisk_stage_fail(ctx, BRISK_ERR_DECLINED, "computing is faster");
    }
    return strcmp(where, "finish") == 0 ? BRISK_ERR_FULL : BRISK_OK;
}

static void test_words_of_declining_are_forgotten(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    (void)lab_replace_tiers(engine);
    lab_request request = {.input = "x"};
    run_right(engine, &request, NULL);
    request.hook = decline_and_fail;
    brisk_job *job = lab_job(engine, &request, NULL);
    CHECK(brisk_job_run(job) == BRISK_ERR_FULL);
    assert_string_equal(brisk_job_error_text(job), brisk_err_message(BRISK_ERR_FULL));
    brisk_job_destroy(job);
}

/* --- words of accept, answer and key ------------------------------------------------------ */

typedef struct verdict {
    const char *where;
    brisk_err err;
    int times; /* how often it is still given */
} verdict;

static brisk_err give_verdict(lab_request *request, brisk_stage_ctx *ctx, const char *where)
{
    (void)ctx;
    verdict *v = request->ctx;
    if (strcmp(where, v->where) == 0 && v->times > 0) {
        v->times--;
        return v->err;
    }
    return BRISK_OK;
}

static void test_declined_by_accept(void **unused)
{
    (void)unused;
    static const brisk_err errors[] = {BRISK_ERR_DECLINED, BRISK_ERR_NOMEM};
    for (size_t i = 0; i < 2; i++) {
        BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
        lab_tier *tier = lab_replace_tiers(engine);
        lab_request request = {.input = "x"};
        run_right(engine, &request, NULL);
        verdict v = {.where = "accept", .err = errors[i], .times = 1};
        request.hook = give_verdict;
        request.ctx = &v;
        run_right(engine, &request, NULL);
        CHECK(tier->removes == 0 && tier->puts == 1); /* the entry stays as it is */
        CHECK(atomic_load(&request.computed) == 2);
        CHECK(log_kept.lines == 0);
        run_right(engine, &request, NULL);
        CHECK(atomic_load(&request.computed) == 2);
    }
}

static void test_declined_by_key(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    lab_tier *tier = lab_replace_tiers(engine);
    verdict v = {.where = "key", .err = BRISK_ERR_DECLINED, .times = 2};
    lab_request request = {.input = "x", .hook = give_verdict, .ctx = &v};
    run_right(engine, &request, NULL);
    run_right(engine, &request, NULL);
    CHECK(tier->lookups == 0 && tier->puts == 0 && atomic_load(&request.computed) == 2);
}

static void test_declined_by_answer(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    lab_tier *tier = lab_replace_tiers(engine);
    verdict v = {.where = "answer", .err = BRISK_ERR_DECLINED, .times = 1};
    lab_request request = {.input = "x", .hook = give_verdict, .ctx = &v};
    brisk_job *job = lab_job(engine, &request, NULL);
    CHECK_OK(brisk_job_run(job));
    CHECK(brisk_job_value(job) == NULL && tier->puts == 0);
    assert_string_equal(request.result, "answer to x");
    CHECK_U64(brisk_job_report_count(job), ==, 5); /* no row for a storing that was not */
    brisk_job_destroy(job);
}

typedef struct bad_answer {
    bool with_value;
    uint32_t meta_size;
} bad_answer;

static brisk_err give_bad(brisk_stage_ctx *ctx, void *opaque, brisk_answer *ret)
{
    (void)ctx;
    const lab_state *state = opaque;
    const bad_answer *bad = state->request->ctx;
    ret->meta_size = bad->meta_size;
    return bad->with_value ? brisk_value_copy("v", 1, NULL, &ret->value) : BRISK_OK;
}

static void test_bad_answer_of_a_workload(void **unused)
{
    (void)unused;
    static brisk_workload liar;
    liar = lab;
    liar.name = "liar";
    liar.answer = give_bad;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    CHECK_OK(brisk_engine_register(engine, &liar, NULL));
    bad_answer bad[] = {{false, 0}, {true, BRISK_ENTRY_META_MAX + 1}, {true, UINT32_MAX}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lab_request request = {.input = "x", .ctx = &bad[i]};
        brisk_job *job = NULL;
        CHECK_OK(brisk_job_create(engine, &liar, &request, NULL, &job));
        CHECK(brisk_job_run(job) == BRISK_ERR_INVALID);
        CHECK(strstr(brisk_job_error_text(job), "liar") != NULL);
        brisk_job_destroy(job);
    }
}

/* Workload, version and fields are in the key: what differs in one of them shares nothing. */
static void test_keys_tell_apart(void **unused)
{
    (void)unused;
    static brisk_workload newer;
    newer = lab;
    newer.version++;
    newer.name = "lab2";
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    lab_tier *tier = lab_replace_tiers(engine);
    CHECK_OK(brisk_engine_register(engine, &newer, NULL));
    lab_request request = {.input = "x"};
    lab_request other = {.input = "y"};
    CHECK_OK(lab_run(engine, &request, NULL));
    CHECK_OK(lab_run(engine, &other, NULL));
    brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, &newer, &request, NULL, &job));
    CHECK_OK(brisk_job_run(job));
    brisk_job_destroy(job);
    CHECK(tier->count == 3 && tier->hits == 0);

    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *second = lab_engine(1, NULL);
    lab_tier *other_tier = lab_replace_tiers(second);
    CHECK_OK(lab_run(second, &request, NULL));
    CHECK(other_tier->entries[0].key_size == tier->entries[0].key_size);
    CHECK(memcmp(other_tier->entries[0].key, tier->entries[0].key, tier->entries[0].key_size) ==
          0); /* the same in every engine */
}

/* Only the version differs: the older answer is never found. */
static void test_version_is_in_the_key(void **unused)
{
    (void)unused;
    static brisk_workload changing;
    changing = lab;
    changing.name = "changing";
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    lab_tier *tier = lab_replace_tiers(engine);
    CHECK_OK(brisk_engine_register(engine, &changing, NULL));
    lab_request request = {.input = "x"};
    for (uint32_t version = 1; version <= 3; version++) {
        changing.version = version;
        brisk_job *job = NULL;
        CHECK_OK(brisk_job_create(engine, &changing, &request, NULL, &job));
        CHECK_OK(brisk_job_run(job));
        brisk_job_destroy(job);
        CHECK_U64(tier->count, ==, version);
    }
    CHECK(atomic_load(&request.computed) == 3);
}

/* A large answer of a workload that looks at nothing itself comes from the disk with a bit flipped. */
enum { LARGE_BYTES = 2 * 1048576 };

static _Atomic int large_computed;

static brisk_err large_key(brisk_stage_ctx *ctx, void *state, brisk_key_builder *builder)
{
    (void)ctx;
    (void)state;
    brisk_key_u64(builder, "size", LARGE_BYTES);
    return BRISK_OK;
}

static brisk_err large_answer(brisk_stage_ctx *ctx, void *state, brisk_answer *ret)
{
    (void)ctx;
    (void)state;
    void *data;
    brisk_err err = brisk_value_reserve(LARGE_BYTES, NULL, &data, &ret->value);
    if (err == BRISK_OK) {
        memset(data, 'x', LARGE_BYTES);
        atomic_fetch_add(&large_computed, 1);
    }
    return err;
}

static const brisk_workload large = {
    .name = "large", .state_bytes = 1, .key = large_key, .answer = large_answer};

/* What a job answers in a process of its own, as it were. */
static void run_large(const char *folder)
{
    char setting[512];
    (void)snprintf(setting, sizeof setting, "cache.disk.path=%s", folder);
    const char *settings[] = {setting};
    brisk_engine_opts opts = {.no_files = true, .settings = settings, .setting_count = 1};
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = NULL;
    CHECK_OK(brisk_engine_create(&opts, &engine, NULL));
    CHECK_OK(brisk_engine_register(engine, &large, NULL));
    brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, &large, NULL, NULL, &job));
    CHECK_OK(brisk_job_run(job));
    brisk_value *value = brisk_job_value(job);
    CHECK_U64(brisk_value_size(value), ==, LARGE_BYTES);
    static unsigned char bytes[LARGE_BYTES];
    const unsigned char *data = brisk_value_data(value);
    if (data == NULL) {
        CHECK_OK(brisk_file_pread_all(brisk_value_fd(value), bytes, sizeof bytes, 0));
        data = bytes;
    }
    for (size_t i = 0; i < LARGE_BYTES; i++) {
        if (data[i] != 'x') {
            fail_msg("byte %zu is wrong", i);
        }
    }
    brisk_job_destroy(job);
}

static int flip_large(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)type;
    (void)ftw;
    if (S_ISREG(st->st_mode) && st->st_size == LARGE_BYTES) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "y", 1, LARGE_BYTES - 1), 1);
        (void)close(fd);
    }
    return 0;
}

static void test_a_flipped_bit_in_a_large_answer(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *folder = temp_dir_path(dir, "cache");
    run_large(folder);
    run_large(folder);
    CHECK(atomic_load(&large_computed) == 1); /* from the disk */
    CHECK(log_kept.lines == 0);
    CHECK(nftw(folder, flip_large, 16, FTW_PHYS) == 0);
    run_large(folder);
    CHECK(atomic_load(&large_computed) == 2);
    CHECK(log_kept.lines == 1);
    run_large(folder);
    CHECK(atomic_load(&large_computed) == 2); /* stored again */
}

/* --- what is known only after computing -------------------------------------------------------- */

/* A world that a job's computing changes: key() names what it is, key_after() what it became. */
typedef struct world {
    uint64_t age;
    bool declines; /* key() does, for there is nothing to look up in age 0 */
    bool foreign;  /* somebody else changed it: key_after() declines */
} world;

static world earth;

static brisk_err key_of_world(brisk_stage_ctx *ctx, void *opaque, brisk_key_builder *builder)
{
    if (earth.age == 0 && earth.declines) {
        return BRISK_ERR_DECLINED;
    }
    brisk_key_u64(builder, "age", earth.age);
    return lab_key(ctx, opaque, builder);
}

static brisk_err key_after_computing(brisk_stage_ctx *ctx, void *opaque, brisk_key_builder *builder)
{
    earth.age = 1; /* as if the stages had done it */
    return earth.foreign ? BRISK_ERR_DECLINED : key_of_world(ctx, opaque, builder);
}

static brisk_workload worldly;

static brisk_engine *engine_of_world(void)
{
    brisk_engine *engine = lab_engine(2, NULL);
    worldly = lab;
    worldly.name = "worldly";
    worldly.key = key_of_world;
    worldly.key_after = key_after_computing;
    CHECK_OK(brisk_engine_register(engine, &worldly, NULL));
    return engine;
}

static void run_in_world(brisk_engine *engine, lab_request *request, bool no_cache)
{
    brisk_job *job = NULL;
    brisk_job_opts opts = {.no_cache = no_cache};
    CHECK_OK(brisk_job_create(engine, &worldly, request, &opts, &job));
    CHECK_OK(brisk_job_run(job));
    brisk_job_destroy(job);
    assert_string_equal(request->result, "answer to x");
}

static void test_kept_under_what_computing_learned(void **unused)
{
    (void)unused;
    for (int declines = 0; declines < 2; declines++) {
        BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = engine_of_world();
        lab_tier *tier = lab_replace_tiers(engine);
        lab_request request = {.input = "x"};
        earth = (world){.declines = declines != 0};
        run_in_world(engine, &request, true);
        CHECK(tier->puts == 0);
        earth.age = 0;
        run_in_world(engine, &request, false);
        CHECK(tier->puts == 1 && tier->hits == 0 && atomic_load(&request.computed) == 2);
        run_in_world(engine, &request, false); /* age 1: it is there */
        CHECK(tier->puts == 1 && tier->hits == 1 && atomic_load(&request.computed) == 2);
        earth.age = 0; /* under the first key there is nothing */
        run_in_world(engine, &request, false);
        CHECK(tier->hits == 1 && atomic_load(&request.computed) == 3);
    }
}

static void test_not_kept_when_the_later_key_is_declined(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = engine_of_world();
    lab_tier *tier = lab_replace_tiers(engine);
    lab_request request = {.input = "x"};
    earth = (world){.foreign = true};
    run_in_world(engine, &request, false);
    run_in_world(engine, &request, false);
    CHECK(tier->puts == 0 && tier->hits == 0 && atomic_load(&request.computed) == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_on_off_cold_warm, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_tampered_answers_are_replaced, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_delivery_finds_the_damage, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_delivery_fails_for_good, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_failing_tier_is_a_miss, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_words_of_the_bad_answer_are_forgotten, catch_log,
                                        release_log),
        cmocka_unit_test_setup_teardown(test_words_of_declining_are_forgotten, catch_log,
                                        release_log),
        cmocka_unit_test_setup_teardown(test_declined_by_accept, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_declined_by_key, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_declined_by_answer, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_bad_answer_of_a_workload, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_keys_tell_apart, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_version_is_in_the_key, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_a_flipped_bit_in_a_large_answer, catch_log,
                                        release_log),
        cmocka_unit_test_setup_teardown(test_kept_under_what_computing_learned, catch_log,
                                        release_log),
        cmocka_unit_test_setup_teardown(test_not_kept_when_the_later_key_is_declined, catch_log,
                                        release_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
