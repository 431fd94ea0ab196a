/*
 * figures.c -- the table of figures, their last values, targets, and how they are written.
 */
#include <math.h>
#include <string.h>

#include <brisk/knob.h>

#include "base/assert.h"
#include "observe/monitor/monitor.h"

const monitor_figure_info monitor_figures[FIGURE_COUNT] = {
    [FIGURE_CPU] = {"cpu", "processors", UNIT_SHARE, true},
    [FIGURE_MEMORY] = {"memory", "memory used", UNIT_SHARE, true},
    [FIGURE_DISK_READ] = {"disk_read", "disk read", UNIT_BYTES_RATE, true},
    [FIGURE_DISK_WRITE] = {"disk_write", "disk written", UNIT_BYTES_RATE, true},
    [FIGURE_NET_IN] = {"net_in", "net in", UNIT_BYTES_RATE, true},
    [FIGURE_NET_OUT] = {"net_out", "net out", UNIT_BYTES_RATE, true},
    [FIGURE_PRESSURE] = {"pressure", "cpu pressure", UNIT_SHARE, true},
    [FIGURE_PROCESS_CPU] = {"process_cpu", "process cpu", UNIT_SHARE, true},
    [FIGURE_PROCESS_MEMORY] = {"process_memory", "process memory", UNIT_BYTES, true},
    [FIGURE_THROUGHPUT] = {"throughput", "commands/s", UNIT_RATE, false},
    [FIGURE_P50] = {"p50", "p50", UNIT_NS, true},
    [FIGURE_P99] = {"p99", "p99", UNIT_NS, true},
    [FIGURE_P999] = {"p999", "p99.9", UNIT_NS, true},
    [FIGURE_ROUND_TRIP] = {"round_trip", "round trip", UNIT_NS, true},
    [FIGURE_HIT_RATE] = {"hit_rate", "hit rate", UNIT_SHARE, false},
    [FIGURE_HIT_MEMORY] = {"hit_memory", "memory hits", UNIT_SHARE, false},
    [FIGURE_HIT_DISK] = {"hit_disk", "disk hits", UNIT_SHARE, false},
    [FIGURE_SERVER_MEMORY] = {"server_memory", "server memory", UNIT_BYTES, true},
    [FIGURE_CONNECTIONS] = {"connections", "connections", UNIT_COUNT, true},
    [FIGURE_EVICTIONS] = {"evictions", "evictions/s", UNIT_RATE, true},
    [FIGURE_ERRORS] = {"errors", "errors", UNIT_SHARE, true},
    [FIGURE_RUN_TIME] = {"run_time", "newest run", UNIT_NS, true},
    [FIGURE_EFFICIENCY] = {"efficiency", "parallel", UNIT_SHARE, false},
};

void monitor_numbers_init(monitor_numbers *n)
{
    memset(n, 0, sizeof *n);
    monitor_numbers_begin(n);
    monitor_period_reset(n);
}

void monitor_numbers_begin(monitor_numbers *n)
{
    for (int i = 0; i < FIGURE_COUNT; i++) {
        n->now[i] = (double)NAN;
    }
}

void monitor_period_reset(monitor_numbers *n)
{
    for (int i = 0; i < FIGURE_COUNT; i++) {
        n->period[i] =
            (monitor_period){.least = (double)INFINITY, .most = (double)-(double)INFINITY};
    }
}

void monitor_numbers_end(monitor_numbers *n)
{
    for (int i = 0; i < FIGURE_COUNT; i++) {
        double value = n->now[i];
        monitor_series *series = &n->series[i];
        series->values[series->next] = value;
        series->next = (series->next + 1) % MONITOR_POINTS;
        series->count += series->count < MONITOR_POINTS ? 1 : 0;
        if (!isnan(value)) {
            monitor_period *period = &n->period[i];
            period->count++;
            period->sum += value;
            period->least = fmin(period->least, value);
            period->most = fmax(period->most, value);
        }
    }
}

double monitor_series_at(const monitor_series *series, uint32_t back)
{
    return back < series->count
               ? series->values[(series->next + MONITOR_POINTS - 1 - back) % MONITOR_POINTS]
               : (double)NAN;
}

/* --- targets ------------------------------------------------------------------------------ */

