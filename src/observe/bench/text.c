/*
 * text.c -- small texts: quantities, shares, dates, quoting.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "observe/bench/bench.h"

void bench_format_duration(char buffer[BENCH_TEXT_MAX], double ns)
{
    static const struct {
        double ns;
        const char *unit;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (ns >= units[i].ns * 0.99995) {
            double value = ns / units[i].ns;
            int decimals = value < 9.9995 ? 3 : value < 99.995 ? 2 : value < 999.95 ? 1 : 0;
            (void)snprintf(buffer, BENCH_TEXT_MAX, "%.*f %s", decimals, value, units[i].unit);
            return;
        }
    }
    bool whole = fabs(ns - round(ns)) < 0.0005 || ns >= 100.0;
    (void)snprintf(buffer, BENCH_TEXT_MAX, "%.*f ns", whole ? 0 : 2, ns);
}

void bench_format_bytes(char buffer[BENCH_TEXT_MAX], uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        (void)snprintf(buffer, BENCH_TEXT_MAX, "%u B", (unsigned)bytes);
        return;
    }
    size_t unit = 0;
    double value = (double)bytes / 1024.0;
    while (value >= 1023.95 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024.0;
        unit++;
    }
    (void)snprintf(buffer, BENCH_TEXT_MAX, "%.1f %s", value, units[unit]);
}

void bench_format_change(char buffer[BENCH_TEXT_MAX], double share)
{
    double percent = share * 100.0;
    double size = fabs(percent);
    if (!isfinite(percent)) {
        (void)snprintf(buffer, BENCH_TEXT_MAX, isnan(percent) ? "?" : percent < 0 ? "-inf" : "inf");
        return;
    }
    int decimals = size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
    (void)snprintf(buffer, BENCH_TEXT_MAX, "%+.*f %%", decimals, percent);
}

const char *bench_quote(char buffer[BENCH_QUOTED_MAX], const char *text)
{
    static const char hex[] = "0123456789abcdef";
    size_t used = 0;
    /* Four bytes for the longest escape, three for "..." and one for the end. */
    for (; *text != '\0' && used + 8 < BENCH_QUOTED_MAX; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f) {
            buffer[used++] = '\\';
            buffer[used++] = 'x';
            buffer[used++] = hex[c >> 4];
            buffer[used++] = hex[c & 15];
        } else {
            buffer[used++] = *text;
        }
    }
    for (int dots = 0; *text != '\0' && dots < 3; dots++) {
        buffer[used++] = '.';
    }
    buffer[used] = '\0';
    return buffer;
}

void bench_format_date(char buffer[BENCH_TEXT_MAX], uint64_t when_s)
{
    struct tm when;
    time_t seconds = (time_t)when_s;
    (void)snprintf(buffer, BENCH_TEXT_MAX, "?");
    if (when_s <= UINT32_MAX && gmtime_r(&seconds, &when) != NULL) {
        (void)strftime(buffer, BENCH_TEXT_MAX, "%Y-%m-%d %H:%M", &when);
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
