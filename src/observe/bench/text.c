/*
 * text.c -- small texts: shares of change, dates; quantities and quoting are base/text.h's.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "observe/bench/bench.h"

void bench_format_change(char buffer[BRISK_TEXT_SHORT_MAX], double share)
{
    double percent = share * 100.0;
    double size = fabs(percent);
    if (!isfinite(percent)) {
        (void)snprintf(buffer, BRISK_TEXT_SHORT_MAX,
                       isnan(percent) ? "?"
                       : percent < 0  ? "-inf"
                                      : "inf");
        return;
    }
    int decimals = size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
    (void)snprintf(buffer, BRISK_TEXT_SHORT_MAX, "%+.*f %%", decimals, percent);
}

void bench_format_date(char buffer[BRISK_TEXT_SHORT_MAX], uint64_t when_s)
{
    struct tm when;
    time_t seconds = (time_t)when_s;
    (void)snprintf(buffer, BRISK_TEXT_SHORT_MAX, "?");
    if (when_s <= UINT32_MAX && gmtime_r(&seconds, &when) != NULL) {
        (void)strftime(buffer, BRISK_TEXT_SHORT_MAX, "%Y-%m-%d %H:%M", &when);
    }
}

brisk_err bench_parse_share(const char *text, double *ret)
{
    size_t digits = strspn(text, "0123456789.");
    if (digits == 0 || digits > 16) {
        return BRISK_ERR_INVALID;
    }
    char *end = NULL;
    double value = strtod(text, &end); /* digits and points only, so no sign, name or exponent */
    const char *rest = end + strspn(end, " ");
    bool percent = strcmp(rest, "%") == 0;
    value = percent ? value / 100.0 : value;
    if (end != text + digits || (!percent && *end != '\0') || !(value >= 0.0 && value <= 10.0)) {
        return BRISK_ERR_INVALID;
    }
    *ret = value;
    return BRISK_OK;
}