static bool parse_value(monitor_unit unit, const char *text, double *ret)
{
    uint64_t whole;
    char *end = NULL;
    if (unit == UNIT_NS) {
        bool good = brisk_knob_parse(BRISK_KNOB_DURATION, text, &whole) == BRISK_OK;
        *ret = good ? (double)whole : 0;
        return good;
    }
    if (unit == UNIT_BYTES || unit == UNIT_BYTES_RATE) {
        bool good = brisk_knob_parse(BRISK_KNOB_BYTES, text, &whole) == BRISK_OK;
        *ret = good ? (double)whole : 0;
        return good;
    }
    double value = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : -1;
    if (end == NULL || !isfinite(value) || value < 0) {
        return false;
    }
    if (unit == UNIT_SHARE && strcmp(end, "%") == 0) {
        value /= 100;
        end++;
    }
    *ret = value;
    return *end == '\0' && (unit != UNIT_SHARE || value <= 1);
}

brisk_err monitor_target_parse(monitor_numbers *n, const char *text, brisk_errinfo *info)
{
    const char *equals = strchr(text, '=');
    size_t size = equals != NULL ? (size_t)(equals - text) : 0;
    if (n->target_count == MONITOR_TARGETS_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "more than %d targets",
                                 MONITOR_TARGETS_MAX);
    }
    for (int i = 0; i < FIGURE_COUNT && equals != NULL; i++) {
        const monitor_figure_info *figure = &monitor_figures[i];
        if (strlen(figure->name) != size || memcmp(figure->name, text, size) != 0) {
            continue;
        }
        double value = 0;
        if (!parse_value(figure->unit, equals + 1, &value)) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                     "target '%.60s': '%.30s' is no value of it", text, equals + 1);
        }
        n->targets[n->target_count++] =
            (monitor_target){.figure = (monitor_figure)i, .value = value, .source = "--target"};
        return BRISK_OK;
    }
    return brisk_errinfo_set(
        info, BRISK_ERR_INVALID,
        "target '%.60s': NAME=VALUE, where NAME is p99, hit_rate, throughput, cpu ... "
        "as in 'brisk monitor --json'",
        text);
}

double monitor_target_progress(const monitor_numbers *n, const monitor_target *target)
{
    double now = n->now[target->figure];
    if (isnan(now)) {
        return now;
    }
    bool less = monitor_figures[target->figure].less_is_better;
    double above = less ? target->value : now;
    double below = less ? now : target->value;
    return below <= 0 || above >= below ? 1 : above / below;
}

/* --- writing ------------------------------------------------------------------------------ */

static void format_scaled(char buffer[MONITOR_TEXT_MAX], double value, double step,
                          const char *const units[5])
{
    int unit = 0;
    while (fabs(value) >= step * 0.99995 && unit < 4) {
        value /= step;
        unit++;
    }
    bool whole = fabs(value - round(value)) < 1e-9;
    int digits = whole || fabs(value) >= 99.95 ? 0 : fabs(value) < 9.995 ? 2 : 1;
    (void)snprintf(buffer, MONITOR_TEXT_MAX, "%.*f%s", digits, value, units[unit]);
}

const char *monitor_format(char buffer[MONITOR_TEXT_MAX], monitor_unit unit, double value)
{
    static const char *const bytes[5] = {" B", " KiB", " MiB", " GiB", " TiB"};
    static const char *const byte_rates[5] = {" B/s", " KiB/s", " MiB/s", " GiB/s", " TiB/s"};
    static const char *const times[5] = {" ns", " us", " ms", " s", " ks"};
    static const char *const counts[5] = {"", " k", " M", " G", " T"};
    if (!isfinite(value)) {
        (void)snprintf(buffer, MONITOR_TEXT_MAX, "-");
        return buffer;
    }
    switch (unit) {
    case UNIT_SHARE: (void)snprintf(buffer, MONITOR_TEXT_MAX, "%.1f %%", 100 * value); break;
    case UNIT_NS: format_scaled(buffer, value, 1000, times); break;
    case UNIT_BYTES: format_scaled(buffer, value, 1024, bytes); break;
    case UNIT_BYTES_RATE: format_scaled(buffer, value, 1024, byte_rates); break;
    case UNIT_RATE:
    case UNIT_COUNT: format_scaled(buffer, value, 1000, counts); break;
    }
    return buffer;
}
