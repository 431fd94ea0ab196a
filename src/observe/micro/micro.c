/*
 * micro.c -- small functions, measured side by side, behind <brisk/bench.h>.
 *
 *     calibrate    calls doubled until they take a tenth of a sample, then scaled to a whole one
 *     block        all cases in random order, then backwards: samples 2b and 2b + 1 of each
 *
 * A sample is long against the clock (1 ms against some 20 ns), so the clock's cost is not taken off.
 *
 * Invariant: at the end of a block every case has the same number of samples.
 */
#include <math.h>
#include <string.h>

#include <brisk/bench.h>
#include <brisk/rng.h>

#include "base/assert.h"

enum {
    SAMPLE_NS_DEFAULT = 1000000,
    SAMPLES_DEFAULT = 40,
};

static const uint64_t calls_max = UINT64_C(1) << 40;

/* Written, never read: what is stored here cannot be left out. */
static _Thread_local const void *volatile kept;

void brisk_bench_keep(const void *value)
{
    kept = value;
    (void)kept;
}

static double *take(const brisk_alloc *alloc, uint32_t count)
{
    return alloc->acquire(alloc->ctx, count * sizeof(double), _Alignof(double));
}

void brisk_bench_results_deinit(brisk_bench_result *results, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (results[i].ns != NULL) {
            results[i].alloc_->release(results[i].alloc_->ctx, results[i].ns,
                                       results[i].capacity_ * sizeof(double), _Alignof(double));
        }
        results[i] = (brisk_bench_result){0};
    }
}

/** Time of one sample, at least 1. */
static uint64_t time_of(const brisk_bench_case *c, uint64_t calls, const brisk_clock *clock)
{
    if (c->prepare != NULL) {
        c->prepare(c->ctx);
    }
    uint64_t start = brisk_clock_now_ns(clock);
    c->run(c->ctx, calls);
    uint64_t took = brisk_clock_now_ns(clock) - start;
    return took > 0 ? took : 1;
}

static uint64_t calibrate(const brisk_bench_case *c, const brisk_bench_opts *o)
{
    uint64_t calls = 1;
    uint64_t took = time_of(c, calls, o->clock);
    while (took < o->sample_ns / 10 && calls < calls_max) {
        calls *= 2;
        took = time_of(c, calls, o->clock);
    }
    double scaled = (double)calls * (double)o->sample_ns / (double)took;
    return scaled <= 1.0 ? 1 : scaled >= (double)calls_max ? calls_max : (uint64_t)scaled;
}

typedef struct bench_loop {
    const brisk_bench_case *cases;
    uint32_t count;
    const brisk_bench_opts *opts;
    brisk_bench_result *results;
    uint32_t order[BRISK_BENCH_CASES_MAX];
    brisk_rng rng;
} bench_loop;

static void sample(bench_loop *l, uint32_t index)
{
    brisk_bench_result *r = &l->results[index];
    BRISK_ASSERT(r->count < r->capacity_);
    uint64_t took = time_of(&l->cases[index], r->calls, l->opts->clock);
    r->ns[r->count++] = (double)took / (double)r->calls;
}

static void run_block(bench_loop *l, bool whole)
{
    for (uint32_t i = 0; i < l->count; i++) {
        l->order[i] = i;
    }
    for (uint32_t i = l->count; i > 1; i--) {
        uint32_t other = (uint32_t)brisk_rng_below(&l->rng, i);
        uint32_t held = l->order[i - 1];
        l->order[i - 1] = l->order[other];
        l->order[other] = held;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        sample(l, l->order[i]);
    }
    for (uint32_t i = l->count; whole && i > 0; i--) {
        sample(l, l->order[i - 1]);
    }
}

