/*
 * test_budget.c -- budgets: reading and its errors, values against limits, burn rates, alerts, the watch with its
 * sinks, memory that runs out.
 */
#include "support/fake_clock.h"
#include "support/fault_alloc.h"
#include "support/temp_dir.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include <brisk/expose.h>

#include "observe/budget/budget.h"
#include "observe/budget/command.h"
#include "observe/budget/sinks.h"

static const uint64_t second = 1000000000;

static brisk_budgets *parse(const char *text)
{
    brisk_budgets *budgets = NULL;
    brisk_errinfo info = {0};
    if (brisk_budgets_parse("b.yaml", text, strlen(text), NULL, &budgets, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    return budgets;
}

/* --- reading --------------------------------------------------------------------------------- */

static void test_read(void **state)
{
    (void)state;
    brisk_budgets *b =
        parse("schema: 1\n"
              "sinks: [log, {file: f}, {exec: [a, b], timeout: 2s}]\n"
              "budgets:\n"
              "  - name: answer time\n"
              "    metric: http.time\n"
              "    labels: {route: /x}\n"
              "    statistic: p99.9\n"
              "    target: 5ms\n"
              "    warning: 8ms\n"
              "    critical: 1.5s\n"
              "    for: 10s\n"
              "  - {name: t, metric: m, statistic: throughput, warning: 20, critical: 10}\n"
              "  - {name: e, metric: m, bad: f, statistic: error_rate, objective: 99.9%}\n"
              "  - {name: s, stage: s, critical: 4GiB, minimum_events: 7}\n");
    CHECK(brisk_budgets_count(b) == 4 && b->sink_count == 3);
    const brisk_budget *one = brisk_budgets_at(b, 0);
    assert_string_equal(one->name, "answer time");
    CHECK(one->statistic == BRISK_BUDGET_P999 && !one->above && one->label_count == 1);
    assert_string_equal(one->labels[0].value, "/x");
    CHECK(one->target == 5e6 && one->warning == 8e6 && one->critical == 1.5e9);
    CHECK(one->for_ns == 10 * second && one->window_ns == 60 * second && isnan(one->objective));
    CHECK(one->line == 4);
    CHECK(brisk_budgets_at(b, 1)->above);
    CHECK(fabs(brisk_budgets_at(b, 2)->objective - 0.999) < 1e-12);
    CHECK(brisk_budgets_at(b, 3)->critical == 4294967296.0);
    CHECK(brisk_budgets_at(b, 3)->statistic == BRISK_BUDGET_P95);
    CHECK(b->sinks[2].kind == SINK_EXEC && b->sinks[2].argv[2] == NULL);
    CHECK(b->sinks[2].timeout_ns == 2 * second);
    brisk_budgets_destroy(b);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *words;
    } cases[] = {
        {"", "b.yaml:1: budgets is to be a list"},
        {"budgets: []", "b.yaml:1: budgets is to be a list"},
        {"budgets: 7", "b.yaml:1: budgets is to be a list"},
        {"schema: 2\nbudgets: [{name: a, metric: m, critical: 1}]", "b.yaml:1: this brisk reads"},
        {"budgets:\n  - {metric: m, critical: 1}", "b.yaml:2: a budget needs a name"},
        {"budgets:\n  - {name: a, critical: 1}", "b.yaml:2: says either a metric or a stage"},
        {"budgets: [{name: a, metric: m, stage: s, critical: 1}]", "says either a metric or"},
        {"budgets: [{name: a, metric: m}]", "has no target"},
        {"budgets:\n - name: a\n   metric: m\n   critical: fast", "b.yaml:4: is to be a number"},
        {"budgets: [{name: a, metric: m, critical: 1, statistic: p42}]", "not p42"},
        {"budgets: [{name: a, metric: m, critical: 1, window: 5}]", "is to be a duration"},
        {"budgets: [{name: a, metric: m, critical: 1, window: 2h}]", "window is 1s"},
        {"budgets: [{name: a, metric: m, critical: 1, warning: 2}]", "critical is reached before"},
        {"budgets: [{name: a, metric: m, critical: 2, warning: 1, direction: above}]", "before"},
        {"budgets: [{name: a, metric: m, critical: 1, direction: up}]", "above or below"},
        {"budgets: [{name: a, metric: m, critical: 1, limit: 2}]", "limit"},
        {"budgets: [{name: a, metric: m, statistic: error_rate, critical: 1}]", "go together"},
        {"budgets: [{name: a, metric: m, bad: b, critical: 1}]", "go together"},
        {"budgets: [{name: a, metric: m, objective: 99%}]", "an objective needs"},
        {"budgets: [{name: a, metric: m, critical: 1, objective: 100%}]", "between 0 %"},
        {"budgets: [{name: a, metric: m, anomaly: true, horizon: 9d}]", "a horizon needs a limit"},
        {"budgets: [{name: a, metric: m, critical: 1}, {name: a, metric: m, critical: 1}]",
         "another budget has this name: a"},
        {"sinks: [mail]\nbudgets: [{name: a, metric: m, critical: 1}]", "a sink is log"},
        {"sinks: [{exec: 'rm -rf /'}]\nbudgets: [{name: a, metric: m, critical: 1}]", "no shell"},
        {"sinks: [{webhook: 'file:///etc/passwd'}]\nbudgets: [{name: a, metric: m, critical: 1}]",
         "http or https"},
        {"sinks: [{file: a, webhook: 'http://x'}]\nbudgets: [{name: a, metric: m, critical: 1}]",
         "one of log"},
        {"budgets: [{name: a, metric: m, critical: nan}]", "is to be a number"},
        {"budgets: [{name: a, metric: m, critical: 1, clear: 200%}]", "clear is"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        brisk_budgets *budgets = NULL;
        brisk_errinfo info = {0};
        brisk_err err = brisk_budgets_parse("b.yaml", cases[i].text, strlen(cases[i].text), NULL,
                                            &budgets, &info);
        if (err != BRISK_ERR_INVALID || strstr(info.text, cases[i].words) == NULL ||
            strncmp(info.text, "b.yaml:", 7) != 0) {
            fail_msg("case %zu: %s", i, info.text);
        }
    }
}

static void test_read_no_memory(void **state)
{
    (void)state;
    static const char text[] = "sinks: [{exec: [a, b]}]\n"
                               "budgets: [{name: a, metric: m, labels: {x: y}, critical: 1}]";
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t n = 0; err != BRISK_OK; n++) {
        fault_alloc fault;
        fault_alloc_init(&fault, n);
        brisk_budgets *budgets = NULL;
        err = brisk_budgets_parse("b", text, sizeof text - 1, &fault.base, &budgets, NULL);
        CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
        brisk_budgets_destroy(budgets);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
}

/* --- a registry with a clock ----------------------------------------------------------------- */

typedef struct bench {
    fake_clock clock;
    brisk_metrics *metrics;
    brisk_counter *all;
    brisk_counter *bad;
    brisk_histogram *time;
    brisk_gauge *level;
} bench;

static void bench_make(bench *b)
{
    fake_clock_init(&b->clock, 1000 * second);
    CHECK_OK(brisk_metrics_create(&(brisk_metrics_opts){.clock = &b->clock.base}, &b->metrics));
    brisk_metric_desc all = {.name = "req"};
    brisk_metric_desc bad = {.name = "req.bad"};
    brisk_label route = {"route", "/x"};
    brisk_metric_desc time = {
        .name = "time", .unit = BRISK_UNIT_NS, .labels = &route, .label_count = 1};
    brisk_metric_desc level = {.name = "level", .unit = BRISK_UNIT_BYTES};
    CHECK_OK(brisk_metrics_counter(b->metrics, &all, &b->all));
    CHECK_OK(brisk_metrics_counter(b->metrics, &bad, &b->bad));
    CHECK_OK(brisk_metrics_histogram(b->metrics, &time, &b->time));
    CHECK_OK(brisk_metrics_gauge(b->metrics, &level, &b->level));
}

static brisk_snapshot *snap(bench *b)
{
    brisk_snapshot *snapshot;
    CHECK_OK(brisk_metrics_snapshot(b->metrics, NULL, &snapshot));
    return snapshot;
}

static brisk_budget_result check_with(const char *text, const brisk_snapshot *now,
                                      const brisk_snapshot *earlier)
{
    brisk_budgets *budgets = parse(text);
    brisk_budget_result result;
    brisk_budget_check(brisk_budgets_at(budgets, 0), now, earlier, &result);
    brisk_budgets_destroy(budgets);
    return result;
}

static void test_check(void **state)
{
    (void)state;
    bench b;
    bench_make(&b);
    brisk_snapshot *empty = snap(&b);
    for (uint64_t i = 1; i <= 100; i++) {
        brisk_histogram_record(b.time, i * 1000000);
    }
    brisk_counter_add(b.all, 1000);
    brisk_counter_add(b.bad, 20);
    brisk_gauge_set(b.level, 5e9);
    fake_clock_advance(&b.clock, 10 * second);
    brisk_snapshot *now = snap(&b);
    brisk_budget_result r = check_with(
        "budgets: [{name: a, metric: time, statistic: p95, warning: 90ms, critical: 99ms}]", now,
        empty);
    CHECK(r.level == BRISK_BUDGET_WARNING && r.events == 100 && r.limit == 90e6);
    CHECK(fabs(r.value - 95e6) <= 95e6 * 0.008);
    CHECK(strstr(r.text, "above the warning limit of 90 ms (100 events)") != NULL);
    r = check_with("budgets: [{name: a, metric: time, labels: {route: /y}, critical: 1}]", now,
                   NULL);
    CHECK(r.level == BRISK_BUDGET_UNKNOWN && isnan(r.value));
    r = check_with(
        "budgets: [{name: a, metric: time, statistic: mean, critical: 60ms, target: 40ms}]", now,
        NULL);
    CHECK(r.level == BRISK_BUDGET_GOOD && !r.on_target && fabs(r.value - 50.5e6) < 1e6);
    r = check_with("budgets: [{name: a, metric: time, statistic: max, critical: 60ms, "
                   "minimum_events: 101}]",
                   now, NULL);
    CHECK(r.level == BRISK_BUDGET_UNKNOWN && strstr(r.text, "101 are needed") != NULL);
    r = check_with("budgets: [{name: a, metric: req, statistic: throughput, critical: 150}]", now,
                   empty);
    CHECK(r.level == BRISK_BUDGET_CRITICAL && fabs(r.value - 100) < 1e-9);
    r = check_with(
        "budgets: [{name: a, metric: req, bad: req.bad, statistic: error_rate, critical: "
        "1%}]",
        now, empty);
    CHECK(r.level == BRISK_BUDGET_CRITICAL && fabs(r.value - 0.02) < 1e-12);
    r = check_with("budgets: [{name: a, metric: level, critical: 4GiB}]", now, empty);
    CHECK(r.level == BRISK_BUDGET_CRITICAL && strstr(r.text, "4.657 GiB") != NULL);
    r = check_with("budgets: [{name: a, metric: level, direction: above, critical: 4GiB}]", now,
                   now);
    CHECK(r.level == BRISK_BUDGET_GOOD);
    brisk_snapshot_unref(now);
    brisk_snapshot_unref(empty);
    brisk_metrics_destroy(b.metrics);
}

/* --- burn rates ------------------------------------------------------------------------------ */

typedef struct burning {
    brisk_budgets *budgets;
    const brisk_budget *budget;
    budget_burn *burn;
    uint64_t at;
    uint64_t bad;
    uint64_t all;
} burning;

/* `hours` at 10 requests a second, of which `errors` fail. */
static brisk_budget_level run_for(burning *b, double hours, double errors)
{
    brisk_budget_result result;
    uint64_t end = b->at + (uint64_t)(hours * 3600.0) * second;
    double debt = 0;
    while (b->at < end) {
        b->at += 5 * second;
        b->all += 50;
        debt += 50 * errors;
        b->bad += (uint64_t)debt;
        debt -= floor(debt);
        budget_burn_add(b->burn, b->at, b->bad, b->all);
    }
    budget_burn_check(b->burn, b->budget, &result);
    return result.level;
}

static void test_burn(void **state)
{
    (void)state;
    burning b = {.budgets = parse("budgets: [{name: a, metric: m, bad: f, statistic: error_rate, "
                                  "objective: 99.9%, minimum_events: 20}]"),
                 .burn = calloc(1, sizeof *b.burn)};
    b.budget = brisk_budgets_at(b.budgets, 0);
    brisk_budget_result result;
    budget_burn_check(b.burn, b.budget, &result);
    CHECK(result.level == BRISK_BUDGET_UNKNOWN);
    CHECK(run_for(&b, 100, 0.0005) == BRISK_BUDGET_GOOD); /* half of what is allowed */
    b.bad += 30;                                          /* an outlier: 30 errors at once */
    CHECK(run_for(&b, 0.002, 0.0) == BRISK_BUDGET_GOOD);
    CHECK(run_for(&b, 0.2, 0.02) ==
          BRISK_BUDGET_GOOD); /* twelve minutes at 20 x: not an hour's 14.4 */
    CHECK(run_for(&b, 0.8, 0.02) == BRISK_BUDGET_CRITICAL);
    CHECK(run_for(&b, 0.1, 0.0) == BRISK_BUDGET_GOOD); /* it stopped: the short window knows */
    CHECK(run_for(&b, 100, 0.0) == BRISK_BUDGET_GOOD);
    CHECK(run_for(&b, 72, 0.0013) == BRISK_BUDGET_WARNING); /* slowly, for days */
    CHECK(run_for(&b, 100, 0.0) == BRISK_BUDGET_GOOD);
    CHECK(run_for(&b, 6, 0.008) == BRISK_BUDGET_CRITICAL); /* 8 x over six hours */
    b.all = 10;                                            /* restarted: it goes on */
    b.bad = 10;
    budget_burn_add(b.burn, b.at + 5 * second, b.bad, b.all);
    budget_burn_check(b.burn, b.budget, &result);
    CHECK(result.level == BRISK_BUDGET_CRITICAL);
    CHECK(run_for(&b, 100, 0.0) == BRISK_BUDGET_GOOD);
    memset(b.burn, 0, sizeof *b.burn); /* too few events */
    budget_burn_add(b.burn, second, 0, 0);
    budget_burn_add(b.burn, 10 * second, 14, 14);
    budget_burn_check(b.burn, b.budget, &result);
    CHECK(result.level == BRISK_BUDGET_UNKNOWN);
    free(b.burn);
    brisk_budgets_destroy(b.budgets);
}

/* --- alerts ---------------------------------------------------------------------------------- */

static brisk_budget_result result_of(const brisk_budget *budget, double value)
{
    brisk_budget_result result = {.value = value,
                                  .events = isnan(value) ? UINT64_C(0) : UINT64_C(1)};
    budget_judge(budget, &result);
    return result;
}

static void test_alert_states(void **state)
{
    (void)state;
    brisk_budgets *budgets = parse("budgets: [{name: a, metric: m, warning: 100, critical: 200, "
                                   "for: 3s, repeat: 60s, clear: 10%}]");
    const brisk_budget *budget = brisk_budgets_at(budgets, 0);
    static const struct {
        uint64_t at;
        double value;
        budget_news news;
        brisk_alert_state state;
    } steps[] = {
        {1, 50, NEWS_NONE, BRISK_ALERT_IDLE},
        {2, 150, NEWS_NONE, BRISK_ALERT_PENDING}, /* one outlier */
        {3, 50, NEWS_NONE, BRISK_ALERT_IDLE},
        {4, 150, NEWS_NONE, BRISK_ALERT_PENDING},
        {6, 150, NEWS_NONE, BRISK_ALERT_PENDING},
        {7, 150, NEWS_FIRING, BRISK_ALERT_FIRING},
        {8, 150, NEWS_NONE, BRISK_ALERT_FIRING}, /* told once */
        {9, 95, NEWS_NONE, BRISK_ALERT_FIRING},  /* good, but not by the margin */
        {20, 95, NEWS_NONE, BRISK_ALERT_FIRING},
        {21, 250, NEWS_FIRING, BRISK_ALERT_FIRING}, /* worse: at once */
        {22, 150, NEWS_NONE, BRISK_ALERT_FIRING},
        {25, 150, NEWS_FIRING, BRISK_ALERT_FIRING},       /* milder for 3 s */
        {26, (double)NAN, NEWS_NONE, BRISK_ALERT_FIRING}, /* nothing known changes nothing */
        {84, 150, NEWS_NONE, BRISK_ALERT_FIRING},
        {85, 150, NEWS_AGAIN, BRISK_ALERT_FIRING},
        {86, 80, NEWS_NONE, BRISK_ALERT_FIRING},
        {87, 95, NEWS_NONE, BRISK_ALERT_FIRING}, /* the count begins anew */
        {88, 80, NEWS_NONE, BRISK_ALERT_FIRING},
        {91, 80, NEWS_RESOLVED, BRISK_ALERT_IDLE},
        {92, 80, NEWS_NONE, BRISK_ALERT_IDLE},
    };
    budget_alert alert = {0};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        brisk_budget_result result = result_of(budget, steps[i].value);
        budget_news news = budget_alert_step(&alert, budget, &result, steps[i].at * second);
        if (news != steps[i].news || alert.state != steps[i].state) {
            fail_msg("at %d: news %d, state %d", (int)steps[i].at, (int)news, (int)alert.state);
        }
    }
    CHECK_U64(alert.count, ==, 1);
    brisk_budgets_destroy(budgets);
}

/* --- the watch ------------------------------------------------------------------------------- */

typedef struct heard {
    _Atomic uint32_t firing;
    _Atomic uint32_t resolved;
    char detail[2048];
} heard;

static void on_event(void *ctx, const brisk_event *event)
{
    heard *h = ctx;
    (void)snprintf(h->detail, sizeof h->detail, "%s", event->detail);
    atomic_fetch_add(strcmp(event->state, "firing") == 0 ? &h->firing : &h->resolved, 1);
}

static bool count_alert(void *ctx, const brisk_history_alert *row)
{
    ++*(uint32_t *)ctx;
    CHECK(strcmp(row->budget, "level") == 0);
    return true;
}

static void test_watch(void **state)
{
    (void)state;
    bench b;
    bench_make(&b);
    temp_dir *dir = temp_dir_make();
    char text[9000];
    (void)snprintf(
        text, sizeof text,
        "sinks: [{file: %s}, {exec: [sh, -c, 'cat >%s; exit 0']}, {exec: [/nowhere/x]}]\n"
        "budgets:\n"
        "  - {name: level, metric: level, critical: 100, for: 2s}\n"
        "  - {name: rate, metric: req, statistic: rate, critical: 1000}\n",
        temp_dir_path(dir, "alerts"), temp_dir_path(dir, "got"));
    brisk_budgets *budgets = parse(text);
    brisk_events *events;
    brisk_history *history;
    brisk_budget_watch *watch;
    heard h = {0};
    uint64_t id;
    CHECK_OK(brisk_events_create(NULL, &events));
    CHECK_OK(brisk_events_subscribe(events, &(brisk_subscription){.callback = on_event, .ctx = &h},
                                    &id));
    CHECK_OK(brisk_history_open(&(brisk_history_opts){.path = temp_dir_path(dir, "h.sqlite3")},
                                &history, NULL));
    CHECK_OK(brisk_budget_watch_create(&(brisk_budget_watch_opts){.budgets = budgets,
                                                                  .metrics = b.metrics,
                                                                  .events = events,
                                                                  .history = history,
                                                                  .clock = &b.clock.base},
                                       &watch, NULL));
    for (int i = 0; i < 40; i++) {
        brisk_gauge_set(b.level, i >= 5 && i < 20 ? 150 : 10);
        brisk_counter_add(b.all, 500);
        CHECK_OK(brisk_budget_watch_tick(watch));
        fake_clock_advance(&b.clock, second);
        brisk_budget_status status;
        brisk_budget_watch_read(watch, 0, &status);
        brisk_alert_state wanted = i == 5 || i == 6   ? BRISK_ALERT_PENDING
                                   : i >= 7 && i < 22 ? BRISK_ALERT_FIRING
                                                      : BRISK_ALERT_IDLE;
        CHECK(status.state == wanted);
        brisk_budget_watch_read(watch, 1, &status);
        CHECK(i == 0 ? status.last.level == BRISK_BUDGET_UNKNOWN
                     : fabs(status.last.value - 500) < 1e-6);
    }
    CHECK(atomic_load(&h.firing) == 1 && atomic_load(&h.resolved) == 1);
    CHECK(strstr(h.detail, "\"state\":\"resolved\"") != NULL && strchr(h.detail, '\n') == NULL);
    uint32_t kept = 0;
    CHECK_OK(brisk_history_alerts(history, NULL, count_alert, &kept, NULL));
    CHECK(kept == 2);
    brisk_budget_watch_destroy(watch); /* waits for the programs */
    FILE *file = fopen(temp_dir_path(dir, "alerts"), "r");
    assert_non_null(file);
    char line[2048];
    int lines = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        lines++;
        CHECK(strstr(line, "\"budget\":\"level\"") != NULL);
    }
    CHECK(lines == 2);
    (void)fclose(file);
    CHECK(access(temp_dir_path(dir, "got"), F_OK) == 0);
    brisk_history_close(history);
    brisk_events_destroy(events);
    brisk_budgets_destroy(budgets);
    brisk_metrics_destroy(b.metrics);
    temp_dir_remove(dir);
}

