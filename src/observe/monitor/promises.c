/*
 * promises.c -- budgets held against what the monitor sees.
 *
 * The machine's metrics (machine.*), and the monitor's own figures as gauges monitor.NAME ("monitor.p99",
 * "monitor.hit_rate"), are held against the budgets of a file once a round. Nobody is told: alerts, their sinks and
 * the history are `brisk budget watch`'s. While a figure is not known its last value counts.
 */
#include <math.h>
#include <string.h>

#include "observe/monitor/monitor.h"

static brisk_err open_watch(monitor_promises *p, brisk_errinfo *info)
{
    brisk_err err = brisk_metrics_create(NULL, &p->metrics);
    if (err == BRISK_OK) {
        err = brisk_machine_watch(p->metrics);
    }
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "budgets: %s", brisk_err_message(err));
    }
    brisk_budget_watch_opts opts = {.budgets = p->budgets, .metrics = p->metrics, .no_sinks = true};
    return brisk_budget_watch_create(&opts, &p->watch, info);
}

brisk_err monitor_promises_open(monitor_promises *p, const char *path, brisk_errinfo *info)
{
    brisk_err err = brisk_budgets_load(path, NULL, &p->budgets, info);
    if (err == BRISK_OK) {
        err = open_watch(p, info);
    }
    if (err != BRISK_OK) {
        monitor_promises_close(p);
    }
    return err;
}

void monitor_promises_close(monitor_promises *p)
{
    brisk_budget_watch_destroy(p->watch);
    brisk_metrics_destroy(p->metrics);
    brisk_budgets_destroy(p->budgets);
    *p = (monitor_promises){0};
}

static brisk_unit unit_of(monitor_unit unit)
{
    return unit == UNIT_NS                                 ? BRISK_UNIT_NS
           : unit == UNIT_BYTES || unit == UNIT_BYTES_RATE ? BRISK_UNIT_BYTES
                                                           : BRISK_UNIT_NONE;
}

void monitor_promises_round(monitor_promises *p, const monitor_numbers *n)
{
    if (p->watch == NULL) {
        return;
    }
    for (int i = 0; i < FIGURE_COUNT; i++) {
        if (isnan(n->now[i])) {
            continue;
        }
        if (p->gauges[i] == NULL) {
            char name[MONITOR_NAME_MAX];
            (void)snprintf(name, sizeof name, "monitor.%s", monitor_figures[i].name);
            brisk_metric_desc desc = {.name = name,
                                      .help = monitor_figures[i].label,
                                      .unit = unit_of(monitor_figures[i].unit)};
            if (brisk_metrics_gauge(p->metrics, &desc, &p->gauges[i]) != BRISK_OK) {
                continue; /* short of memory: tried again in the next round */
            }
        }
        brisk_gauge_set(p->gauges[i], n->now[i]);
    }
    brisk_metrics_tick(p->metrics);
    brisk_err ignored = brisk_budget_watch_tick(p->watch);
    (void)ignored; /* likewise */
}

uint32_t monitor_promises_count(const monitor_promises *p)
{
    return p->watch != NULL ? brisk_budget_watch_count(p->watch) : 0;
}

void monitor_promises_read(const monitor_promises *p, uint32_t index, brisk_budget_status *ret)
{
    brisk_budget_watch_read(p->watch, index, ret);
}
