/*
 * watch.c -- all budgets, once a second: snapshot, values, alerts, and who is told.
 *
 *     snapshot ──► ring of earlier ones ──► check (window) ─┐
 *         └──────► totals ──► burn rates ───────────────────┼──► alert_step ──► events, history, sinks
 *         └──────► value ──► anomaly, trend ────────────────┘
 *
 * Snapshots are kept at a distance of a sixtieth of the longest window, at least a second.  A budget is checked
 * against the youngest that is as old as its window, else the oldest: at the start the window grows.
 *
 * Threads: `lock` around a tick and what it reads; publish, history and sinks are called with it held, so that alerts
 * come in their order; none of them calls back but events' subscribers, who must not use the watch.
 */
#include <math.h>
#include <string.h>
#include <time.h>

#include <brisk/file.h>
#include <brisk/log.h>
#include <brisk/stats.h>

#include "base/assert.h"
#include "base/str.h"
#include "base/thread.h"
#include "observe/budget/budget.h"

enum {
    SNAPSHOTS = 64,
    TREND_VALUES = 120,
    JSON_MAX = 4096,
    STATE_MAX = 64 << 20,
};

static const uint64_t second_ns = 1000000000;
static const uint64_t state_every_ns = 10 * UINT64_C(1000000000);

typedef struct watched {
    budget_alert alert;
    brisk_budget_result last;
    uint64_t state_wall_ns;
    budget_burn *burn;        /* with an objective */
    brisk_detector *detector; /* with anomaly */
    double *trend_values;     /* with a horizon: TREND_VALUES values, and their times */
    double *trend_times;
    uint32_t trend_count;
    uint64_t trend_next_ns;
} watched;

struct brisk_budget_watch {
    const brisk_alloc *alloc;
    const brisk_budgets *budgets;
    brisk_metrics *metrics;
    brisk_events *events;
    brisk_history *history;
    brisk_clock clock;
    budget_sinks *sinks; /* NULL: none */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
    bool running;
    brisk_thread thread;
    brisk_snapshot *snapshots[SNAPSHOTS]; /* a ring, newest at count - 1 */
    uint64_t snapshot_count;
    uint64_t distance_ns;
    watched *items;
    const char *state_path; /* NULL: none */
    uint64_t state_due_ns;
    bool state_failed; /* and was logged */
    budget_gap gap;
};

static void *take(const brisk_budget_watch *watch, size_t size)
{
    void *memory = watch->alloc->acquire(watch->alloc->ctx, size, 16);
    if (memory != NULL) {
        memset(memory, 0, size);
    }
    return memory;
}

static void give(const brisk_budget_watch *watch, void *memory, size_t size)
{
    if (memory != NULL) {
        watch->alloc->release(watch->alloc->ctx, memory, size, 16);
    }
}

/* --- telling -------------------------------------------------------------------------------- */

static void write_json(brisk_str *text, const brisk_budget *budget, const watched *w,
                       const char *state, bool again)
{
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "wall_ns", w->state_wall_ns);
    brisk_json_str(&json, "budget", budget->name);
    brisk_json_str(&json, "metric", budget->stage[0] != '\0' ? budget->stage : budget->metric);
    brisk_json_str(&json, "statistic", brisk_budget_statistic_name(budget->statistic));
    brisk_json_str(&json, "severity", brisk_severity_name(w->alert.severity));
    brisk_json_str(&json, "state", state);
    brisk_json_bool(&json, "repeated", again);
    brisk_json_double(&json, "value", w->last.value);
    brisk_json_double(&json, "limit", w->last.limit);
    brisk_json_u64(&json, "events", w->last.events);
    brisk_json_str(&json, "text", w->last.text);
    brisk_json_str(&json, "machine", brisk_history_machine());
    brisk_json_object_end(&json);
    (void)!brisk_json_finish(&json); /* errors stay in `text`; its newline is cut */
    if (brisk_str_size(text) > 0) {
        brisk_str_cut(text, brisk_str_size(text) - 1);
    }
}