static void test_trend_and_anomaly(void **state)
{
    (void)state;
    bench b;
    bench_make(&b);
    brisk_budgets *budgets = parse("budgets:\n"
                                   "  - {name: full, metric: level, critical: 1000, horizon: 10m}\n"
                                   "  - {name: odd, metric: level, anomaly: true}\n");
    brisk_budget_watch *watch;
    CHECK_OK(brisk_budget_watch_create(
        &(brisk_budget_watch_opts){
            .budgets = budgets, .metrics = b.metrics, .no_sinks = true, .clock = &b.clock.base},
        &watch, NULL));
    uint64_t seed = check_seed();
    brisk_budget_status status;
    int first = 0;
    for (int i = 0; i < 900; i++) { /* rises by one a second, with noise, and is odd once */
        double noise = (double)(check_random(&seed) % 1000) / 500.0;
        brisk_gauge_set(b.level, (i == 700 ? 100000 : i) + noise);
        CHECK_OK(brisk_budget_watch_tick(watch));
        brisk_budget_watch_read(watch, 1, &status);
        if (i == 700) {
            CHECK(status.last.level == BRISK_BUDGET_WARNING);
            CHECK(strstr(status.last.text, "deviations from the usual") != NULL);
        }
        brisk_budget_watch_read(watch, 0, &status);
        if (first == 0 && status.last.level == BRISK_BUDGET_WARNING) {
            first = i;
            CHECK(strstr(status.last.text, "reaches its limit of 1000 in ") != NULL);
        }
        fake_clock_advance(&b.clock, second);
    }
    CHECK(first > 360 && first < 440); /* ten minutes before 1000 */
    brisk_budget_watch_destroy(watch);
    brisk_budgets_destroy(budgets);
    brisk_metrics_destroy(b.metrics);
}

