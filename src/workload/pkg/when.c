/*
 * when.c -- dates and ages as people write them: how new a version may be.
 *
 * Threads: no state.
 */
#include "workload/pkg/when.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <brisk/clock.h>
#include <brisk/knob.h>

/* "2026-01-31", "2026-01-31T12:00:00Z" or with ".000": ms since 1970.  False: it is none. */
static bool parse_date(const char *text, int64_t *ret)
{
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct tm tm = {0};
        const char *end = strptime(text, formats[i], &tm);
        if (end != NULL && i == 1 && *end == '.') {
            end += 1 + strspn(end + 1, "0123456789");
            end += *end == 'Z';
        }
        if (end != NULL && *end == '\0') {
            *ret = (int64_t)timegm(&tm) * 1000;
            return true;
        }
    }
    return false;
}

/* A duration as everywhere; days and weeks beside it. */
static bool parse_age(const char *text, uint64_t *ret_ms)
{
    static const char *const day_units[] = {"d", "w"};
    static const uint64_t days[] = {1, 7};
    char number[32];
    size_t size = strspn(text, "0123456789.");
    uint64_t ns = 0;
    for (size_t i = 0; i < 2; i++) {
        if (size > 0 && size < sizeof number - 1 && strcmp(text + size, day_units[i]) == 0) {
            memcpy(number, text, size);
            memcpy(number + size, "h", 2);
            if (brisk_knob_parse(BRISK_KNOB_DURATION, number, &ns) != BRISK_OK ||
                ns > UINT64_MAX / (24 * 7)) {
                return false;
            }
            *ret_ms = ns / 1000000 * 24 * days[i];
            return true;
        }
    }
    if (brisk_knob_parse(BRISK_KNOB_DURATION, text, &ns) != BRISK_OK) {
        return false;
    }
    *ret_ms = ns / 1000000;
    return true;
}

static int64_t now_ms(void)
{
    return (int64_t)(brisk_clock_wall_ns(NULL) / 1000000);
}

const char *pkg_before_of(const char *before, const char *min_age, const pkg_config *config,
                          int64_t *ret)
{
    int64_t latest = INT64_MAX;
    uint64_t age = (uint64_t)config->min_age_minutes * 60000;
    char date[64];
    if (before != NULL && !parse_date(before, &latest)) {
        return "--before takes a date, 2026-01-31 or 2026-01-31T12:00:00Z";
    }
    if (before == NULL && config->before.size > 0) {
        (void)snprintf(date, sizeof date, "%.*s", (int)config->before.size, config->before.data);
        if (!parse_date(date, &latest)) {
            return "\"before\" in .npmrc is no date; write 2026-01-31";
        }
    }
    if (min_age != NULL && !parse_age(min_age, &age)) {
        return "--min-age takes a time with its unit: 7d, 36h, 2w";
    }
    if (age > 0) {
        int64_t by_age = age < (uint64_t)now_ms() ? now_ms() - (int64_t)age : 0;
        latest = by_age < latest ? by_age : latest;
    }
    *ret = latest;
    return NULL;
}