static void keep_alert(brisk_budget_watch *watch, const brisk_budget *budget, const watched *w,
                       const char *state)
{
    brisk_history_alert alert = {
        .wall_ns = w->state_wall_ns,
        .budget = budget->name,
        .metric = budget->stage[0] != '\0' ? budget->stage : budget->metric,
        .severity = brisk_severity_name(w->alert.severity),
        .state = state,
        .value = w->last.value,
        .limit = w->last.limit,
        .text = w->last.text,
    };
    brisk_errinfo info;
    if (brisk_history_put_alert(watch->history, &alert, NULL, &info) != BRISK_OK) {
        brisk_log(BRISK_LOG_WARNING, "budget", "an alert was not kept: %s", info.text);
    }
}

static void tell(brisk_budget_watch *watch, uint32_t index, budget_news news)
{
    const brisk_budget *budget = &watch->budgets->items[index];
    watched *w = &watch->items[index];
    const char *state = news == NEWS_RESOLVED ? "resolved" : "firing";
    if (news != NEWS_AGAIN) {
        w->state_wall_ns = brisk_clock_wall_ns(&watch->clock);
    }
    char text[BRISK_BUDGET_TEXT_MAX + 96];
    (void)snprintf(text, sizeof text, "%s: %.60s: %s", state, budget->name, w->last.text);
    brisk_str json;
    brisk_str_init(&json, watch->alloc, JSON_MAX);
    write_json(&json, budget, w, state, news == NEWS_AGAIN);
    const char *detail = brisk_str_err(&json) == BRISK_OK ? brisk_str_text(&json) : "";
    brisk_event event = {.type = BRISK_EVENT_ALERT,
                         .severity = w->alert.severity,
                         .source = "budget",
                         .name = budget->name,
                         .state = state,
                         .text = text,
                         .detail = detail,
                         .value = w->last.value,
                         .limit = w->last.limit};
    if (news != NEWS_AGAIN) {
        (void)brisk_events_publish(watch->events, &event);
        if (watch->history != NULL) {
            keep_alert(watch, budget, w, state);
        }
    }
    if (watch->sinks != NULL && detail[0] != '\0') {
        budget_sinks_tell(watch->sinks, text, detail,
                          w->alert.severity == BRISK_SEVERITY_CRITICAL && news != NEWS_RESOLVED);
    }
    brisk_str_deinit(&json);
}

/* --- anomalies and trends ------------------------------------------------------------------- */

static void raise_level(brisk_budget_result *result, brisk_budget_level level)
{
    result->level = result->level < level ? level : result->level;
}

static void look_for_anomaly(const brisk_budget *budget, watched *w, brisk_budget_result *result)
{
    brisk_verdict verdict;
    if (w->detector == NULL || isnan(result->value) || result->events < budget->min_events ||
        brisk_detector_push(w->detector, result->value, &verdict) != BRISK_OK) {
        return;
    }
    if (verdict.anomalous && result->level <= BRISK_BUDGET_GOOD) {
        raise_level(result, BRISK_BUDGET_WARNING);
        result->limit = verdict.expected;
        (void)snprintf(result->text, sizeof result->text,
                       "%.120s is %.6g, %.1f deviations from the usual %.6g", budget->metric,
                       result->value, verdict.z, verdict.expected);
    }
}

static void say_reaches(const brisk_budget *budget, double limit, const brisk_interval *in,
                        brisk_budget_result *result)
{
    double unit = in->estimate >= 2 * 86400 ? 86400 : in->estimate >= 7200 ? 3600 : 60;
    const char *word = unit > 3600 ? "days" : unit > 60 ? "hours" : "minutes";
    char until[64] = "";
    if (isfinite(in->high)) {
        (void)snprintf(until, sizeof until, " (%.3g .. %.3g)", in->low / unit, in->high / unit);
    }
    raise_level(result, BRISK_BUDGET_WARNING);
    (void)snprintf(result->text, sizeof result->text,
                   "%.120s is %.6g and reaches its limit of %.6g in %.3g %s%s", budget->metric,
                   result->value, limit, in->estimate / unit, word, until);
}