static void test_watch_no_memory(void **state)
{
    (void)state;
    bench b;
    bench_make(&b);
    brisk_budgets *budgets =
        parse("budgets:\n"
              "  - {name: a, metric: level, critical: 1, horizon: 9d, anomaly: true}\n"
              "  - {name: b, metric: req, bad: req.bad, statistic: error_rate, objective: 99%}\n");
    brisk_gauge_set(b.level, 7);
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t n = 0; err != BRISK_OK; n++) {
        fault_alloc fault;
        fault_alloc_init(&fault, n);
        brisk_budget_watch *watch = NULL;
        err = brisk_budget_watch_create(&(brisk_budget_watch_opts){.budgets = budgets,
                                                                   .metrics = b.metrics,
                                                                   .clock = &b.clock.base,
                                                                   .alloc = &fault.base},
                                        &watch, NULL);
        if (err == BRISK_OK) {
            err = brisk_budget_watch_tick(watch);
        }
        CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
        brisk_budget_watch_destroy(watch);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    brisk_budgets_destroy(budgets);
    brisk_metrics_destroy(b.metrics);
}

/* --- from one watch to the next --------------------------------------------------------------- */

static const char state_text[] =
    "budgets:\n"
    "  - {name: level, metric: level, critical: 100, for: 2s}\n"
    "  - {name: burn, metric: req, bad: req.bad, statistic: error_rate, objective: 99%}\n";

