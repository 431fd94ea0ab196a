/*
 * reports_alerts.c -- what the node promises, and where it breaks its word: /v1/budgets, /v1/alerts.
 *
 * Budgets are those of the file serve.budgets; the background's thread checks them once a second, and the watch says
 * what is so now.  What began and ended goes into the history (brisk/history.h),
 * which outlives the node; where there is none (no SQLite, no home folder) the newest ALERTS_KEPT of this node serve.
 */
#include <math.h>
#include <string.h>

#include <brisk/budget.h>
#include <brisk/history.h>
#include <brisk/json.h>
#include <brisk/log.h>

#include "daemon/api/api.h"
#include "daemon/api/reports.h"
#include "daemon/server.h"

enum { ALERTS_KEPT = 100, HISTORY_WAIT_MS = 500 };

typedef struct past_alert {
    char *text; /* JSON; NULL: none yet */
    size_t size;
} past_alert;

struct past_alerts {
    past_alert items[ALERTS_KEPT]; /* a ring */
    uint64_t count;                /* of all that were */
};

/* --- what was ------------------------------------------------------------------------------- */

static void release(const brisk_alloc *alloc, past_alert *one)
{
    if (one->text != NULL) {
        alloc->release(alloc->ctx, one->text, one->size, 1);
    }
    *one = (past_alert){.text = NULL};
}

/* Without memory it is told, but not kept. */
void report_keep_alert(api *a, const char *text, size_t size)
{
    const brisk_alloc *alloc = a->server->alloc;
    while (size > 0 && text[size - 1] == '\n') {
        size--;
    }
    if (a->past_alerts == NULL) {
        a->past_alerts = alloc->acquire(alloc->ctx, sizeof *a->past_alerts, _Alignof(past_alert));
        if (a->past_alerts == NULL) {
            return;
        }
        memset(a->past_alerts, 0, sizeof *a->past_alerts);
    }
    char *copy = size > 0 ? alloc->acquire(alloc->ctx, size, 1) : NULL;
    if (copy == NULL) {
        return;
    }
    memcpy(copy, text, size);
    past_alert *one = &a->past_alerts->items[a->past_alerts->count++ % ALERTS_KEPT];
    release(alloc, one);
    *one = (past_alert){.text = copy, .size = size};
}

void report_forget_alerts(api *a)
{
    const brisk_alloc *alloc = a->server->alloc;
    if (a->past_alerts == NULL) {
        return;
    }
    for (uint32_t i = 0; i < ALERTS_KEPT; i++) {
        release(alloc, &a->past_alerts->items[i]);
    }
    alloc->release(alloc->ctx, a->past_alerts, sizeof *a->past_alerts, _Alignof(past_alert));
    a->past_alerts = NULL;
}

/* From the budgets, not from their watch: that one is telling this alert, and has its lock. */
static const char *metric_of(const api *a, const char *budget)
{
    for (uint32_t i = 0; i < brisk_budgets_count(a->budgets); i++) {
        const brisk_budget *b = brisk_budgets_at(a->budgets, i);
        if (strcmp(b->name, budget) == 0) {
            return b->metric;
        }
    }
    return "";
}

void report_store_alert(api *a, const brisk_event *event)
{
    brisk_history_opts opts = {.wait_ms = HISTORY_WAIT_MS,
                               .alloc = library_alloc(a->server->alloc)};
    brisk_history_alert row = {.wall_ns = event->wall_ns,
                               .budget = event->name,
                               .metric = metric_of(a, event->name),
                               .severity = brisk_severity_name(event->severity),
                               .state = event->state,
                               .value = event->value,
                               .limit = event->limit,
                               .text = event->text};
    brisk_history *history;
    brisk_errinfo info = {.text = ""};
    brisk_err err = brisk_history_open(&opts, &history, &info);
    if (err == BRISK_OK) {
        err = brisk_history_put_alert(history, &row, NULL, &info);
        brisk_history_close(history);
    }
    if (err != BRISK_OK && err != BRISK_ERR_UNSUPPORTED && err != BRISK_ERR_INVALID) {
        brisk_log(BRISK_LOG_WARNING, "serve", "the history lacks an alert: %s", info.text);
    }
}

static bool put_row(void *ctx, const brisk_history_alert *row)
{
    brisk_json *json = ctx;
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "name", row->budget);
    brisk_json_str(json, "state", row->state);
    brisk_json_str(json, "severity", row->severity);
    brisk_json_double(json, "value", row->value);
    brisk_json_double(json, "limit", row->limit);
    brisk_json_str(json, "text", row->text);
    brisk_json_double(json, "time_s", (double)(row->wall_ns / 1000000) / 1000);
    brisk_json_object_end(json);
    return true;
}

/* False: there is no history to read, and nothing was written. */
static bool put_history(const report_query *q, brisk_json *json)
{
    brisk_history_opts opts = {
        .read_only = true, .wait_ms = HISTORY_WAIT_MS, .alloc = library_alloc(q->server->alloc)};
    brisk_history_filter filter = {.name = q->name[0] != '\0' ? q->name : NULL,
                                   .metric = q->metric[0] != '\0' ? q->metric : NULL,
                                   .state = q->state[0] != '\0' ? q->state : NULL,
                                   .since_ns = q->since_ns,
                                   .until_ns = q->until_ns,
                                   .limit = q->limit != 0 ? q->limit : ALERTS_KEPT,
                                   .newest_first = true};
    brisk_history *history;
    brisk_errinfo info = {.text = ""};
    if (brisk_history_open(&opts, &history, &info) != BRISK_OK) {
        return false;
    }
    brisk_json_array_begin(json, "past");
    brisk_err err = brisk_history_alerts(history, &filter, put_row, json, &info);
    brisk_json_array_end(json);
    brisk_history_close(history);
    if (err != BRISK_OK) {
        brisk_log(BRISK_LOG_WARNING, "serve", "alerts of the history: %s", info.text);
    }
    return true;
}

static void put_past(brisk_json *json, const struct past_alerts *past)
{
    brisk_json_array_begin(json, "past");
    for (uint64_t i = 0; past != NULL && i < ALERTS_KEPT && i < past->count; i++) {
        const past_alert *one = &past->items[(past->count - 1 - i) % ALERTS_KEPT];
        brisk_json_raw(json, NULL, one->text, one->size);
    }
    brisk_json_array_end(json);
}

/* --- what is -------------------------------------------------------------------------------- */

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
    if (firing && !put_history(q, &json)) {
        put_past(&json, q->server->api->past_alerts);
    }
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
