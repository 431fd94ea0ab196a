/*
 * test_fetch_ask.c -- how long an answer of a registry counts.
 */
#include "support/check.h"
#include "workload/pkg/fetch_internal.h"

static void test_how_long_an_answer_counts(void **state)
{
    (void)state;
    enum { NOW_S = 1700000000, YEAR_S = 366 * 86400 };
    static const struct {
        brisk_http_caching caching;
        int64_t fresh_s;
    } cases[] = {
        {{.has_max_age = true, .max_age_s = 300}, 300},
        {{.has_max_age = true, .max_age_s = 300, .age_s = 200}, 100},
        {{.has_max_age = true, .max_age_s = 300, .age_s = 301}, 0},
        {{.has_max_age = true, .max_age_s = UINT64_MAX}, YEAR_S},
        {{.has_max_age = true, .max_age_s = 300, .no_cache = true}, 0},
        {{.has_max_age = true, .max_age_s = 300, .no_store = true}, 0},
        {{.has_max_age = true, .max_age_s = 60, .has_expires = true, .expires_s = 0}, 60},
        {{.has_expires = true, .expires_s = NOW_S + 60, .date_s = NOW_S}, 60},
        {{.has_expires = true, .expires_s = NOW_S, .date_s = NOW_S + 5}, 0},
        {{.has_expires = true, .expires_s = NOW_S - 86400}, 0}, /* no Date: our own clock */
        {{.has_expires = true, .expires_s = NOW_S + 60}, 60},
        {{.has_expires = true, .expires_s = 0}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t now_ms = INT64_C(1000) * NOW_S + 7;
        int64_t fresh = (fetch_fresh_until(&cases[i].caching, now_ms) - now_ms) / 1000;
        if (fresh != cases[i].fresh_s) {
            fail_msg("case %zu: %lld s", i, (long long)fresh);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_how_long_an_answer_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