typedef struct keeping {
    bench b;
    brisk_budgets *budgets;
    brisk_events *events;
    const char *path;
    heard h;
} keeping;

static void keeping_make(keeping *k, const char *path)
{
    uint64_t id;
    *k = (keeping){.budgets = parse(state_text), .path = path};
    bench_make(&k->b);
    CHECK_OK(brisk_events_create(NULL, &k->events));
    CHECK_OK(brisk_events_subscribe(
        k->events, &(brisk_subscription){.callback = on_event, .ctx = &k->h}, &id));
}

static void keeping_free(keeping *k)
{
    brisk_events_destroy(k->events);
    brisk_budgets_destroy(k->budgets);
    brisk_metrics_destroy(k->b.metrics);
}

static brisk_err keeping_watch(keeping *k, const brisk_alloc *alloc, brisk_budget_watch **ret)
{
    return brisk_budget_watch_create(&(brisk_budget_watch_opts){.budgets = k->budgets,
                                                                .metrics = k->b.metrics,
                                                                .events = k->events,
                                                                .no_sinks = true,
                                                                .state_path = k->path,
                                                                .clock = &k->b.clock.base,
                                                                .alloc = alloc},
                                     ret, NULL);
}

/* Seconds of 100 requests, a third of which fail. */
static void keeping_ticks(keeping *k, brisk_budget_watch *watch, int seconds, double level)
{
    brisk_gauge_set(k->b.level, level);
    for (int i = 0; i < seconds; i++) {
        fake_clock_advance(&k->b.clock, second);
        brisk_counter_add(k->b.all, 100);
        brisk_counter_add(k->b.bad, 33);
        CHECK_OK(brisk_budget_watch_tick(watch));
    }
}

