/*
 * The step in correlated noise against plain least squares with the regressors written out; and that
 * its chance is what it says.
 */
#include <math.h>

#include "observe/stats/series.h"
#include "series_noise.h"
#include "support/check.h"

enum { COUNT = 60, EDGE = 5, ROUNDS = 40, STEADY = 1000 };

/* Rest of squares of the filtered values on the filtered level and, when at < COUNT, step. */
static double plain_rest(const double *values, double phi, size_t at)
{
    double g[2][2] = {{0, 0}, {0, 0}};
    double r[2] = {0, 0};
    double square = 0;
    for (size_t t = 0; t < COUNT; t++) {
        double scale = t == 0 ? sqrt(1 - phi * phi) : 1;
        double before = t == 0 ? 0 : phi;
        double y = scale * values[t] - before * (t == 0 ? 0 : values[t - 1]);
        double x[2] = {scale - before, (t >= at ? scale : 0) - (t > 0 && t - 1 >= at ? before : 0)};
        for (int i = 0; i < 2; i++) {
            for (int k = 0; k < 2; k++) {
                g[i][k] += x[i] * x[k];
            }
            r[i] += x[i] * y;
        }
        square += y * y;
    }
    if (at >= COUNT) {
        return square - r[0] * r[0] / g[0][0];
    }
    double det = g[0][0] * g[1][1] - g[0][1] * g[1][0];
    double a = (r[0] * g[1][1] - r[1] * g[0][1]) / det;
    double b = (r[1] * g[0][0] - r[0] * g[1][0]) / det;
    return square - a * r[0] - b * r[1];
}

static void test_plain(void **state)
{
    (void)state;
    brisk_rng rng;
    brisk_rng_init(&rng, check_seed());
    for (int round = 0; round < ROUNDS; round++) {
        double values[COUNT];
        double rest[COUNT];
        noise_make(&rng, NOISE_CORRELATED, values, COUNT, 30, round % 2 * 0.06);
        double none = HUGE_VAL;
        double least = HUGE_VAL;
        size_t peak = 0;
        for (int step = 0; step <= 20; step++) {
            double phi = step == 20 ? 0.99 : step * 0.05;
            double scale = pow(1 - phi * phi, -1.0 / COUNT);
            none = fmin(none, plain_rest(values, phi, COUNT) * scale);
            for (size_t at = EDGE; at <= COUNT - EDGE; at++) {
                double here = plain_rest(values, phi, at) * scale;
                peak = here < least ? at : peak;
                least = fmin(least, here);
            }
        }
        series_shift got = series_shift_best(&(series_stretch){values, COUNT, EDGE, rest});
        CHECK_U64(got.peak, ==, peak);
        CHECK(fabs(got.z - sqrt((COUNT - 3) * log(none / least))) < 1e-3);
        CHECK(got.at >= EDGE && got.at <= COUNT - EDGE);
    }
}

/* Steady noise: p <= 0.02 in about one of fifty, correlated or not. */
static void test_chance(void **state)
{
    (void)state;
    brisk_rng rng;
    brisk_rng_init(&rng, check_seed());
    for (int kind = NOISE_NORMAL; kind < NOISE_KINDS; kind += NOISE_CORRELATED) {
        int alarms = 0;
        for (int round = 0; round < STEADY; round++) {
            double values[COUNT];
            double rest[COUNT];
            noise_make(&rng, kind, values, COUNT, COUNT, 0);
            series_shift got = series_shift_best(&(series_stretch){values, COUNT, EDGE, rest});
            alarms += got.p_value <= 0.02 ? 1 : 0;
        }
        print_message("%s: %d of %d\n", noise_name(kind), alarms, STEADY);
        CHECK(alarms <= STEADY / 20);
    }
}

static void test_autocorrelation(void **state)
{
    (void)state;
    static double values[4000];
    brisk_rng rng;
    brisk_rng_init(&rng, check_seed());
    for (int kind = 0; kind < NOISE_KINDS; kind++) {
        static double scores[4000];
        noise_make(&rng, kind, values, 4000, 2000, 0.1); /* the step does not disturb it */
        CHECK_OK(series_scores(values, 4000, brisk_alloc_libc(), scores));
        double phi = series_autocorrelation(scores, 4000);
        CHECK(fabs(phi - (kind == NOISE_CORRELATED ? 0.6 : 0)) < 0.08);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain), cmocka_unit_test(test_chance),
                                       cmocka_unit_test(test_autocorrelation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
