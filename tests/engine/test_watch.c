/*
 * test_watch.c -- proves brisk_engine_watch: jobs, stages and tiers appear as metrics, failures apart, only from the
 * moment on; one registry watches; an engine that goes leaves its figures behind.
 */
#include "engine/lab.h"

#include <brisk/metrics.h>

BRISK_DEFINE_CLEANUP(brisk_metrics, brisk_metrics_destroy)
BRISK_DEFINE_CLEANUP(brisk_snapshot, brisk_snapshot_unref)

static const brisk_metric_value *value_of(brisk_metrics *metrics, brisk_snapshot **keep,
                                          const char *name, const brisk_label *labels,
                                          uint32_t count)
{
    brisk_snapshot_unref(*keep);
    *keep = NULL;
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, keep));
    const brisk_metric_value *value = brisk_snapshot_find(*keep, name, labels, count);
    if (value == NULL) {
        fail_msg("no metric %s", name);
    }
    return value;
}

static brisk_err fail_in_left(lab_request *request, brisk_stage_ctx *ctx, const char *where)
{
    (void)request;
    (void)ctx;
    return strcmp(where, "left") == 0 ? BRISK_ERR_IO : BRISK_OK;
}

static brisk_err refuse_in_left(lab_request *request, brisk_stage_ctx *ctx, const char *where)
{
    (void)request;
    (void)ctx;
    return strcmp(where, "left") == 0 ? BRISK_ERR_INVALID : BRISK_OK;
}

static void test_jobs_stages_and_tiers(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *other = NULL;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *s = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    CHECK_OK(brisk_metrics_create(NULL, &other));
    brisk_engine *engine = lab_engine(2, NULL);
    lab_request request = {.input = "x"};
    (void)lab_replace_tiers(engine);
    CHECK_OK(lab_run(engine, &request, NULL)); /* before anybody watches */
    CHECK_OK(brisk_engine_watch(engine, metrics));
    CHECK_OK(brisk_engine_watch(engine, metrics));
    CHECK(brisk_engine_watch(engine, other) == BRISK_ERR_CONFLICT);
    CHECK_OK(lab_run(engine, &request, NULL)); /* answered */
    lab_request second = {.input = "y"};
    CHECK_OK(lab_run(engine, &second, NULL)); /* computed */
    lab_request bad = {.input = "z", .hook = fail_in_left};
    CHECK(lab_run(engine, &bad, NULL) == BRISK_ERR_IO);
    lab_request wrong = {.input = "w", .hook = refuse_in_left};
    CHECK(lab_run(engine, &wrong, NULL) == BRISK_ERR_INVALID); /* no fault of ours */

    const char *workload = lab.name;
    const brisk_label of_workload = {"workload", workload};
    const brisk_label left[] = {{"workload", workload}, {"stage", "left"}};
    const brisk_label deliver[] = {{"workload", workload}, {"stage", "deliver"}};
    CHECK_U64(value_of(metrics, &s, "job.time", &of_workload, 1)->count, ==, 4);
    CHECK_U64(value_of(metrics, &s, "job.failures", &of_workload, 1)->count, ==, 2);
    CHECK_U64(value_of(metrics, &s, "job.faults", &of_workload, 1)->count, ==, 1);
    CHECK_U64(value_of(metrics, &s, "stage.time", left, 2)->count, ==, 3); /* not when answered */
    CHECK_U64(value_of(metrics, &s, "stage.failures", left, 2)->count, ==, 2);
    CHECK_U64(value_of(metrics, &s, "stage.time", deliver, 2)->count, ==, 2);
    CHECK_U64(value_of(metrics, &s, "stage.failures", deliver, 2)->count, ==, 0);
    CHECK_U64(value_of(metrics, &s, "engine.jobs", NULL, 0)->count, ==, 5);
    CHECK_U64(value_of(metrics, &s, "engine.answered", NULL, 0)->count, ==, 1);
    bool tiers = false;
    for (uint32_t i = 0; i < brisk_snapshot_count(s); i++) {
        tiers = tiers || strcmp(brisk_snapshot_at(s, i)->name, "cache.hits") == 0;
    }
    CHECK(tiers);
    brisk_engine_destroy(engine);
    CHECK_U64(value_of(metrics, &s, "engine.jobs", NULL, 0)->count, ==, 5); /* stands still */
}

static void test_looking_does_not_open_the_cache(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *s = NULL;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    bool before = engine_cache_is_open(engine);
    CHECK_OK(brisk_engine_watch(engine, metrics));
    CHECK_U64(value_of(metrics, &s, "engine.jobs", NULL, 0)->count, ==, 0);
    CHECK(engine_cache_is_open(engine) == before);
    brisk_engine_destroy(BRISK_STEAL(engine)); /* before its registry */
}

static void test_a_registry_may_go_first(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *second = NULL;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *s = NULL;
    brisk_metrics *first = NULL;
    lab_request request = {.input = "x"};
    (void)lab_replace_tiers(engine);
    brisk_engine_unwatch(engine); /* nobody watches: nothing happens */
    CHECK_OK(brisk_metrics_create(NULL, &first));
    CHECK_OK(brisk_metrics_create(NULL, &second));
    CHECK_OK(brisk_engine_watch(engine, first));
    CHECK_OK(lab_run(engine, &request, NULL));
    brisk_engine_unwatch(engine);
    CHECK_OK(lab_run(engine, &request, NULL));
    const brisk_label of_workload = {"workload", lab.name};
    CHECK_U64(value_of(first, &s, "job.time", &of_workload, 1)->count, ==, 1); /* the watched one */
    brisk_metrics_destroy(first);
    CHECK_OK(lab_run(engine, &request, NULL));
    CHECK_OK(brisk_engine_watch(engine, second));
    CHECK_U64(value_of(second, &s, "engine.jobs", NULL, 0)->count, ==, 3);
    brisk_engine_unwatch(engine);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_jobs_stages_and_tiers),
        cmocka_unit_test(test_looking_does_not_open_the_cache),
        cmocka_unit_test(test_a_registry_may_go_first),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
