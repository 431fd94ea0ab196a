/*
 * watch.c -- jobs, stages and tiers of an engine as metrics of a registry.
 *
 * Nothing is counted twice: what the engine and its tiers count already is copied by a collector, only when somebody
 * looks.  The times of a job and of its stages go into histograms when the job ends; their instruments are
 * looked up by name then, some 300 ns each, which an engine that is not watched does not pay.
 *
 *     job.time job.failures job.faults {workload}    stage.time stage.bytes stage.failures {workload, stage}
 *     engine.jobs engine.computed engine.answered engine.shared
 *     cache.hits cache.misses cache.puts cache.evictions cache.expired cache.errors {tier}
 *     cache.entries cache.bytes cache.bytes_max cache.hit_rate cache.get_p50 cache.get_p99 {tier}
 *     predict.guesses predict.right predict.loads predict.used predict.late predict.wasted
 *
 * A metric that cannot be made (no memory, a name taken by others) is left out: no job fails of it.
 */
#include "engine/internal.h"

#include <math.h>
#include <string.h>

#include <brisk/metrics.h>

static void record_time(brisk_metrics *metrics, const brisk_metric_desc *desc, uint64_t ns)
{
    brisk_histogram *histogram;
    if (brisk_metrics_histogram(metrics, desc, &histogram) == BRISK_OK) {
        brisk_histogram_record(histogram, ns);
    }
}

static void count(brisk_metrics *metrics, const brisk_metric_desc *desc, uint64_t amount)
{
    brisk_counter *counter;
    if (brisk_metrics_counter(metrics, desc, &counter) == BRISK_OK) {
        brisk_counter_add(counter, amount);
    }
}

static void note_stage(brisk_metrics *metrics, const brisk_job *job, uint32_t index)
{
    const engine_record *record = &job->records[index];
    if (!record->ran) {
        return;
    }
    const brisk_label labels[] = {{"workload", job->workload->name},
                                  {"stage", job->workload->stages[index].name}};
    brisk_metric_desc desc = {.name = "stage.time",
                              .help = "Time of a stage",
                              .unit = BRISK_UNIT_NS,
                              .labels = labels,
                              .label_count = 2};
    record_time(metrics, &desc,
                record->end_ns > record->start_ns ? record->end_ns - record->start_ns : 0);
    uint64_t bytes = atomic_load_explicit(&record->bytes, memory_order_relaxed);
    if (bytes != 0) {
        desc.name = "stage.bytes";
        desc.help = "Bytes that a stage went through";
        desc.unit = BRISK_UNIT_BYTES;
        count(metrics, &desc, bytes);
    }
    desc.name = "stage.failures";
    desc.help = "Stages that failed";
    desc.unit = BRISK_UNIT_NONE;
    count(metrics, &desc, record->failed ? 1 : 0);
}

/* Not by what was asked for, and not ended by who asked. */
static bool is_fault(brisk_err err)
{
    return err == BRISK_ERR_NOMEM || err == BRISK_ERR_IO || err == BRISK_ERR_DEADLINE ||
           err == BRISK_ERR_FULL || err == BRISK_ERR_ABI;
}

void engine_watch_job(const brisk_job *job)
{
    /* Acquire: pairs with the release in brisk_engine_watch. */
    brisk_metrics *metrics = atomic_load_explicit(&job->engine->watched, memory_order_acquire);
    if (metrics == NULL) {
        return;
    }
    const brisk_label label = {"workload", job->workload->name};
    brisk_metric_desc desc = {.name = "job.time",
                              .help = "Time of a job",
                              .unit = BRISK_UNIT_NS,
                              .labels = &label,
                              .label_count = 1};
    record_time(metrics, &desc, brisk_job_elapsed_ns(job));
    desc.name = "job.failures";
    desc.help = "Jobs that failed";
    desc.unit = BRISK_UNIT_NONE;
    count(metrics, &desc, job->err != BRISK_OK ? 1 : 0);
    desc.name = "job.faults";
    desc.help = "Jobs that failed for another reason than what they were asked for";
    count(metrics, &desc, is_fault(job->err) ? 1 : 0);
    for (uint32_t i = 0; i < job->workload->stage_count; i++) {
        note_stage(metrics, job, i);
    }
}

/* ---- what is counted already --------------------------------------------------------------- */

static void set_total(brisk_metrics *metrics, const brisk_metric_desc *desc, uint64_t value)
{
    brisk_total *total;
    if (brisk_metrics_total(metrics, desc, &total) == BRISK_OK) {
        brisk_total_set(total, value);
    }
}

static void set_gauge(brisk_metrics *metrics, const brisk_metric_desc *desc, double value)
{
    brisk_gauge *gauge;
    if (brisk_metrics_gauge(metrics, desc, &gauge) == BRISK_OK) {
        brisk_gauge_set(gauge, value);
    }
}

