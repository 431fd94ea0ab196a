/*
 * test_health.c -- from figures to a verdict: limits from both sides.
 */
#include <string.h>

#include "daemon/api/health.h"
#include "support/check.h"

static const health_check *find(const health *h, const char *name)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (strcmp(h->checks[i].name, name) == 0) {
            return &h->checks[i];
        }
    }
    return NULL;
}

static health_level judge(const health_figures *f)
{
    health h;
    health_judge(f, &h);
    return h.level;
}

static void test_memory(void **state)
{
    (void)state;
    stats_sample last = {.resident = 90, .memory_limit = 100};
    health_figures f = {.last = &last};
    CHECK(judge(&f) == HEALTH_HEALTHY); /* above, not at, 90 % */
    last.resident = 91;
    CHECK(judge(&f) == HEALTH_DEGRADED);
    last.memory_limit = 0; /* not known */
    CHECK(judge(&f) == HEALTH_HEALTHY);
    f.last = NULL; /* the first second */
    CHECK(judge(&f) == HEALTH_HEALTHY);
}

static void test_tiers(void **state)
{
    (void)state;
    stats_sample last = {.memory_limit = 100, .tier_count = STATS_TIERS_MAX};
    for (uint32_t i = 0; i < STATS_TIERS_MAX; i++) {
        (void)snprintf(last.tiers[i].name, sizeof last.tiers[i].name, "engine.%08u", i);
    }
    health_figures f = {.last = &last, .waiting_max = 1};
    health h;
    CHECK(judge(&f) == HEALTH_HEALTHY);
    last.tiers[STATS_TIERS_MAX - 1].down = true;
    health_judge(&f, &h);
    CHECK(h.level == HEALTH_DEGRADED && h.count == HEALTH_CHECKS_MAX);
    const health_check *last_tier = find(&h, "tier.engine.00000005");
    const health_check *other = find(&h, "tier.engine.00000004");
    CHECK(last_tier != NULL && last_tier->level == HEALTH_DEGRADED);
    CHECK(other != NULL && other->level == HEALTH_HEALTHY);
}

static void test_errors(void **state)
{
    (void)state;
    health_figures f = {.window = {.responses = 80, .jobs = 20, .server_errors = 5}};
    CHECK(judge(&f) == HEALTH_HEALTHY); /* above, not at, 5 % */
    f.window.job_faults = 1;
    CHECK(judge(&f) == HEALTH_UNHEALTHY);
    f.window = (stats_sums){.responses = HEALTH_REQUESTS_MIN - 1, .server_errors = 10};
    CHECK(judge(&f) == HEALTH_HEALTHY); /* too few to tell */
    f.window.responses++;
    CHECK(judge(&f) == HEALTH_UNHEALTHY);
}

static void test_queue(void **state)
{
    (void)state;
    health h;
    health_figures f = {.waiting = 9, .waiting_max = 10};
    CHECK(judge(&f) == HEALTH_HEALTHY);
    f.waiting = 10;
    CHECK(judge(&f) == HEALTH_UNHEALTHY);
    f.waiting_max = 0; /* there is none */
    health_judge(&f, &h);
    CHECK(h.level == HEALTH_HEALTHY && find(&h, "queue") == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_tiers),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