static void test_goes_on(void **state)
{
    (void)state;
    temp_dir *dir = temp_dir_make();
    keeping k;
    brisk_budget_watch *watch;
    brisk_budget_status status[2];
    uint64_t gap = 1;
    keeping_make(&k, temp_dir_path(dir, "state"));
    CHECK_OK(keeping_watch(&k, NULL, &watch));
    CHECK(brisk_budget_watch_restored(watch, &gap) == 0 && gap == 0);
    keeping_ticks(&k, watch, 20, 150);
    brisk_budget_watch_read(watch, 0, &status[0]);
    brisk_budget_watch_read(watch, 1, &status[1]);
    CHECK(status[0].state == BRISK_ALERT_FIRING && status[1].state == BRISK_ALERT_FIRING);
    CHECK(atomic_load(&k.h.firing) == 2);
    brisk_budget_watch_destroy(watch);
    fake_clock_advance(&k.b.clock, 300 * second);
    brisk_counter_add(k.b.all, 3000); /* nobody looked, but they were counted: all good */
    CHECK_OK(keeping_watch(&k, NULL, &watch));
    CHECK(brisk_budget_watch_restored(watch, &gap) == 2 && gap == 300 * second);
    keeping_ticks(&k, watch, 1, 150);
    for (uint32_t i = 0; i < 2; i++) {
        brisk_budget_status now;
        brisk_budget_watch_read(watch, i, &now);
        CHECK(now.state == BRISK_ALERT_FIRING && now.since_ns == status[i].since_ns);
        CHECK_U64(now.alerts, ==, 1);
    }
    CHECK(atomic_load(&k.h.firing) == 2); /* not told as new */
    brisk_budget_watch_read(watch, 1, &status[1]);
    CHECK_U64(status[1].last.events, ==, 19 * 100 + 3000 + 100); /* since the first look */
    keeping_ticks(&k, watch, 2, 10);
    CHECK(atomic_load(&k.h.resolved) == 0); /* two seconds of it are wanted */
    brisk_budget_watch_destroy(watch);
    fake_clock_advance(&k.b.clock, 1000 * second);
    CHECK_OK(keeping_watch(&k, NULL, &watch));
    keeping_ticks(&k, watch, 1, 10); /* the gap is no part of them: one second was watched */
    CHECK(atomic_load(&k.h.resolved) == 1);
    brisk_budget_watch_destroy(watch);
    keeping_free(&k);
    temp_dir_remove(dir);
}