/* Values a hundredth of the horizon apart, at least 1 s and at most a minute. */
static void look_at_trend(brisk_budget_watch *watch, const brisk_budget *budget, watched *w,
                          uint64_t now_ns, brisk_budget_result *result)
{
    if (w->trend_values == NULL || isnan(result->value)) {
        return;
    }
    if (now_ns >= w->trend_next_ns) {
        uint64_t step = budget->horizon_ns / 100;
        step = step < second_ns ? second_ns : step > 60 * second_ns ? 60 * second_ns : step;
        w->trend_next_ns = now_ns + step;
        if (w->trend_count == TREND_VALUES) {
            memmove(w->trend_values, w->trend_values + 1, (TREND_VALUES - 1) * sizeof(double));
            memmove(w->trend_times, w->trend_times + 1, (TREND_VALUES - 1) * sizeof(double));
            w->trend_count--;
        }
        w->trend_values[w->trend_count] = result->value;
        w->trend_times[w->trend_count++] = (double)now_ns / 1e9;
    }
    double limit = isnan(budget->critical) ? budget->warning : budget->critical;
    brisk_series series = {
        .values = w->trend_values, .times = w->trend_times, .count = w->trend_count};
    brisk_trend trend;
    brisk_interval in;
    bool known = w->trend_count >= BRISK_TREND_COUNT_MIN && result->level <= BRISK_BUDGET_GOOD &&
                 brisk_trend_find(&series, watch->alloc, &trend) == BRISK_OK &&
                 brisk_trend_reaches(&trend, limit, &in) == BRISK_OK;
    if (known && in.estimate * 1e9 <= (double)budget->horizon_ns) {
        say_reaches(budget, limit, &in, result);
    }
}

/* --- what is kept for the next watch ---------------------------------------------------------- */

static budget_memory memory_of(watched *w)
{
    return (budget_memory){.alert = &w->alert, .state_wall_ns = &w->state_wall_ns, .burn = w->burn};
}

