/*
 * reports_alerts.c -- what the node promises, and where it breaks its word: /v1/budgets, /v1/alerts.
 *
 * Budgets are those of the file serve.budgets; the background's thread checks them once a second.  Alerts that were
 * are in the history, those that are come from the watch.
 */
#include <math.h>
#include <string.h>

#include <brisk/budget.h>
#include <brisk/json.h>

#include "daemon/api/api.h"
#include "daemon/api/reports.h"
#include "daemon/server.h"

static void put_seconds(brisk_json *json, const char *key, uint64_t ns)
{
    brisk_json_double(json, key, (double)(ns / 1000000) / 1000);
}

static void alerts_put(brisk_json *json, const brisk_budget_status *status)
{
    const brisk_budget *b = status->budget;
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "name", b->name);
    brisk_json_str(json, "metric", b->metric[0] != '\0' ? b->metric : b->stage);
    brisk_json_str(json, "statistic", brisk_budget_statistic_name(b->statistic));
    brisk_json_str(json, "level", brisk_budget_level_name(status->last.level));
    brisk_json_bool(json, "on_target", status->last.on_target);
    brisk_json_double(json, "value", status->last.value);
    brisk_json_double(json, "limit", status->last.limit);
    brisk_json_double(json, "target", b->target);
    brisk_json_double(json, "warning", b->warning);
    brisk_json_double(json, "critical", b->critical);
    brisk_json_double(json, "objective", b->objective);
    brisk_json_u64(json, "events", status->last.events);
    brisk_json_str(json, "text", status->last.text);
    brisk_json_str(json, "alert", brisk_alert_state_name(status->state));
    brisk_json_str(json, "severity", brisk_severity_name(status->severity));
    put_seconds(json, "since_s", status->since_ns);
    brisk_json_u64(json, "alerts", status->alerts);
    brisk_json_object_end(json);
}

static brisk_err write_budgets(const report_query *q, brisk_str *text, bool firing)
{
    brisk_budget_watch *watch = q->server->api->budget_watch;
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_array_begin(&json, firing ? "alerts" : "budgets");
    for (uint32_t i = 0; watch != NULL && i < brisk_budget_watch_count(watch); i++) {
        brisk_budget_status status;
        brisk_budget_watch_read(watch, i, &status);
        if (!firing || status.state != BRISK_ALERT_IDLE) {
            alerts_put(&json, &status);
        }
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

brisk_err report_alerts(const report_query *q, brisk_str *text, report_result *ret)
{
    (void)ret;
    return write_budgets(q, text, true);
}

brisk_err report_budgets(const report_query *q, brisk_str *text, report_result *ret)
{
    (void)ret;
    return write_budgets(q, text, false);
}