static void test_a_pending_alert_and_a_gap(void **state)
{
    (void)state;
    static const struct {
        uint64_t gap_s;
        brisk_alert_state then;
    } cases[] = {{30, BRISK_ALERT_FIRING}, {90, BRISK_ALERT_PENDING}};
    for (size_t i = 0; i < 2; i++) {
        temp_dir *dir = temp_dir_make();
        keeping k;
        brisk_budget_watch *watch;
        brisk_budget_status status;
        keeping_make(&k, temp_dir_path(dir, "state"));
        CHECK_OK(keeping_watch(&k, NULL, &watch));
        keeping_ticks(&k, watch, 2, 150); /* pending for a second */
        brisk_budget_watch_destroy(watch);
        fake_clock_advance(&k.b.clock, cases[i].gap_s * second);
        CHECK_OK(keeping_watch(&k, NULL, &watch));
        keeping_ticks(&k, watch, 1, 150);
        brisk_budget_watch_read(watch, 0, &status);
        CHECK(status.state == cases[i].then);
        brisk_budget_watch_destroy(watch);
        keeping_free(&k);
        temp_dir_remove(dir);
    }
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "we");
    CHECK(file != NULL && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

/* A file that is cut or changed anywhere restores nothing; so does one of other rules. */
static void test_a_damaged_state(void **state)
{
    (void)state;
    temp_dir *dir = temp_dir_make();
    keeping k;
    brisk_budget_watch *watch;
    keeping_make(&k, temp_dir_path(dir, "state"));
    CHECK_OK(keeping_watch(&k, NULL, &watch));
    keeping_ticks(&k, watch, 20, 150);
    brisk_budget_watch_destroy(watch);
    static unsigned char data[65536];
    FILE *file = fopen(k.path, "re");
    CHECK(file != NULL);
    size_t size = fread(data, 1, sizeof data, file);
    (void)fclose(file);
    CHECK(size > 200 && size < sizeof data);
    for (size_t at = 0; at < size; at += 7) {
        write_file(k.path, data, at);
        CHECK_OK(keeping_watch(&k, NULL, &watch));
        CHECK(brisk_budget_watch_restored(watch, NULL) == 0);
        brisk_budget_watch_destroy(watch); /* never ticked: nothing is written */
        data[at] ^= 1;
        write_file(k.path, data, size);
        data[at] ^= 1;
        CHECK_OK(keeping_watch(&k, NULL, &watch));
        CHECK(brisk_budget_watch_restored(watch, NULL) == 0);
        brisk_budget_watch_destroy(watch);
    }
    write_file(k.path, data, size);
    brisk_budgets_destroy(k.budgets);
    k.budgets = parse("budgets:\n"
                      "  - {name: level, metric: level, critical: 101, for: 2s}\n"
                      "  - {name: burn, metric: req, bad: req.bad, statistic: error_rate, "
                      "objective: 99%}\n");
    CHECK_OK(keeping_watch(&k, NULL, &watch));
    CHECK(brisk_budget_watch_restored(watch, NULL) == 1); /* another limit is another budget */
    brisk_budget_watch_destroy(watch);
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t n = 0; err != BRISK_OK; n++) {
        fault_alloc fault;
        fault_alloc_init(&fault, n);
        watch = NULL;
        err = keeping_watch(&k, &fault.base, &watch);
        CHECK((watch != NULL) == (err == BRISK_OK));
        brisk_budget_watch_destroy(watch);
        CHECK_U64(fault.bytes_held, ==, 0);
        CHECK_U64(n, <, 1000);
    }
    keeping_free(&k);
    temp_dir_remove(dir);
}

