/*
 * alert.c -- when a broken budget is an alert.
 *
 *              broken                 for `for` long                       good with a margin, for `for` long
 *     idle ──────────────► pending ──────────────────► firing ──────────────────────────────────────────────► idle
 *       ◄────────────────────┘ good                      │ worse: told at once; milder for `for` long: told
 *                                                        │ still firing after `repeat`: told again
 *
 * A value within `clear` of the limit is neither: it does not break an alert off and does not begin one.  What is
 * not known changes nothing.
 *
 * Threads: none of its own.
 */
#include <math.h>

#include "observe/budget/budget.h"

static brisk_severity severity_of(brisk_budget_level level)
{
    return level == BRISK_BUDGET_CRITICAL ? BRISK_SEVERITY_CRITICAL : BRISK_SEVERITY_WARNING;
}

/* Better than the limit by the margin?  Burn rates and others without a limit need none. */
static bool is_clear(const brisk_budget *budget, const brisk_budget_result *result)
{
    if (!isnan(budget->objective) || isnan(result->limit) || isnan(result->value)) {
        return true;
    }
    double margin = fabs(result->limit) * budget->clear;
    return budget->above ? result->value >= result->limit + margin
                         : result->value <= result->limit - margin;
}

static budget_news fire(budget_alert *alert, brisk_severity severity, uint64_t now_ns)
{
    alert->count += alert->state == BRISK_ALERT_FIRING ? 0 : 1;
    if (alert->state != BRISK_ALERT_FIRING) {
        alert->since_ns = now_ns;
    }
    alert->state = BRISK_ALERT_FIRING;
    alert->severity = severity;
    alert->told_ns = now_ns;
    alert->lower_ns = 0;
    return NEWS_FIRING;
}

static budget_news step_good(budget_alert *alert, const brisk_budget *budget,
                             const brisk_budget_result *result, uint64_t now_ns)
{
    alert->lower_ns = 0;
    if (alert->state != BRISK_ALERT_FIRING) {
        alert->state = BRISK_ALERT_IDLE;
        return NEWS_NONE;
    }
    if (!is_clear(budget, result)) {
        alert->good_ns = 0;
        return NEWS_NONE;
    }
    alert->good_ns = alert->good_ns != 0 ? alert->good_ns : now_ns;
    if (now_ns - alert->good_ns < budget->for_ns) {
        return NEWS_NONE;
    }
    alert->state = BRISK_ALERT_IDLE;
    alert->since_ns = now_ns;
    alert->good_ns = 0;
    return NEWS_RESOLVED;
}

static budget_news step_firing(budget_alert *alert, const brisk_budget *budget,
                               brisk_severity severity, uint64_t now_ns)
{
    if (severity > alert->severity) {
        return fire(alert, severity, now_ns);
    }
    if (severity < alert->severity) {
        alert->lower_ns = alert->lower_ns != 0 ? alert->lower_ns : now_ns;
        if (now_ns - alert->lower_ns >= budget->for_ns && budget->for_ns > 0) {
            return fire(alert, severity, now_ns);
        }
    } else {
        alert->lower_ns = 0;
    }
    if (budget->repeat_ns != 0 && now_ns - alert->told_ns >= budget->repeat_ns) {
        alert->told_ns = now_ns;
        return NEWS_AGAIN;
    }
    return NEWS_NONE;
}

budget_news budget_alert_step(budget_alert *alert, const brisk_budget *budget,
                              const brisk_budget_result *result, uint64_t now_ns)
{
    if (result->level == BRISK_BUDGET_UNKNOWN) {
        return NEWS_NONE;
    }
    if (result->level == BRISK_BUDGET_GOOD) {
        return step_good(alert, budget, result, now_ns);
    }
    brisk_severity severity = severity_of(result->level);
    alert->good_ns = 0;
    if (alert->state == BRISK_ALERT_FIRING) {
        return step_firing(alert, budget, severity, now_ns);
    }
    if (alert->state == BRISK_ALERT_IDLE) {
        alert->state = BRISK_ALERT_PENDING;
        alert->since_ns = now_ns;
    }
    alert->severity = severity;
    return now_ns - alert->since_ns >= budget->for_ns ? fire(alert, severity, now_ns) : NEWS_NONE;
}
