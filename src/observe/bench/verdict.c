/*
 * verdict.c -- do two commands differ, by how much, and what could have been missed.
 *
 * Times become logarithms: a shift of them is a ratio.  Side by side, the estimate is the
 * Hodges-Lehmann shift of the paired differences; at different times, that of all differences.
 *
 *     different    the interval (97.5 %) leaves out zero, and the estimate is at least the noise
 *                  floor and at least min_effect
 *     too noisy    otherwise, when a change as large as `noisy` could have been missed
 *
 * The noise floor is measured, not assumed: from the two runs that a command has in each block comes
 * how far estimates over as many pairs would scatter if both commands were the same one.
 *
 * For commands that keep a processor busy, processor time sees smaller changes than wall time, because waiting for a processor is no part of it (on two processors with eight neighbours A/A
 * estimates scattered by 0.5 %, those of wall time by 7 %).  It decides when its interval is the
 * narrower one and it lies within what wall time allows; a command that waits longer than before does
 * not, and wall time decides.
 *
 * Pairs whose neighbours resemble each other (lag 1 above 0.2) count for fewer: the interval is
 * widened by sqrt((1 + r) / (1 - r)).
 *
 * Sources: T. Kalibera, R. Jones, Rigorous Benchmarking in Reasonable Time, 2013 (effect sizes);
 *          T. Hoefler, R. Belli, Scientific Benchmarking of Parallel Computing Systems, 2015.
 */
#include <math.h>

#include "observe/bench/bench.h"

enum { FLOOR_PAIRS_MIN = 4 };

static const double confidence_default = 0.975; /* wall and processor time: 95 % for both */
static const double floor_z = 1.96;     /* 19 of 20 estimates of nothing are below the floor */
static const double mad_to_sd = 1.4826; /* of a normal distribution */
static const double hodges_lehmann = 1.02333; /* sqrt(pi / 3): its standard error there */
static const double power_z = 0.8416;         /* of the normal distribution at 0.8 */
static const double autocorrelation_limit = 0.2;
static const double busy_share = 0.6;      /* of wall time, to trust processor time */
static const double unpaired_floor = 0.01; /* a machine an hour later is another machine */

const char *bench_verdict_name(bench_verdict verdict)
{
    switch (verdict) {
    case BENCH_FASTER: return "faster";
    case BENCH_SLOWER: return "slower";
    case BENCH_NO_DIFFERENCE: return "no difference shown";
    case BENCH_TOO_NOISY: return "too noisy";
    }
    return "?";
}

brisk_err bench_describe(bench_subject *subject)
{
    return brisk_sample_describe(subject->wall_ns, subject->run_count, NULL, &subject->figures);
}

static double lag1(const double *values, uint32_t count)
{
    brisk_sample_figures figures = {0};
    return brisk_sample_describe(values, count, NULL, &figures) == BRISK_OK
               ? figures.autocorrelation1
               : 0.0;
}

static void widen(brisk_interval *i, double r)
{
    if (r > autocorrelation_limit) {
        double by = sqrt((1.0 + fmin(r, 0.95)) / (1.0 - fmin(r, 0.95)));
        i->low = i->estimate - (i->estimate - i->low) * by;
        i->high = i->estimate + (i->high - i->estimate) * by;
    }
}

static double half_width(const brisk_interval *i)
{
    return (i->high - i->low) / 2.0;
}

/* --- shifts of logarithms ---------------------------------------------------------------- */

static brisk_err paired_shift(const double *before, const double *now, uint32_t count,
                              double confidence, brisk_interval *ret)
{
    double differences[BENCH_RUNS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        differences[i] = log(now[i] / before[i]);
    }
    brisk_err err = brisk_compare_paired(differences, count, confidence, NULL, ret);
    if (err == BRISK_OK) {
        widen(ret, lag1(differences, count));
    }
    return err;
}