static void collect_tier(brisk_metrics *metrics, const char *name, const brisk_tier_stats *stats)
{
    const struct {
        const char *name;
        const char *help;
        uint64_t value;
    } totals[] = {
        {"cache.hits", "Answers from a tier", stats->hits},
        {"cache.misses", "What a tier was asked for and did not have", stats->misses},
        {"cache.puts", "Entries put into a tier", stats->puts},
        {"cache.evictions", "Entries dropped for room", stats->evictions},
        {"cache.expired", "Entries dropped for age", stats->expired},
        {"cache.errors", "System calls of a tier that failed", stats->errors},
    };
    const struct {
        const char *name;
        const char *help;
        brisk_unit unit;
        double value;
    } gauges[] = {
        {"cache.entries", "Entries of a tier", BRISK_UNIT_NONE, (double)stats->entries},
        {"cache.bytes", "Bytes held by a tier", BRISK_UNIT_BYTES, (double)stats->bytes},
        {"cache.bytes_max", "Most bytes a tier may hold", BRISK_UNIT_BYTES,
         (double)stats->bytes_max},
        {"cache.down", "Whether a tier is not asked: its breaker is open, or it is off",
         BRISK_UNIT_NONE, stats->breaker != BRISK_BREAKER_CLOSED || stats->off ? 1 : 0},
        {"cache.hit_rate", "Hits of all that a tier was asked for", BRISK_UNIT_RATIO,
         (double)stats->hits / (double)(stats->hits + stats->misses)},
        {"cache.get_p50", "Median time of a get, sampled", BRISK_UNIT_NS,
         stats->get_p50_ns != 0 ? (double)stats->get_p50_ns : (double)NAN},
        {"cache.get_p99", "Time that 99 % of gets take at most, sampled", BRISK_UNIT_NS,
         stats->get_p99_ns != 0 ? (double)stats->get_p99_ns : (double)NAN},
    };
    const brisk_label label = {"tier", name};
    for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++) {
        set_total(metrics,
                  &(brisk_metric_desc){totals[i].name, totals[i].help, BRISK_UNIT_NONE, &label, 1},
                  totals[i].value);
    }
    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++) {
        set_gauge(metrics,
                  &(brisk_metric_desc){gauges[i].name, gauges[i].help, gauges[i].unit, &label, 1},
                  gauges[i].value);
    }
}

static void collect_predictor(brisk_metrics *metrics, brisk_predictor *predictor)
{
    brisk_predict_stats stats;
    brisk_predictor_read_stats(predictor, &stats);
    const struct {
        const char *name;
        const char *help;
        uint64_t value;
    } totals[] = {
        {"predict.guesses", "Trusted guesses of the next key that were judged", stats.guesses},
        {"predict.right", "Those that came true", stats.right},
        {"predict.loads", "Keys brought into memory ahead", stats.loads},
        {"predict.used", "Those asked for while they were there", stats.used},
        {"predict.late", "Those asked for before they were there", stats.late},
        {"predict.wasted", "Those not asked for in time", stats.wasted},
    };
    for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++) {
        set_total(metrics, &(brisk_metric_desc){.name = totals[i].name, .help = totals[i].help},
                  totals[i].value);
    }
}

static void collect(void *ctx, brisk_metrics *metrics)
{
    brisk_engine *engine = ctx;
    brisk_engine_stats stats;
    brisk_engine_read_stats(engine, &stats);
    set_total(metrics, &(brisk_metric_desc){.name = "engine.jobs", .help = "Jobs that are done"},
              stats.jobs);
    set_total(metrics,
              &(brisk_metric_desc){.name = "engine.computed", .help = "Computations begun"},
              stats.computed);
    set_total(metrics,
              &(brisk_metric_desc){.name = "engine.answered", .help = "Jobs that a tier answered"},
              stats.answered);
    set_total(metrics,
              &(brisk_metric_desc){.name = "engine.shared",
                                   .help = "Jobs that another job's computation answered"},
              stats.shared);
    if (!engine_cache_is_open(engine)) {
        return; /* looking must not open it */
    }
    brisk_cache *cache = engine_cache(engine);
    for (uint32_t i = 0; i < brisk_cache_tier_count(cache); i++) {
        brisk_tier *tier = brisk_cache_tier(cache, i);
        brisk_tier_stats of_tier = {0};
        brisk_cache_read_stats(cache, i, &of_tier);
        collect_tier(metrics, tier->name, &of_tier);
    }
    if (engine->taps.predictor != NULL) { /* made before the cache was open */
        collect_predictor(metrics, engine->taps.predictor);
    }
}

brisk_err brisk_engine_watch(brisk_engine *engine, brisk_metrics *metrics)
{
    metrics = metrics != NULL ? metrics : brisk_metrics_default();
    brisk_metrics *none = NULL;
    /* Release: pairs with the acquire of jobs that end. */
    if (!atomic_compare_exchange_strong_explicit(&engine->watched, &none, metrics,
                                                 memory_order_release, memory_order_relaxed)) {
        return none == metrics ? BRISK_OK : BRISK_ERR_CONFLICT;
    }
    brisk_err err = brisk_metrics_collect(metrics, collect, engine);
    if (err != BRISK_OK) {
        atomic_store_explicit(&engine->watched, NULL, memory_order_release);
    }
    return err;
}

void brisk_engine_unwatch(brisk_engine *engine)
{
    brisk_metrics *metrics = atomic_exchange_explicit(&engine->watched, NULL, memory_order_acq_rel);
    if (metrics != NULL) {
        brisk_metrics_collect_stop(metrics, collect, engine);
    }
}
