/*
 * burn.c -- how fast the errors that an objective leaves are used up, over windows of five minutes to three days.
 *
 *     burn rate = (bad / all in the window) / (1 - objective)
 *
 * Totals are kept every 5 s for an hour and every 5 minutes for three days: 25 KiB of 24-byte points for each budget.  A
 * window begins at the youngest point that is at least as old; when nothing is that old, at the oldest one: a
 * young program is judged by what there is of it, and `min_events` keeps that from being too little.
 *
 * Threads: none of its own.
 * Source: B. Beyer and others, The Site Reliability Workbook, chapter 5.
 */
#include <math.h>
#include <stdio.h>

#include "observe/budget/budget.h"

static const uint64_t second_ns = 1000000000;
static const uint64_t fine_ns = 5 * UINT64_C(1000000000);
static const uint64_t coarse_ns = 300 * UINT64_C(1000000000);

typedef struct rule {
    double factor;
    uint64_t long_s;
    uint64_t short_s;
    brisk_budget_level level;
    const char *words;
} rule;

static const rule rules[] = {
    {14.4, 3600, 300, BRISK_BUDGET_CRITICAL, "1 h and 5 min"},
    {6.0, 6 * 3600, 1800, BRISK_BUDGET_CRITICAL, "6 h and 30 min"},
    {1.0, 3 * 86400, 6 * 3600, BRISK_BUDGET_WARNING, "3 d and 6 h"},
};

static void keep(burn_point *points, uint64_t *count, uint32_t capacity, uint64_t every_ns,
                 const burn_point *point)
{
    const burn_point *last = *count > 0 ? &points[(*count - 1) % capacity] : NULL;
    if (last == NULL || point->at_ns >= last->at_ns + every_ns) {
        points[*count % capacity] = *point;
        ++*count;
    }
}

static const burn_point *newest(const budget_burn *burn)
{
    return burn->fine_count > 0 ? &burn->fine[(burn->fine_count - 1) % (BURN_FINE + 1)] : NULL;
}

void budget_burn_add(budget_burn *burn, uint64_t at_ns, uint64_t bad, uint64_t total)
{
    const burn_point *last = newest(burn);
    bad = bad < total ? bad : total;
    if (last != NULL && at_ns < last->at_ns) {
        burn->fine_count = 0;
        burn->coarse_count = 0;
    }
    if (bad < burn->bad_raw || total < burn->total_raw) {
        burn->bad_base += burn->bad_raw;
        burn->total_base += burn->total_raw;
    }
    burn->bad_raw = bad;
    burn->total_raw = total;
    burn_point point = {
        .at_ns = at_ns, .bad = burn->bad_base + bad, .total = burn->total_base + total};
    keep(burn->fine, &burn->fine_count, BURN_FINE + 1, fine_ns, &point);
    keep(burn->coarse, &burn->coarse_count, BURN_COARSE + 1, coarse_ns, &point);
}

/* The youngest point that is not younger than `from_ns`'s age; else the oldest one. */
static const burn_point *point_before(const burn_point *points, uint64_t count, uint32_t capacity,
                                      uint64_t from_ns)
{
    uint64_t kept = count < capacity ? count : capacity;
    const burn_point *found = NULL;
    for (uint64_t i = 0; i < kept; i++) {
        found = &points[(count - 1 - i) % capacity];
        if (found->at_ns <= from_ns) {
            return found;
        }
    }
    return found;
}

typedef struct burning {
    double rate;
    double errors; /* share of bad events */
    uint64_t events;
} burning;

static burning burn_over(const budget_burn *burn, uint64_t window_s, double objective)
{
    const burn_point *now = newest(burn);
    uint64_t window_ns = window_s * second_ns;
    if (now == NULL) {
        return (burning){0};
    }
    uint64_t from = now->at_ns > window_ns ? now->at_ns - window_ns : 0;
    const burn_point *then =
        window_s <= 3600 ? point_before(burn->fine, burn->fine_count, BURN_FINE + 1, from)
                         : point_before(burn->coarse, burn->coarse_count, BURN_COARSE + 1, from);
    uint64_t events = then != NULL ? now->total - then->total : 0;
    double errors = events > 0 ? (double)(now->bad - then->bad) / (double)events : 0.0;
    return (burning){.rate = errors / (1.0 - objective), .errors = errors, .events = events};
}

static void say(const brisk_budget *budget, const rule *r, const burning *b,
                brisk_budget_result *ret)
{
    ret->level = r->level;
    ret->on_target = false;
    ret->value = b->rate;
    ret->limit = r->factor;
    ret->events = b->events;
    (void)snprintf(
        ret->text, sizeof ret->text,
        "%.120s: the errors that %.5g %% leaves are used up %.3g times as fast as allowed "
        "(%.3g times over %s)",
        budget->name, budget->objective * 100, b->rate, r->factor, r->words);
}

void budget_burn_check(const budget_burn *burn, const brisk_budget *budget,
                       brisk_budget_result *ret)
{
    *ret = (brisk_budget_result){.value = (double)NAN, .limit = (double)NAN, .on_target = true};
    if (burn->fine_count == 0) {
        (void)snprintf(ret->text, sizeof ret->text, "%.120s: nothing was recorded", budget->metric);
        return;
    }
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        burning slow = burn_over(burn, rules[i].long_s, budget->objective);
        burning fast = burn_over(burn, rules[i].short_s, budget->objective);
        bool enough = fast.events >= budget->min_events && fast.events > 0;
        if (enough && slow.rate >= rules[i].factor && fast.rate >= rules[i].factor) {
            say(budget, &rules[i], &fast, ret);
            return;
        }
    }
    burning hour = burn_over(burn, 3600, budget->objective);
    ret->value = hour.rate;
    ret->events = hour.events;
    ret->limit = rules[0].factor;
    ret->level = hour.events >= budget->min_events && hour.events > 0 ? BRISK_BUDGET_GOOD
                                                                      : BRISK_BUDGET_UNKNOWN;
    (void)snprintf(ret->text, sizeof ret->text,
                   "%.120s: %.4g %% errors over an hour, %.3g times what %.5g %% leaves",
                   budget->name, hour.errors * 100, hour.rate, budget->objective * 100);
}