static brisk_err unpaired_shift(const bench_subject *baseline, const bench_subject *subject,
                                bool cpu, double confidence, brisk_interval *ret)
{
    double before[BENCH_RUNS_MAX];
    double now[BENCH_RUNS_MAX];
    const double *from_before = cpu ? baseline->cpu_ns : baseline->wall_ns;
    const double *from_now = cpu ? subject->cpu_ns : subject->wall_ns;
    for (uint32_t i = 0; i < baseline->run_count; i++) {
        before[i] = log(from_before[i]);
    }
    for (uint32_t i = 0; i < subject->run_count; i++) {
        now[i] = log(from_now[i]);
    }
    brisk_two_samples samples = {before, now, baseline->run_count, subject->run_count};
    brisk_err err = brisk_compare_unpaired(&samples, confidence, NULL, ret);
    if (err == BRISK_OK) {
        double r = fmax(lag1(before, baseline->run_count), lag1(now, subject->run_count));
        widen(ret, r);
    }
    return err;
}

/** From logarithms to shares: exp(x) - 1. */
static brisk_interval to_shares(const brisk_interval *i)
{
    return (brisk_interval){
        .estimate = expm1(i->estimate), .low = expm1(i->low), .high = expm1(i->high), .p = i->p};
}

/* --- the noise floor ----------------------------------------------------------------------- */

static double floor_of(const bench_subject *const *subjects, uint32_t count, bool cpu)
{
    double differences[2 * BENCH_RUNS_MAX];
    uint32_t used = 0;
    uint32_t least = UINT32_MAX;
    for (uint32_t s = 0; s < count; s++) {
        const double *times = cpu ? subjects[s]->cpu_ns : subjects[s]->wall_ns;
        uint32_t runs = subjects[s]->run_count;
        least = runs < least ? runs : least;
        for (uint32_t i = 0; i + 1 < runs && used < 2 * BENCH_RUNS_MAX; i += 2) {
            /* In turn forwards and backwards, so that a drift cancels out. */
            double later = log(times[i + 1] / times[i]);
            differences[used++] = i / 2 % 2 == 0 ? later : -later;
        }
    }
    brisk_sample_figures f;
    if (used < FLOOR_PAIRS_MIN || brisk_sample_describe(differences, used, NULL, &f) != BRISK_OK) {
        return (double)NAN;
    }
    return floor_z * mad_to_sd * f.mad * hodges_lehmann / sqrt(least);
}

double bench_noise_floor(const bench_subject *const *subjects, uint32_t count)
{
    return floor_of(subjects, count, false);
}

/* --- the verdict --------------------------------------------------------------------------- */

static bool excludes_zero(const brisk_interval *i)
{
    return i->low > 0.0 || i->high < 0.0;
}

/** Is this shift more than chance, more than the floor and more than asked for? */
static bool is_different(const brisk_interval *shift, double floor, double min_effect)
{
    double size = fabs(shift->estimate);
    return isfinite(floor) && excludes_zero(shift) && size >= floor && size >= log1p(min_effect);
}

static bench_verdict verdict_of(const brisk_interval *shift, double floor, double min_effect)
{
    return !is_different(shift, floor, min_effect) ? BENCH_NO_DIFFERENCE
           : shift->estimate < 0.0                 ? BENCH_FASTER
                                                   : BENCH_SLOWER;
}

static double smallest_found(const brisk_interval *shift, double confidence, double floor,
                             double min_effect)
{
    double z = brisk_normal_quantile(1.0 - (1.0 - confidence) / 2.0);
    double found = half_width(shift) * (1.0 + power_z / z);
    return fmax(expm1(fmax(found, floor)), min_effect);
}

/** Median share of wall time that the command spends on processors, or waiting for one. */
static double busy(const bench_subject *subject)
{
    double shares[BENCH_RUNS_MAX];
    for (uint32_t i = 0; i < subject->run_count; i++) {
        shares[i] = subject->busy_ns[i] / subject->wall_ns[i];
    }
    brisk_sample_sort(shares, subject->run_count);
    return brisk_sample_median(shares, subject->run_count);
}

static bool within(const brisk_interval *inner, const brisk_interval *outer)
{
    return inner->estimate >= outer->low && inner->estimate <= outer->high;
}

