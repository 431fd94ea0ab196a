/*
 * service.c -- the metrics of something that answers requests, behind <brisk/service.h>.
 *
 * Everything but the Apdex is counters, a histogram and ratios.  The Apdex is set by a collector: it counts
 * the requests within target and four times target from the histogram, keeps these counts once a second, and
 * takes the difference to the oldest that is kept: a minute, or as long as is known.  A failure pleases nobody: those
 * within these bounds are counted apart and taken off there; one that took longer is in neither count already.
 *
 * `ring` and what belongs to it is touched by the collector only, which the registry runs one at a time.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <brisk/clock.h>
#include <brisk/service.h>

#include "base/assert.h"
#include "metrics/hist.h"
#include "metrics/histogram.h"
#include "metrics/registry.h"

enum { FLOWS = BRISK_FLOW_MISSES + 1, KEPT = 61, NAME_TAIL = 16 };

static const uint64_t second_ns = UINT64_C(1000000000);
static const uint64_t target_default_ns = UINT64_C(100000000);

/* Totals at one moment. */
typedef struct pleased {
    uint64_t at_ns;
    uint64_t count;
    uint64_t satisfied;
    uint64_t tolerating;
} pleased;

struct brisk_service {
    const brisk_alloc *alloc;
    brisk_metrics *metrics;
    uint64_t target_ns;
    brisk_histogram *time;
    brisk_counter *failures;
    brisk_counter *timeouts;
    brisk_counter *flows[FLOWS];
    brisk_gauge *apdex;
    uint64_t failed_satisfied; /* in time, and yet failed; relaxed atomics */
    uint64_t failed_tolerating;
    pleased ring[KEPT];
    uint32_t kept;
    uint32_t next;
};

/* ---- Apdex --------------------------------------------------------------------------------- */

typedef struct apdex_walk {
    uint64_t target_ns;
    pleased *sums;
} apdex_walk;

static bool is_satisfied(uint64_t target_ns, uint32_t index)
{
    return metrics_hist_low(BRISK_HISTOGRAM_BITS, index) <= target_ns;
}

static bool is_tolerating(uint64_t target_ns, uint32_t index)
{
    uint64_t low = metrics_hist_low(BRISK_HISTOGRAM_BITS, index);
    return low > target_ns && low / 4 <= target_ns;
}

static void add_bucket(void *ctx, uint32_t index, uint64_t count)
{
    apdex_walk *walk = ctx;
    walk->sums->satisfied += is_satisfied(walk->target_ns, index) ? count : 0;
    walk->sums->tolerating += is_tolerating(walk->target_ns, index) ? count : 0;
}

static uint64_t less(uint64_t all, const uint64_t *failed)
{
    uint64_t gone = __atomic_load_n(failed, __ATOMIC_RELAXED);
    return all > gone ? all - gone : 0;
}

static pleased count_pleased(const brisk_service *service)
{
    pleased now = {.at_ns = brisk_clock_now_ns(service->metrics->clock)};
    apdex_walk walk = {.target_ns = service->target_ns, .sums = &now};
    brisk_histogram_sums sums;
    (void)metrics_histogram_walk(service->time, add_bucket, &walk, &sums);
    now.count = sums.count;
    now.satisfied = less(now.satisfied, &service->failed_satisfied);
    now.tolerating = less(now.tolerating, &service->failed_tolerating);
    return now;
}

static void set_apdex(void *ctx, brisk_metrics *metrics)
{
    brisk_service *service = ctx;
    (void)metrics;
    pleased now = count_pleased(service);
    const pleased *oldest = &service->ring[(service->next + KEPT - service->kept) % KEPT];
    const pleased *last = &service->ring[(service->next + KEPT - 1) % KEPT];
    double count = (double)(now.count - oldest->count);
    double score = (double)now.satisfied - (double)oldest->satisfied +
                   ((double)now.tolerating - (double)oldest->tolerating) / 2;
    brisk_gauge_set(service->apdex, count > 0 ? fmax(score, 0) / count : (double)NAN);
    if (now.at_ns - last->at_ns >= second_ns) {
        service->ring[service->next] = now;
        service->next = (service->next + 1) % KEPT;
        service->kept += service->kept < KEPT ? 1 : 0;
    }
}

/* ---- making -------------------------------------------------------------------------------- */

/* One metric of the service on its way: its whole name, and what it is. */
typedef struct making {
    char name[BRISK_METRIC_NAME_MAX];
    brisk_metric_desc desc;
} making;

static const brisk_metric_desc *describe(making *m, const char *name, const char *tail,
                                         const char *help)
{
    (void)snprintf(m->name, sizeof m->name, "%s.%s", name, tail);
    m->desc = (brisk_metric_desc){.name = m->name, .help = help};
    return &m->desc;
}