static void *record_many(void *ctx)
{
    bench *b = ctx;
    for (int i = 0; i < 20000; i++) {
        brisk_counter_add(b->all, 1);
        brisk_gauge_set(b->level, i % 300);
    }
    return NULL;
}

static void test_watch_thread(void **state)
{
    (void)state;
    bench b;
    bench_make(&b);
    brisk_budgets *budgets = parse("budgets: [{name: level, metric: level, critical: 100}]");
    brisk_budget_watch *watch;
    CHECK_OK(brisk_budget_watch_create(
        &(brisk_budget_watch_opts){.budgets = budgets, .metrics = b.metrics}, &watch, NULL));
    CHECK_OK(brisk_budget_watch_start(watch));
    CHECK(brisk_budget_watch_start(watch) == BRISK_ERR_CONFLICT);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, record_many, &b) == 0);
    for (int i = 0; i < 50; i++) {
        brisk_budget_status status;
        CHECK_OK(brisk_budget_watch_tick(watch));
        brisk_budget_watch_read(watch, 0, &status);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    brisk_budget_watch_destroy(watch);
    brisk_budgets_destroy(budgets);
    brisk_metrics_destroy(b.metrics);
}

/* --- sinks and sources ----------------------------------------------------------------------- */

static void test_exec(void **state)
{
    (void)state;
    temp_dir *dir = temp_dir_make();
    brisk_errinfo info = {0};
    const char *const missing[] = {"/nowhere/program", NULL};
    budget_sink sink = {.kind = SINK_EXEC, .argv = missing, .timeout_ns = second};
    CHECK(budget_exec(&sink, "{}", 2, &info) == BRISK_ERR_NOT_FOUND);
    const char *const failing[] = {"sh", "-c", "exit 3", NULL};
    sink.argv = failing;
    CHECK(budget_exec(&sink, "{}", 2, &info) == BRISK_ERR_IO);
    assert_string_equal(info.text, "sh: ended with status 3");
    const char *const slow[] = {"sh", "-c", "sleep 60 & sleep 60", NULL};
    sink.argv = slow;
    sink.timeout_ns = 50000000;
    CHECK(budget_exec(&sink, "{}", 2, &info) == BRISK_ERR_DEADLINE);
    const char *const ignoring[] = {"sh", "-c", "kill -PIPE $$; exit 0", NULL};
    void (*before)(int) = signal(SIGPIPE, SIG_IGN); /* as the program does */
    sink.argv = ignoring;
    sink.timeout_ns = 10 * second;
    CHECK(budget_exec(&sink, "{}", 2, &info) == BRISK_ERR_IO); /* what is started does not */
    assert_string_equal(info.text, "sh: ended with signal 13");
    (void)signal(SIGPIPE, before);
    const char *plain[] = {"tee", temp_dir_path(dir, "a b; $(x)"), NULL}; /* no shell in between */
    sink.argv = plain;
    sink.timeout_ns = 10 * second;
    CHECK_OK(budget_exec(&sink, "{\"a\":1}", 7, &info));
    CHECK(temp_holds(plain[1], "{\"a\":1}", 7));
    temp_dir_remove(dir);
}