static brisk_err shift_of(const bench_subject *baseline, const bench_subject *subject, bool paired,
                          bool cpu, double confidence, brisk_interval *ret)
{
    if (!paired) {
        return unpaired_shift(baseline, subject, cpu, confidence, ret);
    }
    uint32_t count =
        baseline->run_count < subject->run_count ? baseline->run_count : subject->run_count;
    return cpu ? paired_shift(baseline->cpu_ns, subject->cpu_ns, count, confidence, ret)
               : paired_shift(baseline->wall_ns, subject->wall_ns, count, confidence, ret);
}

/** Both floors together: what was kept had a noise of its own. */
static double pair_floor(const bench_subject *baseline, const bench_subject *subject, bool paired,
                         bool cpu)
{
    const bench_subject *both[] = {baseline, subject};
    if (paired) {
        return floor_of(both, 2, cpu);
    }
    double floor = hypot(floor_of(&both[0], 1, cpu), floor_of(&both[1], 1, cpu));
    return fmax(floor / sqrt(2.0), unpaired_floor);
}

static void decide_by_cpu(const bench_subject *baseline, const bench_subject *subject,
                          const bench_limits *l, const brisk_interval *wall, bench_comparison *c)
{
    brisk_interval cpu;
    if (busy(baseline) < busy_share || busy(subject) < busy_share ||
        shift_of(baseline, subject, c->paired, true, l->confidence, &cpu) != BRISK_OK) {
        return;
    }
    c->has_cpu = true;
    c->cpu = to_shares(&cpu);
    double floor = pair_floor(baseline, subject, c->paired, true);
    bool better = half_width(&cpu) < half_width(wall) && within(&cpu, wall);
    if (!better) {
        return;
    }
    c->by_cpu = true;
    c->floor = expm1(floor);
    c->detectable = smallest_found(&cpu, l->confidence, floor, l->min_effect);
    c->verdict = verdict_of(&cpu, floor, l->min_effect);
}

static brisk_err bootstrap_ratio(const bench_subject *baseline, const bench_subject *subject,
                                 const bench_limits *l, bench_comparison *c)
{
    uint32_t a_count = c->paired ? c->pairs : subject->run_count;
    uint32_t b_count = c->paired ? c->pairs : baseline->run_count;
    brisk_two_samples samples = {subject->wall_ns, baseline->wall_ns, a_count, b_count};
    brisk_bootstrap_opts opts = {.confidence = l->confidence, .paired = c->paired, .seed = l->seed};
    return brisk_compare_medians(&samples, &opts, &c->ratio);
}

brisk_err bench_compare(const bench_subject *baseline, const bench_subject *subject, bool paired,
                        const bench_limits *limits, bench_comparison *ret)
{
    bench_limits l = *limits;
    l.confidence = l.confidence > 0.0 ? l.confidence : confidence_default;
    bench_comparison c = {.paired = paired, .min_effect = l.min_effect};
    c.pairs = baseline->run_count < subject->run_count ? baseline->run_count : subject->run_count;
    if (c.pairs == 0 || c.pairs > BENCH_RUNS_MAX) {
        return BRISK_ERR_INVALID;
    }
    brisk_interval wall;
    brisk_err err = shift_of(baseline, subject, paired, false, l.confidence, &wall);
    if (err == BRISK_OK) {
        err = bootstrap_ratio(baseline, subject, &l, &c);
    }
    if (err != BRISK_OK) {
        return err;
    }
    double floor = pair_floor(baseline, subject, paired, false);
    c.change = to_shares(&wall);
    c.floor = expm1(floor);
    c.detectable = smallest_found(&wall, l.confidence, floor, l.min_effect);
    c.verdict = verdict_of(&wall, floor, l.min_effect);
    decide_by_cpu(baseline, subject, &l, &wall, &c);
    if (c.verdict == BENCH_NO_DIFFERENCE && !(c.detectable < l.noisy)) {
        c.verdict = BENCH_TOO_NOISY;
    }
    bool counted = baseline->instructions > 0 && subject->instructions > 0;
    c.instruction_change =
        counted ? (double)subject->instructions / (double)baseline->instructions - 1.0
                : (double)NAN;
    *ret = c;
    return BRISK_OK;
}