static brisk_err run_all(bench_loop *l)
{
    const brisk_bench_opts *o = l->opts;
    uint64_t started = brisk_clock_now_ns(o->clock);
    for (uint32_t i = 0; i < l->count; i++) {
        l->results[i].calls = calibrate(&l->cases[i], o);
    }
    uint32_t done = 0;
    while (done < o->samples) {
        bool over = o->duration_ns > 0 && done >= 2 &&
                    brisk_clock_now_ns(o->clock) - started >= o->duration_ns;
        if (over || (o->stop != NULL && o->stop(o->stop_ctx, done, o->samples))) {
            break;
        }
        bool whole = done + 1 < o->samples;
        run_block(l, whole);
        done += whole ? 2 : 1;
    }
    return done >= 2 || done == o->samples ? BRISK_OK : BRISK_ERR_CANCELLED;
}

static brisk_err make_results(const brisk_bench_case *cases, uint32_t count,
                              const brisk_bench_opts *o, brisk_bench_result *results)
{
    for (uint32_t i = 0; i < count; i++) {
        if (cases[i].run == NULL || cases[i].name == NULL) {
            return BRISK_ERR_INVALID;
        }
        results[i].name = cases[i].name;
        results[i].alloc_ = o->alloc;
        results[i].capacity_ = o->samples;
        results[i].ns = take(o->alloc, o->samples);
        if (results[i].ns == NULL) {
            return BRISK_ERR_NOMEM;
        }
    }
    return BRISK_OK;
}

static brisk_err describe_all(brisk_bench_result *results, uint32_t count,
                              const brisk_bench_opts *o)
{
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < count && err == BRISK_OK; i++) {
        err = brisk_sample_describe(results[i].ns, results[i].count, o->alloc, &results[i].figures);
    }
    return err;
}

brisk_err brisk_bench_run(const brisk_bench_case *cases, uint32_t count,
                          const brisk_bench_opts *opts, brisk_bench_result *results)
{
    brisk_bench_opts o = opts != NULL ? *opts : (brisk_bench_opts){0};
    o.sample_ns = o.sample_ns > 0 ? o.sample_ns : SAMPLE_NS_DEFAULT;
    o.samples = o.samples > 0 ? o.samples : SAMPLES_DEFAULT;
    o.alloc = o.alloc != NULL ? o.alloc : brisk_alloc_libc();
    if (count == 0) {
        return BRISK_ERR_INVALID;
    }
    if (count > BRISK_BENCH_CASES_MAX || o.samples > BRISK_BENCH_SAMPLES_MAX) {
        return BRISK_ERR_LIMIT;
    }
    brisk_bench_result made[BRISK_BENCH_CASES_MAX];
    memset(made, 0, count * sizeof *made);
    bench_loop l = {.cases = cases, .count = count, .opts = &o, .results = made};
    brisk_rng_init(&l.rng, o.seed);
    brisk_err err = make_results(cases, count, &o, made);
    if (err == BRISK_OK) {
        err = run_all(&l);
    }
    if (err == BRISK_OK) {
        err = describe_all(made, count, &o);
    }
    if (err != BRISK_OK) {
        brisk_bench_results_deinit(made, count);
        return err;
    }
    memcpy(results, made, count * sizeof *made);
    return BRISK_OK;
}

brisk_err brisk_bench_compare(const brisk_bench_result *a, const brisk_bench_result *b,
                              double confidence, brisk_interval *ret)
{
    uint32_t count = a->count < b->count ? a->count : b->count;
    const brisk_alloc *alloc = a->alloc_ != NULL ? a->alloc_ : brisk_alloc_libc();
    if (count == 0) {
        return BRISK_ERR_INVALID;
    }
    double *differences = take(alloc, count);
    if (differences == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        differences[i] = log(b->ns[i] / a->ns[i]);
    }
    brisk_interval shift;
    brisk_err err = brisk_compare_paired(differences, count, confidence, alloc, &shift);
    alloc->release(alloc->ctx, differences, count * sizeof *differences, _Alignof(double));
    if (err == BRISK_OK) {
        *ret = (brisk_interval){.estimate = expm1(shift.estimate),
                                .low = expm1(shift.low),
                                .high = expm1(shift.high),
                                .p = shift.p};
    }
    return err;
}