static void test_metrics_file(void **state)
{
    (void)state;
    bench b;
    bench_make(&b);
    brisk_histogram_record(b.time, 3000000);
    brisk_gauge_set(b.level, 12.5);
    brisk_counter_add(b.all, 9);
    temp_dir *dir = temp_dir_make();
    FILE *file = fopen(temp_dir_path(dir, "m.json"), "w");
    assert_non_null(file);
    brisk_snapshot *now = snap(&b);
    CHECK_OK(brisk_expose_json(now, brisk_out_file(file)));
    CHECK(fclose(file) == 0);
    brisk_arena *arena;
    budget_values values;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    CHECK_OK(budget_read_metrics(temp_dir_path(dir, "m.json"), arena, &values, NULL));
    CHECK_U64(values.count, ==, brisk_snapshot_count(now));
    brisk_budgets *budgets =
        parse("budgets:\n"
              "  - {name: a, metric: time, labels: {route: /x}, statistic: p99, critical: 2ms}\n"
              "  - {name: b, metric: level, critical: 13}\n"
              "  - {name: c, metric: req, statistic: value, direction: above, critical: 9}\n");
    static const brisk_budget_level levels[] = {BRISK_BUDGET_CRITICAL, BRISK_BUDGET_GOOD,
                                                BRISK_BUDGET_GOOD};
    for (uint32_t i = 0; i < 3; i++) {
        brisk_budget_result result;
        brisk_budget_check_values(brisk_budgets_at(budgets, i), values.items, values.count,
                                  &result);
        CHECK(result.level == levels[i]);
    }
    brisk_errinfo info = {0};
    static const char *const bad[] = {"{}",
                                      "[]",
                                      "{\"metrics\": 3}",
                                      "{\"metrics\": [{}]}",
                                      "{\"metrics\": [{\"name\": \"a\", \"kind\": \"x\"}]}",
                                      ("{\"metrics\": [{\"name\": \"a\", \"kind\": \"gauge\", "
                                       "\"value\": \"nan\"}]}")};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(budget_parse_metrics("m", bad[i], strlen(bad[i]), arena, &values, &info) ==
              BRISK_ERR_INVALID);
        CHECK(strncmp(info.text, "m:", 2) == 0);
    }
    brisk_budgets_destroy(budgets);
    brisk_arena_destroy(arena);
    brisk_snapshot_unref(now);
    brisk_metrics_destroy(b.metrics);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_read_no_memory),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_burn),
        cmocka_unit_test(test_alert_states),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_trend_and_anomaly),
        cmocka_unit_test(test_watch_no_memory),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_a_pending_alert_and_a_gap),
        cmocka_unit_test(test_a_damaged_state),
        cmocka_unit_test(test_watch_thread),
        cmocka_unit_test(test_exec),
        cmocka_unit_test(test_metrics_file),
    };
    return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