static brisk_err write_state(const brisk_budget_watch *watch, const brisk_str *text,
                             brisk_errinfo *info)
{
    brisk_file_replace *file = NULL;
    brisk_err err = brisk_file_replace_open(watch->state_path, watch->alloc, &file, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = brisk_file_write_all(brisk_file_replace_fd(file), brisk_str_text(text),
                               brisk_str_size(text));
    if (err != BRISK_OK) {
        brisk_file_replace_abort(file);
        return brisk_errinfo_set(info, err, "%s: %s", watch->state_path, brisk_err_message(err));
    }
    return brisk_file_replace_commit(file, false, info); /* after a crash: the old or the new one */
}

static void save_state(brisk_budget_watch *watch, uint64_t now_ns)
{
    brisk_errinfo info = {0};
    brisk_str text;
    watch->state_due_ns = now_ns + state_every_ns;
    brisk_str_init(&text, watch->alloc, STATE_MAX);
    budget_state_begin(&text, brisk_clock_wall_ns(&watch->clock), watch->budgets->count);
    for (uint32_t i = 0; i < watch->budgets->count; i++) {
        budget_memory memory = memory_of(&watch->items[i]);
        budget_state_add(&text, &watch->budgets->items[i], &memory, now_ns);
    }
    budget_state_end(&text);
    brisk_err err = brisk_str_err(&text);
    if (err == BRISK_OK) {
        err = write_state(watch, &text, &info);
    }
    if (err != BRISK_OK && !watch->state_failed) {
        brisk_log(BRISK_LOG_WARNING, "budget", "alerts are not kept for the next start: %s",
                  info.text[0] != '\0' ? info.text : brisk_err_message(err));
    }
    watch->state_failed = err != BRISK_OK;
    brisk_str_deinit(&text);
}

static void forget_all(brisk_budget_watch *watch)
{
    for (uint32_t i = 0; i < watch->budgets->count; i++) {
        watched *w = &watch->items[i];
        w->alert = (budget_alert){0};
        w->state_wall_ns = 0;
        if (w->burn != NULL) {
            memset(w->burn, 0, sizeof *w->burn);
        }
    }
    watch->gap.restored = 0;
}

/* Without a file, or with one that is damaged, all begins anew.  Errors: NOMEM. */
static brisk_err restore_state(brisk_budget_watch *watch)
{
    brisk_file_view view = {0};
    brisk_errinfo info;
    uint32_t count = watch->budgets->count;
    if (brisk_file_view_open(watch->state_path, STATE_MAX, &view, &info) != BRISK_OK) {
        return BRISK_OK;
    }
    budget_memory *memories = take(watch, (count + 1) * sizeof *memories);
    budget_burn *scratch = take(watch, sizeof *scratch);
    brisk_err err = memories != NULL && scratch != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    for (uint32_t i = 0; i < count && err == BRISK_OK; i++) {
        memories[i] = memory_of(&watch->items[i]);
    }
    if (err == BRISK_OK) {
        watch->gap = (budget_gap){.now_ns = brisk_clock_now_ns(&watch->clock),
                                  .wall_ns = brisk_clock_wall_ns(&watch->clock)};
        if (budget_state_read(view.data, view.size, watch->budgets, memories, scratch,
                              &watch->gap) != BRISK_OK) {
            forget_all(watch);
            brisk_log(BRISK_LOG_WARNING, "budget", "%s is damaged: alerts begin anew",
                      watch->state_path);
        }
    }
    give(watch, memories, (count + 1) * sizeof *memories);
    give(watch, scratch, sizeof *scratch);
    brisk_file_view_close(&view);
    return err;
}

uint32_t brisk_budget_watch_restored(const brisk_budget_watch *watch, uint64_t *gap_ns)
{
    if (gap_ns != NULL) {
        *gap_ns = watch->gap.restored > 0 ? watch->gap.gap_ns : 0;
    }
    return watch->gap.restored;
}

/* --- one tick ------------------------------------------------------------------------------- */

/* The youngest snapshot that is as old as the window, else the oldest; NULL at the first tick. */
static const brisk_snapshot *earlier_than(const brisk_budget_watch *watch, uint64_t now_ns,
                                          uint64_t window_ns)
{
    uint64_t kept = watch->snapshot_count < SNAPSHOTS ? watch->snapshot_count : SNAPSHOTS;
    const brisk_snapshot *found = NULL;
    for (uint64_t i = 0; i < kept; i++) {
        found = watch->snapshots[(watch->snapshot_count - 1 - i) % SNAPSHOTS];
        if (brisk_snapshot_now_ns(found) + window_ns <= now_ns) {
            break;
        }
    }
    return found;
}

static void keep_snapshot(brisk_budget_watch *watch, brisk_snapshot *snapshot)
{
    uint64_t now_ns = brisk_snapshot_now_ns(snapshot);
    uint64_t count = watch->snapshot_count;
    const brisk_snapshot *last = count > 0 ? watch->snapshots[(count - 1) % SNAPSHOTS] : NULL;
    if (last != NULL && now_ns < brisk_snapshot_now_ns(last) + watch->distance_ns) {
        return;
    }
    brisk_snapshot_unref(watch->snapshots[count % SNAPSHOTS]);
    watch->snapshots[count % SNAPSHOTS] = brisk_snapshot_ref(snapshot);
    watch->snapshot_count++;
}

/* False: nothing new to look at. */
static bool check_one(brisk_budget_watch *watch, uint32_t index, const brisk_snapshot *now,
                      brisk_budget_result *result)
{
    const brisk_budget *budget = &watch->budgets->items[index];
    watched *w = &watch->items[index];
    uint64_t now_ns = brisk_snapshot_now_ns(now);
    if (budget->stage[0] != '\0') {
        brisk_errinfo info;
        if (watch->history == NULL) {
            return false;
        }
        return brisk_budget_check_stage(budget, watch->history, brisk_clock_wall_ns(&watch->clock),
                                        result, &info) == BRISK_OK;
    }
    uint64_t bad = 0;
    uint64_t total = 0;
    if (w->burn != NULL) {
        if (budget_totals(budget, now, &bad, &total)) {
            budget_burn_add(w->burn, now_ns + BURN_EPOCH_NS, bad, total);
        }
        budget_burn_check(w->burn, budget, result);
        return true;
    }
    brisk_budget_check(budget, now, earlier_than(watch, now_ns, budget->window_ns), result);
    look_for_anomaly(budget, w, result);
    look_at_trend(watch, budget, w, now_ns, result);
    return true;
}

static brisk_err tick(brisk_budget_watch *watch)
{
    brisk_snapshot *now = NULL;
    brisk_metrics_tick(watch->metrics);
    brisk_err err = brisk_metrics_snapshot(watch->metrics, watch->alloc, &now);
    if (err != BRISK_OK) {
        return err;
    }
    bool changed = false;
    for (uint32_t i = 0; i < watch->budgets->count; i++) {
        watched *w = &watch->items[i];
        brisk_budget_result result = {0};
        if (!check_one(watch, i, now, &result)) {
            continue;
        }
        brisk_alert_state before = w->alert.state;
        w->last = result;
        budget_news news = budget_alert_step(&w->alert, &watch->budgets->items[i], &result,
                                             brisk_snapshot_now_ns(now));
        if (w->alert.state != before) {
            changed = true;
            w->state_wall_ns = brisk_clock_wall_ns(&watch->clock);
        }
        if (news != NEWS_NONE) {
            tell(watch, i, news);
        }
    }
    keep_snapshot(watch, now);
    uint64_t now_ns = brisk_snapshot_now_ns(now);
    if (watch->state_path != NULL && (changed || now_ns >= watch->state_due_ns)) {
        save_state(watch, now_ns);
    }
    brisk_snapshot_unref(now);
    return BRISK_OK;
}

brisk_err brisk_budget_watch_tick(brisk_budget_watch *watch)
{
    (void)pthread_mutex_lock(&watch->lock);
    brisk_err err = tick(watch);
    (void)pthread_mutex_unlock(&watch->lock);
    return err;
}

/* --- the thread ----------------------------------------------------------------------------- */

/* A second after the last tick began, however long that took. */
static void run(void *ctx)
{
    brisk_budget_watch *watch = ctx;
    struct timespec next;
    (void)clock_gettime(CLOCK_MONOTONIC, &next);
    (void)pthread_mutex_lock(&watch->lock);
    while (!watch->stopping) {
        if (tick(watch) != BRISK_OK) {
            brisk_log(BRISK_LOG_WARNING, "budget", "out of memory: budgets were not checked");
        }
        struct timespec now;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        next.tv_sec++;
        next = next.tv_sec < now.tv_sec ? now : next; /* late: no burst to make up for it */
        int timed_out = 0;
        while (!watch->stopping && timed_out == 0) {
            timed_out = pthread_cond_timedwait(&watch->changed, &watch->lock, &next);
        }
    }
    (void)pthread_mutex_unlock(&watch->lock);
}

brisk_err brisk_budget_watch_start(brisk_budget_watch *watch)
{
    if (watch->running) {
        return BRISK_ERR_CONFLICT;
    }
    brisk_err err = brisk_thread_start(
        &watch->thread, &(brisk_thread_opts){.name = "budgets", .run = run, .ctx = watch});
    watch->running = err == BRISK_OK;
    return err;
}

/* --- create and destroy --------------------------------------------------------------------- */

/* What a budget needs to remember. */
static brisk_err equip(brisk_budget_watch *watch, uint32_t index)
{
    const brisk_budget *budget = &watch->budgets->items[index];
    watched *w = &watch->items[index];
    w->last = (brisk_budget_result){.value = (double)NAN, .limit = (double)NAN, .on_target = true};
    if (!isnan(budget->objective) && (w->burn = take(watch, sizeof *w->burn)) == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (budget->horizon_ns != 0) {
        w->trend_values = take(watch, TREND_VALUES * sizeof(double));
        w->trend_times = take(watch, TREND_VALUES * sizeof(double));
        if (w->trend_values == NULL || w->trend_times == NULL) {
            return BRISK_ERR_NOMEM;
        }
    }
    brisk_detector_opts opts = {.alloc = watch->alloc};
    return budget->anomaly ? brisk_detector_create(&opts, &w->detector) : BRISK_OK;
}

static brisk_err equip_all(brisk_budget_watch *watch)
{
    uint64_t longest = 0;
    watch->items = take(watch, watch->budgets->count * sizeof *watch->items);
    brisk_err err = watch->items != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    for (uint32_t i = 0; i < watch->budgets->count && err == BRISK_OK; i++) {
        const brisk_budget *budget = &watch->budgets->items[i];
        longest =
            budget->stage[0] == '\0' && budget->window_ns > longest ? budget->window_ns : longest;
        err = equip(watch, i);
    }
    watch->distance_ns = longest / 60 > second_ns ? longest / 60 : second_ns;
    watch->distance_ns -= watch->distance_ns / 10; /* ticks come a little early and late */
    return err;
}

/* With a snapshot of now, which all windows begin at until there are later ones. */
static brisk_err begin_windows(brisk_budget_watch *watch)
{
    brisk_snapshot *now = NULL;
    brisk_err err = brisk_metrics_snapshot(watch->metrics, watch->alloc, &now);
    if (err == BRISK_OK) {
        keep_snapshot(watch, now);
        brisk_snapshot_unref(now);
    }
    return err;
}

brisk_err brisk_budget_watch_create(const brisk_budget_watch_opts *opts, brisk_budget_watch **ret,
                                    brisk_errinfo *info)
{
    BRISK_ASSERT(opts != NULL && opts->budgets != NULL);
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    brisk_budget_watch *watch =
        alloc->acquire(alloc->ctx, sizeof *watch, _Alignof(brisk_budget_watch));
    if (watch == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "budget: %s",
                                 brisk_err_message(BRISK_ERR_NOMEM));
    }
    *watch = (brisk_budget_watch){
        .alloc = alloc,
        .budgets = opts->budgets,
        .metrics = opts->metrics != NULL ? opts->metrics : brisk_metrics_default(),
        .events = opts->events != NULL ? opts->events : brisk_events_default(),
        .history = opts->history,
        .state_path = opts->state_path,
        .clock = opts->clock != NULL ? *opts->clock : *brisk_clock_system(),
    };
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&watch->lock, NULL);
    (void)pthread_cond_init(&watch->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    brisk_err err = equip_all(watch);
    if (err == BRISK_OK && opts->since_start) {
        err = begin_windows(watch);
    }
    if (err == BRISK_OK && watch->state_path != NULL) {
        err = restore_state(watch);
    }
    if (err != BRISK_OK) {
        (void)brisk_errinfo_set(info, err, "budget: %s", brisk_err_message(err));
    } else if (!opts->no_sinks && opts->budgets->sink_count > 0) {
        err = budget_sinks_create(opts->budgets, alloc, &watch->sinks, info);
    }
    if (err != BRISK_OK) {
        brisk_budget_watch_destroy(watch);
        return err;
    }
    *ret = watch;
    return BRISK_OK;
}

void brisk_budget_watch_destroy(brisk_budget_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&watch->lock);
    watch->stopping = true;
    (void)pthread_cond_broadcast(&watch->changed);
    (void)pthread_mutex_unlock(&watch->lock);
    brisk_thread_join(&watch->thread);
    if (watch->state_path != NULL && watch->state_due_ns > 0) { /* it was looked at */
        save_state(watch, brisk_clock_now_ns(&watch->clock));
    }
    budget_sinks_destroy(watch->sinks);
    for (uint32_t i = 0; i < SNAPSHOTS; i++) {
        brisk_snapshot_unref(watch->snapshots[i]);
    }
    for (uint32_t i = 0; watch->items != NULL && i < watch->budgets->count; i++) {
        watched *w = &watch->items[i];
        give(watch, w->burn, sizeof *w->burn);
        give(watch, w->trend_values, TREND_VALUES * sizeof(double));
        give(watch, w->trend_times, TREND_VALUES * sizeof(double));
        brisk_detector_destroy(w->detector);
    }
    give(watch, watch->items, watch->budgets->count * sizeof *watch->items);
    (void)pthread_cond_destroy(&watch->changed);
    (void)pthread_mutex_destroy(&watch->lock);
    const brisk_alloc *alloc = watch->alloc;
    alloc->release(alloc->ctx, watch, sizeof *watch, _Alignof(brisk_budget_watch));
}

uint32_t brisk_budget_watch_count(const brisk_budget_watch *watch)
{
    return watch->budgets->count;
}

void brisk_budget_watch_read(brisk_budget_watch *watch, uint32_t index, brisk_budget_status *ret)
{
    BRISK_ASSERT(index < watch->budgets->count);
    (void)pthread_mutex_lock(&watch->lock);
    const watched *w = &watch->items[index];
    *ret = (brisk_budget_status){.budget = &watch->budgets->items[index],
                                 .last = w->last,
                                 .state = w->alert.state,
                                 .severity = w->alert.severity,
                                 .since_ns = w->state_wall_ns,
                                 .alerts = w->alert.count};
    (void)pthread_mutex_unlock(&watch->lock);
}

uint64_t brisk_budget_watch_lost(brisk_budget_watch *watch)
{
    return watch->sinks != NULL ? budget_sinks_lost(watch->sinks) : 0;
}