static brisk_err make_counters(brisk_service *service, const char *name)
{
    static const struct {
        const char *tail;
        const char *help;
        brisk_unit unit;
    } flows[FLOWS] = {
        [BRISK_FLOW_OPERATIONS] = {"operations", "Operations done", BRISK_UNIT_NONE},
        [BRISK_FLOW_BYTES] = {"bytes", "Bytes moved", BRISK_UNIT_BYTES},
        [BRISK_FLOW_MESSAGES] = {"messages", "Messages moved", BRISK_UNIT_NONE},
        [BRISK_FLOW_HITS] = {"hits", "Answers from a cache", BRISK_UNIT_NONE},
        [BRISK_FLOW_MISSES] = {"misses", "Answers a cache did not have", BRISK_UNIT_NONE},
    };
    making m;
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; err == BRISK_OK && i < FLOWS; i++) {
        (void)describe(&m, name, flows[i].tail, flows[i].help);
        m.desc.unit = flows[i].unit;
        err = brisk_metrics_counter(service->metrics, &m.desc, &service->flows[i]);
    }
    if (err == BRISK_OK) {
        err = brisk_metrics_counter(service->metrics,
                                    describe(&m, name, "failures", "Requests that failed"),
                                    &service->failures);
    }
    if (err == BRISK_OK) {
        err = brisk_metrics_counter(service->metrics,
                                    describe(&m, name, "timeouts", "Requests that took too long"),
                                    &service->timeouts);
    }
    if (err == BRISK_OK) {
        (void)describe(&m, name, "time", "Time of requests");
        m.desc.unit = BRISK_UNIT_NS;
        err = brisk_metrics_histogram(service->metrics, &m.desc, &service->time);
    }
    return err;
}

static brisk_err make_ratio(const brisk_service *service, const char *name, const char *tail,
                            const char *const over[2], const char *const under[2])
{
    making parts[4];
    brisk_metric_desc descs[4];
    uint32_t counts[2] = {0};
    for (uint32_t i = 0; i < 2; i++) {
        const char *const *tails = i == 0 ? over : under;
        for (; counts[i] < 2 && tails[counts[i]] != NULL; counts[i]++) {
            uint32_t at = i * 2 + counts[i];
            descs[at] = *describe(&parts[at], name, tails[counts[i]], NULL);
        }
    }
    making m;
    (void)describe(&m, name, tail, "Part of all");
    m.desc.unit = BRISK_UNIT_RATIO;
    brisk_ratio ratio = {descs, counts[0], descs + 2, counts[1]};
    return brisk_metrics_ratio(service->metrics, &m.desc, &ratio);
}

static brisk_err make_derived(brisk_service *service, const char *name)
{
    static const char *const bad[2] = {"failures", "timeouts"};
    static const char *const all[2] = {"time", NULL};
    static const char *const hits[2] = {"hits", NULL};
    static const char *const asked[2] = {"hits", "misses"};
    brisk_err err = make_ratio(service, name, "error_rate", bad, all);
    if (err == BRISK_OK) {
        err = make_ratio(service, name, "hit_rate", hits, asked);
    }
    if (err == BRISK_OK) {
        making m;
        (void)describe(&m, name, "apdex", "How satisfied those who wait are");
        m.desc.unit = BRISK_UNIT_RATIO;
        err = brisk_metrics_gauge(service->metrics, &m.desc, &service->apdex);
    }
    if (err == BRISK_OK) {
        brisk_gauge_set(service->apdex, (double)NAN);
        service->ring[0] =
            count_pleased(service); /* what others counted under this name is not ours */
        service->kept = 1;
        service->next = 1;
        err = brisk_metrics_collect(service->metrics, set_apdex, service);
    }
    return err;
}

brisk_err brisk_service_create(const brisk_service_opts *opts, brisk_service **ret)
{
    BRISK_ASSERT(ret != NULL && opts != NULL);
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    if (opts->name == NULL ||
        strnlen(opts->name, BRISK_METRIC_NAME_MAX) >= BRISK_METRIC_NAME_MAX - NAME_TAIL) {
        return BRISK_ERR_INVALID;
    }
    brisk_service *service = alloc->acquire(alloc->ctx, sizeof *service, _Alignof(brisk_service));
    if (service == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *service = (brisk_service){
        .alloc = alloc,
        .metrics = opts->metrics != NULL ? opts->metrics : brisk_metrics_default(),
        .target_ns = opts->target_ns != 0 ? opts->target_ns : target_default_ns,
    };
    brisk_err err = make_counters(service, opts->name);
    if (err == BRISK_OK) {
        err = make_derived(service, opts->name);
    }
    if (err != BRISK_OK) {
        alloc->release(alloc->ctx, service, sizeof *service, _Alignof(brisk_service));
        return err;
    }
    *ret = service;
    return BRISK_OK;
}

void brisk_service_destroy(brisk_service *service)
{
    if (service != NULL) {
        brisk_metrics_collect_stop(service->metrics, set_apdex, service);
        service->alloc->release(service->alloc->ctx, service, sizeof *service,
                                _Alignof(brisk_service));
    }
}

void brisk_service_done(brisk_service *service, brisk_outcome outcome, uint64_t time_ns)
{
    brisk_histogram_record(service->time, time_ns);
    if (outcome != BRISK_OUTCOME_OK) {
        uint32_t index = brisk_hist_index(BRISK_HISTOGRAM_BITS, time_ns);
        if (is_satisfied(service->target_ns, index)) {
            (void)__atomic_fetch_add(&service->failed_satisfied, 1, __ATOMIC_RELAXED);
        } else if (is_tolerating(service->target_ns, index)) {
            (void)__atomic_fetch_add(&service->failed_tolerating, 1, __ATOMIC_RELAXED);
        }
        brisk_counter_add(outcome == BRISK_OUTCOME_TIMEOUT ? service->timeouts : service->failures,
                          1);
    }
}

void brisk_service_add(brisk_service *service, brisk_flow flow, uint64_t amount)
{
    BRISK_ASSERT((unsigned)flow < FLOWS);
    brisk_counter_add(service->flows[flow], amount);
}
